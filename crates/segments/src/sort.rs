//! Records in any order become segments of a bounded size (R077).
//!
//! Rows are kept as columns, distinct texts once each, until there are enough of them for a segment; then they are put in
//! order and written. So memory is bounded by the size of one segment, whatever is ingested.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, DictionaryArray, Int32Array, RecordBatch, StringArray, UInt32Array,
    UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, UInt64Type};
use symphony_protocol::governance::semantics::{ValueType, normalise};
use symphony_types::id::AttributeName;
use symphony_types::limits::TEXT_LEN_MAX;

use crate::error::SegmentError;
use crate::limits::ROW_GROUP_ROWS;
use crate::schema::{FIXED, SegmentSchema};
use crate::writer::{RowKey, SegmentWriter, keys_of};

/// Rows that wait to become a segment.
pub struct Unsorted {
    schema: SegmentSchema,
    people: Vec<u32>,
    sequences: Vec<u32>,
    columns: BTreeMap<AttributeName, Column>,
    text_bytes: usize,
}

enum Column {
    Numbers(Vec<Option<u64>>),
    Texts { known: HashMap<String, i32>, distinct: Vec<String>, keys: Vec<Option<i32>> },
}

impl Unsorted {
    /// No rows yet.
    pub fn new(schema: &SegmentSchema) -> Self {
        let columns = schema.attributes().iter().map(|(name, value)| {
            let column = match value {
                ValueType::Text => {
                    Column::Texts { known: HashMap::new(), distinct: Vec::new(), keys: Vec::new() }
                }
                ValueType::Time | ValueType::Cents => Column::Numbers(Vec::new()),
            };
            (name.clone(), column)
        });
        let columns = columns.collect();
        Self { schema: schema.clone(), people: Vec::new(), sequences: Vec::new(), columns, text_bytes: 0 }
    }

    /// How many rows wait.
    pub fn rows(&self) -> usize {
        self.people.len()
    }

    /// About what they take. **Units**: bytes.
    pub fn bytes(&self) -> usize {
        // A number takes sixteen with its mark, a key eight, person and place four each.
        let row: usize = self
            .columns
            .values()
            .map(|column| match column {
                Column::Numbers(_) => 16,
                Column::Texts { .. } => 8,
            })
            .sum();
        self.rows() * (row + 8) + self.text_bytes
    }

    /// Adds rows in any order. The batch has the columns of the schema; texts may be plain or in a dictionary and are brought
    /// into the form in which they are compared.
    ///
    /// **Errors**: [`SegmentError`] when the batch does not fit; then nothing of it is added.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), SegmentError> {
        let expected = self.schema.arrow();
        let mut columns = Vec::with_capacity(expected.fields().len());
        if batch.num_columns() != expected.fields().len() {
            return Err(SegmentError::Batch("other columns"));
        }
        for ((field, expected), column) in
            batch.schema().fields().iter().zip(expected.fields()).zip(batch.columns())
        {
            if field.name() != expected.name() {
                return Err(SegmentError::Batch("other columns"));
            }
            columns.push(fitting(column, expected.data_type())?);
        }
        if columns[..FIXED].iter().any(|column| column.null_count() > 0) {
            return Err(SegmentError::Batch("a record of nobody"));
        }
        for ((name, value), column) in self.schema.attributes().iter().zip(&columns[FIXED..]) {
            if *value == ValueType::Text {
                let texts = column.as_dictionary::<Int32Type>().values().as_string::<i32>();
                if texts.iter().flatten().any(|text| text.chars().count() > TEXT_LEN_MAX) {
                    return Err(SegmentError::Text(name.clone()));
                }
            }
        }
        let batch =
            RecordBatch::try_new(expected, columns).map_err(|_| SegmentError::Batch("other columns"))?;
        let (people, sequences, _) = keys_of(&self.schema, &batch);
        self.people.extend(people.values());
        self.sequences.extend(sequences.values());
        for (column, array) in self.columns.values_mut().zip(&batch.columns()[FIXED..]) {
            self.text_bytes += column.extend(array);
        }
        Ok(())
    }

    /// Writes all rows in order and leaves none.
    ///
    /// **Errors**: [`SegmentError::Order`] when a record came twice; else as [`SegmentWriter::write`]. The rows are gone then.
    pub async fn write(&mut self, writer: &mut SegmentWriter) -> Result<(), SegmentError> {
        let rows = std::mem::replace(self, Self::new(&self.schema));
        let order = rows.order();
        let dictionaries: Vec<Option<Arc<StringArray>>> =
            rows.columns.values().map(Column::distinct).collect();
        for places in order.chunks(ROW_GROUP_ROWS) {
            let batch = rows.batch(places, &dictionaries)?;
            writer.write(&batch).await?;
        }
        Ok(())
    }

    /// The places of rows in ascending order.
    fn order(&self) -> Vec<u32> {
        let times = self.schema.time().and_then(|time| self.columns.get(time));
        let key = |row: usize| -> RowKey {
            let time = match times {
                Some(Column::Numbers(times)) => times[row],
                Some(Column::Texts { .. }) | None => None,
            };
            (time, self.people[row], self.sequences[row])
        };
        let mut order: Vec<(RowKey, u32)> = (0..self.rows()).map(|row| (key(row), row as u32)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, row)| row).collect()
    }

    fn batch(
        &self,
        places: &[u32],
        dictionaries: &[Option<Arc<StringArray>>],
    ) -> Result<RecordBatch, SegmentError> {
        let fixed = |values: &[u32]| -> ArrayRef {
            Arc::new(UInt32Array::from_iter_values(places.iter().map(|row| values[*row as usize])))
        };
        let mut columns = vec![fixed(&self.people), fixed(&self.sequences)];
        for (column, dictionary) in self.columns.values().zip(dictionaries) {
            columns.push(match (column, dictionary) {
                (Column::Texts { keys, .. }, Some(distinct)) => {
                    let keys = places.iter().map(|row| keys[*row as usize]).collect::<Int32Array>();
                    let texts = DictionaryArray::try_new(keys, distinct.clone() as ArrayRef);
                    Arc::new(texts.map_err(|_| SegmentError::Batch("a column of texts"))?)
                }
                (Column::Numbers(numbers), _) => {
                    Arc::new(places.iter().map(|row| numbers[*row as usize]).collect::<UInt64Array>())
                }
                (Column::Texts { .. }, None) => return Err(SegmentError::Batch("a column of texts")),
            });
        }
        RecordBatch::try_new(self.schema.arrow(), columns).map_err(|_| SegmentError::Batch("other columns"))
    }
}

impl Column {
    /// Appends values; gives the bytes of texts that were not known.
    fn extend(&mut self, array: &ArrayRef) -> usize {
        match self {
            Self::Numbers(numbers) => {
                numbers.extend(array.as_primitive::<UInt64Type>().iter());
                0
            }
            Self::Texts { known, distinct, keys } => {
                let array = array.as_dictionary::<Int32Type>();
                let mut fresh = 0;
                let places: Vec<Option<i32>> = array
                    .values()
                    .as_string::<i32>()
                    .iter()
                    .map(|text| {
                        let text = normalise(text?);
                        let next = distinct.len() as i32;
                        Some(*known.entry(text).or_insert_with_key(|text| {
                            fresh += 2 * text.len() + ENTRY_BYTES;
                            distinct.push(text.clone());
                            next
                        }))
                    })
                    .collect();
                keys.extend(array.keys().iter().map(|key| places[key? as usize]));
                fresh
            }
        }
    }

    fn distinct(&self) -> Option<Arc<StringArray>> {
        match self {
            Self::Numbers(_) => None,
            Self::Texts { distinct, .. } => Some(Arc::new(StringArray::from_iter_values(distinct))),
        }
    }
}

/// The column in the type that the schema has, where it is of that meaning.
fn fitting(column: &ArrayRef, expected: &DataType) -> Result<ArrayRef, SegmentError> {
    let misfit = SegmentError::Batch("a column of another type");
    match (column.data_type(), expected) {
        (given, expected) if given == expected => Ok(column.clone()),
        (DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View, DataType::Dictionary(..)) => {
            cast(column, expected).map_err(|_| misfit)
        }
        _ => Err(misfit),
    }
}

/// What one distinct text takes besides its letters, twice.
const ENTRY_BYTES: usize = 64;
