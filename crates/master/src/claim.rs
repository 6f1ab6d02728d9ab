//! What masters ask each other to stand behind (R195): each document of the state, described by as little as another
//! master needs to make it anew. Nobody endorses bytes that he was sent.
//!
//! Here stand the documents that follow from the state alone. Evidence and aggregates need blobs, dividends and locks need
//! the chain: [`crate::cluster`] makes those.

use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::adjustment::{Adjustment, DriftKind, DriftSubject};
use symphony_protocol::artifact::challenge::Finding;
use symphony_protocol::artifact::parse::ParseOrder;
use symphony_protocol::artifact::training::Round;
use symphony_protocol::artifact::{Assignment, Preparation, Release, SignedAggregate, TaskEnvelope};
use symphony_protocol::execution::coordinate::{self, slice_nonce};
use symphony_protocol::lifecycle::Stage;
use symphony_protocol::machine::{Answer, Effect, Lease, State};
use symphony_protocol::reconcile::{budget, chain};
use symphony_protocol::settlement::payout::{EpochStage, PayoutInstructionSet};
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, LockRef, TaskId, VaultId};
use symphony_types::key::{Endorsement, Master};

use crate::round;

/// A document by what it is, and the digest that the asking master found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// What it is.
    pub subject: Subject,
    /// Its digest.
    pub document: Digest,
}

/// What a document is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// The question to a Vault at admission.
    Preparation(TaskId, VaultId),
    /// The message that frees a reservation.
    Release(TaskId, VaultId),
    /// The order to the aggregator's enclave.
    Envelope(TaskId),
    /// The order to a Vault.
    Assignment(Handed),
    /// What the verifier looks at.
    Evidence(TaskId),
    /// What a client checks.
    Bundle(TaskId),
    /// The question to a Vault at the close of an epoch, with who is staked.
    Dividends(EpochId, VaultId, Vec<AccountId>),
    /// What the payout service pays.
    Payout(EpochId),
    /// An escrow lock as the chain shows it.
    Lock(LockRef),
    /// The order to read a document.
    Parse(TaskId),
    /// What the verifier looks at of a parse.
    ParseEvidence(TaskId),
    /// The order of a round of a training.
    RoundOrder(round::Handed),
    /// Where governance stands, for an order that is claimed before it in the same question.
    Standing(Digest),
    /// The head of the governance log.
    LogHead,
    /// A round that is held with its attestations, which appraise.
    Round(Box<Round>),
    /// An aggregate that is held with its attestation, which appraises.
    Aggregate(Box<SignedAggregate>),
    /// What a look at a disputed result again has shown, with endorsements of the order of its task.
    Finding(Box<Finding>, Vec<Endorsement<Master>>),
    /// The batch that anchors the root of one task, which the chain lacks.
    Anchoring(EpochId, TaskId),
    /// What a comparison with the chain or a Vault has shown.
    Adjustment(Box<Adjustment>),
    /// What a client checks before the result is final.
    Candidate(TaskId),
    /// What a closed epoch paid.
    Epoch(EpochId),
    /// The head of the ordered journal at a place.
    Journal(JournalPlace),
    /// What nodes have staked, as the chain shows it, with the number of the sheet.
    Stakes(u64),
    /// Who is paid for an epoch of inflation.
    NodePay(u64),
}

/// Where in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JournalPlace {
    /// Behind so many entries.
    Height(u64),
    /// At the end of an epoch that is over.
    End(EpochId),
}

/// The parts of an assignment that the asking master's aggregator made, with what they are for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handed {
    /// The task.
    pub task: TaskId,
    /// The Vault.
    pub vault: VaultId,
    /// The attempt.
    pub attempt: u32,
    /// Whether it is for a review.
    pub review: bool,
    /// Boot report of the aggregator's enclave.
    pub aggregator_boot: Vec<u8>,
    /// Task keys, sealed to the Vault's enclave.
    pub sealed_keys: Vec<u8>,
}

impl Handed {
    /// The assignment itself.
    pub fn assignment(&self, envelope: &TaskEnvelope) -> Assignment {
        Assignment {
            envelope: envelope.clone(),
            vault: self.vault.clone(),
            nonce: slice_nonce(envelope, &self.vault),
            attempt: self.attempt,
            review: self.review,
            aggregator_boot: self.aggregator_boot.clone(),
            sealed_keys: self.sealed_keys.clone(),
        }
    }
}

/// The question to a Vault while its answer is awaited.
pub fn preparation(state: &State, task: &TaskId, vault: &VaultId) -> Option<Preparation> {
    match &state.requests.get(task)?.answer {
        Answer::Preparing(admission) if admission.vaults.contains(vault) => {
            Some(admission.preparation(vault))
        }
        Answer::Preparing(_) | Answer::Admitted | Answer::Refused { .. } => None,
    }
}

/// The release of a Vault whose task ended before it was computed there, or never was a task; or of a reserve that
/// a majority found to be of no task.
pub fn release(state: &State, task: &TaskId, vault: &VaultId) -> Option<Release> {
    if orphaned(state, task, vault) {
        return Some(Release { task: *task, vault: vault.clone() });
    }
    let dead = match &state.requests.get(task)?.answer {
        Answer::Preparing(_) => false,
        Answer::Refused { .. } => true,
        Answer::Admitted => {
            state.tasks.get(task).is_some_and(|task| match task.stage {
                Stage::Rejected { .. } | Stage::TimedOut { .. } => true,
                // Its rounds are over, and what they did not draw goes back.
                Stage::Verifying { .. }
                | Stage::AwaitingSettlement { .. }
                | Stage::Challenged { .. }
                | Stage::Completed { .. } => task.envelope.plan.training().is_some(),
                Stage::Accepted
                | Stage::Resolving
                | Stage::Computing
                | Stage::Training { .. }
                | Stage::Aggregating { .. } => false,
            })
        }
    };
    dead.then(|| Release { task: *task, vault: vault.clone() })
}

/// Whether there stands a finding that a Vault holds a reserve of no task.
fn orphaned(state: &State, task: &TaskId, vault: &VaultId) -> bool {
    let subject = DriftSubject::Budget(*task, vault.clone());
    let last = state.adjustments.last(DriftKind::BudgetOrphaned, &subject);
    last.is_some_and(|(_, standing)| standing.settled.is_none())
        && budget::side(state, task, vault) == budget::Side::Unknown
}

/// The order of an admitted task.
pub fn envelope<'a>(state: &'a State, task: &TaskId) -> Option<&'a TaskEnvelope> {
    state.tasks.get(task).map(|task| &task.envelope)
}

/// The order of an admitted parse.
pub fn parse<'a>(state: &'a State, task: &TaskId) -> Option<&'a ParseOrder> {
    state.parses.get(task).map(|parse| &parse.order)
}

/// Who may assign the slices of a task now, and as which attempt. While slices are awaited it is the holder of that
/// lease. Once they are accepted, whoever takes over the aggregation has them computed anew for his own enclave: he
/// counts on from the attempt that was accepted, and so does who computes a disputed run again.
pub fn assigning<'a>(state: &'a State, task: &TaskId) -> Option<(&'a Lease, u32)> {
    match &state.tasks.get(task)?.stage {
        Stage::Computing => {
            let lease = state.leases.get(&Effect::AssignSlices(*task))?;
            Some((lease, lease.attempt))
        }
        Stage::Aggregating { slices, .. } => {
            let lease = state.leases.get(&Effect::Aggregate(*task))?;
            Some((lease, coordinate::attempt(slices).saturating_add(lease.attempt)))
        }
        Stage::Challenged { slices, .. } => {
            let lease = state.leases.get(&Effect::Review(*task))?;
            Some((lease, coordinate::attempt(slices).saturating_add(lease.attempt).saturating_add(1)))
        }
        Stage::Accepted
        | Stage::Resolving
        | Stage::Training { .. }
        | Stage::Verifying { .. }
        | Stage::AwaitingSettlement { .. }
        | Stage::Completed { .. }
        | Stage::Rejected { .. }
        | Stage::TimedOut { .. } => None,
    }
}

/// Whether a task is looked at again.
pub fn reviewing(state: &State, task: &TaskId) -> bool {
    state.tasks.get(task).is_some_and(|known| matches!(known.stage, Stage::Challenged { .. }))
}

/// The instructions of an epoch that is to be paid, or was: a chain that lost the batch is given it again, and one that
/// has it does nothing.
pub fn payout<'a>(state: &'a State, epoch: &EpochId) -> Option<&'a PayoutInstructionSet> {
    chain::issued(state, *epoch).map(|(instructions, _)| instructions)
}

/// Whether the dividends of an epoch are being asked for.
pub fn closing(state: &State, epoch: &EpochId) -> bool {
    state.epochs.get(epoch).is_some_and(|account| account.stage == EpochStage::Closing)
}
