//! The same operations over gRPC, on the same port: each call goes on to the masters in the caller's name (R203), and
//! its answer is confirmed as over REST.
//!
//! `VaultAccess` is the gateway's own: it seals a user's operation to a Vault as the REST routes do.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use symphony_types::id::RequestId;
use symphony_wire::caller::Caller;
use symphony_wire::v1::platform_server::Platform;
use symphony_wire::v1::vault_access_server::VaultAccess;
use symphony_wire::v1::{
    AssignVaultRequest, CandidatePool, CandidatePoolRequest, ChainAccount, ChainAccountRequest, ChainBytes,
    ChallengeFiling, ChallengeList, EpochPage, EpochRequest, EvidenceBundle, GovernanceLog,
    GovernanceLogRequest, GovernanceMotion, GovernanceProof, GovernanceProofRequest, GovernanceRequest,
    GovernanceView, JournalProof, JournalRequest, ListVaultsRequest, ProposalEntry, Quote, Reconciliation,
    ReconciliationRequest, SealedRequest, SealedResponse, SealedStep, Status as PlatformStatus,
    StatusRequest, StepRef, SubmitParseRequest, SubmitTaskRequest, Task, TaskList, TaskRef, TaskResult,
    TaskSpec, TasksRequest, VaultAnswer, VaultEntry, VaultList, VaultOperation,
};
use tonic::{Request, Response, Status};

use crate::gateway::{Gateway, proven};
use crate::problem::Problem;
use crate::watch::watch;

/// Serves users.
#[derive(Clone)]
pub(crate) struct Users(pub(crate) Arc<Gateway>);

fn caller_of<T>(request: &Request<T>) -> Result<Caller, Status> {
    proven(request.extensions()).map_err(|problem| problem.status())
}

/// A confirmed answer, or the refusal with its code.
fn back<T>(answer: Result<T, Problem>) -> Result<Response<T>, Status> {
    answer.map(Response::new).map_err(|problem| problem.status())
}

#[tonic::async_trait]
impl Platform for Users {
    type WatchTaskStream = Pin<Box<dyn Stream<Item = Result<Task, Status>> + Send>>;

    async fn get_quote(&self, request: Request<TaskSpec>) -> Result<Response<Quote>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_quote(&caller, request.into_inner()).await)
    }

    async fn submit_task(&self, request: Request<SubmitTaskRequest>) -> Result<Response<Task>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.submit_task(&caller, request.into_inner()).await)
    }

    async fn submit_parse(&self, request: Request<SubmitParseRequest>) -> Result<Response<Task>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.submit_parse(&caller, request.into_inner()).await)
    }

    async fn get_task(&self, request: Request<TaskRef>) -> Result<Response<Task>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_task(&caller, request.into_inner()).await)
    }

    async fn watch_task(&self, request: Request<TaskRef>) -> Result<Response<Self::WatchTaskStream>, Status> {
        let caller = caller_of(&request)?;
        let place = self.0.stream_place().map_err(|problem| problem.status())?;
        let steps = watch(Arc::clone(&self.0), caller, request.into_inner(), place).await;
        let steps = steps.map_err(|problem| problem.status())?;
        Ok(Response::new(Box::pin(steps.map(|step| step.map_err(|problem| problem.status())))))
    }

    async fn get_result(&self, request: Request<TaskRef>) -> Result<Response<TaskResult>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_result(&caller, request.into_inner()).await)
    }

    async fn get_step(&self, request: Request<StepRef>) -> Result<Response<SealedStep>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_step(&caller, request.into_inner()).await)
    }

    async fn get_evidence(&self, request: Request<TaskRef>) -> Result<Response<EvidenceBundle>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_evidence(&caller, request.into_inner()).await)
    }

    async fn get_candidate(&self, request: Request<TaskRef>) -> Result<Response<EvidenceBundle>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_candidate(&caller, request.into_inner()).await)
    }

    async fn list_tasks(&self, request: Request<TasksRequest>) -> Result<Response<TaskList>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.list_tasks(&caller, request.into_inner()).await)
    }

    async fn file_challenge(
        &self,
        request: Request<ChallengeFiling>,
    ) -> Result<Response<ChallengeList>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.file_challenge(&caller, request.into_inner()).await)
    }

    async fn list_challenges(&self, request: Request<TaskRef>) -> Result<Response<ChallengeList>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.list_challenges(&caller, request.into_inner()).await)
    }

    async fn list_vaults(&self, request: Request<ListVaultsRequest>) -> Result<Response<VaultList>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.list_vaults(&caller).await)
    }

    async fn assign_vault(
        &self,
        request: Request<AssignVaultRequest>,
    ) -> Result<Response<VaultEntry>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.assign_vault(&caller).await)
    }

    async fn relay_to_vault(
        &self,
        request: Request<SealedRequest>,
    ) -> Result<Response<SealedResponse>, Status> {
        let caller = caller_of(&request)?;
        // Whoever sealed the operation opens the answer, and sees whether it is the Vault's.
        back(self.0.relay(&caller, request.into_inner(), Ok).await)
    }

    async fn submit_transaction(&self, request: Request<ChainBytes>) -> Result<Response<ChainBytes>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.submit_transaction(&caller, request.into_inner()).await)
    }

    async fn query_chain(&self, request: Request<ChainBytes>) -> Result<Response<ChainBytes>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.query_chain(&caller, request.into_inner()).await)
    }

    async fn get_chain_account(
        &self,
        request: Request<ChainAccountRequest>,
    ) -> Result<Response<ChainAccount>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_chain_account(&caller, request.into_inner()).await)
    }

    async fn get_reconciliation(
        &self,
        request: Request<ReconciliationRequest>,
    ) -> Result<Response<Reconciliation>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_reconciliation(&caller, request.into_inner()).await)
    }

    async fn get_epoch(&self, request: Request<EpochRequest>) -> Result<Response<EpochPage>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_epoch(&caller, request.into_inner()).await)
    }

    async fn get_journal_proof(
        &self,
        request: Request<JournalRequest>,
    ) -> Result<Response<JournalProof>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_journal_proof(&caller, request.into_inner()).await)
    }

    async fn get_candidates(
        &self,
        request: Request<CandidatePoolRequest>,
    ) -> Result<Response<CandidatePool>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_candidates(&caller, request.into_inner()).await)
    }

    async fn submit_motion(
        &self,
        request: Request<GovernanceMotion>,
    ) -> Result<Response<ProposalEntry>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.submit_motion(&caller, request.into_inner()).await)
    }

    async fn get_governance(
        &self,
        request: Request<GovernanceRequest>,
    ) -> Result<Response<GovernanceView>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_governance(&caller).await)
    }

    async fn get_governance_log(
        &self,
        request: Request<GovernanceLogRequest>,
    ) -> Result<Response<GovernanceLog>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_governance_log(&caller, request.into_inner()).await)
    }

    async fn get_governance_proof(
        &self,
        request: Request<GovernanceProofRequest>,
    ) -> Result<Response<GovernanceProof>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_governance_proof(&caller, request.into_inner()).await)
    }

    async fn get_status(&self, request: Request<StatusRequest>) -> Result<Response<PlatformStatus>, Status> {
        let caller = caller_of(&request)?;
        back(self.0.get_status(&caller).await)
    }
}

#[tonic::async_trait]
impl VaultAccess for Users {
    async fn operate(&self, request: Request<VaultOperation>) -> Result<Response<VaultAnswer>, Status> {
        let caller = caller_of(&request)?;
        self.run(&caller, request.into_inner()).await.map(Response::new).map_err(|problem| problem.status())
    }
}

impl Users {
    async fn run(&self, caller: &Caller, asked: VaultOperation) -> Result<VaultAnswer, Problem> {
        let operation = asked.operation.ok_or_else(|| Problem::malformed("there is no operation"))?;
        let id = RequestId::new(&asked.request_id)
            .map_err(|fault| Problem::malformed(format!("reading the request id: {fault}")))?;
        let vault = self.0.vault(caller, &asked.vault_id).await?;
        self.0.operate(caller, &vault, &id, operation).await
    }
}
