//! One role a process: configuration and keys in, the role's own `run` out (R010). A binary that is started as one
//! role has the code of all, but a node's certificate names one role, and every peer checks it.

use std::fs;
use std::future::Future;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use symphony_chain::contracts::{Contracts, Sponsor, SponsorLimits};
use symphony_gateway::config::{GatewayConfig, Limits};
use symphony_master::config::{Addresses, MasterConfig};
use symphony_master::ordering::Voting;
use symphony_master::roles::payout::PayoutConfig;
use symphony_master::roles::verifier::VerifierConfig;
use symphony_tee::keys::PlatformSeed;
use symphony_tee::machine::{EnclaveMachine, VendorMachine};
use symphony_tee::{development, measure};
use symphony_types::id::NodeId;
use symphony_types::key::{KeyClass, PrivateKey};
use symphony_vault::enterprise::Quota;
use symphony_vault::node::VaultConfig;
use symphony_wire::documents::decode;
use symphony_wire::tls::wiretap::Wiretap;
use symphony_wire::tls::{self, Credentials, NodeRole, Peer};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::config::{NodeConfig, SponsorConfig};
use crate::network::{Chain, Network};
use crate::{keys, ledger as ledger_host, relay, telemetry};

/// A node that is being stopped.
pub(crate) type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;
/// A role's life.
type Life = Pin<Box<dyn Future<Output = Result<()>>>>;

/// What every role starts with.
pub(crate) struct Start {
    config: NodeConfig,
    network: Network,
    listener: TcpListener,
    credentials: Credentials,
    shutdown: Shutdown,
}

/// Reads the configuration, sets up the process and lives one role. **Errors**: those of the role.
pub(crate) fn run(path: &Path, supervised: bool, role: fn(Start) -> Result<Life>) -> Result<()> {
    telemetry::init();
    let config = NodeConfig::load(path)?;
    let network = Network::load(&config.network)?;
    let wiretap = config.wiretap.as_deref().map(|folder| wiretap(folder, &network)).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if let Some(address) = config.metrics {
            telemetry::serve(address)?;
        }
        // A file over the process's limit is an error like a full disk, once somebody listens for the signal.
        let _limited = signal(SignalKind::from_raw(FILE_OVER_LIMIT))?;
        let listener =
            TcpListener::bind(config.listen).with_context(|| format!("listening on {}", config.listen))?;
        let credentials = Credentials::load(&config.folder.join("tls"))?.tapped(wiretap);
        credentials.keep_current();
        let start =
            Start { config, network, listener, credentials, shutdown: Box::pin(stopping(supervised)) };
        role(start)?.await
    })
}

/// The signal `SIGXFSZ` of Linux, which ends a process that nothing listens in.
const FILE_OVER_LIMIT: i32 = 25;

/// Opens the wiretap that a development network may have. **Errors**: the policy is not one for development.
fn wiretap(folder: &Path, network: &Network) -> Result<Wiretap> {
    ensure!(
        network.governance.software_admitted(),
        "a wiretap is for development, and this network's policy refuses software enclaves"
    );
    tracing::warn!(folder = %folder.display(), "every message with other nodes is written down in clear");
    Wiretap::open(folder).with_context(|| format!("opening the wiretap {}", folder.display()))
}

/// Ends at a signal, or with the supervisor.
async fn stopping(supervised: bool) {
    let (sender, orphaned) = oneshot::channel::<()>();
    if supervised {
        std::thread::spawn(move || {
            // Nothing is ever written: the read ends when the supervisor does.
            let _ = std::io::stdin().read(&mut [0]);
            drop(sender);
        });
    } else {
        std::mem::forget(sender);
    }
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        _ = orphaned => {}
    }
}

fn key<C: KeyClass>(config: &NodeConfig, file: &str) -> Result<PrivateKey<C>> {
    Ok(PrivateKey::from_seed(&keys::seed(&config.folder.join("keys").join(file))?))
}

/// What the node's enclaves rest on (R130). **Errors**: a file cannot be read, there is no such source, or it is one for
/// development and the network is not.
fn machine(config: &NodeConfig, network: &Network) -> Result<EnclaveMachine> {
    let seed = || keys::seed(&config.folder.join("keys/platform.seed"));
    let software = || Ok(EnclaveMachine::Software(PlatformSeed::new(seed()?)));
    let Some(platform) = &config.platform else { return software() };
    if platform.source != DEVELOPMENT {
        ensure!(
            platform.vendor.is_none() && platform.class.is_none(),
            "vendor and class of a platform are for source {DEVELOPMENT}"
        );
        if platform.source == SOFTWARE {
            return software();
        }
        let machine = VendorMachine::of_source(&platform.source, platform.collateral.clone())?;
        return Ok(EnclaveMachine::Vendor(Arc::new(machine)));
    }
    ensure!(
        network.governance.software_admitted(),
        "development evidence is for development, and this network's policy refuses software enclaves"
    );
    let vendor = platform.vendor.as_ref().context("a development platform names its vendor's file")?;
    let class = platform.class.as_ref().context("a development platform names its class")?;
    let file = fs::read(vendor).with_context(|| format!("reading {}", vendor.display()))?;
    let program = measure::program(&config.enclave_program()?)?;
    tracing::warn!(%class, "evidence of this node's enclaves is made up: development only");
    let machine = development::machine(&file, class, &seed()?, program)?;
    Ok(EnclaveMachine::Vendor(Arc::new(machine)))
}

/// Words for where evidence comes from, besides those of hardware.
const SOFTWARE: &str = "software";
pub(crate) const DEVELOPMENT: &str = "development";

/// A master: alone, or one of three.
pub(crate) fn master(start: Start) -> Result<Life> {
    let Start { config, network, listener, credentials, shutdown } = start;
    let voting = match (&config.committee, &config.guard) {
        (Some(committee), Some(guard)) => {
            let bytes = fs::read(committee).with_context(|| format!("reading {}", committee.display()))?;
            Some(Voting { committee: decode(&bytes)?, guard: guard.clone() })
        }
        (None, None) if network.masters.len() == 1 => None,
        _ => bail!("a master of several needs its committee and its guard, a master alone has neither"),
    };
    let vaults = network.vaults.iter().map(|(vault, node)| Ok((vault.clone(), network.place(node)?)));
    let peers = Addresses {
        vaults: vaults.collect::<Result<_>>()?,
        verifier: network.place(&network.verifier)?,
        payout: network.place(&network.payout)?,
        chain: network.place(&network.ledger)?,
        masters: network.other_masters(&config.node)?,
    };
    let master = MasterConfig {
        key: key(&config, "master.seed")?,
        enclave_program: config.enclave_program()?,
        machine: machine(&config, &network)?,
        protocol_max: config.protocol_max()?,
        network: network.name,
        node: config.node,
        folder: config.folder.join("data"),
        listener,
        credentials,
        governance: network.governance,
        peers,
        voting,
    };
    Ok(Box::pin(symphony_master::node::run(master, shutdown)))
}

/// The verifier.
pub(crate) fn verifier(start: Start) -> Result<Life> {
    let Start { config, network, listener, credentials, shutdown } = start;
    let verifier = VerifierConfig {
        key: key(&config, "verifier.seed")?,
        network: network.name,
        folder: config.folder.join("data"),
        listener,
        credentials,
        governance: network.governance,
    };
    Ok(Box::pin(symphony_master::roles::verifier::run(verifier, shutdown)))
}

/// The payout service.
pub(crate) fn payout(start: Start) -> Result<Life> {
    let Start { config, network, listener, credentials, shutdown } = start;
    let payout = PayoutConfig {
        key: key(&config, "payout.seed")?,
        wallet: key(&config, "wallet.seed")?,
        slasher: key(&config, "slasher-wallet.seed")?,
        chain: network.place(&network.ledger)?,
        chain_name: network.chain.name().to_string(),
        folder: config.folder.join("data"),
        listener,
        credentials,
        governance: network.governance,
    };
    Ok(Box::pin(symphony_master::roles::payout::run(payout, shutdown)))
}

/// The key of the account that pays the gas of members' calls, among a chain node's keys.
pub(crate) const SPONSOR_SEED: &str = "sponsor-wallet.seed";

/// The chain node: host of the reference ledger, or relay to the contracts on Aptos.
pub(crate) fn ledger(start: Start) -> Result<Life> {
    let Start { config, network, listener, credentials, shutdown } = start;
    let folder = config.folder.join("data");
    Ok(match network.chain {
        Chain::Ledger(genesis) => Box::pin(async move {
            ledger_host::run(network.name, *genesis, &folder, listener, credentials, shutdown).await
        }),
        Chain::Contracts(deployment) => {
            let url = config.full_node.as_ref();
            let url = url.context("the chain node of a network with contracts names its full_node")?;
            let mut chain = Contracts::open(url, deployment, &folder)?;
            if let Some(SponsorConfig { per_account, per_day }) = config.sponsor {
                let limits = SponsorLimits { per_account, per_day };
                chain = chain.sponsored(Sponsor::new(key(&config, SPONSOR_SEED)?, limits));
            }
            Box::pin(relay::run(chain, listener, credentials, shutdown))
        }
    })
}

/// An enterprise node with its Vault.
pub(crate) fn vault(start: Start) -> Result<Life> {
    let Start { config, network, listener, credentials, shutdown } = start;
    let executors = config.executors()?;
    let place = config.place()?;
    let keeping = config.keeping(&place)?;
    // After the first start the Vault has it, and the file may be gone.
    let log = config.governance_log.as_ref().filter(|file| file.exists());
    let log = log.map(|file| -> Result<_> {
        let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
        decode(&bytes).with_context(|| format!("reading {}", file.display()))
    });
    let vault = VaultConfig {
        keeping,
        log: log.transpose()?,
        vault: config.vault.clone().context("an enterprise node's configuration names its vault")?,
        enclave_program: config.enclave_program()?,
        reader_program: config.reader_program()?,
        machine: machine(&config, &network)?,
        executors,
        node: config.node,
        network: network.name,
        place,
        listener,
        credentials,
        governance: network.governance,
        quota: Quota {
            records_max: config.records_max,
            documents_max: config.documents_max,
            document_bytes_max: config.document_bytes_max,
            segment_rows: config.segment_rows,
            days: config.retention.map(|retention| retention.days),
        },
        withheld: config.withheld_columns,
    };
    Ok(Box::pin(symphony_vault::node::run(vault, shutdown)))
}

/// The public gateway.
pub(crate) fn gateway(start: Start) -> Result<Life> {
    let Start { config, network, listener, credentials, shutdown } = start;
    let connect = |node: &NodeId| {
        let (node, address) = network.place(node)?;
        let peer = Peer { role: NodeRole::Master, node: node.clone() };
        Ok((node, tls::connect(address, &credentials, peer)?))
    };
    let masters = network.masters.iter().map(connect).collect::<Result<_>>()?;
    let limits = Limits {
        requests_per_second: config.requests_per_second,
        burst: config.requests_per_second.saturating_mul(4),
        ..Limits::default()
    };
    let gateway = GatewayConfig {
        listener,
        certificate: config.folder.join("tls/node.pem"),
        certificate_key: config.folder.join("tls/node.key"),
        jwks: config.folder.join("jwks.json"),
        issuer: network.issuer,
        audience: network.audience,
        masters,
        key: key(&config, "gateway.seed")?,
        limits,
    };
    Ok(Box::pin(symphony_gateway::server::run(gateway, shutdown)))
}
