//! Where evidence is made: the kernel's report folder of a confidential virtual machine, and the security module of an
//! AWS enclave. The only part of this crate that touches the machine.
//!
//! A quote can take seconds, so an enclave asks once a start and signs its work with the key that the quote binds.

mod device;
mod folder;

use std::io;
use std::path::PathBuf;

pub use device::NitroDevice;
pub use folder::ReportFolder;

use crate::evidence::Evidence;
use crate::fault::Fault;

/// Makes evidence that binds 64 bytes.
pub trait EvidenceSource {
    /// Evidence of this machine over `report_data`.
    ///
    /// **Errors**: [`SourceError`].
    fn evidence(&self, report_data: &[u8; 64]) -> Result<Evidence, SourceError>;
}

/// The source of a word, as configuration names it.
pub fn named(word: &str) -> Option<Box<dyn EvidenceSource + Send + Sync>> {
    match word {
        "configfs-tsm" => Some(Box::new(ReportFolder::of_kernel())),
        "nitro" => Some(Box::new(NitroDevice::of_enclave())),
        _ => None,
    }
}

/// Why a machine gave no evidence.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file of the kernel or a device; absent files say that this is no such machine.
    #[error("using {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds more than any report.
    #[error("{0} holds more than a report")]
    TooLong(PathBuf),
    /// Someone else used the same entry at the same time, again and again.
    #[error("the report was disturbed {0} times by another writer")]
    Disturbed(u32),
    /// A provider whose evidence is not verified here.
    #[error("unknown provider {0:?}")]
    Provider(String),
    /// The security module's answer.
    #[error("the security module answered {0}")]
    Module(String),
    /// What came is no evidence.
    #[error("what the machine gave is no evidence")]
    Evidence(#[from] Fault),
}
