//! `symphony-devchain`: one subcommand a process, because the libraries that it loads end the process on bad input.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use symphony_devchain::compiler;

#[derive(Parser)]
#[command(name = "symphony-devchain", about = "Development chain of Symphony: Move contracts without a network")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds a Move package
    Build {
        /// The compiler's library
        #[arg(long)]
        compiler: PathBuf,
        /// The package's folder
        package: PathBuf,
    },
    /// Runs the unit tests of a Move package
    Test {
        /// The compiler's library
        #[arg(long)]
        compiler: PathBuf,
        /// Only tests whose name holds this
        #[arg(long)]
        filter: Option<String>,
        /// The package's folder
        package: PathBuf,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Build { compiler, package } => compiler::build(&compiler, &package),
        Command::Test { compiler, filter, package } => compiler::test(&compiler, &package, filter),
    }
}
