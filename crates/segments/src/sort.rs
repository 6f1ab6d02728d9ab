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
use symphony_protocol::vault::record::Value;
use symphony_types::id::AttributeName;
use symphony_types::limits::TEXT_LEN_MAX;
use symphony_types::subjects::SubjectIndex;

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

    /// Adds one record; of its values those that have a column.
    ///
    /// **Errors**: [`SegmentError::Text`], and [`SegmentError::Batch`] for a value of another type; then nothing is added.
    pub fn record(
        &mut self,
        person: SubjectIndex,
        sequence: u32,
        values: &BTreeMap<AttributeName, Value>,
    ) -> Result<(), SegmentError> {
        for (name, column) in &self.columns {
            match (column, values.get(name)) {
                (Column::Texts { .. }, Some(Value::Text(text))) if text.chars().count() > TEXT_LEN_MAX => {
                    return Err(SegmentError::Text(name.clone()));
                }
                (_, None)
                | (Column::Texts { .. }, Some(Value::Text(_)))
                | (Column::Numbers(_), Some(Value::Time(_) | Value::Cents(_))) => {}
                (Column::Texts { .. }, Some(Value::Time(_) | Value::Cents(_)))
                | (Column::Numbers(_), Some(Value::Text(_))) => {
                    return Err(SegmentError::Batch("a value of another type"));
                }
            }
        }
        self.people.push(person.0);
        self.sequences.push(sequence);
        for (name, column) in &mut self.columns {
            self.text_bytes += column.push(values.get(name));
        }
        Ok(())
    }

    /// Writes all rows in order and leaves none.
    ///
    /// **Errors**: [`SegmentError::Order`] when a record came twice; else as [`SegmentWriter::write`]. The rows are gone then.
    pub async fn write(&mut self, writer: &mut SegmentWriter) -> Result<(), SegmentError> {
        let rows = std::mem::replace(self, Self::new(&self.schema));
        for batch in rows.batches(ROW_GROUP_ROWS) {
            writer.write(&batch?).await?;
        }
        Ok(())
    }

    /// All rows in order, at most so many in a batch.
    pub fn batches(&self, most: usize) -> impl Iterator<Item = Result<RecordBatch, SegmentError>> {
        let order = self.order();
        let dictionaries: Vec<_> = self.columns.values().map(Column::distinct).collect();
        let starts = (0..order.len()).step_by(most.max(1));
        starts.map(move |start| {
            let end = order.len().min(start + most.max(1));
            self.batch(&order[start..end], &dictionaries)
        })
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
                        let (place, added) = place_of(known, distinct, text?);
                        fresh += added;
                        Some(place)
                    })
                    .collect();
                keys.extend(array.keys().iter().map(|key| places[key? as usize]));
                fresh
            }
        }
    }

    /// Appends one value that fits, or that there is none; gives the bytes of a text that was not known.
    fn push(&mut self, value: Option<&Value>) -> usize {
        match (self, value) {
            (Self::Numbers(numbers), value) => {
                numbers.push(match value {
                    Some(Value::Time(time)) => Some(time.0),
                    Some(Value::Cents(cents)) => Some(*cents),
                    Some(Value::Text(_)) | None => None,
                });
                0
            }
            (Self::Texts { known, distinct, keys }, Some(Value::Text(text))) => {
                let (place, added) = place_of(known, distinct, text);
                keys.push(Some(place));
                added
            }
            (Self::Texts { keys, .. }, _) => {
                keys.push(None);
                0
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

/// Where a text stands among the distinct ones, and the bytes that it takes when it is new.
fn place_of(known: &mut HashMap<String, i32>, distinct: &mut Vec<String>, text: &str) -> (i32, usize) {
    let text = normalise(text);
    if let Some(place) = known.get(&text) {
        return (*place, 0);
    }
    let (place, bytes) = (distinct.len() as i32, 2 * text.len() + ENTRY_BYTES);
    distinct.push(text.clone());
    known.insert(text, place);
    (place, bytes)
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
