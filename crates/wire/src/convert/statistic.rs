//! A statistic as a submitter states it. Limits that depend on policy are judged at admission (R021).

use symphony_protocol::artifact::Operand;
use symphony_protocol::artifact::statistic::{Measure, StatisticRequest};
use symphony_types::epsilon::Epsilon;
use symphony_types::id::AttributeName;
use symphony_types::limits::SET_VALUES_MAX;
use symphony_types::time::OrderedMillis;

use super::selection::selection;
use super::{Refused, checked_text, malformed, operands};
use crate::v1;

/// Reads a statistic. **Errors**: `ADM-0001` with what is missing or too long.
pub(super) fn request(
    message: v1::Statistic,
    evaluate_at: Option<OrderedMillis>,
) -> Result<StatisticRequest, Refused> {
    Ok(StatisticRequest {
        who: selection(message.who.ok_or_else(|| malformed("who is missing"))?)?,
        measure: measure(message.measure)?,
        epsilon: Epsilon(message.epsilon_micro),
        evaluate_at,
    })
}

fn measure(message: Option<v1::statistic::Measure>) -> Result<Measure<Operand>, Refused> {
    use v1::statistic::Measure as Wire;
    match message {
        None => Ok(Measure::People),
        Some(Wire::Sum(v1::ClampedSum { amount, over, clamp })) => {
            Ok(Measure::Sum { amount: attribute("amount", &amount)?, over: operands(over, 0)?, clamp })
        }
        Some(Wire::Histogram(v1::Histogram { attribute: name, over, groups, groups_each })) => {
            if groups.len() > SET_VALUES_MAX {
                return Err(malformed(format!("groups has at most {SET_VALUES_MAX} entries")));
            }
            Ok(Measure::Groups {
                attribute: attribute("attribute", &name)?,
                over: operands(over, 0)?,
                groups: groups.into_iter().map(checked_text).collect::<Result<_, _>>()?,
                groups_each,
            })
        }
    }
}

fn attribute(field: &str, name: &str) -> Result<AttributeName, Refused> {
    AttributeName::new(name).map_err(|error| malformed(format!("{field}: {error}")))
}
