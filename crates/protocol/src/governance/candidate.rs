//! Candidates for attributes: what a Vault reports of columns that no governed attribute is for, and the pool of an epoch (R050, R051,
//! R193).
//!
//! A report has names and noised counts, and no value of any record. Whoever is counted has consented to that scope and pays for it out
//! of its budget there, as for any other use (R063, R067). What a pool shows follows from the reports of its epoch and those before,
//! whatever order they came in and however often.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::amount::Bps;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AttributeName, EpochId, PolicyVersion, TaskId, UsageScope, VaultId};
use symphony_types::key::{Document, Signed, Vault};
use symphony_types::limits::{CANDIDATES_PER_REPORT_MAX, LOCAL_COLUMNS_MAX, VAULTS_MAX};
use symphony_types::time::OrderedMillis;

use super::Governance;
use super::policy::Privacy;
use super::semantics::ValueType;
use crate::artifact::compute::NoiseScale;

/// How candidates are counted and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidatePolicy {
    /// What people consent to who are counted; the budget that a report takes of.
    pub scope: UsageScope,
    /// What everybody loses who is counted in a report.
    pub epsilon: Epsilon,
    /// For how many names a person counts in one report.
    pub names_per_person: u32,
    /// As how many records of a name.
    pub records_per_person: u32,
    /// A Vault reports no name of fewer people, counted with noise.
    pub people_min: u32,
    /// No candidate of fewer Vaults is shown.
    pub vaults_min: u32,
    /// For how many epochs after its end reports of an epoch are taken and kept.
    pub epochs_kept: u32,
}

impl CandidatePolicy {
    /// Whether it is sound: somebody can afford a report, nobody's name is shown for itself, and no Vault's. **Errors**: what is wrong.
    pub fn check(&self, privacy: &Privacy) -> Result<(), &'static str> {
        let limit = privacy.scope_limits.get(&self.scope).copied().unwrap_or(Epsilon::ZERO);
        if self.epsilon == Epsilon::ZERO || self.epsilon > limit.min(privacy.subject_cap) {
            return Err("nobody can afford to be counted in a report of candidates");
        }
        let names = 1..=LOCAL_COLUMNS_MAX;
        if !names.contains(&(self.names_per_person as usize)) || !RECORDS.contains(&self.records_per_person) {
            return Err("the names or records that a person counts for are out of range");
        }
        if !(2..=VAULTS_MAX).contains(&(self.vaults_min as usize)) {
            return Err("a candidate is shown of two Vaults or more");
        }
        if !(1..=EPOCHS_KEPT_MAX).contains(&self.epochs_kept) {
            return Err("the epochs that reports of candidates are kept for are out of range");
        }
        // Scales of the noise between one person and the least number: a name of one is reported about once in e^12 times.
        let apart = u128::from(self.people_min.saturating_sub(1)) * u128::from(self.epsilon.0);
        let NoiseScale { numerator, .. } = self.people_noise();
        if apart < SCALES_APART * numerator {
            return Err("so few people are not hidden by the noise of a report of candidates");
        }
        Ok(())
    }

    /// The noise of counts of people: half of the epsilon, over all names that one of them counts for.
    pub fn people_noise(&self) -> NoiseScale {
        NoiseScale::of(2 * u128::from(self.names_per_person), self.epsilon)
    }

    /// The noise of counts of records: the other half.
    pub fn records_noise(&self) -> NoiseScale {
        let records = u128::from(self.names_per_person) * u128::from(self.records_per_person);
        NoiseScale::of(2 * records, self.epsilon)
    }
}

/// The kind of a value whose meaning is not governed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LocalKind {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// A point in time.
    Time,
}

impl LocalKind {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Text, Self::Number, Self::Time];

    /// The word that stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Time => "time",
        }
    }

    /// The type of an attribute whose values are like that.
    pub const fn value_type(self) -> ValueType {
        match self {
            Self::Text => ValueType::Text,
            Self::Number => ValueType::Cents,
            Self::Time => ValueType::Time,
        }
    }
}

/// What one Vault says of its candidates at the end of an epoch: of records that came in since its last report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateReport {
    /// The Vault.
    pub vault: VaultId,
    /// The epoch.
    pub epoch: EpochId,
    /// The version that was in force in it.
    pub policy: PolicyVersion,
    /// What was found under each name.
    pub candidates: BTreeMap<AttributeName, Found>,
}

impl Document for CandidateReport {
    const TAG: &'static str = "symphony/candidate-report/v1";
}

/// A report that its Vault signed.
pub type SignedReport = Signed<CandidateReport, Vault>;

/// What was found under a name; every count has noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The kind that most people's values have.
    pub kind: LocalKind,
    /// How many people that is.
    pub people: u64,
    /// How many people's values have another kind.
    pub others: u64,
    /// How many records have a value, of each person a limited number.
    pub records: u64,
}

/// The name that a report's charge has in the Vault's budget ledger, which knows tasks.
pub fn charge(vault: &VaultId, epoch: EpochId) -> TaskId {
    TaskId(Digest::of("symphony/candidate-charge/v1", &(vault, epoch)))
}

/// Whether an entry of a Vault's ledger that was made then is the charge of a report.
pub fn charged(governance: &Governance, vault: &VaultId, task: &TaskId, at: OrderedMillis) -> bool {
    let made = governance.epoch_of(at).0;
    let from = made.saturating_sub(u64::from(EPOCHS_KEPT_MAX) + 1);
    (from..=made).any(|epoch| charge(vault, EpochId(epoch)) == *task)
}

/// Whether a report can be taken. **Errors**: `ADM-0012` of no Vault that takes part, `VLT-0018`, `VLT-0022`, `VLT-0023` of one that does no
/// more; `ADM-0002` when it did not sign it; `GOV-0002` while the epoch goes on; `GOV-0023` when it is over for too long, or the policy
/// pools nothing; `ADM-0001` when there is nothing in it, too much, or of too few people.
pub fn check(governance: &Governance, at: OrderedMillis, report: &SignedReport) -> Result<(), Code> {
    let CandidateReport { vault, epoch, policy, candidates } = &report.body;
    if !report.verify(&governance.registry.serving(vault)?.key) {
        return Err(Code::Unauthenticated);
    }
    let now = governance.epoch_of(at);
    if *epoch >= now {
        return Err(Code::EpochOpen);
    }
    if *policy != governance.calendar.version_in(*epoch) {
        return Err(Code::Malformed);
    }
    let pooled = governance.policy_in(*epoch).candidates.as_ref();
    let pooled = pooled.filter(|pooled| epoch.0.saturating_add(u64::from(pooled.epochs_kept)) >= now.0);
    let pooled = pooled.ok_or(Code::CandidatesClosed)?;
    let sizes = 1..=CANDIDATES_PER_REPORT_MAX;
    let enough = candidates.values().all(|found| found.people >= u64::from(pooled.people_min));
    if sizes.contains(&candidates.len()) && enough { Ok(()) } else { Err(Code::Malformed) }
}

/// A candidate of enough Vaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pooled {
    /// Its name.
    pub name: AttributeName,
    /// The kind of its values.
    pub kind: LocalKind,
    /// Vaults that found this kind.
    pub vaults: u32,
    /// Vaults that found another under the name.
    pub vaults_other: u32,
    /// The sum of their counts of people.
    pub people: u64,
    /// The sum of their counts of people whose values have another kind.
    pub others: u64,
    /// The sum of their counts of records.
    pub records: u64,
    /// Epochs in a row, up to this one, in which enough Vaults found it.
    pub epochs: u32,
}

impl Pooled {
    /// Which part of the people has values of this kind.
    pub fn agreement(&self) -> Bps {
        let (own, all) = (u128::from(self.people), u128::from(self.people) + u128::from(self.others));
        let part = (own * u128::from(Bps::WHOLE.0)).checked_div(all).unwrap_or(0);
        Bps(u16::try_from(part).unwrap_or(Bps::WHOLE.0))
    }
}

/// The pool of an epoch, by name and kind: what at least so many Vaults found, by their reports of it and of those before.
pub fn pool<'a>(
    reports: impl IntoIterator<Item = &'a CandidateReport>,
    epoch: EpochId,
    vaults_min: u32,
) -> Vec<Pooled> {
    let mut epochs: BTreeMap<EpochId, BTreeMap<&VaultId, &CandidateReport>> = BTreeMap::new();
    for report in reports {
        epochs.entry(report.epoch).or_default().insert(&report.vault, report);
    }
    let mut pooled = match epochs.get(&epoch) {
        Some(reports) => found(reports.values().copied(), vaults_min),
        None => return Vec::new(),
    };
    let mut known: BTreeSet<_> = pooled.iter().map(|one| (one.name.clone(), one.kind)).collect();
    for earlier in (0..epoch.0).rev().map(EpochId) {
        let before = epochs
            .get(&earlier)
            .map_or_else(Vec::new, |reports| found(reports.values().copied(), vaults_min));
        let before: BTreeSet<_> = before.into_iter().map(|one| (one.name, one.kind)).collect();
        known.retain(|one| before.contains(one));
        if known.is_empty() {
            break;
        }
        let still = pooled.iter_mut().filter(|one| known.contains(&(one.name.clone(), one.kind)));
        still.for_each(|one| one.epochs = one.epochs.saturating_add(1));
    }
    pooled
}

/// What at least so many Vaults found in one epoch, by name and kind.
fn found<'a>(reports: impl Iterator<Item = &'a CandidateReport>, vaults_min: u32) -> Vec<Pooled> {
    let mut sums: BTreeMap<(&AttributeName, LocalKind), Pooled> = BTreeMap::new();
    let mut vaults: BTreeMap<&AttributeName, u32> = BTreeMap::new();
    for (name, found) in reports.flat_map(|report| &report.candidates) {
        let Found { kind, people, others, records } = *found;
        let sum = sums.entry((name, kind)).or_insert_with(|| Pooled {
            name: name.clone(),
            kind,
            vaults: 0,
            vaults_other: 0,
            people: 0,
            others: 0,
            records: 0,
            epochs: 1,
        });
        sum.vaults = sum.vaults.saturating_add(1);
        sum.people = sum.people.saturating_add(people);
        sum.others = sum.others.saturating_add(others);
        sum.records = sum.records.saturating_add(records);
        let all = vaults.entry(name).or_default();
        *all = all.saturating_add(1);
    }
    let shown = sums.into_iter().filter(|(_, sum)| sum.vaults >= vaults_min);
    let shown = shown.map(|((name, _), sum)| {
        let all = vaults.get(name).copied().unwrap_or(sum.vaults);
        Pooled { vaults_other: all.saturating_sub(sum.vaults), ..sum }
    });
    shown.collect()
}

/// Records of one person and name that count.
const RECORDS: core::ops::RangeInclusive<u32> = 1..=1_000;
/// Epochs that reports can be kept for.
const EPOCHS_KEPT_MAX: u32 = 16;
/// Scales of the noise that the least number of people is away from one person.
const SCALES_APART: u128 = 12;
