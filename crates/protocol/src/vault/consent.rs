//! Consent by person and usage scope: granted, withdrawn or run out (R055, R056, R059, R060).
//!
//! Absence of a grant is a no, and a grant counts for its own scope only. In a digest of the state the arrays are
//! represented by the running digest of all changes.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize, Serializer};
use symphony_types::digest::Digest;
use symphony_types::id::UsageScope;
use symphony_types::subjects::{SubjectIndex, SubjectSet};
use symphony_types::time::OrderedMillis;

/// What a person says about one scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentChange {
    /// The person.
    pub subject: SubjectIndex,
    /// The scope.
    pub scope: UsageScope,
    /// Yes or no.
    pub statement: Statement,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statement {
    /// Yes, until a time or until withdrawn.
    Granted {
        /// The first moment that it no longer counts.
        expires: Option<OrderedMillis>,
    },
    /// No.
    Withdrawn,
}

/// The last word of a person on one scope, with when it was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Never asked or never answered.
    #[default]
    Silent,
    /// Said yes.
    Granted {
        /// When.
        since: OrderedMillis,
        /// The first moment that it no longer counts.
        expires: Option<OrderedMillis>,
    },
    /// Said no.
    Withdrawn {
        /// When.
        since: OrderedMillis,
    },
}

impl Standing {
    /// Whether data may be used at that moment.
    pub fn allows(self, at: OrderedMillis) -> bool {
        match self {
            Self::Granted { expires, .. } => expires.is_none_or(|end| at < end),
            Self::Silent | Self::Withdrawn { .. } => false,
        }
    }

    /// Whether the statement would change nothing.
    pub fn says(self, statement: Statement) -> bool {
        match (self, statement) {
            (Self::Granted { expires, .. }, Statement::Granted { expires: wanted }) => expires == wanted,
            (Self::Withdrawn { .. }, Statement::Withdrawn) => true,
            (Self::Silent | Self::Granted { .. } | Self::Withdrawn { .. }, _) => false,
        }
    }
}

/// All consents of a Vault.
#[derive(Clone, Debug)]
pub struct Consents {
    scopes: BTreeMap<UsageScope, Arc<Vec<Standing>>>,
    trail: Digest,
}

impl Default for Consents {
    fn default() -> Self {
        Self { scopes: BTreeMap::new(), trail: Digest::ZERO }
    }
}

impl Consents {
    /// The last word of a person on a scope.
    pub fn standing(&self, scope: &UsageScope, subject: SubjectIndex) -> Standing {
        self.scopes.get(scope).and_then(|all| all.get(subject.0 as usize)).copied().unwrap_or_default()
    }

    /// Everybody whose consent covers the scope at that moment.
    pub fn covered(&self, scope: &UsageScope, at: OrderedMillis) -> SubjectSet {
        let Some(all) = self.scopes.get(scope) else { return SubjectSet::new() };
        let word = |people: &[Standing]| {
            let bits = (0..).zip(people).map(|(bit, standing)| u64::from(standing.allows(at)) << bit);
            bits.fold(0, |word: u64, bit: u64| word | bit)
        };
        SubjectSet::from_words(all.chunks(64).map(word).collect())
    }

    /// What a person said, by scope; scopes never spoken of are absent.
    pub fn of_subject(&self, subject: SubjectIndex) -> impl Iterator<Item = (&UsageScope, Standing)> {
        self.scopes.iter().filter_map(move |(scope, all)| match all.get(subject.0 as usize) {
            None | Some(Standing::Silent) => None,
            Some(word) => Some((scope, *word)),
        })
    }

    pub(crate) fn record(&mut self, at: OrderedMillis, changes: &[ConsentChange]) {
        for change in changes {
            if !self.scopes.contains_key(&change.scope) {
                self.scopes.insert(change.scope.clone(), Arc::default());
            }
            let Some(all) = self.scopes.get_mut(&change.scope) else { continue };
            let all = Arc::make_mut(all);
            let place = change.subject.0 as usize;
            if place >= all.len() {
                all.resize(place + 1, Standing::Silent);
            }
            all[place] = match change.statement {
                Statement::Granted { expires } => Standing::Granted { since: at, expires },
                Statement::Withdrawn => Standing::Withdrawn { since: at },
            };
        }
        self.trail = Digest::of("symphony/vault-consents/v1", &(self.trail, at, changes));
    }
}

impl Serialize for Consents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.trail.serialize(serializer)
    }
}
