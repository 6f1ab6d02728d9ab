//! Messages of trainings: what each family and each kind of model becomes, and what is refused, with its code (R021, R097,
//! R098).

use symphony_protocol::artifact::training::{EVERYBODY, TrainingRequest};
use symphony_protocol::artifact::{Argument, TaskRequest, Work};
use symphony_types::catalogue::Code;
use symphony_types::id::{ActorId, RuleName, UsageScope, VaultId};
use symphony_types::limits::{OPERANDS_MAX, TEXT_LEN_MAX};
use symphony_types::time::OrderedMillis;

use super::*;
use crate::convert::{quote_request, task_request};
use crate::v1::operand::Argument as Wire;

fn name(name: &str) -> AttributeName {
    AttributeName::new(name).unwrap()
}

fn operand(rule: &str, argument: Wire) -> v1::Operand {
    v1::Operand { rule: rule.into(), argument: Some(argument) }
}

/// A message with another value in every field.
fn message() -> v1::Training {
    v1::Training {
        model: Some(v1::ModelKind { kind: "perceptron".into(), hidden: 5, ..v1::ModelKind::default() }),
        time_attribute: "commerce.purchase_date".into(),
        cohort: vec![operand("geography.city_eligibility", Wire::Text("Shanghai".into()))],
        features: vec![v1::Feature {
            family: "share".into(),
            attribute: "commerce.amount".into(),
            filter: vec![operand("commerce.amount_at_least", Wire::AtLeast(6))],
            days: 7,
            logarithm: true,
            centre_micro: -8,
            spread_micro: 9,
            bound_milli: 10,
        }],
        label: Some(v1::TrainingLabel {
            condition: vec![operand("commerce.purchase_recency", Wire::Days(11))],
            days: 12,
        }),
        settings: Some(v1::TrainingSettings {
            clip_milli: 13,
            learning_rate_micro: 14,
            momentum_milli: 15,
            penalty_micro: 16,
            ridge_milli: 17,
            unlisted_milli: 18,
        }),
        privacy: Some(v1::TrainingPrivacy {
            noise_milli: 19,
            sampling_nano: EVERYBODY,
            evaluation_noise_milli: 20,
            delta_pico: 21,
        }),
        rounds: 22,
        evaluate_every: 23,
        patience: 24,
        held_out_permille: 25,
        accept_from_micro: 26,
    }
}

fn spec(training: v1::Training) -> v1::TaskSpec {
    v1::TaskSpec {
        task_class: "train".into(),
        usage_scope: "training".into(),
        vault_ids: vec!["vault-b".into(), "vault-a".into()],
        minimum_vault_quorum: 2,
        evaluate_at_ms: Some(27),
        training: Some(training),
        ..v1::TaskSpec::default()
    }
}

fn read(spec: v1::TaskSpec) -> Result<TaskRequest, Refused> {
    let message = v1::SubmitTaskRequest {
        request_id: "t1".into(),
        spec: Some(spec),
        budget_lock_ref: vec![3; 32],
        recipient_key: vec![4; 32],
    };
    task_request(&ActorId::new("trainer").unwrap(), message).map(|(request, _)| request)
}

/// What a message becomes.
fn parsed(training: v1::Training) -> Result<Training<Operand>, Refused> {
    read(spec(training)).map(|request| match request.work {
        Work::Training(TrainingRequest { training, .. }) => training,
        Work::Audience(_) | Work::Compute(_) | Work::Statistic(_) => panic!("the message is a training"),
    })
}

fn changed(change: impl FnOnce(&mut v1::Training)) -> Result<Training<Operand>, Refused> {
    let mut message = message();
    change(&mut message);
    parsed(message)
}

/// Expects `ADM-0001` and what the text says of it.
fn malformed(said: &str, change: impl FnOnce(&mut v1::Training)) {
    let (code, detail) = changed(change).unwrap_err();
    assert_eq!(code, Code::Malformed, "{said}");
    assert!(detail.contains(said), "{said}: {detail}");
}

fn featured(change: impl FnOnce(&mut v1::Feature)) -> Result<Family, Refused> {
    let read = changed(|message| change(&mut message.features[0]))?;
    Ok(read.features[0].family.clone())
}

fn modelled(model: v1::ModelKind) -> Result<ModelKind, Refused> {
    changed(|message| message.model = Some(model)).map(|training| training.model)
}

fn brands() -> v1::ModelKind {
    v1::ModelKind {
        kind: "affinity".into(),
        rank: 8,
        item_attribute: "commerce.brand".into(),
        items: vec!["tea".into(), "Coffee".into()],
        days: 30,
        best: 3,
        ..v1::ModelKind::default()
    }
}

/// R021, R097: every field of the message stands in its place.
#[test]
fn every_field_is_read() {
    let request = read(spec(message())).unwrap();
    assert_eq!(request.scope, UsageScope::new("training").unwrap());
    assert_eq!(request.vaults, ["vault-b", "vault-a"].map(|vault| VaultId::new(vault).unwrap()));
    assert_eq!((request.quorum, request.recipient), (2, vec![4; 32]));
    let Work::Training(TrainingRequest { training, evaluate_at }) = request.work else { panic!() };
    assert_eq!(evaluate_at, Some(OrderedMillis(27)));
    let asked = |rule: &str, argument| Operand { rule: RuleName::new(rule).unwrap(), argument };
    let expected = Training {
        model: ModelKind::Perceptron { hidden: 5 },
        time: name("commerce.purchase_date"),
        cohort: vec![asked("geography.city_eligibility", Argument::Text("Shanghai".into()))],
        features: vec![Feature {
            family: Family::Share(name("commerce.amount")),
            filter: vec![asked("commerce.amount_at_least", Argument::AtLeast(6))],
            days: 7,
            scale: Scale { logarithm: true, centre: -8, spread: 9, bound: 10 },
        }],
        label: Some(Label {
            condition: vec![asked("commerce.purchase_recency", Argument::Days(11))],
            days: 12,
        }),
        settings: Settings {
            clip: 13,
            learning_rate: 14,
            momentum: 15,
            penalty: 16,
            ridge: 17,
            unlisted: 18,
        },
        privacy: PrivacyTerms { noise: 19, sampling: EVERYBODY, evaluation_noise: 20, delta: 21 },
        rounds: 22,
        evaluate_every: 23,
        patience: 24,
        held_out: 25,
        accept_from: 26,
    };
    assert_eq!(training, expected);
    let quoted = quote_request(&ActorId::new("trainer").unwrap(), spec(message())).unwrap();
    assert_eq!(quoted.work, Work::Training(TrainingRequest { training: expected, evaluate_at }));
}

/// R097: what may be absent.
#[test]
fn cohort_features_and_label_may_be_absent() {
    let bare = changed(|message| {
        (message.cohort, message.features, message.label) = (vec![], vec![], None);
    });
    let bare = bare.unwrap();
    assert!(bare.cohort.is_empty() && bare.features.is_empty() && bare.label.is_none());
    let any = changed(|message| message.label.as_mut().unwrap().condition.clear()).unwrap();
    assert_eq!(any.label, Some(Label { condition: vec![], days: 12 }));
    let mut now = spec(message());
    now.evaluate_at_ms = None;
    let Work::Training(asked) = read(now).unwrap().work else { panic!() };
    assert_eq!(asked.evaluate_at, None);
}

/// R097: the six families, and which of them read an attribute.
#[test]
fn each_family_is_read() {
    let amount = || name("commerce.amount");
    let families = [
        ("sum", Family::Sum(amount())),
        ("mean", Family::Mean(amount())),
        ("share", Family::Share(amount())),
        ("distinct", Family::Distinct(amount())),
    ];
    for (family, expected) in families {
        assert_eq!(featured(|feature| feature.family = family.into()), Ok(expected));
        for attribute in ["", "no attribute"] {
            let (code, detail) = featured(|feature| {
                (feature.family, feature.attribute) = (family.into(), attribute.into());
            })
            .unwrap_err();
            assert_eq!(code, Code::Malformed, "{family}");
            assert!(detail.starts_with("attribute: "), "{detail}");
        }
    }
    for (family, expected) in [("recency", Family::Recency), ("frequency", Family::Frequency)] {
        let alone = featured(|feature| {
            (feature.family, feature.attribute) = (family.into(), String::new());
        });
        assert_eq!(alone, Ok(expected));
        let (code, detail) = featured(|feature| feature.family = family.into()).unwrap_err();
        assert_eq!(code, Code::Malformed);
        assert!(detail.contains("has no attribute"), "{detail}");
    }
    for family in ["", "Sum", "median"] {
        malformed(&format!("family {family:?}"), |message| message.features[0].family = family.into());
    }
}

/// R099: the four kinds of model.
#[test]
fn each_kind_of_model_is_read() {
    let kind = |kind: &str| v1::ModelKind { kind: kind.into(), hidden: 5, clusters: 6, ..brands() };
    assert_eq!(modelled(kind("logistic")), Ok(ModelKind::Logistic));
    assert_eq!(modelled(kind("perceptron")), Ok(ModelKind::Perceptron { hidden: 5 }));
    assert_eq!(modelled(kind("clusters")), Ok(ModelKind::Clusters { clusters: 6 }));
    let affinity = ModelKind::Affinity {
        rank: 8,
        attribute: name("commerce.brand"),
        items: vec!["tea".into(), "Coffee".into()],
        days: 30,
        best: 3,
    };
    assert_eq!(modelled(kind("affinity")), Ok(affinity));
    for unknown in ["", "Logistic", "forest"] {
        malformed(&format!("model.kind {unknown:?}"), |message| message.model = Some(kind(unknown)));
    }
}

/// R098, R099: local steps are of a logistic model alone, and none and one are the plain method.
#[test]
fn local_steps_are_of_a_logistic_model() {
    let local = |kind: &str, local_steps, local_rate_micro, local_norm_milli| {
        let kind = v1::ModelKind { kind: kind.into(), ..brands() };
        modelled(v1::ModelKind { local_steps, local_rate_micro, local_norm_milli, ..kind })
    };
    assert_eq!(local("logistic", 0, 0, 0), Ok(ModelKind::Logistic));
    assert_eq!(local("logistic", 1, 0, 0), Ok(ModelKind::Logistic));
    let five = Local { steps: 5, rate: 6, norm: 7 };
    assert_eq!(local("logistic", 5, 6, 7), Ok(ModelKind::LocalLogistic(five)));
    for kind in ["perceptron", "clusters", "affinity", "forest"] {
        let (code, detail) = local(kind, 2, 6, 7).unwrap_err();
        assert_eq!((code, detail), (Code::Malformed, format!("model.kind {kind:?} has no local steps")));
    }
    for (steps, rate, norm) in [(0, 1, 0), (1, 0, 1)] {
        assert_eq!(local("logistic", steps, rate, norm).unwrap_err().0, Code::Malformed);
    }
}

/// R098: items are texts, each within its limit, and so many.
#[test]
fn items_are_texts_within_their_limits() {
    let with = |items: Vec<String>| modelled(v1::ModelKind { items, ..brands() });
    let most = ITEMS_MAX as usize;
    assert!(with(vec!["tea".into(); most]).is_ok());
    let (code, detail) = with(vec!["tea".into(); most + 1]).unwrap_err();
    assert_eq!((code, detail), (Code::Malformed, "items has at most 100000 entries".to_owned()));
    assert!(with(vec!["x".repeat(TEXT_LEN_MAX)]).is_ok());
    for text in [String::new(), "  ".into(), "x".repeat(TEXT_LEN_MAX + 1)] {
        assert_eq!(with(vec!["tea".into(), text]).unwrap_err().0, Code::Malformed);
    }
    malformed("item_attribute: ", |message| {
        message.model = Some(v1::ModelKind { item_attribute: String::new(), ..brands() });
    });
    // A model that lists too much beside its kind is no affinity and reads none of it.
    let others = v1::ModelKind { kind: "logistic".into(), item_attribute: String::new(), ..brands() };
    assert_eq!(modelled(others), Ok(ModelKind::Logistic));
}

/// R098: what a training cannot do without is named.
#[test]
fn what_is_missing_is_named() {
    malformed("model is missing", |message| message.model = None);
    malformed("settings is missing", |message| message.settings = None);
    malformed("privacy is missing", |message| message.privacy = None);
    malformed("time_attribute: ", |message| message.time_attribute.clear());
    malformed("time_attribute: ", |message| message.time_attribute = "Not A Name".into());
}

/// R021: operands of a training are read like those of a query, wherever they stand, and may be none.
#[test]
fn operands_are_read_wherever_they_stand() {
    type Place = fn(&mut v1::Training) -> &mut Vec<v1::Operand>;
    let places: [Place; 3] = [
        |message| &mut message.cohort,
        |message| &mut message.features[0].filter,
        |message| &mut message.label.as_mut().unwrap().condition,
    ];
    for place in places {
        let with = |operands: Vec<v1::Operand>| changed(|message| *place(message) = operands);
        let good = operand("commerce.brand_purchase", Wire::Text("tea".into()));
        assert!(with(vec![]).is_ok());
        assert!(with(vec![good.clone(); OPERANDS_MAX]).is_ok());
        let bad = [
            vec![good.clone(); OPERANDS_MAX + 1],
            vec![v1::Operand { rule: "commerce.brand_purchase".into(), argument: None }],
            vec![operand("", Wire::Days(1))],
            vec![operand("commerce.brand_purchase", Wire::Text(" ".into()))],
            vec![operand("commerce.category_purchase", Wire::Texts(v1::TextList { values: vec![] }))],
        ];
        for operands in bad {
            assert_eq!(with(operands).unwrap_err().0, Code::Malformed);
        }
    }
}

/// R098: features are counted before they are read.
#[test]
fn features_have_a_limit() {
    let count = |count: usize| {
        changed(|message| message.features = vec![message.features[0].clone(); count])
            .map(|training| training.features.len())
    };
    let most = FEATURES_MAX as usize;
    assert_eq!(count(most), Ok(most));
    malformed("features has at most 4096 entries", |message| {
        message.features = vec![v1::Feature::default(); most + 1];
    });
}

/// R021: a training comes with its class, and only with it; classes that several Vaults do not serve are unknown here.
#[test]
fn the_class_decides() {
    let of = |class: &str, training: Option<v1::Training>| {
        read(v1::TaskSpec { task_class: class.into(), training, ..spec(message()) })
            .map(drop)
            .map_err(|(code, _)| code)
    };
    assert_eq!(of("train", Some(message())), Ok(()));
    assert_eq!(of("train", None), Err(Code::Malformed));
    assert_eq!(of("query", Some(message())), Err(Code::Malformed));
    assert_eq!(of("compute", Some(message())), Err(Code::Malformed));
    assert_eq!(of("compute", None), Err(Code::Malformed));
    for class in ["parse", "", "Train"] {
        for training in [None, Some(message())] {
            assert_eq!(of(class, training), Err(Code::ClassUnknown), "{class}");
        }
    }
    assert_eq!(Code::ClassUnknown.as_str(), "ADM-0016");
}
