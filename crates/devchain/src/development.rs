//! The start of a development chain: accounts whose keys everybody can make, since each is the Ed25519 key of a seed of 32 equal
//! bytes. No real value may ever be held by one of them.

use symphony_chain::contracts::Start;
use symphony_chain::ledger::inflation::Schedule;
use symphony_chain::transaction::ChainId;
use symphony_types::amount::{Bps, Sym};
use symphony_types::id::AccountId;
use symphony_types::key::{PrivateKey, Treasury, Wallet};
use symphony_types::time::{DAY_MS, OrderedMillis};

/// Accounts that hold SYM, by the byte of their seed: submitters and operators first, then one for each client that is tried.
pub const HOLDERS: [u8; 10] = [1, 2, 3, 4, 5, 6, 7, 31, 32, 33];
/// Sends payout batches.
pub const PAYOUT: u8 = 8;
/// Executes penalties.
pub const SETTLEMENT: u8 = 9;
/// Records votes.
pub const COUNCIL: u8 = 10;
/// Approve releases of the treasury; two of them must.
pub const SIGNERS: [u8; 3] = [20, 21, 22];
/// Base units of one SYM.
pub const SYM: u64 = 100_000_000;
/// What each holder begins with: a million SYM.
pub const HOLDING: u64 = 1_000_000 * SYM;
/// The number of a development chain, as of Aptos' own local networks.
pub const CHAIN_ID: u8 = 4;

/// The account of a seed.
pub fn account(seed: u8) -> AccountId {
    PrivateKey::<Wallet>::from_seed(&[seed; 32]).public().account()
}

/// What the contracts start with: the schedule of the white paper from now on, days for epochs.
pub fn start(now_ms: u64) -> Start {
    let signer = |seed: &u8| PrivateKey::<Treasury>::from_seed(&[*seed; 32]).public().as_bytes().to_vec();
    Start {
        chain: ChainId::new("dev").expect("a name"),
        payout: account(PAYOUT),
        settlement: account(SETTLEMENT),
        governance: account(COUNCIL),
        signers: SIGNERS.iter().map(signer).collect(),
        threshold: 2,
        quorum: Bps(5_000),
        minimum: [50_000, 10_000, 100].map(|whole| Sym(whole * SYM)),
        cooldown_ms: [30, 30, 7].map(|days| days * DAY_MS),
        lock_ms_min: 60_000,
        payees_per_tree_min: 2,
        schedule: Schedule {
            start: OrderedMillis(now_ms),
            epoch_ms: DAY_MS,
            epochs_per_step: 365,
            rates: [800, 500, 300, 150].map(Bps).to_vec(),
            treasury: Bps(2_000),
        },
        balances: HOLDERS.iter().map(|seed| (account(*seed), Sym(HOLDING))).collect(),
        treasury: Sym(HOLDING),
        pool: Sym(HOLDING),
        incentives: Sym(HOLDING),
    }
}
