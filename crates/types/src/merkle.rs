//! Merkle trees as RFC 9162 (Certificate Transparency 2.0) section 2.1 defines them: leaves and inner nodes are
//! hashed with different prefixes, and a tree of n leaves splits at the largest power of two below n.

use alloc::vec::Vec;
use core::ops::Range;

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
        self.push_with(leaf, |_, _, _| {});
    }

    /// The same, and tells of each subtree above the leaf that became whole by it: its level, its place on that level, its root.
    pub fn push_with(&mut self, leaf: Digest, mut whole: impl FnMut(u32, u64, Digest)) {
        let mut hash = leaf;
        // Each one at the end of the count in binary is a whole subtree of the size that has come together so far.
        for below in 0..self.count.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                hash = node(left, hash);
                whole(below + 1, self.count >> (below + 1), hash);
            }
        }
        self.peaks.push(hash);
        self.count += 1;
    }

    /// The right edge of the first `count` leaves, out of the roots of whole subtrees as of [`range_root`].
    ///
    /// **Errors**: the first of `whole`.
    pub fn of<E>(count: u64, mut whole: impl FnMut(u32, u64) -> Result<Digest, E>) -> Result<Self, E> {
        let mut peaks = Vec::new();
        range_root(0..count, |level, place| {
            let root = whole(level, place)?;
            peaks.push(root);
            Ok(root)
        })?;
        Ok(Self { count, peaks })
    }

    /// The root over all leaves: as [`root`] of them.
    pub fn root(&self) -> Digest {
        joined(&self.peaks)
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
            let (left, right) = leaves.split_at(split_point(leaves.len() as u64) as usize);
            node(root(left), root(right))
        }
    }
}

/// The audit path of one leaf, from the bottom up; `None` when there is no such leaf.
pub fn inclusion_proof(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    roots(leaves, inclusion_ranges(leaves.len() as u64, index as u64)?)
}

/// Of which leaves the audit path of one has the roots, for who does not have all leaves at hand; `None` when there is no such leaf.
pub fn inclusion_ranges(count: u64, index: u64) -> Option<Vec<Range<u64>>> {
    if index >= count {
        return None;
    }
    let (mut from, mut to, mut ranges) = (0, count, Vec::new());
    while to - from > 1 {
        let middle = from + split_point(to - from);
        if index < middle {
            ranges.push(middle..to);
            to = middle;
        } else {
            ranges.push(from..middle);
            from = middle;
        }
    }
    ranges.reverse();
    Some(ranges)
}

fn roots(leaves: &[Digest], ranges: Vec<Range<u64>>) -> Option<Vec<Digest>> {
    let part = |range: Range<u64>| leaves.get(range.start as usize..range.end as usize).map(root);
    ranges.into_iter().map(part).collect()
}

/// The root over a range of [`inclusion_ranges`] or [`consistency_ranges`], or over the first leaves, out of the roots of whole
/// subtrees: `whole` gives that of the 2^level leaves from place * 2^level on.
///
/// **Errors**: the first of `whole`.
pub fn range_root<E>(
    range: Range<u64>,
    mut whole: impl FnMut(u32, u64) -> Result<Digest, E>,
) -> Result<Digest, E> {
    let (mut from, mut peaks) = (range.start, Vec::new());
    while from < range.end {
        let level = (range.end - from).ilog2();
        peaks.push(whole(level, from >> level)?);
        from += 1 << level;
    }
    Ok(joined(&peaks))
}

/// The root above neighbouring subtrees, each larger than the next.
fn joined(peaks: &[Digest]) -> Digest {
    let mut peaks = peaks.iter().rev();
    let Some(last) = peaks.next() else { return root(&[]) };
    peaks.fold(*last, |right, left| node(*left, right))
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
    roots(leaves, consistency_ranges(leaves.len() as u64, first as u64)?)
}

/// Of which leaves that proof has the roots; `None` when there are fewer than `first`.
pub fn consistency_ranges(count: u64, first: u64) -> Option<Vec<Range<u64>>> {
    if first > count {
        return None;
    }
    let mut ranges = Vec::new();
    if first == 0 || first == count {
        return Some(ranges);
    }
    // `known` while the first leaves of the part are all of the smaller tree, whose root the reader has.
    let (mut from, mut to, mut known) = (0, count, true);
    while first != to {
        let middle = from + split_point(to - from);
        if first <= middle {
            ranges.push(middle..to);
            to = middle;
        } else {
            ranges.push(from..middle);
            (from, known) = (middle, false);
        }
    }
    if !known {
        ranges.push(from..to);
    }
    ranges.reverse();
    Some(ranges)
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
fn split_point(count: u64) -> u64 {
    count.next_power_of_two() / 2
}
