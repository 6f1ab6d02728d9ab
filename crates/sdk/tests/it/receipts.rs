//! Receipts by the client and by the command line, against a Vault of the test.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use symphony_protocol::vault::document::{DocumentRecord, Erasure, PersonErasure};
use symphony_sdk::client::{Client, ClientError};
use symphony_sdk::erasure::{self, ErasureError};
use symphony_sdk::receipts::committed;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{Commitment, RequestId, SubjectId, VaultId};
use symphony_types::limits::DOCUMENT_BYTES_MAX;
use symphony_types::subjects::SubjectIndex;
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::encode;

use crate::bundle::{governance, keys};

pub(crate) const PERSON: &str = "person-1";

#[derive(Default)]
pub(crate) struct Stage {
    /// In the order that they came in; a content of `None` is erased.
    receipts: Vec<(String, Option<Vec<u8>>)>,
    /// Idempotency keys as they came in.
    keys: Vec<String>,
    /// Uploads that are refused as passing before one is taken.
    busy: u32,
}

type Shared = Arc<Mutex<Stage>>;

pub(crate) fn entry(id: &str, content: Option<&[u8]>) -> Value {
    let text = |digest: Digest| content.map(|_| digest.to_hex()).unwrap_or_default();
    json!({"receipt_id": id, "state": if content.is_some() { "stored" } else { "erased" },
        "media_type": "image/png", "size_bytes": content.map_or(0, <[u8]>::len), "uploaded_ms": 5, "erased_ms": 0,
        "content_digest": text(Digest::of_bytes(content.unwrap_or_default())), "salt": text(Digest([3; 32])),
        "a_later_field": true})
}

pub(crate) fn refusal(code: Code) -> Value {
    json!({"part": 1, "receipt": null, "duplicate": false, "code": code.as_str(), "title": code.title(),
        "detail": "d", "retryable": code.retry()})
}

/// The content of the one part of a body.
pub(crate) fn part_of(headers: &HeaderMap, body: &[u8]) -> Vec<u8> {
    let media = headers[header::CONTENT_TYPE].to_str().unwrap();
    let boundary = media.strip_prefix("multipart/form-data; boundary=").unwrap();
    let find =
        |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).position(|window| window == part).unwrap();
    let content = &body[find(body, b"\r\n\r\n") + 4..];
    content[..find(content, format!("\r\n--{boundary}--").as_bytes())].to_vec()
}

async fn upload(State(stage): State<Shared>, headers: HeaderMap, body: Bytes) -> Json<Value> {
    let mut stage = stage.lock().unwrap();
    stage.keys.push(headers["idempotency-key"].to_str().unwrap().to_owned());
    let content = part_of(&headers, &body);
    let result = if stage.busy > 0 {
        stage.busy -= 1;
        refusal(Code::VaultUnavailable)
    } else if !content.starts_with(b"\x89PNG") {
        refusal(Code::DocumentUnknown)
    } else {
        let record = DocumentRecord {
            salt: [3; 32],
            subject: SubjectId::new(PERSON).unwrap(),
            content: Digest::of_bytes(&content),
        };
        let id = record.commitment().0.to_hex();
        let duplicate = stage.receipts.iter().any(|(known, _)| *known == id);
        if !duplicate {
            stage.receipts.push((id.clone(), Some(content.clone())));
        }
        json!({"part": 1, "receipt": entry(&id, Some(&content)), "duplicate": duplicate, "code": "", "title": "",
            "detail": "", "retryable": false})
    };
    Json(json!({"results": [result]}))
}

async fn list(State(stage): State<Shared>, Query(page): Query<BTreeMap<String, String>>) -> Json<Value> {
    let stage = stage.lock().unwrap();
    let after =
        page.get("after").map(|after| stage.receipts.iter().position(|(id, _)| id == after).unwrap() + 1);
    let limit = page["limit"].parse().unwrap();
    let receipts = stage.receipts.iter().skip(after.unwrap_or(0)).take(limit);
    Json(receipts.map(|(id, content)| entry(id, content.as_deref())).collect())
}

async fn show(State(stage): State<Shared>, Path(id): Path<String>) -> Response {
    let stage = stage.lock().unwrap();
    match stage.receipts.iter().find(|(known, _)| *known == id) {
        Some((id, content)) => Json(entry(id, content.as_deref())).into_response(),
        None => problem(Code::NotFound),
    }
}

async fn content(State(stage): State<Shared>, Path(id): Path<String>) -> Response {
    let stage = stage.lock().unwrap();
    match stage.receipts.iter().find(|(known, _)| *known == id) {
        Some((_, Some(content))) => content.clone().into_response(),
        Some((_, None)) => problem(Code::DocumentErased),
        None => problem(Code::NotFound),
    }
}

async fn erase(State(stage): State<Shared>, Path(id): Path<String>) -> Response {
    let mut stage = stage.lock().unwrap();
    let Some(receipt) = stage.receipts.iter_mut().find(|(known, _)| *known == id) else {
        return problem(Code::NotFound);
    };
    receipt.1 = None;
    Json(json!({"receipt": entry(&id, None), "proof": hex::encode(proof(&id, "vault-a"))})).into_response()
}

pub(crate) fn problem(code: Code) -> Response {
    let body = json!({"code": code.as_str(), "title": code.title(), "detail": "d", "status": code.http(),
        "retryable": code.retry()});
    (StatusCode::from_u16(code.http()).unwrap(), Json(body)).into_response()
}

fn proof(id: &str, vault: &str) -> Vec<u8> {
    encode(&keys().vault.sign(Erasure {
        vault: VaultId::new(vault).unwrap(),
        commitment: Commitment(Digest::from_hex(id).unwrap()),
        at: OrderedMillis(7),
        height: 9,
        head: Digest([4; 32]),
    }))
}

/// A gateway of the test, a client of it, and a folder.
pub(crate) struct World<S> {
    pub(crate) stage: Arc<Mutex<S>>,
    url: String,
    pub(crate) client: Client,
    pub(crate) folder: tempfile::TempDir,
}

impl World<Stage> {
    async fn open() -> Self {
        let stage = Shared::default();
        let router = Router::new()
            .route("/v1/receipts", post(upload).get(list))
            .route("/v1/receipts/{id}", get(show).delete(erase))
            .route("/v1/receipts/{id}/content", get(content))
            .with_state(Arc::clone(&stage));
        Self::before(stage, router).await
    }
}

impl<S> World<S> {
    pub(crate) async fn before(stage: Arc<Mutex<S>>, router: Router) -> Self {
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::new(&url, None, Some("token")).unwrap();
        Self { stage, url, client, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs `symphony receipt` with these words.
    pub(crate) async fn receipt(&self, words: &[&str]) -> Output {
        self.symphony("receipt", words).await
    }

    /// Runs `symphony` with a command and its words.
    async fn symphony(&self, named: &str, words: &[&str]) -> Output {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_symphony"));
        command.args(["--gateway", &self.url, "--token", "token", "--actor", PERSON, named]).args(words);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

pub(crate) fn png(filling: &str) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n".as_slice(), filling.as_bytes()].concat()
}

pub(crate) fn request(name: &str) -> RequestId {
    RequestId::new(name).unwrap()
}

/// R077, R207, R209: uploaded under its name until it is taken, known by its content, and named by a commitment that its
/// owner recomputes.
#[tokio::test]
async fn a_receipt_is_uploaded_until_it_is_answered() {
    let world = World::open().await;
    world.stage.lock().unwrap().busy = 2;
    let first = world.client.upload_receipt(&png("one"), &request("r1")).await.unwrap();
    assert!(!first.duplicate);
    assert_eq!(world.stage.lock().unwrap().keys, ["r1", "r1", "r1"]);
    let person = SubjectId::new(PERSON).unwrap();
    assert!(committed(&first.receipt, &person, &png("one")));
    assert!(!committed(&first.receipt, &person, &png("two")));
    assert!(!committed(&first.receipt, &SubjectId::new("person-2").unwrap(), &png("one")));
    let again = world.client.upload_receipt(&png("one"), &request("r2")).await.unwrap();
    assert!(again.duplicate && again.receipt == first.receipt);
    for (content, code) in [(vec![b'x'; 9], "VLT-0009"), (vec![0; DOCUMENT_BYTES_MAX + 1], "ADM-0017")] {
        match world.client.upload_receipt(&content, &request("r3")).await {
            Err(ClientError::Refused(problem)) => assert_eq!(problem.code, code),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.stage.lock().unwrap().keys.len(), 5, "too large a document is not sent");
    let whole = world.client.upload_receipt(&png(&"y".repeat(9 << 20)), &request("r4")).await.unwrap();
    let id = Digest::from_hex(&whole.receipt.receipt_id).unwrap();
    assert_eq!(world.client.receipt_content(id).await.unwrap(), png(&"y".repeat(9 << 20)));
}

/// R207: all pages of a list are one list.
#[tokio::test]
async fn a_long_list_is_read_to_its_end() {
    let world = World::open().await;
    let ids: Vec<String> = (0..2_000_u32).map(|number| format!("{number:064x}")).collect();
    world.stage.lock().unwrap().receipts = ids.iter().map(|id| (id.clone(), Some(png("x")))).collect();
    let listed = world.client.receipts().await.unwrap();
    assert_eq!(listed.into_iter().map(|receipt| receipt.receipt_id).collect::<Vec<_>>(), ids);
}

/// D12: a proof counts under a governance that names the Vault's key, and as it was signed.
#[test]
fn a_proof_of_erasure_counts_as_it_was_signed() {
    let id = "ab".repeat(32);
    let governance = governance(&keys());
    let good = proof(&id, "vault-a");
    let erased = erasure::check(&good, &governance).unwrap();
    assert_eq!((erased.commitment.0.to_hex(), erased.at.0, erased.height), (id.clone(), 7, 9));
    for place in 0..good.len() {
        let mut changed = good.clone();
        changed[place] ^= 1;
        assert!(erasure::check(&changed, &governance).is_err(), "byte {place}");
    }
    assert!(matches!(erasure::check(&good[1..], &governance), Err(ErasureError::Malformed(_))));
    let unknown = erasure::check(&proof(&id, "vault-z"), &governance);
    assert!(matches!(unknown, Err(ErasureError::VaultUnknown(_))));
    let mut others = governance.clone();
    let vault = others.registry.vaults.get_mut(&VaultId::new("vault-a").unwrap()).unwrap();
    vault.key = symphony_types::key::PrivateKey::from_seed(&[77; 32]).public();
    assert!(matches!(erasure::check(&good, &others), Err(ErasureError::Signature)));
    assert!(matches!(erasure::governance(b"nothing"), Err(ErasureError::Governance(_))));
}

pub(crate) fn lines(output: &Output) -> Vec<String> {
    String::from_utf8(output.stdout.clone()).unwrap().lines().map(str::to_owned).collect()
}

/// R207: one line a file on a pipe and nothing else; a refused file does not stop the others, and shows in the exit code.
#[tokio::test]
async fn the_command_line_uploads_each_file_with_a_line() {
    let world = World::open().await;
    let good = world.file("one.png", &png("one"));
    let (wrong, missing) = (world.file("note.png", b"just text"), format!("{good}.not"));
    let ended = world.receipt(&["upload", &good, &wrong, &missing, &good]).await;
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    let id = world.stage.lock().unwrap().receipts[0].0.clone();
    let said = lines(&ended);
    assert_eq!(said.len(), 4, "{said:?}");
    assert_eq!(said[0], format!("stored  {id} {good}"));
    assert!(said[1].starts_with("refused VLT-0009 ") && said[1].ends_with(&wrong), "{said:?}");
    assert!(said[2].starts_with("failed ") && said[2].ends_with(&missing), "{said:?}");
    assert_eq!(said[3], format!("known   {id} {good}"));
    let ended = world.receipt(&["upload", "--json", &good, &wrong]).await;
    let results: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((&results[0]["duplicate"], &results[0]["receipt"]["receipt_id"]), (&json!(true), &json!(id)));
    assert_eq!(results[1]["problem"]["code"], "VLT-0009");
    assert!(world.receipt(&["upload", &good]).await.status.success());
    assert_eq!(world.receipt(&["upload"]).await.status.code(), Some(2));
}

/// R077, R207, D12: shown with its content, erased with a proof, and the proof checked from files alone.
#[tokio::test]
async fn the_command_line_shows_erases_and_checks() {
    let world = World::open().await;
    let good = world.file("one.png", &png("one"));
    world.receipt(&["upload", &good]).await;
    let id = world.stage.lock().unwrap().receipts[0].0.clone();
    let path = |name: &str| world.folder.path().join(name).to_str().unwrap().to_owned();
    let (out, proven, governed) = (path("out.png"), path("proof"), path("governance.bcs"));
    assert!(world.receipt(&["show", &id, "--out", &out]).await.status.success());
    assert_eq!(std::fs::read(&out).unwrap(), png("one"));
    let listed: Value = serde_json::from_slice(&world.receipt(&["list", "--json"]).await.stdout).unwrap();
    assert_eq!(listed[0]["receipt_id"], id);
    // A Vault that gives another content is found out, and nothing is written.
    world.stage.lock().unwrap().receipts[0].1 = Some(png("other"));
    let lied = world.receipt(&["show", &id, "--out", &path("lie.png")]).await;
    assert!(!lied.status.success() && !FilePath::new(&path("lie.png")).exists());
    assert!(world.receipt(&["erase", &id, "--out", &proven]).await.status.success());
    assert_eq!(
        world.receipt(&["show", &id]).await.status.code(),
        Some(0),
        "an erased receipt is shown as such"
    );
    assert_eq!(world.receipt(&["show", &id, "--out", &out]).await.status.code(), Some(1));
    std::fs::write(&governed, encode(&governance(&keys()))).unwrap();
    let checked = world.receipt(&["check-erasure", &proven, "--governance", &governed, "--json"]).await;
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!((&checked["verified"], &checked["receipt_id"]), (&json!(true), &json!(id)));
    let mut forged = std::fs::read(&proven).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    let forged = world.file("forged", &forged);
    let unproven = world.receipt(&["check-erasure", &forged, "--governance", &governed]).await;
    assert_eq!(unproven.status.code(), Some(3));
    let unusable = world.receipt(&["check-erasure", &proven, "--governance", &good]).await;
    assert_eq!(unusable.status.code(), Some(1));
}

/// R055, R080, D12: the command line erases a person only when told that it is everything, and checks the Vault's proof without a
/// network; a changed proof, and one about a receipt, prove nothing.
#[tokio::test]
async fn a_person_is_erased_and_the_proof_checked() {
    let erased = PersonErasure {
        vault: VaultId::new("vault-a").unwrap(),
        subject: SubjectIndex(7),
        at: OrderedMillis(7),
        height: 9,
        head: Digest([4; 32]),
    };
    let signed = encode(&keys().vault.sign(erased));
    let answer = json!({"proof": hex::encode(&signed)});
    let of = format!("/v1/vaults/assigned/subjects/{PERSON}");
    let router = Router::new().route(&of, delete(move || async move { Json(answer) }));
    let world = World::before(Shared::default(), router).await;
    let path = |name: &str| world.folder.path().join(name).to_str().unwrap().to_owned();
    let proven = path("proof");
    assert_eq!(world.symphony("vault", &["erase", "--out", &proven]).await.status.code(), Some(2));
    assert!(world.symphony("vault", &["erase", "--everything", "--out", &proven]).await.status.success());
    assert_eq!(std::fs::read(&proven).unwrap(), signed);
    let governed = world.file("governance", &encode(&governance(&keys())));
    let check = ["check-erasure", &proven, "--governance", &governed, "--json"];
    let checked: Value = serde_json::from_slice(&world.symphony("vault", &check).await.stdout).unwrap();
    assert_eq!((&checked["verified"], &checked["person"]), (&json!(true), &json!(7)));
    let mut forged = signed.clone();
    *forged.last_mut().unwrap() ^= 1;
    for wrong in [forged, proof(&"ab".repeat(32), "vault-a")] {
        let wrong = world.file("wrong", &wrong);
        let unproven = world.symphony("vault", &["check-erasure", &wrong, "--governance", &governed]).await;
        assert_eq!(unproven.status.code(), Some(3));
    }
}
