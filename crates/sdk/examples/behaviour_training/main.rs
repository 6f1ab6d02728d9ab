//! The training story of the specification, end to end: a brand learns who will buy from people in three Vaults who
//! consented to exactly that, under differential privacy, and checks what it got without trusting anybody (R097-R104).
//!
//! `cargo xtask demo training` runs it. Every figure is measured in the run; the model is compared with a plain
//! computation over the same people that shares no code with the engine.

mod history;
#[path = "../coupon_campaign/network.rs"]
mod network;
mod people;
#[path = "../receipt_upload/person.rs"]
mod person;
#[path = "../coupon_campaign/purchases.rs"]
mod purchases;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use futures::future::try_join_all;
use symphony_sdk::client::{ClientError, Format, Upload};
use symphony_sdk::erasure;
use symphony_sdk::model::predict::{Person as Given, Prediction, Predictor};
use symphony_sdk::model::registry::{Entry, Registry};
use symphony_sdk::shape::{BudgetEntry, Task};
use symphony_sdk::submission::{Step, Submission as _, Submitter};
use symphony_sdk::training::TrainingSpec;
use symphony_sdk::verify::governance_digest;
use symphony_types::digest::Digest;
use symphony_types::id::RequestId;
use tokio::time::sleep;

use crate::history::{Consent, Files, Person, Question, VAULTS};
use crate::network::{Network, sym};
use crate::person::producer;

#[derive(Parser)]
struct Args {
    /// Folder of the Complete Journey retail data; generated data when absent
    #[arg(long)]
    data: Option<PathBuf>,
    /// People of generated data
    #[arg(long, default_value_t = 15_000)]
    people: u32,
    /// Seed of generated data
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Where the network lives; a temporary folder when absent
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// What a person may lose to trainings: so much that evaluations on a few thousand people tell something.
const POLICY: &str = "training=4000000,subject_cap=6000000";

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().join("network"));
    let (people, question) = match &args.data {
        Some(folder) => people::real(folder)?,
        None => people::invented(args.people, args.seed)?,
    };
    let data = temporary.path().join("data");
    std::fs::create_dir_all(&data)?;
    let files = history::write(&people, &question, &data)?;
    let network = Network::start(&dir, POLICY)?;
    let luckin = network.submitter("luckin")?;
    network.ready(&luckin.client).await?;
    let started = Instant::now();
    let records = ingest(&network, &files).await?;
    println!(
        "\n{records} purchases of {} people in {} vaults, {:.1} s",
        people.len(),
        VAULTS.len(),
        started.elapsed().as_secs_f64()
    );

    let spec = history::spec(&question);
    refused(&luckin, &spec).await?;
    quoted(&luckin, &spec, &people).await?;
    let task = trained(&luckin, &spec).await?;
    let trusted = governance_digest(&erasure::governance(&std::fs::read(dir.join("governance.bcs"))?)?);
    let entry = kept(&luckin, &task, trusted, &dir.join("models")).await?;
    used(&entry.predictor(), &entry, &people, &question)?;
    budgets(&dir, &people, &task).await?;
    memory(&network)?;
    network.stop()
}

/// Uploads everything as the Vaults' operators; says how many records are in.
async fn ingest(network: &Network, files: &BTreeMap<String, Files>) -> Result<u64> {
    let uploads = files.iter().map(|(vault, files)| async move {
        let operator = network.client(&format!("operator-{vault}"))?;
        let mut accepted = 0;
        for (upload, name, file) in [
            (Upload::Subjects, "subjects-1", &files.subjects),
            (Upload::Records, "records-1", &files.records),
            (Upload::Consents, "consents-1", &files.consents),
        ] {
            let key = RequestId::new(name)?;
            let report = operator.upload(vault, upload, Format::JsonLines, &key, file).await?;
            ensure!(report.refused_total == 0, "{vault} refused lines: {:?}", report.refused.first());
            if upload == Upload::Records {
                accepted = report.accepted;
            }
        }
        Ok(accepted)
    });
    Ok(try_join_all(uploads).await?.into_iter().sum())
}

/// R018, R097: who consented to campaigns did not consent to trainings.
async fn refused(luckin: &Submitter, spec: &TrainingSpec) -> Result<()> {
    let attempt = TrainingSpec { usage_scope: "marketing".to_owned(), ..spec.clone() };
    match luckin.client.quote(&attempt.spec()?).await {
        Err(ClientError::Refused(problem)) if problem.code == "ADM-0028" => {
            println!("a training on consent for marketing: {} {}", problem.code, problem.title);
            Ok(())
        }
        other => bail!("a training on consent for marketing was not refused: {other:?}"),
    }
}

/// The price, the rounds that budgets allow, and that people without consent are not counted.
async fn quoted(luckin: &Submitter, spec: &TrainingSpec, people: &[Person]) -> Result<()> {
    let quote = luckin.client.quote(&spec.spec()?).await?;
    println!("\nquote for {} rounds", spec.rounds);
    println!(
        "  at most                      {}",
        sym(quote.worst_case.as_ref().map_or(0, |fee| fee.total.0))
    );
    println!("  epsilon of each person       {}", epsilon(quote.noised_micro_epsilon));
    println!("  rounds that a budget allows  {}", quote.rounds_possible);
    ensure!(quote.rounds_possible >= spec.rounds, "a budget does not allow the rounds");
    for (at, vault) in VAULTS.iter().enumerate() {
        let of = |consent| people.iter().filter(|one| one.vault == at && one.consent == consent).count();
        let asked = quote.coverage.iter().find(|coverage| coverage.vault_id == *vault).context("a vault")?;
        let without = of(Consent::Marketing) + of(Consent::Nothing);
        let consented = of(Consent::Training) as u64;
        println!(
            "  {vault}: {consented} people consented, {without} did not; bucket {}",
            asked.consented_bucket
        );
        ensure!(asked.consented_bucket <= consented, "somebody counts without consent");
    }
    Ok(())
}

/// Locks, submits and follows; a line a round.
async fn trained(luckin: &Submitter, spec: &TrainingSpec) -> Result<Task> {
    let mut last = String::new();
    let mut rounds: Option<(Instant, Instant)> = None;
    let started = Instant::now();
    let request = RequestId::new("propensity-2026")?;
    println!();
    let trained = luckin
        .train(spec, &request, |step| {
            let Step::Task(task) = step else { return };
            let line = progress(&task);
            if task.training.as_ref().is_some_and(|training| training.done <= training.rounds) {
                let now = Instant::now();
                rounds = Some((rounds.map_or(now, |(first, _)| first), now));
            }
            if line != last {
                println!("  {:6.1} s  {line}", started.elapsed().as_secs_f64());
                last = line;
            }
        })
        .await?;
    let task = trained.task;
    ensure!(task.state == "completed", "the task ended {} {}", task.state, task.code);
    let done = task.training.as_ref().context("no progress of a training")?.done;
    let seconds = rounds.map_or(0.0, |(first, last)| (last - first).as_secs_f64());
    println!("\n{done} rounds in {seconds:.1} s: {:.2} a second", f64::from(done) / seconds.max(0.001));
    println!("settled after {:.1} s", started.elapsed().as_secs_f64());
    let charged = task.charged.as_ref().map_or(0, |fee| fee.total.0);
    println!("charged {} of {}, {} back", sym(charged), sym(task.locked.0), sym(task.refunded.0));
    Ok(task)
}

fn progress(task: &Task) -> String {
    let Some(training) = &task.training else { return task.state.clone() };
    let mut line = format!("{} round {}/{}", task.state, training.done, training.rounds + 1);
    if let Some(last) = training.curve.last() {
        line += &format!(", quality {:.4}", f64::from(last.quality_micro) / 1e6);
    }
    let spent = epsilon(training.spent_micro_epsilon);
    line + &format!(", epsilon {spent} of {}", epsilon(training.reserved_micro_epsilon))
}

/// R103: the model with its evidence and all transcripts, checked against the governance that this network began with.
async fn kept(luckin: &Submitter, task: &Task, trusted: Digest, folder: &Path) -> Result<Entry> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while luckin.client.task(task.task_id).await?.anchor != "confirmed" {
        ensure!(Instant::now() < deadline, "the payout was not confirmed in a minute");
        sleep(Duration::from_millis(200)).await;
    }
    let registry = Registry::at(folder);
    let fetched =
        registry.fetch(&luckin.client, &luckin.recipient, task.task_id, Some(trusted), true).await?;
    let verifying = Instant::now();
    let entry = registry.open(task.task_id, Some(trusted))?;
    let seconds = verifying.elapsed().as_secs_f64();
    ensure!(entry.card == fetched.card, "the card changed");
    let card = &entry.card;
    println!("\nmodel {} in the registry, verified offline in {seconds:.3} s", card.model.digest);
    println!("  {} steps with their transcripts, {} enclaves", entry.steps.len(), card.platform);
    println!(
        "  {} {:.4} on people held out, with noise",
        card.quality.measure, card.quality.released.quality
    );
    println!(
        "  epsilon {} spent of {} reserved, delta {}",
        card.privacy.epsilon_spent, card.privacy.epsilon_reserved, card.privacy.delta
    );
    println!("  settlement root {}", card.lineage.settlement_root);
    Ok(entry)
}

/// The model on everybody who consented: its AUC, computed plainly; and what it says of two customers.
fn used(predictor: &Predictor, entry: &Entry, people: &[Person], question: &Question) -> Result<()> {
    let consented = people.iter().filter(|person| person.consent == Consent::Training);
    let rows: Vec<_> = consented.map(|person| history::row(person, question)).collect();
    let probability = |row: &[f64]| -> Result<f64> {
        match predictor.predict(&[Given::Row(row.to_vec())], false)?[..] {
            [Prediction::Propensity { probability, .. }] => Ok(probability),
            _ => bail!("not a propensity"),
        }
    };
    let scored: Vec<_> =
        rows.iter().map(|(row, label)| Ok((probability(row)?, *label))).collect::<Result<_>>()?;
    let auc = history::auc(&scored);
    let buyers = scored.iter().filter(|(_, label)| *label).count();
    println!("\n{buyers} of {} people bought {} in the weeks to come", scored.len(), question.wanted);
    println!("  AUC of the model over all of them, computed plainly  {auc:.4}");
    let told = entry.card.quality.released.quality;
    let far = question.tolerance.is_some_and(|most| (auc - told).abs() > most);
    ensure!(!far, "the platform's {told} is far from the plain computation's {auc}");
    let (regular, stranger) =
        (probability(&[2.0, 12.0, 15.0, 90.0, 0.8])?, probability(&[90.0, 0.0, 3.0, 0.0, 0.0])?);
    println!("  twelve times in ninety days: {regular:.3}; never: {stranger:.3}");
    ensure!(regular > stranger, "the model did not learn who buys");
    Ok(())
}

/// R060, D20: what the training cost one person who consented, and that it cost one who did not nothing.
async fn budgets(dir: &Path, people: &[Person], task: &Task) -> Result<()> {
    println!("\nbudgets for trainings");
    for consent in [Consent::Training, Consent::Marketing] {
        let person =
            people.iter().find(|person| person.consent == consent).context("nobody of this consent")?;
        let budget = producer(dir, &person.name)?.budget(VAULTS[person.vault], &person.name).await?;
        let entry = budget.iter().find(|entry| entry.usage_scope == "training");
        let moved = |kind: &str| {
            let id = task.task_id.to_string();
            let movements = entry.into_iter().flat_map(|entry| &entry.movements);
            let of = movements.filter(|one| one.task_id == id && one.kind == kind);
            epsilon(of.map(|one| one.micro_epsilon).sum())
        };
        let committed = entry.map_or(0, |entry: &BudgetEntry| entry.committed_micro_epsilon);
        let (reserved, spent, released) = (moved("reserve"), moved("commit"), moved("release"));
        println!("  {}: reserved {reserved}, committed {spent}, released {released}", person.name);
        ensure!((consent == Consent::Training) == (committed > 0), "{} was charged wrongly", person.name);
    }
    Ok(())
}

fn memory(network: &Network) -> Result<()> {
    println!("\npeak memory");
    for (process, kilobytes) in network.peaks()? {
        println!("  {process:<28} {:>7.1} MiB", kilobytes as f64 / 1024.0);
    }
    Ok(())
}

fn epsilon(micro: u64) -> String {
    format!("{:.4}", micro as f64 / 1e6)
}
