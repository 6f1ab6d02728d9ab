//! Rotation of the Vault's key while it serves, and a crash in its middle.

use std::fs;
use std::path::Path;

use symphony_types::catalogue::Code;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{ErasePerson, PutReceipt, ReadReceipt, RotateKey, VaultAnswer};

use crate::segments::{Scene, checked};
use crate::world::*;

const P0: (&str, &str) = ("p0", "producer");
const OLD: &str = "storage.1.key";

async fn rotate(world: &World, request: &str) -> VaultAnswer {
    world.ask(OPERATOR, request, Operation::RotateKey(RotateKey {})).await
}

fn receipt() -> Vec<u8> {
    [b"\xff\xd8\xff\xe0".as_slice(), b"a receipt"].concat()
}

async fn kept(world: &World) -> Vec<u8> {
    let answer = world.ask(P0, "r1", Operation::PutReceipt(PutReceipt { content: receipt() })).await;
    answer.receipts[0].receipt_id.clone()
}

/// Whether everything that was wrapped opens: records, a receipt, segments.
async fn opens(scene: &Scene, name: u8, receipt_id: &[u8]) {
    for n in 0..9 {
        let person = format!("p{n}");
        let read = scene.world.ask((&person, "producer"), "read", read_records(&person)).await;
        assert_eq!((read.records.len(), read.code.as_str()), (1, ""), "{person} {}", read.detail);
    }
    let read = Operation::ReadReceipt(ReadReceipt { receipt_id: receipt_id.to_vec(), content: true });
    assert_eq!(scene.world.ask(P0, "read", read).await.content, receipt());
    let order = scene.order(name).await;
    assert_eq!(scene.result(&order, &scene.computed(&order).await).handles.len(), 9);
}

fn holding(world: &World, bytes: &[u8]) -> usize {
    let holds = |file: &Path| fs::read(file).unwrap().windows(bytes.len()).any(|part| part == bytes);
    world.files().iter().filter(|file| holds(file)).count()
}

/// R076: every key is under a new one and opens what it did; neither the old key nor anything under it is in a file any more.
#[tokio::test]
async fn a_rotation_leaves_nothing_under_the_old_key() {
    let scene = Scene::new(4);
    scene.world.populate(9).await;
    let receipt_id = kept(&scene.world).await;
    for who in [P0, ("acme", "producer")] {
        let refused = scene.world.ask(who, "rotate", Operation::RotateKey(RotateKey {})).await;
        assert_eq!(refused.code, Code::Forbidden.as_str());
    }
    let old = fs::read(scene.world.path().join(OLD)).unwrap();
    let people = fs::read(scene.world.path().join("people.keys")).unwrap();
    let of_segments = fs::read(scene.world.path().join("segments.keys")).unwrap();
    assert_eq!(
        rotate(&scene.world, "one").await.accepted,
        9 + 1 + 1 + 1,
        "people, segments, days, and the key of dividends"
    );
    assert!(!scene.world.path().join(OLD).exists());
    for secret in [&old[..], &people[..60], &people[8 * 64..8 * 64 + 60], &of_segments[..60]] {
        assert_eq!(holding(&scene.world, secret), 0);
    }
    opens(&scene, 1, &receipt_id).await;
    assert_eq!(rotate(&scene.world, "one").await.accepted, 12, "the same request has the same answer");
    assert!(scene.world.path().join("storage.2.key").exists());
    let scene = scene.restarted(|world| assert_eq!(checked(world).faults, vec![]));
    assert_eq!(rotate(&scene.world, "two").await.accepted, 12);
    opens(&scene, 2, &receipt_id).await;
    let person = r#"{"subject":"p9","contact":"p9@example.org"}"#;
    assert_eq!(scene.world.ask(OPERATOR, "more", put_subjects(person)).await.accepted, 1);
    assert_eq!(scene.world.ask(("p9", "producer"), "coffee", put_records(&coffee(9))).await.accepted, 1);
}

/// R076: after a crash some slots are under the old key and some under the new; the next start goes on.
#[tokio::test]
async fn a_crash_inside_a_rotation_is_made_good_at_the_start() {
    let scene = Scene::new(4);
    scene.world.populate(9).await;
    let receipt_id = kept(&scene.world).await;
    let before = [OLD, "people.keys", "periods.keys", "segments.keys", "dividends.keys"];
    let before = before.map(|file| (file, fs::read(scene.world.path().join(file)).unwrap()));
    assert_eq!(rotate(&scene.world, "one").await.accepted, 12);
    let scene = scene.restarted(|world| {
        for (file, old) in &before {
            let path = world.path().join(file);
            // The first half as if it had not been replaced yet.
            let now = fs::read(&path).unwrap_or_else(|_| old.clone());
            let half =
                if *file == OLD { old.len() } else { (old.len() / 2).next_multiple_of(128).min(old.len()) };
            fs::write(&path, [&old[..half], &now[half..]].concat()).unwrap();
        }
        assert_eq!(checked(world).faults, vec![], "both keys open what is theirs");
    });
    assert!(!scene.world.path().join(OLD).exists());
    assert_eq!(holding(&scene.world, &before[1].1[..60]), 0);
    opens(&scene, 1, &receipt_id).await;
    scene.restarted(|world| assert_eq!(checked(world).faults, vec![]));
}

/// R076, R080: people are enrolled, erased, read and written into segments while the key turns, and all of it holds afterwards.
#[tokio::test]
async fn a_rotation_goes_on_beside_everything_else() {
    let scene = Scene::new(4);
    scene.world.populate(9).await;
    let world = &scene.world;
    let rotating = async {
        for n in 0..20 {
            let answer = rotate(world, &format!("rotation-{n}")).await;
            assert_eq!(answer.code, "", "{}", answer.detail);
        }
    };
    let bringing = async {
        for n in 9..40 {
            let person = format!(r#"{{"subject":"p{n}","contact":"p{n}@example.org"}}"#);
            assert_eq!(world.ask(OPERATOR, &format!("p{n}"), put_subjects(&person)).await.accepted, 1);
            let record = world.ask(OPERATOR, &format!("c{n}"), put_records(&coffee(n))).await;
            assert_eq!((record.accepted, record.code.as_str()), (1, ""), "{}", record.detail);
        }
    };
    let reading = async {
        for n in 0..60 {
            let person = format!("p{}", n % 5);
            let read = world.ask((&person, "producer"), "read", read_records(&person)).await;
            assert_eq!((read.records.len(), read.code.as_str()), (1, ""), "{}", read.detail);
        }
    };
    let erasing = async {
        for person in ["p5", "p6", "p7"] {
            let erase = Operation::ErasePerson(ErasePerson { subject: person.into() });
            let answer = world.ask((person, "producer"), "erase", erase).await;
            assert_eq!(answer.code, "", "{}", answer.detail);
        }
    };
    tokio::join!(rotating, bringing, reading, erasing);
    scene.restarted(|world| {
        let report = checked(world);
        assert_eq!((report.faults, report.people, report.erased_people), (vec![], 37, 3));
        assert_eq!((report.records, report.erased_records), (37, 3));
    });
}
