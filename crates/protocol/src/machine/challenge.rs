//! Challenges in the machine: a dispute stops the time of its task, a finding of the masters gives it back or ends the
//! task (R038, R039, R136-R142).
//!
//! | what comes | answer |
//! |---|---|
//! | a filing against a result that is verified or awaits its end | the task is challenged, and looked at again |
//! | the same filing again | a repetition: nothing happens |
//! | one under a review, after the end or once too often | refused |
//! | one of another result, by the accused, or without its bond | refused |
//! | the same dispute without a new exhibit | refused |
//! | a finding of a majority: the result is wrong | a penalty is recorded, the task rejected, its lock goes back |
//! | a finding of a majority: the result stands | the task goes on with the time that it had left |
//! | no finding in time | the task times out, its lock goes back |
//!
//! Whatever ends a review resolves the bond of its filing in the same decision, so that no bond outlives its task.

use alloc::vec;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{LockRef, TaskId};
use symphony_types::key::Document as _;
use symphony_types::limits::FILINGS_PER_TASK_MAX;
use symphony_types::time::OrderedMillis;

use super::decide::{close, epoch_at, find, policy_of, transition};
use super::{Cause, Event, Refusal, State};
use crate::artifact::challenge::{Dismissal, Dispute, EndorsedFinding, Filing, Replay, Ruling};
use crate::artifact::training::Round;
use crate::artifact::{EndorsedLock, TaskEnvelope};
use crate::execution::{aggregate, coordinate, training};
use crate::lifecycle::training::{Position, plan};
use crate::lifecycle::{Stage, Task, TaskState};
use crate::settlement::challenge::{self, Challenge};
use crate::settlement::penalty::{self, Wrong};

impl State {
    /// The challenges of a task with their numbers, in order.
    pub fn challenges_of<'a>(&'a self, task: &'a TaskId) -> impl Iterator<Item = (u32, &'a Challenge)> + 'a {
        (1..).map_while(|number| Some((number, self.challenges.get(&(*task, number))?)))
    }

    /// What a dispute about a round is compared with: the round as it is recorded. A computation or a statistic has one round, its run.
    pub fn disputed(&self, known: &Task, round: u32) -> Option<Round> {
        let task = known.envelope.task;
        if known.envelope.plan.trains() {
            return self.rounds.get(&(task, round)).cloned();
        }
        let Stage::Challenged { slices, aggregate, .. } = &known.stage else { return None };
        let (slices, aggregate) = (slices.clone(), aggregate.clone());
        let single = (1..=runs(&known.envelope)).contains(&round);
        single.then(|| Round { task, round, slices, aggregate, bulk: Digest::ZERO, absent: vec![] })
    }

    /// Where a training was at a round that is recorded.
    pub fn position_at(&self, known: &Task, round: u32) -> Option<Position> {
        let training = &known.envelope.plan.training()?.training;
        let earlier = self.rounds_of(&known.envelope.task).take_while(|earlier| earlier.round < round);
        let mut position = Position::FIRST;
        for earlier in earlier {
            position = position.next(training, &earlier.aggregate.body.outcome)?;
        }
        (position.round == round).then_some(position)
    }
}

/// Takes a filing. **Errors**: `ADM-0004`, those of [`challenge::check`] and [`challenge::may_file`]; `SET-0009` when the
/// result is not there yet, final or under a review, `SET-0011` when it has been disputed too often, `SET-0017` by the
/// accused, `SET-0018` of another result, and those of [`challenge::bonded`].
pub(super) fn file(
    state: &State,
    at: OrderedMillis,
    filing: &Filing,
    (lock, fact): (LockRef, Option<&EndorsedLock>),
) -> Result<Vec<Event>, Refusal> {
    let task = filing.task;
    let known = find(state, &task)?;
    if challenge::filed(state.challenges_of(&task).map(|(_, known)| known), filing) {
        return Ok(vec![]);
    }
    let rounds = match known.envelope.plan.trains() {
        true => u32::try_from(state.rounds_of(&task).count()).unwrap_or(u32::MAX),
        false => runs(&known.envelope),
    };
    challenge::check(&state.governance, filing, rounds)?;
    let from = known.state();
    let disputable = matches!(from, TaskState::Verifying | TaskState::AwaitingSettlement);
    if !disputable || known.timer().is_none_or(|end| end <= at) {
        return Err(Code::NotChallengeable.into());
    }
    let filings: usize = state.challenges_of(&task).map(|(_, known)| known.filings.len()).sum();
    if filings >= FILINGS_PER_TASK_MAX as usize {
        return Err(Code::ChallengeLimit.into());
    }
    let earlier = state.challenges_of(&task).find(|(_, known)| known.dispute == filing.dispute);
    challenge::may_file(earlier.map(|(_, known)| known), filing)?;
    if disputed_result(known) != Some(filing.result) {
        return Err(Code::EvidenceMismatch.into());
    }
    if challenge::accused(&state.governance, filing.dispute, &known.envelope).contains(&filing.challenger) {
        return Err(Code::OwnChallenge.into());
    }
    let policy = policy_of(state, known)?;
    // What fewer than a majority of the masters saw on the chain is not confirmed (R195).
    let seen = fact.filter(|fact| state.governance.registry.endorsed(*fact)).map(|fact| &fact.body);
    if seen.is_some_and(|seen| seen.lock != lock) {
        return Err(Code::BondUnfit.into());
    }
    let bond = challenge::bonded(&state.governance, policy, filing, seen, at)?;
    let number = earlier.map(|(number, _)| number);
    let next = || u32::try_from(state.challenges_of(&task).count() + 1).unwrap_or(u32::MAX);
    let review_by = at.plus(policy.deadlines.review_ms);
    Ok(vec![
        Event::ChallengeFiled {
            number: number.unwrap_or_else(next),
            filing: filing.clone(),
            bond,
            review_by,
        },
        transition(state, at, task, from, TaskState::Challenged, Cause::Disputed),
    ])
}

/// Takes a finding. A late one is a repetition. **Errors**: `ADM-0004`, `EXE-0007`, `GOV-0005` without the word of a
/// majority, `ADM-0001` when it does not answer the dispute, `EXE-0001` and `EXE-0009` for a round that is none.
pub(super) fn record(
    state: &State,
    at: OrderedMillis,
    endorsed: &EndorsedFinding,
) -> Result<Vec<Event>, Refusal> {
    let finding = &endorsed.body;
    let task = finding.task;
    let known = find(state, &task)?;
    let Stage::Challenged { challenge: number, aggregate, verdict, .. } = &known.stage else {
        let ruled = state.challenges.get(&(task, finding.challenge)).is_some();
        return if ruled { Ok(vec![]) } else { Err(Code::IllegalTransition.into()) };
    };
    let challenge = state.challenges.get(&(task, *number)).ok_or(Code::NotFound)?;
    let current = (finding.challenge, finding.filing as usize) == (*number, challenge.filings.len());
    if !current {
        return Ok(vec![]);
    }
    let recorded = match challenge.dispute {
        Dispute::Evidence => None,
        Dispute::Round(round) => state.disputed(known, round),
    };
    if let Replay::Computed(replay) = &finding.replay {
        plausible(state, known, replay)?;
    }
    let ruling = challenge::ruling(&state.governance, challenge.dispute, recorded.as_ref(), finding)?;
    if !state.governance.registry.endorsed(endorsed) {
        return Err(Code::Undecided.into());
    }
    let mut events = ruled(state, at, known, *number, ruling);
    match ruling {
        Ruling::Confirmed(code) => {
            let wrong = Wrong {
                envelope: &known.envelope,
                aggregate,
                verdict: verdict.as_ref(),
                filing: challenge.filings.last().map_or(Digest::ZERO, Filing::lock_purpose),
                dispute: challenge.dispute,
            };
            let policy = policy_of(state, known)?;
            let penalty = penalty::record(&state.governance, policy, &wrong, finding, code)?;
            events.push(Event::PenaltyRecorded { penalty, epoch: epoch_at(state, at) });
            events.extend(close(state, at, known, TaskState::Rejected, Code::ChallengeConfirmed));
        }
        Ruling::NotConfirmed(_) => {
            let to = if verdict.is_some() { TaskState::AwaitingSettlement } else { TaskState::Verifying };
            events.push(transition(state, at, task, TaskState::Challenged, to, Cause::Upheld));
        }
    }
    Ok(events)
}

/// Digest of the aggregate that a filing may dispute, while one may.
pub fn disputed_result(known: &Task) -> Option<Digest> {
    match &known.stage {
        Stage::Verifying { aggregate, .. }
        | Stage::AwaitingSettlement { aggregate, .. }
        | Stage::Challenged { aggregate, .. } => Some(aggregate.body.digest()),
        Stage::Accepted
        | Stage::Resolving
        | Stage::Computing
        | Stage::Training { .. }
        | Stage::Aggregating { .. }
        | Stage::Completed { .. }
        | Stage::Rejected { .. }
        | Stage::TimedOut { .. } => None,
    }
}

/// How many runs of a task that is no training can be made again: that of a module, or of a statistic.
fn runs(envelope: &TaskEnvelope) -> u32 {
    u32::from(envelope.plan.adds_up())
}

/// Whether a round that was computed again is one that the plan allows at its place.
fn plausible(state: &State, known: &Task, replay: &Round) -> Result<(), Code> {
    let envelope = &known.envelope;
    if envelope.plan.adds_up() {
        let accepted = coordinate::accepted(&state.governance, envelope, &replay.slices)?;
        if accepted != replay.slices {
            return Err(Code::QuorumBroken);
        }
        return aggregate::check(envelope, &replay.slices, &replay.aggregate);
    }
    plan(envelope)?;
    let position = state.position_at(known, replay.round).ok_or(Code::Malformed)?;
    let accepted = training::accepted(&state.governance, envelope, &position, &replay.slices)?;
    if accepted != replay.slices {
        return Err(Code::QuorumBroken);
    }
    training::check(envelope, &position, &replay.slices, &replay.aggregate)
}

/// A review that took too long: nobody says that the result stands, so nothing of it is paid.
pub(super) fn due(state: &State, at: OrderedMillis, known: &Task, number: u32) -> Vec<Event> {
    let ruling = Ruling::NotConfirmed(Dismissal::OutOfTime);
    let mut events = ruled(state, at, known, number, ruling);
    events.extend(close(state, at, known, TaskState::TimedOut, Code::ReviewTimeout));
    events
}

/// The end of a review, with that of its bond.
fn ruled(state: &State, at: OrderedMillis, known: &Task, number: u32, ruling: Ruling) -> Vec<Event> {
    let task = known.envelope.task;
    let bond = state.challenges.get(&(task, number)).and_then(Challenge::held);
    let resolved =
        |bond| Event::BondResolved { task, bond, lost: ruling.costs_bond(), epoch: epoch_at(state, at) };
    let mut events = vec![Event::ChallengeRuled { task, number, ruling }];
    events.extend(bond.map(resolved));
    events
}

/// What an event does to challenges, and to the stage of their task.
pub(super) fn evolve(state: &mut State, at: OrderedMillis, event: &Event) {
    match event {
        Event::ChallengeFiled { number, filing, bond, review_by } => {
            let key = (filing.task, *number);
            let mut challenge =
                state.challenges.get(&key).cloned().unwrap_or_else(|| Challenge::new(filing.dispute));
            challenge.file(filing.clone(), *bond, at);
            state.challenges.insert(key, challenge);
            if let Some(task) = state.tasks.get_mut(&filing.task) {
                let left_ms = task.timer().map_or(0, |end| end.0.saturating_sub(at.0));
                let stage = core::mem::replace(&mut task.stage, Stage::Accepted);
                task.stage = disputed(stage, left_ms, *number, *review_by);
            }
        }
        Event::ChallengeRuled { task, number, ruling } => {
            if let Some(challenge) = state.challenges.get_mut(&(*task, *number)) {
                challenge.rule(*ruling, at);
            }
            if let (Ruling::NotConfirmed(_), Some(task)) = (ruling, state.tasks.get_mut(task)) {
                let stage = core::mem::replace(&mut task.stage, Stage::Accepted);
                task.stage = upheld(stage, at);
            }
        }
        _ => {}
    }
}

fn disputed(stage: Stage, left_ms: u64, challenge: u32, review_by: OrderedMillis) -> Stage {
    let (slices, aggregate, verdict) = match stage {
        Stage::Verifying { slices, aggregate, .. } => (slices, aggregate, None),
        Stage::AwaitingSettlement { slices, aggregate, verdict, .. } => (slices, aggregate, Some(verdict)),
        other => unreachable!("a dispute does not fit the stage {other:?}"),
    };
    Stage::Challenged { slices, aggregate, verdict, left_ms, challenge, review_by }
}

fn upheld(stage: Stage, at: OrderedMillis) -> Stage {
    let Stage::Challenged { slices, aggregate, verdict, left_ms, .. } = stage else {
        unreachable!("a ruling does not fit the stage {stage:?}")
    };
    let end = at.plus(left_ms);
    match verdict {
        Some(verdict) => Stage::AwaitingSettlement { slices, aggregate, verdict, final_at: end },
        None => Stage::Verifying { slices, aggregate, verify_by: end },
    }
}
