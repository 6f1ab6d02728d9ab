//! Messages of the engine as messages of the cluster, and back.

use malachite_types::{NilOrVal, Round, RoundCertificate, RoundCertificateType, SignedVote, VoteType};
use symphony_types::digest::Digest;
use symphony_types::key::Signature;

use super::super::committee::{Seat, Step};
use super::super::message::{Skip, Vote};
use super::context::{Ballots, Ballotted, Height, Signed};

pub(super) fn sorted(signatures: impl Iterator<Item = (Seat, Signature)>) -> Vec<(Seat, Signature)> {
    let mut signatures: Vec<_> = signatures.collect();
    signatures.sort_by_key(|(seat, _)| *seat);
    signatures.dedup_by_key(|(seat, _)| *seat);
    signatures
}

pub(super) fn plain_vote(vote: &SignedVote<Ballots>) -> Vote {
    Vote {
        seat: vote.seat,
        height: vote.height.0,
        round: number(vote.round),
        step: step(vote.kind),
        block: from_engine(&vote.value),
        signature: vote.signature.0,
    }
}

pub(super) fn plain_skip(certificate: &RoundCertificate<Ballots>) -> Skip {
    let (height, round) = (certificate.height.0, number(certificate.round));
    let votes = certificate.round_signatures.iter().map(|vote| Vote {
        seat: vote.address,
        height,
        round,
        step: step(vote.vote_type),
        block: from_engine(&vote.value_id),
        signature: vote.signature.0,
    });
    let precommits = certificate.cert_type == RoundCertificateType::Precommit;
    Skip { height, round, precommits, votes: votes.collect() }
}

pub(super) fn signed_vote(vote: &Vote) -> Option<SignedVote<Ballots>> {
    let kind = match vote.step {
        Step::Prevote => VoteType::Prevote,
        Step::Precommit => VoteType::Precommit,
        Step::Propose => return None,
    };
    let plain = Ballotted {
        kind,
        height: Height(vote.height),
        round: Round::new(vote.round),
        value: to_engine(vote.block),
        seat: vote.seat,
    };
    Some(SignedVote::new(plain, Signed(vote.signature)))
}

pub(super) fn step(kind: VoteType) -> Step {
    match kind {
        VoteType::Prevote => Step::Prevote,
        VoteType::Precommit => Step::Precommit,
    }
}

pub(super) fn number(round: Round) -> u32 {
    round.as_u32().unwrap_or(0)
}

pub(super) fn to_engine(block: Option<Digest>) -> NilOrVal<Digest> {
    block.map_or(NilOrVal::Nil, NilOrVal::Val)
}

pub(super) fn from_engine(value: &NilOrVal<Digest>) -> Option<Digest> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(block) => Some(*block),
    }
}
