//! A state on the way, so that a start need not begin at the genesis (R197, R217).
//!
//! One row beside the journal, replaced now and then. It never counts as history: it is believed only when its state
//! has the digest that its own head names, and that head is the one of the entry at its height. Whoever replays an
//! export begins at the genesis.

use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use symphony_types::canonical;

use crate::entry::{Head, decode};

/// Entries between two checkpoints: fewer are quickly taken in again.
pub const CHECKPOINT_LEN: u64 = 4_096;

/// A state and the end of the chain that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The end of the chain.
    pub(crate) head: Head,
    /// Canonical bytes of the state there.
    #[serde(with = "serde_bytes")]
    pub(crate) state: Vec<u8>,
}

impl Checkpoint {
    /// The row of a table of meta data, if it can be read; whether its state has its digest is for the machine to say.
    pub(crate) fn read(
        meta: &impl ReadableTable<&'static str, &'static [u8]>,
    ) -> Result<Option<Self>, redb::StorageError> {
        let Some(row) = meta.get(CHECKPOINT)? else { return Ok(None) };
        let checkpoint = decode(row.value(), usize::MAX);
        if checkpoint.is_none() {
            tracing::warn!("the checkpoint of the journal is damaged; the start begins at the genesis");
        }
        Ok(checkpoint)
    }

    /// Replaces the row.
    pub(crate) fn write(
        &self,
        transaction: &WriteTransaction,
        meta: TableDefinition<'static, &'static str, &'static [u8]>,
    ) -> Result<(), redb::Error> {
        transaction.open_table(meta)?.insert(CHECKPOINT, canonical::to_bytes(self).as_slice())?;
        Ok(())
    }
}

const CHECKPOINT: &str = "checkpoint";
