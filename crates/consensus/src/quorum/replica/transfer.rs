//! A master that is far behind takes a whole state instead of all blocks since (R197, R217).
//!
//! ```text
//!          far behind            a first part, proven        the last part, its digest holds
//! nothing ------------> asking ----------------------> parts --------------------------------> installed
//!    ^                    | a while without an answer     | the same, or another state
//!    +--------------------+-------------------------------+
//! ```
//!
//! What proves a state is the block that was decided on top of it: its certificate covers the head that it stands on, and
//! the head names the digest of the state. Who sends it does not matter.

use symphony_types::digest::Digest;

use super::super::block::{Block, name};
use super::super::committee::{Committee, Seat, Step};
use super::super::message::{Proof, StatePart};
use super::Place;
use crate::entry::Head;
use crate::machine::Machine;

/// Bytes of one part, so that a first one with its proof fits a message.
pub const PART_BYTES: usize = 512 << 10;
/// Parts of one state at most: 4 GiB.
const PARTS_MAX: u32 = 8_192;
/// How long one part may take. **Units**: milliseconds.
const PART_MS: u64 = 2_000;

/// A state under way.
#[derive(Default)]
pub(super) struct Transfer {
    asked: Option<(Seat, u64)>,
    parts: Option<Parts>,
}

/// The parts that have come.
struct Parts {
    head: Head,
    place: Place,
    total: u32,
    next: u32,
    bytes: Vec<u8>,
}

/// What a part leads to.
pub(super) enum Progress<S> {
    /// Nothing: it was not asked for, or is not proven.
    None,
    /// Ask the same master for the next part of that state.
    Ask(u32, Digest),
    /// The state is whole.
    Whole(Box<Joined<S>>),
}

/// A state that was taken from another master, and where it stands.
#[derive(Clone, Debug)]
pub struct Joined<S> {
    /// The end of the journal there.
    pub head: Head,
    /// Where the cluster stood.
    pub place: Place,
    /// Canonical bytes of the state.
    pub bytes: Vec<u8>,
    /// The state.
    pub state: S,
}

impl Transfer {
    /// Whether to ask a master for a state now.
    pub(super) fn ask(&mut self, to: Seat, now: u64) -> bool {
        if self.waits(now) {
            return false;
        }
        *self = Self { asked: Some((to, now)), parts: None };
        true
    }

    /// Whether a part may still come.
    pub(super) fn waits(&self, now: u64) -> bool {
        self.asked.is_some_and(|(_, at)| now < at + PART_MS)
    }

    /// Until when nothing else is asked.
    pub(super) fn until(&self) -> u64 {
        self.asked.map_or(0, |(_, at)| at + PART_MS)
    }

    /// A master that was asked for blocks may send the beginning of a state: it has no blocks that old.
    pub(super) fn instead(&mut self, from: Seat, now: u64) {
        if !self.waits(now) {
            *self = Self { asked: Some((from, now)), parts: None };
        }
    }

    /// Who was asked sends blocks: it has no state that is further on.
    pub(super) fn end(&mut self, from: Seat) {
        if self.asked.is_some_and(|(seat, _)| seat == from) {
            *self = Self::default();
        }
    }

    /// Takes a part.
    pub(super) fn take<M: Machine>(
        &mut self,
        from: Seat,
        part: StatePart,
        (height, committee): (u64, &Committee),
        now: u64,
    ) -> Progress<M::State> {
        if self.asked.is_none_or(|(seat, _)| seat != from) {
            return Progress::None;
        }
        if part.part == 0 {
            self.parts = first(&part, height, committee);
        }
        let Some(parts) = self.parts.as_mut() else { return Progress::None };
        if (part.head, part.part, part.parts) != (parts.head, parts.next, parts.total)
            || part.bytes.len() > PART_BYTES
        {
            return Progress::None;
        }
        parts.bytes.extend_from_slice(&part.bytes);
        parts.next += 1;
        if parts.next < parts.total {
            self.asked = Some((from, now));
            return Progress::Ask(parts.next, parts.head.hash);
        }
        self.asked = None;
        let joined = self.parts.take().and_then(|Parts { head, place, bytes, .. }| {
            let mut state = M::RESTORE?(&bytes)?;
            (M::digest(&mut state) == head.state).then(|| Joined { head, place, bytes, state })
        });
        match joined {
            Some(joined) => Progress::Whole(Box::new(joined)),
            None => {
                tracing::warn!(%from, "a state without its digest is dropped");
                Progress::None
            }
        }
    }
}

/// The beginning of a state further on than `height`, if a decided block proves it.
fn first(part: &StatePart, height: u64, committee: &Committee) -> Option<Parts> {
    let Proof { place, block: bytes, certificate } = part.proof.as_ref()?;
    let block = Block::from_bytes(bytes)?;
    let proven = place.height > height
        && place.committee.descends_from(committee)
        && (1..=PARTS_MAX).contains(&part.parts)
        && block.height == place.height + 1
        && block.parent == part.head
        && certificate.height == block.height
        && certificate.step == Step::Precommit
        && certificate.block == name(bytes)
        && place.committee.certifies(certificate);
    if !proven {
        tracing::warn!(height = place.height, "a state without a proof is dropped");
    }
    let (head, place, total) = (part.head, place.clone(), part.parts);
    proven.then(|| Parts { head, place, total, next: 0, bytes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use symphony_types::id::NodeId;
    use symphony_types::key::{Consensus, PrivateKey, SoftwarePlatform};
    use symphony_types::time::OrderedMillis;

    use super::super::super::block::VERSION;
    use super::super::super::committee::{Ballot, Certificate, Member};
    use super::*;
    use crate::machine::{Restore, restored, state_digest};

    /// A machine whose state is a list.
    struct List;

    impl Machine for List {
        type State = Vec<u64>;
        type Command = ();
        type Event = ();
        type Refusal = String;

        const RESTORE: Option<Restore<Vec<u64>>> = Some(restored);

        fn decide(_: &Vec<u64>, _: OrderedMillis, (): &()) -> Result<Vec<()>, String> {
            Ok(Vec::new())
        }

        fn evolve(_: &mut Vec<u64>, _: OrderedMillis, (): &()) {}
    }

    fn key(seat: u8) -> PrivateKey<Consensus> {
        PrivateKey::from_seed(&[seat + 1; 32])
    }

    fn founding() -> Committee {
        let member = |seat: u8| Member {
            node: NodeId::new(&format!("master-{seat}")).unwrap(),
            key: key(seat).public(),
            platform: PrivateKey::<SoftwarePlatform>::from_seed(&[seat + 10; 32]).public(),
            since: 1,
            boot: None,
        };
        Committee::founding(Digest([7; 32]), (0..3).map(member).collect())
    }

    /// The parts of a state of height 50, the last bytes of it in the last part.
    fn parts() -> Vec<StatePart> {
        let state: Vec<u64> = (0..30).collect();
        let bytes = symphony_types::canonical::to_bytes(&state);
        let state = state_digest(&state);
        let head = Head { height: 80, hash: Digest([8; 32]), at: OrderedMillis(5), state };
        let place = Place { height: 50, leader: Seat(0), committee: founding() };
        let block = Block {
            version: VERSION,
            height: 51,
            parent: head,
            at: OrderedMillis(5),
            proposer: Seat(0),
            rotations: Vec::new(),
            commands: Vec::new(),
        }
        .to_bytes();
        let (step, round, height) = (Step::Precommit, 0, 51);
        let cluster = founding().cluster;
        let ballot = Ballot { cluster, height, round, step, block: Some(name(&block)) };
        let signatures = [0, 2].map(|seat| (Seat(seat), key(seat).sign(ballot).signature)).to_vec();
        let certificate = Certificate { height, round, step, block: name(&block), signatures };
        let mut proof = Some(Proof { place, block, certificate });
        let chunks: Vec<_> = bytes.chunks(100).map(<[u8]>::to_vec).collect();
        let total = u32::try_from(chunks.len()).unwrap();
        let part = |(part, bytes)| StatePart { head, part, parts: total, bytes, proof: proof.take() };
        (0..).zip(chunks).map(part).collect()
    }

    /// Whether a master at a height comes by the state out of these parts.
    fn comes(height: u64, from: Seat, parts: Vec<StatePart>) -> bool {
        let mut transfer = Transfer::default();
        assert!(transfer.ask(Seat(1), 0));
        parts.into_iter().any(|part| {
            matches!(transfer.take::<List>(from, part, (height, &founding()), 0), Progress::Whole(_))
        })
    }

    fn changed(change: impl Fn(&mut Vec<StatePart>)) -> Vec<StatePart> {
        let mut parts = parts();
        change(&mut parts);
        parts
    }

    /// R197, R217: a state comes in its order from who was asked, proven by a decided block and its own digest, or not.
    #[test]
    fn only_a_proven_state_is_taken() {
        assert!(parts().len() > 2);
        assert!(comes(10, Seat(1), parts()));
        assert!(!comes(50, Seat(1), parts()), "it is not further on");
        assert!(!comes(10, Seat(2), parts()), "nobody asked this one");
        let proof = |change: fn(&mut Proof)| changed(|parts| change(parts[0].proof.as_mut().unwrap()));
        for wrong in [
            changed(|parts| parts.last_mut().unwrap().bytes[0] ^= 1),
            changed(|parts| parts.swap(1, 2)),
            changed(|parts| drop(parts.remove(1))),
            changed(|parts| parts[1].bytes = vec![0; PART_BYTES + 1]),
            changed(|parts| parts[1].head.height += 1),
            changed(|parts| parts.iter_mut().for_each(|part| part.parts = PARTS_MAX + 1)),
            changed(|parts| parts.iter_mut().for_each(|part| part.parts = 0)),
            changed(|parts| parts.iter_mut().for_each(|part| part.head.hash = Digest::ZERO)),
            changed(|parts| parts[0].proof = None),
            proof(|proof| proof.place.height = 51),
            proof(|proof| proof.certificate.signatures.truncate(1)),
            proof(|proof| proof.certificate.step = Step::Prevote),
            proof(|proof| proof.block[0] ^= 1),
            proof(|proof| proof.place.committee.members[0].key = key(9).public()),
        ] {
            assert!(!comes(10, Seat(1), wrong));
        }
    }

    /// A transfer that stands still is given up for another master, and blocks end it.
    #[test]
    fn a_transfer_that_stands_still_is_begun_anew() {
        let mut transfer = Transfer::default();
        assert!(transfer.ask(Seat(1), 0));
        assert!(!transfer.ask(Seat(2), PART_MS - 1));
        assert!(transfer.ask(Seat(2), PART_MS));
        transfer.end(Seat(1));
        assert!(transfer.waits(PART_MS));
        transfer.end(Seat(2));
        assert!(!transfer.waits(PART_MS));
    }
}
