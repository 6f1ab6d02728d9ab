//! Moves between Vaults, in the masters' machine (R081): owed from the council's decision on, until both Vaults have signed the same
//! closing statement. Who moves stays between the Vaults (D6).

use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::table::Value;

use super::{Effect, Event, Refusal, State};
use crate::governance::Governance;
use crate::governance::change::Change;
use crate::governance::proposal::ProposalEvent;
use crate::vault::moving::SignedStanding;

/// What both Vaults of a move say at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveClosing {
    /// The Vault that was left.
    pub source: SignedStanding,
    /// The Vault that everything is at.
    pub destination: SignedStanding,
}

impl Value for MoveClosing {}

impl MoveClosing {
    /// Whether both Vaults say the same under their registered keys, of a move that the council carried. **Errors**: `VLT-0020`
    /// when it is of no such move or the two differ, `ADM-0002` when a signature is not theirs.
    pub fn check(&self, governance: &Governance) -> Result<(), Code> {
        let body = &self.source.body;
        let known = governance.registry.moves.get(&body.from);
        let carried = known.is_some_and(|known| known.to == body.to && known.since.by == body.proposal);
        if !carried || !body.closed || self.destination.body != *body {
            return Err(Code::MoveConflict);
        }
        let signed = [(&body.from, &self.source), (&body.to, &self.destination)].into_iter().all(
            |(vault, statement)| {
                let record = governance.registry.vaults.get(vault);
                record.is_some_and(|record| statement.verify(&record.key))
            },
        );
        if signed { Ok(()) } else { Err(Code::Unauthenticated) }
    }
}

pub(super) fn record(state: &State, closing: &MoveClosing) -> Result<Vec<Event>, Refusal> {
    closing.check(&state.governance)?;
    let known = state.moves.contains_key(&closing.source.body.from);
    Ok(if known { vec![] } else { vec![Event::MoveClosed { closing: closing.clone() }] })
}

/// What the council's decision begins to owe.
pub(super) fn begun(event: &ProposalEvent) -> Vec<Effect> {
    match event {
        ProposalEvent::Executed { entry } => match &entry.proposal.body.change {
            Change::MoveVault { from, .. } => vec![Effect::Move(from.clone())],
            Change::RegisterMeasurement { .. }
            | Change::ActivateMeasurement { .. }
            | Change::RevokeMeasurement { .. }
            | Change::AdmitPlatform { .. }
            | Change::RevokePlatform { .. }
            | Change::ApproveModule { .. }
            | Change::RevokeModule { .. }
            | Change::SetHardwareRules { .. }
            | Change::AdoptPolicy { .. }
            | Change::AmendMeaning { .. }
            | Change::SuspendNode { .. }
            | Change::ReinstateNode { .. }
            | Change::AdmitEnterprise { .. }
            | Change::ReleaseEnterprise { .. } => vec![],
        },
        ProposalEvent::Opened { .. }
        | ProposalEvent::Voted { .. }
        | ProposalEvent::Accepted { .. }
        | ProposalEvent::Closed { .. } => vec![],
    }
}

/// Moves that are not closed.
pub(super) fn outstanding(state: &State) -> impl Iterator<Item = Effect> + '_ {
    let open = state.governance.registry.moves.keys().filter(|from| !state.moves.contains_key(*from));
    open.cloned().map(Effect::Move)
}
