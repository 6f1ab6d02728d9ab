//! Figures out of counts against the figures that they stand for (R098, R100).

use super::evaluate::{HISTOGRAM_SENSITIVITY, MEAN_SENSITIVITY, MeanScore, PERSON, ScoreHistogram};
use super::*;

/// People, their labels and a model that knows what made them.
fn judged(rows: usize) -> (Model, Vec<f64>, Vec<bool>) {
    let (raw, labels) = people(rows, 3, 9, |row| 1.2 * row[0] - 0.7 * row[1] - 1.0);
    (Model::new(Shape::Logistic { features: 3 }, vec![1.2, -0.7, 0.0, -1.0]).unwrap(), raw, labels)
}

/// R100: bins change the figures by less than their width; parts of the people add up to all.
#[test]
fn figures_of_a_histogram_are_those_of_its_people() {
    let (model, raw, labels) = judged(6_000);
    let dataset = labelled(&raw, &labels);
    let rows = features_of(&dataset);
    let whole = ScoreHistogram::new(&model, rows).unwrap();
    let scores = scores(&model, rows);
    let auc = whole.auc().unwrap();
    assert!((auc - exact_auc(&scores, &labels)).abs() < 0.002, "{auc}");
    let losses = scores.iter().zip(&labels);
    let loss: f64 =
        losses.map(|(score, label)| numbers::softplus(if *label { -score } else { *score })).sum();
    assert!((whole.log_loss().unwrap() - loss / 6_000.0).abs() < 0.001);
    // The model knows the truth, so what it predicts is what is seen.
    let error = whole.calibration_error().unwrap();
    assert!(error < 0.05, "{error}");
    assert!(whole.calibration().iter().all(|bin| bin.people >= 1.0 && (0.0..=1.0).contains(&bin.observed)));

    let mut sum =
        ScoreHistogram::new(&model, features_of(&labelled(&raw[..3_000], &labels[..1_000]))).unwrap();
    sum.add(&ScoreHistogram::new(&model, features_of(&labelled(&raw[3_000..], &labels[1_000..]))).unwrap());
    assert_eq!(sum, whole);
    assert_eq!(whole.counts.iter().sum::<i64>(), 6_000 * PERSON);
}

/// R100: a model that knows nothing, one that is always wrong, and nobody to judge by.
#[test]
fn figures_say_so_when_a_model_knows_nothing() {
    let (model, raw, labels) = judged(2_000);
    let dataset = labelled(&raw, &labels);
    let rows = features_of(&dataset);
    let of = |weights: Vec<f64>| {
        ScoreHistogram::new(&Model::new(model.shape(), weights).unwrap(), rows).unwrap().auc().unwrap()
    };
    assert_eq!(of(vec![0.0; 4]), 0.5);
    let right = of(model.parameters().to_vec());
    let wrong = of(model.parameters().iter().map(|weight| -weight).collect());
    assert!((right + wrong - 1.0).abs() < 0.01 && right > 0.7, "{right} {wrong}");
    let nobody = ScoreHistogram { counts: vec![0; 256] };
    assert_eq!((nobody.auc(), nobody.log_loss(), nobody.calibration_error()), (None, None, None));
    assert_eq!(MeanScore { counts: [0, 0] }.mean(), None);
    assert_eq!(MeanScore { counts: [PERSON, -PERSON] }.mean(), None);
}

/// R100: noise of an affordable epsilon leaves the figures readable.
#[test]
fn noised_figures_stay_near() {
    let (model, raw, labels) = judged(20_000);
    let dataset = labelled(&raw, &labels);
    let exact = ScoreHistogram::new(&model, features_of(&dataset)).unwrap();
    let mut noised = exact.clone();
    noise::add(&mut noised.counts, 4_000, HISTOGRAM_SENSITIVITY, &seed(1)).unwrap();
    assert_ne!(noised, exact);
    assert!((noised.auc().unwrap() - exact.auc().unwrap()).abs() < 0.02);
    assert!((noised.log_loss().unwrap() - exact.log_loss().unwrap()).abs() < 0.1);
    let mean = MeanScore { counts: [700 * PERSON, 1_000 * PERSON] };
    let mut noised = mean.clone();
    noise::add(&mut noised.counts, 4_000, MEAN_SENSITIVITY, &seed(2)).unwrap();
    assert!((noised.mean().unwrap() - 0.7).abs() < 0.05 && noised != mean);
    // The sensitivity of a mean is at least the norm of one person at most.
    assert!(u64::from(MEAN_SENSITIVITY).pow(2) >= 2 * PERSON.unsigned_abs().pow(2));
}

/// R100: by hand.
#[test]
fn silhouette_and_recall_are_what_they_say() {
    let shape = Shape::Clusters { features: 1, clusters: 3 };
    let model = Model::new(shape, vec![0.0, 4.0, 100.0]).unwrap();
    let rows = Features::new(&plain_scales(1), &[1.0, 4.0, 2.0], None).unwrap();
    // 1 is 1 from its centre and 3 from the next; 4 lies on its centre; 2 is between two.
    let mean = MeanScore::silhouette(&model, &rows).unwrap().mean().unwrap();
    assert!((mean - (2.0 / 3.0 + 1.0 + 0.0) / 3.0).abs() < 1e-5, "{mean}");

    let shape = Shape::Affinity { items: 4, rank: 1 };
    let model = Model::new(shape, vec![1.0, 0.9, 0.8, 0.1]).unwrap();
    let list =
        |items: &[u32]| items.iter().map(|item| Listed { item: *item, value: 1.0 }).collect::<Vec<_>>();
    let given = Baskets::new(4, &[list(&[0]), list(&[0]), list(&[0])]).unwrap();
    let held = Baskets::new(4, &[list(&[1, 2]), list(&[3]), list(&[])]).unwrap();
    let recall =
        |best| MeanScore::recall(&model, &Settings::PLAIN, (&given, &held), best).unwrap().mean().unwrap();
    // Of the others, 1 and 2 come first: all of the first person, nothing of the second; the third does not count.
    assert_eq!(recall(2), 0.5);
    assert_eq!(recall(1), 0.5);
    assert_eq!(recall(3), 1.0);
    assert!(MeanScore::recall(&model, &Settings::PLAIN, (&given, &held), 0).is_err());
    let more = Baskets::new(5, &[list(&[4]), list(&[4]), list(&[4])]).unwrap();
    assert!(MeanScore::recall(&model, &Settings::PLAIN, (&more, &more), 1).is_err());
    let other = Model::new(Shape::Logistic { features: 3 }, vec![0.0; 4]).unwrap();
    assert!(MeanScore::recall(&other, &Settings::PLAIN, (&given, &held), 1).is_err());
}

/// R100
#[test]
fn systems_are_solved_and_singular_ones_refused() {
    let mut matrix = [4.0, 0.0, 0.0, 2.0, 5.0, 0.0, -2.0, 1.0, 6.0];
    let mut right = [4.0 + 4.0 - 6.0, 2.0 + 10.0 + 3.0, -2.0 + 2.0 + 18.0];
    assert!(numbers::solve(&mut matrix, &mut right));
    for (found, expected) in right.iter().zip([1.0, 2.0, 3.0]) {
        assert!((found - expected).abs() < 1e-12, "{right:?}");
    }
    assert!(!numbers::solve(&mut [1.0, 0.0, 1.0, 1.0], &mut [1.0, 1.0]));
    assert!(!numbers::solve(&mut [f64::NAN], &mut [1.0]));
}
