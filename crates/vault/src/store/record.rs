//! The records of a Vault (R076-R080): the log of those that were uploaded, in order of arrival, and how each is opened.
//!
//! A batch of an upload is appended as it is: some chunks with the sealed records, and one list of whose they are. No row that
//! is there is touched again while its records are kept, so that a record costs the same whether it is the first or the ten millionth.
//! Where a person's records are is known by the [`Index`] in memory, which is made of the lists. Of records that have ended, place and
//! commitment stay.

use std::ops::Range;
use std::sync::{Arc, MutexGuard, PoisonError};

use rayon::prelude::*;
use redb::{AccessGuard, ReadOnlyTable, ReadableTable as _, TableDefinition, WriteTransaction};
use symphony_protocol::vault::record::CanonicalRecord;
use symphony_types::canonical;
use symphony_types::digest::Digest;
use symphony_types::id::{Commitment, RequestId, SubjectId};
use symphony_types::subjects::{SubjectIndex, SubjectSet};
use zeroize::Zeroizing;

use super::candidate::{Waiting, put_waiting};
use super::index::{Entry, Index};
use super::period::put_period;
use super::reading::Derived;
use super::{View, broken, unreadable};
use crate::keys::{DataKey, KeyError, VaultKeys};
use crate::periods::PeriodKey;
use crate::problem::Problem;
use crate::slots::KeySlots;

/// A record on its way to disk.
pub struct RecordRow {
    /// Whose.
    pub subject: SubjectIndex,
    /// Its position among the person's records.
    pub sequence: u32,
    /// Its commitment.
    pub commitment: Commitment,
    /// The canonical record under the person's key, or that of the document that it came of.
    pub sealed: Vec<u8>,
}

/// An uploaded record on its way to disk.
pub struct Upload {
    /// The record.
    pub row: RecordRow,
    /// Recognises, with its person, the name that its uploader gave it.
    pub fingerprint: u32,
    /// Whether it waits to be counted for a report of candidates.
    pub waits: bool,
}

/// The period that records arrive in.
#[derive(Clone)]
pub struct Today {
    /// Its number.
    pub number: u32,
    /// Days since 1970.
    pub day: u64,
    /// Its key.
    pub key: Arc<PeriodKey>,
}

/// Appends uploaded records, which are by person and sequence and are sealed for this period. **Errors**: storage.
pub fn put_uploaded(
    transaction: &WriteTransaction,
    rows: &[Upload],
    today: &Today,
) -> Result<(), redb::Error> {
    let (mut lists, mut chunks) = (transaction.open_table(LISTS)?, transaction.open_table(CHUNKS)?);
    let first = lists.last()?.map_or(0, |(first, list)| end_of(first.value(), list.value()));
    let list: Vec<u8> = rows
        .iter()
        .flat_map(|Upload { row, fingerprint, .. }| [row.subject.0, row.sequence, *fingerprint])
        .flat_map(u32::to_be_bytes)
        .collect();
    lists.insert(first, list.as_slice())?;
    put_period(transaction, (today.number, today.day), first)?;
    let waiting = (first..).zip(rows).filter(|(_, new)| new.waits);
    let waiting =
        waiting.map(|(arrival, new)| Waiting { arrival, place: (new.row.subject.0, new.row.sequence) });
    put_waiting(transaction, waiting)?;
    let mut bytes = Vec::new();
    for (arrival, rows) in (first..).step_by(CHUNK_ROWS).zip(rows.chunks(CHUNK_ROWS)) {
        let rows = rows.iter().map(|Upload { row, .. }| Sealed {
            period: today.number,
            place: (row.subject.0, row.sequence),
            commitment: row.commitment,
            sealed: &row.sealed,
        });
        write_chunk(&mut bytes, today.number, rows);
        chunks.insert(arrival, bytes.as_slice())?;
    }
    Ok(())
}

/// A chunk of these rows, in place of what the bytes were.
fn write_chunk<'a>(
    bytes: &mut Vec<u8>,
    period: u32,
    rows: impl ExactSizeIterator<Item = Sealed<'a>> + Clone,
) {
    bytes.clear();
    bytes.extend_from_slice(&period.to_be_bytes());
    bytes.extend_from_slice(&(rows.len() as u32).to_be_bytes());
    let mut end = 0;
    for row in rows.clone() {
        end += (ROW_HEAD + row.sealed.len()) as u32;
        bytes.extend_from_slice(&end.to_be_bytes());
    }
    for row in rows {
        bytes.extend_from_slice(&row.place.0.to_be_bytes());
        bytes.extend_from_slice(&row.place.1.to_be_bytes());
        bytes.extend_from_slice(&row.commitment.0.0);
        bytes.extend_from_slice(row.sealed);
    }
}

/// Takes what is sealed out of chunks, of the records from arrival `from` on and before `end`; where it stopped, because that is
/// enough for one transaction. A chunk that is damaged stays as it is. **Errors**: storage.
pub fn empty_chunks(transaction: &WriteTransaction, from: u64, end: u64) -> Result<u64, redb::Error> {
    let mut chunks = transaction.open_table(CHUNKS)?;
    let mut emptied: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut next = end;
    for chunk in chunks.range(from..end)? {
        let (first, bytes) = chunk?;
        if emptied.len() == EMPTIED_AT_A_TIME {
            next = first.value();
            break;
        }
        let Some((period, rows)) = Chunk::of(bytes.value()).and_then(|chunk| chunk.rows()) else { continue };
        let mut without = Vec::new();
        write_chunk(&mut without, period, rows.iter().map(|row| Sealed { sealed: &[], ..*row }));
        emptied.push((first.value(), without));
    }
    for (first, bytes) in emptied {
        chunks.insert(first, bytes.as_slice())?;
    }
    Ok(next)
}

/// Whether the rows are those of an earlier build, which this one does not read. **Errors**: storage, or they are.
pub(super) fn earlier(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    use redb::TableHandle as _;
    if transaction.list_tables()?.any(|table| table.name() == EARLIER) {
        let told = "the vault's records were kept by an earlier build; this one does not read them";
        return Err(redb::Error::Io(std::io::Error::other(told)));
    }
    Ok(())
}

/// Makes the tables. **Errors**: storage.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(LISTS)?;
    transaction.open_table(CHUNKS)?;
    Ok(())
}

/// The sealed form of a record with its commitment. **Errors**: no randomness.
pub fn seal_record(key: &DataKey, record: &CanonicalRecord) -> Result<(Commitment, Vec<u8>), KeyError> {
    let plain = Zeroizing::new(canonical::to_bytes(record));
    let commitment = Commitment(Digest::of_bytes(&plain));
    Ok((commitment, key.seal(&commitment.0.0, &plain)?))
}

/// The keyed digest of what an uploader calls a record of a person: the same name twice is one record (R209).
pub(crate) fn name(keys: &VaultKeys, subject: &SubjectId, request: &RequestId) -> Digest {
    keys.keyed("symphony/record-request/v1", &canonical::to_bytes(&(subject, request)))
}

/// What a list keeps of a name.
pub(crate) fn fingerprint(name: &Digest) -> u32 {
    let [first, second, third, fourth, ..] = name.0;
    u32::from_be_bytes([first, second, third, fourth])
}

/// Opens a record and checks it against its commitment. **Errors**: a changed byte.
pub(super) fn open_record(
    key: &DataKey,
    commitment: &Commitment,
    sealed: &[u8],
) -> Result<CanonicalRecord, Problem> {
    let plain = key.open(&commitment.0.0, sealed).map_err(unreadable)?;
    if Digest::of_bytes(&plain) != commitment.0 {
        return Err(broken());
    }
    bcs::from_bytes(&plain).map_err(|error| Problem::fault("a record is damaged", error))
}

/// The log at one moment.
pub(crate) struct Log {
    index: Index,
    arrivals: u64,
    /// How many of them have ended.
    ended: u64,
    chunks: ReadOnlyTable<u64, &'static [u8]>,
}

impl Log {
    /// How many records have arrived.
    pub(crate) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// How many of them have ended, the first ones.
    pub(crate) fn ended(&self) -> u64 {
        self.ended
    }

    /// Where the records of a person are that have not ended, by sequence.
    pub(crate) fn of(&self, subject: SubjectIndex) -> impl Iterator<Item = Entry> {
        self.index.of(subject.0, self.arrivals).filter(|entry| u64::from(entry.arrival) >= self.ended)
    }

    /// The position that a person's next record gets. **Errors**: storage.
    pub(crate) fn next_sequence(&self, derived: &Derived, subject: SubjectIndex) -> Result<u32, Problem> {
        let uploaded = self.index.of(subject.0, self.arrivals).last().map(|entry| entry.sequence);
        let derived = derived.last_sequence(subject)?;
        Ok(uploaded.max(derived).map_or(0, |last| last.saturating_add(1)))
    }

    /// Reads records as they lie there, one chunk at a time.
    fn reader(&self) -> Reader<'_> {
        Reader { chunks: &self.chunks, last: None, period: None }
    }

    /// Those of the places that have uploaded records, with their positions, in the order in which each chunk is read once.
    fn by_arrival(&self, places: &[(u32, u32)]) -> Vec<(Entry, usize)> {
        let entries = places.iter().map(|place| self.index.at(*place, self.arrivals));
        let mut found: Vec<_> = entries.zip(0..).filter_map(|(entry, nth)| Some((entry?, nth))).collect();
        found.sort_unstable_by_key(|(entry, _)| entry.arrival);
        found
    }

    /// The commitments of the records at these places; nothing is opened. **Errors**: storage, or a record is not there.
    pub(crate) fn commitments(&self, places: &[(u32, u32)]) -> Result<Vec<Commitment>, Problem> {
        let mut commitments = vec![None; places.len()];
        let mut reader = self.reader();
        for (entry, nth) in self.by_arrival(places) {
            commitments[nth] = Some(reader.sealed(&entry)?.commitment);
        }
        commitments.into_iter().collect::<Option<_>>().ok_or_else(broken)
    }

    /// A record of a person. **Errors**: storage, or a changed byte.
    pub(crate) fn open(
        &self,
        keys: &VaultKeys,
        key: &DataKey,
        entry: &Entry,
    ) -> Result<(Commitment, CanonicalRecord), Problem> {
        self.reader().open(keys, key, entry)
    }

    /// Visits all records as they lie there, or what is wrong with one, by arrival. **Errors**: storage.
    pub(crate) fn each(
        &self,
        mut visit: impl FnMut(u64, Result<(Entry, Sealed<'_>), Problem>),
    ) -> Result<u64, Problem> {
        let mut count = 0;
        for chunk in self.chunks.iter().map_err(redb::Error::from)? {
            let (first, bytes) = chunk.map_err(redb::Error::from)?;
            let Some(chunk) = Chunk::of(bytes.value()) else {
                visit(first.value(), Err(broken()));
                continue;
            };
            for (arrival, nth) in (first.value()..).zip(0..chunk.ends.len()) {
                let listed = |row: Sealed<'_>| self.index.at(row.place, self.arrivals);
                let found = chunk.row(nth).and_then(|row| Some((listed(row)?, row)));
                let found = found.filter(|(entry, _)| u64::from(entry.arrival) == arrival);
                visit(arrival, found.ok_or_else(broken));
                count += 1;
            }
        }
        Ok(count)
    }
}

/// Reads records of a log; those that lie together are cheaper one after the other.
struct Reader<'a> {
    chunks: &'a ReadOnlyTable<u64, &'static [u8]>,
    /// The chunk that was read last, and the arrival of its first record.
    last: Option<(u64, AccessGuard<'static, &'static [u8]>)>,
    /// The period of the record that was opened last.
    period: Option<(u32, Arc<PeriodKey>)>,
}

impl Reader<'_> {
    /// A record, as it lies there. **Errors**: storage, or another record lies there.
    fn sealed(&mut self, entry: &Entry) -> Result<Sealed<'_>, Problem> {
        let arrival = u64::from(entry.arrival);
        let (first, bytes) = match self.last.take().filter(|(first, bytes)| within(arrival, *first, bytes)) {
            Some(last) => last,
            None => {
                let chunk = self.chunks.range(..=arrival).map_err(redb::Error::from)?.next_back();
                let (first, bytes) = chunk.ok_or_else(broken)?.map_err(redb::Error::from)?;
                (first.value(), bytes)
            }
        };
        let (first, bytes) = self.last.insert((first, bytes));
        let nth = usize::try_from(arrival - *first).map_err(|_| broken())?;
        let row = Chunk::of(bytes.value()).and_then(|chunk| chunk.row(nth));
        row.filter(|row| row.place == (entry.person, entry.sequence)).ok_or_else(broken)
    }

    /// A record of a person. **Errors**: storage, a changed byte, or the record has ended.
    fn open(
        &mut self,
        keys: &VaultKeys,
        key: &DataKey,
        entry: &Entry,
    ) -> Result<(Commitment, CanonicalRecord), Problem> {
        let known = self.period.take();
        let row = self.sealed(entry)?;
        let period = match known.filter(|(number, _)| *number == row.period) {
            Some((_, period)) => period,
            None => keys.period(row.period).map_err(unreadable)?,
        };
        let (number, opened) = (row.period, (row.commitment, row.open(key, &period)?));
        self.period = Some((number, period));
        Ok(opened)
    }
}

/// Whether a record is in the chunk that begins with the record `first`.
fn within(arrival: u64, first: u64, bytes: &AccessGuard<'_, &'static [u8]>) -> bool {
    let rows = Chunk::of(bytes.value()).map_or(0, |chunk| chunk.ends.len() as u64);
    (first..first + rows).contains(&arrival)
}

/// A record as it lies in its chunk.
#[derive(Clone, Copy)]
pub(crate) struct Sealed<'a> {
    /// When it arrived.
    pub(crate) period: u32,
    /// Person and sequence.
    pub(crate) place: (u32, u32),
    /// Its commitment.
    pub(crate) commitment: Commitment,
    sealed: &'a [u8],
}

impl Sealed<'_> {
    /// The record, under its person's key and that of its period. **Errors**: a changed byte.
    pub(crate) fn open(&self, key: &DataKey, period: &PeriodKey) -> Result<CanonicalRecord, Problem> {
        open_record(&key.within(period), &self.commitment, self.sealed)
    }

    /// Whether nothing of it is there but its commitment.
    pub(crate) fn emptied(&self) -> bool {
        self.sealed.is_empty()
    }
}

/// Records that lie together: their period, how many, where each ends, and the records.
struct Chunk<'a> {
    period: u32,
    ends: &'a [[u8; 4]],
    rows: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// `None`: it is damaged.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (period, bytes) = bytes.split_first_chunk()?;
        let (count, bytes) = bytes.split_first_chunk()?;
        let ends = (u32::from_be_bytes(*count) as usize).checked_mul(4)?;
        let (ends, rows) = bytes.split_at_checked(ends)?;
        Some(Self { period: u32::from_be_bytes(*period), ends: ends.as_chunks().0, rows })
    }

    /// The period, and all rows. `None`: one is damaged.
    fn rows(&self) -> Option<(u32, Vec<Sealed<'a>>)> {
        let rows = (0..self.ends.len()).map(|nth| self.row(nth));
        Some((self.period, rows.collect::<Option<_>>()?))
    }

    /// `None`: there is no such row, or it is damaged.
    fn row(&self, nth: usize) -> Option<Sealed<'a>> {
        let end = |nth: usize| self.ends.get(nth).map(|end| u32::from_be_bytes(*end) as usize);
        let start = nth.checked_sub(1).map_or(Some(0), end)?;
        let row = self.rows.get(start..end(nth)?)?;
        let (person, row) = row.split_first_chunk()?;
        let (sequence, row) = row.split_first_chunk()?;
        let (commitment, sealed) = row.split_first_chunk()?;
        let place = (u32::from_be_bytes(*person), u32::from_be_bytes(*sequence));
        let commitment = Commitment(Digest(*commitment));
        Some(Sealed { period: self.period, place, commitment, sealed })
    }
}

impl View {
    /// The uploaded records. **Errors**: storage, or a damaged list.
    pub(crate) fn log(&self) -> Result<Log, Problem> {
        let (lists, arrivals) = (self.lists()?, self.arrivals()?);
        let mut index = self.index();
        if index.arrivals() < arrivals {
            for list in lists.range(index.arrivals()..).map_err(redb::Error::from)? {
                let (first, list) = list.map_err(redb::Error::from)?;
                let run = run_of(first.value(), list.value()).filter(|_| first.value() == index.arrivals());
                index.push(run.ok_or_else(broken)?);
            }
        }
        let index = index.clone();
        let chunks = self.transaction.open_table(CHUNKS).map_err(redb::Error::from)?;
        Ok(Log { index, arrivals, ended: self.ended()?.arrivals, chunks })
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Entries are added whole, so what a panic left is a shorter index, which the next reader completes.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lists(&self) -> Result<ReadOnlyTable<u64, &'static [u8]>, Problem> {
        Ok(self.transaction.open_table(LISTS).map_err(redb::Error::from)?)
    }

    /// How many records have arrived. **Errors**: storage.
    pub fn arrivals(&self) -> Result<u64, Problem> {
        let lists = self.lists()?;
        let last = lists.last().map_err(redb::Error::from)?;
        Ok(last.map_or(0, |(first, list)| end_of(first.value(), list.value())))
    }

    /// Where the records of these arrivals are that have not ended, in ascending order. **Errors**: storage.
    pub fn arrived(&self, arrivals: Range<u64>) -> Result<Vec<(u32, u32)>, Problem> {
        self.ever_arrived(arrivals.start.max(self.ended()?.arrivals)..arrivals.end)
    }

    /// Where the records of these arrivals are, or were, in ascending order. **Errors**: storage.
    pub fn ever_arrived(&self, arrivals: Range<u64>) -> Result<Vec<(u32, u32)>, Problem> {
        let mut places = Vec::new();
        if arrivals.is_empty() {
            return Ok(places);
        }
        let lists = self.lists()?;
        for list in lists.range(..arrivals.end).map_err(redb::Error::from)?.rev() {
            let (first, list) = list.map_err(redb::Error::from)?;
            let run = run_of(first.value(), list.value()).ok_or_else(broken)?;
            let run = run.iter().filter(|entry| arrivals.contains(&u64::from(entry.arrival)));
            places.extend(run.map(|entry| (entry.person, entry.sequence)));
            if first.value() <= arrivals.start {
                break;
            }
        }
        places.sort_unstable();
        Ok(places)
    }

    /// The position that a person's next record gets. **Errors**: storage.
    pub fn next_sequence(&self, subject: SubjectIndex) -> Result<u32, Problem> {
        self.log()?.next_sequence(&Derived::open(self)?, subject)
    }

    /// Visits the records of people in ascending order, each opened and checked against its commitment.
    ///
    /// **Errors**: storage, a changed byte anywhere, or the visitor's.
    pub fn each_record(
        &self,
        keys: &VaultKeys,
        slots: &KeySlots,
        people: &SubjectSet,
        mut visit: impl FnMut(SubjectIndex, &Commitment, &CanonicalRecord) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let (log, derived, mut reader) = (self.log()?, Derived::open(self)?, keys.reader());
        for subject in people.iter() {
            let uploaded = log.of(subject).map(|entry| (entry.sequence, Some(entry)));
            let mut places: Vec<(u32, Option<Entry>)> = uploaded.collect();
            places.extend(derived.sequences(subject)?.into_iter().map(|sequence| (sequence, None)));
            if places.is_empty() {
                continue;
            }
            places.sort_unstable_by_key(|(sequence, _)| *sequence);
            let key = reader.key(subject).map_err(unreadable)?;
            for (sequence, entry) in places {
                let (commitment, record) = match entry {
                    Some(entry) => log.open(keys, &key, &entry)?,
                    None => derived.record(self, (slots, &key), (subject, sequence))?,
                };
                visit(subject, &commitment, &record)?;
            }
        }
        Ok(())
    }

    /// Visits the records at these places, which are in ascending order, each opened and checked against its commitment.
    ///
    /// **Errors**: as [`Self::each_record`], or a record that is not there.
    pub fn records_at(
        &self,
        keys: &VaultKeys,
        slots: &KeySlots,
        places: &[(u32, u32)],
        mut visit: impl FnMut((SubjectIndex, u32), &Commitment, &CanonicalRecord) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let (log, derived) = (self.log()?, Derived::open(self)?);
        let open = |piece: &[(u32, u32)]| -> Result<Vec<(Commitment, CanonicalRecord)>, Problem> {
            let (mut reader, mut of_people) = (keys.reader(), Vec::new());
            for people in piece.chunk_by(|one, next| one.0 == next.0) {
                let key = reader.key(SubjectIndex(people[0].0)).map_err(unreadable)?;
                of_people.extend(std::iter::repeat_n(Arc::new(key), people.len()));
            }
            let mut uploaded: Vec<Option<(Commitment, CanonicalRecord)>> = vec![None; piece.len()];
            let mut reader = log.reader();
            for (entry, nth) in log.by_arrival(piece) {
                uploaded[nth] = Some(reader.open(keys, &of_people[nth], &entry)?);
            }
            let derived = |(record, (place, key)): (Option<_>, (&(u32, u32), &Arc<DataKey>))| match record {
                Some(record) => Ok(record),
                None => derived.record(self, (slots, key), (SubjectIndex(place.0), place.1)),
            };
            uploaded.into_iter().zip(piece.iter().zip(&of_people)).map(derived).collect()
        };
        // All cores open what one visits; what is open at a time stays small.
        for places in places.chunks(OPEN_AT_A_TIME) {
            let opened: Vec<_> = places.par_chunks(PIECE).map(open).collect::<Result<_, _>>()?;
            for (place, (commitment, record)) in places.iter().zip(opened.iter().flatten()) {
                visit((SubjectIndex(place.0), place.1), commitment, record)?;
            }
        }
        Ok(())
    }
}

/// One more than the last arrival of a list.
fn end_of(first: u64, list: &[u8]) -> u64 {
    first + (list.len() / LISTED_BYTES) as u64
}

/// The entries of a list. `None`: it is damaged.
fn run_of(first: u64, list: &[u8]) -> Option<Vec<Entry>> {
    let (listed, rest) = list.as_chunks::<LISTED_BYTES>();
    let first = u32::try_from(first).ok().filter(|_| rest.is_empty())?;
    let entry = |(nth, listed): (u32, &[u8; LISTED_BYTES])| {
        let number =
            |at: usize| u32::from_be_bytes([listed[at], listed[at + 1], listed[at + 2], listed[at + 3]]);
        let arrival = first.checked_add(nth)?;
        Some(Entry { person: number(0), sequence: number(4), arrival, fingerprint: number(8) })
    };
    let run: Vec<Entry> = (0..).zip(listed).map(entry).collect::<Option<_>>()?;
    let places = |entry: &Entry| (entry.person, entry.sequence);
    run.is_sorted_by(|one, next| places(one) < places(next)).then_some(run)
}

/// Records of one chunk: so many are read for one of them.
const CHUNK_ROWS: usize = 64;
/// Person, sequence and commitment, before what is sealed.
const ROW_HEAD: usize = 40;
/// Person, sequence and fingerprint.
const LISTED_BYTES: usize = 12;
/// Records that one core opens in a row.
const PIECE: usize = 8_192;
/// Chunks that one transaction empties.
const EMPTIED_AT_A_TIME: usize = 1_024;
/// Records that are open at a time.
const OPEN_AT_A_TIME: usize = 8 * PIECE;

/// By the arrival of the first of them.
const CHUNKS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("vault/record-chunks/2");
/// Chunks without a period.
const EARLIER: &str = "vault/record-chunks";
/// By the arrival of the first of them.
const LISTS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("vault/record-lists");
