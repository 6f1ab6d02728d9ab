//! The reading process from outside: what it reads, what it refuses, and that nothing is left of it (R082-R084).
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test panics

mod hostile;
mod reads;
mod refuses;

use symphony_reader::host::{Config, Reader};

/// A reader with the machine's programs.
///
/// # Panics
///
/// Says what to install if a program is missing.
fn reader() -> Reader {
    with(|_| ())
}

fn with(change: impl FnOnce(&mut Config)) -> Reader {
    let mut config = Config::new(env!("CARGO_BIN_EXE_symphony-reader").into());
    let installed = Reader::start(config.clone()).unwrap();
    assert!(
        installed.missing().is_empty(),
        "this test needs foreign programs: {}",
        installed.missing().join("; ")
    );
    change(&mut config);
    Reader::start(config).unwrap()
}
