//! What one gateway runs with. Nothing here is policy: these are the addresses, keys and ceilings of one process.

use std::path::PathBuf;
use std::time::Duration;

use symphony_types::id::NodeId;
use symphony_types::key::{Gateway, PrivateKey};
use symphony_wire::tls::Channel;

/// Everything that [`crate::server::run`] needs.
pub struct GatewayConfig {
    /// Where users connect. Bound by the caller, so that its port is known.
    pub listener: std::net::TcpListener,
    /// Certificate chain of the public listener. **Shape**: PEM.
    pub certificate: PathBuf,
    /// Private key of the certificate. **Shape**: PEM.
    pub certificate_key: PathBuf,
    /// Public keys of the token issuer. **Shape**: JSON Web Key Set.
    pub jwks: PathBuf,
    /// The issuer that tokens must name.
    pub issuer: String,
    /// The audience that tokens must name.
    pub audience: String,
    /// The ways to all masters, in the order in which this gateway prefers them.
    pub masters: Vec<(NodeId, Channel)>,
    /// Signs callers and operations.
    pub key: PrivateKey<Gateway>,
    /// Ceilings of this process.
    pub limits: Limits,
}

/// Ceilings of one process on what outsiders can take of it (R204).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests a second of one caller, or of one address without a token.
    pub requests_per_second: u32,
    /// Requests that one caller may send at once.
    pub burst: u32,
    /// Open connections.
    pub connections: usize,
    /// Open progress streams.
    pub streams: usize,
    /// Line uploads at the same time.
    pub uploads: usize,
    /// Columnar uploads at the same time; each is held in memory whole.
    pub columnar_uploads: usize,
    /// Receipt documents at the same time; each is held in memory whole.
    pub documents: usize,
    /// Until the first byte and the whole head of a request are there.
    pub head: Duration,
    /// Until a request without an upload is answered.
    pub answer: Duration,
    /// Between two pieces of a body.
    pub stall: Duration,
    /// Until an upload or a gRPC call is answered.
    pub upload: Duration,
    /// What open requests get at shutdown.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 50,
            burst: 200,
            connections: 4096,
            streams: 1024,
            uploads: 32,
            columnar_uploads: 2,
            documents: 8,
            head: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(15),
            upload: Duration::from_secs(600),
            grace: Duration::from_secs(5),
        }
    }
}
