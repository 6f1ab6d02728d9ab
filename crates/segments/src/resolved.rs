//! Resolved conditions as compositions (R087, R092).

use symphony_protocol::artifact::selection::{Qualification, Quantity};
use symphony_protocol::artifact::{Predicate, ResolvedOperand};
use symphony_types::id::AttributeName;

use crate::composition::{Composition, Condition, Selection};

impl Composition {
    /// Who has one record that satisfies all operands, with the latest time of those that do.
    pub fn one_record(operands: &[ResolvedOperand], latest: Option<&AttributeName>) -> Self {
        Self { who: Selection::record(all(operands)), latest: latest.cloned() }
    }
}

/// What has to be counted for a condition: presence, or each measure over the records that have everything that is measured.
pub(crate) fn counted_of(condition: &Qualification) -> Vec<Selection> {
    let present = condition.measures.iter().map(|measure| Condition::Present(measure.attribute.clone()));
    let over = Condition::All(condition.operands.iter().map(one).chain(present).collect());
    if condition.measures.is_empty() {
        return vec![Selection::record(over)];
    }
    // How much there is. Whether that is enough is decided where all records of a person are known.
    let each = condition.measures.iter().map(|measure| match measure.quantity {
        Quantity::Records => Selection::records(over.clone(), 0),
        Quantity::Sum => Selection::sum(over.clone(), &measure.attribute, 0),
    });
    each.collect()
}

/// All of these hold for one record.
pub(crate) fn all(operands: &[ResolvedOperand]) -> Condition {
    Condition::All(operands.iter().map(one).collect())
}

fn one(operand: &ResolvedOperand) -> Condition {
    let attribute = &operand.attribute;
    match &operand.predicate {
        Predicate::TextEquals(wanted) => Condition::text(attribute, [wanted]),
        Predicate::TextIn(wanted) => Condition::text(attribute, wanted),
        Predicate::Between { since, until } => Condition::between(attribute, since.0, until.0),
        Predicate::AtLeast(bound) => Condition::at_least(attribute, *bound),
        Predicate::Within { least, most } => Condition::between(attribute, *least, *most),
    }
}
