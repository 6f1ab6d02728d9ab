//! The supervised network of the demo, and its clients' profiles.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
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
use symphony_types::amount::SYM_UNIT;
use symphony_types::id::ActorId;
use tokio::time::sleep;

/// A running development network.
pub(crate) struct Network {
    dir: PathBuf,
    supervisor: Child,
}

/// A client's profile, as `symphonyd dev` writes it.
#[derive(Deserialize)]
struct Profile {
    gateway: String,
    actor: String,
    chain: String,
}

impl Network {
    /// Makes a network in a folder, with overrides of its policy, and starts it.
    pub(crate) fn start(dir: &Path, policy: &str) -> Result<Self> {
        let program = std::env::current_exe()?;
        let program = program.ancestors().nth(2).context("finding the build folder")?.join("symphonyd");
        ensure!(program.exists(), "{} is not built: run cargo build --workspace --bins", program.display());
        let mut supervisor = Command::new(program)
            .args(["dev", "--fresh", "--policy", policy, "--dir"])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .context("starting symphonyd dev")?;
        let output = supervisor.stdout.take().context("reading the supervisor")?;
        for line in BufReader::new(output).lines().take(3) {
            println!("  {}", line?);
        }
        Ok(Self { dir: dir.to_owned(), supervisor })
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

    /// Waits until the gateway answers and every Vault is reachable.
    pub(crate) async fn ready(&self, client: &Client) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let status = client.status().await;
            if status.as_ref().is_ok_and(|status| status.nodes.iter().all(|node| node.reachable)) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the network did not come up: {status:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Peak resident memory of every process of the network, in kilobytes, enclaves included.
    pub(crate) fn peaks(&self) -> Result<BTreeMap<String, u64>> {
        let mut peaks = BTreeMap::new();
        for entry in fs::read_dir(self.dir.join("run"))? {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let pid: u32 = fs::read_to_string(&path)?.trim().parse()?;
            for child in children(pid) {
                peaks.insert(format!("{name} enclave"), peak(child)?);
            }
            peaks.insert(name, peak(pid)?);
        }
        Ok(peaks)
    }

    /// Ends every process.
    pub(crate) fn stop(mut self) -> Result<()> {
        end(&mut self.supervisor)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Already ended after `stop`.
        let _ = end(&mut self.supervisor);
    }
}

fn end(supervisor: &mut Child) -> Result<()> {
    if supervisor.try_wait()?.is_none() {
        Command::new("kill").arg(supervisor.id().to_string()).status()?;
        supervisor.wait()?;
    }
    Ok(())
}

fn peak(pid: u32) -> Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next()).context("no VmHWM")?;
    Ok(number.parse()?)
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// An amount of base units, for people.
pub(crate) fn sym(base: u64) -> String {
    format!("{}.{:08} SYM", base / SYM_UNIT, base % SYM_UNIT)
}
