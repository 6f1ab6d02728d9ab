//! Answers to questions over one snapshot, for the people who are permitted, within limits.
//!
//! Two ways lead to an answer: a scan by hand that counts people in arrays, and a plan of DataFusion. They give the same
//! (tests compare them); which serves what is in ADR 0053. Answers are exact: noise is drawn by whoever releases them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::Semaphore;

use crate::answer::{Allowed, Audience, Bounds, QueryError, counted, grouped};
use crate::catalogue::Snapshot;
use crate::composition::{ClampedSum, Composition, Condition, Histogram, Measure, Selection, Top};
use crate::error::SegmentError;
use crate::limits::QueryLimits;
use crate::open::Ranges;
use crate::people::People;
use crate::reader::Segments;
#[cfg(feature = "plans")]
use crate::scan::tally::Tallies;
use crate::scan::tally::{Counting, Totals};
use crate::scan::work::{self, Piece};
#[cfg(feature = "plans")]
use plan::Planned;

#[cfg(feature = "plans")]
mod plan;
#[cfg(feature = "plans")]
mod table;
#[cfg(test)]
mod tests;

/// Which of the two ways an answer is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The scan by hand.
    Scan,
    /// The plan of DataFusion.
    #[cfg(feature = "plans")]
    Plan,
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

/// What a scan goes over.
struct Work<'a> {
    pieces: Vec<Piece>,
    allowed: &'a Allowed,
    cores: usize,
    reading: (&'a dyn Ranges, Bounds),
}

/// One query while it runs: what it may still use.
struct Turn {
    deadline: Instant,
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
        composition.check(&self.segments.schema())?;
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

    /// How many records of each permitted person satisfy a condition; people without one are absent.
    ///
    /// **Errors**: as [`Engine::audience`].
    pub async fn records(
        &self,
        snapshot: &Snapshot,
        permitted: &People,
        over: &Condition,
    ) -> Result<Vec<(u32, u64)>, QueryError> {
        let who = Selection::record(over.clone());
        Composition { who: who.clone(), latest: None }.check(&self.segments.schema())?;
        self.turn(snapshot, async |turn| {
            let measured = (&who, over, &Measure::Records);
            let (people, totals) = self.measured(turn, snapshot, permitted, measured, Way::Scan).await?;
            Ok(people.bitmap().iter().map(|person| (person, totals.value(0, person))).collect())
        })
        .await
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
        asked.check(&self.segments.schema())?;
        self.turn(snapshot, async |turn| {
            let (people, totals) = self
                .measured(turn, snapshot, permitted, (&asked.who, &asked.over, &asked.measure), way)
                .await?;
            let each = people.bitmap().iter().map(|person| totals.value(0, person).min(asked.clamp));
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
        asked.check(&self.segments.schema())?;
        self.turn(snapshot, async |turn| {
            let (people, totals) = self
                .measured(turn, snapshot, permitted, (&asked.who, &asked.over, &asked.measure), way)
                .await?;
            let mut ranked: Vec<(u32, u64)> =
                people.bitmap().iter().map(|person| (person, totals.value(0, person))).collect();
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
        asked.check(&self.segments.schema())?;
        let who = Counting::of(&asked.who, None);
        let in_groups = asked.in_groups();
        let counting = Counting::measure(&in_groups, &Measure::Records);
        self.turn(snapshot, async |turn| {
            let people = self.select(turn, snapshot, permitted, &who, way).await?.people;
            let allowed = allowed(&people, snapshot);
            match way {
                Way::Scan => {
                    let asked = asked.clone();
                    let groups = asked.groups.clone();
                    let counts = self.scan(turn, snapshot, &allowed, &counting, move |work, counting| {
                        grouped(work.pieces, work.allowed, (counting, &asked), work.cores, work.reading)
                    });
                    Ok(groups.into_iter().zip(counts.await?).collect())
                }
                #[cfg(feature = "plans")]
                Way::Plan => {
                    let planned = self.planned(snapshot, &allowed, &counting).await?;
                    planned.histogram(asked, &in_groups).await
                }
            }
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
            let totals =
                self.totals(turn, &open, &allowed(&snapshot.erased, &open), &counting, Way::Scan).await?;
            Ok(snapshot.erased.bitmap().iter().map(|person| totals.value(0, person)).sum())
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
        composition.check(&self.segments.schema())?;
        let mut everybody = People::new();
        snapshot.segments.iter().for_each(|entry| everybody.extend(&entry.people));
        let counting = Counting::of(&composition.who, None);
        let pieces = self.pieces(snapshot, &everybody, &counting).await?;
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
    ) -> Result<(People, Totals), QueryError> {
        let who = Counting::of(who, None);
        let people = self.select(turn, snapshot, permitted, &who, way).await?.people;
        let totals = self
            .totals(turn, snapshot, &allowed(&people, snapshot), &Counting::measure(over, measure), way)
            .await?;
        Ok((people, totals))
    }

    async fn select(
        &self,
        turn: &Turn,
        snapshot: &Snapshot,
        permitted: &People,
        counting: &Counting,
        way: Way,
    ) -> Result<Audience, QueryError> {
        let allowed = allowed(permitted, snapshot);
        let totals = self.totals(turn, snapshot, &allowed, counting, way).await?;
        let (people, latest) = totals.audience(counting, &allowed.bits);
        Ok(Audience { people: people.into(), latest })
    }

    /// Counts the records of permitted people who are not erased.
    async fn totals(
        &self,
        turn: &Turn,
        snapshot: &Snapshot,
        allowed: &Allowed,
        counting: &Counting,
        way: Way,
    ) -> Result<Totals, QueryError> {
        match way {
            Way::Scan => self.scanned(turn, snapshot, allowed, counting).await,
            #[cfg(feature = "plans")]
            Way::Plan => self.planned(snapshot, allowed, counting).await?.totals(counting).await,
        }
    }

    async fn scanned(
        &self,
        turn: &Turn,
        snapshot: &Snapshot,
        allowed: &Allowed,
        counting: &Counting,
    ) -> Result<Totals, QueryError> {
        self.scan(turn, snapshot, allowed, counting, |work, counting| {
            counted(work.pieces, work.allowed, counting, work.cores, work.reading)
        })
        .await
    }

    /// Does the work of a scan beside the runtime.
    async fn scan<T: Send + 'static>(
        &self,
        turn: &Turn,
        snapshot: &Snapshot,
        allowed: &Allowed,
        counting: &Counting,
        count: impl FnOnce(Work<'_>, &Counting) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let pieces = self.pieces(snapshot, &allowed.people, counting).await?;
        let bounds = Bounds { memory_bytes: self.limits.memory_bytes, deadline: turn.deadline };
        let cores = self.limits.cores;
        let (allowed, counting) = (allowed.clone(), counting.clone());
        let files = self.segments.ranges();
        let scan = tokio::task::spawn_blocking(move || {
            let (allowed, reading) = (&allowed, (&files as &dyn Ranges, bounds));
            count(Work { pieces, allowed, cores, reading }, &counting)
        });
        // The decoder may panic over bytes that are not what was written: a finding like another.
        scan.await.map_err(|_| QueryError::Plan("a scan broke off".into()))?
    }

    #[cfg(feature = "plans")]
    async fn planned(
        &self,
        snapshot: &Snapshot,
        allowed: &Allowed,
        counting: &Counting,
    ) -> Result<Planned, QueryError> {
        let pieces = self.pieces(snapshot, &allowed.people, counting).await?;
        let arrays = Tallies::bytes(counting, allowed.width) + allowed.bits.bytes();
        Planned::new(&self.segments, pieces, allowed, arrays, &self.limits)
    }

    /// What is read of a snapshot for this.
    async fn pieces(
        &self,
        snapshot: &Snapshot,
        permitted: &People,
        counting: &Counting,
    ) -> Result<Vec<Piece>, QueryError> {
        let schema = self.segments.schema();
        let (time, window) = (schema.time(), counting.window(schema.time()));
        let mut pieces = Vec::new();
        for entry in &snapshot.segments {
            if !work::outside(entry, window) && entry.people.meets(permitted) {
                pieces.extend(work::pieces_of(&self.segments.open(entry).await?, time, window));
            }
        }
        Ok(pieces)
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
            query(&Turn { deadline }).await
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

/// The permitted people who are not erased.
fn allowed(permitted: &People, snapshot: &Snapshot) -> Allowed {
    Allowed::of(&permitted.without(&snapshot.unreadable()))
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
