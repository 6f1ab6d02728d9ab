//! What the outside owes: what an event begins, what it ends, and what a state owes by itself.
//!
//! The first two are how a decision leases effects without looking at the whole state; the third is the definition
//! that they are tested against.

use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::id::{EpochId, TaskId, VaultId};

use super::{Answer, Event, ParseStage, State, epoch, moving};
use crate::artifact::Plan;
use crate::artifact::challenge::Ruling;
use crate::lifecycle::{Stage, Task};
use crate::settlement::payout::EpochStage;

/// What the outside owes. Each is leased to one master, may run twice all the same, and reports back as a command; the key is the effect itself: a task or epoch and a step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Effect {
    /// Ask the Vaults; report `RecordPreparations`.
    PrepareTask(TaskId),
    /// Free what a dead task reserved; nothing to report, the reservation's deadline does the same.
    ReleaseBudget(TaskId, Vec<VaultId>),
    /// Assign the slices; report `RecordSlices` or `RecordFailure`.
    AssignSlices(TaskId),
    /// Combine; report `RecordAggregate` or `RecordFailure`.
    Aggregate(TaskId),
    /// Have the rounds of a training computed; report `RecordRound` for each, or `RecordFailure`.
    Train(TaskId),
    /// Have the Vault read; report `RecordParse`.
    Parse(TaskId),
    /// Verify; report `RecordVerdict`.
    Verify(TaskId),
    /// Look at a disputed result again; report `RecordFinding`.
    Review(TaskId),
    /// Ask the Vaults for their dividends; report `RecordDividends`.
    CloseDividends(EpochId),
    /// Have the batch done; report `RecordPayout`.
    Pay(EpochId),
    /// Carry what a Vault keeps to the one that it moves to; report `RecordMove`.
    Move(VaultId),
}

impl Effect {
    /// The task that the effect is about; `None` for effects of an epoch.
    pub const fn task(&self) -> Option<TaskId> {
        match self {
            Self::PrepareTask(task)
            | Self::ReleaseBudget(task, _)
            | Self::AssignSlices(task)
            | Self::Aggregate(task)
            | Self::Train(task)
            | Self::Parse(task)
            | Self::Verify(task)
            | Self::Review(task) => Some(*task),
            Self::CloseDividends(_) | Self::Pay(_) | Self::Move(_) => None,
        }
    }

    /// Whether nobody reports it and a deadline elsewhere does the same, so that it is tried once and not passed on.
    pub const fn once(&self) -> bool {
        matches!(self, Self::ReleaseBudget(..))
    }
}

/// What an event begins to owe, given the state before the decision that it is part of.
pub(super) fn begun(state: &State, event: &Event) -> Vec<Effect> {
    match event {
        Event::AdmissionRequested { admission, .. } => vec![Effect::PrepareTask(admission.request.task())],
        Event::AdmissionRefused { task, release, .. } if !release.is_empty() => {
            vec![Effect::ReleaseBudget(*task, release.clone())]
        }
        Event::TaskAdmitted { envelope, .. } => match envelope.plan {
            Plan::Audience(_) | Plan::Compute(_) | Plan::Statistic(_) => {
                vec![Effect::AssignSlices(envelope.task)]
            }
            Plan::Training(_) => vec![Effect::Train(envelope.task)],
        },
        Event::ParseAdmitted { order, .. } => vec![Effect::Parse(order.task)],
        Event::ParseRecorded { statement, .. } => vec![Effect::Verify(statement.body.task)],
        Event::SlicesAccepted { task, .. } => vec![Effect::Aggregate(*task)],
        Event::AggregateRecorded { aggregate, .. } => vec![Effect::Verify(aggregate.body.task)],
        // What the rounds did not spend goes back (D20).
        Event::RoundRecorded { round, verify_by: Some(_) } => {
            let mut owed = vec![Effect::Verify(round.task)];
            owed.extend(release(state, &round.task));
            owed
        }
        Event::ChallengeFiled { filing, .. } => vec![Effect::Review(filing.task)],
        // What was not verified when it was disputed is verified now.
        Event::ChallengeRuled { task, ruling: Ruling::NotConfirmed(_), .. } => {
            let unjudged = |known: &Task| matches!(known.stage, Stage::Challenged { verdict: None, .. });
            state.tasks.get(task).is_some_and(unjudged).then_some(Effect::Verify(*task)).into_iter().collect()
        }
        Event::TaskClosed { task, .. } => release(state, task),
        Event::EpochClosed { epoch } if epoch::first_unissued(state, *epoch) => {
            vec![Effect::CloseDividends(*epoch)]
        }
        Event::PayoutIssued { instructions, .. } => {
            let mut owed = vec![Effect::Pay(instructions.epoch)];
            owed.extend(epoch::closing_after(state, instructions.epoch).map(Effect::CloseDividends));
            owed
        }
        Event::Governed { event } => moving::begun(event),
        Event::AdmissionRefused { .. }
        | Event::ChallengeRuled { ruling: Ruling::Confirmed(_), .. }
        | Event::BondResolved { .. }
        | Event::PenaltyRecorded { .. }
        | Event::ParseSettled { .. }
        | Event::ParseClosed { .. }
        | Event::TaskTransitioned { .. }
        | Event::FailureReported { .. }
        | Event::RoundRecorded { verify_by: None, .. }
        | Event::VerdictAccepted { .. }
        | Event::SettlementFinalized { .. }
        | Event::ResultDelivered { .. }
        | Event::EpochClosed { .. }
        | Event::PayoutConfirmed { .. }
        | Event::EffectLeased { .. }
        | Event::LeasesRenewed { .. }
        | Event::LeaseDropped { .. }
        | Event::ProtocolAnnounced { .. }
        | Event::ProtocolActivated { .. }
        | Event::MoveClosed { .. }
        | Event::CandidatesReported { .. }
        | Event::StakesRecorded { .. }
        | Event::AdjustmentRecorded { .. } => vec![],
    }
}

/// What is no longer owed after an event; nothing when it was not.
pub(super) fn ended(event: &Event) -> Vec<Effect> {
    match event {
        Event::AdmissionRefused { task, .. } => vec![Effect::PrepareTask(*task)],
        Event::TaskAdmitted { envelope, .. } => vec![Effect::PrepareTask(envelope.task)],
        // Slices of a later attempt end the aggregation of those that they replace.
        Event::SlicesAccepted { task, .. } => vec![Effect::AssignSlices(*task), Effect::Aggregate(*task)],
        Event::AggregateRecorded { aggregate, .. } => vec![Effect::Aggregate(aggregate.body.task)],
        Event::RoundRecorded { round, verify_by: Some(_) } => vec![Effect::Train(round.task)],
        Event::VerdictAccepted { verdict, .. } => vec![Effect::Verify(verdict.body.task)],
        Event::ChallengeFiled { filing, .. } => vec![Effect::Verify(filing.task)],
        Event::ChallengeRuled { task, .. } => vec![Effect::Review(*task)],
        Event::ParseRecorded { statement, .. } => vec![Effect::Parse(statement.body.task)],
        Event::ParseClosed { task, .. } => vec![Effect::Parse(*task), Effect::Verify(*task)],
        Event::TaskClosed { task, .. } => {
            vec![
                Effect::AssignSlices(*task),
                Effect::Aggregate(*task),
                Effect::Train(*task),
                Effect::Verify(*task),
                Effect::Review(*task),
            ]
        }
        Event::PayoutIssued { instructions, .. } => vec![Effect::CloseDividends(instructions.epoch)],
        Event::PayoutConfirmed { confirmation } => vec![Effect::Pay(confirmation.body.epoch)],
        Event::LeaseDropped { effect } => vec![effect.clone()],
        Event::MoveClosed { closing } => vec![Effect::Move(closing.source.body.from.clone())],
        Event::AdmissionRequested { .. }
        | Event::ParseAdmitted { .. }
        | Event::ParseSettled { .. }
        | Event::TaskTransitioned { .. }
        | Event::FailureReported { .. }
        | Event::RoundRecorded { verify_by: None, .. }
        | Event::BondResolved { .. }
        | Event::PenaltyRecorded { .. }
        | Event::SettlementFinalized { .. }
        | Event::ResultDelivered { .. }
        | Event::EpochClosed { .. }
        | Event::EffectLeased { .. }
        | Event::LeasesRenewed { .. }
        | Event::ProtocolAnnounced { .. }
        | Event::ProtocolActivated { .. }
        | Event::Governed { .. }
        | Event::CandidatesReported { .. }
        | Event::StakesRecorded { .. }
        | Event::AdjustmentRecorded { .. } => vec![],
    }
}

/// Everything that a state owes by itself. Each of these is leased, and nothing else is, but for releases whose lease
/// has not run out: see [`State::leases_agree`].
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
            Stage::Training { .. } => owed.push(Effect::Train(*id)),
            Stage::Aggregating { .. } => owed.push(Effect::Aggregate(*id)),
            Stage::Verifying { .. } => owed.push(Effect::Verify(*id)),
            Stage::Challenged { .. } => owed.push(Effect::Review(*id)),
            Stage::Accepted
            | Stage::Resolving
            | Stage::AwaitingSettlement { .. }
            | Stage::Completed { .. }
            | Stage::Rejected { .. }
            | Stage::TimedOut { .. } => {}
        }
    }
    for (id, parse) in &state.parses {
        match parse.stage {
            ParseStage::Parsing => owed.push(Effect::Parse(*id)),
            ParseStage::Verifying { .. } => owed.push(Effect::Verify(*id)),
            ParseStage::Accepted
            | ParseStage::Resolving
            | ParseStage::AwaitingSettlement { .. }
            | ParseStage::Completed { .. }
            | ParseStage::Rejected(_)
            | ParseStage::TimedOut(_) => {}
        }
    }
    for (id, account) in &state.epochs {
        if let EpochStage::Issued(..) = account.stage {
            owed.push(Effect::Pay(*id));
        }
    }
    owed.extend(epoch::next_closing(state).map(Effect::CloseDividends));
    owed.extend(moving::outstanding(state));
    owed
}

/// The release of what a task still holds: a training that is verified has given it back with its last round.
fn release(state: &State, task: &TaskId) -> Vec<Effect> {
    let given_back = |known: &Task| {
        matches!(known.stage, Stage::Verifying { .. } | Stage::Challenged { .. })
            && known.envelope.plan.training().is_some()
    };
    let holder = state.tasks.get(task).filter(|known| !given_back(known));
    let vaults = holder.map(|known| known.envelope.coordination.participating_vault_ids.clone());
    vaults.map(|vaults| Effect::ReleaseBudget(*task, vaults)).into_iter().collect()
}
