//! A thousand hostile documents: none crashes the caller, each ends in time, no process stays.
//!
//! The usual run takes a share of them; all: `HOSTILE_DOCUMENTS=1000 cargo test -p symphony-reader hostile`.

use std::time::{Duration, Instant};

use symphony_reader::host::ReadError;
use symphony_reader::hostile::Generator;

use crate::with;

/// R082
#[test]
fn hostile_documents_end_in_time_and_leave_nothing() {
    let count = std::env::var("HOSTILE_DOCUMENTS").map_or(60, |count| count.parse().unwrap());
    let reader = with(|config| config.limits.wall_ms = 8_000);
    for (number, hostile) in Generator::new(1).take(count).enumerate() {
        let start = Instant::now();
        let result = reader.read(&hostile.bytes);
        let (spent, kind) = (start.elapsed(), hostile.kind);
        assert!(spent < Duration::from_secs(12), "{number}, {kind}: {spent:?}");
        // A changed byte may leave a receipt a receipt; nothing else than an answer or a refusal is allowed.
        assert!(matches!(result, Ok(_) | Err(ReadError::Refused(_))), "{number}, {kind}: {result:?}");
    }
    assert_eq!(children(), Vec::<String>::new(), "processes are left");
}

/// R082: the same seed makes the same documents.
#[test]
fn hostile_documents_follow_from_their_seed() {
    let bytes = |seed| Generator::new(seed).take(10).map(|hostile| hostile.bytes).collect::<Vec<_>>();
    assert_eq!(bytes(3), bytes(3));
    assert_ne!(bytes(3), bytes(4));
}

/// Foreign programs whose parent is gone or is this test.
fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let mut left = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((name, rest)) = stat.split_once(") ") else { continue };
        let parent = rest.split(' ').nth(1).unwrap_or_default();
        let foreign = ["(tesseract", "(pdftotext", "(pdftoppm"].iter().any(|tool| name.contains(tool));
        if foreign && (parent == own || parent == "1") {
            left.push(stat);
        }
    }
    left
}
