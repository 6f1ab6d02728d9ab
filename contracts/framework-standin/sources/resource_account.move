/// Accounts that nobody has a key of: whoever creates one leaves the capability to sign for it to the package published there.
module aptos_framework::resource_account {
    use std::error;
    use std::signer;
    use aptos_std::table::{Self, Table};
    use aptos_framework::account::{Self, SignerCapability};
    use aptos_framework::code;

    /// The source created no resource account.
    const ECONTAINER_NOT_PUBLISHED: u64 = 1;
    /// The source did not create this one.
    const EUNAUTHORIZED_NOT_OWNER: u64 = 2;

    struct Container has key {
        store: Table<address, SignerCapability>
    }

    public entry fun create_resource_account_and_publish_package(
        origin: &signer,
        seed: vector<u8>,
        metadata_serialized: vector<u8>,
        code: vector<vector<u8>>
    ) acquires Container {
        let (resource, capability) = account::create_resource_account(origin, seed);
        code::publish_package_txn(&resource, metadata_serialized, code);
        let source = signer::address_of(origin);
        if (!exists<Container>(source)) move_to(origin, Container { store: table::new() });
        let container = borrow_global_mut<Container>(source);
        table::add(&mut container.store, signer::address_of(&resource), capability);
    }

    public fun retrieve_resource_account_cap(resource: &signer, source_addr: address): SignerCapability acquires Container {
        assert!(exists<Container>(source_addr), error::not_found(ECONTAINER_NOT_PUBLISHED));
        let container = borrow_global_mut<Container>(source_addr);
        let account = signer::address_of(resource);
        let made = table::contains(&container.store, account);
        assert!(made, error::invalid_argument(EUNAUTHORIZED_NOT_OWNER));
        table::remove(&mut container.store, account)
    }
}
