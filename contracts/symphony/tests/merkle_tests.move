// The published vectors of `vectors/merkle.json` (RFC 9162 section 2.1), and the leaf of a dividend tree. The Rust test
// `the_move_vectors_are_the_published_ones` of the development chain compares this file with that one.
#[test_only]
module symphony::merkle_tests {
    use symphony::merkle;
    use symphony::world;

    fun included(root: address, input: vector<u8>, index: u64, count: u64, path: vector<address>): bool {
        merkle::verify(root, merkle::leaf(input), index, count, &path)
    }

    #[test]
    fun leaves_of_a_tree_of_1_are_included() {
        assert!(included(@0x6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d, x"", 0, 1, vector[]), 0);
    }

    #[test]
    fun leaves_of_a_tree_of_2_are_included() {
        assert!(included(@0x5397b75fcd025549e5c6c04c86b73ee49d8a3135745f4e082f08397d79fa37b3, x"", 0, 2, vector[@0xb413f47d13ee2fe6c845b2ee141af81de858df4ec549a58b7970bb96645bc8d2]), 0);
        assert!(included(@0x5397b75fcd025549e5c6c04c86b73ee49d8a3135745f4e082f08397d79fa37b3, x"01", 1, 2, vector[@0x6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d]), 1);
    }

    #[test]
    fun leaves_of_a_tree_of_3_are_included() {
        assert!(included(@0x12c35e40e6189d661c70a762621a48f8bac032746c1712e8d6e73d7c1ef0beb1, x"", 0, 3, vector[@0xb413f47d13ee2fe6c845b2ee141af81de858df4ec549a58b7970bb96645bc8d2, @0x65fde13cf1e4ea4206c293082657037684ee456e40041c816509b63e1b89d387]), 0);
        assert!(included(@0x12c35e40e6189d661c70a762621a48f8bac032746c1712e8d6e73d7c1ef0beb1, x"01", 1, 3, vector[@0x6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d, @0x65fde13cf1e4ea4206c293082657037684ee456e40041c816509b63e1b89d387]), 1);
        assert!(included(@0x12c35e40e6189d661c70a762621a48f8bac032746c1712e8d6e73d7c1ef0beb1, x"0202", 2, 3, vector[@0x5397b75fcd025549e5c6c04c86b73ee49d8a3135745f4e082f08397d79fa37b3]), 2);
    }

    #[test]
    fun leaves_of_a_tree_of_5_are_included() {
        assert!(included(@0xdb6d52ab524f99f572fb0198a6a87357ae59e2cbc2d54866ed2a7eee7b801c18, x"", 0, 5, vector[@0xb413f47d13ee2fe6c845b2ee141af81de858df4ec549a58b7970bb96645bc8d2, @0x67d1c164c426ea81527449abdfef0d4a9e66d0554f4b211f521ca8584dea6700, @0xcfa5bd3fb34be17ff2791f53c3dac08f1e45df1717c940c132fa69a4318f071e]), 0);
        assert!(included(@0xdb6d52ab524f99f572fb0198a6a87357ae59e2cbc2d54866ed2a7eee7b801c18, x"01", 1, 5, vector[@0x6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d, @0x67d1c164c426ea81527449abdfef0d4a9e66d0554f4b211f521ca8584dea6700, @0xcfa5bd3fb34be17ff2791f53c3dac08f1e45df1717c940c132fa69a4318f071e]), 1);
        assert!(included(@0xdb6d52ab524f99f572fb0198a6a87357ae59e2cbc2d54866ed2a7eee7b801c18, x"0202", 2, 5, vector[@0x9e27c5e07151a25b193049452eed53d86128624661f398113f99a60290919198, @0x5397b75fcd025549e5c6c04c86b73ee49d8a3135745f4e082f08397d79fa37b3, @0xcfa5bd3fb34be17ff2791f53c3dac08f1e45df1717c940c132fa69a4318f071e]), 2);
        assert!(included(@0xdb6d52ab524f99f572fb0198a6a87357ae59e2cbc2d54866ed2a7eee7b801c18, x"030303", 3, 5, vector[@0x65fde13cf1e4ea4206c293082657037684ee456e40041c816509b63e1b89d387, @0x5397b75fcd025549e5c6c04c86b73ee49d8a3135745f4e082f08397d79fa37b3, @0xcfa5bd3fb34be17ff2791f53c3dac08f1e45df1717c940c132fa69a4318f071e]), 3);
        assert!(included(@0xdb6d52ab524f99f572fb0198a6a87357ae59e2cbc2d54866ed2a7eee7b801c18, x"04040404", 4, 5, vector[@0x2fc5e5989670017aa78cfaf26036dc2e04ee67b7ffa5e233a1def0354950f416]), 4);
    }

    #[test]
    fun leaves_of_a_tree_of_8_are_included() {
        assert!(included(@0xc596bdd1cd29b0aec1e58487d6f764fc058a66ec9b3b17836e08338c844c6bc1, x"", 0, 8, vector[@0xb413f47d13ee2fe6c845b2ee141af81de858df4ec549a58b7970bb96645bc8d2, @0x67d1c164c426ea81527449abdfef0d4a9e66d0554f4b211f521ca8584dea6700, @0xb83dab45ba42dc40ef8add5ba4627a1f45df4faa4dda89525c9077f7b0e99bbd]), 0);
        assert!(included(@0xc596bdd1cd29b0aec1e58487d6f764fc058a66ec9b3b17836e08338c844c6bc1, x"01", 1, 8, vector[@0x6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d, @0x67d1c164c426ea81527449abdfef0d4a9e66d0554f4b211f521ca8584dea6700, @0xb83dab45ba42dc40ef8add5ba4627a1f45df4faa4dda89525c9077f7b0e99bbd]), 1);
        assert!(included(@0xc596bdd1cd29b0aec1e58487d6f764fc058a66ec9b3b17836e08338c844c6bc1, x"0202", 2, 8, vector[@0x9e27c5e07151a25b193049452eed53d86128624661f398113f99a60290919198, @0x5397b75fcd025549e5c6c04c86b73ee49d8a3135745f4e082f08397d79fa37b3, @0xb83dab45ba42dc40ef8add5ba4627a1f45df4faa4dda89525c9077f7b0e99bbd]), 2);
        assert!(included(@0xc596bdd1cd29b0aec1e58487d6f764fc058a66ec9b3b17836e08338c844c6bc1, x"030303", 3, 8, vector[@0x65fde13cf1e4ea4206c293082657037684ee456e40041c816509b63e1b89d387, @0x5397b75fcd025549e5c6c04c86b73ee49d8a3135745f4e082f08397d79fa37b3, @0xb83dab45ba42dc40ef8add5ba4627a1f45df4faa4dda89525c9077f7b0e99bbd]), 3);
        assert!(included(@0xc596bdd1cd29b0aec1e58487d6f764fc058a66ec9b3b17836e08338c844c6bc1, x"04040404", 4, 8, vector[@0x2851ddf061ccde8675d83f08d671c6890d60a3176214a75b1778d7ce4fb3942f, @0xff4a2bb0cd436c317eb10f8d535cc3a89e1ae9d1eb19c4a102d4c85a8b231547, @0x2fc5e5989670017aa78cfaf26036dc2e04ee67b7ffa5e233a1def0354950f416]), 4);
        assert!(included(@0xc596bdd1cd29b0aec1e58487d6f764fc058a66ec9b3b17836e08338c844c6bc1, x"0505050505", 5, 8, vector[@0xcfa5bd3fb34be17ff2791f53c3dac08f1e45df1717c940c132fa69a4318f071e, @0xff4a2bb0cd436c317eb10f8d535cc3a89e1ae9d1eb19c4a102d4c85a8b231547, @0x2fc5e5989670017aa78cfaf26036dc2e04ee67b7ffa5e233a1def0354950f416]), 5);
        assert!(included(@0xc596bdd1cd29b0aec1e58487d6f764fc058a66ec9b3b17836e08338c844c6bc1, x"060606060606", 6, 8, vector[@0x5a359a4dedf8493727ab85565ce2a92e4c67ab04ecba5b122815e1c5c3c7389c, @0xd96f0c876a840860e62bd0206dbf468bbea958ff3d6ba323431ce80f331351cc, @0x2fc5e5989670017aa78cfaf26036dc2e04ee67b7ffa5e233a1def0354950f416]), 6);
        assert!(included(@0xc596bdd1cd29b0aec1e58487d6f764fc058a66ec9b3b17836e08338c844c6bc1, x"07070707070707", 7, 8, vector[@0x7256dfffe5ce3aaa3b6385dfb93cf2ff69b5eed1e65903ad238d337dc0ac8f7a, @0xd96f0c876a840860e62bd0206dbf468bbea958ff3d6ba323431ce80f331351cc, @0x2fc5e5989670017aa78cfaf26036dc2e04ee67b7ffa5e233a1def0354950f416]), 7);
    }

    #[test]
    /// SHA-256 of 00, the account, and index and amount in eight bytes each, the lowest first.
    fun a_dividend_leaf_is_the_protocols() {
        assert!(merkle::dividend_leaf(world::producer(), 0, 10) == x"d8eb4d46488d4b66c40f06831e6ca4ce7b889ae62c54cc6902b9cfc8247f49d1", 1);
    }

    #[test]
    fun what_is_not_in_the_tree_is_refused() {
        let root = @0x12c35e40e6189d661c70a762621a48f8bac032746c1712e8d6e73d7c1ef0beb1;
        let path = vector[@0x6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d, @0x65fde13cf1e4ea4206c293082657037684ee456e40041c816509b63e1b89d387];
        assert!(included(root, x"01", 1, 3, path), 1);
        assert!(!included(root, x"02", 1, 3, path), 2);
        assert!(!included(root, x"01", 0, 3, path), 3);
        assert!(!included(root, x"01", 3, 3, path), 4);
        assert!(!included(root, x"01", 1, 1, path), 5);
        assert!(!included(root, x"01", 1, 3, vector[]), 6);
        assert!(!included(root, x"01", 1, 0, path), 7);
        let long = path;
        std::vector::push_back(&mut long, root);
        assert!(!included(root, x"01", 1, 3, long), 8);
    }
}
