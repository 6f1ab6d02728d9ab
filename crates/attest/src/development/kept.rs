//! A development vendor in a file, so that all machines of a development network share one. Its keys are worth nothing: what
//! they sign is marked.

use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::time::OrderedMillis;

use crate::development::authority::{Authority, Curve, Kept, Made, VendorError};
use crate::development::{DevelopmentVendor, amd, intel, nitro};

#[derive(Serialize, Deserialize)]
struct File {
    from: OrderedMillis,
    until: OrderedMillis,
    authorities: Vec<Kept>,
}

impl DevelopmentVendor {
    /// The vendor with all its keys, for a file.
    pub fn to_file(&self) -> Vec<u8> {
        let Self { intel, amd, nitro, from, until } = self;
        let authorities =
            [&intel.root, &intel.platform, &intel.levels, &amd.root, &amd.issuer, &nitro.root, &nitro.middle];
        let authorities = authorities.map(Authority::kept).to_vec();
        canonical::to_bytes(&File { from: *from, until: *until, authorities })
    }

    /// The vendor of a file.
    ///
    /// **Errors**: [`VendorError::File`], or a certificate that cannot be made.
    pub fn from_file(bytes: &[u8]) -> Result<Self, VendorError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(VendorError::File);
        }
        let File { from, until, authorities } = bcs::from_bytes(bytes).map_err(|_| VendorError::File)?;
        let authorities: [Kept; 7] = authorities.try_into().map_err(|_| VendorError::File)?;
        let [intel_root, platform, levels, amd_root, issuer, nitro_root, middle] = authorities;
        let again = |kept, common, authority, serial, curve| {
            Authority::restored(kept, &Made { common, authority, serial, curve, from, until })
        };
        Ok(Self {
            intel: intel::Issuers {
                root: again(intel_root, intel::ROOT, true, 1, Curve::P256)?,
                platform: again(platform, intel::PLATFORM, true, 2, Curve::P256)?,
                levels: again(levels, intel::LEVELS, false, 3, Curve::P256)?,
            },
            amd: amd::Issuers {
                root: again(amd_root, amd::ROOT, true, 1, Curve::P384)?,
                issuer: again(issuer, amd::ISSUER, true, 2, Curve::P384)?,
            },
            nitro: nitro::Issuers {
                root: again(nitro_root, nitro::ROOT, true, 1, Curve::P384)?,
                middle: again(middle, nitro::MIDDLE, true, 2, Curve::P384)?,
            },
            from,
            until,
        })
    }
}

const FILE_BYTES_MAX: usize = 64 << 10;
