//! The council changes what governs while tasks run: proposals by their printed table, measurements that come and go, a log
//! that proves itself, and nodes that follow it (R120, R128, R129, R130, R191, R194).

mod actors;
mod followers;
mod meanings;
pub(crate) mod moves;
mod policies;
mod proposals;
mod simulated;
pub(crate) mod tasks;

use symphony_protocol::governance::approval::Purpose;
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::proposal::*;
use symphony_protocol::machine::{Command, Event, Refusal, State, decide, evolve};
use symphony_types::digest::Digest;
use symphony_types::id::Measurement;
use symphony_types::time::OrderedMillis;

use crate::stage::{council_key, member};
use crate::world::master;

/// A proposal of a member.
pub(crate) fn proposal(state: &State, by: usize, number: u64, change: Change) -> SignedProposal {
    let body = Proposal {
        foundation: state.proposals.log.foundation(),
        proposer: member(by),
        number,
        change,
        summary: "the next release".into(),
        amends: None,
    };
    council_key(by).sign(body)
}

pub(crate) fn vote(proposal: Digest, by: usize, approve: bool) -> Command {
    let vote = council_key(by).sign(Vote { proposal, voter: member(by), approve });
    Command::Govern { motion: Motion::Vote(vote) }
}

pub(crate) fn propose(proposal: &SignedProposal) -> Command {
    Command::Govern { motion: Motion::Propose(Box::new(proposal.clone())) }
}

pub(crate) fn withdraw(proposal: Digest, by: usize) -> Command {
    Command::Govern { motion: Motion::Withdraw(council_key(by).sign(Withdrawal { proposal })) }
}

pub(crate) fn register(measurement: Measurement) -> Change {
    Change::RegisterMeasurement { measurement, purpose: Purpose::Any, recipe: Digest::of_bytes(b"recipe") }
}

pub(crate) fn activate(measurement: Measurement) -> Change {
    Change::ActivateMeasurement { measurement }
}

pub(crate) fn revoke(measurement: Measurement) -> Change {
    Change::RevokeMeasurement { measurement }
}

/// Orders a command and follows it.
pub(crate) fn order(state: &mut State, at: OrderedMillis, command: Command) -> Result<Vec<Event>, Refusal> {
    let events = decide(state, at, &symphony_protocol::machine::Order { by: master(1), command })?;
    events.iter().for_each(|event| evolve(state, at, event));
    Ok(events)
}
