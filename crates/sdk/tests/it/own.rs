//! Receipts that their owner seals to its Vault: which key is believed, and what a gateway between can do.

use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use prost::Message as _;
use serde_json::{Value, json};
use symphony_protocol::governance::Governance;
use symphony_sdk::client::{Client, ClientError};
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, RequestId, VaultId};
use symphony_wire::documents::encode;
use symphony_wire::enclave::{between, purpose};
use symphony_wire::sealed::{SealingKey, seal};
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{ReceiptEntry, RecordEntry, VaultAnswer, VaultOperation};

use crate::bundle::{self, keys};
use crate::receipts::{PERSON, World};

/// The Vault's own secret, behind the key that governance names; and one of a gateway that wants to read along.
const VAULT: [u8; 32] = [41; 32];
const GATEWAY: [u8; 32] = [42; 32];

/// What the Vault gives as a content or a picture.
const CONTENT: &[u8] = b"a content";

/// What the gateway of the test does with an answer.
#[derive(Clone, Copy, Default, PartialEq)]
enum Mood {
    #[default]
    Honest,
    /// Answers in the Vault's place.
    Invents,
    /// Has the Vault refuse.
    Refuses,
}

#[derive(Default)]
struct Stage {
    mood: Mood,
    seen: Vec<Vec<u8>>,
    tickets: Vec<Value>,
}

type Shared = Arc<Mutex<Stage>>;

fn governance() -> Governance {
    let mut governance = bundle::governance(&keys());
    let key = SealingKey::from_seed(&VAULT).public().to_vec();
    governance.registry.vaults.values_mut().for_each(|vault| vault.sealing_key.clone_from(&key));
    governance
}

fn person() -> ActorId {
    ActorId::new(PERSON).unwrap()
}

/// The person's Vault, as governance has it.
fn vault() -> VaultId {
    governance().registry.assigned(&person()).unwrap().clone()
}

fn place() -> Vec<u8> {
    between(&vault(), &person())
}

async fn operate(State(stage): State<Shared>, Path(asked): Path<String>, body: Bytes) -> Response {
    assert_eq!(asked, vault().as_str());
    let mut stage = stage.lock().unwrap();
    stage.seen.push(body.to_vec());
    let opened = SealingKey::from_seed(&VAULT).open(purpose::OWN_OPERATION, &place(), &body).unwrap();
    let operation = VaultOperation::decode(opened.as_slice()).unwrap();
    let mut answer = VaultAnswer {
        ticket: b"ticket".to_vec(),
        content: CONTENT.to_vec(),
        proof: vec![1, 2, 3],
        records: vec![RecordEntry { commitment: vec![4; 32], json: "{}".into() }],
        ..VaultAnswer::default()
    };
    let id = match operation.operation.unwrap() {
        Operation::PutReceipt(put) => Digest::of_bytes(&put.content).0.to_vec(),
        Operation::ListReceipts(list) if !list.after.is_empty() => panic!("there is one page"),
        Operation::ReadReceipt(read) => read.receipt_id,
        Operation::CorrectReceipt(correct) => correct.receipt_id,
        Operation::EraseReceipt(erase) => erase.receipt_id,
        _ => vec![8; 32],
    };
    answer.receipts.push(ReceiptEntry { receipt_id: id, state: "stored".into(), ..ReceiptEntry::default() });
    if stage.mood == Mood::Refuses {
        answer = VaultAnswer { code: "VLT-0009".into(), detail: "d".into(), ..VaultAnswer::default() };
    }
    let reply = match stage.mood {
        Mood::Invents => SealingKey::from_seed(&GATEWAY).public().to_vec(),
        _ => operation.reply_key,
    };
    seal(&reply, purpose::OWN_ANSWER, &place(), &answer.encode_to_vec()).unwrap().into_response()
}

async fn parse(State(stage): State<Shared>, Json(body): Json<Value>) -> Response {
    stage.lock().unwrap().tickets.push(body["ticket"].clone());
    let refusal = json!({"code": "VLT-0015", "title": "t", "detail": "d", "status": 409, "retryable": false});
    (StatusCode::CONFLICT, Json(refusal)).into_response()
}

async fn open() -> (World<Stage>, Client) {
    let stage = Shared::default();
    // Nothing else is served: what is not sealed fails.
    let router = Router::new()
        .route("/v1/vaults/{vault}/operations", post(operate))
        .route("/v1/parses", post(parse))
        .with_state(Arc::clone(&stage));
    let world = World::before(stage, router).await;
    let client = world.client.clone().sealing(governance(), person());
    (world, client)
}

fn key() -> RequestId {
    RequestId::new("upload-1").unwrap()
}

/// R082, R234: Vault and key are those of the trusted governance, and the gateway is not asked for either; the parse is then asked for
/// with the ticket alone.
#[tokio::test]
async fn a_receipt_is_sealed_to_the_key_that_governance_names() {
    let (world, client) = open().await;
    let content = b"zqreceipt of nobody else";
    let parsing = client.upload_and_parse_receipt(content, &key()).await.unwrap();
    assert_eq!(parsing.uploaded.receipt.receipt_id, Digest::of_bytes(content).to_hex());
    assert_eq!(parsing.task.unwrap_err().code, "VLT-0015", "a refused parse loses no receipt");
    let stage = world.stage.lock().unwrap();
    assert_eq!(stage.tickets, [hex::encode(b"ticket")]);
    assert_eq!(stage.seen.len(), 2);
    for sealed in &stage.seen {
        let gateway = SealingKey::from_seed(&GATEWAY);
        assert!(gateway.open(purpose::OWN_OPERATION, &place(), sealed).is_err());
        assert!(!sealed.windows(9).any(|part| part == b"zqreceipt"));
    }
}

/// R082, R210: a refusal arrives as one; an answer that is not the Vault's, and a Vault that governance does not know, are
/// never believed.
#[tokio::test]
async fn only_the_vaults_own_answer_is_believed() {
    let (world, client) = open().await;
    world.stage.lock().unwrap().mood = Mood::Refuses;
    let refused = client.upload_receipt(b"content", &key()).await;
    assert!(matches!(refused, Err(ClientError::Refused(problem)) if problem.code == "VLT-0009"));
    world.stage.lock().unwrap().mood = Mood::Invents;
    let invented = client.upload_receipt(b"content", &key()).await;
    assert!(matches!(invented, Err(ClientError::Garbled(_))), "{invented:?}");
    let mut nobody = governance();
    nobody.registry.vaults.clear();
    let none = world.client.clone().sealing(nobody, person()).upload_receipt(b"content", &key()).await;
    assert!(matches!(none, Err(ClientError::Config(_))), "{none:?}");
}

/// R080, R082, R234: everything about receipts and the records out of them is sealed, and the erasure of all; nothing takes the plain way.
#[tokio::test]
async fn every_question_about_receipts_is_sealed() {
    let (world, client) = open().await;
    let id = Digest([8; 32]);
    assert_eq!(client.receipts().await.unwrap().len(), 1);
    assert_eq!(client.receipt(id).await.unwrap().receipt_id, id.to_hex());
    assert_eq!(client.receipt_content(id).await.unwrap(), CONTENT);
    assert_eq!(client.receipt_drawing(id, 0).await.unwrap(), CONTENT);
    let corrections = [("city".to_owned(), "Singapore".to_owned())].into();
    assert_eq!(client.correct_receipt(id, &corrections).await.unwrap().receipt_id, id.to_hex());
    assert_eq!(client.erase_receipt(id).await.unwrap().proof, [1, 2, 3]);
    for place in ["assigned", vault().as_str()] {
        assert_eq!(client.records(place, PERSON).await.unwrap()[0].json, "{}");
    }
    assert_eq!(client.erase_person("assigned", PERSON).await.unwrap().proof, [1, 2, 3]);
    assert_eq!(world.stage.lock().unwrap().seen.len(), 9);
    assert!(client.records("assigned", "somebody").await.is_err(), "of others nothing is asked sealed");
    let long = RequestId::new(&"x".repeat(60)).unwrap();
    let refused = client.upload_and_parse_receipt(b"content", &long).await;
    assert!(matches!(refused, Err(ClientError::Config(_))), "{refused:?}");
    assert_eq!(world.stage.lock().unwrap().seen.len(), 9, "nothing was sent under a name without room");
}

/// R082, R234: `--trust` has the command line seal.
#[tokio::test]
async fn the_command_line_seals_with_a_trusted_governance() {
    let (world, _) = open().await;
    let governance = world.file("governance.bcs", &encode(&governance()));
    let receipt = world.file("receipt.jpg", b"zqreceipt");
    let output = world.receipt(&["upload", &receipt, "--trust", &governance, "--json"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(world.stage.lock().unwrap().seen.len(), 1);
}
