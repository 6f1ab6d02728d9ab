//! The masters and every question to them (R195, R196): reads go to a majority at once, what changes something to the
//! preferred master first and to others as confirmation or in its place. Repeating is safe: every change carries the
//! caller's name for it, or a signature that the chain takes once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use symphony_types::id::NodeId;
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_wire::caller::Caller;
use symphony_wire::tls::Channel;
use symphony_wire::v1::platform_client::PlatformClient;
use symphony_wire::v1::{
    AssignVaultRequest, CandidatePool, CandidatePoolRequest, ChainAccount, ChainAccountRequest, ChainBytes,
    ChallengeFiling, ChallengeList, EpochPage, EpochRequest, EvidenceBundle, GovernanceLog,
    GovernanceLogRequest, GovernanceMotion, GovernanceProof, GovernanceProofRequest, GovernanceRequest,
    GovernanceView, JournalProof, JournalRequest, ListVaultsRequest, ProposalEntry, Quote, Reconciliation,
    ReconciliationRequest, SealedRequest, SealedResponse, SealedStep, StepRef, SubmitParseRequest,
    SubmitTaskRequest, Task, TaskList, TaskRef, TaskResult, TaskSpec, TasksRequest, VaultEntry, VaultList,
};
use tonic::{Request, Response, Status};

use crate::confirm::{Agree, Pace, Port, confirmed};
use crate::gateway::Gateway;
use crate::problem::Problem;

/// How a read is paced: well below the time that a user's request gets.
const READ: Pace = Pace {
    one_first: false,
    widen_after: Duration::from_millis(250),
    patience: Duration::from_secs(2),
    deadline: Duration::from_secs(10),
};
/// How a change is paced. A master may take its time for it, so others are asked later, and it is waited for longer.
const WRITE: Pace = Pace {
    one_first: true,
    widen_after: Duration::from_secs(1),
    patience: Duration::from_secs(2),
    deadline: Duration::from_secs(28),
};
/// How a read is paced that has the masters compare first: all at once, and each takes its time.
const COMPARE: Pace = Pace { widen_after: Duration::from_secs(8), deadline: Duration::from_secs(28), ..READ };
/// How an operation on a Vault is paced: a large upload must not be sent twice because it takes a while.
const RELAY: Pace =
    Pace { widen_after: Duration::from_secs(20), deadline: Duration::from_secs(300), ..WRITE };
/// How long one master may take for one answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for an operation that it carries to a Vault.
const RELAY_TIMEOUT: Duration = Duration::from_secs(300);
/// Room for the fields around the largest sealed message.
const MESSAGE_BYTES_MAX: usize = SEALED_BYTES_MAX + (64 << 10);

/// A way to one master.
pub(crate) type Client = PlatformClient<Channel>;

/// All masters of the network.
pub(crate) struct Masters {
    clients: Vec<(NodeId, Client)>,
    /// In the order to be asked: who did not answer in time comes last.
    order: Mutex<Vec<usize>>,
}

impl Masters {
    pub(crate) fn new(masters: Vec<(NodeId, Channel)>) -> Self {
        let client = |channel| {
            PlatformClient::new(channel)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX)
        };
        let clients: Vec<_> = masters.into_iter().map(|(node, channel)| (node, client(channel))).collect();
        Self { order: Mutex::new((0..clients.len()).collect()), clients }
    }

    /// Every master by its place.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&NodeId, Client)> {
        self.clients.iter().map(|(node, client)| (node, client.clone()))
    }

    fn order(&self) -> Vec<usize> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn to_the_end(&self, master: usize) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if order.last() != Some(&master) && order.contains(&master) {
            tracing::warn!(master = %self.clients[master].0, "a master is silent and asked last");
            order.retain(|other| *other != master);
            order.push(master);
        }
    }
}

/// One question to all masters: a message in a caller's name and how to send it.
struct Question<'a, M, C> {
    gateway: &'a Gateway,
    caller: &'a Caller,
    method: &'static str,
    message: M,
    timeout: Duration,
    call: C,
}

impl<M, A, F, C> Port for Question<'_, M, C>
where
    M: Clone + Send + Sync,
    A: Agree,
    F: Future<Output = Result<A, Problem>> + Send,
    C: Fn(Client, Request<M>) -> F + Send + Sync,
{
    type Answer = A;

    fn masters(&self) -> Vec<usize> {
        self.gateway.masters.order()
    }

    async fn ask(&self, master: usize) -> Result<A, Problem> {
        let mut request = self.gateway.name(self.caller, self.method, self.message.clone());
        request.set_timeout(self.timeout);
        (self.call)(self.gateway.masters.clients[master].1.clone(), request).await
    }

    fn silent(&self, master: usize) {
        self.gateway.masters.to_the_end(master);
    }
}

impl Gateway {
    /// Asks a question until it is confirmed. `method` is the RPC's name.
    async fn confirm<M, A, F>(
        &self,
        (pace, timeout): (Pace, Duration),
        caller: &Caller,
        method: &'static str,
        message: M,
        call: impl Fn(Client, Request<M>) -> F + Send + Sync,
    ) -> Result<A, Problem>
    where
        M: Clone + Send + Sync,
        A: Agree,
        F: Future<Output = Result<A, Problem>> + Send,
    {
        confirmed(&Question { gateway: self, caller, method, message, timeout, call }, &pace).await
    }

    pub(crate) async fn get_quote(&self, caller: &Caller, spec: TaskSpec) -> Result<Quote, Problem> {
        self.confirm((READ, CALL_TIMEOUT), caller, "GetQuote", spec, |mut master, request| async move {
            heard(master.get_quote(request).await)
        })
        .await
    }

    pub(crate) async fn submit_task(
        &self,
        caller: &Caller,
        task: SubmitTaskRequest,
    ) -> Result<Task, Problem> {
        self.confirm((WRITE, CALL_TIMEOUT), caller, "SubmitTask", task, |mut master, request| async move {
            heard(master.submit_task(request).await)
        })
        .await
    }

    /// As [`Self::submit_task`]; the ticket is the name: again it has no further effect.
    pub(crate) async fn submit_parse(
        &self,
        caller: &Caller,
        parse: SubmitParseRequest,
    ) -> Result<Task, Problem> {
        self.confirm((WRITE, CALL_TIMEOUT), caller, "SubmitParse", parse, |mut master, request| async move {
            heard(master.submit_parse(request).await)
        })
        .await
    }

    pub(crate) async fn get_task(&self, caller: &Caller, task: TaskRef) -> Result<Task, Problem> {
        self.confirm((READ, CALL_TIMEOUT), caller, "GetTask", task, |mut master, request| async move {
            heard(master.get_task(request).await)
        })
        .await
    }

    pub(crate) async fn get_result(&self, caller: &Caller, task: TaskRef) -> Result<TaskResult, Problem> {
        self.confirm((WRITE, CALL_TIMEOUT), caller, "GetResult", task, |mut master, request| async move {
            heard(master.get_result(request).await)
        })
        .await
    }

    pub(crate) async fn get_step(&self, caller: &Caller, step: StepRef) -> Result<SealedStep, Problem> {
        self.confirm((READ, CALL_TIMEOUT), caller, "GetStep", step, |mut master, request| async move {
            heard(master.get_step(request).await)
        })
        .await
    }

    pub(crate) async fn get_evidence(
        &self,
        caller: &Caller,
        task: TaskRef,
    ) -> Result<EvidenceBundle, Problem> {
        self.confirm((READ, CALL_TIMEOUT), caller, "GetEvidence", task, |mut master, request| async move {
            heard(master.get_evidence(request).await)
        })
        .await
    }

    pub(crate) async fn get_candidate(
        &self,
        caller: &Caller,
        task: TaskRef,
    ) -> Result<EvidenceBundle, Problem> {
        self.confirm((READ, CALL_TIMEOUT), caller, "GetCandidate", task, |mut master, request| async move {
            heard(master.get_candidate(request).await)
        })
        .await
    }

    pub(crate) async fn list_tasks(&self, caller: &Caller, asked: TasksRequest) -> Result<TaskList, Problem> {
        self.confirm((READ, CALL_TIMEOUT), caller, "ListTasks", asked, |mut master, request| async move {
            heard(master.list_tasks(request).await)
        })
        .await
    }

    /// The filing is its own name: again it has no further effect.
    pub(crate) async fn file_challenge(
        &self,
        caller: &Caller,
        filing: ChallengeFiling,
    ) -> Result<ChallengeList, Problem> {
        let pace = (WRITE, CALL_TIMEOUT);
        self.confirm(pace, caller, "FileChallenge", filing, |mut master, request| async move {
            heard(master.file_challenge(request).await)
        })
        .await
    }

    pub(crate) async fn list_challenges(
        &self,
        caller: &Caller,
        task: TaskRef,
    ) -> Result<ChallengeList, Problem> {
        let pace = (READ, CALL_TIMEOUT);
        self.confirm(pace, caller, "ListChallenges", task, |mut master, request| async move {
            heard(master.list_challenges(request).await)
        })
        .await
    }

    pub(crate) async fn list_vaults(&self, caller: &Caller) -> Result<VaultList, Problem> {
        let message = ListVaultsRequest {};
        self.confirm((READ, CALL_TIMEOUT), caller, "ListVaults", message, |mut master, request| async move {
            heard(master.list_vaults(request).await)
        })
        .await
    }

    pub(crate) async fn assign_vault(&self, caller: &Caller) -> Result<VaultEntry, Problem> {
        let message = AssignVaultRequest {};
        self.confirm((READ, CALL_TIMEOUT), caller, "AssignVault", message, |mut master, request| async move {
            heard(master.assign_vault(request).await)
        })
        .await
    }

    pub(crate) async fn submit_transaction(
        &self,
        caller: &Caller,
        transaction: ChainBytes,
    ) -> Result<ChainBytes, Problem> {
        let pace = (WRITE, CALL_TIMEOUT);
        self.confirm(pace, caller, "SubmitTransaction", transaction, |mut master, request| async move {
            heard(master.submit_transaction(request).await)
        })
        .await
    }

    pub(crate) async fn query_chain(
        &self,
        caller: &Caller,
        query: ChainBytes,
    ) -> Result<ChainBytes, Problem> {
        self.confirm((READ, CALL_TIMEOUT), caller, "QueryChain", query, |mut master, request| async move {
            heard(master.query_chain(request).await)
        })
        .await
    }

    pub(crate) async fn get_chain_account(
        &self,
        caller: &Caller,
        asked: ChainAccountRequest,
    ) -> Result<ChainAccount, Problem> {
        let pace = (READ, CALL_TIMEOUT);
        self.confirm(pace, caller, "GetChainAccount", asked, |mut master, request| async move {
            heard(master.get_chain_account(request).await)
        })
        .await
    }

    /// A comparison that is asked for takes its time at every master.
    pub(crate) async fn get_reconciliation(
        &self,
        caller: &Caller,
        asked: ReconciliationRequest,
    ) -> Result<Reconciliation, Problem> {
        let pace = (if asked.compare { COMPARE } else { READ }, CALL_TIMEOUT);
        self.confirm(pace, caller, "GetReconciliation", asked, |mut master, request| async move {
            heard(master.get_reconciliation(request).await)
        })
        .await
    }

    pub(crate) async fn get_candidates(
        &self,
        caller: &Caller,
        asked: CandidatePoolRequest,
    ) -> Result<CandidatePool, Problem> {
        let pace = (READ, CALL_TIMEOUT);
        self.confirm(pace, caller, "GetCandidates", asked, |mut master, request| async move {
            heard(master.get_candidates(request).await)
        })
        .await
    }

    pub(crate) async fn get_epoch(&self, caller: &Caller, asked: EpochRequest) -> Result<EpochPage, Problem> {
        self.confirm((READ, CALL_TIMEOUT), caller, "GetEpoch", asked, |mut master, request| async move {
            heard(master.get_epoch(request).await)
        })
        .await
    }

    pub(crate) async fn get_journal_proof(
        &self,
        caller: &Caller,
        asked: JournalRequest,
    ) -> Result<JournalProof, Problem> {
        let pace = (READ, CALL_TIMEOUT);
        self.confirm(pace, caller, "GetJournalProof", asked, |mut master, request| async move {
            heard(master.get_journal_proof(request).await)
        })
        .await
    }

    /// The motion names itself: again it has no further effect.
    pub(crate) async fn submit_motion(
        &self,
        caller: &Caller,
        motion: GovernanceMotion,
    ) -> Result<ProposalEntry, Problem> {
        let pace = (WRITE, CALL_TIMEOUT);
        self.confirm(pace, caller, "SubmitMotion", motion, |mut master, request| async move {
            heard(master.submit_motion(request).await)
        })
        .await
    }

    pub(crate) async fn get_governance(&self, caller: &Caller) -> Result<GovernanceView, Problem> {
        let (pace, message) = ((READ, CALL_TIMEOUT), GovernanceRequest {});
        self.confirm(pace, caller, "GetGovernance", message, |mut master, request| async move {
            heard(master.get_governance(request).await)
        })
        .await
    }

    pub(crate) async fn get_governance_log(
        &self,
        caller: &Caller,
        asked: GovernanceLogRequest,
    ) -> Result<GovernanceLog, Problem> {
        let pace = (READ, CALL_TIMEOUT);
        self.confirm(pace, caller, "GetGovernanceLog", asked, |mut master, request| async move {
            heard(master.get_governance_log(request).await)
        })
        .await
    }

    pub(crate) async fn get_governance_proof(
        &self,
        caller: &Caller,
        asked: GovernanceProofRequest,
    ) -> Result<GovernanceProof, Problem> {
        let pace = (READ, CALL_TIMEOUT);
        self.confirm(pace, caller, "GetGovernanceProof", asked, |mut master, request| async move {
            heard(master.get_governance_proof(request).await)
        })
        .await
    }

    /// Has a sealed operation carried to its Vault; `open` reads the Vault's sealed answer.
    pub(crate) async fn relay<A: Agree>(
        &self,
        caller: &Caller,
        operation: SealedRequest,
        open: impl Fn(SealedResponse) -> Result<A, Problem> + Send + Sync,
    ) -> Result<A, Problem> {
        let (pace, open) = ((RELAY, RELAY_TIMEOUT), &open);
        self.confirm(pace, caller, "RelayToVault", operation, |mut master, request| async move {
            open(heard(master.relay_to_vault(request).await)?)
        })
        .await
    }
}

/// A master's answer without its metadata; its refusal with the code alone.
pub(crate) fn heard<T>(answer: Result<Response<T>, Status>) -> Result<T, Problem> {
    answer.map(Response::into_inner).map_err(Problem::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R196: a silent master is asked last from then on, and the others keep their order.
    #[tokio::test]
    async fn silent_masters_are_asked_last() {
        let channel =
            || Channel::from(tonic::transport::Channel::from_static("http://127.0.0.1:1").connect_lazy());
        let node = |name: &str| NodeId::new(name).unwrap();
        let masters = ["m1", "m2", "m3"].map(|name| (node(name), channel()));
        let masters = Masters::new(masters.into());
        masters.to_the_end(0);
        assert_eq!(masters.order(), [1, 2, 0]);
        masters.to_the_end(2);
        masters.to_the_end(2);
        assert_eq!(masters.order(), [1, 0, 2]);
    }
}
