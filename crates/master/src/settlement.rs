//! Effects of settlement: the verifier's verdict, the Vaults' dividends, the payout of an epoch (R118, R131,
//! R150, R161, R169-R173).

use std::time::Duration;

use futures::future::join_all;
use symphony_chain::port::Chain;
use symphony_protocol::artifact::{
    Attestation, DividendRequest, Evidence, SignedAggregate, SignedDividends, SignedSlice, SignedVerdict,
};
use symphony_protocol::lifecycle::{Stage, Task};
use symphony_protocol::machine::Command;
use symphony_protocol::settlement::payout::{EpochStage, SignedConfirmation, dividend_request};
use symphony_types::id::{EpochId, TaskId, VaultId};
use symphony_wire::documents::{decode, encode};
use symphony_wire::v1::SignedDocument;
use tokio::time::sleep;

use crate::blobs::Kind;
use crate::effects::Fault;
use crate::node::Node;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Attempts to get a Vault's dividend statement; without one its contributors' money waits an epoch.
const DIVIDEND_ATTEMPTS: u32 = 10;
/// Pause between them.
const RETRY: Duration = Duration::from_millis(500);

/// Has the verifier decide on a result. **Errors**: [`Fault`].
pub async fn verify(node: &Node, task: &TaskId) -> Result<(), Fault> {
    let state = node.state();
    let Some(known) = state.tasks.get(task) else { return Ok(()) };
    let Stage::Verifying { slices, aggregate, .. } = &known.stage else { return Ok(()) };
    let evidence = evidence(node, known, slices, aggregate);
    let mut request = tonic::Request::new(SignedDocument { document: encode(&node.sign(evidence)) });
    request.set_timeout(CALL_TIMEOUT);
    let answer = node.peers.verifier().verify(request).await?.into_inner();
    let verdict: SignedVerdict = decode(&answer.document).map_err(|error| Fault::Again(error.to_string()))?;
    Ok(node.order(Command::RecordVerdict { verdict }).await?)
}

/// All that was said of a result. An attestation that was lost is shown as absent, and the verifier rejects it.
pub fn evidence(node: &Node, task: &Task, slices: &[SignedSlice], aggregate: &SignedAggregate) -> Evidence {
    let id = task.envelope.task;
    let blob = |kind: Kind<'_>| node.blobs.get(&id, &kind).unwrap_or_default();
    let attested = slices.iter().map(|slice| {
        let vault = &slice.body.vault;
        let attestation =
            Attestation { boot: blob(Kind::SliceBoot(vault)), report: blob(Kind::SliceReport(vault)) };
        (slice.clone(), attestation)
    });
    Evidence {
        envelope: node.sign(task.envelope.clone()),
        receipts: task.receipts.clone(),
        slices: attested.collect(),
        aggregate: (
            aggregate.clone(),
            Attestation { boot: blob(Kind::AggregateBoot), report: blob(Kind::AggregateReport) },
        ),
    }
}

/// Asks the Vaults for their dividend statements of an epoch and reports them. **Errors**: [`Fault`].
pub async fn close_dividends(node: &Node, epoch: EpochId) -> Result<(), Fault> {
    let state = node.state();
    let closing = state.epochs.get(&epoch).is_some_and(|account| account.stage == EpochStage::Closing);
    if !closing {
        return Ok(());
    }
    let staked = node.chain.staked().await.map_err(|error| Fault::Again(error.to_string()))?;
    let mut asked = Vec::new();
    for (vault, account) in &state.contributors {
        let mut request = dividend_request(&state.governance, vault, epoch, account);
        if !request.shares.is_empty() {
            request.staked = staked.iter().copied().collect();
            asked.push(statement(node, vault, request));
        }
    }
    let statements = join_all(asked).await.into_iter().flatten().collect();
    Ok(node.order(Command::RecordDividends { epoch, statements }).await?)
}

async fn statement(node: &Node, vault: &VaultId, request: DividendRequest) -> Option<SignedDividends> {
    let document = encode(&node.sign(request));
    for _ in 0..DIVIDEND_ATTEMPTS {
        let mut request = tonic::Request::new(SignedDocument { document: document.clone() });
        request.set_timeout(CALL_TIMEOUT);
        let mut client = node.peers.vault(vault).ok()?;
        match client.close_dividends(request).await {
            Ok(answer) => return decode(&answer.into_inner().document).ok(),
            Err(status) => {
                tracing::warn!(%vault, detail = status.message(), "a vault did not close its dividends");
            }
        }
        sleep(RETRY).await;
    }
    None
}

/// Has the payout service pay an epoch and reports the chain's confirmation. **Errors**: [`Fault`].
pub async fn pay(node: &Node, epoch: EpochId) -> Result<(), Fault> {
    let state = node.state();
    let Some(EpochStage::Issued(instructions, _)) = state.epochs.get(&epoch).map(|account| &account.stage)
    else {
        return Ok(());
    };
    let mut request =
        tonic::Request::new(SignedDocument { document: encode(&node.sign(instructions.clone())) });
    request.set_timeout(CALL_TIMEOUT);
    let answer = node.peers.payout().pay(request).await?.into_inner();
    let confirmation: SignedConfirmation =
        decode(&answer.document).map_err(|error| Fault::Again(error.to_string()))?;
    Ok(node.order(Command::RecordPayout { confirmation }).await?)
}
