//! What vouches for a boot report: the signature of a machine without hardware, or a vendor's evidence. The two are kinds of
//! one type and never stand for each other (R123, R130).

use serde::{Deserialize, Serialize};
use symphony_attest::collateral::Collateral;
use symphony_attest::evidence::Evidence;
use symphony_types::digest::Digest;
use symphony_types::key::{PublicKey, Signature, SoftwarePlatform};

/// What vouches for a boot report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Voucher {
    /// A machine without trusted hardware.
    Software {
        /// The key that it claims to have signed with.
        key: PublicKey<SoftwarePlatform>,
        /// Over the boot report.
        signature: Signature,
    },
    /// A vendor of hardware.
    Vendor(Box<VendorWord>),
}

/// Evidence, and what it is verified with. It carries its collateral, so that everybody who ever judges it judges the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorWord {
    /// The evidence.
    pub evidence: Evidence,
    /// Certificates, lists and levels.
    pub collateral: Collateral,
}

/// The names of evidence and collateral in a boot report, and so in everything that names the boot report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorDigests {
    /// Of the evidence.
    pub evidence: Digest,
    /// Of the collateral.
    pub collateral: Digest,
}

impl VendorWord {
    /// Its names.
    pub fn digests(&self) -> VendorDigests {
        VendorDigests { evidence: self.evidence.digest(), collateral: self.collateral.digest() }
    }
}
