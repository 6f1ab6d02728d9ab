//! Measures two pieces of work in alternating pairs of one run and prints a table; all benchmarks share it.
//!
//! A ratio of two times out of one run says more than a time: a busy or slow machine slows both sides.

use std::hint::black_box;
use std::time::Instant;

/// Nanoseconds that `work` takes for each of its `units`.
pub(crate) fn per_unit<T>(units: usize, work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_nanos() as f64 / units as f64
}

/// A finished comparison, in nanoseconds a unit.
pub(crate) struct Row {
    what: String,
    against: String,
    measured: f64,
    baseline: f64,
    speed: f64,
    slowest: f64,
    fastest: f64,
}

/// Runs both sides `count` times, each first in every second pair, and keeps the medians. Both return
/// nanoseconds a unit.
pub(crate) fn compare(
    (what, mut measured): (&str, impl FnMut() -> f64),
    (against, mut baseline): (&str, impl FnMut() -> f64),
    count: usize,
) -> Row {
    let (mut ours, mut theirs, mut speeds) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..count {
        let (our, their) = if pair % 2 == 0 {
            let their = baseline();
            (measured(), their)
        } else {
            (measured(), baseline())
        };
        ours.push(our);
        theirs.push(their);
        speeds.push(their / our);
    }
    speeds.sort_by(f64::total_cmp);
    Row {
        what: what.into(),
        against: against.into(),
        measured: median(ours),
        baseline: median(theirs),
        speed: speeds[count / 2],
        slowest: speeds[0],
        fastest: speeds[count - 1],
    }
}

/// Prints the comparisons of one unit of work. *Speed* is the baseline's time by the measured time, the median
/// of the pairs: above one is faster than the baseline. *Range* has the slowest and the fastest pair; a wide one
/// says that the machine was busy.
pub(crate) fn print(title: &str, unit: &str, rows: &[Row]) {
    println!("\n{title}\n");
    println!("| measured | ns/{unit} | {unit}/s | baseline | ns/{unit} | speed | range |");
    println!("|---|---:|---:|---|---:|---:|---|");
    for Row { what, against, measured, baseline, speed, slowest, fastest } in rows {
        let rate = 1e9 / measured;
        print!("| {what} | {measured:.1} | {rate:.0} | {against} | {baseline:.1} ");
        println!("| {speed:.2} | {slowest:.2} to {fastest:.2} |");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
