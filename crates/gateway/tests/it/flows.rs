//! What users do over REST, from the request to what the master and the Vault saw.

use reqwest::Method;
use serde_json::{Value, json};
use symphony_wire::v1::vault_operation::Operation;

use crate::stage::{ACTOR, Stage, TASK, VAULT};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

fn submission() -> Value {
    json!({
        "spec": {
            "task_class": "query", "usage_scope": "marketing", "vault_ids": ["vault-1", "vault-2"],
            "minimum_vault_quorum": 2, "output_attribute": "identity.contact_handle", "audience_cap": 5000,
            "operands": [
                { "rule": "commerce.category", "texts": ["coffee", "tea"] },
                { "rule": "commerce.purchase_recency", "days": 30 },
            ],
        },
        "budget_lock_ref": "11".repeat(32), "recipient_key": "22".repeat(32),
    })
}

/// R009, R207, R209
#[tokio::test]
async fn a_task_is_submitted_under_its_idempotency_key() {
    let stage = Stage::open().await;
    let response = stage.post("/v1/tasks", JSON, submission().to_string()).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let path = format!("/v1/tasks/{}", hex::encode(TASK));
    assert_eq!(response.headers()["location"], path.as_str());
    let task: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    assert_eq!(task["state"], "accepted");
    assert_eq!(task["charged"]["total"], "18446744073709551615", "amounts are exact");

    let mut named = submission();
    named["request_id"] = json!("other");
    let conflict = stage.post("/v1/tasks", JSON, named.to_string()).send().await.unwrap();
    assert_eq!(conflict.status(), 400);
    let request =
        stage.request(Method::POST, "/v1/tasks").header("content-type", JSON).body(named.to_string());
    assert_eq!(request.send().await.unwrap().status(), 202);

    let seen = stage.seen.lock().unwrap();
    let ids: Vec<&str> = seen.submitted.iter().map(|request| request.request_id.as_str()).collect();
    assert_eq!(ids, ["upload-1", "other"]);
    let spec = seen.submitted[0].spec.as_ref().unwrap();
    assert_eq!(spec.operands.len(), 2);
    assert_eq!(seen.submitted[0].recipient_key, [0x22; 32]);
    let (method, caller) = &seen.callers[0];
    assert_eq!((method.as_str(), caller.actor.as_str()), ("SubmitTask", ACTOR));
    assert_eq!(caller.roles, ["producer"]);
}

/// R207, R208
#[tokio::test]
async fn a_task_is_followed_to_its_result_and_evidence() {
    let stage = Stage::open().await;
    let path = format!("/v1/tasks/{}", hex::encode(TASK));
    let events = stage.get(&format!("{path}/events")).send().await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let text = events.text().await.unwrap();
    assert_eq!(text.matches("event: task").count(), 3, "{text}");
    assert!(text.trim_end().lines().last().unwrap().contains("\"state\":\"completed\""));

    let result = stage.get(&format!("{path}/result")).send().await.unwrap().text().await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&result).unwrap()["sealed"], "abababab");
    let evidence = stage.get(&format!("{path}/evidence")).send().await.unwrap();
    assert_eq!(evidence.headers()["content-type"], "application/octet-stream");
    assert_eq!(evidence.bytes().await.unwrap().as_ref(), [1, 2, 3]);
    let octets = "application/octet-stream";
    for route in ["/v1/chain/transactions", "/v1/chain/queries"] {
        let answer = stage.post(route, octets, vec![9, 8]).send().await.unwrap();
        assert_eq!(answer.bytes().await.unwrap().as_ref(), [9, 8]);
    }
    let status = stage.get("/v1/status").send().await.unwrap().text().await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&status).unwrap()["masters"], 1);
}

/// R139, R208: a page is asked for in words that are one, and by whom the token names; a candidate comes as bytes.
#[tokio::test]
async fn what_may_be_disputed_is_listed_page_by_page() {
    let stage = Stage::open().await;
    for wrong in ["after=xyz", "after=abc", "limit=-1", "limit=many", "status=challenged"] {
        let refused = stage.get(&format!("/v1/tasks?{wrong}")).send().await.unwrap();
        assert_eq!(refused.status(), 400, "{wrong}");
        assert!(refused.text().await.unwrap().contains("ADM-0001"), "{wrong}");
    }
    assert!(stage.seen.lock().unwrap().callers.is_empty(), "no master was asked");
    let nobody = stage.client.get(format!("{}/v1/tasks", stage.url)).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
    assert_eq!(stage.get("/v1/tasks").send().await.unwrap().status(), 200);
    let path = format!("/v1/tasks/{}/candidate", hex::encode(TASK));
    let candidate = stage.get(&path).send().await.unwrap();
    assert_eq!(candidate.headers()["content-type"], "application/octet-stream");
    let seen = stage.seen.lock().unwrap();
    let named: Vec<_> =
        seen.callers.iter().map(|(method, by)| (method.as_str(), by.actor.as_str())).collect();
    assert_eq!(named, [("ListTasks", ACTOR), ("GetCandidate", ACTOR)]);
}

/// R014, R002, R209
#[tokio::test]
async fn a_bulk_upload_is_cut_sealed_and_counted() {
    let stage = Stage::open().await;
    let mut content = String::new();
    for line in 1..=30_000 {
        let word = if line % 10_000 == 5 { "bad" } else { "PLAINTEXT-MARKER" };
        content.push_str(&format!(
            "{{\"line\":{line},\"word\":\"{word}\",\"filling\":\"{}\"}}\n",
            "z".repeat(60)
        ));
    }
    content.push_str(&"w".repeat(20_000));
    let mut ids = Vec::new();
    for _ in 0..2 {
        let response = stage.post("/v1/vaults/vault-1/records", LINES, content.clone()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let report: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(report["accepted"], 29_997);
        assert_eq!(report["refused_total"], 4);
        let refused: Vec<u64> =
            report["refused"].as_array().unwrap().iter().map(|line| line["line"].as_u64().unwrap()).collect();
        assert_eq!(refused, [5, 10_005, 20_005, 30_001]);
        assert_eq!(report["refused"][3]["code"], "ADM-0017");
        let operations = std::mem::take(&mut stage.seen.lock().unwrap().operations);
        let mut of_upload: Vec<String> =
            operations.iter().map(|operation| operation.request_id.clone()).collect();
        of_upload.sort();
        ids.push(of_upload);
        assert!(operations.iter().all(|operation| operation.actor == ACTOR && operation.vault_id == VAULT));
    }
    assert!(ids[0].len() >= 3);
    assert_eq!(ids[0], ids[1], "the same upload makes the same operations");
    assert_eq!(ids[0][0], "upload-1:0");
    let seen = stage.seen.lock().unwrap();
    assert!(seen.sealed.iter().all(|sealed| sealed.len() < 2 << 20));
    for secret in ["PLAINTEXT-MARKER", "\"word\"", ACTOR] {
        let shown = seen
            .sealed
            .iter()
            .any(|sealed| sealed.windows(secret.len()).any(|part| part == secret.as_bytes()));
        assert!(!shown, "the master was shown {secret}");
    }
}

/// R014
#[tokio::test]
async fn single_objects_and_columns_go_whole() {
    let stage = Stage::open().await;
    let path = "/v1/vaults/assigned/records";
    let response = stage.post(path, JSON, "{\n\"a\": 1\n}").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let response = stage.post(path, JSON, "{\"a\": \"bad\"}").send().await.unwrap();
    assert_eq!(response.status(), 422);
    let columns = vec![b'P'; 3 << 20];
    let response = stage.post(path, "application/vnd.apache.parquet", columns.clone()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let unnamed = stage.request(Method::POST, path).header("content-type", LINES).body("{}");
    assert_eq!(unnamed.send().await.unwrap().status(), 400);

    let seen = stage.seen.lock().unwrap();
    let Some(Operation::PutRecords(single)) = &seen.operations[0].operation else { panic!("not records") };
    assert_eq!(single.content, b"{ \"a\": 1 }\n");
    let Some(Operation::PutRecords(whole)) = &seen.operations[2].operation else { panic!("not records") };
    assert_eq!(whole.content, columns);
    assert_eq!(whole.format, 2);
}

/// R207
#[tokio::test]
async fn a_person_rules_their_own_consent_and_sees_their_budget() {
    let stage = Stage::open().await;
    let grant = stage.request(Method::PUT, "/v1/consents/marketing");
    assert_eq!(grant.send().await.unwrap().status(), 200);
    let grant = stage.request(Method::PUT, "/v1/consents/marketing").header("content-type", JSON);
    assert_eq!(grant.body("{\"expires_ms\": 99}").send().await.unwrap().status(), 200);
    let withdrawal = stage.request(Method::DELETE, "/v1/consents/marketing");
    assert_eq!(withdrawal.send().await.unwrap().status(), 200);
    let budget = stage.get("/v1/vaults/assigned/subjects/alice/budget").send().await.unwrap();
    let budget: Value = serde_json::from_str(&budget.text().await.unwrap()).unwrap();
    assert_eq!(budget[0]["limit_micro_epsilon"], 9);

    let seen = stage.seen.lock().unwrap();
    let lines: Vec<Value> = seen.operations[..3]
        .iter()
        .map(|operation| match &operation.operation {
            Some(Operation::PutConsents(put)) => serde_json::from_slice(&put.content).unwrap(),
            other => panic!("not a consent: {other:?}"),
        })
        .collect();
    let line = |state: &str| json!({ "subject": ACTOR, "scope": "marketing", "state": state });
    assert_eq!(lines[0], line("granted"));
    assert_eq!(lines[1]["expires_at"], 99);
    assert_eq!(lines[2], line("withdrawn"));
}

/// R055, R076, R080: a person has itself erased and gets the Vault's proof; somebody else's is the Vault's to refuse; an operator
/// has its Vault's key rotated, and a backup taken (R062).
#[tokio::test]
async fn a_person_is_erased_a_key_rotated_a_backup_taken_and_what_a_vault_has_read() {
    let stage = Stage::open().await;
    let path = format!("/v1/vaults/assigned/subjects/{ACTOR}");
    let erased = stage.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(erased.status(), 200);
    let erased: Value = serde_json::from_str(&erased.text().await.unwrap()).unwrap();
    assert_eq!(erased, json!({"proof": "040506"}));
    let other = stage.request(Method::DELETE, "/v1/vaults/assigned/subjects/bob").send().await.unwrap();
    let other: Value = serde_json::from_str(&other.text().await.unwrap()).unwrap();
    assert_eq!(other["code"], "ADM-0003");
    let rotated = stage.request(Method::POST, "/v1/vaults/vault-1/key/rotations").send().await.unwrap();
    let rotated: Value = serde_json::from_str(&rotated.text().await.unwrap()).unwrap();
    assert_eq!(rotated, json!({"keys": 12}));
    let taken = stage.request(Method::POST, "/v1/vaults/vault-1/backups").send().await.unwrap();
    let taken: Value = serde_json::from_str(&taken.text().await.unwrap()).unwrap();
    assert_eq!(taken, json!({"number": 3, "manifest": "070809"}));
    let found = stage.request(Method::GET, "/v1/vaults/vault-1/candidates").send().await.unwrap();
    let found: Value = serde_json::from_str(&found.text().await.unwrap()).unwrap();
    assert_eq!(found, json!([{"name": "till", "texts": 1, "numbers": 2, "times": 0, "people": 3}]));
    let kept = stage.request(Method::GET, "/v1/vaults/vault-1/retention").send().await.unwrap();
    let kept: Value = serde_json::from_str(&kept.text().await.unwrap()).unwrap();
    let shown = json!({"days": 730, "kept": 9, "ended": 4, "ended_ms": 86_400_001, "since_ms": 86_400_000});
    assert_eq!(kept, shown);
    let leaves =
        stage.request(Method::GET, "/v1/vaults/vault-1/epochs/7/leaves?from=5").send().await.unwrap();
    assert_eq!(leaves.headers()["content-type"], "application/octet-stream");
    assert_eq!(*leaves.bytes().await.unwrap(), [7, 5]);
    let seen = stage.seen.lock().unwrap();
    let erasing = |operation: &Operation| matches!(operation, Operation::ErasePerson(_));
    let count = seen.operations.iter().filter(|one| one.operation.as_ref().is_some_and(erasing)).count();
    assert_eq!(count, 2);
}
