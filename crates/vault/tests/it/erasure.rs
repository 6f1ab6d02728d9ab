//! Erasure of a person: what is left of it in answers, tasks and files, and crashes between the steps.

use std::fs;

use symphony_protocol::artifact::DividendRequest;
use symphony_protocol::vault::document::SignedPersonErasure;
use symphony_types::amount::Sym;
use symphony_types::catalogue::Code;
use symphony_types::id::{EpochId, SubjectId};
use symphony_types::subjects::SubjectIndex;
use symphony_vault::check::Part;
use symphony_vault::keys::{KeyError, VaultKeys, WRAPPED_LEN};
use symphony_vault::people::Wrapped;
use symphony_wire::documents::decode;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{ErasePerson, PutReceipt, ReadBudget, ReadConsents, ReadDividends, VaultAnswer};

use crate::segments::{Scene, checked, segments, tea};
use crate::world::*;

const P3: (&str, &str) = ("p3", "producer");
const PEOPLE: &str = "people.keys";

fn erasing(person: &str) -> Operation {
    Operation::ErasePerson(ErasePerson { subject: person.into() })
}

async fn erased(world: &World, person: &str) -> SignedPersonErasure {
    let answer = world.ask((person, "producer"), "erase", erasing(person)).await;
    assert_eq!(answer.code, "", "{}", answer.detail);
    let proof: SignedPersonErasure = decode(&answer.proof).unwrap();
    assert!(proof.verify(&world.governance.registry.vaults[&vault_id()].key));
    proof
}

async fn receipt(world: &World, request: &str) -> VaultAnswer {
    let content = [b"\xff\xd8\xff\xe0".as_slice(), b"a receipt"].concat();
    world.ask(P3, request, Operation::PutReceipt(PutReceipt { content })).await
}

/// Where the keys at hand open a wrapped key of this person: file by file, byte by byte.
fn openable(world: &World, person: u32) -> Vec<String> {
    let keys = VaultKeys::open(world.path()).unwrap();
    let mut place = *b"data-key\0\0\0\0";
    place[8..].copy_from_slice(&person.to_be_bytes());
    let mut found = Vec::new();
    for file in world.files() {
        let bytes = fs::read(&file).unwrap();
        let opens = bytes.windows(WRAPPED_LEN).any(|window| {
            let zeros = window[..8] == [0; 8];
            let wrapped = Wrapped { key: window.try_into().unwrap(), generation: 1 };
            !zeros && keys.ring.unwrap(&place, &wrapped).is_ok()
        });
        if opens {
            found.push(file.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    found
}

/// R055, R059, R076, R080, D12: after the answer nothing of the person is in an answer, a slice or a file that opens; everybody
/// else's is, the check is clean, and the same id enrolled again is another person.
#[tokio::test]
async fn an_erased_person_is_in_no_answer_and_no_file() {
    let scene = Scene::new(4);
    scene.world.populate(10).await;
    scene.more("more", 15, tea).await;
    let others = |n: u32| coffee(n + 4).replace("coffee-", "another-");
    scene.more("others", 4, others).await;
    assert_eq!(receipt(&scene.world, "r1").await.accepted, 1);
    let before = scene.order(1).await;
    let handles = scene.result(&before, &scene.computed(&before).await).handles;
    assert!(handles.contains(&"p3@example.org".to_owned()));
    let files = segments(&scene.world);
    let scene = scene.restarted(|world| {
        assert_eq!(openable(world, 3), [PEOPLE], "the key is where this test looks for it");
    });
    scene.world.at(2_000);
    let proof = erased(&scene.world, "p3").await;
    assert_eq!((proof.body.subject, proof.body.at.0), (SubjectIndex(3), 2_000));
    assert_eq!(proof.body.head, scene.world.vault().head());
    let gone = files.iter().filter(|file| !file.exists()).count();
    assert!(
        (1..files.len()).contains(&gone),
        "the segments with rows of the person and no others are written again"
    );
    assert_eq!(segments(&scene.world).len(), files.len());

    let unknown = Code::SubjectUnknown.as_str();
    let budget = || Operation::ReadBudget(ReadBudget { subject: "p3".into(), ..ReadBudget::default() });
    let dividends = || Operation::ReadDividends(ReadDividends { subject: "p3".into() });
    for operation in [read_records("p3"), budget(), dividends()] {
        assert_eq!(scene.world.ask(P3, "read", operation).await.code, unknown);
    }
    assert_eq!(scene.world.ask(OPERATOR, "read", budget()).await.code, unknown);
    assert_eq!(receipt(&scene.world, "r2").await.code, unknown);
    let consent = r#"{"subject":"p3","scope":"marketing","state":"granted"}"#;
    let refused = scene.world.ask(P3, "consent", put_consents(consent)).await;
    assert_eq!((refused.accepted, refused.refused[0].code.as_str()), (0, unknown));
    let after = scene.order(2).await;
    let left = scene.result(&after, &scene.computed(&after).await).handles;
    assert_eq!(left, (0..10).filter(|n| *n != 3).map(|n| format!("p{n}@example.org")).collect::<Vec<_>>());

    let scene = scene.restarted(|world| {
        assert_eq!(openable(world, 3), [""; 0]);
        assert_eq!(openable(world, 2), [PEOPLE]);
        assert!(matches!(
            VaultKeys::open(world.path()).unwrap().data_key(SubjectIndex(3)),
            Err(KeyError::Gone)
        ));
        let report = checked(world);
        assert_eq!((&report.faults, report.people, report.erased_people), (&vec![], 9, 1));
        assert_eq!((report.records, report.erased_records, report.documents), (26, 3, 1), "{report:?}");
    });
    assert_eq!(erased(&scene.world, "p3").await, proof, "the same proof");

    let person = r#"{"subject":"p3","contact":"again@example.org"}"#;
    assert_eq!(scene.world.ask(OPERATOR, "again", put_subjects(person)).await.accepted, 1);
    let key = VaultKeys::open(scene.world.path()).unwrap().subject_key(&SubjectId::new("p3").unwrap());
    assert_eq!(scene.world.vault().state().subjects.find(&key), Some(SubjectIndex(10)));
    assert!(scene.world.ask(P3, "read", read_records("p3")).await.records.is_empty());
    assert_eq!(
        scene.world.ask(P3, "coffee", put_records(&coffee(3))).await.accepted,
        1,
        "the same request of another"
    );
    assert_eq!(receipt(&scene.world, "r1").await.accepted, 1);
    let consents = Operation::ReadConsents(ReadConsents { subject: "p3".into() });
    assert!(scene.world.ask(P3, "read", consents).await.consents.is_empty(), "no consent came back");
    assert_eq!(scene.world.ask(P3, "yes", put_consents(consent)).await.accepted, 1);
    let third = scene.order(3).await;
    let handles = scene.result(&third, &scene.computed(&third).await).handles;
    assert!(handles.contains(&"again@example.org".to_owned()), "{handles:?}");
}

/// R055, R079, R080: a person erases itself alone; the operator erases anybody; nobody else does.
#[tokio::test]
async fn nobody_erases_another_person() {
    let world = World::new();
    world.populate(2).await;
    let head = world.vault().head();
    for who in [("p0", "producer"), ("acme", "submitter"), ("p1", "operator")] {
        assert_eq!(world.ask(who, "erase", erasing("p1")).await.code, Code::Forbidden.as_str());
    }
    assert_eq!(world.ask(OPERATOR, "erase", erasing("nobody")).await.code, Code::SubjectUnknown.as_str());
    assert_eq!(world.vault().head(), head);
    assert_eq!(world.ask(OPERATOR, "erase", erasing("p1")).await.code, "");
    assert_eq!(world.ask(P3, "read", read_records("p1")).await.code, Code::Forbidden.as_str());
}

/// R057, R059, R065, R196: a task whose people are committed finishes without who was erased since, at first and at a later
/// attempt; what was for the wallet of the erased goes back to the pool.
#[tokio::test]
async fn a_committed_task_finishes_without_who_is_erased() {
    for segment_rows in [u32::MAX, 3] {
        let scene = Scene::new(segment_rows);
        scene.world.populate(7).await;
        let order = scene.order(1).await;
        scene.world.vault().commit(&order).await.unwrap();
        erased(&scene.world, "p0").await;
        let first = scene.computed(&order).await;
        let people = |without: &[u32]| {
            let left = (0..7).filter(|n| !without.contains(n)).map(|n| format!("p{n}@example.org"));
            left.collect::<Vec<_>>()
        };
        assert_eq!(scene.result(&order, &first).handles, people(&[0]));
        erased(&scene.world, "p6").await;
        let mut again = order.body.clone();
        again.attempt = 1;
        let again = scene.world.master.endorsed(again);
        let second = scene.computed(&again).await;
        assert_eq!(scene.result(&again, &second).handles, people(&[0, 6]));
        assert_eq!(scene.world.budget("p1").await, (0, 10));
        erased(&scene.world, "p5").await;
        let request = scene.world.master.endorsed(DividendRequest {
            vault: vault_id(),
            epoch: EpochId(3),
            shares: vec![(task(1), Sym(500))],
            carried_in: Sym(0),
            payees_min: 2,
            staked: vec![],
        });
        let statement = scene.world.vault().close_dividends(request).await.unwrap().body;
        assert_eq!(statement.payees, 4);
        assert_eq!(statement.total.0 + statement.pool_return.0, 500);
        let scene = scene.restarted(|world| assert_eq!(checked(world).faults, vec![]));
        let read = Operation::ReadDividends(ReadDividends { subject: "p1".into() });
        assert_eq!(scene.world.ask(("p1", "producer"), "read", read).await.dividends.len(), 1);
    }
}

/// R076, R080, D12: a crash after the journal's entry, before any key is overwritten, ends in an erasure all the same.
#[tokio::test]
async fn a_crash_inside_an_erasure_is_made_good_at_the_start() {
    let scene = Scene::new(4);
    scene.world.populate(9).await;
    assert_eq!(receipt(&scene.world, "r1").await.accepted, 1);
    let slots = ["people.keys", "documents.keys"]
        .map(|file| (file, fs::read(scene.world.path().join(file)).unwrap()));
    // Segments that cannot be read now: the erasure stops before any is written again.
    let files = segments(&scene.world);
    for file in &files {
        fs::rename(file, file.with_extension("away")).unwrap();
    }
    let stopped = scene.world.ask(P3, "erase", erasing("p3")).await;
    assert_eq!(stopped.code, Code::Internal.as_str(), "no proof before everything is done");
    let scene = scene.restarted(|world| {
        for file in &files {
            fs::rename(file.with_extension("away"), file).unwrap();
        }
        for (file, bytes) in &slots {
            fs::write(world.path().join(file), bytes).unwrap();
        }
        assert_eq!(openable(world, 3), [PEOPLE], "as if it had not been overwritten");
        let parts: Vec<_> = checked(world).faults.iter().map(|fault| fault.part).collect();
        assert_eq!(parts, [Part::Erasure, Part::Erasure], "a check tells what is still to be done");
    });
    assert_eq!(scene.world.ask(P3, "read", read_records("p3")).await.code, Code::SubjectUnknown.as_str());
    let order = scene.order(1).await;
    assert_eq!(scene.result(&order, &scene.computed(&order).await).handles.len(), 8);
    erased(&scene.world, "p3").await;
    scene.restarted(|world| {
        assert_eq!(openable(world, 3), [""; 0]);
        let report = checked(world);
        assert_eq!((report.faults, report.erased_people, report.segments), (vec![], 1, 1));
    });
}

/// R076, R080: a crash after people's keys are on disk and before the journal's entry enrols nobody and leaves no key.
#[tokio::test]
async fn a_crash_inside_an_enrolment_enrols_nobody() {
    let mut world = World::new();
    world.populate(2).await;
    world.close();
    let database = fs::read(world.path().join("vault.redb")).unwrap();
    world.reopen();
    let person = r#"{"subject":"p2","contact":"p2@example.org"}"#;
    assert_eq!(world.ask(OPERATOR, "one", put_subjects(person)).await.accepted, 1);
    world.close();
    fs::write(world.path().join("vault.redb"), database).unwrap();
    assert_eq!(openable(&world, 2), [PEOPLE]);
    world.reopen();
    assert_eq!(openable(&world, 2), [""; 0]);
    assert_eq!(world.ask(OPERATOR, "one", put_subjects(person)).await.accepted, 1);
    assert_eq!(world.ask(("p2", "producer"), "coffee", put_records(&coffee(2))).await.accepted, 1);
    assert_eq!(world.ask(("p1", "producer"), "read", read_records("p1")).await.records.len(), 1);
}

/// R078: a file of keys that was cut off, and a folder of an earlier build, are told apart from a new one.
#[tokio::test]
async fn a_folder_without_its_keys_does_not_open() {
    let mut world = World::new();
    world.populate(2).await;
    world.close();
    let keys = fs::read(world.path().join(PEOPLE)).unwrap();
    fs::write(world.path().join(PEOPLE), &keys[..64]).unwrap();
    let fault = format!("{:?}", world.try_reopen().unwrap_err());
    assert!(fault.contains("a key slot is missing"), "{fault}");
    fs::write(world.path().join(PEOPLE), keys).unwrap();
    fs::write(world.path().join("storage.key"), [7; 32]).unwrap();
    let fault = format!("{:?}", world.try_reopen().unwrap_err());
    assert!(fault.contains("an earlier build"), "{fault}");
}
