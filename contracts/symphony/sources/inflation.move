/// Inflation (R164, R179): new SYM for each epoch by a declining schedule that ends by itself. No key mints: anybody may call
/// for an epoch that is over, once, in order. The minted money goes to the treasury and the epoch pool; nodes are paid for
/// running out of the pool while the schedule lasts, and not after it.
module symphony::inflation {
    use std::bcs;
    use std::error;
    use std::vector;
    use aptos_framework::event;
    use aptos_framework::fungible_asset;
    use aptos_std::table::{Self, Table};
    use symphony::bytes;
    use symphony::governance;
    use symphony::reward;
    use symphony::roles;
    use symphony::sym;
    use symphony::treasury;

    friend symphony::genesis;

    /// The epoch is not over.
    const E_EPOCH_RUNNING: u64 = 44;
    /// The schedule has ended.
    const E_SCHEDULE_ENDED: u64 = 45;
    /// A rate or share is above the whole, a later rate is higher, or an epoch has no length.
    const E_SCHEDULE_INVALID: u64 = 111;
    /// Lists that belong together have different lengths.
    const E_LISTS_UNEVEN: u64 = 114;
    /// Nodes were paid for this epoch before.
    const E_NODES_PAID: u64 = 46;
    /// More than the epoch pool has.
    const E_POOL_TOO_SMALL: u64 = 47;

    const TAG: vector<u8> = b"symphony/chain-inflation/v1";
    const WHOLE: u64 = 10000;
    const U64_MAX: u128 = 18446744073709551615;

    struct Inflation has key {
        schedule: Schedule,
        /// When the first epoch began.
        start_ms: u64,
        /// The epoch that is minted next.
        next: u64,
        /// The supply when the running step began; its rate is of that.
        base: u64,
        nodes_paid: Table<u64, bool>
    }

    /// `rates_bps` are yearly rates, one a step, in hundredths of a percent; a step has `epochs_per_step` epochs.
    struct Schedule has copy, drop, store {
        epoch_ms: u64,
        epochs_per_step: u64,
        rates_bps: vector<u64>,
        treasury_bps: u64
    }

    #[event]
    struct Minted has drop, store {
        epoch: u64,
        pool: u64,
        treasury: u64
    }

    #[event]
    struct Revised has drop, store {
        epoch_ms: u64,
        epochs_per_step: u64,
        rates_bps: vector<u64>,
        treasury_bps: u64
    }

    #[event]
    struct NodePaid has drop, store {
        epoch: u64,
        account: address,
        amount: u64
    }

    public(friend) fun start(
        package: &signer,
        start_ms: u64,
        epoch_ms: u64,
        epochs_per_step: u64,
        rates_bps: vector<u64>,
        treasury_bps: u64
    ) {
        let schedule = Schedule { epoch_ms, epochs_per_step, rates_bps, treasury_bps };
        check(&schedule);
        let base = sym::minted();
        move_to(package, Inflation { schedule, start_ms, next: 0, base, nodes_paid: table::new() });
    }

    fun check(schedule: &Schedule) {
        let sound = schedule.epoch_ms > 0 && schedule.epochs_per_step > 0 && schedule.treasury_bps <= WHOLE;
        let previous = WHOLE;
        for (i in 0..vector::length(&schedule.rates_bps)) {
            let rate = *vector::borrow(&schedule.rates_bps, i);
            sound = sound && rate <= previous;
            previous = rate;
        };
        assert!(sound, error::invalid_argument(E_SCHEDULE_INVALID));
    }

    #[view]
    /// The digest that a proposal names to allow exactly this schedule.
    public fun payload(
        epoch_ms: u64,
        epochs_per_step: u64,
        rates_bps: vector<u64>,
        treasury_bps: u64
    ): address {
        bytes::digest(TAG, bcs::to_bytes(&Schedule { epoch_ms, epochs_per_step, rates_bps, treasury_bps }))
    }

    /// Puts the schedule of an accepted proposal in force for epochs that are not minted yet.
    public entry fun revise(
        _sender: &signer,
        proposal: address,
        epoch_ms: u64,
        epochs_per_step: u64,
        rates_bps: vector<u64>,
        treasury_bps: u64
    ) acquires Inflation {
        let schedule = Schedule { epoch_ms, epochs_per_step, rates_bps, treasury_bps };
        check(&schedule);
        let allowed = payload(epoch_ms, epochs_per_step, rates_bps, treasury_bps);
        governance::spend(proposal, governance::kind_inflation(), allowed);
        let state = borrow_global_mut<Inflation>(@symphony);
        // What is minted stays minted: the next epoch begins where the last one ended.
        let over = (state.next as u128) * (state.schedule.epoch_ms as u128);
        let now = (state.start_ms as u128) + over;
        let new_past = (state.next as u128) * (epoch_ms as u128);
        assert!(now >= new_past && now - new_past <= U64_MAX, error::invalid_argument(E_SCHEDULE_INVALID));
        state.start_ms = ((now - new_past) as u64);
        state.schedule = schedule;
        event::emit(Revised { epoch_ms, epochs_per_step, rates_bps, treasury_bps });
    }

    /// Mints the next epoch.
    public entry fun mint_epoch(_sender: &signer) acquires Inflation {
        let state = borrow_global_mut<Inflation>(@symphony);
        let epoch = state.next;
        let step = epoch / state.schedule.epochs_per_step;
        let steps = vector::length(&state.schedule.rates_bps);
        assert!(step < steps, error::invalid_state(E_SCHEDULE_ENDED));
        assert!((sym::now_ms() as u128) >= due(state), error::invalid_state(E_EPOCH_RUNNING));
        if (epoch % state.schedule.epochs_per_step == 0) state.base = sym::minted();
        let rate = *vector::borrow(&state.schedule.rates_bps, step);
        // Granting rounds down (D16).
        let amount = (state.base as u128) * (rate as u128) / (WHOLE as u128)
            / (state.schedule.epochs_per_step as u128);
        let room = U64_MAX - (sym::minted() as u128);
        let amount = if (amount > room) (room as u64) else (amount as u64);
        let to_treasury = (((amount as u128) * (state.schedule.treasury_bps as u128) / (WHOLE as u128)) as u64);
        let money = sym::mint(amount);
        treasury::put(fungible_asset::extract(&mut money, to_treasury));
        reward::give_pool(money);
        state.next = epoch + 1;
        event::emit(Minted { epoch, pool: amount - to_treasury, treasury: to_treasury });
    }

    /// Pays nodes for running in an epoch, out of the pool; the payout account may, once an epoch, while the schedule lasts.
    public entry fun pay_nodes(
        sender: &signer,
        epoch: u64,
        accounts: vector<address>,
        amounts: vector<u64>
    ) acquires Inflation {
        let _word = roles::payout(sender);
        let state = borrow_global_mut<Inflation>(@symphony);
        assert!(epoch < terminal(&state.schedule), error::invalid_state(E_SCHEDULE_ENDED));
        assert!(epoch < state.next, error::invalid_state(E_EPOCH_RUNNING));
        assert!(!table::contains(&state.nodes_paid, epoch), error::already_exists(E_NODES_PAID));
        let count = vector::length(&accounts);
        assert!(count == vector::length(&amounts), error::invalid_argument(E_LISTS_UNEVEN));
        table::add(&mut state.nodes_paid, epoch, true);
        let total = 0u128;
        for (i in 0..count) {
            total = total + (*vector::borrow(&amounts, i) as u128);
        };
        assert!(total <= U64_MAX, error::invalid_state(E_POOL_TOO_SMALL));
        let money = reward::take_pool((total as u64));
        for (i in 0..count) {
            let (account, amount) = (*vector::borrow(&accounts, i), *vector::borrow(&amounts, i));
            sym::pay(account, fungible_asset::extract(&mut money, amount));
            event::emit(NodePaid { epoch, account, amount });
        };
        fungible_asset::destroy_zero(money);
    }

    /// When the epoch that is minted next is over.
    fun due(state: &Inflation): u128 {
        (state.start_ms as u128) + ((state.next as u128) + 1) * (state.schedule.epoch_ms as u128)
    }

    fun terminal(schedule: &Schedule): u64 {
        vector::length(&schedule.rates_bps) * schedule.epochs_per_step
    }

    #[view]
    /// The epoch that is minted next, the first that is not minted any more, and when the next one is over.
    public fun epochs(): (u64, u64, u64) acquires Inflation {
        let state = borrow_global<Inflation>(@symphony);
        let ends = due(state);
        (state.next, terminal(&state.schedule), if (ends > U64_MAX) (U64_MAX as u64) else (ends as u64))
    }

    #[view]
    /// Whether nodes were paid for an epoch.
    public fun is_paid(epoch: u64): bool acquires Inflation {
        table::contains(&borrow_global<Inflation>(@symphony).nodes_paid, epoch)
    }
}
