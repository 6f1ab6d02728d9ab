//! The running master: journal, aggregator enclave, effect runners, clock, health rounds, RPC.

use std::future::Future;
use std::path::Path;
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use rand::RngExt;
use symphony_consensus::machine::Genesis;
use symphony_consensus::orderer::{OrderError, Orderer};
use symphony_consensus::quorum::node::Quorum;
use symphony_consensus::quorum::socket::RemoteGuard;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::log::{EndorsedHead, LogHead};
use symphony_protocol::machine::{Command, Order, Refusal, State};
use symphony_tee::boot::{Boot, Identity};
use symphony_tee::host::{EnclaveProcess, HostError};
use symphony_tee::machine::EnclaveMachine;
use symphony_tee::report::EnclaveRole;
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{NodeId, ProtocolVersion};
use symphony_types::key::{Document, Endorsement, Master, PrivateKey, Signed};
use symphony_types::time::OrderedMillis;
use symphony_wire::tls::{self, NodeRole, Peer};
use symphony_wire::v1;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;

use crate::blobs::Blobs;
use crate::chain::{LedgerChain, LedgerChannel};
use crate::cluster::only;
use crate::config::MasterConfig;
use crate::effects::Runners;
use crate::helping::Answered;
use crate::machine::Protocol;
use crate::ordering::Ordering;
use crate::peers::Peers;
use crate::reconcile::Watch;
use crate::training::Remembered;
use crate::{candidates, cluster, effects, following, net, ordering, reconcile, rpc, stakes};

/// How often Vaults are asked how they are.
const HEALTH_EVERY: Duration = Duration::from_secs(2);
/// The longest sleep of the clock: a new timer is seen at the latest after.
const CLOCK_TICK_MAX: Duration = Duration::from_millis(100);
/// How long a master that does not lead leaves it to the leader to order the passing of time. **Units**: milliseconds.
const FOLLOWER_GRACE_MS: u64 = 300;

/// The pause after an announcement that could not be ordered.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(2);

/// One master.
pub struct Node {
    /// The name of the network.
    pub network: String,
    /// This node: whom effects are leased to.
    pub id: NodeId,
    /// Orders commands and holds the state.
    pub orderer: Arc<dyn Orderer<Protocol>>,
    /// The orderer of three with its guard, where this master is not alone.
    pub quorum: Option<(Arc<Quorum<Protocol>>, RemoteGuard)>,
    /// The other nodes.
    pub peers: Peers,
    /// The chain.
    pub chain: LedgerChain,
    /// Bulk beside the journal.
    pub blobs: Blobs,
    /// The aggregator's enclave.
    pub aggregator: EnclaveProcess,
    /// The highest version of the protocol that it announces and runs under.
    protocol_max: ProtocolVersion,
    /// Streams of other masters that were ended because they were not understood.
    misunderstood: Arc<AtomicU64>,
    /// Endorses documents.
    key: PrivateKey<Master>,
    /// Effects that are being performed.
    pub(crate) runners: Runners,
    /// Vaults that failed in trainings.
    pub(crate) failing: Remembered,
    /// Rounds that it has answered as the second aggregator.
    pub(crate) answered: Answered,
    /// What the network was founded with.
    pub(crate) founded: Governance,
    /// The last head of the governance log that a majority endorsed.
    log_head: Mutex<Option<EndorsedHead>>,
    /// Where the verifier is in the governance log, as far as it has told.
    pub(crate) verifier_at: AtomicU64,
    /// What this master found when it last compared its state with chain and Vaults.
    pub(crate) reconciliation: Watch,
}

impl Node {
    /// The state after the last ordered command.
    pub fn state(&self) -> Arc<State> {
        self.orderer.state()
    }

    /// Whether this master makes the next block, so that what any master could order is left to it.
    pub fn leads(&self) -> bool {
        self.orderer.leads()
    }

    /// What this master says of itself (R221). How heads compare is for whoever sees more than one.
    pub async fn health(&self) -> v1::MasterHealth {
        let head = self.orderer.head();
        let alone = v1::MasterHealth {
            node: self.id.to_string(),
            reachable: true,
            height: head.height,
            state_hash: head.state.0.to_vec(),
            head: "unknown".to_owned(),
            leader: self.leads(),
            guard_class: "none".to_owned(),
            guard_admission: "none".to_owned(),
            voting: true,
            protocol_max: self.state().announced(&self.id).map_or(0, |version| version.0),
            misunderstood: self.misunderstood.load(atomic::Ordering::Relaxed),
            ..v1::MasterHealth::default()
        };
        let Some((quorum, guard)) = &self.quorum else { return alone };
        let (gauges, guard) = (quorum.gauges(), guard.clone());
        let status = tokio::task::spawn_blocking(move || guard.status()).await.ok().and_then(Result::ok);
        let of_guard = |word: fn(&symphony_consensus::quorum::socket::Status) -> &'static str| {
            status.as_ref().map_or("unknown", word).to_owned()
        };
        v1::MasterHealth {
            guard_class: of_guard(|status| status.class.as_str()),
            guard_admission: of_guard(|status| status.admission.as_str()),
            voting: gauges.votes,
            block_height: gauges.height,
            round: gauges.round,
            block_ms: gauges.block_ms,
            lag: gauges.lag,
            view_changes: gauges.counts.view_changes,
            nil_votes: gauges.counts.nil_votes,
            missed_votes: gauges.missed.get(usize::from(gauges.seat.0)).copied().unwrap_or(0),
            guard_refusals: gauges.counts.refusals,
            rotations: gauges.rotations,
            forged: gauges.counts.forged,
            conflicts: quorum.conflicts(),
            ..alone
        }
    }

    /// Orders a command as this master. **Errors**: the machine's refusal; `GOV-0003` when the orderer has stopped.
    pub async fn order(&self, command: Command) -> Result<(), Refusal> {
        match self.orderer.order(Order { by: self.id.clone(), command }).await {
            Ok(_) => Ok(()),
            Err(OrderError::Refused(refusal)) => Err(refusal),
            Err(OrderError::Stopped) => Err(Code::Unavailable.into()),
            Err(OrderError::TooLarge) => Err(Code::BodyTooLarge.into()),
        }
    }

    /// The endorsed head of the governance log, if it is this one.
    pub(crate) fn log_head(&self, head: &LogHead) -> Option<EndorsedHead> {
        let known = self.log_head.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|known| known.body == *head).cloned()
    }

    /// Keeps an endorsed head.
    pub(crate) fn keep_log_head(&self, head: &EndorsedHead) {
        *self.log_head.lock().unwrap_or_else(PoisonError::into_inner) = Some(head.clone());
    }

    /// This master's word for the document with that digest.
    pub fn endorse(&self, document: &Digest) -> Endorsement<Master> {
        self.key.endorse(document)
    }

    /// A document that this master alone stands for.
    pub fn sign<T: Document>(&self, body: T) -> Signed<T, Master> {
        self.key.sign(body)
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
    let journal = config.folder.join("journal.redb");
    let Ordering { orderer, quorum } = match &config.voting {
        None => ordering::alone(&journal, &genesis)?,
        Some(voting) => {
            let (addresses, credentials) = (&config.peers, &config.credentials);
            ordering::agreed(&config.node, &journal, &genesis, voting, addresses, credentials).await?
        }
    };
    anyhow::ensure!(orderer.state().leases_agree(), "invariant: what is owed is leased, and nothing else");
    let peers = Peers::new(&config.peers, &config.credentials)?;
    peers.admit(&orderer.state().governance.registry);
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
    let (program, folder, machine) = (config.enclave_program, config.folder.clone(), config.machine);
    let aggregator =
        tokio::task::spawn_blocking(move || start_enclave(&program, &folder, identity, machine)).await??;
    let node = Arc::new(Node {
        network: config.network,
        id: config.node,
        orderer,
        quorum,
        peers,
        chain,
        blobs: Blobs::open(&config.folder.join("blobs"))?,
        aggregator,
        protocol_max: config.protocol_max,
        misunderstood: Arc::default(),
        key: config.key,
        runners: Runners::default(),
        failing: Remembered::default(),
        answered: Answered::default(),
        founded: config.governance.clone(),
        log_head: Mutex::default(),
        verifier_at: AtomicU64::new(0),
        reconciliation: Watch::default(),
    });
    let background = [
        tokio::spawn(effects::run(Arc::clone(&node))),
        tokio::spawn(advance(Arc::clone(&node))),
        tokio::spawn(renew(Arc::clone(&node))),
        tokio::spawn(health(Arc::clone(&node))),
        tokio::spawn(announce(Arc::clone(&node))),
        tokio::spawn(following::run(Arc::clone(&node))),
        tokio::spawn(reconcile::run(Arc::clone(&node))),
        tokio::spawn(candidates::run(Arc::clone(&node))),
        tokio::spawn(stakes::run(Arc::clone(&node))),
    ];
    let platform = InterceptedService::new(rpc::service(Arc::clone(&node)), only(NodeRole::Gateway));
    let masters = InterceptedService::new(cluster::service(Arc::clone(&node)), only(NodeRole::Master));
    let mut routes = Routes::new(platform).add_service(masters);
    if let (Some((quorum, _)), Some(voting)) = (&node.quorum, &config.voting) {
        let committee = &voting.committee;
        let seats =
            committee.seats().zip(&committee.members).map(|(seat, member)| (member.node.clone(), seat));
        routes = routes.add_service(net::service(
            Arc::clone(quorum),
            seats.collect(),
            Arc::clone(&node.misunderstood),
        ));
    }
    let registered = config.governance.registry.masters.clone();
    let approve = Arc::new(move |peer: &Peer| {
        peer.role == NodeRole::Gateway
            || (peer.role == NodeRole::Master && registered.contains_key(&peer.node))
    });
    tracing::info!(height = node.orderer.head().height, "master is up");
    let ended = node.orderer.ended();
    let mut unspoken = None;
    tokio::select! {
        served = tls::serve(listener, config.credentials, approve, routes, shutdown) => served?,
        failed = ended => failed.context("the journal failed, this node stops")?,
        version = outgrown(&node) => unspoken = Some(version),
    }
    for task in background {
        task.abort();
    }
    node.orderer.stop().await.context("closing the journal")?;
    match unspoken {
        None => Ok(()),
        Some(version) => Err(unknown(version, node.protocol_max)),
    }
}

/// Why a node stops under a version of the protocol that it does not speak (R221).
fn unknown(version: ProtocolVersion, speaks: ProtocolVersion) -> anyhow::Error {
    let code = Code::ProtocolUnknown;
    tracing::error!(%code, %version, %speaks, "protocol version {version} is in force, and this node does not speak it");
    let title = code.title();
    anyhow::anyhow!(
        "{code}: {title}: version {version} is in force, this node speaks {speaks}; nothing is lost"
    )
}

/// Waits until a version of the protocol is in force that this node does not speak.
async fn outgrown(node: &Node) -> ProtocolVersion {
    loop {
        let active = node.state().upgrade.active;
        if active > node.protocol_max {
            return active;
        }
        sleep(CLOCK_TICK_MAX).await;
    }
}

/// Announces which version of the protocol this node speaks, once; the others wait for all (R221).
async fn announce(node: Arc<Node>) {
    let version = node.protocol_max;
    while node.state().announced(&node.id) != Some(version) {
        match node.order(Command::AnnounceProtocol { version }).await {
            Ok(()) => tracing::info!(%version, "the protocol version that this node speaks is announced"),
            Err(refusal) => {
                tracing::warn!(%refusal, "the protocol version could not be announced");
                sleep(ANNOUNCE_AGAIN).await;
            }
        }
    }
}

/// Starts the aggregator's enclave with the keys and the nonce of its first start, so that tasks under way
/// continue after any crash.
fn start_enclave(
    program: &Path,
    folder: &Path,
    identity: Identity,
    machine: EnclaveMachine,
) -> Result<EnclaveProcess> {
    let log = folder.join("enclave.log");
    if let EnclaveMachine::Vendor(_) = machine {
        // Keys end with the process: each start has its own, under a challenge of its own.
        let boot = Boot { identity, machine, nonce: Digest(challenge()), sealed_keys: None, ready: vec![] };
        return EnclaveProcess::spawn(program, boot, &log).context("starting the enclave");
    }
    let (nonce_file, keys_file) = (folder.join("enclave.nonce"), folder.join("enclave.keys"));
    let nonce = match std::fs::read(&nonce_file).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
        Some(nonce) => nonce,
        None => {
            let nonce = challenge();
            std::fs::write(&nonce_file, nonce)?;
            nonce
        }
    };
    let boot = |sealed_keys| {
        let (identity, machine) = (identity.clone(), machine.clone());
        Boot { identity, machine, nonce: Digest(nonce), sealed_keys, ready: vec![] }
    };
    let sealed_keys = std::fs::read(&keys_file).ok();
    let again = sealed_keys.is_some();
    let (enclave, fresh) = match EnclaveProcess::spawn(program, boot(sealed_keys), &log) {
        // Another program than before: keys are sealed to the one that made them.
        Err(HostError::Refused(reason)) if again => {
            tracing::warn!(%reason, "the enclave cannot use its earlier keys and makes new ones");
            (EnclaveProcess::spawn(program, boot(None), &log).context("starting the enclave")?, true)
        }
        started => (started.context("starting the enclave")?, !again),
    };
    if fresh {
        std::fs::write(&keys_file, enclave.sealed_keys())?;
    }
    Ok(enclave)
}

/// Orders the passing of time whenever something is due. Every master does, the leader first.
async fn advance(node: Arc<Node>) {
    loop {
        let due = node.state().timer();
        let wait = until(due.map(|due| if node.leads() { due } else { due.plus(FOLLOWER_GRACE_MS) }));
        if !wait.is_zero() {
            sleep(wait).await;
            continue;
        }
        if let Err(refusal) = node.order(Command::AdvanceTime).await {
            tracing::error!(%refusal, "time could not advance");
        }
        // Ordered time may lag behind this node's clock; then nothing was due yet.
        if node.state().timer() == due {
            sleep(CLOCK_TICK_MAX).await;
        }
    }
}

/// Renews what this master holds, while it holds something. A master whose clock runs ahead renews at most once a tick.
async fn renew(node: Arc<Node>) {
    loop {
        let wait = until(node.state().renewal(&node.id));
        if wait.is_zero() {
            if let Err(refusal) = node.order(Command::RenewLeases).await {
                tracing::warn!(%refusal, "leases could not be renewed");
            }
            sleep(CLOCK_TICK_MAX).await;
        } else {
            sleep(wait).await;
        }
    }
}

/// How long to sleep before something is due, by this node's clock; zero when it is.
fn until(due: Option<OrderedMillis>) -> Duration {
    let left = due.map(|due| Duration::from_millis(due.0.saturating_sub(now().0)));
    left.map_or(CLOCK_TICK_MAX, |left| left.min(CLOCK_TICK_MAX))
}

/// Asks every Vault how it is, again and again.
async fn health(node: Arc<Node>) {
    let mut ticks = interval(HEALTH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let state = node.state();
        // Also those whose admission this master did not order itself, but took over with a state of the others.
        node.peers.admit(&state.governance.registry);
        let vaults = node.peers.vaults();
        let rounds =
            vaults.iter().map(|vault| node.peers.ask_health(&state.governance, vault, challenge(), now()));
        for (vault, answer) in vaults.iter().zip(futures::future::join_all(rounds).await) {
            match answer {
                Ok(health) if health.governance < state.governance.sequence => {
                    if let Err(fault) = following::bring(&node, vault).await {
                        tracing::warn!(%vault, %fault, "a vault cannot follow governance");
                    }
                }
                Ok(_) => {}
                Err(code) => tracing::debug!(%vault, %code, "vault is not healthy"),
            }
        }
    }
}
