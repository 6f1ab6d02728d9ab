//! The master's machine: one state, commands that ask, events that happened, effects that the outside owes.
//!
//! `decide` makes every check and changes nothing; `evolve` cannot fail. What the outside owes is leased to one master
//! in the decision that makes it owed ([`Lease`]): [`effect_for`] tells a running master what an event gives it to do,
//! and [`State::held_by`] tells a restarted one the same from the state alone. This module alone sees all planes.

mod adjustment;
mod candidate;
mod challenge;
mod council;
mod decide;
mod effect;
mod epoch;
mod evolve;
mod lease;
mod moving;
mod parse;
mod refusal;
pub mod simulate;
mod stake;
mod training;
pub mod version;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, EpochId, LockRef, NodeId, ProtocolVersion, TaskId, VaultId};
use symphony_types::table::{Table, Value};
use symphony_types::time::OrderedMillis;

use crate::admission::envelope::PrepareAnswer;
use crate::admission::request::AdmissionRequest;
use crate::artifact::adjustment::{Adjustment, EndorsedAdjustment};
use crate::artifact::challenge::{Bond, EndorsedFinding, Filing, Ruling};
use crate::artifact::parse::{ParseOrder, ParseSettlement, SignedParse, SignedTicket};
use crate::artifact::penalty::Penalty;
use crate::artifact::training::{EndorsedRound, Round};
use crate::artifact::{
    EndorsedLock, SettlementContext, SignedAggregate, SignedDividends, SignedReceipt, SignedSlice,
    SignedVerdict, TaskEnvelope, TaskRequest,
};
use crate::execution::aggregate::EndorsedAggregate;
use crate::execution::failure::SignedFailure;
use crate::governance::Governance;
use crate::governance::candidate::SignedReport;
use crate::governance::proposal::{Motion, ProposalEvent, Proposals};
use crate::governance::stake::{EndorsedStakes, StakeSheet};
use crate::lifecycle::{Task, TaskState};
use crate::settlement::challenge::Challenge;
use crate::settlement::payout::{
    ContributorAccount, EpochAccount, PayoutInstructionSet, Refund, SignedConfirmation,
};

pub use adjustment::{AdjustmentRecord, Adjustments, Standing};
pub use candidate::Taken;
pub use challenge::disputed_result;
pub use decide::{decide, fingerprint};
pub use effect::{Effect, outstanding};
pub use evolve::evolve;
pub use lease::{Lease, effect_for};
pub use moving::MoveClosing;
pub use parse::{ParseStage, ParseTask};
pub use refusal::Refusal;
use version::{Announcement, Upgrade};

/// Everything that the masters agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What governs.
    pub governance: Governance,
    /// Requests by the task that they are or would be: the idempotency of submission (R209).
    pub requests: Table<TaskId, Submission>,
    /// Admitted tasks.
    pub tasks: Table<TaskId, Task>,
    /// Admitted parses.
    pub parses: Table<TaskId, ParseTask>,
    /// Rounds of trainings.
    pub rounds: Table<(TaskId, u32), Round>,
    /// Challenges by task, each counted from one.
    pub challenges: Table<(TaskId, u32), Challenge>,
    /// Penalties, by task and the challenge that they follow from.
    pub penalties: Table<(TaskId, u32), Penalty>,
    /// Epochs that have something to pay.
    pub epochs: Table<EpochId, EpochAccount>,
    /// Contributor money by Vault.
    pub contributors: Table<VaultId, ContributorAccount>,
    /// Who performs what is owed, and until when.
    pub leases: Table<Effect, Lease>,
    /// When time alone moves each request and task that is not finished.
    pub due: Table<(OrderedMillis, TaskId), ()>,
    /// Which version of the protocol is in force, and who is ready for the next.
    pub upgrade: Upgrade,
    /// What the council proposes, and the log of what it changed.
    pub proposals: Proposals,
    /// What reconciliation found, and what was done about it.
    pub adjustments: Adjustments,
    /// Closing statements of moves, by the Vault that was left.
    pub moves: Table<VaultId, MoveClosing>,
    /// Reports of candidates for attributes.
    pub candidates: Table<(EpochId, VaultId), Taken>,
    /// What nodes have staked, as it was last ordered.
    pub stakes: StakeSheet,
}

impl State {
    /// The state before the first command.
    pub fn genesis(governance: Governance) -> Self {
        let contributors = governance.registry.vaults.keys().map(|vault| (vault.clone(), Default::default()));
        Self {
            contributors: contributors.collect(),
            proposals: Proposals::new(&governance),
            governance,
            requests: Table::new(),
            tasks: Table::new(),
            parses: Table::new(),
            rounds: Table::new(),
            challenges: Table::new(),
            penalties: Table::new(),
            epochs: Table::new(),
            leases: Table::new(),
            due: Table::new(),
            upgrade: Upgrade::default(),
            adjustments: Adjustments::default(),
            moves: Table::new(),
            candidates: Table::new(),
            stakes: StakeSheet::default(),
        }
    }

    /// The next moment at which time alone changes something.
    pub fn timer(&self) -> Option<OrderedMillis> {
        let tasks = self.due.keys().next().map(|(at, _)| *at);
        let epochs = epoch::ends(self);
        let leases = self.leases.values().map(|lease| lease.until);
        epochs.chain(tasks).chain(leases).chain(version::due(self)).chain(self.proposals.timer()).min()
    }

    /// How many requests and tasks are not finished.
    pub fn open(&self) -> usize {
        self.due.len()
    }

    /// When time alone moves a request or task; `None` when it is finished. The Vaults answer until `prepare_by`; the runner that reports gets as long again.
    fn due(&self, task: &TaskId) -> Option<OrderedMillis> {
        match &self.requests.get(task)?.answer {
            Answer::Preparing(admission) => {
                let policy = self.governance.policy_of(admission.versions.policy).ok()?;
                Some(admission.prepare_by.plus(policy.deadlines.prepare_ms))
            }
            Answer::Admitted => match self.tasks.get(task) {
                Some(task) => task.timer(),
                None => self.parses.get(task)?.timer(),
            },
            Answer::Refused { .. } => None,
        }
    }

    /// Whether the index of what is due says what requests and tasks say. It holds in every state that the rules have made.
    pub fn due_agrees(&self) -> bool {
        let due = self.requests.keys().filter_map(|task| Some(((self.due(task)?, *task), ())));
        self.due == due.collect()
    }

    /// What all masters agree on (R217); it costs what has changed since it was last asked for.
    pub fn digest(&mut self) -> Digest {
        let tables = [
            self.requests.digest(),
            self.tasks.digest(),
            self.parses.digest(),
            self.rounds.digest(),
            self.challenges.digest(),
            self.penalties.digest(),
            self.epochs.digest(),
            self.contributors.digest(),
            self.leases.digest(),
            self.due.digest(),
            self.proposals.digest(),
            self.adjustments.records.digest(),
            self.adjustments.standing.digest(),
            self.moves.digest(),
            self.candidates.digest(),
        ];
        Digest::of("symphony/master-state/v2", &(&self.governance, tables, &self.upgrade, &self.stakes))
    }
}

/// One submitter's request and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Digest of request and lock: another content under the same name is a conflict.
    pub fingerprint: Digest,
    /// What became of it.
    pub answer: Answer,
}

impl Value for Submission {}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "one per request, and preparing is where the work is")]
pub enum Answer {
    /// The Vaults are asked.
    Preparing(AdmissionRequest),
    /// It is a task.
    Admitted,
    /// It will not be a task; nothing is reserved or locked for it.
    Refused {
        /// Who asked.
        submitter: ActorId,
        /// Why.
        code: Code,
        /// When.
        at: OrderedMillis,
    },
}

/// A command and the master through which it was ordered. What the command makes owed is leased to that master: it is alive, and it has the bulk that
/// the command is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The master. Whoever places orders makes sure that it is the one that asked.
    pub by: NodeId,
    /// What it orders.
    pub command: Command,
}

/// An order to the machine. Outside facts are its fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A submitter asks; the chain's answer about the lock is attached.
    SubmitTask {
        /// What is asked.
        request: TaskRequest,
        /// The lock that the submitter names.
        lock: LockRef,
        /// That lock as the chain confirmed it to a majority of the masters, if it did.
        fact: Option<EndorsedLock>,
    },
    /// A person has a document read; its Vault says so.
    SubmitParse {
        /// The Vault's word.
        ticket: SignedTicket,
    },
    /// The Vault has read it, or says why not.
    RecordParse {
        /// The Vault's word.
        statement: SignedParse,
    },
    /// The Vaults have answered, or time is up.
    RecordPreparations {
        /// The task to be.
        task: TaskId,
        /// Their answers.
        answers: Vec<PrepareAnswer>,
    },
    /// Enough of the Vaults' slices are in.
    RecordSlices {
        /// The task.
        task: TaskId,
        /// What arrived.
        slices: Vec<SignedSlice>,
    },
    /// The aggregator is done.
    RecordAggregate {
        /// The aggregate.
        aggregate: EndorsedAggregate,
    },
    /// A round of a training is done.
    RecordRound {
        /// What it left.
        round: EndorsedRound,
    },
    /// A master cannot have the slices computed, or combine them.
    RecordFailure {
        /// Its word.
        failure: SignedFailure,
    },
    /// The verifier decided.
    RecordVerdict {
        /// The verdict.
        verdict: SignedVerdict,
    },
    /// Somebody disputes a result.
    Challenge {
        /// What, and why.
        filing: Filing,
        /// The lock that the challenger names as its bond.
        lock: LockRef,
        /// That lock as the chain confirmed it to a majority of the masters, if it did.
        fact: Option<EndorsedLock>,
    },
    /// The masters have looked at a disputed result again.
    RecordFinding {
        /// What they found.
        finding: EndorsedFinding,
    },
    /// The submitter received the result (R232).
    RecordDelivery {
        /// The task.
        task: TaskId,
    },
    /// Time has passed. Leases that ran out go to the master that says so.
    AdvanceTime,
    /// The master goes on with what it holds.
    RenewLeases,
    /// The Vaults have closed their dividends of an epoch; those without a statement wait.
    RecordDividends {
        /// The epoch.
        epoch: EpochId,
        /// The statements.
        statements: Vec<SignedDividends>,
    },
    /// The chain confirmed the batch of an epoch.
    RecordPayout {
        /// The confirmation.
        confirmation: SignedConfirmation,
    },
    /// The masters have compared their state with chain or Vault (R219, R220).
    RecordAdjustment {
        /// What they found, or that it is over.
        adjustment: EndorsedAdjustment,
    },
    /// The master's program speaks versions of the protocol up to this one (R221).
    AnnounceProtocol {
        /// The highest.
        version: ProtocolVersion,
    },
    /// A member of the council proposes, votes or withdraws (R191).
    Govern {
        /// Its word.
        motion: Motion,
    },
    /// Both Vaults of a move say that nothing is left at the first (R081).
    RecordMove {
        /// Their words.
        closing: MoveClosing,
    },
    /// A Vault says what candidates for attributes an epoch brought (R051).
    ReportCandidates {
        /// Its word.
        report: SignedReport,
    },
    /// What nodes have staked, as the chain shows it to a majority of the masters (R184).
    RecordStakes {
        /// The sheet.
        sheet: EndorsedStakes,
    },
}

/// What happened. Appended once, never edited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "a decision has a few, and each is written down at once")]
pub enum Event {
    /// A request passed the master's checks; the Vaults are asked.
    AdmissionRequested {
        /// Digest of request and lock.
        fingerprint: Digest,
        /// The request.
        admission: AdmissionRequest,
    },
    /// A request is refused; a lock made for it goes back.
    AdmissionRefused {
        /// The task that it would have become.
        task: TaskId,
        /// Who asked.
        submitter: ActorId,
        /// Digest of request and lock.
        fingerprint: Digest,
        /// Why.
        code: Code,
        /// When.
        at: OrderedMillis,
        /// Vaults that reserved and must release.
        release: Vec<VaultId>,
        /// What goes back, in which epoch.
        refund: Option<(EpochId, Refund)>,
    },
    /// A request became a task.
    TaskAdmitted {
        /// The order.
        envelope: TaskEnvelope,
        /// Receipts of the participating Vaults.
        receipts: Vec<SignedReceipt>,
        /// Vaults that do not take part.
        absent: Vec<(VaultId, Code)>,
    },
    /// A parse is admitted.
    ParseAdmitted {
        /// Digest of the ticket.
        fingerprint: Digest,
        /// The order.
        order: ParseOrder,
    },
    /// The Vault has a record of the document.
    ParseRecorded {
        /// Its statement.
        statement: SignedParse,
        /// When the verdict is due.
        verify_by: OrderedMillis,
    },
    /// A parse is settled for good.
    ParseSettled {
        /// What was settled.
        settlement: ParseSettlement,
        /// Its root.
        root: Digest,
    },
    /// A parse ended without a settlement.
    ParseClosed {
        /// The task.
        task: TaskId,
        /// Rejected or timed out.
        to: TaskState,
        /// Why.
        code: Code,
    },
    /// A task stepped from one state to another (R035).
    TaskTransitioned {
        /// The task.
        task: TaskId,
        /// Where it was.
        from: TaskState,
        /// Where it is.
        to: TaskState,
        /// What moved it.
        cause: Cause,
        /// In which epoch.
        epoch: EpochId,
        /// When.
        at: OrderedMillis,
    },
    /// Enough slices are in.
    SlicesAccepted {
        /// The task.
        task: TaskId,
        /// Those that count.
        slices: Vec<SignedSlice>,
        /// When the aggregate is due.
        aggregate_by: OrderedMillis,
    },
    /// The aggregate fits the order.
    AggregateRecorded {
        /// The aggregate.
        aggregate: SignedAggregate,
        /// When the verdict is due.
        verify_by: OrderedMillis,
    },
    /// A round of a training fits the plan.
    RoundRecorded {
        /// What it left.
        round: Round,
        /// When the verdict is due; of the last round.
        verify_by: Option<OrderedMillis>,
    },
    /// A master cannot do the step that a task is at.
    FailureReported {
        /// The task.
        task: TaskId,
        /// Who.
        master: NodeId,
        /// Why.
        code: Code,
    },
    /// The verifier accepted.
    VerdictAccepted {
        /// The verdict.
        verdict: SignedVerdict,
        /// When the result becomes final.
        final_at: OrderedMillis,
    },
    /// A result is disputed, and looked at again.
    ChallengeFiled {
        /// Which of the task's challenges, from one.
        number: u32,
        /// What, and why.
        filing: Filing,
        /// What its challenger has locked.
        bond: Bond,
        /// When the finding is due.
        review_by: OrderedMillis,
    },
    /// A review is over.
    ChallengeRuled {
        /// The task.
        task: TaskId,
        /// Which of its challenges.
        number: u32,
        /// How.
        ruling: Ruling,
    },
    /// A task ended without a result; its lock goes back.
    TaskClosed {
        /// The task.
        task: TaskId,
        /// Rejected or timed out.
        to: TaskState,
        /// Why.
        code: Code,
        /// What goes back, in which epoch.
        refund: (EpochId, Refund),
    },
    /// A task is settled for good.
    SettlementFinalized {
        /// The context.
        context: SettlementContext,
        /// Its root.
        root: Digest,
    },
    /// The submitter received the result.
    ResultDelivered {
        /// The task.
        task: TaskId,
        /// When.
        at: OrderedMillis,
    },
    /// An epoch with something to pay is over.
    EpochClosed {
        /// The epoch.
        epoch: EpochId,
    },
    /// The payout of an epoch is fixed.
    PayoutIssued {
        /// The instructions.
        instructions: PayoutInstructionSet,
        /// The statements that they rest on.
        statements: Vec<SignedDividends>,
    },
    /// The chain did it.
    PayoutConfirmed {
        /// The confirmation.
        confirmation: SignedConfirmation,
    },
    /// A master performs an effect from now on.
    EffectLeased {
        /// What it does.
        effect: Effect,
        /// Who, and until when.
        lease: Lease,
    },
    /// A master goes on with everything that it holds, releases aside.
    LeasesRenewed {
        /// Who.
        runner: NodeId,
        /// Until when.
        until: OrderedMillis,
    },
    /// A release had its time; the Vault's deadline does the rest.
    LeaseDropped {
        /// The release.
        effect: Effect,
    },
    /// A master's program speaks another version than before.
    ProtocolAnnounced {
        /// The master.
        master: NodeId,
        /// What it announced.
        announcement: Announcement,
    },
    /// All masters speak it, and an epoch has ended since: from the next order on its rules hold.
    ProtocolActivated {
        /// In force from now on.
        version: ProtocolVersion,
        /// The epoch in which it came into force.
        epoch: EpochId,
    },
    /// Something happened to a proposal of the council.
    Governed {
        /// What.
        event: ProposalEvent,
    },
    /// Everything that a Vault kept is at another.
    MoveClosed {
        /// What both say.
        closing: MoveClosing,
    },
    /// A drift is found, or over.
    AdjustmentRecorded {
        /// The number of the record, from one.
        number: u64,
        /// What it says.
        adjustment: Adjustment,
        /// In which epoch.
        epoch: EpochId,
    },
    /// A filing is ruled on: its bond goes back, or is lost to the treasury.
    BondResolved {
        /// The task.
        task: TaskId,
        /// The bond, under the name that the chain resolves it by.
        bond: Refund,
        /// Whether it is lost.
        lost: bool,
        /// The epoch whose payout resolves it.
        epoch: EpochId,
    },
    /// A result was wrong, and this is who answers for it.
    PenaltyRecorded {
        /// The record.
        penalty: Penalty,
        /// The epoch whose payout has it executed.
        epoch: EpochId,
    },
    /// A Vault has said what candidates for attributes an epoch brought.
    CandidatesReported {
        /// Its word.
        report: SignedReport,
    },
    /// Nodes have other stakes than before.
    StakesRecorded {
        /// The sheet.
        sheet: StakeSheet,
    },
}

impl Event {
    /// The task that the event is about; `None` for events of an epoch or of a master.
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::AdmissionRequested { admission, .. } => Some(admission.request.task()),
            Self::AdmissionRefused { task, .. }
            | Self::TaskTransitioned { task, .. }
            | Self::SlicesAccepted { task, .. }
            | Self::ChallengeRuled { task, .. }
            | Self::BondResolved { task, .. }
            | Self::FailureReported { task, .. }
            | Self::TaskClosed { task, .. }
            | Self::ParseClosed { task, .. }
            | Self::ResultDelivered { task, .. } => Some(*task),
            Self::TaskAdmitted { envelope, .. } => Some(envelope.task),
            Self::PenaltyRecorded { penalty, .. } => Some(penalty.task),
            Self::ParseAdmitted { order, .. } => Some(order.task),
            Self::ParseRecorded { statement, .. } => Some(statement.body.task),
            Self::ParseSettled { settlement, .. } => Some(settlement.task),
            Self::AggregateRecorded { aggregate, .. } => Some(aggregate.body.task),
            Self::RoundRecorded { round, .. } => Some(round.task),
            Self::ChallengeFiled { filing, .. } => Some(filing.task),
            Self::VerdictAccepted { verdict, .. } => Some(verdict.body.task),
            Self::SettlementFinalized { context, .. } => Some(context.task),
            Self::AdjustmentRecorded { adjustment, .. } => adjustment.drift.subject.task(),
            Self::EffectLeased { effect, .. } | Self::LeaseDropped { effect } => effect.task(),
            Self::EpochClosed { .. }
            | Self::PayoutIssued { .. }
            | Self::PayoutConfirmed { .. }
            | Self::LeasesRenewed { .. }
            | Self::ProtocolAnnounced { .. }
            | Self::ProtocolActivated { .. }
            | Self::Governed { .. }
            | Self::MoveClosed { .. }
            | Self::CandidatesReported { .. }
            | Self::StakesRecorded { .. } => None,
        }
    }
}

/// What moved a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// Admission was complete.
    Admitted,
    /// Meaning is bound.
    MeaningBound,
    /// Assignments are out.
    Assigned,
    /// The aggregate arrived.
    Aggregated,
    /// The verifier accepted.
    Verified,
    /// The challenge window passed.
    WindowPassed,
    /// A refusal, by code.
    Refused(Code),
    /// A deadline, by code.
    Expired(Code),
    /// The Vault has a record of the document.
    Parsed,
    /// The last round of a training is done.
    Trained,
    /// Somebody disputes the result.
    Disputed,
    /// The result stands.
    Upheld,
}
