//! The part of Aptos' REST API that the official clients need, over one node, and a few routes of the development chain's own
//! under `/dev`. Loopback only; no keys are here.

mod dev;
mod reads;
mod transactions;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::net::TcpListener;

use crate::node::Node;

/// The node as all requests share it: the VM executes one transaction at a time.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Node>>);

impl Shared {
    /// Shares a node.
    pub fn new(node: Node) -> Self {
        Self(Arc::new(Mutex::new(node)))
    }

    /// The node, for one request.
    pub fn node(&self) -> MutexGuard<'_, Node> {
        // A request that panicked has changed nothing that a later one would miss: the store writes whole transactions.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A refusal in Aptos' form.
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(crate) fn not_found(code: &'static str, what: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code, message: what.into() }
    }

    pub(crate) fn bad(code: &'static str, what: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: what.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "message": self.message, "error_code": self.code, "vm_error_code": null });
        (self.status, axum::Json(body)).into_response()
    }
}

pub(crate) type Answer = Result<Response, Refusal>;

/// All routes.
pub fn router(shared: Shared) -> Router {
    let v1 = Router::new()
        .route("/-/healthy", get(reads::healthy))
        .route("/estimate_gas_price", get(reads::gas_price))
        .route("/accounts/{account}", get(reads::account))
        .route("/accounts/{account}/resources", get(reads::resources))
        .route("/accounts/{account}/resource/{tag}", get(reads::resource))
        .route("/accounts/{account}/modules", get(reads::modules))
        .route("/accounts/{account}/module/{name}", get(reads::module))
        .route("/accounts/{account}/balance/{asset}", get(reads::balance))
        .route("/accounts/{account}/transactions", get(transactions::of_account))
        .route("/blocks/by_height/{height}", get(transactions::block))
        .route("/blocks/by_version/{height}", get(transactions::block))
        .route("/view", post(reads::view))
        .route("/transactions", get(transactions::list).post(transactions::submit))
        .route("/transactions/simulate", post(transactions::simulate))
        .route("/transactions/by_hash/{hash}", get(transactions::by_hash))
        .route("/transactions/wait_by_hash/{hash}", get(transactions::wait_by_hash))
        .route("/transactions/by_version/{version}", get(transactions::by_version));
    let dev = Router::new()
        .route("/dev/fund", post(dev::fund))
        .route("/dev/faults", get(dev::faults).post(dev::set_faults))
        .route("/dev/pass", post(dev::pass))
        .route("/dev/snapshot/{name}", post(dev::keep))
        .route("/dev/restore/{name}", post(dev::restore))
        .route("/dev/reset", post(dev::reset))
        .route("/dev/touched/{hash}", get(dev::touched))
        .route("/mint", post(dev::mint));
    Router::new()
        .route("/v1", get(reads::ledger))
        .route("/v1/", get(reads::ledger))
        .nest("/v1", v1)
        .merge(dev)
        .layer(middleware::from_fn_with_state(shared.clone(), ledger_headers))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared)
}

/// Serves until the process ends; transactions that wait are executed meanwhile.
pub async fn serve(listener: TcpListener, shared: Shared) -> Result<()> {
    let waiting = shared.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
        loop {
            ticks.tick().await;
            waiting.node().progress();
        }
    });
    axum::serve(listener, router(shared)).await.context("serving")
}

/// Each answer says where the ledger is.
async fn ledger_headers(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let node = shared.node();
    let version = node.seen().version();
    let values = [
        ("x-aptos-chain-id", u64::from(node.chain_id())),
        ("x-aptos-epoch", 1),
        ("x-aptos-ledger-version", version),
        ("x-aptos-ledger-oldest-version", 0),
        ("x-aptos-ledger-timestampusec", node.time_us()),
        ("x-aptos-block-height", version),
        ("x-aptos-oldest-block-height", 0),
    ];
    for (name, value) in values {
        response.headers_mut().insert(name, HeaderValue::from(value));
    }
    response
}

pub(crate) fn wants_bytes(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("x-bcs"))
}

pub(crate) fn bytes(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/x-bcs")], Body::from(body)).into_response()
}

pub(crate) fn address(text: &str) -> Result<[u8; 32], Refusal> {
    crate::values::address(text).map_err(|_| Refusal::bad("invalid_input", format!("{text} is no address")))
}

pub(crate) fn hash(text: &str) -> Result<[u8; 32], Refusal> {
    crate::values::address(text).map_err(|_| Refusal::bad("invalid_input", format!("{text} is no hash")))
}

/// As Aptos' own limit for a request.
const BODY_BYTES_MAX: usize = 8 << 20;
const TICK_MS: u64 = 5;
