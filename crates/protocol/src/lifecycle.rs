//! The life of a task (R033-R041): which states there are, which steps between them, and a task's data in each.
//!
//! ```text
//! (admit) -> accepted -> resolving -> dispatched -> verifying -> awaiting_settlement -> completed
//!                |           |            |            |  ^              |   ^
//!                |           |            |            v  |              v   |
//!                |           |            |          challenged <--------+---+
//!                +-----------+------------+------------+-----------------+--> rejected | timed_out
//! ```

pub mod training;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{NodeId, VaultId};
use symphony_types::table::Value;
use symphony_types::time::OrderedMillis;

use training::Position;

use crate::artifact::{
    SettlementContext, SignedAggregate, SignedReceipt, SignedSlice, SignedVerdict, TaskEnvelope,
};

/// The states of a task, exactly (R033).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaskState {
    /// Admitted: escrow, consent and budget are in place.
    Accepted,
    /// Its meaning is being bound.
    Resolving,
    /// Vaults compute and the aggregator combines.
    Dispatched,
    /// The verifier looks at the result.
    Verifying,
    /// Accepted; the challenge window is open.
    AwaitingSettlement,
    /// Settled for good.
    Completed,
    /// Somebody disputes the result.
    Challenged,
    /// Refused after admission.
    Rejected,
    /// A stage took too long.
    TimedOut,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Accepted,
        Self::Resolving,
        Self::Dispatched,
        Self::Verifying,
        Self::AwaitingSettlement,
        Self::Completed,
        Self::Challenged,
        Self::Rejected,
        Self::TimedOut,
    ];

    /// The specification's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Resolving => "resolving",
            Self::Dispatched => "dispatched",
            Self::Verifying => "verifying",
            Self::AwaitingSettlement => "awaiting_settlement",
            Self::Completed => "completed",
            Self::Challenged => "challenged",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed_out",
        }
    }

    /// Whether nothing can follow (R040).
    pub const fn terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Rejected | Self::TimedOut)
    }

    /// Whether a task may step from here to `next` (R034, R036-R039).
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Accepted => matches!(next, Self::Resolving | Self::Rejected | Self::TimedOut),
            Self::Resolving => matches!(next, Self::Dispatched | Self::Rejected | Self::TimedOut),
            Self::Dispatched => matches!(next, Self::Verifying | Self::Rejected | Self::TimedOut),
            Self::Verifying => {
                matches!(next, Self::AwaitingSettlement | Self::Challenged | Self::Rejected | Self::TimedOut)
            }
            Self::AwaitingSettlement => {
                matches!(next, Self::Completed | Self::Challenged | Self::Rejected | Self::TimedOut)
            }
            Self::Challenged => {
                matches!(next, Self::Verifying | Self::AwaitingSettlement | Self::Rejected | Self::TimedOut)
            }
            Self::Completed | Self::Rejected | Self::TimedOut => false,
        }
    }
}

/// An admitted task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The order.
    pub envelope: TaskEnvelope,
    /// Receipts of the participating Vaults, in their order.
    pub receipts: Vec<SignedReceipt>,
    /// Vaults that were asked and do not take part.
    pub absent: Vec<(VaultId, Code)>,
    /// Where the task is, with what exists only there.
    pub stage: Stage,
    /// When it came there.
    pub since: OrderedMillis,
    /// Masters that reported that they cannot have the slices computed, or later: cannot combine them, and why.
    pub failures: BTreeMap<NodeId, Code>,
}

/// A stage of a task and its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "nearly every stored task is in the largest stage, completed")]
pub enum Stage {
    /// Admitted in this step.
    Accepted,
    /// Meaning bound in this step.
    Resolving,
    /// Vaults are computing.
    Computing,
    /// Rounds of a training are computed.
    Training {
        /// The round that is next.
        position: Position,
    },
    /// Enough slices arrived; the aggregator combines them.
    Aggregating {
        /// Accepted slices, by Vault in ascending order.
        slices: Vec<SignedSlice>,
        /// The task times out after.
        aggregate_by: OrderedMillis,
    },
    /// The aggregate arrived; the verifier looks at it.
    Verifying {
        /// Accepted slices.
        slices: Vec<SignedSlice>,
        /// The aggregate.
        aggregate: SignedAggregate,
        /// The task times out after.
        verify_by: OrderedMillis,
    },
    /// Accepted by the verifier; may be challenged until `final_at`.
    AwaitingSettlement {
        /// Accepted slices.
        slices: Vec<SignedSlice>,
        /// The aggregate.
        aggregate: SignedAggregate,
        /// The verdict.
        verdict: SignedVerdict,
        /// When the result becomes final.
        final_at: OrderedMillis,
    },
    /// Settled.
    Completed {
        /// Accepted slices.
        slices: Vec<SignedSlice>,
        /// The aggregate.
        aggregate: SignedAggregate,
        /// The verdict.
        verdict: SignedVerdict,
        /// What was settled.
        context: SettlementContext,
        /// Its root.
        root: Digest,
        /// When the submitter first received the result.
        delivered_at: Option<OrderedMillis>,
    },
    /// Disputed: its time stands still while the masters look at it again.
    Challenged {
        /// Accepted slices.
        slices: Vec<SignedSlice>,
        /// The aggregate.
        aggregate: SignedAggregate,
        /// The verdict, if the verifier had decided.
        verdict: Option<SignedVerdict>,
        /// The time that it had left. **Units**: milliseconds.
        left_ms: u64,
        /// Which of its challenges is under review, from one.
        challenge: u32,
        /// The task times out after.
        review_by: OrderedMillis,
    },
    /// Refused after admission; the lock goes back.
    Rejected {
        /// Why.
        code: Code,
        /// What goes back.
        refunded: Sym,
    },
    /// A stage took too long; the lock goes back.
    TimedOut {
        /// Which.
        code: Code,
        /// What goes back.
        refunded: Sym,
    },
}

impl Value for Task {}

impl Task {
    /// The task's state in the specification's words.
    pub const fn state(&self) -> TaskState {
        match self.stage {
            Stage::Accepted => TaskState::Accepted,
            Stage::Resolving => TaskState::Resolving,
            Stage::Computing | Stage::Training { .. } | Stage::Aggregating { .. } => TaskState::Dispatched,
            Stage::Verifying { .. } => TaskState::Verifying,
            Stage::AwaitingSettlement { .. } => TaskState::AwaitingSettlement,
            Stage::Challenged { .. } => TaskState::Challenged,
            Stage::Completed { .. } => TaskState::Completed,
            Stage::Rejected { .. } => TaskState::Rejected,
            Stage::TimedOut { .. } => TaskState::TimedOut,
        }
    }

    /// The next moment at which time alone moves the task; `None` when it is terminal.
    pub const fn timer(&self) -> Option<OrderedMillis> {
        match &self.stage {
            Stage::Accepted | Stage::Resolving | Stage::Computing | Stage::Training { .. } => {
                Some(self.envelope.execute_by)
            }
            Stage::Aggregating { aggregate_by, .. } => Some(*aggregate_by),
            Stage::Verifying { verify_by, .. } => Some(*verify_by),
            Stage::AwaitingSettlement { final_at, .. } => Some(*final_at),
            Stage::Challenged { review_by, .. } => Some(*review_by),
            Stage::Completed { .. } | Stage::Rejected { .. } | Stage::TimedOut { .. } => None,
        }
    }
}
