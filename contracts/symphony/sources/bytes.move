/// Digests as the protocol makes them (D15): SHA-256 over a tag with its length before it and canonical bytes.
///
/// A digest travels as an `address`: it is Move's one type whose canonical bytes are 32 bytes and no length, so that a Move
/// struct has the same bytes as the protocol's, and an explorer shows it as the hexadecimal that the protocol shows.
module symphony::bytes {
    use std::bcs;
    use std::error;
    use std::hash;
    use std::string::{Self, String};
    use std::vector;
    use aptos_std::from_bcs;

    friend symphony::authority;
    friend symphony::escrow;
    friend symphony::governance;
    friend symphony::inflation;
    friend symphony::merkle;
    friend symphony::policy;
    friend symphony::reward;
    friend symphony::treasury;
    #[test_only]
    friend symphony::bytes_tests;

    /// The batch names a lock, task or vault twice.
    const E_ENTRY_REPEATED: u64 = 24;

    public(friend) fun digest(tag: vector<u8>, value: vector<u8>): address {
        let input = bcs::to_bytes(&vector::length(&tag));
        vector::append(&mut input, tag);
        vector::append(&mut input, value);
        from_bcs::to_address(hash::sha2_256(input))
    }

    public(friend) fun key_of_digest(value: address): u256 {
        from_bcs::to_u256(bcs::to_bytes(&value))
    }

    public(friend) fun key_of_name(name: &String): u256 {
        from_bcs::to_u256(hash::sha2_256(*string::bytes(name)))
    }

    /// Aborts when a key is there twice. Keys that come in ascending order cost one pass; others are sorted first.
    public(friend) fun check_distinct(keys: vector<u256>) {
        if (!ascending(&keys)) {
            sort(&mut keys);
            assert!(ascending(&keys), error::invalid_argument(E_ENTRY_REPEATED));
        }
    }

    fun ascending(keys: &vector<u256>): bool {
        let len = vector::length(keys);
        let i = 1;
        while (i < len) {
            if (*vector::borrow(keys, i - 1) >= *vector::borrow(keys, i)) return false;
            i = i + 1;
        };
        true
    }

    /// Heap sort: no recursion, and as fast on hostile input.
    fun sort(keys: &mut vector<u256>) {
        let len = vector::length(keys);
        let start = len / 2;
        while (start > 0) {
            start = start - 1;
            sift(keys, start, len);
        };
        while (len > 1) {
            len = len - 1;
            vector::swap(keys, 0, len);
            sift(keys, 0, len);
        }
    }

    fun sift(keys: &mut vector<u256>, root: u64, len: u64) {
        loop {
            let child = 2 * root + 1;
            if (child >= len) break;
            if (child + 1 < len && *vector::borrow(keys, child) < *vector::borrow(keys, child + 1)) {
                child = child + 1;
            };
            if (*vector::borrow(keys, root) >= *vector::borrow(keys, child)) break;
            vector::swap(keys, root, child);
            root = child;
        }
    }
}
