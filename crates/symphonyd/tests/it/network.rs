//! A development network of real processes for one test: started, driven, broken, ended.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use symphony_chain::transaction::ChainId;
use symphony_sdk::campaign::{CampaignSpec, Submitter};
use symphony_sdk::client::{Client, ClientError, Format, Upload};
use symphony_sdk::recipient::Recipient;
use symphony_sdk::shape::{Operand, Task, UploadReport};
use symphony_sdk::wallet::Wallet;
use symphony_types::id::{ActorId, RequestId, TaskId};

/// The Vaults of a test network.
pub const VAULTS: [&str; 3] = ["vault-a", "vault-b", "vault-c"];

/// A running network. Ended on drop.
pub struct Network {
    /// Its folder.
    pub dir: PathBuf,
    folder: Option<tempfile::TempDir>,
    supervisor: Child,
}

/// A person of a test: where, and whether it consents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// Its number; the contact is `+65 8<number>`.
    pub number: u32,
    /// Index into [`VAULTS`].
    pub vault: usize,
    /// Whether marketing is granted.
    pub consents: bool,
    /// Whether it bought what [`spec`] asks for.
    pub eligible: bool,
}

impl Network {
    /// A new network in a folder of its own; `args` go to `symphonyd dev`.
    pub fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("network");
        let mut network = Self::start_in(&dir, args);
        network.folder = Some(folder);
        network
    }

    /// Starts the network of a folder, making it if there is none.
    pub fn start_in(dir: &Path, args: &[&str]) -> Self {
        Self::start_with(dir, args, &[])
    }

    /// As [`Self::start_in`], with more in the environment of every node.
    pub fn start_with(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_symphonyd"));
        assert!(
            program.with_file_name("symphony-enclave").exists(),
            "symphony-enclave is not built beside symphonyd: `cargo xtask test` builds it first"
        );
        let chosen = std::env::var("SYMPHONY_TEST_MASTERS").ok().filter(|_| !args.contains(&"--masters"));
        let mut supervisor = Command::new(program)
            .args(["dev", "--dir"])
            .arg(dir)
            .args(args)
            .args(chosen.iter().flat_map(|masters| ["--masters", masters]))
            .env("SYMPHONY_LOG", "info")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // All that it ever prints: it must not find the pipe closed.
        let output = BufReader::new(supervisor.stdout.take().unwrap());
        let lines: Vec<_> = output.lines().take(3).map(Result::unwrap).collect();
        assert!(lines[0].starts_with("gateway https://"), "{lines:?}");
        Self { dir: dir.to_owned(), folder: None, supervisor }
    }

    /// Waits until the gateway answers, every master shows the same head and every Vault is reachable.
    pub async fn ready(&self) {
        let client = self.client("luckin");
        eventually("the network is up", async || {
            let status = client.status().await.ok()?;
            let masters = status.master_nodes.iter().all(|master| master.reachable && master.head == "equal");
            (masters && status.nodes.iter().all(|node| node.reachable)).then_some(())
        })
        .await;
    }

    /// The masters' nodes: `master-1`, and with three `master-2` and `master-3`.
    pub fn masters(&self) -> Vec<String> {
        let nodes = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().file_name());
        let mut masters: Vec<_> = nodes
            .filter_map(|node| node.into_string().ok().filter(|node| node.starts_with("master-")))
            .collect();
        masters.sort();
        masters
    }

    fn profile(&self, name: &str) -> (PathBuf, toml::Table) {
        let folder = self.dir.join("clients").join(name);
        (folder.clone(), fs::read_to_string(folder.join("client.toml")).unwrap().parse().unwrap())
    }

    /// The gateway's address, such as `https://127.0.0.1:4000`.
    pub fn gateway(&self) -> String {
        self.profile("luckin").1["gateway"].as_str().unwrap().to_owned()
    }

    /// The authority that the network's certificates come from.
    pub fn ca(&self) -> Vec<u8> {
        fs::read(self.dir.join("clients/luckin/ca.pem")).unwrap()
    }

    /// A client with the token of a profile: `luckin`, `brand-b`, `producer-1`, `operator-vault-a`.
    pub fn client(&self, name: &str) -> Client {
        let (folder, profile) = self.profile(name);
        let token = fs::read_to_string(folder.join("token")).unwrap();
        Client::new(profile["gateway"].as_str().unwrap(), Some(&self.ca()), Some(&token)).unwrap()
    }

    /// A token of the network's issuer.
    pub fn token(&self, actor: &str, role: &str, seconds: u64) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_symphonyd"))
            .args(["token", "--actor", actor, "--roles", role, "--seconds", &seconds.to_string(), "--dir"])
            .arg(&self.dir)
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A client with a fresh token for an actor in a role.
    pub fn client_as(&self, actor: &str, role: &str) -> Client {
        Client::new(&self.gateway(), Some(&self.ca()), Some(&self.token(actor, role, 600))).unwrap()
    }

    /// The same, which seals what concerns its receipts to its Vault.
    pub fn sealing_client(&self, actor: &str, role: &str) -> Client {
        let governance = fs::read(self.dir.join("governance.bcs")).unwrap();
        let governance = symphony_sdk::erasure::governance(&governance).unwrap();
        self.client_as(actor, role).sealing(governance, ActorId::new(actor).unwrap())
    }

    /// A submitter with the wallet and the keys of a profile.
    pub fn submitter(&self, name: &str) -> Submitter {
        let (folder, profile) = self.profile(name);
        let chain = ChainId::new(profile["chain"].as_str().unwrap()).unwrap();
        Submitter {
            client: self.client(name),
            wallet: Wallet::open(&folder.join(profile["wallet"].as_str().unwrap()), chain).unwrap(),
            recipient: Recipient::open_file(&folder.join("recipient.key")).unwrap(),
            actor: ActorId::new(profile["actor"].as_str().unwrap()).unwrap(),
        }
    }

    /// The process of a node: `master-1`, `enterprise-vault-a`, `verifier`, `payout`, `ledger`, `gateway`; of three masters
    /// also `master-1-guard`.
    pub fn pid(&self, node: &str) -> u32 {
        fs::read_to_string(self.dir.join(format!("run/{node}.pid"))).unwrap().trim().parse().unwrap()
    }

    /// The enclave process of a node.
    pub fn enclave_pid(&self, node: &str) -> Option<u32> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid(node))).ok()?;
        let mut lists =
            tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        lists.find_map(|list| list.split_whitespace().next()?.parse().ok())
    }

    /// Kills a process of the network outright.
    pub fn kill(&self, pid: u32) {
        Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    }

    /// Stops a process of the network where it stands, or lets it go on.
    pub fn pause(&self, pid: u32, paused: bool) {
        let signal = if paused { "-STOP" } else { "-CONT" };
        Command::new("kill").args([signal, &pid.to_string()]).status().unwrap();
    }

    /// Whether a process still runs.
    pub fn alive(pid: u32) -> bool {
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        state.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
    }

    /// Kills every process at one moment, the supervisor first; the folder's files stay.
    pub fn crash(&mut self) -> Option<tempfile::TempDir> {
        let nodes = fs::read_dir(self.dir.join("run")).unwrap();
        let nodes: Vec<_> = nodes
            .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let mut pids = vec![self.supervisor.id()];
        pids.extend(nodes.iter().map(|node| self.pid(node)));
        pids.extend(nodes.iter().filter_map(|node| self.enclave_pid(node)));
        Command::new("kill").arg("-9").args(pids.iter().map(u32::to_string)).status().unwrap();
        self.supervisor.wait().unwrap();
        while pids.iter().any(|pid| Self::alive(*pid)) {
            std::thread::yield_now();
        }
        self.folder.take()
    }

    /// Ends every process and keeps the folder's files for a later start in it.
    pub fn stop(mut self) -> Option<tempfile::TempDir> {
        end(&mut self.supervisor);
        self.folder.take()
    }

    /// Uploads people with one record each, as the Vaults' operators.
    pub async fn upload(&self, name: &str, people: &[Person]) {
        let day = now_ms() - 5 * 86_400_000;
        for (index, vault) in VAULTS.iter().enumerate() {
            let here: Vec<_> = people.iter().filter(|person| person.vault == index).collect();
            let lines = |line: &dyn Fn(&Person) -> Value| {
                here.iter().map(|person| line(person).to_string() + "\n").collect::<String>()
            };
            let subjects = lines(&|person| json!({"subject": subject(person), "contact": contact(person)}));
            let consents = lines(&|person| {
                let state = if person.consents { "granted" } else { "withdrawn" };
                json!({"subject": subject(person), "scope": "marketing", "state": state})
            });
            let records = lines(&|person| {
                let merchant = if person.eligible { "Luckin Coffee" } else { "FairPrice" };
                json!({
                    "request_id": format!("{name}-{}", person.number), "subject": subject(person),
                    "commerce.merchant": merchant, "commerce.category": "coffee", "commerce.purchase_date": day,
                    "commerce.amount": "5.80", "geography.city": "Singapore",
                })
            });
            let operator = self.client(&format!("operator-{vault}"));
            for (upload, kind, text) in [
                (Upload::Subjects, "subjects", subjects),
                (Upload::Consents, "consents", consents),
                (Upload::Records, "records", records),
            ] {
                let mut file = tempfile::NamedTempFile::new().unwrap();
                file.write_all(text.as_bytes()).unwrap();
                let key = RequestId::new(&format!("{name}-{kind}")).unwrap();
                let report =
                    operator.upload(vault, upload, Format::JsonLines, &key, file.path()).await.unwrap();
                assert_eq!(report.refused_total, 0, "{:?}", report.refused);
            }
        }
    }

    /// Uploads lines as a Vault's operator.
    pub async fn put(&self, vault: &str, upload: Upload, key: &str, lines: &[Value]) -> UploadReport {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for line in lines {
            writeln!(file, "{line}").unwrap();
        }
        let (operator, key) = (self.client(&format!("operator-{vault}")), RequestId::new(key).unwrap());
        operator.upload(vault, upload, Format::JsonLines, &key, file.path()).await.unwrap()
    }

    /// Runs the command line with a profile: the code that it ends with, and what it printed.
    pub fn symphony(&self, profile: &str, words: &[&str]) -> (i32, String) {
        let program = Path::new(env!("CARGO_BIN_EXE_symphonyd")).with_file_name("symphony");
        let mut command = Command::new(program);
        command.arg("--profile").arg(self.dir.join("clients").join(profile)).args(words);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    /// Waits until the chain has paid or refunded a task.
    pub async fn settled(&self, client: &Client, task: TaskId) -> Task {
        eventually("the epoch is paid", async || {
            let task = client.task(task).await.ok()?;
            (task.refund == "confirmed").then_some(task)
        })
        .await
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        end(&mut self.supervisor);
    }
}

fn end(supervisor: &mut Child) {
    if supervisor.try_wait().unwrap().is_none() {
        Command::new("kill").arg(supervisor.id().to_string()).status().unwrap();
        supervisor.wait().unwrap();
    }
}

/// Held by a test while its network runs: two at once would be too slow for their deadlines.
pub static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The catalogue code of a refusal.
pub fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    match answer {
        Err(ClientError::Refused(problem)) => problem.code,
        other => panic!("no refusal: {other:?}"),
    }
}

/// Polls until `probe` answers; a minute at most.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "in a minute it did not happen that {what}");
        ticks.tick().await;
    }
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A person's name in its Vault.
pub fn subject(person: &Person) -> String {
    format!("person-{:06}", person.number)
}

/// A person's contact handle.
pub fn contact(person: &Person) -> String {
    format!("+65 8{:07}", person.number)
}

/// `count` consenting, eligible people in every Vault.
pub fn crowd(count: u32) -> Vec<Person> {
    (0..count * 3)
        .map(|number| Person { number, vault: (number % 3) as usize, consents: true, eligible: true })
        .collect()
}

/// "Bought from Luckin in Singapore within 30 days", from all Vaults.
pub fn spec() -> CampaignSpec {
    let rule = |rule: &str| Operand { rule: rule.to_owned(), ..Operand::default() };
    CampaignSpec {
        usage_scope: "marketing".to_owned(),
        vaults: VAULTS.map(str::to_owned).into(),
        quorum: 3,
        operands: vec![
            Operand { text: Some("Luckin Coffee".to_owned()), ..rule("commerce.merchant_purchase") },
            Operand { days: Some(30), ..rule("commerce.purchase_recency") },
            Operand { text: Some("Singapore".to_owned()), ..rule("geography.city_eligibility") },
        ],
        who: None,
        output: "identity.contact_handle".to_owned(),
        cap: 5_000,
        rank_by: None,
        evaluate_at_ms: None,
    }
}
