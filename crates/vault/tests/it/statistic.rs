//! Statistics of a Vault: the same numbers, whether records lie in segments, beside them, or both.

use std::collections::BTreeMap;

use symphony_protocol::artifact::selection::{Qualification, Selection};
use symphony_protocol::artifact::statistic::{Measure, StatisticPlan, StatisticResult};
use symphony_protocol::artifact::{Outcome, Plan, Predicate, PrivacyClass, ResolvedOperand};
use symphony_types::epsilon::Epsilon;
use symphony_types::id::RuleName;
use symphony_types::time::OrderedMillis;

use crate::segments::{Scene, closing, segments, tea};
use crate::world::*;

/// One deviation of noise is far below one person.
const QUIET: Epsilon = Epsilon(1_000_000_000_000);

pub(crate) fn at(merchant: &str) -> Selection<Qualification> {
    Selection::record(vec![ResolvedOperand {
        rule: RuleName::new("commerce.merchant_is").unwrap(),
        attribute: attribute("commerce.merchant"),
        predicate: Predicate::TextEquals(merchant.into()),
    }])
}

pub(crate) fn plan(who: Selection<Qualification>, measure: Measure<ResolvedOperand>, minimum: u32) -> Plan {
    Plan::Statistic(StatisticPlan {
        who,
        measure,
        combined_privacy_class: PrivacyClass::Sensitive,
        minimum_result_cardinality: minimum,
        epsilon: QUIET,
        evaluated_at: OrderedMillis(1_000),
    })
}

pub(crate) fn spent() -> Measure<ResolvedOperand> {
    Measure::Sum { amount: attribute("commerce.amount"), over: vec![], clamp: 1_500 }
}

pub(crate) fn merchants() -> Measure<ResolvedOperand> {
    let groups = ["cafe luna", "kiosk", "tea house"].map(str::to_owned).into();
    Measure::Groups { attribute: attribute("commerce.merchant"), over: vec![], groups, groups_each: 1 }
}

/// With noise that shows.
pub(crate) fn noised() -> Plan {
    let Plan::Statistic(quiet) = plan(at("cafe luna"), spent(), 2) else { panic!("no statistic") };
    Plan::Statistic(StatisticPlan { epsilon: Epsilon(500_000), ..quiet })
}

/// Amounts without a merchant: only a sum reads these records.
pub(crate) fn tips(n: u32) -> String {
    format!(r#"{{"request_id":"tip-{n}","subject":"p{n}","commerce.amount":"2.50"}}"#)
}

/// What everybody but one spent, by the definition: coffee, teas by person, tips; nobody more than 15.00.
fn expected_sum() -> i64 {
    let mut spent: BTreeMap<u32, u64> = (0..10).map(|person| (person, 580)).collect();
    (0..18).for_each(|n| *spent.get_mut(&(n % 7)).unwrap() += u64::from(n) * 100 + 10);
    (0..4).for_each(|n| *spent.get_mut(&n).unwrap() += 250);
    spent.remove(&3);
    spent.values().map(|cents| *cents.min(&1_500) as i64).sum()
}

/// R057, R060, R067, R079, R088, R092: count, sum and histogram do not depend on where records lie; who has withdrawn is left out;
/// too few people tell nothing; and whatever was read is paid for alike.
#[tokio::test]
async fn a_statistic_is_the_same_over_segments_as_over_records() {
    let mut paid = Vec::new();
    for segment_rows in [u32::MAX, 4, 12, 32] {
        let mut scene = Scene::new(segment_rows);
        scene.world.populate(10).await;
        scene.more("more", 15, tea).await;
        scene.more("tips", 4, tips).await;
        scene.more("last", 3, |n| tea(15 + n)).await;
        scene.world.withdraw("p3").await;
        assert_eq!(segments(&scene.world).is_empty(), segment_rows == u32::MAX);
        let not = |who| Selection::Not(Box::new(who));
        // Of eighteen teas every third is at the tea house: those of 2, 5, 8, 11, 14 and 17, by person 2, 5, 1, 4, 0 and 3.
        let cases: [(Plan, Vec<i64>); 6] = [
            (plan(at("tea house"), Measure::People, 2), vec![5]),
            (plan(not(at("tea house")), Measure::People, 2), vec![4]),
            (plan(not(at("kiosk")), spent(), 2), vec![expected_sum()]),
            // Most are at the cafe, and whoever was once at each counts for the lesser name.
            (plan(Selection::Any(vec![at("cafe luna"), at("kiosk")]), merchants(), 2), vec![9, 0, 0]),
            (plan(Selection::All(vec![at("cafe luna"), not(at("tea house"))]), Measure::People, 5), vec![]),
            (plan(Selection::Any(vec![]), merchants(), 2), vec![]),
        ];
        for (name, (plan, cells)) in (1..).zip(cases) {
            scene.world.plan = plan;
            let receipt = scene.world.prepare(name, 1, 5_000).await;
            let order = scene.assigned(name, &receipt);
            let transcript = scene.computed(&order).await;
            let result: StatisticResult = scene.opened(&order, &transcript);
            let found: Vec<i64> = result.cells.iter().map(|(_, noised)| *noised).collect();
            assert_eq!(found, cells, "statistic {name} over segments of {segment_rows}");
            assert_eq!(result.outcome == Outcome::Suppressed, cells.is_empty(), "{name}");
        }
        scene.world.at(6_000);
        let closed = scene.world.vault().close_dividends(closing(&scene.world, 1, vec![task(1), task(3)]));
        let closed = closed.await.unwrap().body;
        assert_eq!(closed.payees, 9);
        paid.push((closed.root, closed.total));
    }
    paid.dedup();
    assert_eq!(paid.len(), 1, "{paid:?}");
}

/// R105, R196, D10: a later attempt reads what the first one read, though more has come and stands in segments, and finds the same
/// numbers with the same noise; nobody is charged again.
#[tokio::test]
async fn a_later_attempt_finds_the_same_numbers_with_the_same_noise() {
    let mut scene = Scene::new(4);
    scene.world.populate(10).await;
    scene.more("more", 15, tea).await;
    scene.world.plan = noised();
    let receipt = scene.world.prepare(1, 7, 5_000).await;
    let mut order = scene.assigned(1, &receipt).body;
    let first = scene.computed(&scene.world.master.endorsed(order.clone())).await;
    let charged = scene.world.budget("p1").await;
    for upload in 0..9 {
        scene.more(&format!("later-{upload}"), 6, |n| tea(15 + 6 * upload + n)).await;
        scene.world.vault().settle_segments();
    }
    order.attempt = 1;
    let order = scene.world.master.endorsed(order);
    let second = scene.computed(&order).await;
    let (before, after) = (&first.header.body, &second.header.body);
    assert_eq!((after.input_root, after.records), (before.input_root, before.records));
    assert_eq!((before.attempt, after.attempt), (0, 1));
    let results = [&first, &second].map(|transcript| scene.opened::<StatisticResult>(&order, transcript));
    assert_eq!(results[0].noise_scale, 3_000);
    assert_eq!(results[0], results[1]);
    assert_eq!(scene.world.budget("p1").await, charged);
}
