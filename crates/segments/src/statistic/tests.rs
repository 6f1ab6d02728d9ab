//! Statistics over segments, and over segments with records beside them, against the plain evaluation of crate `compute` over all of
//! them (R079, R087, R092).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use symphony_compute::material::{self, Material, MaterialBuilder};
use symphony_compute::statistic::{KNOWN, Notes};
use symphony_protocol::artifact::selection::{Qualification, Quantity, ResolvedMeasure, Selection as Who};
use symphony_protocol::artifact::statistic::StatisticPlan;
use symphony_protocol::artifact::{Predicate, PrivacyClass, ResolvedOperand};
use symphony_protocol::vault::record::Value;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AttributeName, Commitment, RuleName, TaskId};
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::{OrderedMillis, RecordMillis};

use super::*;
use crate::tests::fixture::{
    AMOUNT, CATEGORY, CITY, Fixture, Record, SEEN, SMALL, TIME, name, people, permitted, records, schema,
    vault,
};

fn operands(least: usize) -> impl Strategy<Value = Vec<ResolvedOperand>> {
    let times = (prop::sample::select(&[TIME, SEEN][..]), 0..100_u64, 0..100_u64);
    let predicate = prop_oneof![
        prop::sample::select(&["coffee", "tea", "milk shake", "none"][..])
            .prop_map(|text| (CATEGORY, Predicate::TextEquals(text.into()))),
        prop::sample::select(&["bonn", "köln"][..])
            .prop_map(|text| (CITY, Predicate::TextIn(vec![text.into()]))),
        times.prop_map(|(attribute, since, days)| {
            (attribute, Predicate::Between { since: RecordMillis(since), until: RecordMillis(since + days) })
        }),
        (0..40_u64).prop_map(|bound| (AMOUNT, Predicate::AtLeast(bound))),
        (0..40_u64, 0..20_u64)
            .prop_map(|(least, more)| (AMOUNT, Predicate::Within { least, most: least + more })),
    ];
    let operand = predicate.prop_map(|(attribute, predicate)| {
        let rule = RuleName::new("commerce.rule").expect("the name is valid");
        ResolvedOperand { rule, attribute: name(attribute), predicate }
    });
    prop::collection::vec(operand, least..3)
}

fn quantities() -> impl Strategy<Value = Vec<ResolvedMeasure>> {
    let rule = || RuleName::new("commerce.rule").expect("the name is valid");
    let measure = prop_oneof![
        (prop::sample::select(&[TIME, CITY, AMOUNT][..]), 1..5_u64).prop_map(|(attribute, least)| (
            attribute,
            Quantity::Records,
            least
        )),
        (1..90_u64).prop_map(|least| (AMOUNT, Quantity::Sum, least)),
    ];
    let measure = measure.prop_map(move |(attribute, quantity, at_least)| ResolvedMeasure {
        rule: rule(),
        attribute: name(attribute),
        quantity,
        at_least,
    });
    prop::collection::vec(measure, 0..3)
}

fn whom() -> impl Strategy<Value = Who<Qualification>> {
    let condition = (operands(0), quantities()).prop_filter("something is read", |(operands, measures)| {
        !(operands.is_empty() && measures.is_empty())
    });
    let condition =
        condition.prop_map(|(operands, measures)| Who::Record(Qualification { operands, measures }));
    condition.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Who::All),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Who::Any),
            inner.prop_map(|part| Who::Not(Box::new(part))),
        ]
    })
}

fn plans() -> impl Strategy<Value = StatisticPlan> {
    let measure = prop_oneof![
        Just(Measured::People),
        (operands(0), 1..90_u64).prop_map(|(over, clamp)| Measured::Sum {
            amount: name(AMOUNT),
            over,
            clamp
        }),
        (operands(0), 1..3_u32).prop_map(|(over, groups_each)| {
            let groups = ["coffee", "milk shake", "none", "tea"].map(str::to_owned).into();
            Measured::Groups { attribute: name(CATEGORY), over, groups, groups_each }
        }),
    ];
    (whom(), measure).prop_map(|(who, measure)| StatisticPlan {
        who,
        measure,
        combined_privacy_class: PrivacyClass::Sensitive,
        minimum_result_cardinality: 0,
        epsilon: Epsilon(1),
        evaluated_at: OrderedMillis(0),
    })
}

fn values(record: &Record) -> BTreeMap<AttributeName, Value> {
    let time = |at: Option<u64>| at.map(|at| Value::Time(RecordMillis(at)));
    let values = [
        (AMOUNT, record.amount.map(Value::Cents)),
        (CATEGORY, record.category.clone().map(Value::Text)),
        (TIME, time(record.time)),
        (SEEN, time(record.seen)),
        (CITY, record.city.clone().map(Value::Text)),
    ];
    values.into_iter().filter_map(|(attribute, value)| Some((name(attribute), value?))).collect()
}

/// What a Vault gathers of these people for a plan: records with one of its attributes.
fn gathered(inquiry: Inquiry<'_>, records: &[Record], permitted: &BTreeSet<u32>) -> Material {
    let read = inquiry.attributes();
    let mut builder = MaterialBuilder::new(schema().attributes()).expect("the columns are known");
    for record in records.iter().filter(|record| permitted.contains(&record.person)) {
        let values = values(record);
        if values.keys().any(|attribute| read.contains(attribute)) {
            let commitment = Commitment(Digest::ZERO);
            builder.push(SubjectIndex(record.person), &commitment, &values).expect("it fits");
        }
    }
    material::read(builder.finish().expect("it ends").to_vec()).expect("it reads")
}

/// People and cells, of what was noted.
fn answer(plan: &StatisticPlan, notes: Notes) -> (u64, Vec<i64>) {
    let sums = notes.sums(TaskId(Digest::ZERO), &vault(), plan, [0; 32]);
    (sums.people, sums.cells.clone())
}

/// What is found in the segments of these records, dealt out in so many portions.
async fn found(
    inquiry: Inquiry<'_>,
    records: &[Record],
    permitted: &BTreeSet<u32>,
    portions: usize,
) -> Vec<Found> {
    let mut fixture = Fixture::new();
    let mut opened = Vec::new();
    for part in records.chunks(records.len().div_ceil(3).max(1)) {
        let entry = fixture.append(part, SMALL).await;
        opened.push(fixture.segments.open(&entry).await.expect("it opens"));
    }
    let (files, permitted) = (fixture.segments.ranges(), people(permitted));
    let (who, measure, latest) = (inquiry.who.clone(), inquiry.measure.clone(), inquiry.latest.cloned());
    let bounds = Bounds { memory_bytes: 64 << 20, deadline: Instant::now() + Duration::from_secs(60) };
    let found = move || {
        let inquiry = Inquiry { who: &who, measure: &measure, latest: latest.as_ref() };
        let portions = opened.chunks(opened.len().div_ceil(portions).max(1));
        let found =
            portions.map(|opened| statistic(opened, &schema(), &permitted, inquiry, (&files, bounds)));
        found.collect::<Result<Vec<_>, _>>()
    };
    tokio::task::spawn_blocking(found).await.expect("it ends").expect("it is answered")
}

/// Notes what was found, in pieces as they pass between enclaves.
fn noted(notes: &mut Notes, found: &[Found], permitted: &BTreeSet<u32>) {
    for piece in found.iter().flat_map(|found| found.pieces(4)) {
        let piece: Found = bcs::from_bytes(&symphony_types::canonical::to_bytes(&piece)).expect("it reads");
        assert!(piece.is_of(&people(permitted)));
        note(notes, &piece);
    }
}

fn note(notes: &mut Notes, found: &Found) {
    for said in &found.people {
        let known = if said.known { KNOWN } else { 0 };
        notes.person(said.person, said.holding | known, said.amount);
        notes.rank(said.person, said.latest);
    }
    found.measured.iter().for_each(|(person, place, value)| notes.measure(*person, *place, *value));
    found.grouped.iter().for_each(|(person, group, records)| notes.group(*person, *group, *records));
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, ..ProptestConfig::default() })]

    /// R079, R087, R092: the same answer as over plain records, however many of them lie in segments, and however those are dealt
    /// out in portions.
    #[test]
    fn a_statistic_is_that_of_the_plain_evaluation(
        records in records(80), permitted in permitted(), plan in plans(), beside in 0..80_usize,
        portions in 1..4_usize,
    ) {
        let expected = answer(&plan, Notes::read(plan.inquiry(), &gathered(plan.inquiry(), &records, &permitted)).expect("it fits"));
        let (beside, segmented) = records.split_at(beside.min(records.len()));
        let mut notes = Notes::read(plan.inquiry(), &gathered(plan.inquiry(), beside, &permitted)).expect("it fits");
        noted(&mut notes, &block_on(found(plan.inquiry(), segmented, &permitted, portions)), &permitted);
        prop_assert_eq!(answer(&plan, notes), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// R079, R087, R090, R092: the same people, as lately or with as much, as over plain records, however segments are dealt out.
    #[test]
    fn a_selected_audience_is_that_of_the_plain_evaluation(
        records in records(80), permitted in permitted(), who in whom(), beside in 0..80_usize,
        portions in 1..4_usize, ranked in proptest::option::of(0..3_u32),
    ) {
        let ranked = ranked.filter(|place| who.ranks(*place));
        let latest = if ranked.is_none() { who.window() } else { None };
        let inquiry = Inquiry { who: &who, measure: &Measured::People, latest };
        let read = |records: &[Record]| {
            Notes::read(inquiry, &gathered(inquiry, records, &permitted)).expect("it fits")
        };
        let expected = read(&records).qualifying(&who, ranked);
        let (beside, segmented) = records.split_at(beside.min(records.len()));
        let mut notes = read(beside);
        noted(&mut notes, &block_on(found(inquiry, segmented, &permitted, portions)), &permitted);
        prop_assert_eq!(notes.qualifying(&who, ranked), expected);
    }
}

/// The negative control: an enclave that forgot the records beside segments would be found out.
#[test]
fn the_comparison_finds_what_is_left_out() {
    let mut runner = TestRunner::deterministic();
    let mut differ = 0;
    for _ in 0..60 {
        let tree = (records(80), permitted(), plans()).new_tree(&mut runner).expect("there is one");
        let (records, permitted, plan) = tree.current();
        let expected = answer(
            &plan,
            Notes::read(plan.inquiry(), &gathered(plan.inquiry(), &records, &permitted)).expect("it fits"),
        );
        let (_, segmented) = records.split_at(records.len() / 2);
        let mut notes = Notes::default();
        noted(&mut notes, &block_on(found(plan.inquiry(), segmented, &permitted, 1)), &permitted);
        differ += usize::from(answer(&plan, notes) != expected);
    }
    assert!(differ > 5, "{differ} of 60");
}

/// R079: what is found of somebody else is seen in each kind of entry, and pieces have no more entries than they may.
#[test]
fn what_is_found_comes_in_pieces_and_of_known_people() {
    let said = |person| Said { person, holding: 1, known: true, amount: 2, latest: 3 };
    let people = People::from_iter(0..5);
    let of = |person| Found { people: (0..=person).map(said).collect(), ..Found::default() };
    let measured = |person| Found { measured: vec![(0, 0, 1), (person, 1, 1)], ..Found::default() };
    let grouped = |person| Found { grouped: vec![(person, 0, 1)], ..Found::default() };
    for (person, known) in [(4, true), (5, false)] {
        for found in [of(person), measured(person), grouped(person)] {
            assert_eq!(found.is_of(&people), known, "{found:?}");
        }
    }
    let all = Found { people: of(4).people, measured: measured(1).measured, grouped: grouped(2).grouped };
    let counts = all.pieces(2).map(|piece| (piece.people.len(), piece.measured.len(), piece.grouped.len()));
    assert_eq!(counts.collect::<Vec<_>>(), [(2, 0, 0), (2, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 1)]);
    assert_eq!(Found::default().pieces(2).count(), 0);
}

/// R079: a statistic over what the Vault has no column for, or with too little memory, is refused.
#[test]
fn what_cannot_be_answered_is_refused() {
    let operand = |attribute: &str| {
        let rule = RuleName::new("commerce.rule").expect("the name is valid");
        Who::record(vec![ResolvedOperand {
            rule,
            attribute: name(attribute),
            predicate: Predicate::AtLeast(1),
        }])
    };
    let plan = |attribute: &str| StatisticPlan {
        who: operand(attribute),
        measure: Measured::Sum { amount: name(AMOUNT), over: vec![], clamp: 1 },
        combined_privacy_class: PrivacyClass::Sensitive,
        minimum_result_cardinality: 0,
        epsilon: Epsilon(1),
        evaluated_at: OrderedMillis(0),
    };
    let ask = |attribute: &str, memory_bytes: usize| {
        let fixture = Fixture::new();
        let bounds = Bounds { memory_bytes, deadline: Instant::now() + Duration::from_secs(60) };
        let everybody: People = (0..1_000).collect();
        let files = block_on(async { fixture.segments.ranges() });
        statistic(&[], &schema(), &everybody, plan(attribute).inquiry(), (&files, bounds))
    };
    assert!(ask(AMOUNT, 1 << 20).is_ok());
    assert!(matches!(ask("commerce.other", 1 << 20), Err(QueryError::Composition(_))));
    assert!(matches!(ask(CATEGORY, 1 << 20), Err(QueryError::Composition(_))));
    assert!(matches!(ask(AMOUNT, 1_000), Err(QueryError::Memory)));
}
