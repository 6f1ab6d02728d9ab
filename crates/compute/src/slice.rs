//! Evaluates an audience query over the records of one Vault (R087, R088, R092).
//!
//! Columnar: each operand becomes a bit per row, the conjunction is an `and` of bits, and only then rows are
//! looked at. A person qualifies by one record that satisfies all operands, or by a selection over several
//! conditions and what is measured (see [`Notes`]). What leaves is a signal per person: a
//! token, a handle and a rank, never a record. No record value is copied out of the material except that rank.

use arrow::array::{
    Array as _, AsArray as _, BooleanArray, Int32Array, RecordBatch, StringArray, UInt64Array,
};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::{boolean, cmp, take};
use arrow::datatypes::{Int32Type, UInt64Type};
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::{Predicate, ResolvedOperand, ResolvedQuery};
use symphony_protocol::governance::semantics::normalise;
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, TaskId, VaultId};
use symphony_types::limits::OPERANDS_MAX;
use zeroize::{Zeroize as _, Zeroizing};

use crate::keyed::Keyed;
use crate::material::{Material, subjects};
use crate::statistic::Notes;

/// A query does not fit its material.
#[derive(Debug, thiserror::Error)]
pub enum SliceError {
    /// The query has no operands or too many.
    #[error("the query has no operands or too many")]
    Operands,
    /// The material lacks an attribute of the query.
    #[error("the material has no column {0}")]
    Attribute(AttributeName),
    /// An operand compares what the attribute is not.
    #[error("an operand on {0} is of another type")]
    Type(AttributeName),
    /// A kernel failed.
    #[error("evaluating an operand")]
    Kernel(#[from] ArrowError),
}

/// What one slice tells the aggregator's enclave, sealed to it. Wiped on drop.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceSignals {
    /// The task.
    pub task: TaskId,
    /// The Vault.
    pub vault: VaultId,
    /// Whether fewer people qualified than the minimum cardinality; then there are no signals.
    pub suppressed: bool,
    /// One for each person who qualified, by token in ascending order.
    pub signals: Vec<Signal>,
}

/// One person who qualified.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Signal {
    /// Recognizes the person in other slices of the same task and nowhere else (D18).
    pub token: [u8; 32],
    /// What is delivered for the person.
    pub handle: String,
    /// How much there is of what people are ranked by, or the latest qualifying time in milliseconds; zero when the query has neither.
    pub rank: u64,
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.token.zeroize();
        self.handle.zeroize();
        self.rank.zeroize();
    }
}

/// A person whom records beside the material select.
pub struct Selected {
    /// What is delivered for the person.
    pub handle: String,
    /// As of [`Signal`].
    pub rank: u64,
}

/// A finished slice.
pub struct Slice {
    /// What goes to the aggregator.
    pub signals: SliceSignals,
    /// Merkle root over the commitments of all rows, in row order.
    pub input_root: Digest,
}

/// Evaluates `query` over all rows of `material`, and adds who was `selected` by it from other records. `dedupe` is the task's key
/// for tokens.
///
/// **Errors**: [`SliceError`] when the query does not fit the material.
pub fn evaluate(
    task: TaskId,
    vault: &VaultId,
    query: &ResolvedQuery,
    material: &Material,
    dedupe: &[u8; 32],
    selected: Vec<Selected>,
) -> Result<Slice, SliceError> {
    let qualifying = qualifying(query, material)?;
    let mut signals = signals_of(material, &qualifying, dedupe, selected);
    let suppressed = signals.len() < query.minimum_result_cardinality as usize;
    if suppressed {
        signals.clear();
    }
    let signals = SliceSignals { task, vault: vault.clone(), suppressed, signals };
    Ok(Slice { signals, input_root: material.root() })
}

/// The token of a person with this contact: equal contacts have equal tokens under one key, whatever their
/// letter case and spacing (D18).
pub fn token(dedupe: &[u8; 32], contact: &str) -> [u8; 32] {
    token_of(&Keyed::new(dedupe), contact)
}

pub(crate) fn token_of(keyed: &Keyed, contact: &str) -> [u8; 32] {
    keyed.of(Zeroizing::new(normalise(contact)).as_bytes())
}

/// Whom records of the material select, in ascending order, with the rank of each, as of [`Signal`]. Also who has no handle in the material.
///
/// **Errors**: as [`evaluate`].
pub fn qualifying(
    query: &ResolvedQuery,
    material: &Material,
) -> Result<Zeroizing<Vec<(u32, u64)>>, SliceError> {
    let Some(operands) = query.who.one_record() else {
        return Ok(Notes::read(query.inquiry(), material)?.qualifying(&query.who, query.ranked()));
    };
    if operands.is_empty() || operands.len() > OPERANDS_MAX {
        return Err(SliceError::Operands);
    }
    let window = query.who.window();
    let mut people: Zeroizing<Vec<(u32, u64)>> = Zeroizing::new(Vec::new());
    for batch in material.rows() {
        let qualifying = qualifying_rows(operands, material, batch)?;
        let times = match window {
            Some(attribute) => Some(numbers(material, batch, attribute)?),
            None => None,
        };
        let subjects = subjects(batch).values();
        for row in qualifying.set_indices() {
            let (subject, time) = (subjects[row], times.map_or(0, |times| times.value(row)));
            match people.last_mut() {
                Some((last, latest)) if *last == subject => *latest = time.max(*latest),
                _ => people.push((subject, time)),
            }
        }
    }
    people.sort_unstable();
    people.dedup_by(|next, known| {
        let same = next.0 == known.0;
        if same {
            known.1 = next.1.max(known.1);
        }
        same
    });
    Ok(people)
}

/// The rows that satisfy all operands: every row where there are none.
pub(crate) fn qualifying_rows(
    operands: &[ResolvedOperand],
    material: &Material,
    batch: &RecordBatch,
) -> Result<BooleanBuffer, SliceError> {
    let mut all = BooleanBuffer::new_set(batch.num_rows());
    for operand in operands {
        let matches = operand_matches(&operand.predicate, &operand.attribute, material, batch)?;
        // A missing value satisfies nothing.
        all = &all
            & &match matches.nulls() {
                Some(valid) => matches.values() & valid.inner(),
                None => matches.values().clone(),
            };
    }
    Ok(all)
}

fn operand_matches(
    predicate: &Predicate,
    attribute: &AttributeName,
    material: &Material,
    batch: &RecordBatch,
) -> Result<BooleanArray, SliceError> {
    match predicate {
        Predicate::TextEquals(wanted) => {
            text_matches(std::slice::from_ref(wanted), attribute, material, batch)
        }
        Predicate::TextIn(wanted) => text_matches(wanted, attribute, material, batch),
        Predicate::Between { since, until } => {
            let times = numbers(material, batch, attribute)?;
            let after = cmp::gt_eq(times, &UInt64Array::new_scalar(since.0))?;
            let before = cmp::lt_eq(times, &UInt64Array::new_scalar(until.0))?;
            Ok(boolean::and(&after, &before)?)
        }
        Predicate::AtLeast(bound) => {
            Ok(cmp::gt_eq(numbers(material, batch, attribute)?, &UInt64Array::new_scalar(*bound))?)
        }
        Predicate::Within { least, most } => {
            let values = numbers(material, batch, attribute)?;
            let enough = cmp::gt_eq(values, &UInt64Array::new_scalar(*least))?;
            let few = cmp::lt_eq(values, &UInt64Array::new_scalar(*most))?;
            Ok(boolean::and(&enough, &few)?)
        }
    }
}

/// Compares the distinct texts of a batch once each, then spreads the answers over the rows.
fn text_matches(
    wanted: &[String],
    attribute: &AttributeName,
    material: &Material,
    batch: &RecordBatch,
) -> Result<BooleanArray, SliceError> {
    let (places, texts) = texts(material, batch, attribute)?;
    let wanted: Vec<String> = wanted.iter().map(|text| normalise(text)).collect();
    let equal = |text: &str| wanted.contains(&*Zeroizing::new(normalise(text)));
    let distinct: BooleanArray = texts.iter().map(|text| text.map(equal)).collect();
    let spread = take::take(&distinct, places, None)?;
    Ok(spread.as_boolean().clone())
}

/// The rows that have an attribute.
pub(crate) fn present(
    material: &Material,
    batch: &RecordBatch,
    attribute: &AttributeName,
) -> Result<BooleanBuffer, SliceError> {
    let column = material.column(attribute).ok_or_else(|| SliceError::Attribute(attribute.clone()))?;
    let nulls = batch.column(column).nulls().map(|valid| valid.inner().clone());
    Ok(nulls.unwrap_or_else(|| BooleanBuffer::new_set(batch.num_rows())))
}

/// The distinct texts of an attribute, and where each row's stands among them.
pub(crate) fn texts<'a>(
    material: &Material,
    batch: &'a RecordBatch,
    attribute: &AttributeName,
) -> Result<(&'a Int32Array, &'a StringArray), SliceError> {
    let column = material.column(attribute).ok_or_else(|| SliceError::Attribute(attribute.clone()))?;
    let column = batch.column(column).as_dictionary_opt::<Int32Type>();
    let column = column.ok_or_else(|| SliceError::Type(attribute.clone()))?;
    let texts = column.values().as_string_opt::<i32>().ok_or_else(|| SliceError::Type(attribute.clone()))?;
    Ok((column.keys(), texts))
}

/// The times or the amounts of an attribute.
pub(crate) fn numbers<'a>(
    material: &Material,
    batch: &'a RecordBatch,
    attribute: &AttributeName,
) -> Result<&'a UInt64Array, SliceError> {
    let column = material.column(attribute).ok_or_else(|| SliceError::Attribute(attribute.clone()))?;
    let column = batch.column(column).as_primitive_opt::<UInt64Type>();
    column.ok_or_else(|| SliceError::Type(attribute.clone()))
}

/// One signal per token of those whom records select.
fn signals_of(
    material: &Material,
    qualifying: &[(u32, u64)],
    dedupe: &[u8; 32],
    mut selected: Vec<Selected>,
) -> Vec<Signal> {
    let (subjects, handles) = material.people();
    for (position, subject) in subjects.values().iter().enumerate() {
        let Ok(place) = qualifying.binary_search_by_key(subject, |(subject, _)| *subject) else { continue };
        selected.push(Selected { handle: handles.value(position).into(), rank: qualifying[place].1 });
    }
    let keyed = Keyed::new(dedupe);
    let signal = |Selected { handle, rank }| Signal { token: token_of(&keyed, &handle), handle, rank };
    joined(selected.into_iter().map(signal).collect())
}

/// One signal per token, in ascending order of tokens: of one person's the highest rank, and the least handle, so that the order
/// of signals does not matter.
pub(crate) fn joined(mut signals: Vec<Signal>) -> Vec<Signal> {
    signals.sort_unstable();
    signals.dedup_by(|next, known| {
        let same = next.token == known.token;
        if same {
            known.rank = known.rank.max(next.rank);
        }
        same
    });
    signals
}

#[cfg(test)]
mod tests;
