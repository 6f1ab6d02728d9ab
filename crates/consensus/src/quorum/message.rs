//! What masters tell each other, and its bytes (R195, R206, R213).

use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::key::Signature;

use super::block::BLOCK_BYTES_MAX;
use super::committee::{Ballot, Certificate, Rotation, SEATS_MAX, Seat, Step};
use super::replica::Place;
use crate::entry::{Head, decode};

/// The version of these messages; another one is refused.
pub const VERSION: u32 = 1;
/// Bytes of one message at most: a page of decided blocks, or one of full size.
pub const MESSAGE_BYTES_MAX: usize = 2 * BLOCK_BYTES_MAX;

/// A message with the cluster that it belongs to. Who sent it is known from the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The version of the messages.
    pub version: u32,
    /// The cluster.
    pub cluster: Digest,
    /// What is said.
    pub message: Message,
}

impl Envelope {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::to_bytes(self)
    }

    /// Reads a message of this cluster. **Errors**: [`Unreadable`].
    pub fn from_bytes(bytes: &[u8], cluster: &Digest) -> Result<Message, Unreadable> {
        let envelope: Self = decode(bytes, MESSAGE_BYTES_MAX).ok_or(Unreadable::Malformed)?;
        if envelope.version != VERSION {
            return Err(Unreadable::Version(envelope.version));
        }
        if envelope.cluster != *cluster {
            return Err(Unreadable::Cluster);
        }
        let signatures = match &envelope.message {
            Message::Polka(certificate) => certificate.signatures.len(),
            Message::Skip(skip) => skip.votes.len(),
            _ => 0,
        };
        if signatures > SEATS_MAX { Err(Unreadable::Malformed) } else { Ok(envelope.message) }
    }
}

/// Why bytes are not a message of this cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not a message, or one over its limits.
    #[error("not a message within its limits")]
    Malformed,
    /// Of another version.
    #[error("message version {0} is not spoken here")]
    Version(u32),
    /// Of another cluster.
    #[error("message of another cluster")]
    Cluster,
}

/// What one master tells another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The block of a round.
    Proposal(Proposal),
    /// A vote.
    Vote(Vote),
    /// A quorum of prevotes.
    Polka(Certificate),
    /// Why a round is skipped.
    Skip(Skip),
    /// Commands for the leader's next block: ticket and canonical bytes.
    Forward(Vec<(u64, Vec<u8>)>),
    /// The leader found nothing to order in these, at that height.
    Dropped {
        /// The tickets.
        tickets: Vec<u64>,
        /// The height of the last block that it knew.
        height: u64,
    },
    /// A restarted guard asks for its seat.
    Rotate(Rotation),
    /// The last block that the sender has decided.
    Status {
        /// Its height.
        height: u64,
    },
    /// Asks for the blocks after a height.
    Ask {
        /// The last one that the sender has.
        after: u64,
    },
    /// Decided blocks in order, each with its certificate.
    Decided(Vec<(Vec<u8>, Certificate)>),
    /// Asks for a part of a state, because the blocks until there would be too many.
    AskState {
        /// The last block that the sender has.
        after: u64,
        /// Which part, counted from zero.
        part: u32,
        /// The end of the journal of the state that earlier parts were of.
        of: Option<Digest>,
    },
    /// A part of a state.
    State(Box<StatePart>),
}

/// A part of the canonical bytes of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePart {
    /// The end of the journal that the state belongs to.
    pub head: Head,
    /// Which part, counted from zero.
    pub part: u32,
    /// How many there are.
    pub parts: u32,
    /// Its bytes.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
    /// With the first part: what proves the state.
    pub proof: Option<Proof>,
}

/// The block that was decided on top of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Where the cluster stood at the state.
    pub place: Place,
    /// Canonical bytes of the next block.
    #[serde(with = "serde_bytes")]
    pub block: Vec<u8>,
    /// Its certificate.
    pub certificate: Certificate,
}

/// The block of a round, signed by its proposer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The proposer of the round.
    pub seat: Seat,
    /// The height.
    pub height: u64,
    /// The round.
    pub round: u32,
    /// The round of the polka that the block had before, if any.
    pub pol_round: Option<u32>,
    /// Canonical bytes of the block.
    #[serde(with = "serde_bytes")]
    pub block: Vec<u8>,
    /// Over the ballot of [`Step::Propose`].
    pub signature: Signature,
}

/// A vote for a block, or for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who votes.
    pub seat: Seat,
    /// The height.
    pub height: u64,
    /// The round.
    pub round: u32,
    /// Prevote or precommit.
    pub step: Step,
    /// The block; `None` for none.
    pub block: Option<Digest>,
    /// Over the ballot.
    pub signature: Signature,
}

impl Vote {
    /// What was signed.
    pub fn ballot(&self, cluster: Digest) -> Ballot {
        Ballot { cluster, height: self.height, round: self.round, step: self.step, block: self.block }
    }
}

/// Votes that justify leaving a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// The height.
    pub height: u64,
    /// The round of the votes.
    pub round: u32,
    /// Whether they are a quorum of precommits; else votes that show others further on.
    pub precommits: bool,
    /// The votes.
    pub votes: Vec<Vote>,
}

impl Message {
    /// The height of a consensus message; `None` for the rest.
    pub fn height(&self) -> Option<u64> {
        match self {
            Self::Proposal(proposal) => Some(proposal.height),
            Self::Vote(vote) => Some(vote.height),
            Self::Polka(polka) => Some(polka.height),
            Self::Skip(skip) => Some(skip.height),
            _ => None,
        }
    }
}
