//! What a training is charged and who earns it: by all its rounds (R104, R149, R158, R160, D5, D20).

use symphony_protocol::artifact::*;
use symphony_protocol::lifecycle::Stage;
use symphony_protocol::settlement::finalize::{self, Settled, settlement_root};
use symphony_types::amount::{Sym, sum};
use symphony_types::digest::Digest;
use symphony_types::id::TaskId;
use symphony_types::key::Vault;

use super::{course, play};
use crate::rounds::propensity;
use crate::stage::{PLENTY, VAULTS, enclave, key};
use crate::world::{Act, Disturbance, Script, World};

fn settled(script: Script) -> (World, TaskId, SettlementContext) {
    let (world, task) = play(&propensity("t1"), script, Disturbance::default());
    let Stage::Completed { context, root, .. } = world.task(&task).stage.clone() else {
        panic!("not completed")
    };
    assert_eq!(settlement_root(&context), root);
    (world, task, context)
}

/// R104, R155, R156, D5, D20: 20 SYM, 0.1 a slice, 0.2 a round, 2 for each epsilon of the rounds done in each Vault that had
/// a slice; the rest of the lock goes back.
#[test]
fn charged_and_refunded_are_the_lock() {
    let refused = [Act::Serve, Act::Refuse, Act::Serve];
    // (script, slices, rounds, Vaults, loss of the steps done)
    let cases = [
        (Script::default(), 15, 5, 3, 1_993_092),
        (course(|course| course.quality = [1, 2, 3, 4]), 15, 5, 3, 1_993_092),
        (course(|course| course.quality = [600_000; 4]), 12, 4, 3, 1_698_036),
        (Script { prepare: refused, ..Script::default() }, 10, 5, 2, 1_993_092),
        (course(|course| course.until = [9, 0, 9]), 10, 5, 2, 1_993_092),
    ];
    for (script, slices, rounds, vaults, micro) in cases {
        let (_, _, context) = settled(script);
        let fee = context.fee;
        assert_eq!(fee.base, Sym(2_000_000_000));
        assert_eq!(fee.vaults, Sym(slices * 10_000_000));
        assert_eq!(fee.aggregation, Sym(rounds * 20_000_000));
        assert_eq!(fee.epsilon, Sym(vaults * micro * 200));
        assert_eq!(fee.records, Sym::ZERO);
        assert_eq!(Some(fee.total), sum([fee.base, fee.vaults, fee.aggregation, fee.epsilon]));
        assert_eq!(context.locked, PLENTY);
        assert_eq!(fee.total.checked_add(context.refunded), Some(context.locked));
        assert_eq!(sum(context.shares.iter().map(|share| share.amount)), Some(fee.total));
    }
}

fn amounts(context: &SettlementContext, class: RecipientClass) -> Vec<u64> {
    let of = |name: &&str| {
        let share = context.shares.iter().find(|share| {
            share.class == class && share.vault.as_ref().is_some_and(|vault| vault.as_str() == *name)
        });
        share.map_or(0, |share| share.amount.0)
    };
    VAULTS.iter().map(of).collect()
}

/// R160: executors are paid by slices of all rounds, contributors and operators by the records that went into them: a Vault
/// that missed rounds earns less, one that was never there earns nothing.
#[test]
fn a_vault_earns_by_the_rounds_it_computed() {
    let (_, _, all) = settled(Script::default());
    let [a, b, c] = amounts(&all, RecipientClass::Executor)[..] else { panic!("three vaults") };
    assert!(a.abs_diff(b) <= 1 && b.abs_diff(c) <= 1);
    // Vault c computed two rounds of five. It has 2,048 records a round, the others 512 and 1,024.
    let (_, _, some) = settled(course(|course| course.until = [9, 9, 2]));
    let [a, b, c] = amounts(&some, RecipientClass::Executor)[..] else { panic!("three vaults") };
    assert!(a.abs_diff(b) <= 1 && (5 * c).abs_diff(2 * a) <= 10, "{a} {b} {c}");
    for class in [RecipientClass::Contributors, RecipientClass::VaultOperator] {
        let [a, b, c] = amounts(&all, class)[..] else { panic!("three vaults") };
        assert!(b.abs_diff(2 * a) <= 4 && c.abs_diff(4 * a) <= 8, "{a} {b} {c}");
        let [a, b, c] = amounts(&some, class)[..] else { panic!("three vaults") };
        assert!(b.abs_diff(2 * a) <= 4 && (5 * c).abs_diff(2 * 4 * a) <= 40, "{a} {b} {c}");
    }
    let (_, _, without) = settled(course(|course| course.until = [9, 0, 9]));
    for class in [RecipientClass::Executor, RecipientClass::Contributors, RecipientClass::VaultOperator] {
        let [a, b, c] = amounts(&without, class)[..] else { panic!("three vaults") };
        assert!(a > 0 && b == 0 && c > 0);
    }
}

/// R149: the root changes with any slice and any aggregate of any round, and with the order and the number of rounds.
#[test]
fn the_root_changes_with_any_round() {
    let (world, task, context) = settled(Script::default());
    let Stage::Completed { slices, aggregate, verdict, .. } = &world.task(&task).stage else { panic!() };
    let rounds = world.state.earlier_rounds_of(&task);
    assert_eq!(rounds.len(), 4);
    type Rounds = Vec<(Vec<SignedSlice>, SignedAggregate)>;
    let root = |rounds: &Rounds| {
        let envelope = &world.task(&task).envelope;
        let settled = Settled { envelope, rounds, slices, aggregate };
        let governance = &world.state.governance;
        settlement_root(&finalize::context(governance, &settled, verdict, context.finalized_at).unwrap())
    };
    let mut roots = std::collections::BTreeSet::from([settlement_root(&context)]);
    assert!(!roots.insert(root(&rounds)), "the same rounds, the same root");
    for round in 0..4 {
        for (vault, name) in VAULTS.iter().enumerate() {
            let mut other = rounds.clone();
            let slice = &mut other[round].0[vault];
            let body = SliceHeader { bundle: Digest::ZERO, ..slice.body.clone() };
            *slice = key::<Vault>(name).sign(body);
            assert!(roots.insert(root(&other)), "round {}, {name}", round + 1);
        }
        let mut other = rounds.clone();
        let body = AggregateHeader { result: Digest::ZERO, ..other[round].1.body.clone() };
        other[round].1 = enclave().sign(body);
        assert!(roots.insert(root(&other)), "aggregate {}", round + 1);
        let mut fewer = rounds.clone();
        fewer.remove(round);
        assert!(roots.insert(root(&fewer)), "without {}", round + 1);
    }
    let mut swapped = rounds.clone();
    swapped.swap(1, 2);
    assert!(roots.insert(root(&swapped)));
}

/// R104: a training that is withheld is charged like any other: its rounds were computed.
#[test]
fn a_withheld_model_is_paid_for() {
    let (_, _, released) = settled(Script::default());
    let (world, task, withheld) = settled(course(|course| course.quality = [1, 2, 3, 4]));
    assert_eq!(released.fee, withheld.fee);
    let Stage::Completed { aggregate, .. } = &world.task(&task).stage else { panic!() };
    assert!(matches!(aggregate.body.outcome, Outcome::Withheld { .. }));
}
