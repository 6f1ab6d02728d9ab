//! `symphony tee inspect` from the outside: exit codes, text and JSON over evidence of a real machine (R121, R123).

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn evidence(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/evidence");
    folder.join(name).to_str().expect("the path is text").to_owned()
}

fn inspect(arguments: &[&str]) -> Output {
    let empty = tempfile::tempdir().expect("a folder");
    Command::new(env!("CARGO_BIN_EXE_symphony"))
        .args(["tee", "inspect"])
        .args(arguments)
        .current_dir(empty.path())
        .output()
        .expect("the command runs")
}

/// R121 R123
#[test]
fn a_genuine_report_is_explained_and_ends_well() {
    let (report, key) = (evidence("snp_milan.bin"), evidence("snp_milan_vcek.der"));
    let at = "2025-06-20T00:00:00Z";
    let output = inspect(&[&report, "--collateral", &key, "--at", at]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("genuine as of 2025-06-20T00:00:00Z"), "{text}");
    let output = inspect(&[&report, "--collateral", &key, "--at", at, "--json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["verdict"], "genuine");
    assert_eq!(value["claims"]["platform"]["model"], "Milan");
    assert_eq!(value["claims"]["measurement"].as_str().unwrap().len(), 64);
    assert_eq!(value["claims"]["signers"].as_array().unwrap().len(), 3);
}

#[test]
fn what_is_not_proven_or_no_evidence_ends_badly() {
    let (report, key) = (evidence("snp_milan.bin"), evidence("snp_milan_vcek.der"));
    assert_eq!(inspect(&[&report]).status.code(), Some(3));
    let late = inspect(&[&report, "--collateral", &key, "--at", "2035-01-01T00:00:00Z", "--json"]);
    assert_eq!(late.status.code(), Some(3));
    let value: Value = serde_json::from_slice(&late.stdout).unwrap();
    assert_eq!(value["fault"]["code"], "not-valid-at-time");
    assert_eq!(value["would_hold"]["until"], "2030-04-03T19:23:43Z");
    assert_eq!(inspect(&[&key]).status.code(), Some(2));
    assert_eq!(inspect(&[&report, "--at", "yesterday"]).status.code(), Some(2));
    assert_eq!(inspect(&[&evidence("absent")]).status.code(), Some(1));
}
