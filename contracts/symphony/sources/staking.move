/// Stakes by account and tier (R174, R175): deposits count from the tier's minimum on, leave through a cooldown, and can be
/// slashed, by the settlement plane's account only, until they have left. Slashed money goes to the epoch pool.
module symphony::staking {
    use std::error;
    use std::signer;
    use std::vector;
    use aptos_framework::event;
    use aptos_std::table::{Self, Table};
    use symphony::policy;
    use symphony::reward;
    use symphony::roles;
    use symphony::sym::{Self, Purse};

    friend symphony::genesis;

    /// The amount is zero.
    const E_AMOUNT_ZERO: u64 = 8;
    /// The stake would be below the tier's minimum.
    const E_STAKE_TOO_SMALL: u64 = 16;
    /// There is not that much stake.
    const E_STAKE_MISSING: u64 = 17;
    /// The stake has not cooled down.
    const E_COOLDOWN_RUNNING: u64 = 18;
    /// The penalty was executed before.
    const E_SLASH_REPEATED: u64 = 19;

    struct Staking has key {
        purse: Purse,
        stakes: Table<StakeKey, Stake>,
        slashes: Table<address, bool>,
        /// Who ever staked in a tier, by a number from zero; a page of them is one view.
        members: Table<MemberKey, address>,
        counts: vector<u64>,
        held: u64
    }

    struct StakeKey has copy, drop, store {
        tier: u8,
        account: address
    }

    struct MemberKey has copy, drop, store {
        tier: u8,
        number: u64
    }

    struct Stake has copy, drop, store {
        deposit: u64,
        cooling: u64,
        matures: u64
    }

    #[event]
    struct Deposited has drop, store {
        account: address,
        tier: u8,
        amount: u64
    }

    #[event]
    struct WithdrawalRequested has drop, store {
        account: address,
        tier: u8,
        amount: u64,
        matures: u64
    }

    #[event]
    struct Withdrawn has drop, store {
        account: address,
        tier: u8,
        amount: u64
    }

    #[event]
    struct Slashed has drop, store {
        account: address,
        tier: u8,
        deposit: u64,
        cooling: u64,
        reference: address
    }

    public(friend) fun start(package: &signer) {
        let purse = sym::open_purse(package, b"staking");
        let (stakes, slashes, members) = (table::new(), table::new(), table::new());
        move_to(package, Staking { purse, stakes, slashes, members, counts: vector[0, 0, 0], held: 0 });
    }

    /// Adds to the sender's stake.
    public entry fun deposit(sender: &signer, tier: u8, amount: u64) acquires Staking {
        let account = signer::address_of(sender);
        let (minimum, _) = policy::terms(tier);
        sym::check_spend(account, amount);
        let staking = borrow_global_mut<Staking>(@symphony);
        let key = StakeKey { tier, account };
        let stake = stake_of(staking, key);
        // The supply fits a number, so the sum does.
        let deposit = stake.deposit + amount;
        assert!(deposit >= minimum, error::invalid_argument(E_STAKE_TOO_SMALL));
        if (!table::contains(&staking.stakes, key)) {
            let count = vector::borrow_mut(&mut staking.counts, (tier as u64));
            table::add(&mut staking.members, MemberKey { tier, number: *count }, account);
            *count = *count + 1;
        };
        stake.deposit = deposit;
        table::upsert(&mut staking.stakes, key, stake);
        staking.held = staking.held + amount;
        sym::put(&staking.purse, sym::take(sender, amount));
        event::emit(Deposited { account, tier, amount });
    }

    /// Moves stake into its cooldown. What is cooling down already starts again with it.
    public entry fun request_withdrawal(sender: &signer, tier: u8, amount: u64) acquires Staking {
        let (minimum, cooldown_ms) = policy::terms(tier);
        assert!(amount > 0, error::invalid_argument(E_AMOUNT_ZERO));
        let account = signer::address_of(sender);
        let staking = borrow_global_mut<Staking>(@symphony);
        let key = StakeKey { tier, account };
        let stake = stake_of(staking, key);
        assert!(stake.deposit >= amount, error::invalid_state(E_STAKE_MISSING));
        let rest = stake.deposit - amount;
        assert!(rest == 0 || rest >= minimum, error::invalid_argument(E_STAKE_TOO_SMALL));
        let matures = sym::later(sym::now_ms(), cooldown_ms);
        stake = Stake { deposit: rest, cooling: stake.cooling + amount, matures };
        table::upsert(&mut staking.stakes, key, stake);
        event::emit(WithdrawalRequested { account, tier, amount, matures });
    }

    /// Takes out what has cooled down.
    public entry fun withdraw(sender: &signer, tier: u8) acquires Staking {
        let (_, _) = policy::terms(tier);
        let account = signer::address_of(sender);
        let staking = borrow_global_mut<Staking>(@symphony);
        let key = StakeKey { tier, account };
        let stake = stake_of(staking, key);
        let amount = stake.cooling;
        assert!(amount > 0, error::invalid_state(E_STAKE_MISSING));
        assert!(sym::now_ms() >= stake.matures, error::invalid_state(E_COOLDOWN_RUNNING));
        stake.cooling = 0;
        table::upsert(&mut staking.stakes, key, stake);
        staking.held = staking.held - amount;
        sym::pay(account, sym::draw(&staking.purse, amount));
        event::emit(Withdrawn { account, tier, amount });
    }

    /// Takes stake for a penalty, at most what is there: who withdraws a little in time must not make the penalty fail.
    public entry fun slash(
        sender: &signer,
        account: address,
        tier: u8,
        amount: u64,
        reference: address
    ) acquires Staking {
        let _word = roles::settlement(sender);
        let (_, _) = policy::terms(tier);
        assert!(amount > 0, error::invalid_argument(E_AMOUNT_ZERO));
        let staking = borrow_global_mut<Staking>(@symphony);
        let fresh = !table::contains(&staking.slashes, reference);
        assert!(fresh, error::already_exists(E_SLASH_REPEATED));
        let key = StakeKey { tier, account };
        let stake = stake_of(staking, key);
        let deposit = if (amount < stake.deposit) amount else stake.deposit;
        let rest = amount - deposit;
        let cooling = if (rest < stake.cooling) rest else stake.cooling;
        assert!(deposit > 0 || cooling > 0, error::invalid_state(E_STAKE_MISSING));
        stake.deposit = stake.deposit - deposit;
        stake.cooling = stake.cooling - cooling;
        table::upsert(&mut staking.stakes, key, stake);
        table::add(&mut staking.slashes, reference, true);
        staking.held = staking.held - deposit - cooling;
        reward::give_pool(sym::draw(&staking.purse, deposit + cooling));
        event::emit(Slashed { account, tier, deposit, cooling, reference });
    }

    fun stake_of(staking: &Staking, key: StakeKey): Stake {
        let nothing = Stake { deposit: 0, cooling: 0, matures: 0 };
        *table::borrow_with_default(&staking.stakes, key, &nothing)
    }

    #[view]
    /// What counts as stake, what is on its way out, and when that may be taken.
    public fun stake(account: address, tier: u8): (u64, u64, u64) acquires Staking {
        let stake = stake_of(borrow_global<Staking>(@symphony), StakeKey { tier, account });
        (stake.deposit, stake.cooling, stake.matures)
    }

    #[view]
    /// Whether the account's deposit reaches the tier's minimum (R161).
    public fun is_staked(account: address, tier: u8): bool acquires Staking {
        let (minimum, _) = policy::terms(tier);
        let (deposit, _, _) = stake(account, tier);
        deposit > 0 && deposit >= minimum
    }

    #[view]
    /// How many accounts ever staked in the tier.
    public fun member_count(tier: u8): u64 acquires Staking {
        *vector::borrow(&borrow_global<Staking>(@symphony).counts, (tier as u64))
    }

    #[view]
    /// Of those from a number on, at most `limit`: who reaches the minimum now.
    public fun staked(tier: u8, from: u64, limit: u64): vector<address> acquires Staking {
        let count = member_count(tier);
        let end = if (from >= count || limit < count - from) sym::later(from, limit) else count;
        let found = vector[];
        let number = from;
        while (number < end && number < count) {
            let key = MemberKey { tier, number };
            let account = *table::borrow(&borrow_global<Staking>(@symphony).members, key);
            if (is_staked(account, tier)) vector::push_back(&mut found, account);
            number = number + 1;
        };
        found
    }

    #[view]
    /// All stakes, as counted and as stored; always equal.
    public fun holdings(): (u64, u64) acquires Staking {
        let staking = borrow_global<Staking>(@symphony);
        (staking.held, sym::purse_balance(&staking.purse))
    }
}
