//! The built modules on every engine against the same code natively, over random records.

use std::collections::BTreeMap;

use proptest::prelude::*;
use symphony_guest_abi::{Input, Word, padded};
use symphony_protocol::artifact::compute::Parameters;
use symphony_protocol::artifact::module::{Declaration, InputKind, OutputShape};
use symphony_wasm::catalogue::{Built, built};
use symphony_wasm::engine::Prepared;
use symphony_wasm::output::{attributes, cells};
use symphony_wasm::table::{Batch, Cells, Table, TableBuilder, Validity};

use crate::{engines, run};

/// A drawn column: its kind, its numbers, the keys of its texts, and which cells are there.
type Drawn = (InputKind, Vec<u64>, Vec<i32>, Vec<u8>);

type Native = fn(&Input<'_>, u32) -> Word;

const NATIVE: [(&str, Native); 6] = [
    ("basket", symphony_guest_basket::person),
    ("eligibility", symphony_guest_eligibility::person),
    ("histogram", symphony_guest_histogram::person),
    ("retention", symphony_guest_retention::person),
    ("rfm", symphony_guest_rfm::person),
    ("uplift", symphony_guest_uplift::person),
];

/// One row: its person, a number for each of three columns, and which of them are there.
type Row = (u32, [u64; 3], u8);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0_u32..40, prop::array::uniform3(0_u64..1500), any::<u8>()), 1..400)
}

/// R096: the same bytes from both engines and from the code itself.
#[test]
fn engines_and_native_code_agree_on_all_built_modules() {
    let built = built().unwrap();
    let engines = engines();
    let prepared: Vec<(&Built, Vec<Box<dyn Prepared>>)> = built
        .iter()
        .map(|built| {
            let module = built.module().unwrap();
            (built, engines.iter().map(|engine| engine.prepare(&module).unwrap()).collect())
        })
        .collect();
    proptest!(ProptestConfig::with_cases(64), |(rows in rows(), seed in any::<u64>())| {
        for (built, prepared) in &prepared {
            let declared = &built.declaration;
            let parameters = parameters(declared, seed);
            let table = table(declared, &parameters, &rows);
            let expected = natively(declared, &table, &parameters);
            for prepared in prepared {
                let output = run(&**prepared, &table, &parameters).unwrap();
                prop_assert!(output.faults.is_empty(), "{}: {:?}", declared.name, output.faults);
                prop_assert_eq!(&output.bytes, &expected, "{}", declared.name);
                prop_assert!(output.fuel_spent <= 16 * output.fuel_allotted, "{}: fuel", declared.name);
                let quoted = declared.fuel_bound(output.people, output.rows);
                prop_assert!(output.fuel_allotted <= quoted, "{}: quote", declared.name);
            }
        }
    });
}

/// Rows of a person beyond the declared number are left out, from the end.
#[test]
fn people_with_very_many_rows_are_cut_and_stay_within_their_fuel() {
    let rows: Vec<Row> =
        (0..5000).map(|at| (u32::from(at % 50 == 0), [at % 1500, at % 7, 3], 0xff)).collect();
    for built in built().unwrap() {
        let declared = &built.declaration;
        let parameters = parameters(declared, 7);
        let table = table(declared, &parameters, &rows);
        let expected = natively(declared, &table, &parameters);
        for engine in engines() {
            let prepared = engine.prepare(&built.module().unwrap()).unwrap();
            let output = run(&*prepared, &table, &parameters).unwrap();
            assert_eq!(output.bytes, expected, "{}", declared.name);
            assert!(output.faults.is_empty(), "{}: {:?}", declared.name, output.faults);
        }
    }
}

/// Numbers within the declared ranges, small enough to meet the rows.
fn parameters(declared: &Declaration, seed: u64) -> Parameters {
    let number = |(at, range): (usize, &symphony_protocol::artifact::module::ParameterRange)| {
        let spread = (range.max - range.min).min(1500) + 1;
        range.min + (seed.rotate_left(at as u32 * 11) % spread as u64) as i64
    };
    let list = |max: u32| (0..max.min(10)).map(|at| format!("t{at}")).collect();
    let lists = declared.inputs.iter().filter_map(|input| match input.kind {
        InputKind::Listed { texts_max } => Some(list(texts_max)),
        InputKind::Time | InputKind::Cents => None,
    });
    Parameters {
        numbers: declared.parameters.iter().enumerate().map(number).collect(),
        lists: lists.collect(),
    }
}

fn table(declared: &Declaration, parameters: &Parameters, rows: &[Row]) -> Table {
    let texts: Vec<String> = (0..13).map(|at| format!("t{at}")).collect();
    let dictionary: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut builder = TableBuilder::new(declared, parameters).unwrap();
    for batch in rows.chunks(97) {
        let subjects: Vec<u32> = batch.iter().map(|row| row.0).collect();
        let values = |at: usize| batch.iter().map(|row| row.1[at]).collect::<Vec<u64>>();
        let keys = |at: usize| batch.iter().map(|row| (row.1[at] % 13) as i32).collect::<Vec<i32>>();
        let bits = |at: usize| {
            let mut bytes = vec![0_u8; batch.len().div_ceil(8)];
            for (row, (_, _, there)) in batch.iter().enumerate() {
                bytes[row / 8] |= (there >> at & 1) << (row % 8);
            }
            bytes
        };
        let inputs = declared.inputs.iter().enumerate();
        let columns: Vec<Drawn> =
            inputs.map(|(at, input)| (input.kind, values(at), keys(at), bits(at))).collect();
        let cells: Vec<Cells<'_>> = columns
            .iter()
            .map(|(kind, values, keys, bits)| {
                let validity = Some(Validity { bytes: bits, offset: 0 });
                match kind {
                    InputKind::Time | InputKind::Cents => Cells::Numbers { values, validity },
                    InputKind::Listed { .. } => Cells::Texts { keys, dictionary: &dictionary, validity },
                }
            })
            .collect();
        builder.push(&Batch { subjects: &subjects, columns: &cells }).unwrap();
    }
    builder.finish()
}

/// The output as the guest's own code and a plain reading of its words make it.
fn natively(declared: &Declaration, table: &Table, parameters: &Parameters) -> Vec<u8> {
    let native = NATIVE.iter().find(|(name, _)| *name == declared.name.as_str()).unwrap().1;
    let mut sums = vec![0_i64; declared.output.cells()];
    let mut values = Vec::new();
    for person in table.people() {
        let rows = person.rows.min(declared.rows_max as usize);
        let mut columns = Vec::new();
        for at in 0..declared.inputs.len() {
            let mut column = table.column(at, &person)[..rows].to_vec();
            column.resize(padded(rows), -1);
            columns.extend(column);
        }
        let input = Input::new(&parameters.numbers, &columns, rows);
        let words = (0..declared.words_max).map(|step| native(&input, step).0).take_while(|word| *word >= 0);
        match &declared.output {
            OutputShape::Aggregate(groups) => {
                let mut touched: BTreeMap<&str, u32> = BTreeMap::new();
                for (cell, amount) in words.flat_map(spelt) {
                    let mut end = 0;
                    let group = groups.iter().find(|group| {
                        end += group.cells as usize;
                        cell < end
                    });
                    let group = group.unwrap();
                    let touched = touched.entry(&group.name).or_default();
                    if *touched < group.touches {
                        *touched += 1;
                        sums[cell] += amount.min(group.clip) as i64;
                    }
                }
            }
            OutputShape::Number { .. } | OutputShape::Label(_) => {
                values.extend(words.map(|word| (person.subject, word)));
            }
        }
    }
    let mut bytes: Vec<u8> = sums.iter().flat_map(|cell| cell.to_le_bytes()).collect();
    for (subject, value) in values {
        bytes.extend(subject.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    match declared.output {
        OutputShape::Aggregate(_) => assert_eq!(cells(&bytes).collect::<Vec<_>>(), sums),
        OutputShape::Number { .. } | OutputShape::Label(_) => {
            assert_eq!(attributes(&bytes).count(), bytes.len() / 12);
        }
    }
    bytes
}

/// The cells of a word and what each gets.
fn spelt(word: i64) -> Vec<(usize, u64)> {
    let (cell, payload) = ((word >> 48 & 0x3fff) as usize, word as u64 & 0xffff_ffff_ffff);
    if word >> 62 == 0 {
        return vec![(cell, payload)];
    }
    (0..48).filter(|bit| payload >> bit & 1 == 1).map(|bit| (cell + bit, 1)).collect()
}
