//! The Vault's machine: what may happen to its people, their consent, their budget and its epochs.
//!
//! Only delegates: [`super::subjects`], [`super::consent`], [`super::ledger`], [`super::dividend`] and
//! [`super::document`] hold the rules. Documents of masters come in endorsed and are checked again on every full replay (R105, R111, R195). Each
//! command is idempotent: the second time it gives no event, or the refusal that says why it cannot (R064, R209).
//! There are no effects: whoever asks is answered, and asks again after a crash.

pub mod counting;
pub mod moving;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{Commitment, EpochId, NodeId, PolicyVersion, TaskId, UsageScope, VaultId};
use symphony_types::key::{Document as _, Endorsed, Master, PublicKey, Vault};
use symphony_types::subjects::{SubjectIndex, SubjectSet};
use symphony_types::time::OrderedMillis;

use super::authorize::{self, EndorsedPreparation};
use super::consent::{ConsentChange, Consents};
use super::dividend;
use super::document::{Documents, Kept};
use super::ledger::{Drawn, EntryState, Ledger, LedgerEntry, Ordered, Reservation};
use super::subjects::{Holdings, Roll, SubjectKey};
use crate::artifact::training::{EndorsedRoundOrder, Extra};
use crate::artifact::{Bucket, DividendStatement, EndorsedAssignment, Release, TaskEnvelope};
use crate::governance::Governance;
use crate::governance::epoch::{Activation, Calendar};
use crate::governance::policy::Policy;
use crate::lifecycle::training::{self, Position};

/// What the machine takes from governance.
#[derive(Clone, Debug, Serialize)]
pub struct Charter {
    /// This Vault.
    pub vault: VaultId,
    /// The majority of these gives orders that bind it.
    pub masters: BTreeMap<NodeId, PublicKey<Master>>,
    /// The keys of all Vaults: their word counts when people move between them.
    pub vaults: BTreeMap<VaultId, PublicKey<Vault>>,
    /// Limits by policy version (R070).
    pub policies: BTreeMap<PolicyVersion, Policy>,
    /// Which of them is in force when.
    pub calendar: Calendar,
}

impl Charter {
    /// The charter of a Vault under a governance.
    pub fn of(vault: VaultId, governance: &Governance) -> Self {
        Self {
            vault,
            masters: governance.registry.masters.clone(),
            vaults: governance
                .registry
                .vaults
                .iter()
                .map(|(vault, record)| (vault.clone(), record.key))
                .collect(),
            policies: governance.policies.clone(),
            calendar: governance.calendar.clone(),
        }
    }

    /// The policy that is in force at a moment. **Errors**: `GOV-0001`.
    pub fn policy_at(&self, at: OrderedMillis) -> Result<&Policy, Code> {
        self.policy(self.calendar.version_at(at))
    }

    /// A policy by its version. **Errors**: `GOV-0001`.
    pub fn policy(&self, version: PolicyVersion) -> Result<&Policy, Code> {
        self.policies.get(&version).ok_or(Code::PolicyUnknown)
    }
}

/// All that a Vault knows besides the content of its records.
#[derive(Clone, Debug, Serialize)]
pub struct State {
    /// What governance says.
    pub charter: Charter,
    /// Who is enrolled.
    pub subjects: Roll,
    /// Who has records.
    pub holdings: Holdings,
    /// Who allows what.
    pub consents: Consents,
    /// Who has spent what.
    pub ledger: Ledger,
    /// Dividend statements by epoch.
    pub epochs: BTreeMap<EpochId, ClosedEpoch>,
    /// Receipt documents by commitment.
    pub documents: Documents,
    /// Moves of everything between Vaults.
    pub moves: moving::Moves,
}

/// An epoch whose dividends are stated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedEpoch {
    /// Digest of the request.
    pub request: Digest,
    /// The statement.
    pub statement: DividendStatement,
}

/// A version of the policy as the council enacted it. Whoever follows the council's log has checked that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// The first epoch that it is in force in.
    pub first: EpochId,
    /// Which version it is, and since when.
    pub activation: Activation,
    /// What it says.
    pub policy: Policy,
}

/// What somebody wants of a Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Give each new key an index.
    EnrolSubjects {
        /// Keys, known ones among them.
        keys: Vec<SubjectKey>,
    },
    /// Note what people said.
    RecordConsents {
        /// In the order that it was said.
        changes: Vec<ConsentChange>,
    },
    /// Note a batch of records whose rows become durable with this command.
    AppendRecords {
        /// Records in the batch.
        count: u32,
        /// Merkle root over their commitments.
        root: Digest,
        /// Whose they are, ascending, once each.
        subjects: Vec<SubjectIndex>,
    },
    /// Reserve budget of everybody who is eligible.
    PrepareTask {
        /// What the masters ask.
        preparation: EndorsedPreparation,
    },
    /// Consume what was reserved, before any result exists (R065); or, when it is, take a later attempt.
    CommitTask {
        /// What the masters order.
        assignment: Box<EndorsedAssignment>,
    },
    /// Consume what a round of a training adds, before its result exists (D20); or take a later attempt at it.
    CommitRound {
        /// What the masters order.
        order: Box<EndorsedRoundOrder>,
    },
    /// Free what a dead task reserved, or the rest that the rounds of a training did not draw.
    ReleaseTask {
        /// What the masters say.
        release: Endorsed<Release, Master>,
    },
    /// Free what waited too long.
    ExpireReservations,
    /// State the dividends of an epoch.
    CloseEpoch {
        /// Digest of the master's request.
        request: Digest,
        /// What was carried into the epoch.
        carried_in: Sym,
        /// The statement that answers it.
        statement: DividendStatement,
    },
    /// Note a receipt document whose rows become durable with this command.
    KeepDocument {
        /// Whose.
        subject: SubjectIndex,
        /// Its commitment.
        commitment: Commitment,
    },
    /// Note that a person's document is erased; its rows are gone with this command.
    EraseDocument {
        /// Whose.
        subject: SubjectIndex,
        /// Its commitment.
        commitment: Commitment,
    },
    /// End every consent of a person for good; its rows, its documents and the keys of both go with this command.
    ErasePerson {
        /// Who.
        subject: SubjectIndex,
    },
    /// A step of a move of everything to another Vault.
    Move(Box<moving::Command>),
    /// Take a version of the policy that the council enacted (R188).
    AdoptPolicy(Box<Adoption>),
    /// End the uploaded records that arrived first, because they were kept for their time; what opens them goes with this command.
    EndRecords {
        /// How many have ended then, of all that ever arrived.
        through: u64,
        /// People who have no other records.
        subjects: SubjectSet,
    },
    /// Consume what it costs people to be counted in the report of an epoch's candidates, before their records are read (R051, R065).
    ChargeReport {
        /// The epoch.
        epoch: EpochId,
        /// Whose records have candidates.
        subjects: SubjectSet,
    },
}

/// What has happened in a Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// These are new, and have the next indices in this order.
    SubjectsEnrolled {
        /// Their keys.
        keys: Vec<SubjectKey>,
    },
    /// These said something new.
    ConsentsRecorded {
        /// What.
        changes: Vec<ConsentChange>,
    },
    /// Records came in.
    RecordsAppended {
        /// How many.
        count: u32,
        /// Merkle root over their commitments.
        root: Digest,
        /// Whose.
        subjects: Vec<SubjectIndex>,
    },
    /// Budget is held.
    BudgetReserved {
        /// For this task.
        task: TaskId,
        /// In this scope.
        scope: UsageScope,
        /// Under these limits.
        policy: PolicyVersion,
        /// For each person.
        epsilon: Epsilon,
        /// Digest of the preparation.
        preparation: Digest,
        /// Who is eligible.
        subjects: SubjectSet,
        /// When it ends unless committed.
        deadline: OrderedMillis,
    },
    /// Budget is consumed.
    BudgetCommitted {
        /// By this task.
        task: TaskId,
        /// Of these people; the others of the reservation have theirs back.
        subjects: SubjectSet,
        /// The order.
        order: Ordered,
    },
    /// A round of a training has drawn.
    RoundDrawn {
        /// The task.
        task: TaskId,
        /// The round.
        round: u32,
        /// What each person has lost with it.
        spent: Epsilon,
        /// Who remains, when somebody has left.
        subjects: Option<SubjectSet>,
        /// The order.
        order: Ordered,
        /// What it releases: [`RoundOrder::release`](crate::artifact::training::RoundOrder::release).
        release: Digest,
        /// Releases beyond one a round.
        extra: Extra,
    },
    /// Another attempt is made at a task whose budget is consumed.
    TaskAssignedAgain {
        /// The task.
        task: TaskId,
        /// The same order in its new assignment.
        order: Ordered,
    },
    /// Budget is free again because the task died.
    BudgetReleased {
        /// The task.
        task: TaskId,
    },
    /// Budget is free again because its deadline passed.
    BudgetExpired {
        /// The task.
        task: TaskId,
    },
    /// Dividends are stated.
    EpochClosed {
        /// The statement.
        closed: ClosedEpoch,
    },
    /// A document came in.
    DocumentKept {
        /// Whose.
        subject: SubjectIndex,
        /// Its commitment.
        commitment: Commitment,
    },
    /// A document is gone; its commitment stays.
    DocumentErased {
        /// Its commitment.
        commitment: Commitment,
    },
    /// A person is gone; the index is never given again.
    PersonErased {
        /// Who.
        subject: SubjectIndex,
    },
    /// A move went on.
    Moved(moving::Event),
    /// A version of the policy is known, in force or not.
    PolicyAdopted(Box<Adoption>),
    /// The uploaded records that arrived first are gone; their commitments stay.
    RecordsEnded {
        /// How many of all that ever arrived.
        through: u64,
        /// People who have no other records.
        subjects: SubjectSet,
    },
    /// Budget is consumed by the report of an epoch's candidates.
    ReportCharged {
        /// The name of the charge.
        task: TaskId,
        /// What it takes of whom.
        charge: counting::Charge,
    },
}

impl State {
    /// A Vault before its first command.
    pub fn new(charter: Charter) -> Self {
        Self {
            charter,
            subjects: Roll::default(),
            holdings: Holdings::default(),
            consents: Consents::default(),
            ledger: Ledger::default(),
            epochs: BTreeMap::new(),
            documents: Documents::default(),
            moves: moving::Moves::default(),
        }
    }

    /// A person's document. With its person all that was kept of it is erased. **Errors**: `ADM-0004`.
    pub fn document(&self, subject: SubjectIndex, commitment: &Commitment) -> Result<Kept, Code> {
        let mut kept = self.documents.of(subject, commitment)?;
        kept.erased = kept.erased.or(self.subjects.erased_at(subject));
        Ok(kept)
    }

    /// People whose consent covers a scope and who have records, as a bucket (R058, D6).
    pub fn coverage(&self, scope: &UsageScope, at: OrderedMillis) -> Bucket {
        Bucket::of(self.consents.covered(scope, at).intersection(self.holdings.holders()).len())
    }

    /// Who may be used for a scope at that moment and can afford it.
    fn eligible(
        &self,
        scope: &UsageScope,
        epsilon: Epsilon,
        policy: &Policy,
        at: OrderedMillis,
    ) -> SubjectSet {
        let covered = self.consents.covered(scope, at).intersection(self.holdings.holders());
        self.ledger.affordable(&covered, scope, epsilon, &policy.privacy)
    }
}

/// Makes every check and changes nothing.
///
/// **Errors**: the code of the refusal.
pub fn decide(state: &State, at: OrderedMillis, command: &Command) -> Result<Vec<Event>, Code> {
    match command {
        Command::EnrolSubjects { keys } => {
            state.moves.grows()?;
            let keys = state.subjects.newcomers(keys)?;
            Ok(if keys.is_empty() { vec![] } else { vec![Event::SubjectsEnrolled { keys }] })
        }
        Command::RecordConsents { changes } => record_consents(state, at, changes),
        Command::AppendRecords { count, root, subjects } => {
            state.moves.grows()?;
            let known = subjects.iter().all(|subject| state.subjects.contains(*subject));
            if !known || subjects.is_empty() || !subjects.is_sorted_by(|one, next| one < next) {
                return Err(Code::SubjectUnknown);
            }
            Ok(vec![Event::RecordsAppended { count: *count, root: *root, subjects: subjects.clone() }])
        }
        Command::PrepareTask { preparation } => prepare(state, at, preparation),
        Command::CommitTask { assignment } => commit(state, at, assignment),
        Command::CommitRound { order } => commit_round(state, at, order),
        Command::ReleaseTask { release } => {
            authorize::endorsed(release, &state.charter.masters)?;
            authorize::addressed(&release.body.vault, &state.charter.vault)?;
            let task = release.body.task;
            match state.ledger.entry(&task).map(|entry| &entry.state) {
                Some(EntryState::Reserved | EntryState::Drawing(_)) => {
                    Ok(vec![Event::BudgetReleased { task }])
                }
                None
                | Some(EntryState::Drawn { .. } | EntryState::Released { .. } | EntryState::Expired { .. }) => {
                    Ok(vec![])
                }
                Some(EntryState::Committed { .. }) => Err(Code::IllegalTransition),
            }
        }
        Command::ExpireReservations => {
            Ok(state.ledger.due(at).map(|task| Event::BudgetExpired { task: *task }).collect())
        }
        Command::CloseEpoch { request, carried_in, statement } => {
            let closed = ClosedEpoch { request: *request, statement: statement.clone() };
            let fresh = dividend::check_close(&state.epochs, &state.charter.vault, &closed, *carried_in)?;
            Ok(if fresh { vec![Event::EpochClosed { closed }] } else { vec![] })
        }
        Command::KeepDocument { subject, commitment } => {
            state.moves.grows()?;
            if !state.subjects.contains(*subject) {
                return Err(Code::SubjectUnknown);
            }
            let fresh = state.documents.admits(*subject, commitment)?;
            let kept = Event::DocumentKept { subject: *subject, commitment: *commitment };
            Ok(if fresh { vec![kept] } else { vec![] })
        }
        Command::EraseDocument { subject, commitment } => {
            state.moves.stays(*subject)?;
            let kept = state.document(*subject, commitment)?;
            let erased = Event::DocumentErased { commitment: *commitment };
            Ok(if kept.erased.is_none() { vec![erased] } else { vec![] })
        }
        Command::ErasePerson { subject } if state.subjects.contains(*subject) => {
            state.moves.stays(*subject)?;
            Ok(vec![Event::PersonErased { subject: *subject }])
        }
        Command::ErasePerson { subject } if state.subjects.erased().contains(*subject) => Ok(vec![]),
        Command::ErasePerson { .. } => Err(Code::SubjectUnknown),
        Command::Move(step) => moving::decide(state, at, step),
        Command::AdoptPolicy(adoption) => adopt(&state.charter, adoption),
        Command::EndRecords { through, .. } if *through <= state.holdings.ended() => Ok(vec![]),
        Command::EndRecords { through, subjects } => {
            // What is on its way to another Vault is counted there and here.
            state.moves.grows()?;
            let known = subjects.iter().all(|subject| subject.0 < state.subjects.len());
            if *through > state.holdings.count() || !known {
                return Err(Code::Malformed);
            }
            Ok(vec![Event::RecordsEnded { through: *through, subjects: subjects.clone() }])
        }
        Command::ChargeReport { epoch, subjects } => counting::charge(state, at, *epoch, subjects),
    }
}

/// Takes one event into the state.
pub fn evolve(state: &mut State, at: OrderedMillis, event: &Event) {
    match event {
        Event::SubjectsEnrolled { keys } => state.subjects.enrol(keys),
        Event::ConsentsRecorded { changes } => state.consents.record(at, changes),
        Event::RecordsAppended { count, root, subjects } => state.holdings.append(*count, root, subjects),
        Event::BudgetReserved { task, scope, policy, epsilon, preparation, subjects, deadline } => {
            let reservation = Reservation {
                scope: scope.clone(),
                policy: *policy,
                epsilon: *epsilon,
                preparation: *preparation,
                subjects: subjects.clone(),
                deadline: *deadline,
            };
            state.ledger.reserve(*task, reservation, at);
        }
        Event::BudgetCommitted { task, subjects, order } => state.ledger.commit(task, subjects, *order, at),
        Event::RoundDrawn { task, round, spent, subjects, order, release, extra } => {
            let drawn =
                Drawn { spent: *spent, round: *round, order: *order, release: *release, extra: *extra };
            state.ledger.draw(task, subjects.as_ref(), drawn, at);
        }
        Event::TaskAssignedAgain { task, order } => state.ledger.assign_again(task, *order),
        Event::BudgetReleased { task } => state.ledger.release(task, at),
        Event::BudgetExpired { task } => state.ledger.expire(task, at),
        Event::EpochClosed { closed } => {
            state.epochs.insert(closed.statement.epoch, closed.clone());
        }
        Event::DocumentKept { subject, commitment } => state.documents.keep(at, *subject, *commitment),
        Event::DocumentErased { commitment } => state.documents.erase(at, commitment),
        Event::PersonErased { subject } => {
            state.consents.erase(at, *subject);
            state.holdings.erase(*subject);
            state.subjects.erase(at, *subject);
        }
        Event::Moved(event) => moving::evolve(state, at, event),
        Event::PolicyAdopted(adoption) => {
            let Adoption { first, activation, policy } = Adoption::clone(adoption);
            state.charter.calendar.add(first, activation);
            state.charter.policies.insert(activation.version, policy);
        }
        Event::RecordsEnded { through, subjects } => state.holdings.end(at, *through, subjects),
        Event::ReportCharged { task, charge } => state.ledger.carry(*task, charge.carried(task), at),
    }
}

/// Takes the next version of the policy. The same again changes nothing. **Errors**: `GOV-0012` for another than the next.
fn adopt(charter: &Charter, adoption: &Adoption) -> Result<Vec<Event>, Code> {
    let Adoption { first, activation, policy } = adoption;
    if let Some(known) = charter.policies.get(&activation.version) {
        return if known == policy { Ok(vec![]) } else { Err(Code::ChangeUnfit) };
    }
    let fits = charter.calendar.follows(*first, *activation) && activation.epoch_ms == policy.epoch_ms;
    if fits { Ok(vec![Event::PolicyAdopted(Box::new(adoption.clone()))]) } else { Err(Code::ChangeUnfit) }
}

fn record_consents(state: &State, at: OrderedMillis, changes: &[ConsentChange]) -> Result<Vec<Event>, Code> {
    let policy = state.charter.policy_at(at)?;
    let mut last: BTreeMap<(SubjectIndex, &UsageScope), &ConsentChange> = BTreeMap::new();
    let mut news = Vec::new();
    for change in changes {
        if !state.subjects.contains(change.subject) {
            return Err(Code::SubjectUnknown);
        }
        if !policy.privacy.scope_limits.contains_key(&change.scope) {
            return Err(Code::ScopeUnknown);
        }
        let known = match last.insert((change.subject, &change.scope), change) {
            Some(earlier) => earlier.statement == change.statement,
            None => state.consents.standing(&change.scope, change.subject).says(change.statement),
        };
        if !known {
            news.push(change.clone());
        }
    }
    Ok(if news.is_empty() { vec![] } else { vec![Event::ConsentsRecorded { changes: news }] })
}

fn prepare(state: &State, at: OrderedMillis, preparation: &EndorsedPreparation) -> Result<Vec<Event>, Code> {
    authorize::endorsed(preparation, &state.charter.masters)?;
    let body = &preparation.body;
    let digest = body.digest();
    if let Some(entry) = state.ledger.entry(&body.task) {
        return answered(entry, &digest, at);
    }
    state.moves.grows()?;
    authorize::preparation(body, &state.charter.vault, at)?;
    let policy = state.charter.policy(body.policy)?;
    if !policy.privacy.scope_limits.contains_key(&body.scope) {
        return Err(Code::ScopeUnknown);
    }
    Ok(vec![Event::BudgetReserved {
        task: body.task,
        scope: body.scope.clone(),
        policy: body.policy,
        epsilon: body.epsilon,
        preparation: digest,
        subjects: state.eligible(&body.scope, body.epsilon, policy, at),
        deadline: body.deadline,
    }])
}

/// The answer to a preparation of a task that has an entry.
fn answered(entry: &LedgerEntry, preparation: &Digest, at: OrderedMillis) -> Result<Vec<Event>, Code> {
    if entry.preparation != *preparation {
        return Err(Code::IdempotencyConflict);
    }
    match &entry.state {
        EntryState::Reserved if at >= entry.deadline => Err(Code::ReservationExpired),
        EntryState::Reserved | EntryState::Drawing(_) | EntryState::Committed { .. } => Ok(vec![]),
        EntryState::Drawn { .. } | EntryState::Released { .. } | EntryState::Expired { .. } => {
            Err(Code::ReservationExpired)
        }
    }
}

fn commit(state: &State, at: OrderedMillis, assignment: &EndorsedAssignment) -> Result<Vec<Event>, Code> {
    authorize::endorsed(assignment, &state.charter.masters)?;
    let envelope = &assignment.body.envelope;
    let order = Ordered {
        envelope: envelope.digest(),
        assignment: assignment.body.digest(),
        attempt: assignment.body.attempt,
    };
    let entry = state.ledger.entry(&envelope.task).ok_or(Code::ReservationUnknown)?;
    match &entry.state {
        EntryState::Committed { order: known, .. } if *known == order => return Ok(vec![]),
        EntryState::Committed { order: known, .. } => {
            again(*known, order)?;
            authorize::assignment(&assignment.body, &state.charter.vault)?;
            return Ok(vec![Event::TaskAssignedAgain { task: envelope.task, order }]);
        }
        EntryState::Reserved if at >= entry.deadline => return Err(Code::ReservationExpired),
        EntryState::Reserved => {}
        EntryState::Drawing(_)
        | EntryState::Drawn { .. }
        | EntryState::Released { .. }
        | EntryState::Expired { .. } => return Err(Code::ReservationExpired),
    }
    authorize::assignment(&assignment.body, &state.charter.vault)?;
    reserved_for(entry, envelope, at)?;
    let subjects = entry.reserved.set().intersection(&state.consents.covered(&entry.scope, at));
    Ok(vec![Event::BudgetCommitted { task: envelope.task, subjects, order }])
}

/// Whether what is reserved was reserved for this order, and in time. **Errors**: `VLT-0004`, `EXE-0006`.
fn reserved_for(entry: &LedgerEntry, envelope: &TaskEnvelope, at: OrderedMillis) -> Result<(), Code> {
    if at >= envelope.execute_by || at >= entry.deadline {
        return Err(Code::ReservationExpired);
    }
    let same = envelope.scope == entry.scope
        && envelope.versions.policy == entry.policy
        && envelope.charge.per_subject() == Some(entry.epsilon);
    if same { Ok(()) } else { Err(Code::EnvelopeInvalid) }
}

/// A round draws once; a later attempt at the same release draws nothing more, and one for other Vaults is another release
/// of the same people, which draws again. Rounds come in their order, though a Vault may miss some: what it missed is drawn
/// with the next that it computes, because the loss is counted by rounds.
fn commit_round(state: &State, at: OrderedMillis, endorsed: &EndorsedRoundOrder) -> Result<Vec<Event>, Code> {
    authorize::endorsed(endorsed, &state.charter.masters)?;
    let body = &endorsed.body;
    let envelope = &body.envelope;
    let order = Ordered { envelope: envelope.digest(), assignment: body.digest(), attempt: body.attempt };
    let entry = state.ledger.entry(&envelope.task).ok_or(Code::ReservationUnknown)?;
    let draw = match &entry.state {
        EntryState::Drawing(draw) if draw.order == order => return Ok(vec![]),
        EntryState::Drawing(draw) => {
            if body.round < draw.round {
                return Err(Code::IllegalTransition);
            }
            let same = draw.order.envelope == order.envelope;
            if !same || (body.round == draw.round && order.attempt <= draw.order.attempt) {
                return Err(Code::IdempotencyConflict);
            }
            Some(draw)
        }
        EntryState::Reserved => None,
        EntryState::Committed { .. }
        | EntryState::Drawn { .. }
        | EntryState::Released { .. }
        | EntryState::Expired { .. } => return Err(Code::ReservationExpired),
    };
    authorize::round(body, &state.charter.vault)?;
    reserved_for(entry, envelope, at)?;
    let training = &training::plan(envelope)?.training;
    let again = draw.filter(|draw| draw.round == body.round);
    let release = body.release();
    let mut extra = draw.map_or(Extra::NONE, |draw| draw.extra);
    if again.is_some_and(|draw| draw.release != release) {
        extra.steps = extra.steps.saturating_add(u32::from(!body.last));
        let judged = training.evaluates(body.round, body.last);
        extra.evaluations = extra.evaluations.saturating_add(u32::from(judged));
    }
    let spent = Position::of(body.round, body.last, body.state).spent(training, extra)?;
    if spent > entry.epsilon {
        return Err(Code::BudgetTooSmall);
    }
    // What is drawn never goes down (R066); the masters' own rules make no such order.
    if draw.is_some_and(|draw| spent < draw.spent) {
        return Err(Code::EnvelopeInvalid);
    }
    // Whoever leaves, leaves between two rounds: the people of one round stay the same in every attempt at it.
    let before = draw.map_or(entry.reserved.set(), |draw| draw.members.set());
    let remaining = || before.intersection(&state.consents.covered(&entry.scope, at));
    let subjects = if again.is_some() { None } else { Some(remaining()).filter(|remain| remain != before) };
    let (task, round) = (envelope.task, body.round);
    Ok(vec![Event::RoundDrawn { task, round, spent, subjects, order, release, extra }])
}

/// Whether another assignment of a committed task may replace the one that is known: only for a later attempt at the
/// very same envelope, because what was consumed pays for one query. **Errors**: `ADM-0005` for another content,
/// `EXE-0007` for an earlier attempt.
fn again(known: Ordered, order: Ordered) -> Result<(), Code> {
    if order.attempt < known.attempt {
        return Err(Code::IllegalTransition);
    }
    if order.envelope != known.envelope || order.attempt == known.attempt {
        return Err(Code::IdempotencyConflict);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
