//! A set of people of one Vault as a compressed bitmap; equal sets have equal bytes.

use roaring::RoaringBitmap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use symphony_types::limits::SUBJECTS_PER_VAULT_MAX;
use symphony_types::subjects::{SubjectIndex, SubjectSet};

/// A set of people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct People(RoaringBitmap);

impl People {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// The people of these words, 64 places each, the least bit first: how a Vault finds out who is permitted.
    pub fn from_words(words: &[u64]) -> Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Self(RoaringBitmap::from_lsb0_bytes(0, &bytes))
    }

    /// The bitmap.
    pub fn bitmap(&self) -> &RoaringBitmap {
        &self.0
    }

    /// Whether a person is in the set.
    pub fn contains(&self, person: u32) -> bool {
        self.0.contains(person)
    }

    /// How many people there are.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether nobody is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds all of another set.
    pub fn extend(&mut self, other: &Self) {
        self.0 |= &other.0;
    }

    /// Who is in this set and not in the other.
    pub fn without(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// Whether somebody is in both.
    pub fn meets(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    /// One bit a person, so that a scan asks by position: 125 kB for a million people.
    pub(crate) fn dense(&self) -> Dense {
        let words = self.0.max().map_or(0, |last| last as usize / 64 + 1);
        let mut bits = vec![0_u64; words];
        let mut people = self.0.iter();
        while let Some(range) = people.next_range() {
            let (first, last) = (*range.start(), *range.end());
            for word in first / 64..=last / 64 {
                let from = first.saturating_sub(word * 64);
                let to = (last - word * 64).min(63);
                bits[word as usize] |= u64::MAX << from & u64::MAX >> (63 - to);
            }
        }
        Dense(bits)
    }
}

impl From<RoaringBitmap> for People {
    fn from(bitmap: RoaringBitmap) -> Self {
        Self(bitmap)
    }
}

impl From<&SubjectSet> for People {
    fn from(subjects: &SubjectSet) -> Self {
        subjects.iter().map(|SubjectIndex(index)| index).collect()
    }
}

impl FromIterator<u32> for People {
    fn from_iter<I: IntoIterator<Item = u32>>(people: I) -> Self {
        Self(people.into_iter().collect())
    }
}

impl Serialize for People {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bitmap = self.0.clone();
        // How a set came about shows in its containers; their smallest form depends on the set alone.
        bitmap.remove_run_compression();
        bitmap.optimize();
        let mut bytes = Vec::with_capacity(bitmap.serialized_size());
        bitmap.serialize_into(&mut bytes).map_err(serde::ser::Error::custom)?;
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for People {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = serde_bytes::ByteBuf::deserialize(deserializer)?;
        let mut rest = bytes.as_slice();
        let bitmap = RoaringBitmap::deserialize_from(&mut rest).map_err(serde::de::Error::custom)?;
        if !rest.is_empty() || bitmap.max().is_some_and(|last| last >= SUBJECTS_PER_VAULT_MAX) {
            return Err(serde::de::Error::custom("not a set of people of one vault"));
        }
        Ok(Self(bitmap))
    }
}

/// One bit a person.
pub(crate) struct Dense(pub(crate) Vec<u64>);

impl Dense {
    /// Whether a person is in the set.
    #[inline]
    pub(crate) fn contains(&self, person: u32) -> bool {
        self.0.get(person as usize / 64).is_some_and(|bits| bits >> (person % 64) & 1 == 1)
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.0.len() * 8
    }
}
