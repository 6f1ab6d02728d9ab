//! Rebuilding a state out of a chain, from the database or from an exported file (R217).
//!
//! Every entry is checked against the one before; then its events are taken into the state. An export says in its
//! header where it ends, so that a cut file is refused instead of passing for a shorter chain.

use std::io::{self, Read};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::limits::COMMAND_BYTES_MAX;
use symphony_types::time::OrderedMillis;

use crate::entry::{EVENTS_BYTES_MAX, Entry, Fault, Head, ROW_BYTES_MAX, decode, from_row};
use crate::journal::{JournalError, corrupt};
use crate::machine::{Genesis, Machine, root};

/// How much of a chain is computed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Hashes and links of all entries, and the state at the end.
    Links,
    /// Every command is decided again and must give the same events too. A start of a node does this: the state after each
    /// entry costs as much as the whole state, and the one at the end convicts whatever led to it.
    Decisions,
    /// The state after every entry too, so that a fault is found at its own height.
    Full,
}

/// A state that was computed out of an exported chain, every step of it compared.
#[derive(Clone, Debug)]
pub struct Replayed<S> {
    /// The end of the chain.
    pub head: Head,
    /// The state there.
    pub state: S,
}

/// Replays an exported chain from `genesis` with [`Verify::Full`].
///
/// **Errors**: another genesis, a cut or longer file, or the first height that does not verify.
pub fn replay<M: Machine, R: Read>(
    mut export: Export<R>,
    genesis: &Genesis<M::State>,
) -> Result<Replayed<M::State>, JournalError> {
    if export.root() != genesis.root() {
        return Err(JournalError::OtherGenesis { expected: genesis.name.clone(), found: export.header.name });
    }
    let mut rebuild = Rebuild::<M>::new(genesis, Verify::Full);
    while let Some(row) = export.next_row()? {
        rebuild.row(&row).map_err(|fault| corrupt(rebuild.head.height + 1, fault))?;
    }
    let (head, state) = rebuild.finish(&export.header.head)?;
    Ok(Replayed { head, state })
}

/// Replays the part of an exported chain that is `within`, which is asked of the state before each entry with the entry's height and time, and
/// ends the part when it says no. Entries before `from` are only followed; from there on each is verified as by [`replay`].
///
/// **Errors**: the first height that does not verify.
pub fn replay_range<M: Machine, R: Read>(
    mut export: Export<R>,
    genesis: &Genesis<M::State>,
    from: u64,
    within: impl Fn(&M::State, u64, OrderedMillis) -> bool,
) -> Result<Replayed<M::State>, JournalError> {
    let mut rebuild = Rebuild::<M>::new(genesis, Verify::Links);
    while let Some(row) = export.next_row()? {
        let height = rebuild.head.height + 1;
        let (entry, _) = from_row(&row).map_err(|fault| corrupt(height, fault))?;
        if !within(&rebuild.state, height, entry.at) {
            break;
        }
        if height >= from {
            rebuild.verify = Verify::Full;
        }
        rebuild.row(&row).map_err(|fault| corrupt(height, fault))?;
    }
    Ok(Replayed { head: rebuild.head, state: rebuild.state })
}

/// Reads the header of an exported journal.
///
/// **Errors**: the bytes are not an export of this version, or its header contradicts itself.
pub fn read_export<R: Read>(mut reader: R) -> Result<Export<R>, JournalError> {
    let mut magic = [0; MAGIC.len()];
    reader.read_exact(&mut magic).map_err(cut)?;
    if magic != *MAGIC {
        return Err(JournalError::Export("unknown format"));
    }
    let block = read_block(&mut reader, HEADER_BYTES_MAX)?;
    let header: Header = decode(&block, HEADER_BYTES_MAX).ok_or(JournalError::Export("unreadable header"))?;
    let export = Export { reader, read: 0, header };
    let genesis = Head::of_genesis(export.root());
    if export.header.head.height == 0 && export.header.head != genesis {
        return Err(JournalError::Export("header contradicts itself"));
    }
    Ok(export)
}

/// An exported journal whose header was read and whose rows follow.
pub struct Export<R> {
    reader: R,
    read: u64,
    header: Header,
}

impl<R: Read> Export<R> {
    /// The name of the chain.
    pub fn name(&self) -> &str {
        &self.header.name
    }

    /// Where the chain ends, as its exporter says.
    pub fn head(&self) -> Head {
        self.header.head
    }

    /// The digest of the genesis that the file carries.
    pub fn root(&self) -> Digest {
        root(&self.header.name, &self.header.genesis)
    }

    /// The genesis that the file carries, for a caller who has no other. Compare [`Export::root`] with a trusted one.
    pub fn genesis<S: Serialize + DeserializeOwned>(&self) -> Result<Genesis<S>, JournalError> {
        let state = decode(&self.header.genesis, HEADER_BYTES_MAX)
            .ok_or(JournalError::Export("genesis of another machine"))?;
        Ok(Genesis { name: self.header.name.clone(), state })
    }

    /// The next entry, with its own digest checked but not its place in the chain; `None` after the last.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, JournalError> {
        let height = self.read + 1;
        let Some(row) = self.next_row()? else { return Ok(None) };
        let (entry, _) = from_row(&row).map_err(|fault| corrupt(height, fault))?;
        Ok(Some(entry))
    }

    fn next_row(&mut self) -> Result<Option<Vec<u8>>, JournalError> {
        if self.read < self.header.head.height {
            self.read += 1;
            return read_block(&mut self.reader, ROW_BYTES_MAX).map(Some);
        }
        let mut rest = [0; 1];
        match self.reader.read_exact(&mut rest) {
            Ok(()) => Err(JournalError::Export("bytes after the last entry")),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A state on its way up the chain.
pub(crate) struct Rebuild<M: Machine> {
    head: Head,
    state: M::State,
    verify: Verify,
}

impl<M: Machine> Rebuild<M> {
    pub(crate) fn new(genesis: &Genesis<M::State>, verify: Verify) -> Self {
        let head = Head::of_genesis(genesis.root());
        Self { head, state: genesis.state.clone(), verify }
    }

    /// Goes on from a state on the way.
    pub(crate) fn from(head: Head, state: M::State, verify: Verify) -> Self {
        Self { head, state, verify }
    }

    /// Checks the next row and takes its events into the state.
    pub(crate) fn row(&mut self, row: &[u8]) -> Result<(), Fault> {
        let (entry, hash) = from_row(row)?;
        if entry.height != self.head.height + 1 {
            return Err(Fault::Misplaced);
        }
        if entry.previous != self.head.hash {
            return Err(Fault::Link);
        }
        if entry.at < self.head.at {
            return Err(Fault::Time);
        }
        if self.verify != Verify::Links {
            self.decide_again(&entry)?;
        }
        let events: Vec<M::Event> = decode(&entry.events, EVENTS_BYTES_MAX).ok_or(Fault::Undecodable)?;
        for event in &events {
            M::evolve(&mut self.state, entry.at, event);
        }
        if let (Verify::Full, Some(expected)) = (self.verify, entry.state)
            && M::digest(&mut self.state) != expected
        {
            return Err(Fault::State);
        }
        self.head = self.head.after(&entry, hash);
        Ok(())
    }

    /// Compares the end with the recorded head and with the digest of the state, and gives the state out.
    pub(crate) fn finish(mut self, recorded: &Head) -> Result<(Head, M::State), JournalError> {
        if self.head != *recorded {
            return Err(corrupt(self.head.height.min(recorded.height) + 1, Fault::Head));
        }
        if self.head.height > 0 && M::digest(&mut self.state) != self.head.state {
            return Err(corrupt(self.head.height, Fault::State));
        }
        Ok((self.head, self.state))
    }

    fn decide_again(&self, entry: &Entry) -> Result<(), Fault> {
        let command: M::Command = decode(&entry.command, COMMAND_BYTES_MAX).ok_or(Fault::Undecodable)?;
        let events = M::decide(&self.state, entry.at, &command)
            .map_err(|refusal| Fault::Refused(refusal.to_string()))?;
        if canonical::to_bytes(&events) != entry.events {
            return Err(Fault::Events);
        }
        Ok(())
    }
}

/// Begins an export.
pub(crate) fn write_header(
    writer: &mut impl io::Write,
    name: &str,
    genesis: &[u8],
    head: &Head,
) -> Result<(), JournalError> {
    let header = Header { name: name.to_owned(), genesis: genesis.to_vec(), head: *head };
    let bytes = canonical::to_bytes(&header);
    if bytes.len() > HEADER_BYTES_MAX {
        return Err(JournalError::Export("genesis over the limit of an export"));
    }
    writer.write_all(MAGIC)?;
    Ok(write_block(writer, &bytes)?)
}

/// Writes `bytes` behind their length.
pub(crate) fn write_block(writer: &mut impl io::Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(bytes)
}

fn read_block(reader: &mut impl Read, bytes_max: usize) -> Result<Vec<u8>, JournalError> {
    let mut length = [0; 4];
    reader.read_exact(&mut length).map_err(cut)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > bytes_max {
        return Err(JournalError::Export("block over its limit"));
    }
    let mut bytes = Vec::new();
    reader.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() < length {
        return Err(JournalError::Export("cut off"));
    }
    Ok(bytes)
}

fn cut(error: io::Error) -> JournalError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => JournalError::Export("cut off"),
        _ => error.into(),
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    name: String,
    #[serde(with = "serde_bytes")]
    genesis: Vec<u8>,
    head: Head,
}

const MAGIC: &[u8; 20] = b"symphony-journal/v1\n";
/// A genesis is small; this bounds what a forged length can ask for.
const HEADER_BYTES_MAX: usize = 64 << 20;
