//! Epochs with something to pay: they close in order, one at a time is paid (R190-R193).

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::id::{EpochId, TaskId};
use symphony_types::key::Document;
use symphony_types::time::OrderedMillis;

use super::{Event, ParseStage, Refusal, State};
use crate::artifact::parse::ParseSettlement;
use crate::artifact::{SettlementContext, SignedDividends};
use crate::lifecycle::Stage;
use crate::settlement::epoch::{EpochRecord, Settlement, waited};
use crate::settlement::payout::{self, EpochAccount, EpochStage, SignedConfirmation};

/// Open epochs, the last one first. All that are over close together, so none of them is before a closed one.
fn open(state: &State) -> impl Iterator<Item = &EpochId> + '_ {
    let last = state.epochs.iter().rev().take_while(|(_, account)| account.stage == EpochStage::Open);
    last.map(|(epoch, _)| epoch)
}

/// When each open epoch ends.
pub(super) fn ends(state: &State) -> impl Iterator<Item = OrderedMillis> + '_ {
    open(state).map(|epoch| state.governance.end_of(*epoch))
}

/// The epochs that are over at `at`.
pub(super) fn close(state: &State, at: OrderedMillis) -> Vec<Event> {
    let over = open(state).filter(|epoch| state.governance.end_of(**epoch) <= at);
    let mut events: Vec<_> = over.map(|epoch| Event::EpochClosed { epoch: *epoch }).collect();
    events.reverse();
    events
}

/// The epoch whose dividends are next: the earliest that is over and not yet issued.
pub(super) fn next_closing(state: &State) -> Option<EpochId> {
    state.epochs.iter().find(|(_, account)| account.stage == EpochStage::Closing).map(|(epoch, _)| *epoch)
}

/// Whether no earlier epoch waits: none is being closed, and none is open, which would be over as well by then.
pub(super) fn first_unissued(state: &State, epoch: EpochId) -> bool {
    let waits = |account: &EpochAccount| matches!(account.stage, EpochStage::Open | EpochStage::Closing);
    !state.epochs.iter().take_while(|(earlier, _)| **earlier < epoch).any(|(_, account)| waits(account))
}

/// The epoch whose dividends are next once those of `epoch` are issued.
pub(super) fn closing_after(state: &State, epoch: EpochId) -> Option<EpochId> {
    let later = state.epochs.iter().rev().take_while(|(later, _)| **later > epoch);
    later.filter(|(_, account)| account.stage == EpochStage::Closing).last().map(|(epoch, _)| *epoch)
}

/// Fixes the payout of a closed epoch. A repetition changes nothing. **Errors**: `GOV-0002` out of order,
/// `SET-0006` a statement that does not add up.
pub(super) fn dividends(
    state: &State,
    epoch: EpochId,
    statements: &[SignedDividends],
) -> Result<Vec<Event>, Refusal> {
    let account = state.epochs.get(&epoch).ok_or(Code::NotFound)?;
    match account.stage {
        EpochStage::Issued(..) | EpochStage::Confirmed(_) => return Ok(vec![]),
        EpochStage::Open => return Err(Code::EpochOpen.into()),
        EpochStage::Closing if next_closing(state) != Some(epoch) => return Err(Code::EpochOpen.into()),
        EpochStage::Closing => {}
    }
    let mut vaults = Vec::new();
    for statement in statements {
        let vault = &statement.body.vault;
        let contributors = state.contributors.get(vault).ok_or(Code::VaultUnknown)?;
        if vaults.contains(&vault) {
            return Err(Code::ClaimInvalid.into());
        }
        vaults.push(vault);
        payout::check_statement(&state.governance, epoch, contributors, statement)?;
    }
    let contexts = account.settled.keys().filter_map(|task| state.context(task));
    let parses = account.settled.keys().filter_map(|task| state.parse_settlement(task));
    let settled = payout::Settled {
        contexts,
        parses,
        refunds: &account.refunds,
        forfeits: &account.forfeits,
        slashes: &account.slashes,
    };
    let instructions = payout::instructions(epoch, settled, &state.contributors, statements)?;
    Ok(vec![Event::PayoutIssued { instructions, statements: statements.to_vec() }])
}

/// Records the chain's confirmation. A repetition changes nothing. **Errors**: `ADM-0003` when it is not the
/// payout service's, `SET-0008` when it is about another batch.
pub(super) fn payout(state: &State, confirmation: &SignedConfirmation) -> Result<Vec<Event>, Refusal> {
    let account = state.epochs.get(&confirmation.body.epoch).ok_or(Code::NotFound)?;
    if !confirmation.verify(&state.governance.registry.payout) {
        return Err(Code::Forbidden.into());
    }
    match &account.stage {
        EpochStage::Confirmed(_) => Ok(vec![]),
        EpochStage::Issued(instructions, _) if instructions.digest() == confirmation.body.batch => {
            Ok(vec![Event::PayoutConfirmed { confirmation: confirmation.clone() }])
        }
        EpochStage::Issued(..) => Err(Code::BatchConflict.into()),
        EpochStage::Open | EpochStage::Closing => Err(Code::EpochOpen.into()),
    }
}

impl State {
    /// What an epoch paid whose payout is fixed. **Errors**: `ADM-0004` where there is nothing to pay, `GOV-0002` before.
    pub fn epoch_record(&self, epoch: EpochId) -> Result<EpochRecord, Code> {
        let (instructions, statements, confirmation) =
            match &self.epochs.get(&epoch).ok_or(Code::NotFound)?.stage {
                EpochStage::Open | EpochStage::Closing => return Err(Code::EpochOpen),
                EpochStage::Issued(instructions, statements) => (instructions, statements, None),
                EpochStage::Confirmed(paid) => {
                    (&paid.instructions, &paid.statements, Some(&paid.confirmation))
                }
            };
        let earlier = self.epochs.iter().take_while(|(earlier, _)| **earlier < epoch);
        let earlier = earlier.filter_map(|(_, account)| match &account.stage {
            EpochStage::Open | EpochStage::Closing => None,
            EpochStage::Issued(instructions, _) => Some(instructions),
            EpochStage::Confirmed(paid) => Some(&paid.instructions),
        });
        Ok(EpochRecord {
            foundation: self.proposals.log.foundation(),
            instructions: instructions.clone(),
            statements: statements.clone(),
            waited: waited(earlier),
            confirmation: confirmation.cloned(),
        })
    }

    /// What was settled of a task, be it a parse; `None` before.
    pub fn settlement(&self, task: &TaskId) -> Option<Settlement> {
        let parse = || self.parse_settlement(task).map(|parse| Settlement::Parse(Box::new(parse.clone())));
        self.context(task).map(|context| Settlement::Task(Box::new(context.clone()))).or_else(parse)
    }

    /// What was settled of a task that a lock paid for; `None` before.
    pub fn context(&self, task: &TaskId) -> Option<&SettlementContext> {
        match &self.tasks.get(task)?.stage {
            Stage::Completed { context, .. } => Some(context),
            Stage::Accepted
            | Stage::Resolving
            | Stage::Computing
            | Stage::Training { .. }
            | Stage::Aggregating { .. }
            | Stage::Verifying { .. }
            | Stage::AwaitingSettlement { .. }
            | Stage::Challenged { .. }
            | Stage::Rejected { .. }
            | Stage::TimedOut { .. } => None,
        }
    }

    /// What was settled of a parse; `None` before.
    pub fn parse_settlement(&self, task: &TaskId) -> Option<&ParseSettlement> {
        match &self.parses.get(task)?.stage {
            ParseStage::Completed { settlement, .. } => Some(settlement),
            ParseStage::Accepted
            | ParseStage::Resolving
            | ParseStage::Parsing
            | ParseStage::Verifying { .. }
            | ParseStage::AwaitingSettlement { .. }
            | ParseStage::Rejected(_)
            | ParseStage::TimedOut(_) => None,
        }
    }
}
