//! The semantic registry: domains, canonical attributes and derivation rules of one version (R044-R050).
//!
//! How one version follows another is in [`super::meaning`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;

use serde::{Deserialize, Serialize};
use symphony_types::id::{AttributeName, DomainName, RuleName, SemanticVersion};
use symphony_types::limits::{ATTRIBUTES_MAX, DOMAIN_DEPTH_MAX, DOMAINS_MAX, RULES_MAX};

use crate::artifact::PrivacyClass;

/// One version of shared meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Semantics {
    /// The version.
    pub version: SemanticVersion,
    /// Domains, each with the one that it is a part of.
    pub domains: BTreeMap<DomainName, Domain>,
    /// Canonical attributes.
    pub attributes: BTreeMap<AttributeName, Attribute>,
    /// Derivation rules.
    pub rules: BTreeMap<RuleName, Rule>,
    /// What means something else than in the version before.
    #[serde(default)]
    pub redefines: Redefined,
}

/// A domain in the tree of all (R044).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// The domain that it is a part of; absent for one that stands on its own.
    pub part_of: Option<DomainName>,
}

/// Names under which something else is meant than in the version before: whoever asked by them gets another answer (R052).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redefined {
    /// Attributes of another privacy class or queryability.
    #[serde(default)]
    pub attributes: BTreeSet<AttributeName>,
    /// Rules that read or do something else, or are gone.
    #[serde(default)]
    pub rules: BTreeSet<RuleName>,
}

impl Semantics {
    /// The first version: its domains are those of its attributes, each on its own.
    pub fn founding(attributes: BTreeMap<AttributeName, Attribute>, rules: BTreeMap<RuleName, Rule>) -> Self {
        let domains =
            attributes.values().map(|attribute| (attribute.domain.clone(), Domain::default())).collect();
        let (version, redefines) = (SemanticVersion(1), Redefined::default());
        Self { version, domains, attributes, rules, redefines }
    }

    /// Whether everything that is named is there and fits: the domains of attributes and their parents, which attribute a rule
    /// reads, and as what. **Errors**: what is wrong.
    pub fn check(&self) -> Result<(), &'static str> {
        let Self { domains, attributes, rules, .. } = self;
        if domains.len() > DOMAINS_MAX || attributes.len() > ATTRIBUTES_MAX || rules.len() > RULES_MAX {
            return Err("there are too many domains, attributes or rules");
        }
        if domains.keys().any(|domain| self.outermost(domain).is_none()) {
            return Err("a domain is part of one that is not there, or at last of itself");
        }
        if attributes.values().any(|attribute| !domains.contains_key(&attribute.domain)) {
            return Err("the domain of an attribute is not there");
        }
        let fits = |rule: &Rule| {
            let attribute = attributes.get(&rule.attribute);
            attribute.is_some_and(|attribute| rule.kind.reads(attribute.value))
        };
        if rules.values().all(fits) {
            Ok(())
        } else {
            Err("a rule reads what is not there, or of another type")
        }
    }

    /// The domain that a domain is a part of at last: itself, if it is a part of none. `None`: it is not there, or a part of itself.
    pub fn outermost<'a>(&'a self, domain: &'a DomainName) -> Option<&'a DomainName> {
        let mut domain = domain;
        for _ in 0..=DOMAIN_DEPTH_MAX {
            match &self.domains.get(domain)?.part_of {
                Some(parent) => domain = parent,
                None => return Some(domain),
            }
        }
        None
    }
}

/// A canonical attribute: one meaning, one type, one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// The domain that it belongs to, such as `commerce`.
    pub domain: DomainName,
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

impl Queryability {
    /// Whether values are compared, as they are or coarsened, so that Vaults keep them for it.
    pub const fn is_compared(self) -> bool {
        match self {
            Self::DirectlyQueryable | Self::DerivedOnly => true,
            Self::DeliverableOnly | Self::LocalOnly => false,
        }
    }
}

/// Where an attribute is in its life (R045).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AttributeLifecycle {
    /// Suggested.
    Proposed,
    /// Accepted: Vaults keep its values, so that there are some when tasks may name it.
    Registered,
    /// In use: admits new tasks.
    Active,
    /// Replays old tasks, admits none.
    Deprecated,
    /// Gone from use.
    Retired,
}

impl AttributeLifecycle {
    /// All of them, in order.
    pub const ALL: [Self; 5] =
        [Self::Proposed, Self::Registered, Self::Active, Self::Deprecated, Self::Retired];

    /// Whether an attribute that the council adds may begin with it; a network is founded with any.
    pub const fn begins(self) -> bool {
        matches!(self, Self::Proposed | Self::Registered)
    }

    /// Whether one version of meaning may take an attribute from here to there. What nobody has used yet may end at once.
    pub const fn may_become(self, next: Self) -> bool {
        use AttributeLifecycle::{Active, Deprecated, Proposed, Registered, Retired};
        match (self, next) {
            (Proposed, Proposed | Registered | Retired)
            | (Registered, Registered | Active | Retired)
            | (Active, Active | Deprecated)
            | (Deprecated, Deprecated | Retired)
            | (Retired, Retired) => true,
            (Proposed | Registered | Active | Deprecated | Retired, _) => false,
        }
    }
}

/// A derivation rule: how one attribute becomes a yes or no (R046).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// Whether it can read values of this type.
    pub const fn reads(self, value: ValueType) -> bool {
        match self {
            Self::Equality | Self::SetMembership => matches!(value, ValueType::Text),
            Self::Threshold | Self::Range => matches!(value, ValueType::Time | ValueType::Cents),
            Self::Count => true,
            Self::Sum => matches!(value, ValueType::Cents),
        }
    }

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
