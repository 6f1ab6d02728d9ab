//! Reservations and commits through the Vault's door, with crashes between all steps.

use symphony_protocol::artifact::adjustment::{BudgetQuery, BudgetStanding};
use symphony_protocol::artifact::{Bucket, Release};
use symphony_protocol::reconcile::budget::check_statement;
use symphony_protocol::vault::ledger::MovementKind;
use symphony_protocol::vault::ledger::proof::{ProofFault, ProvenStatement, explain};
use symphony_types::canonical::to_bytes;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::TaskId;
use symphony_types::key::{Master, PrivateKey};
use symphony_types::time::OrderedMillis;
use symphony_wire::v1::ReadBudget;
use symphony_wire::v1::vault_operation::Operation;

use crate::world::*;

/// R057, R065
#[tokio::test]
async fn consent_withdrawn_between_prepare_and_assign_excludes_the_person() {
    let world = World::new();
    world.populate(4).await;
    let receipt = world.prepare(1, 10, 5_000).await;
    assert_eq!((receipt.body.refusal, receipt.body.coverage), (None, Bucket(4)));
    assert_eq!(world.budget("p1").await, (10, 0));
    world.withdraw("p1").await;
    let assignment = world.master.endorsed(world.assignment(&receipt));
    world.vault().commit(&assignment).await.unwrap();
    assert_eq!(world.budget("p1").await, (0, 0));
    assert_eq!(world.budget("p2").await, (0, 10));
}

/// R067
#[tokio::test]
async fn the_exhausted_are_left_out_and_no_error() {
    let world = World::new();
    world.populate(2).await;
    for name in 1..=3 {
        assert_eq!(world.prepare(name, 10, 5_000).await.body.coverage, Bucket(2));
    }
    let receipt = world.prepare(4, 10, 5_000).await;
    assert_eq!((receipt.body.refusal, receipt.body.coverage), (None, Bucket(0)));
    let release = world.master.endorsed(Release { task: task(1), vault: vault_id() });
    world.vault().release(release.clone()).await.unwrap();
    world.vault().release(release).await.unwrap();
    assert_eq!(world.prepare(5, 10, 5_000).await.body.coverage, Bucket(2));
}

/// R064, R068, R212
#[tokio::test]
async fn a_crash_between_any_two_steps_loses_and_doubles_nothing() {
    let mut world = World::new();
    world.populate(3).await;
    world.reopen();
    let receipt = world.prepare(1, 10, 5_000).await;
    world.reopen();
    assert_eq!(world.prepare(1, 10, 5_000).await, receipt);
    assert_eq!(world.budget("p0").await, (10, 0));
    let assignment = world.master.endorsed(world.assignment(&receipt));
    world.vault().commit(&assignment).await.unwrap();
    let head = world.vault().head();
    world.reopen();
    world.vault().commit(&assignment).await.unwrap();
    assert_eq!(world.prepare(1, 10, 5_000).await, receipt);
    assert_eq!((world.budget("p0").await, world.vault().head()), ((0, 10), head));
    world.prepare(2, 10, 4_000).await;
    world.at(4_000);
    world.reopen();
    world.vault().expire().await.unwrap();
    assert_eq!(world.budget("p0").await, (0, 10));
    let late = world.prepare(2, 10, 4_000).await;
    assert_eq!(late.body.refusal, Some(Code::ReservationExpired));
}

/// R105, R111
#[tokio::test]
async fn foreign_signatures_and_other_vaults_are_refused() {
    let world = World::new();
    world.populate(2).await;
    let stranger = PrivateKey::<Master>::from_seed(&[77; 32]);
    let forged = world.vault().prepare(stranger.endorsed(world.preparation(1, 10, 5_000))).await.unwrap_err();
    assert_eq!(forged.code(), Code::Forbidden);
    let mut elsewhere = world.preparation(1, 10, 5_000);
    elsewhere.vault = symphony_types::id::VaultId::new("south").unwrap();
    let elsewhere = world.vault().prepare(world.master.endorsed(elsewhere)).await.unwrap_err();
    assert_eq!(elsewhere.code(), Code::EnvelopeInvalid);
    let mut unknown = world.preparation(1, 10, 5_000);
    unknown.scope = symphony_types::id::UsageScope::new("politics").unwrap();
    let unknown = world.vault().prepare(world.master.endorsed(unknown)).await.unwrap();
    assert_eq!(unknown.body.refusal, Some(Code::ScopeUnknown));
    let receipt = world.prepare(1, 10, 5_000).await;
    let forged = world.vault().commit(&stranger.endorsed(world.assignment(&receipt))).await.unwrap_err();
    assert_eq!(forged.code(), Code::Forbidden);
    assert_eq!(world.budget("p0").await, (10, 0));
    let conflict =
        world.vault().prepare(world.master.endorsed(world.preparation(1, 9, 5_000))).await.unwrap_err();
    assert_eq!(conflict.code(), Code::IdempotencyConflict);
}

/// R011, R071: the Vault tells the masters by task what is held, consumed and given back, signed, in sizes and never people;
/// after a restart it tells the same.
#[tokio::test]
async fn the_ledger_is_told_by_task_and_names_nobody() {
    let mut world = World::new();
    world.populate(5).await;
    let receipt = world.prepare(1, 10, 5_000).await;
    world.vault().commit(&world.master.endorsed(world.assignment(&receipt))).await.unwrap();
    world.prepare(2, 7, 5_000).await;
    world.vault().release(world.master.endorsed(Release { task: task(2), vault: vault_id() })).await.unwrap();
    world.prepare(3, 5, 5_000).await;
    world.prepare(4, 1, 2_000).await;
    world.at(3_000);
    world.vault().expire().await.unwrap();

    let query =
        |since, after, only| BudgetQuery { nonce: Digest([9; 32]), since: OrderedMillis(since), after, only };
    let page = |world: &World, query: &BudgetQuery| {
        let page = world.vault().budget_page(query);
        assert_eq!(check_statement(&world.governance, &vault_id(), query, &page), Ok(()));
        page.body
    };
    let all = page(&world, &query(0, None, None));
    let of = |name: u8| all.lines.iter().find(|line| line.task == task(name)).unwrap();
    let told =
        [1, 2, 3, 4].map(|name| (of(name).standing, of(name).epsilon.0, of(name).spent, of(name).people));
    let bucket = Bucket(4);
    assert_eq!(
        told,
        [
            (BudgetStanding::Committed, 10, Epsilon(10), bucket),
            (BudgetStanding::Released, 7, Epsilon(0), bucket),
            (BudgetStanding::Reserved, 5, Epsilon(0), bucket),
            (BudgetStanding::Expired, 1, Epsilon(0), bucket),
        ]
    );
    assert_eq!((all.totals.entries, all.more), ([1, 0, 1, 0, 1, 1], false));
    let text = to_bytes(&all);
    assert!(!text.windows(7).any(|part| part == b"example"), "nobody is named");

    let late = page(&world, &query(2_000, None, None));
    assert_eq!(
        late.lines.iter().map(|line| line.task).collect::<Vec<_>>(),
        [task(3)],
        "what is held is always told"
    );
    let behind = page(&world, &query(0, Some(all.lines[1].task), None));
    assert_eq!(behind.lines, all.lines[2..]);
    assert_eq!(page(&world, &query(9_000, None, Some(task(2)))).lines, [of(2).clone()]);
    assert_eq!(page(&world, &query(0, None, Some(TaskId(Digest::ZERO)))).lines, []);
    world.reopen();
    assert_eq!(page(&world, &query(0, None, None)), all);
}

/// R063, R069: what spends a person's budget is under the root that the Vault signs; nobody else may ask, and another Vault's key
/// does not open it.
#[tokio::test]
async fn a_person_can_prove_what_spent_its_budget() {
    let world = World::new();
    world.populate(3).await;
    for name in 1..=3 {
        world.prepare(name, 10, 5_000 + u64::from(name)).await;
    }
    world.withdraw("p1").await;
    let receipt = world.prepare(2, 10, 5_002).await;
    world.vault().commit(&world.master.endorsed(world.assignment(&receipt))).await.unwrap();
    let release = world.master.endorsed(Release { task: task(3), vault: vault_id() });
    world.vault().release(release).await.unwrap();
    let asked = async |who: (&str, &str), subject: &str, after: Vec<u8>| {
        let read = ReadBudget { subject: subject.into(), proven: true, after };
        world.ask(who, "prove", Operation::ReadBudget(read)).await
    };
    let key = world.governance.registry.vaults[&vault_id()].key;
    let told = async |person: &str| -> ProvenStatement {
        let answer = asked((person, "producer"), person, vec![]).await;
        bcs::from_bytes(&answer.proof).unwrap()
    };
    let spent = |statement: &ProvenStatement| {
        let lines = statement.check(&key).unwrap();
        explain(&statement.balances, &lines).unwrap();
        lines.iter().map(|(_, line)| (line.task, line.kind)).collect::<Vec<_>>()
    };
    use MovementKind::{Commit, Release as Back, Reserve};
    let own = told("p2").await;
    let expected = [(1, Reserve), (2, Reserve), (2, Commit), (3, Reserve), (3, Back)];
    assert_eq!(spent(&own), expected.map(|(name, kind)| (task(name), kind)));
    let left = told("p1").await;
    let expected = [(1, Reserve), (2, Reserve), (2, Back), (3, Reserve), (3, Back)];
    assert_eq!(spent(&left), expected.map(|(name, kind)| (task(name), kind)));
    assert_eq!(own.root.body, left.root.body, "everybody sees one ledger");
    let stranger = PrivateKey::from_seed(&[9; 32]).public();
    assert_eq!(own.check(&stranger), Err(ProofFault::Signature));
    let rest = asked(("p2", "producer"), "p2", task(2).0.0.to_vec()).await;
    let rest: ProvenStatement = bcs::from_bytes(&rest.proof).unwrap();
    assert_eq!(rest.entries[..], own.entries[2..]);
    assert_eq!(asked(("p2", "producer"), "p1", vec![]).await.code, Code::Forbidden.as_str());
    assert_eq!(asked(("p2", "producer"), "p2", vec![1]).await.code, Code::Malformed.as_str());
    assert_eq!(asked(OPERATOR, "p1", vec![]).await.code, "");
}
