//! The columns of a segment: who, the record's place among the person's, and the Vault's governed attributes.
//!
//! **Shape**: `person` (`UInt32`), `sequence` (`UInt32`), then one nullable column per attribute in ascending order: texts as
//! `Dictionary(Int32, Utf8)` in the form in which they are compared, times and amounts as `UInt64`. These are the types of
//! the material that enclaves read, so that a column means the same in both.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use symphony_protocol::governance::semantics::ValueType;
use symphony_types::id::AttributeName;
use symphony_types::limits::ATTRIBUTES_MAX;

use crate::error::SegmentError;

/// The column of the person's dense index.
pub const PERSON: &str = "person";
/// The column of the record's place among the person's records.
pub const SEQUENCE: &str = "sequence";
/// Which columns segments have, and by which time their rows are ordered. Checked where it is made and where it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct SegmentSchema {
    version: u32,
    time: Option<AttributeName>,
    attributes: BTreeMap<AttributeName, ValueType>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Unchecked(u32, Option<AttributeName>, BTreeMap<AttributeName, ValueType>);

impl TryFrom<Unchecked> for SegmentSchema {
    type Error = SegmentError;

    fn try_from(Unchecked(version, time, attributes): Unchecked) -> Result<Self, SegmentError> {
        Self::new(version, time, attributes)
    }
}

impl From<SegmentSchema> for Unchecked {
    fn from(schema: SegmentSchema) -> Self {
        Self(schema.version, schema.time, schema.attributes)
    }
}

impl SegmentSchema {
    /// A schema of these attributes, whose rows are ordered by `time`, or by person where there is none.
    ///
    /// **Errors**: [`SegmentError::Schema`] when `time` is no time among the attributes, when there are too many, or when one is
    /// called as a column that every segment has.
    pub fn new(
        version: u32,
        time: Option<AttributeName>,
        attributes: BTreeMap<AttributeName, ValueType>,
    ) -> Result<Self, SegmentError> {
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(SegmentError::Schema("too many attributes"));
        }
        if attributes.keys().any(|name| matches!(name.as_str(), PERSON | SEQUENCE)) {
            return Err(SegmentError::Schema("an attribute is called as a fixed column"));
        }
        if time.as_ref().is_some_and(|time| attributes.get(time) != Some(&ValueType::Time)) {
            return Err(SegmentError::Schema("rows are ordered by what is no time"));
        }
        Ok(Self { version, time, attributes })
    }

    /// The same with more attributes; rows stay in their order, and a segment that was written before has nothing of the new ones.
    ///
    /// **Errors**: [`SegmentError::Schema`] when one that is there would be gone or of another type, or as [`Self::new`].
    pub fn grown(
        &self,
        version: u32,
        attributes: BTreeMap<AttributeName, ValueType>,
    ) -> Result<Self, SegmentError> {
        if self.attributes.iter().any(|(name, value)| attributes.get(name) != Some(value)) {
            return Err(SegmentError::Schema("an attribute would be gone, or of another type"));
        }
        Self::new(version, self.time.clone(), attributes)
    }

    /// Whether a segment may have these columns: those of this schema, or of one that it grew from.
    pub(crate) fn allows(&self, fields: &Fields) -> bool {
        let (all, fixed) = (self.arrow(), fields.len().min(FIXED));
        let mut known = all.fields().iter();
        fields[..fixed] == all.fields()[..FIXED] && fields.iter().all(|field| known.any(|one| one == field))
    }

    /// The version, which every entry repeats.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The time by which rows are ordered.
    pub fn time(&self) -> Option<&AttributeName> {
        self.time.as_ref()
    }

    /// The attributes and their types, in the order of their columns.
    pub fn attributes(&self) -> &BTreeMap<AttributeName, ValueType> {
        &self.attributes
    }

    /// The column of an attribute.
    pub fn column(&self, attribute: &AttributeName) -> Option<usize> {
        self.attributes.keys().position(|name| name == attribute).map(|index| index + FIXED)
    }

    /// The columns as Arrow has them.
    pub fn arrow(&self) -> SchemaRef {
        let fixed = [PERSON, SEQUENCE].map(|name| Field::new(name, DataType::UInt32, false));
        let governed = self.attributes.iter().map(|(name, value)| {
            let column = match value {
                ValueType::Text => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
                ValueType::Time | ValueType::Cents => DataType::UInt64,
            };
            Field::new(name.as_str(), column, true)
        });
        Arc::new(Schema::new(fixed.into_iter().chain(governed).collect::<Vec<_>>()))
    }
}

/// Columns that every segment has.
pub(crate) const FIXED: usize = 2;
