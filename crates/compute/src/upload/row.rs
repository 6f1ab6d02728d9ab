//! One line of an upload before its columns have meaning: names and scalars, borrowed from the upload.

use std::borrow::Cow;

use symphony_types::catalogue::Code;

use crate::upload::LineError;

/// A value that is not nested.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    /// Absent, as far as meaning goes.
    Null,
    /// A text.
    Text(Cow<'a, str>),
    /// A whole number.
    Integer(u64),
    /// A point in time, in milliseconds. Only columnar formats have these.
    Time(u64),
    /// Something that no column takes, by its type.
    Other(&'static str),
}

/// The columns of one line.
#[derive(Default)]
pub(crate) struct Fields<'a>(Vec<(Cow<'a, str>, Scalar<'a>)>);

impl<'a> Fields<'a> {
    /// No columns yet.
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(8))
    }

    /// Adds a column. A line has no column twice; `false` then.
    pub(crate) fn push(&mut self, name: Cow<'a, str>, value: Scalar<'a>) -> bool {
        if self.0.iter().any(|(known, _)| *known == name) {
            return false;
        }
        self.0.push((name, value));
        true
    }

    /// How many columns there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All columns.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Scalar<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }
}

/// A refusal of one line.
pub(crate) fn refuse(code: Code, detail: impl Into<String>) -> LineError {
    LineError { code, detail: detail.into() }
}

/// A column's name as far as it may stand in a message.
pub(crate) fn shown(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(NAME_SHOWN_MAX).collect()
}

const NAME_SHOWN_MAX: usize = 64;
/// Columns of one line: more than any registry has for one record.
pub(crate) const COLUMNS_MAX: usize = 128;
