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
        let known: Vec<&str> = chosen.iter().map(|bench| bench.name.as_str()).collect();
        ensure!(known.contains(&name.as_str()), "there is no benchmark {name}, but {}", known.join(", "));
    }
    // What needs a feature takes long to build, and runs when it is named.
    chosen.retain(|bench| {
        if args.names.is_empty() { bench.features.is_empty() } else { args.names.contains(&bench.name) }
    });
    // A benchmark may start processes of the workspace.
    cargo::build_bins()?;
    // The profile of development: dependencies are optimised in it, and one build serves tests and benchmarks.
    let mut command = cargo::cargo(["bench", "--locked", "--workspace", "--profile", "dev"]);
    for bench in chosen {
        command.args(["--bench", &bench.name]);
        for feature in bench.features {
            command.args(["--features", &feature]);
        }
    }
    if !args.rest.is_empty() {
        command.arg("--").args(&args.rest);
    }
    cargo::run(&mut command)
}

struct Bench {
    name: String,
    /// Features of its package that it needs, as the workspace names them.
    features: Vec<String>,
}

/// All benchmarks of the workspace.
fn benches() -> Result<Vec<Bench>> {
    let printed = cargo::output(&mut cargo::cargo(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_slice(&printed).context("reading cargo metadata")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let mut benches = Vec::new();
    for package in packages {
        let targets = package["targets"].as_array().into_iter().flatten();
        for target in targets.filter(|target| target["kind"][0] == "bench") {
            let (Some(package), Some(name)) = (package["name"].as_str(), target["name"].as_str()) else {
                continue;
            };
            let needed =
                target["required-features"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let features = needed.map(|feature| format!("{package}/{feature}")).collect();
            benches.push(Bench { name: name.to_owned(), features });
        }
    }
    Ok(benches)
}
