//! JSON shapes of the public interface, as the client writes and reads them (R207, R227). Names are those of the
//! protobuf messages; answers may grow fields that this version does not know.

use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::TaskRequest;
use symphony_types::amount::Sym;
use symphony_types::id::{ActorId, RequestId, TaskId};
use symphony_wire::{convert, v1};

macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[allow(missing_docs)] // The description of the interface documents every field.
        pub struct $name { $($(#[$attribute])* pub $field: $type,)* }
    )*};
}

pub mod candidates;
pub mod challenge;
pub mod compute;
pub mod epochs;
pub mod governance;
pub mod reconcile;
pub mod statistic;
pub mod training;
pub mod watching;

use compute::Compute;
use statistic::{Selection, Statistic};
use training::{Training, TrainingProgress};

shapes! {
    /// An audience query, or a statistic, a training or a computation in place of operands, output and cap, as the interface takes it.
    TaskSpec {
        task_class: String,
        usage_scope: String,
        vault_ids: Vec<String>,
        minimum_vault_quorum: u32,
        operands: Vec<Operand>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<Selection>,
        output_attribute: String,
        audience_cap: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rank_by: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        evaluate_at_ms: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        training: Option<Training>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compute: Option<Compute>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        statistic: Option<Statistic>,
    }

    /// A task to admit.
    SubmitTaskRequest {
        request_id: String,
        spec: TaskSpec,
        budget_lock_ref: String,
        recipient_key: String,
    }

    /// What a task would cost and reach.
    Quote {
        policy_version: u32,
        semantic_version: u32,
        worst_case: Option<Fee>,
        exposure_micro_epsilon: u64,
        noised_micro_epsilon: u64,
        minimum_result_cardinality: u32,
        coverage: Vec<VaultCoverage>,
        lock_until_ms: u64,
        /// Of a training: what a person's whole budget allows under its terms.
        #[serde(default)]
        rounds_possible: u32,
        /// Of a computation: what is set aside for one Vault at most.
        #[serde(default)]
        fuel_max: u64,
    }

    /// How many people of a Vault consented, as a power of two.
    VaultCoverage {
        vault_id: String,
        consented_bucket: u64,
        reachable: bool,
    }

    /// Parts of a fee.
    Fee {
        #[serde(with = "base_units")]
        base: Sym,
        #[serde(with = "base_units")]
        vaults: Sym,
        #[serde(with = "base_units")]
        records: Sym,
        #[serde(with = "base_units")]
        epsilon: Sym,
        #[serde(with = "base_units")]
        total: Sym,
        /// Of a training.
        #[serde(default, with = "base_units")]
        aggregation: Sym,
        /// Of a computation.
        #[serde(default, with = "base_units")]
        fuel: Sym,
    }

    /// A task as its submitter sees it.
    Task {
        #[serde(with = "hex_task")]
        task_id: TaskId,
        request_id: String,
        submitter: String,
        state: String,
        code: String,
        schema_version: u32,
        semantic_version: u32,
        policy_version: u32,
        epoch_id: u64,
        slices: Vec<SliceProgress>,
        charged: Option<Fee>,
        #[serde(with = "base_units")]
        locked: Sym,
        #[serde(with = "base_units")]
        refunded: Sym,
        shares: Vec<ShareEntry>,
        settlement_root: String,
        anchor: String,
        payout: String,
        platform_class: String,
        returned: u32,
        updated_ms: u64,
        delivered_ms: u64,
        refund: String,
        #[serde(default)]
        task_class: String,
        #[serde(default, with = "base_units")]
        subsidy: Sym,
        #[serde(default)]
        training: Option<TrainingProgress>,
    }

    /// What one Vault has done of a task.
    SliceProgress {
        vault_id: String,
        state: String,
        code: String,
    }

    /// Who got what of a fee.
    ShareEntry {
        recipient_class: String,
        vault_id: String,
        recipient: String,
        #[serde(with = "base_units")]
        amount: Sym,
    }

    /// The sealed result of a completed task.
    TaskResult {
        #[serde(with = "hex_task")]
        task_id: TaskId,
        outcome: String,
        returned: u32,
        #[serde(with = "hex_bytes")]
        sealed: Vec<u8>,
        settlement_root: String,
        code: String,
    }

    /// Approved Vaults.
    VaultList {
        vaults: Vec<VaultEntry>,
    }

    /// An approved Vault.
    VaultEntry {
        vault_id: String,
        operator: String,
        sealing_key: String,
        reachable: bool,
        #[serde(default)]
        status: String,
        #[serde(default)]
        elsewhere: String,
    }

    /// Versions, state and health of the network.
    Status {
        network: String,
        masters: u32,
        height: u64,
        state_hash: String,
        epoch_id: u64,
        schema_version: u32,
        semantic_version: u32,
        policy_version: u32,
        ordered_ms: u64,
        platform_class: String,
        nodes: Vec<NodeHealth>,
        #[serde(default)]
        master_nodes: Vec<MasterHealth>,
        /// Version of the masters' rules that is in force.
        protocol_version: u32,
        /// The epoch in which it came into force.
        protocol_since: u64,
    }

    /// One master, beside how it compares with the others.
    MasterHealth {
        node: String,
        reachable: bool,
        height: u64,
        state_hash: String,
        head: String,
        leader: bool,
        guard_class: String,
        guard_admission: String,
        /// Whether its guard's key has a vote now.
        voting: bool,
        /// Last decided block.
        block_height: u64,
        /// Round under way.
        round: u32,
        /// Mean time of a height decided here, milliseconds.
        block_ms: u64,
        /// Blocks that another master claims to have more.
        lag: u64,
        /// Rounds after the first that it entered, since its start.
        view_changes: u64,
        /// Votes for no block.
        nil_votes: u64,
        /// Own precommits that decided certificates lack.
        missed_votes: u64,
        /// Votes and proposals that its guard withheld.
        guard_refusals: u64,
        /// Keys of guards that it saw rotate.
        rotations: u64,
        /// Messages of others whose signature does not hold.
        forged: u64,
        /// Kept proofs that a seat voted twice in one slot.
        conflicts: u64,
        /// Highest protocol version that it announced; 0 for none yet.
        protocol_max: u32,
        /// Streams of others that it ended because it did not understand them.
        misunderstood: u64,
    }

    /// Whether a node answers.
    NodeHealth {
        node: String,
        role: String,
        reachable: bool,
        seen_ms: u64,
        #[serde(default)]
        status: String,
        #[serde(default)]
        stake: String,
    }

    /// What became of an upload.
    UploadReport {
        accepted: u64,
        duplicates: u64,
        refused_total: u64,
        refused: Vec<LineRefusal>,
        commitments: Vec<String>,
        #[serde(default)]
        local: Vec<String>,
    }

    /// A column of a Vault's records that no governed attribute is for.
    CandidateEntry {
        name: String,
        texts: u64,
        numbers: u64,
        times: u64,
        people: u64,
    }

    /// How long a Vault keeps records, and what has ended because it was kept for its time.
    RetentionEntry {
        days: u32,
        kept: u64,
        ended: u64,
        ended_ms: u64,
        since_ms: u64,
    }

    /// A line that a Vault did not take.
    LineRefusal {
        line: u64,
        code: String,
        detail: String,
    }

    /// A person's privacy budget for one scope; the empty scope is the cap over all.
    BudgetEntry {
        usage_scope: String,
        limit_micro_epsilon: u64,
        reserved_micro_epsilon: u64,
        committed_micro_epsilon: u64,
        movements: Vec<BudgetMovement>,
    }

    /// One movement of a budget.
    BudgetMovement {
        task_id: String,
        kind: String,
        micro_epsilon: u64,
        at_ms: u64,
    }

    /// A person's consent for one scope.
    ConsentEntry {
        usage_scope: String,
        state: String,
        since_ms: u64,
        expires_ms: u64,
    }

    /// A derived attribute of a person.
    AttributeEntry {
        module: String,
        version: u32,
        code: String,
        task_id: String,
        evaluated_at_ms: u64,
        value: u64,
        label: String,
    }

    /// A record as its Vault holds it.
    RecordEntry {
        commitment: String,
        json: String,
    }

    /// One of the caller's receipts, named by the commitment of its document.
    ReceiptEntry {
        receipt_id: String,
        state: String,
        media_type: String,
        size_bytes: u64,
        uploaded_ms: u64,
        erased_ms: u64,
        content_digest: String,
        salt: String,
        #[serde(default)]
        reading: Option<ReceiptReading>,
    }

    /// What became of the reading of a receipt.
    ReceiptReading {
        task_id: String,
        /// Why there is no record; empty when there is one.
        code: String,
        record_commitment: String,
        extractor: u32,
        fields: Vec<ReadField>,
        /// In the order printed; empty in a list of receipts.
        items: Vec<ReadItem>,
        checks: Vec<ReadCheck>,
        completeness_bps: u32,
        checks_bps: u32,
        confidence_bps: u32,
    }

    /// A value that was read.
    ReadField {
        name: String,
        value: String,
        confidence_bps: u32,
        /// The governed attribute; empty for a candidate that stays at the Vault.
        attribute: String,
        at: Option<ReadBox>,
        /// Whether it is the owner's word.
        #[serde(default)]
        corrected: bool,
    }

    /// A line of what was bought.
    ReadItem {
        description: String,
        /// Thousandths; 0 when not printed.
        quantity_milli: u64,
        /// 0 when not printed.
        unit_price_cents: u64,
        /// Negative for a discount.
        amount_cents: i64,
        confidence_bps: u32,
        at: Option<ReadBox>,
    }

    /// Whether what is printed agrees with itself.
    ReadCheck {
        name: String,
        holds: bool,
    }

    /// Where a value stands: pixels of the upright page, or tenths of a point of a PDF with text.
    ReadBox {
        page: u32,
        left: u32,
        top: u32,
        width: u32,
        height: u32,
    }

    /// An erased receipt and the Vault's proof.
    ErasureReport {
        receipt: ReceiptEntry,
        #[serde(with = "hex_bytes")]
        proof: Vec<u8>,
    }

    /// An erased person: the Vault's proof.
    PersonErasureReport {
        #[serde(with = "hex_bytes")]
        proof: Vec<u8>,
    }

    /// What the rotation of a Vault's key did.
    RotationReport {
        keys: u64,
    }

    /// A backup that a Vault took: its number and the Vault's signed manifest.
    BackupReport {
        number: u64,
        #[serde(with = "hex_bytes")]
        manifest: Vec<u8>,
    }

    /// A person's dividend of one epoch, with the proof that claims it.
    DividendEntry {
        epoch_id: u64,
        index: u64,
        #[serde(with = "base_units")]
        amount: Sym,
        account: String,
        path: Vec<String>,
        root: String,
        payees: u64,
    }

    /// One entry of the error catalogue.
    ErrorEntry {
        code: String,
        title: String,
        http_status: u16,
        grpc_status: u8,
        retryable: bool,
    }
}

/// One condition: a governed rule and exactly one argument.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operand {
    /// The governed derivation rule.
    pub rule: String,
    /// Equal to this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// One of these texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<Vec<String>>,
    /// Within so many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// At least so much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u64>,
    /// The least and the most, which count as well: of an amount, or in days before now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[u64; 2]>,
}

impl TaskSpec {
    /// The request that the platform makes of it: what the wallet signs for. **Errors**: why it is no request.
    pub fn request(
        &self,
        actor: &ActorId,
        request: &RequestId,
        recipient: [u8; 32],
    ) -> Result<TaskRequest, convert::Refused> {
        let spec = v1::TaskSpec {
            task_class: self.task_class.clone(),
            usage_scope: self.usage_scope.clone(),
            vault_ids: self.vault_ids.clone(),
            minimum_vault_quorum: self.minimum_vault_quorum,
            operands: self.operands.iter().map(Operand::message).collect(),
            who: self.who.as_ref().map(Selection::message),
            output_attribute: self.output_attribute.clone(),
            audience_cap: self.audience_cap,
            rank_by: self.rank_by.clone().unwrap_or_default(),
            evaluate_at_ms: self.evaluate_at_ms,
            training: self.training.as_ref().map(Training::message),
            compute: self.compute.as_ref().map(Compute::message),
            statistic: self.statistic.as_ref().map(Statistic::message),
        };
        convert::task(actor, request.clone(), spec, recipient.to_vec())
    }
}

impl Operand {
    /// The message that the platform reads: the first argument that is given.
    fn message(&self) -> v1::Operand {
        use v1::operand::Argument;
        let Self { rule, text, texts, days, at_least, range } = self.clone();
        let argument = text
            .map(Argument::Text)
            .or(texts.map(|values| Argument::Texts(v1::TextList { values })))
            .or(days.map(Argument::Days))
            .or(at_least.map(Argument::AtLeast))
            .or(range.map(|[least, most]| Argument::Range(v1::NumberRange { least, most })));
        v1::Operand { rule, argument }
    }
}

impl ReceiptReading {
    /// The value of a field, if it was read.
    pub fn value(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|read| read.name == field).map(|read| read.value.as_str())
    }
}

impl Task {
    /// Whether nothing follows but the payout of its epoch.
    pub fn terminal(&self) -> bool {
        matches!(self.state.as_str(), "completed" | "rejected" | "timed_out" | "admission_refused")
    }
}

mod base_units {
    use serde::{Deserialize, Deserializer, Serializer};
    use symphony_types::amount::Sym;

    pub(super) fn serialize<S: Serializer>(amount: &Sym, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&amount.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Sym, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Sym).map_err(serde::de::Error::custom)
    }
}

mod hex_task {
    use serde::{Deserialize, Deserializer, Serializer};
    use symphony_types::digest::Digest;
    use symphony_types::id::TaskId;

    pub(super) fn serialize<S: Serializer>(task: &TaskId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(task)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TaskId, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digest = Digest::from_hex(&text);
        digest.map(TaskId).ok_or_else(|| serde::de::Error::custom("a task id is 64 hexadecimal digits"))
    }
}

mod hex_bytes {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
