//! Log output of a node: fields, not sentences; never records, consent or subjects (R226).

use tracing_subscriber::EnvFilter;

/// Sets up the log of this process on standard error: `SYMPHONY_LOG` is a filter, `info` when absent.
pub(crate) fn init() {
    let filter = EnvFilter::try_from_env("SYMPHONY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
}
