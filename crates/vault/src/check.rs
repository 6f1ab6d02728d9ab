//! Looks at everything that a Vault's folder holds and names what is wrong (R063, R078): each record and document against its
//! commitment, each link both ways, each segment against its records, each person's key and name, the budget ledger against the sums of its entries, each epoch's
//! dividends against their root, the journal decided again from its beginning. Nothing is changed or mended.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::RecordBatch;
use serde::Serialize;
use symphony_consensus::orderer::{Clock, Orderer as _};
use symphony_consensus::replay::Verify;
use symphony_protocol::governance::Governance;
use symphony_protocol::vault::dividend;
use symphony_protocol::vault::machine::State;
use symphony_segments::segment::SegmentEntry;
use symphony_standby::backend;
use symphony_standby::standby::DATABASE;
use symphony_types::catalogue::Code;
use symphony_types::id::{Commitment, VaultId};
use symphony_types::merkle;
use symphony_types::subjects::SubjectIndex;

use crate::analysis::{Analysis, rows_at};
use crate::enterprise::{Keeping, open_journal};
use crate::erase::places_of;
use crate::governing::Governing;
use crate::keys::{DataKey, KeyError, PeopleReader, VaultKeys};
use crate::problem::Problem;
use crate::slots::{DOCUMENTS_FILE, KeySlots};
use crate::store::reading::Derived;
use crate::store::record::{Log, fingerprint, name};
use crate::store::segment::Segmented;
use crate::store::{Store, View};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Enrolled people whose key opens their profile.
    pub people: u64,
    /// People who are erased, with the proof and without a key.
    pub erased_people: u64,
    /// Records whose commitment holds.
    pub records: u64,
    /// Records of erased people, which nobody can open; their commitments are there.
    pub erased_records: u64,
    /// Records that ended because they were kept for their time; their commitments are there.
    pub ended_records: u64,
    /// Documents whose commitment holds, and erased ones whose proof does.
    pub documents: u64,
    /// Entries of the budget ledger.
    pub entries: u64,
    /// Segments that have the records that they were made from.
    pub segments: u64,
    /// Epochs whose dividends have their root.
    pub epochs: u64,
    /// The first faults.
    pub faults: Vec<Fault>,
    /// All faults.
    pub faults_total: u64,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What it is.
    pub part: Part,
    /// Which one.
    pub place: String,
    /// What is wrong with it.
    pub fault: String,
}

/// The parts of a Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// A person's key and profile.
    Person,
    /// A record.
    Record,
    /// A receipt document.
    Document,
    /// The budget of a person.
    Budget,
    /// A segment of records for analysis.
    Segment,
    /// The dividends of an epoch.
    Dividends,
    /// A version of the policy.
    Policy,
    /// An erasure, or an end of records, that a crash interrupted, and the next start goes on with.
    Erasure,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} {}: {}", self.part, self.place, self.fault)
    }
}

/// Checks the folder of a Vault that does not run.
///
/// **Errors**: the keys, the database or the journal cannot be opened at all, the journal does not decide as it did, or the store of
/// segments does not answer (`VLT-0021`); what else is wrong is in the report.
pub fn folder(
    folder: &Path,
    vault: &VaultId,
    network: &str,
    governance: &Governance,
    clock: Clock,
    Keeping { custody, segments }: Keeping,
) -> anyhow::Result<Report> {
    let keys = Arc::new(VaultKeys::kept(folder, custody)?);
    let database = backend::looked_at(&folder.join(DATABASE)).context("opening the database")?;
    let (database, journal) = open_journal(database, vault, network, governance, Verify::Decisions, clock)?;
    let store = Store::open(database)?;
    let view = store.read()?;
    // Opened to be used, slots that no row names would be overwritten; a row that is damaged names the wrong one.
    let slots = KeySlots::look(folder, DOCUMENTS_FILE).context("opening the keys of documents")?;
    let analysis = Analysis::look((folder, segments.as_ref()), vault, governance, (&store, &keys));
    let analysis = analysis.context("opening the segments")?;
    let (state, report) = (journal.state(), Report::default());
    Ok(Check { keys: &keys, slots: &slots, view: &view, analysis: &analysis, state, governance, report }
        .run()?)
}

struct Check<'a> {
    keys: &'a VaultKeys,
    slots: &'a KeySlots,
    view: &'a View,
    analysis: &'a Analysis,
    state: Arc<State>,
    governance: &'a Governance,
    report: Report,
}

impl Check<'_> {
    fn run(mut self) -> Result<Report, Problem> {
        self.people()?;
        self.records()?;
        self.documents()?;
        self.segments()?;
        self.policies()?;
        self.budgets();
        self.dividends()?;
        Ok(self.report)
    }

    /// What the budget ledger decides by is what the council adopted, and nothing else (R188).
    fn policies(&mut self) -> Result<(), Problem> {
        let governing = Governing::read(self.governance, self.view)?;
        let governance = governing.governance();
        let state = Arc::clone(&self.state);
        let charter = &state.charter;
        for (first, known) in charter.calendar.iter() {
            let version = known.version;
            let adopted = governance.calendar.iter().any(|one| one == (first, known));
            if !adopted || charter.policy(version).ok() != governance.policy_of(version).ok() {
                self.fault(Part::Policy, version, "the council adopted another one");
            }
        }
        Ok(())
    }

    fn fault(&mut self, part: Part, place: impl fmt::Display, fault: impl fmt::Display) {
        self.report.faults_total += 1;
        if self.report.faults.len() < FAULTS_MAX {
            self.report.faults.push(Fault { part, place: place.to_string(), fault: fault.to_string() });
        }
    }

    /// Each row opens under the Vault's key and is of the person whom the journal enrolled there.
    fn people(&mut self) -> Result<(), Problem> {
        let mut keys = self.keys.reader();
        for index in (0..self.state.subjects.len()).map(SubjectIndex) {
            if self.state.subjects.erased().contains(index) {
                match self.erased(index) {
                    Ok(()) if self.keys.people.get(index.0).is_ok_and(|slot| slot.is_some()) => {
                        self.fault(
                            Part::Erasure,
                            index.0,
                            "the key is still there: the start goes on with that",
                        );
                    }
                    Ok(()) => self.report.erased_people += 1,
                    Err(problem) => self.fault(Part::Person, index.0, told(&problem)),
                }
                continue;
            }
            match self.view.profile(keys.key(index), index) {
                Ok(profile) => {
                    let key = self.keys.subject_key(&profile.subject);
                    if self.state.subjects.find(&key) == Some(index) {
                        self.report.people += 1;
                    } else {
                        self.fault(Part::Person, index.0, "the profile is another person's");
                    }
                }
                Err(problem) => self.fault(Part::Person, index.0, problem),
            }
        }
        Ok(())
    }

    /// Nothing opens what an erased person had, and the Vault has said so or will when it is asked again.
    fn erased(&self, index: SubjectIndex) -> Result<(), Problem> {
        let wrong = |what: &'static str| Problem::fault("an erasure contradicts the journal", what);
        let slot = self.keys.people.get(index.0);
        slot.map_err(|error| Problem::fault("a person's key cannot be read", error))?;
        if self.view.subject(index).is_ok() {
            return Err(wrong("the profile is still there"));
        }
        match self.view.person_erasure(index)? {
            Some(proof) if proof.body.subject != index || !proof.verify(&self.keys.signing.public()) => {
                Err(wrong("its proof is not this vault's"))
            }
            // A crash may have come before the proof, which is made when it is asked for.
            Some(_) | None => Ok(()),
        }
    }

    /// Each record opens, has its commitment, and is found where the lists or its commitment say.
    fn records(&mut self) -> Result<(), Problem> {
        let view = self.view;
        let mut people = Opened { keys: self.keys.reader(), last: None };
        match view.log() {
            Ok(log) => self.uploaded(&log, &mut people)?,
            Err(problem) => self.fault(Part::Record, "lists", problem),
        }
        let derived = Derived::open(view)?;
        let places = derived.places()?;
        for place in &places {
            let subject = SubjectIndex(place.0);
            let opened = people
                .key(subject)
                .map(|key| derived.record(view, (self.slots, key), (subject, place.1)).map(|_| ()));
            self.record(*place, opened);
        }
        let (rows, links) = (places.len() as u64, derived.documents()?);
        if rows != links {
            self.fault(Part::Record, "all", format_args!("{rows} records came of {links} documents"));
        }
        Ok(())
    }

    /// Each record of the log is where its list says, with its commitment and under its name.
    fn uploaded(&mut self, log: &Log, people: &mut Opened<'_>) -> Result<(), Problem> {
        let mut emptied = true;
        let rows = log.each(|arrival, found| {
            let (entry, row) = match found {
                Ok(found) => found,
                Err(problem) => {
                    self.fault(Part::Record, format_args!("arrival {arrival}"), problem);
                    return;
                }
            };
            let subject = SubjectIndex(row.place.0);
            if arrival < log.ended() {
                self.report.ended_records += 1;
                emptied &= row.emptied();
                return;
            }
            if self.state.subjects.erased().contains(subject) {
                self.report.erased_records += 1;
                return;
            }
            let opened = people.key(subject).map(|key| {
                let period = self.keys.period(row.period).map_err(unreadable)?;
                let record = row.open(key, &period)?;
                let known = fingerprint(&name(self.keys, &record.subject, &record.request));
                if known == entry.fingerprint { Ok(()) } else { Err(renamed()) }
            });
            self.record(row.place, opened);
        })?;
        self.ended(log, emptied)?;
        if rows != log.arrivals() {
            let arrived = log.arrivals();
            self.fault(Part::Record, "all", format_args!("{rows} rows, {arrived} arrived"));
        }
        Ok(())
    }

    /// What has ended is what the journal says, and nothing opens it.
    fn ended(&mut self, log: &Log, emptied: bool) -> Result<(), Problem> {
        let (ended, known) = (self.view.ended()?, self.state.holdings.ended());
        if ended.arrivals != known || log.ended() > log.arrivals() {
            let rows = ended.arrivals;
            self.fault(Part::Record, "ended", format_args!("{rows} have ended, {known} by the journal"));
        }
        for period in 0..ended.periods {
            if self.keys.has_period(period).map_err(unreadable)? {
                let left = "the key of a day is still there: the start goes on with that";
                self.fault(Part::Erasure, format_args!("day {period}"), left);
            }
        }
        if !emptied {
            let left = "what was sealed of ended records is still there: the node goes on with that";
            self.fault(Part::Erasure, "records", left);
        }
        Ok(())
    }

    /// Counts a record that was opened, or says what is wrong; `None` when its person's key does not open.
    fn record(&mut self, place: (u32, u32), opened: Option<Result<(), Problem>>) {
        let (subject, shown) = (SubjectIndex(place.0), format!("{}/{}", place.0, place.1));
        match opened {
            None => self.fault(Part::Record, shown, "its person's key is not there"),
            Some(Ok(())) if !self.state.holdings.holds(subject) => {
                self.fault(Part::Record, shown, "the journal knows no record of this person");
            }
            Some(Ok(())) => self.report.records += 1,
            Some(Err(problem)) => self.fault(Part::Record, shown, problem),
        }
    }

    /// Each document is what was committed to, or is erased with a proof that this Vault signed.
    fn documents(&mut self) -> Result<(), Problem> {
        let people: Vec<SubjectIndex> = (0..self.state.subjects.len()).map(SubjectIndex).collect();
        let mut seen: BTreeSet<Commitment> = BTreeSet::new();
        for subject in people {
            for row in self.view.documents(subject, 0)? {
                let (sequence, row) = match row {
                    Ok(row) => row,
                    Err(problem) => {
                        self.fault(Part::Document, format_args!("{}/", subject.0), problem);
                        continue;
                    }
                };
                let shown = format!("{}/{sequence}", subject.0);
                seen.insert(row.commitment);
                match self.document(subject, &row.commitment) {
                    Ok(()) => self.report.documents += 1,
                    Err(problem) => self.fault(Part::Document, shown, problem),
                }
            }
        }
        if seen.len() != self.state.documents.len() {
            let (rows, known) = (seen.len(), self.state.documents.len());
            self.fault(Part::Document, "all", format_args!("{rows} rows, the journal knows {known}"));
        }
        Ok(())
    }

    fn document(&self, subject: SubjectIndex, commitment: &Commitment) -> Result<(), Problem> {
        let wrong = |what: &'static str| Problem::fault("a document contradicts the journal", what);
        let known = self.state.document(subject, commitment)?;
        let (_, row) = self.view.document(subject, commitment)?;
        let Some(held) = row.held else {
            if self.state.subjects.erased().contains(subject) {
                return Ok(());
            }
            let proof =
                self.view.erasure(commitment)?.filter(|proof| proof.verify(&self.keys.signing.public()));
            return match (known.erased, proof) {
                (Some(_), Some(_)) => Ok(()),
                (None, _) => Err(wrong("it is gone and was not erased")),
                (Some(_), None) => Err(wrong("the proof of its erasure is not there")),
            };
        };
        if known.erased.is_some() {
            return Err(wrong("it is erased and still there"));
        }
        let opened = self.keys.data_key(subject);
        let person = opened.map_err(|error| Problem::fault("a person's key cannot be opened", error))?;
        let key = held.key(self.slots, &person, commitment)?;
        let header = crate::store::document::Header::open(&key, commitment, &held.header)?;
        self.view.document_content(&key, &header.record)?;
        Ok(())
    }

    /// Each segment is the file that was written, of the very records that it was made from, and every record that arrived before
    /// the last one is in one.
    fn segments(&mut self) -> Result<(), Problem> {
        let segmented = self.analysis.segmented();
        let version = segmented.catalogue.version();
        let snapshot = segmented.catalogue.snapshot(version);
        let snapshot =
            snapshot.map_err(|error| Problem::fault("the catalogue of segments is damaged", error))?;
        let rows: u64 = snapshot.segments.iter().map(|entry| entry.rows).sum();
        let mut arrived = self.view.arrived(0..segmented.through(version))?;
        arrived.retain(|(subject, _)| !self.state.subjects.erased().contains(SubjectIndex(*subject)));
        let expected = arrived.len() as u64;
        let rewritten: Vec<_> = segmented.catalogue.to_rewrite().iter().map(|entry| entry.id).collect();
        if rows != expected && rewritten.is_empty() {
            self.fault(Part::Segment, "all", format_args!("{rows} records, {expected} arrived"));
        }
        for entry in &snapshot.segments {
            if rewritten.contains(&entry.id) && self.analysis.whole(entry).is_ok() {
                let left = "it has rows of somebody who is erased: the start goes on with that";
                self.fault(Part::Erasure, entry.id, left);
                continue;
            }
            match self.segment(&segmented, entry) {
                Ok(()) => self.report.segments += 1,
                Err(problem) if problem.code() == Code::SegmentsUnavailable => return Err(problem),
                Err(problem) => {
                    self.fault(Part::Segment, entry.id, told(&problem));
                }
            }
        }
        Ok(())
    }

    fn segment(&self, segmented: &Segmented, entry: &SegmentEntry) -> Result<(), Problem> {
        let wrong = |what: &'static str| Problem::fault("a segment contradicts its records", what);
        let read = self.analysis.whole(entry)?;
        let mut places = places_of(&read);
        if places.iter().any(|(subject, _)| self.state.subjects.erased().contains(SubjectIndex(*subject))) {
            return Err(wrong("it has rows of somebody who is erased"));
        }
        places.sort_unstable();
        let mut arrived = self.view.arrived(segmented.arrivals(&entry.id))?;
        arrived.retain(|(subject, _)| !self.state.subjects.erased().contains(SubjectIndex(*subject)));
        if places != arrived {
            return Err(wrong("it has other records than arrived"));
        }
        let read_by = (self.keys, self.slots);
        let (rows, root) = rows_at(self.view, read_by, &segmented.schema, places)?;
        if root != entry.records {
            return Err(wrong("the commitments of its records do not have its root"));
        }
        let most = read.first().map_or(1, RecordBatch::num_rows);
        let mut made = rows.batches(most);
        let same =
            read.iter().all(|batch| made.next().is_some_and(|made| made.is_ok_and(|made| made == *batch)));
        if same && made.next().is_none() { Ok(()) } else { Err(wrong("its values are others")) }
    }

    /// Each balance is the sum of what the entries hold and consumed.
    fn budgets(&mut self) {
        self.report.entries = self.state.ledger.entries().count() as u64;
        for (scope, subject) in self.state.ledger.unexplained() {
            let place = format!("{}/{}", subject.0, scope.as_str());
            self.fault(Part::Budget, place, "the balance is not the sum of the ledger's entries");
        }
    }

    fn dividends(&mut self) -> Result<(), Problem> {
        let state = Arc::clone(&self.state);
        for (epoch, closed) in &state.epochs {
            match self.view.closing(self.keys, *epoch) {
                Ok(Some(closing)) => {
                    if merkle::root(&dividend::hashes(&closing.leaves)) == closed.statement.root {
                        self.report.epochs += 1;
                    } else {
                        self.fault(Part::Dividends, epoch.0, "the leaves do not have the stated root");
                    }
                }
                Ok(None) => self.fault(Part::Dividends, epoch.0, "the leaves are not there"),
                Err(problem) => self.fault(Part::Dividends, epoch.0, problem),
            }
        }
        Ok(())
    }
}

fn unreadable(error: KeyError) -> Problem {
    Problem::fault("the key of a day cannot be read", error)
}

fn renamed() -> Problem {
    Problem::fault("a record contradicts its list", "it has another name")
}

/// The keys of people, of whom the last may have more records.
struct Opened<'a> {
    keys: PeopleReader<'a>,
    last: Option<(SubjectIndex, Option<DataKey>)>,
}

impl Opened<'_> {
    /// `None`: it does not open, which is named with the person.
    fn key(&mut self, subject: SubjectIndex) -> Option<&DataKey> {
        let known = self.last.take().filter(|(known, _)| *known == subject);
        let known = known.unwrap_or_else(|| (subject, self.keys.key(subject).ok()));
        self.last.insert(known).1.as_ref()
    }
}

/// What is wrong behind a fault.
fn told(problem: &Problem) -> String {
    std::error::Error::source(problem).map_or_else(|| problem.to_string(), ToString::to_string)
}

/// Faults that a report names.
const FAULTS_MAX: usize = 100;
