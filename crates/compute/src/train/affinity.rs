//! Matrix factorisation for affinity: factors of items are shared, a person's factors are solved for in the Vault by
//! a small ridge system and never leave it (R098).
//!
//! The loss of one person with factors `p` is half of `sum over listed (value - q p)^2 + u * sum over others (q p)^2 +
//! ridge * p^2`, where `u` is the weight of what is not listed. At the `p` that is best for the person, the gradient
//! of an item's factors `q` is `(q p - value) p`, or `u (q p) p` for an item that is not listed.

use symphony_protocol::artifact::training::Settings;

use super::TrainError;
use super::dataset::Baskets;
use super::grid::Contribution;
use super::numbers::{product, solve};
use super::round::Contribute;

/// The factors of items, ready for solving.
pub(super) struct Affinity<'a> {
    factors: &'a [f64],
    rank: usize,
    unlisted: f64,
    /// What every person's system begins with: `u` times the sum of `q q^T` over all items, plus the ridge.
    base: Vec<f64>,
}

/// The people of a Vault beside them.
pub(super) struct AffinityRows<'a> {
    affinity: Affinity<'a>,
    rows: &'a Baskets,
}

impl<'a> Affinity<'a> {
    pub(super) fn new(factors: &'a [f64], rank: usize, settings: &Settings) -> Self {
        let unlisted = f64::from(settings.unlisted) / 1e3;
        let mut base = vec![0.0; rank * rank];
        if unlisted > 0.0 {
            for item in factors.chunks_exact(rank) {
                add_square(&mut base, item, unlisted);
            }
        }
        for at in 0..rank {
            base[at * rank + at] += f64::from(settings.ridge) / 1e3;
        }
        Self { factors, rank, unlisted, base }
    }

    fn item(&self, item: u32) -> &'a [f64] {
        &self.factors[item as usize * self.rank..(item as usize + 1) * self.rank]
    }

    /// The best factors of a person with this list, at the end of `room`, which is emptied first.
    fn person<'b>(&self, list: &[(u32, f32)], room: &'b mut Vec<f64>) -> Result<&'b [f64], TrainError> {
        room.clear();
        room.extend_from_slice(&self.base);
        room.resize(self.rank * (self.rank + 1), 0.0);
        let (matrix, right) = room.split_at_mut(self.rank * self.rank);
        for (item, value) in list {
            let factors = self.item(*item);
            add_square(matrix, factors, 1.0 - self.unlisted);
            for (sum, factor) in right.iter_mut().zip(factors) {
                *sum += f64::from(*value) * factor;
            }
        }
        if solve(matrix, right) { Ok(right) } else { Err(TrainError::Exploding("factors of a person")) }
    }

    /// What the person would think of each item.
    pub(super) fn affinities(&self, list: &[(u32, f32)]) -> Result<Vec<f64>, TrainError> {
        let items = self.factors.len() / self.rank;
        if list.iter().any(|(item, _)| *item as usize >= items) {
            return Err(TrainError::Shape("items of a list and all items"));
        }
        let mut room = Vec::new();
        let person = self.person(list, &mut room)?;
        Ok(self.factors.chunks_exact(self.rank).map(|item| product(item, person)).collect())
    }
}

impl<'a> AffinityRows<'a> {
    pub(super) fn new(factors: &'a [f64], rank: usize, rows: &'a Baskets, settings: &Settings) -> Self {
        Self { affinity: Affinity::new(factors, rank, settings), rows }
    }
}

/// Adds `weight * q q^T` to the lower half of a matrix.
fn add_square(matrix: &mut [f64], q: &[f64], weight: f64) {
    for (at, (row, factor)) in matrix.chunks_exact_mut(q.len()).zip(q).enumerate() {
        for (sum, other) in row[..=at].iter_mut().zip(q) {
            *sum += weight * factor * other;
        }
    }
}

impl<'a> Contribute<'a> for AffinityRows<'a> {
    fn contribute(&self, row: usize, out: &mut Contribution<'a>) -> Result<(), TrainError> {
        let affinity = &self.affinity;
        let list = self.rows.row(row);
        let mut room = std::mem::take(&mut out.scratch);
        let person = affinity.person(list, &mut room)?;
        let put = |out: &mut Contribution, item: u32, slope: f64| {
            out.block(item as usize * affinity.rank, person.iter().map(|factor| slope * factor));
        };
        if affinity.unlisted > 0.0 {
            let mut listed = list.iter().peekable();
            for (item, factors) in (0..).zip(affinity.factors.chunks_exact(affinity.rank)) {
                let liking = product(factors, person);
                let slope = match listed.next_if(|(at, _)| *at == item) {
                    Some((_, value)) => liking - f64::from(*value),
                    None => affinity.unlisted * liking,
                };
                put(out, item, slope);
            }
        } else {
            for (item, value) in list {
                put(out, *item, product(affinity.item(*item), person) - f64::from(*value));
            }
        }
        out.scratch = room;
        Ok(())
    }
}
