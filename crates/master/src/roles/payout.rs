//! The payout service: turns an epoch's instruction set into chain transactions and sees them confirmed (R169-R173). Signed
//! bytes are durable before the first submit, so that whatever crashes, the same bytes go out again and nobody is paid twice. What
//! the epoch has to slash follows its batches (R143). What nodes are paid for running is the masters' word too (R164, R185).

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use symphony_chain::ledger::Receipt;
use symphony_chain::outbox::{Outbox, OutboxError};
use symphony_chain::port::Chain as _;
use symphony_chain::transaction::{Call, ChainId};
use symphony_protocol::governance::Governance;
use symphony_protocol::settlement::bootstrap::NodePay;
use symphony_protocol::settlement::payout::{PayoutConfirmation, PayoutInstructionSet};
use symphony_types::catalogue::Code;
use symphony_types::id::NodeId;
use symphony_types::key::{Document, Payout, PrivateKey, Wallet};
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_wire::documents::encode;
use symphony_wire::status::refusal;
use symphony_wire::tls::{self, Credentials, NodeRole, Peer};
use symphony_wire::v1::chain_node_client::ChainNodeClient;
use symphony_wire::v1::payout_node_server::{PayoutNode, PayoutNodeServer};
use symphony_wire::v1::{Acknowledgement, SignedDocument};
use tokio::sync::Mutex;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::slashing::slash;
use super::{from_masters, minting};
use crate::batches::batches;
use crate::chain::{LedgerChain, LedgerChannel};
use crate::node::now;

/// Everything that the payout service runs with.
pub struct PayoutConfig {
    /// The chain's name.
    pub chain_name: String,
    /// Where signed batches are kept.
    pub folder: PathBuf,
    /// Where masters connect. Bound by the caller.
    pub listener: TcpListener,
    /// This node's certificate.
    pub credentials: Credentials,
    /// Signs confirmations.
    pub key: PrivateKey<Payout>,
    /// Signs batches as the payout account of the chain.
    pub wallet: PrivateKey<Wallet>,
    /// Signs slashes as the one account of the chain that may.
    pub slasher: PrivateKey<Wallet>,
    /// Keys in force.
    pub governance: Governance,
    /// The host of the ledger.
    pub chain: (NodeId, SocketAddr),
}

pub(super) struct Service {
    pub(super) governance: Governance,
    key: PrivateKey<Payout>,
    outbox: Outbox,
    slasher: Outbox,
    pub(super) chain: LedgerChain,
    /// One transaction at a time: sequence numbers of one account follow each other.
    turn: Mutex<()>,
}

#[tonic::async_trait]
impl PayoutNode for Service {
    async fn pay(&self, request: Request<SignedDocument>) -> Result<Response<SignedDocument>, Status> {
        let instructions: PayoutInstructionSet = from_masters(&self.governance, &request.get_ref().document)?;
        let paid = self.pay_once(&instructions).await;
        let confirmation = paid.map_err(|error| refusal(Code::PayoutFailed, format!("{error:#}")))?;
        tracing::info!(epoch = %confirmation.epoch, version = confirmation.version, "epoch paid");
        Ok(Response::new(SignedDocument { document: encode(&self.key.sign(confirmation)), standing: vec![] }))
    }

    async fn pay_nodes(&self, request: Request<SignedDocument>) -> Result<Response<Acknowledgement>, Status> {
        let NodePay { epoch, nodes } = from_masters(&self.governance, &request.get_ref().document)?;
        let known = async || self.chain.nodes_paid(epoch).await.map_err(|error| refusal(error.code(), error));
        if !known().await? {
            let call = Call::PayNodes { epoch, nodes };
            let paid = self.execute(&format!("nodes-{epoch}"), call).await;
            paid.map_err(|error| refusal(Code::PayoutFailed, format!("{error:#}")))?;
            tracing::info!(epoch, "nodes paid for an epoch of inflation");
        }
        Ok(Response::new(Acknowledgement {}))
    }
}

impl Service {
    /// Has a call of the payout account executed, or finds it executed.
    pub(super) async fn execute(&self, name: &str, call: Call) -> Result<Receipt, OutboxError> {
        let _turn = self.turn.lock().await;
        self.outbox.execute(&self.chain, name, call, now()).await
    }

    /// Executes the epoch's batches, or finds them done; each begins when the one before is confirmed.
    async fn pay_once(&self, instructions: &PayoutInstructionSet) -> Result<PayoutConfirmation> {
        let mut last = None;
        for batch in batches(instructions)? {
            let name = batch.batch_id.to_string();
            last = Some(self.execute(&name, Call::Payout(batch)).await.context("executing a batch")?);
        }
        let _turn = self.turn.lock().await;
        slash(&self.slasher, &self.chain, &instructions.slashes, now()).await.context("slashing stake")?;
        let receipt = last.context("an epoch has a batch")?;
        Ok(PayoutConfirmation {
            epoch: instructions.epoch,
            batch: instructions.digest(),
            transaction: receipt.hash,
            version: receipt.version,
        })
    }
}

/// Runs the payout service until `shutdown`. **Errors**: the folder or the listener failed.
pub async fn run(config: PayoutConfig, shutdown: impl Future<Output = ()>) -> Result<()> {
    config.listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(config.listener)?;
    let (node, address) = config.chain;
    let channel = tls::connect(address, &config.credentials, Peer { role: NodeRole::Chain, node })?;
    let client = ChainNodeClient::new(channel).max_encoding_message_size(SEALED_BYTES_MAX);
    let service = Arc::new(Service {
        slasher: Outbox::open(config.slasher, ChainId::new(&config.chain_name)?, config.folder.clone())?,
        outbox: Outbox::open(config.wallet, ChainId::new(&config.chain_name)?, config.folder)?,
        governance: config.governance,
        key: config.key,
        chain: LedgerChain::new(LedgerChannel(client)),
        turn: Mutex::default(),
    });
    let server = PayoutNodeServer::from_arc(Arc::clone(&service)).max_decoding_message_size(SEALED_BYTES_MAX);
    let approve = Arc::new(|peer: &Peer| peer.role == NodeRole::Master);
    tracing::info!("payout is up");
    tokio::select! {
        served = tls::serve(listener, config.credentials, approve, Routes::new(server), shutdown) => Ok(served?),
        () = minting::follow(service) => Ok(()),
    }
}
