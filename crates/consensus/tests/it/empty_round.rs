//! A round without a proposal: two of three that voted for nothing do not wait for the third (R195).

use std::collections::VecDeque;
use std::sync::Arc;

use symphony_consensus::quorum::committee::Seat;
use symphony_consensus::quorum::core::{Core, Output, Timing};
use symphony_consensus::quorum::guard::{LocalGuard, Strictness};
use symphony_consensus::quorum::message::Message;

use super::guard::{founding, guard};

const TIMING: Timing = Timing { propose_ms: 1_000, vote_ms: 500, repeat_ms: 10_000 };

struct Master {
    core: Core,
    guard: LocalGuard,
}

/// Gives every vote to the others until nobody says anything more.
fn exchange(masters: &mut [Master], said: Vec<(usize, Output)>, now: u64) {
    let mut said = VecDeque::from(said);
    while let Some((from, output)) = said.pop_front() {
        let Output::Publish(Message::Vote(vote)) = output else { continue };
        for (index, master) in masters.iter_mut().enumerate().filter(|(index, _)| *index != from) {
            let outputs = master.core.vote(vote, &mut master.guard, now);
            said.extend(outputs.into_iter().map(|output| (index, output)));
        }
    }
}

fn tick(masters: &mut [Master], now: u64) {
    let mut said = Vec::new();
    for (index, master) in masters.iter_mut().enumerate() {
        let outputs = master.core.tick(&mut master.guard, now);
        said.extend(outputs.into_iter().map(|output| (index, output)));
    }
    exchange(masters, said, now);
}

/// R195, R196: the leader is gone. Its two followers wait for its proposal, vote for nothing in both steps, and are in the
/// next round at that very moment.
#[test]
fn a_round_that_two_voted_empty_is_over() {
    let committee = Arc::new(founding());
    let mut masters: Vec<_> = [1, 2]
        .map(|seat| {
            let core = Core::new(Seat(seat), Arc::clone(&committee), Seat(0), TIMING);
            Master { core, guard: guard(seat, Strictness::Full) }
        })
        .into();
    for master in &mut masters {
        master.core.start((1, Arc::clone(&committee), Seat(0), true), &mut master.guard, 0);
    }
    assert_eq!(masters[0].core.deadline(), Some(TIMING.propose_ms));
    tick(&mut masters, TIMING.propose_ms);
    assert!(masters.iter().all(|master| master.core.round() == 0), "the step that follows is one more tick");
    tick(&mut masters, TIMING.propose_ms);
    assert_eq!(masters.iter().map(|master| master.core.round()).collect::<Vec<_>>(), [1, 1]);
}
