#[test_only]
module symphony::treasury_tests {
    use symphony::governance;
    use symphony::sym;
    use symphony::treasury;
    use symphony::world::{Self, World};

    fun accept(amount: u64, proposal: vector<u8>) {
        let payload =
            treasury::payload(world::text(b"test"), world::operator(), amount, world::digest(proposal));
        world::accept(proposal, governance::kind_release(), payload);
    }

    fun ready(amount: u64): World {
        let world = world::new();
        accept(amount, b"proposal");
        world
    }

    #[test]
    fun enough_signers_and_a_fresh_proposal_open_the_treasury() {
        let world = ready(100);
        world::release(&world, 100, b"proposal", vector[0, 2]);
        assert!(sym::balance(world::operator()) == 1100 && treasury::balance() == 400, 1);
        let (_, accepted, used) = governance::proposal(world::digest(b"proposal"));
        assert!(accepted && used, 2);
        world::check_supply();
    }

    #[test]
    #[expected_failure(abort_code = 0x10001, location = symphony::treasury)]
    fun a_release_is_for_one_chain() {
        let world = ready(100);
        let payload =
            treasury::payload(world::text(b"other"), world::operator(), 100, world::digest(b"proposal"));
        world::release_signed(&world, b"other", 100, b"proposal", vector[0, 1], payload);
    }

    #[test]
    #[expected_failure(abort_code = 0x10008, location = symphony::treasury)]
    fun a_release_pays_something() {
        let world = ready(0);
        world::release(&world, 0, b"proposal", vector[0, 1]);
    }

    #[test]
    #[expected_failure(abort_code = 0x50023, location = symphony::treasury)]
    fun one_signer_is_not_enough() {
        let world = ready(100);
        world::release(&world, 100, b"proposal", vector[0]);
    }

    #[test]
    #[expected_failure(abort_code = 0x50024, location = symphony::treasury)]
    fun a_signer_counts_once() {
        let world = ready(100);
        world::release(&world, 100, b"proposal", vector[0, 0]);
    }

    #[test]
    #[expected_failure(abort_code = 0x50024, location = symphony::treasury)]
    fun signatures_over_something_else_do_not_count() {
        let world = ready(100);
        let other =
            treasury::payload(world::text(b"test"), world::operator(), 99, world::digest(b"proposal"));
        world::release_signed(&world, b"test", 100, b"proposal", vector[0, 1], other);
    }

    #[test]
    #[expected_failure(abort_code = 0x50024, location = symphony::treasury)]
    fun a_stranger_approves_nothing() {
        ready(100);
        let stranger = world::signers();
        world::release(&stranger, 100, b"proposal", vector[0, 1]);
    }

    #[test]
    #[expected_failure(abort_code = 0x10072, location = symphony::treasury)]
    fun each_approval_has_a_signature() {
        let world = ready(100);
        let keys = vector[world::key(&world, 0)];
        let proposal = world::digest(b"proposal");
        treasury::release(
            &world::who(@0xc1), world::text(b"test"), world::operator(), 100, proposal, keys, vector[]
        );
    }

    #[test]
    #[expected_failure(abort_code = 0x80025, location = symphony::treasury)]
    fun a_proposal_serves_once() {
        let world = ready(100);
        world::release(&world, 100, b"proposal", vector[0, 1]);
        world::release(&world, 100, b"proposal", vector[0, 1]);
    }

    #[test]
    #[expected_failure(abort_code = 0x60028, location = symphony::governance)]
    fun signers_alone_release_nothing() {
        let world = world::new();
        world::release(&world, 100, b"proposal", vector[0, 1]);
    }

    #[test]
    #[expected_failure(abort_code = 0x60028, location = symphony::governance)]
    fun a_rejected_proposal_releases_nothing() {
        let world = world::new();
        let proposal = world::digest(b"proposal");
        let payload = treasury::payload(world::text(b"test"), world::operator(), 100, proposal);
        let kind = governance::kind_release();
        governance::record(&world::who(world::council()), proposal, kind, payload, 4, 0, 10);
        world::release(&world, 100, b"proposal", vector[0, 1]);
    }

    #[test]
    #[expected_failure(abort_code = 0x10029, location = symphony::governance)]
    fun a_proposal_for_another_amount_releases_nothing() {
        let world = ready(99);
        world::release(&world, 100, b"proposal", vector[0, 1]);
    }

    #[test]
    #[expected_failure(abort_code = 0x30026, location = symphony::treasury)]
    fun the_treasury_pays_not_more_than_it_has() {
        let world = ready(501);
        world::release(&world, 501, b"proposal", vector[0, 1]);
    }
}
