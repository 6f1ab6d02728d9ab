//! Clipping, sampling, adding up and noise: what the accountant assumes.

use proptest::prelude::*;
use symphony_protocol::governance::accountant::{Delta, Release};

use super::aggregate::StreamingSum;
use super::grid::{CLIP_UNITS, Clipper, Contribution};
use super::*;

fn square(sums: &[i64]) -> u128 {
    sums.iter().map(|sum| u128::from(sum.unsigned_abs()).pow(2)).sum()
}

proptest! {
    /// R098: nobody contributes more than the clipping norm, exactly; who is below it contributes what it is.
    #[test]
    fn nobody_contributes_more_than_the_clipping_norm(
        values in proptest::collection::vec(-1.0_f64..1.0, 1..200),
        power in -12_i32..12,
        clip in 0.001_f64..100.0,
    ) {
        let values: Vec<f64> = values.iter().map(|value| value * 10.0_f64.powi(power)).collect();
        let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let mut contribution = Contribution::default();
        contribution.block(0, values.iter().copied());
        let mut sums = vec![0; values.len()];
        Clipper::new(clip, values.len()).add(&contribution, &mut sums).unwrap();
        prop_assert!(square(&sums) <= u128::from(CLIP_UNITS.unsigned_abs()).pow(2));
        let factor = CLIP_UNITS as f64 / norm.max(clip);
        for (sum, value) in sums.iter().zip(&values) {
            // Half a unit of rounding, and the reserve for it.
            prop_assert!((*sum as f64 - value * factor).abs() < 12.0, "{sum} {value}");
        }
    }

    /// R099: any order of Vaults and any chunks give one sum.
    #[test]
    fn sums_do_not_depend_on_order_or_chunks(
        updates in proptest::collection::vec(proptest::collection::vec(-1000_i64..1000, 12), 1..6),
        size in 1_usize..13,
    ) {
        let updates: Vec<Update> = updates.into_iter().map(|sums| Update { subjects: 3, sums }).collect();
        let totals = gather(&updates, 12);
        let turned: Vec<Update> = updates.iter().rev().cloned().collect();
        prop_assert_eq!(&totals, &gather(&turned, size));
        let plain: Vec<i64> = (0..12).map(|at| updates.iter().map(|update| update.sums[at]).sum()).collect();
        prop_assert_eq!(totals.sums, plain);
    }
}

/// R099: chunks of several Vaults come mixed; `vectors/federated_average.json`.
#[test]
fn federated_average_weighs_vaults_by_their_people() {
    let vector = vector("federated_average.json");
    let numbers = |value: &Value| -> Vec<i64> {
        value.as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect()
    };
    let updates: Vec<Vec<i64>> = vector["quantised"].as_array().unwrap().iter().map(numbers).collect();
    let people = numbers(&vector["examples"]);
    let mut sum = StreamingSum::federated_average(3, 1 << 20);
    let vaults: Vec<VaultId> = (0..3).map(|at| vault(&format!("vault-{at}"))).collect();
    for (vault, people) in vaults.iter().zip(&people) {
        sum.begin(vault, u32::try_from(*people).unwrap()).unwrap();
    }
    for at in 0..3 {
        for (vault, update) in vaults.iter().zip(&updates) {
            sum.chunk(vault, &update[at..=at]).unwrap();
        }
    }
    vaults.iter().for_each(|vault| sum.end(vault).unwrap());
    let totals = sum.finish().unwrap();
    assert_eq!(totals.sums, numbers(&vector["weighted_sum_int"]));
    assert_eq!(totals.subjects, vector["total"].as_u64().unwrap());
    let average: Vec<f64> =
        vector["average"].as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect();
    assert_eq!(totals.average(vector["scale"].as_f64().unwrap()), average);
}

/// R099: 64 Vaults take no more memory than one.
#[test]
fn aggregation_holds_one_model_whatever_the_number_of_vaults() {
    let coordinates = 100_000;
    let chunk = vec![1; 1_000];
    let mut sum = StreamingSum::secure_sum(coordinates);
    for at in 0..64 {
        let vault = vault(&format!("vault-{at}"));
        sum.begin(&vault, 1_000_000).unwrap();
        for _ in 0..coordinates / chunk.len() {
            sum.chunk(&vault, &chunk).unwrap();
        }
        sum.end(&vault).unwrap();
        assert!(sum.bytes_held() * 10 <= coordinates * 8 * 12);
    }
    assert_eq!(sum.finish().unwrap().sums, vec![64; coordinates]);
}

/// R098: every person is drawn with the chance that the accountant was told, by itself.
#[test]
fn a_sample_takes_each_person_with_its_chance() {
    let rows = 20_000;
    // The gradient at the beginning is half of the features; one feature of one counts the people drawn.
    let raw = vec![1.0; rows];
    let dataset = labelled(&raw, &vec![false; rows]);
    let model = Model::initial(Shape::Logistic { features: 1 }, &seed(0)).unwrap();
    let drawn = |rate, number| {
        let sampling = Sampling { rate, seed: seed(number) };
        let sums = update(&model, &Settings::PLAIN, &dataset, &sampling).unwrap().sums;
        (sums[0] as f64 / (0.5 * CLIP_UNITS as f64)).round() as i64
    };
    assert_eq!(drawn(ALL, 1), rows as i64);
    assert_ne!(drawn(ALL / 10, 1), drawn(ALL / 10, 2));
    assert_eq!(drawn(ALL / 10, 1), drawn(ALL / 10, 1));
    // Twenty samples: 40,000 people expected, standard deviation 190.
    let total: i64 = (0..20).map(|number| drawn(ALL / 10, number)).sum();
    assert!((39_050..40_950).contains(&total), "{total}");
    assert_eq!(drawn(1, 3), 0);
}

/// R098, D10: the variance of 1,000 releases is what the accountant assumed, and the same seed repeats a release.
#[test]
fn the_noise_is_as_wide_as_the_accountant_assumed() {
    let (runs, coordinates) = (1_000, 3);
    let noise_milli = 1_500;
    let expected = 1.5 * CLIP_UNITS as f64;
    let draw = |number: u64| {
        let mut sums = vec![0; coordinates];
        noise::add(&mut sums, noise_milli, 1 << 30, &seed(number)).unwrap();
        sums
    };
    let draws: Vec<f64> = (0..runs).flat_map(draw).map(|sum| sum as f64 / expected).collect();
    let count = draws.len() as f64;
    let mean = draws.iter().sum::<f64>() / count;
    let variance = draws.iter().map(|draw| draw * draw).sum::<f64>() / count;
    let fourth = draws.iter().map(|draw| draw.powi(4)).sum::<f64>() / count;
    // Three standard errors of 3,000 draws: 0.055, 0.078, and a fourth moment of 3 within 0.54.
    assert!(mean.abs() < 0.055, "{mean}");
    assert!((variance - 1.0).abs() < 0.078, "{variance}");
    assert!((fourth - 3.0).abs() < 0.54, "{fourth}");
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    // The same multiplier goes into the accountant: one release of it costs what the exact Gaussian says.
    let release = Release { sampling: ALL, noise: noise_milli };
    let loss = release.loss(1, Delta(10_000_000)).unwrap();
    let privacy = |epsilon: f64| {
        let tail = |x: f64| libm::erfc(x / std::f64::consts::SQRT_2) / 2.0;
        let mu = 1.0 / 1.5;
        tail(epsilon / mu - mu / 2.0) - libm::exp(epsilon) * tail(epsilon / mu + mu / 2.0)
    };
    let micro = |loss: u64| loss as f64 / 1e6;
    assert!(privacy(micro(loss.0)) <= 1.0000001e-5 && privacy(micro(loss.0 - 2)) > 1e-5);
}

/// R098: who guesses from the noised sum whether somebody took part is right as often as the noise allows: hardly
/// more than half of the times at an epsilon of 0.16, always without enough noise.
#[test]
fn a_planted_person_cannot_be_told_from_the_noised_sum() {
    let (mut raw, mut labels) = people(200, 3, 10, |row| row[0]);
    let model = Model::initial(Shape::Logistic { features: 3 }, &seed(0)).unwrap();
    let sum = |raw: &[f64], labels: &[bool]| {
        update(&model, &Settings::PLAIN, &labelled(raw, labels), &everybody()).unwrap().sums
    };
    let without = sum(&raw, &labels);
    // Far out, so that clipping is what holds the person.
    raw.extend([8.0, -8.0, 8.0]);
    labels.push(true);
    let with = sum(&raw, &labels);
    let planted: Vec<i64> = with.iter().zip(&without).map(|(with, without)| with - without).collect();
    assert!(square(&planted) > u128::from(CLIP_UNITS.unsigned_abs()).pow(2) * 99 / 100);
    let right = |noise: u32| {
        let guesses = (0..2_000_u64).filter(|number| {
            let there = number % 2 == 0;
            let mut sums = if there { with.clone() } else { without.clone() };
            noise::add(&mut sums, noise, 1 << 30, &seed(*number)).unwrap();
            // The best guess that there is: along the person's own contribution, beyond half of its length.
            let along: f64 = sums
                .iter()
                .zip(&without)
                .zip(&planted)
                .map(|((sum, at), one)| (sum - at) as f64 * *one as f64)
                .sum();
            (along > square(&planted) as f64 / 2.0) == there
        });
        guesses.count()
    };
    // Half and one part in a hundred of 2,000, with three standard deviations of 22.
    assert!((953..1_087).contains(&right(20_000)), "{}", right(20_000));
    assert_eq!(right(100), 2_000);
}

/// R097: noise is added to what is there.
#[test]
fn noise_is_added_to_the_sum() {
    let far = 1_i64 << 50;
    let mut sums = vec![far; 600];
    noise::add(&mut sums, 100, 1 << 20, &seed(1)).unwrap();
    // Six standard deviations of a tenth of 2^20.
    assert!(sums.iter().all(|sum| (sum - far).abs() < 6 * 104_858));
    let distinct: std::collections::BTreeSet<_> = sums.iter().collect();
    assert!(distinct.len() > 590, "{}", distinct.len());
}
