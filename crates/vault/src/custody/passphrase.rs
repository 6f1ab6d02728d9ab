//! Secrets sealed under a passphrase that is not in the folder (R076).
//!
//! **Shape**: `vault.seal` has the cost and the salt of Argon2id (RFC 9106) and a sealed check value; each secret's file has the
//! secret under the derived key with AES-256-GCM, its name as associated data. A passphrase that does not open the check value changes
//! nothing.

use std::fs;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use symphony_standby::place::Place;
use symphony_types::canonical;
use zeroize::Zeroizing;

use super::{Custody, SECRET_LEN, Secret};
use crate::keys::{DataKey, KeyError, random};

/// A folder's secrets under a passphrase.
pub struct Passphrase(DataKey);

/// What deriving the key costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Memory. **Units**: KiB.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes of it.
    pub lanes: u32,
}

/// The second choice that RFC 9106, section 4, recommends: 64 MiB, three passes, four lanes.
pub const COST: Cost = Cost { memory: 1 << 16, passes: 3, lanes: 4 };

#[derive(Serialize, Deserialize)]
struct Seal {
    version: u8,
    cost: Cost,
    salt: [u8; 32],
    check: Vec<u8>,
}

impl Passphrase {
    /// Opens the secrets of a folder, or founds a folder that has none yet.
    ///
    /// **Errors**: [`KeyError::Passphrase`], [`KeyError::Bare`] for a folder whose secrets are not sealed, or the file system.
    pub fn open(place: impl Into<Place>, passphrase: &[u8]) -> Result<Self, KeyError> {
        let place = place.into();
        if sealed(place.folder()) {
            return Self::of(place.folder(), passphrase);
        }
        if !secrets(place.folder())?.is_empty() {
            return Err(KeyError::Bare);
        }
        Self::found(&place, passphrase)
    }

    /// Seals the secrets of a folder that are bare, and overwrites what they were; how many. A crash leaves some, and the same again
    /// goes on. **Errors**: as [`Self::open`].
    pub fn adopt(place: impl Into<Place>, passphrase: &[u8]) -> Result<usize, KeyError> {
        let place = &place.into();
        let folder = place.folder();
        let custody =
            if sealed(folder) { Self::of(folder, passphrase)? } else { Self::found(place, passphrase)? };
        let mut adopted = 0;
        for name in secrets(folder)? {
            let failed = |error| KeyError::File(name.clone(), error);
            let kept = Zeroizing::new(fs::read(folder.join(&name)).map_err(failed)?);
            let Ok(secret) = <[u8; SECRET_LEN]>::try_from(kept.as_slice()) else { continue };
            // The bytes that were there are overwritten.
            place.whole(&name, &custody.wrap(&name, &Zeroizing::new(secret))?).map_err(failed)?;
            adopted += 1;
        }
        Ok(adopted)
    }

    fn found(place: &Place, passphrase: &[u8]) -> Result<Self, KeyError> {
        let failed = |error| KeyError::File(SEAL_FILE.to_owned(), error);
        fs::create_dir_all(place.folder()).map_err(failed)?;
        let salt = *random()?;
        let key = derive(passphrase, &salt, COST)?;
        let seal = Seal { version: VERSION, cost: COST, salt, check: key.seal(CHECK, &[0; SECRET_LEN])? };
        place.whole(SEAL_FILE, &canonical::to_bytes(&seal)).map_err(failed)?;
        Ok(Self(key))
    }

    fn of(folder: &Path, passphrase: &[u8]) -> Result<Self, KeyError> {
        let damaged = || KeyError::Damaged(SEAL_FILE.to_owned());
        let bytes = fs::read(folder.join(SEAL_FILE));
        let bytes = bytes.map_err(|error| KeyError::File(SEAL_FILE.to_owned(), error))?;
        let seal: Seal = bcs::from_bytes(&bytes).map_err(|_| damaged())?;
        let Cost { memory, passes, lanes } = seal.cost;
        let bounded = memory <= MEMORY_MAX && passes <= PASSES_MAX && lanes <= LANES_MAX;
        if seal.version != VERSION || !bounded {
            return Err(damaged());
        }
        let key = derive(passphrase, &seal.salt, seal.cost)?;
        key.open(CHECK, &seal.check).map_err(|_| KeyError::Passphrase)?;
        Ok(Self(key))
    }
}

impl Custody for Passphrase {
    fn wrap(&self, name: &str, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        Ok(Zeroizing::new(self.0.seal(name.as_bytes(), secret.as_slice())?))
    }

    fn unwrap(&self, name: &str, kept: &[u8]) -> Result<Secret, KeyError> {
        let damaged = || KeyError::Damaged(name.to_owned());
        let secret = self.0.open(name.as_bytes(), kept).map_err(|_| damaged())?;
        secret.as_slice().try_into().map(Zeroizing::new).map_err(|_| damaged())
    }

    fn bare(&self) -> bool {
        false
    }
}

/// Whether the secrets of a folder are under a passphrase.
pub(crate) fn sealed(folder: &Path) -> bool {
    folder.join(SEAL_FILE).exists()
}

fn derive(passphrase: &[u8], salt: &[u8], cost: Cost) -> Result<DataKey, KeyError> {
    let mut key = Zeroizing::new([0; SECRET_LEN]);
    let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(SECRET_LEN));
    let params = params.map_err(|_| KeyError::Damaged(SEAL_FILE.to_owned()))?;
    let derived = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(
        passphrase,
        salt,
        key.as_mut_slice(),
    );
    derived.map_err(|_| KeyError::Passphrase)?;
    Ok(DataKey::new(&key))
}

/// The files of secrets in a folder.
fn secrets(folder: &Path) -> Result<Vec<String>, KeyError> {
    let failed = |error| KeyError::File("folder".to_owned(), error);
    let mut names = Vec::new();
    if folder.exists() {
        for file in fs::read_dir(folder).map_err(failed)? {
            let name = file.map_err(failed)?.file_name();
            names.extend(name.to_str().filter(|name| name.ends_with(".key")).map(str::to_owned));
        }
    }
    Ok(names)
}

const SEAL_FILE: &str = "vault.seal";
const VERSION: u8 = 1;
const CHECK: &[u8] = b"symphony/vault-seal/v1";
/// What is believed of a file that anybody may have changed: 4 GiB, and some minutes.
const MEMORY_MAX: u32 = 4 << 20;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::keys::VaultKeys;

    fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        files
            .map(|file| (file.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(file).unwrap()))
            .collect()
    }

    fn opened(folder: &Path, passphrase: &[u8]) -> Result<VaultKeys, KeyError> {
        VaultKeys::kept(folder, Arc::new(Passphrase::open(folder, passphrase)?))
    }

    /// R076: with the passphrase the same keys, with another an error and not one byte changed, without any a clear word.
    #[test]
    fn a_wrong_passphrase_opens_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let first = opened(folder.path(), b"correct horse").unwrap();
        first.ring.advance().unwrap();
        let before = files(folder.path());
        assert!(matches!(opened(folder.path(), b"correct horsf"), Err(KeyError::Passphrase)));
        assert!(matches!(VaultKeys::open(folder.path()), Err(KeyError::Sealed)));
        assert_eq!(files(folder.path()), before);
        let again = opened(folder.path(), b"correct horse").unwrap();
        assert_eq!(again.signing.public(), first.signing.public());
        assert_eq!(again.sealing.public(), first.sealing.public());
        assert!(again.ring.rotating(), "the Vault's keys are sealed as well");
    }

    /// R076: sealing keeps the keys, leaves no bare secret in the folder, and goes on after a crash.
    #[test]
    fn bare_secrets_are_sealed_and_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let bare = VaultKeys::open(folder.path()).unwrap().signing.public();
        let secrets = files(folder.path());
        assert!(matches!(opened(folder.path(), b"a"), Err(KeyError::Bare)));
        assert_eq!(Passphrase::adopt(folder.path(), b"a").unwrap(), 4);
        let now = files(folder.path());
        for (name, secret) in secrets.iter().filter(|(name, _)| name.ends_with(".key")) {
            assert!(now.values().all(|file| !file.windows(32).any(|part| part == secret)), "{name}");
        }
        fs::write(folder.path().join("index.key"), &secrets["index.key"]).unwrap();
        assert!(matches!(opened(folder.path(), b"a"), Err(KeyError::Damaged(_))));
        assert!(matches!(Passphrase::adopt(folder.path(), b"b"), Err(KeyError::Passphrase)));
        assert_eq!(Passphrase::adopt(folder.path(), b"a").unwrap(), 1);
        assert_eq!(opened(folder.path(), b"a").unwrap().signing.public(), bare);
    }

    /// R076: a changed byte of any file is an error; one secret does not pass for another.
    #[test]
    fn a_changed_byte_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let custody = Passphrase::open(folder.path(), b"a").unwrap();
        let secret: Secret = Zeroizing::new([7; 32]);
        let kept = custody.wrap("one", &secret).unwrap();
        assert_eq!(*custody.unwrap("one", &kept).unwrap(), *secret);
        assert!(custody.unwrap("two", &kept).is_err());
        for place in 0..kept.len() {
            let mut changed = kept.clone();
            changed[place] ^= 1;
            assert!(custody.unwrap("one", &changed).is_err(), "byte {place}");
        }
        let mut seal = fs::read(folder.path().join(SEAL_FILE)).unwrap();
        seal[4] ^= 0x40;
        fs::write(folder.path().join(SEAL_FILE), seal).unwrap();
        assert!(Passphrase::open(folder.path(), b"a").is_err(), "a cost beyond the limit is not paid");
    }
}
