//! Every reason for which a module is refused, on hand-written modules.

use wat::parse_str;

use super::*;
use symphony_protocol::artifact::PrivacyClass;
use symphony_protocol::artifact::module::{Group, Input, InputKind, OutputShape, Unit};

fn declaration(isolation: Isolation, float_mode: FloatMode) -> Declaration {
    let group = Group { name: "people".into(), unit: Unit::Count, cells: 4, clip: 1, touches: 1 };
    Declaration {
        name: symphony_types::id::ModuleName::new("hostile").unwrap(),
        version: 1,
        isolation,
        float_mode,
        privacy_class: PrivacyClass::Sensitive,
        inputs: vec![Input {
            attribute: symphony_types::id::AttributeName::new("commerce.amount").unwrap(),
            kind: InputKind::Cents,
        }],
        order: None,
        parameters: vec![],
        rows_max: 8,
        words_max: 1,
        output: OutputShape::Aggregate(vec![group]),
        fuel_base: 1000,
        fuel_row: 10,
    }
}

const MEMORY: &str = r#"(memory (export "memory") 1 1)"#;
const REST: &str = r#"
    (func (export "abi_version") (result i32) i32.const 1)
    (func (export "alloc") (param i32) (result i32) i32.const 16)"#;
const RUN: &str = r#"(func (export "run") (param i32 i32 i32) (result i64) i64.const -1)"#;

fn check(text: &str, isolation: Isolation, float_mode: FloatMode) -> Result<Module, Refused> {
    let bytes = parse_str(text).unwrap();
    Module::check(&bytes, &declaration(isolation, float_mode), &Digest::of_bytes(&bytes))
}

/// What a module is refused for, whose memory, further parts and body of `run` are these.
fn refused(memory: &str, parts: &str, body: &str) -> Option<Refused> {
    let run = format!(r#"(func (export "run") (param i32 i32 i32) (result i64) {body} i64.const -1)"#);
    let text = format!("(module {memory} {REST} {parts} {run})");
    check(&text, Isolation::Fresh, FloatMode::None).err()
}

/// R095
#[test]
fn a_module_of_the_abi_passes_and_another_hash_does_not() {
    let text = format!("(module {MEMORY} {REST} {RUN})");
    let module = check(&text, Isolation::Pure, FloatMode::None).unwrap();
    assert_eq!(*module.measurement(), Digest::of_bytes(module.bytes()));
    let bytes = parse_str(&text).unwrap();
    let declared = declaration(Isolation::Pure, FloatMode::None);
    let found = Module::check(&bytes, &declared, &Digest::ZERO).err();
    assert_eq!(found, Some(Refused::Measurement));
    assert_eq!(Refused::Measurement.to_string(), "measurement");
}

/// R094
#[test]
fn parts_that_a_module_may_not_have_are_named() {
    assert_eq!(refused(MEMORY, "", ""), None);
    let import = r#"(module (import "env" "clock" (func (result i64)))"#;
    let text = format!("{import} {MEMORY} {REST} {RUN})");
    assert_eq!(check(&text, Isolation::Fresh, FloatMode::None).err(), Some(Refused::Imports));
    assert_eq!(refused(MEMORY, "(func $start) (start $start)", ""), Some(Refused::Start));
    assert_eq!(refused(MEMORY, "(table 1 funcref)", ""), Some(Refused::Calls));
    assert_eq!(refused(MEMORY, r#"(func (export "more"))"#, ""), Some(Refused::Exports));
    assert_eq!(refused("(memory 1 1)", "", ""), Some(Refused::Exports));
    assert_eq!(refused(r#"(memory (export "memory") 1)"#, "", ""), Some(Refused::Memory), "without maximum");
    assert_eq!(refused(r#"(memory (export "memory") 1 1025)"#, "", ""), Some(Refused::Memory), "a bomb");
    assert_eq!(refused(r#"(memory (export "memory") 1 1024)"#, "", ""), None);
    let text = format!("(module (func (export \"memory\")) {REST} {RUN})");
    assert_eq!(check(&text, Isolation::Fresh, FloatMode::None).err(), Some(Refused::Memory));
    let other = r#"(func (export "run") (param i32 i32) (result i64) i64.const -1)"#;
    let text = format!("(module {MEMORY} {REST} {other})");
    assert_eq!(check(&text, Isolation::Fresh, FloatMode::None).err(), Some(Refused::Exports));
}

/// R094
#[test]
fn features_that_differ_between_machines_or_engines_are_refused() {
    let invalid = Some(Refused::Invalid);
    let memory = Some(Refused::Memory);
    assert_eq!(refused(r#"(memory (export "memory") 1 1 shared)"#, "", ""), memory, "threads");
    assert_eq!(refused(r#"(memory (export "memory") i64 1 1)"#, "", ""), memory, "memory64");
    assert_eq!(refused(MEMORY, "(memory 1 1)", ""), invalid, "multi-memory");
    assert_eq!(refused(MEMORY, "(func $f return_call $f)", ""), invalid, "tail calls");
    assert_eq!(refused(MEMORY, "(func (drop (ref.null func)))", ""), invalid, "references");
    assert_eq!(refused(MEMORY, "(tag)", ""), invalid, "exceptions");
    let bulk = "(memory.fill (i32.const 0) (i32.const 0) (i32.const 8))";
    assert_eq!(refused(MEMORY, "", bulk), invalid, "bulk memory");
    let relaxed = "(drop (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0)))";
    assert_eq!(refused(MEMORY, "", relaxed), invalid, "relaxed SIMD");
    let wait = "(drop (i32.atomic.load (i32.const 0)))";
    assert_eq!(refused(MEMORY, "", wait), invalid, "atomics");
    let found = check(&format!("(module {MEMORY} {REST} {RUN})"), Isolation::Pure, FloatMode::None);
    let mut cut = found.unwrap().bytes().to_vec();
    cut.truncate(cut.len() - 3);
    let declared = declaration(Isolation::Pure, FloatMode::None);
    assert_eq!(Module::check(&cut, &declared, &Digest::of_bytes(&cut)).err(), invalid, "cut off");
}

/// R094
#[test]
fn calls_go_down_and_never_too_deep() {
    assert_eq!(refused(MEMORY, "(func $f call $f)", ""), Some(Refused::Calls));
    assert_eq!(refused(MEMORY, "(func $f call $g) (func $g call $f)", ""), Some(Refused::Calls));
    let chain = |length: u32| {
        let mut text = String::from("(func $f0)");
        for index in 1..length {
            text += &format!("(func $f{index} (local v128 v128 v128 v128) call $f{})", index - 1);
        }
        text
    };
    assert_eq!(refused(MEMORY, &chain(100), ""), None);
    assert_eq!(refused(MEMORY, &chain(1000), ""), Some(Refused::Calls));
}

/// R094
#[test]
fn floats_must_be_declared() {
    let floats = [
        "(drop (f64.add (f64.const 1) (f64.const 2)))",
        "(drop (f32.load (i32.const 0)))",
        "(drop (f32x4.add (v128.const i64x2 0 0) (v128.const i64x2 0 0)))",
        "(drop (f64x2.convert_low_i32x4_s (v128.const i64x2 0 0)))",
        "(drop (i32x4.trunc_sat_f32x4_s (v128.const i64x2 0 0)))",
        "(drop (i64.reinterpret_f64 (f64.const 1)))",
    ];
    for body in floats {
        assert_eq!(refused(MEMORY, "", body), Some(Refused::Floats), "{body}");
        let run = format!(r#"(func (export "run") (param i32 i32 i32) (result i64) {body} i64.const -1)"#);
        let text = format!("(module {MEMORY} {REST} {run})");
        assert!(check(&text, Isolation::Fresh, FloatMode::Canonical).is_ok(), "{body}");
    }
}

/// R094: a pure module has nothing to carry anything in.
#[test]
fn a_pure_module_has_no_instruction_that_writes() {
    let zero = "(i32.const 0)";
    let vector = "(v128.const i64x2 0 0)";
    let writes = [
        format!("(i32.store {zero} {zero})"),
        format!("(i32.store8 {zero} {zero})"),
        format!("(i32.store16 {zero} {zero})"),
        format!("(i64.store {zero} (i64.const 0))"),
        format!("(i64.store8 {zero} (i64.const 0))"),
        format!("(i64.store16 {zero} (i64.const 0))"),
        format!("(i64.store32 {zero} (i64.const 0))"),
        format!("(f32.store {zero} (f32.const 0))"),
        format!("(f64.store {zero} (f64.const 0))"),
        format!("(v128.store {zero} {vector})"),
        format!("(v128.store8_lane 0 {zero} {vector})"),
        format!("(v128.store16_lane 0 {zero} {vector})"),
        format!("(v128.store32_lane 0 {zero} {vector})"),
        format!("(v128.store64_lane 0 {zero} {vector})"),
        format!("(drop (memory.grow {zero}))"),
        format!("(global.set 0 {zero})"),
    ];
    for body in writes {
        let run = format!(r#"(func (export "run") (param i32 i32 i32) (result i64) {body} i64.const -1)"#);
        let text = format!("(module {MEMORY} (global (mut i32) (i32.const 0)) {REST} {run})");
        let found = |isolation| check(&text, isolation, FloatMode::Canonical).err();
        assert_eq!(found(Isolation::Pure), Some(Refused::Writes), "{body}");
        assert_eq!(found(Isolation::Fresh), None, "{body}");
    }
}

/// What of the library's whole list of instructions is named like a write is a write here, or of a feature that is off.
#[test]
fn no_write_is_forgotten() {
    macro_rules! names {
        ($( @$proposal:ident $operator:ident $({ $($argument:ident: $kind:ty),* })? => $visit:ident ($($arity:tt)*) )*) => {
            vec![$((stringify!($proposal), stringify!($operator))),*]
        };
    }
    let all: Vec<(&str, &str)> = wasmparser::for_each_operator!(names);
    assert!(all.len() > 400, "the library lists its instructions");
    let on = ["mvp", "sign_extension", "saturating_float_to_int", "simd"];
    let verbs = ["Store", "Set", "Grow", "Fill", "Copy", "Init", "Drop", "Atomic"];
    // Locals end with the call; a dropped value was none that is kept; the copy of a sign is a number.
    let harmless = ["LocalSet", "Drop", "F32Copysign", "F64Copysign"];
    let written: Vec<&str> = all
        .iter()
        .filter(|(proposal, name)| {
            on.contains(proposal) && verbs.iter().any(|verb| name.contains(verb)) && !harmless.contains(name)
        })
        .map(|(_, name)| *name)
        .collect();
    let known = [
        "GlobalSet",
        "I32Store",
        "I64Store",
        "F32Store",
        "F64Store",
        "I32Store8",
        "I32Store16",
        "I64Store8",
        "I64Store16",
        "I64Store32",
        "MemoryGrow",
        "V128Store",
        "V128Store8Lane",
        "V128Store16Lane",
        "V128Store32Lane",
        "V128Store64Lane",
    ];
    let mut sorted = written.clone();
    sorted.sort_unstable();
    let mut expected = known.to_vec();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
}

#[test]
fn sizes_have_limits() {
    let bytes = vec![0; MODULE_BYTES_MAX + 1];
    let declared = declaration(Isolation::Pure, FloatMode::None);
    let found = Module::check(&bytes, &declared, &Digest::of_bytes(&bytes)).err();
    assert_eq!(found, Some(Refused::Bytes));
    let functions = "(func)".repeat(FUNCTIONS_MAX as usize);
    assert_eq!(refused(MEMORY, &functions, ""), Some(Refused::Size));
    let locals = format!("(func (local {}))", "i64 ".repeat(LOCALS_MAX as usize + 1));
    assert_eq!(refused(MEMORY, &locals, ""), Some(Refused::Size));
    let globals = "(global i32 (i32.const 0))".repeat(GLOBALS_MAX as usize + 1);
    assert_eq!(refused(MEMORY, &globals, ""), Some(Refused::Size));
    let mut declared = declaration(Isolation::Pure, FloatMode::None);
    declared.rows_max = 0;
    let bytes = parse_str(format!("(module {MEMORY} {REST} {RUN})")).unwrap();
    let found = Module::check(&bytes, &declared, &Digest::of_bytes(&bytes)).err();
    assert_eq!(found, Some(Refused::Declaration));
}
