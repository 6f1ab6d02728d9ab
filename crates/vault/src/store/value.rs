//! The rows of derived attributes: what a module found of each person, which never leaves the Vault but to that person
//! (R055, R094, R096).
//!
//! A value is sealed under its person's data key, with person and module as its place. A later task of the same module
//! replaces it.

use redb::{TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{ModuleName, TaskId};
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::OrderedMillis;
use zeroize::Zeroizing;

use super::View;
use crate::keys::{DataKey, KeyError};
use crate::problem::Problem;

/// What a module found of one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DerivedValue {
    /// The module.
    pub module: ModuleName,
    /// Its version.
    pub version: u32,
    /// SHA-256 of its bytes.
    pub code: Digest,
    /// The task that it ran for.
    pub task: TaskId,
    /// The time that the task measured recency from.
    pub evaluated_at: OrderedMillis,
    /// The number, or the position of the label.
    pub value: u64,
    /// The label, of a module that answers labels.
    pub label: Option<String>,
}

/// A value on its way to disk.
pub struct DerivedRow {
    subject: SubjectIndex,
    module: ModuleName,
    sealed: Vec<u8>,
}

impl DerivedRow {
    /// The value under its person's key. **Errors**: [`KeyError`].
    pub fn new(key: &DataKey, subject: SubjectIndex, value: &DerivedValue) -> Result<Self, KeyError> {
        let plain = Zeroizing::new(canonical::to_bytes(value));
        let sealed = key.seal(&place(subject, &value.module), &plain)?;
        Ok(Self { subject, module: value.module.clone(), sealed })
    }
}

/// Values, each in place of an earlier one of the same module. **Errors**: storage.
pub(crate) fn put_values(transaction: &WriteTransaction, rows: &[DerivedRow]) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(VALUES)?;
    for row in rows {
        table.insert((row.subject.0, row.module.as_str()), row.sealed.as_slice())?;
    }
    Ok(())
}

impl View {
    /// What modules found of a person, by module. **Errors**: storage, or a value that does not open.
    pub fn derived(&self, key: &DataKey, subject: SubjectIndex) -> Result<Vec<DerivedValue>, Problem> {
        let damaged = |error| Problem::fault("a derived value cannot be opened", error);
        let table = self.transaction.open_table(VALUES).map_err(redb::Error::from)?;
        let mut values = Vec::new();
        let own = (subject.0, "")..(subject.0 + 1, "");
        for row in table.range(own).map_err(redb::Error::from)? {
            let (place_of, sealed) = row.map_err(redb::Error::from)?;
            let module = ModuleName::new(place_of.value().1)
                .map_err(|error| Problem::fault("a derived value is of no module", error))?;
            let plain = key.open(&place(subject, &module), sealed.value()).map_err(damaged)?;
            values.push(bcs::from_bytes(&plain).map_err(|_| damaged(KeyError::Open))?);
        }
        Ok(values)
    }
}

fn place(subject: SubjectIndex, module: &ModuleName) -> Vec<u8> {
    canonical::to_bytes(&("symphony/derived-value/v1", subject.0, module))
}

/// By person and module.
pub(super) const VALUES: TableDefinition<'static, (u32, &'static str), &'static [u8]> =
    TableDefinition::new("vault/values");
