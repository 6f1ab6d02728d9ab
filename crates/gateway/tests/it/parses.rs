//! Parses over REST: asked for with an upload or later, and what is read, drawn and refused.

use reqwest::Method;
use serde_json::{Value, json};
use symphony_types::digest::Digest;
use symphony_types::limits::DOCUMENT_BYTES_MAX;
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{CorrectReceipt, Correction, DrawReceipt, ParseReceipt, VaultOperation};

use crate::receipts::{FORM, RECEIPTS, body, json, refused};
use crate::stage::{ACTOR, Stage, VAULT};

const PARSED: &str = "/v1/receipts?parse=true";

fn id_of(content: &[u8]) -> String {
    Digest::of_bytes(content).to_hex()
}

/// R083, R209, R234: each part that is kept becomes one task; the same upload again is the same tasks.
#[tokio::test]
async fn each_kept_part_becomes_one_task() {
    let stage = Stage::open().await;
    let contents: [&[u8]; 3] = [b"one", b"bad two", b"three"];
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let (status, report) = json(stage.post(PARSED, FORM, body(&contents))).await;
        assert_eq!(status, 200, "{report}");
        let results = report["results"].as_array().unwrap();
        assert_eq!(results[1]["code"], "VLT-0009");
        assert_eq!((&results[1]["task_id"], &results[1]["parse_refusal"]), (&Value::Null, &Value::Null));
        assert_eq!(results[2]["receipt"]["receipt_id"], id_of(b"three"));
        assert_eq!(results[2]["receipt"]["reading"], Value::Null, "not yet");
        tasks.push([0, 2].map(|part: usize| results[part]["task_id"].as_str().unwrap().to_owned()));
    }
    assert_eq!(tasks[0], tasks[1]);
    assert_ne!(tasks[0][0], tasks[0][1]);
    let seen = stage.seen.lock().unwrap();
    let asked: Vec<_> = seen
        .operations
        .iter()
        .filter_map(|operation| match &operation.operation {
            Some(Operation::ParseReceipt(parse)) => {
                Some((operation.request_id.as_str(), parse.receipt_id.clone()))
            }
            _ => None,
        })
        .collect();
    let mut expected = Vec::new();
    for (name, content) in [("upload-1:1:read", b"one".as_slice()), ("upload-1:3:read", b"three")] {
        expected.push((name, Digest::of_bytes(content).0.to_vec()));
    }
    let mut first = asked[..2].to_vec();
    first.sort();
    assert_eq!(first, expected);
    assert_eq!(asked.len(), 4);
    let mut tickets = seen.parses.clone();
    tickets.sort();
    tickets.dedup();
    assert_eq!((seen.parses.len(), tickets.len()), (4, 2));
}

/// R074, R075: an upload by itself is parsed by nobody, and neither is one that says so.
#[tokio::test]
async fn an_upload_alone_is_no_task() {
    let stage = Stage::open().await;
    for path in [RECEIPTS, "/v1/receipts?parse=false"] {
        let (_, report) = json(stage.post(path, FORM, body(&[b"one"]))).await;
        assert_eq!(report["results"][0]["task_id"], Value::Null, "{report}");
    }
    refused(stage.post("/v1/receipts?parse=1", FORM, body(&[b"one"])), "ADM-0001").await;
    refused(stage.post("/v1/receipts?read=true", FORM, body(&[b"one"])), "ADM-0001").await;
    let seen = stage.seen.lock().unwrap();
    assert!(seen.parses.is_empty());
    assert_eq!(seen.operations.len(), 2);
}

/// R083, R210: a parse that the Vault or the masters refuse leaves the receipt in the answer, beside the refusal.
#[tokio::test]
async fn a_refused_parse_keeps_the_receipt() {
    let stage = Stage::open().await;
    let (status, report) = json(stage.post(PARSED, FORM, body(&[b"known", b"stray", b"one"]))).await;
    assert_eq!(status, 200, "{report}");
    for (part, content, code) in [(0, b"known", "VLT-0015"), (1, b"stray", "ADM-0003")] {
        let result = &report["results"][part];
        assert_eq!((&result["code"], &result["receipt"]["receipt_id"]), (&json!(""), &json!(id_of(content))));
        assert_eq!(result["task_id"], Value::Null);
        let refusal = &result["parse_refusal"];
        assert_eq!((&refusal["code"], &refusal["retryable"]), (&json!(code), &json!(false)), "{refusal}");
    }
    assert_eq!(report["results"][2]["parse_refusal"], Value::Null);
    assert!(report["results"][2]["task_id"].is_string());
    assert_eq!(stage.seen.lock().unwrap().parses.len(), 1);
}

/// R209: the longest key has a name for every part and its parse; a longer one is refused before anything is sent.
#[tokio::test]
async fn the_longest_key_names_every_parse() {
    let stage = Stage::open().await;
    let contents = vec![b"one".as_slice(); 32];
    let send = |key: String| {
        let request = stage.request(Method::POST, PARSED).header("content-type", FORM);
        request.header("idempotency-key", key).body(body(&contents))
    };
    refused(send("k".repeat(57)), "ADM-0001").await;
    assert!(stage.seen.lock().unwrap().operations.is_empty());
    let (_, report) = json(send("k".repeat(56))).await;
    let results = report["results"].as_array().unwrap();
    assert!(results.iter().all(|result| result["task_id"].is_string()), "{report}");
    let tasks: std::collections::BTreeSet<_> =
        results.iter().map(|result| result["task_id"].to_string()).collect();
    assert_eq!(tasks.len(), 32);
}

/// R083, R207, R209: a receipt that is kept is parsed later, by its id and under the caller's name.
#[tokio::test]
async fn a_kept_receipt_is_parsed_by_its_id() {
    let stage = Stage::open().await;
    let path = |id: &str| format!("{RECEIPTS}/{id}/parse");
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let response = stage.post(&path(&id_of(b"one")), "", "").send().await.unwrap();
        assert_eq!(response.status(), 202);
        let location = response.headers()["location"].to_str().unwrap().to_owned();
        let task: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(location, format!("/v1/tasks/{}", task["task_id"].as_str().unwrap()));
        assert_eq!((&task["task_class"], &task["subsidy"]), (&json!("parse"), &json!("0")));
        tasks.push(location);
    }
    assert_eq!(tasks[0], tasks[1]);
    refused(stage.post(&path(&id_of(b"known")), "", ""), "VLT-0015").await;
    refused(stage.post(&path(&id_of(b"stray")), "", ""), "ADM-0003").await;
    refused(stage.post(&path(&id_of(b"blank")), "", ""), "GOV-0004").await;
    refused(stage.post(&path("xyz"), "", ""), "ADM-0001").await;
    refused(stage.request(Method::POST, &path(&id_of(b"one"))), "ADM-0001").await;
    refused(stage.client.post(format!("{}{}", stage.url, path(&id_of(b"one")))), "ADM-0002").await;
    let seen = stage.seen.lock().unwrap();
    let first = &seen.operations[0];
    let receipt_id = Digest::of_bytes(b"one").0.to_vec();
    assert_eq!(first.operation, Some(Operation::ParseReceipt(ParseReceipt { receipt_id })));
    assert_eq!(
        (first.actor.as_str(), first.vault_id.as_str(), first.request_id.as_str()),
        (ACTOR, VAULT, "upload-1")
    );
    assert_eq!(seen.parses.len(), 2);
}

/// R083, R207: what was read stands in the receipt, bytes in hexadecimal digits and amounts exact.
#[tokio::test]
async fn a_reading_is_part_of_its_receipt() {
    let stage = Stage::open().await;
    let (_, shown) = json(stage.get(&format!("{RECEIPTS}/{}", id_of(b"one")))).await;
    let reading = &shown["reading"];
    assert_eq!((&reading["task_id"], &reading["code"]), (&json!("07".repeat(32)), &json!("")));
    assert_eq!(reading["record_commitment"], "cd".repeat(32));
    let at = json!({"page": 1, "left": 2, "top": 3, "width": 4, "height": 5});
    let merchant = json!({"name": "merchant", "value": "Luckin Coffee", "confidence_bps": 9_300,
        "attribute": "commerce.merchant", "at": at, "corrected": false});
    assert_eq!((&reading["fields"][0], &reading["fields"][1]["attribute"]), (&merchant, &json!("")));
    let item = json!({"description": "latte", "quantity_milli": 1_500, "unit_price_cents": 0, "amount_cents": -250,
        "confidence_bps": 8_000, "at": null});
    assert_eq!(reading["items"], json!([item]));
    assert_eq!(reading["checks"], json!([{"name": "items_make_total", "holds": true}]));
    let score =
        ["completeness_bps", "checks_bps", "confidence_bps"].map(|part| reading[part].as_u64().unwrap());
    assert_eq!((score, &reading["extractor"]), ([9_000, 10_000, 8_700], &json!(2)));
}

/// R079, R083: a page is drawn for its owner, as a picture that no browser takes for a part of this site.
#[tokio::test]
async fn a_page_of_a_receipt_is_drawn() {
    let stage = Stage::open().await;
    let path = format!("{RECEIPTS}/{}/drawing", "ab".repeat(32));
    for (query, page) in [("", 0), ("?page=3", 3)] {
        let drawn = stage.get(&format!("{path}{query}")).send().await.unwrap();
        assert_eq!(drawn.headers()["content-type"], "image/png");
        assert_eq!(drawn.headers()["content-disposition"], "attachment");
        let picture = drawn.bytes().await.unwrap();
        assert!(picture.starts_with(b"\x89PNG") && picture.ends_with(&[page]), "page {page}");
    }
    refused(stage.get(&format!("{path}?page=7")), "GOV-0004").await;
    refused(stage.get(&format!("{path}?page=-1")), "ADM-0001").await;
    refused(stage.get(&format!("{path}?sheet=1")), "ADM-0001").await;
    refused(stage.get(&format!("{RECEIPTS}/{}/drawing", "09".repeat(32))), "ADM-0004").await;
    refused(stage.client.get(format!("{}{path}", stage.url)), "ADM-0002").await;
    let seen = stage.seen.lock().unwrap();
    let receipt_id = vec![0xab; 32];
    assert_eq!(
        seen.operations[1].operation,
        Some(Operation::DrawReceipt(DrawReceipt { receipt_id, page: 3 }))
    );
}

/// R083, R207: the owner's word goes to its Vault field by field; what is no word of it does not.
#[tokio::test]
async fn a_reading_is_corrected_by_its_owner() {
    let stage = Stage::open().await;
    let path = format!("{RECEIPTS}/{}", "ab".repeat(32));
    let correct = |body: Value| stage.request(Method::PATCH, &path).json(&body);
    let (status, shown) = json(correct(json!({"corrections": {"total": "12.30", "city": ""}}))).await;
    assert_eq!((status, &shown["state"]), (200, &json!("stored")));
    refused(correct(json!({"corrections": {"total": 12.3}})), "ADM-0001").await;
    refused(correct(json!({"total": "12.30"})), "ADM-0001").await;
    refused(stage.client.patch(format!("{}{path}", stage.url)).json(&json!({})), "ADM-0002").await;
    let seen = stage.seen.lock().unwrap();
    let said = |field: &str, value: &str| Correction { field: field.into(), value: value.into() };
    let corrections = vec![said("city", ""), said("total", "12.30")];
    let correct = CorrectReceipt { receipt_id: vec![0xab; 32], corrections };
    assert_eq!(seen.operations.len(), 1);
    assert_eq!(seen.operations[0].operation, Some(Operation::CorrectReceipt(correct)));
}

/// R082, R234: what a caller sealed to its Vault passes as it is, both ways, in the caller's proven name; the gateway has no
/// key to it. A ticket that came by such an answer becomes a task.
#[tokio::test]
async fn what_a_caller_sealed_passes_unread() {
    let stage = Stage::open().await;
    let sealed = vec![0xa5; DOCUMENT_BYTES_MAX + 1_000];
    for vault in ["assigned", VAULT] {
        let path = format!("/v1/vaults/{vault}/operations");
        let answer = stage.post(&path, "application/octet-stream", sealed.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
        assert_eq!(answer.bytes().await.unwrap(), [b"sealed:".as_slice(), &sealed].concat());
    }
    let passed = |operation: &VaultOperation| {
        operation.actor == ACTOR
            && matches!(&operation.operation, Some(Operation::ByCaller(by)) if by.sealed == sealed)
    };
    assert_eq!(stage.seen.lock().unwrap().operations.iter().filter(|operation| passed(operation)).count(), 2);
    let path = "/v1/vaults/assigned/operations";
    let larger = vec![0; DOCUMENT_BYTES_MAX + (64 << 10) + 1];
    refused(stage.post(path, "application/octet-stream", larger), "ADM-0017").await;
    refused(stage.post("/v1/vaults/vault-z/operations", "application/octet-stream", sealed), "ADM-0012")
        .await;

    let ticket = format!("{ACTOR}/own");
    let submit = |ticket: &str| stage.request(Method::POST, "/v1/parses").json(&json!({"ticket": ticket}));
    let (status, task) = json(submit(&hex::encode(&ticket))).await;
    assert_eq!((status, task["task_class"].as_str()), (202, Some("parse")), "{task}");
    assert_eq!(stage.seen.lock().unwrap().parses, [ticket.into_bytes()]);
    refused(submit(&hex::encode("mallory/own")), "ADM-0003").await;
    refused(submit("no"), "ADM-0001").await;
}
