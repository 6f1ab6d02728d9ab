//! Client and wallet against a gateway of the test, which hosts a ledger in memory and loses answers when told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use symphony_chain::ledger::inflation::Schedule;
use symphony_chain::ledger::{self, Genesis, Parameters, Roles, TierTerms};
use symphony_chain::port::{self, respond};
use symphony_chain::transaction::{ChainId, SignedTransaction, Submission, lock_ref};
use symphony_protocol::artifact::{AudienceResult, Outcome};
use symphony_sdk::campaign::{CampaignSpec, Step, Submitter};
use symphony_sdk::client::{Client, ClientError, Format, Upload};
use symphony_sdk::recipient::Recipient;
use symphony_sdk::wallet::{Wallet, WalletError};
use symphony_types::amount::{Bps, Sym};
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AccountId, RequestId, TaskId};
use symphony_types::key::PrivateKey;
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::encode;
use symphony_wire::enclave::purpose;
use symphony_wire::sealed::seal;

use crate::bundle::actor;

/// What the gateway of the test knows.
pub(crate) struct Stage {
    ledger: ledger::State,
    /// How far the chain's clock is ahead of the wallet's. **Units**: milliseconds.
    ahead: u64,
    /// Answers to transactions that get lost after the execution.
    lose: u32,
    /// Transactions as they came in.
    sent: Vec<SignedTransaction>,
    /// Streams of events that break off after their first event.
    break_off: u32,
    /// Quotes that the masters do not agree about yet.
    undecided: u32,
    recipient: Vec<u8>,
    uploads: Vec<(String, String, Vec<u8>)>,
}

pub(crate) type Shared = Arc<Mutex<Stage>>;

const TASK: Digest = Digest([7; 32]);
/// Shorter than a transaction is valid.
pub(crate) const COOLDOWN_MS: u64 = 30_000;

fn now() -> OrderedMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    OrderedMillis(since.as_millis() as u64)
}

fn genesis(rich: AccountId) -> ledger::State {
    let terms = TierTerms { minimum: Sym(10), cooldown_ms: COOLDOWN_MS };
    let account = |byte| AccountId(Digest([byte; 32]));
    ledger::State::new(Genesis {
        chain: ChainId::new("test").unwrap(),
        balances: BTreeMap::from([(rich, Sym(10_000))]),
        treasury: Sym(1_000),
        pool: Sym::ZERO,
        incentives: Sym::ZERO,
        inflation: Schedule {
            start: OrderedMillis(0),
            epoch_ms: 1,
            epochs_per_step: 1,
            rates: vec![],
            treasury: Bps(0),
        },
        roles: Roles {
            payout: account(1),
            slasher: account(2),
            // The same wallet is the submitter's and the council's.
            recorder: rich,
            treasury: [3, 4, 5].map(|seed| PrivateKey::from_seed(&[seed; 32]).public()).into(),
            treasury_threshold: 2,
        },
        parameters: Parameters {
            master: terms,
            enterprise: terms,
            producer: terms,
            lock_ms_min: 1,
            transaction_ms_max: 120_000,
            receipt_ms: 240_000,
            payees_per_tree_min: 1,
            quorum: Bps(5_000),
        },
    })
    .unwrap()
}

async fn transaction(State(stage): State<Shared>, body: Bytes) -> Response {
    let mut stage = stage.lock().unwrap();
    let Some(port::Request::Submit(Submission::Ledger(transaction))) = port::Request::from_bytes(&body)
    else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    stage.sent.push(*transaction);
    let at = now().plus(stage.ahead);
    let answer = respond(&mut stage.ledger, at, &body);
    if let Some(port::Response::Refused(refusal)) = port::Response::from_bytes(&answer) {
        return problem(refusal.code().as_str(), refusal.code().http(), refusal.code().retry());
    }
    if stage.lose > 0 {
        stage.lose -= 1;
        return (StatusCode::BAD_GATEWAY, "lost").into_response();
    }
    answer.into_response()
}

fn problem(code: &str, status: u16, retryable: bool) -> Response {
    let body = json!({"type": format!("urn:symphony:error:{code}"), "code": code, "title": "t", "detail": "d",
        "instance": "i", "status": status, "retryable": retryable});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

async fn query(State(stage): State<Shared>, body: Bytes) -> Vec<u8> {
    let mut stage = stage.lock().unwrap();
    let at = now().plus(stage.ahead);
    respond(&mut stage.ledger, at, &body)
}

pub(crate) fn task(state: &str) -> Value {
    json!({"task_id": TASK.to_hex(), "request_id": "coupon", "submitter": "luckin", "state": state, "code": "",
        "schema_version": 1, "semantic_version": 1, "policy_version": 1, "epoch_id": 1, "slices": [],
        "charged": null, "locked": "100", "refunded": "0", "shares": [], "settlement_root": "", "anchor": "none",
        "payout": "none", "platform_class": "software", "returned": 0, "updated_ms": 1, "delivered_ms": 0,
        "refund": "none", "a_later_field": true})
}

async fn quote(State(stage): State<Shared>) -> Response {
    let mut stage = stage.lock().unwrap();
    if stage.undecided > 0 {
        stage.undecided -= 1;
        let code = symphony_types::catalogue::Code::Undecided;
        return problem(code.as_str(), code.http(), code.retry());
    }
    let fee = json!({"base": "60", "vaults": "10", "records": "20", "epsilon": "10", "total": "100"});
    Json(
        json!({"policy_version": 1, "semantic_version": 1, "worst_case": fee, "exposure_micro_epsilon": 400_000,
        "noised_micro_epsilon": 100_000, "minimum_result_cardinality": 10, "coverage": [],
        "lock_until_ms": now().0 + 60_000}),
    )
    .into_response()
}

async fn submit(State(stage): State<Shared>, Json(body): Json<Value>) -> Response {
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    stage.lock().unwrap().recipient = hex::decode(text("recipient_key")).unwrap();
    assert_eq!(text("request_id"), "coupon");
    assert_eq!(body["spec"]["operands"][0], json!({"rule": "commerce.purchase_recency", "days": 30}));
    (StatusCode::ACCEPTED, Json(task("accepted"))).into_response()
}

async fn events(State(stage): State<Shared>) -> Response {
    let mut stage = stage.lock().unwrap();
    let mut text = format!(": hello\n\nevent: task\ndata: {}\n\n", task("dispatched"));
    if stage.break_off > 0 {
        stage.break_off -= 1;
    } else {
        text.push_str(&format!("event: task\ndata: {}\n\n", task("completed")));
    }
    ([(header::CONTENT_TYPE, "text/event-stream")], text).into_response()
}

fn audience() -> AudienceResult {
    AudienceResult {
        task: TaskId(TASK),
        outcome: Outcome::Audience { returned: 1 },
        handles: vec!["a@example.org".to_owned()],
        eligible_noised: Some(2),
        noise_epsilon: Epsilon(100_000),
    }
}

async fn result(State(stage): State<Shared>) -> Json<Value> {
    let recipient = stage.lock().unwrap().recipient.clone();
    let sealed = seal(&recipient, purpose::RESULT, &encode(&TaskId(TASK)), &encode(&audience())).unwrap();
    Json(
        json!({"task_id": TASK.to_hex(), "outcome": "audience", "returned": 1, "sealed": hex::encode(sealed),
        "settlement_root": "", "code": ""}),
    )
}

async fn upload(
    State(stage): State<Shared>,
    Path((vault, kind)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Json<Value> {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let what = format!("{vault}/{kind} {} {}", header("content-type"), header("authorization"));
    stage.lock().unwrap().uploads.push((what, header("idempotency-key"), body.to_vec()));
    Json(json!({"accepted": 2, "duplicates": 0, "refused_total": 0, "refused": [], "commitments": []}))
}

pub(crate) struct World {
    stage: Shared,
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn open() -> Self {
        let tasks = Router::new()
            .route("/v1/tasks", post(submit))
            .route("/v1/tasks/{id}/events", get(events))
            .route("/v1/tasks/{id}/result", get(result));
        Self::with(tasks).await
    }

    /// With these routes for tasks.
    pub(crate) async fn with(tasks: Router<Shared>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wallet.seed");
        let wallet = Wallet::create(&path, ChainId::new("test").unwrap()).unwrap();
        let stage = Arc::new(Mutex::new(Stage {
            ledger: genesis(wallet.account()),
            ahead: 0,
            lose: 0,
            sent: Vec::new(),
            break_off: 0,
            undecided: 0,
            recipient: Vec::new(),
            uploads: Vec::new(),
        }));
        let router = Router::new()
            .route("/v1/chain/transactions", post(transaction))
            .route("/v1/chain/queries", post(query))
            .route("/v1/quotes", post(quote))
            .merge(tasks)
            .route("/v1/vaults/{vault}/{kind}", post(upload))
            .route("/v1/status", get(async || problem("ADM-0003", 403, false)))
            .with_state(Arc::clone(&stage));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::new(&url, None, Some("token")).unwrap();
        Self { stage, url, client, folder }
    }

    /// The wallet as a process finds it after its start.
    pub(crate) fn wallet(&self) -> Wallet {
        let path = self.folder.path().join("wallet.seed");
        Wallet::open(&path, ChainId::new("test").unwrap()).unwrap()
    }

    /// Lets time pass for the chain.
    pub(crate) fn pass(&self, ms: u64) {
        self.stage.lock().unwrap().ahead += ms;
    }

    fn sent(&self) -> Vec<SignedTransaction> {
        self.stage.lock().unwrap().sent.clone()
    }
}

/// R172: an answer is lost again and again; the same bytes go out each time, and one transfer is made.
#[tokio::test]
async fn a_lost_answer_repeats_the_same_bytes() {
    let world = World::open().await;
    let (wallet, to) = (world.wallet(), AccountId(Digest([9; 32])));
    world.stage.lock().unwrap().lose = 6;
    let lost = wallet.transfer(&world.client, to, Sym(40)).await;
    assert!(matches!(lost, Err(WalletError::Client(ClientError::Garbled(_)))));
    // Another process takes it up again.
    let wallet = world.wallet();
    wallet.transfer(&world.client, to, Sym(40)).await.unwrap();
    let sent = world.sent();
    assert!(sent.iter().all(|transaction| *transaction == sent[0]));
    assert_eq!(wallet.holding(&world.client).await.unwrap().balance, Sym(9_960));
    // The same call later is another transfer.
    wallet.transfer(&world.client, to, Sym(40)).await.unwrap();
    assert_eq!(wallet.holding(&world.client).await.unwrap().balance, Sym(9_920));
}

/// R196: while the masters do not agree the client asks again by itself, with growing pauses, and not for ever.
#[tokio::test]
async fn masters_that_do_not_agree_yet_are_asked_again() {
    let world = World::open().await;
    world.stage.lock().unwrap().undecided = 3;
    let began = std::time::Instant::now();
    assert_eq!(world.client.quote(&spec().task()).await.unwrap().policy_version, 1);
    assert!(began.elapsed().as_millis() >= 700, "{:?}", began.elapsed());
    world.stage.lock().unwrap().undecided = 100;
    let Err(ClientError::Refused(problem)) = world.client.quote(&spec().task()).await else {
        panic!("an answer")
    };
    assert_eq!((problem.code.as_str(), problem.retryable), ("GOV-0005", true));
    assert_eq!(world.stage.lock().unwrap().undecided, 95);
}

/// A refused transaction leaves nothing behind.
#[tokio::test]
async fn a_refusal_is_told_with_its_code_and_forgotten() {
    let world = World::open().await;
    let refused = world.wallet().transfer(&world.client, AccountId(Digest::ZERO), Sym(99_999)).await;
    let Err(WalletError::Client(ClientError::Refused(problem))) = refused else { panic!("{refused:?}") };
    assert_eq!((problem.code.as_str(), problem.status), ("SET-0003", 402));
    let kept = std::fs::read_dir(world.folder.path().join("wallet.transactions")).unwrap();
    let kept = kept.filter(|file| file.as_ref().unwrap().path().extension().is_some());
    assert_eq!(kept.count(), 0);
}

/// R156, R176: a request has one lock, however often it is asked for.
#[tokio::test]
async fn a_request_is_locked_once() {
    let world = World::open().await;
    let spec = spec();
    let request = spec.task().request(&actor("luckin"), &RequestId::new("coupon").unwrap(), [7; 32]).unwrap();
    let quote = world.client.quote(&spec.task()).await.unwrap();
    let first = world.wallet().lock(&world.client, &request, &quote).await.unwrap();
    let again = world.wallet().lock(&world.client, &request, &quote).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(first, lock_ref(world.wallet().account(), 0));
    assert_eq!(world.wallet().holding(&world.client).await.unwrap().balance, Sym(9_900));
    let sent = world.sent();
    let symphony_chain::transaction::Call::EscrowLock { request: named, amount, .. } = &sent[0].body.call
    else {
        panic!("not a lock")
    };
    assert_eq!((*named, *amount), (request.lock_purpose(), Sym(100)));
}

fn spec() -> CampaignSpec {
    let text = r#"{"usage_scope":"marketing","vaults":["vault-a"],"quorum":1,"cap":5000,
        "operands":[{"rule":"commerce.purchase_recency","days":30}],"output":"identity.contact_handle"}"#;
    serde_json::from_str(text).unwrap()
}

/// R093, R207: from the file to the opened audience, with a stream of events that breaks off on the way.
#[tokio::test]
async fn a_campaign_ends_with_the_opened_audience() {
    let world = World::open().await;
    world.stage.lock().unwrap().break_off = 2;
    let submitter = Submitter {
        client: world.client.clone(),
        wallet: world.wallet(),
        recipient: Recipient::create(&world.folder.path().join("recipient.seed")).unwrap(),
        actor: actor("luckin"),
    };
    let mut steps = Vec::new();
    let step = |step| {
        steps.push(match step {
            Step::Quoted(_) => "quoted".to_owned(),
            Step::Locked(_) => "locked".to_owned(),
            Step::Task(task) => task.state,
        });
    };
    let request = RequestId::new("coupon").unwrap();
    let delivered = submitter.run(&spec(), &request, step).await.unwrap();
    assert_eq!(delivered.audience, Some(audience()));
    assert_eq!(delivered.task.locked, Sym(100));
    steps.dedup();
    assert_eq!(steps, ["quoted", "locked", "accepted", "dispatched", "completed"]);
}

#[tokio::test]
async fn a_file_is_sent_under_its_name_and_media_type() {
    let world = World::open().await;
    let file = world.folder.path().join("people.jsonl");
    std::fs::write(&file, "{}\n{}\n").unwrap();
    let key = RequestId::new("upload-1").unwrap();
    let format = Format::of(&file).unwrap();
    let report = world.client.upload("vault-a", Upload::Subjects, format, &key, &file).await.unwrap();
    assert_eq!(report.accepted, 2);
    let expected = "vault-a/subjects application/x-ndjson Bearer token".to_owned();
    assert_eq!(
        world.stage.lock().unwrap().uploads,
        [(expected, "upload-1".to_owned(), b"{}\n{}\n".to_vec())]
    );
}

/// R055: the command line takes a person's consent to the Vault that it names.
#[tokio::test]
async fn consent_goes_to_the_named_vault() {
    let world = World::open().await;
    let url = world.url.clone();
    let symphony = move |words: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_symphony"));
        command.args(["--gateway", &url, "--token", "token", "--actor", "person-1", "consent"]);
        command.args(words.split(' ')).output().unwrap()
    };
    let ended = tokio::task::spawn_blocking(move || {
        [
            symphony("grant --scope marketing --expires-ms 5 --vault vault-b"),
            symphony("grant --scope research --vault vault-c"),
            symphony("withdraw --scope marketing --vault vault-b"),
        ]
    });
    for output in ended.await.unwrap() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let stage = world.stage.lock().unwrap();
    let sent: Vec<(&str, Value)> = stage
        .uploads
        .iter()
        .map(|(what, _, body)| (what.as_str(), serde_json::from_slice(body).unwrap()))
        .collect();
    let consent = |scope: &str, state: &str| json!({"subject": "person-1", "scope": scope, "state": state});
    let mut passing = consent("marketing", "granted");
    passing["expires_at"] = json!(5);
    let expected = [
        ("vault-b/consents application/json Bearer token", passing),
        ("vault-c/consents application/json Bearer token", consent("research", "granted")),
        ("vault-b/consents application/json Bearer token", consent("marketing", "withdrawn")),
    ];
    assert_eq!(sent, expected);
    let keys: BTreeSet<_> = stage.uploads.iter().map(|(_, key, _)| key).collect();
    assert_eq!(keys.len(), 3, "three statements, not one repeated");
}

/// R210
#[tokio::test]
async fn a_problem_document_is_a_refusal() {
    let world = World::open().await;
    let refused = world.client.status().await;
    let Err(ClientError::Refused(problem)) = refused else { panic!("{refused:?}") };
    assert_eq!((problem.code.as_str(), problem.retryable), ("ADM-0003", false));
}
