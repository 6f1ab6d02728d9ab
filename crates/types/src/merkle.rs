//! Merkle trees as RFC 9162 (Certificate Transparency 2.0) section 2.1 defines them: leaves and inner nodes are
//! hashed with different prefixes, and a tree of n leaves splits at the largest power of two below n.

use alloc::vec::Vec;

use crate::digest::Digest;

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
