//! Every check of every command. Nothing changes here.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, LockRef, NodeId, TaskId};
use symphony_types::limits::OPEN_TASKS_MAX;
use symphony_types::time::OrderedMillis;

use super::{
    Answer, Cause, Command, Effect, Event, Order, Refusal, State, adjustment, candidate, challenge, council,
    epoch, lease, moving, parse, stake, training, version,
};
use crate::admission::envelope::{self, PrepareAnswer};
use crate::admission::request;
use crate::artifact::{
    Decision, EndorsedLock, LockFact, SettlementContext, SignedAggregate, SignedSlice, SignedVerdict,
    TaskEnvelope, TaskRequest,
};
use crate::execution::aggregate::EndorsedAggregate;
use crate::execution::failure::{self, SignedFailure, Step};
use crate::execution::{aggregate, coordinate};
use crate::governance::membership;
use crate::lifecycle::{Stage, Task, TaskState};
use crate::settlement::finalize::Settled;
use crate::settlement::payout::Refund;
use crate::settlement::{finalize, verdict};

/// What an order would make happen, with a lease for everything that it makes owed, or why it will not happen.
/// **Errors**: [`Refusal`] with the catalogue's code.
pub fn decide(state: &State, at: OrderedMillis, order: &Order) -> Result<Vec<Event>, Refusal> {
    version::admit(state, order)?;
    let events = judge(state, at, order)?;
    Ok(lease::grant(state, at, &order.by, events))
}

fn judge(state: &State, at: OrderedMillis, order: &Order) -> Result<Vec<Event>, Refusal> {
    match &order.command {
        Command::SubmitTask { request, lock, fact } => submit(state, at, request, *lock, fact.as_ref()),
        Command::SubmitParse { ticket } => parse::submit(state, at, ticket),
        Command::RecordParse { statement } => parse::record(state, at, statement),
        Command::RecordPreparations { task, answers } => preparations(state, at, task, answers),
        Command::RecordSlices { task, slices } => record_slices(state, at, task, slices),
        Command::RecordAggregate { aggregate } => record_aggregate(state, at, aggregate),
        Command::RecordRound { round } => training::record(state, at, round),
        Command::RecordFailure { failure } => record_failure(state, at, failure),
        Command::RecordVerdict { verdict } => record_verdict(state, at, verdict),
        Command::Challenge { filing, lock, fact } => {
            challenge::file(state, at, filing, (*lock, fact.as_ref()))
        }
        Command::RecordFinding { finding } => challenge::record(state, at, finding),
        Command::RecordDelivery { task } => record_delivery(state, at, task),
        Command::AdvanceTime => advance(state, at, &order.by),
        Command::RenewLeases => Ok(lease::renew(state, at, &order.by)),
        Command::RecordDividends { epoch, statements } => epoch::dividends(state, *epoch, statements),
        Command::RecordPayout { confirmation } => epoch::payout(state, confirmation),
        Command::RecordAdjustment { adjustment } => adjustment::record(state, at, adjustment),
        Command::AnnounceProtocol { version } => version::announce(state, at, &order.by, *version),
        Command::Govern { motion } => council::motion(state, at, motion),
        Command::RecordMove { closing } => moving::record(state, closing),
        Command::ReportCandidates { report } => candidate::record(state, at, report),
        Command::RecordStakes { sheet } => stake::record(state, sheet),
    }
}

/// What makes a repeated submission the same submission (R209).
pub fn fingerprint(request: &TaskRequest, lock: LockRef) -> Digest {
    Digest::of("symphony/submission/v1", &(request, lock))
}

fn submit(
    state: &State,
    at: OrderedMillis,
    request: &TaskRequest,
    lock: LockRef,
    fact: Option<&EndorsedLock>,
) -> Result<Vec<Event>, Refusal> {
    let task = request.task();
    let fingerprint = fingerprint(request, lock);
    if let Some(known) = state.requests.get(&task) {
        return if known.fingerprint == fingerprint {
            Ok(vec![])
        } else {
            Err(Code::IdempotencyConflict.into())
        };
    }
    if fact.is_some_and(|fact| fact.body.lock != lock) {
        return Err(Code::EscrowMismatch.into());
    }
    if state.open() >= OPEN_TASKS_MAX {
        return Err(Code::TooManyTasks.into());
    }
    // What fewer than a majority of the masters saw on the chain is not confirmed (R195).
    let fact = fact.filter(|fact| state.governance.registry.endorsed(fact)).map(|fact| &fact.body);
    match request::judge(&state.staking(at), request, fact) {
        Ok(admission) => Ok(vec![Event::AdmissionRequested { fingerprint, admission }]),
        Err(code) => match fact.filter(|fact| request::refundable(&state.governance, request, fact, at)) {
            // Money is locked for this very request, so the refusal is recorded and the lock goes back.
            Some(fact) => Ok(vec![Event::AdmissionRefused {
                task,
                submitter: request.submitter.clone(),
                fingerprint,
                code,
                at,
                release: vec![],
                refund: Some((epoch_at(state, at), refund(task, fact))),
            }]),
            None => Err(code.into()),
        },
    }
}

fn preparations(
    state: &State,
    at: OrderedMillis,
    task: &TaskId,
    answers: &[PrepareAnswer],
) -> Result<Vec<Event>, Refusal> {
    let submission = state.requests.get(task).ok_or(Code::NotFound)?;
    let Answer::Preparing(admission) = &submission.answer else { return Ok(vec![]) };
    let staking = state.staking(at);
    let prepared = envelope::prepared(&staking, admission, answers);
    let quorum = prepared.receipts.len() >= usize::from(admission.request.quorum);
    // The code may have been revoked while the Vaults were asked, and a stake be gone.
    let servable = request::servable(&state.governance).and_then(|()| staking.network());
    if let Err(code) = if quorum { servable } else { Err(Code::QuorumNotPrepared) } {
        return Ok(vec![Event::AdmissionRefused {
            task: *task,
            submitter: admission.request.submitter.clone(),
            fingerprint: submission.fingerprint,
            code,
            at,
            // Also those whose receipt was lost on its way.
            release: admission.vaults.clone(),
            refund: Some((epoch_at(state, at), refund(*task, &admission.lock))),
        }]);
    }
    let envelope = envelope::assemble(&state.governance, admission, &prepared, at);
    let step = |from, to, cause| transition(state, at, *task, from, to, cause);
    Ok(vec![
        Event::TaskAdmitted { envelope, receipts: prepared.receipts, absent: prepared.absent },
        step(TaskState::Accepted, TaskState::Resolving, Cause::Admitted),
        step(TaskState::Resolving, TaskState::Dispatched, Cause::MeaningBound),
    ])
}

fn record_slices(
    state: &State,
    at: OrderedMillis,
    task: &TaskId,
    slices: &[SignedSlice],
) -> Result<Vec<Event>, Refusal> {
    let known = find(state, task)?;
    // What a suspended Vault did too late counts no more (R187).
    let slices = &membership::served(&state.governance.registry, slices);
    if let Stage::Aggregating { slices: accepted, aggregate_by } = &known.stage {
        return replace_slices(state, known, (accepted, *aggregate_by), slices);
    }
    let Stage::Computing = known.stage else { return past(known, TaskState::Dispatched) };
    // Reservations ended with the deadline, so slices that come after it cannot count.
    if known.envelope.execute_by <= at {
        return Ok(close(state, at, known, TaskState::TimedOut, Code::StageTimeout));
    }
    match coordinate::accepted(&state.governance, &known.envelope, slices) {
        Ok(slices) => {
            let aggregate_by = at.plus(policy_of(state, known)?.deadlines.aggregate_ms);
            Ok(vec![Event::SlicesAccepted { task: *task, slices, aggregate_by }])
        }
        // Too few are one master's word that there are no more.
        Err(code) => Err(code.into()),
    }
}

/// A master that took over the aggregation has had the slices sealed to its own aggregator: a later attempt at the
/// same slices takes the place of the accepted ones, within the same deadline. Anything else is a repetition or comes
/// late (R196).
fn replace_slices(
    state: &State,
    known: &Task,
    (accepted, aggregate_by): (&[SignedSlice], OrderedMillis),
    slices: &[SignedSlice],
) -> Result<Vec<Event>, Refusal> {
    if coordinate::attempt(slices) <= coordinate::attempt(accepted) {
        return Ok(vec![]);
    }
    let slices = coordinate::accepted(&state.governance, &known.envelope, slices)?;
    if coordinate::attempt(&slices) <= coordinate::attempt(accepted) {
        return Ok(vec![]);
    }
    Ok(vec![Event::SlicesAccepted { task: known.envelope.task, slices, aggregate_by }])
}

fn record_aggregate(
    state: &State,
    at: OrderedMillis,
    endorsed: &EndorsedAggregate,
) -> Result<Vec<Event>, Refusal> {
    let aggregate = &endorsed.body.aggregate;
    let known = find(state, &aggregate.body.task)?;
    let Stage::Aggregating { slices, .. } = &known.stage else { return past(known, TaskState::Verifying) };
    // A report of an attempt that another one has replaced is late and says nothing of the slices that count (R196).
    if !aggregate::combines(slices, aggregate) {
        return Err(Code::IllegalTransition.into());
    }
    // A bad one is refused and held against nobody: who ordered it is not proven. An honest master checks first, and
    // says in its own name that it has failed.
    aggregate::check(&known.envelope, slices, aggregate)?;
    if !state.governance.registry.endorsed(endorsed) {
        return Err(Code::Undecided.into());
    }
    let verify_by = at.plus(policy_of(state, known)?.deadlines.verify_ms);
    Ok(vec![
        Event::AggregateRecorded { aggregate: aggregate.clone(), verify_by },
        transition(
            state,
            at,
            known.envelope.task,
            TaskState::Dispatched,
            TaskState::Verifying,
            Cause::Aggregated,
        ),
    ])
}

/// One master's word moves the step to the next master, a majority's ends the task: a liar costs time, never the task
/// (R196). The first word of a master counts. **Errors**: `ADM-0003` when it is no master's.
fn record_failure(state: &State, at: OrderedMillis, failure: &SignedFailure) -> Result<Vec<Event>, Refusal> {
    let (task, code) = (failure.body.task, failure.body.code);
    let known = find(state, &task)?;
    let registry = &state.governance.registry;
    let master = failure::reporter(registry, failure).ok_or(Code::Forbidden)?;
    let effect = match (&known.stage, failure.body.step) {
        // Nothing is said against the task: another master can look at it.
        (Stage::Challenged { .. }, Step::Review) => {
            return Ok(lease::pass_on(state, at, &Effect::Review(task), master).into_iter().collect());
        }
        (_, Step::Review) => return Ok(vec![]),
        (Stage::Computing, Step::Slices) => Effect::AssignSlices(task),
        (Stage::Aggregating { .. }, Step::Aggregate) => Effect::Aggregate(task),
        (Stage::Training { position }, Step::Round(round)) if round == position.round => Effect::Train(task),
        (Stage::Training { position }, Step::Round(round)) if round < position.round => return Ok(vec![]),
        (Stage::Training { .. }, Step::Round(_)) => return Err(Code::IllegalTransition.into()),
        (_, Step::Slices | Step::Round(_)) => return past(known, TaskState::Dispatched),
        (_, Step::Aggregate) => return past(known, TaskState::Verifying),
    };
    if known.failures.contains_key(master) {
        return Ok(vec![]);
    }
    let mut events = vec![Event::FailureReported { task, master: master.clone(), code }];
    if known.failures.len() + 1 >= registry.master_quorum() {
        events.extend(close(state, at, known, TaskState::Rejected, code));
    } else {
        events.extend(lease::pass_on(state, at, &effect, master));
    }
    Ok(events)
}

fn record_verdict(state: &State, at: OrderedMillis, verdict: &SignedVerdict) -> Result<Vec<Event>, Refusal> {
    if let Some(known) = state.parses.get(&verdict.body.task) {
        return parse::judged(state, at, known, verdict);
    }
    let known = find(state, &verdict.body.task)?;
    verdict::check(&state.governance, &known.envelope, verdict)?;
    let Stage::Verifying { .. } = known.stage else { return past(known, TaskState::AwaitingSettlement) };
    match verdict.body.decision {
        Decision::Accepted => {
            let final_at = at.plus(policy_of(state, known)?.deadlines.challenge_ms);
            Ok(vec![
                Event::VerdictAccepted { verdict: verdict.clone(), final_at },
                transition(
                    state,
                    at,
                    known.envelope.task,
                    TaskState::Verifying,
                    TaskState::AwaitingSettlement,
                    Cause::Verified,
                ),
            ])
        }
        Decision::Rejected(code) => Ok(close(state, at, known, TaskState::Rejected, code)),
    }
}

fn record_delivery(state: &State, at: OrderedMillis, task: &TaskId) -> Result<Vec<Event>, Refusal> {
    let known = find(state, task)?;
    match &known.stage {
        Stage::Completed { delivered_at: None, .. } => Ok(vec![Event::ResultDelivered { task: *task, at }]),
        Stage::Completed { delivered_at: Some(_), .. } => Ok(vec![]),
        Stage::Accepted
        | Stage::Resolving
        | Stage::Computing
        | Stage::Training { .. }
        | Stage::Aggregating { .. }
        | Stage::Verifying { .. }
        | Stage::AwaitingSettlement { .. }
        | Stage::Challenged { .. }
        | Stage::Rejected { .. }
        | Stage::TimedOut { .. } => Err(Code::ResultNotReady.into()),
    }
}

/// Everything that is due at `at`: admissions and stages out of time, windows that passed, epochs that ended, leases
/// that ran out, a version of the protocol that all masters wait for.
fn advance(state: &State, at: OrderedMillis, by: &NodeId) -> Result<Vec<Event>, Refusal> {
    let mut events = Vec::new();
    let due = || state.due.keys().take_while(|(due, _)| *due <= at).map(|(_, task)| task);
    for task in due() {
        if let Some(submission) = state.requests.get(task)
            && let Answer::Preparing(admission) = &submission.answer
        {
            events.push(Event::AdmissionRefused {
                task: *task,
                submitter: admission.request.submitter.clone(),
                fingerprint: submission.fingerprint,
                code: Code::QuorumNotPrepared,
                at,
                release: admission.vaults.clone(),
                refund: Some((epoch_at(state, at), refund(*task, &admission.lock))),
            });
        }
    }
    for task in due().filter_map(|task| state.tasks.get(task)) {
        match &task.stage {
            Stage::AwaitingSettlement { slices, aggregate, verdict, .. } => {
                let context = settled(state, at, &task.envelope, (slices, aggregate, verdict))?;
                let root = finalize::settlement_root(&context);
                events.push(Event::SettlementFinalized { context, root });
                events.push(transition(
                    state,
                    at,
                    task.envelope.task,
                    TaskState::AwaitingSettlement,
                    TaskState::Completed,
                    Cause::WindowPassed,
                ));
            }
            Stage::Accepted
            | Stage::Resolving
            | Stage::Computing
            | Stage::Training { .. }
            | Stage::Aggregating { .. }
            | Stage::Verifying { .. } => {
                events.extend(close(state, at, task, TaskState::TimedOut, Code::StageTimeout));
            }
            Stage::Challenged { challenge, .. } => events.extend(challenge::due(state, at, task, *challenge)),
            Stage::Completed { .. } | Stage::Rejected { .. } | Stage::TimedOut { .. } => {}
        }
    }
    for known in due().filter_map(|task| state.parses.get(task)) {
        events.extend(parse::due(state, at, known)?);
    }
    let closing = events.iter().filter_map(Event::task).collect();
    events.extend(council::pass(state, at, &closing));
    let closing = events.iter().filter_map(Event::task).collect();
    events.extend(epoch::close(state, at));
    events.extend(lease::lapse(state, at, by, &closing));
    events.extend(version::activate(state, at));
    Ok(events)
}

/// The events that end a task without a result; they stand next to each other so that no lock is forgotten.
pub(super) fn close(state: &State, at: OrderedMillis, task: &Task, to: TaskState, code: Code) -> Vec<Event> {
    let envelope = &task.envelope;
    let cause = match to {
        TaskState::TimedOut => Cause::Expired(code),
        TaskState::Accepted
        | TaskState::Resolving
        | TaskState::Dispatched
        | TaskState::Verifying
        | TaskState::AwaitingSettlement
        | TaskState::Completed
        | TaskState::Challenged
        | TaskState::Rejected => Cause::Refused(code),
    };
    let refund = Refund { task: envelope.task, lock: envelope.budget_lock_ref, amount: envelope.locked };
    vec![
        Event::TaskClosed { task: envelope.task, to, code, refund: (epoch_at(state, at), refund) },
        transition(state, at, envelope.task, task.state(), to, cause),
    ]
}

pub(super) fn transition(
    state: &State,
    at: OrderedMillis,
    task: TaskId,
    from: TaskState,
    to: TaskState,
    cause: Cause,
) -> Event {
    assert!(from.may_become(to), "{from:?} may not become {to:?} (R041)");
    Event::TaskTransitioned { task, from, to, cause, epoch: epoch_at(state, at), at }
}

/// A report about a step that is already behind the task is a repetition and changes nothing; one that comes too
/// early is refused.
pub(super) fn past(task: &Task, wanted: TaskState) -> Result<Vec<Event>, Refusal> {
    let state = task.state();
    if state.terminal() || state >= wanted {
        return Ok(vec![]);
    }
    Err(Refusal { code: Code::IllegalTransition, detail: state.as_str().to_string() })
}

pub(super) fn find<'a>(state: &'a State, task: &TaskId) -> Result<&'a Task, Refusal> {
    state.tasks.get(task).ok_or_else(|| Code::NotFound.into())
}

pub(super) fn policy_of<'a>(
    state: &'a State,
    task: &Task,
) -> Result<&'a crate::governance::policy::Policy, Refusal> {
    Ok(state.governance.policy_of(task.envelope.versions.policy)?)
}

/// What is settled of an accepted task at a moment. **Errors**: those of [`finalize::context`].
pub(super) fn settled(
    state: &State,
    at: OrderedMillis,
    envelope: &TaskEnvelope,
    (slices, aggregate, verdict): (&[SignedSlice], &SignedAggregate, &SignedVerdict),
) -> Result<SettlementContext, Code> {
    let rounds = state.earlier_rounds_of(&envelope.task);
    let settled = Settled { envelope, rounds: &rounds, slices, aggregate };
    finalize::context(&state.governance, &settled, verdict, at)
}

pub(super) fn epoch_at(state: &State, at: OrderedMillis) -> EpochId {
    state.governance.epoch_of(at)
}

fn refund(task: TaskId, lock: &LockFact) -> Refund {
    Refund { task, lock: lock.lock, amount: lock.amount }
}
