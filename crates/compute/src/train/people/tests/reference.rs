//! A plain reading of the documents, person by person and record by record, against which any records are held.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What the documents say of one person: its features as they are fed to a model, and its label.
type Row = (Vec<f64>, bool);

fn holds(operand: &ResolvedOperand, record: &Record) -> bool {
    let text = match operand.attribute.as_str() {
        "commerce.category" => record.3,
        "commerce.brand" => record.4,
        _ => None,
    };
    match &operand.predicate {
        Predicate::TextEquals(wanted) => text.is_some_and(|text| text.trim().eq_ignore_ascii_case(wanted)),
        Predicate::TextIn(wanted) => {
            text.is_some_and(|text| wanted.iter().any(|wanted| text.trim().eq_ignore_ascii_case(wanted)))
        }
        Predicate::AtLeast(least) => record.2.is_some_and(|cents| cents >= *least),
        Predicate::Within { least, most } => record.2.is_some_and(|cents| (*least..=*most).contains(&cents)),
        Predicate::Between { since, until } => record.1.is_some_and(|at| at >= since.0 && at <= until.0),
    }
}

fn all(operands: &[ResolvedOperand], record: &Record) -> bool {
    operands.iter().all(|operand| holds(operand, record))
}

fn value(feature: &Feature<ResolvedOperand>, own: &[&Record]) -> f64 {
    let since = NOW as i128 - i128::from(feature.days) * i128::from(DAY);
    let window: Vec<&&Record> =
        own.iter().filter(|record| record.1.is_some_and(|at| at <= NOW && i128::from(at) > since)).collect();
    let counting: Vec<&&Record> =
        window.iter().copied().filter(|record| all(&feature.filter, record)).collect();
    let cents = |records: &[&&Record]| -> Vec<f64> {
        records.iter().filter_map(|record| record.2).map(|cents| cents as f64 / 100.0).collect()
    };
    let spent: f64 = cents(&counting).iter().sum();
    let raw = match feature.family {
        Family::Recency => {
            let latest = counting.iter().filter_map(|record| record.1).max();
            latest.map_or(f64::from(feature.days), |at| (NOW - at) as f64 / 86_400_000.0)
        }
        Family::Frequency => counting.len() as f64,
        Family::Sum(_) => spent,
        Family::Mean(_) if cents(&counting).is_empty() => 0.0,
        Family::Mean(_) => spent / cents(&counting).len() as f64,
        Family::Share(_) => {
            let whole: f64 = cents(&window).iter().sum();
            if whole > 0.0 { spent / whole } else { 0.0 }
        }
        Family::Distinct(_) => {
            let brands: BTreeSet<String> = counting
                .iter()
                .filter_map(|record| record.4)
                .map(|brand| brand.trim().to_lowercase())
                .collect();
            brands.len() as f64
        }
    };
    let scale = &feature.scale;
    let raw = if scale.logarithm { (1.0 + raw).ln() } else { raw };
    let bound = f64::from(scale.bound) / 1e3;
    ((raw - scale.centre as f64 / 1e6) / (scale.spread as f64 / 1e6)).clamp(-bound, bound)
}

/// Trained on and held out, in order of tokens.
fn reference(plan: &TrainingPlan, handles: &[(u32, &str)], records: &[Record]) -> (Vec<Row>, Vec<Row>) {
    let mut people: Vec<([u8; 32], u32)> =
        handles.iter().map(|(who, handle)| (token(&KEY, handle), *who)).collect();
    people.sort_unstable();
    let (mut train, mut held) = (Vec::new(), Vec::new());
    for (token, who) in people {
        let own: Vec<&Record> = records.iter().filter(|record| record.0 == who).collect();
        let by_then = |record: &&&Record| record.1.is_some_and(|at| at <= NOW);
        if !own.iter().filter(by_then).any(|record| all(&plan.training.cohort, record)) {
            continue;
        }
        let row: Vec<f64> = plan.training.features.iter().map(|feature| value(feature, &own)).collect();
        let label = plan.training.label.as_ref().unwrap();
        let until = NOW + u64::from(label.days) * DAY;
        let labelled = own.iter().any(|record| {
            record.1.is_some_and(|at| at > NOW && at <= until) && all(&label.condition, record)
        });
        let first = token[..8].iter().fold(0_u128, |sum, byte| sum * 256 + u128::from(*byte));
        let side = if first % 1_000 < u128::from(plan.training.held_out) { &mut held } else { &mut train };
        side.push((row, labelled));
    }
    (train, held)
}

fn same(made: &Features, expected: &[Row]) -> Result<(), TestCaseError> {
    prop_assert_eq!(made.rows(), expected.len());
    for (at, (row, label)) in expected.iter().enumerate() {
        prop_assert_eq!(made.labels().unwrap()[at], *label);
        for (made, expected) in made.row(at).iter().zip(row) {
            let apart = (f64::from(*made) - expected).abs();
            prop_assert!(apart <= 1e-5 * (1.0 + expected.abs()), "{} and {}", made, expected);
        }
    }
    Ok(())
}

fn texts(of: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
    proptest::option::weighted(0.8, proptest::sample::select(of))
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let near = prop_oneof![
        4 => NOW - 40 * DAY..NOW + 15 * DAY,
        1 => prop_oneof![Just(NOW), Just(NOW + 1), Just(NOW - 30 * DAY), Just(NOW + 10 * DAY), Just(0), Just(u64::MAX)],
    ];
    let record = (
        0_u32..8,
        proptest::option::weighted(0.9, near),
        proptest::option::weighted(0.8, 0_u64..100_000),
        texts(&["food", "Toys", "toys ", "music"]),
        texts(&["acme", "ACME", "best", " core"]),
    );
    proptest::collection::vec(record, 0..60)
}

fn filters() -> impl Strategy<Value = Vec<ResolvedOperand>> {
    let one = prop_oneof![
        Just(operand(category(), Predicate::TextEquals("toys".into()))),
        Just(operand(brand(), Predicate::TextIn(vec!["acme".into(), "core".into()]))),
        Just(operand(amount(), Predicate::AtLeast(20_000))),
        Just(operand(
            at(),
            Predicate::Between { since: RecordMillis(NOW - 9 * DAY), until: RecordMillis(NOW) }
        )),
    ];
    proptest::collection::vec(one, 0..3)
}

fn features() -> impl Strategy<Value = Vec<Feature<ResolvedOperand>>> {
    let family = prop_oneof![
        Just(Family::Recency),
        Just(Family::Frequency),
        Just(Family::Sum(amount())),
        Just(Family::Mean(amount())),
        Just(Family::Share(amount())),
        Just(Family::Distinct(brand())),
    ];
    let scale = (any::<bool>(), -5_000_000_i64..5_000_000, 500_000_u64..90_000_000, 500_u32..20_000);
    let one = (family, filters(), 1_u32..50, scale).prop_map(|(family, filter, days, scale)| {
        let (logarithm, centre, spread, bound) = scale;
        Feature { family, filter, days, scale: Scale { logarithm, centre, spread, bound } }
    });
    proptest::collection::vec(one, 1..5)
}

const HANDLES: [(u32, &str); 6] = [(3, "a@x"), (1, "b@x"), (4, "c@x"), (0, "d@x"), (5, "e@x"), (2, "f@x")];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// R098: for any records and any plan; and the same bytes in any order and any cut into batches.
    #[test]
    fn people_are_what_the_documents_say(
        mut records in records(),
        features in features(),
        cohort in filters(),
        condition in filters(),
        held_out in 0_u32..700,
        cut in 1_usize..9,
    ) {
        let mut plan = plan(features);
        plan.training.cohort = cohort;
        plan.training.label = Some(Label { condition, days: 10 });
        plan.training.held_out = held_out;
        let people = read(&plan, &HANDLES, &records);
        let (train, held) = reference(&plan, &HANDLES, &records);
        same(trained(&people), &train)?;
        same(judged(&people), &held)?;
        let turn = cut.min(records.len());
        records.rotate_left(turn);
        records.reverse();
        let again = material(&HANDLES, &records).cut(cut);
        let again = People::read(&plan, &again, &KEY).unwrap();
        for (one, other) in [(trained(&people), trained(&again)), (judged(&people), judged(&again))] {
            prop_assert_eq!(rows(one), rows(other));
            prop_assert_eq!(one.labels().unwrap(), other.labels().unwrap());
        }
    }
}
