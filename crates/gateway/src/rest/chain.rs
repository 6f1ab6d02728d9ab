//! The chain, relayed: canonical bytes in and out, which the gateway does not read (R207).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use symphony_wire::v1::ChainBytes;

use super::request::{OCTETS, Octets};
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

fn octets(answer: ChainBytes) -> Response {
    ([(header::CONTENT_TYPE, OCTETS)], answer.bytes).into_response()
}
