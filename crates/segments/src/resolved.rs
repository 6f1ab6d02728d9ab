//! An audience query as a composition (R087, R092): a person qualifies when one record satisfies all operands, and the
//! time that counts is that of the first window among them.

use symphony_protocol::artifact::{Predicate, ResolvedOperand, ResolvedQuery};

use crate::composition::{Composition, Condition, Selection};

impl From<&ResolvedQuery> for Composition {
    fn from(query: &ResolvedQuery) -> Self {
        let window =
            query.operands.iter().find(|operand| matches!(operand.predicate, Predicate::Between { .. }));
        Self {
            who: Selection::record(all(&query.operands)),
            latest: window.map(|operand| operand.attribute.clone()),
        }
    }
}

/// All of these hold for one record.
pub(crate) fn all(operands: &[ResolvedOperand]) -> Condition {
    Condition::All(operands.iter().map(condition).collect())
}

fn condition(operand: &ResolvedOperand) -> Condition {
    let attribute = &operand.attribute;
    match &operand.predicate {
        Predicate::TextEquals(wanted) => Condition::text(attribute, [wanted]),
        Predicate::TextIn(wanted) => Condition::text(attribute, wanted),
        Predicate::Between { since, until } => Condition::between(attribute, since.0, until.0),
        Predicate::AtLeast(bound) => Condition::at_least(attribute, *bound),
    }
}
