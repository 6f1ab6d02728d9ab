//! Why evidence does not verify: one stable code and a sentence. Whether verified evidence suffices is decided by
//! [`appraise`](crate::appraise), with codes of its own.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $text:literal;)*) => {
        /// What is wrong with evidence or collateral. The text is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FaultCode {
            $($(#[$doc])* $code,)*
        }

        impl FaultCode {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            /// The stable text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$code => $text,)* }
            }
        }
    };
}

codes! {
    /// Longer than its limit.
    TooLarge = "too-large";
    /// The bytes are not what they claim to be.
    Malformed = "evidence-malformed";
    /// No known form of evidence.
    Unrecognised = "evidence-unrecognised";
    /// A version or algorithm that is not verified here.
    Unsupported = "evidence-unsupported";
    /// A certificate or list that verification needs was not given.
    CollateralMissing = "collateral-missing";
    /// The collateral is for other evidence.
    CollateralDiffers = "collateral-differs";
    /// The collateral's bytes are not what they claim to be.
    CollateralMalformed = "collateral-malformed";
    /// The path of certificates does not end at the vendor's root.
    RootUnknown = "root-unknown";
    /// One certificate of the path was not made by the next.
    ChainInvalid = "chain-invalid";
    /// A certificate, list or document does not hold at the given time.
    NotValidAt = "not-valid-at-time";
    /// A certificate of the path was revoked by its issuer.
    Revoked = "certificate-revoked";
    /// The evidence was changed after it was signed.
    SignatureInvalid = "signature-invalid";
    /// The machine was told not to sign.
    Unsigned = "evidence-unsigned";
    /// The signing key was certified for another firmware version or chip than the evidence names.
    EndorsementDiffers = "endorsement-differs";
    /// The vendor lists no level for this firmware: older than all that it knows.
    TcbUnknown = "tcb-level-unknown";
    /// The vendor revoked this firmware level: its keys are taken for known.
    TcbRevoked = "tcb-level-revoked";
    /// Attributes that the vendor forbids, such as a domain that may be migrated.
    AttributesForbidden = "attributes-forbidden";
}

/// Why evidence does not verify.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Fault {
    /// The kind, stable.
    pub code: FaultCode,
    /// The sentence, for people.
    pub detail: String,
}

impl Fault {
    pub(crate) fn new(code: FaultCode, detail: impl fmt::Display) -> Self {
        Self { code, detail: detail.to_string() }
    }

    pub(crate) fn malformed(detail: impl fmt::Display) -> Self {
        Self::new(FaultCode::Malformed, detail)
    }

    pub(crate) fn collateral(detail: impl fmt::Display) -> Self {
        Self::new(FaultCode::CollateralMalformed, detail)
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
