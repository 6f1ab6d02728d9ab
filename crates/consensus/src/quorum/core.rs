//! The Tendermint engine: the only module that names it (R007, R012, R213).
//!
//! Drives `malachitebft-core-consensus` with a quorum of more than half. Signing goes to the guard and nowhere
//! else; a vote that the guard withholds is simply not cast. Timers are kept here as deadlines, so that the whole is
//! a function of its inputs and of the time that it is told.

mod context;
mod plain;
mod run;

use std::collections::BTreeMap;
use std::sync::Arc;

use malachite::{Input, Params, ProposedValue, State, ThresholdParams, ValuePayload};
use malachite_types::{
    PolkaCertificate, PolkaSignature, Round, RoundCertificate, RoundCertificateType, RoundSignature,
    SignedProposal, ThresholdParam, Timeout, TimeoutKind, Validity, ValueOrigin, VoteExtensionPolicy,
    VoteType,
};
use symphony_types::digest::Digest;
use symphony_types::key::{Document, Signature};

use context::{Ballots, Height, Offer, Signed, Validators, Value};
use plain::{signed_vote, to_engine};
use run::Run;

use super::block::name;
use super::committee::{Ballot, Certificate, Committee, Seat, Step};
use super::conflict::{Conflict, Verified};
use super::guard::VoteGuard;
use super::message::{Message, Proposal, Skip, Vote};

/// The target of the engine's own log lines: several for each vote.
pub const ENGINE: &str = "arc_malachitebft_core_consensus";

/// How long a step waits. **Units**: milliseconds; each further round adds half of the first again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For the proposal.
    pub propose_ms: u64,
    /// For the rest of the votes, in either step.
    pub vote_ms: u64,
    /// Before the last vote is said again.
    pub repeat_ms: u64,
}

impl Timing {
    fn after(&self, timeout: Timeout) -> u64 {
        let round = u64::from(timeout.round.as_u32().unwrap_or(0)).min(ROUND_GROWTH_MAX);
        let grown = |first: u64| first + first / 2 * round;
        match timeout.kind {
            TimeoutKind::Propose => grown(self.propose_ms),
            TimeoutKind::Prevote | TimeoutKind::Precommit => grown(self.vote_ms),
            TimeoutKind::Rebroadcast => self.repeat_ms,
            TimeoutKind::FinalizeHeight(after) => u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Waiting times grow up to this round.
const ROUND_GROWTH_MAX: u64 = 20;

/// What the engine wants done.
#[derive(Debug)]
pub enum Output {
    /// Tell everyone.
    Publish(Message),
    /// Make a block for this round.
    Propose {
        /// The round.
        round: u32,
    },
    /// A seat voted twice in one slot.
    Accuse(Conflict),
    /// The height is decided.
    Decided {
        /// Canonical bytes of the block.
        block: Arc<[u8]>,
        /// A quorum of precommits.
        certificate: Certificate,
    },
}

/// What the engine counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Votes for no block cast here.
    pub nil_votes: u64,
    /// Rounds after the first that were entered.
    pub view_changes: u64,
    /// Votes or proposals that the guard withheld.
    pub refusals: u64,
    /// Messages with a signature that does not hold.
    pub forged: u64,
}

/// The engine of one master.
pub struct Core {
    state: State<Ballots>,
    committee: Arc<Committee>,
    timing: Timing,
    timers: Vec<(u64, Timeout)>,
    seen: Seen,
    /// The newest proposal of this height, to be said again.
    proposal: Option<Proposal>,
    /// Blocks of this height that this master may vote for.
    blocks: BTreeMap<Digest, Arc<[u8]>>,
    counts: Counts,
    running: bool,
}

/// Signatures of this height: prevotes are what polkas are made of.
#[derive(Default)]
struct Seen {
    prevotes: Vec<(u32, Digest, Seat, Signature)>,
    verified: Verified,
}

impl Seen {
    /// Whether a seat signed a ballot.
    fn holds(&mut self, committee: &Committee, ballot: &Ballot, seat: Seat, signature: &Signature) -> bool {
        if self.verified.contains(ballot, seat, signature) {
            return true;
        }
        let Some(member) = committee.member(seat) else { return false };
        let holds = member.key.verifies(&ballot.digest(), signature);
        if holds {
            self.verified.insert(*ballot, seat, member.key, *signature);
        }
        holds
    }

    fn note(&mut self, round: u32, block: Digest, seat: Seat, signature: Signature) {
        let known = self.prevotes.iter().any(|(r, b, s, _)| (*r, *b, *s) == (round, block, seat));
        if !known {
            self.prevotes.push((round, block, seat, signature));
        }
    }

    fn polka(&self, committee: &Committee, height: u64, round: u32, block: Digest) -> Option<Certificate> {
        let of = self.prevotes.iter().filter(|(r, b, ..)| (*r, *b) == (round, block));
        let mut signatures: Vec<_> = of.map(|(_, _, seat, signature)| (*seat, *signature)).collect();
        signatures.sort_by_key(|(seat, _)| *seat);
        (signatures.len() >= committee.quorum()).then_some(Certificate {
            height,
            round,
            step: Step::Prevote,
            block,
            signatures,
        })
    }

    /// A polka for `block` in the latest round before `round`.
    fn polka_before(
        &self,
        committee: &Committee,
        height: u64,
        round: u32,
        block: Digest,
    ) -> Option<Certificate> {
        (0..round).rev().find_map(|earlier| self.polka(committee, height, earlier, block))
    }
}

impl Core {
    /// An engine that stands before `height`. It does nothing until [`Core::start`].
    pub fn new(seat: Seat, committee: Arc<Committee>, leader: Seat, timing: Timing) -> Self {
        let params = Params {
            address: seat,
            threshold_params: THRESHOLDS,
            value_payload: ValuePayload::ProposalAndParts,
            enabled: false,
        };
        let validators = Validators::new(&committee, leader);
        let state = State::new(Ballots, Height(0), validators, params, QUEUE_HEIGHTS, QUEUE_PER_HEIGHT);
        Self {
            state,
            committee,
            timing,
            timers: Vec::new(),
            seen: Seen::default(),
            proposal: None,
            blocks: BTreeMap::new(),
            counts: Counts::default(),
            running: false,
        }
    }

    /// What was counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether a height is under way.
    pub fn running(&self) -> bool {
        self.running
    }

    /// The round under way.
    pub fn round(&self) -> u32 {
        self.state.round().as_u32().unwrap_or(0)
    }

    /// Forgets the height under way: it was decided elsewhere.
    pub fn halt(&mut self) {
        self.running = false;
        self.timers.clear();
    }

    /// The next moment at which a step has waited long enough.
    pub fn deadline(&self) -> Option<u64> {
        self.timers.iter().map(|(at, _)| *at).min()
    }

    /// Begins a height with its committee. Only who `votes` signs.
    pub fn start(
        &mut self,
        (height, committee, leader, votes): (u64, Arc<Committee>, Seat, bool),
        guard: &mut dyn VoteGuard,
        now: u64,
    ) -> Vec<Output> {
        self.committee = Arc::clone(&committee);
        self.seen = Seen::default();
        self.proposal = None;
        self.blocks.clear();
        self.timers.clear();
        self.running = true;
        self.state.params.enabled = votes;
        let validators = Validators::new(&committee, leader);
        let start =
            Input::StartHeight(Height(height), validators, false, None, VoteExtensionPolicy::Disabled);
        self.process(start, guard, now)
    }

    /// Takes the block that this master made for a round.
    pub fn propose(
        &mut self,
        round: u32,
        block: Arc<[u8]>,
        guard: &mut dyn VoteGuard,
        now: u64,
    ) -> Vec<Output> {
        let height = self.state.height();
        self.blocks.insert(name(&block), Arc::clone(&block));
        let value = malachite::LocallyProposedValue::new(height, Round::new(round), Value::new(block));
        self.process(Input::Propose(value), guard, now)
    }

    /// Whether a proposal comes from who proposes in its round.
    pub fn offered(&mut self, proposal: &Proposal) -> bool {
        let round = Round::new(proposal.round);
        let ballot = Ballot {
            cluster: self.committee.cluster,
            height: proposal.height,
            round: proposal.round,
            step: Step::Propose,
            block: Some(name(&proposal.block)),
        };
        let holds = *self.state.get_proposer(Height(proposal.height), round) == proposal.seat
            && self.seen.holds(&self.committee, &ballot, proposal.seat, &proposal.signature);
        self.counts.forged += u64::from(!holds);
        holds
    }

    /// Takes a proposal of the height under way, [`Core::offered`], with this master's opinion of its block.
    pub fn proposal(
        &mut self,
        proposal: Proposal,
        valid: bool,
        guard: &mut dyn VoteGuard,
        now: u64,
    ) -> Vec<Output> {
        let value = Value::new(Arc::from(proposal.block.as_slice()));
        let round = Round::new(proposal.round);
        if valid {
            self.blocks.insert(value.id, Arc::clone(&value.block));
        }
        let proposed = ProposedValue {
            height: Height(proposal.height),
            round,
            valid_round: Round::from(proposal.pol_round),
            proposer: proposal.seat,
            value: value.clone(),
            validity: Validity::from_bool(valid),
        };
        let signed = SignedProposal::new(
            Offer {
                height: Height(proposal.height),
                round,
                value,
                pol_round: Round::from(proposal.pol_round),
                seat: proposal.seat,
            },
            Signed(proposal.signature),
        );
        self.proposal = Some(proposal);
        let mut outputs = self.process(Input::ProposedValue(proposed, ValueOrigin::Consensus), guard, now);
        outputs.extend(self.process(Input::Proposal(signed), guard, now));
        outputs
    }

    /// Takes a vote.
    pub fn vote(&mut self, vote: Vote, guard: &mut dyn VoteGuard, now: u64) -> Vec<Output> {
        let Some(signed) = signed_vote(&vote) else { return Vec::new() };
        self.process(Input::Vote(signed), guard, now)
    }

    /// Takes a quorum of prevotes.
    pub fn polka(&mut self, polka: &Certificate, guard: &mut dyn VoteGuard, now: u64) -> Vec<Output> {
        if polka.step != Step::Prevote {
            return Vec::new();
        }
        let certificate = PolkaCertificate {
            height: Height(polka.height),
            round: Round::new(polka.round),
            value_id: polka.block,
            polka_signatures: polka
                .signatures
                .iter()
                .map(|(seat, signature)| PolkaSignature::new(*seat, Signed(*signature)))
                .collect(),
        };
        self.process(Input::PolkaCertificate(certificate), guard, now)
    }

    /// Takes the votes that justify leaving a round.
    pub fn skip(&mut self, skip: &Skip, guard: &mut dyn VoteGuard, now: u64) -> Vec<Output> {
        let signatures = skip.votes.iter().filter_map(|vote| {
            let kind = match vote.step {
                Step::Prevote => VoteType::Prevote,
                Step::Precommit => VoteType::Precommit,
                Step::Propose => return None,
            };
            Some(RoundSignature::new(kind, to_engine(vote.block), vote.seat, Signed(vote.signature)))
        });
        let certificate = RoundCertificate {
            height: Height(skip.height),
            round: Round::new(skip.round),
            cert_type: if skip.precommits {
                RoundCertificateType::Precommit
            } else {
                RoundCertificateType::Skip
            },
            round_signatures: signatures.collect(),
        };
        self.process(Input::RoundCertificate(certificate), guard, now)
    }

    /// Lets every step that has waited long enough go on.
    pub fn tick(&mut self, guard: &mut dyn VoteGuard, now: u64) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(due) = self.timers.iter().position(|(at, _)| *at <= now) {
            let (_, timeout) = self.timers.swap_remove(due);
            outputs.extend(self.process(Input::TimeoutElapsed(timeout), guard, now));
        }
        outputs
    }

    fn process(&mut self, input: Input<Ballots>, guard: &mut dyn VoteGuard, now: u64) -> Vec<Output> {
        let mut run = Run {
            committee: Arc::clone(&self.committee),
            timing: self.timing,
            timers: &mut self.timers,
            seen: &mut self.seen,
            proposal: &mut self.proposal,
            blocks: &self.blocks,
            counts: &mut self.counts,
            running: &mut self.running,
            guard,
            now,
            outputs: Vec::new(),
            decided: None,
        };
        let state = &mut self.state;
        let result: Result<(), malachite::Error<Ballots>> = malachite::process!(
            input: input,
            state: state,
            metrics: &(),
            with: effect => run.perform(effect)
        );
        let (mut outputs, decided) = (run.outputs, run.decided);
        outputs.extend(self.seen.verified.take().into_iter().map(Output::Accuse));
        if let Err(error) = result {
            // The engine's own errors are about one input; what it had done until then stands.
            tracing::warn!(%error, "the consensus engine turned an input down");
        }
        if let Some(certificate) = decided
            && let Some((_, value)) = self.state.decided_value()
        {
            self.running = false;
            self.timers.clear();
            outputs.push(Output::Decided { block: value.block, certificate });
        }
        outputs
    }
}

/// More than half decides; more than a third has an honest one among it, as one of three may lie.
const THRESHOLDS: ThresholdParams =
    ThresholdParams { quorum: ThresholdParam::new(1, 2), honest: ThresholdParam::new(1, 3) };

/// Heights ahead of the one under way whose votes the engine keeps.
const QUEUE_HEIGHTS: usize = 4;
/// Inputs that it keeps of each.
const QUEUE_PER_HEIGHT: usize = 64;
