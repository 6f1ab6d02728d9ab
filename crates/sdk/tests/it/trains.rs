//! A training from its file to a model in the registry that predicts, against a gateway of the test: by the library, and by
//! the command line (R097, R103, R104, R207).

use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use symphony_protocol::artifact::Outcome;
use symphony_protocol::artifact::training::{Evaluation, TrainedModel};
use symphony_sdk::model::ModelError;
use symphony_sdk::model::registry::Registry;
use symphony_sdk::recipient::Recipient;
use symphony_sdk::submission::{Step, Submitter};
use symphony_sdk::training::TrainingSpec;
use symphony_types::digest::Digest;
use symphony_types::id::RequestId;
use symphony_wire::documents::encode;
use symphony_wire::enclave::purpose;
use symphony_wire::sealed::seal;

use crate::bundle::{actor, keys};
use crate::gateway::{Shared, World};
use crate::trained::{self, GOOD, STEPS, model, sealed_step};

const SPEC: &str = r#"{
    "usage_scope": "training", "vaults": ["vault-a", "vault-b"], "quorum": 2, "model": {"kind": "logistic"},
    "time": "commerce.purchase_date",
    "features": [
        {"family": "frequency", "days": 90, "scale": {"logarithm": true, "spread": 2.0, "bound": 4.0}},
        {"family": "share", "attribute": "commerce.amount", "days": 90,
         "filter": [{"rule": "commerce.category_purchase", "texts": ["coffee", "tea"]}],
         "scale": {"centre": -0.25, "spread": 2.0, "bound": 3.0}}
    ],
    "label": {"condition": [{"rule": "commerce.merchant_purchase", "text": "Luckin Coffee"}], "days": 28},
    "settings": {"clip": 1.0}, "privacy": {"noise": 3.0, "evaluation_noise": 3.0, "delta": 1e-5},
    "rounds": 3, "evaluate_every": 2, "held_out": 0.2, "accept_from": 0.6
}"#;

/// What the platform has of the training.
struct Platform {
    recipient: [u8; 32],
    model: TrainedModel,
    evidence: Vec<u8>,
    steps: Vec<Vec<u8>>,
    submitted: Vec<Value>,
}

type Held = Arc<Mutex<Platform>>;

impl Platform {
    /// Of a training that ended so, for the holder of a key.
    fn of(recipient: &Recipient, last: Outcome, model: TrainedModel) -> Held {
        let steps: Vec<_> = (1..=STEPS).map(|round| sealed_step(recipient, round)).collect();
        let digests: Vec<_> = steps.iter().map(|sealed| Digest::of_bytes(sealed)).collect();
        let keys = keys();
        let evidence = encode(&keys.master.endorsed(trained::bundle(&keys, last, &digests)));
        let recipient = recipient.public();
        Arc::new(Mutex::new(Self { recipient, model, evidence, steps, submitted: Vec::new() }))
    }
}

fn task(state: &str, done: u32) -> Value {
    let point = |step: u32, log_loss: u32| {
        json!({"step": step, "quality_micro": 500_000 + step * 100_000, "log_loss_micro": log_loss,
            "calibration_error_micro": null})
    };
    let curve = [point(0, 693_147), point(2, 600_000), point(3, 456_789)];
    json!({"task_id": trained::task().to_string(), "request_id": "propensity", "submitter": "luckin",
        "state": state, "code": "", "schema_version": 1, "semantic_version": 1, "policy_version": 1, "epoch_id": 1,
        "slices": [], "charged": null, "locked": "100", "refunded": "0", "shares": [], "settlement_root": "",
        "anchor": "none", "payout": "none", "platform_class": "software", "returned": 0, "updated_ms": 1,
        "delivered_ms": 0, "refund": "none", "task_class": "train", "subsidy": "0",
        "training": {"rounds": STEPS, "done": done, "spent_micro_epsilon": done * 100_000,
            "reserved_micro_epsilon": 400_000, "curve": &curve[..done.min(3) as usize], "model_digest": "",
            "environment": "tee"}})
}

fn routes(held: &Held) -> Router<Shared> {
    let with = || Arc::clone(held);
    let (submitting, resulting, proving, stepping) = (with(), with(), with(), with());
    let submit = async move |Json(body): Json<Value>| {
        submitting.lock().unwrap().submitted.push(body);
        (StatusCode::ACCEPTED, Json(task("accepted", 0)))
    };
    let events = async || {
        let event = |state, done| format!("event: task\ndata: {}\n\n", task(state, done));
        let text = [event("dispatched", 1), event("dispatched", 2), event("completed", STEPS + 1)].concat();
        ([(header::CONTENT_TYPE, "text/event-stream")], text)
    };
    let result = async move || {
        let held = resulting.lock().unwrap();
        let (aad, plain) = (encode(&trained::task()), encode(&held.model));
        let sealed = seal(&held.recipient, purpose::RESULT, &aad, &plain).unwrap();
        Json(json!({"task_id": trained::task().to_string(), "outcome": "model", "returned": 0,
            "sealed": hex::encode(sealed), "settlement_root": "", "code": ""}))
    };
    let evidence = async move || proving.lock().unwrap().evidence.clone();
    let step = async move |Path((_, round)): Path<(String, usize)>| -> Response {
        match stepping.lock().unwrap().steps.get(round - 1) {
            Some(sealed) => Json(json!({"sealed": hex::encode(sealed), "sealed_digest": ""})).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    };
    Router::new()
        .route("/v1/tasks", post(submit))
        .route("/v1/tasks/{id}/events", get(events))
        .route("/v1/tasks/{id}/result", get(result))
        .route("/v1/tasks/{id}/evidence", get(evidence))
        .route("/v1/tasks/{id}/steps/{round}", get(step))
}

fn released() -> Outcome {
    Outcome::Model { model: model().digest(), evaluation: GOOD }
}

fn recipient() -> (tempfile::TempDir, PathBuf, Recipient) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipient.seed");
    let recipient = Recipient::create(&path).unwrap();
    (folder, path, recipient)
}

/// R097, R103, R104: quote, lock, submit, rounds, model; then the registry with every transcript.
#[tokio::test]
async fn a_training_ends_with_a_model_in_the_registry() {
    let (folder, _, recipient) = recipient();
    let held = Platform::of(&recipient, released(), model());
    let world = World::with(routes(&held)).await;
    let submitter =
        Submitter { client: world.client.clone(), wallet: world.wallet(), recipient, actor: actor("luckin") };
    let spec: TrainingSpec = serde_json::from_str(SPEC).unwrap();
    let mut rounds = Vec::new();
    let step = |step| {
        if let Step::Task(task) = step {
            rounds.push(task.training.unwrap().done);
        }
    };
    let trained = submitter.train(&spec, &RequestId::new("propensity").unwrap(), step).await.unwrap();
    assert_eq!(trained.model, Some(model()));
    assert_eq!(rounds, [0, 1, 2, 4]);
    let submitted = held.lock().unwrap().submitted[0]["spec"].clone();
    assert_eq!((&submitted["task_class"], &submitted["operands"]), (&json!("train"), &json!([])));
    assert_eq!(submitted["training"]["features"][1]["centre_micro"], -250_000);

    let registry = Registry::at(folder.path().join("models"));
    let fetched = registry.fetch(&submitter.client, &submitter.recipient, trained::task(), None, true).await;
    assert_eq!(fetched.unwrap().steps, [1, 2, 3]);
    // One transcript for another is noticed, as long as nothing lies there.
    let other = Registry::at(folder.path().join("others"));
    held.lock().unwrap().steps.swap(0, 1);
    let swapped = other.fetch(&submitter.client, &submitter.recipient, trained::task(), None, true).await;
    assert!(matches!(swapped, Err(ModelError::Changed(_))));
}

/// R103: of a withheld model nothing is fetched but the evidence that says so.
#[tokio::test]
async fn a_withheld_model_is_not_fetched() {
    let (folder, _, recipient) = recipient();
    let poor = Evaluation { quality: 550_000, ..GOOD };
    let withheld = TrainedModel { parameters: Vec::new(), evaluation: poor, ..model() };
    let held = Platform::of(&recipient, Outcome::Withheld { evaluation: poor }, withheld);
    let world = World::with(routes(&held)).await;
    let registry = Registry::at(folder.path().join("models"));
    let refused = registry.fetch(&world.client, &recipient, trained::task(), None, false).await;
    assert!(matches!(refused, Err(ModelError::Withheld(550_000, 600_000))));
    assert!(registry.tasks().unwrap().is_empty());
}

/// R103, R104, R207: the same by the command line, with a picture of the curve; a damaged model ends with exit code 3.
#[tokio::test]
async fn the_command_line_trains_keeps_checks_and_predicts() {
    let (folder, path, recipient) = recipient();
    let held = Platform::of(&recipient, released(), model());
    let world = World::with(routes(&held)).await;
    std::fs::write(folder.path().join("training.json"), SPEC).unwrap();
    std::fs::write(folder.path().join("people.csv"), "frequency,share\n2,4\n0,0\n").unwrap();
    let (url, wallet) = (world.url.clone(), world.folder.path().join("wallet.seed"));
    let base = folder.path().to_owned();
    let symphony = move |words: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_symphony"));
        command.current_dir(&base).args([
            "--json",
            "--gateway",
            &url,
            "--token",
            "token",
            "--actor",
            "luckin",
        ]);
        command.args(["--chain", "test", "--models", "models", "--wallet"]).arg(&wallet);
        command.arg("--recipient").arg(&path).args(words.split(' ')).output().unwrap()
    };
    let id = trained::task().to_string();
    let ended = tokio::task::spawn_blocking(move || {
        let ended = [
            symphony("train quote training.json"),
            symphony("train submit training.json --request-id propensity --plot curve.svg"),
            symphony(&format!("train result {id}")),
            symphony(&format!("model add {id} --with-steps")),
            symphony(&format!("model predict {id} people.csv --scaled")),
            symphony("model verify"),
        ];
        let card = folder.path().join("models").join(&id).join("card.json");
        let text = std::fs::read_to_string(&card).unwrap().replace("0.812345", "0.99");
        std::fs::write(&card, text).unwrap();
        let damaged =
            [symphony("model verify"), symphony("model list"), symphony(&format!("model show {id}"))];
        (ended, damaged, std::fs::read_to_string(folder.path().join("curve.svg")).unwrap())
    });
    let (ended, damaged, curve) = ended.await.unwrap();
    let answers: Vec<Value> = ended
        .iter()
        .map(|Output { status, stdout, stderr }| {
            assert!(status.success(), "{}", String::from_utf8_lossy(stderr));
            serde_json::from_slice(stdout).unwrap()
        })
        .collect();
    assert_eq!(answers[0]["policy_version"], 1);
    assert_eq!(answers[1]["model"]["digest"], model().digest().to_string());
    assert_eq!((&answers[2]["released"], &answers[2]["quality_micro"]), (&json!(true), &json!(812_345)));
    assert_eq!(answers[3]["quality"]["released"]["quality"], 0.812_345);
    assert_eq!((&answers[4][0]["score"], &answers[4][1]["score"]), (&json!(1.25), &json!(0.25)));
    assert_eq!(answers[5][0]["steps"], json!([1, 2, 3]));
    assert_eq!(curve.matches("<circle").count(), 6, "three evaluations, two lines");
    let told = String::from_utf8_lossy(&ended[1].stderr);
    assert!(told.contains("round 2/4 · quality 0.700000 · log loss 0.600000"), "{told}");

    let codes = damaged.iter().map(|output| output.status.code().unwrap());
    assert_eq!(codes.collect::<Vec<_>>(), [3, 0, 1]);
    assert!(String::from_utf8_lossy(&damaged[0].stdout).contains("the card is not what was settled"));
}
