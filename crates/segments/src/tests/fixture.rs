//! Records, segments and a plain evaluation of questions for the tests of this crate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use arrow::array::{RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow::compute::cast;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use proptest::prelude::*;
use symphony_protocol::governance::semantics::{ValueType, normalise};
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, VaultId};

use crate::catalogue::Catalogue;
use crate::composition::{Composition, Condition, Measure, Selection};
use crate::people::People;
use crate::reader::Segments;
use crate::schema::SegmentSchema;
use crate::segment::{KeySource, SegmentEntry, SegmentId, SegmentKey};
use crate::sort::Unsorted;
use crate::writer::{Layout, SegmentWriter};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) person: u32,
    pub(crate) sequence: u32,
    pub(crate) amount: Option<u64>,
    pub(crate) category: Option<String>,
    pub(crate) time: Option<u64>,
    pub(crate) seen: Option<u64>,
    pub(crate) city: Option<String>,
}

pub(crate) fn name(text: &str) -> AttributeName {
    AttributeName::new(text).expect("the name is valid")
}

pub(crate) fn vault() -> VaultId {
    VaultId::new("vault-1").expect("the name is valid")
}

pub(crate) const AMOUNT: &str = "commerce.amount";
pub(crate) const CATEGORY: &str = "commerce.category";
pub(crate) const TIME: &str = "commerce.purchase_time";
pub(crate) const SEEN: &str = "commerce.seen_time";
pub(crate) const CITY: &str = "geography.city";

pub(crate) fn schema() -> SegmentSchema {
    let attributes = [
        (AMOUNT, ValueType::Cents),
        (CATEGORY, ValueType::Text),
        (TIME, ValueType::Time),
        (SEEN, ValueType::Time),
        (CITY, ValueType::Text),
    ];
    let attributes = attributes.map(|(attribute, value)| (name(attribute), value));
    SegmentSchema::new(1, Some(name(TIME)), BTreeMap::from(attributes)).expect("the schema is valid")
}

/// The schema that [`schema`] grew from: without categories, and without when something was seen.
pub(crate) fn early() -> SegmentSchema {
    let mut attributes = schema().attributes().clone();
    attributes.retain(|attribute, _| ![CATEGORY, SEEN].contains(&attribute.as_str()));
    SegmentSchema::new(0, Some(name(TIME)), attributes).expect("the schema is valid")
}

pub(crate) fn batch(records: &[Record]) -> RecordBatch {
    let schema = schema().arrow();
    let texts = |of: fn(&Record) -> &Option<String>, column: usize| {
        let texts: StringArray = records.iter().map(|record| of(record).as_deref()).collect();
        cast(&texts, schema.field(column).data_type()).expect("texts fit a dictionary")
    };
    let numbers = |of: fn(&Record) -> Option<u64>| Arc::new(records.iter().map(of).collect::<UInt64Array>());
    let columns = vec![
        Arc::new(UInt32Array::from_iter_values(records.iter().map(|record| record.person))) as _,
        Arc::new(UInt32Array::from_iter_values(records.iter().map(|record| record.sequence))) as _,
        numbers(|record| record.amount) as _,
        texts(|record| &record.category, 3),
        numbers(|record| record.time) as _,
        numbers(|record| record.seen) as _,
        texts(|record| &record.city, 6),
    ];
    RecordBatch::try_new(schema, columns).expect("the columns fit")
}

/// Keys by segment, for tests.
#[derive(Default)]
pub(crate) struct Keys(pub(crate) Mutex<BTreeMap<SegmentId, SegmentKey>>);

impl KeySource for Keys {
    fn key(&self, segment: &SegmentId) -> Option<SegmentKey> {
        self.0.lock().expect("no test panics with it").get(segment).cloned()
    }
}

/// A Vault's segments in memory.
pub(crate) struct Fixture {
    pub(crate) store: Arc<InMemory>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) catalogue: Catalogue,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::under(schema())
    }

    pub(crate) fn under(schema: SegmentSchema) -> Self {
        let store = Arc::new(InMemory::new());
        let keys = Arc::new(Keys::default());
        let segments = Segments::new(vault(), store.clone(), keys.clone(), schema);
        Self { store, keys, segments: Arc::new(segments), catalogue: Catalogue::new() }
    }

    pub(crate) async fn begin(&self, layout: Layout) -> (SegmentWriter, SegmentId) {
        let (id, key) = (SegmentId::random(), SegmentKey::random());
        self.keys.0.lock().expect("no test panics with it").insert(id, key.clone());
        let store: Arc<dyn ObjectStore> = self.store.clone();
        let begun = SegmentWriter::begin(store, &vault(), id, &key, &self.segments.schema(), layout).await;
        (begun.expect("it begins"), id)
    }

    pub(crate) async fn write(&self, records: &[Record], layout: Layout) -> SegmentEntry {
        let (mut writer, _) = self.begin(layout).await;
        let (known, all) = (self.segments.schema(), schema().arrow());
        let there = known
            .arrow()
            .fields()
            .iter()
            .map(|field| all.index_of(field.name()))
            .collect::<Result<Vec<_>, _>>();
        let there = there.expect("each is one of all");
        let mut rows = Unsorted::new(&known);
        for part in records.chunks(7) {
            rows.push(&batch(part).project(&there).expect("it has them")).expect("it fits");
        }
        rows.write(&mut writer).await.expect("it is written");
        writer.finish(Digest::ZERO).await.expect("it ends")
    }

    pub(crate) async fn append(&mut self, records: &[Record], layout: Layout) -> SegmentEntry {
        let entry = self.write(records, layout).await;
        self.catalogue.append(entry.clone()).expect("it is new");
        entry
    }
}

/// Small segments that still have several row groups and pages.
pub(crate) const SMALL: Layout = Layout { group_rows: 16, page_rows: 4 };

/// Records of few people with few values, so that conditions meet; places are given by [`numbered`].
pub(crate) fn records(most: usize) -> impl Strategy<Value = Vec<Record>> {
    let text = |texts: &'static [&'static str]| {
        prop::option::weighted(0.9, prop::sample::select(texts).prop_map(str::to_owned))
    };
    let number = |most: u64| {
        prop::option::weighted(0.9, prop_oneof![20 => 0..most, 1 => Just(u64::MAX), 1 => Just(u64::MAX / 2)])
    };
    let record = (
        0..12_u32,
        number(40),
        text(&["Coffee", "COFFEE ", " tea", "Tea", "milk  shake"]),
        number(100),
        number(100),
        text(&["Bonn", "bonn", "Köln", ""]),
    );
    let record = record.prop_map(|(person, amount, category, time, seen, city)| Record {
        person,
        sequence: 0,
        amount,
        category,
        time,
        seen,
        city,
    });
    prop::collection::vec(record, 0..most).prop_map(numbered)
}

/// Gives each record its place among the person's.
pub(crate) fn numbered(mut records: Vec<Record>) -> Vec<Record> {
    let mut next = BTreeMap::<u32, u32>::new();
    for record in &mut records {
        let place = next.entry(record.person).or_default();
        record.sequence = *place;
        *place += 1;
    }
    records
}

pub(crate) fn conditions() -> impl Strategy<Value = Condition> {
    let number = (prop::sample::select(&[AMOUNT, TIME, SEEN][..]), 0..100_u64, 0..100_u64, any::<bool>());
    let leaf = prop_oneof![
        3 => prop::collection::vec(prop::sample::select(&["coffee", "tea", "MILK shake", "none"][..]), 0..3).prop_map(|texts| Condition::text(&name(CATEGORY), texts)),
        1 => prop::sample::select(&["bonn", "köln", ""][..]).prop_map(|text| Condition::text(&name(CITY), [text])),
        4 => number.prop_map(|(attribute, least, width, open)| {
            let most = if open { u64::MAX } else { (least + width).saturating_sub(10) };
            Condition::between(&name(attribute), least, most)
        }),
        1 => prop::sample::select(&[AMOUNT, CATEGORY, TIME][..]).prop_map(|attribute| Condition::Present(name(attribute))),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 0..3).prop_map(Condition::All),
            2 => prop::collection::vec(inner.clone(), 0..3).prop_map(Condition::Any),
            1 => inner.prop_map(|part| Condition::Not(Box::new(part))),
        ]
    })
}

pub(crate) fn measures() -> impl Strategy<Value = Measure> {
    prop_oneof![Just(Measure::Records), Just(Measure::Sum(name(AMOUNT)))]
}

pub(crate) fn selections() -> impl Strategy<Value = Selection> {
    let bounds = (0..4_u64, prop_oneof![3 => Just(u64::MAX), 1 => 0..80_u64]);
    let leaf = (conditions(), measures(), bounds).prop_map(|(over, measure, (at_least, at_most))| {
        let at_least = if measure == Measure::Records { at_least } else { at_least * 15 };
        Selection::Measured { over, measure, at_least, at_most }
    });
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            2 => prop::collection::vec(inner.clone(), 0..3).prop_map(Selection::All),
            2 => prop::collection::vec(inner.clone(), 0..3).prop_map(Selection::Any),
            1 => inner.prop_map(|part| Selection::Not(Box::new(part))),
        ]
    })
}

// -- the plain evaluation: one record after the other, no columns, no pruning --

pub(crate) fn satisfies(record: &Record, condition: &Condition) -> bool {
    match condition {
        Condition::Text { attribute, one_of } => {
            let text = match attribute.as_str() {
                CATEGORY => &record.category,
                _ => &record.city,
            };
            text.as_ref().is_some_and(|text| one_of.contains(&normalise(text)))
        }
        Condition::Number { attribute, least, most } => {
            number(record, attribute).is_some_and(|value| *least <= value && value <= *most)
        }
        Condition::Present(attribute) => match attribute.as_str() {
            CATEGORY => record.category.is_some(),
            CITY => record.city.is_some(),
            _ => number(record, attribute).is_some(),
        },
        Condition::All(parts) => parts.iter().all(|part| satisfies(record, part)),
        Condition::Any(parts) => parts.iter().any(|part| satisfies(record, part)),
        Condition::Not(part) => !satisfies(record, part),
    }
}

fn number(record: &Record, attribute: &AttributeName) -> Option<u64> {
    match attribute.as_str() {
        AMOUNT => record.amount,
        TIME => record.time,
        _ => record.seen,
    }
}

pub(crate) fn measured(records: &[&Record], over: &Condition, measure: &Measure) -> u64 {
    let qualifying = records.iter().filter(|record| satisfies(record, over));
    match measure {
        Measure::Records => qualifying.count() as u64,
        Measure::Sum(attribute) => {
            let sum: u128 = qualifying.filter_map(|record| number(record, attribute)).map(u128::from).sum();
            u64::try_from(sum).unwrap_or(u64::MAX)
        }
    }
}

fn selects(records: &[&Record], who: &Selection, latest: Option<&AttributeName>) -> Option<u64> {
    match who {
        Selection::Measured { over, measure, at_least, at_most } => {
            let value = measured(records, over, measure);
            let times = records
                .iter()
                .filter(|record| satisfies(record, over))
                .filter_map(|record| number(record, latest?));
            (*at_least <= value && value <= *at_most).then(|| times.max().unwrap_or(0))
        }
        Selection::All(parts) => {
            let times: Option<Vec<u64>> = parts.iter().map(|part| selects(records, part, latest)).collect();
            times.map(|times| times.into_iter().max().unwrap_or(0))
        }
        Selection::Any(parts) => parts.iter().filter_map(|part| selects(records, part, latest)).max(),
        Selection::Not(part) => selects(records, part, latest).is_none().then_some(0),
    }
}

/// Who is selected, with the latest time of each.
pub(crate) fn audience(
    records: &[Record],
    permitted: &BTreeSet<u32>,
    asked: &Composition,
) -> Vec<(u32, u64)> {
    let of = |person: u32| records.iter().filter(move |record| record.person == person).collect::<Vec<_>>();
    let select =
        |person: &u32| selects(&of(*person), &asked.who, asked.latest.as_ref()).map(|time| (*person, time));
    permitted.iter().filter_map(select).collect()
}

/// Some of the people that [`records`] has, and one that it has not.
pub(crate) fn permitted() -> impl Strategy<Value = BTreeSet<u32>> {
    prop::collection::btree_set(0..14_u32, 0..14)
}

pub(crate) fn people(set: &BTreeSet<u32>) -> People {
    set.iter().copied().collect()
}
