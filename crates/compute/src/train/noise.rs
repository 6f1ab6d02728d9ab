//! Gaussian noise on the grid, from the library that draws it exactly and a seed that the aggregator's enclave keeps
//! (D10): the same seed gives the same noise on replay.
//!
//! The standard deviation is the multiplier times the most that one person can change the sum. The grid has at least
//! 2^20 steps in that, so the accountant's continuous Gaussian and the discrete one differ by far less than the
//! accountant's rounding.

use prio::dp::Rational;
use prio::dp::distributions::DiscreteGaussian;
use rand::SeedableRng as _;
use rand::distr::Distribution as _;
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;
use symphony_types::digest::Digest;

use super::{TrainError, check_noise};

/// Adds noise to every number of `sums`. `noise` is the multiplier in thousandths, as the accountant takes it;
/// `sensitivity` the most that one person changes the sums, in the L2 norm and in their units. A seed is for one
/// release.
///
/// **Errors**: a multiplier out of its limits; numbers that do not fit.
pub fn add(sums: &mut [i64], noise: u32, sensitivity: u32, seed: &Digest) -> Result<(), TrainError> {
    check_noise(noise)?;
    let deviation = u64::from(noise) * u64::from(sensitivity);
    let gaussian = Rational::from_unsigned(deviation, 1_000_u64)
        .and_then(DiscreteGaussian::new)
        .map_err(|_| TrainError::Noise)?;
    sums.par_chunks_mut(CHUNK).enumerate().try_for_each(|(at, chunk)| {
        let mut stream = ChaCha20Rng::from_seed(Digest::of(NOISE_TAG, &(seed, at as u64)).0);
        for sum in chunk {
            let noise = i64::try_from(gaussian.sample(&mut stream)).map_err(|_| TrainError::Noise)?;
            *sum = sum.checked_add(noise).ok_or(TrainError::Exploding("sums"))?;
        }
        Ok(())
    })
}

/// Numbers drawn from one stream; a part of the definition of the noise.
const CHUNK: usize = 256;
const NOISE_TAG: &str = "symphony/train-noise/v1";
