//! A computation as a submitter states it, and a module as the catalogue shows it. Limits that depend on module and policy
//! are judged at admission (R094, R095).

use std::collections::BTreeMap;

use symphony_protocol::artifact::PrivacyClass;
use symphony_protocol::artifact::compute::ComputeRequest;
use symphony_protocol::artifact::module::{
    FloatMode, Group, Input, InputKind, Isolation, OutputShape, PARAMETERS_MAX, Unit,
};
use symphony_protocol::governance::approval::ApprovedModule;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AttributeName, ModuleName};
use symphony_types::limits::{NAME_LEN_MAX, OPERANDS_MAX, SET_VALUES_MAX};
use symphony_types::time::OrderedMillis;

use super::{Refused, checked_text, malformed, operands};
use crate::v1;

/// Reads a computation. **Errors**: `ADM-0001` with what is missing, too long or named twice.
pub(super) fn request(
    message: v1::Compute,
    evaluate_at: Option<OrderedMillis>,
) -> Result<ComputeRequest, Refused> {
    if message.parameters.len() > PARAMETERS_MAX || message.lists.len() > OPERANDS_MAX {
        return Err(malformed(format!("at most {PARAMETERS_MAX} parameters and {OPERANDS_MAX} lists")));
    }
    let mut numbers = BTreeMap::new();
    for v1::NamedNumber { name, value } in message.parameters {
        if name.is_empty() || name.len() > NAME_LEN_MAX || numbers.insert(name, value).is_some() {
            return Err(malformed("a parameter has a name of its own"));
        }
    }
    let mut lists = BTreeMap::new();
    for v1::NamedTexts { attribute, texts } in message.lists {
        if texts.len() > SET_VALUES_MAX {
            return Err(malformed(format!("a list has at most {SET_VALUES_MAX} texts")));
        }
        let attribute =
            AttributeName::new(&attribute).map_err(|error| malformed(format!("lists: {error}")))?;
        let texts = texts.into_iter().map(checked_text).collect::<Result<_, _>>()?;
        if lists.insert(attribute, texts).is_some() {
            return Err(malformed("a list has an attribute of its own"));
        }
    }
    Ok(ComputeRequest {
        module: ModuleName::new(&message.module).map_err(|error| malformed(format!("module: {error}")))?,
        numbers,
        lists,
        cohort: operands(message.cohort, 0)?,
        epsilon: Epsilon(message.epsilon_micro),
        people_max: message.people_max,
        records_max: message.records_max,
        evaluate_at,
    })
}

/// A module as the catalogue shows it; `since` is when it came to be what it is.
pub fn module(code: &Digest, module: &ApprovedModule, since: v1::GovernanceMark) -> v1::ModuleEntry {
    let declaration = &module.declaration;
    let (output, groups, (least, greatest), labels) = match &declaration.output {
        OutputShape::Aggregate(groups) => ("aggregate", groups.iter().map(group).collect(), (0, 0), vec![]),
        OutputShape::Number { min, max } => ("number", vec![], (*min, *max), vec![]),
        OutputShape::Label(labels) => ("label", vec![], (0, 0), labels.clone()),
    };
    let parameters = declaration.parameters.iter().map(|range| v1::ModuleParameter {
        name: range.name.clone(),
        least: range.min,
        greatest: range.max,
    });
    v1::ModuleEntry {
        code: code.0.to_vec(),
        name: declaration.name.to_string(),
        version: declaration.version,
        about: module.about.clone(),
        status: if module.revoked.is_some() { "revoked" } else { "approved" }.to_owned(),
        source: module.source.0.to_vec(),
        recipe: module.recipe.0.to_vec(),
        isolation: match declaration.isolation {
            Isolation::Pure => "pure",
            Isolation::Fresh => "fresh",
        }
        .to_owned(),
        float_mode: match declaration.float_mode {
            FloatMode::None => "none",
            FloatMode::Canonical => "canonical",
        }
        .to_owned(),
        privacy_class: match declaration.privacy_class {
            PrivacyClass::Public => "public",
            PrivacyClass::Low => "low",
            PrivacyClass::Sensitive => "sensitive",
            PrivacyClass::Identifying => "identifying",
        }
        .to_owned(),
        inputs: declaration.inputs.iter().map(input).collect(),
        parameters: parameters.collect(),
        output: output.to_owned(),
        groups,
        least,
        greatest,
        labels,
        rows_max: declaration.rows_max,
        words_max: declaration.words_max,
        fuel_base: declaration.fuel_base,
        fuel_row: declaration.fuel_row,
        since: Some(since),
    }
}

fn input(input: &Input) -> v1::ModuleInput {
    let kind = match input.kind {
        InputKind::Time => "time",
        InputKind::Cents => "cents",
        InputKind::Listed { .. } => "listed",
    };
    v1::ModuleInput {
        attribute: input.attribute.to_string(),
        kind: kind.to_owned(),
        texts_max: input.kind.texts_max().unwrap_or(0),
    }
}

fn group(group: &Group) -> v1::ModuleGroup {
    v1::ModuleGroup {
        name: group.name.clone(),
        unit: match group.unit {
            Unit::Count => "count",
            Unit::Cents => "cents",
        }
        .to_owned(),
        cells: group.cells,
        clip: group.clip,
        touches: group.touches,
    }
}
