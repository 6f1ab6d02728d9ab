//! The closing statement of a move between Vaults, checked by somebody who trusts no node (R081): the council carried the move, and both
//! Vaults say the same of it under the keys that governance has for them.

use serde::{Deserialize, Serialize};
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::log::LogUpdate;
use symphony_protocol::machine::MoveClosing;
use symphony_protocol::vault::moving::Standing;
use symphony_types::catalogue::Code;
use symphony_types::id::VaultId;
use symphony_wire::documents::{decode, encode};
use thiserror::Error;

use crate::client::{Client, ClientError};
use crate::council::{LogError, checked};

/// A closing statement with the log that it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveProof {
    /// The governance log, with the council's decision.
    pub log: LogUpdate,
    /// What both Vaults say.
    pub closing: MoveClosing,
}

/// Why a statement proves nothing.
#[derive(Debug, Error)]
pub enum MoveError {
    /// The bytes are no statement.
    #[error("the statement cannot be read: {0}")]
    Malformed(String),
    /// The log does not verify.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The council carried no such move, the Vaults differ, or another key signed.
    #[error("{0}: {title}", title = .0.title())]
    Statement(Code),
}

/// What a proof proves under the governance that the network was founded with. **Errors**: [`MoveError`].
pub fn check(proof: &[u8], trusted: &Governance) -> Result<Standing, MoveError> {
    let proof: MoveProof = decode(proof).map_err(|error| MoveError::Malformed(error.to_string()))?;
    let followed = checked(trusted, &proof.log)?;
    proof.closing.check(followed.governance()).map_err(MoveError::Statement)?;
    Ok(proof.closing.source.body)
}

impl Client {
    /// The proof that everything of a Vault is at another; `None` while it is not. **Errors**: [`ClientError`].
    pub async fn move_proof(&self, from: &VaultId) -> Result<Option<Vec<u8>>, ClientError> {
        let view = self.governance().await?;
        let known = view.moves.iter().find(|known| known.from == from.as_str() && !known.closing.is_empty());
        let Some(known) = known else { return Ok(None) };
        let garbled = |what: String| ClientError::Garbled(what);
        let bytes = hex::decode(&known.closing).map_err(|error| garbled(error.to_string()))?;
        let closing = decode(&bytes).map_err(|error| garbled(error.to_string()))?;
        let log = self.governance_log().await?;
        Ok(Some(encode(&MoveProof { log, closing })))
    }
}
