//! Versions of meaning: which is in force at a moment, and how one follows another (R045, R052, R054, R190).
//!
//! A version comes into force as one of the policy does, after one epoch of notice, and is kept for ever: what was resolved under it
//! is resolved in the same way again. What the council decides on is an [`Amendment`], which names all that becomes different.
//!
//! | an attribute that is there | may |
//! |---|---|
//! | its name, domain and type | never change: records have values of it |
//! | its place in life | take [one step](super::semantics::AttributeLifecycle::may_become) |
//! | its privacy class, and whether it is queried as it is or coarsened | change, if the amendment says that it redefines it |
//! | whether it is compared at all | never change: Vaults keep for analysis what is compared |

use alloc::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, DomainName, RuleName, SemanticVersion};
use symphony_types::limits::MEANINGS_MAX;
use symphony_types::time::OrderedMillis;

use super::semantics::{Attribute, Domain, Redefined, Rule, Semantics};

/// All versions of meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meanings {
    /// The version that the network was founded with.
    pub founded: Semantics,
    /// Those that the council made, by the first moment of the epoch from which on they are in force.
    pub later: BTreeMap<OrderedMillis, Semantics>,
}

/// What a version of meaning has that the one before it had not, or had otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Amendment {
    /// Domains that come.
    pub domains: BTreeMap<DomainName, Domain>,
    /// Attributes that come, or are different.
    pub attributes: BTreeMap<AttributeName, Attribute>,
    /// Rules that come, or are different.
    pub rules: BTreeMap<RuleName, Rule>,
    /// Rules that go.
    pub dropped: BTreeSet<RuleName>,
    /// What therefore means something else, named by whoever proposes it.
    pub redefines: Redefined,
}

impl Meanings {
    /// Those of a network that is founded with this.
    pub const fn new(founded: Semantics) -> Self {
        Self { founded, later: BTreeMap::new() }
    }

    /// The version in force at a moment.
    pub fn at(&self, at: OrderedMillis) -> &Semantics {
        self.later.range(..=at).next_back().map_or(&self.founded, |(_, known)| known)
    }

    /// A version, if there is one of this number.
    pub fn of(&self, version: SemanticVersion) -> Option<&Semantics> {
        self.iter().find(|(_, known)| known.version == version).map(|(_, known)| known)
    }

    /// The last version, in force or not, with its first moment. It has every attribute that there ever was.
    pub fn last(&self) -> (OrderedMillis, &Semantics) {
        self.later.last_key_value().map_or((OrderedMillis(0), &self.founded), |(from, known)| (*from, known))
    }

    /// All versions with their first moments, in order.
    pub fn iter(&self) -> impl Iterator<Item = (OrderedMillis, &Semantics)> {
        let later = self.later.iter().map(|(from, known)| (*from, known));
        core::iter::once((OrderedMillis(0), &self.founded)).chain(later)
    }

    /// The version that an amendment makes of the last one. **Errors**: `GOV-0012` for another number than the next; `GOV-0019` while
    /// one waits for its epoch; `GOV-0021` when what comes of it is not sound; `GOV-0022` when it changes nothing, does not follow the last one,
    /// or does not say what it redefines.
    pub fn amended(
        &self,
        version: SemanticVersion,
        amendment: &Amendment,
        at: OrderedMillis,
    ) -> Result<Semantics, Code> {
        let (from, last) = self.last();
        if version.0 != last.version.0.saturating_add(1) || self.later.len() + 1 >= MEANINGS_MAX {
            return Err(Code::ChangeUnfit);
        }
        if from > at {
            return Err(Code::VersionPending);
        }
        let next = amendment.applied(last, version);
        next.check().map_err(|_| Code::MeaningUnsound)?;
        let says_all = *amendment == between(last, &next) && *amendment != Amendment::default();
        if says_all && follows(last, &next) { Ok(next) } else { Err(Code::MeaningUnfit) }
    }

    /// Takes a version that follows.
    pub(super) fn add(&mut self, from: OrderedMillis, next: Semantics) {
        self.later.insert(from, next);
    }
}

impl Amendment {
    /// Its digest.
    pub fn digest(&self) -> Digest {
        Digest::of("symphony/amendment/v1", self)
    }

    fn applied(&self, last: &Semantics, version: SemanticVersion) -> Semantics {
        let mut next = Semantics { version, redefines: self.redefines.clone(), ..last.clone() };
        next.domains.extend(self.domains.clone());
        next.attributes.extend(self.attributes.clone());
        next.rules.retain(|name, _| !self.dropped.contains(name));
        next.rules.extend(self.rules.clone());
        next
    }
}

/// What makes one meaning of another, with all that it redefines. Domains and attributes that are gone are not in it.
pub fn between(before: &Semantics, after: &Semantics) -> Amendment {
    let asked = |attribute: &Attribute| (attribute.privacy_class, attribute.queryability);
    let attributes = before
        .attributes
        .iter()
        .filter(|(name, known)| after.attributes.get(*name).is_some_and(|next| asked(next) != asked(known)));
    let rules = before.rules.iter().filter(|(name, rule)| after.rules.get(*name) != Some(rule));
    Amendment {
        domains: news(&before.domains, &after.domains),
        attributes: news(&before.attributes, &after.attributes),
        rules: news(&before.rules, &after.rules),
        dropped: before.rules.keys().filter(|name| !after.rules.contains_key(*name)).cloned().collect(),
        redefines: Redefined {
            attributes: attributes.map(|(name, _)| name.clone()).collect(),
            rules: rules.map(|(name, _)| name.clone()).collect(),
        },
    }
}

/// What is not there before, or otherwise.
fn news<K: Ord + Clone, V: PartialEq + Clone>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
) -> BTreeMap<K, V> {
    let news = after.iter().filter(|(name, value)| before.get(*name) != Some(*value));
    news.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether records, and tasks that have begun, keep their meaning.
fn follows(last: &Semantics, next: &Semantics) -> bool {
    let domains = last.domains.iter().all(|(name, parent)| next.domains.get(name) == Some(parent));
    let kept = |(name, known): (&AttributeName, &Attribute)| {
        next.attributes.get(name).is_some_and(|next| {
            known.domain == next.domain
                && known.value == next.value
                && known.queryability.is_compared() == next.queryability.is_compared()
                && known.lifecycle.may_become(next.lifecycle)
        })
    };
    let new = |(name, next): (&AttributeName, &Attribute)| {
        last.attributes.contains_key(name) || next.lifecycle.begins()
    };
    domains && last.attributes.iter().all(kept) && next.attributes.iter().all(new)
}
