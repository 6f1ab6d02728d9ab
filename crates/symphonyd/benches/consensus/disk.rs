//! What the machine allows: its cores, what else runs on it, and how long its drive takes to make bytes durable.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::load::percentile;

/// Times appending and `sync_data`, and says what follows from it.
pub(crate) fn print(folder: &Path) -> Result<()> {
    let folder = tempfile::tempdir_in(folder).context("the folder is not writable")?;
    let mut file = File::create(folder.path().join("plain"))?;
    let row = vec![7; ROW_BYTES];
    let mut took = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let start = Instant::now();
        file.write_all(&row)?;
        file.sync_data()?;
        took.push(u64::try_from(start.elapsed().as_micros())?);
    }
    took.sort_unstable();
    let (median, tail) = (percentile(&took, 50.0), percentile(&took, 99.0));
    let cores = std::thread::available_parallelism()?;
    // Not every kernel tells.
    let busy = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("the machine: {cores} cores, load average {}", busy.split(' ').next().unwrap_or("unknown"));
    println!("the drive: {ROW_BYTES} bytes appended and synced in {median} us (p50), {tail} us (p99)");
    println!("the limit: no durable answer below {median} us; one after the other, no more than");
    println!("           {} a second; only writes that are shared go beyond", 1_000_000 / median.max(1));
    println!();
    Ok(())
}

const ROW_BYTES: usize = 4_096;
const SAMPLES: usize = 400;
