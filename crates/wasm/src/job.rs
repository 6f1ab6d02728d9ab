//! What a task brings beside records: numbers, lists of texts, and its limits (R094).

use symphony_protocol::artifact::compute::Parameters;
use symphony_protocol::artifact::module::Declaration;

use crate::table::Table;

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
