//! What a chain starts with: balances, who may do what, and the governed numbers of the contracts. Operational
//! and treasury keys are disjoint from the first block on (R170, R178).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use symphony_types::amount::{Bps, Sym, sum};
use symphony_types::id::AccountId;
use symphony_types::key::{PublicKey, Treasury, Wallet};

use super::inflation::Schedule;
use crate::transaction::{ChainId, Tier};

/// The first state of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// The chain's name.
    pub chain: ChainId,
    /// What accounts hold.
    pub balances: BTreeMap<AccountId, Sym>,
    /// What the treasury holds.
    pub treasury: Sym,
    /// What the epoch reward pool holds.
    pub pool: Sym,
    /// What the ecosystem incentives pool holds, for work that costs its submitter nothing (D11).
    pub incentives: Sym,
    /// What is minted, and when.
    pub inflation: Schedule,
    /// Who may do what.
    pub roles: Roles,
    /// The governed numbers.
    pub parameters: Parameters,
}

/// Who may do what only they may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// Sends payout batches.
    pub payout: AccountId,
    /// Executes penalties of the settlement plane.
    pub slasher: AccountId,
    /// Records how the council voted.
    pub recorder: AccountId,
    /// Approve releases of the treasury.
    pub treasury: BTreeSet<PublicKey<Treasury>>,
    /// How many of them must.
    pub treasury_threshold: u32,
}

/// The governed numbers that the contracts enforce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// Terms of masters' stake.
    pub master: TierTerms,
    /// Terms of enterprises' stake.
    pub enterprise: TierTerms,
    /// Terms of producers' stake.
    pub producer: TierTerms,
    /// The shortest time that a lock is held for, so that nobody takes back what is being worked for.
    pub lock_ms_min: u64,
    /// How far in the future a transaction may expire.
    pub transaction_ms_max: u64,
    /// How long receipts are kept; at least as long as a transaction may live.
    pub receipt_ms: u64,
    /// The fewest payees of a dividend tree (D7).
    pub payees_per_tree_min: u64,
    /// Votes that accept a proposal, of all who may vote.
    pub quorum: Bps,
}

/// Terms of one tier's stake (R174, R175).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierTerms {
    /// The smallest stake that counts.
    pub minimum: Sym,
    /// How long a withdrawal waits.
    pub cooldown_ms: u64,
}

impl Parameters {
    /// The terms of one tier.
    pub const fn terms(&self, tier: Tier) -> TierTerms {
        match tier {
            Tier::Master => self.master,
            Tier::Enterprise => self.enterprise,
            Tier::Producer => self.producer,
        }
    }
}

/// A chain cannot start like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// Two roles share a key.
    #[error("payout, slasher, recorder and treasury signers do not have keys of their own")]
    RolesOverlap,
    /// The treasury could never be opened, or without any approval.
    #[error("the treasury threshold is not between one and the number of signers")]
    ThresholdInvalid,
    /// More base units than a number holds.
    #[error("the initial supply is too large")]
    SupplyTooLarge,
    /// Nobody's votes would accept, or more than everybody's.
    #[error("the quorum of votes is nothing or above the whole")]
    QuorumInvalid,
    /// A rate or share is above the whole, a later rate is higher, or an epoch has no length.
    #[error("the schedule of inflation is not sound")]
    ScheduleInvalid,
    /// A resent transaction could be executed twice in its sender's eyes.
    #[error("receipts are kept for a shorter time than a transaction may live")]
    ReceiptsTooShort,
}

impl Genesis {
    /// Checks the whole; says how much is minted.
    pub(super) fn check(&self) -> Result<Sym, GenesisError> {
        let signers =
            self.roles.treasury.iter().map(|key| PublicKey::<Wallet>::from_bytes(*key.as_bytes()).account());
        let mut accounts: BTreeSet<AccountId> = signers.collect();
        let Roles { payout, slasher, recorder, .. } = self.roles;
        if ![payout, slasher, recorder].into_iter().all(|account| accounts.insert(account)) {
            return Err(GenesisError::RolesOverlap);
        }
        let threshold = self.roles.treasury_threshold as usize;
        if threshold == 0 || threshold > self.roles.treasury.len() {
            return Err(GenesisError::ThresholdInvalid);
        }
        if self.parameters.quorum == Bps(0) || self.parameters.quorum > Bps::WHOLE {
            return Err(GenesisError::QuorumInvalid);
        }
        if !self.inflation.is_sound() {
            return Err(GenesisError::ScheduleInvalid);
        }
        if self.parameters.receipt_ms < self.parameters.transaction_ms_max {
            return Err(GenesisError::ReceiptsTooShort);
        }
        let held = self.balances.values().copied();
        sum(held.chain([self.treasury, self.pool, self.incentives])).ok_or(GenesisError::SupplyTooLarge)
    }
}
