//! What every request shares: who may ask, the ways to the masters, and the key that speaks for callers.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header;
use http::request::Parts;
use symphony_types::catalogue::Code;
use symphony_types::key::{self, PrivateKey};
use symphony_types::time::OrderedMillis;
use symphony_wire::caller::{self, Caller};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Limits;
use crate::identity::Identity;
use crate::masters::Masters;
use crate::operations::VaultDirectory;
use crate::problem::Problem;

/// The shared state of one gateway.
pub(crate) struct Gateway {
    pub(crate) identity: Identity,
    pub(crate) key: PrivateKey<key::Gateway>,
    pub(crate) vaults: VaultDirectory,
    pub(crate) limits: Limits,
    streams: Arc<Semaphore>,
    pub(crate) uploads: Semaphore,
    pub(crate) columnar_uploads: Semaphore,
    pub(crate) documents: Semaphore,
    pub(crate) masters: Masters,
}

impl Gateway {
    pub(crate) fn new(
        identity: Identity,
        key: PrivateKey<key::Gateway>,
        masters: Masters,
        limits: Limits,
    ) -> Self {
        Self {
            identity,
            key,
            vaults: VaultDirectory::default(),
            limits,
            streams: Arc::new(Semaphore::new(limits.streams)),
            uploads: Semaphore::new(limits.uploads),
            columnar_uploads: Semaphore::new(limits.columnar_uploads),
            documents: Semaphore::new(limits.documents),
            masters,
        }
    }

    /// A place among the open progress streams, held while it lives. **Errors**: `GOV-0003`.
    pub(crate) fn stream_place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.streams).try_acquire_owned();
        place.map_err(|_| Problem::new(Code::Unavailable, "too many progress streams"))
    }

    /// A message to a master in the caller's name; `method` is the RPC's name.
    pub(crate) fn name<T>(&self, caller: &Caller, method: &str, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        caller::attach(request.metadata_mut(), &self.key, caller, method, now());
        request
    }
}

/// This process's clock. Used for expiries only, never for a decision of the protocol.
pub(crate) fn now() -> OrderedMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    OrderedMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What the request's token proved.
#[derive(Clone, Debug)]
pub(crate) struct Proof(pub(crate) Result<Caller, Problem>);

/// The layer that reads the token, before anything is counted or decided.
pub(crate) async fn prove(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    let unproven = |detail: &str| Err(Problem::new(Code::Unauthenticated, detail));
    let proof = match request.headers().get(header::AUTHORIZATION).map(|value| value.to_str()) {
        None => unproven("there is no token"),
        Some(Err(_)) => unproven("the authorization is not text"),
        Some(Ok(text)) => match text.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                gateway.identity.prove(token.trim())
            }
            _ => unproven("the authorization is not a bearer token"),
        },
    };
    request.extensions_mut().insert(Proof(proof));
    next.run(request).await
}

/// The proven caller of a request. **Errors**: `ADM-0002`.
pub(crate) struct Proven(pub(crate) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Proven {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        proven(&parts.extensions).map(Self)
    }
}

/// The caller that [`prove`] left in the extensions.
pub(crate) fn proven(extensions: &http::Extensions) -> Result<Caller, Problem> {
    match extensions.get::<Proof>() {
        Some(Proof(proof)) => proof.clone(),
        None => Err(Problem::new(Code::Unauthenticated, "there is no token")),
    }
}
