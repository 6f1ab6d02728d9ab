//! The dividends of one Vault and epoch: who is paid for the use of their records (R161, R162, D7).
//!
//! Each task's contributor share is split over the people it evaluated by records used times epsilon; a person's
//! sum goes to its wallet, whole when staked, in part when not. A tree that would name too few people is carried to
//! the next epoch whole, with its attribution kept inside the Vault. To the last base unit
//! `allotted = total + pool_return + carried` (R158).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use symphony_types::amount::{self, Bps, Sym};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::dividend::DividendLeaf;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AccountId, EpochId, TaskId, VaultId};
use symphony_types::merkle;
use symphony_types::subjects::SubjectIndex;

use super::machine::ClosedEpoch;
use crate::artifact::{DividendRequest, DividendStatement};

/// What a task used of each person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Charged for each person.
    pub epsilon: Epsilon,
    /// Records used, by person in ascending order; people without any are absent.
    pub records: Vec<(SubjectIndex, u32)>,
}

/// Money that waits for an epoch with enough payees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// By person.
    pub people: Vec<(SubjectIndex, Sym)>,
    /// Of tasks that used nobody's records.
    pub unattributed: Sym,
}

/// What closing an epoch gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// For the master and the chain.
    pub statement: DividendStatement,
    /// For the producers' claims, sorted by account.
    pub leaves: Vec<DividendLeaf>,
    /// For the next epoch.
    pub carried: Carried,
}

/// The rules of one epoch that come from policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Fewer payees than this are not published.
    pub payees_min: u32,
    /// What unstaked producers get.
    pub unstaked: Bps,
}

/// Computes the dividends of an epoch.
///
/// **Errors**: `ADM-0001` when the request contradicts itself or what was carried.
pub fn close(
    request: &DividendRequest,
    terms: Terms,
    carried: &Carried,
    usage: &BTreeMap<TaskId, Usage>,
    wallet: impl Fn(SubjectIndex) -> Option<AccountId>,
) -> Result<Closing, Code> {
    let shares = request.shares.iter().map(|(_, share)| *share);
    let allotted = amount::sum(shares).and_then(|sum| sum.checked_add(request.carried_in));
    let allotted = allotted.ok_or(Code::Malformed)?;
    let waited = amount::sum(carried.people.iter().map(|(_, sum)| *sum));
    if waited.and_then(|sum| sum.checked_add(carried.unattributed)) != Some(request.carried_in)
        || !request.staked.is_sorted()
    {
        return Err(Code::Malformed);
    }
    let earned = attribute(request, carried, usage)?;
    let leaves = payees(&earned, &request.staked, terms.unstaked, wallet)?;
    let minimum = terms.payees_min.max(request.payees_min);
    let statement = |leaves: &[DividendLeaf], total: Sym, pool_return: Sym, carried: Sym| DividendStatement {
        vault: request.vault.clone(),
        epoch: request.epoch,
        allotted,
        root: merkle::root(&hashes(leaves)),
        payees: leaves.len() as u64,
        total,
        pool_return,
        carried,
    };
    if leaves.len() < minimum as usize {
        let statement = statement(&[], Sym::ZERO, Sym::ZERO, allotted);
        return Ok(Closing { statement, leaves: Vec::new(), carried: earned });
    }
    let total = amount::sum(leaves.iter().map(|leaf| leaf.amount)).ok_or(Code::Malformed)?;
    let pool_return = allotted.checked_sub(total).expect("invariant: nobody is paid more than was allotted");
    let statement = statement(&leaves, total, pool_return, Sym::ZERO);
    Ok(Closing { statement, leaves, carried: Carried::default() })
}

/// The leaf hashes of a tree.
pub fn hashes(leaves: &[DividendLeaf]) -> Vec<Digest> {
    leaves.iter().map(DividendLeaf::hash).collect()
}

/// Whether a statement may be noted: true when it is new, false when it is known. **Errors**: why not.
pub(crate) fn check_close(
    epochs: &BTreeMap<EpochId, ClosedEpoch>,
    vault: &VaultId,
    closed: &ClosedEpoch,
    carried_in: Sym,
) -> Result<bool, Code> {
    let statement = &closed.statement;
    if let Some(known) = epochs.get(&statement.epoch) {
        return if known == closed { Ok(false) } else { Err(Code::IdempotencyConflict) };
    }
    let last = epochs.last_key_value();
    if last.is_some_and(|(epoch, _)| *epoch > statement.epoch) {
        return Err(Code::IllegalTransition);
    }
    let waits = last.map(|(_, last)| last.statement.carried).unwrap_or_default();
    let parts = [statement.total, statement.pool_return, statement.carried];
    if statement.vault != *vault || waits != carried_in || amount::sum(parts) != Some(statement.allotted) {
        return Err(Code::Malformed);
    }
    Ok(true)
}

/// What each person earned, with what waited.
fn attribute(
    request: &DividendRequest,
    carried: &Carried,
    usage: &BTreeMap<TaskId, Usage>,
) -> Result<Carried, Code> {
    let mut people: BTreeMap<SubjectIndex, Sym> = BTreeMap::new();
    let mut unattributed = carried.unattributed;
    let mut earn = |subject: SubjectIndex, sum: Sym| {
        let earned = people.entry(subject).or_default();
        *earned = earned.checked_add(sum).ok_or(Code::Malformed)?;
        Ok::<_, Code>(())
    };
    for (subject, sum) in &carried.people {
        earn(*subject, *sum)?;
    }
    for (task, share) in &request.shares {
        let weights: Vec<_> = usage.get(task).map(weights).unwrap_or_default();
        match amount::split(*share, &weights) {
            Some(parts) => parts.into_iter().try_for_each(|(subject, part)| earn(subject, part))?,
            None => unattributed = unattributed.checked_add(*share).ok_or(Code::Malformed)?,
        }
    }
    Ok(Carried { people: people.into_iter().collect(), unattributed })
}

fn weights(usage: &Usage) -> Vec<(SubjectIndex, u64)> {
    let weight = |records: u32| u64::from(records).saturating_mul(usage.epsilon.0);
    usage.records.iter().map(|(subject, records)| (*subject, weight(*records))).collect()
}

/// Who is paid what; the rest of what they earned is not claimed by anybody.
fn payees(
    earned: &Carried,
    staked: &[AccountId],
    unstaked: Bps,
    wallet: impl Fn(SubjectIndex) -> Option<AccountId>,
) -> Result<Vec<DividendLeaf>, Code> {
    let mut accounts: BTreeMap<AccountId, Sym> = BTreeMap::new();
    for (subject, sum) in &earned.people {
        let Some(account) = wallet(*subject) else { continue };
        let entry = accounts.entry(account).or_default();
        *entry = entry.checked_add(*sum).ok_or(Code::Malformed)?;
    }
    let part = |account: &AccountId, sum: Sym| match staked.binary_search(account) {
        Ok(_) => Ok(sum),
        Err(_) => sum.share_floor(u64::from(unstaked.0), u64::from(Bps::WHOLE.0)).ok_or(Code::Malformed),
    };
    let mut leaves = Vec::with_capacity(accounts.len());
    for (account, sum) in accounts {
        let amount = part(&account, sum)?;
        if amount > Sym::ZERO {
            leaves.push(DividendLeaf { account, index: leaves.len() as u64, amount });
        }
    }
    Ok(leaves)
}

#[cfg(test)]
mod tests;
