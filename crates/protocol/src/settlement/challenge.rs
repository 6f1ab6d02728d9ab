//! The life of a challenge (R136-R142) and what a finding means.
//!
//! ```text
//! opened -> reviewing -> confirmed -> approved -> penalty_recorded
//!                    \-> not_confirmed -> closed_without_penalty -> reopened -> reviewing
//! ```
//!
//! A confirmed challenge ends its task: nothing of it is paid, and its lock goes back (R143). One that is not confirmed
//! gives the task back the time that it had left; the same dispute is opened again with a new exhibit only (R138).
//!
//! Each filing has a bond of its own, which its ruling resolves:
//!
//! | ruling | the bond |
//! |---|---|
//! | confirmed | goes back |
//! | the result stands: supported, or repeated | is lost to the treasury |
//! | nobody could tell: not repeatable, or no finding in time | goes back |

use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, VaultId};
use symphony_types::limits::{EXHIBITS_MAX, GROUNDS_CHARS_MAX};
use symphony_types::table::Value;
use symphony_types::time::OrderedMillis;

use super::payout::Refund;
use crate::artifact::challenge::{
    Bond, Dismissal, Dispute, Filing, Finding, Replay, ReplayRefusal, Ruling, SignedReplayRefusal,
};
use crate::artifact::training::Round;
use crate::artifact::{Decision, LockFact, SignedSlice, TaskEnvelope};
use crate::governance::Governance;
use crate::governance::policy::Policy;

/// The states of a challenge, exactly (R136).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChallengeState {
    /// Somebody disputes a result.
    Opened,
    /// The masters look at it again.
    Reviewing,
    /// The result is wrong.
    Confirmed,
    /// The result stands.
    NotConfirmed,
    /// A majority of the masters endorses that it is wrong.
    Approved,
    /// Closed; nobody is held responsible.
    ClosedWithoutPenalty,
    /// A record says who answers; the shares of the task are withheld.
    PenaltyRecorded,
    /// Disputed again, with something new.
    Reopened,
}

impl ChallengeState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Opened,
        Self::Reviewing,
        Self::Confirmed,
        Self::NotConfirmed,
        Self::Approved,
        Self::ClosedWithoutPenalty,
        Self::PenaltyRecorded,
        Self::Reopened,
    ];

    /// The specification's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reviewing => "reviewing",
            Self::Confirmed => "confirmed",
            Self::NotConfirmed => "not_confirmed",
            Self::Approved => "approved",
            Self::ClosedWithoutPenalty => "closed_without_penalty",
            Self::PenaltyRecorded => "penalty_recorded",
            Self::Reopened => "reopened",
        }
    }

    /// Whether a challenge may step from here to `next` (R137, R138). A penalty ends the task, so nothing reopens it.
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Opened | Self::Reopened => matches!(next, Self::Reviewing),
            Self::Reviewing => matches!(next, Self::Confirmed | Self::NotConfirmed),
            Self::Confirmed => matches!(next, Self::Approved),
            Self::NotConfirmed => matches!(next, Self::ClosedWithoutPenalty),
            Self::Approved => matches!(next, Self::PenaltyRecorded),
            Self::ClosedWithoutPenalty => matches!(next, Self::Reopened),
            Self::PenaltyRecorded => false,
        }
    }
}

/// One dispute about a task, with everything that was filed and found. Nothing in it is ever changed, only added to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// What is disputed.
    pub dispute: Dispute,
    /// What was filed: the first opened it, each other one reopened it.
    pub filings: Vec<Filing>,
    /// What each filing has locked, in their order.
    pub bonds: Vec<Bond>,
    /// How the filings ended, in their order; the last one may not have.
    pub rulings: Vec<Ruling>,
    /// Every state that it came to, and when.
    pub steps: Vec<(ChallengeState, OrderedMillis)>,
}

impl Value for Challenge {}

impl Challenge {
    /// A challenge without a filing.
    pub const fn new(dispute: Dispute) -> Self {
        Self { dispute, filings: Vec::new(), bonds: Vec::new(), rulings: Vec::new(), steps: Vec::new() }
    }

    /// Where it stands; `None` before the first filing.
    pub fn state(&self) -> Option<ChallengeState> {
        self.steps.last().map(|(state, _)| *state)
    }

    /// Takes a filing under review.
    pub fn file(&mut self, filing: Filing, bond: Bond, at: OrderedMillis) {
        let first = self.filings.is_empty();
        self.filings.push(filing);
        self.bonds.push(bond);
        self.step(if first { ChallengeState::Opened } else { ChallengeState::Reopened }, at);
        self.step(ChallengeState::Reviewing, at);
    }

    /// The lock of the filing that is under review, as the chain is to resolve it; `None` when none is.
    pub fn held(&self) -> Option<Refund> {
        let place = self.rulings.len();
        let (filing, bond) = (self.filings.get(place)?, self.bonds.get(place)?);
        Some(Refund { task: filing.bond(), lock: bond.lock, amount: bond.amount })
    }

    /// Ends the review of the last filing.
    pub fn rule(&mut self, ruling: Ruling, at: OrderedMillis) {
        self.rulings.push(ruling);
        let steps: &[_] = match ruling {
            Ruling::Confirmed(_) => {
                &[ChallengeState::Confirmed, ChallengeState::Approved, ChallengeState::PenaltyRecorded]
            }
            Ruling::NotConfirmed(_) => &[ChallengeState::NotConfirmed, ChallengeState::ClosedWithoutPenalty],
        };
        steps.iter().for_each(|step| self.step(*step, at));
    }

    fn step(&mut self, to: ChallengeState, at: OrderedMillis) {
        let from = self.state();
        let may = from.map_or(to == ChallengeState::Opened, |from| from.may_become(to));
        assert!(may, "a challenge may not become {to:?} from {from:?} (R137)");
        self.steps.push((to, at));
    }

    fn shown(&self, exhibit: &Digest) -> bool {
        self.filings.iter().any(|filing| filing.exhibits.contains(exhibit))
    }
}

/// Whether a filing is one at all: by an actor who may act, with grounds, within its limits, about a round that there is.
/// **Errors**: `ADM-0001`, `ADM-0003`.
pub fn check(governance: &Governance, filing: &Filing, rounds: u32) -> Result<(), Code> {
    let actor = governance.registry.actors.get(&filing.challenger);
    if actor.is_none_or(|actor| actor.suspended) {
        return Err(Code::Forbidden);
    }
    let grounds = filing.grounds.chars().count();
    let ascending = filing.exhibits.is_sorted_by(|one, next| one < next);
    let there = match filing.dispute {
        Dispute::Evidence => true,
        Dispute::Round(round) => (1..=rounds).contains(&round),
    };
    let sound = (1..=GROUNDS_CHARS_MAX).contains(&grounds)
        && !filing.grounds.trim().is_empty()
        && filing.exhibits.len() <= EXHIBITS_MAX
        && ascending
        && there;
    if sound { Ok(()) } else { Err(Code::Malformed) }
}

/// Whether a filing may open its challenge, or open it again. **Errors**: `SET-0010` when it shows nothing new.
pub fn may_file(known: Option<&Challenge>, filing: &Filing) -> Result<(), Code> {
    let Some(known) = known else { return Ok(()) };
    if filing.exhibits.iter().any(|exhibit| !known.shown(exhibit)) { Ok(()) } else { Err(Code::NothingNew) }
}

/// Who would be held responsible: for what the evidence supports those that vouched for it, for a round or run those that
/// made it (R141). None of them files the challenge.
pub fn accused(governance: &Governance, dispute: Dispute, task: &TaskEnvelope) -> Vec<ActorId> {
    let registry = &governance.registry;
    let aggregator = registry.aggregator.clone();
    match dispute {
        Dispute::Evidence => vec![aggregator, registry.verifier.actor.clone()],
        Dispute::Round(_) => {
            let vaults = task.coordination.participating_vault_ids.iter();
            let executors = vaults.filter_map(|vault| registry.vaults.get(vault));
            executors.map(|vault| vault.executor.clone()).chain([aggregator]).collect()
        }
    }
}

/// How long the bond of a filing must be out of its owner's reach: through its review, and until the payout of the epoch after
/// that, at the longest epochs that the network has had. **Units**: milliseconds.
pub fn bond_ms(governance: &Governance, policy: &Policy) -> u64 {
    let epoch_ms = governance.policies.values().map(|policy| policy.epoch_ms).max().unwrap_or(0);
    policy.deadlines.review_ms.saturating_add(epoch_ms.saturating_mul(2))
}

/// The bond of a filing under its task's policy, by the lock that a majority of the masters saw.
/// **Errors**: `SET-0015` without one; `SET-0016` for one of another amount, account, filing or end.
pub fn bonded(
    governance: &Governance,
    policy: &Policy,
    filing: &Filing,
    fact: Option<&LockFact>,
    at: OrderedMillis,
) -> Result<Bond, Code> {
    let fact = fact.ok_or(Code::BondMissing)?;
    let account = governance.registry.actors.get(&filing.challenger).map(|actor| actor.account);
    let fits = fact.purpose == filing.lock_purpose()
        && account == Some(fact.owner)
        && fact.amount == policy.challenges.bond
        && fact.expires >= at.plus(bond_ms(governance, policy));
    if fits { Ok(Bond { lock: fact.lock, amount: fact.amount }) } else { Err(Code::BondUnfit) }
}

/// What a finding means. `recorded` is the disputed round as the task has it.
/// **Errors**: `ADM-0001` for a finding that does not answer the dispute.
pub fn ruling(
    governance: &Governance,
    dispute: Dispute,
    recorded: Option<&Round>,
    finding: &Finding,
) -> Result<Ruling, Code> {
    if let Decision::Rejected(code) = finding.decision {
        return Ok(Ruling::Confirmed(code));
    }
    match (dispute, recorded, &finding.replay) {
        (Dispute::Evidence, _, Replay::None) => Ok(Ruling::NotConfirmed(Dismissal::Supported)),
        (Dispute::Round(_), Some(recorded), Replay::Computed(replay)) if anew(recorded, replay) => {
            Ok(compare(recorded, replay))
        }
        (Dispute::Round(_), Some(recorded), Replay::Refused(refusal))
            if spoken(governance, recorded, refusal) =>
        {
            Ok(Ruling::NotConfirmed(Dismissal::NotRepeatable))
        }
        (Dispute::Evidence | Dispute::Round(_), ..) => Err(Code::Malformed),
    }
}

/// Whether a round is another attempt at the recorded one, by the Vaults' own word and in an enclave's own report: what was
/// recorded proves nothing about itself.
pub fn anew(recorded: &Round, replay: &Round) -> bool {
    let before = recorded.slices.iter().map(|slice| slice.body.attempt).max().unwrap_or(0);
    (recorded.task, recorded.round) == (replay.task, replay.round)
        && replay.slices.iter().all(|slice| slice.body.attempt > before)
        && recorded.aggregate.body.report != replay.aggregate.body.report
}

/// Whether a Vault of this round refuses to compute it again.
pub fn spoken(governance: &Governance, recorded: &Round, refusal: &SignedReplayRefusal) -> bool {
    let ReplayRefusal { task, round, vault } = &refusal.body;
    let record = governance.registry.vaults.get(vault);
    (*task, *round) == (recorded.task, recorded.round)
        && recorded.slices.iter().any(|slice| slice.body.vault == *vault)
        && record.is_some_and(|record| refusal.verify(&record.key))
}

/// The same Vaults on the same records must come to the same outcome: noise and draws have one seed (D10).
fn compare(recorded: &Round, replay: &Round) -> Ruling {
    if inputs(&recorded.slices).ne(inputs(&replay.slices)) {
        return Ruling::NotConfirmed(Dismissal::NotRepeatable);
    }
    if recorded.aggregate.body.outcome == replay.aggregate.body.outcome {
        Ruling::NotConfirmed(Dismissal::Repeated)
    } else {
        Ruling::Confirmed(Code::ReplayDiffers)
    }
}

fn inputs(slices: &[SignedSlice]) -> impl Iterator<Item = (&VaultId, &Digest)> {
    slices.iter().map(|slice| (&slice.body.vault, &slice.body.input_root))
}

/// Whether this very filing is known.
pub fn filed<'a>(challenges: impl Iterator<Item = &'a Challenge>, filing: &Filing) -> bool {
    challenges.flat_map(|challenge| &challenge.filings).any(|known| known == filing)
}
