/// The treasury (R178): its money leaves only on the approvals of enough of its own signers, for a proposal that governance has
/// accepted on chain and that serves once. Anybody may bring both.
module symphony::treasury {
    use std::bcs;
    use std::error;
    use std::string::String;
    use std::vector;
    use aptos_framework::event;
    use aptos_framework::fungible_asset::FungibleAsset;
    use aptos_std::ed25519;
    use symphony::bytes;
    use symphony::governance;
    use symphony::roles;
    use symphony::sym::{Self, Purse};

    friend symphony::genesis;
    friend symphony::inflation;
    friend symphony::reward;

    /// The release is meant for another chain.
    const E_WRONG_CHAIN: u64 = 1;
    /// The amount is zero.
    const E_AMOUNT_ZERO: u64 = 8;
    /// Too few treasury signers approved.
    const E_APPROVALS_MISSING: u64 = 35;
    /// An approval is not a treasury signer's or not for this release.
    const E_APPROVAL_INVALID: u64 = 36;
    /// The proposal was executed before.
    const E_PROPOSAL_USED: u64 = 37;
    /// The treasury's balance is too small.
    const E_TREASURY_TOO_SMALL: u64 = 38;
    /// Lists that belong together have different lengths.
    const E_LISTS_UNEVEN: u64 = 114;

    const TAG: vector<u8> = b"symphony/treasury-release/v1";
    /// What a signature of the class "treasury" is over, before the document's digest.
    const SIGNED: vector<u8> = b"symphony/signature/v1/treasury/";

    struct Treasury has key {
        purse: Purse
    }

    /// What signers approve, with the canonical bytes of the protocol's `Release`.
    struct Release has copy, drop {
        chain: String,
        to: address,
        amount: u64,
        proposal: address
    }

    #[event]
    struct Released has drop, store {
        to: address,
        amount: u64,
        proposal: address
    }

    public(friend) fun start(package: &signer, money: FungibleAsset) {
        let purse = sym::open_purse(package, b"treasury");
        sym::put(&purse, money);
        move_to(package, Treasury { purse });
    }

    #[view]
    public fun balance(): u64 acquires Treasury {
        sym::purse_balance(&borrow_global<Treasury>(@symphony).purse)
    }

    #[view]
    /// The digest of a release: what signers sign, and what the proposal names.
    public fun payload(chain: String, to: address, amount: u64, proposal: address): address {
        bytes::digest(TAG, bcs::to_bytes(&Release { chain, to, amount, proposal }))
    }

    /// Pays out of the treasury. `keys` and `signatures` are the approvals, one of each for a signer.
    public entry fun release(
        _sender: &signer,
        chain: String,
        to: address,
        amount: u64,
        proposal: address,
        keys: vector<vector<u8>>,
        signatures: vector<vector<u8>>
    ) acquires Treasury {
        assert!(chain == roles::chain(), error::invalid_argument(E_WRONG_CHAIN));
        assert!(amount > 0, error::invalid_argument(E_AMOUNT_ZERO));
        let payload = payload(chain, to, amount, proposal);
        check_approvals(payload, keys, signatures);
        let (_, _, used) = governance::proposal(proposal);
        assert!(!used, error::already_exists(E_PROPOSAL_USED));
        governance::spend(proposal, governance::kind_release(), payload);
        let treasury = borrow_global<Treasury>(@symphony);
        let held = sym::purse_balance(&treasury.purse);
        assert!(held >= amount, error::invalid_state(E_TREASURY_TOO_SMALL));
        sym::pay(to, sym::draw(&treasury.purse, amount));
        event::emit(Released { to, amount, proposal });
    }

    fun check_approvals(payload: address, keys: vector<vector<u8>>, signatures: vector<vector<u8>>) {
        let count = vector::length(&keys);
        assert!(count == vector::length(&signatures), error::invalid_argument(E_LISTS_UNEVEN));
        let (signers, threshold) = roles::treasury();
        let message = SIGNED;
        vector::append(&mut message, bcs::to_bytes(&payload));
        for (i in 0..count) {
            let key = vector::borrow(&keys, i);
            let (known, place) = vector::index_of(&signers, key);
            assert!(known, error::permission_denied(E_APPROVAL_INVALID));
            // Each signer counts once.
            vector::remove(&mut signers, place);
            let signature = *vector::borrow(&signatures, i);
            let whole = vector::length(&signature) == 64;
            assert!(whole && verifies(*key, signature, message), error::permission_denied(E_APPROVAL_INVALID));
        };
        assert!(count >= threshold, error::permission_denied(E_APPROVALS_MISSING));
    }

    fun verifies(key: vector<u8>, signature: vector<u8>, message: vector<u8>): bool {
        let key = ed25519::new_unvalidated_public_key_from_bytes(key);
        ed25519::signature_verify_strict(&ed25519::new_signature_from_bytes(signature), &key, message)
    }

    /// Money for the treasury.
    public(friend) fun put(money: FungibleAsset) acquires Treasury {
        sym::put(&borrow_global<Treasury>(@symphony).purse, money)
    }

    /// Money for the protocol itself (D11); the caller has asked for the balance.
    public(friend) fun subsidise(amount: u64): FungibleAsset acquires Treasury {
        sym::draw(&borrow_global<Treasury>(@symphony).purse, amount)
    }

    #[test_only]
    public fun message(payload: address): vector<u8> {
        let message = SIGNED;
        vector::append(&mut message, bcs::to_bytes(&payload));
        message
    }
}
