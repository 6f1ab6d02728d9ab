//! Starts the whole network on loopback: `symphonyd dev`, which supervises a process for each node.

use anyhow::Result;

use crate::cargo;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on to `symphonyd dev`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    cargo::build_bins()?;
    cargo::run(cargo::program("symphonyd").arg("dev").args(&args.rest))
}
