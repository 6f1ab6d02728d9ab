//! The OpenAPI description, generated from the routes (R227).
//!
//! Every operation gets the same refusals here, with a body, so that generated clients know their type.

use utoipa::OpenApi;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, Ref, RefOr};

use super::{quick_routes, slow_routes};
use crate::problem::{PROBLEM_JSON, ProblemDocument};

/// Name of the refusal among the components.
const PROBLEM: &str = "Problem";
/// Name of the token among the components.
const TOKEN: &str = "token";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Symphony",
        description = "Users' interface of the Symphony platform. Ids, keys, digests and sealed bytes are hexadecimal; \
                       amounts are whole base units of SYM (10^-8) as decimal strings.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ProblemDocument))
)]
struct Api;

/// The description as JSON; the same text for the same code.
pub fn openapi() -> String {
    let mut api = Api::openapi();
    api.merge(quick_routes().into_openapi());
    api.merge(slow_routes().into_openapi());
    let components = api.components.get_or_insert_with(Components::new);
    components.responses.insert(PROBLEM.to_owned(), RefOr::T(problem()));
    components.add_security_scheme(TOKEN, SecurityScheme::Http(token()));
    api.security = Some(vec![SecurityRequirement::new(TOKEN, Vec::<String>::new())]);
    for item in api.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete]
            .into_iter()
            .flatten()
        {
            for status in ["4XX", "5XX"] {
                let refusal = RefOr::Ref(Ref::from_response_name(PROBLEM));
                operation.responses.responses.insert(status.to_owned(), refusal);
            }
        }
    }
    // Every part of the description is made of maps with text keys, which JSON can always hold.
    api.to_pretty_json().unwrap_or_default()
}

fn problem() -> Response {
    let schema = Ref::from_schema_name(PROBLEM);
    ResponseBuilder::new()
        .description("A refusal of the error catalogue, as RFC 9457 writes it")
        .content(PROBLEM_JSON, ContentBuilder::new().schema(Some(schema)).build())
        .build()
}

fn token() -> Http {
    let mut scheme = Http::new(HttpAuthScheme::Bearer);
    scheme.bearer_format = Some("JWT".to_owned());
    scheme
}
