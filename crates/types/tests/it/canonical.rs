//! The encoder of the core against the `bcs` crate (D15, R032), and the values that have no canonical form.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use symphony_types::canonical::to_bytes;
use symphony_types::digest::Digest;

/// Every shape that the format has, nested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Rich {
    flag: bool,
    small: (u8, i8, u16, i16),
    wide: (u32, i32, u64, i64, u128, i128),
    text: String,
    bytes: Vec<u8>,
    fixed: [u8; 32],
    maybe: Option<Option<u16>>,
    map: BTreeMap<String, Vec<u32>>,
    numbers: BTreeMap<u64, Choice>,
    set: BTreeSet<(u16, String)>,
    choices: Vec<Choice>,
    wrapped: Wrapped,
    pair: Pair,
    unit: (),
    empty: Empty,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Unit,
    Newtype(u128),
    Tuple(u8, String),
    Struct { a: Option<String>, b: BTreeMap<i64, bool> },
    Nested(Box<Choice>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(u64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pair(u8, Vec<String>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Empty;

fn choice() -> impl Strategy<Value = Choice> {
    let leaf = prop_oneof![
        Just(Choice::Unit),
        any::<u128>().prop_map(Choice::Newtype),
        (any::<u8>(), ".{0,300}").prop_map(|(a, b)| Choice::Tuple(a, b)),
        (option::of(".{0,8}"), btree_map(any::<i64>(), any::<bool>(), 0..4))
            .prop_map(|(a, b)| Choice::Struct { a, b }),
    ];
    leaf.prop_recursive(4, 8, 1, |inner| inner.prop_map(|choice| Choice::Nested(Box::new(choice))))
}

fn rich() -> impl Strategy<Value = Rich> {
    let scalars = (any::<bool>(), any::<(u8, i8, u16, i16)>(), any::<(u32, i32, u64, i64, u128, i128)>());
    let texts = (".{0,200}", vec(any::<u8>(), 0..300), any::<[u8; 32]>(), any::<Option<Option<u16>>>());
    let maps = (
        btree_map(".{0,12}", vec(any::<u32>(), 0..5), 0..6),
        btree_map(any::<u64>(), choice(), 0..6),
        btree_set((any::<u16>(), ".{0,4}"), 0..6),
    );
    let rest = (vec(choice(), 0..5), any::<u64>(), (any::<u8>(), vec(".{0,6}", 0..4)));
    (scalars, texts, maps, rest).prop_map(
        |(
            (flag, small, wide),
            (text, bytes, fixed, maybe),
            (map, numbers, set),
            (choices, wrapped, pair),
        )| {
            Rich {
                flag,
                small,
                wide,
                text,
                bytes,
                fixed,
                maybe,
                map,
                numbers,
                set,
                choices,
                wrapped: Wrapped(wrapped),
                pair: Pair(pair.0, pair.1),
                unit: (),
                empty: Empty,
            }
        },
    )
}

proptest! {
    /// D15, R032, R216: two encoders, one form; and the form is read back.
    #[test]
    fn canonical_bytes_equal_bcs(value in rich()) {
        let ours = to_bytes(&value);
        prop_assert_eq!(&ours, &bcs::to_bytes(&value).unwrap());
        prop_assert_eq!(bcs::from_bytes::<Rich>(&ours).unwrap(), value);
    }

    /// D15: a map has one form, in whatever order its entries come.
    #[test]
    fn map_entries_are_sorted_by_their_bytes(map in btree_map(any::<u64>(), any::<u8>(), 0..20)) {
        struct Reversed<'a>(&'a BTreeMap<u64, u8>);
        impl Serialize for Reversed<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut entries = serializer.serialize_map(Some(self.0.len()))?;
                for (key, value) in self.0.iter().rev() {
                    entries.serialize_entry(key, value)?;
                }
                entries.end()
            }
        }
        prop_assert_eq!(to_bytes(&Reversed(&map)), bcs::to_bytes(&map).unwrap());
    }

    /// D15: a digest separates object types, and equal content under equal tags is equal.
    #[test]
    fn a_tag_separates_digests(content in any::<(u64, String)>(), tag in "[a-z/0-9]{0,20}") {
        let digest = Digest::of("symphony/a/v1", &content);
        prop_assert_eq!(digest, Digest::of("symphony/a/v1", &content.clone()));
        prop_assert_ne!(digest, Digest::of(&tag, &content));
        prop_assert_eq!(Digest::from_hex(&digest.to_hex()), Some(digest));
    }
}

/// D15: the length prefix of the tag keeps its end from running into the content.
#[test]
fn a_tag_does_not_run_into_the_content() {
    assert_ne!(Digest::tagged("ab", b"c"), Digest::tagged("a", b"bc"));
    assert_ne!(Digest::tagged("", b"abc"), Digest::of_bytes(b"abc"));
}

/// R218: a float has no canonical form.
#[test]
#[should_panic(expected = "a float has no canonical form")]
fn a_float_stops_the_encoder() {
    to_bytes(&vec![1.5f64]);
}

/// D15: neither has a character.
#[test]
#[should_panic(expected = "a character has no canonical form")]
fn a_character_stops_the_encoder() {
    to_bytes(&Some('a'));
}

/// D15: nor a sequence whose length is not known before its elements.
#[test]
#[should_panic(expected = "a sequence of unknown length has no canonical form")]
fn a_sequence_of_unknown_length_stops_the_encoder() {
    struct Endless;
    impl Serialize for Endless {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeSeq;
            serializer.serialize_seq(None)?.end()
        }
    }
    to_bytes(&Endless);
}

#[test]
fn a_digest_reads_only_sixty_four_hexadecimal_digits() {
    let hex = "0".repeat(64);
    assert_eq!(Digest::from_hex(&hex), Some(Digest::ZERO));
    for wrong in
        ["", &hex[1..], &format!("{hex}0"), &"g".repeat(64), &"é".repeat(32), &format!("+{}", &hex[1..])]
    {
        assert_eq!(Digest::from_hex(wrong), None, "{wrong}");
    }
}
