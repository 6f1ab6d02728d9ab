//! One input's way through the engine: what it wants done, signed or verified (R007, R198).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use malachite::{Effect, LivenessMsg, Resumable, Resume, SignedConsensusMsg};
use malachite_types::{
    CertificateError, Round, RoundCertificate, RoundCertificateType, SignedMessage, SignedProposal,
    SignedVote, Timeout, TimeoutKind, VoteType,
};
use symphony_types::digest::Digest;
use symphony_types::key::Signature;

use super::super::committee::{Ballot, Certificate, Committee, Seat, Step};
use super::super::guard::{Ask, Kept, Refusal, VoteGuard};
use super::super::message::{Message, Proposal};
use super::context::{Ballots, Ballotted, Height, Offer, Signed};
use super::plain::{from_engine, number, plain_skip, plain_vote, sorted, step};
use super::{Counts, Output, Seen, Timing};

/// One input's way through the engine.
pub(super) struct Run<'a> {
    pub(super) committee: Arc<Committee>,
    pub(super) timing: Timing,
    pub(super) timers: &'a mut Vec<(u64, Timeout)>,
    pub(super) seen: &'a mut Seen,
    pub(super) proposal: &'a mut Option<Proposal>,
    pub(super) blocks: &'a BTreeMap<Digest, Arc<[u8]>>,
    pub(super) counts: &'a mut Counts,
    pub(super) running: &'a mut bool,
    pub(super) guard: &'a mut dyn VoteGuard,
    pub(super) now: u64,
    pub(super) outputs: Vec<Output>,
    pub(super) decided: Option<Certificate>,
}

impl Run<'_> {
    pub(super) fn perform(&mut self, effect: Effect<Ballots>) -> Result<Resume<Ballots>, fmt::Error> {
        Ok(match effect {
            Effect::CancelAllTimeouts(r) => {
                self.timers.clear();
                r.resume_with(())
            }
            Effect::CancelTimeout(timeout, r) => {
                self.timers.retain(|(_, other)| *other != timeout);
                r.resume_with(())
            }
            Effect::ScheduleTimeout(timeout, r) => {
                self.timers.retain(|(_, other)| *other != timeout);
                self.timers.push((self.now + self.wait(timeout), timeout));
                r.resume_with(())
            }
            Effect::StartRound(_, round, _, _, r) => {
                self.counts.view_changes += u64::from(round > Round::new(0));
                r.resume_with(())
            }
            Effect::PublishConsensusMsg(message, r) => {
                self.publish(message);
                r.resume_with(())
            }
            Effect::PublishLivenessMsg(message, r) => {
                self.publish_liveness(message);
                r.resume_with(())
            }
            Effect::RepublishVote(vote, r) => {
                self.repeat(&vote);
                r.resume_with(())
            }
            Effect::RepublishRoundCertificate(certificate, r) => {
                self.publish_liveness(LivenessMsg::SkipRoundCertificate(certificate));
                r.resume_with(())
            }
            Effect::GetValue(_, round, _, r) => {
                self.outputs.push(Output::Propose { round: number(round) });
                r.resume_with(())
            }
            Effect::Decide(certificate, _, r) => {
                self.decided = Some(Certificate {
                    height: certificate.height.0,
                    round: number(certificate.round),
                    step: Step::Precommit,
                    block: certificate.value_id,
                    signatures: sorted(
                        certificate.commit_signatures.iter().map(|s| (s.address, s.signature.0)),
                    ),
                });
                r.resume_with(())
            }
            Effect::Finalize(.., r) => {
                *self.running = false;
                r.resume_with(())
            }
            Effect::SignVote(vote, r) => r.resume_with(self.sign_vote(vote)),
            Effect::SignProposal(offer, r) => r.resume_with(self.sign_offer(offer)),
            Effect::VerifySignature(message, _, r) => r.resume_with(self.verify(&message)),
            Effect::VerifyCommitCertificate(certificate, _, _, r) => {
                let votes = certificate.commit_signatures.iter().map(|s| (s.address, s.signature.0));
                r.resume_with(self.verify_all(
                    certificate.height,
                    certificate.round,
                    Step::Precommit,
                    votes.map(|(seat, signature)| (seat, Some(certificate.value_id), signature)),
                ))
            }
            Effect::VerifyPolkaCertificate(certificate, _, _, r) => {
                let votes = certificate.polka_signatures.iter().map(|s| (s.address, s.signature.0));
                let holds = self.verify_all(
                    certificate.height,
                    certificate.round,
                    Step::Prevote,
                    votes.clone().map(|(seat, signature)| (seat, Some(certificate.value_id), signature)),
                );
                if holds.is_ok() {
                    for (seat, signature) in votes {
                        self.seen.note(number(certificate.round), certificate.value_id, seat, signature);
                    }
                }
                r.resume_with(holds)
            }
            Effect::VerifyRoundCertificate(certificate, _, _, r) => {
                r.resume_with(self.verify_round(&certificate))
            }
            Effect::RestreamProposal(.., r)
            | Effect::CertVerifiedSyncValue(_, _, r)
            | Effect::CertRejectedSyncValue(_, _, _, r)
            | Effect::WalAppend(_, _, r) => r.resume_with(()),
            Effect::VerifyExtendedCommitCertificate(.., r) => {
                r.resume_with(Err(CertificateError::VerificationError(None)))
            }
            Effect::ExtendVote(.., r) => r.resume_with(None),
            Effect::VerifyVoteExtension(.., r) => {
                r.resume_with(Err(malachite::VoteExtensionError::InvalidVoteExtension))
            }
        })
    }

    /// How long a step waits. Once a quorum precommitted to nothing no block can be decided in that round any more, and
    /// waiting for the rest of its votes changes nothing.
    fn wait(&self, timeout: Timeout) -> u64 {
        let empty = || self.seen.verified.empty_precommits(number(timeout.round));
        if timeout.kind == TimeoutKind::Precommit && empty() >= self.committee.quorum() {
            return 0;
        }
        self.timing.after(timeout)
    }

    fn publish(&mut self, message: SignedConsensusMsg<Ballots>) {
        match message {
            SignedConsensusMsg::Vote(vote) if vote.signature.0 != WITHHELD => {
                self.outputs.push(Output::Publish(Message::Vote(plain_vote(&vote))));
            }
            SignedConsensusMsg::Proposal(offer) if offer.signature.0 != WITHHELD => {
                let proposal = Proposal {
                    seat: offer.seat,
                    height: offer.height.0,
                    round: number(offer.round),
                    pol_round: offer.pol_round.as_u32(),
                    block: offer.value.block.to_vec(),
                    signature: offer.signature.0,
                };
                *self.proposal = Some(proposal.clone());
                self.outputs.push(Output::Publish(Message::Proposal(proposal)));
            }
            SignedConsensusMsg::Vote(_) | SignedConsensusMsg::Proposal(_) => {}
        }
    }

    fn publish_liveness(&mut self, message: LivenessMsg<Ballots>) {
        let message = match message {
            LivenessMsg::Vote(vote) if vote.signature.0 == WITHHELD => return,
            LivenessMsg::Vote(vote) => Message::Vote(plain_vote(&vote)),
            LivenessMsg::PolkaCertificate(polka) => Message::Polka(Certificate {
                height: polka.height.0,
                round: number(polka.round),
                step: Step::Prevote,
                block: polka.value_id,
                signatures: sorted(polka.polka_signatures.iter().map(|s| (s.address, s.signature.0))),
            }),
            LivenessMsg::SkipRoundCertificate(certificate) => Message::Skip(plain_skip(&certificate)),
        };
        self.outputs.push(Output::Publish(message));
    }

    /// Says the last vote again, and the proposal with it: who restarted has neither.
    fn repeat(&mut self, vote: &SignedVote<Ballots>) {
        if vote.signature.0 == WITHHELD {
            return;
        }
        if let Some(proposal) = self.proposal.as_ref() {
            self.outputs.push(Output::Publish(Message::Proposal(proposal.clone())));
        }
        self.outputs.push(Output::Publish(Message::Vote(plain_vote(vote))));
    }

    fn sign_vote(&mut self, vote: Ballotted) -> SignedVote<Ballots> {
        let (height, round) = (vote.height.0, number(vote.round));
        let block = from_engine(&vote.value);
        let polka = match (vote.kind, block) {
            (VoteType::Precommit, Some(block)) => self.seen.polka(&self.committee, height, round, block),
            (VoteType::Prevote, Some(block)) => self.seen.polka_before(&self.committee, height, round, block),
            (_, None) => None,
        };
        self.counts.nil_votes += u64::from(block.is_none());
        if vote.kind == VoteType::Precommit && !self.keep(block, polka.as_ref()) {
            self.counts.refusals += 1;
            return SignedVote::new(vote, Signed(WITHHELD));
        }
        let ask = Ask { height, round, step: step(vote.kind), block, polka };
        let signature = self.sign(&ask, vote.seat);
        SignedVote::new(vote, Signed(signature))
    }

    /// Has the block of a precommit kept before it is signed. A precommit for nothing needs nothing.
    fn keep(&mut self, block: Option<Digest>, polka: Option<&Certificate>) -> bool {
        let (Some(block), Some(polka)) = (block, polka) else { return true };
        let Some(bytes) = self.blocks.get(&block) else { return false };
        self.guard.keep(&Kept { polka: polka.clone(), block: bytes.to_vec() }).is_ok()
    }

    fn sign_offer(&mut self, offer: Offer) -> SignedProposal<Ballots> {
        let ask = Ask {
            height: offer.height.0,
            round: number(offer.round),
            step: Step::Propose,
            block: Some(offer.value.id),
            polka: None,
        };
        let signature = self.sign(&ask, offer.seat);
        SignedProposal::new(offer, Signed(signature))
    }

    fn sign(&mut self, ask: &Ask, seat: Seat) -> Signature {
        let signed = match self.guard.sign(ask) {
            // A guard that came back knows the founding committee until it is told the one in force.
            Err(Refusal::NoVote) if self.guard.install(&self.committee).is_ok() => self.guard.sign(ask),
            signed => signed,
        };
        match signed {
            Ok(signature) => {
                let ballot = Ballot {
                    cluster: self.committee.cluster,
                    height: ask.height,
                    round: ask.round,
                    step: ask.step,
                    block: ask.block,
                };
                if let Some(member) = self.committee.member(seat) {
                    self.seen.verified.insert(ballot, seat, member.key, signature);
                }
                signature
            }
            Err(refusal) => {
                tracing::debug!(%refusal, height = ask.height, round = ask.round, step = ?ask.step, "withheld");
                self.counts.refusals += 1;
                WITHHELD
            }
        }
    }

    fn verify(&mut self, message: &SignedMessage<Ballots, malachite::ConsensusMsg<Ballots>>) -> bool {
        let signature = message.signature.0;
        if signature == WITHHELD {
            return false;
        }
        let (seat, ballot) = match &message.message {
            malachite::ConsensusMsg::Vote(vote) => (vote.seat, self.ballot_of(vote)),
            malachite::ConsensusMsg::Proposal(offer) => (offer.seat, self.ballot_of_offer(offer)),
        };
        let holds = self.seen.holds(&self.committee, &ballot, seat, &signature);
        self.counts.forged += u64::from(!holds);
        if holds && let (Step::Prevote, Some(block)) = (ballot.step, ballot.block) {
            self.seen.note(ballot.round, block, seat, signature);
        }
        holds
    }

    fn ballot_of(&self, vote: &Ballotted) -> Ballot {
        Ballot {
            cluster: self.committee.cluster,
            height: vote.height.0,
            round: number(vote.round),
            step: step(vote.kind),
            block: from_engine(&vote.value),
        }
    }

    fn ballot_of_offer(&self, offer: &Offer) -> Ballot {
        Ballot {
            cluster: self.committee.cluster,
            height: offer.height.0,
            round: number(offer.round),
            step: Step::Propose,
            block: Some(offer.value.id),
        }
    }

    fn verify_all(
        &mut self,
        height: Height,
        round: Round,
        step: Step,
        votes: impl Iterator<Item = (Seat, Option<Digest>, Signature)>,
    ) -> Result<(), CertificateError<Ballots>> {
        let mut seats = Vec::new();
        for (seat, block, signature) in votes {
            let ballot = Ballot {
                cluster: self.committee.cluster,
                height: height.0,
                round: number(round),
                step,
                block,
            };
            if seats.contains(&seat) {
                return Err(CertificateError::DuplicateVote(seat));
            }
            if !self.seen.holds(&self.committee, &ballot, seat, &signature) {
                self.counts.forged += 1;
                return Err(CertificateError::UnknownValidator(seat));
            }
            seats.push(seat);
        }
        enough(seats.len(), self.committee.quorum(), self.committee.members.len())
    }

    fn verify_round(
        &mut self,
        certificate: &RoundCertificate<Ballots>,
    ) -> Result<(), CertificateError<Ballots>> {
        let mut seats = Vec::new();
        for vote in &certificate.round_signatures {
            let ballot = Ballot {
                cluster: self.committee.cluster,
                height: certificate.height.0,
                round: number(certificate.round),
                step: step(vote.vote_type),
                block: from_engine(&vote.value_id),
            };
            let fits = certificate.cert_type == RoundCertificateType::Skip || ballot.step == Step::Precommit;
            if !fits || seats.contains(&vote.address) {
                return Err(CertificateError::InvalidVoteType(vote.address));
            }
            if !self.seen.holds(&self.committee, &ballot, vote.address, &vote.signature.0) {
                self.counts.forged += 1;
                return Err(CertificateError::UnknownValidator(vote.address));
            }
            if let (Step::Prevote, Some(block)) = (ballot.step, ballot.block) {
                // The engine counts it among the prevotes, so a polka may rest on it.
                self.seen.note(ballot.round, block, vote.address, vote.signature.0);
            }
            seats.push(vote.address);
        }
        enough(seats.len(), self.committee.quorum(), self.committee.members.len())
    }
}

fn enough(signed: usize, quorum: usize, total: usize) -> Result<(), CertificateError<Ballots>> {
    if signed >= quorum {
        return Ok(());
    }
    Err(CertificateError::NotEnoughVotingPower {
        signed: signed as u64,
        total: total as u64,
        expected: quorum as u64,
    })
}

/// Stands where a guard did not sign. No key gives it.
const WITHHELD: Signature = Signature([0; 64]);
