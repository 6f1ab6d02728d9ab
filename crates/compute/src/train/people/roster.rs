//! Who the rows of a Vault are about, and which of them lie before and after the evaluation time.

use arrow::array::{Array as _, RecordBatch, UInt64Array};
use arrow::buffer::BooleanBuffer;
use symphony_protocol::artifact::training::TrainingPlan;
use zeroize::Zeroizing;

use super::DAY;
use crate::keyed::Keyed;
use crate::material::{Material, subjects};
use crate::slice::{SliceError, numbers, token_of};

/// The people of a Vault by token.
pub(super) struct Roster {
    keyed: Keyed,
    /// Tokens, ascending; a person is its place here.
    tokens: Zeroizing<Vec<[u8; 32]>>,
    /// Subjects, ascending, and the person that each is.
    subjects: Zeroizing<Vec<(u32, u32)>>,
}

/// One batch of rows.
pub(super) struct Rows<'a> {
    pub(super) batch: &'a RecordBatch,
    persons: Zeroizing<Vec<u32>>,
    times: &'a UInt64Array,
    evaluated_at: u64,
    /// Rows of somebody, not after the evaluation time.
    pub(super) past: BooleanBuffer,
    /// Rows of somebody, after it.
    future: BooleanBuffer,
}

impl Roster {
    /// Subjects with one contact are one person.
    pub(super) fn new(material: &Material, key: &[u8; 32]) -> Self {
        let keyed = Keyed::new(key);
        let (subjects, handles) = material.people();
        let of_subject: Zeroizing<Vec<[u8; 32]>> =
            Zeroizing::new(handles.iter().flatten().map(|handle| token_of(&keyed, handle)).collect());
        let mut tokens = of_subject.clone();
        tokens.sort_unstable();
        tokens.dedup();
        let place = |token: &[u8; 32]| tokens.partition_point(|other| other < token) as u32;
        let mut subjects: Zeroizing<Vec<(u32, u32)>> = Zeroizing::new(
            subjects
                .values()
                .iter()
                .zip(of_subject.iter())
                .map(|(subject, token)| (*subject, place(token)))
                .collect(),
        );
        subjects.sort_unstable();
        Self { keyed, tokens, subjects }
    }

    /// People.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether a person is held out: the first eight bytes of the token, as a big-endian number, modulo a thousand.
    pub(super) fn held_out(&self, person: usize, thousandths: u32) -> bool {
        let (first, _) = self.tokens[person].split_at(8);
        let first = first.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        first % 1_000 < u64::from(thousandths)
    }

    /// A code of a person and a number under the key.
    pub(super) fn code(&self, person: usize, number: u32) -> [u8; 32] {
        let mut message = Zeroizing::new([0; 36]);
        message[..32].copy_from_slice(&self.tokens[person]);
        message[32..].copy_from_slice(&number.to_le_bytes());
        self.keyed.of(message.as_slice())
    }

    /// Whose the rows of a batch are, and when. **Errors**: no column of times.
    pub(super) fn rows<'a>(
        &self,
        plan: &TrainingPlan,
        material: &Material,
        batch: &'a RecordBatch,
    ) -> Result<Rows<'a>, SliceError> {
        let times = numbers(material, batch, &plan.training.time)?;
        let find = |subject: &u32| {
            let at = self.subjects.binary_search_by_key(subject, |(known, _)| *known);
            at.map_or(NOBODY, |at| self.subjects[at].1)
        };
        let persons: Zeroizing<Vec<u32>> =
            Zeroizing::new(subjects(batch).values().iter().map(find).collect());
        let evaluated_at = plan.evaluated_at.0;
        let about = |row: usize| persons[row] != NOBODY && times.is_valid(row);
        let rows = batch.num_rows();
        let past = BooleanBuffer::collect_bool(rows, |row| about(row) && times.value(row) <= evaluated_at);
        let future = BooleanBuffer::collect_bool(rows, |row| about(row) && times.value(row) > evaluated_at);
        Ok(Rows { batch, persons, times, evaluated_at, past, future })
    }
}

impl Rows<'_> {
    /// Whose a row of the past or of the future is.
    pub(super) fn person(&self, row: usize) -> usize {
        self.persons[row] as usize
    }

    /// When it was.
    pub(super) fn time(&self, row: usize) -> u64 {
        self.times.value(row)
    }

    /// The rows with this bit in the last so many days up to the evaluation time.
    pub(super) fn back(&self, days: u32, bits: &BooleanBuffer) -> Vec<usize> {
        let window = u64::from(days) * DAY;
        let near = |row: &usize| self.evaluated_at - self.time(*row) < window;
        (&self.past & bits).set_indices().filter(near).collect()
    }

    /// The rows with this bit in the first so many days after the evaluation time.
    pub(super) fn ahead(&self, days: u32, bits: &BooleanBuffer) -> Vec<usize> {
        let window = u64::from(days) * DAY;
        let near = |row: &usize| self.time(*row) - self.evaluated_at <= window;
        (&self.future & bits).set_indices().filter(near).collect()
    }
}

const NOBODY: u32 = u32::MAX;
