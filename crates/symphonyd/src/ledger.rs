//! The host of the reference ledger: the chain of a network that has none. The model of the contracts behind the
//! same journal that masters use; nobody's word counts here but a signed transaction's.

use std::future::Future;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use symphony_chain::ledger::query::answer;
use symphony_chain::ledger::{Abort, Command, Event, Genesis, State, decide, evolve};
use symphony_chain::port::{Request as ChainRequest, Response as ChainResponse};
use symphony_chain::transaction::Submission;
use symphony_consensus::machine::{self, Machine};
use symphony_consensus::orderer::{OrderError, Orderer, Solo};
use symphony_consensus::replay::Verify;
use symphony_master::node::now;
use symphony_types::catalogue::Code;
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_types::time::OrderedMillis;
use symphony_wire::status::refusal;
use symphony_wire::tls::{self, Credentials, NodeRole, Peer};
use symphony_wire::v1::SignedDocument;
use symphony_wire::v1::chain_node_server::{ChainNode, ChainNodeServer};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// The contracts' rules in the shape that the journal drives.
struct Ledger;

impl Machine for Ledger {
    type State = State;
    type Command = Command;
    type Event = Event;
    type Refusal = Abort;

    fn decide(state: &State, at: OrderedMillis, command: &Command) -> Result<Vec<Event>, Abort> {
        decide(state, at, command)
    }

    fn evolve(state: &mut State, at: OrderedMillis, event: &Event) {
        evolve(state, at, event);
    }
}

struct Service {
    orderer: Solo<Ledger>,
}

#[tonic::async_trait]
impl ChainNode for Service {
    async fn submit(&self, request: Request<SignedDocument>) -> Result<Response<SignedDocument>, Status> {
        let response = match ChainRequest::from_bytes(&request.get_ref().document) {
            Some(ChainRequest::Submit(Submission::Contracts(_))) => {
                ChainResponse::Refused(Abort::WrongChain.into())
            }
            Some(ChainRequest::Submit(Submission::Ledger(transaction))) => {
                let hash = symphony_types::key::Document::digest(&transaction.body);
                match self.orderer.order(*transaction).await {
                    Ok(_) => match self.orderer.state().receipt(hash) {
                        Some(receipt) => ChainResponse::Executed(receipt.clone()),
                        None => {
                            return Err(refusal(Code::Internal, "an executed transaction has no receipt"));
                        }
                    },
                    Err(OrderError::Refused(abort)) => ChainResponse::Refused(abort.into()),
                    Err(error) => return Err(refusal(Code::Unavailable, error)),
                }
            }
            Some(ChainRequest::Query(_)) | None => ChainResponse::Malformed,
        };
        Ok(Response::new(SignedDocument { document: response.to_bytes(), standing: vec![] }))
    }

    async fn query(&self, request: Request<SignedDocument>) -> Result<Response<SignedDocument>, Status> {
        let response = match ChainRequest::from_bytes(&request.get_ref().document) {
            Some(ChainRequest::Query(query)) => {
                ChainResponse::Answer(answer(&self.orderer.state(), now(), &query))
            }
            Some(ChainRequest::Submit(_)) | None => ChainResponse::Malformed,
        };
        Ok(Response::new(SignedDocument { document: response.to_bytes(), standing: vec![] }))
    }
}

/// Runs the ledger's host until `shutdown`. **Errors**: the journal or the listener failed.
pub(crate) async fn run(
    name: String,
    genesis: Genesis,
    folder: &Path,
    listener: TcpListener,
    credentials: Credentials,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let genesis = machine::Genesis { name, state: State::new(genesis)? };
    let orderer = Solo::open(&folder.join("ledger.redb"), &genesis, Verify::Links, Arc::new(now))
        .context("opening the ledger's journal")?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let server = ChainNodeServer::new(Service { orderer }).max_decoding_message_size(SEALED_BYTES_MAX);
    tracing::info!("ledger is up");
    Ok(tls::serve(listener, credentials, Arc::new(admitted), Routes::new(server), shutdown).await?)
}

/// Who may call a chain node: those that act for others have asked before.
pub(crate) fn admitted(peer: &Peer) -> bool {
    matches!(peer.role, NodeRole::Master | NodeRole::Payout)
}
