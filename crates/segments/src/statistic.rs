//! What records in segments say of each person for a statistic (R079, R087, R092): which conditions one of them satisfies, what an
//! amount sums up to, and how many are in each group. Who is selected is decided where records beside segments are known as well.

use std::sync::Arc;

use symphony_protocol::artifact::statistic::{Measure as Measured, StatisticPlan};

use crate::answer::{Allowed, Bounds, QueryError, counted, records_in_groups};
use crate::composition::{Composition, Condition, Histogram, Measure, Selection};
use crate::open::{OpenSegment, Ranges};
use crate::people::People;
use crate::resolved::all;
use crate::scan::tally::Counting;
use crate::scan::work::{self, Piece};
use crate::schema::SegmentSchema;

/// What was found.
#[derive(Default)]
pub struct Found {
    /// Each person of whom there is something to say, in ascending order.
    pub people: Vec<Said>,
    /// How many records of a person are in a group: person, group, records.
    pub grouped: Vec<(u32, u32, u64)>,
}

/// What the records of one person say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The person.
    pub person: u32,
    /// A bit for each condition of the plan that a record satisfies, the first one lowest.
    pub holding: u32,
    /// Whether there is a record with an attribute that the plan reads. Looked at only where it can matter.
    pub known: bool,
    /// The sum of the amount.
    pub amount: u64,
}

/// What the records of these segments say of the permitted people.
///
/// **Errors**: [`QueryError`]; each bound has its own.
pub fn statistic(
    segments: &[Arc<OpenSegment>],
    schema: &SegmentSchema,
    permitted: &People,
    plan: &StatisticPlan,
    reading: (&dyn Ranges, Bounds),
) -> Result<Found, QueryError> {
    let asked = Asked { segments, schema, permitted, allowed: &Allowed::of(permitted), reading };
    Ok(Found { people: asked.people(plan)?, grouped: asked.grouped(plan)? })
}

/// What a statistic is found in.
struct Asked<'a> {
    segments: &'a [Arc<OpenSegment>],
    schema: &'a SegmentSchema,
    permitted: &'a People,
    allowed: &'a Allowed,
    reading: (&'a dyn Ranges, Bounds),
}

impl Asked<'_> {
    fn people(&self, plan: &StatisticPlan) -> Result<Vec<Said>, QueryError> {
        let mut parts: Vec<Selection> =
            plan.who.records().into_iter().map(|one| Selection::record(all(one))).collect();
        let conditions = parts.len();
        // Whoever has no record for any condition matters only where that selects a person.
        let known = plan.who.selects(0);
        if known {
            let read = plan.attributes().into_iter().map(Condition::Present).collect();
            parts.push(Selection::record(Condition::Any(read)));
        }
        let summed = match &plan.measure {
            Measured::Sum { amount, over, .. } => {
                parts.push(Selection::sum(all(over), amount, 0));
                Some(parts.len() - 1)
            }
            Measured::People | Measured::Groups { .. } => None,
        };
        let asked = Composition { who: Selection::Any(parts), latest: None };
        asked.check(self.schema)?;
        let counting = Counting::of(&asked.who, None);
        let tallies =
            counted(self.schema, self.pieces(&counting), self.allowed, &counting, cores(), self.reading)?;
        let said = |person: u32| {
            let holds = |leaf: usize| u32::from(tallies.value(leaf, person) > 0) << leaf;
            Said {
                person,
                holding: (0..conditions).map(holds).sum(),
                known: known && tallies.value(conditions, person) > 0,
                amount: summed.map_or(0, |leaf| tallies.value(leaf, person)),
            }
        };
        let told = |said: &Said| said.holding > 0 || said.known || said.amount > 0;
        Ok(self.permitted.bitmap().iter().map(said).filter(told).collect())
    }

    fn grouped(&self, plan: &StatisticPlan) -> Result<Vec<(u32, u32, u64)>, QueryError> {
        let Measured::Groups { attribute, over, groups, groups_each } = &plan.measure else {
            return Ok(vec![]);
        };
        let asked = Histogram {
            who: Selection::everybody(),
            over: all(over),
            group: attribute.clone(),
            groups: groups.iter().cloned().collect(),
            groups_each: *groups_each,
        };
        asked.check(self.schema)?;
        let counting = Counting::measure(&asked.in_groups(), &Measure::Records);
        let pieces = self.pieces(&counting);
        let found =
            records_in_groups(self.schema, pieces, self.allowed, (&counting, &asked), cores(), self.reading)?;
        Ok(found.into_iter().map(|((person, group), records)| (person, group, records)).collect())
    }

    fn pieces(&self, counting: &Counting) -> Vec<Piece> {
        let window = counting.window(self.schema.time());
        self.segments.iter().flat_map(|segment| work::pieces_of(self.schema, segment, window)).collect()
    }
}

fn cores() -> usize {
    rayon::current_num_threads()
}

#[cfg(all(test, feature = "store"))]
mod tests;
