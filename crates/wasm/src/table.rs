//! Records person by person, as a module gets them: whole numbers in columns, one person's rows side by side (R094).
//!
//! A table is filled batch by batch in the order of the material, in Arrow's layout: values, and a bit for each that is
//! there. Texts become positions in the task's lists on the way in, so that a module never sees one. Then rows are put person by
//! person, and a person's rows in the order that the module declares. Columns are wiped when the table is dropped.

use std::collections::BTreeMap;

use symphony_types::limits::SUBJECTS_PER_VAULT_MAX;
use zeroize::Zeroizing;

use crate::engine::Ending;
use symphony_protocol::artifact::compute::Parameters;
use symphony_protocol::artifact::module::{Declaration, InputKind, NUMBER_MAX};

/// What stands for a value that is not there, or a text that is in no list.
pub const ABSENT: i64 = -1;

/// Rows of one batch, as the material is sealed.
pub const BATCH_ROWS_MAX: usize = 1 << 16;

/// Rows of one table.
pub const TABLE_ROWS_MAX: usize = 1 << 24;

/// Rows of many people in the order of the material.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Whose each row is.
    pub subjects: &'a [u32],
    /// The columns in the order of the declared inputs, each as long.
    pub columns: &'a [Cells<'a>],
}

/// One column of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Cells<'a> {
    /// Times and amounts.
    Numbers {
        /// A number for each row.
        values: &'a [u64],
        /// Which of them are there; all if there is none.
        validity: Option<Validity<'a>>,
    },
    /// Texts, by their position in a dictionary.
    Texts {
        /// A position for each row.
        keys: &'a [i32],
        /// The texts.
        dictionary: &'a [&'a str],
        /// Which of them are there; all if there is none.
        validity: Option<Validity<'a>>,
    },
}

/// A bit for each row, lowest first.
#[derive(Clone, Copy, Debug)]
pub struct Validity<'a> {
    /// The bits.
    pub bytes: &'a [u8],
    /// Where the first row's bit is.
    pub offset: usize,
}

impl Validity<'_> {
    fn at(&self, row: usize) -> bool {
        let bit = self.offset + row;
        self.bytes.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }
}

/// Rows of people, ready for a module.
pub struct Table {
    subjects: Vec<u32>,
    starts: Vec<usize>,
    columns: Vec<Zeroizing<Vec<i64>>>,
}

/// One person of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// Its index in the Vault.
    pub subject: u32,
    /// Where its rows begin in each column.
    pub start: usize,
    /// How many there are.
    pub rows: usize,
}

impl Table {
    /// People by ascending subject; each has a row.
    pub fn people(&self) -> impl ExactSizeIterator<Item = Person> + '_ {
        self.subjects.iter().zip(self.starts.windows(2)).map(|(subject, bounds)| Person {
            subject: *subject,
            start: bounds[0],
            rows: bounds[1] - bounds[0],
        })
    }

    /// How many people have a row.
    pub fn people_len(&self) -> usize {
        self.subjects.len()
    }

    /// How many rows there are.
    pub fn rows_len(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The columns in the order of the declared inputs, person by person.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = &[i64]> + '_ {
        self.columns.iter().map(|column| column.as_slice())
    }

    /// One column of one person.
    pub fn column(&self, index: usize, person: &Person) -> &[i64] {
        self.columns
            .get(index)
            .and_then(|column| column.get(person.start..person.start + person.rows))
            .unwrap_or_default()
    }
}

/// Fills a table batch by batch.
pub struct TableBuilder<'a> {
    kinds: Vec<InputKind>,
    lists: Vec<Option<&'a [String]>>,
    order: Option<usize>,
    subjects: Vec<u32>,
    columns: Vec<Zeroizing<Vec<i64>>>,
}

impl<'a> TableBuilder<'a> {
    /// An empty table for a module and the parameters of a task.
    ///
    /// **Errors**: [`Ending::Parameters`].
    pub fn new(declaration: &Declaration, parameters: &'a Parameters) -> Result<Self, Ending> {
        parameters.check(declaration).map_err(|_| Ending::Parameters)?;
        let kinds: Vec<_> = declaration.inputs.iter().map(|input| input.kind).collect();
        let mut lists = parameters.lists.iter();
        let lists =
            kinds.iter().map(|kind| kind.texts_max().and_then(|_| lists.next()).map(Vec::as_slice)).collect();
        let columns = kinds.iter().map(|_| Zeroizing::new(Vec::new())).collect();
        let order = declaration.order.map(|at| at as usize);
        Ok(Self { kinds, lists, order, subjects: Vec::new(), columns })
    }

    /// Adds the rows of a batch behind those that are there.
    ///
    /// **Errors**: [`Ending::Inputs`] if a column is of another kind or length, a key is outside of its dictionary, or there are too
    /// many rows; the table is as it was.
    pub fn push(&mut self, batch: &Batch<'_>) -> Result<(), Ending> {
        let rows = batch.subjects.len();
        let fits = rows <= BATCH_ROWS_MAX
            && self.subjects.len() + rows <= TABLE_ROWS_MAX
            && batch.columns.len() == self.kinds.len()
            && batch.subjects.iter().all(|subject| *subject < SUBJECTS_PER_VAULT_MAX);
        let sound = |(kind, cells): (&InputKind, &Cells<'_>)| is_of(*kind, cells, rows);
        if !fits || !self.kinds.iter().zip(batch.columns).all(sound) {
            return Err(Ending::Inputs);
        }
        self.subjects.extend_from_slice(batch.subjects);
        for ((cells, list), out) in batch.columns.iter().zip(&self.lists).zip(&mut self.columns) {
            append(cells, list.unwrap_or_default(), out);
        }
        Ok(())
    }

    /// Puts the rows person by person. A Vault's material comes like that, and then nothing is moved.
    pub fn finish(self) -> Table {
        let (subjects, starts, mut order) = grouped(&self.subjects);
        if let Some(keys) = self.order.and_then(|at| self.columns.get(at)) {
            let key = |row: &u32| keys[*row as usize];
            for bounds in starts.windows(2) {
                let rows = bounds[0]..bounds[1];
                let sorted = match &order {
                    Some(order) => order[rows.clone()].is_sorted_by_key(key),
                    None => keys[rows.clone()].is_sorted(),
                };
                if !sorted {
                    let order = order.get_or_insert_with(|| (0..keys.len() as u32).collect());
                    // Stable: rows with equal keys stay as they came.
                    order[rows].sort_by_key(key);
                }
            }
        }
        let gather = |column: Zeroizing<Vec<i64>>| match &order {
            None => column,
            Some(order) => Zeroizing::new(order.iter().map(|row| column[*row as usize]).collect()),
        };
        let columns = self.columns.into_iter().map(gather).collect();
        Table { subjects, starts, columns }
    }
}

/// Subjects, where the rows of each begin (and, last, the number of rows), and the rows in that order, unless they are in it
/// already. Rows of one subject stay in their order.
fn grouped(of_rows: &[u32]) -> (Vec<u32>, Vec<usize>, Option<Vec<u32>>) {
    if of_rows.is_sorted() {
        let (mut subjects, mut starts, mut start) = (Vec::new(), Vec::new(), 0);
        for run in of_rows.chunk_by(|one, next| one == next) {
            subjects.push(run[0]);
            starts.push(start);
            start += run.len();
        }
        starts.push(start);
        return (subjects, starts, None);
    }
    // Subjects are dense indices, so counting them costs less than sorting rows.
    let len = of_rows.iter().max().map_or(0, |max| *max as usize + 1);
    let mut next = vec![0_u32; len];
    for subject in of_rows {
        next[*subject as usize] += 1;
    }
    let (mut subjects, mut starts, mut start) = (Vec::new(), Vec::new(), 0);
    for (subject, count) in next.iter_mut().enumerate() {
        let rows = *count;
        if rows > 0 {
            subjects.push(subject as u32);
            starts.push(start as usize);
        }
        *count = start;
        start += rows;
    }
    starts.push(start as usize);
    let mut order = vec![0; of_rows.len()];
    for (row, subject) in of_rows.iter().enumerate() {
        let place = &mut next[*subject as usize];
        order[*place as usize] = row as u32;
        *place += 1;
    }
    (subjects, starts, Some(order))
}

fn is_of(kind: InputKind, cells: &Cells<'_>, rows: usize) -> bool {
    let covers = |validity: &Validity<'_>| {
        validity.offset.checked_add(rows).is_some_and(|bits| bits <= validity.bytes.len() * 8)
    };
    match (kind, cells) {
        (InputKind::Time | InputKind::Cents, Cells::Numbers { values, validity }) => {
            values.len() == rows && validity.as_ref().is_none_or(covers)
        }
        (InputKind::Listed { .. }, Cells::Texts { keys, dictionary, validity }) => {
            let there = |row: usize| validity.as_ref().is_none_or(|bits| bits.at(row));
            let inside = |(row, key): (usize, &i32)| {
                !there(row) || usize::try_from(*key).is_ok_and(|key| key < dictionary.len())
            };
            keys.len() == rows && validity.as_ref().is_none_or(covers) && keys.iter().enumerate().all(inside)
        }
        (InputKind::Time | InputKind::Cents, Cells::Texts { .. })
        | (InputKind::Listed { .. }, Cells::Numbers { .. }) => false,
    }
}

fn append(cells: &Cells<'_>, list: &[String], out: &mut Vec<i64>) {
    match cells {
        Cells::Numbers { values, validity } => {
            let number = |value: &u64| (*value).min(NUMBER_MAX.cast_unsigned()).cast_signed();
            match validity {
                None => out.extend(values.iter().map(number)),
                Some(bits) => out.extend(
                    values
                        .iter()
                        .enumerate()
                        .map(|(row, value)| if bits.at(row) { number(value) } else { ABSENT }),
                ),
            }
        }
        Cells::Texts { keys, dictionary, validity } => {
            let positions: BTreeMap<&str, i64> = list.iter().map(String::as_str).zip(0..).collect();
            let of_key: Vec<i64> =
                dictionary.iter().map(|text| positions.get(text).copied().unwrap_or(ABSENT)).collect();
            out.extend(keys.iter().enumerate().map(|(row, key)| {
                let there = validity.as_ref().is_none_or(|bits| bits.at(row));
                let position = usize::try_from(*key).ok().and_then(|key| of_key.get(key));
                if there { position.copied().unwrap_or(ABSENT) } else { ABSENT }
            }));
        }
    }
}

#[cfg(test)]
mod tests;
