//! Log output of a node: fields, not sentences; never records, consent or subjects (R226).

use symphony_consensus::quorum;
use tracing_subscriber::EnvFilter;

/// Sets up the log of this process on standard error: `SYMPHONY_LOG` is a filter; when absent `info`, without the
/// votes of every round.
pub(crate) fn init() {
    let filter = EnvFilter::try_from_env("SYMPHONY_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("info,{}=warn", quorum::core::ENGINE)));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
}
