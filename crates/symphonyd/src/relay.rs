//! The chain node of a network whose money is on Aptos: what masters and the payout service ask of the chain, asked of a full
//! node. Its only key, if it has one, pays gas (R176): whoever pays SYM has signed before, and what it says is checked by the
//! contracts or by other masters.

use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Result;
use symphony_chain::contracts::Contracts;
use symphony_chain::port::{Request as ChainRequest, Response as ChainResponse};
use symphony_types::limits::SEALED_BYTES_MAX;
use symphony_wire::status::refusal;
use symphony_wire::tls::{self, Credentials};
use symphony_wire::v1::SignedDocument;
use symphony_wire::v1::chain_node_server::{ChainNode, ChainNodeServer};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::ledger::admitted;

struct Service {
    chain: Contracts,
}

impl Service {
    async fn respond(&self, document: &[u8], submits: bool) -> Result<Response<SignedDocument>, Status> {
        let asked = ChainRequest::from_bytes(document);
        let asked = asked.filter(|asked| matches!(asked, ChainRequest::Submit(_)) == submits);
        let response = match asked {
            None => ChainResponse::Malformed,
            Some(asked) => {
                let answer = self.chain.respond(asked).await;
                answer.map_err(|error| refusal(error.code(), error))?
            }
        };
        Ok(Response::new(SignedDocument { document: response.to_bytes(), standing: vec![] }))
    }
}

#[tonic::async_trait]
impl ChainNode for Service {
    async fn submit(&self, request: Request<SignedDocument>) -> Result<Response<SignedDocument>, Status> {
        self.respond(&request.get_ref().document, true).await
    }

    async fn query(&self, request: Request<SignedDocument>) -> Result<Response<SignedDocument>, Status> {
        self.respond(&request.get_ref().document, false).await
    }
}

/// Runs the relay until `shutdown`. **Errors**: the listener cannot be used.
pub(crate) async fn run(
    chain: Contracts,
    listener: TcpListener,
    credentials: Credentials,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let server = ChainNodeServer::new(Service { chain }).max_decoding_message_size(SEALED_BYTES_MAX);
    tracing::info!("relay is up");
    Ok(tls::serve(listener, credentials, Arc::new(admitted), Routes::new(server), shutdown).await?)
}
