//! What a Vault keeps beside its journal, in the same database and the same transactions (R076-R080, R213).
//!
//! A record is sealed under its person's data key, or that of the document that it came of, with its commitment as
//! associated data; where it lies and the commitment itself are checked on every read, so a changed byte is an
//! error and never a value (R078). Nothing here is readable without the Vault's keys, except counts.

pub mod candidate;
pub mod document;
mod index;
pub mod period;
pub mod person;
pub mod reading;
pub mod record;
pub mod segment;
pub mod value;

use std::sync::{Arc, Mutex};

use redb::{
    Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::{SignedReceipt, SignedSlice};
use symphony_protocol::governance::log::LogEntry;
use symphony_protocol::vault::dividend::{Closing, Usage};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, SubjectId, TaskId};
use symphony_types::subjects::SubjectIndex;
use zeroize::Zeroizing;

use crate::keys::{DataKey, KeyError, VaultKeys};
use crate::problem::Problem;
use index::Index;
use segment::{Mark, put_mark};
use value::{DerivedRow, VALUES, put_values};

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

/// A person's row: the profile under its key, which stands in [`crate::people`].
#[derive(Serialize, Deserialize)]
pub struct SubjectRow {
    profile: Vec<u8>,
}

impl SubjectRow {
    /// A profile under the person's key. **Errors**: [`KeyError`].
    pub fn new(key: &DataKey, index: SubjectIndex, profile: &Profile) -> Result<Self, KeyError> {
        let plain = Zeroizing::new(canonical::to_bytes(profile));
        Ok(Self { profile: key.seal(&profile_place(index), &plain)? })
    }

    /// The person's profile. **Errors**: [`KeyError::Open`].
    pub fn profile(&self, key: &DataKey, index: SubjectIndex) -> Result<Profile, KeyError> {
        let plain = key.open(&profile_place(index), &self.profile)?;
        bcs::from_bytes(&plain).map_err(|_| KeyError::Open)
    }
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
    index: Arc<Mutex<Index>>,
}

impl Store {
    /// Opens the tables, making them on first use. **Errors**: storage.
    pub fn open(database: Arc<Database>) -> Result<Self, Problem> {
        let store = Self { database, index: Arc::default() };
        store.write(|transaction| {
            for table in [RECEIPTS, TRANSCRIPTS, USAGES, ROUNDS, OPERATIONS] {
                transaction.open_table(table)?;
            }
            transaction.open_table(SUBJECTS)?;
            transaction.open_table(DIVIDENDS)?;
            transaction.open_table(GOVERNANCE)?;
            transaction.open_table(VALUES)?;
            candidate::make(transaction)?;
            document::make(transaction)?;
            record::earlier(transaction)?;
            record::make(transaction)?;
            period::make(transaction)?;
            segment::make(transaction)?;
            person::make(transaction)?;
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
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        Ok(View { transaction, index: Arc::clone(&self.index) })
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

/// The dividends of an epoch under the key for them. **Errors**: [`KeyError`].
pub fn seal_closing(keys: &VaultKeys, epoch: EpochId, closing: &Closing) -> Result<Vec<u8>, KeyError> {
    let plain = Zeroizing::new(canonical::to_bytes(closing));
    keys.dividends_key()?.seal(&closing_place(epoch), &plain)
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

/// The tables at one moment, and where records lie in them.
pub struct View {
    transaction: ReadTransaction,
    index: Arc<Mutex<Index>>,
}

impl View {
    /// A person's row. **Errors**: storage, or there is none.
    pub fn subject(&self, index: SubjectIndex) -> Result<SubjectRow, Problem> {
        self.subjects()?.row(index)
    }

    /// The rows of people, for who reads many. **Errors**: storage.
    pub fn subjects(&self) -> Result<Subjects, Problem> {
        Ok(Subjects(self.transaction.open_table(SUBJECTS).map_err(redb::Error::from)?))
    }

    /// A person's profile, under its `key`. **Errors**: storage, there is none, or a changed byte.
    pub fn profile(&self, key: Result<DataKey, KeyError>, index: SubjectIndex) -> Result<Profile, Problem> {
        self.subjects()?.profile(key, index)
    }

    /// The receipt of a task. **Errors**: storage.
    pub fn receipt(&self, task: &TaskId) -> Result<Option<SignedReceipt>, Problem> {
        self.get(RECEIPTS, task.0)
    }

    /// Entries of the governance log, in order. **Errors**: storage.
    pub fn governance(&self) -> Result<Vec<Vec<u8>>, Problem> {
        use redb::ReadableTable as _;
        let table = self.transaction.open_table(GOVERNANCE).map_err(redb::Error::from)?;
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
        let table = self.transaction.open_table(DIVIDENDS).map_err(redb::Error::from)?;
        let Some(sealed) = table.get(epoch.0).map_err(redb::Error::from)? else { return Ok(None) };
        let key = keys.dividends_key().map_err(unreadable)?;
        let plain = key.open(&closing_place(epoch), sealed.value()).map_err(unreadable)?;
        bcs::from_bytes(&plain).map(Some).map_err(|error| Problem::fault("dividends are damaged", error))
    }

    fn get<T: DeserializeOwned>(&self, table: Rows, key: Digest) -> Result<Option<T>, Problem> {
        let table = self.transaction.open_table(table).map_err(redb::Error::from)?;
        let Some(row) = table.get(key.0).map_err(redb::Error::from)? else { return Ok(None) };
        bcs::from_bytes(row.value())
            .map(Some)
            .map_err(|error| Problem::fault("a stored row is damaged", error))
    }
}

/// The rows of people at one moment.
pub struct Subjects(ReadOnlyTable<u32, &'static [u8]>);

impl Subjects {
    /// As [`View::subject`].
    pub fn row(&self, index: SubjectIndex) -> Result<SubjectRow, Problem> {
        let row = self.0.get(index.0).map_err(redb::Error::from)?.ok_or_else(broken)?;
        bcs::from_bytes(row.value()).map_err(|error| Problem::fault("a person's row is damaged", error))
    }

    /// As [`View::profile`].
    pub fn profile(&self, key: Result<DataKey, KeyError>, index: SubjectIndex) -> Result<Profile, Problem> {
        let row = self.row(index)?;
        let profile = key.and_then(|key| row.profile(&key, index));
        profile.map_err(|error| Problem::fault("a profile cannot be opened", error))
    }
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

type Rows = TableDefinition<'static, [u8; 32], &'static [u8]>;

const SUBJECTS: TableDefinition<'static, u32, &'static [u8]> = TableDefinition::new("vault/subjects");
const DIVIDENDS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("vault/dividends");
const GOVERNANCE: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("vault/governance");
const RECEIPTS: Rows = TableDefinition::new("vault/receipts");
const TRANSCRIPTS: Rows = TableDefinition::new("vault/transcripts");
const USAGES: Rows = TableDefinition::new("vault/usages");
const ROUNDS: Rows = TableDefinition::new("vault/rounds");
const OPERATIONS: Rows = TableDefinition::new("vault/operations");
