//! One hidden layer of rectified units and one output, for a label: the gradient of one person's log loss by
//! backpropagation. Units that stay silent contribute nothing.

use super::TrainError;
use super::dataset::Features;
use super::grid::Contribution;
use super::numbers::{dot, product, sigmoid};
use super::round::Contribute;

pub(super) struct Perceptron<'a> {
    parameters: &'a [f64],
    hidden: usize,
    rows: &'a Features,
    labels: &'a [bool],
}

impl<'a> Perceptron<'a> {
    pub(super) fn new(parameters: &'a [f64], hidden: usize, rows: &'a Features) -> Result<Self, TrainError> {
        Ok(Self { parameters, hidden, rows, labels: rows.labels()? })
    }

    /// Weights evenly within what keeps a unit's variance (He and others 2015), biases zero. `draw` is even in -1..1.
    pub(super) fn initial(features: u32, hidden: u32, mut draw: impl FnMut() -> f64) -> Vec<f64> {
        let mut parameters = Vec::new();
        let (reach, last_reach) = ((6.0 / f64::from(features)).sqrt(), (3.0 / f64::from(hidden)).sqrt());
        for _ in 0..hidden {
            parameters.extend((0..features).map(|_| draw() * reach));
            parameters.push(0.0);
        }
        parameters.extend((0..hidden).map(|_| draw() * last_reach));
        parameters.push(0.0);
        parameters
    }

    pub(super) fn score(parameters: &[f64], hidden: usize, row: &[f32]) -> f64 {
        let mut activations = Vec::with_capacity(hidden);
        forward(parameters, hidden, row, &mut activations)
    }
}

/// The score, with the activations of the hidden units.
fn forward(parameters: &[f64], hidden: usize, row: &[f32], activations: &mut Vec<f64>) -> f64 {
    let width = row.len();
    let (first, last) = parameters.split_at(hidden * (width + 1));
    activations.clear();
    activations
        .extend(first.chunks_exact(width + 1).map(|unit| (dot(row, &unit[..width]) + unit[width]).max(0.0)));
    product(activations, &last[..hidden]) + last[hidden]
}

impl<'a> Contribute<'a> for Perceptron<'a> {
    fn contribute(&self, row: usize, out: &mut Contribution<'a>) -> Result<(), TrainError> {
        let features = self.rows.row(row);
        let mut activations = std::mem::take(&mut out.scratch);
        let score = forward(self.parameters, self.hidden, features, &mut activations);
        let residual = sigmoid(score) - f64::from(u8::from(self.labels[row]));
        let unit = features.len() + 1;
        let last = self.hidden * unit;
        out.of_row(features, self.rows.square(row));
        for (at, activation) in activations.iter().enumerate() {
            if *activation > 0.0 {
                out.multiple(at * unit, residual * self.parameters[last + at]);
            }
        }
        out.block(last, activations.iter().map(|activation| residual * activation).chain([residual]));
        out.scratch = activations;
        Ok(())
    }
}
