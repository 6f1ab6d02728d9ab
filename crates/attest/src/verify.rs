//! The one way from evidence to claims. Everything that the answer depends on is an argument: no clock, no network, no
//! file, no randomness, so that two verifiers with different clocks decide alike (ADR 0043).

use symphony_types::time::OrderedMillis;

use crate::claims::Claims;
use crate::collateral::{AmdCollateral, Collateral};
use crate::evidence::{Evidence, Format};
use crate::fault::{Fault, FaultCode};
use crate::roots::Roots;
use crate::{amd, intel, nitro};

/// Verifies evidence to the vendors' own roots, as of `at` (R121, R123).
///
/// **Units**: `at` in milliseconds since 1970, of ordered time; certificates are compared by whole seconds.
///
/// **Errors**: the first [`Fault`].
pub fn verify(evidence: &Evidence, collateral: &Collateral, at: OrderedMillis) -> Result<Claims, Fault> {
    verify_under(&Roots::pinned(), evidence, collateral, at)
}

/// The same under stated roots; those of development mark the claims (R130).
///
/// **Errors**: the first [`Fault`].
pub fn verify_under(
    roots: &Roots,
    evidence: &Evidence,
    collateral: &Collateral,
    at: OrderedMillis,
) -> Result<Claims, Fault> {
    evidence.within_limits()?;
    collateral.within_limits()?;
    match (evidence.format, collateral) {
        (Format::IntelQuote, Collateral::Intel(collateral)) => {
            intel::verify(&evidence.body, collateral, roots, at)
        }
        (Format::AmdReport, Collateral::Amd(collateral)) => amd::verify(evidence, collateral, roots, at),
        (Format::AmdReport, Collateral::None) => amd::verify(evidence, &AmdCollateral::default(), roots, at),
        (Format::NitroDocument, Collateral::None) => nitro::verify(&evidence.body, roots, at),
        (Format::IntelQuote, Collateral::None) => {
            Err(Fault::new(FaultCode::CollateralMissing, "a quote needs the vendor's levels and lists"))
        }
        (Format::IntelQuote, Collateral::Amd(_))
        | (Format::AmdReport, Collateral::Intel(_))
        | (Format::NitroDocument, Collateral::Intel(_) | Collateral::Amd(_)) => {
            Err(Fault::new(FaultCode::CollateralDiffers, "the collateral is for another kind of evidence"))
        }
    }
}
