//! One feature of all people, while records are read: whole numbers by person.

use std::collections::BTreeMap;

use arrow::array::Array as _;
use arrow::buffer::BooleanBuffer;
use symphony_protocol::artifact::ResolvedOperand;
use symphony_protocol::artifact::training::{Family, Feature};
use symphony_protocol::governance::semantics::normalise;
use symphony_types::digest::Digest;
use symphony_types::id::AttributeName;
use symphony_types::time::OrderedMillis;
use zeroize::Zeroizing;

use super::DAY;
use super::roster::Rows;
use crate::material::Material;
use crate::slice::{SliceError, numbers, texts};

/// A number a person. **Units**: cents for amounts.
type Numbers = Zeroizing<Vec<u64>>;

/// What the records of a window add up to.
pub(super) enum Column {
    /// One more than the latest time; zero without any.
    Latest(Numbers),
    /// How many.
    Count(Numbers),
    /// Their sum.
    Total(Numbers),
    /// Their sum, and how many they are.
    Mean(Numbers, Numbers),
    /// Their sum, and that of all.
    Share(Numbers, Numbers),
    /// Texts, each once.
    Distinct(Texts),
}

/// Different texts of people, in the form in which texts are compared.
#[derive(Default)]
pub(super) struct Texts {
    /// Numbers by digest: no text is kept.
    known: BTreeMap<Digest, u32>,
    seen: Zeroizing<Vec<(usize, u32)>>,
}

impl Column {
    pub(super) fn new(family: &Family, people: usize) -> Self {
        let zeros = || Zeroizing::new(vec![0; people]);
        match family {
            Family::Recency => Self::Latest(zeros()),
            Family::Frequency => Self::Count(zeros()),
            Family::Sum(_) => Self::Total(zeros()),
            Family::Mean(_) => Self::Mean(zeros(), zeros()),
            Family::Share(_) => Self::Share(zeros(), zeros()),
            Family::Distinct(_) => Self::Distinct(Texts::default()),
        }
    }

    /// Reads a batch; `bits` are the rows that the filter lets through. **Errors**: an attribute without its column.
    pub(super) fn read(
        &mut self,
        feature: &Feature<ResolvedOperand>,
        material: &Material,
        rows: &Rows<'_>,
        bits: &BooleanBuffer,
    ) -> Result<(), SliceError> {
        let counting = rows.back(feature.days, bits);
        match (self, &feature.family) {
            (Self::Latest(latest), Family::Recency) => {
                for row in counting {
                    let known = &mut latest[rows.person(row)];
                    *known = (*known).max(rows.time(row).saturating_add(1));
                }
            }
            (Self::Count(counts), Family::Frequency) => {
                counting.into_iter().for_each(|row| counts[rows.person(row)] += 1);
            }
            (Self::Total(totals), Family::Sum(amount)) => {
                add(totals, None, (material, rows, amount), counting)?
            }
            (Self::Mean(totals, counts), Family::Mean(amount)) => {
                add(totals, Some(counts), (material, rows, amount), counting)?;
            }
            (Self::Share(part, whole), Family::Share(amount)) => {
                add(part, None, (material, rows, amount), counting)?;
                let all = rows.back(feature.days, &rows.past);
                add(whole, None, (material, rows, amount), all)?;
            }
            (Self::Distinct(known), Family::Distinct(text)) => known.read(material, rows, text, counting)?,
            (
                Self::Latest(_)
                | Self::Count(_)
                | Self::Total(_)
                | Self::Mean(..)
                | Self::Share(..)
                | Self::Distinct(_),
                _,
            ) => unreachable!("a column is made for its family"),
        }
        Ok(())
    }

    /// Ends the reading.
    pub(super) fn finish(&mut self) {
        if let Self::Distinct(texts) = self {
            texts.seen.sort_unstable();
            texts.seen.dedup();
        }
    }

    /// The number of one person, before it is scaled.
    pub(super) fn value(&self, person: usize, evaluated_at: OrderedMillis, days: u32) -> f64 {
        let ratio = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        match self {
            Self::Latest(latest) => match latest[person].checked_sub(1) {
                None => f64::from(days),
                Some(time) => (evaluated_at.0 - time) as f64 / DAY as f64,
            },
            Self::Count(counts) => counts[person] as f64,
            Self::Total(totals) => totals[person] as f64 / CENTS,
            Self::Mean(totals, counts) => ratio(totals[person], counts[person]) / CENTS,
            Self::Share(part, whole) => ratio(part[person], whole[person]),
            Self::Distinct(Texts { seen, .. }) => {
                let before = |limit: usize| seen.partition_point(|(other, _)| *other < limit);
                (before(person + 1) - before(person)) as f64
            }
        }
    }
}

impl Texts {
    fn read(
        &mut self,
        material: &Material,
        rows: &Rows<'_>,
        attribute: &AttributeName,
        counting: Vec<usize>,
    ) -> Result<(), SliceError> {
        let (places, texts) = texts(material, rows.batch, attribute)?;
        let mut number = |text: &str| {
            let next = self.known.len() as u32;
            let text = Zeroizing::new(normalise(text));
            *self.known.entry(Digest::of_bytes(text.as_bytes())).or_insert(next)
        };
        let numbers: Vec<Option<u32>> = texts.iter().map(|text| text.map(&mut number)).collect();
        for row in counting.into_iter().filter(|row| places.is_valid(*row)) {
            let number = usize::try_from(places.value(row)).ok().and_then(|place| *numbers.get(place)?);
            self.seen.extend(number.map(|number| (rows.person(row), number)));
        }
        Ok(())
    }
}

/// Adds up amounts, where they are there; a sum that does not fit stays at the most that does.
fn add(
    totals: &mut [u64],
    mut counts: Option<&mut Numbers>,
    (material, rows, attribute): (&Material, &Rows<'_>, &AttributeName),
    counting: Vec<usize>,
) -> Result<(), SliceError> {
    let amounts = numbers(material, rows.batch, attribute)?;
    for row in counting.into_iter().filter(|row| amounts.is_valid(*row)) {
        let person = rows.person(row);
        totals[person] = totals[person].saturating_add(amounts.value(row));
        if let Some(counts) = &mut counts {
            counts[person] += 1;
        }
    }
    Ok(())
}

/// Cents of a currency unit.
const CENTS: f64 = 100.0;
