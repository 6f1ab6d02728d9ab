//! Statistics against their definition person by person, wherever records lie, and what their combination promises (R088, R092,
//! D10, D18).

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use symphony_protocol::artifact::selection::ResolvedMeasure;
use symphony_protocol::artifact::{Outcome, Predicate, PrivacyClass};
use symphony_protocol::governance::semantics::ValueType;
use symphony_protocol::vault::record::Value;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{Commitment, RuleName};
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::{OrderedMillis, RecordMillis};

use super::*;
use crate::material::{self, MaterialBuilder};

/// One deviation of noise is far below one person.
const QUIET: Epsilon = Epsilon(1_000_000_000_000);

fn name(text: &str) -> AttributeName {
    AttributeName::new(text).unwrap()
}

/// A record as its definition sees it.
#[derive(Clone, Debug)]
struct Row {
    person: u32,
    brand: Option<&'static str>,
    amount: Option<u64>,
    at: Option<u64>,
}

impl Row {
    fn values(&self) -> BTreeMap<AttributeName, Value> {
        let brand = self.brand.map(|brand| (name("commerce.brand"), Value::Text(brand.into())));
        let amount = self.amount.map(|amount| (name("commerce.amount"), Value::Cents(amount)));
        let at = self.at.map(|at| (name("commerce.date"), Value::Time(RecordMillis(at))));
        [brand, amount, at].into_iter().flatten().collect()
    }

    fn holds(&self, operand: &ResolvedOperand) -> bool {
        match (&operand.predicate, self.values().get(&operand.attribute)) {
            (Predicate::TextEquals(wanted), Some(Value::Text(text))) => normalise(text) == *wanted,
            (Predicate::TextIn(wanted), Some(Value::Text(text))) => wanted.contains(&normalise(text)),
            (Predicate::Between { since, until }, Some(Value::Time(at))) => since <= at && at <= until,
            (Predicate::AtLeast(bound), Some(Value::Cents(cents))) => cents >= bound,
            (Predicate::Within { least, most }, Some(Value::Cents(cents))) => (least..=most).contains(&cents),
            _ => false,
        }
    }

    /// Whether it counts for a condition: all operands hold, and there is whatever is measured.
    fn counts(&self, condition: &Qualification) -> bool {
        let values = self.values();
        condition.operands.iter().all(|operand| self.holds(operand))
            && condition.measures.iter().all(|measure| values.contains_key(&measure.attribute))
    }

    /// What it adds to a measure.
    fn adds(&self, measure: &ResolvedMeasure) -> u64 {
        match measure.quantity {
            Quantity::Records => 1,
            Quantity::Sum => self.amount.unwrap_or(0),
        }
    }
}

fn operand(attribute: &str, predicate: Predicate) -> ResolvedOperand {
    ResolvedOperand { rule: RuleName::new("any.rule").unwrap(), attribute: name(attribute), predicate }
}

fn brand(text: &str) -> ResolvedOperand {
    operand("commerce.brand", Predicate::TextEquals(text.into()))
}

fn plan(who: Selection<Qualification>, measure: Measure<ResolvedOperand>, minimum: u32) -> StatisticPlan {
    StatisticPlan {
        who,
        measure,
        combined_privacy_class: PrivacyClass::Sensitive,
        minimum_result_cardinality: minimum,
        epsilon: QUIET,
        evaluated_at: OrderedMillis(0),
    }
}

fn material_of(rows: &[Row]) -> Material {
    let types = [
        (name("commerce.brand"), ValueType::Text),
        (name("commerce.amount"), ValueType::Cents),
        (name("commerce.date"), ValueType::Time),
    ];
    let mut builder = MaterialBuilder::new(&types.into()).unwrap();
    for (at, row) in (0_u32..).zip(rows) {
        let commitment = Commitment(Digest::of_bytes(&at.to_le_bytes()));
        builder.push(SubjectIndex(row.person), &commitment, &row.values()).unwrap();
    }
    material::read(builder.finish().unwrap().to_vec()).unwrap()
}

fn vault(name: &str) -> VaultId {
    VaultId::new(name).unwrap()
}

/// The answer over these records, of which the first ones lie in the material and the others are noted as those in segments are.
fn answered(plan: &StatisticPlan, rows: &[Row], beside: usize) -> Sums {
    let (beside, others) = rows.split_at(beside.min(rows.len()));
    let mut notes = Notes::read(plan.inquiry(), &material_of(beside)).unwrap();
    for row in others {
        let holding = |(place, condition): (usize, &&Qualification)| {
            u32::from(condition.measures.is_empty() && row.counts(condition)) << place
        };
        let conditions = plan.who.records();
        for (place, (of, measure)) in (0..).zip(plan.who.measures()) {
            if row.counts(conditions[of]) {
                notes.measure(row.person, place, row.adds(measure));
            }
        }
        let holding: u32 = plan.who.records().iter().enumerate().map(holding).sum();
        let over = |over: &[ResolvedOperand]| over.iter().all(|operand| row.holds(operand));
        let amount = match &plan.measure {
            Measure::Sum { over: records, .. } if over(records) => row.amount.unwrap_or(0),
            Measure::People | Measure::Sum { .. } | Measure::Groups { .. } => 0,
        };
        notes.person(row.person, holding | KNOWN, amount);
        if let Measure::Groups { over: records, groups, .. } = &plan.measure {
            let group = row.brand.and_then(|brand| groups.binary_search(&normalise(brand)).ok());
            if let Some(group) = group.filter(|_| over(records)) {
                notes.group(row.person, group as u32, 1);
            }
        }
    }
    notes.sums(TaskId(Digest::ZERO), &vault("vault-a"), plan, [7; 32])
}

/// Whom a selection selects, by its definition: a set for each part of the tree. `joined` is the mistake of looking at what any of a
/// person's records has instead of at one record.
fn selected(who: &Selection<Qualification>, rows: &[Row], joined: bool) -> BTreeSet<u32> {
    let everybody: BTreeSet<u32> = rows.iter().map(|row| row.person).collect();
    let parts = |parts: &[Selection<Qualification>]| -> Vec<BTreeSet<u32>> {
        parts.iter().map(|part| selected(part, rows, joined)).collect()
    };
    let of = |holds: &dyn Fn(&&Row) -> bool| rows.iter().filter(holds).map(|row| row.person).collect();
    match who {
        Selection::Record(condition) if joined => {
            let each = condition.operands.iter().map(|operand| of(&|row| row.holds(operand)));
            each.fold(everybody, |all: BTreeSet<u32>, of: BTreeSet<u32>| &all & &of)
        }
        Selection::Record(condition) => of(&|row| {
            let counting =
                || rows.iter().filter(|other| other.person == row.person && other.counts(condition));
            let reaches = |measure: &ResolvedMeasure| {
                counting().map(|row| row.adds(measure)).sum::<u64>() >= measure.at_least
            };
            row.counts(condition) && condition.measures.iter().all(reaches)
        }),
        Selection::All(inner) => parts(inner).iter().fold(everybody, |all, part| &all & part),
        Selection::Any(inner) => parts(inner).iter().fold(BTreeSet::new(), |any, part| &any | part),
        Selection::Not(part) => &everybody - &selected(part, rows, joined),
    }
}

/// The definition of an answer: people, and cells.
fn defined(plan: &StatisticPlan, rows: &[Row], joined: bool) -> (u64, Vec<i64>) {
    let people = selected(&plan.who, rows, joined);
    let count = people.len() as u64;
    if count < plan.minimum_result_cardinality.into() {
        return (0, vec![]);
    }
    let of = |person: u32, over: &[ResolvedOperand]| -> Vec<Row> {
        let counts = |row: &&Row| row.person == person && over.iter().all(|operand| row.holds(operand));
        rows.iter().filter(counts).cloned().collect()
    };
    let cells = match &plan.measure {
        Measure::People => vec![count as i64],
        Measure::Sum { over, clamp, .. } => {
            let spent = |person: &u32| of(*person, over).iter().filter_map(|row| row.amount).sum::<u64>();
            vec![people.iter().map(|person| spent(person).min(*clamp) as i64).sum()]
        }
        Measure::Groups { over, groups, groups_each, .. } => {
            let mut cells = vec![0; groups.len()];
            for person in &people {
                let records = of(*person, over);
                let among = |group: &String| {
                    records.iter().filter(|row| row.brand.map(normalise).as_ref() == Some(group)).count()
                };
                let mut order: Vec<(usize, usize)> =
                    groups.iter().map(among).enumerate().filter(|(_, records)| *records > 0).collect();
                order.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(&other.0)));
                order.iter().take(*groups_each as usize).for_each(|(group, _)| cells[*group] += 1);
            }
            cells
        }
    };
    (count, cells)
}

fn operands() -> impl Strategy<Value = ResolvedOperand> {
    prop_oneof![
        prop::sample::select(vec!["luna", "tea house", "kiosk"]).prop_map(brand),
        Just(operand("commerce.brand", Predicate::TextIn(vec!["kiosk".into(), "luna".into()]))),
        (0_u64..40).prop_map(|least| operand("commerce.amount", Predicate::AtLeast(least))),
        (0_u64..40, 0_u64..20).prop_map(|(least, more)| {
            operand("commerce.amount", Predicate::Within { least, most: least + more })
        }),
        (0_u64..30, 0_u64..30).prop_map(|(since, days)| {
            let (since, until) = (RecordMillis(since), RecordMillis(since + days));
            operand("commerce.date", Predicate::Between { since, until })
        }),
    ]
}

fn quantities() -> impl Strategy<Value = ResolvedMeasure> {
    let measure = |attribute: &str, quantity, at_least| {
        let rule = RuleName::new("any.rule").unwrap();
        ResolvedMeasure { rule, attribute: name(attribute), quantity, at_least }
    };
    let attributes = prop::sample::select(vec!["commerce.brand", "commerce.amount", "commerce.date"]);
    prop_oneof![
        (attributes, 1_u64..5).prop_map(move |(of, least)| measure(of, Quantity::Records, least)),
        (1_u64..90).prop_map(move |least| measure("commerce.amount", Quantity::Sum, least)),
    ]
}

fn selections() -> impl Strategy<Value = Selection<Qualification>> {
    let conditions = prop::collection::vec(operands(), 0..3);
    let record = (conditions, prop::collection::vec(quantities(), 0..3))
        .prop_map(|(operands, measures)| Selection::Record(Qualification { operands, measures }));
    record.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Selection::All),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Selection::Any),
            inner.prop_map(|part| Selection::Not(Box::new(part))),
        ]
    })
}

fn measures() -> impl Strategy<Value = Measure<ResolvedOperand>> {
    let over = || prop::collection::vec(operands(), 0..2);
    prop_oneof![
        Just(Measure::People),
        (over(), 1_u64..60).prop_map(|(over, clamp)| Measure::Sum {
            amount: name("commerce.amount"),
            over,
            clamp
        }),
        (over(), 1_u32..3).prop_map(|(over, groups_each)| Measure::Groups {
            attribute: name("commerce.brand"),
            over,
            groups: vec!["kiosk".into(), "luna".into(), "nowhere".into(), "tea house".into()],
            groups_each
        }),
    ]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let brands = prop::sample::select(vec!["Luna", "luna ", "Tea House", "kiosk", "other"]);
    let amounts = prop::option::weighted(0.8, 0_u64..50);
    let row =
        (0_u32..9, prop::option::weighted(0.8, brands), amounts, prop::option::weighted(0.8, 0_u64..40));
    let row = row.prop_map(|(person, brand, amount, at)| Row { person, brand, amount, at });
    let known = row.prop_filter("a record has something", |row| !row.values().is_empty());
    prop::collection::vec(known, 0..40)
}

fn questions() -> impl Strategy<Value = StatisticPlan> {
    (selections(), measures(), 0_u32..4).prop_map(|(who, measure, minimum)| plan(who, measure, minimum))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// R079, R088, R092: the answer is that of the definition, wherever records lie and in whatever order they come.
    #[test]
    fn answers_are_those_of_the_definition(plan in questions(), rows in rows(), beside in 0_usize..40) {
        let found = answered(&plan, &rows, beside);
        prop_assert_eq!((found.people, found.cells.clone()), defined(&plan, &rows, false));
        let mut turned = rows.clone();
        turned.reverse();
        prop_assert_eq!(answered(&plan, &turned, rows.len() - beside.min(rows.len())).cells.clone(), found.cells.clone());
    }

    /// R092, D17: whoever joins changes the cells by the sensitivity at most, which the noise is scaled to.
    #[test]
    fn one_person_changes_the_cells_by_the_sensitivity_at_most(plan in questions(), rows in rows(), person in 0_u32..9) {
        let plan = StatisticPlan { minimum_result_cardinality: 0, ..plan };
        let without: Vec<Row> = rows.iter().filter(|row| row.person != person).cloned().collect();
        let (all, fewer) = (answered(&plan, &rows, 20), answered(&plan, &without, 20));
        let changed: u64 = all.cells.iter().zip(&fewer.cells).map(|(one, other)| one.abs_diff(*other)).sum();
        prop_assert!(changed <= plan.group().sensitivity(), "{} of {}", changed, plan.group().sensitivity());
    }
}

/// The negative control: a definition that joins the records of a person is found to differ.
#[test]
fn the_comparison_finds_a_wrong_evaluation() {
    let mut runner = TestRunner::deterministic();
    let mut differ = 0;
    for _ in 0..600 {
        let (plan, rows) = (questions(), rows()).new_tree(&mut runner).unwrap().current();
        let found = answered(&plan, &rows, rows.len());
        differ += usize::from((found.people, found.cells.clone()) != defined(&plan, &rows, true));
    }
    assert!(differ > 0, "no question tells one record from several");
}

fn row(person: u32, brand: &'static str, amount: u64) -> Row {
    Row { person, brand: Some(brand), amount: Some(amount), at: None }
}

/// R049: of whom nothing is known that the task reads, nobody is selected, also not by what a person does not have.
#[test]
fn nobody_is_selected_of_whom_nothing_is_known() {
    let nobody = Selection::Not(Box::new(Selection::record(vec![brand("luna")])));
    let found = answered(&plan(nobody, Measure::People, 0), &[row(7, "kiosk", 1), row(9, "luna", 1)], 2);
    assert_eq!(found.cells, [1]);
}

/// R088: a Vault with too few people tells nothing, not even how many; likewise all Vaults together.
#[test]
fn too_few_people_tell_nothing() {
    let plan = plan(Selection::All(vec![]), Measure::People, 3);
    let few = answered(&plan, &[row(1, "luna", 1), row(2, "luna", 1)], 2);
    assert_eq!((few.people, few.cells.len()), (0, 0));
    let (result, _) = combine(TaskId(Digest::ZERO), &plan, vec![few]).unwrap();
    assert_eq!((result.outcome, result.cells, result.vaults), (Outcome::Suppressed, vec![], 0));
}

/// D10, D18: equal slices have equal answers in whatever order, and noise grows with the Vaults that count.
#[test]
fn a_combination_is_a_function_of_its_slices() {
    let amount = name("commerce.amount");
    let sum = Measure::Sum { amount, over: vec![], clamp: 100 };
    let mut plan = plan(Selection::record(vec![brand("luna")]), sum, 1);
    let slice = |plan: &StatisticPlan, of: &str| {
        let notes =
            Notes::read(plan.inquiry(), &material_of(&[row(1, "luna", 500), row(2, "luna", 30)])).unwrap();
        notes.sums(TaskId(Digest::ZERO), &vault(of), plan, [of.len() as u8; 32])
    };
    let combined = |plan: &StatisticPlan, of: &[&str]| {
        combine(TaskId(Digest::ZERO), plan, of.iter().map(|of| slice(plan, of)).collect()).unwrap().0
    };
    let result = combined(&plan, &["vault-a", "vault-bb"]);
    assert_eq!(result.cells, [("commerce.amount".to_owned(), 260)]);
    assert_eq!(result, combined(&plan, &["vault-bb", "vault-a"]));
    plan.epsilon = Epsilon(500_000);
    assert_eq!(combined(&plan, &["vault-a"]).noise_scale, 200);
    let both = combined(&plan, &["vault-a", "vault-bb"]);
    assert_eq!((both.noise_scale, both.vaults), (400, 2));
    let mut wrong = slice(&plan, "vault-a");
    wrong.cells = vec![1, 2];
    assert_eq!(combine(TaskId(Digest::ZERO), &plan, vec![wrong]).err(), Some(vault("vault-a")));
}
