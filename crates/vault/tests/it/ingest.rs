//! Uploads and reads of people and operator.

use std::fs;
use std::sync::Arc;

use redb::{Database, ReadableTable, TableDefinition};
use symphony_types::catalogue::Code;
use symphony_types::key::PrivateKey;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{
    CandidateEntry, ErasePerson, ReadBudget, ReadCandidates, ReadConsents, ReadDividends,
};

use crate::world::*;

/// R080, R209
#[tokio::test]
async fn the_same_record_and_the_same_request_have_one_effect() {
    let world = World::new();
    world.populate(3).await;
    let again = world.ask(OPERATOR, "records-2", put_records(&lines(4, coffee))).await;
    assert_eq!((again.accepted, again.duplicates, again.refused_total), (0, 3, 1));
    assert_eq!(again.refused[0].code, Code::SubjectUnknown.as_str());
    let head = world.vault().head();
    let repeat = world.ask(OPERATOR, "records-2", put_records(&lines(4, coffee))).await;
    assert_eq!(repeat, again);
    let other = world.ask(OPERATOR, "records-2", put_records(&coffee(1))).await;
    assert_eq!(other.code, Code::IdempotencyConflict.as_str());
    let single = world.ask(("p1", "producer"), "mine", put_records(&coffee(1))).await;
    assert_eq!((single.accepted, single.duplicates, single.commitments.len()), (0, 1, 1));
    assert_eq!(world.vault().head(), head);
    assert_eq!(world.vault().state().holdings.count(), 3);
}

/// R050, R051, R077, R213: columns that no governed attribute is for are kept with the record, for its owner; the operator sees which there
/// are and of how many people, and nobody else. Whoever is erased is not counted.
#[tokio::test]
async fn columns_of_other_names_are_kept_and_counted() {
    let world = World::new();
    world.populate(3).await;
    let line = |n: u32, column: &str| {
        format!(r#"{{"request_id":"own-{n}","subject":"p{}","commerce.merchant":"Kiosk",{column}}}"#, n % 3)
    };
    let sent = [
        line(0, r#""till":7"#),
        line(1, r#""till":"seven","commerce.amuont":"5.80""#),
        line(3, r#""till":9"#),
    ];
    let done = world.ask(OPERATOR, "other", put_records(&sent.join("\n"))).await;
    assert_eq!((done.accepted, done.refused_total), (3, 0), "{done:?}");
    assert_eq!(done.local, ["commerce.amuont", "till"]);
    assert_eq!(world.ask(OPERATOR, "other", put_records(&sent.join("\n"))).await, done);
    let read = world.ask(("p1", "producer"), "read", read_records("p1")).await;
    assert!(read.records.iter().any(|record| record.json.contains(r#""till":{"Text":"seven"}"#)), "{read:?}");
    let candidates = async |who, request: &str| {
        world.ask(who, request, Operation::ReadCandidates(ReadCandidates {})).await
    };
    let found = candidates(OPERATOR, "candidates").await.candidates;
    let entry = |name: &str, texts, numbers, people| CandidateEntry {
        name: name.into(),
        texts,
        numbers,
        times: 0,
        people,
    };
    assert_eq!(found, [entry("commerce.amuont", 1, 0, 1), entry("till", 1, 2, 2)]);
    assert_eq!(candidates(("p1", "producer"), "mine").await.code, Code::Forbidden.as_str());
    let erase = Operation::ErasePerson(ErasePerson { subject: "p1".into() });
    assert_eq!(world.ask(("p1", "producer"), "erase", erase).await.code, "");
    assert_eq!(candidates(OPERATOR, "again").await.candidates, [entry("till", 0, 2, 1)]);
}

/// R080
#[tokio::test]
async fn a_large_upload_passes_in_batches_and_stops_at_the_quota() {
    let world = World::new();
    let subjects = lines(25_000, |n| format!(r#"{{"subject":"p{n}","contact":"p{n}@example.org"}}"#));
    let done = world.ask(OPERATOR, "s", put_subjects(&subjects)).await;
    assert_eq!((done.accepted, done.refused_total), (25_000, 0));
    let records = lines(50_010, |n| coffee(n % 25_000).replace("coffee-", &format!("n{n}-")));
    let done = world.ask(OPERATOR, "r", put_records(&records)).await;
    assert_eq!((done.accepted, done.refused_total), (50_000, 10));
    assert_eq!(done.refused[0].code, Code::VaultFull.as_str());
    assert_eq!(world.vault().state().holdings.count(), 50_000);
}

/// R076
#[tokio::test]
async fn no_plaintext_is_on_disk() {
    let mut world = World::new();
    // The planted record is in a segment as well.
    world.quota.segment_rows = 3;
    world.reopen();
    world.populate(2).await;
    let planted = r#"{"request_id":"plantedrequest","subject":"p1","commerce.merchant":"PLANTEDMERCHANT"}"#;
    world.ask(("p1", "producer"), "plantedoperation", put_records(planted)).await;
    let person = r#"{"subject":"plantedsubject","contact":"plantedcontact@example.org"}"#;
    world.ask(OPERATOR, "more", put_subjects(person)).await;
    world.prepare(1, 10, 5_000).await;
    world.close();
    let files = world.files();
    assert!(files.iter().any(|file| file.extension().is_some_and(|kind| kind == "parquet")));
    let mut scanned = 0;
    for file in files {
        let bytes = fs::read(file).unwrap().to_ascii_lowercase();
        scanned += bytes.len();
        for word in ["planted", "p1@example", "cafe luna", "coffee-"] {
            assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{word} is on disk");
        }
    }
    assert!(scanned > 10_000);
}

/// R077, R078
#[tokio::test]
async fn a_flipped_byte_of_a_record_is_detected() {
    const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("vault/record-chunks/2");
    let mut world = World::new();
    world.populate(1).await;
    let whole = world.ask(("p0", "producer"), "read", read_records("p0")).await;
    assert_eq!(whole.records.len(), 1);
    let length = {
        world.close();
        let database = Database::open(world.path().join("vault.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        let length = transaction.open_table(RECORDS).unwrap().get(0).unwrap().unwrap().value().len();
        transaction.abort().unwrap();
        length
    };
    for place in [0, 3, 4, 7, 8, 11, 12, 19, 20, 51, 52, 63, 64, length - 17, length - 1] {
        world.close();
        flip(&world, RECORDS, place);
        world.reopen();
        let answer = world.ask(("p0", "producer"), "read", read_records("p0")).await;
        assert_eq!(answer.code, Code::Internal.as_str(), "byte {place}");
        assert!(answer.records.is_empty());
        world.close();
        flip(&world, RECORDS, place);
        world.reopen();
    }
    assert_eq!(world.ask(("p0", "producer"), "read", read_records("p0")).await, whole);
}

fn flip(world: &World, records: TableDefinition<'static, u64, &'static [u8]>, place: usize) {
    let database = Database::open(world.path().join("vault.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(records).unwrap();
        let mut bytes = table.get(0).unwrap().unwrap().value().to_vec();
        bytes[place] ^= 1;
        table.insert(0, bytes.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

/// R058, R079
#[tokio::test]
async fn a_person_reads_and_writes_itself_alone_and_the_operator_reads_budgets_only() {
    let world = World::new();
    world.populate(2).await;
    let (own, other) = (("p0", "producer"), "p1");
    let reads = |subject: &str| {
        [
            Operation::ReadBudget(ReadBudget { subject: subject.into(), ..ReadBudget::default() }),
            Operation::ReadConsents(ReadConsents { subject: subject.into() }),
            read_records(subject),
            Operation::ReadDividends(ReadDividends { subject: subject.into() }),
        ]
    };
    for read in reads("p0") {
        assert_eq!(world.ask(own, "read", read).await.code, "");
    }
    for read in reads(other) {
        assert_eq!(world.ask(own, "read", read).await.code, Code::Forbidden.as_str());
    }
    let operator: Vec<_> = {
        let mut codes = Vec::new();
        for read in reads(other) {
            codes.push(world.ask(OPERATOR, "read", read).await.code);
        }
        codes
    };
    let no = Code::Forbidden.as_str();
    assert_eq!(operator, ["", no, no, no]);
    let foreign = world.ask(own, "foreign", put_records(&coffee(1).replace("coffee", "tea"))).await;
    assert_eq!((foreign.accepted, foreign.refused_total), (0, 1));
    let submitter = world.ask(("brand", "submitter"), "x", put_records(&coffee(1))).await;
    assert_eq!(submitter.code, no);
    let pretender = world.ask(("globex", "operator"), "x", put_records(&coffee(1))).await;
    assert_eq!(pretender.code, no);
}

/// R202
#[tokio::test]
async fn operations_that_the_gateway_did_not_sign_or_that_are_late_are_refused() {
    let world = World::new();
    world.populate(1).await;
    let message = world.message(("p0", "producer"), "read", read_records("p0"));
    let forged = world.sealed(&message, &PrivateKey::from_seed(&[99; 32]));
    let refusal = Arc::clone(world.vault()).operate(forged).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Forbidden);
    let mut damaged = world.sealed(&message, &world.gateway);
    *damaged.last_mut().unwrap() ^= 1;
    let refusal = Arc::clone(world.vault()).operate(damaged).await.unwrap_err();
    assert_eq!(refusal.code(), Code::SealInvalid);
    let late = world.message(("p0", "producer"), "late", read_records("p0"));
    world.at(late.expires_ms);
    let late = world.sealed(&late, &world.gateway);
    assert!(Arc::clone(world.vault()).operate(late).await.is_ok(), "the refusal is sealed to the caller");
}
