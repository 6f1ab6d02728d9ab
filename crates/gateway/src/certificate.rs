//! The public certificate: read again when its files change, so that it is replaced without downtime (R206). What does
//! not fit is refused in the log, and the former one stays in use.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use symphony_types::digest::Digest;
use symphony_wire::tls::{pair, seen};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::config::GatewayConfig;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The certificate of the public listener as its files have it.
pub(crate) struct PublicCertificate {
    chain: PathBuf,
    key: PathBuf,
    pair: Arc<CertifiedKey>,
    tried: Vec<Option<Digest>>,
    looks: Interval,
}

impl PublicCertificate {
    /// Reads the files. **Errors**: they are unreadable or do not fit.
    pub(crate) fn open(config: &GatewayConfig) -> anyhow::Result<Self> {
        let (chain, key) = (config.certificate.clone(), config.certificate_key.clone());
        let tried = seen(&[&chain, &key])?;
        let pair = pair(&chain, &key, &aws_lc_rs::default_provider())
            .with_context(|| format!("reading {} and {}", chain.display(), key.display()))?;
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { chain, key, pair, tried, looks })
    }

    /// What connections are accepted with. **Errors**: the provider has no version in common with itself.
    pub(crate) fn tls(&self) -> anyhow::Result<RustlsConfig> {
        let mut server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.pair.clone())));
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(RustlsConfig::from_config(Arc::new(server)))
    }

    /// Waits until the files hold another certificate that can be used.
    pub(crate) async fn changed(&mut self) {
        loop {
            self.looks.tick().await;
            match seen(&[&self.chain, &self.key]) {
                Ok(found) if found == self.tried => continue,
                Ok(found) => self.tried = found,
                Err(error) => {
                    tracing::warn!(%error, "the public certificate cannot be read");
                    continue;
                }
            }
            match pair(&self.chain, &self.key, &aws_lc_rs::default_provider()) {
                Ok(pair) if pair.cert == self.pair.cert => {}
                Ok(pair) => {
                    self.pair = pair;
                    tracing::info!("a new public certificate is in use");
                    return;
                }
                Err(error) => tracing::warn!(%error, "the former public certificate stays in use"),
            }
        }
    }
}
