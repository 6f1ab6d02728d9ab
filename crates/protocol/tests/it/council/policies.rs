//! A policy is a version that comes into force at the beginning of an epoch, after one epoch of notice, and says nothing about
//! what began before (R155, R157, R158, R188, R189, R190, R192).

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_protocol::admission::request::terms;
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::log::replay;
use symphony_protocol::governance::policy::Policy;
use symphony_protocol::governance::proposal::ProposalStage;
use symphony_protocol::lifecycle::Stage;
use symphony_protocol::machine::{Command, State};
use symphony_types::amount::{Bps, SYM_UNIT, Sym};
use symphony_types::catalogue::Code;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{EpochId, GovernanceSequence, PolicyVersion};
use symphony_types::key::Document as _;
use symphony_types::time::OrderedMillis;

use super::tasks::decide;
use super::{order, proposal, propose, vote};
use crate::stage::{EPOCH_MS, PLENTY, START, TIMELOCK_MS, campaign, governance, policy, scope};
use crate::world::{Script, World};

const FIRST: PolicyVersion = PolicyVersion(1);
const SECOND: PolicyVersion = PolicyVersion(2);

fn adopt(version: u32, change: impl FnOnce(&mut Policy)) -> Change {
    let mut policy = policy();
    change(&mut policy);
    Change::AdoptPolicy { version: PolicyVersion(version), policy: Box::new(policy) }
}

fn dearer(policy: &mut Policy) {
    policy.fees.base = Sym(50 * SYM_UNIT);
}

/// The first moment of the epoch after the next.
fn in_force(state: &State, enacted: OrderedMillis) -> OrderedMillis {
    let governance = &state.governance;
    governance.end_of(EpochId(governance.epoch_of(enacted).0 + 1))
}

/// R188, R190: enacted in one epoch, known for the whole of the next, in force from the first moment of the one after; the
/// versions before stay as they were.
#[test]
fn a_policy_has_one_epoch_of_notice() {
    let mut world = World::new(Script::default());
    decide(&mut world, 1, adopt(2, dearer));
    let governance = &world.state.governance;
    let enacted = START.plus(TIMELOCK_MS);
    let from = in_force(&world.state, enacted);
    assert!(from >= enacted.plus(EPOCH_MS));
    assert_eq!(governance.version_at(enacted), FIRST);
    assert_eq!(governance.version_at(from.minus(1)), FIRST);
    assert_eq!(governance.version_at(from), SECOND);
    assert_eq!(governance.version_at(OrderedMillis(u64::MAX)), SECOND);
    assert_eq!(governance.version_at(OrderedMillis(0)), FIRST);
    assert_eq!(governance.policy_of(FIRST), Ok(&policy()));
    assert_eq!(governance.policy_at(from).fees.base, Sym(50 * SYM_UNIT));
    let quoted = |at| terms(governance, &campaign("c1"), at).unwrap().worst_case.base;
    assert_eq!((quoted(from.minus(1)), quoted(from)), (policy().fees.base, Sym(50 * SYM_UNIT)));
}

/// R155, R189: a task that began under one policy is charged by it, though it is settled when another is in force; the next one pays the
/// new price. Each settlement belongs to the epoch of its own moment.
#[test]
fn a_task_keeps_the_policy_of_its_admission() {
    let mut world = World::new(Script::default());
    decide(&mut world, 1, adopt(2, dearer));
    let from = in_force(&world.state, START.plus(TIMELOCK_MS));
    world.now = from.minus(1);
    let old = campaign("old");
    world.submit(&old, PLENTY).unwrap();
    while world.step(false) {}
    let new = campaign("new");
    world.now = world.now.max(from);
    world.submit(&new, PLENTY).unwrap();
    while world.step(false) {}
    let end = world.now.plus(policy().deadlines.challenge_ms);
    world.advance(end);
    let settled = |task| match &world.task(&task).stage {
        Stage::Completed { context, .. } => context.clone(),
        other => panic!("the task is {other:?}"),
    };
    let (old, new) = (settled(old.task()), settled(new.task()));
    assert_eq!((old.versions.policy, new.versions.policy), (FIRST, SECOND));
    assert_eq!((old.fee.base, new.fee.base), (policy().fees.base, Sym(50 * SYM_UNIT)));
    assert!(old.finalized_at >= from, "it is settled when the other is in force");
    assert_eq!(old.epoch, world.state.governance.epoch_of(old.finalized_at));
}

/// R157, R158, R188, R130: each policy that cannot be adopted has its code, and is not even proposed.
#[test]
fn a_policy_that_cannot_be_adopted_is_refused_with_its_code() {
    let mut state = State::genesis(governance());
    let mut refused = |change: Change| {
        let made = proposal(&state, 1, 1, change);
        order(&mut state, START, propose(&made)).unwrap_err().code
    };
    assert_eq!(refused(adopt(1, dearer)), Code::ChangeUnfit);
    assert_eq!(refused(adopt(3, dearer)), Code::ChangeUnfit);
    assert_eq!(refused(adopt(2, |policy| policy.shares.treasury = Bps(751))), Code::PolicyUnsound);
    assert_eq!(
        refused(adopt(2, |policy| {
            policy.shares.treasury = Bps(1_001);
            policy.shares.contributors = Bps(policy.shares.contributors.0 - 251);
        })),
        Code::PolicyUnsound
    );
    assert_eq!(refused(adopt(2, |policy| policy.epoch_ms = 0)), Code::PolicyUnsound);
    assert_eq!(refused(adopt(2, |policy| policy.deadlines.verify_ms = 0)), Code::PolicyUnsound);
    assert_eq!(refused(adopt(2, |policy| policy.software_admitted = false)), Code::PlatformRefused);
    assert_eq!(
        refused(adopt(2, |policy| policy.epoch_ms = EPOCH_MS + EPOCH_MS / 2 + 1)),
        Code::PolicyStrands
    );
    assert_eq!(refused(adopt(2, |policy| policy.dividend_payees_min = 10_001)), Code::PolicyStrands);
    let longest = proposal(&state, 1, 1, adopt(2, |policy| policy.epoch_ms = EPOCH_MS + EPOCH_MS / 2));
    order(&mut state, START, propose(&longest)).unwrap();
}

/// R188, R191: of two proposals for the same version the first that is enacted counts; the other one is rejected and says why. While
/// a version waits for its epoch none is proposed, and afterwards the next may be.
#[test]
fn of_two_policies_for_one_version_the_first_counts() {
    let mut state = State::genesis(governance());
    let first = proposal(&state, 1, 1, adopt(2, dearer));
    let second = proposal(&state, 2, 1, adopt(2, |policy| policy.fees.base = Sym(1)));
    for made in [&first, &second] {
        order(&mut state, START, propose(made)).unwrap();
        for by in 1..=3 {
            order(&mut state, START, vote(made.body.digest(), by, true)).unwrap();
        }
    }
    let enacted = START.plus(TIMELOCK_MS);
    order(&mut state, enacted, Command::AdvanceTime).unwrap();
    let stages = [&first, &second].map(|made| state.proposals.get(&made.body.digest()).unwrap().stage);
    let executed = stages.iter().filter(|stage| matches!(stage, ProposalStage::Executed { .. })).count();
    let unfit = ProposalStage::Rejected { code: Some(Code::ChangeUnfit) };
    assert_eq!((executed, stages.contains(&unfit)), (1, true), "{stages:?}");
    let from = in_force(&state, enacted);
    let third = |state: &State, number| proposal(state, 3, number, adopt(3, |_| ()));
    let early = third(&state, 1);
    assert_eq!(order(&mut state, from.minus(1), propose(&early)).unwrap_err().code, Code::VersionPending);
    let now = third(&state, 2);
    order(&mut state, from, propose(&now)).unwrap();
}

/// R063, R188: limits of consent and budget come from the version in force: a scope that it does not have admits no task.
#[test]
fn a_scope_ends_with_its_policy() {
    let mut world = World::new(Script::default());
    decide(
        &mut world,
        1,
        adopt(2, |policy| {
            policy.privacy.scope_limits.remove(&scope("marketing"));
        }),
    );
    let governance = &world.state.governance;
    let from = in_force(&world.state, START.plus(TIMELOCK_MS));
    let asked = |at| terms(governance, &campaign("c1"), at).map(|_| ());
    assert_eq!((asked(from.minus(1)), asked(from)), (Ok(()), Err(Code::ScopeUnknown)));
}

/// R190, R195: a lock that is made while a longer epoch is known to come outlives two of those.
#[test]
fn a_lock_outlives_the_epochs_that_are_known_to_come() {
    let mut world = World::new(Script::default());
    let until =
        |world: &World| terms(&world.state.governance, &campaign("c1"), world.now).unwrap().lock_until;
    let before = until(&world).minus(world.now.0).0;
    decide(&mut world, 1, adopt(2, |policy| policy.epoch_ms = EPOCH_MS + EPOCH_MS / 2));
    assert_eq!(until(&world).minus(world.now.0).0, before + EPOCH_MS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// R189, R190, R192: whatever versions come with whatever lengths of an epoch, every moment belongs to one epoch, epochs meet, one version is
    /// in force in the whole of an epoch, and all that follows from the log alone.
    #[test]
    fn epochs_meet_whatever_policies_come(
        lengths in vec((1..=EPOCH_MS + EPOCH_MS / 2, 0..3 * EPOCH_MS), 1..6),
        moments in vec(0..40 * EPOCH_MS, 1..40),
    ) {
        let mut state = State::genesis(governance());
        let mut at = START;
        for (number, (epoch_ms, pause)) in (1..).zip(lengths) {
            let (_, last) = state.governance.calendar.last();
            at = at.max(last.from).plus(pause);
            let epoch_ms = epoch_ms.min(last.epoch_ms + last.epoch_ms / 2);
            let made = proposal(&state, 1, number, adopt(u32::try_from(number).unwrap() + 1, |policy| policy.epoch_ms = epoch_ms));
            order(&mut state, at, propose(&made)).unwrap();
            for by in 1..=3 {
                order(&mut state, at, vote(made.body.digest(), by, true)).unwrap();
            }
            at = at.plus(TIMELOCK_MS);
            order(&mut state, at, Command::AdvanceTime).unwrap();
        }
        let calendar = &state.governance.calendar;
        for moment in moments.into_iter().map(OrderedMillis) {
            let epoch = calendar.epoch_of(moment);
            prop_assert!(moment < calendar.end_of(epoch));
            prop_assert!(epoch.0 == 0 || calendar.end_of(EpochId(epoch.0 - 1)) <= moment);
            prop_assert_eq!(calendar.version_at(moment), calendar.version_in(epoch));
        }
        for (first, known) in calendar.iter().skip(1) {
            prop_assert_eq!(calendar.epoch_of(known.from), first);
            prop_assert_eq!(calendar.end_of(EpochId(first.0 - 1)), known.from);
        }
        let entries: Vec<_> = state.proposals.log.entries().cloned().collect();
        prop_assert_eq!(&replay(&governance(), &entries).unwrap(), &state.governance);
        let later = state.proposals.log.adoptions(GovernanceSequence(1), at);
        prop_assert_eq!(&later, &entries[1..]);
        prop_assert!(state.governance.policies.values().all(|policy| policy.privacy.subject_cap == Epsilon(5_000_000)));
    }
}
