//! Power that fails while the database writes: every frame of what it wants on disk is torn, at every kind of operation (R057, R062-R068,
//! R076-R080, R211).
//!
//! A standby's log has the database's writes, frame by frame. Here they are put into a copy of the file as far as a disk might have
//! got: some blocks of a frame and not others, and one block in half. Files of keys and of segments are as they may be at that
//! moment: what the operation adds is there, and what it destroys as well.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{ErasePerson, RotateKey};
use tempfile::TempDir;

use crate::segments::{Scene, checked, tea};
use crate::world::*;

const BLOCK: usize = 4_096;
/// Bytes of a log's file before its first frame; of a frame before its body, and after it.
const HEAD: usize = 48;
const FRAME_HEAD: usize = 24;
const CHAIN: usize = 32;
const DATABASE: &str = "vault.redb";
/// Bytes of a slot of a file of keys.
const SLOT: usize = 64;

/// What the database wanted on disk at once.
struct Frame {
    /// What the file shrank to, and its length then.
    lengths: (usize, usize),
    blocks: Vec<(usize, Vec<u8>)>,
}

impl Frame {
    /// Puts these of its blocks into an image, the last of them as far as `cut`.
    fn apply(&self, image: &mut Vec<u8>, chosen: impl Fn(usize) -> bool, cut: usize) {
        let (floor, len) = self.lengths;
        image.truncate(floor);
        image.resize(len, 0);
        let chosen: Vec<_> = self.blocks.iter().enumerate().filter(|(nth, _)| chosen(*nth)).collect();
        for (place, (_, (number, block))) in chosen.iter().enumerate() {
            let whole = if place + 1 == chosen.len() { cut } else { BLOCK };
            let from = number * BLOCK;
            let len = image.len().saturating_sub(from).min(whole);
            image[from..from + len].copy_from_slice(&block[..len]);
        }
    }
}

/// All frames of a log.
fn frames(log: &Path) -> Vec<Frame> {
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut frames = Vec::new();
    for file in files_below(log) {
        let bytes = fs::read(file).unwrap();
        let mut rest = &bytes[HEAD..];
        while rest.len() > FRAME_HEAD {
            let (body, after) = rest[FRAME_HEAD..].split_at(number(&rest[8..]));
            let blocks = body[16..].chunks_exact(8 + BLOCK).map(|row| (number(row), row[8..].to_vec()));
            frames.push(Frame { lengths: (number(body), number(&body[8..])), blocks: blocks.collect() });
            rest = &after[CHAIN..];
        }
    }
    frames
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(world: &World) -> Files {
    let name = |file: &PathBuf| file.strip_prefix(world.path()).unwrap().to_owned();
    world.files().into_iter().map(|file| (name(&file), fs::read(file).unwrap())).collect()
}

/// What is there from before or after: of two slots of keys the one that is used, the later one where both are.
fn either(before: &Files, after: &Files) -> Files {
    let mut both = before.clone();
    for (name, bytes) in after {
        let known = both.entry(name.clone()).or_default();
        let slots = name.extension().is_some_and(|kind| kind == "keys");
        let mut bytes = bytes.clone();
        if slots {
            for (place, slot) in known.chunks(SLOT).enumerate() {
                let later = bytes.get(place * SLOT..(place + 1) * SLOT);
                if later.is_none_or(|later| later == [0; SLOT]) {
                    bytes.resize(bytes.len().max(place * SLOT + slot.len()), 0);
                    bytes[place * SLOT..place * SLOT + slot.len()].copy_from_slice(slot);
                }
            }
        }
        *known = bytes;
    }
    both
}

/// One operation as it was recorded.
struct Recorded {
    name: &'static str,
    /// The files before, and what there may be of them during it.
    before: Files,
    during: Files,
    frames: Vec<Frame>,
}

/// A scene that is played, with what each operation does to the disk.
struct Recorder {
    scene: Scene,
    seen: usize,
    all: Vec<Recorded>,
}

impl Recorder {
    fn new() -> Self {
        let mut scene = Scene::new(4);
        scene.world.standby = Some(TempDir::new().unwrap());
        Self { scene: scene.restarted(|_| ()), seen: 0, all: Vec::new() }
    }

    fn log(&self) -> PathBuf {
        self.scene.world.standby.as_ref().unwrap().path().join("redo")
    }

    async fn record(&mut self, name: &'static str, operation: impl AsyncFnOnce(&Scene)) {
        self.seen = frames(&self.log()).len();
        let before = files(&self.scene.world);
        operation(&self.scene).await;
        self.scene.world.vault().settle_segments();
        let frames = frames(&self.log()).split_off(self.seen);
        let during = either(&before, &files(&self.scene.world));
        self.all.push(Recorded { name, before, during, frames });
    }
}

/// Puts files into the Vault's folder in place of all that is there.
fn laid(world: &World, files: &Files, database: &[u8]) {
    for file in world.files() {
        fs::remove_file(file).unwrap();
    }
    for (name, bytes) in files {
        let path = world.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, if name == Path::new(DATABASE) { database } else { bytes.as_slice() }).unwrap();
    }
}

fn records(count: u32) -> Operation {
    put_records(&lines(count, |n| tea(n)))
}

fn rotate() -> Operation {
    Operation::RotateKey(RotateKey {})
}

fn erase() -> Operation {
    Operation::ErasePerson(ErasePerson { subject: "p3".into() })
}

/// R057, R062-R068, R076-R080, R211: whatever frame is torn, and however, the Vault starts, everything that it keeps checks, nobody is
/// charged in part or twice, and what was asked for is done once when it is asked for again.
#[tokio::test]
async fn a_torn_write_is_an_operation_that_was_not_or_was() {
    let mut recorder = Recorder::new();
    recorder.record("people", async |scene: &Scene| scene.world.populate(8).await).await;
    recorder
        .record("records", async |scene: &Scene| {
            drop(scene.world.ask(OPERATOR, "records-of", records(14)).await)
        })
        .await;
    recorder.record("reserve", async |scene: &Scene| drop(scene.world.prepare(1, 10, 5_000).await)).await;
    recorder
        .record("commit", async |scene: &Scene| {
            let receipt = scene.world.prepare(1, 10, 5_000).await;
            scene.computed(&scene.assigned(1, &receipt)).await;
        })
        .await;
    recorder
        .record("rotate", async |scene: &Scene| drop(scene.world.ask(OPERATOR, "turn", rotate()).await))
        .await;
    recorder
        .record("erase", async |scene: &Scene| drop(scene.world.ask(OPERATOR, "erase", erase()).await))
        .await;
    let Recorder { scene, all, .. } = recorder;
    let mut world = scene.into_world();
    world.standby = None;
    world.close();
    let (mut tried, mut chance) = (0, 7_u64);
    for recorded in &all {
        let mut image = recorded.before[Path::new(DATABASE)].clone();
        assert!(!recorded.frames.is_empty(), "{} writes nothing", recorded.name);
        for (nth, frame) in recorded.frames.iter().enumerate() {
            for case in 0..4 {
                chance =
                    chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let some = |block: usize| match case {
                    // Nothing of it, all of it but the half of a block, and any of it.
                    0 => false,
                    1 => true,
                    _ => chance >> (block % 40 + 20) & 1 == 1,
                };
                let mut torn = image.clone();
                frame.apply(&mut torn, some, if case == 3 { BLOCK } else { BLOCK / 2 });
                laid(&world, &recorded.during, &torn);
                world.reopen();
                let what = format!(
                    "{} torn in frame {nth} of {}, case {case}",
                    recorded.name,
                    recorded.frames.len()
                );
                again(&world, recorded.name, &what).await;
                world.close();
                let report = checked(&world);
                assert_eq!(report.faults, vec![], "{what}");
                tried += 1;
            }
            frame.apply(&mut image, |_| true, BLOCK);
        }
    }
    assert!(tried > 60, "{tried} tried");
}

/// The operation is asked for again, and then it is done once.
async fn again(world: &World, name: &str, what: &str) {
    match name {
        "people" => {
            for done in world.populated(8).await {
                assert_eq!((done.accepted + done.duplicates, done.refused_total), (8, 0), "{what}");
            }
            assert_eq!(world.vault().state().holdings.count(), 8, "{what}");
        }
        "records" => {
            let done = world.ask(OPERATOR, "records-of", records(14)).await;
            assert_eq!((done.accepted + done.duplicates, done.refused_total), (14, 0), "{what}");
            assert_eq!(world.vault().state().holdings.count(), 22, "{what}");
        }
        "reserve" => {
            let before = world.budget("p1").await;
            assert!([(0, 0), (10, 0)].contains(&before), "{what}: {before:?}");
            world.prepare(1, 10, 5_000).await;
            assert_eq!(world.budget("p1").await, (10, 0), "{what}");
        }
        "commit" => {
            let found = world.budget("p1").await;
            assert!([(10, 0), (0, 10)].contains(&found), "{what}: {found:?}");
        }
        "rotate" => {
            let done = world.ask(OPERATOR, "turn", rotate()).await;
            assert_eq!((done.code.as_str(), done.accepted > 8), ("", true), "{what}");
            assert_eq!(world.ask(("p2", "producer"), "read", read_records("p2")).await.code, "", "{what}");
        }
        _ => {
            assert_eq!(world.ask(OPERATOR, "erase", erase()).await.code, "", "{what}");
            let read = world.ask(("p3", "producer"), "read", read_records("p3")).await;
            assert_eq!(read.code, "VLT-0002", "{what}");
        }
    }
}
