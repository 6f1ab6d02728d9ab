//! Which certificates are revoked: lists that the network's authorities sign, one for each authority (R206).
//!
//! A list counts when it can be read, an authority of this node signed it, and it is not older than the one in use. A
//! list that is missing later is an older state too: what was revoked stays revoked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use thiserror::Error;
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

/// The number of a certificate: unique under its authority. **Shape**: hexadecimal, without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Serial(BigUint);

impl Serial {
    /// Reads hexadecimal digits; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        BigUint::parse_bytes(text.as_bytes(), 16).map(Self)
    }

    pub(super) fn new(number: &BigUint) -> Self {
        Self(number.clone())
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes_be()
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_str_radix(16))
    }
}

/// Why a list of revoked certificates does not count.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// Not a list, or one without a number.
    #[error("it cannot be read")]
    Unreadable,
    /// No authority of this node signed it.
    #[error("no authority of this network signed it")]
    Unsigned,
    /// The one in use has a higher number, or the same one and says something else.
    #[error("it is older than the one in use")]
    Older,
}

/// The lists in use, by the name of their authority.
#[derive(Clone, Default)]
pub(super) struct Revocations {
    lists: BTreeMap<Vec<u8>, List>,
}

/// What one authority has revoked.
#[derive(Clone)]
struct List {
    der: CertificateRevocationListDer<'static>,
    number: BigUint,
    serials: BTreeSet<BigUint>,
}

impl Revocations {
    /// Reads the lists of a file. **Errors**: [`Fault`] of the first one that does not count.
    pub(super) fn parse(pem: &[u8], authorities: &[CertificateDer<'_>]) -> Result<Self, Fault> {
        let mut lists = BTreeMap::new();
        for der in CertificateRevocationListDer::pem_slice_iter(pem) {
            let der = der.map_err(|_| Fault::Unreadable)?;
            let (issuer, list) = List::read(der, authorities)?;
            if lists.insert(issuer, list).is_some() {
                return Err(Fault::Unreadable);
            }
        }
        if lists.is_empty() {
            return Err(Fault::Unreadable);
        }
        Ok(Self { lists })
    }

    /// Whether these may take the place of `former`. **Errors**: [`Fault::Older`].
    pub(super) fn supersede(&self, former: &Self) -> Result<(), Fault> {
        let newer = former.lists.iter().all(|(issuer, former)| {
            let list = self.lists.get(issuer);
            list.is_some_and(|list| list.number > former.number || list.der == former.der)
        });
        if newer { Ok(()) } else { Err(Fault::Older) }
    }

    /// Whether a certificate is revoked; one that cannot be read is.
    pub(super) fn name(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return true };
        let list = self.lists.get(parsed.issuer().as_raw());
        list.is_some_and(|list| list.serials.contains(&parsed.tbs_certificate.serial))
    }

    /// The lists as the verifiers of handshakes take them.
    pub(super) fn lists(&self) -> impl Iterator<Item = CertificateRevocationListDer<'static>> {
        self.lists.values().map(|list| list.der.clone())
    }

    /// The highest number of a list, and what all of them revoke: what an authority goes on from.
    pub(super) fn summary(&self) -> (BigUint, BTreeSet<Serial>) {
        let number = self.lists.values().map(|list| list.number.clone()).max().unwrap_or_default();
        let serials = self.lists.values().flat_map(|list| list.serials.iter().map(Serial::new));
        (number, serials.collect())
    }
}

impl List {
    /// A list with its authority's name.
    fn read(
        der: CertificateRevocationListDer<'static>,
        authorities: &[CertificateDer<'_>],
    ) -> Result<(Vec<u8>, Self), Fault> {
        let (rest, parsed) = CertificateRevocationList::from_der(&der).map_err(|_| Fault::Unreadable)?;
        let number = parsed.crl_number().filter(|_| rest.is_empty()).ok_or(Fault::Unreadable)?.clone();
        let signed = authorities.iter().any(|authority| {
            X509Certificate::from_der(authority).is_ok_and(|(_, authority)| {
                authority.subject().as_raw() == parsed.issuer().as_raw()
                    && parsed.verify_signature(authority.public_key()).is_ok()
            })
        });
        if !signed {
            return Err(Fault::Unsigned);
        }
        let serials = parsed.iter_revoked_certificates().map(|entry| entry.serial().clone()).collect();
        let issuer = parsed.issuer().as_raw().to_vec();
        Ok((issuer, Self { number, serials, der }))
    }
}
