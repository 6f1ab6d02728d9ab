//! What a module answers for a person does not depend on who else is there: hostile modules that try to carry something.

use symphony_protocol::artifact::compute::Parameters;
use symphony_protocol::artifact::module::Group;
use symphony_protocol::artifact::module::{Declaration, FloatMode, Isolation, OutputShape, Unit};
use symphony_wasm::output::{attributes, cells};

use crate::{declaration, engines, module, run, table};

/// People with more and fewer rows than those before them.
const ROWS: [(u32, u64); 24] = [
    (0, 1),
    (0, 2),
    (0, 3),
    (0, 4),
    (0, 5),
    (0, 6),
    (0, 7),
    (0, 8),
    (0, 9),
    (0, 10),
    (3, 11),
    (5, 12),
    (5, 13),
    (5, 14),
    (5, 15),
    (5, 16),
    (5, 17),
    (5, 18),
    (5, 19),
    (5, 20),
    (6, 21),
    (6, 22),
    (9, 23),
    (9, 24),
];

/// Adds up all words of the memory, with their places.
const WHOLE_MEMORY: &str = "(local $p i32) (local $sum i64)
    (loop $l
        (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31)) (i64.load (local.get $p))))
        (local.set $p (i32.add (local.get $p) (i32.const 8)))
        (br_if $l (i32.lt_u (local.get $p) (i32.const 65536))))
    (i64.and (local.get $sum) (i64.const 0xffffffffffff))";

fn text(parts: &str, version: &str, body: &str) -> String {
    format!(
        r#"(module (memory (export "memory") 1 1) {parts}
        (func (export "abi_version") (result i32) {version})
        (func (export "alloc") (param i32) (result i32) i32.const 1024)
        (func (export "run") (param $at i32) (param $rows i32) (param $step i32) (result i64) {body}))"#
    )
}

/// Sees that each person has the same value alone, among all, and behind any other; returns the values.
fn each_is_alone(declared: &Declaration, text: &str) -> Vec<(u32, i64)> {
    let module = module(text, declared);
    let mut found = Vec::new();
    for engine in engines() {
        let prepared = engine.prepare(&module).unwrap();
        let of = |rows: &[(u32, u64)]| {
            let output = run(&*prepared, &table(declared, rows), &Parameters::default()).unwrap();
            attributes(&output.bytes).collect::<Vec<_>>()
        };
        let together = of(&ROWS);
        for (subject, value) in &together {
            let own: Vec<(u32, u64)> = ROWS.iter().copied().filter(|row| row.0 == *subject).collect();
            assert_eq!(of(&own), [(*subject, *value)], "{} alone", engine.fuel_schedule());
            for (other, _) in together.iter().filter(|(other, _)| other != subject) {
                let with_other: Vec<(u32, u64)> =
                    ROWS.iter().copied().filter(|row| row.0 == *subject || row.0 == *other).collect();
                assert!(of(&with_other).contains(&(*subject, *value)), "{other} before or behind");
            }
        }
        found.push(together);
    }
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
    found.swap_remove(0)
}

/// R094: residue of longer rows, and how far the window was ever filled, show nowhere.
#[test]
fn a_pure_module_that_reads_its_whole_memory_sees_one_person() {
    let declared = declaration(Isolation::Pure, FloatMode::None);
    let nothing = each_is_alone(&declared, &text("", "i32.const 1", WHOLE_MEMORY));
    assert_eq!(nothing.len(), 5);
    // Data where the host writes: it would show how far somebody's rows reached.
    let filled = format!(r#"(data (i32.const 1024) "{}")"#, "x".repeat(512));
    each_is_alone(&declared, &text(&filled, "i32.const 1", WHOLE_MEMORY));
}

/// R094
#[test]
fn a_module_that_counts_people_in_memory_and_globals_counts_one() {
    let declared = declaration(Isolation::Fresh, FloatMode::None);
    let count = "(i64.store (i32.const 0) (i64.add (i64.load (i32.const 0)) (i64.load (local.get $at))))
        (global.set $g (i64.add (global.get $g) (i64.const 1000)))
        (drop (memory.grow (i32.const 1)))
        (i64.add (global.get $g) (i64.load (i32.const 0)))";
    let parts = "(global $g (mut i64) (i64.const 0))";
    let values = each_is_alone(&declared, &text(parts, "i32.const 1", count));
    assert_eq!(values, [(0, 1001), (3, 1011), (5, 1012), (6, 1021), (9, 1023)]);
    each_is_alone(&declared, &text("", "i32.const 1", WHOLE_MEMORY));
}

/// R094: no person's instance has another past than the rest, or the first one would be known.
#[test]
fn what_the_host_asks_before_shows_in_no_answer() {
    let declared = declaration(Isolation::Fresh, FloatMode::None);
    let parts = "(global $asked (mut i64) (i64.const 5))";
    let version = "(global.set $asked (i64.const 6)) i32.const 1";
    let values = each_is_alone(&declared, &text(parts, version, "global.get $asked"));
    assert!(values.iter().all(|(_, value)| *value == 5), "{values:?}");
}

/// R094: whatever a module says, one person moves the cells of a group by its sensitivity at most.
#[test]
fn one_person_more_changes_an_aggregate_by_its_bound() {
    let mut declared = declaration(Isolation::Fresh, FloatMode::None);
    let group = Group { name: "spend".into(), unit: Unit::Cents, cells: 3, clip: 100, touches: 2 };
    let sensitivity = group.sensitivity() as i64;
    assert_eq!(sensitivity, 200);
    declared.output = OutputShape::Aggregate(vec![group]);
    declared.words_max = 8;
    // Cell `step` gets an amount far beyond the bound, again and again.
    let greedy =
        "(i64.or (i64.shl (i64.extend_i32_u (i32.rem_u (local.get $step) (i32.const 3))) (i64.const 48))
        (i64.const 0xffffffffffff))";
    let module = module(&text("", "i32.const 1", greedy), &declared);
    for engine in engines() {
        let prepared = engine.prepare(&module).unwrap();
        let of = |rows: &[(u32, u64)]| {
            let output = run(&*prepared, &table(&declared, rows), &Parameters::default()).unwrap();
            cells(&output.bytes).collect::<Vec<_>>()
        };
        let all = of(&ROWS);
        assert_eq!(all, [500, 500, 0]);
        for subject in [0, 3, 5, 6, 9] {
            let rest: Vec<(u32, u64)> = ROWS.iter().copied().filter(|row| row.0 != subject).collect();
            let moved: i64 = all.iter().zip(of(&rest)).map(|(with, without)| (with - without).abs()).sum();
            assert!(moved <= sensitivity, "{moved}");
        }
    }
}
