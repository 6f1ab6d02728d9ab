//! What a Vault keeps beside its journal, in the same database and the same transactions (R076-R080, R213).
//!
//! A record is sealed under its person's data key, or that of the document that it came of, with its commitment as
//! associated data, and is found by person or by commitment; both links and the commitment itself are checked on every read, so a changed byte is an
//! error and never a value (R078). Nothing here is readable without the Vault's keys, except counts.

pub mod document;
pub mod reading;
pub mod segment;
pub mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{
    Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::{SignedReceipt, SignedSlice};
use symphony_protocol::governance::log::LogEntry;
use symphony_protocol::vault::dividend::{Closing, Usage};
use symphony_protocol::vault::record::CanonicalRecord;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, Commitment, EpochId, SubjectId, TaskId};
use symphony_types::subjects::{SubjectIndex, SubjectSet};
use zeroize::Zeroizing;

use crate::keys::{DataKey, KeyError, VaultKeys};
use crate::problem::Problem;
use crate::slots::KeySlots;
use reading::Derived;
use segment::{Mark, put_mark};
use value::{DerivedRow, put_values};

/// Who a person is. Sealed under the person's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The uploader's name for the person.
    pub subject: SubjectId,
    /// What is delivered for the person.
    pub contact: String,
    /// Where its dividends go.
    pub wallet: Option<AccountId>,
}

/// A person's row: the wrapped data key and the sealed profile.
#[derive(Serialize, Deserialize)]
pub struct SubjectRow {
    wrapped: Vec<u8>,
    profile: Vec<u8>,
}

impl SubjectRow {
    /// A row with a new data key. **Errors**: no randomness.
    pub fn new(keys: &VaultKeys, index: SubjectIndex, profile: &Profile) -> Result<Self, KeyError> {
        let (key, wrapped) = keys.new_data_key(index)?;
        Self::sealed(&key, wrapped, index, profile)
    }

    fn sealed(
        key: &DataKey,
        wrapped: Vec<u8>,
        index: SubjectIndex,
        profile: &Profile,
    ) -> Result<Self, KeyError> {
        let plain = Zeroizing::new(canonical::to_bytes(profile));
        Ok(Self { wrapped, profile: key.seal(&profile_place(index), &plain)? })
    }

    /// The same person and key with another profile. **Errors**: [`KeyError`].
    pub fn with_profile(
        &self,
        keys: &VaultKeys,
        index: SubjectIndex,
        profile: &Profile,
    ) -> Result<Self, KeyError> {
        Self::sealed(&self.data_key(keys, index)?, self.wrapped.clone(), index, profile)
    }

    /// The person's data key. **Errors**: [`KeyError::Open`].
    pub fn data_key(&self, keys: &VaultKeys, index: SubjectIndex) -> Result<DataKey, KeyError> {
        keys.data_key(index, &self.wrapped)
    }

    /// The person's profile. **Errors**: [`KeyError::Open`].
    pub fn profile(&self, keys: &VaultKeys, index: SubjectIndex) -> Result<Profile, KeyError> {
        let plain = self.data_key(keys, index)?.open(&profile_place(index), &self.profile)?;
        bcs::from_bytes(&plain).map_err(|_| KeyError::Open)
    }
}

/// A record on its way to disk.
pub struct RecordRow {
    /// Whose.
    pub subject: SubjectIndex,
    /// Its position among the person's records.
    pub sequence: u32,
    /// Its commitment.
    pub commitment: Commitment,
    /// Keyed digest of person and request id.
    pub request: Digest,
    /// The canonical record under the person's key.
    pub sealed: Vec<u8>,
}

/// All that a finished slice left; a repeated assignment is answered from here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transcript {
    /// Digest of the assignment.
    pub assignment: Digest,
    /// The signed header; the assignment's attempt is in it.
    pub header: SignedSlice,
    /// Signals, sealed to the aggregator.
    pub bundle: Vec<u8>,
    /// Signed boot report of the slice enclave.
    pub boot: Vec<u8>,
    /// Signed attestation report.
    pub report: Vec<u8>,
}

/// An operation that was answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answered {
    /// Digest of what was asked.
    pub content: Digest,
    /// The answer.
    pub answer: Vec<u8>,
}

/// The Vault's tables.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
}

impl Store {
    /// Opens the tables, making them on first use. **Errors**: storage.
    pub fn open(database: Arc<Database>) -> Result<Self, Problem> {
        let store = Self { database };
        store.write(|transaction| {
            for table in [RECEIPTS, TRANSCRIPTS, USAGES, ROUNDS, OPERATIONS] {
                transaction.open_table(table)?;
            }
            transaction.open_table(SUBJECTS)?;
            transaction.open_table(RECORDS)?;
            transaction.open_table(LOCATIONS)?;
            transaction.open_table(REQUESTS)?;
            transaction.open_table(DIVIDENDS)?;
            transaction.open_table(GOVERNANCE)?;
            document::make(transaction)?;
            segment::make(transaction)?;
            reading::make(transaction)
        })?;
        Ok(store)
    }

    /// Writes outside the journal, durably. **Errors**: storage.
    pub fn write(
        &self,
        rows: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Problem> {
        let transaction = self.database.begin_write().map_err(redb::Error::from)?;
        rows(&transaction)?;
        transaction.commit().map_err(redb::Error::from)?;
        Ok(())
    }

    /// Writes what may be lost in a crash: it becomes durable with the next durable write. **Errors**: storage.
    pub fn note(
        &self,
        rows: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Problem> {
        let mut transaction = self.database.begin_write().map_err(redb::Error::from)?;
        transaction.set_durability(Durability::None).map_err(redb::Error::from)?;
        rows(&transaction)?;
        transaction.commit().map_err(redb::Error::from)?;
        Ok(())
    }

    /// A consistent view. **Errors**: storage.
    pub fn read(&self) -> Result<View, Problem> {
        Ok(View(self.database.begin_read().map_err(redb::Error::from)?))
    }
}

/// Rows of people. **Errors**: storage.
pub fn put_subjects(
    transaction: &WriteTransaction,
    rows: &[(SubjectIndex, SubjectRow)],
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(SUBJECTS)?;
    for (index, row) in rows {
        table.insert(index.0, canonical::to_bytes(row).as_slice())?;
    }
    Ok(())
}

/// Rows of records with their links. **Errors**: storage.
pub fn put_records(transaction: &WriteTransaction, rows: &[RecordRow]) -> Result<(), redb::Error> {
    let mut records = transaction.open_table(RECORDS)?;
    let mut locations = transaction.open_table(LOCATIONS)?;
    let mut requests = transaction.open_table(REQUESTS)?;
    let mut bytes = Vec::new();
    for row in rows {
        let place = (row.subject.0, row.sequence);
        bytes.clear();
        bytes.extend_from_slice(&row.commitment.0.0);
        bytes.extend_from_slice(&row.sealed);
        records.insert(place, bytes.as_slice())?;
        locations.insert(row.commitment.0.0, place)?;
        requests.insert(row.request.0, row.commitment.0.0)?;
    }
    Ok(())
}

/// The receipt of a task. **Errors**: storage.
pub fn put_receipt(transaction: &WriteTransaction, receipt: &SignedReceipt) -> Result<(), redb::Error> {
    put(transaction, RECEIPTS, receipt.body.task.0, receipt)
}

/// The transcript of a task with what it read, used of each person and derived of them, in place of an earlier attempt's.
/// **Errors**: storage.
pub fn put_transcript(
    transaction: &WriteTransaction,
    transcript: &Transcript,
    (usage, mark): (&Usage, Option<&Mark>),
    derived: &[DerivedRow],
) -> Result<(), redb::Error> {
    let task = transcript.header.body.task.0;
    put_values(transaction, derived)?;
    if let Some(mark) = mark {
        put_mark(transaction, &transcript.header.body.task, mark)?;
    }
    put(transaction, TRANSCRIPTS, task, transcript)?;
    put(transaction, USAGES, task, usage)
}

/// What a training uses of each person. **Errors**: storage.
pub fn put_usage(transaction: &WriteTransaction, task: &TaskId, usage: &Usage) -> Result<(), redb::Error> {
    put(transaction, USAGES, task.0, usage)
}

/// The digest of the people whom a round of a training was computed on. **Errors**: storage.
pub fn put_round(transaction: &WriteTransaction, round: Digest, members: Digest) -> Result<(), redb::Error> {
    put(transaction, ROUNDS, round, &members)
}

/// An answered operation by its key. **Errors**: storage.
pub fn put_answered(
    transaction: &WriteTransaction,
    key: Digest,
    answered: &Answered,
) -> Result<(), redb::Error> {
    put(transaction, OPERATIONS, key, answered)
}

/// The dividends of an epoch, sealed. **Errors**: storage.
pub fn put_closing(transaction: &WriteTransaction, epoch: EpochId, sealed: &[u8]) -> Result<(), redb::Error> {
    transaction.open_table(DIVIDENDS)?.insert(epoch.0, sealed)?;
    Ok(())
}

/// The dividends of an epoch under the storage key. **Errors**: [`KeyError`].
pub fn seal_closing(keys: &VaultKeys, epoch: EpochId, closing: &Closing) -> Result<Vec<u8>, KeyError> {
    let plain = Zeroizing::new(canonical::to_bytes(closing));
    keys.storage.seal(&closing_place(epoch), &plain)
}

/// Entries of the governance log. **Errors**: storage.
pub fn put_governance(transaction: &WriteTransaction, entries: &[LogEntry]) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(GOVERNANCE)?;
    for entry in entries {
        table.insert(entry.sequence.0, canonical::to_bytes(entry).as_slice())?;
    }
    Ok(())
}

fn put<T: Serialize>(
    transaction: &WriteTransaction,
    table: Rows,
    key: Digest,
    value: &T,
) -> Result<(), redb::Error> {
    transaction.open_table(table)?.insert(key.0, canonical::to_bytes(value).as_slice())?;
    Ok(())
}

/// The tables at one moment.
pub struct View(ReadTransaction);

impl View {
    /// A person's row. **Errors**: storage, or there is none.
    pub fn subject(&self, index: SubjectIndex) -> Result<SubjectRow, Problem> {
        let table = self.0.open_table(SUBJECTS).map_err(redb::Error::from)?;
        let row = table.get(index.0).map_err(redb::Error::from)?.ok_or_else(broken)?;
        bcs::from_bytes(row.value()).map_err(|error| Problem::fault("a person's row is damaged", error))
    }

    /// The position that the person's next record gets. **Errors**: storage.
    pub fn next_sequence(&self, subject: SubjectIndex) -> Result<u32, Problem> {
        let table = self.0.open_table(RECORDS).map_err(redb::Error::from)?;
        let mut range = table.range((subject.0, 0)..=(subject.0, u32::MAX)).map_err(redb::Error::from)?;
        match range.next_back() {
            None => Ok(0),
            Some(row) => Ok(row.map_err(redb::Error::from)?.0.value().1.saturating_add(1)),
        }
    }

    /// The records that are known by these requests. **Errors**: storage.
    pub fn known_requests(&self, requests: &[Digest]) -> Result<BTreeMap<Digest, Commitment>, Problem> {
        let table = self.0.open_table(REQUESTS).map_err(redb::Error::from)?;
        let mut known = BTreeMap::new();
        for request in requests {
            if let Some(commitment) = table.get(request.0).map_err(redb::Error::from)? {
                known.insert(*request, Commitment(Digest(commitment.value())));
            }
        }
        Ok(known)
    }

    /// Visits the records of people in ascending order, each opened and checked against its commitment.
    ///
    /// **Errors**: storage, a changed byte anywhere, or the visitor's.
    pub fn each_record(
        &self,
        keys: &VaultKeys,
        slots: &KeySlots,
        people: &SubjectSet,
        mut visit: impl FnMut(SubjectIndex, &Commitment, &CanonicalRecord) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let (records, derived) = (self.records()?, Derived::open(self)?);
        for subject in people.iter() {
            let mut key = None;
            let range = records.range((subject.0, 0)..=(subject.0, u32::MAX)).map_err(redb::Error::from)?;
            for row in range {
                let (place, bytes) = row.map_err(redb::Error::from)?;
                if key.is_none() {
                    key = Some(self.subject(subject)?.data_key(keys, subject).map_err(unreadable)?);
                }
                let Some(key) = &key else { continue };
                let row = (place.value(), bytes.value());
                let (commitment, record) = self.record(slots, key, subject, &derived, row)?;
                visit(subject, &commitment, &record)?;
            }
        }
        Ok(())
    }

    /// Visits the records at these places, which are in ascending order, each opened and checked against its commitment.
    ///
    /// **Errors**: as [`Self::each_record`], or a record that is not there.
    pub fn records_at(
        &self,
        keys: &VaultKeys,
        slots: &KeySlots,
        places: Vec<(u32, u32)>,
        mut visit: impl FnMut((SubjectIndex, u32), &Commitment, &CanonicalRecord) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let (records, derived) = (self.records()?, Derived::open(self)?);
        let mut person: Option<(SubjectIndex, DataKey)> = None;
        for place in places {
            let subject = SubjectIndex(place.0);
            if person.as_ref().is_none_or(|(known, _)| *known != subject) {
                let key = self.subject(subject)?.data_key(keys, subject).map_err(unreadable)?;
                person = Some((subject, key));
            }
            let Some((_, key)) = &person else { continue };
            let row = records.get(place).map_err(redb::Error::from)?.ok_or_else(broken)?;
            let (commitment, record) = self.record(slots, key, subject, &derived, (place, row.value()))?;
            visit((subject, place.1), &commitment, &record)?;
        }
        Ok(())
    }

    /// All rows of records. **Errors**: storage.
    pub(crate) fn records(&self) -> Result<Records, Problem> {
        Ok(self.0.open_table(RECORDS).map_err(redb::Error::from)?)
    }

    /// Where records are, by commitment. **Errors**: storage.
    pub(crate) fn locations(&self) -> Result<Locations, Problem> {
        Ok(self.0.open_table(LOCATIONS).map_err(redb::Error::from)?)
    }

    /// The record of a row, opened and checked against its commitment and the link to it. **Errors**: storage, or a changed byte.
    pub(crate) fn record(
        &self,
        slots: &KeySlots,
        key: &DataKey,
        subject: SubjectIndex,
        derived: &Derived,
        (place, bytes): ((u32, u32), &[u8]),
    ) -> Result<(Commitment, CanonicalRecord), Problem> {
        let (commitment, sealed) = split_record(bytes)?;
        let record = match derived.of(&commitment)? {
            None => open_record(key, &commitment, sealed)?,
            Some(document) => {
                let (_, row) = self.document(subject, &document)?;
                let held = row.held.ok_or_else(broken)?;
                open_record(&held.key(slots, key, &document)?, &commitment, sealed)?
            }
        };
        let link = derived.location(&commitment)?;
        if link == Some(place) { Ok((commitment, record)) } else { Err(broken()) }
    }

    /// The receipt of a task. **Errors**: storage.
    pub fn receipt(&self, task: &TaskId) -> Result<Option<SignedReceipt>, Problem> {
        self.get(RECEIPTS, task.0)
    }

    /// Entries of the governance log, in order. **Errors**: storage.
    pub fn governance(&self) -> Result<Vec<Vec<u8>>, Problem> {
        use redb::ReadableTable as _;
        let table = self.0.open_table(GOVERNANCE).map_err(redb::Error::from)?;
        let mut entries = Vec::new();
        for row in table.iter().map_err(redb::Error::from)? {
            entries.push(row.map_err(redb::Error::from)?.1.value().to_vec());
        }
        Ok(entries)
    }

    /// The transcript of a task. **Errors**: storage.
    pub fn transcript(&self, task: &TaskId) -> Result<Option<Transcript>, Problem> {
        self.get(TRANSCRIPTS, task.0)
    }

    /// What a task used of each person. **Errors**: storage.
    pub fn usage(&self, task: &TaskId) -> Result<Option<Usage>, Problem> {
        self.get(USAGES, task.0)
    }

    /// The digest of the people whom a round was computed on. **Errors**: storage.
    pub fn round(&self, round: Digest) -> Result<Option<Digest>, Problem> {
        self.get(ROUNDS, round)
    }

    /// An answered operation. **Errors**: storage.
    pub fn answered(&self, key: Digest) -> Result<Option<Answered>, Problem> {
        self.get(OPERATIONS, key)
    }

    /// The dividends of an epoch. **Errors**: storage, or a changed byte.
    pub fn closing(&self, keys: &VaultKeys, epoch: EpochId) -> Result<Option<Closing>, Problem> {
        let table = self.0.open_table(DIVIDENDS).map_err(redb::Error::from)?;
        let Some(sealed) = table.get(epoch.0).map_err(redb::Error::from)? else { return Ok(None) };
        let plain = keys.storage.open(&closing_place(epoch), sealed.value()).map_err(unreadable)?;
        bcs::from_bytes(&plain).map(Some).map_err(|error| Problem::fault("dividends are damaged", error))
    }

    fn get<T: DeserializeOwned>(&self, table: Rows, key: Digest) -> Result<Option<T>, Problem> {
        let table = self.0.open_table(table).map_err(redb::Error::from)?;
        let Some(row) = table.get(key.0).map_err(redb::Error::from)? else { return Ok(None) };
        bcs::from_bytes(row.value())
            .map(Some)
            .map_err(|error| Problem::fault("a stored row is damaged", error))
    }
}

/// The sealed form of a record with its commitment. **Errors**: no randomness.
pub fn seal_record(key: &DataKey, record: &CanonicalRecord) -> Result<(Commitment, Vec<u8>), KeyError> {
    let plain = Zeroizing::new(canonical::to_bytes(record));
    let commitment = Commitment(Digest::of_bytes(&plain));
    Ok((commitment, key.seal(&commitment.0.0, &plain)?))
}

fn split_record(bytes: &[u8]) -> Result<(Commitment, &[u8]), Problem> {
    let (commitment, sealed) = bytes.split_first_chunk::<32>().ok_or_else(broken)?;
    Ok((Commitment(Digest(*commitment)), sealed))
}

fn open_record(key: &DataKey, commitment: &Commitment, sealed: &[u8]) -> Result<CanonicalRecord, Problem> {
    let plain = key.open(&commitment.0.0, sealed).map_err(unreadable)?;
    if Digest::of_bytes(&plain) != commitment.0 {
        return Err(broken());
    }
    bcs::from_bytes(&plain).map_err(|error| Problem::fault("a record is damaged", error))
}

fn unreadable(error: KeyError) -> Problem {
    Problem::fault("a stored value cannot be opened", error)
}

fn broken() -> Problem {
    Problem::fault(
        "the record store contradicts itself",
        "a record, its commitment or its person is not there",
    )
}

fn profile_place(index: SubjectIndex) -> [u8; 11] {
    let mut place = *b"profile\0\0\0\0";
    place[7..].copy_from_slice(&index.0.to_be_bytes());
    place
}

fn closing_place(epoch: EpochId) -> [u8; 16] {
    let mut place = *b"dividend\0\0\0\0\0\0\0\0";
    place[8..].copy_from_slice(&epoch.0.to_be_bytes());
    place
}

type Records = ReadOnlyTable<(u32, u32), &'static [u8]>;
type Locations = ReadOnlyTable<[u8; 32], (u32, u32)>;
type Rows = TableDefinition<'static, [u8; 32], &'static [u8]>;

const SUBJECTS: TableDefinition<'static, u32, &'static [u8]> = TableDefinition::new("vault/subjects");
const RECORDS: TableDefinition<'static, (u32, u32), &'static [u8]> = TableDefinition::new("vault/records");
const LOCATIONS: TableDefinition<'static, [u8; 32], (u32, u32)> = TableDefinition::new("vault/locations");
const REQUESTS: TableDefinition<'static, [u8; 32], [u8; 32]> = TableDefinition::new("vault/requests");
const DIVIDENDS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("vault/dividends");
const GOVERNANCE: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("vault/governance");
const RECEIPTS: Rows = TableDefinition::new("vault/receipts");
const TRANSCRIPTS: Rows = TableDefinition::new("vault/transcripts");
const USAGES: Rows = TableDefinition::new("vault/usages");
const ROUNDS: Rows = TableDefinition::new("vault/rounds");
const OPERATIONS: Rows = TableDefinition::new("vault/operations");
