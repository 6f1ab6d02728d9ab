//! Conservation to the last unit, staking, wallets and the minimum of payees.

use alloc::vec;

use proptest::prelude::*;

use super::*;

fn account(byte: u32) -> AccountId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&byte.to_be_bytes());
    AccountId(Digest(bytes))
}

fn task(byte: u8) -> TaskId {
    TaskId(Digest([byte; 32]))
}

fn request(shares: Vec<(TaskId, Sym)>, carried_in: Sym, staked: Vec<AccountId>) -> DividendRequest {
    let vault = VaultId::new("north").unwrap();
    DividendRequest { vault, epoch: EpochId(4), shares, carried_in, payees_min: 2, staked }
}

fn usage(records: &[(u32, u32)]) -> Usage {
    let records = records.iter().map(|(subject, count)| (SubjectIndex(*subject), *count)).collect();
    Usage { epsilon: Epsilon(10), records }
}

const TERMS: Terms = Terms { payees_min: 2, unstaked: Bps(5_000) };

/// R161, R162
#[test]
fn the_staked_get_all_the_unstaked_half_and_those_without_a_wallet_nothing() {
    let used = [(task(1), usage(&[(0, 1), (1, 1), (2, 2)]))].into();
    let asked = request(vec![(task(1), Sym(400)), (task(2), Sym(7))], Sym(0), vec![account(1)]);
    let wallet = |subject: SubjectIndex| (subject.0 != 2).then(|| account(1 - subject.0));
    let closing = close(&asked, TERMS, &Carried::default(), &used, wallet).unwrap();
    let paid: Vec<_> = closing.leaves.iter().map(|leaf| (leaf.account, leaf.index, leaf.amount)).collect();
    assert_eq!(paid, [(account(0), 0, Sym(50)), (account(1), 1, Sym(100))]);
    let Closing { statement, leaves, .. } = closing;
    let parts = (statement.allotted, statement.total, statement.pool_return, statement.carried);
    assert_eq!(parts, (Sym(407), Sym(150), Sym(257), Sym(0)));
    let tree = hashes(&leaves);
    let path = merkle::inclusion_proof(&tree, 1).unwrap();
    assert!(merkle::verify_inclusion(statement.root, tree[1], 1, statement.payees, &path));
}

/// D7
#[test]
fn a_tree_of_too_few_is_carried_whole_and_paid_later() {
    let used: BTreeMap<_, _> = [(task(1), usage(&[(0, 1)])), (task(2), usage(&[(1, 1)]))].into();
    let wallet = |subject: SubjectIndex| Some(account(subject.0));
    let first = request(vec![(task(1), Sym(100))], Sym(0), vec![]);
    let first = close(&first, TERMS, &Carried::default(), &used, wallet).unwrap();
    assert_eq!((first.statement.payees, first.statement.carried), (0, Sym(100)));
    assert_eq!(first.statement.root, merkle::root(&[]));
    let next = request(vec![(task(2), Sym(50))], Sym(100), vec![account(0), account(1)]);
    let next = close(&next, TERMS, &first.carried, &used, wallet).unwrap();
    let paid: Vec<_> = next.leaves.iter().map(|leaf| leaf.amount).collect();
    assert_eq!(paid, [Sym(100), Sym(50)]);
    let wrong = request(vec![], Sym(99), vec![]);
    assert_eq!(close(&wrong, TERMS, &first.carried, &used, wallet), Err(Code::Malformed));
}

proptest! {
    /// R158
    #[test]
    fn what_was_allotted_is_paid_returned_or_carried(
        shares in proptest::collection::vec(0u64..1_000_000, 0..6),
        people in proptest::collection::vec((0u32..20, 1u32..9), 0..40),
        wallets in 0u32..20,
        staked in 0u32..20,
    ) {
        let people: BTreeMap<u32, u32> = people.into_iter().collect();
        let people: Vec<_> = people.into_iter().collect();
        let used = (0..3).map(|name| (task(name), usage(&people))).collect();
        let shares: Vec<_> = (0..).map(task).zip(shares.into_iter().map(Sym)).collect();
        let staked = (0..staked).map(account).collect();
        let wallet = |subject: SubjectIndex| (subject.0 < wallets).then(|| account(subject.0 / 2));
        let closing = close(&request(shares, Sym(0), staked), TERMS, &Carried::default(), &used, wallet).unwrap();
        let Closing { statement, leaves, carried } = closing;
        let parts = [statement.total, statement.pool_return, statement.carried];
        prop_assert_eq!(amount::sum(parts), Some(statement.allotted));
        prop_assert_eq!(amount::sum(leaves.iter().map(|leaf| leaf.amount)), Some(statement.total));
        prop_assert!(leaves.is_empty() || leaves.len() >= 2);
        let waits = amount::sum(carried.people.iter().map(|(_, sum)| *sum)).unwrap();
        prop_assert_eq!(waits.checked_add(carried.unattributed), Some(statement.carried));
    }
}
