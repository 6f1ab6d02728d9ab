//! Rounds over 100,000 invented people with 50 features out of their records, through the whole platform, against one pass
//! of the kernel alone over a matrix of that size (R097-R099); and the same rounds with next to nobody in them, which is
//! what the platform costs without the kernel.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use symphony_compute::train::dataset::Dataset;

use crate::network::{Network, VAULTS, now_ms};
use crate::rounds::{Measured, fill, median, train};
use crate::{cpu, epoch};

/// Who is held out is not trained on: one in a hundred.
const HELD_OUT: f64 = 0.01;
/// People of each Vault, so that as many as the matrix has are trained on.
const PEOPLE: usize = (epoch::PEOPLE + epoch::PEOPLE / 99) / 3;
/// Purchases of a person before the evaluation time.
const PURCHASES: usize = 6;
const CATEGORIES: usize = 8;
const ROUNDS: u32 = 40;
/// Trainings of everybody and of few, in turn.
const TURNS: usize = 5;
const THREADS: [usize; 2] = [1, 2];
const DAY: u64 = 86_400_000;
/// Nobody is refused for what all trainings cost together, and a busy drive has time.
const POLICY: &str = "training=200000000,subject_cap=200000000,prepare=60000,execute=60000,challenge=800";

/// Fills three Vaults, trains, and prints how a round compares with the kernel. **Errors**: whatever the platform refuses.
pub(crate) async fn report() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let evaluated = now_ms() / DAY * DAY - 40 * DAY;
    let records = write(folder.path(), evaluated)?;
    let network = Network::start(&["--masters", "3", "--policy", POLICY]);
    network.ready().await;
    let begin = Instant::now();
    fill(&network, folder.path()).await?;
    println!(
        "\na crowd: {} people, {records} records, {} features; ingested in {:.1} s; load {}",
        PEOPLE * VAULTS.len(),
        epoch::FEATURES,
        begin.elapsed().as_secs_f64(),
        std::fs::read_to_string("/proc/loadavg")?.trim()
    );
    let matrix = epoch::people()?;
    let (mut whole, mut few) = (Seen::default(), Seen::default());
    let mut turns = Vec::new();
    let rare = json!([{"rule": "commerce.category_purchase", "texts": ["rarity"]}]);
    for number in 0..TURNS {
        let before = passes(&matrix)?;
        let of_all = whole.watch(&network, &format!("crowd-{number}"), spec(evaluated, json!([]))?).await?;
        let after = passes(&matrix)?;
        let of_few = few.watch(&network, &format!("few-{number}"), spec(evaluated, rare.clone())?).await?;
        println!("to the end of the first round: {:.1} s", of_all.first.as_secs_f64());
        of_all.print();
        let pass = std::array::from_fn(|at| (before[at] + after[at]) / 2.0);
        turns.push(Turn { whole: of_all.median(), few: of_few.median(), pass });
    }
    drop(network);
    print(&whole, &few, &turns);
    Ok(())
}

/// What was seen in one turn. **Units**: seconds.
struct Turn {
    whole: f64,
    few: f64,
    /// One pass of the kernel alone, before and after the training of all, by [`THREADS`].
    pass: [f64; THREADS.len()],
}

fn passes(matrix: &Dataset) -> Result<[f64; THREADS.len()]> {
    let mut passes = [0.0; THREADS.len()];
    for (pass, threads) in passes.iter_mut().zip(THREADS) {
        *pass = epoch::pass(matrix, threads)?;
    }
    Ok(passes)
}

fn print(whole: &Seen, few: &Seen, turns: &[Turn]) {
    println!("\n| a round | {} people | one in a hundred of them |\n|---|---|---|", epoch::PEOPLE);
    println!("| median, ms | {:.1} | {:.1} |", whole.median() * 1e3, few.median() * 1e3);
    for (name, used) in &whole.used {
        let per = |used: Duration, seen: &Seen| used.as_secs_f64() * 1e3 / seen.rounds.len() as f64;
        let other = few.used.get(name).copied().unwrap_or_default();
        println!("| processor time of {name}, ms | {:.1} | {:.1} |", per(*used, whole), per(other, few));
    }
    for (at, threads) in THREADS.iter().enumerate() {
        let pass = median(turns.iter().map(|turn| turn.pass[at])) * 1e3;
        let times = |of: &dyn Fn(&Turn) -> f64| {
            let ratios = || turns.iter().map(|turn| of(turn) / turn.pass[at]);
            let (least, most) =
                ratios().fold((f64::MAX, f64::MIN), |(low, high), ratio| (low.min(ratio), high.max(ratio)));
            format!("{:.2} ({least:.2} to {most:.2})", median(ratios()))
        };
        println!(
            "one pass of the kernel alone on {threads} threads: {pass:.2} ms; a round is {} times that (bound 3), one of few \
             people {} times",
            times(&|turn| turn.whole),
            times(&|turn| turn.few),
        );
    }
}

/// Rounds of several trainings.
#[derive(Default)]
struct Seen {
    rounds: Vec<Duration>,
    /// Processor time during these rounds, by who takes part.
    used: BTreeMap<&'static str, Duration>,
}

impl Seen {
    fn median(&self) -> f64 {
        median(self.rounds.iter().map(Duration::as_secs_f64))
    }

    /// Trains, and looks at the processor time of who takes part between the first and the last step.
    async fn watch(&mut self, network: &Network, request: &str, spec: Value) -> Result<Measured> {
        let processes = processes(network)?;
        let used = || -> BTreeMap<&'static str, Duration> {
            processes.iter().map(|(name, processes)| (*name, cpu::used(processes))).collect()
        };
        let (mut first, mut last) = (None, None);
        let measured = train(network, request, spec, |done| {
            if done >= 1 && first.is_none() {
                first = Some(used());
            }
            if done <= ROUNDS {
                last = Some(used());
            }
        });
        let measured = measured.await?;
        let (first, last) = first.zip(last).context("no round was seen")?;
        for (name, used) in last {
            *self.used.entry(name).or_default() += used.saturating_sub(first[name]);
        }
        self.rounds.extend(&measured.rounds);
        // What is paid for one training takes nothing from the next.
        network.settled(&network.client("luckin"), measured.task).await;
        Ok(measured)
    }
}

/// Who takes part in a round, by what it is.
fn processes(network: &Network) -> Result<BTreeMap<&'static str, Vec<u32>>> {
    let vaults: Vec<String> = VAULTS.iter().map(|vault| format!("enterprise-{vault}")).collect();
    let pids = |nodes: &[String]| nodes.iter().map(|node| network.pid(node)).collect::<Vec<_>>();
    let enclaves = |nodes: &[String]| {
        let pids = nodes
            .iter()
            .map(|node| network.enclave_pid(node).with_context(|| format!("{node} has no enclave")));
        pids.collect::<Result<Vec<_>>>()
    };
    // A guard's node has the name of its master before it.
    let masters: Vec<String> =
        network.masters().into_iter().filter(|node| !node.ends_with("-guard")).collect();
    ensure!(masters.len() == 3, "three masters, not {masters:?}");
    let guards: Vec<String> = masters.iter().map(|master| format!("{master}-guard")).collect();
    Ok(BTreeMap::from([
        ("the Vaults", pids(&vaults)),
        ("the Vaults' enclaves, one thread each", enclaves(&vaults)?),
        ("the masters", pids(&masters)),
        ("the masters' enclaves", enclaves(&masters)?),
        ("the masters' guards", pids(&guards)),
        ("the gateway", vec![network.pid("gateway")]),
        ("the benchmark, which watches", vec![std::process::id()]),
    ]))
}

/// Who will buy from the first category within four weeks, out of 50 features.
fn spec(evaluated: u64, cohort: Value) -> Result<Value> {
    let scale = json!({"logarithm": true, "centre": 1.0, "spread": 1.0, "bound": 4.0});
    let share = json!({"centre": 0.2, "spread": 0.2, "bound": 4.0});
    let of = |family: &str, attribute: Option<&str>, days: u32, filter: Value| {
        let scale = if family == "share" { &share } else { &scale };
        json!({"family": family, "attribute": attribute, "days": days, "filter": filter, "scale": scale})
    };
    let amount = Some("commerce.amount");
    let mut features = Vec::new();
    for number in 0..CATEGORIES {
        let filter = json!([{"rule": "commerce.category_purchase", "texts": [category(number)]}]);
        features.extend([
            of("frequency", None, 30, filter.clone()),
            of("frequency", None, 90, filter.clone()),
            of("recency", None, 90, filter.clone()),
            of("sum", amount, 90, filter.clone()),
            of("share", amount, 90, filter),
        ]);
    }
    for days in [30, 90] {
        features.extend([
            of("frequency", None, days, json!([])),
            of("recency", None, days, json!([])),
            of("sum", amount, days, json!([])),
            of("mean", amount, days, json!([])),
            of("distinct", Some("commerce.category"), days, json!([])),
        ]);
    }
    ensure!(features.len() == epoch::FEATURES, "as many features as the matrix has");
    Ok(json!({
        "model": {"kind": "logistic"}, "time": "commerce.purchase_date", "cohort": cohort, "features": features,
        "label": {"condition": [{"rule": "commerce.category_purchase", "texts": [category(0)]}], "days": 28},
        "settings": {"clip": 3.0, "learning_rate": 0.5, "momentum": 0.5, "penalty": 0.0001},
        "privacy": {"noise": 3.0, "evaluation_noise": 1.0, "delta": 1e-5},
        "rounds": ROUNDS, "held_out": HELD_OUT, "accept_from": 0.0, "evaluate_at_ms": evaluated,
    }))
}

/// Writes subjects, consents and records of all Vaults. Returns how many records there are.
fn write(folder: &Path, evaluated: u64) -> Result<usize> {
    let mut number = 1_u64;
    let mut draw = |below: usize| {
        // A step of a linear congruential generator: the people only have to differ.
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (number >> 33) as usize % below
    };
    let mut count = 0;
    for (number, vault) in VAULTS.iter().enumerate() {
        let open = |kind: &str| -> Result<BufWriter<File>> {
            Ok(BufWriter::new(File::create(folder.join(format!("{kind}-vault-{number}.jsonl")))?))
        };
        let (mut subjects, mut consents, mut records) =
            (open("subjects")?, open("consents")?, open("records")?);
        for person in 0..PEOPLE {
            let subject = format!("{vault}-{person:05}");
            writeln!(
                subjects,
                "{}",
                json!({"subject": subject, "contact": format!("{subject}@example.org")})
            )?;
            writeln!(consents, "{}", json!({"subject": subject, "scope": "training", "state": "granted"}))?;
            let mut buy = |category: String, at: u64, cents: usize| -> Result<()> {
                count += 1;
                let record = json!({
                    "request_id": format!("r-{count}"), "subject": subject, "commerce.category": category,
                    "commerce.purchase_date": at, "commerce.amount": format!("{}.{:02}", cents / 100, cents % 100),
                });
                Ok(writeln!(records, "{record}")?)
            };
            // Half of what somebody buys is of its favourite category.
            let favourite = draw(CATEGORIES);
            for _ in 0..PURCHASES {
                let chosen = if draw(2) == 0 { favourite } else { draw(CATEGORIES) };
                buy(category(chosen), evaluated - draw(90 * 24) as u64 * (DAY / 24), 100 + draw(5_000))?;
            }
            if person % 100 == 0 {
                buy("rarity".to_owned(), evaluated - 40 * DAY, 100)?;
            }
            if draw(10) < if favourite == 0 { 8 } else { 1 } {
                buy(category(0), evaluated + 5 * DAY, 100)?;
            }
        }
        for mut file in [subjects, consents, records] {
            file.flush()?;
        }
    }
    Ok(count)
}

fn category(number: usize) -> String {
    format!("category-{number}")
}
