//! What the outside owes: after an event, and by a state alone.

use alloc::vec;
use alloc::vec::Vec;

use super::{Answer, Effect, Event, State, epoch};
use crate::lifecycle::{Stage, TaskState};
use crate::settlement::payout::EpochStage;

/// The effects of one event, given the state after it.
pub fn effects(state: &State, event: &Event) -> Vec<Effect> {
    match event {
        Event::AdmissionRequested { admission, .. } => vec![Effect::PrepareTask(admission.request.task())],
        Event::AdmissionRefused { task, release, .. } if !release.is_empty() => {
            vec![Effect::ReleaseBudget(*task, release.clone())]
        }
        Event::TaskTransitioned { task, to: TaskState::Dispatched, .. } => vec![Effect::AssignSlices(*task)],
        Event::SlicesAccepted { task, .. } => vec![Effect::Aggregate(*task)],
        Event::AggregateRecorded { aggregate, .. } => vec![Effect::Verify(aggregate.body.task)],
        Event::TaskClosed { task, .. } => release(state, task),
        Event::EpochClosed { .. } => closing(state),
        Event::PayoutIssued { instructions, .. } => {
            let mut owed = vec![Effect::Pay(instructions.epoch)];
            owed.extend(closing(state));
            owed
        }
        Event::AdmissionRefused { .. }
        | Event::TaskAdmitted { .. }
        | Event::TaskTransitioned { .. }
        | Event::VerdictAccepted { .. }
        | Event::SettlementFinalized { .. }
        | Event::ResultDelivered { .. }
        | Event::PayoutConfirmed { .. } => vec![],
    }
}

/// Everything owed in a state: what a restarted master begins with.
pub fn outstanding(state: &State) -> Vec<Effect> {
    let mut owed = Vec::new();
    for (task, submission) in &state.requests {
        if let Answer::Preparing(_) = submission.answer {
            owed.push(Effect::PrepareTask(*task));
        }
    }
    for (id, task) in &state.tasks {
        match task.stage {
            Stage::Computing => owed.push(Effect::AssignSlices(*id)),
            Stage::Aggregating { .. } => owed.push(Effect::Aggregate(*id)),
            Stage::Verifying { .. } => owed.push(Effect::Verify(*id)),
            Stage::Accepted
            | Stage::Resolving
            | Stage::AwaitingSettlement { .. }
            | Stage::Completed { .. }
            | Stage::Rejected { .. }
            | Stage::TimedOut { .. } => {}
        }
    }
    for (id, account) in &state.epochs {
        if let EpochStage::Issued(..) = account.stage {
            owed.push(Effect::Pay(*id));
        }
    }
    owed.extend(closing(state));
    owed
}

fn closing(state: &State) -> Vec<Effect> {
    epoch::next_closing(state).map(Effect::CloseDividends).into_iter().collect()
}

fn release(state: &State, task: &symphony_types::id::TaskId) -> Vec<Effect> {
    let vaults = state.tasks.get(task).map(|task| task.envelope.coordination.participating_vault_ids.clone());
    vaults.map(|vaults| Effect::ReleaseBudget(*task, vaults)).into_iter().collect()
}
