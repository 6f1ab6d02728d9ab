//! What each event does to the state. Cannot fail: `decide` has checked.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use symphony_types::id::TaskId;
use symphony_types::time::OrderedMillis;

use super::{
    Answer, Event, State, Submission, adjustment, candidate, challenge, council, lease, parse, training,
    version,
};
use crate::artifact::{RecipientClass, SettlementContext};
use crate::lifecycle::training::Position;
use crate::lifecycle::{Stage, Task, TaskState};
use crate::settlement::payout::{self, EpochStage, Owed, PayoutEvidence, Refund};

/// Applies one event.
pub fn evolve(state: &mut State, at: OrderedMillis, event: &Event) {
    let task = event.task();
    let due = |state: &State| task.and_then(|task| Some((state.due(&task)?, task)));
    let before = due(state);
    apply(state, at, event);
    let after = due(state);
    if before != after {
        before.map(|before| state.due.remove(&before));
        after.map(|after| state.due.insert(after, ()));
    }
}

fn apply(state: &mut State, at: OrderedMillis, event: &Event) {
    lease::evolve(state, event);
    parse::evolve(state, at, event);
    version::evolve(state, event);
    challenge::evolve(state, at, event);
    adjustment::evolve(state, at, event);
    match event {
        Event::AdmissionRequested { fingerprint, admission } => {
            let answer = Answer::Preparing(admission.clone());
            state.requests.insert(admission.request.task(), Submission { fingerprint: *fingerprint, answer });
        }
        Event::AdmissionRefused { task, submitter, fingerprint, code, at, refund, .. } => {
            let answer = Answer::Refused { submitter: submitter.clone(), code: *code, at: *at };
            state.requests.insert(*task, Submission { fingerprint: *fingerprint, answer });
            if let Some((epoch, refund)) = refund {
                book_refund(state, *epoch, *refund);
            }
        }
        Event::TaskAdmitted { envelope, receipts, absent } => {
            if let Some(submission) = state.requests.get_mut(&envelope.task) {
                submission.answer = Answer::Admitted;
            }
            let task = Task {
                envelope: envelope.clone(),
                receipts: receipts.clone(),
                absent: absent.clone(),
                stage: Stage::Accepted,
                since: at,
                failures: BTreeMap::new(),
            };
            state.tasks.insert(envelope.task, task);
        }
        Event::TaskTransitioned { task, to, at, .. } => step(state, task, *to, *at),
        Event::SlicesAccepted { task, slices, aggregate_by } => {
            // Who could not have them computed may be able to combine them. Slices that take the place of others are no
            // new step.
            if let Some(task @ Task { stage: Stage::Computing, .. }) = state.tasks.get_mut(task) {
                task.failures.clear();
            }
            set(state, task, Stage::Aggregating { slices: slices.clone(), aggregate_by: *aggregate_by });
        }
        Event::FailureReported { task, master, code } => {
            if let Some(task) = state.tasks.get_mut(task) {
                task.failures.insert(master.clone(), *code);
            }
        }
        Event::AggregateRecorded { aggregate, verify_by } => {
            update(state, &aggregate.body.task, |stage| match stage {
                Stage::Aggregating { slices, .. } => {
                    Stage::Verifying { slices, aggregate: aggregate.clone(), verify_by: *verify_by }
                }
                other => unchanged(other),
            });
        }
        Event::RoundRecorded { round, verify_by } => training::evolve(state, round, *verify_by),
        Event::VerdictAccepted { verdict, final_at } => {
            update(state, &verdict.body.task, |stage| match stage {
                Stage::Verifying { slices, aggregate, .. } => Stage::AwaitingSettlement {
                    slices,
                    aggregate,
                    verdict: verdict.clone(),
                    final_at: *final_at,
                },
                other => unchanged(other),
            });
        }
        Event::TaskClosed { task, to, code, refund: (epoch, refund) } => {
            let (code, refunded) = (*code, refund.amount);
            let stage = if *to == TaskState::TimedOut {
                Stage::TimedOut { code, refunded }
            } else {
                Stage::Rejected { code, refunded }
            };
            set(state, task, stage);
            book_refund(state, *epoch, *refund);
        }
        Event::BondResolved { bond, lost: false, epoch, .. } => book_refund(state, *epoch, *bond),
        Event::BondResolved { bond, lost: true, epoch, .. } => {
            state.epochs.get_or_default(*epoch).forfeits.insert(bond.task, *bond);
        }
        Event::PenaltyRecorded { penalty, epoch } => {
            for slash in penalty.slashes() {
                state.epochs.get_or_default(*epoch).slashes.insert(slash.reference, slash);
            }
            state.penalties.insert((penalty.task, penalty.challenge), penalty.clone());
        }
        Event::SettlementFinalized { context, root } => settle(state, context, *root),
        Event::ResultDelivered { task, at } => {
            if let Some(Task { stage: Stage::Completed { delivered_at, .. }, .. }) = state.tasks.get_mut(task)
            {
                *delivered_at = Some(*at);
            }
        }
        Event::Governed { event } => council::evolve(state, at, event),
        Event::MoveClosed { closing } => {
            state.moves.insert(closing.source.body.from.clone(), closing.clone());
        }
        Event::CandidatesReported { report } => candidate::evolve(state, at, report),
        Event::StakesRecorded { sheet } => state.stakes.clone_from(sheet),
        Event::EpochClosed { epoch } => state.epochs.get_or_default(*epoch).stage = EpochStage::Closing,
        Event::PayoutIssued { instructions, statements } => {
            let vaults: Vec<_> = state.contributors.keys().cloned().collect();
            for vault in vaults {
                let statement = statements.iter().find(|statement| statement.body.vault == vault);
                let account = state.contributors.get_or_default(vault);
                payout::book(account, instructions.epoch, statement.map(|statement| statement.body.carried));
            }
            state.epochs.get_or_default(instructions.epoch).stage =
                EpochStage::Issued(instructions.clone(), statements.clone());
        }
        Event::PayoutConfirmed { confirmation } => {
            let account = state.epochs.get_or_default(confirmation.body.epoch);
            if let EpochStage::Issued(instructions, statements) = &account.stage {
                account.stage = EpochStage::Confirmed(PayoutEvidence {
                    instructions: instructions.clone(),
                    statements: statements.clone(),
                    confirmation: confirmation.clone(),
                });
            }
        }
        // All that they do is done above.
        Event::ChallengeFiled { .. }
        | Event::ChallengeRuled { .. }
        | Event::ParseAdmitted { .. }
        | Event::ParseRecorded { .. }
        | Event::ParseSettled { .. }
        | Event::ParseClosed { .. }
        | Event::EffectLeased { .. }
        | Event::LeasesRenewed { .. }
        | Event::LeaseDropped { .. }
        | Event::ProtocolAnnounced { .. }
        | Event::ProtocolActivated { .. }
        | Event::AdjustmentRecorded { .. } => {}
    }
}

/// The step itself; stages with data of their own were set by the event that brought the data.
fn step(state: &mut State, task: &TaskId, to: TaskState, at: OrderedMillis) {
    match to {
        TaskState::Resolving => set(state, task, Stage::Resolving),
        TaskState::Dispatched => {
            let plan = state.tasks.get(task).map(|task| &task.envelope.plan);
            let trains = plan.is_some_and(|plan| plan.training().is_some());
            let stage = if trains { Stage::Training { position: Position::FIRST } } else { Stage::Computing };
            set(state, task, stage);
        }
        TaskState::Accepted
        | TaskState::Verifying
        | TaskState::AwaitingSettlement
        | TaskState::Completed
        | TaskState::Challenged
        | TaskState::Rejected
        | TaskState::TimedOut => {}
    }
    if let Some(task) = state.tasks.get_mut(task) {
        assert!(task.state() == to, "the stage of a task follows its transitions (R035)");
        task.since = at;
    }
}

fn settle(state: &mut State, context: &SettlementContext, root: symphony_types::digest::Digest) {
    for share in context.shares.iter().filter(|share| share.class == RecipientClass::Contributors) {
        if let Some(account) = share.vault.as_ref().and_then(|vault| state.contributors.get_mut(vault)) {
            account.pending.insert(context.task, Owed { epoch: context.epoch, amount: share.amount });
        }
    }
    state.epochs.get_or_default(context.epoch).settled.insert(context.task, root);
    update(state, &context.task, |stage| match stage {
        Stage::AwaitingSettlement { slices, aggregate, verdict, .. } => Stage::Completed {
            slices,
            aggregate,
            verdict,
            context: context.clone(),
            root,
            delivered_at: None,
        },
        other => unchanged(other),
    });
}

fn book_refund(state: &mut State, epoch: symphony_types::id::EpochId, refund: Refund) {
    state.epochs.get_or_default(epoch).refunds.insert(refund.task, refund);
}

fn set(state: &mut State, task: &TaskId, stage: Stage) {
    if let Some(task) = state.tasks.get_mut(task) {
        task.stage = stage;
    }
}

fn update(state: &mut State, task: &TaskId, change: impl FnOnce(Stage) -> Stage) {
    if let Some(task) = state.tasks.get_mut(task) {
        task.stage = change(core::mem::replace(&mut task.stage, Stage::Accepted));
    }
}

/// An event about a stage that the task is not in: `decide` never lets one through.
fn unchanged(stage: Stage) -> Stage {
    unreachable!("an event does not fit the stage {stage:?}")
}
