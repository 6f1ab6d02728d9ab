//! A Vault follows governance: it checks what it is told, keeps it, and seals nothing to code that is revoked (R120, R129, R194).

use std::sync::Arc;

use symphony_protocol::artifact::{Bucket, Preparation};
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::log::{Followed, LogEntry, LogUpdate, Standing};
use symphony_protocol::governance::policy::Policy;
use symphony_protocol::governance::proposal::{Proposal, Vote};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::epsilon::Epsilon;
use symphony_types::id::{GovernanceSequence, Measurement, PolicyVersion, UsageScope};
use symphony_types::key::Document as _;
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::encode;

use crate::check::checked;
use crate::segments::Scene;
use crate::world::{OPERATOR, World, council_key, lines, member, policy, put_consents};

/// The whole log after a change, as the masters tell it.
pub(crate) fn told(world: &World, before: &[LogEntry], change: Change) -> LogUpdate {
    let mut followed = Followed::new(world.governance.clone());
    before.iter().for_each(|entry| followed.enact(entry).unwrap());
    let head = followed.head();
    let body = Proposal {
        foundation: head.foundation,
        proposer: member(1),
        number: head.sequence.0 + 1,
        change,
        summary: String::new(),
        amends: None,
    };
    let proposal = body.digest();
    let vote = |by| council_key(by).sign(Vote { proposal, voter: member(by), approve: true });
    let entry = LogEntry {
        sequence: GovernanceSequence(head.sequence.0 + 1),
        previous: head.last,
        proposal: council_key(1).sign(body),
        policy: PolicyVersion(1),
        at: OrderedMillis(1_500),
        votes: (1..=3).map(vote).collect(),
    };
    followed.enact(&entry).unwrap();
    let entries = before.iter().cloned().chain([entry]).collect();
    LogUpdate { entries, head: world.master.endorsed(followed.head()) }
}

/// R194, R195: what the council carried is enacted once and is there after a restart; what it did not carry changes nothing.
#[tokio::test]
async fn what_the_council_carried_is_kept() {
    let code = Measurement(Digest([9; 32]));
    let mut world = World::with(&[code]);
    let update = told(&world, &[], Change::RevokeMeasurement { measurement: code });
    let mut few = update.clone();
    few.entries[0].votes.pop();
    let mut alone = update.clone();
    alone.head.endorsements.clear();
    for bad in [few, alone] {
        assert_eq!(world.vault().follow(&bad).unwrap_err().code(), Code::GovernanceForged);
        assert_eq!(world.vault().followed().governance(), &world.governance);
    }
    for _ in 0..2 {
        assert_eq!(world.vault().follow(&update).unwrap(), GovernanceSequence(1));
    }
    world.reopen();
    let known = world.vault().followed();
    assert_eq!(known.head(), update.head.body);
    assert!(known.governance().registry.active_code().is_empty());
    let more = Change::RevokePlatform { platform: world.platform.platform() };
    let mut gap = told(&world, &update.entries, more);
    gap.entries.clear();
    assert_eq!(
        world.vault().follow(&gap).unwrap(),
        GovernanceSequence(1),
        "it says where entries are missing"
    );
}

/// R129: an order rests on the state of governance that the Vault knows: a master that withholds a revocation names an older
/// one, which no majority endorses any more, or a later one, which the Vault has not.
#[tokio::test]
async fn an_order_rests_on_what_the_vault_knows() {
    let code = Measurement(Digest([9; 32]));
    let world = World::with(&[code]);
    let order = Digest([1; 32]);
    let standing = |followed: &Followed, order| {
        let head = followed.head();
        let (foundation, sequence, last) = (head.foundation, head.sequence, head.last);
        world.master.endorsed(Standing { order, foundation, sequence, last })
    };
    let before = standing(&world.vault().followed(), order);
    let stands = |standing: &[u8]| world.vault().stands(standing, order).map_err(|problem| problem.code());
    assert_eq!(stands(&encode(&before)), Ok(()));
    assert_eq!(stands(&[]), Err(Code::Malformed));
    let other = standing(&world.vault().followed(), Digest([2; 32]));
    assert_eq!(stands(&encode(&other)), Err(Code::Forbidden));
    let update = told(&world, &[], Change::RevokeMeasurement { measurement: code });
    let mut later = Followed::new(world.governance.clone());
    later.follow(&update).unwrap();
    assert_eq!(stands(&encode(&standing(&later, order))), Err(Code::GovernanceBehind));
    world.vault().follow(&update).unwrap();
    assert_eq!(stands(&encode(&before)), Err(Code::GovernanceBehind));
    assert_eq!(stands(&encode(&standing(&later, order))), Ok(()));
}

/// R120, R128, R129: with its code revoked a task gets no records any more and costs nobody anything; what was computed before
/// is still handed out.
#[tokio::test]
async fn nothing_is_sealed_to_revoked_code() {
    let scene = Scene::new(u32::MAX);
    let world = &scene.world;
    world.populate(3).await;
    let code = world.governance.registry.active_code()[0];
    let assigned = [scene.order(1).await, scene.order(2).await];
    let done = Arc::clone(world.vault()).assign(Arc::clone(&scene.slice), assigned[0].clone()).await.unwrap();
    let spent = world.budget("p0").await;
    world.vault().follow(&told(world, &[], Change::RevokeMeasurement { measurement: code })).unwrap();
    let refused = Arc::clone(world.vault()).assign(Arc::clone(&scene.slice), assigned[1].clone()).await;
    assert_eq!(refused.unwrap_err().code(), Code::AttestationFailed);
    assert_eq!(world.budget("p0").await, spent, "nothing is consumed");
    let again =
        Arc::clone(world.vault()).assign(Arc::clone(&scene.slice), assigned[0].clone()).await.unwrap();
    assert_eq!(again.bundle, done.bundle);
}

/// The second version: another scope, and less of each person.
fn second(policy: Policy) -> Change {
    let mut policy = policy;
    policy.privacy.scope_limits.insert(UsageScope::new("research").unwrap(), Epsilon(20));
    policy.privacy.subject_cap = Epsilon(25);
    Change::AdoptPolicy { version: PolicyVersion(2), policy: Box::new(policy) }
}

/// R063, R070, R188, R190: a version of the policy that the council adopts is in the Vault's own journal, decides from its epoch on, is taken
/// once however often it is told, also after a crash between the log and the journal; what was decided before is decided again
/// under the version of its time.
#[tokio::test]
async fn a_policy_decides_from_its_epoch_on() {
    let mut world = World::new();
    world.populate(3).await;
    let research = lines(3, |n| format!(r#"{{"subject":"p{n}","scope":"research","state":"granted"}}"#));
    let update = told(&world, &[], second(policy()));
    // Enacted at 1,500 of epochs of a second: epoch 2 is its notice, and it is in force from 3,000 on.
    world.vault().follow(&update).unwrap();
    world.reopen();
    assert_eq!(world.vault().state().charter.policies.len(), 1, "a crash between the log and the journal");
    for _ in 0..2 {
        world.vault().adopt_versions().await.unwrap();
        assert_eq!(world.vault().follow(&update).unwrap(), GovernanceSequence(1));
        assert_eq!(world.vault().state().charter.policies.len(), 2);
    }
    world.at(2_999);
    let early = world.ask(OPERATOR, "early", put_consents(&research)).await;
    assert_eq!((early.accepted, early.refused_total), (0, 3), "{early:?}");
    world.at(3_000);
    let late = world.ask(OPERATOR, "late", put_consents(&research)).await;
    assert_eq!((late.accepted, late.refused_total), (3, 0), "{late:?}");
    let prepare = |name, version| {
        let version = PolicyVersion(version);
        world.master.endorsed(Preparation { policy: version, ..world.preparation(name, 20, 9_000) })
    };
    // Under the first version a person has 30 of the scope and 40 in all, under the second 25 in all.
    let first = world.vault().prepare(prepare(1, 1)).await.unwrap();
    assert_eq!((first.body.refusal, first.body.coverage), (None, Bucket::of(3)));
    let second = world.vault().prepare(prepare(2, 2)).await.unwrap();
    assert_eq!((second.body.refusal, second.body.coverage), (None, Bucket::of(0)));
    let unknown = world.vault().prepare(prepare(3, 3)).await.unwrap();
    assert_eq!(unknown.body.refusal, Some(Code::PolicyUnknown));
    let read = world.budget("p0").await;
    assert_eq!(read, (20, 0));
    world.close();
    let report = checked(&world).unwrap();
    assert_eq!(report.faults_total, 0, "{:?}", report.faults);
}
