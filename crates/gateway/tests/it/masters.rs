//! A gateway before three masters believes what two of them say (R195, R196), over REST as users see it.

use reqwest::Method;
use serde_json::{Value, json};
use symphony_gateway::config::Limits;

use crate::stage::Part::{Away, Honest, Lying};
use crate::stage::{Part, Stage, TASK, VAULT};

const JSON: &str = "application/json";
const OCTETS: &str = "application/octet-stream";

fn spec() -> Value {
    json!({
        "task_class": "query", "usage_scope": "marketing", "vault_ids": ["vault-1"], "minimum_vault_quorum": 1,
        "operands": [{ "rule": "commerce.purchase_recency", "days": 30 }],
        "output_attribute": "identity.contact_handle", "audience_cap": 5000,
    })
}

async fn read(request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    assert!(response.status().is_success(), "{}", response.text().await.unwrap());
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

/// All that a user can ask is answered, and by the truth.
async fn serves_the_truth(stage: &Stage) {
    let path = format!("/v1/tasks/{}", hex::encode(TASK));
    let quote = read(stage.post("/v1/quotes", JSON, spec().to_string())).await;
    assert_eq!(quote["policy_version"], 3);
    let submission =
        json!({ "spec": spec(), "budget_lock_ref": "11".repeat(32), "recipient_key": "22".repeat(32) });
    let task = read(stage.post("/v1/tasks", JSON, submission.to_string())).await;
    assert_eq!(task["state"], "accepted");
    assert_eq!(read(stage.get(&path)).await["state"], "dispatched");
    assert_eq!(read(stage.get(&format!("{path}/result"))).await["sealed"], "abababab");
    let evidence = stage.get(&format!("{path}/evidence")).send().await.unwrap();
    assert_eq!(evidence.bytes().await.unwrap().as_ref(), [1, 2, 3]);
    let candidate = stage.get(&format!("{path}/candidate")).send().await.unwrap();
    assert_eq!(candidate.bytes().await.unwrap().as_ref(), [4, 5, 6], "R139");
    let listed = read(stage.get("/v1/tasks?state=challenged&after=0a0b&limit=7")).await;
    let entry = json!({
        "task_id": hex::encode(TASK), "task_class": "query", "state": "challenged", "until_ms": 7, "since_ms": 3
    });
    assert_eq!(listed, json!({ "tasks": [entry], "next": "0a0b" }), "R139, R208");
    for route in ["/v1/chain/transactions", "/v1/chain/queries"] {
        let answer = stage.post(route, OCTETS, vec![9, 8]).send().await.unwrap();
        assert_eq!(answer.bytes().await.unwrap().as_ref(), [9, 8]);
    }
    let moved = read(stage.post("/v1/governance/motions", OCTETS, vec![5, 6])).await;
    assert_eq!(moved["proposal_id"], "0506");
    assert_eq!(read(stage.get("/v1/governance")).await["sequence"], 3);
    assert_eq!(read(stage.get("/v1/governance/log?from=7")).await["entries"], json!(["07"]));
    let told = read(stage.get("/v1/reconciliation?compare=true&from=7&limit=4")).await;
    assert_eq!((&told["total"], &told["complete"]), (&json!(11), &json!(true)), "R195: what a majority says");
    assert_eq!(read(stage.get("/v1/reconciliation")).await["total"], 0);
    assert_eq!(read(stage.get("/v1/candidates?epoch=7")).await["epoch"], 7, "R051, R195");
    assert_eq!(read(stage.get("/v1/candidates")).await["vaults_min"], 3);
    let epoch = read(stage.get("/v1/epochs/7?from=3")).await;
    assert_eq!((&epoch["total"], &epoch["settlements"]), (&json!(7), &json!(["03"])), "R168, R195");
    let proof = stage.get("/v1/journal/proof?epoch=7&height=5&since=2").send().await.unwrap();
    assert_eq!(proof.bytes().await.unwrap().as_ref(), b"Some(7) 0 5 Some(2)", "R192");
    let account = read(stage.get(&format!("/v1/chain/accounts/0x{}", "07".repeat(32)))).await;
    assert_eq!((&account["account"], &account["balance"]), (&json!("07".repeat(32)), &json!("12")));
    let wrong = stage.get("/v1/chain/accounts/0x07").send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    let proof = read(stage.get("/v1/governance/proofs/4?since=2")).await;
    assert_eq!(proof["entry"], hex::encode("4 since 2"));
    let events = stage.get(&format!("{path}/events")).send().await.unwrap().text().await.unwrap();
    assert!(!events.contains("rejected") && !events.contains("event: problem"), "{events}");
    assert!(events.trim_end().lines().last().unwrap().contains("\"state\":\"completed\""), "{events}");

    let upload = stage.post(&format!("/v1/vaults/{VAULT}/records"), JSON, "{\"a\": 1}");
    assert_eq!(read(upload).await["accepted"], 1);
    let consent = read(stage.request(Method::PUT, "/v1/consents/marketing")).await;
    assert_eq!(consent["accepted"], 1);
    let parse = stage.post(&format!("/v1/receipts/{}/parse", "ab".repeat(32)), OCTETS, "");
    assert_eq!(read(parse).await["state"], "dispatched");
    // The Vault of the test opens with its own key: nothing was sealed to the one that a liar showed.
    assert_eq!(stage.seen.lock().unwrap().operations.len(), 3);
}

async fn among(parts: [Part; 3]) -> Stage {
    let limits = Limits { requests_per_second: 1000, burst: 1000, ..Limits::default() };
    Stage::among(&parts, limits).await
}

/// R195: one master that lies about everything changes no answer, wherever it stands.
#[tokio::test]
async fn one_lying_master_changes_no_answer() {
    for parts in [[Lying, Honest, Honest], [Honest, Lying, Honest], [Honest, Honest, Lying]] {
        let stage = among(parts).await;
        serves_the_truth(&stage).await;
        let status = read(stage.get("/v1/status")).await;
        let heads: Vec<&str> = status["master_nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|master| master["head"].as_str().unwrap())
            .collect();
        let expected = parts.map(|part| if part == Lying { "differs" } else { "equal" });
        assert_eq!(heads, expected);
        assert_eq!(status["state_hash"], "07".repeat(32));
    }
}

/// R196: with one master away everything goes on, whichever it is.
#[tokio::test]
async fn one_master_away_is_not_noticed() {
    for parts in [[Away, Honest, Honest], [Honest, Away, Honest], [Honest, Honest, Away]] {
        let stage = among(parts).await;
        serves_the_truth(&stage).await;
        let status = read(stage.get("/v1/status")).await;
        assert_eq!((&status["masters"], &status["height"]), (&json!(3), &json!(7)));
        for (part, master) in parts.iter().zip(status["master_nodes"].as_array().unwrap()) {
            assert_eq!(master["reachable"], *part == Honest);
        }
    }
}

/// R196: safety over liveness: with two away there is a refusal that may be tried again, and a status that says why.
#[tokio::test]
async fn with_two_masters_away_nothing_is_answered() {
    let stage = among([Away, Honest, Away]).await;
    let task = format!("/v1/tasks/{}", hex::encode(TASK));
    for path in [task.clone(), format!("{task}/result"), format!("{task}/events"), "/v1/vaults".to_owned()] {
        let response = stage.get(&path).send().await.unwrap();
        assert_eq!(response.status(), 503);
        let problem: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!((&problem["code"], &problem["retryable"]), (&json!("GOV-0003"), &json!(true)));
        assert_eq!(problem["detail"], "1 of 3 masters answer, 2 must");
    }
    let status = read(stage.get("/v1/status")).await;
    let reachable = |master: &Value| master["reachable"].as_bool().unwrap();
    let masters = status["master_nodes"].as_array().unwrap();
    assert_eq!(masters.iter().map(reachable).collect::<Vec<_>>(), [false, true, false]);
}
