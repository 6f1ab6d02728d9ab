//! Segments as a Vault hands them to its enclave for one task: which, under which keys, and for whom; and what that commits to.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use zeroize::Zeroize as _;

use crate::error::SegmentError;
use crate::open::{OpenSegment, Ranges};
use crate::people::People;
use crate::schema::SegmentSchema;
use crate::segment::{SegmentEntry, SegmentId, SegmentKey};

/// What an enclave needs to know to answer over segments whose bytes it asks for. Secret: it has keys, and says who consents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handed {
    /// Their columns.
    pub schema: SegmentSchema,
    /// Whose records may be looked at.
    pub permitted: People,
    /// The segments, in ascending order.
    pub segments: Vec<HandedSegment>,
}

/// One segment and its key. Wiped on drop.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct HandedSegment {
    /// The segment.
    pub id: SegmentId,
    /// Length of its file. **Units**: bytes.
    pub bytes: u64,
    /// Where the frame begins that ends it.
    pub frame_at: u64,
    /// Its key.
    pub key: [u8; 32],
}

impl HandedSegment {
    /// A segment of the catalogue with its key.
    pub fn new(entry: &SegmentEntry, key: &SegmentKey) -> Self {
        Self { id: entry.id, bytes: entry.bytes, frame_at: entry.frame_at, key: key.0 }
    }

    /// Opens it by the end of its file, which is asked for.
    ///
    /// **Errors**: as [`OpenSegment::new`], or that the bytes were not given.
    pub fn open(
        &self,
        vault: &VaultId,
        schema: &SegmentSchema,
        files: &dyn Ranges,
    ) -> Result<OpenSegment, SegmentError> {
        let frame = self.frame_at.min(self.bytes)..self.bytes;
        let found = files.ranges(&self.id, std::slice::from_ref(&frame))?;
        let end: &Bytes = found.first().ok_or(SegmentError::Withheld(self.id))?;
        OpenSegment::new(vault, self.id, &SegmentKey(self.key), schema, self.bytes, end)
    }
}

impl Drop for HandedSegment {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl std::fmt::Debug for HandedSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "segment {}", self.id)
    }
}

/// What a slice over segments has for its input root: the root of the records that came beside them, each segment with the root
/// over its records' commitments, and who was permitted.
pub fn input_root(beside: Digest, segments: &[(SegmentId, Digest)], permitted: &People) -> Digest {
    Digest::of("symphony/slice-inputs/v1", &(beside, segments, permitted))
}
