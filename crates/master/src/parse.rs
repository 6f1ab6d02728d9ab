//! Parses on the master's side (R082-R086, R234): the ticket that admits one, the order to the Vault, the evidence for the
//! verifier, and what their owner sees. Masters carry commitments and never a word of a document.

use std::time::Duration;

use symphony_protocol::artifact::SignedVerdict;
use symphony_protocol::artifact::parse::{
    EndorsedParse, ParseEvidence, ParseOutcome, SignedParse, SignedTicket,
};
use symphony_protocol::machine::{Command, ParseStage, ParseTask, State};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, TaskId};
use symphony_types::key::{Document as _, Endorsed, Endorsement, Master};
use symphony_wire::convert;
use symphony_wire::documents::{decode, encode};
use symphony_wire::status::refusal;
use symphony_wire::v1::{self, ParseResult, SignedDocument};
use tonic::Status;

use crate::admission::left;
use crate::blobs::{Kind, Place};
use crate::bulk;
use crate::claim::{Claim, Subject};
use crate::effects::Fault;
use crate::endorsing::endorsements;
use crate::following;
use crate::node::Node;
use crate::orders::ordered;
use crate::settlement;
use crate::views;

/// How long one document may take in one call: reading it, and waiting for those before it.
const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the verifier may take.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(60);

/// Admits a parse on a ticket that its owner brings. **Errors**: no ticket, another's, or the rules' refusal.
pub async fn submit(node: &Node, actor: &ActorId, ticket: &[u8]) -> Result<v1::Task, Status> {
    let ticket: SignedTicket = decode(ticket).map_err(|error| refusal(Code::Malformed, error))?;
    if ticket.body.owner != *actor {
        return Err(refusal(Code::Forbidden, "the ticket is another person's"));
    }
    let task = ticket.body.task();
    let ordered = node.order(Command::SubmitParse { ticket }).await;
    ordered.map_err(|error| refusal(error.code, error.detail))?;
    views::task(&node.state(), actor, &task).map_err(|code| refusal(code, code.title()))
}

/// Has the Vault read a document. **Errors**: [`Fault`].
pub async fn run(node: &Node, task: &TaskId) -> Result<(), Fault> {
    let state = node.state();
    let Some(known) = state.parses.get(task) else { return Ok(()) };
    let (ParseStage::Parsing, order) = (&known.stage, &known.order) else { return Ok(()) };
    // Past its time, the order of time itself ends it.
    let Some(left) = left(order.execute_by) else { return Ok(()) };
    let documents = vec![(Subject::Parse(*task), order.clone())];
    let Some(ordered) = ordered(node, documents).await?.pop() else { return Ok(()) };
    let vault = &order.ticket.vault;
    let mut client = node.peers.vault(vault).map_err(|code| Fault::Again(format!("{vault}: {code}")))?;
    let mut request = tonic::Request::new(ordered.message());
    request.set_timeout(left.min(CALL_TIMEOUT));
    let answer = match client.parse(request).await {
        Ok(answer) => answer,
        Err(status) => {
            following::bring_if_behind(node, vault, &status).await;
            return Err(status.into());
        }
    };
    let ParseResult { statement, boot, report } = answer.into_inner();
    let statement: SignedParse = decode(&statement).map_err(|error| Fault::Again(error.to_string()))?;
    if let ParseOutcome::Parsed { .. } = statement.body.outcome {
        if Digest::of_bytes(&report) != statement.body.report {
            return Err(Fault::Again("the report is not the statement's".to_owned()));
        }
        let place = |kind| Place { task: *task, kind, digest: statement.body.report };
        let blobs = [
            (place(Kind::SliceReport(vault.clone())), report),
            (place(Kind::SliceBoot(vault.clone())), boot),
        ];
        bulk::secure(node, &blobs).await.map_err(Fault::Again)?;
    }
    Ok(node.order(Command::RecordParse { statement }).await?)
}

/// Has the verifier decide on a parse. **Errors**: [`Fault`].
pub async fn verify(node: &Node, known: &ParseTask) -> Result<(), Fault> {
    let ParseStage::Verifying { statement, .. } = &known.stage else { return Ok(()) };
    let task = known.order.task;
    let mut body = evidence(node, known, statement, vec![]).await;
    let claims = vec![
        Claim { subject: Subject::Parse(task), document: known.order.digest() },
        Claim { subject: Subject::ParseEvidence(task), document: body.digest() },
    ];
    let mut endorsements = endorsements(node, claims).await?.into_iter();
    body.order.endorsements = endorsements.next().unwrap_or_default();
    let evidence: Endorsed<ParseEvidence, Master> =
        Endorsed { body, endorsements: endorsements.next().unwrap_or_default() };
    let mut request =
        tonic::Request::new(SignedDocument { document: encode(&evidence), ..Default::default() });
    request.set_timeout(VERIFY_TIMEOUT);
    let answer = following::judged(node, node.peers.verifier().verify_parse(request)).await?;
    let verdict: SignedVerdict = decode(&answer.document).map_err(|error| Fault::Again(error.to_string()))?;
    Ok(node.order(Command::RecordVerdict { verdict }).await?)
}

/// All that was said of a record. An attestation that no master has any more is shown as absent, and the verifier
/// rejects the record.
async fn evidence(
    node: &Node,
    known: &ParseTask,
    statement: &SignedParse,
    endorsements: Vec<Endorsement<Master>>,
) -> ParseEvidence {
    let (task, vault) = (known.order.task, known.order.ticket.vault.clone());
    let (of, by) = (Kind::SliceReport(vault.clone()), Kind::SliceBoot(vault));
    ParseEvidence {
        order: EndorsedParse { body: known.order.clone(), endorsements },
        statement: statement.clone(),
        attestation: settlement::attestation(node, task, of, by, statement.body.report).await,
    }
}

/// The digest of what the verifier is shown of a parse; `None` when nothing is.
pub async fn evidence_digest(node: &Node, state: &State, task: &TaskId) -> Option<Digest> {
    let known = state.parses.get(task)?;
    let (ParseStage::Verifying { statement, .. }
    | ParseStage::AwaitingSettlement { statement, .. }
    | ParseStage::Completed { statement, .. }) = &known.stage
    else {
        return None;
    };
    Some(evidence(node, known, statement, vec![]).await.digest())
}

/// One of an actor's parses.
pub fn view(state: &State, known: &ParseTask) -> v1::Task {
    let order = &known.order;
    let mut view = v1::Task {
        task_id: order.task.0.0.to_vec(),
        request_id: order.ticket.request.to_string(),
        submitter: order.ticket.owner.to_string(),
        task_class: "parse".to_owned(),
        state: known.state().as_str().to_owned(),
        anchor: "none".to_owned(),
        payout: "none".to_owned(),
        refund: "none".to_owned(),
        platform_class: views::class_of(order.software_admitted).to_owned(),
        updated_ms: known.since.0,
        ..views::versions(order.versions, order.epoch)
    };
    let mut slice = v1::SliceProgress {
        vault_id: order.ticket.vault.to_string(),
        state: "prepared".to_owned(),
        code: String::new(),
    };
    match &known.stage {
        ParseStage::Accepted | ParseStage::Resolving | ParseStage::Parsing => {}
        ParseStage::Verifying { .. } | ParseStage::AwaitingSettlement { .. } => {
            slice.state = "computed".to_owned();
        }
        ParseStage::Completed { settlement, root, .. } => {
            slice.state = "computed".to_owned();
            view.subsidy = settlement.subsidy.0;
            view.shares = settlement.shares.iter().map(convert::share).collect();
            view.settlement_root = root.0.to_vec();
            view.anchor = views::paid_word(state, settlement.epoch).to_owned();
            view.payout.clone_from(&view.anchor);
        }
        ParseStage::Rejected(code) | ParseStage::TimedOut(code) => {
            slice.state = "refused".to_owned();
            slice.code = code.as_str().to_owned();
            view.code.clone_from(&slice.code);
        }
    }
    view.slices = vec![slice];
    view
}
