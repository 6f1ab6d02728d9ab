//! AMD reports: the path of the chip's key to AMD's root, the signature over the report, and that the key was certified
//! for just this chip and firmware. What policy may tolerate (debug, levels, masked chips) becomes a claim.

pub mod path;
pub mod report;
pub mod table;

use symphony_types::digest::Digest;
use symphony_types::time::OrderedMillis;

use crate::amd::path::Path;
use crate::amd::report::{Report, SigningKey};
use crate::claims::{Claims, Class, Platform, Register, Tcb, Traits, measurement, platform_id};
use crate::collateral::AmdCollateral;
use crate::evidence::Evidence;
use crate::fault::{Fault, FaultCode};
use crate::roots::Roots;

/// Verifies a report as of `at`. The certificates of `evidence` and of `collateral` count alike.
///
/// **Errors**: the first [`Fault`].
pub(crate) fn verify(
    evidence: &Evidence,
    collateral: &AmdCollateral,
    roots: &Roots,
    at: OrderedMillis,
) -> Result<Claims, Fault> {
    let report = Report::read(&evidence.body)?;
    if report.signing_key == SigningKey::None {
        return Err(Fault::new(FaultCode::Unsigned, "the machine signs no reports"));
    }
    let given: Vec<&[u8]> =
        collateral.certificates.iter().chain(&evidence.certificates).map(Vec::as_slice).collect();
    let path = Path::find(&given, &report, roots)?;
    path.verify(&collateral.revocations, at)?;
    path.endorses(&report)?;
    report.signed_by(path.key())?;
    Ok(claims(&report, &path, roots, !collateral.revocations.is_empty()))
}

/// What the report itself says, without any check.
///
/// **Errors**: `evidence-malformed` or `evidence-unsupported`.
pub fn unverified(body: &[u8]) -> Result<Claims, Fault> {
    Ok(described(&Report::read(body)?))
}

fn claims(report: &Report, path: &Path<'_>, roots: &Roots, revocation_checked: bool) -> Claims {
    let signers = path.signers();
    let mut claims = described(report);
    claims.development = roots.development;
    claims.platform.model = path.generation().to_owned();
    claims.valid_from = signers.iter().map(|signer| signer.not_before).max().unwrap_or(OrderedMillis(0));
    claims.valid_until = signers.iter().map(|signer| signer.not_after).min().unwrap_or(OrderedMillis(0));
    claims.root = signers.last().map_or(Digest::ZERO, |root| root.fingerprint);
    claims.signers = signers;
    claims.revocation_checked = revocation_checked;
    claims
}

fn described(report: &Report) -> Claims {
    let class = Class::AmdSevSnp;
    let raw = report.chip_id.to_vec();
    let model = report.generation.unwrap_or_default().to_owned();
    let versions = report.tcbs().map(|(name, tcb)| Register::new(name, tcb.components().to_vec())).to_vec();
    Claims {
        class,
        development: false,
        measurement: measurement(class, &report.measurement),
        launch: report.measurement.to_vec(),
        registers: report.registers(),
        report_data: report.report_data.to_vec(),
        nonce: None,
        public_key: None,
        platform: Platform { id: platform_id(class, &raw), raw, model },
        tcb: Tcb { versions, ..Tcb::default() },
        traits: Traits {
            debug: report.debug,
            migratable: report.migratable(),
            vmpl: Some(report.vmpl),
            smt: Some(report.smt),
            ..Traits::default()
        },
        valid_from: OrderedMillis(0),
        valid_until: OrderedMillis(0),
        root: Digest::ZERO,
        signers: Vec::new(),
        revocation_checked: false,
    }
}
