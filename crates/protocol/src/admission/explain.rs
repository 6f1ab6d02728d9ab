//! How the names of a task were resolved (R052, R053, R054): which rule, which attribute and which comparison each came to, by the
//! version of meaning that its envelope names.
//!
//! The same walk that shows it judges it: a plan that does not follow from its version is no plan of it.

use alloc::vec;
use alloc::vec::Vec;

use symphony_types::catalogue::Code;
use symphony_types::id::{AttributeName, RuleName};
use symphony_types::time::{OrderedMillis, RecordMillis};

use super::semantics::Resolver;
use crate::artifact::selection::{Qualification, Quantity, ResolvedMeasure, Selection};
use crate::artifact::statistic::Measure;
use crate::artifact::training::{Family, ModelKind, Training};
use crate::artifact::{Plan, Predicate, ResolvedOperand};
use crate::governance::semantics::{Attribute, Rule, RuleKind, Semantics, ValueType};

/// What one name of a task came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// The rule that was named; `None` where the attribute itself was.
    pub rule: Option<(&'a RuleName, &'a Rule)>,
    /// The attribute that is read.
    pub attribute: (&'a AttributeName, &'a Attribute),
    /// What is done with it.
    pub asks: Asks<'a>,
}

/// What a task does with an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks<'a> {
    /// Whether this holds for a record.
    Holds(&'a Predicate),
    /// Whether there is so much of this over several records.
    Measures(Quantity, u64),
    /// Its values, in a form that coarsens them.
    Reads,
    /// Its values of the people who are selected, under their consent.
    Delivers,
}

/// The resolution path of a plan under a version of meaning, in the order of the plan.
///
/// **Errors**: `ADM-0008` for a name that the version does not have, or has not in use, or reads otherwise; `ADM-0009` across domains;
/// `ADM-0010` for what may not be read so; `ADM-0001` when the plan says another privacy class, or ranks people by
/// what it does not measure.
pub fn path<'a>(semantics: &'a Semantics, plan: &'a Plan) -> Result<Vec<Step<'a>>, Code> {
    let (named, evaluated_at, class) = match plan {
        Plan::Audience(query) => {
            if query.ranked().is_some_and(|place| !query.who.ranks(place)) {
                return Err(Code::Malformed);
            }
            let mut named = selecting(&query.who);
            named.push(Named::Delivered(&query.output));
            (named, query.evaluated_at, query.combined_privacy_class)
        }
        Plan::Statistic(plan) => {
            let named = [selecting(&plan.who), measured(&plan.measure)].concat();
            (named, plan.evaluated_at, plan.combined_privacy_class)
        }
        Plan::Compute(plan) => {
            let inputs = plan.declaration.inputs.iter();
            let inputs = inputs.map(|input| Named::Read(&input.attribute, input.kind.value_type()));
            let named = inputs.chain(plan.cohort.iter().map(Named::Operand)).collect();
            (named, plan.evaluated_at, plan.combined_privacy_class)
        }
        Plan::Training(plan) => (learned(&plan.training), plan.evaluated_at, plan.combined_privacy_class),
    };
    let mut resolver = Resolver::new(semantics, evaluated_at);
    let steps: Result<Vec<_>, _> =
        named.into_iter().map(|named| step(&mut resolver, named, evaluated_at)).collect();
    let steps = steps?;
    let delivered = steps.iter().filter(|step| step.asks == Asks::Delivers);
    let highest = delivered.map(|step| step.attribute.1.privacy_class).fold(resolver.finish()?, Ord::max);
    if highest == class { Ok(steps) } else { Err(Code::Malformed) }
}

/// A name of a plan.
#[derive(Clone, Copy)]
enum Named<'a> {
    Operand(&'a ResolvedOperand),
    Measured(&'a ResolvedMeasure),
    Read(&'a AttributeName, ValueType),
    Delivered(&'a AttributeName),
}

fn selecting(who: &Selection<Qualification>) -> Vec<Named<'_>> {
    let mut named = Vec::new();
    for condition in who.records() {
        named.extend(condition.operands.iter().map(Named::Operand));
        named.extend(condition.measures.iter().map(Named::Measured));
    }
    named
}

fn measured(measure: &Measure<ResolvedOperand>) -> Vec<Named<'_>> {
    let (read, over) = match measure {
        Measure::People => return vec![],
        Measure::Sum { amount, over, .. } => (Named::Read(amount, ValueType::Cents), over),
        Measure::Groups { attribute, over, .. } => (Named::Read(attribute, ValueType::Text), over),
    };
    core::iter::once(read).chain(over.iter().map(Named::Operand)).collect()
}

fn learned(training: &Training<ResolvedOperand>) -> Vec<Named<'_>> {
    let mut named = vec![Named::Read(&training.time, ValueType::Time)];
    if let ModelKind::Affinity { attribute, .. } = &training.model {
        named.push(Named::Read(attribute, ValueType::Text));
    }
    named.extend(training.cohort.iter().map(Named::Operand));
    for feature in &training.features {
        named.extend(match &feature.family {
            Family::Recency | Family::Frequency => None,
            Family::Sum(amount) | Family::Mean(amount) | Family::Share(amount) => {
                Some(Named::Read(amount, ValueType::Cents))
            }
            Family::Distinct(attribute) => Some(Named::Read(attribute, ValueType::Text)),
        });
        named.extend(feature.filter.iter().map(Named::Operand));
    }
    named.extend(training.label.iter().flat_map(|label| &label.condition).map(Named::Operand));
    named
}

fn step<'a>(
    resolver: &mut Resolver<'a>,
    named: Named<'a>,
    evaluated_at: OrderedMillis,
) -> Result<Step<'a>, Code> {
    match named {
        Named::Operand(ResolvedOperand { rule, attribute, predicate }) => {
            let (known, read) = resolver.rule(rule)?;
            let same =
                known.attribute == *attribute && binds(known.kind, read.value, predicate, evaluated_at);
            let asks = Asks::Holds(predicate);
            let step = Step { rule: Some((rule, known)), attribute: (attribute, read), asks };
            if same { Ok(step) } else { Err(Code::AttributeUnknown) }
        }
        Named::Measured(ResolvedMeasure { rule, attribute, quantity, at_least }) => {
            let (known, read) = resolver.rule(rule)?;
            let kind = match quantity {
                Quantity::Records => RuleKind::Count,
                Quantity::Sum => RuleKind::Sum,
            };
            let asks = Asks::Measures(*quantity, *at_least);
            let step = Step { rule: Some((rule, known)), attribute: (attribute, read), asks };
            if known.kind == kind && known.attribute == *attribute {
                Ok(step)
            } else {
                Err(Code::AttributeUnknown)
            }
        }
        Named::Read(name, value) => {
            let read = resolver.attribute(name, value)?;
            Ok(Step { rule: None, attribute: (name, read), asks: Asks::Reads })
        }
        Named::Delivered(name) => {
            let read = resolver.delivered(name)?;
            Ok(Step { rule: None, attribute: (name, read), asks: Asks::Delivers })
        }
    }
}

/// Whether a rule of this type binds to such a comparison.
fn binds(kind: RuleKind, value: ValueType, predicate: &Predicate, evaluated_at: OrderedMillis) -> bool {
    match (kind, value, predicate) {
        (RuleKind::Equality, ValueType::Text, Predicate::TextEquals(_))
        | (RuleKind::SetMembership, ValueType::Text, Predicate::TextIn(_))
        | (RuleKind::Threshold, ValueType::Cents, Predicate::AtLeast(_))
        | (RuleKind::Range, ValueType::Time, Predicate::Between { .. })
        | (RuleKind::Range, ValueType::Cents, Predicate::Within { .. }) => true,
        (RuleKind::Threshold, ValueType::Time, Predicate::Between { until, .. }) => {
            *until == RecordMillis(evaluated_at.0)
        }
        _ => false,
    }
}
