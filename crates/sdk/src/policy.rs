//! A policy as people write it, and what tells two of them apart (R188).

use std::collections::BTreeMap;

use serde_json::Value;
use symphony_protocol::governance::policy::Policy;
use thiserror::Error;

/// A text is no policy.
#[derive(Debug, Error)]
#[error("the text is no policy")]
pub struct PolicyError(#[from] toml::de::Error);

/// Reads a policy. **Shape**: TOML, each field by its name in [`Policy`], amounts in base units, rates in basis points, epsilon in
/// millionths. **Errors**: a field is absent or out of its range.
pub fn read(text: &str) -> Result<Policy, PolicyError> {
    Ok(toml::from_str(text)?)
}

/// Writes a policy as [`read`] takes it.
pub fn written(policy: &Policy) -> String {
    toml::to_string(policy).unwrap_or_default()
}

/// A field that two policies have with different values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name, with dots between the parts.
    pub field: String,
    /// What it was; `None` where it was not there.
    pub before: Option<String>,
    /// What it is; `None` where it is not there any more.
    pub after: Option<String>,
}

/// The fields that tell two policies apart, by name.
pub fn differences(before: &Policy, after: &Policy) -> Vec<Difference> {
    let (mut before, mut after) = (fields(before), fields(after));
    let mut names: Vec<_> = before.keys().chain(after.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    let both = names.into_iter().map(|field| {
        let (before, after) = (before.remove(&field), after.remove(&field));
        Difference { field, before, after }
    });
    both.filter(|one| one.before != one.after).collect()
}

fn fields(policy: &Policy) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let value = serde_json::to_value(policy).unwrap_or_default();
    collect(String::new(), &value, &mut fields);
    fields
}

fn collect(name: String, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(parts) => parts.iter().for_each(|(part, value)| {
            let name = if name.is_empty() { part.clone() } else { format!("{name}.{part}") };
            collect(name, value, into);
        }),
        Value::String(text) => drop(into.insert(name, text.clone())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            into.insert(name, value.to_string());
        }
    }
}
