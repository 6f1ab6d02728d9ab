//! Who votes: the seats of a cluster, the keys of their guards, and what two thirds of them have signed
//! (R007, R198, R205).
//!
//! A quorum is more than half. Three seats bear one that lies, because a vote is signed by a guard that cannot:
//! see [`super::guard`].

use std::fmt;

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::id::NodeId;
use symphony_types::key::{Consensus, Document, PublicKey, Signature, Signed, SoftwarePlatform};

/// The most seats that a cluster has.
pub const SEATS_MAX: usize = 7;

/// A place in the committee, counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seat(pub u8);

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seat {}", self.0)
    }
}

/// One master's place and the key that votes there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The master.
    pub node: NodeId,
    /// The key of its guard.
    pub key: PublicKey<Consensus>,
    /// Signs what a guard on this master says of itself at its start. Class `software`: no hardware vouches.
    pub platform: PublicKey<SoftwarePlatform>,
    /// The first height that the key may vote at.
    pub since: u64,
    /// What the guard said of itself; `None` for the key of the founding.
    pub boot: Option<Signed<GuardBoot, SoftwarePlatform>>,
}

/// What a guard says of itself when it starts with a new key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardBoot {
    /// The cluster that it votes in.
    pub cluster: Digest,
    /// The master that it votes for.
    pub node: NodeId,
    /// Its new key, which never leaves it.
    pub key: PublicKey<Consensus>,
    /// Drawn at this start, so that no two starts are the same.
    pub nonce: Digest,
}

impl Document for GuardBoot {
    const TAG: &'static str = "symphony/guard-boot/v1";
}

/// Gives a seat to the key of a restarted guard, from the next height on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Whose key changes.
    pub seat: Seat,
    /// What the new guard says of itself.
    pub boot: Signed<GuardBoot, SoftwarePlatform>,
}

/// The seats of a cluster at one height.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committee {
    /// Names the cluster in everything that is signed.
    pub cluster: Digest,
    /// The members by seat.
    pub members: Vec<Member>,
}

impl Committee {
    /// The committee that a cluster starts with. `genesis` is the root of its genesis.
    pub fn founding(genesis: Digest, members: Vec<Member>) -> Self {
        let named: Vec<_> = members.iter().map(|m| (&m.node, &m.key, &m.platform)).collect();
        let cluster = Digest::of("symphony/cluster/v1", &(genesis, named));
        Self { cluster, members }
    }

    /// How many seats must agree: more than half.
    pub fn quorum(&self) -> usize {
        self.members.len() / 2 + 1
    }

    /// The member in a seat.
    pub fn member(&self, seat: Seat) -> Option<&Member> {
        self.members.get(usize::from(seat.0))
    }

    /// All seats.
    pub fn seats(&self) -> impl Iterator<Item = Seat> + use<> {
        (0..u8::try_from(self.members.len()).unwrap_or(u8::MAX)).map(Seat)
    }

    /// The seat of a master.
    pub fn seat_of(&self, node: &NodeId) -> Option<Seat> {
        self.seats().find(|seat| self.member(*seat).is_some_and(|member| member.node == *node))
    }

    /// Who proposes in a round, when `leader` proposes in the first.
    pub fn proposer(&self, leader: Seat, round: u32) -> Seat {
        let count = u32::try_from(self.members.len()).unwrap_or(u32::MAX).max(1);
        let seat = (u32::from(leader.0) % count + round % count) % count;
        Seat(u8::try_from(seat).unwrap_or(0))
    }

    /// Whether a rotation is one: another key of the same master, vouched for by its platform.
    pub fn admits(&self, rotation: &Rotation) -> bool {
        let Some(member) = self.member(rotation.seat) else { return false };
        let boot = &rotation.boot;
        boot.body.cluster == self.cluster
            && boot.body.node == member.node
            && self.members.iter().all(|member| member.key != boot.body.key)
            && boot.verify(&member.platform)
    }

    /// The committee after a block of `height` with these rotations. **Errors**: `None` when one is not admitted
    /// or a seat rotates twice.
    pub fn rotated(&self, height: u64, rotations: &[Rotation]) -> Option<Self> {
        let mut next = self.clone();
        for (index, rotation) in rotations.iter().enumerate() {
            if rotations[..index].iter().any(|other| other.seat == rotation.seat) || !next.admits(rotation) {
                return None;
            }
            let member = next.members.get_mut(usize::from(rotation.seat.0))?;
            member.key = rotation.boot.body.key;
            member.since = height + 1;
            member.boot = Some(rotation.boot.clone());
        }
        Some(next)
    }

    /// Whether this is `founding` with nothing but attested keys in its seats. Says nothing of which rotations
    /// were decided.
    pub fn descends_from(&self, founding: &Self) -> bool {
        self.cluster == founding.cluster
            && self.members.len() == founding.members.len()
            && self.members.iter().zip(&founding.members).all(|(now, then)| {
                now.node == then.node
                    && now.platform == then.platform
                    && match &now.boot {
                        None => now.key == then.key && now.since == then.since,
                        Some(boot) => {
                            boot.body.cluster == self.cluster
                                && boot.body.node == now.node
                                && boot.body.key == now.key
                                && boot.verify(&now.platform)
                        }
                    }
            })
    }

    /// Whether a seat signed a ballot with the key that it has at that height.
    pub fn signed(&self, seat: Seat, ballot: &Ballot, signature: &Signature) -> bool {
        self.member(seat).is_some_and(|member| member.key.verifies(&ballot.digest(), signature))
    }

    /// Whether a quorum signed what the certificate says, each seat once.
    pub fn certifies(&self, certificate: &Certificate) -> bool {
        let signatures = &certificate.signatures;
        let ballot = Ballot {
            cluster: self.cluster,
            height: certificate.height,
            round: certificate.round,
            step: certificate.step,
            block: Some(certificate.block),
        };
        signatures.len() >= self.quorum()
            && signatures.len() <= self.members.len()
            && signatures.windows(2).all(|pair| pair[0].0 < pair[1].0)
            && signatures.iter().all(|(seat, signature)| self.signed(*seat, &ballot, signature))
    }
}

/// Which of a round's statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Step {
    /// The proposer's value.
    Propose,
    /// The first vote.
    Prevote,
    /// The vote that decides.
    Precommit,
}

/// What is signed: one statement of a seat in one step. `None` is a vote for no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ballot {
    /// The cluster.
    pub cluster: Digest,
    /// The height.
    pub height: u64,
    /// The round of that height.
    pub round: u32,
    /// The step of that round.
    pub step: Step,
    /// The block.
    pub block: Option<Digest>,
}

impl Ballot {
    /// What it may be cast in once.
    pub(super) fn slot(&self) -> (Digest, u64, u32, Step) {
        (self.cluster, self.height, self.round, self.step)
    }
}

impl Document for Ballot {
    const TAG: &'static str = "symphony/ballot/v1";
}

/// Signatures of a quorum for one block in one step: of prevotes a polka, of precommits the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The height.
    pub height: u64,
    /// The round.
    pub round: u32,
    /// Prevote or precommit.
    pub step: Step,
    /// The block.
    pub block: Digest,
    /// Signatures in ascending order of seats.
    pub signatures: Vec<(Seat, Signature)>,
}
