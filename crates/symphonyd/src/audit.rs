//! `symphonyd audit`: a range of a master's journal checked again, and what governed and where every task stood at its end (R135, R192, R217).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use symphony_consensus::replay::{Replayed, read_export, replay_range};
use symphony_master::machine::Protocol;
use symphony_protocol::governance::approval::Purpose;
use symphony_protocol::machine::State;
use symphony_protocol::settlement::payout::EpochStage;
use symphony_types::id::EpochId;
use symphony_types::time::OrderedMillis;

use crate::replay::exported;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A journal export, or the journal database of a master that does not run
    journal: PathBuf,
    /// The first height whose decision is made again; everything before is only followed
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// The last height
    #[arg(long)]
    to: Option<u64>,
    /// Up to the end of this epoch
    #[arg(long, conflicts_with_all = ["to", "at"])]
    epoch: Option<u64>,
    /// Up to this moment of ordered time, in milliseconds
    #[arg(long, conflicts_with = "to")]
    at: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Checks and reports. **Errors**: the first height that does not follow from the rules, or a range that is none.
pub(crate) fn run(args: &Args) -> Result<()> {
    let (checked, replayed) = exported(&args.journal, |path| audited(path, args))?;
    let told = told(checked, &replayed);
    if args.json {
        println!("{told}");
    } else {
        print!("{}", lines(&told));
    }
    Ok(())
}

fn audited(path: &Path, args: &Args) -> Result<(u64, Replayed<State>)> {
    let export = read_export(BufReader::new(File::open(path)?)).context("reading the journal")?;
    let genesis = export.genesis::<State>().context("reading the genesis")?;
    let (last, epoch, moment) =
        (args.to.unwrap_or(u64::MAX), args.epoch.map(EpochId), args.at.map(OrderedMillis));
    anyhow::ensure!(args.from <= last, "the range begins after its end");
    let within = |state: &State, height: u64, at: OrderedMillis| {
        // The calendar only grows by later epochs, so the one that was known then tells the same.
        height <= last
            && epoch.is_none_or(|epoch| state.governance.epoch_of(at) <= epoch)
            && moment.is_none_or(|moment| at <= moment)
    };
    let replayed =
        replay_range::<Protocol, _>(export, &genesis, args.from, within).context("replaying the journal")?;
    let checked = (replayed.head.height + 1).saturating_sub(args.from);
    anyhow::ensure!(checked > 0, "there is no entry in the range");
    Ok((checked, replayed))
}

/// What was so at the end of the range.
fn told(checked: u64, Replayed { head, state }: &Replayed<State>) -> Value {
    let governance = &state.governance;
    let registry = &governance.registry;
    let count = |words: &mut dyn Iterator<Item = &'static str>| {
        let mut counts = BTreeMap::<&str, u64>::new();
        words.for_each(|word| *counts.entry(word).or_default() += 1);
        counts
    };
    let unpaid =
        state.epochs.iter().filter(|(_, account)| !matches!(account.stage, EpochStage::Confirmed(_)));
    json!({
        "checked": checked,
        "height": head.height, "hash": head.hash.to_hex(), "at_ms": head.at.0, "epoch": governance.epoch_of(head.at).0,
        "governance": {
            "changes": governance.sequence.0,
            "policy_version": governance.version_at(head.at).0,
            "semantic_version": governance.semantics_at(head.at).version.0,
            "protocol_version": state.upgrade.active.0,
            "code": registry.active_code().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "serves": registry.can_serve(&registry.active_code(), &[Purpose::Slices, Purpose::Aggregation]),
            "vaults": registry.vaults.keys().map(ToString::to_string).collect::<Vec<_>>(),
            "proposals": count(&mut state.proposals.iter().map(|(_, known)| known.stage.as_str())),
        },
        "tasks": count(&mut state.tasks.values().map(|task| task.state().as_str())),
        "unpaid_epochs": unpaid.map(|(epoch, _)| epoch.0).collect::<Vec<_>>(),
    })
}

fn lines(told: &Value) -> String {
    let mut text = String::new();
    flat("", told, &mut text);
    text
}

fn flat(name: &str, value: &Value, text: &mut String) {
    match value {
        Value::Object(parts) => parts.iter().for_each(|(part, value)| {
            let name = if name.is_empty() { part.clone() } else { format!("{name}.{part}") };
            flat(&name, value, text);
        }),
        Value::String(word) => *text += &format!("{name:<28} {word}\n"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            *text += &format!("{name:<28} {value}\n");
        }
    }
}
