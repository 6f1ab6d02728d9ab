//! A set of subjects of one Vault, by dense index: one bit a person, so that a ledger entry of a task over a
//! million people is 125 kB and no row per person is written.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// A person's position in its Vault's index. Dense, given in order of arrival, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubjectIndex(pub u32);

/// A set of subject indices. Two equal sets have equal bytes: no trailing zero word is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectSet(Vec<u64>);

impl SubjectSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The set of words of 64 subjects each.
    pub fn from_words(words: Vec<u64>) -> Self {
        let mut set = Self(words);
        set.trim();
        set
    }

    /// Adds a subject; says whether it was new.
    pub fn insert(&mut self, subject: SubjectIndex) -> bool {
        let (word, bit) = place(subject);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let fresh = self.0[word] & bit == 0;
        self.0[word] |= bit;
        fresh
    }

    /// Removes a subject; says whether it was there.
    pub fn remove(&mut self, subject: SubjectIndex) -> bool {
        let (word, bit) = place(subject);
        let Some(bits) = self.0.get_mut(word) else { return false };
        let present = *bits & bit != 0;
        *bits &= !bit;
        self.trim();
        present
    }

    /// Whether the subject is in the set.
    pub fn contains(&self, subject: SubjectIndex) -> bool {
        let (word, bit) = place(subject);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// The set as words of 64 subjects each, without trailing zeros.
    pub fn words(&self) -> &[u64] {
        &self.0
    }

    /// How many subjects are in the set.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// Whether nobody is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The subjects in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect());
        both.trim();
        both
    }

    /// The subjects of this set that are not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        let others = other.0.iter().chain(core::iter::repeat(&0));
        Self::from_words(self.0.iter().zip(others).map(|(a, b)| a & !b).collect())
    }

    /// The subjects in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = SubjectIndex> + '_ {
        self.0.iter().enumerate().flat_map(|(word, bits)| {
            let mut rest = *bits;
            core::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                // Takes the lowest bit away; an empty word has none.
                rest &= rest.checked_sub(1)?;
                Some(SubjectIndex(word as u32 * 64 + bit))
            })
        })
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

impl FromIterator<SubjectIndex> for SubjectSet {
    fn from_iter<I: IntoIterator<Item = SubjectIndex>>(subjects: I) -> Self {
        let mut set = Self::new();
        for subject in subjects {
            set.insert(subject);
        }
        set
    }
}

fn place(subject: SubjectIndex) -> (usize, u64) {
    ((subject.0 / 64) as usize, 1 << (subject.0 % 64))
}
