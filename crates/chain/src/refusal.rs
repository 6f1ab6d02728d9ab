//! Why a chain refuses a transaction: a rule that the reference ledger has too, or what only a real chain refuses for.

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;

use crate::ledger::Abort;

/// A refused transaction; nothing of it happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// A rule of the contracts.
    #[error("{0}")]
    Abort(Abort),
    /// Whoever pays the gas has too little of the chain's own coin.
    #[error("the account that pays for gas has too little of it")]
    GasMissing,
    /// A rule that only the contracts have, by the reason in its abort code.
    #[error("the contracts refuse for reason {0}, which docs/src/contracts.md explains")]
    Contract(u16),
    /// The sponsor of fees does not pay for this call.
    #[error("the fee is not sponsored: {0}")]
    Unsponsored(Unsponsored),
    /// The chain itself refuses.
    #[error("the chain refuses: {0}")]
    Chain(String),
}

/// Why a sponsor does not pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Unsponsored {
    /// The chain node has no sponsor.
    #[error("this network has no sponsor")]
    Nobody,
    /// Payments and the protocol's own calls are not sponsored.
    #[error("calls of this kind are not sponsored")]
    Call,
    /// More than twice of what the chain asks.
    #[error("the price of gas is too high")]
    Price,
    /// It expires later than a wallet needs.
    #[error("the transaction lives too long")]
    Expiry,
    /// The account or all accounts together had as many as are paid for a day.
    #[error("enough was sponsored today")]
    Limit,
}

impl Unsponsored {
    const fn code(self) -> Code {
        match self {
            Self::Nobody | Self::Call => Code::Forbidden,
            Self::Price | Self::Expiry => Code::Malformed,
            Self::Limit => Code::RateLimited,
        }
    }
}

impl Refusal {
    /// The refusal's code in the catalogue.
    pub const fn code(&self) -> Code {
        match self {
            Self::Abort(abort) => abort.code(),
            Self::GasMissing => Code::InsufficientFunds,
            Self::Unsponsored(reason) => reason.code(),
            Self::Contract(_) | Self::Chain(_) => Code::Malformed,
        }
    }

    /// The refusal for a reason in an abort code of the contracts: those below 100 are the places of the ledger's aborts.
    pub fn of_reason(reason: u16) -> Self {
        let abort = usize::from(reason).checked_sub(1).and_then(|place| Abort::ALL.get(place));
        abort.map_or(Self::Contract(reason), |abort| Self::Abort(*abort))
    }
}

impl From<Unsponsored> for Refusal {
    fn from(reason: Unsponsored) -> Self {
        Self::Unsponsored(reason)
    }
}

impl From<Abort> for Refusal {
    fn from(abort: Abort) -> Self {
        Self::Abort(abort)
    }
}
