//! A vendor of our own making, for tests and development: roots, paths, lists and evidence in the real formats, so that
//! the whole way from evidence to judgement runs without hardware.
//!
//! It proves nothing about any machine. Its certificates say so, [`Roots::development`] marks whatever verifies under
//! it, and a production policy refuses the mark (R130).

mod amd;
mod authority;
mod intel;
mod kept;
mod nitro;
mod start;

use symphony_types::time::OrderedMillis;

pub use amd::ReportSpec;
pub use authority::VendorError;
pub use intel::{DomainSpec, QuoteSpec};
pub use nitro::DocumentSpec;
pub use start::{OLD_VERSIONS, STATUSES, StartSpec, VERSIONS};

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
        let Certificates { intel, generation, amd_root, amd_issuer, aws } = self.certificates();
        let (generation, root, issuer) = (generation.into(), amd_root.into(), amd_issuer.into());
        Roots::development(intel, vec![AmdRoot { generation, root, issuer }], aws)
    }

    /// The same as DER, for a policy that names them.
    pub fn certificates(&self) -> Certificates {
        Certificates {
            intel: self.intel.root.der(),
            generation: amd::GENERATION.to_owned(),
            amd_root: self.amd.root.der(),
            amd_issuer: self.amd.issuer.der(),
            aws: self.nitro.root.der(),
        }
    }
}

/// The certificates that a development vendor is believed by. **Shape**: DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// The root of quotes.
    pub intel: Vec<u8>,
    /// The generation that reports are of.
    pub generation: String,
    /// Their root.
    pub amd_root: Vec<u8>,
    /// The issuer of their keys.
    pub amd_issuer: Vec<u8>,
    /// The root of documents.
    pub aws: Vec<u8>,
}

/// Stands in the subject of every certificate.
pub const NOTICE: &str = "Symphony development: no hardware";
