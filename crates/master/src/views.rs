//! The read side: what the state says of a task, in the words of the public messages.

use symphony_protocol::admission::request::SCHEMA;
use symphony_protocol::artifact::{Outcome, SignedSlice, TaskClass, Versions};
use symphony_protocol::evidence::EvidenceBundle;
use symphony_protocol::lifecycle::{Stage, Task};
use symphony_protocol::machine::{Answer, State, disputed_result};
use symphony_protocol::settlement::challenge::bond_ms;
use symphony_protocol::settlement::payout::{EpochStage, PayoutEvidence};
use symphony_types::catalogue::Code;
use symphony_types::id::{ActorId, EpochId, TaskId};
use symphony_types::key::{Endorsement, Master};
use symphony_wire::{convert, v1};

use crate::node::Node;
use crate::{parse, round, settlement};

/// Whether the word of a task's state means that nothing follows.
pub fn terminal(view: &v1::Task) -> bool {
    matches!(view.state.as_str(), "completed" | "rejected" | "timed_out" | REFUSED)
}

/// The state of a request that waits for the Vaults.
pub const PENDING: &str = "admission_pending";
/// The state of a request that will not be a task.
pub const REFUSED: &str = "admission_refused";

/// One of an actor's tasks. **Errors**: `ADM-0004` when there is none, or it is another's.
pub fn task(state: &State, actor: &ActorId, id: &TaskId) -> Result<v1::Task, Code> {
    if let Some(task) = state.tasks.get(id).filter(|task| task.envelope.submitter == *actor) {
        return Ok(admitted(state, task));
    }
    if let Some(known) = state.parses.get(id).filter(|known| known.order.ticket.owner == *actor) {
        return Ok(parse::view(state, known));
    }
    let submission = state.requests.get(id).ok_or(Code::NotFound)?;
    match &submission.answer {
        Answer::Preparing(admission) if admission.request.submitter == *actor => Ok(v1::Task {
            task_id: id.0.0.to_vec(),
            request_id: admission.request.request.to_string(),
            task_class: class_word(admission.plan.class()).to_owned(),
            submitter: actor.to_string(),
            state: PENDING.to_owned(),
            locked: admission.lock.amount.0,
            anchor: "none".to_owned(),
            payout: "none".to_owned(),
            refund: "none".to_owned(),
            ..versions(admission.versions, admission.epoch)
        }),
        Answer::Refused { submitter, code, at } if submitter == actor => Ok(v1::Task {
            task_id: id.0.0.to_vec(),
            submitter: actor.to_string(),
            state: REFUSED.to_owned(),
            code: code.as_str().to_owned(),
            updated_ms: at.0,
            anchor: "none".to_owned(),
            payout: "none".to_owned(),
            refund: refund(state, id).to_owned(),
            schema_version: SCHEMA.0,
            semantic_version: state.governance.semantics_at(*at).version.0,
            policy_version: state.governance.version_at(*at).0,
            epoch_id: state.governance.epoch_of(*at).0,
            ..Default::default()
        }),
        Answer::Preparing(_) | Answer::Refused { .. } | Answer::Admitted => Err(Code::NotFound),
    }
}

/// The versions that a task was admitted under.
pub fn versions(versions: Versions, epoch: EpochId) -> v1::Task {
    v1::Task {
        schema_version: versions.schema.0,
        semantic_version: versions.semantic.0,
        policy_version: versions.policy.0,
        epoch_id: epoch.0,
        ..Default::default()
    }
}

fn admitted(state: &State, task: &Task) -> v1::Task {
    let envelope = &task.envelope;
    let mut view = v1::Task {
        task_id: envelope.task.0.0.to_vec(),
        request_id: envelope.request.to_string(),
        submitter: envelope.submitter.to_string(),
        task_class: class_word(envelope.plan.class()).to_owned(),
        training: round::progress(state, task),
        state: task.state().as_str().to_owned(),
        slices: slices(task),
        locked: envelope.locked.0,
        anchor: "none".to_owned(),
        payout: "none".to_owned(),
        refund: "none".to_owned(),
        platform_class: class_of(envelope.coordination.software_admitted).to_owned(),
        updated_ms: task.since.0,
        ..versions(envelope.versions, envelope.epoch)
    };
    match &task.stage {
        Stage::Completed { aggregate, context, root, delivered_at, .. } => {
            view.charged = Some(convert::fee(&context.fee));
            view.refunded = context.refunded.0;
            view.shares = context.shares.iter().map(convert::share).collect();
            view.settlement_root = root.0.to_vec();
            view.returned = aggregate.body.outcome.returned();
            view.delivered_ms = delivered_at.map_or(0, |at| at.0);
            if let Some(code) = code_of(&aggregate.body.outcome) {
                view.code = code.as_str().to_owned();
            }
            view.anchor = paid_word(state, context.epoch).to_owned();
            view.payout.clone_from(&view.anchor);
            view.refund.clone_from(&view.anchor);
        }
        Stage::Rejected { code, refunded } | Stage::TimedOut { code, refunded } => {
            view.code = code.as_str().to_owned();
            view.refunded = refunded.0;
            view.refund = refund(state, &envelope.task).to_owned();
        }
        Stage::Accepted
        | Stage::Resolving
        | Stage::Computing
        | Stage::Training { .. }
        | Stage::Aggregating { .. }
        | Stage::Verifying { .. }
        | Stage::AwaitingSettlement { .. }
        | Stage::Challenged { .. } => {}
    }
    view
}

/// Whether governance knows an actor that may act: who disputes results, and sees what is told of those of others. **Errors**:
/// `ADM-0003`.
pub(crate) fn registered(state: &State, actor: &ActorId) -> Result<(), Code> {
    match state.governance.registry.actors.get(actor) {
        Some(actor) if !actor.suspended => Ok(()),
        Some(_) | None => Err(Code::Forbidden),
    }
}

/// The challenges of a task, for whoever may file one. **Errors**: `ADM-0003`, `ADM-0004`.
pub fn challenges(state: &State, actor: &ActorId, task: &TaskId) -> Result<v1::ChallengeList, Code> {
    registered(state, actor)?;
    let known = state.tasks.get(task).ok_or(Code::NotFound)?;
    let policy = known.envelope.versions.policy;
    let governed = state.governance.policy_of(policy)?;
    let terms = convert::Disputable {
        result: disputed_result(known),
        bond: governed.challenges.bond,
        bond_ms: bond_ms(&state.governance, governed),
        policy,
    };
    let penalties = state.challenges_of(task).filter_map(|(number, _)| state.penalties.get(&(*task, number)));
    Ok(convert::challenges((*task, known.state()), &terms, state.challenges_of(task), penalties))
}

/// Why a settled result has nothing to deliver.
pub const fn code_of(outcome: &Outcome) -> Option<Code> {
    match outcome {
        Outcome::Suppressed => Some(Code::BelowCardinality),
        Outcome::Withheld { .. } => Some(Code::BelowThreshold),
        Outcome::Audience { .. }
        | Outcome::Step { .. }
        | Outcome::Model { .. }
        | Outcome::Computed { .. } => None,
    }
}

/// The word for a class of tasks.
pub(crate) const fn class_word(class: TaskClass) -> &'static str {
    match class {
        TaskClass::Parse => "parse",
        TaskClass::Query => "query",
        TaskClass::Compute => "compute",
        TaskClass::Train => "train",
    }
}

/// Progress by Vault (R106).
fn slices(task: &Task) -> Vec<v1::SliceProgress> {
    let computed: &[SignedSlice] = match &task.stage {
        Stage::Aggregating { slices, .. }
        | Stage::Verifying { slices, .. }
        | Stage::AwaitingSettlement { slices, .. }
        | Stage::Challenged { slices, .. }
        | Stage::Completed { slices, .. } => slices,
        Stage::Accepted
        | Stage::Resolving
        | Stage::Computing
        | Stage::Training { .. }
        | Stage::Rejected { .. }
        | Stage::TimedOut { .. } => &[],
    };
    let collected = !computed.is_empty();
    let participating = task.envelope.coordination.participating_vault_ids.iter().map(|vault| {
        let done = computed.iter().any(|slice| slice.body.vault == *vault);
        let state = if done {
            "computed"
        } else if collected {
            "missing"
        } else {
            "prepared"
        };
        v1::SliceProgress { vault_id: vault.to_string(), state: state.to_owned(), code: String::new() }
    });
    let absent = task.absent.iter().map(|(vault, code)| v1::SliceProgress {
        vault_id: vault.to_string(),
        state: "refused".to_owned(),
        code: code.as_str().to_owned(),
    });
    participating.chain(absent).collect()
}

/// Where the refund of a dead task or request is.
fn refund(state: &State, task: &TaskId) -> &'static str {
    let of = state.epochs.values().find(|account| account.refunds.contains_key(task));
    match of.map(|account| &account.stage) {
        None => "none",
        Some(EpochStage::Confirmed(_)) => "confirmed",
        Some(EpochStage::Open | EpochStage::Closing | EpochStage::Issued(..)) => "pending",
    }
}

/// The class of enclaves that a task admits, in a word.
pub const fn class_of(software: bool) -> &'static str {
    if software { "software" } else { "hardware" }
}

/// Whether an epoch is paid and anchored, in a word.
pub fn paid_word(state: &State, epoch: EpochId) -> &'static str {
    if paid(state, epoch).is_some() { "confirmed" } else { "pending" }
}

fn paid(state: &State, epoch: EpochId) -> Option<&PayoutEvidence> {
    match &state.epochs.get(&epoch)?.stage {
        EpochStage::Confirmed(evidence) => Some(evidence),
        EpochStage::Open | EpochStage::Closing | EpochStage::Issued(..) => None,
    }
}

/// Whether an actor may have the evidence of a task now. **Errors**: `ADM-0004`, `EXE-0008`.
pub fn provable(state: &State, actor: &ActorId, id: &TaskId) -> Result<(), Code> {
    let task = state.tasks.get(id).filter(|task| task.envelope.submitter == *actor).ok_or(Code::NotFound)?;
    if matches!(task.stage, Stage::Completed { .. }) { Ok(()) } else { Err(Code::ResultNotReady) }
}

/// The self-contained evidence of a completed task, with the endorsements of its order; `None` before.
pub async fn settled(
    node: &Node,
    id: &TaskId,
    endorsements: Vec<Endorsement<Master>>,
) -> Option<EvidenceBundle> {
    let state = node.state();
    let task = state.tasks.get(id)?;
    let Stage::Completed { slices, aggregate, verdict, context, root, .. } = &task.stage else { return None };
    Some(EvidenceBundle {
        network: node.network.clone(),
        governance: node.founded.clone(),
        changes: state.proposals.log.until(task.envelope.versions.governance),
        later: state.proposals.log.adoptions(task.envelope.versions.governance, context.finalized_at),
        evidence: settlement::evidence(node, task, slices, aggregate, endorsements).await,
        verdict: verdict.clone(),
        context: context.clone(),
        root: *root,
        payout: paid(&state, context.epoch).cloned(),
    })
}
