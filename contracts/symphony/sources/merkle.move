/// Inclusion in a Merkle tree as RFC 9162 section 2.1 defines it, and the leaf of a dividend tree (D7).
module symphony::merkle {
    use std::bcs;
    use std::hash;
    use std::vector;

    friend symphony::reward;
    #[test_only]
    friend symphony::merkle_tests;

    /// One producer's dividend, with the canonical bytes of the protocol's `DividendLeaf`.
    struct DividendLeaf has copy, drop {
        account: address,
        index: u64,
        amount: u64
    }

    public(friend) fun dividend_leaf(account: address, index: u64, amount: u64): vector<u8> {
        leaf(bcs::to_bytes(&DividendLeaf { account, index, amount }))
    }

    /// The hash of one leaf's bytes.
    public(friend) fun leaf(bytes: vector<u8>): vector<u8> {
        let input = vector[0u8];
        vector::append(&mut input, bytes);
        hash::sha2_256(input)
    }

    fun node(left: vector<u8>, right: vector<u8>): vector<u8> {
        let input = vector[1u8];
        vector::append(&mut input, left);
        vector::append(&mut input, right);
        hash::sha2_256(input)
    }

    /// Whether the leaf with that hash is at `index` of the tree with `count` leaves and this root.
    public(friend) fun verify(
        root: address,
        leaf: vector<u8>,
        index: u64,
        count: u64,
        path: &vector<address>
    ): bool {
        if (index >= count) return false;
        let last = count - 1;
        let hash = leaf;
        for (i in 0..vector::length(path)) {
            if (last == 0) return false;
            let sibling = bcs::to_bytes(vector::borrow(path, i));
            if (index & 1 == 1 || index == last) {
                hash = node(sibling, hash);
                while (index & 1 == 0 && index != 0) {
                    index = index >> 1;
                    last = last >> 1;
                };
            } else {
                hash = node(hash, sibling);
            };
            index = index >> 1;
            last = last >> 1;
        };
        last == 0 && hash == bcs::to_bytes(&root)
    }
}
