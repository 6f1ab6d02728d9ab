//! Wrapped keys of what can be erased, in files of their own that are overwritten in place (R076, R080, D12).
//!
//! The database never overwrites: it copies, and freed pages keep what they held until they are used again. A wrapped
//! key that ever stood in it could be found after its erasure. So each document's wrapped key, and the keyed digest that
//! recognises the same content, stand in one slot here and nowhere else. A slot is written and on disk before the row
//! that names it, and overwritten with zeros after the row is gone; at every start all slots that no row names are
//! overwritten. A slot never crosses a sector.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use symphony_standby::place::{Place, Twin};
use symphony_types::digest::Digest;
use zeroize::Zeroizing;

use crate::keys::WRAPPED_LEN;

/// The keys of receipt documents.
pub const DOCUMENTS_FILE: &str = "documents.keys";
/// The keys of segments.
pub const SEGMENTS_FILE: &str = "segments.keys";

/// What one slot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The key, wrapped: a document's under its person's, a segment's under the Vault's for segments.
    pub wrapped: [u8; WRAPPED_LEN],
    /// Recognises what the key is of: a document by the keyed digest of person and content, a segment by that of its name.
    pub mark: Digest,
    /// Which of the Vault's keys a segment's is wrapped under; a document's is under its person's, and this is 0.
    pub generation: u32,
}

/// The slots of a Vault.
pub struct KeySlots(Mutex<Slots>);

struct Slots {
    file: Twin,
    /// Slots in the file, used or not.
    len: u32,
    /// Overwritten and on disk; the lowest is at the end.
    free: Vec<u32>,
    /// Named by no row any more, and to be overwritten.
    doomed: BTreeSet<u32>,
}

impl KeySlots {
    /// Opens the slots of a Vault's folder, making the file on first use, and overwrites those that are not `used`.
    /// **Errors**: those of the file system, or a used slot that the file does not have.
    pub fn open(place: impl Into<Place>, file: &str, used: &BTreeSet<u32>) -> io::Result<Self> {
        let file = place.into().open(file)?;
        let len = u32::try_from(file.bytes()? / SLOT_LEN as u64).map_err(io::Error::other)?;
        if used.last().is_some_and(|last| *last >= len) {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a key slot is missing"));
        }
        let mut slots = Slots { file, len, free: Vec::new(), doomed: BTreeSet::new() };
        for number in (0..len).rev().filter(|number| !used.contains(number)) {
            if slots.read(number)?.iter().all(|byte| *byte == 0) {
                slots.free.push(number);
            } else {
                slots.doomed.insert(number);
            }
        }
        slots.overwrite()?;
        Ok(Self(Mutex::new(slots)))
    }

    /// The slots of a Vault's folder to read alone: nothing is overwritten, whatever names them. **Errors**: those of the file system.
    pub fn look(folder: &Path, file: &str) -> io::Result<Self> {
        let file = match File::open(folder.join(file)) {
            // A Vault that never kept any has no file, which is as good as an empty one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open("/dev/null")?,
            opened => opened?,
        };
        Ok(Self(Mutex::new(Slots { file: file.into(), len: 0, free: Vec::new(), doomed: BTreeSet::new() })))
    }

    /// Writes a slot and gives its number once it is on disk. **Errors**: those of the file system.
    pub fn put(&self, slot: &Slot) -> io::Result<u32> {
        let mut slots = self.lock();
        if slots.free.is_empty() {
            slots.grow()?;
        }
        let number = slots.free.pop().ok_or_else(|| io::Error::other("no key slot is free"))?;
        // Whatever becomes of the write, what it left is overwritten before the slot is used again.
        slots.doomed.insert(number);
        slots.file.write_all_at(slot.bytes().as_slice(), offset(number))?;
        slots.file.sync()?;
        slots.doomed.remove(&number);
        Ok(number)
    }

    /// Puts the same key, wrapped otherwise, in the place of one. [`Self::sync`] has it on disk. **Errors**: those of the file system.
    pub fn rewrite(&self, number: u32, slot: &Slot) -> io::Result<()> {
        self.lock().file.write_all_at(slot.bytes().as_slice(), offset(number))
    }

    /// What a slot holds. **Errors**: those of the file system.
    pub fn get(&self, number: u32) -> io::Result<Slot> {
        let bytes = self.lock().read(number)?;
        let (mut wrapped, mut mark, mut generation) = ([0; WRAPPED_LEN], [0; 32], [0; 4]);
        wrapped.copy_from_slice(&bytes[..WRAPPED_LEN]);
        mark.copy_from_slice(&bytes[MARK..GENERATION]);
        generation.copy_from_slice(&bytes[GENERATION..GENERATION + 4]);
        Ok(Slot { wrapped, mark: Digest(mark), generation: u32::from_be_bytes(generation) })
    }

    /// Overwrites a slot that no row names any more. **Errors**: those of the file system; the slot stays doomed.
    pub fn erase(&self, number: u32) -> io::Result<()> {
        let mut slots = self.lock();
        slots.doomed.insert(number);
        slots.overwrite()
    }

    /// Overwrites what is doomed since an earlier fault. **Errors**: those of the file system.
    pub fn settle(&self) -> io::Result<()> {
        self.lock().overwrite()
    }

    /// Has everything that was written on disk. **Errors**: those of the file system.
    pub fn sync(&self) -> io::Result<()> {
        self.lock().file.sync()
    }

    /// Overwrites slots that no row names any more, with one sync. **Errors**: those of the file system; they stay doomed.
    pub fn erase_all(&self, numbers: impl IntoIterator<Item = u32>) -> io::Result<()> {
        let mut slots = self.lock();
        slots.doomed.extend(numbers);
        slots.overwrite()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn bytes(&self) -> Zeroizing<[u8; SLOT_LEN]> {
        let mut bytes = Zeroizing::new([0; SLOT_LEN]);
        bytes[..WRAPPED_LEN].copy_from_slice(&self.wrapped);
        bytes[MARK..GENERATION].copy_from_slice(&self.mark.0);
        bytes[GENERATION..GENERATION + 4].copy_from_slice(&self.generation.to_be_bytes());
        bytes
    }
}

impl Slots {
    fn read(&self, number: u32) -> io::Result<Zeroizing<[u8; SLOT_LEN]>> {
        let mut bytes = Zeroizing::new([0; SLOT_LEN]);
        self.file.read_exact_at(bytes.as_mut_slice(), offset(number))?;
        Ok(bytes)
    }

    /// Overwrites every doomed slot, then frees them.
    fn overwrite(&mut self) -> io::Result<()> {
        if self.doomed.is_empty() {
            return Ok(());
        }
        for number in &self.doomed {
            self.file.write_all_at(&[0; SLOT_LEN], offset(*number))?;
        }
        self.file.sync()?;
        self.free.extend(std::mem::take(&mut self.doomed));
        Ok(())
    }

    /// Adds free slots, written out so that the file system gives them blocks that later writes go to.
    fn grow(&mut self) -> io::Result<()> {
        let len =
            self.len.checked_add(GROWTH).ok_or_else(|| io::Error::other("there are too many key slots"))?;
        self.file.write_all_at(&[0; GROWTH as usize * SLOT_LEN], offset(self.len))?;
        self.file.sync()?;
        self.free.extend((self.len..len).rev());
        self.len = len;
        Ok(())
    }
}

fn offset(number: u32) -> u64 {
    u64::from(number) * SLOT_LEN as u64
}

/// Where the parts of a slot begin.
const MARK: usize = WRAPPED_LEN;
const GENERATION: usize = MARK + 32;
/// Divides every sector size.
const SLOT_LEN: usize = 128;
const GROWTH: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(byte: u8) -> Slot {
        Slot { wrapped: [byte; WRAPPED_LEN], mark: Digest([byte; 32]), generation: u32::from(byte) }
    }

    fn on_disk(folder: &Path, byte: u8) -> bool {
        std::fs::read(folder.join(DOCUMENTS_FILE)).unwrap().contains(&byte)
    }

    /// R080, D12: what was erased is not in the file, and its place is used again.
    #[test]
    fn an_erased_slot_is_overwritten_and_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let slots = KeySlots::open(folder.path(), DOCUMENTS_FILE, &BTreeSet::new()).unwrap();
        let numbers: Vec<_> = (1..=3).map(|byte| slots.put(&slot(byte)).unwrap()).collect();
        assert_eq!(slots.get(numbers[1]).unwrap(), slot(2));
        slots.erase(numbers[1]).unwrap();
        assert!(on_disk(folder.path(), 1) && !on_disk(folder.path(), 2) && on_disk(folder.path(), 3));
        assert_eq!(slots.put(&slot(4)).unwrap(), numbers[1]);
        assert_eq!(slots.get(numbers[2]).unwrap(), slot(3));
    }

    /// R080, D12: a crash between a slot and its row, on either side, leaves nothing behind.
    #[test]
    fn a_slot_that_no_row_names_is_overwritten_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let slots = KeySlots::open(folder.path(), DOCUMENTS_FILE, &BTreeSet::new()).unwrap();
        let (kept, orphan) = (slots.put(&slot(1)).unwrap(), slots.put(&slot(2)).unwrap());
        drop(slots);
        let slots = KeySlots::open(folder.path(), DOCUMENTS_FILE, &[kept].into()).unwrap();
        assert!(!on_disk(folder.path(), 2));
        assert_eq!(slots.get(kept).unwrap(), slot(1));
        assert_eq!(slots.put(&slot(3)).unwrap(), orphan);
    }

    /// R078: a file that was cut off is a fault and not a file without keys.
    #[test]
    fn a_missing_slot_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        assert!(KeySlots::open(folder.path(), DOCUMENTS_FILE, &[0].into()).is_err());
        let slots = KeySlots::open(folder.path(), DOCUMENTS_FILE, &BTreeSet::new()).unwrap();
        for byte in 0..=255 {
            slots.put(&slot(byte)).unwrap();
        }
        assert_eq!(slots.put(&slot(9)).unwrap(), 256, "the file grows");
    }
}
