/// Proposals and the results of their votes (R178, R180, R181). The council votes off chain; its account, a multi-key account of
/// the members, records the result. What an accepted proposal allows is named by a digest and happens once.
module symphony::governance {
    use std::error;
    use aptos_framework::event;
    use aptos_std::table::{Self, Table};
    use symphony::roles;

    friend symphony::authority;
    friend symphony::genesis;
    friend symphony::inflation;
    friend symphony::policy;
    friend symphony::treasury;
    #[test_only]
    friend symphony::world;

    /// The proposal was executed before.
    const E_PROPOSAL_USED: u64 = 37;
    /// No accepted proposal of that name is on chain.
    const E_PROPOSAL_UNKNOWN: u64 = 40;
    /// The proposal allows something else.
    const E_PROPOSAL_MISMATCH: u64 = 41;
    /// More votes than voters, or a quorum of nobody.
    const E_VOTES_INVALID: u64 = 43;
    /// The result of this proposal was recorded before.
    const E_PROPOSAL_EXISTS: u64 = 42;

    const KIND_RELEASE: u8 = 0;
    const KIND_POLICY: u8 = 1;
    const KIND_UPGRADE: u8 = 2;
    const KIND_INFLATION: u8 = 3;

    struct Proposal has copy, drop, store {
        kind: u8,
        payload: address,
        votes_for: u64,
        votes_against: u64,
        eligible: u64,
        accepted: bool,
        used: bool
    }

    struct Proposals has key {
        proposals: Table<address, Proposal>,
        /// Votes for a proposal, of all who may vote, in hundredths of a percent.
        quorum_bps: u64
    }

    #[event]
    struct Recorded has drop, store {
        proposal: address,
        kind: u8,
        payload: address,
        votes_for: u64,
        votes_against: u64,
        eligible: u64,
        accepted: bool
    }

    #[event]
    struct Spent has drop, store {
        proposal: address
    }

    public(friend) fun start(package: &signer, quorum_bps: u64) {
        assert!(quorum_bps > 0 && quorum_bps <= 10000, error::invalid_argument(E_VOTES_INVALID));
        move_to(package, Proposals { proposals: table::new(), quorum_bps });
    }

    /// Records how the council voted; only its account may.
    public entry fun record(
        sender: &signer,
        proposal: address,
        kind: u8,
        payload: address,
        votes_for: u64,
        votes_against: u64,
        eligible: u64
    ) acquires Proposals {
        let _word = roles::governance(sender);
        let all = (votes_for as u128) + (votes_against as u128);
        let counted = eligible > 0 && all <= (eligible as u128);
        assert!(counted, error::invalid_argument(E_VOTES_INVALID));
        let state = borrow_global_mut<Proposals>(@symphony);
        let fresh = !table::contains(&state.proposals, proposal);
        assert!(fresh, error::already_exists(E_PROPOSAL_EXISTS));
        let quorum = (eligible as u128) * (state.quorum_bps as u128);
        let accepted = votes_for > votes_against && (votes_for as u128) * 10000 >= quorum;
        let used = false;
        let result = Proposal { kind, payload, votes_for, votes_against, eligible, accepted, used };
        table::add(&mut state.proposals, proposal, result);
        event::emit(Recorded { proposal, kind, payload, votes_for, votes_against, eligible, accepted });
    }

    #[view]
    public fun is_started(): bool {
        exists<Proposals>(@symphony)
    }

    #[view]
    /// Whether a result is recorded, whether it accepts, and whether what it allows has happened.
    public fun proposal(proposal: address): (bool, bool, bool) acquires Proposals {
        let proposals = &borrow_global<Proposals>(@symphony).proposals;
        if (!table::contains(proposals, proposal)) return (false, false, false);
        let result = table::borrow(proposals, proposal);
        (true, result.accepted, result.used)
    }

    /// Uses an accepted proposal up for exactly what it names.
    public(friend) fun spend(proposal: address, kind: u8, payload: address) acquires Proposals {
        let proposals = &mut borrow_global_mut<Proposals>(@symphony).proposals;
        assert!(table::contains(proposals, proposal), error::not_found(E_PROPOSAL_UNKNOWN));
        let result = table::borrow_mut(proposals, proposal);
        assert!(!result.used, error::already_exists(E_PROPOSAL_USED));
        assert!(result.accepted, error::not_found(E_PROPOSAL_UNKNOWN));
        let same = result.kind == kind && result.payload == payload;
        assert!(same, error::invalid_argument(E_PROPOSAL_MISMATCH));
        result.used = true;
        event::emit(Spent { proposal });
    }

    #[view]
    public fun kind_release(): u8 { KIND_RELEASE }

    #[view]
    public fun kind_policy(): u8 { KIND_POLICY }

    #[view]
    public fun kind_upgrade(): u8 { KIND_UPGRADE }

    #[view]
    public fun kind_inflation(): u8 { KIND_INFLATION }
}
