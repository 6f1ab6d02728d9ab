//! `symphonyd restore`: the folder of a Vault out of its standby, while its node does not run (R062, R066).

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use symphony_depot::config::StoreConfig;
use symphony_vault::backup::{Wanted, bring_back};

use crate::config::NodeConfig;
use crate::network::Network;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The node's configuration file, which names the standby
    #[arg(long)]
    config: PathBuf,
    /// The backup to begin with, when the newest one is damaged
    #[arg(long)]
    backup: Option<u64>,
}

/// Brings the folder back and says what is in it. **Errors**: something is there already, or is not as it was written; nothing has
/// changed then.
pub(crate) fn run(args: &Args) -> Result<()> {
    let config = NodeConfig::load(&args.config)?;
    let network = Network::load(&config.network)?;
    let vault = config.vault.as_ref().context("the configuration is not that of an enterprise node")?;
    let standby = config.standby.as_ref().context("the configuration names no standby")?;
    let folder = config.folder.join("data");
    let (governance, number) = (&network.governance, args.backup);
    let segments = config.segments_store.as_ref().map(StoreConfig::settings).transpose()?;
    let wanted =
        Wanted { standby, folder: &folder, vault: (vault, &network.name), governance, number, segments };
    let custody = |draft: &std::path::Path| crate::seal::custody(&config, &draft.into());
    let restored = bring_back(&wanted, symphony_vault::node::clock(), custody, Arc::new(|_| Ok(())));
    let (number, frames, report) = restored.with_context(|| format!("restoring {}", folder.display()))?;
    println!("{vault}: backup {number} and {frames} later changes are in {}", folder.display());
    println!(
        "{vault}: {} people and {} records; {} people are erased",
        report.people, report.records, report.erased_people
    );
    Ok(())
}
