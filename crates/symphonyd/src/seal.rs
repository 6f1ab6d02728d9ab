//! `symphonyd seal`: the secrets of a Vault's folder go under a passphrase, once, while its node does not run (R076); and what keeps them
//! afterwards.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use symphony_standby::place::Place;
use symphony_vault::custody::passphrase::Passphrase;
use symphony_vault::custody::{Bare, Custody};

use crate::config::NodeConfig;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The node's configuration file, which names the passphrase
    #[arg(long)]
    config: PathBuf,
}

/// Seals what is bare. **Errors**: no passphrase is named, it is another than before, or the file system.
pub(crate) fn run(args: &Args) -> Result<()> {
    let config = NodeConfig::load(&args.config)?;
    let passphrase = passphrase(&config)?.context("the configuration names no passphrase")?;
    let place = config.place()?;
    place.named()?;
    let folder = place.folder();
    let sealed = Passphrase::adopt(&place, passphrase.as_bytes())
        .with_context(|| format!("sealing the secrets in {}", folder.display()))?;
    println!("{sealed} secrets sealed in {}", folder.display());
    Ok(())
}

/// What keeps the secrets of a Vault's folder: a passphrase when the configuration names one. **Errors**: it cannot be read, or does
/// not open them.
pub(crate) fn custody(config: &NodeConfig, place: &Place) -> Result<Arc<dyn Custody>> {
    let folder = place.folder();
    let Some(passphrase) = passphrase(config)? else { return Ok(Arc::new(Bare::of(folder)?)) };
    let opened = Passphrase::open(place, passphrase.as_bytes());
    Ok(Arc::new(opened.with_context(|| format!("opening the secrets in {}", folder.display()))?))
}

fn passphrase(config: &NodeConfig) -> Result<Option<String>> {
    let text = match (&config.passphrase_file, &config.passphrase_env) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            anyhow::bail!("the passphrase is in a file or in the environment: the configuration names both")
        }
        (Some(file), None) => {
            std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?
        }
        (None, Some(name)) => std::env::var(name).with_context(|| format!("reading {name}"))?,
    };
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    ensure!(!text.is_empty(), "the passphrase is empty");
    Ok(Some(text))
}
