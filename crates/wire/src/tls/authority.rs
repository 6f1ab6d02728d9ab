//! The development certificate authority: made on first start, issues a leaf for each node, replaces leaves, revokes
//! them and remembers which there are (R206). Every change is whole or has not happened, also after a crash.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::material::{AUTHORITIES_FILE, CHAIN_FILE, KEY_FILE, REVOKED_FILE, next_key};
use super::revocation::{Fault, Revocations, Serial};
use super::{Peer, TlsError};

/// How long a node's certificate is valid.
const VALIDITY: Duration = Duration::days(365);
/// How far a clock may be behind the authority's.
const SKEW: Duration = Duration::days(1);
/// Copies of all issued certificates in the authority's folder, by serial.
const ISSUED: &str = "issued";

/// A certificate authority for development networks. Locked for this process while it lives.
pub struct Authority {
    folder: PathBuf,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    _lock: File,
}

/// A certificate that the authority has issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Its number.
    pub serial: Serial,
    /// Whom it names.
    pub peer: Peer,
    /// When it ends. **Units**: seconds since the Unix epoch.
    pub not_after: i64,
    /// Whether it is revoked.
    pub revoked: bool,
}

impl Authority {
    /// Opens the authority of a folder (`ca.pem`, `ca.key`), making it on first use. **Errors**: [`TlsError`].
    pub fn open(folder: &Path) -> Result<Self, TlsError> {
        fs::create_dir_all(folder.join(ISSUED))?;
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;
        let (certificate_file, key_file) = (folder.join("ca.pem"), folder.join("ca.key"));
        if !certificate_file.exists() {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "symphony development authority");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let certificate = params.self_signed(&key)?;
            write_secret(&key_file, &key.serialize_pem())?;
            replace(&certificate_file, certificate.pem().as_bytes(), 0o644)?;
        }
        let certificate = fs::read_to_string(&certificate_file)?;
        let key = KeyPair::from_pem(&fs::read_to_string(&key_file)?)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)?;
        Ok(Self { folder: folder.to_owned(), certificate, issuer, _lock: lock })
    }

    /// Writes credentials for a node into its folder, unless they are there: `ca.pem`, `node.pem`, `node.key`.
    /// `also` are further DNS names or addresses, for the public listener. **Errors**: [`TlsError`].
    pub fn issue(&self, peer: &Peer, also: &[&str], folder: &Path) -> Result<(), TlsError> {
        fs::create_dir_all(folder)?;
        if folder.join(CHAIN_FILE).exists() {
            return self.record(folder);
        }
        replace(&folder.join(AUTHORITIES_FILE), self.certificate.as_bytes(), 0o644)?;
        self.rotate(peer, also, folder).map(drop)
    }

    /// Puts a new key and certificate for a node into its folder; a running node takes them up by itself. The former
    /// certificate stays valid until it ends or is revoked. **Errors**: [`TlsError`].
    pub fn rotate(&self, peer: &Peer, also: &[&str], folder: &Path) -> Result<Serial, TlsError> {
        let mut names = vec![peer.dns_name()];
        names.extend(also.iter().map(|name| (*name).to_owned()));
        let mut params = CertificateParams::new(names)?;
        params.subject_alt_names.push(SanType::URI(peer.uri().try_into()?));
        params.distinguished_name.push(DnType::CommonName, peer.to_string());
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now - SKEW, now + VALIDITY);
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        let serial = self.keep(leaf.pem().as_bytes(), leaf.der())?;
        // The certificate's name is the moment of the change: before it the former key fits, after it the next one.
        let (key_file, next) = (folder.join(KEY_FILE), next_key(&folder.join(KEY_FILE)));
        replace(&next, key.serialize_pem().as_bytes(), 0o600)?;
        replace(&folder.join(CHAIN_FILE), leaf.pem().as_bytes(), 0o644)?;
        fs::rename(next, key_file)?;
        sync(folder)?;
        Ok(serial)
    }

    /// Remembers the certificate of a node's folder. **Errors**: [`TlsError`].
    pub fn record(&self, folder: &Path) -> Result<(), TlsError> {
        let pem = fs::read(folder.join(CHAIN_FILE))?;
        let leaf = CertificateDer::from_pem_slice(&pem)?;
        self.keep(&pem, &leaf).map(drop)
    }

    fn keep(&self, pem: &[u8], leaf: &CertificateDer<'_>) -> Result<Serial, TlsError> {
        let path = || self.folder.join(ISSUED);
        let serial = described(leaf).ok_or_else(|| TlsError::NoCertificate(path()))?.serial;
        replace(&path().join(format!("{serial}.pem")), pem, 0o644)?;
        Ok(serial)
    }

    /// All certificates that were issued, by node. **Errors**: [`TlsError`].
    pub fn issued(&self) -> Result<Vec<Issued>, TlsError> {
        let revoked = self.revocations()?.summary().1;
        let mut all = Vec::new();
        for entry in fs::read_dir(self.folder.join(ISSUED))? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "pem") {
                continue;
            }
            let leaf = CertificateDer::from_pem_slice(&fs::read(&path)?)?;
            let mut issued = described(&leaf).ok_or(TlsError::NoCertificate(path))?;
            issued.revoked = revoked.contains(&issued.serial);
            all.push(issued);
        }
        all.sort_by(|one, other| (&one.peer, one.not_after).cmp(&(&other.peer, other.not_after)));
        Ok(all)
    }

    /// Adds certificates to the list of those that are revoked: a new list with the next number, also when all of them
    /// were on it. [`Self::publish`] brings it to the nodes. **Errors**: [`TlsError`].
    pub fn revoke(&self, serials: &[Serial]) -> Result<(), TlsError> {
        let (number, mut revoked) = self.revocations()?.summary();
        revoked.extend(serials.iter().cloned());
        let now = OffsetDateTime::now_utc();
        let entry = |serial: &Serial| RevokedCertParams {
            serial_number: SerialNumber::from(serial.to_bytes()),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: now,
            // A list counts until a newer one takes its place.
            next_update: now + 10 * VALIDITY,
            crl_number: SerialNumber::from((number + 1u8).to_bytes_be()),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer)?.pem()?;
        Ok(replace(&self.folder.join(REVOKED_FILE), list.as_bytes(), 0o644)?)
    }

    /// Copies the list of revoked certificates, if there is one, into a node's folder; a running node takes it up by
    /// itself. **Errors**: [`TlsError`].
    pub fn publish(&self, folder: &Path) -> Result<(), TlsError> {
        match fs::read(self.folder.join(REVOKED_FILE)) {
            Ok(list) => Ok(replace(&folder.join(REVOKED_FILE), &list, 0o644)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn revocations(&self) -> Result<Revocations, TlsError> {
        let own = CertificateDer::from_pem_slice(self.certificate.as_bytes())?;
        match fs::read(self.folder.join(REVOKED_FILE)) {
            Ok(list) => Ok(Revocations::parse(&list, &[own])?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Revocations::default()),
            Err(_) => Err(Fault::Unreadable.into()),
        }
    }
}

/// What the certificate in a node's folder says of itself. **Errors**: [`TlsError`], also for one that names no node.
pub fn present(folder: &Path) -> Result<Issued, TlsError> {
    let path = folder.join(CHAIN_FILE);
    let leaf = CertificateDer::from_pem_slice(&fs::read(&path)?)?;
    described(&leaf).ok_or(TlsError::NoCertificate(path))
}

fn described(leaf: &CertificateDer<'_>) -> Option<Issued> {
    let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
    Some(Issued {
        serial: Serial::new(&parsed.tbs_certificate.serial),
        peer: Peer::of_certificate(leaf)?,
        not_after: parsed.validity().not_after.timestamp(),
        revoked: false,
    })
}

/// Writes a file that only its owner may read. **Errors**: those of the file system.
pub fn write_secret(path: &Path, content: &str) -> io::Result<()> {
    replace(path, content.as_bytes(), 0o600)
}

/// Writes a file that is there whole or not at all. **Errors**: those of the file system.
fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    path.parent().map_or(Ok(()), sync)
}

fn sync(folder: &Path) -> io::Result<()> {
    // A path of one part is in the folder of the process.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}
