//! What the contracts start with on a chain, as their entry function `genesis::start` takes it once from the deployer.

use serde::{Deserialize, Serialize};
use symphony_types::amount::{Bps, Sym};
use symphony_types::id::AccountId;

use super::call::{Entry, bytes};
use crate::ledger::Genesis;
use crate::ledger::inflation::Schedule;
use crate::transaction::{ChainId, Tier};

/// What the contracts start with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The chain's name in what treasury signers approve.
    pub chain: ChainId,
    /// Sends payout batches.
    pub payout: AccountId,
    /// Executes penalties.
    pub settlement: AccountId,
    /// Records votes.
    pub governance: AccountId,
    /// Keys of the treasury's signers.
    pub signers: Vec<Vec<u8>>,
    /// How many of them must approve.
    pub threshold: u64,
    /// Votes that accept, of all who may vote.
    pub quorum: Bps,
    /// The smallest stake that counts: masters, enterprises, producers.
    pub minimum: [Sym; 3],
    /// How long a withdrawal waits, in the same order.
    pub cooldown_ms: [u64; 3],
    /// The shortest time that a lock is held for.
    pub lock_ms_min: u64,
    /// The fewest payees of a dividend tree.
    pub payees_per_tree_min: u64,
    /// What is minted, and when.
    pub schedule: Schedule,
    /// Who holds how much.
    pub balances: Vec<(AccountId, Sym)>,
    /// What the treasury holds.
    pub treasury: Sym,
    /// What the epoch pool holds.
    pub pool: Sym,
    /// What the incentives pool holds.
    pub incentives: Sym,
}

impl Start {
    /// The contracts as the reference ledger begins.
    pub fn of(genesis: &Genesis) -> Self {
        let Genesis { chain, balances, treasury, pool, incentives, inflation, roles, parameters } = genesis;
        let terms = [Tier::Master, Tier::Enterprise, Tier::Producer].map(|tier| parameters.terms(tier));
        Self {
            chain: chain.clone(),
            payout: roles.payout,
            settlement: roles.slasher,
            governance: roles.recorder,
            signers: roles.treasury.iter().map(|key| key.as_bytes().to_vec()).collect(),
            threshold: u64::from(roles.treasury_threshold),
            quorum: parameters.quorum,
            minimum: terms.map(|terms| terms.minimum),
            cooldown_ms: terms.map(|terms| terms.cooldown_ms),
            lock_ms_min: parameters.lock_ms_min,
            payees_per_tree_min: parameters.payees_per_tree_min,
            schedule: inflation.clone(),
            balances: balances.iter().map(|(account, balance)| (*account, *balance)).collect(),
            treasury: *treasury,
            pool: *pool,
            incentives: *incentives,
        }
    }

    /// The call of the deployer that starts the contracts.
    pub fn entry(&self) -> Entry {
        let (accounts, balances): (Vec<_>, Vec<_>) = self.balances.iter().copied().unzip();
        let rates: Vec<u64> = self.schedule.rates.iter().map(|rate| u64::from(rate.0)).collect();
        let args = vec![
            bytes(&self.chain),
            bytes(&self.payout),
            bytes(&self.settlement),
            bytes(&self.governance),
            bytes(&self.signers),
            bytes(&self.threshold),
            bytes(&u64::from(self.quorum.0)),
            bytes(&self.minimum.to_vec()),
            bytes(&self.cooldown_ms.to_vec()),
            bytes(&self.lock_ms_min),
            bytes(&self.payees_per_tree_min),
            bytes(&self.schedule.start),
            bytes(&self.schedule.epoch_ms),
            bytes(&self.schedule.epochs_per_step),
            bytes(&rates),
            bytes(&u64::from(self.schedule.treasury.0)),
            bytes(&accounts),
            bytes(&balances),
            bytes(&self.treasury),
            bytes(&self.pool),
            bytes(&self.incentives),
        ];
        Entry::new("genesis", "start", args)
    }
}
