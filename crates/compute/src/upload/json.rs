//! JSON lines: each line is deserialised into borrowed scalars without a tree of values.

use std::borrow::Cow;
use std::fmt;

use rayon::prelude::*;
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use symphony_types::catalogue::Code;
use symphony_types::limits::UPLOAD_LINE_BYTES_MAX;

use crate::upload::LineError;
use crate::upload::row::{COLUMNS_MAX, Fields, Scalar, refuse, shown};

/// Parses each line that is not blank, some at a time on all cores.
pub(super) fn lines<'a, T: Send + 'a>(
    bytes: &'a [u8],
    parse: impl for<'f> Fn(&Fields<'f>) -> Result<T, LineError> + Sync + 'a,
) -> impl Iterator<Item = (u64, Result<T, LineError>)> + 'a {
    let numbered = (1_u64..).zip(bytes.split(|byte| *byte == b'\n'));
    let mut numbered = numbered.filter(|(_, line)| !line.trim_ascii().is_empty());
    let parsed = move || {
        let lines: Vec<(u64, &[u8])> = numbered.by_ref().take(LINES_AT_A_TIME).collect();
        let parsed = lines.into_par_iter().map(|(number, line)| {
            let parsed = fields(line).and_then(|fields| parse(&fields));
            (number, parsed)
        });
        Some(parsed.collect::<Vec<_>>()).filter(|parsed| !parsed.is_empty())
    };
    std::iter::from_fn(parsed).flatten()
}

fn fields(line: &[u8]) -> Result<Fields<'_>, LineError> {
    if line.len() > UPLOAD_LINE_BYTES_MAX {
        return Err(refuse(Code::Malformed, format!("a line has at most {UPLOAD_LINE_BYTES_MAX} bytes")));
    }
    let line = std::str::from_utf8(line).map_err(|_| refuse(Code::Malformed, "the line is not utf-8"))?;
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let parsed = deserializer.deserialize_map(Line).and_then(|fields| deserializer.end().map(|()| fields));
    parsed.map_err(|error| refuse(Code::Malformed, detail(&error)))
}

/// The parser's own words may quote a value; only those of this module are passed on.
fn detail(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.strip_prefix(OWN_WORDS) {
        Some(own) => own.rsplit_once(" at line ").map_or(own, |(own, _)| own).into(),
        None => format!("the line is not one flat json object (column {})", error.column()),
    }
}

struct Line;

impl<'de> Visitor<'de> for Line {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a flat object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::new();
        while let Some(name) = map.next_key_seed(Text)? {
            let value = map.next_value_seed(Field)?;
            if fields.len() == COLUMNS_MAX {
                return Err(A::Error::custom(format!("{OWN_WORDS}the line has too many columns")));
            }
            let shown = shown(&name);
            if !fields.push(name, value) {
                return Err(A::Error::custom(format!("{OWN_WORDS}column {shown} stands twice")));
            }
        }
        Ok(fields)
    }
}

struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.into()))
    }
}

struct Field;

impl<'de> DeserializeSeed<'de> for Field {
    type Value = Scalar<'de>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Field {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number or null")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.into())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Integer(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other("a negative number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other("a number with a fraction"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other("a yes or no"))
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }

    // Nested values are skipped, within the parser's limit of depth, so that the refusal can name the column.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("a nested object"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other("a list"))
    }
}

/// Lines that are parsed before the first of them is taken.
const LINES_AT_A_TIME: usize = 4_096;
/// Marks messages that quote no value.
const OWN_WORDS: &str = "line: ";
