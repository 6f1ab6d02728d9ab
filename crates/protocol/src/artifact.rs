//! The documents that pass between planes and nodes: request, envelope, receipts, slice headers, aggregate,
//! verdict, settlement context.
//!
//! Each is plain data with one canonical encoding and, where it is signed, a versioned tag. No rule lives here.
//! Set-level answers only: nothing in these documents names a data subject (R011, D6).

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{
    AccountId, ActorId, AttributeName, EpochId, GovernanceSequence, LockRef, Measurement, PolicyVersion,
    RequestId, RuleName, SchemaVersion, SemanticVersion, TaskId, UsageScope, VaultId,
};
use symphony_types::key::{Document, Endorsed, Master, Signed, SoftwareEnclave, Vault, Verifier};
use symphony_types::time::{OrderedMillis, RecordMillis};

pub mod adjustment;
pub mod challenge;
pub mod compute;
pub mod module;
pub mod parse;
pub mod penalty;
mod plan;
pub mod selection;
mod settled;
pub mod statistic;
pub mod training;

pub use plan::{Plan, Work};
pub use settled::{
    DividendRequest, DividendStatement, Fee, RecipientClass, SettlementContext, Share, SignedDividends,
};

use selection::{Inquiry, Qualification, Selection};
use statistic::Measure;
use training::Evaluation;

/// The four classes of work (R022).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaskClass {
    /// One receipt image to one record, inside one Vault.
    Parse,
    /// An audience or a count across Vaults.
    Query,
    /// Bounded, approved code.
    Compute,
    /// Federated rounds.
    Train,
}

/// The versions that a task is admitted under and keeps (R029).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Shapes of records and envelopes.
    pub schema: SchemaVersion,
    /// Meaning of attributes and rules.
    pub semantic: SemanticVersion,
    /// Fees, shares, limits.
    pub policy: PolicyVersion,
    /// Enclave code and machines: what held when governance was here (R128).
    pub governance: GovernanceSequence,
}

/// What the submitter asks of one attribute, before meaning is resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operand {
    /// The derivation rule that is applied.
    pub rule: RuleName,
    /// The rule's parameter.
    pub argument: Argument,
}

/// A parameter of a derivation rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Argument {
    /// A text to equal, for a rule of type equality.
    Text(String),
    /// Texts to be among, for a rule of type set membership.
    Texts(Vec<String>),
    /// Days before the evaluation time, for a threshold on a date.
    Days(u32),
    /// A lower bound in the attribute's unit, for a threshold on a number or on what is measured over records.
    AtLeast(u64),
    /// Both bounds, which count as well: in the attribute's unit, or in days before the evaluation time, for a range.
    Range {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
}

/// An audience query as the submitter states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceQuery {
    /// Whom it means.
    pub who: Selection<Vec<Operand>>,
    /// The attribute that is delivered for each selected person.
    pub output: AttributeName,
    /// The largest audience that the submitter wants.
    pub cap: u32,
    /// A rule of the selection by which people are ranked when more are meant than the cap; policy chooses when absent (R090).
    pub rank_by: Option<RuleName>,
    /// The time that recency is measured from; the time of admission when absent (R046).
    pub evaluate_at: Option<OrderedMillis>,
}

/// A request for work, before admission (R026: not yet protocol truth).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRequest {
    /// The submitter's own name for the request (R209).
    pub request: RequestId,
    /// Who asks and pays.
    pub submitter: ActorId,
    /// What the result is used for; consent is checked for this.
    pub scope: UsageScope,
    /// Vaults to ask.
    pub vaults: Vec<VaultId>,
    /// How many of them must answer.
    pub quorum: u16,
    /// What is wanted.
    pub work: Work,
    /// The submitter's HPKE public key, 32 bytes of X25519; only its holder can open the result (D19).
    pub recipient: Vec<u8>,
}

impl Document for TaskRequest {
    const TAG: &'static str = "symphony/task-request/v2";
}

impl TaskRequest {
    /// The task that this request becomes: the same request of the same submitter is the same task.
    pub fn task(&self) -> TaskId {
        task_id(&self.submitter, &self.request)
    }

    /// What an escrow lock names to serve this request: all of it, so that whoever signed for the lock has signed for what is
    /// asked and for who may open the result. No node can ask for something else with that lock (R020, R195).
    pub fn lock_purpose(&self) -> Digest {
        self.digest()
    }
}

/// The id of a task: the submitter's name for it, made unlike everybody else's.
pub fn task_id(submitter: &ActorId, request: &RequestId) -> TaskId {
    TaskId(Digest::of("symphony/task-id/v1", &(submitter, request)))
}

/// A confirmed escrow lock, as the chain reported it. An outside fact that a command carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockFact {
    /// The lock.
    pub lock: LockRef,
    /// Who locked.
    pub owner: AccountId,
    /// What it was locked for: [`TaskRequest::lock_purpose`].
    pub purpose: Digest,
    /// How much is locked.
    pub amount: Sym,
    /// When the owner may reclaim it.
    pub expires: OrderedMillis,
}

impl Document for LockFact {
    const TAG: &'static str = "symphony/lock-fact/v1";
}

/// A lock that masters endorse, each as its own chain shows it.
pub type EndorsedLock = Endorsed<LockFact, Master>;

/// A comparison with its parameter bound, ready to be evaluated on a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Predicate {
    /// The text equals this one after normalisation.
    TextEquals(String),
    /// The text is one of these after normalisation; sorted, without duplicates.
    TextIn(Vec<String>),
    /// The time lies in `since..=until`.
    Between {
        /// Earliest time that counts.
        since: RecordMillis,
        /// Latest time that counts: the evaluation time.
        until: RecordMillis,
    },
    /// The number is at least this.
    AtLeast(u64),
    /// The number lies in `least..=most`.
    Within {
        /// The least that counts.
        least: u64,
        /// The most that counts.
        most: u64,
    },
}

/// An operand whose meaning is fixed under one semantic version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedOperand {
    /// The rule that was applied.
    pub rule: RuleName,
    /// The canonical attribute that it reads.
    pub attribute: AttributeName,
    /// The bound comparison.
    pub predicate: Predicate,
}

/// How sensitive an attribute is; a composition has the highest class of its operands (R047).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PrivacyClass {
    /// Known about everybody.
    Public,
    /// Harmless alone.
    Low,
    /// Describes behaviour.
    Sensitive,
    /// Identifies a person.
    Identifying,
}

/// The resolved attribute composition of an audience query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedQuery {
    /// Whom it means.
    pub who: Selection<Qualification>,
    /// What is delivered for each person.
    pub output: AttributeName,
    /// The highest class of operands and output.
    pub combined_privacy_class: PrivacyClass,
    /// Below this the result is suppressed, in a slice and in the aggregate (R088).
    pub minimum_result_cardinality: u32,
    /// The largest audience that may leave the aggregator (R089).
    pub cap: u32,
    /// How an audience over the cap is chosen (R090).
    pub selection: SelectionRule,
    /// The time that recency was measured from.
    pub evaluated_at: OrderedMillis,
}

impl ResolvedQuery {
    /// What has to be known of each person.
    pub fn inquiry(&self) -> Inquiry<'_> {
        let latest = if self.ranked().is_none() { self.who.window() } else { None };
        Inquiry { who: &self.who, measure: &Measure::People, latest }
    }

    /// The place among what is measured by which people are ranked, if they are.
    pub const fn ranked(&self) -> Option<u32> {
        match self.selection {
            SelectionRule::Largest(place) => Some(place),
            SelectionRule::Random | SelectionRule::RecencyWeighted => None,
        }
    }
}

/// The rule for choosing among too many: the policy's, unless the submitter ranks people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelectionRule {
    /// Uniformly, by a keyed hash of the de-duplication token.
    Random,
    /// Latest qualifying record first, ties by the keyed hash.
    RecencyWeighted,
    /// Whoever has most of this first, by its place in [`Selection::measures`], ties by the keyed hash. Never a policy's.
    Largest(u32),
}

/// How slices are combined (R112).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AggregationMethod {
    /// Union without duplicates, capped.
    Union,
    /// Sums over people, or averages of Vaults weighed by their people, noised, then one step of the model.
    FederatedAverage,
    /// Sums of cells over people and Vaults, noised.
    Sum,
}

/// The multi-Vault part of an envelope (R031).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinationEnvelope {
    /// Vaults that are prepared and will compute, in ascending order.
    pub participating_vault_ids: Vec<VaultId>,
    /// How many must answer.
    pub minimum_vault_quorum: u16,
    /// How their slices are combined.
    pub aggregation_method: AggregationMethod,
    /// Who combines them. Never the submitter (R115).
    pub aggregator: ActorId,
    /// The code that may run slices and the aggregation, in ascending order (R128).
    pub measurements: Vec<Measurement>,
    /// Whether an enclave of class `software` may serve the task (R130).
    pub software_admitted: bool,
}

/// What the task costs each person whose data is evaluated (D17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivacyCharge {
    /// Policy charge for a handle that may be released under consent. Not differential privacy.
    pub exposure: Epsilon,
    /// Epsilon of the noised count shown beside the audience.
    pub noised: Epsilon,
}

impl PrivacyCharge {
    /// What is reserved and committed for each person. `None` on overflow.
    pub fn per_subject(&self) -> Option<Epsilon> {
        self.exposure.checked_add(self.noised)
    }
}

/// The complete order for a task; every later stage trusts it without looking again (R021).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEnvelope {
    /// The task.
    pub task: TaskId,
    /// The submitter's name for it.
    pub request: RequestId,
    /// Who asked and pays.
    pub submitter: ActorId,
    /// What the result is used for.
    pub scope: UsageScope,
    /// Versions that it was admitted under.
    pub versions: Versions,
    /// The epoch of its admission.
    pub epoch: EpochId,
    /// When it was admitted.
    pub admitted_at: OrderedMillis,
    /// After this no slice is accepted and reservations end.
    pub execute_by: OrderedMillis,
    /// The escrow lock that pays for it (R030).
    pub budget_lock_ref: LockRef,
    /// What is locked.
    pub locked: Sym,
    /// What each evaluated person is charged.
    pub charge: PrivacyCharge,
    /// Digests of the Vaults' reserve receipts, in the order of the participating Vaults (R030).
    pub reservations: Vec<Digest>,
    /// What is done.
    pub plan: Plan,
    /// Who computes and how results are combined.
    pub coordination: CoordinationEnvelope,
    /// The HPKE key that the result is sealed to.
    pub recipient: Vec<u8>,
}

impl Document for TaskEnvelope {
    const TAG: &'static str = "symphony/task-envelope/v3";
}

/// An envelope that masters endorse.
pub type EndorsedEnvelope = Endorsed<TaskEnvelope, Master>;

/// The question to a Vault at admission: may this task use your people's data, and is budget reserved?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparation {
    /// The task to be.
    pub task: TaskId,
    /// The Vault asked.
    pub vault: VaultId,
    /// What consent must cover.
    pub scope: UsageScope,
    /// What is reserved for each eligible person.
    pub epsilon: Epsilon,
    /// Limits come from this policy.
    pub policy: PolicyVersion,
    /// The attributes that records must have.
    pub attributes: Vec<AttributeName>,
    /// When the reservation ends by itself unless committed.
    pub deadline: OrderedMillis,
}

impl Document for Preparation {
    const TAG: &'static str = "symphony/preparation/v1";
}

/// A Vault's set-level answer (D6): whether it takes part, and how many people, rounded down to a power of two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReserveReceipt {
    /// The task.
    pub task: TaskId,
    /// The Vault that answers.
    pub vault: VaultId,
    /// `None` when reserved; else why the Vault does not take part.
    pub refusal: Option<Code>,
    /// Reserved for each eligible person.
    pub epsilon: Epsilon,
    /// Eligible people, as a bucket.
    pub coverage: Bucket,
    /// When the reservation ends unless committed.
    pub deadline: OrderedMillis,
    /// Head of the Vault's journal after the reservation.
    pub ledger_head: Digest,
}

impl Document for ReserveReceipt {
    const TAG: &'static str = "symphony/reserve-receipt/v1";
}

/// A receipt that a Vault signed.
pub type SignedReceipt = Signed<ReserveReceipt, Vault>;

/// A count rounded down to a power of two, so that it tells a size and not a person. Zero stays zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bucket(pub u64);

impl Bucket {
    /// The bucket that `count` falls in.
    pub const fn of(count: u64) -> Self {
        match count.checked_ilog2() {
            Some(power) => Self(1 << power),
            None => Self(0),
        }
    }
}

/// The order to one Vault to compute its slice (R105).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The order for the whole task.
    pub envelope: TaskEnvelope,
    /// The Vault that this copy is for.
    pub vault: VaultId,
    /// Makes the slice's attestation report fresh: it serves this slice of this task only (R123).
    pub nonce: Digest,
    /// Which time the task's slices are assigned. Another master that takes over has another aggregator's enclave, so
    /// the same slice is computed once more, for a higher attempt and without a further charge (R196).
    pub attempt: u32,
    /// Whether it is computed for a review: a module then runs on the second engine as well (R140).
    pub review: bool,
    /// Boot report of the aggregator's enclave, canonical bytes, for the Vault's own appraisal.
    pub aggregator_boot: Vec<u8>,
    /// Task keys that the aggregator's enclave sealed to the slice enclave of this Vault.
    pub sealed_keys: Vec<u8>,
}

impl Document for Assignment {
    const TAG: &'static str = "symphony/assignment/v3";
}

/// An assignment that masters endorse.
pub type EndorsedAssignment = Endorsed<Assignment, Master>;

/// What a Vault says of its finished slice; the bundle itself is sealed to the aggregator (R110).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceHeader {
    /// The task.
    pub task: TaskId,
    /// The Vault.
    pub vault: VaultId,
    /// The assignment's nonce.
    pub nonce: Digest,
    /// The assignment's attempt.
    pub attempt: u32,
    /// Committed for each evaluated person, before the result existed (R065).
    pub epsilon: Epsilon,
    /// Evaluated people, as a bucket.
    pub coverage: Bucket,
    /// Records that were used, as a bucket: the weight of contributors and operators (R160).
    pub records: Bucket,
    /// Merkle root over the commitments of the records that went in.
    pub input_root: Digest,
    /// SHA-256 of the sealed bundle.
    pub bundle: Digest,
    /// SHA-256 of the slice enclave's signed attestation report.
    pub report: Digest,
    /// Head of the Vault's journal after the commit.
    pub ledger_head: Digest,
}

impl Document for SliceHeader {
    const TAG: &'static str = "symphony/slice-header/v2";
}

/// A slice header that a Vault signed.
pub type SignedSlice = Signed<SliceHeader, Vault>;

/// What the aggregation released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// An audience of this many people, sealed to the submitter.
    Audience {
        /// People in the audience; at most the cap.
        returned: u32,
    },
    /// Fewer people than the minimum cardinality: nothing was released.
    Suppressed,
    /// A step of a training; its noised sums are sealed to the submitter.
    Step {
        /// Digest of the learner after the step.
        state: Digest,
        /// How good the model was before it, when that was due.
        evaluation: Option<Evaluation>,
    },
    /// A trained model, sealed to the submitter.
    Model {
        /// Digest of shape and parameters.
        model: Digest,
        /// How good it is.
        evaluation: Evaluation,
    },
    /// A trained model that is not as good as the task asked; it is not released.
    Withheld {
        /// How good it is.
        evaluation: Evaluation,
    },
    /// What a module answered, noised and sealed to the submitter.
    Computed {
        /// Digest of the noised cells under the task's seed: equal for equal slices, whoever combines them.
        answer: Digest,
    },
}

impl Outcome {
    /// Records that the submitter receives and pays for.
    pub const fn returned(&self) -> u32 {
        match self {
            Self::Audience { returned } => *returned,
            Self::Suppressed
            | Self::Step { .. }
            | Self::Model { .. }
            | Self::Withheld { .. }
            | Self::Computed { .. } => 0,
        }
    }
}

/// What the aggregator says of its work (R116).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AggregateHeader {
    /// The task.
    pub task: TaskId,
    /// Who combined.
    pub aggregator: ActorId,
    /// Sealed bundles that went in, by Vault, in ascending order.
    pub inputs: Vec<(VaultId, Digest)>,
    /// What came out.
    pub outcome: Outcome,
    /// SHA-256 of the sealed result.
    pub result: Digest,
    /// Digest of the seed of selection and noise; the seed itself never leaves (D10).
    pub seed: Digest,
    /// SHA-256 of the aggregator's signed attestation report.
    pub report: Digest,
    /// What another aggregator added, where two compute on shares.
    pub helper: Option<HelperShare>,
}

/// What the second of two aggregators gave to the first (R113).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelperShare {
    /// SHA-256 of its noised share, sealed to the first.
    pub share: Digest,
    /// Digest of the seed of its noise.
    pub seed: Digest,
    /// SHA-256 of its signed attestation report.
    pub report: Digest,
}

impl Document for AggregateHeader {
    const TAG: &'static str = "symphony/aggregate-header/v2";
}

/// An aggregate header that the aggregator's enclave signed.
pub type SignedAggregate = Signed<AggregateHeader, SoftwareEnclave>;

/// The verifier's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Correct and complete.
    Accepted,
    /// Not to be believed, and why.
    Rejected(Code),
}

/// The verifier's statement on a result (R131).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The task.
    pub task: TaskId,
    /// Who verified. Never the aggregator (R118).
    pub verifier: ActorId,
    /// The decision.
    pub decision: Decision,
    /// Digest of all the evidence that was looked at.
    pub evidence: Digest,
    /// Names of the checks that failed, in order; empty when accepted.
    pub reasons: Vec<String>,
}

impl Document for Verdict {
    const TAG: &'static str = "symphony/verdict/v1";
}

/// A verdict that a verifier signed.
pub type SignedVerdict = Signed<Verdict, Verifier>;

/// What a verifier looks at: all that the nodes said of one result. Its digest stands in the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The order.
    pub envelope: EndorsedEnvelope,
    /// Receipts of the participating Vaults.
    pub receipts: Vec<SignedReceipt>,
    /// Rounds of a training before its last.
    pub rounds: Vec<Combined>,
    /// What the result was made of: the slices and the aggregate of a query, or of the last round.
    pub result: Combined,
}

/// Slices and what was made of them, each with its attestation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Combined {
    /// Slices that arrived, by Vault in ascending order.
    pub slices: Vec<(SignedSlice, Attestation)>,
    /// The aggregate.
    pub aggregate: (SignedAggregate, Attestation),
    /// The attestation of the second aggregator, where two computed on shares.
    pub helper: Option<Attestation>,
}

impl Combined {
    /// The slices alone.
    pub fn headers(&self) -> Vec<SignedSlice> {
        self.slices.iter().map(|(slice, _)| slice.clone()).collect()
    }
}

impl Document for Evidence {
    const TAG: &'static str = "symphony/evidence/v3";

    /// Of everything but the endorsements of the order, which are checked for themselves: two masters with the same
    /// evidence may have the word of different majorities.
    fn digest(&self) -> Digest {
        Digest::of(Self::TAG, &(&self.envelope.body, &self.receipts, &self.rounds, &self.result))
    }
}

/// Boot report and task report of one enclave, as the canonical bytes of their signed documents. Kept opaque
/// here: only the attestation engine knows their shapes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// The platform-signed boot report.
    pub boot: Vec<u8>,
    /// The enclave-signed task report; empty when the enclave sent none.
    pub report: Vec<u8>,
}

/// What the submitter finds when it opens the sealed result (D19, R093).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceResult {
    /// The task.
    pub task: TaskId,
    /// Audience or suppressed.
    pub outcome: Outcome,
    /// The selected people's delivered attribute, sorted, so that no order tells a Vault (R091).
    pub handles: Vec<String>,
    /// How many people qualified before the cap, with discrete Laplace noise; `None` when suppressed.
    pub eligible_noised: Option<i64>,
    /// The noise's epsilon; its scale is 1/epsilon.
    pub noise_epsilon: Epsilon,
}

/// A message to a Vault that frees what a task had reserved there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The task.
    pub task: TaskId,
    /// The Vault.
    pub vault: VaultId,
}

impl Document for Release {
    const TAG: &'static str = "symphony/release/v1";
}
