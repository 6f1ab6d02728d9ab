//! Ends what was kept for its time, when the Vault's operator wants that (R078, R080, R230): uploaded records by the day on which they
//! arrived, receipts by the moment at which they did.
//!
//! ```text
//! segments without what ends: keys, files -> journal, with the rows that name those and say what has ended
//!   -> keys of the days overwritten -> keys and files of the former segments -> what was sealed out of the rows
//! ```
//!
//! From the journal's entry on nobody reads what has ended, and from the overwritten keys on nobody can, in a backup neither.
//! Commitments stay, so that roots verify. A crash before the entry leaves everything as it was; after it, the next start and the next
//! look go on.

use std::num::NonZeroU32;

use symphony_protocol::vault::machine::Command;
use symphony_segments::segment::SegmentId;
use symphony_types::catalogue::Code;
use symphony_types::id::{Commitment, TaskId};
use symphony_types::subjects::{SubjectIndex, SubjectSet};
use symphony_types::time::OrderedMillis;
use symphony_wire::v1::{RetentionEntry, VaultAnswer};

use crate::analysis::rows_at;
use crate::documents::overwriting;
use crate::enterprise::Enterprise;
use crate::ingest::Authority;
use crate::keys::KeyError;
use crate::problem::Problem;
use crate::store::period::{DAY_MS, Ended, put_ended};
use crate::store::reading::Derived;
use crate::store::record::{Today, empty_chunks};
use crate::store::segment::{Mark, put_mark, put_segmented};
use crate::store::{self, View};
use crate::tending::{Draft, Step, uncatalogued};

impl Enterprise {
    /// The period that records arrive in now, whose key is on disk. Hold [`Self::ingesting`]. **Errors**: storage, or no key.
    pub(crate) fn today(&self, view: &View) -> Result<Today, Problem> {
        let failed = |error: KeyError| Problem::fault("the key of a day cannot be had", error);
        let (last, ended, day) = (view.last_period()?, view.ended()?, self.now().0 / DAY_MS);
        match last.filter(|last| last.day >= day && last.number >= ended.periods) {
            Some(last) => {
                let key = self.keys.period(last.number).map_err(failed)?;
                Ok(Today { number: last.number, day: last.day, key })
            }
            None => {
                let number = last.map_or(0, |last| last.number.saturating_add(1));
                Ok(Today { number, day, key: self.keys.new_period(number).map_err(failed)? })
            }
        }
    }

    /// Ends what was kept for as many days as the Vault keeps things, and goes on with what an earlier look could not. Nothing ends while
    /// everything moves to another Vault.
    ///
    /// **Errors**: storage, or the store of segments does not answer; then as much is left for the next look.
    pub async fn retain(&self) -> Result<(), Problem> {
        let _no_other_upkeep = self.upkeep.lock().await;
        let stays = self.state().moves.grows().is_ok();
        if let Some(days) = self.quota.days.filter(|_| stays) {
            self.end_documents(days).await?;
            if self.due(days)?.is_some() {
                // Segments are made anew from people who are not erased alone.
                self.rewrite().await?;
                self.end_records(days).await?;
                self.tending.ask();
            }
        }
        self.destroy_ended()?;
        self.empty_ended()
    }

    /// What will have ended when everything has that is due; `None` when nothing more is.
    fn due(&self, days: NonZeroU32) -> Result<Option<Ended>, Problem> {
        let (view, today) = (self.store.read()?, self.now().0 / DAY_MS);
        let ended = view.ended()?;
        let periods = view.periods(ended.periods)?;
        // A day is over before its records are counted from.
        let old = |day: u64| day.saturating_add(u64::from(days.get())) < today;
        let many = periods.iter().take_while(|period| old(period.day)).count();
        if many == 0 {
            return Ok(None);
        }
        let arrivals = match periods.get(many) {
            Some(kept) => kept.first,
            None => view.arrivals()?,
        };
        Ok(Some(Ended { arrivals, periods: ended.periods.saturating_add(many as u32), ..ended }))
    }

    /// Ends records, while nobody computes with them, brings any, or changes segments.
    async fn end_records(&self, days: NonZeroU32) -> Result<(), Problem> {
        let analysis = &self.analysis;
        let _no_merge = analysis.merging.lock().await;
        let _no_slice = self.computing.lock().await;
        let _no_record = self.ingesting.lock().await;
        let _no_segment = analysis.writing.lock().await;
        let Some(ended) = self.due(days)? else { return Ok(()) };
        self.count_usage().await?;
        let segmented = analysis.segmented();
        let former = segmented.before(ended.arrivals);
        let mut drafts: Vec<(SegmentId, Option<Draft>)> = Vec::new();
        for (segment, _) in &former {
            match self.drafted_without(segment, ended.arrivals).await {
                Ok(draft) => drafts.push((*segment, draft)),
                Err(problem) => {
                    self.abandon_drafts(&drafts).await;
                    return Err(problem);
                }
            }
        }
        if let Err(problem) = self.order_end(&drafts, ended).await {
            // A journal that stopped may have taken it; the next start knows.
            if problem.code() != Code::VaultUnavailable {
                self.abandon_drafts(&drafts).await;
            }
            return Err(problem);
        }
        self.bases.clear();
        analysis.step(Step::Ended)?;
        // Each is tried whatever becomes of the other; the next start does the rest.
        let mut destroyed = self.destroy_ended().and_then(|()| analysis.step(Step::Shredded));
        for (segment, slot) in former {
            destroyed = destroyed.and(analysis.destroy(&segment, slot).await);
        }
        destroyed?;
        tracing::info!(records = ended.arrivals, "vault.end_records");
        Ok(())
    }

    /// A segment in the place of one, without the records before an arrival; `None` when none is left.
    async fn drafted_without(&self, segment: &SegmentId, ended: u64) -> Result<Option<Draft>, Problem> {
        let (analysis, view, state) = (&self.analysis, self.store.read()?, self.state());
        let segmented = analysis.segmented();
        let mut places = view.arrived(ended..segmented.arrivals(segment).end)?;
        places.retain(|(subject, _)| !state.subjects.erased().contains(SubjectIndex(*subject)));
        if places.is_empty() {
            return Ok(None);
        }
        let (mut rows, root) = rows_at(&view, (&self.keys, &self.slots), &segmented.schema, places)?;
        analysis.written(&mut rows, root).await.map(Some)
    }

    async fn abandon_drafts(&self, drafts: &[(SegmentId, Option<Draft>)]) {
        for draft in drafts.iter().filter_map(|(_, draft)| draft.as_ref()) {
            self.analysis.abandon(&draft.entry.id, draft.slot).await;
        }
    }

    /// Orders the end, in one transaction with the rows that say it. **Errors**: `VLT-0005` when the journal stopped, or nothing was
    /// written.
    async fn order_end(&self, drafts: &[(SegmentId, Option<Draft>)], ended: Ended) -> Result<(), Problem> {
        let entries = drafts.iter().map(|(segment, draft)| {
            (*segment, draft.as_ref().map(|draft| (draft.entry.clone(), draft.slot)))
        });
        let next = self.analysis.segmented().ended(entries.collect()).map_err(uncatalogued)?;
        let subjects = self.left_without(ended.arrivals)?;
        let noted = next.clone();
        let hook = move |transaction: &redb::WriteTransaction| {
            put_ended(transaction, &ended)?;
            put_segmented(transaction, &noted)
        };
        let command = Command::EndRecords { through: ended.arrivals, subjects };
        self.journal.order_with(command, hook).await?;
        self.analysis.install(next);
        Ok(())
    }

    /// People whose records have all arrived before this one.
    fn left_without(&self, ended: u64) -> Result<SubjectSet, Problem> {
        let view = self.store.read()?;
        let (log, derived) = (view.log()?, Derived::open(&view)?);
        let mut people = view.arrived(0..ended)?;
        people.dedup_by_key(|(person, _)| *person);
        let mut without = SubjectSet::new();
        for subject in people.into_iter().map(|(person, _)| SubjectIndex(person)) {
            let kept = log.of(subject).any(|entry| u64::from(entry.arrival) >= ended);
            if !kept && derived.last_sequence(subject)?.is_none() {
                without.insert(subject);
            }
        }
        Ok(without)
    }

    /// Counts what unfinished tasks used of segments, because what they read ends; they may be computed again over what is left.
    async fn count_usage(&self) -> Result<(), Problem> {
        let view = self.store.read()?;
        let mut counted: Vec<(TaskId, _, _)> = Vec::new();
        for (task, mark) in view.marks()? {
            let mut usage = view.usage(&task)?.unwrap_or_default();
            self.used_of_segments(&task, &mut usage).await?;
            counted.push((task, usage, Mark { counted: true, ..mark }));
        }
        if counted.is_empty() {
            return Ok(());
        }
        self.store.write(|transaction| {
            counted.iter().try_for_each(|(task, usage, mark)| {
                store::put_usage(transaction, task, usage)?;
                put_mark(transaction, task, mark)
            })
        })
    }

    /// Overwrites the keys of what has ended, again where an earlier try failed. **Errors**: those of the file system.
    pub(crate) fn destroy_ended(&self) -> Result<(), Problem> {
        let ended = self.store.read()?.ended()?;
        let destroyed = self.keys.end_periods(0..ended.periods);
        destroyed.map_err(|error| Problem::fault("the key of a day cannot be overwritten yet", error))?;
        self.analysis.settle_keys().map_err(overwriting)
    }

    /// Takes what was sealed of ended records out of the rows, some at a time. **Errors**: storage; the next look goes on.
    fn empty_ended(&self) -> Result<(), Problem> {
        loop {
            let ended = self.store.read()?.ended()?;
            if ended.emptied >= ended.arrivals {
                return Ok(());
            }
            self.store.write(|transaction| {
                let emptied = empty_chunks(transaction, ended.emptied, ended.arrivals)?;
                put_ended(transaction, &Ended { emptied, ..ended })
            })?;
            self.analysis.step(Step::Emptied)?;
        }
    }

    /// Erases receipts that came in so many days ago, each with the Vault's proof for its owner. **Errors**: the journal stopped.
    async fn end_documents(&self, days: NonZeroU32) -> Result<(), Problem> {
        let Some(before) = self.now().0.checked_sub(u64::from(days.get()).saturating_mul(DAY_MS)) else {
            return Ok(());
        };
        let state = self.state();
        let here = |(subject, _): &(SubjectIndex, Commitment)| state.subjects.contains(*subject);
        for (subject, commitment) in state.documents.older(OrderedMillis(before)).into_iter().filter(here) {
            let _one_at_a_time = self.filing.lock().await;
            if let Err(problem) = self.end_document(subject, commitment).await {
                tracing::error!(%commitment, %problem, "a receipt that is to end is tried again");
            }
        }
        Ok(())
    }

    /// Whether records have ended since a moment, so that what a task read then may not be there.
    pub(crate) fn ended_since(&self, then: OrderedMillis) -> bool {
        self.state().holdings.ended_at().is_some_and(|ended| ended >= then)
    }

    /// How long the Vault keeps records, and what has ended, for its operator. **Errors**: `ADM-0003`, or storage.
    pub(crate) fn read_retention(&self, authority: &Authority) -> Result<VaultAnswer, Problem> {
        if *authority != Authority::Operator {
            return Err(Code::Forbidden.into());
        }
        let view = self.store.read()?;
        let (ended, arrivals) = (view.ended()?, view.arrivals()?);
        let oldest = view.periods(ended.periods)?.first().map_or(0, |period| period.begins().0);
        let retention = RetentionEntry {
            days: self.quota.days.map_or(0, NonZeroU32::get),
            kept: arrivals.saturating_sub(ended.arrivals),
            ended: ended.arrivals,
            ended_ms: self.state().holdings.ended_at().map_or(0, |at| at.0),
            since_ms: oldest,
        };
        Ok(VaultAnswer { retention: Some(retention), ..VaultAnswer::default() })
    }
}
