//! Reads an Arrow IPC stream from memory that an outsider wrote: nothing is allocated by a claimed length, and a
//! fault inside the decoder is an error, not the end of the process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamDecoder;
use arrow::record_batch::RecordBatch;

/// The bytes are not an Arrow IPC stream. Carries nothing of their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAStream;

/// A whole stream.
pub(crate) struct Stream {
    /// Its columns.
    pub(crate) schema: SchemaRef,
    /// Its batches, in place where they are aligned.
    pub(crate) batches: Vec<RecordBatch>,
}

/// Reads all batches. With `in_place` a stream whose columns would have to be copied is refused.
pub(crate) fn read(bytes: Buffer, in_place: bool) -> Result<Stream, NotAStream> {
    // The decoder indexes what a message describes; on a hostile message that may panic.
    catch_unwind(AssertUnwindSafe(|| decode(bytes, in_place))).unwrap_or(Err(NotAStream))
}

fn decode(mut bytes: Buffer, in_place: bool) -> Result<Stream, NotAStream> {
    let mut decoder = StreamDecoder::new().with_require_alignment(in_place);
    let mut batches = Vec::new();
    while !bytes.is_empty() {
        let before = bytes.len();
        match decoder.decode(&mut bytes) {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) if bytes.len() == before => return Err(NotAStream),
            Ok(None) => {}
            Err(_) => return Err(NotAStream),
        }
    }
    decoder.finish().map_err(|_| NotAStream)?;
    let schema = decoder.schema().ok_or(NotAStream)?;
    Ok(Stream { schema, batches })
}
