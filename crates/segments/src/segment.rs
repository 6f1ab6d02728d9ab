//! What a segment is called, what seals it, and what the catalogue knows of it.
//!
//! One segment is one Parquet file with modular encryption: footer, indexes and pages are AES-256-GCM under a key that no
//! other segment has. The additional data begins with the Vault and the segment, so that no file stands in for another.

use std::fmt;
use std::ops::Range;

#[cfg(feature = "store")]
use object_store::path::Path;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use symphony_types::time::RecordMillis;
use zeroize::Zeroize as _;

use crate::people::People;

/// The name of a segment: random, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SegmentId(pub [u8; 16]);

impl SegmentId {
    /// A fresh name.
    pub fn random() -> Self {
        Self(rand::rng().random())
    }

    /// Where the segment lies in its store.
    #[cfg(feature = "store")]
    pub fn path(&self) -> Path {
        Path::from(format!("segments/{self}.parquet"))
    }

    /// The segment that lies there; `None` when no segment does.
    #[cfg(feature = "store")]
    pub fn at(path: &Path) -> Option<Self> {
        let name = path.filename()?.strip_suffix(".parquet")?;
        let mut id = [0; 16];
        hex::decode_to_slice(name, &mut id).ok()?;
        Some(Self(id)).filter(|id| &id.path() == path)
    }

    /// What every sealed part of the file is bound to. Names have no zero byte, so no two pairs give the same bytes.
    pub(crate) fn additional_data(&self, vault: &VaultId) -> Vec<u8> {
        [vault.as_str().as_bytes(), &[0], &self.0].concat()
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The key of one segment. Wiped on drop.
#[derive(Clone)]
pub struct SegmentKey(pub [u8; 32]);

impl SegmentKey {
    /// A fresh key.
    pub fn random() -> Self {
        Self(rand::rng().random())
    }
}

impl Drop for SegmentKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The port to whoever unwraps keys. It is asked once a segment; the reader keeps the answer until it is told to forget.
pub trait KeySource: Send + Sync {
    /// The key of a segment; `None` when there is none or it was destroyed.
    fn key(&self, segment: &SegmentId) -> Option<SegmentKey>;
}

/// A place in a segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A column, by its name.
    Column(String),
    /// What stands around the columns: the footer, the indexes, the marks at both ends.
    Frame,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(name) => write!(f, "column {name}"),
            Self::Frame => f.write_str("its frame"),
        }
    }
}

/// What the catalogue knows of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentEntry {
    /// The segment.
    pub id: SegmentId,
    /// The schema that it was written under.
    pub schema_version: u32,
    /// How many records it has.
    pub rows: u64,
    /// The earliest and the latest time of its records; `None` when no record has one.
    pub times: Option<(RecordMillis, RecordMillis)>,
    /// Whose records it has.
    pub people: People,
    /// Length of the file. **Units**: bytes.
    pub bytes: u64,
    /// Where the frame begins that ends the file: indexes and the footer.
    pub frame_at: u64,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Merkle root over the commitments of its records, by person and by place among the person's; the file says the same.
    pub records: Digest,
    /// SHA-256 of what each column has in the file, in the order of columns: with them a check tells where bytes are wrong.
    pub columns: Vec<Digest>,
}

impl SegmentEntry {
    /// Where the frame lies in the file.
    pub fn frame(&self) -> Range<u64> {
        self.frame_at.min(self.bytes)..self.bytes
    }
}
