//! A map for large states: copies share what they have in common, and its digest costs what has changed (R217).
//!
//! A treap whose priorities are digests of the keys. Its shape follows from its keys alone, so two nodes that came to the
//! same entries on different ways have the same digest. Reading, changing and copying cost the depth, which is a small
//! multiple of the logarithm of the length; whoever chooses keys freely can make a path of depth `d` by hashing `d^3`
//! times, and makes that path slower only.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::mem;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::digest::Digest;

/// What stands in a [`Table`].
pub trait Value: Clone + Serialize {
    /// The digest of the value. It is asked for once after each change; a value that holds tables mixes their digests.
    fn digest(&mut self) -> Digest {
        Digest::of("symphony/table-value/v1", self)
    }
}

impl Value for () {}

impl Value for Digest {}

impl Value for u64 {}

/// A map in the order of its keys.
#[derive(Clone)]
pub struct Table<K, V> {
    root: Link<K, V>,
    len: usize,
}

type Link<K, V> = Option<Arc<Node<K, V>>>;

#[derive(Clone)]
struct Node<K, V> {
    entry: Arc<(K, V)>,
    /// Digest of the key, and the node's priority: the greatest is on top.
    name: Digest,
    /// Digest of the value, unless it may have changed.
    value: Option<Digest>,
    /// Digest of the whole tree from here, unless it may have changed.
    tree: Option<Digest>,
    left: Link<K, V>,
    right: Link<K, V>,
}

impl<K: Ord + Clone + Serialize, V: Value> Table<K, V> {
    /// A table without entries.
    pub const fn new() -> Self {
        Self { root: None, len: 0 }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let mut link = &self.root;
        while let Some(node) = link {
            link = match key.cmp(&node.entry.0) {
                core::cmp::Ordering::Less => &node.left,
                core::cmp::Ordering::Greater => &node.right,
                core::cmp::Ordering::Equal => return Some(&node.entry.1),
            };
        }
        None
    }

    /// Whether a key has a value.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        // Looked up first, so that a miss leaves the digests of the path.
        if self.contains_key(key) { self.there(key) } else { None }
    }

    /// The value of a key that is there.
    fn there(&mut self, key: &K) -> Option<&mut V> {
        let mut link = &mut self.root;
        while let Some(node) = link {
            let node = Arc::make_mut(node);
            node.tree = None;
            link = match key.cmp(&node.entry.0) {
                core::cmp::Ordering::Less => &mut node.left,
                core::cmp::Ordering::Greater => &mut node.right,
                core::cmp::Ordering::Equal => {
                    node.value = None;
                    return Some(&mut Arc::make_mut(&mut node.entry).1);
                }
            };
        }
        None
    }

    /// The value of a key, made first if there is none.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        if !self.contains_key(&key) {
            self.insert(key.clone(), V::default());
        }
        match self.there(&key) {
            Some(value) => value,
            None => unreachable!("the key was inserted"),
        }
    }

    /// Gives a key a value and returns the one that it had.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.contains_key(&key) {
            return self.there(&key).map(|old| mem::replace(old, value));
        }
        let name = Digest::of("symphony/table-key/v1", &key);
        let entry = Arc::new((key, value));
        place(&mut self.root, Node { entry, name, value: None, tree: None, left: None, right: None });
        self.len += 1;
        None
    }

    /// Takes a key out and returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        if !self.contains_key(key) {
            return None;
        }
        let entry = take(&mut self.root, key)?;
        self.len -= 1;
        Some(Arc::unwrap_or_clone(entry).1)
    }

    /// The digest of all entries; that of no entry is zero.
    pub fn digest(&mut self) -> Digest {
        digest(&mut self.root)
    }

    /// Entries in the order of their keys.
    pub fn iter(&self) -> Iter<'_, K, V> {
        let mut iter = Iter { front: Vec::new(), back: Vec::new(), left: self.len };
        iter.down_left(&self.root);
        iter.down_right(&self.root);
        iter
    }

    /// Keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// Values in the order of their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }
}

fn place<K: Ord + Clone, V: Clone>(link: &mut Link<K, V>, mut new: Node<K, V>) {
    match link {
        Some(node) if node.name > new.name => {
            let node = Arc::make_mut(node);
            node.tree = None;
            let side = if new.entry.0 < node.entry.0 { &mut node.left } else { &mut node.right };
            place(side, new);
        }
        _ => {
            (new.left, new.right) = split(link.take(), &new.entry.0);
            *link = Some(Arc::new(new));
        }
    }
}

/// A tree as the two of what comes before a key and after it.
fn split<K: Ord + Clone, V: Clone>(tree: Link<K, V>, key: &K) -> (Link<K, V>, Link<K, V>) {
    let Some(mut top) = tree else { return (None, None) };
    let node = Arc::make_mut(&mut top);
    node.tree = None;
    if node.entry.0 < *key {
        let (before, after) = split(node.right.take(), key);
        node.right = before;
        (Some(top), after)
    } else {
        let (before, after) = split(node.left.take(), key);
        node.left = after;
        (before, Some(top))
    }
}

fn take<K: Ord + Clone, V: Clone>(link: &mut Link<K, V>, key: &K) -> Option<Arc<(K, V)>> {
    let node = Arc::make_mut(link.as_mut()?);
    node.tree = None;
    match key.cmp(&node.entry.0) {
        core::cmp::Ordering::Less => take(&mut node.left, key),
        core::cmp::Ordering::Greater => take(&mut node.right, key),
        core::cmp::Ordering::Equal => {
            let entry = Arc::clone(&node.entry);
            *link = merge(node.left.take(), node.right.take());
            Some(entry)
        }
    }
}

/// Two trees as one; all keys of the first come before those of the second.
fn merge<K: Clone, V: Clone>(before: Link<K, V>, after: Link<K, V>) -> Link<K, V> {
    match (before, after) {
        (None, one) | (one, None) => one,
        (Some(mut before), Some(after)) if before.name > after.name => {
            let node = Arc::make_mut(&mut before);
            node.tree = None;
            node.right = merge(node.right.take(), Some(after));
            Some(before)
        }
        (Some(before), Some(mut after)) => {
            let node = Arc::make_mut(&mut after);
            node.tree = None;
            node.left = merge(Some(before), node.left.take());
            Some(after)
        }
    }
}

fn digest<K: Clone, V: Value>(link: &mut Link<K, V>) -> Digest {
    let Some(node) = link else { return Digest::ZERO };
    if let Some(known) = node.tree {
        return known;
    }
    let node = Arc::make_mut(node);
    let value = *node.value.get_or_insert_with(|| Arc::make_mut(&mut node.entry).1.digest());
    let mut parts = [0; 4 * 32];
    for (part, digest) in
        parts.chunks_exact_mut(32).zip([digest(&mut node.left), node.name, value, digest(&mut node.right)])
    {
        part.copy_from_slice(&digest.0);
    }
    *node.tree.insert(Digest::tagged("symphony/table/v1", &parts))
}

/// Entries in the order of their keys, from both ends.
#[derive(Clone)]
pub struct Iter<'a, K, V> {
    /// Nodes whose own entry comes next and whose right side follows it.
    front: Vec<&'a Node<K, V>>,
    /// The same from behind.
    back: Vec<&'a Node<K, V>>,
    left: usize,
}

impl<'a, K, V> Iter<'a, K, V> {
    fn down_left(&mut self, mut link: &'a Link<K, V>) {
        while let Some(node) = link {
            self.front.push(node);
            link = &node.left;
        }
    }

    fn down_right(&mut self, mut link: &'a Link<K, V>) {
        while let Some(node) = link {
            self.back.push(node);
            link = &node.right;
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let node = self.front.pop()?;
        self.down_left(&node.right);
        Some((&node.entry.0, &node.entry.1))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let node = self.back.pop()?;
        self.down_right(&node.left);
        Some((&node.entry.0, &node.entry.1))
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

impl<K: Ord + Clone + Serialize, V: Value> Default for Table<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, K: Ord + Clone + Serialize, V: Value> IntoIterator for &'a Table<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<K: Ord + Clone + Serialize, V: Value> FromIterator<(K, V)> for Table<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut table = Self::new();
        for (key, value) in entries {
            table.insert(key, value);
        }
        table
    }
}

impl<K: Ord + Clone + Serialize, V: Value> core::ops::Index<&K> for Table<K, V> {
    type Output = V;

    /// # Panics
    /// The key has no value.
    fn index(&self, key: &K) -> &V {
        match self.get(key) {
            Some(value) => value,
            None => panic!("no entry of this key"),
        }
    }
}

impl<K: Ord + Clone + Serialize, V: Value + PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl<K: Ord + Clone + Serialize, V: Value + Eq> Eq for Table<K, V> {}

impl<K: Ord + Clone + Serialize + fmt::Debug, V: Value + fmt::Debug> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K: Ord + Clone + Serialize, V: Value> Serialize for Table<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de, K, V> Deserialize<'de> for Table<K, V>
where
    K: Ord + Clone + Serialize + Deserialize<'de>,
    V: Value + Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

struct Entries<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for Entries<K, V>
where
    K: Ord + Clone + Serialize + Deserialize<'de>,
    V: Value + Deserialize<'de>,
{
    type Value = Table<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table<K, V>, A::Error> {
        let mut table = Table::new();
        while let Some((key, value)) = map.next_entry()? {
            table.insert(key, value);
        }
        Ok(table)
    }
}
