//! Payout batches and dividend claims.

use symphony_chain::ledger::query::{Answer, Query, answer};
use symphony_chain::ledger::{Abort, Event};
use symphony_chain::transaction::{Anchor, Call, Carry, Payee, PayoutBatch, RecipientClass, Subsidy};
use symphony_types::amount::Sym;
use symphony_types::dividend::DividendLeaf;
use symphony_types::id::EpochId;

use crate::world::*;

/// R150, R161, R169, R176, R177, D3, D5
#[test]
fn a_batch_pays_exactly_what_it_charges() {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    world.call(PAYOUT, Call::Payout(campaign(lock))).unwrap();
    assert_eq!(world.balance(SUBMITTER), 760);
    assert_eq!(world.balance(OPERATOR), 1_055);
    assert_eq!(world.balance(EXECUTOR), 1_040);
    let Answer::Funds(funds) = answer(&world.state, world.now, &Query::Funds) else { panic!() };
    assert_eq!((funds.treasury, funds.pool), (Sym(518), Sym(62)));
    assert_eq!(answer(&world.state, world.now, &Query::Carry(vault("south"))), Answer::Carry(Sym(15)));
    let anchor = Anchor { task: task("campaign"), settlement_root: digest("root") };
    assert_eq!(
        answer(&world.state, world.now, &Query::Anchor(task("campaign"))),
        Answer::Anchor(Some(anchor))
    );
    let Answer::Epoch(records) = answer(&world.state, world.now, &Query::Epoch(EpochId(7))) else { panic!() };
    let totals = &records[0].totals;
    assert_eq!((totals.charged, totals.refunded), (Sym(240), Sym(60)));
    assert_eq!(totals.classes[&RecipientClass::Contributor], Sym(100));
    assert_eq!(totals.classes[&RecipientClass::Aggregator], Sym(10));
}

/// R169, R177: the events of a batch are what an explorer of the chain sees, per-class amounts included.
#[test]
fn the_events_of_a_batch_are_pinned() {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    let receipt = world.call(PAYOUT, Call::Payout(campaign(lock))).unwrap();
    insta::assert_debug_snapshot!("batch_events", receipt);
}

/// R172: no double pay, whatever a payout service that crashed sends again.
#[test]
fn a_batch_pays_once() {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    world.call(PAYOUT, Call::Payout(campaign(lock))).unwrap();
    let paid = world.balance(OPERATOR);
    let again = world.call(PAYOUT, Call::Payout(campaign(lock))).unwrap();
    assert_eq!(again.events, []);
    assert_eq!(world.balance(OPERATOR), paid);
    let other = PayoutBatch { pool_return: Sym(11), ..campaign(lock) };
    assert_eq!(world.call(PAYOUT, Call::Payout(other)), Err(Abort::BatchConflict));
    let renamed = PayoutBatch { batch_id: digest("other"), ..campaign(lock) };
    assert_eq!(world.call(PAYOUT, Call::Payout(renamed)), Err(Abort::LockClosed));
}

/// R176: rejected before execution.
#[test]
fn a_batch_of_refunds_alone_is_right() {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    let refund = PayoutBatch { settlements: vec![settlement(lock, "rejected", 0, 300)], ..empty_batch("b") };
    world.call(PAYOUT, Call::Payout(refund)).unwrap();
    assert_eq!(world.balance(SUBMITTER), 1_000);
    world.call(PAYOUT, Call::Payout(empty_batch("nothing"))).unwrap();
}

/// R176: failed during execution.
#[test]
fn a_lock_can_be_released_in_part() {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    let part = PayoutBatch {
        settlements: vec![settlement(lock, "failed", 1, 299)],
        treasury: Sym(1),
        ..empty_batch("b")
    };
    world.call(PAYOUT, Call::Payout(part)).unwrap();
    assert_eq!(world.balance(SUBMITTER), 999);
}

/// R085, D11: subsidies come out of the incentives pool while it lasts, then out of the treasury, and are paid like a charge;
/// a task is paid for once, by a lock or by a subsidy.
#[test]
fn subsidies_come_from_the_pool_and_then_from_the_treasury() {
    let mut world = World::new();
    let funds = |world: &World| {
        let Answer::Funds(funds) = answer(&world.state, world.now, &Query::Funds) else { panic!() };
        (funds.incentives, funds.treasury)
    };
    let subsidised = |id: &str, amount: u64| PayoutBatch {
        subsidies: vec![Subsidy { task: task(id), amount: Sym(amount) }],
        payees: vec![Payee {
            account: account(OPERATOR),
            class: RecipientClass::VaultOperator,
            amount: Sym(amount),
        }],
        ..empty_batch(id)
    };
    assert_eq!(funds(&world), (Sym(70), Sym(500)));
    let receipt = world.call(PAYOUT, Call::Payout(subsidised("first", 60))).unwrap();
    assert_eq!((funds(&world), world.balance(OPERATOR)), ((Sym(10), Sym(500)), 1_060));
    world.call(PAYOUT, Call::Payout(subsidised("second", 60))).unwrap();
    assert_eq!((funds(&world), world.balance(OPERATOR)), ((Sym(0), Sym(450)), 1_120));
    let again = world.call(PAYOUT, Call::Payout(subsidised("second", 60))).unwrap();
    assert_eq!((again.events.len(), world.balance(OPERATOR)), (0, 1_120));
    assert_eq!(world.call(PAYOUT, Call::Payout(subsidised("third", 451))), Err(Abort::SubsidyTooLarge));
    assert_eq!(funds(&world), (Sym(0), Sym(450)), "nothing is taken");
    let unpaid = PayoutBatch { payees: vec![], ..subsidised("fourth", 5) };
    assert_eq!(world.call(PAYOUT, Call::Payout(unpaid)), Err(Abort::BatchUnbalanced));
    let lock = world.lock("request", 300);
    let both = PayoutBatch { settlements: vec![settlement(lock, "fifth", 0, 300)], ..subsidised("fifth", 5) };
    assert_eq!(world.call(PAYOUT, Call::Payout(both)), Err(Abort::EntryRepeated));
    assert_eq!(receipt.events.len(), 3, "subsidised, paid, recorded");
}

/// R176: an expired lock that nobody has taken back can still be settled.
#[test]
fn settlement_and_reclaim_exclude_each_other() {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    world.wait(LOCK_MS);
    world.call(PAYOUT, Call::Payout(campaign(lock))).unwrap();
    assert_eq!(world.call(SUBMITTER, Call::EscrowReclaim { lock }), Err(Abort::LockClosed));
    let lock = world.lock("second", 300);
    world.wait(LOCK_MS);
    world.call(SUBMITTER, Call::EscrowReclaim { lock }).unwrap();
    let late = PayoutBatch { settlements: vec![settlement(lock, "late", 0, 300)], ..empty_batch("late") };
    assert_eq!(world.call(PAYOUT, Call::Payout(late)), Err(Abort::LockClosed));
}

/// D7, R177: what was too small for a tree is paid in a later epoch, to the unit.
#[test]
fn carried_dividends_are_paid_later() {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    world.call(PAYOUT, Call::Payout(campaign(lock))).unwrap();
    let draw = |amount| PayoutBatch {
        epoch: EpochId(8),
        treasury: Sym(amount),
        carries: vec![Carry { vault: vault("south"), into: Sym::ZERO, out_of: Sym(amount) }],
        ..empty_batch("epoch 8")
    };
    assert_eq!(world.call(PAYOUT, Call::Payout(draw(16))), Err(Abort::CarryTooSmall));
    world.call(PAYOUT, Call::Payout(draw(15))).unwrap();
    assert_eq!(answer(&world.state, world.now, &Query::Carry(vault("south"))), Answer::Carry(Sym::ZERO));
}

/// D7
#[test]
fn every_producer_claims_its_dividend_once() {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    world.call(PAYOUT, Call::Payout(campaign(lock))).unwrap();
    for (index, name) in PRODUCERS.into_iter().enumerate() {
        world.call(name, claiming(&leaves(), index)).unwrap();
        assert_eq!(world.balance(name), 1_000 + 10 * (index as u64 + 1));
        assert_eq!(world.call(name, claiming(&leaves(), index)), Err(Abort::AlreadyClaimed));
        let claimed =
            answer(&world.state, world.now, &Query::Claimed(vault("north"), EpochId(7), index as u64));
        assert_eq!(claimed, Answer::Claimed(true));
    }
    let Answer::Tree(Some(tree)) = answer(&world.state, world.now, &Query::Tree(vault("north"), EpochId(7)))
    else {
        panic!()
    };
    assert_eq!((tree.total, tree.unclaimed), (Sym(100), Sym::ZERO));
}

/// D7
#[test]
fn nobody_claims_anothers_dividend_or_another_amount() {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    world.call(PAYOUT, Call::Payout(campaign(lock))).unwrap();
    assert_eq!(world.call(PRODUCERS[1], claiming(&leaves(), 0)), Err(Abort::ClaimInvalid));
    let Call::ClaimDividend { vault, epoch, index, path, .. } = claiming(&leaves(), 0) else { panic!() };
    let more = Call::ClaimDividend { vault, epoch, index, amount: Sym(11), path };
    assert_eq!(world.call(PRODUCERS[0], more), Err(Abort::ClaimInvalid));
}

/// D7, R182: a Vault that promises more than it pays in harms only its own producers.
#[test]
fn claims_never_exceed_the_trees_total() {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    let lying: Vec<_> = leaves().into_iter().map(|leaf| DividendLeaf { amount: Sym(60), ..leaf }).collect();
    let mut batch = campaign(lock);
    batch.dividends[0].root = tree(&lying).root;
    world.call(PAYOUT, Call::Payout(batch)).unwrap();
    world.call(PRODUCERS[0], claiming(&lying, 0)).unwrap();
    assert_eq!(world.call(PRODUCERS[1], claiming(&lying, 1)), Err(Abort::TreeOverdrawn));
}

/// R182: the events of every contract follow their transaction.
#[test]
fn receipts_hold_the_events_without_the_execution_itself() {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    let receipt = world.call(PAYOUT, Call::Payout(campaign(lock))).unwrap();
    assert!(receipt.events.iter().all(|event| !matches!(event, Event::Executed { .. })));
    assert_eq!(receipt.version, 2);
}
