//! Where a training is, and what follows (R097, R098, R102, D20). Masters, Vaults and verifier walk the same way with the
//! same steps.
//!
//! ```text
//! round 1 -> round 2 -> ... -> round T -> last round (evaluates, releases the model)
//!        \-> last round, once the quality has not become better for `patience` evaluations
//! ```

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;

use crate::artifact::training::{Extra, Training, TrainingPlan};
use crate::artifact::{Outcome, ResolvedOperand, TaskEnvelope};

/// The round that a training is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// From one.
    pub round: u32,
    /// Whether the model is only evaluated, and released.
    pub last: bool,
    /// Digest of the learner that the round begins with; zero for the initial one, which everybody can make.
    pub state: Digest,
    /// The best quality so far. **Units**: millionths.
    best: u32,
    /// Evaluations since then.
    since_best: u32,
}

impl Position {
    /// The first round.
    pub const FIRST: Self = Self { round: 1, last: false, state: Digest::ZERO, best: 0, since_best: 0 };

    /// A round that an order names, wherever the training came from.
    pub const fn of(round: u32, last: bool, state: Digest) -> Self {
        Self { round, last, state, ..Self::FIRST }
    }

    /// The round after this one, when it had this outcome; `None` after the last.
    pub fn next(&self, training: &Training<ResolvedOperand>, outcome: &Outcome) -> Option<Self> {
        let Outcome::Step { state, evaluation } = outcome else { return None };
        let (best, since_best) = match evaluation {
            Some(evaluation) if evaluation.quality > self.best => (evaluation.quality, 0),
            Some(_) => (self.best, self.since_best + 1),
            None => (self.best, self.since_best),
        };
        let stopped = training.patience > 0 && since_best >= training.patience;
        let last = stopped || self.round >= training.rounds;
        Some(Self { round: self.round + 1, last, state: *state, best, since_best })
    }

    /// What each person has lost once this round is done, with releases beyond one a round. **Errors**: `ADM-0027`, which
    /// admission has excluded.
    pub fn spent(&self, training: &Training<ResolvedOperand>, extra: Extra) -> Result<Epsilon, Code> {
        let spent = training.spent(self.round, self.last, extra).map_err(|_| Code::SettingOutOfRange)?;
        Ok(spent.max(Epsilon(1)))
    }
}

/// The training of an envelope. **Errors**: `EXE-0006` when it is another task's.
pub fn plan(envelope: &TaskEnvelope) -> Result<&TrainingPlan, Code> {
    envelope.plan.training().ok_or(Code::EnvelopeInvalid)
}
