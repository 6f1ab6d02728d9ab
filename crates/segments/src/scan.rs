//! The scan by hand: decrypted batches are compared column by column, and people counted in arrays (ADR 0053).

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch, UInt64Array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Int32Type, UInt32Type, UInt64Type};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::errors::ParquetError;
use symphony_types::id::AttributeName;

use crate::answer::QueryError;
use crate::composition::Condition;
use crate::error::SegmentError;
use crate::open::Ranges;
use crate::people::Dense;
use crate::segment::Part;
use tally::{Counting, Tallies};
use work::Piece;

pub(crate) mod tally;
pub(crate) mod work;

/// How many records there are of a person in a group.
pub(crate) type Grouped = HashMap<(u32, u32), u64>;

/// What one core needs to know.
pub(crate) struct Scan<'a> {
    pub(crate) counting: &'a Counting,
    pub(crate) permitted: &'a Dense,
    pub(crate) width: usize,
    pub(crate) deadline: Instant,
    pub(crate) files: &'a dyn Ranges,
}

impl Scan<'_> {
    /// Counts the records of some pieces.
    pub(crate) fn count(&self, pieces: &[Piece]) -> Result<Tallies<'_>, QueryError> {
        let mut tallies = Tallies::new(self.counting, self.width);
        self.each_batch(pieces, |columns| {
            self.count_batch(columns, &mut tallies);
            Ok(())
        })?;
        Ok(tallies)
    }

    /// Counts the records of each person in each of these groups, which are texts of an attribute in ascending order; the first
    /// leaf says which records. At most so many counts.
    pub(crate) fn count_groups(
        &self,
        pieces: &[Piece],
        (attribute, groups): (&AttributeName, &[&String]),
        most: usize,
    ) -> Result<Grouped, QueryError> {
        let mut grouped = Grouped::new();
        let Some(leaf) = self.counting.leaves.first() else { return Ok(grouped) };
        self.each_batch(pieces, |columns| {
            let qualifying = columns.satisfying(&leaf.over);
            let Some(column) = columns.column(attribute) else { return Ok(()) };
            let column = column.as_dictionary::<Int32Type>();
            let place = |text: Option<&str>| {
                let place = groups.binary_search_by_key(&text?, |group| group.as_str()).ok()?;
                u32::try_from(place).ok()
            };
            let places: Vec<Option<u32>> = column.values().as_string::<i32>().iter().map(place).collect();
            let (people, keys) = (columns.people(), column.keys());
            for row in qualifying.set_indices() {
                let group = places.get(keys.value(row) as usize).copied().flatten();
                if let Some(group) =
                    group.filter(|_| keys.is_valid(row) && self.permitted.contains(people[row]))
                {
                    *grouped.entry((people[row], group)).or_default() += 1;
                }
            }
            if grouped.len() > most { Err(QueryError::Memory) } else { Ok(()) }
        })?;
        Ok(grouped)
    }

    fn each_batch(
        &self,
        pieces: &[Piece],
        mut visit: impl FnMut(&Columns<'_>) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let read = self.counting.attributes();
        for piece in pieces {
            let columns: BTreeMap<_, _> =
                read.iter().filter_map(|name| Some((name, piece.segment.column(name)?))).collect();
            let roots: Vec<usize> = columns.values().copied().chain([0]).collect();
            // Columns of a batch stand in the order of the file.
            let places: BTreeMap<&AttributeName, usize> = columns
                .iter()
                .map(|(name, column)| (*name, 1 + columns.values().filter(|other| *other < column).count()))
                .collect();
            let segment = piece.segment.id();
            let corrupt = |_: ParquetError| SegmentError::Corrupt { segment, part: Part::Frame };
            let mut decoder = decoder(piece, &roots).map_err(corrupt)?;
            loop {
                if Instant::now() > self.deadline {
                    return Err(QueryError::Deadline);
                }
                match decoder.try_decode().map_err(corrupt)? {
                    DecodeResult::NeedsData(wanted) => {
                        let found = self.files.ranges(&segment, &wanted)?;
                        decoder.push_ranges(wanted, found).map_err(corrupt)?;
                    }
                    DecodeResult::Data(batch) => visit(&Columns { batch: &batch, places: &places })?,
                    DecodeResult::Finished => break,
                }
            }
        }
        Ok(())
    }

    fn count_batch(&self, columns: &Columns<'_>, tallies: &mut Tallies<'_>) {
        let people = columns.people();
        let latest = self.counting.latest.as_ref().and_then(|time| columns.numbers(time));
        for (index, leaf) in self.counting.leaves.iter().enumerate() {
            let qualifying = columns.satisfying(&leaf.over);
            let sums = leaf.sum.as_ref().map(|amount| columns.numbers(amount));
            for row in qualifying.set_indices() {
                let person = people[row];
                if self.permitted.contains(person) {
                    let value = sums.map_or(1, |sums| sums.map_or(0, |sums| value_or_zero(sums, row)));
                    let time = latest.map_or(0, |times| value_or_zero(times, row));
                    tallies.add(index, person, value, time);
                }
            }
        }
    }
}

/// Decodes these columns of a piece in batches.
fn decoder(piece: &Piece, roots: &[usize]) -> Result<ParquetPushDecoder, ParquetError> {
    let metadata = piece.segment.metadata();
    let mask = ProjectionMask::roots(metadata.file_metadata().schema_descr(), roots.iter().copied());
    let rows = metadata.row_group(piece.group).num_rows() as usize;
    let mut decoder = ParquetPushDecoderBuilder::new_with_metadata(piece.segment.arrow().clone())
        .with_row_groups(vec![piece.group])
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS);
    if piece.rows != (0..rows) {
        decoder = decoder.with_row_selection(RowSelection::from(vec![
            RowSelector::skip(piece.rows.start),
            RowSelector::select(piece.rows.len()),
        ]));
    }
    decoder.build()
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
    /// Whose the rows are.
    fn people(&self) -> &'a [u32] {
        self.batch.column(0).as_primitive::<UInt32Type>().values()
    }

    /// The rows that satisfy a condition.
    fn satisfying(&self, condition: &Condition) -> BooleanBuffer {
        let rows = self.batch.num_rows();
        match condition {
            Condition::Text { attribute, one_of } => {
                let Some(column) = self.column(attribute) else { return BooleanBuffer::new_unset(rows) };
                let column = column.as_dictionary::<Int32Type>();
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
                let Some(column) = self.numbers(attribute) else { return BooleanBuffer::new_unset(rows) };
                let values = column.values();
                let width = most - least;
                valid(
                    BooleanBuffer::collect_bool(rows, |row| values[row].wrapping_sub(*least) <= width),
                    column,
                )
            }
            Condition::Present(attribute) => match self.column(attribute) {
                Some(column) => valid(BooleanBuffer::new_set(rows), column.as_ref()),
                None => BooleanBuffer::new_unset(rows),
            },
            Condition::All(parts) => {
                let every = BooleanBuffer::new_set(rows);
                parts.iter().fold(every, |all, part| &all & &self.satisfying(part))
            }
            Condition::Any(parts) => {
                let none = BooleanBuffer::new_unset(rows);
                parts.iter().fold(none, |any, part| &any | &self.satisfying(part))
            }
            Condition::Not(part) => !&self.satisfying(part),
        }
    }

    fn numbers(&self, attribute: &AttributeName) -> Option<&'a UInt64Array> {
        Some(self.column(attribute)?.as_primitive::<UInt64Type>())
    }

    /// `None`: the segment is older than the attribute. Types were compared with the schema when the segment was opened, and the
    /// composition before that.
    fn column(&self, attribute: &AttributeName) -> Option<&'a ArrayRef> {
        Some(self.batch.column(*self.places.get(attribute)?))
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
