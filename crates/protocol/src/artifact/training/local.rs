//! Local steps of a round (R098, R099): what a Vault may do by itself before it tells the aggregator how far it has gone,
//! and which lengths of steps keep one person's influence within the number of steps times the clipping norm.
//!
//! The bound rests on one fact: for logistic regression with clipped gradients a short enough step never takes two models
//! farther apart, so a person's influence adds up over the steps and is not multiplied. The other models have no such
//! proof, and therefore no local steps.

use serde::{Deserialize, Serialize};

use super::Settings;

/// How each Vault goes on by itself in every round; of logistic regression only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// Steps a round; one is the plain method, which has no such settings.
    pub steps: u32,
    /// The length of one along the mean gradient of the Vault. **Units**: millionths.
    pub rate: u32,
    /// A person's features, and the one of the bias, are shortened to this norm. **Units**: thousandths.
    pub norm: u32,
}

impl Local {
    /// Whether the bound on one person's influence holds with these settings. **Errors**: the name of one that is out of its
    /// limits.
    pub fn check(&self, settings: &Settings) -> Result<(), &'static str> {
        let (rate, norm, clip) = (u128::from(self.rate), u128::from(self.norm), u128::from(settings.clip));
        if !(2..=LOCAL_STEPS_MAX).contains(&self.steps) {
            return Err("local steps");
        }
        // Nobody's gradient is longer than the features, so a longer clipping norm would be noise and nothing else.
        if norm < clip || norm > NORM_PER_CLIP_MAX * clip {
            return Err("norm of features");
        }
        if rate == 0 || rate * norm * norm > STABLE {
            return Err("local learning rate");
        }
        self.of_round(settings).check()
    }

    /// What the aggregator goes by: one person changes a round by the clipping norm in each step, a learning rate of one
    /// makes the average of the Vaults' models the next one, and the penalty pulls as much as in all steps.
    pub fn of_round(&self, settings: &Settings) -> Settings {
        let rate = u64::from(settings.learning_rate) * u64::from(self.rate) / 1_000_000;
        Settings {
            clip: settings.clip.saturating_mul(self.steps),
            learning_rate: u32::try_from(rate).unwrap_or(u32::MAX),
            penalty: settings.penalty.saturating_mul(self.steps),
            ..*settings
        }
    }
}

/// Local steps of a round.
pub const LOCAL_STEPS_MAX: u32 = 64;
/// The norm of features, in clipping norms: within it, what floating point leaves open stays far below one person.
const NORM_PER_CLIP_MAX: u128 = 1_000;
/// The largest `rate * norm^2`: 4, in millionths of millionths. A round's scale is at most twice the rate over the expected
/// people, and the gradient of one person turns by at most a quarter of the square of the norm.
const STABLE: u128 = 4_000_000_000_000;
