//! Files that are copied, hashed and made durable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use symphony_types::digest::Digest;
use zeroize::Zeroizing;

/// Has the names of a folder on disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes a file that only its owner may read, and gives it its name when it is whole and on disk. What had the name is overwritten.
pub(crate) fn whole(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let former = OpenOptions::new().write(true).open(folder.join(name)).ok();
    let draft = folder.join(format!("{name}.new"));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, folder.join(name))?;
    sync_folder(folder)?;
    former.map_or(Ok(()), |former| zeros(&former))
}

fn zeros(mut file: &File) -> io::Result<()> {
    // Secrets have some hundred bytes.
    file.write_all(&vec![0; file.metadata()?.len() as usize])?;
    file.sync_all()
}

/// Overwrites a file with zeros and removes it.
pub(crate) fn destroy(path: &Path) -> io::Result<()> {
    let file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    zeros(&file)?;
    fs::remove_file(path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// The bytes of a file, if there is one.
pub(crate) fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Copies a file and has it on disk; its length and digest.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<(u64, Digest)> {
    let mut options = OpenOptions::new();
    let mut copy = options.write(true).create(true).truncate(true).mode(0o600).open(to)?;
    let found = pass(from, |bytes| copy.write_all(bytes))?;
    copy.sync_all()?;
    Ok(found)
}

/// The length and digest of a file.
pub(crate) fn digest(path: &Path) -> io::Result<(u64, Digest)> {
    pass(path, |_| Ok(()))
}

fn pass(path: &Path, mut visit: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<(u64, Digest)> {
    let (mut file, mut hasher, mut len) = (File::open(path)?, Sha256::new(), 0);
    let mut buffer = vec![0; PIECE];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((len, Digest(hasher.finalize().into())));
        }
        hasher.update(&buffer[..read]);
        visit(&buffer[..read])?;
        len += read as u64;
    }
}

/// The names of the files of a folder, which is made when it is not there; folders in it are left out.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    fs::create_dir_all(folder)?;
    let mut names = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.file_type()?.is_file() {
            names.extend(file.file_name().into_string().ok());
        }
    }
    names.sort();
    Ok(names)
}

/// Bytes that a disk has room for.
pub(crate) fn room(folder: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

const PIECE: usize = 1 << 20;
