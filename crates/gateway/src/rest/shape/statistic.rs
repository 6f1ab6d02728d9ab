//! JSON shapes of statistics: numbers about selected people (R021). Unknown fields are refused.

use serde::Deserialize;
use symphony_wire::v1;
use utoipa::ToSchema;

use super::{Operand, operands};
use crate::problem::Problem;

/// Numbers about selected people, noised: how many, unless a sum or a histogram is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statistic {
    /// Whose.
    who: Selection,
    /// What an amount of theirs sums up to.
    #[serde(default)]
    sum: Option<ClampedSum>,
    /// How many of them are in each group.
    #[serde(default)]
    histogram: Option<Histogram>,
    /// Of the whole result, in millionths: what each person is charged.
    epsilon_micro: u64,
}

/// Which people are meant, of those of whom there is a record that the task reads.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Selection {
    /// Who has a record that satisfies all.
    Record(Vec<Operand>),
    /// Whom all of them select.
    #[schema(no_recursion)]
    All(Vec<Selection>),
    /// Whom one of them selects.
    #[schema(no_recursion)]
    Any(Vec<Selection>),
    /// Whom it does not select.
    #[schema(no_recursion)]
    Not(Box<Selection>),
}

/// A sum in which nobody counts for more than the clamp.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClampedSum {
    /// Such as `commerce.amount`.
    amount: String,
    /// Records that satisfy all count; every record when empty.
    #[serde(default)]
    over: Vec<Operand>,
    /// What one person counts for at most.
    clamp: u64,
}

/// People by the groups of a text attribute.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Histogram {
    /// Such as `commerce.category`.
    attribute: String,
    /// Records that satisfy all count; every record when empty.
    #[serde(default)]
    over: Vec<Operand>,
    /// The groups; others are not counted.
    groups: Vec<String>,
    /// In how many groups one person counts at most.
    groups_each: u32,
}

impl Statistic {
    pub(super) fn into_message(self) -> Result<v1::Statistic, Problem> {
        use v1::statistic::Measure;
        let measure = match (self.sum, self.histogram) {
            (None, None) => None,
            (Some(ClampedSum { amount, over, clamp }), None) => {
                Some(Measure::Sum(v1::ClampedSum { amount, over: operands(over)?, clamp }))
            }
            (None, Some(Histogram { attribute, over, groups, groups_each })) => {
                let over = operands(over)?;
                Some(Measure::Histogram(v1::Histogram { attribute, over, groups, groups_each }))
            }
            (Some(_), Some(_)) => {
                return Err(Problem::malformed("a statistic has at most one of sum and histogram"));
            }
        };
        let who = Some(self.who.into_message()?);
        Ok(v1::Statistic { who, measure, epsilon_micro: self.epsilon_micro })
    }
}

impl Selection {
    /// Nested as deep as a body may be.
    pub(super) fn into_message(self) -> Result<v1::Selection, Problem> {
        use v1::selection::Of;
        let list = |parts: Vec<Self>| -> Result<v1::SelectionList, Problem> {
            let selections = parts.into_iter().map(Self::into_message).collect::<Result<_, _>>()?;
            Ok(v1::SelectionList { selections })
        };
        let of = match self {
            Self::Record(parts) => Of::Record(v1::OperandList { operands: operands(parts)? }),
            Self::All(parts) => Of::All(list(parts)?),
            Self::Any(parts) => Of::Any(list(parts)?),
            Self::Not(part) => Of::Not(Box::new(part.into_message()?)),
        };
        Ok(v1::Selection { of: Some(of) })
    }
}
