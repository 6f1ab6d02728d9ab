//! What governs: prices by formula, shares within bands, epochs as a pure function of time.

use proptest::prelude::*;
use symphony_protocol::artifact::PrivacyCharge;
use symphony_protocol::governance::epoch::Calendar;
use symphony_protocol::governance::policy::{Policy, QueryFees, Shares};
use symphony_protocol::governance::pricing::{fee, worst_case};
use symphony_types::amount::{Bps, SYM_UNIT, Sym};
use symphony_types::catalogue::Code;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{EpochId, PolicyVersion};
use symphony_types::time::OrderedMillis;

use crate::stage::{EPOCH_MS, START, calendar, governance, policy};

fn charge(micro: u64) -> PrivacyCharge {
    PrivacyCharge { exposure: Epsilon(micro), noised: Epsilon(0) }
}

/// R152: the formula, by hand.
#[test]
fn the_fee_is_the_sum_of_its_terms() {
    let fees = QueryFees { base: Sym(1_000), per_vault: Sym(200), per_record: Sym(3), per_epsilon: Sym(50) };
    let charged = |vaults, records, micro| {
        let fee = fee(&fees, vaults, records, charge(micro)).unwrap();
        (fee.base.0, fee.vaults.0, fee.records.0, fee.epsilon.0, fee.total.0)
    };
    assert_eq!(charged(0, 0, 0), (1_000, 0, 0, 0, 1_000));
    assert_eq!(charged(3, 5_000, 1_000_000), (1_000, 600, 15_000, 150, 16_750));
    assert_eq!(charged(2, 0, 110_000), (1_000, 400, 0, 11, 1_411));
    // Spending rounds up: a millionth of an epsilon costs a whole unit.
    assert_eq!(charged(1, 0, 1), (1_000, 200, 0, 1, 1_201));
}

/// R152: a fee that does not fit is refused, term by term.
#[test]
fn a_fee_that_does_not_fit_is_refused() {
    let most = Sym(u64::MAX);
    let none = QueryFees { base: Sym(0), per_vault: Sym(0), per_record: Sym(0), per_epsilon: Sym(0) };
    let cases = [
        QueryFees { per_vault: most, ..none },
        QueryFees { per_record: most, ..none },
        QueryFees { per_epsilon: most, ..none },
        QueryFees { base: most, per_vault: Sym(1), ..none },
    ];
    for fees in cases {
        assert_eq!(fee(&fees, 2, 2, charge(1_000_000)), Err(Code::Malformed));
    }
    assert_eq!(fee(&none, u64::MAX, 0, charge(2)), Err(Code::Malformed));
    let over = PrivacyCharge { exposure: Epsilon(u64::MAX), noised: Epsilon(1) };
    assert_eq!(fee(&none, 1, 0, over), Err(Code::Malformed));
}

proptest! {
    /// R155, R156: same inputs, same fee; what is measured never costs more than the worst case.
    #[test]
    fn nothing_costs_more_than_the_worst_case(
        fees in prop::array::uniform4(0..10_000_000_000u64),
        (vaults, cap) in (1..64u64, 1..10_000u32),
        (answered, returned) in (0..64u64, 0..10_000u32),
    ) {
        let mut policy = policy();
        let [base, per_vault, per_record, per_epsilon] = fees.map(Sym);
        policy.fees = QueryFees { base, per_vault, per_record, per_epsilon };
        let worst = worst_case(&policy, vaults, cap).unwrap();
        prop_assert_eq!(worst, worst_case(&policy, vaults, cap).unwrap());
        let charge = symphony_protocol::governance::pricing::charge(&policy);
        let real = fee(&policy.fees, answered.min(vaults), u64::from(returned.min(cap)), charge).unwrap();
        prop_assert!(real.total <= worst.total);
    }

    /// R192: every moment belongs to one epoch, and can be told from it and the policy alone.
    #[test]
    fn every_moment_belongs_to_one_epoch(at in 0..u64::MAX / 2, epoch_ms in 1..10_000_000_000u64) {
        let calendar = Calendar::new(PolicyVersion(1), epoch_ms);
        let at = OrderedMillis(at);
        let epoch = calendar.epoch_of(at);
        prop_assert!(at < calendar.end_of(epoch));
        prop_assert!(epoch.0 == 0 || calendar.end_of(EpochId(epoch.0 - 1)) <= at);
    }
}

/// R192: the last moment of an epoch and the first of the next.
#[test]
fn epochs_meet_without_gap_or_overlap() {
    let calendar = calendar();
    let epoch = calendar.epoch_of(START);
    let end = calendar.end_of(epoch);
    assert_eq!(end, START.plus(EPOCH_MS));
    assert_eq!(calendar.epoch_of(end.minus(1)), epoch);
    assert_eq!(calendar.epoch_of(end), EpochId(epoch.0 + 1));
    assert_eq!(calendar.end_of(EpochId(u64::MAX)), OrderedMillis(u64::MAX));
}

/// R157, D4: each share stays in its band, executors together with aggregators, and all sum to the whole.
#[test]
fn shares_stay_in_their_bands() {
    let shares = |contributors, operators, executors, aggregators, verifiers, treasury| {
        let [contributors, operators, executors, aggregators, verifiers, treasury] =
            [contributors, operators, executors, aggregators, verifiers, treasury].map(Bps);
        let shares = Shares { contributors, operators, executors, aggregators, verifiers, treasury };
        Policy { shares, ..policy() }.check()
    };
    let band = Err("a share leaves its band");
    assert_eq!(shares(4_500, 2_000, 1_400, 600, 750, 750), Ok(()));
    assert_eq!(shares(5_000, 1_500, 1_500, 0, 1_000, 1_000), Ok(()));
    assert_eq!(shares(3_000, 2_500, 0, 2_500, 1_000, 1_000), Ok(()));
    assert_eq!(shares(5_001, 1_999, 1_400, 600, 500, 500), band);
    assert_eq!(shares(2_999, 2_500, 2_000, 501, 1_000, 1_000), band);
    assert_eq!(shares(4_500, 1_499, 1_900, 601, 750, 750), band);
    assert_eq!(shares(4_000, 2_501, 1_400, 600, 750, 749), band);
    assert_eq!(shares(4_500, 2_000, 1_000, 499, 1_000, 1_001), band);
    assert_eq!(shares(4_500, 2_000, 1_401, 600, 1_000, 499), band);
    assert_eq!(shares(4_500, 2_000, 1_400, 600, 750, 749), Err("the shares do not sum to the whole"));
    assert_eq!(shares(4_500, 2_000, 1_400, 600, 750, 751), Err("the shares do not sum to the whole"));
}

/// R188, R189: what cannot govern is refused before it does.
#[test]
fn an_unsound_policy_is_refused() {
    type Change = (&'static str, fn(&mut Policy));
    let changes: [Change; 14] = [
        ("deadline", |policy| policy.deadlines.prepare_ms = 0),
        ("deadline", |policy| policy.deadlines.execute_ms = 0),
        ("deadline", |policy| policy.deadlines.aggregate_ms = 0),
        ("deadline", |policy| policy.deadlines.verify_ms = 0),
        ("deadline", |policy| policy.deadlines.challenge_ms = 0),
        ("deadline", |policy| policy.deadlines.lease_ms = 0),
        ("deadline", |policy| policy.epoch_ms = 0),
        ("unstaked", |policy| policy.unstaked = Bps(10_001)),
        ("minimum cardinality", |policy| policy.privacy.minimum_result_cardinality = 0),
        ("epsilon", |policy| policy.privacy.count_epsilon = Epsilon(0)),
        ("whole", |policy| policy.shares.treasury = Bps(u16::MAX)),
        ("bond", |policy| policy.challenges.bond = Sym::ZERO),
        ("penalty", |policy| policy.challenges.penalties.consent_or_budget = Sym(1_000_000 * SYM_UNIT + 1)),
        ("bond", |policy| policy.challenges.bond = Sym(10_000 * SYM_UNIT + 1)),
    ];
    for (word, change) in changes {
        let mut governance = governance();
        change(governance.policies.get_mut(&PolicyVersion(1)).unwrap());
        assert!(governance.check().unwrap_err().contains(word), "{word}");
    }
    let mut governance = governance();
    governance.calendar = Calendar::new(PolicyVersion(2), EPOCH_MS);
    assert!(governance.check().is_err());
    assert_eq!(governance.policy_of(PolicyVersion(2)).unwrap_err(), Code::PolicyUnknown);
}
