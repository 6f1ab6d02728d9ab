//! Certificates and lists of revoked ones, as far as the paths of AMD and the explanations need them: dates, names, who
//! signed whom. Nothing here reads a clock.

use symphony_types::digest::Digest;
use symphony_types::time::OrderedMillis;
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

use crate::claims::Signer;
use crate::fault::{Fault, FaultCode};

/// Reads one certificate, all of it.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, Fault> {
    if der.len() > CERTIFICATE_BYTES_MAX {
        return Err(Fault::new(FaultCode::TooLarge, format!("{} bytes of certificate", der.len())));
    }
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(Fault::collateral("bytes behind a certificate")),
        Err(error) => Err(Fault::collateral(format!("certificate: {error}"))),
    }
}

/// Reads one list of revoked certificates, all of it.
pub(crate) fn parse_list(der: &[u8]) -> Result<CertificateRevocationList<'_>, Fault> {
    match CertificateRevocationList::from_der(der) {
        Ok(([], list)) => Ok(list),
        Ok(_) => Err(Fault::collateral("bytes behind a list of revoked certificates")),
        Err(error) => Err(Fault::collateral(format!("list of revoked certificates: {error}"))),
    }
}

/// The certificates of a PEM text, as DER.
pub(crate) fn pem(text: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let mut found = Vec::new();
    for block in Pem::iter_from_buffer(text) {
        let block = block.map_err(|error| Fault::collateral(format!("PEM: {error}")))?;
        if found.len() == PEM_BLOCKS_MAX {
            return Err(Fault::new(FaultCode::TooLarge, "number of PEM blocks"));
        }
        found.push(block.contents);
    }
    Ok(found)
}

/// What a person wants to know of a certificate.
pub(crate) fn signer(certificate: &X509Certificate<'_>, der: &[u8]) -> Signer {
    let validity = certificate.validity();
    Signer {
        subject: certificate.subject().to_string(),
        not_before: millis(validity.not_before),
        not_after: millis(validity.not_after),
        fingerprint: Digest::of_bytes(der),
    }
}

/// The first moment of a certificate, if it is one.
pub(crate) fn begins(der: &[u8]) -> Option<OrderedMillis> {
    parse(der).ok().map(|certificate| millis(certificate.validity().not_before))
}

/// A moment of a certificate; before 1970 is 1970.
pub(crate) fn millis(time: ASN1Time) -> OrderedMillis {
    OrderedMillis(u64::try_from(time.timestamp()).unwrap_or(0).saturating_mul(1000))
}

/// Refuses a certificate outside its dates. **Errors**: `not-valid-at-time`.
pub(crate) fn holds_at(signer: &Signer, at: OrderedMillis) -> Result<(), Fault> {
    // The last second of a certificate is part of it.
    let after = at.0 / 1000 > signer.not_after.0 / 1000;
    if at < signer.not_before || after {
        let when = if after { "expired" } else { "does not hold yet" };
        let detail = format!("the certificate of {} {when} at the given time", signer.subject);
        return Err(Fault::new(FaultCode::NotValidAt, detail));
    }
    Ok(())
}

/// Refuses a certificate that `issuer` did not make, or may not have made. **Errors**: `chain-invalid`.
pub(crate) fn made_by(child: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Result<(), Fault> {
    let fault = |why: &str| {
        let detail = format!("the certificate of {} {why}", child.subject());
        Fault::new(FaultCode::ChainInvalid, detail)
    };
    if child.issuer().as_raw() != issuer.subject().as_raw() {
        return Err(fault("names another issuer"));
    }
    if !is_authority(issuer) {
        return Err(fault("was made by one that may not make certificates"));
    }
    child
        .verify_signature(Some(issuer.public_key()))
        .map_err(|_| fault("was not signed by the issuer that it names"))
}

/// Whether a certificate may make others.
pub(crate) fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    certificate.basic_constraints().ok().flatten().is_some_and(|constraints| constraints.value.ca)
        && certificate.key_usage().ok().flatten().is_none_or(|usage| usage.value.key_cert_sign())
}

/// Whether `list`, made by `issuer` and holding at `at`, names `certificate`.
///
/// **Errors**: `chain-invalid` when `issuer` did not sign the list, `not-valid-at-time` outside its dates.
pub(crate) fn revokes(
    list: &CertificateRevocationList<'_>,
    issuer: &X509Certificate<'_>,
    certificate: &X509Certificate<'_>,
    at: OrderedMillis,
) -> Result<bool, Fault> {
    if list.verify_signature(issuer.public_key()).is_err() {
        let detail = format!("{} did not sign the list of revoked certificates", issuer.subject());
        return Err(Fault::new(FaultCode::ChainInvalid, detail));
    }
    let expired = list.next_update().is_none_or(|next| at >= millis(next));
    if at < millis(list.last_update()) || expired {
        let detail = format!("the list of revoked certificates of {} does not hold", issuer.subject());
        return Err(Fault::new(FaultCode::NotValidAt, detail));
    }
    Ok(list.iter_revoked_certificates().any(|entry| entry.raw_serial() == certificate.raw_serial()))
}

pub(crate) const CERTIFICATE_BYTES_MAX: usize = 8 << 10;
const PEM_BLOCKS_MAX: usize = 16;
