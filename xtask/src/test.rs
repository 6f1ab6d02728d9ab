//! Runs the tests, after the binaries that the end-to-end tests start as processes. One run names every failure.

use anyhow::Result;

use crate::{cargo, engines};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the tests of this crate; may be given more than once
    #[arg(short, long)]
    package: Vec<String>,
    /// Passed on to the tests, such as a filter
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    engines::ensure()?;
    cargo::build_bins()?;
    let mut command = cargo::cargo(["test", "--locked", "--no-fail-fast"]);
    if args.package.is_empty() {
        command.arg("--workspace");
    }
    for package in &args.package {
        command.args(["--package", package]);
    }
    if !args.rest.is_empty() {
        command.arg("--").args(&args.rest);
    }
    cargo::run(&mut command)
}
