//! Reports of candidates for attributes, in the masters' machine (R051, R193): each Vault's once for each epoch, for as long as the
//! policy keeps them, and what the pool of an epoch shows of them.

use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::id::EpochId;
use symphony_types::table::Value;
use symphony_types::time::OrderedMillis;

use super::{Event, Refusal, State};
use crate::governance::candidate::{self, Pooled, SignedReport};

/// A report that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken(pub SignedReport);

impl Value for Taken {}

/// Takes a report. The same again changes nothing. **Errors**: those of [`candidate::check`]; `ADM-0005` for another one of the same epoch.
pub(super) fn record(state: &State, at: OrderedMillis, report: &SignedReport) -> Result<Vec<Event>, Refusal> {
    let known = state.candidates.get(&(report.body.epoch, report.body.vault.clone()));
    if known.is_some_and(|known| known.0 == *report) {
        return Ok(vec![]);
    }
    candidate::check(&state.governance, at, report)?;
    match known {
        Some(_) => Err(Code::IdempotencyConflict.into()),
        None => Ok(vec![Event::CandidatesReported { report: report.clone() }]),
    }
}

/// Keeps a report, and those no longer whose time is over.
pub(super) fn evolve(state: &mut State, at: OrderedMillis, report: &SignedReport) {
    let governance = &state.governance;
    let now = governance.epoch_of(at);
    let over = |epoch: EpochId| {
        let kept = governance.policy_in(epoch).candidates.as_ref().map_or(0, |pooled| pooled.epochs_kept);
        epoch.0.saturating_add(u64::from(kept)) < now.0
    };
    let over: Vec<_> = state.candidates.keys().filter(|(epoch, _)| over(*epoch)).cloned().collect();
    over.iter().for_each(|key| drop(state.candidates.remove(key)));
    state.candidates.insert((report.body.epoch, report.body.vault.clone()), Taken(report.clone()));
}

impl State {
    /// Epochs that there are reports of candidates of, in order.
    pub fn pooled(&self) -> Vec<EpochId> {
        let mut epochs: Vec<EpochId> = self.candidates.keys().map(|(epoch, _)| *epoch).collect();
        epochs.dedup();
        epochs
    }

    /// The pool of an epoch; nothing where the policy pools nothing.
    pub fn pool(&self, epoch: EpochId) -> Vec<Pooled> {
        let Some(policy) = &self.governance.policy_in(epoch).candidates else { return vec![] };
        let reports = self.candidates.values().map(|taken| &taken.0.body);
        candidate::pool(reports, epoch, policy.vaults_min)
    }
}
