/// The governed numbers that the contracts enforce (R174, R175, D7). They change by an accepted proposal, never by a key.
module symphony::policy {
    use std::bcs;
    use std::error;
    use std::vector;
    use aptos_framework::event;
    use symphony::bytes;
    use symphony::governance;

    friend symphony::escrow;
    friend symphony::genesis;
    friend symphony::reward;
    friend symphony::staking;

    /// There is no such tier.
    const E_TIER_UNKNOWN: u64 = 115;
    /// The version does not follow the last one, or a list has not one number for each tier.
    const E_POLICY_INVALID: u64 = 112;

    const TIERS: u64 = 3;
    const TAG: vector<u8> = b"symphony/chain-policy/v1";

    /// **Shape**: the lists have one number for each tier: masters, enterprises, producers.
    struct Policy has copy, drop, key {
        version: u64,
        minimum: vector<u64>,
        cooldown_ms: vector<u64>,
        lock_ms_min: u64,
        payees_per_tree_min: u64
    }

    #[event]
    struct Changed has drop, store {
        version: u64,
        minimum: vector<u64>,
        cooldown_ms: vector<u64>,
        lock_ms_min: u64,
        payees_per_tree_min: u64
    }

    public(friend) fun start(
        package: &signer,
        minimum: vector<u64>,
        cooldown_ms: vector<u64>,
        lock_ms_min: u64,
        payees_per_tree_min: u64
    ) {
        let policy = Policy { version: 1, minimum, cooldown_ms, lock_ms_min, payees_per_tree_min };
        check(&policy);
        announce(&policy);
        move_to(package, policy);
    }

    #[view]
    /// The digest that a proposal names to allow exactly these values.
    public fun payload(
        version: u64,
        minimum: vector<u64>,
        cooldown_ms: vector<u64>,
        lock_ms_min: u64,
        payees_per_tree_min: u64
    ): address {
        bytes::digest(TAG, bcs::to_bytes(&Policy { version, minimum, cooldown_ms, lock_ms_min, payees_per_tree_min }))
    }

    /// Puts the values of an accepted proposal in force; anybody may bring it.
    public entry fun change(
        _sender: &signer,
        proposal: address,
        version: u64,
        minimum: vector<u64>,
        cooldown_ms: vector<u64>,
        lock_ms_min: u64,
        payees_per_tree_min: u64
    ) acquires Policy {
        let next = Policy { version, minimum, cooldown_ms, lock_ms_min, payees_per_tree_min };
        check(&next);
        governance::spend(proposal, governance::kind_policy(), bytes::digest(TAG, bcs::to_bytes(&next)));
        let policy = borrow_global_mut<Policy>(@symphony);
        assert!(version == policy.version + 1, error::invalid_argument(E_POLICY_INVALID));
        announce(&next);
        *policy = next;
    }

    fun check(policy: &Policy) {
        let (minima, cooldowns) = (vector::length(&policy.minimum), vector::length(&policy.cooldown_ms));
        assert!(minima == TIERS && cooldowns == TIERS, error::invalid_argument(E_POLICY_INVALID));
    }

    fun announce(policy: &Policy) {
        let Policy { version, minimum, cooldown_ms, lock_ms_min, payees_per_tree_min } = *policy;
        event::emit(Changed { version, minimum, cooldown_ms, lock_ms_min, payees_per_tree_min });
    }

    #[view]
    /// The smallest stake that counts, and how long a withdrawal waits.
    public fun terms(tier: u8): (u64, u64) acquires Policy {
        let tier = (tier as u64);
        assert!(tier < TIERS, error::invalid_argument(E_TIER_UNKNOWN));
        let policy = borrow_global<Policy>(@symphony);
        (*vector::borrow(&policy.minimum, tier), *vector::borrow(&policy.cooldown_ms, tier))
    }

    #[view]
    /// The shortest time that a lock is held for.
    public fun lock_ms_min(): u64 acquires Policy {
        borrow_global<Policy>(@symphony).lock_ms_min
    }

    #[view]
    /// The fewest payees of a dividend tree.
    public fun payees_per_tree_min(): u64 acquires Policy {
        borrow_global<Policy>(@symphony).payees_per_tree_min
    }

    #[view]
    public fun version(): u64 acquires Policy {
        borrow_global<Policy>(@symphony).version
    }
}
