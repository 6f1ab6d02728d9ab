//! Secret seeds in files that only their owner may read, and durable writes beside them (R172, R205).
//!
//! **Shape**: 64 hexadecimal digits and a line end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rand::TryRng as _;
use symphony_types::digest::Digest;
use thiserror::Error;
use zeroize::Zeroizing;

/// A secret cannot be had.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file cannot be read or written.
    #[error("key file {0}")]
    File(PathBuf, #[source] io::Error),
    /// Others than the owner may read the file.
    #[error("key file {0} must be readable by its owner only")]
    Exposed(PathBuf),
    /// The file does not hold a seed.
    #[error("key file {0} does not hold 64 hexadecimal digits")]
    Damaged(PathBuf),
    /// The operating system gave no randomness.
    #[error("no randomness")]
    Randomness,
}

/// Makes a seed in a file that does not exist yet. **Errors**: [`SecretError`].
pub fn create(path: &Path) -> Result<Zeroizing<[u8; 32]>, SecretError> {
    let mut seed = Zeroizing::new([0; 32]);
    rand::rngs::SysRng.try_fill_bytes(seed.as_mut_slice()).map_err(|_| SecretError::Randomness)?;
    let text = Zeroizing::new(format!("{}\n", hex::encode(seed.as_slice())));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        sync_folder(path)
    };
    write().map_err(|error| SecretError::File(path.to_owned(), error))?;
    Ok(seed)
}

/// Reads the seed of a file. **Errors**: [`SecretError`].
pub fn read(path: &Path) -> Result<Zeroizing<[u8; 32]>, SecretError> {
    let fault = |error| SecretError::File(path.to_owned(), error);
    if fs::metadata(path).map_err(fault)?.permissions().mode() & 0o077 != 0 {
        return Err(SecretError::Exposed(path.to_owned()));
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(fault)?);
    let seed = Digest::from_hex(text.trim()).ok_or_else(|| SecretError::Damaged(path.to_owned()))?;
    Ok(Zeroizing::new(seed.0))
}

/// Writes a file so that after any crash it is there whole or not at all. **Errors**: of the file system.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_read_back_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wallet.seed");
        let seed = create(&path).unwrap();
        assert_eq!(*read(&path).unwrap(), *seed);
        assert!(matches!(create(&path), Err(SecretError::File(..))));
    }

    /// R205
    #[test]
    fn a_seed_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wallet.seed");
        create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(&path), Err(SecretError::Exposed(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "not a seed").unwrap();
        assert!(matches!(read(&path), Err(SecretError::Damaged(_))));
    }
}
