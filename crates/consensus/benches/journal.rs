//! Durable commands through `Solo` at 1, 64 and 256 concurrent callers against one durable redb transaction for
//! each row of the same size (R035, R217).
//!
//! With one caller the ratio shows what chaining, hashing and a thread's hand-over cost; with many it shows group
//! commit, because commands that wait share one durable write. The physical limit of one command at a time is the
//! drive's own: it is measured as appending the same bytes to a file and `sync_data`.

use std::convert::Infallible;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, TableDefinition};
use symphony_consensus::machine::{Genesis, Machine};
use symphony_consensus::orderer::{Orderer as _, Solo};
use symphony_consensus::replay::Verify;
use symphony_types::time::OrderedMillis;
use tokio::runtime::Runtime;

use crate::pairs::{Row, compare, per_unit, print};

#[path = "../../compute/benches/pairs/mod.rs"]
mod pairs;

fn main() {
    // The build's own folder is on a drive; the system's temporary folder may be memory, where nothing is durable.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the build's folder is writable");
    let runtime = Runtime::new().expect("the system has threads for a runtime");
    let genesis = Genesis { name: "bench".into(), state: 0 };
    let clock = Arc::new(|| OrderedMillis(0));
    let journal = folder.path().join("journal.redb");
    let solo = Solo::<Bytes>::open(&journal, &genesis, Verify::Full, clock).expect("a new journal opens");
    let solo = Arc::new(solo);
    let row_bytes = row_bytes(&runtime, &solo);
    let raw = Raw::create(&folder.path().join("raw.redb"), row_bytes);
    let mut rows: Vec<Row> = [(1, 48), (64, 12), (256, 8)]
        .into_iter()
        .map(|(callers, each)| {
            compare(
                (&format!("Solo, callers: {callers}"), || order(&runtime, &solo, callers, each)),
                ("one redb transaction a row", || raw.insert(SEQUENTIAL)),
                PAIRS,
            )
        })
        .collect();
    let mut file = File::create(folder.path().join("plain")).expect("the folder is writable");
    rows.push(compare(
        ("Solo, callers: 1", || order(&runtime, &solo, 1, 48)),
        ("write and sync_data of a file", || append(&mut file, row_bytes)),
        PAIRS,
    ));
    print(&format!("journal: {row_bytes} bytes a command on disk"), "command", &rows);
    runtime.block_on(solo.stop()).expect("the journal did not fail");
}

/// Counts bytes; the rules cost nothing, so that the journal is what is measured.
struct Bytes;

impl Machine for Bytes {
    type State = u64;
    type Command = Vec<u8>;
    type Event = Vec<u8>;
    type Refusal = Infallible;

    fn decide(_: &u64, _: OrderedMillis, command: &Vec<u8>) -> Result<Vec<Vec<u8>>, Infallible> {
        Ok(vec![command.clone()])
    }

    fn evolve(state: &mut u64, _: OrderedMillis, event: &Vec<u8>) {
        *state += event.len() as u64;
    }
}

/// Nanoseconds a command: each caller orders its next command when the one before is durable.
fn order(runtime: &Runtime, solo: &Arc<Solo<Bytes>>, callers: usize, each: usize) -> f64 {
    per_unit(callers * each, || {
        runtime.block_on(async {
            let caller = || {
                let solo = Arc::clone(solo);
                tokio::spawn(async move {
                    for _ in 0..each {
                        solo.order(vec![7; COMMAND_BYTES]).await.expect("the command is ordered");
                    }
                })
            };
            let tasks: Vec<_> = (0..callers).map(|_| caller()).collect();
            for task in tasks {
                task.await.expect("a caller does not panic");
            }
        });
    })
}

/// What one command takes in the journal, by the growth of its export.
fn row_bytes(runtime: &Runtime, solo: &Arc<Solo<Bytes>>) -> usize {
    let exported = || {
        let mut bytes = Vec::new();
        solo.export(&mut bytes).expect("the journal can be read");
        bytes.len()
    };
    let before = exported();
    order(runtime, solo, 1, SAMPLE);
    (exported() - before) / SAMPLE
}

/// A database that does nothing but insert.
struct Raw {
    database: Database,
    row: Vec<u8>,
    next: std::cell::Cell<u64>,
}

impl Raw {
    fn create(path: &Path, row_bytes: usize) -> Self {
        let database = Database::create(path).expect("a new database opens");
        Self { database, row: vec![7; row_bytes], next: std::cell::Cell::new(0) }
    }

    fn insert(&self, count: usize) -> f64 {
        per_unit(count, || {
            for _ in 0..count {
                self.insert_one().expect("the database can be written");
            }
        })
    }

    fn insert_one(&self) -> Result<(), redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.open_table(TABLE)?.insert(self.next.replace(self.next.get() + 1), self.row.as_slice())?;
        Ok(transaction.commit()?)
    }
}

fn append(file: &mut File, row_bytes: usize) -> f64 {
    let row = vec![7; row_bytes];
    per_unit(SEQUENTIAL, || {
        for _ in 0..SEQUENTIAL {
            file.write_all(&row).and_then(|()| file.sync_data()).expect("the file can be written");
        }
    })
}

const TABLE: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("rows");
const COMMAND_BYTES: usize = 256;
const SEQUENTIAL: usize = 48;
const SAMPLE: usize = 16;
const PAIRS: usize = 5;
