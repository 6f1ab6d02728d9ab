//! The accountant against other people's accountants, against the same formulas in 80 digits, and for its order
//! (D16, D20, R098).

use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use symphony_protocol::governance::accountant::*;
use symphony_types::epsilon::Epsilon;

const EVERYBODY: u32 = 1_000_000_000;

fn vectors() -> Value {
    let path = Path::new("../../vectors").join("privacy_loss.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A decimal number in units of `10^-places`, cut off behind them.
fn decimal(value: &Value, places: usize) -> i128 {
    let text = value.as_str().unwrap();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part: String = part.chars().chain(std::iter::repeat('0')).take(places).collect();
    format!("{whole}{part}").parse().unwrap()
}

fn number(row: &Value, name: &str) -> u32 {
    row[name].as_u64().unwrap().try_into().unwrap()
}

fn release(row: &Value) -> (Release, u32) {
    let release = Release { sampling: number(row, "sampling_ppb"), noise: number(row, "noise_milli") };
    (release, number(row, "rounds"))
}

/// R098: equal to dp-accounting's integer orders to 1e-9, and never below its privacy loss distribution.
#[test]
fn losses_equal_those_of_another_accountant() {
    let vectors = vectors();
    let delta = Delta(vectors["delta"].as_u64().unwrap());
    for row in vectors["rows"].as_array().unwrap() {
        let (release, rounds) = release(row);
        let pico = i128::from(release.renyi_bound_pico(rounds, delta).unwrap());
        assert!((pico - decimal(&row["renyi"], 12)).abs() <= 1_000, "{row}: {pico}");
        assert!(pico >= decimal(&row["pld"], 12), "{row}: {pico}");
        let loss = i128::from(release.loss(rounds, delta).unwrap().0);
        assert!(loss >= decimal(&row["pld"], 6), "{row}: {loss}");
        if release.sampling == EVERYBODY {
            let exact = decimal(&row["exact"], 12);
            let over = loss * 1_000_000 - exact;
            assert!((0..=1_000_000).contains(&over), "{row}: {loss}");
        } else {
            assert_eq!(loss, (pico + 999_999) / 1_000_000, "{row}");
        }
    }
}

/// R098: the whole range of the inputs, rounded up by less than one unit.
#[test]
fn losses_equal_the_formulas_in_many_digits() {
    for row in vectors()["precise"].as_array().unwrap() {
        let (release, rounds) = release(row);
        let delta = Delta(row["delta"].as_u64().unwrap());
        let (bound, exact) = (decimal(&row["renyi"], 12), decimal(&row["exact"], 12));
        match release.renyi_bound_pico(rounds, delta) {
            // Rounded up by one unit of 10^-12 and the slack, which is a thousandth of it.
            Ok(pico) => assert!((0..=2).contains(&(i128::from(pico) - bound)), "{row}: {pico}"),
            Err(error) => {
                assert_eq!(error, AccountantError::Loss, "{row}");
                assert!(bound > 18_000_000_000_000_000_000, "{row}");
            }
        }
        let least = if release.sampling == EVERYBODY { exact } else { bound.min(exact) };
        match release.loss(rounds, delta) {
            Ok(Epsilon(loss)) => {
                let over = i128::from(loss) * 1_000_000 - least;
                assert!((0..=1_000_000).contains(&over), "{row}: {loss}");
            }
            Err(error) => {
                assert_eq!(error, AccountantError::Loss, "{row}");
                assert!(least > 1_000_000_000_000_000, "{row}");
            }
        }
    }
}

/// R098: what cannot be accounted for is refused.
#[test]
fn inputs_out_of_their_limits_are_refused() {
    let release = Release { sampling: EVERYBODY, noise: 1_000 };
    let delta = Delta(10_000_000);
    let refused = |release: Release, rounds, delta| release.loss(rounds, delta).unwrap_err();
    for sampling in [0, EVERYBODY + 1, u32::MAX] {
        let release = Release { sampling, ..release };
        assert_eq!(refused(release, 1, delta), AccountantError::Sampling);
        assert_eq!(release.rounds_within(Epsilon(1), delta), Err(AccountantError::Sampling));
    }
    for noise in [0, NOISE_MIN - 1, NOISE_MAX + 1, u32::MAX] {
        assert_eq!(refused(Release { noise, ..release }, 1, delta), AccountantError::Noise);
    }
    for rounds in [0, ROUNDS_MAX + 1, u32::MAX] {
        assert_eq!(refused(release, rounds, delta), AccountantError::Rounds);
    }
    for delta in [Delta(0), Delta(DELTA_MAX.0 + 1), Delta(u64::MAX)] {
        assert_eq!(refused(release, 1, delta), AccountantError::Delta);
    }
    let loud = Release { noise: NOISE_MIN, ..release };
    assert_eq!(refused(loud, ROUNDS_MAX, delta), AccountantError::Loss);
    assert_eq!(loud.rounds_within(Epsilon(u64::MAX), delta), loud.rounds_within(LOSS_MAX, delta));
}

/// R098: a budget for nothing, and one for everything.
#[test]
fn rounds_end_where_the_budget_or_the_limit_does() {
    let delta = Delta(10_000_000);
    let release = Release { sampling: EVERYBODY, noise: 1_000 };
    assert_eq!(release.rounds_within(Epsilon::ZERO, delta), Ok(0));
    // Row (1, 1.0, 10) of the vector: 17.8565868.
    assert_eq!(release.rounds_within(Epsilon(17_856_587), delta), Ok(10));
    assert_eq!(release.rounds_within(Epsilon(17_856_586), delta), Ok(9));
    let quiet = Release { sampling: 1, noise: NOISE_MAX };
    assert_eq!(quiet.rounds_within(LOSS_MAX, delta), Ok(ROUNDS_MAX));
}

fn any_release() -> impl Strategy<Value = Release> {
    let sampling =
        prop_oneof![Just(EVERYBODY), 1..=EVERYBODY, 1..=1_000_000_u32, (EVERYBODY - 1_000)..=EVERYBODY];
    let noise = prop_oneof![500..5_000_u32, NOISE_MIN..=NOISE_MAX];
    (sampling, noise).prop_map(|(sampling, noise)| Release { sampling, noise })
}

fn any_delta() -> impl Strategy<Value = Delta> {
    (0..11_u32, 1..=10_u64).prop_map(|(power, times)| Delta(times * 10_u64.pow(power)))
}

/// The loss; what is beyond the limit is above all others.
fn loss(release: Release, rounds: u32, delta: Delta) -> Epsilon {
    match release.loss(rounds, delta) {
        Err(AccountantError::Loss) => Epsilon(u64::MAX),
        loss => loss.unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// R098: more rounds, more subjects in each, less noise and less delta never cost less.
    #[test]
    fn losses_are_in_order(
        release in any_release(),
        rounds in prop_oneof![1..100_u32, 1..=ROUNDS_MAX],
        delta in any_delta(),
        more in 1..1_000_000_u32,
    ) {
        let base = loss(release, rounds, delta);
        prop_assert!(loss(release, (rounds + more).min(ROUNDS_MAX), delta) >= base);
        let often = Release { sampling: release.sampling.saturating_add(more * 100).min(EVERYBODY), ..release };
        prop_assert!(loss(often, rounds, delta) >= base);
        let noisy = Release { noise: (release.noise + more).min(NOISE_MAX), ..release };
        prop_assert!(loss(noisy, rounds, delta) <= base);
        let delta = Delta((delta.0 + u64::from(more) * 1_000).min(DELTA_MAX.0));
        prop_assert!(loss(release, rounds, delta) <= base);
    }

    /// R098: the number of rounds quoted is the last that the budget pays for.
    #[test]
    fn the_rounds_quoted_fit_and_one_more_does_not(
        release in any_release(),
        delta in any_delta(),
        budget in prop_oneof![1..20_000_000_u64, 1..=LOSS_MAX.0],
    ) {
        let rounds = release.rounds_within(Epsilon(budget), delta).unwrap();
        if rounds > 0 {
            prop_assert!(loss(release, rounds, delta).0 <= budget);
        }
        if rounds < ROUNDS_MAX {
            prop_assert!(loss(release, rounds + 1, delta).0 > budget);
        }
    }
}
