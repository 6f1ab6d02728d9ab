//! A training's file means what it says, to the last unit (R098).

use symphony_protocol::artifact::Work;
use symphony_protocol::artifact::training::{Family, ModelKind, PrivacyTerms, Scale, Settings};
use symphony_types::id::{ActorId, AttributeName, RequestId};

use super::TrainingSpec;
use crate::submission::{Submission as _, SubmissionError, read};

const JSON: &str = r#"{
    "usage_scope": "training", "vaults": ["vault-a", "vault-b"], "quorum": 2,
    "model": {"kind": "perceptron", "hidden": 16},
    "time": "commerce.purchase_date",
    "cohort": [{"rule": "commerce.purchase_recency", "days": 365}],
    "features": [
        {"family": "frequency", "attribute": null, "days": 90, "scale": {"spread": 1.5, "bound": 4.0}},
        {"family": "share", "attribute": "commerce.amount", "days": 28,
         "filter": [{"rule": "commerce.category_purchase", "texts": ["coffee"]}],
         "scale": {"logarithm": true, "centre": -0.25, "spread": 0.000001, "bound": 0.001}}
    ],
    "label": {"condition": [{"rule": "commerce.merchant_purchase", "text": "Luckin Coffee"}], "days": 28},
    "settings": {"clip": 1.0, "learning_rate": 0.5, "momentum": 0.9, "penalty": 0.0001},
    "privacy": {"noise": 2.0, "evaluation_noise": 1.5, "delta": 1e-5},
    "rounds": 100, "evaluate_every": 10, "held_out": 0.2, "accept_from": 0.6,
    "evaluate_at_ms": null
}"#;

fn parse(name: &str, text: &str) -> Result<TrainingSpec, SubmissionError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    read(&path)
}

fn json(change: impl FnOnce(&mut serde_json::Value)) -> Result<TrainingSpec, SubmissionError> {
    let mut value = serde_json::from_str(JSON).unwrap();
    change(&mut value);
    parse("training.json", &value.to_string())
}

/// R098: every number reaches the platform's own document in its unit; what is left out has its default.
#[test]
fn natural_units_become_the_platforms_whole_numbers() {
    let spec = json(|_| {}).unwrap().spec().unwrap();
    let (actor, request) = (ActorId::new("luckin").unwrap(), RequestId::new("propensity").unwrap());
    let request = spec.request(&actor, &request, [7; 32]).unwrap();
    let Work::Training(asked) = request.work else { panic!("not a training") };
    let training = asked.training;
    assert_eq!(training.model, ModelKind::Perceptron { hidden: 16 });
    let settings = Settings {
        clip: 1_000,
        learning_rate: 500_000,
        momentum: 900,
        penalty: 100,
        ridge: 100,
        unlisted: 0,
    };
    assert_eq!(training.settings, settings);
    let privacy =
        PrivacyTerms { noise: 2_000, sampling: 1_000_000_000, evaluation_noise: 1_500, delta: 10_000_000 };
    assert_eq!(training.privacy, privacy);
    let [frequency, share] = &training.features[..] else { panic!("two features") };
    let plain = Scale { logarithm: false, centre: 0, spread: 1_500_000, bound: 4_000 };
    assert_eq!((&frequency.family, frequency.scale, frequency.days), (&Family::Frequency, plain, 90));
    let least = Scale { logarithm: true, centre: -250_000, spread: 1, bound: 1 };
    assert_eq!(share.family, Family::Share(AttributeName::new("commerce.amount").unwrap()));
    assert_eq!((share.scale, share.filter.len()), (least, 1));
    assert_eq!((training.rounds, training.evaluate_every, training.patience), (100, 10, 0));
    assert_eq!((training.held_out, training.accept_from), (200, 600_000));
    assert_eq!((training.cohort.len(), training.label.unwrap().days, asked.evaluate_at), (1, 28, None));
}

#[test]
fn every_kind_of_model_is_stated() {
    let kind = |model: &str| {
        let model: serde_json::Value = serde_json::from_str(model).unwrap();
        let spec = json(|spec| spec["model"] = model)?;
        Ok::<_, SubmissionError>(spec.spec()?.training.unwrap().model)
    };
    assert_eq!(kind(r#"{"kind":"logistic"}"#).unwrap().kind, "logistic");
    assert_eq!(kind(r#"{"kind":"clusters","clusters":8}"#).unwrap().clusters, 8);
    let affinity =
        r#"{"kind":"affinity","rank":8,"attribute":"commerce.category","items":["a"],"days":180,"best":10}"#;
    let affinity = kind(affinity).unwrap();
    assert_eq!(
        (affinity.kind.as_str(), affinity.rank, affinity.days, affinity.best),
        ("affinity", 8, 180, 10)
    );
    assert_eq!((affinity.item_attribute.as_str(), affinity.items.len()), ("commerce.category", 1));
    for wrong in
        [r#"{"kind":"forest"}"#, r#"{"kind":"logistic","hidden":1}"#, r#"{"kind":"perceptron"}"#, "{}"]
    {
        assert!(matches!(kind(wrong), Err(SubmissionError::Shape(..))), "{wrong}");
    }
}

/// R098, R099: local steps as they are stated, with what is left out, and as the command asks for them.
#[test]
fn local_steps_are_stated() {
    let spec = |model: &str| {
        let model: serde_json::Value = serde_json::from_str(model).unwrap();
        json(|spec| spec["model"] = model)
    };
    let whole = |spec: TrainingSpec| {
        let model = spec.spec().unwrap().training.unwrap().model;
        (model.kind, model.local_steps, model.local_rate_micro, model.local_norm_milli)
    };
    let of = |model: &str| whole(spec(model).unwrap());
    let logistic = || "logistic".to_owned();
    let stated = r#"{"kind":"logistic","local":{"steps":5,"rate":0.5,"norm":2.5}}"#;
    assert_eq!(of(stated), (logistic(), 5, 500_000, 2_500));
    // Twice the clipping norm of one; and what is longest with that.
    assert_eq!(of(r#"{"kind":"logistic","local":{"steps":5}}"#), (logistic(), 5, 1_000_000, 2_000));
    assert_eq!(of(r#"{"kind":"logistic","local":{"steps":5,"norm":3.0}}"#), (logistic(), 5, 444_444, 3_000));

    let with = |model: &str, steps| spec(model).unwrap().with_local_steps(steps);
    assert_eq!(whole(with(stated, 8).unwrap()), (logistic(), 8, 500_000, 2_500));
    assert_eq!(whole(with(stated, 1).unwrap()), (logistic(), 0, 0, 0));
    assert_eq!(whole(with(r#"{"kind":"logistic"}"#, 3).unwrap()), (logistic(), 3, 1_000_000, 2_000));
    assert!(with(r#"{"kind":"perceptron","hidden":2}"#, 3).is_err());
    for wrong in [
        r#"{"kind":"perceptron","hidden":2,"local":{"steps":5}}"#,
        r#"{"kind":"logistic","local":{"steps":5,"surprise":1}}"#,
        r#"{"kind":"logistic","local":{}}"#,
    ] {
        assert!(matches!(spec(wrong), Err(SubmissionError::Shape(..))), "{wrong}");
    }
}

/// R098: nothing is rounded; the error names the field, and among several features which one.
#[test]
fn a_number_that_does_not_fit_is_named() {
    let fault = |path: &str, value: f64| {
        let spec = json(|spec| *spec.pointer_mut(path).unwrap() = value.into()).unwrap();
        spec.spec().unwrap_err().to_string()
    };
    let three = "at most 3 decimals can be asked for";
    let range = "out of the range that can be asked for";
    assert_eq!(fault("/settings/clip", 1.0005), format!("settings.clip is 1.0005: {three}"));
    assert_eq!(fault("/settings/momentum", -0.5), format!("settings.momentum is -0.5: {range}"));
    assert_eq!(fault("/settings/learning_rate", 5_000.0), format!("settings.learning_rate is 5000: {range}"));
    assert_eq!(fault("/privacy/noise", 1.0001), format!("privacy.noise is 1.0001: {three}"));
    assert_eq!(fault("/privacy/evaluation_noise", -1.0), format!("privacy.evaluation_noise is -1: {range}"));
    assert_eq!(
        fault("/privacy/delta", 1e-13),
        "privacy.delta is 0.0000000000001: at most 12 decimals can be asked for"
    );
    assert_eq!(fault("/held_out", 0.3333), format!("held_out is 0.3333: {three}"));
    assert_eq!(fault("/accept_from", -0.1), format!("accept_from is -0.1: {range}"));
    let scale = |field: &str, value| fault(&format!("/features/1/scale/{field}"), value);
    assert_eq!(scale("bound", 0.0001), format!("feature 2: scale.bound is 0.0001: {three}"));
    assert_eq!(scale("spread", -1.0), format!("feature 2: scale.spread is -1: {range}"));
    assert!(scale("centre", 1e-7).starts_with("feature 2: scale.centre is 0.0000001: at most 6"));
}

#[test]
fn unknown_fields_are_errors_and_toml_is_json() {
    for path in ["", "/features/0", "/features/0/scale", "/label", "/settings", "/privacy", "/cohort/0"] {
        let wrong = json(|spec| spec.pointer_mut(path).unwrap()["surprise"] = 1.into());
        assert!(matches!(wrong, Err(SubmissionError::Shape(..))), "{path}");
    }
    let spec = json(|_| {}).unwrap();
    let toml = toml::to_string(&spec).unwrap();
    assert_eq!(parse("training.toml", &toml).unwrap(), spec);
}
