//! Quotes, tasks, their progress, results and evidence (R104, R207, R208).

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use http::{StatusCode, header};
use symphony_wire::v1;

use super::request::{JsonBody, OCTETS, RequestKey, hex32};
use super::shape::{Quote, SealedStep, SubmitTaskRequest, Task, TaskResult, TaskSpec};
use crate::gateway::{Gateway, Proven};
use crate::problem::Problem;
use crate::watch::watch;

/// Prices an audience query, a training or a computation. Nothing is recorded.
#[utoipa::path(
    post, path = "/v1/quotes", operation_id = "getQuote", tag = "tasks",
    request_body = TaskSpec,
    responses((status = 200, description = "The price and the reach", body = Quote))
)]
pub(crate) async fn quote(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    JsonBody(spec): JsonBody<TaskSpec>,
) -> Result<Json<Quote>, Problem> {
    Ok(Json(gateway.get_quote(&caller, spec.into_message()?).await?.into()))
}

/// Admits a task, or refuses it. The same request id twice has one effect.
#[utoipa::path(
    post, path = "/v1/tasks", operation_id = "submitTask", tag = "tasks",
    params(("idempotency-key" = Option<String>, Header, description = "The caller's name for the request")),
    request_body = SubmitTaskRequest,
    responses((status = 202, description = "The task is taken up", body = Task,
        headers(("location" = String, description = "Where the task is"))))
)]
pub(crate) async fn submit(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    key: RequestKey,
    JsonBody(body): JsonBody<SubmitTaskRequest>,
) -> Result<Response, Problem> {
    let id = key.or(body.request_id.as_deref())?;
    let task = gateway.submit_task(&caller, body.into_message(id.as_str().to_owned())?).await?;
    Ok(accepted(task))
}

/// The answer to a task that was taken up.
pub(super) fn accepted(task: v1::Task) -> Response {
    let location = format!("/v1/tasks/{}", hex::encode(&task.task_id));
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(Task::from(task))).into_response()
}

/// The state of one of the caller's tasks.
#[utoipa::path(
    get, path = "/v1/tasks/{id}", operation_id = "getTask", tag = "tasks",
    params(("id" = String, Path, description = "Task id, 64 hexadecimal digits")),
    responses((status = 200, description = "The task", body = Task))
)]
pub(crate) async fn task(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(id): Path<String>,
) -> Result<Json<Task>, Problem> {
    Ok(Json(gateway.get_task(&caller, task_ref(&id)?).await?.into()))
}

/// The task now and after each transition, as server-sent events `task`; ends when the task is terminal. A refusal
/// on the way is an event `problem`.
#[utoipa::path(
    get, path = "/v1/tasks/{id}/events", operation_id = "watchTask", tag = "tasks",
    params(("id" = String, Path, description = "Task id, 64 hexadecimal digits")),
    responses((status = 200, description = "Events", body = String, content_type = "text/event-stream"))
)]
pub(crate) async fn events(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let place = gateway.stream_place()?;
    let steps = watch(gateway, caller, task_ref(&id)?, place).await?;
    let events = steps.map(|step| {
        let event = match step {
            Ok(task) => Event::default().event("task").json_data(Task::from(task)),
            Err(problem) => Event::default().event("problem").json_data(problem.document("stream")),
        };
        Ok(event.unwrap_or_else(|_| Event::default().event("problem")))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// The sealed result of a completed task; its delivery is recorded.
#[utoipa::path(
    get, path = "/v1/tasks/{id}/result", operation_id = "getResult", tag = "tasks",
    params(("id" = String, Path, description = "Task id, 64 hexadecimal digits")),
    responses((status = 200, description = "The result, sealed to the recipient key", body = TaskResult))
)]
pub(crate) async fn result(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(id): Path<String>,
) -> Result<Json<TaskResult>, Problem> {
    Ok(Json(gateway.get_result(&caller, task_ref(&id)?).await?.into()))
}

/// The sealed transcript of one step of a completed training: with all of them its submitter repeats it.
#[utoipa::path(
    get, path = "/v1/tasks/{id}/steps/{round}", operation_id = "getStep", tag = "tasks",
    params(
        ("id" = String, Path, description = "Task id, 64 hexadecimal digits"),
        ("round" = u32, Path, description = "From 1")
    ),
    responses((status = 200, description = "The transcript, sealed to the recipient key", body = SealedStep))
)]
pub(crate) async fn step(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path((id, round)): Path<(String, String)>,
) -> Result<Json<SealedStep>, Problem> {
    let v1::TaskRef { task_id } = task_ref(&id)?;
    let round = round.parse().map_err(|_| Problem::malformed("a round is a number from 1"))?;
    Ok(Json(gateway.get_step(&caller, v1::StepRef { task_id, round }).await?.into()))
}

/// The self-contained evidence bundle of a completed task.
#[utoipa::path(
    get, path = "/v1/tasks/{id}/evidence", operation_id = "getEvidence", tag = "tasks",
    params(("id" = String, Path, description = "Task id, 64 hexadecimal digits")),
    responses((status = 200, description = "The bundle", body = Vec<u8>, content_type = "application/octet-stream"))
)]
pub(crate) async fn evidence(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let bundle = gateway.get_evidence(&caller, task_ref(&id)?).await?.bundle;
    Ok(([(header::CONTENT_TYPE, OCTETS)], bundle).into_response())
}

pub(super) fn task_ref(id: &str) -> Result<v1::TaskRef, Problem> {
    Ok(v1::TaskRef { task_id: hex32("a task id", id)? })
}
