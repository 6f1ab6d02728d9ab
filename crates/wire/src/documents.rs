//! Canonical documents as bytes: encoded by the core's own encoder, decoded by the `bcs` crate, bounded (D15).

use serde::Serialize;
use serde::de::DeserializeOwned;
use symphony_types::canonical;
use symphony_types::limits::SEALED_BYTES_MAX;
use thiserror::Error;

/// Bytes that are not a canonical document of the expected type.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// More bytes than any message may have.
    #[error("a document of {0} bytes is too large")]
    TooLarge(usize),
    /// Not the canonical form of the type.
    #[error("not a canonical document: {0}")]
    Malformed(#[from] bcs::Error),
}

/// The canonical bytes of a document.
pub fn encode<T: Serialize>(document: &T) -> Vec<u8> {
    canonical::to_bytes(document)
}

/// Reads one document that fills `bytes` exactly. **Errors**: [`DecodeError`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > SEALED_BYTES_MAX {
        return Err(DecodeError::TooLarge(bytes.len()));
    }
    Ok(bcs::from_bytes(bytes)?)
}
