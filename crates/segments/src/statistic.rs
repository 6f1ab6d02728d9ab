//! What records in segments say of each person (R079, R087, R092): which conditions one of them satisfies, how much there is of what is
//! measured, what an amount sums up to, and how many are in each group. Who is selected is decided where records beside segments are
//! known as well.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use symphony_protocol::artifact::ResolvedOperand;
use symphony_protocol::artifact::selection::Inquiry;
use symphony_protocol::artifact::statistic::Measure as Measured;

use crate::answer::{Allowed, Audience, Bounds, QueryError, counted, records_in_groups};
use crate::composition::{Composition, Condition, Histogram, Measure, Selection};
use crate::open::{OpenSegment, Ranges};
use crate::people::People;
use crate::resolved::{all, counted_of};
use crate::scan::tally::Counting;
use crate::scan::work::{self, Piece};
use crate::schema::SegmentSchema;

/// What was found. What is found in portions of the segments is, together, what is found in all of them.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Each person of whom there is something to say, in ascending order.
    pub people: Vec<Said>,
    /// How much there is of a person of what conditions measure: person, place in [`measures`], value.
    ///
    /// [`measures`]: symphony_protocol::artifact::selection::Selection::measures
    pub measured: Vec<(u32, u32, u64)>,
    /// How many records of a person are in a group: person, group, records.
    pub grouped: Vec<(u32, u32, u64)>,
}

/// What the records of one person say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The person.
    pub person: u32,
    /// A bit for each condition without a measure that a record satisfies, the first one lowest.
    pub holding: u32,
    /// Whether there is a record with an attribute that is read. Looked at only where it can matter.
    pub known: bool,
    /// The sum of the amount.
    pub amount: u64,
    /// The latest time that is wanted; zero where there is none.
    pub latest: u64,
}

impl Found {
    /// Whether it says something of these people alone.
    pub fn is_of(&self, permitted: &People) -> bool {
        let more = self.measured.iter().chain(&self.grouped);
        let mut people = self.people.iter().map(|said| said.person).chain(more.map(|(person, ..)| *person));
        people.all(|person| permitted.contains(person))
    }

    /// The same in pieces of so many entries of one kind; none when nothing was found.
    pub fn pieces(&self, entries: usize) -> impl Iterator<Item = Self> {
        let entries = entries.max(1);
        let people = self.people.chunks(entries);
        let people = people.map(|people| Self { people: people.to_vec(), ..Self::default() });
        let measured = self.measured.chunks(entries);
        let measured = measured.map(|measured| Self { measured: measured.to_vec(), ..Self::default() });
        let grouped = self.grouped.chunks(entries);
        let grouped = grouped.map(|grouped| Self { grouped: grouped.to_vec(), ..Self::default() });
        people.chain(measured).chain(grouped)
    }
}

impl From<Audience> for Found {
    /// Who satisfies the one condition.
    fn from(Audience { people, latest }: Audience) -> Self {
        let latest = latest.into_iter().chain(std::iter::repeat(0));
        let holds = |(person, latest)| Said { person, holding: 1, known: true, amount: 0, latest };
        Self { people: people.bitmap().iter().zip(latest).map(holds).collect(), ..Self::default() }
    }
}

/// What the records of these segments say of the permitted people.
///
/// **Errors**: [`QueryError`]; each bound has its own.
pub fn statistic(
    segments: &[Arc<OpenSegment>],
    schema: &SegmentSchema,
    permitted: &People,
    inquiry: Inquiry<'_>,
    reading: (&dyn Ranges, Bounds),
) -> Result<Found, QueryError> {
    let asked = Asked { segments, schema, allowed: &Allowed::of(permitted), reading };
    Ok(Found { grouped: asked.grouped(inquiry.measure)?, ..asked.people(inquiry)? })
}

/// What a statistic is found in.
struct Asked<'a> {
    segments: &'a [Arc<OpenSegment>],
    schema: &'a SegmentSchema,
    allowed: &'a Allowed,
    reading: (&'a dyn Ranges, Bounds),
}

impl Asked<'_> {
    fn people(&self, inquiry: Inquiry<'_>) -> Result<Found, QueryError> {
        let leaves = leaves(inquiry);
        let who = Selection::Any(leaves.iter().map(|leaf| leaf.counted.clone()).collect());
        let asked = Composition { who, latest: inquiry.latest.cloned() };
        asked.check(self.schema)?;
        let counting = Counting::of(&asked.who, inquiry.latest);
        let totals = counted(self.pieces(&counting), self.allowed, &counting, cores(), self.reading)?;
        let mut found = Found::default();
        totals.seen(|person| {
            let nothing = Said { person, holding: 0, known: false, amount: 0, latest: 0 };
            let mut said = nothing;
            for (index, leaf) in leaves.iter().enumerate() {
                let value = totals.value(index, person);
                if leaf.positive {
                    said.latest = said.latest.max(totals.latest(index, person));
                }
                match leaf.says {
                    Says::Holds(place) => said.holding |= u32::from(value > 0) << place,
                    Says::Measured(_) if value == 0 => {}
                    Says::Measured(place) => found.measured.push((person, place, value)),
                    Says::Known => said.known = value > 0,
                    Says::Amount => said.amount = value,
                }
            }
            found.people.extend((said != nothing).then_some(said));
        });
        Ok(found)
    }

    fn grouped(&self, measure: &Measured<ResolvedOperand>) -> Result<Vec<(u32, u32, u64)>, QueryError> {
        let Measured::Groups { attribute, over, groups, groups_each } = measure else {
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
        let found = records_in_groups(pieces, self.allowed, (&counting, &asked), cores(), self.reading)?;
        Ok(found.into_iter().map(|((person, group), records)| (person, group, records)).collect())
    }

    fn pieces(&self, counting: &Counting) -> Vec<Piece> {
        let (time, window) = (self.schema.time(), counting.window(self.schema.time()));
        self.segments.iter().flat_map(|segment| work::pieces_of(segment, time, window)).collect()
    }
}

/// One thing that is counted of each person.
struct Leaf {
    counted: Selection,
    says: Says,
    /// Whether its latest time is wanted.
    positive: bool,
}

/// What a count says of a person.
enum Says {
    /// The condition at this place.
    Holds(u32),
    /// What is measured at this place.
    Measured(u32),
    /// Whether there is anything.
    Known,
    /// The amount.
    Amount,
}

fn leaves(inquiry: Inquiry<'_>) -> Vec<Leaf> {
    let (mut leaves, mut measures, positive) = (Vec::new(), 0_u32.., inquiry.who.positive());
    for (place, condition) in (0_u32..).zip(inquiry.who.records()) {
        let positive = inquiry.latest.is_some() && positive >> place & 1 == 1;
        for counted in counted_of(condition) {
            let measured = measures.by_ref();
            let says = match condition.measures.is_empty() {
                true => Says::Holds(place),
                false => Says::Measured(measured.next().unwrap_or(u32::MAX)),
            };
            leaves.push(Leaf { counted, says, positive });
        }
    }
    // Whoever has no record for any condition matters only where that selects a person.
    if inquiry.who.selects(0) {
        let read = inquiry.attributes().into_iter().map(Condition::Present).collect();
        let counted = Selection::record(Condition::Any(read));
        leaves.push(Leaf { counted, says: Says::Known, positive: false });
    }
    if let Measured::Sum { amount, over, .. } = inquiry.measure {
        let counted = Selection::sum(all(over), amount, 0);
        leaves.push(Leaf { counted, says: Says::Amount, positive: false });
    }
    leaves
}

fn cores() -> usize {
    rayon::current_num_threads()
}

#[cfg(all(test, feature = "store"))]
mod tests;
