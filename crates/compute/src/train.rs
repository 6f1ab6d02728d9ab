//! Training kernels (R097-R099): what a Vault's enclave computes over its own people in one round ([`round`]), what
//! the aggregator does with the Vaults' sums ([`aggregate`], [`noise`], [`step`]), and how a model is judged on
//! people held out ([`evaluate`]).
//!
//! One row is one subject. Each subject's contribution is clipped and brought onto a whole-number grid ([`grid`])
//! before anything is added up, so sums are exact: the same bytes for any number of threads, any cut into chunks and
//! any order of Vaults. Floating point happens inside one row or inside one step, in a fixed order, with `libm` and
//! without fused or reordered operations. The kernels use the caller's `rayon` pool; a process that may start no
//! threads after its lock-down makes the pool before. They are reached from tests and benchmarks so far: no node
//! runs them yet.

use serde::{Deserialize, Serialize};
use symphony_protocol::governance::accountant;
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;

pub mod aggregate;
pub mod dataset;
pub mod evaluate;
pub mod grid;
pub mod model;
pub mod noise;
pub mod round;
pub mod step;

mod affinity;
mod clusters;
mod logistic;
mod numbers;
mod perceptron;

/// What a round or a step refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// A size of a model or a dataset is zero or above its limit.
    #[error("the {0} are out of their limits")]
    Size(&'static str),
    /// A hyper-parameter is out of its limits.
    #[error("the {0} is out of its limits")]
    Setting(&'static str),
    /// Two things that belong together differ in shape.
    #[error("the {0} do not fit")]
    Shape(&'static str),
    /// A number of the input is not finite.
    #[error("the {0} hold a number that is not finite")]
    NotFinite(&'static str),
    /// A contribution, a step or a sum leaves the numbers that are computed with.
    #[error("the {0} explode")]
    Exploding(&'static str),
    /// A Vault's update is longer or shorter than the model.
    #[error("the update of {0} is of the wrong shape")]
    UpdateShape(VaultId),
    /// A Vault's update is more than its subjects can contribute.
    #[error("the update of {0} exceeds what its subjects can contribute")]
    UpdateBound(VaultId),
    /// A Vault sends twice, or chunks without an open update.
    #[error("the update of {0} is out of turn")]
    UpdateTurn(VaultId),
    /// The round was refused before, or an update is not finished.
    #[error("the round is not complete")]
    Incomplete,
    /// The noise cannot be drawn.
    #[error("drawing noise")]
    Noise,
}

/// What does not change during a training; whole numbers, because it is fixed and hashed at admission (R098).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The clipping norm: the most that one subject changes a sum. **Units**: thousandths.
    pub clip: u32,
    /// The length of a step along the mean gradient; clusters have none. **Units**: millionths.
    pub learning_rate: u32,
    /// How much of the last step goes into the next. **Units**: thousandths.
    pub momentum: u32,
    /// The pull of all weights but the biases to zero. **Units**: millionths.
    pub penalty: u32,
    /// Affinity: the pull of a person's factors to zero. **Units**: thousandths.
    pub ridge: u32,
    /// Affinity: the weight of an item that a person does not list. **Units**: thousandths.
    pub unlisted: u32,
}

impl Settings {
    /// A plain gradient step with clipping norm 1.
    pub const PLAIN: Self =
        Self { clip: 1_000, learning_rate: 1_000_000, momentum: 0, penalty: 0, ridge: 100, unlisted: 0 };

    /// Whether all are within their limits. **Errors**: [`TrainError::Setting`].
    pub fn check(&self) -> Result<(), TrainError> {
        let limits = [
            ("clipping norm", self.clip, 1, CLIP_MAX),
            ("learning rate", self.learning_rate, 1, LEARNING_RATE_MAX),
            ("momentum", self.momentum, 0, MOMENTUM_MAX),
            ("penalty", self.penalty, 0, PENALTY_MAX),
            ("ridge", self.ridge, 1, RIDGE_MAX),
            ("weight of unlisted items", self.unlisted, 0, 1_000),
        ];
        let outside = limits.iter().find(|(_, value, low, high)| value < low || value > high);
        outside.map_or(Ok(()), |(name, ..)| Err(TrainError::Setting(name)))
    }

    fn clip(&self) -> f64 {
        f64::from(self.clip) / 1e3
    }
}

/// Who takes part in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// The chance of each subject. **Units**: billionths; the whole is everybody.
    pub rate: u32,
    /// Of the task, the round and the Vault, so that no draw repeats another.
    pub seed: Digest,
}

impl Sampling {
    /// The rate of everybody.
    pub const EVERYBODY: u32 = 1_000_000_000;

    fn check(&self) -> Result<(), TrainError> {
        let within = (1..=Self::EVERYBODY).contains(&self.rate);
        if within { Ok(()) } else { Err(TrainError::Setting("sampling rate")) }
    }
}

/// The noise multipliers that the accountant knows. **Errors**: [`TrainError::Setting`].
fn check_noise(noise: u32) -> Result<(), TrainError> {
    let within = (accountant::NOISE_MIN..=accountant::NOISE_MAX).contains(&noise);
    if within { Ok(()) } else { Err(TrainError::Setting("noise multiplier")) }
}

/// The largest clipping norm: 1,000.
const CLIP_MAX: u32 = 1_000_000;
/// The largest learning rate: 1,000.
const LEARNING_RATE_MAX: u32 = 1_000_000_000;
/// The largest momentum: 0.999.
const MOMENTUM_MAX: u32 = 999;
/// The largest penalty: 100.
const PENALTY_MAX: u32 = 100_000_000;
/// The largest ridge: 1,000.
const RIDGE_MAX: u32 = 1_000_000;

#[cfg(test)]
mod tests;
