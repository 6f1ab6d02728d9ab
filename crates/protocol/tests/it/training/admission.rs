//! What is asked of a training and what it costs: every refusal with its code, both edges of every limit, the plan that
//! is fixed, and the price (R018, R020, R046-R050, R060, R098, R104).

use std::collections::BTreeSet;

use symphony_protocol::admission::request::{Terms, terms};
use symphony_protocol::admission::training::rounds_possible;
use symphony_protocol::artifact::training::*;
use symphony_protocol::artifact::*;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::pricing::{Rounds, training_fee};
use symphony_protocol::governance::semantics::AttributeLifecycle;
use symphony_protocol::machine::{Answer, Command, Event};
use symphony_types::amount::Sym;
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::RequestId;
use symphony_types::limits::OPERANDS_MAX;
use symphony_types::time::{OrderedMillis, RecordMillis};

use super::requested;
use crate::rounds::{planned, propensity, wanted};
use crate::stage::*;
use crate::world::{Disturbance, Script, World};

type Case = (&'static str, TaskRequest);

/// The training with local steps as wide as they may be.
fn local(change: impl FnOnce(&mut Local, &mut Settings)) -> TaskRequest {
    with(|training| {
        let mut local = Local { steps: 5, rate: 250_000, norm: 4_000 };
        change(&mut local, &mut training.settings);
        training.model = ModelKind::LocalLogistic(local);
    })
}

/// The training but for one thing.
fn with(change: impl FnOnce(&mut Training<Operand>)) -> TaskRequest {
    let mut request = propensity("t1");
    change(wanted(&mut request));
    request
}

/// Factors of brands instead of a prediction.
fn affinity(change: impl FnOnce(&mut Vec<String>, &mut u32, &mut u32)) -> TaskRequest {
    with(|training| {
        let mut items: Vec<String> = ["tea", "Coffee", "milk"].map(String::from).into();
        let (mut days, mut best) = (90, 10);
        change(&mut items, &mut days, &mut best);
        training.model =
            ModelKind::Affinity { rank: 8, attribute: attribute("commerce.brand"), items, days, best };
        (training.features, training.label) = (vec![], None);
    })
}

fn clusters(clusters: u32) -> TaskRequest {
    with(|training| (training.model, training.label) = (ModelKind::Clusters { clusters }, None))
}

fn feature(family: Family, filter: Vec<Operand>) -> Feature<Operand> {
    let scale = Scale { logarithm: true, centre: -1, spread: 1, bound: 1 };
    Feature { family, filter, days: 1, scale }
}

/// The training with one more feature.
fn also(family: Family, filter: Vec<Operand>) -> TaskRequest {
    with(|training| training.features.push(feature(family, filter)))
}

fn judged(request: &TaskRequest) -> Result<Terms, Code> {
    terms(&governance(), request, START)
}

/// Requests with a setting beyond its limit.
fn beyond() -> Vec<Case> {
    let setting = |change: fn(&mut Settings)| with(|training| change(&mut training.settings));
    let privacy = |change: fn(&mut PrivacyTerms)| with(|training| change(&mut training.privacy));
    let scale = |change: fn(&mut Scale)| with(|training| change(&mut training.features[1].scale));
    vec![
        ("no clip", setting(|settings| settings.clip = 0)),
        ("clip", setting(|settings| settings.clip = 1_000_001)),
        ("no step", setting(|settings| settings.learning_rate = 0)),
        ("long step", setting(|settings| settings.learning_rate = 1_000_000_001)),
        ("momentum", setting(|settings| settings.momentum = 1_000)),
        ("penalty", setting(|settings| settings.penalty = 100_000_001)),
        ("no ridge", setting(|settings| settings.ridge = 0)),
        ("ridge", setting(|settings| settings.ridge = 1_000_001)),
        ("unlisted", setting(|settings| settings.unlisted = 1_001)),
        ("too little noise", privacy(|privacy| privacy.noise = 499)),
        ("noise that nobody accounts for", privacy(|privacy| privacy.noise = 1_000_001)),
        ("too little noise of evaluations", privacy(|privacy| privacy.evaluation_noise = 499)),
        ("nobody sampled", privacy(|privacy| privacy.sampling = 0)),
        ("more than everybody", privacy(|privacy| privacy.sampling = EVERYBODY + 1)),
        ("no delta", privacy(|privacy| privacy.delta = 0)),
        ("delta", privacy(|privacy| privacy.delta = 10_000_001)),
        ("no rounds", with(|training| training.rounds = 0)),
        ("rounds", with(|training| training.rounds = 1_001)),
        ("never evaluated", with(|training| training.evaluate_every = 0)),
        ("evaluated after the end", with(|training| training.evaluate_every = 5)),
        ("nobody held out", with(|training| training.held_out = 0)),
        ("most held out", with(|training| training.held_out = 501)),
        ("better than perfect", with(|training| training.accept_from = 1_000_001)),
        ("no spread", scale(|scale| scale.spread = 0)),
        ("spread", scale(|scale| scale.spread = 1_000_000_000_001)),
        ("centre", scale(|scale| scale.centre = 1_000_000_000_001)),
        ("negative centre", scale(|scale| scale.centre = i64::MIN)),
        ("no bound", scale(|scale| scale.bound = 0)),
        ("bound", scale(|scale| scale.bound = 1_000_001)),
        ("one local step", local(|local, _| local.steps = 1)),
        ("local steps", local(|local, _| local.steps = 65)),
        ("local steps of no length", local(|local, _| local.rate = 0)),
        ("long local steps", local(|local, _| local.rate += 1)),
        ("local steps of wide features", local(|local, _| local.norm += 1)),
        ("features below the clip", local(|local, _| local.norm = 999)),
        ("features far above the clip", local(|local, settings| (settings.clip, local.norm) = (1, 1_001))),
        (
            "clip of all local steps",
            local(|local, settings| (settings.clip, local.rate, local.norm) = (200_001, 1, 200_001)),
        ),
        ("no step along the average", local(|_, settings| settings.learning_rate = 3)),
        ("penalty of all local steps", local(|_, settings| settings.penalty = 20_000_001)),
    ]
}

/// Requests whose windows or sizes are beyond a limit.
fn oversized() -> Vec<Case> {
    let label = |days| with(|training| training.label.as_mut().unwrap().days = days);
    let hidden = |hidden| with(|training| training.model = ModelKind::Perceptron { hidden });
    let features = |count: usize, hidden| {
        with(|training| {
            training.features = vec![feature(Family::Frequency, vec![]); count];
            training.model = ModelKind::Perceptron { hidden };
        })
    };
    let many = |rounds| {
        let mut request = features(1_000, 100);
        let training = wanted(&mut request);
        (training.rounds, training.evaluate_every) = (rounds, rounds);
        training.privacy.noise = 40_000;
        request
    };
    let rank = |size| {
        let mut request = affinity(|_, _, _| {});
        if let ModelKind::Affinity { rank, .. } = &mut wanted(&mut request).model {
            *rank = size;
        }
        request
    };
    vec![
        ("no window", with(|training| training.features[0].days = 0)),
        ("window", with(|training| training.features[0].days = 3_661)),
        ("label of no days", label(0)),
        ("label of years", label(3_661)),
        ("no label", with(|training| training.label = None)),
        (
            "no label for local steps",
            with(|training| {
                training.model = wanted(&mut local(|_, _| {})).model.clone();
                training.label = None;
            }),
        ),
        ("a label for clusters", with(|training| training.model = ModelKind::Clusters { clusters: 3 })),
        ("no features", with(|training| training.features.clear())),
        ("features", features(4_097, 1)),
        ("no hidden units", hidden(0)),
        ("hidden units", hidden(1_025)),
        // 4,096 * 489 + 2 * 489 + 1 are above two millions; with one unit less they are not.
        ("parameters", features(4_096, 489)),
        // 24 bytes of 100,201 parameters in 501 rounds are above a gibibyte.
        ("what rounds leave", many(500)),
        ("no clusters", clusters(0)),
        ("clusters", clusters(1_025)),
        ("no factors", rank(0)),
        ("factors", rank(65)),
        (
            "features for affinity",
            with(|training| {
                training.model = wanted(&mut affinity(|_, _, _| {})).model.clone();
                training.label = None;
            }),
        ),
        ("no items", affinity(|items, _, _| items.clear())),
        ("an item twice", affinity(|items, _, _| items.push(" COFFEE".into()))),
        ("an empty item", affinity(|items, _, _| items.push("  ".into()))),
        ("a long item", affinity(|items, _, _| items.push("x".repeat(257)))),
        ("items of no days", affinity(|_, days, _| *days = 0)),
        ("items of years", affinity(|_, days, _| *days = 3_661)),
        ("no best items", affinity(|_, _, best| *best = 0)),
    ]
}

/// Requests at a limit.
fn at_the_limit() -> Vec<Case> {
    let setting = |change: fn(&mut Settings)| with(|training| change(&mut training.settings));
    let scale = |change: fn(&mut Scale)| with(|training| change(&mut training.features[1].scale));
    vec![
        ("least", setting(|s| (s.clip, s.learning_rate, s.ridge) = (1, 1, 1))),
        ("clip", setting(|settings| settings.clip = 1_000_000)),
        ("step", setting(|settings| settings.learning_rate = 1_000_000_000)),
        ("momentum", setting(|settings| settings.momentum = 999)),
        ("penalty", setting(|settings| settings.penalty = 100_000_000)),
        ("ridge", setting(|settings| settings.ridge = 1_000_000)),
        ("unlisted", setting(|settings| settings.unlisted = 1_000)),
        (
            "noise",
            with(|t| (t.privacy.noise, t.privacy.evaluation_noise, t.rounds) = (1_000_000, 1_000_000, 1_000)),
        ),
        ("sampling", with(|training| training.privacy.sampling = 1)),
        ("delta", with(|training| training.privacy.delta = 10_000_000)),
        ("one round", with(|training| training.rounds = 1)),
        ("evaluated at the end", with(|training| training.evaluate_every = 4)),
        ("one in a thousand held out", with(|training| training.held_out = 1)),
        ("half held out", with(|training| training.held_out = 500)),
        ("perfect", with(|training| training.accept_from = 1_000_000)),
        ("any", with(|training| training.accept_from = 0)),
        (
            "scale",
            scale(|s| (s.centre, s.spread, s.bound) = (-1_000_000_000_000, 1_000_000_000_000, 1_000_000)),
        ),
        ("window", with(|training| training.features[0].days = 3_660)),
        ("label of ten years", with(|training| training.label.as_mut().unwrap().days = 3_660)),
        ("any record is a label", with(|training| training.label.as_mut().unwrap().condition.clear())),
        ("everybody", with(|training| training.cohort.clear())),
        ("clusters", clusters(1_024)),
        ("two local steps", local(|local, _| local.steps = 2)),
        ("local steps", local(|local, _| local.steps = 64)),
        ("short local steps", local(|local, _| (local.rate, local.norm) = (1, 1_000_000))),
        (
            "clip of local steps",
            local(|local, settings| (settings.clip, local.rate, local.norm) = (200_000, 100, 200_000)),
        ),
        (
            "parameters",
            with(|training| {
                training.features = vec![feature(Family::Frequency, vec![]); 4_096];
                training.model = ModelKind::Perceptron { hidden: 488 };
            }),
        ),
        (
            "affinity",
            affinity(|items, days, best| {
                items.push("x".repeat(256));
                (*days, *best) = (3_660, 1);
            }),
        ),
    ]
}

/// Requests that ask for what they may not.
fn unsuited() -> Vec<(&'static str, Code, TaskRequest)> {
    let text = |text: &str| Argument::Text(text.into());
    let time = |name: &'static str| with(|training| training.time = attribute(name));
    let sum = |name| also(Family::Sum(attribute(name)), vec![]);
    let distinct = |name| also(Family::Distinct(attribute(name)), vec![]);
    let cohort =
        |rule: &'static str, argument| with(|training| training.cohort = vec![operand(rule, argument)]);
    let mut marketing = propensity("t1");
    (marketing.submitter, marketing.scope) = (actor(SUBMITTER), scope("marketing"));
    let mut audience = campaign("c1");
    (audience.submitter, audience.scope) = (actor("trainer"), scope("training"));
    let mut foreign = propensity("t1");
    foreign.submitter = actor(SUBMITTER);
    let mut items = affinity(|_, _, _| {});
    if let ModelKind::Affinity { attribute: read, .. } = &mut wanted(&mut items).model {
        *read = attribute("health.diagnosis");
    }
    vec![
        ("a training under marketing", Code::ScopeUnsuited, marketing),
        ("an audience under training", Code::ScopeUnsuited, audience),
        ("a submitter without the scope", Code::Forbidden, foreign),
        ("unknown time", Code::AttributeUnknown, time("commerce.nothing")),
        ("an amount as time", Code::AttributeUnknown, time("commerce.amount")),
        ("unknown amount", Code::AttributeUnknown, sum("commerce.nothing")),
        ("the sum of texts", Code::AttributeUnknown, sum("commerce.brand")),
        ("different amounts", Code::AttributeUnknown, distinct("commerce.amount")),
        ("deprecated", Code::AttributeUnknown, distinct("commerce.loyalty")),
        ("local only", Code::NotQueryable, distinct("health.diagnosis")),
        ("deliverable only", Code::NotQueryable, distinct("identity.contact_handle")),
        ("items that are local only", Code::NotQueryable, items),
        ("a cohort that is local only", Code::NotQueryable, cohort("health.diagnosis_equals", text("flu"))),
        ("an unknown rule", Code::AttributeUnknown, cohort("commerce.nothing", text("x"))),
        (
            "an argument of another kind",
            Code::Malformed,
            cohort("commerce.brand_purchase", Argument::Days(3)),
        ),
        (
            "a filter across domains",
            Code::CrossDomain,
            also(Family::Recency, vec![operand("commerce.payment_method", text("cash"))]),
        ),
        (
            "a label across domains",
            Code::CrossDomain,
            with(|training| {
                let label = training.label.as_mut().unwrap();
                label.condition.push(operand("commerce.payment_method", text("cash")));
            }),
        ),
        ("rounds beyond the budget", Code::BudgetTooSmall, with(|training| training.rounds = 100)),
    ]
}

/// R018, R046-R050, R060, R098: each refusal has its code, the lock goes back whole, and nothing is reserved.
#[test]
fn a_refusal_has_its_code_and_refunds_the_lock() {
    let beyond = beyond()
        .into_iter()
        .chain(oversized())
        .map(|(name, request)| (name, Code::SettingOutOfRange, request));
    for (name, code, request) in beyond.chain(unsuited()) {
        assert_eq!(judged(&request).unwrap_err(), code, "{name}");
        let mut world = World::new(Script::default());
        let events = world.submit(&request, PLENTY).unwrap();
        let [Event::AdmissionRefused { code: refused, refund: Some((_, refund)), .. }] = &events[..] else {
            panic!("{name}: {events:?}")
        };
        assert_eq!((*refused, refund.amount), (code, PLENTY), "{name}");
        world.run(Disturbance::default());
        assert!(
            world.locked.is_empty() && world.reserved.is_empty() && world.state.tasks.is_empty(),
            "{name}"
        );
    }
}

/// R098: what is at a limit is within it.
#[test]
fn what_is_at_a_limit_is_admitted() {
    for (name, request) in at_the_limit() {
        assert_eq!(judged(&request).map(drop), Ok(()), "{name}");
    }
}

/// R060: consent is asked for the training's scope, and for no more than the attributes that it reads.
#[test]
fn vaults_are_asked_for_the_scope_and_what_is_read() {
    let (world, task) = requested(&propensity("t1"), Script::default());
    let Answer::Preparing(admission) = &world.state.requests[&task].answer else { panic!("not asked") };
    let asked = admission.preparation(&vault("vault-b"));
    assert_eq!((asked.scope, asked.epsilon), (scope("training"), Epsilon(2_728_985)));
    let read = ["commerce.amount", "commerce.brand", "commerce.category", "commerce.purchase_date"];
    assert_eq!(
        asked.attributes,
        read.into_iter().chain(["geography.city"]).map(attribute).collect::<Vec<_>>()
    );
    // A round has five seconds under this policy, and there are five of them.
    assert_eq!(asked.deadline, START.plus(2_000 + 60_000 + 5 * 5_000));
}

/// R098: what a training reads altogether has a limit.
#[test]
fn a_training_reads_so_many_attributes() {
    let mut governance = governance();
    let model = governance.meanings.founded.attributes[&attribute("commerce.category")].clone();
    let name = |number: usize| attribute(&format!("commerce.extra_{number}"));
    let extra = (0..OPERANDS_MAX).map(|number| (name(number), model.clone()));
    governance.meanings.founded.attributes.extend(extra);
    // The training reads five.
    let reading = |more: usize| {
        with(|training| {
            let of = |number| feature(Family::Distinct(name(number)), vec![]);
            training.features.extend((0..more).map(of));
        })
    };
    assert!(terms(&governance, &reading(OPERANDS_MAX - 5), START).is_ok());
    assert_eq!(terms(&governance, &reading(OPERANDS_MAX - 4), START).unwrap_err(), Code::SettingOutOfRange);
}

/// Changes the privacy terms and asks for so many rounds, evaluated as often.
fn of(rounds: u32, noise: u32, evaluation_noise: u32, evaluate_every: u32) -> TaskRequest {
    with(|training| {
        (training.privacy.noise, training.privacy.evaluation_noise) = (noise, evaluation_noise);
        (training.rounds, training.evaluate_every) = (rounds, evaluate_every);
    })
}

fn possible(governance: &Governance, request: &mut TaskRequest) -> u32 {
    let scope = request.scope.clone();
    rounds_possible(governance, &scope, wanted(request), START).unwrap()
}

/// R098: the quote of a training that is too long says how many rounds would do: so many are admitted, and one more is
/// refused, whether it is the steps or the evaluations that a person's budget does not allow.
#[test]
fn so_many_rounds_are_possible_and_no_more() {
    let governance = governance();
    // (noise, of evaluations, steps between them) and what 4 epsilon at delta 1e-5 allow: 13 releases of noise 4 and 7 of
    // noise 3, of which two and a tenth are spare.
    let steps = [(4_000, 8_000, 1, 10), (3_000, 8_000, 3, 4)];
    let evaluations = [(40_000, 4_000, 1, 10), (40_000, 4_000, 7, 70)];
    for (noise, evaluation_noise, every, rounds) in steps.into_iter().chain(evaluations) {
        let request = |rounds| of(rounds, noise, evaluation_noise, every);
        let mut asked = request(900);
        assert_eq!(judged(&asked).unwrap_err(), Code::BudgetTooSmall);
        assert_eq!(possible(&governance, &mut asked), rounds, "noise {noise}, {evaluation_noise}");
        assert!(judged(&request(rounds)).is_ok(), "noise {noise}, {evaluation_noise}: {rounds}");
        assert_eq!(judged(&request(rounds + 1)).unwrap_err(), Code::BudgetTooSmall);
    }
    // The policy's limit is one too.
    assert_eq!(possible(&governance, &mut of(4, 1_000_000, 1_000_000, 1)), 1_000);
    // A cap over all scopes binds like the scope's own limit.
    let mut capped = governance.clone();
    let active = capped.calendar.founded().version;
    capped.policies.get_mut(&active).unwrap().privacy.subject_cap = Epsilon(2_728_985);
    assert_eq!(possible(&capped, &mut propensity("t1")), 4);
    capped.policies.get_mut(&active).unwrap().privacy.subject_cap = Epsilon(2_728_984);
    assert_eq!(possible(&capped, &mut propensity("t1")), 3);
    assert_eq!(terms(&capped, &propensity("t1"), START).unwrap_err(), Code::BudgetTooSmall);
}

/// R098: the plan of a request is the same bytes whenever it is resolved, but for the evaluation time of a request that
/// names none.
#[test]
fn the_plan_is_fixed() {
    let resolved = |request: &TaskRequest, at| terms(&governance(), request, at).unwrap().plan;
    let mut request = propensity("t1");
    assert_eq!(to_bytes(&resolved(&request, START)), to_bytes(&resolved(&request, START)));
    let Plan::Training(plan) = resolved(&request, START) else { panic!("no training") };
    assert_eq!((plan.evaluated_at, plan.minimum_cohort), (START, 50));
    assert_eq!(plan.combined_privacy_class, PrivacyClass::Sensitive);
    let Predicate::TextEquals(city) = &plan.training.cohort[0].predicate else { panic!("no text") };
    assert_eq!(city, "shanghai");
    let Work::Training(asked) = &mut request.work else { panic!("no training") };
    asked.evaluate_at = Some(START.minus(7));
    let named = resolved(&request, START);
    assert_eq!(to_bytes(&named), to_bytes(&resolved(&request, START.plus(1_000_000))));
    let Plan::Training(plan) = named else { panic!("no training") };
    assert_eq!(plan.evaluated_at, START.minus(7));
    // Items are compared like texts, in their order.
    let Plan::Training(plan) = resolved(&affinity(|_, _, _| {}), START) else { panic!("no training") };
    let ModelKind::Affinity { items, .. } = plan.training.model else { panic!("no items") };
    assert_eq!(items, ["coffee", "milk", "tea"]);
}

/// R048: days count back from the evaluation time, wherever an operand stands.
#[test]
fn windows_of_operands_end_at_the_evaluation_time() {
    let recency = || operand("commerce.purchase_recency", Argument::Days(2));
    let mut request = with(|training| {
        training.cohort = vec![recency()];
        training.features[0].filter = vec![recency()];
    });
    let Work::Training(asked) = &mut request.work else { panic!("no training") };
    asked.evaluate_at = Some(OrderedMillis(10 * 86_400_000));
    let Plan::Training(plan) = judged(&request).unwrap().plan else { panic!("no training") };
    let window =
        Predicate::Between { since: RecordMillis(8 * 86_400_000), until: RecordMillis(10 * 86_400_000) };
    assert_eq!(plan.training.cohort[0].predicate, window);
    assert_eq!(plan.training.features[0].filter[0].predicate, window);
}

/// R098: what was fixed at admission stays when governance changes its mind in the middle of the rounds.
#[test]
fn a_new_meaning_does_not_touch_a_training() {
    let (mut world, task) = super::at_round(2);
    let before = world.task(&task).envelope.clone();
    let brand = attribute("commerce.brand");
    world.state.governance.meanings.founded.attributes.get_mut(&brand).unwrap().lifecycle =
        AttributeLifecycle::Deprecated;
    assert_eq!(terms(&world.state.governance, &propensity("t2"), START).unwrap_err(), Code::AttributeUnknown);
    world.train_until(&task, 4);
    assert_eq!(world.task(&task).envelope, before);
    assert_eq!(planned(&before).rounds, 4);
}

/// R020: a lock serves one request: another value of any field is another purpose, and the lock pays for none of it.
#[test]
fn every_field_of_a_training_is_in_the_purpose_of_its_lock() {
    let request = |change: fn(&mut TaskRequest)| {
        let mut request = propensity("t1");
        change(&mut request);
        request
    };
    let mut changed = vec![
        request(|request| request.request = RequestId::new("t2").unwrap()),
        request(|request| request.submitter = actor(SUBMITTER)),
        request(|request| request.scope = scope("marketing")),
        request(|request| drop(request.vaults.pop())),
        request(|request| request.quorum = 3),
        request(|request| request.recipient[0] ^= 1),
        request(|request| {
            let Work::Training(asked) = &mut request.work else { panic!() };
            asked.evaluate_at = Some(START);
        }),
    ];
    let changes: [fn(&mut Training<Operand>); 39] = [
        |t| t.model = ModelKind::Perceptron { hidden: 1 },
        |t| t.model = ModelKind::Perceptron { hidden: 2 },
        |t| t.model = ModelKind::Clusters { clusters: 2 },
        |t| t.model = ModelKind::LocalLogistic(Local { steps: 2, rate: 1, norm: 1_000 }),
        |t| t.model = ModelKind::LocalLogistic(Local { steps: 3, rate: 1, norm: 1_000 }),
        |t| t.model = ModelKind::LocalLogistic(Local { steps: 2, rate: 2, norm: 1_000 }),
        |t| t.model = ModelKind::LocalLogistic(Local { steps: 2, rate: 1, norm: 1_001 }),
        |t| t.time = attribute("commerce.other_date"),
        |t| t.cohort.clear(),
        |t| t.cohort[0].argument = Argument::Text("Beijing".into()),
        |t| t.features.swap(0, 1),
        |t| drop(t.features.pop()),
        |t| t.features[0].family = Family::Frequency,
        |t| t.features[1].family = Family::Mean(attribute("commerce.amount")),
        |t| t.features[1].family = Family::Share(attribute("commerce.amount")),
        |t| t.features[0].filter.clear(),
        |t| t.features[0].days += 1,
        |t| t.features[0].scale.logarithm = true,
        |t| t.features[0].scale.centre -= 1,
        |t| t.features[0].scale.spread += 1,
        |t| t.features[0].scale.bound += 1,
        |t| t.label = None,
        |t| t.label.as_mut().unwrap().days += 1,
        |t| t.label.as_mut().unwrap().condition.clear(),
        |t| t.settings.clip += 1,
        |t| t.settings.learning_rate += 1,
        |t| t.settings.momentum += 1,
        |t| t.settings.penalty += 1,
        |t| t.settings.ridge += 1,
        |t| t.settings.unlisted += 1,
        |t| t.privacy.noise += 1,
        |t| t.privacy.sampling -= 1,
        |t| t.privacy.evaluation_noise += 1,
        |t| t.privacy.delta -= 1,
        |t| t.rounds += 1,
        |t| t.evaluate_every += 1,
        |t| t.patience += 1,
        |t| t.held_out += 1,
        |t| t.accept_from += 1,
    ];
    changed.extend(changes.map(with));
    let purposes: BTreeSet<_> = changed.iter().map(TaskRequest::lock_purpose).collect();
    assert_eq!(purposes.len(), changed.len());
    assert!(!purposes.contains(&propensity("t1").lock_purpose()));
    let fact = lock(&propensity("t1"), PLENTY);
    for (case, request) in changed.into_iter().enumerate() {
        let mut world = World::new(Script::default());
        let Command::SubmitTask { fact, .. } = world.submission(&request, fact) else { panic!() };
        let command = Command::SubmitTask { request, lock: lock(&propensity("t1"), PLENTY).lock, fact };
        let refusal = world.order(&command).unwrap_err();
        assert!([Code::EscrowMismatch, Code::Forbidden].contains(&refusal.code), "case {case}: {refusal}");
        assert!(world.state.requests.is_empty() && world.state.epochs.is_empty(), "case {case}");
    }
}

/// R104, R155: 20 + 15 slices of 0.1 + 5 rounds of 0.2 + 3 Vaults times 2.728985 epsilon of 2 SYM. The loss is the exact
/// Gaussian's of seven steps of noise 4: four of the plan and three that are spare.
#[test]
fn the_worst_case_is_the_sum_of_its_terms() {
    let terms = judged(&propensity("t1")).unwrap();
    let charge = PrivacyCharge { exposure: Epsilon(0), noised: Epsilon(2_728_985) };
    assert_eq!(terms.charge, charge);
    let fee = Fee {
        base: Sym(2_000_000_000),
        vaults: Sym(150_000_000),
        records: Sym(0),
        aggregation: Sym(100_000_000),
        fuel: Sym(0),
        epsilon: Sym(1_637_391_000),
        total: Sym(3_887_391_000),
    };
    assert_eq!(terms.worst_case, fee);
    // The lock outlives five rounds of five seconds, all stages, four reviews of twenty seconds, and two epochs.
    let stages = 2_000 + 60_000 + 25_000 + 30_000 + 30_000 + 10_000 + 80_000;
    assert_eq!(terms.lock_until, START.plus(stages + 2 * EPOCH_MS));
}

/// R020, R156: one unit less than the worst case does not pay for a training.
#[test]
fn a_lock_below_the_worst_case_is_refused() {
    for (amount, refused) in [(3_887_390_999, true), (3_887_391_000, false)] {
        let mut world = World::new(Script::default());
        let events = world.submit(&propensity("t1"), Sym(amount)).unwrap();
        let too_small = matches!(events[0], Event::AdmissionRefused { code: Code::EscrowTooSmall, .. });
        assert_eq!(too_small, refused, "{amount}");
    }
}

/// R104: spending rounds up to the base unit, and what does not fit is refused.
#[test]
fn the_epsilon_of_a_training_rounds_up() {
    let mut policy = policy().train;
    policy.per_epsilon = Sym(1);
    let done = Rounds { rounds: 2, slices: 5 };
    let epsilon = |micro| training_fee(&policy, done, Epsilon(micro)).map(|fee| fee.epsilon);
    assert_eq!(epsilon(0), Ok(Sym(0)));
    assert_eq!(epsilon(1), Ok(Sym(1)));
    assert_eq!(epsilon(3_000_000), Ok(Sym(3)));
    assert_eq!(epsilon(3_000_001), Ok(Sym(4)));
    let fee = training_fee(&policy, done, Epsilon(1)).unwrap();
    assert_eq!((fee.vaults, fee.aggregation), (Sym(50_000_000), Sym(40_000_000)));
    assert_eq!(fee.total, Sym(2_090_000_001));
    let endless = Rounds { rounds: u64::MAX, ..done };
    assert_eq!(training_fee(&policy, endless, Epsilon(1)), Err(Code::Malformed));
}
