//! The masters' ordered journal as others see it: an append-only Merkle tree whose head a majority of the masters vouches for, and
//! what shows that an entry is in it, and that it only grew (R031, R134, R191, R192).
//!
//! The tree is that of [`symphony_types::merkle`], as of the governance log; a leaf is the digest of an entry, which the entries'
//! own chain and the masters' votes bind too. A proof tells an entry's digest to everybody; its bytes are for those whom the
//! entry is about.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::id::EpochId;
use symphony_types::key::{Document, Endorsed, Master};
use symphony_types::merkle;
use symphony_types::time::OrderedMillis;

/// The journal in few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalHead {
    /// Digest of the governance that the network was founded with.
    pub foundation: Digest,
    /// The epoch whose end this is: it is over, and no later entry is of it or before. Nothing for a head on the way.
    pub epoch: Option<EpochId>,
    /// How many entries there are.
    pub height: u64,
    /// Ordered time of the last one; zero before the first.
    pub at: OrderedMillis,
    /// Root of the tree over all of them.
    pub root: Digest,
}

impl Document for JournalHead {
    const TAG: &'static str = "symphony/journal-head/v1";
}

/// A head that masters endorse.
pub type EndorsedJournal = Endorsed<JournalHead, Master>;

/// An entry, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Included {
    /// Its place, from one.
    pub height: u64,
    /// Its digest.
    pub digest: Digest,
    /// Its canonical bytes, where they are told.
    pub bytes: Option<Vec<u8>>,
    /// The audit path.
    pub path: Vec<Digest>,
}

/// A head from before, and what shows that the journal goes on from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// The head.
    pub head: EndorsedJournal,
    /// The path.
    pub path: Vec<Digest>,
}

/// What is shown of the journal with a head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalProof {
    /// The head.
    pub head: EndorsedJournal,
    /// An entry of it.
    pub entry: Option<Included>,
    /// A head that it goes on from.
    pub earlier: Option<Earlier>,
}

/// What an entry holds, as its canonical bytes say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Its place, from one.
    pub height: u64,
    /// Digest of the entry before.
    pub previous: Digest,
    /// Ordered time.
    pub at: OrderedMillis,
    /// Canonical bytes of the order.
    pub command: Vec<u8>,
    /// Canonical bytes of the list of events.
    pub events: Vec<u8>,
    /// Digest of the state after them; only the last entry of a durable write has one.
    pub state: Option<Digest>,
}

/// The digest of an entry out of its canonical bytes.
pub fn entry_digest(bytes: &[u8]) -> Digest {
    Digest::tagged("symphony/journal-entry/v1", bytes)
}

/// Whether an entry is in the journal with this head, and its bytes, where they are told, are that entry's.
pub fn includes(head: &JournalHead, entry: &Included) -> bool {
    let Some(index) = entry.height.checked_sub(1) else { return false };
    entry.bytes.as_ref().is_none_or(|bytes| entry_digest(bytes) == entry.digest)
        && merkle::verify_inclusion(head.root, merkle::leaf(&entry.digest.0), index, head.height, &entry.path)
}

/// Whether the journal of the first head is the beginning of that of the second.
pub fn extends(before: &JournalHead, after: &JournalHead, path: &[Digest]) -> bool {
    before.foundation == after.foundation
        && before.at <= after.at
        && merkle::verify_consistency(before.height, before.root, after.height, after.root, path)
}
