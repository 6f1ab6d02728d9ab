//! Parses by the client and by the command line, against a Vault of the test that reads what a picture is filled with.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use symphony_protocol::vault::document::DocumentRecord;
use symphony_sdk::client::ClientError;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::SubjectId;

use crate::gateway;
use crate::receipts::{PERSON, World, entry, lines, part_of, png, problem, refusal, request};

#[derive(Default)]
struct Stage {
    contents: BTreeMap<String, Vec<u8>>,
    /// The receipt of each task.
    tasks: BTreeMap<String, String>,
    /// Idempotency keys of all that asked for a parse.
    keys: Vec<String>,
    /// Parses that are refused as passing before one is admitted.
    busy: u32,
    /// Tasks that nobody has followed to their end, and the most that there were.
    open: BTreeSet<String>,
    open_most: usize,
    /// Pages that were drawn.
    drawn: Vec<String>,
}

type Shared = Arc<Mutex<Stage>>;

impl Stage {
    /// Admits a parse: the same name for the same receipt is the same task.
    fn parse(&mut self, key: &str, id: &str) -> Result<String, Code> {
        self.keys.push(key.to_owned());
        if self.busy > 0 {
            self.busy -= 1;
            return Err(Code::SubsidyUsedUp);
        }
        if filling(&self.contents[id]).starts_with("known") {
            return Err(Code::ReceiptKnown);
        }
        let task = Digest::of_bytes(format!("{key}/{id}").as_bytes()).to_hex();
        self.tasks.insert(task.clone(), id.to_owned());
        self.open.insert(task.clone());
        self.open_most = self.open_most.max(self.open.len());
        Ok(task)
    }

    fn receipt(&self, id: &str) -> Option<Value> {
        let content = self.contents.get(id)?;
        let mut receipt = entry(id, Some(content));
        let task = self.tasks.iter().find(|(_, of)| *of == id).map_or("", |(task, _)| task);
        if !task.is_empty() || filling(content).starts_with("known") {
            receipt["reading"] = reading(task, &filling(content));
        }
        Some(receipt)
    }
}

fn filling(content: &[u8]) -> String {
    String::from_utf8_lossy(&content[8..]).into_owned()
}

/// Why nothing was read of a picture.
fn unread(filling: &str) -> &'static str {
    match filling {
        "garbage" => "VLT-0013",
        "another picture" => "VLT-0015",
        _ => "",
    }
}

fn reading(task: &str, filling: &str) -> Value {
    let at = json!({"page": 0, "left": 1, "top": 2, "width": 3, "height": 4});
    let read = |name: &str, value: &str, attribute: &str| json!({"name": name, "value": value, "confidence_bps": 9_350, "attribute": attribute, "at": at});
    let item = |description: &str, quantity: u64, amount: i64| {
        json!({"description": description, "quantity_milli": quantity, "unit_price_cents": 0, "amount_cents": amount,
            "confidence_bps": 8_000, "at": null})
    };
    let code = unread(filling);
    if !code.is_empty() {
        return json!({"task_id": task, "code": code, "record_commitment": "", "extractor": 2, "fields": [],
            "items": [], "checks": [], "completeness_bps": 0, "checks_bps": 0, "confidence_bps": 0});
    }
    json!({"task_id": task, "code": "", "record_commitment": "cd".repeat(32), "extractor": 2,
        "fields": [read("merchant", "Luckin\u{1b}[2J Coffee", "commerce.merchant"), read("date", "2026-03-25", "commerce.date"),
            read("currency", "SGD", "commerce.currency"), read("total", "12.30", "commerce.amount"),
            read("city", "Singapore", "commerce.city"), read("number", "A-17", "")],
        "items": [item("latte", 1_500, 1_480), item("voucher", 0, -250)],
        "checks": [{"name": "items_make_total", "holds": true}, {"name": "paid_makes_total", "holds": false}],
        "completeness_bps": 9_000, "checks_bps": 5_000, "confidence_bps": 8_765, "a_later_field": 1})
}

async fn upload(
    State(stage): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Json<Value> {
    let mut stage = stage.lock().unwrap();
    let content = part_of(&headers, &body);
    if !content.starts_with(b"\x89PNG") {
        return Json(json!({"results": [refusal(Code::DocumentUnknown)]}));
    }
    let record = DocumentRecord {
        salt: [3; 32],
        subject: SubjectId::new(PERSON).unwrap(),
        content: Digest::of_bytes(&content),
    };
    let id = record.commitment().0.to_hex();
    stage.contents.insert(id.clone(), content.clone());
    let mut result = json!({"part": 1, "receipt": entry(&id, Some(&content)), "duplicate": false, "code": "",
        "title": "", "detail": "", "retryable": false, "task_id": null, "parse_refusal": null});
    if query.get("parse").is_some_and(|parse| parse == "true") && filling(&content) != "forgotten" {
        match stage.parse(headers["idempotency-key"].to_str().unwrap(), &id) {
            Ok(task) => result["task_id"] = json!(task),
            Err(code) => result["parse_refusal"] = refusal(code),
        }
    }
    Json(json!({"results": [result]}))
}

fn task_json(stage: &Stage, task: &str) -> Value {
    let filling = filling(&stage.contents[&stage.tasks[task]]);
    // Of the same picture there is a reading already.
    let code = if filling == "same picture" { "VLT-0015" } else { unread(&filling) };
    let mut shown = gateway::task(if code.is_empty() { "completed" } else { "rejected" });
    shown["task_id"] = json!(task);
    shown["task_class"] = json!("parse");
    shown["code"] = json!(code);
    shown["subsidy"] = json!("150000000");
    shown
}

async fn parse(State(stage): State<Shared>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let mut stage = stage.lock().unwrap();
    if !stage.contents.contains_key(&id) {
        return problem(Code::NotFound);
    }
    match stage.parse(headers["idempotency-key"].to_str().unwrap(), &id) {
        Ok(task) => (StatusCode::ACCEPTED, Json(task_json(&stage, &task))).into_response(),
        Err(code) => problem(code),
    }
}

async fn events(State(stage): State<Shared>, Path(task): Path<String>) -> Response {
    let mut stage = stage.lock().unwrap();
    stage.open.remove(&task);
    let event = format!("event: task\ndata: {}\n\n", task_json(&stage, &task));
    ([(header::CONTENT_TYPE, "text/event-stream")], event).into_response()
}

async fn show(State(stage): State<Shared>, Path(id): Path<String>) -> Response {
    stage
        .lock()
        .unwrap()
        .receipt(&id)
        .map_or_else(|| problem(Code::NotFound), |receipt| Json(receipt).into_response())
}

async fn list(State(stage): State<Shared>) -> Json<Value> {
    let stage = stage.lock().unwrap();
    Json(stage.contents.keys().map(|id| stage.receipt(id).unwrap()).collect())
}

async fn content(State(stage): State<Shared>, Path(id): Path<String>) -> Vec<u8> {
    stage.lock().unwrap().contents[&id].clone()
}

async fn drawing(
    State(stage): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let mut stage = stage.lock().unwrap();
    if stage.receipt(&id).is_none_or(|receipt| receipt["reading"].is_null()) {
        return problem(Code::NotFound);
    }
    stage.drawn.push(query["page"].clone());
    png(&format!("page {}", query["page"])).into_response()
}

async fn open() -> World<Stage> {
    let stage = Shared::default();
    let router = Router::new()
        .route("/v1/receipts", post(upload).get(list))
        .route("/v1/receipts/{id}", get(show))
        .route("/v1/receipts/{id}/content", get(content))
        .route("/v1/receipts/{id}/parse", post(parse))
        .route("/v1/receipts/{id}/drawing", get(drawing))
        .route("/v1/tasks/{id}/events", get(events))
        .with_state(Arc::clone(&stage));
    World::before(stage, router).await
}

fn errors(output: &Output) -> Vec<String> {
    String::from_utf8(output.stderr.clone()).unwrap().lines().map(str::to_owned).collect()
}

/// R083, R209: an upload is parsed under its name; while the masters are busy it is tried again under the same.
#[tokio::test]
async fn an_upload_is_parsed_under_its_own_name() {
    let world = open().await;
    world.stage.lock().unwrap().busy = 2;
    let first = world.client.upload_and_parse_receipt(&png("one"), &request("r1")).await.unwrap();
    assert_eq!(world.stage.lock().unwrap().keys, ["r1", "r1", "r1"]);
    let task = first.task.unwrap();
    let again = world.client.upload_and_parse_receipt(&png("one"), &request("r1")).await.unwrap();
    assert_eq!((again.uploaded, again.task.unwrap()), (first.uploaded, task));
    let ended = world.client.watch(task, |_| {}).await.unwrap();
    assert_eq!((ended.task_class.as_str(), ended.subsidy.0), ("parse", 150_000_000));
    world.client.upload_receipt(&png("two"), &request("r2")).await.unwrap();
    assert_eq!(world.stage.lock().unwrap().keys.len(), 4, "an upload alone asks for no parse");
}

/// R083, R210: a refused parse is told beside the receipt, which is kept; a lasting refusal is not tried again.
#[tokio::test]
async fn a_refused_parse_is_told_beside_the_receipt() {
    let world = open().await;
    let known = world.client.upload_and_parse_receipt(&png("known"), &request("r1")).await.unwrap();
    let problem = known.task.unwrap_err();
    assert_eq!((problem.code.as_str(), problem.status, problem.retryable), ("VLT-0015", 409, false));
    assert_eq!(world.stage.lock().unwrap().keys, ["r1"]);
    world.stage.lock().unwrap().busy = 99;
    let late = world.client.upload_and_parse_receipt(&png("late"), &request("r2")).await.unwrap();
    assert_eq!(late.task.unwrap_err().code, "ADM-0026");
    assert!(world.stage.lock().unwrap().contents.contains_key(&late.uploaded.receipt.receipt_id));
    match world.client.upload_and_parse_receipt(b"text", &request("r3")).await {
        Err(ClientError::Refused(problem)) => assert_eq!(problem.code, "VLT-0009"),
        other => panic!("{other:?}"),
    }
    let forgotten = world.client.upload_and_parse_receipt(&png("forgotten"), &request("r4")).await;
    assert!(matches!(forgotten, Err(ClientError::Garbled(_))), "{forgotten:?}");
}

/// R083, R207: a kept receipt is parsed by its id, shown with what was read, and drawn.
#[tokio::test]
async fn a_kept_receipt_is_parsed_shown_and_drawn() {
    let world = open().await;
    let uploaded = world.client.upload_receipt(&png("one"), &request("r1")).await.unwrap();
    assert_eq!(uploaded.receipt.reading, None);
    let id = Digest::from_hex(&uploaded.receipt.receipt_id).unwrap();
    let refused = world.client.receipt_drawing(id, 0).await;
    assert!(matches!(refused, Err(ClientError::Refused(problem)) if problem.code == "ADM-0004"));
    let task = world.client.parse_receipt(id, &request("p1")).await.unwrap();
    let again = world.client.parse_receipt(id, &request("p1")).await.unwrap();
    assert_eq!(task, again);
    let reading = world.client.receipt(id).await.unwrap().reading.unwrap();
    assert_eq!((reading.value("total"), reading.value("tax")), (Some("12.30"), None));
    assert_eq!((reading.items[1].amount_cents, reading.checks[1].holds), (-250, false));
    assert_eq!(reading.fields[0].at.as_ref().map(|at| at.height), Some(4));
    assert_eq!(world.client.receipt_drawing(id, 2).await.unwrap(), png("page 2"));
    match world.client.parse_receipt(Digest([9; 32]), &request("p2")).await {
        Err(ClientError::Refused(problem)) => assert_eq!(problem.code, "ADM-0004"),
        other => panic!("{other:?}"),
    }
}

/// R083, R207, R210, R234: files are uploaded and read, and a table says of each what was read or why it was not.
#[tokio::test]
async fn the_command_line_shows_what_was_read() {
    let world = open().await;
    let good = world.file("good.png", &png("one"));
    let (bad, text) = (world.file("bad.png", &png("garbage")), world.file("note.png", b"just text"));
    let (known, missing) = (world.file("known.png", &png("known")), format!("{good}.not"));
    let ended = world.receipt(&["upload", "--parse", &good, &bad, &text, &missing, &known]).await;
    assert_eq!(ended.status.code(), Some(1));
    let table = lines(&ended);
    let row = |name: &str| table.iter().find(|line| line.contains(&format!("{name} "))).unwrap();
    for part in
        ["Luckin\u{fffd}[2J Coffee", "2026-03-25", "12.30 SGD", "Singapore", "90.0 %", "50.0 %", "87.6 %"]
    {
        assert!(row(&good).contains(part) && row(&known).contains(part), "{part}: {table:#?}");
    }
    assert!(row(&good).trim_end().ends_with("completed") && row(&known).trim_end().ends_with("known"));
    assert!(row(&bad).contains("rejected VLT-0013 the document is no receipt"), "{table:#?}");
    assert!(row(&text).contains("refused VLT-0009"));
    assert!(row(&missing).contains("failed reading the file"));
    let said = errors(&ended);
    assert_eq!(said.len(), 3, "{said:?}");
    for (line, code, file) in
        [(0, "rejected VLT-0013", &bad), (1, "refused VLT-0009", &text), (2, "failed", &missing)]
    {
        assert!(said[line].starts_with(code) && said[line].ends_with(file.as_str()), "{said:?}");
    }
    let ended = world.receipt(&["upload", "--parse", "--json", &good, &bad, &text]).await;
    assert_eq!((ended.status.code(), errors(&ended)), (Some(1), Vec::new()));
    let results: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((&results[0]["file"], &results[0]["task"]["state"]), (&json!(good), &json!("completed")));
    assert_eq!(results[0]["receipt"]["reading"]["items"][0]["quantity_milli"], 1_500);
    assert_eq!(results[1]["task"]["code"], "VLT-0013");
    assert_eq!((&results[2]["problem"]["code"], &results[2]["task"]), (&json!("VLT-0009"), &Value::Null));
    assert!(world.receipt(&["upload", "--parse", &good, &known]).await.status.success());
}

/// R083, R207: kept receipts are read by their ids, listed with what was read, and shown with all of it.
#[tokio::test]
async fn the_command_line_reads_kept_receipts() {
    let world = open().await;
    let id = world.client.upload_receipt(&png("one"), &request("r1")).await.unwrap().receipt.receipt_id;
    let before = lines(&world.receipt(&["show", &id]).await).join("\n");
    assert!(before.contains("stored") && !before.contains("items make total"));
    let ended = world.receipt(&["parse", &id, &"09".repeat(32)]).await;
    assert_eq!(ended.status.code(), Some(1));
    let table = lines(&ended).join("\n");
    assert!(table.contains("12.30 SGD") && table.contains("refused ADM-0004"), "{table}");
    assert_eq!(errors(&ended).len(), 1);
    let listed = lines(&world.receipt(&["list"]).await).join("\n");
    assert!(listed.contains("2026-03-25") && listed.contains("12.30 SGD"), "{listed}");
    let drawn = world.folder.path().join("page.png");
    let shown = world.receipt(&["show", &id, "--drawing", drawn.to_str().unwrap(), "--page", "1"]).await;
    assert!(shown.status.success());
    assert_eq!(std::fs::read(&drawn).unwrap(), png("page 1"));
    let shown = lines(&shown);
    let row = |name: &str| {
        let row = shown.iter().find(|line| line.trim_start().starts_with(name)).unwrap();
        row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(row("total"), ["total", "12.30", "93.5 %", "commerce.amount"]);
    assert_eq!(row("number"), ["number", "A-17", "93.5 %", "local"]);
    assert_eq!(row("latte"), ["latte", "1.5", "14.80", "80.0 %"]);
    assert_eq!(row("voucher"), ["voucher", "-2.50", "80.0 %"]);
    assert_eq!(row("paid makes"), ["paid makes total", "no"]);
    assert!(!shown.concat().contains('\u{1b}'));
    assert_eq!(world.receipt(&["show", &id, "--page", "1"]).await.status.code(), Some(2));
    assert_eq!(world.receipt(&["parse"]).await.status.code(), Some(2));
}

/// R083: what was read before by this very receipt is no failure; another picture of a receipt that was read is one.
#[tokio::test]
async fn a_receipt_that_was_read_before_is_told_from_another_picture() {
    let world = open().await;
    let (same, another) =
        (world.file("s.png", &png("same picture")), world.file("a.png", &png("another picture")));
    let ended = world.receipt(&["upload", "--parse", &same]).await;
    assert!(ended.status.success() && errors(&ended).is_empty());
    let table = lines(&ended);
    assert!(
        table.iter().any(|line| line.contains(&same) && line.trim_end().ends_with("known")),
        "{table:#?}"
    );
    let ended = world.receipt(&["upload", "--parse", &another]).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(lines(&ended).concat().contains("rejected VLT-0015 the receipt was read before"));
}

/// R204: however many files there are, a Vault is asked for a few at a time.
#[tokio::test]
async fn few_parses_are_under_way_at_once() {
    let world = open().await;
    let files: Vec<_> = (0..20)
        .map(|number| world.file(&format!("{number}.png"), &png(&format!("number {number}"))))
        .collect();
    let mut words = vec!["upload", "--parse"];
    words.extend(files.iter().map(String::as_str));
    let ended = world.receipt(&words).await;
    assert!(ended.status.success());
    let stage = world.stage.lock().unwrap();
    assert_eq!((stage.tasks.len(), stage.open.len(), stage.open_most), (20, 0, 8));
    let table = lines(&ended);
    let places =
        files.iter().map(|file| table.iter().position(|line| line.contains(&format!("{file} "))).unwrap());
    assert!(places.is_sorted(), "in the order that they were named");
}
