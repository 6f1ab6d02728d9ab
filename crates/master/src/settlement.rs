//! Effects of settlement: the verifier's verdict, the Vaults' dividends, the payout of an epoch (R118, R131,
//! R150, R161, R169-R173).

use std::time::Duration;

use futures::future::join_all;
use symphony_chain::port::Chain;
use symphony_protocol::artifact::{
    Attestation, Combined, Evidence, SignedAggregate, SignedDividends, SignedSlice, SignedVerdict,
};
use symphony_protocol::lifecycle::{Stage, Task};
use symphony_protocol::machine::Command;
use symphony_protocol::settlement::payout::{
    EpochStage, PayoutInstructionSet, SignedConfirmation, dividend_request,
};
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, TaskId, VaultId};
use symphony_types::key::{Document as _, Endorsed, Endorsement, Master};
use symphony_wire::documents::{decode, encode};
use symphony_wire::v1::SignedDocument;
use tokio::time::sleep;

use crate::blobs::{Kind, Place};
use crate::bulk;
use crate::claim::{Claim, Subject};
use crate::effects::Fault;
use crate::endorsing::{endorsed, endorsements};
use crate::following;
use crate::node::Node;
use crate::parse;
use crate::round;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Attempts to get a Vault's dividend statement; without one its contributors' money waits an epoch.
const DIVIDEND_ATTEMPTS: u32 = 10;
/// Pause between them.
const RETRY: Duration = Duration::from_millis(500);

/// Has the verifier decide on a result. **Errors**: [`Fault`].
pub async fn verify(node: &Node, task: &TaskId) -> Result<(), Fault> {
    let state = node.state();
    if let Some(known) = state.parses.get(task) {
        return parse::verify(node, known).await;
    }
    let Some(known) = state.tasks.get(task) else { return Ok(()) };
    let Stage::Verifying { slices, aggregate, .. } = &known.stage else { return Ok(()) };
    let mut body = evidence(node, known, slices, aggregate, vec![]).await;
    let claims = vec![
        Claim { subject: Subject::Envelope(*task), document: known.envelope.digest() },
        Claim { subject: Subject::Evidence(*task), document: body.digest() },
    ];
    let mut endorsements = endorsements(node, claims).await?.into_iter();
    body.envelope.endorsements = endorsements.next().unwrap_or_default();
    let evidence: Endorsed<Evidence, Master> =
        Endorsed { body, endorsements: endorsements.next().unwrap_or_default() };
    let mut request =
        tonic::Request::new(SignedDocument { document: encode(&evidence), ..Default::default() });
    request.set_timeout(CALL_TIMEOUT);
    let answer = following::judged(node, node.peers.verifier().verify(request)).await?;
    let verdict: SignedVerdict = decode(&answer.document).map_err(|error| Fault::Again(error.to_string()))?;
    Ok(node.order(Command::RecordVerdict { verdict }).await?)
}

/// The slices and the aggregate that a task has had verified, or is having; `None` before.
pub fn verifying(task: &Task) -> Option<(&[SignedSlice], &SignedAggregate)> {
    match &task.stage {
        Stage::Verifying { slices, aggregate, .. }
        | Stage::AwaitingSettlement { slices, aggregate, .. }
        | Stage::Challenged { slices, aggregate, .. }
        | Stage::Completed { slices, aggregate, .. } => Some((slices, aggregate)),
        Stage::Accepted
        | Stage::Resolving
        | Stage::Computing
        | Stage::Training { .. }
        | Stage::Aggregating { .. }
        | Stage::Rejected { .. }
        | Stage::TimedOut { .. } => None,
    }
}

/// All that was said of a result, with the endorsements of its order. An attestation that no master has any more is
/// shown as absent, and the verifier rejects it.
pub async fn evidence(
    node: &Node,
    task: &Task,
    slices: &[SignedSlice],
    aggregate: &SignedAggregate,
    endorsements: Vec<Endorsement<Master>>,
) -> Evidence {
    let id = task.envelope.task;
    let envelope = Endorsed { body: task.envelope.clone(), endorsements };
    let receipts = task.receipts.clone();
    if task.envelope.plan.training().is_some() {
        let mut rounds = Vec::new();
        for round in node.state().rounds_of(&id) {
            rounds.push(round::combined(node, round).await);
        }
        // A training is verified when its last round is recorded.
        let result = rounds.pop().unwrap_or_else(|| Combined {
            slices: vec![],
            aggregate: (aggregate.clone(), Attestation { boot: vec![], report: vec![] }),
            helper: None,
        });
        return Evidence { envelope, receipts, rounds, result };
    }
    let result = combined(node, slices, aggregate).await;
    Evidence { envelope, receipts, rounds: vec![], result }
}

/// Slices and what was made of them, with their attestations, absent where no master has them.
pub async fn combined(node: &Node, slices: &[SignedSlice], aggregate: &SignedAggregate) -> Combined {
    let mut attested = Vec::with_capacity(slices.len());
    for slice in slices {
        let (task, vault, report) = (slice.body.task, slice.body.vault.clone(), slice.body.report);
        let attestation =
            attestation(node, task, Kind::SliceReport(vault.clone()), Kind::SliceBoot(vault), report);
        attested.push((slice.clone(), attestation.await));
    }
    let of_aggregate = attestation_of(node, aggregate).await;
    Combined { slices: attested, aggregate: (aggregate.clone(), of_aggregate), helper: None }
}

/// The attestation of an aggregation, absent where no master has it.
pub async fn attestation_of(node: &Node, aggregate: &SignedAggregate) -> Attestation {
    let (task, report) = (aggregate.body.task, aggregate.body.report);
    attestation(node, task, Kind::AggregateReport, Kind::AggregateBoot, report).await
}

/// An attestation by the places of its report and of the boot report, absent where no master has it.
pub async fn attestation(node: &Node, task: TaskId, of: Kind, by: Kind, digest: Digest) -> Attestation {
    let report = bulk::get(node, &Place { task, kind: of, digest }).await;
    let boot = match &report {
        Some(_) => bulk::get(node, &Place { task, kind: by, digest }).await,
        None => None,
    };
    Attestation { boot: boot.unwrap_or_default(), report: report.unwrap_or_default() }
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
            asked.push((Subject::Dividends(epoch, vault.clone(), request.staked.clone()), request));
        }
    }
    let asked = endorsed(node, asked).await?;
    let statements = asked.iter().map(|request| statement(node, &request.body.vault, encode(request)));
    let statements = join_all(statements).await.into_iter().flatten().collect();
    Ok(node.order(Command::RecordDividends { epoch, statements }).await?)
}

async fn statement(node: &Node, vault: &VaultId, document: Vec<u8>) -> Option<SignedDividends> {
    for _ in 0..DIVIDEND_ATTEMPTS {
        let mut request =
            tonic::Request::new(SignedDocument { document: document.clone(), standing: vec![] });
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
    let confirmation = submitted(node, Subject::Payout(epoch), instructions.clone()).await?;
    Ok(node.order(Command::RecordPayout { confirmation }).await?)
}

/// Has the payout service submit instructions that the other masters stand behind. Again, it changes nothing on a chain
/// that has them. **Errors**: [`Fault`].
pub(crate) async fn submitted(
    node: &Node,
    subject: Subject,
    instructions: PayoutInstructionSet,
) -> Result<SignedConfirmation, Fault> {
    let document =
        endorsed(node, vec![(subject, instructions)]).await?.first().map(encode).unwrap_or_default();
    let mut request = tonic::Request::new(SignedDocument { document, standing: vec![] });
    request.set_timeout(CALL_TIMEOUT);
    let answer = node.peers.payout().pay(request).await?.into_inner();
    decode(&answer.document).map_err(|error| Fault::Again(error.to_string()))
}
