//! Which people a query means, as a submitter states it (R021).

use symphony_protocol::artifact::Operand;
use symphony_protocol::artifact::selection::{SELECTION_NODES_MAX, Selection};

use super::{Refused, malformed, operands};
use crate::v1;

/// Reads a selection; messages are nested a hundred deep at most. **Errors**: `ADM-0001` with what is missing or too much.
pub(super) fn selection(message: v1::Selection) -> Result<Selection<Vec<Operand>>, Refused> {
    use v1::selection::Of;
    match message.of.ok_or_else(|| malformed("a selection has one of record, all, any and not"))? {
        Of::Record(list) => Ok(Selection::Record(operands(list.operands, 1)?)),
        Of::All(list) => Ok(Selection::All(selections(list)?)),
        Of::Any(list) => Ok(Selection::Any(selections(list)?)),
        Of::Not(part) => Ok(Selection::Not(Box::new(selection(*part)?))),
    }
}

fn selections(list: v1::SelectionList) -> Result<Vec<Selection<Vec<Operand>>>, Refused> {
    if list.selections.len() > SELECTION_NODES_MAX {
        return Err(malformed(format!("at most {SELECTION_NODES_MAX} selections")));
    }
    list.selections.into_iter().map(selection).collect()
}
