//! The documents of a statistic: how many people a selection means, what an amount of theirs sums up to, or how they are spread
//! over groups; noised, over all Vaults (R022, R088, D10).
//!
//! Shapes and the small rules that master, Vault and enclave must read alike: whom a selection selects, and how wide the noise is.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AttributeName, TaskId};
use symphony_types::time::OrderedMillis;

use super::compute::{NoiseScale, PEOPLE};
use super::module::{Group, Unit};
use super::{Operand, Outcome, PrivacyClass, ResolvedOperand};

/// Which people are meant: those of whom there is a record that a task reads, as far as they consent and have budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selection<T> {
    /// Who has a record for which all of these hold.
    Record(Vec<T>),
    /// Whom all of them select; everybody where there are none.
    All(Vec<Selection<T>>),
    /// Whom one of them selects; nobody where there are none.
    Any(Vec<Selection<T>>),
    /// Whom it does not select.
    Not(Box<Selection<T>>),
}

impl<T> Selection<T> {
    /// Whether it is as small as a task's may be.
    pub fn fits(&self) -> bool {
        let mut nodes = 0;
        let operands = || self.records().into_iter().map(<[T]>::len).sum::<usize>();
        self.within(SELECTION_DEPTH_MAX, &mut nodes) && operands() <= SELECTION_OPERANDS_MAX
    }

    fn within(&self, depth: usize, nodes: &mut usize) -> bool {
        *nodes += 1;
        let inside = |parts: &[Self], nodes: &mut usize| {
            depth > 0 && parts.iter().all(|part| part.within(depth - 1, nodes))
        };
        *nodes <= SELECTION_NODES_MAX
            && match self {
                Self::Record(_) => true,
                Self::All(parts) | Self::Any(parts) => parts.is_empty() || inside(parts, nodes),
                Self::Not(part) => inside(core::slice::from_ref(&**part), nodes),
            }
    }

    /// The conditions on records, in order.
    pub fn records(&self) -> Vec<&[T]> {
        match self {
            Self::Record(operands) => vec![operands],
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::records).collect(),
            Self::Not(part) => part.records(),
        }
    }

    /// Whether it selects a person who has records for these conditions: a bit for each of [`Selection::records`], the first one
    /// lowest.
    pub fn selects(&self, holding: u32) -> bool {
        self.decide(&mut { holding })
    }

    /// Takes the bits of its conditions away from the low end.
    fn decide(&self, holding: &mut u32) -> bool {
        match self {
            Self::Record(_) => {
                let holds = *holding & 1 == 1;
                *holding >>= 1;
                holds
            }
            // Every part takes its bits, whatever those before it have decided.
            Self::All(parts) => parts.iter().fold(true, |all, part| all & part.decide(holding)),
            Self::Any(parts) => parts.iter().fold(false, |any, part| any | part.decide(holding)),
            Self::Not(part) => !part.decide(holding),
        }
    }

    /// The same over what each condition becomes. **Errors**: the first of `bind`.
    pub fn bound<U, E, F>(&self, bind: &mut F) -> Result<Selection<U>, E>
    where
        F: FnMut(&[T]) -> Result<Vec<U>, E>,
    {
        let mut each =
            |parts: &[Self]| parts.iter().map(|part| part.bound(bind)).collect::<Result<Vec<_>, E>>();
        Ok(match self {
            Self::All(parts) => Selection::All(each(parts)?),
            Self::Any(parts) => Selection::Any(each(parts)?),
            Self::Record(operands) => Selection::Record(bind(operands)?),
            Self::Not(part) => Selection::Not(Box::new(part.bound(bind)?)),
        })
    }
}

/// What is measured over the selected people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Measure<T> {
    /// How many they are.
    People,
    /// What an amount sums up to, in which nobody counts for more than `clamp`.
    Sum {
        /// The amount.
        amount: AttributeName,
        /// Records count for which all of these hold.
        over: Vec<T>,
        /// What one person counts for at most. **Units**: those of the amount.
        clamp: u64,
    },
    /// How many are in each group. A person counts once in each of at most `groups_each` groups: those in which most of the
    /// person's records are, the lesser text first where they are equal.
    Groups {
        /// The attribute whose texts are the groups.
        attribute: AttributeName,
        /// Records count for which all of these hold.
        over: Vec<T>,
        /// The groups that are counted; of a plan in their normal form, ascending and distinct. Others are not in the answer, so
        /// that its shape tells nothing.
        groups: Vec<String>,
        /// In how many groups one person counts at most.
        groups_each: u32,
    },
}

/// A statistic as the submitter states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticRequest {
    /// Whose.
    pub who: Selection<Operand>,
    /// What is measured.
    pub measure: Measure<Operand>,
    /// What each person is charged, and the noise of the result follows from.
    pub epsilon: Epsilon,
    /// The time that recency is measured from; the time of admission when absent (R046).
    pub evaluate_at: Option<OrderedMillis>,
}

/// What a statistic means, and what is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticPlan {
    /// Whose.
    pub who: Selection<ResolvedOperand>,
    /// What is measured.
    pub measure: Measure<ResolvedOperand>,
    /// The highest class of what is read.
    pub combined_privacy_class: PrivacyClass,
    /// Below this many selected people nothing is answered, in a slice and in the aggregate (R088).
    pub minimum_result_cardinality: u32,
    /// The epsilon of the whole result.
    pub epsilon: Epsilon,
    /// The time that recency was measured from.
    pub evaluated_at: OrderedMillis,
}

impl StatisticPlan {
    /// The attributes that are read.
    pub fn attributes(&self) -> BTreeSet<AttributeName> {
        let (measured, over): (_, &[ResolvedOperand]) = match &self.measure {
            Measure::People => (None, &[]),
            Measure::Sum { amount, over, .. } => (Some(amount), over),
            Measure::Groups { attribute, over, .. } => (Some(attribute), over),
        };
        let selecting = self.who.records().into_iter().flatten();
        let compared = selecting.chain(over).map(|operand| &operand.attribute);
        compared.chain(measured).cloned().collect()
    }

    /// The cells of the result, as neighbours with one bound for one person.
    pub fn group(&self) -> Group {
        let group = |name: String, unit, cells, clip, touches| Group { name, unit, cells, clip, touches };
        match &self.measure {
            Measure::People => group(PEOPLE.into(), Unit::Count, 1, 1, 1),
            Measure::Sum { amount, clamp, .. } => group(amount.to_string(), Unit::Cents, 1, *clamp, 1),
            Measure::Groups { attribute, groups, groups_each, .. } => {
                // Admission allows of so many groups that this fits.
                let cells = u32::try_from(groups.len()).unwrap_or(u32::MAX);
                group(attribute.to_string(), Unit::Count, cells, 1, *groups_each)
            }
        }
    }

    /// What each cell of the result is called, in their order.
    pub fn cells(&self) -> Vec<String> {
        match &self.measure {
            Measure::People => vec![PEOPLE.into()],
            Measure::Sum { amount, .. } => vec![amount.to_string()],
            Measure::Groups { groups, .. } => groups.clone(),
        }
    }

    /// The noise of a cell over so many Vaults. A person who is in several Vaults changes the sums of each of them, so its
    /// influence counts once for each (D18).
    pub fn noise(&self, vaults: u64) -> NoiseScale {
        NoiseScale::of(u128::from(self.group().sensitivity()) * u128::from(vaults), self.epsilon)
    }
}

/// What the submitter of a statistic finds when it opens the sealed result (R093).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticResult {
    /// The task.
    pub task: TaskId,
    /// Computed or suppressed.
    pub outcome: Outcome,
    /// Each cell with noise, by its name; none when suppressed.
    pub cells: Vec<(String, i64)>,
    /// What they count.
    pub unit: Unit,
    /// The scale of the noise, rounded up: one deviation in either direction is about as wide as this.
    pub noise_scale: u64,
    /// The epsilon of the whole result.
    pub epsilon: Epsilon,
    /// Vaults whose people are counted.
    pub vaults: u32,
}

/// Selections below the outermost one.
pub const SELECTION_DEPTH_MAX: usize = 4;
/// Selections of one tree, the outermost one among them: each has a bit where people are decided on.
pub const SELECTION_NODES_MAX: usize = 24;
/// Operands of all conditions of one tree.
pub const SELECTION_OPERANDS_MAX: usize = 64;
