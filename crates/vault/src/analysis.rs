//! A Vault's records for analysis: encrypted columnar segments beside the records that they are made from (R076, R078, R087).
//!
//! What is kept of them, under which keys, and what a slice reads: the segments of one version and the records beside them, of
//! which a later attempt or a closing reads exactly the same. How segments come and go is in [`crate::tending`].

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use symphony_depot::config::Settings;
use symphony_depot::depot::{self, Depot, DepotError};
use symphony_protocol::artifact::TaskEnvelope;
use symphony_protocol::governance::semantics::{Semantics, ValueType};
use symphony_protocol::vault::dividend::Usage;
use symphony_segments::answer::QueryError;
use symphony_segments::catalogue::{CatalogueVersion, Snapshot};
use symphony_segments::composition::Condition;
use symphony_segments::engine::Engine;
use symphony_segments::error::SegmentError;
use symphony_segments::handed::{Handed, HandedSegment};
use symphony_segments::limits::{QueryLimits, ROW_GROUP_ROWS};
use symphony_segments::people::People;
use symphony_segments::reader::Segments;
use symphony_segments::schema::SegmentSchema;
use symphony_segments::segment::{KeySource, SegmentEntry, SegmentId, SegmentKey};
use symphony_segments::sort::Unsorted;
use symphony_standby::place::Place;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, TaskId, VaultId};
use symphony_types::merkle;
use symphony_types::subjects::{SubjectIndex, SubjectSet};

use crate::enterprise::Enterprise;
use crate::keys::{KeyError, VaultKeys};
use crate::people::Wrapped;
use crate::problem::Problem;
use crate::slots::{KeySlots, SEGMENTS_FILE, Slot};
use crate::store::segment::{Mark, Segmented};
use crate::store::{Store, View};
use crate::tending::{Pin, Pins, Watch, uncatalogued};

/// The segments of an open Vault.
pub(crate) struct Analysis {
    /// Where their files are.
    pub(crate) depot: Arc<dyn Depot>,
    /// When the place of files failed, if nothing was written since, and how long it is left alone then.
    failed: Mutex<Option<Instant>>,
    rest: Duration,
    pub(crate) keys: Arc<SegmentKeys>,
    engine: Engine,
    segmented: Mutex<Arc<Segmented>>,
    /// Held while neighbours are merged, rows are taken out of segments, or keys are wrapped anew. Before [`Self::writing`].
    pub(crate) merging: tokio::sync::Mutex<()>,
    /// Held while waiting records are written, and while the catalogue is changed.
    pub(crate) writing: tokio::sync::Mutex<()>,
    /// What is read at the moment.
    pub(crate) pins: Pins,
    /// Whoever is told each step.
    pub(crate) watch: Mutex<Option<Arc<Watch>>>,
}

/// The keys of segments, each wrapped in a slot that is overwritten when the segment goes.
pub(crate) struct SegmentKeys {
    vault: Arc<VaultKeys>,
    slots: KeySlots,
    places: Mutex<BTreeMap<SegmentId, u32>>,
}

impl Analysis {
    /// Opens the segments of a Vault with columns for a version of meaning, and destroys files and keys that no row names. **Errors**: files, keys, rows, or the store of
    /// these settings.
    pub(crate) fn open(
        (place, settings): (&Place, Option<&Settings>),
        vault: &VaultId,
        meaning: &Semantics,
        (store, vault_keys): (&Store, &Arc<VaultKeys>),
    ) -> anyhow::Result<Self> {
        let mut segmented = match store.read()?.segmented()? {
            Some(segmented) => segmented,
            None => Segmented::new(schema(meaning)?),
        };
        segmented.schema =
            grown(&segmented.schema, meaning).context("the vault's segments are of another vocabulary")?;
        let places: BTreeMap<_, _> = segmented.slots().map(|(id, slot)| (*id, slot)).collect();
        let used = places.values().copied().collect();
        let slots = KeySlots::open(place, SEGMENTS_FILE, &used).context("opening the keys of segments")?;
        let depot = depot::open(place, &owner(vault, vault_keys), settings)?;
        depot.adopt(&known(&segmented)).context("opening the place of segments")?;
        let rest = settings.map_or(Duration::ZERO, |settings| settings.patience.rest);
        let keys = SegmentKeys::new(vault_keys, slots, places);
        Ok(Self { rest, ..Self::with(depot, vault, segmented, keys) })
    }

    /// Opens the segments to look at alone: nothing is destroyed. **Errors**: as [`Self::open`].
    pub(crate) fn look(
        (folder, settings): (&Path, Option<&Settings>),
        vault: &VaultId,
        meaning: &Semantics,
        (store, vault_keys): (&Store, &Arc<VaultKeys>),
    ) -> anyhow::Result<Self> {
        let mut segmented = match store.read()?.segmented()? {
            Some(segmented) => segmented,
            None => Segmented::new(schema(meaning)?),
        };
        segmented.schema = grown(&segmented.schema, meaning)?;
        let places: BTreeMap<_, _> = segmented.slots().map(|(id, slot)| (*id, slot)).collect();
        let slots = KeySlots::look(folder, SEGMENTS_FILE).context("opening the keys of segments")?;
        let depot = depot::open(&folder.into(), &owner(vault, vault_keys), settings)?;
        Ok(Self::with(depot, vault, segmented, SegmentKeys::new(vault_keys, slots, places)))
    }

    fn with(depot: Arc<dyn Depot>, vault: &VaultId, segmented: Segmented, keys: SegmentKeys) -> Self {
        let keys = Arc::new(keys);
        let source: Arc<dyn KeySource> = keys.clone();
        let segments = Segments::new(vault.clone(), depot.store(), source, segmented.schema.clone());
        Self {
            depot,
            failed: Mutex::default(),
            rest: Duration::ZERO,
            keys,
            engine: Engine::new(Arc::new(segments), QueryLimits::default()),
            segmented: Mutex::new(Arc::new(segmented)),
            merging: tokio::sync::Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            pins: Pins::default(),
            watch: Mutex::default(),
        }
    }

    /// What is known of segments now.
    pub(crate) fn segmented(&self) -> Arc<Segmented> {
        Arc::clone(&self.segmented.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The segments, as they are read.
    pub(crate) fn segments(&self) -> &Arc<Segments> {
        self.engine.segments()
    }

    /// All records of a segment, after its file was looked at. Blocks. **Errors**: what is wrong, by its column.
    pub(crate) fn whole(&self, entry: &SegmentEntry) -> Result<Vec<RecordBatch>, Problem> {
        let segments = self.segments();
        self.forget(&entry.id);
        let columns: Vec<usize> = (0..segments.schema().arrow().fields().len()).collect();
        let read = async {
            segments.check(entry).await?;
            let records = segments.records(entry, &columns, ROW_GROUP_ROWS).await?;
            records.try_collect().await
        };
        // Whoever checks may stand in a runtime already, in which no other can be entered.
        let read = || {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .map(|runtime| runtime.block_on(read))
        };
        let read = std::thread::scope(|scope| scope.spawn(read).join());
        let read = read.map_err(|_| Problem::fault("a segment cannot be read", "reading panicked"))?;
        let read = read.map_err(|error| Problem::fault("a segment cannot be read", error))?;
        read.map_err(unread)
    }

    /// Has columns for a version of meaning from now on. **Errors**: it does not follow the one that the columns are for.
    pub(crate) async fn grow(&self, meaning: &Semantics) -> Result<(), Problem> {
        let _merging = self.merging.lock().await;
        let _writing = self.writing.lock().await;
        let segmented = self.segmented();
        let schema = grown(&segmented.schema, meaning)
            .map_err(|error| Problem::fault("the segments cannot follow the meaning", error))?;
        if schema != segmented.schema {
            self.segments().grow(schema.clone());
            let mut next = Segmented::clone(&segmented);
            next.schema = schema;
            self.install(next);
        }
        Ok(())
    }

    pub(crate) fn install(&self, next: Segmented) {
        *self.segmented.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    /// Wraps the keys of all segments under the latest of the Vault's keys. How many were not. Hold [`Self::merging`] and [`Self::writing`]. **Errors**:
    /// a key does not open, or the file system.
    pub(crate) fn rewrap(&self) -> Result<u64, Problem> {
        let failed = |error: KeyError| Problem::fault("the key of a segment cannot be wrapped anew", error);
        let mut rewrapped = 0;
        for (segment, number) in self.keys.places().clone() {
            let slot = self.keys.slots.get(number).map_err(|error| failed(error.into()))?;
            let wrapped = Wrapped { key: slot.wrapped, generation: slot.generation };
            if let Some(next) = self.keys.vault.ring.rewrap(&place(&segment), &wrapped).map_err(failed)? {
                let slot = Slot { wrapped: next.key, generation: next.generation, ..slot };
                self.keys.slots.rewrite(number, &slot).map_err(|error| failed(error.into()))?;
                rewrapped += 1;
            }
        }
        self.keys.slots.sync().map_err(|error| failed(error.into()))?;
        Ok(rewrapped)
    }

    /// Reads a segment anew next time, whatever of it is held in memory.
    pub(crate) fn forget(&self, segment: &SegmentId) {
        self.segments().forget(segment);
        self.depot.forget(segment);
    }

    /// Whether segments can be read, before anybody loses anything by it. **Errors**: `VLT-0021`.
    pub(crate) async fn answers(&self) -> Result<(), Problem> {
        let segmented = self.segmented();
        let Some((segment, _)) = segmented.slots().next() else { return Ok(()) };
        self.depot.answers(segment).await.map_err(misplaced)
    }

    /// Notes whether the place of files failed just now.
    pub(crate) fn note_failure<T>(&self, done: &Result<T, Problem>) {
        let away = matches!(done, Err(problem) if problem.code() == Code::SegmentsUnavailable);
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = away.then(Instant::now);
    }

    /// Whether the place of files failed a moment ago: what can wait does.
    pub(crate) fn resting(&self) -> bool {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|failed| failed.elapsed() < self.rest)
    }

    /// Overwrites keys of segments that could not be before. **Errors**: those of the file system.
    pub(crate) fn settle_keys(&self) -> io::Result<()> {
        self.keys.slots.settle()
    }
}

impl SegmentKeys {
    fn new(vault: &Arc<VaultKeys>, slots: KeySlots, places: BTreeMap<SegmentId, u32>) -> Self {
        Self { vault: Arc::clone(vault), slots, places: Mutex::new(places) }
    }

    /// Wraps the key of a new segment into a slot, and gives its number once it is on disk.
    pub(crate) fn keep(&self, segment: SegmentId, key: &SegmentKey) -> Result<u32, Problem> {
        let wrapped = self.vault.ring.wrap(&place(&segment), &key.0);
        let Wrapped { key, generation } =
            wrapped.map_err(|error| Problem::fault("the key of a segment cannot be wrapped", error))?;
        let slot = Slot { wrapped: key, mark: Digest::of_bytes(&segment.0), generation };
        let slot = self.slots.put(&slot);
        let slot = slot.map_err(|error| Problem::fault("the key of a segment cannot be kept", error))?;
        self.places().insert(segment, slot);
        Ok(slot)
    }

    /// Overwrites the key of a segment. **Errors**: those of the file system.
    pub(crate) fn erase(&self, segment: &SegmentId, slot: u32) -> io::Result<()> {
        self.places().remove(segment);
        self.slots.erase(slot)
    }

    fn places(&self) -> std::sync::MutexGuard<'_, BTreeMap<SegmentId, u32>> {
        // A map of whole entries is whole whoever panicked while holding it.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeySource for SegmentKeys {
    fn key(&self, segment: &SegmentId) -> Option<SegmentKey> {
        let number = self.places().get(segment).copied()?;
        let open = || {
            let slot = self.slots.get(number)?;
            let wrapped = Wrapped { key: slot.wrapped, generation: slot.generation };
            self.vault.ring.unwrap(&place(segment), &wrapped)
        };
        let key = match open() {
            // A rotation came between reading the slot and opening it.
            Err(KeyError::Generation(_)) => open().ok()?,
            opened => opened.ok()?,
        };
        key.as_slice().try_into().map(SegmentKey).ok()
    }
}

/// What a slice reads, and which of it lies in segments.
pub(crate) struct Inputs {
    /// Where both end.
    pub(crate) mark: Mark,
    /// Where the records beside segments are.
    pub(crate) beside: Vec<(u32, u32)>,
    /// The segments; none when all records stand beside.
    pub(crate) snapshot: Option<Snapshot>,
    /// Keeps them while they are read.
    pub(crate) pin: Pin,
}

impl Enterprise {
    /// Whether what a slice read before is there to be read again. **Errors**: `EXE-0007` once its task is counted.
    pub(crate) fn unreleased(&self, task: &TaskId) -> Result<Mark, Problem> {
        let released = "what the task read was released when it was counted";
        let mark = self.store.read()?.mark(task)?;
        mark.ok_or_else(|| Problem::refused(Code::IllegalTransition, released))
    }

    /// What a slice of these people reads, or read before. **Errors**: storage, or what it read is not kept any more.
    pub(crate) fn inputs(
        &self,
        envelope: &TaskEnvelope,
        again: bool,
        people: &SubjectSet,
    ) -> Result<Inputs, Problem> {
        let earlier = if again { Some(self.unreleased(&envelope.task)?) } else { None };
        // In this order the view has all that the segments were made from.
        let (segmented, pin) = self.analysis.pin(earlier.as_ref().map(|mark| mark.version));
        let view = self.store.read()?;
        let mark = match earlier {
            Some(mark) => mark,
            None => Mark {
                version: segmented.catalogue.version(),
                arrivals: view.arrivals()?,
                attributes: envelope.plan.attributes(),
                partial: envelope.plan.adds_up(),
                until: envelope.execute_by,
                closed: self.state().epochs.len() as u64,
                counted: false,
            },
        };
        let mut beside = view.beside(&segmented, &mark)?;
        beside.retain(|(subject, _)| people.contains(SubjectIndex(*subject)));
        let snapshot = self.snapshot(&segmented, mark.version)?;
        let snapshot = Some(snapshot).filter(|snapshot| !snapshot.segments.is_empty());
        Ok(Inputs { mark, beside, snapshot, pin })
    }

    fn snapshot(&self, segmented: &Segmented, version: CatalogueVersion) -> Result<Snapshot, Problem> {
        segmented.catalogue.snapshot(version).map_err(uncatalogued)
    }

    /// A snapshot as the enclave gets it for these people. **Errors**: a key is not there.
    pub(crate) fn handed(&self, snapshot: &Snapshot, people: &SubjectSet) -> Result<Handed, Problem> {
        let keyed = |entry: &Arc<SegmentEntry>| {
            let key = self.analysis.keys.key(&entry.id).ok_or(SegmentError::Key(entry.id));
            key.map(|key| HandedSegment::new(entry, &key)).map_err(unread)
        };
        Ok(Handed {
            schema: self.analysis.segmented().schema.clone(),
            permitted: permitted(snapshot, people),
            segments: snapshot.segments.iter().map(keyed).collect::<Result<_, _>>()?,
        })
    }

    /// Adds to what a slice used beside segments what it used of them: of each person the records that its plan
    /// reads. **Errors**: storage.
    pub(crate) async fn used_of_segments(&self, task: &TaskId, usage: &mut Usage) -> Result<(), Problem> {
        let Some(mark) = self.store.read()?.mark(task)?.filter(|mark| !mark.counted) else { return Ok(()) };
        let (segmented, _pin) = self.analysis.pin(Some(mark.version));
        let snapshot = self.snapshot(&segmented, mark.version)?;
        let state = self.state();
        let entry = state.ledger.entry(task);
        let Some(entry) = entry.filter(|_| !snapshot.segments.is_empty()) else { return Ok(()) };
        let present = mark.attributes.into_iter().map(Condition::Present).collect();
        let read = if mark.partial { Condition::Any(present) } else { Condition::All(present) };
        let people = permitted(&snapshot, crate::runtime::committed(entry)?);
        let counts = self.analysis.engine.records(&snapshot, &people, &read).await;
        let counts = counts.map_err(|error| match error {
            QueryError::Segment(error) => unread(error),
            error => Problem::fault("the records of a slice cannot be counted", error),
        })?;
        let mut used: BTreeMap<SubjectIndex, u32> = usage.records.iter().copied().collect();
        for (person, records) in counts {
            let known = used.entry(SubjectIndex(person)).or_default();
            *known = known.saturating_add(u32::try_from(records).unwrap_or(u32::MAX));
        }
        usage.records = used.into_iter().collect();
        Ok(())
    }
}

/// The records at these places, which ascend, as rows of a segment, and the root over their commitments. **Errors**: storage, a
/// changed byte, or a value that is of another type than its column.
pub(crate) fn rows_at(
    view: &View,
    (keys, slots): (&VaultKeys, &KeySlots),
    schema: &SegmentSchema,
    places: Vec<(u32, u32)>,
) -> Result<(Unsorted, Digest), Problem> {
    let (mut rows, mut leaves) = (Unsorted::new(schema), Vec::with_capacity(places.len()));
    view.records_at(keys, slots, &places, |(subject, sequence), commitment, record| {
        leaves.push(merkle::leaf(&commitment.0.0));
        rows.record(subject, sequence, &record.values).map_err(unwritten)
    })?;
    Ok((rows, merkle::root(&leaves)))
}

/// Whose rows of a snapshot may be read.
pub(crate) fn permitted(snapshot: &Snapshot, people: &SubjectSet) -> People {
    People::from_words(people.words()).without(&snapshot.unreadable())
}

/// The columns of segments that are made under a meaning: what is compared, in order of the first time.
fn schema(meaning: &Semantics) -> Result<SegmentSchema, SegmentError> {
    let attributes = compared(meaning);
    let time = attributes.iter().find(|(_, value)| **value == ValueType::Time).map(|(name, _)| name.clone());
    SegmentSchema::new(meaning.version.0, time, attributes)
}

/// The same columns with those that a later meaning has more.
fn grown(known: &SegmentSchema, meaning: &Semantics) -> Result<SegmentSchema, SegmentError> {
    if known.version() >= meaning.version.0 {
        return Ok(known.clone());
    }
    known.grown(meaning.version.0, compared(meaning))
}

fn compared(meaning: &Semantics) -> BTreeMap<AttributeName, ValueType> {
    let compared = meaning.attributes.iter().filter(|(_, attribute)| attribute.queryability.is_compared());
    compared.map(|(name, attribute)| (name.clone(), attribute.value)).collect()
}

/// A word that no other Vault has: its name with a digest of its key.
fn owner(vault: &VaultId, keys: &VaultKeys) -> String {
    let key = Digest::of_bytes(keys.signing.public().as_bytes()).to_string();
    format!("{vault}-{}", &key[..OWNER_DIGITS])
}

/// The segments that rows name.
pub(crate) fn known(segmented: &Segmented) -> BTreeSet<SegmentId> {
    segmented.slots().map(|(segment, _)| *segment).collect()
}

fn place(segment: &SegmentId) -> Vec<u8> {
    [b"segment".as_slice(), &segment.0].concat()
}

pub(crate) fn unwritten(error: SegmentError) -> Problem {
    stored("a segment cannot be written", error)
}

pub(crate) fn unread(error: SegmentError) -> Problem {
    stored("a segment cannot be read", error)
}

/// The caller learns that the store does not answer; the log says why.
fn stored(doing: &'static str, error: SegmentError) -> Problem {
    match error {
        SegmentError::Store(error) => misplaced(error.into()),
        error => Problem::fault(doing, error),
    }
}

pub(crate) fn misplaced(error: DepotError) -> Problem {
    if !matches!(error, DepotError::Store(_)) {
        return Problem::fault("the place of segments failed", error);
    }
    tracing::error!(error = &error as &dyn std::error::Error, "the store of segments does not answer");
    Code::SegmentsUnavailable.into()
}

/// Digits of a Vault's key in the names of its objects.
const OWNER_DIGITS: usize = 16;
