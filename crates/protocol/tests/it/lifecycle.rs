//! The transition table as it is, against the specification's, and no way around it (R033-R041).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_protocol::artifact::Outcome;
use symphony_protocol::lifecycle::TaskState;
use symphony_protocol::machine::Event;
use symphony_types::id::TaskId;

use crate::stage::{EPOCH_MS, PLENTY, campaign};
use crate::world::{Act, Script, World};

/// R033, R041: the nine states and their eighty-one pairs, pinned.
#[test]
fn the_transition_table_is_pinned() {
    let mut table = String::new();
    for from in TaskState::ALL {
        write!(table, "{:<20}", from.as_str()).unwrap();
        for to in TaskState::ALL {
            write!(table, " {}", if from.may_become(to) { to.as_str() } else { "-" }).unwrap();
        }
        writeln!(table).unwrap();
    }
    insta::assert_snapshot!(table);
}

/// R034, R036-R040: the table of the specification, row by row, in the order of `TaskState::ALL`.
#[test]
fn the_table_is_the_specifications() {
    let rows = [
        ("accepted", ".x.....xx"),
        ("resolving", "..x....xx"),
        ("dispatched", "...x...xx"),
        ("verifying", "....x.xxx"),
        ("awaiting_settlement", ".....xxxx"),
        ("completed", "........."),
        ("challenged", "...xx..xx"),
        ("rejected", "........."),
        ("timed_out", "........."),
    ];
    for (from, (name, row)) in TaskState::ALL.into_iter().zip(rows) {
        assert_eq!(from.as_str(), name);
        let ours: String =
            TaskState::ALL.into_iter().map(|to| if from.may_become(to) { 'x' } else { '.' }).collect();
        assert_eq!(ours, row, "{name}");
    }
}

/// R040: a state is terminal exactly when nothing follows it.
#[test]
fn terminal_states_have_no_successor() {
    for state in TaskState::ALL {
        assert_eq!(state.terminal(), !TaskState::ALL.into_iter().any(|next| state.may_become(next)));
    }
}

/// R036: every state that is not terminal has a way to time out, and to be rejected.
#[test]
fn every_open_state_may_end_without_a_result() {
    for state in TaskState::ALL.into_iter().filter(|state| !state.terminal()) {
        assert!(state.may_become(TaskState::TimedOut) && state.may_become(TaskState::Rejected));
    }
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![6 => Just(Act::Serve), 1 => Just(Act::Refuse), 1 => Just(Act::Mumble), 1 => Just(Act::Sleep)]
}

fn acts() -> impl Strategy<Value = [Act; 3]> {
    [act(), act(), act()]
}

fn script() -> impl Strategy<Value = Script> {
    let outcome = prop_oneof![
        Just(Outcome::Suppressed),
        (0..6_000u32).prop_map(|returned| Outcome::Audience { returned }),
    ];
    (acts(), acts(), act(), act(), acts(), outcome).prop_map(
        |(prepare, slice, aggregate, verify, dividends, outcome)| Script {
            prepare,
            slice,
            aggregate,
            verify,
            dividends,
            outcome,
            ..Script::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// R034, R035, R041: whatever is ordered, in whatever order and however often, each task's transitions form a
    /// path of the table from `accepted`, with its own prior state, and time never runs back.
    #[test]
    fn no_sequence_skips_a_state(
        script in script(),
        steps in vec((0..12u8, any::<prop::sample::Index>(), 0..90_000u64), 1..60),
    ) {
        let mut world = World::new(script);
        for (kind, pick, millis) in steps {
            match kind {
                0..2 => drop(world.submit(&campaign(&format!("r{}", pick.index(4))), PLENTY)),
                2 => drop(world.advance(world.now.plus(millis))),
                3 => drop(world.advance(world.now.plus(EPOCH_MS))),
                // A command of the past comes again, at any later time.
                4 | 5 if !world.commands.is_empty() => {
                    let command = world.commands[pick.index(world.commands.len())].clone();
                    drop(world.order(&command));
                }
                _ => drop(world.step(kind % 2 == 0)),
            }
        }
        let mut states: BTreeMap<TaskId, TaskState> = BTreeMap::new();
        let mut last = BTreeMap::new();
        for (_, event) in &world.log {
            if let Event::TaskAdmitted { envelope, .. } = event {
                prop_assert_eq!(states.insert(envelope.task, TaskState::Accepted), None);
            }
            if let Event::TaskTransitioned { task, from, to, at, .. } = event {
                prop_assert_eq!(states.insert(*task, *to), Some(*from));
                prop_assert!(from.may_become(*to));
                prop_assert!(last.insert(*task, *at).is_none_or(|before| before <= *at));
            }
        }
        let at_the_end: BTreeMap<_, _> =
            world.state.tasks.iter().map(|(id, task)| (*id, task.state())).collect();
        prop_assert_eq!(states, at_the_end);
        let open: BTreeSet<_> =
            world.state.tasks.values().filter(|task| task.timer().is_none()).map(|t| t.state()).collect();
        prop_assert!(open.iter().all(|state| state.terminal()), "R036: an open task has a timer");
    }
}
