/// Escrow (R156, R176): money is locked for one request before the task exists, held until the payout account settles it into a
/// charge and a refund, and is the owner's again if nobody settles it in time.
///
/// ```text
/// held --payout batch--> settled (charged + refunded = amount)
/// held --owner, after expiry--> reclaimed
/// ```
module symphony::escrow {
    use std::bcs;
    use std::error;
    use std::signer;
    use aptos_framework::account;
    use aptos_framework::event;
    use aptos_framework::fungible_asset::FungibleAsset;
    use aptos_std::table::{Self, Table};
    use symphony::bytes;
    use symphony::policy;
    use symphony::sym::{Self, Purse};

    friend symphony::genesis;
    friend symphony::reward;

    /// The lock would expire too early.
    const E_LOCK_TOO_SHORT: u64 = 10;
    /// The sender holds another open lock for this request.
    const E_REQUEST_LOCKED: u64 = 11;
    /// There is no such lock.
    const E_LOCK_UNKNOWN: u64 = 12;
    /// The lock belongs to another account.
    const E_LOCK_FOREIGN: u64 = 13;
    /// The lock was settled or taken back before.
    const E_LOCK_CLOSED: u64 = 14;
    /// The lock has not expired.
    const E_LOCK_RUNNING: u64 = 15;
    /// Charge and refund are not the locked amount.
    const E_SETTLEMENT_UNBALANCED: u64 = 23;
    /// The task was settled before.
    const E_TASK_SETTLED: u64 = 26;
    /// Two locks of one transaction number: the second transaction was sent without a number.
    const E_LOCK_EXISTS: u64 = 119;

    const TAG: vector<u8> = b"symphony/escrow-lock/v1";
    const HELD: u8 = 0;
    const SETTLED: u8 = 1;
    const RECLAIMED: u8 = 2;

    struct Escrow has key {
        purse: Purse,
        locks: Table<address, Lock>,
        /// The open lock of an owner for a request.
        open: Table<OpenKey, address>,
        /// The lock that paid for a task.
        settled: Table<address, address>,
        /// All that is held.
        held: u64
    }

    struct Lock has copy, drop, store {
        owner: address,
        request: address,
        amount: u64,
        held: u64,
        policy_version: u32,
        expires: u64,
        state: u8,
        task: address,
        charged: u64,
        refunded: u64
    }

    struct OpenKey has copy, drop, store {
        owner: address,
        request: address
    }

    /// What names a lock: its owner and the number of the transaction that made it.
    struct Origin has copy, drop {
        sender: address,
        sequence: u64
    }

    #[event]
    struct Locked has drop, store {
        lock: address,
        owner: address,
        request: address,
        amount: u64,
        policy_version: u32,
        expires: u64
    }

    #[event]
    struct Settled has drop, store {
        owner: address,
        lock: address,
        task: address,
        charged: u64,
        refunded: u64
    }

    #[event]
    struct Reclaimed has drop, store {
        lock: address,
        owner: address,
        amount: u64
    }

    public(friend) fun start(package: &signer) {
        let purse = sym::open_purse(package, b"escrow");
        let (locks, open, settled) = (table::new(), table::new(), table::new());
        move_to(package, Escrow { purse, locks, open, settled, held: 0 });
    }

    #[view]
    /// The name of the lock that the account's transaction with this number makes.
    public fun lock_ref(sender: address, sequence: u64): address {
        bytes::digest(TAG, bcs::to_bytes(&Origin { sender, sequence }))
    }

    /// Locks the worst case of a quote for one task request.
    public entry fun lock(
        sender: &signer,
        request: address,
        amount: u64,
        policy_version: u32,
        expires: u64
    ) acquires Escrow {
        let owner = signer::address_of(sender);
        sym::check_spend(owner, amount);
        let now = sym::now_ms();
        let long = expires >= sym::later(now, policy::lock_ms_min()) && expires > now;
        assert!(long, error::invalid_argument(E_LOCK_TOO_SHORT));
        let escrow = borrow_global_mut<Escrow>(@symphony);
        let key = OpenKey { owner, request };
        assert!(!table::contains(&escrow.open, key), error::already_exists(E_REQUEST_LOCKED));
        let lock = lock_ref(owner, account::get_sequence_number(owner));
        assert!(!table::contains(&escrow.locks, lock), error::already_exists(E_LOCK_EXISTS));
        let opened = Lock {
            owner, request, amount, held: amount, policy_version, expires,
            state: HELD, task: @0x0, charged: 0, refunded: 0
        };
        table::add(&mut escrow.locks, lock, opened);
        table::add(&mut escrow.open, key, lock);
        escrow.held = escrow.held + amount;
        sym::put(&escrow.purse, sym::take(sender, amount));
        event::emit(Locked { lock, owner, request, amount, policy_version, expires });
    }

    /// Takes back an expired lock that was never settled, in full.
    public entry fun reclaim(sender: &signer, lock: address) acquires Escrow {
        let escrow = borrow_global_mut<Escrow>(@symphony);
        let closed = check_held(escrow, lock);
        let owner = signer::address_of(sender);
        assert!(closed.owner == owner, error::permission_denied(E_LOCK_FOREIGN));
        assert!(sym::now_ms() >= closed.expires, error::invalid_state(E_LOCK_RUNNING));
        let amount = closed.held;
        closed.state = RECLAIMED;
        close(escrow, lock, closed);
        sym::pay(owner, sym::draw(&escrow.purse, amount));
        event::emit(Reclaimed { lock, owner, amount });
    }

    /// Settles a lock for a payout batch; refunds the owner. The caller takes what was charged by `collect`, once for all.
    public(friend) fun settle(lock: address, task: address, charged: u64, refunded: u64) acquires Escrow {
        let escrow = borrow_global_mut<Escrow>(@symphony);
        let closed = check_held(escrow, lock);
        assert!(!table::contains(&escrow.settled, task), error::already_exists(E_TASK_SETTLED));
        let sum = (charged as u128) + (refunded as u128);
        assert!(sum == (closed.held as u128), error::invalid_argument(E_SETTLEMENT_UNBALANCED));
        table::add(&mut escrow.settled, task, lock);
        let owner = closed.owner;
        closed.state = SETTLED;
        closed.task = task;
        closed.charged = charged;
        closed.refunded = refunded;
        close(escrow, lock, closed);
        sym::pay(owner, sym::draw(&escrow.purse, refunded));
        event::emit(Settled { owner, lock, task, charged, refunded });
    }

    public(friend) fun collect(charged: u64): FungibleAsset acquires Escrow {
        sym::draw(&borrow_global<Escrow>(@symphony).purse, charged)
    }

    fun check_held(escrow: &Escrow, lock: address): Lock {
        assert!(table::contains(&escrow.locks, lock), error::not_found(E_LOCK_UNKNOWN));
        let found = *table::borrow(&escrow.locks, lock);
        assert!(found.state == HELD, error::invalid_state(E_LOCK_CLOSED));
        found
    }

    fun close(escrow: &mut Escrow, lock: address, closed: Lock) {
        table::remove(&mut escrow.open, OpenKey { owner: closed.owner, request: closed.request });
        escrow.held = escrow.held - closed.held;
        closed.held = 0;
        *table::borrow_mut(&mut escrow.locks, lock) = closed;
    }

    #[view]
    /// Owner, request, amount, what is held of it, policy version, expiry, and state: 0 held, 1 settled, 2 taken back.
    public fun get(lock: address): (address, address, u64, u64, u32, u64, u8) acquires Escrow {
        let locks = &borrow_global<Escrow>(@symphony).locks;
        assert!(table::contains(locks, lock), error::not_found(E_LOCK_UNKNOWN));
        let found = table::borrow(locks, lock);
        (
            found.owner, found.request, found.amount, found.held,
            found.policy_version, found.expires, found.state
        )
    }

    #[view]
    /// Task, charge and refund of a settled lock.
    public fun settlement(lock: address): (address, u64, u64) acquires Escrow {
        let locks = &borrow_global<Escrow>(@symphony).locks;
        assert!(table::contains(locks, lock), error::not_found(E_LOCK_UNKNOWN));
        let found = table::borrow(locks, lock);
        (found.task, found.charged, found.refunded)
    }

    #[view]
    /// All that is held, as counted and as stored; always equal.
    public fun holdings(): (u64, u64) acquires Escrow {
        let escrow = borrow_global<Escrow>(@symphony);
        (escrow.held, sym::purse_balance(&escrow.purse))
    }
}
