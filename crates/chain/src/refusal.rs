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
    /// The sender has too little of the chain's own coin.
    #[error("the sender's account cannot pay for gas")]
    GasMissing,
    /// A rule that only the contracts have, by the reason in its abort code.
    #[error("the contracts refuse for reason {0}, which docs/src/contracts.md explains")]
    Contract(u16),
    /// The chain itself refuses.
    #[error("the chain refuses: {0}")]
    Chain(String),
}

impl Refusal {
    /// The refusal's code in the catalogue.
    pub const fn code(&self) -> Code {
        match self {
            Self::Abort(abort) => abort.code(),
            Self::GasMissing => Code::InsufficientFunds,
            Self::Contract(_) | Self::Chain(_) => Code::Malformed,
        }
    }

    /// The refusal for a reason in an abort code of the contracts: those below 100 are the places of the ledger's aborts.
    pub fn of_reason(reason: u16) -> Self {
        let abort = usize::from(reason).checked_sub(1).and_then(|place| Abort::ALL.get(place));
        abort.map_or(Self::Contract(reason), |abort| Self::Abort(*abort))
    }
}

impl From<Abort> for Refusal {
    fn from(abort: Abort) -> Self {
        Self::Abort(abort)
    }
}
