//! The connecting side: a channel that reaches exactly the node that it was made for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::stream::PeerStream;
use super::{Credentials, Peer, TlsError};

/// A connection attempt that takes longer has failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A channel to one node. Connects on first use and again after a loss; the other side must prove to be
/// `expected`. **Errors**: [`TlsError`] when the credentials do not fit together.
pub fn connect(address: SocketAddr, credentials: &Credentials, expected: Peer) -> Result<Channel, TlsError> {
    let mut config = ClientConfig::builder_with_provider(credentials.provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(credentials.roots.clone())
        .with_client_auth_cert(credentials.chain.clone(), credentials.key.clone_key())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
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
    let wiretap = credentials.wiretap.clone();
    let connect = move |_: Uri| {
        let (connector, expected, wiretap) = (connector.clone(), expected.clone(), wiretap.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(expected.dns_name()).map_err(io::Error::other)?;
            let stream = connector.connect(name, stream).await?;
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            if certificate.and_then(Peer::of_certificate).as_ref() != Some(&expected) {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("not {expected}")));
            }
            Ok(TokioIo::new(PeerStream::new(stream, expected, wiretap.as_ref())?))
        }
    };
    Ok(endpoint.connect_with_connector_lazy(service_fn(connect)))
}
