#[test_only]
module symphony::sym_tests {
    use aptos_framework::event;
    use aptos_framework::fungible_asset;
    use symphony::sym;
    use symphony::world;

    #[test]
    fun decimals_are_the_protocols() {
        world::new();
        assert!(fungible_asset::decimals(sym::metadata()) == 8, 1);
        assert!(sym::minted() == 7620, 2);
        world::check_supply();
    }

    #[test]
    fun an_account_pays_another() {
        world::new();
        sym::transfer(&world::who(world::submitter()), @0xc1, 10);
        assert!(sym::balance(@0xc1) == 10 && sym::balance(world::submitter()) == 990, 1);
        assert!(std::vector::length(&event::emitted_events<sym::Transferred>()) == 1, 2);
        world::check_supply();
    }

    #[test]
    #[expected_failure(abort_code = 0x10008, location = symphony::sym)]
    fun nothing_is_no_payment() {
        world::new();
        sym::transfer(&world::who(world::submitter()), @0xc1, 0);
    }

    #[test]
    #[expected_failure(abort_code = 0x30009, location = symphony::sym)]
    fun nobody_pays_more_than_it_has() {
        world::new();
        sym::transfer(&world::who(world::submitter()), @0xc1, 1001);
    }

    #[test]
    fun time_does_not_wrap() {
        assert!(sym::later(5, 6) == 11, 1);
        assert!(sym::later(18446744073709551615, 6) == 18446744073709551615, 2);
    }
}
