//! `symphonyd dev`: a whole network on one machine. The first start makes keys, a certificate authority and the
//! first governance in a folder; every start supervises one process a node and starts again whatever ends.

mod committee;
mod create;
mod devchain;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use symphony_types::id::NodeId;
use symphony_types::time::DAY_MS;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::certificates;
use crate::config::beside;
use crate::genesis::Profile;
use crate::network::Network;

/// Masters of a new network unless it is said otherwise.
const MASTERS_DEFAULT: &str = "3";
/// Pause before a node that ended is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(300);
/// How long a node may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The network's folder; made on first use
    #[arg(long, default_value = "dev-data")]
    dir: PathBuf,
    /// Masters of a new network, 1 or 3
    #[arg(long, default_value = MASTERS_DEFAULT, value_parser = masters)]
    masters: u8,
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
    /// Addresses of a new network's nodes that are not to listen on loopback, such as `master-1=198.18.7.11`; for
    /// who starts them elsewhere than here
    #[arg(long, value_delimiter = ',', value_parser = host, requires = "create_only")]
    host: Vec<(NodeId, IpAddr)>,
    /// Class of trusted hardware that a new network's machines play, such as `intel-tdx`: its evidence is made up, and marked
    #[arg(long, value_name = "CLASS")]
    hardware: Option<String>,
    /// Where a new network's money is
    #[arg(long, value_enum, default_value_t = Money::Ledger, env = "SYMPHONY_CHAIN")]
    chain: Money,
    /// How long an epoch of inflation is on a new network's chain, in milliseconds; a day otherwise
    #[arg(long, value_name = "MS", default_value_t = DAY_MS, value_parser = clap::value_parser!(u64).range(1_000..))]
    inflation_epoch: u64,
    #[command(flatten)]
    tool: devchain::Tool,
}

/// What holds the money of a development network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Money {
    /// The reference ledger, in a process of its own
    Ledger,
    /// The Move contracts in a development chain; `cargo xtask dev --chain move` has what it needs
    Move,
}

/// A node and its address.
fn host(text: &str) -> Result<(NodeId, IpAddr), String> {
    let (node, address) = text.split_once('=').ok_or("a host is node=address")?;
    let node = NodeId::new(node).map_err(|error| error.to_string())?;
    Ok((node, address.parse().map_err(|error| format!("{address}: {error}"))?))
}

/// How many masters a network may have: the error says why not others.
fn masters(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        "2" => Err("two masters cannot lose one: a majority of 2 is both; take 1 or 3".to_owned()),
        _ => Err("a network has 1 master, or 3 of which one may fail".to_owned()),
    }
}

/// Makes the network if there is none, and supervises it until a signal. **Errors**: the folder cannot be used.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.masters > 1 && args.profile == Profile::Production {
        bail!(
            "the guards of this machine's masters are of class software, and the production policy refuses that \
             class: take the development profile, or one master"
        );
    }
    if args.chain == Money::Move && args.profile == Profile::Production {
        bail!("the development chain holds no value, and the production policy is for networks that do");
    }
    let network_file = args.dir.join(create::NETWORK_FILE);
    if args.fresh && args.dir.exists() {
        if !network_file.exists() {
            bail!("{} is not a development network, so it is not removed", args.dir.display());
        }
        fs::remove_dir_all(&args.dir)?;
    }
    if !network_file.exists() {
        let hosts = args.host.iter().cloned().collect();
        let (nodes, hardware) = ((args.masters, args.vaults), args.hardware.as_deref());
        create::network(
            &args.dir,
            nodes,
            (args.profile, &args.policy),
            &hosts,
            hardware,
            (args.chain, args.inflation_epoch),
        )?;
    }
    let network = Network::load(&network_file)?;
    create::check_enclave(&network, &args.dir)?;
    certificates::renew(&args.dir, &network)?;
    if args.create_only {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let chain = devchain::process(&args.dir, &args.tool)?;
    runtime.block_on(supervise(&args.dir, &network, chain))
}

async fn supervise(dir: &Path, network: &Network, chain: Option<Process>) -> Result<()> {
    for folder in ["logs", "run"] {
        fs::create_dir_all(dir.join(folder))?;
    }
    let gateway = network.nodes.get(&NodeId::new("gateway")?).context("the network has no gateway")?;
    println!("gateway https://{gateway}");
    println!("clients {}", dir.join("clients").display());
    println!("enclaves are of class software: for development, never for real data");
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let mut processes = guards(dir, network)?;
    processes.extend(chain);
    processes.extend(nodes(dir, network)?);
    let nodes: Vec<_> = processes
        .into_iter()
        .map(|process| tokio::spawn(keep_up(dir.to_owned(), process, stopping.clone())))
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

/// A process to keep up.
struct Process {
    /// Names its log and the file with its id.
    name: String,
    program: PathBuf,
    arguments: Vec<PathBuf>,
}

impl Process {
    fn new(name: String, program: &str, role: Option<&str>, config: PathBuf) -> Result<Self> {
        let mut arguments: Vec<PathBuf> = role.into_iter().map(PathBuf::from).collect();
        arguments.extend(["--supervised".into(), "--config".into(), config]);
        Ok(Self { name, program: beside(program)?, arguments })
    }
}

/// A guard for each master's vote; a master alone does not vote. **Errors**: there is no guard program.
fn guards(dir: &Path, network: &Network) -> Result<Vec<Process>> {
    let voting = network.masters.iter().filter(|_| network.masters.len() > 1);
    voting
        .map(|master| {
            let config = dir.join(master.as_str()).join(committee::GUARD_CONFIG);
            Process::new(format!("{master}-guard"), "symphony-guard", None, config)
        })
        .collect()
}

/// Every node of the network. **Errors**: this program's own place is not known.
fn nodes(dir: &Path, network: &Network) -> Result<Vec<Process>> {
    let process = |(node, role): (NodeId, &str)| {
        let config = dir.join(node.as_str()).join("node.toml");
        Process::new(node.to_string(), "symphonyd", Some(role), config)
    };
    roles(network).into_iter().map(process).collect()
}

/// Every node with its role's subcommand; those that others call come first.
fn roles(network: &Network) -> BTreeMap<NodeId, &'static str> {
    let mut roles: BTreeMap<NodeId, &'static str> =
        network.vaults.values().map(|node| (node.clone(), "vault")).collect();
    for node in network.nodes.keys() {
        let role = match node {
            node if network.masters.contains(node) => "master",
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

/// Starts a process again whenever it ends, until the supervisor stops.
async fn keep_up(
    dir: PathBuf,
    process: Process,
    mut stopping: tokio::sync::watch::Receiver<bool>,
) -> Result<()> {
    while !*stopping.borrow() {
        let mut child = start(&dir, &process)?;
        // Held here: waiting for a child closes a standard input that it still has.
        let lifeline = child.stdin.take();
        let ended = tokio::select! {
            ended = child.wait() => Some(ended?),
            _ = stopping.changed() => None,
        };
        match ended {
            Some(status) => {
                let name = &process.name;
                eprintln!("{name} ended with {status}, starting it again");
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

fn start(dir: &Path, process: &Process) -> Result<Child> {
    let name = &process.name;
    let log = open_log(&dir.join(format!("logs/{name}.log")))?;
    let child = Command::new(&process.program)
        .args(&process.arguments)
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    if let Some(pid) = child.id() {
        // Moved into place, so that nobody reads half a number.
        let part = dir.join(format!("{name}.pid"));
        fs::write(&part, pid.to_string())?;
        fs::rename(part, dir.join(format!("run/{name}.pid")))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// R007, R196: a network has one master or three; two could not lose one.
    #[test]
    fn a_network_has_one_master_or_three() {
        assert_eq!((masters("1"), masters("3"), masters(MASTERS_DEFAULT).is_ok()), (Ok(1), Ok(3), true));
        assert!(masters("2").unwrap_err().contains("cannot lose one"));
        for wrong in ["0", "4", "7", "-1", "three", ""] {
            assert!(masters(wrong).is_err(), "{wrong}");
        }
    }
}
