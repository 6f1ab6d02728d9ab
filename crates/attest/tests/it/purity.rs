//! Two verifiers with different clocks decide alike, because no clock is asked (R124, ADR 0043).

use std::fs;
use std::path::{Path, PathBuf};

use symphony_attest::verify::verify;
use symphony_types::time::OrderedMillis;

use crate::samples::good;

/// R124: the whole of what verification and appraisal depend on are their arguments.
#[test]
fn nothing_that_decides_reads_a_clock_a_file_a_network_or_randomness() {
    let words =
        ["SystemTime", "Instant", "now_utc", "now_local", "std::fs", "std::net", "std::env", "rand::"];
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(sources.len() > 15, "the sources are there: {}", sources.len());
    for path in sources {
        // What makes evidence touches the machine; it decides nothing.
        if path.components().any(|part| part.as_os_str() == "sources" || part.as_os_str() == "development") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for word in words {
            assert!(!text.contains(word), "{} uses {word}", path.display());
        }
    }
}

/// R124
#[test]
fn the_same_evidence_is_decided_alike_at_every_given_time() {
    for (name, evidence, collateral, at) in good() {
        let claims = verify(&evidence, &collateral, at).unwrap();
        for seconds in
            [claims.valid_from.0 / 1000 - 1, claims.valid_from.0 / 1000, claims.valid_until.0 / 1000 - 1]
        {
            let then = OrderedMillis(seconds * 1000);
            let twice = [(); 2].map(|()| verify(&evidence, &collateral, then));
            assert_eq!(twice[0], twice[1], "{name}");
            let holds = then >= claims.valid_from;
            assert_eq!(twice[0].is_ok(), holds, "{name} at {seconds}: {:?}", twice[0].as_ref().err());
        }
        let after = OrderedMillis((claims.valid_until.0 / 1000 + 1) * 1000);
        assert!(verify(&evidence, &collateral, after).is_err(), "{name}");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}
