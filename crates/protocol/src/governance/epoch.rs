//! Epochs: windows of ordered time, and the version of the policy that is in force in each (R188, R189, R190, R192, R193).
//!
//! Everything here is a pure function of a moment and of what the council enacted, so that the membership of any event, and the
//! policy that it was judged by, can be rebuilt.
//!
//! ```text
//! epoch e      a version is enacted
//! epoch e + 1  it is known to everybody and not yet in force: one epoch's notice
//! epoch e + 2  in force from the first moment on, with its own length of an epoch
//! ```

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use symphony_types::id::{EpochId, PolicyVersion};
use symphony_types::time::OrderedMillis;

/// A version of the policy and since when it is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// The version.
    pub version: PolicyVersion,
    /// The first moment of its first epoch.
    pub from: OrderedMillis,
    /// Length of an epoch under it. **Units**: milliseconds.
    pub epoch_ms: u64,
}

/// Which version of the policy is in force from which epoch on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    founded: Activation,
    later: BTreeMap<EpochId, Activation>,
}

impl Calendar {
    /// The calendar of a network that is founded with this version.
    pub const fn new(version: PolicyVersion, epoch_ms: u64) -> Self {
        let founded = Activation { version, from: OrderedMillis(0), epoch_ms };
        Self { founded, later: BTreeMap::new() }
    }

    /// The version that the network was founded with.
    pub const fn founded(&self) -> Activation {
        self.founded
    }

    /// The epoch that a moment belongs to.
    pub fn epoch_of(&self, at: OrderedMillis) -> EpochId {
        let (first, Activation { from, epoch_ms, .. }) = self.at(at);
        let past = at.0.saturating_sub(from.0);
        EpochId(first.0.saturating_add(past.checked_div(epoch_ms).unwrap_or(0)))
    }

    /// The first moment after an epoch.
    pub fn end_of(&self, epoch: EpochId) -> OrderedMillis {
        let (first, Activation { from, epoch_ms, .. }) = self.of(epoch);
        from.plus((epoch.0 - first.0).saturating_add(1).saturating_mul(epoch_ms))
    }

    /// The version in force at a moment.
    pub fn version_at(&self, at: OrderedMillis) -> PolicyVersion {
        self.at(at).1.version
    }

    /// The version in force in an epoch.
    pub fn version_in(&self, epoch: EpochId) -> PolicyVersion {
        self.of(epoch).1.version
    }

    /// The last version that was enacted, in force or not, with its first epoch.
    pub fn last(&self) -> (EpochId, Activation) {
        self.later.last_key_value().map_or((EpochId(0), self.founded), |(epoch, known)| (*epoch, *known))
    }

    /// All versions in the order of their epochs.
    pub fn iter(&self) -> impl Iterator<Item = (EpochId, Activation)> + '_ {
        let later = self.later.iter().map(|(epoch, known)| (*epoch, *known));
        core::iter::once((EpochId(0), self.founded)).chain(later)
    }

    /// When a version comes into force that is enacted at a moment: after one whole epoch of notice (R190).
    pub fn notice(&self, at: OrderedMillis) -> (EpochId, OrderedMillis) {
        let notice = EpochId(self.epoch_of(at).0.saturating_add(1));
        (EpochId(notice.0.saturating_add(1)), self.end_of(notice))
    }

    /// Whether a version may follow the last one from this epoch on: it is the next, and begins where that epoch does.
    pub(crate) fn follows(&self, first: EpochId, next: Activation) -> bool {
        let (known, last) = self.last();
        first > known
            && next.version.0 == last.version.0.saturating_add(1)
            && next.from == self.end_of(EpochId(first.0 - 1))
    }

    /// Takes a version that follows.
    pub(crate) fn add(&mut self, first: EpochId, next: Activation) {
        self.later.insert(first, next);
    }

    fn at(&self, at: OrderedMillis) -> (EpochId, Activation) {
        let known = self.later.iter().rev().find(|(_, known)| known.from <= at);
        known.map_or((EpochId(0), self.founded), |(epoch, known)| (*epoch, *known))
    }

    fn of(&self, epoch: EpochId) -> (EpochId, Activation) {
        let known = self.later.range(..=epoch).next_back();
        known.map_or((EpochId(0), self.founded), |(epoch, known)| (*epoch, *known))
    }
}
