//! Money is exact: sums, shares and splits (D16, R158, R218).

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_types::amount::{Bps, SYM_UNIT, Sym, split, sum};

/// The split by its definition, recipient by recipient, with another algorithm.
fn naive(total: u64, weights: &[(u8, u64)]) -> Vec<u64> {
    let whole: u128 = weights.iter().map(|(_, weight)| u128::from(*weight)).sum();
    let product = |at: usize| u128::from(total) * u128::from(weights[at].1);
    let mut shares: Vec<u64> = (0..weights.len()).map(|at| (product(at) / whole) as u64).collect();
    let mut waiting: Vec<usize> = (0..weights.len()).collect();
    while shares.iter().sum::<u64>() < total {
        let best = *waiting
            .iter()
            .max_by(|a, b| {
                let fraction = |at: usize| product(at) % whole;
                (fraction(**a), weights[**b].0, **b).cmp(&(fraction(**b), weights[**a].0, **a))
            })
            .unwrap();
        waiting.retain(|at| *at != best);
        shares[best] += 1;
    }
    shares
}

proptest! {
    /// R158, R218: nothing is lost and nothing made, whatever the weights.
    #[test]
    fn shares_sum_to_the_total(total in any::<u64>(), weights in vec((any::<u8>(), any::<u64>()), 1..40)) {
        match split(Sym(total), &weights) {
            None => prop_assert!(weights.iter().all(|(_, weight)| *weight == 0)),
            Some(shares) => {
                prop_assert_eq!(sum(shares.iter().map(|(_, share)| *share)), Some(Sym(total)));
                prop_assert!(shares.iter().zip(&weights).all(|(share, weight)| share.0 == weight.0));
            }
        }
    }

    /// R158: each gets its floor or one unit more; who has no weight gets nothing.
    #[test]
    fn shares_are_within_one_unit_of_proportion(
        total in any::<u64>(),
        weights in vec((any::<u8>(), prop_oneof![Just(0u64), 1..1_000u64, any::<u64>()]), 1..40),
    ) {
        let whole: u128 = weights.iter().map(|(_, weight)| u128::from(*weight)).sum();
        prop_assume!(whole > 0);
        for ((_, share), (_, weight)) in split(Sym(total), &weights).unwrap().into_iter().zip(&weights) {
            let floor = u128::from(total) * u128::from(*weight) / whole;
            prop_assert!(u128::from(share.0) == floor || u128::from(share.0) == floor + 1);
            if *weight == 0 {
                prop_assert_eq!(share, Sym::ZERO);
            }
        }
    }

    /// D16: largest remainder, ties to the smaller recipient, as an independent implementation has it.
    #[test]
    fn split_equals_the_definition(
        total in 0..100_000u64,
        weights in vec((any::<u8>(), 0..50u64), 1..12),
    ) {
        prop_assume!(weights.iter().any(|(_, weight)| *weight > 0));
        let shares: Vec<_> = split(Sym(total), &weights).unwrap().into_iter().map(|(_, s)| s.0).collect();
        prop_assert_eq!(shares, naive(total, &weights));
    }

    /// D16: floor and ceiling meet when the division is exact, and else lie one unit apart.
    #[test]
    fn floor_and_ceiling_bound_the_quotient(amount in any::<u64>(), part in 0..=10_000u64) {
        let floor = Sym(amount).share_floor(part, 10_000).unwrap();
        let ceil = Sym(amount).share_ceil(part, 10_000).unwrap();
        let exact = (u128::from(amount) * u128::from(part)).is_multiple_of(10_000);
        prop_assert_eq!(ceil.0 - floor.0, u64::from(!exact));
        prop_assert!(ceil <= Sym(amount));
    }
}

/// D16: equal fractions go to the smaller recipient, wherever it stands.
#[test]
fn ties_go_to_the_smaller_recipient() {
    let shares = split(Sym(2), &[("c", 1), ("a", 1), ("b", 1)]).unwrap();
    assert_eq!(shares, [("c", Sym(0)), ("a", Sym(1)), ("b", Sym(1))]);
}

/// R158: a recipient without weight waits behind everyone who has one.
#[test]
fn zero_weight_gets_nothing() {
    assert_eq!(
        split(Sym(1), &[("a", 0), ("b", 1), ("c", 1)]).unwrap(),
        [("a", Sym(0)), ("b", Sym(1)), ("c", Sym(0))]
    );
    assert_eq!(split(Sym(0), &[("a", 3)]).unwrap(), [("a", Sym(0))]);
}

/// R158: nobody to pay is an answer, not a division by zero.
#[test]
fn no_weight_at_all_is_no_split() {
    assert_eq!(split::<u8>(Sym(5), &[]), None);
    assert_eq!(split(Sym(5), &[("a", 0), ("b", 0)]), None);
}

/// D16, R218: the largest amounts do not overflow on the way.
#[test]
fn extremes_do_not_overflow() {
    let all = [("a", u64::MAX), ("b", u64::MAX), ("c", u64::MAX)];
    let shares = split(Sym(u64::MAX), &all).unwrap();
    assert_eq!(sum(shares.into_iter().map(|(_, share)| share)), Some(Sym(u64::MAX)));
    assert_eq!(Sym(u64::MAX).share_floor(u64::MAX, u64::MAX), Some(Sym(u64::MAX)));
    assert_eq!(Sym(u64::MAX).share_ceil(2, 1), None);
    assert_eq!(Sym(1).share_floor(1, 0), None);
    assert_eq!(Sym(1).share_ceil(1, 0), None);
    assert_eq!(sum([Sym(u64::MAX), Sym(1)]), None);
    assert_eq!(Sym(1).checked_sub(Sym(2)), None);
    assert_eq!(Sym(u64::MAX).checked_mul(2), None);
}

/// D16: eight decimals, ten thousand basis points.
#[test]
fn units_are_as_stated() {
    assert_eq!(SYM_UNIT, 100_000_000);
    assert_eq!(Sym(3).share_ceil(1, 2), Some(Sym(2)));
    assert_eq!(Sym(3).share_floor(1, 2), Some(Sym(1)));
    assert_eq!(Bps::WHOLE, Bps(10_000));
}
