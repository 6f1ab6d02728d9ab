//! Adjustment records in the machine: what reconciliation found and what is done about it, appended and never edited (R219,
//! R220). No other part of the state changes.
//!
//! | what comes, of one kind and subject | answer |
//! |---|---|
//! | the first finding, or the next one once the last is settled | recorded |
//! | the same finding again, or an earlier one | a repetition: nothing happens |
//! | another finding while one stands | refused |
//! | the settlement of the finding that stands | recorded |
//! | a settlement of none that stands | refused, or a repetition |
//! | a record that fewer than a majority endorse, or one too many in its epoch | refused |
//!
//! A finding whose repair is the record is settled with it.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::id::EpochId;
use symphony_types::key::Document as _;
use symphony_types::limits::ADJUSTMENTS_PER_EPOCH_MAX;
use symphony_types::table::{Table, Value};
use symphony_types::time::OrderedMillis;

use super::decide::epoch_at;
use super::{Event, Refusal, State};
use crate::artifact::adjustment::{
    Adjustment, AdjustmentStep, DriftKind, DriftSubject, EndorsedAdjustment, Repair,
};
use crate::reconcile::{chain, check};

/// All adjustment records, and where each drift stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustments {
    /// Records by number, from one.
    pub records: Table<u64, AdjustmentRecord>,
    /// Where each drift that was ever found stands.
    pub standing: Table<(DriftKind, DriftSubject), Standing>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdjustmentRecord {
    /// What it says.
    pub adjustment: Adjustment,
    /// The epoch that it was ordered in.
    pub epoch: EpochId,
    /// When.
    pub at: OrderedMillis,
}

impl Value for AdjustmentRecord {}

/// Where a drift stands: its last finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The record of the finding.
    pub found: u64,
    /// The record that settled it; its own when its repair is the record.
    pub settled: Option<u64>,
}

impl Value for Standing {}

impl Adjustments {
    /// The last finding of a drift.
    pub fn last(&self, kind: DriftKind, subject: &DriftSubject) -> Option<(&Adjustment, Standing)> {
        let standing = *self.standing.get(&(kind, subject.clone()))?;
        Some((&self.records.get(&standing.found)?.adjustment, standing))
    }

    /// Findings that are not settled, with their records' numbers.
    pub fn open(&self) -> impl Iterator<Item = (u64, &AdjustmentRecord)> {
        let open = self.standing.values().filter(|standing| standing.settled.is_none());
        open.filter_map(|standing| Some((standing.found, self.records.get(&standing.found)?)))
    }

    /// How many records an epoch has.
    fn in_epoch(&self, epoch: EpochId) -> usize {
        self.records.values().rev().take_while(|record| record.epoch == epoch).count()
    }

    /// The number of the next record.
    fn next(&self) -> u64 {
        u64::try_from(self.records.len()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// Takes a record. **Errors**: `ADM-0001` one that says what none may, `ADM-0004` and `ADM-0012` an unknown subject,
/// `GOV-0005` without the word of a majority, `ADM-0005` another finding under the same number, `EXE-0007` out of its turn,
/// `ADM-0018` too many in one epoch.
pub(super) fn record(
    state: &State,
    at: OrderedMillis,
    endorsed: &EndorsedAdjustment,
) -> Result<Vec<Event>, Refusal> {
    let adjustment = &endorsed.body;
    check(adjustment)?;
    known(state, adjustment)?;
    if !state.governance.registry.endorsed(endorsed) {
        return Err(Code::Undecided.into());
    }
    if !fresh(&state.adjustments, adjustment)? {
        return Ok(vec![]);
    }
    let epoch = epoch_at(state, at);
    if state.adjustments.in_epoch(epoch) >= ADJUSTMENTS_PER_EPOCH_MAX {
        let detail = String::from("the epoch has as many adjustment records as it may");
        return Err(Refusal { code: Code::RateLimited, detail });
    }
    let number = state.adjustments.next();
    Ok(vec![Event::AdjustmentRecorded { number, adjustment: adjustment.clone(), epoch }])
}

/// Whether there is what a record is about. A budget may be of a task that nobody knows: that is one of the drifts.
fn known(state: &State, adjustment: &Adjustment) -> Result<(), Code> {
    let (found, code) = match &adjustment.drift.subject {
        DriftSubject::Epoch(epoch) | DriftSubject::Batch(epoch, _) => {
            (chain::issued(state, *epoch).is_some(), Code::NotFound)
        }
        DriftSubject::Anchor(epoch, task) => {
            (chain::anchoring(state, *epoch, task).is_some(), Code::NotFound)
        }
        DriftSubject::Budget(_, vault) => {
            (state.governance.registry.vaults.contains_key(vault), Code::VaultUnknown)
        }
    };
    if found { Ok(()) } else { Err(code) }
}

/// Whether a record comes in its turn and says something new.
fn fresh(adjustments: &Adjustments, adjustment: &Adjustment) -> Result<bool, Code> {
    let (drift, occurrence) = (&adjustment.drift, adjustment.occurrence);
    let last = adjustments.last(drift.kind, &drift.subject);
    let last_occurrence = last.map_or(0, |(found, _)| found.occurrence);
    if occurrence < last_occurrence {
        return Ok(false);
    }
    match (adjustment.step, last) {
        (AdjustmentStep::Found, Some((found, _))) if occurrence == found.occurrence => {
            if found.digest() == adjustment.digest() { Ok(false) } else { Err(Code::IdempotencyConflict) }
        }
        (AdjustmentStep::Found, last) => {
            let settled = last.is_none_or(|(_, standing)| standing.settled.is_some());
            let next = last_occurrence.checked_add(1) == Some(occurrence);
            if settled && next { Ok(true) } else { Err(Code::IllegalTransition) }
        }
        (AdjustmentStep::Settled, Some((found, standing))) if occurrence == found.occurrence => {
            if found.drift != *drift {
                return Err(Code::IdempotencyConflict);
            }
            Ok(standing.settled.is_none())
        }
        (AdjustmentStep::Settled, _) => Err(Code::IllegalTransition),
    }
}

/// What an event does to the records.
pub(super) fn evolve(state: &mut State, at: OrderedMillis, event: &Event) {
    let Event::AdjustmentRecorded { number, adjustment, epoch } = event else { return };
    let key = (adjustment.drift.kind, adjustment.drift.subject.clone());
    let standing = match adjustment.step {
        AdjustmentStep::Found => {
            let settled = (adjustment.repair == Repair::Record).then_some(*number);
            Standing { found: *number, settled }
        }
        AdjustmentStep::Settled => {
            let found = state.adjustments.standing.get(&key).map_or(*number, |standing| standing.found);
            Standing { found, settled: Some(*number) }
        }
    };
    state.adjustments.standing.insert(key, standing);
    let record = AdjustmentRecord { adjustment: adjustment.clone(), epoch: *epoch, at };
    state.adjustments.records.insert(*number, record);
}
