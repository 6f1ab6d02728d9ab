//! Power that fails while the database writes: every frame of what it wants on disk is torn, at every kind of operation (R057, R062-R068,
//! R076-R080, R211).
//!
//! A standby's log has the database's writes, frame by frame. Here they are put into a copy of the file as far as a disk might have
//! got: some blocks of a frame and not others, and one block in half. All other files are as they were when the frame was written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use symphony_standby::standby::Step;
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

/// All files of a folder.
fn files(folder: &Path) -> Files {
    let name = |file: &PathBuf| file.strip_prefix(folder).unwrap().to_owned();
    files_below(folder).into_iter().map(|file| (name(&file), fs::read(&file).unwrap())).collect()
}

/// One operation as it was recorded.
struct Recorded {
    name: &'static str,
    /// What the database wanted on disk, each time with the files as they were before.
    frames: Vec<(Files, Frame)>,
}

/// A scene that is played, with what each operation does to the disk.
struct Recorder {
    scene: Scene,
    seen: Arc<Mutex<Vec<Files>>>,
    all: Vec<Recorded>,
}

impl Recorder {
    fn new() -> Self {
        let mut scene = Scene::new(4);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (noted, folder) = (Arc::clone(&seen), scene.world.path().to_owned());
        scene.world.standby = Some(TempDir::new().unwrap());
        scene.world.watch = Some(Arc::new(move |step| {
            if step == Step::Logged {
                noted.lock().unwrap().push(files(&folder));
            }
            Ok(())
        }));
        Self { scene: scene.restarted(|_| ()), seen, all: Vec::new() }
    }

    async fn record(&mut self, name: &'static str, operation: impl AsyncFnOnce(&Scene)) {
        let log = self.scene.world.standby.as_ref().unwrap().path().join("redo");
        let before = frames(&log).len();
        self.seen.lock().unwrap().clear();
        operation(&self.scene).await;
        self.scene.world.vault().settle_segments();
        let (seen, written) =
            (std::mem::take(&mut *self.seen.lock().unwrap()), frames(&log).split_off(before));
        assert_eq!(seen.len(), written.len(), "{name}");
        self.all.push(Recorded { name, frames: seen.into_iter().zip(written).collect() });
    }
}

/// Puts files into the Vault's folder in place of all that is there.
fn laid(world: &World, files: &Files, database: &[u8]) {
    for file in world.files() {
        fs::remove_file(file).unwrap();
    }
    // What says that there is a standby is left out: here there is none any more.
    for (name, bytes) in files.iter().filter(|(name, _)| *name != Path::new("standby.id")) {
        let path = world.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, if name == Path::new(DATABASE) { database } else { bytes.as_slice() }).unwrap();
    }
}

fn records(count: u32) -> Operation {
    put_records(&lines(count, tea))
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
    world.close();
    (world.standby, world.watch) = (None, None);
    let (mut tried, mut chance) = (0, 7_u64);
    for recorded in &all {
        assert!(!recorded.frames.is_empty(), "{} writes nothing", recorded.name);
        for (nth, (files, frame)) in recorded.frames.iter().enumerate() {
            for case in 0..4 {
                chance =
                    chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let some = |block: usize| match case {
                    // Nothing of it, all of it but the half of a block, and any of it.
                    0 => false,
                    1 => true,
                    _ => chance >> (block % 40 + 20) & 1 == 1,
                };
                let mut torn = files[Path::new(DATABASE)].clone();
                frame.apply(&mut torn, some, if case == 3 { BLOCK } else { BLOCK / 2 });
                laid(&world, files, &torn);
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
            let done = world.ask(OPERATOR, "erase", erase()).await;
            assert_eq!((done.code.as_str(), done.detail.as_str()), ("", ""), "{what}");
            let read = world.ask(("p3", "producer"), "read", read_records("p3")).await;
            assert_eq!(read.code, "VLT-0002", "{what}");
        }
    }
}
