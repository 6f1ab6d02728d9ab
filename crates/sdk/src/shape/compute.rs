//! JSON shapes of computations and of the catalogue of modules (R094, R095); see [`super`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use symphony_wire::v1;

use super::Operand;
use super::governance::GovernanceMark;

shapes! {
    /// A run of an approved module over the records of a cohort.
    Compute {
        module: String,
        parameters: BTreeMap<String, i64>,
        lists: BTreeMap<String, Vec<String>>,
        cohort: Vec<Operand>,
        epsilon_micro: u64,
        people_max: u32,
        records_max: u64,
    }

    /// A module that tasks may name, and what is enforced about it.
    ModuleEntry {
        code: String,
        name: String,
        version: u32,
        about: String,
        status: String,
        source: String,
        recipe: String,
        isolation: String,
        float_mode: String,
        privacy_class: String,
        inputs: Vec<ModuleInput>,
        parameters: Vec<ModuleParameter>,
        output: String,
        groups: Vec<ModuleGroup>,
        least: i64,
        greatest: i64,
        labels: Vec<String>,
        rows_max: u32,
        words_max: u32,
        fuel_base: u64,
        fuel_row: u64,
        since: Option<GovernanceMark>,
    }

    /// A column of a module.
    ModuleInput {
        attribute: String,
        kind: String,
        texts_max: u32,
    }

    /// A number that a task gives.
    ModuleParameter {
        name: String,
        least: i64,
        greatest: i64,
    }

    /// Neighbouring cells with one bound for one person.
    ModuleGroup {
        name: String,
        unit: String,
        cells: u32,
        clip: u64,
        touches: u32,
    }
}

impl Compute {
    pub(crate) fn message(&self) -> v1::Compute {
        let Self { module, parameters, lists, cohort, epsilon_micro, people_max, records_max } = self;
        let number = |(name, value): (&String, &i64)| v1::NamedNumber { name: name.clone(), value: *value };
        let list = |(attribute, texts): (&String, &Vec<String>)| v1::NamedTexts {
            attribute: attribute.clone(),
            texts: texts.clone(),
        };
        v1::Compute {
            module: module.clone(),
            parameters: parameters.iter().map(number).collect(),
            lists: lists.iter().map(list).collect(),
            cohort: cohort.iter().map(Operand::message).collect(),
            epsilon_micro: *epsilon_micro,
            people_max: *people_max,
            records_max: *records_max,
        }
    }
}
