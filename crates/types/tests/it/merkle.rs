//! Merkle trees of RFC 9162 section 2.1 against an independent implementation and the known small trees (D15).

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use symphony_types::digest::Digest;
use symphony_types::merkle::{
    Frontier, Tree, consistency_proof, consistency_ranges, inclusion_proof, inclusion_ranges, leaf,
    range_root, root, verify_consistency, verify_inclusion,
};

/// MTH of the RFC, over raw leaves, by the largest power of two that is smaller than the count.
fn naive(leaves: &[Vec<u8>]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [only] => Sha256::digest([&[0u8][..], only].concat()).into(),
        _ => {
            let mut split = 1;
            while split * 2 < leaves.len() {
                split *= 2;
            }
            let (left, right) = leaves.split_at(split);
            Sha256::digest([&[1u8][..], &naive(left), &naive(right)].concat()).into()
        }
    }
}

fn hashes(leaves: &[Vec<u8>]) -> Vec<Digest> {
    leaves.iter().map(|bytes| leaf(bytes)).collect()
}

fn numbered(count: usize) -> Vec<Digest> {
    (0..count).map(|at| leaf(&(at as u64).to_le_bytes())).collect()
}

/// The eight leaves of the Certificate Transparency test suite and the roots of its prefixes.
#[test]
fn roots_equal_the_known_vectors() {
    let inputs =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves: Vec<_> = inputs.iter().map(|input| leaf(&hex::decode(input).unwrap())).collect();
    for (count, expected) in roots.iter().enumerate() {
        assert_eq!(root(&leaves[..count]).to_hex(), *expected, "{count} leaves");
    }
}

/// Every proof of every tree up to seventy leaves holds, and not for another leaf, place, size or root.
#[test]
fn proofs_hold_for_their_leaf_alone() {
    for count in 1..70 {
        let leaves = numbered(count);
        let top = root(&leaves);
        let size = count as u64;
        let tree = Tree::new(leaves.clone());
        assert_eq!((tree.root(), tree.path(count)), (top, None));
        for (at, own) in leaves.iter().enumerate() {
            let path = inclusion_proof(&leaves, at).unwrap();
            assert_eq!(tree.path(at).as_ref(), Some(&path));
            let at = at as u64;
            assert!(verify_inclusion(top, *own, at, size, &path));
            assert!(!verify_inclusion(top, leaf(b"other"), at, size, &path));
            assert!(!verify_inclusion(leaf(b"other"), *own, at, size, &path));
            assert!(
                (0..size + 2).all(|other| other == at || !verify_inclusion(top, *own, other, size, &path))
            );
        }
        assert_eq!(inclusion_proof(&leaves, count), None);
    }
}

/// A tree that grows leaf by leaf has the root of the whole at every size.
#[test]
fn a_frontier_has_the_root_of_its_leaves() {
    let leaves = numbered(130);
    let mut frontier = Frontier::default();
    for count in 0..=leaves.len() {
        assert_eq!((frontier.count(), frontier.root()), (count as u64, root(&leaves[..count])));
        if let Some(next) = leaves.get(count) {
            frontier.push(*next);
        }
    }
}

/// Section 2.1.5 of the RFC: in the tree of seven leaves the proof of size 3 is [c, d, g, l], that of 4 is [l], and that of
/// 6 is [i, j, k].
#[test]
fn consistency_proofs_are_those_of_the_example() {
    let leaves = numbered(7);
    let (g, h, l) = (root(&leaves[..2]), root(&leaves[2..4]), root(&leaves[4..]));
    let (i, j, k) = (root(&leaves[4..6]), leaves[6], root(&leaves[..4]));
    assert_eq!(consistency_proof(&leaves, 3), Some(vec![leaves[2], leaves[3], g, l]));
    assert_eq!(consistency_proof(&leaves, 4), Some(vec![l]));
    assert_eq!(consistency_proof(&leaves, 6), Some(vec![i, j, k]));
    assert_ne!(g, h);
}

/// Every prefix of every tree up to forty leaves is shown to be its beginning, and nothing else is.
#[test]
fn consistency_holds_for_the_beginning_alone() {
    for count in 0..40 {
        let leaves = numbered(count);
        let (top, size) = (root(&leaves), count as u64);
        for first in 0..=count {
            let path = consistency_proof(&leaves, first).unwrap();
            let (before, first) = (root(&leaves[..first]), first as u64);
            assert!(verify_consistency(first, before, size, top, &path), "{first} of {count}");
            assert!(!verify_consistency(first, leaf(b"other"), size, top, &path));
            assert!(first == 0 || !verify_consistency(first, before, size, leaf(b"other"), &path));
            assert!(first == 0 || !verify_consistency(first - 1, before, size, top, &path));
            let mut longer = path.clone();
            longer.push(Digest::ZERO);
            assert!(!verify_consistency(first, before, size, top, &longer));
            if !path.is_empty() {
                assert!(!verify_consistency(first, before, size, top, &path[..path.len() - 1]));
            }
        }
        assert_eq!(consistency_proof(&leaves, count + 1), None);
    }
}

#[test]
fn the_empty_tree_has_no_proof() {
    assert_eq!(inclusion_proof(&[], 0), None);
    assert!(!verify_inclusion(root(&[]), root(&[]), 0, 0, &[]));
}

/// A leaf cannot stand for an inner node: the prefixes differ.
#[test]
fn an_inner_node_is_no_leaf() {
    let leaves = numbered(4);
    let inner = [root(&leaves[..2]).0, root(&leaves[2..]).0].concat();
    assert_ne!(leaf(&inner), root(&leaves));
}

proptest! {
    /// D15: any leaves.
    #[test]
    fn root_equals_the_definition(leaves in vec(vec(any::<u8>(), 0..40), 0..80)) {
        prop_assert_eq!(root(&hashes(&leaves)).0, naive(&leaves));
    }

    /// Any bit of any step, one step more or one less: the proof fails.
    #[test]
    fn an_altered_proof_fails(
        count in 1..200usize,
        at in any::<prop::sample::Index>(),
        step in any::<prop::sample::Index>(),
        bit in 0..256usize,
    ) {
        let leaves = numbered(count);
        let (top, at) = (root(&leaves), at.index(count));
        let path = inclusion_proof(&leaves, at).unwrap();
        let holds = |path: &[Digest]| verify_inclusion(top, leaves[at], at as u64, count as u64, path);
        prop_assert!(holds(&path));
        let mut longer = path.clone();
        longer.push(Digest::ZERO);
        prop_assert!(!holds(&longer));
        if !path.is_empty() {
            prop_assert!(!holds(&path[1..]));
            prop_assert!(!holds(&path[..path.len() - 1]));
            let mut bent = path.clone();
            bent[step.index(path.len())].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!holds(&bent));
        }
    }
}

/// R031: who keeps only whole subtrees gives the same roots and paths as who has all leaves.
#[test]
fn whole_subtrees_are_enough_for_every_path() {
    let leaves: Vec<_> = (0..70_u64).map(|number| leaf(&number.to_le_bytes())).collect();
    let mut wholes = BTreeMap::new();
    let mut grown = Frontier::default();
    for (place, one) in leaves.iter().enumerate() {
        wholes.insert((0, place as u64), *one);
        grown.push_with(*one, |level, place, root| {
            assert!(wholes.insert((level, place), root).is_none(), "made whole once");
        });
    }
    let whole = |level, place| wholes.get(&(level, place)).copied().ok_or((level, place));
    let rooted = |ranges: Option<Vec<_>>| -> Option<Vec<_>> {
        Some(ranges?.into_iter().map(|range| range_root(range, whole).unwrap()).collect())
    };
    for count in 0..=leaves.len() {
        let part = &leaves[..count];
        let frontier = Frontier::of(count as u64, whole).unwrap();
        assert_eq!((frontier.count(), frontier.root()), (count as u64, root(part)));
        assert_eq!(range_root(0..count as u64, whole), Ok(root(part)));
        for index in 0..=count {
            let paths = rooted(inclusion_ranges(count as u64, index as u64));
            assert_eq!(paths, inclusion_proof(part, index));
            assert_eq!(
                rooted(consistency_ranges(count as u64, index as u64)),
                consistency_proof(part, index)
            );
        }
        assert_eq!(consistency_ranges(count as u64, count as u64 + 1), None);
    }
    assert_eq!(Frontier::of(leaves.len() as u64, whole), Ok(grown));
    assert_eq!(Frontier::of(71, whole), Err((0, 70)), "what is not there is not made up");
}
