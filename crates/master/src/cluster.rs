//! What a master answers the other masters (R195, R196, R211): endorsements of documents that it makes anew from its own
//! state, and bulk by digest.
//!
//! A master signs nothing that it was sent. Whatever it finds otherwise may only be later or earlier than what the other
//! sees, so it waits a moment and then says that the masters do not agree yet.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use symphony_chain::port::Chain as _;
use symphony_protocol::artifact::{Attestation, SignedAggregate};
use symphony_protocol::execution::aggregate::{self, AttestedAggregate};
use symphony_protocol::lifecycle::Stage;
use symphony_protocol::machine::State;
use symphony_protocol::reconcile::chain;
use symphony_protocol::settlement::payout::dividend_request;
use symphony_protocol::verification::aggregate_attested;
use symphony_tee::governed;
use symphony_tee::report::EnclaveRole;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, NodeId, TaskId, VaultId};
use symphony_types::key::Document as _;
use symphony_types::limits::{COMMAND_BYTES_MAX, SEALED_BYTES_MAX, VAULTS_PER_TASK_MAX};
use symphony_wire::documents::{decode, encode};
use symphony_wire::status::refusal;
use symphony_wire::tls::{NodeRole, Peer};
use symphony_wire::v1::master_node_server::{MasterNode, MasterNodeServer};
use symphony_wire::v1::{
    Acknowledgement, AggregatorBoot, AggregatorRequest, Blob, BlobRef, EndorseRequest, EndorseResponse,
    HelpAnswer, HelpRequest,
};
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status};

use crate::blobs::{BLOBS_PER_KIND_MAX, Kind, Place};
use crate::claim::{self, Claim, Handed, Subject};
use crate::node::{Node, now};
use crate::{
    admission, bulk, helping, parse, proofs, reconcile, review, round, settlement, stakes, views, watching,
};

/// How long a question waits for this master to see what the other one sees.
const CATCH_UP: Duration = Duration::from_millis(1_500);
/// How often it looks again meanwhile, though nothing was ordered: the chain moves by itself.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Claims of one question: those of all Vaults of a task, or of an epoch.
const CLAIMS_MAX: usize = VAULTS_PER_TASK_MAX * 4;

/// The service for the other masters.
pub fn service(node: Arc<Node>) -> MasterNodeServer<impl MasterNode> {
    let limit = SEALED_BYTES_MAX + (1 << 20);
    MasterNodeServer::new(Service { node }).max_decoding_message_size(limit).max_encoding_message_size(limit)
}

/// Lets only nodes of one role reach a service; several services of different roles share a listener. **Errors**: of the
/// interceptor, `ADM-0003`.
pub fn only(role: NodeRole) -> impl Fn(Request<()>) -> Result<Request<()>, Status> + Clone {
    move |request| match request.extensions().get::<Peer>() {
        Some(peer) if peer.role == role => Ok(request),
        Some(_) | None => Err(refusal(Code::Forbidden, "this service is for other nodes")),
    }
}

/// Why a claim is not endorsed now.
#[derive(Debug)]
pub(crate) enum Doubt {
    /// This master does not see it so, or not yet.
    Other(&'static str),
    /// It never will.
    Wrong(Code, String),
}

struct Service {
    node: Arc<Node>,
}

#[tonic::async_trait]
impl MasterNode for Service {
    async fn endorse(&self, request: Request<EndorseRequest>) -> Result<Response<EndorseResponse>, Status> {
        let master = asking(&request)?;
        let claims = request.into_inner().claims;
        if claims.len() > CLAIMS_MAX || claims.iter().map(Vec::len).sum::<usize>() > COMMAND_BYTES_MAX * 4 {
            return Err(refusal(Code::BodyTooLarge, "too many claims"));
        }
        let claims: Result<Vec<Claim>, _> = claims.iter().map(|bytes| decode(bytes)).collect();
        let claims = claims.map_err(|error| refusal(Code::Malformed, error))?;
        self.in_time(|| self.judge(&master, &claims)).await?;
        let signatures = claims.iter().map(|claim| self.node.endorse(&claim.document).signature.0.to_vec());
        Ok(Response::new(EndorseResponse { signatures: signatures.collect() }))
    }

    async fn put_blob(&self, request: Request<Blob>) -> Result<Response<Acknowledgement>, Status> {
        asking(&request)?;
        let Blob { address, content } = request.into_inner();
        let place = address.as_ref().and_then(bulk::place);
        let place = place.ok_or_else(|| refusal(Code::Malformed, "no place of a blob"))?;
        let open = || async {
            let state = self.node.state();
            let open = state.tasks.get(&place.task).is_some_and(|task| !task.state().terminal());
            let parsing = state.parses.get(&place.task).is_some_and(|task| !task.state().terminal());
            if open || parsing { Ok(()) } else { Err(Doubt::Other("no open task")) }
        };
        self.in_time(open).await?;
        if !bulk::belongs(&self.node, &place, &content) {
            return Err(refusal(Code::Malformed, "the blob is not of that place"));
        }
        if self.node.blobs.beside(&place) >= BLOBS_PER_KIND_MAX {
            return Err(refusal(Code::BodyTooLarge, "too many blobs of the task"));
        }
        self.node.blobs.put(&place, &content).map_err(|error| refusal(Code::Unavailable, error))?;
        Ok(Response::new(Acknowledgement {}))
    }

    async fn get_blob(&self, request: Request<BlobRef>) -> Result<Response<Blob>, Status> {
        asking(&request)?;
        let address = request.into_inner();
        let place = bulk::place(&address).ok_or_else(|| refusal(Code::Malformed, "no place of a blob"))?;
        let content = self.node.blobs.get(&place).filter(|bytes| bulk::belongs(&self.node, &place, bytes));
        let content = content.ok_or_else(|| refusal(Code::NotFound, "the blob is not here"))?;
        Ok(Response::new(Blob { address: Some(address), content }))
    }

    async fn get_aggregator(
        &self,
        request: Request<AggregatorRequest>,
    ) -> Result<Response<AggregatorBoot>, Status> {
        asking(&request)?;
        Ok(Response::new(AggregatorBoot { boot: encode(&self.node.aggregator.boot()) }))
    }

    async fn help_round(&self, request: Request<HelpRequest>) -> Result<Response<HelpAnswer>, Status> {
        asking(&request)?;
        let answer = helping::answer(&self.node, &self.node.state(), request.into_inner()).await;
        answer.map(Response::new).map_err(|(code, detail)| refusal(code, detail))
    }
}

impl Service {
    /// Asks again after every ordered command, and now and then, until there is no doubt, or for long enough.
    async fn in_time<F>(&self, judge: impl Fn() -> F) -> Result<(), Status>
    where
        F: Future<Output = Result<(), Doubt>>,
    {
        let until = Instant::now() + CATCH_UP;
        loop {
            let mut ordered = self.node.orderer.subscribe();
            let why = match judge().await {
                Ok(()) => return Ok(()),
                Err(Doubt::Wrong(code, detail)) => return Err(refusal(code, detail)),
                Err(Doubt::Other(why)) => why,
            };
            // A lagging subscription is as good as a new command; a closed one never wakes again.
            let waited = timeout_at(until.min(Instant::now() + LOOK_AGAIN), ordered.recv()).await;
            let closed = matches!(waited, Ok(Err(tokio::sync::broadcast::error::RecvError::Closed)));
            if closed || Instant::now() >= until {
                return Err(refusal(Code::Undecided, why));
            }
        }
    }

    async fn judge(&self, master: &NodeId, claims: &[Claim]) -> Result<(), Doubt> {
        let state = self.node.state();
        let mut judged = BTreeSet::new();
        for claim in claims {
            let document = match &claim.subject {
                Subject::Assignment(handed) => assignment(&self.node.network, &state, master, handed)?,
                Subject::Evidence(task) => self.evidence(&state, task).await.ok_or(UNSEEN)?,
                Subject::ParseEvidence(task) => {
                    parse::evidence_digest(&self.node, &state, task).await.ok_or(UNSEEN)?
                }
                Subject::Bundle(task) => {
                    views::settled(&self.node, task, vec![]).await.ok_or(UNSEEN)?.digest()
                }
                Subject::Candidate(task) => {
                    watching::candidate(&self.node, task, vec![]).await.ok_or(UNSEEN)?.digest()
                }
                Subject::Dividends(epoch, vault, staked) => {
                    self.dividends(&state, *epoch, vault, staked).await?
                }
                Subject::Lock(lock) => admission::confirmed(&self.node.chain, *lock)
                    .await
                    .map_err(|_| Doubt::Other("the chain does not answer"))?
                    .ok_or(Doubt::Other("the chain does not show that lock"))?
                    .digest(),
                Subject::Aggregate(aggregate) => attested(&self.node, &state, aggregate).await?.digest(),
                Subject::RoundOrder(handed) => round::order(&self.node.network, &state, master, handed)?,
                Subject::Round(round) => round::attested(&self.node, &state, round).await?,
                Subject::Finding(finding, endorsements) => {
                    review::attested(&self.node, &state, finding, endorsements).await?
                }
                Subject::Adjustment(adjustment) => {
                    reconcile::attested(&self.node, &state, adjustment).await?
                }
                Subject::Stakes(number) => self.stakes(&state, *number).await?,
                Subject::NodePay(epoch) => stakes::due(&state, *epoch, now()).digest(),
                Subject::Standing(order) if judged.contains(order) => {
                    state.proposals.log.standing(*order).digest()
                }
                Subject::Journal(place) => proofs::head(&self.node, *place).map_err(|_| UNSEEN)?.digest(),
                subject => of_state(&state, subject).ok_or(UNSEEN)?,
            };
            if document != claim.document {
                return Err(Doubt::Other("this master has another document"));
            }
            judged.insert(document);
        }
        Ok(())
    }

    async fn evidence(&self, state: &State, task: &TaskId) -> Option<Digest> {
        let task = state.tasks.get(task)?;
        let (slices, aggregate) = settlement::verifying(task)?;
        Some(settlement::evidence(&self.node, task, slices, aggregate, vec![]).await.digest())
    }

    async fn stakes(&self, state: &State, number: u64) -> Result<Digest, Doubt> {
        let seen = stakes::sheet(&self.node.chain, state).await;
        let seen = seen.map_err(|_| Doubt::Other("the chain does not answer"))?;
        if seen.number == number { Ok(seen.digest()) } else { Err(UNSEEN) }
    }

    async fn dividends(
        &self,
        state: &State,
        epoch: EpochId,
        vault: &VaultId,
        staked: &[symphony_types::id::AccountId],
    ) -> Result<Digest, Doubt> {
        let account =
            state.contributors.get(vault).filter(|_| claim::closing(state, &epoch)).ok_or(UNSEEN)?;
        let seen = self.node.chain.staked().await.map_err(|_| Doubt::Other("the chain does not answer"))?;
        if !staked.is_sorted_by(|one, next| one < next)
            || staked.iter().copied().collect::<BTreeSet<_>>() != seen
        {
            return Err(Doubt::Other("others are staked"));
        }
        let mut request = dividend_request(&state.governance, vault, epoch, account);
        request.staked = staked.to_vec();
        Ok(request.digest())
    }
}

/// The assignment, whose keys this master cannot look into: it is the lease holder's who asks, for the attempt that the
/// lease says, and the keys come from an enclave of that master that appraises.
fn assignment(network: &str, state: &State, master: &NodeId, handed: &Handed) -> Result<Digest, Doubt> {
    let (lease, attempt) = claim::assigning(state, &handed.task).ok_or(UNSEEN)?;
    if lease.runner != *master || attempt != handed.attempt {
        return Err(Doubt::Other("the slices are not that master's to assign"));
    }
    if claim::reviewing(state, &handed.task) != handed.review {
        return Err(Doubt::Other("the slices are not for that"));
    }
    let envelope = claim::envelope(state, &handed.task).ok_or(UNSEEN)?;
    if !envelope.coordination.participating_vault_ids.contains(&handed.vault) {
        return Err(Doubt::Wrong(Code::EnvelopeInvalid, "the vault does not take part".to_owned()));
    }
    let (boot, role) = (&handed.aggregator_boot, EnclaveRole::Aggregator);
    let boot = governed::admit(network, &state.governance, envelope, boot, role)
        .map_err(|(code, detail)| Doubt::Wrong(code, detail))?;
    if boot.actor != envelope.coordination.aggregator || boot.node != *master {
        return Err(Doubt::Wrong(Code::AttestationFailed, "the enclave is another aggregator's".to_owned()));
    }
    Ok(handed.assignment(envelope).digest())
}

/// An aggregate, if its result and its attestation are here and [`appraised`] finds it good.
pub(crate) async fn attested(
    node: &Node,
    state: &State,
    aggregate: &SignedAggregate,
) -> Result<AttestedAggregate, Doubt> {
    let body = &aggregate.body;
    if !state.tasks.get(&body.task).is_some_and(|task| matches!(task.stage, Stage::Aggregating { .. })) {
        return Err(UNSEEN);
    }
    let result = Place { task: body.task, kind: Kind::Result, digest: body.result };
    if bulk::get(node, &result).await.is_none() {
        return Err(Doubt::Other("the result is not here"));
    }
    let attestation = settlement::attestation_of(node, aggregate).await;
    appraised(&node.network, state, aggregate, &attestation)
}

/// An aggregate of the slices that count, if it fits the order and an approved enclave made it. The verifier rejects one
/// that is not, and a task must not end by what one master ordered.
fn appraised(
    network: &str,
    state: &State,
    aggregate: &SignedAggregate,
    attestation: &Attestation,
) -> Result<AttestedAggregate, Doubt> {
    let task = state.tasks.get(&aggregate.body.task).ok_or(UNSEEN)?;
    let Stage::Aggregating { slices, .. } = &task.stage else { return Err(UNSEEN) };
    if !aggregate::combines(slices, aggregate) {
        return Err(Doubt::Other("other slices are combined"));
    }
    let wrong = |code: Code| Doubt::Wrong(code, code.title().to_owned());
    aggregate::check(&task.envelope, slices, aggregate).map_err(wrong)?;
    let nonce = aggregate::aggregate_nonce(&task.envelope);
    let appraise =
        |attestation: &_, expected: &_| governed::judge(network, &state.governance, attestation, expected);
    match aggregate_attested(&task.envelope, nonce, slices, (aggregate, attestation), &appraise) {
        Ok(_) => Ok(AttestedAggregate { aggregate: aggregate.clone() }),
        Err((Code::AttestationMissing, _)) => Err(Doubt::Other("the attestation is not here")),
        Err((code, detail)) => Err(Doubt::Wrong(code, detail)),
    }
}

/// The digest of a document that follows from the state alone; `None` when there is none, and for the other subjects.
fn of_state(state: &State, subject: &Subject) -> Option<Digest> {
    match subject {
        Subject::Preparation(task, vault) => Some(claim::preparation(state, task, vault)?.digest()),
        Subject::Release(task, vault) => Some(claim::release(state, task, vault)?.digest()),
        Subject::Envelope(task) => Some(claim::envelope(state, task)?.digest()),
        Subject::Parse(task) => Some(claim::parse(state, task)?.digest()),
        Subject::Payout(epoch) => Some(claim::payout(state, epoch)?.digest()),
        Subject::Anchoring(epoch, task) => Some(chain::anchoring(state, *epoch, task)?.digest()),
        Subject::LogHead => Some(state.proposals.log.head().digest()),
        Subject::Epoch(epoch) => Some(state.epoch_record(*epoch).ok()?.digest()),
        Subject::Assignment(_)
        | Subject::Evidence(_)
        | Subject::ParseEvidence(_)
        | Subject::Bundle(_)
        | Subject::Candidate(_)
        | Subject::Dividends(..)
        | Subject::Lock(_)
        | Subject::RoundOrder(_)
        | Subject::Round(_)
        | Subject::Standing(_)
        | Subject::Aggregate(_)
        | Subject::Finding(..)
        | Subject::Journal(_)
        | Subject::Adjustment(_)
        | Subject::Stakes(_)
        | Subject::NodePay(_) => None,
    }
}

/// Which master asks, by its certificate.
fn asking<T>(request: &Request<T>) -> Result<NodeId, Status> {
    match request.extensions().get::<Peer>() {
        Some(Peer { role: NodeRole::Master, node }) => Ok(node.clone()),
        Some(_) | None => Err(refusal(Code::Forbidden, "only a master asks this")),
    }
}

pub(crate) const UNSEEN: Doubt = Doubt::Other("this master does not see it so");

#[cfg(test)]
mod tests;
