//! Questions against a plain evaluation, by both ways, and their limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use symphony_protocol::artifact::selection::Selection as Resolved;
use symphony_protocol::artifact::{Predicate, PrivacyClass, ResolvedOperand, ResolvedQuery, SelectionRule};
use symphony_protocol::governance::semantics::{ValueType, normalise};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::RuleName;
use symphony_types::time::{OrderedMillis, RecordMillis};
use tokio::runtime::Runtime;

use super::*;
use crate::limits::NODES_MAX;
use crate::merge::merge;
use crate::segment::KeySource;
use crate::tests::fixture::{
    AMOUNT, CATEGORY, CITY, Fixture, Record, SEEN, SMALL, TIME, audience, conditions, early, measured,
    measures, name, numbered, people, permitted, records, satisfies, schema, selections, vault,
};

const WAYS: &[Way] = &[
    Way::Scan,
    #[cfg(feature = "plans")]
    Way::Plan,
];

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

fn limits() -> QueryLimits {
    QueryLimits { cores: 3, ..QueryLimits::default() }
}

/// An engine over the records in three segments, and their snapshot.
async fn engine(records: &[Record], limits: QueryLimits) -> (Engine, Snapshot) {
    let mut fixture = Fixture::new();
    for part in records.chunks(records.len().div_ceil(3).max(1)) {
        fixture.append(part, SMALL).await;
    }
    let snapshot = fixture.catalogue.snapshot(fixture.catalogue.version()).expect("it is kept");
    (Engine::new(fixture.segments.clone(), limits), snapshot)
}

fn pairs(audience: &Audience, timed: bool) -> Vec<(u32, u64)> {
    let latest = |index: usize| if timed { audience.latest[index] } else { 0 };
    audience.people.bitmap().iter().enumerate().map(|(index, person)| (person, latest(index))).collect()
}

fn operands() -> impl Strategy<Value = Vec<ResolvedOperand>> {
    let texts = prop::collection::vec(prop::sample::select(&["coffee", "Tea", " milk shake"][..]), 0..3);
    let predicate = prop_oneof![
        prop::sample::select(&["COFFEE", "tea", ""][..])
            .prop_map(|text| (CATEGORY, Predicate::TextEquals(text.into()))),
        texts.prop_map(|texts| (CATEGORY, Predicate::TextIn(texts.into_iter().map(str::to_owned).collect()))),
        prop::sample::select(&["bonn", "Köln"][..])
            .prop_map(|text| (CITY, Predicate::TextEquals(text.into()))),
        (prop::sample::select(&[TIME, SEEN][..]), 0..100_u64, 0..100_u64).prop_map(
            |(attribute, since, days)| {
                (
                    attribute,
                    Predicate::Between { since: RecordMillis(since), until: RecordMillis(since + days) },
                )
            }
        ),
        (0..40_u64).prop_map(|bound| (AMOUNT, Predicate::AtLeast(bound))),
    ];
    let operand = predicate.prop_map(|(attribute, predicate)| {
        let rule = RuleName::new("commerce.rule").expect("the name is valid");
        ResolvedOperand { rule, attribute: name(attribute), predicate }
    });
    prop::collection::vec(operand, 1..5)
}

fn resolved(operands: Vec<ResolvedOperand>) -> ResolvedQuery {
    ResolvedQuery {
        who: Resolved::record(operands),
        output: name("identity.email"),
        combined_privacy_class: PrivacyClass::Sensitive,
        minimum_result_cardinality: 1,
        cap: 100,
        selection: SelectionRule::Random,
        evaluated_at: OrderedMillis(100),
    }
}

/// A resolved query by its own words: one record satisfies all operands.
fn by_record(records: &[Record], permitted: &BTreeSet<u32>, query: &ResolvedQuery) -> Vec<(u32, u64)> {
    let number = |record: &Record, operand: &ResolvedOperand| match operand.attribute.as_str() {
        AMOUNT => record.amount,
        TIME => record.time,
        _ => record.seen,
    };
    let text = |record: &Record, operand: &ResolvedOperand| match operand.attribute.as_str() {
        CATEGORY => record.category.clone(),
        _ => record.city.clone(),
    };
    let holds = |record: &Record, operand: &ResolvedOperand| match &operand.predicate {
        Predicate::TextEquals(wanted) => {
            text(record, operand).is_some_and(|text| normalise(&text) == normalise(wanted))
        }
        Predicate::TextIn(wanted) => text(record, operand)
            .is_some_and(|text| wanted.iter().any(|wanted| normalise(wanted) == normalise(&text))),
        Predicate::Between { since, until } => {
            number(record, operand).is_some_and(|time| (since.0..=until.0).contains(&time))
        }
        Predicate::AtLeast(bound) => number(record, operand).is_some_and(|value| value >= *bound),
        Predicate::Within { least, most } => {
            number(record, operand).is_some_and(|value| (*least..=*most).contains(&value))
        }
    };
    let operands = query.who.one_record().unwrap();
    let window = operands.iter().find(|operand| matches!(operand.predicate, Predicate::Between { .. }));
    let mut found = BTreeMap::new();
    for record in records.iter().filter(|record| permitted.contains(&record.person)) {
        if operands.iter().all(|operand| holds(record, operand)) {
            let time = window.and_then(|operand| number(record, operand)).unwrap_or(0);
            let latest = found.entry(record.person).or_insert(0);
            *latest = time.max(*latest);
        }
    }
    found.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// R087: what a resolved query means is the same in columns, by hand and by plan, as record by record.
    #[test]
    fn a_resolved_query_selects_as_record_by_record(
        records in records(80), permitted in permitted(), operands in operands(),
    ) {
        let query = resolved(operands);
        let expected = by_record(&records, &permitted, &query);
        runtime().block_on(async {
            let (engine, snapshot) = engine(&records, limits()).await;
            for way in WAYS.iter().copied() {
                let composition = Composition::one_record(query.who.one_record().unwrap(), query.who.window());
                let found = engine.audience(&snapshot, &people(&permitted), &composition, way).await.expect("it is answered");
                prop_assert_eq!(pairs(&found, composition.latest.is_some()), expected.clone(), "{:?}", way);
            }
            Ok(())
        })?;
    }

    /// R092: compositions over several records of a person select as the plain evaluation does, by hand and by plan.
    #[test]
    fn a_composition_selects_as_the_plain_evaluation(
        records in records(80), permitted in permitted(), who in selections(), latest in prop::option::of(prop::sample::select(&[TIME, SEEN][..])),
    ) {
        let composition = Composition { who, latest: latest.map(name) };
        let expected = audience(&records, &permitted, &composition);
        runtime().block_on(async {
            let (engine, snapshot) = engine(&records, limits()).await;
            for way in WAYS.iter().copied() {
                let found = engine.audience(&snapshot, &people(&permitted), &composition, way).await.expect("it is answered");
                prop_assert_eq!(pairs(&found, composition.latest.is_some()), expected.clone(), "{:?}", way);
                let count = engine.count(&snapshot, &people(&permitted), &composition.who, way).await.expect("it is answered");
                prop_assert_eq!(count, expected.len() as u64);
            }
            Ok(())
        })?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// R045, R054: segments that were written before there were some attributes answer as records without them, beside later ones and merged
    /// with them.
    #[test]
    fn a_segment_older_than_an_attribute_has_nothing_in_it(
        records in records(80), cut in 0..80_usize, permitted in permitted(), who in selections(),
        latest in prop::option::of(prop::sample::select(&[TIME, SEEN][..])),
    ) {
        let mut records = records;
        let cut = cut.min(records.len());
        for old in &mut records[..cut] {
            (old.category, old.seen) = (None, None);
        }
        let composition = Composition { who, latest: latest.map(name) };
        let expected = audience(&records, &permitted, &composition);
        runtime().block_on(async {
            let mut fixture = Fixture::under(early());
            let old = fixture.append(&records[..cut], SMALL).await;
            let grown = early().grown(1, schema().attributes().clone()).expect("it grows");
            fixture.segments.grow(grown);
            let new = fixture.append(&records[cut..], SMALL).await;
            prop_assert_eq!((old.schema_version, new.schema_version), (0, 1));
            let beside = fixture.catalogue.snapshot(fixture.catalogue.version()).expect("it is kept");
            let (mut writer, _) = fixture.begin(SMALL).await;
            let sources = [old, new].map(Arc::new);
            merge(&fixture.segments, &sources, &People::new(), &mut writer, || true).await.expect("they are merged");
            let merged = writer.finish(Digest::ZERO).await.expect("it ends");
            fixture.segments.check(&merged).await.expect("it is whole");
            fixture.segments.check(&sources[0]).await.expect("it is whole");
            let merged = Snapshot { segments: vec![Arc::new(merged)], ..beside.clone() };
            let engine = Engine::new(fixture.segments.clone(), limits());
            for (snapshot, way) in [beside, merged].iter().flat_map(|one| WAYS.iter().map(move |way| (one, *way))) {
                let found = engine.audience(snapshot, &people(&permitted), &composition, way).await.expect("it is answered");
                prop_assert_eq!(pairs(&found, composition.latest.is_some()), expected.clone(), "{:?}", way);
            }
            Ok(())
        })?;
    }
}

/// R045: a schema only grows, and a segment of one that did not grow to it is not opened.
#[test]
fn a_schema_only_grows() {
    let all = schema().attributes().clone();
    let grown = early().grown(1, all.clone()).expect("it grows");
    assert_eq!((grown.attributes(), grown.time()), (schema().attributes(), schema().time()));
    let mut fewer = all.clone();
    fewer.remove(&name(CITY));
    assert!(matches!(schema().grown(2, fewer), Err(SegmentError::Schema(_))));
    let mut other = all;
    other.insert(name(CITY), ValueType::Cents);
    assert!(matches!(schema().grown(2, other), Err(SegmentError::Schema(_))));
    runtime().block_on(async {
        let fixture = Fixture::new();
        let entry = fixture.write(&plenty()[..40], SMALL).await;
        let keys: Arc<dyn KeySource> = fixture.keys.clone();
        let behind = Segments::new(vault(), fixture.store.clone(), keys, early());
        assert!(matches!(behind.open(&entry).await, Err(SegmentError::Schema(_))));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Sums, rankings and histograms are those of the plain evaluation, and nobody counts for more than the bound.
    #[test]
    fn sums_rankings_and_histograms_are_bounded_by_person(
        records in records(80), permitted in permitted(), who in selections(), over in conditions(), measure in measures(),
        clamp in 0..100_u64, count in 0..6_u32, groups_each in 0..3_u32,
    ) {
        let chosen: BTreeSet<u32> =
            audience(&records, &permitted, &Composition { who: who.clone(), latest: None }).into_iter().map(|(person, _)| person).collect();
        let of = |person: u32| records.iter().filter(|record| record.person == person).collect::<Vec<_>>();
        let values: Vec<(u32, u64)> = chosen.iter().map(|person| (*person, measured(&of(*person), &over, &measure))).collect();
        let sum: u128 = values.iter().map(|(_, value)| u128::from(*value.min(&clamp))).sum();
        let mut ranked = values;
        ranked.sort_by_key(|(person, value)| (std::cmp::Reverse(*value), *person));
        ranked.truncate(count as usize);
        let groups: BTreeSet<String> = ["coffee", "tea", "cocoa"].map(str::to_owned).into();
        let mut counts: BTreeMap<String, u64> = groups.iter().map(|group| (group.clone(), 0)).collect();
        for person in &chosen {
            let mut by_group = BTreeMap::<String, u64>::new();
            for record in of(*person).into_iter().filter(|record| satisfies(record, &over)) {
                let group = record.category.as_ref().map(|text| normalise(text)).filter(|group| groups.contains(group));
                group.into_iter().for_each(|group| *by_group.entry(group).or_default() += 1);
            }
            let mut order: Vec<_> = by_group.into_iter().collect();
            order.sort_by_key(|(group, records)| (std::cmp::Reverse(*records), group.clone()));
            for (group, _) in order.into_iter().take(groups_each as usize) {
                *counts.get_mut(&group).expect("it is one of them") += 1;
            }
        }
        runtime().block_on(async {
            let (engine, snapshot) = engine(&records, limits()).await;
            let permitted = people(&permitted);
            for way in WAYS.iter().copied() {
                let asked = ClampedSum { who: who.clone(), over: over.clone(), measure: measure.clone(), clamp };
                prop_assert_eq!(engine.sum(&snapshot, &permitted, &asked, way).await.expect("it is answered"), sum);
                let asked = Top { who: who.clone(), over: over.clone(), measure: measure.clone(), count };
                prop_assert_eq!(engine.top(&snapshot, &permitted, &asked, way).await.expect("it is answered"), ranked.clone());
                let asked = Histogram { who: who.clone(), over: over.clone(), group: name(CATEGORY), groups: groups.clone(), groups_each };
                prop_assert_eq!(engine.histogram(&snapshot, &permitted, &asked, way).await.expect("it is answered"), counts.clone());
            }
            Ok(())
        })?;
    }
}

fn purchase(person: u32, category: &str, time: u64, amount: u64) -> Record {
    Record {
        person,
        sequence: 0,
        amount: Some(amount),
        category: Some(category.into()),
        time: Some(time),
        seen: None,
        city: None,
    }
}

fn plenty() -> Vec<Record> {
    numbered((0..4_000).map(|index| purchase(index % 500, "coffee", u64::from(index), 100)).collect())
}

fn everybody() -> Composition {
    Composition { who: Selection::records(Condition::every(), 2), latest: Some(name(TIME)) }
}

#[test]
fn three_purchases_and_a_sum_in_the_window_join_on_the_person() {
    let window = Condition::between(&name(TIME), 10, 20);
    let who = Selection::All(vec![
        Selection::records(window.clone(), 3),
        Selection::sum(window, &name(AMOUNT), 50),
    ]);
    let rows = numbered(vec![
        purchase(1, "a", 10, 20),
        purchase(1, "b", 15, 20),
        purchase(1, "a", 20, 10),
        purchase(2, "a", 10, 20),
        purchase(2, "b", 15, 20),
        purchase(2, "a", 21, 10),
        purchase(3, "a", 11, 10),
        purchase(3, "b", 12, 20),
        purchase(3, "a", 13, 19),
    ]);
    runtime().block_on(async {
        let (engine, snapshot) = engine(&rows, limits()).await;
        for way in WAYS.iter().copied() {
            let found = engine
                .audience(
                    &snapshot,
                    &[1, 2, 3].into_iter().collect(),
                    &Composition { who: who.clone(), latest: Some(name(TIME)) },
                    way,
                )
                .await;
            assert_eq!(pairs(&found.expect("it is answered"), true), [(1, 20)]);
        }
    });
}

/// R080: erased people are hidden in every version at once, and a replay is told how many rows it lacks.
#[test]
fn a_replay_reads_the_same_rows_and_reports_the_erased() {
    runtime().block_on(async {
        let mut fixture = Fixture::new();
        let first = numbered(vec![purchase(1, "a", 1, 1), purchase(2, "a", 2, 1), purchase(2, "a", 3, 1)]);
        fixture.append(&first, SMALL).await;
        let then = fixture.catalogue.version();
        fixture.append(&[purchase(3, "a", 4, 1)], SMALL).await;
        fixture.catalogue.erase([2].into_iter().collect()).expect("there is room");
        let engine = Engine::new(fixture.segments.clone(), limits());
        let replayed = fixture.catalogue.snapshot(then).expect("it is kept");
        let present = fixture.catalogue.snapshot(fixture.catalogue.version()).expect("it is kept");
        let permitted: People = [1, 2, 3].into_iter().collect();
        let who = Composition { who: Selection::record(Condition::every()), latest: None };
        for way in WAYS.iter().copied() {
            let then = engine.audience(&replayed, &permitted, &who, way).await.expect("it is answered");
            assert_eq!(then.people, [1].into_iter().collect());
            let now = engine.audience(&present, &permitted, &who, way).await.expect("it is answered");
            assert_eq!(now.people, [1, 3].into_iter().collect());
        }
        assert_eq!(engine.erased_rows(&replayed).await.expect("it is counted"), 2);
        assert_eq!(engine.erased_rows(&present).await.expect("it is counted"), 0);
    });
}

#[test]
fn each_limit_stops_a_query_with_its_own_refusal() {
    runtime().block_on(async {
        for way in WAYS.iter().copied() {
            let rows = plenty();
            let permitted: People = (0..500).collect();
            let (small, snapshot) = engine(&rows, QueryLimits { memory_bytes: 4 << 10, ..limits() }).await;
            let refused = small
                .audience(&snapshot, &permitted, &everybody(), way)
                .await
                .expect_err("there is no memory");
            assert_eq!(refused.code(), Code::BodyTooLarge, "{refused}");
            #[cfg(feature = "plans")]
            if way == Way::Plan {
                // The arrays fit, what the plan groups does not.
                let (tight, snapshot) =
                    engine(&rows, QueryLimits { memory_bytes: 40 << 10, ..limits() }).await;
                let refused = tight.audience(&snapshot, &permitted, &everybody(), way).await;
                assert_eq!(refused.expect_err("there is no memory").code(), Code::BodyTooLarge);
            }
            let (late, snapshot) = engine(&rows, QueryLimits { deadline: Duration::ZERO, ..limits() }).await;
            let refused =
                late.audience(&snapshot, &permitted, &everybody(), way).await.expect_err("there is no time");
            assert_eq!(refused.code(), Code::StageTimeout, "{refused}");
            let (crowded, snapshot) =
                engine(&rows, QueryLimits { concurrent: 1, waiting: 1, ..limits() }).await;
            let asked = everybody();
            let ask = || crowded.audience(&snapshot, &permitted, &asked, way);
            let (one, two, three) = tokio::join!(ask(), ask(), ask());
            assert!(one.is_ok() && two.is_ok());
            assert_eq!(three.expect_err("two are before it").code(), Code::RateLimited);
        }
    });
}

#[test]
fn a_composition_with_too_many_parts_or_misfit_attributes_is_refused() {
    let deep = (0..40).fold(Condition::every(), |inner, _| Condition::Not(Box::new(inner)));
    let wide = Condition::All(vec![Condition::every(); NODES_MAX]);
    let strange = Condition::Present(name("commerce.unknown"));
    let mistyped = Condition::at_least(&name(CATEGORY), 1);
    let texts = Condition::text(&name(CATEGORY), (0..1_000).map(|index| index.to_string()));
    runtime().block_on(async {
        let (engine, snapshot) = engine(&[], limits()).await;
        for over in [deep, wide, strange, mistyped, texts] {
            let asked = Composition { who: Selection::record(over), latest: None };
            let refused = engine
                .audience(&snapshot, &People::new(), &asked, Way::Scan)
                .await
                .expect_err("it is refused");
            assert_eq!(refused.code(), Code::Malformed);
        }
    });
}
