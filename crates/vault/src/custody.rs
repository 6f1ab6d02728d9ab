//! Who keeps the secrets that everything of a Vault rests on: the port behind which a passphrase, or a key service, can stand (R076).
//!
//! A secret has a file of its own in the Vault's folder. [`Bare`] writes it there as it is, which is for development;
//! [`passphrase::Passphrase`] seals it.

pub mod passphrase;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

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
pub fn secret_file(folder: &Path, name: &str, custody: &dyn Custody) -> Result<Secret, KeyError> {
    let path = folder.join(name);
    let failed = |error| KeyError::File(name.to_owned(), error);
    if !path.exists() {
        whole(folder, name, &custody.wrap(name, &random()?)?)?;
    }
    custody.unwrap(name, &Zeroizing::new(fs::read(&path).map_err(failed)?))
}

/// Writes a file that only its owner may read, and gives it its name when it is whole. **Errors**: [`KeyError::File`].
fn whole(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), KeyError> {
    let failed = |error| KeyError::File(name.to_owned(), error);
    let draft = folder.join(format!("{name}.new"));
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(&draft).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&draft, folder.join(name)).map_err(failed)
}

/// Has the names of a folder on disk. **Errors**: those of the file system.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

const SECRET_LEN: usize = 32;
