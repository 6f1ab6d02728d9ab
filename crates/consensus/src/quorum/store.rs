//! Decided blocks beside the journal: written in the transaction of their entries, read for who lags, and checked
//! against certificates and entries at every start (R212, R217).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;

use super::block::{BLOCK_BYTES_MAX, Block, name};
use super::committee::{Certificate, Committee, Seat, Step};
use super::conflict::Conflict;
use super::message::{MESSAGE_BYTES_MAX, Proof, StatePart};
use super::replica::{PART_BYTES, Place, Sealed};
use crate::checkpoint::Checkpoint;
use crate::entry::{Head, decode, to_row};
use crate::journal::{JournalError, checkpoint, entries_after};

/// Blocks of one page at most.
const PAGE_LEN_MAX: usize = 256;
/// Bytes of one page at most, so that it fits a message.
const PAGE_BYTES_MAX: usize = MESSAGE_BYTES_MAX - BLOCK_BYTES_MAX;

/// Proofs of double votes kept at most: who makes more is known by then.
const CONFLICTS_LEN_MAX: u64 = 1_024;

/// The blocks of one cluster in the database of its journal, and what its members did wrong.
pub(crate) struct Blocks {
    database: Arc<Database>,
    conflicts: Arc<AtomicU64>,
}

/// A block and its proof as they lie on disk.
#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(with = "serde_bytes")]
    block: Vec<u8>,
    certificate: Certificate,
}

impl Blocks {
    /// Opens the blocks of a cluster and says where it stands: at the founding, if there are none. Looks at those
    /// behind the journal's last checkpoint, if there is one.
    ///
    /// **Errors**: any block without its certificate, or that does not fit the journal that ends at `head`.
    pub(crate) fn open(
        database: Arc<Database>,
        founding: &Committee,
        genesis: Head,
        (checkpoint, head): (Option<Head>, Head),
    ) -> Result<(Self, Place), JournalError> {
        let transaction = database.begin_write()?;
        transaction.open_table(BLOCKS)?;
        let conflicts = transaction.open_table(CONFLICTS)?.len()?;
        transaction.commit()?;
        let blocks = Self { database, conflicts: Arc::new(AtomicU64::new(conflicts)) };
        let kept = checkpoint.map_or(Ok(None), |at| blocks.kept(at, founding))?;
        let start = Place { height: 0, leader: Seat(0), committee: founding.clone() };
        let (at, start) = kept.unwrap_or((genesis, start));
        let place = blocks.verify(start, at, head)?;
        Ok((blocks, place))
    }

    /// Walks the blocks and the entries that they decided, side by side.
    fn verify(&self, mut place: Place, mut at: Head, head: Head) -> Result<Place, JournalError> {
        loop {
            let page = self.after(place.height)?;
            if page.is_empty() {
                break;
            }
            for (bytes, certificate) in page {
                let block = Block::from_bytes(&bytes).ok_or(JournalError::Block(place.height + 1))?;
                let holds = block.height == place.height + 1
                    && block.parent == at
                    && certificate.height == block.height
                    && certificate.step == Step::Precommit
                    && certificate.block == name(&bytes)
                    && place.committee.certifies(&certificate);
                if !holds {
                    return Err(JournalError::Block(place.height + 1));
                }
                at = self.entries_of(&block, at)?;
                let committee = place.committee.rotated(block.height, &block.rotations);
                let committee = committee.ok_or(JournalError::Block(block.height))?;
                place = Place { height: block.height, leader: block.proposer, committee };
            }
        }
        if at == head { Ok(place) } else { Err(JournalError::Block(place.height + 1)) }
    }

    /// Where the cluster stood at the journal's checkpoint, if it is believed.
    fn kept(&self, checkpoint: Head, founding: &Committee) -> Result<Option<(Head, Place)>, JournalError> {
        let kept = self.place_of(checkpoint)?;
        Ok(kept.filter(|(_, place)| place.committee.descends_from(founding)))
    }

    fn place_of(&self, checkpoint: Head) -> Result<Option<(Head, Place)>, JournalError> {
        let transaction = self.database.begin_read()?;
        let table = match transaction.open_table(PLACES) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(row) = table.get(checkpoint.height)? else { return Ok(None) };
        let kept: Option<(Head, Place)> = decode(row.value(), usize::MAX);
        Ok(kept.filter(|(head, _)| *head == checkpoint))
    }

    /// The end of the journal after the entries of a block, which must be its commands.
    fn entries_of(&self, block: &Block, mut at: Head) -> Result<Head, JournalError> {
        let entries = entries_after(&self.database, at.height, block.commands.len())?;
        if entries.len() != block.commands.len() {
            return Err(JournalError::Block(block.height));
        }
        for (entry, item) in entries.iter().zip(&block.commands) {
            if entry.command != item.command || entry.at != block.at || entry.previous != at.hash {
                return Err(JournalError::Block(block.height));
            }
            at = at.after(entry, to_row(entry).1);
        }
        Ok(at)
    }

    /// The newest state that can be proven, if there is one.
    pub(crate) fn newest(&self) -> Result<Option<Serving>, JournalError> {
        let Some(Checkpoint { head, state }) = checkpoint(&self.database)? else { return Ok(None) };
        let Some((_, place)) = self.place_of(head)? else { return Ok(None) };
        let next = self.after(place.height)?.into_iter().next();
        Ok(next.map(|(block, certificate)| Serving {
            head,
            state,
            proof: Proof { place, block, certificate },
        }))
    }

    /// How many proofs of double votes are kept.
    pub(crate) fn conflicts(&self) -> &Arc<AtomicU64> {
        &self.conflicts
    }

    /// Keeps the proof of a double vote for good, unless there are too many. **Errors**: the database failed.
    pub(crate) fn accuse(&self, conflict: &Conflict) -> Result<(), JournalError> {
        let kept = self.conflicts.load(Ordering::Relaxed);
        if kept == CONFLICTS_LEN_MAX {
            return Ok(());
        }
        let transaction = self.database.begin_write()?;
        transaction.open_table(CONFLICTS)?.insert(kept, canonical::to_bytes(conflict).as_slice())?;
        transaction.commit()?;
        self.conflicts.store(kept + 1, Ordering::Relaxed);
        Ok(())
    }

    /// Decided blocks after a height, as many as one message takes.
    pub(crate) fn after(&self, height: u64) -> Result<Vec<(Vec<u8>, Certificate)>, JournalError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(BLOCKS)?;
        let mut page = Vec::new();
        let mut bytes = 0;
        for (row, expected) in table.range(height.saturating_add(1)..)?.zip(height.saturating_add(1)..) {
            let (key, value) = row?;
            let value = value.value();
            bytes += value.len();
            if page.len() == PAGE_LEN_MAX || (bytes > PAGE_BYTES_MAX && !page.is_empty()) {
                break;
            }
            let row: Row = decode(value, usize::MAX).ok_or(JournalError::Block(expected))?;
            if key.value() != expected && page.is_empty() {
                // They were never here: a state came instead.
                break;
            }
            if key.value() != expected || row.certificate.height != expected {
                return Err(JournalError::Block(expected));
            }
            page.push((row.block, row.certificate));
        }
        Ok(page)
    }
}

/// A state that others may have, with what proves it.
pub(crate) struct Serving {
    head: Head,
    state: Vec<u8>,
    proof: Proof,
}

impl Serving {
    /// The height of the last block before it.
    pub(crate) fn height(&self) -> u64 {
        self.proof.place.height
    }

    /// Whether it is the state of an end of the journal.
    pub(crate) fn is(&self, head: Digest) -> bool {
        self.head.hash == head
    }

    /// One part of it; `None` behind the last.
    pub(crate) fn part(&self, part: u32) -> Option<StatePart> {
        let parts = u32::try_from(self.state.len().div_ceil(PART_BYTES)).ok()?;
        let bytes = self.state.chunks(PART_BYTES).nth(part as usize)?.to_vec();
        let proof = (part == 0).then(|| self.proof.clone());
        Some(StatePart { head: self.head, part, parts, bytes, proof })
    }
}

/// Every proof of a double vote in a journal's database, oldest first.
///
/// **Errors**: the database failed.
pub fn conflicts(database: &impl ReadableDatabase) -> Result<Vec<Conflict>, JournalError> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(CONFLICTS)?;
    let mut conflicts = Vec::new();
    for row in table.iter()? {
        let (_, bytes) = row?;
        conflicts.extend(decode::<Conflict>(bytes.value(), CONFLICT_BYTES_MAX));
    }
    Ok(conflicts)
}

/// Writes where the cluster stands at a checkpoint, in its transaction; the one before is of no use any more.
pub(crate) fn keep(transaction: &WriteTransaction, head: Head, place: &Place) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(PLACES)?;
    table.retain(|_, _| false)?;
    table.insert(head.height, canonical::to_bytes(&(head, place)).as_slice())?;
    Ok(())
}

/// Writes decided blocks in the transaction of their entries.
pub(crate) fn write(transaction: &WriteTransaction, blocks: &[Sealed]) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(BLOCKS)?;
    for sealed in blocks {
        let row = Row { block: sealed.block.to_vec(), certificate: sealed.certificate.clone() };
        table.insert(sealed.height, canonical::to_bytes(&row).as_slice())?;
    }
    Ok(())
}

const PLACES: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("quorum/places");
const CONFLICTS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("quorum/conflicts");
/// Two ballots with signatures, a key and a seat.
const CONFLICT_BYTES_MAX: usize = 512;
const BLOCKS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("quorum/blocks");
