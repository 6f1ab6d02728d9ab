//! The reference ledger of another process, over mutual TLS, behind the chain's port.

use async_trait::async_trait;
use symphony_chain::port::{ChainError, RemoteChain, Request, Transport};
use symphony_wire::tls::Channel;
use symphony_wire::v1::SignedDocument;
use symphony_wire::v1::chain_node_client::ChainNodeClient;

/// The ledger at the other end of a channel.
pub type LedgerChain = RemoteChain<LedgerChannel>;

/// Carries the ledger's requests over gRPC.
#[derive(Clone)]
pub struct LedgerChannel(pub ChainNodeClient<Channel>);

#[async_trait]
impl Transport for LedgerChannel {
    async fn call(&self, request: Vec<u8>) -> Result<Vec<u8>, ChainError> {
        let submits = matches!(Request::from_bytes(&request), Some(Request::Submit(_)));
        let message = SignedDocument { document: request, standing: vec![] };
        let mut client = self.0.clone();
        let answer = if submits { client.submit(message).await } else { client.query(message).await };
        match answer {
            Ok(answer) => Ok(answer.into_inner().document),
            Err(status) => Err(ChainError::Unreachable(status.message().to_owned())),
        }
    }
}
