//! A training in the machine: round after round, each on top of the one that is known, until the plan ends it (R097,
//! R098, R102).
//!
//! | a round that is reported | answer |
//! |---|---|
//! | the next, as the plan allows it, endorsed | recorded; the last one goes to the verifier |
//! | before the next, or the task is past its rounds | a repetition: nothing happens |
//! | after the next | refused: it cannot be judged yet |
//! | the next, with the part of a Vault that has been suspended | refused: it is done again without that one |
//! | the next, on another learner, with too few slices or not what the plan allows | refused, and held against nobody |

use alloc::vec;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::id::TaskId;
use symphony_types::time::OrderedMillis;

use super::decide::{close, find, past, policy_of, transition};
use super::{Cause, Event, Refusal, State};
use crate::artifact::training::{EndorsedRound, Round};
use crate::artifact::{SignedAggregate, SignedSlice};
use crate::execution::training;
use crate::lifecycle::{Stage, TaskState};

impl State {
    /// The recorded rounds of a training, in order.
    pub fn rounds_of<'a>(&'a self, task: &'a TaskId) -> impl Iterator<Item = &'a Round> + 'a {
        (1..).map_while(|round| self.rounds.get(&(*task, round)))
    }

    /// The recorded rounds of a training that is past its rounds, without the last one: slices, and what was made of
    /// them.
    pub fn earlier_rounds_of(&self, task: &TaskId) -> Vec<(Vec<SignedSlice>, SignedAggregate)> {
        let rounds = self.rounds_of(task).map(|round| (round.slices.clone(), round.aggregate.clone()));
        let mut rounds: Vec<_> = rounds.collect();
        rounds.pop();
        rounds
    }
}

/// Takes a round. **Errors**: `ADM-0004`, `EXE-0007` for one that is not next, `EXE-0001` and `EXE-0009` for one that is not
/// what the plan allows, `VLT-0022`, `GOV-0005` without the word of a majority.
pub(super) fn record(
    state: &State,
    at: OrderedMillis,
    endorsed: &EndorsedRound,
) -> Result<Vec<Event>, Refusal> {
    let round = &endorsed.body;
    let known = find(state, &round.task)?;
    let Stage::Training { position } = &known.stage else { return past(known, TaskState::Verifying) };
    if round.round < position.round {
        return Ok(vec![]);
    }
    if round.round > position.round {
        return Err(Code::IllegalTransition.into());
    }
    let envelope = &known.envelope;
    if envelope.execute_by <= at {
        return Ok(close(state, at, known, TaskState::TimedOut, Code::StageTimeout));
    }
    let suspended = &state.governance.registry.suspensions;
    if round.slices.iter().any(|slice| suspended.contains_key(&slice.body.vault)) {
        return Err(Code::VaultSuspended.into());
    }
    let accepted = training::accepted(&state.governance, envelope, position, &round.slices)?;
    if accepted != round.slices {
        return Err(Code::QuorumBroken.into());
    }
    training::check(envelope, position, &round.slices, &round.aggregate)?;
    if !state.governance.registry.endorsed(endorsed) {
        return Err(Code::Undecided.into());
    }
    if !position.last {
        return Ok(vec![Event::RoundRecorded { round: round.clone(), verify_by: None }]);
    }
    let verify_by = at.plus(policy_of(state, known)?.deadlines.verify_ms);
    let (from, to) = (TaskState::Dispatched, TaskState::Verifying);
    Ok(vec![
        Event::RoundRecorded { round: round.clone(), verify_by: Some(verify_by) },
        transition(state, at, round.task, from, to, Cause::Trained),
    ])
}

/// What a recorded round does to its task: the next round is due, or the verdict on all of them.
pub(super) fn evolve(state: &mut State, round: &Round, verify_by: Option<OrderedMillis>) {
    state.rounds.insert((round.task, round.round), round.clone());
    let Some(task) = state.tasks.get_mut(&round.task) else { return };
    // Who could not do this round may be able to do the next.
    task.failures.clear();
    if let Some(verify_by) = verify_by {
        let (slices, aggregate) = (round.slices.clone(), round.aggregate.clone());
        task.stage = Stage::Verifying { slices, aggregate, verify_by };
        return;
    }
    let next = match (&task.stage, task.envelope.plan.training()) {
        (Stage::Training { position }, Some(plan)) => {
            position.next(&plan.training, &round.aggregate.body.outcome)
        }
        _ => None,
    };
    // `decide` lets no other round through than one that another follows.
    let position = next.unwrap_or_else(|| unreachable!("a round that does not fit its task is recorded"));
    task.stage = Stage::Training { position };
}
