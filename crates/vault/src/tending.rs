//! Tends a Vault's segments (R077, R080): waiting records become a small one, neighbours of about one size become one, and what
//! nothing will read again is destroyed.
//!
//! ```text
//! new segment:  key in its slot -> file on disk -> row that names both
//! old segment:  row that names it no more -> key overwritten -> file removed
//! ```
//!
//! A stop between two steps leaves a key or a file that no row names, which the next start destroys; whatever a row names is
//! whole. Waiting records become a segment at the end of an upload. Merging and releasing go on beside uploads and slices on one
//! thread that ends with the Vault; a fault there leaves what is in use as it is, and the next upload has it tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use symphony_segments::catalogue::{CatalogueError, CatalogueVersion};
use symphony_segments::merge::merge;
use symphony_segments::segment::{SegmentEntry, SegmentId, SegmentKey};
use symphony_segments::sort::Unsorted;
use symphony_segments::tiers;
use symphony_segments::writer::{Layout, SegmentWriter};
use symphony_types::digest::Digest;
use symphony_types::subjects::SubjectIndex;

use crate::analysis::{Analysis, known, misplaced, rows_at, unread, unwritten};
use crate::enterprise::Enterprise;
use crate::problem::Problem;
use crate::store::Store;
use crate::store::segment::{Segmented, put_segmented};

/// What was just done with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The key of a new one is in its slot.
    Keyed,
    /// Its file is on disk.
    Written,
    /// A row names it.
    Named,
    /// No row names an old one any more.
    Released,
    /// Its key is overwritten.
    Unkeyed,
    /// Its file is removed.
    Removed,
    /// Records that were kept for their time have ended: the journal and the rows say so.
    Ended,
    /// The keys of their days are overwritten.
    Shredded,
    /// What was sealed of some of them is out of the rows.
    Emptied,
    /// Those who are counted in a report of candidates are charged.
    Charged,
    /// The report is kept.
    Reported,
}

/// Is told each step and may fail it: how tests stop a Vault wherever a crash could.
pub type Watch = dyn Fn(Step) -> io::Result<()> + Send + Sync;

/// The thread that merges and releases, and what it is asked. Ended and waited for on drop.
pub(crate) struct Tending {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    analysis: Arc<Analysis>,
    store: Store,
    work: Mutex<Work>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Default)]
struct Work {
    asked: bool,
    under_way: bool,
}

impl Tending {
    /// Starts the thread, which looks at once at what an earlier run left. **Errors**: it cannot be started.
    pub(crate) fn start(analysis: Arc<Analysis>, store: Store) -> io::Result<Self> {
        let work = Mutex::new(Work { asked: true, under_way: false });
        let shared = Shared { analysis, store, work, changed: Condvar::new(), stop: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let run = Arc::clone(&shared);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = std::thread::Builder::new().name("segments".into());
        let thread = thread.spawn(move || run.run(&runtime))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks for a look at what is to be merged and released.
    pub(crate) fn ask(&self) {
        self.shared.work().asked = true;
        self.shared.changed.notify_all();
    }

    /// Blocks until all that was asked for is done.
    fn settle(&self) {
        let mut work = self.shared.work();
        while work.asked || work.under_way {
            work = self.shared.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Tending {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        {
            // The thread looks at the flag and begins to wait under this lock, so it cannot miss the call.
            let _work = self.shared.work();
            self.shared.changed.notify_all();
        }
        if let Some(thread) = self.thread.take() {
            // It catches what panics in it.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, runtime: &tokio::runtime::Runtime) {
        loop {
            {
                let mut work = self.work();
                while !work.asked && self.proceeds() {
                    work = self.changed.wait(work).unwrap_or_else(PoisonError::into_inner);
                }
                if !self.proceeds() {
                    return;
                }
                *work = Work { asked: false, under_way: true };
            }
            match catch_unwind(AssertUnwindSafe(|| runtime.block_on(self.tend()))) {
                Ok(Err(problem)) if self.proceeds() => tracing::error!(
                    error = &problem as &dyn std::error::Error,
                    "segments are left as they are"
                ),
                Ok(Ok(()) | Err(_)) => {}
                Err(_) => tracing::error!("tending segments panicked; they are left as they are"),
            }
            self.work().under_way = false;
            self.changed.notify_all();
        }
    }

    async fn tend(&self) -> Result<(), Problem> {
        self.tidy().await?;
        // What is not needed goes first, so that merging has its room.
        self.release().await?;
        while self.merge().await? {
            self.release().await?;
        }
        Ok(())
    }

    /// Removes files that no row names, where something may have been left.
    async fn tidy(&self) -> Result<(), Problem> {
        let analysis = &self.analysis;
        let _no_merge = analysis.merging.lock().await;
        let _no_segment = analysis.writing.lock().await;
        let tidied = analysis.depot.tidy(&known(&analysis.segmented())).await.map_err(misplaced);
        if tidied.is_err() {
            analysis.note_failure(&tidied);
        }
        tidied
    }

    /// Puts one segment in the place of neighbours where that is due; whether it was.
    async fn merge(&self) -> Result<bool, Problem> {
        let analysis = &self.analysis;
        let _nothing_else = analysis.merging.lock().await;
        let segmented = analysis.segmented();
        let order = segmented.in_order().map_err(uncatalogued)?;
        let rows: Vec<u64> = order.iter().map(|entry| entry.rows).collect();
        let Some(due) = tiers::due(&rows).filter(|_| self.proceeds()) else { return Ok(false) };
        let sources = &order[due];
        let version = segmented.catalogue.version();
        let hidden = segmented.catalogue.snapshot(version).map_err(uncatalogued)?.unreadable();
        let drafted = analysis.drafted(async |writer| {
            let segments = analysis.segments();
            let merged = merge(segments, sources, &hidden, writer, || self.proceeds()).await;
            let mut places = merged.map_err(unread)?;
            places.sort_unstable();
            self.store.read()?.commitments_root(&places, || self.proceeds())
        });
        let draft = drafted.await?;
        let _one_at_a_time = analysis.writing.lock().await;
        let named = |segmented: &Segmented, entry, slot| segmented.merged(sources, entry, slot);
        analysis.name(&self.store, draft, named).await?;
        sources.iter().for_each(|entry| analysis.segments().forget(&entry.id));
        Ok(true)
    }

    /// Keeps the versions that somebody reads or will read again, and destroys the segments of none.
    async fn release(&self) -> Result<(), Problem> {
        let analysis = &self.analysis;
        let _one_at_a_time = analysis.writing.lock().await;
        // In this order: a slice notes what it read before it lets go of it.
        let mut versions = analysis.pinned();
        versions.extend(self.store.read()?.marks()?.into_iter().map(|(_, mark)| mark.version));
        let Some((next, gone)) = analysis.segmented().retaining(&versions) else { return Ok(()) };
        self.store.write(|transaction| put_segmented(transaction, &next))?;
        analysis.install(next);
        analysis.step(Step::Released)?;
        for (segment, slot) in gone {
            analysis.destroy(&segment, slot).await?;
        }
        Ok(())
    }

    fn proceeds(&self) -> bool {
        !self.stop.load(Ordering::Acquire)
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        // Two flags are whole whoever panicked while holding them.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Enterprise {
    /// Writes segments while enough records that were uploaded before now wait for one. **Errors**: storage; then the records
    /// wait on.
    pub(crate) async fn segment(&self) -> Result<(), Problem> {
        let arrived = self.store.read()?.arrivals()?;
        let _one_at_a_time = self.analysis.writing.lock().await;
        let least = u64::from(self.quota.segment_rows.max(1));
        loop {
            let segmented = self.analysis.segmented();
            let from = segmented.through(segmented.catalogue.version());
            let through = arrived.min(from.saturating_add(WAITING_MAX.max(least)));
            if through < from.saturating_add(least) || self.analysis.resting() {
                return Ok(());
            }
            self.write_segment(&segmented, from, through).await?;
            self.tending.ask();
        }
    }

    async fn write_segment(&self, segmented: &Segmented, from: u64, through: u64) -> Result<(), Problem> {
        let (analysis, view, state) = (&self.analysis, self.store.read()?, self.state());
        let mut places = view.arrived(from..through)?;
        places.retain(|(subject, _)| !state.subjects.erased().contains(SubjectIndex(*subject)));
        if places.is_empty() {
            return analysis.note(&self.store, None, Ok(segmented.passing(through))).await;
        }
        let (mut rows, root) = rows_at(&view, (&self.keys, &self.slots), &segmented.schema, places)?;
        let draft = analysis.written(&mut rows, root).await?;
        let named = |segmented: &Segmented, entry, slot| segmented.with(entry, slot, through);
        analysis.name(&self.store, draft, named).await
    }

    /// Blocks until segments that are due are merged, and those that nothing reads are destroyed.
    pub fn settle_segments(&self) {
        self.tending.ask();
        self.tending.settle();
    }

    /// Tells all steps from now on to a watch: for tests of what a crash leaves.
    pub fn watch_segments(&self, watch: Arc<Watch>) {
        *self.analysis.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
    }
}

/// A segment whose key and file are there, and that no row names yet.
pub(crate) struct Draft {
    pub(crate) entry: SegmentEntry,
    pub(crate) slot: u32,
}

impl Analysis {
    /// Writes a new segment: `fill` gives it rows, and the root over their commitments. **Errors**: storage, or those of `fill`;
    /// then nothing of it is left.
    async fn drafted(
        &self,
        fill: impl AsyncFnOnce(&mut SegmentWriter) -> Result<Digest, Problem>,
    ) -> Result<Draft, Problem> {
        let (id, key) = (SegmentId::random(), SegmentKey::random());
        let slot = self.keys.keep(id, &key)?;
        let written = async {
            self.step(Step::Keyed)?;
            let schema = self.segments().schema();
            let store = self.segments().store().clone();
            let vault = self.segments().vault();
            let begun = SegmentWriter::begin(store, vault, id, &key, &schema, Layout::default());
            let mut writer = begun.await.map_err(unwritten)?;
            let root = fill(&mut writer).await?;
            let entry = writer.finish(root).await.map_err(unwritten)?;
            self.depot.settle(&id).await.map_err(misplaced)?;
            self.step(Step::Written)?;
            Ok(entry)
        };
        let written: Result<SegmentEntry, Problem> = written.await;
        self.note_failure(&written);
        match written {
            Ok(entry) => Ok(Draft { entry, slot }),
            Err(problem) => {
                self.abandon(&id, slot).await;
                Err(problem)
            }
        }
    }

    /// Writes rows as a new segment, with the root over their commitments. **Errors**: as [`Self::drafted`].
    pub(crate) async fn written(&self, rows: &mut Unsorted, root: Digest) -> Result<Draft, Problem> {
        let draft = self.drafted(async |writer| {
            rows.write(writer).await.map_err(unwritten)?;
            Ok(root)
        });
        draft.await
    }

    /// Has a row name a new segment; whoever calls holds `writing`. **Errors**: storage, or the catalogue does not take it; then
    /// nothing of it is left.
    async fn name(
        &self,
        store: &Store,
        Draft { entry, slot }: Draft,
        next: impl FnOnce(&Segmented, SegmentEntry, u32) -> Result<Segmented, CatalogueError>,
    ) -> Result<(), Problem> {
        let drafted = Some((entry.id, slot));
        self.note(store, drafted, next(&self.segmented(), entry, slot)).await
    }

    /// Keeps what is known of segments from now on, which may name a draft; whoever calls holds `writing`. **Errors**: as
    /// [`Self::name`].
    pub(crate) async fn note(
        &self,
        store: &Store,
        drafted: Option<(SegmentId, u32)>,
        next: Result<Segmented, CatalogueError>,
    ) -> Result<(), Problem> {
        let named = next.map_err(uncatalogued).and_then(|next| {
            store.write(|transaction| put_segmented(transaction, &next))?;
            Ok(next)
        });
        match named {
            Ok(next) => {
                self.install(next);
                self.step(Step::Named)
            }
            Err(problem) => {
                if let Some((id, slot)) = drafted {
                    self.abandon(&id, slot).await;
                }
                Err(problem)
            }
        }
    }

    /// Destroys a segment that no row names: first its key, then its file. **Errors**: storage; a later start or tidying does the rest.
    pub(crate) async fn destroy(&self, segment: &SegmentId, slot: u32) -> Result<(), Problem> {
        let failed = |error| Problem::fault("a segment is destroyed at the next start", error);
        self.forget(segment);
        self.keys.erase(segment, slot).map_err(failed)?;
        self.step(Step::Unkeyed)?;
        self.depot.remove(segment).await.map_err(misplaced)?;
        self.step(Step::Removed)
    }

    /// Destroys what was written of a segment that no row will name. Its file stays when its key does: then the standby is gone, and may
    /// have the row.
    pub(crate) async fn abandon(&self, segment: &SegmentId, slot: u32) {
        let gone = match self.keys.erase(segment, slot) {
            Ok(()) => self.depot.abandon(segment).await.map_err(misplaced),
            Err(error) => Err(Problem::fault("the key cannot be overwritten", error)),
        };
        if let Err(error) = gone {
            tracing::warn!(%segment, %error, "an unfinished segment is destroyed later");
        }
    }

    /// Tells a step to whoever watches.
    pub(crate) fn step(&self, step: Step) -> Result<(), Problem> {
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let watched = watch.map_or(Ok(()), |watch| watch(step));
        watched.map_err(|error| Problem::fault("a step was stopped", error))
    }
}

/// Versions that are read at the moment, and how often.
#[derive(Default)]
pub(crate) struct Pins(Mutex<BTreeMap<CatalogueVersion, usize>>);

/// A version that is not released while this is held.
pub(crate) struct Pin {
    analysis: Arc<Analysis>,
    version: CatalogueVersion,
}

impl Analysis {
    /// What is known of segments now, with a hold on the present version or on this `earlier` one.
    pub(crate) fn pin(self: &Arc<Self>, earlier: Option<CatalogueVersion>) -> (Arc<Segmented>, Pin) {
        // Under one lock, so that no release falls between the look and the hold.
        let mut pins = self.pins.lock();
        let segmented = self.segmented();
        let version = earlier.unwrap_or_else(|| segmented.catalogue.version());
        *pins.entry(version).or_default() += 1;
        drop(pins);
        (segmented, Pin { analysis: Arc::clone(self), version })
    }

    fn pinned(&self) -> BTreeSet<CatalogueVersion> {
        self.pins.lock().keys().copied().collect()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.analysis.pins.lock();
        if let Some(held) = pins.get_mut(&self.version) {
            *held -= 1;
            if *held == 0 {
                pins.remove(&self.version);
            }
        }
    }
}

impl Pins {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<CatalogueVersion, usize>> {
        // Counts are whole whoever panicked while holding them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn uncatalogued(error: CatalogueError) -> Problem {
    Problem::fault("the catalogue of segments does not take a change", error)
}

/// Waiting records that become one segment: what is held in memory at a time.
const WAITING_MAX: u64 = 1 << 18;
