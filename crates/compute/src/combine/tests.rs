//! Combination against its definition: union, cap, selection, minimum and noise over random slices (R088-R091, R112).

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use symphony_protocol::artifact::PrivacyClass;
use symphony_protocol::artifact::selection::Selection;
use symphony_types::id::{AttributeName, VaultId};
use symphony_types::time::OrderedMillis;

use super::*;
use crate::slice::token;

const EPSILON: Epsilon = Epsilon(1_000_000);

fn query(minimum: u32, cap: u32, selection: SelectionRule) -> ResolvedQuery {
    ResolvedQuery {
        who: Selection::record(vec![]),
        output: AttributeName::new("identity.contact").unwrap(),
        combined_privacy_class: PrivacyClass::Identifying,
        minimum_result_cardinality: minimum,
        cap,
        selection,
        evaluated_at: OrderedMillis(0),
    }
}

/// A slice with these people and their ranks.
fn slice(vault: usize, people: &BTreeMap<u16, u64>) -> SliceSignals {
    let mut signals: Vec<Signal> = people
        .iter()
        .map(|(person, rank)| {
            let handle = format!("p{person:05}@example.org");
            Signal { token: token(&[1; 32], &handle), handle, rank: *rank }
        })
        .collect();
    signals.sort();
    let vault = VaultId::new(&format!("vault-{vault}")).unwrap();
    SliceSignals { task: task(), vault, suppressed: false, signals }
}

fn slices(vaults: &[BTreeMap<u16, u64>]) -> Vec<SliceSignals> {
    vaults.iter().enumerate().map(|(vault, people)| slice(vault, people)).collect()
}

fn task() -> TaskId {
    TaskId(Digest::ZERO)
}

fn seed(number: u64) -> Digest {
    Digest::of_bytes(&number.to_le_bytes())
}

fn any_vaults() -> impl Strategy<Value = Vec<BTreeMap<u16, u64>>> {
    proptest::collection::vec(proptest::collection::btree_map(0_u16..60, 0_u64..9, 0..40), 0..5)
}

fn any_rule() -> impl Strategy<Value = SelectionRule> {
    prop_oneof![
        Just(SelectionRule::Random),
        Just(SelectionRule::RecencyWeighted),
        Just(SelectionRule::Largest(0))
    ]
}

proptest! {
    /// R088, R089, R090, R091, R112
    #[test]
    fn the_result_is_a_replayable_function_of_the_union(
        vaults in any_vaults(),
        rule in any_rule(),
        minimum in 0_u32..20,
        cap in 0_u32..70,
        number: u64,
    ) {
        let query = query(minimum, cap, rule);
        let run = |slices| combine(task(), &query, slices, EPSILON, &seed(number));
        let result = run(slices(&vaults));
        let union: BTreeMap<u16, u64> = vaults.iter().flatten().fold(BTreeMap::new(), |mut union, (at, time)| {
            let known = union.entry(*at).or_insert(*time);
            *known = (*known).max(*time);
            union
        });
        // The same on replay, in any order of Vaults, with a Vault twice, and as one Vault with everybody.
        prop_assert_eq!(&result, &run(slices(&vaults)));
        prop_assert_eq!(&result, &run(slices(&vaults).into_iter().rev().collect()));
        prop_assert_eq!(&result, &run([slices(&vaults), slices(&vaults)].concat()));
        prop_assert_eq!(&result, &run(vec![slice(0, &union)]));

        let expected = union.len().min(cap as usize);
        match result.outcome {
            Outcome::Suppressed => {
                prop_assert!(expected < minimum as usize);
                prop_assert!(result.handles.is_empty() && result.eligible_noised.is_none());
            }
            Outcome::Audience { returned } => {
                prop_assert_eq!(returned as usize, expected);
                prop_assert_eq!(result.handles.len(), expected);
                prop_assert!(returned <= cap && returned >= minimum);
                prop_assert!(result.handles.is_sorted_by(|one, two| one < two));
                let everybody: BTreeSet<String> = union.keys().map(|at| format!("p{at:05}@example.org")).collect();
                prop_assert!(result.handles.iter().all(|handle| everybody.contains(handle)));
                prop_assert!(result.eligible_noised.is_some());
            }
            Outcome::Step { .. } | Outcome::Model { .. } | Outcome::Withheld { .. } | Outcome::Computed { .. } => {
                prop_assert!(false, "a query has made a model");
            }
        }
    }

    /// R090: by the latest time and by what is measured alike.
    #[test]
    fn a_ranking_keeps_nobody_lower_than_whom_it_leaves_out(
        people in proptest::collection::btree_map(0_u16..60, 0_u64..9, 1..60),
        cap in 1_u32..60,
        rule in prop_oneof![Just(SelectionRule::RecencyWeighted), Just(SelectionRule::Largest(2))],
    ) {
        let query = query(0, cap, rule);
        let result = combine(task(), &query, vec![slice(0, &people)], EPSILON, &seed(1));
        let rank = |handle: &str| people[&handle[1..6].parse::<u16>().unwrap()];
        let lowest_in = result.handles.iter().map(|handle| rank(handle)).min().unwrap();
        let out = people.iter().filter(|(at, _)| !result.handles.contains(&format!("p{at:05}@example.org")));
        prop_assert!(out.map(|(_, rank)| *rank).all(|rank| rank <= lowest_in));
    }
}

/// R090
#[test]
fn a_random_choice_depends_on_the_seed_and_is_even() {
    let people: BTreeMap<u16, u64> = (0..50).map(|at| (at, 0)).collect();
    let query = query(0, 10, SelectionRule::Random);
    let mut chosen: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..1000 {
        let result = combine(task(), &query, vec![slice(0, &people)], EPSILON, &seed(number));
        for handle in result.handles {
            *chosen.entry(handle).or_default() += 1;
        }
    }
    // 10 of 50 in 1000 draws: 200 each, standard deviation 12.6.
    assert_eq!(chosen.len(), 50);
    assert!(chosen.values().all(|count| (130..270).contains(count)), "{chosen:?}");
}

/// R088
#[test]
fn a_suppressed_slice_adds_nobody() {
    let mut hidden = slice(1, &(0..5).map(|at| (at, 0)).collect());
    hidden.suppressed = true;
    let result = combine(task(), &query(1, 10, SelectionRule::Random), vec![hidden], EPSILON, &seed(0));
    assert_eq!(result.outcome, Outcome::Suppressed);
}

#[test]
fn noise_is_centred_and_of_the_scale_that_epsilon_says() {
    let draws = 4000;
    let noise: Vec<i64> =
        (0..draws).map(|number| noised(1000, Epsilon(500_000), &seed(number)).unwrap() - 1000).collect();
    let sum: i64 = noise.iter().sum();
    // Scale 2: standard deviation 2.8 a draw, 0.045 of the mean; mean of magnitudes about 1.92.
    assert!(sum.abs() < draws as i64 / 4, "{sum}");
    let magnitude: i64 = noise.iter().map(|draw| draw.abs()).sum();
    let mean_in_hundredths = magnitude * 100 / draws as i64;
    assert!((170..215).contains(&mean_in_hundredths), "{mean_in_hundredths}");
    assert!(noise.iter().any(|draw| *draw != 0));
}

#[test]
fn without_epsilon_there_is_no_count() {
    assert_eq!(noised(10, Epsilon::ZERO, &seed(0)), None);
    assert!(noised(10, Epsilon(u64::MAX), &seed(0)).is_some());
    assert!(noised(10, Epsilon(1), &seed(0)).is_some());
}
