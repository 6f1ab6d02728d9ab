//! Runs a proof: real processes, real faults, everything checked afterwards (R007, R195, R217).

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use crate::cargo;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    proof: Proof,
}

#[derive(Subcommand)]
enum Proof {
    /// Three masters in three network namespaces (as root; else on loopback) under load, killed and cut off
    Network {
        /// How long things go wrong
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        /// Draws what goes wrong; from the time when absent
        #[arg(long)]
        seed: Option<u64>,
        /// Where the network lives and its logs stay; a temporary folder when absent
        #[arg(long)]
        dir: Option<PathBuf>,
    },
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Proof::Network { minutes, seed, dir } = &args.proof;
    cargo::build_examples()?;
    let mut command = cargo::program("examples/network_proof");
    command.args(["--minutes", &minutes.to_string()]);
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if let Some(dir) = dir {
        command.arg("--dir").arg(std::path::absolute(dir)?);
    }
    cargo::run(&mut command)
}
