//! What governs, and the council's word on it (R191, R194): motions are canonical bytes that their member signed, which the
//! gateway does not read; entries and heads of the log are bytes that the client checks itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use symphony_wire::v1;

use super::request::Octets;
use super::shape::{GovernanceLog, GovernanceProof, GovernanceView, ProposalEntry};
use crate::gateway::{Gateway, Proven};
use crate::problem::Problem;

/// Enclave code, machines, the council, its proposals, and the head of the log.
#[utoipa::path(
    get, path = "/v1/governance", operation_id = "getGovernance", tag = "governance",
    responses((status = 200, description = "What governs", body = GovernanceView))
)]
pub(crate) async fn view(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
) -> Result<Json<GovernanceView>, Problem> {
    Ok(Json(gateway.get_governance(&caller).await?.into()))
}

/// Proposes, votes or withdraws. The same again has no second effect.
#[utoipa::path(
    post, path = "/v1/governance/motions", operation_id = "submitMotion", tag = "governance",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "Signed motion"),
    responses((status = 200, description = "The proposal", body = ProposalEntry))
)]
pub(crate) async fn submit(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Octets(motion): Octets,
) -> Result<Json<ProposalEntry>, Problem> {
    Ok(Json(gateway.submit_motion(&caller, v1::GovernanceMotion { motion }).await?.into()))
}

/// Which part of the log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    #[serde(default)]
    from: u64,
    #[serde(default = "all")]
    limit: u32,
}

const fn all() -> u32 {
    256
}

/// Entries of the governance log with the endorsed head of the whole of it.
#[utoipa::path(
    get, path = "/v1/governance/log", operation_id = "getGovernanceLog", tag = "governance",
    params(
        ("from" = Option<u64>, Query, description = "The first entry wanted, from one"),
        ("limit" = Option<u32>, Query, description = "Entries at most; 256")
    ),
    responses((status = 200, description = "The entries", body = GovernanceLog))
)]
pub(crate) async fn log(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<GovernanceLog>, Problem> {
    let Query(Part { from, limit }) = part.map_err(|fault| Problem::malformed(fault.body_text()))?;
    let asked = v1::GovernanceLogRequest { from, limit };
    Ok(Json(gateway.get_governance_log(&caller, asked).await?.into()))
}

/// From which earlier log on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Earlier {
    #[serde(default)]
    since: u64,
}

/// What shows that an entry is in the log, and that the log goes on from an earlier one.
#[utoipa::path(
    get, path = "/v1/governance/proofs/{sequence}", operation_id = "getGovernanceProof", tag = "governance",
    params(
        ("sequence" = u64, Path, description = "The entry, from one"),
        ("since" = Option<u64>, Query, description = "Entries of an earlier log that you know")
    ),
    responses((status = 200, description = "The proof", body = GovernanceProof))
)]
pub(crate) async fn proof(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    Path(sequence): Path<u64>,
    earlier: Result<Query<Earlier>, QueryRejection>,
) -> Result<Json<GovernanceProof>, Problem> {
    let Query(Earlier { since }) = earlier.map_err(|fault| Problem::malformed(fault.body_text()))?;
    let asked = v1::GovernanceProofRequest { sequence, since };
    Ok(Json(gateway.get_governance_proof(&caller, asked).await?.into()))
}
