//! The receipt story of the specification, end to end: people photograph receipts, their Vaults read them, the next campaign
//! finds the people, and each receipt earns its owner a reward once (R234).
//!
//! `cargo xtask demo receipt` runs it. The receipts are drawn by the project's own renderer, so what was read is compared
//! with what was printed; every figure is measured in the run.

#[path = "../coupon_campaign/network.rs"]
mod network;
mod person;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use symphony_reader::render::{self, Day, Receipt, page};
use symphony_sdk::campaign::CampaignSpec;
use symphony_sdk::client::{Client, Format, Upload};
use symphony_sdk::shape::{Operand, ReceiptReading, Task};
use symphony_types::digest::Digest;
use symphony_types::id::{RequestId, TaskId, UsageScope};
use time::OffsetDateTime;
use tokio::time::sleep;

use crate::network::{Network, sym};
use crate::person::producer;

#[derive(Parser)]
struct Args {
    /// People who bring a receipt of the brand
    #[arg(long, default_value_t = 24)]
    people: u32,
    /// Seed of the receipts
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Where the network lives; a temporary folder when absent
    #[arg(long)]
    dir: Option<std::path::PathBuf>,
}

const BRAND: &str = "Luckin Coffee";
/// Slices and audiences of this many people are enough for a few receipts; a real policy wants more.
const POLICY: &str = "minimum=2,challenge=500,epoch=4000";
/// Parses that are under way at a time.
const AT_ONCE: usize = 8;

/// Somebody with a picture.
struct Person {
    name: String,
    client: Client,
    picture: Vec<u8>,
    /// What is printed on it; nothing for a letter.
    truth: Option<render::Truth>,
}

/// What became of a picture.
struct Outcome {
    receipt: Digest,
    task: Task,
    reading: ReceiptReading,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().join("network"));
    let network = Network::start(&dir, POLICY)?;
    let luckin = network.submitter("luckin")?;
    network.ready(&luckin.client).await?;
    let people = people(&args, &dir).await?;
    let started = Instant::now();
    let outcomes: Vec<Outcome> = stream::iter(&people).map(bring).buffered(AT_ONCE).try_collect().await?;
    let seconds = started.elapsed().as_secs_f64();
    table(&people, &outcomes);
    println!("\n{} pictures read, verified and settled in {seconds:.1} s", people.len());
    let day = stamp(yesterday()?);
    let expected: BTreeSet<String> = people
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| bought(&outcome.reading, &day))
        .map(|(person, _)| handle(&person.name))
        .collect();
    let printed = people.iter().filter(|person| person.truth.as_ref().is_some_and(of_brand)).count();
    let delivered = luckin.run(&spec(), &RequestId::new("receipts")?, |_| {}).await?;
    let audience = delivered.audience.context("nothing was delivered")?;
    let handles: BTreeSet<String> = audience.handles.into_iter().collect();
    ensure!(handles == expected, "the campaign found others than the people whose receipts say so");
    println!(
        "\nthe next campaign of {BRAND} finds {} of the {printed} people with its receipt",
        handles.len()
    );
    same_receipt_again(&people, &outcomes).await?;
    rewards(&people, &outcomes).await?;
    memory(&network)?;
    network.stop()
}

/// People with consent and a picture each: receipts of the brand, one of another shop, and a letter.
async fn people(args: &Args, dir: &Path) -> Result<Vec<Person>> {
    let day = yesterday()?;
    let mut people = Vec::new();
    for number in 0..args.people + 2 {
        let name = format!("person-{number:02}");
        let client = producer(dir, &name)?;
        let seed = args.seed * 1_000 + u64::from(number);
        let seller = if number < args.people { BRAND } else { "Harbour Books" };
        let mut receipt = render::invent_of(seed, seller, "SG", day);
        let letter = number == args.people + 1;
        if letter {
            receipt.rows.iter_mut().for_each(|(_, row)| "we meet on sunday in the hall".clone_into(row));
        }
        let picture = page::jpeg(&page::photographed(&page::picture(&receipt), seed))?;
        let Receipt { truth, .. } = receipt;
        people.push(Person { name, client, picture, truth: (!letter).then_some(truth) });
    }
    let file = tempfile::NamedTempFile::new()?;
    for Person { name, client, .. } in &people {
        let line = serde_json::json!({"subject": name, "contact": handle(name)});
        std::fs::write(file.path(), format!("{line}\n"))?;
        let enrol = RequestId::new("enrol")?;
        client.upload("assigned", Upload::Subjects, Format::JsonLines, &enrol, file.path()).await?;
        client.grant(&UsageScope::new("marketing")?, None, &RequestId::new("consent")?).await?;
    }
    Ok(people)
}

/// Uploads a picture, has it parsed, and waits for the end.
async fn bring(person: &Person) -> Result<Outcome> {
    let parsing = person.client.upload_and_parse_receipt(&person.picture, &RequestId::new("photo")?).await?;
    let receipt = Digest::from_hex(&parsing.uploaded.receipt.receipt_id).context("a receipt's id")?;
    let Ok(task) = parsing.task else { bail!("{}: no parse: {:?}", person.name, parsing.task) };
    let task = ended(&person.client, task).await?;
    let reading = person.client.receipt(receipt).await?.reading.context("a reading")?;
    Ok(Outcome { receipt, task, reading })
}

async fn ended(client: &Client, task: TaskId) -> Result<Task> {
    Ok(client.watch(task, |_| {}).await?)
}

fn table(people: &[Person], outcomes: &[Outcome]) {
    println!(
        "\n  {:<10} {:<16} {:<11} {:>8}  {:<15} score  of what is printed",
        "who", "merchant", "date", "total", "state"
    );
    for (Person { name, truth, .. }, Outcome { task, reading, .. }) in people.iter().zip(outcomes) {
        let value = |field| reading.value(field).unwrap_or("-");
        let right = truth.as_ref().map_or_else(String::new, |truth| {
            let total = format!("{}.{:02}", truth.total / 100, truth.total % 100);
            let day = stamp(truth.date);
            let seller = value("merchant").eq_ignore_ascii_case(&truth.merchant);
            let right = [seller, value("date") == day, value("total") == total];
            format!("{} of 3 right", right.iter().filter(|right| **right).count())
        });
        let score = format!(
            "{}/{}/{}",
            reading.completeness_bps / 100,
            reading.checks_bps / 100,
            reading.confidence_bps / 100
        );
        let state =
            if task.code.is_empty() { task.state.clone() } else { format!("{} {}", task.state, task.code) };
        println!(
            "  {name:<10} {:<16} {:<11} {:>8}  {state:<15} {score}  {right}",
            value("merchant"),
            value("date"),
            value("total")
        );
    }
}

/// R080: the first receipt once more: by its owner, and by somebody else at the same Vault.
async fn same_receipt_again(people: &[Person], outcomes: &[Outcome]) -> Result<()> {
    let [owner, others @ ..] = people else { bail!("nobody brought a receipt") };
    let vault = owner.client.assigned().await?.vault_id;
    let mut other = None;
    for person in others {
        if person.client.assigned().await?.vault_id == vault {
            other = Some(person);
            break;
        }
    }
    let other = other.context("nobody else is at that vault")?;
    let asked = owner.client.parse_receipt(outcomes[0].receipt, &RequestId::new("twice")?).await;
    let refusal = asked.err().context("a receipt is read once")?;
    println!("\nthe first receipt once more: {refusal}");
    let stolen = other.client.upload_and_parse_receipt(&owner.picture, &RequestId::new("stolen")?).await?;
    let task = ended(&other.client, stolen.task.map_err(|problem| anyhow::anyhow!("{problem:?}"))?).await?;
    ensure!(task.state == "rejected" && task.shares.is_empty(), "a receipt earns once");
    println!("brought by somebody else:    {} {}", task.state, task.code);
    Ok(())
}

/// R085, R086, D11: what the receipts earn, who pays for it, and that the epoch's batch is on the chain.
async fn rewards(people: &[Person], outcomes: &[Outcome]) -> Result<()> {
    let (mut subsidy, mut earned, mut settled) = (0, 0, 0);
    for (person, outcome) in people.iter().zip(outcomes).filter(|(_, outcome)| outcome.task.code.is_empty()) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let task = loop {
            let task = person.client.task(outcome.task.task_id).await?;
            if task.payout == "confirmed" {
                break task;
            }
            ensure!(Instant::now() < deadline, "the payout was not confirmed in a minute");
            sleep(Duration::from_millis(200)).await;
        };
        settled += 1;
        subsidy += task.subsidy.0;
        earned += task
            .shares
            .iter()
            .filter(|share| share.recipient_class == "contributors")
            .map(|share| share.amount.0)
            .sum::<u64>();
    }
    println!("\n{settled} parses settled, paid and anchored by {} enclaves", outcomes[0].task.platform_class);
    println!("  paid by the people           {}", sym(0));
    println!("  subsidy of the protocol      {}", sym(subsidy));
    println!("  of that, for the people      {}", sym(earned));
    println!("  a vault with fewer people than a dividend tree needs carries their part to the next epoch");
    Ok(())
}

fn memory(network: &Network) -> Result<()> {
    println!("\npeak memory");
    for (process, kilobytes) in network.peaks()? {
        println!("  {process:<28} {:>7.1} MiB", kilobytes as f64 / 1024.0);
    }
    Ok(())
}

/// Whether what was read makes its owner a customer of the brand in Singapore.
fn bought(reading: &ReceiptReading, day: &str) -> bool {
    let says = |field, text: &str| reading.value(field).is_some_and(|value| value.eq_ignore_ascii_case(text));
    reading.code.is_empty() && says("merchant", BRAND) && says("city", "Singapore") && says("date", day)
}

fn of_brand(truth: &render::Truth) -> bool {
    truth.merchant.eq_ignore_ascii_case(BRAND)
}

fn stamp(day: Day) -> String {
    format!("{:04}-{:02}-{:02}", day.year, day.month, day.day)
}

fn spec() -> CampaignSpec {
    let rule = |rule: &str| Operand { rule: rule.to_owned(), ..Operand::default() };
    CampaignSpec {
        usage_scope: "marketing".to_owned(),
        vaults: ["vault-a", "vault-b", "vault-c"].map(str::to_owned).into(),
        quorum: 2,
        operands: vec![
            Operand { text: Some(BRAND.to_owned()), ..rule("commerce.merchant_purchase") },
            Operand { days: Some(7), ..rule("commerce.purchase_recency") },
            Operand { text: Some("Singapore".to_owned()), ..rule("geography.city_eligibility") },
        ],
        who: None,
        output: "identity.contact_handle".to_owned(),
        cap: 5_000,
        rank_by: None,
        evaluate_at_ms: None,
    }
}

fn yesterday() -> Result<Day> {
    let date = OffsetDateTime::now_utc().date().previous_day().context("the first day")?;
    Ok(Day { year: date.year().try_into()?, month: date.month().into(), day: date.day() })
}

fn handle(name: &str) -> String {
    format!("{name}@example.org")
}
