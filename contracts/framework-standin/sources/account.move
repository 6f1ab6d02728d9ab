/// Accounts: the number of the next transaction, resource accounts, and the capability to sign for one. The development chain
/// keeps the number itself, in the resource that is here.
module aptos_framework::account {
    use std::bcs;
    use std::error;
    use std::hash;
    use std::signer;
    use std::vector;
    use aptos_std::from_bcs;

    friend aptos_framework::object;
    friend aptos_framework::resource_account;

    /// The account exists.
    const EACCOUNT_ALREADY_EXISTS: u64 = 1;
    /// The account is in use.
    const EACCOUNT_ALREADY_USED: u64 = 16;
    /// A resource account of that seed exists.
    const ERESOURCE_ACCCOUNT_EXISTS: u64 = 15;

    const DERIVE_RESOURCE_ACCOUNT_SCHEME: u8 = 255;

    struct Account has key, store {
        authentication_key: vector<u8>,
        sequence_number: u64
    }

    struct SignerCapability has drop, store {
        account: address
    }

    #[view]
    public fun exists_at(addr: address): bool {
        exists<Account>(addr)
    }

    #[view]
    /// An account that has done nothing yet is at zero.
    public fun get_sequence_number(addr: address): u64 acquires Account {
        if (exists<Account>(addr)) borrow_global<Account>(addr).sequence_number else 0
    }

    #[view]
    public fun get_authentication_key(addr: address): vector<u8> acquires Account {
        if (exists<Account>(addr)) borrow_global<Account>(addr).authentication_key else bcs::to_bytes(&addr)
    }

    public fun create_resource_address(source: &address, seed: vector<u8>): address {
        let bytes = bcs::to_bytes(source);
        vector::append(&mut bytes, seed);
        vector::push_back(&mut bytes, DERIVE_RESOURCE_ACCOUNT_SCHEME);
        from_bcs::to_address(hash::sha3_256(bytes))
    }

    public fun create_resource_account(source: &signer, seed: vector<u8>): (signer, SignerCapability) {
        let account = create_resource_address(&signer::address_of(source), seed);
        assert!(!exists<Account>(account), error::already_exists(ERESOURCE_ACCCOUNT_EXISTS));
        let resource = create_signer(account);
        move_to(&resource, Account { authentication_key: bcs::to_bytes(&@0x0), sequence_number: 0 });
        (resource, SignerCapability { account })
    }

    public fun create_signer_with_capability(capability: &SignerCapability): signer {
        create_signer(capability.account)
    }

    public fun get_signer_capability_address(capability: &SignerCapability): address {
        capability.account
    }

    native public(friend) fun create_signer(addr: address): signer;

    #[test_only]
    public fun create_account_for_test(new_address: address): signer {
        let account = create_signer(new_address);
        if (!exists<Account>(new_address)) {
            let authentication_key = bcs::to_bytes(&new_address);
            move_to(&account, Account { authentication_key, sequence_number: 0 });
        };
        account
    }

    #[test_only]
    public fun create_test_signer_cap(account: address): SignerCapability {
        SignerCapability { account }
    }

    #[test_only]
    public fun increment_sequence_number_for_test(addr: address) acquires Account {
        let number = &mut borrow_global_mut<Account>(addr).sequence_number;
        *number = *number + 1;
    }
}
