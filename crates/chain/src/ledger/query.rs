//! What can be read of the ledger: one question, one answer, so that the process that hosts it serves one call.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, LockRef, TaskId, VaultId};
use symphony_types::time::OrderedMillis;

use super::escrow::Lock;
use super::reward::{BatchRecord, Tree};
use super::staking::{self, Stake};
use super::{Abort, Receipt, State};
use crate::refusal::Refusal;
use crate::transaction::{Anchor, ChainTerms, Draft, Sponsorship, Tier, Track};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// What a wallet must know to sign.
    Terms,
    /// What became of a transaction.
    Fate(Track),
    /// One escrow lock.
    Lock(LockRef),
    /// The receipt of a transaction.
    Receipt(Digest),
    /// One account.
    Account(AccountId),
    /// The staked producers (R161).
    Staked,
    /// A task's settlement root (R150).
    Anchor(TaskId),
    /// A Vault's dividends of an epoch.
    Tree(VaultId, EpochId),
    /// Whether a leaf of that tree was claimed.
    Claimed(VaultId, EpochId, u64),
    /// What one batch did.
    Batch(Digest),
    /// What all batches of an epoch did (R173).
    Epoch(EpochId),
    /// Where the protocol's own money is.
    Funds,
    /// What a Vault's producers are kept for later epochs.
    Carry(VaultId),
    /// How far the schedule of inflation is.
    Inflation,
    /// Whether nodes were paid for an epoch of it.
    NodesPaid(u64),
    /// That the network's sponsor pays the gas of a call.
    Sponsorship(Box<Draft>),
}

/// An answer, to the question of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The chain's terms.
    Terms(ChainTerms),
    /// The transaction's fate.
    Fate(Fate),
    /// The lock, if there is one.
    Lock(Option<Lock>),
    /// The receipt, if the transaction was executed and is still kept.
    Receipt(Option<Receipt>),
    /// The account; one that never appeared is empty.
    Account(Account),
    /// The staked producers.
    Staked(BTreeSet<AccountId>),
    /// The anchor, if there is one.
    Anchor(Option<Anchor>),
    /// The tree, if there is one.
    Tree(Option<Tree>),
    /// Whether it was claimed.
    Claimed(bool),
    /// The batch's record, if it was executed.
    Batch(Option<BatchRecord>),
    /// The epoch's records, by batch id.
    Epoch(Vec<BatchRecord>),
    /// The protocol's money.
    Funds(Funds),
    /// What is kept.
    Carry(Sym),
    /// How far it is.
    Inflation(Minting),
    /// Whether they were.
    NodesPaid(bool),
    /// The sponsor's word, or why it does not pay.
    Sponsorship(Result<Sponsorship, Refusal>),
}

/// What became of a transaction, and so the one thing to do next (R172).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It was executed: nothing more to do.
    Executed(Receipt),
    /// The chain took it and refused it for good: another one may be signed.
    Refused(Refusal),
    /// It may still be executed: the same bytes again.
    Alive,
    /// It was not executed and never will be: another one may be signed.
    Dead,
    /// Too long ago to tell: somebody must look.
    Undecided,
}

/// One account as the chain shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// What it may spend.
    pub balance: Sym,
    /// The number its next transaction must have.
    pub sequence: u64,
    /// Its stakes; a tier without any is left out.
    pub stakes: BTreeMap<Tier, Stake>,
}

/// Money that is nobody's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funds {
    /// Minted.
    pub minted: Sym,
    /// In the treasury.
    pub treasury: Sym,
    /// In the epoch reward pool.
    pub pool: Sym,
    /// In the ecosystem incentives pool.
    pub incentives: Sym,
}

/// How far the schedule of inflation is (R179).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minting {
    /// The epoch that is minted next.
    pub next: u64,
    /// The first epoch that is not minted any more.
    pub ends: u64,
    /// When the next epoch is over and may be minted.
    pub due: OrderedMillis,
}

/// Answers a question at a time.
pub fn answer(state: &State, at: OrderedMillis, query: &Query) -> Answer {
    match query {
        Query::Terms => Answer::Terms(ChainTerms::Ledger(state.chain.clone())),
        Query::Fate(track) => Answer::Fate(fate(state, at, track)),
        Query::Lock(lock) => Answer::Lock(state.escrow.lock(*lock).cloned()),
        Query::Receipt(hash) => Answer::Receipt(state.receipt(*hash).cloned()),
        Query::Account(account) => Answer::Account(self::account(state, *account)),
        Query::Staked => Answer::Staked(staking::staked(state, Tier::Producer)),
        Query::Anchor(task) => Answer::Anchor(state.reward.anchor(*task)),
        Query::Tree(vault, epoch) => Answer::Tree(state.reward.tree(vault, *epoch).cloned()),
        Query::Claimed(vault, epoch, index) => Answer::Claimed(state.reward.claimed(vault, *epoch, *index)),
        Query::Batch(batch_id) => Answer::Batch(state.reward.batch(*batch_id).cloned()),
        Query::Epoch(epoch) => Answer::Epoch(state.reward.epoch(*epoch).cloned().collect()),
        Query::Funds => Answer::Funds(Funds {
            minted: state.minted,
            treasury: state.treasury.balance,
            pool: state.reward.pool,
            incentives: state.reward.incentives,
        }),
        Query::Carry(vault) => Answer::Carry(state.reward.carry(vault)),
        Query::Inflation => Answer::Inflation(Minting {
            next: state.inflation.next,
            ends: state.inflation.schedule.ends(),
            due: state.inflation.due(),
        }),
        Query::NodesPaid(epoch) => Answer::NodesPaid(state.inflation.nodes_paid(*epoch)),
        // Nothing costs gas here.
        Query::Sponsorship(_) => Answer::Sponsorship(Err(Abort::WrongChain.into())),
    }
}

fn fate(state: &State, at: OrderedMillis, track: &Track) -> Fate {
    if let Some(receipt) = state.receipt(track.hash) {
        return Fate::Executed(receipt.clone());
    }
    let used = state.accounts.holding(track.sender).sequence > track.sequence;
    // Its receipt would still be kept, had it been executed.
    let recent = at < track.expires.plus(state.parameters.receipt_ms);
    match (used, at < track.expires) {
        (false, true) => Fate::Alive,
        (false, false) => Fate::Dead,
        (true, _) if recent => Fate::Dead,
        (true, _) => Fate::Undecided,
    }
}

fn account(state: &State, account: AccountId) -> Account {
    let holding = state.accounts.holding(account);
    let tiers = [Tier::Master, Tier::Enterprise, Tier::Producer];
    let stakes = tiers.map(|tier| (tier, state.staking.stake(account, tier)));
    let held = stakes.into_iter().filter(|(_, stake)| stake.deposit > Sym::ZERO || stake.cooling > Sym::ZERO);
    Account { balance: holding.balance, sequence: holding.sequence, stakes: held.collect() }
}
