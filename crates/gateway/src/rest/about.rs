//! What the platform says of itself: status, error catalogue, description, liveness (R210, R227).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use symphony_types::catalogue::Code;

use super::description::openapi;
use super::request::JSON;
use super::shape::{ErrorEntry, Status};
use crate::gateway::{Gateway, Proven};
use crate::problem::Problem;

/// Versions, epoch, state hash, every master beside the others, and the health of nodes.
#[utoipa::path(
    get, path = "/v1/status", operation_id = "getStatus", tag = "about",
    responses((status = 200, description = "The network's state", body = Status))
)]
pub(crate) async fn status(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
) -> Result<Json<Status>, Problem> {
    Ok(Json(gateway.get_status(&caller).await?.into()))
}

/// Every error code.
#[utoipa::path(
    get, path = "/v1/errors", operation_id = "listErrors", tag = "about", security(()),
    responses((status = 200, description = "The catalogue", body = Vec<ErrorEntry>))
)]
pub(crate) async fn errors() -> Json<Vec<ErrorEntry>> {
    let entry = |code: &Code| ErrorEntry {
        code: code.as_str(),
        title: code.title(),
        http_status: code.http(),
        grpc_status: code.grpc() as u8,
        retryable: code.retry(),
    };
    Json(Code::ALL.iter().map(entry).collect())
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getDescription", tag = "about", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(crate) async fn description() -> Response {
    ([(header::CONTENT_TYPE, JSON)], openapi()).into_response()
}

/// Whether this process answers.
#[utoipa::path(
    get, path = "/healthz", operation_id = "getHealth", tag = "about", security(()),
    responses((status = 200, description = "It does", body = String, content_type = "text/plain"))
)]
pub(crate) async fn health() -> &'static str {
    "ok"
}
