//! A gateway on a free port of the loopback, with a master that plays its part and keeps all that it is shown, a
//! Vault behind it, and a token issuer.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use futures::Stream;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use prost::Message;
use serde_json::{Value, json};
use symphony_gateway::config::{GatewayConfig, Limits};
use symphony_types::digest::Digest;
use symphony_types::id::NodeId;
use symphony_types::key::{self, PrivateKey, PublicKey};
use symphony_types::time::OrderedMillis;
use symphony_wire::caller::{self, Caller};
use symphony_wire::enclave::purpose;
use symphony_wire::sealed::{SealingKey, seal};
use symphony_wire::signing::{CONTEXT_OPERATION, verify_bytes};
use symphony_wire::status::refusal;
use symphony_wire::v1::platform_server::{Platform, PlatformServer};
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::*;
use tokio::sync::oneshot;
use tonic::{Request, Response};

pub(crate) const VAULT: &str = "vault-1";
pub(crate) const ACTOR: &str = "alice";
pub(crate) const TASK: [u8; 32] = [7; 32];
const ISSUER: &str = "https://issuer.test";
const AUDIENCE: &str = "symphony";
const KEY_ID: &str = "k1";

/// What the master saw and what the Vault behind it opened.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) callers: Vec<(String, Caller)>,
    pub(crate) sealed: Vec<Vec<u8>>,
    pub(crate) operations: Vec<VaultOperation>,
    pub(crate) submitted: Vec<SubmitTaskRequest>,
    /// Tickets that a task was admitted on.
    pub(crate) parses: Vec<Vec<u8>>,
    pub(crate) specs: Vec<TaskSpec>,
}

#[derive(Clone)]
pub(crate) struct Master {
    pub(crate) seen: Arc<Mutex<Seen>>,
    gateway: PublicKey<key::Gateway>,
    vault: SealingKey,
    lies: bool,
}

impl Master {
    fn meet<T>(&self, request: &Request<T>, method: &str) -> Result<(), tonic::Status> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let caller = caller::read(request.metadata(), &self.gateway, method, OrderedMillis(now))
            .map_err(|code| refusal(code, "no caller"))?;
        self.seen.lock().unwrap().callers.push((method.to_owned(), caller));
        Ok(())
    }

    /// The truth, or a liar's word instead.
    fn word<T>(&self, truth: T, lie: T) -> T {
        if self.lies { lie } else { truth }
    }

    fn entry(&self) -> VaultEntry {
        let sealing_key = self.word(self.vault.public(), SealingKey::from_seed(&[66; 32]).public()).to_vec();
        let (vault_id, operator) = (VAULT.into(), "shop".into());
        VaultEntry { vault_id, operator, sealing_key, reachable: true, ..VaultEntry::default() }
    }

    /// The Vault's part: opens, checks the gateway's signature, answers sealed.
    fn operate(&self, sealed: &[u8]) -> Vec<u8> {
        let signed = self.vault.open(purpose::OPERATION, VAULT.as_bytes(), sealed).unwrap();
        let signed = SignedOperation::decode(signed.as_slice()).unwrap();
        assert!(verify_bytes(&self.gateway, CONTEXT_OPERATION, &signed.operation, &signed.signature));
        let operation = VaultOperation::decode(signed.operation.as_slice()).unwrap();
        let answer = answer(&operation).encode_to_vec();
        let sealed = seal(&operation.reply_key, purpose::ANSWER, VAULT.as_bytes(), &answer).unwrap();
        self.seen.lock().unwrap().operations.push(operation);
        sealed
    }
}

fn answer(operation: &VaultOperation) -> VaultAnswer {
    let content = match operation.operation.as_ref().unwrap() {
        Operation::PutRecords(put) => &put.content,
        Operation::PutConsents(put) => &put.content,
        Operation::PutSubjects(put) => &put.content,
        Operation::PutReceipt(put) if put.content.starts_with(b"bad") => {
            return VaultAnswer { code: "VLT-0009".into(), detail: "bad".into(), ..VaultAnswer::default() };
        }
        Operation::PutReceipt(put) => return receipt(&put.content, false),
        Operation::ListReceipts(list) => {
            let receipts = vec![receipt(&list.after, false).receipts[0].clone(); list.limit as usize];
            return VaultAnswer { receipts, ..VaultAnswer::default() };
        }
        Operation::ReadReceipt(read) if read.receipt_id == [9; 32] => {
            return VaultAnswer { code: "ADM-0004".into(), detail: "none".into(), ..VaultAnswer::default() };
        }
        Operation::ReadReceipt(read) => {
            let mut answer = receipt(&read.receipt_id, read.content);
            answer.receipts[0].reading = Some(reading());
            return answer;
        }
        Operation::ByCaller(by) => {
            return VaultAnswer {
                content: [b"sealed:", by.sealed.as_slice()].concat(),
                ..VaultAnswer::default()
            };
        }
        Operation::ParseReceipt(parse) => return ticket(operation, &parse.receipt_id),
        Operation::DrawReceipt(draw) => return drawn(draw),
        Operation::CorrectReceipt(correct) => return receipt(&correct.receipt_id, false),
        Operation::EraseReceipt(erase) => {
            return VaultAnswer { proof: vec![1, 2, 3], ..receipt(&erase.receipt_id, false) };
        }
        Operation::ErasePerson(erase) if erase.subject == operation.actor => {
            return VaultAnswer { accepted: 1, proof: vec![4, 5, 6], ..VaultAnswer::default() };
        }
        Operation::RotateKey(_) => return VaultAnswer { accepted: 12, ..VaultAnswer::default() },
        Operation::TakeBackup(_) => {
            return VaultAnswer { accepted: 3, proof: vec![7, 8, 9], ..VaultAnswer::default() };
        }
        Operation::ReadCandidates(_) => {
            let (name, texts, numbers, times, people) = ("till".into(), 1, 2, 0, 3);
            let candidates = vec![CandidateEntry { name, texts, numbers, times, people }];
            return VaultAnswer { candidates, ..VaultAnswer::default() };
        }
        Operation::ReadRetention(_) => {
            let (days, kept, ended, ended_ms, since_ms) = (730, 9, 4, 86_400_001, 86_400_000);
            let retention = Some(RetentionEntry { days, kept, ended, ended_ms, since_ms });
            return VaultAnswer { retention, ..VaultAnswer::default() };
        }
        Operation::ReadLeaves(read) => {
            let content = vec![u8::try_from(read.epoch).unwrap(), u8::try_from(read.from).unwrap()];
            return VaultAnswer { content, accepted: 9, ..VaultAnswer::default() };
        }
        Operation::ErasePerson(_) => {
            return VaultAnswer {
                code: "ADM-0003".into(),
                detail: "not yours".into(),
                ..VaultAnswer::default()
            };
        }
        Operation::ReadBudget(read) if read.subject != operation.actor => {
            return VaultAnswer {
                code: "ADM-0003".into(),
                detail: "not yours".into(),
                ..VaultAnswer::default()
            };
        }
        _ => {
            let entry =
                BudgetEntry { usage_scope: "marketing".into(), limit_micro_epsilon: 9, ..Default::default() };
            return VaultAnswer { budget: vec![entry], ..VaultAnswer::default() };
        }
    };
    let mut answer = VaultAnswer::default();
    for (line, text) in content.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()).enumerate() {
        if text.windows(3).any(|part| part == b"bad") {
            answer.refused_total += 1;
            let refusal =
                LineRefusal { line: line as u64 + 1, code: "VLT-0001".into(), detail: "bad".into() };
            answer.refused.push(refusal);
        } else {
            answer.accepted += 1;
        }
    }
    answer.refused.truncate(100);
    answer
}

/// A receipt of the Vault, named by the digest of `of`.
fn receipt(of: &[u8], content: bool) -> VaultAnswer {
    let entry = ReceiptEntry {
        receipt_id: Digest::of_bytes(of).0.to_vec(),
        state: "stored".into(),
        media_type: "image/png".into(),
        size_bytes: of.len() as u64,
        ..ReceiptEntry::default()
    };
    let content = if content { b"picture".to_vec() } else { Vec::new() };
    VaultAnswer { accepted: 1, receipts: vec![entry], content, ..VaultAnswer::default() }
}

/// The Vault's ticket: the same for the same request. Of a receipt of `known` there is none, that of `blank` is empty, and
/// that of `stray` is another person's.
fn ticket(operation: &VaultOperation, receipt: &[u8]) -> VaultAnswer {
    if receipt == Digest::of_bytes(b"known").0 {
        return VaultAnswer { code: "VLT-0015".into(), detail: "known".into(), ..VaultAnswer::default() };
    }
    if receipt == Digest::of_bytes(b"blank").0 {
        return VaultAnswer::default();
    }
    let stray = receipt == Digest::of_bytes(b"stray").0;
    let owner = if stray { "mallory" } else { &operation.actor };
    let ticket = format!("{owner}/{}/{}", operation.request_id, hex::encode(receipt)).into_bytes();
    VaultAnswer { ticket, ..VaultAnswer::default() }
}

/// The Vault's drawing: of a receipt of nines there is none, and page 7 is no picture.
fn drawn(draw: &DrawReceipt) -> VaultAnswer {
    if draw.receipt_id == [9; 32] {
        return VaultAnswer { code: "ADM-0004".into(), detail: "none".into(), ..VaultAnswer::default() };
    }
    let mut content = b"\x89PNG\r\n\x1a\n".to_vec();
    content.push(draw.page as u8);
    let content = if draw.page == 7 { b"<html>".to_vec() } else { content };
    VaultAnswer { content, ..VaultAnswer::default() }
}

/// What the Vault read of a receipt.
fn reading() -> ReceiptReading {
    let at = Some(ReadBox { page: 1, left: 2, top: 3, width: 4, height: 5 });
    let field = |name: &str, value: &str, attribute: &str| ReadField {
        name: name.into(),
        value: value.into(),
        confidence_bps: 9_300,
        attribute: attribute.into(),
        at,
        corrected: false,
    };
    let item = ReadItem {
        description: "latte".into(),
        quantity_milli: 1_500,
        amount_cents: -250,
        confidence_bps: 8_000,
        ..ReadItem::default()
    };
    ReceiptReading {
        task_id: TASK.to_vec(),
        record_commitment: vec![0xcd; 32],
        extractor: 2,
        fields: vec![field("merchant", "Luckin Coffee", "commerce.merchant"), field("number", "17", "")],
        items: vec![item],
        checks: vec![ReadCheck { name: "items_make_total".into(), holds: true }],
        completeness_bps: 9_000,
        checks_bps: 10_000,
        confidence_bps: 8_700,
        ..ReceiptReading::default()
    }
}

fn task(state: &str) -> Task {
    let charged = Some(Fee { total: u64::MAX, ..Fee::default() });
    Task { task_id: TASK.to_vec(), state: state.into(), charged, ..Task::default() }
}

/// A training that is half done.
fn progress() -> TrainingProgress {
    let evaluation = |step, quality_micro, log_loss_micro| EvaluationEntry {
        step,
        quality_micro,
        log_loss_micro,
        calibration_error_micro: None,
    };
    TrainingProgress {
        rounds: 10,
        done: 5,
        spent_micro_epsilon: 400_000,
        reserved_micro_epsilon: 900_000,
        curve: vec![evaluation(0, 500_000, Some(693_147)), evaluation(5, 700_000, None)],
        model_digest: Vec::new(),
        environment: "mpc".to_owned(),
    }
}

type Answer<T> = Result<Response<T>, tonic::Status>;

#[tonic::async_trait]
impl Platform for Master {
    type WatchTaskStream = Pin<Box<dyn Stream<Item = Result<Task, tonic::Status>> + Send>>;

    async fn get_quote(&self, request: Request<TaskSpec>) -> Answer<Quote> {
        self.meet(&request, "GetQuote")?;
        self.seen.lock().unwrap().specs.push(request.into_inner());
        let (policy_version, rounds_possible) = (self.word(3, 666), self.word(40, 4_000));
        Ok(Response::new(Quote { policy_version, rounds_possible, ..Quote::default() }))
    }

    async fn submit_task(&self, request: Request<SubmitTaskRequest>) -> Answer<Task> {
        self.meet(&request, "SubmitTask")?;
        self.seen.lock().unwrap().submitted.push(request.into_inner());
        Ok(Response::new(task(self.word("accepted", "rejected"))))
    }

    async fn submit_parse(&self, request: Request<SubmitParseRequest>) -> Answer<Task> {
        self.meet(&request, "SubmitParse")?;
        let ticket = request.into_inner().ticket;
        let mut seen = self.seen.lock().unwrap();
        let owner = ticket.split(|byte| *byte == b'/').next().unwrap();
        if owner != seen.callers.last().unwrap().1.actor.as_str().as_bytes() {
            return Err(refusal(symphony_types::catalogue::Code::Forbidden, "another's ticket"));
        }
        let task_id = Digest::of_bytes(&ticket).0.to_vec();
        seen.parses.push(ticket);
        let task_class = "parse".to_owned();
        Ok(Response::new(Task { task_id, task_class, ..task(self.word("dispatched", "rejected")) }))
    }

    async fn get_task(&self, request: Request<TaskRef>) -> Answer<Task> {
        self.meet(&request, "GetTask")?;
        if request.into_inner().task_id != TASK {
            return Err(refusal(symphony_types::catalogue::Code::NotFound, "no such task"));
        }
        let training = Some(progress());
        Ok(Response::new(Task { training, ..task(self.word("dispatched", "timed_out")) }))
    }

    async fn watch_task(&self, request: Request<TaskRef>) -> Answer<Self::WatchTaskStream> {
        self.meet(&request, "WatchTask")?;
        let states = self.word(["accepted", "dispatched", "completed"], ["rejected", "accepted", "rejected"]);
        let states = states.map(|state| Ok(task(state)));
        Ok(Response::new(Box::pin(futures::stream::iter(states))))
    }

    async fn get_result(&self, request: Request<TaskRef>) -> Answer<TaskResult> {
        self.meet(&request, "GetResult")?;
        let sealed = vec![self.word(0xab, 0x66); 4];
        let sealed_digest = Digest::of_bytes(&sealed).0.to_vec();
        Ok(Response::new(TaskResult { sealed, sealed_digest, ..TaskResult::default() }))
    }

    /// Of the steps there are only two.
    async fn get_step(&self, request: Request<StepRef>) -> Answer<SealedStep> {
        self.meet(&request, "GetStep")?;
        let StepRef { task_id, round } = request.into_inner();
        if task_id != TASK || !(1..=2).contains(&round) {
            return Err(refusal(symphony_types::catalogue::Code::NotFound, "no such step"));
        }
        let sealed = vec![self.word(round as u8, 0x66); 3];
        let sealed_digest = Digest::of_bytes(&sealed).0.to_vec();
        Ok(Response::new(SealedStep { sealed, sealed_digest }))
    }

    async fn get_evidence(&self, request: Request<TaskRef>) -> Answer<EvidenceBundle> {
        self.meet(&request, "GetEvidence")?;
        Ok(Response::new(EvidenceBundle { bundle: self.word(vec![1, 2, 3], vec![6, 6, 6]) }))
    }

    async fn get_candidate(&self, request: Request<TaskRef>) -> Answer<EvidenceBundle> {
        self.meet(&request, "GetCandidate")?;
        Ok(Response::new(EvidenceBundle { bundle: self.word(vec![4, 5, 6], vec![6, 6, 6]) }))
    }

    async fn list_tasks(&self, request: Request<TasksRequest>) -> Answer<TaskList> {
        self.meet(&request, "ListTasks")?;
        let TasksRequest { state, after, limit } = request.into_inner();
        let task_class = self.word("query", "train").to_owned();
        let (task_id, until_ms) = (TASK.to_vec(), u64::from(limit));
        let tasks = vec![TaskEntry { task_id, task_class, state, until_ms, since_ms: 3 }];
        Ok(Response::new(TaskList { tasks, next: after }))
    }

    async fn file_challenge(&self, request: Request<ChallengeFiling>) -> Answer<ChallengeList> {
        self.meet(&request, "FileChallenge")?;
        let filing = request.into_inner();
        let entry = ChallengeEntry {
            challenger: "brand".to_owned(),
            grounds: filing.grounds,
            exhibits: filing.exhibits,
            bond_lock_ref: filing.bond_lock_ref,
            ..ChallengeEntry::default()
        };
        let steps = ["opened", "reviewing"].map(|state| ChallengeStep { state: state.to_owned(), at_ms: 5 });
        let challenge = Challenge {
            number: 1,
            round: filing.round,
            state: "reviewing".to_owned(),
            filings: vec![entry],
            steps: steps.into(),
        };
        let (task_id, task_state) = (filing.task_id, "challenged".to_owned());
        let (challenges, result) = (vec![challenge], filing.result);
        Ok(Response::new(ChallengeList { task_id, task_state, challenges, result, ..Default::default() }))
    }

    async fn list_challenges(&self, request: Request<TaskRef>) -> Answer<ChallengeList> {
        self.meet(&request, "ListChallenges")?;
        let task_id = request.into_inner().task_id;
        let (task_state, bond_base) = ("completed".to_owned(), 20);
        Ok(Response::new(ChallengeList { task_id, task_state, bond_base, ..Default::default() }))
    }

    async fn list_vaults(&self, request: Request<ListVaultsRequest>) -> Answer<VaultList> {
        self.meet(&request, "ListVaults")?;
        Ok(Response::new(VaultList { vaults: vec![self.entry()] }))
    }

    async fn assign_vault(&self, request: Request<AssignVaultRequest>) -> Answer<VaultEntry> {
        self.meet(&request, "AssignVault")?;
        Ok(Response::new(self.entry()))
    }

    async fn relay_to_vault(&self, request: Request<SealedRequest>) -> Answer<SealedResponse> {
        self.meet(&request, "RelayToVault")?;
        let sealed = request.into_inner().sealed;
        let answer = if self.lies { vec![66; 100] } else { self.operate(&sealed) };
        self.seen.lock().unwrap().sealed.extend([sealed, answer.clone()]);
        Ok(Response::new(SealedResponse { sealed: answer }))
    }

    async fn submit_transaction(&self, request: Request<ChainBytes>) -> Answer<ChainBytes> {
        self.meet(&request, "SubmitTransaction")?;
        let bytes = self.word(request.into_inner().bytes, vec![66]);
        Ok(Response::new(ChainBytes { bytes }))
    }

    async fn query_chain(&self, request: Request<ChainBytes>) -> Answer<ChainBytes> {
        self.meet(&request, "QueryChain")?;
        let bytes = self.word(request.into_inner().bytes, vec![66]);
        Ok(Response::new(ChainBytes { bytes }))
    }

    async fn get_chain_account(&self, request: Request<ChainAccountRequest>) -> Answer<ChainAccount> {
        self.meet(&request, "GetChainAccount")?;
        let account = request.into_inner().account;
        Ok(Response::new(ChainAccount { account, balance: self.word(12, 99), ..ChainAccount::default() }))
    }

    async fn get_reconciliation(&self, request: Request<ReconciliationRequest>) -> Answer<Reconciliation> {
        self.meet(&request, "GetReconciliation")?;
        let ReconciliationRequest { compare, from, limit } = request.into_inner();
        let total = self.word(from + u64::from(limit), 66);
        // Each master has compared at a time of its own.
        Ok(Response::new(Reconciliation {
            compared_ms: self.word(5, 1),
            complete: compare,
            total,
            ..Reconciliation::default()
        }))
    }

    async fn get_candidates(&self, request: Request<CandidatePoolRequest>) -> Answer<CandidatePool> {
        self.meet(&request, "GetCandidates")?;
        let epoch = self.word(request.into_inner().epoch.unwrap_or(8), 66);
        Ok(Response::new(CandidatePool { epoch, vaults_min: 3, ..CandidatePool::default() }))
    }

    async fn get_epoch(&self, request: Request<EpochRequest>) -> Answer<EpochPage> {
        self.meet(&request, "GetEpoch")?;
        let EpochRequest { epoch, from } = request.into_inner();
        // Each master has the endorsements that it collected.
        let record = vec![self.word(1, 2)];
        let settlements = vec![vec![u8::try_from(from).unwrap()]];
        let total = self.word(epoch, 66);
        Ok(Response::new(EpochPage { record, digest: vec![9], settlements, total }))
    }

    async fn get_journal_proof(&self, request: Request<JournalRequest>) -> Answer<JournalProof> {
        self.meet(&request, "GetJournalProof")?;
        let JournalRequest { epoch, task_id, height, since } = request.into_inner();
        let proof = format!("{epoch:?} {} {height} {since:?}", task_id.len()).into_bytes();
        Ok(Response::new(JournalProof { proof }))
    }

    async fn submit_motion(&self, request: Request<GovernanceMotion>) -> Answer<ProposalEntry> {
        self.meet(&request, "SubmitMotion")?;
        let proposal_id = self.word(request.into_inner().motion, vec![66]);
        Ok(Response::new(ProposalEntry { proposal_id, ..ProposalEntry::default() }))
    }

    async fn get_governance(&self, request: Request<GovernanceRequest>) -> Answer<GovernanceView> {
        self.meet(&request, "GetGovernance")?;
        let sequence = self.word(3, 66);
        Ok(Response::new(GovernanceView { sequence, ..GovernanceView::default() }))
    }

    async fn get_governance_log(&self, request: Request<GovernanceLogRequest>) -> Answer<GovernanceLog> {
        self.meet(&request, "GetGovernanceLog")?;
        let entries = vec![self.word(vec![u8::try_from(request.into_inner().from).unwrap()], vec![66])];
        // Each master has the endorsements that it collected.
        let head = vec![self.word(1, 2)];
        Ok(Response::new(GovernanceLog { entries, head }))
    }

    async fn get_governance_proof(
        &self,
        request: Request<GovernanceProofRequest>,
    ) -> Answer<GovernanceProof> {
        self.meet(&request, "GetGovernanceProof")?;
        let GovernanceProofRequest { sequence, since } = request.into_inner();
        let entry = self.word(format!("{sequence} since {since}").into_bytes(), vec![66]);
        Ok(Response::new(GovernanceProof { entry, ..GovernanceProof::default() }))
    }

    async fn get_status(&self, request: Request<StatusRequest>) -> Answer<Status> {
        self.meet(&request, "GetStatus")?;
        let (height, state_hash) = (7, vec![self.word(7, 66); 32]);
        Ok(Response::new(Status { masters: 1, height, state_hash, ..Status::default() }))
    }
}

/// What a master of a test does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Honest,
    /// Answers everything, and everything wrong.
    Lying,
    /// Does not answer.
    Away,
}

/// A running gateway and all that stands around it.
pub(crate) struct Stage {
    pub(crate) url: String,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) client: reqwest::Client,
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) certificate: Vec<u8>,
    pub(crate) ended: tokio::task::JoinHandle<anyhow::Result<()>>,
    pub(crate) stop: oneshot::Sender<()>,
    folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn open() -> Self {
        Self::with(Limits { requests_per_second: 1000, burst: 1000, ..Limits::default() }).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::among(&[Part::Honest], limits).await
    }

    /// A gateway before masters of the test's choice.
    pub(crate) async fn among(parts: &[Part], limits: Limits) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut masters = Vec::new();
        for part in parts {
            let vault = SealingKey::from_seed(&[2; 32]);
            let lies = *part == Part::Lying;
            let master = Master { seen: Arc::clone(&seen), gateway: gateway_key().public(), vault, lies };
            masters.push(match part {
                Part::Honest | Part::Lying => serve(master).await,
                Part::Away => nobody(),
            });
        }
        Self { seen, ..Self::before(masters, limits).await }
    }

    async fn before(masters: Vec<tonic::transport::Channel>, limits: Limits) -> Self {
        // Fails only where another test of this process did it before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let tls = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = GatewayConfig {
            listener,
            certificate: write("cert.pem", tls.cert.pem().as_bytes()),
            certificate_key: write("key.pem", tls.signing_key.serialize_pem().as_bytes()),
            jwks: write("jwks.json", jwks().to_string().as_bytes()),
            issuer: ISSUER.into(),
            audience: AUDIENCE.into(),
            masters: (1..)
                .zip(masters)
                .map(|(number, master)| (NodeId::new(&format!("master-{number}")).unwrap(), master.into()))
                .collect(),
            key: gateway_key(),
            limits,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(symphony_gateway::server::run(config, async move {
            let _ = stopped.await;
        }));
        let root = reqwest::Certificate::from_pem(tls.cert.pem().as_bytes()).unwrap();
        let client =
            reqwest::Client::builder().tls_certs_only([root]).resolve("localhost", address).build().unwrap();
        let url = format!("https://localhost:{}", address.port());
        let certificate = tls.cert.der().to_vec();
        let seen = Arc::default();
        Self { url, address, client, seen, certificate, ended, stop, folder }
    }

    /// Where the gateway's files are: `cert.pem`, `key.pem`.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A request of the stage's actor.
    pub(crate) fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(token(|_| {}))
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.request(reqwest::Method::GET, path)
    }

    pub(crate) fn post(
        &self,
        path: &str,
        media: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::RequestBuilder {
        let request = self.request(reqwest::Method::POST, path).header("content-type", media).body(body);
        request.header("idempotency-key", "upload-1")
    }
}

fn gateway_key() -> PrivateKey<key::Gateway> {
    PrivateKey::from_seed(&[1; 32])
}

/// Nobody listens on port 0, and no other test ever will.
fn nobody() -> tonic::transport::Channel {
    tonic::transport::Channel::from_static("http://127.0.0.1:0").connect_lazy()
}

async fn serve(master: Master) -> tonic::transport::Channel {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = PlatformServer::new(master).max_decoding_message_size(64 << 20);
    tokio::spawn(tonic::transport::Server::builder().add_service(server).serve_with_incoming(incoming));
    tonic::transport::Channel::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

/// The issuer's private key, or another with another seed.
pub(crate) fn issuer_key(seed: u8) -> EncodingKey {
    let mut der = hex::decode("302e020100300506032b657004220420").unwrap();
    der.extend_from_slice(&[seed; 32]);
    EncodingKey::from_ed_der(&der)
}

pub(crate) fn jwks() -> Value {
    let mut jwk = Jwk::from_encoding_key(&issuer_key(5), Algorithm::EdDSA).unwrap();
    jwk.common.key_id = Some(KEY_ID.into());
    json!({ "keys": [jwk] })
}

/// The claims of the stage's actor, changed by the test.
pub(crate) fn claims(change: impl FnOnce(&mut Value)) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": ACTOR, "roles": ["producer"], "nbf": now - 5, "exp": now + 600,
    });
    change(&mut claims);
    claims
}

pub(crate) fn token(change: impl FnOnce(&mut Value)) -> String {
    sign(Algorithm::EdDSA, &issuer_key(5), &claims(change))
}

pub(crate) fn sign(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = Some(KEY_ID.into());
    jsonwebtoken::encode(&header, claims, key).unwrap()
}
