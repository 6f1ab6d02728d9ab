//! What can go wrong with segments, and which catalogued refusal each is (R210).

#[cfg(feature = "store")]
use object_store::Error as StoreError;
use parquet::errors::ParquetError;
use symphony_types::catalogue::Code;
use symphony_types::id::AttributeName;

use crate::segment::{Part, SegmentId};

/// A segment could not be written, read or found whole.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The schema names what no segment may hold.
    #[error("the schema of segments is refused: {0}")]
    Schema(&'static str),
    /// A batch does not have the schema's columns.
    #[error("a batch does not fit the schema: {0}")]
    Batch(&'static str),
    /// A text is longer than a record may hold.
    #[error("a text of {0} is too long")]
    Text(AttributeName),
    /// Rows came out of order, or one came twice.
    #[error("rows are not in ascending order of time, person and sequence")]
    Order,
    /// A limit of this crate.
    #[error("there are too many {0}")]
    TooMany(&'static str),
    /// The key of a segment is missing or destroyed.
    #[error("the key of segment {0} is missing or destroyed")]
    Key(SegmentId),
    /// The store holds no such segment.
    #[error("segment {0} is not in the store")]
    Missing(SegmentId),
    /// Bytes of a segment are not those that were written.
    #[error("segment {segment} is corrupt in {part}")]
    Corrupt {
        /// The segment.
        segment: SegmentId,
        /// Where in it.
        part: Part,
    },
    /// The store failed.
    #[cfg(feature = "store")]
    #[error("the store of segments failed")]
    Store(#[source] StoreError),
    /// Whoever has the files did not give what was asked for.
    #[error("bytes of segment {0} were not given")]
    Withheld(SegmentId),
    /// Whoever asked for it wants it no more.
    #[error("the work was given up")]
    Stopped,
    /// Columns could not be encoded.
    #[error("encoding columns")]
    Encode(#[source] ParquetError),
}

impl SegmentError {
    /// The refusal that a caller sees.
    pub fn code(&self) -> Code {
        match self {
            Self::Corrupt { .. } | Self::Missing(_) => Code::Internal,
            Self::Key(_) => Code::DocumentErased,
            Self::Schema(_) | Self::Batch(_) | Self::Text(_) | Self::Order => Code::RecordInvalid,
            Self::TooMany(_) => Code::VaultFull,
            #[cfg(feature = "store")]
            Self::Store(_) => Code::SegmentsUnavailable,
            Self::Withheld(_) | Self::Stopped | Self::Encode(_) => Code::VaultUnavailable,
        }
    }
}
