//! The masters' tasks against a Vault's budget ledger (R071): matched by task, which is the digest of submitter and request
//! id.
//!
//! | masters \ Vault | nothing | reserved | drawing | committed | drawn | released | expired |
//! |---|---|---|---|---|---|---|---|
//! | unknown | - | orphaned | orphaned | consumed | consumed | - | - |
//! | asked | - | - | - | consumed | consumed | - | - |
//! | held | unbacked | - | - | - | - | unbacked | unbacked |
//! | counted | unbacked | unbacked | unbacked | - | - | unbacked | unbacked |
//! | drawn | unbacked | unreleased | unreleased | - | - | unbacked | unbacked |
//! | over | - | unreleased | unreleased | - | - | - | - |
//! | idle | - | - | - | - | - | - | - |
//! | dead | - | unreleased | unreleased | consumed | consumed | - | - |

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::limits::LEDGER_PAGE_MAX;
use symphony_types::time::OrderedMillis;

use super::drift;
use crate::artifact::SignedSlice;
use crate::artifact::adjustment::{
    BudgetLine, BudgetQuery, BudgetStanding, BudgetStatement, Drift, DriftKind, DriftSubject, SignedBudget,
};
use crate::governance::Governance;
use crate::governance::candidate;
use crate::lifecycle::{Stage, Task};
use crate::machine::{Answer, State};

/// How far the clocks of a Vault and the masters may be apart for what is compared. **Units**: milliseconds.
pub const CLOCKS_APART_MS: u64 = 600_000;

/// What the masters' state says of the budget of a task at a Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// There is no such task, or it did not ask this Vault.
    Unknown,
    /// The Vault is asked whether it takes part.
    Asked,
    /// The task waits for what the Vault computes.
    Held,
    /// The Vault's slice counts.
    Counted,
    /// The Vault's part of the last round counts; what rounds did not draw was given back.
    Drawn,
    /// A training is past its rounds, and the Vault is not in the last one.
    Over,
    /// The task goes on without this Vault, or is done; a deadline ends what it holds.
    Idle,
    /// The task is rejected or timed out, or was refused.
    Dead,
}

impl Side {
    /// Every side.
    pub const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Asked,
        Self::Held,
        Self::Counted,
        Self::Drawn,
        Self::Over,
        Self::Idle,
        Self::Dead,
    ];

    /// The word in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Asked => "asked",
            Self::Held => "held",
            Self::Counted => "counted",
            Self::Drawn => "drawn",
            Self::Over => "over",
            Self::Idle => "idle",
            Self::Dead => "dead",
        }
    }
}

/// A Vault's ledger, as far as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetSight {
    /// The Vault.
    pub vault: VaultId,
    /// What was reserved from then on is in the lines, and whatever still holds something.
    pub since: OrderedMillis,
    /// Whether nothing was left out.
    pub whole: bool,
    /// Entries by task.
    pub lines: BTreeMap<TaskId, BudgetLine>,
}

/// Whether a page is the Vault's own answer to a question. **Errors**: `ADM-0012`, `ADM-0002` when another key signed it,
/// `ADM-0001` when it answers something else or is out of order.
pub fn check_statement(
    governance: &Governance,
    vault: &VaultId,
    query: &BudgetQuery,
    page: &SignedBudget,
) -> Result<(), Code> {
    let registered = governance.registry.vaults.get(vault).ok_or(Code::VaultUnknown)?;
    if !page.verify(&registered.key) {
        return Err(Code::Unauthenticated);
    }
    let BudgetStatement { vault: of, query: asked, lines, more, totals: _ } = &page.body;
    let behind = |line: &BudgetLine| query.after.is_none_or(|after| line.task > after);
    let only = |line: &BudgetLine| query.only.is_none_or(|only| line.task == only);
    let sound = of == vault
        && asked == query
        && lines.len() <= LEDGER_PAGE_MAX
        && lines.is_sorted_by(|one, next| one.task < next.task)
        && lines.iter().all(|line| only(line) && (query.only.is_some() || behind(line)))
        && !(*more && lines.is_empty());
    if sound { Ok(()) } else { Err(Code::Malformed) }
}

/// Which drift two sides amount to.
pub const fn judge(side: Side, standing: Option<BudgetStanding>) -> Option<DriftKind> {
    use BudgetStanding::{Committed, Drawing, Drawn, Expired, Released, Reserved};
    match (side, standing) {
        (Side::Unknown, Some(Reserved | Drawing)) => Some(DriftKind::BudgetOrphaned),
        (Side::Unknown | Side::Asked | Side::Dead, Some(Committed | Drawn)) => {
            Some(DriftKind::BudgetConsumed)
        }
        (Side::Held | Side::Drawn, None | Some(Released | Expired))
        | (Side::Counted, None | Some(Reserved | Drawing | Released | Expired)) => {
            Some(DriftKind::BudgetUnbacked)
        }
        (Side::Drawn | Side::Over | Side::Dead, Some(Reserved | Drawing)) => {
            Some(DriftKind::BudgetUnreleased)
        }
        (Side::Unknown | Side::Dead | Side::Over, None | Some(Released | Expired))
        | (Side::Asked, None | Some(Reserved | Drawing | Released | Expired))
        | (Side::Held, Some(Reserved | Drawing | Committed | Drawn))
        | (Side::Counted | Side::Drawn | Side::Over, Some(Committed | Drawn))
        | (Side::Idle, _) => None,
    }
}

/// What the masters' state says of the budget of a task at a Vault.
pub fn side(state: &State, task: &TaskId, vault: &VaultId) -> Side {
    let Some(submission) = state.requests.get(task) else { return Side::Unknown };
    match &submission.answer {
        Answer::Preparing(admission) if admission.vaults.contains(vault) => Side::Asked,
        Answer::Preparing(_) => Side::Unknown,
        Answer::Refused { .. } => Side::Dead,
        Answer::Admitted => state.tasks.get(task).map_or(Side::Unknown, |known| admitted(known, vault)),
    }
}

fn admitted(task: &Task, vault: &VaultId) -> Side {
    let absent = task.absent.iter().any(|(absent, _)| absent == vault);
    let participates = task.envelope.coordination.participating_vault_ids.contains(vault);
    let trains = task.envelope.plan.trains();
    let among = |slices: &[SignedSlice]| match slices.iter().any(|slice| slice.body.vault == *vault) {
        true if trains => Side::Drawn,
        true => Side::Counted,
        false if trains => Side::Over,
        false => Side::Idle,
    };
    match &task.stage {
        Stage::Rejected { .. } | Stage::TimedOut { .. } if participates || absent => Side::Dead,
        _ if absent => Side::Idle,
        _ if !participates => Side::Unknown,
        Stage::Accepted | Stage::Resolving | Stage::Computing | Stage::Training { .. } => Side::Held,
        Stage::Aggregating { slices, .. }
        | Stage::Verifying { slices, .. }
        | Stage::AwaitingSettlement { slices, .. }
        | Stage::Challenged { slices, .. }
        | Stage::Completed { slices, .. } => among(slices),
        Stage::Rejected { .. } | Stage::TimedOut { .. } => Side::Dead,
    }
}

/// What drifted of one task at a Vault.
pub fn drifted(state: &State, vault: &VaultId, task: &TaskId, line: Option<&BudgetLine>) -> Option<Drift> {
    let moved = |line: &BudgetLine| {
        let mut moves = state.governance.registry.moves.values();
        moves.any(|known| known.to == *vault && known.since.by == line.preparation)
    };
    // What people consumed at the Vault that they came from stands under the proposal that moved them, and is of no task here.
    // Nor is what people consumed for a report of candidates.
    let counted = |line: &BudgetLine| candidate::charged(&state.governance, vault, task, line.reserved_at);
    if line.is_some_and(|line| moved(line) || counted(line)) {
        return None;
    }
    let side = side(state, task, vault);
    let kind = judge(side, line.map(|line| line.standing))?;
    let there = match line {
        None => String::from("no entry"),
        Some(line) => {
            let (word, epsilon, spent) = (line.standing.as_str(), line.epsilon.0, line.spent.0);
            format!("{word}: {epsilon} micro-epsilon a person, {spent} spent")
        }
    };
    let subject = DriftSubject::Budget(*task, vault.clone());
    Some(drift(kind, subject, &told(state, side, task), &there))
}

/// What drifted between the masters' tasks and a Vault's ledger, by task. What nobody has an entry of is missed only where
/// the ledger was read whole, and far enough back.
pub fn drifts(state: &State, sight: &BudgetSight) -> Vec<Drift> {
    let mut tasks: BTreeSet<TaskId> = sight.lines.keys().copied().collect();
    if sight.whole {
        let from = sight.since.plus(CLOCKS_APART_MS);
        let counts =
            |task: &&TaskId| state.tasks.get(task).is_some_and(|known| known.envelope.admitted_at >= from);
        tasks.extend(state.due.keys().map(|(_, task)| task).filter(counts));
        let recent =
            state.epochs.iter().rev().take_while(|(epoch, _)| state.governance.end_of(**epoch) >= from);
        tasks.extend(recent.flat_map(|(_, account)| account.settled.keys()).filter(counts));
    }
    tasks.iter().filter_map(|task| drifted(state, &sight.vault, task, sight.lines.get(task))).collect()
}

/// What the state says, with the submitter's name for the task; not who that is.
fn told(state: &State, side: Side, task: &TaskId) -> String {
    let word = side.as_str();
    let Some(known) = state.tasks.get(task) else { return String::from(word) };
    format!("{word}: request {}, {}", known.envelope.request, known.state().as_str())
}
