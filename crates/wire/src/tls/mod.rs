//! Mutual TLS between nodes: every certificate names one node by role, and a connection whose certificate is
//! unknown or not approved is closed before a byte of a request is read (R008, R201).
//!
//! A leaf has one DNS name, so that the stock verifiers stay, and one URI name, `spiffe://symphony/<role>/<node>`,
//! which is its identity here.
//!
//! A node's certificate, its key and the list of revoked certificates may change while it runs ([`Credentials`], R206):
//! new handshakes use the new ones, a connection of a revoked node ends at once, one that was made with a retired
//! certificate is drained.

pub mod authority;
mod client;
mod credentials;
mod leash;
mod material;
mod revocation;
mod server;
mod stream;
pub mod wiretap;

use std::fmt;

use rustls::pki_types::CertificateDer;
use symphony_types::id::NodeId;
use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

pub use client::{Channel, connect};
pub use credentials::Credentials;
pub use material::{pair, seen};
pub use revocation::Serial;
pub use server::{Approve, serve};

/// The domain under which node names are DNS names.
const DOMAIN: &str = "symphony.internal";
/// The trust domain of identities.
const TRUST: &str = "spiffe://symphony/";

/// What a node is to the network (R010).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeRole {
    /// Orders, admits, settles, governs.
    Master,
    /// Holds one Vault.
    Enterprise,
    /// Verifies results.
    Verifier,
    /// Pays out.
    Payout,
    /// Hosts the reference ledger.
    Chain,
    /// Serves users.
    Gateway,
}

impl NodeRole {
    /// The role's word in identities.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Enterprise => "enterprise",
            Self::Verifier => "verifier",
            Self::Payout => "payout",
            Self::Chain => "chain",
            Self::Gateway => "gateway",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Master, Self::Enterprise, Self::Verifier, Self::Payout, Self::Chain, Self::Gateway]
            .into_iter()
            .find(|role| role.as_str() == text)
    }
}

/// A node as its certificate names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// What it is.
    pub role: NodeRole,
    /// Which one it is.
    pub node: NodeId,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role.as_str(), self.node)
    }
}

impl Peer {
    /// The identity as a URI.
    pub fn uri(&self) -> String {
        format!("{TRUST}{self}")
    }

    /// The name that the node's certificate is checked against.
    pub fn dns_name(&self) -> String {
        format!("{}.{}.{DOMAIN}", self.node.as_str().replace([':', '_'], "-"), self.role.as_str())
    }

    /// Reads the identity out of a certificate; `None` when it names no node or several.
    fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let names = parsed.subject_alternative_name().ok()??;
        let mut uris = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        let (uri, None) = (uris.next()?, uris.next()) else { return None };
        let (role, node) = uri.strip_prefix(TRUST)?.split_once('/')?;
        Some(Self { role: NodeRole::parse(role)?, node: NodeId::new(node).ok()? })
    }
}

/// Why a node cannot speak TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file of the node's credentials is missing or unreadable.
    #[error("reading credentials: {0}")]
    Read(#[from] rustls::pki_types::pem::Error),
    /// Certificates that do not fit together.
    #[error("setting up tls: {0}")]
    Config(#[from] rustls::Error),
    /// No usable trust anchor.
    #[error("setting up the client verifier: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// A certificate could not be made.
    #[error("making a certificate: {0}")]
    Issue(#[from] rcgen::Error),
    /// A file that is no certificate where one is needed.
    #[error("{0} holds no certificate")]
    NoCertificate(std::path::PathBuf),
    /// A certificate of another node than the one that runs.
    #[error("the certificate names {found}, and this node is {own}")]
    OtherNode {
        /// The node that runs.
        own: String,
        /// The one that is named.
        found: String,
    },
    /// A list of revoked certificates that cannot be believed.
    #[error("the revocation list is refused: {0}")]
    Revocation(#[from] revocation::Fault),
    /// A credential file could not be written or read.
    #[error("writing credentials: {0}")]
    Io(#[from] std::io::Error),
    /// The listener or a connection failed.
    #[error("serving: {0}")]
    Serve(#[from] tonic::transport::Error),
}

#[cfg(test)]
mod tests;
