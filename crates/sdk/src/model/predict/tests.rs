//! Predictions against numbers computed by hand, and against the code that trains (R103).

use symphony_compute::train::model::Model;
use symphony_protocol::artifact::training::{
    self as whole, Evaluation, Family, Feature, PrivacyTerms, Shape as Sizes, TrainedModel,
};
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, TaskId};

use super::*;

fn training(model: ModelKind, scales: &[Scale], settings: Settings) -> Training<ResolvedOperand> {
    let feature =
        |scale: &Scale| Feature { family: Family::Frequency, filter: Vec::new(), days: 90, scale: *scale };
    Training {
        model,
        time: AttributeName::new("commerce.purchase_date").unwrap(),
        cohort: Vec::new(),
        features: scales.iter().map(feature).collect(),
        label: None,
        settings,
        privacy: PrivacyTerms { noise: 1_000, sampling: 1, evaluation_noise: 1_000, delta: 1 },
        rounds: 1,
        evaluate_every: 1,
        patience: 0,
        held_out: 200,
        accept_from: 0,
    }
}

fn predictor(training: &Training<ResolvedOperand>, parameters: &[f64]) -> Predictor {
    let bytes: Vec<u8> = parameters.iter().flat_map(|number| number.to_le_bytes()).collect();
    Predictor::new(training, &bytes)
}

const PLAIN: Scale = Scale { logarithm: false, centre: 0, spread: 1_000_000, bound: 100_000 };

fn near(one: f64, other: f64) -> bool {
    (one - other).abs() < 1e-9
}

fn row(numbers: &[f64]) -> Vec<Person> {
    vec![Person::Row(numbers.to_vec())]
}

/// R103: score `1.5 * 2 - 0.5 * 4 + 0.25 = 1.25`, probability `1 / (1 + e^-1.25)`.
#[test]
fn a_logistic_score_is_computed_as_by_hand() {
    let predictor =
        predictor(&training(ModelKind::Logistic, &[PLAIN; 2], Settings::PLAIN), &[1.5, -0.5, 0.25]);
    let [Prediction::Propensity { score, probability }] =
        predictor.predict(&row(&[2.0, 4.0]), true).unwrap()[..]
    else {
        panic!("not a propensity")
    };
    assert!(near(score, 1.25) && near(probability, 0.777_299_861_174_691_2), "{score} {probability}");
}

/// R098, R103: a raw number goes the way of the Vault: logarithm, centre, spread, bound.
#[test]
fn raw_numbers_are_scaled_as_in_the_plan() {
    let logarithm = Scale { logarithm: true, centre: 500_000, spread: 2_000_000, bound: 4_000 };
    let narrow = Scale { bound: 3_000, ..PLAIN };
    let training = training(ModelKind::Logistic, &[logarithm, narrow], Settings::PLAIN);
    let score = |numbers: &[f64], scaled| {
        let predictor = predictor(&training, &[1.0, 10.0, 0.0]);
        match predictor.predict(&row(numbers), scaled).unwrap()[0] {
            Prediction::Propensity { score, .. } => score,
            _ => panic!("not a propensity"),
        }
    };
    // ln(1 + e - 1) = 1, less 0.5, halved: 0.25. Then 7 is cut off at 3, and -7 at -3.
    assert!((score(&[std::f64::consts::E - 1.0, 7.0], false) - 30.25).abs() < 1e-6);
    assert!((score(&[std::f64::consts::E - 1.0, -7.0], false) + 29.75).abs() < 1e-6);
    assert!(near(score(&[0.25, 7.0], true), 70.25), "what is scaled is taken as it is");
}

/// R103: hidden units 1 and 0.5 after rectification, the third is silent: `2 * 1 - 4 * 0.5 + 9 * 0 + 0.5 = 0.5`.
#[test]
fn a_perceptrons_score_is_computed_as_by_hand() {
    let units = [1.0, 0.0, 0.0, 0.0, 0.5, -0.5, -1.0, -1.0, 0.0];
    let parameters = [&units[..], &[2.0, -4.0, 9.0, 0.5]].concat();
    let training = training(ModelKind::Perceptron { hidden: 3 }, &[PLAIN; 2], Settings::PLAIN);
    let predictor = predictor(&training, &parameters);
    let Prediction::Propensity { score, .. } = predictor.predict(&row(&[1.0, 2.0]), true).unwrap()[0] else {
        panic!("not a propensity")
    };
    assert!(near(score, 0.5), "{score}");
}

/// R103: of the centres (0, 0) and (3, 4) the point (3, 3) is one from the second.
#[test]
fn the_nearest_cluster_is_found() {
    let training = training(ModelKind::Clusters { clusters: 2 }, &[PLAIN; 2], Settings::PLAIN);
    let predictor = predictor(&training, &[0.0, 0.0, 3.0, 4.0]);
    let predicted = predictor.predict(&row(&[3.0, 3.0]), true).unwrap();
    assert_eq!(predicted, [Prediction::Cluster { cluster: 1, distance: 1.0 }]);
}

fn affinity(rank: u32, items: &[&str]) -> ModelKind {
    let attribute = AttributeName::new("commerce.category").unwrap();
    ModelKind::Affinity {
        rank,
        attribute,
        items: items.iter().map(|item| (*item).to_owned()).collect(),
        days: 90,
        best: 1,
    }
}

/// R103: of rank one, factors 2 and 3, ridge 0.1, `u` 0.5: `(0.5 * 13 + 0.5 * 4 + 0.1) p = 2`, so `p = 2 / 8.6`.
#[test]
fn the_best_items_of_a_list_are_those_solved_for_by_hand() {
    let settings = Settings { unlisted: 500, ..Settings::PLAIN };
    let training = training(affinity(1, &["coffee", "tea"]), &[], settings);
    let predictor = predictor(&training, &[2.0, 3.0]);
    let people = people(r#"{" Coffee": 1.0}"#).unwrap();
    let Prediction::Items { items } = &predictor.predict(&people, false).unwrap()[0] else {
        panic!("no items")
    };
    assert_eq!((items.len(), items[0].0.as_str()), (1, "tea"));
    assert!(near(items[0].1, 3.0 * 2.0 / 8.6), "{items:?}");
}

/// R103: the client says of a model what the code says that trained it, for every kind.
#[test]
fn predictions_are_those_of_the_trainer() {
    let seed = Digest([7; 32]);
    let numbers = [0.5_f64, -1.25, 2.0];
    let single: Vec<f32> = numbers.iter().map(|number| *number as f32).collect();
    let trained = |shape| Model::initial(shape, &seed).unwrap();
    let ready = |kind, scales: &[Scale], settings, model: &Model| {
        predictor(&training(kind, scales, settings), model.parameters())
    };
    let scales = [PLAIN; 3];

    let model = trained(Sizes::Perceptron { features: 3, hidden: 5 });
    let predictor = ready(ModelKind::Perceptron { hidden: 5 }, &scales, Settings::PLAIN, &model);
    let Prediction::Propensity { score, .. } = predictor.predict(&row(&numbers), true).unwrap()[0] else {
        panic!("not a propensity")
    };
    assert!(near(score, model.score(&single).unwrap()), "{score}");

    let model = trained(Sizes::Clusters { features: 3, clusters: 4 });
    let predictor = ready(ModelKind::Clusters { clusters: 4 }, &scales, Settings::PLAIN, &model);
    let Prediction::Cluster { cluster, distance } = predictor.predict(&row(&numbers), true).unwrap()[0]
    else {
        panic!("not a cluster")
    };
    let (expected, nearest, _) = model.cluster(&single).unwrap();
    assert!(cluster == expected && near(distance, nearest), "{cluster} {distance}");

    let names = ["a", "b", "c", "d"];
    let settings = Settings { unlisted: 50, ..Settings::PLAIN };
    let model = trained(Sizes::Affinity { items: 4, rank: 3 });
    let predictor = ready(affinity(3, &names), &[], settings, &model);
    let people = people(r#"[{"a": 1.0, "c": 0.5}]"#).unwrap();
    let Prediction::Items { items } = &predictor.predict(&people, false).unwrap()[0] else {
        panic!("no items")
    };
    let same = whole::Settings { unlisted: 50, ..whole::Settings::PLAIN };
    let all = model.affinities(&same, &[(0, 1.0), (2, 0.5)]).unwrap();
    let best = if all[1] > all[3] { 1 } else { 3 };
    assert!(items[0].0 == names[best] && near(items[0].1, all[best]), "{items:?} {all:?}");
}

/// R100: the digest that an aggregate names is the one that a client computes.
#[test]
fn the_digest_of_a_model_is_the_trainers() {
    let digest = |sizes, shape| {
        let model = Model::initial(sizes, &Digest([9; 32])).unwrap();
        let evaluation = Evaluation { quality: 0, log_loss: None, calibration_error: None };
        let (task, parameters) = (TaskId(Digest::ZERO), model.bytes());
        assert_eq!(TrainedModel { task, steps: 0, shape, parameters, evaluation }.digest(), model.digest());
    };
    digest(Sizes::Logistic { features: 3 }, Shape::Logistic { features: 3 });
    digest(Sizes::Perceptron { features: 3, hidden: 5 }, Shape::Perceptron { features: 3, hidden: 5 });
    digest(Sizes::Clusters { features: 3, clusters: 4 }, Shape::Clusters { features: 3, clusters: 4 });
    digest(Sizes::Affinity { items: 4, rank: 3 }, Shape::Affinity { items: 4, rank: 3 });
}

#[test]
fn people_are_read_from_json_and_rows() {
    let rows = [Person::Row(vec![1.0, -2.5]), Person::Row(vec![3.0, 4e-3])];
    for text in ["1,-2.5\n3,4e-3\n", "first,second\n1, -2.5\n\n3,4e-3", "[[1,-2.5],[3,0.004]]"] {
        assert_eq!(people(text).unwrap(), rows, "{text}");
    }
    assert_eq!(people("[1, -2.5]").unwrap(), rows[..1]);
    assert!(matches!(people("1,2\n3,x"), Err(PredictError::Input(2, _))));
    assert!(matches!(people("[1, \"x\"]"), Err(PredictError::Shape(_))));
}

/// R103: what a model cannot be used on is refused, with the person's number.
#[test]
fn wrong_people_are_refused() {
    let logistic = training(ModelKind::Logistic, &[PLAIN; 2], Settings::PLAIN);
    let logistic = predictor(&logistic, &[1.0, 1.0, 0.0]);
    let list = Person::List(BTreeMap::from([("coffee".to_owned(), 1.0)]));
    for wrong in [Person::Row(vec![1.0]), Person::Row(vec![f64::NAN, 0.0]), list.clone()] {
        let fault = logistic.predict(&[Person::Row(vec![1.0, 1.0]), wrong], false).unwrap_err();
        assert!(matches!(fault, PredictError::Input(2, _)), "{fault}");
    }
    let affinity = predictor(&training(affinity(1, &["coffee", "tea"]), &[], Settings::PLAIN), &[1.0, 1.0]);
    let list = |items: &[(&str, f64)]| {
        Person::List(items.iter().map(|(item, value)| ((*item).to_owned(), *value)).collect())
    };
    for wrong in [list(&[("wine", 1.0)]), list(&[("tea", 1.0), ("Tea", 1.0)]), Person::Row(vec![1.0])] {
        assert!(affinity.predict(&[wrong], false).is_err());
    }
}
