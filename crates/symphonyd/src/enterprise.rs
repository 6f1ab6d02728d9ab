//! `symphonyd enterprise`: the folder of an enterprise that asks a development network to be admitted: keys, certificate, configuration,
//! and the document that the council votes on (R008). Until the council has carried it no master connects to the node, and the node does
//! not start.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use symphony_protocol::governance::approval::Machine;
use symphony_protocol::governance::membership::Enterprise;
use symphony_tee::keys::PlatformSeed;
use symphony_types::id::{AccountId, ActorId, NodeId, VaultId};
use symphony_types::key::{PrivateKey, Wallet};
use symphony_vault::keys::VaultKeys;
use symphony_wire::documents::encode;
use symphony_wire::tls::authority::Authority;
use symphony_wire::tls::{NodeRole, Peer};

use crate::certificates;
use crate::config::NodeConfig;
use crate::genesis;
use crate::keys::seed;
use crate::network::Network;

/// What the council votes on, in the enterprise's folder.
const DOCUMENT: &str = "enterprise.bcs";
/// The log that it is admitted in, there as well.
const LOG: &str = "governance.log";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The development network's folder
    #[arg(long, default_value = "dev-data")]
    dir: PathBuf,
    /// The new Vault
    #[arg(long, value_parser = VaultId::new)]
    vault: VaultId,
}

/// Makes the folder and says what is to be done with it. **Errors**: it is no development network of class software with bare secrets,
/// or the Vault is there already.
pub(crate) fn run(args: &Args) -> Result<()> {
    let (dir, vault) = (&args.dir, &args.vault);
    let network = Network::load(&dir.join("network.bcs"))?;
    let node = NodeId::new(&format!("enterprise-{vault}"))?;
    let folder = dir.join(node.as_str());
    ensure!(!network.vaults.contains_key(vault) && !folder.exists(), "there is a vault of this name");
    let like = network.vaults.values().next().context("the network was founded without a vault")?;
    let like = fs::read_to_string(dir.join(like.as_str()).join("node.toml"))?;
    let like: NodeConfig = toml::from_str(&like).context("reading an enterprise's configuration")?;
    ensure!(
        like.platform.is_none() && like.passphrase_file.is_none(),
        "an enterprise is made here for networks of class software, with bare secrets"
    );
    let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let authority = Authority::open(&dir.join(certificates::AUTHORITY))?;
    let peer = Peer { role: NodeRole::Enterprise, node: node.clone() };
    authority.issue(&peer, &certificates::ALSO, &folder.join("tls"))?;
    let secret = |name: &str| seed(&folder.join("keys").join(name));
    let account = |name: &str| -> Result<AccountId> {
        Ok(PrivateKey::<Wallet>::from_seed(&secret(name)?).public().account())
    };
    let keys = VaultKeys::open(folder.join("data").as_path())?;
    let enterprise = Enterprise {
        vault: vault.clone(),
        node: node.clone(),
        address: listen.to_string(),
        operator: ActorId::new(&genesis::operator(vault))?,
        operator_account: account("operator-wallet.seed")?,
        executor: ActorId::new(&genesis::executor(vault))?,
        executor_account: account("executor-wallet.seed")?,
        key: keys.signing.public(),
        sealing_key: keys.sealing.public().to_vec(),
        machine: Machine::Software { key: PlatformSeed::new(secret("platform.seed")?).public() },
    };
    let config =
        NodeConfig { node, listen, vault: Some(vault.clone()), governance_log: Some(LOG.into()), ..like };
    fs::write(folder.join("node.toml"), toml::to_string(&config)?)?;
    fs::write(folder.join(DOCUMENT), encode(&enterprise))?;
    let shown = folder.display();
    println!("the council votes on {shown}/{DOCUMENT}:");
    println!("  symphony governance propose --summary why admit-enterprise {shown}/{DOCUMENT}");
    println!("then the node starts with the log:");
    println!("  symphony governance log --out {shown}/{LOG}");
    println!("  symphonyd vault --config {shown}/node.toml");
    Ok(())
}
