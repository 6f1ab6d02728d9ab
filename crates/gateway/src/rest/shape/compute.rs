//! JSON shapes of computations: what is asked, and the catalogue of modules (R094, R095). Unknown fields are refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use symphony_wire::v1;
use utoipa::ToSchema;

use super::governance::GovernanceMark;
use super::{Operand, each, operands, read, same};
use crate::problem::Problem;

/// A run of an approved module over the records of a cohort.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compute {
    /// Its name in the catalogue; the latest approved version is taken.
    module: String,
    /// A number for each declared parameter, by name.
    #[serde(default)]
    parameters: BTreeMap<String, i64>,
    /// Texts for each listed input, by attribute.
    #[serde(default)]
    lists: BTreeMap<String, Vec<String>>,
    /// People with a record that satisfies all take part; everybody when empty.
    #[serde(default)]
    cohort: Vec<Operand>,
    /// Of the whole result, in millionths: what each person is charged.
    epsilon_micro: u64,
    /// People of one Vault at most; a Vault that has more takes no part.
    people_max: u32,
    /// Records of one Vault at most; likewise.
    records_max: u64,
}

impl Compute {
    pub(super) fn into_message(self) -> Result<v1::Compute, Problem> {
        let parameters = self.parameters.into_iter().map(|(name, value)| v1::NamedNumber { name, value });
        let lists = self.lists.into_iter().map(|(attribute, texts)| v1::NamedTexts { attribute, texts });
        Ok(v1::Compute {
            module: self.module,
            parameters: parameters.collect(),
            lists: lists.collect(),
            cohort: operands(self.cohort)?,
            epsilon_micro: self.epsilon_micro,
            people_max: self.people_max,
            records_max: self.records_max,
        })
    }
}

answers! {
    /// A module that tasks may name, and what is enforced about it.
    ModuleEntry {
        /// SHA-256 of its bytes.
        code: String = hex::encode;
        name: String = same;
        version: u32 = same;
        about: String = same;
        /// `approved` or `revoked`.
        status: String = same;
        /// Digest of the sources that it is built from.
        source: String = hex::encode;
        /// Digest of the recipe that it is built by.
        recipe: String = hex::encode;
        /// `pure`: it writes nothing; `fresh`: an instance for each person.
        isolation: String = same;
        /// `none` or `canonical`.
        float_mode: String = same;
        /// `public`, `low`, `sensitive` or `identifying`.
        privacy_class: String = same;
        inputs: Vec<ModuleInput> = each;
        parameters: Vec<ModuleParameter> = each;
        /// `aggregate`, `number` or `label`; of the last two only how many people have one leaves the Vault.
        output: String = same;
        /// Of an aggregate.
        groups: Vec<ModuleGroup> = each;
        /// Of a number.
        least: i64 = same;
        /// Of a number.
        greatest: i64 = same;
        labels: Vec<String> = same;
        /// Rows of one person that it gets.
        rows_max: u32 = same;
        /// Words for one person.
        words_max: u32 = same;
        /// Fuel for one word of one person.
        fuel_base: u64 = same;
        /// Fuel for each row behind it.
        fuel_row: u64 = same;
        /// Of its status.
        since: Option<GovernanceMark> = |mark: Option<v1::GovernanceMark>| mark.map(GovernanceMark::from);
    }

    /// A column of a module.
    ModuleInput {
        attribute: String = same;
        /// `time`, `cents` or `listed`.
        kind: String = same;
        /// Of listed.
        texts_max: u32 = same;
    }

    /// A number that a task gives.
    ModuleParameter {
        name: String = same;
        least: i64 = same;
        greatest: i64 = same;
    }

    /// Neighbouring cells with one bound for one person.
    ModuleGroup {
        name: String = same;
        /// `count` or `cents`.
        unit: String = same;
        cells: u32 = same;
        /// Most of one person in a cell at a time.
        clip: u64 = same;
        /// Times that one person adds to a cell of the group.
        touches: u32 = same;
    }
}
