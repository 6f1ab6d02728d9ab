//! Receipts with their truth: real ones where they are, drawn ones otherwise.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use symphony_compute::parse::expense::Day;
use symphony_reader::render::{self, page};

/// A receipt and what is true of it.
pub(crate) struct Sample {
    pub(crate) id: String,
    pub(crate) file: PathBuf,
    pub(crate) bytes: Vec<u8>,
    pub(crate) company: String,
    pub(crate) date: Day,
    pub(crate) total: u64,
    /// Drawn ones vanish with this.
    _folder: Option<std::sync::Arc<tempfile::TempDir>>,
}

pub(crate) fn samples() -> Vec<Sample> {
    let data = std::env::var_os("SYMPHONY_DATA_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let folder = data.join("receipts");
    match fs::read_to_string(folder.join("truth.json")) {
        Ok(truth) => real(&folder, &truth),
        Err(_) => {
            println!(
                "the folder of real receipts ({}) is absent: drawn receipts are read instead",
                folder.display()
            );
            drawn()
        }
    }
}

fn real(folder: &Path, truth: &str) -> Vec<Sample> {
    let truth: Vec<Value> = serde_json::from_str(truth).unwrap();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let mut samples: Vec<Sample> = truth
        .iter()
        .map(|entry| {
            let id = text(entry, "id");
            let file = folder.join(format!("{id}.jpg"));
            let bytes = fs::read(&file).unwrap();
            let (date, total) = (day(&text(entry, "date")), cents(&text(entry, "total")));
            Sample { id, file, bytes, company: text(entry, "company"), date, total, _folder: None }
        })
        .collect();
    samples.sort_by(|a, b| a.id.cmp(&b.id));
    samples
}

fn drawn() -> Vec<Sample> {
    let folder = std::sync::Arc::new(tempfile::tempdir().unwrap());
    (0..40)
        .map(|seed| {
            let receipt = render::invent(seed);
            let bytes = page::jpeg(&page::photographed(&page::picture(&receipt), seed)).unwrap();
            let (id, file) = (format!("{seed:03}"), folder.path().join(format!("{seed}.jpg")));
            fs::write(&file, &bytes).unwrap();
            let truth = receipt.truth;
            let _folder = Some(folder.clone());
            Sample { id, file, bytes, company: truth.merchant, date: truth.date, total: truth.total, _folder }
        })
        .collect()
}

/// "RM 29.70" and "43.7" in hundredths.
fn cents(text: &str) -> u64 {
    let number: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    let (whole, part) = number.split_once('.').unwrap_or((&number, "0"));
    whole.parse::<u64>().unwrap() * 100 + format!("{part:0<2}")[..2].parse::<u64>().unwrap()
}

/// The forms of the truth: day first, or year first, or with a month's name.
fn day(text: &str) -> Day {
    let upper = text.to_uppercase();
    let parts: Vec<&str> =
        upper.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let month = |part: &str| match MONTHS.iter().position(|month| part.starts_with(month)) {
        Some(index) => u8::try_from(index).unwrap() + 1,
        None => part.parse().unwrap(),
    };
    let year = |part: &str| {
        let year: u16 = part.parse().unwrap();
        if year < 100 { 2000 + year } else { year }
    };
    let [first, second, third] = parts[..3] else { panic!("{text} is no date") };
    if first.len() == 4 {
        return Day { year: year(first), month: month(second), day: third.parse().unwrap() };
    }
    if first.starts_with(|c: char| c.is_alphabetic()) {
        return Day { year: year(third), month: month(first), day: second.parse().unwrap() };
    }
    Day { year: year(third), month: month(second), day: first.parse().unwrap() }
}

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
