//! Who performs an effect: leases over every step, every crash and any history, with three masters (R196, R209, R217).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_protocol::artifact::{SignedSlice, SliceHeader};
use symphony_protocol::execution::failure::Step;
use symphony_protocol::lifecycle::{Stage, TaskState};
use symphony_protocol::machine::{Command, Effect, Event, Lease, State, effect_for, evolve};
use symphony_protocol::settlement::payout::{EpochStage, PayoutInstructionSet};
use symphony_types::amount::Sym;
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::key::Vault;
use symphony_types::table::Table;
use symphony_types::time::OrderedMillis;

use crate::flow::{assert_nothing_is_left, endings, play};
use crate::stage::{EPOCH_MS, LEASE_MS, PLENTY, START, campaign, key, policy};
use crate::world::{Act, Disturbance, Script, World, master};

/// A world in which one campaign was requested.
fn requested(script: Script) -> (World, TaskId) {
    let mut world = World::new(script);
    world.submit(&campaign("c1"), PLENTY).unwrap();
    (world, campaign("c1").task())
}

/// Runs until an effect of that kind is owed.
fn until(world: &mut World, kind: &str) -> Effect {
    loop {
        if let Some(effect) = world.owed.iter().find(|effect| name(effect) == kind) {
            return effect.clone();
        }
        if !world.step(false) {
            world.advance(world.state.timer().expect("the effect is never owed"));
        }
    }
}

fn lease(world: &World, effect: &Effect) -> Lease {
    world.state.leases[effect].clone()
}

/// The name of an enum's variant.
fn name(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()
}

/// Effects that are passed on until somebody reports them.
const REPORTED: [&str; 6] = ["PrepareTask", "AssignSlices", "Aggregate", "Verify", "CloseDividends", "Pay"];

/// What became of a run, without its times: the task's end, what the Vaults were charged, who was paid what.
pub(crate) type Outcome = (
    Option<TaskState>,
    BTreeSet<(TaskId, VaultId)>,
    BTreeMap<VaultId, Sym>,
    Vec<(Vec<(String, Sym)>, Sym, Sym)>,
);

pub(crate) fn outcome(world: &World, task: &TaskId) -> Outcome {
    let paid = |set: &PayoutInstructionSet| {
        let settled = set.settlements.iter().flat_map(|one| [one.charged, one.refunded]);
        let payees = set.payees.iter().map(|payee| (format!("{:?}", payee.account), payee.amount));
        let settled = settled.map(|amount| ("settled".to_owned(), amount));
        (settled.chain(payees).collect(), set.pool_return, set.treasury)
    };
    let epochs = world.state.epochs.values().map(|account| match &account.stage {
        EpochStage::Confirmed(evidence) => paid(&evidence.instructions),
        other => panic!("not paid: {other:?}"),
    });
    let end = world.state.tasks.get(task).map(|task| task.state());
    (end, world.committed.clone(), world.waiting.clone(), epochs.collect())
}

/// A world in which two epochs are over, each with a refund, and time has not advanced since.
fn two_epochs_over() -> World {
    let (mut world, _) = requested(Script { prepare: [Act::Refuse; 3], ..Script::default() });
    while world.step(false) {}
    world.now = world.now.plus(EPOCH_MS);
    world.submit(&campaign("c2"), PLENTY).unwrap();
    while world.step(false) {}
    assert_eq!(world.state.epochs.len(), 2);
    world.now = world.now.plus(EPOCH_MS);
    world
}

/// A world in which the slices that are aggregated were replaced by those of a later attempt.
fn slices_replaced() -> World {
    let (mut world, task) = requested(Script::default());
    until(&mut world, "Aggregate");
    let Stage::Aggregating { slices, .. } = world.task(&task).stage.clone() else {
        panic!("not aggregating")
    };
    let later = |slice: SignedSlice| {
        key::<Vault>(slice.body.vault.as_str()).sign(SliceHeader { attempt: 1, ..slice.body })
    };
    let slices = slices.into_iter().map(later).collect();
    assert_eq!(world.order(&Command::RecordSlices { task, slices }).unwrap().len(), 2);
    world
}

/// R190, R196: epochs that end in one step are closed one after the other: the later one's dividends are owed, and
/// leased, when the earlier one's payout is fixed.
#[test]
fn epochs_that_end_together_are_closed_in_order() {
    let mut world = two_epochs_over();
    let epochs: Vec<_> = world.state.epochs.keys().copied().collect();
    let [first, second] = [0, 1].map(|at| Effect::CloseDividends(epochs[at]));
    let events = world.advance(world.now);
    assert_eq!(events.iter().filter(|event| matches!(event, Event::EpochClosed { .. })).count(), 2);
    assert_eq!(world.state.leases.keys().collect::<Vec<_>>(), [&first]);
    let report = world.perform(&first).unwrap();
    world.order(&report).unwrap();
    assert_eq!(world.state.leases.keys().collect::<Vec<_>>(), [&second, &Effect::Pay(epochs[0])]);
    world.run(Disturbance::default());
    assert_nothing_is_left(&world);
}

/// R196, R217: which event leases what, and which ends what, over every way that a task can go. `+` is leased with the
/// event, `-` ends with it.
#[test]
fn the_table_of_leases_is_pinned() {
    let mut table: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut runs: Vec<_> = endings().into_iter().map(|(_, script, _)| requested(script).0).collect();
    runs.extend([two_epochs_over(), slices_replaced()]);
    for mut world in runs {
        let script = world.script;
        world.now = world.now.plus(1);
        world.order(&Command::RenewLeases).unwrap();
        world.run(Disturbance::default());
        // Only a completed task delivers.
        drop(world.order(&Command::RecordDelivery { task: campaign("c1").task() }));
        let mut state = World::new(script).state;
        let mut last = String::new();
        for (at, event) in &world.log {
            let before: BTreeSet<_> = state.leases.keys().cloned().collect();
            evolve(&mut state, *at, event);
            if let Event::EffectLeased { effect, lease: Lease { attempt: 0, .. } } = event {
                table.get_mut(&last).unwrap().insert(format!("+{}", name(effect)));
                continue;
            }
            last = match event {
                Event::TaskTransitioned { to, .. } => format!("TaskTransitioned to {}", to.as_str()),
                Event::EffectLeased { .. } => "EffectLeased again".to_owned(),
                other => name(other),
            };
            let ended = before.iter().filter(|effect| !state.leases.contains_key(effect));
            table.entry(last.clone()).or_default().extend(ended.map(|effect| format!("-{}", name(effect))));
        }
    }
    let rows = table.into_iter().map(|(event, leases)| {
        format!("{event:<40} {}", leases.into_iter().collect::<Vec<_>>().join(" ")).trim_end().to_owned()
    });
    insta::assert_snapshot!(rows.collect::<Vec<_>>().join("\n"));
}

/// R196: what becomes owed is leased to the master through which it was ordered, for the policy's time.
#[test]
fn an_effect_is_leased_to_who_ordered_it() {
    let (mut world, task) = requested(Script::default());
    let until = START.plus(policy().deadlines.lease_ms);
    let first = Lease { runner: master(1), attempt: 0, until };
    assert_eq!(lease(&world, &Effect::PrepareTask(task)), first);
    let report = world.perform(&Effect::PrepareTask(task)).unwrap();
    world.replace(master(3));
    let events = world.order(&report).unwrap();
    assert_eq!(lease(&world, &Effect::AssignSlices(task)), Lease { runner: master(3), ..first });
    let given = |number| events.iter().filter_map(|event| effect_for(&master(number), event)).count();
    assert_eq!((given(1), given(3)), (0, 1));
    assert!(world.state.holds(&master(3), &Effect::AssignSlices(task)));
    assert!(!world.state.holds(&master(1), &Effect::AssignSlices(task)));
}

/// R196: whatever a master performs when it dies, another does after the lease, as the second attempt.
#[test]
fn every_effect_is_taken_over_after_its_lease() {
    let (calm, task) = play(Script::default(), Disturbance::default());
    for kind in REPORTED {
        let (mut world, _) = requested(Script::default());
        let effect = until(&mut world, kind);
        let first = lease(&world, &effect);
        assert_eq!((&first.runner, first.attempt), (&master(1), 0), "{kind}");
        world.replace(master(2));
        assert!(world.owed.is_empty() && !world.step(false), "{kind}: it is not the successor's yet");
        assert_eq!(world.advance(first.until.minus(1)), vec![], "{kind}");
        let events = world.advance(first.until);
        assert!(matches!(events[..], [Event::EffectLeased { .. }]), "{kind}: {events:?}");
        let second = Lease { runner: master(2), attempt: 1, until: first.until.plus(LEASE_MS) };
        assert_eq!(lease(&world, &effect), second, "{kind}");
        world.run(Disturbance::default());
        assert_eq!(outcome(&world, &task), outcome(&calm, &task), "{kind}");
        assert_nothing_is_left(&world);
    }
}

/// R196, R172: a master that dies for good before any step of any run: its successor brings it to the same end.
#[test]
fn a_successor_ends_where_the_first_would_have() {
    for (name, script, _) in endings() {
        let (calm, task) = play(script, Disturbance::default());
        for step in 0..20 {
            let (world, _) = play(script, Disturbance { replaced_at: Some(step), ..Disturbance::default() });
            assert_eq!(outcome(&world, &task), outcome(&calm, &task), "{name}, step {step}");
            assert_nothing_is_left(&world);
        }
    }
}

/// R172, R209: an effect that two masters perform has one result, whichever of them holds the lease: the first report
/// counts, the second is a repetition.
#[test]
fn an_effect_done_by_two_masters_has_one_result() {
    let (calm, task) = play(Script::default(), Disturbance::default());
    for kind in REPORTED {
        let mut after = BTreeSet::new();
        for order in [[1, 2], [2, 1]] {
            let (mut world, _) = requested(Script::default());
            let effect = until(&mut world, kind);
            let reports = [world.perform(&effect).unwrap(), world.perform(&effect).unwrap()];
            assert_eq!(lease(&world, &effect).runner, master(1));
            world.replace(master(order[0]));
            assert!(
                !world.order(&reports[0]).unwrap().is_empty(),
                "{kind}: the first counts, with or without lease"
            );
            let once = to_bytes(&world.state);
            let next: Vec<_> = world.state.leases.values().map(|lease| lease.runner.clone()).collect();
            assert!(next.iter().all(|runner| *runner == master(order[0])), "{kind}: the first goes on");
            world.replace(master(order[1]));
            assert_eq!(world.order(&reports[1]), Ok(vec![]), "{kind}: the second does not count");
            assert_eq!(to_bytes(&world.state), once, "{kind}");
            after.insert(to_bytes(&State { leases: Table::new(), ..world.state.clone() }));
            world.run(Disturbance::default());
            assert_eq!(outcome(&world, &task), outcome(&calm, &task), "{kind}");
            assert_nothing_is_left(&world);
        }
        assert_eq!(after.len(), 1, "{kind}: the result does not depend on who was first");
    }
}

/// R172, R209: two masters that heard different Vaults: the slices of the first report are the task's, and the other's
/// are not added to them.
#[test]
fn a_second_report_that_says_something_else_changes_nothing() {
    let (mut world, task) = requested(Script::default());
    let effect = until(&mut world, "AssignSlices");
    let Some(Command::RecordSlices { slices, .. }) = world.perform(&effect) else { panic!("no slices") };
    let report = |slices: &[SignedSlice]| Command::RecordSlices { task, slices: slices.to_vec() };
    world.order(&report(&slices[..2])).unwrap();
    world.replace(master(2));
    assert_eq!(world.order(&report(&slices)), Ok(vec![]));
    let Stage::Aggregating { slices: counted, .. } = &world.task(&task).stage else {
        panic!("not aggregating")
    };
    assert_eq!(counted[..], slices[..2]);
}

/// R196: a master that renews keeps a long effect to its deadline, though another one orders the time; one that falls
/// silent loses it, cannot renew it any more, and yet its late report counts.
#[test]
fn renewals_keep_a_long_effect() {
    let script = Script { aggregate: Act::Sleep, ..Script::default() };
    let (mut world, task) = requested(script);
    let effect = until(&mut world, "Aggregate");
    let Stage::Aggregating { aggregate_by, .. } = world.task(&task).stage else { panic!("not aggregating") };
    let (first, middle) = (world.now, world.now.plus(10 * LEASE_MS));
    let mut renewals = 0;
    while world.now < middle {
        world.now = world.state.renewal(&master(1)).unwrap();
        world.by = master(1);
        assert!(matches!(world.order(&Command::RenewLeases).unwrap()[..], [Event::LeasesRenewed { .. }]));
        assert_eq!(world.order(&Command::RenewLeases), Ok(vec![]), "once a moment is enough");
        renewals += 1;
        world.by = master(2);
        assert_eq!(world.order(&Command::AdvanceTime), Ok(vec![]), "nothing is due");
        let held = Lease { runner: master(1), attempt: 0, until: world.now.plus(LEASE_MS) };
        assert_eq!(lease(&world, &effect), held);
    }
    assert_eq!(renewals, (middle.0 - first.0).div_ceil(LEASE_MS / 3));
    assert!(world.now < aggregate_by);
    world.advance(lease(&world, &effect).until);
    assert_eq!((lease(&world, &effect).runner, lease(&world, &effect).attempt), (master(2), 1));
    let report = world.aggregated(world.aggregate(&task));
    world.by = master(1);
    assert_eq!(world.state.renewal(&master(1)), None);
    assert_eq!(world.order(&Command::RenewLeases), Ok(vec![]), "it holds nothing any more");
    assert!(!world.order(&report).unwrap().is_empty());
    assert_eq!(lease(&world, &Effect::Verify(task)).runner, master(1));
}

/// R196: a lease that ran out may go to the master that had it, which then still lives.
#[test]
fn a_runner_may_take_its_lease_again() {
    let (mut world, task) = requested(Script { aggregate: Act::Sleep, ..Script::default() });
    let effect = until(&mut world, "Aggregate");
    for attempt in 1..4 {
        let due = lease(&world, &effect).until;
        world.advance(due);
        assert_eq!(lease(&world, &effect), Lease { runner: master(1), attempt, until: due.plus(LEASE_MS) });
    }
    assert_eq!(world.task(&task).state(), TaskState::Dispatched);
}

/// R196: one renewal is for all that a master holds and nothing of another's; it is due after a third of the oldest
/// lease, so that quick tasks need none.
#[test]
fn a_renewal_is_shared() {
    let mut world = World::new(Script::default());
    assert_eq!(world.state.renewal(&master(1)), None);
    for number in 0..5 {
        world.replace(master(1 + number % 2));
        world.submit(&campaign(&format!("c{number}")), PLENTY).unwrap();
        world.now = world.now.plus(10);
    }
    let third = LEASE_MS - (LEASE_MS - LEASE_MS / 3);
    assert_eq!(world.state.renewal(&master(1)), Some(START.plus(third)));
    assert_eq!(world.state.renewal(&master(2)), Some(START.plus(10 + third)));
    assert_eq!(world.state.renewal(&master(3)), None);
    world.replace(master(1));
    assert_eq!(world.order(&Command::RenewLeases).unwrap().len(), 1);
    let ends = |by: usize| -> BTreeSet<OrderedMillis> {
        let leases = world.state.leases.values().filter(|lease| lease.runner == master(by));
        leases.map(|lease| lease.until).collect()
    };
    assert_eq!(ends(1), [world.now.plus(LEASE_MS)].into());
    assert_eq!(ends(2), [START.plus(10 + LEASE_MS), START.plus(30 + LEASE_MS)].into());
    while world.step(false) {}
    assert!(world.state.renewal(&master(1)).is_none(), "what is done needs no renewal");
}

/// R065, R196: a release is leased once: a renewal does not prolong it, and when its time has passed it is dropped,
/// since the Vault's own deadline does the same.
#[test]
fn a_release_is_leased_once() {
    let script = Script { slice: [Act::Refuse; 3], ..Script::default() };
    let (mut world, task) = requested(script);
    until(&mut world, "AssignSlices");
    world.order(&world.failure(&task, Step::Slices, Code::QuorumBroken)).unwrap();
    let effect = until(&mut world, "ReleaseBudget");
    let given = lease(&world, &effect);
    assert_eq!(world.state.renewal(&master(1)), None);
    assert_eq!(world.order(&Command::RenewLeases), Ok(vec![]));
    // A master that restarts in time does it all the same.
    world.crash();
    assert!(world.owed.contains(&effect));
    world.replace(master(2));
    assert_eq!(world.advance(given.until), [Event::LeaseDropped { effect }]);
    assert!(world.state.leases.is_empty() && world.owed.is_empty() && !world.reserved.is_empty());
    world.run(Disturbance::default());
    assert_nothing_is_left(&world);
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![5 => Just(Act::Serve), 1 => Just(Act::Refuse), 1 => Just(Act::Mumble), 1 => Just(Act::Sleep)]
}

fn script() -> impl Strategy<Value = Script> {
    let acts = || [act(), act(), act()];
    (acts(), acts(), act(), act(), acts()).prop_map(|(prepare, slice, aggregate, verify, dividends)| Script {
        prepare,
        slice,
        aggregate,
        verify,
        dividends,
        ..Script::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// R196, R209, R217: three masters that submit, perform with or without a lease, repeat, renew, die and let time
    /// pass, in any order. After every order the world checks that the leased effects are exactly the outstanding ones
    /// and the releases whose time has not passed, that a lease passes on only when it ran out, and that replay agrees;
    /// and when one master is left, everything comes to its end.
    #[test]
    fn what_is_owed_is_leased_in_any_history(
        script in script(),
        steps in vec((0..12u8, 1..4usize, any::<prop::sample::Index>(), 0..2 * LEASE_MS), 1..80),
    ) {
        let mut world = World::new(script);
        for (number, (kind, by, pick, millis)) in steps.into_iter().enumerate() {
            world.replace(master(by));
            match kind {
                0 | 1 => drop(world.submit(&campaign(&format!("r{number}")), PLENTY).unwrap()),
                2 | 3 => drop(world.advance(world.now.plus(millis))),
                4 => drop(world.advance(world.now.plus(20 * millis))),
                5 if pick.index(4) == 0 => drop(world.advance(world.now.plus(EPOCH_MS))),
                6 => drop(world.order(&Command::RenewLeases).unwrap()),
                7 if !world.commands.is_empty() => {
                    let command = world.commands[pick.index(world.commands.len())].clone();
                    drop(world.order(&command));
                }
                8 if !world.state.leases.is_empty() => {
                    let effect = world.state.leases.keys().nth(pick.index(world.state.leases.len())).cloned();
                    if let Some(report) = world.perform(&effect.unwrap()) {
                        world.order(&report).unwrap();
                    }
                }
                _ => drop(world.step(kind == 9)),
            }
        }
        world.script = Script::default();
        world.run(Disturbance::default());
        assert_nothing_is_left(&world);
        let mut replayed = World::new(script).state;
        for (at, event) in &world.log {
            evolve(&mut replayed, *at, event);
        }
        prop_assert_eq!(to_bytes(&replayed), to_bytes(&world.state));
    }
}
