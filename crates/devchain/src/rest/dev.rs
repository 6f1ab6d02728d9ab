//! What no real chain offers: gas for nothing, time at will, faults on command, and the way back.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Refusal, Shared, address, hash, transactions};
use crate::faults::Faults;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fund {
    address: String,
    amount: u64,
}

pub(super) async fn fund(State(shared): State<Shared>, Json(fund): Json<Fund>) -> Answer {
    shared.node().fund(address(&fund.address)?, fund.amount);
    Ok(Json(json!({})).into_response())
}

/// As Aptos' faucet; no transaction stands behind it.
pub(super) async fn mint(State(shared): State<Shared>, Query(fund): Query<Fund>) -> Answer {
    shared.node().fund(address(&fund.address)?, fund.amount);
    Ok(Json(Vec::<String>::new()).into_response())
}

pub(super) async fn faults(State(shared): State<Shared>) -> Answer {
    Ok(Json(shared.node().faults()).into_response())
}

pub(super) async fn set_faults(State(shared): State<Shared>, Json(faults): Json<Faults>) -> Answer {
    shared.node().set_faults(faults);
    Ok(Json(json!({})).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pass {
    millis: u64,
}

pub(super) async fn pass(State(shared): State<Shared>, Json(pass): Json<Pass>) -> Answer {
    shared.node().pass(pass.millis);
    Ok(Json(json!({})).into_response())
}

pub(super) async fn keep(State(shared): State<Shared>, Path(name): Path<String>) -> Answer {
    shared.node().keep(&name);
    Ok(Json(json!({})).into_response())
}

pub(super) async fn restore(State(shared): State<Shared>, Path(name): Path<String>) -> Answer {
    if !shared.node().come_back(Some(&name)) {
        return Err(Refusal::not_found("snapshot_not_found", format!("no snapshot {name}")));
    }
    Ok(Json(json!({})).into_response())
}

pub(super) async fn reset(State(shared): State<Shared>) -> Answer {
    shared.node().come_back(None);
    Ok(Json(json!({})).into_response())
}

pub(super) async fn touched(State(shared): State<Shared>, Path(text): Path<String>) -> Answer {
    let found = transactions::touched(&shared, &hash(&text)?);
    let found =
        found.ok_or_else(|| Refusal::not_found("transaction_not_found", format!("no transaction {text}")))?;
    Ok(Json(found).into_response())
}
