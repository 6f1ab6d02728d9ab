//! The accepting side: handshake, identity, approval, then gRPC.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::{Credentials, Peer, TlsError};

/// Handshakes under way at once; more wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 64;
/// A handshake that takes longer is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Decides whether a node with a valid certificate may connect here.
pub type Approve = Arc<dyn Fn(&Peer) -> bool + Send + Sync>;

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
    let (sender, receiver) = mpsc::channel::<io::Result<PeerStream>>(HANDSHAKES_MAX);
    let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), approve, sender));
    let served = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(16 << 20)
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(receiver), shutdown)
        .await;
    accepting.abort();
    Ok(served?)
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    approve: Approve,
    sender: mpsc::Sender<io::Result<PeerStream>>,
) {
    let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Ok(slot) = slots.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, approve, sender) = (acceptor.clone(), approve.clone(), sender.clone());
        tokio::spawn(async move {
            let outcome = timeout(HANDSHAKE_TIMEOUT, handshake(stream, acceptor, approve)).await;
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

async fn handshake(stream: TcpStream, acceptor: TlsAcceptor, approve: Approve) -> io::Result<PeerStream> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let peer = certificate
        .and_then(Peer::of_certificate)
        .ok_or_else(|| io::Error::new(io::ErrorKind::PermissionDenied, "the certificate names no node"))?;
    if !approve(&peer) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{peer} is not approved here")));
    }
    Ok(PeerStream { stream, peer })
}

/// A connection whose other side is known.
struct PeerStream {
    stream: TlsStream<TcpStream>,
    peer: Peer,
}

impl Connected for PeerStream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
