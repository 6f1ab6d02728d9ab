//! What whoever may dispute a result sees of tasks of others: which can be disputed, and their evidence before it is final
//! (R139, R208).

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Deserialize;
use symphony_wire::v1;

use super::request::OCTETS;
use super::shape::TaskList;
use super::tasks::task_ref;
use crate::gateway::{Gateway, Proven};
use crate::problem::Problem;

/// Which tasks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    #[serde(default)]
    state: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    limit: u32,
}

/// Tasks whose result may be disputed, or is, in the order in which their states end. For every registered actor.
#[utoipa::path(
    get, path = "/v1/tasks", operation_id = "listTasks", tag = "tasks",
    params(
        ("state" = Option<String>, Query, description = "`verifying`, `awaiting_settlement` or `challenged`; all three when absent"),
        ("after" = Option<String>, Query, description = "`next` of an earlier page; from the first when absent"),
        ("limit" = Option<u32>, Query, description = "Tasks at most; 256")
    ),
    responses((status = 200, description = "A page of tasks", body = TaskList))
)]
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<TaskList>, Problem> {
    let Query(Page { state, after, limit }) = page.map_err(|fault| Problem::malformed(fault.body_text()))?;
    let after = hex::decode(after).map_err(|_| Problem::malformed("after is `next` of an earlier page"))?;
    Ok(Json(gateway.list_tasks(&caller, v1::TasksRequest { state, after, limit }).await?.into()))
}

/// The evidence of a result that awaits its end: not final, and without a settlement. For every registered actor.
#[utoipa::path(
    get, path = "/v1/tasks/{id}/candidate", operation_id = "getCandidate", tag = "tasks",
    params(("id" = String, Path, description = "Task id, 64 hexadecimal digits")),
    responses((status = 200, description = "The bundle of a candidate", body = Vec<u8>, content_type = "application/octet-stream"))
)]
pub(crate) async fn candidate(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let bundle = gateway.get_candidate(&caller, task_ref(&id)?).await?.bundle;
    Ok(([(header::CONTENT_TYPE, OCTETS)], bundle).into_response())
}
