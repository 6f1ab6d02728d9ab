//! People's wrapped keys, in a file of slots beside the database (R076, R080, D12).
//!
//! The database copies on write, so that a wrapped key that ever stood in it could be found after its erasure. Here each person has
//! the slot of its index, for ever, and erasing is overwriting it. Reading a key is one small positioned read, reading the keys of
//! many people in order one read for a page of slots.
//!
//! **Shape** of a slot, 64 bytes: the key wrapped under the Vault's, 60 bytes, and the generation of that key, big-endian. A slot of
//! zeros is nobody's: of somebody who is erased, or not enrolled yet. No slot crosses a sector, and neither does what a crash
//! leaves of a write.

use std::io;
use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use symphony_standby::place::{Place, Twin};
use zeroize::Zeroizing;

use crate::keys::WRAPPED_LEN;

/// The keys of people.
pub const PEOPLE_FILE: &str = "people.keys";

/// A key as a slot has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The key under the Vault's.
    pub key: [u8; WRAPPED_LEN],
    /// Which of the Vault's keys that is.
    pub generation: u32,
}

/// Slots of wrapped keys by position.
pub struct PeopleKeys(RwLock<Twin>);

impl PeopleKeys {
    /// Opens a file of slots, making it on first use. **Errors**: those of the file system.
    pub fn open(place: impl Into<Place>, name: &str) -> io::Result<Self> {
        Ok(Self(RwLock::new(place.into().open(name)?)))
    }

    /// Overwrites every slot from `len` on, which a crash may have left behind. **Errors**: those of the file system, or there
    /// are fewer slots than `len`.
    pub fn trim(&self, len: u32) -> io::Result<()> {
        let file = self.write();
        let slots = slots(&file)?;
        if slots < len {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a key slot is missing"));
        }
        let mut overwritten = false;
        for from in (len..slots).step_by(PASS as usize) {
            let mut bytes = read(&file, from..slots.min(from.saturating_add(PASS)))?;
            if bytes.iter().any(|byte| *byte != 0) {
                bytes.fill(0);
                file.write_all_at(&bytes, offset(from))?;
                overwritten = true;
            }
        }
        if overwritten { file.sync() } else { Ok(()) }
    }

    /// Writes slots that follow each other, with one write, and returns once they are on disk. **Errors**: those of the file system.
    pub fn put(&self, from: u32, keys: &[Wrapped]) -> io::Result<()> {
        let mut bytes = Zeroizing::new(vec![0; keys.len() * SLOT_LEN]);
        for (slot, key) in bytes.chunks_exact_mut(SLOT_LEN).zip(keys) {
            encode(slot, key);
        }
        self.write().write_all_at(&bytes, offset(from))?;
        // Whoever reads need not wait for the drive.
        self.read().sync()
    }

    /// Overwrites slots in place. **Errors**: those of the file system; then some may be as they were.
    pub fn erase(&self, slots: impl Iterator<Item = u32>) -> io::Result<()> {
        let file = self.write();
        let mut overwritten = false;
        for slot in slots {
            if read(&file, slot..slot + 1)?.iter().any(|byte| *byte != 0) {
                file.write_all_at(&[0; SLOT_LEN], offset(slot))?;
                overwritten = true;
            }
        }
        if overwritten { file.sync() } else { Ok(()) }
    }

    /// Who has a key at this place. **Errors**: those of the file system.
    pub fn get(&self, slot: u32) -> io::Result<Option<Wrapped>> {
        Ok(decode(&read(&self.read(), slot..slot + 1)?))
    }

    /// Reads a slot; with it the rest of its page of slots, where the last one that was read is near. **Errors**: those of the file
    /// system.
    pub(crate) fn page(&self, slot: u32, page: &mut Page) -> io::Result<()> {
        let file = self.read();
        let end = match page.ends_near(slot) {
            true => (slot / PAGE + 1).saturating_mul(PAGE).min(slots(&file)?),
            false => slot + 1,
        };
        page.bytes = match read(&file, slot..end) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Zeroizing::default(),
            read => read?,
        };
        page.from = slot;
        Ok(())
    }

    /// Puts another key into each slot for which `other` gives one, some thousand slots at a time; others read meanwhile, and wait
    /// no longer than for one write. What somebody changed in between stays. It is all on disk afterwards. **Errors**: those of the
    /// file system or of `other`; then some have theirs.
    pub fn replace<E: From<io::Error>>(
        &self,
        mut other: impl FnMut(u32, Wrapped) -> Result<Option<Wrapped>, E>,
    ) -> Result<u64, E> {
        let (mut replaced, mut from) = (0, 0);
        loop {
            let before = {
                let file = self.read();
                let end = slots(&file)?.min(from + PASS);
                if from >= end {
                    file.sync()?;
                    return Ok(replaced);
                }
                read(&file, from..end)?
            };
            let end = from + (before.len() / SLOT_LEN) as u32;
            let mut after = before.clone();
            for (slot, place) in after.chunks_exact_mut(SLOT_LEN).zip(from..) {
                let Some(known) = decode(slot) else { continue };
                if let Some(next) = other(place, known)? {
                    encode(slot, &next);
                }
            }
            if after != before {
                let file = self.write();
                let mut now = read(&file, from..end)?;
                let slots = before.chunks_exact(SLOT_LEN).zip(after.chunks_exact(SLOT_LEN));
                for (slot, (before, after)) in now.chunks_exact_mut(SLOT_LEN).zip(slots) {
                    if *slot == *before && before != after {
                        slot.copy_from_slice(after);
                        replaced += 1;
                    }
                }
                file.write_all_at(&now, offset(from))?;
            }
            from = end;
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Twin> {
        // What a slot has is on disk, whoever panicked while holding the file.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Twin> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Slots that were read together.
#[derive(Default)]
pub(crate) struct Page {
    from: u32,
    bytes: Zeroizing<Vec<u8>>,
}

impl Page {
    /// Whether a slot was read.
    pub(crate) fn has(&self, slot: u32) -> bool {
        slot >= self.from && ((slot - self.from) as usize) < self.bytes.len() / SLOT_LEN
    }

    /// Whether a slot follows soon on those that were read: then the ones between cost less than another read.
    fn ends_near(&self, slot: u32) -> bool {
        let end = self.from + (self.bytes.len() / SLOT_LEN) as u32;
        slot.checked_sub(end).is_some_and(|gap| gap < NEAR)
    }

    /// What a slot had; `None` for one that was not read, or of zeros.
    pub(crate) fn get(&self, slot: u32) -> Option<Wrapped> {
        let at = slot.checked_sub(self.from)? as usize * SLOT_LEN;
        self.bytes.get(at..at + SLOT_LEN).and_then(decode)
    }
}

fn slots(file: &Twin) -> io::Result<u32> {
    u32::try_from(file.bytes()? / SLOT_LEN as u64).map_err(io::Error::other)
}

fn read(file: &Twin, range: Range<u32>) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; range.len() * SLOT_LEN]);
    file.read_exact_at(&mut bytes, offset(range.start))?;
    Ok(bytes)
}

fn encode(slot: &mut [u8], key: &Wrapped) {
    slot[..WRAPPED_LEN].copy_from_slice(&key.key);
    slot[WRAPPED_LEN..].copy_from_slice(&key.generation.to_be_bytes());
}

fn decode(slot: &[u8]) -> Option<Wrapped> {
    let (key, generation) = slot.split_first_chunk::<WRAPPED_LEN>()?;
    let generation = u32::from_be_bytes(generation.try_into().ok()?);
    slot.iter().any(|byte| *byte != 0).then_some(Wrapped { key: *key, generation })
}

fn offset(slot: u32) -> u64 {
    u64::from(slot) * SLOT_LEN as u64
}

/// Divides every sector size.
const SLOT_LEN: usize = 64;
/// Slots of one read of many: a page of memory.
const PAGE: u32 = 64;
/// Slots between two that are read together.
const NEAR: u32 = 8;
/// Slots that are replaced with one write.
const PASS: u32 = 4_096;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn wrapped(byte: u8) -> Wrapped {
        Wrapped { key: [byte; WRAPPED_LEN], generation: u32::from(byte) }
    }

    fn filled(folder: &Path, people: u8) -> PeopleKeys {
        let keys = PeopleKeys::open(folder, PEOPLE_FILE).unwrap();
        keys.put(0, &(1..=people).map(wrapped).collect::<Vec<_>>()).unwrap();
        keys
    }

    fn on_disk(folder: &Path, byte: u8) -> bool {
        std::fs::read(folder.join(PEOPLE_FILE)).unwrap().contains(&byte)
    }

    /// R080, D12: an erased person's key is in no byte of the file, and everybody else's is.
    #[test]
    fn an_erased_key_is_overwritten_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let keys = filled(folder.path(), 3);
        assert_eq!(keys.get(1).unwrap(), Some(wrapped(2)));
        keys.erase([1].into_iter()).unwrap();
        assert_eq!((keys.get(0).unwrap(), keys.get(1).unwrap()), (Some(wrapped(1)), None));
        assert!(on_disk(folder.path(), 1) && !on_disk(folder.path(), 2) && on_disk(folder.path(), 3));
        assert_eq!(std::fs::metadata(folder.path().join(PEOPLE_FILE)).unwrap().len(), 3 * 64);
    }

    /// R080, D12: keys of people whom a crash kept from being enrolled are overwritten; a file that was cut off is a fault.
    #[test]
    fn slots_beyond_the_enrolled_are_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let keys = filled(folder.path(), 5);
        assert!(keys.trim(6).is_err());
        keys.trim(5).unwrap();
        assert_eq!(keys.get(4).unwrap(), Some(wrapped(5)));
        keys.trim(2).unwrap();
        assert!(on_disk(folder.path(), 2) && !on_disk(folder.path(), 3) && !on_disk(folder.path(), 5));
        assert!(keys.get(5).is_err(), "there is no such slot");
    }

    /// R076: a page of keys is what single reads give, from any place and at any distance, beyond the last slot too.
    #[test]
    fn a_page_has_what_single_reads_give() {
        let folder = tempfile::tempdir().unwrap();
        let keys = filled(folder.path(), 200);
        keys.erase([70].into_iter()).unwrap();
        for step in [1, 3, 8, 9, 70] {
            let mut page = Page::default();
            assert!(!page.has(0));
            for slot in (0..230).step_by(step) {
                if !page.has(slot) {
                    keys.page(slot, &mut page).unwrap();
                }
                assert_eq!(page.get(slot), keys.get(slot).ok().flatten(), "{slot} by {step}");
            }
            assert_eq!((page.get(3), page.get(300)), (None, None));
        }
    }

    /// R076: replacing goes through all slots once and leaves those of zeros.
    #[test]
    fn replacing_leaves_erased_slots_alone() {
        let folder = tempfile::tempdir().unwrap();
        let keys = filled(folder.path(), 9);
        keys.erase([4].into_iter()).unwrap();
        let next = |slot: u32, known: Wrapped| {
            assert_eq!(known.generation, slot + 1);
            let next = Wrapped { key: known.key, generation: 77 };
            Ok::<_, io::Error>(slot.is_multiple_of(2).then_some(next))
        };
        assert_eq!(keys.replace(next).unwrap(), 4);
        assert_eq!(keys.get(2).unwrap().unwrap().generation, 77);
        assert_eq!((keys.get(3).unwrap(), keys.get(4).unwrap()), (Some(wrapped(4)), None));
    }
}
