//! Effects of execution (R105-R117): task keys from the aggregator's enclave, one assignment a Vault, the sealed
//! bundles to the aggregator. Masters carry ciphertext only.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use symphony_protocol::artifact::{Assignment, SignedSlice, TaskEnvelope};
use symphony_protocol::execution::aggregate::aggregate_nonce;
use symphony_protocol::execution::coordinate::slice_nonce;
use symphony_protocol::lifecycle::Stage;
use symphony_protocol::machine::Command;
use symphony_tee::governed;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{Answer, Call};
use symphony_wire::status::problem_of;
use symphony_wire::v1::{SignedDocument, SliceResult};
use tokio::time::sleep;

use crate::admission::left;
use crate::blobs::Kind;
use crate::effects::Fault;
use crate::node::{Node, challenge, now};

/// Pause between two calls to a Vault that does not answer.
const RETRY: Duration = Duration::from_millis(300);
/// How long one slice may take in one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Slices are reported this long before their deadline, so that the report itself is in time.
/// **Units**: milliseconds.
const REPORT_MARGIN_MS: u64 = 500;

/// Assigns every slice of a task and reports those that arrive in time. **Errors**: [`Fault`].
pub async fn assign(node: &Arc<Node>, task: &TaskId) -> Result<(), Fault> {
    let state = node.state();
    let Some(known) = state.tasks.get(task).filter(|known| matches!(known.stage, Stage::Computing)) else {
        return Ok(());
    };
    let envelope = &known.envelope;
    let keys = match open_task(node, envelope).await {
        Ok(keys) => keys,
        Err(Fault::Refused(code, detail)) => {
            tracing::warn!(%task, %code, detail, "the aggregator refused to open the task");
            return Ok(node.order(Command::RecordAggregationFailure { task: *task, code }).await?);
        }
        Err(again) => return Err(again),
    };
    let slices = join_all(keys.into_iter().map(|(vault, keys)| collect(node, envelope, vault, keys))).await;
    let slices = slices.into_iter().flatten().collect();
    Ok(node.order(Command::RecordSlices { task: *task, slices }).await?)
}

/// Has the aggregator's enclave make the task's keys and seal them to each participating Vault's enclave. They are
/// kept before they are first used: sealing is random, and a Vault computes one assignment of a task, so a restarted
/// master must send the very same one again.
async fn open_task(node: &Arc<Node>, envelope: &TaskEnvelope) -> Result<Vec<(VaultId, Vec<u8>)>, Fault> {
    let kept = node.blobs.get(&envelope.task, &Kind::TaskKeys);
    if let Some(keys) = kept.and_then(|bytes| decode(&bytes).ok()) {
        return Ok(keys);
    }
    let state = node.state();
    let mut slices = Vec::new();
    for vault in &envelope.coordination.participating_vault_ids {
        let health = match node.peers.health(vault, now()) {
            Some(health) => health,
            // A vault that fell silent after it was prepared must not hold up the others (R108): what it said last
            // still names its enclave's key.
            None => match node.peers.ask_health(&state.governance, vault, challenge(), now()).await {
                Ok(health) => health,
                Err(code) => {
                    node.peers.last_health(vault).ok_or_else(|| Fault::Again(format!("{vault}: {code}")))?
                }
            },
        };
        slices.push((vault.clone(), health.boot));
    }
    let call = Call::OpenTask {
        envelope: node.sign(envelope.clone()),
        slices,
        policy: encode(&governed::policy(&node.network, &state.governance)),
        masters: state.governance.registry.masters.clone(),
    };
    match enclave(node, call).await? {
        Answer::Opened { keys } => {
            node.blobs.put(&envelope.task, &Kind::TaskKeys, &encode(&keys))?;
            Ok(keys)
        }
        Answer::Refused { code, detail } => Err(Fault::Refused(code, detail)),
        Answer::Aggregated { .. } | Answer::Evaluated { .. } => {
            Err(Fault::Refused(Code::AggregationFailed, "the enclave answered another question".to_owned()))
        }
    }
}

/// One Vault's slice; `None` when it refused or did not answer in time.
async fn collect(
    node: &Arc<Node>,
    envelope: &TaskEnvelope,
    vault: VaultId,
    sealed_keys: Vec<u8>,
) -> Option<SignedSlice> {
    let assignment = Assignment {
        envelope: envelope.clone(),
        nonce: slice_nonce(envelope, &vault),
        aggregator_boot: encode(node.aggregator.boot()),
        sealed_keys,
        vault: vault.clone(),
    };
    let document = encode(&node.sign(assignment));
    let report_by = envelope.execute_by.minus(REPORT_MARGIN_MS);
    loop {
        match call(node, &vault, &document, left(report_by)?.min(CALL_TIMEOUT)).await {
            Ok(result) => match keep(node, envelope, &vault, &result) {
                Ok(slice) => return Some(slice),
                Err(error) => tracing::warn!(%vault, error, "a slice cannot be used"),
            },
            Err((code, detail)) if !code.retry() && code != Code::Internal => {
                tracing::warn!(%vault, %code, detail, "a vault refused its slice");
                return None;
            }
            Err((code, detail)) => tracing::warn!(%vault, %code, detail, "a vault does not answer its slice"),
        }
        sleep(left(report_by)?.min(RETRY)).await;
    }
}

async fn call(
    node: &Node,
    vault: &VaultId,
    document: &[u8],
    timeout: Duration,
) -> Result<SliceResult, (Code, String)> {
    let mut client = node.peers.vault(vault).map_err(|code| (code, vault.to_string()))?;
    let mut request = tonic::Request::new(SignedDocument { document: document.to_vec() });
    request.set_timeout(timeout);
    Ok(client.assign_slice(request).await.map_err(|status| problem_of(&status))?.into_inner())
}

/// Checks that a result is what its header says, and keeps the bulk of it.
fn keep(
    node: &Node,
    envelope: &TaskEnvelope,
    vault: &VaultId,
    result: &SliceResult,
) -> Result<SignedSlice, String> {
    let slice: SignedSlice = decode(&result.header).map_err(|error| error.to_string())?;
    if slice.body.vault != *vault || slice.body.bundle != Digest::of_bytes(&result.bundle) {
        return Err("the bundle is not the header's".to_owned());
    }
    let parts = [
        (Kind::Bundle(vault), &result.bundle),
        (Kind::SliceBoot(vault), &result.boot),
        (Kind::SliceReport(vault), &result.report),
    ];
    for (kind, bytes) in parts {
        node.blobs.put(&envelope.task, &kind, bytes).map_err(|error| error.to_string())?;
    }
    Ok(slice)
}

/// Has the aggregator's enclave combine the accepted slices. **Errors**: [`Fault`].
pub async fn aggregate(node: &Arc<Node>, task: &TaskId) -> Result<(), Fault> {
    let state = node.state();
    let Some(known) = state.tasks.get(task) else { return Ok(()) };
    let Stage::Aggregating { slices, .. } = &known.stage else { return Ok(()) };
    let envelope = &known.envelope;
    let mut bundles = Vec::new();
    for slice in slices {
        let body = &slice.body;
        let Some(bundle) = node.blobs.get_exact(task, &Kind::Bundle(&body.vault), body.bundle) else {
            return Err(fetch_again(node, envelope, &body.vault).await);
        };
        bundles.push((body.vault.clone(), bundle));
    }
    let call = Call::Aggregate {
        envelope: node.sign(envelope.clone()),
        nonce: aggregate_nonce(envelope),
        bundles,
        masters: state.governance.registry.masters.clone(),
    };
    let command = match enclave(node, call).await? {
        Answer::Aggregated { header, sealed, report } => {
            node.blobs.put(task, &Kind::Result, &sealed)?;
            node.blobs.put(task, &Kind::AggregateReport, &report)?;
            node.blobs.put(task, &Kind::AggregateBoot, &encode(node.aggregator.boot()))?;
            Command::RecordAggregate { aggregate: header }
        }
        Answer::Refused { code, detail } => {
            tracing::warn!(%task, %code, detail, "the aggregator refused");
            Command::RecordAggregationFailure { task: *task, code }
        }
        Answer::Opened { .. } | Answer::Evaluated { .. } => {
            Command::RecordAggregationFailure { task: *task, code: Code::AggregationFailed }
        }
    };
    Ok(node.order(command).await?)
}

/// A bundle was lost here; its Vault has the very same bytes.
async fn fetch_again(node: &Arc<Node>, envelope: &TaskEnvelope, vault: &VaultId) -> Fault {
    let keys = match open_task(node, envelope).await {
        Ok(keys) => keys,
        Err(fault) => return fault,
    };
    for (of, sealed_keys) in keys {
        if of == *vault {
            collect(node, envelope, of, sealed_keys).await;
        }
    }
    Fault::Again(format!("the bundle of {vault} was fetched again"))
}

async fn enclave(node: &Arc<Node>, call: Call) -> Result<Answer, Fault> {
    let (node, request) = (Arc::clone(node), encode(&call));
    let answer = tokio::task::spawn_blocking(move || node.call_aggregator(&request))
        .await
        .map_err(|error| Fault::Again(error.to_string()))??;
    decode(&answer).map_err(|error| Fault::Again(error.to_string()))
}
