//! Lists of items a person, for affinity: an item is listed or not, however often it was bought, so that one eager buyer
//! weighs no more than another.

use arrow::array::Array as _;
use symphony_protocol::governance::semantics::normalise;
use symphony_types::id::AttributeName;
use zeroize::Zeroizing;

use super::roster::{Roster, Rows};
use crate::material::Material;
use crate::slice::{SliceError, texts};
use crate::train::dataset::Listed;

/// People and items, as read.
#[derive(Default)]
pub(super) struct Lists(Zeroizing<Vec<(usize, u32)>>);

/// People and items, ascending, each pair once.
pub(super) struct Sorted(Zeroizing<Vec<(usize, u32)>>);

impl Lists {
    /// Reads a batch. **Errors**: no column of items.
    pub(super) fn read(
        &mut self,
        (attribute, items, days): (&AttributeName, &[String], u32),
        material: &Material,
        rows: &Rows<'_>,
    ) -> Result<(), SliceError> {
        let (places, texts) = texts(material, rows.batch, attribute)?;
        let item = |text: &str| {
            let text = Zeroizing::new(normalise(text));
            items.binary_search_by(|item| item.as_str().cmp(text.as_str())).ok()
        };
        let numbers: Vec<Option<usize>> = texts.iter().map(|text| text.and_then(item)).collect();
        for row in rows.back(days, &rows.past).into_iter().filter(|row| places.is_valid(*row)) {
            let number = usize::try_from(places.value(row)).ok().and_then(|place| *numbers.get(place)?);
            self.0.extend(number.map(|item| (rows.person(row), item as u32)));
        }
        Ok(())
    }

    pub(super) fn sorted(mut self) -> Sorted {
        self.0.sort_unstable();
        self.0.dedup();
        Sorted(self.0)
    }
}

impl Sorted {
    /// The lists of these people.
    pub(super) fn of(&self, people: &[usize]) -> Vec<Vec<Listed>> {
        people.iter().map(|person| self.items(*person).map(listed).collect()).collect()
    }

    /// The lists of these people in two: given and held, which is the half, rounded down, whose codes are least.
    pub(super) fn halves(&self, people: &[usize], roster: &Roster) -> (Vec<Vec<Listed>>, Vec<Vec<Listed>>) {
        let half = |person: &usize| {
            let mut items: Vec<u32> = self.items(*person).collect();
            items.sort_by_cached_key(|item| roster.code(*person, *item));
            let mut given = items.split_off(items.len() / 2);
            given.sort_unstable();
            items.sort_unstable();
            let list = |items: Vec<u32>| items.into_iter().map(listed).collect();
            (list(given), list(items))
        };
        people.iter().map(half).unzip()
    }

    fn items(&self, person: usize) -> impl Iterator<Item = u32> {
        let before = |limit: usize| self.0.partition_point(|(other, _)| *other < limit);
        self.0[before(person)..before(person + 1)].iter().map(|(_, item)| *item)
    }
}

fn listed(item: u32) -> Listed {
    Listed { item, value: 1.0 }
}
