//! How well and at what cost receipts are read: exact matches, calibration, cost beside Tesseract's command line,
//! throughput, memory (R083, R085).
//!
//! Real receipts are taken from `SYMPHONY_DATA_DIR` or `../shared/data` beside the project; where they are absent, drawn
//! ones stand in. Misses are shown for the receipts at even places of the sorted list only. The
//! other half is not untouched: the first words and settings were chosen with all of them in view.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a benchmark panics

mod score;
mod source;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use symphony_reader::host::{Config, ReadError, Reader};
use symphony_reader::protocol::Reading;

use score::Score;
use source::Sample;

fn main() {
    let reader = Reader::start(Config::new(env!("CARGO_BIN_EXE_symphony-reader").into())).unwrap();
    let missing = reader.missing();
    assert!(missing.is_empty(), "{}", missing.join("; "));
    let shows_misses = std::env::args().any(|arg| arg == "misses");
    let samples = source::samples();
    println!("{} receipts; misses are shown of every second one only", samples.len());
    let mut costs = Costs::default();
    let mut prepared = Score::new("with preparation");
    let mut plain = Score::new("plain recognition, same extraction");
    let mut looks = 0;
    for (index, sample) in samples.iter().enumerate() {
        // One after the other on the same picture: what else the machine does falls on all alike.
        costs.tesseract.add(|| tesseract(sample));
        let read = costs.reader.add(|| reader.read(&sample.bytes));
        let baseline = costs.plain.add(|| reader.read_plain(&sample.bytes));
        looks += read.as_ref().map_or(0, |read| usize::from(read.looks));
        prepared.add(index, sample, &read, shows_misses);
        plain.add(index, sample, &baseline, false);
    }
    println!("\nexact matches in percent");
    println!("{:38} {:>8} {:>8} {:>8} {:>8}", "", "company", "date", "total", "n");
    prepared.print();
    plain.print();
    prepared.print_calibration();
    let per = |spent: &Spent| spent.cpu.as_secs_f64() * 1e3 / samples.len() as f64;
    println!("\ncost, one at a time              ms of processor   ms of wall clock   a receipt");
    for (name, spent) in [
        ("tesseract picture stdout", &costs.tesseract),
        ("reader", &costs.reader),
        ("reader, plain", &costs.plain),
    ] {
        println!(
            "{name:30} {:15.0} {:18.0}",
            per(spent),
            spent.wall.as_secs_f64() * 1e3 / samples.len() as f64
        );
    }
    println!(
        "the reader costs {:.2} times tesseract's processor time, {:.2} times its wall clock; {:.2} looks a receipt",
        per(&costs.reader) / per(&costs.tesseract),
        costs.reader.wall.as_secs_f64() / costs.tesseract.wall.as_secs_f64(),
        looks as f64 / samples.len() as f64
    );
    throughput(&reader, &samples);
    let peak = usage().max_rss();
    println!("the largest process of all had {:.0} MB", peak as f64 / 1024.0);
}

#[derive(Default)]
struct Costs {
    tesseract: Spent,
    reader: Spent,
    plain: Spent,
}

#[derive(Default)]
struct Spent {
    cpu: Duration,
    wall: Duration,
}

impl Spent {
    /// Runs something and adds what its processes spent.
    fn add<T>(&mut self, run: impl FnOnce() -> T) -> T {
        let (before, start) = (cpu(), Instant::now());
        let result = run();
        self.cpu += cpu() - before;
        self.wall += start.elapsed();
        result
    }
}

fn usage() -> Usage {
    getrusage(UsageWho::RUSAGE_CHILDREN).unwrap()
}

fn cpu() -> Duration {
    let usage = usage();
    let micros = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec().unsigned_abs(), u32::try_from(time.tv_usec()).unwrap() * 1_000)
    };
    micros(usage.user_time()) + micros(usage.system_time())
}

/// The command line that the cost is compared with.
fn tesseract(sample: &Sample) {
    let status = Command::new("/usr/bin/tesseract")
        .arg(&sample.file)
        .arg("stdout")
        .env("OMP_THREAD_LIMIT", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success(), "tesseract fails on {}", sample.file.display());
}

/// One caller per core, as in a Vault.
fn throughput(reader: &Reader, samples: &[Sample]) {
    let cores = std::thread::available_parallelism().unwrap().get();
    let next = AtomicUsize::new(0);
    let (before, start) = (cpu(), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(sample) = samples.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let _: Result<Reading, ReadError> = reader.read(&sample.bytes);
                }
            });
        }
    });
    let (wall, busy) = (start.elapsed().as_secs_f64(), (cpu() - before).as_secs_f64());
    println!(
        "{:.1} receipts a second on {cores} cores, of which {:.2} were busy",
        samples.len() as f64 / wall,
        busy / wall
    );
}
