//! The documents of reconciliation (R071, R173, R219, R220): what two sides say differently, the record of it, and a Vault's
//! word on its budget ledger. Counts and totals only: nothing here names a person.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{EpochId, TaskId, VaultId};
use symphony_types::key::{Document, Endorsed, Master, Signed, Vault};
use symphony_types::time::OrderedMillis;

use super::Bucket;

/// How two sides drifted apart. [`crate::reconcile`] has the table of what each means and of what is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DriftKind {
    /// The chain has a batch of the epoch that nobody issued, or the issued one more than once.
    DuplicateSubmission,
    /// The chain did a part of the batch.
    IncompleteBatch,
    /// The chain did the batch, and its confirmation was never ordered.
    MissingConfirmation,
    /// The confirmation was ordered, and the chain does not have the batch any more.
    LostConfirmation,
    /// The chain paid other sums than were instructed.
    RewardTotals,
    /// The chain did the batch under another epoch.
    EpochMismatch,
    /// A settled task has no root on the chain, though the batch of its epoch was done.
    AnchorAbsent,
    /// A settled task has another root on the chain.
    AnchorConflict,
    /// The masters count on a reserve that the Vault does not hold.
    BudgetUnbacked,
    /// The Vault holds a reserve that no task will commit or release.
    BudgetOrphaned,
    /// The Vault has consumed for a task that is rejected, timed out or unknown.
    BudgetConsumed,
    /// The masters gave a reserve back that the Vault still holds.
    BudgetUnreleased,
}

/// What a drift is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DriftSubject {
    /// The payout of an epoch.
    Epoch(EpochId),
    /// A batch of an epoch on the chain, by its id.
    Batch(EpochId, Digest),
    /// The root of a task that was settled in an epoch.
    Anchor(EpochId, TaskId),
    /// The budget of a task at a Vault.
    Budget(TaskId, VaultId),
}

impl DriftSubject {
    /// The task that it is about, if it is about one.
    pub const fn task(&self) -> Option<TaskId> {
        match self {
            Self::Epoch(_) | Self::Batch(..) => None,
            Self::Anchor(_, task) | Self::Budget(task, _) => Some(*task),
        }
    }

    /// The epoch that it is about, if it is about one.
    pub const fn epoch(&self) -> Option<EpochId> {
        match self {
            Self::Epoch(epoch) | Self::Batch(epoch, _) | Self::Anchor(epoch, _) => Some(*epoch),
            Self::Budget(..) => None,
        }
    }
}

/// Two sides that say different things. Each word follows from that side alone, so that every master that looks finds the
/// same: at most [`DRIFT_WORD_CHARS_MAX`](symphony_types::limits::DRIFT_WORD_CHARS_MAX) characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// How.
    pub kind: DriftKind,
    /// About what.
    pub subject: DriftSubject,
    /// What the masters' state says.
    pub here: String,
    /// What the chain or the Vault says.
    pub there: String,
}

/// What is done about a drift. None of it changes a reward record, a settlement context or a ledger entry (R006, R220).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Repair {
    /// The batch is submitted again, as it was issued; the chain does a batch once.
    Resubmit,
    /// A batch that carries this one root and no money is submitted.
    Anchor,
    /// The Vault is told again to release.
    Release,
    /// Nothing can be undone: the record itself is the correction, and people decide about the rest.
    Record,
}

/// Where a drift is with an adjustment record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AdjustmentStep {
    /// It was found; what is to be done about it begins.
    Found,
    /// Both sides say the same again.
    Settled,
}

/// The record of a drift: appended, never edited (R220).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// What was found.
    pub drift: Drift,
    /// How often this kind was found of this subject, from one.
    pub occurrence: u32,
    /// Whether it begins or ends.
    pub step: AdjustmentStep,
    /// What is done about it.
    pub repair: Repair,
}

impl Document for Adjustment {
    const TAG: &'static str = "symphony/adjustment-record/v1";
}

/// A record that masters endorse: each has compared the two sides itself.
pub type EndorsedAdjustment = Endorsed<Adjustment, Master>;

/// Where an entry of a Vault's budget ledger stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum BudgetStanding {
    /// Held.
    Reserved,
    /// Partly consumed by rounds, the rest held.
    Drawing,
    /// Consumed.
    Committed,
    /// Partly consumed by rounds, the rest given back.
    Drawn,
    /// Given back.
    Released,
    /// Given back at the deadline.
    Expired,
}

impl BudgetStanding {
    /// Every standing.
    pub const ALL: [Self; 6] =
        [Self::Reserved, Self::Drawing, Self::Committed, Self::Drawn, Self::Released, Self::Expired];

    /// The word in views.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Drawing => "drawing",
            Self::Committed => "committed",
            Self::Drawn => "drawn",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// One entry of a Vault's budget ledger, without its people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetLine {
    /// The task.
    pub task: TaskId,
    /// Digest of the preparation that asked for it.
    pub preparation: Digest,
    /// What is held of each person.
    pub epsilon: Epsilon,
    /// What each of them has lost by it.
    pub spent: Epsilon,
    /// How many people, as a bucket.
    pub people: Bucket,
    /// Where it stands.
    pub standing: BudgetStanding,
    /// When it was reserved, by the Vault's clock.
    pub reserved_at: OrderedMillis,
    /// When it ends unless consumed.
    pub deadline: OrderedMillis,
}

/// How many entries a ledger has in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetTotals {
    /// By standing, in the order of [`BudgetStanding::ALL`].
    pub entries: [u64; 6],
}

/// Which part of a Vault's budget ledger is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetQuery {
    /// Nobody can have answered before: 32 random bytes.
    pub nonce: Digest,
    /// Entries that were reserved from then on, or that still hold something.
    pub since: OrderedMillis,
    /// Entries behind this task.
    pub after: Option<TaskId>,
    /// The entry of this task, and no other.
    pub only: Option<TaskId>,
}

/// A page of a Vault's budget ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatement {
    /// The Vault.
    pub vault: VaultId,
    /// What was asked.
    pub query: BudgetQuery,
    /// Entries by task, ascending: at most [`LEDGER_PAGE_MAX`](symphony_types::limits::LEDGER_PAGE_MAX).
    pub lines: Vec<BudgetLine>,
    /// Whether more follow.
    pub more: bool,
    /// Of the whole ledger.
    pub totals: BudgetTotals,
}

impl Document for BudgetStatement {
    const TAG: &'static str = "symphony/budget-statement/v1";
}

/// A page that a Vault signed.
pub type SignedBudget = Signed<BudgetStatement, Vault>;
