//! What the aggregator makes of the Vaults' parts of one round (R097-R100): each part checked and added, whole or piece by
//! piece; noise on the sums and on the counts, one step of the learner, the figures of the evaluation.
//!
//! The seed of the noise is a digest over the round, the Vaults' shares and the exact sums and counts. Without the shares
//! nobody can draw it; who repeats the round with the same parts draws the same; and two different sums never carry the
//! same noise, which their difference would take off again.

use std::collections::BTreeMap;

use symphony_protocol::artifact::training::{Evaluation, ModelKind, Shape, TrainingPlan};
use symphony_protocol::lifecycle::training::Position;
use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::limits::SUBJECTS_PER_VAULT_MAX;
use zeroize::Zeroizing;

use super::aggregate::{StreamingSum, Totals};
use super::evaluate::{
    HISTOGRAM_SENSITIVITY, MEAN_SENSITIVITY, MeanScore, PERSON, RELEASED_COUNTS, ScoreHistogram,
};
use super::grid::CLIP_UNITS;
use super::part::{Part, counted};
use super::step::{Cohort, Learner};
use super::{TrainError, noise};

/// A round that is being combined. Holds one vector of sums, whatever the number of Vaults.
pub struct Gathering {
    sums: StreamingSum,
    /// People of the sums.
    trained: u64,
    counts: Zeroizing<Vec<i64>>,
    evaluated: u64,
    shares: BTreeMap<VaultId, Zeroizing<[u8; 32]>>,
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

impl Gathering {
    /// A round without parts.
    pub fn new(stage: &Stage<'_>) -> Self {
        let (sums, counts) = stage.lengths();
        let sums = match stage.plan.training.model.local() {
            None => StreamingSum::secure_sum(sums),
            Some(_) => StreamingSum::federated_average(sums, AVERAGE_UNITS),
        };
        let counts = Zeroizing::new(vec![0; counts]);
        Self { sums, trained: 0, counts, evaluated: 0, shares: BTreeMap::new() }
    }

    /// Adds the part of a Vault. One that is refused changes nothing.
    ///
    /// **Errors**: [`TrainError::UpdateShape`] and [`TrainError::UpdateBound`] for a part that no people of this plan can
    /// make, [`TrainError::UpdateTurn`] for a second one.
    pub fn add(&mut self, stage: &Stage<'_>, vault: &VaultId, part: &Part) -> Result<(), TrainError> {
        let evaluated = self.counted(stage, vault, part)?;
        self.sums.whole(vault, stage.counts_for(vault, part)?, &part.sums)?;
        self.count(vault, part, evaluated);
        Ok(())
    }

    /// Begins to add a part whose sums come in pieces, of which it holds the first. One that is refused here or later
    /// spoils the round.
    ///
    /// **Errors**: as [`Self::add`].
    pub fn begin(&mut self, stage: &Stage<'_>, vault: &VaultId, part: &Part) -> Result<(), TrainError> {
        let evaluated = self.counted(stage, vault, part)?;
        self.sums.begin(vault, stage.counts_for(vault, part)?)?;
        self.sums.chunk(vault, &part.sums)?;
        self.count(vault, part, evaluated);
        Ok(())
    }

    /// Adds the next sums of a part that has begun, and ends it with its last ones. **Errors**: as [`Self::add`].
    pub fn more(&mut self, vault: &VaultId, sums: &[i64], last: bool) -> Result<(), TrainError> {
        self.sums.chunk(vault, sums)?;
        if last { self.sums.end(vault) } else { Ok(()) }
    }

    /// People of a part's counts, if they are of this plan.
    fn counted(&self, stage: &Stage<'_>, vault: &VaultId, part: &Part) -> Result<u64, TrainError> {
        if part.counts.len() != self.counts.len() {
            return Err(TrainError::UpdateShape(vault.clone()));
        }
        let model = &stage.plan.training.model;
        let within = match model {
            ModelKind::Logistic | ModelKind::LocalLogistic(_) | ModelKind::Perceptron { .. } => {
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
        Ok(u64::from(part.evaluated))
    }

    fn count(&mut self, vault: &VaultId, part: &Part, evaluated: u64) {
        for (count, more) in self.counts.iter_mut().zip(&part.counts) {
            *count += more;
        }
        self.trained += u64::from(part.subjects);
        self.evaluated += evaluated;
        self.shares.insert(vault.clone(), Zeroizing::new(part.share));
    }

    /// Noise, step and figures.
    ///
    /// **Errors**: [`TrainError::TooFew`] below the plan's minimum; sums, noise or a model that explode.
    pub fn finish(self, stage: &Stage<'_>, learner: &Learner) -> Result<Combined, TrainError> {
        let Stage { task, plan, position, .. } = stage;
        let (privacy, minimum) = (&plan.training.privacy, u64::from(plan.minimum_cohort));
        let Totals { mut sums, .. } = self.sums.finish()?;
        if self.trained < minimum {
            return Err(TrainError::TooFew);
        }
        let mut counts = self.counts;
        let of_round = (task, position.round, position.state);
        let shares = Zeroizing::new(self.shares.values().map(|share| **share).collect::<Vec<_>>());
        let seed = Digest::of(SEED_TAG, &(of_round, shares.as_slice(), &sums, counts.as_slice()));
        noise::add(&mut sums, privacy.noise, CLIP_UNITS as u32, &Digest::tagged(SUMS_TAG, &seed.0))?;
        let counts = if self.evaluated >= minimum {
            let (most, seed) = (sensitivity(&plan.training.shape()), Digest::tagged(COUNTS_TAG, &seed.0));
            noise::add(&mut counts, privacy.evaluation_noise, most, &seed)?;
            Some(std::mem::take(&mut *counts))
        } else {
            None
        };
        stage.conclude(learner, Noised { sums, counts, seed })
    }
}

/// What is noised of a round.
pub(super) struct Noised {
    /// The sums of the step; empty in the last round.
    pub(super) sums: Vec<i64>,
    /// The counts over who is held out; none where too few are, empty where no evaluation is due.
    pub(super) counts: Option<Vec<i64>>,
    /// The seed of the noise.
    pub(super) seed: Digest,
}

/// A round of a task, whichever environment it is combined in.
#[derive(Clone, Copy, Debug)]
pub struct Stage<'a> {
    /// The task.
    pub task: TaskId,
    /// Its plan.
    pub plan: &'a TrainingPlan,
    /// Which round it is.
    pub position: &'a Position,
    /// Its Vaults.
    pub vaults: &'a [VaultId],
    /// About all people of each, those held out among them, in the same order.
    pub subjects: &'a [u64],
}

impl Stage<'_> {
    /// How many sums and how many counts each Vault brings.
    pub(super) fn lengths(&self) -> (usize, usize) {
        let (training, Position { round, last, .. }) = (&self.plan.training, *self.position);
        let sums = if last { 0 } else { training.shape().coordinates() };
        (sums, if training.evaluates(round, last) { counts_of(&training.shape()) } else { 0 })
    }

    /// About all people of all Vaults.
    pub(super) fn people(&self) -> u64 {
        self.subjects.iter().fold(0, |sum, subjects| sum.saturating_add(*subjects))
    }

    /// About how many people are trained on.
    pub(super) fn trained_on(&self) -> u64 {
        let share = u64::from(1_000 - self.plan.training.held_out.min(1_000));
        self.people().saturating_mul(share) / 1_000
    }

    /// What the average of a Vault counts for: about all its people. It follows from the order, so that one person
    /// changes nothing of it. **Errors**: [`TrainError::UpdateTurn`] for a Vault that is not of the round.
    pub(super) fn weight(&self, vault: &VaultId) -> Result<u64, TrainError> {
        let found = self.vaults.iter().zip(self.subjects).find(|(known, _)| *known == vault);
        found.map(|(_, subjects)| *subjects).ok_or_else(|| TrainError::UpdateTurn(vault.clone()))
    }

    /// By what a part's sums are bounded, or with local steps weighed. **Errors**: more people than a Vault has.
    fn counts_for(&self, vault: &VaultId, part: &Part) -> Result<u32, TrainError> {
        if self.plan.training.model.local().is_none() {
            return Ok(part.subjects);
        }
        let beyond = || TrainError::UpdateBound(vault.clone());
        if part.subjects > SUBJECTS_PER_VAULT_MAX {
            return Err(beyond());
        }
        u32::try_from(self.weight(vault)?).map_err(|_| beyond())
    }

    /// Step and figures. **Errors**: counts of another model; a model that explodes.
    pub(super) fn conclude(&self, learner: &Learner, noised: Noised) -> Result<Combined, TrainError> {
        let Noised { sums, counts, seed } = noised;
        let training = &self.plan.training;
        let counts = counts.filter(|counts| !counts.is_empty());
        let evaluation = counts.and_then(|counts| figures(&training.model, &counts));
        let next = if self.position.last {
            None
        } else {
            let cohort = Cohort { subjects: self.trained_on().max(1), rate: training.privacy.sampling };
            let mut next = learner.clone();
            next.step(&training.round_settings(), &sums, cohort)?;
            Some(next)
        };
        Ok(Combined { next, sums, evaluation, seed })
    }
}

pub(super) fn counts_of(shape: &Shape) -> usize {
    match shape {
        Shape::Logistic { .. } | Shape::Perceptron { .. } => RELEASED_COUNTS,
        Shape::Clusters { .. } | Shape::Affinity { .. } => 2,
    }
}

pub(super) fn sensitivity(shape: &Shape) -> u32 {
    match shape {
        Shape::Logistic { .. } | Shape::Perceptron { .. } => HISTOGRAM_SENSITIVITY,
        Shape::Clusters { .. } | Shape::Affinity { .. } => MEAN_SENSITIVITY,
    }
}

/// The figures of noised counts. `None` where noise has left nobody, or nobody of one side.
fn figures(model: &ModelKind, counts: &[i64]) -> Option<Evaluation> {
    match model {
        ModelKind::Logistic | ModelKind::LocalLogistic(_) | ModelKind::Perceptron { .. } => {
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

/// The most that the average of a Vault may be: no damped walk goes farther than twice the expected people, each at the
/// clipping norm.
const AVERAGE_UNITS: u32 = 2 * CLIP_UNITS as u32;
const SEED_TAG: &str = "symphony/train-round-seed/v1";
const SUMS_TAG: &str = "symphony/train-sums-seed/v1";
const COUNTS_TAG: &str = "symphony/train-counts-seed/v1";
