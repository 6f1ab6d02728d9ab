//! From the words of a document to the record that its Vault keeps (R077, R082-R084): what the enclave of a parse decides.
//!
//! Only what the active semantics know enters the record, under the governed name and type. Everything else that was read
//! stays a candidate beside the document and gets no meaning here (R044). Printed times are taken as UTC.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::parse::Quality;
use symphony_protocol::governance::semantics::{Semantics, ValueType};
use symphony_protocol::vault::record::{CanonicalRecord, Value};
use symphony_types::amount::Bps;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, RequestId, SchemaVersion, SubjectId};
use symphony_types::limits::TEXT_LEN_MAX;
use symphony_types::time::RecordMillis;
use time::{Date, Month, Time};

use super::expense::{Clock, Day, Expense};
use super::{Scan, extract, merchant};

/// All that an extraction sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sheet {
    /// The salt of the record to be; 32 random bytes.
    pub salt: [u8; 32],
    /// The shape of the record to be.
    pub schema: SchemaVersion,
    /// Whose document it is.
    pub subject: SubjectId,
    /// The name of the record to be.
    pub request: RequestId,
    /// What the active semantics know.
    pub attributes: BTreeMap<AttributeName, ValueType>,
    /// The words, by recognition.
    pub scans: Vec<Scan>,
}

impl Sheet {
    /// What an evidence names the words by. The salt is in it, so that nobody finds them by guessing.
    pub fn root(&self) -> Digest {
        Digest::of("symphony/parse-words/v1", self)
    }

    /// Reads the expense and makes the record of it. The same sheet gives the same bytes.
    ///
    /// **Errors**: `VLT-0013` when the words are no receipt's, or tell nothing that the semantics know.
    pub fn read(&self) -> Result<Read, Code> {
        let expense = extract(&self.scans).map_err(|_| Code::NotAReceipt)?;
        let values = expense.values(|name| self.attributes.get(name).copied());
        if values.is_empty() {
            return Err(Code::NotAReceipt);
        }
        let Self { salt, schema, subject, request, .. } = self.clone();
        let record = CanonicalRecord { salt, schema, subject, request, values, local: BTreeMap::new() };
        let quality = Quality {
            completeness: Bps(expense.quality.completeness),
            checks: Bps(expense.quality.consistency),
            confidence: Bps(expense.quality.confidence),
        };
        Ok(Read { expense, record, quality })
    }
}

/// What came out of a sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// All that was read.
    pub expense: Expense,
    /// What tasks may see of it.
    pub record: CanonicalRecord,
    /// How good it is.
    pub quality: Quality,
}

/// The attributes that a record may use of these semantics, with their types.
pub fn known(semantics: &Semantics) -> BTreeMap<AttributeName, ValueType> {
    let types = semantics.attributes.iter().map(|(name, attribute)| (name.clone(), attribute.value));
    types.collect()
}

/// The governed name of what a receipt says in a field; `None` for one that stays local.
pub fn attribute(field: &str) -> Option<&'static str> {
    let named = NAMES.iter().find(|(of, _)| *of == field);
    named.map(|(_, name)| *name)
}

impl Expense {
    /// The values that a record has of it, of the attributes that are `known` with the type that they have.
    pub fn values(
        &self,
        known: impl Fn(&AttributeName) -> Option<ValueType>,
    ) -> BTreeMap<AttributeName, Value> {
        let text = |value: &str| Value::Text(value.to_owned());
        let merchant = self.merchant.as_ref().map(|field| merchant::trading_name(&field.value));
        let city = self.city.as_ref().map(|field| field.value.as_str());
        let fits = |value: &&str| !value.is_empty() && value.len() <= TEXT_LEN_MAX;
        let time = self.time.as_ref().map(|field| field.value);
        let date = self.date.as_ref().and_then(|field| moment(field.value, time));
        let read = [
            ("merchant", merchant.filter(fits).map(text)),
            ("date", date.map(Value::Time)),
            ("total", self.total.as_ref().map(|field| Value::Cents(field.value))),
            ("city", city.filter(fits).map(text)),
        ];
        let mut values = BTreeMap::new();
        for (field, value) in read {
            let name = attribute(field).and_then(|name| AttributeName::new(name).ok());
            let (Some(name), Some(value)) = (name, value) else { continue };
            if known(&name) == Some(type_of(&value)) {
                values.insert(name, value);
            }
        }
        values
    }
}

const fn type_of(value: &Value) -> ValueType {
    match value {
        Value::Text(_) => ValueType::Text,
        Value::Time(_) => ValueType::Time,
        Value::Cents(_) => ValueType::Cents,
    }
}

/// A printed day and time; the day's first moment where no time is printed.
fn moment(day: Day, time: Option<Clock>) -> Option<RecordMillis> {
    let date = Date::from_calendar_date(day.year.into(), Month::try_from(day.month).ok()?, day.day).ok()?;
    let time = match time {
        Some(Clock { hour, minute, second }) => Time::from_hms(hour, minute, second).ok()?,
        None => Time::MIDNIGHT,
    };
    let seconds = u64::try_from(date.with_time(time).assume_utc().unix_timestamp()).ok()?;
    Some(RecordMillis(seconds * 1_000))
}

/// Which field becomes which governed attribute.
const NAMES: &[(&str, &str)] = &[
    ("merchant", "commerce.merchant"),
    ("date", "commerce.purchase_date"),
    ("total", "commerce.amount"),
    ("city", "geography.city"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::layout::{Region, Word};

    fn sheet(rows: &[&str], attributes: &[(&str, ValueType)]) -> Sheet {
        let word = |row: usize, column: usize, text: &str| Word {
            text: text.to_owned(),
            bps: 9_500,
            at: Region {
                page: 0,
                left: 20 + 90 * column as u32,
                top: 40 * row as u32,
                right: 20 + 90 * column as u32 + 80,
                bottom: 40 * row as u32 + 24,
            },
        };
        let words = rows.iter().enumerate().flat_map(|(row, text)| {
            text.split(' ').enumerate().map(move |(column, text)| word(row, column, text)).collect::<Vec<_>>()
        });
        let attributes = attributes.iter().map(|(name, value)| (AttributeName::new(name).unwrap(), *value));
        Sheet {
            salt: [7; 32],
            schema: SchemaVersion(1),
            subject: SubjectId::new("alice").unwrap(),
            request: RequestId::new("parse-1").unwrap(),
            attributes: attributes.collect(),
            scans: vec![Scan { words: words.collect() }],
        }
    }

    const ALL: &[(&str, ValueType)] = &[
        ("commerce.merchant", ValueType::Text),
        ("commerce.purchase_date", ValueType::Time),
        ("commerce.amount", ValueType::Cents),
        ("geography.city", ValueType::Text),
    ];
    const RECEIPT: &[&str] = &[
        "Northern Lamp Trading Pte Ltd",
        "12 Orchard Road",
        "Singapore 238801",
        "Receipt No: 10045",
        "Date: 25/03/2018 19:04:00",
        "Lamp 12.50",
        "Total SGD 12.50",
        "Cash 20.00",
        "Change 7.50",
    ];

    /// R082, R083, R084: governed values enter the record with their types, and the same sheet gives the same bytes.
    #[test]
    fn a_sheet_becomes_a_record_of_governed_values() {
        let sheet = sheet(RECEIPT, ALL);
        let read = sheet.read().unwrap();
        let value = |name: &str| read.record.values.get(&AttributeName::new(name).unwrap()).cloned();
        assert_eq!(value("commerce.purchase_date"), Some(Value::Time(RecordMillis(1_522_004_640_000))));
        assert_eq!(value("commerce.amount"), Some(Value::Cents(1_250)));
        assert_eq!(value("geography.city"), Some(Value::Text("Singapore".to_owned())));
        assert_eq!(value("commerce.merchant"), Some(Value::Text("NORTHERN LAMP TRADING".to_owned())));
        assert!(read.quality.completeness > Bps(5_000));
        let again = sheet.read().unwrap();
        assert_eq!(
            (again.record.commitment(), again.expense.canonical()),
            (read.record.commitment(), read.expense.canonical())
        );
        let other = Sheet { salt: [8; 32], ..sheet.clone() };
        assert_ne!(other.read().unwrap().record.commitment(), read.record.commitment());
        assert_ne!(other.root(), sheet.root());
    }

    /// R083: a brand is found by its name, whatever form its company has.
    #[test]
    fn a_trading_name_has_no_legal_form() {
        for (printed, name) in [
            ("NORTHERN LAMP (SINGAPORE) PTE LTD", "NORTHERN LAMP"),
            ("NORTHERN LAMP SDN BHD", "NORTHERN LAMP"),
            ("NORTHERN LAMP GMBH", "NORTHERN LAMP"),
            ("NORTHERN LAMP", "NORTHERN LAMP"),
            ("(M) LAMP", "(M) LAMP"),
        ] {
            assert_eq!(merchant::trading_name(printed), name);
        }
    }

    /// R044: what the semantics do not know, or know as something else, gets no meaning.
    #[test]
    fn unknown_attributes_stay_out_of_the_record() {
        let some = [("commerce.merchant", ValueType::Cents), ("commerce.amount", ValueType::Cents)];
        let read = sheet(RECEIPT, &some).read().unwrap();
        assert_eq!(
            read.record.values.keys().map(AttributeName::as_str).collect::<Vec<_>>(),
            ["commerce.amount"]
        );
        assert_eq!(sheet(RECEIPT, &[]).read(), Err(Code::NotAReceipt));
    }

    /// R080: words that are no receipt's make no record.
    #[test]
    fn other_papers_make_no_record() {
        let letter = ["Dear friends of the northern lamp", "we meet on Sunday in the hall"];
        assert_eq!(sheet(&letter, ALL).read(), Err(Code::NotAReceipt));
        assert_eq!(sheet(&[], ALL).read(), Err(Code::NotAReceipt));
    }
}
