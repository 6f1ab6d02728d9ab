//! The kernel alone: one clipped pass over 100,000 people with 50 features, beside an epoch of scikit-learn.

use std::time::Instant;

use anyhow::Result;
use symphony_compute::train::Sampling;
use symphony_compute::train::dataset::{Dataset, Features, Scale};
use symphony_compute::train::model::Model;
use symphony_compute::train::round::update;
use symphony_protocol::artifact::training::{EVERYBODY, Settings, Shape};
use symphony_types::digest::Digest;

pub(crate) const PEOPLE: usize = 100_000;
pub(crate) const FEATURES: usize = 50;
const TIMES: usize = 9;

/// Prints the kernel's median on all cores and on one, and the ratios to `theirs`, in seconds.
pub(crate) fn report(theirs: f64) -> Result<()> {
    println!(
        "\none pass over {PEOPLE} people with {FEATURES} features; scikit-learn's epoch: {:.1} ms",
        theirs * 1e3
    );
    let dataset = people()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for threads in [1, cores] {
        let seconds = pass(&dataset, threads)?;
        let ratio = theirs / seconds;
        println!(
            "| clipped kernel, {threads} threads | {:.2} ms | {ratio:.1} times as fast (bound 4) |",
            seconds * 1e3
        );
    }
    Ok(())
}

/// Invented people with labels.
pub(crate) fn people() -> Result<Dataset> {
    let mut number = 1_u64;
    let mut draw = || {
        // A step of a linear congruential generator: the numbers only have to differ.
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (number >> 33) as f64 / f64::from(1_u32 << 29) - 2.0
    };
    let raw: Vec<f64> = (0..PEOPLE * FEATURES).map(|_| draw()).collect();
    let labels: Vec<bool> = raw.chunks(FEATURES).map(|row| row[0] + row[1] - row[2] > 0.0).collect();
    let scales = vec![Scale { centre: 0.0, spread: 1.0, bound: 3.0 }; FEATURES];
    Ok(Dataset::Features(Features::new(&scales, &raw, Some(&labels))?))
}

/// One pass of the kernel over them on so many threads: the median of several. **Units**: seconds.
pub(crate) fn pass(dataset: &Dataset, threads: usize) -> Result<f64> {
    let model = Model::initial(Shape::Logistic { features: FEATURES as u32 }, &Digest::ZERO)?;
    let sampling = Sampling { rate: EVERYBODY, seed: Digest::ZERO };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let mut times = Vec::new();
    for _ in 0..TIMES {
        let begin = Instant::now();
        pool.install(|| update(&model, &Settings::PLAIN, dataset, &sampling))?;
        times.push(begin.elapsed());
    }
    times.sort();
    Ok(times[TIMES / 2].as_secs_f64())
}
