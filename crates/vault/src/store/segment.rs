//! The rows of the records for analysis (R076, R078): in which order records arrived, which segments they were written into, and
//! what each slice over segments read.
//!
//! Segments are made from records and can be made again; records are the truth. A record that came of a document is in no
//! segment, because it goes with its document's key (D12).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use symphony_segments::catalogue::{Catalogue, CatalogueError, CatalogueVersion};
use symphony_segments::schema::SegmentSchema;
use symphony_segments::segment::{SegmentEntry, SegmentId};
use symphony_types::canonical;
use symphony_types::id::{AttributeName, TaskId};

use super::reading::Derived;
use super::{RecordRow, View, put, put_records};
use crate::problem::Problem;

/// What is known of a Vault's segments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segmented {
    /// Their columns.
    pub schema: SegmentSchema,
    /// Which make up each version.
    pub catalogue: Catalogue,
    /// How many arrivals the segments of a version have.
    through: BTreeMap<CatalogueVersion, u64>,
    /// Where each segment's wrapped key is.
    slots: BTreeMap<SegmentId, u32>,
}

impl Segmented {
    /// No segment yet.
    pub fn new(schema: SegmentSchema) -> Self {
        Self { schema, catalogue: Catalogue::new(), through: BTreeMap::new(), slots: BTreeMap::new() }
    }

    /// How many arrivals are in segments of this version.
    pub fn through(&self, version: CatalogueVersion) -> u64 {
        self.through.range(..=version).next_back().map_or(0, |(_, through)| *through)
    }

    /// With one more segment, which has the arrivals up to `through`. **Errors**: [`CatalogueError`].
    pub fn with(&self, entry: SegmentEntry, slot: u32, through: u64) -> Result<Self, CatalogueError> {
        let mut next = self.clone();
        next.slots.insert(entry.id, slot);
        let version = next.catalogue.append(entry)?;
        next.through.insert(version, through);
        Ok(next)
    }

    /// The slot of a segment's key.
    pub fn slot(&self, segment: &SegmentId) -> Option<u32> {
        self.slots.get(segment).copied()
    }

    /// All segments and the slots of their keys.
    pub fn slots(&self) -> impl Iterator<Item = (&SegmentId, &u32)> {
        self.slots.iter()
    }
}

/// What a slice read: the segments of a version, and beside them the arrivals up to a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The version.
    pub version: CatalogueVersion,
    /// One more than the last arrival.
    pub arrivals: u64,
    /// The attributes that a record must have to count as used.
    pub attributes: BTreeSet<AttributeName>,
}

/// Uploaded records, in the order that they arrive. **Errors**: storage.
pub fn put_uploaded(transaction: &WriteTransaction, rows: &[RecordRow]) -> Result<(), redb::Error> {
    let mut arrivals = transaction.open_table(ARRIVALS)?;
    let next = arrivals.last()?.map_or(0, |(last, _)| last.value() + 1);
    for (arrival, row) in (next..).zip(rows) {
        arrivals.insert(arrival, (row.subject.0, row.sequence))?;
    }
    put_records(transaction, rows)
}

/// What is known of segments, in place of what was. **Errors**: storage.
pub fn put_segmented(transaction: &WriteTransaction, segmented: &Segmented) -> Result<(), redb::Error> {
    transaction.open_table(SEGMENTED)?.insert((), canonical::to_bytes(segmented).as_slice())?;
    Ok(())
}

/// What a slice read. **Errors**: storage.
pub fn put_mark(transaction: &WriteTransaction, task: &TaskId, mark: &Mark) -> Result<(), redb::Error> {
    put(transaction, MARKS, task.0, mark)
}

/// Makes the tables. **Errors**: storage.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(ARRIVALS)?;
    transaction.open_table(SEGMENTED)?;
    transaction.open_table(MARKS)?;
    Ok(())
}

impl View {
    /// How many records have arrived. **Errors**: storage.
    pub fn arrivals(&self) -> Result<u64, Problem> {
        let table = self.0.open_table(ARRIVALS).map_err(redb::Error::from)?;
        let last = table.last().map_err(redb::Error::from)?;
        Ok(last.map_or(0, |(last, _)| last.value() + 1))
    }

    /// Where the records of these arrivals are, in ascending order. **Errors**: storage.
    pub fn arrived(&self, arrivals: Range<u64>) -> Result<Vec<(u32, u32)>, Problem> {
        let table = self.0.open_table(ARRIVALS).map_err(redb::Error::from)?;
        let mut places = Vec::new();
        if arrivals.is_empty() {
            return Ok(places);
        }
        for row in table.range(arrivals).map_err(redb::Error::from)? {
            places.push(row.map_err(redb::Error::from)?.1.value());
        }
        places.sort_unstable();
        Ok(places)
    }

    /// Where the records are that a slice reads beside segments, in ascending order: late arrivals, and whatever came of documents.
    /// **Errors**: storage.
    pub fn beside(&self, segmented: &Segmented, mark: &Mark) -> Result<Vec<(u32, u32)>, Problem> {
        let mut places = self.arrived(segmented.through(mark.version)..mark.arrivals)?;
        places.extend(Derived::open(self)?.places()?);
        places.sort_unstable();
        Ok(places)
    }

    /// What is known of segments; `None` before the first. **Errors**: storage.
    pub fn segmented(&self) -> Result<Option<Segmented>, Problem> {
        let table = self.0.open_table(SEGMENTED).map_err(redb::Error::from)?;
        let Some(row) = table.get(()).map_err(redb::Error::from)? else { return Ok(None) };
        let read = bcs::from_bytes(row.value()).map(Some);
        read.map_err(|error| Problem::fault("the catalogue of segments is damaged", error))
    }

    /// What a slice read; `None` for a task that read no segments. **Errors**: storage.
    pub fn mark(&self, task: &TaskId) -> Result<Option<Mark>, Problem> {
        self.get(MARKS, task.0)
    }
}

const ARRIVALS: TableDefinition<'static, u64, (u32, u32)> = TableDefinition::new("vault/arrivals");
const SEGMENTED: TableDefinition<'static, (), &'static [u8]> = TableDefinition::new("vault/segmented");
const MARKS: super::Rows = TableDefinition::new("vault/slice-marks");
