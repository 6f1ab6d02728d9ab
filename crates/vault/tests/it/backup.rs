//! Backup and restore: what a Vault is after its folder was lost, whatever happened since the backup, wherever a crash came.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use symphony_protocol::vault::backup::SignedBackup;
use symphony_standby::place::Place;
use symphony_standby::standby::{Standby, Step, Watch};
use symphony_types::catalogue::Code;
use symphony_types::time::OrderedMillis;
use symphony_vault::backup::{Wanted, bring_back};
use symphony_vault::check::Report;
use symphony_vault::custody::passphrase::Passphrase;
use symphony_vault::custody::{Bare, Custody};
use symphony_vault::keys::{VaultKeys, WRAPPED_LEN};
use symphony_vault::people::Wrapped;
use symphony_wire::documents::decode;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{ErasePerson, PutReceipt, ReadConsents, RotateKey, TakeBackup, VaultAnswer};
use tempfile::TempDir;

use crate::segments::{Scene, checked, tea};
use crate::world::*;

const P0: (&str, &str) = ("p0", "producer");

/// A world with a second place.
fn world() -> World {
    let mut world = World::new();
    world.quota.segment_rows = 4;
    with_standby(&mut world);
    world
}

fn with_standby(world: &mut World) {
    world.standby = Some(TempDir::new().unwrap());
    world.reopen();
}

fn scene() -> Scene {
    let mut scene = Scene::new(4);
    scene.world.standby = Some(TempDir::new().unwrap());
    scene.restarted(|_| ())
}

fn standby(world: &World) -> PathBuf {
    world.standby.as_ref().unwrap().path().to_owned()
}

async fn take(world: &World, request: &str) -> VaultAnswer {
    world.ask(OPERATOR, request, Operation::TakeBackup(TakeBackup {})).await
}

pub(crate) async fn taken(world: &World, request: &str) -> SignedBackup {
    let answer = take(world, request).await;
    assert_eq!(answer.code, "", "{}", answer.detail);
    let backup: SignedBackup = decode(&answer.proof).unwrap();
    assert!(backup.verify(&world.governance.registry.vaults[&vault_id()].key));
    assert_eq!(backup.body.number, answer.accepted);
    backup
}

pub(crate) async fn erase(world: &World, person: &str) -> VaultAnswer {
    let erase = Operation::ErasePerson(ErasePerson { subject: person.into() });
    world.ask((person, "producer"), "erase", erase).await
}

async fn consented(world: &World, person: &str) -> Vec<String> {
    let read = Operation::ReadConsents(ReadConsents { subject: person.into() });
    let answer = world.ask((person, "producer"), "read", read).await;
    answer.consents.into_iter().map(|consent| consent.state).collect()
}

pub(crate) fn restored(
    world: &World,
    number: Option<u64>,
    watch: Arc<Watch>,
) -> anyhow::Result<(u64, u64, Report)> {
    let (vault, standby) = (vault_id(), standby(world));
    let wanted = Wanted {
        standby: &standby,
        folder: world.path(),
        vault: (&vault, NETWORK),
        governance: &world.governance,
        number,
        segments: world.segments.clone(),
    };
    let custody = |_: &Path| Ok(Arc::new(Bare) as Arc<dyn Custody>);
    bring_back(&wanted, Arc::new(|| OrderedMillis(1_000_000)), custody, watch)
}

pub(crate) fn unwatched() -> Arc<Watch> {
    Arc::new(|_| Ok(()))
}

pub(crate) fn lose(world: &World) {
    fs::remove_dir_all(world.path()).unwrap();
}

fn copied(from: &Path, to: &Path) {
    for file in files_below(from) {
        let to = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
}

/// Files in which the keys at hand open a wrapped key of this person.
fn openable(world: &World, folder: &Path, person: u32) -> Vec<PathBuf> {
    let keys = VaultKeys::open(world.path()).unwrap();
    let mut place = *b"data-key\0\0\0\0";
    place[8..].copy_from_slice(&person.to_be_bytes());
    let opens = |window: &[u8]| {
        let wrapped = |generation| Wrapped { key: window.try_into().unwrap(), generation };
        window[..8] != [0; 8] && keys.ring.unwrap(&place, &wrapped(1)).is_ok()
    };
    let mut files = files_below(folder);
    files.retain(|file| fs::read(file).unwrap().windows(WRAPPED_LEN).any(opens));
    files
}

/// R059, R062, R066, R076, R078: after the folder is lost everything is as it was answered last: the withdrawn are withdrawn, the erased
/// stay closed in every backup, spent budget is spent, what came after the backup is there, and a campaign finds whom it found.
#[tokio::test]
async fn a_lost_vault_comes_back_as_it_was_last() {
    let scene = scene();
    scene.world.populate(9).await;
    let content = [b"\xff\xd8\xff\xe0".as_slice(), b"a receipt"].concat();
    let receipt = Operation::PutReceipt(PutReceipt { content });
    assert_eq!(scene.world.ask(P0, "r1", receipt).await.accepted, 1);
    assert_eq!(taken(&scene.world, "one").await.body.number, 2, "the first is made with the standby");
    assert_eq!(take(&scene.world, "one").await.accepted, 2, "the same request has the same answer");
    scene.world.withdraw("p1").await;
    let order = scene.order(1).await;
    let found = scene.result(&order, &scene.computed(&order).await).handles;
    assert_eq!(found.len(), 8);
    assert_eq!(erase(&scene.world, "p3").await.code, "");
    scene.more("more", 12, |n| tea(n).replace("p3", "p4")).await;
    scene.world.vault().settle_segments();
    let (head, spent) = (scene.world.vault().head(), scene.world.budget("p0").await);
    assert_eq!(spent, (0, 10));

    let scene = scene.restarted(|world| {
        let before = checked(world);
        assert_eq!((&before.faults, before.erased_people, before.documents), (&vec![], 1, 1));
        assert!(before.segments > 0);
        lose(world);
        let (number, frames, after) = restored(world, None, unwatched()).unwrap();
        assert_eq!((number, after), (2, before));
        assert!(frames > 10, "{frames}");
        assert_eq!(openable(world, &standby(world), 3), Vec::<PathBuf>::new());
        assert_eq!(openable(world, &standby(world), 2), [standby(world).join("keys/people.keys")]);
    });
    assert_eq!(scene.world.vault().head(), head);
    assert_eq!(scene.world.budget("p0").await, spent);
    assert_eq!(consented(&scene.world, "p1").await, ["withdrawn"]);
    assert_eq!(consented(&scene.world, "p0").await, ["granted"]);
    let read = scene.world.ask(("p3", "producer"), "read", read_records("p3")).await;
    assert_eq!(read.code, Code::SubjectUnknown.as_str());
    let read = scene.world.ask(("p4", "producer"), "read", read_records("p4")).await;
    assert!(read.records.len() > 1, "records that came after the backup");
    let order = scene.order(2).await;
    let again = scene.result(&order, &scene.computed(&order).await).handles;
    assert_eq!(again, found.into_iter().filter(|handle| handle != "p3@example.org").collect::<Vec<_>>());
    assert_eq!(scene.world.budget("p0").await, (0, 20));
    scene.restarted(|world| assert_eq!(checked(world).faults, vec![]));
}

/// R059, R062: yesterday's folder does not start, neither does one whose standby is elsewhere; what the last answer said comes back.
#[tokio::test]
async fn an_old_copy_of_the_folder_is_refused() {
    let mut world = world();
    world.populate(3).await;
    world.close();
    let old = TempDir::new().unwrap();
    copied(world.path(), old.path());
    world.reopen();
    world.withdraw("p1").await;
    assert_eq!(erase(&world, "p2").await.code, "");
    world.close();
    let refused = |world: &mut World| format!("{:#}", world.try_reopen().unwrap_err());
    let swap = |world: &World, with: &Path| {
        lose(world);
        copied(with, world.path());
    };
    let latest = TempDir::new().unwrap();
    copied(world.path(), latest.path());
    swap(&world, old.path());
    let said = refused(&mut world);
    assert!(said.contains("older copy") && said.contains("symphonyd restore"), "{said}");
    assert_eq!(files_below(world.path()).len(), files_below(old.path()).len());
    let said = format!("{:#}", restored(&world, None, unwatched()).unwrap_err());
    assert!(said.contains("is there already"), "{said}");
    lose(&world);
    let said = refused(&mut world);
    assert!(said.contains("symphonyd restore"), "{said}");
    restored(&world, None, unwatched()).unwrap();
    world.reopen();
    assert_eq!(consented(&world, "p1").await, ["withdrawn"]);
    assert!(openable(&world, world.path(), 2).is_empty());
    world.close();

    // A key that was erased comes back with no copy of the key files alone.
    fs::copy(old.path().join("people.keys"), world.path().join("people.keys")).unwrap();
    world.reopen();
    assert!(openable(&world, world.path(), 2).is_empty() && openable(&world, &standby(&world), 2).is_empty());
    world.close();

    let kept = world.standby.replace(TempDir::new().unwrap());
    let said = refused(&mut world);
    assert!(said.contains("bring it back"), "{said}");
    fs::write(standby(&world).join("standby.id"), "north 00").unwrap();
    let said = refused(&mut world);
    assert!(said.contains("not the standby of"), "{said}");
    world.standby = None;
    let said = refused(&mut world);
    assert!(said.contains("name it in the node's configuration"), "{said}");
    fs::remove_file(world.path().join("standby.id")).unwrap();
    world.reopen();
    world.close();
    world.standby = kept;
    let said = refused(&mut world);
    assert!(said.contains("changed without its standby"), "{said}");
    swap(&world, latest.path());
    let said = refused(&mut world);
    assert!(said.contains("older copy"), "{said}");
}

/// R062, R078: a byte that was changed anywhere in a standby is found, by its file, and nothing comes of it.
#[tokio::test]
async fn a_changed_byte_of_a_standby_is_found_by_its_file() {
    let mut world = world();
    world.populate(8).await;
    taken(&world, "one").await;
    world.withdraw("p1").await;
    world.close();
    lose(&world);
    let folder = standby(&world);
    let logs = files_below(&folder.join("redo"));
    let last = logs.last().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let mut kinds = BTreeSet::new();
    for file in files_below(&folder) {
        let name = file.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        // The first backup is not what is restored, and frames before the second one are not read.
        let read = !name.starts_with("redo/") || name.ends_with(&last);
        if name == "lock" || name == "standby.id" || name.starts_with("backups/1/") || !read {
            continue;
        }
        let whole = fs::read(&file).unwrap();
        for place in [0, whole.len() / 3, whole.len() / 2, whole.len().saturating_sub(1)] {
            let mut spoiled = whole.clone();
            let Some(byte) = spoiled.get_mut(place) else { continue };
            *byte ^= 0x40;
            // Segments of the newest backup are the same file, and so is what both names show.
            fs::write(&file, &spoiled).unwrap();
            let refused = restored(&world, None, unwatched());
            let unused = name.starts_with("keys/") && byte_is_unused(&name, &whole, place);
            if !unused {
                let said = format!("{:#}", refused.err().unwrap_or_else(|| panic!("byte {place} of {name}")));
                let named = Path::new(&name).file_name().unwrap().to_str().unwrap();
                assert!(name.starts_with("keys/") || said.contains(named), "{name}: {said}");
            }
            if world.path().exists() {
                assert!(unused, "{name}");
                lose(&world);
            }
        }
        fs::write(&file, &whole).unwrap();
        kinds.insert(name.split('/').next().unwrap().to_owned());
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["backups", "keys", "redo", "segments"]);
    restored(&world, None, unwatched()).unwrap();
    restored(&world, None, unwatched()).unwrap_err();
    lose(&world);
    restored(&world, Some(1), unwatched()).unwrap();
    world.reopen();
    assert_eq!(consented(&world, "p1").await, ["withdrawn"]);
}

/// Whether a place of a file of keys is in a slot that nobody has, in a mark, or in a secret that a check does not need.
fn byte_is_unused(name: &str, whole: &[u8], place: usize) -> bool {
    let small = ["people.keys", "periods.keys", "dividends.keys"];
    let slot = if small.iter().any(|file| name.ends_with(file)) { 64 } else { 128 };
    let slot = &whole[place / slot * slot..(place / slot * slot + slot).min(whole.len())];
    let of_segment = name.ends_with("segments.keys") || name.ends_with("documents.keys");
    let used = slot.iter().any(|byte| *byte != 0) && !(of_segment && place % 128 >= WRAPPED_LEN);
    let needed = !["dividends.keys", "signing.key", "sealing.key"].iter().any(|file| name.ends_with(file));
    !used || !needed
}

/// R055, R062, R076: no backup and no frame has a key, wrapped or not, nor anything of what people brought.
#[tokio::test]
async fn a_backup_has_no_key_and_no_plain_word() {
    let mut world = world();
    world.populate(8).await;
    taken(&world, "one").await;
    let rotate = Operation::RotateKey(RotateKey {});
    assert_eq!(world.ask(OPERATOR, "rotate", rotate).await.code, "");
    world.withdraw("p1").await;
    taken(&world, "two").await;
    world.close();
    let mut needles: Vec<Vec<u8>> =
        ["Cafe Luna", "cafe luna", "@example.org", "5.80"].map(|word| word.as_bytes().to_vec()).into();
    for file in world.files() {
        let bytes = fs::read(&file).unwrap();
        match file.extension().and_then(|kind| kind.to_str()) {
            Some("key") => needles.push(bytes),
            Some("keys") => {
                let used = bytes.chunks_exact(64).filter(|slot| slot.iter().any(|byte| *byte != 0));
                needles.extend(used.map(|slot| slot[..60].to_vec()));
            }
            _ => {}
        }
    }
    assert!(needles.len() > 15, "{}", needles.len());
    let found = |folder: &str| {
        let files =
            files_below(&standby(&world).join(folder)).into_iter().map(|file| fs::read(file).unwrap());
        let files: Vec<Vec<u8>> = files.collect();
        assert!(!files.is_empty(), "{folder}");
        let has = |needle: &&Vec<u8>| {
            files.iter().any(|file| file.windows(needle.len()).any(|part| part == *needle))
        };
        needles.iter().filter(has).count()
    };
    for folder in ["backups", "redo", "segments"] {
        assert_eq!(found(folder), 0, "{folder}");
    }
    assert!(found("keys") > 10, "keys are where this test looks for them");
}

/// R062, R207: only the operator asks; without a standby there is nowhere to; the last two are kept, with the log since.
#[tokio::test]
async fn backups_are_the_operators_and_the_last_two() {
    let mut alone = World::new();
    assert_eq!(take(&alone, "one").await.code, Code::StandbyMissing.as_str());
    alone.populate(3).await;
    // A Vault that has been served gets its standby later.
    with_standby(&mut alone);
    let world = alone;
    for who in [P0, ("acme", "producer")] {
        let refused = world.ask(who, "mine", Operation::TakeBackup(TakeBackup {})).await;
        assert_eq!(refused.code, Code::Forbidden.as_str());
    }
    let folders = |world: &World, part: &str| {
        let mut names: Vec<String> = fs::read_dir(standby(world).join(part))
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    for number in 2..=5 {
        let person = format!("p{}", number - 2);
        if number < 5 {
            world.withdraw(&person).await;
        }
        let backup = taken(&world, &format!("b{number}")).await.body;
        assert_eq!(backup.number, number);
        assert!(backup.files.iter().any(|file| file.name == "vault.redb"));
    }
    // Asked for twice at once it is taken once.
    let (one, same) = tokio::join!(taken(&world, "b6"), taken(&world, "b6"));
    assert_eq!((one.body.number, same.body.number), (6, 6));
    assert_eq!(folders(&world, "backups"), ["5", "6"]);
    let logs = folders(&world, "redo");
    assert!(logs.len() <= 3, "{logs:?}");
    let mut world = world;
    let head = world.vault().head();
    world.close();
    let manifest = standby(&world).join("backups/6/manifest.bcs");
    let whole = fs::read(&manifest).unwrap();
    fs::write(&manifest, b"rot").unwrap();
    world.reopen();
    world.close();
    fs::write(&manifest, whole).unwrap();
    world.reopen();
    for number in [5, 6] {
        world.close();
        lose(&world);
        assert_eq!(restored(&world, Some(number), unwatched()).unwrap().0, number);
        world.reopen();
        assert_eq!(world.vault().head(), head);
    }
    world.close();
    lose(&world);
    let said = format!("{:#}", restored(&world, Some(3), unwatched()).unwrap_err());
    assert!(said.contains("no backup 3"), "{said}");
}

/// R062, R066: backups are taken while people are brought, withdraw and are erased, keys turn and segments merge; each brings back the
/// last state.
#[tokio::test]
async fn backups_are_taken_beside_everything_else() {
    let mut world = world();
    world.populate(9).await;
    let bringing = async {
        for n in 9..40 {
            let person = format!(r#"{{"subject":"p{n}","contact":"p{n}@example.org"}}"#);
            assert_eq!(world.ask(OPERATOR, &format!("p{n}"), put_subjects(&person)).await.accepted, 1);
            let record = world.ask(OPERATOR, &format!("c{n}"), put_records(&coffee(n))).await;
            assert_eq!((record.accepted, record.code.as_str()), (1, ""), "{}", record.detail);
        }
    };
    let backing = async {
        for n in 0..6 {
            taken(&world, &format!("backup-{n}")).await;
        }
    };
    let going = async {
        world.withdraw("p0").await;
        for person in ["p1", "p2"] {
            assert_eq!(erase(&world, person).await.code, "");
        }
        for n in 0..3 {
            let rotate = Operation::RotateKey(RotateKey {});
            assert_eq!(world.ask(OPERATOR, &format!("rotate-{n}"), rotate).await.code, "");
        }
    };
    tokio::join!(bringing, backing, going);
    world.vault().settle_segments();
    let head = world.vault().head();
    for number in [6, 7] {
        world.close();
        let before = checked(&world);
        assert_eq!((&before.faults, before.people, before.erased_people), (&vec![], 38, 2));
        lose(&world);
        assert_eq!(restored(&world, Some(number), unwatched()).unwrap().2, before);
        world.reopen();
        assert_eq!(world.vault().head(), head);
    }
}

/// Fails at the given step, and all after it.
fn failing(at: usize) -> (Arc<Watch>, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let watch = move |step: Step| {
        if seen.fetch_add(1, Ordering::SeqCst) < at {
            Ok(())
        } else {
            Err(io::Error::other(format!("{step:?}")))
        }
    };
    (Arc::new(watch), count)
}

/// What is asked of a Vault one after the other.
async fn asked(world: &World, nth: usize) -> VaultAnswer {
    let operation = match nth {
        0 => Operation::TakeBackup(TakeBackup {}),
        1 => put_subjects(r#"{"subject":"p5","contact":"p5@example.org"}"#),
        2 => put_records(&lines(4, |n| tea(n + 20).replace("p6", "p5").replace("p1", "p0"))),
        3 => put_consents(r#"{"subject":"p0","scope":"marketing","state":"withdrawn"}"#),
        4 => Operation::ErasePerson(ErasePerson { subject: "p1".into() }),
        5 => Operation::RotateKey(RotateKey {}),
        _ => Operation::TakeBackup(TakeBackup {}),
    };
    world.ask(OPERATOR, &format!("step-{nth}"), operation).await
}

const ASKED: usize = 7;

/// R057, R059, R062, R066, R211, R213: wherever a crash comes between the two places, the next start has all that was answered, goes on, and
/// what is restored then is what the Vault is.
#[tokio::test]
async fn a_crash_between_the_two_places_loses_nothing() {
    let mut at = 0;
    loop {
        let mut world = world();
        world.populate(4).await;
        world.vault().settle_segments();
        world.close();
        let (watch, count) = failing(at);
        world.watch = Some(watch);
        let mut answered = 0;
        if world.try_reopen().is_ok() {
            while answered < ASKED && asked(&world, answered).await.code.is_empty() {
                answered += 1;
            }
            world.vault().settle_segments();
        }
        world.close();
        let ended = count.load(Ordering::SeqCst) <= at;
        world.watch = None;
        if at.is_multiple_of(2) {
            // With the crash the disk is lost as well.
            lose(&world);
            restored(&world, None, unwatched()).unwrap_or_else(|error| panic!("at {at}: {error:#}"));
        }
        world.reopen();
        if answered > 3 {
            assert_eq!(consented(&world, "p0").await, ["withdrawn"], "at {at}");
        }
        if answered > 4 {
            assert!(openable(&world, &standby(&world), 1).is_empty(), "at {at}");
        }
        for nth in 0..ASKED {
            let answer = asked(&world, nth).await;
            assert_eq!((answer.code.as_str(), answer.refused_total), ("", 0), "{nth} at {at}: {answer:?}");
        }
        world.vault().settle_segments();
        let head = world.vault().head();
        world.close();
        let before = checked(&world);
        assert_eq!((&before.faults, before.people, before.erased_people), (&vec![], 4, 1), "at {at}");
        assert!(openable(&world, &standby(&world), 1).is_empty(), "at {at}");
        if !at.is_multiple_of(2) {
            lose(&world);
            assert_eq!(restored(&world, None, unwatched()).unwrap().2, before, "at {at}");
            world.reopen();
            assert_eq!(world.vault().head(), head, "at {at}");
        }
        if ended {
            assert!(at > 40, "only {at} steps");
            break;
        }
        at += 1;
    }
}

/// R062: the making of a standby and a restore can stop at any step, and the next attempt does all of it.
#[tokio::test]
async fn a_crash_inside_a_beginning_or_a_restore_leaves_no_folder() {
    let mut world = World::new();
    world.populate(3).await;
    world.standby = Some(TempDir::new().unwrap());
    let mut steps = 0;
    loop {
        let (watch, _) = failing(steps);
        world.watch = Some(watch);
        if world.try_reopen().is_ok() {
            break;
        }
        assert!(!world.path().join("standby.id").exists());
        steps += 1;
    }
    assert!(steps > 5, "{steps}");
    world.close();
    world.watch = None;
    lose(&world);
    for step in [Step::Unpacked, Step::Redone, Step::Keyed, Step::Checked] {
        let stop = move |now: Step| if now == step { Err(io::Error::other("stopped")) } else { Ok(()) };
        restored(&world, None, Arc::new(stop)).unwrap_err();
        assert!(!world.path().exists(), "{step:?}");
    }
    let stop = |now: Step| if now == Step::Named { Err(io::Error::other("stopped")) } else { Ok(()) };
    restored(&world, None, Arc::new(stop)).unwrap_err();
    world.reopen();
    assert_eq!(consented(&world, "p1").await, ["granted"]);
}

/// R062, R211: a standby that fails refuses what is brought, by its code, and nothing that was answered is lost.
#[tokio::test]
async fn a_standby_that_fails_refuses_what_is_brought() {
    let mut world = world();
    world.populate(2).await;
    world.close();
    let (watch, count) = failing(usize::MAX / 2);
    world.watch = Some(watch);
    world.reopen();
    count.store(usize::MAX / 2, Ordering::SeqCst);
    assert_ne!(world.ask(OPERATOR, "a", put_records(&coffee(0))).await.code, "");
    let person = r#"{"subject":"p9","contact":"p9@example.org"}"#;
    let refused = world.ask(OPERATOR, "b", put_subjects(person)).await;
    assert_eq!(refused.code, Code::StandbyUnavailable.as_str());
    assert_eq!(take(&world, "c").await.code, Code::StandbyUnavailable.as_str());
    assert_eq!(consented(&world, "p1").await, ["granted"], "what is there is read");
    world.watch = None;
    world.reopen();
    let (keys, away) = (standby(&world).join("keys"), standby(&world).join("away"));
    fs::rename(&keys, &away).unwrap();
    let refused = world.ask(OPERATOR, "b", put_subjects(person)).await;
    assert_eq!(refused.code, Code::StandbyUnavailable.as_str(), "it is gone");
    world.withdraw("p1").await;
    fs::rename(&away, &keys).unwrap();
    assert_eq!(world.ask(OPERATOR, "b", put_subjects(person)).await.accepted, 1);
}

/// R062, R076: secrets that are sealed under a passphrase are so in both places, wherever a crash came, and nowhere bare.
#[test]
fn secrets_are_sealed_in_both_places() {
    let mut at = 0;
    loop {
        let [data, other] = [(); 2].map(|()| TempDir::new().unwrap());
        drop(VaultKeys::open(data.path()).unwrap());
        let bare: Vec<Vec<u8>> = files_below(data.path())
            .into_iter()
            .filter(|file| file.extension().is_some_and(|kind| kind == "key"))
            .map(|file| fs::read(file).unwrap())
            .collect();
        assert_eq!(bare.len(), 4);
        let standby = Standby::open(other.path(), &vault_id(), data.path()).unwrap();
        let (watch, count) = failing(at);
        standby.watch(watch);
        let stopped = Passphrase::adopt(Place::with(data.path(), standby), b"correct").is_err();
        assert_eq!(stopped, count.load(Ordering::SeqCst) > at);
        let standby = Standby::open(other.path(), &vault_id(), data.path()).unwrap();
        let place = Place::with(data.path(), standby);
        Passphrase::adopt(&place, b"correct").unwrap();
        let custody = Arc::new(Passphrase::open(&place, b"correct").unwrap());
        drop(VaultKeys::kept(&place, custody).unwrap());
        for file in [data.path(), other.path()].into_iter().flat_map(files_below) {
            let bytes = fs::read(&file).unwrap();
            let has = |secret: &Vec<u8>| bytes.windows(secret.len()).any(|part| part == secret);
            assert!(!bare.iter().any(has), "{} at {at}", file.display());
        }
        if !stopped {
            assert_eq!(at, 5, "four secrets and the seal");
            break;
        }
        at += 1;
    }
}
