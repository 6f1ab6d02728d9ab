#[test_only]
module symphony::staking_tests {
    use symphony::reward;
    use symphony::staking;
    use symphony::sym;
    use symphony::world;

    const PRODUCER: u8 = 2;

    fun stake(amount: u64) {
        staking::deposit(&world::who(world::producer()), PRODUCER, amount);
    }

    fun request(amount: u64) {
        staking::request_withdrawal(&world::who(world::producer()), PRODUCER, amount);
    }

    fun slash(amount: u64, reference: vector<u8>) {
        let settlement = world::who(world::settlement());
        staking::slash(&settlement, world::producer(), PRODUCER, amount, world::digest(reference));
    }

    #[test]
    fun stake_counts_from_the_minimum_on() {
        world::new();
        stake(100);
        assert!(staking::is_staked(world::producer(), PRODUCER), 1);
        assert!(!staking::is_staked(world::producer(), 0), 2);
        assert!(staking::staked(PRODUCER, 0, 10) == vector[world::producer()], 3);
        assert!(staking::staked(PRODUCER, 1, 10) == vector[], 4);
        assert!(staking::staked(PRODUCER, 0, 0) == vector[], 5);
        world::check_supply();
    }

    #[test]
    fun stake_leaves_through_its_cooldown() {
        world::new();
        stake(250);
        request(50);
        assert!(staking::is_staked(world::producer(), PRODUCER), 1);
        request(200);
        assert!(!staking::is_staked(world::producer(), PRODUCER), 2);
        assert!(staking::staked(PRODUCER, 0, 10) == vector[], 3);
        world::check_supply();
        world::wait(500);
        staking::withdraw(&world::who(world::producer()), PRODUCER);
        assert!(sym::balance(world::producer()) == 1000, 4);
        let (deposit, cooling, _) = staking::stake(world::producer(), PRODUCER);
        assert!(deposit == 0 && cooling == 0, 5);
        world::check_supply();
    }

    #[test]
    fun slashed_stake_goes_to_the_pool_even_out_of_a_cooldown() {
        world::new();
        stake(250);
        request(150);
        slash(120, b"penalty");
        let (deposit, cooling, _) = staking::stake(world::producer(), PRODUCER);
        assert!(deposit == 0 && cooling == 130, 1);
        slash(18446744073709551615, b"second");
        let (pool, _, _, _, _) = reward::holdings();
        assert!(pool == 50 + 250, 2);
        world::check_supply();
    }

    #[test]
    #[expected_failure(abort_code = 0x10010, location = symphony::staking)]
    fun stake_below_the_minimum_is_refused() {
        world::new();
        stake(99);
    }

    #[test]
    #[expected_failure(abort_code = 0x30009, location = symphony::sym)]
    fun stake_above_the_balance_is_refused() {
        world::new();
        stake(1001);
    }

    #[test]
    #[expected_failure(abort_code = 0x10073, location = symphony::policy)]
    fun there_are_three_tiers() {
        world::new();
        staking::deposit(&world::who(world::producer()), 3, 500);
    }

    #[test]
    #[expected_failure(abort_code = 0x10010, location = symphony::staking)]
    fun what_stays_reaches_the_minimum() {
        world::new();
        stake(150);
        request(51);
    }

    #[test]
    #[expected_failure(abort_code = 0x10008, location = symphony::staking)]
    fun nothing_cannot_be_withdrawn() {
        world::new();
        stake(150);
        request(0);
    }

    #[test]
    #[expected_failure(abort_code = 0x30011, location = symphony::staking)]
    fun nobody_withdraws_more_than_it_has() {
        world::new();
        stake(150);
        request(151);
    }

    #[test]
    #[expected_failure(abort_code = 0x30011, location = symphony::staking)]
    fun nothing_has_cooled_down() {
        world::new();
        stake(150);
        staking::withdraw(&world::who(world::producer()), PRODUCER);
    }

    #[test]
    #[expected_failure(abort_code = 0x30012, location = symphony::staking)]
    fun nobody_leaves_before_the_cooldown() {
        world::new();
        stake(150);
        request(150);
        world::wait(499);
        staking::withdraw(&world::who(world::producer()), PRODUCER);
    }

    #[test]
    #[expected_failure(abort_code = 0x50007, location = symphony::roles)]
    fun only_settlement_slashes() {
        world::new();
        stake(150);
        let payout = world::who(world::payout());
        staking::slash(&payout, world::producer(), PRODUCER, 1, world::digest(b"r"));
    }

    #[test]
    #[expected_failure(abort_code = 0x10008, location = symphony::staking)]
    fun a_penalty_takes_something() {
        world::new();
        stake(150);
        slash(0, b"r");
    }

    #[test]
    #[expected_failure(abort_code = 0x80013, location = symphony::staking)]
    fun a_penalty_is_executed_once() {
        world::new();
        stake(150);
        slash(1, b"r");
        slash(1, b"r");
    }

    #[test]
    #[expected_failure(abort_code = 0x30011, location = symphony::staking)]
    fun who_has_no_stake_loses_none() {
        world::new();
        slash(1, b"r");
    }
}
