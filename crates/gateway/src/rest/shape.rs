//! JSON shapes of requests and answers. Names are those of the protobuf messages; see [`super`] for how bytes and
//! amounts are written. Unknown fields are refused.

use serde::{Deserialize, Serialize};
use symphony_wire::v1;
use utoipa::ToSchema;

use super::request::hex32;
use crate::problem::Problem;
use crate::upload;

/// An audience query, or a statistic, a training or a computation in place of operands, output and cap.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskSpec {
    /// `parse`, `query`, `compute` or `train`.
    task_class: String,
    /// What the audience is used for, such as `marketing`.
    usage_scope: String,
    /// Vaults to ask.
    vault_ids: Vec<String>,
    /// How many of them must answer.
    minimum_vault_quorum: u32,
    /// Of an audience: all must hold for one person.
    #[serde(default)]
    operands: Vec<Operand>,
    /// Of an audience in place of operands: whom it means.
    #[serde(default)]
    who: Option<Selection>,
    /// Of an audience: what is returned of a person, such as `identity.contact_handle`.
    #[serde(default)]
    output_attribute: String,
    /// Of an audience: most people in the audience.
    #[serde(default)]
    audience_cap: u32,
    /// Of an audience above its cap: the rule of its conditions by which people are ranked, highest sum or count or latest time first.
    #[serde(default)]
    rank_by: Option<String>,
    /// Recency is measured from here; now when absent.
    #[serde(default)]
    evaluate_at_ms: Option<u64>,
    /// Of class `train`, and only of it.
    #[serde(default)]
    training: Option<Training>,
    /// Of class `compute`, and only of it.
    #[serde(default)]
    compute: Option<Compute>,
    /// Of a query in place of operands, output and cap.
    #[serde(default)]
    statistic: Option<Statistic>,
}

/// One condition: a governed rule and exactly one argument.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operand {
    /// Governed derivation rule, such as `commerce.purchase_recency`.
    rule: String,
    /// Equal to this text.
    #[serde(default)]
    text: Option<String>,
    /// One of these texts.
    #[serde(default)]
    texts: Option<Vec<String>>,
    /// Within so many days.
    #[serde(default)]
    days: Option<u32>,
    /// At least so much.
    #[serde(default)]
    at_least: Option<u64>,
    /// The least and the most, which count as well: of an amount, or in days before now.
    #[serde(default)]
    range: Option<[u64; 2]>,
}

/// A task to admit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubmitTaskRequest {
    /// The caller's name for the request, unless the header idempotency-key names it.
    #[serde(default)]
    pub(crate) request_id: Option<String>,
    spec: TaskSpec,
    /// The escrow lock.
    budget_lock_ref: String,
    /// X25519 key that the result is sealed to.
    recipient_key: String,
}

impl TaskSpec {
    pub(crate) fn into_message(self) -> Result<v1::TaskSpec, Problem> {
        Ok(v1::TaskSpec {
            task_class: self.task_class,
            usage_scope: self.usage_scope,
            vault_ids: self.vault_ids,
            minimum_vault_quorum: self.minimum_vault_quorum,
            operands: operands(self.operands)?,
            who: self.who.map(Selection::into_message).transpose()?,
            output_attribute: self.output_attribute,
            audience_cap: self.audience_cap,
            rank_by: self.rank_by.unwrap_or_default(),
            evaluate_at_ms: self.evaluate_at_ms,
            training: self.training.map(Training::into_message).transpose()?,
            compute: self.compute.map(Compute::into_message).transpose()?,
            statistic: self.statistic.map(Statistic::into_message).transpose()?,
        })
    }
}

impl Operand {
    fn into_message(self) -> Result<v1::Operand, Problem> {
        use v1::operand::Argument;
        let arguments = [
            self.text.map(Argument::Text),
            self.texts.map(|values| Argument::Texts(v1::TextList { values })),
            self.days.map(Argument::Days),
            self.at_least.map(Argument::AtLeast),
            self.range.map(|[least, most]| Argument::Range(v1::NumberRange { least, most })),
        ];
        let mut given = arguments.into_iter().flatten();
        match (given.next(), given.next()) {
            (argument @ Some(_), None) => Ok(v1::Operand { rule: self.rule, argument }),
            _ => {
                Err(Problem::malformed("an operand has exactly one of text, texts, days, at_least and range"))
            }
        }
    }
}

fn operands(operands: Vec<Operand>) -> Result<Vec<v1::Operand>, Problem> {
    operands.into_iter().map(Operand::into_message).collect()
}

impl SubmitTaskRequest {
    pub(crate) fn into_message(self, request_id: String) -> Result<v1::SubmitTaskRequest, Problem> {
        Ok(v1::SubmitTaskRequest {
            request_id,
            spec: Some(self.spec.into_message()?),
            budget_lock_ref: hex32("budget_lock_ref", &self.budget_lock_ref)?,
            recipient_key: hex32("recipient_key", &self.recipient_key)?,
        })
    }
}

/// Until when the caller consents; without an end when absent.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsentGrant {
    /// Milliseconds since the Unix epoch.
    #[serde(default)]
    pub(crate) expires_ms: Option<u64>,
}

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $from:expr;)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Serialize, ToSchema)]
        pub(crate) struct $name { $($(#[$field_doc])* $field: $type,)* }

        impl From<v1::$name> for $name {
            fn from(message: v1::$name) -> Self {
                Self { $($field: read(message.$field, $from),)* }
            }
        }
    )*};
}

mod candidates;
mod chain;
mod challenge;
mod compute;
mod epochs;
mod governance;
mod reconcile;
mod statistic;
mod training;
mod watching;

pub(crate) use candidates::CandidatePool;
pub(crate) use chain::ChainAccount;
pub(crate) use challenge::{ChallengeFiling, ChallengeList};
use compute::{Compute, ModuleEntry};
pub(crate) use epochs::EpochPage;
pub(crate) use governance::{GovernanceLog, GovernanceProof, GovernanceView, ProposalEntry};
pub(crate) use reconcile::Reconciliation;
use statistic::{Selection, Statistic};
pub(crate) use training::SealedStep;
use training::{Training, TrainingProgress};
pub(crate) use watching::TaskList;

/// Applies a field's conversion; gives the closures of [`answers`] their argument's type.
fn read<A, B>(value: A, conversion: impl FnOnce(A) -> B) -> B {
    conversion(value)
}

fn same<T>(value: T) -> T {
    value
}

fn amount(value: u64) -> String {
    value.to_string()
}

fn each<A, B: From<A>>(values: Vec<A>) -> Vec<B> {
    values.into_iter().map(B::from).collect()
}

answers! {
    /// What a task would cost and reach.
    Quote {
        policy_version: u32 = same;
        semantic_version: u32 = same;
        /// What must be locked.
        worst_case: Option<Fee> = |fee: Option<v1::Fee>| fee.map(Fee::from);
        /// Per person whose handle may be released.
        exposure_micro_epsilon: u64 = same;
        /// Per person, for the noised count or for all rounds of a training.
        noised_micro_epsilon: u64 = same;
        minimum_result_cardinality: u32 = same;
        coverage: Vec<VaultCoverage> = each;
        /// The lock must not be reclaimable before.
        lock_until_ms: u64 = same;
        /// Of a training: what the whole budget of a person allows under its terms.
        rounds_possible: u32 = same;
        /// Of a computation: what is set aside for one Vault at most.
        fuel_max: u64 = same;
    }

    /// How many people of a Vault consented to the scope.
    VaultCoverage {
        vault_id: String = same;
        /// Rounded down to a power of two.
        consented_bucket: u64 = same;
        reachable: bool = same;
    }

    /// Parts of a fee, in base units of SYM.
    Fee {
        base: String = amount;
        vaults: String = amount;
        records: String = amount;
        epsilon: String = amount;
        total: String = amount;
        /// Of a training.
        aggregation: String = amount;
        /// Of a computation.
        fuel: String = amount;
    }

    /// One of the caller's tasks.
    Task {
        task_id: String = hex::encode;
        request_id: String = same;
        submitter: String = same;
        state: String = same;
        /// Catalogue code of a refusal or suppression, else empty.
        code: String = same;
        schema_version: u32 = same;
        semantic_version: u32 = same;
        policy_version: u32 = same;
        epoch_id: u64 = same;
        slices: Vec<SliceProgress> = each;
        charged: Option<Fee> = |fee: Option<v1::Fee>| fee.map(Fee::from);
        locked: String = amount;
        refunded: String = amount;
        shares: Vec<ShareEntry> = each;
        settlement_root: String = hex::encode;
        /// `none`, `pending` or `confirmed`.
        anchor: String = same;
        /// `none`, `pending` or `confirmed`.
        payout: String = same;
        /// `software` where any enclave was.
        platform_class: String = same;
        returned: u32 = same;
        updated_ms: u64 = same;
        /// 0 before.
        delivered_ms: u64 = same;
        /// `none`, `pending` or `confirmed`.
        refund: String = same;
        /// `parse`, `query`, `compute` or `train`.
        task_class: String = same;
        /// What the protocol pays for a completed parse, in base units of SYM.
        subsidy: String = amount;
        /// Of a training.
        training: Option<TrainingProgress> = |one: Option<v1::TrainingProgress>| one.map(TrainingProgress::from);
    }

    /// What one Vault has done of a task.
    SliceProgress {
        vault_id: String = same;
        /// `prepared`, `refused`, `computed` or `missing`.
        state: String = same;
        code: String = same;
    }

    /// Who got what of a fee.
    ShareEntry {
        recipient_class: String = same;
        vault_id: String = same;
        recipient: String = same;
        amount: String = amount;
    }

    /// The sealed result of a completed task.
    TaskResult {
        task_id: String = hex::encode;
        /// `audience`, `suppressed`, `model` or `withheld`.
        outcome: String = same;
        returned: u32 = same;
        /// HPKE message for the recipient key of the request.
        sealed: String = hex::encode;
        settlement_root: String = hex::encode;
        code: String = same;
        /// SHA-256 of the sealed message, as a majority of the masters has it.
        sealed_digest: String = hex::encode;
    }

    /// Approved Vaults.
    VaultList {
        vaults: Vec<VaultEntry> = each;
    }

    /// An approved Vault.
    VaultEntry {
        vault_id: String = same;
        operator: String = same;
        /// X25519 key that uploads are sealed to.
        sealing_key: String = hex::encode;
        reachable: bool = same;
        /// `active`, `suspended`, `leaving` or `left`.
        status: String = same;
        /// Of one that is not active: the Vault at which the caller may register and consent anew.
        elsewhere: String = same;
    }

    /// Versions, state and health of the network.
    Status {
        network: String = same;
        masters: u32 = same;
        height: u64 = same;
        state_hash: String = hex::encode;
        epoch_id: u64 = same;
        schema_version: u32 = same;
        semantic_version: u32 = same;
        policy_version: u32 = same;
        ordered_ms: u64 = same;
        platform_class: String = same;
        nodes: Vec<NodeHealth> = each;
        /// Every master, side by side.
        master_nodes: Vec<MasterHealth> = each;
        /// Version of the masters' rules that is in force.
        protocol_version: u32 = same;
        /// The epoch in which it came into force.
        protocol_since: u64 = same;
    }

    /// One master: what it says of itself, beside how it compares with the others.
    MasterHealth {
        node: String = same;
        reachable: bool = same;
        height: u64 = same;
        state_hash: String = hex::encode;
        /// `equal`, `behind`, `ahead` or `differs` from the head that most masters show; `unknown` without one.
        head: String = same;
        /// Whether it proposed the last block.
        leader: bool = same;
        /// `software`, or the class of hardware; `none` for one master alone.
        guard_class: String = same;
        /// `trusted` or `strict`; `none` for one master alone.
        guard_admission: String = same;
        /// Whether its guard's key has a vote now.
        voting: bool = same;
        /// Last decided block.
        block_height: u64 = same;
        /// Round under way.
        round: u32 = same;
        /// Mean time of a height decided here, milliseconds.
        block_ms: u64 = same;
        /// Blocks that another master claims to have more.
        lag: u64 = same;
        /// Rounds after the first that it entered, since its start.
        view_changes: u64 = same;
        /// Votes for no block.
        nil_votes: u64 = same;
        /// Own precommits that decided certificates lack.
        missed_votes: u64 = same;
        /// Votes and proposals that its guard withheld.
        guard_refusals: u64 = same;
        /// Keys of guards that it saw rotate.
        rotations: u64 = same;
        /// Messages of others whose signature does not hold.
        forged: u64 = same;
        /// Kept proofs that a seat voted twice in one slot.
        conflicts: u64 = same;
        /// Highest protocol version that it announced; 0 for none yet.
        protocol_max: u32 = same;
        /// Streams of others that it ended: another cluster, another version, or no messages.
        misunderstood: u64 = same;
    }

    /// Whether a node answers.
    NodeHealth {
        node: String = same;
        role: String = same;
        reachable: bool = same;
        seen_ms: u64 = same;
        /// `active`, `suspended`, `leaving` or `left`.
        status: String = same;
        /// `unasked`, `compliant`, `near_minimum` or `insufficient`: what it has staked.
        stake: String = same;
    }

    /// A line that a Vault did not take.
    LineRefusal {
        /// From 1.
        line: u64 = same;
        /// Catalogue code.
        code: String = same;
        detail: String = same;
    }

    /// A person's privacy budget for one scope.
    BudgetEntry {
        /// Empty for the cap over all scopes.
        usage_scope: String = same;
        limit_micro_epsilon: u64 = same;
        reserved_micro_epsilon: u64 = same;
        committed_micro_epsilon: u64 = same;
        movements: Vec<BudgetMovement> = each;
    }

    /// One movement of a budget.
    BudgetMovement {
        task_id: String = hex::encode;
        /// `reserve`, `commit` or `release`.
        kind: String = same;
        micro_epsilon: u64 = same;
        at_ms: u64 = same;
    }

    /// A person's consent for one scope.
    ConsentEntry {
        usage_scope: String = same;
        /// `granted`, `withdrawn`, `expired` or `suspended`: granted, and of no effect while the Vault is suspended.
        state: String = same;
        since_ms: u64 = same;
        /// 0: never.
        expires_ms: u64 = same;
    }

    /// A derived attribute of a person: it never leaves the Vault but to that person and the operator.
    AttributeEntry {
        /// That found it.
        module: String = same;
        version: u32 = same;
        /// SHA-256 of the module's bytes.
        code: String = hex::encode;
        task_id: String = hex::encode;
        evaluated_at_ms: u64 = same;
        /// The number, or the position of the label.
        value: u64 = same;
        /// Of a module that answers labels.
        label: String = same;
    }

    /// A column of a Vault's records that no governed attribute is for.
    CandidateEntry {
        name: String = same;
        /// Records that have a text.
        texts: u64 = same;
        /// A whole number.
        numbers: u64 = same;
        /// A point in time.
        times: u64 = same;
        /// People whose records have it.
        people: u64 = same;
    }

    /// How long a Vault keeps records, and what has ended because it was kept for its time.
    RetentionEntry {
        /// Days that records and receipts are kept; 0 for good.
        days: u32 = same;
        /// Uploaded records that have not ended.
        kept: u64 = same;
        /// Uploaded records that have.
        ended: u64 = same;
        /// When records ended last; 0 for never.
        ended_ms: u64 = same;
        /// The day on which the oldest of those arrived that are kept, in milliseconds; 0 when none is.
        since_ms: u64 = same;
    }

    /// A record as its Vault holds it.
    RecordEntry {
        commitment: String = hex::encode;
        /// The canonical record, a JSON document.
        json: String = same;
    }

    /// One of the caller's receipts.
    ReceiptEntry {
        /// The commitment of the document, which outlives it.
        receipt_id: String = hex::encode;
        /// `stored` or `erased`.
        state: String = same;
        /// By its first bytes: `image/jpeg`, `image/png` or `application/pdf`; empty when erased.
        media_type: String = same;
        /// 0 when erased.
        size_bytes: u64 = same;
        uploaded_ms: u64 = same;
        /// 0 before.
        erased_ms: u64 = same;
        /// SHA-256 of the content, where a single receipt is asked for; with salt and person it makes the commitment.
        content_digest: String = hex::encode;
        /// 32 random bytes, likewise.
        salt: String = hex::encode;
        /// What was read of it; none before, and when erased.
        reading: Option<ReceiptReading> = |reading: Option<v1::ReceiptReading>| reading.map(ReceiptReading::from);
    }

    /// What became of the reading of a receipt.
    ReceiptReading {
        /// The parse.
        task_id: String = hex::encode;
        /// Catalogue code of why there is no record; empty when there is one.
        code: String = same;
        /// Of the record that tasks see.
        record_commitment: String = hex::encode;
        /// Version of the rules that read it.
        extractor: u32 = same;
        fields: Vec<ReadField> = each;
        /// In the order printed; of a single receipt.
        items: Vec<ReadItem> = each;
        /// Those that the receipt prints enough for.
        checks: Vec<ReadCheck> = each;
        /// How much of a receipt was found, in basis points; with the two below it makes the quality score.
        completeness_bps: u32 = same;
        /// How many of the checks hold.
        checks_bps: u32 = same;
        /// How sure the values are.
        confidence_bps: u32 = same;
    }

    /// A value that was read.
    ReadField {
        /// `merchant`, `date`, `time`, `currency`, `total`, `tax`, `payment`, `number`, `country` or `city`.
        name: String = same;
        /// Such as `2018-03-25`, `19:04:00`, `12.30`.
        value: String = same;
        /// How likely it is right, in basis points.
        confidence_bps: u32 = same;
        /// The governed attribute that the record has it as; empty for a candidate that stays at the Vault.
        attribute: String = same;
        /// None when it follows from other words.
        at: Option<ReadBox> = |at: Option<v1::ReadBox>| at.map(ReadBox::from);
        /// Whether it is the owner's word.
        corrected: bool = same;
    }

    /// A line of what was bought.
    ReadItem {
        description: String = same;
        /// Thousandths; 0 when not printed.
        quantity_milli: u64 = same;
        /// 0 when not printed.
        unit_price_cents: u64 = same;
        /// Negative for a discount.
        amount_cents: i64 = same;
        /// How likely it is right, in basis points.
        confidence_bps: u32 = same;
        /// None when it follows from other words.
        at: Option<ReadBox> = |at: Option<v1::ReadBox>| at.map(ReadBox::from);
    }

    /// Whether what is printed agrees with itself.
    ReadCheck {
        /// `items_make_total`, `paid_makes_total`, `parts_make_total` or `quantities_make_amounts`.
        name: String = same;
        holds: bool = same;
    }

    /// Where a value stands: pixels of the upright page, or tenths of a point of a PDF with text.
    ReadBox {
        /// From 0.
        page: u32 = same;
        left: u32 = same;
        top: u32 = same;
        width: u32 = same;
        height: u32 = same;
    }

    /// A person's dividend of one epoch, with the proof that claims it.
    DividendEntry {
        epoch_id: u64 = same;
        index: u64 = same;
        amount: String = amount;
        account: String = hex::encode;
        path: Vec<String> = |path: Vec<Vec<u8>>| path.iter().map(hex::encode).collect();
        root: String = hex::encode;
        payees: u64 = same;
    }
}

/// What became of an upload.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UploadReport {
    /// Lines that had an effect.
    accepted: u64,
    /// Lines seen before.
    duplicates: u64,
    /// Lines that were not taken.
    refused_total: u64,
    /// The first of them, at most 100.
    refused: Vec<LineRefusal>,
    /// Commitments of the records, of a single upload.
    commitments: Vec<String>,
    /// Columns that no governed attribute is for: they stay in the Vault, and no task reads them.
    local: Vec<String>,
}

impl From<upload::Tally> for UploadReport {
    fn from(tally: upload::Tally) -> Self {
        Self {
            accepted: tally.accepted,
            duplicates: tally.duplicates,
            refused_total: tally.refused_total,
            refused: each(tally.refused),
            commitments: tally.commitments.iter().map(hex::encode).collect(),
            local: tally.local.into_iter().collect(),
        }
    }
}

/// One entry of the error catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorEntry {
    /// Such as `ADM-0006`.
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) http_status: u16,
    pub(crate) grpc_status: u8,
    /// Whether the same request may succeed later.
    pub(crate) retryable: bool,
}
