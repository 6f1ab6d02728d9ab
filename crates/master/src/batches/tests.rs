//! The batches are their set, to the unit and to the entry, whatever its size (R169, R172).

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use symphony_protocol::settlement::payout as set;
use symphony_types::canonical;
use symphony_types::id::{AccountId, EpochId, LockRef};

use super::*;

fn digest(kind: &str, number: u64) -> Digest {
    Digest::of(kind, &number)
}

fn vault(number: usize) -> VaultId {
    VaultId::new(&format!("vault-{number}")).unwrap()
}

/// A balanced set: locks and subsidies pay payees, trees, carries, pool and treasury, to the unit.
fn balanced(locks: u64, subsidies: u64, payees: u64, vaults: usize, drawn: u64) -> PayoutInstructionSet {
    let task = |kind: &str, number| TaskId(digest(kind, number));
    let settlements: Vec<_> = (0..locks)
        .map(|number| set::EscrowSettlement {
            task: task("lock", number),
            lock: LockRef(digest("lock-ref", number)),
            charged: Sym(1_000 + number % 7),
            refunded: Sym(number % 5),
        })
        .collect();
    let subsidised: Vec<_> = (0..subsidies)
        .map(|number| set::Subsidy { task: task("parse", number), amount: Sym(60 + number % 3) })
        .collect();
    let anchors = settlements.iter().map(|entry| entry.task).chain(subsidised.iter().map(|entry| entry.task));
    let anchors = anchors.map(|task| (task, Digest::of("root", &task))).collect();
    let charged: u64 = settlements.iter().map(|entry| entry.charged.0).sum();
    let paid: u64 = subsidised.iter().map(|entry| entry.amount.0).sum();
    let mut money = charged + paid;
    let mut take = |part: u64| {
        let amount = money / part;
        money -= amount;
        Sym(amount)
    };
    let mut carries: Vec<_> = (0..vaults)
        .step_by(2)
        .map(|number| set::Carry { vault: vault(number), into: take(50), out_of: Sym::ZERO })
        .collect();
    let mut dividends: Vec<_> = (0..vaults)
        .map(|number| set::DividendTree {
            vault: vault(number),
            root: digest("tree", number as u64),
            payees: 40,
            total: take(4),
        })
        .collect();
    if let (Some(carry), Some(tree)) = (carries.first_mut(), dividends.first_mut()) {
        carry.out_of = Sym(drawn);
        tree.total = Sym(tree.total.0 + drawn);
    }
    let pool_return = take(9);
    let share = money / (payees + 1);
    let payees: Vec<_> = (0..payees)
        .map(|number| set::Payee {
            account: AccountId(digest("payee", number)),
            class: [Class::VaultOperator, Class::Executor, Class::Verifier][(number % 3) as usize],
            amount: Sym(share),
        })
        .filter(|payee| payee.amount > Sym::ZERO)
        .collect();
    let treasury = Sym(money - payees.len() as u64 * share);
    PayoutInstructionSet {
        epoch: EpochId(3),
        settlements,
        subsidies: subsidised,
        payees,
        dividends,
        pool_return,
        treasury,
        carries,
        anchors,
        slashes: vec![],
    }
}

fn sum(amounts: impl Iterator<Item = Sym>) -> u64 {
    amounts.map(|amount| amount.0).sum()
}

/// What a batch takes and what it gives.
fn sides(batch: &PayoutBatch) -> (u64, u64) {
    let taken = sum(batch.settlements.iter().map(|entry| entry.charged))
        + sum(batch.subsidies.iter().map(|entry| entry.amount))
        + sum(batch.carries.iter().map(|entry| entry.out_of));
    let given = sum(batch.payees.iter().map(|entry| entry.amount))
        + sum(batch.dividends.iter().map(|entry| entry.total))
        + sum(batch.carries.iter().map(|entry| entry.into))
        + batch.pool_return.0
        + batch.treasury.0;
    (taken, given)
}

/// R169, R172: the batches together are the set, to the unit and to the entry.
fn check(set: &PayoutInstructionSet, parts: &[PayoutBatch]) {
    let mut carried: BTreeMap<VaultId, i128> = BTreeMap::new();
    let mut paid: BTreeMap<(AccountId, RecipientClass), u64> = BTreeMap::new();
    for part in parts {
        let (taken, given) = sides(part);
        assert_eq!(taken, given, "a batch pays what it charges");
        assert!(canonical::to_bytes(part).len() <= 64 * 1024 - 2_048, "a transaction holds the batch");
        let accounts = part.settlements.len() + part.payees.len();
        assert!(accounts <= ACCOUNTS_MAX, "{accounts} accounts");
        for carry in &part.carries {
            let kept = carried.entry(carry.vault.clone()).or_default();
            // What earlier epochs kept is there from the beginning.
            *kept -= i128::from(carry.out_of.0);
            *kept += i128::from(carry.into.0);
        }
        let named: BTreeSet<_> = part.carries.iter().map(|carry| &carry.vault).collect();
        assert_eq!(named.len(), part.carries.len(), "a Vault once a batch");
        for payee in &part.payees {
            assert!(payee.amount > Sym::ZERO);
            *paid.entry((payee.account, payee.class)).or_default() += payee.amount.0;
        }
    }
    let expected = set.payees.iter().map(|payee| ((payee.account, class(payee.class)), payee.amount.0));
    assert_eq!(paid, expected.collect());
    let mut wanted: BTreeMap<VaultId, i128> = BTreeMap::new();
    for carry in &set.carries {
        wanted.insert(carry.vault.clone(), i128::from(carry.into.0) - i128::from(carry.out_of.0));
    }
    carried.retain(|vault, kept| *kept != 0 || wanted.contains_key(vault));
    assert_eq!(carried, wanted);
    let all = |count: fn(&PayoutBatch) -> usize| parts.iter().map(count).sum::<usize>();
    assert_eq!(all(|part| part.settlements.len()), set.settlements.len());
    assert_eq!(all(|part| part.subsidies.len()), set.subsidies.len());
    assert_eq!(all(|part| part.dividends.len()), set.dividends.len());
    assert_eq!(sum(parts.iter().map(|part| part.pool_return)), set.pool_return.0);
    assert_eq!(sum(parts.iter().map(|part| part.treasury)), set.treasury.0);
    let anchors =
        parts.iter().flat_map(|part| &part.anchors).map(|anchor| (anchor.task, anchor.settlement_root));
    assert_eq!(anchors.collect::<BTreeMap<_, _>>(), set.anchors.iter().copied().collect());
    let ids: BTreeSet<_> = parts.iter().map(|part| part.batch_id).collect();
    assert_eq!(ids.len(), parts.len());
}

#[test]
fn an_epoch_that_fits_is_one_batch_under_the_name_of_its_set() {
    let set = balanced(20, 10, 30, 3, 5);
    let parts = batches(&set).unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].batch_id, set.digest());
    check(&set, &parts);
}

#[test]
fn nothing_to_pay_is_an_empty_batch() {
    let parts = batches(&balanced(0, 0, 0, 0, 0)).unwrap();
    assert_eq!((parts.len(), sides(&parts[0])), (1, (0, 0)));
}

#[test]
fn a_large_epoch_is_several_batches_that_balance_each() {
    let set = balanced(3_000, 2_000, 700, 40, 777);
    let parts = batches(&set).unwrap();
    assert!(parts.len() > 5, "{} parts", parts.len());
    check(&set, &parts);
    assert_eq!(batches(&set), Ok(parts), "the same set, the same batches");
}

#[test]
fn what_cannot_be_split_is_refused_whole() {
    let mut set = balanced(1, 0, 0, 0, 0);
    set.treasury = Sym::ZERO;
    set.pool_return = Sym::ZERO;
    let one = |number| set::Payee {
        account: AccountId(digest("payee", number)),
        class: Class::Executor,
        amount: Sym(1),
    };
    set.payees = (0..1_000).map(one).collect();
    assert_eq!(batches(&set), Err(SplitError::TooLarge));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn batches_are_their_set(
        locks in 0u64..900, subsidies in 0u64..900, payees in 0u64..400, vaults in 0usize..30, drawn in 0u64..1_000,
    ) {
        let set = balanced(locks, subsidies, payees, vaults, drawn);
        match batches(&set) {
            Ok(parts) => check(&set, &parts),
            Err(error) => prop_assert!(payees > 300 || vaults > 25, "{error}"),
        }
    }
}
