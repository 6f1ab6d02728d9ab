//! What verification needs besides the evidence: certificates, lists of revoked ones and the vendor's levels. It has
//! canonical bytes and a digest, because a decision names the collateral that it was taken with, and a replay must find
//! the same (ADR 0043).

use dcap_qvl::QuoteCollateralV3;
use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;

use crate::container;
use crate::evidence::Format;
use crate::fault::{Fault, FaultCode};

/// Collateral of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Collateral {
    /// Nothing: AWS documents carry their path, AMD evidence may carry its own.
    #[default]
    None,
    /// For Intel quotes.
    Intel(Box<IntelCollateral>),
    /// For AMD reports.
    Amd(AmdCollateral),
}

/// Certificates, levels and lists for an Intel quote, as Intel's and every cloud's caching service hand them out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntelCollateral {
    /// PEM path of the issuer of `pck_crl`.
    pub pck_crl_issuer_chain: String,
    /// DER list of the root.
    #[serde(with = "serde_bytes")]
    pub root_ca_crl: Vec<u8>,
    /// DER list of the issuer of platform keys.
    #[serde(with = "serde_bytes")]
    pub pck_crl: Vec<u8>,
    /// PEM path of who signed `tcb_info`.
    pub tcb_info_issuer_chain: String,
    /// JSON of the levels, exactly as signed.
    pub tcb_info: String,
    /// Signature over it.
    #[serde(with = "serde_bytes")]
    pub tcb_info_signature: Vec<u8>,
    /// PEM path of who signed `qe_identity`.
    pub qe_identity_issuer_chain: String,
    /// JSON of the quoting enclave's identity, exactly as signed.
    pub qe_identity: String,
    /// Signature over it.
    #[serde(with = "serde_bytes")]
    pub qe_identity_signature: Vec<u8>,
    /// PEM path of the platform key; absent when the quote carries it.
    pub pck_certificate_chain: Option<String>,
}

/// Certificates and lists for an AMD report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmdCollateral {
    /// DER certificates in any order: the chip's or loaded key, and issuers that are not built in.
    pub certificates: Vec<Vec<u8>>,
    /// DER lists of revoked certificates.
    pub revocations: Vec<Vec<u8>>,
}

impl Collateral {
    /// Reads files as services and machines hand them out, all of them for evidence of one format.
    ///
    /// **Errors**: `collateral-malformed`, `collateral-differs` or `too-large`.
    pub fn from_files(format: Format, files: &[&[u8]]) -> Result<Self, Fault> {
        container::collateral(format, files)
    }

    /// Reads canonical bytes.
    ///
    /// **Errors**: `too-large` or `collateral-malformed`.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, Fault> {
        within(bytes.len())?;
        bcs::from_bytes(bytes).map_err(Fault::collateral)
    }

    /// The canonical bytes.
    pub fn to_canonical(&self) -> Vec<u8> {
        canonical::to_bytes(self)
    }

    /// What a decision names this collateral by.
    pub fn digest(&self) -> Digest {
        Digest::of("symphony/vendor-collateral/v1", self)
    }

    /// Refuses more than the limit. **Errors**: `too-large`.
    pub(crate) fn within_limits(&self) -> Result<(), Fault> {
        within(match self {
            Self::None => 0,
            Self::Intel(intel) => intel.len(),
            Self::Amd(amd) => {
                if amd.certificates.len() + amd.revocations.len() > FILES_MAX {
                    return Err(Fault::new(FaultCode::TooLarge, "number of certificates and lists"));
                }
                amd.certificates.iter().chain(&amd.revocations).map(Vec::len).sum()
            }
        })
    }
}

impl IntelCollateral {
    /// Reads the JSON object that collateral services answer with, with bytes as hexadecimal digits.
    ///
    /// **Errors**: `too-large` or `collateral-malformed`.
    pub fn from_json(text: &[u8]) -> Result<Self, Fault> {
        // Bytes are twice as long in JSON, and lines end in two characters.
        if text.len() > 2 * BYTES_MAX {
            return Err(Fault::new(FaultCode::TooLarge, format!("{} bytes of collateral", text.len())));
        }
        let read: QuoteCollateralV3 = serde_json::from_slice(text).map_err(Fault::collateral)?;
        let collateral = Self {
            pck_crl_issuer_chain: read.pck_crl_issuer_chain,
            root_ca_crl: read.root_ca_crl,
            pck_crl: read.pck_crl,
            tcb_info_issuer_chain: read.tcb_info_issuer_chain,
            tcb_info: read.tcb_info,
            tcb_info_signature: read.tcb_info_signature,
            qe_identity_issuer_chain: read.qe_identity_issuer_chain,
            qe_identity: read.qe_identity,
            qe_identity_signature: read.qe_identity_signature,
            pck_certificate_chain: read.pck_certificate_chain,
        };
        within(collateral.len())?;
        Ok(collateral)
    }

    fn len(&self) -> usize {
        let texts = [
            &self.pck_crl_issuer_chain,
            &self.tcb_info_issuer_chain,
            &self.tcb_info,
            &self.qe_identity_issuer_chain,
            &self.qe_identity,
        ];
        let bytes = [&self.root_ca_crl, &self.pck_crl, &self.tcb_info_signature, &self.qe_identity_signature];
        texts.iter().map(|text| text.len()).sum::<usize>()
            + bytes.iter().map(|bytes| bytes.len()).sum::<usize>()
            + self.pck_certificate_chain.as_ref().map_or(0, String::len)
    }

    pub(crate) fn vendor_form(&self) -> QuoteCollateralV3 {
        QuoteCollateralV3 {
            pck_crl_issuer_chain: self.pck_crl_issuer_chain.clone(),
            root_ca_crl: self.root_ca_crl.clone(),
            pck_crl: self.pck_crl.clone(),
            tcb_info_issuer_chain: self.tcb_info_issuer_chain.clone(),
            tcb_info: self.tcb_info.clone(),
            tcb_info_signature: self.tcb_info_signature.clone(),
            qe_identity_issuer_chain: self.qe_identity_issuer_chain.clone(),
            qe_identity: self.qe_identity.clone(),
            qe_identity_signature: self.qe_identity_signature.clone(),
            pck_certificate_chain: self.pck_certificate_chain.clone(),
        }
    }
}

fn within(bytes: usize) -> Result<(), Fault> {
    if bytes > BYTES_MAX {
        return Err(Fault::new(FaultCode::TooLarge, format!("{bytes} bytes of collateral")));
    }
    Ok(())
}

/// Collateral is at most this long. Real collateral has 12 to 22 KiB for Intel and 1 to 8 KiB for AMD.
pub const BYTES_MAX: usize = 64 << 10;
/// At most this many certificates and lists.
pub const FILES_MAX: usize = 16;
