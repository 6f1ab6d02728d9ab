//! The chain node, over mutual TLS, behind the chain's port; and what it says of an account, as users read it.

use async_trait::async_trait;
use symphony_chain::port::{Chain, ChainError, RemoteChain, Request, Transport};
use symphony_chain::transaction::{ChainTerms, Tier};
use symphony_types::id::AccountId;
use symphony_wire::tls::Channel;
use symphony_wire::v1::chain_node_client::ChainNodeClient;
use symphony_wire::v1::{self, SignedDocument};

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

/// What the chain says of an account, and what its owner must know to sign. **Errors**: it does not answer.
pub(crate) async fn account(chain: &impl Chain, account: AccountId) -> Result<v1::ChainAccount, ChainError> {
    let terms = chain.terms().await?;
    let seen = chain.account(account).await?;
    let stakes = seen.stakes.iter().map(|(tier, stake)| v1::ChainStake {
        tier: match tier {
            Tier::Master => "master",
            Tier::Enterprise => "enterprise",
            Tier::Producer => "producer",
        }
        .to_owned(),
        deposit: stake.deposit.0,
        cooling: stake.cooling.0,
        matures_ms: stake.matures.0,
    });
    let (contracts, number) = match &terms {
        ChainTerms::Ledger(_) => (vec![], 0),
        ChainTerms::Contracts { deployment, .. } => {
            (deployment.contracts.0.0.to_vec(), u32::from(deployment.number))
        }
    };
    Ok(v1::ChainAccount {
        account: account.0.0.to_vec(),
        balance: seen.balance.0,
        sequence: seen.sequence,
        stakes: stakes.collect(),
        chain: terms.chain().to_string(),
        contracts,
        number,
    })
}
