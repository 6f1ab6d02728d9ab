//! What another policy would have changed, told from the journal (R155, R188, R189).

use symphony_protocol::governance::policy::Policy;
use symphony_protocol::machine::State;
use symphony_protocol::machine::simulate::{Comparison, Fate, Rewards, Simulation};
use symphony_types::amount::{Bps, SYM_UNIT, Sym};
use symphony_types::catalogue::Code;
use symphony_types::id::{EpochId, PolicyVersion};

use crate::stage::{PLENTY, START, calendar, campaign, governance, policy};
use crate::world::{Script, World};

/// A campaign from its request to its settlement, in a network that was founded with a policy.
fn settled(policy: Policy) -> World {
    let mut world = World::new(Script::default());
    let mut governance = governance();
    governance.policies.insert(PolicyVersion(1), policy);
    world.state = State::genesis(governance);
    world.submit(&campaign("c1"), PLENTY).unwrap();
    while world.step(false) {}
    let end = world.now.plus(60_000);
    world.advance(end);
    world
}

/// What the journal of a network says of another policy.
fn told(world: &World, other: Policy, (from, to): (u64, u64)) -> Vec<Comparison> {
    let mut genesis = governance();
    genesis.policies.clone_from(&world.state.governance.policies);
    let mut simulation =
        Simulation::new(State::genesis(genesis), other, EpochId(from)..=EpochId(to)).unwrap();
    for (at, order, events) in &world.journal {
        simulation.take(*at, order, events);
    }
    simulation.finish().into_values().collect()
}

fn rewards(comparison: &Comparison) -> (&Rewards, &Rewards) {
    match (&comparison.actual, &comparison.supposed) {
        (Fate::Settled(actual), Fate::Settled(supposed)) => (actual, supposed),
        other => panic!("{other:?}"),
    }
}

const ALL: (u64, u64) = (0, u64::MAX);

/// R155, R189: what a policy would have paid is what it does pay in a network that has it from the beginning; the same policy changes nothing.
#[test]
fn what_is_told_is_what_would_have_been() {
    let mut dearer = policy();
    dearer.fees.base = Sym(3 * policy().fees.base.0);
    (dearer.shares.contributors, dearer.shares.operators) = (Bps(4_400), Bps(2_100));
    let world = settled(policy());
    let same = told(&world, policy(), ALL);
    assert_eq!(same.len(), 1);
    assert_eq!(rewards(&same[0]).0, rewards(&same[0]).1);
    let other = told(&world, dearer.clone(), ALL);
    let there = told(&settled(dearer.clone()), dearer, ALL);
    assert_ne!(rewards(&other[0]).0, rewards(&other[0]).1);
    assert_eq!(rewards(&other[0]).1, rewards(&there[0]).0);
}

/// R155, R021: a request whose lock would not have covered the price is told as refused, with the code, and nothing is paid for it.
#[test]
fn what_would_have_been_refused_is_told() {
    let mut beyond = policy();
    beyond.fees.base = Sym(PLENTY.0.saturating_add(SYM_UNIT));
    let found = told(&settled(policy()), beyond, ALL);
    assert!(matches!(found[0].actual, Fate::Settled(_)));
    assert_eq!(found[0].supposed, Fate::Refused(Code::EscrowTooSmall));
}

/// R189, R192: only requests of the epochs that are asked about are told.
#[test]
fn other_epochs_are_left_out() {
    let world = settled(policy());
    let epoch = calendar().epoch_of(START).0;
    assert_eq!(told(&world, policy(), (epoch, epoch)).len(), 1);
    assert!(told(&world, policy(), (epoch + 1, u64::MAX)).is_empty());
    assert!(told(&world, policy(), (0, epoch - 1)).is_empty());
}

/// R157, R158: a policy that could not be adopted is not simulated.
#[test]
fn an_unsound_policy_is_not_simulated() {
    let mut unsound = policy();
    unsound.shares.treasury = Bps(0);
    let refused = Simulation::new(State::genesis(governance()), unsound, EpochId(0)..=EpochId(1));
    assert_eq!(refused.err(), Some(Code::PolicyUnsound));
}
