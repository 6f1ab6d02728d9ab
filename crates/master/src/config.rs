//! What one master runs with. Nothing here is policy.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use symphony_protocol::governance::Governance;
use symphony_tee::machine::EnclaveMachine;
use symphony_types::id::{NodeId, ProtocolVersion, VaultId};
use symphony_types::key::{Master, PrivateKey};
use symphony_wire::tls::Credentials;

use crate::ordering::Voting;

/// Everything that [`crate::node::run`] needs.
pub struct MasterConfig {
    /// The name of the network.
    pub network: String,
    /// This node.
    pub node: NodeId,
    /// Where journal, blobs and the enclave's sealed keys live.
    pub folder: PathBuf,
    /// Where the gateway and the other masters connect. Bound by the caller.
    pub listener: TcpListener,
    /// This node's certificate.
    pub credentials: Credentials,
    /// Endorses documents.
    pub key: PrivateKey<Master>,
    /// What governs from the first command on.
    pub governance: Governance,
    /// The program of the aggregator's enclave.
    pub enclave_program: PathBuf,
    /// The simulated machine that quotes for it.
    pub machine: EnclaveMachine,
    /// Where the other nodes are.
    pub peers: Addresses,
    /// The highest version of the protocol that it announces and runs under: at most what its program speaks.
    pub protocol_max: ProtocolVersion,
    /// What it votes with; `None` for a master alone.
    pub voting: Option<Voting>,
}

/// Where the other nodes are.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The other masters; none for a cluster of one.
    pub masters: BTreeMap<NodeId, SocketAddr>,
    /// Enterprise nodes by Vault.
    pub vaults: BTreeMap<VaultId, (NodeId, SocketAddr)>,
    /// The verifier.
    pub verifier: (NodeId, SocketAddr),
    /// The payout service.
    pub payout: (NodeId, SocketAddr),
    /// The host of the ledger.
    pub chain: (NodeId, SocketAddr),
}
