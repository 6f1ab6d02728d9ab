//! Which people a query means (R046, R047, R087): conditions on the records of one person, joined by all, any and not.
//!
//! What master, Vault and enclave must read alike: whom a selection selects, and what has to be known of a person to decide it.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::id::{AttributeName, RuleName};

use super::statistic::Measure;
use super::{Operand, Predicate, ResolvedOperand, SelectionRule};

/// Which people are meant: those of whom there is a record that a task reads, as far as they consent and have budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selection<C> {
    /// Whose records satisfy a condition: the operands of a request, or what they mean.
    Record(C),
    /// Whom all of them select; everybody where there are none.
    All(Vec<Selection<C>>),
    /// Whom one of them selects; nobody where there are none.
    Any(Vec<Selection<C>>),
    /// Whom it does not select.
    Not(Box<Selection<C>>),
}

/// What operands on the records of one person mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qualification {
    /// All hold for the same record.
    pub operands: Vec<ResolvedOperand>,
    /// What there must be of the records for which they hold and which have every attribute that is measured; one record where
    /// nothing is measured.
    pub measures: Vec<ResolvedMeasure>,
}

/// What there must be of a person's records, under one semantic version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolvedMeasure {
    /// The rule that was applied.
    pub rule: RuleName,
    /// The canonical attribute that it reads.
    pub attribute: AttributeName,
    /// What is measured.
    pub quantity: Quantity,
    /// The least that qualifies; never nothing.
    pub at_least: u64,
}

/// What is measured over the records of one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quantity {
    /// How many they are.
    Records,
    /// What the attribute sums up to.
    Sum,
}

/// What has to be known of each person to answer a query.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    /// Whom it means.
    pub who: &'a Selection<Qualification>,
    /// What is measured over them.
    pub measure: &'a Measure<ResolvedOperand>,
    /// The time of which the latest is wanted, over the records that satisfy a condition outside of every `not`.
    pub latest: Option<&'a AttributeName>,
}

impl Selection<Vec<Operand>> {
    /// Whether it is as small as a task's may be.
    pub fn fits(&self) -> bool {
        let operands = self.records().into_iter().map(Vec::len).sum::<usize>();
        self.within(SELECTION_DEPTH_MAX, &mut 0) && operands <= SELECTION_OPERANDS_MAX
    }
}

impl<C> Selection<C> {
    fn within(&self, depth: usize, nodes: &mut usize) -> bool {
        *nodes += 1;
        let inside = |parts: &[Self], nodes: &mut usize| {
            depth > 0 && parts.iter().all(|part| part.within(depth - 1, nodes))
        };
        *nodes <= SELECTION_NODES_MAX
            && match self {
                Self::Record(_) => true,
                Self::All(parts) | Self::Any(parts) => parts.is_empty() || inside(parts, nodes),
                Self::Not(part) => inside(core::slice::from_ref(&**part), nodes),
            }
    }

    /// The conditions on records, in order.
    pub fn records(&self) -> Vec<&C> {
        self.conditions(false).into_iter().map(|(condition, _)| condition).collect()
    }

    /// The same, each with whether it stands outside of every `not`.
    fn conditions(&self, negated: bool) -> Vec<(&C, bool)> {
        match self {
            Self::Record(condition) => vec![(condition, !negated)],
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().flat_map(|part| part.conditions(negated)).collect()
            }
            Self::Not(part) => part.conditions(true),
        }
    }

    /// Whether it selects a person who satisfies these conditions: a bit for each of [`Selection::records`], the first one lowest.
    pub fn selects(&self, holding: u32) -> bool {
        self.decide(&mut { holding })
    }

    /// Takes the bits of its conditions away from the low end.
    fn decide(&self, holding: &mut u32) -> bool {
        match self {
            Self::Record(_) => {
                let holds = *holding & 1 == 1;
                *holding >>= 1;
                holds
            }
            // Every part takes its bits, whatever those before it have decided.
            Self::All(parts) => parts.iter().fold(true, |all, part| all & part.decide(holding)),
            Self::Any(parts) => parts.iter().fold(false, |any, part| any | part.decide(holding)),
            Self::Not(part) => !part.decide(holding),
        }
    }

    /// The same over what each condition becomes. **Errors**: the first of `bind`.
    pub fn bound<U, E, F>(&self, bind: &mut F) -> Result<Selection<U>, E>
    where
        F: FnMut(&C) -> Result<U, E>,
    {
        let mut each =
            |parts: &[Self]| parts.iter().map(|part| part.bound(bind)).collect::<Result<Vec<_>, E>>();
        Ok(match self {
            Self::All(parts) => Selection::All(each(parts)?),
            Self::Any(parts) => Selection::Any(each(parts)?),
            Self::Record(condition) => Selection::Record(bind(condition)?),
            Self::Not(part) => Selection::Not(Box::new(part.bound(bind)?)),
        })
    }
}

impl Selection<Qualification> {
    /// Who has one record for which all of these hold.
    pub const fn record(operands: Vec<ResolvedOperand>) -> Self {
        Self::Record(Qualification { operands, measures: Vec::new() })
    }

    /// The operands, when it is enough that they hold for one record.
    pub fn one_record(&self) -> Option<&[ResolvedOperand]> {
        match self {
            Self::Record(Qualification { operands, measures }) if measures.is_empty() => Some(operands),
            Self::Record(_) | Self::All(_) | Self::Any(_) | Self::Not(_) => None,
        }
    }

    /// The time that says how lately a person qualified: that of the first window outside of every `not`.
    pub fn window(&self) -> Option<&AttributeName> {
        self.dated().map(|operand| &operand.attribute)
    }

    fn dated(&self) -> Option<&ResolvedOperand> {
        let positive = self.conditions(false).into_iter().filter(|(_, positive)| *positive);
        let mut operands = positive.flat_map(|(condition, _)| &condition.operands);
        operands.find(|operand| matches!(operand.predicate, Predicate::Between { .. }))
    }

    /// The bits of the conditions that stand outside of every `not`.
    pub fn positive(&self) -> u32 {
        let bit = |(place, (_, positive)): (usize, &(_, bool))| u32::from(*positive) << place;
        self.conditions(false).iter().enumerate().map(bit).sum()
    }

    /// Everything that is measured, in order, with the place of its condition.
    pub fn measures(&self) -> Vec<(usize, &ResolvedMeasure)> {
        let mut all = Vec::new();
        for (place, condition) in self.records().into_iter().enumerate() {
            all.extend(condition.measures.iter().map(|measure| (place, measure)));
        }
        all
    }

    /// Whether people can be ranked by what is measured at this place: its condition stands outside of every `not`.
    pub fn ranks(&self, place: u32) -> bool {
        let measures = self.measures();
        let measured = usize::try_from(place).ok().and_then(|place| measures.get(place));
        measured.is_some_and(|(condition, _)| self.positive() >> condition & 1 == 1)
    }

    /// How people are ranked by a rule: by what it measures once in this tree and outside of every `not`, or by the latest time where it
    /// is the one of [`Selection::window`].
    pub fn ranking(&self, rule: &RuleName) -> Option<SelectionRule> {
        let measures = self.measures();
        let mut named = (0..).zip(&measures).filter(|(_, (_, measure))| measure.rule == *rule);
        match (named.next(), named.next()) {
            (Some((place, _)), None) if self.ranks(place) => Some(SelectionRule::Largest(place)),
            (None, _) if self.dated()?.rule == *rule => Some(SelectionRule::RecencyWeighted),
            _ => None,
        }
    }
}

impl Qualification {
    /// The attributes that are read.
    pub fn attributes(&self) -> impl Iterator<Item = &AttributeName> {
        let measured = self.measures.iter().map(|measure| &measure.attribute);
        self.operands.iter().map(|operand| &operand.attribute).chain(measured)
    }
}

impl Inquiry<'_> {
    /// The attributes that are read.
    pub fn attributes(&self) -> BTreeSet<AttributeName> {
        let (measured, over): (_, &[ResolvedOperand]) = match self.measure {
            Measure::People => (None, &[]),
            Measure::Sum { amount, over, .. } => (Some(amount), over),
            Measure::Groups { attribute, over, .. } => (Some(attribute), over),
        };
        let selecting = self.who.records().into_iter().flat_map(Qualification::attributes);
        selecting.chain(over.iter().map(|operand| &operand.attribute)).chain(measured).cloned().collect()
    }
}

/// Selections below the outermost one.
pub const SELECTION_DEPTH_MAX: usize = 4;
/// Selections of one tree, the outermost one among them: each has a bit where people are decided on.
pub const SELECTION_NODES_MAX: usize = 24;
/// What is measured in all conditions of one tree: each is an array over people where records are counted.
pub const SELECTION_MEASURES_MAX: usize = 8;
/// Operands of all conditions of one tree.
pub const SELECTION_OPERANDS_MAX: usize = 64;
