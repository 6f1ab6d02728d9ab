//! The rows behind reports of candidates for attributes: which records wait to be counted, and what was said of each epoch (R051, R213).
//!
//! A record waits from its arrival, if it has a column that no governed attribute is for, until the report that counts it.

use std::ops::Range;

use redb::{TableDefinition, WriteTransaction};
use symphony_protocol::governance::candidate::CandidateReport;
use symphony_types::canonical;
use symphony_types::id::EpochId;

use super::View;
use crate::problem::Problem;

/// A record that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its arrival.
    pub arrival: u64,
    /// Whose it is, and its position among the person's.
    pub place: (u32, u32),
}

/// Has records wait, as long as there are not too many. **Errors**: storage.
pub(super) fn put_waiting(
    transaction: &WriteTransaction,
    records: impl Iterator<Item = Waiting>,
) -> Result<(), redb::Error> {
    use redb::ReadableTableMetadata as _;
    let mut waiting = transaction.open_table(WAITING)?;
    let room = WAITING_MAX.saturating_sub(waiting.len()?);
    for Waiting { arrival, place } in records.take(usize::try_from(room).unwrap_or(usize::MAX)) {
        waiting.insert(arrival, place)?;
    }
    Ok(())
}

/// Keeps what was said of an epoch, of records before an arrival, which wait no more; reports of the epochs before `kept` go. **Errors**:
/// storage.
pub fn put_report(
    transaction: &WriteTransaction,
    report: &CandidateReport,
    before: u64,
    kept: EpochId,
) -> Result<(), redb::Error> {
    transaction.open_table(WAITING)?.retain_in(..before, |_, _| false)?;
    let mut reports = transaction.open_table(REPORTS)?;
    reports.retain_in(..kept.0, |_, _| false)?;
    reports.insert(report.epoch.0, canonical::to_bytes(report).as_slice())?;
    Ok(())
}

/// Makes the tables. **Errors**: storage.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(WAITING)?;
    transaction.open_table(REPORTS)?;
    Ok(())
}

impl View {
    /// The records that wait, by arrival. **Errors**: storage.
    pub fn waiting(&self, arrivals: Range<u64>) -> Result<Vec<Waiting>, Problem> {
        let table = self.transaction.open_table(WAITING).map_err(redb::Error::from)?;
        let mut waiting = Vec::new();
        for row in table.range(arrivals).map_err(redb::Error::from)? {
            let (arrival, place) = row.map_err(redb::Error::from)?;
            waiting.push(Waiting { arrival: arrival.value(), place: place.value() });
        }
        Ok(waiting)
    }

    /// What was said of an epoch. **Errors**: storage.
    pub fn report(&self, epoch: EpochId) -> Result<Option<CandidateReport>, Problem> {
        let table = self.transaction.open_table(REPORTS).map_err(redb::Error::from)?;
        let Some(row) = table.get(epoch.0).map_err(redb::Error::from)? else { return Ok(None) };
        bcs::from_bytes(row.value())
            .map(Some)
            .map_err(|error| Problem::fault("a report of candidates is damaged", error))
    }
}

/// Records that wait at most: what is more is counted in no report.
const WAITING_MAX: u64 = 1 << 20;

const WAITING: TableDefinition<'static, u64, (u32, u32)> = TableDefinition::new("vault/candidates-waiting");
const REPORTS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("vault/candidate-reports");
