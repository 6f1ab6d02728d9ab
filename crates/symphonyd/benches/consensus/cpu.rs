//! The processor time that processes have used, threads that ended included, as the kernel counts it.

use std::fs;
use std::time::Duration;

/// The processor time of living processes, user and system together.
pub(crate) fn used(processes: &[u32]) -> Duration {
    processes.iter().filter_map(|process| of(*process)).sum()
}

/// The processor time of this process.
pub(crate) fn own() -> Duration {
    used(&[std::process::id()])
}

/// `None` for a process that is gone.
fn of(process: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name may hold anything; after it come plain fields, the third of the file first.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = [USER, SYSTEM].iter().filter_map(|field| fields.get(*field)?.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks * TICK_MS))
}

/// Of `/proc/<process>/stat`, counted from its third field.
const USER: usize = 11;
const SYSTEM: usize = 12;
/// The kernel's unit of time for programs is a hundredth of a second everywhere.
const TICK_MS: u64 = 10;
