//! The semantic registry: domains, canonical attributes and derivation rules of one version (R044-R050).

use alloc::collections::BTreeMap;
use alloc::string::String;

use serde::{Deserialize, Serialize};
use symphony_types::id::{AttributeName, RuleName, SemanticVersion};

use crate::artifact::PrivacyClass;

/// One version of shared meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Semantics {
    /// The version.
    pub version: SemanticVersion,
    /// Canonical attributes.
    pub attributes: BTreeMap<AttributeName, Attribute>,
    /// Derivation rules.
    pub rules: BTreeMap<RuleName, Rule>,
}

/// A canonical attribute: one meaning, one type, one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// The domain that it belongs to, such as `commerce`.
    pub domain: String,
    /// The type of its values.
    pub value: ValueType,
    /// How sensitive it is.
    pub privacy_class: PrivacyClass,
    /// What a task may do with it.
    pub queryability: Queryability,
    /// Where it is in its life (R045).
    pub lifecycle: AttributeLifecycle,
}

/// The type of an attribute's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueType {
    /// A text, compared after normalisation.
    Text,
    /// A point in time.
    Time,
    /// An amount in hundredths of the record's currency.
    Cents,
}

/// What a task may do with an attribute (R049, R050).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Queryability {
    /// Compare it as it is.
    DirectlyQueryable,
    /// Use it through a rule that coarsens it.
    DerivedOnly,
    /// Deliver it for selected people under consent; never compare it.
    DeliverableOnly,
    /// Nothing: it never leaves the Vault.
    LocalOnly,
}

/// Where an attribute is in its life (R045).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AttributeLifecycle {
    /// Suggested.
    Proposed,
    /// Accepted, not in use.
    Registered,
    /// In use: admits new tasks.
    Active,
    /// Replays old tasks, admits none.
    Deprecated,
    /// Gone from use.
    Retired,
}

/// A derivation rule: how one attribute becomes a yes or no (R046).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The attribute that it reads.
    pub attribute: AttributeName,
    /// What it does.
    pub kind: RuleKind,
    /// Whether it may be composed with rules of another domain (R048).
    pub cross_domain_policy: CrossDomainPolicy,
}

/// Types of derivation rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleKind {
    /// Time since the attribute, or its amount, against a bound.
    Threshold,
    /// Equal to one value.
    Equality,
    /// Equal to one of several values.
    SetMembership,
    /// Time since the attribute, or its amount, between two bounds.
    Range,
    /// How many records of a person have the attribute, against a bound.
    Count,
    /// What the amount sums up to over records of a person, against a bound.
    Sum,
}

impl RuleKind {
    /// Whether a value cannot be told from the answer, so that it serves an attribute that is only used in coarser form (R049).
    pub const fn coarsens(self) -> bool {
        match self {
            Self::Threshold | Self::Range | Self::Count | Self::Sum => true,
            Self::Equality | Self::SetMembership => false,
        }
    }
}

/// Whether a rule may meet another domain's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CrossDomainPolicy {
    /// It may.
    Allowed,
    /// Only within its own domain.
    Denied,
}

/// The form in which texts are compared: lower case, single spaces, none at the ends.
pub fn normalise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
    out
}
