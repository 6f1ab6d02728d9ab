//! The people of a Vault as the machine knows them: a keyed digest and a dense index each (R058, R076).
//!
//! In a digest of the state the whole roll is represented by the running digest of what was enrolled, so that it
//! costs the same for ten people and for a million. The roll is a function of that history.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize, Serializer};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::limits::SUBJECTS_PER_VAULT_MAX;
use symphony_types::subjects::{SubjectIndex, SubjectSet};

/// A person's id under the Vault's index secret: worthless without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SubjectKey(pub Digest);

/// Who is enrolled. Nobody is ever taken off, so an index means one person for ever.
#[derive(Clone, Debug)]
pub struct Roll {
    /// Each at least twice as long as the next, so that a key is merged a few times and looked for in a few.
    runs: Vec<Arc<Run>>,
    len: u32,
    trail: Digest,
}

impl Default for Roll {
    fn default() -> Self {
        Self { runs: Vec::new(), len: 0, trail: Digest::ZERO }
    }
}

impl Roll {
    /// How many people are enrolled.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether nobody is enrolled.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The index of a person.
    pub fn find(&self, key: &SubjectKey) -> Option<SubjectIndex> {
        self.runs.iter().find_map(|run| run.find(key))
    }

    /// Whether the index belongs to a person.
    pub fn contains(&self, subject: SubjectIndex) -> bool {
        subject.0 < self.len()
    }

    /// The keys among `keys` that are new, once each, in their order. **Errors**: `VLT-0008`.
    pub(crate) fn newcomers(&self, keys: &[SubjectKey]) -> Result<Vec<SubjectKey>, Code> {
        let mut seen = BTreeSet::new();
        let fresh: Vec<_> =
            keys.iter().copied().filter(|key| self.find(key).is_none() && seen.insert(*key)).collect();
        if self.len as usize + fresh.len() > SUBJECTS_PER_VAULT_MAX as usize {
            return Err(Code::VaultFull);
        }
        Ok(fresh)
    }

    pub(crate) fn enrol(&mut self, keys: &[SubjectKey]) {
        let mut run: Vec<_> = keys.iter().copied().zip((self.len..).map(SubjectIndex)).collect();
        run.sort_unstable();
        // What is merged was written by a run of at most twice its length, so readers of the state before share all longer ones.
        while let Some(earlier) = self.runs.pop_if(|earlier| earlier.people.len() < 2 * run.len()) {
            let mut merged = Vec::with_capacity(earlier.people.len() + run.len());
            merged.extend_from_slice(&earlier.people);
            merged.append(&mut run);
            // Two runs in order: the stable sort finds and merges them.
            merged.sort();
            run = merged;
        }
        // Enrolment keeps to `SUBJECTS_PER_VAULT_MAX`, which is a `u32`.
        self.len += keys.len() as u32;
        self.runs.push(Arc::new(Run::new(run)));
        self.trail = Digest::of("symphony/vault-roll/v1", &(self.trail, keys));
    }
}

/// People by key. Keys are digests, so those of one beginning are few and stand together: a search looks at two places of memory.
#[derive(Debug)]
struct Run {
    people: Vec<(SubjectKey, SubjectIndex)>,
    /// Bits of a key's beginning.
    bits: u32,
    /// Where the keys of each beginning start, and the end of the last.
    starts: Vec<u32>,
}

impl Run {
    fn new(people: Vec<(SubjectKey, SubjectIndex)>) -> Self {
        let bits = people.len().checked_ilog2().unwrap_or(0).saturating_sub(BEGINNING_PEOPLE.ilog2());
        let mut starts = alloc::vec![0; (1 << bits) + 1];
        for (key, _) in &people {
            starts[beginning(key, bits) + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        Self { people, bits, starts }
    }

    fn find(&self, key: &SubjectKey) -> Option<SubjectIndex> {
        let place = beginning(key, self.bits);
        let alike = &self.people[self.starts[place] as usize..self.starts[place + 1] as usize];
        let found = alike.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
        Some(alike[found].1)
    }
}

/// The first bits of a key.
fn beginning(key: &SubjectKey, bits: u32) -> usize {
    let [one, two, three, four, ..] = key.0.0;
    ((u64::from(u32::from_be_bytes([one, two, three, four])) << bits) >> 32) as usize
}

/// People to one beginning of a key, about.
const BEGINNING_PEOPLE: usize = 8;

impl Serialize for Roll {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.len(), self.trail).serialize(serializer)
    }
}

/// How many records there are and who has any. What they say is in the store, behind their commitments.
#[derive(Clone, Debug)]
pub struct Holdings {
    count: u64,
    holders: Arc<SubjectSet>,
    trail: Digest,
}

impl Default for Holdings {
    fn default() -> Self {
        Self { count: 0, holders: Arc::default(), trail: Digest::ZERO }
    }
}

impl Holdings {
    /// Records of all people.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Who has records.
    pub fn holders(&self) -> &SubjectSet {
        &self.holders
    }

    /// Whether the person has any record.
    pub fn holds(&self, subject: SubjectIndex) -> bool {
        self.holders.contains(subject)
    }

    pub(crate) fn append(&mut self, count: u32, root: &Digest, subjects: &[SubjectIndex]) {
        self.count = self.count.saturating_add(u64::from(count));
        if subjects.iter().any(|subject| !self.holders.contains(*subject)) {
            let holders = Arc::make_mut(&mut self.holders);
            for subject in subjects {
                holders.insert(*subject);
            }
        }
        self.trail = Digest::of("symphony/vault-holdings/v1", &(self.trail, count, root, subjects));
    }
}

impl Serialize for Holdings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.count, self.trail).serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// R058: in whatever batches people come, each new key has the next index and keeps it, in copies from before too.
        #[test]
        fn an_index_means_one_person_for_ever(
            batches in proptest::collection::vec(proptest::collection::vec(0u32..400, 0..60), 1..30),
            alike in any::<bool>(),
        ) {
            // Keys of digests, or keys that begin alike.
            let key = |n: u32| if alike {
                let mut bytes = [7; 32];
                bytes[28..].copy_from_slice(&n.to_be_bytes());
                SubjectKey(Digest(bytes))
            } else {
                SubjectKey(Digest::of("test", &n))
            };
            let (mut roll, mut model) = (Roll::default(), BTreeMap::new());
            for batch in batches {
                let keys: Vec<_> = batch.into_iter().map(key).collect();
                let (copy, known) = (roll.clone(), model.clone());
                let fresh = roll.newcomers(&keys).unwrap();
                let mut expected = Vec::new();
                for key in keys {
                    let next = SubjectIndex(model.len() as u32);
                    model.entry(key).or_insert_with(|| {
                        expected.push(key);
                        next
                    });
                }
                prop_assert_eq!(&fresh, &expected);
                if !fresh.is_empty() {
                    roll.enrol(&fresh);
                }
                for (roll, model) in [(&roll, &model), (&copy, &known)] {
                    prop_assert_eq!(roll.len() as usize, model.len());
                    for n in 0..400 {
                        prop_assert_eq!(roll.find(&key(n)), model.get(&key(n)).copied());
                    }
                }
            }
        }
    }
}
