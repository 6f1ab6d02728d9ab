#[test_only]
module symphony::inflation_tests {
    use symphony::governance;
    use symphony::inflation;
    use symphony::reward;
    use symphony::sym;
    use symphony::treasury;
    use symphony::world;

    fun mint() {
        inflation::mint_epoch(&world::who(@0xc1));
    }

    fun pay(epoch: u64, amount: u64) {
        inflation::pay_nodes(&world::who(world::payout()), epoch, vector[world::operator()], vector[amount]);
    }

    #[test]
    fun the_schedule_declines_and_ends_by_itself() {
        world::new();
        assert!(sym::minted() == 7620, 1);
        world::wait(10000);
        mint();
        // 8 % of 7,620 over two epochs, rounded down; a quarter of it to the treasury.
        assert!(sym::minted() == 7620 + 304 && treasury::balance() == 500 + 76, 2);
        let (pool, _, _, _, _) = reward::holdings();
        assert!(pool == 50 + 228, 3);
        world::wait(30000);
        mint();
        assert!(sym::minted() == 7620 + 608, 4);
        // 5 % of 8,228 over two epochs.
        mint();
        mint();
        assert!(sym::minted() == 8228 + 410, 5);
        let (next, terminal, _) = inflation::epochs();
        assert!(next == 4 && terminal == 4, 6);
        world::check_supply();
    }

    #[test]
    #[expected_failure(abort_code = 0x3002c, location = symphony::inflation)]
    fun a_running_epoch_is_not_minted() {
        world::new();
        world::wait(9999);
        mint();
    }

    #[test]
    #[expected_failure(abort_code = 0x3002c, location = symphony::inflation)]
    fun an_epoch_is_minted_once() {
        world::new();
        world::wait(10000);
        mint();
        mint();
    }

    #[test]
    #[expected_failure(abort_code = 0x3002d, location = symphony::inflation)]
    fun nothing_is_minted_after_the_end() {
        world::new();
        world::wait(100000);
        mint();
        mint();
        mint();
        mint();
        mint();
    }

    #[test]
    fun nodes_are_paid_out_of_the_pool() {
        world::new();
        world::wait(10000);
        mint();
        pay(0, 278);
        assert!(sym::balance(world::operator()) == 1278, 1);
        world::check_supply();
    }

    #[test]
    #[expected_failure(abort_code = 0x3002f, location = symphony::reward)]
    fun nodes_get_not_more_than_the_pool() {
        world::new();
        world::wait(10000);
        mint();
        pay(0, 279);
    }

    #[test]
    #[expected_failure(abort_code = 0x3002f, location = symphony::inflation)]
    fun payments_of_nodes_do_not_wrap() {
        world::new();
        world::wait(10000);
        mint();
        let accounts = vector[world::operator(), @0xc1];
        inflation::pay_nodes(&world::who(world::payout()), 0, accounts, vector[18446744073709551615, 18446744073709551615]);
    }

    #[test]
    #[expected_failure(abort_code = 0x8002e, location = symphony::inflation)]
    fun nodes_are_paid_once_an_epoch() {
        world::new();
        world::wait(10000);
        mint();
        pay(0, 1);
        pay(0, 1);
    }

    #[test]
    #[expected_failure(abort_code = 0x3002c, location = symphony::inflation)]
    fun nodes_are_paid_for_epochs_that_are_over() {
        world::new();
        pay(0, 1);
    }

    #[test]
    #[expected_failure(abort_code = 0x3002d, location = symphony::inflation)]
    fun nodes_are_not_paid_after_the_bootstrap() {
        world::new();
        pay(4, 1);
    }

    #[test]
    #[expected_failure(abort_code = 0x50007, location = symphony::roles)]
    fun only_payout_pays_nodes() {
        world::new();
        inflation::pay_nodes(&world::who(world::settlement()), 0, vector[], vector[]);
    }

    #[test]
    #[expected_failure(abort_code = 0x10072, location = symphony::inflation)]
    fun each_node_has_an_amount() {
        world::new();
        world::wait(10000);
        mint();
        inflation::pay_nodes(&world::who(world::payout()), 0, vector[world::operator()], vector[]);
    }

    #[test]
    fun governance_ends_the_schedule() {
        world::new();
        world::wait(10000);
        mint();
        let payload = inflation::payload(10000, 1, vector[800], 0);
        world::accept(b"p", governance::kind_inflation(), payload);
        let proposal = world::digest(b"p");
        inflation::revise(&world::who(@0xc1), proposal, 10000, 1, vector[800], 0);
        let (next, terminal, _) = inflation::epochs();
        assert!(next == 1 && terminal == 1, 1);
    }

    #[test]
    #[expected_failure(abort_code = 0x60028, location = symphony::governance)]
    fun nobody_revises_the_schedule_alone() {
        world::new();
        inflation::revise(&world::who(@0xc1), world::digest(b"p"), 10000, 1, vector[800], 0);
    }

    #[test]
    #[expected_failure(abort_code = 0x1006f, location = symphony::inflation)]
    fun rates_do_not_rise() {
        world::new();
        inflation::revise(&world::who(@0xc1), world::digest(b"p"), 10000, 1, vector[500, 800], 0);
    }

    #[test]
    #[expected_failure(abort_code = 0x1006f, location = symphony::inflation)]
    fun what_is_minted_stays_minted() {
        world::new();
        world::wait(10000);
        mint();
        let epoch_ms = 18446744073709551615;
        let payload = inflation::payload(epoch_ms, 2, vector[800], 0);
        world::accept(b"p", governance::kind_inflation(), payload);
        inflation::revise(&world::who(@0xc1), world::digest(b"p"), epoch_ms, 2, vector[800], 0);
    }
}
