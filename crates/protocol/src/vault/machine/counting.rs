//! What it costs to be counted in a report of candidates for attributes (R051, R063, R065, R067).
//!
//! It is consumed before any record is read, once for an epoch, of those who consented and can afford it; like any other use it is in
//! their budget's history.

use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{EpochId, PolicyVersion, TaskId, UsageScope};
use symphony_types::subjects::SubjectSet;
use symphony_types::time::OrderedMillis;

use super::{Event, State};
use crate::governance::candidate;
use crate::vault::ledger::Carried;

/// What a report takes of people's budgets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// In this scope.
    pub scope: UsageScope,
    /// Under these limits.
    pub policy: PolicyVersion,
    /// Of each person.
    pub epsilon: Epsilon,
    /// Who is counted.
    pub subjects: SubjectSet,
}

impl Charge {
    pub(super) fn carried(&self, task: &TaskId) -> Carried {
        let Self { scope, policy, epsilon, subjects } = self.clone();
        Carried { scope, policy, epsilon, subjects, under: task.0 }
    }
}

impl State {
    /// Who is counted in the report of an epoch: nobody before it is charged.
    pub fn counted(&self, epoch: EpochId) -> SubjectSet {
        let entry = self.ledger.entry(&candidate::charge(&self.charter.vault, epoch));
        entry.map_or_else(SubjectSet::new, |entry| entry.reserved.set().clone())
    }
}

/// Charges those who consented and can afford it; once for an epoch, and nothing when that is nobody. **Errors**: `GOV-0002` while the
/// epoch goes on, `GOV-0023` when its policy pools nothing, `VLT-0018` while everything moves to another Vault.
pub(super) fn charge(
    state: &State,
    at: OrderedMillis,
    epoch: EpochId,
    subjects: &SubjectSet,
) -> Result<Vec<Event>, Code> {
    let charter = &state.charter;
    let task = candidate::charge(&charter.vault, epoch);
    if state.ledger.entry(&task).is_some() {
        return Ok(vec![]);
    }
    state.moves.grows()?;
    if charter.calendar.epoch_of(at) <= epoch {
        return Err(Code::EpochOpen);
    }
    let version = charter.calendar.version_in(epoch);
    let policy = charter.policy(version)?;
    let Some(pooled) = &policy.candidates else { return Err(Code::CandidatesClosed) };
    let (scope, epsilon) = (pooled.scope.clone(), pooled.epsilon);
    let subjects = state.eligible(&scope, epsilon, policy, at).intersection(subjects);
    if subjects.is_empty() {
        return Ok(vec![]);
    }
    let charge = Charge { scope, policy: version, epsilon, subjects };
    Ok(vec![Event::ReportCharged { task, charge }])
}
