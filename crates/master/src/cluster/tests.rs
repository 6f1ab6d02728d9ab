//! What a master endorses of a state, and what it does not: the second master of three sees the same state and is asked
//! by the first.

use std::collections::BTreeMap;

use symphony_protocol::admission::request::AdmissionRequest;
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
use symphony_protocol::governance::registry::{Registry, VerifierRecord};
use symphony_protocol::governance::semantics::Semantics;
use symphony_protocol::governance::stake::StakePolicy;
use symphony_protocol::lifecycle::{Stage, Task};
use symphony_protocol::machine::{Answer, Effect, Lease, State, Submission};
use symphony_protocol::settlement::payout::{EpochAccount, EpochStage, Settled, instructions};
use symphony_protocol::verification::bundles_root;
use symphony_tee::report::{
    AGGREGATE_STEP, AttestationReport, BootReport, PlatformClass, SignedBoot, platform_id,
};
use symphony_types::amount::{Bps, Sym};
use symphony_types::epsilon::Epsilon;
use symphony_types::id::*;
use symphony_types::key::{Master, PrivateKey, SoftwareEnclave, SoftwarePlatform, Vault};
use symphony_types::table::Table;
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::encode;

use super::*;
use crate::claim::{envelope, preparation};

mod hardware;
mod reconciliation;
mod rounds;
mod watching;

const NETWORK: &str = "test";

fn node(number: u8) -> NodeId {
    NodeId::new(&format!("master-{number}")).unwrap()
}

fn actor(name: &str) -> ActorId {
    ActorId::new(name).unwrap()
}

fn vault(name: &str) -> VaultId {
    VaultId::new(name).unwrap()
}

fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

/// The machine of a node.
fn platform(of: u8) -> PrivateKey<SoftwarePlatform> {
    PrivateKey::from_seed(&[of + 100; 32])
}

fn policy() -> Policy {
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

fn governance() -> Governance {
    let master = |number: u8| (node(number), PrivateKey::<Master>::from_seed(&[number; 32]).public());
    let registry = Registry {
        actors: BTreeMap::new(),
        vaults: BTreeMap::new(),
        aggregator: actor("aggregator"),
        verifier: VerifierRecord { actor: actor("verifier"), key: PrivateKey::from_seed(&[21; 32]).public() },
        masters: [master(1), master(2), master(3)].into(),
        gateway: PrivateKey::from_seed(&[22; 32]).public(),
        payout: PrivateKey::from_seed(&[23; 32]).public(),
        treasury: actor("treasury"),
        measurements: [(Measurement(digest(20)), EnclaveCode::founded(Purpose::Any))].into(),
        modules: [].into(),
        moves: [].into(),
        suspensions: [].into(),
        admissions: [].into(),
        exits: [].into(),
        platforms: (1..=9)
            .map(|of| platform(of).public())
            .map(|platform| (platform_id(&platform), Platform::founded(platform)))
            .collect(),
        council: BTreeMap::new(),
    };
    let meanings = Meanings::new(Semantics::founding(BTreeMap::new(), BTreeMap::new()));
    Governance {
        policies: [(PolicyVersion(1), policy())].into(),
        calendar: Calendar::new(PolicyVersion(1), policy().epoch_ms),
        registry,
        meanings,
        hardware: BTreeMap::new(),
        sequence: GovernanceSequence(0),
    }
}

fn query() -> ResolvedQuery {
    ResolvedQuery {
        who: Selection::record(vec![]),
        output: AttributeName::new("contact.handle").unwrap(),
        combined_privacy_class: PrivacyClass::Identifying,
        minimum_result_cardinality: 2,
        cap: 10,
        selection: SelectionRule::Random,
        evaluated_at: OrderedMillis(0),
    }
}

const VERSIONS: Versions = Versions {
    schema: SchemaVersion(1),
    semantic: SemanticVersion(1),
    policy: PolicyVersion(1),
    governance: GovernanceSequence(0),
};

fn admission() -> AdmissionRequest {
    let request = TaskRequest {
        request: RequestId::new("r").unwrap(),
        submitter: actor("brand"),
        scope: UsageScope::new("marketing").unwrap(),
        vaults: vec![vault("a"), vault("b")],
        quorum: 1,
        work: Work::Audience(AudienceQuery {
            who: Selection::Record(vec![]),
            output: AttributeName::new("contact.handle").unwrap(),
            cap: 10,
            rank_by: None,
            evaluate_at: None,
        }),
        recipient: vec![8; 32],
    };
    AdmissionRequest {
        lock: LockFact {
            lock: LockRef(digest(30)),
            owner: AccountId(digest(31)),
            purpose: request.lock_purpose(),
            amount: Sym(100),
            expires: OrderedMillis(9_000),
        },
        request,
        plan: Plan::Audience(query()),
        charge: PrivacyCharge { exposure: Epsilon(9), noised: Epsilon(1) },
        versions: VERSIONS,
        epoch: EpochId(0),
        vaults: vec![vault("a"), vault("b")],
        prepare_by: OrderedMillis(1_000),
        execute_by: OrderedMillis(2_000),
    }
}

fn task() -> TaskId {
    admission().request.task()
}

fn order() -> TaskEnvelope {
    let admission = admission();
    TaskEnvelope {
        task: task(),
        request: admission.request.request,
        submitter: actor("brand"),
        scope: admission.request.scope,
        versions: VERSIONS,
        epoch: EpochId(0),
        admitted_at: OrderedMillis(0),
        execute_by: OrderedMillis(2_000),
        budget_lock_ref: admission.lock.lock,
        locked: Sym(100),
        charge: admission.charge,
        reservations: vec![digest(1), digest(2)],
        plan: Plan::Audience(query()),
        coordination: CoordinationEnvelope {
            participating_vault_ids: vec![vault("a"), vault("b")],
            minimum_vault_quorum: 1,
            aggregation_method: AggregationMethod::Union,
            aggregator: actor("aggregator"),
            measurements: vec![Measurement(digest(20))],
            software_admitted: true,
        },
        recipient: vec![8; 32],
    }
}

/// A state in which the request is at this answer, and the task, when it is one, at this stage.
fn state(answer: Answer, stage: Option<Stage>) -> State {
    let mut state = State::genesis(governance());
    state.requests.insert(task(), Submission { fingerprint: digest(9), answer });
    if let Some(stage) = stage {
        let (receipts, absent, since) = (vec![], vec![], OrderedMillis(0));
        state.tasks.insert(
            task(),
            Task { envelope: order(), receipts, absent, stage, since, failures: BTreeMap::new() },
        );
    }
    state
}

fn refused() -> Answer {
    Answer::Refused { submitter: actor("brand"), code: Code::QuorumNotPrepared, at: OrderedMillis(1) }
}

fn leased(mut state: State, effect: Effect, runner: u8, attempt: u32) -> State {
    let lease = Lease { runner: node(runner), attempt, until: OrderedMillis(5_000) };
    state.leases.insert(effect, lease);
    state
}

fn accepted(attempt: u32) -> Stage {
    let header = SliceHeader {
        task: task(),
        vault: vault("a"),
        nonce: Digest::ZERO,
        attempt,
        epsilon: Epsilon(10),
        coverage: Bucket(1),
        records: Bucket(1),
        input_root: Digest::ZERO,
        bundle: Digest::ZERO,
        report: Digest::ZERO,
        ledger_head: Digest::ZERO,
    };
    let slices = vec![PrivateKey::<Vault>::from_seed(&[2; 32]).sign(header)];
    Stage::Aggregating { slices, aggregate_by: OrderedMillis(9_000) }
}

fn boot(of: u8, role: EnclaveRole, name: &str, measured: u8) -> SignedBoot {
    let class = PlatformClass::Software;
    let body = BootReport {
        class,
        role,
        chain: NETWORK.to_owned(),
        node: node(of),
        actor: actor(name),
        hpke_key: [3; 32],
        signing_key: PrivateKey::from_seed(&[6; 32]).public(),
        measurement: Measurement(digest(measured)),
        platform: platform_id(&platform(of).public()),
        engine: digest(21),
        nonce: digest(22),
        vendor: None,
        notice: class.notice().to_owned(),
    };
    platform(of).sign(body).into()
}

/// What the aggregator of a master made for vault a.
fn handed(of: u8, attempt: u32) -> Handed {
    Handed {
        review: false,
        task: task(),
        vault: vault("a"),
        attempt,
        aggregator_boot: encode(&boot(of, EnclaveRole::Aggregator, "aggregator", 20)),
        sealed_keys: vec![1, 2, 3],
    }
}

/// R025, R195: a Vault is asked for what the state asks for, while it asks.
#[test]
fn a_preparation_is_the_states_own() {
    let asking = state(Answer::Preparing(admission()), None);
    let of = |state: &State, name: &str| of_state(state, &Subject::Preparation(task(), vault(name)));
    let expected = admission().preparation(&vault("a"));
    assert_eq!(preparation(&asking, &task(), &vault("a")), Some(expected.clone()));
    assert_eq!(of(&asking, "a"), Some(expected.digest()));
    assert_eq!(of(&asking, "c"), None, "it is not asked");
    for other in [state(refused(), None), state(Answer::Admitted, Some(Stage::Computing))] {
        assert_eq!(of(&other, "a"), None);
    }
    assert_eq!(of(&State::genesis(governance()), "a"), None);
}

/// R017, R195: budget is freed only of a task that is dead.
#[test]
fn only_the_dead_are_released() {
    let of = |state: &State| of_state(state, &Subject::Release(task(), vault("a")));
    let release = Release { task: task(), vault: vault("a") }.digest();
    let closed = Stage::TimedOut { code: Code::StageTimeout, refunded: Sym(100) };
    assert_eq!(of(&state(refused(), None)), Some(release));
    assert_eq!(of(&state(Answer::Admitted, Some(closed))), Some(release));
    assert_eq!(of(&state(Answer::Preparing(admission()), None)), None);
    assert_eq!(of(&state(Answer::Admitted, Some(Stage::Computing))), None);
    assert_eq!(of(&state(Answer::Admitted, Some(accepted(0)))), None);
    assert_eq!(of(&State::genesis(governance())), None);
}

/// R021, R195: the order is the admitted one; an epoch is paid as it was issued, once.
#[test]
fn orders_and_payouts_are_the_states_own() {
    let mut running = state(Answer::Admitted, Some(Stage::Computing));
    assert_eq!(envelope(&running, &task()), Some(&order()));
    assert_eq!(of_state(&running, &Subject::Envelope(task())), Some(order().digest()));
    assert_eq!(of_state(&running, &Subject::Envelope(TaskId(digest(1)))), None);

    let payout = Subject::Payout(EpochId(3));
    assert_eq!(of_state(&running, &payout), None);
    let refunds = Table::new();
    let nothing = Settled {
        contexts: [].into_iter(),
        parses: [].into_iter(),
        refunds: &refunds,
        forfeits: &refunds,
        slashes: &Table::new(),
    };
    let set = instructions(EpochId(3), nothing, &Table::new(), &[]).unwrap();
    let expected = set.digest();
    let account = |stage| EpochAccount { stage, ..EpochAccount::default() };
    running.epochs.insert(EpochId(3), account(EpochStage::Closing));
    assert_eq!((of_state(&running, &payout), claim::closing(&running, &EpochId(3))), (None, true));
    running.epochs.insert(EpochId(3), account(EpochStage::Issued(set, vec![])));
    assert_eq!((of_state(&running, &payout), claim::closing(&running, &EpochId(3))), (Some(expected), false));
}

/// R105, R195, R196: the lease holder's assignment is endorsed for the attempt that the lease says; another master's, an
/// earlier or a later one is not, or not yet.
#[test]
fn an_assignment_is_the_lease_holders() {
    let computing =
        leased(state(Answer::Admitted, Some(Stage::Computing)), Effect::AssignSlices(task()), 1, 2);
    let judged = |state: &State, from: u8, handed: &Handed| assignment(NETWORK, state, &node(from), handed);
    let expected = handed(1, 2).assignment(&order());
    assert_eq!((expected.attempt, expected.sealed_keys.as_slice()), (2, &[1, 2, 3][..]));
    assert_eq!(judged(&computing, 1, &handed(1, 2)).unwrap(), expected.digest());
    for (from, attempt) in [(2, 2), (1, 1), (1, 3)] {
        let doubt = judged(&computing, from, &handed(from, attempt));
        assert!(matches!(doubt, Err(Doubt::Other(_))), "{from} {attempt}: {doubt:?}");
    }
    let unleased = state(Answer::Admitted, Some(Stage::Computing));
    assert!(matches!(judged(&unleased, 1, &handed(1, 0)), Err(Doubt::Other(_))));
    let elsewhere = Handed { vault: vault("c"), ..handed(1, 2) };
    assert!(matches!(judged(&computing, 1, &elsewhere), Err(Doubt::Wrong(Code::EnvelopeInvalid, _))));
}

/// R196: whoever takes over an aggregation counts on from the attempt that was accepted.
#[test]
fn a_taken_over_aggregation_is_a_later_attempt() {
    let aggregating =
        |attempt| leased(state(Answer::Admitted, Some(accepted(4))), Effect::Aggregate(task()), 2, attempt);
    let judged = |state: &State, attempt| assignment(NETWORK, state, &node(2), &handed(2, attempt)).is_ok();
    assert!(judged(&aggregating(0), 4), "the slices are its own; a lost bundle is asked for again");
    assert!(judged(&aggregating(1), 5) && !judged(&aggregating(1), 4));
    assert!(judged(&aggregating(3), 7));
    let verified = leased(state(Answer::Admitted, None), Effect::Verify(task()), 2, 0);
    assert!(!judged(&verified, 0));
}

/// R121, R128, R195: keys of an enclave that does not appraise, or of another master's, are nobody's to hand out.
#[test]
fn the_aggregators_enclave_must_appraise() {
    let computing =
        leased(state(Answer::Admitted, Some(Stage::Computing)), Effect::AssignSlices(task()), 1, 0);
    let aggregator = EnclaveRole::Aggregator;
    let wrong = [
        encode(&boot(1, EnclaveRole::Slice, "aggregator", 20)),
        encode(&boot(1, aggregator, "somebody", 20)),
        encode(&boot(1, aggregator, "aggregator", 19)),
        encode(&boot(2, aggregator, "aggregator", 20)),
        encode(&SignedBoot::from(
            PrivateKey::<SoftwarePlatform>::from_seed(&[4; 32])
                .sign(boot(1, aggregator, "aggregator", 20).body),
        )),
        vec![],
    ];
    for aggregator_boot in wrong {
        let handed = Handed { aggregator_boot, ..handed(1, 0) };
        let doubt = assignment(NETWORK, &computing, &node(1), &handed);
        assert!(matches!(doubt, Err(Doubt::Wrong(..))), "{doubt:?}");
    }
    assert!(assignment(NETWORK, &computing, &node(1), &handed(1, 0)).is_ok());
}

/// The aggregator's enclave of the test network, and another one.
fn enclave(seed: u8) -> PrivateKey<SoftwareEnclave> {
    PrivateKey::from_seed(&[seed; 32])
}

/// What an enclave of master 1 says that it made of the accepted slices, with its attestation.
fn aggregated(
    change: impl FnOnce(&mut AggregateHeader, &mut AttestationReport),
) -> (SignedAggregate, Attestation) {
    let Stage::Aggregating { slices, .. } = accepted(0) else { panic!("not aggregating") };
    let boot = boot(1, EnclaveRole::Aggregator, "aggregator", 20);
    let mut header = AggregateHeader {
        task: task(),
        aggregator: actor("aggregator"),
        inputs: slices.iter().map(|slice| (slice.body.vault.clone(), slice.body.bundle)).collect(),
        outcome: Outcome::Suppressed,
        result: digest(40),
        seed: digest(41),
        report: Digest::ZERO,
        helper: None,
    };
    let mut report = AttestationReport {
        class: PlatformClass::Software,
        boot: boot.body.digest(),
        actor: actor("aggregator"),
        signing_key: boot.body.signing_key,
        measurement: boot.body.measurement,
        platform: boot.body.platform,
        task: task(),
        step: AGGREGATE_STEP.to_owned(),
        nonce: aggregate::aggregate_nonce(&order()),
        module: None,
        input_root: bundles_root(slices.iter().map(|slice| slice.body.bundle)),
        output: header.result,
        schema: VERSIONS.schema,
        semantic: VERSIONS.semantic,
        policy: VERSIONS.policy,
        purged: true,
        memory_locked: false,
        notice: PlatformClass::Software.notice().to_owned(),
    };
    change(&mut header, &mut report);
    let report = encode(&enclave(6).sign(report));
    header.report = Digest::of_bytes(&report);
    (enclave(6).sign(header), Attestation { boot: encode(&boot), report })
}

/// R114, R125, R195: a master stands behind an aggregate that an approved enclave made of the slices that count, and
/// behind no other, whatever signature it carries.
#[test]
fn an_aggregate_is_endorsed_by_its_attestation() {
    let aggregating = state(Answer::Admitted, Some(accepted(0)));
    let judged = |state: &State, (aggregate, attestation): &(SignedAggregate, Attestation)| {
        appraised(NETWORK, state, aggregate, attestation)
    };
    let good = aggregated(|_, _| {});
    let expected = AttestedAggregate { aggregate: good.0.clone() };
    assert_eq!(judged(&aggregating, &good).unwrap(), expected);
    // Not yet, or not any more.
    assert!(matches!(judged(&state(Answer::Admitted, Some(Stage::Computing)), &good), Err(Doubt::Other(_))));
    let inputs = aggregated(|header, _| header.inputs[0].1 = digest(1));
    assert!(matches!(judged(&aggregating, &inputs), Err(Doubt::Other(_))), "slices that it does not see");
    let unseen = (good.0.clone(), Attestation { boot: vec![], report: vec![] });
    assert!(matches!(judged(&aggregating, &unseen), Err(Doubt::Other(_))), "it may come");
    // Never.
    let forged = (enclave(7).sign(good.0.body.clone()), good.1.clone());
    for (name, wrong) in [
        ("another key signed it", forged),
        ("another output", aggregated(|header, _| header.result = digest(42))),
        ("another task's report", aggregated(|_, report| report.task = TaskId(digest(43)))),
        ("above the cap", aggregated(|header, _| header.outcome = Outcome::Audience { returned: 11 })),
        ("another aggregator", aggregated(|header, _| header.aggregator = actor("brand"))),
        ("inputs kept", aggregated(|_, report| report.purged = false)),
    ] {
        assert!(matches!(judged(&aggregating, &wrong), Err(Doubt::Wrong(..))), "{name}");
    }
}

/// R201: a gateway does not reach what is for masters, and a master not what is for the gateway.
#[test]
fn each_service_is_for_its_own_callers() {
    let request = |role: Option<NodeRole>| {
        let mut request = Request::new(());
        if let Some(role) = role {
            request.extensions_mut().insert(Peer { role, node: node(1) });
        }
        request
    };
    assert!(only(NodeRole::Master)(request(Some(NodeRole::Master))).is_ok());
    assert!(only(NodeRole::Gateway)(request(Some(NodeRole::Gateway))).is_ok());
    for (role, caller) in [
        (NodeRole::Master, Some(NodeRole::Gateway)),
        (NodeRole::Gateway, Some(NodeRole::Master)),
        (NodeRole::Master, Some(NodeRole::Enterprise)),
        (NodeRole::Master, None),
    ] {
        assert!(only(role)(request(caller)).is_err(), "{role:?} {caller:?}");
    }
    assert!(asking(&request(Some(NodeRole::Gateway))).is_err());
    assert_eq!(asking(&request(Some(NodeRole::Master))).unwrap(), node(1));
}

/// R194, R195: a master endorses the head of the log that its own state has, and no standing by itself.
#[test]
fn the_head_of_the_log_is_the_states_own() {
    let state = State::genesis(governance());
    let own = state.proposals.log.head();
    assert_eq!(of_state(&state, &Subject::LogHead), Some(own.digest()));
    assert_eq!(of_state(&state, &Subject::Standing(digest(1))), None);
    let mut other = governance();
    other.registry.council.insert(actor("council-1"), PrivateKey::from_seed(&[24; 32]).public());
    let other = State::genesis(other);
    assert_ne!(of_state(&other, &Subject::LogHead), Some(own.digest()), "of another network");
}
