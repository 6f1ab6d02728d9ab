//! Consent by person and usage scope: granted, withdrawn or run out (R055, R056, R059, R060).
//!
//! Absence of a grant is a no, and a grant counts for its own scope only. In a digest of the state the arrays are
//! represented by the running digest of all changes.

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use symphony_types::digest::Digest;
use symphony_types::id::UsageScope;
use symphony_types::subjects::{SubjectIndex, SubjectSet};
use symphony_types::time::OrderedMillis;

use super::blocks::{BLOCK_PEOPLE, BLOCK_WORDS, Blocks, place};

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
    scopes: BTreeMap<UsageScope, Blocks<Block>>,
    trail: Digest,
}

/// The last words of a block of people on one scope.
#[derive(Clone, Debug)]
struct Block {
    last: [Standing; BLOCK_PEOPLE],
    /// Who said yes last, for whatever time.
    granted: [u64; BLOCK_WORDS],
    /// No grant of the block ends before this; none ends at all without it.
    ends: Option<OrderedMillis>,
}

impl Default for Block {
    fn default() -> Self {
        Self { last: [Standing::Silent; BLOCK_PEOPLE], granted: [0; BLOCK_WORDS], ends: None }
    }
}

impl Block {
    /// Whose consent covers that moment.
    fn covered(&self, at: OrderedMillis) -> [u64; BLOCK_WORDS] {
        if self.ends.is_none_or(|ends| at < ends) {
            return self.granted;
        }
        let mut words = self.granted;
        for (word, people) in words.iter_mut().zip(self.last.chunks_exact(64)) {
            let bits = (0..).zip(people).map(|(bit, standing)| u64::from(standing.allows(at)) << bit);
            *word = bits.fold(0, |word: u64, bit: u64| word | bit);
        }
        words
    }

    fn record(&mut self, place: usize, at: OrderedMillis, statement: Statement) {
        let (word, bit) = (place / 64, 1 << (place % 64));
        match statement {
            Statement::Granted { expires } => {
                self.last[place] = Standing::Granted { since: at, expires };
                self.granted[word] |= bit;
                self.ends = self.ends.into_iter().chain(expires).min();
            }
            Statement::Withdrawn => {
                self.last[place] = Standing::Withdrawn { since: at };
                self.granted[word] &= !bit;
            }
        }
    }
}

impl Default for Consents {
    fn default() -> Self {
        Self { scopes: BTreeMap::new(), trail: Digest::ZERO }
    }
}

impl Consents {
    /// The last word of a person on a scope.
    pub fn standing(&self, scope: &UsageScope, subject: SubjectIndex) -> Standing {
        let (block, place) = place(subject);
        self.scopes.get(scope).and_then(|all| all.get(block)).map_or(Standing::Silent, |all| all.last[place])
    }

    /// Everybody whose consent covers the scope at that moment.
    pub fn covered(&self, scope: &UsageScope, at: OrderedMillis) -> SubjectSet {
        let Some(all) = self.scopes.get(scope) else { return SubjectSet::new() };
        SubjectSet::from_words(all.iter().flat_map(|block| block.covered(at)).collect())
    }

    /// What a person said, by scope; scopes never spoken of are absent.
    pub fn of_subject(&self, subject: SubjectIndex) -> impl Iterator<Item = (&UsageScope, Standing)> {
        self.scopes.keys().filter_map(move |scope| match self.standing(scope, subject) {
            Standing::Silent => None,
            word => Some((scope, word)),
        })
    }

    pub(crate) fn record(&mut self, at: OrderedMillis, changes: &[ConsentChange]) {
        for change in changes {
            if !self.scopes.contains_key(&change.scope) {
                self.scopes.insert(change.scope.clone(), Blocks::default());
            }
            let Some(all) = self.scopes.get_mut(&change.scope) else { continue };
            let (block, place) = place(change.subject);
            all.get_mut(block).record(place, at, change.statement);
        }
        self.trail = Digest::of("symphony/vault-consents/v1", &(self.trail, at, changes));
    }

    /// Ends every consent of a person; a scope never spoken of stays so.
    pub(crate) fn erase(&mut self, at: OrderedMillis, subject: SubjectIndex) {
        let (block, place) = place(subject);
        for all in self.scopes.values_mut() {
            let granted =
                matches!(all.get(block).map(|known| known.last[place]), Some(Standing::Granted { .. }));
            if granted {
                all.get_mut(block).record(place, at, Statement::Withdrawn);
            }
        }
        self.trail = Digest::of("symphony/vault-consents-erased/v1", &(self.trail, at, subject));
    }
}

impl Serialize for Consents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.trail.serialize(serializer)
    }
}
