//! Trainings over REST and gRPC: what is asked reaches the master whole, progress and transcripts come back (R097, R098,
//! R104, R207).

use prost::Message as _;
use reqwest::Method;
use serde_json::{Value, json};
use symphony_gateway::config::Limits;
use symphony_types::digest::Digest;
use symphony_wire::convert::quote_request;
use symphony_wire::v1::{SealedStep, StepRef};

use crate::grpc::{call, message};
use crate::stage::{ACTOR, Part, Stage, TASK, token};

const JSON: &str = "application/json";

fn training() -> Value {
    json!({
        "model": { "kind": "perceptron", "hidden": 16 },
        "time_attribute": "commerce.purchase_date",
        "cohort": [{ "rule": "commerce.purchase_recency", "days": 365 }],
        "features": [
            { "family": "recency", "days": 90, "spread_micro": 30_000_000, "bound_milli": 4_000 },
            { "family": "share", "attribute": "commerce.amount", "days": 90, "logarithm": true,
              "filter": [{ "rule": "commerce.category_purchase", "texts": ["coffee", "tea"] }],
              "centre_micro": -250_000, "spread_micro": 1_000_000, "bound_milli": 3_000 },
        ],
        "label": { "condition": [{ "rule": "commerce.merchant_purchase", "text": "Luckin Coffee" }], "days": 28 },
        "settings": { "clip_milli": 1_000, "learning_rate_micro": 500_000, "momentum_milli": 900, "penalty_micro": 100,
                      "ridge_milli": 100, "unlisted_milli": 50 },
        "privacy": { "noise_milli": 2_000, "sampling_nano": 1_000_000_000, "evaluation_noise_milli": 1_500,
                     "delta_pico": 10_000_000 },
        "rounds": 100, "evaluate_every": 10, "patience": 3, "held_out_permille": 200, "accept_from_micro": 600_000,
    })
}

fn spec() -> Value {
    json!({
        "task_class": "train", "usage_scope": "training", "vault_ids": ["vault-1", "vault-2"],
        "minimum_vault_quorum": 2, "training": training(), "evaluate_at_ms": 1_498_867_200_000_u64,
    })
}

async fn read(response: reqwest::Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

/// R098, R207: every number that is asked for arrives, and the wire's own reader takes it.
#[tokio::test]
async fn a_training_is_quoted_as_it_is_stated() {
    let stage = Stage::open().await;
    let quote = stage.post("/v1/quotes", JSON, spec().to_string()).send().await.unwrap();
    assert_eq!(quote.status(), 200);
    assert_eq!(read(quote).await["rounds_possible"], 40);
    let specs = std::mem::take(&mut stage.seen.lock().unwrap().specs);
    let [seen] = &specs[..] else { panic!("one question") };
    let training = seen.training.as_ref().unwrap();
    let share = &training.features[1];
    assert_eq!((share.family.as_str(), share.attribute.as_str()), ("share", "commerce.amount"));
    assert_eq!((share.centre_micro, share.spread_micro, share.bound_milli), (-250_000, 1_000_000, 3_000));
    assert!(share.logarithm && !training.features[0].logarithm && training.features[0].filter.is_empty());
    assert_eq!(
        (training.cohort.len(), share.filter.len(), training.label.as_ref().unwrap().days),
        (1, 1, 28)
    );
    let settings = training.settings.unwrap();
    let numbers = [settings.clip_milli, settings.learning_rate_micro, settings.momentum_milli];
    assert_eq!(numbers, [1_000, 500_000, 900]);
    assert_eq!((settings.penalty_micro, settings.ridge_milli, settings.unlisted_milli), (100, 100, 50));
    let privacy = training.privacy.unwrap();
    assert_eq!((privacy.noise_milli, privacy.sampling_nano), (2_000, 1_000_000_000));
    assert_eq!((privacy.evaluation_noise_milli, privacy.delta_pico), (1_500, 10_000_000));
    assert_eq!((training.rounds, training.evaluate_every, training.patience), (100, 10, 3));
    assert_eq!((training.held_out_permille, training.accept_from_micro), (200, 600_000));
    let actor = symphony_types::id::ActorId::new(ACTOR).unwrap();
    quote_request(&actor, seen.clone()).unwrap();
}

/// R098, R099: local steps arrive as they are stated.
#[tokio::test]
async fn local_steps_are_quoted_as_they_are_stated() {
    let stage = Stage::open().await;
    let mut spec = spec();
    spec["training"]["model"] = json!({ "kind": "logistic", "local_steps": 5, "local_rate_micro": 250_000,
                                        "local_norm_milli": 4_000 });
    assert_eq!(stage.post("/v1/quotes", JSON, spec.to_string()).send().await.unwrap().status(), 200);
    let specs = std::mem::take(&mut stage.seen.lock().unwrap().specs);
    let model = specs[0].training.as_ref().unwrap().model.as_ref().unwrap();
    let local = (model.local_steps, model.local_rate_micro, model.local_norm_milli);
    assert_eq!((model.kind.as_str(), local), ("logistic", (5, 250_000, 4_000)));
}

/// R098, R209: a task of class `train` goes on like any other.
#[tokio::test]
async fn a_training_is_submitted_and_shows_its_progress() {
    let stage = Stage::open().await;
    let body =
        json!({ "spec": spec(), "budget_lock_ref": "11".repeat(32), "recipient_key": "22".repeat(32) });
    let response = stage.post("/v1/tasks", JSON, body.to_string()).send().await.unwrap();
    assert_eq!(response.status(), 202);
    assert_eq!(read(response).await["training"], Value::Null, "nothing is known of it yet");
    let submitted = stage.seen.lock().unwrap().submitted[0].spec.clone().unwrap();
    assert_eq!((submitted.task_class.as_str(), submitted.operands.len()), ("train", 0));
    assert_eq!(submitted.training.unwrap().model.unwrap().hidden, 16);

    let task = read(stage.get(&format!("/v1/tasks/{}", hex::encode(TASK))).send().await.unwrap()).await;
    let expected = json!({
        "rounds": 10, "done": 5, "spent_micro_epsilon": 400_000, "reserved_micro_epsilon": 900_000,
        "curve": [
            { "step": 0, "quality_micro": 500_000, "log_loss_micro": 693_147, "calibration_error_micro": null },
            { "step": 5, "quality_micro": 700_000, "log_loss_micro": null, "calibration_error_micro": null },
        ],
        "model_digest": "", "environment": "mpc",
    });
    assert_eq!(task["training"], expected);
    assert_eq!(task["charged"]["aggregation"], "0", "amounts are texts");
}

/// R210: nothing of a training is guessed.
#[tokio::test]
async fn a_training_with_unknown_or_wrong_fields_is_malformed() {
    let stage = Stage::open().await;
    let refused = async |change: fn(&mut Value)| {
        let mut wrong = spec();
        change(&mut wrong["training"]);
        let response = stage.post("/v1/quotes", JSON, wrong.to_string()).send().await.unwrap();
        assert_eq!(response.status(), 400, "{wrong}");
        assert_eq!(read(response).await["code"], "ADM-0001");
    };
    refused(|training| training["surprise"] = json!(1)).await;
    refused(|training| training["model"]["surprise"] = json!(1)).await;
    refused(|training| training["features"][0]["surprise"] = json!(1)).await;
    refused(|training| training["settings"]["surprise"] = json!(1)).await;
    refused(|training| training["privacy"]["surprise"] = json!(1)).await;
    refused(|training| training["label"]["surprise"] = json!(1)).await;
    refused(|training| training["settings"]["clip_milli"] = json!(0.5)).await;
    refused(|training| training["rounds"] = json!(-1)).await;
    refused(|training| training["privacy"]["sampling_nano"] = json!(5_000_000_000_u64)).await;
    refused(|training| training["cohort"][0]["text"] = json!("coffee")).await;
    refused(|training| drop(training.as_object_mut().unwrap().remove("privacy"))).await;
    assert!(stage.seen.lock().unwrap().specs.is_empty(), "none of them reached the master");
}

/// R104: the transcript of a step by REST and by gRPC, in the caller's name.
#[tokio::test]
async fn steps_are_delivered_one_by_one() {
    let stage = Stage::open().await;
    let path = |round: &str| format!("/v1/tasks/{}/steps/{round}", hex::encode(TASK));
    let step = read(stage.get(&path("2")).send().await.unwrap()).await;
    assert_eq!(step, json!({ "sealed": "020202", "sealed_digest": Digest::of_bytes(&[2; 3]).to_hex() }));
    let (method, caller) = stage.seen.lock().unwrap().callers[0].clone();
    assert_eq!((method.as_str(), caller.actor.as_str()), ("GetStep", ACTOR));

    for (round, status) in [("3", 404), ("0", 404), ("two", 400), ("4294967296", 400), ("-1", 400)] {
        assert_eq!(stage.get(&path(round)).send().await.unwrap().status(), status, "{round}");
    }
    let post = stage.request(Method::POST, &path("1")).send().await.unwrap();
    assert_eq!(post.status(), 405);

    let asked = StepRef { task_id: TASK.to_vec(), round: 1 }.encode_to_vec();
    let answer = call(&stage, "Platform/GetStep", Some(token(|_| {})), asked.clone()).await;
    assert_eq!(message::<SealedStep>(answer).await.sealed, [1; 3]);
    let answer = call(&stage, "Platform/GetStep", None, asked).await;
    assert_eq!(answer.headers()["symphony-code"], "ADM-0002");
}

/// R104, R195: bytes that a lying master shows for a step reach nobody.
#[tokio::test]
async fn a_lying_masters_step_is_not_believed() {
    let stage = Stage::among(&[Part::Lying, Part::Honest, Part::Honest], Limits::default()).await;
    let path = format!("/v1/tasks/{}/steps/1", hex::encode(TASK));
    let step = read(stage.get(&path).send().await.unwrap()).await;
    assert_eq!(step["sealed"], "010101");
}

/// R139, R140, R208: a dispute reaches the master whole, over REST as over gRPC; one that is none is refused at the edge.
#[tokio::test]
async fn a_result_is_disputed() {
    let stage = Stage::open().await;
    let task = hex::encode(TASK);
    let path = format!("/v1/tasks/{task}/challenges");
    let body = json!({ "round": 3, "grounds": "another model", "exhibits": ["ab".repeat(32)],
        "result": "cd".repeat(32), "bond_lock_ref": "ef".repeat(32) });
    let response = stage.post(&path, JSON, body.to_string()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let list = read(response).await;
    let known = &list["challenges"][0];
    assert_eq!((&list["task_id"], &list["task_state"]), (&json!(task), &json!("challenged")));
    assert_eq!((&known["round"], &known["state"]), (&json!(3), &json!("reviewing")));
    assert_eq!(known["filings"][0]["exhibits"], json!(["ab".repeat(32)]));
    assert_eq!(known["filings"][0]["bond_lock_ref"], "ef".repeat(32));
    assert_eq!(list["result"], "cd".repeat(32));
    assert_eq!(known["steps"][0], json!({ "state": "opened", "at_ms": 5 }));
    for bad in [
        json!({ "round": 0, "grounds": "x", "result": "cd".repeat(32) }),
        json!({ "round": 1, "result": "cd".repeat(32) }),
        json!({ "grounds": "x" }),
        json!({ "grounds": "x", "result": "cd" }),
        json!({ "grounds": "x", "exhibits": ["ab"], "result": "cd".repeat(32) }),
        json!({ "grounds": "x", "result": "cd".repeat(32), "bond": 1 }),
        json!({ "grounds": "x", "result": "cd".repeat(32), "bond_lock_ref": "ef" }),
    ] {
        let refused = stage.post(&path, JSON, bad.to_string()).send().await.unwrap();
        assert_eq!(refused.status(), 400, "{bad}");
    }
    let evidence = json!({ "grounds": "a signature does not hold", "result": "cd".repeat(32) });
    let list = read(stage.post(&path, JSON, evidence.to_string()).send().await.unwrap()).await;
    assert_eq!(list["challenges"][0]["round"], 0);
    assert_eq!(
        list["challenges"][0]["filings"][0]["bond_lock_ref"], "",
        "the masters say that a bond is missing"
    );
    let known = stage.request(Method::GET, &path).send().await.unwrap();
    let known = read(known).await;
    assert_eq!((&known["task_state"], &known["bond_base"]), (&json!("completed"), &json!("20")));
}
