//! The kernels against their definitions, against each other in parts and threads, and against other people's results.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde_json::Value;
use symphony_protocol::artifact::training::{EVERYBODY, Settings, Shape};

use super::dataset::{Baskets, Dataset, Features, Listed, Scale};
use super::model::Model;
use super::round::{Update, update};
use super::step::{Cohort, Learner};
use super::*;

mod evaluation;
mod local;
mod membership;
mod models;
mod outside;
mod parts;
mod refusals;
mod sharing;
mod sums;

const ALL: u32 = EVERYBODY;

fn seed(number: u64) -> Digest {
    Digest::of_bytes(&number.to_le_bytes())
}

fn vault(name: &str) -> VaultId {
    VaultId::new(name).unwrap()
}

fn everybody() -> Sampling {
    Sampling { rate: ALL, seed: Digest::ZERO }
}

fn vector(name: &str) -> Value {
    let path = std::path::Path::new("../../vectors").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Draws that look normal: the sum of twelve even ones.
fn normal(stream: &mut ChaCha20Rng) -> f64 {
    let even = |stream: &mut ChaCha20Rng| (stream.random::<u32>() >> 8) as f64 / f64::from(1 << 24);
    (0..12).map(|_| even(stream)).sum::<f64>() - 6.0
}

fn plain_scales(width: usize) -> Vec<Scale> {
    vec![Scale { centre: 0.0, spread: 1.0, bound: 8.0 }; width]
}

/// Invented people: rows, and labels that follow `score` with some doubt.
fn people(rows: usize, width: usize, number: u64, score: impl Fn(&[f64]) -> f64) -> (Vec<f64>, Vec<bool>) {
    let mut stream = ChaCha20Rng::from_seed(seed(number).0);
    let raw: Vec<f64> = (0..rows * width).map(|_| normal(&mut stream)).collect();
    let labels = raw
        .chunks(width)
        .map(|row| {
            let even = f64::from(stream.random::<u32>()) / 4_294_967_296.0;
            even < numbers::sigmoid(score(row))
        })
        .collect();
    (raw, labels)
}

fn labelled(raw: &[f64], labels: &[bool]) -> Dataset {
    let width = raw.len() / labels.len();
    Dataset::Features(Features::new(&plain_scales(width), raw, Some(labels)).unwrap())
}

/// Invented lists: every person likes the items of one of `kinds` kinds, and a few others.
fn lists(people: usize, items: u32, kinds: u32, number: u64) -> Vec<Vec<Listed>> {
    let mut stream = ChaCha20Rng::from_seed(seed(number).0);
    (0..people)
        .map(|_| {
            let kind = stream.random::<u32>() % kinds;
            let likes = |stream: &mut ChaCha20Rng, item: u32| {
                let chance = if item % kinds == kind { 70 } else { 4 };
                stream.random::<u32>() % 100 < chance
            };
            (0..items)
                .filter_map(|item| likes(&mut stream, item).then_some(Listed { item, value: 1.0 }))
                .collect()
        })
        .collect()
}

/// The four shapes with datasets that fit them and settings that they learn with.
fn four(rows: usize) -> Vec<(Shape, Settings, Vec<Dataset>)> {
    let (raw, labels) = people(rows, 6, 1, |row| 2.0 * row[0] - row[1]);
    let lists = lists(rows, 24, 3, 2);
    // The same people as one dataset, and dealt to three.
    let cuts = [0, rows / 5, rows / 2, rows];
    let features = || {
        let part = |from: usize, to: usize| labelled(&raw[from * 6..to * 6], &labels[from..to]);
        std::iter::once(part(0, rows)).chain(cuts.windows(2).map(|cut| part(cut[0], cut[1]))).collect()
    };
    let baskets = {
        let part = |from: usize, to: usize| Dataset::Baskets(Baskets::new(24, &lists[from..to]).unwrap());
        std::iter::once(part(0, rows)).chain(cuts.windows(2).map(|cut| part(cut[0], cut[1]))).collect()
    };
    let momentum = Settings { momentum: 500, penalty: 1_000, ..Settings::PLAIN };
    let implicit = Settings { unlisted: 50, learning_rate: 20_000_000, ..momentum };
    vec![
        (Shape::Logistic { features: 6 }, momentum, features()),
        (Shape::Perceptron { features: 6, hidden: 5 }, momentum, features()),
        (
            Shape::Clusters { features: 6, clusters: 4 },
            Settings { clip: 6_000, ..Settings::PLAIN },
            features(),
        ),
        (Shape::Affinity { items: 24, rank: 3 }, implicit, baskets),
    ]
}

/// Adds the updates of datasets as a master would, in chunks of `size`.
fn gather(updates: &[Update], size: usize) -> aggregate::Totals {
    let mut sum = aggregate::StreamingSum::secure_sum(updates[0].sums.len());
    for (at, update) in updates.iter().enumerate() {
        let vault = vault(&format!("vault-{at}"));
        sum.begin(&vault, update.subjects).unwrap();
        update.sums.chunks(size).for_each(|chunk| sum.chunk(&vault, chunk).unwrap());
        sum.end(&vault).unwrap();
    }
    sum.finish().unwrap()
}

/// Trains over datasets without noise.
fn trained(shape: Shape, settings: &Settings, datasets: &[Dataset], rounds: u32) -> Learner {
    let learner = Learner::new(Model::initial(shape, &seed(7)).unwrap());
    train_on(learner, settings, datasets, rounds)
}

fn train_on(mut learner: Learner, settings: &Settings, datasets: &[Dataset], rounds: u32) -> Learner {
    for _ in 0..rounds {
        let updates: Vec<Update> = datasets
            .iter()
            .map(|dataset| update(learner.model(), settings, dataset, &everybody()).unwrap())
            .collect();
        let totals = gather(&updates, 7);
        let cohort = Cohort { subjects: totals.subjects, rate: ALL };
        learner.step(settings, &totals.sums, cohort).unwrap();
    }
    learner
}

/// The definition of the area under the curve, over all pairs in order.
fn exact_auc(scores: &[f64], labels: &[bool]) -> f64 {
    let mut order: Vec<(f64, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    order.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut below, mut above) = (0.0, 0.0);
    for equals in order.chunk_by(|one, other| one.0 == other.0) {
        let with = equals.iter().filter(|(_, label)| *label).count() as f64;
        let without = equals.len() as f64 - with;
        above += with * (below + without / 2.0);
        below += without;
    }
    above / (below * (labels.len() as f64 - below))
}

fn scores(model: &Model, rows: &Features) -> Vec<f64> {
    (0..rows.rows()).map(|row| model.score(rows.row(row)).unwrap()).collect()
}

fn features_of(dataset: &Dataset) -> &Features {
    match dataset {
        Dataset::Features(features) => features,
        Dataset::Baskets(_) => panic!("the dataset has lists"),
    }
}
