//! What transactions do when they are right.

use symphony_chain::ledger::inflation::Schedule;
use symphony_chain::ledger::query::{Answer, Funds, Minting, Query, answer};
use symphony_chain::ledger::staking::{is_staked, staked};
use symphony_chain::ledger::{Abort, GenesisError, State};
use symphony_chain::transaction::{Call, Tier, Transaction, VoteResult};
use symphony_types::amount::{Bps, Sym};
use symphony_types::key::Document as _;

use crate::world::*;

/// R171, R172
#[test]
fn the_same_transaction_again_gives_the_same_receipt() {
    let mut world = World::new();
    let transaction = world.sign(SUBMITTER, Call::Transfer { to: account(OPERATOR), amount: Sym(10) });
    let first = world.submit(&transaction).unwrap();
    let state = world.state.clone();
    world.wait(5);
    assert_eq!(world.submit(&transaction).unwrap(), first);
    assert!(world.state == state);
    assert_eq!(world.balance(OPERATOR), 1_010);
    assert_eq!((first.version, first.events.len()), (1, 1));
}

/// R172: at no time can a resent transaction be executed twice.
#[test]
fn a_forgotten_transaction_has_expired_and_its_sequence_is_used() {
    let mut world = World::new();
    let call = Call::Transfer { to: account(OPERATOR), amount: Sym(10) };
    let transaction = world.sign(SUBMITTER, call.clone());
    world.submit(&transaction).unwrap();
    world.wait(LIFE_MS);
    assert!(world.submit(&transaction).is_ok(), "the receipt is still kept");
    world.wait(1);
    world.call(EXECUTOR, call.clone()).unwrap();
    assert_eq!(world.state.receipt(transaction.body.digest()), None);
    assert_eq!(world.submit(&transaction), Err(Abort::Expired));
    let expires = world.now.plus(LIFE_MS);
    let revived = Transaction::sign(&wallet(SUBMITTER), chain(), 0, expires, call);
    assert_eq!(world.submit(&revived), Err(Abort::SequenceUsed));
}

/// R176: full refund safety net.
#[test]
fn an_expired_lock_is_its_owners_again() {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    assert_eq!(world.balance(SUBMITTER), 700);
    assert_eq!(world.call(SUBMITTER, Call::EscrowReclaim { lock }), Err(Abort::LockRunning));
    world.wait(LOCK_MS);
    world.call(SUBMITTER, Call::EscrowReclaim { lock }).unwrap();
    assert_eq!(world.balance(SUBMITTER), 1_000);
    assert_eq!(world.call(SUBMITTER, Call::EscrowReclaim { lock }), Err(Abort::LockClosed));
    world.lock("request", 300);
}

/// R156, R176
#[test]
fn a_lock_is_bound_to_one_request() {
    let mut world = World::new();
    let lock = world.lock("request", 300);
    let again = world.locking("request", 10);
    assert_eq!(world.call(SUBMITTER, again.clone()), Err(Abort::RequestLocked));
    world.call(OPERATOR, again).unwrap();
    let Answer::Lock(Some(lock)) = answer(&world.state, world.now, &Query::Lock(lock)) else { panic!() };
    assert_eq!((lock.request, lock.amount, lock.held), (digest("request"), Sym(300), Sym(300)));
}

/// R161, R174
#[test]
fn stake_counts_from_the_minimum_on() {
    let mut world = World::new();
    let producer = PRODUCERS[0];
    assert_eq!(world.call(producer, stake(99)), Err(Abort::StakeTooSmall));
    world.call(producer, stake(100)).unwrap();
    assert!(is_staked(&world.state, account(producer), Tier::Producer));
    assert!(!is_staked(&world.state, account(producer), Tier::Master));
    assert_eq!(staked(&world.state, Tier::Producer).into_iter().collect::<Vec<_>>(), [account(producer)]);
}

/// R174, R175
#[test]
fn stake_leaves_through_its_cooldown() {
    let mut world = World::new();
    let producer = PRODUCERS[0];
    let tier = Tier::Producer;
    world.call(producer, stake(250)).unwrap();
    world.call(producer, Call::StakeWithdrawRequest { tier, amount: Sym(50) }).unwrap();
    assert!(is_staked(&world.state, account(producer), tier));
    world.call(producer, Call::StakeWithdrawRequest { tier, amount: Sym(200) }).unwrap();
    assert!(!is_staked(&world.state, account(producer), tier));
    assert_eq!(world.call(producer, Call::StakeWithdraw { tier }), Err(Abort::CooldownRunning));
    world.wait(COOLDOWN_MS);
    world.call(producer, Call::StakeWithdraw { tier }).unwrap();
    assert_eq!(world.balance(producer), 1_000);
    assert!(world.account(producer).stakes.is_empty());
}

/// R175
#[test]
fn slashed_stake_goes_to_the_pool_even_out_of_a_cooldown() {
    let mut world = World::new();
    let producer = PRODUCERS[0];
    let tier = Tier::Producer;
    world.call(producer, stake(250)).unwrap();
    world.call(producer, Call::StakeWithdrawRequest { tier, amount: Sym(150) }).unwrap();
    assert_eq!(world.call(PAYOUT, slashing(producer, 120, "penalty")), Err(Abort::NotAuthorized));
    world.call(SLASHER, slashing(producer, 120, "penalty")).unwrap();
    let stake = world.account(producer).stakes[&tier];
    assert_eq!((stake.deposit, stake.cooling), (Sym::ZERO, Sym(130)));
    assert_eq!(world.call(SLASHER, slashing(producer, 120, "penalty")), Err(Abort::SlashRepeated));
    world.call(SLASHER, slashing(producer, u64::MAX, "second")).unwrap();
    let Answer::Funds(funds) = answer(&world.state, world.now, &Query::Funds) else { panic!() };
    assert_eq!(funds.pool, Sym(50 + 250));
}

/// R178
#[test]
fn the_treasury_opens_for_enough_signers_and_an_accepted_proposal() {
    let mut world = World::new();
    let once = world.accepted(100, "proposal");
    assert_eq!(world.call(OPERATOR, releasing(once.clone(), &[20])), Err(Abort::ApprovalsMissing));
    let twice_the_same = releasing(once.clone(), &[20, 20]);
    assert_eq!(world.call(OPERATOR, twice_the_same), Err(Abort::ApprovalInvalid));
    world.call(EXECUTOR, releasing(once.clone(), &[20, 22])).unwrap();
    assert_eq!(world.balance(OPERATOR), 1_100);
    assert_eq!(world.call(OPERATOR, releasing(once, &[20, 21])), Err(Abort::ProposalUsed));
}

/// R164, R179, R182: two epochs at 8 % and two at 5 % of what there was when the rate began, a quarter to the treasury; then
/// nothing, and nodes are paid once an epoch while it lasts.
#[test]
fn the_schedule_declines_and_ends_by_itself() {
    let mut world = World::new();
    let before = funds(&world);
    assert_eq!(before.minted, Sym(7_620));
    world.wait(EPOCH_MS);
    let mut minted = Vec::new();
    for epoch in 0..4 {
        assert_eq!(minting(&world).next, epoch);
        // Anybody mints, once an epoch.
        world.call(EXECUTOR, Call::MintEpoch).unwrap();
        assert_eq!(
            world.call(SUBMITTER, Call::MintEpoch).unwrap_err(),
            if epoch == 3 { Abort::ScheduleEnded } else { Abort::EpochRunning }
        );
        minted.push(funds(&world).minted.0);
        world.wait(EPOCH_MS);
    }
    assert_eq!(minted, [7_924, 8_228, 8_433, 8_638]);
    let after = funds(&world);
    assert_eq!(
        (after.treasury.0 - before.treasury.0, after.pool.0 - before.pool.0),
        (76 + 76 + 51 + 51, 764)
    );
    let nodes = vec![(account(OPERATOR), Sym(100)), (account(EXECUTOR), Sym(50))];
    for epoch in 0..4 {
        world.call(PAYOUT, Call::PayNodes { epoch, nodes: nodes.clone() }).unwrap();
    }
    assert_eq!((world.balance(OPERATOR), world.balance(EXECUTOR)), (1_400, 1_200));
    assert_eq!(funds(&world).pool.0, after.pool.0 - 600);
}

fn funds(world: &World) -> Funds {
    let Answer::Funds(funds) = answer(&world.state, world.now, &Query::Funds) else { panic!() };
    funds
}

fn minting(world: &World) -> Minting {
    let Answer::Inflation(minting) = answer(&world.state, world.now, &Query::Inflation) else { panic!() };
    minting
}

/// R181: whatever the votes, a result is recorded once, and only what the quorum is for is accepted.
#[test]
fn a_result_of_the_council_allows_what_it_names_alone() {
    for (votes, allows) in [((6, 1), true), ((5, 4), true), ((4, 0), false), ((5, 5), false)] {
        let mut world = World::new();
        let release = release(10, "proposal");
        let result = VoteResult { votes_for: votes.0, votes_against: votes.1, ..accepting(&release) };
        world.call(RECORDER, Call::RecordVote(result)).unwrap();
        let paid = world.call(OPERATOR, releasing(release, &[20, 21]));
        assert_eq!(paid.err(), (!allows).then_some(Abort::ProposalUnknown), "{votes:?}");
    }
}

/// R170, R178
#[test]
fn a_chain_does_not_start_with_shared_keys() {
    let mut same = genesis();
    same.roles.slasher = same.roles.payout;
    assert_eq!(State::new(same), Err(GenesisError::RolesOverlap));
    let mut treasurer = genesis();
    treasurer.roles.payout = account(SIGNERS[0]);
    assert_eq!(State::new(treasurer), Err(GenesisError::RolesOverlap));
    for threshold in [0, 4] {
        let mut wrong = genesis();
        wrong.roles.treasury_threshold = threshold;
        assert_eq!(State::new(wrong), Err(GenesisError::ThresholdInvalid));
    }
    let mut recorder = genesis();
    recorder.roles.recorder = account(SLASHER);
    assert_eq!(State::new(recorder), Err(GenesisError::RolesOverlap));
    for quorum in [0, 10_001] {
        let mut wrong = genesis();
        wrong.parameters.quorum = Bps(quorum);
        assert_eq!(State::new(wrong), Err(GenesisError::QuorumInvalid));
    }
    let schedules = [
        |schedule: &mut Schedule| schedule.epoch_ms = 0,
        |schedule: &mut Schedule| schedule.epochs_per_step = 0,
        |schedule: &mut Schedule| schedule.treasury = Bps(10_001),
        |schedule: &mut Schedule| schedule.rates = vec![Bps(10_001)],
        |schedule: &mut Schedule| schedule.rates = vec![Bps(500), Bps(501)],
    ];
    for spoil in schedules {
        let mut wrong = genesis();
        spoil(&mut wrong.inflation);
        assert_eq!(State::new(wrong), Err(GenesisError::ScheduleInvalid));
    }
    let mut forgetful = genesis();
    forgetful.parameters.receipt_ms = LIFE_MS - 1;
    assert_eq!(State::new(forgetful), Err(GenesisError::ReceiptsTooShort));
    let mut rich = genesis();
    rich.treasury = Sym(u64::MAX);
    assert_eq!(State::new(rich), Err(GenesisError::SupplyTooLarge));
}
