//! Adds the updates of Vaults as they come, chunk by chunk (R099): one vector of sums whatever the number of Vaults,
//! and no update is ever held.
//!
//! `secure_sum` adds sums over people; a Vault's update is bounded by what its people can contribute.
//! `federated_average` adds what Vaults made by themselves, weighted by their people, under a bound that the task
//! states. A chunk is added at once, so a bound that an update breaks at its end spoils the round: the error names the
//! Vault, and whoever starts the round again leaves it out. What a Vault sends is therefore complete on disk, sealed,
//! before its first chunk comes here.

use std::collections::{BTreeMap, BTreeSet};

use symphony_types::id::VaultId;
use symphony_types::limits::{SUBJECTS_PER_VAULT_MAX, VAULTS_PER_TASK_MAX};

use super::TrainError;
use super::grid::CLIP_UNITS;

/// The sums of a round, growing.
#[derive(Debug)]
pub struct StreamingSum {
    rule: Rule,
    sums: Vec<i64>,
    weight: u64,
    open: BTreeMap<VaultId, Open>,
    done: BTreeSet<VaultId>,
    spoiled: bool,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    Sum,
    Average { bound: u64 },
}

/// An update of which chunks are still to come.
#[derive(Debug)]
struct Open {
    next: usize,
    weight: u64,
    /// The most that the update may have in the L2 norm, squared, and what it has so far.
    square_max: u128,
    square: u128,
}

/// The sums of all Vaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// The sum, or the weighted sum, of each coordinate.
    pub sums: Vec<i64>,
    /// People of all Vaults.
    pub subjects: u64,
}

impl Totals {
    /// The weighted average of each coordinate, where `scale` units are one. No people, no average: zeros.
    pub fn average(&self, scale: f64) -> Vec<f64> {
        let divisor = self.subjects.max(1) as f64;
        self.sums.iter().map(|sum| *sum as f64 / divisor / scale).collect()
    }
}

impl Rule {
    /// The weight of an update of so many people, and the most that it may have in the L2 norm, squared.
    fn bounds(self, subjects: u32) -> (u64, u128) {
        let (weight, most) = match self {
            Self::Sum => (1, u64::from(subjects) * CLIP_UNITS.unsigned_abs()),
            Self::Average { bound } => (u64::from(subjects), bound),
        };
        (weight, u128::from(most) * u128::from(most))
    }
}

impl StreamingSum {
    /// Adds sums over people, in units of the grid.
    pub fn secure_sum(coordinates: usize) -> Self {
        Self::new(Rule::Sum, coordinates)
    }

    /// Adds what each Vault made, times its people. No update may exceed `bound` in the L2 norm, in its own units.
    pub fn federated_average(coordinates: usize, bound: u32) -> Self {
        Self::new(Rule::Average { bound: u64::from(bound) }, coordinates)
    }

    fn new(rule: Rule, coordinates: usize) -> Self {
        let (open, done) = (BTreeMap::new(), BTreeSet::new());
        Self { rule, sums: vec![0; coordinates], weight: 0, open, done, spoiled: false }
    }

    /// Adds an update that is there whole. It is checked first, so one that is refused spoils nothing.
    ///
    /// **Errors**: [`TrainError::UpdateTurn`] for a second update, [`TrainError::UpdateShape`], [`TrainError::UpdateBound`];
    /// [`TrainError::Size`] for too many Vaults.
    pub fn whole(&mut self, vault: &VaultId, subjects: u32, values: &[i64]) -> Result<(), TrainError> {
        if values.len() != self.sums.len() {
            return Err(TrainError::UpdateShape(vault.clone()));
        }
        let (_, square_max) = self.rule.bounds(subjects);
        let sum = values.iter().fold(0_u128, |sum, value| sum.saturating_add(square(*value)));
        if subjects > SUBJECTS_PER_VAULT_MAX || sum > square_max {
            return Err(TrainError::UpdateBound(vault.clone()));
        }
        self.begin(vault, subjects)?;
        self.chunk(vault, values)?;
        self.end(vault)
    }

    /// Begins the update of `vault`, which has so many people.
    ///
    /// **Errors**: [`TrainError::UpdateTurn`] for a second update; [`TrainError::Size`] for too many people or Vaults.
    pub fn begin(&mut self, vault: &VaultId, subjects: u32) -> Result<(), TrainError> {
        if self.done.contains(vault) || self.open.contains_key(vault) {
            return Err(TrainError::UpdateTurn(vault.clone()));
        }
        if subjects > SUBJECTS_PER_VAULT_MAX {
            return Err(TrainError::Size("people of a Vault"));
        }
        if self.open.len() + self.done.len() >= VAULTS_PER_TASK_MAX {
            return Err(TrainError::Size("Vaults"));
        }
        let (weight, square_max) = self.rule.bounds(subjects);
        self.open.insert(vault.clone(), Open { next: 0, weight, square_max, square: 0 });
        self.weight += u64::from(subjects);
        Ok(())
    }

    /// Adds the next chunk of the update of `vault`.
    ///
    /// **Errors**: [`TrainError::UpdateTurn`] without a beginning; a chunk beyond the end of the model or beyond the
    /// bound, which spoils the round.
    pub fn chunk(&mut self, vault: &VaultId, values: &[i64]) -> Result<(), TrainError> {
        let Some(open) = self.open.get_mut(vault) else {
            return Err(TrainError::UpdateTurn(vault.clone()));
        };
        let Some(sums) = self.sums.get_mut(open.next..).and_then(|rest| rest.get_mut(..values.len())) else {
            self.spoiled = true;
            return Err(TrainError::UpdateShape(vault.clone()));
        };
        for (sum, value) in sums.iter_mut().zip(values) {
            open.square = open.square.saturating_add(square(*value));
            if open.square > open.square_max {
                self.spoiled = true;
                return Err(TrainError::UpdateBound(vault.clone()));
            }
            // Below 2^60 (see the grid), or 2^32 times 2^24 people times 64 Vaults.
            *sum += value * open.weight as i64;
        }
        open.next += values.len();
        Ok(())
    }

    /// Ends the update of `vault`. **Errors**: one that is too short, which spoils the round.
    pub fn end(&mut self, vault: &VaultId) -> Result<(), TrainError> {
        match self.open.remove(vault) {
            None => Err(TrainError::UpdateTurn(vault.clone())),
            Some(open) if open.next < self.sums.len() => {
                self.spoiled = true;
                Err(TrainError::UpdateShape(vault.clone()))
            }
            Some(_) => {
                self.done.insert(vault.clone());
                Ok(())
            }
        }
    }

    /// Bytes that are held, whatever the number of Vaults that have been added.
    pub fn bytes_held(&self) -> usize {
        let names = VAULTS_PER_TASK_MAX * (size_of::<VaultId>() + size_of::<Open>());
        self.sums.capacity() * size_of::<i64>() + size_of::<Self>() + names
    }

    /// The totals. **Errors**: [`TrainError::Incomplete`] where an update is open or the round was spoiled.
    pub fn finish(self) -> Result<Totals, TrainError> {
        if self.spoiled || !self.open.is_empty() {
            return Err(TrainError::Incomplete);
        }
        Ok(Totals { sums: self.sums, subjects: self.weight })
    }
}

/// The square of a 64-bit magnitude fits; a sum of squares that does not is beyond any bound.
fn square(value: i64) -> u128 {
    let magnitude = u128::from(value.unsigned_abs());
    magnitude * magnitude
}
