//! Records and receipts that were kept for their time: what is left of them in answers, tasks, files and backups, and crashes between
//! the steps.

use std::collections::BTreeSet;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use symphony_protocol::artifact::EndorsedAssignment;
use symphony_types::catalogue::Code;
use symphony_types::subjects::SubjectIndex;
use symphony_vault::check::Part;
use symphony_vault::keys::{VaultKeys, WRAPPED_LEN};
use symphony_vault::people::Wrapped;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{
    EraseReceipt, ListReceipts, PutReceipt, ReadReceipt, ReadRetention, RetentionEntry, VaultAnswer,
};
use tempfile::TempDir;

use crate::backup::{lose, restored, taken, unwatched};
use crate::segments::{Scene, checked, closing, segments, slots_used, stopping, tea};
use crate::world::*;

const DAY: u64 = 86_400_000;
const P3: (&str, &str) = ("p3", "producer");
/// People, and with their coffees and teas what arrives on the first day.
const PEOPLE: u32 = 10;
const FIRST_DAY: u64 = 28;

fn days(days: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(days)
}

/// Three days of records, of which nothing has ended yet: it is the last moment of the third, and each is kept for two.
async fn filled(world: &World) {
    world.populate(PEOPLE).await;
    put(world, "day-0", 0, 15).await;
    // These wait for a segment, which has records of both days.
    put(world, "late", 15, 3).await;
    world.at(DAY + 5);
    put(world, "day-1", 100, 6).await;
    world.at(2 * DAY + 5);
    put(world, "day-2", 200, 3).await;
    world.vault().settle_segments();
    world.at(3 * DAY - 1);
}

async fn put(world: &World, request: &str, from: u32, count: u32) {
    let done = world.ask(OPERATOR, request, put_records(&lines(count, |n| tea(from + n)))).await;
    assert_eq!((done.accepted, done.refused_total), (u64::from(count), 0), "{done:?}");
}

fn scene(standby: bool) -> Scene {
    let mut scene = Scene::new(4);
    scene.world.quota.days = days(2);
    scene.world.standby = standby.then(|| TempDir::new().unwrap());
    scene.restarted(|_| ())
}

async fn told(world: &World) -> RetentionEntry {
    world.ask(OPERATOR, "read", Operation::ReadRetention(ReadRetention {})).await.retention.unwrap()
}

async fn requests(world: &World, person: &str) -> Vec<String> {
    let read = world.ask((person, "producer"), "read", read_records(person)).await;
    assert_eq!(read.code, "", "{}", read.detail);
    let request = |json: &str| {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        value["request"].as_str().unwrap().to_owned()
    };
    read.records.iter().map(|record| request(&record.json)).collect()
}

/// Files below a folder in which the keys at hand open the wrapped key of a day's records, byte by byte.
fn openable(world: &World, folder: &Path, period: u32) -> Vec<PathBuf> {
    let keys = VaultKeys::open(world.path()).unwrap();
    let mut place = *b"period\0\0\0\0";
    place[6..].copy_from_slice(&period.to_be_bytes());
    let opens = |window: &[u8]| {
        let wrapped = Wrapped { key: window.try_into().unwrap(), generation: 1 };
        window[..8] != [0; 8] && keys.ring.unwrap(&place, &wrapped).is_ok()
    };
    let mut files = files_below(folder);
    files.retain(|file| fs::read(file).unwrap().windows(WRAPPED_LEN).any(opens));
    files
}

/// An order of a task that is prepared now.
async fn order(scene: &Scene, name: u8) -> EndorsedAssignment {
    let now = scene.world.vault().now().0;
    let receipt = scene.world.prepare(name, 10, now + 4_000).await;
    scene.assigned(name, &receipt)
}

/// R076, R077, R078, R080, R230: not a moment before its time, and then a day's records are in no answer, no slice and no file that opens;
/// what came later is, the check is clean and tells how many ended, and who has none left is asked for nothing.
#[tokio::test]
async fn a_record_ends_when_it_was_kept_for_its_time() {
    let scene = scene(false);
    filled(&scene.world).await;
    let (state, head) = (scene.world.vault().state(), scene.world.vault().head());
    scene.world.vault().retain().await.unwrap();
    assert_eq!(scene.world.vault().head(), head);
    assert_eq!(scene.world.vault().state().holdings.ended(), 0, "it is kept to the end of its last day");
    assert_eq!(state.holdings.kept(), FIRST_DAY + 9);
    assert!(requests(&scene.world, "p3").await.contains(&"coffee-3".to_owned()));
    let mut told_of = told(&scene.world).await;
    assert_eq!((told_of.days, told_of.kept, told_of.ended, told_of.ended_ms), (2, FIRST_DAY + 9, 0, 0));
    let all = order(&scene, 1).await;
    assert_eq!(scene.result(&all, &scene.computed(&all).await).handles.len(), PEOPLE as usize);

    let scene = scene.restarted(|world| {
        assert_eq!(openable(world, world.path(), 0), [world.path().join("periods.keys")]);
    });
    scene.world.at(3 * DAY);
    scene.world.vault().retain().await.unwrap();
    let head = scene.world.vault().head();
    scene.world.vault().retain().await.unwrap();
    assert_eq!(scene.world.vault().head(), head, "again, nothing is due");
    told_of = told(&scene.world).await;
    assert_eq!((told_of.kept, told_of.ended, told_of.ended_ms), (9, FIRST_DAY, 3 * DAY));
    assert_eq!(told_of.since_ms, DAY);
    assert_eq!(requests(&scene.world, "p3").await, ["tea-101"]);
    for n in 0..PEOPLE {
        for request in requests(&scene.world, &format!("p{n}")).await {
            assert!(!request.starts_with("coffee") && request.len() == "tea-100".len(), "{request}");
        }
    }
    let holdings = scene.world.vault().state().holdings.clone();
    assert_eq!((holdings.count(), holdings.kept()), (FIRST_DAY + 9, 9));
    assert_eq!([1, 7, 9].map(|person| holdings.holds(SubjectIndex(person))), [false; 3], "nothing is left");
    let later = order(&scene, 2).await;
    let found = scene.result(&later, &scene.computed(&later).await).handles;
    assert_eq!(found, [0, 2, 4, 5, 6].map(|n| format!("p{n}@example.org")));
    assert_eq!(scene.world.budget("p9").await, (0, 10), "only what the first task consumed");

    let scene = scene.restarted(|world| {
        assert_eq!(openable(world, world.path(), 0), Vec::<PathBuf>::new());
        assert_eq!(openable(world, world.path(), 1), [world.path().join("periods.keys")]);
        assert_eq!(slots_used(world), segments(world).len());
        let report = checked(world);
        assert_eq!((&report.faults, report.records, report.ended_records), (&vec![], 9, FIRST_DAY));
        for file in world.files() {
            let bytes = fs::read(&file).unwrap().to_ascii_lowercase();
            // What a query asks for stands in its order, and is nobody's.
            for word in ["coffee-", "tea-1"] {
                assert!(!bytes.windows(word.len()).any(|part| part == word.as_bytes()), "{word} in {file:?}");
            }
        }
    });
    // The same names are free again, and positions of records go on.
    let coffees = lines(PEOPLE, coffee);
    assert_eq!(scene.world.ask(OPERATOR, "again", put_records(&coffees)).await.accepted, u64::from(PEOPLE));
    assert_eq!(requests(&scene.world, "p9").await, ["coffee-9"]);
    scene.world.at(4 * DAY);
    scene.world.vault().retain().await.unwrap();
    let scene = scene.restarted(|world| {
        let report = checked(world);
        assert_eq!((report.faults, report.records, report.ended_records), (vec![], 13, FIRST_DAY + 6));
    });
    // Years without an upload: everything ends, and the Vault goes on.
    scene.world.at(900 * DAY);
    scene.world.vault().retain().await.unwrap();
    assert_eq!(told(&scene.world).await.kept, 0);
    put(&scene.world, "at-last", 300, 5).await;
    assert_eq!(requests(&scene.world, "p6").await, ["tea-300"]);
    scene.restarted(|world| {
        let report = checked(world);
        assert_eq!((report.faults, report.records, report.ended_records), (vec![], 5, FIRST_DAY + 19));
    });
}

/// R080, R230: nothing ends where nobody wants that, and only the Vault's operator is told.
#[tokio::test]
async fn nothing_ends_that_is_to_be_kept_for_good() {
    let world = World::new();
    filled(&world).await;
    world.at(9_000 * DAY);
    world.vault().retain().await.unwrap();
    let told = told(&world).await;
    assert_eq!((told.days, told.kept, told.ended), (0, FIRST_DAY + 9, 0));
    for who in [P3, ("acme", "producer"), ("p3", "operator")] {
        let refused = world.ask(who, "read", Operation::ReadRetention(ReadRetention {})).await;
        assert_eq!((refused.code.as_str(), refused.retention), (Code::Forbidden.as_str(), None));
    }
}

/// R055, R059, R077, R080, D12: erased people and ended records in one segment, in either order; neither comes back.
#[tokio::test]
async fn the_erased_and_the_ended_leave_the_same_segments() {
    for erased_first in [true, false] {
        let scene = scene(false);
        filled(&scene.world).await;
        scene.world.at(3 * DAY);
        if erased_first {
            assert_eq!(crate::backup::erase(&scene.world, "p3").await.code, "");
        }
        scene.world.vault().retain().await.unwrap();
        if !erased_first {
            assert_eq!(crate::backup::erase(&scene.world, "p3").await.code, "");
        }
        scene.restarted(|world| {
            let report = checked(world);
            let (kept, erased) = (report.records, report.erased_records);
            assert_eq!((report.faults, kept + erased, report.ended_records), (vec![], 9, FIRST_DAY));
            assert!(erased > 0);
        });
    }
}

/// R059, R062, R066: no backup, no frame and no key in the second place opens what has ended, and a restore does not bring it back.
#[tokio::test]
async fn a_restore_does_not_revive_what_has_ended() {
    let scene = scene(true);
    filled(&scene.world).await;
    taken(&scene.world, "before").await;
    let standby = scene.world.standby.as_ref().unwrap().path().to_owned();
    let scene = scene.restarted(|world| {
        assert_eq!(openable(world, &standby, 0), [standby.join("keys/periods.keys")]);
    });
    scene.world.at(3 * DAY);
    scene.world.vault().retain().await.unwrap();
    let scene = scene.restarted(|world| {
        let before = checked(world);
        assert_eq!((&before.faults, before.ended_records), (&vec![], FIRST_DAY));
        lose(world);
        let (_, _, after) = restored(world, None, unwatched()).unwrap();
        assert_eq!(after, before);
        assert_eq!(openable(world, &standby, 0), Vec::<PathBuf>::new());
        assert_eq!(openable(world, &standby, 1), [standby.join("keys/periods.keys")]);
    });
    assert_eq!(told(&scene.world).await.ended, FIRST_DAY);
    for n in 0..PEOPLE {
        let left = requests(&scene.world, &format!("p{n}")).await;
        assert!(!left.iter().any(|request| request.starts_with("coffee")), "{left:?}");
    }
}

/// R065, R087, R161, R196, D10: a task that read what has ended since is computed again without it, charges nobody again, and pays whom
/// it used.
#[tokio::test]
async fn a_later_attempt_finishes_without_what_has_ended_and_pays_whom_it_used() {
    let mut paid = Vec::new();
    for ends in [false, true] {
        let scene = scene(false);
        filled(&scene.world).await;
        let receipt = scene.world.prepare(1, 10, 3 * DAY + 9_000).await;
        let mut body = scene.assigned(1, &receipt).body;
        let first = scene.computed(&scene.world.master.endorsed(body.clone())).await;
        let committed = scene.world.master.endorsed(body.clone());
        assert_eq!(scene.result(&committed, &first).handles.len(), PEOPLE as usize);
        scene.world.at(3 * DAY);
        if ends {
            scene.world.vault().retain().await.unwrap();
            scene.world.vault().settle_segments();
        }
        body.attempt = 1;
        let again = scene.world.master.endorsed(body);
        let second = scene.computed(&again).await;
        let found = scene.result(&again, &second).handles;
        assert_eq!(found.len() < PEOPLE as usize, ends, "{found:?}");
        assert_eq!(first.header.body.input_root == second.header.body.input_root, !ends);
        assert_eq!(scene.world.budget("p1").await, (0, 10));
        let closed = scene.world.vault().close_dividends(closing(&scene.world, 1, vec![task(1)])).await;
        let closed = closed.unwrap().body;
        assert_eq!(closed.payees, u64::from(PEOPLE));
        paid.push((closed.root, closed.total));
        scene.restarted(|world| assert_eq!(checked(world).faults, vec![]));
    }
    assert_eq!(paid[0], paid[1], "what was used is counted before it ends");
}

/// R078, R080, D12: a receipt ends as well, with the Vault's proof for its owner; a younger one stays.
#[tokio::test]
async fn a_receipt_ends_when_it_was_kept_for_its_time() {
    let mut world = World::new();
    world.quota.days = days(2);
    world.reopen();
    world.populate(4).await;
    let content = |text: &[u8]| [b"\xff\xd8\xff\xe0".as_slice(), text].concat();
    let put = |text| Operation::PutReceipt(PutReceipt { content: content(text) });
    let [old, young] = ["old", "young"].map(|request| (request, put(request.as_bytes())));
    let old = world.ask(P3, old.0, old.1).await.receipts.remove(0).receipt_id;
    world.at(DAY);
    let young = world.ask(P3, young.0, young.1).await.receipts.remove(0).receipt_id;
    world.at(2 * DAY + 1_000);
    world.vault().retain().await.unwrap();
    let states = |answer: VaultAnswer| answer.receipts.into_iter().map(|one| one.state).collect::<Vec<_>>();
    let list = || Operation::ListReceipts(ListReceipts { after: vec![], limit: 10 });
    assert_eq!(states(world.ask(P3, "list", list()).await), ["stored", "stored"]);
    world.at(2 * DAY + 1_001);
    world.vault().retain().await.unwrap();
    assert_eq!(states(world.ask(P3, "list", list()).await), ["erased", "stored"]);
    let head = world.vault().head();
    world.vault().retain().await.unwrap();
    assert_eq!(world.vault().head(), head);
    let read = |id: &Vec<u8>| Operation::ReadReceipt(ReadReceipt { receipt_id: id.clone(), content: true });
    assert_eq!(world.ask(P3, "read", read(&old)).await.code, Code::DocumentErased.as_str());
    assert_eq!(world.ask(P3, "read", read(&young)).await.content, content(b"young"));
    let proof = world.ask(P3, "erase", Operation::EraseReceipt(EraseReceipt { receipt_id: old })).await;
    assert!(proof.code.is_empty() && !proof.proof.is_empty(), "{proof:?}");
    assert_eq!(world.vault().head(), head, "it was erased already");
    world.close();
    assert_eq!(checked(&world).faults, vec![]);
}

/// R064, R076, R078, R080: whatever step a crash comes after, the records have ended or are as they were, everything holds, and the next
/// look ends them; each step may be taken twice.
#[tokio::test]
async fn a_stop_at_any_step_ends_everything_or_nothing() {
    for killed in [true, false] {
        let mut seen = BTreeSet::new();
        for stop_at in (0..STEPS_MAX).chain([usize::MAX]) {
            let mut world = World::new();
            world.quota.segment_rows = 4;
            world.quota.days = days(2);
            world.standby = killed.then(|| TempDir::new().unwrap());
            world.reopen();
            filled(&world).await;
            world.at(3 * DAY);
            let steps = stopping(&world, stop_at, killed);
            let vault = Arc::clone(world.vault());
            let tried = tokio::spawn(async move { vault.retain().await }).await;
            world.vault().settle_segments();
            let done = steps.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let stopped = done.len() > stop_at;
            assert!(stopped || tried.unwrap().is_ok(), "{done:?}");
            seen.extend(done.iter().map(|step| format!("{step:?}")));
            world.close();
            let left: BTreeSet<_> = checked(&world).faults.iter().map(|fault| fault.part).collect();
            assert!(left.is_subset(&[Part::Erasure].into()), "{left:?} after {done:?}");
            world.reopen();
            let ended = world.vault().state().holdings.ended();
            assert!([0, FIRST_DAY].contains(&ended), "{ended} after {done:?}");
            for _ in 0..2 {
                world.vault().retain().await.unwrap();
                world.vault().settle_segments();
            }
            assert_eq!(told(&world).await.ended, FIRST_DAY);
            world.close();
            assert_eq!(slots_used(&world), segments(&world).len(), "after {done:?}");
            for place in [Some(world.path()), world.standby.as_ref().map(TempDir::path)].into_iter().flatten()
            {
                assert_eq!(openable(&world, place, 0), Vec::<PathBuf>::new(), "after {done:?}");
            }
            let report = checked(&world);
            assert_eq!((report.faults, report.records), (vec![], 9), "after {done:?}");
            assert_eq!(report.ended_records, FIRST_DAY);
            if !stopped && stop_at != usize::MAX {
                break;
            }
            assert_ne!(stop_at, STEPS_MAX - 1, "there are more steps than this test takes: {done:?}");
        }
        assert!(seen.len() >= 7, "{seen:?}");
    }
}

/// More than there are.
const STEPS_MAX: usize = 24;
