//! Receipts over REST: parts of a multipart body, each answered on its own, and what a body may not be.

use std::time::Duration;

use futures::StreamExt;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use symphony_gateway::config::Limits;
use symphony_types::digest::Digest;
use symphony_types::limits::{DOCUMENT_BYTES_MAX, DOCUMENTS_PER_UPLOAD_MAX};
use symphony_wire::v1::vault_operation::Operation;
use symphony_wire::v1::{ListReceipts, PutReceipt};

use crate::stage::{ACTOR, Stage, VAULT};

pub(crate) const FORM: &str = "multipart/form-data; boundary=XYZ";
pub(crate) const RECEIPTS: &str = "/v1/receipts";

fn part(content: &[u8]) -> Vec<u8> {
    let head = b"--XYZ\r\ncontent-disposition: form-data; name=\"d\"; filename=\"secret-name.exe\"\r\n\
                 content-type: text/plain\r\n\r\n";
    [head.as_slice(), content, b"\r\n"].concat()
}

pub(crate) fn body(contents: &[&[u8]]) -> Vec<u8> {
    let mut body: Vec<u8> = contents.iter().flat_map(|content| part(content)).collect();
    body.extend_from_slice(b"--XYZ--\r\n");
    body
}

pub(crate) async fn json(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
}

fn sent(stage: &Stage) -> Vec<Vec<u8>> {
    let seen = stage.seen.lock().unwrap();
    let contents = seen.operations.iter().map(|operation| match operation.operation.as_ref().unwrap() {
        Operation::PutReceipt(PutReceipt { content }) => content.clone(),
        other => panic!("{other:?}"),
    });
    contents.collect()
}

/// R014, R074, R209: every part is an operation of its own, in the caller's name, under a name of its own.
#[tokio::test]
async fn each_part_is_sent_and_answered_on_its_own() {
    let stage = Stage::open().await;
    let contents: [&[u8]; 3] = [b"one\r\n--XY", b"bad two", b""];
    for _ in 0..2 {
        let (status, report) = json(stage.post(RECEIPTS, FORM, body(&contents))).await;
        assert_eq!(status, 200, "{report}");
        let results = report["results"].as_array().unwrap();
        let codes: Vec<_> = results.iter().map(|result| result["code"].as_str().unwrap()).collect();
        assert_eq!(codes, ["", "VLT-0009", ""]);
        assert_eq!(results[0]["receipt"]["receipt_id"], Digest::of_bytes(contents[0]).to_hex());
        assert_eq!((&results[1]["part"], &results[1]["retryable"]), (&Value::from(2), &Value::from(false)));
        assert_eq!(results[1]["receipt"], Value::Null);
    }
    assert_eq!(sent(&stage), [contents, contents].concat());
    let seen = stage.seen.lock().unwrap();
    let ids: Vec<_> = seen.operations.iter().map(|operation| operation.request_id.as_str()).collect();
    assert_eq!(ids[..3], ["upload-1:1", "upload-1:2", "upload-1:3"]);
    assert_eq!(ids[..3], ids[3..]);
    assert!(seen.operations.iter().all(|operation| operation.actor == ACTOR && operation.vault_id == VAULT));
    let plain = |sealed: &Vec<u8>| sealed.windows(7).any(|part| part == b"bad two" || part == b"one\r\n--");
    assert!(!seen.sealed.iter().any(plain), "the master carries sealed bytes");
}

/// R080, R204: an oversized part is refused by itself, and the parts around it are taken.
#[tokio::test]
async fn an_oversized_part_leaves_its_neighbours_alone() {
    let stage = Stage::open().await;
    let large = vec![b'x'; DOCUMENT_BYTES_MAX + 1];
    let contents: [&[u8]; 3] = [b"first", &large, b"last"];
    let (status, report) = json(stage.post(RECEIPTS, FORM, body(&contents))).await;
    assert_eq!(status, 200, "{report}");
    let codes: Vec<_> =
        report["results"].as_array().unwrap().iter().map(|result| result["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["", "ADM-0017", ""]);
    assert_eq!(sent(&stage), [b"first".as_slice(), b"last"]);
    let (_, report) = json(stage.post(RECEIPTS, FORM, body(&[&large[..DOCUMENT_BYTES_MAX]]))).await;
    assert_eq!(report["results"][0]["code"], "", "the largest document passes");
}

/// R080, R204: parts beyond the limit are not sent, and one refusal stands for all of them.
#[tokio::test]
async fn too_many_parts_are_refused_once() {
    let stage = Stage::open().await;
    let contents = vec![b"picture".as_slice(); DOCUMENTS_PER_UPLOAD_MAX + 9];
    let (status, report) = json(stage.post(RECEIPTS, FORM, body(&contents))).await;
    assert_eq!(status, 200, "{report}");
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), DOCUMENTS_PER_UPLOAD_MAX + 1);
    assert_eq!(results[DOCUMENTS_PER_UPLOAD_MAX]["code"], "ADM-0025");
    assert_eq!(sent(&stage).len(), DOCUMENTS_PER_UPLOAD_MAX);
}

pub(crate) async fn refused(request: RequestBuilder, expected: &str) {
    let (status, problem) = json(request).await;
    assert_eq!(problem["code"], expected, "{problem}");
    assert_eq!(problem["status"], status);
}

/// R204, R210: what is no multipart body, or has none of its parts whole, is refused with a code.
#[tokio::test]
async fn bodies_that_are_no_parts_are_refused() {
    let stage = Stage::open().await;
    for media in ["image/jpeg", "multipart/form-data", "multipart/mixed; boundary=XYZ", "application/json"] {
        refused(stage.post(RECEIPTS, media, body(&[b"x"])), "ADM-0021").await;
    }
    refused(stage.request(Method::POST, RECEIPTS).body(body(&[b"x"])), "ADM-0001").await;
    refused(stage.post(RECEIPTS, FORM, body(&[])), "ADM-0001").await;
    refused(stage.post(RECEIPTS, FORM, ""), "ADM-0001").await;
    refused(stage.post(RECEIPTS, FORM, part(b"never ends")), "ADM-0001").await;
    let endless_head = [b"--XYZ\r\nx: ".as_slice(), &vec![b'y'; 3 << 20]].concat();
    refused(stage.post(RECEIPTS, FORM, endless_head), "ADM-0001").await;
    refused(stage.post(RECEIPTS, FORM, vec![b'-'; 3 << 20]), "ADM-0001").await;
    let unnamed = stage.request(Method::POST, RECEIPTS).header("content-type", FORM).body(body(&[b"x"]));
    refused(unnamed, "ADM-0001").await;
    assert!(sent(&stage).is_empty());
}

/// R204: a body that does not go on is given up; what came before it is kept.
#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let limits = Limits { stall: Duration::from_millis(200), ..Limits::default() };
    let stage = Stage::with(limits).await;
    let begun = [part(b"whole"), b"--XYZ\r\ncontent-disposition: form-data\r\n\r\nhal".to_vec()].concat();
    let begun = futures::stream::once(async move { Ok::<_, std::io::Error>(begun) });
    let stalled = reqwest::Body::wrap_stream(begun.chain(futures::stream::pending()));
    refused(stage.post(RECEIPTS, FORM, stalled), "GOV-0003").await;
    assert_eq!(sent(&stage), [b"whole"]);
}

/// R074, R079, R207: receipts are listed, shown, given back and erased at the assigned Vault.
#[tokio::test]
async fn receipts_are_listed_shown_and_erased() {
    let stage = Stage::open().await;
    let id = "ab".repeat(32);
    let (_, listed) = json(stage.get(&format!("{RECEIPTS}?after={id}&limit=2"))).await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let (_, shown) = json(stage.get(&format!("{RECEIPTS}/{id}"))).await;
    assert_eq!((&shown["state"], &shown["media_type"]), (&"stored".into(), &"image/png".into()));
    let content = stage.get(&format!("{RECEIPTS}/{id}/content")).send().await.unwrap();
    assert_eq!(content.headers()["content-type"], "image/png");
    assert_eq!(content.headers()["content-disposition"], "attachment");
    assert_eq!(content.headers()["x-content-type-options"], "nosniff");
    assert_eq!(content.bytes().await.unwrap().as_ref(), b"picture");
    let (_, erased) = json(stage.request(Method::DELETE, &format!("{RECEIPTS}/{id}"))).await;
    assert_eq!(erased["proof"], "010203");
    refused(stage.get(&format!("{RECEIPTS}/{}", "09".repeat(32))), "ADM-0004").await;
    refused(stage.get(&format!("{RECEIPTS}/xyz")), "ADM-0001").await;
    refused(stage.get(&format!("{RECEIPTS}?after=xyz")), "ADM-0001").await;
    refused(stage.get(&format!("{RECEIPTS}?surprise=1")), "ADM-0001").await;
    refused(stage.client.get(format!("{}{RECEIPTS}", stage.url)), "ADM-0002").await;
    let seen = stage.seen.lock().unwrap();
    let first = seen.operations[0].operation.clone().unwrap();
    assert_eq!(first, Operation::ListReceipts(ListReceipts { after: vec![0xab; 32], limit: 2 }));
    assert!(seen.operations.iter().all(|operation| operation.vault_id == VAULT));
}
