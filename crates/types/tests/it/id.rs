//! Names have one bounded alphabet, wherever they come from.

use proptest::prelude::*;
use symphony_types::id::{ActorId, NameError, TaskId, VaultId};
use symphony_types::limits::NAME_LEN_MAX;
use symphony_types::time::OrderedMillis;

proptest! {
    #[test]
    fn a_name_is_kept_as_it_is(text in "[a-zA-Z0-9._:-]{1,64}") {
        let name = VaultId::new(&text).unwrap();
        prop_assert_eq!(name.as_str(), text.as_str());
        prop_assert_eq!(serde_json::from_str::<VaultId>(&serde_json::to_string(&name).unwrap()).unwrap(), name);
    }

    /// What the constructor refuses, the deserializer refuses as well.
    #[test]
    fn both_ways_in_agree(text in ".{0,70}") {
        let parsed = ActorId::new(&text);
        prop_assert_eq!(parsed.is_ok(), bcs::from_bytes::<ActorId>(&bcs::to_bytes(&text).unwrap()).is_ok());
    }
}

#[test]
fn a_name_is_neither_empty_nor_long_nor_foreign() {
    let long = "a".repeat(NAME_LEN_MAX + 1);
    for wrong in ["", &long, "a b", "a/b", "é", "a\n", "../a", "a\0"] {
        assert_eq!(VaultId::new(wrong), Err(NameError), "{wrong:?}");
    }
    assert!(VaultId::new(&long[1..]).is_ok());
    assert_eq!(NameError.to_string(), "a name has 1 to 64 characters of a-z, A-Z, 0-9 and -_.:");
}

#[test]
fn a_digest_id_reads_as_hexadecimal() {
    let task = TaskId(symphony_types::digest::Digest([0xab; 32]));
    assert_eq!(task.to_string(), "ab".repeat(32));
}

/// R218: time neither wraps nor panics at its ends.
#[test]
fn time_stays_inside_its_ends() {
    assert_eq!(OrderedMillis(u64::MAX).plus(1), OrderedMillis(u64::MAX));
    assert_eq!(OrderedMillis(0).minus(1), OrderedMillis(0));
}
