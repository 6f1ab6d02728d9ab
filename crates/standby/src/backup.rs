//! A backup: the database as it was at one frame of the log, and the segments of that moment, taken while both are used (R062, R078).
//!
//! The database is copied while it changes, and then every frame since the copy was begun is written over it: what comes out is the
//! database at the last of them, to the byte. A folder has its name only when its manifest is signed and on disk.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use symphony_protocol::vault::backup::{Backup, BackupFile, SignedBackup};
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use symphony_types::time::OrderedMillis;

use crate::files::{copy, digest, names, room, sync_folder, whole};
use crate::redo::{self, Position, Tail};
use crate::standby::{BACKUPS, DATABASE, REDO, SEGMENTS, Standby, StandbyError, Step};

/// A backup that has no name yet.
pub struct Draft {
    standby: Arc<Standby>,
    number: u64,
    folder: PathBuf,
    from: Position,
    until: Position,
}

/// When a backup was begun: time, height and head of the journal.
pub type Moment = (OrderedMillis, u64, Digest);

impl Standby {
    /// Begins a backup with a copy of the database. Blocks. **Errors**: there is no room, or the file system.
    pub fn begin_backup(self: &Arc<Self>, data: &Path) -> Result<Draft, StandbyError> {
        let backups = self.folder().join(BACKUPS);
        unfinished(&backups)?;
        let database = data.join(DATABASE);
        let needed =
            fs::metadata(&database).map_err(|error| StandbyError::File(database.clone(), error))?.len();
        let found = room(&backups).map_err(|error| StandbyError::File(backups.clone(), error))?;
        if found < needed.saturating_add(SPARE) {
            return Err(StandbyError::Room(backups, needed.saturating_add(SPARE), found));
        }
        let number = numbers(&backups)?.last().map_or(1, |number| number.saturating_add(1));
        let folder = backups.join(format!("{number}{DRAFT}"));
        let failed = |error| StandbyError::File(folder.clone(), error);
        fs::create_dir_all(folder.join(SEGMENTS)).map_err(failed)?;
        self.step(Step::Begun).map_err(failed)?;
        let from = self.log().position();
        copy(&database, &folder.join(DATABASE)).map_err(failed)?;
        self.step(Step::Copied).map_err(failed)?;
        Ok(Draft { standby: Arc::clone(self), number, folder, from, until: from })
    }
}

impl Draft {
    /// Fixes where the backup ends, and links the segments. Call while no segment gets or loses its name. **Errors**: the file system.
    pub fn link(&mut self) -> Result<(), StandbyError> {
        let failed = |error| StandbyError::File(self.folder.clone(), error);
        let mut log = self.standby.log();
        log.roll().map_err(failed)?;
        self.until = log.position();
        drop(log);
        let segments = self.standby.segments();
        for name in names(&segments).map_err(failed)? {
            fs::hard_link(segments.join(&name), self.folder.join(SEGMENTS).join(&name)).map_err(failed)?;
        }
        self.standby.step(Step::Linked).map_err(failed)
    }

    /// Brings the copy to where the backup ends, and says what it has. Blocks. **Errors**: the file system.
    pub fn settle(&self, vault: &VaultId, (at, height, head): Moment) -> Result<Backup, StandbyError> {
        let failed = |error| StandbyError::File(self.folder.clone(), error);
        let database = self.folder.join(DATABASE);
        let file = OpenOptions::new().read(true).write(true).open(&database).map_err(failed)?;
        let log = self.standby.folder().join(REDO);
        redo::read(&log, self.from, (self.until.frame, Tail::Strict), |_, pending| {
            pending.apply(&file).map_err(failed)
        })?;
        file.sync_all().map_err(failed)?;
        self.standby.step(Step::Settled).map_err(failed)?;
        let files = files(&self.folder).map_err(failed)?;
        let Position { frame, chain } = self.until;
        Ok(Backup { vault: vault.clone(), number: self.number, at, height, head, frame, chain, files })
    }

    /// Gives the backup its name, and removes all but the last two, with the log before them. **Errors**: the file system; it may
    /// have its name then.
    pub fn name(self, manifest: &SignedBackup) -> Result<(), StandbyError> {
        let backups = self.standby.folder().join(BACKUPS);
        let failed = |error| StandbyError::File(self.folder.clone(), error);
        let bytes = symphony_types::canonical::to_bytes(manifest);
        sync_folder(&self.folder.join(SEGMENTS)).map_err(failed)?;
        whole(&self.folder, MANIFEST, &bytes).map_err(failed)?;
        self.standby.step(Step::Signed).map_err(failed)?;
        let renamed = fs::rename(&self.folder, backups.join(self.number.to_string()));
        renamed.and_then(|()| sync_folder(&backups)).map_err(failed)?;
        self.standby.step(Step::Named).map_err(failed)?;
        self.standby.logged.store(0, Ordering::Relaxed);
        let kept = complete(&backups)?;
        if let Some((oldest, backup)) = kept.get(kept.len().saturating_sub(KEPT)) {
            for number in numbers(&backups)?.iter().filter(|number| *number < oldest) {
                fs::remove_dir_all(backups.join(number.to_string())).map_err(failed)?;
            }
            redo::drop_until(&self.standby.folder().join(REDO), backup.body.frame)?;
        }
        self.standby.step(Step::Pruned).map_err(failed)
    }
}

/// All files of a backup's folder but its manifest, by name.
fn files(folder: &Path) -> io::Result<Vec<BackupFile>> {
    let mut files = Vec::new();
    for name in file_names(folder)? {
        let (bytes, digest) = digest(&folder.join(&name))?;
        files.push(BackupFile { name, bytes, digest });
    }
    Ok(files)
}

/// The names of all files of a backup's folder but its manifest.
pub(crate) fn file_names(folder: &Path) -> io::Result<Vec<String>> {
    let segments = names(&folder.join(SEGMENTS))?.into_iter().map(|name| format!("{SEGMENTS}/{name}"));
    let mut all: Vec<String> = segments.chain(names(folder)?).filter(|name| name != MANIFEST).collect();
    all.sort();
    Ok(all)
}

/// The backups that have their name and a manifest, by number; those without one are told to the log. **Errors**: the file system.
pub(crate) fn complete(backups: &Path) -> Result<Vec<(u64, SignedBackup)>, StandbyError> {
    let mut found = Vec::new();
    for number in numbers(backups)? {
        match manifest(&backups.join(number.to_string())) {
            Ok(manifest) => found.push((number, manifest)),
            Err(error) => tracing::error!(%error, number, "a backup is damaged; take another"),
        }
    }
    Ok(found)
}

/// The numbers of the backups that have their name, ascending. **Errors**: the file system.
pub(crate) fn numbers(backups: &Path) -> Result<Vec<u64>, StandbyError> {
    let failed = |error| StandbyError::File(backups.to_owned(), error);
    let mut numbers: Vec<u64> = Vec::new();
    for file in fs::read_dir(backups).map_err(failed)? {
        let name = file.map_err(failed)?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The manifest of a backup, whoever signed it. **Errors**: it is not there, or damaged.
pub(crate) fn manifest(folder: &Path) -> Result<SignedBackup, StandbyError> {
    let path = folder.join(MANIFEST);
    let bytes = match fs::metadata(&path) {
        Ok(found) if found.len() > MANIFEST_MAX => Err(io::ErrorKind::FileTooLarge.into()),
        Ok(_) => fs::read(&path),
        Err(error) => Err(error),
    };
    let bytes = bytes.map_err(|error| StandbyError::File(path.clone(), error))?;
    bcs::from_bytes(&bytes).map_err(|_| StandbyError::Damaged(path, "it is no manifest"))
}

/// Removes backups that a crash kept from getting their name. **Errors**: the file system.
pub(crate) fn unfinished(backups: &Path) -> Result<(), StandbyError> {
    let failed = |error| StandbyError::File(backups.to_owned(), error);
    for file in fs::read_dir(backups).map_err(failed)? {
        let file = file.map_err(failed)?;
        if file.file_name().to_str().is_some_and(|name| name.ends_with(DRAFT)) {
            fs::remove_dir_all(file.path()).map_err(failed)?;
        }
    }
    Ok(())
}

pub(crate) const MANIFEST: &str = "manifest.bcs";
const DRAFT: &str = ".draft";
/// Backups that are kept.
const KEPT: usize = 2;
/// Room that is left beside a backup. **Units**: bytes.
const SPARE: u64 = 512 << 20;
/// A hundred thousand files. **Units**: bytes.
const MANIFEST_MAX: u64 = 16 << 20;
