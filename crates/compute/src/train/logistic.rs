//! Logistic regression: the gradient of one person's log loss is `(probability - label) * (features, 1)`.

use super::TrainError;
use super::dataset::Features;
use super::grid::Contribution;
use super::numbers::{dot, sigmoid};
use super::round::Contribute;

pub(super) struct Logistic<'a> {
    weights: &'a [f64],
    rows: &'a Features,
    labels: &'a [bool],
}

impl<'a> Logistic<'a> {
    pub(super) fn new(weights: &'a [f64], rows: &'a Features) -> Result<Self, TrainError> {
        Ok(Self { weights, rows, labels: rows.labels()? })
    }

    pub(super) fn score(weights: &[f64], row: &[f32]) -> f64 {
        dot(row, &weights[..row.len()]) + weights[row.len()]
    }
}

impl<'a> Contribute<'a> for Logistic<'a> {
    fn contribute(&self, row: usize, out: &mut Contribution<'a>) -> Result<(), TrainError> {
        let features = self.rows.row(row);
        let residual = sigmoid(Self::score(self.weights, features)) - f64::from(u8::from(self.labels[row]));
        out.of_row(features, self.rows.square(row));
        out.multiple(0, residual);
        Ok(())
    }
}
