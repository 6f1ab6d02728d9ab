//! Local steps (R098, R099): a Vault's enclave goes on by itself for a few steps of logistic regression, and tells the
//! aggregator how far it has come, as the average over its people that federated averaging weighs and adds up. Nobody
//! changes the weighted sum by more than `L * C`, the steps times the clipping norm: the unit of the grid is
//! `L * C / 2^30`.
//!
//! From the learner `w` of the round, over one sample `S` of the round for all steps:
//!
//! ```text
//! w' = w' - rate / m * damping(|S|) * sum over S of clipped gradients at w'      L times
//! m = people that the receipt announces * share trained on * sampling rate       the same whoever takes part
//! damping(n) = 1 - n / 8m up to n = 4m, beyond it 2m / n
//! ```
//!
//! - A clipped gradient is `slope(score) * features`, where `slope` grows with the score and nowhere faster than a quarter:
//!   the gradient of a convex function whose own gradient turns by at most `B^2 / 4`, with features shortened to norm
//!   `B`. A step along such gradients with `rate * 2 * B^2 / 4 <= 2` takes no two models farther apart. The damping keeps
//!   `n * damping(n)` within `2m` whatever the sample, so the settings alone decide, and no wrong receipt can undo it.
//! - One person more changes a step by at most `rate / m * C`: `n * (damping(n) - damping(n + 1)) + damping(n + 1) <= 1`.
//! - What is computed is not what is proven: [`Reach`] cuts every contribution by what rounding can add.
//!
//! Why, with the proof and its sources: decision 0046.

use symphony_protocol::artifact::training::{Local, Settings, Shape};
use symphony_types::limits::SUBJECTS_PER_VAULT_MAX;
use zeroize::Zeroizing;

use super::dataset::{Dataset, Features};
use super::grid::{CLIP_UNITS, Clipper, Contribution};
use super::logistic::Logistic;
use super::model::Model;
use super::numbers::sigmoid;
use super::round::{Draw, Update, sum_over_rows};
use super::{Sampling, TrainError, clip};

/// One Vault in a round with local steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Walk<'a> {
    /// The steps.
    pub local: &'a Local,
    /// The settings of one step.
    pub settings: &'a Settings,
    /// What the Vault's average counts for: about how many people it has, those held out among them.
    pub weight: u64,
    /// The share of people who are trained on. **Units**: thousandths.
    pub trained: u32,
}

/// How far `dataset` takes `model` in a round: its average, in units of the grid over the weight.
///
/// **Errors**: settings that have no bound; a dataset or a model of another kind; too many people times features.
pub fn update(
    model: &Model,
    walk: &Walk<'_>,
    dataset: &Dataset,
    sampling: &Sampling,
) -> Result<Update, TrainError> {
    walk.local.check(walk.settings).map_err(TrainError::Setting)?;
    unbounded(model, walk, dataset, sampling)
}

/// The same with settings that nobody has checked: only those of [`Local::check`] bound one person's influence.
pub(super) fn unbounded(
    model: &Model,
    walk: &Walk<'_>,
    dataset: &Dataset,
    sampling: &Sampling,
) -> Result<Update, TrainError> {
    sampling.check()?;
    let (Shape::Logistic { .. }, Dataset::Features(rows)) = (model.shape(), dataset) else {
        return Err(TrainError::Shape("model and the dataset"));
    };
    if rows.width() + 1 != model.parameters().len() {
        return Err(TrainError::Shape("model and the dataset"));
    }
    let subjects = u32::try_from(rows.rows()).map_err(|_| TrainError::Size("rows"))?;
    if walk.weight > u64::from(SUBJECTS_PER_VAULT_MAX) {
        return Err(TrainError::Size("people of the round"));
    }
    let sums = if walk.weight == 0 {
        vec![0; model.parameters().len()]
    } else {
        Sample::drawn(model, walk, rows, sampling)?.walked(walk)?
    };
    Ok(Update { subjects, sums })
}

/// The sample of a round, ready for steps.
struct Sample<'a> {
    rows: &'a Features,
    labels: &'a [bool],
    drawn: Zeroizing<Vec<u32>>,
    /// Of each person drawn, by the learner that the round begins with. It is the same whoever else takes part, so its
    /// own rounding separates no two walks.
    scores: Zeroizing<Vec<f64>>,
    norm: f64,
    expected: f64,
    reach: Reach,
}

impl<'a> Sample<'a> {
    fn drawn(
        model: &Model,
        walk: &Walk<'_>,
        rows: &'a Features,
        sampling: &Sampling,
    ) -> Result<Self, TrainError> {
        let reach = Reach::new(walk, rows.width())?;
        let norm = f64::from(walk.local.norm) / 1e3;
        let mut draw = Draw::new(sampling, 0);
        // A dataset has fewer rows than 2^32.
        let drawn: Zeroizing<Vec<u32>> =
            Zeroizing::new((0..rows.rows()).filter(|_| draw.next()).map(|row| row as u32).collect());
        let scores = drawn.iter().map(|row| {
            let row = *row as usize;
            let score = Logistic::score(model.parameters(), rows.row(row));
            (score * shortened(rows, row, norm)).clamp(-SCORE_MAX, SCORE_MAX)
        });
        let scores = Zeroizing::new(scores.collect());
        let rate = f64::from(sampling.rate) / 1e9;
        let expected = walk.weight as f64 * (f64::from(walk.trained) / 1e3) * rate;
        Ok(Self { rows, labels: rows.labels()?, drawn, scores, norm, expected, reach })
    }

    /// All steps, and what they come to.
    fn walked(&self, walk: &Walk<'_>) -> Result<Vec<i64>, TrainError> {
        let damping = damping(self.drawn.len() as f64, self.expected);
        let unit = clip(walk.settings) / FINE_UNITS;
        let along = f64::from(walk.local.rate) / 1e6 / self.expected * damping * unit;
        let mut moved = Zeroizing::new(vec![0.0; self.rows.width() + 1]);
        let mut total = Zeroizing::new(vec![0_i128; self.rows.width() + 1]);
        for _ in 0..walk.local.steps {
            let gradient = Zeroizing::new(self.gradient(&moved)?);
            for ((moved, total), one) in moved.iter_mut().zip(total.iter_mut()).zip(gradient.iter()) {
                *total += i128::from(*one);
                *moved = -along * *total as f64;
            }
        }
        let whole = walk.weight as f64 * f64::from(walk.local.steps) * (FINE_UNITS / CLIP_UNITS as f64);
        let factor = damping / whole;
        // Below 2^31: `n * damping(n)` is within twice the expected people, and those within the weight.
        Ok(total.iter().map(|one| (*one as f64 * factor).round_ties_even() as i64).collect())
    }

    /// The sum of clipped gradients where the walk is, in fine units.
    fn gradient(&self, moved: &[f64]) -> Result<Vec<i64>, TrainError> {
        sum_over_rows(self.drawn.len(), moved.len(), |range, sums| {
            let mut contribution = Contribution::default();
            for (row, score) in self.drawn[range.clone()].iter().zip(&self.scores[range]) {
                let row = *row as usize;
                let short = shortened(self.rows, row, self.norm);
                let score = score + short * Logistic::score(moved, self.rows.row(row));
                let slope = sigmoid(score) - f64::from(u8::from(self.labels[row]));
                contribution.clear();
                contribution.of_row(self.rows.row(row), self.rows.square(row));
                contribution.multiple(0, slope * short);
                self.reach.clipper.add(&contribution, sums)?;
            }
            Ok(())
        })
    }
}

/// What a person's features, with the one of the bias, are multiplied by to be within the norm.
fn shortened(rows: &Features, row: usize, norm: f64) -> f64 {
    let length = (1.0 + rows.square(row)).sqrt();
    if length <= norm { 1.0 } else { norm / length }
}

/// How much of a step a sample of `drawn` people takes where so many are expected.
pub(super) fn damping(drawn: f64, expected: f64) -> f64 {
    if drawn <= 4.0 * expected { 1.0 - drawn / (8.0 * expected) } else { 2.0 * expected / drawn }
}

/// What is left of the clipping norm after all that rounding can add to one person's influence: on the grid of the average,
/// whose units count `weight` times; on the fine grid of each step; and in the scores, where floating point may turn
/// the gradients of all others a little. Follows from the plan and the weight, never from the people.
struct Reach {
    clipper: Clipper,
}

impl Reach {
    /// **Errors**: [`TrainError::Size`] where too little would be left.
    fn new(walk: &Walk<'_>, features: usize) -> Result<Self, TrainError> {
        let Walk { local, settings, weight, .. } = walk;
        let (clip, norm) = (clip(settings), f64::from(local.norm) / 1e3);
        let (features, weight) = (features as f64, *weight as f64);
        // The longest way of a walk times the longest features: no score moves by more.
        let moved = 2.0 * f64::from(local.rate) / 1e6 * f64::from(local.steps) * clip * norm;
        let of_score = f64::EPSILON * ((features / 8.0 + 32.0) * moved + SCORE_MAX);
        // A gradient turns by a quarter of an error of the score in each of two walks; beside it the exponential's own error.
        let of_gradient = norm / clip * (of_score / 2.0 + 64.0 * f64::EPSILON);
        let rounding = (features + 1.0).sqrt();
        let reserve = weight * rounding / CLIP_UNITS as f64
            + 3.0 * weight.max(1.0) * (rounding / FINE_UNITS + of_gradient);
        if reserve > RESERVE_MAX {
            return Err(TrainError::Size("people times features"));
        }
        Ok(Self { clipper: Clipper::to(clip, FINE_UNITS * (1.0 - reserve)) })
    }
}

/// The clipping norm in units of a step: 16 million people stay below `2^62`.
const FINE_UNITS: f64 = (1_u64 << 38) as f64;
/// No score of the learner that a round begins with is farther from zero; beyond it every chance is none or one.
const SCORE_MAX: f64 = 1_024.0;
/// The largest share of the clipping norm that is kept back.
const RESERVE_MAX: f64 = 0.125;
