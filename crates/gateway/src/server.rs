//! The public listener: TLS, HTTP/1.1 and HTTP/2, REST and gRPC on one port, timers and a graceful end (R203, R204).

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsAcceptor;
use http::StatusCode;
use hyper_util::rt::TokioTimer;
use symphony_types::catalogue::Code;
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_wire::v1::platform_server::PlatformServer;
use symphony_wire::v1::vault_access_server::VaultAccessServer;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt;
use tower_http::timeout::TimeoutLayer;

use crate::certificate::PublicCertificate;
use crate::config::GatewayConfig;
use crate::connection::Guarded;
use crate::gateway::{self, Gateway};
use crate::grpc::Users;
use crate::identity::Identity;
use crate::masters::Masters;
use crate::problem::{self, Problem};
use crate::{pace, rest};

/// Streams that one HTTP/2 connection may have open.
const HTTP2_STREAMS_MAX: u32 = 128;
/// How often a silent HTTP/2 connection is asked whether it lives.
const HTTP2_PING: Duration = Duration::from_secs(20);

/// Serves users until `shutdown` ends, then lets open requests finish. When the certificate's files change, connections
/// of the former certificate finish what they do, and new ones get the new certificate (R206). **Errors**: unreadable
/// keys or certificates, or a listener that cannot be served.
pub async fn run(
    config: GatewayConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let mut certificate = PublicCertificate::open(&config)?;
    let jwks = std::fs::read(&config.jwks).with_context(|| format!("reading {}", config.jwks.display()))?;
    let identity =
        Identity::new(&jwks, &config.issuer, &config.audience).context("reading the issuer's keys")?;
    let limits = config.limits;
    config.listener.set_nonblocking(true).context("preparing the listener")?;
    let gateway = Arc::new(Gateway::new(identity, config.key, Masters::new(config.masters), limits));
    let router = router(&gateway);
    let places = Arc::new(Semaphore::new(limits.connections));
    // All listeners: the last one takes connections, the others finish what they have.
    let mut listeners = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let handle = Handle::new();
        let acceptor = Guarded::new(RustlsAcceptor::new(certificate.tls()?), places.clone(), limits.head);
        let listener = config.listener.try_clone().context("preparing the listener")?;
        listeners.spawn(listen(listener, acceptor, handle.clone(), router.clone(), limits.head));
        let stopped = loop {
            tokio::select! {
                () = &mut shutdown => break true,
                () = certificate.changed() => break false,
                // One of a former certificate has nothing left to do.
                Some(ended) = listeners.join_next() => ended.context("serving users")?.context("serving users")?,
            }
        };
        if stopped {
            handle.graceful_shutdown(Some(limits.grace));
            let _ = timeout(limits.grace * 2, async { while listeners.join_next().await.is_some() {} }).await;
            return Ok(());
        }
        // No request takes longer, progress streams aside, and those are opened again.
        handle.graceful_shutdown(Some(limits.upload));
    }
}

/// Serves the connections of one certificate.
async fn listen(
    listener: TcpListener,
    acceptor: Guarded,
    handle: Handle<SocketAddr>,
    router: Router,
    head: Duration,
) -> io::Result<()> {
    let mut server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle);
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(head);
    server
        .http_builder()
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING);
    server.serve(router.into_make_service_with_connect_info::<SocketAddr>()).await
}

/// Every route behind its layers. From the outside in: write refusals, prove the caller, count, time.
fn router(gateway: &Arc<Gateway>) -> Router {
    let limits = &gateway.limits;
    let within = |time| TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, time);
    let unknown = || async { Problem::new(Code::NotFound, "there is no such path") };
    let quick = rest::quick(gateway).layer(within(limits.answer));
    let slow = rest::slow(gateway).merge(grpc(gateway)).layer(within(limits.upload));
    let router = quick.merge(slow).fallback(unknown);
    pace::limit(router, limits)
        .layer(middleware::from_fn_with_state(Arc::clone(gateway), gateway::prove))
        .layer(middleware::from_fn(problem::write))
}

fn grpc(gateway: &Arc<Gateway>) -> Router {
    let users = Users(Arc::clone(gateway));
    let platform = PlatformServer::new(users.clone());
    let vaults = VaultAccessServer::new(users).max_decoding_message_size(SEALED_BYTES_MAX);
    let inner = |request: Request| request.map(tonic::body::Body::new);
    Router::new()
        .route_service("/symphony.v1.Platform/{method}", platform.map_request(inner))
        .route_service("/symphony.v1.VaultAccess/{method}", vaults.map_request(inner))
}
