//! The network file: what every node of a network must know alike. Public; holds no secret.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use symphony_chain::contracts::Deployment;
use symphony_chain::ledger::Genesis;
use symphony_chain::transaction::ChainId;
use symphony_protocol::governance::Governance;
use symphony_types::id::{NodeId, VaultId};
use symphony_wire::documents::{decode, encode};

/// A network. **Shape**: canonical bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Network {
    /// Its name.
    pub name: String,
    /// What governs from the first command on.
    pub governance: Governance,
    /// Where the money is.
    pub chain: Chain,
    /// Where each node listens.
    pub nodes: BTreeMap<NodeId, String>,
    /// The node of each Vault.
    pub vaults: BTreeMap<VaultId, NodeId>,
    /// The masters by seat.
    pub masters: Vec<NodeId>,
    /// The verifier.
    pub verifier: NodeId,
    /// The payout service.
    pub payout: NodeId,
    /// The chain node: host of the ledger, or relay to Aptos.
    pub ledger: NodeId,
    /// Whom the gateway believes about callers.
    pub issuer: String,
    /// Whom tokens must be meant for.
    pub audience: String,
}

/// The chain that holds a network's money.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Chain {
    /// The reference ledger, and how it starts.
    Ledger(Box<Genesis>),
    /// The contracts on Aptos.
    Contracts(Deployment),
}

impl Chain {
    /// The chain's name.
    pub(crate) const fn name(&self) -> &ChainId {
        match self {
            Self::Ledger(genesis) => &genesis.chain,
            Self::Contracts(deployment) => &deployment.chain,
        }
    }
}

impl Network {
    /// Reads a network file. **Errors**: unreadable, or not sound.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let network: Self = decode(&bytes).with_context(|| format!("reading {}", path.display()))?;
        network
            .governance
            .check()
            .map_err(|fault| anyhow!("the network's governance is not sound: {fault}"))?;
        Ok(network)
    }

    /// Writes the network file. **Errors**: those of the file system.
    pub(crate) fn store(&self, path: &Path) -> Result<()> {
        Ok(std::fs::write(path, encode(self))?)
    }

    /// The other masters and where they are. **Errors**: the network does not know one.
    pub(crate) fn other_masters(&self, node: &NodeId) -> Result<BTreeMap<NodeId, SocketAddr>> {
        self.masters.iter().filter(|master| *master != node).map(|master| self.place(master)).collect()
    }

    /// A node's name and address. **Errors**: the network does not know it.
    pub(crate) fn place(&self, node: &NodeId) -> Result<(NodeId, SocketAddr)> {
        let address = self.nodes.get(node).with_context(|| format!("the network does not know {node}"))?;
        Ok((node.clone(), address.parse().with_context(|| format!("the address of {node}"))?))
    }
}
