//! The development chain of a network made with `--chain move`: what its contracts start with, and its process. The program and
//! the Move VM are not part of a release; whoever wants them has them made and downloaded.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use symphony_chain::contracts::{Deployment, Start};
use symphony_chain::ledger::Genesis;
use symphony_types::digest::Digest;
use symphony_types::id::AccountId;
use symphony_types::key::{PrivateKey, Wallet};
use symphony_wire::documents::encode;

use super::Process;
use crate::config::{NodeConfig, beside};
use crate::{keys, roles};

/// Where the tool is.
#[derive(clap::Args)]
pub(super) struct Tool {
    /// The library of the Move VM, for a network made with `--chain move`
    #[arg(long, env = "SYMPHONY_MOVE_VM", value_name = "FILE")]
    move_vm: Option<PathBuf>,
    /// The folder of the built Move packages, for the same
    #[arg(long, env = "SYMPHONY_MOVE_PACKAGES", value_name = "FOLDER")]
    move_packages: Option<PathBuf>,
}

/// Writes down what the contracts start with; gives where they will be. **Errors**: those of the file system.
pub(super) fn found(dir: &Path, genesis: &Genesis) -> Result<Deployment> {
    let start = Start::of(genesis);
    fs::create_dir_all(dir.join(FOLDER))?;
    fs::write(dir.join(FOLDER).join(START_FILE), encode(&start))?;
    Ok(Deployment::by(genesis.chain.clone(), NUMBER, AccountId(Digest(DEPLOYER))))
}

/// The chain's process, for a network that has one. **Errors**: the program or the tool is not there.
pub(super) fn process(dir: &Path, tool: &Tool) -> Result<Option<Process>> {
    let start = dir.join(FOLDER).join(START_FILE);
    if !start.exists() {
        return Ok(None);
    }
    let relay = NodeConfig::load(&dir.join("ledger").join("node.toml"))?;
    let url = relay.full_node.context("the chain node names no full node")?;
    let listen = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix("/v1"));
    let missing = "this network's money is in Move contracts: start it with `cargo xtask dev --chain move`, which fetches and builds the tool";
    let sponsor = keys::seed(&dir.join("ledger/keys").join(roles::SPONSOR_SEED))?;
    let sponsor = PrivateKey::<Wallet>::from_seed(&sponsor).public().account();
    let arguments = [
        "serve".into(),
        "--supervised".into(),
        "--listen".into(),
        listen.context("the full node is not a development chain")?.into(),
        "--start".into(),
        start,
        "--journal".into(),
        dir.join(FOLDER).join("journal"),
        "--gas-for".into(),
        format!("0x{}", sponsor.0).into(),
        "--vm".into(),
        tool.move_vm.clone().context(missing)?,
        "--packages".into(),
        tool.move_packages.clone().context(missing)?,
    ];
    let program = beside("symphony-devchain").context(missing)?;
    Ok(Some(Process { name: FOLDER.to_owned(), program, arguments: arguments.into() }))
}

/// Of the chain's files in the network's folder.
const FOLDER: &str = "devchain";
/// What the contracts start with. **Shape**: canonical bytes.
const START_FILE: &str = "start.bcs";
/// The number of a development chain, as of Aptos' own local networks.
const NUMBER: u8 = 4;
/// Who deploys on a development chain.
const DEPLOYER: [u8; 32] = {
    let mut address = [0; 32];
    address[31] = 0xd;
    address
};
