//! The file of a Vault's database, as the database sees it: what it writes is held back until it wants it on disk, and then is a frame
//! of the standby's log first (R062, R211).
//!
//! Two writes of the same place are one. A database that is only looked at has nowhere to write to, and keeps in memory what it
//! wrote.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{BackendError, Builder, Database, DatabaseError, StorageBackend};

use crate::redo::{BLOCK, Pending};
use crate::standby::Standby;

/// Opens the database of a file, making it on first use, so that all it writes is in the standby as well. **Errors**: the database.
pub fn mirrored(path: &Path, standby: &Arc<Standby>) -> Result<Database, DatabaseError> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    Builder::new().create_with_backend(Backend::new(file, Some(Arc::clone(standby)))?)
}

/// Opens the database of a file to look at: the file stays as it is, and one that is not there is an empty one. **Errors**: the database.
pub fn looked_at(path: &Path) -> Result<Database, DatabaseError> {
    if !path.exists() {
        return Builder::new().create_with_backend(InMemoryBackend::new());
    }
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    Builder::new().create_with_backend(Backend::new(file, None)?)
}

struct Backend {
    file: File,
    locks: FileBackend,
    standby: Option<Arc<Standby>>,
    held: RwLock<Held>,
    /// Held while what is pending gets on disk.
    flushing: Mutex<()>,
}

/// What the database wrote that is not in the file yet, the later first.
struct Held {
    len: u64,
    pending: Pending,
    flushing: Arc<Pending>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}

impl Backend {
    fn new(file: File, standby: Option<Arc<Standby>>) -> Result<Self, DatabaseError> {
        let (len, locks) = (file.metadata()?.len(), FileBackend::new(file.try_clone()?)?);
        let held = Held { len, pending: Pending::default(), flushing: Arc::default() };
        Ok(Self { file, locks, standby, held: RwLock::new(held), flushing: Mutex::default() })
    }

    fn held(&self) -> RwLockReadGuard<'_, Held> {
        // Blocks are put in whole, whoever panicked while holding them.
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// A block that is not in the file yet.
    fn block(&self, number: u64) -> Option<&[u8]> {
        let found = self.pending.blocks.get(&number).or_else(|| {
            // What was shrunk away since is not there any more.
            let cut = self.pending.lengths.is_some_and(|(floor, _)| number * BLOCK as u64 >= floor);
            self.flushing.blocks.get(&number).filter(|_| !cut)
        });
        found.map(|block| &**block)
    }

    /// How far the file's own bytes count.
    fn floor(&self) -> u64 {
        let floor = |pending: &Pending| pending.lengths.map_or(u64::MAX, |(floor, _)| floor);
        floor(&self.pending).min(floor(&self.flushing))
    }

    fn read(&self, file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset.saturating_add(out.len() as u64) > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (place, piece) in pieces(offset, out.len()) {
            let (number, within) = (place / BLOCK as u64, (place % BLOCK as u64) as usize);
            let out = &mut out[piece];
            match self.block(number) {
                Some(block) => out.copy_from_slice(&block[within..within + out.len()]),
                None => read_file(file, place, self.floor(), out)?,
            }
        }
        Ok(())
    }

    fn write(&mut self, file: &File, offset: u64, data: &[u8]) -> io::Result<()> {
        for (place, piece) in pieces(offset, data.len()) {
            let (number, within) = (place / BLOCK as u64, (place % BLOCK as u64) as usize);
            let data = &data[piece];
            if !self.pending.blocks.contains_key(&number) {
                let mut block = vec![0; BLOCK];
                if data.len() < BLOCK {
                    match self.block(number) {
                        Some(known) => block.copy_from_slice(known),
                        None => read_file(file, place - within as u64, self.floor(), &mut block)?,
                    }
                }
                self.pending.blocks.insert(number, block.into());
            }
            if let Some(block) = self.pending.blocks.get_mut(&number) {
                block[within..within + data.len()].copy_from_slice(data);
            }
        }
        let end = offset.saturating_add(data.len() as u64);
        if end > self.len {
            let floor = self.pending.lengths.map_or(self.len, |(floor, _)| floor);
            (self.pending.lengths, self.len) = (Some((floor, end)), end);
        }
        Ok(())
    }

    fn set_len(&mut self, len: u64) {
        let floor = self.pending.lengths.map_or(self.len, |(floor, _)| floor).min(len);
        if let Some(cut) = self.block(len / BLOCK as u64).map(Box::from) {
            // What is left of it is pending from here on.
            self.pending.blocks.insert(len / BLOCK as u64, cut);
        }
        self.pending.lengths = Some((floor, len));
        self.len = len;
        self.pending.blocks.retain(|number, block| {
            let kept = len.saturating_sub(number * BLOCK as u64).min(BLOCK as u64) as usize;
            block[kept..].fill(0);
            kept > 0
        });
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.held().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.held().read(&self.file, offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change().set_len(len);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change().write(&self.file, offset, data)
    }

    fn sync_data(&self) -> io::Result<()> {
        let Some(standby) = &self.standby else { return Ok(()) };
        let _one_at_a_time = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        standby.alive()?;
        let (pending, len) = {
            let mut held = self.change();
            if held.pending.is_empty() {
                return Ok(());
            }
            held.flushing = Arc::new(std::mem::take(&mut held.pending));
            (Arc::clone(&held.flushing), held.len)
        };
        // Readers find it in memory until it is in the file; after a fault it stays there, and nothing more is written.
        standby.commit(&pending, len, &self.file)?;
        self.change().flushing = Arc::default();
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.locks.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.locks.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.locks.query_lock_range(start, end)
    }
}

/// The file's own bytes up to `floor`, and zeros after them.
fn read_file(file: &File, offset: u64, floor: u64, out: &mut [u8]) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let end = floor.min(file.metadata()?.len());
    let there = end.saturating_sub(offset).min(out.len() as u64) as usize;
    file.read_exact_at(&mut out[..there], offset)?;
    out[there..].fill(0);
    Ok(())
}

/// The parts of a range that lie in one block each: where they begin, and which bytes they are.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let place = offset + from as u64;
        let piece = (len - from).min(BLOCK - (place % BLOCK as u64) as usize);
        let range = from..from + piece;
        from += piece;
        (piece > 0).then_some((place, range))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// R211: whatever is written, read and cut in any order and whenever it gets on disk, a reader sees what a plain file would show.
    #[test]
    fn it_reads_like_a_plain_file() {
        let folder = tempfile::tempdir().unwrap();
        let (data, other) = (folder.path().join("data"), folder.path().join("other"));
        let vault = symphony_types::id::VaultId::new("vault-a").unwrap();
        let standby = Standby::open(&other, &vault, &data).unwrap();
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(data.join("file"));
        let backend = Backend::new(file.unwrap(), Some(standby)).unwrap();
        let mut plain: Vec<u8> = Vec::new();
        let mut random = 7_u64;
        let mut next = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        for _ in 0..3_000 {
            match next(10) {
                0 => backend.sync_data().unwrap(),
                1 => {
                    let len = next(40_000);
                    backend.set_len(len).unwrap();
                    plain.resize(len as usize, 0);
                }
                2..6 if !plain.is_empty() => {
                    let from = next(plain.len() as u64) as usize;
                    let mut out = vec![1; next((plain.len() - from) as u64 + 1) as usize];
                    backend.read(from as u64, &mut out).unwrap();
                    assert_eq!(out, plain[from..from + out.len()]);
                }
                _ => {
                    let (from, data) = (next(40_000) as usize, vec![next(255) as u8; next(9_000) as usize]);
                    backend.write(from as u64, &data).unwrap();
                    plain.resize(plain.len().max(from + data.len()), 0);
                    plain[from..from + data.len()].copy_from_slice(&data);
                }
            }
            assert_eq!(backend.len().unwrap(), plain.len() as u64);
        }
        assert!(backend.read(plain.len() as u64, &mut [0]).is_err());
        backend.sync_data().unwrap();
        assert_eq!(fs::read(data.join("file")).unwrap(), plain);
    }
}
