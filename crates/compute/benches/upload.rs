//! Parsing 50,000 JSON lines into governed values against parsing the same lines into a tree of values (R077).
//!
//! The tree is what a program gets without types: it checks neither names nor values. Ours does both and keeps
//! only what it returns. The physical limit is one pass over the bytes; it is measured as the search for the ends
//! of lines, which no parser can avoid.

use serde_json::Value;
use symphony_compute::upload::{Format, records};
use symphony_protocol::artifact::PrivacyClass;
use symphony_protocol::governance::semantics::{
    Attribute, AttributeLifecycle, Queryability, Semantics, ValueType,
};
use symphony_types::id::{AttributeName, DomainName};

use crate::pairs::{compare, per_unit, print};

mod pairs;

fn main() {
    let semantics = semantics();
    let upload: String = (0..LINES).map(line).collect();
    let upload = upload.as_bytes();
    let ours = || {
        let lines = records(Format::JsonLines, upload, &semantics).expect("the upload is within the limit");
        lines.filter(|(_, line)| line.is_ok()).count()
    };
    let tree = || {
        let lines = upload.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.filter(|line| serde_json::from_slice::<Value>(line).is_ok()).count()
    };
    let ends = || upload.iter().filter(|byte| **byte == b'\n').count();
    assert!(ours() == LINES && tree() == LINES && ends() == LINES, "invariant: every line parses");
    let measured = || per_unit(LINES, ours);
    let rows = [
        compare(
            ("typed records", measured),
            ("serde_json::Value, unchecked", || per_unit(LINES, tree)),
            PAIRS,
        ),
        compare(("typed records", measured), ("ends of lines", || per_unit(LINES, ends)), PAIRS),
    ];
    print(&format!("upload: {LINES} JSON lines, {} bytes", upload.len()), "line", &rows);
}

fn line(index: usize) -> String {
    let (subject, merchant, city) = (index % 9_973, index % 37, index % 23);
    let (day, cents) = (1 + index % 28, index % 100);
    format!(
        r#"{{"request_id":"r-{index}","subject":"s-{subject}","commerce.merchant":"Merchant {merchant}","#
    ) + &format!(r#""geography.city":"City {city}","commerce.purchase_date":"2026-01-{day:02}T10:00:00Z","#)
        + &format!("\"commerce.amount\":\"{subject}.{cents:02}\"}}\n")
}

fn semantics() -> Semantics {
    let attribute = |(text, value): (&str, ValueType)| {
        let name = AttributeName::new(text).expect("the name is valid");
        let attribute = Attribute {
            domain: DomainName::new(text.split('.').next().unwrap_or(text)).expect("the name is valid"),
            value,
            privacy_class: PrivacyClass::Sensitive,
            queryability: Queryability::DirectlyQueryable,
            lifecycle: AttributeLifecycle::Active,
        };
        (name, attribute)
    };
    let attributes = [
        ("commerce.merchant", ValueType::Text),
        ("commerce.purchase_date", ValueType::Time),
        ("commerce.amount", ValueType::Cents),
        ("geography.city", ValueType::Text),
    ];
    Semantics::founding(attributes.map(attribute).into(), Default::default())
}

const LINES: usize = 50_000;
const PAIRS: usize = 9;
