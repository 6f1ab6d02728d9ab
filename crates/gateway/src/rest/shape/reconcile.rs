//! JSON shapes of reconciliation.

use serde::Serialize;
use symphony_wire::v1;
use utoipa::ToSchema;

use super::{each, read, same};

answers! {
    /// What reconciliation found between the masters' state, the chain and the Vaults, and what was done about it.
    Reconciliation {
        /// When both sides were last compared; 0 before the first time.
        compared_ms: u64 = same;
        /// Whether the chain and every Vault answered then.
        complete: bool = same;
        /// Every kind of drift.
        drifts: Vec<DriftCount> = each;
        /// Findings whose repair is under way.
        open: Vec<AdjustmentEntry> = each;
        /// Adjustment records, from the one that was asked for.
        records: Vec<AdjustmentEntry> = each;
        /// Records that there are.
        total: u64 = same;
    }

    /// How often one kind of drift was found.
    DriftCount {
        kind: String = same;
        /// Findings whose repair is under way.
        open: u64 = same;
        /// Findings ever.
        found: u64 = same;
    }

    /// One adjustment record.
    AdjustmentEntry {
        /// From 1.
        number: u64 = same;
        /// Such as `lost_confirmation`.
        kind: String = same;
        /// The specification's words for it.
        case: String = same;
        /// `found` or `settled`.
        step: String = same;
        /// `resubmit`, `anchor`, `release` or `record`.
        repair: String = same;
        /// How often this was found of the same subject, from 1.
        occurrence: u32 = same;
        /// What the masters' state says.
        here: String = same;
        /// What the chain or the Vault says.
        there: String = same;
        /// Of a drift of a payout.
        subject_epoch: Option<u64> = same;
        /// Of a batch: its id.
        batch: String = hex::encode;
        /// Of a root or a budget.
        task_id: String = hex::encode;
        /// Of a budget.
        vault_id: String = same;
        /// In which it was ordered.
        epoch_id: u64 = same;
        at_ms: u64 = same;
    }
}
