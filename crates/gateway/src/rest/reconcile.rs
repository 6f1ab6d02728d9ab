//! What reconciliation found, and what was done about it (R219, R220).

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use symphony_wire::v1;

use super::shape::Reconciliation;
use crate::gateway::{Gateway, Proven};
use crate::problem::Problem;

/// Which records, and whether to compare first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    #[serde(default)]
    compare: bool,
    #[serde(default)]
    from: u64,
    #[serde(default)]
    limit: u32,
}

/// The drifts between the masters' state, the chain and the Vaults, and the adjustment records.
#[utoipa::path(
    get, path = "/v1/reconciliation", operation_id = "getReconciliation", tag = "about",
    params(
        ("compare" = Option<bool>, Query, description = "Compare at once, and answer then"),
        ("from" = Option<u64>, Query, description = "The first record wanted, from one"),
        ("limit" = Option<u32>, Query, description = "Records at most; 256")
    ),
    responses((status = 200, description = "Drifts and records", body = Reconciliation))
)]
pub(crate) async fn view(
    State(gateway): State<Arc<Gateway>>,
    Proven(caller): Proven,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<Reconciliation>, Problem> {
    let Query(Part { compare, from, limit }) = part.map_err(|fault| Problem::malformed(fault.body_text()))?;
    let asked = v1::ReconciliationRequest { compare, from, limit };
    Ok(Json(gateway.get_reconciliation(&caller, asked).await?.into()))
}
