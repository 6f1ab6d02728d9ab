//! What may be asked: conditions on one record, selections of people by conditions over several of their records, and the
//! questions that have an answer.
//!
//! Two values everywhere: a comparison with a missing value is false, and `Not` of it is true. Texts are compared in their
//! normal form. The people over whom `Not` ranges are the permitted ones, also those without a record.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use symphony_protocol::governance::semantics::{ValueType, normalise};
use symphony_types::id::AttributeName;
use symphony_types::limits::{SET_VALUES_MAX, TEXT_LEN_MAX};

use crate::limits::{DEPTH_MAX, GROUPS_MAX, NODES_MAX, TOP_MAX};
use crate::schema::SegmentSchema;

/// A condition on one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// The text is one of these, which are in their normal form: see [`Condition::text`].
    Text {
        /// The attribute.
        attribute: AttributeName,
        /// The texts.
        one_of: BTreeSet<String>,
    },
    /// The time or amount lies in `least..=most`.
    Number {
        /// The attribute.
        attribute: AttributeName,
        /// The least that counts.
        least: u64,
        /// The most that counts.
        most: u64,
    },
    /// The record has a value.
    Present(AttributeName),
    /// All of them hold; every record where there are none.
    All(Vec<Condition>),
    /// One of them holds; no record where there are none.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
}

/// What is measured over the records of a person that satisfy a condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure {
    /// How many there are.
    Records,
    /// The sum of an amount over them; it stays at the greatest number instead of wrapping.
    Sum(AttributeName),
}

/// Which people are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selection {
    /// Who has a measure within `at_least..=at_most` over the records that satisfy the condition; it is zero where there are none.
    Measured {
        /// The records.
        over: Condition,
        /// What is measured.
        measure: Measure,
        /// The least that qualifies.
        at_least: u64,
        /// The most that qualifies.
        at_most: u64,
    },
    /// Whom all of them select; everybody where there are none.
    All(Vec<Selection>),
    /// Whom one of them selects; nobody where there are none.
    Any(Vec<Selection>),
    /// Whom it does not select.
    Not(Box<Selection>),
}

/// An audience: who is selected, and of each the latest qualifying time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Composition {
    /// Who.
    pub who: Selection,
    /// The time whose latest value over the records that qualified a person is given; zero where there is none. Of several
    /// selections joined by `All` it is the latest of all, by `Any` the latest of those that hold, and `Not` has none.
    pub latest: Option<AttributeName>,
}

/// A sum over selected people, in which nobody counts for more than `clamp`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClampedSum {
    /// Whose.
    pub who: Selection,
    /// The records that are summed.
    pub over: Condition,
    /// The measure that is summed.
    pub measure: Measure,
    /// What one person counts for at most.
    pub clamp: u64,
}

/// How many selected people are in each group of a text attribute.
///
/// A person counts once in each of at most `groups_each` groups: those in which most of the person's records are, the lesser text first
/// where they are equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// Whose.
    pub who: Selection,
    /// The records that are looked at.
    pub over: Condition,
    /// The attribute whose texts are the groups.
    pub group: AttributeName,
    /// The groups that are counted; others are not in the answer, so that the answer's shape tells nothing.
    pub groups: BTreeSet<String>,
    /// In how many groups one person counts at most.
    pub groups_each: u32,
}

/// The selected people with the greatest measure; of two with the same the one with the lesser index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Top {
    /// Of whom.
    pub who: Selection,
    /// The records that are measured.
    pub over: Condition,
    /// What is measured.
    pub measure: Measure,
    /// How many people.
    pub count: u32,
}

/// A composition is none that this Vault can answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompositionError {
    /// A limit.
    #[error("the composition has too many {0}")]
    TooMany(&'static str),
    /// Nested too deeply.
    #[error("the composition is nested too deeply")]
    Depth,
    /// The Vault has no such attribute.
    #[error("the vault has no attribute {0}")]
    Attribute(AttributeName),
    /// An attribute is compared or measured as what it is not.
    #[error("{0} is of another type")]
    Type(AttributeName),
    /// A text that is not in its normal form, or too long, equals nothing.
    #[error("a text compared with {0} is not in its normal form")]
    Text(AttributeName),
}

impl Condition {
    /// The text of an attribute is one of these, in whatever letter case and spacing.
    pub fn text<T: AsRef<str>>(attribute: &AttributeName, one_of: impl IntoIterator<Item = T>) -> Self {
        let one_of = one_of.into_iter().map(|text| normalise(text.as_ref())).collect();
        Self::Text { attribute: attribute.clone(), one_of }
    }

    /// A time or an amount of at least this.
    pub fn at_least(attribute: &AttributeName, least: u64) -> Self {
        Self::Number { attribute: attribute.clone(), least, most: u64::MAX }
    }

    /// A time or an amount in `least..=most`.
    pub fn between(attribute: &AttributeName, least: u64, most: u64) -> Self {
        Self::Number { attribute: attribute.clone(), least, most }
    }

    /// Every record.
    pub fn every() -> Self {
        Self::All(Vec::new())
    }

    /// The times that a record must lie in to satisfy the condition, as one range; `None` when no time can be said.
    pub(crate) fn window(&self, time: &AttributeName) -> Option<(u64, u64)> {
        match self {
            Self::Number { attribute, least, most } if attribute == time => Some((*least, *most)),
            Self::Text { .. } | Self::Number { .. } | Self::Present(_) | Self::Not(_) => None,
            Self::All(parts) => {
                let windows = parts.iter().filter_map(|part| part.window(time));
                windows.reduce(|(least, most), (more, less)| (least.max(more), most.min(less)))
            }
            Self::Any(parts) => {
                let mut windows = parts.iter().map(|part| part.window(time));
                // The hull of all; one that says nothing leaves every time open.
                let first = windows.next()??;
                windows.try_fold(first, |(least, most), window| {
                    window.map(|(less, more)| (least.min(less), most.max(more)))
                })
            }
        }
    }

    /// Adds the attributes that are read.
    pub(crate) fn attributes(&self, read: &mut BTreeSet<AttributeName>) {
        match self {
            Self::Text { attribute, .. } | Self::Number { attribute, .. } | Self::Present(attribute) => {
                read.insert(attribute.clone());
            }
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.attributes(read)),
            Self::Not(part) => part.attributes(read),
        }
    }
}

impl Selection {
    /// Who has a record that satisfies the condition.
    pub fn record(over: Condition) -> Self {
        Self::records(over, 1)
    }

    /// Who has at least so many records that satisfy the condition.
    pub fn records(over: Condition, at_least: u64) -> Self {
        Self::Measured { over, measure: Measure::Records, at_least, at_most: u64::MAX }
    }

    /// Whose amounts sum up to at least this over the records that satisfy the condition.
    pub fn sum(over: Condition, amount: &AttributeName, at_least: u64) -> Self {
        Self::Measured { over, measure: Measure::Sum(amount.clone()), at_least, at_most: u64::MAX }
    }

    /// Everybody who is permitted.
    pub fn everybody() -> Self {
        Self::All(Vec::new())
    }
}

impl Composition {
    /// **Errors**: [`CompositionError`] when a Vault with these attributes cannot answer it.
    pub fn check(&self, schema: &SegmentSchema) -> Result<(), CompositionError> {
        let mut checked = Checked { schema, nodes: 0 };
        checked.selection(&self.who, 0)?;
        self.latest.iter().try_for_each(|time| checked.is(time, &[ValueType::Time]))
    }
}

impl ClampedSum {
    /// **Errors**: as [`Composition::check`].
    pub fn check(&self, schema: &SegmentSchema) -> Result<(), CompositionError> {
        let mut checked = Checked { schema, nodes: 0 };
        checked.selection(&self.who, 0)?;
        checked.condition(&self.over, 0)?;
        checked.measure(&self.measure)
    }
}

impl Histogram {
    /// The records that are looked at and lie in a group.
    pub(crate) fn in_groups(&self) -> Condition {
        let group = Condition::Text { attribute: self.group.clone(), one_of: self.groups.clone() };
        Condition::All(vec![self.over.clone(), group])
    }

    /// **Errors**: as [`Composition::check`].
    pub fn check(&self, schema: &SegmentSchema) -> Result<(), CompositionError> {
        let mut checked = Checked { schema, nodes: 0 };
        checked.selection(&self.who, 0)?;
        checked.condition(&self.over, 0)?;
        checked.is(&self.group, &[ValueType::Text])?;
        if self.groups.len() > GROUPS_MAX {
            return Err(CompositionError::TooMany("groups"));
        }
        self.groups.iter().try_for_each(|text| normal(&self.group, text))
    }
}

impl Top {
    /// **Errors**: as [`Composition::check`].
    pub fn check(&self, schema: &SegmentSchema) -> Result<(), CompositionError> {
        let mut checked = Checked { schema, nodes: 0 };
        checked.selection(&self.who, 0)?;
        checked.condition(&self.over, 0)?;
        checked.measure(&self.measure)?;
        if self.count > TOP_MAX { Err(CompositionError::TooMany("people")) } else { Ok(()) }
    }
}

struct Checked<'a> {
    schema: &'a SegmentSchema,
    nodes: usize,
}

impl Checked<'_> {
    fn selection(&mut self, selection: &Selection, depth: usize) -> Result<(), CompositionError> {
        self.node(depth)?;
        match selection {
            Selection::Measured { over, measure, .. } => {
                self.condition(over, depth + 1)?;
                self.measure(measure)
            }
            Selection::All(parts) | Selection::Any(parts) => {
                parts.iter().try_for_each(|part| self.selection(part, depth + 1))
            }
            Selection::Not(part) => self.selection(part, depth + 1),
        }
    }

    fn condition(&mut self, condition: &Condition, depth: usize) -> Result<(), CompositionError> {
        self.node(depth)?;
        match condition {
            Condition::Text { attribute, one_of } => {
                self.is(attribute, &[ValueType::Text])?;
                if one_of.len() > SET_VALUES_MAX {
                    return Err(CompositionError::TooMany("texts"));
                }
                one_of.iter().try_for_each(|text| normal(attribute, text))
            }
            Condition::Number { attribute, .. } => self.is(attribute, &[ValueType::Time, ValueType::Cents]),
            Condition::Present(attribute) => {
                self.is(attribute, &[ValueType::Text, ValueType::Time, ValueType::Cents])
            }
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().try_for_each(|part| self.condition(part, depth + 1))
            }
            Condition::Not(part) => self.condition(part, depth + 1),
        }
    }

    fn measure(&self, measure: &Measure) -> Result<(), CompositionError> {
        match measure {
            Measure::Records => Ok(()),
            Measure::Sum(attribute) => self.is(attribute, &[ValueType::Cents]),
        }
    }

    fn is(&self, attribute: &AttributeName, types: &[ValueType]) -> Result<(), CompositionError> {
        match self.schema.attributes().get(attribute) {
            None => Err(CompositionError::Attribute(attribute.clone())),
            Some(value) if types.contains(value) => Ok(()),
            Some(_) => Err(CompositionError::Type(attribute.clone())),
        }
    }

    fn node(&mut self, depth: usize) -> Result<(), CompositionError> {
        self.nodes += 1;
        if depth > DEPTH_MAX {
            Err(CompositionError::Depth)
        } else if self.nodes > NODES_MAX {
            Err(CompositionError::TooMany("parts"))
        } else {
            Ok(())
        }
    }
}

fn normal(attribute: &AttributeName, text: &str) -> Result<(), CompositionError> {
    if text.chars().count() > TEXT_LEN_MAX || normalise(text) != text {
        return Err(CompositionError::Text(attribute.clone()));
    }
    Ok(())
}
