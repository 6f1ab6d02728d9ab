//! The rows of the records for analysis (R076, R078): which segments uploaded records were written into, and what each slice over
//! segments read.
//!
//! Segments are made from records and can be made again; records are the truth. A record that came of a document is in no
//! segment, because it goes with its document's key (D12).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use symphony_segments::catalogue::{Catalogue, CatalogueError, CatalogueVersion};
use symphony_segments::people::People;
use symphony_segments::schema::SegmentSchema;
use symphony_segments::segment::{SegmentEntry, SegmentId};
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, TaskId};
use symphony_types::merkle::{self, Frontier};
use symphony_types::time::OrderedMillis;

use super::reading::Derived;
use super::{View, put};
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
    kept: BTreeMap<SegmentId, Kept>,
}

/// A segment whose file is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    /// Where its wrapped key is.
    slot: u32,
    /// Which arrivals it has.
    arrivals: Range<u64>,
}

impl Segmented {
    /// No segment yet.
    pub fn new(schema: SegmentSchema) -> Self {
        Self { schema, catalogue: Catalogue::new(), through: BTreeMap::new(), kept: BTreeMap::new() }
    }

    /// How many arrivals are in segments of this version.
    pub fn through(&self, version: CatalogueVersion) -> u64 {
        self.through.range(..=version).next_back().map_or(0, |(_, through)| *through)
    }

    /// With one more segment, which has the arrivals up to `through`. **Errors**: [`CatalogueError`].
    pub fn with(&self, entry: SegmentEntry, slot: u32, through: u64) -> Result<Self, CatalogueError> {
        let mut next = self.clone();
        let arrivals = self.through(self.catalogue.version())..through;
        next.kept.insert(entry.id, Kept { slot, arrivals });
        let version = next.catalogue.append(entry)?;
        next.through.insert(version, through);
        Ok(next)
    }

    /// The segments of the present version in the order in which their records arrived. **Errors**: [`CatalogueError`].
    pub fn in_order(&self) -> Result<Vec<Arc<SegmentEntry>>, CatalogueError> {
        let mut segments = self.catalogue.snapshot(self.catalogue.version())?.segments;
        segments.sort_by_key(|entry| self.arrivals(&entry.id).start);
        Ok(segments)
    }

    /// With one segment in the place of these neighbours, from a new version on. **Errors**: [`CatalogueError`].
    pub fn merged(
        &self,
        replaced: &[Arc<SegmentEntry>],
        entry: SegmentEntry,
        slot: u32,
    ) -> Result<Self, CatalogueError> {
        let mut next = self.clone();
        let arrivals = |entry: &Arc<SegmentEntry>| self.arrivals(&entry.id);
        let start = replaced.iter().map(|entry| arrivals(entry).start).min().unwrap_or(0);
        let end = replaced.iter().map(|entry| arrivals(entry).end).max().unwrap_or(0);
        next.kept.insert(entry.id, Kept { slot, arrivals: start..end });
        let replaced: Vec<SegmentId> = replaced.iter().map(|entry| entry.id).collect();
        let version = next.catalogue.compact(&replaced, entry)?;
        next.through.insert(version, self.through(self.catalogue.version()));
        Ok(next)
    }

    /// With the present version and of the others these alone; also the segments that no version has then, with the slots of their
    /// keys. `None` when nothing changes.
    pub fn retaining(&self, versions: &BTreeSet<CatalogueVersion>) -> Option<(Self, Vec<(SegmentId, u32)>)> {
        let present = self.catalogue.version();
        let wanted = |version: CatalogueVersion| version == present || versions.contains(&version);
        if self.catalogue.versions().all(wanted) {
            return None;
        }
        let mut next = self.clone();
        let gone = next.catalogue.retain(versions);
        // A version that only hid or rewrote rows has as many as the one before, which may go.
        next.through = next.catalogue.versions().map(|version| (version, self.through(version))).collect();
        let gone = gone.iter().filter_map(|entry| Some((entry.id, next.kept.remove(&entry.id)?.slot)));
        let gone = gone.collect();
        Some((next, gone))
    }

    /// Which arrivals a segment has.
    pub fn arrivals(&self, segment: &SegmentId) -> Range<u64> {
        self.kept.get(segment).map_or(0..0, |kept| kept.arrivals.clone())
    }

    /// As if arrivals up to `through` were in segments, none of which is to be read.
    pub fn passing(&self, through: u64) -> Self {
        let mut next = self.clone();
        next.through.insert(next.catalogue.version(), through);
        next
    }

    /// Without these people in any version. **Errors**: [`CatalogueError`].
    pub fn without(&self, people: People) -> Result<Self, CatalogueError> {
        let mut next = self.clone();
        next.catalogue.erase(people)?;
        Ok(next)
    }

    /// With a segment, and the slot of its key, in the place of one whose erased people it does not have; `None` when nobody is left.
    /// **Errors**: [`CatalogueError`].
    pub fn rewritten(
        &self,
        replaced: &SegmentId,
        entry: Option<(SegmentEntry, u32)>,
        destroyed: &BTreeMap<CatalogueVersion, u64>,
    ) -> Result<Self, CatalogueError> {
        let mut next = self.clone();
        let arrivals = self.arrivals(replaced);
        next.kept.remove(replaced);
        let entry = entry.map(|(entry, slot)| {
            next.kept.insert(entry.id, Kept { slot, arrivals });
            entry
        });
        next.catalogue.rewrite(replaced, entry, destroyed)?;
        Ok(next)
    }

    /// Segments with records that arrived before this one, and the slots of their keys.
    pub fn before(&self, arrival: u64) -> Vec<(SegmentId, u32)> {
        let early = self.kept.iter().filter(|(_, kept)| kept.arrivals.start < arrival);
        early.map(|(segment, kept)| (*segment, kept.slot)).collect()
    }

    /// With segments, and the slots of their keys, in the place of those that have records which end; `None` when no record is left.
    /// **Errors**: [`CatalogueError`].
    pub fn ended(
        &self,
        replaced: Vec<(SegmentId, Option<(SegmentEntry, u32)>)>,
    ) -> Result<Self, CatalogueError> {
        let mut next = self.clone();
        for (replaced, entry) in &replaced {
            let arrivals = self.arrivals(replaced);
            next.kept.remove(replaced);
            if let Some((entry, slot)) = entry {
                next.kept.insert(entry.id, Kept { slot: *slot, arrivals });
            }
        }
        let entries = replaced.into_iter().map(|(id, entry)| (id, entry.map(|(entry, _)| entry)));
        next.catalogue.end(entries.collect())?;
        Ok(next)
    }

    /// The slot of a segment's key.
    pub fn slot(&self, segment: &SegmentId) -> Option<u32> {
        self.kept.get(segment).map(|kept| kept.slot)
    }

    /// All segments and the slots of their keys.
    pub fn slots(&self) -> impl Iterator<Item = (&SegmentId, u32)> {
        self.kept.iter().map(|(id, kept)| (id, kept.slot))
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
    /// Whether one of them is enough.
    pub partial: bool,
    /// Until when the task may be computed.
    pub until: OrderedMillis,
    /// Epochs that were closed before.
    pub closed: u64,
    /// Whether what it used of segments is counted already.
    pub counted: bool,
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

/// Takes away what slices read, once that is counted. **Errors**: storage.
pub fn remove_marks(transaction: &WriteTransaction, tasks: &[TaskId]) -> Result<(), redb::Error> {
    let mut marks = transaction.open_table(MARKS)?;
    for task in tasks {
        marks.remove(task.0.0)?;
    }
    Ok(())
}

/// Makes the tables. **Errors**: storage.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(SEGMENTED)?;
    transaction.open_table(MARKS)?;
    Ok(())
}

impl View {
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
        let table = self.transaction.open_table(SEGMENTED).map_err(redb::Error::from)?;
        let Some(row) = table.get(()).map_err(redb::Error::from)? else { return Ok(None) };
        let read = bcs::from_bytes(row.value()).map(Some);
        read.map_err(|error| Problem::fault("the catalogue of segments is damaged", error))
    }

    /// What all slices read that are not counted yet. **Errors**: storage.
    pub fn marks(&self) -> Result<Vec<(TaskId, Mark)>, Problem> {
        let table = self.transaction.open_table(MARKS).map_err(redb::Error::from)?;
        let mut marks = Vec::new();
        for row in table.iter().map_err(redb::Error::from)? {
            let (task, mark) = row.map_err(redb::Error::from)?;
            let mark = bcs::from_bytes(mark.value());
            let mark = mark.map_err(|error| Problem::fault("a stored row is damaged", error))?;
            marks.push((TaskId(Digest(task.value())), mark));
        }
        Ok(marks)
    }

    /// The root over the commitments of the records at these places, which ascend; nothing is opened. `proceed` is asked now and
    /// then whether to go on. **Errors**: storage, a record that is not there, or nobody wants it any more.
    pub fn commitments_root(
        &self,
        places: &[(u32, u32)],
        proceed: impl Fn() -> bool,
    ) -> Result<Digest, Problem> {
        let log = self.log()?;
        let mut leaves = Frontier::default();
        for places in places.chunks(PROCEED_EVERY) {
            if !proceed() {
                return Err(Problem::refused(Code::Unavailable, "the vault is closing"));
            }
            for commitment in log.commitments(places)? {
                leaves.push(merkle::leaf(&commitment.0.0));
            }
        }
        Ok(leaves.root())
    }

    /// What a slice read; `None` when its task is counted. **Errors**: storage.
    pub fn mark(&self, task: &TaskId) -> Result<Option<Mark>, Problem> {
        self.get(MARKS, task.0)
    }
}

/// Records between two looks at whether to go on.
const PROCEED_EVERY: usize = 1 << 14;
const SEGMENTED: TableDefinition<'static, (), &'static [u8]> = TableDefinition::new("vault/segmented/2");
const MARKS: super::Rows = TableDefinition::new("vault/slice-marks/3");
