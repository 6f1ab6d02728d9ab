//! Sealed messages: HPKE (RFC 9180) base mode with X25519, HKDF-SHA256 and AES-256-GCM.
//!
//! A purpose is bound as HPKE `info` and the circumstances as associated data, so that a message opens only for
//! its holder, as what it was meant, where it was meant (R122, D19).
//!
//! **Shape**: one byte of suite (1), 32 bytes of encapsulated key, the ciphertext with its tag.

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use symphony_types::limits::SEALED_BYTES_MAX;
use thiserror::Error;
use zeroize::Zeroizing;

/// The only suite so far; another gets another number.
const SUITE_X25519: u8 = 1;
/// Bytes of an X25519 public key and of an encapsulated key.
const KEY_BYTES: usize = 32;

/// A message could not be sealed or opened.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SealError {
    /// The recipient's key is not an X25519 public key.
    #[error("the recipient key is not valid")]
    Key,
    /// Too long, too short or of an unknown suite.
    #[error("the sealed message is malformed")]
    Malformed,
    /// Sealed to another key, for another purpose, or changed on its way.
    #[error("the sealed message does not open")]
    Open,
}

type Private = <X25519HkdfSha256 as Kem>::PrivateKey;
type Public = <X25519HkdfSha256 as Kem>::PublicKey;
type Encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey;

/// A private key that opens sealed messages. Has no `Debug` and no `Serialize`.
#[derive(Clone)]
pub struct SealingKey {
    seed: Zeroizing<[u8; 32]>,
}

impl SealingKey {
    /// The key of a 32-byte secret seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { seed: Zeroizing::new(*seed) }
    }

    /// The public half. **Shape**: 32 bytes of X25519.
    pub fn public(&self) -> [u8; 32] {
        let mut bytes = [0; KEY_BYTES];
        bytes.copy_from_slice(&self.pair().1.to_bytes());
        bytes
    }

    /// Opens a message sealed to this key for this purpose under these circumstances.
    /// **Errors**: [`SealError::Malformed`], [`SealError::Open`].
    pub fn open(&self, purpose: &str, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        if sealed.len() > SEALED_BYTES_MAX || sealed.len() < 1 + KEY_BYTES || sealed[0] != SUITE_X25519 {
            return Err(SealError::Malformed);
        }
        let (encapsulated, ciphertext) = sealed[1..].split_at(KEY_BYTES);
        let encapsulated = Encapsulated::from_bytes(encapsulated).map_err(|_| SealError::Malformed)?;
        hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.pair().0,
            &encapsulated,
            purpose.as_bytes(),
            ciphertext,
            aad,
        )
        .map_err(|_| SealError::Open)
    }

    fn pair(&self) -> (Private, Public) {
        X25519HkdfSha256::derive_keypair(self.seed.as_slice())
    }
}

/// Seals `plaintext` to a recipient's X25519 public key. **Errors**: [`SealError::Key`], or
/// [`SealError::Malformed`] when the message would be too large.
pub fn seal(recipient: &[u8], purpose: &str, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    if plaintext.len() > SEALED_BYTES_MAX - 1024 {
        return Err(SealError::Malformed);
    }
    let recipient = Public::from_bytes(recipient).map_err(|_| SealError::Key)?;
    let (encapsulated, ciphertext) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &recipient,
        purpose.as_bytes(),
        plaintext,
        aad,
    )
    .map_err(|_| SealError::Key)?;
    let mut sealed = Vec::with_capacity(1 + KEY_BYTES + ciphertext.len());
    sealed.push(SUITE_X25519);
    sealed.extend_from_slice(&encapsulated.to_bytes());
    sealed.extend_from_slice(&ciphertext);
    Ok(sealed)
}
