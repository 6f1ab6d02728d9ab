//! The grid that contributions are added up on: whole multiples of `C / 2^30`, where `C` is the clipping norm.
//!
//! Rounding to the nearest multiple moves a vector of `d` coordinates by at most `sqrt(d) / 2` units, so it is first
//! cut to that much less than `C`: on the grid nobody contributes more than `2^30` units in the L2 norm, which is the
//! sensitivity that the noise is scaled to. 16 million subjects a Vault and 64 Vaults stay below `2^60`.

use super::TrainError;

/// The clipping norm in units of the grid.
pub const CLIP_UNITS: i64 = 1 << 30;

/// One subject's vector before it is brought onto the grid: all coordinates outside of the blocks are zero.
#[derive(Default)]
pub(super) struct Contribution {
    /// The coordinates of the blocks, one after the other.
    pub(super) values: Vec<f64>,
    /// Where each block begins in the vector, and its length.
    pub(super) blocks: Vec<(usize, usize)>,
    /// Room for what a model computes on the way.
    pub(super) scratch: Vec<f64>,
}

impl Contribution {
    /// Forgets the last subject.
    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.blocks.clear();
    }

    /// Appends a block whose values come from the iterator.
    pub(super) fn block(&mut self, start: usize, values: impl Iterator<Item = f64>) {
        let before = self.values.len();
        self.values.extend(values);
        self.blocks.push((start, self.values.len() - before));
    }
}

/// Cuts contributions to a norm and adds them up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clipper {
    clip: f64,
    /// What is left of the norm after the reserve for rounding, in units.
    reach: f64,
}

impl Clipper {
    /// For vectors of so many coordinates.
    pub(super) fn new(clip: f64, coordinates: usize) -> Self {
        Self { clip, reach: CLIP_UNITS as f64 - (coordinates as f64).sqrt() * 0.5 - 2.0 }
    }

    /// Adds one subject's contribution to `sums`. **Errors**: [`TrainError::Exploding`] where its norm is no number.
    pub(super) fn add(&self, contribution: &Contribution, sums: &mut [i64]) -> Result<(), TrainError> {
        let values = &contribution.values;
        let norm = super::numbers::product(values, values).sqrt();
        if !norm.is_finite() {
            return Err(TrainError::Exploding("contributions"));
        }
        let factor = self.reach / norm.max(self.clip);
        let mut at = 0;
        for (start, length) in &contribution.blocks {
            let block = &values[at..at + length];
            for (sum, value) in sums[*start..start + length].iter_mut().zip(block) {
                *sum += nearest(value * factor);
            }
            at += length;
        }
        Ok(())
    }
}

/// The nearest whole number, ties to even, for magnitudes below `2^51`: adding a number whose last binary place is
/// that of ones leaves the whole number in the low bits.
fn nearest(value: f64) -> i64 {
    const SHIFT: f64 = 6_755_399_441_055_744.0; // 2^52 + 2^51
    (value + SHIFT).to_bits() as i64 - SHIFT.to_bits() as i64
}
