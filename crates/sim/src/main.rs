//! `symphony-sim`: runs seeds of the simulator, or replays one with a trace that people can read.

use anyhow::{Result, bail};
use clap::Parser;
use symphony_sim::run::{Outcome, run};
use symphony_sim::scenario::Scenario;

#[derive(Parser)]
#[command(name = "symphony-sim", about = "Simulates a cluster of three masters out of a seed")]
struct Cli {
    /// How many seeds to run
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Replays one seed and prints what happens
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if let Some(seed) = cli.seed {
        let outcome = run(Scenario::of(seed), true);
        print(&outcome);
        return verdict(&[outcome]);
    }
    let mut failed = Vec::new();
    let (mut heights, mut joined) = (0, 0);
    for seed in cli.first..cli.first.saturating_add(cli.seeds) {
        let outcome = run(Scenario::of(seed), false);
        heights += outcome.height;
        joined += outcome.joined;
        if let Some(violation) = &outcome.violation {
            println!("seed {seed} ({:?}): {violation}", outcome.scenario.theme);
            failed.push(outcome);
        }
    }
    println!("{} seeds, {heights} heights, {joined} states taken, {} failed", cli.seeds, failed.len());
    if let Some(first) = failed.first() {
        print(&run(first.scenario.clone(), true));
    }
    verdict(&failed)
}

fn print(outcome: &Outcome) {
    for line in &outcome.lines {
        println!("{line}");
    }
    println!(
        "seed {} ({:?}): height {}, {} requests answered, {} steps, trace {}",
        outcome.scenario.seed,
        outcome.scenario.theme,
        outcome.height,
        outcome.answered.0,
        outcome.steps,
        outcome.trace
    );
}

fn verdict(outcomes: &[Outcome]) -> Result<()> {
    let broken: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.violation.as_ref().map(|violation| (outcome.scenario.seed, violation)))
        .collect();
    match broken.first() {
        Some((seed, violation)) => bail!("seed {seed}: {violation}"),
        None => Ok(()),
    }
}
