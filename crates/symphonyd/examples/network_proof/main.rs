//! The proof over a real network: three masters in three network namespaces under load, killed and cut off for minutes;
//! afterwards every acknowledged task is there, all journals are one, no balance is off by a unit, nothing is reserved
//! (R007, R195, R196, R197, R211, R217).
//!
//! `cargo xtask proof network` runs it. Where the machine allows no namespaces all stands on loopback, without cut wires.

mod cast;
mod check;
mod faults;
mod lab;
mod load;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::task::{JoinSet, LocalSet};

use crate::cast::Cast;
use crate::faults::{Troubles, rage};
use crate::lab::Lab;
use crate::load::{Book, Brand};

#[derive(Parser)]
struct Args {
    /// How long things go wrong
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Draws what goes wrong; from the time when absent
    #[arg(long)]
    seed: Option<u64>,
    /// Campaigns of each of the two submitters at once
    #[arg(long, default_value_t = 3)]
    lanes: u32,
    /// Where the network lives and its logs stay; a temporary folder when absent
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Budgets for any number of campaigns, time for a node to come back, and short windows.
const POLICY: &str = "marketing=600000000000,subject_cap=600000000000,prepare=20000,execute=30000,\
                      aggregate=30000,verify=20000,challenge=800,epoch=2000";

/// What a run has shown.
struct Shown {
    seed: u64,
    kind: &'static str,
    troubles: Troubles,
    healed: Duration,
    completed: usize,
    charged: symphony_types::amount::Sym,
    journals: check::Journals,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().join("network"));
    ensure!(!dir.exists(), "{} is there already", dir.display());
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let lanes = LocalSet::new();
    // Whichever way the proof ends, its processes end and its namespaces go: they are owned by its future.
    tokio::select! {
        proven = lanes.run_until(prove(&args, &dir, temporary.path())) => proven,
        _ = terminate.recv() => anyhow::bail!("terminated"),
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
    }
}

async fn prove(args: &Args, dir: &Path, folder: &Path) -> Result<()> {
    let seed = args.seed.unwrap_or_else(faults::now_ms);
    let mut lab = Lab::open();
    println!("masters on {}; --seed {seed}", lab.kind());
    let mut cast = Cast::new(dir, &lab, POLICY)?;
    lab.disks(dir)?;
    cast.start_all(&lab)?;
    let brands = [Brand::open(&cast, "luckin")?, Brand::open(&cast, "brand-b")?];
    let first = check::agreed(&brands[0].submitter.client).await?.epoch_id;
    load::upload(&cast, folder).await?;
    let mut before = Vec::new();
    for brand in &brands {
        before.push(check::balance(brand).await?);
    }
    let (book, stop) = (Arc::new(Mutex::new(Book::default())), Arc::new(AtomicBool::new(false)));
    let mut lanes = JoinSet::new();
    for lane in 0..args.lanes {
        for brand in &brands {
            lanes.spawn_local(load::lane(Arc::clone(brand), lane, Arc::clone(&book), Arc::clone(&stop)));
        }
    }
    let until = Instant::now() + Duration::from_secs_f64(args.minutes * 60.0);
    let troubles = rage(seed, until, &lab, &mut cast, &brands[0].submitter.client).await?;
    let calm = Instant::now();
    check::agreed(&brands[0].submitter.client).await?;
    let healed = calm.elapsed();
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = lanes.join_next().await {
        ended.context("a lane")?;
    }
    let book = std::mem::take(&mut *book.lock().await);
    println!("all is well again; {} tasks were acknowledged, checking", book.acknowledged.len());
    let brands = [&*brands[0], &*brands[1]];
    let tasks = check::tasks(&brands, &book).await?;
    let accounts = check::evidence(&brands, &book, &tasks).await?;
    let last = check::agreed(&brands[0].submitter.client).await?.epoch_id;
    let charged = check::money(&brands, &before, &book, &tasks, &accounts, first..=last).await?;
    let completed = tasks.values().filter(|task| task.state == "completed").count();
    check::budgets(&cast, completed as u64, book.acknowledged.len() as u64).await?;
    cast.look_around()?;
    cast.stop();
    let journals = check::journals(&cast, dir, &troubles.times)?;
    let shown = Shown { seed, kind: lab.kind(), troubles, healed, completed, charged, journals };
    summary(&shown, &book);
    ensure!(book.findings.is_empty(), "campaigns failed: {:#?}", book.findings);
    ensure!(cast.surprises.is_empty(), "processes ended by themselves: {:#?}", cast.surprises);
    println!("proof: holds");
    Ok(())
}

fn summary(shown: &Shown, book: &Book) {
    println!("masters on {}; --seed {}", shown.kind, shown.seed);
    for (kind, count) in &shown.troubles.counts {
        println!("  {kind:<28} {count:>6}");
    }
    let lines = [
        ("tasks acknowledged", book.acknowledged.len().to_string()),
        ("tasks completed", shown.completed.to_string()),
        ("tasks refused, not prepared in time", book.refused.to_string()),
        ("calls made again", book.retries.to_string()),
        ("slowest acknowledgement", format!("{:.1} s", book.slowest.as_secs_f64())),
        ("charged", format!("{} base units, all accounted for", shown.charged.0)),
        ("entries alike in all journals", shown.journals.common.to_string()),
        ("slowest return to one head", format!("{:.1} s", shown.troubles.rejoin.as_secs_f64())),
        ("one head after the last fault", format!("{:.1} s", shown.healed.as_secs_f64())),
    ];
    for (what, value) in lines {
        println!("  {what:<38} {value}");
    }
    for stop in &shown.journals.stops {
        println!("  {:<38} {stop}", "a long stop");
    }
    if let Some(stop) = &shown.journals.live {
        println!("  {:<38} {stop}", "the longest with two masters up");
    }
}
