//! JSON shapes of statistics (R021); see [`super`].

use serde::{Deserialize, Serialize};
use symphony_wire::v1;

use super::Operand;

shapes! {
    /// Numbers about selected people: how many, unless a sum or a histogram is asked for.
    Statistic {
        who: Selection,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sum: Option<ClampedSum>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        histogram: Option<Histogram>,
        epsilon_micro: u64,
    }
}

/// Which people are meant, of those of whom there is a record that the task reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// Who has a record that satisfies all.
    Record(Vec<Operand>),
    /// Whom all of them select.
    All(Vec<Selection>),
    /// Whom one of them selects.
    Any(Vec<Selection>),
    /// Whom it does not select.
    Not(Box<Selection>),
}

/// A sum in which nobody counts for more than the clamp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClampedSum {
    /// Such as `commerce.amount`.
    pub amount: String,
    /// Records that satisfy all count; every record when empty.
    #[serde(default)]
    pub over: Vec<Operand>,
    /// What one person counts for at most. **Units**: those of the amount.
    pub clamp: u64,
}

/// People by the groups of a text attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// Such as `commerce.category`.
    pub attribute: String,
    /// Records that satisfy all count; every record when empty.
    #[serde(default)]
    pub over: Vec<Operand>,
    /// The groups; others are not counted.
    pub groups: Vec<String>,
    /// In how many groups one person counts at most.
    pub groups_each: u32,
}

impl Statistic {
    /// The message that the platform reads: a sum before a histogram, of which there is one at most.
    pub(crate) fn message(&self) -> v1::Statistic {
        use v1::statistic::Measure;
        let sum = |ClampedSum { amount, over, clamp }: ClampedSum| {
            Measure::Sum(v1::ClampedSum { amount, over: messages(&over), clamp })
        };
        let histogram = |Histogram { attribute, over, groups, groups_each }: Histogram| {
            Measure::Histogram(v1::Histogram { attribute, over: messages(&over), groups, groups_each })
        };
        let measure = self.sum.clone().map(sum).or(self.histogram.clone().map(histogram));
        v1::Statistic { who: Some(self.who.message()), measure, epsilon_micro: self.epsilon_micro }
    }
}

impl Selection {
    pub(crate) fn message(&self) -> v1::Selection {
        use v1::selection::Of;
        let list =
            |parts: &[Self]| v1::SelectionList { selections: parts.iter().map(Self::message).collect() };
        v1::Selection {
            of: Some(match self {
                Self::Record(operands) => Of::Record(v1::OperandList { operands: messages(operands) }),
                Self::All(parts) => Of::All(list(parts)),
                Self::Any(parts) => Of::Any(list(parts)),
                Self::Not(part) => Of::Not(Box::new(part.message())),
            }),
        }
    }
}

fn messages(operands: &[Operand]) -> Vec<v1::Operand> {
    operands.iter().map(Operand::message).collect()
}
