//! What closed epochs paid, and proofs of the masters' journal (R031, R168, R173, R192): bytes that the client checks itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Deserialize;
use symphony_wire::v1;

use super::request::{OCTETS, hex32};
use super::shape::EpochPage;
use crate::gateway::{Gateway, Proven};
use crate::problem::Problem;

/// Which settlements.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    #[serde(default)]
    from: u64,
}

/// What a closed epoch paid, with the endorsements of a majority of the masters, and what was settled in it. For every registered
/// actor.
#[utoipa::path(
    get, path = "/v1/epochs/{epoch}", operation_id = "getEpoch", tag = "about",
    params(
        ("epoch" = u64, Path, description = "The epoch"),
        ("from" = Option<u64>, Query, description = "The first settlement wanted, from zero; other pages than the first have no record")
    ),
    responses((status = 200, description = "A page", body = EpochPage))
)]
pub(crate) async fn epoch(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(epoch): Path<u64>,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<EpochPage>, Problem> {
    let Query(Part { from }) = part.map_err(|fault| Problem::malformed(fault.body_text()))?;
    Ok(Json(gateway.get_epoch(&caller, v1::EpochRequest { epoch, from }).await?.into()))
}

/// What is to be proven.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    epoch: Option<u64>,
    task: Option<String>,
    height: Option<u64>,
    since: Option<u64>,
}

/// What shows that an entry is in the masters' ordered journal, and that the journal goes on from an earlier head. For every
/// registered actor; an entry itself is told to whom its task is.
#[utoipa::path(
    get, path = "/v1/journal/proof", operation_id = "getJournalProof", tag = "about",
    params(
        ("epoch" = Option<u64>, Query, description = "The journal at the end of this epoch; as it is now when absent"),
        ("task" = Option<String>, Query, description = "The entry by which this task of yours came to its state, 64 hexadecimal digits"),
        ("height" = Option<u64>, Query, description = "Or the entry at this place, from one"),
        ("since" = Option<u64>, Query, description = "An earlier epoch, whose end the journal goes on from")
    ),
    responses((status = 200, description = "The proof", body = Vec<u8>, content_type = "application/octet-stream"))
)]
pub(crate) async fn journal(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(Wanted { epoch, task, height, since }) =
        wanted.map_err(|fault| Problem::malformed(fault.body_text()))?;
    let task_id = task.map(|task| hex32("task", &task)).transpose()?.unwrap_or_default();
    let asked = v1::JournalRequest { epoch, task_id, height: height.unwrap_or_default(), since };
    let proof = gateway.get_journal_proof(&caller, asked).await?.proof;
    Ok(([(header::CONTENT_TYPE, OCTETS)], proof).into_response())
}
