//! Channels to the other nodes, and what the last health round said of each Vault.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use symphony_protocol::artifact::Bucket;
use symphony_protocol::governance::Governance;
use symphony_protocol::governance::registry::Registry;
use symphony_types::catalogue::Code;
use symphony_types::id::{GovernanceSequence, NodeId, UsageScope, VaultId};
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_types::time::OrderedMillis;
use symphony_wire::signing::{CONTEXT_HEALTH, verify_bytes};
use symphony_wire::tls::{self, Channel, Credentials, NodeRole, Peer, TlsError};
use symphony_wire::v1;
use symphony_wire::v1::chain_node_client::ChainNodeClient;
use symphony_wire::v1::master_node_client::MasterNodeClient;
use symphony_wire::v1::payout_node_client::PayoutNodeClient;
use symphony_wire::v1::vault_node_client::VaultNodeClient;
use symphony_wire::v1::verifier_node_client::VerifierNodeClient;

use crate::config::Addresses;

/// A sealed bundle with its envelope in protobuf is a little larger than the bundle.
const MESSAGE_BYTES_MAX: usize = SEALED_BYTES_MAX + (1 << 20);
/// A Vault that was not heard of for this long counts as unreachable. **Units**: milliseconds.
const SILENT_MS: u64 = 6_000;
/// How long another master may take to answer a question.
pub(crate) const MASTER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long another master may take with one blob.
pub(crate) const BULK_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a health question may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// The other nodes.
pub struct Peers {
    masters: BTreeMap<NodeId, Channel>,
    vaults: RwLock<BTreeMap<VaultId, Channel>>,
    verifier: Channel,
    payout: Channel,
    chain: Channel,
    health: Mutex<BTreeMap<VaultId, Health>>,
    credentials: Credentials,
}

/// What a Vault last said of itself.
#[derive(Clone, Debug)]
pub struct Health {
    /// Canonical boot report of its slice enclave.
    pub boot: Vec<u8>,
    /// People with consent, by scope.
    pub coverage: BTreeMap<UsageScope, Bucket>,
    /// The last entry of the governance log that it knows.
    pub governance: GovernanceSequence,
    /// When it said so, by this node's clock.
    pub seen: OrderedMillis,
}

impl Peers {
    /// Channels to every address; each connects on first use. **Errors**: credentials that do not fit.
    pub fn new(addresses: &Addresses, credentials: &Credentials) -> Result<Self, TlsError> {
        let channel = |role, (node, address): &(_, _)| {
            tls::connect(*address, credentials, Peer { role, node: Clone::clone(node) })
        };
        let vaults = addresses
            .vaults
            .iter()
            .map(|(vault, place)| Ok((vault.clone(), channel(NodeRole::Enterprise, place)?)))
            .collect::<Result<_, TlsError>>()?;
        let masters = addresses
            .masters
            .iter()
            .map(|(node, address)| Ok((node.clone(), channel(NodeRole::Master, &(node.clone(), *address))?)))
            .collect::<Result<_, TlsError>>()?;
        Ok(Self {
            masters,
            vaults: RwLock::new(vaults),
            verifier: channel(NodeRole::Verifier, &addresses.verifier)?,
            payout: channel(NodeRole::Payout, &addresses.payout)?,
            chain: channel(NodeRole::Chain, &addresses.chain)?,
            health: Mutex::default(),
            credentials: credentials.clone(),
        })
    }

    /// Makes a channel to every enterprise that the council has admitted and none is for: to the node that governance names, at the
    /// place that it names, and to nobody before (R008).
    pub fn admit(&self, registry: &Registry) {
        for (vault, admission) in &registry.admissions {
            let mut vaults = self.vaults.write().unwrap_or_else(PoisonError::into_inner);
            if vaults.contains_key(vault) {
                continue;
            }
            let peer = Peer { role: NodeRole::Enterprise, node: admission.node.clone() };
            let address = admission.address.parse::<SocketAddr>().map_err(|error| error.to_string());
            let channel = address.and_then(|address| {
                tls::connect(address, &self.credentials, peer).map_err(|error| error.to_string())
            });
            match channel {
                Ok(channel) => drop(vaults.insert(vault.clone(), channel)),
                Err(error) => tracing::error!(%vault, error, "an admitted enterprise cannot be reached"),
            }
        }
    }

    /// The other masters with an address.
    pub fn masters(&self) -> impl Iterator<Item = &NodeId> {
        self.masters.keys()
    }

    /// A client of another master; `None` for one without an address.
    pub fn master(&self, node: &NodeId) -> Option<MasterNodeClient<Channel>> {
        let client = MasterNodeClient::new(self.masters.get(node)?.clone());
        Some(client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// A client of one Vault. **Errors**: `ADM-0012` for one without an address.
    pub fn vault(&self, vault: &VaultId) -> Result<VaultNodeClient<Channel>, Code> {
        let vaults = self.vaults.read().unwrap_or_else(PoisonError::into_inner);
        let channel = vaults.get(vault).cloned().ok_or(Code::VaultUnknown)?;
        Ok(VaultNodeClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// A client of the verifier.
    pub fn verifier(&self) -> VerifierNodeClient<Channel> {
        VerifierNodeClient::new(self.verifier.clone())
    }

    /// A client of the payout service.
    pub fn payout(&self) -> PayoutNodeClient<Channel> {
        PayoutNodeClient::new(self.payout.clone()).max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// A client of the ledger's host.
    pub fn chain(&self) -> ChainNodeClient<Channel> {
        ChainNodeClient::new(self.chain.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The Vaults with an address.
    pub fn vaults(&self) -> Vec<VaultId> {
        self.vaults.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// What a Vault last said, if it is not too long ago.
    pub fn health(&self, vault: &VaultId, now: OrderedMillis) -> Option<Health> {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.get(vault).filter(|health| now <= health.seen.plus(SILENT_MS)).cloned()
    }

    /// What a Vault last said, however long ago.
    pub fn last_health(&self, vault: &VaultId) -> Option<Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).get(vault).cloned()
    }

    /// Asks one Vault how it is and keeps the answer when the Vault's own key signed it over the challenge.
    /// **Errors**: the Vault did not answer, or not as itself.
    pub async fn ask_health(
        &self,
        governance: &Governance,
        vault: &VaultId,
        challenge: [u8; 32],
        now: OrderedMillis,
    ) -> Result<Health, Code> {
        let mut request = tonic::Request::new(v1::HealthRequest { challenge: challenge.to_vec() });
        request.set_timeout(HEALTH_TIMEOUT);
        let answer =
            self.vault(vault)?.get_health(request).await.map_err(|_| Code::VaultUnavailable)?.into_inner();
        let key = governance.registry.vaults.get(vault).ok_or(Code::VaultUnknown)?.key;
        let signature = answer.signature.clone();
        if !verify_bytes(
            &key,
            CONTEXT_HEALTH,
            &symphony_wire::signing::health_bytes(&challenge, &answer),
            &signature,
        ) {
            return Err(Code::Unauthenticated);
        }
        let coverage = answer.coverage.iter().filter_map(|entry| {
            Some((UsageScope::new(&entry.usage_scope).ok()?, Bucket(entry.consented_bucket)))
        });
        let governance = GovernanceSequence(answer.governance_sequence);
        let coverage = coverage.collect();
        let health = Health { boot: answer.boot, coverage, governance, seen: now };
        self.health.lock().unwrap_or_else(PoisonError::into_inner).insert(vault.clone(), health.clone());
        Ok(health)
    }
}
