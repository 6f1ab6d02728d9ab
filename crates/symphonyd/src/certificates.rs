//! `symphonyd certificates`: the certificates of a development network listed, replaced and revoked while it runs
//! (R206). The nodes take up what changes in their folders by themselves.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::{Args as ClapArgs, Subcommand};
use symphony_types::id::NodeId;
use symphony_wire::tls::Serial;
use symphony_wire::tls::authority::{Authority, present};

use crate::network::Network;

/// The authority in the network's folder.
pub(crate) const AUTHORITY: &str = "authority";
/// What the certificate of every node of a development network names besides the node.
pub(crate) const ALSO: [&str; 2] = ["localhost", "127.0.0.1"];
/// A certificate with less time left is replaced when the network starts. **Units**: seconds.
const RENEW_BEFORE_S: i64 = 30 * 86_400;

#[derive(ClapArgs)]
pub(crate) struct Args {
    /// The development network's folder
    #[arg(long, default_value = "dev-data", global = true)]
    dir: PathBuf,
    #[command(subcommand)]
    word: Word,
}

#[derive(Subcommand)]
enum Word {
    /// Lists every certificate that was issued: serial, node, end, and whether it is in use, former or revoked
    List,
    /// Gives a node a new key and a new certificate; the former certificate stays valid until it is revoked
    Rotate {
        /// The node
        #[arg(long, value_parser = node)]
        node: NodeId,
    },
    /// Revokes certificates for good
    Revoke(Revoke),
}

#[derive(ClapArgs)]
struct Revoke {
    /// One certificate
    #[arg(long, value_parser = serial, required_unless_present = "node", conflicts_with = "node")]
    serial: Option<Serial>,
    /// Every certificate of this node
    #[arg(long, value_parser = node)]
    node: Option<NodeId>,
    /// With --node: spare the certificate that the node has in use
    #[arg(long, requires = "node")]
    former: bool,
}

fn serial(text: &str) -> Result<Serial, String> {
    Serial::parse(text).ok_or_else(|| "a serial is a hexadecimal number, as `list` shows it".to_owned())
}

fn node(text: &str) -> Result<NodeId, String> {
    NodeId::new(text).map_err(|error| error.to_string())
}

/// Does what was asked. **Errors**: the folder is no development network, or does not know the node or the serial.
pub(crate) fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.dir.join("network.bcs"))?;
    let authority = open(&args.dir, &network)?;
    match &args.word {
        Word::List => list(&args.dir, &authority),
        Word::Rotate { node } => {
            let folder = tls(&args.dir, network.place(node)?.0.as_str());
            let former = present(&folder)?;
            let serial = authority.rotate(&former.peer, &ALSO, &folder)?;
            println!(
                "{node} has certificate {serial}; the former one, {}, is valid until it is revoked",
                former.serial
            );
            Ok(())
        }
        Word::Revoke(revoke) => {
            let serials = chosen(&args.dir, &authority, revoke)?;
            authority.revoke(&serials)?;
            for node in network.nodes.keys() {
                authority.publish(&tls(&args.dir, node.as_str()))?;
            }
            serials.iter().for_each(|serial| println!("{serial} is revoked"));
            Ok(())
        }
    }
}

/// Replaces what will soon end, before the nodes of a network start. **Errors**: the folder is damaged.
pub(crate) fn renew(dir: &Path, network: &Network) -> Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let authority = open(dir, network)?;
    for node in network.nodes.keys() {
        let folder = tls(dir, node.as_str());
        let former = present(&folder)?;
        if former.not_after < now.saturating_add(RENEW_BEFORE_S) {
            authority.rotate(&former.peer, &ALSO, &folder)?;
        }
    }
    Ok(())
}

/// The authority of a network, which knows what every node has in use: a folder may be older than its records.
fn open(dir: &Path, network: &Network) -> Result<Authority> {
    let authority = Authority::open(&dir.join(AUTHORITY)).context("opening the authority")?;
    for node in network.nodes.keys() {
        authority.record(&tls(dir, node.as_str())).with_context(|| format!("the certificate of {node}"))?;
    }
    Ok(authority)
}

fn tls(dir: &Path, node: &str) -> PathBuf {
    dir.join(node).join("tls")
}

fn list(dir: &Path, authority: &Authority) -> Result<()> {
    println!("{:<40}  {:<28}  {:<20}  state", "serial", "node", "not after");
    for issued in authority.issued()? {
        let in_use = present(&tls(dir, issued.peer.node.as_str()))?.serial == issued.serial;
        let state = match (issued.revoked, in_use) {
            (true, _) => "revoked",
            (false, true) => "in use",
            (false, false) => "former",
        };
        let (serial, node) = (issued.serial.to_string(), issued.peer.to_string());
        println!("{serial:<40}  {node:<28}  {:<20}  {state}", date(issued.not_after)?);
    }
    Ok(())
}

fn date(seconds: i64) -> Result<String> {
    let date = time::OffsetDateTime::from_unix_timestamp(seconds)?;
    Ok(date.format(&time::format_description::well_known::Rfc3339)?)
}

fn chosen(dir: &Path, authority: &Authority, revoke: &Revoke) -> Result<Vec<Serial>> {
    let spared = match &revoke.node {
        Some(node) if revoke.former => Some(present(&tls(dir, node.as_str()))?.serial),
        _ => None,
    };
    let meant = authority.issued()?.into_iter().filter(|issued| {
        revoke.serial.as_ref() == Some(&issued.serial) || revoke.node.as_ref() == Some(&issued.peer.node)
    });
    let serials: Vec<_> =
        meant.map(|issued| issued.serial).filter(|serial| spared.as_ref() != Some(serial)).collect();
    ensure!(
        !serials.is_empty(),
        "no such certificate was issued here: `symphonyd certificates list` shows all"
    );
    Ok(serials)
}
