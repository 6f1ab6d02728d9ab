//! An epoch's payout as it was instructed against what the chain shows of it (R173, R219).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use symphony_types::amount::{Sym, sum};
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, TaskId, VaultId};
use symphony_types::key::Document as _;

use super::drift;
use crate::artifact::RecipientClass;
use crate::artifact::adjustment::{Drift, DriftKind, DriftSubject};
use crate::machine::State;
use crate::settlement::payout::{EpochStage, PayoutConfirmation, PayoutInstructionSet, SignedConfirmation};
use crate::settlement::{finalize, parse};

/// What a chain shows of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainSight {
    /// Batches that it has under the epoch.
    pub batches: Vec<BatchSight>,
    /// The batch with the id of the epoch's instructions, wherever it has it.
    pub issued: Option<BatchSight>,
    /// Dividend trees of the epoch, by Vault: root and total.
    pub trees: BTreeMap<VaultId, (Digest, Sym)>,
    /// Roots of the epoch's tasks.
    pub anchors: BTreeMap<TaskId, Digest>,
    /// Whether it knows the transaction of the ordered confirmation.
    pub transaction: bool,
}

/// What a chain shows of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchSight {
    /// Its id.
    pub id: Digest,
    /// The epoch that it is under.
    pub epoch: EpochId,
    /// Its sums.
    pub totals: Totals,
}

/// The sums of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Taken of locks.
    pub charged: Sym,
    /// Given back of locks.
    pub refunded: Sym,
    /// Paid by the protocol for tasks.
    pub subsidised: Sym,
    /// Taken of what earlier batches kept.
    pub drawn: Sym,
    /// Paid, by class; contributors' is what their trees hold. One without money may be left out.
    pub classes: BTreeMap<RecipientClass, Sym>,
    /// Kept for later batches.
    pub carried: Sym,
    /// Returned to the pool.
    pub pool_return: Sym,
}

impl Totals {
    /// The sums of instructions. One that does not fit is the largest amount: a chain cannot have paid it.
    pub fn of(set: &PayoutInstructionSet) -> Self {
        let mut classes: BTreeMap<RecipientClass, Sym> = BTreeMap::new();
        let trees = add(set.dividends.iter().map(|tree| tree.total));
        let paid = set.payees.iter().map(|payee| (payee.class, payee.amount));
        let others = [(RecipientClass::Contributors, trees), (RecipientClass::Treasury, set.treasury)];
        for (class, amount) in paid.chain(others) {
            let total = classes.entry(class).or_default();
            *total = add([*total, amount]);
        }
        Self {
            charged: add(set.settlements.iter().map(|settled| settled.charged)),
            refunded: add(set.settlements.iter().map(|settled| settled.refunded)),
            subsidised: add(set.subsidies.iter().map(|subsidy| subsidy.amount)),
            drawn: add(set.carries.iter().map(|carry| carry.out_of)),
            classes,
            carried: add(set.carries.iter().map(|carry| carry.into)),
            pool_return: set.pool_return,
        }
    }

    /// Every sum with its name, in one order.
    fn parts(&self) -> [(&'static str, Sym); 12] {
        let class = |class| self.classes.get(&class).copied().unwrap_or_default();
        [
            ("charged", self.charged),
            ("refunded", self.refunded),
            ("subsidised", self.subsidised),
            ("drawn", self.drawn),
            ("contributors", class(RecipientClass::Contributors)),
            ("vault operators", class(RecipientClass::VaultOperator)),
            ("executors", class(RecipientClass::Executor)),
            ("aggregators", class(RecipientClass::Aggregator)),
            ("verifiers", class(RecipientClass::Verifier)),
            ("treasury", class(RecipientClass::Treasury)),
            ("carried", self.carried),
            ("pool return", self.pool_return),
        ]
    }
}

fn add(amounts: impl IntoIterator<Item = Sym>) -> Sym {
    sum(amounts).unwrap_or(Sym(u64::MAX))
}

/// The instructions of an epoch that the chain was given, and the confirmation once it was ordered.
pub fn issued(state: &State, epoch: EpochId) -> Option<(&PayoutInstructionSet, Option<&SignedConfirmation>)> {
    match &state.epochs.get(&epoch)?.stage {
        EpochStage::Issued(instructions, _) => Some((instructions, None)),
        EpochStage::Confirmed(evidence) => Some((&evidence.instructions, Some(&evidence.confirmation))),
        EpochStage::Open | EpochStage::Closing => None,
    }
}

/// The root of a settled task, computed from what was settled; `None` when it was not.
pub fn root(state: &State, task: &TaskId) -> Option<Digest> {
    let of_parse = || state.parse_settlement(task).map(parse::settlement_root);
    state.context(task).map(finalize::settlement_root).or_else(of_parse)
}

/// The batch that anchors the root of a settled task alone; `None` when the task is not of the epoch's instructions.
pub fn anchoring(state: &State, epoch: EpochId, task: &TaskId) -> Option<PayoutInstructionSet> {
    let (set, _) = issued(state, epoch)?;
    set.anchors.iter().any(|(anchored, _)| anchored == task).then_some(())?;
    Some(PayoutInstructionSet::anchoring(epoch, *task, root(state, task)?))
}

/// What drifted of one epoch, by kind. An epoch that was not issued has nothing to compare; one that was, and that the
/// chain has not done yet, waits and has not drifted.
pub fn drifts(state: &State, epoch: EpochId, sight: &ChainSight) -> Vec<Drift> {
    let Some((set, confirmation)) = issued(state, epoch) else { return Vec::new() };
    let mut found = duplicates(state, epoch, set, sight);
    match (&sight.issued, confirmation.map(|signed| &signed.body)) {
        (None, None) => {}
        (None, Some(confirmed)) => found.push(lost(epoch, confirmed, sight.transaction)),
        (Some(batch), confirmed) => {
            found.extend(sums(epoch, set, batch, sight));
            if confirmed.is_none() {
                let (here, there) = ("issued, not confirmed", "the batch is done");
                found.push(drift(DriftKind::MissingConfirmation, DriftSubject::Epoch(epoch), here, there));
            }
            if batch.epoch != epoch {
                let (here, there) = (format!("epoch {epoch}"), format!("epoch {}", batch.epoch));
                found.push(drift(DriftKind::EpochMismatch, DriftSubject::Epoch(epoch), &here, &there));
            }
        }
    }
    found.extend(anchors(state, epoch, set, sight));
    found.sort_by(|one, other| (one.kind, &one.subject).cmp(&(other.kind, &other.subject)));
    found
}

fn duplicates(state: &State, epoch: EpochId, set: &PayoutInstructionSet, sight: &ChainSight) -> Vec<Drift> {
    let id = set.digest();
    let own = sight.batches.iter().filter(|batch| batch.id == id).count();
    let foreign: BTreeSet<Digest> =
        sight.batches.iter().map(|batch| batch.id).filter(|batch| *batch != id).collect();
    let mut found = Vec::new();
    if !foreign.is_empty() {
        // Batches that anchor a root alone were issued too; each is its task's own.
        let anchoring: BTreeSet<Digest> = (set.anchors.iter())
            .filter_map(|(task, _)| Some(anchoring(state, epoch, task)?.digest()))
            .collect();
        for batch in foreign.difference(&anchoring) {
            let here = format!("one batch, {id}");
            let subject = DriftSubject::Batch(epoch, *batch);
            found.push(drift(DriftKind::DuplicateSubmission, subject, &here, "a batch that nobody issued"));
        }
    }
    if own > 1 {
        let there = format!("the batch, {own} times");
        let subject = DriftSubject::Batch(epoch, id);
        found.push(drift(DriftKind::DuplicateSubmission, subject, "one batch", &there));
    }
    found
}

fn lost(epoch: EpochId, confirmed: &PayoutConfirmation, transaction: bool) -> Drift {
    let here = format!("confirmed by transaction {} at version {}", confirmed.transaction, confirmed.version);
    let there = if transaction { "no such batch, though the transaction is known" } else { "no such batch" };
    drift(DriftKind::LostConfirmation, DriftSubject::Epoch(epoch), &here, there)
}

/// Parts of a batch that are missing, or that are of another amount. Any other amount is a drift of the rewards.
fn sums(epoch: EpochId, set: &PayoutInstructionSet, batch: &BatchSight, sight: &ChainSight) -> Option<Drift> {
    let (mut here, mut there, mut differs) = (Vec::new(), Vec::new(), false);
    let mut compare = |name: &str, ours: Sym, theirs: Sym| {
        if ours != theirs {
            here.push(format!("{name} {}", ours.0));
            there.push(format!("{name} {}", theirs.0));
            differs |= theirs != Sym::ZERO;
        }
    };
    for ((name, ours), (_, theirs)) in Totals::of(set).parts().into_iter().zip(batch.totals.parts()) {
        compare(name, ours, theirs);
    }
    for tree in &set.dividends {
        let (name, seen) = (format!("tree of {}", tree.vault), sight.trees.get(&tree.vault));
        compare(&name, tree.total, seen.map_or(Sym::ZERO, |(_, total)| *total));
    }
    for tree in &set.dividends {
        if let Some((root, _)) = sight.trees.get(&tree.vault).filter(|(root, _)| *root != tree.root) {
            here.push(format!("root of {} {}", tree.vault, tree.root));
            there.push(format!("root of {} {root}", tree.vault));
            differs = true;
        }
    }
    let kind = if differs { DriftKind::RewardTotals } else { DriftKind::IncompleteBatch };
    let word = |parts: &[String]| parts.join(", ");
    (!here.is_empty()).then(|| drift(kind, DriftSubject::Epoch(epoch), &word(&here), &word(&there)))
}

fn anchors(state: &State, epoch: EpochId, set: &PayoutInstructionSet, sight: &ChainSight) -> Vec<Drift> {
    let mut found = Vec::new();
    for (task, instructed) in &set.anchors {
        let root = root(state, task).unwrap_or(*instructed);
        let subject = DriftSubject::Anchor(epoch, *task);
        let here = format!("root {root}");
        match sight.anchors.get(task) {
            Some(seen) if *seen == root => {}
            Some(seen) => {
                found.push(drift(DriftKind::AnchorConflict, subject, &here, &format!("root {seen}")));
            }
            None if sight.issued.is_some() => {
                found.push(drift(DriftKind::AnchorAbsent, subject, &here, "no root"));
            }
            None => {}
        }
    }
    found
}
