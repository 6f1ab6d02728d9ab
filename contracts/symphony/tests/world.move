// A small chain with named accounts, and short ways to act on it. The numbers are those of the reference ledger's own tests.
#[test_only]
module symphony::world {
    use std::bcs;
    use std::hash;
    use std::string::{Self, String};
    use std::vector;
    use aptos_std::ed25519;
    use aptos_std::from_bcs;
    use aptos_framework::account;
    use aptos_framework::timestamp;
    use symphony::authority;
    use symphony::escrow;
    use symphony::genesis;
    use symphony::governance;
    use symphony::reward;
    use symphony::staking;
    use symphony::sym;
    use symphony::treasury;

    struct World has drop {
        keys: vector<vector<u8>>,
        secrets: vector<vector<u8>>
    }

    /// A batch as a test puts it together.
    struct Draft has copy, drop {
        id: vector<u8>,
        epoch: u64,
        locks: vector<address>,
        tasks: vector<address>,
        charged: vector<u64>,
        refunded: vector<u64>,
        subsidy_tasks: vector<address>,
        subsidy_amounts: vector<u64>,
        accounts: vector<address>,
        classes: vector<u8>,
        amounts: vector<u64>,
        vaults: vector<String>,
        roots: vector<address>,
        leaves: vector<u64>,
        totals: vector<u64>,
        carry_vaults: vector<String>,
        into: vector<u64>,
        out_of: vector<u64>,
        pool_return: u64,
        treasury: u64,
        anchor_tasks: vector<address>,
        anchor_roots: vector<address>
    }

    public fun submitter(): address { @0xa1 }

    public fun operator(): address { @0xa2 }

    public fun executor(): address { @0xa3 }

    public fun producer(): address { @0xa4 }

    public fun producers(): vector<address> { vector[@0xa4, @0xa5, @0xa6, @0xa7] }

    public fun payout(): address { @0xb1 }

    public fun settlement(): address { @0xb2 }

    public fun council(): address { @0xb3 }

    public fun who(account: address): signer { account::create_account_for_test(account) }

    public fun digest(text: vector<u8>): address { from_bcs::to_address(hash::sha2_256(text)) }

    public fun text(bytes: vector<u8>): String { string::utf8(bytes) }

    /// A chain with seven accounts of 1,000 each, 500 in the treasury, 50 in the pool and 70 for incentives.
    public fun new(): World {
        ready();
        let world = signers();
        start(&world, @deployer, payout(), settlement(), council(), 2, 1000);
        world
    }

    /// Time, and the package's account.
    public fun ready() {
        timestamp::set_time_has_started_for_testing(&who(@0x1));
        wait(1000000);
        authority::init_for_test(&who(@symphony));
    }

    public fun signers(): World {
        let (keys, secrets) = (vector[], vector[]);
        for (i in 0..3) {
            let (secret, key) = ed25519::generate_keys();
            vector::push_back(&mut keys, key);
            vector::push_back(&mut secrets, secret);
        };
        World { keys, secrets }
    }

    public fun start(
        world: &World,
        deployer: address,
        payout: address,
        settlement: address,
        council: address,
        threshold: u64,
        each: u64
    ) {
        let accounts = producers();
        vector::append(&mut accounts, vector[submitter(), operator(), executor()]);
        genesis::start(
            &who(deployer),
            text(b"test"),
            payout,
            settlement,
            council,
            world.keys,
            threshold,
            5000,
            vector[300, 200, 100],
            vector[500, 500, 500],
            1000,
            2,
            1000000,
            10000,
            2,
            vector[800, 500],
            2500,
            accounts,
            vector[each, each, each, each, each, each, each],
            500,
            50,
            70
        );
    }

    public fun wait(millis: u64) {
        let now = timestamp::now_microseconds();
        timestamp::update_global_time_for_test(now + millis * 1000);
    }

    /// All money, in every place; equal to what was minted.
    public fun check_supply() {
        let sum = treasury::balance();
        let (held, stored) = escrow::holdings();
        assert!(held == stored, 1);
        sum = sum + stored;
        let (held, stored) = staking::holdings();
        assert!(held == stored, 2);
        sum = sum + stored;
        let (pool, incentives, carried, unclaimed, stored) = reward::holdings();
        assert!(pool + incentives + carried + unclaimed == stored, 3);
        sum = sum + stored;
        let accounts = producers();
        vector::append(&mut accounts, vector[submitter(), operator(), executor(), @0xc1]);
        for (i in 0..vector::length(&accounts)) {
            sum = sum + sym::balance(*vector::borrow(&accounts, i));
        };
        assert!(sum == sym::minted(), 4);
    }

    /// Locks money of the submitter until 1,000 ms from now.
    public fun lock(request: vector<u8>, amount: u64): address {
        let owner = submitter();
        let lock = escrow::lock_ref(owner, account::get_sequence_number(owner));
        escrow::lock(&who(owner), digest(request), amount, 1, sym::now_ms_for_test() + 1000);
        account::increment_sequence_number_for_test(owner);
        lock
    }

    public fun empty(id: vector<u8>): Draft {
        Draft {
            id, epoch: 7,
            locks: vector[], tasks: vector[], charged: vector[], refunded: vector[],
            subsidy_tasks: vector[], subsidy_amounts: vector[],
            accounts: vector[], classes: vector[], amounts: vector[],
            vaults: vector[], roots: vector[], leaves: vector[], totals: vector[],
            carry_vaults: vector[], into: vector[], out_of: vector[],
            pool_return: 0, treasury: 0,
            anchor_tasks: vector[], anchor_roots: vector[]
        }
    }

    public fun settling(draft: &mut Draft, lock: address, task: vector<u8>, charged: u64, refunded: u64) {
        vector::push_back(&mut draft.locks, lock);
        vector::push_back(&mut draft.tasks, digest(task));
        vector::push_back(&mut draft.charged, charged);
        vector::push_back(&mut draft.refunded, refunded);
    }

    public fun subsidising(draft: &mut Draft, task: vector<u8>, amount: u64) {
        vector::push_back(&mut draft.subsidy_tasks, digest(task));
        vector::push_back(&mut draft.subsidy_amounts, amount);
    }

    public fun paying(draft: &mut Draft, account: address, class: u8, amount: u64) {
        vector::push_back(&mut draft.accounts, account);
        vector::push_back(&mut draft.classes, class);
        vector::push_back(&mut draft.amounts, amount);
    }

    public fun opening(draft: &mut Draft, vault: vector<u8>, root: address, leaves: u64, total: u64) {
        vector::push_back(&mut draft.vaults, text(vault));
        vector::push_back(&mut draft.roots, root);
        vector::push_back(&mut draft.leaves, leaves);
        vector::push_back(&mut draft.totals, total);
    }

    public fun carrying(draft: &mut Draft, vault: vector<u8>, into: u64, out_of: u64) {
        vector::push_back(&mut draft.carry_vaults, text(vault));
        vector::push_back(&mut draft.into, into);
        vector::push_back(&mut draft.out_of, out_of);
    }

    public fun anchoring(draft: &mut Draft, task: vector<u8>, root: vector<u8>) {
        vector::push_back(&mut draft.anchor_tasks, digest(task));
        vector::push_back(&mut draft.anchor_roots, digest(root));
    }

    public fun in_epoch(draft: &mut Draft, epoch: u64) { draft.epoch = epoch }

    public fun returning(draft: &mut Draft, amount: u64) { draft.pool_return = amount }

    public fun sharing(draft: &mut Draft, amount: u64) { draft.treasury = amount }

    /// One list is shorter than those that belong to it.
    public fun losing_an_amount(draft: &mut Draft) {
        vector::pop_back(&mut draft.amounts);
    }

    public fun send(draft: Draft) { send_as(payout(), draft) }

    public fun send_as(account: address, draft: Draft) {
        let Draft {
            id, epoch, locks, tasks, charged, refunded, subsidy_tasks, subsidy_amounts, accounts, classes, amounts,
            vaults, roots, leaves, totals, carry_vaults, into, out_of, pool_return, treasury, anchor_tasks, anchor_roots
        } = draft;
        reward::payout(
            &who(account), digest(id), epoch, locks, tasks, charged, refunded, subsidy_tasks, subsidy_amounts,
            accounts, classes, amounts, vaults, roots, leaves, totals, carry_vaults, into, out_of,
            pool_return, treasury, anchor_tasks, anchor_roots
        );
    }

    /// The tree of 10, 20, 30 and 40 for the producers: its root, and the path of each leaf.
    public fun root(): address {
        from_bcs::to_address(node(node(leaf(0), leaf(1)), node(leaf(2), leaf(3))))
    }

    public fun path(index: u64): vector<address> {
        let sibling = if (index % 2 == 0) leaf(index + 1) else leaf(index - 1);
        let cousin = if (index < 2) node(leaf(2), leaf(3)) else node(leaf(0), leaf(1));
        vector[from_bcs::to_address(sibling), from_bcs::to_address(cousin)]
    }

    fun leaf(index: u64): vector<u8> {
        let producers = producers();
        let bytes = vector[0u8];
        vector::append(&mut bytes, bcs::to_bytes(vector::borrow(&producers, index)));
        vector::append(&mut bytes, bcs::to_bytes(&index));
        vector::append(&mut bytes, bcs::to_bytes(&(10 * (index + 1))));
        hash::sha2_256(bytes)
    }

    fun node(left: vector<u8>, right: vector<u8>): vector<u8> {
        let bytes = vector[1u8];
        vector::append(&mut bytes, left);
        vector::append(&mut bytes, right);
        hash::sha2_256(bytes)
    }

    /// One campaign: 300 locked, 240 charged and paid to everybody, 60 refunded.
    public fun campaign(lock: address): Draft {
        let draft = empty(b"epoch 7");
        settling(&mut draft, lock, b"campaign", 240, 60);
        paying(&mut draft, operator(), 1, 50);
        paying(&mut draft, executor(), 2, 30);
        paying(&mut draft, executor(), 3, 10);
        paying(&mut draft, operator(), 4, 5);
        opening(&mut draft, b"north", root(), 4, 100);
        carrying(&mut draft, b"south", 15, 0);
        returning(&mut draft, 12);
        sharing(&mut draft, 18);
        anchoring(&mut draft, b"campaign", b"root");
        draft
    }

    public fun accept(proposal: vector<u8>, kind: u8, payload: address) {
        governance::record(&who(council()), digest(proposal), kind, payload, 6, 1, 10);
    }

    /// Pays out of the treasury to the operator, on the approvals of some signers.
    public fun release(world: &World, amount: u64, proposal: vector<u8>, names: vector<u64>) {
        let payload = treasury::payload(text(b"test"), operator(), amount, digest(proposal));
        release_signed(world, b"test", amount, proposal, names, payload);
    }

    /// As above, for a chain of another name or with signatures over something else.
    public fun release_signed(
        world: &World,
        chain: vector<u8>,
        amount: u64,
        proposal: vector<u8>,
        names: vector<u64>,
        signed: address
    ) {
        let (keys, signatures) = (vector[], vector[]);
        for (i in 0..vector::length(&names)) {
            let name = *vector::borrow(&names, i);
            vector::push_back(&mut keys, *vector::borrow(&world.keys, name));
            let secret = *vector::borrow(&world.secrets, name);
            vector::push_back(&mut signatures, ed25519::sign(treasury::message(signed), secret));
        };
        treasury::release(
            &who(executor()), text(chain), operator(), amount, digest(proposal), keys, signatures
        );
    }

    public fun key(world: &World, name: u64): vector<u8> { *vector::borrow(&world.keys, name) }

    public fun secret(world: &World, name: u64): vector<u8> { *vector::borrow(&world.secrets, name) }

    /// The account that a treasury signer's key controls.
    public fun account_of(world: &World, name: u64): address {
        let key = ed25519::new_unvalidated_public_key_from_bytes(key(world, name));
        from_bcs::to_address(ed25519::unvalidated_public_key_to_authentication_key(&key))
    }
}
