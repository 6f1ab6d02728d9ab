//! `symphonyd check`: everything that a Vault keeps, looked at while its node does not run (R078).

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::config::NodeConfig;
use crate::network::Network;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The node's configuration file
    #[arg(long)]
    config: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Prints what was found. **Errors**: the Vault cannot be opened, or something is not as it was written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let config = NodeConfig::load(&args.config)?;
    let network = Network::load(&config.network)?;
    let vault = config.vault.as_ref().context("the configuration is not that of an enterprise node")?;
    let (folder, clock) = (config.folder.join("data"), symphony_vault::node::clock());
    let report = symphony_vault::check::folder(
        &folder,
        vault,
        &network.name,
        &network.governance,
        clock,
        config.keeping(&folder.as_path().into())?,
    )?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        let (people, records, documents) = (report.people, report.records, report.documents);
        println!(
            "{vault}: {} people and {} of their records are erased",
            report.erased_people, report.erased_records
        );
        println!(
            "{vault}: {} records have ended, because they were kept for their time",
            report.ended_records
        );
        println!(
            "{vault}: {people} people, {records} records, {documents} documents, {} ledger entries, {} epochs hold",
            report.entries, report.epochs
        );
        report.faults.iter().for_each(|fault| println!("{fault}"));
    }
    ensure!(report.faults_total == 0, "{} faults", report.faults_total);
    Ok(())
}
