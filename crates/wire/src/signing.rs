//! Signatures over exact bytes, for protobuf messages that have no canonical form: the receiver checks what
//! arrived and never re-encodes (R202).

use symphony_types::digest::Digest;
use symphony_types::key::{Document, KeyClass, PrivateKey, PublicKey, Signature};

/// Bytes under a context, as a document: what is signed is `context || bytes`, both length-prefixed.
#[derive(serde::Serialize)]
struct ExactBytes<'a> {
    context: &'a str,
    bytes: Digest,
}

impl Document for ExactBytes<'_> {
    const TAG: &'static str = "symphony/exact-bytes/v1";
}

/// Signs bytes for one context.
pub fn sign_bytes<C: KeyClass>(key: &PrivateKey<C>, context: &str, bytes: &[u8]) -> [u8; 64] {
    key.sign(ExactBytes { context, bytes: Digest::of_bytes(bytes) }).signature.0
}

/// Whether `key` signed these bytes for this context.
pub fn verify_bytes<C: KeyClass>(key: &PublicKey<C>, context: &str, bytes: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = <[u8; 64]>::try_from(signature) else { return false };
    let document = ExactBytes { context, bytes: Digest::of_bytes(bytes) };
    key.verifies(&document.digest(), &Signature(signature))
}

/// Context of a user's operation that the gateway signs for a Vault.
pub const CONTEXT_OPERATION: &str = "symphony/operation/v1";
/// Context of a caller's identity that the gateway signs for a master.
pub const CONTEXT_CALLER: &str = "symphony/caller/v1";
/// Context of a Vault's health answer.
pub const CONTEXT_HEALTH: &str = "symphony/health/v1";

/// What a Vault signs of its health: the challenge and the answer without its signature.
pub fn health_bytes(challenge: &[u8], health: &crate::v1::VaultHealth) -> Vec<u8> {
    use prost::Message;
    let unsigned = crate::v1::VaultHealth { signature: Vec::new(), ..health.clone() };
    let mut bytes = challenge.to_vec();
    bytes.extend_from_slice(&unsigned.encode_to_vec());
    bytes
}
