//! Models against other people's, on data that is not ours (R098).

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::*;

/// The numbers of a gzipped file, line by line.
fn table(path: &Path, heading: bool) -> Vec<Vec<f64>> {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let lines = text.lines().skip(usize::from(heading));
    lines.map(|line| line.split(',').map(|number| number.parse().unwrap()).collect()).collect()
}

fn numbers_of(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Every fifth row is for the test, as in the reference.
fn split(rows: &[Vec<f64>], scales: &[Scale], label: impl Fn(&[f64]) -> (bool, &[f64])) -> [Dataset; 2] {
    [false, true].map(|test| {
        let chosen = rows.iter().enumerate().filter(|(at, _)| (at % 5 == 0) == test);
        let (labels, raw): (Vec<bool>, Vec<&[f64]>) = chosen.map(|(_, row)| label(row)).unzip();
        Dataset::Features(Features::new(scales, &raw.concat(), Some(&labels)).unwrap())
    })
}

fn nearly(one: f64, other: f64, most: f64) {
    assert!((one - other).abs() <= most, "{one} and {other}");
}

/// What is expected of the RAND experiment, and its people: to train with, and to test with.
fn rand_experiment() -> (Value, [Dataset; 2]) {
    let expected = vector("outside_models.json")["randhie"].clone();
    let rows = table(&Path::new("../../vectors").join("randhie.csv.gz"), true);
    assert_eq!(rows.len() as u64, expected["n"].as_u64().unwrap());
    let scales: Vec<Scale> = numbers_of(&expected["train_mean"])
        .into_iter()
        .zip(numbers_of(&expected["train_std"]))
        .map(|(centre, spread)| Scale { centre, spread, bound: 10.0 })
        .collect();
    let people = split(&rows, &scales, |row| (row[0] > 0.0, &row[1..]));
    (expected, people)
}

fn coefficients_equal(model: &Model, expected: &Value, most: f64) {
    let mut coefficients = numbers_of(&expected["coef"]);
    coefficients.push(expected["intercept"].as_f64().unwrap());
    for (found, expected) in model.parameters().iter().zip(&coefficients) {
        nearly(*found, *expected, most);
    }
}

/// R098: the RAND experiment, `vectors/randhie.csv.gz`: coefficients, AUC and log loss of scikit-learn.
#[test]
fn propensity_on_the_rand_experiment_equals_scikit_learn() {
    let (expected, [train, test]) = rand_experiment();
    let settings = Settings { clip: 40_000, learning_rate: 1_000_000, momentum: 800, ..Settings::PLAIN };
    let learner = trained(Shape::Logistic { features: 9 }, &settings, &[train], 120);
    coefficients_equal(learner.model(), &expected, 1e-5);
    let rows = features_of(&test);
    let labels = rows.labels().unwrap();
    let scores = scores(learner.model(), rows);
    nearly(exact_auc(&scores, labels), expected["auc"].as_f64().unwrap(), 1e-6);
    let histogram = evaluate::ScoreHistogram::new(learner.model(), rows).unwrap();
    nearly(histogram.auc().unwrap(), expected["auc"].as_f64().unwrap(), 0.003);
    nearly(histogram.log_loss().unwrap(), expected["logloss"].as_f64().unwrap(), 0.002);
}

/// R098: clipped steps with noise, against the same rounds in numpy: AUC 0.63998, at epsilon 3.85 hardly moved.
#[test]
fn private_propensity_on_the_rand_experiment_keeps_its_figures() {
    let (_, [train, test]) = rand_experiment();
    let settings = Settings { learning_rate: 2_000_000, ..Settings::PLAIN };
    let cohort = Cohort { subjects: train.rows() as u64, rate: ALL };
    let auc = |noise: Option<u32>| {
        let mut learner = Learner::new(Model::initial(Shape::Logistic { features: 9 }, &seed(0)).unwrap());
        for round in 0..20 {
            let mut sums = update(learner.model(), &settings, &train, &everybody()).unwrap().sums;
            if let Some(noise) = noise {
                noise::add(&mut sums, noise, 1 << 30, &seed(round)).unwrap();
            }
            learner.step(&settings, &sums, cohort).unwrap();
        }
        let rows = features_of(&test);
        exact_auc(&scores(learner.model(), rows), rows.labels().unwrap())
    };
    nearly(auc(None), 0.63998, 1e-4);
    nearly(auc(Some(5_000)), 0.63999, 1e-3);
}

/// A dataset of scikit-learn: not copied here, so the tests that need one say so and run only when they are asked for.
fn bundled(name: &str) -> Vec<Vec<f64>> {
    let folder = std::env::var_os("SYMPHONY_DATA_DIR")
        .map_or_else(|| PathBuf::from("../../../shared/data"), PathBuf::from);
    table(&folder.join("sklearn").join(name), false)
}

/// R098: k-means on handwritten digits, from the same centres: the same people in the same clusters.
#[test]
#[ignore = "needs sklearn/*.csv.gz in the data folder: features, then the label, comma-separated"]
fn clusters_of_digits_equal_scikit_learn() {
    let rows = bundled("digits.csv.gz");
    let expected = &vector("outside_models.json")["digits_kmeans"];
    let raw: Vec<f64> = rows.iter().flat_map(|row| row[..64].to_vec()).collect();
    let scales = vec![Scale { centre: 0.0, spread: 1.0, bound: 16.0 }; 64];
    let dataset = Dataset::Features(Features::new(&scales, &raw, None).unwrap());
    let shape = Shape::Clusters { features: 64, clusters: 10 };
    let learner = Learner::new(Model::new(shape, raw[..640].to_vec()).unwrap());
    let settings = Settings { clip: 200_000, ..Settings::PLAIN };
    let rounds = expected["iters"].as_u64().unwrap() as u32;
    let datasets = [dataset];
    let model = train_on(learner, &settings, &datasets, rounds);
    let found: Vec<(usize, f64, f64)> = (0..rows.len())
        .map(|row| model.model().cluster(features_of(&datasets[0]).row(row)).unwrap())
        .collect();
    let inertia: f64 = found.iter().map(|(_, distance, _)| distance * distance).sum();
    nearly(inertia, expected["inertia"].as_f64().unwrap(), 0.01);
    let sizes: Vec<f64> =
        (0..10).map(|cluster| found.iter().filter(|(at, ..)| *at == cluster).count() as f64).collect();
    assert_eq!(sizes, numbers_of(&expected["cluster_sizes"]));
    let first: Vec<f64> = found[..20].iter().map(|(at, ..)| *at as f64).collect();
    assert_eq!(first, numbers_of(&expected["first20_labels"]));
}

/// R098: thirty features that depend on each other.
#[test]
#[ignore = "needs sklearn/*.csv.gz in the data folder: features, then the label, comma-separated"]
fn propensity_on_breast_cancer_equals_scikit_learn() {
    let rows = bundled("breast_cancer.csv.gz");
    let expected = &vector("outside_models.json")["breast_cancer_logreg"];
    let training: Vec<&Vec<f64>> =
        rows.iter().enumerate().filter(|(at, _)| at % 5 != 0).map(|(_, row)| row).collect();
    let scales: Vec<Scale> = (0..30)
        .map(|at| {
            let count = training.len() as f64;
            let centre = training.iter().map(|row| row[at]).sum::<f64>() / count;
            let variance = training.iter().map(|row| (row[at] - centre).powi(2)).sum::<f64>() / count;
            Scale { centre, spread: variance.sqrt(), bound: 50.0 }
        })
        .collect();
    let [train, test] = split(&rows, &scales, |row| (row[30] > 0.0, &row[..30]));
    // The reference has a ridge of one on the sum of the losses.
    let penalty = (1e6 / train.rows() as f64).round() as u32;
    let settings =
        Settings { clip: 100_000, learning_rate: 250_000, momentum: 950, penalty, ..Settings::PLAIN };
    let learner = trained(Shape::Logistic { features: 30 }, &settings, &[train], 1_500);
    coefficients_equal(learner.model(), expected, 2e-3);
    let rows = features_of(&test);
    let auc = exact_auc(&scores(learner.model(), rows), rows.labels().unwrap());
    nearly(auc, expected["test_auc"].as_f64().unwrap(), 1e-3);
}
