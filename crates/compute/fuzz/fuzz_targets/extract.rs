//! Any bytes that a recognition program could print end in an expense or a refusal, and twice in the same one (R083).
//!
//! The input is up to three recognitions of one document, divided by the byte 1: a table of Tesseract, or, where it
//! begins like one, a page description of poppler.

#![no_main]

use libfuzzer_sys::fuzz_target;
use symphony_compute::parse::{self, Scan, bbox, tsv};

fuzz_target!(|bytes: &[u8]| {
    let scans: Vec<Scan> = bytes.splitn(3, |byte| *byte == 1).map(scan).collect();
    let read = parse::extract(&scans);
    assert_eq!(read, parse::extract(&scans), "the same words were read differently");
    if let Ok(expense) = read {
        let sure = [expense.total.map(|total| total.bps()), expense.date.map(|date| date.bps())];
        assert!(sure.into_iter().flatten().all(|bps| bps <= 10_000), "surer than sure");
    }
});

fn scan(printed: &[u8]) -> Scan {
    let text = String::from_utf8_lossy(printed);
    if text.trim_start().starts_with("<page ") {
        return Scan { words: bbox::pages(&text).into_iter().flat_map(|page| page.words).collect() };
    }
    Scan { words: tsv::words(&text, 0) }
}
