//! The rules for trusted hardware as people write them: TOML with words, hexadecimal digits and dates, and back. Unknown keys
//! are errors, and so is a value that the rules' own check refuses.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use symphony_attest::moment;
use symphony_protocol::governance::hardware::{DevelopmentRoots, HardwareRules, LevelRules, VersionFloor};
use symphony_types::digest::Digest;
use symphony_types::id::Measurement;
use symphony_types::time::OrderedMillis;

/// Why a file holds no rules.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// It is not of that form.
    #[error("reading the rules for hardware")]
    Form(#[from] toml::de::Error),
    /// Digits that are none, or a date that is none.
    #[error("{0:?} is neither digits nor a date as it should be")]
    Value(String),
    /// The rules are not sound.
    #[error("the rules are not sound: {0}")]
    Unsound(&'static str),
}

/// Rules for hardware in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesFile {
    classes: BTreeSet<String>,
    revocation_required: bool,
    smt_admitted: bool,
    privilege_max: u32,
    levels: Levels,
    floors: BTreeMap<String, Floor>,
    /// By the measurement's digits: registers by name, as digits.
    registers: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    development: Option<Development>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Levels {
    statuses: BTreeSet<String>,
    grace_statuses: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_until: Option<String>,
    advisories_refused: BTreeSet<String>,
    collection_min: u32,
    dynamic_platform_admitted: bool,
    cached_keys_admitted: bool,
    service_domain_admitted: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Floor {
    versions: [u8; 5],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grace_versions: Option<[u8; 5]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grace_until: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Development {
    intel: String,
    amd: Vec<(String, String, String)>,
    aws: String,
}

/// Reads rules. **Errors**: [`RulesError`].
pub fn read(text: &str) -> Result<HardwareRules, RulesError> {
    let file: RulesFile = toml::from_str(text)?;
    let rules = rules(file)?;
    rules.check().map_err(RulesError::Unsound)?;
    Ok(rules)
}

/// Rules as a file has them. Reading what is written gives the same rules.
pub fn written(rules: &HardwareRules) -> RulesFile {
    let levels = &rules.levels;
    let date = |at: OrderedMillis| (at != OrderedMillis::default()).then(|| moment::text(at));
    let floors = rules.floors.iter().map(|(model, floor)| {
        let VersionFloor { versions, grace_versions, grace_until } = *floor;
        (model.clone(), Floor { versions, grace_versions, grace_until: date(grace_until) })
    });
    let registers = rules.registers.iter().map(|(measurement, named)| {
        let named = named.iter().map(|(name, value)| (name.clone(), hex::encode(value)));
        (measurement.0.to_hex(), named.collect())
    });
    let development = rules.development.as_ref().map(|roots| Development {
        intel: hex::encode(&roots.intel),
        amd: roots
            .amd
            .iter()
            .map(|(name, root, key)| (name.clone(), hex::encode(root), hex::encode(key)))
            .collect(),
        aws: hex::encode(&roots.aws),
    });
    RulesFile {
        classes: rules.classes.clone(),
        revocation_required: rules.revocation_required,
        smt_admitted: rules.smt_admitted,
        privilege_max: rules.privilege_max,
        levels: Levels {
            statuses: levels.statuses.clone(),
            grace_statuses: levels.grace_statuses.clone(),
            grace_until: date(levels.grace_until),
            advisories_refused: levels.advisories_refused.clone(),
            collection_min: levels.collection_min,
            dynamic_platform_admitted: levels.dynamic_platform_admitted,
            cached_keys_admitted: levels.cached_keys_admitted,
            service_domain_admitted: levels.service_domain_admitted,
        },
        floors: floors.collect(),
        registers: registers.collect(),
        development,
    }
}

fn rules(file: RulesFile) -> Result<HardwareRules, RulesError> {
    let floor = |(model, floor): (String, Floor)| {
        let Floor { versions, grace_versions, grace_until } = floor;
        Ok((model, VersionFloor { versions, grace_versions, grace_until: until(grace_until)? }))
    };
    let register = |(measurement, named): (String, BTreeMap<String, String>)| {
        let of = Digest::from_hex(&measurement).ok_or(RulesError::Value(measurement))?;
        let named = named.into_iter().map(|(name, value)| Ok((name, digits(value)?)));
        Ok((Measurement(of), named.collect::<Result<_, RulesError>>()?))
    };
    let levels = file.levels;
    Ok(HardwareRules {
        classes: file.classes,
        registers: file.registers.into_iter().map(register).collect::<Result<_, RulesError>>()?,
        revocation_required: file.revocation_required,
        smt_admitted: file.smt_admitted,
        privilege_max: file.privilege_max,
        levels: LevelRules {
            statuses: levels.statuses,
            grace_statuses: levels.grace_statuses,
            grace_until: until(levels.grace_until)?,
            advisories_refused: levels.advisories_refused,
            collection_min: levels.collection_min,
            dynamic_platform_admitted: levels.dynamic_platform_admitted,
            cached_keys_admitted: levels.cached_keys_admitted,
            service_domain_admitted: levels.service_domain_admitted,
        },
        floors: file.floors.into_iter().map(floor).collect::<Result<_, RulesError>>()?,
        development: file.development.map(development).transpose()?,
    })
}

fn development(roots: Development) -> Result<DevelopmentRoots, RulesError> {
    let amd = roots.amd.into_iter().map(|(name, root, key)| Ok((name, digits(root)?, digits(key)?)));
    Ok(DevelopmentRoots {
        intel: digits(roots.intel)?,
        amd: amd.collect::<Result<_, RulesError>>()?,
        aws: digits(roots.aws)?,
    })
}

fn digits(text: String) -> Result<Vec<u8>, RulesError> {
    hex::decode(&text).map_err(|_| RulesError::Value(text))
}

/// No date is no grace period.
fn until(text: Option<String>) -> Result<OrderedMillis, RulesError> {
    match text {
        None => Ok(OrderedMillis::default()),
        Some(text) => moment::parse(&text).ok_or(RulesError::Value(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R120, R130
    #[test]
    fn rules_come_back_from_the_file_that_they_are_written_to() {
        let text = "classes = [\"some-class\"]\nrevocation_required = true\n\
                    [floors.Milan]\nversions = [4, 0, 23, 213, 0]\ngrace_versions = [3, 0, 20, 206, 0]\n\
                    grace_until = \"2026-03-01T00:00:00Z\"\n";
        let rules = read(text).unwrap();
        assert_eq!(rules.floors["Milan"].grace_until, OrderedMillis(1_772_323_200_000));
        assert_eq!(read(&toml::to_string(&written(&rules)).unwrap()).unwrap(), rules);
        let marked = HardwareRules {
            registers: [(Measurement(Digest([7; 32])), [("RTMR0".to_owned(), vec![1, 2])].into())].into(),
            development: Some(DevelopmentRoots { intel: vec![1], amd: vec![], aws: vec![2] }),
            ..rules
        };
        assert_eq!(read(&toml::to_string(&written(&marked)).unwrap()).unwrap(), marked);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(matches!(read("class = \"x\""), Err(RulesError::Form(_))));
        assert!(matches!(read("classes = [\"\"]"), Err(RulesError::Unsound(_))));
        assert!(matches!(read("[levels]\ngrace_until = \"soon\""), Err(RulesError::Value(_))));
        assert!(matches!(read("[registers.zz]\nA = \"00\""), Err(RulesError::Value(_))));
    }
}
