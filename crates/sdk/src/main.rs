//! `symphony`: the platform from a terminal (R207). Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 evidence
//! that does not verify.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    cli::run::main(cli::args::Cli::parse()).await
}
