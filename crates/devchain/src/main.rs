//! `symphony-devchain`: one subcommand a process, because the libraries that it loads end the process on bad input.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use symphony_devchain::genesis::{self, Artifacts};
use symphony_devchain::node::Node;
use symphony_devchain::rest::{self, Shared};
use symphony_devchain::{bench, client, compiler, development, values, vm};
use tokio::net::TcpListener;

#[derive(Parser)]
#[command(
    name = "symphony-devchain",
    about = "Development chain of Symphony: Move contracts without a network"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds a Move package
    Build {
        /// The compiler's library
        #[arg(long)]
        compiler: PathBuf,
        /// The package's folder
        package: PathBuf,
    },
    /// Runs the unit tests of a Move package
    Test {
        /// The compiler's library
        #[arg(long)]
        compiler: PathBuf,
        /// Only tests whose name holds this
        #[arg(long)]
        filter: Option<String>,
        /// The package's folder
        package: PathBuf,
    },
    /// Writes the ABI of every module of the contracts, or compares with what is written
    Abi {
        #[command(flatten)]
        tool: Tool,
        /// Where the ABI is kept
        folder: PathBuf,
        /// Writes instead of comparing
        #[arg(long)]
        write: bool,
    },
    /// Serves a chain of its own on loopback until it is stopped
    Serve {
        #[command(flatten)]
        tool: Tool,
        /// Where to listen; port 0 takes a free one
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// What the contracts start with, in canonical bytes; a development chain of this program's own accounts when absent
        #[arg(long, requires = "journal")]
        start: Option<PathBuf>,
        /// Where the chain is kept over restarts
        #[arg(long, requires = "start")]
        journal: Option<PathBuf>,
        /// Accounts that begin with gas, besides those of the first state
        #[arg(long, requires = "start", value_name = "ADDRESS")]
        gas_for: Vec<String>,
        /// Ends when standard input does
        #[arg(long)]
        supervised: bool,
    },
    /// Prints what the contracts and the chain cost
    Bench {
        #[command(flatten)]
        tool: Tool,
    },
    /// Runs the script of facts with the Rust client
    Client {
        /// The node, such as http://127.0.0.1:8080/v1
        url: String,
        /// The byte of the account's seed
        seed: u8,
    },
}

/// What the chain needs.
#[derive(Args)]
struct Tool {
    /// The VM's library
    #[arg(long)]
    vm: PathBuf,
    /// The folder with the built packages
    #[arg(long)]
    packages: PathBuf,
}

impl Tool {
    fn artifacts(self) -> Artifacts {
        Artifacts { vm: self.vm, packages: self.packages }
    }
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Build { compiler, package } => compiler::build(&compiler, &package),
        Command::Test { compiler, filter, package } => compiler::test(&compiler, &package, filter),
        Command::Abi { tool, folder, write } => abi(&tool, &folder, write),
        Command::Serve { tool, listen, start, journal, gas_for, supervised } => {
            let node = node(&tool.artifacts(), start.zip(journal), &gas_for)?;
            if supervised {
                std::thread::spawn(orphaned);
            }
            runtime()?.block_on(serve(node, listen))
        }
        Command::Bench { tool } => runtime()?.block_on(bench::run(&tool.artifacts())),
        Command::Client { url, seed } => {
            let facts = runtime()?.block_on(client::facts(&url, seed))?;
            println!("{facts}");
            Ok(())
        }
    }
}

/// The chain of a network, or one of this program's own accounts.
fn node(artifacts: &Artifacts, kept: Option<(PathBuf, PathBuf)>, gas_for: &[String]) -> Result<Node> {
    if let Some((start, journal)) = kept {
        let bytes = fs::read(&start).with_context(|| format!("reading {}", start.display()))?;
        let start = bcs::from_bytes(&bytes).with_context(|| format!("reading {}", start.display()))?;
        let others = gas_for.iter().map(|text| values::address(text)).collect::<Result<Vec<_>>>()?;
        return Node::open(artifacts, development::CHAIN_ID, &start, &journal, (GAS, &others));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let start = development::start(u64::try_from(now.as_millis()).unwrap_or_default());
    let mut node = Node::new(artifacts, development::CHAIN_ID, &start)?;
    let known = development::HOLDERS.into_iter().chain([
        development::PAYOUT,
        development::SETTLEMENT,
        development::COUNCIL,
    ]);
    for seed in known {
        node.fund(development::account(seed).0.0, GAS);
    }
    Ok(node)
}

/// Ends the process with whoever started it.
fn orphaned() {
    // Nothing is ever written: the read ends when the supervisor does.
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(0);
}

async fn serve(node: Node, listen: SocketAddr) -> Result<()> {
    ensure!(listen.ip().is_loopback(), "a development chain listens on loopback only");
    let listener = TcpListener::bind(listen).await.context("listening")?;
    let address = listener.local_addr().context("listening")?;
    println!("contracts 0x{}", encoded(&genesis::address()));
    println!("listening http://{address}/v1");
    rest::serve(listener, Shared::new(node)).await
}

/// One file a module, with its fields in a fixed order.
fn abi(tool: &Tool, folder: &Path, write: bool) -> Result<()> {
    let vm = vm::Vm::load(&tool.vm)?;
    let mut files = BTreeMap::new();
    for (name, code) in compiler::modules(&tool.packages.join("symphony"), "Symphony")? {
        let text = serde_json::to_string_pretty(&vm.abi(&code)?)? + "\n";
        // Where the contracts are is each chain's own.
        let text = text.replace(&format!("0x{}", encoded(&genesis::address())), "symphony");
        files.insert(format!("{name}.json"), text);
    }
    if write {
        fs::create_dir_all(folder).context("making the folder of the ABI")?;
    }
    for (name, text) in &files {
        let path = folder.join(name);
        if write {
            fs::write(&path, text).with_context(|| format!("writing {name}"))?;
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        ensure!(
            there == *text,
            "{name} is not the ABI of the contracts; if it should be: cargo xtask move abi --write"
        );
    }
    let there = fs::read_dir(folder).context("listing the ABI")?.count();
    ensure!(there == files.len(), "the ABI has files of no module");
    println!("abi: {} modules", files.len());
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")
}

fn encoded(address: &vm::Address) -> String {
    address.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Gas of the accounts that a development chain begins with, in octas.
const GAS: u64 = 1_000 * 100_000_000;
