//! Sealed bundles, sealed results and attestation reports: bulk that never passes the journal. The journal has
//! their digests. A bundle that is lost or changed is fetched again from its Vault; a report that is lost is shown as
//! absent, and the verifier rejects the result.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, VaultId};

/// Blobs of tasks, as files in a folder a task.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: PathBuf,
}

/// What a blob is.
#[derive(Clone, Debug)]
pub enum Kind<'a> {
    /// The task's keys, sealed to the slice enclaves.
    TaskKeys,
    /// A Vault's bundle, sealed to the aggregator.
    Bundle(&'a VaultId),
    /// Boot report of a Vault's slice enclave.
    SliceBoot(&'a VaultId),
    /// Attestation report of a slice.
    SliceReport(&'a VaultId),
    /// The result, sealed to the submitter.
    Result,
    /// Attestation report of the aggregation.
    AggregateReport,
    /// Boot report of the aggregator's enclave.
    AggregateBoot,
}

impl Kind<'_> {
    fn file(&self) -> String {
        match self {
            Self::TaskKeys => "task-keys".to_owned(),
            Self::Bundle(vault) => format!("bundle-{vault}"),
            Self::SliceBoot(vault) => format!("boot-{vault}"),
            Self::SliceReport(vault) => format!("report-{vault}"),
            Self::Result => "result".to_owned(),
            Self::AggregateReport => "aggregate-report".to_owned(),
            Self::AggregateBoot => "aggregate-boot".to_owned(),
        }
    }
}

impl Blobs {
    /// Blobs below a folder, which is made when absent. **Errors**: those of the file system.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes a blob whole and durably, or not at all. **Errors**: those of the file system.
    pub fn put(&self, task: &TaskId, kind: &Kind<'_>, bytes: &[u8]) -> io::Result<()> {
        let folder = self.folder.join(task.to_string());
        fs::create_dir_all(&folder)?;
        let (path, part) = (folder.join(kind.file()), folder.join(format!("{}.part", kind.file())));
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, &path)?;
        File::open(&folder)?.sync_all()
    }

    /// Reads a blob; `None` when it is not there.
    pub fn get(&self, task: &TaskId, kind: &Kind<'_>) -> Option<Vec<u8>> {
        fs::read(self.folder.join(task.to_string()).join(kind.file())).ok()
    }

    /// Reads a blob whose SHA-256 must be `digest`; `None` when it is absent or another.
    pub fn get_exact(&self, task: &TaskId, kind: &Kind<'_>, digest: Digest) -> Option<Vec<u8>> {
        self.get(task, kind).filter(|bytes| Digest::of_bytes(bytes) == digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_blob_is_not_served() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let task = TaskId(Digest::ZERO);
        blobs.put(&task, &Kind::Result, b"sealed").unwrap();
        let digest = Digest::of_bytes(b"sealed");
        assert_eq!(blobs.get_exact(&task, &Kind::Result, digest).unwrap(), b"sealed");
        fs::write(folder.path().join(task.to_string()).join("result"), b"sealee").unwrap();
        assert_eq!(blobs.get_exact(&task, &Kind::Result, digest), None);
    }
}
