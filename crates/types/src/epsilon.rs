//! Privacy loss in whole millionths (D16). Spending rounds up, granting rounds down.

use serde::{Deserialize, Serialize};

/// Privacy loss. **Units**: micro-epsilon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epsilon(pub u64);

impl Epsilon {
    /// No loss.
    pub const ZERO: Self = Self(0);

    /// Sum, `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Difference, `None` below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// `count` times this loss, `None` on overflow.
    pub fn checked_mul(self, count: u64) -> Option<Self> {
        self.0.checked_mul(count).map(Self)
    }
}
