//! The public interface over HTTPS (R207-R210): one typed method an operation.
//!
//! A request is repeated only when a repetition has one effect: reads, and everything that carries the caller's name
//! for it or the same signed bytes. Refusals arrive as [`ProblemDetails`].

use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Certificate, Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use symphony_chain::ledger::Receipt;
use symphony_chain::ledger::query::{Answer, Query};
use symphony_chain::port;
use symphony_chain::transaction::Submission;
use symphony_protocol::governance::Governance;
use symphony_types::catalogue::Code;
use symphony_types::id::{ActorId, RequestId, TaskId, UsageScope};
use symphony_types::limits::SEALED_BYTES_MAX;
use thiserror::Error;

use crate::own::Trust;
use crate::shape::candidates::CandidatePool;
use crate::shape::challenge::{ChallengeFiling, ChallengeList};
use crate::shape::reconcile::Reconciliation;
use crate::shape::training::SealedStep;
use crate::shape::{
    AttributeEntry, BackupReport, BudgetEntry, CandidateEntry, ConsentEntry, DividendEntry, ErrorEntry,
    PersonErasureReport, Quote, RecordEntry, RetentionEntry, RotationReport, Status, SubmitTaskRequest, Task,
    TaskResult, TaskSpec, UploadReport, VaultEntry, VaultList,
};

/// A refusal as RFC 9457 writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDetails {
    /// The catalogue code, such as `ADM-0006`.
    pub code: String,
    /// What the code means.
    pub title: String,
    /// What was wrong with this request.
    pub detail: String,
    /// The HTTP status.
    pub status: u16,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

impl ProblemDetails {
    /// Whether the same request may soon be answered.
    pub(crate) fn passing(&self) -> bool {
        self.retryable && matches!(self.status, 429 | 502 | 503 | 504)
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// An answer: the platform will not do it.
    #[error("{} {}: {}", .0.code, .0.title, .0.detail)]
    Refused(ProblemDetails),
    /// No answer: whether the request had an effect is not known.
    #[error("reaching the gateway")]
    Unreachable(#[from] reqwest::Error),
    /// The answer is not one of this interface.
    #[error("reading the gateway's answer: {0}")]
    Garbled(String),
    /// The client cannot be made as configured.
    #[error("configuring the client: {0}")]
    Config(String),
    /// A file cannot be sent.
    #[error("opening the upload")]
    File(#[from] std::io::Error),
}

impl ClientError {
    /// A refusal by its code in the catalogue.
    pub(crate) fn refused(code: Code, detail: String) -> Self {
        Self::Refused(ProblemDetails {
            code: code.as_str().to_owned(),
            title: code.title().to_owned(),
            detail,
            status: code.http(),
            retryable: code.retry(),
        })
    }
}

/// What is uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// People.
    Subjects,
    /// Consents.
    Consents,
    /// Records.
    Records,
}

/// How an upload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    JsonLines,
    /// A Parquet file.
    Parquet,
    /// An Arrow IPC stream.
    ArrowStream,
}

impl Format {
    /// The format that a file's ending names: `jsonl`, `ndjson`, `parquet`, `arrow`, `arrows`.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "parquet" => Some(Self::Parquet),
            "arrow" | "arrows" => Some(Self::ArrowStream),
            _ => None,
        }
    }

    const fn media(self) -> &'static str {
        match self {
            Self::JsonLines => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::ArrowStream => "application/vnd.apache.arrow.stream",
        }
    }
}

/// A caller's connection to one gateway.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    /// With it, the caller's own receipts and records are sealed between it and its Vault.
    pub(crate) trust: Option<Arc<Trust>>,
}

impl Client {
    /// A client of the gateway at `url`, as the holder of `token`. `ca` replaces the system's authorities by those
    /// of a PEM text. **Errors**: [`ClientError::Config`]; a token is never sent in the clear beyond this machine.
    pub fn new(url: &str, ca: Option<&[u8]>, token: Option<&str>) -> Result<Self, ClientError> {
        let config = |detail: &dyn ToString| ClientError::Config(detail.to_string());
        let base = Url::parse(url).map_err(|error| config(&error))?;
        let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if base.scheme() != "https" && !(base.scheme() == "http" && local) {
            return Err(config(&"the gateway must be reached by https"));
        }
        // The first provider of the process stays.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
            let mut value = value.map_err(|_| config(&"the token is not text"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT);
        if let Some(pem) = ca {
            builder =
                builder.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(|error| config(&error))?);
        }
        Ok(Self { http: builder.build().map_err(|error| config(&error))?, base, trust: None })
    }

    /// The same, but everything about the receipts and records of `actor`, whom the token names, is sealed to the key that this
    /// governance gives its Vault: gateway and masters pass on what they cannot read.
    #[must_use]
    pub fn sealing(self, governance: Governance, actor: ActorId) -> Self {
        Self { trust: Some(Arc::new(Trust::new(governance, actor))), ..self }
    }

    /// Prices a query; nothing is recorded.
    pub async fn quote(&self, spec: &TaskSpec) -> Result<Quote, ClientError> {
        self.repeat(|| self.request(Method::POST, &["quotes"]).json(spec)).await
    }

    /// Has a task admitted; the same request id twice has one effect (R209).
    pub async fn submit(&self, request: &SubmitTaskRequest) -> Result<Task, ClientError> {
        self.repeat(|| self.request(Method::POST, &["tasks"]).json(request)).await
    }

    /// A task's state.
    pub async fn task(&self, task: TaskId) -> Result<Task, ClientError> {
        self.read(&["tasks", &task.to_string()]).await
    }

    /// Follows a task until it is terminal and shows each step; a broken stream is taken up again.
    pub async fn watch(&self, task: TaskId, mut seen: impl FnMut(&Task)) -> Result<Task, ClientError> {
        let mut failures = 0;
        loop {
            let mut progressed = false;
            let ended = self.watch_once(task, |task| {
                progressed = true;
                seen(task);
            });
            let error = match ended.await {
                Ok(Some(task)) => return Ok(task),
                Ok(None) => ClientError::Garbled("the stream of events ended early".to_owned()),
                Err(error) => error,
            };
            failures = if progressed { 0 } else { failures + 1 };
            if failures >= ATTEMPTS || !passing(&error) {
                return Err(error);
            }
            tokio::time::sleep(pause(failures)).await;
        }
    }

    async fn watch_once(
        &self,
        task: TaskId,
        mut seen: impl FnMut(&Task),
    ) -> Result<Option<Task>, ClientError> {
        let mut response =
            self.once(self.request(Method::GET, &["tasks", &task.to_string(), "events"])).await?;
        let mut events = Events::default();
        while let Some(bytes) = response.chunk().await? {
            for (event, data) in events.push(&bytes)? {
                if event == "problem" {
                    return Err(ClientError::Refused(parse(data.as_bytes())?));
                }
                let task: Task = parse(data.as_bytes())?;
                seen(&task);
                if task.terminal() {
                    return Ok(Some(task));
                }
            }
        }
        Ok(None)
    }

    /// The sealed result of a completed task.
    pub async fn result(&self, task: TaskId) -> Result<TaskResult, ClientError> {
        self.read(&["tasks", &task.to_string(), "result"]).await
    }

    /// The sealed transcript of one step of a completed training (R104).
    pub async fn step(&self, task: TaskId, round: u32) -> Result<SealedStep, ClientError> {
        self.read(&["tasks", &task.to_string(), "steps", &round.to_string()]).await
    }

    /// Disputes the result of a task; the same filing again changes nothing (R139).
    pub async fn challenge(
        &self,
        task: TaskId,
        filing: &ChallengeFiling,
    ) -> Result<ChallengeList, ClientError> {
        let task = task.to_string();
        self.repeat(|| self.request(Method::POST, &["tasks", &task, "challenges"]).json(filing)).await
    }

    /// What reconciliation found and what was done about it, from a record on (R219, R220); `compare` has both sides compared
    /// first. A limit of zero is the server's.
    pub async fn reconciliation(
        &self,
        compare: bool,
        from: u64,
        limit: u32,
    ) -> Result<Reconciliation, ClientError> {
        let (from, limit) = (from.to_string(), limit.to_string());
        let query = [
            ("compare", if compare { "true" } else { "false" }),
            ("from", from.as_str()),
            ("limit", limit.as_str()),
        ];
        self.repeat(|| self.select(Method::GET, &["reconciliation"], &query)).await
    }

    /// Candidates for attributes that enough Vaults found in an epoch, the last one that they reported of when absent (R051).
    pub async fn candidate_pool(&self, epoch: Option<u64>) -> Result<CandidatePool, ClientError> {
        let epoch = epoch.map(|epoch| epoch.to_string());
        let query: Vec<_> = epoch.iter().map(|epoch| ("epoch", epoch.as_str())).collect();
        self.repeat(|| self.select(Method::GET, &["candidates"], &query)).await
    }

    /// The challenges of a task (R208).
    pub async fn challenges(&self, task: TaskId) -> Result<ChallengeList, ClientError> {
        self.read(&["tasks", &task.to_string(), "challenges"]).await
    }

    /// The evidence bundle of a completed task (R208).
    pub async fn evidence(&self, task: TaskId) -> Result<Vec<u8>, ClientError> {
        let path = ["tasks", &task.to_string(), "evidence"];
        self.repeat_bytes(|| self.request(Method::GET, &path)).await
    }

    /// Approved Vaults.
    pub async fn vaults(&self) -> Result<VaultList, ClientError> {
        self.read(&["vaults"]).await
    }

    /// The Vault of the caller's own data.
    pub async fn assigned(&self) -> Result<VaultEntry, ClientError> {
        self.read(&["vaults", "assigned"]).await
    }

    /// Streams a file to a Vault, or to the caller's `assigned` one; again if the connection is lost, as sending it twice by the
    /// same name has one effect.
    pub async fn upload(
        &self,
        vault: &str,
        upload: Upload,
        format: Format,
        key: &RequestId,
        file: &Path,
    ) -> Result<UploadReport, ClientError> {
        let kind = match upload {
            Upload::Subjects => "subjects",
            Upload::Consents => "consents",
            Upload::Records => "records",
        };
        let send = async || {
            let request = self
                .request(Method::POST, &["vaults", vault, kind])
                .header(CONTENT_TYPE, format.media())
                .header(IDEMPOTENCY_KEY, key.as_str())
                .body(tokio::fs::File::open(file).await?);
            body(self.once(request).await?).await
        };
        parse(&patiently(send).await?)
    }

    /// A person's privacy budget.
    pub async fn budget(&self, vault: &str, subject: &str) -> Result<Vec<BudgetEntry>, ClientError> {
        self.read(&["vaults", vault, "subjects", subject, "budget"]).await
    }

    /// A page of what spends a person's budget: canonical bytes of a proven statement, which [`crate::budget`] checks.
    pub async fn budget_statement(
        &self,
        vault: &str,
        subject: &str,
        after: Option<TaskId>,
    ) -> Result<Vec<u8>, ClientError> {
        let path = ["vaults", vault, "subjects", subject, "budget", "statement"];
        let after = after.map(|task| task.to_string());
        let query: Vec<_> = after.iter().map(|task| ("after", task.as_str())).collect();
        self.repeat_bytes(|| self.select(Method::GET, &path, &query)).await
    }

    /// A person's consents.
    pub async fn consents(&self, vault: &str, subject: &str) -> Result<Vec<ConsentEntry>, ClientError> {
        self.read(&["vaults", vault, "subjects", subject, "consents"]).await
    }

    /// A person's records.
    pub async fn records(&self, vault: &str, subject: &str) -> Result<Vec<RecordEntry>, ClientError> {
        if let Some(trust) = self.trust.as_ref().filter(|trust| trust.covers(vault, subject)) {
            return self.own_records(trust).await;
        }
        self.read(&["vaults", vault, "subjects", subject, "records"]).await
    }

    /// What modules found of a person.
    pub async fn attributes(&self, vault: &str, subject: &str) -> Result<Vec<AttributeEntry>, ClientError> {
        if let Some(trust) = self.trust.as_ref().filter(|trust| trust.covers(vault, subject)) {
            return self.own_attributes(trust).await;
        }
        self.read(&["vaults", vault, "subjects", subject, "attributes"]).await
    }

    /// A person's dividends.
    pub async fn dividends(&self, vault: &str, subject: &str) -> Result<Vec<DividendEntry>, ClientError> {
        self.read(&["vaults", vault, "subjects", subject, "dividends"]).await
    }

    /// Erases a person at a Vault, for good. Again, the same proof. [`crate::erasure::check_person`] reads it.
    pub async fn erase_person(&self, vault: &str, subject: &str) -> Result<PersonErasureReport, ClientError> {
        if let Some(trust) = self.trust.as_ref().filter(|trust| trust.covers(vault, subject)) {
            return Ok(PersonErasureReport { proof: self.own_erasure(trust).await? });
        }
        self.repeat(|| self.request(Method::DELETE, &["vaults", vault, "subjects", subject])).await
    }

    /// Has a Vault wrap its keys under a new one. For its operator. Not repeated: each time is a rotation of its own.
    pub async fn rotate_key(&self, vault: &str) -> Result<RotationReport, ClientError> {
        let request = self.request(Method::POST, &["vaults", vault, "key", "rotations"]);
        parse(&body(self.once(request).await?).await?)
    }

    /// Columns of a Vault's records that no governed attribute is for. For its operator.
    pub async fn candidates(&self, vault: &str) -> Result<Vec<CandidateEntry>, ClientError> {
        self.repeat(|| self.request(Method::GET, &["vaults", vault, "candidates"])).await
    }

    /// How long a Vault keeps records, and what has ended. For its operator.
    pub async fn retention(&self, vault: &str) -> Result<RetentionEntry, ClientError> {
        self.repeat(|| self.request(Method::GET, &["vaults", vault, "retention"])).await
    }

    /// Has a Vault take a backup into its node's standby. For its operator. Not repeated: each time is a backup of its own.
    pub async fn back_up(&self, vault: &str) -> Result<BackupReport, ClientError> {
        let request = self.request(Method::POST, &["vaults", vault, "backups"]);
        parse(&body(self.once(request).await?).await?)
    }

    /// Grants the caller's consent for a scope at its assigned Vault, until `expires_ms` if given.
    pub async fn grant(
        &self,
        scope: &UsageScope,
        expires_ms: Option<u64>,
        key: &RequestId,
    ) -> Result<UploadReport, ClientError> {
        let grant = expires_ms.map(|expires_ms| json!({"expires_ms": expires_ms}));
        self.repeat(|| {
            let request = self.request(Method::PUT, &["consents", scope.as_str()]);
            let request = request.header(IDEMPOTENCY_KEY, key.as_str());
            if let Some(grant) = &grant { request.json(grant) } else { request }
        })
        .await
    }

    /// Withdraws the caller's consent for a scope at its assigned Vault.
    pub async fn withdraw(&self, scope: &UsageScope, key: &RequestId) -> Result<UploadReport, ClientError> {
        let path = ["consents", scope.as_str()];
        self.repeat(|| self.request(Method::DELETE, &path).header(IDEMPOTENCY_KEY, key.as_str())).await
    }

    /// Grants a person's consent for a scope at a Vault that holds its data, until `expires_ms` if given. Only that
    /// person and the Vault's operator may.
    pub async fn grant_at(
        &self,
        vault: &str,
        subject: &str,
        scope: &UsageScope,
        expires_ms: Option<u64>,
        key: &RequestId,
    ) -> Result<UploadReport, ClientError> {
        let mut consent = json!({"subject": subject, "scope": scope, "state": "granted"});
        if let Some(expires_ms) = expires_ms {
            consent["expires_at"] = expires_ms.into();
        }
        self.put_consent(vault, &consent, key).await
    }

    /// Withdraws a person's consent for a scope at a Vault that holds its data. Only that person and the Vault's
    /// operator may.
    pub async fn withdraw_at(
        &self,
        vault: &str,
        subject: &str,
        scope: &UsageScope,
        key: &RequestId,
    ) -> Result<UploadReport, ClientError> {
        let consent = json!({"subject": subject, "scope": scope, "state": "withdrawn"});
        self.put_consent(vault, &consent, key).await
    }

    async fn put_consent(
        &self,
        vault: &str,
        consent: &Value,
        key: &RequestId,
    ) -> Result<UploadReport, ClientError> {
        self.repeat(|| {
            let request = self.request(Method::POST, &["vaults", vault, "consents"]);
            request.header(IDEMPOTENCY_KEY, key.as_str()).json(consent)
        })
        .await
    }

    /// Has the chain execute a signed transaction; the same bytes again give the same receipt (R172).
    pub async fn transact(&self, transaction: &Submission) -> Result<Receipt, ClientError> {
        let request = port::Request::Submit(transaction.clone());
        match self.chain("transactions", &request).await? {
            port::Response::Executed(receipt) => Ok(receipt),
            other => Err(ClientError::Garbled(format!("{other:?} does not answer a transaction"))),
        }
    }

    /// Asks the chain.
    pub async fn query(&self, query: Query) -> Result<Answer, ClientError> {
        match self.chain("queries", &port::Request::Query(query)).await? {
            port::Response::Answer(answer) => Ok(answer),
            other => Err(ClientError::Garbled(format!("{other:?} does not answer a query"))),
        }
    }

    async fn chain(&self, path: &str, request: &port::Request) -> Result<port::Response, ClientError> {
        let bytes = request.to_bytes();
        let make = || {
            let request = self.request(Method::POST, &["chain", path]);
            request.header(CONTENT_TYPE, "application/octet-stream").body(bytes.clone())
        };
        let answer = self.repeat_bytes(make).await?;
        port::Response::from_bytes(&answer)
            .ok_or_else(|| ClientError::Garbled("not an answer of the chain".to_owned()))
    }

    /// The network's state.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.read(&["status"]).await
    }

    /// The error catalogue.
    pub async fn errors(&self) -> Result<Vec<ErrorEntry>, ClientError> {
        self.read(&["errors"]).await
    }

    pub(crate) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// A request with a query.
    pub(crate) fn select(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.url(path);
        url.query_pairs_mut().extend_pairs(query);
        self.http.request(method, url)
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Only a URL that cannot be a base has no segments, and those have neither http nor https.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        url
    }

    pub(crate) async fn read<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        self.repeat(|| self.request(Method::GET, path)).await
    }

    pub(crate) async fn repeat<T: DeserializeOwned>(
        &self,
        make: impl Fn() -> RequestBuilder,
    ) -> Result<T, ClientError> {
        parse(&self.repeat_bytes(make).await?)
    }

    /// Sends a request whose repetition has one effect until it is answered.
    pub(crate) async fn repeat_bytes(
        &self,
        make: impl Fn() -> RequestBuilder,
    ) -> Result<Vec<u8>, ClientError> {
        patiently(async || body(self.once(make()).await?).await).await
    }

    pub(crate) async fn once(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let content = body(response).await?;
        let problem = serde_json::from_slice(&content);
        Err(problem.map_or_else(|_| ClientError::Garbled(format!("status {status}")), ClientError::Refused))
    }
}

/// Tries until there is an answer, or a refusal that stays, or often enough.
pub(crate) async fn patiently<T, F: Future<Output = Result<T, ClientError>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, ClientError> {
    let mut failures = 0;
    loop {
        match attempt().await {
            Err(error) if failures + 1 < ATTEMPTS && passing(&error) => failures += 1,
            ended => return ended,
        }
        tokio::time::sleep(pause(failures)).await;
    }
}

/// Whether the same request may soon be answered.
pub(crate) fn passing(error: &ClientError) -> bool {
    match error {
        ClientError::Refused(problem) => problem.passing(),
        ClientError::Unreachable(_) | ClientError::Garbled(_) => true,
        ClientError::Config(_) | ClientError::File(_) => false,
    }
}

pub(crate) fn pause(failures: u32) -> Duration {
    FIRST_PAUSE * 2_u32.saturating_pow(failures.min(6))
}

pub(crate) async fn body(mut response: Response) -> Result<Vec<u8>, ClientError> {
    let mut content = Vec::new();
    while let Some(bytes) = response.chunk().await? {
        if content.len() + bytes.len() > ANSWER_BYTES_MAX {
            return Err(ClientError::Garbled("the answer is too large".to_owned()));
        }
        content.extend_from_slice(&bytes);
    }
    Ok(content)
}

pub(crate) fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(content).map_err(|fault| ClientError::Garbled(fault.to_string()))
}

/// Server-sent events out of pieces of bytes.
#[derive(Debug, Default)]
struct Events {
    rest: Vec<u8>,
    event: String,
    data: String,
}

impl Events {
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<(String, String)>, ClientError> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
            match line.split_once(':') {
                _ if line.is_empty() && !self.data.is_empty() => {
                    events.push((std::mem::take(&mut self.event), std::mem::take(&mut self.data)));
                }
                Some(("event", value)) => value.trim_start().clone_into(&mut self.event),
                Some(("data", value)) => self.data.push_str(value.trim_start()),
                _ => {}
            }
        }
        if self.rest.len() + self.data.len() > EVENT_BYTES_MAX {
            return Err(ClientError::Garbled("an event is too large".to_owned()));
        }
        Ok(events)
    }
}

pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than the gateway is silent on a stream of events, and than one chunk of an upload takes.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a request is sent that is not answered.
pub(crate) const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A sealed result in hexadecimal digits is the largest answer.
const ANSWER_BYTES_MAX: usize = 2 * SEALED_BYTES_MAX + (1 << 20);
const EVENT_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_across_pieces_and_comments_are_not_events() {
        let mut events = Events::default();
        assert_eq!(events.push(b": keep-alive\n\nevent: task\nda").unwrap(), []);
        let read = events.push(b"ta: {\"a\":1}\r\n\nevent: problem\ndata: {}\n\n").unwrap();
        let expected = [("task", "{\"a\":1}"), ("problem", "{}")];
        assert_eq!(read, expected.map(|(event, data)| (event.to_owned(), data.to_owned())));
        assert!(events.push(&vec![b'x'; EVENT_BYTES_MAX + 1]).is_err());
    }

    /// R205: a token goes out encrypted, or not at all.
    #[test]
    fn a_gateway_in_the_clear_is_refused_beyond_this_machine() {
        for wrong in ["http://gateway.example", "ftp://localhost", "gateway", "http://10.0.0.1:80"] {
            assert!(matches!(Client::new(wrong, None, Some("t")), Err(ClientError::Config(_))), "{wrong}");
        }
        for right in ["https://gateway.example", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost"] {
            assert!(Client::new(right, None, Some("t")).is_ok(), "{right}");
        }
    }

    #[test]
    fn path_segments_are_escaped() {
        let client = Client::new("https://gateway.example/base/", None, None).unwrap();
        let request = client.request(Method::GET, &["vaults", "a/../b"]).build().unwrap();
        assert_eq!(request.url().as_str(), "https://gateway.example/base/v1/vaults/a%2F..%2Fb");
    }

    /// R210: only refusals that may pass soon are tried again.
    #[test]
    fn lasting_refusals_are_not_repeated() {
        let problem = |status, retryable| {
            let (code, title, detail) = (String::new(), String::new(), String::new());
            ClientError::Refused(ProblemDetails { code, title, detail, status, retryable })
        };
        assert!(passing(&problem(503, true)) && passing(&problem(429, true)));
        assert!(!passing(&problem(503, false)) && !passing(&problem(409, true)));
    }
}
