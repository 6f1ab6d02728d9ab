//! The map of large states, beside a plain one (R216, R217).

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use symphony_types::canonical::to_bytes;
use symphony_types::digest::Digest;
use symphony_types::table::{Table, Value};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Amount(u64);

impl Value for Amount {}

#[derive(Clone, Debug)]
enum Step {
    Insert(u16, u64),
    Change(u16, u64),
    Remove(u16),
    Digest,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..200u16;
    prop_oneof![
        4 => (key.clone(), any::<u64>()).prop_map(|(key, value)| Step::Insert(key, value)),
        2 => (key.clone(), any::<u64>()).prop_map(|(key, value)| Step::Change(key, value)),
        2 => key.prop_map(Step::Remove),
        1 => Just(Step::Digest),
    ]
}

/// The digest of a table that was filled in one go.
fn anew(plain: &BTreeMap<u16, Amount>) -> Digest {
    plain.iter().rev().map(|(key, value)| (*key, value.clone())).collect::<Table<_, _>>().digest()
}

proptest! {
    /// R216: a table is what a plain map is, in order, bytes and equality, whatever was done to it.
    #[test]
    fn a_table_is_a_map(steps in vec(step(), 0..200)) {
        let (mut table, mut plain) = (Table::new(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Insert(key, value) => {
                    prop_assert_eq!(table.insert(key, Amount(value)), plain.insert(key, Amount(value)));
                }
                Step::Change(key, value) => {
                    let (one, other) = (table.get_mut(&key), plain.get_mut(&key));
                    prop_assert_eq!(&one, &other);
                    if let (Some(one), Some(other)) = (one, other) {
                        (one.0, other.0) = (value, value);
                    }
                }
                Step::Remove(key) => prop_assert_eq!(table.remove(&key), plain.remove(&key)),
                Step::Digest => prop_assert_eq!(table.digest(), anew(&plain)),
            }
            prop_assert_eq!(table.len(), plain.len());
        }
        prop_assert!(table.iter().eq(plain.iter()));
        prop_assert!(table.iter().rev().eq(plain.iter().rev()));
        prop_assert_eq!(to_bytes(&table), to_bytes(&plain));
        let again: Table<u16, Amount> = bcs::from_bytes(&to_bytes(&table)).unwrap();
        prop_assert_eq!(&again, &table);
        prop_assert_eq!(table.digest(), anew(&plain));
    }

    /// R217: a copy stays as it was, and so does its digest, whatever becomes of the other.
    #[test]
    fn a_copy_is_not_touched(first in vec(step(), 0..100), then in vec(step(), 0..100)) {
        let mut table = Table::new();
        apply(&mut table, first);
        let mut copy = table.clone();
        let before: BTreeMap<u16, Amount> = copy.iter().map(|(key, value)| (*key, value.clone())).collect();
        apply(&mut table, then);
        table.digest();
        prop_assert!(copy.iter().eq(before.iter()));
        prop_assert_eq!(copy.digest(), anew(&before));
    }
}

fn apply(table: &mut Table<u16, Amount>, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Insert(key, value) => drop(table.insert(key, Amount(value))),
            Step::Change(key, value) => table.get_or_default(key).0 = value,
            Step::Remove(key) => drop(table.remove(&key)),
            Step::Digest => drop(table.digest()),
        }
    }
}

/// R217: entries that differ in one key or one value have another digest, and entries that moved to the other end too.
#[test]
fn the_digest_tells_tables_apart() {
    let digest = |entries: &[(u16, u64)]| {
        entries.iter().map(|(key, value)| (*key, Amount(*value))).collect::<Table<_, _>>().digest()
    };
    let all = [
        digest(&[]),
        digest(&[(1, 1)]),
        digest(&[(1, 2)]),
        digest(&[(2, 1)]),
        digest(&[(1, 1), (2, 1)]),
        digest(&[(1, 1), (2, 2)]),
        digest(&[(1, 2), (2, 1)]),
    ];
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(all[0], Digest::ZERO);
}

/// R217: the digest of a hundred squares, as the formula of the format gives it: the entry whose key has the greatest digest
/// is on top, and each tree is left tree, key, value and right tree.
#[test]
fn the_digest_is_pinned() {
    let mut squares: Table<u32, Amount> = (0..100).map(|key| (key, Amount(u64::from(key * key)))).collect();
    assert_eq!(squares.digest().to_hex(), "99d656943b8c266ce6b263092818e498e8816c2cc28025514710e6509fe70498");
}
