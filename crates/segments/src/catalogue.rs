//! Which segments and which erasures make up each version of a Vault's records.
//!
//! Pure: it moves no byte, it says which bytes count. Every change makes a new version. A snapshot of a version lists exactly
//! what that version had, so that a replay reads the rows that were read the first time; people erased since are hidden in
//! every version at once, and the snapshot says how many they are. Rewriting a segment without them destroys their rows in
//! all versions: the old file and its key go for good.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::{SEGMENTS_MAX, VERSIONS_MAX};
use crate::people::People;
use crate::segment::{SegmentEntry, SegmentId};

/// The version of a catalogue; the empty one has zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CatalogueVersion(pub u64);

/// A change that the catalogue does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// The segment is known already.
    #[error("segment {0} is in the catalogue already")]
    Known(SegmentId),
    /// The segment is not in the present version.
    #[error("segment {0} is not in the catalogue")]
    Unknown(SegmentId),
    /// The new segment does not have the rows of those that it replaces without the erased ones.
    #[error("segment {0} does not have the rows of those that it replaces")]
    Rows(SegmentId),
    /// There is no such version, or it was released.
    #[error("version {} is not kept", .0.0)]
    Version(CatalogueVersion),
    /// A limit.
    #[error("there are too many {0}")]
    TooMany(&'static str),
}

/// All versions of a Vault's records that are kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    current: CatalogueVersion,
    /// This one is kept and all that came after it; of older ones those of `kept`, the others were released.
    oldest: CatalogueVersion,
    kept: BTreeSet<CatalogueVersion>,
    segments: BTreeMap<SegmentId, Held>,
    /// Who was erased, by the version that the erasure made.
    erasures: BTreeMap<CatalogueVersion, People>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Held {
    entry: Arc<SegmentEntry>,
    /// The version that it came with.
    since: CatalogueVersion,
    /// The version that it went with.
    until: Option<CatalogueVersion>,
    /// Rows that rewriting took out of it, by the version of the erasure that they fell to.
    destroyed: BTreeMap<CatalogueVersion, u64>,
}

/// One version as it is read now.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The version.
    pub version: CatalogueVersion,
    /// The segments, by id.
    pub segments: Vec<Arc<SegmentEntry>>,
    /// Who was erased when the version was made; their rows were not read then either.
    pub hidden: People,
    /// Who was erased since: their rows were read then and never are again.
    pub erased: People,
    /// Rows of people erased since that are destroyed already. What is not is still counted by [`crate::engine::Engine::erased_rows`].
    pub destroyed_rows: u64,
}

impl Snapshot {
    /// Everybody whose rows must not be read.
    pub fn unreadable(&self) -> People {
        let mut people = self.hidden.clone();
        people.extend(&self.erased);
        people
    }
}

impl Catalogue {
    /// No segment.
    pub fn new() -> Self {
        Self::default()
    }

    /// The present version.
    pub fn version(&self) -> CatalogueVersion {
        self.current
    }

    /// The versions that can be read, in ascending order.
    pub fn versions(&self) -> impl Iterator<Item = CatalogueVersion> {
        let later = (self.oldest.0..=self.current.0).map(CatalogueVersion);
        self.kept.iter().copied().chain(later)
    }

    /// Whether a version can be read.
    pub fn keeps(&self, version: CatalogueVersion) -> bool {
        (self.oldest..=self.current).contains(&version) || self.kept.contains(&version)
    }

    /// Adds a segment.
    ///
    /// **Errors**: [`CatalogueError::Known`], [`CatalogueError::TooMany`]; then nothing has changed.
    pub fn append(&mut self, entry: SegmentEntry) -> Result<CatalogueVersion, CatalogueError> {
        self.fresh(&entry)?;
        self.room(1)?;
        let since = self.next();
        self.hold(entry, since, BTreeMap::new());
        Ok(since)
    }

    /// Puts one segment in the place of several, from a new version on. It has their rows without those of erased people; older
    /// versions keep what they had until they are released.
    ///
    /// **Errors**: [`CatalogueError`]; then nothing has changed.
    pub fn compact(
        &mut self,
        replaced: &[SegmentId],
        entry: SegmentEntry,
    ) -> Result<CatalogueVersion, CatalogueError> {
        self.fresh(&entry)?;
        self.room(1)?;
        let mut rows = 0;
        for (index, id) in replaced.iter().enumerate() {
            if replaced[..index].contains(id) {
                return Err(CatalogueError::Unknown(*id));
            }
            rows += self.live(id)?.entry.rows;
        }
        let erased = self.erased(|_| true);
        if entry.people.meets(&erased) || entry.rows > rows {
            return Err(CatalogueError::Rows(entry.id));
        }
        let touched = replaced.iter().any(|id| self.segments[id].entry.people.meets(&erased));
        if !touched && entry.rows != rows {
            return Err(CatalogueError::Rows(entry.id));
        }
        let since = self.next();
        for id in replaced {
            if let Some(held) = self.segments.get_mut(id) {
                held.until = Some(since);
            }
        }
        self.hold(entry, since, BTreeMap::new());
        Ok(since)
    }

    /// Hides people in every version at once.
    ///
    /// **Errors**: [`CatalogueError::TooMany`].
    pub fn erase(&mut self, people: People) -> Result<CatalogueVersion, CatalogueError> {
        self.room(0)?;
        let version = self.next();
        let fresh = people.without(&self.erased(|_| true));
        self.erasures.insert(version, fresh);
        Ok(version)
    }

    /// Segments, also those that only older versions have, with rows of erased people: what is to be rewritten.
    pub fn to_rewrite(&self) -> Vec<Arc<SegmentEntry>> {
        let erased = self.erased(|_| true);
        let meets = |held: &&Held| held.entry.people.meets(&erased);
        self.segments.values().filter(meets).map(|held| held.entry.clone()).collect()
    }

    /// Who has rows in a segment that a rewrite must leave out, with the version of each erasure.
    pub fn erased_in(&self, segment: &SegmentId) -> Vec<(CatalogueVersion, People)> {
        let Some(held) = self.segments.get(segment) else { return Vec::new() };
        let meets = |people: &&People| people.meets(&held.entry.people);
        self.erasures
            .iter()
            .filter(|(_, people)| meets(people))
            .map(|(version, people)| (*version, people.clone()))
            .collect()
    }

    /// Puts a segment without the rows of erased people in the place of one that has them, in every version that has it.
    /// `destroyed` says how many rows fell to the erasure of each version. `entry` is `None` when no row is left.
    ///
    /// The caller then destroys the old file and its key.
    ///
    /// **Errors**: [`CatalogueError`]; then nothing has changed.
    pub fn rewrite(
        &mut self,
        replaced: &SegmentId,
        entry: Option<SegmentEntry>,
        destroyed: &BTreeMap<CatalogueVersion, u64>,
    ) -> Result<CatalogueVersion, CatalogueError> {
        let held = self.segments.get(replaced).ok_or(CatalogueError::Unknown(*replaced))?;
        entry.iter().try_for_each(|entry| self.fresh(entry))?;
        self.room(0)?;
        let mut lost = held.destroyed.clone();
        let mut rows = 0_u64;
        for (version, count) in destroyed {
            if !self.erasures.contains_key(version) {
                return Err(CatalogueError::Version(*version));
            }
            *lost.entry(*version).or_default() += count;
            rows = rows.saturating_add(*count);
        }
        let left = entry.as_ref().map_or(0, |entry| entry.rows);
        let erased = self.erased(|_| true);
        let clean = entry.as_ref().is_none_or(|entry| !entry.people.meets(&erased));
        if !clean || left.checked_add(rows) != Some(held.entry.rows) {
            return Err(CatalogueError::Rows(*replaced));
        }
        let version = self.next();
        let Some(held) = self.segments.remove(replaced) else {
            return Err(CatalogueError::Unknown(*replaced));
        };
        // A segment of no rows stays as the note of what was destroyed, for as long as an earlier version had it.
        let until = if entry.is_some() { held.until } else { held.until.or(Some(version)) };
        let entry = entry.unwrap_or_else(|| emptied(&held.entry));
        let held = Held { entry: Arc::new(entry), destroyed: lost, until, ..held };
        self.segments.insert(held.entry.id, held);
        Ok(version)
    }

    /// Puts segments without rows that have ended, whoever they are of, in the place of those that have them, in every version that has
    /// those. An entry is `None` when no row is left.
    ///
    /// The caller then destroys the old files and their keys.
    ///
    /// **Errors**: [`CatalogueError`]; then what is left of the catalogue is not to be used.
    pub fn end(
        &mut self,
        replaced: Vec<(SegmentId, Option<SegmentEntry>)>,
    ) -> Result<CatalogueVersion, CatalogueError> {
        let version = self.erase(People::new())?;
        for (id, entry) in replaced {
            let held = self.segments.get(&id).ok_or(CatalogueError::Unknown(id))?;
            let left = entry.as_ref().map_or(0, |entry| entry.rows);
            let ended = held.entry.rows.checked_sub(left).ok_or(CatalogueError::Rows(id))?;
            self.rewrite(&id, entry, &[(version, ended)].into())?;
        }
        Ok(version)
    }

    /// One version as it is read now.
    ///
    /// **Errors**: [`CatalogueError::Version`] when it is still to come or was released.
    pub fn snapshot(&self, version: CatalogueVersion) -> Result<Snapshot, CatalogueError> {
        if !self.keeps(version) {
            return Err(CatalogueError::Version(version));
        }
        let held: Vec<&Held> = self.segments.values().filter(|held| held.is_of(version)).collect();
        let later = held.iter().flat_map(|held| &held.destroyed).filter(|(erasure, _)| **erasure > version);
        Ok(Snapshot {
            version,
            destroyed_rows: later.map(|(_, rows)| rows).sum(),
            segments: held.iter().map(|held| held.entry.clone()).filter(|entry| entry.rows > 0).collect(),
            hidden: self.erased(|erasure| erasure <= version),
            erased: self.erased(|erasure| erasure > version),
        })
    }

    /// Keeps the present version and of the others these alone. Gives the segments that no version has any more: the caller
    /// destroys them.
    pub fn retain(&mut self, versions: &BTreeSet<CatalogueVersion>) -> Vec<Arc<SegmentEntry>> {
        self.kept = self.versions().filter(|version| versions.contains(version)).collect();
        self.kept.remove(&self.current);
        self.oldest = self.current;
        let last = |held: &Held| self.kept.range(held.since..held.until?).next_back().copied();
        let gone = |held: &Held| held.until.is_some() && last(held).is_none();
        let ids: Vec<SegmentId> =
            self.segments.iter().filter(|(_, held)| gone(held)).map(|(id, _)| *id).collect();
        let entries = ids.iter().filter_map(|id| self.segments.remove(id)).map(|held| held.entry);
        entries.filter(|entry| entry.rows > 0).collect()
    }

    fn live(&self, id: &SegmentId) -> Result<&Held, CatalogueError> {
        let held = self.segments.get(id).filter(|held| held.until.is_none());
        held.ok_or(CatalogueError::Unknown(*id))
    }

    fn fresh(&self, entry: &SegmentEntry) -> Result<(), CatalogueError> {
        if self.segments.contains_key(&entry.id) { Err(CatalogueError::Known(entry.id)) } else { Ok(()) }
    }

    fn room(&self, segments: usize) -> Result<(), CatalogueError> {
        if self.segments.len() + segments > SEGMENTS_MAX {
            return Err(CatalogueError::TooMany("segments"));
        }
        if self.current.0 - self.oldest.0 + self.kept.len() as u64 >= VERSIONS_MAX as u64 {
            return Err(CatalogueError::TooMany("versions"));
        }
        Ok(())
    }

    fn next(&mut self) -> CatalogueVersion {
        self.current.0 += 1;
        self.current
    }

    fn hold(
        &mut self,
        entry: SegmentEntry,
        since: CatalogueVersion,
        destroyed: BTreeMap<CatalogueVersion, u64>,
    ) {
        self.segments.insert(entry.id, Held { entry: Arc::new(entry), since, until: None, destroyed });
    }

    fn erased(&self, of: impl Fn(CatalogueVersion) -> bool) -> People {
        let mut people = People::new();
        self.erasures
            .iter()
            .filter(|(version, _)| of(**version))
            .for_each(|(_, erased)| people.extend(erased));
        people
    }
}

impl Held {
    fn is_of(&self, version: CatalogueVersion) -> bool {
        self.since <= version && self.until.is_none_or(|until| version < until)
    }
}

fn emptied(entry: &SegmentEntry) -> SegmentEntry {
    SegmentEntry {
        rows: 0,
        times: None,
        people: People::new(),
        bytes: 0,
        columns: Vec::new(),
        ..entry.clone()
    }
}

#[cfg(test)]
mod tests;
