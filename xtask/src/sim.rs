//! Runs seeds of the simulator, or replays one (R007, R195).

use anyhow::Result;

use crate::cargo;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds to run
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Replays one seed and prints what happens
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    cargo::build_bins()?;
    let mut simulator = cargo::program("symphony-sim");
    match args.seed {
        Some(seed) => simulator.args(["--seed", &seed.to_string()]),
        None => simulator.args(["--seeds", &args.seeds.to_string(), "--first", &args.first.to_string()]),
    };
    cargo::run(&mut simulator)
}
