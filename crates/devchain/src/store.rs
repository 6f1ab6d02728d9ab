//! The state of the chain: bytes by key, with an undo log, snapshots, and a count of what a transaction touched.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::native::Storage;

/// What one transaction read and wrote; a place counts once however often it is touched. Resources of one address are one
/// place: on Aptos those of an object lie together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Places read.
    pub reads: u64,
    /// Pages of 4,096 bytes that they fill; an empty place fills none.
    pub pages: u64,
    /// Places written.
    pub writes: u64,
    /// Bytes written, with their keys.
    pub write_bytes: u64,
}

/// The state.
#[derive(Default)]
pub struct Store {
    entries: BTreeMap<Vec<u8>, Bytes>,
    undo: Vec<(Vec<u8>, Option<Bytes>)>,
    read: BTreeMap<Vec<u8>, u64>,
    written: BTreeMap<Vec<u8>, u64>,
}

/// A state to come back to.
#[derive(Clone)]
pub struct Snapshot(BTreeMap<Vec<u8>, Bytes>);

/// Shared by snapshots.
type Bytes = Arc<[u8]>;

/// A changed place: what was there, and what is.
pub type Change<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

impl Store {
    /// The bytes at a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.entries.get(key).map(AsRef::as_ref)
    }

    /// Everything below a prefix.
    pub fn below<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let from = self.entries.range(prefix.to_vec()..);
        from.take_while(move |(key, _)| key.starts_with(prefix)).map(|(key, value)| (&key[..], &value[..]))
    }

    /// Puts bytes at a key from outside the VM.
    pub fn put(&mut self, key: Vec<u8>, value: &[u8]) {
        let old = self.entries.insert(key.clone(), value.into());
        self.undo.push((key, old));
    }

    /// Begins a transaction: what was written before stays.
    pub fn begin(&mut self) {
        self.undo.clear();
        self.read.clear();
        self.written.clear();
    }

    /// Takes back everything since [`Self::begin`].
    pub fn roll_back(&mut self) {
        while let Some((key, old)) = self.undo.pop() {
            match old {
                Some(value) => self.entries.insert(key, value),
                None => self.entries.remove(&key),
            };
        }
    }

    /// What changed since [`Self::begin`]: each place once, with what was there and what is.
    pub fn changes(&self) -> BTreeMap<&[u8], Change<'_>> {
        let mut changes = BTreeMap::new();
        for (key, old) in &self.undo {
            changes.entry(&key[..]).or_insert((old.as_deref(), self.get(key)));
        }
        changes
    }

    /// What the transaction touched so far.
    pub fn touched(&self) -> Touched {
        let (read, written) = (places(&self.read), places(&self.written));
        Touched {
            reads: read.len() as u64,
            pages: read.values().map(|bytes| bytes.div_ceil(PAGE)).sum(),
            writes: written.len() as u64,
            write_bytes: written.values().sum(),
        }
    }

    /// The state now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.entries.clone())
    }

    /// Comes back to a state.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        self.entries = snapshot.0.clone();
        self.begin();
    }
}

impl Storage for Store {
    fn read(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let value = self.entries.get(key).map(|value| value.to_vec());
        // Code is loaded once a node, not once a transaction.
        if key.get(32) != Some(&CODE) && key.get(32) != Some(&CHECKSUM) {
            self.read.insert(key.to_vec(), value.as_ref().map_or(0, |value| value.len() as u64));
        }
        value
    }

    fn write(&mut self, key: &[u8], value: &[u8]) {
        self.written.insert(key.to_vec(), (key.len() + value.len()) as u64);
        self.put(key.to_vec(), value);
    }

    fn remove(&mut self, key: &[u8]) {
        let old = self.entries.remove(key);
        self.written.insert(key.to_vec(), key.len() as u64);
        self.undo.push((key.to_vec(), old));
    }
}

/// Bytes by place: all resources of an address together.
fn places(keys: &BTreeMap<Vec<u8>, u64>) -> BTreeMap<&[u8], u64> {
    let mut places = BTreeMap::new();
    for (key, bytes) in keys {
        let whole = key.get(32) != Some(&RESOURCE);
        *places.entry(if whole { &key[..] } else { &key[..33] }).or_default() += bytes;
    }
    places
}

/// What Aptos' schedule rounds a read up to.
const PAGE: u64 = 4_096;
/// The byte behind the address that says what kind of state follows.
pub(crate) const CODE: u8 = 0;
/// Digests of code.
pub(crate) const CHECKSUM: u8 = 1;
/// Resources.
pub(crate) const RESOURCE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_can_be_taken_back_whole() {
        let mut store = Store::default();
        store.put(b"kept".to_vec(), b"1");
        store.put(b"gone".to_vec(), b"1");
        store.begin();
        store.write(b"kept", b"2");
        store.write(b"kept", b"3");
        store.write(b"new", b"4");
        store.remove(b"gone");
        assert_eq!(store.touched().writes, 3);
        store.roll_back();
        assert_eq!(store.get(b"kept"), Some(b"1".as_slice()));
        assert_eq!(store.get(b"gone"), Some(b"1".as_slice()));
        assert_eq!(store.get(b"new"), None);
    }

    #[test]
    fn a_snapshot_is_the_state_that_it_was_made_of() {
        let mut store = Store::default();
        store.put(b"a".to_vec(), b"1");
        let snapshot = store.snapshot();
        store.put(b"a".to_vec(), b"2");
        store.put(b"b".to_vec(), b"2");
        store.restore(&snapshot);
        assert_eq!((store.get(b"a"), store.get(b"b")), (Some(b"1".as_slice()), None));
    }
}
