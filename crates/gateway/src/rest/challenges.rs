//! Challenges of a result, before it is final (R139, R208).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::request::JsonBody;
use super::shape::{ChallengeFiling, ChallengeList};
use super::tasks::task_ref;
use crate::gateway::{Gateway, Proven};
use crate::problem::Problem;

/// Disputes the result of a task. Any registered actor may; the same filing again changes nothing.
#[utoipa::path(
    post, path = "/v1/tasks/{id}/challenges", operation_id = "fileChallenge", tag = "tasks",
    params(("id" = String, Path, description = "Task id, 64 hexadecimal digits")),
    request_body = ChallengeFiling,
    responses((status = 200, description = "The challenges of the task", body = ChallengeList))
)]
pub(crate) async fn file(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(id): Path<String>,
    JsonBody(body): JsonBody<ChallengeFiling>,
) -> Result<Json<ChallengeList>, Problem> {
    let filing = body.into_message(task_ref(&id)?.task_id)?;
    Ok(Json(gateway.file_challenge(&caller, filing).await?.into()))
}

/// The challenges of a task, with what became of each.
#[utoipa::path(
    get, path = "/v1/tasks/{id}/challenges", operation_id = "listChallenges", tag = "tasks",
    params(("id" = String, Path, description = "Task id, 64 hexadecimal digits")),
    responses((status = 200, description = "The challenges of the task", body = ChallengeList))
)]
pub(crate) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(id): Path<String>,
) -> Result<Json<ChallengeList>, Problem> {
    Ok(Json(gateway.list_challenges(&caller, task_ref(&id)?).await?.into()))
}
