//! SYM in whole base units, rates in basis points, and the one way a sum is split without a remainder (D16, R158).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// Base units in one SYM.
pub const SYM_DECIMALS: u32 = 8;

/// Base units of one whole SYM.
pub const SYM_UNIT: u64 = 10u64.pow(SYM_DECIMALS);

/// An amount of money. **Units**: base units, 10^-8 SYM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sym(pub u64);

impl Sym {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Sum, `None` on overflow.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Difference, `None` below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// `count` times this amount, `None` on overflow.
    pub fn checked_mul(self, count: u64) -> Option<Self> {
        self.0.checked_mul(count).map(Self)
    }

    /// `self * numerator / denominator`, rounded down; the caller says who gets the remainder.
    /// `None` when the denominator is zero or the quotient does not fit.
    pub fn share_floor(self, numerator: u64, denominator: u64) -> Option<Self> {
        let product = u128::from(self.0) * u128::from(numerator);
        u64::try_from(product.checked_div(u128::from(denominator))?).ok().map(Self)
    }

    /// `self * numerator / denominator`, rounded up: what a payer owes. `None` as for [`Self::share_floor`].
    pub fn share_ceil(self, numerator: u64, denominator: u64) -> Option<Self> {
        if denominator == 0 {
            return None;
        }
        let product = u128::from(self.0) * u128::from(numerator);
        u64::try_from(product.div_ceil(u128::from(denominator))).ok().map(Self)
    }
}

/// A rate. **Units**: hundredths of a percent; 10,000 is the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bps(pub u16);

impl Bps {
    /// One hundred percent.
    pub const WHOLE: Self = Self(10_000);
}

/// Adds amounts, `None` on overflow.
pub fn sum(amounts: impl IntoIterator<Item = Sym>) -> Option<Sym> {
    amounts.into_iter().try_fold(Sym::ZERO, Sym::checked_add)
}

/// Splits `total` over recipients in proportion to their weights, to the last base unit.
///
/// Each gets the floor of its share; the units left over go one each to the largest fractions, ties to the
/// smaller recipient. When every weight is zero, nobody can be paid: the result is `None`, as it is for no
/// recipients. The order of the result is the order of the input.
///
/// **Spec**: R158, D16.
pub fn split<K: Ord + Clone>(total: Sym, weights: &[(K, u64)]) -> Option<Vec<(K, Sym)>> {
    let whole: u128 = weights.iter().map(|(_, weight)| u128::from(*weight)).sum();
    if whole == 0 {
        return None;
    }
    let mut shares = Vec::with_capacity(weights.len());
    let mut fractions = Vec::with_capacity(weights.len());
    let mut given = 0u64;
    for (index, (recipient, weight)) in weights.iter().enumerate() {
        let product = u128::from(total.0) * u128::from(*weight);
        // The quotient is at most `total`, because a weight is at most the whole.
        let floor = (product / whole) as u64;
        given += floor;
        shares.push((recipient.clone(), Sym(floor)));
        fractions.push((core::cmp::Reverse(product % whole), recipient.clone(), index));
    }
    fractions.sort();
    let left = (total.0 - given) as usize;
    for (_, _, index) in fractions.into_iter().take(left) {
        shares[index].1.0 += 1;
    }
    Some(shares)
}
