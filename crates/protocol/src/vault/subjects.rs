//! The people of a Vault as the machine knows them: a keyed digest and a dense index each (R058, R076).
//!
//! In a digest of the state the whole roll is represented by the running digest of what was enrolled, so that it
//! costs the same for ten people and for a million. The roll is a function of that history.

use alloc::collections::{BTreeMap, BTreeSet};
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
    index: Arc<BTreeMap<SubjectKey, SubjectIndex>>,
    trail: Digest,
}

impl Default for Roll {
    fn default() -> Self {
        Self { index: Arc::default(), trail: Digest::ZERO }
    }
}

impl Roll {
    /// How many people are enrolled.
    pub fn len(&self) -> u32 {
        // Enrolment keeps to `SUBJECTS_PER_VAULT_MAX`, which is a `u32`.
        self.index.len() as u32
    }

    /// Whether nobody is enrolled.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The index of a person.
    pub fn find(&self, key: &SubjectKey) -> Option<SubjectIndex> {
        self.index.get(key).copied()
    }

    /// Whether the index belongs to a person.
    pub fn contains(&self, subject: SubjectIndex) -> bool {
        subject.0 < self.len()
    }

    /// The keys among `keys` that are new, once each, in their order. **Errors**: `VLT-0008`.
    pub(crate) fn newcomers(&self, keys: &[SubjectKey]) -> Result<Vec<SubjectKey>, Code> {
        let mut seen = BTreeSet::new();
        let fresh: Vec<_> =
            keys.iter().copied().filter(|key| !self.index.contains_key(key) && seen.insert(*key)).collect();
        if self.index.len() + fresh.len() > SUBJECTS_PER_VAULT_MAX as usize {
            return Err(Code::VaultFull);
        }
        Ok(fresh)
    }

    pub(crate) fn enrol(&mut self, keys: &[SubjectKey]) {
        let index = Arc::make_mut(&mut self.index);
        for key in keys {
            index.insert(*key, SubjectIndex(index.len() as u32));
        }
        self.trail = Digest::of("symphony/vault-roll/v1", &(self.trail, keys));
    }
}

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
