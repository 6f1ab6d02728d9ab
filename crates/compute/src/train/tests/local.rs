//! Local steps: what one person changes in all of them, what they come to, and what is noised (R098, R099, R112, R113).

use proptest::prelude::*;
use symphony_protocol::artifact::training::{Local, ModelKind};
use symphony_protocol::lifecycle::training::Position;

use super::parts::{LOCAL, combined, initial, part, plan, round, stage, three};
use super::*;
use crate::train::grid::CLIP_UNITS;
use crate::train::local::{self, Walk, damping};
use crate::train::part::Part;

/// The square of how far apart two averages are once they are weighed, in units of the grid.
fn apart(weight: u64, one: &[i64], other: &[i64]) -> f64 {
    let square = |(one, other): (&i64, &i64)| ((one - other) as f64 * weight as f64).powi(2);
    one.iter().zip(other).map(square).sum()
}

/// One person's influence, as a share of the bound: data sets with and without the last person.
fn influence(model: &Model, walk: &Walk<'_>, raw: &[f64], labels: &[bool]) -> f64 {
    let width = raw.len() / labels.len();
    let scales = vec![Scale { centre: 0.0, spread: 1.0, bound: 1_000.0 }; width];
    let dataset = |rows: usize| {
        let features = Features::new(&scales, &raw[..rows * width], Some(&labels[..rows])).unwrap();
        Dataset::Features(features)
    };
    let sums = |rows| local::unbounded(model, walk, &dataset(rows), &everybody()).unwrap().sums;
    let (with, without) = (sums(labels.len()), sums(labels.len() - 1));
    apart(walk.weight, &with, &without).sqrt() / CLIP_UNITS as f64
}

/// A person as bad as can be: far out along one direction, or its opposite, with either label, or anybody.
fn person(width: usize) -> impl Strategy<Value = (Vec<f64>, bool)> {
    let along = prop_oneof![Just(1.0), Just(-1.0), -1.0..1.0_f64];
    let length = prop_oneof![Just(0.1), Just(1.0), Just(30.0), 0.0..10.0_f64];
    let anybody = proptest::collection::vec(-3.0..3.0_f64, width);
    (any::<bool>(), along, length, anybody, any::<bool>()).prop_map(
        move |(far, along, length, anybody, label)| {
            (if far { vec![along * length; width] } else { anybody }, label)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// R098: whoever takes part, and however many were announced, one person more moves the weighted average by no more
    /// than the clipping norm in each step: the unit that the noise is scaled to.
    #[test]
    fn nobody_changes_a_walk_by_more_than_its_bound(
        people in (1_usize..5).prop_flat_map(|width| proptest::collection::vec(person(width), 2..60)),
        weights in proptest::collection::vec(-2.0..2.0_f64, 5),
        far in prop_oneof![Just(0.0), Just(1.0), Just(1e6)],
        steps in 2_u32..=64,
        norm in 1_000_u32..20_000,
        share in 1_u32..=1_000,
        length in prop_oneof![Just(1.0), 0.01..1.0_f64],
        weight in 1_u64..120,
        trained in 500_u32..1_000,
    ) {
        let width = people[0].0.len();
        let parameters = weights[..=width].iter().map(|weight| weight * far).collect();
        let model = Model::new(Shape::Logistic { features: width as u32 }, parameters).unwrap();
        let rate = (length * 4e12 / f64::from(norm).powi(2)) as u32;
        let local = Local { steps, rate, norm };
        let settings = Settings { clip: (norm * share / 1_000).max(norm.div_ceil(1_000)), ..Settings::PLAIN };
        prop_assume!(local.check(&settings).is_ok());
        let walk = Walk { local: &local, settings: &settings, weight, trained };
        let raw: Vec<f64> = people.iter().flat_map(|(row, _)| row.clone()).collect();
        let labels: Vec<bool> = people.iter().map(|(_, label)| *label).collect();
        let found = influence(&model, &walk, &raw, &labels);
        prop_assert!(found <= 1.0, "{found}");
    }

    /// R098: a larger sample neither widens a step nor turns one person more into more than one.
    #[test]
    fn damping_holds_a_step_whatever_the_sample(drawn in 0_u32..100_000, expected in 1e-6..20_000.0_f64) {
        let (one, more) = (f64::from(drawn), f64::from(drawn) + 1.0);
        let influence = one * (damping(one, expected) - damping(more, expected)) + damping(more, expected);
        prop_assert!(influence <= 1.0 + 1e-9, "{influence}");
        prop_assert!(one * damping(one, expected) <= 2.0 * expected * (1.0 + 1e-12));
        prop_assert!(damping(more, expected) <= damping(one, expected) && damping(one, expected) <= 1.0);
    }
}

/// People who all stand at one place, half with either label, around a model that does not know: the gradients turn as fast
/// as they can, and what one person more changes is neither lost nor multiplied.
fn crowd(rate: u32) -> f64 {
    let local = Local { steps: 5, rate, norm: 2_000 };
    let settings = Settings { clip: 2_000, ..Settings::PLAIN };
    let count = 80;
    let raw = vec![3.0_f64.sqrt(); count + 1];
    let labels: Vec<bool> = (0..=count).map(|number| number % 2 == 0).collect();
    let model = Model::new(Shape::Logistic { features: 1 }, vec![0.0; 2]).unwrap();
    let walk = Walk { local: &local, settings: &settings, weight: 25, trained: 800 };
    influence(&model, &walk, &raw, &labels)
}

/// R098: the limit of the length of a step is what bounds an influence: beyond it, this very test finds more.
#[test]
fn a_longer_step_than_allowed_multiplies_an_influence() {
    let (allowed, longer) = (1_000_000, 8_000_000);
    let settings = Settings { clip: 2_000, ..Settings::PLAIN };
    let check = |rate| Local { steps: 5, rate, norm: 2_000 }.check(&settings);
    assert_eq!((check(allowed), check(allowed + 1)), (Ok(()), Err("local learning rate")));
    assert_eq!(check(longer), Err("local learning rate"));
    assert!(crowd(allowed) <= 1.0, "{}", crowd(allowed));
    assert!(crowd(longer) > 1.0, "{}", crowd(longer));
}

/// R098: people at the bound add up to almost all of it, so the noise is not wider than it must be.
#[test]
fn the_bound_is_nearly_reached() {
    let local = Local { steps: 8, rate: 100, norm: 1_000 };
    let model = Model::new(Shape::Logistic { features: 1 }, vec![-1_000.0, 0.0]).unwrap();
    // Many were announced and few came: nothing is damped. The model is sure of the wrong label.
    let walk = Walk { local: &local, settings: &Settings::PLAIN, weight: 10_000, trained: 1_000 };
    let found = influence(&model, &walk, &[20.0, 20.0], &[true, true]);
    assert!((0.99..=1.0).contains(&found), "{found}");
}

/// R099: one Vault's round is plain descent by itself: steps as long as the rate says, damped, with features shortened to
/// the norm; and a learning rate of one takes the model there.
#[test]
fn a_vault_goes_as_far_as_plain_descent() {
    let (raw, labels) = people(500, 3, 21, |row| row[0] - 2.0 * row[1]);
    let dataset = labelled(&raw, &labels);
    let local = Local { steps: 6, rate: 400_000, norm: 3_000 };
    let settings = Settings { clip: 3_000, ..Settings::PLAIN };
    let walk = Walk { local: &local, settings: &settings, weight: 625, trained: 800 };
    let start = Model::new(Shape::Logistic { features: 3 }, vec![0.3, -0.2, 0.1, 0.05]).unwrap();
    let update = local::update(&start, &walk, &dataset, &everybody()).unwrap();
    assert_eq!(update.subjects, 500);

    let mut weights = start.parameters().to_vec();
    for _ in 0..6 {
        let mut gradient = [0.0; 4];
        for (row, label) in raw.chunks(3).zip(&labels) {
            let mut row = [row[0], row[1], row[2], 1.0];
            let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
            row.iter_mut().for_each(|value| *value *= (3.0 / length).min(1.0));
            let score: f64 = row.iter().zip(&weights).map(|(value, weight)| value * weight).sum();
            let slope = numbers::sigmoid(score) - f64::from(u8::from(*label));
            gradient.iter_mut().zip(row).for_each(|(sum, value)| *sum += slope * value);
        }
        let along = 0.4 / 500.0 * (1.0 - 500.0 / (8.0 * 500.0));
        weights.iter_mut().zip(gradient).for_each(|(weight, sum)| *weight -= along * sum);
    }
    let mut learner = Learner::new(start);
    let sums: Vec<i64> = update.sums.iter().map(|sum| sum * 625).collect();
    learner.step(&local.of_round(&settings), &sums, Cohort { subjects: 500, rate: ALL }).unwrap();
    for (one, other) in learner.model().parameters().iter().zip(&weights) {
        assert!((one - other).abs() < 1e-5, "{one} {other}");
    }
}

/// R099, R112: Vaults of different sizes are averaged by what their receipts announce.
#[test]
fn a_round_weighs_the_vaults_averages() {
    let plan = plan(ModelKind::LocalLogistic(LOCAL));
    let (learner, at) = (initial(&plan), Position::of(2, false, Digest::ZERO));
    let vaults = three(&plan, 200);
    let parts: Vec<_> =
        vaults.iter().map(|vault| (vault.0.clone(), part(&plan, &at, &learner, vault))).collect();
    let sized = |subjects: &[u64]| {
        let stage = gathering::Stage { subjects, ..stage(&plan, &at) };
        let mut gathering = gathering::Gathering::new(&stage);
        parts.iter().for_each(|(vault, part)| gathering.add(&stage, vault, part).unwrap());
        gathering.finish(&stage, &learner).unwrap().sums
    };
    for subjects in [[100, 100, 100], [1_000, 10, 100]] {
        let released = sized(&subjects);
        for (coordinate, sum) in released.iter().enumerate() {
            let of = |(part, weight): (&(VaultId, Part), &u64)| part.1.sums[coordinate] * *weight as i64;
            let exact: i64 = parts.iter().zip(&subjects).map(of).sum();
            // Six deviations of the noise of a half.
            assert!((sum - exact).abs() < 3 * CLIP_UNITS, "{sum} {exact}");
            assert!(sum != &exact);
        }
    }
    // Who is not of the round has no weight in it.
    let stranger = (vault("vault-9"), parts[0].1.clone());
    let error = combined(&plan, &at, &learner, std::slice::from_ref(&stranger)).unwrap_err();
    assert_eq!(error, TrainError::UpdateTurn(stranger.0));
}

/// R098, D10: the model is moved by the noise of the plan times the clipping norm times the steps, in its own units.
#[test]
fn the_noise_is_that_of_all_local_steps() {
    let mut plan = plan(ModelKind::LocalLogistic(LOCAL));
    plan.training.settings = Settings { clip: 1_500, learning_rate: 2_000_000, ..Settings::PLAIN };
    let vaults = three(&plan, 60);
    let learner = initial(&plan);
    let first = Position::of(1, false, Digest::ZERO);
    let mut exact = [0; 4];
    for vault in &vaults {
        let part = part(&plan, &first, &learner, vault);
        exact.iter_mut().zip(&part.sums).for_each(|(sum, one)| *sum += one * 100);
    }
    let cohort = Cohort { subjects: 210, rate: ALL };
    let settings = plan.training.round_settings();
    let mut quiet = learner.clone();
    quiet.step(&settings, &exact, cohort).unwrap();
    let mut squares = 0.0;
    for number in 0..120 {
        // Everybody takes part, so the exact sums are the same in each.
        let noised =
            round(&plan, &Position::of(2 * number + 2, false, Digest::ZERO), &learner, &vaults).next.unwrap();
        let pairs = noised.model().parameters().iter().zip(quiet.model().parameters());
        squares += pairs.map(|(one, other)| (one - other).powi(2)).sum::<f64>();
    }
    // Noise 0.5, clipping norm 1.5, five steps; over 210 people, times the rates 2 and 0.25.
    let expected = 0.5 * 1.5 * 5.0 / 210.0 * 2.0 * 0.25;
    let ratio = (squares / 480.0).sqrt() / expected;
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
}

/// R098, R099: a part depends on the order of the round alone: the same people and weights, the same bytes; and people
/// who leave a sample leave it for all steps.
#[test]
fn one_sample_serves_all_steps() {
    let (raw, labels) = people(300, 3, 22, |row| row[0]);
    let dataset = labelled(&raw, &labels);
    let model = Model::initial(Shape::Logistic { features: 3 }, &seed(0)).unwrap();
    let walk = Walk { local: &LOCAL, settings: &Settings::PLAIN, weight: 300, trained: 1_000 };
    let of = |dataset: &Dataset, rate, number| {
        local::update(&model, &walk, dataset, &Sampling { rate, seed: seed(number) }).unwrap()
    };
    assert_eq!(of(&dataset, ALL / 2, 1), of(&dataset, ALL / 2, 1));
    assert_ne!(of(&dataset, ALL / 2, 1), of(&dataset, ALL / 2, 2));
    assert_eq!(of(&dataset, 1, 1).sums, [0; 4]);
    let empty = Dataset::Features(Features::new(&plain_scales(3), &[], Some(&[])).unwrap());
    assert_eq!(of(&empty, ALL, 1).sums, [0; 4]);
    // Whoever is not drawn changes nothing: with other labels of those, the update is the same.
    let mut draw = crate::train::round::Draw::new(&Sampling { rate: ALL / 2, seed: seed(1) }, 0);
    let other: Vec<bool> = labels.iter().map(|label| if draw.next() { *label } else { !*label }).collect();
    assert_ne!(other, labels);
    assert_eq!(of(&labelled(&raw, &other), ALL / 2, 1), of(&dataset, ALL / 2, 1));
}

/// R098: settings without a bound, other models and too many people are refused, by name.
#[test]
fn what_has_no_bound_is_refused() {
    let (raw, labels) = people(10, 3, 23, |row| row[0]);
    let dataset = labelled(&raw, &labels);
    let model = Model::initial(Shape::Logistic { features: 3 }, &seed(0)).unwrap();
    let refused = |local: Local, settings: Settings, weight| {
        let walk = Walk { local: &local, settings: &settings, weight, trained: 800 };
        local::update(&model, &walk, &dataset, &everybody()).unwrap_err()
    };
    let plain = Settings::PLAIN;
    let setting = TrainError::Setting;
    for (local, settings, name) in [
        (Local { steps: 1, ..LOCAL }, plain, "local steps"),
        (Local { steps: 65, ..LOCAL }, plain, "local steps"),
        (Local { rate: 0, ..LOCAL }, plain, "local learning rate"),
        (Local { rate: 250_001, ..LOCAL }, plain, "local learning rate"),
        (
            Local { rate: u32::MAX, norm: u32::MAX, ..LOCAL },
            Settings { clip: 1_000_000, ..plain },
            "norm of features",
        ),
        (Local { norm: 999, ..LOCAL }, plain, "norm of features"),
        (Local { norm: 1_000_001, rate: 1, ..LOCAL }, plain, "norm of features"),
        (Local { steps: 64, rate: 1, norm: 1_000_000 }, Settings { clip: 20_000, ..plain }, "clipping norm"),
        (LOCAL, Settings { learning_rate: 1, ..plain }, "learning rate"),
        (LOCAL, Settings { penalty: 90_000_000, ..plain }, "penalty"),
        (LOCAL, Settings { clip: 0, ..plain }, "norm of features"),
    ] {
        assert_eq!(refused(local, settings, 10), setting(name), "{local:?} {settings:?}");
    }
    assert_eq!(refused(LOCAL, plain, 16_000_001), TrainError::Size("people of the round"));
    let walk = Walk { local: &LOCAL, settings: &plain, weight: 10, trained: 800 };
    let perceptron = Model::initial(Shape::Perceptron { features: 3, hidden: 2 }, &seed(0)).unwrap();
    let shape = TrainError::Shape("model and the dataset");
    assert_eq!(local::update(&perceptron, &walk, &dataset, &everybody()), Err(shape.clone()));
    let (raw, labels) = people(10, 4, 23, |row| row[0]);
    assert_eq!(local::update(&model, &walk, &labelled(&raw, &labels), &everybody()), Err(shape));
    // Sixteen million people with 4,096 features each would need a coarser bound than the reserve has.
    let wide = Dataset::Features(Features::new(&plain_scales(4_096), &[0.5; 4_096], Some(&[true])).unwrap());
    let model = Model::initial(Shape::Logistic { features: 4_096 }, &seed(0)).unwrap();
    let walk = Walk { weight: 16_000_000, ..walk };
    let error = local::update(&model, &walk, &wide, &everybody()).unwrap_err();
    assert_eq!(error, TrainError::Size("people times features"));
}

/// R100: with steps of the same length, four rounds of five local steps come as far as twenty rounds, and farther than four.
#[test]
fn local_steps_need_fewer_rounds() {
    let loss = |model: ModelKind, rate: u32, rounds: u32| {
        let mut plan = plan(model);
        plan.training.settings = Settings { clip: 4_000, learning_rate: rate, ..Settings::PLAIN };
        let vaults = three(&plan, 100);
        let weight = if plan.training.model.local().is_some() { 100 } else { 1 };
        let mut learner = initial(&plan);
        for number in 1..=rounds {
            let mut sums = vec![0; 4];
            for vault in &vaults {
                let part = part(&plan, &Position::of(2 * number, false, Digest::ZERO), &learner, vault);
                sums.iter_mut().zip(&part.sums).for_each(|(sum, one)| *sum += one * weight);
            }
            learner
                .step(&plan.training.round_settings(), &sums, Cohort { subjects: 210, rate: ALL })
                .unwrap();
        }
        let (mut loss, mut people) = (0.0, 0.0);
        for (_, vault) in &vaults {
            let rows = features_of(vault.training());
            for (score, label) in scores(learner.model(), rows).iter().zip(rows.labels().unwrap()) {
                loss += numbers::softplus(*score) - if *label { *score } else { 0.0 };
                people += 1.0;
            }
        }
        loss / people
    };
    let local = loss(ModelKind::LocalLogistic(LOCAL), 1_000_000, 4);
    let [few, many] = [4, 20].map(|rounds| loss(ModelKind::Logistic, 250_000, rounds));
    assert!(many < few - 0.02, "{many} {few}");
    assert!((local - many).abs() < 0.2 * (few - many), "{local} {few} {many}");
}
