//! A Vault's folder out of its standby: the newest backup, and every frame since (R062, R066, R078).
//!
//! It is made beside and gets its name when somebody has looked at all of it, so a fault or a crash leaves no folder, and a restore can
//! be run again. The standby stays as it is. What comes back is what the last answer rests on: an older state has no way in.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use symphony_protocol::vault::backup::{Backup, BackupFile};
use symphony_types::id::VaultId;
use symphony_types::key::{PublicKey, Vault};

use crate::backup::{MANIFEST, file_names, manifest, numbers};
use crate::files::{copy, digest, names, sync_folder};
use crate::place::is_key;
use crate::redo::{self, Position, Tail};
use crate::standby::{
    BACKUPS, DATA_SEGMENTS, DATABASE, ID_FILE, KEYS, REDO, SEGMENTS, StandbyError, Step, Watch, lock,
};

/// A folder that was made of a standby, and has no name yet.
pub struct Restored {
    /// What it began with.
    pub backup: Backup,
    /// Frames that came after that.
    pub frames: u64,
    draft: PathBuf,
    folder: PathBuf,
    watch: Arc<Watch>,
    _lock: File,
}

/// Makes the folder of a Vault out of its standby, beside where it was: of the newest backup, or of an earlier one, and all frames
/// after it. Blocks.
///
/// **Errors**: the folder is there, or a file is not as it was written, by its name; nothing is left then that a next attempt minds.
pub fn restore(
    standby: &Path,
    folder: &Path,
    (vault, key): (&VaultId, &PublicKey<Vault>),
    number: Option<u64>,
    watch: Arc<Watch>,
) -> Result<Restored, StandbyError> {
    if folder.exists() && fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()) {
        return Err(StandbyError::Present(folder.to_owned()));
    }
    let lock = lock(standby)?;
    let numbers = numbers(&standby.join(BACKUPS))?;
    let chosen = number.or(numbers.last().copied()).filter(|number| numbers.contains(number));
    let missing = || StandbyError::NoBackup(standby.to_owned(), number.unwrap_or_default().to_string());
    let source = standby.join(BACKUPS).join(chosen.ok_or_else(missing)?.to_string());
    let backup = verified(&source, vault, key)?;
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    let draft = folder.with_file_name(name);
    let failed = |error| StandbyError::File(draft.clone(), error);
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(failed)?;
    }
    fs::create_dir_all(draft.join(DATA_SEGMENTS)).map_err(failed)?;
    let database = draft.join(DATABASE);
    let found = copy(&source.join(DATABASE), &database).map_err(failed)?;
    let whole = |file: &BackupFile| file.name == DATABASE && (file.bytes, file.digest) == found;
    if !backup.files.iter().any(whole) {
        return Err(StandbyError::Damaged(source.join(DATABASE), "it is not what the manifest says"));
    }
    watch(Step::Unpacked).map_err(failed)?;
    let file = OpenOptions::new().read(true).write(true).open(&database).map_err(failed)?;
    let from = Position { frame: backup.frame, chain: backup.chain };
    let apply = |_, pending: redo::Pending| pending.apply(&file).map_err(failed);
    let end = redo::read(&standby.join(REDO), from, (u64::MAX, Tail::Strict), apply)?;
    file.sync_all().map_err(failed)?;
    watch(Step::Redone).map_err(failed)?;
    copied(&standby.join(KEYS), &draft, is_key).map_err(failed)?;
    copied(&standby.join(SEGMENTS), &draft.join(DATA_SEGMENTS), |_| true).map_err(failed)?;
    copied(standby, &draft, |name| name == ID_FILE).map_err(failed)?;
    watch(Step::Keyed).map_err(failed)?;
    let frames = end.position.frame - backup.frame;
    Ok(Restored { backup, frames, draft, folder: folder.to_owned(), watch, _lock: lock })
}

impl Restored {
    /// Where it is, to be looked at.
    pub fn draft(&self) -> &Path {
        &self.draft
    }

    /// Gives it the name of the Vault's folder. **Errors**: those of the file system.
    pub fn name(self) -> Result<(), StandbyError> {
        let failed = |error| StandbyError::File(self.folder.clone(), error);
        (self.watch)(Step::Checked).map_err(failed)?;
        fs::rename(&self.draft, &self.folder).map_err(failed)?;
        self.folder.parent().map_or(Ok(()), sync_folder).map_err(failed)?;
        (self.watch)(Step::Named).map_err(failed)
    }
}

/// The manifest of a backup whose files are all as it says. **Errors**: the first file that is not, or is missing or too much.
fn verified(source: &Path, vault: &VaultId, key: &PublicKey<Vault>) -> Result<Backup, StandbyError> {
    let signed = manifest(source)?;
    if !signed.verify(key) || signed.body.vault != *vault {
        return Err(StandbyError::Unsigned(source.join(MANIFEST)));
    }
    let backup = signed.body;
    let found = file_names(source).map_err(|error| StandbyError::File(source.to_owned(), error))?;
    if let Some(other) = found.iter().find(|name| !backup.files.iter().any(|file| file.name == **name)) {
        return Err(StandbyError::Damaged(source.join(other), "the manifest does not have it"));
    }
    // The database is looked at while it is copied.
    for file in backup.files.iter().filter(|file| file.name != DATABASE) {
        let path = source.join(&file.name);
        let found = digest(&path).map_err(|error| StandbyError::File(path.clone(), error))?;
        if found != (file.bytes, file.digest) {
            return Err(StandbyError::Damaged(path, "it is not what the manifest says"));
        }
    }
    Ok(backup)
}

/// Copies files whose name is wanted.
fn copied(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<()> {
    for name in names(from)?.iter().filter(|name| wanted(name)) {
        copy(&from.join(name), &to.join(name))?;
    }
    sync_folder(to)
}
