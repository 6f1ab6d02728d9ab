//! The running master: journal, aggregator enclave, effect runners, clock, health rounds, RPC.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rand::RngExt;
use symphony_consensus::machine::Genesis;
use symphony_consensus::orderer::{OrderError, Orderer, Solo};
use symphony_consensus::replay::Verify;
use symphony_protocol::machine::{Command, Effect, Refusal, State};
use symphony_tee::boot::{Boot, Identity};
use symphony_tee::host::EnclaveProcess;
use symphony_tee::keys::PlatformSeed;
use symphony_tee::report::EnclaveRole;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::key::{Document, Master, PrivateKey, Signed};
use symphony_types::time::OrderedMillis;
use symphony_wire::tls::{self, NodeRole, Peer};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tonic::service::Routes;

use crate::blobs::Blobs;
use crate::chain::{LedgerChain, LedgerChannel};
use crate::config::MasterConfig;
use crate::machine::Protocol;
use crate::peers::Peers;
use crate::{effects, rpc};

/// How often Vaults are asked how they are.
const HEALTH_EVERY: Duration = Duration::from_secs(2);
/// The longest sleep of the clock: a new timer is seen at the latest after.
const CLOCK_TICK_MAX: Duration = Duration::from_millis(100);

/// One master.
pub struct Node {
    /// The name of the network.
    pub network: String,
    /// Orders commands and holds the state.
    pub orderer: Solo<Protocol>,
    /// The other nodes.
    pub peers: Peers,
    /// The chain.
    pub chain: LedgerChain,
    /// Bulk beside the journal.
    pub blobs: Blobs,
    /// The aggregator's enclave.
    pub aggregator: EnclaveProcess,
    /// Signs envelopes and instructions.
    key: PrivateKey<Master>,
    /// Effects that are being performed.
    pub(crate) running: Mutex<BTreeSet<Effect>>,
}

impl Node {
    /// The state after the last ordered command.
    pub fn state(&self) -> Arc<State> {
        self.orderer.state()
    }

    /// Orders a command. **Errors**: the machine's refusal; `GOV-0003` when the orderer has stopped.
    pub async fn order(&self, command: Command) -> Result<(), Refusal> {
        match self.orderer.order(command).await {
            Ok(_) => Ok(()),
            Err(OrderError::Refused(refusal)) => Err(refusal),
            Err(OrderError::Stopped) => Err(Code::Unavailable.into()),
            Err(OrderError::TooLarge) => Err(Code::BodyTooLarge.into()),
        }
    }

    /// Signs a document as this master.
    pub fn sign<T: Document>(&self, document: T) -> Signed<T, Master> {
        self.key.sign(document)
    }

    /// Calls the aggregator's enclave; an enclave that died is started again with the same keys first.
    /// **Errors**: it does not answer.
    pub fn call_aggregator(&self, request: &[u8]) -> Result<Vec<u8>> {
        match self.aggregator.call(request) {
            Ok(answer) => Ok(answer),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the aggregator enclave is started again"
                );
                self.aggregator.respawn().context("starting the aggregator enclave again")?;
                self.aggregator.call(request).context("calling the aggregator enclave")
            }
        }
    }
}

/// This node's clock; it proposes ordered time and never decides by itself.
pub fn now() -> OrderedMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    OrderedMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// 32 random bytes that nobody can have answered before.
pub(crate) fn challenge() -> [u8; 32] {
    rand::rng().random()
}

/// Runs a master until `shutdown`. **Errors**: the journal, the enclave or the listener failed.
pub async fn run(config: MasterConfig, shutdown: impl Future<Output = ()>) -> Result<()> {
    std::fs::create_dir_all(&config.folder)?;
    let genesis = Genesis { name: config.network.clone(), state: State::genesis(config.governance.clone()) };
    let orderer = Solo::open(&config.folder.join("journal.redb"), &genesis, Verify::Full, Arc::new(now))
        .context("opening the journal")?;
    let peers = Peers::new(&config.peers, &config.credentials)?;
    let chain = LedgerChain::new(LedgerChannel(peers.chain()));
    let listener = config.listener;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let identity = Identity {
        chain: config.network.clone(),
        node: config.node.clone(),
        actor: config.governance.registry.aggregator.clone(),
        role: EnclaveRole::Aggregator,
    };
    let (program, folder, seed) = (config.enclave_program, config.folder.clone(), config.platform_seed);
    let aggregator =
        tokio::task::spawn_blocking(move || start_enclave(&program, &folder, identity, seed)).await??;
    let node = Arc::new(Node {
        network: config.network,
        orderer,
        peers,
        chain,
        blobs: Blobs::open(&config.folder.join("blobs"))?,
        aggregator,
        key: config.key,
        running: Mutex::default(),
    });
    let background = [
        tokio::spawn(effects::run(Arc::clone(&node))),
        tokio::spawn(advance(Arc::clone(&node))),
        tokio::spawn(health(Arc::clone(&node))),
    ];
    let routes = Routes::new(rpc::service(Arc::clone(&node)));
    let approve = Arc::new(|peer: &Peer| peer.role == NodeRole::Gateway);
    tracing::info!(height = node.orderer.head().height, "master is up");
    let ended = node.orderer.ended();
    tokio::select! {
        served = tls::serve(listener, config.credentials, approve, routes, shutdown) => served?,
        failed = ended => failed.context("the journal failed, this node stops")?,
    }
    for task in background {
        task.abort();
    }
    node.orderer.stop().await.context("closing the journal")
}

/// Starts the aggregator's enclave with the keys and the nonce of its first start, so that tasks under way
/// continue after any crash.
fn start_enclave(
    program: &Path,
    folder: &Path,
    identity: Identity,
    seed: PlatformSeed,
) -> Result<EnclaveProcess> {
    let (nonce_file, keys_file) = (folder.join("enclave.nonce"), folder.join("enclave.keys"));
    let nonce = match std::fs::read(&nonce_file).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
        Some(nonce) => nonce,
        None => {
            let nonce = challenge();
            std::fs::write(&nonce_file, nonce)?;
            nonce
        }
    };
    let sealed_keys = std::fs::read(&keys_file).ok();
    let fresh = sealed_keys.is_none();
    let boot = Boot { identity, platform_seed: seed, nonce: Digest(nonce), sealed_keys };
    let enclave =
        EnclaveProcess::spawn(program, boot, &folder.join("enclave.log")).context("starting the enclave")?;
    if fresh {
        std::fs::write(&keys_file, enclave.sealed_keys())?;
    }
    Ok(enclave)
}

/// Orders the passing of time whenever something is due.
async fn advance(node: Arc<Node>) {
    loop {
        let now = now();
        match node.state().timer() {
            Some(due) if due <= now => {
                if let Err(refusal) = node.order(Command::AdvanceTime).await {
                    tracing::error!(%refusal, "time could not advance");
                    sleep(CLOCK_TICK_MAX).await;
                }
            }
            Some(due) => sleep(Duration::from_millis(due.0 - now.0).min(CLOCK_TICK_MAX)).await,
            None => sleep(CLOCK_TICK_MAX).await,
        }
    }
}

/// Asks every Vault how it is, again and again.
async fn health(node: Arc<Node>) {
    let mut ticks = interval(HEALTH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let state = node.state();
        let rounds = node
            .peers
            .vaults()
            .map(|vault| node.peers.ask_health(&state.governance, vault, challenge(), now()));
        for (vault, answer) in node.peers.vaults().zip(futures::future::join_all(rounds).await) {
            if let Err(code) = answer {
                tracing::debug!(%vault, %code, "vault is not healthy");
            }
        }
    }
}

/// Whether an effect was not being performed yet; marks it.
pub(crate) fn begin(node: &Node, effect: &Effect) -> bool {
    node.running.lock().unwrap_or_else(PoisonError::into_inner).insert(effect.clone())
}

/// An effect is no longer being performed.
pub(crate) fn end(node: &Node, effect: &Effect) {
    node.running.lock().unwrap_or_else(PoisonError::into_inner).remove(effect);
}
