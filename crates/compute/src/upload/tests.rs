//! Uploads in every format: what is read, what is refused alone, and that no bytes make a parser panic (R055, R077).

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, RecordBatch, StringArray, StringDictionaryBuilder, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow::datatypes::Int32Type;
use arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use symphony_protocol::artifact::PrivacyClass;
use symphony_protocol::governance::semantics::{Attribute, AttributeLifecycle, Queryability, ValueType};
use symphony_types::id::DomainName;
use symphony_types::limits::{LOCAL_COLUMNS_MAX, TEXT_LEN_MAX, UPLOAD_LINE_BYTES_MAX};
use symphony_types::time::RecordMillis;

use super::*;

fn name(text: &str) -> AttributeName {
    AttributeName::new(text).unwrap()
}

fn semantics() -> Semantics {
    let attribute = |(text, value): (&str, ValueType)| {
        let attribute = Attribute {
            domain: DomainName::new(text.split('.').next().unwrap()).unwrap(),
            value,
            privacy_class: PrivacyClass::Sensitive,
            queryability: Queryability::DirectlyQueryable,
            lifecycle: AttributeLifecycle::Active,
        };
        (name(text), attribute)
    };
    let attributes = [
        ("commerce.merchant", ValueType::Text),
        ("commerce.purchase_date", ValueType::Time),
        ("commerce.amount", ValueType::Cents),
        ("geography.city", ValueType::Text),
    ];
    Semantics::founding(attributes.map(attribute).into(), BTreeMap::new())
}

fn parse(text: &str) -> Vec<(u64, Result<ParsedRecord, LineError>)> {
    records(Format::JsonLines, text.as_bytes(), &semantics()).unwrap().collect()
}

fn only(text: &str) -> Result<ParsedRecord, LineError> {
    let mut lines = parse(text);
    assert_eq!(lines.len(), 1);
    lines.remove(0).1
}

fn with(fields: &str) -> Result<ParsedRecord, LineError> {
    only(&format!(r#"{{"request_id":"r","subject":"s",{fields}}}"#))
}

fn expected() -> ParsedRecord {
    ParsedRecord {
        request: RequestId::new("r-1").unwrap(),
        subject: SubjectId::new("s-1").unwrap(),
        values: [
            (name("commerce.merchant"), Value::Text("Café \"Süd\"".into())),
            (name("commerce.purchase_date"), Value::Time(RecordMillis(1_767_225_600_000))),
            (name("commerce.amount"), Value::Cents(580)),
        ]
        .into(),
        local: BTreeMap::new(),
    }
}

/// R051: columns that no governed attribute is for are kept apart, as they were written; so many and no more.
#[test]
fn columns_of_other_names_stay_local() {
    let columns = r#""geography.city":"Bern","till":7,"cashier":" Ada ","opened":"2026-01-01","empty":null"#;
    let record = with(columns).unwrap();
    assert_eq!(record.values.len(), 1);
    let local = [
        (name("cashier"), LocalValue::Text(" Ada ".into())),
        (name("opened"), LocalValue::Text("2026-01-01".into())),
        (name("till"), LocalValue::Number(7)),
    ];
    assert_eq!(record.local, local.into());
    assert_eq!(with(r#""till":7"#).unwrap_err().detail, "the record has no governed attribute");
    let many = |count: usize| {
        let columns: String = (0..count).map(|n| format!(r#","column-{n}":{n}"#)).collect();
        with(&format!(r#""geography.city":"Bern"{columns}"#))
    };
    assert_eq!(many(LOCAL_COLUMNS_MAX).unwrap().local.len(), LOCAL_COLUMNS_MAX);
    assert_eq!(many(LOCAL_COLUMNS_MAX + 1).unwrap_err().code, Code::RecordInvalid);
    let times: ArrayRef = Arc::new(Date32Array::from(vec![2]));
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let columns =
        [("request_id", text("r")), ("subject", text("s")), ("geography.city", text("Bern")), ("day", times)];
    let bytes = parquet_of(&RecordBatch::try_from_iter(columns).unwrap());
    let semantics = semantics();
    let lines: Vec<_> = records(Format::Parquet, &bytes, &semantics).unwrap().collect();
    let day = LocalValue::Time(RecordMillis(2 * 86_400_000));
    assert_eq!(lines[0].1.as_ref().unwrap().local, [(name("day"), day)].into());
}

/// R077
#[test]
fn a_json_line_becomes_typed_values() {
    for date in
        ["\"2026-01-01T00:00:00Z\"", "\"2026-01-01\"", "\"2026-01-01T01:00:00.000+01:00\"", "1767225600000"]
    {
        for amount in ["\"5.80\"", "\"5.8\"", "580"] {
            let line = format!(
                r#"{{"request_id":"r-1","subject":"s-1","commerce.merchant":"Caf\u00e9 \"Süd\"",
                "commerce.purchase_date":{date},"commerce.amount":{amount},"geography.city":null}}"#
            );
            assert_eq!(only(&line.replace('\n', " ")).unwrap(), expected());
        }
    }
}

/// R077
#[test]
fn a_bad_line_is_refused_alone() {
    let good = r#"{"request_id":"r","subject":"s","geography.city":"Bern"}"#;
    let lines = parse(&format!("{good}\nrubbish\n\n{good}\r\n{{\"subject\":\"s\"}}\n{good}"));
    let numbers: Vec<(u64, Option<Code>)> =
        lines.iter().map(|(number, line)| (*number, line.as_ref().err().map(|error| error.code))).collect();
    let (malformed, invalid) = (Some(Code::Malformed), Some(Code::RecordInvalid));
    assert_eq!(numbers, [(1, None), (2, malformed), (4, None), (5, invalid), (6, None)]);
}

#[test]
fn refusals_name_the_column_and_never_the_value() {
    let cases = [
        (r#""no such":"secret""#, Code::RecordInvalid, "there is no column no such"),
        (r#""no.such":[1]"#, Code::RecordInvalid, "no.such is a list, not a text, a whole number or a time"),
        (
            r#""commerce.amount":5.8"#,
            Code::RecordInvalid,
            "commerce.amount is a number with a fraction, not a decimal text or whole cents",
        ),
        (
            r#""commerce.amount":-1"#,
            Code::RecordInvalid,
            "commerce.amount is a negative number, not a decimal text or whole cents",
        ),
        (
            r#""commerce.amount":"5.801""#,
            Code::RecordInvalid,
            "commerce.amount is not an amount with at most two decimals",
        ),
        (
            r#""commerce.purchase_date":"secret""#,
            Code::RecordInvalid,
            "commerce.purchase_date is not an rfc 3339 time since 1970",
        ),
        (
            r#""commerce.purchase_date":"1969-12-31""#,
            Code::RecordInvalid,
            "commerce.purchase_date is not an rfc 3339 time since 1970",
        ),
        (
            r#""commerce.merchant":{"deep":{"secret":1}}"#,
            Code::RecordInvalid,
            "commerce.merchant is a nested object, not a text",
        ),
        (r#""commerce.merchant":["secret"]"#, Code::RecordInvalid, "commerce.merchant is a list, not a text"),
        (r#""commerce.merchant":7"#, Code::RecordInvalid, "commerce.merchant is a number, not a text"),
        (
            r#""commerce.merchant":"  ""#,
            Code::RecordInvalid,
            "commerce.merchant is empty or has more than 256 bytes",
        ),
        (
            r#""geography.city":"a","geography.city":"b""#,
            Code::Malformed,
            "column geography.city stands twice",
        ),
        (r#""geography.city":null"#, Code::RecordInvalid, "the record has no governed attribute"),
    ];
    for (fields, code, detail) in &cases {
        let error = with(fields).unwrap_err();
        assert_eq!((error.code, error.detail.as_str()), (*code, *detail));
    }
    for broken in [
        r#"{"subject":"secret""#,
        r#"["secret"]"#,
        r#""secret""#,
        r#"{"subject":"secret"} secret"#,
        "\u{0}secret",
    ] {
        let error = only(broken).unwrap_err();
        assert_eq!(error.code, Code::Malformed);
        assert!(!error.detail.contains("secret"), "{error}");
    }
    let bad_name = only(r#"{"request_id":"a secret","subject":"s","geography.city":"x"}"#).unwrap_err();
    assert!(bad_name.detail.starts_with("request_id is not a name") && !bad_name.detail.contains("secret"));
}

#[test]
fn lines_texts_and_nesting_have_limits() {
    let long = "x".repeat(TEXT_LEN_MAX + 1);
    assert_eq!(with(&format!(r#""geography.city":"{long}""#)).unwrap_err().code, Code::RecordInvalid);
    assert!(with(&format!(r#""geography.city":"{}""#, &long[1..])).is_ok());
    let line = "x".repeat(UPLOAD_LINE_BYTES_MAX + 1);
    assert_eq!(with(&format!(r#""geography.city":"{line}""#)).unwrap_err().code, Code::Malformed);
    let deep = "[".repeat(10_000);
    assert_eq!(with(&format!(r#""geography.city":{deep}"#)).unwrap_err().code, Code::Malformed);
    let many: Vec<String> = (0..200).map(|at| format!("\"c{at}\":1")).collect();
    assert_eq!(with(&many.join(",")).unwrap_err().detail, "the line has too many columns");
    assert_eq!(records(Format::JsonLines, &[0xff, b'\n'], &semantics()).unwrap().count(), 1);
}

#[test]
fn subjects_have_a_contact_and_may_have_a_wallet() {
    let parse = |text: &str| subjects(Format::JsonLines, text.as_bytes()).unwrap().next().unwrap().1;
    let wallet = "ab".repeat(32);
    let whole = parse(&format!(r#"{{"subject":"s","contact":"a@x.org","wallet":"{wallet}"}}"#)).unwrap();
    assert_eq!(whole.contact, "a@x.org");
    assert_eq!(whole.wallet.unwrap().to_string(), wallet);
    assert_eq!(parse(r#"{"subject":"s","contact":"a@x.org","wallet":null}"#).unwrap().wallet, None);
    for bad in [
        r#"{"subject":"s"}"#,
        r#"{"subject":"s","contact":"a","wallet":"12"}"#,
        r#"{"subject":"s","contact":"a","x":1}"#,
    ] {
        assert_eq!(parse(bad).unwrap_err().code, Code::RecordInvalid);
    }
}

/// R055
#[test]
fn consents_state_a_scope_and_an_end() {
    let parse = |text: &str| consents(Format::JsonLines, text.as_bytes()).unwrap().next().unwrap().1;
    let granted =
        parse(r#"{"subject":"s","scope":"marketing","state":"granted","expires_at":"1970-01-02"}"#).unwrap();
    assert_eq!(granted.state, ConsentState::Granted);
    assert_eq!(granted.expires_at, Some(OrderedMillis(86_400_000)));
    let withdrawn = parse(r#"{"subject":"s","scope":"marketing","state":"withdrawn"}"#).unwrap();
    assert_eq!((withdrawn.state, withdrawn.expires_at), (ConsentState::Withdrawn, None));
    for bad in [
        r#"{"subject":"s","scope":"marketing","state":"maybe"}"#,
        r#"{"subject":"s","scope":"two words","state":"granted"}"#,
        r#"{"subject":"s","state":"granted"}"#,
    ] {
        assert_eq!(parse(bad).unwrap_err().code, Code::ConsentInvalid);
    }
}

fn batch() -> RecordBatch {
    let mut merchants = StringDictionaryBuilder::<Int32Type>::new();
    merchants.append_value("Café \"Süd\"");
    merchants.append_value("Bar");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("request_id", Arc::new(StringArray::from(vec!["r-1", "r-2"]))),
        ("subject", Arc::new(StringArray::from(vec![Some("s-1"), None]))),
        ("commerce.merchant", Arc::new(merchants.finish())),
        ("commerce.purchase_date", Arc::new(TimestampMicrosecondArray::from(vec![1_767_225_600_000_999, 0]))),
        ("commerce.amount", Arc::new(UInt64Array::from(vec![580, 1]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn parquet_of(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn stream_of(batch: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    bytes
}

/// R077
#[test]
fn columns_become_the_same_values_as_lines() {
    let batch = batch();
    for (format, bytes) in [(Format::Parquet, parquet_of(&batch)), (Format::ArrowStream, stream_of(&batch))] {
        let semantics = semantics();
        let lines: Vec<_> = records(format, &bytes, &semantics).unwrap().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], (1, Ok(expected())));
        assert_eq!(lines[1].0, 2);
        assert_eq!(lines[1].1.as_ref().unwrap_err().detail, "subject is nothing, not a text");
    }
}

#[test]
fn a_date_column_is_the_first_moment_of_its_day() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("subject", Arc::new(StringArray::from(vec!["s", "s"]))),
        ("scope", Arc::new(StringArray::from(vec!["marketing", "marketing"]))),
        ("state", Arc::new(StringArray::from(vec!["granted", "granted"]))),
        ("expires_at", Arc::new(Date32Array::from(vec![2, -1]))),
    ];
    let bytes = parquet_of(&RecordBatch::try_from_iter(columns).unwrap());
    let lines: Vec<_> = consents(Format::Parquet, &bytes).unwrap().collect();
    assert_eq!(lines[0].1.as_ref().unwrap().expires_at, Some(OrderedMillis(2 * 86_400_000)));
    assert_eq!(lines[1].1.as_ref().unwrap_err().code, Code::ConsentInvalid);
}

#[test]
fn damaged_columns_never_panic() {
    let (batch, semantics) = (batch(), semantics());
    for (format, whole) in [(Format::Parquet, parquet_of(&batch)), (Format::ArrowStream, stream_of(&batch))] {
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 0x55;
            let _ = records(format, &damaged, &semantics).map(Iterator::count);
            if index % 16 == 0 {
                let _ = records(format, &whole[..index], &semantics).map(Iterator::count);
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes: Vec<u8>) {
        let semantics = semantics();
        for format in [Format::JsonLines, Format::Parquet, Format::ArrowStream] {
            let _ = records(format, &bytes, &semantics).map(Iterator::count);
        }
    }

    #[test]
    fn amounts_come_back_as_written(cents in 0_u64..1_000_000_000_000) {
        let text = format!(r#""commerce.amount":"{}.{:02}""#, cents / 100, cents % 100);
        prop_assert_eq!(&with(&text).unwrap().values[&name("commerce.amount")], &Value::Cents(cents));
    }
}

/// Prints what a bulk upload costs: `cargo test -p symphony-compute bulk -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn bulk_lines_cost_little() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for line in 0..600_000 {
        writeln!(text, r#"{{"request_id":"r-{line}","subject":"person-{}","commerce.merchant":"Coffee Corner {}","commerce.purchase_date":"2026-03-04T08:15:00Z","commerce.amount":"{}.80","geography.city":"Zürich"}}"#, line % 9999, line % 40, line % 50).unwrap();
    }
    let semantics = semantics();
    let start = std::time::Instant::now();
    let good = records(Format::JsonLines, text.as_bytes(), &semantics)
        .unwrap()
        .filter(|(_, line)| line.is_ok())
        .count();
    println!("{good} lines in {:?}", start.elapsed());
    assert_eq!(good, 600_000);
}
