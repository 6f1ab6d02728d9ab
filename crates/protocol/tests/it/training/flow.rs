//! A training from request to payout: every way to end, every step twice, crashed at every step, taken over at every step
//! (R102, R196, R217, R237).

use symphony_protocol::artifact::training::Extra;
use symphony_protocol::artifact::{Outcome, TaskRequest};
use symphony_protocol::execution::failure::Step;
use symphony_protocol::lifecycle::training::Position;
use symphony_protocol::lifecycle::{Stage, TaskState};
use symphony_protocol::machine::{Command, Effect, Event, Lease, evolve};
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::TaskId;

use super::{at_round, course, play, requested};
use crate::flow::assert_nothing_is_left;
use crate::leases;
use crate::rounds::{Course, planned, propensity, wanted};
use crate::stage::{LEASE_MS, PLENTY, campaign, vault};
use crate::world::{Act, Disturbance, Script, World, failure, master};

/// What a person lost after each step: a loss of so many rounds of noise 4 at delta 1e-5.
const LOSSES: [u64; 4] = [926_342, 1_356_468, 1_698_036, 1_993_092];

/// More steps than a training has that does not wait for a deadline.
const STEPS: usize = 14;

/// Scripts that end in every way that a training can, with the state it ends in and its rounds; `None`: it never is a task.
fn endings() -> Vec<(&'static str, Script, Option<TaskState>, u32)> {
    let all = Script::default();
    let [serve, refuse, mumble, sleep] = [Act::Serve, Act::Refuse, Act::Mumble, Act::Sleep];
    let completed = Some(TaskState::Completed);
    let rejected = Some(TaskState::Rejected);
    let timed_out = Some(TaskState::TimedOut);
    let until = |until: [u32; 3]| course(|course| course.until = until);
    let quality = |quality: [u32; 4]| course(|course| course.quality = quality);
    let aggregate = |act| course(|course| course.aggregate = act);
    vec![
        ("happy", all, completed, 5),
        ("one vault refuses", Script { prepare: [serve, refuse, serve], ..all }, completed, 5),
        ("one receipt is lost", Script { prepare: [mumble, serve, serve], ..all }, completed, 5),
        ("a vault is lost after two rounds", until([9, 9, 2]), completed, 5),
        ("a vault is never there", until([9, 0, 9]), completed, 5),
        ("a vault is lost before the last round", until([4, 9, 9]), completed, 5),
        ("early stop", quality([600_000, 600_000, 0, 0]), completed, 4),
        ("later stop", quality([600_000, 700_000, 650_000, 800_000]), completed, 5),
        ("withheld", quality([100_000, 200_000, 300_000, 499_999]), completed, 5),
        ("just released", quality([100_000, 200_000, 300_000, 500_000]), completed, 5),
        ("stopped and withheld", quality([400_000, 300_000, 300_000, 0]), completed, 4),
        ("no dividends", Script { dividends: [sleep; 3], ..all }, completed, 5),
        ("quorum unprepared", Script { prepare: [serve, refuse, sleep], ..all }, None, 0),
        ("quorum broken at once", until([9, 0, 0]), rejected, 0),
        ("quorum broken in round three", until([2, 9, 2]), rejected, 2),
        ("quorum broken in the last round", until([4, 9, 4]), rejected, 4),
        ("rounds refused", aggregate(refuse), rejected, 0),
        ("verdict rejected", Script { verify: refuse, ..all }, rejected, 5),
        ("rounds time out", aggregate(sleep), timed_out, 0),
        ("vaults fall silent", until([3; 3]), timed_out, 3),
        ("verdict times out", Script { verify: sleep, ..all }, timed_out, 5),
    ]
}

fn training() -> TaskRequest {
    propensity("t1")
}

fn outcome_of(world: &World, task: &TaskId) -> Outcome {
    match &world.task(task).stage {
        Stage::Completed { aggregate, .. } => aggregate.body.outcome,
        other => panic!("not completed: {other:?}"),
    }
}

/// R036, R098, R102, R176, D20: every way to end leaves nothing reserved, locked or owed, and what Vaults drew is the loss of
/// the rounds that they computed.
#[test]
fn every_ending_leaves_nothing_behind() {
    for (name, script, ending, rounds) in endings() {
        let (world, task) = play(&training(), script, Disturbance::default());
        assert_eq!(world.state.tasks.get(&task).map(|task| task.state()), ending, "{name}");
        assert_eq!(world.state.rounds_of(&task).count(), rounds as usize, "{name}");
        assert_nothing_is_left(&world);
        let charge = world.state.tasks.get(&task).map(|task| task.envelope.charge.noised);
        for (place, drawn) in &world.drawn {
            assert!(Some(*drawn) <= charge && world.committed.contains(place), "{name}: {place:?}");
        }
    }
}

/// R098, D20: rounds draw the loss of the steps so far; a Vault that is gone has drawn no more, and an early stop leaves
/// the rest.
#[test]
fn vaults_draw_the_loss_of_the_rounds_they_computed() {
    let drawn = |script: Script| {
        let (world, task) = play(&training(), script, Disturbance::default());
        ["vault-a", "vault-b", "vault-c"].map(|name| world.drawn.get(&(task, vault(name))).map(|loss| loss.0))
    };
    let after = |steps: usize| Some(LOSSES[steps - 1]);
    assert_eq!(drawn(Script::default()), [after(4); 3]);
    assert_eq!(drawn(course(|course| course.until = [9, 9, 2])), [after(4), after(4), after(2)]);
    assert_eq!(drawn(course(|course| course.quality = [600_000; 4])), [after(3); 3]);
}

/// R034, R100: a training takes one command a round beside those of any task, and releases its model.
#[test]
fn the_happy_path_takes_one_command_a_round() {
    let (world, task) = play(&training(), Script::default(), Disturbance::default());
    let count =
        |wanted: fn(&Command) -> bool| world.commands.iter().filter(|command| wanted(command)).count();
    assert_eq!(count(|command| matches!(command, Command::RecordRound { .. })), 5);
    assert_eq!(count(|command| matches!(command, Command::RecordVerdict { .. })), 1);
    assert_eq!(count(|command| matches!(command, Command::RecordSlices { .. })), 0);
    let Outcome::Model { evaluation, .. } = outcome_of(&world, &task) else { panic!("no model") };
    assert_eq!(evaluation.quality, 750_000);
    let states: Vec<_> =
        world.state.rounds_of(&task).map(|round| (round.round, round.slices.len())).collect();
    assert_eq!(states, [(1, 3), (2, 3), (3, 3), (4, 3), (5, 3)]);
}

/// R098, R101: the last evaluation decides whether the model is released.
#[test]
fn a_model_is_released_from_its_threshold_on() {
    let last = |quality: u32| {
        let script = course(|course| course.quality = [100_000, 200_000, 300_000, quality]);
        let (world, task) = play(&training(), script, Disturbance::default());
        outcome_of(&world, &task)
    };
    assert!(matches!(last(499_999), Outcome::Withheld { .. }));
    assert!(matches!(last(500_000), Outcome::Model { .. }));
}

/// R102, R209: every effect done twice and every report given twice is as if once, to the byte.
#[test]
fn every_step_twice_is_every_step_once() {
    for (name, script, ..) in endings() {
        let (once, _) = play(&training(), script, Disturbance::default());
        let (twice, _) = play(&training(), script, Disturbance { twice: true, ..Disturbance::default() });
        assert_eq!(to_bytes(&once.state), to_bytes(&twice.state), "{name}");
        assert_eq!(once.drawn, twice.drawn, "{name}");
        assert_nothing_is_left(&twice);
    }
}

/// R102, R217, R237: a master that dies before any step goes on with the same round, and ends where one ends that never
/// died.
#[test]
fn a_crash_at_any_step_changes_nothing() {
    for (name, script, ..) in endings() {
        let (calm, _) = play(&training(), script, Disturbance::default());
        for step in 0..STEPS {
            let disturbance = Disturbance { crash_at: Some(step), ..Disturbance::default() };
            let (world, _) = play(&training(), script, disturbance);
            assert_eq!(to_bytes(&calm.state), to_bytes(&world.state), "{name}, step {step}");
            assert_nothing_is_left(&world);
        }
        let always = Disturbance { crash_always: true, twice: true, ..Disturbance::default() };
        let (world, _) = play(&training(), script, always);
        assert_eq!(to_bytes(&calm.state), to_bytes(&world.state), "{name}, always");
    }
}

/// R102, R196, R237: a master that dies for good before any step: its successor brings the training to the same end, by the
/// same rounds.
#[test]
fn a_successor_ends_where_the_first_would_have() {
    for (name, script, ..) in endings() {
        let (calm, task) = play(&training(), script, Disturbance::default());
        for step in 0..STEPS {
            let disturbance = Disturbance { replaced_at: Some(step), ..Disturbance::default() };
            let (world, _) = play(&training(), script, disturbance);
            assert_eq!(leases::outcome(&world, &task), leases::outcome(&calm, &task), "{name}, step {step}");
            assert_eq!(world.drawn, calm.drawn, "{name}, step {step}");
            let learners = |world: &World| -> Vec<_> {
                world.state.rounds_of(&task).map(|round| round.aggregate.body.outcome).collect()
            };
            assert_eq!(learners(&world), learners(&calm), "{name}, step {step}");
            assert_nothing_is_left(&world);
        }
    }
}

/// R217: the journal of any training replayed over genesis gives the same bytes.
#[test]
fn replay_gives_the_same_state() {
    for (name, script, ..) in endings() {
        let (world, _) = play(&training(), script, Disturbance::default());
        let mut replayed = World::new(script).state;
        for (at, event) in &world.log {
            let stored: Event = bcs::from_bytes(&to_bytes(event)).unwrap();
            evolve(&mut replayed, *at, &stored);
        }
        assert_eq!(to_bytes(&replayed), to_bytes(&world.state), "{name}");
    }
}

/// Trainings and campaigns beside each other end as they do alone.
#[test]
fn trainings_run_beside_campaigns() {
    let mut world = World::new(Script::default());
    for number in 0..3 {
        world.submit(&campaign(&format!("c{number}")), PLENTY).unwrap();
        world.submit(&propensity(&format!("t{number}")), PLENTY).unwrap();
    }
    world.run(Disturbance { crash_at: Some(11), ..Disturbance::default() });
    assert!(world.state.tasks.values().all(|task| task.state() == TaskState::Completed));
    assert_eq!(world.drawn.len(), 9);
    assert_nothing_is_left(&world);
}

/// D20: what the rounds did not draw is given back with the last round, long before the deadline, and only once.
#[test]
fn the_rest_is_released_with_the_last_round() {
    let (mut world, task) = at_round(5);
    assert_eq!(world.reserved.len(), 3);
    let Some(Command::RecordRound { round }) = world.perform(&Effect::Train(task)) else {
        panic!("no round")
    };
    let events = world.order(&Command::RecordRound { round }).unwrap();
    let releases = |events: &[Event]| {
        let release =
            |event: &&Event| matches!(event, Event::EffectLeased { effect: Effect::ReleaseBudget(..), .. });
        events.iter().filter(release).count()
    };
    assert_eq!(releases(&events), 1);
    assert_eq!(world.task(&task).state(), TaskState::Verifying);
    world.script.verify = Act::Refuse;
    while world.step(false) {}
    assert!(world.reserved.is_empty() && world.now < world.task(&task).envelope.execute_by);
    assert_eq!(world.task(&task).state(), TaskState::Rejected);
    let all: Vec<_> = world.log.iter().map(|(_, event)| event.clone()).collect();
    assert_eq!(releases(&all), 1);
}

/// R102: the lease of a training is one for all its rounds; the master that takes it over goes on with the round that is
/// next.
#[test]
fn a_training_is_taken_over_at_the_round_that_is_next() {
    for round in 1..=5 {
        let (mut world, task) = at_round(round);
        let effect = Effect::Train(task);
        let first = world.state.leases[&effect].clone();
        assert_eq!((&first.runner, first.attempt), (&master(1), 0), "round {round}");
        let position = world.position(&task);
        world.replace(master(2));
        assert!(!world.step(false), "round {round}: it is not the successor's yet");
        world.advance(first.until);
        let second = Lease { runner: master(2), attempt: 1, until: first.until.plus(LEASE_MS) };
        assert_eq!(world.state.leases[&effect], second, "round {round}");
        assert_eq!(world.position(&task), position, "round {round}");
        assert!(world.step(false));
        assert_eq!(world.state.rounds_of(&task).count(), round as usize);
    }
}

/// A world of three masters at the beginning of a round.
fn of_three(round: u32) -> (World, TaskId) {
    let mut world = World::of_three(Script::default());
    world.submit(&training(), PLENTY).unwrap();
    let task = training().task();
    world.train_until(&task, round);
    (world, task)
}

/// R196: one master's word that it cannot do a round passes the lease on at once, and what it said is forgotten with the
/// round: it may do the next.
#[test]
fn one_word_passes_the_training_on() {
    let (mut world, task) = of_three(2);
    let word = failure(&master(1), &task, Step::Round(2), Code::AggregationFailed);
    let events = world.order(&word).unwrap();
    assert!(matches!(events[..], [Event::FailureReported { .. }, Event::EffectLeased { .. }]), "{events:?}");
    let next = Lease { runner: master(2), attempt: 1, until: world.now.plus(LEASE_MS) };
    assert_eq!(world.state.leases[&Effect::Train(task)], next);
    assert_eq!(world.order(&word), Ok(vec![]), "the first word counts");
    world.replace(master(2));
    assert!(world.step(false));
    assert_eq!(world.position(&task).round, 3);
    assert!(world.task(&task).failures.is_empty());
    world.run(Disturbance::default());
    assert_eq!(world.task(&task).state(), TaskState::Completed);
    assert_nothing_is_left(&world);
}

/// R196, R176: the word of a majority ends a training at any round: the lock goes back whole, and so does what is still
/// reserved.
#[test]
fn the_word_of_a_majority_rejects_and_refunds() {
    for round in [1, 3, 5] {
        let (mut world, task) = of_three(round);
        world.order(&failure(&master(1), &task, Step::Round(round), Code::QuorumBroken)).unwrap();
        let events =
            world.order(&failure(&master(3), &task, Step::Round(round), Code::AggregationFailed)).unwrap();
        let closed = events.iter().find_map(|event| match event {
            Event::TaskClosed { to: TaskState::Rejected, code, refund: (_, refund), .. } => {
                Some((*code, refund.amount))
            }
            _ => None,
        });
        assert_eq!(closed, Some((Code::AggregationFailed, PLENTY)), "round {round}");
        world.run(Disturbance::default());
        assert_nothing_is_left(&world);
        assert_eq!(world.state.rounds_of(&task).count() as u32, round - 1);
    }
}

/// R195, R196: words about another step, of no master, or of a task that is past its rounds say nothing.
#[test]
fn words_about_something_else_say_nothing() {
    let (mut world, task) = of_three(2);
    let word = |name: &str, step| {
        let Command::RecordFailure { failure } = failure(&master(1), &task, step, Code::QuorumBroken) else {
            panic!("no word")
        };
        let key = crate::stage::key::<symphony_types::key::Master>(name);
        Command::RecordFailure { failure: key.sign(failure.body) }
    };
    assert_eq!(world.order(&word("stranger", Step::Round(2))).unwrap_err().code, Code::Forbidden);
    // R196: a word about an earlier round says nothing of this one, so an old one cannot be brought again.
    assert_eq!(world.order(&word("master-1", Step::Round(1))), Ok(vec![]));
    assert!(world.task(&task).failures.is_empty());
    let early = world.order(&word("master-1", Step::Round(3))).unwrap_err();
    assert_eq!(early.code, Code::IllegalTransition);
    // A training has no slices of its own, and its aggregation is not a step.
    assert_eq!(world.order(&word("master-1", Step::Slices)), Ok(vec![]));
    assert_eq!(world.order(&word("master-1", Step::Aggregate)).unwrap_err().code, Code::IllegalTransition);
    while world.state.tasks[&task].state() == TaskState::Dispatched {
        assert!(world.step(false));
    }
    assert_eq!(world.order(&word("master-1", Step::Round(2))), Ok(vec![]));
    assert_eq!(world.task(&task).state(), TaskState::Verifying);
}

/// R098, R102: every step of a training from round to round, for three plans and what their evaluations find. `best` and
/// what follows it are shown by what they do: the round that is last.
#[test]
fn the_rounds_of_a_training_are_pinned() {
    let plans = [
        ("every step, patience 1", 1, 1, 4),
        ("every step, patience 2", 1, 2, 5),
        ("every second step, patience 1", 2, 1, 6),
        ("every third step, never early", 3, 0, 7),
        ("at the end only", 2, 1, 2),
    ];
    let courses = [
        ("better", [600_000, 650_000, 700_000, 750_000]),
        ("the same", [600_000; 4]),
        ("worse, then better", [600_000, 550_000, 650_000, 700_000]),
        ("nothing", [0; 4]),
    ];
    let mut table = String::new();
    for (name, every, patience, rounds) in plans {
        for (found, quality) in courses {
            let mut request = training();
            let asked = wanted(&mut request);
            (asked.evaluate_every, asked.patience, asked.rounds) = (every, patience, rounds);
            let (mut world, task) = requested(&request, Script::default());
            world.train_until(&task, 1);
            let training = planned(&world.task(&task).envelope).clone();
            let mut position = Position::FIRST;
            let mut row = String::new();
            loop {
                let Epsilon(spent) = position.spent(&training, Extra::NONE).unwrap();
                let evaluated = training.evaluates(position.round, position.last);
                let mark = [" ", "*"][usize::from(evaluated)];
                let last = if position.last { " last" } else { "" };
                row += &format!(" | {}{mark} {spent}{last}", position.round);
                let course = Course { quality, ..Course::default() };
                match position.next(&training, &crate::rounds::outcome(&training, &position, &course)) {
                    Some(next) => position = next,
                    None => break,
                }
            }
            table += &format!("{name}; {found}{row}\n");
        }
    }
    insta::assert_snapshot!(table);
}
