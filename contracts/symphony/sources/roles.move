/// Who may do what only they may (R170, R178). No account has two roles, and no role's account is a treasury signer's.
module symphony::roles {
    use std::error;
    use std::signer;
    use std::string::String;
    use std::vector;
    use aptos_std::ed25519;
    use aptos_std::from_bcs;

    friend symphony::genesis;
    friend symphony::governance;
    friend symphony::inflation;
    friend symphony::reward;
    friend symphony::staking;
    friend symphony::treasury;

    /// The sender does not have the role for this call.
    const E_NOT_AUTHORIZED: u64 = 7;
    /// Two roles share an account or a key.
    const E_ROLES_OVERLAP: u64 = 104;
    /// The threshold is not between one and the number of signers.
    const E_THRESHOLD_INVALID: u64 = 105;

    struct Roles has key {
        chain: String,
        payout: address,
        settlement: address,
        governance: address,
        signers: vector<vector<u8>>,
        threshold: u64
    }

    /// What only the holder of the role can have: each function that needs a role takes its word.
    struct PayoutWord has drop {}

    struct SettlementWord has drop {}

    struct GovernanceWord has drop {}

    public(friend) fun start(
        package: &signer,
        chain: String,
        payout: address,
        settlement: address,
        governance: address,
        signers: vector<vector<u8>>,
        threshold: u64
    ) {
        let taken = vector[];
        for (i in 0..vector::length(&signers)) {
            let key = ed25519::new_unvalidated_public_key_from_bytes(*vector::borrow(&signers, i));
            let account = from_bcs::to_address(ed25519::unvalidated_public_key_to_authentication_key(&key));
            take(&mut taken, account);
        };
        take(&mut taken, payout);
        take(&mut taken, settlement);
        take(&mut taken, governance);
        let count = vector::length(&signers);
        assert!(threshold > 0 && threshold <= count, error::invalid_argument(E_THRESHOLD_INVALID));
        move_to(package, Roles { chain, payout, settlement, governance, signers, threshold });
    }

    fun take(taken: &mut vector<address>, account: address) {
        assert!(!vector::contains(taken, &account), error::invalid_argument(E_ROLES_OVERLAP));
        vector::push_back(taken, account);
    }

    public(friend) fun payout(sender: &signer): PayoutWord acquires Roles {
        check(sender, borrow_global<Roles>(@symphony).payout);
        PayoutWord {}
    }

    public(friend) fun settlement(sender: &signer): SettlementWord acquires Roles {
        check(sender, borrow_global<Roles>(@symphony).settlement);
        SettlementWord {}
    }

    public(friend) fun governance(sender: &signer): GovernanceWord acquires Roles {
        check(sender, borrow_global<Roles>(@symphony).governance);
        GovernanceWord {}
    }

    fun check(sender: &signer, holder: address) {
        assert!(signer::address_of(sender) == holder, error::permission_denied(E_NOT_AUTHORIZED));
    }

    #[view]
    /// The chain's name in documents that the treasury's signers approve.
    public fun chain(): String acquires Roles {
        borrow_global<Roles>(@symphony).chain
    }

    #[view]
    /// Accounts of payout, settlement and governance.
    public fun accounts(): (address, address, address) acquires Roles {
        let roles = borrow_global<Roles>(@symphony);
        (roles.payout, roles.settlement, roles.governance)
    }

    #[view]
    /// Keys of the treasury's signers, and how many of them must approve.
    public fun treasury(): (vector<vector<u8>>, u64) acquires Roles {
        let roles = borrow_global<Roles>(@symphony);
        (roles.signers, roles.threshold)
    }
}
