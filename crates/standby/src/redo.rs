//! The log of what the database wrote: frames, one for each time that the database wanted its file on disk (R062, R066, R211).
//!
//! A frame is on disk before any byte of it is in the database's file, so the log is never behind. It is physical: blocks of the
//! file, whatever they mean, so that nothing the database keeps can be forgotten here.
//!
//! **Shape** of a frame, integers big-endian: number, 8 bytes; bytes of its body, 8; the first 8 of SHA-256 over both; the body: length that the file shrank to and
//! length that it has then, 8 each, and blocks, each with its number, 8, and 4,096 bytes; the chain, 32: SHA-256 over a tag, the
//! chain before, number and body. A file has the frames from the number that it is named by; it begins with a word and the chain
//! before its first frame.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use symphony_types::digest::Digest;

use crate::files::sync_folder;
use crate::standby::StandbyError;

/// Bytes of a block.
pub const BLOCK: usize = 4_096;

/// What is to be written to a file, and is not yet.
#[derive(Default)]
pub struct Pending {
    /// Blocks by number.
    pub(crate) blocks: BTreeMap<u64, Box<[u8]>>,
    /// What the file shrank to, and the length that it has then; `None` when it was not set.
    pub(crate) lengths: Option<(u64, u64)>,
}

impl Pending {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.lengths.is_none()
    }

    /// Writes it. The same again changes nothing. **Errors**: those of the file system; then some of it is written.
    pub fn apply(&self, file: &File) -> io::Result<()> {
        if let Some((floor, len)) = self.lengths {
            if file.metadata()?.len() > floor {
                file.set_len(floor)?;
            }
            file.set_len(len)?;
        }
        let end = file.metadata()?.len();
        for (number, block) in &self.blocks {
            let from = number.saturating_mul(BLOCK as u64);
            let len = end.saturating_sub(from).min(BLOCK as u64) as usize;
            file.write_all_at(&block[..len], from)?;
        }
        Ok(())
    }

    fn body(&self, len: u64) -> Vec<u8> {
        let (floor, len) = self.lengths.unwrap_or((len, len));
        let mut body = Vec::with_capacity(LENGTHS + self.blocks.len() * (8 + BLOCK));
        body.extend_from_slice(&floor.to_be_bytes());
        body.extend_from_slice(&len.to_be_bytes());
        for (number, block) in &self.blocks {
            body.extend_from_slice(&number.to_be_bytes());
            body.extend_from_slice(block);
        }
        body
    }

    /// `None`: it is no body.
    fn of_body(body: &[u8]) -> Option<Self> {
        let (floor, rest) = body.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let lengths = Some((u64::from_be_bytes(*floor), u64::from_be_bytes(*len)));
        let mut blocks = BTreeMap::new();
        let mut rows = rest.chunks_exact(8 + BLOCK);
        for row in &mut rows {
            let (number, block) = row.split_first_chunk()?;
            blocks.insert(u64::from_be_bytes(*number), block.into());
        }
        rows.remainder().is_empty().then_some(Self { blocks, lengths })
    }
}

/// A place in the log: the last frame before it, and the chain there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The frame's number; the first has 1.
    pub frame: u64,
    /// The chain up to it.
    pub chain: Digest,
}

impl Position {
    /// Before the first frame.
    pub const START: Self = Self { frame: 0, chain: Digest::ZERO };

    fn after(&self, body: &[u8]) -> Self {
        let frame = self.frame.saturating_add(1);
        let mut hasher = Sha256::new();
        hasher.update(TAG);
        hasher.update(self.chain.0);
        hasher.update(frame.to_be_bytes());
        hasher.update(body);
        Self { frame, chain: Digest(hasher.finalize().into()) }
    }
}

/// The log, open to be written.
pub(crate) struct Redo {
    folder: PathBuf,
    file: File,
    /// Bytes of the file.
    end: u64,
    position: Position,
}

impl Redo {
    /// A new file behind a position. **Errors**: those of the file system.
    pub(crate) fn begin(folder: &Path, position: Position) -> io::Result<Self> {
        let path = path(folder, position.frame.saturating_add(1));
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(WORD)?;
        file.write_all(&position.chain.0)?;
        file.sync_all()?;
        sync_folder(folder)?;
        Ok(Self { folder: folder.to_owned(), file, end: HEAD, position })
    }

    /// Goes on behind what was read; whatever stands after it in the last file is cut off. **Errors**: those of the file system.
    pub(crate) fn resume(folder: &Path, end: &End) -> io::Result<Self> {
        let Some((path, bytes)) = &end.file else { return Self::begin(folder, end.position) };
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        file.set_len(*bytes)?;
        file.sync_all()?;
        Ok(Self { folder: folder.to_owned(), file, end: *bytes, position: end.position })
    }

    /// Where the log ends.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Appends a frame for a file of `len` bytes and returns once it is on disk. **Errors**: those of the file system; then what
    /// it left is no frame.
    pub(crate) fn append(&mut self, pending: &Pending, len: u64) -> io::Result<()> {
        let body = pending.body(len);
        let next = self.position.after(&body);
        let head = head_of(next.frame, body.len() as u64);
        let (at, size) = (self.end, body.len() as u64);
        self.file.write_all_at(&head, at)?;
        self.file.write_all_at(&body, at + FRAME_HEAD as u64)?;
        self.file.write_all_at(&next.chain.0, at + FRAME_HEAD as u64 + size)?;
        self.file.sync_data()?;
        self.end = at + FRAME_HEAD as u64 + size + CHAIN;
        self.position = next;
        Ok(())
    }

    /// Has later frames in a new file, unless this one has none yet. **Errors**: those of the file system.
    pub(crate) fn roll(&mut self) -> io::Result<()> {
        if self.end > HEAD {
            *self = Self::begin(&self.folder, self.position)?;
        }
        Ok(())
    }
}

/// Where reading ended.
pub(crate) struct End {
    /// The last whole frame.
    pub(crate) position: Position,
    /// The last file, and where its last whole frame ends.
    file: Option<(PathBuf, u64)>,
}

/// How the end of a log is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// A last frame that is damaged is a fault, unless what is there of it shows that it was never on disk whole.
    Strict,
    /// It is left out: for who can tell otherwise whether it was ever answered.
    Lenient,
}

/// Reads the frames behind a position in order, up to and with frame `until`. What a crash left of the last frame is left out.
///
/// **Errors**: a file is not what was written, or the log does not lead on from there, by the file's name; or those of `visit`.
pub(crate) fn read(
    folder: &Path,
    from: Position,
    (until, tail): (u64, Tail),
    mut visit: impl FnMut(Position, Pending) -> Result<(), StandbyError>,
) -> Result<End, StandbyError> {
    let mut end = End { position: from, file: None };
    let mut names = firsts(folder)?;
    // The one that the first frame is in begins at or before it.
    let first = names.partition_point(|name| *name <= from.frame.saturating_add(1)).saturating_sub(1);
    names.drain(..first.min(names.len()));
    for (nth, first) in names.iter().enumerate() {
        let path = path(folder, *first);
        let last = (names.len() == nth + 1).then_some(tail);
        let mut frames = Frames::open(&path, *first, last)?;
        while let Some((position, pending)) = frames.next()? {
            let next = end.position.frame.saturating_add(1);
            if position.frame < next {
                if position.frame == from.frame && position.chain != from.chain {
                    return Err(StandbyError::Damaged(path, "the log leads elsewhere"));
                }
                continue;
            }
            if position.frame != next || frames.before.chain != end.position.chain {
                return Err(StandbyError::Damaged(path, "the log leads elsewhere"));
            }
            if position.frame > until {
                return Ok(end);
            }
            visit(position, pending)?;
            end = End { position, file: Some((path.clone(), frames.read)) };
        }
        if frames.position != end.position {
            return Err(StandbyError::Damaged(path, "the log leads elsewhere"));
        }
        end.file = Some((path, frames.read));
    }
    if end.file.is_none() {
        return Err(StandbyError::Damaged(folder.to_owned(), "the log is gone"));
    }
    Ok(end)
}

/// Removes the files that have only frames up to this one. **Errors**: those of the file system.
pub(crate) fn drop_until(folder: &Path, frame: u64) -> Result<(), StandbyError> {
    let names = firsts(folder)?;
    for pair in names.windows(2) {
        if pair[1] <= frame.saturating_add(1) {
            let path = path(folder, pair[0]);
            fs::remove_file(&path).map_err(|error| StandbyError::File(path, error))?;
        }
    }
    Ok(())
}

/// Bytes of all files of the log. **Errors**: those of the file system.
pub(crate) fn bytes(folder: &Path, after: u64) -> Result<u64, StandbyError> {
    let names = firsts(folder)?;
    let later = names.iter().filter(|first| **first > after);
    Ok(later.filter_map(|first| fs::metadata(path(folder, *first)).ok()).map(|found| found.len()).sum())
}

/// The frames of one file.
struct Frames {
    path: PathBuf,
    reader: BufReader<File>,
    bytes: u64,
    read: u64,
    /// Before the frame that was read last.
    before: Position,
    position: Position,
    /// Of the last file.
    last: Option<Tail>,
}

impl Frames {
    fn open(path: &Path, first: u64, last: Option<Tail>) -> Result<Self, StandbyError> {
        let failed = |error| StandbyError::File(path.to_owned(), error);
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut reader = BufReader::with_capacity(1 << 18, file);
        let (mut word, mut chain) = ([0; WORD.len()], [0; CHAIN as usize]);
        let read = reader.read_exact(&mut word).and_then(|()| reader.read_exact(&mut chain));
        if read.is_err() || word != *WORD {
            return Err(StandbyError::Damaged(path.to_owned(), "it does not begin as a log does"));
        }
        let position = Position { frame: first.saturating_sub(1), chain: Digest(chain) };
        Ok(Self { path: path.to_owned(), reader, bytes, read: HEAD, before: position, position, last })
    }

    /// The next whole frame; `None` at the end, or where a crash came into the last one.
    fn next(&mut self) -> Result<Option<(Position, Pending)>, StandbyError> {
        let left = self.bytes - self.read;
        if left == 0 {
            return Ok(None);
        }
        let damaged = |fault| StandbyError::Damaged(self.path.clone(), fault);
        let torn = |torn: bool| match self.last {
            Some(tail) if torn || tail == Tail::Lenient => Ok(None),
            Some(_) | None => Err(damaged("a frame is damaged")),
        };
        if left < FRAME_HEAD as u64 + CHAIN {
            return torn(true);
        }
        let (mut head, mut chain) = ([0; FRAME_HEAD], [0; CHAIN as usize]);
        fill(&mut self.reader, &self.path, &mut head)?;
        let (number, size) = (number_of(&head[..8]), number_of(&head[8..16]));
        if head != head_of(number, size) {
            // A file system may have made room for a frame of which nothing was written.
            return torn(head == [0; FRAME_HEAD] && zeros(&mut self.reader));
        }
        let room = left - FRAME_HEAD as u64 - CHAIN;
        if size > room {
            return torn(true);
        }
        let mut body = vec![0; size as usize];
        fill(&mut self.reader, &self.path, &mut body)?;
        fill(&mut self.reader, &self.path, &mut chain)?;
        let next = self.position.after(&body);
        if number != next.frame || Digest(chain) != next.chain {
            return torn(chain == [0; CHAIN as usize] && size == room);
        }
        let pending = Pending::of_body(&body).ok_or_else(|| damaged("a frame is damaged"))?;
        self.read += FRAME_HEAD as u64 + size + CHAIN;
        (self.before, self.position) = (self.position, next);
        Ok(Some((next, pending)))
    }
}

fn fill(reader: &mut BufReader<File>, path: &Path, bytes: &mut [u8]) -> Result<(), StandbyError> {
    reader.read_exact(bytes).map_err(|error| StandbyError::File(path.to_owned(), error))
}

/// Whether nothing but zeros follows.
fn zeros(reader: &mut BufReader<File>) -> bool {
    reader.bytes().all(|byte| matches!(byte, Ok(0)))
}

fn head_of(number: u64, size: u64) -> [u8; FRAME_HEAD] {
    let mut head = [0; FRAME_HEAD];
    head[..8].copy_from_slice(&number.to_be_bytes());
    head[8..16].copy_from_slice(&size.to_be_bytes());
    let check = Sha256::digest(&head[..16]);
    head[16..].copy_from_slice(&check[..8]);
    head
}

fn number_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The first frames of the log's files, ascending.
fn firsts(folder: &Path) -> Result<Vec<u64>, StandbyError> {
    let failed = |error| StandbyError::File(folder.to_owned(), error);
    let mut names = Vec::new();
    for file in fs::read_dir(folder).map_err(failed)? {
        let name = file.map_err(failed)?.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(".log")).map(str::parse);
        match first {
            Some(Ok(first)) => names.push(first),
            _ => return Err(StandbyError::Damaged(folder.join(name), "it is no file of the log")),
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.log"))
}

const TAG: &[u8] = b"symphony/redo-frame/v1";
const WORD: &[u8; 16] = b"symphony redo 01";
const CHAIN: u64 = 32;
/// Bytes of a file before its first frame.
const HEAD: u64 = WORD.len() as u64 + CHAIN;
const FRAME_HEAD: usize = 24;
const LENGTHS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(byte: u8) -> Pending {
        let block = |number| (number, vec![byte; BLOCK].into_boxed_slice());
        Pending { blocks: [block(0), block(u64::from(byte))].into(), lengths: None }
    }

    /// A log of three frames in two files, and where it ends.
    fn written(folder: &Path) -> Position {
        let mut log = Redo::begin(folder, Position::START).unwrap();
        log.append(&pending(1), 1 << 20).unwrap();
        log.roll().unwrap();
        log.roll().unwrap();
        log.append(&pending(2), 1 << 20).unwrap();
        log.append(&pending(3), 1 << 20).unwrap();
        log.position()
    }

    fn frames(folder: &Path, from: Position) -> Result<(Vec<u8>, End), StandbyError> {
        frames_to(folder, from, Tail::Strict)
    }

    fn frames_to(folder: &Path, from: Position, tail: Tail) -> Result<(Vec<u8>, End), StandbyError> {
        let mut seen = Vec::new();
        let end = read(folder, from, (u64::MAX, tail), |_, pending| {
            seen.push(pending.blocks[&0][7]);
            Ok(())
        });
        Ok((seen, end?))
    }

    /// R062, R211: frames are read as they were written, from any of them on, and only from a place of the same chain.
    #[test]
    fn frames_are_read_from_any_place_of_their_chain() {
        let folder = tempfile::tempdir().unwrap();
        let end = written(folder.path());
        let mut places = vec![Position::START];
        read(folder.path(), Position::START, (u64::MAX, Tail::Strict), |position, _| {
            places.push(position);
            Ok(())
        })
        .unwrap();
        assert_eq!(places.last(), Some(&end));
        for (nth, place) in places.iter().enumerate() {
            let (seen, found) = frames(folder.path(), *place).unwrap();
            assert_eq!(seen, [1, 2, 3][nth..]);
            assert_eq!(found.position, end);
            let other = Position { chain: Digest([9; 32]), ..*place };
            assert!(frames(folder.path(), other).is_err(), "another chain at {nth}");
        }
        assert!(frames(folder.path(), Position { frame: 9, ..end }).is_err(), "the log does not lead there");
        drop_until(folder.path(), 0).unwrap();
        assert_eq!(frames(folder.path(), places[1]).unwrap().0, [2, 3]);
        drop_until(folder.path(), 1).unwrap();
        assert!(frames(folder.path(), Position::START).is_err(), "what is dropped is not passed over");
        assert_eq!(frames(folder.path(), places[1]).unwrap().0, [2, 3]);
        fs::remove_file(path(folder.path(), 2)).unwrap();
        assert!(frames(folder.path(), places[1]).is_err(), "a log that is gone is not an empty one");
    }

    /// R062, R211: of a frame that a crash cut off anywhere nothing is read, all before it is, and the next one takes its place.
    #[test]
    fn a_torn_frame_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let end = written(folder.path());
        let last = path(folder.path(), 2);
        let whole = fs::read(&last).unwrap();
        let frame = (whole.len() - HEAD as usize) / 2;
        for cut in (1..frame).step_by(131) {
            for filled in [false, true] {
                let mut torn = whole[..whole.len() - cut].to_vec();
                if filled {
                    // A file system that had given the frame its room already.
                    torn.resize(whole.len(), 0);
                }
                fs::write(&last, &torn).unwrap();
                let strict = frames(folder.path(), Position::START).map(|(seen, _)| seen);
                // Bytes of a head or a chain that are there in part are not what a disk leaves.
                if !filled || (CHAIN as usize..frame - FRAME_HEAD).contains(&cut) {
                    assert_eq!(strict.unwrap(), [1, 2], "cut by {cut}");
                }
                let (seen, found) = frames_to(folder.path(), Position::START, Tail::Lenient).unwrap();
                assert_eq!((seen.as_slice(), found.position.frame), ([1, 2].as_slice(), 2), "cut by {cut}");
                let mut log = Redo::resume(folder.path(), &found).unwrap();
                log.append(&pending(3), 1 << 20).unwrap();
                assert_eq!(log.position(), end);
                assert_eq!(fs::read(&last).unwrap(), whole);
            }
        }
        fs::write(&last, &whole[..HEAD as usize - 1]).unwrap();
        assert!(frames(folder.path(), Position::START).is_err());
    }

    /// R062, R078: no changed byte passes, the last frame's neither, and the file is named.
    #[test]
    fn a_changed_byte_is_found_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        for first in [1, 2] {
            let path = path(folder.path(), first);
            let whole = fs::read(&path).unwrap();
            let frame = whole.len() - (whole.len() - HEAD as usize) / first as usize;
            let heads = (0..HEAD as usize + 60).chain(frame..frame + 60).chain(whole.len() - 60..whole.len());
            for place in heads.chain((0..whole.len()).step_by(173)) {
                for bit in [0x01, 0x80] {
                    let mut spoiled = whole.clone();
                    spoiled[place] ^= bit;
                    fs::write(&path, spoiled).unwrap();
                    let found = frames(folder.path(), Position::START).err();
                    let said = found.unwrap_or_else(|| panic!("byte {place} of {first}")).to_string();
                    assert!(said.contains(".log"), "{said}");
                }
            }
            fs::write(&path, whole).unwrap();
        }
        assert_eq!(frames(folder.path(), Position::START).unwrap().0, [1, 2, 3]);
    }
}
