//! A machine small enough to see through: named counters with a ceiling.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use symphony_consensus::journal::JournalError;
use symphony_consensus::machine::{Genesis, Machine, Restore, restored};
use symphony_consensus::orderer::{Clock, Solo};
use symphony_consensus::replay::Verify;
use symphony_types::time::OrderedMillis;

#[derive(Debug)]
pub(crate) struct Counter;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) of: BTreeMap<u16, u64>,
    pub(crate) last: OrderedMillis,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    Add { who: u16, amount: u64 },
    Move { from: u16, to: u16, amount: u64 },
    Note(Vec<u8>),
    Break,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    Added { who: u16, amount: u64 },
    Taken { who: u16, amount: u64 },
    Noted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TooFew(pub(crate) u64);

impl std::fmt::Display for TooFew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "only {} there", self.0)
    }
}

impl Machine for Counter {
    type State = Counts;
    type Command = Command;
    type Event = Event;
    type Refusal = TooFew;

    const RESTORE: Option<Restore<Counts>> = Some(restored);
    const PROVABLE: bool = true;

    fn decide(state: &Counts, _: OrderedMillis, command: &Command) -> Result<Vec<Event>, TooFew> {
        match *command {
            Command::Add { who, amount } => Ok(vec![Event::Added { who, amount }]),
            Command::Move { from, to, amount } => {
                let there = state.of.get(&from).copied().unwrap_or(0);
                if there < amount {
                    return Err(TooFew(there));
                }
                Ok(vec![Event::Taken { who: from, amount }, Event::Added { who: to, amount }])
            }
            Command::Note(_) => Ok(vec![Event::Noted]),
            Command::Break => panic!("invariant: a test breaks it"),
        }
    }

    fn evolve(state: &mut Counts, at: OrderedMillis, event: &Event) {
        state.last = at;
        match *event {
            Event::Added { who, amount } => *state.of.entry(who).or_default() += amount,
            Event::Taken { who, amount } => *state.of.entry(who).or_default() -= amount,
            Event::Noted => {}
        }
    }
}

pub(crate) fn add(who: u16, amount: u64) -> Command {
    Command::Add { who, amount }
}

pub(crate) fn transfer(from: u16, to: u16, amount: u64) -> Command {
    Command::Move { from, to, amount }
}

pub(crate) fn genesis() -> Genesis<Counts> {
    Genesis { name: "counters".to_owned(), state: Counts::default() }
}

/// A clock that jumps back now and then, as real ones do.
pub(crate) fn clock() -> Clock {
    let ticks = AtomicU64::new(0);
    Arc::new(move || {
        let tick = ticks.fetch_add(1, Ordering::Relaxed);
        OrderedMillis(if tick % 5 == 4 { 10 } else { 1_000 + tick })
    })
}

pub(crate) fn open(path: &Path) -> Result<Solo<Counter>, JournalError> {
    Solo::open(path, &genesis(), Verify::Full, clock())
}
