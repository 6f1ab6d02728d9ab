//! Whatever dies, and whenever: every process is killed at every step of a campaign, and the campaign still ends with
//! the exact audience, paid once, nothing reserved, and a journal that replays.
//!
//! A step is held by stopping the process that would end it, so that the kill cannot come too late.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use symphony_chain::ledger::escrow::LockState;
use symphony_chain::ledger::query::{Account, Answer, Funds, Query};
use symphony_protocol::evidence::EndorsedBundle;
use symphony_sdk::campaign::{CampaignError, Delivered, Submitter};
use symphony_sdk::client::ClientError;
use symphony_sdk::shape::Task;
use symphony_sdk::verify::verify;
use symphony_sdk::wallet::WalletError;
use symphony_types::amount::{SYM_UNIT, Sym, sum};
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, RequestId, TaskId, VaultId};
use symphony_wire::documents::decode;

use crate::network::{Network, Person, VAULTS, contact, crowd, eventually, spec, subject};

/// Budgets that last for all campaigns of a network, time for a node to come back, and short windows.
const POLICY: &str =
    "marketing=60000000,subject_cap=60000000,prepare=20000,execute=30000,challenge=800,epoch=1000";
/// What one campaign charges everybody who is evaluated. **Units**: millionths of epsilon.
const CHARGE: u64 = 600_000;
/// The treasury's money when a network is made.
const TREASURY: Sym = Sym(10_000_000 * SYM_UNIT);
/// How long whatever was killed may take to be back and to have done its part.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Node(&'static str),
    Enclave(&'static str),
}

/// One of each kind.
const VICTIMS: [Victim; 8] = [
    Victim::Node("master-1"),
    Victim::Enclave("master-1"),
    Victim::Node("enterprise-vault-a"),
    Victim::Enclave("enterprise-vault-a"),
    Victim::Node("verifier"),
    Victim::Node("payout"),
    Victim::Node("ledger"),
    Victim::Node("gateway"),
];

impl Victim {
    /// Its process; an enclave that died is started again only when it is needed.
    fn pid(self, network: &Network) -> Option<u32> {
        let pid = match self {
            Self::Node(node) => Some(network.pid(node)),
            Self::Enclave(node) => network.enclave_pid(node),
        };
        pid.filter(|pid| Network::alive(*pid))
    }
}

/// Where a campaign is when a process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Priced.
    Quoted,
    /// The money is locked, nothing is submitted.
    Locked,
    /// Vaults reserve.
    Preparing,
    /// The aggregator makes the task's keys.
    Opening,
    /// Vaults compute.
    Computing,
    /// The verifier looks at the result.
    Verifying,
    /// The challenge window is open.
    AwaitingSettlement,
    /// Settled, its epoch not over or not paid.
    Completed,
    /// The payout of its epoch is under way.
    Paying,
}

const STEPS: [Step; 9] = [
    Step::Quoted,
    Step::Locked,
    Step::Preparing,
    Step::Opening,
    Step::Computing,
    Step::Verifying,
    Step::AwaitingSettlement,
    Step::Completed,
    Step::Paying,
];

impl Step {
    /// The process without which the step does not end.
    const fn holder(self) -> Option<Victim> {
        match self {
            Self::Quoted | Self::Locked | Self::AwaitingSettlement => None,
            Self::Preparing => Some(Victim::Node("enterprise-vault-b")),
            Self::Opening => Some(Victim::Enclave("master-1")),
            Self::Computing => Some(Victim::Enclave("enterprise-vault-b")),
            Self::Verifying => Some(Victim::Node("verifier")),
            Self::Completed | Self::Paying => Some(Victim::Node("payout")),
        }
    }

    /// The task's state in the step.
    const fn state(self) -> Option<&'static str> {
        match self {
            Self::Quoted | Self::Locked => None,
            Self::Preparing => Some("admission_pending"),
            Self::Opening | Self::Computing => Some("dispatched"),
            Self::Verifying => Some("verifying"),
            Self::AwaitingSettlement => Some("awaiting_settlement"),
            Self::Completed | Self::Paying => Some("completed"),
        }
    }
}

/// R115, R116, R135, R172, R209.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_may_die_at_every_step() {
    dies_at_every_step(Victim::Node("master-1")).await;
}

/// R116, R121.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_aggregator_enclave_may_die_at_every_step() {
    dies_at_every_step(Victim::Enclave("master-1")).await;
}

/// R065, R116, R209.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_may_die_at_every_step() {
    dies_at_every_step(Victim::Node("enterprise-vault-a")).await;
}

/// R065, R116, R121.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slice_enclave_may_die_at_every_step() {
    dies_at_every_step(Victim::Enclave("enterprise-vault-a")).await;
}

/// R118.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verifier_may_die_at_every_step() {
    dies_at_every_step(Victim::Node("verifier")).await;
}

/// R172, R173.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_payout_service_may_die_at_every_step() {
    dies_at_every_step(Victim::Node("payout")).await;
}

/// R156, R172, R176.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_may_die_at_every_step() {
    dies_at_every_step(Victim::Node("ledger")).await;
}

/// R209, R210.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_may_die_at_every_step() {
    dies_at_every_step(Victim::Node("gateway")).await;
}

/// R065, R172, R209: kills at moments that nobody chose, several a campaign.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anything_may_die_at_any_moment() {
    let mut theatre = Theatre::open().await;
    let seed = std::env::var("SYMPHONY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7_u64);
    println!("SYMPHONY_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for number in 0..8 {
        let request = RequestId::new(&format!("storm-{number}")).unwrap();
        let before = theatre.balance().await;
        let delivered = {
            let campaign = async {
                let delivered =
                    persistently(async || theatre.luckin.run(&spec(), &request, |_| {}).await).await;
                theatre.network.settled(&theatre.luckin.client, delivered.task.task_id).await;
                delivered
            };
            tokio::pin!(campaign);
            let mut kills = random.random_range(2..=4);
            loop {
                let calm =
                    Duration::from_millis(if kills > 0 { random.random_range(1..900) } else { 60_000 });
                match tokio::time::timeout(calm, &mut campaign).await {
                    Ok(delivered) => break delivered,
                    Err(_) => {
                        assert!(kills > 0, "campaign {number} does not end");
                        kills -= 1;
                        let victim = VICTIMS[random.random_range(0..VICTIMS.len())];
                        println!("storm-{number}: {victim:?} dies after {calm:?}");
                        victim.pid(&theatre.network).inspect(|pid| theatre.network.kill(*pid));
                    }
                }
            }
        };
        theatre.check(before, &delivered).await;
    }
    theatre.close().await;
}

/// R115, R116, R135: power is lost while Vaults compute; the network starts in the same folder and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_network_may_die_at_once() {
    let mut theatre = Theatre::open().await;
    let request = RequestId::new("blackout").unwrap();
    let before = theatre.balance().await;
    let held = Victim::Enclave("enterprise-vault-b").pid(&theatre.network).unwrap();
    theatre.network.pause(held, true);
    let submitted = theatre.luckin.submit(&spec(), &request, |_| {}).await.unwrap();
    theatre.reaches(submitted.task_id, "dispatched").await;
    theatre.crash();
    theatre.network.ready().await;
    let task = theatre.luckin.client.watch(submitted.task_id, |_| {}).await.unwrap();
    assert_eq!(task.state, "completed", "{}", task.code);
    let delivered = theatre.luckin.run(&spec(), &request, |_| {}).await.unwrap();
    theatre.check(before, &delivered).await;
    theatre.close().await;
}

/// One campaign a step, one network for all of them.
async fn dies_at_every_step(victim: Victim) {
    let mut theatre = Theatre::open().await;
    for step in STEPS {
        let started = Instant::now();
        let before = theatre.balance().await;
        let delivered = theatre.dies_at(victim, step).await;
        theatre.check(before, &delivered).await;
        println!("{victim:?} died at {step:?}: {:.1} s", started.elapsed().as_secs_f64());
    }
    theatre.close().await;
}

/// A network, its people, and what was charged so far.
struct Theatre {
    network: Network,
    luckin: Submitter,
    people: Vec<Person>,
    campaigns: u64,
    charged: Sym,
    epochs: BTreeSet<EpochId>,
    /// The folder of a network that was crashed.
    folder: Option<tempfile::TempDir>,
}

impl Theatre {
    async fn open() -> Self {
        let network = Network::start(&["--policy", POLICY]);
        network.ready().await;
        let mut people = crowd(60);
        for (index, person) in people.iter_mut().enumerate() {
            // In every Vault some who did not buy and some who do not consent.
            person.eligible = index >= 6;
            person.consents = !(6..12).contains(&index);
        }
        network.upload("people", &people).await;
        let luckin = network.submitter("luckin");
        let (campaigns, charged, epochs) = (0, Sym::ZERO, BTreeSet::new());
        Self { network, luckin, people, campaigns, charged, epochs, folder: None }
    }

    /// One campaign, during which the victim is killed at the step.
    async fn dies_at(&self, victim: Victim, step: Step) -> Delivered {
        let request = RequestId::new(&format!("{step:?}-{}", self.campaigns)).unwrap();
        let kill = || victim.pid(&self.network).inspect(|pid| self.network.kill(*pid));
        let held = match step.holder() {
            // It may be the one that died in the step before.
            Some(holder) => {
                let pid = eventually("the holder runs", async || holder.pid(&self.network)).await;
                self.network.pause(pid, true);
                Some((holder, pid))
            }
            None => None,
        };
        let killed = match step {
            Step::Quoted => {
                self.luckin.client.quote(&spec().task()).await.unwrap();
                kill()
            }
            Step::Locked => {
                self.luckin.lock(&spec(), &request, |_| {}).await.unwrap();
                kill()
            }
            _ => None,
        };
        let disturb = async {
            let Some(state) = step.state() else { return killed };
            self.reaches(task_id(&self.luckin, &request), state).await;
            if step == Step::Paying {
                self.epochs_pass(2).await;
            }
            let killed = kill();
            if let Some((_, pid)) = held.filter(|(holder, _)| *holder != victim) {
                self.network.pause(pid, false);
            }
            killed
        };
        let campaign = persistently(async || self.luckin.run(&spec(), &request, |_| {}).await);
        let (delivered, killed) = tokio::join!(campaign, disturb);
        if let Victim::Node(_) = victim {
            let killed = killed.expect("the victim ran when it was killed");
            eventually("the supervisor starts it again", async || {
                victim.pid(&self.network).filter(|pid| *pid != killed)
            })
            .await;
        }
        delivered
    }

    async fn reaches(&self, task: TaskId, state: &str) {
        eventually(&format!("the task is {state}"), async || {
            let seen = self.luckin.client.task(task).await.ok()?.state;
            assert!(seen == state || before(&seen, state), "the task is {seen}, past {state}");
            (seen == state).then_some(())
        })
        .await;
    }

    /// Waits until so many epochs have ended since now: whatever was settled is being paid by then.
    async fn epochs_pass(&self, count: u64) {
        let epoch = async || Some(self.luckin.client.status().await.ok()?.epoch_id);
        let from = eventually("the network says its epoch", epoch).await;
        eventually("an epoch ends", async || epoch().await.filter(|epoch| *epoch >= from + count)).await;
    }

    /// Kills every process at one moment and starts the network in the same folder.
    fn crash(&mut self) {
        self.folder = self.network.crash().or(self.folder.take());
        self.network = Network::start_in(&self.network.dir.clone(), &[]);
    }

    async fn balance(&self) -> Sym {
        let holding = async || self.luckin.wallet.holding(&self.luckin.client).await.ok();
        eventually("the chain answers", holding).await.balance
    }

    async fn ask(&self, query: Query) -> Answer {
        eventually("the chain answers", async || self.luckin.client.query(query.clone()).await.ok()).await
    }

    /// The exact audience, paid once, nothing reserved.
    async fn check(&mut self, before: Sym, delivered: &Delivered) {
        let task = self.network.settled(&self.luckin.client, delivered.task.task_id).await;
        self.check_audience(delivered);
        let (epoch, accounts) = self.check_evidence(&task).await;
        let charged = task.charged.as_ref().unwrap().total;
        self.campaigns += 1;
        self.charged = self.charged.checked_add(charged).unwrap();
        assert!(self.epochs.insert(epoch), "every campaign here is settled in an epoch of its own");
        assert_eq!(charged.checked_add(task.refunded).unwrap(), task.locked);
        let balance = self.balance().await;
        assert_eq!(before.checked_sub(balance), Some(charged), "the submitter paid once");
        self.check_chain(&task, epoch, charged).await;
        self.check_conservation(&accounts).await;
        self.check_budgets(7).await;
    }

    fn check_audience(&self, delivered: &Delivered) {
        assert_eq!(delivered.task.state, "completed", "{}", delivered.task.code);
        let mut expected: Vec<_> =
            self.people.iter().filter(|p| p.eligible && p.consents).map(contact).collect();
        expected.sort();
        assert_eq!(delivered.audience.as_ref().unwrap().handles, expected);
    }

    /// The evidence verifies; says the epoch it was settled in and the accounts that are paid.
    async fn check_evidence(&self, task: &Task) -> (EpochId, BTreeSet<AccountId>) {
        let client = &self.luckin.client;
        let bytes =
            eventually("the evidence is served", async || client.evidence(task.task_id).await.ok()).await;
        let report = verify(&bytes, None);
        assert!(report.passed() && report.paid, "{:?}", report.checks);
        let bundle: EndorsedBundle = decode(&bytes).unwrap();
        let actors = bundle.body.governance.registry.actors.values().map(|actor| actor.account);
        (
            bundle.body.context.epoch,
            actors.filter(|account| *account != self.luckin.wallet.account()).collect(),
        )
    }

    /// The lock was settled once, by one batch, whose sums are the task's, and the root is anchored (R150, R172).
    async fn check_chain(&self, task: &Task, epoch: EpochId, charged: Sym) {
        let Answer::Epoch(batches) = self.ask(Query::Epoch(epoch)).await else { panic!("no epoch") };
        assert_eq!(batches.len(), 1, "the epoch was paid once");
        let totals = &batches[0].totals;
        assert_eq!((totals.charged, totals.refunded), (charged, task.refunded));
        let out = totals.classes.values().copied().chain([totals.carried, totals.pool_return]);
        assert_eq!(sum(out), charged.checked_add(totals.drawn));
        let Answer::Anchor(Some(anchor)) = self.ask(Query::Anchor(task.task_id)).await else {
            panic!("no anchor")
        };
        assert_eq!(anchor.settlement_root.to_string(), task.settlement_root);
        let request = RequestId::new(&task.request_id).unwrap();
        let lock = self.luckin.lock(&spec(), &request, |_| {}).await.unwrap();
        let Answer::Lock(Some(lock)) = self.ask(Query::Lock(lock)).await else { panic!("no lock") };
        let settled = LockState::Settled { task: task.task_id, charged, refunded: task.refunded };
        assert_eq!((lock.state, lock.held, lock.amount), (settled, Sym::ZERO, task.locked));
    }

    /// All that was ever charged is somewhere: with those who are paid, in trees, kept, in the treasury, in the pool.
    async fn check_conservation(&self, accounts: &BTreeSet<AccountId>) {
        let Answer::Funds(Funds { treasury, pool, .. }) = self.ask(Query::Funds).await else {
            panic!("no funds")
        };
        let mut found = vec![treasury.checked_sub(TREASURY).unwrap(), pool];
        let brand = self.network.submitter("brand-b").wallet.account();
        for account in accounts.iter().filter(|account| **account != brand) {
            let Answer::Account(Account { balance, .. }) = self.ask(Query::Account(*account)).await else {
                panic!("no account")
            };
            found.push(balance);
        }
        for vault in VAULTS.map(|vault| VaultId::new(vault).unwrap()) {
            let Answer::Carry(carried) = self.ask(Query::Carry(vault.clone())).await else {
                panic!("no carry")
            };
            found.push(carried);
            for epoch in &self.epochs {
                let Answer::Tree(tree) = self.ask(Query::Tree(vault.clone(), *epoch)).await else {
                    panic!("no tree")
                };
                found.extend(tree.map(|tree| tree.unclaimed));
            }
        }
        assert_eq!(sum(found), Some(self.charged), "every base unit that was charged is accounted for");
    }

    /// Everybody who consented was charged once a campaign; nobody has anything reserved (R065). Looks at one person
    /// of `of`, at others after each campaign.
    async fn check_budgets(&self, of: u64) {
        let operators = VAULTS.map(|vault| self.network.client(&format!("operator-{vault}")));
        for person in
            self.people.iter().filter(|person| (u64::from(person.number) + self.campaigns).is_multiple_of(of))
        {
            let (vault, subject) = (VAULTS[person.vault], subject(person));
            let read = async || operators[person.vault].budget(vault, &subject).await.ok();
            let committed = if person.consents { self.campaigns * CHARGE } else { 0 };
            for entry in eventually("the vault answers", read).await {
                assert_eq!(entry.reserved_micro_epsilon, 0, "{person:?} {}", entry.usage_scope);
                let charged = matches!(entry.usage_scope.as_str(), "" | "marketing");
                assert_eq!(entry.committed_micro_epsilon, if charged { committed } else { 0 }, "{person:?}");
            }
        }
    }

    /// Stops the network; the master's journal replays to the same state (R135).
    async fn close(self) {
        self.check_budgets(1).await;
        let Self { network, folder, campaigns, .. } = self;
        let journal = network.dir.join("master-1/data/journal.redb");
        let folder = network.stop().or(folder).unwrap();
        let replayed = replay(&journal);
        assert_eq!(replayed["tasks"], campaigns);
        drop(folder);
    }
}

fn replay(journal: &Path) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_symphonyd"))
        .args(["replay", "--json"])
        .arg(journal)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The task that a submitter's request becomes.
fn task_id(submitter: &Submitter, request: &RequestId) -> TaskId {
    TaskId(Digest::of("symphony/task-id/v1", &(&submitter.actor, request)))
}

/// Whether a task passes one state before another.
fn before(earlier: &str, later: &str) -> bool {
    let order = ["admission_pending", "dispatched", "verifying", "awaiting_settlement", "completed"];
    let place = |state: &str| order.iter().position(|name| *name == state);
    place(earlier).zip(place(later)).is_some_and(|(earlier, later)| earlier < later)
}

/// Does the same again until it is answered: what a submitter does whose connection broke (R209).
async fn persistently(mut attempt: impl AsyncFnMut() -> Result<Delivered, CampaignError>) -> Delivered {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        let error = match attempt().await {
            Ok(delivered) => return delivered,
            Err(error) => error,
        };
        let passes = match &error {
            CampaignError::Client(error) | CampaignError::Wallet(WalletError::Client(error)) => match error {
                ClientError::Refused(problem) => problem.retryable,
                ClientError::Unreachable(_) | ClientError::Garbled(_) => true,
                ClientError::Config(_) | ClientError::File(_) => false,
            },
            _ => false,
        };
        assert!(passes && Instant::now() < deadline, "the campaign failed: {error}");
    }
}
