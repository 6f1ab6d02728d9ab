//! Stakes of nodes, in the masters' machine (R184, R185): sheets follow each other by number, each in the place of the one before.

use alloc::vec;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::time::OrderedMillis;

use super::{Event, Refusal, State};
use crate::governance::stake::{EndorsedStakes, Staking};

/// Takes the sheet after the last one. An earlier number is a repetition, or was seen by two masters at once: what the chain shows
/// is looked at again. **Errors**: `GOV-0005` without the word of a majority, for a sheet that skips one, or that has others than must
/// have a stake now.
pub(super) fn record(state: &State, endorsed: &EndorsedStakes) -> Result<Vec<Event>, Refusal> {
    let (sheet, registry) = (&endorsed.body, &state.governance.registry);
    if sheet.number <= state.stakes.number {
        return Ok(vec![]);
    }
    let follows = Some(sheet.number) == state.stakes.number.checked_add(1);
    if !follows || !sheet.names(registry) || !registry.endorsed(endorsed) {
        return Err(Code::Undecided.into());
    }
    Ok(vec![Event::StakesRecorded { sheet: sheet.clone() }])
}

impl State {
    /// What governs and what is staked, at a moment.
    pub const fn staking(&self, at: OrderedMillis) -> Staking<'_> {
        Staking { governance: &self.governance, sheet: &self.stakes, at }
    }
}
