//! People as rows: features scaled by bounds that were fixed at admission and not by the data, labels where the
//! model has one, or lists of items with values (R098).
//!
//! Whatever is built here is whole: every number finite, every row of one length, everything within its limits.
//! Wiped on drop.

use symphony_protocol::artifact::training::{self, FEATURES_MAX, ITEMS_MAX};
use symphony_types::limits::SUBJECTS_PER_VAULT_MAX;
use zeroize::Zeroizing;

use super::TrainError;
use super::numbers::square;

/// How one feature is brought to about one: `(value - centre) / spread`, cut off at `bound` on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// What becomes zero.
    pub centre: f64,
    /// What becomes one; positive.
    pub spread: f64,
    /// Nothing is farther from zero than this; positive.
    pub bound: f64,
}

impl From<&training::Scale> for Scale {
    fn from(fixed: &training::Scale) -> Self {
        Self {
            centre: fixed.centre as f64 / 1e6,
            spread: fixed.spread as f64 / 1e6,
            bound: f64::from(fixed.bound) / 1e3,
        }
    }
}

/// The people that one Vault trains or evaluates on.
pub enum Dataset {
    /// For propensity and clusters.
    Features(Features),
    /// For affinity.
    Baskets(Baskets),
}

/// A row of features a person. **Shape**: rows x width, row after row.
pub struct Features {
    width: usize,
    values: Zeroizing<Vec<f32>>,
    squares: Zeroizing<Vec<f64>>,
    labels: Option<Zeroizing<Vec<bool>>>,
}

/// One item of a person's list.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listed {
    /// The item, below the number of items.
    pub item: u32,
    /// What the person thinks of it: a share, a count brought to about one.
    pub value: f32,
}

/// A list of items a person, each item at most once, in ascending order.
pub struct Baskets {
    items: usize,
    ends: Vec<usize>,
    listed: Zeroizing<Vec<(u32, f32)>>,
}

impl Dataset {
    /// People.
    pub fn rows(&self) -> usize {
        match self {
            Self::Features(features) => features.rows(),
            Self::Baskets(baskets) => baskets.rows(),
        }
    }

    /// About how much memory it takes. **Units**: bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Features(features) => features.bytes(),
            Self::Baskets(baskets) => baskets.bytes(),
        }
    }
}

impl Features {
    /// Scales `raw` and keeps it; one scale a feature, one label a person where there are labels.
    ///
    /// **Errors**: sizes out of their limits or that do not fit; numbers or scales that are not finite or positive.
    pub fn new(scales: &[Scale], raw: &[f64], labels: Option<&[bool]>) -> Result<Self, TrainError> {
        let width = scales.len();
        if width == 0 || width > FEATURES_MAX as usize {
            return Err(TrainError::Size("features"));
        }
        let rows = raw.len() / width;
        if !raw.len().is_multiple_of(width) || labels.is_some_and(|labels| labels.len() != rows) {
            return Err(TrainError::Shape("rows and their features and labels"));
        }
        check_rows(rows)?;
        let sound = |scale: &Scale| {
            let positive = |number: f64| number.is_finite() && number > 0.0;
            scale.centre.is_finite() && positive(scale.spread) && positive(scale.bound)
        };
        if !scales.iter().all(sound) {
            return Err(TrainError::NotFinite("scales"));
        }
        let mut values = Zeroizing::new(Vec::with_capacity(raw.len()));
        for row in raw.chunks_exact(width) {
            for (value, scale) in row.iter().zip(scales) {
                let scaled = ((value - scale.centre) / scale.spread).clamp(-scale.bound, scale.bound) as f32;
                if !value.is_finite() || !scaled.is_finite() {
                    return Err(TrainError::NotFinite("features"));
                }
                values.push(scaled);
            }
        }
        let squares = Zeroizing::new(values.chunks_exact(width).map(square).collect());
        Ok(Self { width, values, squares, labels: labels.map(|labels| Zeroizing::new(labels.to_vec())) })
    }

    /// People.
    pub fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// Features a person.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The features of the person at `row`.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    pub(super) fn bytes(&self) -> usize {
        self.values.len() * size_of::<f32>() + self.rows() * (size_of::<f64>() + size_of::<bool>())
    }

    /// The sum of the squares of the person's features.
    pub(super) fn square(&self, row: usize) -> f64 {
        self.squares[row]
    }

    /// The labels, one a person. **Errors**: [`TrainError::Shape`] where there are none.
    pub fn labels(&self) -> Result<&[bool], TrainError> {
        let labels = self.labels.as_ref().ok_or(TrainError::Shape("model with a label and rows without"))?;
        Ok(labels.as_slice())
    }
}

impl Baskets {
    /// Keeps one list a person. `items` is the number of all items.
    ///
    /// **Errors**: sizes out of their limits; an item out of range, twice or out of order; a value that is not finite.
    pub fn new(items: usize, people: &[Vec<Listed>]) -> Result<Self, TrainError> {
        if items == 0 || items > ITEMS_MAX as usize {
            return Err(TrainError::Size("items"));
        }
        check_rows(people.len())?;
        let all = people.iter().map(Vec::len).sum();
        let (mut ends, mut listed) =
            (Vec::with_capacity(people.len()), Zeroizing::new(Vec::with_capacity(all)));
        for list in people {
            let ascending = list.is_sorted_by(|one, two| one.item < two.item);
            if !ascending || list.last().is_some_and(|last| last.item as usize >= items) {
                return Err(TrainError::Shape("items of a list and all items"));
            }
            for Listed { item, value } in list {
                if !value.is_finite() || value.abs() > VALUE_MAX {
                    return Err(TrainError::NotFinite("values of items"));
                }
                listed.push((*item, *value));
            }
            ends.push(listed.len());
        }
        Ok(Self { items, ends, listed })
    }

    /// People.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.listed.len() * size_of::<(u32, f32)>() + self.ends.len() * size_of::<usize>()
    }

    /// All items that there are.
    pub fn items(&self) -> usize {
        self.items
    }

    /// The list of the person at `row`: items in ascending order, with their values.
    pub fn row(&self, row: usize) -> &[(u32, f32)] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.listed[start..self.ends[row]]
    }
}

fn check_rows(rows: usize) -> Result<(), TrainError> {
    if rows <= SUBJECTS_PER_VAULT_MAX as usize { Ok(()) } else { Err(TrainError::Size("rows")) }
}

/// A value of an item is brought to about one; a larger one is a mistake.
const VALUE_MAX: f32 = 1e6;
