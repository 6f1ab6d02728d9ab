//! Moving everything that a Vault keeps to another (R081), as the journals of both know it.
//!
//! ```text
//! source:       serving -> offered -> confirmed -> offered -> ... -> ended     (each confirmation erases people)
//! destination:             admitted 1 -> admitted 2 -> ...        -> closed
//! ```
//!
//! One batch is on its way at a time. Offered again it is the same, admitted again it has no second effect, and the source erases
//! only whom the destination's signed word says it has. Once the first batch is offered nothing is added at the source. That the
//! council wants the move is checked by the node, against the governance log that it follows.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{Commitment, PolicyVersion, TaskId, UsageScope, VaultId};
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::OrderedMillis;

use super::{Event as Happened, State};
use crate::vault::ledger::Carried;
use crate::vault::moving::{Load, SignedStanding, Standing, Tally};
use crate::vault::subjects::SubjectKey;

/// A place among a source's people: what stands before it has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// The first person of whom something is left.
    pub subject: SubjectIndex,
    /// How many of its items have gone.
    pub part: u32,
}

impl Cursor {
    /// Before everybody.
    pub const START: Self = Self { subject: SubjectIndex(0), part: 0 };
}

/// All moves that a Vault takes part in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Moves {
    /// Away from here.
    pub out: Option<Outbound>,
    /// To here, by source.
    pub inbound: BTreeMap<VaultId, Inbound>,
}

/// A move away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outbound {
    /// The proposal.
    pub proposal: Digest,
    /// Where to.
    pub to: VaultId,
    /// Everything before it is there and not here any more.
    pub at: Cursor,
    /// What is there.
    pub tally: Tally,
    /// The batch on its way: where it ends, and what is there with it.
    pub pending: Option<(Cursor, Tally)>,
    /// Whether nothing is left here.
    pub ended: bool,
}

/// A move to here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inbound {
    /// The proposal.
    pub proposal: Digest,
    /// What is here.
    pub tally: Tally,
    /// Whether nothing is left there.
    pub closed: bool,
}

/// A step of a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The source has the next batch on its way.
    Offer {
        /// The proposal.
        proposal: Digest,
        /// Where to.
        to: VaultId,
        /// How many batches are there.
        batches: u64,
        /// Where this one ends.
        until: Cursor,
        /// What is in it.
        load: Load,
    },
    /// The destination has it; who has gone entirely is erased here, with the rows.
    Confirm {
        /// The destination's word.
        receipt: SignedStanding,
    },
    /// The source has nothing left.
    End {
        /// The proposal.
        proposal: Digest,
        /// Where everything went.
        to: VaultId,
    },
    /// The destination takes a batch, whose rows become durable with this command.
    Admit(Admission),
    /// The source says that nothing is left there.
    Close {
        /// Its word.
        last: SignedStanding,
    },
}

/// A batch on its way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// The proposal.
    pub proposal: Digest,
    /// Where from.
    pub from: VaultId,
    /// How many batches were here before it.
    pub batches: u64,
    /// What is in it.
    pub load: Load,
    /// Keys of its people; the new ones get the next indices in this order.
    pub keys: Vec<SubjectKey>,
    /// Records that are kept.
    pub records: u32,
    /// Merkle root over their commitments.
    pub root: Digest,
    /// Whose they are, ascending, once each.
    pub subjects: Vec<SubjectIndex>,
    /// Documents that are kept.
    pub documents: Vec<(SubjectIndex, Commitment)>,
    /// What people have consumed elsewhere.
    pub spent: Vec<(SubjectIndex, UsageScope, Epsilon)>,
}

/// What happened in a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A batch is on its way.
    Offered {
        /// The proposal.
        proposal: Digest,
        /// Where to.
        to: VaultId,
        /// Where it ends.
        until: Cursor,
        /// What is in it.
        load: Load,
    },
    /// It has arrived.
    Confirmed,
    /// Nothing is left.
    Ended {
        /// The proposal.
        proposal: Digest,
        /// Where everything went.
        to: VaultId,
    },
    /// These have consumed this much at the Vault that they came from.
    Carried {
        /// Names the entry of the ledger.
        task: TaskId,
        /// The scope.
        scope: UsageScope,
        /// The policy whose limits apply.
        policy: PolicyVersion,
        /// How much each has.
        epsilon: Epsilon,
        /// Who, ascending.
        subjects: Vec<SubjectIndex>,
        /// The proposal.
        proposal: Digest,
    },
    /// A batch is here.
    Admitted {
        /// Where from.
        from: VaultId,
        /// The proposal.
        proposal: Digest,
        /// What is in it.
        load: Load,
    },
    /// Nothing is left there.
    Closed {
        /// Where from.
        from: VaultId,
        /// The proposal.
        proposal: Digest,
    },
}

impl Moves {
    /// Whether nothing may be added here any more. **Errors**: `VLT-0018`.
    pub fn grows(&self) -> Result<(), Code> {
        if self.out.is_none() { Ok(()) } else { Err(Code::VaultMoving) }
    }

    /// Whether a person may be changed: not while some of it is on its way. **Errors**: `VLT-0019`.
    pub fn stays(&self, subject: SubjectIndex) -> Result<(), Code> {
        let Some(out) = &self.out else { return Ok(()) };
        let begun = out.at.part > 0 && subject == out.at.subject;
        let leaving = out
            .pending
            .as_ref()
            .is_some_and(|(until, _)| out.at.subject <= subject && Cursor { subject, part: 0 } < *until);
        if begun || leaving { Err(Code::MoveWaits) } else { Ok(()) }
    }
}

impl State {
    /// Where the move away stands, in words for outside; `None` before it has begun.
    pub fn outbound(&self) -> Option<Standing> {
        let out = self.moves.out.as_ref()?;
        Some(out.tally.standing(out.proposal, (&self.charter.vault, &out.to), out.ended))
    }

    /// Where a move to here stands.
    pub fn inbound(&self, from: &VaultId, proposal: Digest) -> Standing {
        let known = self.moves.inbound.get(from).filter(|known| known.proposal == proposal);
        let (tally, closed) =
            known.map_or((Tally::default(), false), |known| (known.tally.clone(), known.closed));
        tally.standing(proposal, (from, &self.charter.vault), closed)
    }
}

/// Makes every check of a step. **Errors**: `VLT-0020` for a step that is not the next, `VLT-0019` while tasks hold budget, and those
/// of what comes in.
pub(super) fn decide(state: &State, at: OrderedMillis, command: &Command) -> Result<Vec<Happened>, Code> {
    match command {
        Command::Offer { proposal, to, batches, until, load } => {
            offer(state, (*proposal, to), *batches, *until, load)
        }
        Command::Confirm { receipt } => confirm(state, receipt),
        Command::End { proposal, to } => end(state, *proposal, to),
        Command::Admit(admission) => admit(state, at, admission),
        Command::Close { last } => close(state, last),
    }
}

fn offer(
    state: &State,
    (proposal, to): (Digest, &VaultId),
    batches: u64,
    until: Cursor,
    load: &Load,
) -> Result<Vec<Happened>, Code> {
    let offered = Event::Offered { proposal, to: to.clone(), until, load: *load };
    let (at, known) = match &state.moves.out {
        None => (Cursor::START, 0),
        Some(out) => {
            if out.proposal != proposal || out.to != *to || out.ended {
                return Err(Code::MoveConflict);
            }
            if let Some((end, tally)) = &out.pending {
                let same = (*end, tally) == (until, &out.tally.with(load));
                return if same && batches == out.tally.batches() {
                    Ok(Vec::new())
                } else {
                    Err(Code::MoveConflict)
                };
            }
            (out.at, out.tally.batches())
        }
    };
    if batches != known || until <= at || until.subject.0 > state.subjects.len() {
        return Err(Code::MoveConflict);
    }
    if state.ledger.holds() {
        return Err(Code::MoveWaits);
    }
    Ok(alloc::vec![Happened::Moved(offered)])
}

fn confirm(state: &State, receipt: &SignedStanding) -> Result<Vec<Happened>, Code> {
    let out = state.moves.out.as_ref().ok_or(Code::MoveConflict)?;
    let key = state.charter.vaults.get(&out.to).ok_or(Code::VaultUnknown)?;
    if !receipt.verify(key) {
        return Err(Code::Forbidden);
    }
    let standing = |tally: &Tally| tally.standing(out.proposal, (&state.charter.vault, &out.to), false);
    if standing(&out.tally) == receipt.body {
        return Ok(Vec::new());
    }
    let Some((until, tally)) = &out.pending else { return Err(Code::MoveConflict) };
    if standing(tally) != receipt.body {
        return Err(Code::MoveConflict);
    }
    let gone = state.subjects.between(out.at.subject, until.subject);
    let erased = gone.map(|subject| Happened::PersonErased { subject });
    Ok(erased.chain([Happened::Moved(Event::Confirmed)]).collect())
}

fn end(state: &State, proposal: Digest, to: &VaultId) -> Result<Vec<Happened>, Code> {
    if let Some(out) = &state.moves.out {
        if out.proposal != proposal || out.to != *to || out.pending.is_some() {
            return Err(Code::MoveConflict);
        }
        if out.ended {
            return Ok(Vec::new());
        }
    }
    if state.ledger.holds() {
        return Err(Code::MoveWaits);
    }
    let everybody = state.subjects.between(SubjectIndex(0), SubjectIndex(state.subjects.len()));
    if everybody.take(1).count() > 0 {
        return Err(Code::MoveConflict);
    }
    Ok(alloc::vec![Happened::Moved(Event::Ended { proposal, to: to.clone() })])
}

fn admit(state: &State, at: OrderedMillis, admission: &Admission) -> Result<Vec<Happened>, Code> {
    state.moves.grows()?;
    let Admission { proposal, from, batches, load, .. } = admission;
    let known = state.moves.inbound.get(from);
    if known.is_some_and(|known| known.proposal != *proposal || known.closed) {
        return Err(Code::MoveConflict);
    }
    let here = known.map_or(0, |known| known.tally.batches());
    if *batches < here {
        return Ok(Vec::new());
    }
    if *batches > here {
        return Err(Code::MoveConflict);
    }
    let fresh = state.subjects.newcomers(&admission.keys)?;
    let len = u64::from(state.subjects.len()) + fresh.len() as u64;
    let present =
        |subject: &SubjectIndex| u64::from(subject.0) < len && !state.subjects.erased().contains(*subject);
    if !admission.subjects.is_sorted_by(|one, next| one < next) || !admission.subjects.iter().all(present) {
        return Err(Code::SubjectUnknown);
    }
    let mut events = Vec::new();
    if !fresh.is_empty() {
        events.push(Happened::SubjectsEnrolled { keys: fresh });
    }
    if admission.records > 0 {
        let (count, root, subjects) = (admission.records, admission.root, admission.subjects.clone());
        events.push(Happened::RecordsAppended { count, root, subjects });
    }
    for (subject, commitment) in &admission.documents {
        if !present(subject) {
            return Err(Code::SubjectUnknown);
        }
        if state.documents.admits(*subject, commitment)? {
            events.push(Happened::DocumentKept { subject: *subject, commitment: *commitment });
        }
    }
    if !admission.spent.iter().all(|(subject, ..)| present(subject)) {
        return Err(Code::SubjectUnknown);
    }
    events.extend(carried(state, at, admission)?);
    let (from, proposal, load) = (from.clone(), *proposal, *load);
    events.push(Happened::Moved(Event::Admitted { from, proposal, load }));
    Ok(events)
}

/// What people bring, added to what they have consumed here and capped where a limit is: nobody's budget is filled again by a move,
/// and what is committed stays within the limits (R066, R067, R068).
fn carried(state: &State, at: OrderedMillis, admission: &Admission) -> Result<Vec<Happened>, Code> {
    let privacy = &state.charter.policy_at(at)?.privacy;
    let mut added: BTreeMap<SubjectIndex, BTreeMap<&UsageScope, u64>> = BTreeMap::new();
    for (subject, scope, epsilon) in &admission.spent {
        let own = added.entry(*subject).or_default();
        let brought: u64 = own.values().sum();
        let room = |limit: Epsilon, spent: u64| limit.0.saturating_sub(spent);
        let balance = state.ledger.in_scope(scope, *subject);
        let here = balance.reserved.0.saturating_add(balance.committed.0);
        let here = here.saturating_add(own.get(scope).copied().unwrap_or(0));
        let limit = privacy.scope_limits.get(scope).copied().unwrap_or(Epsilon::ZERO);
        let total = state.ledger.in_total(*subject);
        let all = total.reserved.0.saturating_add(total.committed.0).saturating_add(brought);
        let taken = epsilon.0.min(room(limit, here)).min(room(privacy.subject_cap, all));
        *own.entry(scope).or_default() += taken;
    }
    let mut alike: BTreeMap<(&UsageScope, u64), Vec<SubjectIndex>> = BTreeMap::new();
    for (subject, scopes) in added {
        for (scope, taken) in scopes.into_iter().filter(|(_, taken)| *taken > 0) {
            alike.entry((scope, taken)).or_default().push(subject);
        }
    }
    let (proposal, policy) = (admission.proposal, state.charter.calendar.version_at(at));
    let entry = |((scope, epsilon), mut subjects): ((&UsageScope, u64), Vec<SubjectIndex>)| {
        let name = (proposal, scope, epsilon);
        let (task, epsilon) = (TaskId(Digest::of("symphony/moved-budget/v1", &name)), Epsilon(epsilon));
        // Whoever sends somebody twice adds nothing.
        if let Some(entry) = state.ledger.entry(&task) {
            subjects.retain(|subject| !entry.reserved.set().contains(*subject));
        }
        let scope = scope.clone();
        Happened::Moved(Event::Carried { task, scope, policy, epsilon, subjects, proposal })
    };
    Ok(alike.into_iter().map(entry).collect())
}

fn close(state: &State, last: &SignedStanding) -> Result<Vec<Happened>, Code> {
    let Standing { proposal, from, closed, .. } = &last.body;
    let key = state.charter.vaults.get(from).ok_or(Code::VaultUnknown)?;
    if !last.verify(key) {
        return Err(Code::Forbidden);
    }
    let here = state.inbound(from, *proposal);
    if !closed || (Standing { closed: true, ..here.clone() }) != last.body {
        return Err(Code::MoveConflict);
    }
    let event = Event::Closed { from: from.clone(), proposal: *proposal };
    Ok(if here.closed { Vec::new() } else { alloc::vec![Happened::Moved(event)] })
}

/// Takes one event into the state.
pub(super) fn evolve(state: &mut State, at: OrderedMillis, event: &Event) {
    match event {
        Event::Offered { proposal, to, until, load } => {
            let out = state.moves.begun(*proposal, to);
            out.pending = Some((*until, out.tally.with(load)));
        }
        Event::Confirmed => {
            if let Some(out) = &mut state.moves.out
                && let Some((until, tally)) = out.pending.take()
            {
                (out.at, out.tally) = (until, tally);
            }
        }
        Event::Ended { proposal, to } => state.moves.begun(*proposal, to).ended = true,
        Event::Carried { task, scope, policy, epsilon, subjects, proposal } => {
            let carried = Carried {
                scope: scope.clone(),
                policy: *policy,
                epsilon: *epsilon,
                subjects: subjects.iter().copied().collect(),
                under: *proposal,
            };
            state.ledger.carry(*task, carried, at);
        }
        Event::Admitted { from, proposal, load } => {
            let inbound = state.moves.from(from, *proposal);
            inbound.tally = inbound.tally.with(load);
        }
        Event::Closed { from, proposal } => state.moves.from(from, *proposal).closed = true,
    }
}

impl Moves {
    fn begun(&mut self, proposal: Digest, to: &VaultId) -> &mut Outbound {
        self.out.get_or_insert_with(|| Outbound {
            proposal,
            to: to.clone(),
            at: Cursor::START,
            tally: Tally::default(),
            pending: None,
            ended: false,
        })
    }

    fn from(&mut self, from: &VaultId, proposal: Digest) -> &mut Inbound {
        let none = || Inbound { proposal, tally: Tally::default(), closed: false };
        self.inbound.entry(from.clone()).or_insert_with(none)
    }
}
