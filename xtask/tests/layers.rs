//! Guards the shape of the workspace: who may use whom, and what each ring may reach (R003, R010, R027).
//!
//! The allowed dependencies are read from ARCHITECTURE.md, so the page and the code cannot drift apart.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test panics

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::source::{self, Line};
use xtask::{markdown, repo};

/// Crate (by its short name) to the crates it may use.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// R003 R010
#[test]
fn crates_use_only_what_their_row_allows() {
    let text = read("ARCHITECTURE.md");
    let allowed = uses(&text, "Allowed dependencies");
    let to_come = uses(&text, "Rows to come");
    let actual = workspace_uses();
    let mut faults = Vec::new();
    for (krate, uses) in &actual {
        let Some(allowed) = allowed.get(krate) else {
            faults
                .push(format!("crate {krate} has no row under \"Allowed dependencies\" in ARCHITECTURE.md"));
            continue;
        };
        for forbidden in uses.difference(allowed) {
            faults.push(format!(
                "crate {krate} uses {forbidden}, which its row in ARCHITECTURE.md does not allow"
            ));
        }
    }
    for krate in allowed.keys().filter(|krate| !actual.contains_key(*krate)) {
        faults.push(format!("the row {krate} in ARCHITECTURE.md has no crate; move it to \"Rows to come\""));
    }
    for krate in to_come.keys().filter(|krate| actual.contains_key(*krate)) {
        faults.push(format!("crate {krate} exists; move its row out of \"Rows to come\""));
    }
    assert_none(&faults);
}

/// R218
#[test]
fn the_pure_core_reaches_no_runtime_clock_randomness_or_store() {
    let mut faults = Vec::new();
    for package in ["symphony-types", "symphony-protocol"] {
        let tree =
            cargo(&["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--locked"]);
        let reached: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(reached.contains(package), "cargo tree does not start at {package}");
        for forbidden in ["tokio", "tonic", "rand", "getrandom", "chrono", "redb"] {
            if reached.contains(forbidden) {
                faults.push(format!("{package} reaches {forbidden}"));
            }
        }
    }
    assert_none(&faults);
}

/// R218
#[test]
fn the_pure_core_is_no_std() {
    for lib in ["crates/types/src/lib.rs", "crates/protocol/src/lib.rs"] {
        let text = read(lib);
        let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with("//"));
        assert_eq!(first, Some("#![no_std]"), "{lib}: the first line of code must be #![no_std]");
    }
}

#[test]
fn vault_and_master_never_name_each_other() {
    assert_none(&naming("vault", &["symphony_master", "symphony-master"]));
    assert_none(&naming("master", &["symphony_vault", "symphony-vault"]));
}

/// R027
#[test]
fn the_gateway_never_names_the_protocol() {
    assert_none(&naming("gateway", &["symphony_protocol", "symphony-protocol"]));
}

/// R006
#[test]
fn only_the_chain_crate_names_its_vendor() {
    assert_none(&vendor_words(&["chain", "devchain"], &["aptos"]));
}

#[test]
fn only_the_attest_crate_names_vendors_of_trusted_hardware() {
    assert_none(&vendor_words(&["attest"], &["sgx", "tdx", "sev", "nitro"]));
}

/// R003
#[test]
fn planes_import_only_the_shared_documents() {
    let mut faults = Vec::new();
    for plane in PLANES {
        for (path, lines) in plane_sources(plane) {
            for (number, line) in lines.iter().enumerate().filter(|(_, line)| !line.test) {
                let code = joined_use(&lines, number, line);
                for name in crate_names(&code) {
                    if name != plane && !SHARED.contains(&name.as_str()) {
                        faults.push(format!(
                            "{}:{}: {plane} imports crate::{name}; a plane sees {} and itself",
                            path.display(),
                            number + 1,
                            SHARED.join(", ")
                        ));
                    }
                }
            }
        }
    }
    assert_none(&faults);
}

/// The short name of a workspace crate: `symphony-vault` is `vault`.
fn short(package: &str) -> String {
    package.strip_prefix("symphony-").unwrap_or(package).to_owned()
}

fn uses(text: &str, heading: &str) -> Uses {
    let rows = markdown::table(text, heading)
        .unwrap_or_else(|| panic!("ARCHITECTURE.md has no table below the heading \"{heading}\""));
    rows.into_iter()
        .map(|row| {
            let names = row[1].split_whitespace().filter(|name| *name != "-").map(str::to_owned).collect();
            (row[0].clone(), names)
        })
        .collect()
}

/// Crates of the workspace, and the one that is a workspace of its own.
fn workspace_uses() -> Uses {
    let all = packages(&[]);
    let members: BTreeSet<String> = all.iter().map(|package| name_of(package).to_owned()).collect();
    let apart = packages(&["--manifest-path", "crates/devchain/Cargo.toml"]);
    all.iter()
        .chain(&apart)
        .map(|package| {
            let used = package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(name_of)
                .filter(|name| members.contains(*name))
                .map(short)
                .collect();
            (short(name_of(package)), used)
        })
        .collect()
}

fn packages(of: &[&str]) -> Vec<serde_json::Value> {
    let printed = cargo(&[&["metadata", "--no-deps", "--format-version", "1"], of].concat());
    let metadata: serde_json::Value = serde_json::from_str(&printed).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn name_of(package: &serde_json::Value) -> &str {
    package["name"].as_str().unwrap()
}

/// Places in a crate's code and manifest that name one of `names`.
fn naming(krate: &str, names: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, lines) in crate_sources(krate) {
        for (number, line) in lines.iter().enumerate() {
            for name in names.iter().filter(|name| source::has_word(&line.code, name)) {
                faults.push(format!("{}:{}: {krate} names {name}", path.display(), number + 1));
            }
        }
    }
    let manifest = format!("crates/{krate}/Cargo.toml");
    for (number, line) in read(&manifest).lines().enumerate() {
        for name in names.iter().filter(|name| line.contains(*name)) {
            faults.push(format!("{manifest}:{}: {krate} names {name}", number + 1));
        }
    }
    faults
}

/// Identifiers outside `owners` that have one of `vendors` as a part, such as `verify_tdx` or `TdxQuote`.
fn vendor_words(owners: &[&str], vendors: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for krate in crates().iter().filter(|krate| !owners.contains(&krate.as_str())) {
        for (path, lines) in crate_sources(krate) {
            for (number, line) in lines.iter().enumerate() {
                for word in source::words(&line.uncommented) {
                    let parts = parts(word);
                    for vendor in vendors.iter().filter(|vendor| parts.iter().any(|part| part == *vendor)) {
                        faults.push(format!("{}:{}: {krate} names {vendor}", path.display(), number + 1));
                    }
                }
            }
        }
    }
    faults
}

/// The parts of an identifier in lower case: `TdxQuote` and `tdx_quote` both have `tdx` and `quote`.
fn parts(word: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut lower_before = false;
    for c in word.chars() {
        if c == '_' || (c.is_uppercase() && lower_before) {
            parts.push(String::new());
        }
        lower_before = c.is_lowercase() || c.is_numeric();
        if c != '_'
            && let Some(part) = parts.last_mut()
        {
            part.extend(c.to_lowercase());
        }
    }
    parts
}

/// A `use` that runs over several lines as one line; other lines as they are.
fn joined_use(lines: &[Line], number: usize, line: &Line) -> String {
    if !line.code.trim_start().starts_with("use ") && !line.code.contains(" use ") {
        return line.code.clone();
    }
    let mut code = String::new();
    for line in &lines[number..] {
        code.push_str(line.code.trim());
        if line.code.contains(';') {
            break;
        }
    }
    code
}

/// The first names behind every `crate::`, and other planes behind `super::`.
fn crate_names(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        names.extend(heads(&code[at + "crate::".len()..]));
    }
    for (at, _) in code.match_indices("super::") {
        let named = heads(&code[at + "super::".len()..]);
        names.extend(named.into_iter().filter(|name| PLANES.contains(&name.as_str())));
    }
    names
}

/// `a::b` gives `a`; `{a, b::{c, d}}` gives `a` and `b`.
fn heads(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        return source::words(path).next().map(str::to_owned).into_iter().collect();
    };
    let mut names = Vec::new();
    let mut depth = 1;
    let mut expecting = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expecting = true,
            c if expecting && (c.is_alphabetic() || c == '_') => {
                names.extend(source::words(&group[at..]).next().map(str::to_owned));
                expecting = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn plane_sources(plane: &str) -> Vec<(PathBuf, Vec<Line>)> {
    let folder = format!("crates/protocol/src/{plane}/");
    let file = format!("crates/protocol/src/{plane}.rs");
    let of_plane = |path: &Path| path.starts_with(&folder) || path == Path::new(&file);
    crate_sources("protocol").into_iter().filter(|(path, _)| of_plane(path) && !is_test_file(path)).collect()
}

fn is_test_file(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs")
        || path.components().any(|part| part.as_os_str() == "tests")
}

fn crate_sources(krate: &str) -> Vec<(PathBuf, Vec<Line>)> {
    let folder = format!("crates/{krate}/");
    repo::files()
        .unwrap()
        .into_iter()
        .filter(|path| path.starts_with(&folder) && path.extension().is_some_and(|end| end == "rs"))
        .filter(|path| !repo::is_generated(path))
        .map(|path| {
            let lines = source::scan(&fs::read_to_string(repo::root().join(&path)).unwrap());
            (path, lines)
        })
        .collect()
}

fn crates() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(repo::root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn cargo(args: &[&str]) -> String {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out = Command::new(program).args(args).current_dir(repo::root()).output().unwrap();
    assert!(out.status.success(), "cargo {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(repo::root().join(path)).unwrap_or_else(|error| panic!("reading {path}: {error}"))
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} broken:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn the_readers_of_this_test_see_names_and_parts() {
    assert_eq!(crate_names("use crate::{a, b::{c, d}, e};"), ["a", "b", "e"]);
    assert_eq!(
        crate_names("x: crate::artifact::Header, super::super::settlement::X"),
        ["artifact", "settlement"]
    );
    assert_eq!(parts("SevSnp"), ["sev", "snp"]);
    assert_eq!(parts("several_things"), ["several", "things"]);
}

const PLANES: [&str; 4] = ["admission", "execution", "settlement", "vault"];
const SHARED: [&str; 3] = ["artifact", "lifecycle", "governance"];
