//! The development certificate authority: made on first start, issues one leaf per node.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::{Peer, TlsError};

/// A certificate authority for development networks.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the authority of a folder (`ca.pem`, `ca.key`), making it on first use. **Errors**: [`TlsError`].
    pub fn open(folder: &Path) -> Result<Self, TlsError> {
        fs::create_dir_all(folder)?;
        let (certificate_file, key_file) = (folder.join("ca.pem"), folder.join("ca.key"));
        if !certificate_file.exists() {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "symphony development authority");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let certificate = params.self_signed(&key)?;
            write_secret(&key_file, &key.serialize_pem())?;
            fs::write(&certificate_file, certificate.pem())?;
        }
        let certificate = fs::read_to_string(&certificate_file)?;
        let key = KeyPair::from_pem(&fs::read_to_string(&key_file)?)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)?;
        Ok(Self { certificate, issuer })
    }

    /// Writes credentials for a node into its folder, unless they are there: `ca.pem`, `node.pem`, `node.key`.
    /// `also` are further DNS names or addresses, for the public listener. **Errors**: [`TlsError`].
    pub fn issue(&self, peer: &Peer, also: &[&str], folder: &Path) -> Result<(), TlsError> {
        fs::create_dir_all(folder)?;
        if folder.join("node.pem").exists() {
            return Ok(());
        }
        let mut names = vec![peer.dns_name()];
        names.extend(also.iter().map(|name| (*name).to_owned()));
        let mut params = CertificateParams::new(names)?;
        params.subject_alt_names.push(SanType::URI(peer.uri().try_into()?));
        params.distinguished_name.push(DnType::CommonName, peer.to_string());
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        fs::write(folder.join("ca.pem"), &self.certificate)?;
        write_secret(&folder.join("node.key"), &key.serialize_pem())?;
        fs::write(folder.join("node.pem"), leaf.pem())?;
        Ok(())
    }
}

/// Writes a file that only its owner may read. **Errors**: those of the file system.
pub fn write_secret(path: &Path, content: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}
