//! Candidates of a field, weighed against each other, and what their points are worth as a probability (R083).
//!
//! The tables are monotone and set by hand. Those of date and total were raised in their middle, and the upper end of the
//! merchant's lowered, after a comparison with real receipts by the benchmark `parse`, which shows what is left.

use crate::parse::expense::Field;
use crate::parse::layout::Region;

/// Evidence for a value; what one is worth differs by field.
pub(crate) type Points = i32;

/// What points are worth. **Units**: basis points for `first`, `first + 1`, ...
pub(crate) struct Table {
    first: Points,
    bps: &'static [u16],
}

impl Table {
    /// The probability of a value with so many points.
    pub(crate) fn at(&self, points: Points) -> u16 {
        let last = self.bps.len().saturating_sub(1);
        let index = usize::try_from(points - self.first).unwrap_or(0).min(last);
        self.bps.get(index).copied().unwrap_or(0)
    }
}

/// Candidates of one field from all recognitions.
pub(crate) struct Pool<T> {
    candidates: Vec<Candidate<T>>,
}

struct Candidate<T> {
    value: T,
    points: Points,
    at: Option<Region>,
    readings: Vec<usize>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { candidates: Vec::new() }
    }
}

impl<T: PartialEq + Clone> Pool<T> {
    /// Adds a candidate of a recognition; the same value twice counts with its best points.
    pub(crate) fn add(&mut self, reading: usize, value: T, points: Points, at: Option<Region>) {
        match self.candidates.iter_mut().find(|candidate| candidate.value == value) {
            Some(known) => {
                if points > known.points {
                    (known.points, known.at) = (points, at);
                }
                if !known.readings.contains(&reading) {
                    known.readings.push(reading);
                }
            }
            None => self.candidates.push(Candidate { value, points, at, readings: vec![reading] }),
        }
    }

    /// The value with most points, and how sure it is. The first one added wins a tie.
    pub(crate) fn best(self, table: &Table) -> Option<Field<T>> {
        let score = |candidate: &Candidate<T>| {
            let others = Points::try_from(candidate.readings.len()).unwrap_or(1) - 1;
            candidate.points + others * AGREEMENT
        };
        let first = self.candidates.iter().rev().max_by_key(|candidate| score(candidate))?;
        let points = score(first);
        let rival = self.candidates.iter().filter(|other| other.value != first.value).map(score).max();
        let close = rival.map_or(0, |rival| (rival + CLOSE - points).clamp(0, CLOSE));
        let bps = table.at(points - close);
        Some(Field { value: first.value.clone(), bps, at: first.at })
    }
}

/// What a value earns for each further recognition that has it.
const AGREEMENT: Points = 3;
/// A rival this near takes points away.
const CLOSE: Points = 3;

pub(crate) const DATE: Table =
    Table { first: 0, bps: &[2000, 4000, 5500, 7500, 8500, 9000, 9200, 9200, 9300, 9400, 9600, 9700, 9800] };
pub(crate) const TIME: Table =
    Table { first: 0, bps: &[4000, 5000, 6000, 7000, 8000, 8500, 9000, 9300, 9500] };
pub(crate) const MERCHANT: Table = Table {
    first: 0,
    bps: &[
        300, 500, 800, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000, 5500, 6000, 6500, 7000, 7800,
        8300,
    ],
};
pub(crate) const TOTAL: Table = Table {
    first: 0,
    bps: &[
        300, 500, 1000, 1500, 2000, 2500, 3500, 4000, 4500, 5500, 6500, 7500, 8500, 8800, 9000, 9200, 9300,
        9400, 9500, 9500, 9600, 9600, 9700,
    ],
};
pub(crate) const TAX: Table = Table { first: 0, bps: &[3000, 4000, 5000, 6000, 7000, 8000, 8500, 9000] };
pub(crate) const PAYMENT: Table = Table { first: 0, bps: &[4000, 5000, 6000, 7000, 8000, 8500, 9000, 9300] };
pub(crate) const NUMBER: Table = Table { first: 0, bps: &[2000, 3000, 4000, 5000, 6000, 7000, 8000, 8500] };
pub(crate) const PLACE: Table =
    Table { first: 0, bps: &[3000, 4500, 6000, 7000, 8000, 8500, 9000, 9300, 9500] };
