#[test_only]
module symphony::genesis_tests {
    use symphony::genesis;
    use symphony::roles;
    use symphony::world;

    const MOST: u64 = 18446744073709551615;

    #[test]
    fun roles_are_those_of_the_genesis() {
        world::new();
        let (payout, settlement, council) = roles::accounts();
        assert!(payout == world::payout(), 1);
        assert!(settlement == world::settlement() && council == world::council(), 2);
        let (signers, threshold) = roles::treasury();
        assert!(std::vector::length(&signers) == 3 && threshold == 2, 3);
        world::check_supply();
    }

    #[test]
    #[expected_failure(abort_code = 0x50007, location = symphony::genesis)]
    fun only_the_deployer_starts() {
        world::ready();
        world::start(&world::signers(), @0xc1, world::payout(), world::settlement(), world::council(), 2, 1);
    }

    #[test]
    #[expected_failure(abort_code = 0x8006b, location = symphony::genesis)]
    fun the_contracts_start_once() {
        let world = world::new();
        world::start(&world, @deployer, world::payout(), world::settlement(), world::council(), 2, 1);
    }

    #[test]
    #[expected_failure(abort_code = 0x10068, location = symphony::roles)]
    fun two_roles_are_two_accounts() {
        world::ready();
        world::start(&world::signers(), @deployer, world::payout(), world::payout(), world::council(), 2, 1);
    }

    #[test]
    #[expected_failure(abort_code = 0x10068, location = symphony::roles)]
    fun no_role_is_a_treasury_signers() {
        world::ready();
        let world = world::signers();
        let signer = world::account_of(&world, 1);
        world::start(&world, @deployer, signer, world::settlement(), world::council(), 2, 1);
    }

    #[test]
    #[expected_failure(abort_code = 0x10069, location = symphony::roles)]
    fun a_treasury_opens_for_somebody() {
        world::ready();
        world::start(&world::signers(), @deployer, world::payout(), world::settlement(), world::council(), 0, 1);
    }

    #[test]
    #[expected_failure(abort_code = 0x10069, location = symphony::roles)]
    fun no_more_approvals_are_needed_than_there_are_signers() {
        world::ready();
        world::start(&world::signers(), @deployer, world::payout(), world::settlement(), world::council(), 4, 1);
    }

    #[test]
    #[expected_failure(abort_code = 0x1006a, location = symphony::genesis)]
    fun a_supply_fits_a_number() {
        world::ready();
        world::start(&world::signers(), @deployer, world::payout(), world::settlement(), world::council(), 2, MOST);
    }

    #[test]
    #[expected_failure(abort_code = 0x10072, location = symphony::genesis)]
    fun each_account_has_a_balance() {
        world::ready();
        let tiers = vector[0, 0, 0];
        genesis::start(
            &world::who(@deployer), world::text(b"test"), @0x1, @0x2, @0x3, vector[], 1, 1, tiers, tiers,
            0, 0, 0, 1, 1, vector[], 0, vector[@0xa1], vector[], 0, 0, 0
        );
    }
}
