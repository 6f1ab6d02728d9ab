//! What one Vault's enclave tells the aggregator's in one round (R097-R099): the sums over a sample of its people, the
//! counts over who is held out, and a share of the round's seed. Exact and therefore secret: it travels sealed, and is
//! wiped on drop.

use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::training::{ModelKind, TrainingPlan};
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use zeroize::Zeroize as _;

use super::evaluate::{MeanScore, PERSON, ScoreHistogram};
use super::gathering::Stage;
use super::local::{self, Walk};
use super::people::{HeldOut, People};
use super::round::update;
use super::step::Learner;
use super::{Sampling, TrainError};

/// A Vault's part of a round. Wiped on drop.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// People who could be drawn; how many were is not told.
    pub subjects: u32,
    /// The sum of their contributions, with local steps their average, in units of the grid; none in the last round.
    pub sums: Vec<i64>,
    /// People whom the counts are of.
    pub evaluated: u32,
    /// The counts of a [`ScoreHistogram`] or of a [`MeanScore`]; none where no evaluation is due.
    pub counts: Vec<i64>,
    /// This Vault's share of the seed of the round's noise: the same in all rounds of a task.
    pub share: [u8; 32],
    /// The key of the learner that the round begins with, from one Vault of the round; none in the first.
    pub learner: Option<[u8; 32]>,
}

impl Part {
    /// The part of these people. `seed` is of the task, the round and the Vault, so that no draw repeats another.
    ///
    /// **Errors**: people or a learner of another model; a contribution that explodes.
    pub fn compute(
        stage: &Stage<'_>,
        vault: &VaultId,
        learner: &Learner,
        people: &People,
        seed: Digest,
    ) -> Result<Self, TrainError> {
        let Stage { plan, position, .. } = stage;
        let training = &plan.training;
        let subjects = u32::try_from(people.training().rows()).map_err(|_| TrainError::Size("rows"))?;
        let mut part = Self {
            subjects,
            sums: Vec::new(),
            evaluated: 0,
            counts: Vec::new(),
            share: [0; 32],
            learner: None,
        };
        if !position.last {
            let sampling = Sampling { rate: training.privacy.sampling, seed };
            let (model, settings, people) = (learner.model(), &training.settings, people.training());
            let made = match training.model.local() {
                None => update(model, settings, people, &sampling)?,
                Some(local) => {
                    let trained = 1_000 - training.held_out.min(1_000);
                    let walk = Walk { local, settings, weight: stage.weight(vault)?, trained };
                    local::update(model, &walk, people, &sampling)?
                }
            };
            part.sums = made.sums;
        }
        if training.evaluates(position.round, position.last) {
            part.counts = counts(plan, learner, people.held_out())?;
            let people = counted(&training.model, &part.counts);
            part.evaluated = u32::try_from(people).map_err(|_| TrainError::Size("people held out"))?;
        }
        Ok(part)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.subjects.zeroize();
        self.sums.zeroize();
        self.evaluated.zeroize();
        self.counts.zeroize();
        self.share.zeroize();
        self.learner.zeroize();
    }
}

/// How the model does on who is held out. **Errors**: people of another model.
fn counts(plan: &TrainingPlan, learner: &Learner, held_out: &HeldOut) -> Result<Vec<i64>, TrainError> {
    let (model, settings) = (learner.model(), &plan.training.settings);
    match (&plan.training.model, held_out) {
        (
            ModelKind::Logistic | ModelKind::LocalLogistic(_) | ModelKind::Perceptron { .. },
            HeldOut::Features(rows),
        ) => Ok(ScoreHistogram::new(model, rows)?.coarse().counts),
        (ModelKind::Clusters { .. }, HeldOut::Features(rows)) => {
            Ok(MeanScore::silhouette(model, rows)?.counts.to_vec())
        }
        (ModelKind::Affinity { best, .. }, HeldOut::Lists { given, held }) => {
            Ok(MeanScore::recall(model, settings, (given, held), *best as usize)?.counts.to_vec())
        }
        (
            ModelKind::Logistic
            | ModelKind::LocalLogistic(_)
            | ModelKind::Perceptron { .. }
            | ModelKind::Clusters { .. }
            | ModelKind::Affinity { .. },
            HeldOut::Features(_) | HeldOut::Lists { .. },
        ) => Err(TrainError::Shape("model and the people held out")),
    }
}

/// People whom exact counts are of; of counts that nobody makes, anything.
pub(super) fn counted(model: &ModelKind, counts: &[i64]) -> i64 {
    let units = match model {
        ModelKind::Logistic | ModelKind::LocalLogistic(_) | ModelKind::Perceptron { .. } => {
            counts.iter().fold(0_i64, |sum, count| sum.saturating_add(*count))
        }
        ModelKind::Clusters { .. } | ModelKind::Affinity { .. } => counts.last().copied().unwrap_or(0),
    };
    units / PERSON
}
