/// The framework's own way to decode any of its types.
module aptos_framework::util {
    use aptos_std::from_bcs;

    friend aptos_framework::code;

    public(friend) fun from_bytes<T>(bytes: vector<u8>): T {
        from_bcs::from_bytes<T>(bytes)
    }
}
