//! The columnar evaluation of a slice against its definition row by row, and what it refuses (R087, R088, R092).

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use symphony_protocol::artifact::selection::Selection;
use symphony_protocol::artifact::{PrivacyClass, ResolvedOperand, SelectionRule};
use symphony_protocol::governance::semantics::ValueType;
use symphony_protocol::vault::record::Value;
use symphony_types::id::{Commitment, RuleName};
use symphony_types::merkle;
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::{OrderedMillis, RecordMillis};

use super::*;
use crate::material::{self, MaterialBuilder};

const DEDUPE: [u8; 32] = [9; 32];

fn name(text: &str) -> AttributeName {
    AttributeName::new(text).unwrap()
}

fn query(operands: Vec<(&str, Predicate)>, minimum: u32) -> ResolvedQuery {
    let operand = |(attribute, predicate)| ResolvedOperand {
        rule: RuleName::new("any.rule").unwrap(),
        attribute: name(attribute),
        predicate,
    };
    ResolvedQuery {
        who: Selection::record(operands.into_iter().map(operand).collect()),
        output: name("identity.contact"),
        combined_privacy_class: PrivacyClass::Identifying,
        minimum_result_cardinality: minimum,
        cap: 1000,
        selection: SelectionRule::Random,
        evaluated_at: OrderedMillis(0),
    }
}

/// A record as the reference implementation sees it.
#[derive(Clone, Debug)]
struct Row {
    subject: u32,
    merchant: Option<String>,
    city: Option<String>,
    date: Option<u64>,
    amount: Option<u64>,
}

impl Row {
    fn values(&self) -> BTreeMap<AttributeName, Value> {
        let mut values = BTreeMap::new();
        let mut put = |attribute, value: Option<Value>| {
            if let Some(value) = value {
                values.insert(name(attribute), value);
            }
        };
        put("commerce.merchant", self.merchant.clone().map(Value::Text));
        put("geography.city", self.city.clone().map(Value::Text));
        put("commerce.purchase_date", self.date.map(|at| Value::Time(RecordMillis(at))));
        put("commerce.amount", self.amount.map(Value::Cents));
        values
    }
}

fn types() -> BTreeMap<AttributeName, ValueType> {
    [
        (name("commerce.amount"), ValueType::Cents),
        (name("commerce.merchant"), ValueType::Text),
        (name("commerce.purchase_date"), ValueType::Time),
        (name("geography.city"), ValueType::Text),
    ]
    .into()
}

fn material_of(rows: &[Row], people: &[(u32, &str)]) -> Material {
    let mut builder = MaterialBuilder::new(&types()).unwrap();
    for (index, row) in rows.iter().enumerate() {
        builder.push(SubjectIndex(row.subject), &commitment(index), &row.values()).unwrap();
    }
    for (subject, handle) in people {
        builder.person(SubjectIndex(*subject), handle).unwrap();
    }
    material::read(builder.finish().unwrap().to_vec()).unwrap()
}

fn commitment(index: usize) -> Commitment {
    Commitment(Digest::of_bytes(&index.to_le_bytes()))
}

fn run(query: &ResolvedQuery, material: &Material) -> Result<Slice, SliceError> {
    evaluate(TaskId(Digest::ZERO), &VaultId::new("vault-a").unwrap(), query, material, &DEDUPE, vec![])
}

fn signals(slice: &Slice) -> BTreeSet<(String, u64)> {
    slice.signals.signals.iter().map(|signal| (signal.handle.clone(), signal.rank)).collect()
}

fn row(subject: u32, merchant: &str, date: u64) -> Row {
    Row { subject, merchant: Some(merchant.into()), city: None, date: Some(date), amount: None }
}

/// The definition, row by row.
fn reference(query: &ResolvedQuery, rows: &[Row], people: &BTreeMap<u32, String>) -> BTreeSet<(String, u64)> {
    let operands = query.who.one_record().unwrap();
    let window = operands.iter().find(|operand| matches!(operand.predicate, Predicate::Between { .. }));
    let mut latest: BTreeMap<u32, u64> = BTreeMap::new();
    for row in rows {
        let values = row.values();
        let holds =
            operands.iter().all(|operand| match (&operand.predicate, values.get(&operand.attribute)) {
                (Predicate::TextEquals(wanted), Some(Value::Text(text))) => {
                    normalise(text) == normalise(wanted)
                }
                (Predicate::TextIn(wanted), Some(Value::Text(text))) => {
                    wanted.iter().any(|wanted| normalise(wanted) == normalise(text))
                }
                (Predicate::Between { since, until }, Some(Value::Time(at))) => since <= at && at <= until,
                (Predicate::AtLeast(bound), Some(Value::Cents(cents))) => cents >= bound,
                (Predicate::Within { least, most }, Some(Value::Cents(cents))) => {
                    (least..=most).contains(&cents)
                }
                _ => false,
            });
        if holds && people.contains_key(&row.subject) {
            let time = window.map_or(0, |operand| match values[&operand.attribute] {
                Value::Time(at) => at.0,
                Value::Text(_) | Value::Cents(_) => 0,
            });
            let person = latest.entry(row.subject).or_default();
            *person = time.max(*person);
        }
    }
    latest.into_iter().map(|(subject, time)| (people[&subject].clone(), time)).collect()
}

const TEXTS: &[&str] = &[
    "Cafe",
    "CAFE ",
    " cafe",
    "Café",
    "CAFÉ",
    "Straße",
    "STRASSE",
    "İstanbul",
    "ΣΊΣΥΦΟΣ",
    "σίσυφος",
    "a  b",
    "A B",
];

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::weighted(0.9, proptest::sample::select(TEXTS).prop_map(String::from))
}

fn any_row() -> impl Strategy<Value = Row> {
    let number = || proptest::option::weighted(0.9, 0_u64..20);
    (0_u32..12, text(), text(), number(), number()).prop_map(|(subject, merchant, city, date, amount)| Row {
        subject,
        merchant,
        city,
        date,
        amount,
    })
}

proptest! {
    /// R087, R092
    #[test]
    fn columns_give_what_the_definition_gives_row_by_row(
        rows in proptest::collection::vec(any_row(), 0..60),
        merchant in proptest::sample::select(TEXTS),
        cities in proptest::collection::vec(proptest::sample::select(TEXTS), 1..4),
        (since, until) in (0_u64..20, 0_u64..20),
        bound in 0_u64..20,
        which in 1_u8..32,
    ) {
        let cities: Vec<String> = cities.into_iter().map(String::from).collect();
        let window = Predicate::Between { since: RecordMillis(since), until: RecordMillis(until) };
        let all = [
            ("commerce.merchant", Predicate::TextEquals(merchant.into())),
            ("geography.city", Predicate::TextIn(cities)),
            ("commerce.purchase_date", window),
            ("commerce.amount", Predicate::AtLeast(bound)),
            ("commerce.amount", Predicate::Within { least: bound, most: bound + 9 }),
        ];
        let chosen = all.into_iter().enumerate().filter(|(bit, _)| which & (1 << bit) != 0);
        let query = query(chosen.map(|(_, operand)| operand).collect(), 0);
        // People 10 and 11 have records and no handle.
        let people: BTreeMap<u32, String> = (0..10).rev().map(|at| (at, format!("p{at}@example.org"))).collect();
        let pairs: Vec<(u32, &str)> = people.iter().rev().map(|(at, handle)| (*at, handle.as_str())).collect();
        let slice = run(&query, &material_of(&rows, &pairs)).unwrap();
        prop_assert_eq!(signals(&slice), reference(&query, &rows, &people));
        prop_assert!(slice.signals.signals.is_sorted_by(|one, two| one.token < two.token));
        let leaves: Vec<Digest> =
            (0..rows.len()).map(|index| merkle::leaf(&commitment(index).0.0)).collect();
        prop_assert_eq!(slice.input_root, merkle::root(&leaves));
    }
}

/// R088
#[test]
fn a_slice_below_the_minimum_tells_nothing() {
    let material = material_of(&[row(0, "cafe", 1), row(1, "cafe", 2)], &[(0, "a"), (1, "b")]);
    let cafe = || vec![("commerce.merchant", Predicate::TextEquals("cafe".into()))];
    let enough = run(&query(cafe(), 2), &material).unwrap();
    assert!(!enough.signals.suppressed && enough.signals.signals.len() == 2);
    let few = run(&query(cafe(), 3), &material).unwrap();
    assert!(few.signals.suppressed && few.signals.signals.is_empty());
    assert_eq!(few.input_root, enough.input_root);
}

#[test]
fn two_records_of_a_person_do_not_qualify_together() {
    let rows = [row(0, "cafe", 1), row(0, "bar", 10)];
    let window = Predicate::Between { since: RecordMillis(5), until: RecordMillis(20) };
    let operands =
        vec![("commerce.merchant", Predicate::TextEquals("cafe".into())), ("commerce.purchase_date", window)];
    let slice = run(&query(operands, 0), &material_of(&rows, &[(0, "a")])).unwrap();
    assert!(slice.signals.signals.is_empty());
}

#[test]
fn one_contact_under_two_subjects_is_one_person() {
    let material = material_of(&[row(0, "cafe", 1), row(1, "cafe", 9)], &[(0, "A@x.org"), (1, "a@X.org ")]);
    let window = Predicate::Between { since: RecordMillis(0), until: RecordMillis(20) };
    let slice = run(&query(vec![("commerce.purchase_date", window)], 0), &material).unwrap();
    assert_eq!(signals(&slice), [("A@x.org".to_string(), 9)].into());
}

#[test]
fn tokens_join_one_task_and_no_other() {
    assert_eq!(token(&DEDUPE, " Ann@Example.org"), token(&DEDUPE, "ann@example.ORG"));
    assert_ne!(token(&DEDUPE, "ann@example.org"), token(&[8; 32], "ann@example.org"));
}

#[test]
fn a_query_that_does_not_fit_the_material_is_refused() {
    let material = material_of(&[row(0, "cafe", 1)], &[(0, "a")]);
    let run = |operands| run(&query(operands, 0), &material).err().unwrap();
    assert!(matches!(run(vec![]), SliceError::Operands));
    assert!(matches!(run(vec![("no.such", Predicate::AtLeast(1))]), SliceError::Attribute(_)));
    assert!(matches!(run(vec![("commerce.merchant", Predicate::AtLeast(1))]), SliceError::Type(_)));
    let text = Predicate::TextEquals("1".into());
    assert!(matches!(run(vec![("commerce.amount", text)]), SliceError::Type(_)));
}
