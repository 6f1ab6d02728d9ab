//! Rewards (R150, R169, R172, R177, D3, D7): one batch settles locks, pays every class exactly what was charged,
//! opens the producers' dividend trees, returns money to the epoch pool and anchors settlement roots, all or
//! nothing. Between the events of a batch its money is in the clearing place, which is empty outside batches.
//!
//! A batch id serves one batch: the same bytes again change nothing, other bytes abort.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use symphony_types::amount::{Sym, sum};
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, TaskId, VaultId};
use symphony_types::limits::{PAYEES_PER_TREE_MAX, PAYOUT_ENTRIES_MAX};

use super::accounts::Flow;
use super::{Abort, State, escrow};
use crate::transaction::{Anchor, DividendTree, Payee, PayoutBatch, RecipientClass};

/// What happened to rewards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The protocol paid for tasks that cost their submitters nothing (D11).
    Subsidised {
        /// Out of the incentives pool.
        incentives: Sym,
        /// Out of the treasury, once the pool was empty.
        treasury: Sym,
    },
    /// Money that earlier batches kept was taken up.
    CarryDrawn {
        /// Of which Vault's producers.
        vault: VaultId,
        /// How much.
        amount: Sym,
    },
    /// Somebody was paid directly.
    Paid {
        /// Who, as what, how much.
        payee: Payee,
    },
    /// Producers may claim their dividends.
    TreeOpened {
        /// Of which epoch.
        epoch: EpochId,
        /// The tree.
        tree: DividendTree,
    },
    /// Producers' money was kept for a later batch.
    CarryKept {
        /// Of which Vault's producers.
        vault: VaultId,
        /// How much.
        amount: Sym,
    },
    /// Money went to the epoch pool (R161).
    PoolReturned {
        /// How much.
        amount: Sym,
    },
    /// The treasury got its share.
    TreasuryShared {
        /// How much.
        amount: Sym,
    },
    /// A settlement root was witnessed (R150).
    Anchored {
        /// The root and its task.
        anchor: Anchor,
    },
    /// The batch is complete.
    BatchRecorded {
        /// What it did in all.
        record: BatchRecord,
    },
    /// A producer took its dividend.
    Claimed {
        /// Who.
        account: AccountId,
        /// Whose tree.
        vault: VaultId,
        /// Of which epoch.
        epoch: EpochId,
        /// The leaf's place.
        index: u64,
        /// How much.
        amount: Sym,
    },
}

/// What one batch did; an epoch's records together are its payout (R173, R177).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRecord {
    /// The batch.
    pub batch_id: Digest,
    /// The digest of all its bytes.
    pub bytes: Digest,
    /// The epoch it paid for.
    pub epoch: EpochId,
    /// Its sums.
    pub totals: Totals,
}

/// The sums of one batch. **Invariant**: charged + subsidised + drawn = classes + carried + pool_return.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Taken of locks.
    pub charged: Sym,
    /// Given back of locks.
    pub refunded: Sym,
    /// Taken of the incentives pool and the treasury.
    pub subsidised: Sym,
    /// Taken of what earlier batches kept.
    pub drawn: Sym,
    /// Paid, by class; contributors' is what their trees hold.
    pub classes: BTreeMap<RecipientClass, Sym>,
    /// Kept for later batches.
    pub carried: Sym,
    /// Returned to the epoch pool.
    pub pool_return: Sym,
}

/// One Vault's dividends of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The Merkle root over the leaves.
    pub root: Digest,
    /// How many leaves.
    pub leaves: u64,
    /// What they add up to.
    pub total: Sym,
    /// What nobody has claimed yet.
    pub unclaimed: Sym,
}

/// The reward contract's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reward {
    pub(super) pool: Sym,
    pub(super) incentives: Sym,
    pub(super) clearing: Sym,
    carries: BTreeMap<VaultId, Sym>,
    trees: BTreeMap<(VaultId, EpochId), Tree>,
    claims: BTreeMap<(VaultId, EpochId), Claims>,
    batches: BTreeMap<Digest, BatchRecord>,
    epochs: BTreeMap<EpochId, BTreeSet<Digest>>,
    anchors: BTreeMap<TaskId, Digest>,
}

impl Reward {
    pub(super) fn new(pool: Sym, incentives: Sym) -> Self {
        Self { pool, incentives, ..Self::default() }
    }

    pub(super) fn tree(&self, vault: &VaultId, epoch: EpochId) -> Option<&Tree> {
        self.trees.get(&(vault.clone(), epoch))
    }

    pub(super) fn claimed(&self, vault: &VaultId, epoch: EpochId, index: u64) -> bool {
        self.claims.get(&(vault.clone(), epoch)).is_some_and(|claims| claims.contains(index))
    }

    pub(super) fn anchor(&self, task: TaskId) -> Option<Anchor> {
        self.anchors.get(&task).map(|root| Anchor { task, settlement_root: *root })
    }

    pub(super) fn batch(&self, batch_id: Digest) -> Option<&BatchRecord> {
        self.batches.get(&batch_id)
    }

    pub(super) fn epoch(&self, epoch: EpochId) -> impl Iterator<Item = &BatchRecord> {
        self.epochs.get(&epoch).into_iter().flatten().filter_map(|batch_id| self.batch(*batch_id))
    }

    pub(super) fn carry(&self, vault: &VaultId) -> Sym {
        self.carries.get(vault).copied().unwrap_or_default()
    }

    pub(super) fn carried(&self) -> u128 {
        self.carries.values().map(|carry| u128::from(carry.0)).sum()
    }

    pub(super) fn unclaimed(&self) -> u128 {
        self.trees.values().map(|tree| u128::from(tree.unclaimed.0)).sum()
    }
}

/// Which leaves were claimed: one bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Claims(Vec<u64>);

impl Claims {
    fn contains(&self, index: u64) -> bool {
        self.0.get((index / 64) as usize).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// `index` is below the tree's leaves, which are limited.
    fn insert(&mut self, index: u64) {
        let word = (index / 64) as usize;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (index % 64);
    }
}

impl Totals {
    /// The sums of a batch, `None` when one does not fit.
    fn of(batch: &PayoutBatch) -> Option<Self> {
        let mut classes = BTreeMap::from([
            (RecipientClass::Contributor, sum(batch.dividends.iter().map(|tree| tree.total))?),
            (RecipientClass::Treasury, batch.treasury),
        ]);
        for payee in &batch.payees {
            let total: &mut Sym = classes.entry(payee.class).or_default();
            *total = total.checked_add(payee.amount)?;
        }
        Some(Self {
            charged: sum(batch.settlements.iter().map(|settlement| settlement.charged))?,
            refunded: sum(batch.settlements.iter().map(|settlement| settlement.refunded))?,
            subsidised: sum(batch.subsidies.iter().map(|subsidy| subsidy.amount))?,
            drawn: sum(batch.carries.iter().map(|carry| carry.out_of))?,
            classes,
            carried: sum(batch.carries.iter().map(|carry| carry.into))?,
            pool_return: batch.pool_return,
        })
    }

    fn balanced(&self) -> bool {
        let paid = self.classes.values().chain([&self.carried, &self.pool_return]);
        let taken = sum([self.charged, self.subsidised, self.drawn]);
        taken.is_some() && taken == sum(paid.copied())
    }
}

/// The digest of all bytes of a batch.
pub fn batch_bytes(batch: &PayoutBatch) -> Digest {
    Digest::of("symphony/payout-batch/v1", batch)
}

pub(super) fn payout(
    state: &State,
    sender: AccountId,
    batch: &PayoutBatch,
) -> Result<Vec<super::Event>, Abort> {
    if sender != state.roles.payout {
        return Err(Abort::NotAuthorized);
    }
    let bytes = batch_bytes(batch);
    if let Some(record) = state.reward.batch(batch.batch_id) {
        return if record.bytes == bytes { Ok(Vec::new()) } else { Err(Abort::BatchConflict) };
    }
    check_entries(batch)?;
    let mut events = Vec::new();
    for settlement in &batch.settlements {
        events.push(super::Event::Escrow(escrow::settle(state, settlement)?));
    }
    let totals = Totals::of(batch).filter(Totals::balanced).ok_or(Abort::BatchUnbalanced)?;
    let mut rewards = subsidise(state, totals.subsidised)?;
    rewards.extend(draw(state, batch)?);
    rewards.extend(pay(state, batch)?);
    rewards.push(Event::BatchRecorded {
        record: BatchRecord { batch_id: batch.batch_id, bytes, epoch: batch.epoch, totals },
    });
    events.extend(rewards.into_iter().map(super::Event::Reward));
    Ok(events)
}

/// Whether the lists are bounded and name nothing twice.
fn check_entries(batch: &PayoutBatch) -> Result<(), Abort> {
    let PayoutBatch { settlements, subsidies, payees, dividends, carries, anchors, .. } = batch;
    let lengths =
        [settlements.len(), subsidies.len(), payees.len(), dividends.len(), carries.len(), anchors.len()];
    if lengths.iter().sum::<usize>() > PAYOUT_ENTRIES_MAX {
        return Err(Abort::BatchTooLarge);
    }
    distinct(settlements.iter().map(|settlement| settlement.lock))?;
    let locked = settlements.iter().map(|settlement| settlement.task);
    distinct(locked.chain(subsidies.iter().map(|subsidy| subsidy.task)))?;
    distinct(dividends.iter().map(|tree| &tree.vault))?;
    distinct(carries.iter().map(|carry| &carry.vault))?;
    distinct(anchors.iter().map(|anchor| anchor.task))
}

fn distinct<T: Ord>(items: impl Iterator<Item = T>) -> Result<(), Abort> {
    let mut seen = BTreeSet::new();
    for item in items {
        if !seen.insert(item) {
            return Err(Abort::EntryRepeated);
        }
    }
    Ok(())
}

fn subsidise(state: &State, amount: Sym) -> Result<Vec<Event>, Abort> {
    if amount == Sym::ZERO {
        return Ok(Vec::new());
    }
    let incentives = amount.min(state.reward.incentives);
    // What the pool does not have: it gives at most the amount.
    let treasury = Sym(amount.0 - incentives.0);
    if state.treasury.balance < treasury {
        return Err(Abort::SubsidyTooLarge);
    }
    Ok(vec![Event::Subsidised { incentives, treasury }])
}

fn draw(state: &State, batch: &PayoutBatch) -> Result<Vec<Event>, Abort> {
    let mut events = Vec::new();
    for carry in batch.carries.iter().filter(|carry| carry.out_of > Sym::ZERO) {
        if state.reward.carry(&carry.vault) < carry.out_of {
            return Err(Abort::CarryTooSmall);
        }
        events.push(Event::CarryDrawn { vault: carry.vault.clone(), amount: carry.out_of });
    }
    Ok(events)
}

fn pay(state: &State, batch: &PayoutBatch) -> Result<Vec<Event>, Abort> {
    let mut events = Vec::new();
    for payee in &batch.payees {
        match payee.class {
            RecipientClass::Contributor | RecipientClass::Treasury => return Err(Abort::PayeeClassWrong),
            RecipientClass::VaultOperator
            | RecipientClass::Executor
            | RecipientClass::Aggregator
            | RecipientClass::Verifier => events.push(Event::Paid { payee: payee.clone() }),
        }
    }
    for tree in &batch.dividends {
        let fewest = state.parameters.payees_per_tree_min.max(1);
        if tree.total == Sym::ZERO || tree.leaves < fewest || tree.leaves > PAYEES_PER_TREE_MAX as u64 {
            return Err(Abort::TreeInvalid);
        }
        if state.reward.tree(&tree.vault, batch.epoch).is_some() {
            return Err(Abort::TreeExists);
        }
        events.push(Event::TreeOpened { epoch: batch.epoch, tree: tree.clone() });
    }
    for carry in batch.carries.iter().filter(|carry| carry.into > Sym::ZERO) {
        events.push(Event::CarryKept { vault: carry.vault.clone(), amount: carry.into });
    }
    if batch.pool_return > Sym::ZERO {
        events.push(Event::PoolReturned { amount: batch.pool_return });
    }
    if batch.treasury > Sym::ZERO {
        events.push(Event::TreasuryShared { amount: batch.treasury });
    }
    for anchor in &batch.anchors {
        if state.reward.anchor(anchor.task).is_some() {
            return Err(Abort::AnchorExists);
        }
        events.push(Event::Anchored { anchor: anchor.clone() });
    }
    Ok(events)
}

pub(super) fn claim(
    state: &State,
    vault: &VaultId,
    epoch: EpochId,
    leaf: &symphony_types::dividend::DividendLeaf,
    path: &[Digest],
) -> Result<Event, Abort> {
    let tree = state.reward.tree(vault, epoch).ok_or(Abort::TreeUnknown)?;
    let included =
        symphony_types::merkle::verify_inclusion(tree.root, leaf.hash(), leaf.index, tree.leaves, path);
    if !included {
        return Err(Abort::ClaimInvalid);
    }
    if state.reward.claimed(vault, epoch, leaf.index) {
        return Err(Abort::AlreadyClaimed);
    }
    if tree.unclaimed < leaf.amount {
        return Err(Abort::TreeOverdrawn);
    }
    let vault = vault.clone();
    Ok(Event::Claimed { account: leaf.account, vault, epoch, index: leaf.index, amount: leaf.amount })
}

pub(super) fn evolve(state: &mut State, flow: &mut Flow, event: &Event) {
    let reward = &mut state.reward;
    match event {
        Event::Subsidised { incentives, treasury } => {
            flow.take(&mut reward.incentives, *incentives);
            flow.take(&mut state.treasury.balance, *treasury);
            flow.give(&mut reward.clearing, *incentives);
            flow.give(&mut reward.clearing, *treasury);
        }
        Event::CarryDrawn { vault, amount } => {
            flow.take(reward.carries.entry(vault.clone()).or_default(), *amount);
            flow.give(&mut reward.clearing, *amount);
        }
        Event::Paid { payee } => {
            flow.take(&mut reward.clearing, payee.amount);
            flow.give(state.accounts.balance_mut(payee.account), payee.amount);
        }
        Event::TreeOpened { epoch, tree } => {
            let DividendTree { vault, root, leaves, total } = tree.clone();
            let mut opened = Tree { root, leaves, total, unclaimed: Sym::ZERO };
            flow.take(&mut reward.clearing, total);
            flow.give(&mut opened.unclaimed, total);
            reward.trees.insert((vault, *epoch), opened);
        }
        Event::CarryKept { vault, amount } => {
            flow.take(&mut reward.clearing, *amount);
            flow.give(reward.carries.entry(vault.clone()).or_default(), *amount);
        }
        Event::PoolReturned { amount } => {
            flow.take(&mut reward.clearing, *amount);
            flow.give(&mut reward.pool, *amount);
        }
        Event::TreasuryShared { amount } => {
            flow.take(&mut reward.clearing, *amount);
            flow.give(&mut state.treasury.balance, *amount);
        }
        Event::Anchored { anchor } => {
            reward.anchors.insert(anchor.task, anchor.settlement_root);
        }
        Event::BatchRecorded { record } => {
            assert_eq!(reward.clearing, Sym::ZERO, "invariant chain.clearing: a batch pays all it charges");
            reward.epochs.entry(record.epoch).or_default().insert(record.batch_id);
            reward.batches.insert(record.batch_id, record.clone());
        }
        Event::Claimed { account, vault, epoch, index, amount } => {
            let key = (vault.clone(), *epoch);
            let tree =
                reward.trees.get_mut(&key).expect("invariant chain.tree: a claim names a tree that is open");
            flow.take(&mut tree.unclaimed, *amount);
            flow.give(state.accounts.balance_mut(*account), *amount);
            reward.claims.entry(key).or_default().insert(*index);
        }
    }
}
