//! The people of one Vault as a training sees them: a row of features and a label each, or a list of items, out of the
//! records around the evaluation time (R098). Records after that time are read for the label alone, so no feature knows
//! what it is to predict.
//!
//! A person is a token, as in a query: people stand in ascending order of their tokens under the key, and the token says
//! who is held out, so neither depends on where a Vault keeps anybody. A key that is the same in all Vaults holds a person
//! out in all of them. Sums are whole numbers, so no cut into batches and no order of records changes a byte.
//!
//! | what | which records count |
//! |---|---|
//! | cohort | time not after the evaluation time, all operands hold |
//! | feature | time in the window that ends with the evaluation time, all operands of the filter hold, its attribute is there |
//! | the whole of a share | time in the window, the amount is there |
//! | label | time in the window that begins after the evaluation time, all operands hold |
//! | list of items | time in the window that ends with the evaluation time, the item is one of the plan's |

use arrow::buffer::BooleanBuffer;
use arrow::record_batch::RecordBatch;
use symphony_protocol::artifact::ResolvedOperand;
use symphony_protocol::artifact::training::{ModelKind, TrainingPlan};
use zeroize::Zeroizing;

use self::column::Column;
use self::listed::Lists;
use self::roster::Roster;
use super::TrainError;
use super::dataset::{Baskets, Dataset, Features, Scale};
use crate::material::Material;
use crate::slice::{SliceError, qualifying_rows};

mod column;
mod listed;
mod roster;

/// The people of one Vault in one training. Wiped on drop.
pub struct People {
    training: Dataset,
    held_out: HeldOut,
}

/// The people that a model is judged on; nobody of them is trained on. Wiped on drop.
pub enum HeldOut {
    /// For propensity and clusters.
    Features(Features),
    /// For affinity: half of each list, rounded up, and the other half.
    Lists {
        /// What the model is told.
        given: Baskets,
        /// What it should find.
        held: Baskets,
    },
}

impl People {
    /// Reads the records of a Vault. `key` says in which order people stand and who is held out.
    ///
    /// **Errors**: [`TrainError::Records`] where the records lack a column that the plan reads; sizes beyond their limits.
    pub fn read(plan: &TrainingPlan, material: &Material, key: &[u8; 32]) -> Result<Self, TrainError> {
        let training = &plan.training;
        let roster = Roster::new(material, key);
        if roster.len().saturating_mul(training.features.len()) > NUMBERS_MAX {
            return Err(TrainError::Size("people times features"));
        }
        let mut found = Found::new(plan, &roster);
        let mut filters = Filters::default();
        let members = filters.place(&training.cohort);
        let condition = training.label.as_ref().map(|label| filters.place(&label.condition));
        let places: Vec<usize> =
            training.features.iter().map(|feature| filters.place(&feature.filter)).collect();
        for batch in material.rows() {
            let rows = roster.rows(plan, material, batch)?;
            let bits = filters.of(material, batch)?;
            for row in (&rows.past & &bits[members]).set_indices() {
                found.members[rows.person(row)] = true;
            }
            for ((column, feature), place) in found.columns.iter_mut().zip(&training.features).zip(&places) {
                column.read(feature, material, &rows, &bits[*place])?;
            }
            if let (Some(label), Some(place)) = (&training.label, condition) {
                for row in rows.ahead(label.days, &bits[place]) {
                    found.labels[rows.person(row)] = true;
                }
            }
            if let ModelKind::Affinity { attribute, items, days, .. } = &training.model {
                found.lists.read((attribute, items, *days), material, &rows)?;
            }
        }
        found.split(plan, &roster)
    }

    /// Who is trained on.
    pub fn training(&self) -> &Dataset {
        &self.training
    }

    /// Who is evaluated on.
    pub fn held_out(&self) -> &HeldOut {
        &self.held_out
    }

    /// About how much memory they take. **Units**: bytes.
    pub fn bytes(&self) -> usize {
        self.training.bytes()
            + match &self.held_out {
                HeldOut::Features(features) => features.bytes(),
                HeldOut::Lists { given, held } => given.bytes() + held.bytes(),
            }
    }
}

/// The different filters of a plan, each evaluated once a batch.
#[derive(Default)]
struct Filters<'a>(Vec<&'a [ResolvedOperand]>);

impl<'a> Filters<'a> {
    /// Where the bits of a filter will stand.
    fn place(&mut self, filter: &'a [ResolvedOperand]) -> usize {
        self.0.iter().position(|known| *known == filter).unwrap_or_else(|| {
            self.0.push(filter);
            self.0.len() - 1
        })
    }

    fn of(&self, material: &Material, batch: &RecordBatch) -> Result<Vec<BooleanBuffer>, SliceError> {
        self.0.iter().map(|filter| qualifying_rows(filter, material, batch)).collect()
    }
}

/// What records have told so far, by person.
struct Found {
    members: Zeroizing<Vec<bool>>,
    labels: Zeroizing<Vec<bool>>,
    columns: Vec<Column>,
    lists: Lists,
}

impl Found {
    fn new(plan: &TrainingPlan, roster: &Roster) -> Self {
        let people = roster.len();
        let nobody = || Zeroizing::new(vec![false; people]);
        let columns = plan.training.features.iter().map(|feature| Column::new(&feature.family, people));
        Self { members: nobody(), labels: nobody(), columns: columns.collect(), lists: Lists::default() }
    }

    /// Who belongs to the cohort, in two: trained on, held out.
    fn split(mut self, plan: &TrainingPlan, roster: &Roster) -> Result<People, TrainError> {
        let training = &plan.training;
        let (mut train, mut held) = (Vec::new(), Vec::new());
        for person in (0..roster.len()).filter(|person| self.members[*person]) {
            let side = if roster.held_out(person, training.held_out) { &mut held } else { &mut train };
            side.push(person);
        }
        if let ModelKind::Affinity { items, .. } = &training.model {
            let lists = self.lists.sorted();
            let (given, held) = lists.halves(&held, roster);
            return Ok(People {
                training: Dataset::Baskets(Baskets::new(items.len(), &lists.of(&train))?),
                held_out: HeldOut::Lists {
                    given: Baskets::new(items.len(), &given)?,
                    held: Baskets::new(items.len(), &held)?,
                },
            });
        }
        self.columns.iter_mut().for_each(Column::finish);
        Ok(People {
            training: Dataset::Features(self.features(plan, &train)?),
            held_out: HeldOut::Features(self.features(plan, &held)?),
        })
    }

    fn features(&self, plan: &TrainingPlan, people: &[usize]) -> Result<Features, TrainError> {
        let training = &plan.training;
        let mut raw = Zeroizing::new(Vec::with_capacity(people.len() * self.columns.len()));
        for person in people {
            for (column, feature) in self.columns.iter().zip(&training.features) {
                let value = column.value(*person, plan.evaluated_at, feature.days);
                raw.push(if feature.scale.logarithm { libm::log1p(value) } else { value });
            }
        }
        let scales: Vec<Scale> = training.features.iter().map(|feature| (&feature.scale).into()).collect();
        let labels: Zeroizing<Vec<bool>> =
            Zeroizing::new(people.iter().map(|person| self.labels[*person]).collect());
        Features::new(&scales, &raw, training.label.as_ref().map(|_| labels.as_slice()))
    }
}

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;
/// The most that a dataset may have: half a gibibyte of doubles while it is built.
const NUMBERS_MAX: usize = 1 << 26;

#[cfg(test)]
mod tests;
