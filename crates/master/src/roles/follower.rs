//! The governance log as a role keeps it that has no journal: entries in one file, checked again at every start (R194).

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, anyhow};
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::log::{Followed, LogEntry, LogUpdate};
use symphony_types::catalogue::Code;
use symphony_types::id::GovernanceSequence;
use symphony_wire::documents::{decode, encode};

/// What is known of the log, in memory and on disk.
pub(super) struct Follower {
    file: PathBuf,
    known: Mutex<(Followed, Vec<LogEntry>)>,
}

impl Follower {
    /// What the folder keeps, over the founding governance. **Errors**: the file cannot be read, or does not verify.
    pub(super) fn open(folder: &Path, founded: Governance) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let file = folder.join(FILE);
        let entries: Vec<LogEntry> = match fs::read(&file) {
            Ok(bytes) => decode(&bytes).with_context(|| format!("reading {}", file.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => vec![],
            Err(error) => return Err(error).with_context(|| format!("reading {}", file.display())),
        };
        let mut followed = Followed::new(founded);
        for entry in &entries {
            followed.enact(entry).map_err(|code| anyhow!("entry {}: {code}", entry.sequence))?;
        }
        Ok(Self { file, known: Mutex::new((followed, entries)) })
    }

    /// What governs now.
    pub(super) fn governance(&self) -> Governance {
        self.known().0.governance().clone()
    }

    /// Enacts what is new of an update once it is durable, and says where it is. **Errors**: `GOV-0015`, `GOV-0004` when it
    /// cannot be kept.
    pub(super) fn follow(&self, update: &LogUpdate) -> Result<GovernanceSequence, (Code, String)> {
        let mut known = self.known();
        let mut followed = known.0.clone();
        let new = match followed.follow(update) {
            Ok(new) => new,
            Err(Code::GovernanceBehind) => return Ok(known.0.governance().sequence),
            Err(code) => return Err((code, code.title().to_owned())),
        };
        if !new.is_empty() {
            let mut entries = known.1.clone();
            entries.extend_from_slice(new);
            self.keep(&entries).map_err(|error| (Code::Internal, error.to_string()))?;
            for entry in new {
                let change = entry.proposal.body.change.as_str();
                tracing::info!(sequence = %entry.sequence, change, "governance changed");
            }
            *known = (followed, entries);
        }
        Ok(known.0.governance().sequence)
    }

    fn keep(&self, entries: &[LogEntry]) -> std::io::Result<()> {
        let part = self.file.with_extension("part");
        let mut file = File::create(&part)?;
        file.write_all(&encode(&entries))?;
        file.sync_all()?;
        fs::rename(&part, &self.file)
    }

    fn known(&self) -> MutexGuard<'_, (Followed, Vec<LogEntry>)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const FILE: &str = "governance.log";
