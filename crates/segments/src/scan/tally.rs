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

/// What is counted of one leaf.
struct Tally {
    seen: Vec<u64>,
    hits: Hits,
}

/// What records that satisfy a leaf's condition add up to.
enum Hits {
    /// It is enough to know who was seen.
    Presence,
    /// One by one while they are few: memory as wide as all people takes longer to fetch than they take to count.
    Few(Vec<Hit>),
    /// By person.
    Many(Sums),
}

/// One record, or several at once, of a person.
#[derive(Clone, Copy)]
struct Hit {
    person: u32,
    value: u64,
    latest: u64,
}

/// Values and latest times by place; empty where none are wanted.
struct Sums {
    values: Vec<u64>,
    latest: Vec<u64>,
}

impl Sums {
    fn new(counting: &Counting, leaf: &Leaf, places: usize) -> Self {
        let array = |wanted: bool| vec![0; if wanted { places } else { 0 }];
        Self { values: array(!leaf.is_presence()), latest: array(counting.latest.is_some()) }
    }

    #[inline]
    fn add(&mut self, place: usize, value: u64, latest: u64) {
        if let Some(sum) = self.values.get_mut(place) {
            *sum = sum.saturating_add(value);
        }
        if let Some(known) = self.latest.get_mut(place) {
            *known = (*known).max(latest);
        }
    }
}

/// What is counted of all leaves, by person.
pub(crate) struct Tallies<'a> {
    counting: &'a Counting,
    width: usize,
    leaves: Vec<Tally>,
}

impl<'a> Tallies<'a> {
    /// Nothing counted yet of people below `width`.
    pub(crate) fn new(counting: &'a Counting, width: usize) -> Self {
        let hits = |leaf: &Leaf| match leaf.is_presence() && counting.latest.is_none() {
            true => Hits::Presence,
            false => Hits::Few(vec![]),
        };
        let tally = |leaf: &Leaf| Tally { seen: vec![0; width.div_ceil(64)], hits: hits(leaf) };
        Self { counting, width, leaves: counting.leaves.iter().map(tally).collect() }
    }

    /// What they take at most. **Units**: bytes.
    pub(crate) fn bytes(counting: &Counting, width: usize) -> usize {
        let latest = usize::from(counting.latest.is_some());
        let words = |leaf: &Leaf| usize::from(!leaf.is_presence()) + latest;
        // A list of hits has up to twice the room that it needs.
        let hits = |leaf: &Leaf| if words(leaf) == 0 { 0 } else { 2 * few(width) * size_of::<Hit>() };
        let of = |leaf: &Leaf| words(leaf) * width * 8 + hits(leaf) + width.div_ceil(64) * 8;
        counting.leaves.iter().map(of).sum()
    }

    /// Counts one record, or several at once, of a person below the width.
    #[inline]
    pub(crate) fn add(&mut self, leaf: usize, person: u32, value: u64, latest: u64) {
        let tally = &mut self.leaves[leaf];
        let place = person as usize;
        tally.seen[place / 64] |= 1 << (place % 64);
        match &mut tally.hits {
            Hits::Presence => {}
            Hits::Many(sums) => sums.add(place, value, latest),
            Hits::Few(hits) => {
                hits.push(Hit { person, value, latest });
                if hits.len() > few(self.width) {
                    self.spread(leaf);
                }
            }
        }
    }

    /// From a list to arrays.
    #[cold]
    fn spread(&mut self, leaf: usize) {
        let tally = &mut self.leaves[leaf];
        if let Hits::Few(hits) = &tally.hits {
            let mut sums = Sums::new(self.counting, &self.counting.leaves[leaf], self.width);
            hits.iter().for_each(|hit| sums.add(hit.person as usize, hit.value, hit.latest));
            tally.hits = Hits::Many(sums);
        }
    }

    /// Adds what another scan of the same has counted.
    pub(crate) fn merge(&mut self, mut other: Self) {
        for leaf in 0..self.leaves.len() {
            if matches!(other.leaves[leaf].hits, Hits::Many(_)) {
                self.spread(leaf);
            }
            let (tally, other) = (&mut self.leaves[leaf], &mut other.leaves[leaf]);
            match (&mut tally.hits, &mut other.hits) {
                (Hits::Few(hits), Hits::Few(more)) => hits.append(more),
                (Hits::Many(sums), Hits::Few(more)) => {
                    more.iter().for_each(|hit| sums.add(hit.person as usize, hit.value, hit.latest));
                }
                // Only whoever was seen: the arrays are wide, and what was never touched costs no memory.
                (Hits::Many(sums), Hits::Many(more)) => each(&other.seen, |place| {
                    let of = |array: &[u64]| array.get(place).copied().unwrap_or(0);
                    sums.add(place, of(&more.values), of(&more.latest));
                }),
                (Hits::Presence, _) | (_, Hits::Presence) | (Hits::Few(_), Hits::Many(_)) => {}
            }
            tally.seen.iter_mut().zip(&other.seen).for_each(|(bits, more)| *bits |= more);
        }
    }

    /// What was counted, when nothing more is.
    pub(crate) fn totals(self) -> Totals {
        let leaves = self.counting.leaves.iter().zip(self.leaves);
        let leaves = leaves.map(|(leaf, tally)| Total::of(self.counting, leaf, tally)).collect();
        Totals { width: self.width, leaves }
    }
}

/// How many hits are few: their list takes less than a tenth of an array.
fn few(width: usize) -> usize {
    width / 32
}

/// Visits the places whose bit is set, in ascending order.
fn each(words: &[u64], mut visit: impl FnMut(usize)) {
    for (word, bits) in words.iter().enumerate() {
        let mut bits = *bits;
        while bits != 0 {
            visit(word * 64 + bits.trailing_zeros() as usize);
            bits &= bits - 1;
        }
    }
}

/// What was counted of one leaf.
struct Total {
    seen: Vec<u64>,
    /// How many people are seen before each word, where sums are by place among those who are seen.
    before: Option<Vec<u32>>,
    sums: Sums,
}

impl Total {
    fn of(counting: &Counting, leaf: &Leaf, Tally { seen, hits }: Tally) -> Self {
        match hits {
            Hits::Presence => Self { seen, before: None, sums: Sums::new(counting, leaf, 0) },
            Hits::Many(sums) => Self { seen, before: None, sums },
            Hits::Few(hits) => {
                let mut people = 0;
                let count = |bits: &u64| {
                    let before = people;
                    people += bits.count_ones();
                    before
                };
                let before = seen.iter().map(count).collect();
                let sums = Sums::new(counting, leaf, people as usize);
                let mut total = Self { seen, before: Some(before), sums };
                for hit in hits {
                    let place = total.place(hit.person);
                    place.into_iter().for_each(|place| total.sums.add(place, hit.value, hit.latest));
                }
                total
            }
        }
    }

    /// Where a person's sums are; `None` for whoever was not seen.
    fn place(&self, person: u32) -> Option<usize> {
        let (word, bit) = (person as usize / 64, person % 64);
        let bits = *self.seen.get(word)?;
        let ranked = |before: &Vec<u32>| (before[word] + (bits & ((1 << bit) - 1)).count_ones()) as usize;
        (bits >> bit & 1 == 1).then(|| self.before.as_ref().map_or(person as usize, ranked))
    }
}

/// What was counted of all leaves.
pub(crate) struct Totals {
    width: usize,
    leaves: Vec<Total>,
}

impl Totals {
    /// The measure of a leaf.
    pub(crate) fn value(&self, leaf: usize, person: u32) -> u64 {
        let total = &self.leaves[leaf];
        total.place(person).map_or(0, |place| total.sums.values.get(place).copied().unwrap_or(1))
    }

    /// The latest time of a record that satisfied the condition of a leaf; zero where there is none.
    pub(crate) fn latest(&self, leaf: usize, person: u32) -> u64 {
        let total = &self.leaves[leaf];
        total.place(person).and_then(|place| total.sums.latest.get(place).copied()).unwrap_or(0)
    }

    /// Everybody of whom a leaf has a record, in ascending order.
    pub(crate) fn seen(&self, mut visit: impl FnMut(u32)) {
        let mut seen = vec![0; self.width.div_ceil(64)];
        for total in &self.leaves {
            seen.iter_mut().zip(&total.seen).for_each(|(bits, more)| *bits |= more);
        }
        each(&seen, |place| visit(place as u32));
    }

    /// The permitted people whom the tree selects, in ascending order, with the latest time of each. Who was counted is permitted.
    pub(crate) fn audience(&self, counting: &Counting, permitted: &Dense) -> (RoaringBitmap, Vec<u64>) {
        let nobody = self.width as u32;
        let mut people = Vec::new();
        let mut latest = Vec::new();
        let mut visit = |person| {
            if let Some(time) = self.selects(counting, &counting.tree, person) {
                people.push(person);
                if counting.latest.is_some() {
                    latest.push(time);
                }
            }
        };
        // Whoever has no record has only zeros: then all of them are selected, or none.
        match self.selects(counting, &counting.tree, nobody) {
            Some(_) => each(&permitted.0, |place| visit(place as u32)),
            None => self.seen(visit),
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

#[cfg(test)]
mod tests;
