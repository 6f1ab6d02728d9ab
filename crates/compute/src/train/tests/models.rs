//! Each model against its definition, and that each learns.

use super::grid::Contribution;
use super::*;

/// One person's contribution as a whole vector.
fn contribution(model: &Model, settings: &Settings, dataset: &Dataset, row: usize) -> Vec<f64> {
    let mut contribution = Contribution::default();
    round::kernel(model, settings, dataset).unwrap().contribute(row, &mut contribution).unwrap();
    contribution.whole(model.shape().coordinates())
}

/// The slope of `loss` at the model, by small steps to both sides.
fn slopes(model: &Model, loss: impl Fn(&Model) -> f64) -> Vec<f64> {
    let step = 1e-5;
    let moved = |at: usize, by: f64| {
        let mut parameters = model.parameters().to_vec();
        parameters[at] += by;
        loss(&Model::new(model.shape(), parameters).unwrap())
    };
    (0..model.parameters().len()).map(|at| (moved(at, step) - moved(at, -step)) / (2.0 * step)).collect()
}

fn assert_close(one: &[f64], other: &[f64], most: f64) {
    assert_eq!(one.len(), other.len());
    for (at, (one, other)) in one.iter().zip(other).enumerate() {
        assert!((one - other).abs() <= most, "{at}: {one} and {other}");
    }
}

/// R098: the contribution of one person is the gradient of its own log loss.
#[test]
fn contributions_to_propensity_are_gradients() {
    for (shape, settings, datasets) in four(60).into_iter().take(2) {
        let rows = features_of(&datasets[0]);
        let labels = rows.labels().unwrap();
        let model = trained(shape, &settings, &datasets[..1], 3);
        for (row, label) in labels.iter().enumerate().take(8) {
            let loss = |model: &Model| {
                let score = model.score(rows.row(row)).unwrap();
                numbers::softplus(score) - if *label { score } else { 0.0 }
            };
            let gradient = contribution(model.model(), &settings, &datasets[0], row);
            assert_close(&gradient, &slopes(model.model(), loss), 1e-7);
        }
    }
}

/// R098: the gradient of items' factors, with a person's factors solved for anew at every point.
#[test]
fn contributions_to_affinity_are_gradients_at_the_persons_best() {
    let people = lists(10, 12, 3, 4);
    let dataset = Dataset::Baskets(Baskets::new(12, &people).unwrap());
    for unlisted in [0, 200, 1_000] {
        let settings = Settings { unlisted, ridge: 300, ..Settings::PLAIN };
        let model = Model::initial(Shape::Affinity { items: 12, rank: 3 }, &seed(1)).unwrap();
        for (row, person) in people.iter().enumerate() {
            let list: Vec<(u32, f32)> = person.iter().map(|listed| (listed.item, listed.value)).collect();
            let loss = |model: &Model| half_loss(model, &settings, &list);
            assert_close(&contribution(&model, &settings, &dataset, row), &slopes(&model, loss), 1e-7);
        }
    }
}

/// Half of the loss of a person at its best factors, which are found by plain descent.
fn half_loss(model: &Model, settings: &Settings, list: &[(u32, f32)]) -> f64 {
    let rank = 3;
    let (ridge, unlisted) = (f64::from(settings.ridge) / 1e3, f64::from(settings.unlisted) / 1e3);
    let listed =
        |item: usize| list.iter().find(|(at, _)| *at as usize == item).map(|(_, value)| f64::from(*value));
    let mut person = vec![0.0; rank];
    let mut loss = 0.0;
    for _ in 0..4_000 {
        let mut slope: Vec<f64> = person.iter().map(|factor| ridge * factor).collect();
        loss = person.iter().map(|factor| ridge * factor * factor).sum();
        for (item, factors) in model.parameters().chunks(rank).enumerate() {
            let liking: f64 = factors.iter().zip(&person).map(|(one, other)| one * other).sum();
            let (weight, rest) = listed(item).map_or((unlisted, liking), |value| (1.0, liking - value));
            loss += weight * rest * rest;
            slope.iter_mut().zip(factors).for_each(|(slope, factor)| *slope += weight * rest * factor);
        }
        person.iter_mut().zip(&slope).for_each(|(factor, slope)| *factor -= 0.1 * slope);
    }
    loss / 2.0
}

/// R098: features of norm `C / sqrt(2)` at most and a count of just that, at the nearest centre.
#[test]
fn contributions_to_clusters_are_cut_features_and_a_count() {
    let settings = Settings { clip: 2_000, ..Settings::PLAIN };
    let shape = Shape::Clusters { features: 2, clusters: 3 };
    let model = Model::new(shape, vec![0.0, 0.0, 5.0, 0.0, 0.0, 5.0]).unwrap();
    let raw = [0.5, 0.25, 3.0, 4.0, 4.0, 3.0, 2.5, 0.0];
    let dataset = Dataset::Features(Features::new(&plain_scales(2), &raw, None).unwrap());
    let reach = 2.0_f64.sqrt();
    let expected = [
        [0.5, 0.25, 0.0, 0.0, 0.0, 0.0, reach, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.6 * reach, 0.8 * reach, 0.0, 0.0, reach],
        [0.0, 0.0, 0.8 * reach, 0.6 * reach, 0.0, 0.0, 0.0, reach, 0.0],
        // As far from the first as from the second: the first.
        [reach, 0.0, 0.0, 0.0, 0.0, 0.0, reach, 0.0, 0.0],
    ];
    for (row, expected) in expected.iter().enumerate() {
        assert_close(&contribution(&model, &settings, &dataset, row), expected, 1e-12);
    }
    let sums = update(&model, &settings, &dataset, &everybody()).unwrap().sums;
    let mut learner = Learner::new(model);
    learner.step(&settings, &sums, Cohort { subjects: 4, rate: ALL }).unwrap();
    let centres = [(0.5 + reach) / 2.0, 0.125, 0.8 * reach, 0.6 * reach, 0.6 * reach, 0.8 * reach];
    assert_close(learner.model().parameters(), &centres, 1e-7);
    // Nobody there: all centres stay.
    let before = learner.model().clone();
    learner.step(&settings, &[0; 9], Cohort { subjects: 4, rate: ALL }).unwrap();
    assert_eq!(learner.model(), &before);
}

/// R098
#[test]
fn propensity_finds_the_weights_that_made_the_labels() {
    let (raw, labels) = people(20_000, 4, 3, |row| 1.5 * row[0] - row[1] + 0.5 * row[2] - 0.25);
    let dataset = [labelled(&raw, &labels)];
    let settings = Settings { clip: 20_000, learning_rate: 2_000_000, momentum: 500, ..Settings::PLAIN };
    let learner = trained(Shape::Logistic { features: 4 }, &settings, &dataset, 60);
    // Of 20,000 people, the standard error of a weight is about 0.02.
    assert_close(learner.model().parameters(), &[1.5, -1.0, 0.5, 0.0, -0.25], 0.08);
}

/// R098: what no weighing of features can tell apart.
#[test]
fn a_hidden_layer_learns_what_is_not_linear() {
    let either = |row: &[f64]| if (row[0] > 0.0) != (row[1] > 0.0) { 6.0 } else { -6.0 };
    let (raw, labels) = people(4_000, 2, 5, either);
    let dataset = [labelled(&raw, &labels)];
    let rows = features_of(&dataset[0]);
    let auc = |shape, settings: &Settings, rounds| {
        exact_auc(&scores(trained(shape, settings, &dataset, rounds).model(), rows), &labels)
    };
    let settings = Settings { clip: 10_000, momentum: 900, learning_rate: 300_000, ..Settings::PLAIN };
    let linear = auc(Shape::Logistic { features: 2 }, &settings, 50);
    let hidden = auc(Shape::Perceptron { features: 2, hidden: 8 }, &settings, 150);
    assert!((0.4..0.6).contains(&linear), "{linear}");
    assert!(hidden > 0.95, "{hidden}");
}

/// R098
#[test]
fn clusters_are_found_where_people_were_put() {
    let centres = [[3.0, 0.0], [-2.0, 2.5], [-2.0, -2.5]];
    let (noise, _) = people(3_000, 2, 6, |_| 0.0);
    let raw: Vec<f64> = noise
        .chunks(2)
        .enumerate()
        .flat_map(|(at, row)| [centres[at % 3][0] + row[0] * 0.4, centres[at % 3][1] + row[1] * 0.4])
        .collect();
    let dataset = [Dataset::Features(Features::new(&plain_scales(2), &raw, None).unwrap())];
    let settings = Settings { clip: 9_000, ..Settings::PLAIN };
    let learner = trained(Shape::Clusters { features: 2, clusters: 3 }, &settings, &dataset, 12);
    for centre in centres {
        let near = |found: &[f64]| libm::hypot(found[0] - centre[0], found[1] - centre[1]) < 0.1;
        assert!(learner.model().parameters().chunks(2).any(near), "{:?}", learner.model().parameters());
    }
    let silhouette = evaluate::MeanScore::silhouette(learner.model(), features_of(&dataset[0])).unwrap();
    assert!(silhouette.mean().unwrap() > 0.85, "{silhouette:?}");
}

/// R098: items held out are recommended far above chance.
#[test]
fn affinity_recommends_what_was_held_out() {
    let (items, kinds) = (40, 4);
    let people = lists(1_500, items, kinds, 8);
    let half = |odd: u32| -> Vec<Vec<Listed>> {
        let of =
            |list: &Vec<Listed>| list.iter().copied().filter(|one| (one.item / kinds) % 2 == odd).collect();
        people.iter().map(of).collect()
    };
    let baskets = |lists: &[Vec<Listed>]| Baskets::new(items as usize, lists).unwrap();
    let settings =
        Settings { unlisted: 100, clip: 3_000, learning_rate: 20_000_000, momentum: 500, ..Settings::PLAIN };
    let shape = Shape::Affinity { items, rank: 4 };
    let recall = |model: &Model| {
        let (given, held) = (baskets(&half(0)), baskets(&half(1)));
        evaluate::MeanScore::recall(model, &settings, (&given, &held), 5).unwrap().mean().unwrap()
    };
    let before = recall(&Model::initial(shape, &seed(7)).unwrap());
    let learner = trained(shape, &settings, &[Dataset::Baskets(baskets(&people))], 40);
    let after = recall(learner.model());
    // Five of the thirty or so that are not given, of which five or so are liked.
    assert!(before < 0.45, "{before}");
    assert!(after > 0.65, "{before} {after}");
}

/// R099: three Vaults and one give the same bytes, however chunks are cut.
#[test]
fn a_training_over_three_vaults_is_the_training_over_one() {
    for (shape, settings, datasets) in four(700) {
        let central = trained(shape, &settings, &datasets[..1], 5);
        let federated = trained(shape, &settings, &datasets[1..], 5);
        assert_eq!(central, federated, "{shape:?}");
        assert_ne!(central.model(), &Model::initial(shape, &seed(7)).unwrap(), "{shape:?} learns nothing");
    }
}

/// D10: one thread and two give the same bytes.
#[test]
fn the_number_of_threads_changes_nothing() {
    for (shape, settings, datasets) in four(1_500) {
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let learner = trained(shape, &settings, &datasets[..1], 3);
                let sampling = Sampling { rate: ALL / 3, seed: seed(3) };
                let sampled = update(learner.model(), &settings, &datasets[0], &sampling).unwrap();
                let mut noised = sampled.sums.clone();
                noise::add(&mut noised, 1_000, 1 << 30, &seed(4)).unwrap();
                (learner.model().digest(), sampled, noised)
            })
        };
        assert_eq!(with(1), with(2), "{shape:?}");
    }
}

/// R102: a training that goes on after a stop ends with the same bytes.
#[test]
fn a_resumed_training_ends_like_one_without_a_stop() {
    for (shape, settings, datasets) in four(300) {
        let whole = trained(shape, &settings, &datasets[..1], 6);
        let stopped = trained(shape, &settings, &datasets[..1], 2);
        let bytes = stopped.model().bytes();
        let parameters = bytes.chunks(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect();
        let resumed =
            Learner::resume(Model::new(shape, parameters).unwrap(), stopped.velocity().to_vec()).unwrap();
        assert_eq!(train_on(resumed, &settings, &datasets[..1], 4), whole);
    }
}

/// D10: the bytes of trained models, to compare machines: run with `SYMPHONY_WRITE_VECTORS=1` to write anew.
#[test]
fn trained_models_conform() {
    let digests: Vec<String> = four(400)
        .into_iter()
        .map(|(shape, settings, datasets)| {
            let learner = trained(shape, &settings, &datasets[1..], 4);
            format!("{shape:?} {}", learner.model().digest())
        })
        .collect();
    let about =
        "digests of the models that the test trains on people out of a seed; the same on every machine";
    let computed = serde_json::json!({ "about": about, "models": digests });
    if std::env::var_os("SYMPHONY_WRITE_VECTORS").is_some() {
        let text = format!("{}\n", serde_json::to_string_pretty(&computed).unwrap());
        std::fs::write("../../vectors/trained_models.json", text).unwrap();
    }
    assert_eq!(vector("trained_models.json"), computed);
}
