//! `cargo xtask <command>`: every developer command of the workspace, with nothing to install.
//!
//! Each command is one module. A command that reads only says what it found and exits with a failure when
//! something is wrong; a command that writes touches committed generated files and nothing else.

mod api;
mod bench;
mod cargo;
mod check;
mod contracts;
mod demo;
mod dev;
mod docs;
mod engines;
mod fix;
mod fuzz;
mod generated;
mod guests;
mod proof;
mod proto;
mod replay;
mod sim;
mod test;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of Symphony")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The read-only gate: format, lints, layers, tidy rules, generated files
    Check,
    /// Formats the code and writes the generated files again
    Fix,
    /// Builds the binaries, then runs the tests
    Test(test::Args),
    /// Starts the whole network on loopback
    Dev(dev::Args),
    /// Runs a demonstration
    Demo(demo::Args),
    /// Replays a journal and compares the state hash
    Replay(replay::Args),
    /// Simulates clusters with faults and liars, one for each seed
    Sim(sim::Args),
    /// Runs a proof over real processes
    Proof(proof::Args),
    /// Builds the guest modules from source and compares them with those that are committed
    Guests(guests::Args),
    /// Fetches the Move tool; builds, tests, measures and serves the contracts
    Move(contracts::Args),
    /// Runs the fuzz targets
    Fuzz(fuzz::Args),
    /// Generates the Rust code of the protobuf files
    Proto(proto::Args),
    /// Generates the error catalogue and the REST description
    Api(api::Args),
    /// Builds the book
    Docs,
    /// Runs every benchmark of the workspace
    Bench(bench::Args),
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Check => check::run(),
        Command::Fix => fix::run(),
        Command::Test(args) => test::run(&args),
        Command::Dev(args) => dev::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Proof(args) => proof::run(&args),
        Command::Guests(args) => guests::run(&args),
        Command::Move(args) => contracts::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Proto(args) => proto::run(&args),
        Command::Api(args) => api::run(&args),
        Command::Docs => docs::run(),
        Command::Bench(args) => bench::run(&args),
    }
}
