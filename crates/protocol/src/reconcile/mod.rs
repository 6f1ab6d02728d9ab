//! Reconciliation: what the masters' state says against what chain and Vaults show (R071, R173, R219, R220).
//!
//! Pure comparisons: two sides in, drifts out, in a fixed order. The chain is never the source of truth (R006): a drift
//! changes no reward record, settlement context or ledger entry. It becomes an adjustment record
//! ([`crate::artifact::adjustment`]) that a majority endorses, and each kind has one repair:
//!
//! | drift | the masters' state | the other side | repair |
//! |---|---|---|---|
//! | `duplicate_submission` | one batch for the epoch | chain: a batch that nobody issued, or the issued one again | record |
//! | `incomplete_batch` | the epoch's instructions | chain: the batch, with parts of it missing | resubmit |
//! | `missing_confirmation` | issued, not confirmed | chain: the batch is done | resubmit |
//! | `lost_confirmation` | confirmed | chain: no such batch | resubmit |
//! | `reward_totals` | the sums of the instructions | chain: the batch, with other sums | record |
//! | `epoch_mismatch` | the epoch of the instructions | chain: the batch, under another epoch | record |
//! | `anchor_absent` | the root of a settled task | chain: the epoch's batch, and no root | anchor |
//! | `anchor_conflict` | the root of a settled task | chain: another root | record |
//! | `budget_unbacked` (a) | a task counts on a reserve | Vault: holds and has consumed nothing | record |
//! | `budget_orphaned` (b) | no such task, or it did not ask this Vault | Vault: still holds | release |
//! | `budget_consumed` (c) | the task is dead or unknown | Vault: has consumed | record |
//! | `budget_unreleased` (d) | given back | Vault: still holds | release |
//!
//! *Resubmit*: the same instructions go to the payout service again. The chain does a batch id once, so the worst that a
//! repetition does is nothing. *Anchor*: a batch of its own with this one root and no money. A root on the chain is written
//! once, so a wrong one stays and the record says so. *Release*: the Vault is told again; only what is still held is freed.
//! *Record*: nothing is undone. What a Vault has consumed stays consumed (R066), what a chain has paid stays paid; the record
//! is the correction, and whoever keeps the treasury or governs decides about the rest.

pub mod budget;
pub mod chain;

use alloc::string::String;

use symphony_types::catalogue::Code;
use symphony_types::limits::DRIFT_WORD_CHARS_MAX;

use crate::artifact::adjustment::{Adjustment, Drift, DriftKind, DriftSubject, Repair};

impl DriftKind {
    /// Every kind, in the order in which drifts are found.
    pub const ALL: [Self; 12] = [
        Self::DuplicateSubmission,
        Self::IncompleteBatch,
        Self::MissingConfirmation,
        Self::LostConfirmation,
        Self::RewardTotals,
        Self::EpochMismatch,
        Self::AnchorAbsent,
        Self::AnchorConflict,
        Self::BudgetUnbacked,
        Self::BudgetOrphaned,
        Self::BudgetConsumed,
        Self::BudgetUnreleased,
    ];

    /// The word in views and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DuplicateSubmission => "duplicate_submission",
            Self::IncompleteBatch => "incomplete_batch",
            Self::MissingConfirmation => "missing_confirmation",
            Self::LostConfirmation => "lost_confirmation",
            Self::RewardTotals => "reward_totals",
            Self::EpochMismatch => "epoch_mismatch",
            Self::AnchorAbsent => "anchor_absent",
            Self::AnchorConflict => "anchor_conflict",
            Self::BudgetUnbacked => "budget_unbacked",
            Self::BudgetOrphaned => "budget_orphaned",
            Self::BudgetConsumed => "budget_consumed",
            Self::BudgetUnreleased => "budget_unreleased",
        }
    }

    /// The case of the specification that it is.
    pub const fn case(self) -> &'static str {
        match self {
            Self::DuplicateSubmission => "duplicate submissions",
            Self::IncompleteBatch => "partial downstream effects",
            Self::MissingConfirmation | Self::LostConfirmation => "missing confirmations",
            Self::RewardTotals => "reconciliation drift",
            Self::EpochMismatch => "epoch-window accounting inconsistencies",
            Self::AnchorAbsent | Self::AnchorConflict => "settlement root anchoring drift",
            Self::BudgetUnbacked => "budget two-phase drift (a)",
            Self::BudgetOrphaned => "budget two-phase drift (b)",
            Self::BudgetConsumed => "budget two-phase drift (c)",
            Self::BudgetUnreleased => "budget two-phase drift (d)",
        }
    }

    /// What is done about it.
    pub const fn repair(self) -> Repair {
        match self {
            Self::IncompleteBatch | Self::MissingConfirmation | Self::LostConfirmation => Repair::Resubmit,
            Self::AnchorAbsent => Repair::Anchor,
            Self::BudgetOrphaned | Self::BudgetUnreleased => Repair::Release,
            Self::DuplicateSubmission
            | Self::RewardTotals
            | Self::EpochMismatch
            | Self::AnchorConflict
            | Self::BudgetUnbacked
            | Self::BudgetConsumed => Repair::Record,
        }
    }

    /// Whether it can be about that.
    pub const fn about(self, subject: &DriftSubject) -> bool {
        match self {
            Self::DuplicateSubmission => matches!(subject, DriftSubject::Batch(..)),
            Self::IncompleteBatch
            | Self::MissingConfirmation
            | Self::LostConfirmation
            | Self::RewardTotals
            | Self::EpochMismatch => matches!(subject, DriftSubject::Epoch(_)),
            Self::AnchorAbsent | Self::AnchorConflict => matches!(subject, DriftSubject::Anchor(..)),
            Self::BudgetUnbacked | Self::BudgetOrphaned | Self::BudgetConsumed | Self::BudgetUnreleased => {
                matches!(subject, DriftSubject::Budget(..))
            }
        }
    }
}

impl Repair {
    /// The word in views.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resubmit => "resubmit",
            Self::Anchor => "anchor",
            Self::Release => "release",
            Self::Record => "record",
        }
    }
}

/// Whether a record says what a record of its kind may say. **Errors**: `ADM-0001`.
pub fn check(adjustment: &Adjustment) -> Result<(), Code> {
    let Adjustment { drift, occurrence, step: _, repair } = adjustment;
    let sound = |word: &str| !word.is_empty() && word.chars().count() <= DRIFT_WORD_CHARS_MAX;
    let fits = *occurrence > 0
        && drift.kind.about(&drift.subject)
        && *repair == drift.kind.repair()
        && sound(&drift.here)
        && sound(&drift.there);
    if fits { Ok(()) } else { Err(Code::Malformed) }
}

/// A drift, its words cut to what a record takes.
pub(crate) fn drift(kind: DriftKind, subject: DriftSubject, here: &str, there: &str) -> Drift {
    let cut = |word: &str| -> String { word.chars().take(DRIFT_WORD_CHARS_MAX).collect() };
    Drift { kind, subject, here: cut(here), there: cut(there) }
}
