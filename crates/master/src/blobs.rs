//! Sealed bundles, sealed results and attestation reports: bulk that never passes the journal. The journal has
//! their digests, and a blob is found by its digest: two attempts at a task lie side by side. A bundle that is lost or
//! changed is fetched again from another master or from its Vault; a report that no master has is shown as absent, and
//! the verifier rejects the result.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};

/// Blobs of one kind that a task may have: one an attempt.
pub const BLOBS_PER_KIND_MAX: usize = 16;

/// Blobs of tasks, as files in a folder a task.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: PathBuf,
}

/// What a blob is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Vault's bundle, sealed to the aggregator.
    Bundle(VaultId),
    /// Attestation report of a slice.
    SliceReport(VaultId),
    /// Boot report of a Vault's slice enclave.
    SliceBoot(VaultId),
    /// The result, sealed to the submitter.
    Result,
    /// Attestation report of the aggregation.
    AggregateReport,
    /// Boot report of the aggregator's enclave.
    AggregateBoot,
    /// What a round of a training leaves beside the journal.
    Round(u32),
}

impl Kind {
    /// The kind's word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Bundle(_) => "bundle",
            Self::SliceReport(_) => "slice-report",
            Self::SliceBoot(_) => "slice-boot",
            Self::Result => "result",
            Self::AggregateReport => "aggregate-report",
            Self::AggregateBoot => "aggregate-boot",
            Self::Round(_) => "round",
        }
    }

    /// The Vault of a slice's blob.
    pub const fn vault(&self) -> Option<&VaultId> {
        match self {
            Self::Bundle(vault) | Self::SliceReport(vault) | Self::SliceBoot(vault) => Some(vault),
            Self::Result | Self::AggregateReport | Self::AggregateBoot | Self::Round(_) => None,
        }
    }

    /// The number of a round's blob; zero for the others.
    pub const fn round(&self) -> u32 {
        match self {
            Self::Round(round) => *round,
            Self::Bundle(_)
            | Self::SliceReport(_)
            | Self::SliceBoot(_)
            | Self::Result
            | Self::AggregateReport
            | Self::AggregateBoot => 0,
        }
    }

    /// The kind of a word with a Vault or a round; `None` when there is no such kind, or it wants another.
    pub fn parse(word: &str, vault: &str, round: u32) -> Option<Self> {
        let of_slice = || VaultId::new(vault).ok().filter(|_| round == 0);
        let of_task = |kind| (vault.is_empty() && round == 0).then_some(kind);
        match word {
            "bundle" => Some(Self::Bundle(of_slice()?)),
            "slice-report" => Some(Self::SliceReport(of_slice()?)),
            "slice-boot" => Some(Self::SliceBoot(of_slice()?)),
            "result" => of_task(Self::Result),
            "aggregate-report" => of_task(Self::AggregateReport),
            "aggregate-boot" => of_task(Self::AggregateBoot),
            "round" if vault.is_empty() && round > 0 => Some(Self::Round(round)),
            _ => None,
        }
    }

    /// For a boot report the kind of the attestation report that names it.
    pub fn named_by(&self) -> Option<Self> {
        match self {
            Self::SliceBoot(vault) => Some(Self::SliceReport(vault.clone())),
            Self::AggregateBoot => Some(Self::AggregateReport),
            Self::Bundle(_)
            | Self::SliceReport(_)
            | Self::Result
            | Self::AggregateReport
            | Self::Round(_) => None,
        }
    }

    fn file(&self) -> String {
        match self.vault() {
            Some(vault) => format!("{}-{vault}", self.word()),
            None if self.round() > 0 => format!("{}-{}", self.word(), self.round()),
            None => self.word().to_owned(),
        }
    }
}

/// Where a blob is found, on every master alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The task.
    pub task: TaskId,
    /// What it is.
    pub kind: Kind,
    /// SHA-256 of the blob; of a boot report, whose digest nobody states: of the attestation report that names it.
    pub digest: Digest,
}

impl Blobs {
    /// Blobs below a folder, which is made when absent. **Errors**: those of the file system.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes a blob whole and durably, or not at all. **Errors**: those of the file system.
    pub fn put(&self, place: &Place, bytes: &[u8]) -> io::Result<()> {
        self.write(&place.task, &file_name(place), bytes)
    }

    /// Reads what lies at a place, which need not be what belongs there; `None` when there is nothing.
    pub fn get(&self, place: &Place) -> Option<Vec<u8>> {
        self.read(&place.task, &file_name(place))
    }

    /// How many blobs of its kind lie beside a place.
    pub fn beside(&self, place: &Place) -> usize {
        let Ok(files) = fs::read_dir(self.folder.join(place.task.to_string())) else { return 0 };
        let (kind, own) = (place.kind.file(), file_name(place));
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        names.filter(|name| *name != own && name.rsplit_once('.').is_some_and(|(of, _)| of == kind)).count()
    }

    /// Keeps what this master's aggregator made of a task's keys. It serves no other master, so it has no digest.
    /// **Errors**: those of the file system.
    pub fn put_keys(&self, task: &TaskId, bytes: &[u8]) -> io::Result<()> {
        self.write(task, TASK_KEYS, bytes)
    }

    /// What [`Blobs::put_keys`] kept.
    pub fn keys(&self, task: &TaskId) -> Option<Vec<u8>> {
        self.read(task, TASK_KEYS)
    }

    fn write(&self, task: &TaskId, name: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = self.folder.join(task.to_string());
        fs::create_dir_all(&folder)?;
        let (path, part) = (folder.join(name), folder.join(format!("{name}.part")));
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, &path)?;
        File::open(&folder)?.sync_all()
    }

    fn read(&self, task: &TaskId, name: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.join(task.to_string()).join(name)).ok()
    }
}

fn file_name(place: &Place) -> String {
    format!("{}.{}", place.kind.file(), place.digest)
}

const TASK_KEYS: &str = "task-keys";

#[cfg(test)]
mod tests {
    use super::*;

    fn place(kind: Kind, bytes: &[u8]) -> Place {
        Place { task: TaskId(Digest::ZERO), kind, digest: Digest::of_bytes(bytes) }
    }

    /// R196: the bundles of two attempts do not overwrite each other.
    #[test]
    fn blobs_of_two_attempts_lie_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let bundle = |vault: &str| Kind::Bundle(VaultId::new(vault).unwrap());
        let (first, second) = (place(bundle("a"), b"first"), place(bundle("a"), b"second"));
        blobs.put(&first, b"first").unwrap();
        assert_eq!((blobs.beside(&first), blobs.beside(&second)), (0, 1));
        blobs.put(&second, b"second").unwrap();
        assert_eq!(blobs.get(&first).unwrap(), b"first");
        assert_eq!(blobs.get(&second).unwrap(), b"second");
        assert_eq!(blobs.get(&place(bundle("b"), b"first")), None);
        assert_eq!(blobs.beside(&place(bundle("b"), b"first")), 0);
        blobs.put_keys(&first.task, b"keys").unwrap();
        assert_eq!(blobs.keys(&first.task).unwrap(), b"keys");
    }

    /// Every kind is found again by its word with its Vault or round, and by nothing else; task keys have no kind and stay here.
    #[test]
    fn kinds_survive_their_words() {
        let vault = VaultId::new("a").unwrap();
        let kinds = [
            Kind::Bundle(vault.clone()),
            Kind::SliceReport(vault.clone()),
            Kind::SliceBoot(vault),
            Kind::Result,
            Kind::AggregateReport,
            Kind::AggregateBoot,
            Kind::Round(7),
        ];
        for kind in kinds {
            let vault = kind.vault().map_or("", VaultId::as_str);
            assert_eq!(Kind::parse(kind.word(), vault, kind.round()), Some(kind.clone()));
            assert_eq!(Kind::parse(kind.word(), if vault.is_empty() { "a" } else { "" }, kind.round()), None);
        }
        assert_eq!(Kind::parse("round", "", 0), None);
        assert_eq!(Kind::parse("result", "", 1), None);
        assert_eq!(Kind::parse(TASK_KEYS, "", 0), None);
        assert_eq!(Kind::parse("../result", "", 0), None);
    }
}
