//! Columns that no governed attribute is for: what the Vault's operator sees of them, and what is reported of them when an epoch is over
//! (R044, R050, R051, R063, R213).
//!
//! ```text
//! a record arrives with such a column: it waits -> the epoch is over: its people are charged, in the journal
//!   -> their waiting records are counted, with noise -> the report is kept, and those wait no more -> it is told, as often as it is asked for
//! ```
//!
//! Nothing is told before it is kept, so noise is drawn once over the same records. A crash between charge and report costs the charge: the
//! next report counts what waits.

use std::collections::{BTreeMap, BTreeSet};

use symphony_compute::candidates::{Columns, Counting};
use symphony_consensus::orderer::Orderer as _;
use symphony_protocol::governance::candidate::{CandidatePolicy, CandidateReport, Found, SignedReport};
use symphony_protocol::vault::machine::Command;
use symphony_protocol::vault::record::LocalValue;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, EpochId};
use symphony_types::subjects::{SubjectIndex, SubjectSet};
use symphony_wire::v1::{CandidateEntry, VaultAnswer};

use crate::enterprise::Enterprise;
use crate::ingest::Authority;
use crate::keys;
use crate::problem::Problem;
use crate::store::View;
use crate::store::candidate::put_report;
use crate::tending::Step;

impl Enterprise {
    /// The same Vault, which reports nothing of these columns: its operator's word.
    #[must_use]
    pub fn withholding(self, withheld: BTreeSet<AttributeName>) -> Self {
        Self { withheld, ..self }
    }

    /// What local columns there are, for the operator (R051, R213): how many records have each, of which type, and of how many people.
    ///
    /// Counted over the records of everybody who is not erased, so that a candidate has nothing that the records have not. A column that is
    /// governed now is none, whatever it was when its records came.
    pub(crate) fn read_candidates(&self, authority: &Authority) -> Result<VaultAnswer, Problem> {
        if *authority != Authority::Operator {
            return Err(Code::Forbidden.into());
        }
        self.serves()?;
        let followed = self.followed();
        let governed = &followed.governance().semantics_at(self.now()).attributes;
        let everybody = self.readable(&(0..self.state().subjects.len()).map(SubjectIndex).collect());
        let mut candidates: BTreeMap<AttributeName, (CandidateEntry, SubjectSet)> = BTreeMap::new();
        self.store.read()?.each_record(&self.keys, &self.slots, &everybody, |subject, _, record| {
            for (name, value) in record.local.iter().filter(|(name, _)| !governed.contains_key(*name)) {
                if !candidates.contains_key(name) && candidates.len() == CANDIDATES_MAX {
                    continue;
                }
                let (entry, people) = candidates.entry(name.clone()).or_default();
                match value {
                    LocalValue::Text(_) => entry.texts += 1,
                    LocalValue::Number(_) => entry.numbers += 1,
                    LocalValue::Time(_) => entry.times += 1,
                }
                people.insert(subject);
            }
            Ok(())
        })?;
        let entry = |(name, (entry, people)): (AttributeName, (CandidateEntry, SubjectSet))| CandidateEntry {
            name: name.to_string(),
            people: people.len(),
            ..entry
        };
        let candidates = candidates.into_iter().map(entry).collect();
        Ok(VaultAnswer { candidates, ..VaultAnswer::default() })
    }

    /// What this Vault says of its candidates at the end of an epoch, the same however often it is asked; `None` when that is nothing.
    /// Reads records; blocks.
    ///
    /// **Errors**: `GOV-0002` while the epoch goes on, `GOV-0023` when it is over for too long or its policy pools nothing; `VLT-0018`,
    /// `VLT-0022`, `VLT-0023` when the Vault takes part no more; storage.
    pub async fn report_candidates(&self, epoch: EpochId) -> Result<Option<SignedReport>, Problem> {
        self.joins()?;
        // Nobody is erased, and no record ends, between the charge and the count.
        let _no_other_upkeep = self.upkeep.lock().await;
        let view = self.store.read()?;
        if let Some(known) = view.report(epoch)? {
            return Ok(self.told_of(known));
        }
        let (charter, now) = (self.state().charter.clone(), self.now());
        let present = charter.calendar.epoch_of(now);
        if epoch >= present {
            return Err(Code::EpochOpen.into());
        }
        let version = charter.calendar.version_in(epoch);
        let pooled = charter.policy(version)?.candidates.as_ref();
        let kept =
            |pooled: &CandidatePolicy| epoch.0.saturating_add(u64::from(pooled.epochs_kept)) >= present.0;
        let Some(pooled) = pooled.filter(|pooled| kept(pooled)) else {
            return Err(Code::CandidatesClosed.into());
        };
        let waiting = view.waiting(view.ended()?.arrivals..u64::MAX)?;
        let Some(last) = waiting.last() else { return Ok(None) };
        let subjects = waiting.iter().map(|record| SubjectIndex(record.place.0)).collect();
        self.journal.order(Command::ChargeReport { epoch, subjects }).await?;
        self.analysis.step(Step::Charged)?;
        let counted = self.state().counted(epoch);
        let mut places: Vec<(u32, u32)> = waiting.iter().map(|record| record.place).collect();
        places.retain(|(subject, _)| counted.contains(SubjectIndex(*subject)));
        places.sort_unstable();
        let candidates = self.counted(&view, pooled, &places)?;
        let report = CandidateReport { vault: self.vault.clone(), epoch, policy: version, candidates };
        let oldest = EpochId(present.0.saturating_sub(u64::from(pooled.epochs_kept) + 1));
        self.store.write(|transaction| put_report(transaction, &report, last.arrival + 1, oldest))?;
        self.analysis.step(Step::Reported)?;
        let (names, people) = (report.candidates.len(), counted.len());
        tracing::info!(vault = %self.vault, %epoch, names, people, "vault.report_candidates");
        Ok(self.told_of(report))
    }

    fn told_of(&self, report: CandidateReport) -> Option<SignedReport> {
        (!report.candidates.is_empty()).then(|| self.keys.signing.sign(report))
    }

    /// What is found in the records at these places, in ascending order, under names that are nobody's and that the operator does not withhold.
    fn counted(
        &self,
        view: &View,
        policy: &CandidatePolicy,
        places: &[(u32, u32)],
    ) -> Result<BTreeMap<AttributeName, Found>, Problem> {
        let followed = self.followed();
        // Also what comes into force an epoch from now: it is proposed no more.
        let governed = &followed.governance().meanings.last().1.attributes;
        let seed = keys::random().map_err(|error| Problem::fault("no randomness for noise", error))?;
        let mut counting = Counting::new(policy, Digest(*seed));
        let mut person: Option<(SubjectIndex, Columns)> = None;
        view.records_at(&self.keys, &self.slots, places, |(subject, _), _, record| {
            if person.as_ref().is_some_and(|(last, _)| *last != subject)
                && let Some((_, columns)) = person.take()
            {
                counting.add(&columns);
            }
            let (_, columns) = person.get_or_insert_with(|| (subject, Columns::new()));
            let open = |name: &AttributeName| !governed.contains_key(name) && !self.withheld.contains(name);
            for (name, value) in record.local.iter().filter(|(name, _)| open(name)) {
                let of = &mut columns.entry(name.clone()).or_default()[value.kind() as usize];
                *of = of.saturating_add(1);
            }
            Ok(())
        })?;
        person.iter().for_each(|(_, columns)| counting.add(columns));
        Ok(counting.report())
    }
}

/// Names of candidates in one answer.
const CANDIDATES_MAX: usize = 1_000;
