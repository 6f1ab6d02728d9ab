//! Who keeps the secrets that everything of a Vault rests on: the port behind which a passphrase, or a key service, can stand (R076).
//!
//! A secret has a file of its own in the Vault's folder. [`Bare`] writes it there as it is, which is for development;
//! [`passphrase::Passphrase`] seals it.

pub mod passphrase;

use std::fs;
use std::path::Path;

use symphony_standby::place::Place;
use zeroize::Zeroizing;

use crate::keys::{KeyError, random};

/// 32 secret bytes.
pub type Secret = Zeroizing<[u8; SECRET_LEN]>;

/// Wraps and unwraps secrets; `name` is that of the secret's file, and belongs to it.
pub trait Custody: Send + Sync {
    /// What the file of a secret holds. **Errors**: [`KeyError`].
    fn wrap(&self, name: &str, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, KeyError>;

    /// The secret of a file. **Errors**: [`KeyError::Damaged`], or what the custody itself refuses for.
    fn unwrap(&self, name: &str, kept: &[u8]) -> Result<Secret, KeyError>;

    /// Whether a file alone gives its secret away.
    fn bare(&self) -> bool;
}

/// Secrets as they are, in files that only their owner may read.
#[derive(Clone, Copy, Debug)]
pub struct Bare;

impl Bare {
    /// For a folder whose secrets are under no passphrase. **Errors**: [`KeyError::Sealed`].
    pub fn of(folder: &Path) -> Result<Self, KeyError> {
        if passphrase::sealed(folder) { Err(KeyError::Sealed) } else { Ok(Self) }
    }
}

impl Custody for Bare {
    fn wrap(&self, _: &str, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        Ok(Zeroizing::new(secret.to_vec()))
    }

    fn unwrap(&self, name: &str, kept: &[u8]) -> Result<Secret, KeyError> {
        kept.try_into().map(Zeroizing::new).map_err(|_| KeyError::Damaged(name.to_owned()))
    }

    fn bare(&self) -> bool {
        true
    }
}

/// Reads a secret of a folder, or makes it. It gets its name only when it is whole and on disk. **Errors**: [`KeyError`].
pub fn secret_file(place: &Place, name: &str, custody: &dyn Custody) -> Result<Secret, KeyError> {
    let path = place.folder().join(name);
    let failed = |error| KeyError::File(name.to_owned(), error);
    if !path.exists() {
        place.whole(name, &custody.wrap(name, &random()?)?).map_err(failed)?;
    }
    custody.unwrap(name, &Zeroizing::new(fs::read(&path).map_err(failed)?))
}

const SECRET_LEN: usize = 32;
