//! Documents of the AWS Nitro security module: the path of certificates inside the document to AWS' root, the signature
//! around it, and the rules on its fields. Follows AWS' published description of the document and its validation.

pub mod document;

use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use rustls_pki_types::{CertificateDer, UnixTime};
use symphony_types::digest::Digest;
use symphony_types::time::OrderedMillis;
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert, aws_lc_rs as algorithms};

use crate::certificate::{self, signer};
use crate::claims::{Claims, Class, Hex, Platform, Register, Signer, Tcb, Traits, measurement, platform_id};
use crate::fault::{Fault, FaultCode};
use crate::nitro::document::Document;
use crate::roots::Roots;

/// Verifies a document as of `at`.
///
/// **Errors**: the first [`Fault`].
pub(crate) fn verify(body: &[u8], roots: &Roots, at: OrderedMillis) -> Result<Claims, Fault> {
    let document = Document::read(body)?;
    let mut claims = described(&document, roots)?;
    path(&document, roots, at)?;
    let leaf = certificate::parse(&document.certificate)?;
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &leaf.public_key().subject_public_key.data)
        .verify(&document.signed, &document.signature)
        .map_err(|_| {
            Fault::new(FaultCode::SignatureInvalid, "the security module did not sign the document")
        })?;
    // A module's clock may run ahead of ordered time, but not by much.
    if document.timestamp.0 > at.0.saturating_add(CLOCK_AHEAD_MS) {
        return Err(Fault::new(FaultCode::NotValidAt, "the document is from after the given time"));
    }
    claims.signers = signers(&document, roots)?;
    claims.root = Digest::of_bytes(&roots.nitro);
    claims.valid_from = claims.signers.iter().map(|one| one.not_before).max().unwrap_or(document.timestamp);
    claims.valid_until = claims.signers.iter().map(|one| one.not_after).min().unwrap_or(document.timestamp);
    // AWS publishes no lists: a module's certificate lives for hours.
    claims.revocation_checked = true;
    Ok(claims)
}

/// What the document itself says, without any check.
///
/// **Errors**: `evidence-malformed` or `evidence-unsupported`.
pub fn unverified(body: &[u8]) -> Result<Claims, Fault> {
    described(&Document::read(body)?, &Roots::pinned())
}

/// The path of a document, from the module's certificate to the root, as it stands there.
pub(crate) fn signers(document: &Document, roots: &Roots) -> Result<Vec<Signer>, Fault> {
    let mut signers = vec![signer(&certificate::parse(&document.certificate)?, &document.certificate)];
    for der in document.cabundle.iter().skip(1).rev() {
        signers.push(signer(&certificate::parse(der)?, der));
    }
    signers.push(signer(&certificate::parse(&roots.nitro)?, &roots.nitro));
    Ok(signers)
}

fn path(document: &Document, roots: &Roots, at: OrderedMillis) -> Result<(), Fault> {
    // The bundle begins with the root; only the pinned one is believed.
    if document.cabundle.first().map(Vec::as_slice) != Some(roots.nitro.as_ref()) {
        return Err(Fault::new(FaultCode::RootUnknown, "the document's path does not begin at AWS' root"));
    }
    for signer in signers(document, roots)? {
        certificate::holds_at(&signer, at)?;
    }
    let refused = |error: Error| {
        let code = match error {
            Error::CertExpired { .. } | Error::CertNotValidYet { .. } => FaultCode::NotValidAt,
            Error::UnknownIssuer => FaultCode::RootUnknown,
            _ => FaultCode::ChainInvalid,
        };
        Fault::new(code, format!("path of certificates: {error}"))
    };
    let root = CertificateDer::from(roots.nitro.as_ref());
    let anchor = anchor_from_trusted_cert(&root).map_err(refused)?;
    let leaf = CertificateDer::from(document.certificate.as_slice());
    let leaf = EndEntityCert::try_from(&leaf).map_err(refused)?;
    let between: Vec<CertificateDer<'_>> =
        document.cabundle.iter().skip(1).map(|der| CertificateDer::from(der.as_slice())).collect();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(at.0 / 1000));
    leaf.verify_for_usage(
        &[algorithms::ECDSA_P384_SHA384],
        &[anchor],
        &between,
        now,
        KeyUsage::client_auth(),
        None,
        None,
    )
    .map_err(refused)?;
    Ok(())
}

fn described(document: &Document, roots: &Roots) -> Result<Claims, Fault> {
    let class = Class::AwsNitro;
    let launch =
        document.pcrs.get(&0).cloned().ok_or_else(|| Fault::malformed("the document has no PCR0"))?;
    let debug = launch.iter().all(|byte| *byte == 0);
    let module = document.module_id.as_bytes().to_vec();
    let others = document.pcrs.iter().filter(|(index, _)| **index != 0);
    let optional = |bytes: &Option<Vec<u8>>| bytes.clone().map(Hex);
    Ok(Claims {
        class,
        development: roots.development,
        measurement: measurement(class, &launch),
        launch,
        registers: others.map(|(index, value)| Register::new(format!("PCR{index}"), value.clone())).collect(),
        report_data: document.user_data.clone().unwrap_or_default(),
        nonce: optional(&document.nonce),
        public_key: optional(&document.public_key),
        platform: Platform {
            id: platform_id(class, machine(&module)),
            raw: machine(&module).to_vec(),
            model: document.module_id.clone(),
        },
        tcb: Tcb::default(),
        traits: Traits { debug, ..Traits::default() },
        valid_from: document.timestamp,
        valid_until: document.timestamp,
        root: Digest::ZERO,
        signers: Vec::new(),
        revocation_checked: false,
    })
}

/// The machine of a module id such as `i-0123456789abcdef0-enc0123456789abcdef`: all before the enclave's own number.
fn machine(module: &[u8]) -> &[u8] {
    let cut = module.windows(ENCLAVE_MARK.len()).rposition(|window| window == ENCLAVE_MARK);
    cut.map_or(module, |at| &module[..at])
}

const ENCLAVE_MARK: &[u8] = b"-enc";
const CLOCK_AHEAD_MS: u64 = 300_000;
