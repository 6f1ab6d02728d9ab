//! Numbers about the people whom a selection means: how many, what an amount sums up to, how they are spread over groups (R088,
//! R092, R112).
//!
//! First it is noted of each person which conditions one of the records satisfies, what the amount sums up to and how many records
//! are in each group; records in segments add to the same notes. Only then people are decided on, so that it makes no difference
//! where a record lies. The answer is exact; noise is drawn where the Vaults' answers are combined.

use std::cmp::Reverse;

use arrow::array::Array as _;
use arrow::record_batch::RecordBatch;
use symphony_protocol::artifact::ResolvedOperand;
use symphony_protocol::artifact::selection::{Inquiry, Qualification, Quantity, Selection};
use symphony_protocol::artifact::statistic::{Measure, StatisticPlan, StatisticResult};
use symphony_protocol::governance::semantics::normalise;
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, TaskId, VaultId};
use zeroize::Zeroizing;

use crate::cells::{self, Sums};
use crate::material::{Material, subjects};
use crate::slice::{SliceError, numbers, present, qualifying_rows, texts};

/// What records say of each person, by index. Wiped on drop.
#[derive(Default)]
pub struct Notes {
    holding: Zeroizing<Vec<u32>>,
    amounts: Zeroizing<Vec<u64>>,
    /// What people are ranked by: the latest time of a record that satisfies a condition outside of every `not`, or how much there is
    /// of what is measured.
    ranks: Zeroizing<Vec<u64>>,
    /// Person, place among what is measured, and how much, in no order.
    measured: Zeroizing<Vec<(u32, u32, u64)>>,
    /// Person, group and how many records, in no order.
    grouped: Zeroizing<Vec<(u32, u32, u64)>>,
}

impl Notes {
    /// What the records of a material say, of which each has an attribute that is read.
    ///
    /// **Errors**: [`SliceError`] when the inquiry does not fit the material.
    pub fn read(inquiry: Inquiry<'_>, material: &Material) -> Result<Self, SliceError> {
        let mut notes = Self::default();
        for batch in material.rows() {
            for person in subjects(batch).values() {
                notes.person(*person, KNOWN, 0);
            }
            notes.conditions(inquiry, material, batch)?;
            match inquiry.measure {
                Measure::People => {}
                Measure::Sum { amount, over, .. } => notes.sum(material, batch, amount, over)?,
                Measure::Groups { attribute, over, groups, .. } => {
                    notes.groups(material, batch, (attribute, groups), over)?;
                }
            }
        }
        notes.shorten();
        Ok(notes)
    }

    /// Whose records satisfy which conditions, how much there is of what is measured over them, and how late they are.
    fn conditions(
        &mut self,
        inquiry: Inquiry<'_>,
        material: &Material,
        batch: &RecordBatch,
    ) -> Result<(), SliceError> {
        let (people, positive) = (subjects(batch), inquiry.who.positive());
        let mut places = 0_u32..;
        for (place, condition) in inquiry.who.records().into_iter().enumerate() {
            let mut rows = qualifying_rows(&condition.operands, material, batch)?;
            for measure in &condition.measures {
                rows = &rows & &present(material, batch, &measure.attribute)?;
            }
            if condition.measures.is_empty() {
                rows.set_indices().for_each(|row| self.person(people.value(row), 1 << place, 0));
            }
            for (measure, measured) in condition.measures.iter().zip(places.by_ref()) {
                let amounts = match measure.quantity {
                    Quantity::Records => None,
                    Quantity::Sum => Some(numbers(material, batch, &measure.attribute)?),
                };
                for row in rows.set_indices() {
                    self.measure(people.value(row), measured, amounts.map_or(1, |all| all.value(row)));
                }
            }
            if let Some(time) = inquiry.latest.filter(|_| positive >> place & 1 == 1) {
                let times = numbers(material, batch, time)?;
                let known = rows.set_indices().filter(|row| times.is_valid(*row));
                known.for_each(|row| self.rank(people.value(row), times.value(row)));
            }
        }
        self.shorten();
        Ok(())
    }

    /// Notes that a person has records for these conditions, by [`Selection::selects`], that there are any ([`KNOWN`]), and an amount.
    ///
    /// [`Selection::selects`]: symphony_protocol::artifact::selection::Selection::selects
    pub fn person(&mut self, person: u32, holding: u32, amount: u64) {
        let place = person as usize;
        if self.holding.len() <= place {
            self.holding.resize(place + 1, 0);
        }
        self.holding[place] |= holding;
        if amount > 0 {
            if self.amounts.len() <= place {
                self.amounts.resize(place + 1, 0);
            }
            self.amounts[place] = self.amounts[place].saturating_add(amount);
        }
    }

    /// Notes how much there is of a person of what is measured, by its place in [`Selection::measures`].
    ///
    /// [`Selection::measures`]: symphony_protocol::artifact::selection::Selection::measures
    pub fn measure(&mut self, person: u32, place: u32, value: u64) {
        self.measured.push((person, place, value));
    }

    /// Notes what a person is ranked by: when it qualified, or how much there is of it. The highest counts.
    pub fn rank(&mut self, person: u32, rank: u64) {
        let place = person as usize;
        if self.ranks.len() <= place {
            self.ranks.resize(place + 1, 0);
        }
        self.ranks[place] = rank.max(self.ranks[place]);
    }

    /// Notes how many records of a person are in a group of the plan.
    pub fn group(&mut self, person: u32, group: u32, records: u64) {
        self.grouped.push((person, group, records));
    }

    fn sum(
        &mut self,
        material: &Material,
        batch: &RecordBatch,
        amount: &AttributeName,
        over: &[ResolvedOperand],
    ) -> Result<(), SliceError> {
        let amounts = numbers(material, batch, amount)?;
        for row in qualifying_rows(over, material, batch)?.set_indices() {
            if amounts.is_valid(row) {
                self.person(subjects(batch).value(row), 0, amounts.value(row));
            }
        }
        Ok(())
    }

    fn groups(
        &mut self,
        material: &Material,
        batch: &RecordBatch,
        (attribute, groups): (&AttributeName, &[String]),
        over: &[ResolvedOperand],
    ) -> Result<(), SliceError> {
        let (keys, texts) = texts(material, batch, attribute)?;
        let place = |text: Option<&str>| {
            let text = Zeroizing::new(normalise(text?));
            u32::try_from(groups.binary_search(&text).ok()?).ok()
        };
        let places: Vec<Option<u32>> = texts.iter().map(place).collect();
        for row in qualifying_rows(over, material, batch)?.set_indices() {
            let known = keys.is_valid(row).then(|| keys.value(row) as usize);
            if let Some(group) = known.and_then(|key| places.get(key).copied().flatten()) {
                self.group(subjects(batch).value(row), group, 1);
            }
        }
        Ok(())
    }

    /// One note for each person and group, and for each person and measure.
    fn shorten(&mut self) {
        for notes in [&mut self.grouped, &mut self.measured] {
            notes.sort_unstable();
            notes.dedup_by(|next, known| {
                let same = (next.0, next.1) == (known.0, known.1);
                if same {
                    known.2 = known.2.saturating_add(next.2);
                }
                same
            });
        }
    }

    /// Who satisfies a condition by what is measured, and how much there is of what is at the place `ranked`, once everything is noted.
    fn reach(&mut self, who: &Selection<Qualification>, ranked: Option<u32>) {
        self.shorten();
        let measures = who.measures();
        let measured = std::mem::take(&mut self.measured);
        for of_one in measured.chunk_by(|one, next| one.0 == next.0) {
            let value = |place: usize| {
                let found = of_one.binary_search_by_key(&(place as u32), |(_, place, _)| *place);
                found.map_or(0, |found| of_one[found].2)
            };
            let (mut reached, mut missed) = (0_u32, 0_u32);
            for (place, (condition, measure)) in measures.iter().enumerate() {
                let bits = if value(place) < measure.at_least { &mut missed } else { &mut reached };
                *bits |= 1 << condition;
            }
            self.person(of_one[0].0, reached & !missed, 0);
            if let Some(place) = ranked {
                self.rank(of_one[0].0, value(place as usize));
            }
        }
    }

    /// Whom the selection selects, in ascending order, each with the latest time that was noted, or with how much there is of what is
    /// measured at the place `ranked`.
    pub fn qualifying(
        mut self,
        who: &Selection<Qualification>,
        ranked: Option<u32>,
    ) -> Zeroizing<Vec<(u32, u64)>> {
        self.reach(who, ranked);
        let places = (0..self.holding.len()).filter(|place| self.selects(who, *place));
        let rank = |place: usize| self.ranks.get(place).copied().unwrap_or(0);
        Zeroizing::new(places.map(|place| (place as u32, rank(place))).collect())
    }

    /// What may be said to the aggregator of the people whom the plan selects (R088).
    pub fn sums(mut self, task: TaskId, vault: &VaultId, plan: &StatisticPlan, seed: [u8; 32]) -> Sums {
        self.reach(&plan.who, None);
        let places = 0..self.holding.len();
        let selected = places.filter(|place| self.selects(&plan.who, *place));
        let people = selected.clone().count() as u64;
        let few = people < u64::from(plan.minimum_result_cardinality);
        let cells = match &plan.measure {
            _ if few => vec![],
            // Fewer than 2^24 people.
            Measure::People => vec![people as i64],
            Measure::Sum { clamp, .. } => {
                let each = selected.map(|place| self.amounts.get(place).map_or(0, |sum| *sum.min(clamp)));
                // A clamp is at most 2^32.
                vec![each.sum::<u64>() as i64]
            }
            Measure::Groups { groups, groups_each, .. } => {
                self.counts(plan, groups.len(), *groups_each as usize)
            }
        };
        Sums { task, vault: vault.clone(), people: if few { 0 } else { people }, cells, seed }
    }

    /// Whoever no record is known of is not selected, also not by what a person does not have.
    fn selects(&self, who: &Selection<Qualification>, place: usize) -> bool {
        let holding = self.holding.get(place).copied().unwrap_or(0);
        holding != 0 && who.selects(holding)
    }

    fn counts(&self, plan: &StatisticPlan, groups: usize, groups_each: usize) -> Vec<i64> {
        let mut counts = vec![0; groups];
        for of_one in self.grouped.chunk_by(|one, next| one.0 == next.0) {
            if !self.selects(&plan.who, of_one[0].0 as usize) {
                continue;
            }
            let mut order: Zeroizing<Vec<_>> =
                Zeroizing::new(of_one.iter().map(|(_, group, records)| (*records, *group)).collect());
            order.sort_unstable_by_key(|(records, group)| (Reverse(*records), *group));
            for (_, group) in order.iter().take(groups_each) {
                if let Some(count) = counts.get_mut(*group as usize) {
                    *count += 1;
                }
            }
        }
        counts
    }
}

/// Adds up what the Vaults answer and adds noise; see [`cells::release`]. The second value is the seed that the noise came from.
///
/// **Errors**: the sums of a Vault do not have the cells of the plan.
pub fn combine(
    task: TaskId,
    plan: &StatisticPlan,
    slices: Vec<Sums>,
) -> Result<(StatisticResult, Digest), VaultId> {
    let minimum = plan.minimum_result_cardinality;
    let mut released = cells::release(vec![plan.group()], minimum, &|_, vaults| plan.noise(vaults), slices)?;
    let outcome = released.outcome();
    let (noised, noise_scale) =
        released.groups.pop().map_or((vec![], 0), |group| (group.cells, group.noise_scale));
    let result = StatisticResult {
        task,
        outcome,
        cells: plan.cells().into_iter().zip(noised).collect(),
        unit: plan.group().unit,
        noise_scale,
        epsilon: plan.epsilon,
        vaults: released.vaults,
    };
    Ok((result, released.seed))
}

/// The bit that says that there is a record of a person: above those of all conditions.
pub const KNOWN: u32 = 1 << 31;

#[cfg(test)]
mod tests;
