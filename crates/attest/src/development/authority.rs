//! Certificates and lists of the development vendor.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, DnType, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    RevokedCertParams, SerialNumber,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};
use symphony_types::time::OrderedMillis;
use time::OffsetDateTime;

use crate::development::NOTICE;

/// Why development evidence could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VendorError {
    /// A certificate or list.
    #[error("making a certificate")]
    Certificate(#[from] rcgen::Error),
    /// A moment that has no date.
    #[error("no date for {0} ms")]
    Date(u64),
    /// A signature.
    #[error("signing")]
    Sign,
    /// A file that holds no vendor.
    #[error("the file holds no development vendor")]
    File,
    /// A part that has no encoding.
    #[error("encoding: {0}")]
    Encode(String),
}

/// Which keys a format uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    /// Intel's.
    P256,
    /// AMD's and AWS'.
    P384,
}

/// An authority as it is kept. **Shape**: PKCS #8 and X.509, as DER.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(with = "serde_bytes")]
    pub(super) key: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub(super) certificate: Vec<u8>,
}

/// What an authority was made with.
#[derive(Clone, Copy)]
pub(super) struct Made<'a> {
    pub(super) common: &'a str,
    pub(super) authority: bool,
    pub(super) serial: u64,
    pub(super) curve: Curve,
    pub(super) from: OrderedMillis,
    pub(super) until: OrderedMillis,
}

/// One certificate with its key.
pub(super) struct Authority {
    key: KeyPair,
    params: CertificateParams,
    der: Vec<u8>,
    curve: Curve,
    from: OrderedMillis,
    until: OrderedMillis,
}

impl Authority {
    pub(super) fn root(
        common: &str,
        curve: Curve,
        from: OrderedMillis,
        until: OrderedMillis,
    ) -> Result<Self, VendorError> {
        let key = generate(curve)?;
        let params = params(common, true, Vec::new(), 1, from, until)?;
        let der = params.self_signed(&key)?.der().to_vec();
        Ok(Self { key, params, der, curve, from, until })
    }

    /// A certificate below this one.
    pub(super) fn issue(
        &self,
        common: &str,
        authority: bool,
        extensions: Vec<CustomExtension>,
        serial: u64,
    ) -> Result<Self, VendorError> {
        self.issue_between(common, authority, extensions, serial, self.from, self.until)
    }

    pub(super) fn issue_between(
        &self,
        common: &str,
        authority: bool,
        extensions: Vec<CustomExtension>,
        serial: u64,
        from: OrderedMillis,
        until: OrderedMillis,
    ) -> Result<Self, VendorError> {
        let key = generate(self.curve)?;
        let params = params(common, authority, extensions, serial, from, until)?;
        let der = params.signed_by(&key, &Issuer::from_params(&self.params, &self.key))?.der().to_vec();
        Ok(Self { key, params, der, curve: self.curve, from, until })
    }

    /// A list of revoked serial numbers, as DER.
    pub(super) fn list(&self, serials: &[u64]) -> Result<Vec<u8>, VendorError> {
        let (from, until) = (date(self.from)?, date(self.until)?);
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: from,
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: from,
            next_update: until,
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(&Issuer::from_params(&self.params, &self.key))?.der().to_vec())
    }

    /// Key and certificate, to be kept.
    pub(super) fn kept(&self) -> Kept {
        Kept { key: self.key.serialize_der(), certificate: self.der.clone() }
    }

    /// The same authority again. What issues reads its name, dates and use from here, so they must be those it was made with.
    pub(super) fn restored(kept: Kept, made: &Made<'_>) -> Result<Self, VendorError> {
        let Made { common, authority, serial, curve, from, until } = *made;
        let algorithm = match curve {
            Curve::P256 => &PKCS_ECDSA_P256_SHA256,
            Curve::P384 => &PKCS_ECDSA_P384_SHA384,
        };
        let der = PrivatePkcs8KeyDer::from(kept.key);
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, algorithm)?;
        let params = params(common, authority, Vec::new(), serial, from, until)?;
        Ok(Self { key, params, der: kept.certificate, curve, from, until })
    }

    pub(super) fn der(&self) -> Vec<u8> {
        self.der.clone()
    }

    /// The certificate as PEM.
    pub(super) fn pem(&self) -> String {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&self.der);
        let lines: Vec<&str> =
            (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    }

    /// Two numbers of fixed length, big-endian.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, VendorError> {
        let algorithm = match self.curve {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        };
        let pair =
            EcdsaKeyPair::from_pkcs8(algorithm, self.key.serialized_der()).map_err(|_| VendorError::Sign)?;
        let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| VendorError::Sign)?;
        Ok(signature.as_ref().to_vec())
    }

    /// The point of the key, without the byte that says it is uncompressed.
    pub(super) fn point(&self) -> &[u8] {
        &self.key.public_key_raw()[1..]
    }
}

fn generate(curve: Curve) -> Result<KeyPair, VendorError> {
    Ok(match curve {
        Curve::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        Curve::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?,
    })
}

fn params(
    common: &str,
    authority: bool,
    extensions: Vec<CustomExtension>,
    serial: u64,
    from: OrderedMillis,
    until: OrderedMillis,
) -> Result<CertificateParams, VendorError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, common);
    params.distinguished_name.push(DnType::OrganizationName, NOTICE);
    params.not_before = date(from)?;
    params.not_after = date(until)?;
    params.serial_number = Some(SerialNumber::from(serial));
    params.custom_extensions = extensions;
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    } else {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    }
    Ok(params)
}

pub(super) fn date(at: OrderedMillis) -> Result<OffsetDateTime, VendorError> {
    let seconds = i64::try_from(at.0 / 1000).map_err(|_| VendorError::Date(at.0))?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| VendorError::Date(at.0))
}
