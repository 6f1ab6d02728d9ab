//! Runs a module over the material of one Vault, and adds up what the Vaults answer (R088, R094-R096, R112, D10).
//!
//! The slice is a pure function of plan, material and module; the combination of sums and their seeds. What one person
//! changes is bounded where the module's words are read, in `symphony_wasm::output`, and the noise follows from that bound.

use arrow::array::{Array as _, BooleanArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use prio::dp::Rational;
use prio::dp::distributions::DiscreteLaplace;
use rand::SeedableRng as _;
use rand::distr::Distribution as _;
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::Outcome;
use symphony_protocol::artifact::compute::{ComputePlan, ComputedResult, NoiseScale, NoisedGroup};
use symphony_protocol::artifact::module::InputKind;
use symphony_protocol::governance::semantics::normalise;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::subjects::SubjectIndex;
use symphony_wasm::engine::{Ending, Prepared};
use symphony_wasm::job::Job;
use symphony_wasm::output::{self, Output};
use symphony_wasm::table::{Batch, Cells, Table, TableBuilder, Validity};
use zeroize::{Zeroize as _, Zeroizing};

use crate::material::{Material, subjects};
use crate::slice::{SliceError, numbers, qualifying_rows, texts};

/// A slice of a computation has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The records do not fit the plan.
    #[error(transparent)]
    Records(#[from] SliceError),
    /// Rows of the cohort could not be taken.
    #[error("taking the rows of the cohort")]
    Rows(#[from] ArrowError),
    /// How the run ended, decided from sizes alone.
    #[error("the module ends the run: {0}")]
    Ending(#[from] Ending),
}

/// What one slice tells the aggregator's enclave, sealed to it. Wiped on drop.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleSums {
    /// The task.
    pub task: TaskId,
    /// The Vault.
    pub vault: VaultId,
    /// People in the cohort; zero when they are fewer than the minimum.
    pub people: u64,
    /// The cells of all groups in order, without noise; empty when there are fewer people than the minimum.
    pub cells: Vec<i64>,
    /// This slice's part of the noise's seed: the same whenever it is computed, known to enclaves alone.
    pub seed: [u8; 32],
}

impl Drop for ModuleSums {
    fn drop(&mut self) {
        self.people.zeroize();
        self.cells.zeroize();
        self.seed.zeroize();
    }
}

/// The records of the cohort, person by person.
pub struct Cohort {
    table: Table,
}

impl Cohort {
    /// Takes the rows of everybody who has a row for which all operands of the cohort hold; of everybody where there are
    /// none. **Errors**: [`ModuleError::Records`], and [`Ending::Inputs`] for more than the plan allows.
    pub fn read(plan: &ComputePlan, material: &Material) -> Result<Self, ModuleError> {
        if material.rows_len() as u64 > plan.records_max
            || material.people_len() as u64 > plan.people_max.into()
        {
            return Err(Ending::OutOfFuel.into());
        }
        let members = members(plan, material)?;
        let mut builder = TableBuilder::new(&plan.declaration, &plan.parameters)?;
        for batch in material.rows() {
            match &members {
                None => push(plan, material, batch, &mut builder)?,
                Some(members) => {
                    let of_member = |subject: &u32| members[*subject as usize];
                    let mask: BooleanArray =
                        subjects(batch).values().iter().map(|subject| Some(of_member(subject))).collect();
                    push(plan, material, &filter_record_batch(batch, &mask)?, &mut builder)?;
                }
            }
        }
        Ok(Self { table: builder.finish() })
    }

    /// Runs the module over everybody, without those `left_out`. **Errors**: [`ModuleError::Ending`].
    pub fn run(
        &self,
        plan: &ComputePlan,
        module: &dyn Prepared,
        left_out: &[u32],
    ) -> Result<Output, ModuleError> {
        let job = Job {
            table: &self.table,
            parameters: &plan.parameters,
            fuel_max: plan.fuel_max(),
            output_bytes_max: OUTPUT_BYTES_MAX,
            left_out,
        };
        Ok(module.run(&job)?)
    }

    /// How many people there are.
    pub fn people(&self) -> u64 {
        self.table.people_len() as u64
    }

    /// What may be said to the aggregator of an output (R088).
    pub fn sums(
        &self,
        task: TaskId,
        vault: &VaultId,
        plan: &ComputePlan,
        output: &Output,
        seed: [u8; 32],
    ) -> ModuleSums {
        let people = self.people();
        let few = people < u64::from(plan.minimum_cohort);
        let cells = match (few, plan.derives()) {
            (true, _) => vec![],
            (false, true) => vec![output::attributes(&output.bytes).count() as i64],
            (false, false) => output::cells(&output.bytes).collect(),
        };
        ModuleSums { task, vault: vault.clone(), people: if few { 0 } else { people }, cells, seed }
    }
}

/// The derived attribute of each person that has one.
pub fn derived(plan: &ComputePlan, output: &Output) -> Vec<(SubjectIndex, u64)> {
    if !plan.derives() {
        return vec![];
    }
    let values = output::attributes(&output.bytes);
    // Declared values are not negative.
    values.map(|(subject, value)| (SubjectIndex(subject), value.unsigned_abs())).collect()
}

/// Which subjects belong to the cohort, by index; `None` for everybody.
fn members(plan: &ComputePlan, material: &Material) -> Result<Option<Zeroizing<Vec<bool>>>, ModuleError> {
    if plan.cohort.is_empty() {
        return Ok(None);
    }
    let mut members = Zeroizing::new(vec![]);
    for batch in material.rows() {
        let subjects = subjects(batch).values();
        let most = subjects.iter().max().map_or(0, |most| *most as usize + 1);
        if members.len() < most {
            members.resize(most, false);
        }
        for row in qualifying_rows(&plan.cohort, material, batch)?.set_indices() {
            members[subjects[row] as usize] = true;
        }
    }
    Ok(Some(members))
}

fn push(
    plan: &ComputePlan,
    material: &Material,
    batch: &RecordBatch,
    builder: &mut TableBuilder<'_>,
) -> Result<(), ModuleError> {
    // The texts of a batch in the form in which they are compared; the columns borrow them.
    let mut dictionaries = vec![];
    for input in &plan.declaration.inputs {
        dictionaries.push(match input.kind {
            InputKind::Listed { .. } => {
                let (_, texts) = texts(material, batch, &input.attribute)?;
                let form = |text: Option<&str>| text.map(normalise).unwrap_or_default();
                Zeroizing::new(texts.iter().map(form).collect::<Vec<String>>())
            }
            InputKind::Time | InputKind::Cents => Zeroizing::default(),
        });
    }
    let borrowed: Vec<Vec<&str>> =
        dictionaries.iter().map(|texts| texts.iter().map(String::as_str).collect()).collect();
    let mut columns = vec![];
    for (input, dictionary) in plan.declaration.inputs.iter().zip(&borrowed) {
        columns.push(match input.kind {
            InputKind::Time | InputKind::Cents => {
                let column = numbers(material, batch, &input.attribute)?;
                Cells::Numbers { values: column.values(), validity: column.nulls().map(validity) }
            }
            InputKind::Listed { .. } => {
                let (keys, _) = texts(material, batch, &input.attribute)?;
                Cells::Texts { keys: keys.values(), dictionary, validity: keys.nulls().map(validity) }
            }
        });
    }
    Ok(builder.push(&Batch { subjects: subjects(batch).values(), columns: &columns })?)
}

fn validity(nulls: &NullBuffer) -> Validity<'_> {
    Validity { bytes: nulls.validity(), offset: nulls.offset() }
}

/// Adds up the sums of the Vaults and adds noise. The order of slices does not matter; equal slices have equal answers,
/// whoever combines them. The second value is the seed that selection and noise came from.
///
/// **Errors**: the sums of a Vault do not have the cells of the plan.
pub fn combine(
    task: TaskId,
    plan: &ComputePlan,
    mut slices: Vec<ModuleSums>,
) -> Result<(ComputedResult, Digest), VaultId> {
    slices.sort_by(|one, other| one.vault.cmp(&other.vault));
    let groups = plan.groups();
    let count: usize = groups.iter().map(|group| group.cells as usize).sum();
    let mut cells = Zeroizing::new(vec![0_i64; count]);
    let (mut people, mut vaults) = (0_u64, 0_u64);
    let mut seed = Zeroizing::new(vec![]);
    for slice in &slices {
        seed.extend_from_slice(&canonical::to_bytes(&(&slice.vault, slice.seed)));
        if slice.cells.is_empty() {
            continue;
        }
        if slice.cells.len() != count {
            return Err(slice.vault.clone());
        }
        for (sum, cell) in cells.iter_mut().zip(&slice.cells) {
            *sum = sum.checked_add(*cell).ok_or_else(|| slice.vault.clone())?;
        }
        people = people.saturating_add(slice.people);
        vaults += 1;
    }
    let seed = Digest::tagged(SEED_TAG, &seed);
    let result = |outcome, groups| ComputedResult {
        task,
        outcome,
        module: plan.declaration.name.clone(),
        version: plan.declaration.version,
        groups,
        epsilon: plan.epsilon,
        vaults: u32::try_from(vaults).unwrap_or(u32::MAX),
    };
    if people < u64::from(plan.minimum_cohort) {
        return Ok((result(Outcome::Suppressed, vec![]), seed));
    }
    let mut stream = ChaCha20Rng::from_seed(Digest::tagged(NOISE_TAG, &seed.0).0);
    let mut noised = vec![];
    let mut at = 0;
    for group in groups {
        let scale = plan.noise(&group, vaults);
        let own = &cells[at..at + group.cells as usize];
        at += own.len();
        noised.push(NoisedGroup {
            cells: with_noise(own, scale, &mut stream),
            noise_scale: u64::try_from(scale.numerator.div_ceil(scale.denominator)).unwrap_or(u64::MAX),
            name: group.name,
            unit: group.unit,
        });
    }
    let answer = Digest::of(ANSWER_TAG, &(&seed, &noised));
    Ok((result(Outcome::Computed { answer }, noised), seed))
}

/// Cells plus discrete Laplace noise of this scale.
fn with_noise(cells: &[i64], scale: NoiseScale, stream: &mut ChaCha20Rng) -> Vec<i64> {
    let scale = Rational::from_unsigned(scale.numerator, scale.denominator);
    let laplace = scale.ok().and_then(|scale| DiscreteLaplace::new(scale).ok());
    // Admission allows of no epsilon of zero; without noise nothing is told.
    let Some(laplace) = laplace else { return vec![0; cells.len()] };
    let mut noised = |cell: &i64| {
        let noise = i64::try_from(laplace.sample(stream)).unwrap_or(i64::MAX);
        cell.saturating_add(noise)
    };
    cells.iter().map(&mut noised).collect()
}

/// Bytes of a Vault's output: a value for each of a million people and more.
const OUTPUT_BYTES_MAX: usize = 256 << 20;
const SEED_TAG: &str = "symphony/compute-seed/v1";
const NOISE_TAG: &str = "symphony/compute-noise/v1";
const ANSWER_TAG: &str = "symphony/computed-answer/v1";

#[cfg(test)]
mod tests;
