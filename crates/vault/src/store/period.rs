//! The rows of the days on which uploaded records arrived, and of what has ended because it was kept for its time (R076, R080).
//!
//! Records arrive in order of time, so those of a day follow each other, and those that have ended are the first of all.

use redb::{ReadableTable as _, TableDefinition, WriteTransaction};
use symphony_types::time::OrderedMillis;

use super::View;
use crate::problem::Problem;

/// A day on which records arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its position among all, and the slot of its key.
    pub number: u32,
    /// Days since 1970.
    pub day: u64,
    /// The arrival of its first record.
    pub first: u64,
}

impl Period {
    /// When it began.
    pub fn begins(&self) -> OrderedMillis {
        OrderedMillis(self.day.saturating_mul(DAY_MS))
    }
}

/// What has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Records: the first ones that arrived.
    pub arrivals: u64,
    /// Periods: the first ones that there were.
    pub periods: u32,
    /// Of how many of the records what was sealed is out of the rows.
    pub emptied: u64,
}

/// Notes on which day the record of arrival `first` came in, unless its period is known. **Errors**: storage.
pub(super) fn put_period(
    transaction: &WriteTransaction,
    (number, day): (u32, u64),
    first: u64,
) -> Result<(), redb::Error> {
    let mut periods = transaction.open_table(PERIODS)?;
    if periods.get(number)?.is_none() {
        periods.insert(number, (day, first))?;
    }
    Ok(())
}

/// What has ended, in place of what had. **Errors**: storage.
pub fn put_ended(transaction: &WriteTransaction, ended: &Ended) -> Result<(), redb::Error> {
    let Ended { arrivals, periods, emptied } = *ended;
    transaction.open_table(ENDED)?.insert((), (arrivals, periods, emptied))?;
    Ok(())
}

/// Makes the tables. **Errors**: storage.
pub(super) fn make(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(PERIODS)?;
    transaction.open_table(ENDED)?;
    Ok(())
}

impl View {
    /// The periods from a number on, in order. **Errors**: storage.
    pub fn periods(&self, from: u32) -> Result<Vec<Period>, Problem> {
        let table = self.transaction.open_table(PERIODS).map_err(redb::Error::from)?;
        let mut periods = Vec::new();
        for row in table.range(from..).map_err(redb::Error::from)? {
            let (number, row) = row.map_err(redb::Error::from)?;
            let (day, first) = row.value();
            periods.push(Period { number: number.value(), day, first });
        }
        Ok(periods)
    }

    /// The latest period. **Errors**: storage.
    pub fn last_period(&self) -> Result<Option<Period>, Problem> {
        let table = self.transaction.open_table(PERIODS).map_err(redb::Error::from)?;
        let last = table.last().map_err(redb::Error::from)?;
        Ok(last.map(|(number, row)| {
            let (day, first) = row.value();
            Period { number: number.value(), day, first }
        }))
    }

    /// What has ended. **Errors**: storage.
    pub fn ended(&self) -> Result<Ended, Problem> {
        let table = self.transaction.open_table(ENDED).map_err(redb::Error::from)?;
        let row = table.get(()).map_err(redb::Error::from)?;
        Ok(row.map_or_else(Ended::default, |row| {
            let (arrivals, periods, emptied) = row.value();
            Ended { arrivals, periods, emptied }
        }))
    }
}

/// Milliseconds of a day.
pub const DAY_MS: u64 = 86_400_000;

const PERIODS: TableDefinition<'static, u32, (u64, u64)> = TableDefinition::new("vault/periods");
const ENDED: TableDefinition<'static, (), (u64, u32, u64)> = TableDefinition::new("vault/ended");
