//! The committee of a development network: a guard for each master's vote, with a founding key and a platform of its own
//! (R007, R205), and the file that names them all. A master alone orders by itself and has no guard.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use symphony_consensus::machine::Genesis;
use symphony_consensus::quorum::committee::{Committee, Member};
use symphony_protocol::machine::State;
use symphony_tee::keys::PlatformSeed;
use symphony_types::id::NodeId;
use symphony_types::key::PrivateKey;
use symphony_wire::documents::encode;

use crate::keys::seed;
use crate::network::Network;

/// The founding committee in the network's folder. **Shape**: canonical bytes.
pub(super) const COMMITTEE_FILE: &str = "committee.bcs";
/// A guard's configuration in its master's folder.
pub(super) const GUARD_CONFIG: &str = "guard/guard.toml";
/// Where a guard listens, in its master's folder.
pub(super) const GUARD_SOCKET: &str = "guard/guard.sock";
/// Seed of a guard's founding key; the guard removes the file at its first start.
const FOUNDING_SEED: &str = "founding.seed";
/// Seed of a guard's platform.
const PLATFORM_SEED: &str = "platform.seed";

/// A guard's configuration, as its own program reads it. Paths start at the file's folder.
#[derive(Serialize)]
struct GuardConfig<'a> {
    node: &'a NodeId,
    seat: u8,
    committee: &'a str,
    platform_seed: &'a str,
    founding_seed: &'a str,
    socket: &'a str,
    state: &'a str,
    admission: &'a str,
}

/// Makes the guards of a new network and writes their committee; whether there are any. **Errors**: those of the file
/// system.
pub(super) fn found(dir: &Path, network: &Network) -> Result<bool> {
    if network.masters.len() == 1 {
        return Ok(false);
    }
    let mut members = Vec::new();
    for (seat, node) in (0..).zip(&network.masters) {
        let folder = dir.join(node.as_str()).join("guard");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let config = GuardConfig {
            node,
            seat,
            committee: &format!("../../{COMMITTEE_FILE}"),
            platform_seed: PLATFORM_SEED,
            founding_seed: FOUNDING_SEED,
            socket: "guard.sock",
            state: "state",
            // The three machines of a development network are one, and it is often ended as a whole.
            admission: "trusted",
        };
        fs::write(dir.join(node.as_str()).join(GUARD_CONFIG), toml::to_string(&config)?)?;
        members.push(Member {
            node: node.clone(),
            key: PrivateKey::from_seed(&seed(&folder.join(FOUNDING_SEED))?).public(),
            platform: PlatformSeed::new(seed(&folder.join(PLATFORM_SEED))?).public(),
            since: 1,
            boot: None,
        });
    }
    let state = State::genesis(network.governance.clone());
    let genesis = Genesis { name: network.name.clone(), state };
    fs::write(dir.join(COMMITTEE_FILE), encode(&Committee::founding(genesis.root(), members)))?;
    Ok(true)
}
