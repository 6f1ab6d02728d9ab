//! The door of a Vault: gRPC for masters, who are the only nodes that connect (R008, R201, R202).
//!
//! Bytes become documents here and refusals become statuses; nothing is decided.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use symphony_protocol::artifact::Bucket;
use symphony_protocol::artifact::training::EndorsedRoundOrder;
use symphony_types::catalogue::Code;
use symphony_types::id::EpochId;
use symphony_types::key::{Document, Endorsed, Master};
use symphony_wire::documents;
use symphony_wire::enclave::SealedLearner;
use symphony_wire::moving::Cargo;
use symphony_wire::signing::{CONTEXT_HEALTH, sign_bytes};
use symphony_wire::v1::vault_node_server::VaultNode;
use symphony_wire::v1::{
    Acknowledgement, BudgetRequest, CandidatesRequest, GovernancePosition, GovernanceUpdate, HealthRequest,
    MoveStep, ParseResult, ReplayResult, RoundAssignment, ScopeCoverage, SealedAnswer, SealedOperation,
    SignedDocument, SliceResult, VaultHealth,
};
use tonic::{Request, Response, Status};

use prost::Message as _;

use crate::agent::Agent;
use crate::enterprise::Enterprise;
use crate::parse::Parsed;
use crate::problem::Problem;
use crate::store::Transcript;

/// The service of one Vault.
pub struct Door {
    enterprise: Arc<Enterprise>,
    agent: Arc<Agent>,
}

impl Door {
    /// The service over an open Vault and its enclave.
    pub fn new(enterprise: Arc<Enterprise>, agent: Arc<Agent>) -> Self {
        Self { enterprise, agent }
    }

    /// An order that rests on the state of governance that this Vault knows.
    fn order<T>(&self, message: &SignedDocument) -> Result<Endorsed<T, Master>, Status>
    where
        T: Document + DeserializeOwned,
    {
        let order: Endorsed<T, Master> = document(message)?;
        self.enterprise.stands(&message.standing, order.body.digest()).map_err(Problem::into_status)?;
        Ok(order)
    }

    /// The order of a round, and the learner that it begins with.
    fn round(
        &self,
        assignment: RoundAssignment,
    ) -> Result<(EndorsedRoundOrder, Option<SealedLearner>), Status> {
        let RoundAssignment { document, learner, learner_key, standing } = assignment;
        let learner = (!learner.is_empty()).then_some(SealedLearner { key: learner_key, sealed: learner });
        Ok((self.order(&SignedDocument { document, standing })?, learner))
    }

    fn health(&self, challenge: &[u8]) -> Result<VaultHealth, Problem> {
        if challenge.len() != CHALLENGE_LEN {
            return Err(Problem::refused(Code::Malformed, "a challenge has 32 bytes"));
        }
        let (state, now) = (self.enterprise.state(), self.enterprise.now());
        let scopes = state.charter.policy_at(now).map_err(Problem::from)?.privacy.scope_limits.keys();
        let coverage = scopes.map(|scope| ScopeCoverage {
            usage_scope: scope.as_str().to_owned(),
            consented_bucket: state.coverage(scope, now).0,
        });
        let mut health = VaultHealth {
            boot: self.agent.boot(),
            coverage: coverage.collect(),
            records_bucket: Bucket::of(state.holdings.kept()).0,
            subjects_bucket: Bucket::of(u64::from(state.subjects.len()) - state.subjects.erased().len()).0,
            ledger_head: self.enterprise.head().0.to_vec(),
            signature: Vec::new(),
            governance_sequence: self.enterprise.followed().governance().sequence.0,
        };
        let mut message = challenge.to_vec();
        message.extend_from_slice(&health.encode_to_vec());
        health.signature = sign_bytes(&self.enterprise.keys.signing, CONTEXT_HEALTH, &message).to_vec();
        Ok(health)
    }
}

fn sent(slice: Transcript) -> SliceResult {
    SliceResult {
        header: documents::encode(&slice.header),
        bundle: slice.bundle,
        boot: slice.boot,
        report: slice.report,
        pieces: vec![],
    }
}

#[tonic::async_trait]
impl VaultNode for Door {
    async fn prepare(&self, request: Request<SignedDocument>) -> Result<Response<SignedDocument>, Status> {
        let receipt = self.enterprise.prepare(self.order(request.get_ref())?).await;
        answer(receipt)
    }

    async fn assign_slice(&self, request: Request<SignedDocument>) -> Result<Response<SliceResult>, Status> {
        let assignment = self.order(request.get_ref())?;
        let slice = Arc::clone(&self.enterprise).assign(Arc::clone(&self.agent), assignment).await;
        Ok(Response::new(sent(slice.map_err(Problem::into_status)?)))
    }

    async fn compute_round(
        &self,
        request: Request<RoundAssignment>,
    ) -> Result<Response<SliceResult>, Status> {
        let (order, learner) = self.round(request.into_inner())?;
        let part = Arc::clone(&self.enterprise).compute_round(Arc::clone(&self.agent), order, learner).await;
        Ok(Response::new(part.map_err(Problem::into_status)?))
    }

    async fn replay_round(
        &self,
        request: Request<RoundAssignment>,
    ) -> Result<Response<ReplayResult>, Status> {
        let (order, learner) = self.round(request.into_inner())?;
        let part = Arc::clone(&self.enterprise).replay_round(Arc::clone(&self.agent), order, learner).await;
        Ok(Response::new(match part.map_err(Problem::into_status)? {
            Ok(part) => ReplayResult { part: Some(part), refusal: vec![] },
            Err(refusal) => ReplayResult { part: None, refusal: documents::encode(&refusal) },
        }))
    }

    async fn replay_slice(&self, request: Request<SignedDocument>) -> Result<Response<ReplayResult>, Status> {
        let order = self.order(request.get_ref())?;
        let slice = Arc::clone(&self.enterprise).replay_slice(Arc::clone(&self.agent), order).await;
        Ok(Response::new(match slice.map_err(Problem::into_status)? {
            Ok(slice) => ReplayResult { part: Some(sent(slice)), refusal: vec![] },
            Err(refusal) => ReplayResult { part: None, refusal: documents::encode(&refusal) },
        }))
    }

    async fn parse(&self, request: Request<SignedDocument>) -> Result<Response<ParseResult>, Status> {
        let order = self.order(request.get_ref())?;
        let parsed = Arc::clone(&self.enterprise).parse(Arc::clone(&self.agent), order).await;
        let Parsed { statement, boot, report } = parsed.map_err(Problem::into_status)?;
        Ok(Response::new(ParseResult { statement: documents::encode(&statement), boot, report }))
    }

    async fn release_budget(
        &self,
        request: Request<SignedDocument>,
    ) -> Result<Response<Acknowledgement>, Status> {
        self.enterprise.release(document(request.get_ref())?).await.map_err(Problem::into_status)?;
        Ok(Response::new(Acknowledgement {}))
    }

    async fn close_dividends(
        &self,
        request: Request<SignedDocument>,
    ) -> Result<Response<SignedDocument>, Status> {
        let statement = self.enterprise.close_dividends(document(request.get_ref())?).await;
        answer(statement)
    }

    async fn list_budget(&self, request: Request<BudgetRequest>) -> Result<Response<SignedDocument>, Status> {
        let query = documents::decode(&request.get_ref().query)
            .map_err(|error| Problem::refused(Code::Malformed, error.to_string()).into_status())?;
        answer(Ok(self.enterprise.budget_page(&query)))
    }

    async fn operate(&self, request: Request<SealedOperation>) -> Result<Response<SealedAnswer>, Status> {
        let sealed = Arc::clone(&self.enterprise).operate(request.into_inner().sealed).await;
        Ok(Response::new(SealedAnswer { sealed: sealed.map_err(Problem::into_status)? }))
    }

    async fn follow_governance(
        &self,
        request: Request<GovernanceUpdate>,
    ) -> Result<Response<GovernancePosition>, Status> {
        let GovernanceUpdate { update } = request.into_inner();
        let sequence = if update.is_empty() {
            self.enterprise.followed().governance().sequence
        } else {
            let update = documents::decode(&update)
                .map_err(|error| Problem::refused(Code::Malformed, error.to_string()).into_status())?;
            let enterprise = Arc::clone(&self.enterprise);
            let work = tokio::task::spawn_blocking(move || enterprise.follow(&update)).await;
            let followed = work.map_err(|error| Problem::fault("following governance panicked", error));
            let sequence = followed.flatten().map_err(Problem::into_status)?;
            self.enterprise.adopt_versions().await.map_err(Problem::into_status)?;
            sequence
        };
        Ok(Response::new(GovernancePosition { sequence: sequence.0 }))
    }

    async fn r#move(&self, request: Request<MoveStep>) -> Result<Response<MoveStep>, Status> {
        let MoveStep { step, sealed, boot, report } = request.into_inner();
        let ask = documents::decode(&step)
            .map_err(|error| Problem::refused(Code::Malformed, error.to_string()).into_status())?;
        let (enterprise, agent) = (Arc::clone(&self.enterprise), Arc::clone(&self.agent));
        let told = enterprise.step_of_move(agent, ask, Cargo { sealed, boot, report }).await;
        let (told, Cargo { sealed, boot, report }) = told.map_err(Problem::into_status)?;
        Ok(Response::new(MoveStep { step: documents::encode(&told), sealed, boot, report }))
    }

    async fn report_candidates(
        &self,
        request: Request<CandidatesRequest>,
    ) -> Result<Response<SignedDocument>, Status> {
        let (enterprise, epoch) = (Arc::clone(&self.enterprise), EpochId(request.get_ref().epoch));
        let runtime = tokio::runtime::Handle::current();
        // Counting takes long; the node's other calls go on meanwhile.
        let work = tokio::task::spawn_blocking(move || runtime.block_on(enterprise.report_candidates(epoch)));
        let report = work.await.map_err(|error| Problem::fault("a report of candidates panicked", error));
        let report = report.flatten().map_err(Problem::into_status)?;
        let document = report.map(|report| documents::encode(&report)).unwrap_or_default();
        Ok(Response::new(SignedDocument { document, standing: vec![] }))
    }

    async fn get_health(&self, request: Request<HealthRequest>) -> Result<Response<VaultHealth>, Status> {
        Ok(Response::new(self.health(&request.get_ref().challenge).map_err(Problem::into_status)?))
    }
}

fn document<T>(message: &SignedDocument) -> Result<Endorsed<T, Master>, Status>
where
    T: Document + DeserializeOwned,
{
    documents::decode(&message.document)
        .map_err(|error| Problem::refused(Code::Malformed, error.to_string()).into_status())
}

fn answer<T: Serialize>(signed: Result<T, Problem>) -> Result<Response<SignedDocument>, Status> {
    let document = documents::encode(&signed.map_err(Problem::into_status)?);
    Ok(Response::new(SignedDocument { document, standing: vec![] }))
}

const CHALLENGE_LEN: usize = 32;
