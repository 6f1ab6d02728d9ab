//! What a node's handshakes run with at one moment: its certificate with the key, the authorities that it believes, the
//! certificates that they revoked. Made whole or not at all, so that no handshake sees half of a change (R206).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use symphony_types::digest::Digest;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::revocation::Revocations;
use super::{Peer, TlsError};

/// The authorities' certificates in a node's folder.
pub(super) const AUTHORITIES_FILE: &str = "ca.pem";
/// The node's certificate with what leads to its authority.
pub(super) const CHAIN_FILE: &str = "node.pem";
/// The certificate's key.
pub(super) const KEY_FILE: &str = "node.key";
/// What the authorities revoked; absent while that is nothing.
pub(super) const REVOKED_FILE: &str = "crl.pem";

/// The certificate of a file with the key that fits it: the one in the other file, or the one that is about to take its
/// place. **Errors**: [`TlsError`], also when neither fits.
pub fn pair(chain: &Path, key: &Path, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(&fs::read(chain)?).collect::<Result<Vec<_>, _>>()?;
    let fit = |key: &Path| -> Result<Arc<CertifiedKey>, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(&fs::read(key)?)?;
        Ok(Arc::new(CertifiedKey::from_der(chain.clone(), key, provider)?))
    };
    // The first reason is the one to tell: the second key is there only while certificates change.
    fit(key).or_else(|error| fit(&next_key(key)).map_err(|_| error))
}

/// Where the key of the next certificate is written before the certificate is, and from where it goes to its place
/// right after: at every moment one of the two keys fits the certificate.
pub(super) fn next_key(key: &Path) -> PathBuf {
    let mut name = key.file_name().unwrap_or_default().to_owned();
    name.push(".next");
    key.with_file_name(name)
}

/// What tells one content of the files of a pair from another: changes when one of them does. **Errors**: those of the
/// file system; a file that is not there is a content too.
pub fn seen(files: &[&Path]) -> io::Result<Vec<Option<Digest>>> {
    let digest = |file: &&Path| match fs::read(file) {
        Ok(bytes) => Ok(Some(Digest::of_bytes(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    files.iter().map(digest).collect()
}

/// The authorities that a node believes. Read once: another authority is another network.
#[derive(Clone)]
pub(super) struct Authorities {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
}

impl Authorities {
    /// Reads `ca.pem` of a folder. **Errors**: [`TlsError`].
    pub(super) fn load(folder: &Path) -> Result<Self, TlsError> {
        let pem = fs::read(folder.join(AUTHORITIES_FILE))?;
        let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>()?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone())?;
        }
        Ok(Self { certificates, roots: Arc::new(roots) })
    }
}

/// What handshakes run with.
pub(super) struct Material {
    /// Counts the node's certificates: a connection with another number was made with a retired one.
    pub(super) generation: u64,
    /// Who the node is.
    pub(super) own: Option<Peer>,
    /// For connections that are accepted.
    pub(super) server: Arc<ServerConfig>,
    /// For connections that are made.
    pub(super) client: Arc<ClientConfig>,
    pub(super) pair: Arc<CertifiedKey>,
    pub(super) revocations: Revocations,
}

impl Material {
    /// Puts the parts together. **Errors**: [`TlsError`] when they do not fit.
    pub(super) fn new(
        generation: u64,
        pair: Arc<CertifiedKey>,
        revocations: Revocations,
        authorities: &Authorities,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let roots = || authorities.roots.clone();
        let accepted = WebPkiClientVerifier::builder_with_provider(roots(), provider.clone())
            .with_crls(revocations.lists())
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .build()?;
        let made = WebPkiServerVerifier::builder_with_provider(roots(), provider.clone())
            .with_crls(revocations.lists())
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status()
            .build()?;
        let resolver = Arc::new(SingleCertAndKey::from(pair.clone()));
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(accepted)
            .with_cert_resolver(resolver.clone());
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_webpki_verifier(made)
            .with_client_cert_resolver(resolver);
        for protocols in [&mut server.alpn_protocols, &mut client.alpn_protocols] {
            *protocols = vec![b"h2".to_vec()];
        }
        // A resumed session shows no certificate, so nobody would look whether it is revoked.
        (server.session_storage, server.send_tls13_tickets) = (Arc::new(NoServerSessionStorage {}), 0);
        client.resumption = Resumption::disabled();
        let own = pair.cert.first().and_then(Peer::of_certificate);
        let (server, client) = (Arc::new(server), Arc::new(client));
        Ok(Self { generation, own, server, client, pair, revocations })
    }

    /// Whether a certificate may be used by the node that has it now: its own authorities signed it, its time has come
    /// and not passed, it is not revoked and names the same node. **Errors**: [`TlsError`] when not.
    pub(super) fn admit(
        &self,
        pair: &CertifiedKey,
        authorities: &Authorities,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(), TlsError> {
        let (leaf, rest) = (pair.end_entity_cert()?, pair.cert.get(1..).unwrap_or_default());
        let found = Peer::of_certificate(leaf);
        if found != self.own {
            let name = |peer: &Option<Peer>| peer.as_ref().map_or("no node".to_owned(), Peer::to_string);
            return Err(TlsError::OtherNode { own: name(&self.own), found: name(&found) });
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(authorities.roots.clone(), provider.clone())
                .with_crls(self.revocations.lists())
                .only_check_end_entity_revocation()
                .allow_unknown_revocation_status()
                .build()?;
        verifier.verify_client_cert(leaf, rest, UnixTime::now())?;
        Ok(())
    }

    /// Whether an open connection with a node of that certificate may go on. **Errors**: why not.
    pub(super) fn judge(&self, peer: &CertificateDer<'_>) -> Result<(), &'static str> {
        if self.revocations.name(peer) {
            return Err("the certificate of the other side is revoked");
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        match X509Certificate::from_der(peer) {
            Ok((_, peer)) if now <= peer.validity().not_after.timestamp() => Ok(()),
            _ => Err("the certificate of the other side has expired"),
        }
    }
}
