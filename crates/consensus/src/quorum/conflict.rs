//! Proof that a seat voted twice in one slot: its guard is broken, was rolled back, or is none (R198).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use symphony_types::key::{Consensus, Document as _, PublicKey, Signature};

use super::committee::{Ballot, Seat, Step};

/// Two ballots of one key for two blocks in one slot. Anybody can check it, and no honest guard makes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Whose key it is.
    pub seat: Seat,
    /// The key.
    pub key: PublicKey<Consensus>,
    /// The ballot that came first here, with its signature.
    pub first: (Ballot, Signature),
    /// The one against it.
    pub second: (Ballot, Signature),
}

impl Conflict {
    /// Whether it proves what it says.
    pub fn holds(&self) -> bool {
        let (first, second) = (&self.first.0, &self.second.0);
        first.slot() == second.slot()
            && first.block != second.block
            && [&self.first, &self.second]
                .iter()
                .all(|(ballot, signature)| self.key.verifies(&ballot.digest(), signature))
    }
}

/// Signatures of the height under way that hold: none is verified twice, and two for one slot are a conflict.
#[derive(Default)]
pub(super) struct Verified {
    ballots: Vec<(Ballot, Seat, Signature)>,
    conflicts: Vec<Conflict>,
}

impl Verified {
    /// Whether a ballot of a seat is known to be signed so.
    pub(super) fn contains(&self, ballot: &Ballot, seat: Seat, signature: &Signature) -> bool {
        self.ballots.contains(&(*ballot, seat, *signature))
    }

    /// How many seats precommitted to nothing in a round.
    pub(super) fn empty_precommits(&self, round: u32) -> usize {
        let empty = |ballot: &Ballot| {
            ballot.round == round && ballot.step == Step::Precommit && ballot.block.is_none()
        };
        let seats: BTreeSet<_> =
            self.ballots.iter().filter(|(ballot, ..)| empty(ballot)).map(|(_, seat, _)| seat).collect();
        seats.len()
    }

    /// Takes a signature that holds, of the key that the seat has now.
    pub(super) fn insert(
        &mut self,
        ballot: Ballot,
        seat: Seat,
        key: PublicKey<Consensus>,
        signature: Signature,
    ) {
        let other = self.ballots.iter().find(|(other, whose, _)| {
            *whose == seat && other.slot() == ballot.slot() && other.block != ballot.block
        });
        if let Some((first, _, theirs)) = other {
            self.conflicts.push(Conflict {
                seat,
                key,
                first: (*first, *theirs),
                second: (ballot, signature),
            });
        }
        self.ballots.push((ballot, seat, signature));
    }

    /// Conflicts since somebody last took them.
    pub(super) fn take(&mut self) -> Vec<Conflict> {
        std::mem::take(&mut self.conflicts)
    }
}

#[cfg(test)]
mod tests {
    use symphony_types::digest::Digest;
    use symphony_types::key::PrivateKey;

    use super::super::committee::Step;
    use super::*;

    fn ballot(round: u32, byte: u8) -> Ballot {
        let (cluster, block) = (Digest([7; 32]), Some(Digest([byte; 32])));
        Ballot { cluster, height: 3, round, step: Step::Prevote, block }
    }

    /// R198: two blocks in one slot are kept with both signatures; the same again, another round and another seat are not.
    #[test]
    fn two_votes_in_one_slot_are_a_proof() {
        let key = PrivateKey::<Consensus>::from_seed(&[1; 32]);
        let mut verified = Verified::default();
        let mut cast = |seat: u8, ballot: Ballot| {
            verified.insert(ballot, Seat(seat), key.public(), key.sign(ballot).signature);
            verified.take()
        };
        assert_eq!(cast(1, ballot(0, 1)), Vec::new());
        assert_eq!(cast(1, ballot(0, 1)), Vec::new());
        assert_eq!(cast(1, ballot(1, 2)), Vec::new());
        assert_eq!(cast(2, ballot(0, 2)), Vec::new());
        let conflicts = cast(1, ballot(0, 2));
        let [conflict] = conflicts.as_slice() else { panic!("{conflicts:?}") };
        assert!(conflict.holds());
        assert_eq!(
            (conflict.seat, conflict.first.0, conflict.second.0),
            (Seat(1), ballot(0, 1), ballot(0, 2))
        );
    }

    /// R198: what is not two valid signatures for two blocks in one slot accuses nobody.
    #[test]
    fn a_false_accusation_does_not_hold() {
        let key = PrivateKey::<Consensus>::from_seed(&[1; 32]);
        let signed = |ballot: Ballot| (ballot, key.sign(ballot).signature);
        let true_one = Conflict {
            seat: Seat(1),
            key: key.public(),
            first: signed(ballot(0, 1)),
            second: signed(ballot(0, 2)),
        };
        assert!(true_one.holds());
        let other = PrivateKey::<Consensus>::from_seed(&[2; 32]).public();
        assert!(!Conflict { key: other, ..true_one.clone() }.holds());
        assert!(!Conflict { second: signed(ballot(1, 2)), ..true_one.clone() }.holds());
        assert!(!Conflict { second: true_one.first, ..true_one.clone() }.holds());
        let (second, (_, wrong)) = (ballot(0, 2), signed(ballot(0, 3)));
        assert!(!Conflict { second: (second, wrong), ..true_one }.holds());
    }
}
