//! `symphonyd dev`: a whole network on one machine. The first start makes keys, a certificate authority and the
//! first governance in a folder; every start supervises one process a node and starts again whatever ends.

mod create;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use symphony_types::id::NodeId;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::config::beside;
use crate::genesis::Profile;
use crate::network::Network;

/// Pause before a node that ended is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(300);
/// How long a node may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The network's folder; made on first use
    #[arg(long, default_value = "dev-data")]
    dir: PathBuf,
    /// Vaults of a new network
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    vaults: u8,
    /// Policy of a new network
    #[arg(long, value_enum, default_value_t = Profile::Development)]
    profile: Profile,
    /// Removes the folder first
    #[arg(long)]
    fresh: bool,
    /// Only make the network, start nothing
    #[arg(long)]
    create_only: bool,
    /// Overrides of the new network's policy: stages and epoch in milliseconds, such as `execute=5000`, and limits
    /// of usage scopes in millionths of epsilon, such as `marketing=700000`, with `subject_cap` over all scopes
    #[arg(long, value_delimiter = ',')]
    policy: Vec<String>,
}

/// Makes the network if there is none, and supervises it until a signal. **Errors**: the folder cannot be used.
pub(crate) fn run(args: &Args) -> Result<()> {
    let network_file = args.dir.join(create::NETWORK_FILE);
    if args.fresh && args.dir.exists() {
        if !network_file.exists() {
            bail!("{} is not a development network, so it is not removed", args.dir.display());
        }
        fs::remove_dir_all(&args.dir)?;
    }
    if !network_file.exists() {
        create::network(&args.dir, args.vaults, args.profile, &args.policy)?;
    }
    let network = Network::load(&network_file)?;
    create::check_enclave(&network, &args.dir)?;
    if args.create_only {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(supervise(&args.dir, &network))
}

async fn supervise(dir: &Path, network: &Network) -> Result<()> {
    for folder in ["logs", "run"] {
        fs::create_dir_all(dir.join(folder))?;
    }
    let gateway = network.nodes.get(&NodeId::new("gateway")?).context("the network has no gateway")?;
    println!("gateway https://{gateway}");
    println!("clients {}", dir.join("clients").display());
    println!("enclaves are of class software: for development, never for real data");
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let nodes: Vec<_> = roles(network)
        .into_iter()
        .map(|(node, role)| tokio::spawn(keep_up(dir.to_owned(), node, role, stopping.clone())))
        .collect();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.send_replace(true);
    for node in nodes {
        node.await??;
    }
    Ok(())
}

/// Every node with its role's subcommand; those that others call come first.
fn roles(network: &Network) -> BTreeMap<NodeId, &'static str> {
    let mut roles: BTreeMap<NodeId, &'static str> =
        network.vaults.values().map(|node| (node.clone(), "vault")).collect();
    for node in network.nodes.keys() {
        let role = match node {
            node if *node == network.master => "master",
            node if *node == network.verifier => "verifier",
            node if *node == network.payout => "payout",
            node if *node == network.ledger => "ledger",
            node if roles.contains_key(node) => continue,
            _ => "gateway",
        };
        roles.insert(node.clone(), role);
    }
    roles
}

/// Starts a node again whenever it ends, until the supervisor stops.
async fn keep_up(
    dir: PathBuf,
    node: NodeId,
    role: &'static str,
    mut stopping: tokio::sync::watch::Receiver<bool>,
) -> Result<()> {
    while !*stopping.borrow() {
        let mut child = start(&dir, &node, role)?;
        // Held here: waiting for a child closes a standard input that it still has.
        let lifeline = child.stdin.take();
        let ended = tokio::select! {
            ended = child.wait() => Some(ended?),
            _ = stopping.changed() => None,
        };
        match ended {
            Some(status) => {
                eprintln!("{node} ended with {status}, starting it again");
                sleep(RESTART_PAUSE).await;
            }
            None => {
                drop(lifeline);
                return stop(child).await;
            }
        }
    }
    Ok(())
}

fn start(dir: &Path, node: &NodeId, role: &str) -> Result<Child> {
    let log = open_log(&dir.join(format!("logs/{node}.log")))?;
    let child = Command::new(beside("symphonyd")?)
        .arg(role)
        .arg("--supervised")
        .arg("--config")
        .arg(dir.join(node.as_str()).join("node.toml"))
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {node}"))?;
    if let Some(pid) = child.id() {
        // Moved into place, so that nobody reads half a number.
        let part = dir.join(format!("{node}.pid"));
        fs::write(&part, pid.to_string())?;
        fs::rename(part, dir.join(format!("run/{node}.pid")))?;
    }
    Ok(child)
}

/// Waits for a node whose standard input was closed; one that does not end is killed.
async fn stop(mut child: Child) -> Result<()> {
    if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
        child.kill().await?;
    }
    Ok(())
}

fn open_log(path: &Path) -> Result<File> {
    Ok(OpenOptions::new().create(true).append(true).open(path)?)
}
