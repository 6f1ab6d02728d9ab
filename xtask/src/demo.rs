//! Runs a demonstration: real processes, real data, every figure measured in the run.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::{cargo, contracts, engines};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the money is: the reference ledger, or Move contracts in a development chain
    #[arg(long, default_value = "ledger", value_parser = ["ledger", "move"])]
    chain: String,
    #[command(subcommand)]
    story: Story,
}

#[derive(Subcommand)]
enum Story {
    /// The targeted coupon campaign, from a REST request to a settled, paid, verified result
    Coupon {
        /// Folder of the Complete Journey retail data; generated data when absent
        #[arg(long)]
        data: Option<PathBuf>,
        /// Passed on to the demonstration, such as `--people 60000 --seed 7`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Receipts: photographed, read inside the Vaults, found by a campaign, rewarded once
    Receipt {
        /// Passed on to the demonstration, such as `--people 60 --seed 3`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// A model of who will buy, trained across Vaults under differential privacy, settled, checked and used
    Training {
        /// Folder of the Complete Journey retail data; generated data when absent
        #[arg(long)]
        data: Option<PathBuf>,
        /// Passed on to the demonstration, such as `--people 15000 --seed 7`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let (program, data, rest) = match &args.story {
        Story::Coupon { data, rest } => ("examples/coupon_campaign", data.as_deref(), rest),
        Story::Receipt { rest } => {
            engines::ensure()?;
            ("examples/receipt_upload", None, rest)
        }
        Story::Training { data, rest } => ("examples/behaviour_training", data.as_deref(), rest),
    };
    cargo::build_examples()?;
    let mut command = cargo::program(program);
    if args.chain == "move" {
        command.envs(contracts::environment()?);
    }
    if let Some(data) = data {
        let data = data.canonicalize().with_context(|| format!("opening {}", data.display()))?;
        command.arg("--data").arg(data);
    }
    cargo::run(command.args(rest))
}
