//! Merkle trees as RFC 9162 (Certificate Transparency 2.0) section 2.1 defines them: leaves and inner nodes are
//! hashed with different prefixes, and a tree of n leaves splits at the largest power of two below n.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The right edge of a growing tree: the roots of its whole subtrees, the largest first. A leaf is added in as many hashes
/// as the count has trailing ones, and no earlier leaf is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    count: u64,
    peaks: Vec<Digest>,
}

impl Frontier {
    /// How many leaves there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Adds the hash of a leaf at the right.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = leaf;
        // Each one at the end of the count in binary is a whole subtree of the size that has come together so far.
        for _ in 0..self.count.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node(left, hash);
            }
        }
        self.peaks.push(hash);
        self.count += 1;
    }

    /// The root over all leaves: as [`root`] of them.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return root(&[]) };
        peaks.fold(*last, |right, left| node(*left, right))
    }
}

/// A tree with all its levels, for who asks for many paths; it takes twice the room of its leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    /// The tree over leaf hashes.
    pub fn new(leaves: Vec<Digest>) -> Self {
        let mut levels = Vec::new();
        let mut level = leaves;
        while level.len() > 1 {
            let pairs = level.chunks(2).map(|pair| match pair {
                [left, right] => node(*left, *right),
                // Without a sibling it goes up as it is, which makes the split of the definition.
                alone => root(alone),
            });
            let above = pairs.collect();
            levels.push(core::mem::replace(&mut level, above));
        }
        levels.push(level);
        Self { levels }
    }

    /// As [`root`] of the leaves.
    pub fn root(&self) -> Digest {
        self.levels.last().map_or_else(|| root(&[]), |top| root(top))
    }

    /// As [`inclusion_proof`] of the leaves.
    pub fn path(&self, index: usize) -> Option<Vec<Digest>> {
        let leaves = self.levels.first()?;
        if index >= leaves.len() {
            return None;
        }
        let siblings = self.levels.iter().enumerate().map(|(height, level)| level.get((index >> height) ^ 1));
        Some(siblings.flatten().copied().collect())
    }
}

/// The hash of one leaf's bytes.
pub fn leaf(bytes: &[u8]) -> Digest {
    let mut input = Vec::with_capacity(bytes.len() + 1);
    input.push(0);
    input.extend_from_slice(bytes);
    Digest::of_bytes(&input)
}

/// The root over leaf hashes; the empty tree has the hash of nothing.
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of_bytes(&[]),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(split_point(leaves.len()));
            node(root(left), root(right))
        }
    }
}

/// The audit path of one leaf, from the bottom up; `None` when there is no such leaf.
pub fn inclusion_proof(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let (left, right) = leaves.split_at(split_point(leaves.len()));
    let (mut path, sibling) = if index < left.len() {
        (inclusion_proof(left, index)?, root(right))
    } else {
        (inclusion_proof(right, index - left.len())?, root(left))
    };
    path.push(sibling);
    Some(path)
}

/// Whether `leaf` is at `index` of the tree with `count` leaves and this root.
pub fn verify_inclusion(root: Digest, leaf: Digest, index: u64, count: u64, path: &[Digest]) -> bool {
    if index >= count {
        return false;
    }
    let (mut index, mut last, mut hash) = (index, count - 1, leaf);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            hash = node(*sibling, hash);
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(hash, *sibling);
        }
        index >>= 1;
        last >>= 1;
    }
    last == 0 && hash == root
}

/// What shows that the tree of the first `first` leaves is the beginning of the whole tree (section 2.1.4); `None` when
/// there are fewer leaves. Nothing is to be shown of the empty tree and of the whole one.
pub fn consistency_proof(leaves: &[Digest], first: usize) -> Option<Vec<Digest>> {
    if first > leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    if first > 0 && first < leaves.len() {
        consistency_part(leaves, first, true, &mut path);
    }
    Some(path)
}

/// The part of a subtree; `known` while its first leaves are all of the smaller tree, whose root the reader has.
fn consistency_part(leaves: &[Digest], first: usize, known: bool, path: &mut Vec<Digest>) {
    if first == leaves.len() {
        if !known {
            path.push(root(leaves));
        }
        return;
    }
    let (left, right) = leaves.split_at(split_point(leaves.len()));
    if first <= left.len() {
        consistency_part(left, first, known, path);
        path.push(root(right));
    } else {
        consistency_part(right, first - left.len(), false, path);
        path.push(root(left));
    }
}

/// Whether the tree of `first` leaves with root `before` is the beginning of the one of `second` leaves with root `after`.
pub fn verify_consistency(first: u64, before: Digest, second: u64, after: Digest, path: &[Digest]) -> bool {
    if first > second {
        return false;
    }
    if first == second {
        return path.is_empty() && before == after;
    }
    if first == 0 {
        return path.is_empty() && before == root(&[]);
    }
    let (mut index, mut last) = (first - 1, second - 1);
    while index & 1 == 1 {
        index >>= 1;
        last >>= 1;
    }
    // A smaller tree that is one whole subtree is where the walk starts itself.
    let (start, rest) = match path.split_first() {
        _ if first.is_power_of_two() => (before, path),
        Some((start, rest)) => (*start, rest),
        None => return false,
    };
    let (mut small, mut large) = (start, start);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            small = node(*sibling, small);
            large = node(*sibling, large);
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            large = node(large, *sibling);
        }
        index >>= 1;
        last >>= 1;
    }
    last == 0 && small == before && large == after
}

fn node(left: Digest, right: Digest) -> Digest {
    let mut input = [1; 65];
    input[1..33].copy_from_slice(&left.0);
    input[33..].copy_from_slice(&right.0);
    Digest::of_bytes(&input)
}

/// The largest power of two below `count`, which is at least two.
fn split_point(count: usize) -> usize {
    count.next_power_of_two() / 2
}
