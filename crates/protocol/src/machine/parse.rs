//! Parse tasks (R082-R086, R234): admitted on the Vault's ticket, read inside that Vault, verified, settled from a subsidy.
//!
//! ```text
//! SubmitParse  -> accepted -> resolving -> dispatched     the Vault is asked (effect Parse)
//! RecordParse  -> verifying, or rejected with the Vault's reason
//! verdict      -> awaiting_settlement, or rejected
//! time         -> completed; timed_out where a stage takes too long
//! ```

use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;
use symphony_types::key::Document as _;
use symphony_types::limits::OPEN_TASKS_MAX;
use symphony_types::table::Value;
use symphony_types::time::OrderedMillis;

use super::decide::transition;
use super::{Answer, Cause, Event, Refusal, State, Submission};
use crate::admission::parse;
use crate::artifact::parse::{ParseOrder, ParseOutcome, ParseSettlement, SignedParse, SignedTicket};
use crate::artifact::{Decision, RecipientClass, SignedVerdict};
use crate::execution::parse::genuine;
use crate::lifecycle::TaskState;
use crate::settlement::parse::{settlement, settlement_root};
use crate::settlement::payout::Owed;
use crate::settlement::verdict;

/// An admitted parse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParseTask {
    /// The order.
    pub order: ParseOrder,
    /// Where it is, with what exists only there.
    pub stage: ParseStage,
    /// When it came there.
    pub since: OrderedMillis,
}

impl Value for ParseTask {}

/// A stage of a parse and its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "nearly every stored parse is in the largest stage, completed")]
pub enum ParseStage {
    /// Admitted in this step.
    Accepted,
    /// Meaning bound in this step: the record's shape is the one of the order's versions.
    Resolving,
    /// The Vault reads.
    Parsing,
    /// The record is there; the verifier looks at it.
    Verifying {
        /// The Vault's statement.
        statement: SignedParse,
        /// The task times out after.
        verify_by: OrderedMillis,
    },
    /// Accepted by the verifier; may be challenged until `final_at`.
    AwaitingSettlement {
        /// The Vault's statement.
        statement: SignedParse,
        /// The verdict.
        verdict: SignedVerdict,
        /// When it becomes final.
        final_at: OrderedMillis,
    },
    /// Settled.
    Completed {
        /// The Vault's statement.
        statement: SignedParse,
        /// The verdict.
        verdict: SignedVerdict,
        /// What was settled.
        settlement: ParseSettlement,
        /// Its root.
        root: Digest,
    },
    /// No record, or one that is not believed. Nobody earns anything.
    Rejected(Code),
    /// A stage took too long.
    TimedOut(Code),
}

impl ParseTask {
    /// The task's state in the specification's words.
    pub const fn state(&self) -> TaskState {
        match self.stage {
            ParseStage::Accepted => TaskState::Accepted,
            ParseStage::Resolving => TaskState::Resolving,
            ParseStage::Parsing => TaskState::Dispatched,
            ParseStage::Verifying { .. } => TaskState::Verifying,
            ParseStage::AwaitingSettlement { .. } => TaskState::AwaitingSettlement,
            ParseStage::Completed { .. } => TaskState::Completed,
            ParseStage::Rejected(_) => TaskState::Rejected,
            ParseStage::TimedOut(_) => TaskState::TimedOut,
        }
    }

    /// The next moment at which time alone moves the task; `None` when it is terminal.
    pub const fn timer(&self) -> Option<OrderedMillis> {
        match &self.stage {
            ParseStage::Accepted | ParseStage::Resolving | ParseStage::Parsing => Some(self.order.execute_by),
            ParseStage::Verifying { verify_by, .. } => Some(*verify_by),
            ParseStage::AwaitingSettlement { final_at, .. } => Some(*final_at),
            ParseStage::Completed { .. } | ParseStage::Rejected(_) | ParseStage::TimedOut(_) => None,
        }
    }
}

/// Admits a parse on a Vault's ticket. The same again changes nothing. **Errors**: `ADM-0005` when the name was used for
/// something else, `ADM-0020` when too many tasks are open, `ADM-0026` when the Vault has had its share, `VLT-0024` and `GOV-0024` where a stake is too
/// small, and those of [`parse::judge`].
pub(super) fn submit(state: &State, at: OrderedMillis, ticket: &SignedTicket) -> Result<Vec<Event>, Refusal> {
    let task = ticket.body.task();
    let fingerprint = ticket.body.digest();
    if let Some(known) = state.requests.get(&task) {
        let same = known.fingerprint == fingerprint;
        return if same { Ok(vec![]) } else { Err(Code::IdempotencyConflict.into()) };
    }
    if state.open() >= OPEN_TASKS_MAX {
        return Err(Code::TooManyTasks.into());
    }
    let order = parse::judge(&state.governance, ticket, at)?;
    let staking = state.staking(at);
    staking.vault(&ticket.body.vault)?;
    staking.network()?;
    let admitted = state.epochs.get(&order.epoch).and_then(|account| account.parses.get(&ticket.body.vault));
    if admitted.is_some_and(|count| *count >= state.governance.policy_at(at).parse.per_vault_epoch) {
        return Err(Code::SubsidyUsedUp.into());
    }
    let step = |from, to, cause| transition(state, at, task, from, to, cause);
    Ok(vec![
        Event::ParseAdmitted { fingerprint, order },
        step(TaskState::Accepted, TaskState::Resolving, Cause::Admitted),
        step(TaskState::Resolving, TaskState::Dispatched, Cause::MeaningBound),
    ])
}

/// Takes the Vault's statement. **Errors**: `ADM-0004` for no such parse, `ADM-0003` when it is not that Vault's.
pub(super) fn record(
    state: &State,
    at: OrderedMillis,
    statement: &SignedParse,
) -> Result<Vec<Event>, Refusal> {
    let id = &statement.body.task;
    let known = state.parses.get(id).ok_or(Code::NotFound)?;
    if !genuine(&state.governance, &known.order, statement) {
        return Err(Code::Forbidden.into());
    }
    let ParseStage::Parsing = known.stage else { return Ok(vec![]) };
    if known.order.execute_by <= at {
        return Ok(close(state, at, known, TaskState::TimedOut, Code::StageTimeout));
    }
    match statement.body.outcome {
        ParseOutcome::Refused(code) => Ok(close(state, at, known, TaskState::Rejected, code)),
        ParseOutcome::Parsed { .. } => {
            let policy = state.governance.policy_of(known.order.versions.policy)?;
            let verify_by = at.plus(policy.deadlines.verify_ms);
            Ok(vec![
                Event::ParseRecorded { statement: statement.clone(), verify_by },
                transition(state, at, *id, TaskState::Dispatched, TaskState::Verifying, Cause::Parsed),
            ])
        }
    }
}

/// Takes the verdict on a parse. **Errors**: `ADM-0003` when it is not the verifier's.
pub(super) fn judged(
    state: &State,
    at: OrderedMillis,
    known: &ParseTask,
    verdict: &SignedVerdict,
) -> Result<Vec<Event>, Refusal> {
    let order = &known.order;
    verdict::spoken(&state.governance, order.task, &order.ticket.owner, verdict)?;
    let ParseStage::Verifying { .. } = known.stage else { return Ok(vec![]) };
    match verdict.body.decision {
        Decision::Rejected(code) => Ok(close(state, at, known, TaskState::Rejected, code)),
        Decision::Accepted => {
            let policy = state.governance.policy_of(order.versions.policy)?;
            let final_at = at.plus(policy.deadlines.challenge_ms);
            let (from, to) = (TaskState::Verifying, TaskState::AwaitingSettlement);
            Ok(vec![
                Event::VerdictAccepted { verdict: verdict.clone(), final_at },
                transition(state, at, order.task, from, to, Cause::Verified),
            ])
        }
    }
}

/// What time does to a parse that is due.
pub(super) fn due(state: &State, at: OrderedMillis, known: &ParseTask) -> Result<Vec<Event>, Refusal> {
    let ParseStage::AwaitingSettlement { statement, verdict, .. } = &known.stage else {
        return Ok(close(state, at, known, TaskState::TimedOut, Code::StageTimeout));
    };
    let settlement = settlement(&state.governance, &known.order, statement, verdict, at)?;
    let root = settlement_root(&settlement);
    let (from, to) = (TaskState::AwaitingSettlement, TaskState::Completed);
    Ok(vec![
        Event::ParseSettled { settlement, root },
        transition(state, at, known.order.task, from, to, Cause::WindowPassed),
    ])
}

pub(super) fn close(
    state: &State,
    at: OrderedMillis,
    known: &ParseTask,
    to: TaskState,
    code: Code,
) -> Vec<Event> {
    let task = known.order.task;
    let cause = if to == TaskState::TimedOut { Cause::Expired(code) } else { Cause::Refused(code) };
    vec![Event::ParseClosed { task, to, code }, transition(state, at, task, known.state(), to, cause)]
}

/// What an event does to parses.
pub(super) fn evolve(state: &mut State, at: OrderedMillis, event: &Event) {
    match event {
        Event::ParseAdmitted { fingerprint, order } => {
            let submission = Submission { fingerprint: *fingerprint, answer: Answer::Admitted };
            state.requests.insert(order.task, submission);
            let account = state.epochs.get_or_default(order.epoch);
            *account.parses.get_or_default(order.ticket.vault.clone()) += 1;
            let parse = ParseTask { order: order.clone(), stage: ParseStage::Accepted, since: at };
            state.parses.insert(order.task, parse);
        }
        Event::ParseRecorded { statement, verify_by } => {
            set(state, &statement.body.task, |_| ParseStage::Verifying {
                statement: statement.clone(),
                verify_by: *verify_by,
            });
        }
        Event::VerdictAccepted { verdict, final_at } => set(state, &verdict.body.task, |stage| match stage {
            ParseStage::Verifying { statement, .. } => {
                ParseStage::AwaitingSettlement { statement, verdict: verdict.clone(), final_at: *final_at }
            }
            other => other,
        }),
        Event::ParseSettled { settlement, root } => settle(state, settlement, *root),
        Event::ParseClosed { task, to, code } => set(state, task, |_| match to {
            TaskState::TimedOut => ParseStage::TimedOut(*code),
            _ => ParseStage::Rejected(*code),
        }),
        Event::TaskTransitioned { task, to, at, .. } => {
            match to {
                TaskState::Resolving => set(state, task, |_| ParseStage::Resolving),
                TaskState::Dispatched => set(state, task, |_| ParseStage::Parsing),
                _ => {}
            }
            if let Some(parse) = state.parses.get_mut(task) {
                assert!(parse.state() == *to, "the stage of a parse follows its transitions (R035)");
                parse.since = *at;
            }
        }
        _ => {}
    }
}

fn settle(state: &mut State, settlement: &ParseSettlement, root: Digest) {
    let epoch = settlement.epoch;
    for share in settlement.shares.iter().filter(|share| share.class == RecipientClass::Contributors) {
        if let Some(account) = share.vault.as_ref().and_then(|vault| state.contributors.get_mut(vault)) {
            account.pending.insert(settlement.task, Owed { epoch, amount: share.amount });
        }
    }
    state.epochs.get_or_default(epoch).settled.insert(settlement.task, root);
    set(state, &settlement.task, |stage| match stage {
        ParseStage::AwaitingSettlement { statement, verdict, .. } => {
            ParseStage::Completed { statement, verdict, settlement: settlement.clone(), root }
        }
        other => other,
    });
}

fn set(state: &mut State, task: &TaskId, change: impl FnOnce(ParseStage) -> ParseStage) {
    if let Some(parse) = state.parses.get_mut(task) {
        parse.stage = change(core::mem::replace(&mut parse.stage, ParseStage::Accepted));
    }
}
