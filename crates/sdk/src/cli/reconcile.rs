//! `symphony reconcile`: what drifted apart between masters, chain and Vaults, and what was done about it.

use std::process::ExitCode;

use anyhow::Result;
use symphony_sdk::shape::reconcile::{AdjustmentEntry, Reconciliation};

use super::run::Session;
use super::show;

/// The exit code while a drift is open.
pub(super) const DRIFTED: u8 = 4;
/// Records that are shown unless a first one is named: the last ones.
const SHOWN: u32 = 20;

impl Session {
    /// Shows drifts and records. The end says whether a drift is open.
    pub(super) async fn reconcile(&self, compare: bool, from: Option<u64>) -> Result<ExitCode> {
        let client = self.profile.client()?;
        let limit = if from.is_some() { 0 } else { SHOWN };
        let mut told = client.reconciliation(compare, from.unwrap_or(1), limit).await?;
        if from.is_none() && told.total > u64::from(SHOWN) {
            let last = told.total - u64::from(SHOWN) + 1;
            told = client.reconciliation(false, last, SHOWN).await?;
        }
        show::print(self.json, &told, human);
        Ok(ending(&told))
    }
}

fn ending(told: &Reconciliation) -> ExitCode {
    if told.drifts.iter().all(|kind| kind.open == 0) { ExitCode::SUCCESS } else { ExitCode::from(DRIFTED) }
}

/// Drifts that are open, the records, and since when that is so.
fn human(told: &Reconciliation) -> String {
    let compared = match (told.compared_ms, told.complete) {
        (0, _) => "never compared".to_owned(),
        (at, true) => format!("compared at {at} ms"),
        (at, false) => format!("compared at {at} ms; the chain or a vault did not answer"),
    };
    let open = if told.open.is_empty() {
        "no drift".to_owned()
    } else {
        show::table(["#", "drift", "of", "here", "there", "repair"], told.open.iter().map(finding))
    };
    if told.records.is_empty() {
        return format!("{open}\n{compared}");
    }
    let records = told.records.iter().map(|record| {
        let [number, drift, of, here, there, repair] = finding(record);
        [number, record.at_ms.to_string(), drift, of, here, there, repair, record.step.clone()]
    });
    let head = ["#", "at (ms)", "drift", "of", "here", "there", "repair", "step"];
    format!("{open}\n{compared}\n{} records\n{}", told.total, show::table(head, records))
}

fn finding(entry: &AdjustmentEntry) -> [String; 6] {
    [
        entry.number.to_string(),
        entry.kind.clone(),
        subject(entry),
        entry.here.clone(),
        entry.there.clone(),
        entry.repair.clone(),
    ]
}

/// What a record is about, in a word.
fn subject(entry: &AdjustmentEntry) -> String {
    let epoch = entry.subject_epoch.map(|epoch| format!("epoch {epoch}"));
    let named = [("batch", &entry.batch), ("task", &entry.task_id), ("vault", &entry.vault_id)];
    let named = named.into_iter().filter(|(_, value)| !value.is_empty());
    let parts = epoch.into_iter().chain(named.map(|(name, value)| format!("{name} {value}")));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use symphony_sdk::shape::reconcile::DriftCount;

    use super::*;

    fn told(open: u64) -> Reconciliation {
        let entry = AdjustmentEntry {
            number: 1,
            kind: "budget_unreleased".into(),
            case: "budget two-phase drift (d)".into(),
            step: "found".into(),
            repair: "release".into(),
            occurrence: 1,
            here: "dead".into(),
            there: "reserved".into(),
            subject_epoch: None,
            batch: String::new(),
            task_id: "ab".into(),
            vault_id: "vault-a".into(),
            epoch_id: 7,
            at_ms: 1_000,
        };
        let (of_kind, records) = (entry.kind.clone(), vec![entry.clone(); usize::from(open > 0)]);
        let drifts = vec![DriftCount { kind: of_kind, open, found: open }];
        let open: Vec<_> = records.clone();
        Reconciliation { compared_ms: 5, complete: true, drifts, total: records.len() as u64, open, records }
    }

    /// R219: without a drift it says so and ends well; with one it names it and ends otherwise.
    #[test]
    fn an_open_drift_is_named_and_shows_in_the_exit_code() {
        assert_eq!(human(&told(0)), "no drift\ncompared at 5 ms");
        assert_eq!(format!("{:?}", ending(&told(0))), format!("{:?}", ExitCode::SUCCESS));
        let text = human(&told(1));
        for word in
            ["budget_unreleased", "task ab, vault vault-a", "dead", "reserved", "release", "1 records"]
        {
            assert!(text.contains(word), "{word} in {text}");
        }
        assert_eq!(format!("{:?}", ending(&told(1))), format!("{:?}", ExitCode::from(DRIFTED)));
    }
}
