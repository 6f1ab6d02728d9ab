//! Runs a demonstration: real processes, real data, every figure measured in the run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::{cargo, engines};

#[derive(clap::Args)]
pub(crate) struct Args {
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
    match &args.story {
        Story::Coupon { data, rest } => {
            cargo::build_examples()?;
            with_data("examples/coupon_campaign", data.as_deref(), rest)
        }
        Story::Receipt { rest } => {
            engines::ensure()?;
            cargo::build_examples()?;
            cargo::run(cargo::program("examples/receipt_upload").args(rest))
        }
        Story::Training { data, rest } => {
            cargo::build_examples()?;
            with_data("examples/behaviour_training", data.as_deref(), rest)
        }
    }
}

fn with_data(program: &str, data: Option<&Path>, rest: &[String]) -> Result<()> {
    let mut command = cargo::program(program);
    if let Some(data) = data {
        let data = data.canonicalize().with_context(|| format!("opening {}", data.display()))?;
        command.arg("--data").arg(data);
    }
    cargo::run(command.args(rest))
}
