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
    /// What would be executed is not an accepted proposal on the chain (R178, R180).
    #[error("no accepted proposal on the chain allows this")]
    ProposalMissing,
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
            Self::ProposalMissing => Code::Forbidden,
            Self::Contract(_) | Self::Chain(_) => Code::Malformed,
        }
    }

    /// The refusal for a reason in an abort code of the contracts: those below 100 are the places of the ledger's aborts.
    pub fn of_reason(reason: u16) -> Self {
        let abort = usize::from(reason).checked_sub(1).and_then(|place| Abort::ALL.get(place));
        match (abort, reason) {
            (Some(abort), _) => Self::Abort(*abort),
            (None, PROPOSAL_UNKNOWN | PROPOSAL_MISMATCH) => Self::ProposalMissing,
            (None, _) => Self::Contract(reason),
        }
    }
}

impl From<Abort> for Refusal {
    fn from(abort: Abort) -> Self {
        Self::Abort(abort)
    }
}

/// No accepted proposal of that name is on the chain.
const PROPOSAL_UNKNOWN: u16 = 101;
/// It allows something else.
const PROPOSAL_MISMATCH: u16 = 102;
