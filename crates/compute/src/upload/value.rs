//! From columns to canonical values: which column means what, and what each type takes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use symphony_protocol::governance::semantics::{Semantics, ValueType};
use symphony_protocol::vault::record::{LocalValue, Value};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, AttributeName, NameError, RequestId, SubjectId, UsageScope};
use symphony_types::limits::{LOCAL_COLUMNS_MAX, TEXT_LEN_MAX};
use symphony_types::time::{OrderedMillis, RecordMillis};
use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime};

use crate::upload::row::{Fields, Scalar, refuse, shown};
use crate::upload::{ConsentState, LineError, ParsedConsent, ParsedRecord, ParsedSubject};

/// A record out of its columns.
pub(super) fn record(fields: &Fields<'_>, semantics: &Semantics) -> Result<ParsedRecord, LineError> {
    const CODE: Code = Code::RecordInvalid;
    let (mut request, mut subject) = (None, None);
    let (mut values, mut local) = (BTreeMap::new(), BTreeMap::new());
    for (name, scalar) in fields.iter() {
        match name {
            "request_id" => request = Some(identifier(CODE, name, scalar, RequestId::new)?),
            "subject" => subject = Some(identifier(CODE, name, scalar, SubjectId::new)?),
            _ => {
                let attribute = AttributeName::new(name).map_err(|_| unknown(CODE, name))?;
                match semantics.attributes.get(&attribute) {
                    _ if *scalar == Scalar::Null => {}
                    Some(governed) => drop(values.insert(attribute, typed(name, scalar, governed.value)?)),
                    None => drop(local.insert(attribute, untyped(name, scalar)?)),
                }
            }
        }
    }
    if values.is_empty() {
        return Err(refuse(CODE, "the record has no governed attribute"));
    }
    if local.len() > LOCAL_COLUMNS_MAX {
        let detail = format!("at most {LOCAL_COLUMNS_MAX} columns have no governed attribute");
        return Err(refuse(CODE, detail));
    }
    Ok(ParsedRecord {
        request: present(CODE, "request_id", request)?,
        subject: present(CODE, "subject", subject)?,
        values,
        local,
    })
}

/// A subject out of its columns.
pub(super) fn subject(fields: &Fields<'_>) -> Result<ParsedSubject, LineError> {
    const CODE: Code = Code::RecordInvalid;
    let (mut subject, mut contact, mut wallet) = (None, None, None);
    for (name, scalar) in fields.iter() {
        match name {
            "subject" => subject = Some(identifier(CODE, name, scalar, SubjectId::new)?),
            "contact" => contact = Some(bounded_text(CODE, name, scalar)?.to_owned()),
            "wallet" if *scalar == Scalar::Null => {}
            "wallet" => {
                let account = Digest::from_hex(text(CODE, name, scalar)?);
                let account = account.ok_or_else(|| refuse(CODE, "wallet is not 64 hexadecimal digits"))?;
                wallet = Some(AccountId(account));
            }
            _ => return Err(unknown(CODE, name)),
        }
    }
    Ok(ParsedSubject {
        subject: present(CODE, "subject", subject)?,
        contact: present(CODE, "contact", contact)?,
        wallet,
    })
}

/// A consent statement out of its columns.
pub(super) fn consent(fields: &Fields<'_>) -> Result<ParsedConsent, LineError> {
    const CODE: Code = Code::ConsentInvalid;
    let (mut subject, mut scope, mut state, mut expires_at) = (None, None, None, None);
    for (name, scalar) in fields.iter() {
        match name {
            "subject" => subject = Some(identifier(CODE, name, scalar, SubjectId::new)?),
            "scope" => scope = Some(identifier(CODE, name, scalar, UsageScope::new)?),
            "state" => {
                state = Some(match text(CODE, name, scalar)? {
                    "granted" => ConsentState::Granted,
                    "withdrawn" => ConsentState::Withdrawn,
                    _ => return Err(refuse(CODE, "state is neither granted nor withdrawn")),
                });
            }
            "expires_at" if *scalar == Scalar::Null => {}
            "expires_at" => expires_at = Some(OrderedMillis(millis(CODE, name, scalar)?)),
            _ => return Err(unknown(CODE, name)),
        }
    }
    Ok(ParsedConsent {
        subject: present(CODE, "subject", subject)?,
        scope: present(CODE, "scope", scope)?,
        state: present(CODE, "state", state)?,
        expires_at,
    })
}

fn typed(name: &str, scalar: &Scalar<'_>, kind: ValueType) -> Result<Value, LineError> {
    const CODE: Code = Code::RecordInvalid;
    match kind {
        ValueType::Text => Ok(Value::Text(bounded_text(CODE, name, scalar)?.to_owned())),
        ValueType::Time => Ok(Value::Time(RecordMillis(millis(CODE, name, scalar)?))),
        ValueType::Cents => match scalar {
            Scalar::Integer(cents) => Ok(Value::Cents(*cents)),
            Scalar::Text(text) => {
                let cents = cents_of(text).ok_or_else(|| {
                    refuse(CODE, format!("{name} is not an amount with at most two decimals"))
                })?;
                Ok(Value::Cents(cents))
            }
            Scalar::Null | Scalar::Time(_) | Scalar::Other(_) => {
                Err(wrong(CODE, name, scalar, "a decimal text or whole cents"))
            }
        },
    }
}

/// What a column that means nothing to governance may hold.
fn untyped(name: &str, scalar: &Scalar<'_>) -> Result<LocalValue, LineError> {
    const CODE: Code = Code::RecordInvalid;
    match scalar {
        Scalar::Integer(number) => Ok(LocalValue::Number(*number)),
        Scalar::Time(millis) => Ok(LocalValue::Time(RecordMillis(*millis))),
        Scalar::Text(_) => Ok(LocalValue::Text(bounded_text(CODE, name, scalar)?.to_owned())),
        Scalar::Null | Scalar::Other(_) => Err(wrong(CODE, name, scalar, "a text, a whole number or a time")),
    }
}

/// Reads `12`, `12.3` or `12.34`, without sign, spaces or separators.
fn cents_of(text: &str) -> Option<u64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if (1..=2).contains(&fraction.len()) => (whole, fraction),
        Some(_) => return None,
        None => (text, ""),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let mut cents: u64 = 0;
    for digit in fraction.bytes().chain([b'0'; 2]).take(2) {
        cents = cents * 10 + u64::from(digit - b'0');
    }
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(cents)
}

fn millis(code: Code, name: &str, scalar: &Scalar<'_>) -> Result<u64, LineError> {
    match scalar {
        Scalar::Integer(millis) | Scalar::Time(millis) => Ok(*millis),
        Scalar::Text(text) => {
            moment(text).ok_or_else(|| refuse(code, format!("{name} is not an rfc 3339 time since 1970")))
        }
        Scalar::Null | Scalar::Other(_) => {
            Err(wrong(code, name, scalar, "an rfc 3339 text or whole milliseconds"))
        }
    }
}

/// An RFC 3339 date-time, or its full-date alone, which means its first moment in UTC.
fn moment(text: &str) -> Option<u64> {
    let time = match text.len() {
        10 => {
            let mut parts = text.split('-');
            let mut next = || parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
            let (year, month, day) =
                (next()?.parse().ok()?, next()?.parse::<u8>().ok()?, next()?.parse().ok()?);
            Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?.midnight().assume_utc()
        }
        _ => OffsetDateTime::parse(text, &Rfc3339).ok()?,
    };
    u64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()
}

fn identifier<T>(
    code: Code,
    name: &str,
    scalar: &Scalar<'_>,
    new: impl Fn(&str) -> Result<T, NameError>,
) -> Result<T, LineError> {
    new(text(code, name, scalar)?).map_err(|error| refuse(code, format!("{name} is not a name: {error}")))
}

fn bounded_text<'a>(code: Code, name: &str, scalar: &'a Scalar<'_>) -> Result<&'a str, LineError> {
    let text = text(code, name, scalar)?;
    if text.trim().is_empty() || text.len() > TEXT_LEN_MAX {
        return Err(refuse(code, format!("{name} is empty or has more than {TEXT_LEN_MAX} bytes")));
    }
    Ok(text)
}

fn text<'a>(code: Code, name: &str, scalar: &'a Scalar<'_>) -> Result<&'a str, LineError> {
    match scalar {
        Scalar::Text(Cow::Borrowed(text)) => Ok(text),
        Scalar::Text(Cow::Owned(text)) => Ok(text),
        Scalar::Null | Scalar::Integer(_) | Scalar::Time(_) | Scalar::Other(_) => {
            Err(wrong(code, name, scalar, "a text"))
        }
    }
}

fn present<T>(code: Code, name: &str, value: Option<T>) -> Result<T, LineError> {
    value.ok_or_else(|| refuse(code, format!("{name} is missing")))
}

fn unknown(code: Code, name: &str) -> LineError {
    refuse(code, format!("there is no column {}", shown(name)))
}

fn wrong(code: Code, name: &str, scalar: &Scalar<'_>, wanted: &str) -> LineError {
    let found = match scalar {
        Scalar::Null => "nothing",
        Scalar::Text(_) => "a text",
        Scalar::Integer(_) => "a number",
        Scalar::Time(_) => "a time",
        Scalar::Other(kind) => kind,
    };
    refuse(code, format!("{name} is {found}, not {wanted}"))
}
