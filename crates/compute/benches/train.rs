//! One epoch of logistic regression over 100,000 people with 50 features against one pass over the same matrix, and
//! against the same gradient without clipping and grid (R097-R099); then noise for a model of 10,000 numbers; then a part of
//! as many numbers on shares (R113), split, and checked by two aggregators one after the other, against adding it up whole.
//!
//! The pass adds up all features on one thread: nothing that reads every feature can be much faster a thread. The
//! plain gradient is a loop over rows in floats, as one would write it; it has no bound on anybody's contribution, and
//! its bytes depend on the order of rows. All pools have as many threads as the row says.

use std::hint::black_box;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use rayon::ThreadPool;
use symphony_compute::train::dataset::{Dataset, Features, Scale};
use symphony_compute::train::gathering::{Gathering, Stage};
use symphony_compute::train::model::Model;
use symphony_compute::train::part::Part;
use symphony_compute::train::round::update;
use symphony_compute::train::sharing::Sharing;
use symphony_compute::train::step::{Cohort, Learner};
use symphony_compute::train::{Sampling, noise};
use symphony_protocol::artifact::PrivacyClass;
use symphony_protocol::artifact::training::{
    EVERYBODY, Environment, Family, Feature, Label, ModelKind, PrivacyTerms, Scale as FixedScale, Settings,
    Shape, Training, TrainingPlan,
};
use symphony_protocol::lifecycle::training::Position;
use symphony_types::digest::Digest;
use symphony_types::id::{AttributeName, TaskId, VaultId};
use symphony_types::time::OrderedMillis;

use crate::pairs::{Row, compare, per_unit, print};

mod pairs;

fn main() {
    let dataset = people();
    let cores = std::thread::available_parallelism().map_or(1, |count| count.get());
    let (one, all) = (pool(1), pool(cores));
    let rows = [
        epoch(("clipped, one thread", &one, CLIPPED), ("one pass", pass), &dataset),
        epoch(("plain bound, one thread", &one, WIDE), ("one pass", pass), &dataset),
        epoch(("clipped, all cores", &all, CLIPPED), ("one pass", pass), &dataset),
        epoch(("clipped, one thread", &one, CLIPPED), ("plain gradient in floats", plain), &dataset),
    ];
    print(&format!("epoch: {ROWS} people, {WIDTH} features, {cores} cores"), "person", &rows);
    print(&format!("noise: {NOISED} numbers"), "number", &[noised(&one, &all)]);
    let plan = shared_plan();
    let coordinates = plan.training.shape().coordinates();
    print(&format!("shares: a part of {coordinates} numbers"), "number", &shared(&plan, coordinates));
}

/// What an epoch is set beside; its result is only there to be computed.
type Baseline = fn(&Features, &Model) -> f64;

fn epoch(
    (what, pool, settings): (&str, &ThreadPool, Settings),
    (against, baseline): (&str, Baseline),
    dataset: &Dataset,
) -> Row {
    let Dataset::Features(features) = dataset else {
        unreachable!("the people of this benchmark have features")
    };
    let learner = warm(dataset);
    let sampling = Sampling { rate: EVERYBODY, seed: Digest::ZERO };
    let ours = || {
        let sums = || update(learner.model(), &settings, dataset, &sampling).expect("the model fits");
        per_unit(ROWS, || pool.install(sums))
    };
    let theirs = || per_unit(ROWS, || black_box(baseline(features, learner.model())));
    compare((what, ours), (against, theirs), PAIRS)
}

/// A model after one step, so that no gradient is trivial.
fn warm(dataset: &Dataset) -> Learner {
    let shape = Shape::Logistic { features: WIDTH as u32 };
    let mut learner =
        Learner::new(Model::initial(shape, &Digest::ZERO).expect("the sizes are within limits"));
    let sampling = Sampling { rate: EVERYBODY, seed: Digest::ZERO };
    let sums = update(learner.model(), &CLIPPED, dataset, &sampling).expect("the model fits").sums;
    let cohort = Cohort { subjects: ROWS as u64, rate: EVERYBODY };
    learner.step(&CLIPPED, &sums, cohort).expect("the step is small");
    learner
}

/// Adds up every feature, in as many running sums as a row has features.
fn pass(features: &Features, _: &Model) -> f64 {
    let mut sums = [0.0_f64; WIDTH];
    for row in 0..features.rows() {
        for (sum, value) in sums.iter_mut().zip(features.row(row)) {
            *sum += f64::from(*value);
        }
    }
    sums.iter().sum()
}

fn plain(features: &Features, model: &Model) -> f64 {
    let labels = features.labels().expect("the people of this benchmark have labels");
    let (weights, bias) = (&model.parameters()[..WIDTH], model.parameters()[WIDTH]);
    let mut gradient = [0.0_f64; WIDTH + 1];
    for (row, label) in labels.iter().enumerate() {
        let row = features.row(row);
        let score: f64 =
            row.iter().zip(weights).map(|(value, weight)| f64::from(*value) * weight).sum::<f64>() + bias;
        let residual = 1.0 / (1.0 + (-score).exp()) - f64::from(u8::from(*label));
        for (sum, value) in gradient.iter_mut().zip(row) {
            *sum += residual * f64::from(*value);
        }
        gradient[WIDTH] += residual;
    }
    gradient.iter().sum()
}

fn noised(one: &ThreadPool, all: &ThreadPool) -> Row {
    let draw = |pool: &ThreadPool| {
        let mut sums = vec![0; NOISED];
        let noise =
            || noise::add(&mut sums, 1_000, 1 << 30, &Digest::ZERO).expect("the multiplier is within limits");
        per_unit(NOISED, || pool.install(noise))
    };
    compare(("all cores", || draw(all)), ("one thread", || draw(one)), PAIRS)
}

/// A part of 10,000 people split, and checked and added up by both aggregators, each beside adding it up whole.
fn shared(plan: &TrainingPlan, coordinates: usize) -> [Row; 2] {
    let position = Position::FIRST;
    let stage =
        Stage { task: TaskId(Digest::ZERO), plan, position: &position, vaults: &[], subjects: &[10_000] };
    let vault = VaultId::new("vault").expect("a name");
    let (share, learner) = ([0; 32], None);
    let sums = (0..coordinates as i64).map(|number| number << 20).collect();
    let part = Part { subjects: 10_000, sums, evaluated: 0, counts: vec![], share, learner };
    let whole = || {
        let add =
            || Gathering::new(&stage).add(&stage, &vault, &part).expect("the part is within its bounds");
        per_unit(coordinates, add)
    };
    let sharing = Sharing::new(stage, Digest::ZERO).expect("the people are within limits");
    let split = || {
        let split = || sharing.split(&vault, &part).expect("the part is within its bounds");
        per_unit(coordinates, || black_box(split()))
    };
    let [mine, theirs] = sharing.split(&vault, &part).expect("the part is within its bounds");
    let check = || {
        let (key, mut one, mut other) = ([1; 32], sharing.sum(), sharing.sum());
        let asked = sharing.ask(&key, &vault, &mine).expect("the half is whole");
        let answer = sharing.answer(&key, (&vault, &theirs), &asked, &mut other).expect("the proof holds");
        sharing.close(&key, (&vault, &mine), &answer, &mut one).expect("the proof holds");
    };
    let checked = || per_unit(coordinates, check);
    [
        compare(("split by the Vault", split), ("added up whole", whole), PAIRS),
        compare(("checked by both", checked), ("added up whole", whole), PAIRS),
    ]
}

/// A perceptron of about 10,000 numbers.
fn shared_plan() -> TrainingPlan {
    let scale = FixedScale { logarithm: false, centre: 0, spread: 1, bound: 1 };
    let feature = Feature { family: Family::Frequency, filter: vec![], days: 1, scale };
    TrainingPlan {
        training: Training {
            model: ModelKind::Perceptron { hidden: 100 },
            time: AttributeName::new("commerce.purchase_date").expect("a name"),
            cohort: vec![],
            features: vec![feature; 98],
            label: Some(Label { condition: vec![], days: 1 }),
            settings: Settings::PLAIN,
            privacy: PrivacyTerms { noise: 1_000, sampling: EVERYBODY, evaluation_noise: 1_000, delta: 1 },
            rounds: 10,
            evaluate_every: 10,
            patience: 0,
            held_out: 100,
            accept_from: 0,
        },
        evaluated_at: OrderedMillis(0),
        combined_privacy_class: PrivacyClass::Sensitive,
        minimum_cohort: 1,
        environment: Environment::Mpc,
    }
}

/// People whose labels follow their features with some doubt.
fn people() -> Dataset {
    let mut stream = ChaCha20Rng::from_seed([1; 32]);
    let mut raw = Vec::with_capacity(ROWS * WIDTH);
    let mut labels = Vec::with_capacity(ROWS);
    for _ in 0..ROWS {
        let row: Vec<f64> =
            (0..WIDTH).map(|_| f64::from(stream.random::<u32>()) / f64::from(1 << 30) - 2.0).collect();
        labels.push(row[0] + row[1] - row[2] + (stream.random::<u32>() % 4) as f64 > 1.5);
        raw.extend(row);
    }
    let scales = vec![Scale { centre: 0.0, spread: 1.0, bound: 3.0 }; WIDTH];
    Dataset::Features(Features::new(&scales, &raw, Some(&labels)).expect("the people are within limits"))
}

fn pool(threads: usize) -> ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads can be started")
}

const ROWS: usize = 100_000;
const WIDTH: usize = 50;
const NOISED: usize = 10_000;
const PAIRS: usize = 21;
const CLIPPED: Settings = Settings { clip: 1_000, ..Settings::PLAIN };
/// A clipping norm that nobody reaches.
const WIDE: Settings = Settings { clip: 100_000, ..Settings::PLAIN };
