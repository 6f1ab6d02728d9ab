//! The campaign query over a Vault's encrypted segments against DuckDB over the same rows in the clear, in one run (R055-R081).
//!
//! Both sides have two threads and answer in turn. DuckDB's times are taken inside its process, without the way there and
//! back. Beside them: what the writer takes in, what lies at rest, memory, and what the machine could do at best. Without
//! a Python that has duckdb (`SYMPHONY_VAULT_PYTHON`) it says so and runs ours alone.
//!
//! `cargo bench --profile dev` in the folder of the crate, or with sizes: `-- 1000000 3000000`.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use object_store::local::LocalFileSystem;
use symphony_segments::composition::{Composition, Condition, Measure, Selection};
use symphony_segments::engine::{Audience, Engine, Way};
use symphony_segments::limits::QueryLimits;
use symphony_segments::people::People;
use symphony_segments::reader::Segments;

use crate::data::{AMOUNT, CATEGORY, DAY, Generated, TIME, UNTIL, name, schema, vault};
use crate::duck::Duck;
use crate::report::{Times, print_times};

mod data;
mod duck;
mod limit;
mod report;

fn main() {
    let sizes: Vec<u64> = std::env::args().skip(1).filter_map(|size| size.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1_000_000, 3_000_000, 10_000_000] } else { sizes };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(CORES).enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    for rows in sizes {
        runtime.block_on(size(rows));
    }
}

async fn size(rows: u64) {
    let people = (rows / 10) as u32;
    println!("\n## {rows} purchases of {people} people\n");
    let folder = tempfile::tempdir().expect("a folder");
    let generated = data::generate(folder.path(), rows, people).await;
    generated.print();
    let store = LocalFileSystem::new_with_prefix(folder.path().join("sealed")).expect("the folder opens");
    let segments = Segments::new(vault(), Arc::new(store), generated.keys.clone(), schema());
    let limits = QueryLimits { cores: CORES, ..QueryLimits::default() };
    let engine = Engine::new(Arc::new(segments), limits);
    let mut duck = Duck::start(folder.path());
    if duck.is_none() {
        println!("DuckDB cannot be had (set SYMPHONY_VAULT_PYTHON to a Python that has it): ours alone.\n");
    }
    report::forget_peak();
    let mut table = Vec::new();
    for question in questions() {
        table.push(measure(&engine, &generated, &question, duck.as_mut(), folder.path()).await);
    }
    print_times(&table);
    println!("\nPeak memory while asking: {} MiB.", report::peak_mib());
    limit::print(&engine, &generated, &questions(), &table).await;
    concurrent(&engine, &generated).await;
}

/// A question, and what DuckDB calls it.
pub(crate) struct Question {
    pub(crate) title: &'static str,
    pub(crate) duck: &'static str,
    pub(crate) asked: Composition,
    pub(crate) columns: Vec<usize>,
}

fn questions() -> Vec<Question> {
    let category = Condition::text(&name(CATEGORY), ["category 07"]);
    let window = Condition::between(&name(TIME), UNTIL - 30 * DAY, UNTIL);
    let campaign = Condition::All(vec![category.clone(), window]);
    let record = |over: Condition| Composition { who: Selection::record(over), latest: Some(name(TIME)) };
    let feature = |measure: Measure| Selection::Measured {
        over: Condition::every(),
        measure,
        at_least: 1,
        at_most: u64::MAX,
    };
    let features = Selection::Any(vec![feature(Measure::Records), feature(Measure::Sum(name(AMOUNT)))]);
    vec![
        Question {
            title: "campaign, 30 days",
            duck: "campaign",
            asked: record(campaign),
            columns: vec![0, 3, 5],
        },
        Question { title: "whole history", duck: "history", asked: record(category), columns: vec![0, 3, 5] },
        Question {
            title: "count, sum and latest a person",
            duck: "features",
            asked: Composition { who: features, latest: Some(name(TIME)) },
            columns: vec![0, 2, 5],
        },
    ]
}

async fn measure(
    engine: &Engine,
    generated: &Generated,
    question: &Question,
    mut duck: Option<&mut Duck>,
    folder: &Path,
) -> Times {
    let mut times = Times::new(question.title);
    let permitted = generated.permitted();
    check(engine, generated, question, duck.as_deref_mut(), &permitted).await;
    for round in 0..ROUNDS {
        let ours = async |way: Way, times: &mut Times| {
            let start = Instant::now();
            let permitted = generated.permitted();
            let made = start.elapsed();
            ask(engine, generated, &permitted, question, way).await;
            times.add(if way == Way::Scan { "ours, scan" } else { "ours, plan" }, start.elapsed());
            if way == Way::Scan {
                times.add("of it, who is permitted", made);
            }
        };
        if round % 2 == 0 {
            ours(Way::Scan, &mut times).await;
        }
        if let Some(duck) = duck.as_deref_mut() {
            for (label, data) in DUCKS {
                times.add(label, duck.ask(question.duck, data).took);
            }
        }
        if round % 2 == 1 {
            ours(Way::Scan, &mut times).await;
        }
        ours(Way::Plan, &mut times).await;
    }
    for _ in 0..COLD_ROUNDS {
        engine.segments().forget_all();
        report::forget_files(folder);
        let start = Instant::now();
        ask(engine, generated, &permitted, question, Way::Scan).await;
        times.add("ours, scan, cold", start.elapsed());
        if let Some(duck) = duck.as_deref_mut() {
            duck.reopen();
            report::forget_files(folder);
            times.add("DuckDB naked, cold", duck.ask(question.duck, "naked same").took);
        }
    }
    times
}

async fn ask(
    engine: &Engine,
    generated: &Generated,
    permitted: &People,
    question: &Question,
    way: Way,
) -> Audience {
    engine.audience(&generated.snapshot, permitted, &question.asked, way).await.expect("it is answered")
}

/// All sides must answer alike before any is timed.
async fn check(
    engine: &Engine,
    generated: &Generated,
    question: &Question,
    duck: Option<&mut Duck>,
    permitted: &People,
) {
    let scan = ask(engine, generated, permitted, question, Way::Scan).await;
    let plan = ask(engine, generated, permitted, question, Way::Plan).await;
    assert!(scan == plan, "invariant: both ways give the same");
    let sum: u128 = scan.latest.iter().copied().map(u128::from).sum();
    println!("{}: {} people selected.", question.title, scan.people.len());
    if let Some(duck) = duck {
        for data in ["joined same", "joined own"] {
            let answer = duck.ask(question.duck, data);
            assert!(
                (answer.people, answer.latest) == (scan.people.len(), sum),
                "invariant: DuckDB selects the same with joins"
            );
        }
    }
}

/// Ten campaigns at once against ten in turn.
async fn concurrent(engine: &Engine, generated: &Generated) {
    let question = &questions()[0];
    let permitted = generated.permitted();
    let start = Instant::now();
    for _ in 0..10 {
        ask(engine, generated, &permitted, question, Way::Scan).await;
    }
    let in_turn = start.elapsed();
    let start = Instant::now();
    let at_once = (0..10).map(|_| ask(engine, generated, &permitted, question, Way::Scan));
    futures::future::join_all(at_once).await;
    let millis = |took: std::time::Duration| took.as_secs_f64() * 1e3;
    println!("Ten campaigns in turn {:.1} ms, at once {:.1} ms.", millis(in_turn), millis(start.elapsed()));
}

/// Cores that each side uses.
const CORES: usize = 2;
const ROUNDS: usize = 11;
const COLD_ROUNDS: usize = 3;
/// What DuckDB is asked over: *same* are files laid out as ours, *own* is what it writes of them itself.
const DUCKS: [(&str, &str); 4] = [
    ("DuckDB naked", "naked same"),
    ("DuckDB naked, its own files", "naked own"),
    ("DuckDB joined with consent and budget", "joined same"),
    ("DuckDB joined, its own files", "joined own"),
];
