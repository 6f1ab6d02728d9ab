//! What an enclave binds to its evidence: the 64 bytes that tie a start on real hardware to this network, node, keys,
//! engine and challenge (R122, R123). Replaying evidence for another network, key or challenge gives other bytes.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha512};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::NodeId;

/// One start of an enclave, as it is bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The name of the network.
    pub chain: String,
    /// The node that started the enclave.
    pub node: NodeId,
    /// Material is sealed to this X25519 key.
    pub hpke_key: [u8; 32],
    /// The Ed25519 key that signs the enclave's reports.
    pub signing_key: [u8; 32],
    /// The rules of the enclave's engine and session.
    pub engine: Digest,
    /// The challenge that asked for this start.
    pub nonce: Digest,
}

impl Binding {
    /// What stands in the evidence: SHA-512 over a length-prefixed tag and the canonical bytes.
    pub fn report_data(&self) -> [u8; 64] {
        let mut hasher = Sha512::new();
        hasher.update((TAG.len() as u64).to_le_bytes());
        hasher.update(TAG.as_bytes());
        hasher.update(canonical::to_bytes(self));
        hasher.finalize().into()
    }
}

const TAG: &str = "symphony/boot-evidence/v1";
