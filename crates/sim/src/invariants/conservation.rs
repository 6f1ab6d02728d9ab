//! No balance is off by one: every state is what adding up the decided transfers gives, and the sum never changes.

use std::collections::BTreeMap;

use super::once::transfers;
use super::{Invariant, Seen};
use crate::bank::{ACCOUNTS, BALANCE};

/// Balances after each height, kept apart from the machine.
pub(super) struct Conservation(BTreeMap<u64, BTreeMap<u8, u64>>);

impl Default for Conservation {
    fn default() -> Self {
        Self(BTreeMap::from([(0, (0..ACCOUNTS).map(|account| (account, BALANCE)).collect())]))
    }
}

impl Invariant for Conservation {
    fn name(&self) -> &'static str {
        "conservation"
    }

    fn check(&mut self, seen: &Seen<'_>) -> Result<(), String> {
        let Some(commit) = seen.decided else { return Ok(()) };
        for sealed in &commit.blocks {
            let Some(before) = self.0.get(&(sealed.height - 1)) else { continue };
            if self.0.contains_key(&sealed.height) {
                continue;
            }
            let mut after = before.clone();
            for transfer in transfers(&sealed.block) {
                let payer = after.entry(transfer.from).or_default();
                *payer = payer.checked_sub(transfer.amount).ok_or_else(|| {
                    format!("height {} takes more than account {} has", sealed.height, transfer.from)
                })?;
                *after.entry(transfer.to).or_default() += transfer.amount;
            }
            self.0.insert(sealed.height, after);
        }
        let sum: u64 = commit.state.accounts.values().sum();
        if sum != u64::from(ACCOUNTS) * BALANCE {
            return Err(format!(
                "host {} holds {sum} in all at height {}",
                seen.stepped.id, commit.place.height
            ));
        }
        match self.0.get(&commit.place.height) {
            Some(balances) if *balances != commit.state.accounts => Err(format!(
                "host {} has {:?} at height {}, the transfers give {balances:?}",
                seen.stepped.id, commit.state.accounts, commit.place.height
            )),
            _ => Ok(()),
        }
    }
}
