//! The engine's words for ours: height, seat, block, vote, key.

use std::fmt;
use std::sync::Arc;

use malachite_types::{
    Address, Context, Extension, Height as HeightLike, LinearTimeouts, NilOrVal, Proposal, ProposalPart,
    Round, SignedExtension, SigningScheme, Validator, ValidatorSet, Value as ValueLike, Vote, VoteType,
    VotingPower,
};
use symphony_types::digest::Digest;
use symphony_types::key::{Consensus, PublicKey, Signature};

use super::super::block::name;
use super::super::committee::{Committee, Seat};

/// The engine's context: nothing but types.
#[derive(Clone, Debug)]
pub(super) struct Ballots;

impl Context for Ballots {
    type Address = Seat;
    type Height = Height;
    type ProposalPart = NoParts;
    type Proposal = Offer;
    type Validator = Voter;
    type ValidatorSet = Validators;
    type Timeouts = LinearTimeouts;
    type Value = Value;
    type Vote = Ballotted;
    type Extension = NoExtension;
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(&self, set: &'a Validators, _: Height, round: Round) -> &'a Voter {
        set.proposer(round.as_u32().unwrap_or(0))
    }

    fn new_proposal(
        &self,
        height: Height,
        round: Round,
        value: Value,
        pol_round: Round,
        seat: Seat,
    ) -> Offer {
        Offer { height, round, value, pol_round, seat }
    }

    fn new_prevote(&self, height: Height, round: Round, value: NilOrVal<Digest>, seat: Seat) -> Ballotted {
        Ballotted { kind: VoteType::Prevote, height, round, value, seat }
    }

    fn new_precommit(&self, height: Height, round: Round, value: NilOrVal<Digest>, seat: Seat) -> Ballotted {
        Ballotted { kind: VoteType::Precommit, height, round, value, seat }
    }
}

impl Address for Seat {}

/// A position in the chain of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Height(pub(super) u64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl HeightLike for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// A block by name, with its bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Value {
    pub(super) id: Digest,
    pub(super) block: Arc<[u8]>,
}

impl Value {
    pub(super) fn new(block: Arc<[u8]>) -> Self {
        Self { id: name(&block), block }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({})", self.id)
    }
}

impl ValueLike for Value {
    type Id = Digest;

    fn id(&self) -> Digest {
        self.id
    }
}

/// A block offered in a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) height: Height,
    pub(super) round: Round,
    pub(super) value: Value,
    pub(super) pol_round: Round,
    pub(super) seat: Seat,
}

impl Proposal<Ballots> for Offer {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &Value {
        &self.value
    }

    fn take_value(self) -> Value {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Seat {
        &self.seat
    }
}

/// A vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ballotted {
    pub(super) kind: VoteType,
    pub(super) height: Height,
    pub(super) round: Round,
    pub(super) value: NilOrVal<Digest>,
    pub(super) seat: Seat,
}

impl Vote<Ballots> for Ballotted {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<Digest> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<Digest> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Seat {
        &self.seat
    }

    fn extension(&self) -> Option<&SignedExtension<Ballots>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Ballots>> {
        None
    }

    fn extend(self, _: SignedExtension<Ballots>) -> Self {
        self
    }
}

/// A seat with its key. All seats weigh the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Voter {
    seat: Seat,
    key: PublicKey<Consensus>,
}

impl Validator<Ballots> for Voter {
    fn address(&self) -> &Seat {
        &self.seat
    }

    fn public_key(&self) -> &PublicKey<Consensus> {
        &self.key
    }

    fn voting_power(&self) -> VotingPower {
        1
    }
}

/// The committee of a height, with who leads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validators {
    voters: Arc<[Voter]>,
    leader: Seat,
}

impl Validators {
    pub(super) fn new(committee: &Committee, leader: Seat) -> Self {
        let voters = committee.seats().zip(&committee.members);
        Self { voters: voters.map(|(seat, member)| Voter { seat, key: member.key }).collect(), leader }
    }

    fn proposer(&self, round: u32) -> &Voter {
        let turn = usize::from(self.leader.0) + round as usize % self.voters.len();
        &self.voters[turn % self.voters.len()]
    }
}

impl ValidatorSet<Ballots> for Validators {
    fn count(&self) -> usize {
        self.voters.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        self.voters.len() as VotingPower
    }

    fn get_by_address(&self, seat: &Seat) -> Option<&Voter> {
        self.voters.get(usize::from(seat.0))
    }

    fn get_by_index(&self, index: usize) -> Option<&Voter> {
        self.voters.get(index)
    }
}

/// A signature in the engine's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signed(pub(super) Signature);

impl PartialOrd for Signed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Signed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.0.cmp(&other.0.0)
    }
}

/// Names the types of keys; the engine never holds a private one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ed25519;

/// Bytes of the wrong length.
#[derive(Debug)]
pub(super) struct WrongLength;

impl fmt::Display for WrongLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrong length")
    }
}

impl SigningScheme for Ed25519 {
    type DecodingError = WrongLength;
    type Signature = Signed;
    type PublicKey = PublicKey<Consensus>;
    type PrivateKey = ();

    fn decode_signature(bytes: &[u8]) -> Result<Signed, WrongLength> {
        bytes.try_into().map(|bytes| Signed(Signature(bytes))).map_err(|_| WrongLength)
    }

    fn encode_signature(signature: &Signed) -> Vec<u8> {
        signature.0.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey<Consensus>, WrongLength> {
        bytes.try_into().map(PublicKey::from_bytes).map_err(|_| WrongLength)
    }

    fn encode_public_key(key: &PublicKey<Consensus>) -> Vec<u8> {
        key.as_bytes().to_vec()
    }
}

/// Blocks are not sent in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoParts;

impl ProposalPart<Ballots> for NoParts {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

/// Votes carry nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NoExtension;

impl Extension for NoExtension {
    fn size_bytes(&self) -> usize {
        0
    }
}
