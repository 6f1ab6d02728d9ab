//! A Vault that the council has suspended: it takes nothing, serves nobody, and keeps what it has for its people, who read, withdraw and
//! erase as before (R061, R187).

use std::sync::Arc;

use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::log::LogUpdate;
use symphony_types::catalogue::Code;
use symphony_types::id::GovernanceSequence;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{ErasePerson, ReadAttributes, ReadCandidates, ReadConsents};

use crate::check::checked;
use crate::governing::told;
use crate::segments::Scene;
use crate::world::{
    OPERATOR, World, coffee, lines, put_consents, put_records, put_subjects, read_records, task, vault_id,
};

fn suspension(world: &World) -> LogUpdate {
    told(world, &[], Change::SuspendNode { vault: vault_id() })
}

fn reinstatement(world: &World, after: &LogUpdate) -> LogUpdate {
    told(world, &after.entries, Change::ReinstateNode { vault: vault_id() })
}

async fn consent_of(world: &World, person: &str) -> Vec<String> {
    let read = Operation::ReadConsents(ReadConsents { subject: person.into() });
    let answer = world.ask((person, "producer"), "read", read).await;
    answer.consents.into_iter().map(|entry| entry.state).collect()
}

fn granted(person: &str) -> Operation {
    put_consents(&format!(r#"{{"subject":"{person}","scope":"marketing","state":"granted"}}"#))
}

/// R061, R187: nothing comes in and nobody is served, the operator included; each person reads, is told by the Vault itself that its
/// consent has no effect, withdraws and erases. A crash and hearing of it twice change nothing. Reinstated, what was not withdrawn counts.
#[tokio::test]
async fn records_are_quarantined_and_stay_their_peoples() {
    let mut world = World::new();
    world.populate(4).await;
    let update = suspension(&world);
    for _ in 0..2 {
        assert_eq!(world.vault().follow(&update).unwrap(), GovernanceSequence(1));
        world.reopen();
    }
    let suspended = Code::VaultSuspended.as_str();
    let late = lines(1, |_| r#"{"subject":"p9","contact":"p9@example.org"}"#.to_owned());
    for (number, operation) in [put_records(&coffee(0)), put_subjects(&late)].into_iter().enumerate() {
        let refused = world.ask(OPERATOR, &format!("late-{number}"), operation).await;
        assert_eq!((refused.code.as_str(), refused.accepted), (suspended, 0));
        assert!(refused.detail.contains("entry 1") && refused.detail.contains("another vault"));
    }
    let anew = world.ask(("p1", "producer"), "anew", granted("p1")).await;
    assert_eq!((anew.accepted, anew.refused[0].code.as_str()), (0, suspended), "no consent is given here");
    assert_eq!(world.prepare(1, 10, 5_000).await.body.refusal, Some(Code::VaultSuspended));
    let looks = [
        Operation::ReadCandidates(ReadCandidates {}),
        Operation::ReadAttributes(ReadAttributes { subject: "p0".into() }),
    ];
    for look in looks {
        assert_eq!(world.ask(OPERATOR, "look", look).await.code, suspended);
    }

    let read = world.ask(("p0", "producer"), "read", read_records("p0")).await;
    assert_eq!((read.code.as_str(), read.records.len()), ("", 1));
    let own = Operation::ReadAttributes(ReadAttributes { subject: "p0".into() });
    assert_eq!(world.ask(("p0", "producer"), "read", own).await.code, "");
    assert_eq!(consent_of(&world, "p0").await, ["suspended"]);
    world.withdraw("p0").await;
    assert_eq!(consent_of(&world, "p0").await, ["withdrawn"]);
    let erase = Operation::ErasePerson(ErasePerson { subject: "p1".into() });
    let erased = world.ask(("p1", "producer"), "erase", erase).await;
    assert!(erased.code.is_empty() && !erased.proof.is_empty());

    let back = reinstatement(&world, &update);
    for _ in 0..2 {
        assert_eq!(world.vault().follow(&back).unwrap(), GovernanceSequence(2));
        world.reopen();
    }
    assert_eq!(consent_of(&world, "p0").await, ["withdrawn"], "what was withdrawn stays so");
    assert_eq!(consent_of(&world, "p2").await, ["granted"]);
    let receipt = world.prepare(2, 10, 5_000).await;
    let reserved = world.vault().state().ledger.entry(&task(2)).unwrap().reserved.set().len();
    assert_eq!((receipt.body.refusal, reserved), (None, 2));
    assert_eq!(world.ask(OPERATOR, "now", put_records(&coffee(2))).await.code, "");
    world.close();
    let report = checked(&world).unwrap();
    assert_eq!(report.faults_total, 0, "{:?}", report.faults);
}

/// R061, R065, R187: no slice is computed and none that was is handed out while the Vault is suspended; nobody's budget is consumed,
/// what was reserved is released, and reinstated the slice is the one that it was.
#[tokio::test]
async fn a_suspended_vault_computes_nothing() {
    let scene = Scene::new(u32::MAX);
    let world = &scene.world;
    world.populate(3).await;
    let mut orders = Vec::new();
    for name in [1, 2] {
        orders.push(scene.order(name).await);
    }
    let compute =
        |number: usize| Arc::clone(world.vault()).assign(Arc::clone(&scene.slice), orders[number].clone());
    let done = compute(0).await.unwrap();
    let spent = world.budget("p0").await;
    let update = suspension(world);
    world.vault().follow(&update).unwrap();
    for number in [0, 1] {
        assert_eq!(compute(number).await.unwrap_err().code(), Code::VaultSuspended);
    }
    assert_eq!(world.budget("p0").await, spent, "nothing is consumed");
    world.vault().follow(&reinstatement(world, &update)).unwrap();
    assert_eq!(compute(0).await.unwrap().bundle, done.bundle);
    compute(1).await.unwrap();
}

/// R008, R065: a Vault whose enterprise leaves takes nothing new, and ends what it has: people read and withdraw, and a task that it
/// reserved for is computed.
#[tokio::test]
async fn a_leaving_vault_ends_what_it_has() {
    let scene = Scene::new(u32::MAX);
    let world = &scene.world;
    world.populate(3).await;
    let order = scene.order(1).await;
    world.vault().follow(&told(world, &[], Change::ReleaseEnterprise { vault: vault_id() })).unwrap();
    let leaving = Code::VaultLeaving.as_str();
    assert_eq!(world.ask(OPERATOR, "late", put_records(&coffee(0))).await.code, leaving);
    let anew = world.ask(("p1", "producer"), "anew", granted("p1")).await;
    assert_eq!((anew.accepted, anew.refused[0].code.as_str()), (0, leaving));
    assert_eq!(world.prepare(2, 10, 5_000).await.body.refusal, Some(Code::VaultLeaving));
    assert_eq!(consent_of(world, "p0").await, ["granted"]);
    Arc::clone(world.vault()).assign(Arc::clone(&scene.slice), order).await.unwrap();
    world.withdraw("p0").await;
}
