//! A task whose slices were assigned more than once: another master took over, and has another aggregator (R105, R196).

use symphony_protocol::artifact::{SignedSlice, TaskEnvelope};
use symphony_protocol::execution::coordinate::{accepted, attempt};
use symphony_protocol::lifecycle::Stage;
use symphony_protocol::machine::{Command, Effect};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;
use symphony_types::key::Vault;

use crate::attest::slice_attestation;
use crate::flow::assert_nothing_is_left;
use crate::stage::{PLENTY, VAULTS, campaign, governance, key, vault};
use crate::world::{Act, Disturbance, Script, World, master, slice};

/// The slices of every Vault, sealed to the aggregator of an attempt.
fn slices(envelope: &TaskEnvelope, attempt: u32) -> Vec<SignedSlice> {
    VAULTS.iter().map(|name| slice_of(envelope, name, attempt)).collect()
}

fn slice_of(envelope: &TaskEnvelope, name: &str, attempt: u32) -> SignedSlice {
    let mut header = slice(envelope, &vault(name)).body;
    header.attempt = attempt;
    header.bundle = Digest::of("test/bundle", &(envelope.task, name, attempt));
    header.report = Digest::of_bytes(&slice_attestation(envelope, &header).report);
    key::<Vault>(name).sign(header)
}

/// A task whose first slices are accepted and whose aggregator has died.
fn aggregating() -> (World, TaskId, TaskEnvelope) {
    let mut world = World::new(Script { aggregate: Act::Sleep, ..Script::default() });
    world.submit(&campaign("c1"), PLENTY).unwrap();
    let task = campaign("c1").task();
    while !matches!(world.state.tasks.get(&task).map(|task| &task.stage), Some(Stage::Aggregating { .. })) {
        assert!(world.step(false), "the slices are never accepted");
    }
    let envelope = world.task(&task).envelope.clone();
    (world, task, envelope)
}

fn counted(world: &World, task: &TaskId) -> Vec<SignedSlice> {
    match &world.task(task).stage {
        Stage::Aggregating { slices, .. } => slices.clone(),
        other => panic!("{other:?}"),
    }
}

/// R105: one aggregator opens the slices of one attempt, so others beside them do not count; most decide, then the
/// latest.
#[test]
fn slices_of_different_attempts_are_never_combined() {
    let (_, _, envelope) = aggregating();
    let of = |attempts: [u32; 3]| -> Vec<_> {
        VAULTS.iter().zip(attempts).map(|(name, attempt)| slice_of(&envelope, name, attempt)).collect()
    };
    let attempts = |mixed: [u32; 3]| {
        let slices = accepted(&governance(), &envelope, &of(mixed))?;
        Ok(slices.iter().map(|slice| slice.body.attempt).collect::<Vec<_>>())
    };
    assert_eq!(attempts([0, 0, 0]), Ok(vec![0, 0, 0]));
    assert_eq!(attempts([4, 4, 4]), Ok(vec![4, 4, 4]));
    assert_eq!(attempts([1, 0, 1]), Ok(vec![1, 1]));
    assert_eq!(attempts([0, 9, 0]), Ok(vec![0, 0]), "one vault's word does not displace the others");
    assert_eq!(attempts([0, 1, 2]), Err(Code::QuorumBroken));
    assert_eq!(attempt(&of([3, 3, 3])), 3);
    assert_eq!(attempt(&of([0, 1, 2])), 2);
    assert_eq!(attempt(&[]), 0);
}

/// R196: the master that took over the aggregation records the slices of its own aggregator; they take the place of the
/// accepted ones once, within the same deadline, and the task ends as if nothing had happened.
#[test]
fn a_later_attempt_takes_the_place_of_accepted_slices() {
    let (mut world, task, envelope) = aggregating();
    let due = world.state.leases[&Effect::Aggregate(task)].until;
    world.replace(master(2));
    world.advance(due);
    let taken = world.state.leases[&Effect::Aggregate(task)].clone();
    assert_eq!((taken.runner, taken.attempt), (master(2), 1));
    let timer = world.task(&task).timer();

    let again = Command::RecordSlices { task, slices: slices(&envelope, 1) };
    assert!(!world.order(&again).unwrap().is_empty());
    assert_eq!(counted(&world, &task), slices(&envelope, 1));
    assert_eq!(world.task(&task).timer(), timer, "the deadline stays");
    assert_eq!(world.state.leases[&Effect::Aggregate(task)].runner, master(2));
    assert!(world.state.leases_agree());
    assert_eq!(world.order(&again), Ok(vec![]), "once");
    let late = Command::RecordSlices { task, slices: slices(&envelope, 0) };
    assert_eq!(world.order(&late), Ok(vec![]), "an earlier attempt is late");

    world.script.aggregate = Act::Serve;
    world.run(Disturbance::default());
    assert!(matches!(world.task(&task).stage, Stage::Completed { .. }));
    assert_nothing_is_left(&world);
}

/// R108, R196: a later attempt below the quorum takes nothing's place and ends nothing.
#[test]
fn a_later_attempt_below_the_quorum_is_refused() {
    let (mut world, task, envelope) = aggregating();
    let before = counted(&world, &task);
    let few = Command::RecordSlices { task, slices: slices(&envelope, 1)[..1].to_vec() };
    assert_eq!(world.order(&few).unwrap_err().code, Code::QuorumBroken);
    let mut forged = slices(&envelope, 1);
    for slice in &mut forged {
        slice.body.bundle = Digest::ZERO;
    }
    let forged = Command::RecordSlices { task, slices: forged };
    assert_eq!(world.order(&forged).unwrap_err().code, Code::QuorumBroken);
    assert_eq!(counted(&world, &task), before);
}

/// R196: the aggregate of slices that another attempt has replaced comes late and ends nothing.
#[test]
fn the_aggregate_of_replaced_slices_is_late() {
    let (mut world, task, envelope) = aggregating();
    let late = world.aggregated(world.aggregate(&task));
    world.order(&Command::RecordSlices { task, slices: slices(&envelope, 1) }).unwrap();
    assert_eq!(world.order(&late).unwrap_err().code, Code::IllegalTransition);
    assert_eq!(counted(&world, &task), slices(&envelope, 1));
    let fresh = world.aggregated(world.aggregate(&task));
    assert!(!world.order(&fresh).unwrap().is_empty());
}
