//! The scan by hand: decrypted batches are compared column by column, and people counted in arrays.
//!
//! It gives what the plan in [`super::plan`] gives; why there are two is in ADR 0053.

use std::collections::BTreeMap;
use std::time::Instant;

use arrow::array::{Array, AsArray as _, RecordBatch, UInt64Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Int32Type, UInt32Type, UInt64Type};
use futures::TryStreamExt as _;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use symphony_types::id::AttributeName;

use super::QueryError;
use super::tally::{Counting, Tallies};
use super::work::Piece;
use crate::composition::Condition;
use crate::error::SegmentError;
use crate::people::Dense;
use crate::schema::SegmentSchema;
use crate::segment::Part;

/// What one core needs to know.
pub(crate) struct Scan<'a> {
    pub(crate) schema: &'a SegmentSchema,
    pub(crate) counting: &'a Counting,
    pub(crate) permitted: &'a Dense,
    pub(crate) width: usize,
    pub(crate) deadline: Instant,
}

impl Scan<'_> {
    /// Counts the records of some pieces.
    pub(crate) async fn count(&self, pieces: &[Piece]) -> Result<Tallies, QueryError> {
        let mut tallies = Tallies::new(self.counting, self.width);
        let columns = self.columns();
        let roots: Vec<usize> = columns.values().copied().chain([0]).collect();
        // Columns of a batch stand in the order of the schema.
        let places: BTreeMap<&AttributeName, usize> = columns
            .iter()
            .map(|(name, column)| (*name, 1 + columns.values().filter(|other| *other < column).count()))
            .collect();
        for piece in pieces {
            let corrupt = || SegmentError::Corrupt { segment: piece.segment.id(), part: Part::Frame };
            let descriptor = piece.segment.metadata().file_metadata().schema_descr();
            let mask = ProjectionMask::roots(descriptor, roots.iter().copied());
            let rows = piece.segment.metadata().row_group(piece.group).num_rows() as usize;
            let mut reader = ParquetRecordBatchStreamBuilder::new_with_metadata(
                piece.segment.file(),
                piece.segment.arrow().clone(),
            )
            .with_row_groups(vec![piece.group])
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS);
            if piece.rows != (0..rows) {
                reader = reader.with_row_selection(RowSelection::from(vec![
                    RowSelector::skip(piece.rows.start),
                    RowSelector::select(piece.rows.len()),
                ]));
            }
            let mut batches = reader.build().map_err(|_| corrupt())?;
            while let Some(batch) = batches.try_next().await.map_err(|_| corrupt())? {
                if Instant::now() > self.deadline {
                    return Err(QueryError::Deadline);
                }
                self.count_batch(&batch, &places, &mut tallies)?;
            }
        }
        Ok(tallies)
    }

    fn columns(&self) -> BTreeMap<&AttributeName, usize> {
        let read = self.counting.attributes();
        let names = self.schema.attributes().keys().filter(|name| read.contains(name));
        names.filter_map(|name| self.schema.column(name).map(|column| (name, column))).collect()
    }

    fn count_batch(
        &self,
        batch: &RecordBatch,
        places: &BTreeMap<&AttributeName, usize>,
        tallies: &mut Tallies,
    ) -> Result<(), QueryError> {
        let columns = Columns { batch, places };
        let people = batch.column(0).as_primitive::<UInt32Type>().values();
        let latest = self.counting.latest.as_ref().map(|time| columns.numbers(time)).transpose()?;
        for (index, leaf) in self.counting.leaves.iter().enumerate() {
            let qualifying = columns.satisfying(&leaf.over)?;
            let sums = leaf.sum.as_ref().map(|amount| columns.numbers(amount)).transpose()?;
            for row in qualifying.set_indices() {
                let person = people[row];
                if self.permitted.contains(person) {
                    let value = sums.map_or(1, |sums| value_or_zero(sums, row));
                    let time = latest.map_or(0, |times| value_or_zero(times, row));
                    tallies.add(index, person, value, time);
                }
            }
        }
        Ok(())
    }
}

fn value_or_zero(numbers: &UInt64Array, row: usize) -> u64 {
    if numbers.is_valid(row) { numbers.value(row) } else { 0 }
}

/// The columns of one batch, by attribute.
struct Columns<'a> {
    batch: &'a RecordBatch,
    places: &'a BTreeMap<&'a AttributeName, usize>,
}

impl<'a> Columns<'a> {
    /// The rows that satisfy a condition.
    fn satisfying(&self, condition: &Condition) -> Result<BooleanBuffer, QueryError> {
        let rows = self.batch.num_rows();
        Ok(match condition {
            Condition::Text { attribute, one_of } => {
                let column = self.column(attribute)?.as_dictionary::<Int32Type>();
                let texts = column.values().as_string::<i32>();
                let wanted: Vec<bool> =
                    texts.iter().map(|text| text.is_some_and(|text| one_of.contains(text))).collect();
                let keys = column.keys().values();
                let equal = match wanted.as_slice() {
                    [] => BooleanBuffer::new_unset(rows),
                    wanted => {
                        BooleanBuffer::collect_bool(rows, |row| wanted.get(keys[row] as usize) == Some(&true))
                    }
                };
                valid(equal, column)
            }
            Condition::Number { least, most, .. } if least > most => BooleanBuffer::new_unset(rows),
            Condition::Number { attribute, least, most } => {
                let column = self.numbers(attribute)?;
                let values = column.values();
                let width = most - least;
                valid(
                    BooleanBuffer::collect_bool(rows, |row| values[row].wrapping_sub(*least) <= width),
                    column,
                )
            }
            Condition::Present(attribute) => {
                valid(BooleanBuffer::new_set(rows), self.column(attribute)?.as_ref())
            }
            Condition::All(parts) => parts.iter().try_fold(BooleanBuffer::new_set(rows), |all, part| {
                Ok::<_, QueryError>(&all & &self.satisfying(part)?)
            })?,
            Condition::Any(parts) => parts.iter().try_fold(BooleanBuffer::new_unset(rows), |any, part| {
                Ok::<_, QueryError>(&any | &self.satisfying(part)?)
            })?,
            Condition::Not(part) => !&self.satisfying(part)?,
        })
    }

    fn numbers(&self, attribute: &AttributeName) -> Result<&'a UInt64Array, QueryError> {
        Ok(self.column(attribute)?.as_primitive::<UInt64Type>())
    }

    /// The types of columns were compared with the schema when the segment was opened, and the composition before that.
    fn column(&self, attribute: &AttributeName) -> Result<&'a arrow::array::ArrayRef, QueryError> {
        let place = self.places.get(attribute);
        place.map(|place| self.batch.column(*place)).ok_or_else(|| QueryError::attribute(attribute))
    }
}

/// A missing value satisfies nothing.
fn valid(satisfying: BooleanBuffer, column: &dyn Array) -> BooleanBuffer {
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => &satisfying & nulls.inner(),
        None => satisfying,
    }
}

/// Rows that are decrypted, compared and counted at a time: few enough for the caches.
const BATCH_ROWS: usize = 16 << 10;
