//! What a run answers, and the bound of what one person adds to it (R096).
//!
//! Words of a person are read here, outside of the module. Whatever the module says, one person touches a group of cells
//! at most as many times as declared, each time with at most the declared amount: that is the sensitivity that
//! noise is scaled to.

use crate::engine::{Fault, Faults};
use symphony_protocol::artifact::module::{Group, OutputShape};

/// The output of one run over one Vault. Before noise: of an aggregate nothing but the noised cells may leave the enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// **Shape**: of an aggregate one `i64` for each cell; of attributes a `u32` subject and an `i64` value for each person
    /// that has one, by ascending subject. Little-endian. Equal on both engines.
    pub bytes: Vec<u8>,
    /// People that were asked.
    pub people: u64,
    /// Rows that they have.
    pub rows: u64,
    /// Fuel that was set aside, and is charged: the same on both engines and for every content of the records.
    pub fuel_allotted: u64,
    /// Fuel that was burnt, in the engine's own schedule. Depends on records: it never leaves the enclave.
    pub fuel_spent: u64,
    /// Who contributed nothing, and why. Never leaves the enclave.
    pub faults: Faults,
    /// People out of fuel, ascending; what a replay on the second engine leaves out. Never leaves the enclave.
    pub out_of_fuel: Vec<u32>,
}

/// The cells of an aggregate.
pub fn cells(bytes: &[u8]) -> impl Iterator<Item = i64> + '_ {
    bytes.as_chunks().0.iter().map(|cell| i64::from_le_bytes(*cell))
}

/// Subject and value of each person that has a derived attribute.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u32, i64)> + '_ {
    bytes.as_chunks::<ATTRIBUTE_BYTES>().0.iter().map(|entry| {
        let (subject, value) = entry.split_at(4);
        // The two parts of twelve bytes have four and eight.
        let subject = subject.try_into().map_or(0, u32::from_le_bytes);
        (subject, value.try_into().map_or(0, i64::from_le_bytes))
    })
}

/// The most bytes that the output for so many people has.
pub(crate) fn bytes_max(shape: &OutputShape, people: usize) -> usize {
    match shape {
        OutputShape::Aggregate(_) => shape.cells() * 8,
        OutputShape::Number { .. } | OutputShape::Label(_) => people.saturating_mul(ATTRIBUTE_BYTES),
    }
}

/// Collects the words of people.
pub(crate) enum Collected<'a> {
    /// Sums over people.
    Cells(Tally<'a>),
    /// One value for a person, from the least to the greatest.
    Values { min: i64, max: i64, bytes: Vec<u8> },
}

impl<'a> Collected<'a> {
    pub(crate) fn new(shape: &'a OutputShape) -> Self {
        match shape {
            OutputShape::Aggregate(groups) => Self::Cells(Tally::new(groups)),
            OutputShape::Number { min, max } => Self::Values { min: *min, max: *max, bytes: Vec::new() },
            OutputShape::Label(labels) => {
                Self::Values { min: 0, max: labels.len() as i64 - 1, bytes: Vec::new() }
            }
        }
    }

    /// Takes the words of one person, none of them negative. **Errors**: [`Fault::Malformed`], and nothing is taken.
    pub(crate) fn person(&mut self, subject: u32, words: &[i64]) -> Result<(), Fault> {
        match self {
            Self::Cells(tally) => tally.person(words),
            Self::Values { min, max, bytes } => {
                let Some(value) = words.first() else { return Ok(()) };
                if !(*min..=*max).contains(value) {
                    return Err(Fault::Malformed);
                }
                bytes.extend_from_slice(&subject.to_le_bytes());
                bytes.extend_from_slice(&value.to_le_bytes());
                Ok(())
            }
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Cells(tally) => tally.cells.iter().flat_map(|cell| cell.to_le_bytes()).collect(),
            Self::Values { bytes, .. } => bytes,
        }
    }
}

/// Sums of cells, with the bound of one person.
pub(crate) struct Tally<'a> {
    groups: &'a [Group],
    /// The group of each cell.
    of_cell: Vec<u16>,
    cells: Vec<i64>,
    /// What is left of each group's touches for the person at hand.
    left: Vec<u32>,
}

impl<'a> Tally<'a> {
    fn new(groups: &'a [Group]) -> Self {
        let of_cell: Vec<u16> = groups
            .iter()
            .zip(0..)
            .flat_map(|(group, at)| std::iter::repeat_n(at, group.cells as usize))
            .collect();
        Self { groups, cells: vec![0; of_cell.len()], of_cell, left: vec![0; groups.len()] }
    }

    fn person(&mut self, words: &[i64]) -> Result<(), Fault> {
        if !words.iter().all(|word| self.names_cells(*word)) {
            return Err(Fault::Malformed);
        }
        for (left, group) in self.left.iter_mut().zip(self.groups) {
            *left = group.touches;
        }
        for word in words {
            let (cell, payload) = parts(*word);
            if *word & MARKS == 0 {
                self.touch(cell, payload);
                continue;
            }
            let mut mask = payload;
            while mask != 0 {
                self.touch(cell + mask.trailing_zeros() as usize, 1);
                mask &= mask - 1;
            }
        }
        Ok(())
    }

    fn names_cells(&self, word: i64) -> bool {
        let (cell, payload) = parts(word);
        let last = if word & MARKS == 0 { 0 } else { payload.checked_ilog2().unwrap_or(0) as usize };
        cell + last < self.cells.len()
    }

    fn touch(&mut self, cell: usize, amount: u64) {
        let group = usize::from(self.of_cell[cell]);
        if self.left[group] > 0 {
            self.left[group] -= 1;
            // At most 2^32 for a touch, 2^6 touches, 2^24 people: never over.
            self.cells[cell] += amount.min(self.groups[group].clip) as i64;
        }
    }
}

/// The cell that a word begins at, and its amount or mask.
fn parts(word: i64) -> (usize, u64) {
    let cell = (word as u64 >> CELL_SHIFT) & CELL;
    (cell as usize, word as u64 & PAYLOAD)
}

const MARKS: i64 = 1 << 62;
const CELL: u64 = (1 << 14) - 1;
const CELL_SHIFT: u32 = 48;
const PAYLOAD: u64 = (1 << CELL_SHIFT) - 1;
const ATTRIBUTE_BYTES: usize = 12;

#[cfg(test)]
mod tests;
