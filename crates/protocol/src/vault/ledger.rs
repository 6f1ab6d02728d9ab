//! The privacy budget: one entry per task with the set of people it covers, and the balances that follow from all
//! entries (R063-R070, R073, D2).
//!
//! ```text
//!            commit                 release
//! (none) -> reserved -> committed    reserved -> released
//!    prepare   |
//!              +-> expired  (deadline passed)
//!              +-> drawing -> drawn  (rounds draw; the rest goes back by release or deadline)
//! ```
//! Committed, drawn, released and expired are final: nothing lowers what is committed (R066). A later attempt at a
//! committed order replaces the assignment, and neither the people nor the charge. Each round of a training draws what it
//! adds to the loss of those whose consent still holds; ordered again for other Vaults it is another release and draws
//! once more (D20).
//! In a digest of the state an entry stands for itself, its set by the set's digest; balances follow from them.

mod members;
pub mod proof;
mod spent;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize, Serializer};
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{PolicyVersion, TaskId, UsageScope};
use symphony_types::subjects::{SubjectIndex, SubjectSet};
use symphony_types::table::{self, Table};
use symphony_types::time::OrderedMillis;

use crate::artifact::training::Extra;
use crate::governance::policy::Privacy;

use self::spent::Spent;

pub use members::{Members, MembershipProof};

/// What one task holds or has consumed. Its sets are people here and digests where it is shown to somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry<M = Members> {
    /// The purpose that consent was checked for.
    pub scope: UsageScope,
    /// The policy whose limits apply.
    pub policy: PolicyVersion,
    /// For each person.
    pub epsilon: Epsilon,
    /// Digest of the preparation that asked for it.
    pub preparation: Digest,
    /// Who was eligible.
    pub reserved: M,
    /// When it was reserved.
    pub reserved_at: OrderedMillis,
    /// When it ends unless committed.
    pub deadline: OrderedMillis,
    /// Where it stands.
    pub state: EntryState<M>,
}

/// Where an entry stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryState<M = Members> {
    /// Held.
    Reserved,
    /// Consumed, for ever.
    Committed {
        /// Whose data the task was given: those of the reserved whose consent still held.
        members: M,
        /// When.
        at: OrderedMillis,
        /// The order that it was consumed for, as it was assigned last.
        order: Ordered,
    },
    /// Consumed round by round; the rest is still held.
    Drawing(Draw<M>),
    /// Consumed by the rounds that were; the rest is given back.
    Drawn {
        /// What was drawn.
        draw: Draw<M>,
        /// When the rest was given back.
        at: OrderedMillis,
    },
    /// Given back because the task died.
    Released {
        /// When.
        at: OrderedMillis,
    },
    /// Given back because the deadline passed.
    Expired {
        /// When that was noticed.
        at: OrderedMillis,
    },
}

impl<M> EntryState<M> {
    /// What rounds have consumed, be it that the rest is given back.
    pub const fn draw(&self) -> Option<&Draw<M>> {
        match self {
            Self::Drawing(draw) | Self::Drawn { draw, .. } => Some(draw),
            Self::Reserved | Self::Committed { .. } | Self::Released { .. } | Self::Expired { .. } => None,
        }
    }
}

/// An assignment that a Vault obeys. Another one for the same task is obeyed when it is a later attempt at the same
/// order (R196).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// Digest of the envelope.
    pub envelope: Digest,
    /// Digest of the assignment.
    pub assignment: Digest,
    /// Its attempt.
    pub attempt: u32,
}

/// What the rounds of a training have consumed of a reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draw<M = Members> {
    /// Whose data the last round was given.
    pub members: M,
    /// What each of them has lost so far.
    pub spent: Epsilon,
    /// The last round.
    pub round: u32,
    /// Its order.
    pub order: Ordered,
    /// What it released.
    pub release: Digest,
    /// Releases beyond one a round.
    pub extra: Extra,
    /// When it drew.
    pub at: OrderedMillis,
    /// People whose consent ended in between, with what they had lost.
    pub left: Vec<Left<M>>,
}

/// People who left a training between two rounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left<M = Members> {
    /// Who.
    pub members: M,
    /// What each of them had lost.
    pub spent: Epsilon,
    /// When.
    pub at: OrderedMillis,
}

/// What one person has spent under one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Held by tasks that are not decided yet.
    pub reserved: Epsilon,
    /// Consumed.
    pub committed: Epsilon,
}

impl Balance {
    /// Whether `more` still fits under `limit`.
    pub fn fits(&self, more: Epsilon, limit: Epsilon) -> bool {
        let spent = self.reserved.checked_add(self.committed).and_then(|spent| spent.checked_add(more));
        spent.is_some_and(|spent| spent <= limit)
    }
}

/// One line of a person's budget history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Movement {
    /// The task.
    pub task: TaskId,
    /// What happened.
    pub kind: MovementKind,
    /// How much.
    pub epsilon: Epsilon,
    /// When.
    pub at: OrderedMillis,
}

/// What happened to a person's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovementKind {
    /// Held.
    Reserve,
    /// Consumed.
    Commit,
    /// Given back.
    Release,
}

impl MovementKind {
    /// The word that stands in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Commit => "commit",
            Self::Release => "release",
        }
    }
}

/// All entries and what follows from them.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: Table<TaskId, LedgerEntry>,
    /// Tasks that hold budget which they have not consumed.
    held: BTreeSet<TaskId>,
    scopes: BTreeMap<UsageScope, Spent>,
}

impl table::Value for LedgerEntry {}

impl Ledger {
    /// The entry of a task.
    pub fn entry(&self, task: &TaskId) -> Option<&LedgerEntry> {
        self.entries.get(task)
    }

    /// All entries, by task.
    pub fn entries(&self) -> impl Iterator<Item = (&TaskId, &LedgerEntry)> {
        self.entries.iter()
    }

    /// What a person has spent in a scope.
    pub fn in_scope(&self, scope: &UsageScope, subject: SubjectIndex) -> Balance {
        let held = self.held.iter().filter_map(|task| self.entries.get(task));
        let mine = held.filter(|entry| entry.scope == *scope).filter_map(LedgerEntry::held);
        let of_subject = mine.filter(|(members, _)| members.set().contains(subject));
        let reserved = Epsilon(of_subject.map(|(_, epsilon)| epsilon.0).sum());
        let spent = self.scopes.get(scope).map_or(Epsilon::ZERO, |spent| spent.of(subject));
        let committed = spent.checked_sub(reserved).expect("invariant: what is held is charged");
        Balance { reserved, committed }
    }

    /// What a person has spent over all scopes (R073).
    pub fn in_total(&self, subject: SubjectIndex) -> Balance {
        let mut total = Balance::default();
        for balance in self.scopes.keys().map(|scope| self.in_scope(scope, subject)) {
            total.reserved.0 = total.reserved.0.saturating_add(balance.reserved.0);
            total.committed.0 = total.committed.0.saturating_add(balance.committed.0);
        }
        total
    }

    /// Those of `people` for whom `epsilon` more fits under the limit of the scope and under the cap (R067).
    pub fn affordable(
        &self,
        people: &SubjectSet,
        scope: &UsageScope,
        epsilon: Epsilon,
        privacy: &Privacy,
    ) -> SubjectSet {
        let room = |limit: Epsilon| limit.checked_sub(epsilon);
        let limit = privacy.scope_limits.get(scope).copied();
        let Some((own, all)) = limit.and_then(room).zip(room(privacy.subject_cap)) else {
            return SubjectSet::new();
        };
        let nothing = Spent::default();
        let spent = self.scopes.get(scope).unwrap_or(&nothing);
        spent.within(self.scopes.values(), people, own, all)
    }

    /// A person's history in a scope, by time (R069).
    pub fn movements(&self, scope: &UsageScope, subject: SubjectIndex) -> Vec<Movement> {
        let mine = self.entries.iter().filter(|(_, entry)| entry.scope == *scope);
        let holds = |members: &Members| members.set().contains(subject);
        let mut lines: Vec<_> = mine.flat_map(|(task, entry)| entry.movements(*task, holds)).collect();
        lines.sort_by_key(|line| line.at);
        lines
    }

    /// Scopes and people whose balance is not the sum of what the entries hold and consumed; none, unless memory or code is wrong.
    pub fn unexplained(&self) -> Vec<(UsageScope, SubjectIndex)> {
        let mut sums: BTreeMap<&UsageScope, Spent> = BTreeMap::new();
        let mut wrong = Vec::new();
        for (task, entry) in &self.entries {
            let sum = sums.entry(&entry.scope).or_default();
            entry.charges().into_iter().for_each(|(members, epsilon)| sum.charge(members.set(), epsilon));
            if entry.held().is_some() != self.held.contains(task) {
                wrong.extend(entry.reserved.set().iter().map(|subject| (entry.scope.clone(), subject)));
            }
        }
        for (scope, spent) in &self.scopes {
            let differing = spent.differing(&sums.remove(scope).unwrap_or_default());
            wrong.extend(differing.into_iter().map(|subject| (scope.clone(), subject)));
        }
        wrong
    }

    /// Reservations whose deadline has passed.
    pub fn due(&self, at: OrderedMillis) -> impl Iterator<Item = &TaskId> {
        let due = move |task: &&TaskId| self.entries.get(task).is_some_and(|entry| at >= entry.deadline);
        self.held.iter().filter(due)
    }

    pub(crate) fn reserve(&mut self, task: TaskId, draft: Reservation, at: OrderedMillis) {
        let Reservation { scope, policy, epsilon, preparation, subjects, deadline } = draft;
        self.scopes.entry(scope.clone()).or_default().charge(&subjects, epsilon);
        let entry = LedgerEntry {
            scope,
            policy,
            epsilon,
            preparation,
            reserved: Members::new(subjects),
            reserved_at: at,
            deadline,
            state: EntryState::Reserved,
        };
        let earlier = self.entries.insert(task, entry);
        assert!(earlier.is_none(), "invariant: a task has one ledger entry");
        self.held.insert(task);
    }

    /// Whether any task holds what it has not consumed.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// What a person has consumed, by scope.
    pub fn consumed(&self, subject: SubjectIndex) -> impl Iterator<Item = (&UsageScope, Epsilon)> {
        let spent = self.scopes.keys().map(move |scope| (scope, self.in_scope(scope, subject).committed));
        spent.filter(|(_, spent)| *spent > Epsilon::ZERO)
    }

    /// Takes what people consumed without a task: at the Vault that they came from, under the proposal that moved them, in one entry for
    /// all who bring the same; or for a report of candidates, under its charge.
    pub(crate) fn carry(&mut self, task: TaskId, carried: Carried, at: OrderedMillis) {
        let Carried { scope, policy, epsilon, subjects, under } = carried;
        self.scopes.entry(scope.clone()).or_default().charge(&subjects, epsilon);
        let earlier = self.entries.get(&task).map(|earlier| earlier.reserved.set().clone());
        let mut all = earlier.unwrap_or_default();
        for subject in subjects.iter() {
            all.insert(subject);
        }
        let members = Members::new(all);
        let order = Ordered { envelope: under, assignment: under, attempt: 0 };
        let state = EntryState::Committed { members: members.clone(), at, order };
        let entry = LedgerEntry {
            scope,
            policy,
            epsilon,
            preparation: under,
            reserved: members,
            reserved_at: at,
            deadline: at,
            state,
        };
        self.entries.insert(task, entry);
    }

    pub(crate) fn commit(&mut self, task: &TaskId, subjects: &SubjectSet, order: Ordered, at: OrderedMillis) {
        let (entry, spent) = self.held_entry(task);
        assert!(matches!(entry.state, EntryState::Reserved), "invariant: a ledger entry ends once");
        let members = entry.reserved.narrowed(subjects);
        // Who stays has spent the same as before: it was held and is consumed now.
        spent.give_back(&entry.reserved.set().difference(subjects), entry.epsilon);
        entry.state = EntryState::Committed { members, at, order };
        self.held.remove(task);
    }

    /// Takes a later attempt at the same order; the people and what they are charged stay.
    pub(crate) fn assign_again(&mut self, task: &TaskId, again: Ordered) {
        let Some(LedgerEntry { state: EntryState::Committed { order, .. }, .. }) = self.entries.get_mut(task)
        else {
            panic!("invariant: only what is committed is assigned again");
        };
        *order = again;
    }

    /// Takes what a round adds; `subjects` are those who remain, when somebody has left.
    pub(crate) fn draw(
        &mut self,
        task: &TaskId,
        subjects: Option<&SubjectSet>,
        drawn: Drawn,
        at: OrderedMillis,
    ) {
        let (entry, spent_in_scope) = self.held_entry(task);
        let (before, spent_before, mut left) = match &entry.state {
            EntryState::Reserved => (entry.reserved.clone(), Epsilon::ZERO, Vec::new()),
            EntryState::Drawing(draw) => (draw.members.clone(), draw.spent, draw.left.clone()),
            EntryState::Committed { .. }
            | EntryState::Drawn { .. }
            | EntryState::Released { .. }
            | EntryState::Expired { .. } => panic!("invariant: a ledger entry ends once"),
        };
        let members = subjects.map_or_else(|| before.clone(), |subjects| before.narrowed(subjects));
        let leavers = before.set().difference(members.set());
        let Drawn { spent, round, order, release, extra } = drawn;
        assert!(
            spent_before <= spent && spent <= entry.epsilon,
            "invariant: rounds draw more and more, of what was reserved"
        );
        spent_in_scope.give_back(&leavers, less(entry.epsilon, spent_before));
        if !leavers.is_empty() {
            left.push(Left { members: Members::new(leavers), spent: spent_before, at });
        }
        entry.state = EntryState::Drawing(Draw { members, spent, round, order, release, extra, at, left });
    }

    pub(crate) fn release(&mut self, task: &TaskId, at: OrderedMillis) {
        self.give_back(task, EntryState::Released { at }, at);
    }

    pub(crate) fn expire(&mut self, task: &TaskId, at: OrderedMillis) {
        self.give_back(task, EntryState::Expired { at }, at);
    }

    /// Ends what nothing was drawn of as `unused`; of a draw, the rest goes back.
    fn give_back(&mut self, task: &TaskId, unused: EntryState, at: OrderedMillis) {
        let (entry, spent) = self.held_entry(task);
        entry.state = match &entry.state {
            EntryState::Reserved => {
                spent.give_back(entry.reserved.set(), entry.epsilon);
                unused
            }
            EntryState::Drawing(draw) => {
                spent.give_back(draw.members.set(), less(entry.epsilon, draw.spent));
                EntryState::Drawn { draw: draw.clone(), at }
            }
            EntryState::Committed { .. }
            | EntryState::Drawn { .. }
            | EntryState::Released { .. }
            | EntryState::Expired { .. } => panic!("invariant: a ledger entry ends once"),
        };
        self.held.remove(task);
    }

    /// An entry that is about to change, and what is spent in its scope.
    fn held_entry(&mut self, task: &TaskId) -> (&mut LedgerEntry, &mut Spent) {
        let Some(entry) = self.entries.get_mut(task) else {
            panic!("invariant: only what is reserved is drawn or ends");
        };
        let Some(spent) = self.scopes.get_mut(&entry.scope) else {
            panic!("invariant: the scope of an entry is charged");
        };
        (entry, spent)
    }
}

impl Serialize for Ledger {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries.serialize(serializer)
    }
}

impl LedgerEntry {
    /// Whose budget it holds beyond what is consumed, and how much of each.
    fn held(&self) -> Option<(&Members, Epsilon)> {
        match &self.state {
            EntryState::Reserved => Some((&self.reserved, self.epsilon)),
            EntryState::Drawing(draw) => Some((&draw.members, less(self.epsilon, draw.spent))),
            EntryState::Committed { .. }
            | EntryState::Drawn { .. }
            | EntryState::Released { .. }
            | EntryState::Expired { .. } => None,
        }
    }

    /// What it takes of people's budgets, held and consumed.
    fn charges(&self) -> Vec<(&Members, Epsilon)> {
        let consumed = match &self.state {
            EntryState::Committed { members, .. } => Some((members, self.epsilon)),
            EntryState::Reserved
            | EntryState::Drawing(_)
            | EntryState::Drawn { .. }
            | EntryState::Released { .. }
            | EntryState::Expired { .. } => None,
        };
        let drawn = self.state.draw().into_iter().flat_map(|draw| {
            let left = draw.left.iter().map(|left| (&left.members, left.spent));
            left.chain([(&draw.members, draw.spent)])
        });
        self.held().into_iter().chain(consumed).chain(drawn).collect()
    }
}

/// A round that draws: what each person has lost with it, and its order.
pub(crate) struct Drawn {
    pub(crate) spent: Epsilon,
    pub(crate) round: u32,
    pub(crate) order: Ordered,
    pub(crate) release: Digest,
    pub(crate) extra: Extra,
}

impl<M> LedgerEntry<M> {
    /// What happened to one person's budget for the task, given which sets the person is in.
    pub fn movements(&self, task: TaskId, holds: impl Fn(&M) -> bool) -> Vec<Movement> {
        if !holds(&self.reserved) {
            return Vec::new();
        }
        let line = |kind, epsilon, at| Movement { task, kind, epsilon, at };
        let mut lines = vec![line(MovementKind::Reserve, self.epsilon, self.reserved_at)];
        let (spent, ended) = match &self.state {
            EntryState::Reserved => (None, None),
            EntryState::Committed { members, at, .. } if holds(members) => (Some((self.epsilon, *at)), None),
            EntryState::Committed { at, .. } | EntryState::Released { at } | EntryState::Expired { at } => {
                (None, Some(*at))
            }
            EntryState::Drawing(draw) => draw.of(None, holds),
            EntryState::Drawn { draw, at } => draw.of(Some(*at), holds),
        };
        let lost = spent.map_or(Epsilon::ZERO, |(epsilon, _)| epsilon);
        if let Some((epsilon, at)) = spent.filter(|(epsilon, _)| *epsilon > Epsilon::ZERO) {
            lines.push(line(MovementKind::Commit, epsilon, at));
        }
        let rest = less(self.epsilon, lost);
        if let Some(at) = ended.filter(|_| rest > Epsilon::ZERO) {
            lines.push(line(MovementKind::Release, rest, at));
        }
        lines
    }

    /// The sets of people in the order of the entry's bytes.
    pub fn sets(&self) -> Vec<&M> {
        let drawn = self.state.draw().into_iter().flat_map(|draw| {
            core::iter::once(&draw.members).chain(draw.left.iter().map(|left| &left.members))
        });
        let committed = match &self.state {
            EntryState::Committed { members, .. } => Some(members),
            EntryState::Reserved
            | EntryState::Drawing(_)
            | EntryState::Drawn { .. }
            | EntryState::Released { .. }
            | EntryState::Expired { .. } => None,
        };
        core::iter::once(&self.reserved).chain(committed).chain(drawn).collect()
    }
}

impl<M> Draw<M> {
    /// What one person has lost and when, and when the rest went back; `ended` is when it did for who stayed.
    fn of(
        &self,
        ended: Option<OrderedMillis>,
        holds: impl Fn(&M) -> bool,
    ) -> (Option<(Epsilon, OrderedMillis)>, Option<OrderedMillis>) {
        match self.left.iter().find(|left| holds(&left.members)) {
            Some(left) => (Some((left.spent, left.at)), Some(left.at)),
            None => (Some((self.spent, self.at)), ended),
        }
    }
}

/// What remains of a loss.
fn less(whole: Epsilon, part: Epsilon) -> Epsilon {
    whole.checked_sub(part).expect("invariant: rounds draw no more than was reserved")
}

/// What people consumed without a task, each the same.
pub(crate) struct Carried {
    pub(crate) scope: UsageScope,
    pub(crate) policy: PolicyVersion,
    pub(crate) epsilon: Epsilon,
    pub(crate) subjects: SubjectSet,
    /// What was decided that they did.
    pub(crate) under: Digest,
}

/// What an entry starts with.
pub(crate) struct Reservation {
    pub(crate) scope: UsageScope,
    pub(crate) policy: PolicyVersion,
    pub(crate) epsilon: Epsilon,
    pub(crate) preparation: Digest,
    pub(crate) subjects: SubjectSet,
    pub(crate) deadline: OrderedMillis,
}
