//! `symphonyd simulate`: what another policy would have changed in refusals and rewards (R155, R188).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use symphony_consensus::replay::read_export;
use symphony_protocol::artifact::RecipientClass;
use symphony_protocol::governance::policy::Policy;
use symphony_protocol::machine::simulate::{Comparison, Fate, Rewards, Simulation};
use symphony_protocol::machine::{Event, Order, State};
use symphony_types::amount::Sym;
use symphony_types::id::{EpochId, TaskId};
use symphony_wire::documents::decode;

use crate::replay::{exported, replay_export};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The other policy, TOML
    policy: PathBuf,
    /// A journal export, or the journal database of a master that does not run
    journal: PathBuf,
    /// The first epoch
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// The last epoch
    #[arg(long, default_value_t = u64::MAX)]
    to: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Replays under both policies and reports. **Errors**: the policy is none or not sound, or the journal does not verify.
pub(crate) fn run(args: &Args) -> Result<()> {
    let text = std::fs::read_to_string(&args.policy)
        .with_context(|| format!("reading {}", args.policy.display()))?;
    let policy: Policy = toml::from_str(&text).context("reading the policy")?;
    policy.check().map_err(anyhow::Error::msg).context("the policy is not sound")?;
    let tasks = exported(&args.journal, |path| {
        // A journal that does not follow from the rules says nothing about other rules.
        replay_export(path)?;
        simulated(path, policy, (args.from, args.to))
    })?;
    if args.json {
        println!(
            "{}",
            Value::Object(tasks.iter().map(|(task, one)| (task.to_string(), told(one))).collect())
        );
    } else {
        print!("{}", lines(&tasks));
    }
    Ok(())
}

fn simulated(path: &Path, policy: Policy, (from, to): (u64, u64)) -> Result<BTreeMap<TaskId, Comparison>> {
    let mut export = read_export(BufReader::new(File::open(path)?)).context("reading the journal")?;
    let genesis = export.genesis::<State>().context("reading the genesis")?.state;
    let mut simulation = Simulation::new(genesis, policy, EpochId(from)..=EpochId(to))
        .map_err(|code| anyhow::anyhow!("{code}: {}", code.title()))?;
    while let Some(entry) = export.next_entry()? {
        let order: Order = decode(&entry.command).context("reading a command")?;
        let events: Vec<Event> = decode(&entry.events).context("reading events")?;
        simulation.take(entry.at, &order, &events);
    }
    Ok(simulation.finish())
}

fn lines(tasks: &BTreeMap<TaskId, Comparison>) -> String {
    let mut text = String::new();
    let (mut before, mut after) = (Rewards::new(), Rewards::new());
    for (task, Comparison { epoch, actual, supposed }) in tasks {
        add(&mut before, actual);
        add(&mut after, supposed);
        if actual != supposed {
            text += &format!("{task}  epoch {epoch}  {} -> {}\n", word(actual), word(supposed));
        }
    }
    text += &format!("{} requests\n", tasks.len());
    for class in before.keys().chain(after.keys()).collect::<std::collections::BTreeSet<_>>() {
        let of = |rewards: &Rewards| rewards.get(class).copied().unwrap_or_default();
        text += &format!("{:<14} {} -> {}\n", name(*class), of(&before).0, of(&after).0);
    }
    text
}

fn add(rewards: &mut Rewards, fate: &Fate) {
    if let Fate::Settled(earned) = fate {
        for (class, amount) in earned {
            let sum = rewards.entry(*class).or_default();
            *sum = Sym(sum.0.saturating_add(amount.0));
        }
    }
}

fn word(fate: &Fate) -> String {
    match fate {
        Fate::Refused(code) => format!("refused {code}"),
        Fate::Admitted => "admitted".to_owned(),
        Fate::Settled(rewards) => {
            let total: u128 = rewards.values().map(|amount| u128::from(amount.0)).sum();
            format!("settled {total} base units")
        }
    }
}

fn told(Comparison { epoch, actual, supposed }: &Comparison) -> Value {
    let fate = |fate: &Fate| match fate {
        Fate::Refused(code) => json!({"state": "refused", "code": code.as_str()}),
        Fate::Admitted => json!({"state": "admitted"}),
        Fate::Settled(rewards) => {
            let rewards =
                rewards.iter().map(|(class, amount)| (name(*class).to_owned(), json!(amount.0.to_string())));
            json!({"state": "settled", "rewards": Value::Object(rewards.collect())})
        }
    };
    json!({"epoch": epoch.0, "actual": fate(actual), "supposed": fate(supposed)})
}

const fn name(class: RecipientClass) -> &'static str {
    match class {
        RecipientClass::Contributors => "contributors",
        RecipientClass::VaultOperator => "vault_operator",
        RecipientClass::Executor => "executor",
        RecipientClass::Aggregator => "aggregator",
        RecipientClass::Verifier => "verifier",
        RecipientClass::Treasury => "treasury",
    }
}
