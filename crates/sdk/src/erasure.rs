//! The proof that a receipt or a person is erased, checked by somebody who trusts no node (D12).
//!
//! A Vault signs what it did; whether the key is the Vault's is in the governance that the caller trusts. The proof says
//! that the Vault answers for the erasure, not that no copy of the content was made before it.

use serde::de::DeserializeOwned;
use symphony_protocol::governance::Governance;
use symphony_protocol::vault::document::{Erasure, PersonErasure};
use symphony_types::id::VaultId;
use symphony_types::key::{Document, Signed, Vault};
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
    signed(proof, governance, |erasure: &Erasure| &erasure.vault)
}

/// What a proof that a person is erased proves under a governance. **Errors**: why it does not.
pub fn check_person(proof: &[u8], governance: &Governance) -> Result<PersonErasure, ErasureError> {
    signed(proof, governance, |erasure: &PersonErasure| &erasure.vault)
}

fn signed<T: Document + DeserializeOwned>(
    proof: &[u8],
    governance: &Governance,
    vault: impl Fn(&T) -> &VaultId,
) -> Result<T, ErasureError> {
    let signed: Signed<T, Vault> =
        decode(proof).map_err(|error| ErasureError::Malformed(error.to_string()))?;
    let name = vault(&signed.body);
    let Some(known) = governance.registry.vaults.get(name) else {
        return Err(ErasureError::VaultUnknown(name.to_string()));
    };
    if signed.verify(&known.key) { Ok(signed.body) } else { Err(ErasureError::Signature) }
}
