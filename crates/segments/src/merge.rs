//! Rows of several segments, each in order, in the order of all: how neighbours become one segment.
//!
//! Rows are moved as columns, and at most a batch of each segment and one of what is written are in memory. Nobody's record is
//! opened.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{Array as _, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::interleave_record_batch;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use crate::error::SegmentError;
use crate::limits::ROW_GROUP_ROWS;
use crate::people::People;
use crate::reader::Segments;
use crate::schema::SegmentSchema;
use crate::segment::SegmentEntry;
use crate::writer::{RowKey, SegmentWriter, keys_of};

/// Where a record is: its person, and its place among the person's.
pub type Place = (u32, u32);

/// Writes the rows of some segments in order, without those of `hidden` people, and gives the places of what was written, in
/// the order of rows. `proceed` is asked between batches whether to go on.
///
/// **Errors**: a segment is damaged or not there, a record is in two of them, [`SegmentError::Stopped`], or as
/// [`SegmentWriter::write`].
pub async fn merge(
    segments: &Segments,
    sources: &[Arc<SegmentEntry>],
    hidden: &People,
    writer: &mut SegmentWriter,
    proceed: impl Fn() -> bool,
) -> Result<Vec<Place>, SegmentError> {
    let schema = segments.schema();
    let columns: Vec<usize> = (0..schema.arrow().fields().len()).collect();
    let (mut waiting, mut cursors) = (BinaryHeap::new(), Vec::with_capacity(sources.len()));
    for entry in sources {
        let batches = segments.records(entry, &columns, SOURCE_ROWS).await?;
        cursors.push(Cursor { batches, batch: usize::MAX, row: 0, keys: None });
    }
    let mut taken = Taken { schema: &schema, batches: Vec::new(), rows: Vec::new() };
    for (source, cursor) in cursors.iter_mut().enumerate() {
        if let Some(key) = cursor.advance(&mut taken).await? {
            waiting.push(Reverse((key, source)));
        }
    }
    let mut places = Vec::new();
    while let Some(Reverse((key, source))) = waiting.pop() {
        let cursor = &mut cursors[source];
        let (_, person, sequence) = key;
        if !hidden.contains(person) {
            taken.rows.push((cursor.batch, cursor.row));
            places.push((person, sequence));
        }
        cursor.row += 1;
        let next = match cursor.key() {
            Some(key) => Some(key),
            None => cursor.advance(&mut taken).await?,
        };
        if let Some(key) = next {
            waiting.push(Reverse((key, source)));
        }
        if taken.rows.len() == ROW_GROUP_ROWS {
            if !proceed() {
                return Err(SegmentError::Stopped);
            }
            writer.write(&taken.interleaved()?).await?;
            taken.forget(&mut cursors);
        }
    }
    if !taken.rows.is_empty() {
        writer.write(&taken.interleaved()?).await?;
    }
    Ok(places)
}

/// A segment that is read.
struct Cursor {
    batches: BoxStream<'static, Result<RecordBatch, SegmentError>>,
    /// Its present batch among those that are held.
    batch: usize,
    row: usize,
    /// Whose the rows of the present batch are, and when.
    keys: Option<(UInt32Array, UInt32Array, Option<UInt64Array>)>,
}

impl Cursor {
    /// By what the present row is ordered; `None` after the last one of the batch.
    fn key(&self) -> Option<RowKey> {
        let (people, sequences, times) = self.keys.as_ref()?;
        let person = people.values().get(self.row)?;
        let time = times.as_ref().filter(|times| times.is_valid(self.row)).map(|times| times.value(self.row));
        Some((time, *person, sequences.value(self.row)))
    }

    /// Goes to the next batch that has rows; gives the key of its first row, or `None` when there is none.
    async fn advance(&mut self, taken: &mut Taken<'_>) -> Result<Option<RowKey>, SegmentError> {
        while let Some(batch) = self.batches.next().await {
            let batch = batch?;
            let (people, sequences, times) = keys_of(taken.schema, &batch);
            self.keys = Some((people.clone(), sequences.clone(), times.cloned()));
            (self.batch, self.row) = (taken.batches.len(), 0);
            if let Some(key) = self.key() {
                taken.batches.push(batch);
                return Ok(Some(key));
            }
        }
        (self.batch, self.keys) = (usize::MAX, None);
        Ok(None)
    }
}

/// Rows that were taken since the last batch was written, and the batches that they are of.
struct Taken<'a> {
    schema: &'a SegmentSchema,
    batches: Vec<RecordBatch>,
    rows: Vec<(usize, usize)>,
}

impl Taken<'_> {
    fn interleaved(&self) -> Result<RecordBatch, SegmentError> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        interleave_record_batch(&batches, &self.rows)
            .map_err(|_| SegmentError::Batch("rows of several segments"))
    }

    /// Lets go of all batches but those that are still read.
    fn forget(&mut self, cursors: &mut [Cursor]) {
        self.rows.clear();
        let held = std::mem::take(&mut self.batches);
        for cursor in cursors {
            if let Some(batch) = held.get(cursor.batch) {
                cursor.batch = self.batches.len();
                self.batches.push(batch.clone());
            }
        }
    }
}

/// Rows of one segment that are decrypted at a time.
const SOURCE_ROWS: usize = 16 << 10;
