//! The rows of parses (R077, R082-R084, R209): tickets, readings, and what recognises a receipt that was read before.
//!
//! A reading and the record that came of it are sealed under the key of their document, so that they go with it (D12).
//! What recognises a receipt is a keyed digest that says nothing without the Vault's secret; it stays, so that a receipt
//! does not earn again after its erasure (R080).

use std::collections::BTreeSet;

use redb::{ReadOnlyTable, ReadableTable as _, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use symphony_compute::parse::expense::Expense;
use symphony_protocol::artifact::parse::ParseOutcome;
use symphony_protocol::vault::dividend::Usage;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{Commitment, TaskId};
use symphony_types::time::OrderedMillis;
use zeroize::Zeroizing;

use super::{LOCATIONS, RECORDS, RecordRow, USAGES, View, put, put_records, unreadable};
use crate::keys::{DataKey, KeyError};
use crate::problem::Problem;

/// What became of reading a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The task that had it read.
    pub task: TaskId,
    /// What came out.
    pub outcome: ParseOutcome,
    /// What was read; `None` when it was refused.
    pub read: Option<Read>,
    /// What the owner says instead; `None` before.
    pub corrected: Option<Corrected>,
}

/// The owner's word in place of what was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrected {
    /// What the receipt says by it.
    pub expense: Expense,
    /// The fields that are the owner's.
    pub fields: BTreeSet<String>,
    /// The record of it.
    pub record: Commitment,
}

/// What was read, and what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// All of it.
    pub expense: Expense,
    /// What read the picture.
    pub reader: Digest,
    /// The words that the extraction saw.
    pub words: Digest,
    /// Signed boot report of the slice enclave.
    pub boot: Vec<u8>,
    /// Signed attestation report.
    pub report: Vec<u8>,
}

impl Reading {
    /// The record that tasks see; `None` when it was refused.
    pub fn record(&self) -> Option<Commitment> {
        if let Some(corrected) = &self.corrected {
            return Some(corrected.record);
        }
        match self.outcome {
            ParseOutcome::Parsed { record, .. } => Some(record),
            ParseOutcome::Refused(_) => None,
        }
    }

    /// The reading under its document's key. **Errors**: [`KeyError`].
    pub fn seal(&self, key: &DataKey, document: &Commitment) -> Result<Vec<u8>, KeyError> {
        let plain = Zeroizing::new(canonical::to_bytes(self));
        key.seal(&place(document), &plain)
    }
}

/// A reading with a record, on its way to disk.
pub struct NewReading {
    /// The document.
    pub document: Commitment,
    /// The task that had it read.
    pub task: TaskId,
    /// The sealed reading.
    pub sealed: Vec<u8>,
    /// The record, sealed under the document's key.
    pub record: RecordRow,
    /// What recognises the receipt.
    pub marks: Vec<Digest>,
    /// Whom the task's share is for.
    pub usage: Usage,
}

/// All rows of a reading with a record. **Errors**: storage.
pub fn put_read(transaction: &WriteTransaction, new: &NewReading) -> Result<(), redb::Error> {
    put_derived(transaction, new.document, &new.record)?;
    let mut marks = transaction.open_table(MARKS)?;
    for mark in &new.marks {
        marks.insert(mark.0, new.document.0.0)?;
    }
    put(transaction, USAGES, new.task.0, &new.usage)?;
    put_reading(transaction, new.document, &new.sealed)
}

/// A record that came of a document. **Errors**: storage.
fn put_derived(
    transaction: &WriteTransaction,
    document: Commitment,
    record: &RecordRow,
) -> Result<(), redb::Error> {
    put_records(transaction, std::slice::from_ref(record))?;
    transaction.open_table(DERIVED)?.insert(record.commitment.0.0, document.0.0)?;
    Ok(())
}

/// A corrected reading with its record in place of the `former` one. **Errors**: storage.
pub fn put_corrected(
    transaction: &WriteTransaction,
    (document, sealed): (Commitment, &[u8]),
    record: &RecordRow,
    former: Commitment,
) -> Result<(), redb::Error> {
    remove_derived(transaction, former)?;
    put_derived(transaction, document, record)?;
    put_reading(transaction, document, sealed)
}

/// A reading without a record. **Errors**: storage.
pub fn put_reading(
    transaction: &WriteTransaction,
    document: Commitment,
    sealed: &[u8],
) -> Result<(), redb::Error> {
    transaction.open_table(READINGS)?.insert(document.0.0, sealed)?;
    Ok(())
}

/// Notes what a request was answered: the document, and when the ticket expires. **Errors**: storage.
pub fn put_ticket(
    transaction: &WriteTransaction,
    request: Digest,
    document: Commitment,
    expires: OrderedMillis,
) -> Result<(), redb::Error> {
    transaction.open_table(TICKETS)?.insert(request.0, (document.0.0, expires.0))?;
    Ok(())
}

/// Takes away what was read of a document, and its record. **Errors**: storage.
pub(super) fn erase_reading(
    transaction: &WriteTransaction,
    document: Commitment,
    record: Option<Commitment>,
) -> Result<(), redb::Error> {
    transaction.open_table(READINGS)?.remove(document.0.0)?;
    record.map_or(Ok(()), |record| remove_derived(transaction, record))
}

fn remove_derived(transaction: &WriteTransaction, record: Commitment) -> Result<(), redb::Error> {
    transaction.open_table(DERIVED)?.remove(record.0.0)?;
    let place = transaction.open_table(LOCATIONS)?.remove(record.0.0)?.map(|place| place.value());
    if let Some(place) = place {
        transaction.open_table(RECORDS)?.remove(place)?;
    }
    Ok(())
}

/// Makes the tables. **Errors**: storage.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(READINGS)?;
    transaction.open_table(TICKETS)?;
    transaction.open_table(MARKS)?;
    transaction.open_table(DERIVED)?;
    Ok(())
}

impl View {
    /// What became of reading a document; `None` before. **Errors**: storage, or a changed byte.
    pub fn reading(&self, key: &DataKey, document: &Commitment) -> Result<Option<Reading>, Problem> {
        let table = self.0.open_table(READINGS).map_err(redb::Error::from)?;
        let Some(sealed) = table.get(document.0.0).map_err(redb::Error::from)? else { return Ok(None) };
        let plain = key.open(&place(document), sealed.value()).map_err(unreadable)?;
        bcs::from_bytes(&plain).map(Some).map_err(|error| Problem::fault("a reading is damaged", error))
    }

    /// The document of a request for a parse, and when its ticket expires. **Errors**: storage.
    pub fn ticket(&self, request: Digest) -> Result<Option<(Commitment, OrderedMillis)>, Problem> {
        let table = self.0.open_table(TICKETS).map_err(redb::Error::from)?;
        let known = table.get(request.0).map_err(redb::Error::from)?;
        Ok(known.map(|known| (Commitment(Digest(known.value().0)), OrderedMillis(known.value().1))))
    }

    /// Whether another document with one of these marks was read. **Errors**: storage.
    pub fn recognised(&self, marks: &[Digest], document: &Commitment) -> Result<bool, Problem> {
        let table = self.0.open_table(MARKS).map_err(redb::Error::from)?;
        for mark in marks {
            let known = table.get(mark.0).map_err(redb::Error::from)?;
            if known.is_some_and(|known| known.value() != document.0.0) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Where records are, and which of them came of documents.
pub(crate) struct Derived {
    documents: ReadOnlyTable<[u8; 32], [u8; 32]>,
    locations: ReadOnlyTable<[u8; 32], (u32, u32)>,
}

impl Derived {
    pub(crate) fn open(view: &View) -> Result<Self, Problem> {
        let documents = view.0.open_table(DERIVED).map_err(redb::Error::from)?;
        Ok(Self { documents, locations: view.locations()? })
    }

    /// Where the record of a commitment is. **Errors**: storage.
    pub(super) fn location(&self, record: &Commitment) -> Result<Option<(u32, u32)>, Problem> {
        let place = self.locations.get(record.0.0).map_err(redb::Error::from)?;
        Ok(place.map(|place| place.value()))
    }

    /// Where all records are that came of documents. **Errors**: storage.
    pub(super) fn places(&self) -> Result<Vec<(u32, u32)>, Problem> {
        let mut places = Vec::new();
        for row in self.documents.iter().map_err(redb::Error::from)? {
            let record = Commitment(Digest(row.map_err(redb::Error::from)?.0.value()));
            places.extend(self.location(&record)?);
        }
        Ok(places)
    }

    /// The document that a record came of; `None` for one that was uploaded as it is. **Errors**: storage.
    pub(super) fn of(&self, record: &Commitment) -> Result<Option<Commitment>, Problem> {
        let document = self.documents.get(record.0.0).map_err(redb::Error::from)?;
        Ok(document.map(|document| Commitment(Digest(document.value()))))
    }
}

fn place(document: &Commitment) -> Vec<u8> {
    [b"reading", document.0.0.as_slice()].concat()
}

type Links = TableDefinition<'static, [u8; 32], [u8; 32]>;

const READINGS: super::Rows = TableDefinition::new("vault/readings");
const TICKETS: TableDefinition<'static, [u8; 32], ([u8; 32], u64)> = TableDefinition::new("vault/tickets");
const MARKS: Links = TableDefinition::new("vault/receipt-marks");
const DERIVED: Links = TableDefinition::new("vault/derived-records");
