//! Guards what style can be checked by a machine: sizes, words, numbers, names, and that nothing in `spec/` and
//! `vectors/` is left without a test. Every message names the file, the line and the rule.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test panics

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use symphony_types::catalogue::Code;
use xtask::source::{self, Line};
use xtask::{markdown, repo};

#[test]
fn no_file_is_longer_than_the_limit() {
    let mut faults = Vec::new();
    for file in sources() {
        let count = file.lines.len();
        if count > FILE_LINES_MAX {
            faults
                .push(format!("{}: {count} lines, {FILE_LINES_MAX} at most; split it by noun", file.name()));
        }
    }
    assert_none(&faults);
}

#[test]
fn every_file_says_first_what_it_decides() {
    let mut faults = Vec::new();
    for file in sources() {
        let first = file.lines.iter().find(|line| !line.raw.trim().is_empty());
        if !first.is_some_and(|line| line.raw.starts_with("//!")) {
            faults.push(format!("{}:1: a file opens with `//!`", file.name()));
        }
    }
    assert_none(&faults);
}

#[test]
fn no_unfinished_or_debugging_word_is_left() {
    let anywhere = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let macros = ["todo!", "unimplemented!", "dbg!"];
    let mut faults = Vec::new();
    for file in sources() {
        for (number, line) in file.numbered() {
            for word in anywhere.iter().filter(|word| source::has_word(&line.raw, word)) {
                faults.push(format!("{}:{number}: `{word}` is left", file.name()));
            }
            for word in macros.iter().filter(|word| line.code.contains(*word)) {
                faults.push(format!("{}:{number}: `{word}` is left", file.name()));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn no_type_hides_behind_an_empty_word() {
    let mut faults = Vec::new();
    for file in sources() {
        for (number, line) in file.numbered() {
            let words: Vec<&str> = source::words(&line.code).collect();
            for pair in words.windows(2) {
                let names_type = ["struct", "enum", "trait"].contains(&pair[0]);
                let empty = ["Manager", "Helper", "Util", "Info"].iter().find(|end| pair[1].ends_with(**end));
                if let (true, Some(end)) = (names_type, empty) {
                    faults.push(format!(
                        "{}:{number}: `{}` ends in {end}; name what it is",
                        file.name(),
                        pair[1]
                    ));
                }
            }
        }
    }
    assert_none(&faults);
}

/// R218
#[test]
fn the_pure_core_and_the_contracts_have_no_floats_and_no_hash_order() {
    let mut faults = Vec::new();
    let ring_one =
        sources().into_iter().filter(|file| file.below("crates/types") || file.below("crates/protocol"));
    for file in ring_one {
        // The encoder has to name floats once, to refuse them.
        let refuses = |line: &Line| line.code.contains("fn serialize_f");
        for (number, line) in file.numbered().filter(|(_, line)| !refuses(line)) {
            for word in source::words(&line.code) {
                if matches!(word, "f32" | "f64") {
                    faults.push(format!("{}:{number}: float `{word}` in ring 1", file.name()));
                }
                if matches!(word, "HashMap" | "HashSet") {
                    faults.push(format!(
                        "{}:{number}: `{word}` in ring 1; its order is not decided",
                        file.name()
                    ));
                }
            }
        }
    }
    for path in tracked().into_iter().filter(|path| path.starts_with("contracts")) {
        for (number, line) in read(&path).unwrap_or_default().lines().enumerate() {
            for word in source::words(line).filter(|word| matches!(*word, "f32" | "f64")) {
                faults.push(format!("{}:{}: float `{word}` in a contract", path.display(), number + 1));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn crates_stay_below_their_size_caps() {
    let text = read(Path::new("ARCHITECTURE.md")).unwrap();
    let rows = markdown::table(&text, "Size caps").expect("ARCHITECTURE.md has a table \"Size caps\"");
    let caps: BTreeMap<String, usize> =
        rows.into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect();
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for file in sources().into_iter().filter(|file| file.in_crate_source() && !file.is_test()) {
        let krate = file.path.components().nth(1).unwrap().as_os_str().to_string_lossy().into_owned();
        *sizes.entry(krate).or_default() +=
            file.lines.iter().filter(|line| line.is_code() && !line.test).count();
    }
    let mut faults = Vec::new();
    for (krate, size) in sizes {
        match caps.get(&krate) {
            None => faults.push(format!("crates/{krate}: no row in the size caps of ARCHITECTURE.md")),
            Some(cap) if size > *cap => {
                faults.push(format!("crates/{krate}: {size} lines of code, cap {cap} (ARCHITECTURE.md)"));
            }
            Some(_) => {}
        }
    }
    assert_none(&faults);
}

#[test]
fn no_tracked_file_names_a_machine() {
    let prefixes = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/fa", "rm/")];
    let mut faults = Vec::new();
    for path in tracked() {
        for (number, line) in read(&path).unwrap_or_default().lines().enumerate() {
            for prefix in prefixes.iter().filter(|prefix| starts_a_path(line, prefix)) {
                faults.push(format!("{}:{}: machine path {prefix}", path.display(), number + 1));
            }
        }
    }
    assert_none(&faults);
}

/// R003
#[test]
fn every_realized_requirement_is_named_by_a_test() {
    let spec: toml::Table = read(Path::new("spec/requirements.toml")).unwrap().parse().unwrap();
    let requirements = spec["requirement"].as_array().unwrap();
    let tests = test_text();
    let mut ids = BTreeSet::new();
    let mut faults = Vec::new();
    for requirement in requirements {
        let id = requirement["id"].as_str().unwrap();
        if !ids.insert(id) {
            faults.push(format!("spec/requirements.toml: {id} stands twice"));
        }
        for field in ["section", "text"] {
            if requirement[field].as_str().is_none_or(str::is_empty) {
                faults.push(format!("spec/requirements.toml: {id} has no {field}"));
            }
        }
        if requirement["realized"].as_bool().unwrap() && !source::has_word(&tests, id) {
            faults.push(format!("spec/requirements.toml: {id} is marked realized, but no test names it"));
        }
    }
    assert_none(&faults);
}

#[test]
fn every_vector_is_named_by_a_test() {
    let tests = test_text();
    let mut faults = Vec::new();
    for path in tracked().into_iter().filter(|path| path.starts_with("vectors")) {
        let name = path.file_name().unwrap().to_string_lossy();
        if name != "README.md" && !tests.contains(&*name) {
            faults.push(format!("{}: no test names this vector", path.display()));
        }
    }
    assert_none(&faults);
}

/// R210
#[test]
fn error_codes_are_unique_and_belong_to_a_family() {
    let mut seen = BTreeSet::new();
    for code in Code::ALL {
        let text = code.as_str();
        assert!(seen.insert(text), "code {text} stands twice in the catalogue");
        let (family, number) = text.split_once('-').expect("a code has a family");
        assert!(["ADM", "EXE", "SET", "VLT", "GOV"].contains(&family), "{text}: unknown family");
        assert!(number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit()), "{text}: four digits");
    }
}

#[test]
fn every_dependency_states_its_reason() {
    let tables = [
        ("Cargo.toml", "[workspace.dependencies]"),
        ("crates/devchain/Cargo.toml", "[dependencies]"),
        ("crates/devchain/Cargo.toml", "[dev-dependencies]"),
    ];
    let mut faults = Vec::new();
    for (manifest, heading) in tables {
        let text = read(Path::new(manifest)).unwrap();
        let table = text.lines().enumerate().skip_while(|(_, line)| *line != heading).skip(1);
        for (number, line) in table.take_while(|(_, line)| !line.starts_with('[')) {
            let is_entry =
                !line.trim().is_empty() && !line.starts_with('#') && !line.starts_with("symphony-");
            if is_entry && line.split_once('#').is_none_or(|(_, reason)| reason.trim().is_empty()) {
                faults.push(format!("{manifest}:{}: a dependency states its reason behind `#`", number + 1));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn tests_wait_for_facts_and_never_sleep() {
    let sleeps = [concat!("thread::sl", "eep"), concat!("time::sl", "eep"), concat!("sleep", "(Duration")];
    let mut faults = Vec::new();
    for file in sources().into_iter().filter(File::in_tests_folder) {
        for (number, line) in file.numbered() {
            if sleeps.iter().any(|sleep| line.code.contains(sleep)) {
                faults.push(format!("{}:{number}: a test sleeps", file.name()));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_link_of_a_page_leads_to_a_file() {
    let mut faults = Vec::new();
    for path in tracked().into_iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let folder = path.parent().unwrap_or(Path::new(""));
        for (number, line) in read(&path).unwrap_or_default().lines().enumerate() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let file = target.split('#').next().unwrap_or_default();
                let outside = file.is_empty() || target.contains("://");
                if !outside && !repo::root().join(folder).join(file).exists() {
                    faults.push(format!(
                        "{}:{}: the link {target} leads nowhere",
                        path.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert_none(&faults);
}

struct File {
    path: PathBuf,
    lines: Vec<Line>,
}

impl File {
    fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.lines.iter().enumerate().map(|(at, line)| (at + 1, line))
    }

    fn below(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// Whether the file is of a crate's library or programs, unlike its tests, benches and examples.
    fn in_crate_source(&self) -> bool {
        self.below("crates") && self.path.components().nth(2).is_some_and(|part| part.as_os_str() == "src")
    }

    fn in_tests_folder(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "tests")
    }

    fn is_test(&self) -> bool {
        let of_tests = ["tests", "benches"];
        self.path.components().any(|part| of_tests.iter().any(|name| part.as_os_str() == *name))
            || self.path.file_name().is_some_and(|name| name == "tests.rs")
    }
}

/// Every Rust file that a person wrote.
fn sources() -> Vec<File> {
    tracked()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs") && !repo::is_generated(path))
        .map(|path| {
            let lines = source::scan(&read(&path).unwrap());
            File { path, lines }
        })
        .collect()
}

/// The text of every file that holds tests.
fn test_text() -> String {
    let mut text = String::new();
    for file in sources() {
        let marked =
            file.lines.iter().any(|line| line.code.contains("#[test]") || line.code.contains("::test]"));
        if marked || file.is_test() || file.lines.iter().any(|line| line.code.contains("proptest!")) {
            for line in &file.lines {
                text.push_str(&line.raw);
                text.push('\n');
            }
        }
    }
    text
}

fn tracked() -> Vec<PathBuf> {
    repo::files().unwrap()
}

/// The text of a file, `None` when it is not text.
fn read(path: &Path) -> Option<String> {
    fs::read_to_string(repo::root().join(path)).ok()
}

/// Whether `prefix` begins a path in `line`, unlike the middle of a longer path.
fn starts_a_path(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || "._-}~*".contains(c))
    })
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} broken:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_path_begins_only_where_nothing_stands_before_it() {
    assert!(starts_a_path("see /tmp/x", "/tmp/"));
    assert!(!starts_a_path("see a/tmp/x", "/tmp/"));
}

const FILE_LINES_MAX: usize = 700;
