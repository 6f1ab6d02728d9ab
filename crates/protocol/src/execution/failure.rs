//! What a master says when a step of a task cannot be done by it: too few slices, or an enclave that refused for good.
//!
//! One master may be wrong about that, or lie, so its word passes the step on to another master, and only the word of a
//! majority ends the task (R012, R195, R196).

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::id::{NodeId, TaskId};
use symphony_types::key::{Document, Master, Signed};

use crate::governance::registry::Registry;

/// A step of a task that a master may fail at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Having the slices computed.
    Slices,
    /// Combining them.
    Aggregate,
    /// This round of a training, so that a word about one is none about the next.
    Round(u32),
    /// Looking again at what its own aggregator has made.
    Review,
}

/// One master's word that it cannot do a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailure {
    /// The task.
    pub task: TaskId,
    /// The step, so that the word cannot be held against the task at another one.
    pub step: Step,
    /// Why.
    pub code: Code,
}

impl Document for TaskFailure {
    const TAG: &'static str = "symphony/task-failure/v1";
}

/// A failure that a master signed: who orders it proves nothing, and nobody reports in another's name.
pub type SignedFailure = Signed<TaskFailure, Master>;

/// The registered master whose word this is; `None` when it is nobody's.
pub fn reporter<'a>(registry: &'a Registry, failure: &SignedFailure) -> Option<&'a NodeId> {
    let (master, _) = registry.masters.iter().find(|(_, key)| failure.verify(key))?;
    Some(master)
}
