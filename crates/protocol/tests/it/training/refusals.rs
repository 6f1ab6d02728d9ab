//! Rounds that are not what the plan allows: each is refused with its code, is held against nobody and leaves no trace;
//! repetitions change nothing (R097, R098, R101, R195, R196).

use symphony_protocol::artifact::training::Round;
use symphony_protocol::artifact::*;
use symphony_protocol::lifecycle::training::Position;
use symphony_protocol::lifecycle::{Stage, TaskState};
use symphony_protocol::machine::{Command, Effect, Event};
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::TaskId;
use symphony_types::key::{Master, SoftwareEnclave, Vault};

use super::{at_round, play, requested};
use crate::flow::assert_nothing_is_left;
use crate::rounds::{
    found, outcome, planned, propensity, round, round_aggregate, round_slice, signed_slice, wanted,
};
use crate::stage::{PLENTY, VAULTS, actor, campaign, enclave, key, vault};
use crate::world::{Disturbance, Script, World};

/// A round as an honest master reports it, to be bent.
struct Draft {
    envelope: TaskEnvelope,
    position: Position,
    slices: Vec<SignedSlice>,
    outcome: Outcome,
}

impl Draft {
    /// The round that is due.
    fn of(world: &World, task: &TaskId) -> Self {
        Self::at(world, task, world.position(task))
    }

    /// The round of a position that need not be due.
    fn at(world: &World, task: &TaskId, position: Position) -> Self {
        let envelope = world.task(task).envelope.clone();
        let slices = VAULTS.map(|name| round_slice(&envelope, &position, &vault(name))).into();
        let outcome = outcome(planned(&envelope), &position, &world.script.course);
        Self { envelope, position, slices, outcome }
    }

    /// Changes the first slice and signs it anew.
    fn reslice(&mut self, change: impl FnOnce(&mut SliceHeader)) {
        let mut header = self.slices[0].body.clone();
        change(&mut header);
        self.slices[0] = signed_slice(&self.envelope, &self.position, header);
    }

    fn round(&self) -> Round {
        let aggregate = round_aggregate(&self.envelope, &self.position, &self.slices, self.outcome);
        round(&self.envelope, &self.position, self.slices.clone(), aggregate)
    }

    /// The round with another aggregate, signed anew.
    fn reaggregate(&self, change: impl FnOnce(&mut AggregateHeader)) -> Round {
        let mut round = self.round();
        let mut header = round.aggregate.body.clone();
        change(&mut header);
        round.aggregate = enclave().sign(header);
        round
    }
}

/// What is changed, and how.
type Change<T> = (&'static str, fn(&mut T));

/// What a bent round is refused with; the world checks that a refusal changes nothing.
fn refused(world: &mut World, round: Round) -> Code {
    let leases = world.state.leases.clone();
    let report = world.rounded(round);
    let refusal = world.order(&report).unwrap_err();
    assert_eq!(leases, world.state.leases);
    refusal.code
}

/// R097, R098: what counts as a slice of a round: of its Vault, for this round, from this learner, with the loss so far.
#[test]
fn a_slice_that_is_not_of_the_round_refuses_it() {
    let (mut world, task) = at_round(2);
    let here = world.position(&task);
    let elsewhere = [
        ("round one", Position::of(1, false, Digest::ZERO)),
        ("round three", Position::of(3, false, here.state)),
        ("another learner", Position::of(2, false, Digest::of_bytes(b"another learner"))),
        ("the initial learner", Position::of(2, false, Digest::ZERO)),
    ];
    for (name, position) in elsewhere {
        let mut draft = Draft::at(&world, &task, position);
        draft.outcome = outcome(planned(&draft.envelope), &here, &world.script.course);
        let round = Round { round: 2, ..draft.round() };
        assert_eq!(refused(&mut world, round), Code::QuorumBroken, "{name}");
    }
    let changes: [Change<SliceHeader>; 5] = [
        ("another task", |body| body.task = TaskId(Digest::ZERO)),
        ("another nonce", |body| body.nonce = Digest::ZERO),
        ("less drawn", |body| body.epsilon = Epsilon(body.epsilon.0 - 1)),
        ("more drawn than reserved", |body| body.epsilon = Epsilon(2_728_986)),
        ("another attempt than the others", |body| body.attempt = 1),
    ];
    for (name, change) in changes {
        let mut draft = Draft::of(&world, &task);
        draft.reslice(change);
        assert_eq!(refused(&mut world, draft.round()), Code::QuorumBroken, "{name}");
    }
    let drafts: [Change<Draft>; 7] = [
        ("one of two", |draft| draft.slices.truncate(1)),
        ("none", |draft| draft.slices.clear()),
        ("out of order", |draft| draft.slices.swap(0, 1)),
        ("one twice", |draft| draft.slices[1] = draft.slices[0].clone()),
        ("a stranger's", |draft| {
            draft.slices[0] = key::<Vault>("stranger").sign(draft.slices[0].body.clone());
        }),
        ("in another's name", |draft| {
            draft.slices[0] = key::<Vault>("vault-b").sign(draft.slices[0].body.clone());
        }),
        ("a vault that was not asked", |draft| {
            let body = SliceHeader { vault: vault("vault-s"), ..draft.slices[0].body.clone() };
            draft.slices.push(key::<Vault>("vault-s").sign(body));
        }),
    ];
    for (name, change) in drafts {
        let mut draft = Draft::of(&world, &task);
        change(&mut draft);
        assert_eq!(refused(&mut world, draft.round()), Code::QuorumBroken, "{name}");
    }
    let good = world.rounded(Draft::of(&world, &task).round());
    assert!(!world.order(&good).unwrap().is_empty());
}

/// R101, R114: what the aggregator may say of a round.
#[test]
fn an_aggregate_that_the_plan_does_not_allow_refuses_the_round() {
    let (mut world, task) = at_round(2);
    let changes: [Change<AggregateHeader>; 5] = [
        ("another task", |body| body.task = TaskId(Digest::ZERO)),
        ("another aggregator", |body| body.aggregator = actor("verifier")),
        ("an input less", |body| drop(body.inputs.pop())),
        ("another input", |body| body.inputs[0].1 = Digest::ZERO),
        ("inputs in another order", |body| body.inputs.swap(0, 1)),
    ];
    for (name, change) in changes {
        let round = Draft::of(&world, &task).reaggregate(change);
        assert_eq!(refused(&mut world, round), Code::AggregationFailed, "{name}");
    }
    let mut unsigned = Draft::of(&world, &task).round();
    unsigned.aggregate.key = key::<SoftwareEnclave>("another enclave").public();
    assert_eq!(refused(&mut world, unsigned), Code::AggregationFailed);
    let model = Outcome::Model { model: Digest::ZERO, evaluation: found(900_000) };
    let others = [
        ("a model before the last round", model),
        ("withheld before the last round", Outcome::Withheld { evaluation: found(1) }),
        ("an audience", Outcome::Audience { returned: 100 }),
        ("suppressed", Outcome::Suppressed),
    ];
    for (name, outcome) in others {
        let draft = Draft { outcome, ..Draft::of(&world, &task) };
        assert_eq!(refused(&mut world, draft.round()), Code::AggregationFailed, "{name}");
    }
}

/// R100, R101: the last round releases a model from the threshold on, withholds one below it, and makes no step.
#[test]
fn the_last_round_releases_what_is_good_enough() {
    let (mut world, task) = at_round(5);
    let model = |quality| Outcome::Model { model: Digest::ZERO, evaluation: found(quality) };
    let withheld = |quality| Outcome::Withheld { evaluation: found(quality) };
    let step = Outcome::Step { state: Digest::ZERO, evaluation: Some(found(600_000)) };
    for outcome in [model(499_999), model(0), withheld(500_000), withheld(1_000_000), step] {
        let draft = Draft { outcome, ..Draft::of(&world, &task) };
        assert_eq!(refused(&mut world, draft.round()), Code::AggregationFailed, "{outcome:?}");
    }
    for outcome in [model(500_000), withheld(499_999)] {
        let mut world = world.clone();
        let report = world.rounded(Draft { outcome, ..Draft::of(&world, &task) }.round());
        assert!(!world.order(&report).unwrap().is_empty(), "{outcome:?}");
        assert_eq!(world.task(&task).state(), TaskState::Verifying);
    }
}

/// R098: an evaluation where none is due would be a loss that nobody counted; one that is due may be missing, where too few
/// people are held out.
#[test]
fn evaluations_come_when_they_are_due() {
    let mut request = propensity("t1");
    wanted(&mut request).evaluate_every = 2;
    let (mut world, task) = requested(&request, Script::default());
    for (round, due) in [(1, false), (2, false), (3, true), (4, false)] {
        world.train_until(&task, round);
        for evaluation in [None, Some(found(700_000))] {
            let outcome = Outcome::Step { state: Digest::of_bytes(b"next"), evaluation };
            let mut world = world.clone();
            let report = world.rounded(Draft { outcome, ..Draft::of(&world, &task) }.round());
            let allowed = world.order(&report).map(drop).map_err(|refusal| refusal.code);
            let expected = if evaluation.is_none() || due { Ok(()) } else { Err(Code::AggregationFailed) };
            assert_eq!(allowed, expected, "round {round}, {evaluation:?}");
        }
    }
}

/// R195: what fewer than a majority of the masters found attested is not recorded.
#[test]
fn a_round_needs_the_word_of_a_majority() {
    let mut world = World::of_three(Script::default());
    world.submit(&propensity("t1"), PLENTY).unwrap();
    let task = propensity("t1").task();
    world.train_until(&task, 2);
    let draft = Draft::of(&world, &task).round();
    let Command::RecordRound { round: whole } = world.rounded(draft.clone()) else { panic!("no round") };
    let mut alone = whole.clone();
    alone.endorsements.truncate(1);
    let mut twice = alone.clone();
    twice.endorsements.push(twice.endorsements[0].clone());
    let mut moved = whole.clone();
    moved.body.bulk = Digest::ZERO;
    let mut unsaid = whole.clone();
    unsaid.body.absent.push((vault("vault-a"), Code::VaultUnavailable));
    let stranger = key::<Master>("stranger").endorsed(draft);
    for round in [alone, twice, moved, unsaid, stranger] {
        let refusal = world.order(&Command::RecordRound { round }).unwrap_err();
        assert_eq!(refusal.code, Code::Undecided);
    }
    assert!(!world.order(&Command::RecordRound { round: whole }).unwrap().is_empty());
    assert_eq!(world.position(&task).round, 3);
}

/// R040, R102, R209: at every round, any round that is recorded is a repetition, even one that says something else; any
/// later one comes too early.
#[test]
fn rounds_out_of_order_have_no_effect() {
    let (calm, task) = play(&propensity("t1"), Script::default(), Disturbance::default());
    let rounds: Vec<_> = calm.state.rounds_of(&task).cloned().collect();
    let (mut world, _) = requested(&propensity("t1"), Script::default());
    for next in 0..=rounds.len() {
        if next < rounds.len() {
            world.train_until(&task, next as u32 + 1);
        } else {
            assert!(world.step(false));
        }
        for (at, round) in rounds.iter().enumerate().filter(|(at, _)| *at != next) {
            let before = to_bytes(&world.state);
            let answer = world.order(&world.rounded(round.clone()));
            if at < next {
                assert_eq!(answer, Ok(vec![]));
                let mut other = round.clone();
                other.slices.pop();
                other.bulk = Digest::ZERO;
                assert_eq!(world.order(&world.rounded(other)), Ok(vec![]));
            } else {
                assert_eq!(answer.unwrap_err().code, Code::IllegalTransition);
            }
            assert_eq!(to_bytes(&world.state), before, "round {} at {}", at + 1, next + 1);
        }
    }
    world.run(Disturbance::default());
    for round in rounds {
        assert_eq!(world.order(&world.rounded(round)), Ok(vec![]), "nothing moves a finished training");
    }
}

/// R041: a task that is no training has no rounds, and nobody knows a task that was never admitted.
#[test]
fn other_tasks_have_no_rounds() {
    let (world, task) = at_round(1);
    let round = Draft::of(&world, &task).round();
    let mut world = World::new(Script::default());
    assert_eq!(refused(&mut world, round.clone()), Code::NotFound);
    world.submit(&campaign("c1"), PLENTY).unwrap();
    while !world.state.tasks.contains_key(&campaign("c1").task()) {
        assert!(world.step(false));
    }
    let round = Round { task: campaign("c1").task(), ..round };
    assert_eq!(refused(&mut world, round), Code::IllegalTransition);
    assert_eq!(world.task(&campaign("c1").task()).stage, Stage::Computing);
}

/// R040: slices and aggregates of a query say nothing of a training.
#[test]
fn a_training_takes_no_slices_of_a_query() {
    let (mut world, task) = at_round(2);
    let draft = Draft::of(&world, &task);
    let slices = Command::RecordSlices { task, slices: draft.slices.clone() };
    assert_eq!(world.order(&slices), Ok(vec![]));
    let aggregate = world.aggregated(draft.round().aggregate);
    assert_eq!(world.order(&aggregate).unwrap_err().code, Code::IllegalTransition);
    assert_eq!(world.position(&task).round, 2);
}

/// R036, R199: a round that comes at the deadline is too late, whatever it holds; the lock goes back whole.
#[test]
fn a_round_after_the_deadline_times_the_training_out() {
    for round in [1, 5] {
        let (mut world, task) = at_round(round);
        let report = world.perform(&Effect::Train(task)).unwrap();
        world.now = world.task(&task).envelope.execute_by;
        let events = world.order(&report).unwrap();
        let closed = events.iter().any(|event| {
            matches!(event, Event::TaskClosed { to: TaskState::TimedOut, refund: (_, refund), .. }
                if refund.amount == PLENTY)
        });
        assert!(closed, "{events:?}");
        assert_eq!(world.state.rounds_of(&task).count() as u32, round - 1);
        world.expire();
        world.run(Disturbance::default());
        assert_nothing_is_left(&world);
    }
}
