//! Runs a demonstration: real processes, real data, every figure measured in the run.

use std::path::PathBuf;

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
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let build =
        || cargo::run(&mut cargo::cargo(["build", "--workspace", "--bins", "--examples", "--locked"]));
    match &args.story {
        Story::Coupon { data, rest } => {
            build()?;
            let mut command = cargo::program("examples/coupon_campaign");
            if let Some(data) = data {
                command
                    .arg("--data")
                    .arg(data.canonicalize().with_context(|| format!("opening {}", data.display()))?);
            }
            cargo::run(command.args(rest))
        }
        Story::Receipt { rest } => {
            engines::ensure()?;
            build()?;
            cargo::run(cargo::program("examples/receipt_upload").args(rest))
        }
    }
}
