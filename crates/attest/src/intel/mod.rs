//! Intel quotes, of process enclaves and of virtual machines: the pinned crate verifies signatures, paths, lists and
//! levels; here its answer becomes claims, or a fault with a stable code.

mod blame;
pub(crate) mod quote;

pub(crate) use blame::begins;

use dcap_qvl::configs::RingConfig;
use dcap_qvl::quote::Quote;
use dcap_qvl::verify::QuoteVerifier;
use dcap_qvl::{PckCertFlag, QuoteClaims, QuotePolicy};
use symphony_types::digest::Digest;
use symphony_types::time::OrderedMillis;

use crate::certificate::{self, signer};
use crate::claims::{
    Claims, Hex, Platform, Register, Signer, Tcb, TcbStatus, Traits, measurement, platform_id,
};
use crate::collateral::IntelCollateral;
use crate::fault::{Fault, FaultCode};
use crate::roots::Roots;

/// Verifies a quote as of `at`.
///
/// **Errors**: the first [`Fault`].
pub(crate) fn verify(
    body: &[u8],
    collateral: &IntelCollateral,
    roots: &Roots,
    at: OrderedMillis,
) -> Result<Claims, Fault> {
    let quote = Quote::parse(body).map_err(|error| Fault::malformed(format!("quote: {error}")))?;
    // What the crate would refuse by policy of its own becomes a claim, so that every fault of a quote is told at once.
    let verifier = QuoteVerifier::new(roots.intel.to_vec())
        .with_config::<RingConfig>()
        .allow_debug(true)
        .allow_service_td(true);
    let now = at.0 / 1000;
    let verified = verifier
        .verify_with_policy(body, collateral.vendor_form(), now, &QuotePolicy::claims_only(now))
        .map_err(|error| blame::fault(&format!("{error:#}"), &quote, collateral, roots, at))?;
    let path = quote::path(&quote, collateral.pck_certificate_chain.as_deref())?;
    let mut claims = described(&quote, &verified.platform.pck.ppid, roots)?;
    claims.signers = signers(&path, roots, true)?;
    claims.root = Digest::of_bytes(&roots.intel);
    claims.valid_from = seconds(verified.latest_issue_date);
    claims.valid_until = seconds(verified.earliest_expiration_date);
    // The crate lets a list of revoked certificates be from after the given time.
    if at < claims.valid_from {
        return Err(Fault::new(FaultCode::NotValidAt, "the collateral is from after the given time"));
    }
    claims.revocation_checked = true;
    claims.platform.model = hex::encode_upper(verified.platform.pck.fmspc);
    let pck = &verified.platform.pck;
    claims.traits.smt = flag(pck.smt_enabled);
    claims.traits.dynamic_platform = flag(pck.dynamic_platform);
    claims.traits.cached_keys = flag(pck.cached_keys);
    claims.tcb = tcb(&verified, claims.tcb.versions);
    Ok(claims)
}

/// What can be checked of a quote without collateral: every signature from the program's report to Intel's root, and
/// the dates. Levels and revocation stay open, so this is for explanations and never for a decision.
///
/// **Errors**: the first [`Fault`].
pub fn signatures_alone(body: &[u8], roots: &Roots, at: OrderedMillis) -> Result<Claims, Fault> {
    let quote = Quote::parse(body).map_err(|error| Fault::malformed(format!("quote: {error}")))?;
    let path = quote::path(&quote, None)?;
    quote::signed(body, &quote, &path)?;
    let ppid = dcap_qvl::intel::parse_pck_extension(&path[0])
        .map_err(|error| Fault::collateral(format!("platform certificate: {error}")))?;
    let mut claims = described(&quote, &ppid.ppid, roots)?;
    claims.platform.model = hex::encode_upper(ppid.fmspc);
    claims.signers = signers(&path, roots, false)?;
    claims.root = Digest::of_bytes(&roots.intel);
    for signer in &claims.signers {
        certificate::holds_at(signer, at)?;
    }
    claims.valid_from = claims.signers.iter().map(|one| one.not_before).max().unwrap_or(OrderedMillis(0));
    claims.valid_until = claims.signers.iter().map(|one| one.not_after).min().unwrap_or(OrderedMillis(0));
    Ok(claims)
}

/// What the quote itself says, without any check.
///
/// **Errors**: `evidence-malformed`.
pub fn unverified(body: &[u8]) -> Result<Claims, Fault> {
    let quote = Quote::parse(body).map_err(|error| Fault::malformed(format!("quote: {error}")))?;
    described(&quote, &[], &Roots::pinned())
}

fn described(quote: &Quote, ppid: &[u8], roots: &Roots) -> Result<Claims, Fault> {
    let body = quote::body(&quote.report);
    Ok(Claims {
        class: body.class,
        development: roots.development,
        measurement: measurement(body.class, &body.launch),
        launch: body.launch,
        registers: body.registers,
        report_data: body.report_data,
        nonce: None,
        public_key: None::<Hex>,
        platform: Platform { id: platform_id(body.class, ppid), raw: ppid.to_vec(), model: String::new() },
        tcb: Tcb { versions: body.versions, ..Tcb::default() },
        traits: Traits { debug: body.debug, service_domain: body.service_domain, ..Traits::default() },
        valid_from: OrderedMillis(0),
        valid_until: OrderedMillis(0),
        root: Digest::ZERO,
        signers: Vec::new(),
        revocation_checked: false,
    })
}

fn tcb(verified: &QuoteClaims, mut versions: Vec<Register>) -> Tcb {
    let pck = &verified.platform.pck;
    versions.push(Register::new("PCESVN", pck.pce_svn.to_be_bytes()));
    versions.push(Register::new("CPUSVN", pck.cpu_svn));
    let mut advisories = verified.tcb.advisory_ids.clone();
    advisories.sort();
    advisories.dedup();
    Tcb {
        status: Some(status(verified.tcb.status)),
        advisories,
        eval_number: Some(verified.tcb.eval_data_number),
        versions,
    }
}

/// The path from the platform's key to the root. A quote may carry other certificates besides; they are not shown. Where
/// the crate `verified` a path and only one is possible, it is that one; otherwise every signature on it is checked.
///
/// **Errors**: `root-unknown` when no path is found, `chain-invalid`.
fn signers(path: &[Vec<u8>], roots: &Roots, verified: bool) -> Result<Vec<Signer>, Fault> {
    let root = certificate::parse(&roots.intel)?;
    let Some((leaf, above)) = path.split_first() else {
        return Err(Fault::malformed("the quote's path of certificates is empty"));
    };
    let key = certificate::parse(leaf)?;
    let mut signers = vec![signer(&key, leaf)];
    if key.issuer().as_raw() == root.subject().as_raw() {
        certificate::made_by(&key, &root)?;
    } else {
        let between: Vec<&Vec<u8>> = above.iter().filter(|der| **der != roots.intel.as_ref()).collect();
        let sure = verified && between.len() == 1;
        let mut found = None;
        for der in between {
            let issuer = certificate::parse(der)?;
            if issuer.subject().as_raw() == key.issuer().as_raw()
                && (sure || certificate::made_by(&key, &issuer).is_ok())
                && (sure || certificate::made_by(&issuer, &root).is_ok())
            {
                found = Some(signer(&issuer, der));
                break;
            }
        }
        let missing =
            || Fault::new(FaultCode::RootUnknown, "no path from the platform's key to Intel's root");
        signers.push(found.ok_or_else(missing)?);
    }
    signers.push(signer(&root, &roots.intel));
    Ok(signers)
}

const fn status(status: dcap_qvl::TcbStatus) -> TcbStatus {
    match status {
        dcap_qvl::TcbStatus::UpToDate => TcbStatus::UpToDate,
        dcap_qvl::TcbStatus::SWHardeningNeeded => TcbStatus::SwHardeningNeeded,
        dcap_qvl::TcbStatus::ConfigurationNeeded => TcbStatus::ConfigurationNeeded,
        dcap_qvl::TcbStatus::ConfigurationAndSWHardeningNeeded => {
            TcbStatus::ConfigurationAndSwHardeningNeeded
        }
        dcap_qvl::TcbStatus::OutOfDate => TcbStatus::OutOfDate,
        dcap_qvl::TcbStatus::OutOfDateConfigurationNeeded => TcbStatus::OutOfDateConfigurationNeeded,
        dcap_qvl::TcbStatus::TDRelaunchAdvised => TcbStatus::RelaunchAdvised,
        dcap_qvl::TcbStatus::TDRelaunchAdvisedConfigurationNeeded => {
            TcbStatus::RelaunchAdvisedConfigurationNeeded
        }
        dcap_qvl::TcbStatus::Revoked => TcbStatus::Revoked,
    }
}

const fn flag(flag: PckCertFlag) -> Option<bool> {
    match flag {
        PckCertFlag::True => Some(true),
        PckCertFlag::False => Some(false),
        PckCertFlag::Undefined => None,
    }
}

const fn seconds(seconds: u64) -> OrderedMillis {
    OrderedMillis(seconds.saturating_mul(1000))
}
