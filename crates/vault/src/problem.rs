//! Why a Vault does not do what it was asked: a catalogued refusal, or a fault of its own that only the log tells.

use std::error::Error;

use symphony_consensus::orderer::OrderError;
use symphony_types::catalogue::Code;
use symphony_wire::status;
use thiserror::Error as ThisError;
use tonic::Status;

/// Why something was not done.
#[derive(Debug, ThisError)]
pub enum Problem {
    /// The answer is no.
    #[error("{code}: {detail}")]
    Refused {
        /// Why, by code.
        code: Code,
        /// Why, in words without any private value.
        detail: String,
    },
    /// The node failed; the details stay in its log.
    #[error("{0}")]
    Fault(&'static str, #[source] Box<dyn Error + Send + Sync>),
}

impl Problem {
    /// A refusal in the catalogue's own words.
    pub fn of(code: Code) -> Self {
        Self::Refused { code, detail: code.title().to_owned() }
    }

    /// A refusal in words of its own.
    pub fn refused(code: Code, detail: impl Into<String>) -> Self {
        Self::Refused { code, detail: detail.into() }
    }

    /// A fault while `doing` something.
    pub fn fault(doing: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Fault(doing, cause.into())
    }

    /// The code that leaves the node.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { code, .. } => *code,
            Self::Fault(..) => Code::Internal,
        }
    }

    /// The words that leave the node.
    pub fn detail(&self) -> &str {
        match self {
            Self::Refused { detail, .. } => detail,
            Self::Fault(..) => Code::Internal.title(),
        }
    }

    /// The refusal of a gRPC call. A fault is logged here.
    pub fn into_status(self) -> Status {
        if let Self::Fault(doing, cause) = &self {
            tracing::error!(error = cause.as_ref() as &dyn Error, "{doing}");
        }
        status::refusal(self.code(), self.detail())
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::of(code)
    }
}

impl From<OrderError<Code>> for Problem {
    fn from(error: OrderError<Code>) -> Self {
        match error {
            OrderError::Refused(code) => Self::of(code),
            OrderError::Stopped => Self::of(Code::VaultUnavailable),
            OrderError::TooLarge => Self::of(Code::BodyTooLarge),
        }
    }
}

impl From<redb::Error> for Problem {
    fn from(error: redb::Error) -> Self {
        Self::fault("vault storage failed", error)
    }
}
