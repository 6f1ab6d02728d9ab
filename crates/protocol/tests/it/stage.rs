//! What governs the test world: policy, registry and meaning of one campaign, and the keys behind it.

use std::collections::BTreeMap;

use symphony_protocol::artifact::selection::Selection;
use symphony_protocol::artifact::training::Environment;
use symphony_protocol::artifact::*;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::approval::{EnclaveCode, Platform, Purpose};
use symphony_protocol::governance::epoch::Calendar;
use symphony_protocol::governance::meaning::Meanings;
use symphony_protocol::governance::policy::{
    ChallengePolicy, ComputePolicy, Deadlines, ParsePolicy, Penalties, Policy, Privacy, ProposalPolicy,
    QueryFees, Shares, TrainPolicy,
};
use symphony_protocol::governance::registry::{Actor, Registry, Role, VaultRecord, VerifierRecord};
use symphony_protocol::governance::semantics::*;
use symphony_protocol::governance::stake::StakePolicy;
use symphony_types::amount::{Bps, SYM_UNIT, Sym};
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::*;
use symphony_types::key::{
    Document, Endorsed, Gateway, Governance as CouncilKey, KeyClass, Master, Payout, PrivateKey, PublicKey,
    SoftwareEnclave, SoftwarePlatform, Vault, Verifier,
};
use symphony_types::time::{DAY_MS, OrderedMillis};

/// When the world begins: on the first moment of an epoch.
pub(crate) const START: OrderedMillis = OrderedMillis(1_800_000_000_000);
/// Length of an epoch.
pub(crate) const EPOCH_MS: u64 = 3_600_000;
/// How long a master may stay silent.
pub(crate) const LEASE_MS: u64 = 1_000;
/// Members of the council.
pub(crate) const COUNCIL: usize = 5;
/// How long votes count: far longer than a task takes.
pub(crate) const VOTING_MS: u64 = 100_000;
/// From acceptance to enactment.
pub(crate) const TIMELOCK_MS: u64 = 20_000;
/// The company that runs the campaign.
pub(crate) const SUBMITTER: &str = "luckin";

pub(crate) fn actor(name: &str) -> ActorId {
    ActorId::new(name).unwrap()
}

pub(crate) fn vault(name: &str) -> VaultId {
    VaultId::new(name).unwrap()
}

pub(crate) fn attribute(name: &str) -> AttributeName {
    AttributeName::new(name).unwrap()
}

pub(crate) fn scope(name: &str) -> UsageScope {
    UsageScope::new(name).unwrap()
}

/// The key of a class whose secret is a name.
pub(crate) fn key<C: KeyClass>(name: &str) -> PrivateKey<C> {
    PrivateKey::from_seed(&Digest::of_bytes(name.as_bytes()).0)
}

pub(crate) fn account(name: &str) -> AccountId {
    AccountId(Digest::of("test/account", name))
}

/// The three Vaults.
pub(crate) const VAULTS: [&str; 3] = ["vault-a", "vault-b", "vault-c"];

/// A policy with shares 45 / 20 / 14 / 6 / 7.5 / 7.5 percent.
pub(crate) fn policy() -> Policy {
    Policy {
        fees: QueryFees {
            base: Sym(10 * SYM_UNIT),
            per_vault: Sym(2 * SYM_UNIT),
            per_record: Sym(SYM_UNIT / 100),
            per_epsilon: Sym(SYM_UNIT),
        },
        shares: Shares {
            contributors: Bps(4_500),
            operators: Bps(2_000),
            executors: Bps(1_400),
            aggregators: Bps(600),
            verifiers: Bps(750),
            treasury: Bps(750),
        },
        train: train_policy(),
        compute: compute_policy(),
        parse: ParsePolicy {
            operator: Sym(50),
            executor: Sym(30),
            verifier: Sym(20),
            per_vault_epoch: 3,
            reward: Sym(1_000),
            score_min: Bps(5_000),
            completeness: Bps(4_000),
            checks: Bps(3_000),
            confidence: Bps(3_000),
        },
        privacy: Privacy {
            scope_limits: [(scope("marketing"), Epsilon(2_000_000)), (scope("training"), Epsilon(4_000_000))]
                .into(),
            subject_cap: Epsilon(5_000_000),
            exposure_charge: Epsilon(100_000),
            count_epsilon: Epsilon(10_000),
            minimum_result_cardinality: 50,
            audience_cap_max: 10_000,
            selection: SelectionRule::RecencyWeighted,
        },
        deadlines: Deadlines {
            prepare_ms: 2_000,
            execute_ms: 60_000,
            aggregate_ms: 30_000,
            verify_ms: 30_000,
            challenge_ms: 10_000,
            review_ms: 20_000,
            lease_ms: LEASE_MS,
        },
        epoch_ms: EPOCH_MS,
        dividend_payees_min: 20,
        unstaked: Bps(5_000),
        producer_stake_min: Sym(100 * SYM_UNIT),
        node_pay: Sym(7),
        software_admitted: true,
        proposals: ProposalPolicy {
            quorum: Bps(6_000),
            majority: Bps(6_000),
            voting_ms: VOTING_MS,
            timelock_ms: TIMELOCK_MS,
            open_max: 4,
        },
        challenges: ChallengePolicy {
            bond: BOND,
            penalties: Penalties {
                invalid_result: Sym(500 * SYM_UNIT),
                invalid_attestation: Sym(900 * SYM_UNIT),
                consent_or_budget: Sym(700 * SYM_UNIT),
            },
        },
        candidates: None,
        stakes: StakePolicy::NONE,
    }
}

fn compute_policy() -> ComputePolicy {
    ComputePolicy {
        base: Sym(5 * SYM_UNIT),
        per_vault: Sym(SYM_UNIT),
        per_giga_fuel: Sym(SYM_UNIT / 10),
        per_million_records: Sym(SYM_UNIT / 2),
        per_epsilon: Sym(2 * SYM_UNIT),
        fuel_max: 10_000_000_000,
        epsilon_max: Epsilon(1_000_000),
        minimum_cohort: 50,
    }
}

fn train_policy() -> TrainPolicy {
    TrainPolicy {
        scopes: [scope("training")].into(),
        base: Sym(20 * SYM_UNIT),
        per_vault_round: Sym(SYM_UNIT / 10),
        per_round: Sym(SYM_UNIT / 5),
        per_epsilon: Sym(2 * SYM_UNIT),
        rounds_max: 1_000,
        noise_min: 500,
        delta_max: 10_000_000,
        minimum_cohort: 50,
        environment: Environment::Tee,
        round_ms: 5_000,
    }
}

/// The calendar of the network, as it was founded.
pub(crate) fn calendar() -> Calendar {
    Calendar::new(PolicyVersion(1), EPOCH_MS)
}

pub(crate) fn governance() -> Governance {
    let active = PolicyVersion(1);
    let governance = Governance {
        policies: [(active, policy())].into(),
        calendar: calendar(),
        registry: registry(),
        meanings: Meanings::new(semantics()),
        hardware: BTreeMap::new(),
        sequence: GovernanceSequence(0),
    };
    assert_eq!(governance.check(), Ok(()));
    governance
}

fn registry() -> Registry {
    let member = |name: &str, roles: &[Role], scopes: &[&str], suspended: bool| {
        let roles = roles.iter().copied().collect();
        let scopes = scopes.iter().map(|name| scope(name)).collect();
        (actor(name), Actor { account: account(name), roles, scopes, suspended })
    };
    let submits = [Role::TaskSubmitter];
    let mut actors = vec![
        member(SUBMITTER, &submits, &["marketing"], false),
        member("trainer", &submits, &["training"], false),
        member("banned", &submits, &["marketing"], true),
        member("mute", &[], &["marketing"], false),
        member("aggregator", &[Role::Aggregator, Role::TaskSubmitter], &["marketing"], false),
        member("verifier", &[Role::Verifier], &[], false),
        member("treasury", &[Role::TreasuryAuthority], &[], false),
        member("operator-s", &[Role::VaultOperator, Role::Executor], &[], true),
    ];
    let mut vaults = vec![];
    for (name, letter) in VAULTS.into_iter().zip(["a", "b", "c"]).chain([("vault-s", "s")]) {
        let (operator, executor) = (format!("operator-{letter}"), format!("executor-{letter}"));
        if letter != "s" {
            actors.push(member(&operator, &[Role::VaultOperator], &[], false));
        }
        actors.push(member(&executor, &[Role::Executor], &[], false));
        vaults.push((
            vault(name),
            VaultRecord {
                operator: actor(&operator),
                executor: actor(&executor),
                key: key::<Vault>(name).public(),
                sealing_key: vec![1; 32],
            },
        ));
    }
    Registry {
        actors: actors.into_iter().collect(),
        vaults: vaults.into_iter().collect(),
        aggregator: actor("aggregator"),
        verifier: VerifierRecord { actor: actor("verifier"), key: key::<Verifier>("verifier").public() },
        masters: masters(1),
        gateway: key::<Gateway>("gateway").public(),
        payout: key::<Payout>("payout").public(),
        treasury: actor("treasury"),
        measurements: [(code("enclave"), EnclaveCode::founded(Purpose::Any))].into(),
        modules: [].into(),
        moves: [].into(),
        suspensions: [].into(),
        admissions: [].into(),
        exits: [].into(),
        platforms: [platform("platform")].map(|key| (key.platform(), Platform::founded(key))).into(),
        council: council(),
    }
}

fn council() -> BTreeMap<ActorId, PublicKey<CouncilKey>> {
    (1..=COUNCIL).map(|number| (member(number), council_key(number).public())).collect()
}

/// Enclave code by a name.
pub(crate) fn code(name: &str) -> Measurement {
    Measurement(Digest::of_bytes(name.as_bytes()))
}

/// The key of a machine that hosts enclaves.
pub(crate) fn platform(name: &str) -> PublicKey<SoftwarePlatform> {
    key::<SoftwarePlatform>(name).public()
}

/// A member of the council, by number.
pub(crate) fn member(number: usize) -> ActorId {
    actor(&format!("council-{number}"))
}

/// Its key.
pub(crate) fn council_key(number: usize) -> PrivateKey<CouncilKey> {
    key(&format!("council-{number}"))
}

/// So many masters by node, with their keys.
pub(crate) fn masters(count: usize) -> BTreeMap<NodeId, PublicKey<Master>> {
    let named = (1..=count).map(|number| format!("master-{number}"));
    named.map(|name| (NodeId::new(&name).unwrap(), key::<Master>(&name).public())).collect()
}

/// A document with the word of a majority of the registered masters.
pub(crate) fn endorsed<T: Document>(registry: &Registry, body: T) -> Endorsed<T, Master> {
    let digest = body.digest();
    let willing = registry.masters.keys().take(registry.master_quorum());
    let endorsements = willing.map(|master| key::<Master>(master.as_str()).endorse(&digest)).collect();
    Endorsed { body, endorsements }
}

/// The key that enclaves of the test world sign with.
pub(crate) fn enclave() -> PrivateKey<SoftwareEnclave> {
    key("enclave")
}

fn semantics() -> Semantics {
    use AttributeLifecycle::{Active, Deprecated};
    use CrossDomainPolicy::{Allowed, Denied};
    use PrivacyClass::{Identifying, Low, Sensitive};
    use Queryability::{DeliverableOnly, DerivedOnly, DirectlyQueryable, LocalOnly};
    use RuleKind::{Count, Equality, Range, SetMembership, Sum, Threshold};
    use ValueType::{Cents, Text, Time};
    let attributes = [
        ("commerce.brand", Text, Low, DirectlyQueryable, Active),
        ("commerce.category", Text, Low, DirectlyQueryable, Active),
        ("commerce.purchase_date", Time, Sensitive, DerivedOnly, Active),
        ("commerce.amount", Cents, Sensitive, DerivedOnly, Active),
        ("commerce.payment", Text, Low, DirectlyQueryable, Active),
        ("commerce.loyalty", Text, Low, DirectlyQueryable, Deprecated),
        ("geography.city", Text, Low, DirectlyQueryable, Active),
        ("geography.district", Text, Sensitive, DerivedOnly, Active),
        ("health.diagnosis", Text, Identifying, LocalOnly, Active),
        ("identity.contact_handle", Text, Identifying, DeliverableOnly, Active),
        ("identity.fax_number", Text, Identifying, DeliverableOnly, Deprecated),
    ];
    let rules = [
        ("commerce.brand_purchase", "commerce.brand", Equality, Allowed),
        ("commerce.category_purchase", "commerce.category", SetMembership, Allowed),
        ("commerce.purchase_recency", "commerce.purchase_date", Threshold, Allowed),
        ("commerce.amount_at_least", "commerce.amount", Threshold, Allowed),
        ("commerce.amount_range", "commerce.amount", Range, Allowed),
        ("commerce.amount_sum", "commerce.amount", Sum, Allowed),
        ("commerce.purchase_count", "commerce.purchase_date", Count, Allowed),
        ("commerce.purchase_range", "commerce.purchase_date", Range, Allowed),
        ("commerce.payment_method", "commerce.payment", Equality, Denied),
        ("commerce.loyalty_tier", "commerce.loyalty", Equality, Allowed),
        ("geography.city_eligibility", "geography.city", Equality, Allowed),
        ("geography.district_equals", "geography.district", Equality, Allowed),
        ("health.diagnosis_equals", "health.diagnosis", Equality, Allowed),
        ("identity.handle_equals", "identity.contact_handle", Equality, Allowed),
    ];
    let attributes = attributes.map(|(name, value, privacy_class, queryability, lifecycle)| {
        let domain = DomainName::new(name.split('.').next().unwrap()).unwrap();
        (attribute(name), Attribute { domain, value, privacy_class, queryability, lifecycle })
    });
    let rules = rules.map(|(name, read, kind, cross_domain_policy)| {
        (RuleName::new(name).unwrap(), Rule { attribute: attribute(read), kind, cross_domain_policy })
    });
    Semantics::founding(attributes.into(), rules.into())
}

pub(crate) fn operand(rule: &str, argument: Argument) -> Operand {
    Operand { rule: RuleName::new(rule).unwrap(), argument }
}

/// The campaign: buyers of a brand in one city within thirty days, at most 5,000 of them, from three Vaults of
/// which two must answer.
pub(crate) fn campaign(request: &str) -> TaskRequest {
    TaskRequest {
        request: RequestId::new(request).unwrap(),
        submitter: actor(SUBMITTER),
        scope: scope("marketing"),
        vaults: ["vault-c", "vault-a", "vault-b"].map(vault).into(),
        quorum: 2,
        work: Work::Audience(AudienceQuery {
            who: Selection::Record(vec![
                operand("commerce.brand_purchase", Argument::Text("  Luckin   COFFEE ".into())),
                operand("geography.city_eligibility", Argument::Text("Shanghai".into())),
                operand("commerce.purchase_recency", Argument::Days(30)),
            ]),
            output: attribute("identity.contact_handle"),
            cap: 5_000,
            rank_by: None,
            evaluate_at: None,
        }),
        recipient: vec![9; 32],
    }
}

/// A lock that serves the request, of that amount.
pub(crate) fn lock(request: &TaskRequest, amount: Sym) -> LockFact {
    LockFact {
        lock: LockRef(Digest::of("test/lock", &request.request)),
        owner: account(request.submitter.as_str()),
        purpose: request.lock_purpose(),
        amount,
        expires: START.plus(30 * DAY_MS),
    }
}

/// What a challenge locks.
pub(crate) const BOND: Sym = Sym(30 * SYM_UNIT);

/// More than any campaign of the world costs.
pub(crate) const PLENTY: Sym = Sym(1_000 * SYM_UNIT);

/// The query that a request asks for.
pub(crate) fn asked(request: &mut TaskRequest) -> &mut AudienceQuery {
    match &mut request.work {
        Work::Audience(query) => query,
        Work::Training(_) | Work::Compute(_) | Work::Statistic(_) => panic!("the request is for no audience"),
    }
}

/// The operands of a request for whom one record qualifies.
pub(crate) fn operands(request: &mut TaskRequest) -> &mut Vec<Operand> {
    match &mut asked(request).who {
        Selection::Record(operands) => operands,
        Selection::All(_) | Selection::Any(_) | Selection::Not(_) => panic!("the request has a tree"),
    }
}

/// The query that a plan has.
pub(crate) fn query(plan: &mut Plan) -> &mut ResolvedQuery {
    match plan {
        Plan::Audience(query) => query,
        Plan::Training(_) | Plan::Compute(_) | Plan::Statistic(_) => panic!("the plan is for no audience"),
    }
}
