//! A version of meaning comes into force at the beginning of an epoch, after one epoch of notice; what was resolved before keeps its
//! meaning, and nothing is redefined unsaid (R044, R045, R047, R048, R052, R053, R054, R190).

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_protocol::admission::explain::{Asks, path};
use symphony_protocol::admission::request::terms;
use symphony_protocol::artifact::selection::Selection;
use symphony_protocol::artifact::{Argument, Plan, Predicate, PrivacyClass, TaskRequest, Work};
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::log::replay;
use symphony_protocol::governance::meaning::{Amendment, between};
use symphony_protocol::governance::semantics::*;
use symphony_protocol::lifecycle::Stage;
use symphony_protocol::machine::{Command, Event, State};
use symphony_types::catalogue::Code;
use symphony_types::id::{DomainName, EpochId, RuleName, SemanticVersion};
use symphony_types::key::Document as _;
use symphony_types::time::OrderedMillis;

use super::tasks::decide;
use super::{order, proposal, propose, vote};
use crate::stage::{EPOCH_MS, PLENTY, START, TIMELOCK_MS, attribute, campaign, governance, operand, query};
use crate::world::{Script, World};

const FIRST: SemanticVersion = SemanticVersion(1);
const SECOND: SemanticVersion = SemanticVersion(2);
const TIER: &str = "commerce.tier";
const BRAND: &str = "commerce.brand";

fn domain(name: &str) -> DomainName {
    DomainName::new(name).unwrap()
}

fn rule(name: &str) -> RuleName {
    RuleName::new(name).unwrap()
}

/// What makes of the last version what `change` makes of it.
fn amended(governance: &Governance, change: impl FnOnce(&mut Semantics)) -> Amendment {
    let (_, last) = governance.meanings.last();
    let mut next = last.clone();
    change(&mut next);
    between(last, &next)
}

fn amend(version: u32, amendment: Amendment) -> Change {
    Change::AmendMeaning { version: SemanticVersion(version), amendment: Box::new(amendment) }
}

fn tier(lifecycle: AttributeLifecycle) -> Attribute {
    Attribute {
        domain: domain("commerce"),
        value: ValueType::Text,
        privacy_class: PrivacyClass::Low,
        queryability: Queryability::DirectlyQueryable,
        lifecycle,
    }
}

fn with_tier(next: &mut Semantics) {
    next.attributes.insert(attribute(TIER), tier(AttributeLifecycle::Registered));
    let is = Rule {
        attribute: attribute(TIER),
        kind: RuleKind::Equality,
        cross_domain_policy: CrossDomainPolicy::Allowed,
    };
    next.rules.insert(rule("commerce.tier_is"), is);
}

fn grown(next: &mut Semantics, name: &str, lifecycle: AttributeLifecycle) {
    next.attributes.get_mut(&attribute(name)).unwrap().lifecycle = lifecycle;
}

/// The first moment of the epoch after the next.
fn in_force(state: &State, enacted: OrderedMillis) -> OrderedMillis {
    let governance = &state.governance;
    governance.end_of(EpochId(governance.epoch_of(enacted).0 + 1))
}

/// Makes the next version with the council and waits until it is in force.
fn adopt(world: &mut World, number: u64, change: impl FnOnce(&mut Semantics)) {
    let amendment = amended(&world.state.governance, change);
    decide(world, number, amend(u32::try_from(number).unwrap() + 1, amendment));
    world.now = world.state.governance.meanings.last().0;
}

fn asking(request: &str, rule: &str, text: &str) -> TaskRequest {
    let mut asked = campaign(request);
    let Work::Audience(query) = &mut asked.work else { panic!("no audience") };
    query.who = Selection::Record(vec![operand(rule, Argument::Text(text.into()))]);
    asked
}

/// R045: the life of an attribute, and how one begins that the council adds, pinned.
#[test]
fn the_life_of_an_attribute_is_pinned() {
    let mut table = String::new();
    for from in AttributeLifecycle::ALL {
        let begins = if from.begins() { "*" } else { " " };
        write!(table, "{begins} {:<12}", format!("{from:?}")).unwrap();
        for to in AttributeLifecycle::ALL {
            let step = if from.may_become(to) { format!("{to:?}") } else { "-".to_owned() };
            write!(table, "{step:<12}").unwrap();
        }
        writeln!(table).unwrap();
    }
    insta::assert_snapshot!(table);
}

/// R045, R052, R190: enacted in one epoch, in force after the next; a registered attribute admits no task, an active one does, and which
/// moment is asked decides.
#[test]
fn a_meaning_has_one_epoch_of_notice() {
    let mut world = World::new(Script::default());
    let amendment = amended(&world.state.governance, with_tier);
    assert_eq!(amendment.redefines, Redefined::default(), "what comes redefines nothing");
    decide(&mut world, 1, amend(2, amendment));
    let governance = &world.state.governance;
    let from = in_force(&world.state, START.plus(TIMELOCK_MS));
    assert_eq!(governance.semantics_at(from.minus(1)).version, FIRST);
    assert_eq!(governance.semantics_at(from).version, SECOND);
    assert_eq!(governance.semantics_of(FIRST), Ok(&crate::stage::governance().meanings.founded));
    let gold = asking("c1", "commerce.tier_is", "gold");
    let asked = |world: &World, at| terms(&world.state.governance, &gold, at).map(|_| ());
    assert_eq!(asked(&world, from), Err(Code::AttributeUnknown), "it is registered, and not in use");
    world.now = from;
    adopt(&mut world, 2, |next| grown(next, TIER, AttributeLifecycle::Active));
    let active = world.now;
    assert_eq!(asked(&world, active.minus(1)), Err(Code::AttributeUnknown));
    assert_eq!(asked(&world, active), Ok(()));
}

/// R045, R053, R054: a task that began under one version is verified and settled by it when another one is in force, in which its attribute
/// is deprecated; the same request is refused by then. What it was resolved to is the same bytes.
#[test]
fn a_task_keeps_the_meaning_of_its_admission() {
    let mut world = World::new(Script::default());
    let amendment =
        amended(&world.state.governance, |next| grown(next, BRAND, AttributeLifecycle::Deprecated));
    decide(&mut world, 1, amend(2, amendment));
    let from = world.state.governance.meanings.last().0;
    world.now = from.minus(1);
    let old = campaign("old");
    world.submit(&old, PLENTY).unwrap();
    let before = terms(&governance(), &old, from.minus(1)).unwrap().plan;
    world.now = from;
    while world.step(false) {}
    let refused = world.submit(&campaign("new"), PLENTY).unwrap();
    assert!(
        matches!(&refused[..], [Event::AdmissionRefused { code: Code::AttributeUnknown, .. }]),
        "{refused:?}"
    );
    let end = world.now.plus(crate::stage::policy().deadlines.challenge_ms);
    world.advance(end);
    let task = world.task(&old.task());
    let Stage::Completed { context, .. } = &task.stage else { panic!("the task is {:?}", task.stage) };
    assert_eq!(context.versions.semantic, FIRST);
    assert_eq!(task.envelope.plan, before);
    let governance = &world.state.governance;
    assert!(path(governance.semantics_of(FIRST).unwrap(), &task.envelope.plan).is_ok());
    assert_eq!(
        path(governance.semantics_of(SECOND).unwrap(), &task.envelope.plan),
        Err(Code::AttributeUnknown)
    );
}

/// R047, R048, R052, R053: the path of a plan names each rule, attribute and comparison, and a plan that says anything else than its version is
/// refused.
#[test]
fn a_path_says_what_each_name_came_to() {
    let governance = governance();
    let semantics = governance.semantics_at(START);
    let plan = terms(&governance, &campaign("c1"), START).unwrap().plan;
    let steps = path(semantics, &plan).unwrap();
    let names: Vec<_> = steps
        .iter()
        .map(|step| (step.rule.map(|(name, _)| name.as_str()), step.attribute.0.as_str()))
        .collect();
    let expected = [
        (Some("commerce.brand_purchase"), BRAND),
        (Some("geography.city_eligibility"), "geography.city"),
        (Some("commerce.purchase_recency"), "commerce.purchase_date"),
        (None, "identity.contact_handle"),
    ];
    assert_eq!(names, expected);
    assert_eq!(steps[0].asks, Asks::Holds(&Predicate::TextEquals("luckin coffee".into())));
    assert_eq!(steps[3].asks, Asks::Delivers);
    let refused = |bend: &dyn Fn(&mut Plan)| {
        let mut bent = plan.clone();
        bend(&mut bent);
        path(semantics, &bent).map(|_| ()).unwrap_err()
    };
    let operand =
        |plan: &mut Plan, place: usize, bend: &dyn Fn(&mut symphony_protocol::artifact::ResolvedOperand)| {
            let Selection::Record(condition) = &mut query(plan).who else { panic!("one record") };
            bend(&mut condition.operands[place]);
        };
    assert_eq!(
        refused(&|plan| operand(plan, 0, &|one| one.attribute = attribute("commerce.category"))),
        Code::AttributeUnknown
    );
    assert_eq!(
        refused(&|plan| operand(plan, 0, &|one| one.rule = rule("commerce.nothing"))),
        Code::AttributeUnknown
    );
    assert_eq!(
        refused(&|plan| operand(plan, 0, &|one| one.predicate = Predicate::AtLeast(1))),
        Code::AttributeUnknown
    );
    assert_eq!(
        refused(&|plan| operand(
            plan,
            2,
            &|one| if let Predicate::Between { until, .. } = &mut one.predicate {
                until.0 += 1;
            }
        )),
        Code::AttributeUnknown
    );
    assert_eq!(refused(&|plan| query(plan).output = attribute(BRAND)), Code::NotQueryable);
    assert_eq!(
        refused(&|plan| query(plan).output = attribute("identity.fax_number")),
        Code::AttributeUnknown
    );
    assert_eq!(refused(&|plan| query(plan).combined_privacy_class = PrivacyClass::Low), Code::Malformed);
}

/// R044, R048: a part of a domain is of that domain: rules that keep to it may meet there, and not with another one's.
#[test]
fn a_part_of_a_domain_belongs_to_it() {
    let mut world = World::new(Script::default());
    let grocery = |next: &mut Semantics| {
        next.domains.insert(domain("grocery"), Domain { part_of: Some(domain("commerce")) });
        let aisle = Attribute { domain: domain("grocery"), ..tier(AttributeLifecycle::Registered) };
        next.attributes.insert(attribute("grocery.aisle"), aisle);
        let read = attribute("grocery.aisle");
        let (kind, cross_domain_policy) = (RuleKind::Equality, CrossDomainPolicy::Denied);
        next.rules.insert(rule("grocery.aisle_is"), Rule { attribute: read, kind, cross_domain_policy });
    };
    adopt(&mut world, 1, grocery);
    adopt(&mut world, 2, |next| grown(next, "grocery.aisle", AttributeLifecycle::Active));
    let beside = |other: &str| {
        let mut asked = asking("c1", "grocery.aisle_is", "7");
        let Work::Audience(query) = &mut asked.work else { panic!("no audience") };
        let Selection::Record(operands) = &mut query.who else { panic!("one record") };
        operands.push(operand(other, Argument::Text("x".into())));
        terms(&world.state.governance, &asked, world.now).map(|_| ())
    };
    assert_eq!(beside("commerce.brand_purchase"), Ok(()));
    assert_eq!(beside("geography.city_eligibility"), Err(Code::CrossDomain));
}

/// R045, R052: each amendment that cannot be made has its code, and is not even proposed.
#[test]
fn an_amendment_that_cannot_be_made_is_refused_with_its_code() {
    let mut state = State::genesis(governance());
    let mut refused = |version, amendment| {
        let made = proposal(&state, 1, 1, amend(version, amendment));
        order(&mut state, START, propose(&made)).unwrap_err().code
    };
    let of = |change: &dyn Fn(&mut Semantics)| amended(&governance(), change);
    assert_eq!(refused(1, of(&with_tier)), Code::ChangeUnfit);
    assert_eq!(refused(3, of(&with_tier)), Code::ChangeUnfit);
    assert_eq!(refused(2, Amendment::default()), Code::MeaningUnfit);
    let unsound: [&dyn Fn(&mut Semantics); 6] = [
        &|next| {
            let parts = [("a", "b"), ("b", "a")];
            let part = |(name, of)| (domain(name), Domain { part_of: Some(domain(of)) });
            next.domains.extend(parts.map(part));
        },
        &|next| drop(next.domains.insert(domain("a"), Domain { part_of: Some(domain("nowhere")) })),
        &|next| {
            let away = Attribute { domain: domain("nowhere"), ..tier(AttributeLifecycle::Registered) };
            next.attributes.insert(attribute(TIER), away);
        },
        &|next| {
            with_tier(next);
            next.attributes.remove(&attribute(TIER));
        },
        &|next| {
            with_tier(next);
            next.rules.get_mut(&rule("commerce.tier_is")).unwrap().kind = RuleKind::Sum;
        },
        &|next| {
            for number in 0..300 {
                let name = attribute(&format!("commerce.many_{number}"));
                next.attributes.insert(name, tier(AttributeLifecycle::Registered));
            }
        },
    ];
    for (number, change) in unsound.into_iter().enumerate() {
        assert_eq!(refused(2, of(change)), Code::MeaningUnsound, "{number}");
    }
    let unfit: [&dyn Fn(&mut Semantics); 6] = [
        &|next| drop(next.attributes.insert(attribute(TIER), tier(AttributeLifecycle::Active))),
        &|next| grown(next, BRAND, AttributeLifecycle::Registered),
        &|next| grown(next, BRAND, AttributeLifecycle::Retired),
        &|next| {
            let city = next.attributes.get_mut(&attribute("geography.city")).unwrap();
            city.domain = domain("commerce");
        },
        &|next| {
            let brand = next.attributes.get_mut(&attribute(BRAND)).unwrap();
            brand.queryability = Queryability::LocalOnly;
        },
        &|next| {
            next.rules.retain(|_, rule| rule.attribute != attribute("geography.city"));
            next.attributes.get_mut(&attribute("geography.city")).unwrap().value = ValueType::Time;
        },
    ];
    for (number, change) in unfit.into_iter().enumerate() {
        assert_eq!(refused(2, of(change)), Code::MeaningUnfit, "{number}");
    }
    // A change that is not named as one, and a name that nothing changes under.
    let higher = |next: &mut Semantics| {
        next.attributes.get_mut(&attribute(BRAND)).unwrap().privacy_class = PrivacyClass::Sensitive;
        next.rules.remove(&rule("geography.city_eligibility"));
    };
    let said = of(&higher);
    assert!(said.redefines.attributes.contains(&attribute(BRAND)));
    assert!(said.redefines.rules.contains(&rule("geography.city_eligibility")));
    let mut unsaid = said.clone();
    unsaid.redefines.attributes.clear();
    assert_eq!(refused(2, unsaid), Code::MeaningUnfit);
    let mut too_much = of(&with_tier);
    too_much.redefines.attributes.insert(attribute(BRAND));
    assert_eq!(refused(2, too_much), Code::MeaningUnfit);
    let made = proposal(&state, 1, 1, amend(2, said));
    order(&mut state, START, propose(&made)).unwrap();
}

/// R052, R190: while a version waits for its epoch no other one is proposed.
#[test]
fn one_version_of_meaning_waits_at_a_time() {
    let mut world = World::new(Script::default());
    let first = amended(&world.state.governance, with_tier);
    decide(&mut world, 1, amend(2, first));
    let (from, _) = world.state.governance.meanings.last();
    let next = amended(&world.state.governance, |next| grown(next, TIER, AttributeLifecycle::Active));
    let mut proposed = |by, at| {
        let made = proposal(&world.state, by, 2, amend(3, next.clone()));
        order(&mut world.state, at, propose(&made)).map(|_| ()).map_err(|refusal| refusal.code)
    };
    assert_eq!(proposed(2, from.minus(1)), Err(Code::VersionPending));
    assert_eq!(proposed(3, from), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// R045, R052, R054, R192: whatever amendments the council makes, in whatever order, each version stays what it was, no attribute ever vanishes or
    /// changes its type, versions meet at boundaries of epochs, and all follows from the log alone.
    #[test]
    fn versions_stay_what_they_were(steps in vec((0..5_usize, 0..12_usize, 0..3 * EPOCH_MS), 1..10)) {
        let mut state = State::genesis(governance());
        let (mut at, mut number) = (START, 0);
        let mut known = vec![state.governance.meanings.founded.clone()];
        for (to, which, pause) in steps {
            let (from, last) = state.governance.meanings.last();
            at = at.max(from).plus(pause);
            let mut next = last.clone();
            match next.attributes.keys().nth(which).cloned() {
                Some(name) => next.attributes.get_mut(&name).unwrap().lifecycle = AttributeLifecycle::ALL[to],
                None => {
                    let name = attribute(&format!("commerce.new_{to}"));
                    next.attributes.entry(name).or_insert_with(|| tier(AttributeLifecycle::Registered));
                }
            }
            let change = amend(last.version.0 + 1, between(last, &next));
            number += 1;
            let made = proposal(&state, 1, number, change);
            if order(&mut state, at, propose(&made)).is_err() {
                prop_assert_eq!(state.governance.meanings.last().1, known.last().unwrap());
                continue;
            }
            for by in 1..=3 {
                order(&mut state, at, vote(made.body.digest(), by, true)).unwrap();
            }
            at = at.plus(TIMELOCK_MS);
            order(&mut state, at, Command::AdvanceTime).unwrap();
            known.push(state.governance.meanings.last().1.clone());
        }
        let governance = &state.governance;
        for version in &known {
            prop_assert_eq!(governance.semantics_of(version.version), Ok(version));
            prop_assert!(version.check().is_ok());
        }
        for pair in known.windows(2) {
            for (name, before) in &pair[0].attributes {
                let after = &pair[1].attributes[name];
                prop_assert_eq!(before.value, after.value);
                prop_assert!(before.lifecycle.may_become(after.lifecycle));
            }
        }
        for (from, version) in governance.meanings.iter().skip(1) {
            prop_assert_eq!(governance.end_of(EpochId(governance.epoch_of(from).0 - 1)), from);
            prop_assert_eq!(governance.semantics_at(from).version, version.version);
            prop_assert!(governance.semantics_at(from.minus(1)).version < version.version);
        }
        let entries: Vec<_> = state.proposals.log.entries().cloned().collect();
        prop_assert_eq!(&replay(&self::governance(), &entries).unwrap(), governance);
    }
}
