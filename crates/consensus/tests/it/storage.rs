//! A master's file after a power cut or on a failing disk: every write of its last transactions torn, bytes flipped,
//! the end cut off. Whatever is left, the master stands at an exact prefix of what was decided or refuses to start.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redb::{Builder, Database, StorageBackend};
use symphony_consensus::entry::Head;
use symphony_consensus::journal::{JournalError, checked};
use symphony_consensus::machine::state_digest;
use symphony_consensus::orderer::Orderer;
use symphony_consensus::quorum::guard::Memory;
use symphony_consensus::quorum::node::{Quorum, StartError};
use symphony_types::catalogue::Code;

use super::counter::{Command, Counter, add, genesis};
use super::quorum::{Wires, reaches, start_on};

/// Commands before the transactions that are broken, and in them.
const BEFORE: u64 = 4;
const LAST: u64 = 3;
/// Of the bytes in the middle of a page, every such one is tried.
const STRIDE: usize = 97;
/// Of the bytes that the last transactions wrote, every such one is flipped in one of its bits.
const FLIP_STRIDE: usize = 23;

/// What a database does to its file.
#[derive(Clone, Debug)]
enum Write {
    At(usize, Vec<u8>),
    Len(usize),
    Sync,
}

impl Write {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::At(offset, data) => {
                let end = offset + data.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*offset..end].copy_from_slice(data);
            }
            Self::Len(len) => image.resize(*len, 0),
            Self::Sync => {}
        }
    }
}

#[derive(Debug, Default)]
struct Platter {
    image: Vec<u8>,
    log: Vec<Write>,
    full: bool,
}

/// A file in memory that remembers what was done to it.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platter>>);

impl Disk {
    fn holding(image: &[u8]) -> Self {
        Self(Arc::new(Mutex::new(Platter { image: image.to_vec(), ..Platter::default() })))
    }

    fn image(&self) -> Vec<u8> {
        self.0.lock().unwrap().image.clone()
    }

    /// Takes what was done since the last time.
    fn take_log(&self) -> Vec<Write> {
        std::mem::take(&mut self.0.lock().unwrap().log)
    }

    /// From now on nothing can be written, or again.
    fn fill(&self, full: bool) {
        self.0.lock().unwrap().full = full;
    }

    fn note(&self, write: Write) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        if platter.full && !matches!(write, Write::Sync) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        write.apply(&mut platter.image);
        platter.log.push(write);
        Ok(())
    }

    fn open(&self) -> Result<Database, JournalError> {
        checked(|| Builder::new().set_cache_size(1 << 20).create_with_backend(self.clone()))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().image.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.0.lock().unwrap();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(platter.image.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(Write::Len(usize::try_from(len).map_err(io::Error::other)?))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note(Write::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(Write::At(usize::try_from(offset).map_err(io::Error::other)?, data.to_vec()))
    }
}

/// Three masters, two of which still run, and the third one's file before, during and after its last transactions.
struct Scene {
    wires: Wires,
    others: [Arc<Quorum<Counter>>; 2],
    /// Everything that was ever the end of the journal.
    heads: BTreeMap<u64, Head>,
    before: Vec<u8>,
    log: Vec<Write>,
    /// After the last transaction, as a crash leaves it.
    crashed: Vec<u8>,
    /// After the file was closed.
    after: Vec<u8>,
}

impl Scene {
    async fn play() -> Self {
        let wires = Wires::default();
        let disks: [Disk; 3] = std::array::from_fn(|_| Disk::default());
        let [first, second, third] = [0, 1, 2].map(|seat| {
            let database = disks[usize::from(seat)].open().unwrap();
            start_on(database, seat, Memory::default(), wires.clone()).unwrap()
        });
        let mut heads = BTreeMap::from([(0, first.head())]);
        let (mut before, mut command) = (Vec::new(), 0);
        while command < BEFORE + LAST {
            if command == BEFORE {
                reaches(&third, 1, command).await;
                before = disks[2].image();
                disks[2].take_log();
            }
            let note = Command::Note(vec![7; 300]);
            first.order(note).await.unwrap();
            heads.insert(first.head().height, first.head());
            first.order(add(1, 1)).await.unwrap();
            heads.insert(first.head().height, first.head());
            command += 1;
        }
        reaches(&third, 1, command).await;
        let crashed = disks[2].image();
        third.stop().await.unwrap();
        drop(third);
        let (log, after) = (disks[2].take_log(), disks[2].image());
        Self { wires, others: [first, second], heads, before, log, crashed, after }
    }

    /// A master on what is left of its file: stands where it once stood, or refuses. Whoever is refused tries again.
    fn outcome(&self, image: &[u8], what: &dyn std::fmt::Debug) -> Result<u64, String> {
        let disk = Disk::holding(image);
        let first = self.attempt(&disk, what);
        if first.is_err() {
            // What a refused start left behind is as harmless.
            let _ = self.attempt(&disk, what);
        }
        first
    }

    fn attempt(&self, disk: &Disk, what: &dyn std::fmt::Debug) -> Result<u64, String> {
        let started = catch_unwind(AssertUnwindSafe(|| {
            let database = disk.open().map_err(StartError::from)?;
            start_on(database, 2, silent(), Wires::default())
        }));
        match started.unwrap_or_else(|_| panic!("{what:?}: a panic")) {
            Err(refused) => {
                assert!(matches!(refused, StartError::Journal(_)), "{what:?}: {refused}");
                Err(refused.to_string())
            }
            Ok(quorum) => {
                let (head, state) = (quorum.head(), quorum.state());
                assert_eq!(self.heads.get(&head.height), Some(&head), "{what:?}: never stood there");
                let known = if head.height == 0 { genesis().root() } else { state_digest(&*state) };
                assert_eq!(known, head.state, "{what:?}: another state");
                Ok(head.height)
            }
        }
    }

    /// A master on what is left of its file reaches what the others have.
    async fn catches_up(&self, image: &[u8]) {
        let database = Disk::holding(image).open().unwrap();
        let third = start_on(database, 2, silent(), self.wires.clone()).unwrap();
        reaches(&third, 1, BEFORE + LAST).await;
        assert_eq!(third.head(), self.others[0].head());
    }
}

/// The memory of a guard that has signed past every height of a test, so that its master only follows.
fn silent() -> Memory {
    Memory { height: u64::MAX / 2, ..Memory::default() }
}

/// How often each outcome was seen, and one image for each height that a master stood at.
#[derive(Default)]
struct Tally {
    tried: usize,
    stood: BTreeMap<u64, Vec<u8>>,
    refused: BTreeSet<String>,
    refusals: usize,
}

impl Tally {
    fn add(&mut self, scene: &Scene, image: &[u8], what: &dyn std::fmt::Debug) {
        self.tried += 1;
        match scene.outcome(image, what) {
            Ok(height) => drop(self.stood.entry(height).or_insert_with(|| image.to_vec())),
            Err(refused) => {
                self.refusals += 1;
                self.refused.insert(refused);
            }
        }
    }

    fn say(&self, what: &str, since: Instant) {
        let heights: Vec<_> = self.stood.keys().collect();
        println!(
            "{what}: {} tried in {:.1} s, stood at {heights:?}, {} refused: {:?}",
            self.tried,
            since.elapsed().as_secs_f64(),
            self.refusals,
            self.refused
        );
    }
}

/// R212, R217: power fails in the middle of a write, at every byte that changes something: the master stands before or
/// after the transaction, never between, and catches up to the others' state from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_torn_write_leaves_an_exact_prefix() {
    let scene = Scene::play().await;
    let since = Instant::now();
    let mut tally = Tally::default();
    let mut image = scene.before.clone();
    for (number, write) in scene.log.iter().enumerate() {
        if let Write::At(offset, data) = write {
            for cut in cuts(&image, *offset, data) {
                let mut torn = image.clone();
                Write::At(*offset, data[..cut].to_vec()).apply(&mut torn);
                tally.add(&scene, &torn, &("write", number, "cut at", cut));
            }
        }
        write.apply(&mut image);
    }
    assert_eq!(image, scene.after);
    tally.add(&scene, &image, &"nothing torn");
    tally.say("torn writes", since);
    assert_eq!(tally.refused, BTreeSet::new(), "a torn write is never more than the write undone");
    assert!(tally.stood.len() > usize::try_from(LAST).unwrap(), "the cuts span transactions");
    for image in tally.stood.values() {
        scene.catches_up(image).await;
    }
}

/// Where to cut a write: wherever one byte more changes the file; in long stretches every [`STRIDE`]th.
fn cuts(image: &[u8], offset: usize, data: &[u8]) -> Vec<usize> {
    let differs = |index: &usize| image.get(offset + index) != Some(&data[*index]);
    let all: Vec<_> = (0..data.len()).filter(differs).collect();
    let step = if all.len() <= 400 { 1 } else { STRIDE };
    all.into_iter().step_by(step).collect()
}

/// R212, R217: a disk forgets some of the writes that it had not synced, whichever.
#[tokio::test(flavor = "multi_thread")]
async fn writes_that_never_arrived_leave_an_exact_prefix() {
    let scene = Scene::play().await;
    let since = Instant::now();
    let mut tally = Tally::default();
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    let mut synced = scene.before.clone();
    let mut pending: Vec<&Write> = Vec::new();
    for write in &scene.log {
        pending.push(write);
        if !matches!(write, Write::Sync) {
            continue;
        }
        for _ in 0..40 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut image = synced.clone();
            for (index, write) in pending.iter().enumerate() {
                if (chance >> (index % 48 + 8)) & 1 == 1 {
                    write.apply(&mut image);
                }
            }
            tally.add(&scene, &image, &("some of", &pending.len(), "writes", chance));
        }
        for write in pending.drain(..) {
            write.apply(&mut synced);
        }
    }
    tally.say("lost writes", since);
    assert_eq!(tally.refused, BTreeSet::new());
    for image in tally.stood.values() {
        scene.catches_up(image).await;
    }
}

/// R212, R217: a flipped bit in what the last transactions wrote, and in the file's header, is found or does not matter.
#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_found() {
    let scene = Scene::play().await;
    let since = Instant::now();
    let mut tally = Tally::default();
    for index in flips(&scene) {
        let mut image = if index % 2 == 0 { scene.after.clone() } else { scene.crashed.clone() };
        let bit = if index < HEADER_BYTES { index % 64 } else { index / FLIP_STRIDE };
        let Some(byte) = image.get_mut(index) else { continue };
        *byte ^= 1 << (bit % 8);
        tally.add(&scene, &image, &("bit", bit % 8, "of byte", index));
    }
    tally.say("flipped bits", since);
    assert!(tally.refusals > 0, "some of them matter");
    for image in tally.stood.values() {
        scene.catches_up(image).await;
    }
}

/// The file's header holds both commit slots.
const HEADER_BYTES: usize = 320;

/// The header, and of the pages that the last transactions wrote every [`FLIP_STRIDE`]th byte.
fn flips(scene: &Scene) -> BTreeSet<usize> {
    let mut bytes: BTreeSet<usize> = (0..HEADER_BYTES).collect();
    for write in &scene.log {
        if let Write::At(offset, data) = write {
            bytes.extend((*offset..offset + data.len()).step_by(FLIP_STRIDE));
        }
    }
    bytes
}

/// R212, R217: a file that lost its end is repaired to an exact prefix or refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_its_end_is_refused_or_repaired() {
    let scene = Scene::play().await;
    let since = Instant::now();
    let mut tally = Tally::default();
    let len = scene.after.len();
    let lens: BTreeSet<usize> = (0..600).chain((0..len).step_by(len / 600)).chain(len - 600..len).collect();
    for len in lens {
        tally.add(&scene, &scene.after[..len], &("cut to", len));
    }
    tally.say("lost ends", since);
    for image in tally.stood.values() {
        scene.catches_up(image).await;
    }
}

/// R211, R213: a master whose disk is full stops and says why; the other two go on; with room again it stands where it
/// stood and catches up.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_one_master_and_loses_nothing() {
    let wires = Wires::default();
    let disks: [Disk; 3] = std::array::from_fn(|_| Disk::default());
    let start = |seat: u8| {
        let database = disks[usize::from(seat)].open().unwrap();
        start_on(database, seat, Memory::default(), wires.clone()).unwrap()
    };
    let [first, second, third] = [0, 1, 2].map(start);
    first.order(add(1, 1)).await.unwrap();
    reaches(&third, 1, 1).await;
    disks[2].fill(true);
    first.order(add(1, 1)).await.unwrap();
    let failure = tokio::time::timeout(Duration::from_secs(20), third.ended()).await.unwrap().unwrap_err();
    assert_eq!(failure.code(), Code::DiskFull, "{failure}");
    assert_eq!(third.state().of[&1], 1, "what is not durable is never seen");
    assert!(third.order(add(1, 1)).await.is_err());
    drop(third);
    for _ in 0..5 {
        second.order(add(1, 1)).await.unwrap();
    }
    disks[2].fill(false);
    let database = disks[2].open().unwrap();
    let third = start_on(database, 2, silent(), wires.clone()).unwrap();
    reaches(&third, 1, 7).await;
    assert_eq!(third.head(), first.head());
}
