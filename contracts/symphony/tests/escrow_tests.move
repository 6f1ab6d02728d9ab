#[test_only]
module symphony::escrow_tests {
    use symphony::escrow;
    use symphony::sym;
    use symphony::world;

    #[test]
    fun an_expired_lock_is_its_owners_again() {
        world::new();
        let lock = world::lock(b"request", 300);
        assert!(sym::balance(world::submitter()) == 700, 1);
        let (owner, request, amount, held, version, _, state) = escrow::get(lock);
        assert!(owner == world::submitter() && request == world::digest(b"request"), 2);
        assert!(amount == 300 && held == 300 && version == 1 && state == 0, 3);
        world::check_supply();
        world::wait(1000);
        escrow::reclaim(&world::who(world::submitter()), lock);
        assert!(sym::balance(world::submitter()) == 1000, 4);
        let (_, _, _, held, _, _, state) = escrow::get(lock);
        assert!(held == 0 && state == 2, 5);
        world::check_supply();
        world::lock(b"request", 300);
    }

    #[test]
    fun two_owners_lock_for_one_request() {
        world::new();
        world::lock(b"request", 300);
        let owner = world::who(world::operator());
        escrow::lock(&owner, world::digest(b"request"), 1, 1, sym::now_ms_for_test() + 1000);
        let (held, _) = escrow::holdings();
        assert!(held == 301, 1);
    }

    #[test]
    #[expected_failure(abort_code = 0x10008, location = symphony::sym)]
    fun a_lock_of_nothing_is_refused() {
        world::new();
        world::lock(b"request", 0);
    }

    #[test]
    #[expected_failure(abort_code = 0x30009, location = symphony::sym)]
    fun a_lock_above_the_balance_is_refused() {
        world::new();
        world::lock(b"request", 1001);
    }

    #[test]
    #[expected_failure(abort_code = 0x1000a, location = symphony::escrow)]
    fun a_short_lock_is_refused() {
        world::new();
        let owner = world::who(world::submitter());
        escrow::lock(&owner, world::digest(b"short"), 1, 1, sym::now_ms_for_test() + 999);
    }

    #[test]
    #[expected_failure(abort_code = 0x8000b, location = symphony::escrow)]
    fun a_lock_is_bound_to_one_request() {
        world::new();
        world::lock(b"request", 300);
        world::lock(b"request", 10);
    }

    #[test]
    #[expected_failure(abort_code = 0x80077, location = symphony::escrow)]
    fun one_transaction_number_makes_one_lock() {
        world::new();
        let owner = world::who(world::submitter());
        escrow::lock(&owner, world::digest(b"first"), 1, 1, sym::now_ms_for_test() + 1000);
        escrow::lock(&owner, world::digest(b"second"), 1, 1, sym::now_ms_for_test() + 1000);
    }

    #[test]
    #[expected_failure(abort_code = 0x6000c, location = symphony::escrow)]
    fun an_unknown_lock_cannot_be_taken_back() {
        world::new();
        escrow::reclaim(&world::who(world::submitter()), world::digest(b"none"));
    }

    #[test]
    #[expected_failure(abort_code = 0x5000d, location = symphony::escrow)]
    fun a_stranger_unlocks_nothing() {
        world::new();
        let lock = world::lock(b"request", 300);
        world::wait(1000);
        escrow::reclaim(&world::who(world::operator()), lock);
    }

    #[test]
    #[expected_failure(abort_code = 0x3000e, location = symphony::escrow)]
    fun a_lock_is_taken_back_once() {
        world::new();
        let lock = world::lock(b"request", 300);
        world::wait(1000);
        escrow::reclaim(&world::who(world::submitter()), lock);
        escrow::reclaim(&world::who(world::submitter()), lock);
    }

    #[test]
    #[expected_failure(abort_code = 0x3000f, location = symphony::escrow)]
    fun a_running_lock_stays() {
        world::new();
        let lock = world::lock(b"request", 300);
        world::wait(999);
        escrow::reclaim(&world::who(world::submitter()), lock);
    }
}
