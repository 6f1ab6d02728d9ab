//! The grid that contributions are added up on: whole multiples of `C / 2^30`, where `C` is the clipping norm.
//!
//! Rounding to the nearest multiple moves a vector of `d` coordinates by at most `sqrt(d) / 2` units, so it is first
//! cut to that much less than `C`: on the grid nobody contributes more than `2^30` units in the L2 norm, which is the
//! sensitivity that the noise is scaled to. 16 million subjects a Vault and 64 Vaults stay below `2^60`.

use super::TrainError;
use super::numbers::product;

/// The clipping norm in units of the grid.
pub const CLIP_UNITS: i64 = 1 << 30;

/// One subject's vector before it is brought onto the grid: all coordinates outside of the blocks are zero.
///
/// A gradient is mostly multiples of the subject's own features. Such blocks are kept as factors, so that their norm
/// needs no pass over coordinates and they are multiplied out once, onto the grid.
#[derive(Default)]
pub(super) struct Contribution<'a> {
    /// The features, and one more than the sum of their squares.
    row: (&'a [f32], f64),
    /// Where each block of `factor * (features, 1)` begins, and its factor.
    multiples: Vec<(usize, f64)>,
    /// The coordinates of all other blocks, one after the other.
    values: Vec<f64>,
    /// Where each of them begins in the vector, and its length.
    blocks: Vec<(usize, usize)>,
    /// Room for what a model computes on the way.
    pub(super) scratch: Vec<f64>,
}

impl<'a> Contribution<'a> {
    /// Forgets the last subject.
    pub(super) fn clear(&mut self) {
        self.multiples.clear();
        self.values.clear();
        self.blocks.clear();
    }

    /// Appends a block whose values come from the iterator.
    pub(super) fn block(&mut self, start: usize, values: impl Iterator<Item = f64>) {
        let before = self.values.len();
        self.values.extend(values);
        self.blocks.push((start, self.values.len() - before));
    }

    /// Sets the features that multiples are of; `square` is the sum of their squares.
    pub(super) fn of_row(&mut self, row: &'a [f32], square: f64) {
        self.row = (row, 1.0 + square);
    }

    /// Appends a block of `factor * (features, 1)`.
    pub(super) fn multiple(&mut self, start: usize, factor: f64) {
        self.multiples.push((start, factor));
    }

    /// The vector, coordinate by coordinate.
    #[cfg(test)]
    pub(super) fn whole(&self, coordinates: usize) -> Vec<f64> {
        let mut whole = vec![0.0; coordinates];
        for (start, factor) in &self.multiples {
            let features = self.row.0.iter().map(|value| f64::from(*value));
            for (at, value) in features.chain([1.0]).enumerate() {
                whole[start + at] = value * factor;
            }
        }
        let mut values = self.values.iter();
        for (start, length) in &self.blocks {
            whole[*start..start + length].fill_with(|| *values.next().expect("a block has its values"));
        }
        assert!(values.next().is_none());
        whole
    }

    /// The square of the norm.
    fn square(&self) -> f64 {
        let factors: f64 = self.multiples.iter().map(|(_, factor)| factor * factor).sum();
        let of_row = factors * self.row.1;
        if self.values.is_empty() { of_row } else { of_row + product(&self.values, &self.values) }
    }
}

/// Cuts contributions to a norm and adds them up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clipper {
    clip: f64,
    /// What is left of the norm after the reserve for rounding, in units.
    reach: f64,
    /// Units in one, for who is within the norm.
    whole: f64,
}

impl Clipper {
    /// For vectors of so many coordinates.
    pub(super) fn new(clip: f64, coordinates: usize) -> Self {
        let reach = CLIP_UNITS as f64 - (coordinates as f64).sqrt() * 0.5 - 2.0;
        Self { clip, reach, whole: reach / clip }
    }

    /// For sums in other units, of which the longest contribution has `reach`; below `2^51`.
    pub(super) fn to(clip: f64, reach: f64) -> Self {
        Self { clip, reach, whole: reach / clip }
    }

    /// Adds one subject's contribution to `sums`. **Errors**: [`TrainError::Exploding`] where its norm is no number.
    pub(super) fn add(&self, contribution: &Contribution, sums: &mut [i64]) -> Result<(), TrainError> {
        let square = contribution.square();
        if !square.is_finite() {
            return Err(TrainError::Exploding("contributions"));
        }
        let within = square <= self.clip * self.clip;
        let factor = if within { self.whole } else { self.reach / square.sqrt() };
        let (row, _) = contribution.row;
        for (start, of_row) in &contribution.multiples {
            let of_row = of_row * factor;
            let end = start + row.len();
            add_multiple(&mut sums[*start..end], row, of_row);
            sums[end] += nearest(of_row);
        }
        let mut at = 0;
        for (start, length) in &contribution.blocks {
            let block = &contribution.values[at..at + length];
            for (sum, value) in sums[*start..start + length].iter_mut().zip(block) {
                *sum += nearest(value * factor);
            }
            at += length;
        }
        Ok(())
    }
}

/// Not inlined: as a function of its own, whose arguments cannot overlap, it is compiled for several numbers at once.
#[inline(never)]
fn add_multiple(sums: &mut [i64], row: &[f32], factor: f64) {
    for (sum, value) in sums.iter_mut().zip(row) {
        *sum += nearest(f64::from(*value) * factor);
    }
}

/// The nearest whole number, ties to even, for magnitudes below `2^51`: adding a number whose last binary place is
/// that of ones leaves the whole number in the low bits.
fn nearest(value: f64) -> i64 {
    const SHIFT: f64 = 6_755_399_441_055_744.0; // 2^52 + 2^51
    (value + SHIFT).to_bits() as i64 - SHIFT.to_bits() as i64
}
