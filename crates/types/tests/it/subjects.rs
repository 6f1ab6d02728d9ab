//! Sets of subjects against `BTreeSet`; equal sets have equal bytes.

use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use symphony_types::canonical::to_bytes;
use symphony_types::subjects::{SubjectIndex, SubjectSet};

fn set(members: &BTreeSet<u32>) -> SubjectSet {
    members.iter().copied().map(SubjectIndex).collect()
}

proptest! {
    /// Every answer of the bitmap is the answer of a set, after every step.
    #[test]
    fn operations_equal_those_of_a_set(steps in vec((any::<bool>(), 0..700u32), 0..200)) {
        let (mut bits, mut model) = (SubjectSet::new(), BTreeSet::new());
        for (insert, member) in steps {
            if insert {
                prop_assert_eq!(bits.insert(SubjectIndex(member)), model.insert(member));
            } else {
                prop_assert_eq!(bits.remove(SubjectIndex(member)), model.remove(&member));
            }
            prop_assert_eq!(bits.contains(SubjectIndex(member)), model.contains(&member));
            prop_assert_eq!(bits.len(), model.len() as u64);
            prop_assert_eq!(bits.is_empty(), model.is_empty());
        }
        prop_assert_eq!(bits.iter().map(|s| s.0).collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
        // The way there leaves no trace in the bytes.
        prop_assert_eq!(to_bytes(&bits), to_bytes(&set(&model)));
        prop_assert_eq!(&SubjectSet::from_words(bits.words().iter().copied().chain([0, 0]).collect()), &bits);
        prop_assert_eq!(bcs::from_bytes::<SubjectSet>(&to_bytes(&bits)).unwrap(), bits);
    }

    #[test]
    fn intersection_is_what_both_have(
        a in btree_set(0..500u32, 0..100),
        b in btree_set(0..500u32, 0..100),
    ) {
        let both: BTreeSet<u32> = a.intersection(&b).copied().collect();
        prop_assert_eq!(to_bytes(&set(&a).intersection(&set(&b))), to_bytes(&set(&both)));
    }
}
