//! K-means: each person adds its features and a one to the nearest cluster.
//!
//! Half of the squared clipping norm `C` is for the features, half for the one: features are cut to a norm of
//! `C / sqrt(2)`, and the count is told in that unit. So one person changes the sum by at most `C`, and no count is
//! worth less because of far features.

use super::TrainError;
use super::dataset::Features;
use super::grid::Contribution;
use super::numbers::{dot, product};
use super::round::Contribute;

pub(super) struct Clusters<'a> {
    centres: Vec<Centre<'a>>,
    rows: &'a Features,
    reach: f64,
}

struct Centre<'a> {
    at: &'a [f64],
    square: f64,
}

impl<'a> Clusters<'a> {
    pub(super) fn new(parameters: &'a [f64], rows: &'a Features, clip: f64) -> Self {
        let centres = parameters.chunks_exact(rows.width()).map(Centre::new).collect();
        Self { centres, rows, reach: reach(clip) }
    }

    /// The nearest centre, and the distances to it and to the next.
    pub(super) fn nearest_two(parameters: &[f64], row: &[f32]) -> (usize, f64, f64) {
        let (mut nearest, mut least, mut next) = (0, f64::INFINITY, f64::INFINITY);
        for (at, centre) in parameters.chunks_exact(row.len()).enumerate() {
            let square: f64 = row
                .iter()
                .zip(centre)
                .map(|(value, at)| (f64::from(*value) - at) * (f64::from(*value) - at))
                .sum();
            if square < least {
                (nearest, least, next) = (at, square, least);
            } else if square < next {
                next = square;
            }
        }
        (nearest, least.sqrt(), if next.is_finite() { next.sqrt() } else { least.sqrt() })
    }

    /// New centres from sums, in place. A cluster with less than half a person keeps its centre; a mean that noise has
    /// carried beyond where a mean can be is brought back.
    pub(super) fn step(centres: &mut [f64], width: usize, sums: &[f64], clip: f64) {
        let reach = reach(clip);
        let (features, counts) = sums.split_at(centres.len());
        for ((centre, sum), count) in
            centres.chunks_exact_mut(width).zip(features.chunks_exact(width)).zip(counts)
        {
            let people = count / reach;
            if people < 0.5 {
                continue;
            }
            let norm = product(sum, sum).sqrt() / people;
            let factor = if norm > reach { reach / norm } else { 1.0 } / people;
            for (at, sum) in centre.iter_mut().zip(sum) {
                *at = sum * factor;
            }
        }
    }
}

impl<'a> Centre<'a> {
    fn new(at: &'a [f64]) -> Self {
        Self { at, square: product(at, at) }
    }
}

/// The norm that a person's features are cut to, and what one person counts.
fn reach(clip: f64) -> f64 {
    clip / std::f64::consts::SQRT_2
}

impl<'a> Contribute<'a> for Clusters<'a> {
    fn contribute(&self, row: usize, out: &mut Contribution<'a>) -> Result<(), TrainError> {
        let features = self.rows.row(row);
        let (mut nearest, mut least) = (0, f64::INFINITY);
        for (at, centre) in self.centres.iter().enumerate() {
            let distance = centre.square - 2.0 * dot(features, centre.at);
            if distance < least {
                (nearest, least) = (at, distance);
            }
        }
        let width = features.len();
        let factor = self.reach / self.rows.square(row).sqrt().max(self.reach);
        out.block(nearest * width, features.iter().map(|value| f64::from(*value) * factor));
        out.block(self.centres.len() * width + nearest, std::iter::once(self.reach));
        Ok(())
    }
}
