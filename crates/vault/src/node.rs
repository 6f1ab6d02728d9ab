//! Runs a Vault: opens it, starts its enclave, serves masters, and frees reservations that ran out (R199).
//!
//! A killed node loses nothing: everything that was answered is in the journal's transactions.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use symphony_consensus::orderer::Clock;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::log::LogUpdate;
use symphony_reader::host::{Config as ReaderConfig, Reader};
use symphony_standby::place::Place;
use symphony_tee::boot::Identity;
use symphony_tee::machine::EnclaveMachine;
use symphony_tee::report::EnclaveRole;
use symphony_types::id::{ActorId, AttributeName, NodeId, VaultId};
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_types::time::OrderedMillis;
use symphony_wire::tls::{self, Credentials, NodeRole};
use symphony_wire::v1::vault_node_server::VaultNodeServer;
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::agent::{Agent, AgentConfig};
use crate::enterprise::{Enterprise, Keeping, Quota};
use crate::rpc::Door;

/// How a Vault's node runs. What the protocol does is governance, not this.
pub struct VaultConfig {
    /// The Vault.
    pub vault: VaultId,
    /// The node's name in its certificate.
    pub node: NodeId,
    /// The network's name.
    pub network: String,
    /// Keys, database and enclave keys are here, and in its standby.
    pub place: Place,
    /// Where masters connect; bound by the caller.
    pub listener: std::net::TcpListener,
    /// The node's certificate.
    pub credentials: Credentials,
    /// The measured enclave program.
    pub enclave_program: PathBuf,
    /// The program that reads receipts.
    pub reader_program: PathBuf,
    /// The machine under the enclave.
    pub machine: EnclaveMachine,
    /// Enclaves that share the segments of a slice.
    pub executors: usize,
    /// What governs, as the network was founded.
    pub governance: Governance,
    /// The log that the council admitted this Vault in, where the network was founded without it.
    pub log: Option<LogUpdate>,
    /// What the Vault takes at most (R080).
    pub quota: Quota,
    /// Columns that nothing is reported of.
    pub withheld: BTreeSet<AttributeName>,
    /// How secrets and segments are kept.
    pub keeping: Keeping,
}

/// Runs until `shutdown`. **Errors**: what the node cannot start or go on without.
pub async fn run(config: VaultConfig, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let VaultConfig { vault, node, network, place, listener, credentials, governance, .. } = config;
    if config.keeping.custody.bare() {
        if !governance.software_admitted() {
            bail!(
                "the vault's secrets are bare files, and this network's policy is not for development: seal them under a \
                 passphrase with `symphonyd seal`"
            );
        }
        tracing::warn!(vault = %vault, "the vault's secrets are bare files: development only");
    }
    let log = config.log;
    let (program, machine, folder) = (config.enclave_program, config.machine, place.folder().to_owned());
    let executors = config.executors;
    let (quota, keeping, withheld) = (config.quota, config.keeping, config.withheld);
    let reader = Reader::start(ReaderConfig::new(config.reader_program)).context("measuring the reader")?;
    for missing in reader.missing() {
        tracing::warn!(vault = %vault, "receipts are kept and cannot be read: {missing}");
    }
    let opened = tokio::task::spawn_blocking(move || -> anyhow::Result<(Enterprise, Agent)> {
        let enterprise =
            Enterprise::kept(place, vault, (&network, governance), clock(), quota, reader, keeping)?
                .withholding(withheld);
        let actor = enterprise.registered(log.as_ref())?;
        let identity = Identity { chain: network, node, actor, role: EnclaveRole::Slice };
        let modules = enterprise.approved_modules()?;
        let config = AgentConfig { program, identity, machine, folder, modules, executors };
        Ok((enterprise, Agent::start(config).context("starting the slice enclave")?))
    });
    let (enterprise, agent) = opened.await??;
    enterprise.adopt_versions().await.context("taking the versions that the council adopted")?;
    let (enterprise, agent) = (Arc::new(enterprise), Arc::new(agent));
    let door = VaultNodeServer::new(Door::new(Arc::clone(&enterprise), agent))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let masters: tls::Approve = Arc::new(|peer| peer.role == NodeRole::Master);
    let serving = tls::serve(listener, credentials, masters, Routes::new(door), shutdown);
    tracing::info!(vault = %enterprise.vault, "vault.serve");
    tokio::select! {
        served = serving => Ok(served?),
        failed = enterprise.failed() => failed.context("the vault's journal"),
        () = expire(&enterprise) => Ok(()),
        () = back_up(&enterprise) => Ok(()),
        () = retain(&enterprise) => Ok(()),
    }
}

impl Enterprise {
    /// Whom the Vault's enclave computes as by governance, which knows the Vault's keys; `log` is followed first. **Errors**: it does
    /// not verify, or governance does not know the Vault, or by other keys.
    fn registered(&self, log: Option<&LogUpdate>) -> anyhow::Result<ActorId> {
        if let Some(log) = log {
            self.follow(log).context("following the governance log that the node was given")?;
        }
        let followed = self.followed();
        let Some(record) = followed.governance().registry.vaults.get(&self.vault) else {
            bail!("governance does not know vault {}", self.vault);
        };
        if (record.key, record.sealing_key.as_slice())
            != (self.keys.signing.public(), self.keys.sealing.public().as_slice())
        {
            bail!("governance has other keys for this vault than its folder");
        }
        Ok(record.executor.clone())
    }
}

/// Frees reservations that ran out, for ever.
async fn expire(enterprise: &Enterprise) {
    let mut ticks = tokio::time::interval(EXPIRE_EVERY);
    loop {
        ticks.tick().await;
        if let Err(problem) = enterprise.expire().await {
            tracing::warn!(%problem, "reservations could not be freed");
        }
    }
}

/// Takes a backup whenever the standby's log has grown long, for ever.
async fn back_up(enterprise: &Enterprise) {
    let mut ticks = tokio::time::interval(BACK_UP_EVERY);
    loop {
        ticks.tick().await;
        if let Err(problem) = enterprise.back_up_when_due().await {
            tracing::error!(%problem, "a backup that is due cannot be taken");
        }
    }
}

/// Ends what was kept for its time, for ever.
async fn retain(enterprise: &Enterprise) {
    let mut ticks = tokio::time::interval(RETAIN_EVERY);
    loop {
        ticks.tick().await;
        if let Err(problem) = enterprise.retain().await {
            tracing::error!(%problem, "records that were kept for their time cannot end yet");
        }
    }
}

/// The node's own clock; the journal keeps it from running backwards.
pub fn clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        OrderedMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    })
}

const BACK_UP_EVERY: Duration = Duration::from_secs(60);
const RETAIN_EVERY: Duration = Duration::from_secs(600);
const EXPIRE_EVERY: Duration = Duration::from_secs(5);
/// A sealed message with its frame.
const MESSAGE_BYTES_MAX: usize = SEALED_BYTES_MAX + (1 << 20);
