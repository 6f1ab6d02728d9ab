//! The public listener: TLS, HTTP/1.1 and HTTP/2, REST and gRPC on one port, timers and a graceful end (R203, R204).

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use http::StatusCode;
use hyper_util::rt::TokioTimer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use symphony_types::catalogue::Code;
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_wire::v1::platform_server::PlatformServer;
use symphony_wire::v1::vault_access_server::VaultAccessServer;
use tower::ServiceExt;
use tower_http::timeout::TimeoutLayer;

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

/// Serves users until `shutdown` ends, then lets open requests finish. **Errors**: unreadable keys or
/// certificates, or a listener that cannot be served.
pub async fn run(
    config: GatewayConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let tls = tls(&config)?;
    let jwks = std::fs::read(&config.jwks).with_context(|| format!("reading {}", config.jwks.display()))?;
    let identity =
        Identity::new(&jwks, &config.issuer, &config.audience).context("reading the issuer's keys")?;
    let limits = config.limits;
    config.listener.set_nonblocking(true).context("preparing the listener")?;
    let gateway = Arc::new(Gateway::new(identity, config.key, Masters::new(config.masters), limits));
    let service = router(&gateway).into_make_service_with_connect_info::<SocketAddr>();

    let handle = Handle::new();
    tokio::spawn({
        let handle = handle.clone();
        async move {
            shutdown.await;
            handle.graceful_shutdown(Some(limits.grace));
        }
    });
    let acceptor = Guarded::new(RustlsAcceptor::new(tls), limits.connections, limits.head);
    let mut server = axum_server::from_tcp(config.listener)?.acceptor(acceptor).handle(handle);
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(limits.head);
    server
        .http_builder()
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING);
    server.serve(service).await.context("serving users")
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

fn tls(config: &GatewayConfig) -> anyhow::Result<RustlsConfig> {
    let (chain, key) = (&config.certificate, &config.certificate_key);
    let chain = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("reading {}", chain.display()))?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("reading {}", key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("using the certificate")?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(RustlsConfig::from_config(Arc::new(server)))
}
