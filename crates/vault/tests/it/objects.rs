//! A Vault whose segments are in a store of objects: the same answers as from its folder, and what happens while the store is away.

use std::fs;
use std::sync::Arc;

use hyper::Method;
use symphony_protocol::artifact::statistic::StatisticResult;
use symphony_protocol::artifact::{AudienceResult, EndorsedAssignment};
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_vault::check::{self, Part};
use symphony_vault::problem::Problem;
use symphony_vault::store::Transcript;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{ErasePerson, RotateKey};
use tempfile::TempDir;

use crate::backup::{erase, lose, restored, taken, unwatched};
use crate::segments::{Scene, checked, closing, segments, slots_used, stopped_at_any_step, tea};
use crate::server::{Fault, Server};
use crate::statistic;
use crate::world::*;

const ALWAYS: usize = usize::MAX;

/// Has the world's segments in a store from its next start on.
pub(crate) fn over(world: &mut World, server: &Server) {
    (world.segments, world.bucket) = (Some(server.settings()), Some(server.bucket()));
}

fn scene(server: &Server, segment_rows: u32) -> Scene {
    let mut scene = Scene::new(segment_rows);
    over(&mut scene.world, server);
    scene.restarted(|_| ())
}

pub(crate) async fn tried(scene: &Scene, order: &EndorsedAssignment) -> Result<Transcript, Problem> {
    Arc::clone(scene.world.vault()).assign(Arc::clone(&scene.slice), order.clone()).await
}

fn in_folder(world: &World) -> usize {
    fs::read_dir(world.path().join("analysis/segments")).unwrap().count()
}

/// R078, R079, R087, R092, R105, R162: a task that was computed over the folder's segments is computed again over the store's, after
/// they moved there: over the same inputs, with the same bytes as its result; and what it used is paid the same.
#[tokio::test]
async fn a_result_over_the_store_is_byte_for_byte_that_over_the_folder() {
    let mut paid = Vec::new();
    for moved in [false, true] {
        let server = Server::start();
        let mut scene = Scene::new(4);
        scene.world.populate(10).await;
        scene.more("more", 15, tea).await;
        scene.more("last", 3, |n| tea(15 + n)).await;
        let audience = scene.order(1).await;
        scene.world.plan = statistic::noised();
        let receipt = scene.world.prepare(2, 7, 5_000).await;
        let counted = scene.assigned(2, &receipt);
        let first = [scene.computed(&audience).await, scene.computed(&counted).await];
        if moved {
            over(&mut scene.world, &server);
        }
        let files = in_folder(&scene.world);
        scene = scene.restarted(|_| ());
        if moved {
            assert_eq!((in_folder(&scene.world), server.objects().len()), (0, files));
        }
        let again = |order: &EndorsedAssignment| {
            let mut order = order.body.clone();
            order.attempt = 1;
            scene.world.master.endorsed(order)
        };
        let orders = [again(&audience), again(&counted)];
        server.seen();
        let second = [scene.computed(&orders[0]).await, scene.computed(&orders[1]).await];
        assert_eq!(
            server.seen().contains(&Method::GET),
            moved,
            "the store is read when the segments are there"
        );
        for (first, second) in first.iter().zip(&second) {
            assert_eq!(first.header.body.input_root, second.header.body.input_root);
        }
        let found = |of: &[Transcript; 2]| {
            let audience: AudienceResult = scene.opened(&orders[0], &of[0]);
            let counted: StatisticResult = scene.opened(&orders[1], &of[1]);
            assert_eq!(audience.handles.len(), 10);
            [canonical::to_bytes(&audience), canonical::to_bytes(&counted)]
        };
        assert_eq!(found(&first), found(&second));
        scene.world.at(6_000);
        let closed = scene.world.vault().close_dividends(closing(&scene.world, 1, vec![task(1), task(2)]));
        let closed = closed.await.unwrap().body;
        paid.push((closed.root, closed.payees, closed.total));
    }
    assert_eq!(paid[0], paid[1]);
}

/// R055, R063, R076, R077, R078, R080: uploads, merging, an erasure, a rotation and a restart over a store: every record is in one
/// segment, no object is left that no row names, nothing of a segment is in the folder, and the store sees ciphertext.
#[tokio::test]
async fn a_vault_lives_with_its_segments_in_a_store() {
    let server = Server::start();
    let mut scene = scene(&server, 3);
    scene.world.populate(10).await;
    for upload in 0..20 {
        scene.more(&format!("upload-{upload}"), 5, |n| tea(5 * upload + n)).await;
        scene.world.vault().settle_segments();
    }
    assert_eq!(erase(&scene.world, "p9").await.code, "");
    let rotated = scene.world.ask(OPERATOR, "rotate", Operation::RotateKey(RotateKey {})).await;
    assert_eq!(rotated.code, "");
    scene = scene.restarted(|_| ());
    scene.world.vault().settle_segments();
    let objects = segments(&scene.world);
    assert_eq!((objects.len(), in_folder(&scene.world)), (slots_used(&scene.world), 0));
    assert!(objects.len() < 12, "{} segments", objects.len());
    for object in &objects {
        let bytes = fs::read(object).unwrap();
        assert!(!bytes.windows(4).any(|part| part == b"cafe" || part == b"luna"), "the store can read");
    }
    let order = scene.order(1).await;
    let result = scene.result(&order, &scene.computed(&order).await);
    assert_eq!(result.handles, (0..9).map(|n| format!("p{n}@example.org")).collect::<Vec<_>>());
    drop(scene.slice);
    scene.world.close();
    let report = checked(&scene.world);
    assert_eq!(report.faults, vec![]);
    assert_eq!((report.segments, report.records), (objects.len() as u64, 109));
}

/// R077, R080: as over the folder, wherever a Vault is stopped and whatever step fails.
#[tokio::test]
async fn a_stop_at_any_step_over_a_store_loses_nothing_and_leaves_nothing_behind() {
    let servers = std::sync::Mutex::new(Vec::new());
    stopped_at_any_step(|world| {
        let server = Server::start();
        over(world, &server);
        servers.lock().unwrap().push(server);
    })
    .await;
}

/// R057, R065, R078: while the store is away a slice is refused under its own code before anybody's budget is spent, whatever way it is
/// away; once it answers, the same order is computed. What fails later, or is wrong, spends it once, and is computed too in the end.
#[tokio::test]
async fn a_slice_is_refused_while_the_store_is_away_and_goes_on_afterwards() {
    let server = Server::start();
    let scene = scene(&server, 4);
    scene.world.populate(8).await;
    let order = scene.order(1).await;
    for fault in [Fault::Down, Fault::Status(500), Fault::Status(403), Fault::Stalled] {
        server.fail(fault, None, ALWAYS);
        assert_eq!(tried(&scene, &order).await.unwrap_err().code(), Code::SegmentsUnavailable, "{fault:?}");
        assert_eq!(scene.world.budget("p0").await, (10, 0), "{fault:?}");
    }
    for (fault, code) in [
        (Fault::Status(503), Code::SegmentsUnavailable),
        (Fault::Half, Code::SegmentsUnavailable),
        (Fault::Cut, Code::SegmentsUnavailable),
        (Fault::Wrong, Code::Internal),
    ] {
        server.fail(fault, Some(Method::GET), ALWAYS);
        assert_eq!(tried(&scene, &order).await.unwrap_err().code(), code, "{fault:?}");
        assert_eq!(scene.world.budget("p0").await, (0, 10), "{fault:?}");
    }
    server.mend();
    let done = tried(&scene, &order).await.unwrap();
    assert_eq!(scene.result(&order, &done).handles.len(), 8, "what was wrong is not remembered");
    server.fail(Fault::Down, None, ALWAYS);
    assert_eq!(tried(&scene, &order).await.unwrap().header, done.header, "what was answered is answered");
    scene.world.at(6_000);
    let close = || scene.world.vault().close_dividends(closing(&scene.world, 1, vec![task(1)]));
    assert_eq!(close().await.unwrap_err().code(), Code::SegmentsUnavailable);
    server.mend();
    assert_eq!(close().await.unwrap().body.payees, 8);
}

/// R055, R078, R080: while the store is away records are taken and kept, consent is withdrawn, a Vault starts, and an erasure destroys
/// the person's key and says that it is not done; once the store answers everything is caught up with.
#[tokio::test]
async fn nothing_is_lost_while_the_store_is_away() {
    let server = Server::start();
    let mut scene = scene(&server, 4);
    scene.world.populate(8).await;
    scene.more("first", 4, tea).await;
    scene.world.vault().settle_segments();
    server.fail(Fault::Down, None, ALWAYS);
    let kept = segments(&scene.world);
    scene.more("second", 4, |n| tea(4 + n)).await;
    scene.world.withdraw("p1").await;
    let wish = Operation::ErasePerson(ErasePerson { subject: "p2".into() });
    let told = scene.world.ask(("p2", "producer"), "erase", wish).await;
    assert_eq!(told.code, Code::SegmentsUnavailable.as_str());
    let read = scene.world.ask(OPERATOR, "read", read_records("p2")).await;
    assert_ne!(read.code, "", "nobody reads the person any more");
    scene = scene.restarted(|_| ());
    scene.more("third", 4, |n| tea(10 + n)).await;
    scene.world.vault().settle_segments();
    assert_eq!(segments(&scene.world), kept);
    server.mend();
    assert_eq!(erase(&scene.world, "p2").await.code, "");
    scene.more("fourth", 1, |n| tea(14 + n)).await;
    scene.world.vault().settle_segments();
    assert_eq!(segments(&scene.world).len(), slots_used(&scene.world));
    let order = scene.order(1).await;
    let result = scene.result(&order, &scene.computed(&order).await);
    assert_eq!(result.handles.len(), 6);
    drop(scene.slice);
    scene.world.close();
    let report = checked(&scene.world);
    assert_eq!((report.faults, report.records + report.erased_records), (vec![], 8 + 13));
}

/// R078, R080: after a failure uploads leave a store alone for a while; their records wait, and are in a segment later.
#[tokio::test]
async fn uploads_do_not_wait_for_a_store_that_just_failed() {
    let server = Server::start();
    let mut scene = scene(&server, 4);
    let rest = scene.world.segments.as_mut().unwrap();
    rest.patience.rest = std::time::Duration::from_secs(3_600);
    scene = scene.restarted(|_| ());
    scene.world.vault().settle_segments();
    server.fail(Fault::Down, None, ALWAYS);
    scene.world.populate(8).await;
    scene.world.vault().settle_segments();
    server.mend();
    server.seen();
    scene.more("more", 4, tea).await;
    assert!(!server.seen().contains(&Method::PUT));
    scene = scene.restarted(|_| ());
    scene.more("last", 4, |n| tea(4 + n)).await;
    assert_eq!(server.objects().len(), 1);
    drop(scene.slice);
    scene.world.close();
    assert_eq!((checked(&scene.world).faults, checked(&scene.world).segments), (vec![], 1));
}

/// R078: the check reads objects and names the one that is spoilt, cut or gone, and says so when the store does not answer.
#[tokio::test]
async fn a_spoilt_or_missing_object_is_found_and_named() {
    let server = Server::start();
    let mut scene = scene(&server, 4);
    scene.world.populate(8).await;
    scene.more("more", 9, tea).await;
    drop(scene.slice);
    scene.world.close();
    assert_eq!((checked(&scene.world).segments, checked(&scene.world).faults), (2, vec![]));
    let file = segments(&scene.world).remove(0);
    let (whole, id) = (fs::read(&file).unwrap(), file.file_stem().unwrap().to_str().unwrap().to_owned());
    let named = |world: &World, what: &str| {
        let report = checked(world);
        let fault = report.faults.first().unwrap();
        assert_eq!((report.faults_total, fault.part, &fault.place), (1, Part::Segment, &id), "{report:?}");
        assert!(fault.fault.contains(what), "{report:?}");
    };
    let mut spoilt = whole.clone();
    spoilt[whole.len() / 3] ^= 0x40;
    fs::write(&file, &spoilt).unwrap();
    named(&scene.world, "is corrupt in");
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    named(&scene.world, "is corrupt in its frame");
    fs::remove_file(&file).unwrap();
    named(&scene.world, "is not in the store");
    fs::write(&file, &whole).unwrap();
    assert_eq!(checked(&scene.world).faults, vec![]);
    server.fail(Fault::Down, None, ALWAYS);
    let clock = Arc::new(|| symphony_types::time::OrderedMillis(1_000_000));
    let world = &scene.world;
    let told = check::folder(world.path(), &vault_id(), NETWORK, &world.governance, clock, world.keeping());
    assert!(format!("{:#}", told.unwrap_err()).contains(Code::SegmentsUnavailable.as_str()));
}

/// R062, R066, R078: a Vault with a standby comes back after its disk is lost, with the objects where they are; without the store's
/// name the restore says which segments it misses and changes nothing.
#[tokio::test]
async fn a_vault_comes_back_with_its_objects_where_they_are() {
    let server = Server::start();
    let mut scene = Scene::new(4);
    scene.world.standby = Some(TempDir::new().unwrap());
    scene = scene.restarted(|_| ());
    scene.world.populate(8).await;
    over(&mut scene.world, &server);
    scene = scene.restarted(|_| ());
    let mirrored = scene.world.standby.as_ref().unwrap().path().join("segments");
    assert_eq!(fs::read_dir(mirrored).unwrap().count(), 0, "the standby lets go of what moved");
    taken(&scene.world, "one").await;
    for upload in 0..9 {
        scene.more(&format!("upload-{upload}"), 5, |n| tea(5 * upload + n)).await;
    }
    assert_eq!(erase(&scene.world, "p7").await.code, "");
    scene.world.vault().settle_segments();
    drop(scene.slice);
    let mut world = scene.world;
    world.close();
    let before = checked(&world);
    assert_eq!(before.faults, vec![]);
    lose(&world);
    let named = world.segments.take();
    let refused = restored(&world, None, unwatched()).unwrap_err();
    assert!(format!("{refused:#}").contains("is not in the store"), "{refused:#}");
    assert!(!world.path().exists());
    world.segments = named;
    assert_eq!(restored(&world, None, unwatched()).unwrap().2, before);
    world.reopen();
    world.vault().settle_segments();
    assert_eq!(segments(&world).len(), slots_used(&world));
    world.close();
    assert_eq!(checked(&world), before);
}
