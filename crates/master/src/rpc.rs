//! What the gateway asks in its callers' names (R015, R207, R208): every call carries the caller that the
//! gateway proved and signed; everything that changes something becomes a command.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use symphony_chain::port::{Request as ChainRequest, Response as ChainResponse, Transport};
use symphony_protocol::admission::request::{SCHEMA, terms_among};
use symphony_protocol::admission::training::rounds_possible;
use symphony_protocol::artifact::compute::ComputePlan;
use symphony_protocol::artifact::{Plan, TaskRequest, Work};
use symphony_protocol::evidence::EndorsedBundle;
use symphony_protocol::governance::membership::MemberStatus;
use symphony_protocol::governance::stake::{NodeTier, StakeStanding};
use symphony_protocol::lifecycle::Stage;
use symphony_protocol::machine::{Answer, Command, State, fingerprint};
use symphony_protocol::settlement::challenge::filed;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, ActorId, LockRef, TaskId, VaultId};
use symphony_types::key::Document as _;
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_wire::caller::{self, Caller};
use symphony_wire::status::refusal;
use symphony_wire::v1::platform_server::{Platform, PlatformServer};
use symphony_wire::{convert, documents, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::blobs::{Kind, Place};
use crate::bulk;
use crate::chain::LedgerChannel;
use crate::claim::{Claim, Subject};
use crate::effects::Fault;
use crate::endorsing::endorsements;
use crate::node::{Node, now};
use crate::{
    admission, candidates, chain, council, epochs, parse, proofs, reconcile, round, views, watching,
};

/// How long a submission waits for the Vaults before it answers "pending".
const ADMISSION_WAIT: Duration = Duration::from_secs(20);
/// How long a relayed operation may take.
const RELAY_TIMEOUT: Duration = Duration::from_secs(300);
/// How often an evidence bundle is made until a majority makes the same one.
const EVIDENCE_ATTEMPTS: u32 = 3;
/// Steps of a watched task that wait for a slow reader.
const WATCH_BUFFER: usize = 32;

/// The service for the gateway.
pub fn service(node: Arc<Node>) -> PlatformServer<impl Platform> {
    let limit = SEALED_BYTES_MAX + (1 << 20);
    PlatformServer::new(Service { node }).max_decoding_message_size(limit).max_encoding_message_size(limit)
}

struct Service {
    node: Arc<Node>,
}

impl Service {
    fn caller(&self, metadata: &MetadataMap, method: &str) -> Result<Caller, Status> {
        let key = self.node.state().governance.registry.gateway;
        caller::read(metadata, &key, method, now()).map_err(|code| refusal(code, code.title()))
    }

    /// Where a submission stands, as an answer to its submitter: a refusal is a refusal.
    fn answer(&self, actor: &ActorId, task: &TaskId) -> Result<v1::Task, Status> {
        let view = views::task(&self.node.state(), actor, task).map_err(plain)?;
        if view.state == views::REFUSED {
            let code = symphony_types::catalogue::by_str(&view.code).unwrap_or(Code::Internal);
            return Err(refusal(code, code.title()));
        }
        Ok(view)
    }

    async fn submit(&self, actor: &ActorId, request: TaskRequest, lock: LockRef) -> Result<v1::Task, Status> {
        let task = request.task();
        let known = self.node.state().requests.get(&task).map(|submission| submission.fingerprint);
        match known {
            Some(known) if known == fingerprint(&request, lock) => {}
            Some(_) => return Err(plain(Code::IdempotencyConflict)),
            None => {
                let fact = admission::fact(&self.node, lock).await.map_err(unseen)?;
                let command = Command::SubmitTask { request, lock, fact };
                self.node.order(command).await.map_err(|error| refusal(error.code, error.detail))?;
            }
        }
        self.settled_admission(&task).await;
        self.answer(actor, &task)
    }

    /// Waits until the Vaults have answered, or long enough.
    async fn settled_admission(&self, task: &TaskId) {
        let mut ordered = self.node.orderer.subscribe();
        let pending = || {
            let state = self.node.state();
            state
                .requests
                .get(task)
                .is_some_and(|submission| matches!(submission.answer, Answer::Preparing(_)))
        };
        let wait = async {
            while pending() {
                if let Err(tokio::sync::broadcast::error::RecvError::Closed) = ordered.recv().await {
                    return;
                }
            }
        };
        // Past the wait the caller gets the pending state and asks again.
        let _ = tokio::time::timeout(ADMISSION_WAIT, wait).await;
    }

    /// The bundle with the endorsements of a majority. While the masters see the payout at different moments it is made
    /// again. **Errors**: `GOV-0005`.
    async fn endorsed_bundle(&self, id: &TaskId) -> Result<EndorsedBundle, Status> {
        let mut why = Code::Undecided.title().to_owned();
        for _ in 0..EVIDENCE_ATTEMPTS {
            let body =
                views::settled(&self.node, id, vec![]).await.ok_or_else(|| plain(Code::ResultNotReady))?;
            let claims = vec![
                Claim { subject: Subject::Envelope(*id), document: body.evidence.envelope.body.digest() },
                Claim { subject: Subject::Bundle(*id), document: body.digest() },
            ];
            let mut bundle = EndorsedBundle { body, endorsements: vec![] };
            match endorsements(&self.node, claims).await {
                Ok(endorsements) => {
                    let mut endorsements = endorsements.into_iter();
                    bundle.body.evidence.envelope.endorsements = endorsements.next().unwrap_or_default();
                    bundle.endorsements = endorsements.next().unwrap_or_default();
                    return Ok(bundle);
                }
                Err(fault) => why = fault.to_string(),
            }
        }
        Err(refusal(Code::Undecided, why))
    }

    async fn chain_call(&self, bytes: Vec<u8>) -> Result<Vec<u8>, Status> {
        let answer = LedgerChannel(self.node.peers.chain()).call(bytes).await;
        let answer = answer.map_err(|error| refusal(error.code(), error))?;
        match ChainResponse::from_bytes(&answer) {
            Some(ChainResponse::Refused(refused)) => Err(refusal(refused.code(), refused)),
            Some(ChainResponse::Malformed) => Err(plain(Code::Malformed)),
            Some(ChainResponse::Executed(_) | ChainResponse::Answer(_)) => Ok(answer),
            None => Err(plain(Code::Internal)),
        }
    }

    fn entry(&self, caller: &Caller, vault: &VaultId) -> Result<v1::VaultEntry, Status> {
        let state = self.node.state();
        let registry = &state.governance.registry;
        let record = registry.vaults.get(vault).ok_or_else(|| plain(Code::VaultUnknown))?;
        let elsewhere = registry.elsewhere(&caller.actor).filter(|_| registry.withheld(vault).is_some());
        Ok(v1::VaultEntry {
            vault_id: vault.to_string(),
            operator: record.operator.to_string(),
            sealing_key: record.sealing_key.clone(),
            reachable: self.node.peers.health(vault, now()).is_some(),
            status: status_of(&state, vault),
            elsewhere: elsewhere.map(ToString::to_string).unwrap_or_default(),
        })
    }
}

fn stake_of(state: &State, vault: &VaultId) -> String {
    let operator = state.governance.registry.operator(vault);
    let standing = operator.map(|of| state.staking(now()).standing(NodeTier::Enterprise, of.account));
    standing.map_or("", StakeStanding::as_str).to_owned()
}

fn status_of(state: &State, vault: &VaultId) -> String {
    state.status(vault, now()).map_or("", MemberStatus::as_str).to_owned()
}

type TaskStream = Pin<Box<dyn Stream<Item = Result<v1::Task, Status>> + Send>>;

#[tonic::async_trait]
impl Platform for Service {
    type WatchTaskStream = TaskStream;

    async fn get_quote(&self, request: Request<v1::TaskSpec>) -> Result<Response<v1::Quote>, Status> {
        let caller = self.caller(request.metadata(), "GetQuote")?;
        let asked = convert::quote_request(&caller.actor, request.into_inner()).map_err(refused)?;
        let state = self.node.state();
        let terms = terms_among(&state.staking(now()), &asked).map_err(|code| {
            match possible(&state, &asked).filter(|_| code == Code::BudgetTooSmall) {
                Some(rounds) => refusal(code, format!("under these terms {rounds} rounds are possible")),
                None => plain(code),
            }
        })?;
        let coverage = terms.vaults.iter().map(|vault| {
            let health = self.node.peers.health(vault, now());
            v1::VaultCoverage {
                vault_id: vault.to_string(),
                consented_bucket: health
                    .as_ref()
                    .and_then(|health| health.coverage.get(&asked.scope))
                    .map_or(0, |bucket| bucket.0),
                reachable: health.is_some(),
            }
        });
        Ok(Response::new(v1::Quote {
            policy_version: state.governance.version_at(now()).0,
            semantic_version: state.governance.semantics_at(now()).version.0,
            worst_case: Some(convert::fee(&terms.worst_case)),
            exposure_micro_epsilon: terms.charge.exposure.0,
            noised_micro_epsilon: terms.charge.noised.0,
            minimum_result_cardinality: match &terms.plan {
                Plan::Audience(query) => query.minimum_result_cardinality,
                Plan::Training(plan) => plan.minimum_cohort,
                Plan::Compute(plan) => plan.minimum_cohort,
                Plan::Statistic(plan) => plan.minimum_result_cardinality,
            },
            rounds_possible: match &terms.plan {
                Plan::Audience(_) | Plan::Compute(_) | Plan::Statistic(_) => 0,
                Plan::Training(plan) => {
                    rounds_possible(&state.governance, &asked.scope, &plan.training, now()).map_err(plain)?
                }
            },
            fuel_max: terms.plan.compute().map_or(0, ComputePlan::fuel_max),
            coverage: coverage.collect(),
            lock_until_ms: terms.lock_until.0,
        }))
    }

    async fn submit_task(
        &self,
        request: Request<v1::SubmitTaskRequest>,
    ) -> Result<Response<v1::Task>, Status> {
        let caller = self.caller(request.metadata(), "SubmitTask")?;
        let (asked, lock) = convert::task_request(&caller.actor, request.into_inner()).map_err(refused)?;
        Ok(Response::new(self.submit(&caller.actor, asked, lock).await?))
    }

    async fn submit_parse(
        &self,
        request: Request<v1::SubmitParseRequest>,
    ) -> Result<Response<v1::Task>, Status> {
        let caller = self.caller(request.metadata(), "SubmitParse")?;
        Ok(Response::new(parse::submit(&self.node, &caller.actor, &request.get_ref().ticket).await?))
    }

    async fn get_task(&self, request: Request<v1::TaskRef>) -> Result<Response<v1::Task>, Status> {
        let caller = self.caller(request.metadata(), "GetTask")?;
        let task = convert::task_id(request.get_ref()).map_err(refused)?;
        Ok(Response::new(views::task(&self.node.state(), &caller.actor, &task).map_err(plain)?))
    }

    async fn watch_task(&self, request: Request<v1::TaskRef>) -> Result<Response<TaskStream>, Status> {
        let caller = self.caller(request.metadata(), "WatchTask")?;
        let task = convert::task_id(request.get_ref()).map_err(refused)?;
        views::task(&self.node.state(), &caller.actor, &task).map_err(plain)?;
        let (sender, receiver) = mpsc::channel(WATCH_BUFFER);
        tokio::spawn(watch(Arc::clone(&self.node), caller.actor, task, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn get_result(&self, request: Request<v1::TaskRef>) -> Result<Response<v1::TaskResult>, Status> {
        let caller = self.caller(request.metadata(), "GetResult")?;
        let id = convert::task_id(request.get_ref()).map_err(refused)?;
        let state = self.node.state();
        let task = state.tasks.get(&id).filter(|task| task.envelope.submitter == caller.actor);
        let Stage::Completed { aggregate, root, delivered_at, .. } =
            &task.ok_or_else(|| plain(Code::NotFound))?.stage
        else {
            return Err(plain(Code::ResultNotReady));
        };
        // A master that does not hold the bytes vouches for their digest; the gateway gets them from another one.
        let place = Place { task: id, kind: Kind::Result, digest: aggregate.body.result };
        let sealed = bulk::get(&self.node, &place).await;
        let alone = state.governance.registry.masters.len() == 1;
        if alone && sealed.is_none() {
            return Err(refusal(Code::Internal, "the sealed result is not in the store"));
        }
        if delivered_at.is_none() && sealed.is_some() {
            // Recorded before the first byte leaves (R232).
            let delivery = Command::RecordDelivery { task: id };
            self.node.order(delivery).await.map_err(|error| refusal(error.code, error.detail))?;
        }
        let outcome = aggregate.body.outcome;
        Ok(Response::new(v1::TaskResult {
            task_id: id.0.0.to_vec(),
            outcome: convert::outcome(&outcome).to_owned(),
            returned: outcome.returned(),
            sealed: sealed.unwrap_or_default(),
            settlement_root: root.0.to_vec(),
            code: views::code_of(&outcome).map_or_else(String::new, |code| code.as_str().to_owned()),
            sealed_digest: aggregate.body.result.0.to_vec(),
        }))
    }

    async fn get_step(&self, request: Request<v1::StepRef>) -> Result<Response<v1::SealedStep>, Status> {
        let caller = self.caller(request.metadata(), "GetStep")?;
        let asked = request.into_inner();
        let id = convert::task_id(&v1::TaskRef { task_id: asked.task_id }).map_err(refused)?;
        views::provable(&self.node.state(), &caller.actor, &id).map_err(plain)?;
        Ok(Response::new(round::step(&self.node, &id, asked.round).await.map_err(plain)?))
    }

    async fn get_evidence(
        &self,
        request: Request<v1::TaskRef>,
    ) -> Result<Response<v1::EvidenceBundle>, Status> {
        let caller = self.caller(request.metadata(), "GetEvidence")?;
        let id = convert::task_id(request.get_ref()).map_err(refused)?;
        views::provable(&self.node.state(), &caller.actor, &id).map_err(plain)?;
        let bundle = self.endorsed_bundle(&id).await?;
        Ok(Response::new(v1::EvidenceBundle { bundle: documents::encode(&bundle) }))
    }

    async fn get_candidate(
        &self,
        request: Request<v1::TaskRef>,
    ) -> Result<Response<v1::EvidenceBundle>, Status> {
        let caller = self.caller(request.metadata(), "GetCandidate")?;
        let id = convert::task_id(request.get_ref()).map_err(refused)?;
        watching::open(&self.node.state(), &caller.actor, &id).map_err(plain)?;
        let bundle = watching::endorsed(&self.node, &id).await.map_err(unseen)?;
        Ok(Response::new(v1::EvidenceBundle { bundle: documents::encode(&bundle) }))
    }

    async fn list_tasks(&self, request: Request<v1::TasksRequest>) -> Result<Response<v1::TaskList>, Status> {
        let caller = self.caller(request.metadata(), "ListTasks")?;
        let list = watching::list(&self.node.state(), &caller.actor, request.get_ref());
        Ok(Response::new(list.map_err(plain)?))
    }

    async fn file_challenge(
        &self,
        request: Request<v1::ChallengeFiling>,
    ) -> Result<Response<v1::ChallengeList>, Status> {
        let caller = self.caller(request.metadata(), "FileChallenge")?;
        let (filing, lock) = convert::filing(&caller.actor, request.into_inner()).map_err(refused)?;
        let task = filing.task;
        if !filed(self.node.state().challenges_of(&task).map(|(_, known)| known), &filing) {
            let fact = admission::fact(&self.node, lock).await.map_err(unseen)?;
            let command = Command::Challenge { filing, lock, fact };
            self.node.order(command).await.map_err(|error| refusal(error.code, error.detail))?;
        }
        Ok(Response::new(views::challenges(&self.node.state(), &caller.actor, &task).map_err(plain)?))
    }

    async fn list_challenges(
        &self,
        request: Request<v1::TaskRef>,
    ) -> Result<Response<v1::ChallengeList>, Status> {
        let caller = self.caller(request.metadata(), "ListChallenges")?;
        let task = convert::task_id(request.get_ref()).map_err(refused)?;
        Ok(Response::new(views::challenges(&self.node.state(), &caller.actor, &task).map_err(plain)?))
    }

    async fn list_vaults(
        &self,
        request: Request<v1::ListVaultsRequest>,
    ) -> Result<Response<v1::VaultList>, Status> {
        let caller = self.caller(request.metadata(), "ListVaults")?;
        let state = self.node.state();
        let vaults = state.governance.registry.vaults.keys().map(|vault| self.entry(&caller, vault));
        Ok(Response::new(v1::VaultList { vaults: vaults.collect::<Result<_, _>>()? }))
    }

    async fn assign_vault(
        &self,
        request: Request<v1::AssignVaultRequest>,
    ) -> Result<Response<v1::VaultEntry>, Status> {
        let caller = self.caller(request.metadata(), "AssignVault")?;
        let state = self.node.state();
        let vault = state.governance.registry.assigned(&caller.actor);
        let vault = vault.ok_or_else(|| plain(Code::VaultUnknown))?;
        Ok(Response::new(self.entry(&caller, vault)?))
    }

    async fn relay_to_vault(
        &self,
        request: Request<v1::SealedRequest>,
    ) -> Result<Response<v1::SealedResponse>, Status> {
        self.caller(request.metadata(), "RelayToVault")?;
        let message = request.into_inner();
        let vault = VaultId::new(&message.vault_id).map_err(|_| plain(Code::VaultUnknown))?;
        let mut forward = Request::new(v1::SealedOperation { sealed: message.sealed });
        forward.set_timeout(RELAY_TIMEOUT);
        let answer =
            self.node.peers.vault(&vault).map_err(plain)?.operate(forward).await.map_err(|status| {
                let (code, detail) = symphony_wire::status::problem_of(&status);
                let code = if code == Code::Unavailable { Code::VaultUnavailable } else { code };
                refusal(code, detail)
            })?;
        Ok(Response::new(v1::SealedResponse { sealed: answer.into_inner().sealed }))
    }

    async fn submit_transaction(
        &self,
        request: Request<v1::ChainBytes>,
    ) -> Result<Response<v1::ChainBytes>, Status> {
        self.caller(request.metadata(), "SubmitTransaction")?;
        let bytes = request.into_inner().bytes;
        match ChainRequest::from_bytes(&bytes) {
            Some(ChainRequest::Submit(_)) => {}
            Some(ChainRequest::Query(_)) | None => return Err(plain(Code::Malformed)),
        }
        Ok(Response::new(v1::ChainBytes { bytes: self.chain_call(bytes).await? }))
    }

    async fn query_chain(
        &self,
        request: Request<v1::ChainBytes>,
    ) -> Result<Response<v1::ChainBytes>, Status> {
        self.caller(request.metadata(), "QueryChain")?;
        let bytes = request.into_inner().bytes;
        match ChainRequest::from_bytes(&bytes) {
            Some(ChainRequest::Query(_)) => {}
            Some(ChainRequest::Submit(_)) | None => return Err(plain(Code::Malformed)),
        }
        Ok(Response::new(v1::ChainBytes { bytes: self.chain_call(bytes).await? }))
    }

    async fn get_chain_account(
        &self,
        request: Request<v1::ChainAccountRequest>,
    ) -> Result<Response<v1::ChainAccount>, Status> {
        self.caller(request.metadata(), "GetChainAccount")?;
        let bytes = <[u8; 32]>::try_from(request.into_inner().account).map_err(|_| plain(Code::Malformed))?;
        let shown = chain::account(&self.node.chain, AccountId(Digest(bytes))).await;
        Ok(Response::new(shown.map_err(|error| refusal(error.code(), error))?))
    }

    async fn get_reconciliation(
        &self,
        request: Request<v1::ReconciliationRequest>,
    ) -> Result<Response<v1::Reconciliation>, Status> {
        let caller = self.caller(request.metadata(), "GetReconciliation")?;
        // Records name tasks of others, so they are for those whom governance knows.
        views::registered(&self.node.state(), &caller.actor).map_err(plain)?;
        let asked = request.into_inner();
        if asked.compare {
            reconcile::at_once(&self.node).await;
        }
        Ok(Response::new(reconcile::view(&self.node, asked.from, asked.limit)))
    }

    async fn get_epoch(&self, request: Request<v1::EpochRequest>) -> Result<Response<v1::EpochPage>, Status> {
        let caller = self.caller(request.metadata(), "GetEpoch")?;
        let page = epochs::view(&self.node, &caller.actor, request.get_ref()).await;
        Ok(Response::new(page.map_err(unseen)?))
    }

    async fn get_journal_proof(
        &self,
        request: Request<v1::JournalRequest>,
    ) -> Result<Response<v1::JournalProof>, Status> {
        let caller = self.caller(request.metadata(), "GetJournalProof")?;
        let proof = proofs::view(&self.node, &caller.actor, request.get_ref()).await;
        Ok(Response::new(proof.map_err(unseen)?))
    }

    async fn get_candidates(
        &self,
        request: Request<v1::CandidatePoolRequest>,
    ) -> Result<Response<v1::CandidatePool>, Status> {
        let caller = self.caller(request.metadata(), "GetCandidates")?;
        let state = self.node.state();
        let registry = &state.governance.registry;
        let actor = registry.actors.get(&caller.actor).is_some_and(|actor| !actor.suspended);
        if !actor && !registry.council.contains_key(&caller.actor) {
            return Err(plain(Code::Forbidden));
        }
        Ok(Response::new(candidates::view(&state, request.into_inner().epoch).map_err(plain)?))
    }

    async fn submit_motion(
        &self,
        request: Request<v1::GovernanceMotion>,
    ) -> Result<Response<v1::ProposalEntry>, Status> {
        self.caller(request.metadata(), "SubmitMotion")?;
        Ok(Response::new(council::submit(&self.node, &request.get_ref().motion).await?))
    }

    async fn get_governance(
        &self,
        request: Request<v1::GovernanceRequest>,
    ) -> Result<Response<v1::GovernanceView>, Status> {
        self.caller(request.metadata(), "GetGovernance")?;
        Ok(Response::new(council::view(&self.node.state())))
    }

    async fn get_governance_log(
        &self,
        request: Request<v1::GovernanceLogRequest>,
    ) -> Result<Response<v1::GovernanceLog>, Status> {
        self.caller(request.metadata(), "GetGovernanceLog")?;
        Ok(Response::new(council::log(&self.node, request.get_ref()).await?))
    }

    async fn get_governance_proof(
        &self,
        request: Request<v1::GovernanceProofRequest>,
    ) -> Result<Response<v1::GovernanceProof>, Status> {
        self.caller(request.metadata(), "GetGovernanceProof")?;
        Ok(Response::new(council::proof(&self.node, request.get_ref()).await?))
    }

    async fn get_status(&self, request: Request<v1::StatusRequest>) -> Result<Response<v1::Status>, Status> {
        self.caller(request.metadata(), "GetStatus")?;
        let (state, head) = (self.node.state(), self.node.orderer.head());
        let governance = &state.governance;
        let nodes = governance.registry.vaults.keys().map(|vault| {
            let health = self.node.peers.health(vault, now());
            v1::NodeHealth {
                node: vault.to_string(),
                role: "enterprise".to_owned(),
                reachable: health.is_some(),
                seen_ms: health.map_or(0, |health| health.seen.0),
                status: status_of(&state, vault),
                stake: stake_of(&state, vault),
            }
        });
        let itself = self.node.health().await;
        Ok(Response::new(v1::Status {
            network: self.node.network.clone(),
            masters: u32::try_from(governance.registry.masters.len()).unwrap_or(u32::MAX),
            height: head.height,
            state_hash: head.state.0.to_vec(),
            epoch_id: governance.epoch_of(now()).0,
            schema_version: SCHEMA.0,
            semantic_version: governance.semantics_at(now()).version.0,
            policy_version: governance.version_at(now()).0,
            protocol_version: state.upgrade.active.0,
            protocol_since: state.upgrade.since.0,
            ordered_ms: head.at.0,
            platform_class: views::class_of(governance.software_admitted()).to_owned(),
            nodes: nodes.collect(),
            master_nodes: vec![itself],
        }))
    }
}

async fn watch(
    node: Arc<Node>,
    actor: ActorId,
    task: TaskId,
    sender: mpsc::Sender<Result<v1::Task, Status>>,
) {
    let mut ordered = node.orderer.subscribe();
    let mut last = None;
    loop {
        let Ok(view) = views::task(&node.state(), &actor, &task) else { return };
        if last.as_ref() != Some(&view) {
            let ended = views::terminal(&view);
            last = Some(view.clone());
            if sender.send(Ok(view)).await.is_err() || ended {
                return;
            }
        }
        if let Err(tokio::sync::broadcast::error::RecvError::Closed) = ordered.recv().await {
            return;
        }
    }
}

/// How many rounds a person's whole budget allows, of a training.
fn possible(state: &State, asked: &TaskRequest) -> Option<u32> {
    let Work::Training(request) = &asked.work else { return None };
    rounds_possible(&state.governance, &asked.scope, &request.training, now()).ok()
}

/// Why masters do not show a lock, or do not stand behind a document.
fn unseen(fault: Fault) -> Status {
    match fault {
        Fault::Refused(code, detail) => refusal(code, detail),
        Fault::Again(detail) => refusal(Code::Undecided, detail),
    }
}

fn plain(code: Code) -> Status {
    refusal(code, code.title())
}

fn refused((code, detail): convert::Refused) -> Status {
    refusal(code, detail)
}
