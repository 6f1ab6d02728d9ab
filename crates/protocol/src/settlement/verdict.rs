//! The verifier's word: believed only from the registered verifier, about this task, and never from the
//! aggregator itself (R118, R131, R133).

use symphony_types::catalogue::Code;
use symphony_types::id::{ActorId, TaskId};

use crate::artifact::{SignedVerdict, TaskEnvelope};
use crate::governance::Governance;

/// Checks who speaks. **Errors**: `ADM-0003` when the verdict is not the registered verifier's on this task.
pub fn check(governance: &Governance, envelope: &TaskEnvelope, verdict: &SignedVerdict) -> Result<(), Code> {
    if verdict.body.verifier == envelope.coordination.aggregator {
        return Err(Code::Forbidden);
    }
    spoken(governance, envelope.task, &envelope.submitter, verdict)
}

/// Checks who speaks of a task that nobody aggregates. **Errors**: as [`check`].
pub fn spoken(
    governance: &Governance,
    task: TaskId,
    submitter: &ActorId,
    verdict: &SignedVerdict,
) -> Result<(), Code> {
    let verifier = &governance.registry.verifier;
    let body = &verdict.body;
    let believed = verdict.verify(&verifier.key)
        && body.verifier == verifier.actor
        && body.task == task
        && body.verifier != *submitter;
    if believed { Ok(()) } else { Err(Code::Forbidden) }
}
