//! How a version of the protocol comes into force: announced by every master, at the end of an epoch, once (R221).

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_protocol::machine::version::{FIRST, LATEST, MASTERS_ONLY};
use symphony_protocol::machine::{Command, Event, Order, Refusal, State, decide, evolve};
use symphony_types::catalogue::Code;
use symphony_types::id::{NodeId, ProtocolVersion};
use symphony_types::time::OrderedMillis;

use crate::stage::{EPOCH_MS, START, calendar, governance, masters};
use crate::world::master;

/// A network of three masters.
fn three() -> State {
    let mut governance = governance();
    governance.registry.masters = masters(3);
    State::genesis(governance)
}

fn order(state: &mut State, at: OrderedMillis, by: NodeId, command: Command) -> Result<Vec<Event>, Refusal> {
    let events = decide(state, at, &Order { by, command })?;
    events.iter().for_each(|event| evolve(state, at, event));
    Ok(events)
}

fn announce(
    state: &mut State,
    at: OrderedMillis,
    number: usize,
    version: u32,
) -> Result<Vec<Event>, Refusal> {
    let version = ProtocolVersion(version);
    order(state, at, master(number), Command::AnnounceProtocol { version })
}

fn pass(state: &mut State, at: OrderedMillis) -> Vec<Event> {
    order(state, at, master(1), Command::AdvanceTime).unwrap()
}

fn boundary(at: OrderedMillis) -> OrderedMillis {
    calendar().end_of(calendar().epoch_of(at))
}

/// One line of the table: a step, what it made happen, what is in force, when the next is due.
fn line(step: &str, made: &Result<Vec<Event>, Refusal>, state: &State) -> String {
    let events = match made {
        Ok(events) if events.is_empty() => "-".to_owned(),
        Ok(events) => events.iter().map(event).collect::<Vec<_>>().join(", "),
        Err(refusal) => refusal.code.to_string(),
    };
    let due = state.timer().map_or("-".to_owned(), |due| format!("epoch {}", calendar().epoch_of(due)));
    let epoch = calendar().epoch_of(START);
    let relative =
        |text: String| text.replace(&epoch.to_string(), "E").replace(&(epoch.0 + 1).to_string(), "E+1");
    let (events, due) = (relative(events), relative(due));
    format!("{step:<42} {events:<30} active {}  due {due}", state.upgrade.active)
}

fn event(event: &Event) -> String {
    match event {
        Event::ProtocolAnnounced { master, announcement } => {
            format!("{master} speaks {}", announcement.version)
        }
        Event::ProtocolActivated { version, epoch } => format!("{version} from epoch {epoch}"),
        other => format!("{other:?}"),
    }
}

/// R221: the transitions of the version, step by step.
#[test]
fn the_table_of_an_upgrade_is_pinned() {
    let mut state = three();
    let (at, over) = (START, boundary(START));
    let mut rows = Vec::new();
    let mut row =
        |step: &str, made: Result<Vec<Event>, Refusal>, state: &State| rows.push(line(step, &made, state));
    let made = announce(&mut state, at, 9, 2);
    row("a stranger announces 2", made, &state);
    for (number, version) in [(1, 1), (2, 1), (3, 1)] {
        let made = announce(&mut state, at, number, version);
        row(&format!("master-{number} announces {version}"), made, &state);
    }
    let made = Ok(pass(&mut state, over));
    row("an epoch ends", made, &state);
    let mut state = three();
    for (number, version) in [(1, 2), (1, 2), (2, 2), (3, 1), (3, 2), (2, 1), (2, 3)] {
        let made = announce(&mut state, at, number, version);
        row(&format!("master-{number} announces {version}"), made, &state);
    }
    let made = Ok(pass(&mut state, over.minus(1)));
    row("the epoch is not over", made, &state);
    let made = order(&mut state, at, master(9), Command::AdvanceTime);
    row("a stranger orders", made, &state);
    let made = Ok(pass(&mut state, over));
    row("an epoch ends", made, &state);
    let made = Ok(pass(&mut state, over.plus(EPOCH_MS)));
    row("another epoch ends", made, &state);
    let made = order(&mut state, over, master(9), Command::AdvanceTime);
    row("a stranger orders", made, &state);
    let made = announce(&mut state, over, 3, 1);
    row("master-3 announces 1", made, &state);
    insta::assert_snapshot!(rows.join("\n"));
}

/// R221: the rule of a version holds from the order after its activation on, and not one earlier.
#[test]
fn a_rule_holds_from_its_version_on() {
    let mut state = three();
    let over = boundary(START);
    let stranger = |state: &State, at| {
        decide(state, at, &Order { by: master(9), command: Command::RenewLeases })
            .map_err(|refusal| refusal.code)
    };
    for number in 1..=3 {
        assert_eq!(stranger(&state, START), Ok(vec![]));
        announce(&mut state, START, number, MASTERS_ONLY.0).unwrap();
    }
    assert_eq!(
        stranger(&state, over),
        Ok(vec![]),
        "everybody is ready and the epoch has ended, but nobody ordered it"
    );
    pass(&mut state, over);
    assert_eq!(state.upgrade.active, MASTERS_ONLY);
    assert_eq!(stranger(&state, over), Err(Code::Forbidden));
    assert_eq!(order(&mut state, over, master(2), Command::RenewLeases), Ok(vec![]));
}

/// R221: a program judges nothing by rules that it does not have.
#[test]
fn a_program_does_not_judge_under_a_version_that_it_does_not_speak() {
    let mut state = three();
    let newer = ProtocolVersion(LATEST.0 + 1);
    for number in 1..=3 {
        announce(&mut state, START, number, newer.0).unwrap();
    }
    pass(&mut state, boundary(START));
    assert_eq!(state.upgrade.active, newer);
    for command in [Command::AdvanceTime, Command::RenewLeases, Command::AnnounceProtocol { version: newer }]
    {
        let refused = decide(&state, boundary(START), &Order { by: master(1), command }).unwrap_err();
        assert_eq!(refused.code, Code::ProtocolUnknown);
    }
}

proptest! {
    /// R221: whatever is announced in whatever order, the version in force never falls, is never one that a master did not
    /// announce, and comes no earlier than an epoch's end after the last announcement of it.
    #[test]
    fn a_version_in_force_was_announced_by_every_master(
        steps in vec((0..5_usize, 1..4_u32, 0..EPOCH_MS), 1..40)
    ) {
        let mut state = three();
        let mut at = START;
        for (who, version, wait) in steps {
            at = at.plus(wait);
            let before = state.upgrade.clone();
            if who == 0 {
                pass_if_known(&mut state, at);
            } else {
                drop(announce(&mut state, at, who, version));
            }
            let after = &state.upgrade;
            prop_assert!(after.active >= before.active && after.active >= FIRST);
            if after.active > before.active {
                prop_assert_eq!(after.since, calendar().epoch_of(at));
                for number in 1..=3 {
                    let announced = before.announced[&master(number)];
                    prop_assert!(announced.version >= after.active);
                    prop_assert!(announced.epoch < after.since);
                }
            }
        }
    }
}

fn pass_if_known(state: &mut State, at: OrderedMillis) {
    if state.upgrade.active <= LATEST {
        pass(state, at);
    }
}
