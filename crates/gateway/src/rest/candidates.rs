//! What enough Vaults found in columns that no governed attribute is for (R051).

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use symphony_wire::v1;

use super::shape::CandidatePool;
use crate::gateway::{Gateway, Proven};
use crate::problem::Problem;

/// Which epoch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    epoch: Option<u64>,
}

/// Candidates for attributes that enough Vaults found in an epoch, with noised counts.
#[utoipa::path(
    get, path = "/v1/candidates", operation_id = "getCandidatePool", tag = "about",
    params(("epoch" = Option<u64>, Query, description = "The epoch; the last one that Vaults reported of when absent")),
    responses((status = 200, description = "By name", body = CandidatePool))
)]
pub(crate) async fn pool(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<CandidatePool>, Problem> {
    let Query(Part { epoch }) = part.map_err(|fault| Problem::malformed(fault.body_text()))?;
    Ok(Json(gateway.get_candidates(&caller, v1::CandidatePoolRequest { epoch }).await?.into()))
}
