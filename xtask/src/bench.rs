//! Runs the benchmarks of every crate that declares one, or those that are named.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::cargo;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these benchmarks, such as `consensus`
    names: Vec<String>,
    /// Passed on to the benchmarks, such as a filter
    #[arg(last = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut chosen = benches()?;
    for name in &args.names {
        ensure!(chosen.contains(name), "there is no benchmark {name}, but {}", chosen.join(", "));
    }
    if !args.names.is_empty() {
        chosen.retain(|bench| args.names.contains(bench));
    }
    // A benchmark may start processes of the workspace.
    cargo::build_bins()?;
    // The profile of development: dependencies are optimised in it, and one build serves tests and benchmarks.
    let mut command = cargo::cargo(["bench", "--locked", "--workspace", "--profile", "dev"]);
    for bench in chosen {
        command.args(["--bench", &bench]);
    }
    if !args.rest.is_empty() {
        command.arg("--").args(&args.rest);
    }
    cargo::run(&mut command)
}

/// The names of all benchmarks of the workspace.
fn benches() -> Result<Vec<String>> {
    let printed = cargo::output(&mut cargo::cargo(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_slice(&printed).context("reading cargo metadata")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let targets = packages.iter().filter_map(|package| package["targets"].as_array()).flatten();
    let benches = targets.filter(|target| target["kind"][0] == "bench");
    Ok(benches.filter_map(|target| target["name"].as_str().map(str::to_owned)).collect())
}
