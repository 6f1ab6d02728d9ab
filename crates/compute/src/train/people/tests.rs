//! Features by hand, one family after the other; then any records against a plain reading of the documents.

use std::collections::BTreeMap;

use symphony_protocol::artifact::training::{
    EVERYBODY, Environment, Family, Feature, Label, ModelKind, PrivacyTerms, Scale, Settings, Training,
    TrainingPlan,
};
use symphony_protocol::artifact::{Predicate, PrivacyClass, ResolvedOperand};
use symphony_protocol::governance::semantics::ValueType;
use symphony_protocol::vault::record::Value;
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, Commitment, RuleName};
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::{OrderedMillis, RecordMillis};

use super::*;
use crate::material::{self, MaterialBuilder};
use crate::slice::token;

mod reference;

/// The evaluation time: day 100.
const NOW: u64 = 100 * DAY;
const KEY: [u8; 32] = [9; 32];

/// A record: who, when, how much, which category, which brand.
type Record = (u32, Option<u64>, Option<u64>, Option<&'static str>, Option<&'static str>);

fn name(text: &str) -> AttributeName {
    AttributeName::new(text).unwrap()
}

fn at() -> AttributeName {
    name("commerce.purchase_date")
}

fn amount() -> AttributeName {
    name("commerce.amount")
}

fn category() -> AttributeName {
    name("commerce.category")
}

fn brand() -> AttributeName {
    name("commerce.brand")
}

fn operand(attribute: AttributeName, predicate: Predicate) -> ResolvedOperand {
    ResolvedOperand { rule: RuleName::new("any.rule").unwrap(), attribute, predicate }
}

fn is(attribute: AttributeName, text: &str) -> Vec<ResolvedOperand> {
    vec![operand(attribute, Predicate::TextEquals(text.into()))]
}

/// A feature as it is: no logarithm, no cut below a hundred thousand.
fn feature(family: Family, filter: Vec<ResolvedOperand>, days: u32) -> Feature<ResolvedOperand> {
    let scale = Scale { logarithm: false, centre: 0, spread: 1_000_000, bound: 100_000_000 };
    Feature { family, filter, days, scale }
}

/// A plan with these features; a label: something of "toys" within ten days; nobody is held out.
fn plan(features: Vec<Feature<ResolvedOperand>>) -> TrainingPlan {
    let training = Training {
        model: ModelKind::Logistic,
        time: at(),
        cohort: Vec::new(),
        features,
        label: Some(Label { condition: is(category(), "toys"), days: 10 }),
        settings: Settings::PLAIN,
        privacy: PrivacyTerms { noise: 1_000, sampling: EVERYBODY, evaluation_noise: 1_000, delta: 1 },
        rounds: 1,
        evaluate_every: 1,
        patience: 0,
        held_out: 0,
        accept_from: 0,
    };
    let combined_privacy_class = PrivacyClass::Sensitive;
    TrainingPlan {
        training,
        evaluated_at: OrderedMillis(NOW),
        combined_privacy_class,
        minimum_cohort: 1,
        environment: Environment::Tee,
    }
}

fn affinity(items: &[&str]) -> TrainingPlan {
    let mut plan = plan(Vec::new());
    plan.training.label = None;
    plan.training.model = ModelKind::Affinity {
        rank: 1,
        attribute: brand(),
        items: items.iter().map(|item| (*item).into()).collect(),
        days: 30,
        best: 1,
    };
    plan
}

fn material(handles: &[(u32, &str)], records: &[Record]) -> Material {
    let types = [
        (at(), ValueType::Time),
        (amount(), ValueType::Cents),
        (category(), ValueType::Text),
        (brand(), ValueType::Text),
    ];
    let mut builder = MaterialBuilder::new(&types.into()).unwrap();
    for (subject, handle) in handles {
        builder.person(SubjectIndex(*subject), handle).unwrap();
    }
    for (number, (who, time, cents, kind, make)) in records.iter().enumerate() {
        let mut values = BTreeMap::new();
        values.extend(time.map(|time| (at(), Value::Time(RecordMillis(time)))));
        values.extend(cents.map(|cents| (amount(), Value::Cents(cents))));
        values.extend(kind.map(|kind| (category(), Value::Text(kind.into()))));
        values.extend(make.map(|make| (brand(), Value::Text(make.into()))));
        let commitment = Commitment(Digest::of("test/record", &(number as u64)));
        builder.push(SubjectIndex(*who), &commitment, &values).unwrap();
    }
    material::read(builder.finish().unwrap().to_vec()).unwrap()
}

fn read(plan: &TrainingPlan, handles: &[(u32, &str)], records: &[Record]) -> People {
    People::read(plan, &material(handles, records), &KEY).unwrap()
}

fn rows(features: &Features) -> Vec<Vec<f32>> {
    (0..features.rows()).map(|row| features.row(row).to_vec()).collect()
}

fn trained(people: &People) -> &Features {
    match people.training() {
        Dataset::Features(features) => features,
        Dataset::Baskets(_) => panic!("lists"),
    }
}

fn judged(people: &People) -> &Features {
    match people.held_out() {
        HeldOut::Features(features) => features,
        HeldOut::Lists { .. } => panic!("lists"),
    }
}

fn lists(baskets: &Baskets) -> Vec<Vec<(u32, f32)>> {
    (0..baskets.rows()).map(|row| baskets.row(row).to_vec()).collect()
}

/// One person, one number.
fn number(feature: Feature<ResolvedOperand>, records: &[Record]) -> f32 {
    let people = read(&plan(vec![feature]), &[(0, "a@x")], records);
    assert_eq!(trained(&people).rows(), 1);
    trained(&people).row(0)[0]
}

const fn day(day: u64) -> Option<u64> {
    Some(day * DAY)
}

/// R098: what each family makes of five purchases, by hand.
#[test]
fn each_family_is_the_number_that_it_is_said_to_be() {
    let records: Vec<Record> = vec![
        (0, day(70), Some(9_900), Some("food"), Some("Acme")),
        (0, day(71), Some(1_000), Some("food"), Some("Acme")),
        (0, day(90), Some(250), Some("toys"), Some(" ACME ")),
        (0, day(95), Some(1_750), Some("Food"), Some("Best")),
        (0, day(98), Some(1_000), Some("toys"), Some("Core")),
    ];
    // The window of thirty days begins after day 70.
    let food = || is(category(), "food");
    let cases = [
        (Family::Recency, vec![], 2.0),
        (Family::Recency, food(), 5.0),
        (Family::Frequency, vec![], 4.0),
        (Family::Frequency, food(), 2.0),
        (Family::Sum(amount()), vec![], 40.0),
        (Family::Sum(amount()), food(), 27.5),
        (Family::Mean(amount()), vec![], 10.0),
        (Family::Mean(amount()), food(), 13.75),
        (Family::Share(amount()), vec![], 1.0),
        (Family::Share(amount()), food(), 0.6875),
        (Family::Distinct(brand()), vec![], 3.0),
        (Family::Distinct(brand()), food(), 2.0),
        (Family::Recency, is(category(), "music"), 30.0),
        (Family::Mean(amount()), is(category(), "music"), 0.0),
        (Family::Share(amount()), is(category(), "music"), 0.0),
        (Family::Frequency, vec![operand(amount(), Predicate::AtLeast(1_000))], 3.0),
    ];
    for (family, filter, expected) in cases {
        let made = number(feature(family.clone(), filter.clone(), 30), &records);
        assert_eq!(made, expected, "{family:?} {filter:?}");
    }
}

/// R098: a logarithm, a centre, a spread and a bound that the plan fixed.
#[test]
fn numbers_are_scaled_as_the_plan_says() {
    let records: Vec<Record> = vec![(0, day(99), Some(6_400), None, None); 1];
    let scaled = |logarithm, centre, spread, bound| {
        let scale = Scale { logarithm, centre, spread, bound };
        number(Feature { scale, ..feature(Family::Sum(amount()), vec![], 30) }, &records)
    };
    assert_eq!(scaled(false, 60_000_000, 8_000_000, 1_000), 0.5);
    assert_eq!(scaled(false, 60_000_000, 8_000_000, 250), 0.25);
    assert_eq!(scaled(false, 80_000_000, 8_000_000, 1_500), -1.5);
    assert_eq!(scaled(true, 0, 2_000_000, 9_000), (65_f64.ln() / 2.0) as f32);
}

/// R098: windows end with the evaluation time and begin after it; the first millisecond decides.
#[test]
fn windows_are_exact_to_the_millisecond() {
    let count = |time: u64| {
        let records: Vec<Record> = vec![(0, day(100), None, None, None), (0, Some(time), None, None, None)];
        number(feature(Family::Frequency, vec![], 30), &records)
    };
    assert_eq!((count(70 * DAY), count(70 * DAY + 1)), (1.0, 2.0));
    assert_eq!((count(100 * DAY), count(100 * DAY + 1)), (2.0, 1.0));
    let label = |time: u64| {
        let records: Vec<Record> =
            vec![(0, day(100), None, None, None), (0, Some(time), None, Some("toys"), None)];
        let people = read(&plan(vec![feature(Family::Recency, vec![], 30)]), &[(0, "a@x")], &records);
        trained(&people).labels().unwrap()[0]
    };
    assert_eq!([100 * DAY, 100 * DAY + 1, 110 * DAY, 110 * DAY + 1].map(label), [false, true, true, false]);
    let long = feature(Family::Frequency, vec![], 3_660);
    assert_eq!(number(long, &[(0, Some(0), None, None, None)]), 1.0);
}

/// R098: nothing after the evaluation time is seen by a feature, whatever it is.
#[test]
fn records_after_the_evaluation_time_change_no_feature() {
    let families = [
        Family::Recency,
        Family::Frequency,
        Family::Sum(amount()),
        Family::Mean(amount()),
        Family::Share(amount()),
        Family::Distinct(brand()),
    ];
    let features: Vec<_> = families
        .into_iter()
        .flat_map(|family| [vec![], is(category(), "toys")].map(|filter| feature(family.clone(), filter, 30)))
        .collect();
    let plan = plan(features);
    let mut records: Vec<Record> = vec![
        (0, day(80), Some(100), Some("toys"), Some("acme")),
        (1, day(99), Some(300), Some("food"), Some("best")),
    ];
    let handles = [(0, "a@x"), (1, "b@x")];
    let before = read(&plan, &handles, &records);
    records.push((0, Some(NOW + 1), Some(77_700), Some("toys"), Some("core")));
    records.push((1, day(500), Some(77_700), Some("food"), Some("core")));
    let after = read(&plan, &handles, &records);
    assert_eq!(rows(trained(&before)), rows(trained(&after)));
    assert_eq!(trained(&before).labels().unwrap(), [false, false]);
    assert_eq!(trained(&after).labels().unwrap().iter().filter(|label| **label).count(), 1);
}

/// R098: who has no record that the cohort asks for, not after the evaluation time, takes no part.
#[test]
fn the_cohort_is_who_has_such_a_record_by_then() {
    let records: Vec<Record> = vec![
        (0, day(10), None, Some("food"), None),
        (1, day(99), None, Some("toys"), None),
        (2, day(101), None, Some("food"), None),
        (3, None, None, Some("food"), None),
    ];
    let handles = [(0, "a@x"), (1, "b@x"), (2, "c@x"), (3, "d@x"), (4, "e@x")];
    let mut plan = plan(vec![feature(Family::Frequency, vec![], 30)]);
    let mut everybody = rows(trained(&read(&plan, &handles, &records)));
    everybody.sort_by(|one, other| one[0].total_cmp(&other[0]));
    assert_eq!(everybody, [[0.0], [1.0]]);
    plan.training.cohort = is(category(), "food");
    assert_eq!(rows(trained(&read(&plan, &handles, &records))), [[0.0]]);
}

/// R098, D18: people stand by token, each once, whatever their subjects; the token says who is held out.
#[test]
fn tokens_decide_the_order_and_who_is_held_out() {
    let names: Vec<String> = (0..400).map(|number| format!("person-{number}@x.org")).collect();
    let handles: Vec<(u32, &str)> =
        names.iter().enumerate().map(|(at, name)| (at as u32, name.as_str())).collect();
    // Everybody has spent another amount, by which it is known again.
    let records: Vec<Record> =
        (0..400).map(|at| (at, day(99), Some(u64::from(at) * 100), None, None)).collect();
    let mut plan = plan(vec![feature(Family::Sum(amount()), vec![], 30)]);
    plan.training.held_out = 200;
    let people = read(&plan, &handles, &records);
    let mut expected: Vec<([u8; 32], u32)> =
        names.iter().zip(0..).map(|(name, at)| (token(&KEY, name), at)).collect();
    expected.sort_unstable();
    let held = |token: &[u8; 32]| u64::from_be_bytes(token[..8].try_into().unwrap()) % 1_000 < 200;
    let side = |wanted: bool| -> Vec<Vec<f32>> {
        expected.iter().filter(|(token, _)| held(token) == wanted).map(|(_, at)| vec![*at as f32]).collect()
    };
    assert_eq!(rows(trained(&people)), side(false));
    assert_eq!(rows(judged(&people)), side(true));
    assert!((40..120).contains(&judged(&people).rows()));
    // Another Vault that numbers its people otherwise.
    let turned: Vec<(u32, &str)> = handles.iter().map(|(at, name)| (399 - at, *name)).collect();
    let moved: Vec<Record> =
        records.iter().rev().map(|record| (399 - record.0, record.1, record.2, None, None)).collect();
    assert_eq!(rows(trained(&read(&plan, &turned, &moved))), side(false));
}

/// D18: two entries with one contact are one person; rows of nobody are of nobody.
#[test]
fn one_contact_is_one_person() {
    let records: Vec<Record> =
        vec![(0, day(99), None, None, None), (7, day(98), None, None, None), (9, day(97), None, None, None)];
    let people = read(
        &plan(vec![feature(Family::Frequency, vec![], 30)]),
        &[(0, "A@x.org"), (7, " a@X.org")],
        &records,
    );
    assert_eq!(rows(trained(&people)), [[2.0]]);
}

/// R098: a record that lacks what is read of it does not count there, and counts elsewhere.
#[test]
fn what_is_missing_does_not_count() {
    let records: Vec<Record> = vec![
        (0, day(90), Some(500), None, None),
        (0, day(91), None, Some("food"), Some("acme")),
        (0, day(92), Some(1_500), Some("food"), None),
        (0, None, Some(9_900), Some("food"), Some("best")),
    ];
    let make =
        |family: Family, filter: &[ResolvedOperand]| number(feature(family, filter.to_vec(), 30), &records);
    let food = is(category(), "food");
    assert_eq!((make(Family::Frequency, &[]), make(Family::Frequency, &food)), (3.0, 2.0));
    assert_eq!((make(Family::Sum(amount()), &[]), make(Family::Sum(amount()), &food)), (20.0, 15.0));
    assert_eq!((make(Family::Mean(amount()), &[]), make(Family::Mean(amount()), &food)), (10.0, 15.0));
    assert_eq!(make(Family::Share(amount()), &food), 0.75);
    assert_eq!(make(Family::Distinct(brand()), &[]), 1.0);
}

/// R098: items of the plan, each once a person, within the days; half of who is held out is hidden from the model.
#[test]
fn lists_are_what_was_bought_of_the_items() {
    let mut plan = affinity(&["acme", "best", "core", "dune"]);
    let records: Vec<Record> = vec![
        (0, day(99), None, None, Some("core")),
        (0, day(98), None, None, Some(" ACME")),
        (0, day(97), None, None, Some("acme")),
        (0, day(70), None, None, Some("best")),
        (0, day(96), None, None, Some("unknown")),
        (0, day(95), None, None, None),
        (0, day(101), None, None, Some("dune")),
    ];
    let people = read(&plan, &[(0, "a@x")], &records);
    let Dataset::Baskets(all) = people.training() else { panic!("features") };
    assert_eq!(lists(all), [[(0, 1.0), (2, 1.0)]]);

    plan.training.held_out = 1_000;
    let mut records: Vec<Record> = Vec::new();
    for (who, brands) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
        let brands = ["acme", "best", "core", "dune"].into_iter().take(brands);
        records.extend(brands.map(|brand| (who, day(99), None, None, Some(brand))));
    }
    let handles = [(0, "a@x"), (1, "b@x"), (2, "c@x"), (3, "d@x")];
    let people = read(&plan, &handles, &records);
    assert_eq!(people.training().rows(), 0);
    let HeldOut::Lists { given, held } = people.held_out() else { panic!("features") };
    let mut halves: Vec<(usize, usize)> = Vec::new();
    for row in 0..given.rows() {
        let mut both = [given.row(row), held.row(row)].concat();
        both.sort_unstable_by_key(|(item, _)| *item);
        let whole: Vec<(u32, f32)> = (0..both.len() as u32).map(|item| (item, 1.0)).collect();
        assert_eq!(both, whole);
        halves.push((given.row(row).len(), held.row(row).len()));
    }
    halves.sort_unstable();
    assert_eq!(halves, [(1, 0), (1, 1), (2, 1), (2, 2)]);
}

/// Records without a column that the plan reads, and more numbers than fit, are refused.
#[test]
fn a_plan_that_does_not_fit_is_refused() {
    let other = |family| plan(vec![feature(family, vec![], 30)]);
    let empty = material(&[(0, "a@x")], &[(0, day(99), None, None, None)]);
    let refuse = |plan: &TrainingPlan| People::read(plan, &empty, &KEY).err().unwrap();
    assert!(matches!(refuse(&other(Family::Sum(name("commerce.other")))), TrainError::Records(_)));
    assert!(matches!(refuse(&other(Family::Sum(brand()))), TrainError::Records(_)));
    assert!(matches!(refuse(&other(Family::Distinct(amount()))), TrainError::Records(_)));
    let mut plan = other(Family::Recency);
    plan.training.time = category();
    assert!(matches!(refuse(&plan), TrainError::Records(_)));
    let names: Vec<String> = (0..20_000).map(|number| format!("{number}")).collect();
    let many: Vec<(u32, &str)> =
        names.iter().enumerate().map(|(at, name)| (at as u32, name.as_str())).collect();
    let wide = self::plan(vec![feature(Family::Recency, vec![], 30); 4_096]);
    let refused = People::read(&wide, &material(&many, &[]), &KEY).err();
    assert_eq!(refused, Some(TrainError::Size("people times features")));
}
