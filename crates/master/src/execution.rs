//! Effects of execution (R105-R117): task keys from the aggregator's enclave, one assignment a Vault, the sealed
//! bundles to the aggregator. Masters carry ciphertext only.
//!
//! Every order is endorsed by a majority of the masters, and bulk is at a majority of them before a command names it
//! (R195, R196). Task keys stay here: each master has an aggregator's enclave of its own. What this master cannot do it
//! says in its own name, and another one tries.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::{Assignment, EndorsedEnvelope, SignedAggregate, SignedSlice, TaskEnvelope};
use symphony_protocol::execution::aggregate::aggregate_nonce;
use symphony_protocol::execution::coordinate;
use symphony_protocol::execution::failure::{Step, TaskFailure};
use symphony_protocol::lifecycle::{Stage, Task};
use symphony_protocol::machine::{Command, Effect, State};
use symphony_tee::governed;
use symphony_tee::report::EnclaveRole;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::key::{Master, PublicKey};
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{Answer, Call};
use symphony_wire::status::problem_of;
use symphony_wire::v1::{SignedDocument, SliceResult};
use tokio::time::sleep;

use crate::admission::left;
use crate::blobs::{Kind, Place};
use crate::bulk;
use crate::claim::{self, Handed, Subject};
use crate::cluster::{self, Doubt};
use crate::effects::Fault;
use crate::endorsing::endorsed;
use crate::node::{Node, challenge, now};
use crate::orders::{Ordered, ordered};

/// Pause between two calls to a Vault that does not answer.
const RETRY: Duration = Duration::from_millis(300);
/// How long a Vault may take to say which enclave it has.
const BOOT_TIMEOUT: Duration = Duration::from_millis(500);
/// How long one slice may take in one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Slices are reported this long before their deadline, so that the report itself is in time, and the words of a
/// majority when there are too few. **Units**: milliseconds.
const REPORT_MARGIN_MS: u64 = 1_000;

/// What this master's aggregator made for a task, and the attempts that it was used for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Opened {
    /// Task keys, sealed to the slice enclaves.
    keys: Vec<(VaultId, Vec<u8>)>,
    /// Bundles of these attempts are sealed to this master's aggregator.
    attempts: BTreeSet<u32>,
}

/// Assigns every slice of a task and reports those that arrive in time. **Errors**: [`Fault`].
pub async fn assign(node: &Arc<Node>, task: &TaskId) -> Result<(), Fault> {
    let state = node.state();
    let Some(known) = state.tasks.get(task).filter(|known| matches!(known.stage, Stage::Computing)) else {
        return Ok(());
    };
    let envelope = &known.envelope;
    // What a suspended Vault would send counts no more (R187).
    let suspended = &state.governance.registry.suspensions;
    let vaults = envelope.coordination.participating_vault_ids.iter();
    let vaults: Vec<_> = vaults.filter(|vault| !suspended.contains_key(*vault)).cloned().collect();
    let report_by = envelope.execute_by.minus(REPORT_MARGIN_MS);
    // When nothing can come in any more, no keys are made for it.
    let slices = match left(report_by) {
        Some(_) => slices(node, &state, envelope, &vaults, report_by).await,
        None => Ok(vec![]),
    };
    let slices = match slices {
        Ok(slices) => slices,
        Err(fault) => return failed(node, *task, Step::Slices, fault).await,
    };
    if let Err(code) = coordinate::accepted(&state.governance, envelope, &slices) {
        let few = Fault::Refused(code, format!("{} of {} slices", slices.len(), vaults.len()));
        return failed(node, *task, Step::Slices, few).await;
    }
    // Where the Vaults have turned to another master meanwhile, the slices of the others are not all there are.
    if slices.len() < vaults.len() && !node.state().holds(&node.id, &Effect::AssignSlices(*task)) {
        return Err(moved());
    }
    Ok(node.order(Command::RecordSlices { task: *task, slices }).await?)
}

/// Says that this master cannot do a step, if it is still its to do; another one tries, unless a majority has said so.
/// **Errors**: every fault that is not for good, as it came.
pub(crate) async fn failed(node: &Node, task: TaskId, step: Step, fault: Fault) -> Result<(), Fault> {
    let Fault::Refused(code, detail) = fault else { return Err(fault) };
    tracing::warn!(%task, ?step, %code, detail, "a step of a task cannot be done here");
    let effect = match step {
        Step::Slices => Effect::AssignSlices(task),
        Step::Aggregate => Effect::Aggregate(task),
        Step::Round(_) => Effect::Train(task),
        Step::Review => Effect::Review(task),
    };
    if !node.state().holds(&node.id, &effect) {
        return Err(moved());
    }
    let failure = node.sign(TaskFailure { task, step, code });
    Ok(node.order(Command::RecordFailure { failure }).await?)
}

pub(crate) fn moved() -> Fault {
    Fault::Again("the task has moved on".to_owned())
}

/// The slices of some Vaults, sealed to this master's aggregator, as far as they arrive in time. **Errors**:
/// [`Fault::Refused`] when the aggregator's enclave refuses the task.
async fn slices(
    node: &Arc<Node>,
    state: &State,
    envelope: &TaskEnvelope,
    vaults: &[VaultId],
    by: OrderedMillis,
) -> Result<Vec<SignedSlice>, Fault> {
    let orders = assignments(node, state, envelope, vaults).await?;
    Ok(join_all(orders.iter().map(|order| collect(node, order, by))).await.into_iter().flatten().collect())
}

/// The assignments of some Vaults, with keys of this master's aggregator. **Errors**: as [`slices`].
pub(crate) async fn assignments(
    node: &Arc<Node>,
    state: &State,
    envelope: &TaskEnvelope,
    vaults: &[VaultId],
) -> Result<Vec<Ordered<Assignment>>, Fault> {
    let task = envelope.task;
    let Some((_, attempt)) = claim::assigning(state, &task) else { return Err(moved()) };
    check_own(node, state, envelope)?;
    let review = claim::reviewing(state, &task);
    let opened = open_task(node, envelope, attempt).await?;
    let handed = opened.keys.into_iter().filter(|(vault, _)| vaults.contains(vault));
    let handed = handed.map(|(vault, sealed_keys)| {
        let aggregator_boot = encode(&node.aggregator.boot());
        let handed = Handed { task, vault, attempt, review, aggregator_boot, sealed_keys };
        let assignment = handed.assignment(envelope);
        (Subject::Assignment(handed), assignment)
    });
    // What the others refuse is no verdict on the task.
    ordered(node, handed.collect()).await.map_err(|fault| Fault::Again(fault.to_string()))
}

/// Whether this master's own aggregator may serve a task: its code is the task's, and not revoked since (R120, R129).
/// **Errors**: [`Fault::Refused`]; another master's may.
pub(crate) fn check_own(node: &Node, state: &State, envelope: &TaskEnvelope) -> Result<(), Fault> {
    let (boot, role) = (encode(&node.aggregator.boot()), EnclaveRole::Aggregator);
    let admitted = governed::admit(&node.network, &state.governance, envelope, &boot, role);
    admitted.map(drop).map_err(|(code, detail)| Fault::Refused(code, detail))
}

/// Has the aggregator's enclave make the task's keys and seal them to each participating Vault's enclave. They are
/// kept before they are first used: sealing is random, and a Vault computes one assignment of an attempt, so a restarted
/// master must send the very same one again.
async fn open_task(node: &Arc<Node>, envelope: &TaskEnvelope, attempt: u32) -> Result<Opened, Fault> {
    let task = envelope.task;
    let mut opened = opened(node, &task);
    if opened.keys.is_empty() {
        opened.keys = make_keys(node, envelope).await?;
    }
    if opened.attempts.insert(attempt) {
        node.blobs.put_keys(&task, &encode(&opened))?;
    }
    Ok(opened)
}

fn opened(node: &Node, task: &TaskId) -> Opened {
    node.blobs.keys(task).and_then(|bytes| decode(&bytes).ok()).unwrap_or_default()
}

/// The boot report that a Vault's enclave has now: it may be another one than a moment ago. A Vault that fell silent after
/// it was prepared must not hold up the others (R108): what it said last still names its enclave's key.
async fn boot_of(node: &Node, state: &State, vault: &VaultId) -> Result<(VaultId, Vec<u8>), Fault> {
    let asked = node.peers.ask_health(&state.governance, vault, challenge(), now());
    let health = match tokio::time::timeout(BOOT_TIMEOUT, asked).await {
        Ok(Ok(health)) => health,
        Ok(Err(_)) | Err(_) => {
            let last = node.peers.last_health(vault);
            last.ok_or_else(|| Fault::Again(format!("{vault} has never answered")))?
        }
    };
    Ok((vault.clone(), health.boot))
}

async fn make_keys(node: &Arc<Node>, envelope: &TaskEnvelope) -> Result<Vec<(VaultId, Vec<u8>)>, Fault> {
    let state = node.state();
    let vaults = &envelope.coordination.participating_vault_ids;
    let slices = join_all(vaults.iter().map(|vault| boot_of(node, &state, vault))).await;
    let mut slices = slices.into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut refused = None;
    slices.retain(|(vault, boot)| {
        let admitted = governed::admit(&node.network, &state.governance, envelope, boot, EnclaveRole::Slice);
        if let Err((code, detail)) = &admitted {
            tracing::warn!(task = %envelope.task, %vault, %code, detail, "a vault's enclave gets no key of the task");
            refused = Some(Fault::Refused(*code, format!("{vault}: {detail}")));
        }
        admitted.is_ok()
    });
    // One Vault whose enclave may not serve the task ends it for the others only if they are too few (R107, R108, R129).
    if let Some(refused) = refused
        && slices.len() < usize::from(envelope.coordination.minimum_vault_quorum)
    {
        return Err(refused);
    }
    let call = Call::OpenTask {
        envelope: order(node, envelope).await?,
        slices,
        policy: encode(&governed::policy(&node.network, &state.governance)),
        masters: masters(&state),
    };
    match enclave(node, call).await? {
        Answer::Opened { keys } => Ok(keys),
        Answer::Refused { code, detail } => Err(Fault::Refused(code, detail)),
        _ => Err(wrong_answer()),
    }
}

/// The order of a task for this master's enclave. **Errors**: [`Fault::Again`].
async fn order(node: &Node, envelope: &TaskEnvelope) -> Result<EndorsedEnvelope, Fault> {
    let documents = vec![(Subject::Envelope(envelope.task), envelope.clone())];
    let order = endorsed(node, documents).await?.pop();
    order.ok_or_else(|| Fault::Again("the order was not endorsed".to_owned()))
}

pub(crate) fn masters(state: &State) -> Vec<PublicKey<Master>> {
    state.governance.registry.masters.values().copied().collect()
}

/// One Vault's slice; `None` when it refused or did not answer in time.
async fn collect(
    node: &Arc<Node>,
    ordered: &Ordered<Assignment>,
    report_by: OrderedMillis,
) -> Option<SignedSlice> {
    let order = &ordered.order;
    let vault = &order.body.vault;
    loop {
        match call(node, vault, ordered.message(), left(report_by)?.min(CALL_TIMEOUT)).await {
            Ok(result) => match keep(node, &order.body, result).await {
                Ok(slice) => return Some(slice),
                Err(error) => tracing::warn!(%vault, error, "a slice cannot be used"),
            },
            Err((code, detail)) if !code.retry() && code != Code::Internal => {
                tracing::warn!(%vault, %code, detail, "a vault refused its slice");
                return None;
            }
            Err((code, detail)) => {
                if ordered.renewed(node, vault, code).await {
                    continue;
                }
                tracing::warn!(%vault, %code, detail, "a vault does not answer its slice");
            }
        }
        sleep(left(report_by)?.min(RETRY)).await;
    }
}

async fn call(
    node: &Node,
    vault: &VaultId,
    message: SignedDocument,
    timeout: Duration,
) -> Result<SliceResult, (Code, String)> {
    let mut client = node.peers.vault(vault).map_err(|code| (code, vault.to_string()))?;
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    Ok(client.assign_slice(request).await.map_err(|status| problem_of(&status))?.into_inner())
}

/// Checks that a result is what its header says, and keeps the bulk of it at a majority of the masters.
pub(crate) async fn keep(
    node: &Node,
    order: &Assignment,
    result: SliceResult,
) -> Result<SignedSlice, String> {
    let slice: SignedSlice = decode(&result.header).map_err(|error| error.to_string())?;
    let body = &slice.body;
    let named =
        body.bundle == Digest::of_bytes(&result.bundle) && body.report == Digest::of_bytes(&result.report);
    if body.vault != order.vault || body.attempt != order.attempt || !named {
        return Err("the bundle or the report is not the header's".to_owned());
    }
    let place = |kind, digest| Place { task: order.envelope.task, kind, digest };
    let vault = || body.vault.clone();
    let blobs = [
        (place(Kind::Bundle(vault()), body.bundle), result.bundle),
        (place(Kind::SliceReport(vault()), body.report), result.report),
        (place(Kind::SliceBoot(vault()), body.report), result.boot),
    ];
    bulk::secure(node, &blobs).await?;
    Ok(slice)
}

/// Has the aggregator's enclave combine the accepted slices. **Errors**: [`Fault`].
pub async fn aggregate(node: &Arc<Node>, task: &TaskId) -> Result<(), Fault> {
    let state = node.state();
    let Some(known) = state.tasks.get(task) else { return Ok(()) };
    let Stage::Aggregating { slices, aggregate_by } = &known.stage else { return Ok(()) };
    let envelope = &known.envelope;
    if !opened(node, task).attempts.contains(&coordinate::attempt(slices)) {
        return take_over(node, &state, known, slices, *aggregate_by).await;
    }
    if let Err(fault) = check_own(node, &state, envelope) {
        return failed(node, *task, Step::Aggregate, fault).await;
    }
    let mut bundles = Vec::new();
    for slice in slices {
        let body = &slice.body;
        let place = Place { task: *task, kind: Kind::Bundle(body.vault.clone()), digest: body.bundle };
        let Some(bundle) = bulk::get(node, &place).await else {
            return Err(fetch_again(node, &state, envelope, &body.vault, *aggregate_by).await);
        };
        bundles.push((body.vault.clone(), bundle));
    }
    let recorded = match combined(node, &state, envelope, bundles).await {
        Ok(header) => record(node, header).await,
        Err(fault) => Err(fault),
    };
    match recorded {
        Err(fault) => failed(node, *task, Step::Aggregate, fault).await,
        recorded => recorded,
    }
}

/// Has this master's aggregator combine bundles, and keeps what it made at a majority of the masters. **Errors**: [`Fault`].
pub(crate) async fn combined(
    node: &Arc<Node>,
    state: &State,
    envelope: &TaskEnvelope,
    bundles: Vec<(VaultId, Vec<u8>)>,
) -> Result<SignedAggregate, Fault> {
    let call = Call::Aggregate {
        envelope: order(node, envelope).await?,
        nonce: aggregate_nonce(envelope),
        bundles,
        masters: masters(state),
    };
    match enclave(node, call).await? {
        Answer::Aggregated { header, sealed, report } => {
            let place = |kind, digest| Place { task: envelope.task, kind, digest };
            let named = header.body.report;
            let blobs = [
                (place(Kind::Result, header.body.result), sealed),
                (place(Kind::AggregateReport, named), report),
                (place(Kind::AggregateBoot, named), encode(&node.aggregator.boot())),
            ];
            bulk::secure(node, &blobs).await.map_err(Fault::Again)?;
            Ok(header)
        }
        Answer::Refused { code, detail } => Err(Fault::Refused(code, detail)),
        _ => Err(wrong_answer()),
    }
}

/// Records an aggregate with the word of a majority that it is attested. **Errors**: [`Fault::Refused`] when it is not.
async fn record(node: &Node, aggregate: SignedAggregate) -> Result<(), Fault> {
    let attested = match cluster::attested(node, &node.state(), &aggregate).await {
        Ok(attested) => attested,
        Err(Doubt::Wrong(code, detail)) => return Err(Fault::Refused(code, detail)),
        Err(Doubt::Other(why)) => return Err(Fault::Again(why.to_owned())),
    };
    let documents = vec![(Subject::Aggregate(Box::new(aggregate)), attested)];
    let Some(aggregate) = endorsed(node, documents).await?.pop() else { return Err(moved()) };
    let recorded = node.order(Command::RecordAggregate { aggregate }).await;
    // It was good a moment ago, so what it is late for has moved on.
    recorded.map_err(|refusal| Fault::Again(refusal.to_string()))
}

pub(crate) fn wrong_answer() -> Fault {
    Fault::Refused(Code::AggregationFailed, "the enclave answered another question".to_owned())
}

/// The accepted bundles are sealed to the aggregator of a master that lost the lease: the Vaults seal the same slices
/// to this master's, for a later attempt. Half of the time that is left is for that. **Errors**: always [`Fault::Again`]
/// or a refusal; what was recorded is aggregated the next time.
async fn take_over(
    node: &Arc<Node>,
    state: &State,
    task: &Task,
    accepted: &[SignedSlice],
    aggregate_by: OrderedMillis,
) -> Result<(), Fault> {
    let now = now();
    let by = now.plus(aggregate_by.0.saturating_sub(now.0) / 2);
    let vaults: Vec<VaultId> = accepted.iter().map(|slice| slice.body.vault.clone()).collect();
    let id = task.envelope.task;
    let slices = match slices(node, state, &task.envelope, &vaults, by).await {
        Ok(slices) => slices,
        Err(fault) => return failed(node, id, Step::Aggregate, fault).await,
    };
    node.order(Command::RecordSlices { task: id, slices }).await?;
    Err(Fault::Again("the slices were assigned again for this master's aggregator".to_owned()))
}

/// A bundle was lost everywhere; its Vault has the very same bytes.
async fn fetch_again(
    node: &Arc<Node>,
    state: &State,
    envelope: &TaskEnvelope,
    vault: &VaultId,
    aggregate_by: OrderedMillis,
) -> Fault {
    let vaults = std::slice::from_ref(vault);
    match slices(node, state, envelope, vaults, aggregate_by.minus(REPORT_MARGIN_MS)).await {
        Ok(_) => Fault::Again(format!("the bundle of {vault} was fetched again")),
        Err(fault) => fault,
    }
}

pub(crate) async fn enclave(node: &Arc<Node>, call: Call) -> Result<Answer, Fault> {
    let (node, request) = (Arc::clone(node), encode(&call));
    let answer = tokio::task::spawn_blocking(move || node.call_aggregator(&request))
        .await
        .map_err(|error| Fault::Again(error.to_string()))??;
    decode(&answer).map_err(|error| Fault::Again(error.to_string()))
}
