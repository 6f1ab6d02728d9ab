//! What each person has spent under the limit of one scope, held and consumed together: eight bytes a person, changed and asked a
//! set at a time (R067).
//!
//! A commit moves a loss from held to consumed and so changes nothing here but for who is left out; what is held follows from the
//! entries that are not decided yet.

use alloc::vec::Vec;

use symphony_types::epsilon::Epsilon;
use symphony_types::subjects::{SubjectIndex, SubjectSet};

use crate::vault::blocks::{BLOCK_PEOPLE, BLOCK_WORDS, Blocks, place};

/// Losses by person.
#[derive(Clone, Debug, Default)]
pub(super) struct Spent(Blocks<Block>);

#[derive(Clone, Debug, PartialEq)]
struct Block([u64; BLOCK_PEOPLE]);

impl Default for Block {
    fn default() -> Self {
        Self([0; BLOCK_PEOPLE])
    }
}

impl Spent {
    /// What a person has spent.
    pub(super) fn of(&self, subject: SubjectIndex) -> Epsilon {
        let (block, place) = place(subject);
        Epsilon(self.0.get(block).map_or(0, |block| block.0[place]))
    }

    /// Charges everybody in a set.
    pub(super) fn charge(&mut self, people: &SubjectSet, epsilon: Epsilon) {
        self.change(people, epsilon, u64::overflowing_add, "invariant: a limit fits in epsilon");
    }

    /// Gives back to everybody in a set.
    pub(super) fn give_back(&mut self, people: &SubjectSet, epsilon: Epsilon) {
        self.change(people, epsilon, u64::overflowing_sub, "invariant: what is given back was held");
    }

    fn change(
        &mut self,
        people: &SubjectSet,
        epsilon: Epsilon,
        change: impl Fn(u64, u64) -> (u64, bool),
        invariant: &str,
    ) {
        for (place, words) in people.words().chunks(BLOCK_WORDS).enumerate() {
            if epsilon == Epsilon::ZERO || words.iter().all(|word| *word == 0) {
                continue;
            }
            let mut fault = false;
            for (cells, word) in self.0.get_mut(place).0.chunks_exact_mut(64).zip(words) {
                for (bit, cell) in cells.iter_mut().enumerate() {
                    // All ones for who is in the set, and nothing for who is not: no branch a person.
                    let (changed, over) = change(*cell, epsilon.0 & (word >> bit & 1).wrapping_neg());
                    *cell = changed;
                    fault |= over;
                }
            }
            assert!(!fault, "{invariant}");
        }
    }

    /// Those of `people` who have spent at most `own` here and at most `all` in all scopes together.
    pub(super) fn within<'a>(
        &self,
        scopes: impl Iterator<Item = &'a Self> + Clone,
        people: &SubjectSet,
        own: Epsilon,
        all: Epsilon,
    ) -> SubjectSet {
        let mut left = Vec::with_capacity(people.words().len());
        for (place, words) in people.words().chunks(BLOCK_WORDS).enumerate() {
            let mut sums = Block::default();
            if words.iter().any(|word| *word != 0) {
                scopes.clone().filter_map(|scope| scope.0.get(place)).for_each(|block| sums.add(block));
            }
            let fitting =
                words.iter().zip(sums.0.chunks_exact(64)).map(|(word, sums)| word & at_most(sums, all));
            match self.0.get(place) {
                Some(block) => {
                    let here = block.0.chunks_exact(64).map(|cells| at_most(cells, own));
                    left.extend(fitting.zip(here).map(|(word, here)| word & here));
                }
                None => left.extend(fitting),
            }
        }
        SubjectSet::from_words(left)
    }

    /// Who has spent another sum than in `other`.
    pub(super) fn differing(&self, other: &Self) -> Vec<SubjectIndex> {
        let longest = self.0.iter().count().max(other.0.iter().count());
        let people = (0..longest * BLOCK_PEOPLE).map(|place| SubjectIndex(place as u32));
        people.filter(|subject| self.of(*subject) != other.of(*subject)).collect()
    }
}

impl Block {
    fn add(&mut self, other: &Self) {
        // What has no highest bit has no carry either, and then the processor adds many at a time.
        let small = highest_bits(&self.0) | highest_bits(&other.0) == 0;
        let cells = self.0.iter_mut().zip(&other.0);
        if small {
            cells.for_each(|(sum, cell)| *sum = sum.wrapping_add(*cell));
        } else {
            cells.for_each(|(sum, cell)| *sum = sum.saturating_add(*cell));
        }
    }
}

/// The highest bit, if any cell has it.
fn highest_bits(cells: &[u64]) -> u64 {
    cells.iter().fold(0, |bits, cell| bits | cell) >> 63
}

/// Which of 64 are at most so much, as a word.
fn at_most(cells: &[u64], limit: Epsilon) -> u64 {
    // Mostly all are: numbers without the highest bit are, when no difference has it.
    let beyond = cells.iter().fold(limit.0, |bits, cell| bits | cell | limit.0.wrapping_sub(*cell));
    if beyond >> 63 == 0 {
        return u64::MAX;
    }
    (0..).zip(cells).fold(0, |word, (bit, cell)| word | u64::from(*cell <= limit.0) << bit)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// R067, R073: sets are charged, refunded and judged as people are one by one, and a copy keeps what it was.
        #[test]
        fn a_set_is_charged_and_judged_as_each_of_its_people(
            steps in proptest::collection::vec(
                (any::<bool>(), 1u64..9, proptest::collection::btree_set(0u32..3_000, 0..40)), 1..12),
            mut asked in proptest::collection::btree_set(0u32..4_000, 0..40),
            (own, all) in (0u64..30, 0u64..50),
            great in proptest::option::of(1u64 << 62..(1 << 63) - 1_000),
        ) {
            let mut scopes = [Spent::default(), Spent::default()];
            let mut model: [BTreeMap<u32, u64>; 2] = Default::default();
            // A few who have spent so much that sums need the highest bit, and limits that may let them.
            let rich = [5, 700, 2_000];
            let (own, all) = (own + great.unwrap_or(0), all + great.map_or(0, |great| 2 * great - 1));
            for (scope, model) in scopes.iter_mut().zip(&mut model).filter(|_| great.is_some()) {
                let set: SubjectSet = rich.into_iter().map(SubjectIndex).collect();
                scope.charge(&set, Epsilon(great.unwrap_or(0)));
                model.extend(rich.map(|who| (who, great.unwrap_or(0))));
            }
            for (first, epsilon, people) in &steps {
                let scope = usize::from(*first);
                let set: SubjectSet = people.iter().copied().map(SubjectIndex).collect();
                let before = scopes[scope].clone();
                scopes[scope].charge(&set, Epsilon(*epsilon));
                for who in 0..3_000 {
                    let was = model[scope].get(&who).copied().unwrap_or(0);
                    prop_assert_eq!(before.of(SubjectIndex(who)), Epsilon(was));
                }
                let mut back = scopes[scope].clone();
                back.give_back(&set, Epsilon(*epsilon));
                prop_assert_eq!(back.differing(&before), []);
                people.iter().for_each(|who| *model[scope].entry(*who).or_default() += epsilon);
            }
            asked.extend(rich);
            let spent = |scope: usize, who: &u32| model[scope].get(who).copied().unwrap_or(0);
            let fits = |who: &&u32| {
                spent(0, who) <= own && u128::from(spent(0, who)) + u128::from(spent(1, who)) <= u128::from(all)
            };
            let expected: SubjectSet = asked.iter().filter(fits).copied().map(SubjectIndex).collect();
            let set: SubjectSet = asked.iter().copied().map(SubjectIndex).collect();
            prop_assert_eq!(scopes[0].within(scopes.iter(), &set, Epsilon(own), Epsilon(all)), expected);
        }
    }

    #[test]
    #[should_panic(expected = "what is given back was held")]
    fn nobody_is_given_what_was_not_held() {
        let everybody: SubjectSet = (0..70).map(SubjectIndex).collect();
        let mut spent = Spent::default();
        spent.charge(&everybody, Epsilon(2));
        spent.give_back(&everybody, Epsilon(3));
    }
}
