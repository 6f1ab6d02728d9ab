//! The append-only Merkle tree over a journal's entries, kept beside them (R035, R191, R192).
//!
//! A leaf is the digest of an entry. In memory there is the right edge alone; on disk there is the root of each subtree that is
//! whole, written once with the entry that completes it, so that a proof reads as many rows as the tree is high. A journal that
//! was joined has no beginning, and no tree.

use redb::{Database, ReadTransaction, ReadableDatabase, TableDefinition, TableError, WriteTransaction};
use symphony_types::digest::Digest;
use symphony_types::merkle::{self, Frontier};
use symphony_types::time::OrderedMillis;

use crate::entry::{Entry, Fault, from_row};
use crate::journal::{ENTRIES, JournalError, corrupt};

/// The leaf of an entry with that digest.
pub fn leaf(entry: Digest) -> Digest {
    merkle::leaf(&entry.0)
}

/// The journal and its tree at one moment.
pub struct View(ReadTransaction);

impl View {
    /// As it is now. **Errors**: the database failed.
    pub fn of(database: &Database) -> Result<Self, JournalError> {
        Ok(Self(database.begin_read()?))
    }

    /// The root over the first `count` entries. **Errors**: [`JournalError::Unproven`].
    pub fn root(&self, count: u64) -> Result<Digest, JournalError> {
        merkle::range_root(0..count, |level, place| self.whole(level, place))
    }

    /// The audit path of the entry at a height among the first `count`. **Errors**: [`JournalError::Unproven`] where there is none.
    pub fn inclusion(&self, count: u64, height: u64) -> Result<Vec<Digest>, JournalError> {
        let index = height.checked_sub(1).ok_or(JournalError::Unproven(height))?;
        self.path(merkle::inclusion_ranges(count, index).ok_or(JournalError::Unproven(height))?)
    }

    /// What shows that the first `first` entries are the beginning of the first `count`. **Errors**: [`JournalError::Unproven`] where
    /// they are not.
    pub fn consistency(&self, count: u64, first: u64) -> Result<Vec<Digest>, JournalError> {
        self.path(merkle::consistency_ranges(count, first).ok_or(JournalError::Unproven(first))?)
    }

    /// The entry at a height with its digest and its canonical bytes; `None` where there is none.
    pub fn entry(&self, height: u64) -> Result<Option<(Entry, Digest, Vec<u8>)>, JournalError> {
        let entries = self.0.open_table(ENTRIES)?;
        let Some(row) = entries.get(height)? else { return Ok(None) };
        let (entry, hash) = from_row(row.value()).map_err(|fault| corrupt(height, fault))?;
        if entry.height != height {
            return Err(corrupt(height, Fault::Misplaced));
        }
        Ok(Some((entry, hash, row.value()[hash.0.len()..].to_vec())))
    }

    /// The height of the last entry up to `last` that is earlier than a moment; zero where none is.
    pub fn before(&self, moment: OrderedMillis, last: u64) -> Result<u64, JournalError> {
        let (mut below, mut above) = (0, last + 1);
        // Ordered time never runs backwards.
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            let (entry, _, _) = self.entry(middle)?.ok_or(JournalError::Unproven(middle))?;
            if entry.at < moment { below = middle } else { above = middle }
        }
        Ok(below)
    }

    fn path(&self, ranges: Vec<std::ops::Range<u64>>) -> Result<Vec<Digest>, JournalError> {
        let root = |range| merkle::range_root(range, |level, place| self.whole(level, place));
        ranges.into_iter().map(root).collect()
    }

    fn whole(&self, level: u32, place: u64) -> Result<Digest, JournalError> {
        if level == 0 {
            let (_, hash, _) = self.entry(place + 1)?.ok_or(JournalError::Unproven(place + 1))?;
            return Ok(leaf(hash));
        }
        let missing = JournalError::Unproven((place + 1) << level);
        let nodes = match self.0.open_table(NODES) {
            Err(TableError::TableDoesNotExist(_)) => return Err(missing),
            nodes => nodes?,
        };
        let node = nodes.get((level, place))?.ok_or(missing)?;
        Ok(Digest(node.value()))
    }
}

/// The right edge over the first `count` entries; a tree that is not there is made of the entries.
///
/// **Errors**: the database failed, or an entry cannot be trusted.
pub(crate) fn frontier(database: &Database, count: u64) -> Result<Frontier, JournalError> {
    let view = View::of(database)?;
    match Frontier::of(count, |level, place| view.whole(level, place)) {
        Err(JournalError::Unproven(_)) => {}
        frontier => return frontier,
    }
    tracing::info!(entries = count, "the tree over the journal is made");
    let (mut frontier, transaction) = (Frontier::default(), database.begin_write()?);
    for height in 1..=count {
        let (_, hash, _) = view.entry(height)?.ok_or_else(|| corrupt(height, Fault::Misplaced))?;
        grow(&transaction, &mut frontier, hash)?;
    }
    transaction.commit()?;
    Ok(frontier)
}

/// Adds an entry at the right, and the subtrees that it completes.
pub(crate) fn grow(
    transaction: &WriteTransaction,
    frontier: &mut Frontier,
    entry: Digest,
) -> Result<(), JournalError> {
    let mut nodes = transaction.open_table(NODES)?;
    let mut made = Vec::new();
    frontier.push_with(leaf(entry), |level, place, root| made.push((level, place, root)));
    for (level, place, root) in made {
        nodes.insert((level, place), root.0)?;
    }
    Ok(())
}

/// Roots of whole subtrees above the leaves, by level and place.
const NODES: TableDefinition<'static, (u32, u64), [u8; 32]> = TableDefinition::new("journal/tree");
