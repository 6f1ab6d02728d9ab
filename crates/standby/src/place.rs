//! Where a Vault's key files are: its folder and, when the node has one, the same in its standby (R062, R076, R080).
//!
//! Writing and overwriting go to both, the standby first. A crash between them leaves one behind; the next start brings over
//! whatever one place has and the other has not, and then what is erased is overwritten again, because the database says so.

use std::cmp::Ordering;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::files::{copy, destroy, names, read, sync_folder, whole};
use crate::standby::{ID_FILE, Standby, StandbyError, Step};

/// A Vault's folder, with its standby.
#[derive(Clone)]
pub struct Place {
    folder: PathBuf,
    standby: Option<Arc<Standby>>,
}

impl From<&Path> for Place {
    /// Without a standby.
    fn from(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), standby: None }
    }
}

impl From<&Self> for Place {
    fn from(place: &Self) -> Self {
        place.clone()
    }
}

impl Place {
    /// A folder with its standby.
    pub fn with(folder: &Path, standby: Arc<Standby>) -> Self {
        Self { folder: folder.to_owned(), standby: Some(standby) }
    }

    /// Whether its standby is there when it has one. **Errors**: nobody named it.
    pub fn named(&self) -> Result<(), StandbyError> {
        if self.standby.is_none() && self.folder.join(ID_FILE).exists() {
            return Err(StandbyError::Unnamed(self.folder.clone()));
        }
        Ok(())
    }

    /// The Vault's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The standby.
    pub fn standby(&self) -> Option<&Arc<Standby>> {
        self.standby.as_ref()
    }

    /// Opens a file that is written in both places, making it on first use. **Errors**: those of the file system.
    pub fn open(&self, name: &str) -> io::Result<Twin> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let standby = self.standby.as_ref();
        let other = standby.map(|standby| {
            Ok::<_, io::Error>((options.open(standby.keys().join(name))?, Arc::clone(standby)))
        });
        Ok(Twin { other: other.transpose()?, file: options.open(self.folder.join(name))? })
    }

    /// Writes a file that only its owner may read, whole and on disk in both places. **Errors**: those of the file system.
    pub fn whole(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if let Some(standby) = &self.standby {
            whole(&standby.keys(), name, bytes)?;
            standby.step(Step::Mirrored)?;
        }
        whole(&self.folder, name, bytes)
    }

    /// Overwrites and removes a file in both places. **Errors**: those of the file system.
    pub fn destroy(&self, name: &str) -> io::Result<()> {
        if let Some(standby) = &self.standby {
            destroy(&standby.keys().join(name))?;
            standby.step(Step::Mirrored)?;
        }
        destroy(&self.folder.join(name))
    }

    /// Has a file of segments in the standby as well. **Errors**: those of the file system.
    pub fn mirror_segment(&self, file: &Path) -> io::Result<()> {
        let (Some(standby), Some(name)) = (&self.standby, file.file_name()) else { return Ok(()) };
        copy(file, &standby.segments().join(name))?;
        sync_folder(&standby.segments())?;
        standby.step(Step::Mirrored)
    }

    /// Removes a file of segments from the standby. **Errors**: those of the file system.
    pub fn remove_segment(&self, file: &Path) -> io::Result<()> {
        let (Some(standby), Some(name)) = (&self.standby, file.file_name()) else { return Ok(()) };
        match fs::remove_file(standby.segments().join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The names of the segments' files that the standby has. **Errors**: those of the file system.
    pub fn mirrored_segments(&self) -> io::Result<Vec<String>> {
        self.standby.as_ref().map_or(Ok(Vec::new()), |standby| names(&standby.segments()))
    }
}

/// A file that is written in both places and read in the first.
pub struct Twin {
    other: Option<(File, Arc<Standby>)>,
    file: File,
}

impl From<File> for Twin {
    /// Without a standby.
    fn from(file: File) -> Self {
        Self { other: None, file }
    }
}

impl Twin {
    /// Its length. **Units**: bytes.
    pub fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// As [`std::os::unix::fs::FileExt::read_exact_at`].
    pub fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    /// As [`std::os::unix::fs::FileExt::write_all_at`], in both places.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Some((other, standby)) = &self.other {
            standby.alive()?;
            other.write_all_at(bytes, offset)?;
            standby.step(Step::Mirrored)?;
        }
        self.file.write_all_at(bytes, offset)
    }

    /// As [`File::sync_all`], in both places.
    pub fn sync(&self) -> io::Result<()> {
        if let Some((other, standby)) = &self.other {
            standby.alive()?;
            other.sync_all()?;
        }
        self.file.sync_all()
    }
}

/// Makes the key files of both places the same: what one has, the other gets. Of two wrapped keys in one slot the one under the later
/// of the Vault's keys stays. **Errors**: two files that contradict each other, by name.
pub(crate) fn bring(folder: &Path, keys: &Path) -> Result<(), StandbyError> {
    let failed = |error| StandbyError::File(folder.to_owned(), error);
    let mut all = names(folder).map_err(failed)?;
    all.extend(names(keys).map_err(failed)?);
    all.retain(|name| is_key(name));
    all.sort();
    all.dedup();
    for name in all {
        bring_file(folder, keys, &name)?;
    }
    Ok(())
}

fn bring_file(folder: &Path, keys: &Path, name: &str) -> Result<(), StandbyError> {
    let (first, second) = (folder.join(name), keys.join(name));
    let failed = |error| StandbyError::File(first.clone(), error);
    let one = read(&first).map_err(failed)?.unwrap_or_default();
    let other = read(&second).map_err(failed)?.unwrap_or_default();
    if *one == *other {
        return Ok(());
    }
    let merged = match SLOTS.iter().find(|(slots, ..)| *slots == name) {
        Some((_, len, generation)) => merge(&one, &other, *len, *generation),
        None if zeros(&other) => Some(one.clone()),
        None if zeros(&one) => Some(other.clone()),
        // Sealing a bare secret came to one place only.
        None if one.len() == BARE && other.len() != BARE => Some(other.clone()),
        None if one.len() != BARE && other.len() == BARE => Some(one.clone()),
        None => None,
    };
    let merged = merged.ok_or(StandbyError::Damaged(second, "the two places have different keys"))?;
    for (place, known) in [(keys, &other), (folder, &one)] {
        if **known != *merged {
            overwrite(place, name, &merged).map_err(failed)?;
        }
    }
    Ok(())
}

/// In place where there is a file, so that what stood there is gone.
fn overwrite(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = folder.join(name);
    if !path.exists() {
        return whole(folder, name, bytes);
    }
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(bytes, 0)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

/// What each slot has in one place or the other. `None`: they contradict each other.
fn merge(one: &[u8], other: &[u8], len: usize, generation: usize) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = one.len().max(other.len());
    let mut merged = Zeroizing::new(Vec::with_capacity(bytes));
    for from in (0..bytes).step_by(len) {
        let of = |place: &[u8]| {
            let mut slot = Zeroizing::new(vec![0; len.min(bytes - from)]);
            let kept = place.get(from..place.len().min(from + slot.len())).unwrap_or_default();
            slot[..kept.len()].copy_from_slice(kept);
            slot
        };
        let (one, other) = (of(one), of(other));
        let order = one.get(generation..).cmp(&other.get(generation..));
        let chosen = match (zeros(&one), zeros(&other), order) {
            (_, true, _) | (false, false, Ordering::Greater) => one,
            (true, false, _) | (false, false, Ordering::Less) => other,
            (false, false, Ordering::Equal) if *one == *other => one,
            (false, false, Ordering::Equal) => return None,
        };
        merged.extend_from_slice(&chosen);
    }
    Some(merged)
}

fn zeros(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Whether a file of the Vault's folder holds keys that are to be in both places. Those of the enclave are not: it makes others.
pub(crate) fn is_key(name: &str) -> bool {
    name != ID_FILE
        && name != "enclave.keys"
        && [".key", ".keys", ".seal"].iter().any(|end| name.ends_with(end))
}

/// Bytes of a secret that is not sealed.
const BARE: usize = 32;
/// Files of slots: bytes of a slot, and where it says under which of the Vault's keys it is, until its end or that of what follows.
const SLOTS: [(&str, usize, usize); 5] = [
    ("people.keys", 64, 60),
    ("dividends.keys", 64, 60),
    ("periods.keys", 64, 60),
    ("segments.keys", 128, 92),
    ("documents.keys", 128, 92),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(byte: u8, generation: u8) -> Vec<u8> {
        [vec![byte; 60], vec![0, 0, 0, generation]].concat()
    }

    fn brought(one: &[&[u8]], other: &[&[u8]]) -> Option<Vec<u8>> {
        let [folder, keys] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        fs::write(folder.path().join("people.keys"), one.concat()).unwrap();
        fs::write(keys.path().join("people.keys"), other.concat()).unwrap();
        bring(folder.path(), keys.path()).ok()?;
        let [one, other] = [folder, keys].map(|place| fs::read(place.path().join("people.keys")).unwrap());
        assert_eq!(one, other);
        Some(one)
    }

    /// R062, R076: what a crash left in one place comes to the other; of a slot in rotation the later key stays; rot is a fault.
    #[test]
    fn two_places_become_the_same() {
        let none: &[u8] = &[0; 64];
        let slots = [slot(1, 1), slot(2, 1), slot(3, 2)];
        let [a, b, c] = slots.each_ref().map(Vec::as_slice);
        let both = Some([a, b].concat());
        assert_eq!(brought(&[a, b], &[a, b]), both);
        assert_eq!(brought(&[a, b], &[none, b]), both);
        assert_eq!(brought(&[a], &[a, b]), both);
        assert_eq!(brought(&[a, b], &[]), both);
        assert_eq!(brought(&[a, b], &[a, c]), Some([a, c].concat()));
        assert_eq!(brought(&[a, c], &[a, b]), Some([a, c].concat()));
        assert_eq!(brought(&[a], &[b]), None, "one generation, two keys");
        assert_eq!(brought(&[none], &[none]), Some(none.to_vec()));
    }

    /// R062, R076: a secret comes over whole; two of one name are a fault that is named, and both stay.
    #[test]
    fn a_secret_comes_over_and_is_never_replaced() {
        let [folder, keys] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        fs::write(folder.path().join("index.key"), [7; 32]).unwrap();
        fs::write(keys.path().join("storage.2.key"), [8; 32]).unwrap();
        fs::write(folder.path().join("enclave.keys"), [9; 32]).unwrap();
        bring(folder.path(), keys.path()).unwrap();
        assert_eq!(fs::read(keys.path().join("index.key")).unwrap(), [7; 32]);
        assert_eq!(fs::read(folder.path().join("storage.2.key")).unwrap(), [8; 32]);
        assert!(!keys.path().join("enclave.keys").exists());
        fs::write(keys.path().join("index.key"), [6; 32]).unwrap();
        let refused = bring(folder.path(), keys.path()).unwrap_err();
        assert!(refused.to_string().contains("index.key"), "{refused}");
        assert_eq!(fs::read(folder.path().join("index.key")).unwrap(), [7; 32]);
    }
}
