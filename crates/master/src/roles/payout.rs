//! The payout service: turns an epoch's instruction set into one chain transaction and sees it confirmed
//! (R169-R173). Signed bytes are durable before the first submit, so that whatever crashes, the same bytes go
//! out again and nobody is paid twice.

use std::fs::{self, File};
use std::future::Future;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use symphony_chain::port::{Chain, ChainError};
use symphony_chain::transaction::{
    Anchor, Call, Carry, ChainId, DividendTree, EscrowSettlement, Payee, PayoutBatch, RecipientClass,
    SignedTransaction, Subsidy, Transaction,
};
use symphony_protocol::artifact::RecipientClass as Class;
use symphony_protocol::governance::Governance;
use symphony_protocol::settlement::payout::{PayoutConfirmation, PayoutInstructionSet};
use symphony_types::catalogue::Code;
use symphony_types::id::NodeId;
use symphony_types::key::{Document, Payout, PrivateKey, Wallet};
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_wire::documents::{decode, encode};
use symphony_wire::status::refusal;
use symphony_wire::tls::{self, Credentials, NodeRole, Peer};
use symphony_wire::v1::SignedDocument;
use symphony_wire::v1::chain_node_client::ChainNodeClient;
use symphony_wire::v1::payout_node_server::{PayoutNode, PayoutNodeServer};
use tokio::sync::Mutex;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::from_masters;
use crate::chain::{LedgerChain, LedgerChannel};
use crate::node::now;

/// How long a signed batch stays valid; after that it is provably dead and signed anew. **Units**: milliseconds.
const VALID_MS: u64 = 60_000;

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
    /// Keys in force.
    pub governance: Governance,
    /// The host of the ledger.
    pub chain: (NodeId, SocketAddr),
}

struct Service {
    chain_id: ChainId,
    folder: PathBuf,
    governance: Governance,
    key: PrivateKey<Payout>,
    wallet: PrivateKey<Wallet>,
    chain: LedgerChain,
    /// One batch at a time: sequence numbers of one account follow each other.
    turn: Mutex<()>,
}

#[tonic::async_trait]
impl PayoutNode for Service {
    async fn pay(&self, request: Request<SignedDocument>) -> Result<Response<SignedDocument>, Status> {
        let instructions: PayoutInstructionSet = from_masters(&self.governance, &request.get_ref().document)?;
        let confirmation = {
            let _turn = self.turn.lock().await;
            self.pay_once(&instructions)
                .await
                .map_err(|error| refusal(Code::PayoutFailed, format!("{error:#}")))?
        };
        tracing::info!(epoch = %confirmation.epoch, version = confirmation.version, "epoch paid");
        Ok(Response::new(SignedDocument { document: encode(&self.key.sign(confirmation)), standing: vec![] }))
    }
}

impl Service {
    /// Submits the batch, or finds it done. The outcomes of an earlier attempt: executed (its receipt is
    /// there), alive (the same bytes are sent again), expired without a receipt (signed anew).
    async fn pay_once(&self, instructions: &PayoutInstructionSet) -> Result<PayoutConfirmation> {
        let batch = instructions.digest();
        let path = self.folder.join(format!("{batch}.batch"));
        let known = fs::read(&path).ok().and_then(|bytes| decode::<SignedTransaction>(&bytes).ok());
        let transaction = match known {
            Some(transaction) => match self.chain.receipt(transaction.body.digest()).await? {
                Some(_) => transaction,
                None if transaction.body.expires <= now() => self.sign(instructions, &path).await?,
                None => transaction,
            },
            None => self.sign(instructions, &path).await?,
        };
        let receipt = match self.chain.submit(transaction).await {
            Ok(receipt) => receipt,
            Err(error @ ChainError::Aborted(_)) => {
                // The bytes will never be executed: the next attempt signs anew.
                fs::remove_file(&path)?;
                return Err(error).context("the chain aborted the batch");
            }
            Err(error) => return Err(error).context("submitting the batch"),
        };
        Ok(PayoutConfirmation {
            epoch: instructions.epoch,
            batch,
            transaction: receipt.hash,
            version: receipt.version,
        })
    }

    async fn sign(&self, instructions: &PayoutInstructionSet, path: &Path) -> Result<SignedTransaction> {
        let sequence = self.chain.account(self.wallet.public().account()).await?.sequence;
        let call = Call::Payout(batch(instructions));
        let expires = now().plus(VALID_MS);
        let transaction = Transaction::sign(&self.wallet, self.chain_id.clone(), sequence, expires, call);
        let part = path.with_extension("part");
        let mut file = File::create(&part)?;
        file.write_all(&encode(&transaction))?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        File::open(&self.folder)?.sync_all()?;
        Ok(transaction)
    }
}

/// The instruction set in the chain's own words.
fn batch(set: &PayoutInstructionSet) -> PayoutBatch {
    PayoutBatch {
        batch_id: set.digest(),
        epoch: set.epoch,
        settlements: set
            .settlements
            .iter()
            .map(|settled| EscrowSettlement {
                lock: settled.lock,
                task: settled.task,
                charged: settled.charged,
                refunded: settled.refunded,
            })
            .collect(),
        subsidies: set
            .subsidies
            .iter()
            .map(|subsidy| Subsidy { task: subsidy.task, amount: subsidy.amount })
            .collect(),
        payees: set
            .payees
            .iter()
            .map(|payee| Payee { account: payee.account, class: class(payee.class), amount: payee.amount })
            .collect(),
        dividends: set
            .dividends
            .iter()
            .map(|tree| DividendTree {
                vault: tree.vault.clone(),
                root: tree.root,
                leaves: tree.payees,
                total: tree.total,
            })
            .collect(),
        carries: set
            .carries
            .iter()
            .map(|carry| Carry { vault: carry.vault.clone(), into: carry.into, out_of: carry.out_of })
            .collect(),
        pool_return: set.pool_return,
        treasury: set.treasury,
        anchors: set
            .anchors
            .iter()
            .map(|(task, root)| Anchor { task: *task, settlement_root: *root })
            .collect(),
    }
}

fn class(class: Class) -> RecipientClass {
    match class {
        Class::Contributors => RecipientClass::Contributor,
        Class::VaultOperator => RecipientClass::VaultOperator,
        Class::Executor => RecipientClass::Executor,
        Class::Aggregator => RecipientClass::Aggregator,
        Class::Verifier => RecipientClass::Verifier,
        Class::Treasury => RecipientClass::Treasury,
    }
}

/// Runs the payout service until `shutdown`. **Errors**: the folder or the listener failed.
pub async fn run(config: PayoutConfig, shutdown: impl Future<Output = ()>) -> Result<()> {
    fs::create_dir_all(&config.folder)?;
    config.listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(config.listener)?;
    let (node, address) = config.chain;
    let channel = tls::connect(address, &config.credentials, Peer { role: NodeRole::Chain, node })?;
    let client = ChainNodeClient::new(channel).max_encoding_message_size(SEALED_BYTES_MAX);
    let service = Service {
        chain_id: ChainId::new(&config.chain_name)?,
        folder: config.folder,
        governance: config.governance,
        key: config.key,
        wallet: config.wallet,
        chain: LedgerChain::new(LedgerChannel(client)),
        turn: Mutex::default(),
    };
    let server = PayoutNodeServer::new(service).max_decoding_message_size(SEALED_BYTES_MAX);
    let approve = Arc::new(|peer: &Peer| peer.role == NodeRole::Master);
    tracing::info!("payout is up");
    Ok(tls::serve(listener, config.credentials, approve, Routes::new(server), shutdown).await?)
}
