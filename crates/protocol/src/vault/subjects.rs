//! The people of a Vault as the machine knows them: a keyed digest and a dense index each (R058, R076).
//!
//! ```text
//! (none) -> enrolled -> erased
//! ```
//! Erased is final for the index: a person of the same id who is enrolled again is another one.
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
use symphony_types::table::Table;
use symphony_types::time::OrderedMillis;

/// A person's id under the Vault's index secret: worthless without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SubjectKey(pub Digest);

/// Who is enrolled and who is erased. No index is given twice, so it means one person for ever.
#[derive(Clone, Debug)]
pub struct Roll {
    /// Each at least twice as long as the next, so that a key is merged a few times and looked for in a few.
    runs: Vec<Arc<Run>>,
    len: u32,
    erased: Arc<SubjectSet>,
    /// When each of them was.
    ends: Table<SubjectIndex, u64>,
    trail: Digest,
}

impl Default for Roll {
    fn default() -> Self {
        Self { runs: Vec::new(), len: 0, erased: Arc::default(), ends: Table::new(), trail: Digest::ZERO }
    }
}

impl Roll {
    /// How many people were ever enrolled.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether nobody ever was.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The index of an enrolled person.
    pub fn find(&self, key: &SubjectKey) -> Option<SubjectIndex> {
        self.places(key).find(|subject| !self.erased.contains(*subject))
    }

    /// The index that a person had who was erased, and the last of them who was.
    pub fn former(&self, key: &SubjectKey) -> Option<SubjectIndex> {
        self.places(key).filter(|subject| self.erased.contains(*subject)).max()
    }

    /// Whether the index belongs to an enrolled person.
    pub fn contains(&self, subject: SubjectIndex) -> bool {
        subject.0 < self.len() && !self.erased.contains(subject)
    }

    /// Enrolled people from one index to before another, in ascending order.
    pub fn between(&self, from: SubjectIndex, to: SubjectIndex) -> impl Iterator<Item = SubjectIndex> + '_ {
        (from.0..to.0.min(self.len())).map(SubjectIndex).filter(|subject| !self.erased.contains(*subject))
    }

    /// Everybody who was erased.
    pub fn erased(&self) -> &SubjectSet {
        &self.erased
    }

    /// When a person was erased; `None` for who was not.
    pub fn erased_at(&self, subject: SubjectIndex) -> Option<OrderedMillis> {
        self.ends.get(&subject).map(|at| OrderedMillis(*at))
    }

    fn places<'a>(&'a self, key: &'a SubjectKey) -> impl Iterator<Item = SubjectIndex> + 'a {
        self.runs.iter().flat_map(|run| run.places(key))
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

    pub(crate) fn erase(&mut self, at: OrderedMillis, subject: SubjectIndex) {
        Arc::make_mut(&mut self.erased).insert(subject);
        self.ends.insert(subject, at.0);
        self.trail = Digest::of("symphony/vault-roll-erased/v1", &(self.trail, at, subject));
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

    /// Where a key stands: once, unless its person was erased and enrolled again.
    fn places<'a>(&'a self, key: &'a SubjectKey) -> impl Iterator<Item = SubjectIndex> + 'a {
        let place = beginning(key, self.bits);
        let alike = &self.people[self.starts[place] as usize..self.starts[place + 1] as usize];
        let first = alike.partition_point(|(known, _)| known < key);
        alike[first..].iter().take_while(move |(known, _)| known == key).map(|(_, subject)| *subject)
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
    ended: u64,
    ended_at: Option<OrderedMillis>,
    holders: Arc<SubjectSet>,
    trail: Digest,
}

impl Default for Holdings {
    fn default() -> Self {
        Self { count: 0, ended: 0, ended_at: None, holders: Arc::default(), trail: Digest::ZERO }
    }
}

impl Holdings {
    /// Records of all people that ever came in.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Those of them that were not kept for their time yet.
    pub fn kept(&self) -> u64 {
        self.count.saturating_sub(self.ended)
    }

    /// How many uploaded records, the first that arrived, have ended because they were kept for their time.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// When records ended last.
    pub fn ended_at(&self) -> Option<OrderedMillis> {
        self.ended_at
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

    /// A person has no records any more. How many there ever were stays.
    pub(crate) fn erase(&mut self, subject: SubjectIndex) {
        if self.holders.contains(subject) {
            Arc::make_mut(&mut self.holders).remove(subject);
        }
        self.trail = Digest::of("symphony/vault-holdings-erased/v1", &(self.trail, subject));
    }

    /// The first `through` uploaded records end, and these people have no others.
    pub(crate) fn end(&mut self, at: OrderedMillis, through: u64, subjects: &SubjectSet) {
        (self.ended, self.ended_at) = (through, Some(at));
        self.holders = Arc::new(self.holders.difference(subjects));
        self.trail = Digest::of("symphony/vault-holdings-ended/v1", &(self.trail, at, through, subjects));
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
        /// R058, R080: in whatever batches people come and go, each new key has the next index and keeps it until it is
        /// erased, in copies from before too; enrolled again it has another.
        #[test]
        fn an_index_means_one_person_for_ever(
            batches in proptest::collection::vec((proptest::collection::vec(0u32..400, 0..60), 0u32..400), 1..30),
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
            let mut next = 0;
            for (batch, leaver) in batches {
                let keys: Vec<_> = batch.into_iter().map(key).collect();
                let (copy, known) = (roll.clone(), model.clone());
                let fresh = roll.newcomers(&keys).unwrap();
                let mut expected = Vec::new();
                for key in keys {
                    model.entry(key).or_insert_with(|| {
                        expected.push(key);
                        next += 1;
                        SubjectIndex(next - 1)
                    });
                }
                prop_assert_eq!(&fresh, &expected);
                if !fresh.is_empty() {
                    roll.enrol(&fresh);
                }
                prop_assert_eq!(roll.len(), next);
                if let Some(gone) = model.remove(&key(leaver)) {
                    prop_assert!(roll.contains(gone));
                    roll.erase(OrderedMillis(7), gone);
                    prop_assert!(!roll.contains(gone));
                    prop_assert_eq!(roll.former(&key(leaver)), Some(gone));
                    prop_assert_eq!(roll.erased_at(gone), Some(OrderedMillis(7)));
                }
                for (roll, model) in [(&roll, &model), (&copy, &known)] {
                    prop_assert_eq!(u64::from(roll.len()) - roll.erased().len(), model.len() as u64);
                    for n in 0..400 {
                        prop_assert_eq!(roll.find(&key(n)), model.get(&key(n)).copied());
                    }
                }
            }
        }
    }
}
