//! How a refusal looks: RFC 9457 problem documents whose type is the catalogue code (R210).
//!
//! Handlers return a [`Problem`]; the outermost layer writes it, and turns what the frameworks refuse on their own
//! (unknown path, wrong method, rate, time) into the same form. To a gRPC caller the same refusal is a status.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use symphony_types::catalogue::{self, Code};
use symphony_wire::status;
use utoipa::ToSchema;

/// Media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// Names the request in answers and in the log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of a framework's own explanation that are kept.
const DETAIL_BYTES_MAX: usize = 1024;

/// A refusal on its way to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which refusal.
    pub code: Code,
    /// What was wrong with this request, in one line.
    pub detail: String,
}

impl Problem {
    /// A refusal with its detail.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// A request that cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Code::Malformed, detail)
    }

    /// A refusal that another node told by its code's text.
    pub(crate) fn told(code: &str, detail: &str) -> Self {
        Self::new(catalogue::by_str(code).unwrap_or(Code::Internal), detail)
    }

    /// The refusal as a gRPC status.
    pub fn status(&self) -> tonic::Status {
        status::refusal(self.code, &self.detail)
    }

    /// The document of this refusal.
    pub fn document(&self, request_id: &str) -> ProblemDocument {
        ProblemDocument {
            kind: format!("urn:symphony:error:{}", self.code),
            title: self.code.title().to_owned(),
            status: self.code.http(),
            detail: self.detail.clone(),
            instance: format!("urn:symphony:request:{request_id}"),
            code: self.code.as_str().to_owned(),
            retryable: self.code.retry(),
        }
    }
}

impl From<tonic::Status> for Problem {
    fn from(status: tonic::Status) -> Self {
        let (code, detail) = status::problem_of(&status);
        // A fault of the transport names addresses of the inner network, which are not the caller's to know.
        let told = status.metadata().contains_key(status::CODE_KEY);
        Self { code, detail: if told { detail } else { code.title().to_owned() } }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = status_of(self.code).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A refusal as RFC 9457 writes it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// `urn:symphony:error:` and the catalogue code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What this code means.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong with this request.
    pub detail: String,
    /// Names this request in the gateway's log.
    pub instance: String,
    /// The catalogue code.
    pub code: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
}

/// The outermost layer: names the request, writes every refusal, logs the answer without path or caller.
pub(crate) async fn write(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = hex::encode(rand::random::<[u8; 16]>());
    let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let grpc = media.is_some_and(|media| media.starts_with("application/grpc"));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    let mut code = "";
    if let Some(problem) = take(&mut response).await {
        code = problem.code.as_str();
        response = if grpc { problem.status().into_http::<Body>() } else { render(&problem, &id, response) };
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    tracing::info!(
        request = %id,
        method = %method,
        route = route.as_ref().map_or("", MatchedPath::as_str),
        status = response.status().as_u16(),
        code,
        took_ms = started.elapsed().as_millis() as u64,
        "gateway.answer"
    );
    response
}

async fn take(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    let code = code_of(status);
    let body = std::mem::take(response.body_mut());
    let told = axum::body::to_bytes(body, DETAIL_BYTES_MAX).await.unwrap_or_default();
    let told = String::from_utf8_lossy(&told);
    let detail = if code == Code::Malformed && !told.is_empty() { told.trim() } else { code.title() };
    Some(Problem::new(code, detail))
}

fn render(problem: &Problem, id: &str, response: Response) -> Response {
    let document = serde_json::to_vec(&problem.document(id)).unwrap_or_default();
    let mut headers = response.headers().clone();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    match problem.code {
        Code::Unauthenticated => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // A wait below a second is told as one.
        code if code.retry() && headers.get(header::RETRY_AFTER).is_none_or(|wait| wait == "0") => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    (status_of(problem.code), headers, document).into_response()
}

fn status_of(code: Code) -> StatusCode {
    // A refusal that the catalogue counts as an answer still cannot be sent as a success.
    let status = if code.http() < 400 { 409 } else { code.http() };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn code_of(status: StatusCode) -> Code {
    match status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::Forbidden,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMedia,
        StatusCode::TOO_MANY_REQUESTS => Code::RateLimited,
        StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Code::Unavailable
        }
        status if status.is_client_error() => Code::Malformed,
        _ => Code::Internal,
    }
}
