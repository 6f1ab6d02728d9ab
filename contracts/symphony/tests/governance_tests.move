#[test_only]
module symphony::governance_tests {
    use symphony::authority;
    use symphony::governance;
    use symphony::policy;
    use symphony::world;

    fun record(votes_for: u64, votes_against: u64, eligible: u64): bool {
        let council = world::who(world::council());
        let proposal = world::digest(b"proposal");
        governance::record(&council, proposal, 1, @0x1, votes_for, votes_against, eligible);
        let (_, accepted, _) = governance::proposal(proposal);
        accepted
    }

    fun change(version: u64, proposal: vector<u8>) {
        let (minimum, cooldown) = (vector[3, 2, 1], vector[30, 20, 10]);
        policy::change(&world::who(@0xc1), world::digest(proposal), version, minimum, cooldown, 5, 6);
    }

    fun accept_change(version: u64, proposal: vector<u8>) {
        let payload = policy::payload(version, vector[3, 2, 1], vector[30, 20, 10], 5, 6);
        world::accept(proposal, governance::kind_policy(), payload);
    }

    #[test]
    fun a_quorum_accepts() {
        world::new();
        assert!(record(5, 4, 10), 1);
    }

    #[test]
    fun fewer_than_a_quorum_reject() {
        world::new();
        assert!(!record(4, 0, 10), 1);
    }

    #[test]
    fun a_tie_rejects() {
        world::new();
        assert!(!record(5, 5, 10), 1);
    }

    #[test]
    #[expected_failure(abort_code = 0x50007, location = symphony::roles)]
    fun only_the_council_records() {
        world::new();
        governance::record(&world::who(world::payout()), @0x5, 1, @0x1, 6, 1, 10);
    }

    #[test]
    #[expected_failure(abort_code = 0x1002b, location = symphony::governance)]
    fun nobody_votes_twice() {
        world::new();
        record(6, 5, 10);
    }

    #[test]
    #[expected_failure(abort_code = 0x1002b, location = symphony::governance)]
    fun a_vote_has_voters() {
        world::new();
        record(0, 0, 0);
    }

    #[test]
    #[expected_failure(abort_code = 0x8002a, location = symphony::governance)]
    fun a_result_is_recorded_once() {
        world::new();
        record(5, 4, 10);
        record(5, 4, 10);
    }

    #[test]
    fun an_accepted_proposal_changes_the_policy() {
        world::new();
        accept_change(2, b"proposal");
        change(2, b"proposal");
        let (minimum, cooldown) = policy::terms(2);
        assert!(minimum == 1 && cooldown == 10 && policy::version() == 2, 1);
        assert!(policy::lock_ms_min() == 5 && policy::payees_per_tree_min() == 6, 2);
    }

    #[test]
    #[expected_failure(abort_code = 0x60028, location = symphony::governance)]
    fun nobody_changes_the_policy_alone() {
        world::new();
        change(2, b"proposal");
    }

    #[test]
    #[expected_failure(abort_code = 0x10029, location = symphony::governance)]
    fun a_proposal_changes_what_it_names() {
        world::new();
        accept_change(3, b"proposal");
        change(2, b"proposal");
    }

    #[test]
    #[expected_failure(abort_code = 0x10070, location = symphony::policy)]
    fun policies_follow_one_another() {
        world::new();
        accept_change(3, b"proposal");
        change(3, b"proposal");
    }

    #[test]
    #[expected_failure(abort_code = 0x80025, location = symphony::governance)]
    fun a_proposal_changes_the_policy_once() {
        world::new();
        accept_change(2, b"proposal");
        change(2, b"proposal");
        change(2, b"proposal");
    }

    #[test]
    #[expected_failure(abort_code = 0x10070, location = symphony::policy)]
    fun each_tier_has_its_numbers() {
        world::new();
        policy::change(&world::who(@0xc1), world::digest(b"p"), 2, vector[1, 2], vector[1, 2, 3], 5, 6);
    }

    #[test]
    #[expected_failure(abort_code = 0x60028, location = symphony::governance)]
    fun nobody_upgrades_alone() {
        world::new();
        authority::upgrade(&world::who(@deployer), world::digest(b"p"), x"00", vector[x"00"]);
    }

    #[test]
    #[expected_failure(abort_code = 0x10029, location = symphony::governance)]
    fun a_proposal_upgrades_to_the_code_that_it_names() {
        world::new();
        let payload = authority::upgrade_payload(x"00", vector[x"01"]);
        world::accept(b"p", governance::kind_upgrade(), payload);
        authority::upgrade(&world::who(@0xc1), world::digest(b"p"), x"00", vector[x"00"]);
    }

    #[test]
    #[expected_failure(abort_code = 0x3006c, location = symphony::authority)]
    fun nothing_upgrades_before_governance_exists() {
        world::ready();
        authority::upgrade(&world::who(@deployer), world::digest(b"p"), x"00", vector[x"00"]);
    }
}
