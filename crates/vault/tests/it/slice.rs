//! A slice in the real enclave program, its repetition, and the dividends that follow from it.

use std::sync::Arc;

use symphony_protocol::artifact::{Bucket, DividendRequest};
use symphony_tee::measure;
use symphony_tee::report::EnclaveRole;
use symphony_types::amount::Sym;
use symphony_types::canonical;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::dividend::DividendLeaf;
use symphony_types::id::{AccountId, EpochId};
use symphony_types::merkle;
use symphony_wire::v1::ReadDividends;
use symphony_wire::v1::vault_operation::Operation;
use tempfile::TempDir;

use crate::world::*;

/// R065, R078, R105, R110, R111, R161, R162
#[tokio::test]
async fn a_slice_is_computed_once_and_its_people_are_paid() {
    computed_once_and_paid(u32::MAX, 4).await;
}

/// R065, R078, R087, R161, R162: the same over segments.
#[tokio::test]
async fn a_slice_over_segments_is_computed_once_and_its_people_are_paid() {
    computed_once_and_paid(2, 5).await;
}

async fn computed_once_and_paid(segment_rows: u32, records: u64) {
    let program = program("symphony-enclave");
    let mut world = World::with(&[measure::program(&program).unwrap()]);
    world.quota.segment_rows = segment_rows;
    world.reopen();
    world.populate(5).await;
    let elsewhere = TempDir::new().unwrap();
    let aggregator = agent(&world, &program, elsewhere.path(), "aggregator", EnclaveRole::Aggregator);
    let slice = Arc::new(agent(&world, &program, world.path(), "acme-executor", EnclaveRole::Slice));
    let receipt = world.prepare(1, 10, 5_000).await;
    world.withdraw("p4").await;
    let assignment = assign(&world, &aggregator, &slice, 1, &receipt);
    let mut unattested = assignment.body.clone();
    unattested.aggregator_boot = slice.boot();
    let refusal = Arc::clone(world.vault())
        .assign(Arc::clone(&slice), world.master.endorsed(unattested))
        .await
        .unwrap_err();
    assert_eq!(refusal.code(), Code::AttestationFailed);
    assert_eq!(
        world.budget("p0").await,
        (10, 0),
        "nothing is consumed for an aggregator that is not believed"
    );

    // The node dies after the commit, and its enclave with it.
    world.vault().commit(&assignment).await.unwrap();
    drop(slice);
    world.reopen();
    let slice = Arc::new(agent(&world, &program, world.path(), "acme-executor", EnclaveRole::Slice));
    let done = Arc::clone(world.vault()).assign(Arc::clone(&slice), assignment.clone()).await.unwrap();
    let header = &done.header.body;
    assert!(done.header.verify(&world.governance.registry.vaults[&vault_id()].key));
    assert_eq!(
        (header.coverage, header.records, header.nonce),
        (Bucket(4), Bucket::of(records), Digest([8; 32]))
    );
    assert_eq!(header.bundle, Digest::of_bytes(&done.bundle));
    world.reopen();
    let again = Arc::clone(world.vault()).assign(Arc::clone(&slice), assignment).await.unwrap();
    assert_eq!((&again.bundle, &again.header, &again.report), (&done.bundle, &done.header, &done.report));
    assert_eq!((world.budget("p0").await, world.budget("p4").await), ((0, 10), (0, 0)));
    pay(&mut world).await;
}

/// R064, R065, R105, R196: another master takes over with another aggregator: the Vault computes the very same slice
/// once more, though people have brought records meanwhile, and nobody is charged twice.
#[tokio::test]
async fn a_later_attempt_gets_the_same_slice_for_another_aggregator() {
    let program = program("symphony-enclave");
    let mut world = World::with(&[measure::program(&program).unwrap()]);
    world.populate(3).await;
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let first = agent(&world, &program, one.path(), "aggregator", EnclaveRole::Aggregator);
    let second = agent(&world, &program, two.path(), "aggregator", EnclaveRole::Aggregator);
    let slice = Arc::new(agent(&world, &program, world.path(), "acme-executor", EnclaveRole::Slice));
    let receipt = world.prepare(1, 10, 5_000).await;
    let attempt = |world: &World, aggregator: &symphony_vault::agent::Agent, attempt: u32| {
        let mut order = assign(world, aggregator, &slice, 1, &receipt).body;
        order.attempt = attempt;
        world.master.endorsed(order)
    };
    let orders = [attempt(&world, &first, 1), attempt(&world, &second, 2)];
    let done = Arc::clone(world.vault()).assign(Arc::clone(&slice), orders[0].clone()).await.unwrap();

    let more =
        r#"{"request_id":"tea","subject":"p0","commerce.merchant":"Cafe Luna","commerce.amount":"1.00"}"#;
    assert_eq!(world.ask(OPERATOR, "more", put_records(more)).await.accepted, 1);
    world.withdraw("p1").await;
    world.at(6_000);
    // The node dies between taking the later attempt and computing it.
    world.vault().commit(&orders[1]).await.unwrap();
    world.reopen();
    let again = Arc::clone(world.vault()).assign(Arc::clone(&slice), orders[1].clone()).await.unwrap();
    let (before, after) = (&done.header.body, &again.header.body);
    assert_eq!((before.attempt, after.attempt), (1, 2));
    assert_eq!(
        (after.input_root, after.records, after.coverage),
        (before.input_root, before.records, before.coverage)
    );
    assert_ne!(after.bundle, before.bundle, "it is sealed to another aggregator");
    for person in ["p0", "p1", "p2"] {
        assert_eq!(world.budget(person).await, (0, 10), "{person}");
    }

    let repeated = Arc::clone(world.vault()).assign(Arc::clone(&slice), orders[1].clone()).await.unwrap();
    assert_eq!((&repeated.bundle, &repeated.header), (&again.bundle, &again.header));
    let refused = |order| Arc::clone(world.vault()).assign(Arc::clone(&slice), order);
    assert_eq!(refused(orders[0].clone()).await.unwrap_err().code(), Code::IllegalTransition);
    let other = attempt(&world, &second, 2);
    assert_ne!(other, orders[1], "keys are sealed at random");
    assert_eq!(refused(other).await.unwrap_err().code(), Code::IdempotencyConflict);
}

async fn pay(world: &mut World) {
    let wallet = |n: u8| {
        let mut bytes = [0; 32];
        bytes[31] = n + 1;
        AccountId(Digest(bytes))
    };
    let request = world.master.endorsed(DividendRequest {
        vault: vault_id(),
        epoch: EpochId(3),
        shares: vec![(task(1), Sym(403))],
        carried_in: Sym(0),
        payees_min: 2,
        staked: vec![wallet(0)],
    });
    let closed = world.vault().close_dividends(request.clone()).await.unwrap();
    world.reopen();
    assert_eq!(world.vault().close_dividends(request.clone()).await.unwrap(), closed);
    // R196: a master that takes over may see others staked by now; what was stated stands.
    let mut later = request.body;
    later.staked.clear();
    assert_eq!(world.vault().close_dividends(world.master.endorsed(later.clone())).await.unwrap(), closed);
    later.shares[0].1 = Sym(404);
    let other = world.vault().close_dividends(world.master.endorsed(later)).await.unwrap_err();
    assert_eq!(other.code(), Code::IdempotencyConflict);
    let statement = closed.body;
    assert_eq!(statement.payees, 4);
    let parts = statement.total.0 + statement.pool_return.0 + statement.carried.0;
    assert_eq!((statement.allotted, parts), (Sym(403), 403));
    let read = Operation::ReadDividends(ReadDividends { subject: "p0".into() });
    let mine = world.ask(("p0", "producer"), "read", read).await.dividends.remove(0);
    let leaf = DividendLeaf { account: wallet(0), index: mine.index, amount: Sym(mine.amount) };
    assert_eq!(mine.amount, 101, "staked: one of four, and one of the three units left over");
    let path: Vec<_> = mine.path.iter().map(|hash| Digest(hash.as_slice().try_into().unwrap())).collect();
    let hash = merkle::leaf(&canonical::to_bytes(&leaf));
    assert!(merkle::verify_inclusion(statement.root, hash, leaf.index, statement.payees, &path));
    let read = Operation::ReadDividends(ReadDividends { subject: "p4".into() });
    assert!(world.ask(("p4", "producer"), "read", read).await.dividends.is_empty());
}
