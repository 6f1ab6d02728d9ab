//! The documents of a computation: approved code over the records of authorised people, one person at a time (R094-R096).
//!
//! Shapes and two small rules that master, Vault and enclave must read alike: whether parameters fit a declaration, and how
//! wide the noise of a group is.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AttributeName, ModuleName, TaskId};
use symphony_types::limits::TEXT_LEN_MAX;
use symphony_types::time::OrderedMillis;

use super::module::{Declaration, Group, InputKind, OutputShape, Unit};
use crate::governance::semantics::{ValueType, normalise};

use super::{Operand, Outcome, PrivacyClass, ResolvedOperand};

/// The numbers and lists that a task gives a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// One number for each declared parameter.
    pub numbers: Vec<i64>,
    /// One list for each listed input, in the order of inputs. Texts are compared as they are: whoever fills a table
    /// normalises both sides alike.
    pub lists: Vec<Vec<String>>,
}

/// Parameters are out of their declared ranges or lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit;

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the parameters are out of their declared ranges or lists")
    }
}

impl core::error::Error for Unfit {}

impl Parameters {
    /// Puts named numbers and lists in the order of a declaration, texts in the form in which they are compared. **Errors**:
    /// [`Unfit`] for one that is missing, not declared, or out of its limits.
    pub fn named(
        declaration: &Declaration,
        numbers: &BTreeMap<String, i64>,
        lists: &BTreeMap<AttributeName, Vec<String>>,
    ) -> Result<Self, Unfit> {
        let listed = declaration.inputs.iter().filter(|input| input.kind.texts_max().is_some());
        let texts = |list: &Vec<String>| list.iter().map(|text| normalise(text)).collect();
        let named = Self {
            numbers: declaration
                .parameters
                .iter()
                .filter_map(|range| numbers.get(&range.name).copied())
                .collect(),
            lists: listed.filter_map(|input| lists.get(&input.attribute).map(texts)).collect(),
        };
        if named.numbers.len() != numbers.len() || named.lists.len() != lists.len() {
            return Err(Unfit);
        }
        named.check(declaration)?;
        Ok(named)
    }

    /// Sees that they fit the declaration. Reads no record, so a master can decide it at admission. **Errors**: [`Unfit`].
    pub fn check(&self, declaration: &Declaration) -> Result<(), Unfit> {
        let ranges = &declaration.parameters;
        let in_range = |(number, range): (&i64, &super::module::ParameterRange)| {
            (range.min..=range.max).contains(number)
        };
        if self.numbers.len() != ranges.len() || !self.numbers.iter().zip(ranges).all(in_range) {
            return Err(Unfit);
        }
        let bounds: Vec<u32> = declaration.inputs.iter().filter_map(|input| input.kind.texts_max()).collect();
        let fits = |(list, max): (&Vec<String>, &u32)| {
            let sound = |text: &String| !text.is_empty() && text.len() <= TEXT_LEN_MAX;
            let distinct = (1..list.len()).all(|at| !list[..at].contains(&list[at]));
            list.len() <= *max as usize && list.iter().all(sound) && distinct
        };
        let all = self.lists.len() == bounds.len() && self.lists.iter().zip(&bounds).all(fits);
        if all { Ok(()) } else { Err(Unfit) }
    }
}

impl InputKind {
    /// The type that the attribute must have.
    pub const fn value_type(self) -> ValueType {
        match self {
            Self::Time => ValueType::Time,
            Self::Cents => ValueType::Cents,
            Self::Listed { .. } => ValueType::Text,
        }
    }

    /// The most texts of a listed input.
    pub const fn texts_max(self) -> Option<u32> {
        match self {
            Self::Listed { texts_max } => Some(texts_max),
            Self::Time | Self::Cents => None,
        }
    }
}

/// What a submitter wants computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputeRequest {
    /// The module in the catalogue; its latest approved version is taken.
    pub module: ModuleName,
    /// A number for each declared parameter, by name.
    pub numbers: BTreeMap<String, i64>,
    /// A list of texts for each listed input, by attribute.
    pub lists: BTreeMap<AttributeName, Vec<String>>,
    /// Whose records are computed on: people with a record for which all of these hold; everybody where there are none.
    pub cohort: Vec<Operand>,
    /// What each person is charged, and the noise of the result follows from.
    pub epsilon: Epsilon,
    /// People of one Vault at most; a Vault that has more takes no part.
    pub people_max: u32,
    /// Records of one Vault at most; likewise.
    pub records_max: u64,
    /// The time that recency is measured from; the time of admission when absent (R046).
    pub evaluate_at: Option<OrderedMillis>,
}

/// What a computation means, and what is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputePlan {
    /// SHA-256 of the module's bytes (R095).
    pub code: Digest,
    /// What is enforced about it, whole, so that nothing drifts after admission.
    pub declaration: Declaration,
    /// What it is given beside records; texts in the form in which they are compared.
    pub parameters: Parameters,
    /// Whose records are computed on.
    pub cohort: Vec<ResolvedOperand>,
    /// The time that recency was measured from.
    pub evaluated_at: OrderedMillis,
    /// The highest class of what is read.
    pub combined_privacy_class: PrivacyClass,
    /// Fewer people than this answer nothing, in a slice and in the aggregate (R088).
    pub minimum_cohort: u32,
    /// The epsilon of the whole result, shared by its groups alike.
    pub epsilon: Epsilon,
    /// People of one Vault at most.
    pub people_max: u32,
    /// Records of one Vault at most.
    pub records_max: u64,
}

impl ComputePlan {
    /// The attributes that are read: the module's, and those that say who belongs to the cohort.
    pub fn attributes(&self) -> BTreeSet<AttributeName> {
        let inputs = self.declaration.inputs.iter().map(|input| &input.attribute);
        inputs.chain(self.cohort.iter().map(|operand| &operand.attribute)).cloned().collect()
    }

    /// The fuel that is set aside for one Vault at most, before anybody has looked at a record.
    pub fn fuel_max(&self) -> u64 {
        self.declaration.fuel_bound(u64::from(self.people_max), self.records_max)
    }

    /// What is released: the groups of an aggregate; of derived attributes, which stay in their Vaults, how many people
    /// have one.
    pub fn groups(&self) -> Vec<Group> {
        match &self.declaration.output {
            OutputShape::Aggregate(groups) => groups.clone(),
            OutputShape::Number { .. } | OutputShape::Label(_) => {
                vec![Group { name: String::from(PEOPLE), unit: Unit::Count, cells: 1, clip: 1, touches: 1 }]
            }
        }
    }

    /// Whether each person gets a value that stays in its Vault.
    pub const fn derives(&self) -> bool {
        match self.declaration.output {
            OutputShape::Aggregate(_) => false,
            OutputShape::Number { .. } | OutputShape::Label(_) => true,
        }
    }

    /// The noise of a group's cells over so many Vaults: discrete Laplace of scale `numerator / denominator`. A person who is
    /// in several Vaults changes the sums of each of them, so its influence counts once for each (D18).
    pub fn noise(&self, group: &Group, vaults: u64) -> NoiseScale {
        let groups = self.groups().len() as u64;
        NoiseScale::of(
            u128::from(group.sensitivity()) * u128::from(vaults) * u128::from(groups),
            self.epsilon,
        )
    }
}

/// The scale of discrete Laplace noise, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseScale {
    /// What one person changes, in millionths.
    pub numerator: u128,
    /// Millionths of an epsilon.
    pub denominator: u128,
}

impl NoiseScale {
    /// What hides a change of `sensitivity` for this epsilon.
    pub fn of(sensitivity: u128, epsilon: Epsilon) -> Self {
        Self { numerator: sensitivity * u128::from(MICRO), denominator: epsilon.0.into() }
    }

    /// Rounded up to a whole number.
    pub fn whole(&self) -> u64 {
        u64::try_from(self.numerator.div_ceil(self.denominator.max(1))).unwrap_or(u64::MAX)
    }
}

/// The cells of one group, with noise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoisedGroup {
    /// What the cells are called.
    pub name: String,
    /// What they count.
    pub unit: Unit,
    /// The cells.
    pub cells: Vec<i64>,
    /// The scale of their noise, rounded up: one deviation in either direction is about as wide as this.
    pub noise_scale: u64,
}

/// What the submitter of a computation finds when it opens the sealed result (R093, R096).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputedResult {
    /// The task.
    pub task: TaskId,
    /// Computed or suppressed.
    pub outcome: Outcome,
    /// The module's name.
    pub module: ModuleName,
    /// Its version.
    pub version: u32,
    /// What it counted; empty when suppressed.
    pub groups: Vec<NoisedGroup>,
    /// The epsilon of the whole result.
    pub epsilon: Epsilon,
    /// Vaults whose sums are in it.
    pub vaults: u32,
}

/// The group of derived attributes: who has one.
pub const PEOPLE: &str = "people";
/// Millionths of one epsilon.
const MICRO: u64 = 1_000_000;
