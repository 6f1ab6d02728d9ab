//! Replays a journal with `symphony replay` and compares the state hash (R217).

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The journal's file or folder
    journal: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let journal =
        args.journal.canonicalize().with_context(|| format!("opening {}", args.journal.display()))?;
    cargo::build_bins()?;
    cargo::run(cargo::program("symphony").arg("replay").arg(journal))
}
