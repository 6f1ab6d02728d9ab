//! Runs the fuzz targets: hostile bytes against what reads them, for some time (R083).
//!
//! The targets stand in workspaces of their own, because `cargo fuzz` builds all code with instrumentation. The build and
//! what a run finds stay below the build folder.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use xtask::repo;

use crate::cargo;

/// The folder of each target, below the root, its name, and how many bytes an input has at most.
const TARGETS: [(&str, &str, u32); 4] = [
    ("crates/compute/fuzz", "extract", 8192),
    ("crates/attest/fuzz", "evidence", 8192),
    ("crates/attest/fuzz", "collateral", 32_768),
    ("crates/attest/fuzz", "inspect", 16_384),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let there = cargo::output(&mut cargo::cargo(["fuzz", "--version"])).is_ok();
    ensure!(there, "cargo-fuzz not found; install it: cargo install cargo-fuzz --locked");
    let build = repo::target_dir().unwrap_or_else(|| repo::root().join("target")).join("fuzz");
    for (folder, target, bytes_max) in TARGETS {
        fuzz(&repo::root().join(folder), target, &build, args.seconds, bytes_max)?;
    }
    Ok(())
}

fn fuzz(folder: &Path, target: &str, build: &Path, seconds: u32, bytes_max: u32) -> Result<()> {
    // The same versions as everywhere; what only the target needs is added.
    fs::copy(repo::root().join("Cargo.lock"), folder.join("Cargo.lock")).context("copying Cargo.lock")?;
    let found = build.join("found").join(target);
    let corpus = found.join("corpus");
    fs::create_dir_all(&corpus).context("making the folder of inputs")?;
    // The code under test is safe Rust and needs no sanitizer; the flags of coverage are not stable.
    let mut command = cargo::cargo(["fuzz", "run", "--fuzz-dir", ".", "--sanitizer", "none", target]);
    command.current_dir(folder).env("CARGO_TARGET_DIR", build).env("RUSTC_BOOTSTRAP", "1");
    command.arg(corpus).arg(Path::new("seeds").join(target)).arg("--");
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={}/", found.display()));
    command.arg(format!("-max_len={bytes_max}")).arg("-timeout=10");
    cargo::run(&mut command)
}
