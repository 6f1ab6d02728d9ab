#[test_only]
module symphony::bytes_tests {
    use symphony::bytes;
    use symphony::escrow;

    #[test]
    /// The tagged digest of the protocol: the length of the tag in eight bytes, the tag, the canonical bytes.
    fun digests_are_the_protocols() {
        // SHA-256 of 03 00 00 00 00 00 00 00 "tag" "value".
        assert!(bytes::digest(b"tag", b"value") == @0x4d7c510a68b881d4acb6521cd4c8f38e1a355f2722c188762d8d5e0fe6ac3e06, 1);
        assert!(escrow::lock_ref(@0xa1, 3) == @0xb100c30d4a139bf39e0b7d852286d709213877d6025db3f10fc52fc31d65327c, 2);
    }

    #[test]
    fun keys_in_any_order_are_distinct() {
        bytes::check_distinct(vector[]);
        bytes::check_distinct(vector[5]);
        bytes::check_distinct(vector[1, 2, 3]);
        bytes::check_distinct(vector[3, 1, 2, 9, 8, 7, 0]);
    }

    #[test]
    #[expected_failure(abort_code = 0x10018, location = symphony::bytes)]
    fun a_key_twice_side_by_side_is_found() {
        bytes::check_distinct(vector[1, 2, 2]);
    }

    #[test]
    #[expected_failure(abort_code = 0x10018, location = symphony::bytes)]
    fun a_key_twice_far_apart_is_found() {
        bytes::check_distinct(vector[3, 1, 2, 9, 8, 7, 3]);
    }
}
