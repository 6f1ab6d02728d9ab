//! The folder of a standby: which Vault it belongs to, whether the Vault's folder is what it was left as, and the step between both
//! places of each write (R062, R211).
//!
//! **Layout**: `standby.id`, which the Vault's folder has too; `keys`; `segments`; `redo`; `backups/<number>`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use thiserror::Error;

use crate::backup::{complete, unfinished};
use crate::files::{copy, names, read, room, sync_folder, whole};
use crate::place::bring;
use crate::redo::{self, BLOCK, Pending, Position, Redo, Tail};

/// Why a standby cannot be used, or a Vault not be brought back from one.
#[derive(Debug, Error)]
pub enum StandbyError {
    /// The file system failed.
    #[error("{}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// A file is not as it was written.
    #[error("{}: {fault}", .0.display(), fault = .1)]
    Damaged(PathBuf, &'static str),
    /// Another node has it open.
    #[error("the standby {} is in use by another process", .0.display())]
    Taken(PathBuf),
    /// The Vault's folder belongs to a standby that is not here.
    #[error(
        "the standby of {} is not at {}: bring it back; only if it is lost for good, remove standby.id from the vault's folder and \
         begin another one",
        .0.display(), .1.display()
    )]
    Gone(PathBuf, PathBuf),
    /// The Vault's folder belongs to a standby, and is to be used without.
    #[error(
        "the vault's folder {} has a standby: name it in the node's configuration; to give it up for good, remove standby.id",
        .0.display()
    )]
    Unnamed(PathBuf),
    /// The standby belongs to another folder or Vault, or is something else.
    #[error("{} is not an empty folder, and not the standby of {}", .0.display(), .1.display())]
    Foreign(PathBuf, PathBuf),
    /// There is nothing where the Vault's folder was.
    #[error("the vault's database is not at {}, and its standby has it: bring it back with `symphonyd restore`", .0.display())]
    Lost(PathBuf),
    /// The Vault's folder is older than what was answered from it.
    #[error(
        "the database at {} is not the one that its standby was left with: it is an older copy, or was changed without its standby; \
         move the folder away and bring the latest back with `symphonyd restore`",
        .0.display()
    )]
    Old(PathBuf),
    /// Restoring would write over something.
    #[error("{} is there already: move it away first", .0.display())]
    Present(PathBuf),
    /// There is no whole backup.
    #[error("there is no backup {number} in {}", .0.display(), number = .1)]
    NoBackup(PathBuf, String),
    /// A backup is not this Vault's.
    #[error("{}: the vault did not sign this", .0.display())]
    Unsigned(PathBuf),
    /// A disk has not enough room.
    #[error("{} needs room for {needed} bytes, and has {found}", .0.display(), needed = .1, found = .2)]
    Room(PathBuf, u64, u64),
}

/// What was just done in one place, and not yet in the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A key file or segment was written, overwritten or removed in the standby.
    Mirrored,
    /// A frame is in the log.
    Logged,
    /// Its blocks are in the database.
    Applied,
    /// The folder of a backup is made.
    Begun,
    /// It has a copy of the database, from several moments.
    Copied,
    /// It has the segments, and its end in the log is fixed.
    Linked,
    /// Its database is that of its end.
    Settled,
    /// Its manifest is on disk.
    Signed,
    /// It has its name.
    Named,
    /// What it replaces is removed.
    Pruned,
    /// Restoring: the backup's files are verified and copied.
    Unpacked,
    /// All later frames are in the database.
    Redone,
    /// Keys and segments are copied.
    Keyed,
    /// All was checked, and gets its name next.
    Checked,
}

/// Is told each step and may fail it: how tests stop a node wherever a crash could.
pub type Watch = dyn Fn(Step) -> io::Result<()> + Send + Sync;

/// The standby of a Vault that is open.
pub struct Standby {
    folder: PathBuf,
    id: String,
    fresh: AtomicBool,
    log: Mutex<Redo>,
    watch: Mutex<Option<Arc<Watch>>>,
    /// After a fault nothing is written any more: what is on which disk is not known.
    dead: AtomicBool,
    /// Bytes of frames since the last backup.
    pub(crate) logged: AtomicU64,
    /// Held as long as it is open.
    _lock: File,
}

impl Standby {
    /// Opens the standby of the Vault whose folder this is, before anything else of it is opened. On first use it is made, and is
    /// [`Self::fresh`] until it has a backup. What a crash left between both places is brought over.
    ///
    /// **Errors**: it is not this folder's, the folder is older than it, or a file is damaged.
    pub fn open(folder: &Path, vault: &VaultId, data: &Path) -> Result<Arc<Self>, StandbyError> {
        let failed = |error| StandbyError::File(folder.to_owned(), error);
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = lock(folder)?;
        fs::create_dir_all(data).map_err(|error| StandbyError::File(data.to_owned(), error))?;
        let fresh = Self::belongs(folder, vault, data)?;
        let disk = |place: &Path| fs::metadata(place).map(|found| found.dev()).ok();
        if disk(folder) == disk(data) {
            tracing::warn!(standby = %folder.display(), "the standby is on the disk of the vault's folder");
        }
        for part in PARTS {
            fs::create_dir_all(folder.join(part)).map_err(failed)?;
        }
        let (log, id) = if fresh {
            Self::begin(folder, vault, data)?
        } else {
            let log = Self::compare(folder, data)?;
            (log, id_of(folder).map_err(failed)?.unwrap_or_default())
        };
        bring(data, &folder.join(KEYS))?;
        unfinished(&folder.join(BACKUPS))?;
        let newest = complete(&folder.join(BACKUPS))?
            .last()
            .map_or(Ok(0), |(_, backup)| redo::bytes(&folder.join(REDO), backup.body.frame))?;
        let standby = Self {
            folder: folder.to_owned(),
            id,
            fresh: fresh.into(),
            log: Mutex::new(log),
            watch: Mutex::default(),
            dead: AtomicBool::new(false),
            logged: newest.into(),
            _lock: lock,
        };
        if !fresh && id_of(data).map_err(failed)?.is_none() {
            // A crash came between the two places' names.
            standby.note(data)?;
        }
        Ok(Arc::new(standby))
    }

    /// Whether both places are to be made one another's. **Errors**: they are not.
    fn belongs(folder: &Path, vault: &VaultId, data: &Path) -> Result<bool, StandbyError> {
        let id = |place: &Path| id_of(place).map_err(|error| StandbyError::File(place.join(ID_FILE), error));
        let foreign = || StandbyError::Foreign(folder.to_owned(), data.to_owned());
        let there = data.join(DATABASE).exists();
        match (id(folder)?, id(data)?) {
            (None, Some(_)) => Err(StandbyError::Gone(data.to_owned(), folder.to_owned())),
            (Some(_), _) if !there => Err(StandbyError::Lost(data.to_owned())),
            (Some(one), Some(other)) if one != other => Err(foreign()),
            (Some(one), _) if one.split(' ').next() != Some(vault.as_str()) => Err(foreign()),
            (Some(_), _) => Ok(false),
            (None, None) => {
                let found =
                    fs::read_dir(folder).map_err(|error| StandbyError::File(folder.to_owned(), error))?;
                let known = |name: &str| name == LOCK || PARTS.contains(&name) || name == NEW_ID;
                for file in found.flatten() {
                    if !file.file_name().to_str().is_some_and(known) {
                        return Err(foreign());
                    }
                }
                Ok(true)
            }
        }
    }

    /// Begins anew, with all segments: what an earlier beginning left that a crash ended is no use.
    fn begin(folder: &Path, vault: &VaultId, data: &Path) -> Result<(Redo, String), StandbyError> {
        let failed = |error| StandbyError::File(folder.to_owned(), error);
        for part in [REDO, BACKUPS, SEGMENTS] {
            fs::remove_dir_all(folder.join(part))
                .and_then(|()| fs::create_dir(folder.join(part)))
                .map_err(failed)?;
        }
        let segments = data.join(DATA_SEGMENTS);
        for name in names(&segments).map_err(failed)? {
            copy(&segments.join(&name), &folder.join(SEGMENTS).join(&name)).map_err(failed)?;
        }
        sync_folder(&folder.join(SEGMENTS)).map_err(failed)?;
        let mut random = [0; 32];
        io::Read::read_exact(&mut File::open("/dev/urandom").map_err(failed)?, &mut random)
            .map_err(failed)?;
        let id = format!("{} {}", vault.as_str(), Digest(random));
        Ok((Redo::begin(&folder.join(REDO), Position::START).map_err(failed)?, id))
    }

    /// Whether the database is what the log ends with, but for the last frame, which is written again. **Errors**: it is not.
    fn compare(folder: &Path, data: &Path) -> Result<Redo, StandbyError> {
        let backups = complete(&folder.join(BACKUPS))?;
        let (number, newest) =
            backups.last().ok_or_else(|| StandbyError::NoBackup(folder.to_owned(), String::new()))?;
        let database = data.join(DATABASE);
        let failed = |error| StandbyError::File(database.clone(), error);
        let base = folder.join(BACKUPS).join(number.to_string()).join(DATABASE);
        let mut heads = [head(&base).map_err(|error| StandbyError::File(base.clone(), error))?; 2];
        let mut last = Pending::default();
        let from = Position { frame: newest.body.frame, chain: newest.body.chain };
        let end = redo::read(&folder.join(REDO), from, (u64::MAX, Tail::Lenient), |_, pending| {
            let next = pending.blocks.get(&0).and_then(|block| block.first_chunk()).copied();
            heads = [heads[1], next.unwrap_or(heads[1])];
            last = pending;
            Ok(())
        })?;
        let now = head(&database).map_err(failed)?;
        if !heads.contains(&now) {
            return Err(StandbyError::Old(data.to_owned()));
        }
        if !last.is_empty() {
            let file = OpenOptions::new().read(true).write(true).open(&database).map_err(failed)?;
            last.apply(&file).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Redo::resume(&folder.join(REDO), &end).map_err(|error| StandbyError::File(folder.join(REDO), error))
    }

    /// Whether it has no backup yet, and does not belong to the Vault's folder before it has.
    pub fn fresh(&self) -> bool {
        self.fresh.load(Ordering::Acquire)
    }

    /// Makes a fresh one that of the Vault's folder. **Errors**: the file system.
    pub fn adopt(&self, data: &Path) -> Result<(), StandbyError> {
        self.note(&self.folder)?;
        self.note(data)?;
        self.fresh.store(false, Ordering::Release);
        Ok(())
    }

    fn note(&self, place: &Path) -> Result<(), StandbyError> {
        let written = whole(place, ID_FILE, self.id.as_bytes());
        written.map_err(|error| StandbyError::File(place.join(ID_FILE), error))
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.join(KEYS)
    }

    pub(crate) fn segments(&self) -> PathBuf {
        self.folder.join(SEGMENTS)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Redo> {
        // A panic while writing leaves it dead; what was written is read again at the next start.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a frame, has it in the file, and returns once both are on disk. **Errors**: those of the file system; then nothing
    /// more is written.
    pub(crate) fn commit(&self, pending: &Pending, len: u64, file: &File) -> io::Result<()> {
        let done = self.write(pending, len, file);
        if let Err(error) = &done {
            self.dead.store(true, Ordering::Release);
            tracing::error!(standby = %self.folder.display(), %error, "a change could not be written to both places");
        }
        self.logged.fetch_add((pending.blocks.len() * BLOCK) as u64, Ordering::Relaxed);
        done
    }

    fn write(&self, pending: &Pending, len: u64, file: &File) -> io::Result<()> {
        let mut log = self.log();
        self.alive()?;
        log.append(pending, len)?;
        self.step(Step::Logged)?;
        pending.apply(file)?;
        file.sync_data()?;
        self.step(Step::Applied)
    }

    /// **Errors**: something failed before.
    pub(crate) fn alive(&self) -> io::Result<()> {
        if self.dead.load(Ordering::Acquire) {
            return Err(io::Error::other("the standby failed before; the node starts again"));
        }
        Ok(())
    }

    /// Whether there is room for what is asked of a node at a time. **Errors**: there is not, or the standby is gone.
    pub fn ready(&self) -> Result<(), StandbyError> {
        let failed = |error| StandbyError::File(self.folder.clone(), error);
        self.alive().map_err(failed)?;
        let found = room(&self.keys()).map_err(failed)?;
        if found < RESERVE { Err(StandbyError::Room(self.folder.clone(), RESERVE, found)) } else { Ok(()) }
    }

    /// Tells the log when there is not much room any more for a database of `len` bytes. **Errors**: the standby is gone.
    pub fn tell_room(&self, len: u64) -> Result<(), StandbyError> {
        let found = room(&self.keys()).map_err(|error| StandbyError::File(self.folder.clone(), error))?;
        let wanted = len.saturating_mul(2).saturating_add(LOG_MIN);
        if found < wanted {
            let standby = self.folder.display();
            tracing::warn!(%standby, bytes = found, wanted, "the standby has not much room left");
        }
        Ok(())
    }

    /// Whether so much was logged since the last backup that another one saves room.
    pub fn backup_due(&self, database: u64) -> bool {
        self.logged.load(Ordering::Relaxed) > LOG_MIN.max(database.saturating_mul(2))
    }

    /// Tells all steps from now on to a watch: for tests of what a crash leaves.
    pub fn watch(&self, watch: Arc<Watch>) {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
    }

    pub(crate) fn step(&self, step: Step) -> io::Result<()> {
        self.alive()?;
        let watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let watched = watch.map_or(Ok(()), |watch| watch(step));
        if watched.is_err() {
            self.dead.store(true, Ordering::Release);
        }
        watched
    }
}

/// The lock of a standby. **Errors**: somebody else holds it.
pub(crate) fn lock(folder: &Path) -> Result<File, StandbyError> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|error| StandbyError::File(path, error))?;
    file.try_lock().map_err(|_| StandbyError::Taken(folder.to_owned()))?;
    Ok(file)
}

/// What a folder says it belongs to.
fn id_of(folder: &Path) -> io::Result<Option<String>> {
    let found = read(&folder.join(ID_FILE))?;
    Ok(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The first sector of a database, which each transaction changes: it has the checksums of all that hangs below. One that is not there
/// is all zero.
fn head(database: &Path) -> io::Result<[u8; SECTOR]> {
    use std::os::unix::fs::FileExt as _;
    let mut head = [0; SECTOR];
    match File::open(database)?.read_exact_at(&mut head, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok([0; SECTOR]),
        read => read.map(|()| head),
    }
}

/// Says which standby a Vault's folder belongs to.
pub const ID_FILE: &str = "standby.id";
const NEW_ID: &str = "standby.id.new";
const LOCK: &str = "lock";
/// The database of a Vault's folder, and of a backup.
pub const DATABASE: &str = "vault.redb";
pub(crate) const KEYS: &str = "keys";
pub(crate) const SEGMENTS: &str = "segments";
pub(crate) const REDO: &str = "redo";
pub(crate) const BACKUPS: &str = "backups";
const PARTS: [&str; 4] = [KEYS, SEGMENTS, REDO, BACKUPS];
/// Where a Vault's folder has its segments.
pub(crate) const DATA_SEGMENTS: &str = "analysis/segments";
const SECTOR: usize = 512;
/// Room below which nothing more is taken. **Units**: bytes.
const RESERVE: u64 = 256 << 20;
/// A log that needs no backup to be dropped yet. **Units**: bytes.
const LOG_MIN: u64 = 1 << 30;
