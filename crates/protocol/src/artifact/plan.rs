//! What is asked of several Vaults, and what it means once it is admitted: one variant a class.

use alloc::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use symphony_types::id::AttributeName;

use super::compute::{ComputePlan, ComputeRequest};
use super::statistic::{StatisticPlan, StatisticRequest};
use super::training::{TrainingPlan, TrainingRequest};
use super::{AudienceQuery, ResolvedQuery, TaskClass};

/// What a submitter wants of several Vaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "one per request")]
pub enum Work {
    /// An audience.
    Audience(AudienceQuery),
    /// A model.
    Training(TrainingRequest),
    /// What approved code answers.
    Compute(ComputeRequest),
    /// Numbers about selected people.
    Statistic(StatisticRequest),
}

/// What work means, and what is done: its class never changes after admission (R098).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "one per task")]
pub enum Plan {
    /// An audience query.
    Audience(ResolvedQuery),
    /// Rounds of a training.
    Training(TrainingPlan),
    /// A run of a module in each Vault.
    Compute(ComputePlan),
    /// A query that is answered with numbers.
    Statistic(StatisticPlan),
}

impl Plan {
    /// The class of the task.
    pub const fn class(&self) -> TaskClass {
        match self {
            Self::Audience(_) | Self::Statistic(_) => TaskClass::Query,
            Self::Training(_) => TaskClass::Train,
            Self::Compute(_) => TaskClass::Compute,
        }
    }

    /// The audience query, if it is one.
    pub const fn query(&self) -> Option<&ResolvedQuery> {
        match self {
            Self::Audience(query) => Some(query),
            Self::Training(_) | Self::Compute(_) | Self::Statistic(_) => None,
        }
    }

    /// The training, if it is one.
    pub const fn training(&self) -> Option<&TrainingPlan> {
        match self {
            Self::Training(plan) => Some(plan),
            Self::Audience(_) | Self::Compute(_) | Self::Statistic(_) => None,
        }
    }

    /// The computation, if it is one.
    pub const fn compute(&self) -> Option<&ComputePlan> {
        match self {
            Self::Compute(plan) => Some(plan),
            Self::Audience(_) | Self::Training(_) | Self::Statistic(_) => None,
        }
    }

    /// The statistic, if it is one.
    pub const fn statistic(&self) -> Option<&StatisticPlan> {
        match self {
            Self::Statistic(plan) => Some(plan),
            Self::Audience(_) | Self::Training(_) | Self::Compute(_) => None,
        }
    }

    /// Whether Vaults answer with cells that are added up: then a run can be made again, and has the same answer.
    pub const fn adds_up(&self) -> bool {
        match self {
            Self::Compute(_) | Self::Statistic(_) => true,
            Self::Audience(_) | Self::Training(_) => false,
        }
    }

    /// Whether it is a series of rounds; anything else has one slice a Vault and one aggregate.
    pub const fn trains(&self) -> bool {
        self.training().is_some()
    }

    /// The attributes that are read of records, in ascending order.
    pub fn attributes(&self) -> BTreeSet<AttributeName> {
        match self {
            Self::Audience(query) => query.inquiry().attributes(),
            Self::Training(plan) => plan.training.attributes(),
            Self::Compute(plan) => plan.attributes(),
            Self::Statistic(plan) => plan.attributes(),
        }
    }
}
