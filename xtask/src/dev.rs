//! Starts the whole network on loopback: `symphonyd dev`, which supervises a process for each node.

use anyhow::Result;

use crate::{cargo, contracts};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on to `symphonyd dev`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    cargo::build_bins()?;
    let mut network = cargo::program("symphonyd");
    let of_move = |pair: &[String]| pair[0] == "--chain" && pair[1] == "move";
    if args.rest.windows(2).any(of_move) || args.rest.iter().any(|word| word == "--chain=move") {
        network.envs(contracts::environment()?);
    }
    cargo::run(network.arg("dev").args(&args.rest))
}
