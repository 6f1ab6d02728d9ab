//! Identifiers. Each is a type of its own, so that a task never stands where a vault is meant.
//!
//! Two families: *names*, chosen by people and bounded in length and alphabet, and *digests*, derived
//! from what they identify. Numbers count versions and epochs.

use alloc::string::{String, ToString};
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::limits::NAME_LEN_MAX;

/// A text was not a valid name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError;

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a name has 1 to {NAME_LEN_MAX} characters of a-z, A-Z, 0-9 and -_.:")
    }
}

impl core::error::Error for NameError {}

fn name(text: &str) -> Result<String, NameError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    if text.is_empty() || text.len() > NAME_LEN_MAX || !text.bytes().all(allowed) {
        return Err(NameError);
    }
    Ok(text.to_string())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// **Shape**: 1 to 64 characters of `a-z A-Z 0-9 - _ . :`.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(String);

        impl $name {
            /// Parses a name. **Errors**: [`NameError`] on a wrong length or character.
            pub fn new(text: &str) -> Result<Self, NameError> {
                name(text).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// A person, company or service that acts under its own identity (R183).
    ActorId;
    /// The private store of one enterprise node.
    VaultId;
    /// A process of the network: a master, a verifier, a payout service, a gateway.
    NodeId;
    /// A data subject as its Vault knows it. Never leaves the Vault in the clear.
    SubjectId;
    /// What the caller names a request by, unique for that caller (R209).
    RequestId;
    /// A purpose that consent is given for, such as `marketing` (R055).
    UsageScope;
    /// A part of shared meaning, such as `commerce` (R044).
    DomainName;
    /// A governed attribute, `domain.attribute` (R044).
    AttributeName;
    /// A governed derivation rule, `domain.rule` (R046).
    RuleName;
    /// A module of the catalogue (R095).
    ModuleName;
}

macro_rules! digests {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub Digest);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

digests! {
    /// A task, derived from its submitter and request.
    TaskId;
    /// `SHA256(Serialize(record))` of one canonical record (R077, D12).
    Commitment;
    /// The code that an enclave runs.
    Measurement;
    /// One machine that hosts enclaves.
    PlatformId;
    /// An escrow lock on the chain.
    LockRef;
    /// An account on the chain, as Aptos addresses are: 32 bytes.
    AccountId;
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($int:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

numbers! {
    /// Version of the shapes of records and envelopes.
    SchemaVersion(u32);
    /// Version of the semantic registry (R052).
    SemanticVersion(u32);
    /// Version of the policy that fixes every fee, share and limit (R188).
    PolicyVersion(u32);
    /// Version of the masters' rules (R221).
    ProtocolVersion(u32);
    /// How many changes governance has enacted: the place of the last one in its log.
    GovernanceSequence(u64);
    /// A window of ordered time that settlement and payout are counted in (R193).
    EpochId(u64);
}
