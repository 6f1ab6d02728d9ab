//! Times of several sides, memory of this process, and files that are cold again.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Times of one question, by side in the order in which they came.
pub(crate) struct Times {
    pub(crate) title: &'static str,
    order: Vec<&'static str>,
    sides: BTreeMap<&'static str, Vec<Duration>>,
}

impl Times {
    pub(crate) fn new(title: &'static str) -> Self {
        Self { title, order: Vec::new(), sides: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, side: &'static str, took: Duration) {
        if !self.order.contains(&side) {
            self.order.push(side);
        }
        self.sides.entry(side).or_default().push(took);
    }

    /// Least and median. **Units**: milliseconds.
    pub(crate) fn of(&self, side: &str) -> Option<(f64, f64)> {
        let mut times = self.sides.get(side)?.clone();
        times.sort_unstable();
        let millis = |time: &Duration| time.as_secs_f64() * 1e3;
        Some((millis(times.first()?), millis(times.get(times.len() / 2)?)))
    }
}

/// One table a question; the quotient is of the medians, to DuckDB naked over the same layout.
pub(crate) fn print_times(table: &[Times]) {
    for times in table {
        println!("\n### {}\n", times.title);
        println!("| side | least, ms | median, ms | to DuckDB naked |");
        println!("|---|---:|---:|---:|");
        for side in &times.order {
            let Some((least, median)) = times.of(side) else { continue };
            let naked = if side.ends_with("cold") { "DuckDB naked, cold" } else { "DuckDB naked" };
            let quotient =
                times.of(naked).map_or("-".to_owned(), |(_, naked)| format!("{:.2}", median / naked));
            println!("| {side} | {least:.1} | {median:.1} | {quotient} |");
        }
    }
}

/// The most memory that this process has held since [`forget_peak`].
pub(crate) fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// Begins counting the peak anew, where the kernel lets.
pub(crate) fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Has the kernel let go of all files below a folder.
pub(crate) fn forget_files(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            forget_files(&path);
        } else {
            // Without this the kernel keeps what is not on the disk yet.
            let _ = File::open(&path).and_then(|file| file.sync_all());
            let mut forget = Command::new("dd");
            forget.arg(format!("if={}", path.display())).args(["iflag=nocache", "count=0", "status=none"]);
            let _ = forget.status();
        }
    }
}
