//! Tasks while the code that serves them changes: a task keeps what it was admitted with, revoked code gets no new dispatch,
//! and finished work still verifies (R120, R128, R129).

use symphony_protocol::artifact::Outcome;
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::proposal::*;
use symphony_protocol::lifecycle::{Stage, TaskState};
use symphony_protocol::machine::{Answer, Effect, Event, ParseStage};
use symphony_types::catalogue::Code;
use symphony_types::id::{GovernanceSequence, Measurement, TaskId};
use symphony_types::key::Document as _;

use super::{activate, proposal, propose, register, revoke, vote};
use crate::flow::assert_nothing_is_left;
use crate::parse::{submission, ticket};
use crate::rounds::propensity;
use crate::stage::{PLENTY, START, TIMELOCK_MS, campaign, code};
use crate::world::{Act, Disturbance, Script, World};

/// The council decides and, where it must, waits.
pub(crate) fn decide(world: &mut World, number: u64, change: Change) -> Vec<Event> {
    let waits = !change.revokes();
    let made = proposal(&world.state, 1, number, change);
    world.order(&propose(&made)).unwrap();
    let mut events = vec![];
    for by in 1..=3 {
        events.extend(world.order(&vote(made.body.digest(), by, true)).unwrap());
    }
    if waits {
        let end = world.now.plus(TIMELOCK_MS);
        events.extend(world.advance(end));
    }
    let stage = world.state.proposals.get(&made.body.digest()).unwrap().stage;
    assert!(matches!(stage, ProposalStage::Executed { .. }), "{stage:?}");
    events
}

fn admitted_with(world: &World, task: &TaskId) -> Vec<Measurement> {
    world.task(task).envelope.coordination.measurements.clone()
}

/// Goes on with what is owed until the task is at a stage.
fn until(world: &mut World, task: &TaskId, at: fn(&Stage) -> bool) {
    while !world.state.tasks.get(task).is_some_and(|task| at(&task.stage)) {
        assert!(world.step(false), "the task does not come there");
    }
}

const fn computing(stage: &Stage) -> bool {
    matches!(stage, Stage::Computing)
}

const fn aggregating(stage: &Stage) -> bool {
    matches!(stage, Stage::Aggregating { .. })
}

const fn verifying(stage: &Stage) -> bool {
    matches!(stage, Stage::Verifying { .. })
}

/// R128: old and new code are active side by side; a task that was admitted before keeps the old alone, a new one may be
/// served by both, and both end well.
#[test]
fn a_task_keeps_the_code_that_it_was_admitted_with() {
    let (old, new) = (code("enclave"), code("next"));
    let mut world = World::new(Script::default());
    let first = campaign("c1");
    world.submit(&first, PLENTY).unwrap();
    until(&mut world, &first.task(), computing);
    decide(&mut world, 1, register(new));
    decide(&mut world, 2, activate(new));
    let second = campaign("c2");
    world.submit(&second, PLENTY).unwrap();
    until(&mut world, &second.task(), computing);
    let both = if old < new { [old, new] } else { [new, old] };
    assert_eq!(admitted_with(&world, &first.task()), [old]);
    assert_eq!(admitted_with(&world, &second.task()), both);
    let place = |task: &TaskId| world.task(task).envelope.versions.governance;
    assert_eq!([place(&first.task()), place(&second.task())], [0, 2].map(GovernanceSequence));
    world.run(Disturbance::default());
    for task in [first.task(), second.task()] {
        assert_eq!(world.task(&task).state(), TaskState::Completed);
    }
    assert_nothing_is_left(&world);
}

/// R120: code that is known and not active serves nothing.
#[test]
fn registered_code_admits_nothing() {
    let mut world = World::new(Script::default());
    decide(&mut world, 1, register(code("next")));
    let request = campaign("c1");
    world.submit(&request, PLENTY).unwrap();
    until(&mut world, &request.task(), computing);
    assert_eq!(admitted_with(&world, &request.task()), [code("enclave")]);
}

/// R129: with no active code left, a new task is refused at once and its lock goes back, and so is one whose Vaults are
/// being asked.
#[test]
fn without_active_code_nothing_is_admitted() {
    let mut world = World::new(Script::default());
    let asked = campaign("c1");
    world.submit(&asked, PLENTY).unwrap();
    decide(&mut world, 1, revoke(code("enclave")));
    world.submit(&campaign("c2"), PLENTY).unwrap();
    while world.step(false) {}
    for request in [asked, campaign("c2")] {
        let Answer::Refused { code, .. } = world.state.requests[&request.task()].answer else {
            panic!("admitted")
        };
        assert_eq!(code, Code::CodeInactive);
    }
    world.run(Disturbance::default());
    assert_nothing_is_left(&world);
}

/// Revokes the only code of a task when it is at a stage, and plays to the end.
fn revoked_at(script: Script, disturbance: Disturbance, at: fn(&Stage) -> bool) -> (World, TaskId) {
    let mut world = World::new(script);
    let request = campaign("c1");
    world.submit(&request, PLENTY).unwrap();
    until(&mut world, &request.task(), at);
    let events = decide(&mut world, 1, revoke(code("enclave")));
    let closed = events.iter().any(|event| matches!(event, Event::TaskClosed { .. }));
    let done = matches!(world.task(&request.task()).stage, Stage::Verifying { .. });
    assert_eq!(closed, !done, "what cannot go on ends in the decision that revokes");
    world.run(disturbance);
    (world, request.task())
}

/// R128, R129, R065, R176: what was under way ends as rejected, its lock goes back, its reservations are released at once;
/// every step done twice and every crash leave the same.
#[test]
fn a_task_under_way_ends_with_its_code() {
    let twice = Disturbance { twice: true, crash_always: true, ..Disturbance::default() };
    for at in [computing, aggregating] {
        let (calm, task) = revoked_at(Script::default(), Disturbance::default(), at);
        let Stage::Rejected { code, refunded } = calm.task(&task).stage else { panic!("it went on") };
        assert_eq!((code, refunded), (Code::CodeInactive, PLENTY));
        assert_nothing_is_left(&calm);
        let (disturbed, _) = revoked_at(Script::default(), twice, at);
        assert_eq!(calm.state, disturbed.state);
    }
}

/// R129: finished work is judged by what held when it was admitted, and is settled and paid.
#[test]
fn finished_work_still_verifies() {
    for outcome in [Outcome::Audience { returned: 4_321 }, Outcome::Suppressed] {
        let script = Script { outcome, ..Script::default() };
        let (world, task) = revoked_at(script, Disturbance::default(), verifying);
        assert_eq!(world.task(&task).state(), TaskState::Completed);
        assert_nothing_is_left(&world);
    }
}

/// R129: a task goes on while other active code of its envelope can serve it.
#[test]
fn other_code_of_the_envelope_serves_on() {
    let (old, new) = (code("enclave"), code("next"));
    let mut world = World::new(Script::default());
    decide(&mut world, 1, register(new));
    decide(&mut world, 2, activate(new));
    let request = campaign("c1");
    world.submit(&request, PLENTY).unwrap();
    until(&mut world, &request.task(), computing);
    decide(&mut world, 3, revoke(old));
    assert_eq!(world.task(&request.task()).state(), TaskState::Dispatched);
    assert_eq!(admitted_with(&world, &request.task()).len(), 2);
    world.run(Disturbance::default());
    assert_eq!(world.task(&request.task()).state(), TaskState::Completed);
    assert_nothing_is_left(&world);
}

/// R129: a revocation whose votes are counted by time ends what is under way in the same decision, once, also where the time
/// of the task is over at that very moment.
#[test]
fn time_revokes_and_closes_once() {
    for exact in [false, true] {
        let mut world = World::new(Script { slice: [Act::Sleep; 3], ..Script::default() });
        let made = proposal(&world.state, 1, 1, revoke(code("enclave")));
        world.order(&propose(&made)).unwrap();
        for (by, approve) in [(1, true), (2, true), (3, false)] {
            world.order(&vote(made.body.digest(), by, approve)).unwrap();
        }
        let end = world.state.proposals.timer().unwrap();
        let request = campaign("c1");
        let execute_ms = world.state.governance.policy_at(START).deadlines.execute_ms;
        let prepare_ms = world.state.governance.policy_at(START).deadlines.prepare_ms;
        let before = if exact { execute_ms + prepare_ms } else { execute_ms };
        world.advance(end.minus(before));
        world.submit(&request, PLENTY).unwrap();
        until(&mut world, &request.task(), computing);
        let events = world.advance(end);
        let closed = events.iter().filter(|event| matches!(event, Event::TaskClosed { .. })).count();
        assert_eq!(closed, 1);
        let ended = world.task(&request.task()).state();
        assert_eq!(ended, if exact { TaskState::TimedOut } else { TaskState::Rejected });
        world.run(Disturbance::default());
        assert_nothing_is_left(&world);
    }
}

/// R129: a reading that is under way ends without a record, one that is being verified goes on.
#[test]
fn a_parse_under_way_ends_with_its_code() {
    for done in [false, true] {
        let mut world = World::new(Script::default());
        let task = ticket("p1").task();
        world.order(&submission(ticket("p1"))).unwrap();
        if done {
            let read = world.perform(&Effect::Parse(task)).unwrap();
            world.order(&read).unwrap();
        }
        decide(&mut world, 1, revoke(code("enclave")));
        world.run(Disturbance::default());
        match (&world.state.parses[&task].stage, done) {
            (ParseStage::Completed { .. }, true) => {}
            (ParseStage::Rejected(why), false) => assert_eq!(*why, Code::CodeInactive),
            (stage, _) => panic!("{stage:?}"),
        }
        let late = world.order(&submission(ticket("p2")));
        assert_eq!(late.unwrap_err().code, Code::CodeInactive);
    }
}

/// R128, R129, D20: a training between two rounds ends with its code and what it did not draw goes back.
#[test]
fn a_training_under_way_ends_with_its_code() {
    let mut world = World::new(Script::default());
    let request = propensity("t1");
    world.submit(&request, PLENTY).unwrap();
    let task = request.task();
    until(&mut world, &task, |stage| matches!(stage, Stage::Training { position } if position.round == 2));
    decide(&mut world, 1, revoke(code("enclave")));
    let Stage::Rejected { code, refunded } = world.task(&task).stage else { panic!("it went on") };
    assert_eq!((code, refunded), (Code::CodeInactive, PLENTY));
    world.run(Disturbance::default());
    assert_nothing_is_left(&world);
}
