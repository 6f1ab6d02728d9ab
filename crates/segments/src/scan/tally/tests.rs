//! What is counted hit by hit, in arrays, and by several cores against one map (R079, R087).

use std::collections::BTreeMap;

use proptest::prelude::*;
use symphony_types::id::AttributeName;

use super::{Counting, Tallies};
use crate::composition::{Condition, Measure, Selection};
use crate::people::People;

fn name(text: &str) -> AttributeName {
    AttributeName::new(text).unwrap()
}

/// Whoever has a record of one kind, three of another, or an amount between bounds, of a third.
fn counting(latest: bool) -> Counting {
    let present = |text| Condition::Present(name(text));
    let measured =
        |over, measure, at_least, at_most| Selection::Measured { over, measure, at_least, at_most };
    let who = Selection::Any(vec![
        Selection::record(present("one")),
        measured(present("two"), Measure::Records, 3, u64::MAX),
        measured(present("three"), Measure::Sum(name("amount")), 10, 40),
    ]);
    Counting::of(&who, latest.then(|| name("time")).as_ref())
}

proptest! {
    /// Few hits are a list and many are arrays, of each core for itself; what was counted is the same.
    #[test]
    fn totals_are_those_of_a_map(
        width in 1_u32..3000,
        hits in proptest::collection::vec((0_usize..3, 0_u32..3000, 1_u64..30, 0_u64..99, 0_usize..3), 0..300),
        latest: bool,
    ) {
        let counting = counting(latest);
        let mut shares: Vec<Tallies<'_>> = (0..3).map(|_| Tallies::new(&counting, width as usize)).collect();
        let mut model: BTreeMap<(usize, u32), (u64, u64)> = BTreeMap::new();
        for (leaf, person, value, time, core) in hits {
            let (person, value) = (person % width, if leaf == 2 { value } else { 1 });
            shares[core].add(leaf, person, value, time);
            let known = model.entry((leaf, person)).or_default();
            *known = (known.0 + value, known.1.max(time));
        }
        let mut all = shares.remove(0);
        shares.into_iter().for_each(|share| all.merge(share));
        let totals = all.totals();
        let of = |leaf, person| model.get(&(leaf, person)).copied().unwrap_or_default();
        for person in 0..=width {
            for leaf in 0..3 {
                let (value, time) = of(leaf, person);
                let value = if leaf == 0 { value.min(1) } else { value };
                prop_assert_eq!(totals.value(leaf, person), value);
                prop_assert_eq!(totals.latest(leaf, person), if latest { time } else { 0 });
            }
        }
        let everybody: People = (0..width).collect();
        let selected: Vec<u32> = (0..width)
            .filter(|person| {
                let [one, two, three] = [0, 1, 2].map(|leaf| of(leaf, *person).0);
                one > 0 || two > 2 || (10..=40).contains(&three)
            })
            .collect();
        let (people, times) = totals.audience(&counting, &everybody.dense());
        prop_assert_eq!(people.iter().collect::<Vec<_>>(), selected.clone());
        prop_assert_eq!(times.len(), if latest { selected.len() } else { 0 });
    }
}

/// Each person has its place in words of 64, at their ends too.
#[test]
fn a_set_of_people_is_the_same_bit_by_bit() {
    let people: Vec<u32> =
        [0, 1, 63, 64, 65, 127, 128, 300].into_iter().chain(512..700).chain([70_000]).collect();
    let bits = people.iter().copied().collect::<People>().dense();
    let contained: Vec<u32> = (0..80_000).filter(|person| bits.contains(*person)).collect();
    assert_eq!(contained, people);
}
