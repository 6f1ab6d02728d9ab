/// Who may sign for the package: this module alone, and it signs an upgrade only for an accepted proposal (R180). Nobody has a
/// key of the account that the package is published at.
module symphony::authority {
    use std::bcs;
    use std::error;
    use std::vector;
    use aptos_framework::account::{Self, SignerCapability};
    use aptos_framework::code;
    use aptos_framework::event;
    use aptos_framework::resource_account;
    use symphony::bytes;
    use symphony::governance;

    friend symphony::genesis;

    /// The package cannot be upgraded before governance exists.
    const E_NOT_STARTED: u64 = 108;

    const UPGRADE_TAG: vector<u8> = b"symphony/chain-upgrade/v1";

    struct Authority has key {
        capability: SignerCapability
    }

    /// What an upgrade proposal is about. Its canonical bytes are what the proposal names.
    struct Upgrade has copy, drop {
        metadata: vector<u8>,
        code: vector<vector<u8>>
    }

    #[event]
    struct Upgraded has drop, store {
        proposal: address,
        payload: address
    }

    fun init_module(package: &signer) {
        let capability = resource_account::retrieve_resource_account_cap(package, @deployer);
        move_to(package, Authority { capability });
    }

    #[view]
    /// The digest that a proposal names to allow exactly this upgrade.
    public fun upgrade_payload(metadata: vector<u8>, code: vector<vector<u8>>): address {
        bytes::digest(UPGRADE_TAG, bcs::to_bytes(&Upgrade { metadata, code }))
    }

    /// Publishes what an accepted proposal names; anybody may bring it.
    public entry fun upgrade(
        _sender: &signer,
        proposal: address,
        metadata: vector<u8>,
        code: vector<vector<u8>>
    ) acquires Authority {
        assert!(governance::is_started() && vector::length(&code) > 0, error::invalid_state(E_NOT_STARTED));
        let payload = upgrade_payload(metadata, code);
        governance::spend(proposal, governance::kind_upgrade(), payload);
        code::publish_package_txn(&package_signer(), metadata, code);
        event::emit(Upgraded { proposal, payload });
    }

    public(friend) fun package_signer(): signer acquires Authority {
        account::create_signer_with_capability(&borrow_global<Authority>(@symphony).capability)
    }

    #[test_only]
    public fun init_for_test(package: &signer) {
        let capability = account::create_test_signer_cap(@symphony);
        move_to(package, Authority { capability });
    }
}
