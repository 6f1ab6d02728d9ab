//! The coupon campaign of the specification, end to end: a network of real processes on this machine, data in
//! three Vaults, one REST client per party, a settled, paid and verified result (R235).
//!
//! `cargo xtask demo coupon` runs it. Every figure of the summary is measured in the run; the audience is compared
//! with a plain computation over the same data that shares no code with the engine.

mod journey;
mod network;
mod population;
mod purchases;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use futures::future::try_join_all;
use symphony_protocol::artifact::Outcome;
use symphony_sdk::campaign::{CampaignSpec, Delivered, Step, Submitter};
use symphony_sdk::client::{Format, Upload};
use symphony_sdk::verify::{Report, verify};
use symphony_types::id::RequestId;
use tokio::time::sleep;

use crate::network::{Network, sym};

#[derive(Parser)]
struct Args {
    /// Folder of the Complete Journey retail data; generated data when absent
    #[arg(long)]
    data: Option<PathBuf>,
    /// People of generated data
    #[arg(long, default_value_t = 60_000)]
    people: u32,
    /// Purchases of each generated person
    #[arg(long, default_value_t = 10)]
    purchases: u32,
    /// Seed of generated data
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Where the network lives; a temporary folder when absent
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Data for the Vaults, and what a plain computation over the same data says.
struct Case {
    /// Files to upload, by Vault.
    files: BTreeMap<String, Files>,
    /// The campaign.
    spec: CampaignSpec,
    /// Contact handles of everybody who is eligible.
    eligible: BTreeSet<String>,
    /// People that each rule of exclusion keeps out, for the summary.
    excluded: Vec<(&'static str, usize)>,
    /// Whether the early consents are to be used up by another brand's campaign first.
    exhausts: Option<CampaignSpec>,
}

/// Upload files of one Vault.
struct Files {
    subjects: PathBuf,
    /// Consents that are given before the other brand's campaign.
    early: PathBuf,
    consents: PathBuf,
    records: PathBuf,
}

/// Seconds of each phase.
type Phases = Vec<(&'static str, f64)>;

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().join("network"));
    let started = Instant::now();
    let mut phases = Phases::new();
    let data = temporary.path().join("data");
    std::fs::create_dir_all(&data)?;
    let (network, case) = match &args.data {
        Some(folder) => (Network::start(&dir, journey::POLICY)?, journey::case(folder, &data)?),
        None => {
            let network = Network::start(&dir, population::POLICY)?;
            (network, population::case(args.people, args.purchases, args.seed, &data)?)
        }
    };
    phases.push(("data made", started.elapsed().as_secs_f64()));
    let luckin = network.submitter("luckin")?;
    network.ready(&luckin.client).await?;
    phases.push(("network up", started.elapsed().as_secs_f64()));
    let records = ingest(&network, &case).await?;
    phases.push(("data in the vaults", started.elapsed().as_secs_f64()));
    let delivered = campaign(&luckin, &case.spec, "coupon-2026").await?;
    phases.push(("settled and delivered", started.elapsed().as_secs_f64()));
    check_audience(&case, &delivered)?;
    let paid = paid(&luckin, &delivered).await?;
    phases.push(("paid and anchored", started.elapsed().as_secs_f64()));
    let bundle = luckin.client.evidence(delivered.task.task_id).await?;
    let verifying = Instant::now();
    let report = verify(&bundle, None);
    let verify_seconds = verifying.elapsed().as_secs_f64();
    let delivered = Delivered { task: paid, ..delivered };
    summary(&case, &delivered, records, &phases);
    evidence_summary(&report, bundle.len(), verify_seconds)?;
    memory_summary(&network)?;
    network.stop()
}

/// Uploads everything as the Vaults' operators; says how many records are in.
async fn ingest(network: &Network, case: &Case) -> Result<u64> {
    upload_all(network, case, Upload::Subjects, "subjects", |files| &files.subjects).await?;
    let records = upload_all(network, case, Upload::Records, "records", |files| &files.records).await?;
    if let Some(other) = &case.exhausts {
        upload_all(network, case, Upload::Consents, "early", |files| &files.early).await?;
        let brand = network.submitter("brand-b")?;
        campaign(&brand, other, "launch-2026").await.context("the other brand's campaign")?;
    }
    upload_all(network, case, Upload::Consents, "consents", |files| &files.consents).await?;
    Ok(records)
}

async fn upload_all(
    network: &Network,
    case: &Case,
    upload: Upload,
    name: &str,
    file: impl Fn(&Files) -> &Path,
) -> Result<u64> {
    let uploads = case.files.iter().map(|(vault, files)| {
        let path = file(files).to_owned();
        async move {
            let operator = network.client(&format!("operator-{vault}"))?;
            let key = RequestId::new(&format!("{name}-1"))?;
            let report = operator.upload(vault, upload, Format::JsonLines, &key, &path).await?;
            ensure!(
                report.refused_total == 0,
                "{vault} refused lines of {name}: {:?}",
                report.refused.first()
            );
            Ok(report.accepted)
        }
    });
    Ok(try_join_all(uploads).await?.into_iter().sum())
}

/// Quote, lock, submit, watch, deliver, open.
async fn campaign(submitter: &Submitter, spec: &CampaignSpec, request: &str) -> Result<Delivered> {
    let mut last = String::new();
    let delivered = submitter
        .run(spec, &RequestId::new(request)?, |step| match step {
            Step::Quoted(quote) => {
                let total = quote.worst_case.map_or(0, |fee| fee.total.0);
                println!("  {} {request}: quoted, at most {}", submitter.actor, sym(total));
            }
            Step::Locked(lock) => {
                println!("  {} {request}: locked {:.12}", submitter.actor, lock.to_string())
            }
            Step::Task(task) if task.state != last => {
                println!("  {} {request}: {}", submitter.actor, task.state);
                last = task.state;
            }
            Step::Task(_) => {}
        })
        .await?;
    ensure!(
        delivered.task.state == "completed",
        "the task ended {} {}",
        delivered.task.state,
        delivered.task.code
    );
    Ok(delivered)
}

/// The audience against the plain computation: everybody when they fit, exactly the cap of them when not.
fn check_audience(case: &Case, delivered: &Delivered) -> Result<()> {
    let audience = delivered.audience.as_ref().context("nothing was delivered")?;
    let handles: BTreeSet<_> = audience.handles.iter().cloned().collect();
    ensure!(handles.len() == audience.handles.len(), "somebody is in the audience twice");
    let strangers = handles.difference(&case.eligible).count();
    ensure!(strangers == 0, "{strangers} people of the audience are not eligible");
    let expected = case.eligible.len().min(case.spec.cap as usize);
    ensure!(handles.len() == expected, "the audience has {} people, not {expected}", handles.len());
    ensure!(
        audience.outcome == Outcome::Audience { returned: delivered.task.returned },
        "the outcome differs"
    );
    Ok(())
}

/// Waits for the payout batch of the task's epoch.
async fn paid(submitter: &Submitter, delivered: &Delivered) -> Result<symphony_sdk::shape::Task> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let task = submitter.client.task(delivered.task.task_id).await?;
        if task.anchor == "confirmed" {
            return Ok(task);
        }
        ensure!(Instant::now() < deadline, "the payout was not confirmed in a minute");
        sleep(Duration::from_millis(200)).await;
    }
}

fn summary(case: &Case, delivered: &Delivered, records: u64, phases: &Phases) {
    let task = &delivered.task;
    println!("\ncampaign {} settled by {} enclaves", task.request_id, task.platform_class);
    println!("  records in the vaults        {records}");
    for (why, people) in &case.excluded {
        println!("  left out, {why:<18} {people} people");
    }
    println!("  eligible (plain computation) {}", case.eligible.len());
    println!("  audience delivered           {} (cap {})", task.returned, case.spec.cap);
    if let Some(count) = delivered.audience.as_ref().and_then(|audience| audience.eligible_noised) {
        println!("  eligible, noised count       {count}");
    }
    if let Some(fee) = &task.charged {
        println!("  locked                       {}", sym(task.locked.0));
        println!("  charged                      {}", sym(fee.total.0));
        println!("  refunded                     {}", sym(task.refunded.0));
    }
    for share in &task.shares {
        println!("    {:<15} {:<20} {}", share.recipient_class, share.recipient, sym(share.amount.0));
    }
    println!("  settlement root              {}", task.settlement_root);
    println!("  payout {}, anchor {}", task.payout, task.anchor);
    let mut before = 0.0;
    for (phase, at) in phases {
        println!("  {phase:<28} {at:6.1} s (+{:.1})", at - before);
        before = *at;
    }
}

fn evidence_summary(report: &Report, bytes: usize, seconds: f64) -> Result<()> {
    println!("\nevidence bundle of {bytes} bytes verified offline in {seconds:.3} s");
    for check in &report.checks {
        let outcome = check.fault.as_ref().map_or("holds", |_| "FAILS");
        println!("  {outcome} {:<24} {}", check.name, check.proves);
    }
    ensure!(report.passed(), "the evidence does not verify");
    Ok(())
}

fn memory_summary(network: &Network) -> Result<()> {
    println!("\npeak memory");
    let mut over = Vec::new();
    for (process, kilobytes) in network.peaks()? {
        println!("  {process:<28} {:>7.1} MiB", kilobytes as f64 / 1024.0);
        if kilobytes > 1 << 20 {
            over.push(process);
        }
    }
    ensure!(over.is_empty(), "over 1 GiB: {over:?}");
    Ok(())
}
