//! Records in segments: what a slice over them finds, what a later attempt reads, and what is found when they are damaged.

use std::path::PathBuf;
use std::sync::Arc;

use symphony_protocol::artifact::{AudienceResult, EndorsedAssignment, Outcome};
use symphony_tee::measure;
use symphony_tee::report::EnclaveRole;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::time::OrderedMillis;
use symphony_vault::agent::Agent;
use symphony_vault::check::{self, Part, Report};
use symphony_vault::store::Transcript;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Call, purpose};
use symphony_wire::sealed::SealingKey;
use tempfile::TempDir;

use crate::world::*;

/// A Vault that writes segments of so many records, its enclave, and an aggregator's.
struct Scene {
    world: World,
    program: PathBuf,
    aggregator: Agent,
    slice: Arc<Agent>,
    _elsewhere: TempDir,
}

impl Scene {
    fn new(segment_rows: u32) -> Self {
        let program = program("symphony-enclave");
        let mut world = World::with(&[measure::program(&program).unwrap()]);
        world.quota.segment_rows = segment_rows;
        world.reopen();
        let elsewhere = TempDir::new().unwrap();
        let aggregator = agent(&world, &program, elsewhere.path(), "aggregator", EnclaveRole::Aggregator);
        let slice = Arc::new(agent(&world, &program, world.path(), "acme-executor", EnclaveRole::Slice));
        Self { world, program, aggregator, slice, _elsewhere: elsewhere }
    }

    async fn order(&self, name: u8) -> EndorsedAssignment {
        let receipt = self.world.prepare(name, 10, 5_000).await;
        assign(&self.world, &self.aggregator, &self.slice, name, &receipt)
    }

    async fn computed(&self, order: &EndorsedAssignment) -> Transcript {
        let vault = Arc::clone(self.world.vault());
        vault.assign(Arc::clone(&self.slice), order.clone()).await.unwrap()
    }

    /// What the submitter gets when this is the only slice.
    fn result(&self, order: &EndorsedAssignment, transcript: &Transcript) -> AudienceResult {
        let envelope = order.body.envelope.clone();
        let task = envelope.task;
        let call = Call::Aggregate {
            envelope: self.world.master.endorsed(envelope),
            nonce: Digest([9; 32]),
            bundles: vec![(vault_id(), transcript.bundle.clone())],
            masters: self.world.governance.registry.masters.values().copied().collect(),
        };
        let answer = self.aggregator.call(&call).unwrap();
        let Answer::Aggregated { sealed, .. } = answer else { panic!("not aggregated") };
        let key = SealingKey::from_seed(&[6; 32]);
        let aad = symphony_types::canonical::to_bytes(&task);
        documents::decode(&key.open(purpose::RESULT, &aad, &sealed).unwrap()).unwrap()
    }

    async fn more(&self, request: &str, records: u32, line: impl Fn(u32) -> String) {
        let done = self.world.ask(OPERATOR, request, put_records(&lines(records, line))).await;
        assert_eq!((done.accepted, done.refused_total), (u64::from(records), 0), "{done:?}");
    }
}

fn tea(n: u32) -> String {
    let (merchant, person) = (["Cafe Luna", " CAFE  luna", "Tea House"][n as usize % 3], n % 7);
    format!(
        r#"{{"request_id":"tea-{n}","subject":"p{person}","commerce.merchant":"{merchant}","commerce.amount":"{n}.10"}}"#
    )
}

fn segments(world: &World) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(world.path().join("analysis/segments")).unwrap();
    folder.map(|file| file.unwrap().path()).collect()
}

fn checked(world: &World) -> Report {
    let clock = Arc::new(|| OrderedMillis(1_000_000));
    check::folder(world.path(), &vault_id(), NETWORK, &world.governance, clock).unwrap()
}

/// R057, R079, R087, R093: the same people come out, whether their records lie in segments, beside them, or both.
#[tokio::test]
async fn a_slice_finds_the_same_people_in_segments_as_in_records() {
    let mut results = Vec::new();
    for (segment_rows, files) in [(u32::MAX, 0), (4, 6), (12, 2), (25, 1)] {
        let scene = Scene::new(segment_rows);
        scene.world.populate(10).await;
        scene.more("more", 15, tea).await;
        scene.world.withdraw("p3").await;
        assert_eq!(segments(&scene.world).len(), files);
        let order = scene.order(1).await;
        let result = scene.result(&order, &scene.computed(&order).await);
        assert_eq!(result.outcome, Outcome::Audience { returned: 9 });
        let expected = (0..10).filter(|n| *n != 3).map(|n| format!("p{n}@example.org"));
        assert_eq!(result.handles, expected.collect::<Vec<_>>());
        results.push(result.handles);
    }
    results.dedup();
    assert_eq!(results.len(), 1);
}

/// R105, R196: a later attempt reads exactly what the first one read, though what stood beside segments is in one now.
#[tokio::test]
async fn a_later_attempt_reads_the_same_though_records_moved_into_segments() {
    let mut scene = Scene::new(4);
    scene.world.populate(7).await;
    let mut order = scene.order(1).await.body;
    let first = scene.computed(&scene.world.master.endorsed(order.clone())).await;
    scene.more("more", 15, tea).await;
    assert_eq!(segments(&scene.world).len(), 5);
    scene.world.at(6_000);
    drop(scene.slice);
    scene.world.reopen();
    scene.slice = Arc::new(agent(
        &scene.world,
        &scene.program,
        scene.world.path(),
        "acme-executor",
        EnclaveRole::Slice,
    ));
    order.attempt = 1;
    let second = scene.computed(&scene.world.master.endorsed(order)).await;
    let (before, after) = (&first.header.body, &second.header.body);
    assert_eq!((after.input_root, after.records), (before.input_root, before.records));
    assert_eq!((before.attempt, after.attempt), (0, 1));
}

/// R078: what a crash left unfinished is gone after the next start, and everything else is there.
#[tokio::test]
async fn what_no_row_names_is_destroyed_at_the_start() {
    let mut scene = Scene::new(4);
    scene.world.populate(9).await;
    let known = segments(&scene.world);
    for stray in ["00112233445566778899aabbccddeeff.parquet", "half.tmp"] {
        std::fs::write(scene.world.path().join("analysis/segments").join(stray), b"unfinished").unwrap();
    }
    assert_eq!(segments(&scene.world).len(), 4);
    scene.world.reopen();
    assert_eq!(segments(&scene.world), known);
    let order = scene.order(1).await;
    let result = scene.result(&order, &scene.computed(&order).await);
    assert_eq!(result.outcome, Outcome::Audience { returned: 9 });
}

/// R076, R078: a changed byte of a segment is found and named, a slice over it is refused, and nobody's answer is made up.
#[tokio::test]
async fn a_changed_byte_of_a_segment_is_found_and_refused() {
    let mut scene = Scene::new(4);
    scene.world.populate(8).await;
    let order = scene.order(1).await;
    let file = segments(&scene.world).remove(0);
    let whole = std::fs::read(&file).unwrap();
    assert!(!whole.windows(9).any(|bytes| bytes == b"cafe luna"), "a segment shows what it holds");
    drop(scene.slice);
    scene.world.close();
    let sound = checked(&scene.world);
    assert_eq!((sound.segments, sound.faults), (2, vec![]));
    let id = file.file_stem().unwrap().to_str().unwrap().to_owned();
    for place in (0..whole.len()).step_by(1 + whole.len() / 20) {
        let mut spoiled = whole.clone();
        spoiled[place] ^= 0x40;
        std::fs::write(&file, &spoiled).unwrap();
        let report = checked(&scene.world);
        let fault = report.faults.first().unwrap_or_else(|| panic!("byte {place} is not missed"));
        assert_eq!((fault.part, &fault.place), (Part::Segment, &id), "{report:?}");
    }
    let mut spoiled = whole.clone();
    for byte in spoiled.iter_mut().step_by(64) {
        *byte ^= 1;
    }
    std::fs::write(&file, &spoiled).unwrap();
    scene.world.reopen();
    let slice = Arc::new(agent(
        &scene.world,
        &scene.program,
        scene.world.path(),
        "acme-executor",
        EnclaveRole::Slice,
    ));
    let refused = Arc::clone(scene.world.vault()).assign(Arc::clone(&slice), order.clone()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Internal);
    std::fs::write(&file, &whole).unwrap();
    let done = Arc::clone(scene.world.vault()).assign(slice, order).await.unwrap();
    assert_eq!(done.header.body.task, task(1), "once it is mended the task goes on");
}

/// R078: a segment of other records than its catalogue says, under its own key and digest, is found as well.
#[tokio::test]
async fn a_record_that_is_missing_under_a_segment_is_found() {
    let scene = Scene::new(4);
    scene.world.populate(8).await;
    let mut world = scene.world;
    drop(scene.slice);
    world.close();
    let database = redb::Database::open(world.path().join("vault.redb")).unwrap();
    let write = database.begin_write().unwrap();
    let rows: redb::TableDefinition<(u32, u32), &[u8]> = redb::TableDefinition::new("vault/records");
    write.open_table(rows).unwrap().pop_first().unwrap();
    write.commit().unwrap();
    drop(database);
    let parts: Vec<_> = checked(&world).faults.iter().map(|fault| fault.part).collect();
    assert!(parts.contains(&Part::Segment) && parts.contains(&Part::Record), "{parts:?}");
}
