//! What was read lately of objects that never change: blocks of sealed bytes in memory, the longest unused gone first.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use object_store::path::Path;

/// Blocks of objects, of a bounded number of bytes together.
pub struct Blocks {
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    /// How often a block was taken or given.
    moment: u64,
    blocks: BTreeMap<(Path, u64), (u64, Bytes)>,
    /// By when each was used last.
    used: BTreeMap<u64, (Path, u64)>,
}

impl Blocks {
    /// None yet, of so many bytes at most.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, held: Mutex::default() }
    }

    /// Bytes that are held now.
    pub fn bytes(&self) -> usize {
        self.held().bytes
    }

    /// A block of an object; shorter than [`BLOCK`] only where the object ends.
    pub fn get(&self, object: &Path, number: u64) -> Option<Bytes> {
        let mut held = self.held();
        let held = &mut *held;
        let place = (object.clone(), number);
        let (used, bytes) = held.blocks.get_mut(&place)?;
        held.used.remove(used);
        held.moment += 1;
        *used = held.moment;
        held.used.insert(held.moment, place);
        Some(bytes.clone())
    }

    /// Keeps a copy of a block.
    pub fn put(&self, object: &Path, number: u64, block: &[u8]) {
        if block.len() > self.bytes_max {
            return;
        }
        let mut held = self.held();
        held.moment += 1;
        let (moment, place) = (held.moment, (object.clone(), number));
        // A copy of its own, so that what it is a part of is not kept with it.
        held.drop_block(&place);
        held.bytes += block.len();
        held.blocks.insert(place.clone(), (moment, Bytes::copy_from_slice(block)));
        held.used.insert(moment, place);
        while held.bytes > self.bytes_max {
            let Some((_, oldest)) = held.used.first_key_value() else { return };
            let oldest = oldest.clone();
            held.drop_block(&oldest);
        }
    }

    /// Lets go of all blocks of an object.
    pub fn forget(&self, object: &Path) {
        let mut held = self.held();
        let places = held.blocks.range((object.clone(), 0)..=(object.clone(), u64::MAX));
        let places: Vec<_> = places.map(|(place, _)| place.clone()).collect();
        places.iter().for_each(|place| held.drop_block(place));
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing in here panics between two changes.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn drop_block(&mut self, place: &(Path, u64)) {
        if let Some((used, block)) = self.blocks.remove(place) {
            self.used.remove(&used);
            self.bytes -= block.len();
        }
    }
}

/// Length of a block. **Units**: bytes.
pub const BLOCK: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// R078: what is held never exceeds its limit, and what was used last stays.
    #[test]
    fn the_longest_unused_goes_first() {
        let (one, two) = (Path::from("one"), Path::from("two"));
        let blocks = Blocks::new(30);
        for number in 0..3 {
            blocks.put(&one, number, &[number as u8; 10]);
        }
        assert_eq!(blocks.get(&one, 0).unwrap(), [0; 10].as_slice());
        blocks.put(&two, 0, &[9; 10]);
        assert_eq!(blocks.bytes(), 30);
        assert!(blocks.get(&one, 1).is_none(), "it was used longest ago");
        assert!(blocks.get(&one, 0).is_some() && blocks.get(&one, 2).is_some());
        blocks.put(&two, 0, &[8; 5]);
        assert_eq!(
            (blocks.bytes(), blocks.get(&two, 0).unwrap().len()),
            (25, 5),
            "in place of what was there"
        );
        blocks.put(&two, 1, &[7; 31]);
        assert_eq!(blocks.bytes(), 25, "one that is larger than all is not kept");
        blocks.forget(&one);
        assert_eq!((blocks.bytes(), blocks.get(&one, 0)), (5, None));
        let held = blocks.held();
        assert_eq!(held.used.len(), held.blocks.len());
    }
}
