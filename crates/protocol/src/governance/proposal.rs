//! Proposals: what the council may change, how it votes, and when a change is enacted (R128, R129, R130, R191, R194).
//!
//! ```text
//! (propose) -> open -> accepted -> executed
//!               |         |
//!               |         +-> withdrawn | rejected (it does not fit any more)
//!               +-> rejected | withdrawn | amended | expired (too few voted)
//! ```
//!
//! | step | when |
//! |---|---|
//! | open -> accepted | approvals are a majority that no further vote can undo, or enough at the end of the vote |
//! | open -> rejected | so many are against that no further vote can help, or too few are for it at the end |
//! | open -> expired | fewer than the quorum voted in time |
//! | open -> amended | its proposer proposed another in its place, whose votes begin anew |
//! | accepted -> executed | the time-lock is over; a revocation has none and is executed in the same step |
//! | accepted -> rejected | the change does not fit what governs by then |
//!
//! What may be proposed is [`Change`].

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Bps;
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, GovernanceSequence, PolicyVersion};
use symphony_types::key::{Document, Governance as Member, PublicKey, Signed};
use symphony_types::limits::{PROPOSAL_BYTES_MAX, PROPOSALS_CLOSED_MAX, PROPOSALS_OPEN_MAX, TEXT_LEN_MAX};
use symphony_types::table::{Table, Value};
use symphony_types::time::OrderedMillis;

use super::Governance;
use super::change::Change;
use super::log::{Log, LogEntry};
use super::policy::ProposalPolicy;

/// What a member of the council asks the others to change. Its digest is its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Digest of the governance that the network was founded with: it serves no other network.
    pub foundation: Digest,
    /// Who proposes.
    pub proposer: ActorId,
    /// The proposer's own number for it, higher than all before.
    pub number: u64,
    /// What it changes.
    pub change: Change,
    /// Why, in one line; the discussion is elsewhere (R191).
    pub summary: String,
    /// The proposer's own open proposal that it takes the place of.
    pub amends: Option<Digest>,
}

impl Document for Proposal {
    const TAG: &'static str = "symphony/proposal/v1";
}

/// A proposal of its proposer.
pub type SignedProposal = Signed<Proposal, Member>;

/// A member's word on a proposal. The first one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Digest of the proposal.
    pub proposal: Digest,
    /// Who votes.
    pub voter: ActorId,
    /// For it, or against.
    pub approve: bool,
}

impl Document for Vote {
    const TAG: &'static str = "symphony/proposal-vote/v1";
}

/// A vote of its voter.
pub type SignedVote = Signed<Vote, Member>;

/// The proposer takes a proposal back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// Digest of the proposal.
    pub proposal: Digest,
}

impl Document for Withdrawal {
    const TAG: &'static str = "symphony/proposal-withdrawal/v1";
}

/// A withdrawal of the proposer.
pub type SignedWithdrawal = Signed<Withdrawal, Member>;

/// What a member of the council says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Motion {
    /// Proposes a change.
    Propose(Box<SignedProposal>),
    /// Votes on one.
    Vote(SignedVote),
    /// Takes one back.
    Withdraw(SignedWithdrawal),
}

impl Motion {
    /// The proposal that it is about.
    pub fn proposal(&self) -> Digest {
        match self {
            Self::Propose(proposal) => proposal.body.digest(),
            Self::Vote(vote) => vote.body.proposal,
            Self::Withdraw(withdrawal) => withdrawal.body.proposal,
        }
    }
}

/// Where a proposal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProposalStage {
    /// It takes votes.
    Open,
    /// It waits for the end of its time-lock.
    Accepted {
        /// When that is.
        execute_at: OrderedMillis,
    },
    /// It was enacted.
    Executed {
        /// As this entry of the log.
        sequence: GovernanceSequence,
    },
    /// The council did not want it, or it does not fit any more.
    Rejected {
        /// Why, where it is not the votes.
        code: Option<Code>,
    },
    /// Its proposer took it back.
    Withdrawn,
    /// Too few voted.
    Expired,
    /// Its proposer proposed another in its place.
    Amended {
        /// The other.
        by: Digest,
    },
}

impl ProposalStage {
    /// The word that stands in the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted { .. } => "accepted",
            Self::Executed { .. } => "executed",
            Self::Rejected { .. } => "rejected",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Amended { .. } => "amended",
        }
    }

    /// Whether nothing follows.
    pub const fn closed(&self) -> bool {
        match self {
            Self::Open | Self::Accepted { .. } => false,
            Self::Executed { .. }
            | Self::Rejected { .. }
            | Self::Withdrawn
            | Self::Expired
            | Self::Amended { .. } => true,
        }
    }
}

/// A proposal with what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposalRecord {
    /// What was proposed.
    pub proposal: SignedProposal,
    /// The policy that its votes are counted by: the one that was active when it was opened.
    pub policy: PolicyVersion,
    /// When it was opened.
    pub opened_at: OrderedMillis,
    /// Votes count until then.
    pub vote_by: OrderedMillis,
    /// The votes.
    pub votes: BTreeMap<ActorId, SignedVote>,
    /// Where it is.
    pub stage: ProposalStage,
}

impl Value for ProposalRecord {}

/// All proposals, and the log of those that were enacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposals {
    known: Table<Digest, ProposalRecord>,
    /// Those that time alone may move.
    live: BTreeSet<Digest>,
    /// Closed ones in the order of closing; of many, the last.
    closed: VecDeque<Digest>,
    /// The last number of each proposer: an old proposal that is forgotten is not new again.
    numbers: BTreeMap<ActorId, u64>,
    /// What was enacted.
    pub log: Log,
}

/// What happened to a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "a decision has a few, and each is written down at once")]
pub enum ProposalEvent {
    /// It takes votes.
    Opened {
        /// The proposal.
        proposal: SignedProposal,
        /// The policy that the votes are counted by.
        policy: PolicyVersion,
        /// Votes count until then.
        vote_by: OrderedMillis,
    },
    /// A member voted.
    Voted {
        /// The vote.
        vote: SignedVote,
    },
    /// The votes suffice.
    Accepted {
        /// The proposal.
        proposal: Digest,
        /// When it is enacted.
        execute_at: OrderedMillis,
    },
    /// It is enacted.
    Executed {
        /// The entry of the log.
        entry: LogEntry,
    },
    /// It ended otherwise.
    Closed {
        /// The proposal.
        proposal: Digest,
        /// How.
        stage: ProposalStage,
    },
}

impl Proposals {
    /// No proposals yet, over the governance that a network is founded with.
    pub fn new(founded: &Governance) -> Self {
        Self {
            known: Table::new(),
            live: BTreeSet::new(),
            closed: VecDeque::new(),
            numbers: BTreeMap::new(),
            log: Log::new(founded),
        }
    }

    /// One proposal.
    pub fn get(&self, proposal: &Digest) -> Option<&ProposalRecord> {
        self.known.get(proposal)
    }

    /// Those that are kept, by digest.
    pub fn iter(&self) -> impl Iterator<Item = (&Digest, &ProposalRecord)> {
        self.known.iter()
    }

    /// The last number that a member gave to a proposal; zero when it made none.
    pub fn number(&self, member: &ActorId) -> u64 {
        self.numbers.get(member).copied().unwrap_or_default()
    }

    /// When time alone next moves a proposal.
    pub fn timer(&self) -> Option<OrderedMillis> {
        self.live.iter().filter_map(|id| due(self.known.get(id)?)).min()
    }

    /// What all masters agree on.
    pub fn digest(&mut self) -> Digest {
        let (known, log) = (self.known.digest(), self.log.digest());
        Digest::of("symphony/proposals/v1", &(known, log, &self.live, &self.closed, &self.numbers))
    }

    /// What an event does.
    pub fn evolve(&mut self, at: OrderedMillis, event: &ProposalEvent) {
        match event {
            ProposalEvent::Opened { proposal, policy, vote_by } => {
                let id = proposal.body.digest();
                self.numbers.insert(proposal.body.proposer.clone(), proposal.body.number);
                self.live.insert(id);
                let record = ProposalRecord {
                    proposal: proposal.clone(),
                    policy: *policy,
                    opened_at: at,
                    vote_by: *vote_by,
                    votes: BTreeMap::new(),
                    stage: ProposalStage::Open,
                };
                self.known.insert(id, record);
            }
            ProposalEvent::Voted { vote } => {
                if let Some(record) = self.known.get_mut(&vote.body.proposal) {
                    record.votes.insert(vote.body.voter.clone(), vote.clone());
                }
            }
            ProposalEvent::Accepted { proposal, execute_at } => {
                if let Some(record) = self.known.get_mut(proposal) {
                    record.stage = ProposalStage::Accepted { execute_at: *execute_at };
                }
            }
            ProposalEvent::Executed { entry } => {
                let id = entry.proposal.body.digest();
                self.close(id, ProposalStage::Executed { sequence: entry.sequence });
                self.log.append(entry.clone());
            }
            ProposalEvent::Closed { proposal, stage } => self.close(*proposal, *stage),
        }
    }

    fn close(&mut self, id: Digest, stage: ProposalStage) {
        if let Some(record) = self.known.get_mut(&id) {
            record.stage = stage;
        }
        self.live.remove(&id);
        self.closed.push_back(id);
        if self.closed.len() > PROPOSALS_CLOSED_MAX
            && let Some(oldest) = self.closed.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

/// What a motion makes happen. The same again changes nothing. **Errors**: `ADM-0003` when it is no member's own word,
/// `ADM-0001` when it is of another network or too large, `GOV-0008` to `GOV-0012`, `ADM-0019`.
pub fn decide(
    proposals: &Proposals,
    governance: &Governance,
    at: OrderedMillis,
    motion: &Motion,
) -> Result<Vec<ProposalEvent>, Code> {
    let council = &governance.registry.council;
    match motion {
        Motion::Propose(proposal) => propose(proposals, governance, at, proposal),
        Motion::Vote(vote) => {
            let record = proposals.get(&vote.body.proposal).ok_or(Code::ProposalUnknown)?;
            if !genuine(council, &vote.body.voter, vote) {
                return Err(Code::Forbidden);
            }
            match record.votes.get(&vote.body.voter) {
                Some(first) if first.body == vote.body => return Ok(vec![]),
                Some(_) => return Err(Code::ProposalConflict),
                None => {}
            }
            if record.stage != ProposalStage::Open || record.vote_by <= at {
                return Err(Code::ProposalClosed);
            }
            let mut record = record.clone();
            record.votes.insert(vote.body.voter.clone(), vote.clone());
            let mut events = vec![ProposalEvent::Voted { vote: vote.clone() }];
            events.extend(count(proposals, governance, at, &record));
            Ok(events)
        }
        Motion::Withdraw(withdrawal) => {
            let id = withdrawal.body.proposal;
            let record = proposals.get(&id).ok_or(Code::ProposalUnknown)?;
            if !genuine(council, &record.proposal.body.proposer, withdrawal) {
                return Err(Code::Forbidden);
            }
            match record.stage {
                ProposalStage::Open | ProposalStage::Accepted { .. } => {
                    Ok(vec![ProposalEvent::Closed { proposal: id, stage: ProposalStage::Withdrawn }])
                }
                ProposalStage::Withdrawn => Ok(vec![]),
                ProposalStage::Executed { .. }
                | ProposalStage::Rejected { .. }
                | ProposalStage::Expired
                | ProposalStage::Amended { .. } => Err(Code::ProposalClosed),
            }
        }
    }
}

/// What time alone makes happen, one proposal after the other: each change is judged by what the one before has left.
pub fn pass(proposals: &Proposals, governance: &Governance, at: OrderedMillis) -> Vec<ProposalEvent> {
    let live = proposals.live.iter().filter_map(|id| Some((due(proposals.get(id)?)?, *id)));
    let mut ready: Vec<_> = live.filter(|(due, _)| *due <= at).collect();
    if ready.is_empty() {
        return vec![];
    }
    ready.sort_unstable();
    let (mut proposals, mut governance) = (proposals.clone(), governance.clone());
    let mut events = Vec::new();
    for (_, id) in ready {
        let Some(record) = proposals.get(&id).cloned() else { continue };
        let made = match record.stage {
            ProposalStage::Accepted { .. } => vec![execute(&proposals, &governance, at, &record)],
            ProposalStage::Open
            | ProposalStage::Executed { .. }
            | ProposalStage::Rejected { .. }
            | ProposalStage::Withdrawn
            | ProposalStage::Expired
            | ProposalStage::Amended { .. } => count(&proposals, &governance, at, &record),
        };
        for event in made {
            proposals.evolve(at, &event);
            if let ProposalEvent::Executed { entry } = &event {
                governance.enact(entry);
            }
            events.push(event);
        }
    }
    events
}

fn propose(
    proposals: &Proposals,
    governance: &Governance,
    at: OrderedMillis,
    proposal: &SignedProposal,
) -> Result<Vec<ProposalEvent>, Code> {
    let body = &proposal.body;
    if proposals.get(&body.digest()).is_some() {
        return Ok(vec![]);
    }
    if !genuine(&governance.registry.council, &body.proposer, proposal) {
        return Err(Code::Forbidden);
    }
    let fits = body.foundation == proposals.log.foundation()
        && body.summary.len() <= TEXT_LEN_MAX
        && canonical::to_bytes(proposal).len() <= PROPOSAL_BYTES_MAX;
    if !fits {
        return Err(Code::Malformed);
    }
    if body.number <= proposals.number(&body.proposer) {
        return Err(Code::ProposalConflict);
    }
    let policy = &governance.policy_at(at).proposals;
    let ended = body.amends.map(|earlier| amended(proposals, at, body, earlier)).transpose()?;
    let most = usize::from(policy.open_max).min(PROPOSALS_OPEN_MAX);
    if proposals.live.len() - usize::from(ended.is_some()) >= most || proposals.log.full() {
        return Err(Code::ProposalLimit);
    }
    body.change.check(governance, at)?;
    let vote_by = at.plus(policy.voting_ms);
    let opened =
        ProposalEvent::Opened { proposal: proposal.clone(), policy: governance.version_at(at), vote_by };
    Ok(ended.into_iter().chain([opened]).collect())
}

/// The end of the proposal that another takes the place of. **Errors**: `GOV-0008`; `ADM-0003` for another member's; `GOV-0009` when it
/// takes no votes any more.
fn amended(
    proposals: &Proposals,
    at: OrderedMillis,
    by: &Proposal,
    earlier: Digest,
) -> Result<ProposalEvent, Code> {
    let record = proposals.get(&earlier).ok_or(Code::ProposalUnknown)?;
    if record.proposal.body.proposer != by.proposer {
        return Err(Code::Forbidden);
    }
    if record.stage != ProposalStage::Open || record.vote_by <= at {
        return Err(Code::ProposalClosed);
    }
    Ok(ProposalEvent::Closed { proposal: earlier, stage: ProposalStage::Amended { by: by.digest() } })
}

/// What the votes of an open proposal amount to now; nothing while further votes decide.
fn count(
    proposals: &Proposals,
    governance: &Governance,
    at: OrderedMillis,
    record: &ProposalRecord,
) -> Vec<ProposalEvent> {
    let proposal = record.proposal.body.digest();
    let close = |stage| vec![ProposalEvent::Closed { proposal, stage }];
    let Ok(policy) = governance.policy_of(record.policy).map(|policy| policy.proposals) else {
        return close(ProposalStage::Rejected { code: Some(Code::PolicyUnknown) });
    };
    let members = governance.registry.council.len();
    let against = record.votes.values().filter(|vote| !vote.body.approve).count();
    let approvals = record.votes.len() - against;
    let over = record.vote_by <= at;
    if carried(&policy, members, record.votes.values())
        && (over || share(policy.majority, members, approvals))
    {
        let revokes = record.proposal.body.change.revokes();
        let execute_at = if revokes { at } else { at.plus(policy.timelock_ms) };
        let mut events = vec![ProposalEvent::Accepted { proposal, execute_at }];
        if execute_at <= at {
            events.push(execute(proposals, governance, at, record));
        }
        return events;
    }
    if !share(policy.majority, members, members.saturating_sub(against)) {
        return close(ProposalStage::Rejected { code: None });
    }
    match over {
        false => vec![],
        true if !share(policy.quorum, members, record.votes.len()) => close(ProposalStage::Expired),
        true => close(ProposalStage::Rejected { code: None }),
    }
}

/// Enacts an accepted proposal, unless what governs has changed so that it does not fit.
fn execute(
    proposals: &Proposals,
    governance: &Governance,
    at: OrderedMillis,
    record: &ProposalRecord,
) -> ProposalEvent {
    let proposal = record.proposal.body.digest();
    let fits = record.proposal.body.change.check(governance, at);
    let full = if proposals.log.full() { Err(Code::ProposalLimit) } else { Ok(()) };
    if let Err(code) = fits.and(full) {
        return ProposalEvent::Closed { proposal, stage: ProposalStage::Rejected { code: Some(code) } };
    }
    let head = proposals.log.head();
    let entry = LogEntry {
        sequence: GovernanceSequence(head.sequence.0 + 1),
        previous: head.last,
        proposal: record.proposal.clone(),
        policy: record.policy,
        at,
        votes: record.votes.values().cloned().collect(),
    };
    ProposalEvent::Executed { entry }
}

/// Whether so many of the council voted, and so many of them for it, that it is carried.
pub(super) fn carried<'a>(
    policy: &ProposalPolicy,
    members: usize,
    votes: impl Iterator<Item = &'a SignedVote>,
) -> bool {
    let (mut cast, mut approvals) = (0, 0);
    for vote in votes {
        cast += 1;
        approvals += usize::from(vote.body.approve);
    }
    cast > 0 && share(policy.quorum, members, cast) && share(policy.majority, cast, approvals)
}

/// Whether a member of the council signed a document.
pub(super) fn genuine<T: Document>(
    council: &BTreeMap<ActorId, PublicKey<Member>>,
    member: &ActorId,
    document: &Signed<T, Member>,
) -> bool {
    council.get(member).is_some_and(|key| document.verify(key))
}

/// Whether a part is at least this share of a whole; both are numbers of members.
const fn share(rate: Bps, whole: usize, part: usize) -> bool {
    (part as u64) * (Bps::WHOLE.0 as u64) >= (whole as u64) * (rate.0 as u64)
}

/// When time alone moves a proposal.
const fn due(record: &ProposalRecord) -> Option<OrderedMillis> {
    match record.stage {
        ProposalStage::Open => Some(record.vote_by),
        ProposalStage::Accepted { execute_at } => Some(execute_at),
        ProposalStage::Executed { .. }
        | ProposalStage::Rejected { .. }
        | ProposalStage::Withdrawn
        | ProposalStage::Expired
        | ProposalStage::Amended { .. } => None,
    }
}
