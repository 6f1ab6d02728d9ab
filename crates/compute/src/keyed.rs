//! HMAC-SHA256 under one key for many short messages: tokens of people (D18) and the order of selection (R090).

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// A key, absorbed once.
pub(crate) struct Keyed(Hmac<Sha256>);

impl Keyed {
    /// Takes the key.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(key).expect("hmac takes a key of any length"))
    }

    /// The code of `message`.
    pub(crate) fn of(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_hmac_sha256() {
        // RFC 4231, test case 1, whose 20-byte key is padded with zeros to the block either way.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        let code: String =
            Keyed::new(&key).of(b"Hi There").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(code, expected);
    }
}
