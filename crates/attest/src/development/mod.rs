//! A vendor of our own making, for tests and development: roots, paths, lists and evidence in the real formats, so that
//! the whole way from evidence to judgement runs without hardware.
//!
//! It proves nothing about any machine. Its certificates say so, [`Roots::development`] marks whatever verifies under
//! it, and a production policy refuses the mark (R130).

mod amd;
mod authority;
mod intel;
mod nitro;

use symphony_types::time::OrderedMillis;

pub use amd::ReportSpec;
pub use authority::VendorError;
pub use intel::QuoteSpec;
pub use nitro::DocumentSpec;

use crate::roots::{AmdRoot, Roots};

/// Roots and issuers of all three formats, with keys made on the spot.
pub struct DevelopmentVendor {
    intel: intel::Issuers,
    amd: amd::Issuers,
    nitro: nitro::Issuers,
    from: OrderedMillis,
    until: OrderedMillis,
}

impl DevelopmentVendor {
    /// A vendor whose certificates hold from `from` to `until`.
    ///
    /// **Errors**: [`VendorError`] when a certificate cannot be made, such as for dates that are none.
    pub fn new(from: OrderedMillis, until: OrderedMillis) -> Result<Self, VendorError> {
        Ok(Self {
            intel: intel::Issuers::new(from, until)?,
            amd: amd::Issuers::new(from, until)?,
            nitro: nitro::Issuers::new(from, until)?,
            from,
            until,
        })
    }

    /// The roots to verify under. Their claims are marked.
    pub fn roots(&self) -> Roots {
        let amd = AmdRoot {
            generation: amd::GENERATION.into(),
            root: self.amd.root.der().into(),
            issuer: self.amd.issuer.der().into(),
        };
        Roots::development(self.intel.root.der(), vec![amd], self.nitro.root.der())
    }
}

/// Stands in the subject of every certificate.
pub const NOTICE: &str = "Symphony development: no hardware";
