//! Evidence as a verifier receives it: which vendor's format, the bytes that were signed, and certificates that came
//! along. Decided here: what is recognised, and how long anything may be.

use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;

use crate::amd;
use crate::fault::{Fault, FaultCode};

/// Whose format evidence has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Format {
    /// A quote of an Intel quoting enclave, for a process or a virtual machine.
    IntelQuote,
    /// An attestation report of an AMD secure processor.
    AmdReport,
    /// A signed document of the AWS Nitro security module.
    NitroDocument,
}

/// Evidence of one start of an enclave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Whose format.
    pub format: Format,
    /// The vendor's bytes, nothing around them.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// Certificates that the machine handed out with them, as DER. They are collateral: nothing is believed of them
    /// before they are verified.
    pub certificates: Vec<Vec<u8>>,
}

impl Evidence {
    /// Recognises the vendor's bytes, alone or with AMD's table of certificates behind them.
    ///
    /// **Errors**: `too-large`, `evidence-unrecognised`, or `evidence-malformed` for a table that cannot be read.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > BYTES_MAX + TABLE_BYTES_MAX {
            return Err(Fault::new(FaultCode::TooLarge, format!("{} bytes of evidence", bytes.len())));
        }
        let format = recognise(bytes)
            .ok_or_else(|| Fault::new(FaultCode::Unrecognised, "neither a quote, a report nor a document"))?;
        let (body, table) = match format {
            Format::AmdReport => bytes.split_at(amd::report::BYTES),
            Format::IntelQuote | Format::NitroDocument => (bytes, &[][..]),
        };
        Self::with_table(format, body, table)
    }

    /// Evidence with AMD's table of certificates apart from it, as the kernel hands them out.
    ///
    /// **Errors**: `too-large`, or `evidence-malformed` for a table that cannot be read.
    pub fn with_table(format: Format, body: &[u8], table: &[u8]) -> Result<Self, Fault> {
        if body.len() > BYTES_MAX || table.len() > TABLE_BYTES_MAX {
            let bytes = body.len().max(table.len());
            return Err(Fault::new(FaultCode::TooLarge, format!("{bytes} bytes of evidence")));
        }
        let certificates = match format {
            Format::AmdReport => amd::table::certificates(table)?,
            Format::IntelQuote | Format::NitroDocument => Vec::new(),
        };
        Ok(Self { format, body: body.to_vec(), certificates })
    }

    /// Reads the canonical bytes of evidence, as they travel with a boot report.
    ///
    /// **Errors**: `too-large` or `evidence-malformed`.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > BYTES_MAX + TABLE_BYTES_MAX {
            return Err(Fault::new(FaultCode::TooLarge, format!("{} bytes of evidence", bytes.len())));
        }
        let evidence: Self = bcs::from_bytes(bytes).map_err(Fault::malformed)?;
        evidence.within_limits()?;
        Ok(evidence)
    }

    /// The canonical bytes.
    pub fn to_canonical(&self) -> Vec<u8> {
        canonical::to_bytes(self)
    }

    /// What a decision names this evidence by.
    pub fn digest(&self) -> Digest {
        Digest::of("symphony/vendor-evidence/v1", self)
    }

    pub(crate) fn within_limits(&self) -> Result<(), Fault> {
        let certificates: usize = self.certificates.iter().map(Vec::len).sum();
        if self.body.len() > BYTES_MAX
            || self.certificates.len() > CERTIFICATES_MAX
            || certificates > TABLE_BYTES_MAX
        {
            return Err(Fault::new(FaultCode::TooLarge, "evidence or its certificates"));
        }
        Ok(())
    }
}

/// Whose format the bytes begin like.
pub fn recognise(bytes: &[u8]) -> Option<Format> {
    let begins = |at: usize, what: &[u8]| bytes.get(at..at + what.len()) == Some(what);
    let version = u16::from_le_bytes([*bytes.first()?, *bytes.get(1)?]);
    if (3..=5).contains(&version) && begins(QUOTE_VENDOR_AT, &INTEL_QUOTING_VENDOR) {
        return Some(Format::IntelQuote);
    }
    if begins(0, &COSE_SIGN1) || begins(0, &COSE_SIGN1_TAGGED) {
        return Some(Format::NitroDocument);
    }
    let report = bytes.len() >= amd::report::BYTES
        && (2..=16).contains(&version)
        && begins(2, &[0, 0])
        && begins(amd::report::SIGNATURE_ALGORITHM_AT, &[1, 0, 0, 0]);
    report.then_some(Format::AmdReport)
}

/// A quote, report or document is at most this long.
pub const BYTES_MAX: usize = 16 << 10;
/// AMD's table of certificates is at most this long.
pub const TABLE_BYTES_MAX: usize = 32 << 10;
/// At most this many certificates come with evidence.
pub const CERTIFICATES_MAX: usize = 16;

const QUOTE_VENDOR_AT: usize = 12;
const INTEL_QUOTING_VENDOR: [u8; 16] = dcap_qvl::INTEL_QE_VENDOR_ID;
/// A CBOR array of four whose first member is a byte string of four: the protected header that names ES384.
const COSE_SIGN1: [u8; 6] = [0x84, 0x44, 0xa1, 0x01, 0x38, 0x22];
const COSE_SIGN1_TAGGED: [u8; 7] = [0xd2, 0x84, 0x44, 0xa1, 0x01, 0x38, 0x22];
