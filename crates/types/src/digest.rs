//! SHA-256 digests with a domain tag per object type (D15).

use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::canonical;

/// 32 bytes of SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// All zero: the predecessor of the first link of a chain.
    pub const ZERO: Self = Self([0; 32]);

    /// SHA-256 of `bytes` as they are. Only where a formula of the specification fixes the input.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// SHA-256 of a length-prefixed tag and then `bytes`, so that two object types never share a digest.
    pub fn tagged(tag: &str, bytes: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update((tag.len() as u64).to_le_bytes());
        hasher.update(tag.as_bytes());
        hasher.update(bytes);
        Self(hasher.finalize().into())
    }

    /// The tagged digest of a value's canonical bytes.
    pub fn of<T: Serialize + ?Sized>(tag: &str, value: &T) -> Self {
        Self::tagged(tag, &canonical::to_bytes(value))
    }

    /// Lower-case hexadecimal.
    pub fn to_hex(&self) -> String {
        use core::fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Reads 64 hexadecimal digits; anything else is `None`.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
