/// The first state of the contracts: balances, who may do what, and the governed numbers. The deployer calls it once, and has no
/// power afterwards.
module symphony::genesis {
    use std::error;
    use std::signer;
    use std::string::String;
    use std::vector;
    use aptos_framework::event;
    use symphony::authority;
    use symphony::escrow;
    use symphony::governance;
    use symphony::inflation;
    use symphony::policy;
    use symphony::reward;
    use symphony::roles;
    use symphony::staking;
    use symphony::sym;
    use symphony::treasury;

    /// The sender does not have the role for this call.
    const E_NOT_AUTHORIZED: u64 = 7;
    /// More base units than a number holds.
    const E_SUPPLY_TOO_LARGE: u64 = 106;
    /// The contracts have started.
    const E_ALREADY_STARTED: u64 = 107;
    /// Lists that belong together have different lengths.
    const E_LISTS_UNEVEN: u64 = 114;

    const U64_MAX: u128 = 18446744073709551615;

    #[event]
    struct Started has drop, store {
        chain: String,
        minted: u64
    }

    public entry fun start(
        deployer: &signer,
        chain: String,
        payout: address,
        settlement: address,
        governance: address,
        signers: vector<vector<u8>>,
        threshold: u64,
        quorum_bps: u64,
        minimum: vector<u64>,
        cooldown_ms: vector<u64>,
        lock_ms_min: u64,
        payees_per_tree_min: u64,
        inflation_start_ms: u64,
        epoch_ms: u64,
        epochs_per_step: u64,
        rates_bps: vector<u64>,
        treasury_bps: u64,
        accounts: vector<address>,
        balances: vector<u64>,
        treasury: u64,
        pool: u64,
        incentives: u64
    ) {
        assert!(signer::address_of(deployer) == @deployer, error::permission_denied(E_NOT_AUTHORIZED));
        assert!(!governance::is_started(), error::already_exists(E_ALREADY_STARTED));
        let minted = total(&accounts, &balances, treasury, pool, incentives);
        let package = &authority::package_signer();
        roles::start(package, chain, payout, settlement, governance, signers, threshold);
        governance::start(package, quorum_bps);
        policy::start(package, minimum, cooldown_ms, lock_ms_min, payees_per_tree_min);
        sym::start(package);
        treasury::start(package, sym::mint(treasury));
        escrow::start(package);
        reward::start(package, sym::mint(pool), sym::mint(incentives));
        staking::start(package);
        for (i in 0..vector::length(&accounts)) {
            sym::pay(*vector::borrow(&accounts, i), sym::mint(*vector::borrow(&balances, i)));
        };
        inflation::start(package, inflation_start_ms, epoch_ms, epochs_per_step, rates_bps, treasury_bps);
        event::emit(Started { chain, minted });
    }

    fun total(accounts: &vector<address>, balances: &vector<u64>, treasury: u64, pool: u64, incentives: u64): u64 {
        let count = vector::length(accounts);
        assert!(count == vector::length(balances), error::invalid_argument(E_LISTS_UNEVEN));
        let sum = (treasury as u128) + (pool as u128) + (incentives as u128);
        for (i in 0..count) {
            sum = sum + (*vector::borrow(balances, i) as u128);
        };
        assert!(sum <= U64_MAX, error::invalid_argument(E_SUPPLY_TOO_LARGE));
        (sum as u64)
    }
}
