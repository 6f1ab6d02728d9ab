//! Adjustment records to messages.

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
    let counts = DriftKind::ALL.map(|kind| {
        let of_kind = |record: &&AdjustmentRecord| record.adjustment.drift.kind == kind;
        let open = adjustments.open().filter(|(_, record)| of_kind(record)).count();
        let found = (adjustments.standing.iter())
            .filter(|((of, _), _)| *of == kind)
            .filter_map(|(_, standing)| adjustments.records.get(&standing.found))
            .map(|record| u64::from(record.adjustment.occurrence));
        v1::DriftCount { kind: kind.as_str().to_owned(), open: open as u64, found: found.sum() }
    });
    let numbered = (from.max(1)..).map_while(|number| Some((number, adjustments.records.get(&number)?)));
    v1::Reconciliation {
        compared_ms: 0,
        complete: false,
        drifts: counts.to_vec(),
        open: adjustments.open().take(limit).map(|(number, record)| adjustment(number, record)).collect(),
        records: numbered.take(limit).map(|(number, record)| adjustment(number, record)).collect(),
        total: adjustments.records.len() as u64,
    }
}
