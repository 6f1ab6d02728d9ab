//! Records in segments: what a slice over them finds, what a later attempt reads, and what is found when they are damaged.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use symphony_protocol::artifact::selection::{Qualification, Quantity, ResolvedMeasure, Selection};
use symphony_protocol::artifact::{
    AudienceResult, DividendRequest, EndorsedAssignment, Outcome, Plan, Predicate, ResolvedOperand,
    SignedReceipt,
};
use symphony_protocol::governance::Governance;
use symphony_tee::measure;
use symphony_tee::report::EnclaveRole;
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, RuleName, TaskId};
use symphony_types::key::{Endorsed, Master};
use symphony_types::time::OrderedMillis;
use symphony_vault::agent::Agent;
use symphony_vault::check::{self, Part, Report};
use symphony_vault::store::Transcript;
use symphony_vault::tending::Step;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Call, purpose};
use symphony_wire::sealed::SealingKey;
use tempfile::TempDir;

use crate::world::*;

/// A Vault that writes segments of so many records, its enclave, and an aggregator's.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) program: PathBuf,
    aggregator: Agent,
    pub(crate) slice: Arc<Agent>,
    _elsewhere: TempDir,
}

impl Scene {
    pub(crate) fn new(segment_rows: u32) -> Self {
        Self::governed(segment_rows, |_| ())
    }

    /// The same, under a governance that was changed before anything was founded on it.
    pub(crate) fn governed(segment_rows: u32, change: impl FnOnce(&mut Governance)) -> Self {
        let program = program("symphony-enclave");
        let mut world = World::governed(&[measure::program(&program).unwrap()], change);
        world.quota.segment_rows = segment_rows;
        world.reopen();
        let elsewhere = TempDir::new().unwrap();
        let aggregator = agent(&world, &program, elsewhere.path(), "aggregator", EnclaveRole::Aggregator);
        let slice = Arc::new(agent(&world, &program, world.path(), "acme-executor", EnclaveRole::Slice));
        Self { world, program, aggregator, slice, _elsewhere: elsewhere }
    }

    pub(crate) async fn order(&self, name: u8) -> EndorsedAssignment {
        let receipt = self.world.prepare(name, 10, 5_000).await;
        self.assigned(name, &receipt)
    }

    pub(crate) fn assigned(&self, name: u8, receipt: &SignedReceipt) -> EndorsedAssignment {
        assign(&self.world, &self.aggregator, &self.slice, name, receipt)
    }

    pub(crate) async fn computed(&self, order: &EndorsedAssignment) -> Transcript {
        let vault = Arc::clone(self.world.vault());
        vault.assign(Arc::clone(&self.slice), order.clone()).await.unwrap()
    }

    /// What the submitter gets when this is the only slice.
    pub(crate) fn result(&self, order: &EndorsedAssignment, transcript: &Transcript) -> AudienceResult {
        self.opened(order, transcript)
    }

    /// The same of a task of any kind.
    pub(crate) fn opened<T: DeserializeOwned>(
        &self,
        order: &EndorsedAssignment,
        transcript: &Transcript,
    ) -> T {
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

    /// Ends the node with its enclave, has something done, and starts both again.
    pub(crate) fn restarted(self, between: impl FnOnce(&World)) -> Self {
        let Self { mut world, program, aggregator, slice, _elsewhere } = self;
        drop(slice);
        world.close();
        between(&world);
        world.reopen();
        let slice = Arc::new(agent(&world, &program, world.path(), "acme-executor", EnclaveRole::Slice));
        Self { world, program, aggregator, slice, _elsewhere }
    }

    /// What is left without the enclaves.
    pub(crate) fn into_world(self) -> World {
        self.world
    }

    pub(crate) async fn more(&self, request: &str, records: u32, line: impl Fn(u32) -> String) {
        let done = self.world.ask(OPERATOR, request, put_records(&lines(records, line))).await;
        assert_eq!((done.accepted, done.refused_total), (u64::from(records), 0), "{done:?}");
    }
}

pub(crate) fn tea(n: u32) -> String {
    let (merchant, person) = (["Cafe Luna", " CAFE  luna", "Tea House"][n as usize % 3], n % 7);
    format!(
        r#"{{"request_id":"tea-{n}","subject":"p{person}","commerce.merchant":"{merchant}","commerce.amount":"{n}.10"}}"#
    )
}

/// The files of all segments, wherever they are.
pub(crate) fn segments(world: &World) -> Vec<PathBuf> {
    files_below(&world.bucket.clone().unwrap_or_else(|| world.path().join("analysis/segments")))
}

pub(crate) fn checked(world: &World) -> Report {
    let clock = Arc::new(|| OrderedMillis(1_000_000));
    check::folder(world.path(), &vault_id(), NETWORK, &world.governance, clock, world.keeping()).unwrap()
}

/// R057, R079, R087, R093: the same people come out, whether their records lie in segments, beside them, or both.
#[tokio::test]
async fn a_slice_finds_the_same_people_in_segments_as_in_records() {
    let mut results = Vec::new();
    for (segment_rows, files) in [(u32::MAX, 0), (4, 2), (12, 1), (28, 1)] {
        let scene = Scene::new(segment_rows);
        scene.world.populate(10).await;
        scene.more("more", 15, tea).await;
        // Some stand beside, also of people who have none in a segment that the query selects.
        scene.more("last", 3, |n| tea(15 + n)).await;
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

/// R046, R057, R079, R087: so do those whom a selection means over several of their records: three at the cafe for 20.00 together, and
/// less than 3.00 at the tea house. Counts and sums are over records in segments and beside them together.
#[tokio::test]
async fn a_selection_over_several_records_does_not_depend_on_where_they_lie() {
    let measure = |attribute_name: &str, quantity, at_least| {
        let rule = RuleName::new("commerce.measured").unwrap();
        ResolvedMeasure { rule, attribute: attribute(attribute_name), quantity, at_least }
    };
    let at = |merchant: &str, measures| {
        let rule = RuleName::new("commerce.merchant_is").unwrap();
        let predicate = Predicate::TextEquals(merchant.into());
        let operands = vec![ResolvedOperand { rule, attribute: attribute("commerce.merchant"), predicate }];
        Selection::Record(Qualification { operands, measures })
    };
    let thrice = measure("commerce.merchant", Quantity::Records, 3);
    let regulars = at("cafe luna", vec![thrice, measure("commerce.amount", Quantity::Sum, 2_000)]);
    let elsewhere = at("tea house", vec![measure("commerce.amount", Quantity::Sum, 300)]);
    let who = Selection::All(vec![regulars, Selection::Not(Box::new(elsewhere))]);
    for segment_rows in [u32::MAX, 4, 12, 28] {
        let mut scene = Scene::new(segment_rows);
        scene.world.populate(10).await;
        scene.more("more", 15, tea).await;
        scene.more("last", 3, |n| tea(15 + n)).await;
        scene.world.withdraw("p3").await;
        let Plan::Audience(query) = &mut scene.world.plan else { panic!("no audience") };
        query.who = who.clone();
        let order = scene.order(1).await;
        let result = scene.result(&order, &scene.computed(&order).await);
        // Person 1 spent 8.10 on tea, 2 spent 2.10; 0 has three at the cafe for 13.00; 3 has withdrawn, and others come too rarely.
        assert_eq!(result.handles, ["p2@example.org", "p6@example.org"], "segments of {segment_rows}");
    }
}

/// R105, R196: a later attempt reads exactly what the first one read, though what stood beside segments is in one now and
/// they became one; once the task is paid, what it read is gone, and asking for it is refused.
#[tokio::test]
async fn a_later_attempt_reads_the_same_though_segments_were_merged_until_the_task_is_paid() {
    let mut scene = Scene::new(4);
    scene.world.populate(7).await;
    scene.more("few", 3, tea).await;
    let mut order = scene.order(1).await.body;
    let first = scene.computed(&scene.world.master.endorsed(order.clone())).await;
    let (old, key) = (segments(&scene.world), slots_used(&scene.world));
    assert_eq!((old.len(), key), (1, 1));
    for upload in 0..9 {
        scene.more(&format!("more-{upload}"), 6, |n| tea(3 + 6 * upload + n)).await;
        // So that the first eight are merged, whatever else the machine does.
        scene.world.vault().settle_segments();
    }
    scene.world.at(6_000);
    drop(scene.slice);
    scene.world.reopen();
    scene.world.vault().settle_segments();
    let both = segments(&scene.world);
    assert!(both.contains(&old[0]) && both.len() < 9, "merged, and what the task reads is kept: {both:?}");
    let enclave =
        agent(&scene.world, &scene.program, scene.world.path(), "acme-executor", EnclaveRole::Slice);
    scene.slice = Arc::new(enclave);
    order.attempt = 1;
    let second = scene.computed(&scene.world.master.endorsed(order.clone())).await;
    let (before, after) = (&first.header.body, &second.header.body);
    assert_eq!((after.input_root, after.records), (before.input_root, before.records));
    assert_eq!((before.attempt, after.attempt), (0, 1));

    let closed = scene.world.vault().close_dividends(closing(&scene.world, 1, vec![task(1)])).await.unwrap();
    assert_eq!(closed.body.payees, 7);
    scene.world.vault().settle_segments();
    let present = segments(&scene.world);
    assert!(!present.contains(&old[0]), "{present:?} without {old:?}");
    assert_eq!(slots_used(&scene.world), present.len(), "{present:?}");
    let known = Arc::clone(scene.world.vault())
        .assign(Arc::clone(&scene.slice), scene.world.master.endorsed(order.clone()))
        .await;
    assert_eq!(known.unwrap().header, second.header, "what was answered is answered");
    order.attempt = 2;
    let refused = Arc::clone(scene.world.vault())
        .assign(Arc::clone(&scene.slice), scene.world.master.endorsed(order))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::IllegalTransition);
    drop(scene.slice);
    scene.world.close();
    assert_eq!(checked(&scene.world).faults, vec![]);
}

/// R161: a task that several epochs closed without lets go of its segments, and is paid the same should it be paid after all.
#[tokio::test]
async fn a_task_that_is_not_paid_for_long_lets_go_of_its_segments_and_is_paid_the_same() {
    let mut totals = Vec::new();
    for epochs in [0, 3] {
        let scene = Scene::new(4);
        scene.world.populate(7).await;
        scene.computed(&scene.order(1).await).await;
        let old = segments(&scene.world);
        for upload in 0..9 {
            scene.more(&format!("more-{upload}"), 6, |n| tea(6 * upload + n)).await;
            scene.world.vault().settle_segments();
        }
        scene.world.at(6_000);
        for epoch in 1..=epochs {
            scene.world.vault().settle_segments();
            assert!(segments(&scene.world).contains(&old[0]), "before epoch {epoch} is closed");
            scene.world.vault().close_dividends(closing(&scene.world, epoch, vec![])).await.unwrap();
        }
        scene.world.vault().settle_segments();
        assert_eq!(segments(&scene.world).contains(&old[0]), epochs == 0);
        let paid = scene.world.vault().close_dividends(closing(&scene.world, 9, vec![task(1)])).await;
        let paid = paid.unwrap().body;
        totals.push((paid.root, paid.payees, paid.total));
    }
    assert_eq!(totals[0].1, 7);
    assert_eq!(totals[0], totals[1]);
}

/// R063, R077, R078: however uploads come, the Vault has few segments with all records, and a slice finds the same people.
#[tokio::test]
async fn merging_keeps_every_record_and_every_answer() {
    for seed in 1..=3_u64 {
        let mut scene = Scene::new(3);
        scene.world.populate(10).await;
        let (mut random, mut sent) = (seed, 0);
        for upload in 0..40 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let count = 1 + (random >> 33) as u32 % 9;
            scene.more(&format!("upload-{upload}"), count, |n| tea(sent + n)).await;
            sent += count;
            if upload % 13 == 12 {
                scene.world.vault().settle_segments();
            }
        }
        scene.world.vault().settle_segments();
        let files = segments(&scene.world);
        assert!(files.len() < 20, "{} segments", files.len());
        assert_eq!(slots_used(&scene.world), files.len());
        let order = scene.order(1).await;
        let result = scene.result(&order, &scene.computed(&order).await);
        assert_eq!(result.handles, (0..10).map(|n| format!("p{n}@example.org")).collect::<Vec<_>>());
        drop(scene.slice);
        scene.world.close();
        let report = checked(&scene.world);
        assert_eq!(report.faults, vec![]);
        assert_eq!((report.segments, report.records), (files.len() as u64, u64::from(10 + sent)));
    }
}

/// R077, R080: wherever a Vault is stopped, or whatever step fails, while it writes, merges and releases segments, no
/// record is lost or in two of them, and after the next start there is no key or file that nothing names.
#[tokio::test]
async fn a_stop_at_any_step_loses_nothing_and_leaves_nothing_behind() {
    stopped_at_any_step(|_| ()).await;
}

/// Stops whatever the Vault does with segments after so many steps, which are noted: its thread dies, or the step fails.
pub(crate) fn stopping(world: &World, stop_at: usize, killed: bool) -> Arc<Mutex<Vec<Step>>> {
    let steps = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&steps);
    world.vault().watch_segments(Arc::new(move |step| {
        let mut steps = noted.lock().unwrap_or_else(PoisonError::into_inner);
        steps.push(step);
        match steps.len() > stop_at {
            // A thread that panics tidies nothing up; whatever else is asked of it fails as well.
            true if killed => panic!("stopped after {step:?}"),
            true => Err(std::io::Error::other("no more")),
            false => Ok(()),
        }
    }));
    steps
}

pub(crate) async fn stopped_at_any_step(place: impl Fn(&mut World)) {
    for killed in [true, false] {
        let mut seen = BTreeSet::new();
        // Of eight that are destroyed one by one, the first and the last.
        for stop_at in (0..=9).chain([22, 23, NEVER]) {
            let mut world = World::new();
            world.quota.segment_rows = 2;
            place(&mut world);
            world.reopen();
            world.populate(7).await;
            for upload in 0..6 {
                world
                    .ask(OPERATOR, &format!("{upload}"), put_records(&lines(4, |n| tea(4 * upload + n))))
                    .await;
            }
            world.vault().settle_segments();
            let steps = stopping(&world, stop_at, killed);
            let last = put_records(&lines(4, |n| tea(24 + n)));
            let message = world.sealed(&world.message(OPERATOR, "last", last.clone()), &world.gateway);
            let answered = Arc::clone(world.vault()).operate(message).await;
            world.vault().settle_segments();
            let done = steps.lock().unwrap_or_else(PoisonError::into_inner).clone();
            seen.extend(done.iter().map(|step| format!("{step:?}")));
            world.reopen();
            // The thread of the new start merges what is due, step by step.
            world.vault().settle_segments();
            assert_eq!(slots_used(&world), segments(&world).len(), "after {done:?}");
            let again = world.ask(OPERATOR, "last", last).await;
            assert_eq!(again.accepted + again.duplicates, 4, "{answered:?}");
            world.ask(OPERATOR, "more", put_records(&lines(2, |n| tea(28 + n)))).await;
            world.vault().settle_segments();
            assert_eq!(slots_used(&world), segments(&world).len(), "after {done:?}");
            world.close();
            let report = checked(&world);
            assert_eq!((report.records, report.faults), (37, vec![]), "after {done:?}");
            assert!((1..=2).contains(&report.segments), "{} segments after {done:?}", report.segments);
            assert!(done.len() > stop_at || (stop_at, done.len()) == (NEVER, STEPS), "{done:?}");
        }
        assert_eq!(seen.len(), 6, "{seen:?}");
    }
}

/// A segment is written, an old version goes, eight become one, their version goes, and they are destroyed.
const STEPS: usize = 3 + 1 + 3 + 1 + 2 * 8;
const NEVER: usize = usize::MAX;

/// The closing of an epoch in which these tasks are paid.
pub(crate) fn closing(world: &World, epoch: u64, tasks: Vec<TaskId>) -> Endorsed<DividendRequest, Master> {
    world.master.endorsed(DividendRequest {
        vault: vault_id(),
        epoch: EpochId(epoch),
        shares: tasks.into_iter().map(|task| (task, Sym(700))).collect(),
        carried_in: Sym(0),
        payees_min: 2,
        staked: vec![],
    })
}

/// Keys of segments that are not overwritten.
pub(crate) fn slots_used(world: &World) -> usize {
    let bytes = std::fs::read(world.path().join("segments.keys")).unwrap();
    bytes.chunks(128).filter(|slot| slot.iter().any(|byte| *byte != 0)).count()
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
    assert_eq!((known.len(), segments(&scene.world).len()), (1, 3));
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
    assert_eq!((sound.segments, sound.faults), (1, vec![]));
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
    let rows: redb::TableDefinition<u64, &[u8]> = redb::TableDefinition::new("vault/record-chunks/2");
    write.open_table(rows).unwrap().pop_first().unwrap();
    write.commit().unwrap();
    drop(database);
    let parts: Vec<_> = checked(&world).faults.iter().map(|fault| fault.part).collect();
    assert!(parts.contains(&Part::Segment) && parts.contains(&Part::Record), "{parts:?}");
}
