/// Rewards (R150, R169, R172, R177, D3, D7): one batch settles locks, pays every class exactly what was charged, opens the
/// producers' dividend trees, returns money to the epoch pool and anchors settlement roots, all or nothing. A batch id serves
/// one batch: the same bytes again change nothing, other bytes abort.
module symphony::reward {
    use std::bcs;
    use std::error;
    use std::signer;
    use std::string::{Self, String};
    use std::vector;
    use aptos_framework::event;
    use aptos_framework::fungible_asset::{Self, FungibleAsset};
    use aptos_std::table::{Self, Table};
    use symphony::bytes;
    use symphony::escrow;
    use symphony::merkle;
    use symphony::policy;
    use symphony::roles;
    use symphony::sym::{Self, Purse};
    use symphony::treasury;

    friend symphony::genesis;
    friend symphony::inflation;
    friend symphony::staking;

    /// The batch has too many entries.
    const E_BATCH_TOO_LARGE: u64 = 20;
    /// The batch id was used for another batch.
    const E_BATCH_CONFLICT: u64 = 21;
    /// The batch does not pay exactly what it charges.
    const E_BATCH_UNBALANCED: u64 = 22;
    /// A payee has a class that is not paid directly.
    const E_PAYEE_CLASS_WRONG: u64 = 25;
    /// A dividend tree is empty or has a forbidden number of leaves.
    const E_TREE_INVALID: u64 = 27;
    /// The vault has a dividend tree for this epoch.
    const E_TREE_EXISTS: u64 = 28;
    /// The vault's carry is too small.
    const E_CARRY_TOO_SMALL: u64 = 29;
    /// The task was anchored before.
    const E_ANCHOR_EXISTS: u64 = 30;
    /// There is no such dividend tree.
    const E_TREE_UNKNOWN: u64 = 31;
    /// The leaf is not in the dividend tree.
    const E_CLAIM_INVALID: u64 = 32;
    /// The dividend was claimed before.
    const E_ALREADY_CLAIMED: u64 = 33;
    /// The dividend tree promises more than its total.
    const E_TREE_OVERDRAWN: u64 = 34;
    /// The incentives pool and the treasury do not cover the subsidies.
    const E_SUBSIDY_TOO_LARGE: u64 = 39;
    /// Lists that belong together have different lengths.
    const E_LISTS_UNEVEN: u64 = 114;
    /// A vault's name is empty or longer than 64 bytes.
    const E_VAULT_NAME_INVALID: u64 = 116;
    /// The epoch pool's balance is too small.
    const E_POOL_TOO_SMALL: u64 = 47;

    const ENTRIES_MAX: u64 = 10000;
    const LEAVES_MAX: u64 = 16000000;
    const NAME_MAX: u64 = 64;
    const U64_MAX: u128 = 18446744073709551615;
    const TAG: vector<u8> = b"symphony/payout-batch/v1";

    // Classes of recipients. Contributors are paid by tree only, the treasury by the batch's own field only.
    const CONTRIBUTOR: u8 = 0;
    const TREASURY: u8 = 5;
    const CLASSES: u64 = 6;

    struct Reward has key {
        purse: Purse,
        pool: u64,
        incentives: u64,
        carried: u64,
        unclaimed: u64,
        carries: Table<String, u64>,
        trees: Table<TreeKey, Tree>,
        /// Which leaves were claimed: one bit each.
        claims: Table<ClaimKey, u64>,
        batches: Table<address, BatchRecord>,
        epochs: Table<u64, vector<address>>,
        anchors: Table<address, address>
    }

    struct TreeKey has copy, drop, store {
        vault: String,
        epoch: u64
    }

    struct ClaimKey has copy, drop, store {
        vault: String,
        epoch: u64,
        word: u64
    }

    struct Tree has copy, drop, store {
        root: address,
        leaves: u64,
        total: u64,
        unclaimed: u64
    }

    /// What one batch did; an epoch's records together are its payout (R173, R177).
    struct BatchRecord has copy, drop, store {
        batch_id: address,
        bytes: address,
        epoch: u64,
        totals: Totals
    }

    /// The sums of one batch. charged + subsidised + drawn = classes + carried + pool_return.
    struct Totals has copy, drop, store {
        charged: u64,
        refunded: u64,
        subsidised: u64,
        drawn: u64,
        /// Paid, by class; contributors' is what their trees hold.
        classes: vector<u64>,
        carried: u64,
        pool_return: u64
    }

    // The parts of a batch, with the canonical bytes of the protocol's `PayoutBatch`.

    struct Batch has drop {
        batch_id: address,
        epoch: u64,
        settlements: vector<Settlement>,
        subsidies: vector<Subsidy>,
        payees: vector<Payee>,
        dividends: vector<DividendTree>,
        carries: vector<Carry>,
        pool_return: u64,
        treasury: u64,
        anchors: vector<Anchor>
    }

    struct Settlement has copy, drop {
        lock: address,
        task: address,
        charged: u64,
        refunded: u64
    }

    struct Subsidy has copy, drop {
        task: address,
        amount: u64
    }

    struct Payee has copy, drop {
        account: address,
        class: u8,
        amount: u64
    }

    struct DividendTree has copy, drop {
        vault: String,
        root: address,
        leaves: u64,
        total: u64
    }

    struct Carry has copy, drop {
        vault: String,
        into: u64,
        out_of: u64
    }

    struct Anchor has copy, drop {
        task: address,
        settlement_root: address
    }

    #[event]
    struct Subsidised has drop, store {
        incentives: u64,
        treasury: u64
    }

    #[event]
    struct CarryDrawn has drop, store {
        vault: String,
        amount: u64
    }

    #[event]
    struct Paid has drop, store {
        account: address,
        class: u8,
        amount: u64
    }

    #[event]
    struct TreeOpened has drop, store {
        epoch: u64,
        vault: String,
        root: address,
        leaves: u64,
        total: u64
    }

    #[event]
    struct CarryKept has drop, store {
        vault: String,
        amount: u64
    }

    #[event]
    struct PoolReturned has drop, store {
        amount: u64
    }

    #[event]
    struct TreasuryShared has drop, store {
        amount: u64
    }

    #[event]
    struct Anchored has drop, store {
        task: address,
        settlement_root: address
    }

    #[event]
    struct BatchRecorded has drop, store {
        batch_id: address,
        bytes: address,
        epoch: u64,
        totals: Totals
    }

    #[event]
    struct Claimed has drop, store {
        account: address,
        vault: String,
        epoch: u64,
        index: u64,
        amount: u64
    }

    public(friend) fun start(package: &signer, pool: FungibleAsset, incentives: FungibleAsset) {
        let purse = sym::open_purse(package, b"reward");
        let (in_pool, in_incentives) = (fungible_asset::amount(&pool), fungible_asset::amount(&incentives));
        sym::put(&purse, pool);
        sym::put(&purse, incentives);
        move_to(package, Reward {
            purse, pool: in_pool, incentives: in_incentives, carried: 0, unclaimed: 0,
            carries: table::new(), trees: table::new(), claims: table::new(),
            batches: table::new(), epochs: table::new(), anchors: table::new()
        });
    }

    /// Settles locks and pays everybody for an epoch; only the payout account may. Lists of one kind of entry belong together.
    public entry fun payout(
        sender: &signer,
        batch_id: address,
        epoch: u64,
        settlement_locks: vector<address>,
        settlement_tasks: vector<address>,
        settlement_charged: vector<u64>,
        settlement_refunded: vector<u64>,
        subsidy_tasks: vector<address>,
        subsidy_amounts: vector<u64>,
        payee_accounts: vector<address>,
        payee_classes: vector<u8>,
        payee_amounts: vector<u64>,
        dividend_vaults: vector<String>,
        dividend_roots: vector<address>,
        dividend_leaves: vector<u64>,
        dividend_totals: vector<u64>,
        carry_vaults: vector<String>,
        carry_into: vector<u64>,
        carry_out_of: vector<u64>,
        pool_return: u64,
        treasury: u64,
        anchor_tasks: vector<address>,
        anchor_roots: vector<address>
    ) acquires Reward {
        let _word = roles::payout(sender);
        let settlements =
            settlements_of(settlement_locks, settlement_tasks, settlement_charged, settlement_refunded);
        let batch = Batch {
            batch_id, epoch, settlements,
            subsidies: subsidies_of(subsidy_tasks, subsidy_amounts),
            payees: payees_of(payee_accounts, payee_classes, payee_amounts),
            dividends: dividends_of(dividend_vaults, dividend_roots, dividend_leaves, dividend_totals),
            carries: carries_of(carry_vaults, carry_into, carry_out_of),
            pool_return, treasury,
            anchors: anchors_of(anchor_tasks, anchor_roots)
        };
        execute(batch);
    }

    fun execute(batch: Batch) acquires Reward {
        let bytes = bytes::digest(TAG, bcs::to_bytes(&batch));
        let reward = borrow_global_mut<Reward>(@symphony);
        if (table::contains(&reward.batches, batch.batch_id)) {
            let same = table::borrow(&reward.batches, batch.batch_id).bytes == bytes;
            assert!(same, error::already_exists(E_BATCH_CONFLICT));
            return
        };
        check_entries(&batch);
        for (i in 0..vector::length(&batch.settlements)) {
            let Settlement { lock, task, charged, refunded } = *vector::borrow(&batch.settlements, i);
            escrow::settle(lock, task, charged, refunded);
        };
        let totals = sums(&batch);
        let money = escrow::collect(totals.charged);
        subsidise(reward, &mut money, totals.subsidised);
        draw_carries(reward, &mut money, &batch.carries);
        pay(&mut money, &batch.payees);
        open_trees(reward, &mut money, batch.epoch, &batch.dividends);
        keep(reward, &mut money, &batch);
        anchor(reward, &batch.anchors);
        // A batch pays all it charges: whatever is left would abort here.
        fungible_asset::destroy_zero(money);
        record(reward, BatchRecord { batch_id: batch.batch_id, bytes, epoch: batch.epoch, totals });
    }

    /// Whether the lists are bounded and name nothing twice.
    fun check_entries(batch: &Batch) {
        let entries =
            vector::length(&batch.settlements) + vector::length(&batch.subsidies)
                + vector::length(&batch.payees) + vector::length(&batch.dividends)
                + vector::length(&batch.carries) + vector::length(&batch.anchors);
        assert!(entries <= ENTRIES_MAX, error::out_of_range(E_BATCH_TOO_LARGE));
        let (locks, tasks) = (vector[], vector[]);
        for (i in 0..vector::length(&batch.settlements)) {
            let entry = vector::borrow(&batch.settlements, i);
            vector::push_back(&mut locks, bytes::key_of_digest(entry.lock));
            vector::push_back(&mut tasks, bytes::key_of_digest(entry.task));
        };
        bytes::check_distinct(locks);
        for (i in 0..vector::length(&batch.subsidies)) {
            let entry = vector::borrow(&batch.subsidies, i);
            vector::push_back(&mut tasks, bytes::key_of_digest(entry.task));
        };
        bytes::check_distinct(tasks);
        let (trees, carries, anchored) = (vector[], vector[], vector[]);
        for (i in 0..vector::length(&batch.dividends)) {
            vector::push_back(&mut trees, bytes::key_of_name(&vector::borrow(&batch.dividends, i).vault));
        };
        bytes::check_distinct(trees);
        for (i in 0..vector::length(&batch.carries)) {
            vector::push_back(&mut carries, bytes::key_of_name(&vector::borrow(&batch.carries, i).vault));
        };
        bytes::check_distinct(carries);
        for (i in 0..vector::length(&batch.anchors)) {
            vector::push_back(&mut anchored, bytes::key_of_digest(vector::borrow(&batch.anchors, i).task));
        };
        bytes::check_distinct(anchored);
    }

    fun sums(batch: &Batch): Totals {
        let (charged, refunded, subsidised, drawn, carried) = (0u128, 0u128, 0u128, 0u128, 0u128);
        for (i in 0..vector::length(&batch.settlements)) {
            let entry = vector::borrow(&batch.settlements, i);
            charged = charged + (entry.charged as u128);
            refunded = refunded + (entry.refunded as u128);
        };
        for (i in 0..vector::length(&batch.subsidies)) {
            subsidised = subsidised + (vector::borrow(&batch.subsidies, i).amount as u128);
        };
        for (i in 0..vector::length(&batch.carries)) {
            let entry = vector::borrow(&batch.carries, i);
            drawn = drawn + (entry.out_of as u128);
            carried = carried + (entry.into as u128);
        };
        let classes = class_sums(batch);
        let paid = carried + (batch.pool_return as u128);
        for (i in 0..CLASSES) {
            paid = paid + (*vector::borrow(&classes, i) as u128);
        };
        let taken = charged + subsidised + drawn;
        let fits = taken <= U64_MAX && refunded <= U64_MAX;
        assert!(fits && taken == paid, error::invalid_argument(E_BATCH_UNBALANCED));
        Totals {
            charged: (charged as u64), refunded: (refunded as u64), subsidised: (subsidised as u64),
            drawn: (drawn as u64), classes, carried: (carried as u64), pool_return: batch.pool_return
        }
    }

    fun class_sums(batch: &Batch): vector<u64> {
        let sums = vector[0u128, 0, 0, 0, 0, (batch.treasury as u128)];
        for (i in 0..vector::length(&batch.dividends)) {
            let sum = vector::borrow_mut(&mut sums, 0);
            *sum = *sum + (vector::borrow(&batch.dividends, i).total as u128);
        };
        for (i in 0..vector::length(&batch.payees)) {
            let payee = vector::borrow(&batch.payees, i);
            let known = (payee.class as u64) < CLASSES;
            assert!(known, error::invalid_argument(E_PAYEE_CLASS_WRONG));
            let sum = vector::borrow_mut(&mut sums, (payee.class as u64));
            *sum = *sum + (payee.amount as u128);
        };
        let classes = vector[];
        for (i in 0..CLASSES) {
            let sum = *vector::borrow(&sums, i);
            assert!(sum <= U64_MAX, error::invalid_argument(E_BATCH_UNBALANCED));
            vector::push_back(&mut classes, (sum as u64));
        };
        classes
    }

    fun subsidise(reward: &mut Reward, money: &mut FungibleAsset, amount: u64) {
        if (amount == 0) return;
        let incentives = if (amount < reward.incentives) amount else reward.incentives;
        // What the pool does not have: it gives at most the amount.
        let rest = amount - incentives;
        assert!(treasury::balance() >= rest, error::invalid_state(E_SUBSIDY_TOO_LARGE));
        reward.incentives = reward.incentives - incentives;
        fungible_asset::merge(money, sym::draw(&reward.purse, incentives));
        fungible_asset::merge(money, treasury::subsidise(rest));
        event::emit(Subsidised { incentives, treasury: rest });
    }

    fun draw_carries(reward: &mut Reward, money: &mut FungibleAsset, carries: &vector<Carry>) {
        for (i in 0..vector::length(carries)) {
            let Carry { vault, into: _, out_of } = *vector::borrow(carries, i);
            if (out_of > 0) {
                let kept = carry_of(reward, vault);
                assert!(kept >= out_of, error::invalid_state(E_CARRY_TOO_SMALL));
                table::upsert(&mut reward.carries, vault, kept - out_of);
                reward.carried = reward.carried - out_of;
                fungible_asset::merge(money, sym::draw(&reward.purse, out_of));
                event::emit(CarryDrawn { vault, amount: out_of });
            }
        }
    }

    fun pay(money: &mut FungibleAsset, payees: &vector<Payee>) {
        for (i in 0..vector::length(payees)) {
            let Payee { account, class, amount } = *vector::borrow(payees, i);
            let direct = class != CONTRIBUTOR && class != TREASURY;
            assert!(direct, error::invalid_argument(E_PAYEE_CLASS_WRONG));
            sym::pay(account, fungible_asset::extract(money, amount));
            event::emit(Paid { account, class, amount });
        }
    }

    fun open_trees(reward: &mut Reward, money: &mut FungibleAsset, epoch: u64, trees: &vector<DividendTree>) {
        let fewest = policy::payees_per_tree_min();
        for (i in 0..vector::length(trees)) {
            let DividendTree { vault, root, leaves, total } = *vector::borrow(trees, i);
            let enough = total > 0 && leaves > 0 && leaves >= fewest && leaves <= LEAVES_MAX;
            assert!(enough, error::invalid_argument(E_TREE_INVALID));
            let key = TreeKey { vault, epoch };
            assert!(!table::contains(&reward.trees, key), error::already_exists(E_TREE_EXISTS));
            table::add(&mut reward.trees, key, Tree { root, leaves, total, unclaimed: total });
            reward.unclaimed = reward.unclaimed + total;
            sym::put(&reward.purse, fungible_asset::extract(money, total));
            event::emit(TreeOpened { epoch, vault, root, leaves, total });
        }
    }

    /// Carries into later epochs, the pool's return, and the treasury's share.
    fun keep(reward: &mut Reward, money: &mut FungibleAsset, batch: &Batch) {
        for (i in 0..vector::length(&batch.carries)) {
            let Carry { vault, into, out_of: _ } = *vector::borrow(&batch.carries, i);
            if (into > 0) {
                let kept = carry_of(reward, vault);
                table::upsert(&mut reward.carries, vault, kept + into);
                reward.carried = reward.carried + into;
                sym::put(&reward.purse, fungible_asset::extract(money, into));
                event::emit(CarryKept { vault, amount: into });
            }
        };
        if (batch.pool_return > 0) {
            let amount = batch.pool_return;
            reward.pool = reward.pool + amount;
            sym::put(&reward.purse, fungible_asset::extract(money, amount));
            event::emit(PoolReturned { amount });
        };
        if (batch.treasury > 0) {
            treasury::put(fungible_asset::extract(money, batch.treasury));
            event::emit(TreasuryShared { amount: batch.treasury });
        }
    }

    fun anchor(reward: &mut Reward, anchors: &vector<Anchor>) {
        for (i in 0..vector::length(anchors)) {
            let Anchor { task, settlement_root } = *vector::borrow(anchors, i);
            let fresh = !table::contains(&reward.anchors, task);
            assert!(fresh, error::already_exists(E_ANCHOR_EXISTS));
            table::add(&mut reward.anchors, task, settlement_root);
            event::emit(Anchored { task, settlement_root });
        }
    }

    fun record(reward: &mut Reward, record: BatchRecord) {
        let BatchRecord { batch_id, bytes, epoch, totals } = record;
        let of_epoch = table::borrow_mut_with_default(&mut reward.epochs, epoch, vector[]);
        vector::push_back(of_epoch, batch_id);
        table::add(&mut reward.batches, batch_id, record);
        event::emit(BatchRecorded { batch_id, bytes, epoch, totals });
    }

    /// Takes the sender's dividend out of a Vault's tree (D7). `path` is the audit path of the leaf, from the bottom up.
    public entry fun claim(
        sender: &signer,
        vault: String,
        epoch: u64,
        index: u64,
        amount: u64,
        path: vector<address>
    ) acquires Reward {
        let account = signer::address_of(sender);
        let reward = borrow_global_mut<Reward>(@symphony);
        let key = TreeKey { vault, epoch };
        assert!(table::contains(&reward.trees, key), error::not_found(E_TREE_UNKNOWN));
        let tree = table::borrow_mut(&mut reward.trees, key);
        let leaf = merkle::dividend_leaf(account, index, amount);
        let included = merkle::verify(tree.root, leaf, index, tree.leaves, &path);
        assert!(included, error::invalid_argument(E_CLAIM_INVALID));
        let place = ClaimKey { vault, epoch, word: index / 64 };
        let word = table::borrow_mut_with_default(&mut reward.claims, place, 0);
        let bit = 1u64 << ((index % 64) as u8);
        assert!(*word & bit == 0, error::already_exists(E_ALREADY_CLAIMED));
        assert!(tree.unclaimed >= amount, error::invalid_state(E_TREE_OVERDRAWN));
        *word = *word | bit;
        tree.unclaimed = tree.unclaimed - amount;
        reward.unclaimed = reward.unclaimed - amount;
        sym::pay(account, sym::draw(&reward.purse, amount));
        event::emit(Claimed { account, vault, epoch, index, amount });
    }

    /// Money for the epoch pool, of penalties and of the inflation schedule.
    public(friend) fun give_pool(money: FungibleAsset) acquires Reward {
        let reward = borrow_global_mut<Reward>(@symphony);
        reward.pool = reward.pool + fungible_asset::amount(&money);
        sym::put(&reward.purse, money);
    }

    /// Money of the epoch pool, for nodes in the bootstrap phase.
    public(friend) fun take_pool(amount: u64): FungibleAsset acquires Reward {
        let reward = borrow_global_mut<Reward>(@symphony);
        assert!(reward.pool >= amount, error::invalid_state(E_POOL_TOO_SMALL));
        reward.pool = reward.pool - amount;
        sym::draw(&reward.purse, amount)
    }

    fun carry_of(reward: &Reward, vault: String): u64 {
        *table::borrow_with_default(&reward.carries, vault, &0)
    }

    fun settlements_of(
        locks: vector<address>,
        tasks: vector<address>,
        charged: vector<u64>,
        refunded: vector<u64>
    ): vector<Settlement> {
        let count = vector::length(&locks);
        check_even(count, vector::length(&tasks));
        check_even(count, vector::length(&charged));
        check_even(count, vector::length(&refunded));
        let entries = vector[];
        for (i in 0..count) {
            let (lock, task) = (*vector::borrow(&locks, i), *vector::borrow(&tasks, i));
            let (charged, refunded) = (*vector::borrow(&charged, i), *vector::borrow(&refunded, i));
            vector::push_back(&mut entries, Settlement { lock, task, charged, refunded });
        };
        entries
    }

    fun subsidies_of(tasks: vector<address>, amounts: vector<u64>): vector<Subsidy> {
        let count = vector::length(&tasks);
        check_even(count, vector::length(&amounts));
        let entries = vector[];
        for (i in 0..count) {
            let (task, amount) = (*vector::borrow(&tasks, i), *vector::borrow(&amounts, i));
            vector::push_back(&mut entries, Subsidy { task, amount });
        };
        entries
    }

    fun payees_of(accounts: vector<address>, classes: vector<u8>, amounts: vector<u64>): vector<Payee> {
        let count = vector::length(&accounts);
        check_even(count, vector::length(&classes));
        check_even(count, vector::length(&amounts));
        let entries = vector[];
        for (i in 0..count) {
            let (account, class) = (*vector::borrow(&accounts, i), *vector::borrow(&classes, i));
            let amount = *vector::borrow(&amounts, i);
            vector::push_back(&mut entries, Payee { account, class, amount });
        };
        entries
    }

    fun dividends_of(
        vaults: vector<String>,
        roots: vector<address>,
        leaves: vector<u64>,
        totals: vector<u64>
    ): vector<DividendTree> {
        let count = vector::length(&vaults);
        check_even(count, vector::length(&roots));
        check_even(count, vector::length(&leaves));
        check_even(count, vector::length(&totals));
        let entries = vector[];
        for (i in 0..count) {
            let (vault, root) = (checked(*vector::borrow(&vaults, i)), *vector::borrow(&roots, i));
            let (leaves, total) = (*vector::borrow(&leaves, i), *vector::borrow(&totals, i));
            vector::push_back(&mut entries, DividendTree { vault, root, leaves, total });
        };
        entries
    }

    fun carries_of(vaults: vector<String>, into: vector<u64>, out_of: vector<u64>): vector<Carry> {
        let count = vector::length(&vaults);
        check_even(count, vector::length(&into));
        check_even(count, vector::length(&out_of));
        let entries = vector[];
        for (i in 0..count) {
            let vault = checked(*vector::borrow(&vaults, i));
            let (into, out_of) = (*vector::borrow(&into, i), *vector::borrow(&out_of, i));
            vector::push_back(&mut entries, Carry { vault, into, out_of });
        };
        entries
    }

    fun anchors_of(tasks: vector<address>, roots: vector<address>): vector<Anchor> {
        let count = vector::length(&tasks);
        check_even(count, vector::length(&roots));
        let entries = vector[];
        for (i in 0..count) {
            let (task, settlement_root) = (*vector::borrow(&tasks, i), *vector::borrow(&roots, i));
            vector::push_back(&mut entries, Anchor { task, settlement_root });
        };
        entries
    }

    fun check_even(left: u64, right: u64) {
        assert!(left == right, error::invalid_argument(E_LISTS_UNEVEN));
    }

    fun checked(vault: String): String {
        let len = string::length(&vault);
        assert!(len > 0 && len <= NAME_MAX, error::invalid_argument(E_VAULT_NAME_INVALID));
        vault
    }

    #[view]
    /// Epoch pool, incentives pool, carries, unclaimed dividends, and what is stored; the first four add up to the last.
    public fun holdings(): (u64, u64, u64, u64, u64) acquires Reward {
        let reward = borrow_global<Reward>(@symphony);
        let stored = sym::purse_balance(&reward.purse);
        (reward.pool, reward.incentives, reward.carried, reward.unclaimed, stored)
    }

    #[view]
    /// What a Vault's producers are kept for later epochs.
    public fun carry(vault: String): u64 acquires Reward {
        carry_of(borrow_global<Reward>(@symphony), vault)
    }

    #[view]
    /// Root, leaves, total and what is unclaimed of a Vault's dividends of an epoch.
    public fun tree(vault: String, epoch: u64): (address, u64, u64, u64) acquires Reward {
        let trees = &borrow_global<Reward>(@symphony).trees;
        let key = TreeKey { vault, epoch };
        assert!(table::contains(trees, key), error::not_found(E_TREE_UNKNOWN));
        let tree = table::borrow(trees, key);
        (tree.root, tree.leaves, tree.total, tree.unclaimed)
    }

    #[view]
    public fun is_claimed(vault: String, epoch: u64, index: u64): bool acquires Reward {
        let key = ClaimKey { vault, epoch, word: index / 64 };
        let word = *table::borrow_with_default(&borrow_global<Reward>(@symphony).claims, key, &0);
        word & (1u64 << ((index % 64) as u8)) != 0
    }

    #[view]
    /// Whether a batch was executed, the digest of its bytes, and its epoch.
    public fun batch(batch_id: address): (bool, address, u64) acquires Reward {
        let batches = &borrow_global<Reward>(@symphony).batches;
        if (!table::contains(batches, batch_id)) return (false, @0x0, 0);
        let record = table::borrow(batches, batch_id);
        (true, record.bytes, record.epoch)
    }

    #[view]
    /// Charged, refunded, subsidised, drawn, paid by class, carried, returned to the pool.
    public fun batch_totals(batch_id: address): (u64, u64, u64, u64, vector<u64>, u64, u64) acquires Reward {
        let totals = table::borrow(&borrow_global<Reward>(@symphony).batches, batch_id).totals;
        (
            totals.charged, totals.refunded, totals.subsidised, totals.drawn,
            totals.classes, totals.carried, totals.pool_return
        )
    }

    #[view]
    /// The batches of an epoch, in the order of their execution.
    public fun epoch(epoch: u64): vector<address> acquires Reward {
        *table::borrow_with_default(&borrow_global<Reward>(@symphony).epochs, epoch, &vector[])
    }

    #[view]
    /// A task's settlement root, once it is anchored.
    public fun anchor_of(task: address): vector<address> acquires Reward {
        let anchors = &borrow_global<Reward>(@symphony).anchors;
        if (table::contains(anchors, task)) vector[*table::borrow(anchors, task)] else vector[]
    }
}
