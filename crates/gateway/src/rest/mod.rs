//! REST for users: routes and their description in one place (R009, R207, R227).
//!
//! A JSON body has the names of the protobuf message; ids, keys, digests and sealed bytes are lower-case hexadecimal;
//! amounts are whole base units of SYM (10^-8) as decimal strings, exact in every language.

mod about;
mod candidates;
mod chain;
mod challenges;
mod description;
mod epochs;
mod governance;
mod receipts;
mod reconcile;
mod request;
mod shape;
mod tasks;
mod vaults;
mod watching;

pub use description::openapi;

use std::sync::Arc;

use axum::Router;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::gateway::Gateway;

type Routes = OpenApiRouter<Arc<Gateway>>;

/// Routes that answer soon.
pub(crate) fn quick(gateway: &Arc<Gateway>) -> Router {
    quick_routes().split_for_parts().0.with_state(Arc::clone(gateway))
}

/// Routes that take uploads.
pub(crate) fn slow(gateway: &Arc<Gateway>) -> Router {
    slow_routes().split_for_parts().0.with_state(Arc::clone(gateway))
}

fn quick_routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(tasks::quote))
        .routes(routes!(tasks::submit, watching::list))
        .routes(routes!(tasks::task))
        .routes(routes!(tasks::events))
        .routes(routes!(tasks::result))
        .routes(routes!(tasks::step))
        .routes(routes!(tasks::evidence))
        .routes(routes!(watching::candidate))
        .routes(routes!(challenges::list, challenges::file))
        .routes(routes!(vaults::list))
        .routes(routes!(vaults::assigned))
        .routes(routes!(vaults::budget))
        .routes(routes!(vaults::budget_statement))
        .routes(routes!(vaults::consents))
        .routes(routes!(vaults::records))
        .routes(routes!(vaults::attributes))
        .routes(routes!(vaults::dividends))
        .routes(routes!(vaults::grant, vaults::withdraw))
        .routes(routes!(receipts::list))
        .routes(routes!(receipts::receipt, receipts::correct, receipts::erase))
        .routes(routes!(receipts::parse))
        .routes(routes!(receipts::submit))
        .routes(routes!(chain::submit))
        .routes(routes!(chain::query))
        .routes(routes!(chain::account))
        .routes(routes!(reconcile::view))
        .routes(routes!(candidates::pool))
        .routes(routes!(epochs::epoch))
        .routes(routes!(epochs::journal))
        .routes(routes!(governance::view))
        .routes(routes!(governance::submit))
        .routes(routes!(governance::log))
        .routes(routes!(governance::proof))
        .routes(routes!(about::status))
        .routes(routes!(about::errors))
        .routes(routes!(about::description))
        .routes(routes!(about::health))
}

fn slow_routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(vaults::put_subjects))
        .routes(routes!(vaults::put_consents))
        .routes(routes!(vaults::put_records))
        .routes(routes!(receipts::upload))
        .routes(routes!(receipts::content))
        .routes(routes!(receipts::drawing))
        .routes(routes!(vaults::operate))
        .routes(routes!(vaults::erase))
        .routes(routes!(vaults::rotate))
        .routes(routes!(vaults::back_up))
        .routes(routes!(vaults::candidates))
        .routes(routes!(vaults::retention))
        .routes(routes!(vaults::leaves))
}
