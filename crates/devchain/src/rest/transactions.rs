//! Transactions: submit, simulate, wait, look up.

use std::time::Duration;

use aptos_sdk::transaction::SignedTransaction;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Refusal, Shared, address, hash, reads};
use crate::host::Host;
use crate::node::{Record, Refused, Submitted};
use crate::show;

pub(super) async fn submit(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Answer {
    let transaction = decoded(&headers, &body)?;
    let mut node = shared.node();
    let accepted = match node.submit(transaction.clone()) {
        Ok(Submitted::Accepted(hash)) => hash,
        // The caller cannot tell this from a lost request, which is the point.
        Ok(Submitted::Silence) => return Err(reads::silence()),
        Ok(Submitted::Full) => return Err(reads::full()),
        Err(Refused(code, text)) => {
            return Err(Refusal::bad(
                "vm_error",
                format!("Invalid transaction: Type: Validation Code: {code}: {text}"),
            ));
        }
    };
    let shown = show::pending(node.host(), &transaction, &accepted);
    Ok((StatusCode::ACCEPTED, Json(shown)).into_response())
}

pub(super) async fn simulate(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Answer {
    let transaction = decoded(&headers, &body)?;
    if transaction.verify_signature().is_ok() {
        return Err(Refusal::bad("invalid_input", "a simulation must not carry a valid signature"));
    }
    let mut node = shared.node();
    let record = node.simulate(transaction).map_err(|Refused(code, text)| Refusal::bad(code, text))?;
    let mut shown = show::transaction(node.host(), &record);
    // Clients allow for more than a simulation used.
    shown["max_gas_amount"] = (record.gas_used * 2).max(2_000).to_string().into();
    Ok(Json(vec![shown]).into_response())
}

fn decoded(headers: &HeaderMap, body: &Bytes) -> Result<SignedTransaction, Refusal> {
    let content = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content.contains("bcs") {
        return Err(Refusal::bad("invalid_input", "transactions come in canonical bytes"));
    }
    bcs::from_bytes(body)
        .map_err(|error| Refusal::bad("invalid_input", format!("no signed transaction: {error}")))
}

pub(super) async fn by_hash(State(shared): State<Shared>, Path(text): Path<String>) -> Answer {
    let wanted = hash(&text)?;
    let mut node = shared.node();
    if let Some(record) = node.seen().by_hash(&wanted).cloned() {
        return Ok(Json(show::transaction(node.host(), &record)).into_response());
    }
    let waiting = node.waiting(&wanted).cloned();
    match waiting {
        Some(transaction) => Ok(Json(show::pending(node.host(), &transaction, &wanted)).into_response()),
        None => Err(Refusal::not_found("transaction_not_found", format!("no transaction {text}"))),
    }
}

/// As [`by_hash`], but waits a second for a transaction that is pending.
pub(super) async fn wait_by_hash(State(shared): State<Shared>, Path(text): Path<String>) -> Answer {
    let wanted = hash(&text)?;
    for _ in 0..WAIT_STEPS {
        if shared.node().waiting(&wanted).is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(WAIT_MS)).await;
    }
    by_hash(State(shared), Path(text)).await
}

pub(super) async fn by_version(State(shared): State<Shared>, Path(version): Path<u64>) -> Answer {
    let mut node = shared.node();
    let record = node.seen().by_version(version).cloned();
    let record =
        record.ok_or_else(|| Refusal::not_found("version_not_found", format!("no version {version}")))?;
    Ok(Json(show::transaction(node.host(), &record)).into_response())
}

#[derive(Deserialize)]
pub(super) struct Page {
    start: Option<u64>,
    limit: Option<usize>,
}

/// From a version on; without one, the last ones.
pub(super) async fn list(State(shared): State<Shared>, Query(page): Query<Page>) -> Answer {
    let mut node = shared.node();
    let last = (node.seen().version() + 1).saturating_sub(page.count() as u64).max(1);
    let from = page.start.unwrap_or(last);
    let records: Vec<_> = node.seen().from(from).take(page.count()).cloned().collect();
    Ok(shown(node.host(), &records))
}

/// From a number on in the account's own order.
pub(super) async fn of_account(
    State(shared): State<Shared>,
    Path(account): Path<String>,
    Query(page): Query<Page>,
) -> Answer {
    let account = address(&account)?;
    let mut node = shared.node();
    let skipped = usize::try_from(page.start.unwrap_or(0)).unwrap_or(usize::MAX);
    let sent = node.seen().from(1).filter(|record| record.transaction.raw_txn.sender.to_bytes() == account);
    let records: Vec<_> = sent.skip(skipped).take(page.count()).cloned().collect();
    Ok(shown(node.host(), &records))
}

impl Page {
    fn count(&self) -> usize {
        self.limit.unwrap_or(PAGE).min(PAGE_MAX)
    }
}

fn shown(host: &Host, records: &[Record]) -> Response {
    let shown: Vec<Value> = records.iter().map(|record| show::transaction(host, record)).collect();
    Json(shown).into_response()
}

#[derive(Deserialize)]
pub(super) struct Whole {
    with_transactions: Option<bool>,
}

/// One transaction is one block, so a block's height is its transaction's version.
pub(super) async fn block(
    State(shared): State<Shared>,
    Path(height): Path<u64>,
    Query(whole): Query<Whole>,
) -> Answer {
    let mut node = shared.node();
    let record = node.seen().by_version(height).cloned();
    if record.is_none() && height != 0 {
        return Err(Refusal::not_found("block_not_found", format!("no block {height}")));
    }
    let time_us = record.as_ref().map_or(0, |record| record.time_us);
    let records: Vec<_> = record.iter().collect();
    let whole = whole.with_transactions.unwrap_or(false);
    Ok(Json(show::block(node.host(), height, time_us, &records, whole)).into_response())
}

/// For tests of what a transaction costs.
pub(super) fn touched(shared: &Shared, wanted: &[u8; 32]) -> Option<Value> {
    let node = shared.node();
    let touched = node.seen().by_hash(wanted)?.touched;
    Some(json!({
        "reads": touched.reads, "pages": touched.pages, "writes": touched.writes, "write_bytes": touched.write_bytes,
    }))
}

const WAIT_STEPS: u32 = 200;
const WAIT_MS: u64 = 5;
const PAGE: usize = 25;
const PAGE_MAX: usize = 100;
