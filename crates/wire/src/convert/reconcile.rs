//! Adjustment records to messages.

use std::collections::BTreeMap;

use symphony_protocol::artifact::adjustment::{AdjustmentStep, DriftKind, DriftSubject};
use symphony_protocol::machine::{AdjustmentRecord, Adjustments};

use crate::v1;

/// One record as users see it.
pub fn adjustment(number: u64, record: &AdjustmentRecord) -> v1::AdjustmentEntry {
    let said = &record.adjustment;
    let subject = &said.drift.subject;
    let mut entry = v1::AdjustmentEntry {
        number,
        kind: said.drift.kind.as_str().to_owned(),
        case: said.drift.kind.case().to_owned(),
        step: match said.step {
            AdjustmentStep::Found => "found",
            AdjustmentStep::Settled => "settled",
        }
        .to_owned(),
        repair: said.repair.as_str().to_owned(),
        occurrence: said.occurrence,
        here: said.drift.here.clone(),
        there: said.drift.there.clone(),
        subject_epoch: subject.epoch().map(|epoch| epoch.0),
        task_id: subject.task().map_or_else(Vec::new, |task| task.0.0.to_vec()),
        epoch_id: record.epoch.0,
        at_ms: record.at.0,
        ..Default::default()
    };
    match subject {
        DriftSubject::Batch(_, batch) => entry.batch = batch.0.to_vec(),
        DriftSubject::Budget(_, vault) => entry.vault_id = vault.to_string(),
        DriftSubject::Epoch(_) | DriftSubject::Anchor(..) => {}
    }
    entry
}

/// What reconciliation has found and done, as all masters know it: every kind, open findings, and the records from a number
/// on. When a master compared last is for that master to add.
pub fn reconciliation(adjustments: &Adjustments, from: u64, limit: usize) -> v1::Reconciliation {
    let mut counts: BTreeMap<DriftKind, (u64, u64)> = DriftKind::ALL.map(|kind| (kind, (0, 0))).into();
    for ((kind, _), standing) in &adjustments.standing {
        let found = adjustments.records.get(&standing.found).map(|record| record.adjustment.occurrence);
        let count = counts.entry(*kind).or_default();
        count.0 += u64::from(standing.settled.is_none());
        count.1 += u64::from(found.unwrap_or(0));
    }
    let counts = counts.into_iter();
    let drifts =
        counts.map(|(kind, (open, found))| v1::DriftCount { kind: kind.as_str().to_owned(), open, found });
    let numbered = (from.max(1)..).map_while(|number| Some((number, adjustments.records.get(&number)?)));
    v1::Reconciliation {
        compared_ms: 0,
        complete: false,
        drifts: drifts.collect(),
        open: adjustments.open().take(limit).map(|(number, record)| adjustment(number, record)).collect(),
        records: numbered.take(limit).map(|(number, record)| adjustment(number, record)).collect(),
        total: adjustments.records.len() as u64,
    }
}

#[cfg(test)]
mod tests {
    use symphony_protocol::artifact::adjustment::{Adjustment, Drift, Repair};
    use symphony_protocol::machine::Standing;
    use symphony_types::digest::Digest;
    use symphony_types::id::{EpochId, TaskId, VaultId};
    use symphony_types::time::OrderedMillis;

    use super::*;

    fn record(name: u8, kind: DriftKind, subject: DriftSubject, repair: Repair) -> AdjustmentRecord {
        let drift = Drift { kind, subject, here: format!("here {name}"), there: format!("there {name}") };
        let adjustment = Adjustment { drift, occurrence: 2, step: AdjustmentStep::Found, repair };
        AdjustmentRecord { adjustment, epoch: EpochId(9), at: OrderedMillis(1_000) }
    }

    /// R219, R220: every kind is counted, what is open stands apart, and records come from the one that is asked for.
    #[test]
    fn records_are_told_by_page_and_counted_by_kind() {
        let task = TaskId(Digest([7; 32]));
        let budget = DriftSubject::Budget(task, VaultId::new("vault-a").unwrap());
        let batch = DriftSubject::Batch(EpochId(3), Digest([8; 32]));
        let mut known = Adjustments::default();
        let records = [
            record(1, DriftKind::BudgetUnreleased, budget, Repair::Release),
            record(2, DriftKind::DuplicateSubmission, batch, Repair::Record),
        ];
        for (number, record) in (1..).zip(records) {
            let settled = (record.adjustment.repair == Repair::Record).then_some(number);
            let drift = &record.adjustment.drift;
            known.standing.insert((drift.kind, drift.subject.clone()), Standing { found: number, settled });
            known.records.insert(number, record);
        }
        let told = reconciliation(&known, 0, 10);
        assert_eq!((told.total, told.records.len(), told.open.len()), (2, 2, 1));
        let counted: Vec<_> =
            told.drifts.iter().map(|one| (one.kind.as_str(), one.open, one.found)).collect();
        assert_eq!(counted.len(), DriftKind::ALL.len());
        assert!(counted.contains(&("budget_unreleased", 1, 2)));
        assert!(
            counted.contains(&("duplicate_submission", 0, 2)) && counted.contains(&("reward_totals", 0, 0))
        );
        let open = &told.open[0];
        assert_eq!((open.number, open.vault_id.as_str(), open.subject_epoch), (1, "vault-a", None));
        assert_eq!((open.task_id.as_slice(), open.repair.as_str()), (&[7; 32][..], "release"));
        let last = reconciliation(&known, 2, 10).records;
        assert_eq!(last.len(), 1);
        assert_eq!((last[0].batch.as_slice(), last[0].subject_epoch), (&[8; 32][..], Some(3)));
        assert_eq!(
            (last[0].here.as_str(), last[0].there.as_str(), last[0].step.as_str()),
            ("here 2", "there 2", "found")
        );
        assert!(reconciliation(&known, 3, 10).records.is_empty());
        assert_eq!(reconciliation(&known, 1, 1).records.len(), 1);
    }
}
