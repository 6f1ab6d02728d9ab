//! The secrets of an enclave and of the platform under it (R122).
//!
//! An enclave makes its secrets itself, from the operating system's randomness, at its first start. The host
//! keeps them only as a blob sealed to the platform and bound to the enclave's identity and measurement, so that
//! the same program restarted on the same platform continues under the same keys, and another program cannot.
//! In the software class the host supplies the platform seed and could therefore open the blob itself; that is
//! what makes the class `software`.

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _};
use rand::TryRng as _;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{Measurement, PlatformId};
use symphony_types::key::{PrivateKey, PublicKey, SoftwareEnclave, SoftwarePlatform};
use zeroize::{Zeroize as _, Zeroizing};

use crate::boot::Identity;
use crate::report::platform_id;

/// A secret could not be made or recovered.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The operating system gave no randomness.
    #[error("reading randomness: {0}")]
    Randomness(String),
    /// Sealing failed.
    #[error("sealing the enclave's keys: {0}")]
    Seal(hpke::HpkeError),
    /// The blob is damaged or belongs to another enclave, program or platform.
    #[error("the sealed keys are not this enclave's")]
    Unseal,
}

/// The root secret of a simulated machine. Wiped on drop.
pub struct PlatformSeed(Zeroizing<[u8; SECRET_LEN]>);

impl PlatformSeed {
    /// Takes 32 bytes for a seed.
    pub fn new(seed: [u8; SECRET_LEN]) -> Self {
        Self(Zeroizing::new(seed))
    }

    /// A new machine. **Errors**: no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self(random()?))
    }

    /// The secret itself, for the node that keeps it.
    pub fn expose(&self) -> &[u8; SECRET_LEN] {
        &self.0
    }

    /// The key that signs boot reports.
    pub fn quoting_key(&self) -> PrivateKey<SoftwarePlatform> {
        PrivateKey::from_seed(&self.derive("symphony/platform-quote/v1"))
    }

    /// The public half of [`Self::quoting_key`], as governance registers it.
    pub fn public(&self) -> PublicKey<SoftwarePlatform> {
        self.quoting_key().public()
    }

    /// The machine's name.
    pub fn platform(&self) -> PlatformId {
        platform_id(&self.public())
    }

    fn sealing_keys(&self) -> (Secret, Public) {
        X25519HkdfSha256::derive_keypair(self.derive("symphony/platform-seal/v1").as_slice())
    }

    fn derive(&self, tag: &str) -> Zeroizing<[u8; SECRET_LEN]> {
        Zeroizing::new(Digest::tagged(tag, self.0.as_slice()).0)
    }
}

impl Clone for PlatformSeed {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// What an enclave keeps to itself. Wiped on drop.
pub struct EnclaveKeys {
    hpke_secret: Zeroizing<[u8; SECRET_LEN]>,
    signing_seed: Zeroizing<[u8; SECRET_LEN]>,
    dedupe_secret: Zeroizing<[u8; SECRET_LEN]>,
}

impl EnclaveKeys {
    /// New keys. **Errors**: no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self { hpke_secret: random()?, signing_seed: random()?, dedupe_secret: random()? })
    }

    /// The X25519 secret that opens what was sealed to this enclave.
    pub fn hpke_secret(&self) -> &[u8; SECRET_LEN] {
        &self.hpke_secret
    }

    /// The X25519 key that material for this enclave is sealed to.
    pub fn hpke_public(&self) -> [u8; SECRET_LEN] {
        // The pair that RFC 9180 derives from the secret, as everyone who opens with it does.
        let (_, key) = X25519HkdfSha256::derive_keypair(self.hpke_secret.as_slice());
        let mut public = [0; SECRET_LEN];
        key.write_exact(&mut public);
        public
    }

    /// The key that signs attestation reports.
    pub fn signing_key(&self) -> PrivateKey<SoftwareEnclave> {
        PrivateKey::from_seed(&self.signing_seed)
    }

    /// The secret under which tokens of one person are recognized within a task (D18).
    pub fn dedupe_secret(&self) -> &[u8; SECRET_LEN] {
        &self.dedupe_secret
    }

    /// Seals the keys to the platform, for this enclave and program only. **Errors**: [`KeyError::Seal`].
    pub(crate) fn seal(
        &self,
        seed: &PlatformSeed,
        owner: &Identity,
        measurement: &Measurement,
    ) -> Result<Vec<u8>, KeyError> {
        let mut plain = Zeroizing::new(Vec::with_capacity(SECRET_LEN * 3));
        for secret in [&self.hpke_secret, &self.signing_seed, &self.dedupe_secret] {
            plain.extend_from_slice(secret.as_slice());
        }
        let (_, platform) = seed.sealing_keys();
        let bound_to = canonical::to_bytes(&(owner, measurement));
        let (capsule, sealed) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &platform,
            BLOB_INFO,
            &plain,
            &bound_to,
        )
        .map_err(KeyError::Seal)?;
        let mut blob = capsule.to_bytes().to_vec();
        blob.extend_from_slice(&sealed);
        Ok(blob)
    }

    /// Recovers sealed keys. **Errors**: [`KeyError::Unseal`] unless platform, enclave and program are the same.
    pub(crate) fn unseal(
        blob: &[u8],
        seed: &PlatformSeed,
        owner: &Identity,
        measurement: &Measurement,
    ) -> Result<Self, KeyError> {
        let (capsule, sealed) = blob.split_at_checked(SECRET_LEN).ok_or(KeyError::Unseal)?;
        let capsule = Capsule::from_bytes(capsule).map_err(|_| KeyError::Unseal)?;
        let (platform, _) = seed.sealing_keys();
        let bound_to = canonical::to_bytes(&(owner, measurement));
        let plain = hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &platform,
            &capsule,
            BLOB_INFO,
            sealed,
            &bound_to,
        )
        .map_err(|_| KeyError::Unseal)?;
        let plain = Zeroizing::new(plain);
        if plain.len() != SECRET_LEN * 3 {
            return Err(KeyError::Unseal);
        }
        let secret = |index: usize| {
            let mut bytes = Zeroizing::new([0; SECRET_LEN]);
            bytes.copy_from_slice(&plain[index * SECRET_LEN..(index + 1) * SECRET_LEN]);
            bytes
        };
        Ok(Self { hpke_secret: secret(0), signing_seed: secret(1), dedupe_secret: secret(2) })
    }
}

/// A challenge for a start. **Errors**: no randomness.
pub fn challenge() -> Result<[u8; SECRET_LEN], KeyError> {
    random().map(|bytes| *bytes)
}

type Secret = <X25519HkdfSha256 as hpke::Kem>::PrivateKey;
type Public = <X25519HkdfSha256 as hpke::Kem>::PublicKey;
type Capsule = <X25519HkdfSha256 as hpke::Kem>::EncappedKey;

fn random() -> Result<Zeroizing<[u8; SECRET_LEN]>, KeyError> {
    let mut bytes = Zeroizing::new([0; SECRET_LEN]);
    if let Err(error) = rand::rngs::SysRng.try_fill_bytes(bytes.as_mut_slice()) {
        bytes.zeroize();
        return Err(KeyError::Randomness(error.to_string()));
    }
    Ok(bytes)
}

const SECRET_LEN: usize = 32;
const BLOB_INFO: &[u8] = b"symphony/enclave-keys/v1";

#[cfg(test)]
mod tests {
    use symphony_types::id::{ActorId, NodeId};

    use super::*;
    use crate::report::EnclaveRole;

    fn owner() -> Identity {
        Identity {
            chain: "test".into(),
            node: NodeId::new("master-1").unwrap(),
            actor: ActorId::new("aggregator").unwrap(),
            role: EnclaveRole::Aggregator,
        }
    }

    fn program(byte: u8) -> Measurement {
        Measurement(Digest([byte; 32]))
    }

    /// R122
    #[test]
    fn sealed_keys_come_back_to_the_same_enclave() {
        let (seed, keys) = (PlatformSeed::generate().unwrap(), EnclaveKeys::generate().unwrap());
        let blob = keys.seal(&seed, &owner(), &program(1)).unwrap();
        let again = EnclaveKeys::unseal(&blob, &seed, &owner(), &program(1)).unwrap();
        assert_eq!(again.hpke_public(), keys.hpke_public());
        assert_eq!(again.signing_key().public(), keys.signing_key().public());
        assert_eq!(again.dedupe_secret(), keys.dedupe_secret());
        for secret in [keys.hpke_secret(), keys.dedupe_secret(), &*keys.signing_seed] {
            assert!(!blob.windows(SECRET_LEN).any(|window| window == secret));
        }
    }

    /// R121, R122
    #[test]
    fn sealed_keys_are_closed_to_every_other_platform_program_and_enclave() {
        let (seed, keys) = (PlatformSeed::generate().unwrap(), EnclaveKeys::generate().unwrap());
        let blob = keys.seal(&seed, &owner(), &program(1)).unwrap();
        let open = |blob: &[u8], seed: &PlatformSeed, owner: &Identity, byte| {
            EnclaveKeys::unseal(blob, seed, owner, &program(byte)).is_ok()
        };
        assert!(open(&blob, &seed, &owner(), 1));
        assert!(!open(&blob, &PlatformSeed::generate().unwrap(), &owner(), 1));
        assert!(!open(&blob, &seed, &owner(), 2));
        assert!(!open(&blob, &seed, &Identity { chain: "other".into(), ..owner() }, 1));
        assert!(!open(&blob, &seed, &Identity { node: NodeId::new("master-2").unwrap(), ..owner() }, 1));
        assert!(!open(&blob, &seed, &Identity { actor: ActorId::new("other").unwrap(), ..owner() }, 1));
        assert!(!open(&blob, &seed, &Identity { role: EnclaveRole::Slice, ..owner() }, 1));
        for index in 0..blob.len() {
            let mut damaged = blob.clone();
            damaged[index] ^= 1;
            assert!(!open(&damaged, &seed, &owner(), 1), "byte {index}");
        }
        for length in 0..blob.len() {
            assert!(!open(&blob[..length], &seed, &owner(), 1), "length {length}");
        }
    }

    #[test]
    fn two_generations_share_nothing() {
        let (one, two) = (EnclaveKeys::generate().unwrap(), EnclaveKeys::generate().unwrap());
        assert_ne!(one.hpke_public(), two.hpke_public());
        assert_ne!(one.signing_key().public(), two.signing_key().public());
        assert_ne!(one.dedupe_secret(), two.dedupe_secret());
    }
}
