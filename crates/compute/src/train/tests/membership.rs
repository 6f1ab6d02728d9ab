//! What a release tells of one person, asked by somebody who knows everything else (R098).

use symphony_protocol::artifact::training::Local;
use symphony_protocol::governance::accountant::{Delta, Release};

use super::*;
use crate::train::grid::CLIP_UNITS;
use crate::train::local::{self, Walk};

const ROUNDS: u32 = 4;
const TRIALS: u64 = 600;

/// How often the best guess is right whether a planted person took part in a training of `ROUNDS` rounds. Whoever guesses
/// knows all others, every noised sum, and what the planted person would have added to each.
fn guessed(noise: u32, local: Option<Local>) -> f64 {
    let (raw, labels) = people(60, 3, 5, |row| row[0] - row[1]);
    let without = labelled(&raw, &labels);
    // As far from the others as the bounds allow, with the label that surprises.
    let (mut raw, mut labels) = (raw, labels);
    raw.extend([-8.0, 8.0, -8.0]);
    labels.push(true);
    let with = labelled(&raw, &labels);
    let settings = Settings { clip: 1_000, learning_rate: 1_000_000, ..Settings::PLAIN };
    let stepped = local.map_or(settings, |local| local.of_round(&settings));
    let sums = |learner: &Learner, dataset: &Dataset| {
        let Some(local) = &local else {
            return update(learner.model(), &settings, dataset, &everybody()).unwrap().sums;
        };
        let walk = Walk { local, settings: &settings, weight: 60, trained: 1_000 };
        let average = local::update(learner.model(), &walk, dataset, &everybody()).unwrap().sums;
        average.iter().map(|one| one * 60).collect()
    };
    let right = (0..TRIALS).filter(|trial| {
        let member = trial % 2 == 0;
        let initial = Model::initial(Shape::Logistic { features: 3 }, &seed(3)).unwrap();
        let mut learner = Learner::new(initial);
        let mut told = 0.0;
        for round in 0..ROUNDS {
            let (others, all) = (sums(&learner, &without), sums(&learner, &with));
            let mut released = if member { all.clone() } else { others.clone() };
            noise::add(&mut released, noise, CLIP_UNITS as u32, &seed(trial * 100 + u64::from(round)))
                .unwrap();
            let planted = all.iter().zip(&others).map(|(all, others)| (all - others) as f64);
            let beyond = released.iter().zip(&others).map(|(one, others)| (one - others) as f64);
            let (dot, square) = planted
                .zip(beyond)
                .fold((0.0, 0.0), |(dot, square), (own, seen)| (dot + own * seen, square + own * own));
            told += dot / square;
            learner.step(&stepped, &released, Cohort { subjects: 60, rate: ALL }).unwrap();
        }
        (told > f64::from(ROUNDS) / 2.0) == member
    });
    right.count() as f64 / TRIALS as f64
}

/// R098: the best guess stays within what the claimed epsilon allows; at a small epsilon it is a coin, and where there is
/// hardly any noise it is right, so the test would notice noise that is missing.
#[test]
fn membership_stays_at_chance_for_the_claimed_epsilon() {
    // Three standard deviations of 600 tosses.
    const DOUBT: f64 = 0.062;
    let steps = Local { steps: 6, rate: 900_000, norm: 2_000 };
    for (noise, coin, local) in
        [(40_000, true, None), (8_000, false, None), (40_000, true, Some(steps)), (8_000, false, Some(steps))]
    {
        let release = Release { sampling: ALL, noise };
        let loss = release.loss(ROUNDS, Delta(10_000_000)).unwrap().0 as f64 / 1e6;
        let most = loss.exp() / (1.0 + loss.exp()) + 1e-5;
        let right = guessed(noise, local);
        assert!(
            right <= most + DOUBT,
            "noise {noise}, {local:?}: {right} right, epsilon {loss} allows {most}"
        );
        assert!(!coin || (right - 0.5).abs() < 0.02 + DOUBT, "noise {noise}: {right}");
    }
    assert!(guessed(500, None) > 0.9 && guessed(500, Some(steps)) > 0.9);
}
