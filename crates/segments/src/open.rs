//! A segment whose footer and indexes are decrypted, and what reads sealed bytes for it.
//!
//! Pure over bytes: where they come from is a port, so that a store, a host that an enclave asks, and a test read alike.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::encryption::decrypt::FileDecryptionProperties;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, VaultId};

use crate::error::SegmentError;
use crate::schema::SegmentSchema;
use crate::segment::{Part, SegmentId, SegmentKey};

/// The port to whoever has the files of segments. What it gives is authenticated where it is opened.
pub trait Ranges: Send + Sync {
    /// These places of a segment's file, one answer each, in the order asked.
    ///
    /// **Errors**: [`SegmentError::Missing`], or that whoever has them failed.
    fn ranges(&self, segment: &SegmentId, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SegmentError>;
}

/// A segment whose footer and indexes are decrypted. Its key lies in it.
#[derive(Clone)]
pub struct OpenSegment {
    id: SegmentId,
    #[cfg(feature = "plans")]
    bytes: u64,
    arrow: ArrowReaderMetadata,
}

impl OpenSegment {
    /// Opens a segment of `vault` of `bytes` by the end of its file, which has at least the frame.
    ///
    /// **Errors**: [`SegmentError::Corrupt`] of its frame when that is not what was written under this key,
    /// [`SegmentError::Schema`] when it has other columns.
    pub fn new(
        vault: &VaultId,
        id: SegmentId,
        key: &SegmentKey,
        schema: &SegmentSchema,
        bytes: u64,
        end: &Bytes,
    ) -> Result<Self, SegmentError> {
        let corrupt = || SegmentError::Corrupt { segment: id, part: Part::Frame };
        let frame = |_: ParquetError| corrupt();
        check_tail(bytes, end).ok_or_else(corrupt)?;
        let opening = FileDecryptionProperties::builder(key.0.to_vec())
            .with_aad_prefix(id.additional_data(vault))
            .build()
            .map_err(frame)?;
        let mut reader = ParquetMetaDataReader::new()
            .with_page_index_policy(PageIndexPolicy::Required)
            .with_decryption_properties(Some(opening.clone()));
        // The decoder is handed bytes that are not yet authenticated; a panic over them is a finding like another.
        let decode = AssertUnwindSafe(|| {
            reader.try_parse_sized(end, bytes)?;
            reader.finish()
        });
        let metadata = catch_unwind(decode).map_err(|_| corrupt())?.map_err(frame)?;
        let options = ArrowReaderOptions::new()
            .with_page_index_policy(PageIndexPolicy::Required)
            .with_file_decryption_properties(opening);
        let arrow = ArrowReaderMetadata::try_new(Arc::new(metadata), options).map_err(frame)?;
        if !schema.allows(arrow.schema().fields()) {
            return Err(SegmentError::Schema("a segment of other columns"));
        }
        Ok(Self {
            id,
            #[cfg(feature = "plans")]
            bytes,
            arrow,
        })
    }

    /// The segment.
    pub fn id(&self) -> SegmentId {
        self.id
    }

    /// The column of an attribute; `None` in a segment that was written before there was one.
    pub(crate) fn column(&self, attribute: &AttributeName) -> Option<usize> {
        self.arrow.schema().index_of(attribute.as_str()).ok()
    }

    /// The root over the commitments of its records that was written into it; `None` when none was.
    pub fn records(&self) -> Option<Digest> {
        let pairs = self.metadata().file_metadata().key_value_metadata()?;
        let text = pairs.iter().find(|pair| pair.key == RECORDS_KEY)?.value.as_deref()?;
        let mut root = [0; 32];
        hex::decode_to_slice(text, &mut root).ok()?;
        Some(Digest(root))
    }

    /// Length of the file.
    #[cfg(feature = "plans")]
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Footer and indexes.
    pub(crate) fn metadata(&self) -> &Arc<ParquetMetaData> {
        self.arrow.metadata()
    }

    /// Footer and indexes with the columns' types.
    pub(crate) fn arrow(&self) -> &ArrowReaderMetadata {
        &self.arrow
    }
}

/// The last eight bytes say how long the footer is and that it is sealed. The decoder believes the length.
fn check_tail(bytes: u64, end: &[u8]) -> Option<()> {
    let (_, tail) = end.split_last_chunk::<8>()?;
    let (length, mark) = tail.split_first_chunk::<4>()?;
    let within = u64::from(u32::from_le_bytes(*length)) <= bytes.checked_sub(tail.len() as u64)?;
    (mark == b"PARE" && within && end.len() as u64 <= bytes).then_some(())
}

/// Under which name the footer has the root over the records' commitments.
pub(crate) const RECORDS_KEY: &str = "symphony.records";
