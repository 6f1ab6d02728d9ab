//! The accepting side: handshake, identity, approval, then gRPC.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;

use super::leash::leash;
use super::stream::PeerStream;
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
/// Where accepted connections go: to the last server.
type Door = Arc<Mutex<mpsc::Sender<io::Result<Accepted>>>>;

/// Serves gRPC over mutual TLS until `shutdown`. A handler finds the [`Peer`] among the request's extensions. When the
/// own certificate is replaced, the connections of the former one are told to end after what they are doing, and new
/// ones go to a server of their own (R206). **Errors**: [`TlsError`]; a refused connection is not an error.
pub async fn serve(
    listener: TcpListener,
    credentials: Credentials,
    approve: Approve,
    routes: Routes,
    shutdown: impl Future<Output = ()>,
) -> Result<(), TlsError> {
    let mut changes = credentials.changes();
    // All servers: the last one takes connections, the others end what they have.
    let mut servers = JoinSet::new();
    let (sender, mut receiver) = mpsc::channel(HANDSHAKES_MAX);
    let last = Arc::new(Mutex::new(sender));
    let gate = Gate { credentials, approve };
    let _accepting = AbortOnDrop(tokio::spawn(accept(listener, gate, last.clone())));
    tokio::pin!(shutdown);
    loop {
        let generation = changes.borrow_and_update().generation;
        let (retire, retired) = oneshot::channel::<()>();
        servers.spawn(server(routes.clone(), receiver, retired));
        let ended = loop {
            tokio::select! {
                () = &mut shutdown => break Some(Ok(())),
                // The credentials are held here, so there is no error.
                _ = changes.wait_for(|material| material.generation != generation) => break None,
                Some(served) = servers.join_next() => match served {
                    // One of a former certificate has nothing left to do.
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => break Some(Err(error)),
                    Err(panic) => break Some(Err(io::Error::other(panic).into())),
                },
            }
        };
        let sender;
        (sender, receiver) = mpsc::channel(HANDSHAKES_MAX);
        *last.lock().unwrap_or_else(PoisonError::into_inner) = sender;
        drop(retire);
        match ended {
            None => {}
            Some(Err(error)) => return Err(error),
            Some(Ok(())) => {
                let _ = timeout(GRACE, async { while servers.join_next().await.is_some() {} }).await;
                return Ok(());
            }
        }
    }
}

/// Serves connections; from `retired` on it tells them to end and takes no more.
async fn server(
    routes: Routes,
    connections: mpsc::Receiver<io::Result<Accepted>>,
    retired: oneshot::Receiver<()>,
) -> Result<(), TlsError> {
    let retired = async {
        // Nothing is sent: the sender is dropped.
        let _ = retired.await;
    };
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(16 << 20)
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(connections), retired)
        .await?;
    Ok(())
}

/// What a connection passes before it is served.
#[derive(Clone)]
struct Gate {
    credentials: Credentials,
    approve: Approve,
}

/// Ends a task that has no end of its own.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn accept(listener: TcpListener, gate: Gate, door: Door) {
    let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Ok(slot) = slots.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (gate, door) = (gate.clone(), door.clone());
        tokio::spawn(async move {
            let outcome = timeout(HANDSHAKE_TIMEOUT, handshake(stream, gate)).await;
            match outcome {
                Ok(Ok(stream)) => {
                    let sender = door.lock().unwrap_or_else(PoisonError::into_inner).clone();
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
    let material = gate.credentials.now();
    let stream = TlsAcceptor::from(material.server.clone()).accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let (certificate, peer) = certificate
        .and_then(|certificate| Some((certificate, Peer::of_certificate(certificate)?)))
        .ok_or_else(|| io::Error::new(io::ErrorKind::PermissionDenied, "the certificate names no node"))?;
    if !(gate.approve)(&peer) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{peer} is not approved here")));
    }
    let leash = leash(gate.credentials.clone(), material.generation, certificate.clone().into_owned());
    PeerStream::new(stream, peer, gate.credentials.wiretap.as_ref(), leash)
}
