//! Admission: every refusal with its code, what a refusal leaves behind, and what an envelope holds.

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_protocol::admission::envelope::PrepareAnswer;
use symphony_protocol::admission::explain;
use symphony_protocol::admission::request::terms;
use symphony_protocol::artifact::selection::{Quantity, SELECTION_MEASURES_MAX, Selection};
use symphony_protocol::artifact::statistic::Measure;
use symphony_protocol::artifact::*;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::hardware::HardwareRules;
use symphony_protocol::lifecycle::TaskState;
use symphony_protocol::machine::{Answer, Command, Effect, Event};
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{EpochId, GovernanceSequence, LockRef, RequestId, RuleName};
use symphony_types::key::{Document, Vault};
use symphony_types::time::{DAY_MS, OrderedMillis, RecordMillis};

use crate::rounds::{propensity, wanted};
use crate::stage::*;
use crate::statistic::measuring;
use crate::world::{Act, Disturbance, Script, World, receipt};

fn world() -> World {
    World::new(Script::default())
}

/// A request that is the campaign but for one thing.
fn with(change: impl FnOnce(&mut TaskRequest)) -> TaskRequest {
    let mut request = campaign("c1");
    change(&mut request);
    request
}

/// The campaign with one more operand, and so with what is wrong with that operand.
fn asking(rule: &str, argument: Argument) -> TaskRequest {
    with(|request| operands(request).push(operand(rule, argument)))
}

fn range(least: u64, most: u64) -> Argument {
    Argument::Range { least, most }
}

fn text(value: &str) -> Argument {
    Argument::Text(value.into())
}

/// What the query of a request means.
fn meaning(request: &TaskRequest) -> ResolvedQuery {
    terms(&governance(), request, START).unwrap().plan.query().unwrap().clone()
}

/// Requests that are refused for what they say, with the code of each.
fn unacceptable() -> Vec<(&'static str, Code, TaskRequest)> {
    let submitter = |name: &'static str| with(|request| request.submitter = actor(name));
    let vaults = |names: &[&str]| with(|request| request.vaults = names.iter().map(|n| vault(n)).collect());
    vec![
        ("suspended submitter", Code::Forbidden, submitter("banned")),
        ("submitter without the role", Code::Forbidden, submitter("mute")),
        ("submitter without the scope", Code::Forbidden, submitter("trainer")),
        ("the aggregator submits", Code::Forbidden, submitter("aggregator")),
        ("unknown scope", Code::ScopeUnknown, with(|request| request.scope = scope("espionage"))),
        ("unknown vault", Code::VaultUnknown, vaults(&["vault-a", "vault-x"])),
        ("suspended vault", Code::VaultUnknown, vaults(&["vault-a", "vault-b", "vault-s"])),
        ("no vault", Code::Malformed, vaults(&[])),
        ("a vault twice", Code::Malformed, vaults(&["vault-a", "vault-b", "vault-a"])),
        ("quorum of none", Code::QuorumInvalid, with(|request| request.quorum = 0)),
        ("quorum above the vaults", Code::QuorumInvalid, with(|request| request.quorum = 4)),
        ("no cap", Code::CapExceeded, with(|request| asked(request).cap = 0)),
        (
            "cap of an audience that is always suppressed",
            Code::CapExceeded,
            with(|request| asked(request).cap = 49),
        ),
        ("cap above the policy's", Code::CapExceeded, with(|request| asked(request).cap = 10_001)),
        ("no operand", Code::Malformed, with(|request| operands(request).clear())),
        ("unknown rule", Code::AttributeUnknown, asking("commerce.nothing", text("x"))),
        ("deprecated attribute", Code::AttributeUnknown, asking("commerce.loyalty_tier", text("gold"))),
        ("across domains", Code::CrossDomain, asking("commerce.payment_method", text("cash"))),
        ("local-only attribute", Code::NotQueryable, asking("health.diagnosis_equals", text("flu"))),
        ("handle as operand", Code::NotQueryable, asking("identity.handle_equals", text("a@b.c"))),
        ("derived-only, not derived", Code::NotQueryable, asking("geography.district_equals", text("d"))),
        ("argument of another kind", Code::Malformed, asking("commerce.amount_at_least", Argument::Days(3))),
        ("text for a set", Code::Malformed, asking("commerce.category_purchase", text("tea"))),
        ("no range", Code::Malformed, asking("commerce.amount_range", Argument::AtLeast(3))),
        ("a range that is empty", Code::SettingOutOfRange, asking("commerce.amount_range", range(4, 3))),
        ("none counted", Code::SettingOutOfRange, asking("commerce.purchase_count", Argument::AtLeast(0))),
        ("a count without a bound", Code::Malformed, asking("commerce.purchase_count", Argument::Days(3))),
        (
            "nothing is read",
            Code::SettingOutOfRange,
            with(|request| asked(request).who = Selection::Any(vec![])),
        ),
        (
            "too much is measured",
            Code::SettingOutOfRange,
            with(|request| {
                let count = operand("commerce.purchase_count", Argument::AtLeast(3));
                *operands(request) = vec![count; SELECTION_MEASURES_MAX + 1];
            }),
        ),
        (
            "comparable attribute as output",
            Code::NotQueryable,
            with(|request| asked(request).output = attribute("geography.city")),
        ),
        (
            "local attribute as output",
            Code::NotQueryable,
            with(|request| asked(request).output = attribute("health.diagnosis")),
        ),
        (
            "deprecated output",
            Code::AttributeUnknown,
            with(|request| asked(request).output = attribute("identity.fax_number")),
        ),
        (
            "unknown output",
            Code::AttributeUnknown,
            with(|request| asked(request).output = attribute("identity.shoe_size")),
        ),
    ]
}

/// R015-R018, R022, R023, R048-R050: each refusal has its code; R025, R026: the lock goes back whole, and neither
/// a task nor a reservation nor a debt to a Vault remains.
#[test]
fn a_refusal_has_its_code_and_refunds_the_lock() {
    for (name, code, request) in unacceptable() {
        let mut world = world();
        let events = world.submit(&request, PLENTY).unwrap();
        let [Event::AdmissionRefused { code: refused, refund: Some((_, refund)), .. }] = &events[..] else {
            panic!("{name}: {events:?}")
        };
        assert_eq!(*refused, code, "{name}");
        assert_eq!(refund.amount, PLENTY, "{name}");
        assert!(world.owed.is_empty() && world.state.tasks.is_empty(), "{name}");
        world.run(Disturbance::default());
        assert!(world.locked.is_empty() && world.reserved.is_empty(), "{name}");
    }
}

/// R026: a request that nothing is locked for is refused without a trace, and its quote names the very fault.
#[test]
fn a_refusal_without_a_lock_leaves_no_trace() {
    for (name, code, request) in unacceptable() {
        let mut world = world();
        let before = world.state.clone();
        let lock = LockRef(Digest::ZERO);
        let refusal = world.order(&Command::SubmitTask { request: request.clone(), lock, fact: None });
        assert!([code, Code::EscrowMissing].contains(&refusal.unwrap_err().code), "{name}");
        assert_eq!(terms(&world.state.governance, &request, START).unwrap_err(), code, "{name}");
        assert_eq!(world.state, before);
    }
}

/// R015: nobody knows the submitter, so its lock is nobody's business either.
#[test]
fn an_unregistered_submitter_is_refused() {
    let request = with(|request| request.submitter = actor("nobody"));
    let mut world = world();
    assert_eq!(world.submit(&request, PLENTY).unwrap_err().code, Code::Forbidden);
    assert!(world.state.requests.is_empty());
}

/// R020: without a confirmed lock there is no admission, and nothing is recorded.
#[test]
fn no_lock_no_admission() {
    let request = campaign("c1");
    let mut world = world();
    let lock = LockRef(Digest::ZERO);
    let refusal =
        world.order(&Command::SubmitTask { request: request.clone(), lock, fact: None }).unwrap_err();
    assert_eq!(refusal.code, Code::EscrowMissing);
    assert!(world.state.requests.is_empty());
    // The same request with its lock is not hindered by the attempt.
    assert!(!world.submit(&request, PLENTY).unwrap().is_empty());
}

/// R020, R156: the lock covers the worst case to the last unit, and outlives the task.
#[test]
fn a_lock_below_the_worst_case_is_refused() {
    let request = campaign("c1");
    let governance = governance();
    let terms = terms(&governance, &request, START).unwrap();
    // 10 + 3*2 + 5000*0.01 + 3*0.11*1 SYM
    assert_eq!(terms.worst_case.total, Sym(6_633_000_000));
    let refused = |amount: Sym, expires: OrderedMillis| {
        let mut world = world();
        let fact = LockFact { expires, ..lock(&request, amount) };
        let command = world.submission(&request, fact);
        match &world.order(&command).unwrap()[..] {
            [Event::AdmissionRequested { .. }, Event::EffectLeased { .. }] => None,
            [Event::AdmissionRefused { code, refund: Some((_, refund)), .. }] => {
                assert_eq!(refund.amount, amount);
                Some(*code)
            }
            other => panic!("{other:?}"),
        }
    };
    let (enough, long) = (terms.worst_case.total, terms.lock_until);
    assert_eq!(refused(enough, long), None);
    assert_eq!(refused(Sym(enough.0 - 1), long), Some(Code::EscrowTooSmall));
    assert_eq!(refused(enough, long.minus(1)), Some(Code::EscrowTooSmall));
}

/// R020: a lock of another account, for another request, or under another name than the submission says, pays for
/// nothing and is not touched.
#[test]
fn a_foreign_lock_is_refused_and_not_refunded() {
    let request = campaign("c1");
    let own = lock(&request, PLENTY);
    let foreign = LockFact { owner: account("trainer"), ..own };
    let elsewhere = LockFact { purpose: campaign("c2").lock_purpose(), ..own };
    let renamed = LockFact { lock: LockRef(Digest::ZERO), ..own };
    for fact in [foreign, elsewhere, renamed] {
        let mut world = world();
        let Command::SubmitTask { request, fact, .. } = world.submission(&request, fact) else { panic!() };
        let command = Command::SubmitTask { request, lock: own.lock, fact };
        assert_eq!(world.order(&command).unwrap_err().code, Code::EscrowMismatch);
        assert!(world.state.requests.is_empty() && world.state.epochs.is_empty());
    }
}

/// R130: a policy that does not admit software enclaves admits nothing that only they could run.
#[test]
fn production_policy_refuses_software_enclaves() {
    let mut world = world();
    let active = world.state.governance.calendar.founded().version;
    world.state.governance.policies.get_mut(&active).unwrap().software_admitted = false;
    let events = world.submit(&campaign("c1"), PLENTY).unwrap();
    assert!(matches!(events[..], [Event::AdmissionRefused { code: Code::PlatformRefused, .. }]));
    // With a kind of hardware that is asked for, there is somebody who may serve.
    let rules = HardwareRules { classes: ["some-class".to_owned()].into(), ..HardwareRules::default() };
    world.state.governance.hardware.insert(GovernanceSequence(0), rules);
    let events = world.submit(&campaign("c2"), PLENTY).unwrap();
    assert!(!events.iter().any(|event| matches!(event, Event::AdmissionRefused { .. })), "{events:?}");
}

/// R209: the same request twice is one request, at every later time; another content is a conflict.
#[test]
fn a_request_id_serves_one_request() {
    let mut world = world();
    let request = campaign("c1");
    assert_eq!(world.submit(&request, PLENTY).unwrap().len(), 2);
    for _ in 0..4 {
        assert_eq!(world.submit(&request, PLENTY), Ok(vec![]));
        world.step(false);
    }
    let changes: [fn(&mut TaskRequest); 5] = [
        |request| asked(request).cap = 4_999,
        |request| request.quorum = 3,
        |request| request.recipient = vec![8; 32],
        |request| operands(request).reverse(),
        |request| drop(request.vaults.pop()),
    ];
    for change in changes {
        let refusal = world.submit(&with(change), PLENTY).unwrap_err();
        assert_eq!(refusal.code, Code::IdempotencyConflict);
    }
    let fact = LockFact { lock: LockRef(Digest::ZERO), ..lock(&request, PLENTY) };
    let other_lock = world.submission(&request, fact);
    assert_eq!(world.order(&other_lock).unwrap_err().code, Code::IdempotencyConflict);
    assert_eq!((world.state.requests.len(), world.state.tasks.len()), (1, 1));
    // Another submitter's request of that name is another request.
    let mut governed = with(|request| request.submitter = actor("trainer"));
    governed.scope = scope("training");
    // A scope of trainings serves no audience (R060), and that is what it is told.
    let events = world.submit(&governed, PLENTY).unwrap();
    assert!(matches!(events[..], [Event::AdmissionRefused { code: Code::ScopeUnsuited, .. }]));
    assert_eq!(world.state.requests.len(), 2);
}

/// R209: a refused request answers the same again, without a second refund.
#[test]
fn a_refused_request_stays_refused() {
    let mut world = world();
    let request = with(|request| request.quorum = 9);
    world.submit(&request, PLENTY).unwrap();
    assert_eq!(world.submit(&request, PLENTY), Ok(vec![]));
    let refunds: usize = world.state.epochs.values().map(|account| account.refunds.len()).sum();
    assert_eq!(refunds, 1);
    let Answer::Refused { code, .. } = world.state.requests[&request.task()].answer else {
        panic!("admitted")
    };
    assert_eq!(code, Code::QuorumInvalid);
}

/// R019, R025: Vaults that do not answer at all do not hold a request for ever.
#[test]
fn an_unanswered_request_expires() {
    let mut world = world();
    let request = campaign("c1");
    world.submit(&request, PLENTY).unwrap();
    let due = START.plus(2 * policy().deadlines.prepare_ms);
    // Until then the preparation is leased again and again.
    world.advance(due.minus(1));
    assert_eq!(world.advance(due.minus(1)), vec![]);
    let events = world.advance(due);
    let [
        Event::AdmissionRefused { code: Code::QuorumNotPrepared, release, refund: Some(_), .. },
        Event::EffectLeased { effect: Effect::ReleaseBudget(..), .. },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(release.len(), 3);
    world.run(Disturbance::default());
    assert!(world.locked.is_empty() && world.reserved.is_empty() && world.state.tasks.is_empty());
}

/// R019: receipts of another signer, task, epsilon or deadline count as silence.
#[test]
fn a_receipt_that_does_not_fit_is_no_receipt() {
    let bend: [fn(&mut ReserveReceipt); 4] = [
        |body| body.task = symphony_types::id::TaskId(Digest::ZERO),
        |body| body.epsilon.0 -= 1,
        |body| body.deadline = body.deadline.plus(1),
        |body| body.vault = vault("vault-b"),
    ];
    for (case, bend) in bend.into_iter().enumerate() {
        let mut world = world();
        let request = campaign("c1");
        world.submit(&request, PLENTY).unwrap();
        let Answer::Preparing(admission) = &world.state.requests[&request.task()].answer else { panic!() };
        let asked: Vec<_> = admission.vaults.iter().map(|vault| admission.preparation(vault)).collect();
        let mut bent = receipt(&asked[0], None).body;
        bend(&mut bent);
        let answers = vec![
            PrepareAnswer::Receipt(key::<Vault>("vault-a").sign(bent)),
            PrepareAnswer::Receipt(receipt(&asked[2], None)),
        ];
        let events = world.order(&Command::RecordPreparations { task: request.task(), answers }).unwrap();
        assert!(
            matches!(events[..], [Event::AdmissionRefused { code: Code::QuorumNotPrepared, .. }, _]),
            "case {case}"
        );
    }
}

fn admitted(script: Script) -> (World, TaskEnvelope) {
    let mut world = World::new(script);
    let request = campaign("c1");
    world.submit(&request, PLENTY).unwrap();
    world.step(false);
    let envelope = world.task(&request.task()).envelope.clone();
    (world, envelope)
}

/// R021, R023, R024, R028-R031: the envelope is complete: who, what, for which purpose, under which versions, paid
/// and reserved by what, with which Vaults, quorum, cap and deadline.
#[test]
fn the_envelope_is_complete() {
    let script = Script { prepare: [Act::Serve, Act::Refuse, Act::Serve], ..Script::default() };
    let (world, envelope) = admitted(script);
    let request = campaign("c1");
    let task = world.task(&envelope.task);
    assert_eq!((envelope.task, &envelope.request), (request.task(), &request.request));
    assert_eq!((envelope.plan.class(), &envelope.submitter), (TaskClass::Query, &request.submitter));
    assert_eq!(envelope.scope, request.scope);
    assert_eq!(envelope.versions.policy, world.state.governance.version_at(START));
    assert_eq!(envelope.versions.semantic, world.state.governance.meanings.founded.version);
    assert_eq!((envelope.budget_lock_ref, envelope.locked), (lock(&request, PLENTY).lock, PLENTY));
    let digests: Vec<_> = task.receipts.iter().map(|receipt| receipt.body.digest()).collect();
    assert_eq!(envelope.reservations, digests);
    let coordination = &envelope.coordination;
    assert_eq!(coordination.participating_vault_ids, [vault("vault-a"), vault("vault-c")]);
    assert_eq!(task.absent, [(vault("vault-b"), Code::VaultFull)]);
    assert_eq!(
        (coordination.minimum_vault_quorum, coordination.aggregation_method),
        (2, AggregationMethod::Union)
    );
    assert_eq!(coordination.aggregator, actor("aggregator"));
    assert_ne!(coordination.aggregator, envelope.submitter);
    assert_eq!(coordination.measurements.len(), 1);
    let query = envelope.plan.query().unwrap();
    assert_eq!((query.cap, query.minimum_result_cardinality), (5_000, 50));
    assert_eq!(query.output, attribute("identity.contact_handle"));
    assert_eq!(envelope.execute_by, START.plus(62_000));
    assert_eq!(envelope.recipient, request.recipient);
    assert_eq!(task.state(), TaskState::Dispatched);
}

/// R046: recency is two exact bounds, measured from the admission or from the time that the submitter fixed.
#[test]
fn recency_resolves_to_exact_bounds() {
    let bounds = |request: &TaskRequest| {
        let query = meaning(request);
        let Predicate::Between { since, until } = query.who.one_record().unwrap()[2].predicate else {
            panic!("not recency")
        };
        (since, until, query.evaluated_at)
    };
    let month = 30 * DAY_MS;
    let now = START.0;
    assert_eq!(bounds(&campaign("c1")), (RecordMillis(now - month), RecordMillis(now), START));
    let fixed = OrderedMillis(now - DAY_MS);
    let request = with(|request| asked(request).evaluate_at = Some(fixed));
    assert_eq!(bounds(&request), (RecordMillis(fixed.0 - month), RecordMillis(fixed.0), fixed));
    let early = with(|request| asked(request).evaluate_at = Some(OrderedMillis(5)));
    assert_eq!(bounds(&early).0, RecordMillis(0));
}

/// R018, R046: every kind of rule binds its argument in one normal form.
#[test]
fn arguments_are_normalised() {
    let request = with(|request| {
        *operands(request) = vec![
            operand("commerce.brand_purchase", text("  Luckin \t COFFEE ")),
            operand(
                "commerce.category_purchase",
                Argument::Texts(vec!["Tea".into(), "coffee".into(), " TEA ".into()]),
            ),
            operand("commerce.amount_at_least", Argument::AtLeast(1_500)),
        ];
    });
    let query = meaning(&request);
    let bound: Vec<_> =
        query.who.one_record().unwrap().iter().map(|operand| operand.predicate.clone()).collect();
    assert_eq!(
        bound,
        [
            Predicate::TextEquals("luckin coffee".into()),
            Predicate::TextIn(vec!["coffee".into(), "tea".into()]),
            Predicate::AtLeast(1_500),
        ]
    );
}

/// R046, R087: who bought three times for 50.00 together, the last time one to three months ago, becomes conditions on records, what is
/// measured over them, and the time that says how lately.
#[test]
fn a_selection_binds_conditions_and_measures() {
    let bought = vec![
        operand("commerce.brand_purchase", text("Luckin")),
        operand("commerce.purchase_range", range(30, 90)),
        operand("commerce.purchase_count", Argument::AtLeast(3)),
        operand("commerce.amount_sum", Argument::AtLeast(5_000)),
        operand("commerce.amount_range", range(100, 9_000)),
    ];
    let lately = Selection::Record(vec![operand("commerce.purchase_recency", Argument::Days(30))]);
    let who = Selection::All(vec![Selection::Not(Box::new(lately)), Selection::Record(bought)]);
    let query = meaning(&with(|request| asked(request).who = who));
    let [lately, bought] = query.who.records()[..] else { panic!("two conditions") };
    let since = |days: u64| RecordMillis(START.0 - days * DAY_MS);
    let between = |most, least| Predicate::Between { since: since(most), until: since(least) };
    assert_eq!((lately.measures.len(), &lately.operands[0].predicate), (0, &between(30, 0)));
    let predicates: Vec<_> = bought.operands.iter().map(|operand| operand.predicate.clone()).collect();
    let within = Predicate::Within { least: 100, most: 9_000 };
    assert_eq!(predicates, [Predicate::TextEquals("luckin".into()), between(90, 30), within]);
    let measures: Vec<_> = query.who.measures().iter().map(|(of, m)| (*of, m.quantity, m.at_least)).collect();
    assert_eq!(measures, [(1, Quantity::Records, 3), (1, Quantity::Sum, 5_000)]);
    assert_eq!(
        (query.who.positive(), query.who.window()),
        (0b10, Some(&attribute("commerce.purchase_date")))
    );
    assert_eq!(query.who.one_record(), None);
    let selected: Vec<u32> = (0..4).filter(|holding| query.who.selects(*holding)).collect();
    assert_eq!(selected, [0b10]);
}

/// R018, R090: people are ranked by a rule of the selection that measures, once and outside of every `not`, or by its window; by nothing
/// else, and where no rule is named as policy says.
#[test]
fn a_query_ranks_people_by_what_it_reads_of_them() {
    let spent = |least| operand("commerce.amount_sum", Argument::AtLeast(least));
    let brand = operand("commerce.brand_purchase", text("Luckin"));
    let recency = operand("commerce.purchase_recency", Argument::Days(30));
    let bought = operand("commerce.purchase_count", Argument::AtLeast(3));
    let record = |operands: &[&Operand]| Selection::Record(operands.iter().copied().cloned().collect());
    let not = |who| Selection::Not(Box::new(who));
    let best = Selection::All(vec![not(record(&[&bought])), record(&[&brand, &recency, &spent(100)])]);
    let twice = Selection::Any(vec![record(&[&spent(100)]), record(&[&brand, &spent(500)])]);
    let ranked = |who: &Selection<Vec<Operand>>, rule: Option<&str>| {
        let request = with(|request| {
            asked(request).who = who.clone();
            asked(request).rank_by = rule.map(|rule| RuleName::new(rule).unwrap());
        });
        terms(&governance(), &request, START)
    };
    let chosen = |rule| ranked(&best, rule).unwrap().plan.query().unwrap().selection;
    assert_eq!(chosen(None), governance().policy_at(START).privacy.selection);
    assert_eq!(chosen(Some("commerce.amount_sum")), SelectionRule::Largest(1));
    assert_eq!(chosen(Some("commerce.purchase_recency")), SelectionRule::RecencyWeighted);
    // In a `not`; no measure; not of this selection; unknown; measured twice.
    for rule in
        ["commerce.purchase_count", "commerce.brand_purchase", "commerce.amount_range", "commerce.nothing"]
    {
        assert_eq!(ranked(&best, Some(rule)).err(), Some(Code::SettingOutOfRange), "{rule}");
    }
    assert_eq!(ranked(&twice, Some("commerce.amount_sum")).err(), Some(Code::SettingOutOfRange));
    // A ranking is part of what the lock pays for, and its time is read only where it ranks.
    let request = |rule: Option<&str>| {
        with(|request| asked(request).rank_by = rule.map(|rule| RuleName::new(rule).unwrap()))
    };
    assert_ne!(request(None).lock_purpose(), request(Some("commerce.purchase_recency")).lock_purpose());
    let plan = ranked(&best, Some("commerce.amount_sum")).unwrap().plan;
    assert_eq!(plan.query().unwrap().inquiry().latest, None);
    // Evidence that ranks by what is not measured, or by what stands in a `not`, follows from no meaning; no policy ranks.
    let governance = governance();
    let meaning = governance.semantics_at(START);
    assert_eq!(explain::path(meaning, &plan).map(|steps| steps.len()), Ok(5));
    for place in [0, 2, u32::MAX] {
        let mut plan = plan.clone();
        query(&mut plan).selection = SelectionRule::Largest(place);
        assert_eq!(explain::path(meaning, &plan).err(), Some(Code::Malformed), "{place}");
    }
    let mut policy = governance.policy_at(START).clone();
    policy.privacy.selection = SelectionRule::Largest(0);
    assert_eq!(policy.check(), Err("only a query ranks people by what it measures"));
}

/// R046: what several records are needed for is no condition on one: not of the cohort of a training, nor of what a sum is over.
#[test]
fn measures_are_no_conditions_on_one_record() {
    let count = || operand("commerce.purchase_count", Argument::AtLeast(3));
    let over = vec![count()];
    let sum = Measure::Sum { amount: attribute("commerce.amount"), over, clamp: 1 };
    assert_eq!(measuring(sum).err(), Some(Code::Malformed));
    let mut training = propensity("t1");
    wanted(&mut training).cohort.push(count());
    assert_eq!(terms(&governance(), &training, START).err(), Some(Code::Malformed));
}

/// R047: the class of a composition is the highest of its operands and its output.
#[test]
fn the_composition_has_the_highest_class() {
    let class = |governance: &Governance| {
        terms(governance, &campaign("c1"), START).unwrap().plan.query().unwrap().combined_privacy_class
    };
    let mut governance = governance();
    assert_eq!(class(&governance), PrivacyClass::Identifying);
    let handle = attribute("identity.contact_handle");
    governance.meanings.founded.attributes.get_mut(&handle).unwrap().privacy_class = PrivacyClass::Low;
    assert_eq!(class(&governance), PrivacyClass::Sensitive);
    let date = attribute("commerce.purchase_date");
    governance.meanings.founded.attributes.get_mut(&date).unwrap().privacy_class = PrivacyClass::Public;
    assert_eq!(class(&governance), PrivacyClass::Low);
}

/// R048: a rule that is denied across domains serves alone in its own.
#[test]
fn a_denied_rule_serves_inside_its_domain() {
    let inside = with(|request| {
        *operands(request) = vec![
            operand("commerce.brand_purchase", text("luckin")),
            operand("commerce.payment_method", text("cash")),
        ];
    });
    assert!(terms(&governance(), &inside, START).is_ok());
}

/// R029, R192, R214: a task that is requested in one epoch and admitted in the next is of the epoch of its
/// admission.
#[test]
fn the_epoch_of_a_task_is_that_of_its_admission() {
    let mut world = world();
    let end = calendar().end_of(calendar().epoch_of(START));
    world.now = end.minus(1);
    let request = campaign("c1");
    world.submit(&request, PLENTY).unwrap();
    let answers = world.perform(&Effect::PrepareTask(request.task())).unwrap();
    world.now = end;
    world.order(&answers).unwrap();
    let envelope = &world.task(&request.task()).envelope;
    assert_eq!(envelope.epoch, calendar().epoch_of(envelope.admitted_at));
    assert_eq!(envelope.epoch, EpochId(calendar().epoch_of(START).0 + 1));
}

proptest! {
    /// R032: the envelope's digest moves with every byte of what it says, and with nothing else.
    #[test]
    fn the_envelope_digest_is_of_its_content(cap in 1..10_000u32, recipient in vec(any::<u8>(), 32), days in 0..900u32) {
        let (_, envelope) = admitted(Script::default());
        let mut other = envelope.clone();
        query(&mut other.plan).cap = cap;
        other.recipient = recipient;
        other.request = RequestId::new(&format!("r{days}")).unwrap();
        prop_assert_ne!(envelope.digest(), other.digest());
        let read: TaskEnvelope = bcs::from_bytes(&bcs::to_bytes(&other).unwrap()).unwrap();
        prop_assert_eq!(read.digest(), other.digest());
    }
}
