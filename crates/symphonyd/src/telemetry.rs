//! What a node tells of itself: a log of fields, not sentences, and a page of gauges; never records, consent or subjects (R226).

use std::net::SocketAddr;

use anyhow::{Context, Result};
use metrics_exporter_prometheus::PrometheusBuilder;
use symphony_consensus::quorum;
use tracing_subscriber::EnvFilter;

/// Sets up the log of this process on standard error: `SYMPHONY_LOG` is a filter; when absent `info`, without the
/// votes of every round.
pub(crate) fn init() {
    let filter = EnvFilter::try_from_env("SYMPHONY_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("info,{}=warn", quorum::core::ENGINE)));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Serves the gauges of this process to whoever asks, in Prometheus' text. **Errors**: the address cannot be had.
pub(crate) fn serve(address: SocketAddr) -> Result<()> {
    let page = PrometheusBuilder::new().with_http_listener(address).install();
    page.with_context(|| format!("serving metrics on {address}"))
}
