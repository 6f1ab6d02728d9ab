//! What can be compared without the tool: abort codes and vectors in the Move sources with those of the protocol.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use symphony_chain::ledger::Abort;

fn contracts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/symphony")
}

/// Name to number of every abort code, by module.
fn codes() -> Vec<(String, String, usize)> {
    let mut codes = Vec::new();
    for entry in fs::read_dir(contracts().join("sources")).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_string_lossy().into_owned();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let Some((name, number)) =
                line.trim().strip_prefix("const E_").and_then(|rest| rest.split_once(": u64 = "))
            else {
                continue;
            };
            codes.push((module.clone(), name.to_owned(), number.trim_end_matches(';').parse().unwrap()));
        }
    }
    codes
}

/// R174-R178: one number for each way to be refused, in every contract, and the ledger's numbers are its order.
#[test]
fn abort_codes_are_the_ledgers() {
    let mut names: BTreeMap<usize, String> = BTreeMap::new();
    for (module, name, number) in codes() {
        let known = names.entry(number).or_insert_with(|| name.clone());
        assert_eq!(*known, name, "{module}: {number} has two names");
        if number < 100 {
            assert_eq!(shouted(&format!("{:?}", Abort::ALL[number - 1])), name, "{module}");
        }
    }
    // The envelope of a transaction is Aptos' own; the rest of the ledger's aborts are all there.
    let envelope = 2..=6;
    let missing: Vec<_> = (1..=Abort::ALL.len())
        .filter(|number| !envelope.contains(number) && !names.contains_key(number))
        .map(|number| Abort::ALL[number - 1])
        .collect();
    assert_eq!(missing, []);
}

/// `AmountZero` is `AMOUNT_ZERO`.
fn shouted(name: &str) -> String {
    let mut out = String::new();
    for (place, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && place > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_uppercase());
    }
    out
}

/// D7, D15: the Merkle vectors of the Move tests are those of `vectors/merkle.json`.
#[test]
fn the_move_vectors_are_the_published_ones() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let vectors = fs::read_to_string(root.join("vectors/merkle.json")).unwrap();
    let vectors: serde_json::Value = serde_json::from_str(&vectors).unwrap();
    let tests = fs::read_to_string(contracts().join("tests/merkle_tests.move")).unwrap();
    for tree in vectors["trees"].as_array().unwrap() {
        let inputs = tree["inputs"].as_array().unwrap();
        if ![1, 2, 3, 5, 8].contains(&inputs.len()) {
            continue;
        }
        for (index, (input, path)) in inputs.iter().zip(tree["proofs"].as_array().unwrap()).enumerate() {
            let path: Vec<String> = path
                .as_array()
                .unwrap()
                .iter()
                .map(|hash| format!("@0x{}", hash.as_str().unwrap()))
                .collect();
            let line = format!(
                "included(@0x{}, x\"{}\", {index}, {}, vector[{}])",
                tree["root"].as_str().unwrap(),
                input.as_str().unwrap(),
                inputs.len(),
                path.join(", ")
            );
            assert!(tests.contains(&line), "{line}");
        }
    }
}

/// R178, R182: every abort code is expected by a Move unit test.
#[test]
fn every_abort_has_a_move_test() {
    let mut tests = String::new();
    for entry in fs::read_dir(contracts().join("tests")).unwrap() {
        tests += &fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    let expected = |line: &str| -> Option<(String, usize)> {
        let (code, module) = line.split_once("abort_code = 0x")?.1.split_once(", location = symphony::")?;
        Some((module.trim_end_matches(")]").into(), usize::from_str_radix(code, 16).ok()? & 0xffff))
    };
    let expected: Vec<_> = tests.lines().filter_map(expected).collect();
    for (module, name, number) in codes() {
        assert!(expected.contains(&(module.clone(), number)), "{module}: no test expects {name}");
    }
}

/// Every abort code is in the book's table, with its modules' names.
#[test]
fn the_book_lists_every_abort() {
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/contracts.md");
    let book = fs::read_to_string(book).unwrap();
    for (module, name, number) in codes() {
        let row = book.lines().find(|line| line.starts_with(&format!("| {number} | `E_{name}` |")));
        assert!(
            row.is_some_and(|row| row.contains(&module)),
            "{number} E_{name} of {module} is not in the book"
        );
    }
}
