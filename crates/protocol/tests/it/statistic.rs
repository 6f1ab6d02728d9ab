//! Statistics (R018, R022, R047-R050, R088): what is admitted and what it costs, every ending undisturbed, doubled and crashed, and a
//! run that is made again.

use symphony_protocol::admission::request::{Terms, terms};
use symphony_protocol::artifact::challenge::Replay;
use symphony_protocol::artifact::compute::NoiseScale;
use symphony_protocol::artifact::module::{CLIP_MAX, Unit};
use symphony_protocol::artifact::selection::*;
use symphony_protocol::artifact::statistic::*;
use symphony_protocol::artifact::*;
use symphony_protocol::lifecycle::{Task, TaskState};
use symphony_types::amount::Sym;
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{RequestId, TaskId};
use symphony_types::limits::SET_VALUES_MAX;

use crate::compute::{again, filing, finding};
use crate::flow::assert_nothing_is_left;
use crate::stage::{self, PLENTY, START, actor, attribute, operand, scope, vault};
use crate::world::{Act, Disturbance, Script, World};

/// Whoever bought coffee or tea, in a city, and nothing within thirty days.
fn lapsed() -> Selection<Vec<Operand>> {
    let record = |rule: &str, argument| Selection::Record(vec![operand(rule, argument)]);
    Selection::All(vec![
        Selection::Any(vec![
            record("commerce.category_purchase", Argument::Texts(vec![" Coffee".into(), "tea".into()])),
            record("commerce.brand_purchase", Argument::Text("Luckin".into())),
        ]),
        record("geography.city_eligibility", Argument::Text("Shanghai".into())),
        Selection::Not(Box::new(record("commerce.purchase_recency", Argument::Days(30)))),
    ])
}

/// How many they are, from three Vaults of which two must answer.
pub(crate) fn statistic(request: &str) -> TaskRequest {
    TaskRequest {
        request: RequestId::new(request).unwrap(),
        submitter: actor(stage::SUBMITTER),
        scope: scope("marketing"),
        vaults: ["vault-c", "vault-a", "vault-b"].map(vault).into(),
        quorum: 2,
        work: Work::Statistic(StatisticRequest {
            who: lapsed(),
            measure: Measure::People,
            epsilon: Epsilon(400_000),
            evaluate_at: None,
        }),
        recipient: vec![9; 32],
    }
}

/// What they spent on large purchases.
pub(crate) fn sum() -> Measure<Operand> {
    let over = vec![operand("commerce.amount_at_least", Argument::AtLeast(1_000))];
    Measure::Sum { amount: attribute("commerce.amount"), over, clamp: 20_000 }
}

/// What they bought.
pub(crate) fn groups() -> Measure<Operand> {
    Measure::Groups {
        attribute: attribute("commerce.category"),
        over: vec![],
        groups: vec!["Tea".into(), " coffee".into(), "tea ".into(), "bread".into()],
        groups_each: 2,
    }
}

fn asked(request: &mut TaskRequest) -> &mut StatisticRequest {
    match &mut request.work {
        Work::Statistic(asked) => asked,
        Work::Audience(_) | Work::Training(_) | Work::Compute(_) => panic!("no statistic"),
    }
}

/// The terms of the statistic that measures this.
pub(crate) fn measuring(measure: Measure<Operand>) -> Result<Terms, Code> {
    let mut request = statistic("s1");
    asked(&mut request).measure = measure;
    judged(&request)
}

fn judged(request: &TaskRequest) -> Result<Terms, Code> {
    terms(&stage::governance(), request, START)
}

fn plan(terms: &Terms) -> &StatisticPlan {
    terms.plan.statistic().expect("a statistic")
}

/// R018, R022, R046, R047, R049: a statistic is a query; rules become bound comparisons, the class is the highest of what is read, and
/// attributes that are only read coarsened may be.
#[test]
fn a_statistic_is_bound_at_admission() {
    let terms = judged(&statistic("s1")).unwrap();
    let count = plan(&terms);
    assert_eq!((terms.plan.class(), count.who.records().len()), (TaskClass::Query, 4));
    let Predicate::TextIn(texts) = &count.who.records()[0].operands[0].predicate else { panic!("no set") };
    assert_eq!(texts, &["coffee", "tea"]);
    assert_eq!(count.combined_privacy_class, PrivacyClass::Sensitive);
    assert_eq!(count.minimum_result_cardinality, stage::policy().privacy.minimum_result_cardinality);
    assert_eq!(terms.charge, PrivacyCharge { exposure: Epsilon(0), noised: Epsilon(400_000) });
    assert_eq!(count.cells(), ["people"]);

    let terms = measuring(groups()).unwrap();
    let (cells, group) = (plan(&terms).cells(), plan(&terms).group());
    assert_eq!(cells, ["bread", "coffee", "tea"], "in their normal form, each once");
    assert_eq!((group.cells, group.unit, group.sensitivity()), (3, Unit::Count, 2));
    let terms = measuring(sum()).unwrap();
    assert!(terms.plan.attributes().contains(&attribute("commerce.amount")));
    assert_eq!(plan(&terms).cells(), ["commerce.amount"]);
}

/// R152, D5: base, Vaults and epsilon of the query's prices, and nothing for records, because none is returned.
#[test]
fn the_quote_has_no_records() {
    let terms = judged(&statistic("s1")).unwrap();
    let fees = stage::policy().fees;
    let epsilon = Sym(fees.per_epsilon.0 * 12 / 10);
    let total = Sym(fees.base.0 + 3 * fees.per_vault.0 + epsilon.0);
    let expected = Fee {
        base: fees.base,
        vaults: Sym(3 * fees.per_vault.0),
        records: Sym(0),
        aggregation: Sym(0),
        fuel: Sym(0),
        epsilon,
        total,
    };
    assert_eq!(terms.worst_case, expected);
}

/// D17, D18: noise is as wide as what one person changes in every Vault.
#[test]
fn noise_is_scaled_to_what_one_person_changes() {
    let scale = |measure| plan(&measuring(measure).unwrap()).noise(3);
    let of = |sensitivity: u128| NoiseScale { numerator: sensitivity * 3_000_000, denominator: 400_000 };
    assert_eq!(scale(Measure::People), of(1));
    assert_eq!(scale(sum()), of(20_000));
    assert_eq!(scale(groups()), of(2));
}

fn nested(depth: usize) -> Selection<Vec<Operand>> {
    let record = Selection::Record(vec![operand("commerce.brand_purchase", Argument::Text("Luckin".into()))]);
    (0..depth).fold(record, |inner, _| Selection::Not(Box::new(inner)))
}

/// R008, R018: selections of so many parts, so deep, with so many operands are admitted, and one more is not.
#[test]
fn selections_are_as_large_as_they_may_be() {
    let judge = |who| {
        let mut request = statistic("s1");
        asked(&mut request).who = who;
        judged(&request).err()
    };
    let many = |parts: usize| Selection::Any(vec![nested(0); parts]);
    let wide = |operands: usize| {
        Selection::Any(vec![
            Selection::Record(vec![
                operand(
                    "commerce.brand_purchase",
                    Argument::Text("x".into())
                );
                operands / 4
            ]);
            4
        ])
    };
    for (name, fits, too_much) in [
        ("depth", nested(SELECTION_DEPTH_MAX), nested(SELECTION_DEPTH_MAX + 1)),
        ("parts", many(SELECTION_NODES_MAX - 1), many(SELECTION_NODES_MAX)),
        ("operands", wide(SELECTION_OPERANDS_MAX), wide(SELECTION_OPERANDS_MAX + 4)),
    ] {
        assert_eq!(judge(fits), None, "{name}");
        assert_eq!(judge(too_much), Some(Code::SettingOutOfRange), "{name}");
    }
    assert_eq!(judge(nested(10_000)), Some(Code::SettingOutOfRange));
}

/// R016, R018, R048-R050, R060: each with its code, and nothing is asked of a Vault.
#[test]
fn what_does_not_fit_meaning_or_policy_is_refused() {
    type Edit<'a> = &'a dyn Fn(&mut TaskRequest);
    let record = |rule: &str, text: &str| Selection::Record(vec![operand(rule, Argument::Text(text.into()))]);
    let clamped = |amount: &str, clamp| Measure::Sum { amount: attribute(amount), over: vec![], clamp };
    let grouped = |name: &str, groups: Vec<String>, groups_each| Measure::Groups {
        attribute: attribute(name),
        over: vec![],
        groups,
        groups_each,
    };
    let texts = |count: usize| (0..count).map(|n| format!("group {n}")).collect::<Vec<_>>();
    let cases: [(&str, Code, Edit<'_>); 19] = [
        ("no epsilon", Code::SettingOutOfRange, &|request| asked(request).epsilon = Epsilon::ZERO),
        ("too much of it", Code::SettingOutOfRange, &|request| asked(request).epsilon = Epsilon(1_000_001)),
        ("nothing is read", Code::SettingOutOfRange, &|request| asked(request).who = Selection::All(vec![])),
        ("an unknown rule", Code::AttributeUnknown, &|request| {
            asked(request).who = record("commerce.nothing", "x");
        }),
        ("a retiring attribute", Code::AttributeUnknown, &|request| {
            asked(request).who = record("commerce.loyalty_tier", "gold");
        }),
        ("a local attribute", Code::NotQueryable, &|request| {
            asked(request).who = record("health.diagnosis_equals", "x");
        }),
        ("a handle", Code::NotQueryable, &|request| {
            asked(request).who = record("identity.handle_equals", "a@example.org");
        }),
        ("one that is read coarsened alone", Code::NotQueryable, &|request| {
            asked(request).who = record("geography.district_equals", "x");
        }),
        ("another argument", Code::Malformed, &|request| {
            asked(request).who =
                Selection::Record(vec![operand("commerce.brand_purchase", Argument::Days(3))]);
        }),
        ("across domains", Code::CrossDomain, &|request| {
            asked(request).who = Selection::Any(vec![
                record("commerce.payment_method", "cash"),
                record("geography.city_eligibility", "Shanghai"),
            ]);
        }),
        ("a clamp of zero", Code::SettingOutOfRange, &|request| {
            asked(request).measure = clamped("commerce.amount", 0);
        }),
        ("a clamp beyond all sums", Code::SettingOutOfRange, &|request| {
            asked(request).measure = clamped("commerce.amount", CLIP_MAX + 1);
        }),
        ("a sum of texts", Code::AttributeUnknown, &|request| {
            asked(request).measure = clamped("commerce.category", 1);
        }),
        ("groups of amounts", Code::AttributeUnknown, &|request| {
            asked(request).measure = grouped("commerce.amount", texts(2), 1);
        }),
        ("groups of handles", Code::NotQueryable, &|request| {
            asked(request).measure = grouped("identity.contact_handle", texts(2), 1);
        }),
        ("no groups", Code::SettingOutOfRange, &|request| {
            asked(request).measure = grouped("commerce.category", vec![], 1);
        }),
        ("too many groups", Code::SettingOutOfRange, &|request| {
            asked(request).measure = grouped("commerce.category", texts(SET_VALUES_MAX + 1), 1);
        }),
        ("in more groups than there are", Code::SettingOutOfRange, &|request| {
            asked(request).measure = grouped("commerce.category", texts(2), 3);
        }),
        ("a scope of trainings", Code::ScopeUnsuited, &|request| {
            request.scope = scope("training");
            request.submitter = actor("trainer");
        }),
    ];
    for (name, code, change) in cases {
        let mut request = statistic("s1");
        change(&mut request);
        assert_eq!(judged(&request).err(), Some(code), "{name}");
    }
}

fn answer(of: &[u8]) -> Outcome {
    Outcome::Computed { answer: Digest::of_bytes(of) }
}

/// Scripts that end a statistic in every way there is.
fn endings() -> Vec<(&'static str, Script, TaskState)> {
    let all = Script { outcome: answer(b"cells"), ..Script::default() };
    let [serve, refuse, sleep] = [Act::Serve, Act::Refuse, Act::Sleep];
    vec![
        ("happy", all, TaskState::Completed),
        ("suppressed", Script { outcome: Outcome::Suppressed, ..all }, TaskState::Completed),
        ("one slice is lost", Script { slice: [serve, serve, refuse], ..all }, TaskState::Completed),
        ("quorum broken", Script { slice: [serve, refuse, refuse], ..all }, TaskState::Rejected),
        ("an audience", Script { outcome: Outcome::Audience { returned: 60 }, ..all }, TaskState::Rejected),
        ("verdict rejected", Script { verify: refuse, ..all }, TaskState::Rejected),
        ("slices time out", Script { slice: [sleep; 3], ..all }, TaskState::TimedOut),
        ("aggregate times out", Script { aggregate: sleep, ..all }, TaskState::TimedOut),
    ]
}

fn play(script: Script, disturbance: Disturbance) -> (World, TaskId) {
    let request = statistic("s1");
    let mut world = World::new(script);
    world.submit(&request, PLENTY).unwrap();
    world.run(disturbance);
    (world, request.task())
}

/// R025, R036, R037, R065, R125, R209, R217: every ending leaves nothing behind, doubled and crashed before every step.
#[test]
fn every_ending_leaves_nothing_behind_whatever_happens() {
    for (name, script, ending) in endings() {
        let (calm, task) = play(script, Disturbance::default());
        assert_eq!(calm.task(&task).state(), ending, "{name}");
        assert_nothing_is_left(&calm);
        let always = Disturbance { crash_always: true, twice: true, ..Disturbance::default() };
        let crashes = (0..20).map(|step| Disturbance { crash_at: Some(step), ..Disturbance::default() });
        for disturbance in crashes.chain([always]) {
            let (world, _) = play(script, disturbance);
            assert_eq!(to_bytes(&calm.state), to_bytes(&world.state), "{name}, {disturbance:?}");
            assert_nothing_is_left(&world);
        }
    }
}

/// R135, R140, R142: a statistic is made again like a run: the same answer upholds it, another one ends it unpaid.
#[test]
fn a_statistic_that_is_made_again_decides_a_dispute() {
    for (cells, state) in
        [(b"cells".as_slice(), TaskState::AwaitingSettlement), (b"other", TaskState::Rejected)]
    {
        let request = statistic("s1");
        let task = request.task();
        let mut world = World::new(endings()[0].1);
        world.submit(&request, PLENTY).unwrap();
        let awaits = |task: &Task| task.state() == TaskState::AwaitingSettlement;
        while !world.state.tasks.get(&task).is_some_and(awaits) {
            assert!(world.step(false));
        }
        assert_eq!(world.challenge(&filing(&task, 2)), Err(Code::Malformed), "it has one run");
        world.challenge(&filing(&task, 1)).unwrap();
        let replay = again(&world, &task, answer(cells));
        world.order(&finding(&world.clone(), &task, Replay::Computed(replay))).unwrap();
        assert_eq!(world.task(&task).state(), state);
        world.run(Disturbance::default());
        assert_nothing_is_left(&world);
    }
}
