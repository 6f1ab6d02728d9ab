//! Three masters, one of which lies: it cannot have a task admitted that nobody pays for, and it cannot end one. What it
//! costs is time (R012, R195, R196).

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_protocol::artifact::{LockFact, Outcome};
use symphony_protocol::execution::aggregate::AttestedAggregate;
use symphony_protocol::execution::failure::Step;
use symphony_protocol::lifecycle::{Stage, TaskState};
use symphony_protocol::machine::{Command, Effect, Event, Lease, evolve};
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{NodeId, TaskId};
use symphony_types::key::{Document, Endorsed, Master, SoftwareEnclave};

use crate::flow::assert_nothing_is_left;
use crate::stage::{EPOCH_MS, LEASE_MS, PLENTY, START, campaign, endorsed, key, lock};
use crate::world::{Act, Disturbance, Script, World, failure, master};

/// A document with the word of these keys.
fn by<T: Document>(names: &[&str], body: T) -> Endorsed<T, Master> {
    let digest = body.digest();
    Endorsed { endorsements: names.iter().map(|name| key::<Master>(name).endorse(&digest)).collect(), body }
}

/// Words that are no majority's: one master's, the same one's twice, a stranger's beside it, a majority with a
/// stranger, and that of a majority for something else.
fn no_majority<T: Document + Clone>(body: &T, other: T) -> Vec<Endorsed<T, Master>> {
    let mut moved = by(&["master-1", "master-2"], other);
    moved.body = body.clone();
    let names: [&[&str]; 5] = [
        &[],
        &["master-2"],
        &["master-2", "master-2"],
        &["master-2", "stranger"],
        &["master-1", "master-2", "stranger"],
    ];
    names.into_iter().map(|names| by(names, body.clone())).chain([moved]).collect()
}

fn submission(request: &str, fact: Endorsed<LockFact, Master>) -> Command {
    Command::SubmitTask { request: campaign(request), lock: fact.body.lock, fact: Some(fact) }
}

/// R012, R020, R195: what one master says that it saw on the chain admits nothing, and what a majority saw does.
#[test]
fn a_liar_alone_cannot_admit_an_unpaid_task() {
    let mut world = World::of_three(Script::default());
    world.by = master(2);
    let before = to_bytes(&world.state);
    let fact = lock(&campaign("c1"), PLENTY);
    for forged in no_majority(&fact, LockFact { amount: symphony_types::amount::Sym(1), ..fact }) {
        let refusal = world.order(&submission("c1", forged)).unwrap_err();
        assert_eq!(refusal.code, Code::EscrowMissing);
        assert_eq!(to_bytes(&world.state), before, "nothing is recorded");
    }
    for majority in [["master-1", "master-2"], ["master-3", "master-1"], ["master-2", "master-3"]] {
        let mut world = world.clone();
        let events = world.order(&submission("c1", by(&majority, fact))).unwrap();
        assert!(matches!(events[0], Event::AdmissionRequested { .. }), "{majority:?}");
    }
}

/// R020, R195: the lock is for all that its owner asked: a master that takes a submission cannot order a wider audience with
/// it, nor have the result sealed to a key of its own.
#[test]
fn a_liar_cannot_change_what_is_asked() {
    let mut world = World::of_three(Script::default());
    let asked = campaign("c1");
    let fact = by(&["master-1", "master-2"], lock(&asked, PLENTY));
    let mut wider = asked.clone();
    crate::stage::asked(&mut wider).cap += 1;
    let mut own_key = asked.clone();
    own_key.recipient[0] ^= 1;
    let mut other_vaults = asked.clone();
    other_vaults.vaults.pop();
    let before = to_bytes(&world.state);
    for request in [wider, own_key, other_vaults] {
        let command = Command::SubmitTask { request, lock: fact.body.lock, fact: Some(fact.clone()) };
        assert_eq!(world.order(&command).unwrap_err().code, Code::EscrowMismatch);
        assert_eq!(to_bytes(&world.state), before, "nothing is recorded");
    }
    let command = Command::SubmitTask { request: asked, lock: fact.body.lock, fact: Some(fact) };
    assert!(world.order(&command).is_ok());
}

/// R025, R195: a refusal gives back only a lock that a majority saw.
#[test]
fn a_liar_alone_cannot_book_a_refund() {
    let mut world = World::of_three(Script::default());
    let mut request = campaign("c1");
    request.quorum = 9;
    let fact = lock(&request, PLENTY);
    let submission = |fact: Endorsed<LockFact, Master>| Command::SubmitTask {
        request: request.clone(),
        lock: fact.body.lock,
        fact: Some(fact),
    };
    for forged in no_majority(&fact, LockFact { amount: symphony_types::amount::Sym(1), ..fact }) {
        assert_eq!(world.order(&submission(forged)).unwrap_err().code, Code::EscrowMissing);
    }
    assert!(world.state.requests.is_empty() && world.state.epochs.is_empty());
    let genuine = endorsed(&world.state.governance.registry, fact);
    let events = world.order(&submission(genuine)).unwrap();
    assert!(matches!(events[..], [Event::AdmissionRefused { refund: Some(_), .. }]), "{events:?}");
}

/// R025, R169: a lock that its owner may take back before the payout is left to its owner; one batch is for all tasks of
/// an epoch, and one lock that is gone would stop it.
#[test]
fn a_lock_that_ends_before_the_payout_is_not_refunded() {
    let request = campaign("c1");
    let enough = START.plus(2 * EPOCH_MS);
    for (expires, booked) in [(START, false), (enough.minus(1), false), (enough, true)] {
        let mut world = World::of_three(Script::default());
        let fact = LockFact { expires, ..lock(&request, PLENTY) };
        match world.order(&world.submission(&request, fact)) {
            Ok(events) => {
                let refused = matches!(
                    events[..],
                    [Event::AdmissionRefused { code: Code::EscrowTooSmall, refund: Some(_), .. }]
                );
                assert!(booked && refused, "{events:?}");
            }
            Err(refusal) => {
                assert!(!booked, "{refusal}");
                assert_eq!(refusal.code, Code::EscrowTooSmall);
                assert!(world.state.requests.is_empty() && world.state.epochs.is_empty());
            }
        }
    }
}

/// R169, R195, R196: an honest campaign in the middle of all of a liar's tries ends completed, and the chain does the
/// batch of its epoch: every lock in it is one that the chain holds.
#[test]
fn the_epochs_batch_stays_payable() {
    let mut world = World::of_three(Script::default());
    world.submit(&campaign("honest"), PLENTY).unwrap();
    let unpaid = lock(&campaign("unpaid"), PLENTY);
    for step in 0..12 {
        world.by = master(2);
        for forged in no_majority(&unpaid, lock(&campaign("other"), PLENTY)) {
            assert_eq!(world.order(&submission("unpaid", forged)).unwrap_err().code, Code::EscrowMissing);
        }
        let task = campaign("honest").task();
        for step in [Step::Slices, Step::Aggregate] {
            drop(world.order(&failure(&master(2), &task, step, Code::AggregationFailed)));
        }
        world.replace(master(1));
        if !world.step(step % 2 == 0) {
            break;
        }
    }
    world.run(Disturbance::default());
    assert_eq!(world.task(&campaign("honest").task()).state(), TaskState::Completed);
    assert_eq!((world.state.requests.len(), world.batches.len()), (1, 1));
    assert_nothing_is_left(&world);
}

/// A world in which master 1 holds a step of the campaign.
fn at(step: Step) -> (World, TaskId, Effect) {
    let mut world = World::of_three(Script::default());
    world.submit(&campaign("c1"), PLENTY).unwrap();
    let task = campaign("c1").task();
    let effect = match step {
        Step::Slices => Effect::AssignSlices(task),
        Step::Aggregate => Effect::Aggregate(task),
        Step::Round(_) => Effect::Train(task),
        Step::Review => Effect::Review(task),
    };
    while !world.state.holds(&master(1), &effect) {
        assert!(world.step(false));
    }
    (world, task, effect)
}

const STEPS: [Step; 2] = [Step::Slices, Step::Aggregate];

fn reported(events: &[Event]) -> Option<&NodeId> {
    match events.first()? {
        Event::FailureReported { master, .. } => Some(master),
        _ => None,
    }
}

/// R196: the holder of a step says that it cannot: the next master gets the step at once, and the task is completed.
#[test]
fn a_lying_holder_cannot_end_a_task() {
    for step in STEPS {
        let (mut world, task, effect) = at(step);
        let events = world.order(&failure(&master(1), &task, step, Code::AggregationFailed)).unwrap();
        assert_eq!((events.len(), reported(&events)), (2, Some(&master(1))));
        let next = Lease { runner: master(2), attempt: 1, until: world.now.plus(LEASE_MS) };
        assert_eq!(world.state.leases[&effect], next);
        assert_eq!(world.task(&task).state(), TaskState::Dispatched);
        assert_eq!(world.task(&task).failures, [(master(1), Code::AggregationFailed)].into());
        world.replace(master(2));
        world.run(Disturbance::default());
        assert_eq!(world.task(&task).state(), TaskState::Completed, "{step:?}");
        assert_nothing_is_left(&world);
    }
}

/// R196: a master that does not hold the step says that it cannot do it: that is remembered, and the holder goes on.
#[test]
fn a_lying_bystander_moves_nothing() {
    for step in STEPS {
        let (mut world, task, effect) = at(step);
        let held = world.state.leases[&effect].clone();
        world.by = master(3);
        let events = world.order(&failure(&master(3), &task, step, Code::AggregationFailed)).unwrap();
        assert_eq!((events.len(), reported(&events)), (1, Some(&master(3))));
        assert_eq!(world.state.leases[&effect], held);
        world.replace(master(1));
        world.run(Disturbance::default());
        assert_eq!(world.task(&task).state(), TaskState::Completed, "{step:?}");
        assert_nothing_is_left(&world);
    }
}

/// R107, R176, R195: what a majority cannot do ends the task at once, with the lock going back.
#[test]
fn a_majority_ends_a_task() {
    for step in STEPS {
        for pair in [[1, 2], [2, 3], [3, 1]] {
            let (mut world, task, _) = at(step);
            let [first, second] =
                pair.map(|number| failure(&master(number), &task, step, Code::QuorumBroken));
            world.order(&first).unwrap();
            let began = world.now;
            world.order(&second).unwrap();
            let Stage::Rejected { code, refunded } = world.task(&task).stage else {
                panic!("{step:?} {pair:?}")
            };
            assert_eq!((code, refunded, world.now), (Code::QuorumBroken, PLENTY, began));
            world.run(Disturbance::default());
            assert_nothing_is_left(&world);
        }
    }
}

/// R196, R209: a master's word counts once, whatever it says again, through whom, and whoever else orders it.
#[test]
fn a_repetition_changes_nothing() {
    for step in STEPS {
        let (mut world, task, _) = at(step);
        let first = failure(&master(1), &task, step, Code::AggregationFailed);
        world.order(&first).unwrap();
        let once = to_bytes(&world.state);
        for number in 1..=3 {
            world.by = master(number);
            for code in [Code::AggregationFailed, Code::QuorumBroken] {
                assert_eq!(world.order(&failure(&master(1), &task, step, code)), Ok(vec![]));
            }
        }
        assert_eq!(to_bytes(&world.state), once);
        world.replace(master(2));
        world.run(Disturbance::default());
        let ended = to_bytes(&world.state);
        assert_eq!(world.order(&first), Ok(vec![]), "late");
        assert_eq!(to_bytes(&world.state), ended);
    }
}

/// R012, R205: nobody reports in another master's name, and a word that was given for one step is none for another.
#[test]
fn a_word_is_its_masters_own_and_for_one_step() {
    let (mut world, task, _) = at(Step::Slices);
    let of_slices = failure(&master(2), &task, Step::Slices, Code::QuorumBroken);
    let Command::RecordFailure { failure: genuine } = of_slices.clone() else { panic!() };
    let mut renamed = genuine.clone();
    renamed.key = key::<Master>("master-3").public();
    let mut other_step = genuine;
    other_step.body.step = Step::Aggregate;
    let stranger = key::<Master>("stranger").sign(other_step.body.clone());
    for failure in [renamed, other_step, stranger] {
        assert_eq!(world.order(&Command::RecordFailure { failure }).unwrap_err().code, Code::Forbidden);
    }
    let early = failure(&master(2), &task, Step::Aggregate, Code::QuorumBroken);
    assert_eq!(world.order(&early).unwrap_err().code, Code::IllegalTransition);
    world.order(&of_slices).unwrap();
    world.step(false);
    assert!(matches!(world.task(&task).stage, Stage::Aggregating { .. }));
    assert!(world.task(&task).failures.is_empty(), "the slices are in, whoever could not have them");
    assert_eq!(world.order(&of_slices), Ok(vec![]), "late");
    world.order(&failure(&master(3), &task, Step::Aggregate, Code::AggregationFailed)).unwrap();
    world.run(Disturbance::default());
    assert_eq!(world.task(&task).state(), TaskState::Completed);
}

/// R196: whoever cannot does not get the step again by ordering the time: when the next one is silent too, the third
/// gets it.
#[test]
fn a_step_does_not_return_to_who_cannot_do_it() {
    for step in STEPS {
        let (mut world, task, effect) = at(step);
        world.order(&failure(&master(1), &task, step, Code::AggregationFailed)).unwrap();
        for (attempt, runner) in [(2, 3), (3, 2), (4, 3)] {
            world.advance(world.state.leases[&effect].until);
            let lease = Lease { runner: master(runner), attempt, until: world.now.plus(LEASE_MS) };
            assert_eq!(world.state.leases[&effect], lease);
        }
        world.replace(master(2));
        world.advance(world.state.leases[&effect].until);
        assert!(world.state.holds(&master(2), &effect), "it has not said so, and it is up");
        world.run(Disturbance::default());
        assert_eq!(world.task(&task).state(), TaskState::Completed, "{step:?}");
    }
}

/// R114, R195: an aggregate that does not fit, or that a majority has not found attested, is refused without a trace,
/// though its signature fits its key.
#[test]
fn a_liar_alone_cannot_record_an_aggregate() {
    let (mut world, task, _) = at(Step::Aggregate);
    let genuine = world.aggregate(&task);
    let before = to_bytes(&world.state);
    let own = key::<SoftwareEnclave>("own").sign(genuine.body.clone());
    let mut late = genuine.body.clone();
    late.result = Digest::ZERO;
    let late = AttestedAggregate { aggregate: key::<SoftwareEnclave>("enclave").sign(late) };
    for aggregate in [genuine.clone(), own] {
        for aggregate in no_majority(&AttestedAggregate { aggregate }, late.clone()) {
            let refusal = world.order(&Command::RecordAggregate { aggregate }).unwrap_err();
            assert_eq!(refusal.code, Code::Undecided);
        }
    }
    let mut large = genuine.body.clone();
    large.outcome = Outcome::Audience { returned: 5_001 };
    let unfit = world.aggregated(key::<SoftwareEnclave>("enclave").sign(large));
    assert_eq!(world.order(&unfit).unwrap_err().code, Code::AggregationFailed);
    assert_eq!(to_bytes(&world.state), before);
    assert!(!world.order(&world.aggregated(genuine)).unwrap().is_empty());
}

/// R107, R196: a report of too few slices ends nothing.
#[test]
fn a_liar_alone_cannot_break_the_quorum() {
    let (mut world, task, _) = at(Step::Slices);
    let Some(Command::RecordSlices { slices, .. }) = world.perform(&Effect::AssignSlices(task)) else {
        panic!("no slices")
    };
    for few in [&slices[..0], &slices[..1]] {
        let report = Command::RecordSlices { task, slices: few.to_vec() };
        assert_eq!(world.order(&report).unwrap_err().code, Code::QuorumBroken);
    }
    assert_eq!(world.task(&task).stage, Stage::Computing);
    world.run(Disturbance::default());
    assert_eq!(world.task(&task).state(), TaskState::Completed);
}

/// R088: a suppressed result is a result: one master's aggregate says so, and nobody has failed.
#[test]
fn a_suppressed_result_is_no_failure() {
    let mut world = World::of_three(Script { outcome: Outcome::Suppressed, ..Script::default() });
    world.submit(&campaign("c1"), PLENTY).unwrap();
    world.run(Disturbance::default());
    assert_eq!(world.task(&campaign("c1").task()).state(), TaskState::Completed);
    assert!(!world.log.iter().any(|(_, event)| matches!(event, Event::FailureReported { .. })));
    assert_nothing_is_left(&world);
}

/// R107, R196: what no honest master can do is ended by the second that tries, without waiting for a deadline.
#[test]
fn a_refusal_that_all_masters_meet_takes_two_of_them() {
    for script in [
        Script { aggregate: Act::Refuse, ..Script::default() },
        Script { slice: [Act::Serve, Act::Refuse, Act::Refuse], ..Script::default() },
    ] {
        let mut world = World::of_three(script);
        world.submit(&campaign("c1"), PLENTY).unwrap();
        for number in [1, 2] {
            world.replace(master(number));
            while world.step(false) {}
        }
        let task = world.task(&campaign("c1").task());
        assert_eq!((task.state(), task.failures.len(), world.now), (TaskState::Rejected, 2, START));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// R012, R195, R196: whatever master 3 says, orders and repeats between the steps of two honest ones, in less time than
    /// the Vaults have to answer, the campaign is completed and paid, and replay agrees.
    #[test]
    fn one_liar_costs_time_never_the_task(
        steps in vec((0..7u8, any::<bool>(), 0..LEASE_MS / 20), 1..40),
    ) {
        let mut world = World::of_three(Script::default());
        world.submit(&campaign("c1"), PLENTY).unwrap();
        let task = campaign("c1").task();
        let mut up = 1;
        for (kind, second, millis) in steps {
            let step = if second { Step::Slices } else { Step::Aggregate };
            world.replace(master(3));
            match kind {
                0 => drop(world.order(&failure(&master(3), &task, step, Code::AggregationFailed))),
                1 => drop(world.order(&Command::RecordSlices { task, slices: vec![] })),
                2 => drop(world.advance(world.now.plus(millis))),
                3 => {
                    let again = world.commands[world.commands.len() - 1].clone();
                    drop(world.order(&again));
                }
                4 => drop(world.order(&Command::RenewLeases)),
                5 => {
                    let fact = by(&["master-3"], lock(&campaign("c2"), PLENTY));
                    prop_assert!(world.order(&submission("c2", fact)).is_err());
                }
                _ => {
                    up = 3 - up;
                    world.replace(master(up));
                    world.step(second);
                }
            }
        }
        world.replace(master(1));
        world.run(Disturbance::default());
        prop_assert_eq!(world.task(&task).state(), TaskState::Completed);
        assert_nothing_is_left(&world);
        let mut replayed = World::of_three(Script::default()).state;
        for (at, event) in &world.log {
            evolve(&mut replayed, *at, event);
        }
        prop_assert_eq!(to_bytes(&replayed), to_bytes(&world.state));
    }
}
