//! Which row groups of a snapshot a query reads, and how they are dealt out to cores.
//!
//! Rows of a segment are in order of time, so a window of time is a run of row groups, and in them a run of pages. Segments
//! and row groups outside are never read; neither are segments that have nobody who is permitted.

use std::ops::Range;
use std::sync::Arc;

use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use symphony_types::id::AttributeName;

use crate::open::OpenSegment;
#[cfg(feature = "store")]
use crate::segment::SegmentEntry;

/// Rows of one row group.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) segment: Arc<OpenSegment>,
    pub(crate) group: usize,
    /// Which rows of the row group may count.
    pub(crate) rows: Range<usize>,
}

/// The pieces of a segment that records of the window can lie in.
pub(crate) fn pieces_of(
    segment: &Arc<OpenSegment>,
    time: Option<&AttributeName>,
    window: Option<(u64, u64)>,
) -> Vec<Piece> {
    let groups = 0..segment.metadata().num_row_groups();
    let time = time.and_then(|time| segment.column(time));
    let pieces = groups.map(|group| {
        let rows = rows_within(segment.metadata(), group, time, window);
        Piece { segment: segment.clone(), group, rows }
    });
    pieces.filter(|piece| !piece.rows.is_empty()).collect()
}

/// Whether no record of a segment can lie in the window.
#[cfg(feature = "store")]
pub(crate) fn outside(entry: &SegmentEntry, window: Option<(u64, u64)>) -> bool {
    window.is_some_and(|(least, most)| match entry.times {
        Some((first, last)) => last.0 < least || first.0 > most,
        // No record has a time, so none lies in a window.
        None => true,
    })
}

/// Bytes that are read of some columns of a piece: whole pages, and a dictionary where there is one.
#[cfg(feature = "store")]
pub(crate) fn bytes_read(piece: &Piece, columns: &[usize]) -> u64 {
    let metadata = piece.segment.metadata();
    let pages = |column: usize| {
        metadata.offset_index()?.get(piece.group)?.get(column).map(|index| index.page_locations())
    };
    let of = |column: &usize| -> u64 {
        let chunk = metadata.row_group(piece.group).column(*column);
        let Some(pages) = pages(*column) else { return chunk.compressed_size().max(0) as u64 };
        let all: u64 = pages.iter().map(|page| page.compressed_page_size.max(0) as u64).sum();
        let ends = pages.iter().skip(1).map(|page| page.first_row_index as usize).chain([usize::MAX]);
        let read = pages.iter().zip(ends).filter(|(page, end)| {
            (page.first_row_index as usize) < piece.rows.end && *end > piece.rows.start
        });
        let read: u64 = read.map(|(page, _)| page.compressed_page_size.max(0) as u64).sum();
        (chunk.compressed_size().max(0) as u64).saturating_sub(all) + read
    };
    columns.iter().map(of).sum()
}

/// Deals pieces out so that each share has about as many rows.
pub(crate) fn shares(mut pieces: Vec<Piece>, cores: usize) -> Vec<Vec<Piece>> {
    let mut shares: Vec<(usize, Vec<Piece>)> = vec![(0, Vec::new()); cores.max(1).min(pieces.len())];
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.rows.len()));
    for piece in pieces {
        if let Some((rows, share)) = shares.iter_mut().min_by_key(|(rows, _)| *rows) {
            *rows += piece.rows.len();
            share.push(piece);
        }
    }
    shares.into_iter().map(|(_, share)| share).collect()
}

/// The rows of a row group whose page can have times of the window.
fn rows_within(
    metadata: &ParquetMetaData,
    group: usize,
    time: Option<usize>,
    window: Option<(u64, u64)>,
) -> Range<usize> {
    let rows = metadata.row_group(group).num_rows() as usize;
    let (Some((least, most)), Some(column)) = (window, time) else { return 0..rows };
    if let Some(Statistics::Int64(times)) = metadata.row_group(group).column(column).statistics()
        && let (Some(first), Some(last)) = (times.min_opt(), times.max_opt())
        && ((*last as u64) < least || (*first as u64) > most)
    {
        return 0..0;
    }
    let indexes = metadata.column_index().zip(metadata.offset_index());
    let index = indexes
        .and_then(|(columns, offsets)| columns.get(group)?.get(column).zip(offsets.get(group)?.get(column)));
    let Some((ColumnIndexMetaData::INT64(times), offsets)) = index else { return 0..rows };
    let starts: Vec<usize> =
        offsets.page_locations().iter().map(|page| page.first_row_index as usize).collect();
    let within = |page: &usize| match (times.min_value(*page), times.max_value(*page)) {
        (Some(first), Some(last)) => (*last as u64) >= least && (*first as u64) <= most,
        // A page without times has none of the window, whatever else it has.
        (None, _) | (_, None) => !times.is_null_page(*page),
    };
    let pages: Vec<usize> = (0..starts.len()).filter(within).collect();
    match (pages.first(), pages.last()) {
        (Some(first), Some(last)) => starts[*first]..starts.get(last + 1).copied().unwrap_or(rows),
        (None, _) | (_, None) => 0..0,
    }
}
