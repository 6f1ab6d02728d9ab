//! What a master says that lies: rubbish, replays, statements in the name of others, blocks that do not apply.

use std::collections::VecDeque;

use symphony_consensus::entry::Head;
use symphony_consensus::machine::state_digest_of_bytes;
use symphony_consensus::quorum::block::{BLOCK_BYTES_MAX, Block, Item, name};
use symphony_consensus::quorum::committee::{Certificate, Committee, GuardBoot, Rotation, Seat, Step};
use symphony_consensus::quorum::guard::Ask;
use symphony_consensus::quorum::message::{
    Envelope, Message, Proof, Proposal, Skip, StatePart, VERSION, Vote,
};
use symphony_consensus::quorum::replica::Place;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::NodeId;
use symphony_types::key::{Consensus, PrivateKey, Signature, SoftwarePlatform};
use symphony_types::time::OrderedMillis;

use crate::bank::Transfer;
use crate::chance::Chance;
use crate::guards::Guard;

/// Messages of others kept to be said again.
const HEARD_LEN_MAX: usize = 96;

/// A liar with what it has heard.
pub struct Forger {
    seat: Seat,
    founding: Committee,
    heard: VecDeque<Message>,
}

impl Forger {
    /// A liar in a seat.
    pub fn new(seat: Seat, founding: Committee) -> Self {
        Self { seat, founding, heard: VecDeque::new() }
    }

    /// It hears a message.
    pub fn hears(&mut self, message: &Message) {
        if self.heard.len() == HEARD_LEN_MAX {
            self.heard.pop_front();
        }
        self.heard.push_back(message.clone());
    }

    /// The bytes of something that nobody should send, around `height`.
    pub fn forge(&self, height: u64, chance: &mut Chance) -> Vec<u8> {
        let mut envelope = Envelope {
            version: VERSION,
            cluster: self.founding.cluster,
            message: Message::Status { height },
        };
        match chance.below(20) {
            0 => {
                let length = chance.index(200);
                return chance.bytes(length);
            }
            1 => envelope.version = 2,
            2 => envelope.cluster = Digest(chance.seed()),
            3 => {
                // A true message with one byte changed.
                envelope.message = self.replay(chance);
                let mut bytes = envelope.to_bytes();
                let place = chance.index(bytes.len());
                bytes[place] ^= 1 << chance.below(8);
                return bytes;
            }
            4..=7 => envelope.message = self.replay(chance),
            _ => envelope.message = self.invent(height, chance),
        }
        envelope.to_bytes()
    }

    fn replay(&self, chance: &mut Chance) -> Message {
        let index = chance.index(self.heard.len());
        let mut message = self.heard.get(index).cloned().unwrap_or(Message::Ask { after: 0 });
        if chance.hits(400) {
            // The same statement at another place.
            match &mut message {
                Message::Vote(vote) => vote.round += 1,
                Message::Proposal(proposal) => proposal.round += 1,
                Message::Polka(polka) => polka.round += 1,
                Message::Skip(skip) => skip.precommits = !skip.precommits,
                Message::Decided(page) => page.iter_mut().for_each(|(_, certificate)| {
                    certificate.signatures.truncate(1);
                    certificate.signatures.extend(certificate.signatures.clone());
                }),
                Message::State(part) => {
                    part.bytes.iter_mut().take(1).for_each(|byte| *byte ^= 1);
                    part.head.height += chance.below(2);
                }
                Message::Rotate(rotation) => rotation.seat = self.seat,
                _ => {}
            }
        }
        message
    }

    fn invent(&self, height: u64, chance: &mut Chance) -> Message {
        let (height, round) = (height + chance.below(3), self.round(chance));
        let signature = Signature([u8::try_from(chance.below(256)).unwrap_or(0); 64]);
        let seat = Seat(u8::try_from(chance.below(4)).unwrap_or(0));
        let block = Digest(chance.seed());
        let step = if chance.hits(500) { Step::Prevote } else { Step::Precommit };
        let signatures: Vec<_> = (0..3).map(|seat| (Seat(seat), signature)).collect();
        let certificate = Certificate { height, round, step, block, signatures };
        let vote = Vote { seat, height, round, step, block: Some(block), signature };
        match chance.below(12) {
            0 => Message::Vote(vote),
            1 => Message::Polka(certificate),
            2 => Message::Skip(Skip { height, round, precommits: chance.hits(500), votes: vec![vote; 3] }),
            3 => Message::Status { height: u64::MAX - chance.below(2) },
            4 => Message::Ask { after: chance.below(height + 1) },
            5 => Message::Decided(vec![(
                chance.bytes(64),
                Certificate { step: Step::Precommit, ..certificate },
            )]),
            6 => Message::Dropped { tickets: (0..50).collect(), height: u64::MAX },
            7 => Message::Forward((0..20).map(|ticket| (ticket, chance.bytes(18))).collect()),
            10 => Message::State(Box::new(self.state(height, certificate, chance))),
            8 => Message::Rotate(self.rotation(chance)),
            9 => {
                let size = if chance.hits(30) { BLOCK_BYTES_MAX + 1 } else { 40 };
                let block = chance.bytes(size);
                Message::Proposal(Proposal { seat, height, round, pol_round: Some(round), block, signature })
            }
            _ => Message::Forward(vec![(chance.below(9), vec![0; 1 << 20])]),
        }
    }

    /// A state that nobody decided.
    fn state(&self, height: u64, certificate: Certificate, chance: &mut Chance) -> StatePart {
        let committee = self.founding.clone();
        let place = Place { height: height + 40, leader: self.seat, committee };
        let bytes = chance.bytes(100);
        let head = Head {
            height,
            hash: Digest(chance.seed()),
            at: OrderedMillis(0),
            state: state_digest_of_bytes(&bytes),
        };
        let proof = Some(Proof { place, block: chance.bytes(40), certificate });
        StatePart { head, part: 0, parts: 1, bytes, proof }
    }

    fn round(&self, chance: &mut Chance) -> u32 {
        if chance.hits(200) { u32::MAX - 1 } else { u32::try_from(chance.below(4)).unwrap_or(0) }
    }

    /// A new key that another platform vouches for.
    fn rotation(&self, chance: &mut Chance) -> Rotation {
        let node = NodeId::new("master-0").unwrap_or_else(|_| unreachable!("invariant: a name"));
        let key = PrivateKey::<Consensus>::from_seed(&chance.seed()).public();
        let boot = GuardBoot { cluster: self.founding.cluster, node, key, nonce: Digest::ZERO };
        let boot = PrivateKey::<SoftwarePlatform>::from_seed(&chance.seed()).sign(boot);
        Rotation { seat: self.seat, boot }
    }

    /// What this master's own replica may believe that another one forwarded: that one's ticket, another command.
    pub fn misattribute(&self, chance: &mut Chance) -> Option<Message> {
        let forwards: Vec<_> = self
            .heard
            .iter()
            .filter_map(|message| match message {
                Message::Forward(page) => page.first().map(|(ticket, _)| *ticket),
                _ => None,
            })
            .collect();
        let ticket = *chance.pick(&forwards)?;
        let request = 1_000_000 + chance.below(1_000_000);
        Some(Message::Forward(vec![(ticket, canonical::to_bytes(&penny(request)))]))
    }

    /// The proposal of a bad leader in place of a good one, signed by its guard; `None` is silence.
    pub fn tamper(&self, proposal: Proposal, guard: &mut Guard, chance: &mut Chance) -> Option<Proposal> {
        let mut block = Block::from_bytes(&proposal.block)?;
        match chance.below(16) {
            0 => return None,
            1 => block.version = 2,
            2 => block.parent.hash = Digest(chance.seed()),
            3 => block.at = OrderedMillis(u64::MAX / 2),
            4 => block.at = OrderedMillis(0),
            5 => block.proposer = Seat(9),
            6 => block.rotations.push(self.rotation(chance)),
            7 => block.commands.push(self.item(9, Seat(0), chance.bytes(30))),
            8 => {
                // More than anybody has.
                let transfer = Transfer { amount: 1 << 40, ..penny(chance.below(1 << 40)) };
                block.commands.push(self.item(9, Seat(1), canonical::to_bytes(&transfer)));
            }
            9 => block.commands.extend(block.commands.clone()),
            10 => block.height += 1,
            11 => block.commands.reverse(),
            12 => block.commands.clear(),
            _ => {}
        }
        let mut bytes = block.to_bytes();
        if chance.hits(30) {
            bytes = chance.bytes(BLOCK_BYTES_MAX + 1);
        }
        let ask = Ask {
            height: proposal.height,
            round: proposal.round,
            step: Step::Propose,
            block: Some(name(&bytes)),
            polka: None,
        };
        let signature = guard.sign_now(&ask).ok()?;
        Some(Proposal { block: bytes, signature, ..proposal })
    }

    fn item(&self, ticket: u64, from: Seat, command: Vec<u8>) -> Item {
        Item { from, ticket, command }
    }
}

/// A transfer that every state of the bank allows.
fn penny(request: u64) -> Transfer {
    Transfer { request, from: 1, to: 2, amount: 0 }
}
