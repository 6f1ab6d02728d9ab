//! The rows of parses (R077, R082-R084, R209): tickets, readings, and what recognises a receipt that was read before.
//!
//! A reading and the record that came of it are sealed under the key of their document, so that they go with it (D12).
//! What recognises a receipt is a keyed digest that says nothing without the Vault's secret; it stays, so that a receipt
//! does not earn again after its erasure (R080).

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use redb::{
    ReadOnlyTable, ReadableTable as _, ReadableTableMetadata as _, TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use symphony_compute::parse::expense::Expense;
use symphony_protocol::artifact::parse::ParseOutcome;
use symphony_protocol::vault::dividend::Usage;
use symphony_protocol::vault::record::CanonicalRecord;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{Commitment, TaskId};
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::OrderedMillis;
use zeroize::Zeroizing;

use super::record::{RecordRow, open_record};
use super::{USAGES, View, broken, put, unreadable};
use crate::keys::{DataKey, KeyError};
use crate::problem::Problem;
use crate::slots::KeySlots;

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
    let place = (record.subject.0, record.sequence);
    let bytes = [record.commitment.0.0.as_slice(), &record.sealed].concat();
    transaction.open_table(RECORDS)?.insert(place, bytes.as_slice())?;
    transaction.open_table(LOCATIONS)?.insert(record.commitment.0.0, place)?;
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

/// A reading that came with its document from another Vault.
pub struct MovedReading {
    /// The document.
    pub document: Commitment,
    /// The sealed reading.
    pub sealed: Vec<u8>,
    /// The record, sealed under the document's key; `None` when the reading has none.
    pub record: Option<RecordRow>,
    /// What recognises the receipt.
    pub marks: Vec<Digest>,
}

/// All rows of such a reading. What recognises another document already goes on to do so. **Errors**: storage.
pub fn put_moved(transaction: &WriteTransaction, moved: &MovedReading) -> Result<(), redb::Error> {
    if let Some(record) = &moved.record {
        put_derived(transaction, moved.document, record)?;
    }
    let mut marks = transaction.open_table(MARKS)?;
    for mark in &moved.marks {
        if marks.get(mark.0)?.is_none() {
            marks.insert(mark.0, moved.document.0.0)?;
        }
    }
    put_reading(transaction, moved.document, &moved.sealed)
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
    transaction.open_table(RECORDS)?;
    transaction.open_table(LOCATIONS)?;
    Ok(())
}

impl View {
    /// What became of reading a document; `None` before. **Errors**: storage, or a changed byte.
    pub fn reading(&self, key: &DataKey, document: &Commitment) -> Result<Option<Reading>, Problem> {
        let table = self.transaction.open_table(READINGS).map_err(redb::Error::from)?;
        let Some(sealed) = table.get(document.0.0).map_err(redb::Error::from)? else { return Ok(None) };
        let plain = key.open(&place(document), sealed.value()).map_err(unreadable)?;
        bcs::from_bytes(&plain).map(Some).map_err(|error| Problem::fault("a reading is damaged", error))
    }

    /// A record of a person that came of a document, by its commitment. **Errors**: as [`Derived::record`].
    pub(crate) fn derived_record(
        &self,
        keys: (&KeySlots, &DataKey),
        subject: SubjectIndex,
        record: &Commitment,
    ) -> Result<CanonicalRecord, Problem> {
        let derived = Derived::open(self)?;
        let place = derived.locations.get(record.0.0).map_err(redb::Error::from)?.ok_or_else(broken)?.value();
        if place.0 != subject.0 {
            return Err(broken());
        }
        Ok(derived.record(self, keys, (subject, place.1))?.1)
    }

    /// The document of a request for a parse, and when its ticket expires. **Errors**: storage.
    pub fn ticket(&self, request: Digest) -> Result<Option<(Commitment, OrderedMillis)>, Problem> {
        let table = self.transaction.open_table(TICKETS).map_err(redb::Error::from)?;
        let known = table.get(request.0).map_err(redb::Error::from)?;
        Ok(known.map(|known| (Commitment(Digest(known.value().0)), OrderedMillis(known.value().1))))
    }

    /// Whether another document with one of these marks was read. **Errors**: storage.
    pub fn recognised(&self, marks: &[Digest], document: &Commitment) -> Result<bool, Problem> {
        let table = self.transaction.open_table(MARKS).map_err(redb::Error::from)?;
        for mark in marks {
            let known = table.get(mark.0).map_err(redb::Error::from)?;
            if known.is_some_and(|known| known.value() != document.0.0) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The records that came of documents, and where they are.
pub(crate) struct Derived {
    documents: ReadOnlyTable<[u8; 32], [u8; 32]>,
    locations: ReadOnlyTable<[u8; 32], (u32, u32)>,
    records: ReadOnlyTable<(u32, u32), &'static [u8]>,
}

impl Derived {
    pub(crate) fn open(view: &View) -> Result<Self, Problem> {
        Ok(Self {
            documents: view.transaction.open_table(DERIVED).map_err(redb::Error::from)?,
            locations: view.transaction.open_table(LOCATIONS).map_err(redb::Error::from)?,
            records: view.transaction.open_table(RECORDS).map_err(redb::Error::from)?,
        })
    }

    /// Where all of them are, in ascending order. **Errors**: storage.
    pub(crate) fn places(&self) -> Result<Vec<(u32, u32)>, Problem> {
        let places = self.records.iter().map_err(redb::Error::from)?;
        places.map(|row| Ok(row.map_err(redb::Error::from)?.0.value())).collect()
    }

    /// How many documents say that a record came of them. **Errors**: storage.
    pub(crate) fn documents(&self) -> Result<u64, Problem> {
        Ok(self.documents.len().map_err(redb::Error::from)?)
    }

    /// Where a person's are, in ascending order. **Errors**: storage.
    pub(super) fn sequences(&self, subject: SubjectIndex) -> Result<Vec<u32>, Problem> {
        let rows = self.records.range(of(subject)).map_err(redb::Error::from)?;
        rows.map(|row| Ok(row.map_err(redb::Error::from)?.0.value().1)).collect()
    }

    /// The last of a person's. **Errors**: storage.
    pub(crate) fn last_sequence(&self, subject: SubjectIndex) -> Result<Option<u32>, Problem> {
        let row = self.records.range(of(subject)).map_err(redb::Error::from)?.next_back();
        row.map(|row| Ok(row.map_err(redb::Error::from)?.0.value().1)).transpose()
    }

    /// A record under its document's key, checked against its commitment and both links to it. **Errors**: storage, a changed byte, or
    /// there is none.
    pub(crate) fn record(
        &self,
        view: &View,
        (slots, key): (&KeySlots, &DataKey),
        (subject, sequence): (SubjectIndex, u32),
    ) -> Result<(Commitment, CanonicalRecord), Problem> {
        let place = (subject.0, sequence);
        let row = self.records.get(place).map_err(redb::Error::from)?.ok_or_else(broken)?;
        let (commitment, sealed) = row.value().split_first_chunk::<32>().ok_or_else(broken)?;
        let commitment = Commitment(Digest(*commitment));
        let document = self.documents.get(commitment.0.0).map_err(redb::Error::from)?.ok_or_else(broken)?;
        let document = Commitment(Digest(document.value()));
        let (_, document_row) = view.document(subject, &document)?;
        let held = document_row.held.ok_or_else(broken)?;
        let record = open_record(&held.key(slots, key, &document)?, &commitment, sealed)?;
        let link = self.locations.get(commitment.0.0).map_err(redb::Error::from)?;
        if link.is_some_and(|link| link.value() == place) { Ok((commitment, record)) } else { Err(broken()) }
    }
}

fn of(subject: SubjectIndex) -> RangeInclusive<(u32, u32)> {
    (subject.0, 0)..=(subject.0, u32::MAX)
}

fn place(document: &Commitment) -> Vec<u8> {
    [b"reading", document.0.0.as_slice()].concat()
}

type Links = TableDefinition<'static, [u8; 32], [u8; 32]>;

const READINGS: super::Rows = TableDefinition::new("vault/readings");
const TICKETS: TableDefinition<'static, [u8; 32], ([u8; 32], u64)> = TableDefinition::new("vault/tickets");
const MARKS: Links = TableDefinition::new("vault/receipt-marks");
const DERIVED: Links = TableDefinition::new("vault/derived-records");
const RECORDS: TableDefinition<'static, (u32, u32), &'static [u8]> = TableDefinition::new("vault/records");
const LOCATIONS: TableDefinition<'static, [u8; 32], (u32, u32)> = TableDefinition::new("vault/locations");
