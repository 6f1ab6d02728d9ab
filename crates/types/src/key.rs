//! Signing keys by class. The class is a type, so that a payout key cannot sign a verdict (R205); the class and
//! the document's tag are in the signed bytes, so that a signature serves one purpose only.
//!
//! ```compile_fail,E0308
//! use symphony_types::key::{Payout, PrivateKey, PublicKey, Verifier};
//! let verifier: PublicKey<Verifier> = PrivateKey::<Payout>::from_seed(&[7; 32]).public();
//! ```
//!
//! What no single key is believed for carries the endorsements of several, [`Endorsed`] (R195). Keys of another class
//! do not count, whatever they signed:
//!
//! ```compile_fail,E0308
//! use symphony_types::key::{Document, Endorsed, Master, PrivateKey, Vault};
//! # #[derive(serde::Serialize)]
//! # struct Order(u64);
//! # impl Document for Order { const TAG: &'static str = "example/order/v1"; }
//! let order: Endorsed<Order, Master> = PrivateKey::from_seed(&[7; 32]).endorsed(Order(1));
//! order.verify([PrivateKey::<Vault>::from_seed(&[7; 32]).public()].iter(), 1);
//! ```

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha3::{Digest as _, Sha3_256};

use crate::digest::Digest;
use crate::id::{AccountId, PlatformId};
use crate::limits::ENDORSEMENTS_MAX;

/// What a key may be used for.
pub trait KeyClass: Clone + Copy + fmt::Debug + PartialEq + Eq + PartialOrd + Ord {
    /// The word that stands in every message signed by this class.
    const NAME: &'static str;
}

macro_rules! classes {
    ($($(#[$doc:meta])* $class:ident = $name:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $class {}

        impl KeyClass for $class {
            const NAME: &'static str = $name;
        }
    )*};
}

classes! {
    /// Signs ordered journal entries.
    Consensus = "consensus";
    /// Signs envelopes and instructions of a master to other nodes.
    Master = "master";
    /// Signs a Vault's receipts and statements.
    Vault = "vault";
    /// Signs reports of slice enclaves and aggregators. Software enclaves have a class of their own.
    SoftwareEnclave = "software-enclave";
    /// The quoting key of a machine that only simulates an enclave platform.
    SoftwarePlatform = "software-platform";
    /// Signs verdicts.
    Verifier = "verifier";
    /// Signs payout batches.
    Payout = "payout";
    /// Signs treasury releases.
    Treasury = "treasury";
    /// Signs what the gateway asks for in a caller's name.
    Gateway = "gateway";
    /// Signs transactions of a chain account.
    Wallet = "wallet";
    /// Signs what a member of the council proposes and how it votes.
    Governance = "governance";
}

/// A document that can be signed.
pub trait Document: Serialize {
    /// The word that names the document's type in the signed bytes, with its version.
    const TAG: &'static str;

    /// The tagged digest of the document's canonical bytes.
    fn digest(&self) -> Digest {
        Digest::of(Self::TAG, self)
    }
}

/// A private key. Has no `Debug` and no `Serialize`; wiped on drop.
pub struct PrivateKey<C: KeyClass> {
    key: SigningKey,
    class: PhantomData<C>,
}

impl<C: KeyClass> PrivateKey<C> {
    /// The key of a 32-byte secret seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(seed), class: PhantomData }
    }

    /// The public half.
    pub fn public(&self) -> PublicKey<C> {
        PublicKey { bytes: self.key.verifying_key().to_bytes(), class: PhantomData }
    }

    /// Signs a document.
    pub fn sign<T: Document>(&self, body: T) -> Signed<T, C> {
        let signature = self.signature(&body.digest());
        Signed { body, key: self.public(), signature }
    }

    /// This key's word for the document with that digest.
    pub fn endorse(&self, document: &Digest) -> Endorsement<C> {
        Endorsement { key: self.public(), signature: self.signature(document) }
    }

    /// A document that this key alone endorses.
    pub fn endorsed<T: Document>(&self, body: T) -> Endorsed<T, C> {
        let endorsements = vec![self.endorse(&body.digest())];
        Endorsed { body, endorsements }
    }

    fn signature(&self, document: &Digest) -> Signature {
        Signature(self.key.sign(&message::<C>(document)).to_bytes())
    }
}

/// A public key. **Shape**: 32 bytes of Ed25519.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey<C: KeyClass> {
    bytes: [u8; 32],
    class: PhantomData<C>,
}

impl<C: KeyClass> PublicKey<C> {
    /// Takes 32 bytes for a key; whether they are a point on the curve shows at the first verification.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes, class: PhantomData }
    }

    /// The key's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Whether this key signed the document with that digest.
    pub fn verifies(&self, document: &Digest, signature: &Signature) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.bytes) else { return false };
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(&message::<C>(document), &signature).is_ok()
    }
}

impl PublicKey<SoftwarePlatform> {
    /// The machine that quotes with this key.
    pub fn platform(&self) -> PlatformId {
        PlatformId(Digest::tagged("symphony/platform/v1", &self.bytes))
    }
}

impl PublicKey<Wallet> {
    /// The chain account that this key alone controls, as Aptos names it: SHA3-256 of the key and the number of its
    /// signature scheme, which is 0 for Ed25519.
    pub fn account(&self) -> AccountId {
        let named = Sha3_256::new().chain_update(self.bytes).chain_update([ED25519_SCHEME]);
        AccountId(Digest(named.finalize().into()))
    }
}

impl PrivateKey<Wallet> {
    /// Signs a transaction of a chain that has its own form; `message` begins with that form's own 32 bytes, so that the
    /// signature serves for nothing else.
    pub fn sign_transaction(&self, message: &[u8]) -> Signature {
        Signature(self.key.sign(message).to_bytes())
    }
}

/// Ed25519 among Aptos' signature schemes.
const ED25519_SCHEME: u8 = 0;

impl<C: KeyClass> fmt::Debug for PublicKey<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", C::NAME, Digest(self.bytes))
    }
}

impl<C: KeyClass> Serialize for PublicKey<C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes.serialize(serializer)
    }
}

impl<'de, C: KeyClass> Deserialize<'de> for PublicKey<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 32]>::deserialize(deserializer).map(Self::from_bytes)
    }
}

/// 64 bytes of Ed25519.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_slice().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        let bytes = bytes.try_into().map_err(|_| serde::de::Error::custom("a signature has 64 bytes"))?;
        Ok(Self(bytes))
    }
}

/// A document with the signature of a key of class `C`. Nothing here is believed before [`Self::verify`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
pub struct Signed<T, C: KeyClass> {
    /// What was signed.
    pub body: T,
    /// Who claims to have signed it.
    pub key: PublicKey<C>,
    /// The signature over the class, the document's tag and its digest.
    pub signature: Signature,
}

impl<T: Document, C: KeyClass> Signed<T, C> {
    /// Whether `expected` signed this body.
    pub fn verify(&self, expected: &PublicKey<C>) -> bool {
        self.key == *expected && expected.verifies(&self.body.digest(), &self.signature)
    }
}

/// One key's word for a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Endorsement<C: KeyClass> {
    /// Who claims to have signed.
    pub key: PublicKey<C>,
    /// The signature over the class, the document's tag and its digest, as of a [`Signed`] document.
    pub signature: Signature,
}

/// A document with the endorsements of several keys of class `C`. Nothing here is believed before [`Self::verify`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
pub struct Endorsed<T, C: KeyClass> {
    /// What is endorsed.
    pub body: T,
    /// Who endorses it; the order says nothing.
    pub endorsements: Vec<Endorsement<C>>,
}

impl<T: Document, C: KeyClass> Endorsed<T, C> {
    /// Whether at least `quorum` of these keys endorse this body. Each key counts once, and one endorsement that does
    /// not count spoils the document, so that none of its bytes can be exchanged unseen.
    pub fn verify<'a>(&self, keys: impl Iterator<Item = &'a PublicKey<C>>, quorum: usize) -> bool
    where
        C: 'a,
    {
        if quorum == 0 || !(quorum..=ENDORSEMENTS_MAX).contains(&self.endorsements.len()) {
            return false;
        }
        let mut keys: BTreeSet<_> = keys.collect();
        let document = self.body.digest();
        let mut endorsements = self.endorsements.iter();
        endorsements.all(|one| keys.remove(&one.key) && one.key.verifies(&document, &one.signature))
    }
}

fn message<C: KeyClass>(document: &Digest) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(b"symphony/signature/v1/");
    bytes.extend_from_slice(C::NAME.as_bytes());
    bytes.push(b'/');
    bytes.extend_from_slice(&document.0);
    bytes
}
