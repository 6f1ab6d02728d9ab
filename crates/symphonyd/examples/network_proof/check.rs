//! What must hold once everything is well again: every acknowledged task is there, money is exact to the base unit,
//! nothing stays reserved, and the three journals are one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use symphony_chain::ledger::query::{Account, Answer, Funds, Query};
use symphony_consensus::journal::export_file;
use symphony_consensus::machine::Genesis;
use symphony_consensus::replay::{read_export, replay};
use symphony_master::machine::Protocol;
use symphony_protocol::evidence::EndorsedBundle;
use symphony_protocol::machine::State;
use symphony_sdk::client::Client;
use symphony_sdk::shape::{Status, Task};
use symphony_sdk::verify::verify;
use symphony_types::amount::{SYM_UNIT, Sym};
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, TaskId, VaultId};
use symphony_wire::documents::decode;
use tokio::time::sleep;

use crate::cast::{Cast, VAULTS};
use crate::faults::Trouble;
use crate::lab::MASTERS;
use crate::load::{Book, Brand, audience, people, subject};

/// What a completed campaign charges everybody. **Units**: millionths of epsilon.
const CHARGE: u64 = 600_000;
/// The treasury's money when a network is made.
const TREASURY: Sym = Sym(10_000_000 * SYM_UNIT);
/// How long the network may take until something that must happen has happened.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long after a halt the masters may take to decide again. **Units**: milliseconds.
const RECOVERY_MS: u64 = 5_000;
/// How many of the longest stops are shown.
const STOPS_SHOWN: usize = 5;

/// Waits until all masters show the same head and every Vault is reachable.
pub(crate) async fn agreed(client: &Client) -> Result<Status> {
    eventually("all masters show the same head", async || {
        let status = client.status().await.ok()?;
        let masters = status.master_nodes.iter().all(|master| master.reachable && master.head == "equal");
        let vaults = status.nodes.iter().all(|node| node.reachable);
        (masters && vaults && status.master_nodes.len() == MASTERS.len()).then_some(status)
    })
    .await
}

/// Every acknowledged task in its last state, paid or refunded; the delivered audiences are exact.
pub(crate) async fn tasks(brands: &[&Brand], book: &Book) -> Result<BTreeMap<TaskId, Task>> {
    let mut tasks = BTreeMap::new();
    for (id, owner) in &book.acknowledged {
        let brand = brands.iter().find(|brand| brand.name == *owner).context("whose task is it")?;
        let what = format!("task {id} is there and settled");
        let task = eventually(&what, async || {
            let task = brand.submitter.client.task(*id).await.ok()?;
            (task.refund == "confirmed").then_some(task)
        })
        .await?;
        let charged = task.charged.as_ref().map_or(Sym::ZERO, |charged| charged.total);
        let locked = charged.checked_add(task.refunded);
        ensure!(locked == Some(task.locked), "task {id}: what was locked is neither charged nor refunded");
        ensure!((task.state == "completed") == book.delivered.contains_key(id), "task {id}: no result");
        tasks.insert(*id, task);
    }
    for (id, result) in &book.delivered {
        let mut handles = result.handles.clone();
        handles.sort();
        let people = audience();
        ensure!(
            handles == people,
            "task {id}: {:?}, {} people of {}, {} of them others",
            result.outcome,
            handles.len(),
            people.len(),
            handles.iter().filter(|handle| !people.contains(handle)).count()
        );
    }
    Ok(tasks)
}

/// The evidence of every completed task verifies; says the accounts that are paid.
pub(crate) async fn evidence(
    brands: &[&Brand],
    book: &Book,
    tasks: &BTreeMap<TaskId, Task>,
) -> Result<Vec<AccountId>> {
    let mut accounts = Vec::new();
    for (id, task) in tasks {
        if task.state != "completed" {
            continue;
        }
        let brand = brands.iter().find(|brand| Some(&brand.name) == book.acknowledged.get(id));
        let client = &brand.context("whose task is it")?.submitter.client;
        let bytes = eventually("the evidence is served", async || client.evidence(*id).await.ok()).await?;
        let report = verify(&bytes, None);
        ensure!(report.passed() && report.paid, "task {id}: {:?}", report.checks);
        if accounts.is_empty() {
            let bundle: EndorsedBundle = decode(&bytes).context("reading the evidence")?;
            let actors = bundle.body.governance.registry.actors.values();
            accounts = actors.map(|actor| actor.account).collect();
        }
    }
    accounts.retain(|account| brands.iter().all(|brand| brand.submitter.wallet.account() != *account));
    Ok(accounts)
}

/// Each submitter paid what its tasks were charged, and all of it is with those who are paid, in trees, kept, in the
/// treasury or in the pool.
pub(crate) async fn money(
    brands: &[&Brand],
    before: &[Sym],
    book: &Book,
    tasks: &BTreeMap<TaskId, Task>,
    accounts: &[AccountId],
    epochs: std::ops::RangeInclusive<u64>,
) -> Result<Sym> {
    let mut charged = Sym::ZERO;
    for (brand, before) in brands.iter().zip(before) {
        let own = tasks.iter().filter(|(id, _)| book.acknowledged.get(*id) == Some(&brand.name));
        let own = own.filter_map(|(_, task)| Some(task.charged.as_ref()?.total));
        let own = symphony_types::amount::sum(own).context("charges overflow")?;
        // The lock of a refused task goes back with the payout of its epoch.
        let what = format!("{} has paid the {own:?} that its tasks were charged", brand.name);
        let holding = async || brand.submitter.wallet.holding(&brand.submitter.client).await.ok();
        let exact = async || (before.checked_sub(holding().await?.balance) == Some(own)).then_some(());
        eventually(&what, exact).await?;
        charged = charged.checked_add(own).context("charges overflow")?;
    }
    let client = &brands[0].submitter.client;
    let Answer::Funds(Funds { treasury, pool, .. }) = ask(client, Query::Funds).await? else {
        bail!("no funds")
    };
    let mut found = vec![treasury.checked_sub(TREASURY).context("the treasury shrank")?, pool];
    for account in accounts {
        match ask(client, Query::Account(*account)).await? {
            Answer::Account(Account { balance, .. }) => found.push(balance),
            other => bail!("{other:?} is not an account"),
        }
    }
    for vault in VAULTS {
        let vault = VaultId::new(vault)?;
        match ask(client, Query::Carry(vault.clone())).await? {
            Answer::Carry(carried) => found.push(carried),
            other => bail!("{other:?} is not what was carried"),
        }
        for epoch in epochs.clone() {
            match ask(client, Query::Tree(vault.clone(), EpochId(epoch))).await? {
                Answer::Tree(tree) => found.extend(tree.map(|tree| tree.unclaimed)),
                other => bail!("{other:?} is not a tree"),
            }
        }
    }
    let found = symphony_types::amount::sum(found).context("money overflows")?;
    ensure!(found == charged, "{charged:?} was charged and {found:?} is there");
    Ok(charged)
}

/// What a submitter has on the chain.
pub(crate) async fn balance(brand: &Brand) -> Result<Sym> {
    let holding = async || brand.submitter.wallet.holding(&brand.submitter.client).await.ok();
    Ok(eventually("the chain answers", holding).await?.balance)
}

/// Nobody has anything reserved, and everybody was charged for the completed tasks.
pub(crate) async fn budgets(cast: &Cast, completed: u64, acknowledged: u64) -> Result<()> {
    for (index, vault) in VAULTS.iter().enumerate() {
        let operator = cast.client(&format!("operator-{vault}"))?;
        for person in people(index) {
            let subject = subject(person);
            let read = async || operator.budget(vault, &subject).await.ok();
            for entry in eventually("the vault answers", read).await? {
                let (reserved, committed) = (entry.reserved_micro_epsilon, entry.committed_micro_epsilon);
                ensure!(reserved == 0, "{subject} has {reserved} reserved in {:?}", entry.usage_scope);
                if matches!(entry.usage_scope.as_str(), "" | "marketing") {
                    // A task that ended without a result may have been computed in some Vault.
                    let fits = (completed * CHARGE..=acknowledged * CHARGE).contains(&committed);
                    ensure!(fits, "{subject} was charged {committed} for {completed} tasks");
                }
            }
        }
    }
    Ok(())
}

/// What the journals of the masters say.
pub(crate) struct Journals {
    /// Heights that all three have.
    pub(crate) common: u64,
    /// The longest times between two entries.
    pub(crate) stops: Vec<Stop>,
    /// The longest one at no time of which two masters were away.
    pub(crate) live: Option<Stop>,
}

/// A time between two entries.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    /// **Units**: milliseconds.
    ms: u64,
    /// What was wrong during it, or had been just before.
    during: Vec<String>,
    /// Whether two masters were away.
    halted: bool,
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let during = if self.during.is_empty() { "nothing wrong".to_owned() } else { self.during.join("; ") };
        write!(f, "{:.1} s ({during})", self.ms as f64 / 1e3)
    }
}

/// Compares the masters' journals entry by entry, and replays the longest from the genesis. No master may run.
pub(crate) fn journals(cast: &Cast, folder: &Path, troubles: &[Trouble]) -> Result<Journals> {
    let mut chains = Vec::new();
    for master in MASTERS {
        let export = folder.join(format!("journal-{master}"));
        export_file(&cast.journal(master), &mut File::create(&export)?)
            .with_context(|| format!("exporting the journal of master-{master}"))?;
        let mut file = read_export(BufReader::new(File::open(&export)?))?;
        let mut entries = Vec::new();
        while let Some(entry) = file.next_entry()? {
            entries.push((entry.at.0, Digest::of("symphony/proof-entry/v1", &entry)));
        }
        chains.push((entries, export));
    }
    chains.sort_by_key(|(entries, _)| entries.len());
    let common = chains[0].0.len();
    let (longest, export) = &chains[chains.len() - 1];
    for (chain, shorter) in &chains {
        let same = longest.iter().zip(chain).position(|(one, other)| one != other);
        ensure!(same.is_none(), "{} differs at {same:?}", shorter.display());
    }
    let file = read_export(BufReader::new(File::open(export)?))?;
    let genesis: Genesis<State> = file.genesis()?;
    let replayed = replay::<Protocol, _>(file, &genesis).context("replaying the journal")?;
    ensure!(replayed.state.leases_agree(), "what is owed is leased, and nothing else");
    let mut stops: Vec<_> = longest.windows(2).map(|pair| stop(pair[0].0, pair[1].0, troubles)).collect();
    stops.sort_by_key(|stop| std::cmp::Reverse(stop.ms));
    let live = stops.iter().find(|stop| !stop.halted).cloned();
    stops.truncate(STOPS_SHOWN);
    Ok(Journals { common: common as u64, stops, live })
}

fn stop(from: u64, to: u64, troubles: &[Trouble]) -> Stop {
    let near = |trouble: &&Trouble| trouble.from < to && from < trouble.to + RECOVERY_MS;
    let near: Vec<_> = troubles.iter().filter(near).collect();
    Stop {
        ms: to - from,
        during: near.iter().map(|trouble| trouble.what.clone()).collect(),
        halted: near.iter().any(|trouble| trouble.halts),
    }
}

async fn ask(client: &Client, query: Query) -> Result<Answer> {
    eventually("the chain answers", async || client.query(query.clone()).await.ok()).await
}

/// Polls until `probe` answers. **Errors**: not within [`PATIENCE`].
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "it did not happen that {what}");
        sleep(Duration::from_millis(100)).await;
    }
}
