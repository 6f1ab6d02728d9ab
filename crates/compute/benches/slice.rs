//! One slice over 200,000 records against a plain loop over rows, and the combination of three slices against
//! sorting and removing duplicates (R087, R088, R089).
//!
//! The loop has the texts normalised beforehand, which the slice does itself. Of the slice's time the Merkle root
//! over all commitments is told apart, because it is SHA-256 and not evaluation; what is left is a difference of
//! two times. The physical limit of an evaluation is one pass over the bytes of the material: it is measured as a
//! sum over the same bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use symphony_compute::combine::combine;
use symphony_compute::material::{self, Material, MaterialBuilder};
use symphony_compute::slice::{Signal, SliceSignals, evaluate};
use symphony_protocol::artifact::selection::Selection;
use symphony_protocol::artifact::{Predicate, PrivacyClass, ResolvedOperand, ResolvedQuery, SelectionRule};
use symphony_protocol::governance::semantics::{ValueType, normalise};
use symphony_protocol::vault::record::Value;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AttributeName, Commitment, RuleName, TaskId, VaultId};
use symphony_types::merkle;
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::{OrderedMillis, RecordMillis};

use crate::pairs::{Row, compare, per_unit, print};

mod pairs;

fn main() {
    let rows: Vec<Record> = (0..ROWS).map(record).collect();
    let bytes = material_of(&rows);
    let sum = bytes.clone();
    let material = material::read(bytes).expect("the builder's own bytes are material");
    let title = format!("slice: {ROWS} rows, {} bytes of material, {PEOPLE} people", sum.len());
    print(&title, "row", &slices(&rows, &material, &sum));
    let title =
        format!("combine: {SLICES} slices of {SIGNALS} signals, a third of the people in two of them");
    print(&title, "signal", &[combination()]);
}

fn slices(rows: &[Record], material: &Material, bytes: &[u8]) -> Vec<Row> {
    let query = query();
    let people: HashMap<u32, String> = (0..PEOPLE).map(|person| (person, handle(person))).collect();
    let whole = || {
        let vault = VaultId::new("vault-a").expect("the name is valid");
        evaluate(TaskId(Digest::ZERO), &vault, &query, material, &KEY, vec![])
            .expect("the query fits the material")
    };
    // Both sides find the same people and root; otherwise the comparison is void.
    let slice = whole();
    let tokens: Vec<[u8; 32]> = slice.signals.signals.iter().map(|signal| signal.token).collect();
    assert_eq!(tokens, row_loop(rows, &people).into_keys().collect::<Vec<_>>());
    assert_eq!(slice.input_root, root(rows));
    println!("{} people qualify", tokens.len());
    // A difference of two times: the quickest of each, because one interruption outweighs what is left.
    let quickest = |work: &dyn Fn() -> f64| (0..QUICKEST_OF).map(|_| work()).fold(f64::INFINITY, f64::min);
    let evaluation = || quickest(&|| per_unit(ROWS, whole)) - quickest(&|| per_unit(ROWS, || root(rows)));
    let plain = || quickest(&|| per_unit(ROWS, || row_loop(rows, &people)));
    let memory = || per_unit(ROWS, || sum(bytes));
    vec![
        compare(
            ("whole slice", || per_unit(ROWS, whole)),
            ("row loop and Merkle root", || per_unit(ROWS, || (row_loop(rows, &people), root(rows)))),
            PAIRS,
        ),
        compare(("slice without its root", evaluation), ("row loop", plain), PAIRS),
        compare(("whole slice", || per_unit(ROWS, whole)), ("one pass over memory", memory), PAIRS),
    ]
}

fn combination() -> Row {
    let query = query();
    let slices: Vec<SliceSignals> = (0..SLICES).map(signals_of).collect();
    let units = (SLICES * SIGNALS) as usize;
    let combined = |slices| combine(TaskId(Digest::ZERO), &query, slices, Epsilon(500_000), &Digest::ZERO);
    assert_eq!(combined(slices.clone()).handles, sorted(slices.clone()));
    compare(
        ("combine", || {
            let slices = slices.clone();
            per_unit(units, || combined(slices))
        }),
        ("sort and dedup", || {
            let slices = slices.clone();
            per_unit(units, || sorted(slices))
        }),
        PAIRS,
    )
}

/// A record as a program without columns would hold it.
struct Record {
    subject: u32,
    merchant: String,
    city: String,
    date: u64,
    amount: u64,
    commitment: [u8; 32],
}

fn record(index: usize) -> Record {
    let random = Digest::of_bytes(&index.to_le_bytes()).0;
    let number = |at: usize| u32::from_le_bytes([random[at], random[at + 1], random[at + 2], 0]);
    Record {
        subject: number(0) % PEOPLE,
        merchant: format!("merchant {}", number(3) % 40),
        city: format!("city {}", number(6) % 25),
        date: u64::from(number(9) % 1000),
        amount: u64::from(number(12) % 10_000),
        commitment: random,
    }
}

fn material_of(rows: &[Record]) -> Vec<u8> {
    let types = [
        (name("commerce.amount"), ValueType::Cents),
        (name("commerce.merchant"), ValueType::Text),
        (name("commerce.purchase_date"), ValueType::Time),
        (name("geography.city"), ValueType::Text),
    ];
    let mut builder = MaterialBuilder::new(&types.into()).expect("four attributes are within the limit");
    for row in rows {
        let values = BTreeMap::from([
            (name("commerce.amount"), Value::Cents(row.amount)),
            (name("commerce.merchant"), Value::Text(row.merchant.clone())),
            (name("commerce.purchase_date"), Value::Time(RecordMillis(row.date))),
            (name("geography.city"), Value::Text(row.city.clone())),
        ]);
        let commitment = Commitment(Digest(row.commitment));
        builder.push(SubjectIndex(row.subject), &commitment, &values).expect("values are of their types");
    }
    for person in 0..PEOPLE {
        builder.person(SubjectIndex(person), &handle(person)).expect("handles are short and distinct");
    }
    builder.finish().expect("the material is within the limit").to_vec()
}

fn query() -> ResolvedQuery {
    let cities = (0..5).map(|city| format!("city {city}")).collect();
    let window = Predicate::Between { since: RecordMillis(SINCE), until: RecordMillis(UNTIL) };
    let merchants = (0..10).map(|merchant| format!("merchant {merchant}")).collect();
    let operands = [
        ("commerce.merchant", Predicate::TextIn(merchants)),
        ("geography.city", Predicate::TextIn(cities)),
        ("commerce.purchase_date", window),
        ("commerce.amount", Predicate::AtLeast(AMOUNT)),
    ];
    let operand = |(attribute, predicate)| ResolvedOperand {
        rule: RuleName::new("any.rule").expect("the name is valid"),
        attribute: name(attribute),
        predicate,
    };
    ResolvedQuery {
        who: Selection::record(operands.into_iter().map(operand).collect()),
        output: name("identity.contact"),
        combined_privacy_class: PrivacyClass::Identifying,
        minimum_result_cardinality: 10,
        cap: 1_000_000,
        selection: SelectionRule::Random,
        evaluated_at: OrderedMillis(0),
    }
}

/// The same predicates row by row, then the same tokens.
fn row_loop(rows: &[Record], people: &HashMap<u32, String>) -> BTreeMap<[u8; 32], (String, u64)> {
    let merchants: BTreeSet<String> = (0..10).map(|merchant| format!("merchant {merchant}")).collect();
    let cities: BTreeSet<String> = (0..5).map(|city| format!("city {city}")).collect();
    let mut latest: HashMap<u32, u64> = HashMap::new();
    for row in rows {
        if merchants.contains(&row.merchant)
            && cities.contains(&row.city)
            && (SINCE..=UNTIL).contains(&row.date)
            && row.amount >= AMOUNT
            && people.contains_key(&row.subject)
        {
            let known = latest.entry(row.subject).or_default();
            *known = row.date.max(*known);
        }
    }
    let keyed = Hmac::<Sha256>::new_from_slice(&KEY).expect("hmac takes a key of any length");
    let signal = |(subject, time): (u32, u64)| {
        let handle = people[&subject].clone();
        let mut token = keyed.clone();
        token.update(normalise(&handle).as_bytes());
        (token.finalize().into_bytes().into(), (handle, time))
    };
    latest.into_iter().map(signal).collect()
}

fn root(rows: &[Record]) -> Digest {
    let leaves: Vec<Digest> = rows.iter().map(|row| merkle::leaf(&row.commitment)).collect();
    merkle::root(&leaves)
}

/// Reads every byte once, eight at a time.
fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.as_chunks::<8>().0;
    words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

/// Signals of one Vault; every Vault shares a third of its people with the next.
fn signals_of(slice: u32) -> SliceSignals {
    let first = slice * SIGNALS * 2 / 3;
    let signal = |person: u32| Signal {
        token: Digest::of_bytes(&person.to_le_bytes()).0,
        handle: handle(person),
        rank: u64::from(person % 1000),
    };
    let mut signals: Vec<Signal> = (first..first + SIGNALS).map(signal).collect();
    signals.sort_unstable();
    let vault = VaultId::new("vault-a").expect("the name is valid");
    SliceSignals { task: TaskId(Digest::ZERO), vault, suppressed: false, signals }
}

fn sorted(slices: Vec<SliceSignals>) -> Vec<String> {
    let mut all: Vec<Signal> = slices.into_iter().flat_map(|slice| slice.signals).collect();
    all.sort_unstable();
    all.dedup_by(|one, two| one.token == two.token);
    let mut handles: Vec<String> = all.iter_mut().map(|signal| std::mem::take(&mut signal.handle)).collect();
    handles.sort_unstable();
    handles
}

fn handle(person: u32) -> String {
    format!("person-{person}@example.org")
}

fn name(text: &str) -> AttributeName {
    AttributeName::new(text).expect("the name is valid")
}

const ROWS: usize = 200_000;
const PEOPLE: u32 = 50_000;
const SLICES: u32 = 3;
const SIGNALS: u32 = 20_000;
const SINCE: u64 = 200;
const UNTIL: u64 = 900;
const AMOUNT: u64 = 1_000;
const KEY: [u8; 32] = [9; 32];
const QUICKEST_OF: usize = 3;
const PAIRS: usize = 5;
