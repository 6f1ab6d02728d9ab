//! The columnar batch that a Vault seals for its slice enclave (R087, R127).
//!
//! **Shape**: eight bytes, little-endian: the length of the first stream; then two Arrow IPC streams. *Rows*:
//! `subject` (`UInt32`), `commitment` (`FixedSizeBinary(32)`), then one nullable column per attribute in
//! ascending order: texts as `Dictionary(Int32, Utf8)`, times and amounts as `UInt64`. *People*: one batch of
//! `subject` (`UInt32`) and `handle` (`Utf8`). A reader keeps the batch in place in one buffer, which is wiped
//! when the material is dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayBuilder as _, ArrayRef, AsArray as _, FixedSizeBinaryArray, FixedSizeBinaryBuilder,
    RecordBatch, StringArray, StringBuilder, StringDictionaryBuilder, UInt32Array, UInt32Builder,
    UInt64Builder,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use symphony_protocol::governance::semantics::ValueType;
use symphony_protocol::vault::record::Value;
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, Commitment};
use symphony_types::limits::{OPERANDS_MAX, SEALED_BYTES_MAX, SUBJECTS_PER_VAULT_MAX, TEXT_LEN_MAX};
use symphony_types::merkle;
use symphony_types::subjects::SubjectIndex;
use zeroize::{Zeroize as _, Zeroizing};

use crate::columns;

/// Material could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// A limit of the protocol.
    #[error("the material has too many {0}")]
    TooMany(&'static str),
    /// A value that is not of its column's type.
    #[error("a value of {0} is not of its type")]
    Type(AttributeName),
    /// A handle is empty or too long.
    #[error("a handle is empty or too long")]
    Handle,
    /// A person appears twice.
    #[error("a person appears twice")]
    Person,
    /// The columns could not be written.
    #[error("writing columns")]
    Write(#[from] ArrowError),
    /// The bytes are not material.
    #[error("the material is malformed: {0}")]
    Malformed(&'static str),
}

/// Records and people of one slice. Wiped when dropped.
pub struct Material {
    rows: Vec<RecordBatch>,
    people: RecordBatch,
    attributes: Vec<AttributeName>,
}

impl Material {
    /// The records, in the order that they were pushed.
    pub fn rows(&self) -> &[RecordBatch] {
        &self.rows
    }

    /// How many records there are.
    pub fn rows_len(&self) -> usize {
        self.rows.iter().map(RecordBatch::num_rows).sum()
    }

    /// How many people there are.
    pub fn people_len(&self) -> usize {
        self.people.num_rows()
    }

    /// The Merkle root over the commitments of all rows, in row order.
    pub fn root(&self) -> Digest {
        let leaves: Vec<Digest> = self
            .rows
            .iter()
            .flat_map(|batch| commitments(batch).iter().flatten().map(merkle::leaf))
            .collect();
        merkle::root(&leaves)
    }

    /// The same records in batches of at most so many.
    #[cfg(test)]
    pub(crate) fn cut(mut self, rows: usize) -> Self {
        let parts = |batch: &RecordBatch| -> Vec<RecordBatch> {
            let length = batch.num_rows();
            (0..length).step_by(rows).map(|start| batch.slice(start, rows.min(length - start))).collect()
        };
        self.rows = self.rows.iter().flat_map(parts).collect();
        self
    }

    /// Where the column of an attribute is in each batch.
    pub(crate) fn column(&self, attribute: &AttributeName) -> Option<usize> {
        self.attributes.binary_search(attribute).ok().map(|index| index + FIXED_COLUMNS)
    }

    /// Subjects and handles of people, by position.
    pub(crate) fn people(&self) -> (&UInt32Array, &StringArray) {
        (self.people.column(0).as_primitive::<UInt32Type>(), self.people.column(1).as_string::<i32>())
    }
}

/// The subject of each row.
pub(crate) fn subjects(batch: &RecordBatch) -> &UInt32Array {
    batch.column(0).as_primitive::<UInt32Type>()
}

/// The commitment of each row.
pub(crate) fn commitments(batch: &RecordBatch) -> &FixedSizeBinaryArray {
    batch.column(1).as_fixed_size_binary()
}

/// Collects material row by row.
pub struct MaterialBuilder {
    schema: SchemaRef,
    types: Vec<(AttributeName, ValueType)>,
    open: OpenBatch,
    done: Vec<RecordBatch>,
    people_subjects: UInt32Builder,
    people_handles: StringBuilder,
}

impl MaterialBuilder {
    /// Material with these attributes. **Errors**: more attributes than a query may have operands.
    pub fn new(attributes: &BTreeMap<AttributeName, ValueType>) -> Result<Self, MaterialError> {
        if attributes.len() > OPERANDS_MAX {
            return Err(MaterialError::TooMany("attributes"));
        }
        let types: Vec<_> = attributes.iter().map(|(name, value)| (name.clone(), *value)).collect();
        Ok(Self {
            schema: rows_schema(&types),
            open: OpenBatch::new(&types),
            types,
            done: Vec::new(),
            people_subjects: UInt32Builder::new(),
            people_handles: StringBuilder::new(),
        })
    }

    /// Adds a record; of its values those that have a column. A missing value satisfies no operand.
    /// **Errors**: [`MaterialError::Type`].
    pub fn push(
        &mut self,
        subject: SubjectIndex,
        commitment: &Commitment,
        values: &BTreeMap<AttributeName, Value>,
    ) -> Result<(), MaterialError> {
        for (name, kind) in &self.types {
            let fits = match (kind, values.get(name)) {
                (_, None) | (ValueType::Text, Some(Value::Text(_))) => true,
                (ValueType::Time, Some(Value::Time(_))) | (ValueType::Cents, Some(Value::Cents(_))) => true,
                (ValueType::Text | ValueType::Time | ValueType::Cents, Some(_)) => false,
            };
            if !fits {
                return Err(MaterialError::Type(name.clone()));
            }
        }
        self.open.subjects.append_value(subject.0);
        self.open.commitments.append_value(commitment.0.0)?;
        for ((name, _), column) in self.types.iter().zip(&mut self.open.columns) {
            column.append(values.get(name))?;
        }
        if self.open.subjects.len() == ROWS_PER_BATCH {
            self.done.push(self.open.close(&self.schema)?);
        }
        Ok(())
    }

    /// Adds a person with what is delivered for it. **Errors**: [`MaterialError::Handle`], too many people.
    pub fn person(&mut self, subject: SubjectIndex, handle: &str) -> Result<(), MaterialError> {
        if handle.is_empty() || handle.len() > TEXT_LEN_MAX {
            return Err(MaterialError::Handle);
        }
        if self.people_subjects.len() >= SUBJECTS_PER_VAULT_MAX as usize {
            return Err(MaterialError::TooMany("people"));
        }
        self.people_subjects.append_value(subject.0);
        self.people_handles.append_value(handle);
        Ok(())
    }

    /// The bytes to seal; wiped on drop. **Errors**: more bytes than one sealed message may have.
    pub fn finish(mut self) -> Result<Zeroizing<Vec<u8>>, MaterialError> {
        if self.open.subjects.len() > 0 {
            self.done.push(self.open.close(&self.schema)?);
        }
        let people_schema = people_schema();
        let people: Vec<ArrayRef> =
            vec![Arc::new(self.people_subjects.finish()), Arc::new(self.people_handles.finish())];
        let people = RecordBatch::try_new(people_schema.clone(), people)?;
        let mut out = Zeroizing::new(vec![0; LENGTH_BYTES]);
        write_stream(&mut out, &self.schema, &self.done)?;
        let rows_len = (out.len() - LENGTH_BYTES) as u64;
        out[..LENGTH_BYTES].copy_from_slice(&rows_len.to_le_bytes());
        write_stream(&mut out, &people_schema, &[people])?;
        if out.len() > SEALED_BYTES_MAX - SEAL_OVERHEAD_MAX {
            return Err(MaterialError::TooMany("bytes"));
        }
        Ok(out)
    }
}

/// Reads what [`MaterialBuilder::finish`] made. Takes the buffer, and wipes it with the material.
///
/// **Errors**: [`MaterialError::Malformed`] or a limit; the buffer is wiped then, too.
pub fn read(plaintext: Vec<u8>) -> Result<Material, MaterialError> {
    let bytes = Buffer::from(Bytes::from_owner(Wiped(plaintext)));
    if bytes.len() > SEALED_BYTES_MAX {
        return Err(MaterialError::TooMany("bytes"));
    }
    let length = bytes.get(..LENGTH_BYTES).and_then(|head| head.try_into().ok()).map(u64::from_le_bytes);
    let length = length.and_then(|length| usize::try_from(length).ok());
    let split = length.and_then(|length| length.checked_add(LENGTH_BYTES)).filter(|at| *at <= bytes.len());
    let split = split.ok_or(MaterialError::Malformed("the lengths"))?;
    let rows = columns::read(bytes.slice_with_length(LENGTH_BYTES, split - LENGTH_BYTES), true)
        .map_err(|_| MaterialError::Malformed("the rows"))?;
    let mut people =
        columns::read(bytes.slice(split), true).map_err(|_| MaterialError::Malformed("the people"))?;
    let attributes = check_rows_schema(&rows.schema)?;
    if people.batches.len() != 1 || people.schema != people_schema() {
        return Err(MaterialError::Malformed("the columns of people"));
    }
    let people = people.batches.swap_remove(0);
    let material = Material { rows: rows.batches, people, attributes };
    check_people(&material)?;
    Ok(material)
}

/// A batch that is being filled.
struct OpenBatch {
    subjects: UInt32Builder,
    commitments: FixedSizeBinaryBuilder,
    columns: Vec<Column>,
}

impl OpenBatch {
    fn new(types: &[(AttributeName, ValueType)]) -> Self {
        let column = |kind: &ValueType| match kind {
            ValueType::Text => Column::Text(StringDictionaryBuilder::new()),
            ValueType::Time | ValueType::Cents => Column::Number(UInt64Builder::new()),
        };
        Self {
            subjects: UInt32Builder::new(),
            commitments: FixedSizeBinaryBuilder::new(COMMITMENT_BYTES),
            columns: types.iter().map(|(_, kind)| column(kind)).collect(),
        }
    }

    fn close(&mut self, schema: &SchemaRef) -> Result<RecordBatch, MaterialError> {
        let mut arrays: Vec<ArrayRef> =
            vec![Arc::new(self.subjects.finish()), Arc::new(self.commitments.finish())];
        for column in &mut self.columns {
            arrays.push(match column {
                Column::Text(builder) => Arc::new(builder.finish()),
                Column::Number(builder) => Arc::new(builder.finish()),
            });
        }
        Ok(RecordBatch::try_new(schema.clone(), arrays)?)
    }
}

enum Column {
    Text(StringDictionaryBuilder<Int32Type>),
    Number(UInt64Builder),
}

impl Column {
    fn append(&mut self, value: Option<&Value>) -> Result<(), MaterialError> {
        match (self, value) {
            (Self::Text(builder), Some(Value::Text(text))) => {
                builder.append(text)?;
            }
            (Self::Text(builder), _) => builder.append_null(),
            (Self::Number(builder), Some(Value::Time(time))) => builder.append_value(time.0),
            (Self::Number(builder), Some(Value::Cents(cents))) => builder.append_value(*cents),
            (Self::Number(builder), _) => builder.append_null(),
        }
        Ok(())
    }
}

/// A buffer that is overwritten when its last reader is gone.
struct Wiped(Vec<u8>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

fn write_stream(out: &mut Vec<u8>, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<(), MaterialError> {
    let mut writer = StreamWriter::try_new(out, schema)?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.finish()?)
}

fn rows_schema(types: &[(AttributeName, ValueType)]) -> SchemaRef {
    let mut fields = vec![
        Field::new("subject", DataType::UInt32, false),
        Field::new("commitment", DataType::FixedSizeBinary(COMMITMENT_BYTES), false),
    ];
    for (name, kind) in types {
        let kind = match kind {
            ValueType::Text => text_type(),
            ValueType::Time | ValueType::Cents => DataType::UInt64,
        };
        fields.push(Field::new(name.as_str(), kind, true));
    }
    Arc::new(Schema::new(fields))
}

fn people_schema() -> SchemaRef {
    let subject = Field::new("subject", DataType::UInt32, false);
    Arc::new(Schema::new(vec![subject, Field::new("handle", DataType::Utf8, false)]))
}

fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn check_rows_schema(schema: &Schema) -> Result<Vec<AttributeName>, MaterialError> {
    let malformed = || MaterialError::Malformed("the columns of rows");
    let (fixed, rest) = schema.fields().split_at_checked(FIXED_COLUMNS).ok_or_else(malformed)?;
    if rest.len() > OPERANDS_MAX {
        return Err(MaterialError::TooMany("attributes"));
    }
    let mut types = Vec::new();
    for field in rest {
        let name = AttributeName::new(field.name()).map_err(|_| malformed())?;
        let kind = if field.data_type() == &text_type() { ValueType::Text } else { ValueType::Cents };
        types.push((name, kind));
    }
    let ascending = types.windows(2).all(|pair| pair[0].0 < pair[1].0);
    // Names and types of all fields as the builder makes them; the kinds of number are one here.
    let expected = rows_schema(&types);
    if !ascending || fixed.len() != FIXED_COLUMNS || expected.fields() != schema.fields() {
        return Err(malformed());
    }
    Ok(types.into_iter().map(|(name, _)| name).collect())
}

fn check_people(material: &Material) -> Result<(), MaterialError> {
    let (subjects, handles) = material.people();
    if subjects.len() > SUBJECTS_PER_VAULT_MAX as usize {
        return Err(MaterialError::TooMany("people"));
    }
    let mut sorted = subjects.values().to_vec();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(MaterialError::Person);
    }
    let fits =
        |handle: Option<&str>| handle.is_some_and(|text| !text.is_empty() && text.len() <= TEXT_LEN_MAX);
    if subjects.null_count() > 0 || !handles.iter().all(fits) {
        return Err(MaterialError::Handle);
    }
    let whole = |batch: &RecordBatch| subjects_and_commitments_are_whole(batch);
    if !material.rows.iter().all(whole) {
        return Err(MaterialError::Malformed("a row without a subject or commitment"));
    }
    Ok(())
}

fn subjects_and_commitments_are_whole(batch: &RecordBatch) -> bool {
    batch.column(0).null_count() == 0 && batch.column(1).null_count() == 0
}

const LENGTH_BYTES: usize = 8;
const COMMITMENT_BYTES: i32 = 32;
const FIXED_COLUMNS: usize = 2;
const ROWS_PER_BATCH: usize = 1 << 16;
/// More than any sealing suite adds.
const SEAL_OVERHEAD_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use symphony_types::time::RecordMillis;

    use super::*;

    fn name(text: &str) -> AttributeName {
        AttributeName::new(text).unwrap()
    }

    fn types() -> BTreeMap<AttributeName, ValueType> {
        [
            (name("commerce.amount"), ValueType::Cents),
            (name("commerce.merchant"), ValueType::Text),
            (name("commerce.purchase_date"), ValueType::Time),
        ]
        .into()
    }

    fn commitment(byte: u8) -> Commitment {
        Commitment(Digest([byte; 32]))
    }

    fn sample() -> Vec<u8> {
        let mut builder = MaterialBuilder::new(&types()).unwrap();
        let values = BTreeMap::from([
            (name("commerce.merchant"), Value::Text("Cafe".into())),
            (name("commerce.purchase_date"), Value::Time(RecordMillis(7))),
            (name("geography.city"), Value::Text("not a column".into())),
        ]);
        builder.push(SubjectIndex(3), &commitment(1), &values).unwrap();
        builder.push(SubjectIndex(4), &commitment(2), &BTreeMap::new()).unwrap();
        builder.person(SubjectIndex(3), "a@example.org").unwrap();
        builder.person(SubjectIndex(4), "b@example.org").unwrap();
        builder.finish().unwrap().to_vec()
    }

    /// R087
    #[test]
    fn material_holds_only_the_columns_that_were_asked_for() {
        let material = read(sample()).unwrap();
        assert_eq!(material.rows_len(), 2);
        assert_eq!(material.people_len(), 2);
        assert_eq!(material.column(&name("commerce.merchant")), Some(3));
        assert_eq!(material.column(&name("geography.city")), None);
        assert_eq!(material.rows()[0].num_columns(), 5);
        assert_eq!(subjects(&material.rows()[0]).values(), &[3, 4]);
        assert_eq!(commitments(&material.rows()[0]).value(1), [2; 32]);
    }

    #[test]
    fn material_over_several_batches_keeps_its_order() {
        let mut builder = MaterialBuilder::new(&types()).unwrap();
        let count = ROWS_PER_BATCH as u32 + 10;
        for subject in 0..count {
            let merchant = Value::Text(format!("m{}", subject % 7 + subject / ROWS_PER_BATCH as u32));
            let values = BTreeMap::from([(name("commerce.merchant"), merchant)]);
            builder.push(SubjectIndex(subject), &commitment(1), &values).unwrap();
        }
        let material = read(builder.finish().unwrap().to_vec()).unwrap();
        assert_eq!(material.rows().len(), 2);
        let all: Vec<u32> =
            material.rows().iter().flat_map(|batch| subjects(batch).values().to_vec()).collect();
        assert_eq!(all, (0..count).collect::<Vec<_>>());
    }

    #[test]
    fn values_of_another_type_and_empty_handles_are_refused() {
        let mut builder = MaterialBuilder::new(&types()).unwrap();
        let wrong = BTreeMap::from([(name("commerce.amount"), Value::Text("5".into()))]);
        assert!(matches!(
            builder.push(SubjectIndex(0), &commitment(0), &wrong),
            Err(MaterialError::Type(attribute)) if attribute == name("commerce.amount")
        ));
        assert!(matches!(builder.person(SubjectIndex(0), ""), Err(MaterialError::Handle)));
        let long = "x".repeat(TEXT_LEN_MAX + 1);
        assert!(matches!(builder.person(SubjectIndex(0), &long), Err(MaterialError::Handle)));
        assert_eq!(read(builder.finish().unwrap().to_vec()).unwrap().rows_len(), 0);
    }

    #[test]
    fn a_person_twice_is_refused() {
        let mut builder = MaterialBuilder::new(&types()).unwrap();
        builder.person(SubjectIndex(1), "a").unwrap();
        builder.person(SubjectIndex(1), "b").unwrap();
        assert!(matches!(read(builder.finish().unwrap().to_vec()), Err(MaterialError::Person)));
    }

    #[test]
    fn cut_and_damaged_material_never_panics() {
        let whole = sample();
        for length in (0..whole.len()).step_by(7) {
            let _ = read(whole[..length].to_vec());
        }
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 0x55;
            let _ = read(damaged);
        }
        assert!(read(Vec::new()).is_err());
        assert!(read(vec![0xff; 64]).is_err());
    }
}
