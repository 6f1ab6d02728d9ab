//! The people of trainings under way, kept in a slice enclave's memory between rounds: a few, the latest used (R102).
//! What is missing is asked of the host again, so nothing depends on what is kept.

use std::sync::Arc;

use symphony_compute::train::people::People;
use symphony_types::digest::Digest;

/// What a dataset is: the records under the root, read by the plan of the envelope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) envelope: Digest,
    pub(crate) root: Digest,
}

/// Datasets, the latest used last. Wiped with their last reader.
#[derive(Default)]
pub(crate) struct Datasets(Vec<(Name, Arc<People>)>);

impl Datasets {
    /// The people of these records, if they are kept.
    pub(crate) fn find(&mut self, name: &Name) -> Option<Arc<People>> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        let found = self.0.remove(at);
        let people = found.1.clone();
        self.0.push(found);
        Some(people)
    }

    /// Keeps them, and lets go of the longest unused where there is no room.
    pub(crate) fn keep(&mut self, name: &Name, people: &Arc<People>) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((*name, people.clone()));
        let bytes = |all: &[(Name, Arc<People>)]| all.iter().map(|(_, people)| people.bytes()).sum::<usize>();
        while self.0.len() > DATASETS_MAX || bytes(&self.0) > BYTES_MAX {
            self.0.remove(0);
        }
    }

    /// Lets go of everything of a task.
    pub(crate) fn forget(&mut self, envelope: &Digest) {
        self.0.retain(|(known, _)| known.envelope != *envelope);
    }
}

/// Trainings that go on without reading records again.
const DATASETS_MAX: usize = 4;
/// What they may take together: a gibibyte.
const BYTES_MAX: usize = 1 << 30;
