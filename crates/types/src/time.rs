//! Ordered time: milliseconds since the Unix epoch as consensus decided them, never a node's own clock.

use serde::{Deserialize, Serialize};

/// A point in ordered time. **Units**: milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderedMillis(pub u64);

impl OrderedMillis {
    /// `millis` later; stays at the end of time instead of wrapping.
    pub fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// `millis` earlier; stays at the beginning of time instead of wrapping.
    pub fn minus(self, millis: u64) -> Self {
        Self(self.0.saturating_sub(millis))
    }
}

/// When something happened in the outside world, as a record states it. **Units**: as [`OrderedMillis`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordMillis(pub u64);

/// One day in milliseconds.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;
