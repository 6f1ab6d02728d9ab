//! Training kernels (R097-R099): what a Vault's enclave computes over its own people in one round ([`round`]), what
//! the aggregator does with the Vaults' sums ([`aggregate`], [`noise`], [`step`]), and how a model is judged on
//! people held out ([`evaluate`]). A Vault may also go several steps by itself ([`local`]). Around them stands what a round of a task is: the people of a Vault ([`people`]), its
//! part ([`part`]), and what is made of all parts ([`gathering`]).
//!
//! One row is one subject. Each subject's contribution is clipped and brought onto a whole-number grid ([`grid`])
//! before anything is added up, so sums are exact: the same bytes for any number of threads, any cut into chunks and
//! any order of Vaults. Floating point happens inside one row or inside one step, in a fixed order, with `libm` and
//! without fused or reordered operations. The kernels use the caller's `rayon` pool; a process that may start no
//! threads after its lock-down makes one of its own thread before.

use symphony_protocol::artifact::training::{EVERYBODY, Settings};
use symphony_protocol::governance::accountant;
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;

use crate::slice::SliceError;

pub mod aggregate;
pub mod dataset;
pub mod evaluate;
pub mod gathering;
pub mod grid;
pub mod local;
pub mod model;
pub mod noise;
pub mod part;
pub mod people;
pub mod round;
pub mod sharing;
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
    /// Fewer people than the plan trains on.
    #[error("fewer people than the minimum cohort")]
    TooFew,
    /// A learner that a round should begin with is another one.
    #[error("the learner is not the one that the round begins with")]
    Learner,
    /// The records lack what the plan reads.
    #[error("the records do not fit the plan: {0}")]
    Records(String),
    /// The noise cannot be drawn.
    #[error("drawing noise")]
    Noise,
}

/// The clipping norm of checked settings.
fn clip(settings: &Settings) -> f64 {
    f64::from(settings.clip) / 1e3
}

/// Whether all settings are within their limits. **Errors**: [`TrainError::Setting`].
fn check(settings: &Settings) -> Result<(), TrainError> {
    settings.check().map_err(TrainError::Setting)
}

impl From<SliceError> for TrainError {
    fn from(error: SliceError) -> Self {
        Self::Records(error.to_string())
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
    fn check(&self) -> Result<(), TrainError> {
        let within = (1..=EVERYBODY).contains(&self.rate);
        if within { Ok(()) } else { Err(TrainError::Setting("sampling rate")) }
    }
}

/// The noise multipliers that the accountant knows. **Errors**: [`TrainError::Setting`].
fn check_noise(noise: u32) -> Result<(), TrainError> {
    let within = (accountant::NOISE_MIN..=accountant::NOISE_MAX).contains(&noise);
    if within { Ok(()) } else { Err(TrainError::Setting("noise multiplier")) }
}

#[cfg(test)]
mod tests;
