//! What one person can check of its Vault's budget ledger: which entries spend its budget, each under a root that the Vault signs,
//! and whether the person is in their sets; nobody else's name or number is in it (R063, R069).
//!
//! **Shape**: a leaf is the canonical bytes of task and entry, with sets as their digests; leaves are in the order of tasks; the tree
//! is RFC 9162's (D15). What a statement cannot show is that nothing was left out: the balances that the Vault tells say that, and
//! they must be the sums of the entries shown.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{TaskId, UsageScope, VaultId};
use symphony_types::key::{Document, PublicKey, Signed, Vault};
use symphony_types::limits::PROVEN_ENTRIES_MAX;
use symphony_types::merkle::{self, Tree};
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::OrderedMillis;

use super::{Balance, Draw, EntryState, Ledger, LedgerEntry, Left, Members, MembershipProof, Movement};

/// The whole ledger of a Vault at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRoot {
    /// Whose.
    pub vault: VaultId,
    /// How many entries it has.
    pub entries: u64,
    /// The root over them.
    pub root: Digest,
    /// When.
    pub at: OrderedMillis,
}

impl Document for LedgerRoot {
    const TAG: &'static str = "symphony/vault-ledger-root/v1";
}

/// A root that a Vault signed.
pub type SignedRoot = Signed<LedgerRoot, Vault>;

/// What a Vault shows one person of its ledger: those of its entries that follow a task, at most [`PROVEN_ENTRIES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenStatement {
    /// The ledger.
    pub root: SignedRoot,
    /// Who asks.
    pub subject: SubjectIndex,
    /// What the Vault says of the person's scopes, over all entries.
    pub balances: BTreeMap<UsageScope, Balance>,
    /// The entries that hold or held the person's budget, by task.
    pub entries: Vec<ProvenEntry>,
    /// Whether there are more.
    pub more: bool,
}

/// One entry under the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenEntry {
    /// The task.
    pub task: TaskId,
    /// The entry, sets as digests.
    pub entry: LedgerEntry<Digest>,
    /// Its place among all.
    pub place: u64,
    /// Its audit path.
    pub path: Vec<Digest>,
    /// Whether the person is in each of its sets.
    pub members: Vec<MembershipProof>,
}

/// A statement does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofFault {
    /// The Vault did not sign the root.
    Signature,
    /// An entry is not in the ledger.
    Entry(TaskId),
    /// A set is not the entry's, or the proof does not show whether the person is in it.
    Member(TaskId),
    /// An entry that does not concern the person, stands twice, or not in order.
    Foreign(TaskId),
    /// The entries of all pages are not what the Vault says was spent in a scope.
    Unexplained(UsageScope),
}

impl fmt::Display for ProofFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => write!(out, "the vault did not sign the ledger's root"),
            Self::Entry(task) => write!(out, "the entry of task {task} is not under the ledger's root"),
            Self::Member(task) => {
                write!(out, "whether the entry of task {task} holds the person is not shown")
            }
            Self::Foreign(task) => write!(out, "the entry of task {task} does not belong here"),
            Self::Unexplained(scope) => {
                write!(out, "the balances of scope {scope} are not the sums of its entries")
            }
        }
    }
}

impl core::error::Error for ProofFault {}

impl Ledger {
    /// The root over all entries, and the tree of them.
    fn tree(&self) -> Tree {
        Tree::new(self.entries.iter().map(|(task, entry)| leaf(*task, entry)).collect())
    }

    /// The root over all entries at a moment.
    pub fn root(&self, vault: &VaultId, at: OrderedMillis) -> LedgerRoot {
        LedgerRoot { vault: vault.clone(), entries: self.entries.len() as u64, root: self.tree().root(), at }
    }

    /// What concerns one person, after the entry of a task; `sign` signs the root.
    pub fn prove(
        &self,
        vault: &VaultId,
        subject: SubjectIndex,
        after: Option<TaskId>,
        at: OrderedMillis,
        sign: impl FnOnce(LedgerRoot) -> SignedRoot,
    ) -> ProvenStatement {
        let tree = self.tree();
        let concerns = |(_, (task, entry)): &(usize, (&TaskId, &LedgerEntry))| {
            after.is_none_or(|after| **task > after) && entry.reserved.set().contains(subject)
        };
        let mut mine = self.entries.iter().enumerate().filter(concerns);
        let shown = mine.by_ref().take(PROVEN_ENTRIES_MAX).map(|(place, (task, entry))| ProvenEntry {
            task: *task,
            entry: entry.shown(),
            place: place as u64,
            path: tree.path(place).unwrap_or_default(),
            members: entry.sets().iter().map(|members| members.prove(subject)).collect(),
        });
        let entries = shown.collect();
        let root =
            LedgerRoot { vault: vault.clone(), entries: self.entries.len() as u64, root: tree.root(), at };
        ProvenStatement {
            root: sign(root),
            subject,
            balances: self
                .scopes
                .keys()
                .map(|scope| (scope.clone(), self.in_scope(scope, subject)))
                .collect(),
            entries,
            more: mine.next().is_some(),
        }
    }
}

impl ProvenStatement {
    /// Checks one page against the Vault's key; gives what happened to the person's budget, by scope, in the order of tasks.
    ///
    /// **Errors**: the first thing that does not hold.
    pub fn check(&self, key: &PublicKey<Vault>) -> Result<Vec<(UsageScope, Movement)>, ProofFault> {
        if !self.root.verify(key) {
            return Err(ProofFault::Signature);
        }
        let mut lines = Vec::new();
        let mut last = None;
        for shown in &self.entries {
            let own = shown.check(&self.root.body, self.subject)?;
            if own.is_empty() || last.is_some_and(|last| last >= shown.task) {
                return Err(ProofFault::Foreign(shown.task));
            }
            last = Some(shown.task);
            lines.extend(own.into_iter().map(|line| (shown.entry.scope.clone(), line)));
        }
        Ok(lines)
    }
}

impl ProvenEntry {
    fn check(&self, ledger: &LedgerRoot, subject: SubjectIndex) -> Result<Vec<Movement>, ProofFault> {
        let leaf = leaf(self.task, &self.entry);
        if !merkle::verify_inclusion(ledger.root, leaf, self.place, ledger.entries, &self.path) {
            return Err(ProofFault::Entry(self.task));
        }
        let sets = self.entry.sets();
        let mut held = BTreeSet::new();
        for (place, set) in sets.iter().enumerate() {
            let proof = self.members.get(place).filter(|proof| proof.digest() == **set);
            let shown = proof.and_then(|proof| proof.shows(subject)).ok_or(ProofFault::Member(self.task))?;
            if shown {
                held.insert(**set);
            }
        }
        if self.members.len() != sets.len() {
            return Err(ProofFault::Member(self.task));
        }
        Ok(self.entry.movements(self.task, |set| held.contains(set)))
    }
}

/// Whether the movements of all pages explain the balances that the Vault tells. **Errors**: the first scope that they do not.
pub fn explain(
    balances: &BTreeMap<UsageScope, Balance>,
    lines: &[(UsageScope, Movement)],
) -> Result<(), ProofFault> {
    use super::MovementKind::{Commit, Release, Reserve};
    let scopes: BTreeSet<&UsageScope> = balances.keys().chain(lines.iter().map(|(scope, _)| scope)).collect();
    for scope in scopes {
        let sum = |kind| {
            let of_kind = lines.iter().filter(|(of, line)| of == scope && line.kind == kind);
            of_kind.map(|(_, line)| u128::from(line.epsilon.0)).sum::<u128>()
        };
        let told = balances.get(scope).copied().unwrap_or_default();
        let held = sum(Reserve).checked_sub(sum(Commit) + sum(Release));
        let same = held == Some(u128::from(told.reserved.0)) && sum(Commit) == u128::from(told.committed.0);
        if !same {
            return Err(ProofFault::Unexplained(scope.clone()));
        }
    }
    Ok(())
}

impl LedgerEntry {
    /// The entry with its sets as digests, whose canonical bytes are those of the entry.
    fn shown(&self) -> LedgerEntry<Digest> {
        let digest = Members::digest;
        let draw = |draw: &Draw| Draw {
            members: digest(&draw.members),
            spent: draw.spent,
            round: draw.round,
            order: draw.order,
            release: draw.release,
            extra: draw.extra,
            at: draw.at,
            left: draw
                .left
                .iter()
                .map(|left| Left { members: digest(&left.members), spent: left.spent, at: left.at })
                .collect(),
        };
        LedgerEntry {
            scope: self.scope.clone(),
            policy: self.policy,
            epsilon: self.epsilon,
            preparation: self.preparation,
            reserved: digest(&self.reserved),
            reserved_at: self.reserved_at,
            deadline: self.deadline,
            state: match &self.state {
                EntryState::Reserved => EntryState::Reserved,
                EntryState::Committed { members, at, order } => {
                    EntryState::Committed { members: digest(members), at: *at, order: *order }
                }
                EntryState::Drawing(drawn) => EntryState::Drawing(draw(drawn)),
                EntryState::Drawn { draw: drawn, at } => EntryState::Drawn { draw: draw(drawn), at: *at },
                EntryState::Released { at } => EntryState::Released { at: *at },
                EntryState::Expired { at } => EntryState::Expired { at: *at },
            },
        }
    }
}

fn leaf<M: Serialize>(task: TaskId, entry: &LedgerEntry<M>) -> Digest {
    merkle::leaf(&canonical::to_bytes(&(task, entry)))
}

#[cfg(test)]
mod tests;
