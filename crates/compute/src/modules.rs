//! Runs a module over the material of one Vault (R088, R094-R096, R112, D10).
//!
//! The slice is a pure function of plan, material and module. What one person
//! changes is bounded where the module's words are read, in `symphony_wasm::output`, and the noise follows from that bound.

use arrow::array::{Array as _, BooleanArray, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use symphony_protocol::artifact::compute::{ComputePlan, ComputedResult};
use symphony_protocol::artifact::module::InputKind;
use symphony_protocol::governance::semantics::normalise;
use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::subjects::SubjectIndex;
use symphony_wasm::engine::{Ending, Prepared};
use symphony_wasm::job::Job;
use symphony_wasm::output::{self, Output};
use symphony_wasm::table::{Batch, Cells, Table, TableBuilder, Validity};
use zeroize::Zeroizing;

use crate::cells::{self, Sums};
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
    ) -> Sums {
        let people = self.people();
        let few = people < u64::from(plan.minimum_cohort);
        let cells = match (few, plan.derives()) {
            (true, _) => vec![],
            (false, true) => vec![output::attributes(&output.bytes).count() as i64],
            (false, false) => output::cells(&output.bytes).collect(),
        };
        Sums { task, vault: vault.clone(), people: if few { 0 } else { people }, cells, seed }
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

/// Adds up the sums of the Vaults and adds noise; see [`cells::release`]. The second value is the seed that the noise came from.
///
/// **Errors**: the sums of a Vault do not have the cells of the plan.
pub fn combine(
    task: TaskId,
    plan: &ComputePlan,
    slices: Vec<Sums>,
) -> Result<(ComputedResult, Digest), VaultId> {
    let noise = |group: &_, vaults| plan.noise(group, vaults);
    let released = cells::release(plan.groups(), plan.minimum_cohort, &noise, slices)?;
    let result = ComputedResult {
        task,
        outcome: released.outcome(),
        module: plan.declaration.name.clone(),
        version: plan.declaration.version,
        groups: released.groups,
        epsilon: plan.epsilon,
        vaults: released.vaults,
    };
    Ok((result, released.seed))
}

/// Bytes of a Vault's output: a value for each of a million people and more.
const OUTPUT_BYTES_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests;
