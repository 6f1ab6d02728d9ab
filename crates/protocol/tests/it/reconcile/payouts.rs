//! An epoch's payout against a chain that lies, forgets or is behind.

use symphony_protocol::artifact::RecipientClass;
use symphony_protocol::artifact::adjustment::{DriftKind, DriftSubject, Repair};
use symphony_protocol::machine::{Effect, State};
use symphony_protocol::reconcile::chain::{BatchSight, ChainSight, Totals, anchoring, drifts, issued, root};
use symphony_types::amount::Sym;
use symphony_types::canonical::to_bytes;
use symphony_types::digest::Digest;
use symphony_types::id::EpochId;
use symphony_types::key::Document;

use super::places;
use crate::stage::{PLENTY, campaign};
use crate::world::{Act, Disturbance, Script, World, assert_conserved};

/// A world whose first epoch is paid and confirmed.
pub(super) fn confirmed() -> (World, EpochId) {
    let mut world = World::new(Script::default());
    for name in ["c1", "c2"] {
        world.submit(&campaign(name), PLENTY).unwrap();
    }
    world.run(Disturbance::default());
    let epoch = *world.state.epochs.keys().next().unwrap();
    assert!(issued(&world.state, epoch).unwrap().1.is_some());
    (world, epoch)
}

/// A world whose first epoch is to be paid.
pub(super) fn waiting() -> (World, EpochId) {
    let mut world =
        World::new(Script { dividends: [Act::Serve, Act::Refuse, Act::Sleep], ..Script::default() });
    world.submit(&campaign("c1"), PLENTY).unwrap();
    loop {
        if let Some(Effect::Pay(epoch)) = world.owed.iter().find(|effect| matches!(effect, Effect::Pay(_))) {
            let epoch = *epoch;
            return (world, epoch);
        }
        if !world.step(false) {
            world.advance(world.state.timer().unwrap());
        }
    }
}

/// What a chain shows that did as it was told.
pub(super) fn faithful(state: &State, epoch: EpochId) -> ChainSight {
    let (set, _) = issued(state, epoch).unwrap();
    let batch = BatchSight { id: set.digest(), epoch, totals: Totals::of(set) };
    ChainSight {
        batches: vec![batch.clone()],
        issued: Some(batch),
        trees: set.dividends.iter().map(|tree| (tree.vault.clone(), (tree.root, tree.total))).collect(),
        anchors: set.anchors.iter().copied().collect(),
        transaction: true,
    }
}

/// R173, R219: nothing has drifted of what was done as it was told, of what waits for the chain, and of what is not issued.
#[test]
fn nothing_drifts_where_both_sides_agree() {
    let (world, epoch) = confirmed();
    assert_eq!(drifts(&world.state, epoch, &faithful(&world.state, epoch)), []);
    assert_eq!(drifts(&world.state, EpochId(3), &ChainSight::default()), []);
    let (world, epoch) = waiting();
    assert_eq!(
        drifts(&world.state, epoch, &ChainSight::default()),
        [],
        "a congested chain is behind, not wrong"
    );
}

/// R219: a batch that nobody issued, and the issued one twice, are duplicate submissions; the batch that anchors one root
/// is none.
#[test]
fn duplicate_submissions_are_found() {
    let (world, epoch) = confirmed();
    let state = &world.state;
    let mut sight = faithful(state, epoch);
    let foreign = Digest::of_bytes(b"foreign");
    sight.batches.push(BatchSight { id: foreign, epoch, totals: Totals::default() });
    let found = drifts(state, epoch, &sight);
    assert_eq!(places(&found), [(DriftKind::DuplicateSubmission, DriftSubject::Batch(epoch, foreign))]);
    assert_eq!(found[0].kind.repair(), Repair::Record);

    let mut twice = faithful(state, epoch);
    let own = twice.batches[0].clone();
    twice.batches.push(own.clone());
    let found = drifts(state, epoch, &twice);
    assert_eq!(places(&found), [(DriftKind::DuplicateSubmission, DriftSubject::Batch(epoch, own.id))]);

    let mut anchored = faithful(state, epoch);
    for task in anchored.anchors.keys() {
        let set = anchoring(state, epoch, task).unwrap();
        anchored.batches.push(BatchSight { id: set.digest(), epoch, totals: Totals::of(&set) });
    }
    assert_eq!(drifts(state, epoch, &anchored), []);
}

/// R219: a batch whose classes or trees are missing in part is incomplete and submitted again.
#[test]
fn incomplete_batches_are_found() {
    let (world, epoch) = confirmed();
    let (state, good) = (&world.state, faithful(&world.state, epoch));
    let no_class = |class: RecipientClass| {
        let mut sight = good.clone();
        assert!(sight.issued.as_mut().unwrap().totals.classes.remove(&class).is_some());
        sight
    };
    let no_tree = |place: usize| {
        let mut sight = good.clone();
        let vault = sight.trees.keys().nth(place).unwrap().clone();
        sight.trees.remove(&vault);
        sight
    };
    let mut nothing = good.clone();
    nothing.issued.as_mut().unwrap().totals = Totals::default();
    nothing.trees.clear();
    let classes = [RecipientClass::Executor, RecipientClass::Treasury, RecipientClass::Contributors];
    let cases = classes.map(no_class).into_iter().chain([no_tree(0), no_tree(2), nothing]);
    for sight in cases {
        let found = drifts(state, epoch, &sight);
        assert_eq!(places(&found), [(DriftKind::IncompleteBatch, DriftSubject::Epoch(epoch))]);
        assert_eq!(found[0].kind.repair(), Repair::Resubmit);
        assert_ne!(found[0].here, found[0].there);
    }
}

/// R219: a batch that was done and never confirmed, and one that was confirmed and is gone, are submitted again.
#[test]
fn missing_confirmations_are_found() {
    let (world, epoch) = waiting();
    let found = drifts(&world.state, epoch, &faithful(&world.state, epoch));
    assert_eq!(places(&found), [(DriftKind::MissingConfirmation, DriftSubject::Epoch(epoch))]);
    assert_eq!(found[0].kind.repair(), Repair::Resubmit);

    let (world, epoch) = confirmed();
    for transaction in [false, true] {
        let sight = ChainSight { transaction, ..ChainSight::default() };
        let found = drifts(&world.state, epoch, &sight);
        assert_eq!(places(&found), [(DriftKind::LostConfirmation, DriftSubject::Epoch(epoch))]);
        assert_eq!(found[0].kind.repair(), Repair::Resubmit);
        assert_eq!(found[0].there.contains("transaction is known"), transaction);
    }
}

/// R173, R219: any other sum, and any other tree, is a drift of the rewards; also beside what is missing.
#[test]
fn other_sums_are_found() {
    let (world, epoch) = confirmed();
    let bend: [fn(&mut Totals); 7] = [
        |totals| totals.charged.0 += 1,
        |totals| totals.refunded.0 += 1,
        |totals| totals.subsidised.0 += 1,
        |totals| totals.drawn.0 += 1,
        |totals| totals.carried.0 += 1,
        |totals| totals.pool_return.0 -= 1,
        |totals| totals.classes.get_mut(&RecipientClass::Verifier).unwrap().0 -= 1,
    ];
    let good = faithful(&world.state, epoch);
    let mut cases: Vec<ChainSight> = vec![];
    for bend in bend {
        let mut sight = good.clone();
        bend(&mut sight.issued.as_mut().unwrap().totals);
        cases.push(sight.clone());
        sight.trees.clear();
        cases.push(sight);
    }
    for bend in [|tree: &mut (Digest, Sym)| tree.0 = Digest::ZERO, |tree: &mut (Digest, Sym)| tree.1.0 += 1] {
        let mut sight = good.clone();
        bend(sight.trees.values_mut().next().unwrap());
        cases.push(sight);
    }
    for sight in cases {
        let found = drifts(&world.state, epoch, &sight);
        assert_eq!(places(&found), [(DriftKind::RewardTotals, DriftSubject::Epoch(epoch))]);
        assert_eq!(found[0].kind.repair(), Repair::Record);
    }
}

/// R219: the batch under another epoch is found, whatever else the chain shows.
#[test]
fn other_epochs_are_found() {
    let (world, epoch) = confirmed();
    let mut sight = faithful(&world.state, epoch);
    sight.issued.as_mut().unwrap().epoch = EpochId(epoch.0 + 1);
    sight.batches.clear();
    let found = drifts(&world.state, epoch, &sight);
    assert_eq!(places(&found), [(DriftKind::EpochMismatch, DriftSubject::Epoch(epoch))]);
    assert_eq!(
        (found[0].here.clone(), found[0].there.clone()),
        (format!("epoch {epoch}"), format!("epoch {}", epoch.0 + 1))
    );
    assert_eq!(found[0].kind.repair(), Repair::Record);
}

/// R149, R150, R219: a root that is absent is anchored by a batch of its own that moves no money; one that is another stays,
/// because a root is written once. The settlement context is the same before and after (R006).
#[test]
fn anchor_drift_is_found_and_anchored_again() {
    let (world, epoch) = confirmed();
    let (state, good) = (&world.state, faithful(&world.state, epoch));
    let before = to_bytes(state);
    let task = *good.anchors.keys().next().unwrap();
    let mut absent = good.clone();
    absent.anchors.remove(&task);
    let found = drifts(state, epoch, &absent);
    assert_eq!(places(&found), [(DriftKind::AnchorAbsent, DriftSubject::Anchor(epoch, task))]);
    assert_eq!(found[0].kind.repair(), Repair::Anchor);
    let set = anchoring(state, epoch, &task).unwrap();
    assert_eq!((set.epoch, set.anchors.clone()), (epoch, vec![(task, root(state, &task).unwrap())]));
    assert_eq!(Totals::of(&set).classes.values().copied().max(), Some(Sym::ZERO));
    assert_conserved(&set);
    assert_ne!(set.digest(), issued(state, epoch).unwrap().0.digest());
    absent.anchors.insert(set.anchors[0].0, set.anchors[0].1);
    absent.batches.push(BatchSight { id: set.digest(), epoch, totals: Totals::of(&set) });
    assert_eq!(drifts(state, epoch, &absent), [], "the repair ends the drift");

    let mut other = good;
    other.anchors.insert(task, Digest::ZERO);
    let found = drifts(state, epoch, &other);
    assert_eq!(places(&found), [(DriftKind::AnchorConflict, DriftSubject::Anchor(epoch, task))]);
    assert_eq!(found[0].kind.repair(), Repair::Record);
    assert_eq!(to_bytes(state), before, "comparing changes nothing");
}

/// R006: whatever the chain shows, no comparison changes a finalized record; drifts come in one order.
#[test]
fn many_drifts_come_in_one_order() {
    let (world, epoch) = confirmed();
    let before = to_bytes(&world.state);
    let mut sight = faithful(&world.state, epoch);
    sight.anchors.clear();
    sight.batches.push(BatchSight { id: Digest::ZERO, epoch, totals: Totals::default() });
    let issued = sight.issued.as_mut().unwrap();
    (issued.epoch.0, issued.totals.charged.0) = (1, 1);
    let found = drifts(&world.state, epoch, &sight);
    let kinds: Vec<_> = found.iter().map(|drift| drift.kind).collect();
    assert_eq!(
        kinds,
        [
            DriftKind::DuplicateSubmission,
            DriftKind::RewardTotals,
            DriftKind::EpochMismatch,
            DriftKind::AnchorAbsent,
            DriftKind::AnchorAbsent,
        ]
    );
    sight.batches.reverse();
    assert_eq!(
        drifts(&world.state, epoch, &sight),
        found,
        "the order of what the chain shows does not matter"
    );
    assert_eq!(to_bytes(&world.state), before);
}
