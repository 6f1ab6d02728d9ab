//! An audience query over a Vault's records (R087): in segments, against the same records opened one by one; and what an upload
//! of them costs (R076). Everything is real: sealed uploads, the journal, the enclave's program, keys and reports.
//!
//! Physical limit of the query: two columns of some bytes a record, decrypted at memory speed, and 3 us for each selected person's
//! profile.

use std::sync::Arc;
use std::time::Instant;

use futures::stream::{self, StreamExt as _};
use symphony_tee::measure;
use symphony_tee::report::EnclaveRole;
use symphony_vault::agent::Agent;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::pairs::{compare, per_unit, print};
use crate::world::{OPERATOR, World, agent, assign, lines, program, put_consents, put_records, put_subjects};

#[path = "../../compute/benches/pairs/mod.rs"]
mod pairs;
#[allow(dead_code, unused_imports, clippy::unwrap_used)]
#[path = "../tests/it/world.rs"]
mod world;

fn main() {
    let people: u32 = number("SYMPHONY_BENCH_PEOPLE", 20_000);
    let records: u32 = number("SYMPHONY_BENCH_RECORDS", 200_000);
    let beside: u32 = number("SYMPHONY_BENCH_BESIDE", SEGMENT_ROWS - 96).min(SEGMENT_ROWS - 1);
    let alone = records > RECORDS_IN_MATERIAL;
    let runtime = Runtime::new().expect("the system has threads for a runtime");
    let segmented = runtime.block_on(Bench::new(people, (records, beside), SEGMENT_ROWS));
    let count = usize::try_from(records).unwrap_or(usize::MAX);
    if alone {
        println!(
            "\nanalysis: {records} records of {people} people, too many for one sealed message as records"
        );
        for _ in 0..number("SYMPHONY_BENCH_SLICES", 5).min(200) {
            let start = Instant::now();
            let (prepared, computed) = runtime.block_on(segmented.slice());
            let all = start.elapsed().as_secs_f64();
            println!(
                "prepared {prepared:.1} ms, slice over segments {computed:.1} ms, both {:.1} ms",
                all * 1e3
            );
        }
        return;
    }
    let plain = runtime.block_on(Bench::new(people, (records, beside), u32::MAX));
    let over = |bench: &Bench| per_unit(count, || runtime.block_on(bench.slice()));
    let row = compare(
        ("prepared and computed over segments", || over(&segmented)),
        ("the same over records", || over(&plain)),
        PAIRS,
    );
    print(&format!("analysis: an audience of {records} records of {people} people"), "record", &[row]);
}

fn number(name: &str, usual: u32) -> u32 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

struct Bench {
    world: World,
    aggregator: Agent,
    slice: Arc<Agent>,
    next: std::sync::atomic::AtomicU8,
    _elsewhere: TempDir,
}

impl Bench {
    async fn new(people: u32, (records, beside): (u32, u32), segment_rows: u32) -> Self {
        let program = program("symphony-enclave");
        let mut world = World::with(&[measure::program(&program).expect("the program is there")]);
        world.quota.segment_rows = segment_rows;
        world.quota.records_max = u64::from(records) + u64::from(beside);
        world.reopen();
        let elsewhere = TempDir::new().expect("a folder");
        let aggregator = agent(&world, &program, elsewhere.path(), "aggregator", EnclaveRole::Aggregator);
        let slice = Arc::new(agent(&world, &program, world.path(), "acme-executor", EnclaveRole::Slice));
        upload(&world, people, (records, beside)).await;
        Self { world, aggregator, slice, next: 1.into(), _elsewhere: elsewhere }
    }

    /// One task. **Units** of the answer: milliseconds to reserve, and to compute.
    async fn slice(&self) -> (f64, f64) {
        let name = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let start = Instant::now();
        let receipt = self.world.prepare(name, 2, 5_000).await;
        let order = assign(&self.world, &self.aggregator, &self.slice, name, &receipt);
        let prepared = start.elapsed().as_secs_f64() * 1e3;
        let start = Instant::now();
        let vault = Arc::clone(self.world.vault());
        vault.assign(Arc::clone(&self.slice), order).await.expect("the slice is computed");
        (prepared, start.elapsed().as_secs_f64() * 1e3)
    }
}

/// Uploads people, their consent, and records in as many operations as an uploader would use.
async fn upload(world: &World, people: u32, (records, beside): (u32, u32)) {
    for first in (0..people).step_by(STEP) {
        let count = (people - first).min(STEP as u32);
        let subjects = lines(count, |n| {
            let n = first + n;
            format!(r#"{{"subject":"p{n}","contact":"p{n}@example.org","wallet":"{:064x}"}}"#, n + 1)
        });
        let consents = lines(count, |n| {
            format!(r#"{{"subject":"p{}","scope":"marketing","state":"granted"}}"#, first + n)
        });
        for (kind, operation) in [("s", put_subjects(&subjects)), ("c", put_consents(&consents))] {
            let done = world.ask(OPERATOR, &format!("{kind}{first}"), operation).await;
            assert_eq!(done.accepted, u64::from(count), "{}", done.detail);
        }
    }
    let start = Instant::now();
    // The last of them are too few for a segment of their own and stay beside.
    let uploads = (0..records).step_by(STEP).map(|first| (first, (records - first).min(STEP as u32)));
    let send = async |(first, count): (u32, u32)| {
        let content = lines(count, |n| {
            let n = first + n;
            let (person, merchant) = (n.wrapping_mul(2_654_435_761) % people, n % MERCHANTS);
            let merchant = if merchant == 0 { "Cafe Luna".to_owned() } else { format!("shop {merchant}") };
            format!(
                r#"{{"request_id":"r{n}","subject":"p{person}","commerce.merchant":"{merchant}","commerce.amount":"{}.50"}}"#,
                n % 90
            )
        });
        let done = world.ask(OPERATOR, &format!("r{first}"), put_records(&content)).await;
        assert_eq!(done.accepted, u64::from(count), "{}", done.detail);
    };
    // While the Vault has one upload, the next ones are made and sealed, as by somebody who does not wait.
    let uploaders = number("SYMPHONY_BENCH_UPLOADERS", 1) as usize;
    stream::iter(uploads.map(send)).buffered(uploaders.max(1)).collect::<()>().await;
    send((records, beside)).await;
    let records = records + beside;
    let uploaded = start.elapsed();
    world.vault().settle_segments();
    let merged = start.elapsed() - uploaded;
    let rate = f64::from(records) / uploaded.as_secs_f64();
    let size = |name: &str| -> u64 {
        let path = world.path().join(name);
        match std::fs::read_dir(&path) {
            Ok(files) => files.flatten().filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum(),
            Err(_) => std::fs::metadata(path).map_or(0, |data| data.len()),
        }
    };
    let each = |bytes: u64| bytes as f64 / f64::from(records.max(1));
    println!(
        "uploaded {records} records, {beside} of them beside segments, at {rate:.0} a second, merged {:.1} s later into {} segments; {:.0} bytes a record in the database, {:.1} in segments",
        merged.as_secs_f64(),
        std::fs::read_dir(world.path().join("analysis/segments")).map_or(0, Iterator::count),
        each(size("vault.redb")),
        each(size("analysis/segments")),
    );
}

/// Lines of one upload.
const STEP: usize = 100_000;
/// One record in so many is of the merchant that is asked for.
const MERCHANTS: u32 = 500;
/// As a node's configuration has it by default.
const SEGMENT_ROWS: u32 = 1 << 12;
/// More do not fit into one sealed message when they are sent as records.
const RECORDS_IN_MATERIAL: u32 = 500_000;
const PAIRS: usize = 5;
