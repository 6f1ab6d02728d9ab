//! Three Vaults' slice enclaves, an aggregator's, a master and a submitter, with fixed keys.

use std::collections::{BTreeMap, BTreeSet};

use symphony_compute::material::MaterialBuilder;
use symphony_enclave::{Handler, Modules, Station, Workers};
use symphony_protocol::artifact::selection::Selection;
use symphony_protocol::artifact::{
    AggregationMethod, Assignment, AudienceResult, CoordinationEnvelope, EndorsedAssignment,
    EndorsedEnvelope, Plan, Predicate, PrivacyCharge, PrivacyClass, ResolvedOperand, ResolvedQuery,
    SelectionRule, TaskEnvelope, Versions,
};
use symphony_protocol::governance::semantics::ValueType;
use symphony_protocol::vault::record::Value;
use symphony_tee::appraise::AppraisalPolicy;
use symphony_tee::asking::Unserved;
use symphony_tee::hardware::HardwareAdmitted;
use symphony_tee::report::{
    AttestationReport, BootReport, EnclaveRole, PlatformClass, SignedBoot, SignedReport, platform_id,
};
use symphony_tee::session::Work;
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{
    ActorId, AttributeName, Commitment, EpochId, GovernanceSequence, LockRef, Measurement, NodeId,
    PolicyVersion, RequestId, RuleName, SchemaVersion, SemanticVersion, TaskId, UsageScope, VaultId,
};
use symphony_types::key::{
    Document, Master, PrivateKey, PublicKey, Signed, SoftwareEnclave, SoftwarePlatform,
};
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::{OrderedMillis, RecordMillis};
use symphony_wire::documents::{decode, encode};
use symphony_wire::enclave::{Answer, Call, purpose};
use symphony_wire::sealed::{SealingKey, seal};

/// An enclave without a process.
pub(crate) struct TestStation {
    hpke: [u8; 32],
    secret: [u8; 32],
    signing: PrivateKey<SoftwareEnclave>,
    boot: BootReport,
}

impl Station for TestStation {
    fn boot(&self) -> &BootReport {
        &self.boot
    }

    fn hpke_secret(&self) -> &[u8; 32] {
        &self.hpke
    }

    fn task_secret(&self) -> &[u8; 32] {
        &self.secret
    }

    fn report(&self, work: Work) -> SignedReport {
        self.signing.sign(AttestationReport {
            class: self.boot.class,
            boot: self.boot.digest(),
            actor: self.boot.actor.clone(),
            signing_key: self.boot.signing_key,
            measurement: self.boot.measurement,
            platform: self.boot.platform,
            task: work.task,
            step: work.step,
            nonce: work.nonce,
            module: work.module,
            input_root: work.input_root,
            output: work.output,
            schema: work.schema,
            semantic: work.semantic,
            policy: work.policy,
            purged: work.purged,
            memory_locked: false,
            notice: self.boot.notice.clone(),
        })
    }

    fn sign<T: Document>(&self, document: T) -> Signed<T, SoftwareEnclave> {
        self.signing.sign(document)
    }
}

/// What answers a frame: a handler in this process, or one behind pipes.
type Answering = dyn Fn(&[u8]) -> Vec<u8>;

/// An enclave and what its host knows of it.
pub(crate) struct Enclave {
    answer: Box<Answering>,
    pub(crate) boot: SignedBoot,
}

impl Enclave {
    pub(crate) fn new(boot: SignedBoot, answer: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Self {
        Self { answer: Box::new(answer), boot }
    }

    pub(crate) fn answer(&self, request: &[u8]) -> Vec<u8> {
        (self.answer)(request)
    }

    pub(crate) fn call(&self, call: &Call) -> Answer {
        decode(&self.answer(&encode(call))).unwrap()
    }
}

/// Everybody.
pub(crate) struct Stage {
    pub(crate) master: PrivateKey<Master>,
    pub(crate) submitter: SealingKey,
    pub(crate) aggregator: Enclave,
    /// The aggregator's enclave of another master.
    pub(crate) helper: Enclave,
    pub(crate) slices: BTreeMap<VaultId, Enclave>,
    pub(crate) policy: AppraisalPolicy,
}

/// A person of a Vault: subject, handle, purchases as (merchant, time).
pub(crate) type Person = (u32, &'static str, Vec<(&'static str, u64)>);

pub(crate) fn vault(number: u8) -> VaultId {
    VaultId::new(&format!("vault-{number}")).unwrap()
}

pub(crate) fn measurement() -> Measurement {
    Measurement(Digest([7; 32]))
}

pub(crate) fn attribute(text: &str) -> AttributeName {
    AttributeName::new(text).unwrap()
}

impl Stage {
    pub(crate) fn new() -> Self {
        let platforms = [SLICES, 50, 55, 60, 70].map(|number| platform(number).public());
        Self {
            master: PrivateKey::from_seed(&[41; 32]),
            submitter: SealingKey::from_seed(&[42; 32]),
            aggregator: aggregator(50),
            helper: aggregator(55),
            slices: [1, 2, 3].map(|number| (vault(number), slice(number))).into(),
            policy: AppraisalPolicy {
                chain: "test".into(),
                measurements: BTreeSet::from([measurement()]),
                platforms: platforms.map(|platform| (platform_id(&platform), platform)).into(),
                revoked_platforms: BTreeSet::new(),
                software_admitted: true,
                hardware: HardwareAdmitted::NONE,
            },
        }
    }

    pub(crate) fn masters(&self) -> Vec<PublicKey<Master>> {
        vec![self.master.public()]
    }

    /// An order: cafe buyers since 100, at least `minimum`, at most `cap`.
    pub(crate) fn envelope(&self, minimum: u32, cap: u32) -> TaskEnvelope {
        let operand = |name: &str, predicate| ResolvedOperand {
            rule: RuleName::new("any.rule").unwrap(),
            attribute: attribute(name),
            predicate,
        };
        let window = Predicate::Between { since: RecordMillis(100), until: RecordMillis(1000) };
        TaskEnvelope {
            task: TaskId(Digest([1; 32])),
            request: RequestId::new("request-1").unwrap(),
            submitter: ActorId::new("advertiser").unwrap(),
            scope: UsageScope::new("marketing").unwrap(),
            versions: Versions {
                schema: SchemaVersion(1),
                semantic: SemanticVersion(2),
                policy: PolicyVersion(3),
                governance: GovernanceSequence(0),
            },
            epoch: EpochId(1),
            admitted_at: OrderedMillis(1000),
            execute_by: OrderedMillis(2000),
            budget_lock_ref: LockRef(Digest::ZERO),
            locked: Sym(1),
            charge: PrivacyCharge { exposure: Epsilon(500_000), noised: Epsilon(1_000_000) },
            reservations: Vec::new(),
            plan: Plan::Audience(ResolvedQuery {
                who: Selection::record(vec![
                    operand("commerce.merchant", Predicate::TextEquals("cafe".into())),
                    operand("commerce.purchase_date", window),
                ]),
                output: attribute("identity.contact"),
                combined_privacy_class: PrivacyClass::Identifying,
                minimum_result_cardinality: minimum,
                cap,
                selection: SelectionRule::RecencyWeighted,
                evaluated_at: OrderedMillis(1000),
            }),
            coordination: CoordinationEnvelope {
                participating_vault_ids: self.slices.keys().cloned().collect(),
                minimum_vault_quorum: 2,
                aggregation_method: AggregationMethod::Union,
                aggregator: ActorId::new("aggregator").unwrap(),
                measurements: vec![measurement()],
                software_admitted: true,
            },
            recipient: self.submitter.public().to_vec(),
        }
    }

    pub(crate) fn open_call(&self, envelope: &EndorsedEnvelope) -> Call {
        let slices = self.slices.iter().map(|(vault, enclave)| (vault.clone(), encode(&enclave.boot)));
        Call::OpenTask {
            envelope: envelope.clone(),
            slices: slices.collect(),
            policy: encode(&self.policy),
            masters: self.masters(),
        }
    }

    /// Task keys by Vault.
    pub(crate) fn open(&self, envelope: &EndorsedEnvelope) -> BTreeMap<VaultId, Vec<u8>> {
        match self.aggregator.call(&self.open_call(envelope)) {
            Answer::Opened { keys } => keys.into_iter().collect(),
            other => panic!("{}", name_of(&other)),
        }
    }

    pub(crate) fn assignment(
        &self,
        envelope: &TaskEnvelope,
        vault: &VaultId,
        sealed_keys: Vec<u8>,
    ) -> Assignment {
        Assignment {
            envelope: envelope.clone(),
            vault: vault.clone(),
            nonce: Digest::of_bytes(vault.as_str().as_bytes()),
            attempt: 0,
            review: false,
            aggregator_boot: encode(&self.aggregator.boot),
            sealed_keys,
        }
    }

    /// Material of these people, sealed as their Vault seals it for this assignment.
    pub(crate) fn material(&self, assignment: &Assignment, people: &[Person]) -> Vec<u8> {
        let key = self.slices[&assignment.vault].boot.body.hpke_key;
        seal(&key, purpose::MATERIAL, &assignment.digest().0, &plain_material(people)).unwrap()
    }

    pub(crate) fn evaluate_call(&self, assignment: &EndorsedAssignment, material: Vec<u8>) -> Call {
        Call::Evaluate {
            assignment: assignment.clone(),
            material,
            segments: None,
            dealt: None,
            policy: encode(&self.policy),
            masters: self.masters(),
        }
    }

    /// Runs all slices; sealed bundles by Vault.
    pub(crate) fn bundles(
        &self,
        envelope: &EndorsedEnvelope,
        people: &[Vec<Person>; 3],
    ) -> Vec<(VaultId, Vec<u8>)> {
        let keys = self.open(envelope);
        let evaluate = |(vault, people): (&VaultId, &Vec<Person>)| {
            let assignment = self.assignment(&envelope.body, vault, keys[vault].clone());
            let material = self.material(&assignment, people);
            let call = self.evaluate_call(&self.master.endorsed(assignment), material);
            match self.slices[vault].call(&call) {
                Answer::Evaluated { bundle, .. } => (vault.clone(), bundle),
                other => panic!("{}", name_of(&other)),
            }
        };
        self.slices.keys().zip(people).map(evaluate).collect()
    }

    pub(crate) fn aggregate_call(
        &self,
        envelope: &EndorsedEnvelope,
        bundles: Vec<(VaultId, Vec<u8>)>,
    ) -> Call {
        Call::Aggregate {
            envelope: envelope.clone(),
            nonce: Digest([3; 32]),
            bundles,
            masters: self.masters(),
        }
    }

    /// The whole task, as the submitter sees its end.
    pub(crate) fn run(&self, envelope: TaskEnvelope, people: &[Vec<Person>; 3]) -> AudienceResult {
        let envelope = self.master.endorsed(envelope);
        let bundles = self.bundles(&envelope, people);
        match self.aggregator.call(&self.aggregate_call(&envelope, bundles)) {
            Answer::Aggregated { sealed, .. } => self.result(&envelope.body, &sealed),
            other => panic!("{}", name_of(&other)),
        }
    }

    pub(crate) fn result(&self, envelope: &TaskEnvelope, sealed: &[u8]) -> AudienceResult {
        decode(&self.submitter.open(purpose::RESULT, &encode(&envelope.task), sealed).unwrap()).unwrap()
    }
}

/// An answer's kind, and the words of a refusal.
pub(crate) fn name_of(answer: &Answer) -> String {
    match answer {
        Answer::Opened { .. } => "opened".into(),
        Answer::Aggregated { .. } => "aggregated".into(),
        Answer::Evaluated { .. } => "evaluated".into(),
        Answer::Extracted { .. } => "extracted".into(),
        Answer::Contributed { .. } => "contributed".into(),
        Answer::MovedOut { .. } => "moved out".into(),
        Answer::MovedIn { .. } => "moved in".into(),
        Answer::Scanned(_) => "scanned".into(),
        Answer::Added => "added".into(),
        Answer::Asked { .. } => "asked".into(),
        Answer::Helped(_) => "helped".into(),
        Answer::RecordsWanted => "records wanted".into(),
        Answer::ModuleWanted => "module wanted".into(),
        Answer::Combined { .. } => "combined".into(),
        Answer::PartRefused { vault, code, detail } => format!("{vault}: {code}: {detail}"),
        Answer::Refused { code, detail } => format!("{code}: {detail}"),
    }
}

/// Sets the cap of a query.
pub(crate) fn set_cap(envelope: &mut TaskEnvelope, cap: u32) {
    let Plan::Audience(query) = &mut envelope.plan else { panic!("a training") };
    query.cap = cap;
}

pub(crate) fn plain_material(people: &[Person]) -> Vec<u8> {
    let types = [
        (attribute("commerce.merchant"), ValueType::Text),
        (attribute("commerce.purchase_date"), ValueType::Time),
    ];
    let mut builder = MaterialBuilder::new(&types.into()).unwrap();
    for (subject, handle, purchases) in people {
        builder.person(SubjectIndex(*subject), handle).unwrap();
        for (merchant, at) in purchases {
            let values = BTreeMap::from([
                (attribute("commerce.merchant"), Value::Text((*merchant).into())),
                (attribute("commerce.purchase_date"), Value::Time(RecordMillis(*at))),
            ]);
            let commitment = Commitment(Digest::of("test/record", &(subject, merchant, at)));
            builder.push(SubjectIndex(*subject), &commitment, &values).unwrap();
        }
    }
    builder.finish().unwrap().to_vec()
}

/// An aggregator's enclave of the same actor, with keys and a machine of its own.
pub(crate) fn aggregator(number: u8) -> Enclave {
    enclave(number, EnclaveRole::Aggregator, "aggregator", &platform(number))
}

/// The same on the machine of another one.
pub(crate) fn aggregator_beside(number: u8, other: u8) -> Enclave {
    enclave(number, EnclaveRole::Aggregator, "aggregator", &platform(other))
}

/// The enclave of a Vault as it is after a start: the same keys, and nothing in memory.
pub(crate) fn slice(number: u8) -> Enclave {
    enclave(number, EnclaveRole::Slice, &format!("operator-{number}"), &platform(SLICES))
}

/// The same, started with modules.
pub(crate) fn slice_with(number: u8, modules: Modules) -> Enclave {
    enclave_with(number, EnclaveRole::Slice, &format!("operator-{number}"), &platform(SLICES), modules)
}

/// The machine of all slice enclaves.
pub(crate) const SLICES: u8 = 40;

fn platform(number: u8) -> PrivateKey<SoftwarePlatform> {
    PrivateKey::from_seed(&[number; 32])
}

fn enclave(number: u8, role: EnclaveRole, actor: &str, platform: &PrivateKey<SoftwarePlatform>) -> Enclave {
    enclave_with(number, role, actor, platform, Modules::default())
}

fn enclave_with(
    number: u8,
    role: EnclaveRole,
    actor: &str,
    platform: &PrivateKey<SoftwarePlatform>,
    modules: Modules,
) -> Enclave {
    let (station, quoted) = station(number, role, actor, platform, measurement());
    let handler = Handler::new(station, modules, Workers::default());
    Enclave::new(quoted, move |request| handler.answer(request, &mut Unserved))
}

/// What is inside an enclave of a Vault, and its boot report: on the machine of all of them, or on another one.
pub(crate) fn inside(
    number: u8,
    actor: &str,
    machine: u8,
    program: Measurement,
) -> (TestStation, SignedBoot) {
    station(number, EnclaveRole::Slice, actor, &platform(machine), program)
}

fn station(
    number: u8,
    role: EnclaveRole,
    actor: &str,
    platform: &PrivateKey<SoftwarePlatform>,
    measurement: Measurement,
) -> (TestStation, SignedBoot) {
    let hpke = [number; 32];
    let signing = PrivateKey::from_seed(&[number + 100; 32]);
    let boot = BootReport {
        class: PlatformClass::Software,
        role,
        chain: "test".into(),
        node: NodeId::new(&format!("node-{number}")).unwrap(),
        actor: ActorId::new(actor).unwrap(),
        hpke_key: SealingKey::from_seed(&hpke).public(),
        signing_key: signing.public(),
        measurement,
        platform: platform_id(&platform.public()),
        engine: Digest::ZERO,
        nonce: Digest::ZERO,
        vendor: None,
        notice: PlatformClass::Software.notice().into(),
    };
    let quoted = platform.sign(boot.clone()).into();
    (TestStation { hpke, secret: [number + 1; 32], signing, boot }, quoted)
}
