//! Modules on the real engines: hostile ones, and the built ones against the same code natively.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test panics

mod differential;
mod hostile;
mod isolation;

use symphony_protocol::artifact::PrivacyClass;
use symphony_protocol::artifact::compute::Parameters;
use symphony_protocol::artifact::module::{Declaration, FloatMode, Input, InputKind, Isolation, OutputShape};
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, ModuleName};
use symphony_wasm::engine::{Ending, Engine, Prepared};
use symphony_wasm::interpreted::Interpreted;
use symphony_wasm::job::Job;
use symphony_wasm::module::Module;
use symphony_wasm::output::Output;
use symphony_wasm::table::{Batch, Cells, Table, TableBuilder};

/// Every engine of this build.
fn engines() -> Vec<Box<dyn Engine>> {
    let engines: Vec<Box<dyn Engine>> = vec![
        Box::new(Interpreted::new()),
        #[cfg(feature = "wasmtime")]
        Box::new(symphony_wasm::compiled::Compiled::new(1).unwrap()),
    ];
    engines
}

/// A module with one column of amounts that answers a number for each person.
fn declaration(isolation: Isolation, float_mode: FloatMode) -> Declaration {
    let attribute = AttributeName::new("commerce.amount").unwrap();
    Declaration {
        name: ModuleName::new("hostile").unwrap(),
        version: 1,
        isolation,
        float_mode,
        privacy_class: PrivacyClass::Sensitive,
        inputs: vec![Input { attribute, kind: InputKind::Cents }],
        order: None,
        parameters: vec![],
        rows_max: 64,
        words_max: 1,
        output: OutputShape::Number { min: 0, max: (1 << 48) - 1 },
        fuel_base: 1_000_000,
        fuel_row: 10,
    }
}

/// Amounts of people.
fn table(declaration: &Declaration, rows: &[(u32, u64)]) -> Table {
    let parameters = Parameters::default();
    let mut builder = TableBuilder::new(declaration, &parameters).unwrap();
    let subjects: Vec<u32> = rows.iter().map(|row| row.0).collect();
    let values: Vec<u64> = rows.iter().map(|row| row.1).collect();
    let columns = [Cells::Numbers { values: &values, validity: None }];
    builder.push(&Batch { subjects: &subjects, columns: &columns }).unwrap();
    builder.finish()
}

fn module(text: &str, declaration: &Declaration) -> Module {
    let bytes = wat::parse_str(text).unwrap();
    Module::check(&bytes, declaration, &Digest::of_bytes(&bytes)).unwrap()
}

fn run(prepared: &dyn Prepared, table: &Table, parameters: &Parameters) -> Result<Output, Ending> {
    let (fuel_max, output_bytes_max) = (u64::MAX, 1 << 20);
    prepared.run(&Job { table, parameters, fuel_max, output_bytes_max, left_out: &[] })
}
