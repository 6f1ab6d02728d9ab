//! How good a model is, on people who were held out, inside their Vaults (R098, R100): counts that can be added up over
//! Vaults and noised, and the figures that follow from them.
//!
//! One person changes the counts of a [`ScoreHistogram`] by one and those of a [`MeanScore`] by at most the square
//! root of two, in units of [`PERSON`]; a release noises them with that sensitivity.

use symphony_protocol::artifact::training::Settings;

use super::TrainError;
use super::dataset::{Baskets, Features};
use super::model::Model;
use super::numbers::{sigmoid, softplus};
use super::round::sum_over_rows;

/// What one person counts.
pub const PERSON: i64 = 1 << 20;
/// The sensitivity of a [`ScoreHistogram`].
pub const HISTOGRAM_SENSITIVITY: u32 = 1 << 20;
/// The sensitivity of a [`MeanScore`]: `2^20 * sqrt(2)`, rounded up.
pub const MEAN_SENSITIVITY: u32 = 1_482_911;

/// How many counts a [`ScoreHistogram`] is released with, see [`ScoreHistogram::coarse`].
pub const RELEASED_COUNTS: usize = 2 * BINS / MERGED;

/// People by score and label. **Shape**: first those without the label, then those with it, each by score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoreHistogram {
    /// Counts in units of [`PERSON`]; noise may make them negative.
    pub counts: Vec<i64>,
}

/// One bin of a calibration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// The probability that the model tells.
    pub predicted: f64,
    /// The share that has the label.
    pub observed: f64,
    /// People.
    pub people: f64,
}

/// The mean of a score between zero and one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeanScore {
    /// The sum and the number of people, in units of [`PERSON`].
    pub counts: [i64; 2],
}

impl ScoreHistogram {
    /// Counts the people of one Vault. **Errors**: a model without a label, rows that do not fit or have none.
    pub fn new(model: &Model, rows: &Features) -> Result<Self, TrainError> {
        let labels = rows.labels()?;
        let counts = sum_over_rows(rows.rows(), 2 * BINS, |range, counts| {
            for row in range {
                let bin = bin(model.score(rows.row(row))?);
                counts[usize::from(labels[row]) * BINS + bin] += PERSON;
            }
            Ok(())
        })?;
        Ok(Self { counts })
    }

    /// The same people in fewer bins: what is noised is the noisier the more bins it has, and these are fine enough.
    pub fn coarse(&self) -> Self {
        Self { counts: self.counts.chunks(MERGED).map(|bins| bins.iter().sum()).collect() }
    }

    /// Adds the people of another Vault.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// The chance that somebody with the label scores above somebody without, equals counted half. `None` where one
    /// of the two sides has nobody. Noise is left as it is: cutting off what is below nobody would add people to every
    /// empty bin, and pull the figure to a half.
    pub fn auc(&self) -> Option<f64> {
        let (mut below, mut above) = (0.0, 0.0);
        for (_, without, with) in self.bins() {
            above += with * (below + without / 2.0);
            below += without;
        }
        let with: f64 = self.bins().map(|(_, _, with)| with).sum();
        (below > 0.0 && with > 0.0).then(|| (above / (below * with)).clamp(0.0, 1.0))
    }

    /// The mean log loss, as if everybody scored the middle of the bin; never below zero. `None` where there is nobody.
    pub fn log_loss(&self) -> Option<f64> {
        let (mut loss, mut people) = (0.0, 0.0);
        for (score, without, with) in self.bins() {
            loss += without * softplus(score) + with * softplus(-score);
            people += without + with;
        }
        (people > 0.0).then(|| (loss / people).max(0.0))
    }

    /// The bins that have people.
    pub fn calibration(&self) -> Vec<Calibration> {
        let bins = self.bins().map(|(score, without, with)| (score, without.max(0.0), with.max(0.0)));
        let bins = bins.filter(|(_, without, with)| without + with > 0.0);
        bins.map(|(score, without, with)| Calibration {
            predicted: sigmoid(score),
            observed: with / (without + with),
            people: without + with,
        })
        .collect()
    }

    /// The mean distance of what is predicted from what is observed, by people. `None` where there is nobody.
    pub fn calibration_error(&self) -> Option<f64> {
        let (mut error, mut people) = (0.0, 0.0);
        for bin in self.calibration() {
            error += (bin.predicted - bin.observed).abs() * bin.people;
            people += bin.people;
        }
        (people > 0.0).then(|| error / people)
    }

    /// The middle of each bin as a score, people without and with the label.
    fn bins(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let people = |count: i64| count as f64 / PERSON as f64;
        let bins = self.counts.len() / 2;
        let (without, with) = self.counts.split_at(bins);
        let middle = move |bin: usize| (bin as f64 + 0.5) * 2.0 * SCORE_MAX / bins as f64 - SCORE_MAX;
        without
            .iter()
            .zip(with)
            .enumerate()
            .map(move |(bin, (without, with))| (middle(bin), people(*without), people(*with)))
    }
}

impl MeanScore {
    /// The simplified silhouette: how much nearer everybody is to the own centre than to the next.
    /// **Errors**: another model, rows that do not fit.
    pub fn silhouette(model: &Model, rows: &Features) -> Result<Self, TrainError> {
        Self::over(rows.rows(), |row| {
            let (_, own, next) = model.cluster(rows.row(row))?;
            Ok(Some(if next > 0.0 { (next - own) / next } else { 0.0 }))
        })
    }

    /// The share of the items held out that are among the best `best` for a person who lists only the items given.
    /// People with nothing held out do not count.
    /// **Errors**: another model, lists that do not fit, a number of items that is zero.
    pub fn recall(
        model: &Model,
        settings: &Settings,
        (given, held): (&Baskets, &Baskets),
        best: usize,
    ) -> Result<Self, TrainError> {
        if given.rows() != held.rows() || given.items() != held.items() || best == 0 {
            return Err(TrainError::Shape("lists given and held out"));
        }
        let affinity = model.affinity(settings)?;
        Self::over(given.rows(), |row| {
            let (list, wanted) = (given.row(row), held.row(row));
            if wanted.is_empty() {
                return Ok(None);
            }
            let likings = affinity.affinities(list)?;
            let contains =
                |list: &[(u32, f32)], item| list.binary_search_by_key(&item, |(item, _)| *item).is_ok();
            let mut order: Vec<(u32, f64)> =
                (0..).zip(likings).filter(|(item, _)| !contains(list, *item)).collect();
            // Equal likings: the smaller item first.
            order.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
            let hits = order.iter().take(best).filter(|(item, _)| contains(wanted, *item)).count();
            Ok(Some(hits as f64 / wanted.len().min(best) as f64))
        })
    }

    /// Adds the people of another Vault.
    pub fn add(&mut self, other: &Self) {
        self.counts = [self.counts[0] + other.counts[0], self.counts[1] + other.counts[1]];
    }

    /// The mean. `None` where there is nobody.
    pub fn mean(&self) -> Option<f64> {
        let [sum, people] = self.counts;
        (people > 0).then(|| (sum as f64 / people as f64).clamp(0.0, 1.0))
    }

    fn over(
        rows: usize,
        score: impl Fn(usize) -> Result<Option<f64>, TrainError> + Sync,
    ) -> Result<Self, TrainError> {
        let counts = sum_over_rows(rows, 2, |range, counts| {
            for row in range {
                if let Some(score) = score(row)? {
                    // Between zero and one.
                    counts[0] += (score * PERSON as f64) as i64;
                    counts[1] += PERSON;
                }
            }
            Ok(())
        })?;
        Ok(Self { counts: [counts[0], counts[1]] })
    }
}

/// The bin of a score; what is beyond the ends goes into the last ones.
fn bin(score: f64) -> usize {
    let place = (score.clamp(-SCORE_MAX, SCORE_MAX) + SCORE_MAX) / (2.0 * SCORE_MAX) * BINS as f64;
    (place as usize).min(BINS - 1)
}

/// Bins are even in the score, the logit, so that rare labels have fine bins too.
const BINS: usize = 128;
/// Bins that are released as one: the width of one in the logit.
const MERGED: usize = 8;
/// Scores beyond this are as good as certain.
const SCORE_MAX: f64 = 8.0;
