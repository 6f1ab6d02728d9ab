//! People's keys of a Vault with a million people (R076): enrolling, reading all of them in order, and a rotation of the Vault's key
//! with a reader beside it; and the erasure of a person with rows in a whole segment.
//!
//! Physical limit: a key is unwrapped and wrapped by AES-256-GCM, which is some hundred nanoseconds each with its nonce; 64 MB are read
//! and written.

use std::fs::{self, File};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use symphony_types::subjects::SubjectIndex;
use symphony_vault::keys::VaultKeys;
use symphony_vault::people::PEOPLE_FILE;
use symphony_wire::v1::ErasePerson;
use symphony_wire::v1::vault_operation::Operation;

use crate::pairs::{compare, per_unit, print};
use crate::world::{OPERATOR, World, lines, put_records, put_subjects};

#[path = "../../compute/benches/pairs/mod.rs"]
mod pairs;
#[allow(dead_code, unused_imports, clippy::unwrap_used)]
#[path = "../tests/it/world.rs"]
mod world;

fn main() {
    let people: u32 =
        std::env::var("SYMPHONY_BENCH_PEOPLE").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    let keys = VaultKeys::open(folder.path()).expect("the vault's keys");
    let begun = Instant::now();
    for from in (0..people).step_by(BATCH as usize) {
        let batch = BATCH.min(people - from) as usize;
        keys.new_people(SubjectIndex(from), batch).expect("the drive takes it");
    }
    println!("keys: {people} people enrolled, {BATCH} at a time: {:.2?}", begun.elapsed());
    let everybody = people as usize;
    let all = || per_unit(everybody, || each(&keys, people));
    let one = || per_unit(everybody, || (0..people).for_each(|n| drop(keys.data_key(SubjectIndex(n)))));
    print("keys: read in order", "key", &[compare(("by a reader", all), ("one by one", one), PAIRS)]);
    let path = folder.path().join(PEOPLE_FILE);
    let turned = || per_unit(1, || rotate(&keys));
    let plain = || {
        per_unit(1, || {
            let bytes = fs::read(&path).expect("the drive is there");
            let mut file = File::create(folder.path().join("plain")).expect("the folder is writable");
            file.write_all(&bytes).and_then(|()| file.sync_data()).expect("the drive takes it");
        })
    };
    let row = compare(("rotation", turned), ("the same bytes read, written and synced", plain), PAIRS);
    print(&format!("keys: the vault's key of {people} people"), "rotation", &[row]);
    waits(&keys, people);
    tokio::runtime::Runtime::new().expect("the system has threads for a runtime").block_on(erasure());
}

/// How long an erasure takes whose person has rows in one whole segment, beside what its last upload took.
async fn erasure() {
    let mut world = World::new();
    (world.quota.records_max, world.quota.segment_rows) = (u64::from(2 * ROWS), ROWS);
    world.reopen();
    let people = lines(PEOPLE, |n| format!(r#"{{"subject":"p{n}","contact":"p{n}@example.org"}}"#));
    world.ask(OPERATOR, "people", put_subjects(&people)).await;
    let record = |n: u32| {
        format!(
            r#"{{"request_id":"r{n}","subject":"p{}","commerce.merchant":"Shop {}","commerce.amount":"{n}.10"}}"#,
            n % PEOPLE,
            n % 500
        )
    };
    let (mut done, mut last) = (0, Duration::ZERO);
    while done < ROWS {
        let batch = BATCH.min(ROWS - done);
        let begun = Instant::now();
        let put = put_records(&lines(batch, |n| record(done + n)));
        let answer = world.ask(OPERATOR, &format!("records-{done}"), put).await;
        assert_eq!((answer.accepted, answer.refused_total), (u64::from(batch), 0));
        (done, last) = (done + batch, begun.elapsed());
    }
    let begun = Instant::now();
    let erase = Operation::ErasePerson(ErasePerson { subject: "p7".into() });
    let answer = world.ask(OPERATOR, "erase", erase).await;
    assert_eq!(answer.code, "", "{}", answer.detail);
    println!(
        "keys: a person erased whose rows are in a segment of {ROWS}: {:.2?}; writing that segment, with an upload of at most {BATCH}: \
         {last:.2?}",
        begun.elapsed()
    );
}

fn each(keys: &VaultKeys, people: u32) {
    let mut reader = keys.reader();
    for subject in (0..people).map(SubjectIndex) {
        reader.key(subject).expect("everybody has a key");
    }
}

fn rotate(keys: &VaultKeys) {
    keys.ring.advance().expect("the drive takes it");
    keys.rewrap().expect("every key opens");
    keys.ring.settle().expect("the drive takes it");
}

/// How long whoever reads a key waits while the Vault's key is rotated.
fn waits(keys: &VaultKeys, people: u32) {
    let done = AtomicBool::new(false);
    let (longest, reads) = std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut longest, mut reads) = (Duration::ZERO, 0_u64);
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                keys.data_key(SubjectIndex((reads.wrapping_mul(7_919) % u64::from(people)) as u32))
                    .expect("everybody has a key");
                longest = longest.max(begun.elapsed());
                reads += 1;
            }
            (longest, reads)
        });
        rotate(keys);
        done.store(true, Ordering::Relaxed);
        reading.join().expect("reading ends")
    });
    println!("keys: {reads} reads beside a rotation, the longest waited {longest:.2?}");
}

const BATCH: u32 = 10_000;
const PAIRS: usize = 5;
/// Records of the segment, and whose.
const ROWS: u32 = 262_144;
const PEOPLE: u32 = 50_000;
