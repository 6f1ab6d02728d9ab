//! What is read from a request, and how it is refused when it cannot be: media type, size, nesting, shape, and the
//! caller's name for the request (R209).

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::header::{self, HeaderMap};
use http::request::Parts;
use serde::de::DeserializeOwned;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::RequestId;
use symphony_types::limits::{COMMAND_BYTES_MAX, JSON_BODY_BYTES_MAX, JSON_DEPTH_MAX};

use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::upload;

/// Header that names a request for its caller.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";
pub(crate) const JSON: &str = "application/json";
pub(crate) const OCTETS: &str = "application/octet-stream";

/// A JSON body of a known shape.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Gateway>> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, Problem> {
        let bytes = json(request, gateway).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|fault| Problem::malformed(fault.to_string()))
    }
}

/// The bytes of a JSON body that is small and flat enough to be parsed.
pub(crate) async fn json(request: Request, gateway: &Gateway) -> Result<Vec<u8>, Problem> {
    require_media(request.headers(), JSON)?;
    let bytes = upload::collect(request.into_body(), gateway.limits.stall, JSON_BODY_BYTES_MAX).await?;
    if depth(&bytes) > JSON_DEPTH_MAX {
        return Err(Problem::malformed(format!("the body is nested deeper than {JSON_DEPTH_MAX} levels")));
    }
    Ok(bytes)
}

/// A body of opaque bytes.
pub(crate) struct Octets(pub(crate) Vec<u8>);

impl FromRequest<Arc<Gateway>> for Octets {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, Problem> {
        require_media(request.headers(), OCTETS)?;
        upload::collect(request.into_body(), gateway.limits.stall, COMMAND_BYTES_MAX).await.map(Self)
    }
}

/// The caller's name for the request, from the header.
pub(crate) struct RequestKey(pub(crate) Option<RequestId>);

impl<S: Send + Sync> FromRequestParts<S> for RequestKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(Self(None)) };
        let text = value.to_str().map_err(|_| Problem::malformed("the idempotency key is not text"))?;
        request_id(text).map(|id| Self(Some(id)))
    }
}

impl RequestKey {
    /// The name, which this request must have.
    pub(crate) fn required(self) -> Result<RequestId, Problem> {
        self.0.ok_or_else(|| Problem::malformed("the header idempotency-key is missing"))
    }

    /// The name from header or body. **Errors**: `ADM-0001` when there is none, or two.
    pub(crate) fn or(self, body: Option<&str>) -> Result<RequestId, Problem> {
        match (self.0, body) {
            (Some(header), Some(body)) if header.as_str() != body => {
                Err(Problem::malformed("the idempotency key and the request id differ"))
            }
            (Some(header), _) => Ok(header),
            (None, Some(body)) => request_id(body),
            (None, None) => Err(Problem::malformed("there is neither an idempotency key nor a request id")),
        }
    }
}

fn request_id(text: &str) -> Result<RequestId, Problem> {
    RequestId::new(text).map_err(|fault| Problem::malformed(format!("reading the request id: {fault}")))
}

/// The media type without its parameters, in lower case.
pub(crate) fn media(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

pub(crate) fn require_media(headers: &HeaderMap, wanted: &str) -> Result<(), Problem> {
    if media(headers) == wanted {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMedia, format!("the body must be {wanted}")))
}

/// 32 bytes written as 64 hexadecimal digits.
pub(crate) fn hex32(what: &str, text: &str) -> Result<Vec<u8>, Problem> {
    let digest = Digest::from_hex(text);
    digest
        .map(|digest| digest.0.to_vec())
        .ok_or_else(|| Problem::malformed(format!("{what} is 64 hexadecimal digits")))
}

/// How deep arrays and objects are nested, found without parsing.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut most, mut text, mut escaped) = (0_usize, 0, false, false);
    for byte in bytes {
        match (text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => text = !text,
            (false, b'[' | b'{') => {
                now += 1;
                most = most.max(now);
            }
            (false, b']' | b'}') => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_texts_are_not_nesting() {
        assert_eq!(depth(br#"{"a":"[[[\"[[","b":[{}]}"#), 3);
        assert_eq!(depth(b"]]]][[["), 3);
        assert_eq!(depth(b"1"), 0);
    }

    #[test]
    fn media_types_lose_their_parameters() {
        let mut headers = HeaderMap::new();
        headers
            .insert(header::CONTENT_TYPE, http::HeaderValue::from_static("Application/JSON; charset=utf-8"));
        assert_eq!(media(&headers), JSON);
    }
}
