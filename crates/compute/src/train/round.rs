//! What one Vault computes in one round: a Poisson sample of its people, one clipped contribution each, their exact
//! sum (R097, R099). Nothing here is noised; the sum leaves the enclave only sealed to the aggregator's.

use std::ops::Range;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;
use symphony_protocol::artifact::training::{EVERYBODY, Settings, Shape};
use symphony_types::digest::Digest;

use super::affinity::AffinityRows;
use super::clusters::Clusters;
use super::dataset::Dataset;
use super::grid::{Clipper, Contribution};
use super::logistic::Logistic;
use super::model::Model;
use super::perceptron::Perceptron;
use super::{Sampling, TrainError, check, clip};

/// The sum of one Vault. **Units**: `C / 2^30` (see [`grid`](super::grid)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// People who could be drawn; how many were is not told.
    pub subjects: u32,
    /// One number for each coordinate of [`Shape::coordinates`].
    pub sums: Vec<i64>,
}

/// What a model makes of one person.
pub(super) trait Contribute<'a>: Sync {
    /// Writes the contribution of the person at `row` into `out`, which is empty.
    fn contribute(&self, row: usize, out: &mut Contribution<'a>) -> Result<(), TrainError>;

    /// Gives the contributions of a few people to `add`, one after the other. A model does it by itself where it is
    /// quicker to go over all of them in steps; what each contributes is the same.
    fn contribute_each(
        &self,
        rows: &[usize],
        out: &mut Contribution<'a>,
        add: &mut dyn FnMut(&Contribution) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        for row in rows {
            out.clear();
            self.contribute(*row, out)?;
            add(out)?;
        }
        Ok(())
    }
}

/// The contributions of `dataset` to the next step of `model`.
///
/// **Errors**: settings out of their limits; a dataset that does not fit the model; a contribution that explodes.
pub fn update(
    model: &Model,
    settings: &Settings,
    dataset: &Dataset,
    sampling: &Sampling,
) -> Result<Update, TrainError> {
    check(settings)?;
    sampling.check()?;
    let coordinates = model.shape().coordinates();
    let clipper = Clipper::new(clip(settings), coordinates);
    let kernel = kernel(model, settings, dataset)?;
    let sums = sum_over_rows(dataset.rows(), coordinates, |rows, sums| {
        let mut draw = Draw::new(sampling, rows.start);
        let mut contribution = Contribution::default();
        let mut drawn = Vec::with_capacity(BATCH);
        for start in rows.clone().step_by(BATCH) {
            drawn.clear();
            drawn.extend((start..rows.end.min(start + BATCH)).filter(|_| draw.next()));
            kernel.contribute_each(&drawn, &mut contribution, &mut |one| clipper.add(one, sums))?;
        }
        Ok(())
    })?;
    // A dataset has at most as many rows as a Vault has subjects.
    let subjects = u32::try_from(dataset.rows()).map_err(|_| TrainError::Size("rows"))?;
    Ok(Update { subjects, sums })
}

/// The kernel of the model's kind. **Errors**: [`TrainError::Shape`] where the dataset is of another kind or width.
pub(super) fn kernel<'a>(
    model: &'a Model,
    settings: &Settings,
    dataset: &'a Dataset,
) -> Result<Box<dyn Contribute<'a> + 'a>, TrainError> {
    let parameters = model.parameters();
    match (model.shape(), dataset) {
        (Shape::Logistic { features }, Dataset::Features(rows)) if rows.width() == features as usize => {
            Ok(Box::new(Logistic::new(parameters, rows)?))
        }
        (Shape::Perceptron { features, hidden }, Dataset::Features(rows))
            if rows.width() == features as usize =>
        {
            Ok(Box::new(Perceptron::new(parameters, hidden as usize, rows)?))
        }
        (Shape::Clusters { features, .. }, Dataset::Features(rows)) if rows.width() == features as usize => {
            Ok(Box::new(Clusters::new(parameters, rows, clip(settings))))
        }
        (Shape::Affinity { items, rank }, Dataset::Baskets(rows)) if rows.items() == items as usize => {
            Ok(Box::new(AffinityRows::new(parameters, rank as usize, rows, settings)))
        }
        _ => Err(TrainError::Shape("model and the dataset")),
    }
}

/// Adds up whole numbers over rows: `part` adds a range of rows to the sums that it is given. The cut into ranges
/// follows the number of threads and does not change a sum. Holds one vector of sums for each range at most.
pub(super) fn sum_over_rows(
    rows: usize,
    coordinates: usize,
    part: impl Fn(Range<usize>, &mut [i64]) -> Result<(), TrainError> + Sync,
) -> Result<Vec<i64>, TrainError> {
    let size = rows.div_ceil(2 * rayon::current_num_threads()).max(ROWS_PER_PART_MIN);
    let ranges: Vec<_> = (0..rows).step_by(size).map(|start| start..rows.min(start + size)).collect();
    let sums = ranges.into_par_iter().map(|rows| {
        let mut sums = vec![0; coordinates];
        part(rows, &mut sums).map(|()| sums)
    });
    let total = sums.reduce_with(|one, other| {
        let (mut total, other) = (one?, other?);
        for (sum, more) in total.iter_mut().zip(other) {
            *sum += more;
        }
        Ok(total)
    });
    total.unwrap_or_else(|| Ok(vec![0; coordinates]))
}

/// Says of one row after the other whether it takes part: 64 bits of a stream for each row of this Vault, so the
/// draw depends on no other Vault and on no cut into ranges.
pub(super) struct Draw {
    stream: Option<ChaCha20Rng>,
    below: u128,
}

impl Draw {
    pub(super) fn new(sampling: &Sampling, start: usize) -> Self {
        let below = (u128::from(sampling.rate) << 64) / u128::from(EVERYBODY);
        let stream = (sampling.rate < EVERYBODY).then(|| {
            let mut stream = ChaCha20Rng::from_seed(Digest::tagged(SAMPLE_TAG, &sampling.seed.0).0);
            // Two words of 32 bits a row.
            stream.set_word_pos(2 * start as u128);
            stream
        });
        Self { stream, below }
    }

    pub(super) fn next(&mut self) -> bool {
        self.stream.as_mut().is_none_or(|stream| u128::from(stream.random::<u64>()) < self.below)
    }
}

/// People whose contributions are computed in steps together.
const BATCH: usize = 64;
const ROWS_PER_PART_MIN: usize = 256;
const SAMPLE_TAG: &str = "symphony/train-sample/v1";
