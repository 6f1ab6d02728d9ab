//! The people of a ledger entry, as a set with a digest under which anybody can be shown to be in it or not, without the set.
//!
//! **Shape**: the set's words in blocks of [`BLOCK_WORDS`], the last one as short as it is; a block's canonical bytes are a leaf of
//! an RFC 9162 tree (D15); the digest is of the number of words and the root. A block tells about [`BLOCK_WORDS`] x 64
//! positions, never who stands there.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize, Serializer};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::merkle::{self, Tree};
use symphony_types::subjects::{SubjectIndex, SubjectSet};

/// A set of people that no longer changes.
#[derive(Clone, Debug)]
pub struct Members {
    set: Arc<SubjectSet>,
    tree: Arc<Tree>,
    digest: Digest,
}

impl Members {
    pub(super) fn new(set: SubjectSet) -> Self {
        let leaves = set.words().chunks(BLOCK_WORDS).map(leaf).collect();
        let tree = Tree::new(leaves);
        let digest = digest(set.words().len() as u64, tree.root());
        Self { set: Arc::new(set), tree: Arc::new(tree), digest }
    }

    /// Those of the people who are in `kept`, which has nobody else.
    pub(super) fn narrowed(&self, kept: &SubjectSet) -> Self {
        assert!(kept.difference(&self.set).is_empty(), "invariant: a task's people become fewer only");
        if *kept == *self.set { self.clone() } else { Self::new(kept.clone()) }
    }

    /// The people.
    pub fn set(&self) -> &SubjectSet {
        &self.set
    }

    /// The digest of the set.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What shows whether a person is in the set.
    pub fn prove(&self, subject: SubjectIndex) -> MembershipProof {
        let place = block_of(subject);
        let block = self.set.words().chunks(BLOCK_WORDS).nth(place).zip(self.tree.path(place));
        MembershipProof {
            words: self.set.words().len() as u64,
            root: self.tree.root(),
            block: block.map(|(words, path)| (words.to_vec(), path)),
        }
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.digest.serialize(serializer)
    }
}

/// What shows whether one person is in a set that only its digest is known of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembershipProof {
    /// How many words the set has.
    words: u64,
    /// The root over its blocks.
    root: Digest,
    /// The person's block with its audit path; none for who comes after the last block.
    block: Option<(Vec<u64>, Vec<Digest>)>,
}

impl MembershipProof {
    /// The digest of the set that the proof is about.
    pub fn digest(&self) -> Digest {
        digest(self.words, self.root)
    }

    /// Whether the person is in that set; `None` when the proof does not show it.
    pub fn shows(&self, subject: SubjectIndex) -> Option<bool> {
        let (place, count) = (block_of(subject) as u64, self.words.div_ceil(BLOCK_WORDS as u64));
        let Some((block, path)) = &self.block else {
            return (place >= count).then_some(false);
        };
        let rest = self.words.checked_sub(place * BLOCK_WORDS as u64)?;
        let whole = block.len() as u64 == rest.min(BLOCK_WORDS as u64);
        let there = merkle::verify_inclusion(self.root, leaf(block), place, count, path);
        (whole && there).then(|| {
            let bit = subject.0 as usize % (BLOCK_WORDS * 64);
            block.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1)
        })
    }
}

fn block_of(subject: SubjectIndex) -> usize {
    subject.0 as usize / (BLOCK_WORDS * 64)
}

fn leaf(words: &[u64]) -> Digest {
    merkle::leaf(&canonical::to_bytes(words))
}

fn digest(words: u64, root: Digest) -> Digest {
    Digest::of("symphony/vault-members/v2", &(words, root))
}

/// Words of a block: half a kibibyte.
const BLOCK_WORDS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// R069: every position is shown as it is, by a proof that fits no other set and tells nothing when it is changed.
        #[test]
        fn everybody_is_shown_to_be_in_the_set_or_not(
            people in proptest::collection::btree_set(0u32..40_000, 0..60),
            asked in 0u32..45_000,
            flip in any::<prop::sample::Index>(),
        ) {
            let members = Members::new(people.iter().copied().map(SubjectIndex).collect());
            for subject in people.iter().copied().chain([asked]) {
                let proof = members.prove(SubjectIndex(subject));
                prop_assert_eq!(proof.digest(), members.digest());
                prop_assert_eq!(proof.shows(SubjectIndex(subject)), Some(people.contains(&subject)));
            }
            let mut bytes = canonical::to_bytes(&members.prove(SubjectIndex(asked)));
            let place = flip.index(bytes.len());
            bytes[place] ^= 1;
            if let Ok(changed) = bcs::from_bytes::<MembershipProof>(&bytes) {
                let believed = changed.digest() == members.digest() && changed.shows(SubjectIndex(asked)).is_some();
                prop_assert!(!believed);
            }
        }
    }
}
