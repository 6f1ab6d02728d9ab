//! Modules that loop, trap, lie and grow: each ends as it is catalogued, on every engine, and nothing is lost.

use symphony_protocol::artifact::compute::Parameters;
use symphony_protocol::artifact::module::{Declaration, FloatMode, Isolation};
use symphony_wasm::engine::{Ending, Fault, Faults};
use symphony_wasm::job::{Job, allotment};
use symphony_wasm::output::attributes;

use crate::{declaration, engines, module, run, table};

const ROWS: [(u32, u64); 5] = [(1, 10), (1, 20), (4, 0), (5, 7), (5, 7)];

/// A module of one page with further parts and this body of `run`.
fn text(parts: &str, body: &str) -> String {
    format!(
        r#"(module (memory (export "memory") 1 4) {parts}
        (func (export "abi_version") (result i32) i32.const 1)
        (func (export "alloc") (param i32) (result i32) i32.const 1024)
        (func (export "run") (param $at i32) (param $rows i32) (param $step i32) (result i64) {body}))"#
    )
}

/// The value of each person on every engine, which are the same, and the faults.
fn answers(declared: &Declaration, parts: &str, body: &str) -> (Vec<(u32, i64)>, Faults) {
    let (module, table) = (module(&text(parts, body), declared), table(declared, &ROWS));
    let mut found = Vec::new();
    for engine in engines() {
        let prepared = engine.prepare(&module).unwrap();
        let first = run(&*prepared, &table, &Parameters::default()).unwrap();
        let again = run(&*prepared, &table, &Parameters::default()).unwrap();
        assert_eq!(first, again, "{}: the same bytes, faults and fuel twice", engine.fuel_schedule());
        let of_fuel = first.faults.get(&Fault::OutOfFuel).copied().unwrap_or(0);
        assert_eq!(first.out_of_fuel.len() as u64, of_fuel);
        found.push((attributes(&first.bytes).collect::<Vec<_>>(), first.faults));
    }
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "engines differ: {found:?}");
    found.swap_remove(0)
}

fn fresh() -> Declaration {
    declaration(Isolation::Fresh, FloatMode::None)
}

fn all_of(fault: Fault) -> (Vec<(u32, i64)>, Faults) {
    (vec![], [(fault, 3)].into())
}

/// R094
#[test]
fn an_endless_loop_ends_out_of_fuel() {
    assert_eq!(answers(&fresh(), "", "(loop $l br $l) unreachable"), all_of(Fault::OutOfFuel));
}

/// R094: what one person's record makes of a module stays with that person.
#[test]
fn a_trap_silences_one_person_and_nobody_else() {
    let body = "(if (i64.eq (i64.load (local.get $at)) (i64.const 0)) (then unreachable)) i64.const 9";
    let (values, faults) = answers(&fresh(), "", body);
    assert_eq!(values, [(1, 9), (5, 9)]);
    assert_eq!(faults, [(Fault::Unreachable, 1)].into());
}

/// R094
#[test]
fn every_trap_has_its_name() {
    let cases = [
        ("unreachable", Fault::Unreachable),
        ("(i64.load (i32.const 65536))", Fault::Memory),
        ("(i64.load (i32.const -1))", Fault::Memory),
        ("(i64.load offset=4294967295 (i32.const 65528))", Fault::Memory),
        ("(i64.store (i32.const 65529) (i64.const 1)) i64.const 0", Fault::Memory),
        ("(v128.store (i32.const 65521) (v128.const i64x2 0 0)) i64.const 0", Fault::Memory),
        ("(i64.div_u (i64.const 1) (i64.const 0))", Fault::Division),
        ("(i64.rem_s (i64.const 1) (i64.const 0))", Fault::Division),
        ("(i64.div_s (i64.const -9223372036854775808) (i64.const -1))", Fault::Overflow),
        ("(i64.const 281474976710656)", Fault::Malformed),
    ];
    for (body, fault) in cases {
        assert_eq!(answers(&fresh(), "", body), all_of(fault), "{body}");
    }
    let declared = declaration(Isolation::Pure, FloatMode::Canonical);
    let conversion = "(i64.trunc_f64_s (f64.const nan))";
    assert_eq!(answers(&declared, "", conversion), all_of(Fault::Conversion));
    let overflow = "(i64.trunc_f64_s (f64.const 1e30))";
    assert_eq!(answers(&declared, "", overflow), all_of(Fault::Overflow));
}

/// R094
#[test]
fn memory_grows_to_its_maximum_and_no_further() {
    let body = "(local $n i64)
        (loop $l (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1))
            (then (local.set $n (i64.add (local.get $n) (i64.const 1))) (br $l))))
        (i64.add (local.get $n) (i64.extend_i32_u (memory.size)))";
    assert_eq!(answers(&fresh(), "", body).0, [(1, 7), (4, 7), (5, 7)], "three pages more make four");
}

/// R094: NaN has one form, whatever made it.
#[test]
fn a_nan_carries_nothing() {
    let declared = declaration(Isolation::Pure, FloatMode::Canonical);
    let makers = [
        "(f64.div (f64.const 0) (f64.const 0))",
        "(f64.sqrt (f64.const -1))",
        "(f64.add (f64.const nan:0x123456789) (f64.const 1))",
        "(f64.sub (f64.const -nan:0x1) (f64.const nan:0x2))",
        "(f64.promote_f32 (f32.mul (f32.const nan:0x200001) (f32.const 1)))",
        "(f64x2.extract_lane 1 (f64x2.mul (v128.const i64x2 0 0x7ff0000000000001) (v128.const f64x2 1 1)))",
    ];
    for maker in makers {
        // The upper and the lower half of the bits, as one number below 2^48.
        let body = format!(
            "(local $b i64) (local.set $b (i64.reinterpret_f64 {maker}))
            (i64.add (i64.shr_u (local.get $b) (i64.const 48))
                (i64.shl (i64.and (local.get $b) (i64.const 0xffffffff)) (i64.const 16)))"
        );
        assert_eq!(answers(&declared, "", &body).0, [(1, 0x7ff8), (4, 0x7ff8), (5, 0x7ff8)], "{maker}");
    }
}

/// R095
#[test]
fn another_abi_and_bad_pointers_end_before_a_row_is_shown() {
    let whole = |version: &str, alloc: &str, parts: &str| {
        format!(
            r#"(module (memory (export "memory") 1 1) {parts}
            (func (export "abi_version") (result i32) {version})
            (func (export "alloc") (param i32) (result i32) {alloc})
            (func (export "run") (param i32 i32 i32) (result i64) i64.const 1))"#
        )
    };
    let (good_version, good_alloc) = ("i32.const 1", "i32.const 64");
    let outside = r#"(data (i32.const 65535) "ab")"#;
    let cases = [
        (whole("i32.const 2", good_alloc, ""), Ending::WrongAbi),
        (whole("unreachable", good_alloc, ""), Ending::WrongAbi),
        (whole("(loop $l br $l) i32.const 1", good_alloc, ""), Ending::WrongAbi),
        (whole(good_version, good_alloc, outside), Ending::WrongAbi),
        (whole(good_version, "i32.const 0", ""), Ending::BadPointer),
        (whole(good_version, "i32.const 24", ""), Ending::BadPointer),
        (whole(good_version, "i32.const -16", ""), Ending::BadPointer),
        (whole(good_version, "i32.const 65040", ""), Ending::BadPointer),
        (whole(good_version, "unreachable", ""), Ending::BadPointer),
        (whole(good_version, "(loop $l br $l) i32.const 64", ""), Ending::BadPointer),
    ];
    let declared = fresh();
    for (text, ending) in cases {
        for engine in engines() {
            let found = engine.prepare(&module(&text, &declared)).err();
            assert_eq!(found, Some(ending.clone()), "{}: {text}", engine.fuel_schedule());
        }
    }
}

/// R094: limits of a run are decided from its size alone.
#[test]
fn fuel_output_and_columns_are_decided_before_the_run() {
    let declared = fresh();
    let (module, table) = (module(&text("", "i64.const 1"), &declared), table(&declared, &ROWS));
    let parameters = Parameters::default();
    let (fuel, bytes) = (allotment(&declared, &table), 3 * 12);
    assert_eq!(fuel, 3 * (1_000_000 + 8 * 10), "three people, their rows padded to eight each");
    for engine in engines() {
        let prepared = engine.prepare(&module).unwrap();
        let run = |fuel_max, output_bytes_max| {
            let job =
                Job { table: &table, parameters: &parameters, fuel_max, output_bytes_max, left_out: &[] };
            prepared.run(&job).map(|output| output.fuel_allotted)
        };
        assert_eq!(run(fuel, bytes), Ok(fuel));
        assert_eq!(run(fuel - 1, bytes), Err(Ending::OutOfFuel));
        assert_eq!(run(fuel, bytes - 1), Err(Ending::OutputTooLarge));
        let wrong = Parameters { numbers: vec![1], lists: vec![] };
        let job =
            Job { table: &table, parameters: &wrong, fuel_max: fuel, output_bytes_max: bytes, left_out: &[] };
        assert_eq!(prepared.run(&job), Err(Ending::Parameters));
    }
}

/// R096: a replay on the second engine leaves out whom the first found out of fuel.
#[test]
fn people_can_be_left_out() {
    let declared = fresh();
    let (module, table) = (module(&text("", "i64.const 1"), &declared), table(&declared, &ROWS));
    let parameters = Parameters::default();
    for engine in engines() {
        let prepared = engine.prepare(&module).unwrap();
        let left_out = &[0, 4, 9][..];
        let output_bytes_max = 100;
        let job =
            Job { table: &table, parameters: &parameters, fuel_max: u64::MAX, output_bytes_max, left_out };
        let output = prepared.run(&job).unwrap();
        assert_eq!(attributes(&output.bytes).collect::<Vec<_>>(), [(1, 1), (5, 1)]);
    }
}

/// R094: instances go back to the pool, however a run ends.
#[test]
fn a_pool_for_one_run_serves_a_thousand() {
    let declared = fresh();
    let loops = "(if (i64.eqz (i64.load (local.get $at))) (then (loop $l br $l))) unreachable";
    let (module, table) = (module(&text("", loops), &declared), table(&declared, &ROWS));
    for engine in engines() {
        let prepared = engine.prepare(&module).unwrap();
        for _ in 0..if engine.fuel_schedule().starts_with("wasmi-") { 5 } else { 500 } {
            let faults = run(&*prepared, &table, &Parameters::default()).unwrap().faults;
            assert_eq!(faults, [(Fault::Unreachable, 2), (Fault::OutOfFuel, 1)].into());
        }
    }
}
