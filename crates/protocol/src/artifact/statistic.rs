//! The documents of a statistic: how many people a selection means, what an amount of theirs sums up to, or how they are spread
//! over groups; noised, over all Vaults (R022, R088, D10).
//!
//! Shapes and the small rules that master, Vault and enclave must read alike: whom a selection selects, and how wide the noise is.

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
use super::selection::{Inquiry, Qualification, Selection};
use super::{Operand, Outcome, PrivacyClass, ResolvedOperand};

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
    pub who: Selection<Vec<Operand>>,
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
    pub who: Selection<Qualification>,
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
    /// What has to be known of each person.
    pub const fn inquiry(&self) -> Inquiry<'_> {
        Inquiry { who: &self.who, measure: &self.measure, latest: None }
    }

    /// The attributes that are read.
    pub fn attributes(&self) -> BTreeSet<AttributeName> {
        self.inquiry().attributes()
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
