//! What a chain has executed, in a file, so that a development network finds its money again after a pause. Entries are appended as
//! they happen; what was cut off by a crash is dropped.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::vm::Address;

/// What happened to a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A block.
    Executed {
        /// Its transaction in canonical bytes.
        transaction: Vec<u8>,
        /// When, in microseconds.
        time_us: u64,
    },
    /// Gas for nothing.
    Funded {
        /// Whose.
        account: Address,
        /// How much, in octas.
        amount: u64,
    },
}

/// The file.
pub struct Journal {
    file: File,
    begun_us: u64,
    length: u64,
}

impl Journal {
    /// Opens or begins a journal; gives the entries that are whole.
    pub fn open(path: &Path, now_us: u64) -> Result<(Self, Vec<Entry>)> {
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .context("opening the journal")?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).context("reading the journal")?;
        let Some((begun, mut rest)) = bytes.split_first_chunk::<8>() else {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&now_us.to_le_bytes()).context("beginning the journal")?;
            return Ok((Self { file, begun_us: now_us, length: HEAD }, vec![]));
        };
        let mut entries = Vec::new();
        let mut length = HEAD;
        while let Some((size, after)) = rest.split_first_chunk::<4>() {
            let size = u32::from_le_bytes(*size) as usize;
            let Some(entry) = after.get(..size) else { break };
            entries.push(bcs::from_bytes(entry).context("reading an entry of the journal")?);
            rest = &after[size..];
            length += 4 + size as u64;
        }
        let mut journal = Self { file, begun_us: u64::from_le_bytes(*begun), length };
        journal.cut(length);
        Ok((journal, entries))
    }

    /// When the chain began, in microseconds.
    pub const fn begun_us(&self) -> u64 {
        self.begun_us
    }

    /// The length of a journal without entries.
    pub const fn head() -> u64 {
        HEAD
    }

    /// How long it is.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Adds an entry. A journal that cannot be written ends the process: the chain would be another after a pause.
    pub fn append(&mut self, entry: &Entry) {
        let bytes = bcs::to_bytes(entry).expect("entries have canonical bytes");
        let size = u32::try_from(bytes.len()).expect("a transaction is short").to_le_bytes();
        self.file.write_all(&[&size[..], &bytes].concat()).expect("the journal can be written");
        self.length += 4 + bytes.len() as u64;
    }

    /// Forgets what came after.
    pub fn cut(&mut self, length: u64) {
        self.file.set_len(length).expect("the journal can be cut");
        self.file.seek(SeekFrom::Start(length)).expect("the journal has an end");
        self.length = length;
    }
}

/// Bytes before the first entry: when the chain began.
const HEAD: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_whole_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let funded = |amount| Entry::Funded { account: [7; 32], amount };
        let (mut journal, entries) = Journal::open(&path, 11).unwrap();
        assert!(entries.is_empty());
        journal.append(&funded(1));
        let kept = journal.length();
        journal.append(&funded(2));
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let (mut journal, entries) = Journal::open(&path, 12).unwrap();
        assert_eq!((journal.begun_us(), entries, journal.length()), (11, vec![funded(1)], kept));
        journal.cut(Journal::head());
        journal.append(&funded(3));
        assert_eq!(Journal::open(&path, 13).unwrap().1, vec![funded(3)]);
    }
}
