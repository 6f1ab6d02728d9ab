//! A settled and paid task with all its evidence, made by the protocol's own functions with keys of the test.

use std::collections::{BTreeMap, BTreeSet};

use symphony_protocol::artifact::selection::Selection;
use symphony_protocol::artifact::training::Environment;
use symphony_protocol::artifact::*;
use symphony_protocol::evidence::{CandidateBundle, EvidenceBundle};
use symphony_protocol::execution::{aggregate::aggregate_nonce, coordinate::slice_nonce};
use symphony_protocol::governance::approval::{EnclaveCode, Platform, Purpose};
use symphony_protocol::governance::epoch::Calendar;
use symphony_protocol::governance::log::{LogEntry, replay};
use symphony_protocol::governance::meaning::Meanings;
use symphony_protocol::governance::policy::{
    ChallengePolicy, ComputePolicy, Deadlines, ParsePolicy, Policy, Privacy, ProposalPolicy, QueryFees,
    Shares, TrainPolicy,
};
use symphony_protocol::governance::registry::{Actor, Registry, VaultRecord, VerifierRecord};
use symphony_protocol::governance::semantics::{
    Attribute, AttributeLifecycle, CrossDomainPolicy, Queryability, Rule, RuleKind, Semantics, ValueType,
};
use symphony_protocol::governance::stake::StakePolicy;
use symphony_protocol::governance::{Governance, pricing};
use symphony_protocol::settlement::finalize;
use symphony_protocol::settlement::payout::{
    self, ContributorAccount, PayoutConfirmation, PayoutEvidence, instructions,
};
use symphony_protocol::verification::bundles_root;
use symphony_tee::report::*;
use symphony_types::amount::{Bps, Sym};
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::*;
use symphony_types::key::{self, Document as _, PrivateKey};
use symphony_types::merkle;
use symphony_types::table::Table;
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::encode;

pub(crate) const NETWORK: &str = "test";
pub(crate) const VAULTS: [&str; 2] = ["vault-a", "vault-b"];

pub(crate) fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

pub(crate) fn actor(name: &str) -> ActorId {
    ActorId::new(name).unwrap()
}

fn vault(name: &str) -> VaultId {
    VaultId::new(name).unwrap()
}

pub(crate) fn scope(name: &str) -> UsageScope {
    UsageScope::new(name).unwrap()
}

/// Every private key of the network.
pub(crate) struct Keys {
    pub(crate) master: PrivateKey<key::Master>,
    pub(crate) vault: PrivateKey<key::Vault>,
    pub(crate) verifier: PrivateKey<key::Verifier>,
    pub(crate) payout: PrivateKey<key::Payout>,
    pub(crate) platform: PrivateKey<key::SoftwarePlatform>,
    pub(crate) enclave: PrivateKey<key::SoftwareEnclave>,
}

pub(crate) fn keys() -> Keys {
    Keys {
        master: PrivateKey::from_seed(&[1; 32]),
        vault: PrivateKey::from_seed(&[2; 32]),
        verifier: PrivateKey::from_seed(&[3; 32]),
        payout: PrivateKey::from_seed(&[4; 32]),
        platform: PrivateKey::from_seed(&[5; 32]),
        enclave: PrivateKey::from_seed(&[6; 32]),
    }
}

fn policy() -> Policy {
    Policy {
        fees: QueryFees {
            base: Sym(1_000_003),
            per_vault: Sym(500_007),
            per_record: Sym(1_001),
            per_epsilon: Sym(20_011),
        },
        shares: Shares {
            contributors: Bps(4_500),
            operators: Bps(2_000),
            executors: Bps(1_500),
            aggregators: Bps(500),
            verifiers: Bps(750),
            treasury: Bps(750),
        },
        parse: ParsePolicy::NONE,
        train: TrainPolicy {
            environment: Environment::Tee,
            scopes: BTreeSet::from([scope("training")]),
            base: Sym(2_000_003),
            per_vault_round: Sym(50_021),
            per_round: Sym(70_001),
            per_epsilon: Sym(30_011),
            rounds_max: 1_000,
            noise_min: 500,
            delta_max: 10_000_000,
            minimum_cohort: 100,
            round_ms: 20_000,
        },
        compute: ComputePolicy::NONE,
        privacy: Privacy {
            scope_limits: BTreeMap::from([
                (scope("marketing"), Epsilon(5_000_000)),
                (scope("training"), Epsilon(8_000_000)),
            ]),
            subject_cap: Epsilon(8_000_000),
            exposure_charge: Epsilon(400_000),
            count_epsilon: Epsilon(100_000),
            minimum_result_cardinality: 10,
            audience_cap_max: 10_000,
            selection: SelectionRule::Random,
        },
        deadlines: Deadlines {
            prepare_ms: 10_000,
            execute_ms: 60_000,
            aggregate_ms: 30_000,
            verify_ms: 30_000,
            challenge_ms: 1_000,
            review_ms: 60_000,
            lease_ms: 3_000,
        },
        epoch_ms: 60_000,
        dividend_payees_min: 2,
        unstaked: Bps(5_000),
        producer_stake_min: Sym(1),
        node_pay: Sym::ZERO,
        software_admitted: true,
        proposals: ProposalPolicy::NONE,
        challenges: ChallengePolicy::LEAST,
        candidates: None,
        stakes: StakePolicy::NONE,
    }
}

pub(crate) fn governance(keys: &Keys) -> Governance {
    let names = ["luckin", "operator", "executor", "aggregator", "verifier", "treasury"];
    let actors = names.iter().zip(10..).map(|(name, byte)| {
        let account = AccountId(digest(byte));
        let (roles, scopes) = (BTreeSet::new(), BTreeSet::new());
        (actor(name), Actor { account, roles, scopes, suspended: false })
    });
    let record = VaultRecord {
        operator: actor("operator"),
        executor: actor("executor"),
        key: keys.vault.public(),
        sealing_key: vec![7; 32],
    };
    Governance {
        policies: BTreeMap::from([(PolicyVersion(1), policy())]),
        calendar: Calendar::new(PolicyVersion(1), policy().epoch_ms),
        registry: Registry {
            actors: actors.collect(),
            vaults: VAULTS.iter().map(|name| (vault(name), record.clone())).collect(),
            aggregator: actor("aggregator"),
            verifier: VerifierRecord { actor: actor("verifier"), key: keys.verifier.public() },
            masters: [(NodeId::new("master-1").unwrap(), keys.master.public())].into(),
            gateway: PrivateKey::from_seed(&[9; 32]).public(),
            payout: keys.payout.public(),
            treasury: actor("treasury"),
            measurements: [(Measurement(digest(20)), EnclaveCode::founded(Purpose::Any))].into(),
            modules: [].into(),
            moves: [].into(),
            suspensions: [].into(),
            admissions: [].into(),
            exits: [].into(),
            platforms: [keys.platform.public()].map(|key| (platform_id(&key), Platform::founded(key))).into(),
            council: (1..=3).map(member).map(|(name, key)| (name, key.public())).collect(),
        },
        meanings: Meanings::new(semantics()),
        hardware: BTreeMap::new(),
        sequence: GovernanceSequence(0),
    }
}

/// What the envelope's query reads, and a training's.
fn semantics() -> Semantics {
    let attribute = |name: &str, value, privacy_class, queryability| {
        let domain = DomainName::new(name.split('.').next().unwrap()).unwrap();
        let lifecycle = AttributeLifecycle::Active;
        (
            AttributeName::new(name).unwrap(),
            Attribute { domain, value, privacy_class, queryability, lifecycle },
        )
    };
    let (read, derived) = (Queryability::DirectlyQueryable, Queryability::DerivedOnly);
    let (low, sensitive) = (PrivacyClass::Low, PrivacyClass::Sensitive);
    let attributes = [
        attribute("commerce.brand", ValueType::Text, low, read),
        attribute("commerce.merchant", ValueType::Text, low, read),
        attribute("commerce.category", ValueType::Text, low, read),
        attribute("commerce.purchase_date", ValueType::Time, sensitive, derived),
        attribute("commerce.amount", ValueType::Cents, sensitive, derived),
        attribute(
            "identity.contact_handle",
            ValueType::Text,
            PrivacyClass::Identifying,
            Queryability::DeliverableOnly,
        ),
    ];
    let rule = |name: &str, read: &str, kind| {
        let (attribute, cross_domain_policy) =
            (AttributeName::new(read).unwrap(), CrossDomainPolicy::Allowed);
        (RuleName::new(name).unwrap(), Rule { attribute, kind, cross_domain_policy })
    };
    let rules = [
        rule("commerce.brand_purchase", "commerce.brand", RuleKind::Equality),
        rule("commerce.merchant_purchase", "commerce.merchant", RuleKind::Equality),
        rule("commerce.category_purchase", "commerce.category", RuleKind::SetMembership),
        rule("commerce.purchase_recency", "commerce.purchase_date", RuleKind::Threshold),
    ];
    Semantics::founding(attributes.into(), rules.into())
}

pub(crate) fn envelope(governance: &Governance, receipts: &[SignedReceipt], task: TaskId) -> TaskEnvelope {
    let policy = governance.policy_in(EpochId(0));
    TaskEnvelope {
        task,
        request: RequestId::new("coupon").unwrap(),
        submitter: actor("luckin"),
        scope: scope("marketing"),
        versions: Versions {
            schema: SchemaVersion(1),
            semantic: SemanticVersion(1),
            policy: PolicyVersion(1),
            governance: governance.sequence,
        },
        epoch: EpochId(0),
        admitted_at: OrderedMillis(1_000),
        execute_by: OrderedMillis(71_000),
        budget_lock_ref: LockRef(digest(30)),
        locked: pricing::worst_case(policy, 2, 5_000).unwrap().total,
        charge: pricing::charge(policy),
        reservations: receipts.iter().map(|receipt| receipt.body.digest()).collect(),
        plan: Plan::Audience(ResolvedQuery {
            who: Selection::record(vec![ResolvedOperand {
                rule: RuleName::new("commerce.brand_purchase").unwrap(),
                attribute: AttributeName::new("commerce.brand").unwrap(),
                predicate: Predicate::TextEquals("luckin coffee".to_owned()),
            }]),
            output: AttributeName::new("identity.contact_handle").unwrap(),
            combined_privacy_class: PrivacyClass::Identifying,
            minimum_result_cardinality: 10,
            cap: 5_000,
            selection: SelectionRule::Random,
            evaluated_at: OrderedMillis(1_000),
        }),
        coordination: CoordinationEnvelope {
            participating_vault_ids: VAULTS.iter().map(|name| vault(name)).collect(),
            minimum_vault_quorum: 2,
            aggregation_method: AggregationMethod::Union,
            aggregator: actor("aggregator"),
            measurements: vec![Measurement(digest(20))],
            software_admitted: true,
        },
        recipient: vec![8; 32],
    }
}

/// The boot report and the task report of one enclave.
struct Work {
    role: EnclaveRole,
    actor: &'static str,
    step: String,
    nonce: Digest,
    input_root: Digest,
    output: Digest,
}

fn attest(keys: &Keys, task: TaskId, work: Work) -> (Attestation, Digest) {
    let class = PlatformClass::Software;
    let boot = BootReport {
        class,
        role: work.role,
        chain: NETWORK.to_owned(),
        node: NodeId::new("node").unwrap(),
        actor: actor(work.actor),
        hpke_key: [3; 32],
        signing_key: keys.enclave.public(),
        measurement: Measurement(digest(20)),
        platform: platform_id(&keys.platform.public()),
        engine: digest(21),
        nonce: digest(22),
        vendor: None,
        notice: class.notice().to_owned(),
    };
    let report = AttestationReport {
        class,
        boot: boot.digest(),
        actor: boot.actor.clone(),
        signing_key: boot.signing_key,
        measurement: boot.measurement,
        platform: boot.platform,
        task,
        step: work.step,
        nonce: work.nonce,
        module: None,
        input_root: work.input_root,
        output: work.output,
        schema: SchemaVersion(1),
        semantic: SemanticVersion(1),
        policy: PolicyVersion(1),
        purged: true,
        memory_locked: false,
        notice: class.notice().to_owned(),
    };
    let (boot, report) =
        (SignedBoot::from(keys.platform.sign(boot)).to_canonical(), encode(&keys.enclave.sign(report)));
    let named = Digest::of_bytes(&report);
    (Attestation { boot, report }, named)
}

pub(crate) fn receipts(keys: &Keys, epsilon: Epsilon, task: TaskId) -> Vec<SignedReceipt> {
    let receipt = |name: &&str| {
        keys.vault.sign(ReserveReceipt {
            task,
            vault: vault(name),
            refusal: None,
            epsilon,
            coverage: Bucket(1024),
            deadline: OrderedMillis(71_000),
            ledger_head: digest(40),
        })
    };
    VAULTS.iter().map(receipt).collect()
}

/// What a slice answers.
pub(crate) struct Asked<'a> {
    pub(crate) envelope: &'a TaskEnvelope,
    pub(crate) vault: &'a str,
    pub(crate) nonce: Digest,
    pub(crate) epsilon: Epsilon,
    pub(crate) records: u64,
    pub(crate) input_root: Digest,
}

pub(crate) fn slice(keys: &Keys, asked: &Asked<'_>) -> (SignedSlice, Attestation) {
    let (vault, nonce, input_root) = (vault(asked.vault), asked.nonce, asked.input_root);
    let output = Digest::of("test/bundle", &(&vault, nonce));
    let step = slice_step(&vault);
    let work = Work { role: EnclaveRole::Slice, actor: "executor", step, nonce, input_root, output };
    let (attestation, report) = attest(keys, asked.envelope.task, work);
    let header = SliceHeader {
        task: asked.envelope.task,
        vault,
        nonce,
        attempt: 0,
        epsilon: asked.epsilon,
        coverage: Bucket(1024),
        records: Bucket(asked.records),
        input_root,
        bundle: output,
        report,
        ledger_head: digest(41),
    };
    (keys.vault.sign(header), attestation)
}

pub(crate) fn aggregate(
    keys: &Keys,
    envelope: &TaskEnvelope,
    slices: &[(SignedSlice, Attestation)],
    (nonce, outcome, result): (Digest, Outcome, Digest),
) -> (SignedAggregate, Attestation) {
    let inputs: Vec<_> =
        slices.iter().map(|(slice, _)| (slice.body.vault.clone(), slice.body.bundle)).collect();
    let work = Work {
        role: EnclaveRole::Aggregator,
        actor: "aggregator",
        step: AGGREGATE_STEP.to_owned(),
        nonce,
        input_root: bundles_root(inputs.iter().map(|(_, bundle)| *bundle)),
        output: result,
    };
    let (attestation, report) = attest(keys, envelope.task, work);
    let header = AggregateHeader {
        task: envelope.task,
        aggregator: actor("aggregator"),
        inputs,
        outcome,
        result,
        seed: digest(61),
        report,
        helper: None,
    };
    (keys.enclave.sign(header), attestation)
}

/// The whole bundle, not yet signed.
pub(crate) fn bundle(keys: &Keys) -> EvidenceBundle {
    bundle_after(keys, vec![])
}

/// The same of a task that was admitted after these changes.
pub(crate) fn bundle_after(keys: &Keys, changes: Vec<LogEntry>) -> EvidenceBundle {
    let founded = governance(keys);
    let governance = replay(&founded, &changes).unwrap();
    let task = TaskId(digest(70));
    let epsilon = pricing::charge(governance.policy_in(EpochId(0))).per_subject().unwrap();
    let receipts = receipts(keys, epsilon, task);
    let envelope = envelope(&governance, &receipts, task);
    let slice = |(name, records): (&&str, u64)| {
        let nonce = slice_nonce(&envelope, &vault(name));
        let input_root = digest(50);
        slice(keys, &Asked { envelope: &envelope, vault: name, nonce, epsilon, records, input_root })
    };
    let slices: Vec<_> = VAULTS.iter().zip([4096, 512]).map(slice).collect();
    let outcome = Outcome::Audience { returned: 777 };
    let aggregate = aggregate(keys, &envelope, &slices, (aggregate_nonce(&envelope), outcome, digest(60)));
    let result = Combined { slices, aggregate, helper: None };
    let evidence = Evidence { envelope: keys.master.endorsed(envelope), receipts, rounds: vec![], result };
    EvidenceBundle { governance: founded, changes, ..settled(keys, governance, evidence) }
}

/// A member of the council, by number.
pub(crate) fn member(number: u8) -> (ActorId, PrivateKey<key::Governance>) {
    (actor(&format!("council-{number}")), PrivateKey::from_seed(&[number + 30; 32]))
}

/// Evidence with the verdict, the settlement and the payout that follow from it.
pub(crate) fn settled(keys: &Keys, governance: Governance, evidence: Evidence) -> EvidenceBundle {
    let verdict = keys.verifier.sign(Verdict {
        task: evidence.envelope.body.task,
        verifier: actor("verifier"),
        decision: Decision::Accepted,
        evidence: evidence.digest(),
        reasons: Vec::new(),
    });
    let at = OrderedMillis(130_000);
    let (slices, aggregate) = (evidence.result.headers(), &evidence.result.aggregate.0);
    let rounds: Vec<_> =
        evidence.rounds.iter().map(|round| (round.headers(), round.aggregate.0.clone())).collect();
    let envelope = &evidence.envelope.body;
    let context = finalize::Settled { envelope, rounds: &rounds, slices: &slices, aggregate };
    let context = finalize::context(&governance, &context, &verdict, at).unwrap();
    let root = finalize::settlement_root(&context);
    let epoch = governance.epoch_of(at);
    let mut contributors: Table<VaultId, ContributorAccount> = Table::new();
    for share in context.shares.iter().filter(|share| share.class == RecipientClass::Contributors) {
        let account = contributors.get_or_default(share.vault.clone().unwrap());
        account.pending.insert(context.task, payout::Owed { epoch, amount: share.amount });
    }
    // One Vault publishes a tree, the other carries.
    let statements = contributors.iter().enumerate().map(|(index, (vault, account))| {
        let allotted = account.pending[&context.task].amount;
        let total = if index == 0 { Sym(allotted.0 - 17) } else { Sym::ZERO };
        keys.vault.sign(DividendStatement {
            vault: vault.clone(),
            epoch,
            allotted,
            root: merkle::root(&[]),
            payees: if index == 0 { 3 } else { 0 },
            total,
            pool_return: if index == 0 { Sym(17) } else { Sym::ZERO },
            carried: if index == 0 { Sym::ZERO } else { allotted },
        })
    });
    let statements: Vec<_> = statements.collect();
    let (refunds, slashes) = (Table::new(), Table::new());
    let settled = payout::Settled {
        contexts: [&context].into_iter(),
        parses: [].into_iter(),
        refunds: &refunds,
        forfeits: &refunds,
        slashes: &slashes,
    };
    let instructions = instructions(epoch, settled, &contributors, &statements).unwrap();
    let confirmation = keys.payout.sign(PayoutConfirmation {
        epoch,
        batch: instructions.digest(),
        transaction: digest(80),
        version: 9,
    });
    let payout = Some(PayoutEvidence { instructions, statements, confirmation });
    EvidenceBundle {
        network: NETWORK.to_owned(),
        governance,
        later: vec![],
        changes: vec![],
        evidence,
        verdict,
        context,
        root,
        payout,
    }
}

/// The result of [`bundle`] before it is final, of evidence that a node has changed before the verifier accepted it.
pub(crate) fn candidate(keys: &Keys, change: impl FnOnce(&mut Evidence)) -> CandidateBundle {
    let EvidenceBundle { network, governance, changes, mut evidence, verdict, .. } = bundle(keys);
    change(&mut evidence);
    let verdict = keys.verifier.sign(Verdict { evidence: evidence.digest(), ..verdict.body });
    CandidateBundle { final_at: OrderedMillis(130_000), network, governance, changes, evidence, verdict }
}
