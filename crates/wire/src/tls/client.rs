//! The connecting side: a channel that reaches exactly the node that it was made for, with the certificate of now.

use std::error::Error as _;
use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::transport::{self, Endpoint, Uri};
use tower::{Service, service_fn};

use super::leash::leash;
use super::stream::PeerStream;
use super::{Credentials, Peer, TlsError};

/// A connection attempt that takes longer has failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a call is made whose connection ended before it was on its way.
const ATTEMPTS: u32 = 3;

/// A way to one node. Clones share a connection. When the own certificate is replaced, calls under way end on the
/// connection that they have and later ones make a new one (R206).
pub struct Channel {
    way: Arc<Way>,
    /// Has room for a call.
    ready: Option<transport::Channel>,
}

struct Way {
    /// Makes a connection; `None` for a channel that somebody else made.
    dial: Option<Dial>,
    /// What is in use, and the own certificate that it was made with.
    current: Mutex<(u64, transport::Channel)>,
}

struct Dial {
    address: SocketAddr,
    credentials: Credentials,
    endpoint: Endpoint,
    expected: Peer,
}

/// A channel to one node. Connects on first use and again after a loss; the other side must prove to be
/// `expected`. **Errors**: [`TlsError`] when the node has no valid name.
pub fn connect(address: SocketAddr, credentials: &Credentials, expected: Peer) -> Result<Channel, TlsError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .origin(
            Uri::builder()
                .scheme("https")
                .authority(expected.dns_name())
                .path_and_query("/")
                .build()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
        )
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(16 << 20)
        .http2_keep_alive_interval(Duration::from_secs(20));
    let dial = Dial { address, credentials: credentials.clone(), endpoint, expected };
    let current = Mutex::new((credentials.now().generation, dial.channel()));
    Ok(Channel { way: Arc::new(Way { dial: Some(dial), current }), ready: None })
}

impl Dial {
    fn channel(&self) -> transport::Channel {
        let (address, credentials, expected) =
            (self.address, self.credentials.clone(), self.expected.clone());
        let connect = move |_: Uri| {
            let (credentials, expected) = (credentials.clone(), expected.clone());
            async move { Ok::<_, io::Error>(TokioIo::new(reach(address, credentials, expected).await?)) }
        };
        self.endpoint.connect_with_connector_lazy(service_fn(connect))
    }
}

/// A connection to that node and to no other.
async fn reach(
    address: SocketAddr,
    credentials: Credentials,
    expected: Peer,
) -> io::Result<PeerStream<tokio_rustls::client::TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let material = credentials.now();
    let name = ServerName::try_from(expected.dns_name()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(material.client.clone()).connect(name, stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate
        .filter(|certificate| Peer::of_certificate(certificate).as_ref() == Some(&expected))
        .ok_or_else(|| io::Error::new(io::ErrorKind::PermissionDenied, format!("not {expected}")))?;
    let leash = leash(credentials.clone(), material.generation, certificate.clone().into_owned());
    PeerStream::new(stream, expected, credentials.wiretap.as_ref(), leash)
}

impl Channel {
    /// Waits until this channel's own certificate is another one than now: a stream that has no end of its own is
    /// opened again then.
    pub async fn retired(&self) {
        let Some(dial) = &self.way.dial else { return pending().await };
        let mut changes = dial.credentials.changes();
        let generation = changes.borrow_and_update().generation;
        // The credentials outlive this wait, so there is no error.
        let _ = changes.wait_for(|material| material.generation != generation).await;
    }

    fn current(&self) -> transport::Channel {
        let mut current = self.way.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dial) = &self.way.dial {
            let generation = dial.credentials.now().generation;
            if current.0 != generation {
                *current = (generation, dial.channel());
            }
        }
        current.1.clone()
    }
}

impl Clone for Channel {
    fn clone(&self) -> Self {
        Self { way: self.way.clone(), ready: None }
    }
}

impl From<transport::Channel> for Channel {
    /// A channel that somebody else made: it has no certificate that could be replaced.
    fn from(channel: transport::Channel) -> Self {
        Self { way: Arc::new(Way { dial: None, current: Mutex::new((0, channel)) }), ready: None }
    }
}

impl Service<http::Request<Body>> for Channel {
    type Response = http::Response<Body>;
    type Error = transport::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let current = self.current();
        self.ready.get_or_insert(current).poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        // A caller that did not wait for room is not a caller by tower's contract.
        let mut ready = self.ready.take().unwrap_or_else(|| self.current());
        let channel = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = Unsent::new(body);
            let mut attempt = 1;
            loop {
                let request = http::Request::from_parts(head.clone(), Body::new(body.clone()));
                match ready.call(request).await {
                    // The connection was ending; the call was not on its way yet, so it goes another one.
                    Err(error) if attempt < ATTEMPTS && body.unsent() && ended(&error) => {
                        attempt += 1;
                        ready = channel.current();
                        poll_fn(|cx| ready.poll_ready(cx)).await?;
                    }
                    answer => return answer,
                }
            }
        })
    }
}

/// Whether a call did not happen because its connection had ended before.
fn ended(error: &transport::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    cause.is_some_and(hyper::Error::is_canceled)
}

/// The body of a call, kept until somebody reads it: from then on the call must not be made again.
#[derive(Clone)]
struct Unsent(Arc<Mutex<(bool, Body)>>);

impl Unsent {
    fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new((true, body))))
    }

    fn unsent(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }
}

impl http_body::Body for Unsent {
    type Data = <Body as http_body::Body>::Data;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0 = false;
        Pin::new(&mut kept.1).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.size_hint()
    }
}
