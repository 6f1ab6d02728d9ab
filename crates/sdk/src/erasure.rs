//! The proof that a receipt is erased, checked by somebody who trusts no node (D12).
//!
//! A Vault signs what it did; whether the key is the Vault's is in the governance that the caller trusts. The proof says
//! that the Vault answers for the erasure, not that no copy of the content was made before it.

use symphony_protocol::governance::Governance;
use symphony_protocol::vault::document::{Erasure, SignedErasure};
use symphony_wire::documents::decode;
use thiserror::Error;

/// Why a proof of erasure proves nothing.
#[derive(Debug, Error)]
pub enum ErasureError {
    /// The bytes are no proof.
    #[error("the proof cannot be read: {0}")]
    Malformed(String),
    /// The bytes are no governance, or one that contradicts itself.
    #[error("the governance cannot be used: {0}")]
    Governance(String),
    /// Governance does not know the Vault.
    #[error("governance knows no vault {0}")]
    VaultUnknown(String),
    /// The signature is not by the Vault's key.
    #[error("the vault did not sign this erasure")]
    Signature,
}

/// Reads a governance file. **Errors**: [`ErasureError::Governance`].
pub fn governance(bytes: &[u8]) -> Result<Governance, ErasureError> {
    let governance: Governance =
        decode(bytes).map_err(|error| ErasureError::Governance(error.to_string()))?;
    governance.check().map_err(|fault| ErasureError::Governance(fault.to_owned()))?;
    Ok(governance)
}

/// What a proof proves under a governance. **Errors**: why it does not.
pub fn check(proof: &[u8], governance: &Governance) -> Result<Erasure, ErasureError> {
    let signed: SignedErasure = decode(proof).map_err(|error| ErasureError::Malformed(error.to_string()))?;
    let Some(vault) = governance.registry.vaults.get(&signed.body.vault) else {
        return Err(ErasureError::VaultUnknown(signed.body.vault.to_string()));
    };
    if signed.verify(&vault.key) { Ok(signed.body) } else { Err(ErasureError::Signature) }
}
