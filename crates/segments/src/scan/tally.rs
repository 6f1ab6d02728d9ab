//! A selection as leaves that are counted person by person, and as a tree over them that is decided at the end.
//!
//! People have dense indices, so a leaf's tally is an array: no person is looked up, and memory is known before a query begins.

use std::collections::BTreeSet;

use roaring::RoaringBitmap;
use symphony_types::id::AttributeName;

use crate::composition::{Condition, Measure, Selection};
use crate::people::Dense;

/// One measured condition of a selection.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) over: Condition,
    pub(crate) sum: Option<AttributeName>,
    pub(crate) at_least: u64,
    pub(crate) at_most: u64,
}

impl Leaf {
    pub(crate) fn of(over: &Condition, measure: &Measure, at_least: u64, at_most: u64) -> Self {
        let sum = match measure {
            Measure::Records => None,
            Measure::Sum(attribute) => Some(attribute.clone()),
        };
        Self { over: over.clone(), sum, at_least, at_most }
    }

    /// Whether it is enough to know that there is a record.
    fn is_presence(&self) -> bool {
        self.sum.is_none() && (self.at_least, self.at_most) == (1, u64::MAX)
    }
}

/// A selection over the tallies of leaves.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Leaf(usize),
    All(Vec<Tree>),
    Any(Vec<Tree>),
    Not(Box<Tree>),
}

/// What a scan has to count.
#[derive(Clone, Debug)]
pub(crate) struct Counting {
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) tree: Tree,
    pub(crate) latest: Option<AttributeName>,
}

impl Counting {
    pub(crate) fn of(who: &Selection, latest: Option<&AttributeName>) -> Self {
        let mut leaves = Vec::new();
        let tree = Tree::of(who, &mut leaves);
        Self { leaves, tree, latest: latest.cloned() }
    }

    /// The measure of one condition, of everybody.
    pub(crate) fn measure(over: &Condition, measure: &Measure) -> Self {
        let leaf = Leaf::of(over, measure, 0, u64::MAX);
        Self { leaves: vec![leaf], tree: Tree::Leaf(0), latest: None }
    }

    /// The times in which records can count, as one range; `None` when every time can.
    pub(crate) fn window(&self, time: Option<&AttributeName>) -> Option<(u64, u64)> {
        let mut windows = self.leaves.iter().map(|leaf| leaf.over.window(time?));
        let first = windows.next()??;
        windows.try_fold(first, |(least, most), window| {
            window.map(|(less, more)| (least.min(less), most.max(more)))
        })
    }

    /// The attributes that are read.
    pub(crate) fn attributes(&self) -> BTreeSet<AttributeName> {
        let mut read = BTreeSet::new();
        for leaf in &self.leaves {
            leaf.over.attributes(&mut read);
            read.extend(leaf.sum.clone());
        }
        read.extend(self.latest.clone());
        read
    }
}

impl Tree {
    fn of(selection: &Selection, leaves: &mut Vec<Leaf>) -> Self {
        let mut parts = |parts: &[Selection]| parts.iter().map(|part| Self::of(part, leaves)).collect();
        match selection {
            Selection::Measured { over, measure, at_least, at_most } => {
                leaves.push(Leaf::of(over, measure, *at_least, *at_most));
                Self::Leaf(leaves.len() - 1)
            }
            Selection::All(inner) => Self::All(parts(inner)),
            Selection::Any(inner) => Self::Any(parts(inner)),
            Selection::Not(part) => Self::Not(Box::new(Self::of(part, leaves))),
        }
    }
}

/// What was counted of one leaf.
struct Tally {
    seen: Vec<u64>,
    values: Vec<u64>,
    latest: Vec<u64>,
}

/// What was counted of all leaves, by person.
pub(crate) struct Tallies {
    width: usize,
    leaves: Vec<Tally>,
}

impl Tallies {
    /// Nothing counted yet of people below `width`.
    pub(crate) fn new(counting: &Counting, width: usize) -> Self {
        let latest = if counting.latest.is_some() { width } else { 0 };
        let tally = |leaf: &Leaf| Tally {
            seen: vec![0; width.div_ceil(64)],
            values: vec![0; if leaf.is_presence() { 0 } else { width }],
            latest: vec![0; latest],
        };
        Self { width, leaves: counting.leaves.iter().map(tally).collect() }
    }

    /// What they take. **Units**: bytes.
    pub(crate) fn bytes(counting: &Counting, width: usize) -> usize {
        let latest = usize::from(counting.latest.is_some());
        let words = |leaf: &Leaf| usize::from(!leaf.is_presence()) + latest;
        counting.leaves.iter().map(|leaf| words(leaf) * width * 8 + width.div_ceil(64) * 8).sum()
    }

    /// Counts one record, or several at once, of a person below the width.
    #[inline]
    pub(crate) fn add(&mut self, leaf: usize, person: u32, value: u64, latest: u64) {
        let tally = &mut self.leaves[leaf];
        let place = person as usize;
        tally.seen[place / 64] |= 1 << (place % 64);
        if let Some(sum) = tally.values.get_mut(place) {
            *sum = sum.saturating_add(value);
        }
        if let Some(known) = tally.latest.get_mut(place) {
            *known = (*known).max(latest);
        }
    }

    /// Adds what another scan has counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (tally, other) in self.leaves.iter_mut().zip(&other.leaves) {
            for (word, bits) in other.seen.iter().enumerate().filter(|(_, bits)| **bits != 0) {
                tally.seen[word] |= bits;
                // Only whoever was seen: the arrays are wide, and what was never touched costs no memory.
                let mut bits = *bits;
                while bits != 0 {
                    let place = word * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    if let Some(sum) = tally.values.get_mut(place) {
                        *sum = sum.saturating_add(other.values[place]);
                    }
                    if let Some(known) = tally.latest.get_mut(place) {
                        *known = (*known).max(other.latest[place]);
                    }
                }
            }
        }
    }

    /// The measure of a leaf.
    pub(crate) fn value(&self, leaf: usize, person: u32) -> u64 {
        let tally = &self.leaves[leaf];
        let place = person as usize;
        match tally.values.get(place) {
            Some(value) => *value,
            None => tally.seen.get(place / 64).map_or(0, |bits| bits >> (place % 64) & 1),
        }
    }

    /// The latest time of a record that satisfied the condition of a leaf; zero where there is none.
    pub(crate) fn latest(&self, leaf: usize, person: u32) -> u64 {
        self.leaves[leaf].latest.get(person as usize).copied().unwrap_or(0)
    }

    /// The permitted people whom the tree selects, in ascending order, with the latest time of each.
    pub(crate) fn audience(&self, counting: &Counting, permitted: &Dense) -> (RoaringBitmap, Vec<u64>) {
        let nobody = self.width as u32;
        // Whoever has no record has only zeros: then all of them are selected, or none.
        let everybody = self.selects(counting, &counting.tree, nobody).is_some();
        let mut people = Vec::new();
        let mut latest = Vec::new();
        for word in 0..self.width.div_ceil(64) {
            let permitted = permitted.word(word);
            let seen = self.leaves.iter().fold(0, |seen, tally| seen | tally.seen[word]);
            let mut candidates = if everybody { permitted } else { permitted & seen };
            while candidates != 0 {
                let person = (word * 64) as u32 + candidates.trailing_zeros();
                candidates &= candidates - 1;
                if let Some(time) = self.selects(counting, &counting.tree, person) {
                    people.push(person);
                    if counting.latest.is_some() {
                        latest.push(time);
                    }
                }
            }
        }
        // Ascending, as they were visited.
        let people = RoaringBitmap::from_sorted_iter(people).unwrap_or_default();
        (people, latest)
    }

    /// The latest qualifying time when the tree selects the person.
    fn selects(&self, counting: &Counting, tree: &Tree, person: u32) -> Option<u64> {
        match tree {
            Tree::Leaf(index) => {
                let leaf = &counting.leaves[*index];
                let value = self.value(*index, person);
                let latest = || self.latest(*index, person);
                (leaf.at_least..=leaf.at_most).contains(&value).then(latest)
            }
            Tree::All(parts) => parts.iter().try_fold(0, |latest, part| {
                self.selects(counting, part, person).map(|time| latest.max(time))
            }),
            Tree::Any(parts) => {
                let holding = parts.iter().filter_map(|part| self.selects(counting, part, person));
                holding.reduce(u64::max)
            }
            Tree::Not(part) => self.selects(counting, part, person).is_none().then_some(0),
        }
    }
}
