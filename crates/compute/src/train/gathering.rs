//! What the aggregator makes of the Vaults' parts of one round (R097-R100): each part checked whole before it is added,
//! noise on the sums and on the counts, one step of the learner, the figures of the evaluation.
//!
//! The seed of the noise is a digest over the round, the Vaults' shares and the exact sums and counts. Without the shares
//! nobody can draw it; who repeats the round with the same parts draws the same; and two different sums never carry the
//! same noise, which their difference would take off again.

use symphony_protocol::artifact::training::{Evaluation, ModelKind, Shape, TrainingPlan};
use symphony_protocol::lifecycle::training::Position;
use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};
use zeroize::Zeroizing;

use super::aggregate::StreamingSum;
use super::evaluate::{
    HISTOGRAM_SENSITIVITY, MEAN_SENSITIVITY, MeanScore, PERSON, RELEASED_COUNTS, ScoreHistogram,
};
use super::grid::CLIP_UNITS;
use super::part::{Part, counted};
use super::step::{Cohort, Learner};
use super::{TrainError, noise};

/// A round that is being combined. Holds one vector of sums, whatever the number of Vaults.
pub struct Gathering<'a> {
    task: TaskId,
    plan: &'a TrainingPlan,
    position: &'a Position,
    sums: StreamingSum,
    counts: Zeroizing<Vec<i64>>,
    evaluated: u64,
    shares: Zeroizing<Vec<[u8; 32]>>,
}

/// What comes out of a round.
#[derive(Clone, Debug, PartialEq)]
pub struct Combined {
    /// The learner after the step; none after the last round.
    pub next: Option<Learner>,
    /// The noised sums of the step, in units of the grid; none in the last round.
    pub sums: Vec<i64>,
    /// How good the model was before the step, out of noised counts; none where no evaluation was due or too few people
    /// were held out.
    pub evaluation: Option<Evaluation>,
    /// The seed of the noise; it never leaves the enclave.
    pub seed: Digest,
}

impl<'a> Gathering<'a> {
    /// A round without parts.
    pub fn new(task: TaskId, plan: &'a TrainingPlan, position: &'a Position) -> Self {
        let training = &plan.training;
        let coordinates = if position.last { 0 } else { training.shape().coordinates() };
        let due = training.evaluates(position.round, position.last);
        let counts = Zeroizing::new(vec![0; if due { counts_of(&training.shape()) } else { 0 }]);
        let sums = StreamingSum::secure_sum(coordinates);
        Self { task, plan, position, sums, counts, evaluated: 0, shares: Zeroizing::new(Vec::new()) }
    }

    /// Adds the part of a Vault. One that is refused changes nothing.
    ///
    /// **Errors**: [`TrainError::UpdateShape`] and [`TrainError::UpdateBound`] for a part that no people of this plan can
    /// make, [`TrainError::UpdateTurn`] for a second one.
    pub fn add(&mut self, vault: &VaultId, part: &Part) -> Result<(), TrainError> {
        if part.counts.len() != self.counts.len() {
            return Err(TrainError::UpdateShape(vault.clone()));
        }
        let model = &self.plan.training.model;
        let within = match model {
            ModelKind::Logistic | ModelKind::Perceptron { .. } => {
                part.counts.iter().all(|count| *count >= 0 && count % PERSON == 0)
            }
            ModelKind::Clusters { .. } | ModelKind::Affinity { .. } => {
                let whole = |counts: &[i64]| counts[1] % PERSON == 0 && (0..=counts[1]).contains(&counts[0]);
                part.counts.is_empty() || whole(&part.counts)
            }
        };
        let evaluated = counted(model, &part.counts);
        if !within || evaluated != i64::from(part.evaluated) {
            return Err(TrainError::UpdateBound(vault.clone()));
        }
        self.sums.whole(vault, part.subjects, &part.sums)?;
        for (count, more) in self.counts.iter_mut().zip(&part.counts) {
            *count += more;
        }
        self.evaluated += u64::from(part.evaluated);
        self.shares.push(part.share);
        Ok(())
    }

    /// Noise, step and figures. `subjects` are about all people of the Vaults, those held out among them.
    ///
    /// **Errors**: [`TrainError::TooFew`] below the plan's minimum; sums, noise or a model that explode.
    pub fn finish(self, learner: &Learner, subjects: u64) -> Result<Combined, TrainError> {
        let (plan, training) = (self.plan, &self.plan.training);
        let totals = self.sums.finish()?;
        if totals.subjects < u64::from(plan.minimum_cohort) {
            return Err(TrainError::TooFew);
        }
        let (mut sums, mut counts) = (totals.sums, self.counts);
        let of_round = (self.task, self.position.round, self.position.state);
        let seed = Digest::of(SEED_TAG, &(of_round, self.shares.as_slice(), &sums, counts.as_slice()));
        let enough = !counts.is_empty() && self.evaluated >= u64::from(plan.minimum_cohort);
        let evaluation = if enough {
            let counts_seed = Digest::tagged(COUNTS_TAG, &seed.0);
            noise::add(
                &mut counts,
                training.privacy.evaluation_noise,
                sensitivity(&training.shape()),
                &counts_seed,
            )?;
            figures(&training.model, &counts)
        } else {
            None
        };
        if self.position.last {
            return Ok(Combined { next: None, sums, evaluation, seed });
        }
        noise::add(&mut sums, training.privacy.noise, CLIP_UNITS as u32, &Digest::tagged(SUMS_TAG, &seed.0))?;
        let trained_on = subjects.saturating_mul(u64::from(1_000 - training.held_out.min(1_000))) / 1_000;
        let cohort = Cohort { subjects: trained_on.max(1), rate: training.privacy.sampling };
        let mut next = learner.clone();
        next.step(&training.settings, &sums, cohort)?;
        Ok(Combined { next: Some(next), sums, evaluation, seed })
    }
}

fn counts_of(shape: &Shape) -> usize {
    match shape {
        Shape::Logistic { .. } | Shape::Perceptron { .. } => RELEASED_COUNTS,
        Shape::Clusters { .. } | Shape::Affinity { .. } => 2,
    }
}

fn sensitivity(shape: &Shape) -> u32 {
    match shape {
        Shape::Logistic { .. } | Shape::Perceptron { .. } => HISTOGRAM_SENSITIVITY,
        Shape::Clusters { .. } | Shape::Affinity { .. } => MEAN_SENSITIVITY,
    }
}

/// The figures of noised counts. `None` where noise has left nobody, or nobody of one side.
fn figures(model: &ModelKind, counts: &[i64]) -> Option<Evaluation> {
    match model {
        ModelKind::Logistic | ModelKind::Perceptron { .. } => {
            let histogram = ScoreHistogram { counts: counts.to_vec() };
            Some(Evaluation {
                quality: millionths(histogram.auc()?),
                log_loss: histogram.log_loss().map(millionths),
                calibration_error: histogram.calibration_error().map(millionths),
            })
        }
        ModelKind::Clusters { .. } | ModelKind::Affinity { .. } => {
            let mean = MeanScore { counts: counts.try_into().ok()? };
            Some(Evaluation { quality: millionths(mean.mean()?), log_loss: None, calibration_error: None })
        }
    }
}

/// The nearest whole number of millionths; halves away from zero.
fn millionths(figure: f64) -> u32 {
    (figure * 1e6).round().clamp(0.0, f64::from(u32::MAX)) as u32
}

const SEED_TAG: &str = "symphony/train-round-seed/v1";
const SUMS_TAG: &str = "symphony/train-sums-seed/v1";
const COUNTS_TAG: &str = "symphony/train-counts-seed/v1";
