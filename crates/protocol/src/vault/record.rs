//! The canonical record of a Vault and its commitment (R077, D12).
//!
//! `Commitment = SHA256(Serialize(record))` over canonical bytes. The record carries a random salt, so that a
//! guess of its content cannot be checked against the commitment once the salt is destroyed.

use alloc::collections::BTreeMap;
use alloc::string::String;

use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, Commitment, RequestId, SchemaVersion, SubjectId};
use symphony_types::limits::{LOCAL_COLUMNS_MAX, TEXT_LEN_MAX};
use symphony_types::time::RecordMillis;

use crate::governance::candidate::LocalKind;
use crate::governance::semantics::{AttributeLifecycle, Semantics, ValueType};

/// One private record of one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanonicalRecord {
    /// 32 random bytes.
    pub salt: [u8; 32],
    /// Version of this shape.
    pub schema: SchemaVersion,
    /// Whose record it is.
    pub subject: SubjectId,
    /// The uploader's name for it: the same name twice is one record.
    pub request: RequestId,
    /// Governed attributes and their values.
    pub values: BTreeMap<AttributeName, Value>,
    /// Columns that no governed attribute is for: candidates for one, which no task reads (R050, R051).
    pub local: BTreeMap<AttributeName, LocalValue>,
}

/// The value of a column whose meaning is not governed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LocalValue {
    /// A text as it was written.
    Text(String),
    /// A whole number.
    Number(u64),
    /// A point in time.
    Time(RecordMillis),
}

impl LocalValue {
    /// Its kind.
    pub const fn kind(&self) -> LocalKind {
        match self {
            Self::Text(_) => LocalKind::Text,
            Self::Number(_) => LocalKind::Number,
            Self::Time(_) => LocalKind::Time,
        }
    }
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// A text as it was written.
    Text(String),
    /// A point in time.
    Time(RecordMillis),
    /// Hundredths of a currency unit.
    Cents(u64),
}

impl CanonicalRecord {
    /// The record's commitment.
    pub fn commitment(&self) -> Commitment {
        Commitment(Digest::of_bytes(&canonical::to_bytes(self)))
    }

    /// Whether there is a value, every value is of a registered attribute and its type, and no local one is. **Errors**: `VLT-0001`.
    pub fn check(&self, semantics: &Semantics) -> Result<(), Code> {
        let local = |(name, value): (&AttributeName, &LocalValue)| {
            let fits = match value {
                LocalValue::Text(text) => !text.is_empty() && text.len() <= TEXT_LEN_MAX,
                LocalValue::Number(_) | LocalValue::Time(_) => true,
            };
            fits && !semantics.attributes.contains_key(name)
        };
        if self.values.is_empty() || self.local.len() > LOCAL_COLUMNS_MAX || !self.local.iter().all(local) {
            return Err(Code::RecordInvalid);
        }
        for (name, value) in &self.values {
            let attribute = semantics.attributes.get(name).ok_or(Code::RecordInvalid)?;
            let live = matches!(
                attribute.lifecycle,
                AttributeLifecycle::Registered | AttributeLifecycle::Active | AttributeLifecycle::Deprecated
            );
            let fits = match (attribute.value, value) {
                (ValueType::Text, Value::Text(text)) => !text.is_empty() && text.len() <= TEXT_LEN_MAX,
                (ValueType::Time, Value::Time(_)) | (ValueType::Cents, Value::Cents(_)) => true,
                (ValueType::Text | ValueType::Time | ValueType::Cents, _) => false,
            };
            if !live || !fits {
                return Err(Code::RecordInvalid);
            }
        }
        Ok(())
    }
}
