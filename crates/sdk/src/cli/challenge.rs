//! `symphony challenge`: dispute a result, and see what became of it.

use anyhow::{Context as _, Result};
use comfy_table::Table;
use symphony_sdk::challenge::Objection;
use symphony_sdk::shape::challenge::ChallengeList;
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;

use super::args::Challenge;
use super::run::Session;
use super::show;

impl Session {
    pub(super) async fn challenge(&self, command: Challenge) -> Result<()> {
        let list = match command {
            Challenge::File { task, grounds, round, exhibit } => {
                let mut exhibits = Vec::new();
                for file in exhibit {
                    let bytes =
                        std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
                    exhibits.push(Digest::of_bytes(&bytes));
                }
                let objection = Objection { round, grounds, exhibits };
                self.profile.submitter()?.challenge(TaskId(task), &objection).await?
            }
            Challenge::List { task } => self.profile.client()?.challenges(TaskId(task)).await?,
        };
        show::print(self.json, &list, table);
        Ok(())
    }
}

fn table(list: &ChallengeList) -> String {
    let mut table = Table::new();
    table.set_header(["#", "disputed", "state", "by", "ruling", "bond", "grounds"]);
    for challenge in &list.challenges {
        let disputed = match challenge.round {
            0 => "evidence".to_owned(),
            round => format!("round {round}"),
        };
        for filing in &challenge.filings {
            let ruling = match (filing.ruling.as_str(), filing.code.as_str()) {
                ("", _) => "under review".to_owned(),
                (ruling, "") => ruling.to_owned(),
                (ruling, code) => format!("{ruling}: {code}"),
            };
            table.add_row([
                &challenge.number.to_string(),
                &disputed,
                &challenge.state,
                &filing.challenger,
                &ruling,
                &format!("{} {}", show::sym(filing.bond_base), filing.bond),
                &filing.grounds,
            ]);
        }
    }
    for penalty in &list.penalties {
        for liable in &penalty.liable {
            table.add_row([
                &penalty.challenge.to_string(),
                &penalty.fault,
                "penalty_recorded",
                &format!("{} {}", liable.capacity, liable.actor),
                &penalty.code,
                &show::sym(liable.amount_base),
                &penalty.record,
            ]);
        }
    }
    format!(
        "task    {}\nstate   {}\nbond    {}\n{table}",
        list.task_id,
        list.task_state,
        show::sym(list.bond_base)
    )
}
