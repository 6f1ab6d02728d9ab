//! The start of a development chain: accounts whose keys everybody can make, since each is the Ed25519 key of a seed of 32 equal
//! bytes. No real value may ever be held by one of them.

use crate::genesis::Start;
use crate::vm::Address;

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

/// The account of a seed, as Aptos derives it from the key.
pub fn account(seed: u8) -> Address {
    let key = symphony_types::key::PrivateKey::<symphony_types::key::Wallet>::from_seed(&[seed; 32]).public();
    aptos_sdk::crypto::sha3_256(&[&key.as_bytes()[..], &[0]].concat())
}

/// What the contracts start with: the schedule of the white paper from now on, days for epochs.
pub fn start(now_ms: u64) -> Start {
    let signer = |seed: &u8| {
        let key = symphony_types::key::PrivateKey::<symphony_types::key::Treasury>::from_seed(&[*seed; 32]);
        key.public().as_bytes().to_vec()
    };
    Start {
        chain: "dev".into(),
        payout: account(PAYOUT),
        settlement: account(SETTLEMENT),
        governance: account(COUNCIL),
        signers: SIGNERS.iter().map(signer).collect(),
        threshold: 2,
        quorum_bps: 5_000,
        minimum: vec![50_000 * SYM, 10_000 * SYM, 100 * SYM],
        cooldown_ms: vec![30 * DAY_MS, 30 * DAY_MS, 7 * DAY_MS],
        lock_ms_min: 60_000,
        payees_per_tree_min: 2,
        inflation_start_ms: now_ms,
        epoch_ms: DAY_MS,
        epochs_per_step: 365,
        rates_bps: vec![800, 500, 300, 150],
        treasury_bps: 2_000,
        accounts: HOLDERS.iter().map(|seed| account(*seed)).collect(),
        balances: vec![HOLDING; HOLDERS.len()],
        treasury: HOLDING,
        pool: HOLDING,
        incentives: HOLDING,
    }
}

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
