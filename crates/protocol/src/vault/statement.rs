//! What a Vault tells the masters of its budget ledger, for reconciliation (R071): entries by task, with sizes as buckets and
//! never a person.

use symphony_types::epsilon::Epsilon;
use symphony_types::id::{TaskId, VaultId};
use symphony_types::limits::LEDGER_PAGE_MAX;

use super::ledger::{EntryState, Ledger, LedgerEntry};
use crate::artifact::Bucket;
use crate::artifact::adjustment::{BudgetLine, BudgetQuery, BudgetStanding, BudgetStatement, BudgetTotals};

/// The page of a ledger that is asked for.
pub fn statement(vault: &VaultId, ledger: &Ledger, query: &BudgetQuery) -> BudgetStatement {
    let asked = |task: &TaskId, entry: &LedgerEntry| match query.only {
        Some(only) => *task == only,
        None => {
            query.after.is_none_or(|after| *task > after)
                && (entry.reserved_at >= query.since || holds(&entry.state))
        }
    };
    let mut lines = ledger.entries().filter(|(task, entry)| asked(task, entry));
    let page = lines.by_ref().take(LEDGER_PAGE_MAX).map(|(task, entry)| line(*task, entry)).collect();
    let mut totals = BudgetTotals::default();
    for (_, entry) in ledger.entries() {
        let place = BudgetStanding::ALL.iter().position(|one| *one == standing(&entry.state));
        if let Some(count) = place.and_then(|place| totals.entries.get_mut(place)) {
            *count = count.saturating_add(1);
        }
    }
    BudgetStatement {
        vault: vault.clone(),
        query: query.clone(),
        lines: page,
        more: lines.next().is_some(),
        totals,
    }
}

fn line(task: TaskId, entry: &LedgerEntry) -> BudgetLine {
    let spent = match &entry.state {
        EntryState::Committed { .. } => entry.epsilon,
        EntryState::Drawing(draw) | EntryState::Drawn { draw, .. } => draw.spent,
        EntryState::Reserved | EntryState::Released { .. } | EntryState::Expired { .. } => Epsilon::ZERO,
    };
    BudgetLine {
        task,
        preparation: entry.preparation,
        epsilon: entry.epsilon,
        spent,
        people: Bucket::of(entry.reserved.set().len()),
        standing: standing(&entry.state),
        reserved_at: entry.reserved_at,
        deadline: entry.deadline,
    }
}

const fn standing(state: &EntryState) -> BudgetStanding {
    match state {
        EntryState::Reserved => BudgetStanding::Reserved,
        EntryState::Drawing(_) => BudgetStanding::Drawing,
        EntryState::Committed { .. } => BudgetStanding::Committed,
        EntryState::Drawn { .. } => BudgetStanding::Drawn,
        EntryState::Released { .. } => BudgetStanding::Released,
        EntryState::Expired { .. } => BudgetStanding::Expired,
    }
}

const fn holds(state: &EntryState) -> bool {
    matches!(state, EntryState::Reserved | EntryState::Drawing(_))
}

#[cfg(test)]
mod tests {
    use symphony_types::digest::Digest;
    use symphony_types::id::{PolicyVersion, UsageScope};
    use symphony_types::subjects::SubjectSet;
    use symphony_types::time::OrderedMillis;

    use super::*;
    use crate::vault::ledger::Reservation;

    /// R071: a ledger of any length is told in pages of a limited one, each entry once.
    #[test]
    fn a_long_ledger_is_told_in_pages() {
        let mut ledger = Ledger::default();
        let entries = u32::try_from(2 * LEDGER_PAGE_MAX + 3).unwrap();
        for name in 0..entries {
            let reservation = Reservation {
                scope: UsageScope::new("marketing").unwrap(),
                policy: PolicyVersion(1),
                epsilon: Epsilon(1),
                preparation: Digest::ZERO,
                subjects: SubjectSet::default(),
                deadline: OrderedMillis(9),
            };
            ledger.reserve(TaskId(Digest::of("test/entry", &name)), reservation, OrderedMillis(1));
        }
        let vault = VaultId::new("north").unwrap();
        let mut query = BudgetQuery { nonce: Digest::ZERO, since: OrderedMillis(0), after: None, only: None };
        let mut told = alloc::vec::Vec::new();
        for pages in 1.. {
            let page = statement(&vault, &ledger, &query);
            assert!(page.lines.len() <= LEDGER_PAGE_MAX);
            assert_eq!(page.totals.entries, [u64::from(entries), 0, 0, 0, 0, 0]);
            query.after = page.lines.last().map(|line| line.task);
            told.extend(page.lines.into_iter().map(|line| line.task));
            if !page.more {
                assert_eq!(pages, 3);
                break;
            }
        }
        assert!(told.iter().eq(ledger.entries().map(|(task, _)| task)));
    }
}
