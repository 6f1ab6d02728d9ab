//! What a Vault reports of columns that no governed attribute is for: of whom, at what cost, once, and across crashes (R044, R050, R051, R057,
//! R063, R067, R213).

use std::collections::BTreeMap;
use std::sync::Arc;

use symphony_protocol::governance::Governance;
use symphony_protocol::governance::candidate::{CandidatePolicy, Found, LocalKind, SignedReport};
use symphony_types::catalogue::Code;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{AttributeName, EpochId, PolicyVersion, UsageScope};
use symphony_vault::tending::Step;
use symphony_wire::documents::encode;
use symphony_wire::v1::ErasePerson;
use symphony_wire::v1::vault_operation::Operation;

use crate::check::checked;
use crate::governing::told;
use crate::world::*;

/// What a report costs: so much that its noise is hardly ever anything but zero.
const COST: u64 = 1_000_000_000;

fn pooling(governance: &mut Governance) {
    let policy = governance.policies.get_mut(&PolicyVersion(1)).unwrap();
    // Two reports, and there is nothing left for a third.
    *policy.privacy.scope_limits.values_mut().next().unwrap() = Epsilon(2 * COST);
    policy.privacy.subject_cap = Epsilon(9 * COST);
    policy.candidates = Some(CandidatePolicy {
        scope: UsageScope::new("marketing").unwrap(),
        epsilon: Epsilon(COST),
        names_per_person: 4,
        records_per_person: 2,
        people_min: 2,
        vaults_min: 2,
        epochs_kept: 3,
    });
    assert_eq!(policy.check(), Ok(()));
}

/// A Vault in its first epoch, with `p0..p4` and their coffees.
async fn world() -> World {
    let world = World::governed(&[], pooling);
    world.populate(5).await;
    world
}

/// A record of a person with more columns.
fn own(nth: u32, person: u32, columns: &str) -> String {
    format!(r#"{{"request_id":"own-{nth}","subject":"p{person}","commerce.merchant":"Kiosk",{columns}}}"#)
}

async fn upload(world: &World, request: &str, sent: &[String]) {
    let done = world.ask(OPERATOR, request, put_records(&sent.join("\n"))).await;
    assert_eq!((done.accepted, done.refused_total), (sent.len() as u64, 0), "{done:?}");
}

async fn reported(world: &World, epoch: u64) -> Result<Option<SignedReport>, Code> {
    world.vault().report_candidates(EpochId(epoch)).await.map_err(|problem| problem.code())
}

fn names(report: &SignedReport) -> BTreeMap<&str, Found> {
    report.body.candidates.iter().map(|(name, found)| (name.as_str(), *found)).collect()
}

fn found(kind: LocalKind, people: u64, others: u64, records: u64) -> Found {
    Found { kind, people, others, records }
}

/// R050, R051, R057, R063: at the end of an epoch the Vault says what its records brought, under its key, with counts and no value; of whom
/// consent holds, whose budget shows it, and nothing of a name of too few, of what it withholds and of those who are erased. The
/// same question has the same answer, also after a restart, and costs nobody anything more; a record is in one report.
#[tokio::test]
async fn a_report_counts_those_who_consent_and_can_afford_it() {
    let mut world = World::governed(&[], pooling);
    world.withheld.insert(AttributeName::new("till.secret").unwrap());
    world.reopen();
    world.populate(5).await;
    let sent: Vec<_> = (0..5)
        .map(|n| own(n, n, r#""till.number":7,"till.secret":"9","loyalty.tier":"gold-plated""#))
        .chain([
            own(5, 1, r#""loyalty.tier":5"#),
            own(6, 2, r#""shoe.size":44"#),
            own(7, 1, r#""loyalty.tier":6"#),
        ])
        .collect();
    upload(&world, "own", &sent).await;
    world.withdraw("p4").await;
    let erase = Operation::ErasePerson(ErasePerson { subject: "p3".into() });
    assert_eq!(world.ask(("p3", "producer"), "erase", erase).await.code, "");
    assert_eq!(reported(&world, 1).await, Err(Code::EpochOpen));
    world.at(1_999);
    assert_eq!(reported(&world, 1).await, Err(Code::EpochOpen));
    assert_eq!(world.budget("p0").await, (0, 0));

    world.at(2_000);
    let report = reported(&world, 1).await.unwrap().unwrap();
    assert!(report.verify(&world.vault().followed().governance().registry.vaults[&vault_id()].key));
    assert_eq!((&report.body.vault, report.body.policy), (&vault_id(), PolicyVersion(1)));
    // Of p0, p1 and p2; most values of p1 under the second name are numbers, and two records of it count.
    let expected = [
        ("loyalty.tier", found(LocalKind::Text, 2, 1, 4)),
        ("till.number", found(LocalKind::Number, 3, 0, 3)),
    ];
    assert_eq!(names(&report), expected.into());
    let bytes = encode(&report);
    assert!(!bytes.windows(4).any(|window| window == b"gold"), "no value leaves");
    assert_eq!(world.budget("p0").await, (0, COST));
    assert_eq!(world.budget("p4").await, (0, 0), "who has withdrawn is not counted");
    let head = world.vault().head();
    assert_eq!(reported(&world, 1).await, Ok(Some(report.clone())));
    world.reopen();
    assert_eq!(reported(&world, 1).await, Ok(Some(report)));
    assert_eq!(world.vault().head(), head);

    world.at(3_000);
    assert_eq!(reported(&world, 2).await, Ok(None), "no record waits");
    assert_eq!(world.budget("p0").await, (0, COST));
    assert_eq!(reported(&world, 0).await, Ok(None));
    world.close();
    let report = checked(&world).unwrap();
    assert_eq!(report.faults_total, 0, "{:?}", report.faults);
}

/// R067, R190: whose budget is used up is counted no more, and what nobody asked for in time is in the next report; an epoch that is over for
/// longer than the policy keeps reports is not reported.
#[tokio::test]
async fn who_cannot_afford_it_is_counted_no_more() {
    let world = world().await;
    for epoch in 1..=3_u32 {
        let sent: Vec<_> = (0..3).map(|n| own(10 * epoch + n, n, r#""till.number":7"#)).collect();
        upload(&world, &format!("own-{epoch}"), &sent).await;
        world.at(u64::from(epoch + 1) * 1_000);
        let report = reported(&world, u64::from(epoch)).await.unwrap();
        let people = report.map(|report| names(&report)["till.number"].people);
        assert_eq!(people, (epoch < 3).then_some(3), "epoch {epoch}");
    }
    assert_eq!(world.budget("p0").await, (0, 2 * COST));
    let sent: Vec<_> = (3..5).map(|n| own(50 + n, n, r#""till.number":7"#)).collect();
    upload(&world, "late", &sent).await;
    world.at(9_000);
    assert_eq!(reported(&world, 4).await, Err(Code::CandidatesClosed));
    let report = reported(&world, 8).await.unwrap().unwrap();
    assert_eq!(names(&report)["till.number"].people, 2);
}

/// R050, R051: where the policy pools nothing, nothing waits and nothing is said; a suspended Vault says nothing either.
#[tokio::test]
async fn without_a_policy_nothing_is_said() {
    let quiet = World::new();
    quiet.populate(3).await;
    upload(&quiet, "own", &[own(0, 0, r#""till.number":7"#), own(1, 1, r#""till.number":7"#)]).await;
    quiet.at(2_000);
    assert_eq!(reported(&quiet, 1).await, Err(Code::CandidatesClosed));
    let world = world().await;
    upload(&world, "own", &[own(0, 0, r#""till.number":7"#), own(1, 1, r#""till.number":7"#)]).await;
    world.at(2_000);
    let suspend = symphony_protocol::governance::change::Change::SuspendNode { vault: vault_id() };
    world.vault().follow(&told(&world, &[], suspend)).unwrap();
    assert_eq!(reported(&world, 1).await, Err(Code::VaultSuspended));
    assert_eq!(world.budget("p0").await, (0, 0));
}

/// R050, R051, R064, R065: stopped after any step, a report is either told or not there; whoever was counted is charged once for the epoch, and
/// asked again the Vault says what it would have said.
#[tokio::test]
async fn a_report_survives_a_crash_at_each_step() {
    for stopped in [Step::Charged, Step::Reported] {
        let mut world = world().await;
        let sent: Vec<_> = (0..3).map(|n| own(n, n, r#""till.number":7"#)).collect();
        upload(&world, "own", &sent).await;
        world.at(2_000);
        let stop = move |step: Step| match step == stopped {
            true => Err(std::io::Error::other("no more")),
            false => Ok(()),
        };
        world.vault().watch_segments(Arc::new(stop));
        assert!(reported(&world, 1).await.is_err(), "{stopped:?}");
        world.reopen();
        for _ in 0..2 {
            let report = reported(&world, 1).await.unwrap().unwrap();
            assert_eq!(names(&report), [("till.number", found(LocalKind::Number, 3, 0, 3))].into());
            assert_eq!(world.budget("p0").await, (0, COST), "{stopped:?}");
        }
        world.at(3_000);
        assert_eq!(reported(&world, 2).await, Ok(None));
    }
}
