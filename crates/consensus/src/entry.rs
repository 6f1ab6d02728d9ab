//! One link of the hash chain, and the bytes it has on disk and in an export (R035).
//!
//! A row is the entry's digest followed by the entry's canonical bytes. The digest is checked before anything is
//! decoded, so a changed byte is found at its own height.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::limits::COMMAND_BYTES_MAX;
use symphony_types::time::OrderedMillis;

/// What happened at one height. Never changed once written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Position in the chain; the first is 1.
    pub height: u64,
    /// Digest of the entry before, or the root of the genesis.
    pub previous: Digest,
    /// Ordered time of the command; never earlier than that of the entry before.
    pub at: OrderedMillis,
    /// Canonical bytes of the command.
    #[serde(with = "serde_bytes")]
    pub command: Vec<u8>,
    /// Canonical bytes of the list of events.
    #[serde(with = "serde_bytes")]
    pub events: Vec<u8>,
    /// Digest of the state after the events; only the last entry of a durable write has one.
    pub state: Option<Digest>,
}

/// The end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Height of the last entry; zero before the first.
    pub height: u64,
    /// Digest of the last entry, or the root of the genesis.
    pub hash: Digest,
    /// Ordered time of the last entry.
    pub at: OrderedMillis,
    /// Digest of the state after the last entry that has one; before the first, the root of the genesis.
    pub state: Digest,
}

impl Head {
    /// The end of the chain after an entry with that digest.
    pub(crate) fn after(&self, entry: &Entry, hash: Digest) -> Self {
        Self { height: entry.height, hash, at: entry.at, state: entry.state.unwrap_or(self.state) }
    }

    /// The head of a chain without entries. The root stands for the state too, whose bytes it covers.
    pub fn of_genesis(root: Digest) -> Self {
        Self { height: 0, hash: root, at: OrderedMillis(0), state: root }
    }
}

/// Why the entry of a height cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes do not have the digest that stands before them.
    #[error("the entry does not have its hash")]
    Hash,
    /// The bytes have the digest but are not an entry of this machine.
    #[error("the entry cannot be decoded")]
    Undecodable,
    /// The entry of this height is absent, or another one stands in its place.
    #[error("the entry is missing or stands elsewhere")]
    Misplaced,
    /// The entry names another predecessor.
    #[error("the entry does not follow the one before")]
    Link,
    /// Ordered time runs backwards.
    #[error("the entry is earlier than the one before")]
    Time,
    /// The machine refuses the command now.
    #[error("the command is refused on replay: {0}")]
    Refused(String),
    /// The machine decides other events now.
    #[error("the command gives other events on replay")]
    Events,
    /// The events lead to another state.
    #[error("the events lead to another state")]
    State,
    /// The chain ends elsewhere than its recorded head.
    #[error("the chain does not end at its head")]
    Head,
}

/// Bytes of the events of one command at most.
pub const EVENTS_BYTES_MAX: usize = 4 * COMMAND_BYTES_MAX;

/// Bytes of one row at most: both payloads and the fixed fields with room.
pub(crate) const ROW_BYTES_MAX: usize = COMMAND_BYTES_MAX + EVENTS_BYTES_MAX + 256;

/// The bytes of an entry on disk, and its digest.
pub(crate) fn to_row(entry: &Entry) -> (Vec<u8>, Digest) {
    let bytes = canonical::to_bytes(entry);
    let hash = Digest::tagged(ENTRY_TAG, &bytes);
    let mut row = Vec::with_capacity(hash.0.len() + bytes.len());
    row.extend_from_slice(&hash.0);
    row.extend_from_slice(&bytes);
    (row, hash)
}

/// Reads a row and checks its digest.
pub(crate) fn from_row(row: &[u8]) -> Result<(Entry, Digest), Fault> {
    let (hash, bytes) = row.split_first_chunk::<32>().ok_or(Fault::Undecodable)?;
    let hash = Digest(*hash);
    if Digest::tagged(ENTRY_TAG, bytes) != hash {
        return Err(Fault::Hash);
    }
    let entry = decode::<Entry>(bytes, ROW_BYTES_MAX).ok_or(Fault::Undecodable)?;
    Ok((entry, hash))
}

/// Decodes canonical bytes within a limit of bytes and of nesting.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], bytes_max: usize) -> Option<T> {
    if bytes.len() > bytes_max {
        return None;
    }
    bcs::from_bytes_with_limit(bytes, NESTING_MAX).ok()
}

/// The canonical bytes of a value, if they are within the limits and can be decoded.
///
/// What passes here can be read back at the next start; nothing else may enter the journal.
pub(crate) fn encode<T: Serialize + DeserializeOwned>(value: &T, bytes_max: usize) -> Option<Vec<u8>> {
    let bytes = canonical::to_bytes(value);
    decode::<T>(&bytes, bytes_max).map(|_| bytes)
}

const ENTRY_TAG: &str = "symphony/journal-entry/v1";
const NESTING_MAX: usize = 64;
