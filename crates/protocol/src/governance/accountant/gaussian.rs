//! The exact loss of the Gaussian mechanism where every subject takes part in every round (Balle and Wang 2018).
//!
//! `T` rounds with noise `sigma` are one release with `mu = sqrt(T) / sigma`. It is `(epsilon, delta)`-private when
//! `Q(a) - e^epsilon Q(b) <= delta`, with `a = epsilon / mu - mu / 2`, `b = a + mu` and `Q` the upper tail of the
//! standard normal distribution. Since `e^epsilon = density(a) / density(b)`, no large power is ever formed.

use super::real::Real;
use super::{Delta, MICRO, NOISE_UNIT};

/// Several rounds as one release.
pub(super) struct Gaussian {
    mu: Real,
    delta: Real,
}

impl Gaussian {
    /// `noise` is in thousandths of the clipping norm.
    pub(super) fn new(noise: u32, rounds: u32, delta: Delta) -> Self {
        let (noise, rounds) = (u128::from(noise), u128::from(rounds));
        let mu = Real::ratio(rounds * NOISE_UNIT * NOISE_UNIT, noise * noise).root();
        Self { mu, delta: Real::ratio(u128::from(delta.0), Delta::UNIT) }
    }

    /// The smallest loss in micro-epsilon, `None` above `limit`.
    pub(super) fn loss(&self, limit: u64) -> Option<u64> {
        if !self.holds(limit) {
            return None;
        }
        // `above` holds, everything below `under` does not.
        let (mut under, mut above) = (0, limit);
        while under < above {
            let middle = under + (above - under) / 2;
            if self.holds(middle) { above = middle } else { under = middle + 1 }
        }
        Some(above)
    }

    /// Whether the release is private with this loss in micro-epsilon.
    pub(super) fn holds(&self, loss: u64) -> bool {
        let shift = Real::ratio(u128::from(loss), MICRO).over(self.mu);
        let half = self.mu.halved();
        let b = shift.plus(half);
        let (reached, a) = if shift.is_at_least(half) {
            let a = shift.minus(half);
            if a.is_at_least(NEGLIGIBLE) {
                return true;
            }
            (tail(a), a)
        } else {
            let a = half.minus(shift);
            if a.is_at_least(Real::ONE) {
                // The left side is at least 1 - 2 Q(1) = 0.68, above every delta that is admitted.
                return false;
            }
            (Real::ONE.minus(tail(a)), a)
        };
        // What was truncated is below SLACK by far; so a loss that holds by a hair counts as one that does not.
        let excess = reached.minus(a.density().times(ratio_of_mills(b)));
        self.delta.is_at_least(excess.plus(SLACK))
    }
}

/// The upper tail at `x`, which is not below zero.
fn tail(x: Real) -> Real {
    if x.is_at_least(FAR) {
        x.density().times(fraction(x))
    } else {
        Real::HALF.minus(x.density().times(series(x)))
    }
}

/// The upper tail by the density.
fn ratio_of_mills(x: Real) -> Real {
    if x.is_at_least(FAR) { fraction(x) } else { tail(x).over(x.density()) }
}

/// `(1/2 - Q(x)) / density(x)` as the sum of `x^(2n+1) / (1 * 3 * ... * (2n+1))`: all terms are positive. Below
/// [`FAR`] the last of the terms is below 2^-140.
fn series(x: Real) -> Real {
    let square = x.times(x);
    let (mut sum, mut term) = (x, x);
    for place in (3..SERIES_LAST).step_by(2) {
        term = term.times(square).over_whole(place);
        sum = sum.plus(term);
    }
    sum
}

/// Laplace's continued fraction `1 / (x + 1 / (x + 2 / (x + ...)))`, from [`FAR`] on within 2^-110: two neighbours in
/// the sequence enclose the value.
fn fraction(x: Real) -> Real {
    let (mut above, mut numerator) = (Real::ZERO, Real::ONE);
    let (mut below, mut denominator) = (Real::ONE, x);
    for place in 1..FRACTION_LAST {
        let place = Real::whole(place);
        (above, numerator) = (numerator, x.times(numerator).plus(place.times(above)));
        (below, denominator) = (denominator, x.times(denominator).plus(place.times(below)));
    }
    numerator.over(denominator)
}

/// Where the continued fraction takes over from the series.
const FAR: Real = Real::whole(4);
const SERIES_LAST: u32 = 191;
const FRACTION_LAST: u128 = 80;
/// From here on the tail is below `10^-890`.
const NEGLIGIBLE: Real = Real::whole(64);
/// Above the sum of all truncations, which stays below `2^-100`; the smallest delta is `2^-40`.
const SLACK: Real = Real::two_to(-90);
