//! The chain, relayed: canonical bytes in and out, which the gateway does not read (R207), and accounts as users read them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header;
use symphony_wire::v1::{ChainAccountRequest, ChainBytes};

use super::request::{OCTETS, Octets, hex32};
use super::shape::ChainAccount;
use crate::gateway::{Gateway, Proven};
use crate::problem::Problem;

/// Submits a transaction that its sender signed.
#[utoipa::path(
    post, path = "/v1/chain/transactions", operation_id = "submitTransaction", tag = "chain",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "Signed transaction"),
    responses((status = 200, description = "The receipt", body = Vec<u8>, content_type = "application/octet-stream"))
)]
pub(crate) async fn submit(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Octets(bytes): Octets,
) -> Result<Response, Problem> {
    Ok(octets(gateway.submit_transaction(&caller, ChainBytes { bytes }).await?))
}

/// Reads the chain.
#[utoipa::path(
    post, path = "/v1/chain/queries", operation_id = "queryChain", tag = "chain",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "Canonical query"),
    responses((status = 200, description = "The answer", body = Vec<u8>, content_type = "application/octet-stream"))
)]
pub(crate) async fn query(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Octets(bytes): Octets,
) -> Result<Response, Problem> {
    Ok(octets(gateway.query_chain(&caller, ChainBytes { bytes }).await?))
}

/// What the chain says of an account: balance, stakes, and what its owner must know to sign with any wallet.
#[utoipa::path(
    get, path = "/v1/chain/accounts/{account}", operation_id = "getChainAccount", tag = "chain",
    params(("account" = String, Path, description = "64 hexadecimal digits, with or without 0x before them")),
    responses((status = 200, description = "The account", body = ChainAccount))
)]
pub(crate) async fn account(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(account): Path<String>,
) -> Result<Json<ChainAccount>, Problem> {
    let account = hex32("account", account.strip_prefix("0x").unwrap_or(&account))?;
    Ok(Json(gateway.get_chain_account(&caller, ChainAccountRequest { account }).await?.into()))
}

fn octets(answer: ChainBytes) -> Response {
    ([(header::CONTENT_TYPE, OCTETS)], answer.bytes).into_response()
}
