//! The rows that go with a person (R055, R080, D12): profile, documents with what was read of them, and derived values. What stays are
//! its records under a key that is destroyed, with their commitments, and the proof that it is.

use redb::{TableDefinition, WriteTransaction};
use symphony_protocol::vault::document::SignedPersonErasure;
use symphony_types::canonical;
use symphony_types::id::Commitment;
use symphony_types::subjects::SubjectIndex;

use super::document::erase_document;
use super::value::VALUES;
use super::{SUBJECTS, View};
use crate::problem::Problem;

/// A document that goes with its person.
pub struct Going {
    /// Its position among the person's.
    pub sequence: u32,
    /// Its commitment.
    pub commitment: Commitment,
    /// The record that came of it.
    pub record: Option<Commitment>,
}

/// Takes a person's rows away. **Errors**: storage.
pub fn erase_person(
    transaction: &WriteTransaction,
    subject: SubjectIndex,
    documents: &[Going],
) -> Result<(), redb::Error> {
    for Going { sequence, commitment, record } in documents {
        erase_document(transaction, (subject.0, *sequence), *commitment, *record)?;
    }
    transaction.open_table(SUBJECTS)?.remove(subject.0)?;
    let own = (subject.0, "")..(subject.0.saturating_add(1), "");
    transaction.open_table(VALUES)?.retain_in(own, |_, _| false)?;
    Ok(())
}

/// The proof that a person is erased. **Errors**: storage.
pub fn put_person_erasure(
    transaction: &WriteTransaction,
    erasure: &SignedPersonErasure,
) -> Result<(), redb::Error> {
    let bytes = canonical::to_bytes(erasure);
    transaction.open_table(ERASED)?.insert(erasure.body.subject.0, bytes.as_slice())?;
    Ok(())
}

/// Makes the table. **Errors**: storage.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(ERASED)?;
    Ok(())
}

impl View {
    /// The proof that a person is erased. **Errors**: storage.
    pub fn person_erasure(&self, subject: SubjectIndex) -> Result<Option<SignedPersonErasure>, Problem> {
        let table = self.transaction.open_table(ERASED).map_err(redb::Error::from)?;
        let Some(row) = table.get(subject.0).map_err(redb::Error::from)? else { return Ok(None) };
        let read = bcs::from_bytes(row.value()).map(Some);
        read.map_err(|error| Problem::fault("a proof of erasure is damaged", error))
    }
}

const ERASED: TableDefinition<'static, u32, &'static [u8]> = TableDefinition::new("vault/erased-people");
