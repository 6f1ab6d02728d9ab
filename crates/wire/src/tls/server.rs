//! The accepting side: handshake, identity, approval, then gRPC.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;

use super::stream::PeerStream;
use super::wiretap::Wiretap;
use super::{Credentials, Peer, TlsError};

/// Handshakes under way at once; more wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 64;
/// A handshake that takes longer is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// What open calls get at shutdown: streams between nodes have no end of their own.
const GRACE: Duration = Duration::from_secs(1);

/// Decides whether a node with a valid certificate may connect here.
pub type Approve = Arc<dyn Fn(&Peer) -> bool + Send + Sync>;

/// A connection of a node that is known and approved.
type Accepted = PeerStream<TlsStream<TcpStream>>;

/// Serves gRPC over mutual TLS until `shutdown`. A handler finds the [`Peer`] among the request's extensions.
/// **Errors**: [`TlsError`]; a refused connection is not an error.
pub async fn serve(
    listener: TcpListener,
    credentials: Credentials,
    approve: Approve,
    routes: Routes,
    shutdown: impl Future<Output = ()>,
) -> Result<(), TlsError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(credentials.roots, credentials.provider.clone())
            .build()?;
    let mut config = ServerConfig::builder_with_provider(credentials.provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(credentials.chain, credentials.key.clone_key())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (sender, receiver) = mpsc::channel::<io::Result<Accepted>>(HANDSHAKES_MAX);
    let gate = Gate { acceptor: TlsAcceptor::from(Arc::new(config)), approve, wiretap: credentials.wiretap };
    let accepting = tokio::spawn(accept(listener, gate, sender));
    let (told, stopping) = oneshot::channel::<()>();
    let shutdown = async {
        shutdown.await;
        // The server may have ended before.
        let _ = told.send(());
    };
    let serving = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(16 << 20)
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(receiver), shutdown);
    let grace = async {
        let _ = stopping.await;
        sleep(GRACE).await;
    };
    let served = tokio::select! {
        served = serving => served,
        () = grace => Ok(()),
    };
    accepting.abort();
    Ok(served?)
}

/// What a connection passes before it is served.
#[derive(Clone)]
struct Gate {
    acceptor: TlsAcceptor,
    approve: Approve,
    wiretap: Option<Wiretap>,
}

async fn accept(listener: TcpListener, gate: Gate, sender: mpsc::Sender<io::Result<Accepted>>) {
    let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Ok(slot) = slots.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (gate, sender) = (gate.clone(), sender.clone());
        tokio::spawn(async move {
            let outcome = timeout(HANDSHAKE_TIMEOUT, handshake(stream, gate)).await;
            match outcome {
                Ok(Ok(stream)) => {
                    // Only a server that is shutting down has dropped the receiver.
                    let _ = sender.send(Ok(stream)).await;
                }
                Ok(Err(error)) => tracing::warn!(%error, "connection refused"),
                Err(_) => tracing::warn!("connection refused: the handshake took too long"),
            }
            drop(slot);
        });
    }
}

async fn handshake(stream: TcpStream, gate: Gate) -> io::Result<Accepted> {
    stream.set_nodelay(true)?;
    let stream = gate.acceptor.accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let peer = certificate
        .and_then(Peer::of_certificate)
        .ok_or_else(|| io::Error::new(io::ErrorKind::PermissionDenied, "the certificate names no node"))?;
    if !(gate.approve)(&peer) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{peer} is not approved here")));
    }
    PeerStream::new(stream, peer, gate.wiretap.as_ref())
}
