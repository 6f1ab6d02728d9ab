//! Who is selected by a question over open segments, counted by a scan on all threads of the pool that it is called in.
//!
//! Nothing here reads a file or waits for a runtime: an enclave answers with it, and so does the engine of a node.

#[cfg(feature = "store")]
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;
use symphony_types::catalogue::Code;
use symphony_types::id::AttributeName;

use crate::composition::{Composition, CompositionError, Histogram};
use crate::error::SegmentError;
use crate::open::{OpenSegment, Ranges};
use crate::people::{Dense, People};
use crate::scan::tally::{Counting, Tallies, Totals};
use crate::scan::work::{self, Piece};
use crate::scan::{Grouped, Scan};
use crate::schema::SegmentSchema;

/// A question got no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The question does not fit the Vault.
    #[error(transparent)]
    Composition(#[from] CompositionError),
    /// Segments could not be read.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The query needs more memory than one may use.
    #[error("the query needs more memory than one may use")]
    Memory,
    /// The query did not end in time.
    #[error("the query did not end in time")]
    Deadline,
    /// Too many queries are waiting.
    #[error("too many queries are waiting")]
    Crowded,
    /// A plan could not be made or run.
    #[error("running a plan: {0}")]
    Plan(String),
}

impl QueryError {
    /// The refusal that a caller sees.
    pub fn code(&self) -> Code {
        match self {
            Self::Composition(_) => Code::Malformed,
            Self::Segment(error) => error.code(),
            Self::Memory => Code::BodyTooLarge,
            Self::Deadline => Code::StageTimeout,
            Self::Crowded => Code::RateLimited,
            Self::Plan(_) => Code::Internal,
        }
    }
}

/// Who was selected.
#[derive(Clone, Debug, PartialEq)]
pub struct Audience {
    /// The people.
    pub people: People,
    /// The latest qualifying time of each, in ascending order of people; empty when none was asked for.
    pub latest: Vec<u64>,
}

/// What one answer may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Memory of arrays and of what is decrypted at a time. **Units**: bytes.
    pub memory_bytes: usize,
    /// When it is given up.
    pub deadline: Instant,
}

/// Who is selected among the permitted by the records of these segments.
///
/// **Errors**: [`QueryError`]; each bound has its own.
pub fn audience(
    segments: &[Arc<OpenSegment>],
    schema: &SegmentSchema,
    permitted: &People,
    composition: &Composition,
    (files, bounds): (&dyn Ranges, Bounds),
) -> Result<Audience, QueryError> {
    composition.check(schema)?;
    let counting = Counting::of(&composition.who, composition.latest.as_ref());
    let allowed = Allowed::of(permitted);
    let (time, window) = (schema.time(), counting.window(schema.time()));
    let pieces = segments.iter().flat_map(|segment| work::pieces_of(segment, time, window)).collect();
    let cores = rayon::current_num_threads();
    let totals = counted(pieces, &allowed, &counting, cores, (files, bounds))?;
    let (people, latest) = totals.audience(&counting, &allowed.bits);
    Ok(Audience { people: people.into(), latest })
}

/// Counts the records of allowed people in these pieces, as shares for so many cores.
pub(crate) fn counted(
    pieces: Vec<Piece>,
    allowed: &Allowed,
    counting: &Counting,
    cores: usize,
    (files, bounds): (&dyn Ranges, Bounds),
) -> Result<Totals, QueryError> {
    let width = allowed.width;
    let shares = work::shares(pieces, cores);
    let tallies = Tallies::bytes(counting, width) * shares.len().max(1);
    let decoded: usize = shares.iter().map(|share| share.iter().map(bytes_of).max().unwrap_or(0)).sum();
    if tallies + allowed.bits.bytes() + decoded > bounds.memory_bytes {
        return Err(QueryError::Memory);
    }
    let scan = Scan { counting, permitted: &allowed.bits, width, deadline: bounds.deadline, files };
    let parts = shares.par_iter().map(|share| scan.count(share));
    let all = parts.try_reduce_with(|mut all, part| {
        all.merge(part);
        Ok(all)
    });
    Ok(all.unwrap_or_else(|| Ok(Tallies::new(counting, width)))?.totals())
}

/// How many allowed people are in each of these groups, which ascend: each person in at most so many, those in which most of the
/// person's records are, the lesser text first where they are equal.
#[cfg(feature = "store")]
pub(crate) fn grouped(
    pieces: Vec<Piece>,
    allowed: &Allowed,
    counting: (&Counting, &Histogram),
    cores: usize,
    reading: (&dyn Ranges, Bounds),
) -> Result<Vec<u64>, QueryError> {
    let asked = counting.1;
    let all = records_in_groups(pieces, allowed, counting, cores, reading)?;
    let mut order: Vec<_> =
        all.into_iter().map(|((person, group), records)| (person, Reverse(records), group)).collect();
    order.sort_unstable();
    let mut counts = vec![0; asked.groups.len()];
    for of_one in order.chunk_by(|one, next| one.0 == next.0) {
        of_one.iter().take(asked.groups_each as usize).for_each(|(_, _, group)| counts[*group as usize] += 1);
    }
    Ok(counts)
}

/// How many records each allowed person has in each of these groups, which ascend.
pub(crate) fn records_in_groups(
    pieces: Vec<Piece>,
    allowed: &Allowed,
    (counting, asked): (&Counting, &Histogram),
    cores: usize,
    (files, bounds): (&dyn Ranges, Bounds),
) -> Result<Grouped, QueryError> {
    let groups: Vec<&String> = asked.groups.iter().collect();
    let shares = work::shares(pieces, cores);
    let most = bounds.memory_bytes / (GROUPED_BYTES * (shares.len() + 1));
    let (permitted, deadline) = (&*allowed.bits, bounds.deadline);
    let scan = Scan { counting, permitted, width: allowed.width, deadline, files };
    let parts = shares.par_iter().map(|share| scan.count_groups(share, (&asked.group, &groups), most));
    let all = parts.try_reduce_with(|mut all, part| {
        part.into_iter().for_each(|(place, records)| *all.entry(place).or_default() += records);
        Ok(all)
    });
    all.unwrap_or_else(|| Ok(Grouped::new()))
}

/// The people who count, in the forms in which they are asked for.
#[derive(Clone)]
pub(crate) struct Allowed {
    #[cfg(feature = "store")]
    pub(crate) people: People,
    pub(crate) bits: Arc<Dense>,
    /// One more than the greatest index.
    pub(crate) width: usize,
}

impl Allowed {
    pub(crate) fn of(people: &People) -> Self {
        let width = people.bitmap().max().map_or(0, |last| last as usize + 1);
        Self {
            #[cfg(feature = "store")]
            people: people.clone(),
            bits: Arc::new(people.dense()),
            width,
        }
    }
}

/// The attributes that a composition reads.
pub fn attributes(composition: &Composition) -> BTreeSet<AttributeName> {
    Counting::of(&composition.who, composition.latest.as_ref()).attributes()
}

/// What one count of a person in a group takes, about.
const GROUPED_BYTES: usize = 64;

/// What a piece takes while it is read, about: its columns sealed, opened and unpacked.
fn bytes_of(piece: &Piece) -> usize {
    3 * piece.segment.metadata().row_group(piece.group).total_byte_size().max(0) as usize
}
