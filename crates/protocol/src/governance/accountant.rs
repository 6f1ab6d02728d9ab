//! The privacy loss of repeated noised sums, in whole numbers (D16, D20, R098): what all rounds of a training cost
//! together, and how many rounds a budget allows.
//!
//! Every round adds up one vector for each subject, clipped to norm `C`, and Gaussian noise of standard deviation
//! `sigma * C`; the loss is that of one subject added or removed. All masters must come to the same number, so there
//! are no floats: numbers of 128 bits ([`real`]) with errors far below the unit, rounded up at the end. Where
//! everybody takes part in every round the loss is exact ([`gaussian`]); where subjects are drawn by a Poisson sample
//! it is bounded by Renyi divergence ([`renyi`]), and never above the loss without sampling, which also holds.

use core::fmt;

use symphony_types::epsilon::Epsilon;

mod gaussian;
mod real;
mod renyi;

use gaussian::Gaussian;
use renyi::Moments;

/// The chance that the loss is exceeded. **Units**: 1e-12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delta(pub u64);

impl Delta {
    /// Certainty.
    const UNIT: u128 = 1_000_000_000_000;
}

/// What one round releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// The chance of each subject to take part in a round. **Units**: billionths; the whole is everybody.
    pub sampling: u32,
    /// The noise multiplier sigma. **Units**: thousandths of the clipping norm.
    pub noise: u32,
}

/// What cannot be accounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountantError {
    /// The sampling rate is zero or above the whole.
    Sampling,
    /// The noise multiplier is out of its limits.
    Noise,
    /// There is no round, or too many.
    Rounds,
    /// Delta is out of its limits.
    Delta,
    /// The loss is beyond the limit: there is no privacy to speak of.
    Loss,
}

impl Release {
    /// The loss of `rounds` rounds, rounded up. Zero where `delta` alone covers them.
    ///
    /// **Errors**: what is out of its limits, the loss among it.
    pub fn loss(&self, rounds: u32, delta: Delta) -> Result<Epsilon, AccountantError> {
        self.check(delta)?;
        check_rounds(rounds)?;
        let whole = Gaussian::new(self.noise, rounds, delta);
        let sampled = self.moments(delta).and_then(|moments| moments.loss(rounds)).map(micro);
        let limit = sampled.unwrap_or(LOSS_MAX.0).min(LOSS_MAX.0);
        let least = if whole.holds(limit) { whole.loss(limit) } else { sampled };
        least.filter(|loss| *loss <= LOSS_MAX.0).map(Epsilon).ok_or(AccountantError::Loss)
    }

    /// How many rounds `budget` pays for: the largest number whose loss is within it, at most [`ROUNDS_MAX`].
    ///
    /// **Errors**: what is out of its limits.
    pub fn rounds_within(&self, budget: Epsilon, delta: Delta) -> Result<u32, AccountantError> {
        self.check(delta)?;
        let budget = budget.min(LOSS_MAX).0;
        let moments = self.moments(delta);
        let fits = |rounds| {
            let sampled = moments.as_ref().and_then(|moments| moments.loss(rounds)).map(micro);
            sampled.is_some_and(|loss| loss <= budget)
                || Gaussian::new(self.noise, rounds, delta).holds(budget)
        };
        // `within` rounds fit, `beyond` do not.
        let (mut within, mut beyond) = (0, ROUNDS_MAX + 1);
        while beyond - within > 1 {
            let middle = within + (beyond - within) / 2;
            if fits(middle) { within = middle } else { beyond = middle }
        }
        Ok(within)
    }

    /// The bound by Renyi divergence alone, in the resolution that other accountants are compared in: rounded up to
    /// units of 1e-12, without the limit on a loss. It holds for any sampling rate.
    ///
    /// **Errors**: what is out of its limits; [`AccountantError::Loss`] where no order gives a bound that fits.
    pub fn renyi_bound_pico(&self, rounds: u32, delta: Delta) -> Result<u64, AccountantError> {
        self.check(delta)?;
        check_rounds(rounds)?;
        let moments = Moments::new(self.sampling, self.noise, delta);
        moments.and_then(|moments| moments.loss(rounds)).ok_or(AccountantError::Loss)
    }

    /// The moments where subjects are sampled.
    fn moments(&self, delta: Delta) -> Option<Moments> {
        let sampled = u128::from(self.sampling) < SAMPLING_UNIT;
        if sampled { Moments::new(self.sampling, self.noise, delta) } else { None }
    }

    fn check(&self, delta: Delta) -> Result<(), AccountantError> {
        if self.sampling == 0 || u128::from(self.sampling) > SAMPLING_UNIT {
            return Err(AccountantError::Sampling);
        }
        if !(NOISE_MIN..=NOISE_MAX).contains(&self.noise) {
            return Err(AccountantError::Noise);
        }
        if delta.0 == 0 || delta > DELTA_MAX {
            return Err(AccountantError::Delta);
        }
        Ok(())
    }
}

fn check_rounds(rounds: u32) -> Result<(), AccountantError> {
    if (1..=ROUNDS_MAX).contains(&rounds) { Ok(()) } else { Err(AccountantError::Rounds) }
}

/// Units of `10^-12` as millionths, rounded up.
fn micro(pico: u64) -> u64 {
    pico.div_ceil(1_000_000)
}

impl fmt::Display for AccountantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sampling => "the sampling rate is zero or above the whole",
            Self::Noise => "the noise multiplier is out of its limits",
            Self::Rounds => "there is no round or too many",
            Self::Delta => "delta is out of its limits",
            Self::Loss => "the loss is beyond its limit",
        })
    }
}

impl core::error::Error for AccountantError {}

/// Rounds of one task.
pub const ROUNDS_MAX: u32 = 1_000_000;
/// The least noise multiplier. **Units**: thousandths.
pub const NOISE_MIN: u32 = 100;
/// The largest noise multiplier. **Units**: thousandths.
pub const NOISE_MAX: u32 = 1_000_000;
/// The largest delta: a tenth.
pub const DELTA_MAX: Delta = Delta(100_000_000_000);
/// The largest loss that is told: 1,000.
pub const LOSS_MAX: Epsilon = Epsilon(1_000_000_000);

/// Units of a sampling rate in one.
const SAMPLING_UNIT: u128 = 1_000_000_000;
/// Units of a noise multiplier in one.
const NOISE_UNIT: u128 = 1_000;
/// Millionths in one.
const MICRO: u128 = 1_000_000;
