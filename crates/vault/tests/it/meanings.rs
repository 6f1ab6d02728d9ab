//! A Vault takes a version of meaning that the council makes: values of a new attribute are governed from its epoch on, and segments have a
//! column for it, beside those that have none (R045, R050, R051, R052, R054).

use std::collections::BTreeMap;

use symphony_protocol::artifact::selection::Selection;
use symphony_protocol::artifact::{Plan, Predicate, PrivacyClass, ResolvedOperand};
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::meaning::Amendment;
use symphony_protocol::governance::semantics::{Attribute, AttributeLifecycle, Queryability, ValueType};
use symphony_types::id::{DomainName, RuleName, SemanticVersion};
use symphony_wire::v1::ReadCandidates;
use symphony_wire::v1::vault_operation::Operation;

use crate::governing::told;
use crate::segments::{Scene, checked, segments};
use crate::world::{OPERATOR, World, attribute, lines, put_records, read_records};

const TIER: &str = "commerce.tier";

fn registered() -> Change {
    let tier = Attribute {
        domain: DomainName::new("commerce").unwrap(),
        value: ValueType::Text,
        privacy_class: PrivacyClass::Low,
        queryability: Queryability::DirectlyQueryable,
        lifecycle: AttributeLifecycle::Registered,
    };
    let attributes = BTreeMap::from([(attribute(TIER), tier)]);
    let amendment = Box::new(Amendment { attributes, ..Amendment::default() });
    Change::AmendMeaning { version: SemanticVersion(2), amendment }
}

/// A purchase of somebody, who is in gold if the number is even.
fn tiered(n: u32) -> String {
    let (tier, person) = (["Gold", "blue"][n as usize % 2], n % 7);
    format!(
        r#"{{"request_id":"tier-{n}","subject":"p{person}","commerce.merchant":"Kiosk","{TIER}":"{tier}"}}"#
    )
}

async fn uploaded(world: &World, numbers: std::ops::Range<u32>) -> Vec<String> {
    let sent = lines(numbers.end - numbers.start, |n| tiered(numbers.start + n));
    let done = world.ask(OPERATOR, &format!("tiers-{}", numbers.start), put_records(&sent)).await;
    assert_eq!(
        (u64::from(numbers.end - numbers.start), 0),
        (done.accepted + done.refused_total, 0),
        "{done:?}"
    );
    done.local
}

/// Columns that the operator sees no governed attribute for.
async fn candidates(world: &World) -> Vec<String> {
    let read = Operation::ReadCandidates(ReadCandidates {});
    let answer = world.ask(OPERATOR, "candidates", read).await;
    answer.candidates.into_iter().map(|one| one.name).collect()
}

/// What the column is before its epoch stays a local candidate; from then on it is governed, in records, in segments with and without the
/// column, and after a restart; the check finds nothing.
#[tokio::test]
async fn a_new_attribute_is_governed_from_its_epoch_on() {
    let mut scene = Scene::new(4);
    scene.world.populate(7).await;
    let before = segments(&scene.world).len();
    assert!(before > 0, "there are segments without the column");
    let update = told(&scene.world, &[], registered());
    scene.world.vault().follow(&update).unwrap();
    for _ in 0..2 {
        scene.world.vault().adopt_versions().await.unwrap();
    }
    // Enacted at 1,500 of epochs of a second: in force from 3,000 on.
    scene.world.at(2_999);
    let early = scene.world.ask(OPERATOR, "early", put_records(&tiered(100))).await;
    assert_eq!((early.accepted, early.local), (1, vec![TIER.to_owned()]));
    assert_eq!(candidates(&scene.world).await, [TIER]);
    scene.world.at(3_000);
    assert_eq!(candidates(&scene.world).await, Vec::<String>::new(), "what is governed is no candidate");
    assert_eq!(uploaded(&scene.world, 0..6).await, Vec::<String>::new());
    scene = scene.restarted(|_| ());
    scene.world.vault().adopt_versions().await.unwrap();
    assert_eq!(uploaded(&scene.world, 6..12).await, Vec::<String>::new());
    assert!(segments(&scene.world).len() > before, "there are segments with the column");
    // One stands beside segments.
    assert_eq!(uploaded(&scene.world, 12..13).await, Vec::<String>::new());
    let read = scene.world.ask(("p1", "producer"), "read", read_records("p1")).await;
    assert!(
        read.records.iter().any(|record| record.json.contains(r#""commerce.tier":{"Text":"blue"}"#)),
        "{read:?}"
    );
    let Plan::Audience(query) = &mut scene.world.plan else { panic!("no audience") };
    let by_merchant = query.clone();
    query.who = Selection::record(vec![ResolvedOperand {
        rule: RuleName::new("commerce.tier_is").unwrap(),
        attribute: attribute(TIER),
        predicate: Predicate::TextEquals("gold".into()),
    }]);
    let order = scene.order(1).await;
    let result = scene.result(&order, &scene.computed(&order).await);
    // Even numbers up to 12 are of all seven people.
    let expected = (0..7).map(|n| format!("p{n}@example.org")).collect::<Vec<_>>();
    assert_eq!(result.handles, expected);
    scene.world.plan = Plan::Audience(by_merchant);
    let order = scene.order(2).await;
    let result = scene.result(&order, &scene.computed(&order).await);
    assert_eq!(result.handles, expected, "segments without the column answer as they did");
    let mut world = scene.into_world();
    world.close();
    let report = checked(&world);
    assert_eq!(report.faults_total, 0, "{:?}", report.faults);
}
