//! The built modules in the compiling engine, metered, against the same code natively; what it costs to keep people apart;
//! and the second engine against the first (R094, R096).
//!
//! *Long*: people with 4,096 rows each, so that nearly all time is the module's own loop. *Short*: 1,000,000 rows of
//! 100,000 people, so that calls, copies and the bounds of each person weigh as much as the loop. The native side runs over columns
//! that are padded beforehand, copies nothing, bounds nothing and has no fuel.

use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use symphony_guest_abi::{Input, Word, padded};
use symphony_protocol::artifact::compute::Parameters;
use symphony_protocol::artifact::module::{Declaration, InputKind, Isolation};
use symphony_types::digest::Digest;
use symphony_wasm::catalogue::{Built, built};
use symphony_wasm::compiled::Compiled;
use symphony_wasm::engine::{Engine, Prepared};
use symphony_wasm::interpreted::Interpreted;
use symphony_wasm::job::Job;
use symphony_wasm::module::Module;
use symphony_wasm::table::{BATCH_ROWS_MAX, Batch, Cells, Table, TableBuilder};

use crate::pairs::{Row, compare, per_unit, print};

#[path = "../../compute/benches/pairs/mod.rs"]
mod pairs;

type Native = fn(&Input<'_>, u32) -> Word;

const NATIVE: [(&str, Native); 6] = [
    ("basket", symphony_guest_basket::person),
    ("eligibility", symphony_guest_eligibility::person),
    ("histogram", symphony_guest_histogram::person),
    ("retention", symphony_guest_retention::person),
    ("rfm", symphony_guest_rfm::person),
    ("uplift", symphony_guest_uplift::person),
];

fn main() {
    let catalogue = built().expect("the catalogue describes its modules");
    ready(&catalogue);
    let compiled = Compiled::new(1).expect("there is room for a pool");
    let long = rows(4096, 25);
    let short = rows(10, 100_000);
    let of = |rows: &Rows| catalogue.iter().map(|built| native(&compiled, built, rows)).collect::<Vec<_>>();
    print("long: 25 people with 4096 rows", "row", &of(&long));
    print("short: 100000 people with 10 rows", "row", &of(&short));
    print("apart: 100000 people with 10 rows, histogram", "person", &apart(&compiled, &catalogue, &short));
    let few = rows(10, 5_000);
    let replays: Vec<_> = catalogue.iter().map(|built| replay(&compiled, built, &few)).collect();
    print("replay: 5000 people with 10 rows", "row", &replays);
    print("table: 1000000 rows into 100000 people", "row", &[grouped(&catalogue, &short)]);
    let sealed = Sealed::new(&by_person(&short));
    let slices: Vec<_> = catalogue.iter().map(|built| slice(&compiled, built, &sealed)).collect();
    print("slice: 1000000 sealed rows of 100000 people", "row", &slices);
}

/// Times of what is done once, before the first row.
fn ready(catalogue: &[Built]) {
    let start = Instant::now();
    let compiled = Compiled::new(1).expect("there is room for a pool");
    let engine = start.elapsed();
    println!("\nready: engine and pool in {} us", engine.as_micros());
    for built in catalogue {
        let module = built.module().expect("a built module passes its check");
        let time = |work: &dyn Fn()| {
            let mut times: Vec<u128> = (0..PAIRS)
                .map(|_| {
                    let start = Instant::now();
                    work();
                    start.elapsed().as_micros()
                })
                .collect();
            times.sort_unstable();
            times[PAIRS / 2]
        };
        let check = time(&|| drop(black_box(built.module())));
        let compile = time(&|| drop(black_box(compiled.prepare(&module))));
        let interpret = time(&|| drop(black_box(Interpreted::new().prepare(&module))));
        let name = &built.declaration.name;
        println!(
            "ready: {name}: checked in {check} us, compiled in {compile} us, for replays in {interpret} us"
        );
    }
}

/// A run of a module in the compiling engine against its code natively.
fn native(compiled: &Compiled, built: &Built, rows: &Rows) -> Row {
    let declared = &built.declaration;
    let parameters = parameters(declared);
    let table = table(declared, &parameters, rows);
    let prepared = compiled.prepare(&built.module().expect("checked")).expect("compiled");
    let people = padded_people(declared, &table);
    let ours = || per_unit(table.rows_len(), || run(&*prepared, &table, &parameters));
    let theirs = || per_unit(table.rows_len(), || natively(declared, &parameters, &people));
    compare((declared.name.as_str(), ours), ("natively", theirs), PAIRS)
}

/// The code of a module as the compiler of this program makes it, over columns that are padded already.
fn natively(declared: &Declaration, parameters: &Parameters, people: &[(Vec<i64>, usize)]) {
    let person = NATIVE.iter().find(|(name, _)| *name == declared.name.as_str());
    let person = person.expect("every module has its code").1;
    for (columns, rows) in people {
        let input = Input::new(&parameters.numbers, columns, *rows);
        for step in 0..declared.words_max {
            if black_box(person(&input, step)).0 < 0 {
                break;
            }
        }
    }
}

/// From sealed rows to cells, as an enclave does it: open, put person by person, run; against opening them, and the
/// module's code natively over columns that lie ready.
fn slice(compiled: &Compiled, built: &Built, sealed: &Sealed) -> Row {
    let declared = &built.declaration;
    let parameters = parameters(declared);
    let prepared = compiled.prepare(&built.module().expect("checked")).expect("compiled");
    let people = padded_people(declared, &table(declared, &parameters, &sealed.open()));
    let ours = || {
        per_unit(sealed.rows, || run(&*prepared, &table(declared, &parameters, &sealed.open()), &parameters))
    };
    let theirs = || {
        per_unit(sealed.rows, || {
            drop(black_box(sealed.open()));
            natively(declared, &parameters, &people);
        })
    };
    compare((declared.name.as_str(), ours), ("AES-256-GCM and natively", theirs), PAIRS)
}

/// Rows under AES-256-GCM, a column behind the other, in pieces as large as a batch of numbers.
struct Sealed {
    key: LessSafeKey,
    pieces: Vec<Vec<u8>>,
    rows: usize,
}

impl Sealed {
    fn new(rows: &Rows) -> Self {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("the key is as long"));
        let subjects = rows.subjects.iter().flat_map(|subject| subject.to_le_bytes());
        let times = rows.times.iter().flat_map(|time| time.to_le_bytes());
        let amounts = rows.amounts.iter().flat_map(|amount| amount.to_le_bytes());
        let keys = rows.keys.iter().flat_map(|key| key.to_le_bytes());
        let plain: Vec<u8> = subjects.chain(times).chain(amounts).chain(keys).collect();
        let seal = |(place, piece): (usize, &[u8])| {
            let mut piece = piece.to_vec();
            let sealed = key.seal_in_place_append_tag(nonce(place), Aad::empty(), &mut piece);
            sealed.expect("a piece is short");
            piece
        };
        let pieces = plain.chunks(PIECE_BYTES).enumerate().map(seal).collect();
        Self { key, pieces, rows: rows.subjects.len() }
    }

    fn open(&self) -> Rows {
        let mut plain = Vec::with_capacity(self.rows * 24);
        for (place, piece) in self.pieces.iter().enumerate() {
            let mut piece = piece.clone();
            let opened = self.key.open_in_place(nonce(place), Aad::empty(), &mut piece);
            plain.extend_from_slice(opened.expect("it is what was sealed"));
        }
        let (subjects, rest) = plain.split_at(self.rows * 4);
        let (times, rest) = rest.split_at(self.rows * 8);
        let (amounts, keys) = rest.split_at(self.rows * 8);
        Rows {
            subjects: subjects.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect(),
            times: times.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect(),
            amounts: amounts.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect(),
            keys: keys.as_chunks().0.iter().map(|word| i32::from_le_bytes(*word)).collect(),
        }
    }
}

fn nonce(place: usize) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&(place as u64).to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// What it costs a person that its memory is its own: one instance that cannot write, or a new one each.
fn apart(compiled: &Compiled, catalogue: &[Built], rows: &Rows) -> [Row; 3] {
    let built =
        catalogue.iter().find(|built| built.declaration.name.as_str() == "histogram").expect("it is built");
    let parameters = parameters(&built.declaration);
    let table = table(&built.declaration, &parameters, rows);
    let mut fresh = built.declaration.clone();
    fresh.isolation = Isolation::Fresh;
    let of = |declared: &Declaration| {
        let module = Module::check(built.bytes, declared, &Digest::of_bytes(built.bytes)).expect("checked");
        compiled.prepare(&module).expect("compiled")
    };
    let (pure, fresh) = (of(&built.declaration), of(&fresh));
    let time = |prepared: &dyn Prepared| per_unit(table.people_len(), || run(prepared, &table, &parameters));
    let empty = TableBuilder::new(&built.declaration, &parameters).expect("the parameters fit").finish();
    let whole = || per_unit(1, || run(&*pure, &empty, &parameters));
    let alone = || {
        per_unit(INSTANCES, || (0..INSTANCES).for_each(|_| fresh.instance().expect("there is room for one")))
    };
    [
        compare(("a new instance each", || time(&*fresh)), ("pure, one instance", || time(&*pure)), PAIRS),
        compare(("a run over nobody", whole), ("pure, one person", || time(&*pure)), PAIRS),
        compare(("an instance alone", alone), ("a new instance each", || time(&*fresh)), PAIRS),
    ]
}

fn replay(compiled: &Compiled, built: &Built, rows: &Rows) -> Row {
    let declared = &built.declaration;
    let parameters = parameters(declared);
    let table = table(declared, &parameters, rows);
    let module = built.module().expect("checked");
    let first = compiled.prepare(&module).expect("compiled");
    let second = Interpreted::new().prepare(&module).expect("translated");
    let time = |prepared: &dyn Prepared| per_unit(table.rows_len(), || run(prepared, &table, &parameters));
    let bytes = |prepared: &dyn Prepared| run(prepared, &table, &parameters);
    assert!(bytes(&*first) == bytes(&*second), "invariant: both engines answer alike");
    compare((declared.name.as_str(), || time(&*second)), ("first engine", || time(&*first)), PAIRS)
}

fn grouped(catalogue: &[Built], rows: &Rows) -> Row {
    let built =
        catalogue.iter().find(|built| built.declaration.name.as_str() == "histogram").expect("it is built");
    let parameters = parameters(&built.declaration);
    let ours = || per_unit(rows.subjects.len(), || table(&built.declaration, &parameters, rows));
    let copy = || per_unit(rows.subjects.len(), || (rows.times.clone(), rows.amounts.clone()));
    compare(("batches into a table", ours), ("copy of the columns", copy), PAIRS)
}

fn run(prepared: &dyn Prepared, table: &Table, parameters: &Parameters) -> Vec<u8> {
    let (fuel_max, output_bytes_max) = (u64::MAX, 1 << 26);
    let job = Job { table, parameters, fuel_max, output_bytes_max, left_out: &[] };
    let output = prepared.run(&job).expect("the run has no ending");
    assert!(output.faults.is_empty(), "invariant: nobody's call fails");
    output.bytes
}

/// Rows in the order of a year, dealt to people.
struct Rows {
    subjects: Vec<u32>,
    times: Vec<u64>,
    amounts: Vec<u64>,
    keys: Vec<i32>,
}

fn rows(each: usize, people: usize) -> Rows {
    let count = each * people;
    let mut state = 1_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    Rows {
        // 7,919 is prime: neighbouring rows are of people far apart.
        subjects: (0..count).map(|row| (row * 7_919 % people) as u32).collect(),
        times: (0..count).map(|row| (row as u64 * YEAR_MS) / count as u64).collect(),
        amounts: (0..count).map(|_| next() % 20_000).collect(),
        keys: (0..count).map(|_| (next() % 12) as i32).collect(),
    }
}

/// The same rows as a Vault's material has them: person by person.
fn by_person(rows: &Rows) -> Rows {
    let mut order: Vec<usize> = (0..rows.subjects.len()).collect();
    order.sort_by_key(|row| rows.subjects[*row]);
    Rows {
        subjects: order.iter().map(|row| rows.subjects[*row]).collect(),
        times: order.iter().map(|row| rows.times[*row]).collect(),
        amounts: order.iter().map(|row| rows.amounts[*row]).collect(),
        keys: order.iter().map(|row| rows.keys[*row]).collect(),
    }
}

fn table(declared: &Declaration, parameters: &Parameters, rows: &Rows) -> Table {
    let texts: Vec<String> = (0..12).map(|at| format!("t{at}")).collect();
    let dictionary: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut builder = TableBuilder::new(declared, parameters).expect("the parameters fit");
    for start in (0..rows.subjects.len()).step_by(BATCH_ROWS_MAX) {
        let range = start..(start + BATCH_ROWS_MAX).min(rows.subjects.len());
        let column = |kind: &InputKind| match kind {
            InputKind::Time => Cells::Numbers { values: &rows.times[range.clone()], validity: None },
            InputKind::Cents => Cells::Numbers { values: &rows.amounts[range.clone()], validity: None },
            InputKind::Listed { .. } => {
                Cells::Texts { keys: &rows.keys[range.clone()], dictionary: &dictionary, validity: None }
            }
        };
        let columns: Vec<Cells<'_>> = declared.inputs.iter().map(|input| column(&input.kind)).collect();
        let batch = Batch { subjects: &rows.subjects[range.clone()], columns: &columns };
        builder.push(&batch).expect("the batch has the declared columns");
    }
    builder.finish()
}

fn padded_people(declared: &Declaration, table: &Table) -> Vec<(Vec<i64>, usize)> {
    let of = |person: symphony_wasm::table::Person| {
        let mut columns = Vec::new();
        for at in 0..declared.inputs.len() {
            let mut column = table.column(at, &person).to_vec();
            column.resize(padded(person.rows), -1);
            columns.extend(column);
        }
        (columns, person.rows)
    };
    table.people().map(of).collect()
}

/// Parameters that most rows meet.
fn parameters(declared: &Declaration) -> Parameters {
    let number = |range: &symphony_protocol::artifact::module::ParameterRange| {
        let wanted = match range.name.as_str() {
            "from_ms" => YEAR_MS as i64 / 10,
            "until_ms" | "now_ms" => YEAR_MS as i64 / 2,
            "end_ms" => YEAR_MS as i64,
            "period_ms" => YEAR_MS as i64 / 14,
            "span_ms" => YEAR_MS as i64 / 100,
            _ => 1_000,
        };
        wanted.clamp(range.min, range.max)
    };
    let list = |max: u32| (0..max.min(10)).map(|at| format!("t{at}")).collect();
    let lists = declared.inputs.iter().filter_map(|input| match input.kind {
        InputKind::Listed { texts_max } => Some(list(texts_max)),
        InputKind::Time | InputKind::Cents => None,
    });
    Parameters { numbers: declared.parameters.iter().map(number).collect(), lists: lists.collect() }
}

const YEAR_MS: u64 = 365 * 86_400_000;
/// Instances made and given back, one after the other.
const INSTANCES: usize = 10_000;
const PAIRS: usize = 9;
const PIECE_BYTES: usize = BATCH_ROWS_MAX * 8;
