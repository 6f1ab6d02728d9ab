//! The loss of the Poisson-subsampled Gaussian mechanism by Renyi divergence at integer orders (Mironov, Talwar and
//! Zhang 2019), converted to (epsilon, delta) as Canonne, Kamath and Steinke (2020) do.
//!
//! At order `a` one round's moment is the sum over `k` of `C(a, k) (1 - q)^(a - k) q^k e^(k (k - 1) / (2 sigma^2))`:
//! positive terms only, so that nothing cancels. As `a!` times a convolution of two sequences that all orders share,
//! it costs one multiplication a term and one exponential in all.

use alloc::vec::Vec;

use super::real::{FRACTION, Real};
use super::{Delta, NOISE_UNIT, SAMPLING_UNIT};

/// The moments of one round, for one delta.
pub(super) struct Moments {
    orders: Vec<Order>,
}

/// In units of `2^-80`.
struct Order {
    /// The order, less one.
    below: i128,
    /// The logarithm of one round's moment.
    moment: i128,
    /// What the conversion adds for any number of rounds.
    conversion: i128,
}

impl Moments {
    /// `sampling` is in billionths, `noise` in thousandths of the clipping norm; all have been checked.
    pub(super) fn new(sampling: u32, noise: u32, delta: Delta) -> Option<Self> {
        let (sampling, noise) = (u128::from(sampling), u128::from(noise));
        let taken = Real::ratio(sampling, SAMPLING_UNIT);
        let left = Real::ratio(SAMPLING_UNIT - sampling, SAMPLING_UNIT);
        let growth = Real::ratio(NOISE_UNIT * NOISE_UNIT, noise * noise).exp();
        // in_sample[k] = q^k e^(k (k - 1) / (2 sigma^2)) / k!, out_of_sample[k] = (1 - q)^k / k!.
        let (mut in_sample, mut out_of_sample) = (Vec::new(), Vec::new());
        let (mut with, mut without, mut step) = (Real::ONE, Real::ONE, taken);
        for place in 1..=ORDER_MAX + 1 {
            in_sample.push(with);
            out_of_sample.push(without);
            with = with.times(step).over_whole(place);
            without = without.times(left).over_whole(place);
            step = step.times(growth);
        }
        let chance_ln = Real::ratio(Delta::UNIT, u128::from(delta.0)).ln()?;
        let mut orders = Vec::new();
        let (mut factorial, mut last) = (Real::ONE, (1, 0));
        for order in 2..=ORDER_MAX {
            let number = Real::whole(u128::from(order));
            factorial = factorial.times(number);
            if is_used(order) {
                let places = order as usize + 1;
                let moment = convolve(&in_sample[..places], &out_of_sample[..places]).times(factorial);
                let below = order - 1;
                let below_ln = if last.0 == below { last.1 } else { Real::whole(u128::from(below)).ln()? };
                last = (order, number.ln()?);
                // An order whose logarithm does not fit is of no use.
                orders.extend(Order::new(order, moment, chance_ln, [below_ln, last.1]));
            }
        }
        Some(Self { orders })
    }

    /// The smallest loss of `rounds` rounds over all orders, rounded up to units of `10^-12`. `None` where no order
    /// gives one that fits.
    pub(super) fn loss(&self, rounds: u32) -> Option<u64> {
        let least = self.orders.iter().filter_map(|order| order.loss(rounds)).min()?;
        // Each logarithm is within two units, one of them times the rounds; that is below SLACK.
        let least = least.checked_add(SLACK)?.max(0).unsigned_abs();
        let whole = (least >> FRACTION).checked_mul(PICO)?;
        let part = ((least & PART) * PICO).div_ceil(1 << FRACTION);
        u64::try_from(whole.checked_add(part)?).ok()
    }
}

impl Order {
    /// The conversion is `(-ln(delta) - ln(order)) / (order - 1) + ln(order - 1) - ln(order)`; the logarithms of the
    /// order and of the one below it are given.
    fn new(order: u32, moment: Real, chance_ln: i128, [below_ln, order_ln]: [i128; 2]) -> Option<Self> {
        let below = i128::from(order - 1);
        let shrunk = (chance_ln - order_ln).div_euclid(below) + 1;
        Some(Self { below, moment: moment.ln()?, conversion: shrunk + below_ln - order_ln })
    }

    fn loss(&self, rounds: u32) -> Option<i128> {
        let moment = self.moment.checked_mul(i128::from(rounds))?;
        (moment.div_euclid(self.below) + 1).checked_add(self.conversion)
    }
}

/// The sum of `one[k] * other[last - k]`. Terms below `2^-130` of the largest are left out; all of them together are
/// below `2^-119`.
fn convolve(one: &[Real], other: &[Real]) -> Real {
    let terms = || one.iter().zip(other.iter().rev());
    let Some(highest) = terms().map(|(one, other)| one.place_with(*other)).max() else { return Real::ZERO };
    terms()
        .filter(|(one, other)| one.place_with(**other) >= highest - 130)
        .fold(Real::ZERO, |sum, (one, other)| sum.plus(one.times(*other)))
}

/// The orders: all up to 256, then in steps that still fit the shape.
const fn is_used(order: u32) -> bool {
    order <= 256 || matches!(order, 320 | 384 | 448 | 512 | 640 | 768 | 1024)
}

const ORDER_MAX: u32 = 1024;
/// Units of `10^-12` in one.
const PICO: u128 = 1_000_000_000_000;
/// The places behind the point.
const PART: u128 = (1 << FRACTION) - 1;
/// `2^-50`, above `2^20` rounds times the error of a logarithm.
const SLACK: i128 = 1 << (FRACTION - 50);
