//! `symphonyd replay`: the state again from a master's journal, every hash compared (R135, R217).

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use symphony_consensus::journal::export_file;
use symphony_consensus::machine::Genesis;
use symphony_consensus::replay::{read_export, replay};
use symphony_master::machine::Protocol;
use symphony_protocol::machine::State;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A journal export, or the journal database of a master that does not run
    journal: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Replays and reports. **Errors**: any entry that does not follow from the rules, by its height.
pub(crate) fn run(args: &Args) -> Result<()> {
    let (name, height, state, tasks) = exported(&args.journal, replay_export)?;
    if args.json {
        println!(
            "{}",
            serde_json::json!({"network": name, "height": height, "state": state, "tasks": tasks})
        );
    } else {
        println!(
            "network {name}: {height} entries replayed, {tasks} tasks, state {state}: every hash agrees"
        );
    }
    Ok(())
}

/// Works on an export, or on one that is made of a journal database. **Errors**: the journal cannot be exported, or those of the work.
pub(crate) fn exported<T>(journal: &Path, work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    if journal.extension().is_none_or(|extension| extension != "redb") {
        return work(journal);
    }
    let folder = std::env::temp_dir().join(format!("symphony-replay-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("export");
    // A copy, so that nothing is ever written to a journal that is only looked at.
    let copy = folder.join("journal.redb");
    let made = std::fs::copy(journal, &copy).map_err(anyhow::Error::from).and_then(|_| {
        export_file(&copy, &mut File::create(&path)?).context(
            "exporting the journal: stop the master first, a copy of a journal in use is not consistent",
        )
    });
    let outcome = made.and_then(|_| work(&path));
    std::fs::remove_dir_all(&folder)?;
    outcome
}

pub(crate) fn replay_export(path: &Path) -> Result<(String, u64, String, usize)> {
    let export = read_export(BufReader::new(File::open(path)?)).context("reading the journal")?;
    let genesis: Genesis<State> = export.genesis().context("reading the genesis")?;
    let replayed = replay::<Protocol, _>(export, &genesis).context("replaying the journal")?;
    Ok((genesis.name, replayed.head.height, replayed.head.state.to_string(), replayed.state.tasks.len()))
}
