//! `symphonyd`: every node of the network in one binary, one role a process (R010), and the supervisor that
//! starts them all on one machine for development.

mod audit;
mod certificates;
mod check;
mod config;
mod dev;
mod enterprise;
mod genesis;
mod keys;
mod ledger;
mod network;
mod relay;
mod replay;
mod restore;
mod roles;
mod seal;
mod simulate;
mod telemetry;
mod token;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "symphonyd", version, about = "A node of the Symphony network")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a master: admission, execution, settlement, governance
    Master(Node),
    /// Runs the verifier
    Verifier(Node),
    /// Runs the payout service
    Payout(Node),
    /// Runs the host of the reference ledger (development: the chain of a network without one)
    Ledger(Node),
    /// Runs an enterprise node with its Vault
    Vault(Node),
    /// Runs the public gateway
    Gateway(Node),
    /// Makes a development network in a folder and supervises all its processes on loopback
    Dev(dev::Args),
    /// Mints a token of a development network's issuer
    Token(token::Args),
    /// Lists, replaces and revokes the certificates of a development network, while it runs
    Certificates(certificates::Args),
    /// Makes the folder of an enterprise that asks a development network to be admitted
    Enterprise(enterprise::Args),
    /// Rebuilds the state from a master's journal and compares the state hash
    Replay(replay::Args),
    /// Show what another policy would have changed in refusals and rewards, by replay of a master's journal
    Simulate(simulate::Args),
    /// Check a range of a journal again, and show what governed at its end
    Audit(audit::Args),
    /// Checks everything that the folder of an enterprise node's Vault holds, while the node does not run
    Check(check::Args),
    /// Seals the secrets of an enterprise node's Vault under a passphrase, while the node does not run
    Seal(seal::Args),
    /// Brings the folder of an enterprise node's Vault back out of its standby, while the node does not run
    Restore(restore::Args),
    /// Prints the description of the REST interface
    Openapi,
}

#[derive(clap::Args)]
struct Node {
    /// The node's configuration file
    #[arg(long)]
    config: PathBuf,
    /// End when standard input ends: set by a supervisor, so that no node outlives it
    #[arg(long)]
    supervised: bool,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    // The first provider that is installed stays; this is the first line that could.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match cli.command {
        Command::Master(node) => roles::run(&node.config, node.supervised, roles::master),
        Command::Verifier(node) => roles::run(&node.config, node.supervised, roles::verifier),
        Command::Payout(node) => roles::run(&node.config, node.supervised, roles::payout),
        Command::Ledger(node) => roles::run(&node.config, node.supervised, roles::ledger),
        Command::Vault(node) => roles::run(&node.config, node.supervised, roles::vault),
        Command::Gateway(node) => roles::run(&node.config, node.supervised, roles::gateway),
        Command::Dev(args) => dev::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Certificates(args) => certificates::run(&args),
        Command::Enterprise(args) => enterprise::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Seal(args) => seal::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::Openapi => {
            println!("{}", symphony_gateway::rest::openapi());
            Ok(())
        }
    }
}
