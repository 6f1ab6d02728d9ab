//! The same operations over gRPC, on the same port: each call goes on to the master in the caller's name (R203).
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
    AssignVaultRequest, ChainBytes, EvidenceBundle, ListVaultsRequest, Quote, SealedRequest, SealedResponse,
    Status as PlatformStatus, StatusRequest, SubmitTaskRequest, Task, TaskRef, TaskResult, TaskSpec,
    VaultAnswer, VaultEntry, VaultList, VaultOperation,
};
use tonic::{Request, Response, Status};

use crate::gateway::{Gateway, proven};
use crate::problem::Problem;

/// Serves users.
#[derive(Clone)]
pub(crate) struct Users(pub(crate) Arc<Gateway>);

impl Users {
    /// The same message in the proven caller's name.
    fn on<T>(&self, request: Request<T>, method: &str) -> Result<Request<T>, Status> {
        let caller = caller_of(&request)?;
        Ok(self.0.ask(&caller, method, request.into_inner()))
    }
}

fn caller_of<T>(request: &Request<T>) -> Result<Caller, Status> {
    proven(request.extensions()).map_err(|problem| problem.status())
}

/// The master's answer without its metadata; its refusal with the code alone.
fn back<T>(answer: Result<Response<T>, Status>) -> Result<Response<T>, Status> {
    answer.map(|answer| Response::new(answer.into_inner())).map_err(|status| Problem::from(status).status())
}

#[tonic::async_trait]
impl Platform for Users {
    type WatchTaskStream = Pin<Box<dyn Stream<Item = Result<Task, Status>> + Send>>;

    async fn get_quote(&self, request: Request<TaskSpec>) -> Result<Response<Quote>, Status> {
        back(self.0.master().get_quote(self.on(request, "GetQuote")?).await)
    }

    async fn submit_task(&self, request: Request<SubmitTaskRequest>) -> Result<Response<Task>, Status> {
        back(self.0.master().submit_task(self.on(request, "SubmitTask")?).await)
    }

    async fn get_task(&self, request: Request<TaskRef>) -> Result<Response<Task>, Status> {
        back(self.0.master().get_task(self.on(request, "GetTask")?).await)
    }

    async fn watch_task(&self, request: Request<TaskRef>) -> Result<Response<Self::WatchTaskStream>, Status> {
        let caller = caller_of(&request)?;
        let place = self.0.stream_place().map_err(|problem| problem.status())?;
        let request = self.0.watch(&caller, "WatchTask", request.into_inner());
        let tasks = back(self.0.master().watch_task(request).await)?.into_inner();
        let tasks = tasks.map(move |task| {
            let _held = &place;
            task.map_err(|status| Problem::from(status).status())
        });
        Ok(Response::new(Box::pin(tasks)))
    }

    async fn get_result(&self, request: Request<TaskRef>) -> Result<Response<TaskResult>, Status> {
        back(self.0.master().get_result(self.on(request, "GetResult")?).await)
    }

    async fn get_evidence(&self, request: Request<TaskRef>) -> Result<Response<EvidenceBundle>, Status> {
        back(self.0.master().get_evidence(self.on(request, "GetEvidence")?).await)
    }

    async fn list_vaults(&self, request: Request<ListVaultsRequest>) -> Result<Response<VaultList>, Status> {
        back(self.0.master().list_vaults(self.on(request, "ListVaults")?).await)
    }

    async fn assign_vault(
        &self,
        request: Request<AssignVaultRequest>,
    ) -> Result<Response<VaultEntry>, Status> {
        back(self.0.master().assign_vault(self.on(request, "AssignVault")?).await)
    }

    async fn relay_to_vault(
        &self,
        request: Request<SealedRequest>,
    ) -> Result<Response<SealedResponse>, Status> {
        back(self.0.master().relay_to_vault(self.on(request, "RelayToVault")?).await)
    }

    async fn submit_transaction(&self, request: Request<ChainBytes>) -> Result<Response<ChainBytes>, Status> {
        back(self.0.master().submit_transaction(self.on(request, "SubmitTransaction")?).await)
    }

    async fn query_chain(&self, request: Request<ChainBytes>) -> Result<Response<ChainBytes>, Status> {
        back(self.0.master().query_chain(self.on(request, "QueryChain")?).await)
    }

    async fn get_status(&self, request: Request<StatusRequest>) -> Result<Response<PlatformStatus>, Status> {
        back(self.0.master().get_status(self.on(request, "GetStatus")?).await)
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
