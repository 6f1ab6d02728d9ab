//! What a task brings beside records: numbers, lists of texts, and its limits (R094).

use serde::{Deserialize, Serialize};
use symphony_types::limits::TEXT_LEN_MAX;

use crate::declaration::{Declaration, InputKind};
use crate::engine::Ending;
use crate::table::Table;

/// The parameters of one task for one module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// One number for each declared parameter.
    pub numbers: Vec<i64>,
    /// One list for each listed input, in the order of inputs. Texts are compared as they are: whoever fills a table
    /// normalises both sides alike.
    pub lists: Vec<Vec<String>>,
}

impl Parameters {
    /// Sees that they fit the declaration. Reads no record, so a master can decide it at admission.
    ///
    /// **Errors**: [`Ending::Parameters`].
    pub fn check(&self, declaration: &Declaration) -> Result<(), Ending> {
        let ranges = &declaration.parameters;
        let in_range = |(number, range): (&i64, &crate::declaration::ParameterRange)| {
            (range.min..=range.max).contains(number)
        };
        if self.numbers.len() != ranges.len() || !self.numbers.iter().zip(ranges).all(in_range) {
            return Err(Ending::Parameters);
        }
        let bounds: Vec<u32> = declaration.inputs.iter().filter_map(|input| listed(input.kind)).collect();
        let fits = |(list, max): (&Vec<String>, &u32)| {
            let sound = |text: &String| !text.is_empty() && text.len() <= TEXT_LEN_MAX;
            let distinct = (1..list.len()).all(|at| !list[..at].contains(&list[at]));
            list.len() <= *max as usize && list.iter().all(sound) && distinct
        };
        let all = self.lists.len() == bounds.len() && self.lists.iter().zip(&bounds).all(fits);
        if all { Ok(()) } else { Err(Ending::Parameters) }
    }
}

/// The most texts of a listed input.
pub(crate) fn listed(kind: InputKind) -> Option<u32> {
    match kind {
        InputKind::Listed { texts_max } => Some(texts_max),
        InputKind::Time | InputKind::Cents => None,
    }
}

/// One run of a module over the records of one Vault.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The records.
    pub table: &'a Table,
    /// The task's parameters; those that the table was filled with.
    pub parameters: &'a Parameters,
    /// The most fuel that the quote covers; what counts is [`allotment`], not what is burnt.
    pub fuel_max: u64,
    /// Bytes of output at most.
    pub output_bytes_max: usize,
    /// People, ascending, whose answer is left out: those whom a replay on the first engine found out of fuel. Empty but for
    /// a replay on the second engine.
    pub left_out: &'a [u32],
}

/// The fuel that is set aside, and charged, for so many people with so many rows each: it depends on how many rows there
/// are, never on what stands in them.
pub fn allotment(declaration: &Declaration, table: &Table) -> u64 {
    let each = |rows: usize| {
        declaration.fuel(rows.min(declaration.rows_max as usize)).saturating_mul(declaration.words_max.into())
    };
    table.people().fold(0, |sum: u64, person| sum.saturating_add(each(person.rows)))
}
