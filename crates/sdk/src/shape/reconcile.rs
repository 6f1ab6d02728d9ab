//! JSON shapes of reconciliation.

use serde::{Deserialize, Serialize};

shapes! {
    /// What reconciliation found between the masters' state, the chain and the Vaults, and what was done about it.
    Reconciliation {
        /// When both sides were last compared; zero before the first time.
        compared_ms: u64,
        /// Whether the chain and every Vault answered then.
        complete: bool,
        /// Every kind.
        drifts: Vec<DriftCount>,
        /// Findings whose repair is under way.
        open: Vec<AdjustmentEntry>,
        /// Adjustment records.
        records: Vec<AdjustmentEntry>,
        /// Records that there are.
        total: u64,
    }

    /// How often one kind of drift was found.
    DriftCount {
        kind: String,
        open: u64,
        found: u64,
    }

    /// One adjustment record.
    AdjustmentEntry {
        number: u64,
        kind: String,
        case: String,
        /// `found` or `settled`.
        step: String,
        /// `resubmit`, `anchor`, `release` or `record`.
        repair: String,
        occurrence: u32,
        /// What the masters' state says.
        here: String,
        /// What the chain or the Vault says.
        there: String,
        /// Of a drift of a payout.
        subject_epoch: Option<u64>,
        /// Of a batch.
        batch: String,
        /// Of a root or a budget.
        task_id: String,
        /// Of a budget.
        vault_id: String,
        epoch_id: u64,
        at_ms: u64,
    }
}
