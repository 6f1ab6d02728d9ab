//! Receipt documents in a Vault: kept, recognised, refused, erased, and crashes between the steps.

use std::fs;

use prost::Message as _;
use redb::{Database, ReadableTable as _, TableDefinition};
use symphony_protocol::vault::document::{DocumentRecord, SignedErasure};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, SubjectId};
use symphony_types::limits::DOCUMENT_BYTES_MAX;
use symphony_wire::documents::decode;
use symphony_wire::enclave::{between, purpose};
use symphony_wire::sealed::{self, SealingKey};
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{
    EraseReceipt, ListReceipts, PutReceipt, ReadReceipt, ReceiptEntry, SealedOperation, VaultAnswer,
    VaultOperation,
};

use crate::world::*;

const P0: (&str, &str) = ("p0", "producer");
const P1: (&str, &str) = ("p1", "producer");
const KEYS: &str = "documents.keys";
/// Bytes of a slot, and of the wrapped key at its beginning.
const SLOT: (usize, usize) = (128, 60);
/// In every content, so that it is found wherever it lies in clear.
const MARK: &str = "zqplainreceipt5517";

fn jpeg(filling: &str) -> Vec<u8> {
    [b"\xff\xd8\xff\xe0".as_slice(), MARK.as_bytes(), filling.as_bytes()].concat()
}

async fn put(world: &World, who: (&str, &str), request: &str, content: &[u8]) -> VaultAnswer {
    world.ask(who, request, Operation::PutReceipt(PutReceipt { content: content.to_vec() })).await
}

async fn kept(world: &World, request: &str, content: &[u8]) -> ReceiptEntry {
    let answer = put(world, P0, request, content).await;
    assert_eq!((answer.code.as_str(), answer.accepted, answer.duplicates), ("", 1, 0), "{}", answer.detail);
    answer.receipts[0].clone()
}

async fn list(world: &World, who: (&str, &str), after: &[u8], limit: u32) -> Vec<ReceiptEntry> {
    let list = Operation::ListReceipts(ListReceipts { after: after.to_vec(), limit });
    let answer = world.ask(who, "list", list).await;
    assert_eq!(answer.code, "", "{}", answer.detail);
    answer.receipts
}

async fn read(world: &World, who: (&str, &str), id: &[u8], content: bool) -> VaultAnswer {
    world.ask(who, "read", Operation::ReadReceipt(ReadReceipt { receipt_id: id.to_vec(), content })).await
}

async fn erase(world: &World, who: (&str, &str), id: &[u8]) -> VaultAnswer {
    world.ask(who, "erase", Operation::EraseReceipt(EraseReceipt { receipt_id: id.to_vec() })).await
}

/// The files of the Vault's folder that hold these bytes.
fn holding(world: &World, bytes: &[u8]) -> Vec<String> {
    let files = world.files().into_iter();
    let files = files.filter(|file| fs::read(file).unwrap().windows(bytes.len()).any(|part| part == bytes));
    files.map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// The wrapped keys in the file of slots.
fn wrapped(world: &World) -> Vec<Vec<u8>> {
    let slots = fs::read(world.path().join(KEYS)).unwrap();
    let used = slots.chunks(SLOT.0).filter(|slot| slot.iter().any(|byte| *byte != 0));
    used.map(|slot| slot[..SLOT.1].to_vec()).collect()
}

/// R074, R075, R077, R079: a document comes back as it went in; its name is the commitment, which its owner recomputes.
#[tokio::test]
async fn a_document_is_kept_by_its_commitment_and_given_back() {
    let mut world = World::new();
    world.populate(2).await;
    let before = world.vault().state().documents.len();
    let entry = kept(&world, "r1", &jpeg("one")).await;
    assert_eq!((entry.state.as_str(), entry.media_type.as_str()), ("stored", "image/jpeg"));
    assert_eq!((entry.size_bytes, entry.uploaded_ms, entry.erased_ms), (jpeg("one").len() as u64, 1_000, 0));
    let record = DocumentRecord {
        salt: entry.salt.as_slice().try_into().unwrap(),
        subject: SubjectId::new("p0").unwrap(),
        content: Digest::of_bytes(&jpeg("one")),
    };
    assert_eq!(entry.receipt_id, record.commitment().0.0);
    assert_eq!(entry.content_digest, record.content.0);
    assert_eq!(world.vault().state().documents.len(), before + 1, "one entry of the vault's own journal");
    let second = kept(&world, "r2", b"%PDF-1.7 two").await;
    assert_eq!(second.media_type, "application/pdf");
    assert_eq!(kept(&world, "r3", b"\x89PNG\r\n\x1a\nthree").await.media_type, "image/png");
    world.reopen();
    let whole = read(&world, P0, &entry.receipt_id, true).await;
    assert_eq!((whole.content, whole.receipts), (jpeg("one"), vec![entry.clone()]));
    let listed = list(&world, P0, &[], 10).await;
    assert_eq!(listed.len(), 3);
    let bare = ReceiptEntry { salt: vec![], content_digest: vec![], ..entry.clone() };
    assert_eq!(listed[0], bare, "a list tells no salt");
    let page = list(&world, P0, &entry.receipt_id, 1).await;
    assert_eq!(page.len(), 1);
    assert_eq!(page[0].receipt_id, second.receipt_id);
}

/// R079: a person's documents are its own; another person finds nothing, and the operator may not ask.
#[tokio::test]
async fn nobody_else_reads_lists_or_erases_a_document() {
    let world = World::new();
    world.populate(2).await;
    let entry = kept(&world, "r1", &jpeg("one")).await;
    assert!(list(&world, P1, &[], 10).await.is_empty());
    let id = entry.receipt_id.as_slice();
    let none = Code::NotFound.as_str();
    assert_eq!(read(&world, P1, id, true).await.code, none);
    assert_eq!(erase(&world, P1, id).await.code, none);
    assert_eq!(read(&world, P0, &[7; 32], false).await.code, none);
    assert_eq!(read(&world, P0, &[7; 31], false).await.code, Code::Malformed.as_str());
    let all = Operation::ListReceipts(ListReceipts { after: vec![], limit: 10 });
    for who in [OPERATOR, ("p0", "submitter"), ("p0", "operator")] {
        let no = Code::Forbidden.as_str();
        assert_eq!(world.ask(who, "list", all.clone()).await.code, no);
        assert_eq!(read(&world, who, id, true).await.code, no);
        assert_eq!(erase(&world, who, id).await.code, no);
        assert_eq!(put(&world, who, "other", &jpeg("two")).await.code, no);
    }
    assert_eq!(
        put(&world, ("nobody", "producer"), "x", &jpeg("x")).await.code,
        Code::SubjectUnknown.as_str()
    );
    // The same content of another person is another receipt.
    let other = put(&world, P1, "r1", &jpeg("one")).await;
    assert_eq!(other.accepted, 1);
    assert_ne!(other.receipts[0].receipt_id, entry.receipt_id);
}

/// R080: what a document is shows in its first bytes; anything else, nothing and too much are refused.
#[tokio::test]
async fn what_is_no_document_is_refused() {
    let world = World::new();
    world.populate(1).await;
    let head = world.vault().head();
    let mut large = jpeg("");
    large.resize(DOCUMENT_BYTES_MAX + 1, 0);
    for (content, code) in [
        (&b""[..], Code::DocumentEmpty),
        (b"GIF89a", Code::DocumentUnknown),
        (b"\xff\xd8", Code::DocumentUnknown),
        (b" %PDF-1.7", Code::DocumentUnknown),
        (b"PK\x03\x04 receipt.jpg", Code::DocumentUnknown),
        (&large, Code::BodyTooLarge),
    ] {
        assert_eq!(put(&world, P0, "r", content).await.code, code.as_str());
    }
    assert_eq!(world.vault().head(), head);
    large.pop();
    assert_eq!(put(&world, P0, "r", &large).await.accepted, 1, "a refused request leaves its name free");
}

/// R080: a person has room for so many documents and bytes, which an erasure gives back.
#[tokio::test]
async fn the_quota_counts_what_is_there() {
    let world = World::new();
    world.populate(2).await;
    let mut entries = Vec::new();
    for number in 0..QUOTA.documents_max {
        entries.push(kept(&world, &format!("r{number}"), &jpeg(&number.to_string())).await);
    }
    let full = Code::DocumentQuota.as_str();
    assert_eq!(put(&world, P0, "more", &jpeg("more")).await.code, full);
    assert_eq!(put(&world, P0, "again", &jpeg("0")).await.duplicates, 1, "what is there needs no room");
    assert_eq!(put(&world, P1, "r", &jpeg("more")).await.accepted, 1, "another person's room is its own");
    erase(&world, P0, &entries[2].receipt_id).await;
    kept(&world, "more", &jpeg("more")).await;
    // The last positions in a file of slots are used again.
    assert_eq!(wrapped(&world).len(), QUOTA.documents_max as usize + 1);
    let mut large = jpeg("");
    large.resize(15 << 20, 1);
    assert_eq!(put(&world, P1, "l1", &large).await.accepted, 1);
    large[100] = 2;
    assert_eq!(put(&world, P1, "l2", &large).await.code, full);
}

/// R080, R209: the same content is the same receipt, the same request has the same answer, and another content under it
/// is a conflict.
#[tokio::test]
async fn the_same_content_and_the_same_request_have_one_effect() {
    let mut world = World::new();
    world.populate(1).await;
    let entry = kept(&world, "r1", &jpeg("one")).await;
    let head = world.vault().head();
    for (request, answer) in [("r1", (1, 0)), ("r2", (0, 1)), ("r2", (0, 1)), ("r1", (1, 0))] {
        let again = put(&world, P0, request, &jpeg("one")).await;
        assert_eq!((again.accepted, again.duplicates), answer, "{}", again.detail);
        assert_eq!(again.receipts, std::slice::from_ref(&entry));
        world.reopen();
    }
    for request in ["r1", "r2"] {
        let other = put(&world, P0, request, &jpeg("two")).await;
        assert_eq!(other.code, Code::IdempotencyConflict.as_str());
    }
    assert_eq!(world.vault().head(), head);
    assert_eq!(wrapped(&world).len(), 1);
    // After the erasure the request still names that receipt; the content is another one.
    erase(&world, P0, &entry.receipt_id).await;
    let after = put(&world, P0, "r1", &jpeg("one")).await;
    assert_eq!((after.accepted, after.receipts[0].state.as_str()), (1, "erased"));
    let anew = kept(&world, "r3", &jpeg("one")).await;
    assert_ne!(anew.receipt_id, entry.receipt_id, "another salt");
}

/// R076, R080, D12: an erased document's key is in no byte of the Vault's files; its commitment stays, with a proof.
#[tokio::test]
async fn erasure_destroys_the_key_and_leaves_a_proof() {
    let mut world = World::new();
    world.populate(1).await;
    let entry = kept(&world, "r1", &jpeg("one")).await;
    let other = kept(&world, "r2", &jpeg("two")).await;
    let keys = wrapped(&world);
    assert_eq!(keys.len(), 2);
    world.close();
    assert_eq!(holding(&world, &keys[0]), [KEYS], "the key is where this test looks for it");
    for secret in [MARK.as_bytes(), &entry.salt, &entry.content_digest] {
        assert_eq!(holding(&world, secret), [""; 0], "nothing of the document is in clear");
    }
    world.reopen();
    world.at(2_000);
    let erased = erase(&world, P0, &entry.receipt_id).await;
    assert_eq!(erased.code, "", "{}", erased.detail);
    let proof: SignedErasure = decode(&erased.proof).unwrap();
    assert!(proof.verify(&world.governance.registry.vaults[&vault_id()].key));
    assert_eq!((proof.body.vault.as_str(), proof.body.at.0), ("north", 2_000));
    assert_eq!(proof.body.commitment.0.0, entry.receipt_id.as_slice());
    assert_eq!(proof.body.head, world.vault().head());
    let listed = list(&world, P0, &[], 10).await;
    assert_eq!((listed[0].state.as_str(), listed[0].erased_ms, listed[0].size_bytes), ("erased", 2_000, 0));
    assert_eq!((&listed[0].receipt_id, listed[0].media_type.as_str()), (&entry.receipt_id, ""));
    assert_eq!(listed[1].state, "stored");
    assert_eq!(read(&world, P0, &entry.receipt_id, true).await.code, Code::DocumentErased.as_str());
    assert_eq!(read(&world, P0, &entry.receipt_id, false).await.receipts[0].salt, [0; 0]);
    kept(&world, "r4", &jpeg("four")).await;
    assert_eq!(erase(&world, P0, &entry.receipt_id).await.proof, erased.proof, "the same proof");
    world.close();
    assert_eq!(holding(&world, &keys[0]), [""; 0], "the wrapped key is gone from every file");
    assert_eq!(holding(&world, &keys[1]), [KEYS]);
    world.reopen();
    assert_eq!(read(&world, P0, &other.receipt_id, true).await.content, jpeg("two"));
}

/// R076, R080, D12: a crash after the journal's entry and before the key is overwritten ends in an erasure all the same.
#[tokio::test]
async fn a_crash_inside_an_erasure_is_made_good_at_the_start() {
    let mut world = World::new();
    world.populate(1).await;
    let entry = kept(&world, "r1", &jpeg("one")).await;
    let before = fs::read(world.path().join(KEYS)).unwrap();
    let key = wrapped(&world).remove(0);
    erase(&world, P0, &entry.receipt_id).await;
    world.close();
    fs::write(world.path().join(KEYS), before).unwrap();
    assert_eq!(holding(&world, &key), [KEYS], "as if it had not been overwritten");
    world.reopen();
    assert_eq!(holding(&world, &key), [""; 0]);
    assert_eq!(list(&world, P0, &[], 10).await[0].state, "erased");
    let proof: SignedErasure = decode(&erase(&world, P0, &entry.receipt_id).await.proof).unwrap();
    assert!(proof.verify(&world.governance.registry.vaults[&vault_id()].key));
}

/// R080, R209: a crash after the key is on disk and before the journal's entry leaves no receipt and no key.
#[tokio::test]
async fn a_crash_inside_an_upload_leaves_no_receipt() {
    let mut world = World::new();
    world.populate(1).await;
    let earlier = kept(&world, "r0", &jpeg("zero")).await;
    world.close();
    let database = fs::read(world.path().join("vault.redb")).unwrap();
    world.reopen();
    kept(&world, "r1", &jpeg("one")).await;
    let key = wrapped(&world).remove(1);
    world.close();
    fs::write(world.path().join("vault.redb"), database).unwrap();
    assert_eq!(holding(&world, &key), [KEYS]);
    world.reopen();
    assert_eq!(holding(&world, &key), [""; 0]);
    assert_eq!(list(&world, P0, &[], 10).await.len(), 1);
    let again = kept(&world, "r1", &jpeg("one")).await;
    assert_eq!(read(&world, P0, &again.receipt_id, true).await.content, jpeg("one"));
    assert_eq!(read(&world, P0, &earlier.receipt_id, true).await.content, jpeg("zero"));
}

const ROWS: TableDefinition<'_, (u32, u32), &[u8]> = TableDefinition::new("vault/documents");
const CONTENTS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("vault/document-contents");

/// R078: a changed byte of the content, of the row or of the key is an error and never another content.
#[tokio::test]
async fn a_flipped_byte_of_a_document_is_detected() {
    let mut world = World::new();
    world.populate(1).await;
    let entry = kept(&world, "r1", &jpeg("one")).await;
    let id: [u8; 32] = entry.receipt_id.as_slice().try_into().unwrap();
    let length = jpeg("one").len() + 28;
    type Flip = Box<dyn Fn(&World)>;
    let flips: Vec<Flip> = vec![
        Box::new(move |world| flip(world, CONTENTS, id, 0)),
        Box::new(move |world| flip(world, CONTENTS, id, 15)),
        Box::new(move |world| flip(world, CONTENTS, id, length - 1)),
        Box::new(|world| flip(world, ROWS, (0, 0), 3)),
        Box::new(|world| flip(world, ROWS, (0, 0), 60)),
        Box::new(|world| flip_key(world, 0)),
        Box::new(|world| flip_key(world, SLOT.1 - 1)),
    ];
    for (number, flip) in flips.iter().enumerate() {
        world.close();
        flip(&world);
        world.reopen();
        let answer = read(&world, P0, &id, true).await;
        assert_eq!(
            (answer.code.as_str(), answer.content.len()),
            (Code::Internal.as_str(), 0),
            "flip {number}"
        );
        world.close();
        flip(&world);
        world.reopen();
    }
    assert_eq!(read(&world, P0, &id, true).await.content, jpeg("one"));
}

fn flip<K: redb::Key + 'static>(
    world: &World,
    table: TableDefinition<'static, K, &'static [u8]>,
    key: impl for<'a> std::borrow::Borrow<K::SelfType<'a>> + Clone,
    place: usize,
) {
    let database = Database::open(world.path().join("vault.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(table).unwrap();
        let mut bytes = table.get(key.clone()).unwrap().unwrap().value().to_vec();
        bytes[place] ^= 1;
        table.insert(key, bytes.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

fn flip_key(world: &World, place: usize) {
    let mut slots = fs::read(world.path().join(KEYS)).unwrap();
    slots[place] ^= 1;
    fs::write(world.path().join(KEYS), slots).unwrap();
}

/// What an actor seals to its Vault itself, and the answer to it, if the Vault gave one.
async fn sealed_by(
    world: &World,
    who: (&str, &str),
    inner: VaultOperation,
    place: &[u8],
) -> (VaultAnswer, Option<VaultAnswer>) {
    let key = &world.governance.registry.vaults[&vault_id()].sealing_key;
    let sealed = sealed::seal(key, purpose::OWN_OPERATION, place, &inner.encode_to_vec()).unwrap();
    let outer = world.ask(who, "outer", Operation::ByCaller(SealedOperation { sealed })).await;
    let opened = SealingKey::from_seed(&OWN).open(purpose::OWN_ANSWER, place, &outer.content);
    let inner = opened.ok().map(|answer| VaultAnswer::decode(answer.as_slice()).unwrap());
    (outer, inner)
}

/// The secret of the key that the caller alone opens answers with.
const OWN: [u8; 32] = [6; 32];

/// R082, R234: what its caller sealed is done in the caller's name, and the gateway, which opens the outer answer, finds
/// nothing in it to read; a refusal is sealed like everything else.
#[tokio::test]
async fn what_its_caller_sealed_is_answered_to_the_caller_alone() {
    let mut world = World::new();
    world.populate(2).await;
    let place = between(&vault_id(), &ActorId::new("p0").unwrap());
    let inner = |request: &str, operation| VaultOperation {
        roles: Vec::new(),
        reply_key: SealingKey::from_seed(&OWN).public().to_vec(),
        ..world.message(P0, request, operation)
    };
    let put = || Operation::PutReceipt(PutReceipt { content: jpeg("sealed") });
    let (outer, answer) = sealed_by(&world, P0, inner("s1", put()), &place).await;
    let answer = answer.unwrap();
    assert_eq!((answer.code.as_str(), answer.accepted), ("", 1), "{}", answer.detail);
    let id = answer.receipts[0].receipt_id.clone();
    assert_eq!(
        VaultAnswer { content: Vec::new(), ..outer },
        VaultAnswer::default(),
        "but for the sealed bytes"
    );
    let (_, again) = sealed_by(&world, P0, inner("s1", put()), &place).await;
    assert_eq!(again.unwrap().receipts[0].receipt_id, id, "the same name has one effect");

    let whole = || Operation::ReadReceipt(ReadReceipt { receipt_id: id.clone(), content: true });
    let (outer, answer) = sealed_by(&world, P0, inner("s2", whole()), &place).await;
    assert_eq!(answer.unwrap().content, jpeg("sealed"));
    assert!(!outer.content.windows(MARK.len()).any(|part| part == MARK.as_bytes()));
    let absent = Operation::ReadReceipt(ReadReceipt { receipt_id: vec![9; 32], content: false });
    let (outer, answer) = sealed_by(&world, P0, inner("s3", absent), &place).await;
    assert_eq!((outer.code.as_str(), answer.unwrap().code.as_str()), ("", "ADM-0004"));
    assert_eq!(list(&world, P0, &[], 10).await.len(), 1);
    world.close();
}

/// R079, R122: a sealed operation is nobody else's, not late, not for another Vault, claims no role, and holds no other.
#[tokio::test]
async fn a_sealed_operation_that_is_not_its_callers_is_refused() {
    let mut world = World::new();
    world.populate(2).await;
    let place = |actor: &str| between(&vault_id(), &ActorId::new(actor).unwrap());
    let base = || VaultOperation {
        roles: Vec::new(),
        reply_key: SealingKey::from_seed(&OWN).public().to_vec(),
        ..world.message(P0, "s1", Operation::PutReceipt(PutReceipt { content: jpeg("sealed") }))
    };
    let nested = Operation::ByCaller(SealedOperation { sealed: vec![1; 99] });
    for (who, inner, at, code) in [
        (P1, base(), place("p0"), "VLT-0007"),
        (P1, base(), place("p1"), "ADM-0001"),
        (P0, base(), place("p1"), "VLT-0007"),
        (P0, VaultOperation { roles: vec!["operator".into()], ..base() }, place("p0"), "ADM-0001"),
        (P0, VaultOperation { expires_ms: 1, ..base() }, place("p0"), "ADM-0001"),
        (P0, VaultOperation { expires_ms: u64::MAX, ..base() }, place("p0"), "ADM-0001"),
        (P0, VaultOperation { vault_id: "vault-z".into(), ..base() }, place("p0"), "ADM-0001"),
        (P0, VaultOperation { reply_key: vec![1; 3], ..base() }, place("p0"), "ADM-0001"),
    ] {
        let (outer, answer) = sealed_by(&world, who, inner, &at).await;
        assert_eq!((outer.code.as_str(), answer), (code, None), "{}", outer.detail);
    }
    let (_, answer) =
        sealed_by(&world, P0, VaultOperation { operation: Some(nested), ..base() }, &place("p0")).await;
    assert_eq!(answer.unwrap().code, "ADM-0001");
    let garbage = world.ask(P0, "x", Operation::ByCaller(SealedOperation { sealed: vec![7; 40] })).await;
    assert_eq!(garbage.code, "VLT-0007");
    for person in [P0, P1] {
        assert_eq!(list(&world, person, &[], 10).await.len(), 0, "what was refused had no effect");
    }
    world.close();
}
