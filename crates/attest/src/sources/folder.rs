//! The kernel's report folder, `/sys/kernel/config/tsm/report` (since Linux 6.7): make an entry, write what is to be
//! bound, read the report. The entry's generation tells whether somebody else wrote in between.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::evidence::{BYTES_MAX, Evidence, Format, TABLE_BYTES_MAX};
use crate::sources::{EvidenceSource, SourceError};

/// The folder of a confidential virtual machine.
#[derive(Clone, Debug)]
pub struct ReportFolder {
    root: PathBuf,
}

impl ReportFolder {
    /// The kernel's own place.
    pub fn of_kernel() -> Self {
        Self::at("/sys/kernel/config/tsm/report")
    }

    /// Another place with the same files.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

impl EvidenceSource for ReportFolder {
    fn evidence(&self, report_data: &[u8; 64]) -> Result<Evidence, SourceError> {
        let entry = self.root.join(ENTRY);
        match fs::create_dir(&entry) {
            Ok(()) => {}
            // A process that died left it; the generation protects against one that lives.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(SourceError::File { path: entry, source }),
        }
        let evidence = undisturbed(&entry, report_data);
        // An entry that stays behind is used again, so a failure to remove it harms nothing.
        let _ = fs::remove_dir(&entry);
        evidence
    }
}

fn undisturbed(entry: &Path, report_data: &[u8; 64]) -> Result<Evidence, SourceError> {
    for _ in 0..ATTEMPTS {
        let before = generation(entry)?;
        let path = entry.join("inblob");
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(report_data))
            .map_err(|source| SourceError::File { path, source })?;
        let body = read(&entry.join("outblob"), BYTES_MAX)?;
        let table = match read(&entry.join("auxblob"), TABLE_BYTES_MAX) {
            Ok(table) => table,
            // Providers without certificates have no such file.
            Err(SourceError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let provider = text(&entry.join("provider"))?;
        // One write, one generation: anything else says that the report may bind another's bytes.
        if generation(entry)? == before.wrapping_add(1) {
            return Ok(Evidence::with_table(format(&provider)?, &body, &table)?);
        }
    }
    Err(SourceError::Disturbed(ATTEMPTS))
}

fn format(provider: &str) -> Result<Format, SourceError> {
    match provider {
        "sev_guest" => Ok(Format::AmdReport),
        "tdx_guest" => Ok(Format::IntelQuote),
        other => Err(SourceError::Provider(other.to_owned())),
    }
}

fn generation(entry: &Path) -> Result<u64, SourceError> {
    let path = entry.join("generation");
    text(&path)?.parse().map_err(|error| SourceError::File {
        path,
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    })
}

fn text(path: &Path) -> Result<String, SourceError> {
    let bytes = read(path, TEXT_MAX)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

fn read(path: &Path, max: usize) -> Result<Vec<u8>, SourceError> {
    let fault = |source| SourceError::File { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(fault)?.take(max as u64 + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() > max {
        return Err(SourceError::TooLong(path.to_owned()));
    }
    Ok(bytes)
}

const ENTRY: &str = "symphony";
const ATTEMPTS: u32 = 3;
const TEXT_MAX: usize = 64;
