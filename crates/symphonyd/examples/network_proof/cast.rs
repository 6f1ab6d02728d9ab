//! The processes of the proof: every node of the network and a guard for each master, started, killed and kept up by
//! the proof itself, so that it knows each end that it did not cause.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use symphony_chain::transaction::ChainId;
use symphony_sdk::campaign::Submitter;
use symphony_sdk::client::Client;
use symphony_sdk::recipient::Recipient;
use symphony_sdk::wallet::Wallet;
use symphony_types::catalogue::Code;
use symphony_types::id::ActorId;

use crate::lab::{Lab, MASTERS};

/// The Vaults of the network.
pub(crate) const VAULTS: [&str; 3] = ["vault-a", "vault-b", "vault-c"];
/// Nodes that stand outside the namespaces and that masters call.
const OTHERS: [&str; 6] =
    ["enterprise-vault-a", "enterprise-vault-b", "enterprise-vault-c", "verifier", "payout", "ledger"];
/// How long a process may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// All processes. Ended on drop.
pub(crate) struct Cast {
    dir: PathBuf,
    programs: PathBuf,
    running: BTreeMap<String, Child>,
    /// Ends that nobody asked for.
    pub(crate) surprises: Vec<String>,
}

/// A client's profile, as `symphonyd dev` writes it.
#[derive(Deserialize)]
struct Profile {
    gateway: String,
    actor: String,
    chain: String,
}

impl Cast {
    /// Makes a network whose masters stand in the lab. **Errors**: the programs are not built, or refuse.
    pub(crate) fn new(dir: &Path, lab: &Lab, policy: &str) -> Result<Self> {
        let program = std::env::current_exe()?;
        let built = program.ancestors().nth(2).context("finding the build folder")?;
        let programs = dir.with_extension("programs");
        fs::create_dir_all(&programs)?;
        for program in ["symphonyd", "symphony-guard", "symphony-enclave", "symphony-reader"] {
            // Copies, so that a build meanwhile changes no program that is started again.
            fs::copy(built.join(program), programs.join(program))
                .with_context(|| format!("{program} is not built: run cargo build --workspace --bins"))?;
        }
        let mut command = Command::new(programs.join("symphonyd"));
        command.args(["dev", "--create-only", "--masters", "3", "--policy", policy, "--dir"]).arg(dir);
        for (node, address) in lab.hosts(&OTHERS) {
            command.args(["--host", &format!("{node}={address}")]);
        }
        let output = command.output().context("making the network")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::create_dir_all(dir.join("logs"))?;
        Ok(Self { dir: dir.to_owned(), programs, running: BTreeMap::new(), surprises: Vec::new() })
    }

    /// Starts everything.
    pub(crate) fn start_all(&mut self, lab: &Lab) -> Result<()> {
        for node in OTHERS.into_iter().chain(["gateway"]) {
            let role = if node.starts_with("enterprise") { "vault" } else { node };
            self.start(node, Command::new(self.programs.join("symphonyd")).args([role]), "node.toml")?;
        }
        for master in MASTERS {
            self.start_guard(lab, master)?;
            self.start_master(lab, master)?;
        }
        Ok(())
    }

    /// Starts a master where it stands.
    pub(crate) fn start_master(&mut self, lab: &Lab, master: u8) -> Result<()> {
        let mut command = lab.at(master, &self.programs.join("symphonyd"));
        self.start(&format!("master-{master}"), command.arg("master"), "node.toml")
    }

    /// Starts the guard of a master where it stands.
    pub(crate) fn start_guard(&mut self, lab: &Lab, master: u8) -> Result<()> {
        let mut command = lab.at(master, &self.programs.join("symphony-guard"));
        self.start(&guard(master), &mut command, "guard.toml")
    }

    fn start(&mut self, name: &str, command: &mut Command, config: &str) -> Result<()> {
        let folder = match name.strip_suffix("-guard") {
            Some(master) => self.dir.join(master).join("guard"),
            None => self.dir.join(name),
        };
        let log = self.dir.join("logs").join(format!("{name}.log"));
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let child = command
            .args(["--supervised", "--config"])
            .arg(folder.join(config))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        self.running.insert(name.to_owned(), child);
        Ok(())
    }

    /// Kills a process outright, by its own id.
    pub(crate) fn kill(&mut self, name: &str) -> Result<()> {
        self.look_around()?;
        if !self.runs(name) {
            return Ok(());
        }
        let mut child = self.running.remove(name).with_context(|| format!("{name} does not run"))?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Notes every process that ended by itself; it stays down.
    pub(crate) fn look_around(&mut self) -> Result<()> {
        let mut ended = Vec::new();
        for (name, child) in &mut self.running {
            if let Some(status) = child.try_wait()? {
                ended.push((name.clone(), status));
            }
        }
        for (name, status) in ended {
            println!("  {name} ended by itself: {status}");
            self.running.remove(&name);
            self.surprises.push(format!("{name}: {status}"));
        }
        Ok(())
    }

    /// Forgives a process that it ended, if its log says so by that code.
    pub(crate) fn excuse(&mut self, name: &str, code: Code) -> Result<()> {
        let log = fs::read_to_string(self.dir.join("logs").join(format!("{name}.log")))?;
        if log.contains(code.as_str()) {
            self.surprises.retain(|surprise| !surprise.starts_with(&format!("{name}:")));
        }
        Ok(())
    }

    /// Whether a process runs.
    pub(crate) fn runs(&self, name: &str) -> bool {
        self.running.contains_key(name)
    }

    /// Asks every process to end, and kills those that do not.
    pub(crate) fn stop(&mut self) {
        for child in self.running.values_mut() {
            drop(child.stdin.take());
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        for (name, mut child) in std::mem::take(&mut self.running) {
            while child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
            if child.try_wait().is_ok_and(|ended| ended.is_none()) {
                println!("  {name} does not end and is killed");
                // It may have ended in between.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }

    /// The journal of a master.
    pub(crate) fn journal(&self, master: u8) -> PathBuf {
        self.dir.join(format!("master-{master}/data/journal.redb"))
    }

    fn profile(&self, name: &str) -> Result<(PathBuf, Profile)> {
        let folder = self.dir.join("clients").join(name);
        let text =
            fs::read_to_string(folder.join("client.toml")).with_context(|| format!("profile {name}"))?;
        Ok((folder, toml::from_str(&text)?))
    }

    /// A client with the token of a profile.
    pub(crate) fn client(&self, name: &str) -> Result<Client> {
        let (folder, profile) = self.profile(name)?;
        let (ca, token) = (fs::read(folder.join("ca.pem"))?, fs::read_to_string(folder.join("token"))?);
        Ok(Client::new(&profile.gateway, Some(&ca), Some(&token))?)
    }

    /// A submitter with the wallet and the keys of a profile.
    pub(crate) fn submitter(&self, name: &str) -> Result<Submitter> {
        let (folder, profile) = self.profile(name)?;
        Ok(Submitter {
            client: self.client(name)?,
            wallet: Wallet::open(&folder.join("wallet.key"), ChainId::new(&profile.chain)?)?,
            recipient: Recipient::open_file(&folder.join("recipient.key"))?,
            actor: ActorId::new(&profile.actor)?,
        })
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The name of a master's guard.
pub(crate) fn guard(master: u8) -> String {
    format!("master-{master}-guard")
}
