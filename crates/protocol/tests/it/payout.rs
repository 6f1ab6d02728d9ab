//! The payout of epochs: conserved to the base unit over any history of statements that come, carry or do not come
//! (R158, R161, R169-R173, D7).

use proptest::collection::vec;
use proptest::prelude::*;
use symphony_protocol::artifact::*;
use symphony_protocol::machine::{Command, Effect, outstanding};
use symphony_protocol::settlement::payout::{EpochStage, PayoutInstructionSet};
use symphony_types::amount::{Sym, sum};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::EpochId;
use symphony_types::key::{Document, Vault};

use crate::stage::{EPOCH_MS, PLENTY, campaign, key, vault};
use crate::world::{Act, Disturbance, Script, World, assert_conserved};

/// Runs until the dividends of an epoch are owed.
fn closing(script: Script) -> (World, EpochId) {
    let mut world = World::new(script);
    world.submit(&campaign("c1"), PLENTY).unwrap();
    loop {
        let closing = world.owed.iter().find_map(|effect| match effect {
            Effect::CloseDividends(epoch) => Some(*epoch),
            _ => None,
        });
        if let Some(epoch) = closing {
            return (world, epoch);
        }
        if !world.step(false) {
            world.advance(world.state.timer().unwrap());
        }
    }
}

fn issued(world: &World, epoch: EpochId) -> PayoutInstructionSet {
    match &world.state.epochs[&epoch].stage {
        EpochStage::Confirmed(evidence) => evidence.instructions.clone(),
        other => panic!("{other:?}"),
    }
}

/// R161: a statement that does not add up, is not the Vault's own, or names too few people, is refused whole.
#[test]
fn a_statement_that_does_not_add_up_is_refused() {
    let bend: [fn(&mut DividendStatement); 10] = [
        |body| body.total.0 += 1,
        |body| body.pool_return.0 += 1,
        |body| body.carried.0 += 1,
        |body| body.allotted.0 += 1,
        |body| (body.allotted.0, body.total.0) = (body.allotted.0 + 1, body.total.0 + 1),
        |body| (body.allotted.0, body.total.0) = (body.allotted.0 - 1, body.total.0 - 1),
        |body| body.total.0 = u64::MAX,
        |body| body.payees = 19,
        |body| body.payees = 0,
        |body| body.epoch = EpochId(body.epoch.0 + 1),
    ];
    let (mut world, epoch) = closing(Script::default());
    let good = world.statements(epoch);
    for (case, bend) in bend.into_iter().enumerate() {
        let mut statements = good.clone();
        let mut body = statements[1].body.clone();
        bend(&mut body);
        statements[1] = key::<Vault>("vault-b").sign(body);
        let refusal = world.order(&Command::RecordDividends { epoch, statements }).unwrap_err();
        assert_eq!(refusal.code, Code::ClaimInvalid, "case {case}");
    }
    let mut foreign = good.clone();
    foreign[1] = key::<Vault>("vault-a").sign(foreign[1].body.clone());
    let twice = [&good[..], &good[..1]].concat();
    for statements in [foreign, twice] {
        let refusal = world.order(&Command::RecordDividends { epoch, statements }).unwrap_err();
        assert_eq!(refusal.code, Code::ClaimInvalid);
    }
    let mut unknown = good.clone();
    unknown[1].body.vault = vault("vault-x");
    let refusal = world.order(&Command::RecordDividends { epoch, statements: unknown }).unwrap_err();
    assert_eq!(refusal.code, Code::VaultUnknown);
    assert!(!world.order(&Command::RecordDividends { epoch, statements: good }).unwrap().is_empty());
}

/// R190, R193: an open epoch is not paid, an unknown one does not exist.
#[test]
fn an_open_epoch_is_not_paid() {
    let mut world = World::new(Script::default());
    world.submit(&campaign("c1"), PLENTY).unwrap();
    while world.step(false) {}
    world.advance(world.state.timer().unwrap());
    let epoch = *world.state.epochs.keys().next().unwrap();
    for (epoch, code) in [(epoch, Code::EpochOpen), (EpochId(3), Code::NotFound)] {
        let command = Command::RecordDividends { epoch, statements: vec![] };
        assert_eq!(world.order(&command).unwrap_err().code, code);
    }
}

/// R169, D14: the batch resolves every lock, anchors every root, and pays one entry per account and class.
#[test]
fn the_batch_is_complete() {
    let (mut world, epoch) = closing(Script::default());
    world.run(Disturbance::default());
    let set = issued(&world, epoch);
    assert_eq!((set.settlements.len(), set.anchors.len(), set.dividends.len()), (1, 1, 3));
    let settled = &world.state.epochs[&epoch].settled;
    assert!(settled.iter().eq(set.anchors.iter().map(|(task, root)| (task, root))));
    let places: Vec<_> = set.payees.iter().map(|payee| (payee.account, payee.class)).collect();
    assert!(places.is_sorted() && places.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(set.payees.iter().all(|payee| payee.amount > Sym::ZERO));
    // Three operators, three executors, the aggregator and the verifier; the treasury is a line of its own.
    assert_eq!(places.len(), 8);
    assert!(set.carries.is_empty() && set.treasury > Sym::ZERO && set.pool_return > Sym::ZERO);
    assert_ne!(set.digest(), Digest::ZERO);
}

/// D7: money of a Vault without a statement waits on the chain and leaves it with the next statement.
#[test]
fn money_that_waits_is_paid_later() {
    let silent = Script { dividends: [Act::Sleep, Act::Refuse, Act::Serve], ..Script::default() };
    let (mut world, first) = closing(silent);
    world.run(Disturbance::default());
    let waited = issued(&world, first).carries;
    assert_eq!(waited.len(), 2);
    assert!(waited.iter().all(|carry| carry.out_of == Sym::ZERO && carry.into > Sym::ZERO));
    world.script = Script::default();
    world.submit(&campaign("c2"), PLENTY).unwrap();
    world.run(Disturbance::default());
    let second = world.state.epochs.keys().next_back().copied().unwrap();
    let paid = issued(&world, second).carries;
    assert_eq!(paid.len(), 2);
    for (waited, paid) in waited.iter().zip(&paid) {
        assert_eq!((&paid.vault, paid.out_of, paid.into), (&waited.vault, waited.into, Sym::ZERO));
    }
    assert!(world.state.contributors.values().all(|account| account.waiting == Sym::ZERO));
}

/// R190: two epochs that are over are paid in their order, the later one only when the earlier is fixed.
#[test]
fn epochs_are_paid_in_order() {
    let mut world = World::new(Script::default());
    for number in 0..2 {
        world.submit(&campaign(&format!("c{number}")), PLENTY).unwrap();
        while world.step(false) {}
        world.now = world.now.plus(EPOCH_MS - 1_000);
        world.advance(world.now);
    }
    world.advance(world.now.plus(2 * EPOCH_MS));
    let epochs: Vec<_> = world.state.epochs.keys().copied().collect();
    assert_eq!(epochs.len(), 2);
    assert_eq!(outstanding(&world.state), [Effect::CloseDividends(epochs[0])]);
    let early = Command::RecordDividends { epoch: epochs[1], statements: vec![] };
    assert_eq!(world.order(&early).unwrap_err().code, Code::EpochOpen);
    world.run(Disturbance { crash_always: true, ..Disturbance::default() });
    assert!(world.state.epochs.values().all(|account| matches!(account.stage, EpochStage::Confirmed(_))));
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![2 => Just(Act::Serve), 1 => Just(Act::Refuse), 1 => Just(Act::Sleep)]
}

/// One epoch: tasks that succeed or not, and what each Vault states at its end.
fn season() -> impl Strategy<Value = (Vec<(u32, bool)>, [Act; 3])> {
    (vec((50..5_000u32, prop::bool::weighted(0.8)), 1..4), [act(), act(), act()])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// R158, R161, R169, R173, D7: over any history, in every epoch `charged + out_of` is what is paid, claimed,
    /// returned and kept, and at the end all that was ever charged is somewhere.
    #[test]
    fn every_epoch_is_conserved(seasons in vec(season(), 1..6)) {
        let mut world = World::new(Script::default());
        let mut number = 0;
        for (tasks, dividends) in seasons {
            world.script.dividends = dividends;
            for (returned, good) in tasks {
                world.script.outcome = Outcome::Audience { returned };
                world.script.verify = if good { Act::Serve } else { Act::Refuse };
                number += 1;
                world.submit(&campaign(&format!("c{number}")), PLENTY).unwrap();
                while world.step(false) {}
            }
            // The world's chain checks each batch as it does it.
            world.run(Disturbance::default());
        }
        let sets: Vec<_> = world.state.epochs.keys().map(|epoch| issued(&world, *epoch)).collect();
        sets.iter().for_each(assert_conserved);
        let charged = sum(sets.iter().flat_map(|set| &set.settlements).map(|one| one.charged)).unwrap();
        let paid = sets.iter().flat_map(|set| {
            let payees = set.payees.iter().map(|payee| payee.amount);
            let trees = set.dividends.iter().map(|tree| tree.total);
            payees.chain(trees).chain([set.pool_return, set.treasury]).collect::<Vec<_>>()
        });
        let waiting = world.waiting.values().copied();
        prop_assert_eq!(sum(paid.chain(waiting)), Some(charged));
        prop_assert!(world.locked.is_empty());
        for (vault, account) in &world.state.contributors {
            prop_assert_eq!(account.waiting, world.waiting.get(vault).copied().unwrap_or_default());
        }
    }
}
