//! What the council decides, in the machine: motions become events about proposals, an enacted change is enacted in the same
//! step, and work that nobody may do any more ends there (R128, R129, R187).
//!
//! | a task when the code that it was admitted with is revoked | what becomes of it |
//! |---|---|
//! | other active code of its envelope can serve it | it goes on; nothing is sealed to the revoked code |
//! | slices, rounds, the aggregation or the reading are still to be done | rejected: the lock goes back, reservations are released |
//! | the work is done: verifying or awaiting settlement | it goes on, judged by what held when it was admitted |
//!
//! | a task when a Vault that has a share in it is suspended | what becomes of it |
//! |---|---|
//! | slices or rounds are still to be done, and the quorum holds without that Vault | it goes on; what that Vault still sends does not count |
//! | slices or rounds are still to be done, and the quorum does not hold | rejected with `VLT-0022`: the lock goes back, reservations are released |
//! | a document of that Vault is being read | rejected with `VLT-0022` |
//! | the work is done: aggregating, verifying or awaiting settlement | it goes on, and what was earned by it is paid |

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::time::OrderedMillis;

use super::decide::close;
use super::{Event, ParseStage, Refusal, State, parse};
use crate::governance::Governance;
use crate::governance::approval::Purpose;
use crate::governance::change::Change;
use crate::governance::membership::MemberStatus;
use crate::governance::proposal::{self, Motion, ProposalEvent};
use crate::lifecycle::{Stage, TaskState};
use crate::settlement::payout::ContributorAccount;

/// What a motion makes happen. **Errors**: those of [`proposal::decide`].
pub(super) fn motion(state: &State, at: OrderedMillis, motion: &Motion) -> Result<Vec<Event>, Refusal> {
    let events = proposal::decide(&state.proposals, &state.governance, at, motion)?;
    Ok(with_ends(state, at, events, &BTreeSet::new()))
}

/// What time makes happen to proposals; `closing` are tasks that end in the same decision.
pub(super) fn pass(state: &State, at: OrderedMillis, closing: &BTreeSet<TaskId>) -> Vec<Event> {
    with_ends(state, at, proposal::pass(&state.proposals, &state.governance, at), closing)
}

/// What an event does to governance and its proposals.
pub(super) fn evolve(state: &mut State, at: OrderedMillis, event: &ProposalEvent) {
    state.proposals.evolve(at, event);
    if let ProposalEvent::Executed { entry } = event {
        state.governance.enact(entry);
        if let Change::AdmitEnterprise { enterprise } = &entry.proposal.body.change {
            state.contributors.insert(enterprise.vault.clone(), ContributorAccount::default());
        }
    }
}

impl State {
    /// Where the enterprise of a Vault stands at a moment: one that leaves is held as long as a task that it has a part in is open, or
    /// its people have earned what is not paid. `None` where there is no such Vault.
    pub fn status(&self, vault: &VaultId, at: OrderedMillis) -> Option<MemberStatus> {
        let status = self.governance.registry.status(vault, self.governance.epoch_of(at))?;
        let open = || {
            let open = self.due.keys().filter_map(|(_, id)| self.tasks.get(id));
            let mut parts = open.map(|task| &task.envelope.coordination.participating_vault_ids);
            parts.any(|vaults| vaults.contains(vault))
        };
        let reading = || {
            let mut open = self.due.keys().filter_map(|(_, id)| self.parses.get(id));
            open.any(|parse| parse.order.ticket.vault == *vault)
        };
        let unpaid = || self.contributors.get(vault).is_some_and(|account| !account.pending.is_empty());
        let held = status == MemberStatus::Left && (open() || reading() || unpaid());
        Some(if held { MemberStatus::Leaving } else { status })
    }
}

/// The events with the ends of what cannot go on after them.
fn with_ends(
    state: &State,
    at: OrderedMillis,
    events: Vec<ProposalEvent>,
    closing: &BTreeSet<TaskId>,
) -> Vec<Event> {
    let mut after: Option<Governance> = None;
    for event in &events {
        if let ProposalEvent::Executed { entry } = event {
            after.get_or_insert_with(|| state.governance.clone()).enact(entry);
        }
    }
    let revokes = events.iter().any(|event| match event {
        ProposalEvent::Executed { entry } => entry.proposal.body.change.revokes(),
        ProposalEvent::Opened { .. }
        | ProposalEvent::Voted { .. }
        | ProposalEvent::Accepted { .. }
        | ProposalEvent::Closed { .. } => false,
    });
    let mut all: Vec<Event> = events.into_iter().map(|event| Event::Governed { event }).collect();
    if let Some(after) = after.filter(|_| revokes) {
        all.extend(ends(state, at, &after, closing));
    }
    all
}

/// The ends of all work that no active code of its order, or too few Vaults, can do any more.
fn ends(state: &State, at: OrderedMillis, after: &Governance, closing: &BTreeSet<TaskId>) -> Vec<Event> {
    let mut events = Vec::new();
    // What is open is due some time; finished tasks are not looked at.
    for id in state.due.keys().map(|(_, id)| id).filter(|id| !closing.contains(*id)) {
        if let Some(known) = state.tasks.get(id) {
            let wanted: &[Purpose] = match known.stage {
                Stage::Accepted | Stage::Resolving | Stage::Computing | Stage::Training { .. } => {
                    &[Purpose::Slices, Purpose::Aggregation]
                }
                Stage::Aggregating { .. } => &[Purpose::Aggregation],
                Stage::Verifying { .. }
                | Stage::AwaitingSettlement { .. }
                | Stage::Challenged { .. }
                | Stage::Completed { .. }
                | Stage::Rejected { .. }
                | Stage::TimedOut { .. } => &[],
            };
            if !after.registry.can_serve(&known.envelope.coordination.measurements, wanted) {
                events.extend(close(state, at, known, TaskState::Rejected, Code::CodeInactive));
            } else if wanted.contains(&Purpose::Slices)
                && !after.registry.quorate(&known.envelope.coordination)
            {
                events.extend(close(state, at, known, TaskState::Rejected, Code::VaultSuspended));
            }
        }
        if let Some(known) = state.parses.get(id) {
            let wanted: &[Purpose] = match known.stage {
                ParseStage::Accepted | ParseStage::Resolving | ParseStage::Parsing => &[Purpose::Slices],
                ParseStage::Verifying { .. }
                | ParseStage::AwaitingSettlement { .. }
                | ParseStage::Completed { .. }
                | ParseStage::Rejected(_)
                | ParseStage::TimedOut(_) => &[],
            };
            let suspended = after.registry.suspensions.contains_key(&known.order.ticket.vault);
            if !after.registry.can_serve(&known.order.measurements, wanted) {
                events.extend(parse::close(state, at, known, TaskState::Rejected, Code::CodeInactive));
            } else if wanted.contains(&Purpose::Slices) && suspended {
                events.extend(parse::close(state, at, known, TaskState::Rejected, Code::VaultSuspended));
            }
        }
    }
    events
}
