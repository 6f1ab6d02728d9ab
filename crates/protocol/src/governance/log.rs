//! The append-only log of what governance changed, its Merkle tree, and how a node that takes no part in ordering follows it
//! (R129, R191, R194, R195).
//!
//! An entry has the signed proposal and the votes, so whoever has the governance that a network was founded with can check
//! each change again and enact it. That these are all entries there are is the word of a majority of the masters, on the head
//! of the log.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{GovernanceSequence, PolicyVersion};
use symphony_types::key::{Document, Endorsed, Master};
use symphony_types::limits::{COUNCIL_MAX, GOVERNANCE_LOG_MAX};
use symphony_types::merkle::{self, Frontier};
use symphony_types::table::{Table, Value};
use symphony_types::time::OrderedMillis;

use super::Governance;
use super::approval::Mark;
use super::change::Change;
use super::proposal::{self, SignedProposal, SignedVote};

/// One change that was enacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// Its place, from one.
    pub sequence: GovernanceSequence,
    /// Digest of the entry before; of the first one: digest of the governance that the network was founded with.
    pub previous: Digest,
    /// What was proposed, with the change.
    pub proposal: SignedProposal,
    /// The policy that the votes were counted by.
    pub policy: PolicyVersion,
    /// When it was enacted.
    pub at: OrderedMillis,
    /// The votes, in the order of the members' names.
    pub votes: Vec<SignedVote>,
}

impl Document for LogEntry {
    const TAG: &'static str = "symphony/governance-entry/v1";
}

impl Value for LogEntry {}

impl LogEntry {
    /// What the registry notes of the change.
    pub fn mark(&self) -> Mark {
        Mark { sequence: self.sequence, at: self.at, by: self.proposal.body.digest() }
    }

    /// The entry's leaf in the tree.
    pub fn leaf(&self) -> Digest {
        merkle::leaf(&self.digest().0)
    }
}

/// The whole log in few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// Digest of the governance that the network was founded with.
    pub foundation: Digest,
    /// How many entries there are.
    pub sequence: GovernanceSequence,
    /// Digest of the last one; of an empty log the foundation.
    pub last: Digest,
    /// Root of the tree over all of them.
    pub root: Digest,
}

impl Document for LogHead {
    const TAG: &'static str = "symphony/governance-head/v1";
}

/// A head that masters endorse.
pub type EndorsedHead = Endorsed<LogHead, Master>;

/// Where governance stood when a majority of the masters gave an order. It goes with the order, so that whoever withholds a
/// revocation cannot have the order carried out either (R129).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Digest of the order.
    pub order: Digest,
    /// Digest of the governance that the network was founded with.
    pub foundation: Digest,
    /// The last entry.
    pub sequence: GovernanceSequence,
    /// Its digest.
    pub last: Digest,
}

impl Document for Standing {
    const TAG: &'static str = "symphony/governance-standing/v1";
}

/// A standing that masters endorse.
pub type EndorsedStanding = Endorsed<Standing, Master>;

/// The digest that names a governance: that of the founding one names the network.
pub fn governance_digest(governance: &Governance) -> Digest {
    Digest::of("symphony/governance/v1", governance)
}

/// What a node says that brings another up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogUpdate {
    /// Entries in order; the first one need not be new.
    pub entries: Vec<LogEntry>,
    /// The head after the last of them.
    pub head: EndorsedHead,
}

/// The log as the masters keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    foundation: Digest,
    last: Digest,
    entries: Table<GovernanceSequence, LogEntry>,
    frontier: Frontier,
}

impl Log {
    /// An empty log over the governance that a network is founded with.
    pub fn new(founded: &Governance) -> Self {
        let foundation = governance_digest(founded);
        Self { foundation, last: foundation, entries: Table::new(), frontier: Frontier::default() }
    }

    /// Names the network.
    pub const fn foundation(&self) -> Digest {
        self.foundation
    }

    /// The head.
    pub fn head(&self) -> LogHead {
        let sequence = GovernanceSequence(self.frontier.count());
        LogHead { foundation: self.foundation, sequence, last: self.last, root: self.frontier.root() }
    }

    /// Where governance stands, for an order.
    pub fn standing(&self, order: Digest) -> Standing {
        let LogHead { foundation, sequence, last, root: _ } = self.head();
        Standing { order, foundation, sequence, last }
    }

    /// Whether no further entry fits.
    pub fn full(&self) -> bool {
        self.entries.len() >= GOVERNANCE_LOG_MAX
    }

    /// The entry at a place.
    pub fn entry(&self, sequence: GovernanceSequence) -> Option<&LogEntry> {
        self.entries.get(&sequence)
    }

    /// All entries in order.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &LogEntry> + Clone {
        self.entries.values()
    }

    /// The entries that a task admitted at this place rests on.
    pub fn until(&self, sequence: GovernanceSequence) -> Vec<LogEntry> {
        self.entries().take_while(|entry| entry.sequence <= sequence).cloned().collect()
    }

    /// Entries after a place that were enacted by a moment, as far as they tell which policy was in force then: the last of
    /// them adopts one.
    pub fn adoptions(&self, after: GovernanceSequence, by: OrderedMillis) -> Vec<LogEntry> {
        let later = self.entries().filter(|entry| entry.sequence > after && entry.at <= by);
        let mut later: Vec<_> = later.cloned().collect();
        let adopts = |entry: &LogEntry| matches!(entry.proposal.body.change, Change::AdoptPolicy { .. });
        later.truncate(later.iter().rposition(adopts).map_or(0, |last| last + 1));
        later
    }

    /// Appends an entry. Whoever makes entries makes them fit.
    pub fn append(&mut self, entry: LogEntry) {
        assert!(entry.previous == self.last, "an entry of the governance log follows the one before it");
        self.last = entry.digest();
        self.frontier.push(entry.leaf());
        self.entries.insert(entry.sequence, entry);
    }

    /// The audit path of an entry in the tree over all of them; `None` when there is no such entry.
    pub fn inclusion(&self, sequence: GovernanceSequence) -> Option<Vec<Digest>> {
        let index = usize::try_from(sequence.0.checked_sub(1)?).ok()?;
        merkle::inclusion_proof(&self.leaves(), index)
    }

    /// What shows that the log once ended at this place; `None` when it is shorter.
    pub fn consistency(&self, sequence: GovernanceSequence) -> Option<Vec<Digest>> {
        merkle::consistency_proof(&self.leaves(), usize::try_from(sequence.0).ok()?)
    }

    fn leaves(&self) -> Vec<Digest> {
        self.entries().map(LogEntry::leaf).collect()
    }

    /// Digest of the log; it costs what has changed.
    pub fn digest(&mut self) -> Digest {
        Digest::of("symphony/governance-log/v1", &(self.foundation, self.entries.digest(), &self.frontier))
    }
}

/// Whether the proof shows an entry of the log with this head.
pub fn includes(head: &LogHead, entry: &LogEntry, path: &[Digest]) -> bool {
    let Some(index) = entry.sequence.0.checked_sub(1) else { return false };
    merkle::verify_inclusion(head.root, entry.leaf(), index, head.sequence.0, path)
}

/// Whether the log of the first head is the beginning of that of the second.
pub fn extends(before: &LogHead, after: &LogHead, path: &[Digest]) -> bool {
    before.foundation == after.foundation
        && merkle::verify_consistency(before.sequence.0, before.root, after.sequence.0, after.root, path)
}

/// Governance as a node knows it that follows the log and takes no part in ordering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    governance: Governance,
    foundation: Digest,
    last: Digest,
    frontier: Frontier,
}

impl Followed {
    /// The governance that the network was founded with: nothing is known of the log.
    pub fn new(founded: Governance) -> Self {
        let foundation = governance_digest(&founded);
        Self { governance: founded, foundation, last: foundation, frontier: Frontier::default() }
    }

    /// What governs.
    pub const fn governance(&self) -> &Governance {
        &self.governance
    }

    /// The head of the log as far as it is known.
    pub fn head(&self) -> LogHead {
        let (sequence, root) = (self.governance.sequence, self.frontier.root());
        LogHead { foundation: self.foundation, sequence, last: self.last, root }
    }

    /// Checks the next entry and enacts it: the council voted for it, and it fits what governs. **Errors**: `GOV-0015`.
    pub fn enact(&mut self, entry: &LogEntry) -> Result<(), Code> {
        let next = entry.sequence.0 == self.governance.sequence.0.saturating_add(1);
        if !next || entry.previous != self.last || self.frontier.count() >= GOVERNANCE_LOG_MAX as u64 {
            return Err(Code::GovernanceForged);
        }
        if !carried(&self.governance, self.foundation, entry) {
            return Err(Code::GovernanceForged);
        }
        entry.proposal.body.change.check(&self.governance, entry.at).map_err(|_| Code::GovernanceForged)?;
        self.governance.enact(entry);
        self.last = entry.digest();
        self.frontier.push(entry.leaf());
        Ok(())
    }

    /// The same with all entries that are new of an update whose head a majority of the masters endorses; all of it, or
    /// nothing. An update that ends at what is known, or before, changes nothing. The new entries come back. **Errors**:
    /// `GOV-0015`; `GOV-0014` when entries between are missing.
    pub fn follow<'a>(&mut self, update: &'a LogUpdate) -> Result<&'a [LogEntry], Code> {
        let head = &update.head.body;
        if !self.governance.registry.endorsed(&update.head) || head.foundation != self.foundation {
            return Err(Code::GovernanceForged);
        }
        let known = self.governance.sequence;
        if head.sequence <= known {
            return Ok(&[]);
        }
        let new = update.entries.iter().position(|entry| entry.sequence.0 == known.0.saturating_add(1));
        let new = &update.entries[new.ok_or(Code::GovernanceBehind)?..];
        let mut followed = self.clone();
        new.iter().try_for_each(|entry| followed.enact(entry))?;
        if followed.head() != *head {
            return Err(Code::GovernanceForged);
        }
        *self = followed;
        Ok(new)
    }

    /// Whether an order rests on exactly what is known here: not on less, which may lack a revocation, and not on more, which
    /// cannot be judged. **Errors**: `ADM-0003` when it is not the masters' word on this order, `GOV-0014`.
    pub fn check(&self, standing: &EndorsedStanding, order: Digest) -> Result<(), Code> {
        let body = &standing.body;
        if body.order != order
            || body.foundation != self.foundation
            || !self.governance.registry.endorsed(standing)
        {
            return Err(Code::Forbidden);
        }
        if body.sequence != self.governance.sequence {
            return Err(Code::GovernanceBehind);
        }
        if body.last == self.last { Ok(()) } else { Err(Code::GovernanceForged) }
    }
}

/// What governed after these entries. **Errors**: `GOV-0015` at the first entry that does not verify.
pub fn replay(founded: &Governance, entries: &[LogEntry]) -> Result<Governance, Code> {
    let mut followed = Followed::new(founded.clone());
    entries.iter().try_for_each(|entry| followed.enact(entry))?;
    Ok(followed.governance)
}

/// Whether the council that governs decided so: the proposal and each vote are its members' own, and the votes suffice.
fn carried(governance: &Governance, foundation: Digest, entry: &LogEntry) -> bool {
    let council = &governance.registry.council;
    let Ok(policy) = governance.policy_of(entry.policy) else { return false };
    let id = entry.proposal.body.digest();
    let sound = entry.votes.len() <= COUNCIL_MAX
        && canonical::to_bytes(&entry.proposal).len() <= symphony_types::limits::PROPOSAL_BYTES_MAX
        && entry.proposal.body.foundation == foundation
        && proposal::genuine(council, &entry.proposal.body.proposer, &entry.proposal)
        && entry.votes.is_sorted_by(|one, next| one.body.voter < next.body.voter)
        && entry
            .votes
            .iter()
            .all(|vote| vote.body.proposal == id && proposal::genuine(council, &vote.body.voter, vote));
    sound && proposal::carried(&policy.proposals, council.len(), entry.votes.iter())
}
