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

impl<'a> Logistic<'a> {
    fn put(&self, row: usize, probability: f64, out: &mut Contribution<'a>) {
        out.of_row(self.rows.row(row), self.rows.square(row));
        out.multiple(0, probability - f64::from(u8::from(self.labels[row])));
    }
}

impl<'a> Contribute<'a> for Logistic<'a> {
    fn contribute(&self, row: usize, out: &mut Contribution<'a>) -> Result<(), TrainError> {
        self.put(row, sigmoid(Self::score(self.weights, self.rows.row(row))), out);
        Ok(())
    }

    /// All scores, then all probabilities: so one person's sums do not wait for the exponential of the one before.
    fn contribute_each(
        &self,
        rows: &[usize],
        out: &mut Contribution<'a>,
        add: &mut dyn FnMut(&Contribution) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let mut numbers = std::mem::take(&mut out.scratch);
        numbers.clear();
        numbers.extend(rows.iter().map(|row| Self::score(self.weights, self.rows.row(*row))));
        for number in &mut numbers {
            *number = sigmoid(*number);
        }
        for (row, probability) in rows.iter().zip(&numbers) {
            out.clear();
            self.put(*row, *probability, out);
            add(out)?;
        }
        out.scratch = numbers;
        Ok(())
    }
}
