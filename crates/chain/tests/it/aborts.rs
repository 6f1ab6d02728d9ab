//! Every abort is reached by a transaction, and their table is pinned.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use symphony_chain::ledger::Abort;
use symphony_chain::transaction::{
    Call, Carry, ChainId, PayoutBatch, RecipientClass, Subsidy, Tier, Transaction, VoteResult,
};
use symphony_types::amount::Sym;
use symphony_types::id::LockRef;
use symphony_types::limits::PAYOUT_ENTRIES_MAX;
use symphony_types::time::OrderedMillis;

use crate::world::*;

#[test]
fn the_table_of_aborts_is_pinned() {
    let mut table = String::new();
    for abort in Abort::ALL {
        let _ = writeln!(table, "{abort:?} {} {abort}", abort.code());
    }
    insta::assert_snapshot!("aborts", table);
}

/// R171, R174-R178: all rules that a transaction can break.
#[test]
fn every_abort_is_reached() {
    let mut seen = BTreeSet::new();
    for group in [envelope(), money(), stakes(), batches(), entries(), treasury(), council(), minting()] {
        for (expected, reached) in group {
            assert_eq!(reached, expected);
            seen.insert(reached);
        }
    }
    assert_eq!(seen, Abort::ALL.iter().copied().collect());
}

type Reached = Vec<(Abort, Abort)>;

fn pay(amount: u64) -> Call {
    Call::Transfer { to: account(OPERATOR), amount: Sym(amount) }
}

fn envelope() -> Reached {
    let mut world = World::new();
    let now = world.now;
    let sign = |name: &str, sequence, expires: OrderedMillis| {
        let chain = ChainId::new(name).unwrap();
        Transaction::sign(&wallet(SUBMITTER), chain, sequence, expires, pay(1))
    };
    world.submit(&sign("test", 0, now.plus(9))).unwrap();
    let mut forged = sign("test", 1, now.plus(9));
    forged.body.call = pay(100);
    let mut borrowed = sign("test", 1, now.plus(9)).body;
    borrowed.sender = account(OPERATOR);
    vec![
        (Abort::WrongChain, world.submit(&sign("other", 1, now.plus(9))).unwrap_err()),
        (Abort::SignatureInvalid, world.submit(&forged).unwrap_err()),
        (Abort::SignatureInvalid, world.submit(&wallet(SUBMITTER).sign(borrowed)).unwrap_err()),
        (Abort::Expired, world.submit(&sign("test", 1, now)).unwrap_err()),
        (Abort::ExpiryTooFar, world.submit(&sign("test", 1, now.plus(LIFE_MS + 1))).unwrap_err()),
        (Abort::SequenceUsed, world.submit(&sign("test", 0, now.plus(8))).unwrap_err()),
        (Abort::SequenceAhead, world.submit(&sign("test", 2, now.plus(9))).unwrap_err()),
    ]
}

fn money() -> Reached {
    let mut world = World::new();
    let lock = world.lock("held", 100);
    let mut fails = |name, call| world.call(name, call).unwrap_err();
    let short = Call::EscrowLock {
        request: digest("short"),
        amount: Sym(1),
        policy_version: symphony_types::id::PolicyVersion(1),
        expires: OrderedMillis(1_000_000 + LOCK_MS - 1),
    };
    let again = World::new().locking("held", 1);
    let mut reached = vec![
        (Abort::AmountZero, fails(SUBMITTER, pay(0))),
        (Abort::BalanceTooSmall, fails(SUBMITTER, pay(901))),
        (Abort::LockTooShort, fails(SUBMITTER, short)),
        (Abort::RequestLocked, fails(SUBMITTER, again)),
        (Abort::LockForeign, fails(OPERATOR, Call::EscrowReclaim { lock })),
        (Abort::LockRunning, fails(SUBMITTER, Call::EscrowReclaim { lock })),
        (Abort::LockUnknown, fails(SUBMITTER, Call::EscrowReclaim { lock: LockRef(digest("none")) })),
    ];
    world.wait(LOCK_MS);
    world.call(SUBMITTER, Call::EscrowReclaim { lock }).unwrap();
    reached.push((Abort::LockClosed, world.call(SUBMITTER, Call::EscrowReclaim { lock }).unwrap_err()));
    reached
}

fn stakes() -> Reached {
    let mut world = World::new();
    let (tier, name) = (Tier::Producer, PRODUCERS[0]);
    world.call(name, stake(150)).unwrap();
    let request = |amount| Call::StakeWithdrawRequest { tier, amount: Sym(amount) };
    let mut fails = |name, call| world.call(name, call).unwrap_err();
    let mut reached = vec![
        (Abort::StakeTooSmall, fails(PRODUCERS[1], stake(99))),
        (Abort::BalanceTooSmall, fails(PRODUCERS[1], stake(1_001))),
        (Abort::StakeTooSmall, fails(name, request(51))),
        (Abort::AmountZero, fails(name, request(0))),
        (Abort::StakeMissing, fails(name, request(151))),
        (Abort::StakeMissing, fails(name, Call::StakeWithdraw { tier })),
        (Abort::NotAuthorized, fails(name, slashing(name, 1, "r"))),
        (Abort::AmountZero, fails(SLASHER, slashing(name, 0, "r"))),
        (Abort::StakeMissing, fails(SLASHER, slashing(PRODUCERS[1], 1, "r"))),
    ];
    world.call(name, request(50)).unwrap();
    reached.push((Abort::CooldownRunning, world.call(name, Call::StakeWithdraw { tier }).unwrap_err()));
    world.call(SLASHER, slashing(name, 1, "r")).unwrap();
    reached.push((Abort::SlashRepeated, world.call(SLASHER, slashing(name, 1, "r")).unwrap_err()));
    reached
}

fn batches() -> Reached {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    let mut fails = |batch| world.call(PAYOUT, Call::Payout(batch)).unwrap_err();
    let with = |change: &dyn Fn(&mut PayoutBatch)| {
        let mut batch = campaign(lock);
        change(&mut batch);
        batch
    };
    let mut reached = vec![
        (Abort::SettlementUnbalanced, fails(with(&|batch| batch.settlements[0].refunded = Sym(61)))),
        (Abort::SettlementUnbalanced, fails(with(&|batch| batch.settlements[0].charged = Sym(u64::MAX)))),
        (Abort::LockUnknown, fails(with(&|batch| batch.settlements[0].lock = LockRef(digest("x"))))),
        (Abort::BatchUnbalanced, fails(with(&|batch| batch.treasury = Sym(19)))),
        (Abort::BatchUnbalanced, fails(with(&|batch| batch.treasury = Sym(u64::MAX)))),
        (Abort::BatchUnbalanced, fails(with(&|batch| batch.payees[0].amount = Sym(49)))),
        (Abort::PayeeClassWrong, fails(with(&|batch| batch.payees[0].class = RecipientClass::Contributor))),
        (Abort::PayeeClassWrong, fails(with(&|batch| batch.payees[0].class = RecipientClass::Treasury))),
        (Abort::TreeInvalid, fails(with(&|batch| batch.dividends[0].leaves = 1))),
        (Abort::TreeInvalid, fails(with(&|batch| batch.dividends[0].leaves = u64::MAX))),
    ];
    let outsider = world.call(SLASHER, Call::Payout(campaign(lock))).unwrap_err();
    reached.push((Abort::NotAuthorized, outsider));
    world.call(PAYOUT, Call::Payout(campaign(lock))).unwrap();
    let other = world.call(PAYOUT, Call::Payout(with(&|batch| batch.treasury = Sym(17)))).unwrap_err();
    reached.push((Abort::BatchConflict, other));
    reached
}

fn entries() -> Reached {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    world.call(PAYOUT, Call::Payout(campaign(lock))).unwrap();
    let lock = world.lock("second", 100);
    let mut fails = |batch| world.call(PAYOUT, Call::Payout(batch)).unwrap_err();
    let charge = |task_name| PayoutBatch {
        settlements: vec![settlement(lock, task_name, 100, 0)],
        ..empty_batch("second")
    };
    let south = Carry { vault: vault("south"), into: Sym::ZERO, out_of: Sym(16) };
    let many = payee(OPERATOR, RecipientClass::Verifier, 0);
    let mut reached = vec![
        (Abort::TaskSettled, fails(charge("campaign"))),
        (Abort::TreeExists, fails(PayoutBatch { dividends: vec![tree(&leaves())], ..charge("second") })),
        (
            Abort::SubsidyTooLarge,
            fails(PayoutBatch {
                subsidies: vec![Subsidy { task: task("free"), amount: Sym(10_000) }],
                treasury: Sym(10_100),
                ..charge("second")
            }),
        ),
        (
            Abort::CarryTooSmall,
            fails(PayoutBatch { carries: vec![south.clone()], treasury: Sym(116), ..charge("second") }),
        ),
        (
            Abort::EntryRepeated,
            fails(PayoutBatch { carries: vec![south.clone(), south], ..charge("second") }),
        ),
        (
            Abort::EntryRepeated,
            fails(PayoutBatch {
                settlements: vec![settlement(lock, "a", 0, 100), settlement(lock, "b", 0, 100)],
                ..empty_batch("twice")
            }),
        ),
        (
            Abort::AnchorExists,
            fails(PayoutBatch { anchors: campaign(lock).anchors, ..empty_batch("anchor") }),
        ),
        (
            Abort::BatchTooLarge,
            fails(PayoutBatch { payees: vec![many; PAYOUT_ENTRIES_MAX + 1], ..empty_batch("large") }),
        ),
    ];
    let Call::ClaimDividend { epoch, index, amount, path, .. } = claiming(&leaves(), 0) else { panic!() };
    let elsewhere = Call::ClaimDividend { vault: vault("west"), epoch, index, amount, path };
    reached.push((Abort::TreeUnknown, world.call(PRODUCERS[0], elsewhere).unwrap_err()));
    let anothers = world.call(PRODUCERS[1], claiming(&leaves(), 0)).unwrap_err();
    reached.push((Abort::ClaimInvalid, anothers));
    world.call(PRODUCERS[0], claiming(&leaves(), 0)).unwrap();
    let twice = world.call(PRODUCERS[0], claiming(&leaves(), 0)).unwrap_err();
    reached.push((Abort::AlreadyClaimed, twice));
    reached.push((Abort::TreeOverdrawn, overdrawn()));
    reached
}

fn overdrawn() -> Abort {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    let mut batch = campaign(lock);
    let mut lying = leaves();
    lying[0].amount = Sym(101);
    batch.dividends[0].root = tree(&lying).root;
    world.call(PAYOUT, Call::Payout(batch)).unwrap();
    world.call(PRODUCERS[0], claiming(&lying, 0)).unwrap_err()
}

fn treasury() -> Reached {
    let mut world = World::new();
    let used = world.accepted(1, "used");
    world.call(OPERATOR, releasing(used, &[20, 21])).unwrap();
    let (fresh, large) = (world.accepted(1, "fresh"), world.accepted(500, "large"));
    let mut fails = |call| world.call(OPERATOR, call).unwrap_err();
    let other_body = Call::TreasuryRelease {
        release: fresh.clone(),
        approvals: approvals(&release(2, "fresh"), &[20, 21]),
    };
    let mut elsewhere = fresh.clone();
    elsewhere.chain = ChainId::new("other").unwrap();
    vec![
        (Abort::ApprovalsMissing, fails(releasing(fresh.clone(), &[20]))),
        (Abort::ApprovalInvalid, fails(releasing(fresh.clone(), &[20, 23]))),
        (Abort::ApprovalInvalid, fails(releasing(fresh.clone(), &[20, 20]))),
        (Abort::ProposalUnknown, fails(releasing(release(1, "nobody's"), &[20, 21]))),
        (Abort::ProposalMismatch, fails(releasing(release(2, "fresh"), &[20, 21]))),
        (Abort::ApprovalInvalid, fails(other_body)),
        (Abort::WrongChain, fails(releasing(elsewhere, &[20, 21]))),
        (Abort::AmountZero, fails(releasing(release(0, "fresh"), &[20, 21]))),
        (Abort::ProposalUsed, fails(releasing(release(1, "used"), &[20, 21]))),
        (Abort::TreasuryTooSmall, fails(releasing(large, &[20, 21]))),
    ]
}

fn council() -> Reached {
    let mut world = World::new();
    let result = accepting(&world.accepted(1, "known"));
    let mut fails = |name, result| world.call(name, Call::RecordVote(result)).unwrap_err();
    vec![
        (Abort::NotAuthorized, fails(OPERATOR, result.clone())),
        (Abort::ProposalExists, fails(RECORDER, result.clone())),
        (Abort::VotesInvalid, fails(RECORDER, VoteResult { eligible: 0, ..result.clone() })),
        (Abort::VotesInvalid, fails(RECORDER, VoteResult { votes_against: 5, ..result.clone() })),
        (
            Abort::VotesInvalid,
            fails(RECORDER, VoteResult { votes_for: u64::MAX, votes_against: u64::MAX, ..result }),
        ),
    ]
}

fn minting() -> Reached {
    let mut world = World::new();
    let paying = |epoch, amount| Call::PayNodes { epoch, nodes: vec![(account(OPERATOR), Sym(amount))] };
    let mut reached = vec![(Abort::EpochRunning, world.call(OPERATOR, Call::MintEpoch).unwrap_err())];
    world.wait(4 * EPOCH_MS);
    for _ in 0..4 {
        world.call(OPERATOR, Call::MintEpoch).unwrap();
    }
    reached.push((Abort::ScheduleEnded, world.call(OPERATOR, Call::MintEpoch).unwrap_err()));
    world.call(PAYOUT, paying(0, 1)).unwrap();
    let mut fails = |name, call| world.call(name, call).unwrap_err();
    reached.extend([
        (Abort::NotAuthorized, fails(OPERATOR, paying(1, 1))),
        (Abort::ScheduleEnded, fails(PAYOUT, paying(4, 1))),
        (Abort::NodesPaid, fails(PAYOUT, paying(0, 1))),
        (Abort::PoolTooSmall, fails(PAYOUT, paying(1, u64::MAX))),
    ]);
    reached
}
