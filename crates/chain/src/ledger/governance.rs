//! Proposals and the results of their votes (R178, R180, R181). The council votes off chain; its account records the result.
//! What an accepted proposal allows is named by a digest and happens once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Bps;
use symphony_types::digest::Digest;
use symphony_types::id::AccountId;

use super::{Abort, State};
use crate::transaction::{ProposalKind, VoteResult};

/// What happened to a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The council's result stands on the chain.
    Recorded {
        /// What the council said.
        result: VoteResult,
        /// Whether it accepts.
        accepted: bool,
    },
    /// What a proposal allows happens.
    Spent {
        /// Which.
        proposal: Digest,
    },
}

/// Results by proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proposals {
    quorum: Bps,
    results: BTreeMap<Digest, Proposal>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Proposal {
    kind: ProposalKind,
    payload: Digest,
    accepted: bool,
    used: bool,
}

impl Proposals {
    pub(super) const fn new(quorum: Bps) -> Self {
        Self { quorum, results: BTreeMap::new() }
    }
}

pub(super) fn record(state: &State, sender: AccountId, result: &VoteResult) -> Result<Event, Abort> {
    if sender != state.roles.recorder {
        return Err(Abort::NotAuthorized);
    }
    let [yes, no, eligible] = [result.votes_for, result.votes_against, result.eligible].map(u128::from);
    if eligible == 0 || yes + no > eligible {
        return Err(Abort::VotesInvalid);
    }
    if state.governance.results.contains_key(&result.proposal) {
        return Err(Abort::ProposalExists);
    }
    let quorum = eligible * u128::from(state.governance.quorum.0);
    let accepted = yes > no && yes * u128::from(Bps::WHOLE.0) >= quorum;
    Ok(Event::Recorded { result: result.clone(), accepted })
}

/// Uses an accepted proposal up for exactly what it names.
pub(super) fn spend(
    state: &State,
    proposal: Digest,
    kind: ProposalKind,
    payload: Digest,
) -> Result<Event, Abort> {
    let result = state.governance.results.get(&proposal).ok_or(Abort::ProposalUnknown)?;
    if result.used {
        return Err(Abort::ProposalUsed);
    }
    if !result.accepted {
        return Err(Abort::ProposalUnknown);
    }
    if result.kind != kind || result.payload != payload {
        return Err(Abort::ProposalMismatch);
    }
    Ok(Event::Spent { proposal })
}

pub(super) fn evolve(state: &mut State, event: &Event) {
    let results = &mut state.governance.results;
    match event {
        Event::Recorded { result: VoteResult { proposal, kind, payload, .. }, accepted } => {
            let result = Proposal { kind: *kind, payload: *payload, accepted: *accepted, used: false };
            results.insert(*proposal, result);
        }
        Event::Spent { proposal } => {
            let result = results.get_mut(proposal);
            result.expect("invariant chain.proposal: only a recorded proposal is used").used = true;
        }
    }
}
