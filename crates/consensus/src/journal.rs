//! The durable journal: entries in redb, appended in one transaction a batch and never changed (R035, R211, R212).
//!
//! Opening verifies the chain and rebuilds the state out of it; whatever does not fit is an error that names the
//! height, so a wrong state is never served (R217). A torn write is undone by redb before the first read. The
//! tables of the journal start with `journal/`; a hook writes rows of other tables in the same transaction.

use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::merkle::Frontier;
use symphony_types::time::OrderedMillis;

use crate::checkpoint::{CHECKPOINT_LEN, Checkpoint};
use crate::entry::{Entry, Fault, Head, decode, from_row, to_row};
use crate::machine::{Genesis, Machine, root};
use crate::replay::{Rebuild, Verify};
use crate::tree;

/// Writes rows of the caller in the transaction that makes a command durable.
///
/// It cannot open the journal's own tables. An error aborts the whole transaction.
pub type Hook = Box<dyn FnOnce(&WriteTransaction) -> Result<(), redb::Error> + Send>;

/// Why a journal cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The database failed.
    #[error("journal storage failed")]
    Storage(#[source] redb::Error),
    /// The database could not make sense of its file.
    #[error("journal file is damaged")]
    Damaged,
    /// An export could not be read or written.
    #[error("journal export failed")]
    Io(#[from] io::Error),
    /// The journal started from another genesis than the one asked for.
    #[error("journal {found} starts from another genesis than {expected}")]
    OtherGenesis {
        /// The name that the caller gave.
        expected: String,
        /// The name that the journal has.
        found: String,
    },
    /// The journal's own record of its genesis or head is unusable.
    #[error("journal has no usable {0}")]
    Meta(&'static str),
    /// The entry of a height cannot be trusted.
    #[error("journal height {height}: {fault}")]
    Corrupt {
        /// The height in question.
        height: u64,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The decided block of a height has no proof, or is not what the journal has.
    #[error("block {0} does not fit its proof or the journal")]
    Block(u64),
    /// Entries are missing below the height at which others gave it a state.
    #[error(
        "the journal has no whole beginning: others gave it the state of height {0}; take another master's"
    )]
    Joined(u64),
    /// The journal has no such entries, or no tree over them: others gave it a state, or it is shorter.
    #[error("the journal proves nothing of entry {0}: it is shorter, or others gave it a state")]
    Unproven(u64),
    /// Somebody else wrote to the journal since it was opened.
    #[error("journal was written by somebody else")]
    Overtaken,
    /// The bytes are not a complete export of a journal.
    #[error("not a complete journal export: {0}")]
    Export(&'static str),
}

impl JournalError {
    /// Whether nothing is wrong but that there is no room.
    pub fn full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self, Self::Storage(redb::Error::Io(error))
            if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }
}

macro_rules! storage_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for JournalError {
            fn from(error: $error) -> Self {
                Self::Storage(error.into())
            }
        }
    )*};
}

storage_errors!(
    redb::Error,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError
);

/// One decided command on its way into the journal.
pub struct Draft {
    /// Ordered time of the command.
    pub at: OrderedMillis,
    /// Canonical bytes of the command.
    pub command: Vec<u8>,
    /// Canonical bytes of the list of events.
    pub events: Vec<u8>,
    /// Digest of the state after the events, in the last draft of a write.
    pub state: Option<Digest>,
    /// Rows of the caller that become durable with the entry.
    pub hook: Option<Hook>,
}

/// A draft in its place behind a head, in the bytes that it has on disk.
pub struct Row {
    /// Canonical bytes of the command.
    pub command: Vec<u8>,
    previous: Digest,
    bytes: Vec<u8>,
    head: Head,
    hook: Option<Hook>,
}

impl Row {
    /// Puts a draft behind a head and moves the head.
    ///
    /// # Panics
    /// Ordered time would run backwards.
    pub fn of(Draft { at, command, events, state, hook }: Draft, head: &mut Head) -> Self {
        assert!(at >= head.at, "invariant: ordered time never runs backwards");
        let entry = Entry { height: head.height + 1, previous: head.hash, at, command, events, state };
        let (bytes, hash) = to_row(&entry);
        *head = head.after(&entry, hash);
        Self { command: entry.command, previous: entry.previous, bytes, head: *head, hook }
    }
}

/// An open journal of one machine; the only writer of its tables.
pub struct Journal<M> {
    database: Arc<Database>,
    head: Head,
    checkpoint: Option<Head>,
    /// The right edge of the tree over the entries, if there is one.
    frontier: Option<Frontier>,
    machine: PhantomData<fn() -> M>,
}

impl<M: Machine> Journal<M> {
    /// Opens the journal in `database`, starting it from `genesis` if there is none, and rebuilds its state from the
    /// last checkpoint on.
    ///
    /// **Errors**: another genesis, or any height from there that does not verify.
    pub fn open(
        database: Arc<Database>,
        genesis: &Genesis<M::State>,
        verify: Verify,
    ) -> Result<(Self, M::State), JournalError> {
        start(&database, &genesis.name, canonical::to_bytes(&genesis.state))?;
        let snapshot = Snapshot::take(&*database)?;
        if snapshot.root() != genesis.root() {
            return Err(JournalError::OtherGenesis { expected: genesis.name.clone(), found: snapshot.name });
        }
        let kept = snapshot.checkpoint::<M>()?;
        let checkpoint = kept.as_ref().map(|(head, _)| *head);
        let mut rebuild = match kept {
            Some((head, state)) => Rebuild::<M>::from(head, state, verify),
            None => Rebuild::<M>::new(genesis, verify),
        };
        let after = checkpoint.map_or(0, |head| head.height);
        snapshot.each_row(after, |row, height| rebuild.row(row).map_err(|fault| corrupt(height, fault)))?;
        let (head, state) = rebuild.finish(&snapshot.head)?;
        let grows = M::PROVABLE && snapshot.joined()?.is_none();
        let frontier = grows.then(|| tree::frontier(&database, head.height)).transpose()?;
        Ok((Self { database, head, checkpoint, frontier, machine: PhantomData }, state))
    }

    /// Where the last checkpoint was made.
    pub fn checkpoint(&self) -> Option<Head> {
        self.checkpoint
    }

    /// Makes a checkpoint of the state at the head if the machine can read it back and the last one is [`CHECKPOINT_LEN`] entries ago, with rows of the
    /// caller in the same transaction.
    ///
    /// **Errors**: the database failed; the last checkpoint stays.
    pub fn keep(
        &mut self,
        state: &M::State,
        also: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), JournalError> {
        if M::RESTORE.is_none()
            || self.head.height < self.checkpoint.map_or(0, |head| head.height) + CHECKPOINT_LEN
        {
            return Ok(());
        }
        let transaction = self.database.begin_write()?;
        Checkpoint { head: self.head, state: canonical::to_bytes(state) }.write(&transaction, META)?;
        also(&transaction)?;
        transaction.commit()?;
        self.checkpoint = Some(self.head);
        Ok(())
    }

    /// The end of the chain.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Goes on from a state further up the chain, which others have proven, with rows of the caller in the same
    /// transaction. Entries until there are missing here from now on; those from before stay.
    ///
    /// **Errors**: after any error the journal must be opened again.
    pub(crate) fn join(
        &mut self,
        checkpoint: &Checkpoint,
        also: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), JournalError> {
        assert!(checkpoint.head.height > self.head.height, "invariant: a journal never goes back");
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        checkpoint.write(&transaction, META)?;
        {
            let mut meta = transaction.open_table(META)?;
            meta.insert(JOINED, canonical::to_bytes(&checkpoint.head).as_slice())?;
            meta.insert(HEAD, canonical::to_bytes(&checkpoint.head).as_slice())?;
        }
        also(&transaction)?;
        transaction.commit()?;
        (self.head, self.checkpoint, self.frontier) = (checkpoint.head, Some(checkpoint.head), None);
        Ok(())
    }

    /// Appends rows that follow the head in one durable transaction, each hook beside its entry; all of it or nothing.
    ///
    /// **Errors**: after any error the journal must be opened again, because the outcome on disk is not known.
    pub fn append(&mut self, rows: Vec<Row>) -> Result<Head, JournalError> {
        self.append_with(rows, |_| Ok(()))
    }

    /// [`Journal::append`] with rows of the caller that become durable even without an entry.
    pub fn append_with(
        &mut self,
        rows: Vec<Row>,
        also: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<Head, JournalError> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        let (mut head, mut frontier) = (self.head, self.frontier.clone());
        {
            let mut meta = transaction.open_table(META)?;
            if read_head(&meta)? != self.head {
                return Err(JournalError::Overtaken);
            }
            let mut entries = transaction.open_table(ENTRIES)?;
            for row in rows {
                assert!(row.previous == head.hash, "invariant: a row follows the one before");
                head = row.head;
                if entries.insert(head.height, row.bytes.as_slice())?.is_some() {
                    return Err(JournalError::Overtaken);
                }
                if let Some(frontier) = &mut frontier {
                    tree::grow(&transaction, frontier, head.hash)?;
                }
                if let Some(hook) = row.hook {
                    hook(&transaction)?;
                }
            }
            meta.insert(HEAD, canonical::to_bytes(&head).as_slice())?;
        }
        also(&transaction)?;
        transaction.commit()?;
        (self.head, self.frontier) = (head, frontier);
        Ok(head)
    }
}

/// The last checkpoint of the journal in a database, if it is whole.
pub(crate) fn checkpoint(database: &Database) -> Result<Option<Checkpoint>, JournalError> {
    let transaction = database.begin_read()?;
    Ok(Checkpoint::read(&transaction.open_table(META)?)?)
}

/// Opens a database and checks every page of it against its checksum. If the last transaction is damaged, the one
/// before is in force: for who gets what is missing from others.
///
/// **Errors**: [`JournalError::Damaged`] where the database would have panicked.
pub fn checked(
    open: impl FnOnce() -> Result<Database, redb::DatabaseError>,
) -> Result<Database, JournalError> {
    // The database trusts its own pages and panics on some that are not its own; it is dropped before anybody sees it.
    catch_unwind(AssertUnwindSafe(|| {
        let mut database = open()?;
        if !database.check_integrity()? {
            tracing::warn!("the journal's file was damaged; its last intact transaction is in force");
        }
        Ok(database)
    }))
    .unwrap_or(Err(JournalError::Damaged))
}

/// Up to `limit` entries that follow `height`, each with its digest checked.
pub fn entries_after(database: &Database, height: u64, limit: usize) -> Result<Vec<Entry>, JournalError> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(ENTRIES)?;
    let mut entries = Vec::new();
    for (row, expected) in
        table.range(height.saturating_add(1)..)?.take(limit).zip(height.saturating_add(1)..)
    {
        let (key, bytes) = row?;
        let (entry, _) = from_row(bytes.value()).map_err(|fault| corrupt(key.value(), fault))?;
        if key.value() != expected || entry.height != expected {
            return Err(corrupt(expected, Fault::Misplaced));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Opens the database file at `path` for reading and exports the journal in it. No node may be running on it.
pub fn export_file(path: &Path, writer: &mut impl io::Write) -> Result<Head, JournalError> {
    export(&redb::ReadOnlyDatabase::open(path)?, writer)
}

/// Writes the journal as one portable file: a header, then every row, each behind its length.
pub fn export(database: &impl ReadableDatabase, writer: &mut impl io::Write) -> Result<Head, JournalError> {
    let snapshot = Snapshot::take(database)?;
    if let Some(head) = snapshot.joined()? {
        return Err(JournalError::Joined(head.height));
    }
    crate::replay::write_header(writer, &snapshot.name, &snapshot.genesis, &snapshot.head)?;
    let mut rows = 0;
    snapshot.each_row(0, |row, _| {
        rows += 1;
        Ok(crate::replay::write_block(writer, row)?)
    })?;
    if rows != snapshot.head.height {
        return Err(corrupt(rows + 1, Fault::Head));
    }
    writer.flush()?;
    Ok(snapshot.head)
}

pub(crate) fn corrupt(height: u64, fault: Fault) -> JournalError {
    JournalError::Corrupt { height, fault }
}

/// What the database says at one moment.
struct Snapshot {
    transaction: redb::ReadTransaction,
    name: String,
    genesis: Vec<u8>,
    head: Head,
}

impl Snapshot {
    fn take(database: &impl ReadableDatabase) -> Result<Self, JournalError> {
        let transaction = database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let stored = meta.get(GENESIS)?.ok_or(JournalError::Meta("genesis"))?;
        let StoredGenesis { name, state } =
            decode(stored.value(), usize::MAX).ok_or(JournalError::Meta("genesis"))?;
        let head = read_head(&meta)?;
        Ok(Self { transaction, name, genesis: state, head })
    }

    fn root(&self) -> Digest {
        root(&self.name, &self.genesis)
    }

    /// The last checkpoint, if this program can read it. **Errors**: it contradicts the entry at its height.
    fn checkpoint<M: Machine>(&self) -> Result<Option<(Head, M::State)>, JournalError> {
        let Some(restore) = M::RESTORE else { return Ok(None) };
        let meta = self.transaction.open_table(META)?;
        let Some(Checkpoint { head, state }) = Checkpoint::read(&meta)? else { return Ok(None) };
        let Some(state) = restore(&state).filter(|state| M::digest(&mut state.clone()) == head.state) else {
            tracing::warn!(
                "the checkpoint is damaged or of another program; the start begins at the genesis"
            );
            return Ok(None);
        };
        if self.joined()? == Some(head) {
            return Ok(Some((head, state)));
        }
        let entries = self.transaction.open_table(ENTRIES)?;
        let Some(row) = entries.get(head.height)? else { return Ok(None) };
        let (entry, hash) = from_row(row.value()).map_err(|fault| corrupt(head.height, fault))?;
        if (entry.height, hash, entry.at, entry.state) != (head.height, head.hash, head.at, Some(head.state))
        {
            return Err(corrupt(head.height, Fault::State));
        }
        Ok(Some((head, state)))
    }

    /// Where the journal was joined last.
    fn joined(&self) -> Result<Option<Head>, JournalError> {
        let meta = self.transaction.open_table(META)?;
        let Some(row) = meta.get(JOINED)? else { return Ok(None) };
        decode(row.value(), HEAD_BYTES).map(Some).ok_or(JournalError::Meta("joined"))
    }

    /// Calls `visit` with every row behind a height in order, and with the height that it must have.
    fn each_row(
        &self,
        after: u64,
        mut visit: impl FnMut(&[u8], u64) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let table = self.transaction.open_table(ENTRIES)?;
        for (row, height) in table.range(after + 1..)?.zip(after + 1..) {
            let (key, bytes) = row?;
            if key.value() != height {
                return Err(corrupt(height, Fault::Misplaced));
            }
            visit(bytes.value(), height)?;
        }
        Ok(())
    }
}

/// Creates the tables and the genesis of a journal that has none yet.
fn start(database: &Database, name: &str, state: Vec<u8>) -> Result<(), JournalError> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        if meta.get(GENESIS)?.is_some() {
            return Ok(());
        }
        transaction.open_table(ENTRIES)?;
        let head = Head::of_genesis(root(name, &state));
        let genesis = canonical::to_bytes(&StoredGenesis { name: name.to_owned(), state });
        meta.insert(GENESIS, genesis.as_slice())?;
        meta.insert(HEAD, canonical::to_bytes(&head).as_slice())?;
    }
    transaction.commit()?;
    Ok(())
}

fn read_head(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Head, JournalError> {
    let stored = meta.get(HEAD)?.ok_or(JournalError::Meta("head"))?;
    decode(stored.value(), HEAD_BYTES).ok_or(JournalError::Meta("head"))
}

#[derive(Serialize, Deserialize)]
struct StoredGenesis {
    name: String,
    #[serde(with = "serde_bytes")]
    state: Vec<u8>,
}

pub(crate) const ENTRIES: TableDefinition<'static, u64, &'static [u8]> =
    TableDefinition::new("journal/entries");
const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("journal/meta");
const GENESIS: &str = "genesis";
const HEAD: &str = "head";
/// Where the journal was joined last, if others gave it a state.
const JOINED: &str = "joined";
/// Two integers and two digests.
const HEAD_BYTES: usize = 8 + 32 + 8 + 32;
