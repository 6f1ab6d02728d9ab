//! Meaning as people write it, and how a task's names were resolved (R052, R053, R054).

use serde::Serialize;
use symphony_protocol::admission::explain::{self, Asks};
use symphony_protocol::artifact::Predicate;
use symphony_protocol::artifact::selection::Quantity;
use symphony_protocol::evidence::EndorsedBundle;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::candidate::LocalKind;
use symphony_protocol::governance::log::replay;
use symphony_protocol::governance::meaning::Amendment;
use symphony_protocol::governance::semantics::{Semantics, ValueType};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::AttributeName;
use symphony_wire::documents::decode;
use thiserror::Error;

use crate::shape::candidates::{CandidatePool, PooledCandidate};
use crate::verify::verify;

/// A text is not what it should be.
#[derive(Debug, Error)]
#[error("the text is no {what}")]
pub struct MeaningError {
    what: &'static str,
    source: toml::de::Error,
}

/// Reads a version of meaning. **Shape**: TOML, each field by its name in [`Semantics`]. **Errors**: a field is absent, or no such
/// word is known.
pub fn read(text: &str) -> Result<Semantics, MeaningError> {
    toml::from_str(text).map_err(|source| MeaningError { what: "version of meaning", source })
}

/// A candidate cannot be made an attribute of as an amendment does it.
#[derive(Debug, Error)]
pub enum PromotionError {
    /// Too few Vaults have it, or none.
    #[error("no candidate {0} of enough vaults is in the pool of epoch {1}")]
    Unknown(AttributeName, u64),
    /// The amendment brings no such attribute.
    #[error("the amendment has no attribute {0}")]
    Absent(AttributeName),
    /// What Vaults have are values of another type.
    #[error("the values that vaults have under {0} are of kind {1}, and the attribute is of type {2:?}")]
    OtherType(AttributeName, String, ValueType),
}

/// What a proposal says of itself that makes an attribute of a candidate: why, and what Vaults found (R051). **Errors**:
/// [`PromotionError`].
pub fn promoted(
    pool: &CandidatePool,
    name: &AttributeName,
    amendment: &Amendment,
    summary: &str,
) -> Result<String, PromotionError> {
    let attribute = amendment.attributes.get(name).ok_or_else(|| PromotionError::Absent(name.clone()))?;
    let mut known = pool.candidates.iter().filter(|one| one.name == name.as_str()).peekable();
    let first = known.peek().map(|one| one.kind.clone());
    let first = first.ok_or_else(|| PromotionError::Unknown(name.clone(), pool.epoch))?;
    let fits = |one: &&PooledCandidate| {
        LocalKind::ALL.iter().any(|kind| kind.as_str() == one.kind && kind.value_type() == attribute.value)
    };
    let found = known.find(fits);
    let found = found.ok_or_else(|| PromotionError::OtherType(name.clone(), first, attribute.value))?;
    let PooledCandidate { kind, vaults, people, records, agreement, epochs, .. } = found;
    let (percent, epoch) = (agreement / 100, pool.epoch);
    let metrics = format!(
        "candidate {name} in epoch {epoch}: {kind}, {vaults} vaults, about {people} people, {records} records, \
         {percent} % of this kind, {epochs} epochs in a row"
    );
    Ok(if summary.is_empty() { metrics } else { format!("{summary} ({metrics})") })
}

/// Writes a version of meaning as [`read`] takes it.
pub fn written(semantics: &Semantics) -> String {
    toml::to_string(semantics).unwrap_or_default()
}

/// Reads an amendment. **Shape**: TOML, each field by its name in [`Amendment`]. **Errors**: as [`read`].
pub fn read_amendment(text: &str) -> Result<Amendment, MeaningError> {
    toml::from_str(text).map_err(|source| MeaningError { what: "amendment", source })
}

/// Writes an amendment as [`read_amendment`] takes it.
pub fn written_amendment(amendment: &Amendment) -> String {
    toml::to_string(amendment).unwrap_or_default()
}

/// How the names of a settled task were resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resolution {
    /// The task, in hexadecimal digits.
    pub task: String,
    /// The version of meaning that its envelope names.
    pub semantic_version: u32,
    /// Since when that version was in force. **Units**: milliseconds of ordered time.
    pub since_ms: u64,
    /// What each name came to, in the order of the plan.
    pub steps: Vec<Resolved>,
}

/// What one name came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resolved {
    /// The rule that was named, if one was.
    pub rule: Option<String>,
    /// What it does.
    pub kind: Option<String>,
    /// The attribute that is read.
    pub attribute: String,
    /// Its domain, from the outermost on.
    pub domain: Vec<String>,
    /// How sensitive it is.
    pub privacy_class: String,
    /// The first version that has the rule and the attribute as they were resolved.
    pub defined_in: u32,
    /// What is done with it.
    pub asks: String,
}

/// A resolution cannot be shown.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// The bundle does not pass this check.
    #[error("the evidence does not hold: {0}")]
    Unverified(String),
    /// The plan does not follow from its meaning.
    #[error("the plan does not follow from its meaning: {0}")]
    Unresolved(Code),
}

/// Makes every check of a bundle, and then shows how the names of its task were resolved. **Errors**: the first check that fails.
pub fn explain(bytes: &[u8], trusted: Digest) -> Result<Resolution, ExplainError> {
    let report = verify(bytes, Some(trusted));
    if let Some(failed) = report.failed().next() {
        let fault = failed.fault.as_deref().unwrap_or_default();
        return Err(ExplainError::Unverified(format!("{}: {fault}", failed.name)));
    }
    let unread = |error: String| ExplainError::Unverified(error);
    let bundle: EndorsedBundle = decode(bytes).map_err(|error| unread(error.to_string()))?;
    let governance = replay(&bundle.body.governance, &bundle.body.changes);
    let governance = governance.map_err(|code| unread(code.to_string()))?;
    let envelope = &bundle.body.evidence.envelope.body;
    let version = envelope.versions.semantic;
    let semantics = governance.semantics_of(version).map_err(ExplainError::Unresolved)?;
    let steps = explain::path(semantics, &envelope.plan).map_err(ExplainError::Unresolved)?;
    let since = governance.meanings.iter().find(|(_, known)| known.version == version);
    Ok(Resolution {
        task: envelope.task.to_string(),
        semantic_version: version.0,
        since_ms: since.map_or(0, |(from, _)| from.0),
        steps: steps.iter().map(|step| resolved(&governance, semantics, step)).collect(),
    })
}

fn resolved(governance: &Governance, semantics: &Semantics, step: &explain::Step<'_>) -> Resolved {
    let (name, attribute) = step.attribute;
    let mut domain: Vec<String> = Vec::new();
    let mut part = Some(&attribute.domain);
    while let Some(known) = part {
        domain.insert(0, known.to_string());
        part = semantics.domains.get(known).and_then(|domain| domain.part_of.as_ref());
    }
    let as_now = |known: &Semantics| {
        let asked = known.attributes.get(name).is_some_and(|known| {
            (known.privacy_class, known.queryability) == (attribute.privacy_class, attribute.queryability)
        });
        asked && step.rule.is_none_or(|(name, rule)| known.rules.get(name) == Some(rule))
    };
    // Back from the version that counted, as long as the names meant the same.
    let versions: Vec<_> = governance.meanings.iter().map(|(_, known)| known).collect();
    let earlier = versions.iter().rev().skip_while(|known| known.version > semantics.version);
    let first = earlier.take_while(|known| as_now(known)).last();
    Resolved {
        rule: step.rule.map(|(name, _)| name.to_string()),
        kind: step.rule.map(|(_, rule)| format!("{:?}", rule.kind)),
        attribute: name.to_string(),
        domain,
        privacy_class: format!("{:?}", attribute.privacy_class),
        defined_in: first.map_or(semantics.version.0, |known| known.version.0),
        asks: asked(&step.asks),
    }
}

fn asked(asks: &Asks<'_>) -> String {
    match asks {
        Asks::Holds(Predicate::TextEquals(text)) => format!("is {text}"),
        Asks::Holds(Predicate::TextIn(texts)) => format!("is one of {}", texts.join(", ")),
        Asks::Holds(Predicate::Between { since, until }) => format!("from {} to {} ms", since.0, until.0),
        Asks::Holds(Predicate::AtLeast(bound)) => format!("at least {bound}"),
        Asks::Holds(Predicate::Within { least, most }) => format!("{least} to {most}"),
        Asks::Measures(Quantity::Records, least) => format!("in at least {least} records"),
        Asks::Measures(Quantity::Sum, least) => format!("sums up to at least {least}"),
        Asks::Reads => "is read, coarsened".to_owned(),
        Asks::Delivers => "is delivered of those who are selected".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use symphony_protocol::artifact::PrivacyClass;
    use symphony_protocol::governance::semantics::{Attribute, AttributeLifecycle, Queryability};
    use symphony_types::id::DomainName;

    use super::*;

    fn amendment(value: ValueType) -> Amendment {
        let attribute = Attribute {
            domain: DomainName::new("commerce").unwrap(),
            value,
            privacy_class: PrivacyClass::Low,
            queryability: Queryability::DirectlyQueryable,
            lifecycle: AttributeLifecycle::Registered,
        };
        let attributes = [(AttributeName::new("till.number").unwrap(), attribute)].into();
        Amendment { attributes, ..Amendment::default() }
    }

    fn pool(kinds: &[&str]) -> CandidatePool {
        let candidate = |kind: &&str| PooledCandidate {
            name: "till.number".to_owned(),
            kind: (*kind).to_owned(),
            vaults: 3,
            vaults_other: 2,
            people: 700,
            records: 900,
            agreement: 8_150,
            epochs: 4,
        };
        CandidatePool {
            epoch: 7,
            vaults_min: 2,
            epochs: vec![7],
            candidates: kinds.iter().map(candidate).collect(),
        }
    }

    /// R051: a proposal says what Vaults found of the kind that the attribute is of, and is not made of what they have not, or have otherwise.
    #[test]
    fn a_proposal_says_what_was_found() {
        let name = AttributeName::new("till.number").unwrap();
        let said = promoted(&pool(&["number", "text"]), &name, &amendment(ValueType::Text), "tills").unwrap();
        let found = "candidate till.number in epoch 7: text, 3 vaults, about 700 people, 900 records, 81 % of this kind, 4 epochs in a row";
        assert_eq!(said, format!("tills ({found})"));
        assert_eq!(promoted(&pool(&["text"]), &name, &amendment(ValueType::Text), "").unwrap(), found);
        let unknown = promoted(&pool(&[]), &name, &amendment(ValueType::Text), "");
        assert!(matches!(unknown, Err(PromotionError::Unknown(_, 7))));
        let other = promoted(&pool(&["number"]), &name, &amendment(ValueType::Time), "");
        assert!(
            matches!(other, Err(PromotionError::OtherType(_, kind, ValueType::Time)) if kind == "number")
        );
        let absent = promoted(&pool(&["number"]), &name, &Amendment::default(), "");
        assert!(matches!(absent, Err(PromotionError::Absent(_))));
    }
}
