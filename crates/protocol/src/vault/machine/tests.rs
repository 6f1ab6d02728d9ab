//! The transition table as it is, and the invariants of the ledger over random histories.

use alloc::format;
use alloc::string::String;

use proptest::prelude::*;
use symphony_types::amount::{Bps, Sym};
use symphony_types::canonical;
use symphony_types::id::{
    ActorId, GovernanceSequence, LockRef, NodeId, RequestId, SchemaVersion, SemanticVersion,
};
use symphony_types::key::PrivateKey;

use super::*;
use crate::artifact::selection::Selection;
use crate::artifact::*;
use crate::governance::epoch::Calendar;
use crate::governance::policy::{
    ChallengePolicy, ComputePolicy, Deadlines, ParsePolicy, Privacy, ProposalPolicy, QueryFees, Shares,
    TrainPolicy,
};
use crate::governance::stake::StakePolicy;
use crate::vault::consent::{Standing, Statement};

mod erasure;
mod moving;
mod training;

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
            scope_limits: [(scope("marketing"), Epsilon(30)), (scope("training"), Epsilon(20))].into(),
            subject_cap: Epsilon(40),
            exposure_charge: Epsilon(8),
            count_epsilon: Epsilon(2),
            minimum_result_cardinality: 2,
            audience_cap_max: 5_000,
            selection: SelectionRule::Random,
        },
        deadlines: Deadlines {
            prepare_ms: 1,
            execute_ms: 1,
            aggregate_ms: 1,
            verify_ms: 1,
            challenge_ms: 1,
            review_ms: 1,
            lease_ms: 1,
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

fn scope(name: &str) -> UsageScope {
    UsageScope::new(name).unwrap()
}

fn vault() -> VaultId {
    VaultId::new("north").unwrap()
}

fn master() -> PrivateKey<Master> {
    PrivateKey::from_seed(&[7; 32])
}

fn node(number: u8) -> NodeId {
    NodeId::new(&format!("master-{number}")).unwrap()
}

fn start() -> State {
    State::new(Charter {
        vault: vault(),
        masters: [(node(1), master().public())].into(),
        vaults: ["north", "south"]
            .map(|name| (VaultId::new(name).unwrap(), moving::key(name).public()))
            .into(),
        policies: [(PolicyVersion(1), policy())].into(),
        calendar: Calendar::new(PolicyVersion(1), policy().epoch_ms),
    })
}

fn task(name: u8) -> TaskId {
    TaskId(Digest([name; 32]))
}

fn prepare_of(name: u8, scope_name: &str, epsilon: u64, deadline: u64) -> Command {
    let body = Preparation {
        task: task(name),
        vault: vault(),
        scope: scope(scope_name),
        epsilon: Epsilon(epsilon),
        policy: PolicyVersion(1),
        attributes: vec![],
        deadline: OrderedMillis(deadline),
    };
    Command::PrepareTask { preparation: master().endorsed(body) }
}

fn assignment_of(name: u8, scope_name: &str, epsilon: u64) -> Assignment {
    let envelope = TaskEnvelope {
        task: task(name),
        request: RequestId::new("r").unwrap(),
        submitter: ActorId::new("brand").unwrap(),
        scope: scope(scope_name),
        versions: Versions {
            schema: SchemaVersion(1),
            semantic: SemanticVersion(1),
            policy: PolicyVersion(1),
            governance: GovernanceSequence(0),
        },
        epoch: EpochId(0),
        admitted_at: OrderedMillis(0),
        execute_by: OrderedMillis(1_000_000),
        budget_lock_ref: LockRef(Digest::ZERO),
        locked: Sym(1),
        charge: PrivacyCharge { exposure: Epsilon(epsilon), noised: Epsilon(0) },
        reservations: vec![Digest::ZERO],
        plan: Plan::Audience(ResolvedQuery {
            who: Selection::record(vec![]),
            output: symphony_types::id::AttributeName::new("contact.handle").unwrap(),
            combined_privacy_class: PrivacyClass::Identifying,
            minimum_result_cardinality: 2,
            cap: 10,
            selection: SelectionRule::Random,
            evaluated_at: OrderedMillis(0),
        }),
        coordination: CoordinationEnvelope {
            participating_vault_ids: vec![vault()],
            minimum_vault_quorum: 1,
            aggregation_method: AggregationMethod::Union,
            aggregator: ActorId::new("aggregator").unwrap(),
            measurements: vec![],
            software_admitted: true,
        },
        recipient: vec![0; 32],
    };
    Assignment {
        envelope,
        vault: vault(),
        nonce: Digest::ZERO,
        attempt: 0,
        review: false,
        aggregator_boot: vec![],
        sealed_keys: vec![],
    }
}

fn commit_of(name: u8, scope_name: &str, epsilon: u64) -> Command {
    Command::CommitTask { assignment: Box::new(master().endorsed(assignment_of(name, scope_name, epsilon))) }
}

fn attempt_of(name: u8, attempt: u32, sealed_keys: &[u8]) -> Command {
    let order =
        Assignment { attempt, sealed_keys: sealed_keys.to_vec(), ..assignment_of(name, "marketing", 10) };
    Command::CommitTask { assignment: Box::new(master().endorsed(order)) }
}

fn release_of(name: u8) -> Command {
    Command::ReleaseTask { release: master().endorsed(Release { task: task(name), vault: vault() }) }
}

fn keys(range: core::ops::Range<u8>) -> Command {
    Command::EnrolSubjects { keys: range.map(|byte| SubjectKey(Digest([byte; 32]))).collect() }
}

fn records(subjects: core::ops::Range<u32>) -> Command {
    let subjects: Vec<_> = subjects.map(SubjectIndex).collect();
    Command::AppendRecords { count: subjects.len() as u32, root: Digest::ZERO, subjects }
}

fn say(subject: u32, scope_name: &str, statement: Statement) -> Command {
    let change = ConsentChange { subject: SubjectIndex(subject), scope: scope(scope_name), statement };
    Command::RecordConsents { changes: vec![change] }
}

const YES: Statement = Statement::Granted { expires: None };

fn apply(state: &mut State, at: u64, command: &Command) -> Result<Vec<Event>, Code> {
    let events = decide(state, OrderedMillis(at), command)?;
    for event in &events {
        evolve(state, OrderedMillis(at), event);
    }
    Ok(events)
}

/// Three people with records who allow marketing.
fn populated() -> State {
    let mut state = start();
    apply(&mut state, 1, &keys(0..3)).unwrap();
    apply(&mut state, 1, &records(0..3)).unwrap();
    for subject in 0..3 {
        apply(&mut state, 1, &say(subject, "marketing", YES)).unwrap();
    }
    state
}

fn reserved_of(state: &State, name: u8) -> Vec<u32> {
    state.ledger.entry(&task(name)).unwrap().reserved.set().iter().map(|index| index.0).collect()
}

fn committed_of(state: &State, name: u8) -> Vec<u32> {
    match &state.ledger.entry(&task(name)).unwrap().state {
        EntryState::Committed { members, .. } => members.set().iter().map(|index| index.0).collect(),
        other => panic!("not committed: {other:?}"),
    }
}

/// R078, R080: the first records to arrive end once, whoever has no others is asked for nothing any more, and gets records again; what
/// never arrived, people who are not there, and what is on its way to another Vault do not end.
#[test]
fn the_first_records_end_once() {
    let mut state = populated();
    apply(&mut state, 2, &records(1..3)).unwrap();
    let end = |through, subjects: &[u32]| Command::EndRecords {
        through,
        subjects: subjects.iter().copied().map(SubjectIndex).collect(),
    };
    let before = symphony_types::canonical::to_bytes(&state);
    for refused in [end(6, &[0]), end(3, &[3])] {
        assert_eq!(apply(&mut state, 3, &refused), Err(Code::Malformed));
    }
    state.moves.out = Some(super::moving::Outbound {
        proposal: Digest::ZERO,
        to: VaultId::new("south").unwrap(),
        at: super::moving::Cursor::START,
        tally: crate::vault::moving::Tally::default(),
        pending: None,
        ended: false,
    });
    assert_eq!(apply(&mut state, 3, &end(3, &[0])), Err(Code::VaultMoving));
    state.moves.out = None;
    assert_eq!(symphony_types::canonical::to_bytes(&state), before);
    assert_eq!(apply(&mut state, 4, &end(3, &[0])).unwrap().len(), 1);
    let holdings = &state.holdings;
    assert_eq!((holdings.count(), holdings.kept(), holdings.ended()), (5, 2, 3));
    assert_eq!(holdings.ended_at(), Some(OrderedMillis(4)));
    assert_eq!([0, 1, 2].map(|person| holdings.holds(SubjectIndex(person))), [false, true, true]);
    assert_ne!(symphony_types::canonical::to_bytes(&state), before);
    for again in [end(3, &[0, 1]), end(2, &[1])] {
        assert_eq!(apply(&mut state, 5, &again), Ok(vec![]));
    }
    apply(&mut state, 6, &prepare_of(1, "marketing", 3, 100)).unwrap();
    assert_eq!(reserved_of(&state, 1), [1, 2]);
    apply(&mut state, 7, &records(0..1)).unwrap();
    assert!(state.holdings.holds(SubjectIndex(0)));
}

/// R064, R066
#[test]
fn every_transition_of_a_ledger_entry_is_as_printed() {
    let history: [(&str, &[(u64, Command)]); 5] = [
        ("none", &[]),
        ("reserved", &[(2, prepare_of(1, "marketing", 10, 50))]),
        ("committed", &[(2, prepare_of(1, "marketing", 10, 50)), (3, commit_of(1, "marketing", 10))]),
        ("released", &[(2, prepare_of(1, "marketing", 10, 50)), (3, release_of(1))]),
        ("expired", &[(2, prepare_of(1, "marketing", 10, 50)), (50, Command::ExpireReservations)]),
    ];
    let columns: [(&str, u64, Command); 9] = [
        ("prepare", 49, prepare_of(1, "marketing", 10, 50)),
        ("prepare late", 50, prepare_of(1, "marketing", 10, 50)),
        ("prepare other", 49, prepare_of(1, "marketing", 9, 50)),
        ("commit", 49, commit_of(1, "marketing", 10)),
        ("commit late", 50, commit_of(1, "marketing", 10)),
        ("commit other", 49, commit_of(1, "marketing", 9)),
        ("commit again", 49, attempt_of(1, 1, b"again")),
        ("release", 49, release_of(1)),
        ("expire late", 50, Command::ExpireReservations),
    ];
    let mut table = String::new();
    for (name, steps) in history {
        for (column, at, command) in &columns {
            let mut state = populated();
            for (step_at, step) in steps {
                apply(&mut state, *step_at, step).unwrap();
            }
            let outcome = match apply(&mut state, *at, command) {
                Err(code) => format!("refused {code}"),
                Ok(events) => match events.first() {
                    None => "nothing".into(),
                    Some(event) => format!("{event:?}").split(' ').next().unwrap_or_default().into(),
                },
            };
            table += format!("{name:<10} {column:<14} {outcome}\n").as_str();
        }
    }
    insta::assert_snapshot!(table, @r"
    none       prepare        BudgetReserved
    none       prepare late   refused VLT-0004
    none       prepare other  BudgetReserved
    none       commit         refused VLT-0003
    none       commit late    refused VLT-0003
    none       commit other   refused VLT-0003
    none       commit again   refused VLT-0003
    none       release        nothing
    none       expire late    nothing
    reserved   prepare        nothing
    reserved   prepare late   refused VLT-0004
    reserved   prepare other  refused ADM-0005
    reserved   commit         BudgetCommitted
    reserved   commit late    refused VLT-0004
    reserved   commit other   refused EXE-0006
    reserved   commit again   BudgetCommitted
    reserved   release        BudgetReleased
    reserved   expire late    BudgetExpired
    committed  prepare        nothing
    committed  prepare late   nothing
    committed  prepare other  refused ADM-0005
    committed  commit         nothing
    committed  commit late    nothing
    committed  commit other   refused ADM-0005
    committed  commit again   TaskAssignedAgain
    committed  release        refused EXE-0007
    committed  expire late    nothing
    released   prepare        refused VLT-0004
    released   prepare late   refused VLT-0004
    released   prepare other  refused ADM-0005
    released   commit         refused VLT-0004
    released   commit late    refused VLT-0004
    released   commit other   refused VLT-0004
    released   commit again   refused VLT-0004
    released   release        nothing
    released   expire late    nothing
    expired    prepare        refused VLT-0004
    expired    prepare late   refused VLT-0004
    expired    prepare other  refused ADM-0005
    expired    commit         refused VLT-0004
    expired    commit late    refused VLT-0004
    expired    commit other   refused VLT-0004
    expired    commit again   refused VLT-0004
    expired    release        nothing
    expired    expire late    nothing
    ");
}

/// R057, R059
#[test]
fn consent_that_ended_after_the_reservation_excludes_the_person() {
    let mut state = populated();
    let until = Statement::Granted { expires: Some(OrderedMillis(20)) };
    apply(&mut state, 2, &say(1, "marketing", until)).unwrap();
    apply(&mut state, 3, &prepare_of(1, "marketing", 10, 50)).unwrap();
    assert_eq!(reserved_of(&state, 1), [0, 1, 2]);
    apply(&mut state, 4, &say(0, "marketing", Statement::Withdrawn)).unwrap();
    apply(&mut state, 20, &commit_of(1, "marketing", 10)).unwrap();
    assert_eq!(committed_of(&state, 1), [2]);
    for (subject, committed) in [(0, 0), (1, 0), (2, 10)] {
        let balance = state.ledger.in_total(SubjectIndex(subject));
        assert_eq!((balance.reserved, balance.committed), (Epsilon(0), Epsilon(committed)));
    }
    let kinds = |subject| -> Vec<_> {
        let lines = state.ledger.movements(&scope("marketing"), SubjectIndex(subject));
        lines.iter().map(|line| format!("{:?}", line.kind)).collect()
    };
    assert_eq!(kinds(0), ["Reserve", "Release"]);
    assert_eq!(kinds(2), ["Reserve", "Commit"]);
}

/// R060
#[test]
fn consent_for_one_scope_is_none_for_another() {
    let mut state = populated();
    apply(&mut state, 2, &prepare_of(1, "training", 1, 50)).unwrap();
    assert!(reserved_of(&state, 1).is_empty());
    assert_eq!(state.coverage(&scope("training"), OrderedMillis(2)), Bucket(0));
    assert_eq!(state.coverage(&scope("marketing"), OrderedMillis(2)), Bucket(2));
}

/// R067, R073
#[test]
fn the_exhausted_are_left_out_by_scope_limit_and_by_cap() {
    let mut state = populated();
    apply(&mut state, 2, &say(2, "training", YES)).unwrap();
    apply(&mut state, 2, &prepare_of(1, "training", 20, 50)).unwrap();
    apply(&mut state, 2, &prepare_of(2, "marketing", 20, 50)).unwrap();
    assert_eq!(reserved_of(&state, 2), [0, 1, 2]);
    // 20 of 30 are held in the scope, and of the last person all 40 of the cap.
    apply(&mut state, 2, &prepare_of(3, "marketing", 10, 50)).unwrap();
    assert_eq!(reserved_of(&state, 3), [0, 1]);
    apply(&mut state, 2, &prepare_of(4, "marketing", 1, 50)).unwrap();
    assert!(reserved_of(&state, 4).is_empty());
}

/// R105, R111
#[test]
fn documents_of_strangers_and_for_others_are_refused() {
    let mut state = populated();
    let stranger = PrivateKey::<Master>::from_seed(&[9; 32]);
    let Command::PrepareTask { preparation } = prepare_of(1, "marketing", 10, 50) else { unreachable!() };
    let mut body = preparation.body;
    let foreign = Command::PrepareTask { preparation: stranger.endorsed(body.clone()) };
    assert_eq!(apply(&mut state, 2, &foreign), Err(Code::Forbidden));
    body.vault = VaultId::new("south").unwrap();
    let elsewhere = Command::PrepareTask { preparation: master().endorsed(body) };
    assert_eq!(apply(&mut state, 2, &elsewhere), Err(Code::EnvelopeInvalid));
    assert_eq!(apply(&mut state, 2, &prepare_of(1, "politics", 1, 50)), Err(Code::ScopeUnknown));
    apply(&mut state, 2, &prepare_of(1, "marketing", 10, 50)).unwrap();
    let mut order = assignment_of(1, "marketing", 10);
    let foreign = Command::CommitTask { assignment: Box::new(stranger.endorsed(order.clone())) };
    assert_eq!(apply(&mut state, 3, &foreign), Err(Code::Forbidden));
    order.envelope.coordination.participating_vault_ids.clear();
    let outside = Command::CommitTask { assignment: Box::new(master().endorsed(order)) };
    assert_eq!(apply(&mut state, 3, &outside), Err(Code::EnvelopeInvalid));
    let release =
        Command::ReleaseTask { release: stranger.endorsed(Release { task: task(1), vault: vault() }) };
    assert_eq!(apply(&mut state, 3, &release), Err(Code::Forbidden));
}

/// R064, R065, R105, R196: another master's attempt at a committed order is taken once, over the same people and
/// without a further charge; earlier ones and other contents are refused.
#[test]
fn a_later_attempt_replaces_the_assignment_and_charges_nothing() {
    let mut state = populated();
    apply(&mut state, 2, &prepare_of(1, "marketing", 10, 50)).unwrap();
    apply(&mut state, 3, &attempt_of(1, 1, b"first")).unwrap();
    apply(&mut state, 4, &say(0, "marketing", Statement::Withdrawn)).unwrap();
    let (people, spent) = (committed_of(&state, 1), state.ledger.in_total(SubjectIndex(0)));
    assert_eq!((people.as_slice(), spent.committed), (&[0, 1, 2][..], Epsilon(10)));

    let again = attempt_of(1, 2, b"second");
    // The reservation's deadline has passed, but what is committed has none.
    let events = apply(&mut state, 60, &again).unwrap();
    assert!(matches!(events.as_slice(), [Event::TaskAssignedAgain { .. }]), "{events:?}");
    assert_eq!(apply(&mut state, 61, &again).unwrap(), []);
    assert_eq!((committed_of(&state, 1), state.ledger.in_total(SubjectIndex(0))), (people, spent));

    let before = canonical::to_bytes(&state);
    assert_eq!(apply(&mut state, 62, &attempt_of(1, 2, b"other")), Err(Code::IdempotencyConflict));
    assert_eq!(apply(&mut state, 62, &attempt_of(1, 1, b"first")), Err(Code::IllegalTransition));
    assert_eq!(apply(&mut state, 62, &attempt_of(1, 0, b"first")), Err(Code::IllegalTransition));
    let mut other_query = assignment_of(1, "marketing", 10);
    other_query.attempt = 3;
    let Plan::Audience(query) = &mut other_query.envelope.plan else { unreachable!() };
    query.cap = 9;
    let other_query = Command::CommitTask { assignment: Box::new(master().endorsed(other_query)) };
    assert_eq!(apply(&mut state, 62, &other_query), Err(Code::IdempotencyConflict));
    let mut elsewhere = assignment_of(1, "marketing", 10);
    (elsewhere.attempt, elsewhere.vault) = (3, VaultId::new("south").unwrap());
    let elsewhere = Command::CommitTask { assignment: Box::new(master().endorsed(elsewhere)) };
    assert_eq!(apply(&mut state, 62, &elsewhere), Err(Code::EnvelopeInvalid));
    assert_eq!(canonical::to_bytes(&state), before);
}

/// R105, R195: of three masters two must stand behind a document, each with its own key.
#[test]
fn one_master_of_three_binds_nothing() {
    let key = |number: u8| PrivateKey::<Master>::from_seed(&[number; 32]);
    let mut state = populated();
    state.charter.masters = [7, 8, 9].map(|number| (node(number), key(number).public())).into();
    let Command::PrepareTask { preparation } = prepare_of(1, "marketing", 10, 50) else { unreachable!() };
    let by = |numbers: &[u8]| {
        let body = preparation.body.clone();
        let endorsements = numbers.iter().map(|number| key(*number).endorse(&body.digest())).collect();
        Command::PrepareTask { preparation: Endorsed { body, endorsements } }
    };
    for numbers in [&[][..], &[7], &[7, 7], &[7, 10]] {
        assert_eq!(apply(&mut state, 2, &by(numbers)), Err(Code::Forbidden), "{numbers:?}");
    }
    assert_eq!(apply(&mut state, 2, &by(&[9, 8])).unwrap().len(), 1);
    assert_eq!(apply(&mut state, 2, &by(&[7, 8])).unwrap(), [], "another majority asks the same");
}

/// R056
#[test]
fn the_last_word_of_a_person_counts_and_repeats_change_nothing() {
    let mut state = populated();
    assert_eq!(apply(&mut state, 5, &say(0, "marketing", YES)).unwrap(), []);
    assert_eq!(apply(&mut state, 5, &say(0, "marketing", Statement::Withdrawn)).unwrap().len(), 1);
    let word = state.consents.standing(&scope("marketing"), SubjectIndex(0));
    assert_eq!(word, Standing::Withdrawn { since: OrderedMillis(5) });
    assert_eq!(apply(&mut state, 6, &say(7, "marketing", YES)), Err(Code::SubjectUnknown));
    assert_eq!(apply(&mut state, 6, &say(0, "politics", YES)), Err(Code::ScopeUnknown));
    assert_eq!(apply(&mut state, 6, &keys(0..3)).unwrap(), []);
}

#[derive(Clone, Debug)]
enum Step {
    Enrol(u8),
    Say(u32, bool, bool, Option<u64>),
    Prepare(u8, bool, u64, u64),
    Commit(u8, u32),
    Release(u8),
    Expire,
    Repeat(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..6).prop_map(Step::Enrol),
        (0u32..6, any::<bool>(), any::<bool>(), proptest::option::of(1u64..60))
            .prop_map(|(who, scope, yes, expires)| Step::Say(who, scope, yes, expires)),
        (0u8..8, any::<bool>(), 1u64..16, 1u64..60).prop_map(|(t, s, e, d)| Step::Prepare(t, s, e, d)),
        (0u8..8, 0u32..3).prop_map(|(t, attempt)| Step::Commit(t, attempt)),
        (0u8..8).prop_map(Step::Release),
        Just(Step::Expire),
        (0usize..50).prop_map(Step::Repeat),
    ]
}

fn command_of(step: &Step, state: &State, at: u64, issued: &[Command]) -> Command {
    let name = |marketing: bool| if marketing { "marketing" } else { "training" };
    match step {
        Step::Enrol(count) => keys(0..*count),
        Step::Say(who, scope, yes, expires) => {
            let expires = expires.map(OrderedMillis);
            say(*who, name(*scope), if *yes { Statement::Granted { expires } } else { Statement::Withdrawn })
        }
        Step::Prepare(t, s, epsilon, wait) => prepare_of(*t, name(*s), *epsilon, at + wait),
        Step::Commit(t, attempt) => {
            let mut order = match state.ledger.entry(&task(*t)) {
                Some(entry) => assignment_of(*t, entry.scope.as_str(), entry.epsilon.0),
                None => assignment_of(*t, "marketing", 1),
            };
            order.attempt = *attempt;
            Command::CommitTask { assignment: Box::new(master().endorsed(order)) }
        }
        Step::Release(t) => release_of(*t),
        Step::Expire => Command::ExpireReservations,
        Step::Repeat(index) => issued.get(*index).cloned().unwrap_or(Command::ExpireReservations),
    }
}

fn assert_limits(state: &State) {
    let privacy = policy().privacy;
    for subject in (0..state.subjects.len()).map(SubjectIndex) {
        let fits = |balance: crate::vault::ledger::Balance, limit| balance.fits(Epsilon::ZERO, limit);
        assert!(fits(state.ledger.in_total(subject), privacy.subject_cap));
        for (scope, limit) in &privacy.scope_limits {
            assert!(fits(state.ledger.in_scope(scope, subject), *limit));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// R064, R066, R068, R073: limits hold, commits never fall, a crash loses nothing and a repeat adds nothing.
    #[test]
    fn limits_hold_under_every_interleaving(steps in proptest::collection::vec((step(), 0u64..8), 1..60)) {
        let mut state = start();
        let mut at = 1;
        let mut issued = vec![keys(0..6), records(0..6)];
        let mut journal = Vec::new();
        for command in issued.clone() {
            let events = apply(&mut state, at, &command).unwrap();
            journal.push((at, canonical::to_bytes(&events)));
        }
        for (step, wait) in steps {
            at += wait;
            let command = command_of(&step, &state, at, &issued);
            let before: Vec<_> = (0..6).map(|s| state.ledger.in_total(SubjectIndex(s)).committed).collect();
            if let Ok(events) = apply(&mut state, at, &command) {
                journal.push((at, canonical::to_bytes(&events)));
                let again = decide(&state, OrderedMillis(at), &command);
                let appends = matches!(command, Command::AppendRecords { .. });
                let repeats = again.is_ok_and(|events| events.is_empty()) || appends;
                prop_assert!(repeats);
            }
            issued.push(command);
            assert_limits(&state);
            for (subject, was) in (0..6).zip(before) {
                prop_assert!(state.ledger.in_total(SubjectIndex(subject)).committed >= was);
            }
        }
        let mut replayed = start();
        for (at, bytes) in &journal {
            let events: Vec<Event> = bcs::from_bytes(bytes).unwrap();
            for event in &events {
                evolve(&mut replayed, OrderedMillis(*at), event);
            }
        }
        prop_assert_eq!(canonical::to_bytes(&replayed), canonical::to_bytes(&state));
        for subject in (0..6).map(SubjectIndex) {
            prop_assert_eq!(replayed.ledger.in_total(subject), state.ledger.in_total(subject));
        }
    }
}
