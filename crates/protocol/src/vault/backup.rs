//! What a backup of a Vault has (R062, R078): a document of the Vault, so that a changed byte, or a file of another backup, is found
//! before anything of it is used. Files are sealed as they are in the Vault, and no key is among them.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::id::VaultId;
use symphony_types::key::{Document, Signed, Vault};
use symphony_types::time::OrderedMillis;

/// A backup: the Vault's database and segments at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The Vault.
    pub vault: VaultId,
    /// Its number; later ones have greater.
    pub number: u64,
    /// When it was begun.
    pub at: OrderedMillis,
    /// Height of the Vault's journal then; the copy has this entry, and maybe later ones.
    pub height: u64,
    /// Digest of the journal's entry at that height.
    pub head: Digest,
    /// The last frame of the standby's log that the copy has.
    pub frame: u64,
    /// The chain of the log up to there.
    pub chain: Digest,
    /// Its files, by name.
    pub files: Vec<BackupFile>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its path in the backup's folder.
    pub name: String,
    /// Its length. **Units**: bytes.
    pub bytes: u64,
    /// SHA-256 of it.
    pub digest: Digest,
}

impl Document for Backup {
    const TAG: &'static str = "symphony/vault-backup/v1";
}

/// A backup's manifest with the signature of its Vault.
pub type SignedBackup = Signed<Backup, Vault>;
