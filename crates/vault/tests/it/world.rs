//! A Vault in a folder that vanishes, with a master, a gateway and governance around it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prost::Message as _;
use symphony_depot::config::Settings;
use symphony_protocol::artifact::selection::Selection;
use symphony_protocol::artifact::*;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::approval::{EnclaveCode, Platform, Purpose};
use symphony_protocol::governance::epoch::Calendar;
use symphony_protocol::governance::meaning::Meanings;
use symphony_protocol::governance::policy::{
    ChallengePolicy, ComputePolicy, Deadlines, ParsePolicy, Policy, Privacy, ProposalPolicy, QueryFees,
    Shares, TrainPolicy,
};
use symphony_protocol::governance::registry::{Registry, VaultRecord, VerifierRecord};
use symphony_protocol::governance::semantics::{
    Attribute, AttributeLifecycle, Queryability, Semantics, ValueType,
};
use symphony_protocol::governance::stake::StakePolicy;
use symphony_reader::host::{Config as ReaderConfig, Reader};
use symphony_standby::place::Place;
use symphony_standby::standby::{Standby, Watch};
use symphony_tee::boot::Identity;
use symphony_tee::governed;
use symphony_tee::keys::PlatformSeed;
use symphony_tee::machine::EnclaveMachine;
use symphony_tee::report::EnclaveRole;
use symphony_types::amount::{Bps, Sym};
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::*;
use symphony_types::key::{Document as _, Gateway, Governance as CouncilKey, Master, PrivateKey, PublicKey};
use symphony_types::time::{OrderedMillis, RecordMillis};
use symphony_vault::agent::{Agent, AgentConfig};
use symphony_vault::custody::Bare;
use symphony_vault::enterprise::{Enterprise, Keeping, Quota};
use symphony_vault::keys::VaultKeys;
use symphony_wire::documents;
use symphony_wire::enclave::{Answer, Call, purpose};
use symphony_wire::sealed::{self, SealingKey};
use symphony_wire::signing::{CONTEXT_OPERATION, sign_bytes};
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::*;
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) governance: Governance,
    pub(crate) enterprise: Option<Arc<Enterprise>>,
    pub(crate) now: Arc<AtomicU64>,
    pub(crate) master: PrivateKey<Master>,
    pub(crate) gateway: PrivateKey<Gateway>,
    pub(crate) platform: PlatformSeed,
    pub(crate) reader: ReaderConfig,
    pub(crate) quota: Quota,
    /// A second place.
    pub(crate) standby: Option<TempDir>,
    /// The store of its segments, when it is not the folder.
    pub(crate) segments: Option<Settings>,
    /// Where that store has its objects.
    pub(crate) bucket: Option<PathBuf>,
    /// Is told each step between both places.
    pub(crate) watch: Option<Arc<Watch>>,
    /// What tasks ask for: an audience, unless a test asks for something else.
    pub(crate) plan: Plan,
    /// Columns that its operator withholds.
    pub(crate) withheld: BTreeSet<AttributeName>,
}

/// A member of the council, by number.
pub(crate) fn member(number: u8) -> ActorId {
    actor(&format!("council-{number}"))
}

/// Its key.
pub(crate) fn council_key(number: u8) -> PrivateKey<CouncilKey> {
    PrivateKey::from_seed(&[number + 40; 32])
}

pub(crate) const OPERATOR: (&str, &str) = ("acme", "operator");

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// A world whose governance approves these programs.
    pub(crate) fn with(measurements: &[Measurement]) -> Self {
        Self::governed(measurements, |_| {})
    }

    /// The same, under a governance that was changed before anything was founded on it.
    pub(crate) fn governed(measurements: &[Measurement], change: impl FnOnce(&mut Governance)) -> Self {
        let folder = TempDir::new().unwrap();
        let (master, gateway) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::<Gateway>::from_seed(&[2; 32]));
        let platform = PlatformSeed::new([3; 32]);
        let keys = VaultKeys::open(folder.path()).unwrap();
        let vault = VaultRecord {
            operator: actor("acme"),
            executor: actor("acme-executor"),
            key: keys.signing.public(),
            sealing_key: keys.sealing.public().to_vec(),
        };
        let registry = Registry {
            actors: BTreeMap::new(),
            vaults: [(vault_id(), vault)].into(),
            aggregator: actor("aggregator"),
            verifier: VerifierRecord { actor: actor("verifier"), key: PublicKey::from_bytes([0; 32]) },
            masters: [(NodeId::new("master-1").unwrap(), master.public())].into(),
            gateway: gateway.public(),
            payout: PublicKey::from_bytes([0; 32]),
            treasury: actor("treasury"),
            measurements: measurements
                .iter()
                .map(|measurement| (*measurement, EnclaveCode::founded(Purpose::Any)))
                .collect(),
            modules: [].into(),
            moves: [].into(),
            suspensions: [].into(),
            admissions: [].into(),
            exits: [].into(),
            platforms: [(platform.platform(), Platform::founded(platform.public()))].into(),
            council: (1..=3).map(|number| (member(number), council_key(number).public())).collect(),
        };
        let mut governance = Governance {
            policies: [(PolicyVersion(1), policy())].into(),
            calendar: Calendar::new(PolicyVersion(1), policy().epoch_ms),
            registry,
            meanings: Meanings::new(semantics()),
            hardware: BTreeMap::new(),
            sequence: GovernanceSequence(0),
        };
        change(&mut governance);
        let now = Arc::new(AtomicU64::new(1_000));
        // Nothing is read unless a test names a reader; what is measured then does not matter.
        let reader = ReaderConfig::new(std::env::current_exe().unwrap());
        let mut world = Self {
            folder,
            governance,
            enterprise: None,
            now,
            master,
            gateway,
            platform,
            reader,
            quota: QUOTA,
            standby: None,
            segments: None,
            bucket: None,
            watch: None,
            plan: Plan::Audience(query()),
            withheld: BTreeSet::new(),
        };
        world.reopen();
        world
    }

    /// Ends the Vault without a word and opens it again.
    pub(crate) fn reopen(&mut self) {
        self.try_reopen().unwrap();
    }

    pub(crate) fn try_reopen(&mut self) -> anyhow::Result<()> {
        self.close();
        let now = Arc::clone(&self.now);
        let clock = Arc::new(move || OrderedMillis(now.load(Ordering::SeqCst)));
        let governance = self.governance.clone();
        let reader = Reader::start(self.reader.clone()).unwrap();
        let place = match &self.standby {
            None => self.path().into(),
            Some(folder) => {
                let standby = Standby::open(folder.path(), &vault_id(), self.path())?;
                self.watch.iter().for_each(|watch| standby.watch(Arc::clone(watch)));
                Place::with(self.path(), standby)
            }
        };
        let named = (NETWORK, governance);
        let opened = Enterprise::kept(place, vault_id(), named, clock, self.quota, reader, self.keeping())?;
        self.enterprise = Some(Arc::new(opened.withholding(self.withheld.clone())));
        Ok(())
    }

    pub(crate) fn keeping(&self) -> Keeping {
        Keeping { custody: Arc::new(Bare), segments: self.segments.clone() }
    }

    pub(crate) fn close(&mut self) {
        if let Some(enterprise) = self.enterprise.take() {
            assert_eq!(Arc::strong_count(&enterprise), 1, "somebody else holds the vault");
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// All files in the Vault's folder and below.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        files_below(self.path())
    }

    pub(crate) fn vault(&self) -> &Arc<Enterprise> {
        self.enterprise.as_ref().unwrap()
    }

    pub(crate) fn at(&self, millis: u64) {
        self.now.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn message(
        &self,
        (actor, role): (&str, &str),
        request: &str,
        operation: Operation,
    ) -> VaultOperation {
        VaultOperation {
            actor: actor.into(),
            roles: vec![role.into()],
            request_id: request.into(),
            vault_id: vault_id().as_str().into(),
            expires_ms: self.now.load(Ordering::SeqCst) + 60_000,
            reply_key: SealingKey::from_seed(&[5; 32]).public().to_vec(),
            operation: Some(operation),
        }
    }

    pub(crate) fn sealed(&self, message: &VaultOperation, gateway: &PrivateKey<Gateway>) -> Vec<u8> {
        let operation = message.encode_to_vec();
        let signature = sign_bytes(gateway, CONTEXT_OPERATION, &operation).to_vec();
        let signed = SignedOperation { operation, signature }.encode_to_vec();
        let key = &self.governance.registry.vaults[&vault_id()].sealing_key;
        sealed::seal(key, purpose::OPERATION, vault_id().as_str().as_bytes(), &signed).unwrap()
    }

    pub(crate) async fn ask(&self, who: (&str, &str), request: &str, operation: Operation) -> VaultAnswer {
        let message = self.sealed(&self.message(who, request, operation), &self.gateway);
        let answer = Arc::clone(self.vault()).operate(message).await.unwrap();
        let key = SealingKey::from_seed(&[5; 32]);
        let answer = key.open(purpose::ANSWER, vault_id().as_str().as_bytes(), &answer).unwrap();
        VaultAnswer::decode(answer.as_slice()).unwrap()
    }

    /// People `p0..`, each with a wallet, consent for marketing and one coffee.
    pub(crate) async fn populate(&self, people: u32) {
        for done in self.populated(people).await {
            assert_eq!((done.accepted, done.refused_total), (u64::from(people), 0), "{done:?}");
        }
    }

    /// The same, perhaps once more: what each upload has done.
    pub(crate) async fn populated(&self, people: u32) -> [VaultAnswer; 3] {
        let subjects = lines(people, |n| {
            format!(r#"{{"subject":"p{n}","contact":"p{n}@example.org","wallet":"{:064x}"}}"#, n + 1)
        });
        let consents =
            lines(people, |n| format!(r#"{{"subject":"p{n}","scope":"marketing","state":"granted"}}"#));
        [
            self.ask(OPERATOR, "subjects", put_subjects(&subjects)).await,
            self.ask(OPERATOR, "consents", put_consents(&consents)).await,
            self.ask(OPERATOR, "records", put_records(&lines(people, coffee))).await,
        ]
    }

    pub(crate) async fn withdraw(&self, person: &str) {
        let line = format!(r#"{{"subject":"{person}","scope":"marketing","state":"withdrawn"}}"#);
        let done = self.ask((person, "producer"), "withdraw", put_consents(&line)).await;
        assert_eq!(done.accepted, 1, "{done:?}");
    }

    pub(crate) fn preparation(&self, name: u8, epsilon: u64, deadline: u64) -> Preparation {
        Preparation {
            task: task(name),
            vault: vault_id(),
            scope: UsageScope::new("marketing").unwrap(),
            epsilon: Epsilon(epsilon),
            policy: PolicyVersion(1),
            attributes: vec![attribute("commerce.merchant")],
            deadline: OrderedMillis(deadline),
        }
    }

    pub(crate) async fn prepare(&self, name: u8, epsilon: u64, deadline: u64) -> SignedReceipt {
        let signed = self.master.endorsed(self.preparation(name, epsilon, deadline));
        let receipt = self.vault().prepare(signed).await.unwrap();
        assert!(receipt.verify(&self.governance.registry.vaults[&vault_id()].key));
        receipt
    }

    pub(crate) fn envelope(&self, receipt: &SignedReceipt) -> TaskEnvelope {
        let epsilon = receipt.body.epsilon;
        TaskEnvelope {
            task: receipt.body.task,
            request: RequestId::new("campaign").unwrap(),
            submitter: actor("brand"),
            scope: UsageScope::new("marketing").unwrap(),
            versions: Versions {
                schema: SchemaVersion(1),
                semantic: SemanticVersion(1),
                policy: PolicyVersion(1),
                governance: GovernanceSequence(0),
            },
            epoch: EpochId(0),
            admitted_at: OrderedMillis(1_000),
            execute_by: receipt.body.deadline,
            budget_lock_ref: LockRef(Digest::ZERO),
            locked: Sym(1_000),
            charge: PrivacyCharge { exposure: Epsilon(epsilon.0 - 1), noised: Epsilon(1) },
            reservations: vec![receipt.body.digest()],
            plan: self.plan.clone(),
            coordination: CoordinationEnvelope {
                participating_vault_ids: vec![vault_id()],
                minimum_vault_quorum: 1,
                aggregation_method: AggregationMethod::Union,
                aggregator: actor("aggregator"),
                measurements: self.governance.registry.active_code(),
                software_admitted: true,
            },
            recipient: SealingKey::from_seed(&[6; 32]).public().to_vec(),
        }
    }

    pub(crate) fn assignment(&self, receipt: &SignedReceipt) -> Assignment {
        Assignment {
            envelope: self.envelope(receipt),
            vault: vault_id(),
            nonce: Digest([8; 32]),
            attempt: 0,
            review: false,
            aggregator_boot: vec![],
            sealed_keys: vec![],
        }
    }

    pub(crate) async fn budget(&self, person: &str) -> (u64, u64) {
        let read = Operation::ReadBudget(ReadBudget { subject: person.into(), ..ReadBudget::default() });
        let answer = self.ask((person, "producer"), "read", read).await;
        let cap = answer.budget.iter().find(|entry| entry.usage_scope.is_empty()).unwrap();
        (cap.reserved_micro_epsilon, cap.committed_micro_epsilon)
    }
}

/// All files in a folder and below.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for found in std::fs::read_dir(folder).unwrap() {
            let found = found.unwrap().path();
            if found.is_dir() { folders.push(found) } else { files.push(found) }
        }
    }
    files.sort();
    files
}

/// An enclave of this program for somebody.
pub(crate) fn agent(world: &World, program: &Path, folder: &Path, name: &str, role: EnclaveRole) -> Agent {
    agents(world, program, folder, (name, role), 1)
}

/// So many of them.
pub(crate) fn agents(
    world: &World,
    program: &Path,
    folder: &Path,
    (name, role): (&str, EnclaveRole),
    executors: usize,
) -> Agent {
    let node = NodeId::new("node").unwrap();
    let identity = Identity { chain: NETWORK.into(), node, actor: actor(name), role };
    let machine = EnclaveMachine::Software(world.platform.clone());
    let folder = folder.into();
    let (program, modules) = (program.into(), vec![]);
    Agent::start(AgentConfig { program, identity, machine, folder, modules, executors }).unwrap()
}

/// The assignment as a master makes it: with the aggregator's boot report and the keys that it sealed.
pub(crate) fn assign(
    world: &World,
    aggregator: &Agent,
    slice: &Agent,
    name: u8,
    receipt: &SignedReceipt,
) -> EndorsedAssignment {
    let mut assignment = world.assignment(receipt);
    assert_eq!(assignment.envelope.task, task(name));
    let registry = &world.governance.registry;
    let policy = governed::policy(NETWORK, &world.governance);
    let call = Call::OpenTask {
        envelope: world.master.endorsed(assignment.envelope.clone()),
        slices: vec![(vault_id(), slice.boot())],
        policy: documents::encode(&policy),
        masters: registry.masters.values().copied().collect(),
    };
    let Answer::Opened { mut keys } = aggregator.call(&call).unwrap() else { panic!("not opened") };
    assignment.aggregator_boot = aggregator.boot();
    assignment.sealed_keys = keys.remove(0).1;
    world.master.endorsed(assignment)
}

/// A program of the workspace, built beside this test with the features that the whole workspace is built with: as `cargo xtask`
/// does, and without what cargo told this test about itself, so that nothing is built again.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = std::process::Command::new(cargo);
    build.args([
        "build",
        "--offline",
        "--workspace",
        "--features",
        "symphony-tee/development",
        "--bin",
        name,
    ]);
    build.arg("--target-dir").arg(folder.parent().unwrap());
    for (told, _) in std::env::vars()
        .filter(|(name, _)| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    {
        build.env_remove(told);
    }
    assert!(build.status().unwrap().success(), "building {name}");
    folder.join(name)
}

pub(crate) const NETWORK: &str = "test";
pub(crate) const QUOTA: Quota = Quota {
    records_max: 50_000,
    documents_max: 5,
    document_bytes_max: 20 << 20,
    segment_rows: u32::MAX,
    days: None,
};

pub(crate) fn vault_id() -> VaultId {
    VaultId::new("north").unwrap()
}

pub(crate) fn actor(name: &str) -> ActorId {
    ActorId::new(name).unwrap()
}

pub(crate) fn task(name: u8) -> TaskId {
    TaskId(Digest([name; 32]))
}

pub(crate) fn attribute(name: &str) -> AttributeName {
    AttributeName::new(name).unwrap()
}

pub(crate) fn lines(count: u32, line: impl Fn(u32) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().join("\n")
}

pub(crate) fn coffee(n: u32) -> String {
    format!(
        r#"{{"request_id":"coffee-{n}","subject":"p{n}","commerce.merchant":"Cafe Luna","commerce.amount":"5.80"}}"#
    )
}

pub(crate) fn put_subjects(content: &str) -> Operation {
    Operation::PutSubjects(PutSubjects { format: JSON, content: content.into() })
}

pub(crate) fn put_consents(content: &str) -> Operation {
    Operation::PutConsents(PutConsents { format: JSON, content: content.into() })
}

pub(crate) fn put_records(content: &str) -> Operation {
    Operation::PutRecords(PutRecords { format: JSON, content: content.into() })
}

pub(crate) fn read_records(person: &str) -> Operation {
    Operation::ReadRecords(ReadRecords { subject: person.into(), limit: 10 })
}

const JSON: i32 = UploadFormat::JsonLines as i32;

fn query() -> ResolvedQuery {
    ResolvedQuery {
        who: Selection::record(vec![ResolvedOperand {
            rule: RuleName::new("commerce.merchant_is").unwrap(),
            attribute: attribute("commerce.merchant"),
            predicate: Predicate::TextEquals("cafe luna".into()),
        }]),
        output: attribute("contact.handle"),
        combined_privacy_class: PrivacyClass::Identifying,
        minimum_result_cardinality: 2,
        cap: 100,
        selection: SelectionRule::Random,
        evaluated_at: OrderedMillis(RecordMillis(1_000).0),
    }
}

fn semantics() -> Semantics {
    let governed = |domain: &str, value, queryability| Attribute {
        domain: DomainName::new(domain).unwrap(),
        value,
        privacy_class: PrivacyClass::Sensitive,
        queryability,
        lifecycle: AttributeLifecycle::Active,
    };
    let queryable = Queryability::DirectlyQueryable;
    let attributes = [
        (attribute("commerce.merchant"), governed("commerce", ValueType::Text, queryable)),
        (attribute("commerce.amount"), governed("commerce", ValueType::Cents, queryable)),
        (attribute("contact.handle"), governed("contact", ValueType::Text, Queryability::DeliverableOnly)),
    ]
    .into();
    Semantics::founding(attributes, BTreeMap::new())
}

pub(crate) fn policy() -> Policy {
    Policy {
        fees: QueryFees { base: Sym(1), per_vault: Sym(1), per_record: Sym(1), per_epsilon: Sym(1) },
        shares: Shares {
            contributors: Bps(4_500),
            operators: Bps(2_000),
            executors: Bps(1_200),
            aggregators: Bps(800),
            verifiers: Bps(700),
            treasury: Bps(800),
        },
        parse: ParsePolicy::NONE,
        train: TrainPolicy::NONE,
        compute: ComputePolicy::NONE,
        privacy: Privacy {
            scope_limits: [(UsageScope::new("marketing").unwrap(), Epsilon(30))].into(),
            subject_cap: Epsilon(40),
            exposure_charge: Epsilon(9),
            count_epsilon: Epsilon(1),
            minimum_result_cardinality: 2,
            audience_cap_max: 5_000,
            selection: SelectionRule::Random,
        },
        deadlines: Deadlines {
            prepare_ms: 10,
            execute_ms: 10,
            aggregate_ms: 10,
            verify_ms: 10,
            challenge_ms: 10,
            review_ms: 10_000,
            lease_ms: 10,
        },
        epoch_ms: 1_000,
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
