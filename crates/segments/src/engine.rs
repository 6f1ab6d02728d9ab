//! Answers to questions over one snapshot, for the people who are permitted, within limits.
//!
//! Two ways lead to an answer: a scan by hand that counts people in arrays, and a plan of DataFusion. They give the same
//! (tests compare them); which serves what is in ADR 0053. Answers are exact: noise is drawn by whoever releases them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool};
use symphony_types::catalogue::Code;
use symphony_types::id::AttributeName;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::catalogue::Snapshot;
use crate::composition::{
    ClampedSum, Composition, CompositionError, Condition, Histogram, Measure, Selection, Top,
};
use crate::error::SegmentError;
use crate::limits::QueryLimits;
use crate::people::{Dense, People};
use crate::reader::Segments;
use plan::Planned;
use scan::Scan;
use tally::{Counting, Tallies};
use work::Piece;

mod plan;
mod scan;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod work;

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

    fn attribute(attribute: &AttributeName) -> Self {
        Self::Composition(CompositionError::Attribute(attribute.clone()))
    }
}

/// Which of the two ways an answer is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The scan by hand.
    Scan,
    /// The plan of DataFusion.
    Plan,
}

/// Who was selected.
#[derive(Clone, Debug, PartialEq)]
pub struct Audience {
    /// The people.
    pub people: People,
    /// The latest qualifying time of each, in ascending order of people; empty when none was asked for.
    pub latest: Vec<u64>,
}

/// What a question reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Records that are looked at.
    pub rows: u64,
    /// Sealed bytes of the columns.
    pub bytes: u64,
}

/// Answers questions over the segments of one Vault.
pub struct Engine {
    segments: Arc<Segments>,
    limits: QueryLimits,
    turns: Semaphore,
    waiting: AtomicUsize,
}

/// One query while it runs: what it may still use.
struct Turn {
    deadline: Instant,
    memory: Arc<dyn MemoryPool>,
}

impl Engine {
    /// An engine over these segments. It must be used from within a tokio runtime.
    pub fn new(segments: Arc<Segments>, limits: QueryLimits) -> Self {
        let turns = Semaphore::new(limits.concurrent);
        Self { segments, limits, turns, waiting: AtomicUsize::new(0) }
    }

    /// The segments.
    pub fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// Who is selected among the permitted.
    ///
    /// **Errors**: [`QueryError`]; each limit has its own.
    pub async fn audience(
        &self,
        snapshot: &Snapshot,
        permitted: &People,
        composition: &Composition,
        way: Way,
    ) -> Result<Audience, QueryError> {
        composition.check(self.segments.schema())?;
        let counting = Counting::of(&composition.who, composition.latest.as_ref());
        self.turn(snapshot, async |turn| self.select(turn, snapshot, permitted, &counting, way).await).await
    }

    /// How many people are selected.
    ///
    /// **Errors**: as [`Engine::audience`].
    pub async fn count(
        &self,
        snapshot: &Snapshot,
        permitted: &People,
        who: &Selection,
        way: Way,
    ) -> Result<u64, QueryError> {
        let composition = Composition { who: who.clone(), latest: None };
        Ok(self.audience(snapshot, permitted, &composition, way).await?.people.len())
    }

    /// A sum over selected people, each clamped. Without noise.
    ///
    /// **Errors**: as [`Engine::audience`].
    pub async fn sum(
        &self,
        snapshot: &Snapshot,
        permitted: &People,
        asked: &ClampedSum,
        way: Way,
    ) -> Result<u128, QueryError> {
        asked.check(self.segments.schema())?;
        self.turn(snapshot, async |turn| {
            let (people, tallies) = self
                .measured(turn, snapshot, permitted, (&asked.who, &asked.over, &asked.measure), way)
                .await?;
            let each = people.bitmap().iter().map(|person| tallies.value(0, person).min(asked.clamp));
            Ok(each.map(u128::from).sum())
        })
        .await
    }

    /// The selected people with the greatest measure, greatest first.
    ///
    /// **Errors**: as [`Engine::audience`].
    pub async fn top(
        &self,
        snapshot: &Snapshot,
        permitted: &People,
        asked: &Top,
        way: Way,
    ) -> Result<Vec<(u32, u64)>, QueryError> {
        asked.check(self.segments.schema())?;
        self.turn(snapshot, async |turn| {
            let (people, tallies) = self
                .measured(turn, snapshot, permitted, (&asked.who, &asked.over, &asked.measure), way)
                .await?;
            let mut ranked: Vec<(u32, u64)> =
                people.bitmap().iter().map(|person| (person, tallies.value(0, person))).collect();
            ranked.sort_unstable_by_key(|(person, value)| (std::cmp::Reverse(*value), *person));
            ranked.truncate(asked.count as usize);
            Ok(ranked)
        })
        .await
    }

    /// How many selected people are in each group, each person in a bounded number of them. Without noise.
    ///
    /// **Errors**: as [`Engine::audience`].
    pub async fn histogram(
        &self,
        snapshot: &Snapshot,
        permitted: &People,
        asked: &Histogram,
        way: Way,
    ) -> Result<BTreeMap<String, u64>, QueryError> {
        asked.check(self.segments.schema())?;
        let who = Counting::of(&asked.who, None);
        self.turn(snapshot, async |turn| {
            let people = self.select(turn, snapshot, permitted, &who, way).await?.people;
            let in_groups = Condition::All(vec![
                asked.over.clone(),
                Condition::Text { attribute: asked.group.clone(), one_of: asked.groups.clone() },
            ]);
            let planned = self
                .planned(
                    turn,
                    snapshot,
                    &Allowed::of(&people, snapshot),
                    &Counting::measure(&in_groups, &Measure::Records),
                )
                .await?;
            planned.histogram(asked, &in_groups).await
        })
        .await
    }

    /// Rows of people erased since the snapshot's version that are not destroyed yet.
    ///
    /// **Errors**: as [`Engine::audience`].
    pub async fn erased_rows(&self, snapshot: &Snapshot) -> Result<u64, QueryError> {
        let open = Snapshot { hidden: People::new(), erased: People::new(), ..snapshot.clone() };
        let counting = Counting::measure(&Condition::every(), &Measure::Records);
        self.turn(snapshot, async |turn| {
            let tallies = self
                .tallies(turn, &open, &Allowed::of(&snapshot.erased, &open), &counting, Way::Scan)
                .await?;
            Ok(snapshot.erased.bitmap().iter().map(|person| tallies.value(0, person)).sum())
        })
        .await
    }

    /// What a composition reads of a snapshot, by these columns, when everybody is permitted.
    ///
    /// **Errors**: [`QueryError`] when the composition does not fit or a segment does not open.
    pub async fn touched(
        &self,
        snapshot: &Snapshot,
        composition: &Composition,
        columns: &[usize],
    ) -> Result<Touched, QueryError> {
        composition.check(self.segments.schema())?;
        let window = Counting::of(&composition.who, None).window(self.segments.schema().time());
        let mut everybody = People::new();
        snapshot.segments.iter().for_each(|entry| everybody.extend(&entry.people));
        let pieces = work::pieces(&self.segments, snapshot, &everybody, window).await?;
        Ok(Touched {
            rows: pieces.iter().map(|piece| piece.rows.len() as u64).sum(),
            bytes: pieces.iter().map(|piece| work::bytes_read(piece, columns)).sum(),
        })
    }

    /// Selected people, and the measure of each.
    async fn measured(
        &self,
        turn: &Turn,
        snapshot: &Snapshot,
        permitted: &People,
        (who, over, measure): (&Selection, &Condition, &Measure),
        way: Way,
    ) -> Result<(People, Tallies), QueryError> {
        let who = Counting::of(who, None);
        let people = self.select(turn, snapshot, permitted, &who, way).await?.people;
        let tallies = self
            .tallies(turn, snapshot, &Allowed::of(&people, snapshot), &Counting::measure(over, measure), way)
            .await?;
        Ok((people, tallies))
    }

    async fn select(
        &self,
        turn: &Turn,
        snapshot: &Snapshot,
        permitted: &People,
        counting: &Counting,
        way: Way,
    ) -> Result<Audience, QueryError> {
        let allowed = Allowed::of(permitted, snapshot);
        let tallies = self.tallies(turn, snapshot, &allowed, counting, way).await?;
        let (people, latest) = tallies.audience(counting, &allowed.bits);
        Ok(Audience { people: people.into(), latest })
    }

    /// Counts the records of permitted people who are not erased.
    async fn tallies(
        &self,
        turn: &Turn,
        snapshot: &Snapshot,
        allowed: &Allowed,
        counting: &Counting,
        way: Way,
    ) -> Result<Tallies, QueryError> {
        match way {
            Way::Scan => self.scanned(turn, snapshot, allowed, counting).await,
            Way::Plan => self.planned(turn, snapshot, allowed, counting).await?.tallies(counting).await,
        }
    }

    async fn scanned(
        &self,
        turn: &Turn,
        snapshot: &Snapshot,
        allowed: &Allowed,
        counting: &Counting,
    ) -> Result<Tallies, QueryError> {
        let width = allowed.width;
        let window = counting.window(self.segments.schema().time());
        let pieces = work::pieces(&self.segments, snapshot, &allowed.people, window).await?;
        let shares = work::shares(pieces, self.limits.cores);
        let reserved = MemoryConsumer::new("tallies").register(&turn.memory);
        let tallies = Tallies::bytes(counting, width) * shares.len().max(1);
        let decoded: usize = shares.iter().map(|share| share.iter().map(bytes_of).max().unwrap_or(0)).sum();
        reserved.try_grow(tallies + allowed.bits.bytes() + decoded).map_err(|_| QueryError::Memory)?;
        let mut running = JoinSet::new();
        for share in shares {
            let (segments, counting, bits) = (self.segments.clone(), counting.clone(), allowed.bits.clone());
            let deadline = turn.deadline;
            running.spawn(async move {
                let scan = Scan {
                    schema: segments.schema(),
                    counting: &counting,
                    permitted: &bits,
                    width,
                    deadline,
                };
                scan.count(&share).await
            });
        }
        let mut all = None::<Tallies>;
        while let Some(part) = running.join_next().await {
            // The decoder may panic over bytes that are not what was written: a finding like another.
            let part = part.map_err(|_| QueryError::Plan("a scan broke off".into()))??;
            match &mut all {
                Some(all) => all.merge(&part),
                None => all = Some(part),
            }
        }
        Ok(all.unwrap_or_else(|| Tallies::new(counting, width)))
    }

    async fn planned(
        &self,
        turn: &Turn,
        snapshot: &Snapshot,
        allowed: &Allowed,
        counting: &Counting,
    ) -> Result<Planned, QueryError> {
        let width = allowed.width;
        let window = counting.window(self.segments.schema().time());
        let pieces = work::pieces(&self.segments, snapshot, &allowed.people, window).await?;
        let reserved = MemoryConsumer::new("tallies").register(&turn.memory);
        reserved
            .try_grow(Tallies::bytes(counting, width) + allowed.bits.bytes())
            .map_err(|_| QueryError::Memory)?;
        Planned::new(
            self.segments.schema(),
            pieces,
            allowed.bits.clone(),
            width,
            self.limits.cores,
            turn.memory.clone(),
            reserved,
        )
    }

    /// Waits for a turn and gives it up at the deadline. A failure over bytes is traced to the column.
    async fn turn<T>(
        &self,
        snapshot: &Snapshot,
        query: impl AsyncFnOnce(&Turn) -> Result<T, QueryError>,
    ) -> Result<T, QueryError> {
        let deadline = Instant::now() + self.limits.deadline;
        let waiting = Waiting::begin(&self.waiting, self.limits.waiting + self.limits.concurrent)?;
        let limited = async {
            let _turn = self.turns.acquire().await.map_err(|_| QueryError::Crowded)?;
            if Instant::now() >= deadline {
                return Err(QueryError::Deadline);
            }
            let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(self.limits.memory_bytes));
            query(&Turn { deadline, memory }).await
        };
        let answer =
            tokio::time::timeout_at(deadline.into(), limited).await.unwrap_or(Err(QueryError::Deadline));
        drop(waiting);
        match answer {
            Err(QueryError::Plan(_) | QueryError::Segment(SegmentError::Corrupt { .. })) => {
                self.trace(snapshot).await?;
                answer
            }
            answer => answer,
        }
    }

    /// Finds the first segment of a snapshot that is not what was written.
    async fn trace(&self, snapshot: &Snapshot) -> Result<(), QueryError> {
        for entry in &snapshot.segments {
            self.segments.check(entry).await?;
        }
        Ok(())
    }
}

/// The permitted people who are not erased, in the forms in which they are asked for.
struct Allowed {
    people: People,
    bits: Arc<Dense>,
    /// One more than the greatest index.
    width: usize,
}

impl Allowed {
    fn of(permitted: &People, snapshot: &Snapshot) -> Self {
        let people = permitted.without(&snapshot.unreadable());
        let width = people.bitmap().max().map_or(0, |last| last as usize + 1);
        Self { bits: Arc::new(people.dense()), width, people }
    }
}

/// A query that runs or waits for its turn.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize, most: usize) -> Result<Self, QueryError> {
        let waiting = Self(count);
        if count.fetch_add(1, Ordering::AcqRel) >= most { Err(QueryError::Crowded) } else { Ok(waiting) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a piece takes while it is read, about: its columns sealed, opened and unpacked.
fn bytes_of(piece: &Piece) -> usize {
    3 * piece.segment.metadata().row_group(piece.group).total_byte_size().max(0) as usize
}
