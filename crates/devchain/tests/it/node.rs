//! One node through its API, with the official Rust client: what it refuses, what its faults do, and the way back (R171, R172).

use std::net::SocketAddr;
use std::time::Duration;

use aptos_sdk::account::Ed25519Account;
use aptos_sdk::transaction::SignedTransaction;
use aptos_sdk::transaction::builder::sign_transaction;
use aptos_sdk::transaction::payload::{EntryFunction, TransactionPayload};
use aptos_sdk::types::{AccountAddress, ChainId, Identifier, MoveModuleId};
use aptos_sdk::{Aptos, AptosConfig};
use symphony_devchain::development;
use symphony_devchain::faults::Faults;
use symphony_devchain::genesis::{self, Artifacts};
use symphony_devchain::node::Node;
use symphony_devchain::rest::{self, Shared};
use tokio::net::TcpListener;

use crate::tool::artifacts;

struct Net {
    shared: Shared,
    client: Aptos,
    sender: Ed25519Account,
}

impl Net {
    async fn start(artifacts: &Artifacts) -> Self {
        let node = Node::new(artifacts, development::CHAIN_ID, &development::start(0)).unwrap();
        let shared = Shared::new(node);
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(rest::serve(listener, shared.clone()));
        let config = AptosConfig::custom(&url).unwrap().with_max_retries(0);
        let client = Aptos::new(config).unwrap();
        client.ensure_chain_id().await.unwrap();
        shared.node().fund(development::account(1).0.0, 1_000_000_000_000);
        let sender = Ed25519Account::from_private_key_bytes(&[1; 32]).unwrap();
        Self { shared, client, sender }
    }

    async fn signed(&self, amount: u64) -> SignedTransaction {
        let raw = self.client.build_transaction(&self.sender, payment(amount)).await.unwrap();
        sign_transaction(&raw, &self.sender).unwrap()
    }

    async fn refusal(&self, transaction: &SignedTransaction) -> String {
        self.client.submit_transaction(transaction).await.map(|_| ()).unwrap_err().to_string()
    }

    async fn received(&self) -> String {
        let to = AccountAddress::new([9; 32]).to_string();
        let function = format!("0x{}::sym::balance", hex::encode(genesis::address()));
        self.client.view(&function, vec![], vec![to.into()]).await.unwrap()[0].as_str().unwrap().to_owned()
    }

    async fn committed(&self, transaction: &SignedTransaction) -> bool {
        let hash = transaction.hash().unwrap();
        let found = self.client.fullnode().get_transaction_by_hash(&hash).await;
        found.is_ok_and(|found| found.data.get("version").is_some())
    }

    fn faults(&self, faults: Faults) {
        self.shared.node().set_faults(faults);
    }
}

fn payment(amount: u64) -> TransactionPayload {
    let module = MoveModuleId::new(AccountAddress::new(genesis::address()), Identifier::new("sym").unwrap());
    let args = vec![bcs::to_bytes(&[9u8; 32]).unwrap(), bcs::to_bytes(&amount).unwrap()];
    TransactionPayload::EntryFunction(EntryFunction::new(module, "transfer", vec![], args))
}

#[tokio::test]
#[ignore = "needs the Move VM: cargo xtask move test"]
async fn what_a_full_node_refuses_is_refused() {
    let artifacts = artifacts();
    let net = Net::start(&artifacts).await;
    let good = net.signed(5).await;
    let signed = |change: &dyn Fn(&mut aptos_sdk::transaction::RawTransaction)| {
        let mut raw = good.raw_txn.clone();
        change(&mut raw);
        sign_transaction(&raw, &net.sender).unwrap()
    };
    let elsewhere = signed(&|raw| raw.chain_id = ChainId::new(1));
    assert!(net.refusal(&elsewhere).await.contains("BAD_CHAIN_ID"));
    let late = signed(&|raw| raw.expiration_timestamp_secs = 1);
    assert!(net.refusal(&late).await.contains("TRANSACTION_EXPIRED"));
    let mut forged = good.clone();
    forged.raw_txn.payload = payment(500);
    assert!(net.refusal(&forged).await.contains("INVALID_SIGNATURE"));
    let poor = Ed25519Account::from_private_key_bytes(&[99; 32]).unwrap();
    let mut raw = good.raw_txn.clone();
    raw.sender = poor.address();
    let unpaid = sign_transaction(&raw, &poor).unwrap();
    assert!(net.refusal(&unpaid).await.contains("INSUFFICIENT_BALANCE_FOR_TRANSACTION_FEE"));
    net.client.submit_and_wait(&good, None).await.unwrap();
    let again = signed(&|raw| raw.max_gas_amount += 1);
    assert!(net.refusal(&again).await.contains("SEQUENCE_NUMBER_TOO_OLD"));
    // The same bytes again are the same transaction.
    net.client.submit_and_wait(&good, None).await.unwrap();
    assert_eq!(net.received().await, "5");
}

#[tokio::test]
#[ignore = "needs the Move VM: cargo xtask move test"]
async fn faults_happen_on_command() {
    let artifacts = artifacts();
    let net = Net::start(&artifacts).await;
    let first = net.signed(1).await;
    net.faults(Faults { drop_requests: 1, ..Faults::default() });
    net.refusal(&first).await;
    assert!(!net.committed(&first).await);
    net.faults(Faults { drop_answers: 1, ..Faults::default() });
    net.refusal(&first).await;
    assert!(net.committed(&first).await, "executed, but nobody heard");
    net.client.submit_transaction(&first).await.unwrap();
    assert_eq!(net.received().await, "1", "sent three times, paid once");
    let lost = net.signed(2).await;
    net.faults(Faults { forget: 1, ..Faults::default() });
    net.client.submit_transaction(&lost).await.unwrap();
    assert!(!net.committed(&lost).await);
    net.shared.node().pass(3_600_000);
    assert!(net.refusal(&lost).await.contains("TRANSACTION_EXPIRED"), "provably dead");
    let third = net.signed_after(4, 7_200).await;
    net.faults(Faults { delay_ms: 1_000_000, ..Faults::default() });
    net.client.submit_transaction(&third).await.unwrap();
    assert!(!net.committed(&third).await);
    net.shared.node().pass(1_000_000);
    assert!(net.committed(&third).await, "late, but executed");
    assert_eq!(net.received().await, "5");
}

#[tokio::test]
#[ignore = "needs the Move VM: cargo xtask move test"]
async fn a_lagging_node_knows_the_past_only() {
    let artifacts = artifacts();
    let net = Net::start(&artifacts).await;
    net.faults(Faults { lag: true, ..Faults::default() });
    let payment = net.signed(3).await;
    net.client.submit_transaction(&payment).await.unwrap();
    assert!(!net.committed(&payment).await);
    assert_eq!(net.received().await, "0");
    assert_eq!(net.client.get_sequence_number(net.sender.address()).await.unwrap(), 0);
    net.faults(Faults::default());
    assert!(net.committed(&payment).await);
    assert_eq!(net.received().await, "3");
}

#[tokio::test]
#[ignore = "needs the Move VM: cargo xtask move test"]
async fn a_chain_comes_back_to_a_snapshot_and_to_its_beginning() {
    let artifacts = artifacts();
    let net = Net::start(&artifacts).await;
    let first = net.signed(1).await;
    net.client.submit_and_wait(&first, None).await.unwrap();
    net.shared.node().keep("after one");
    let second = net.signed(2).await;
    net.client.submit_and_wait(&second, None).await.unwrap();
    assert_eq!(net.received().await, "3");
    assert!(net.shared.node().come_back(Some("after one")));
    assert_eq!(net.received().await, "1");
    assert!(net.committed(&first).await && !net.committed(&second).await);
    net.client.submit_and_wait(&second, None).await.unwrap();
    assert_eq!(net.received().await, "3");
    assert!(net.shared.node().come_back(None));
    assert_eq!(net.received().await, "0");
    assert!(!net.committed(&first).await);
    assert!(!net.shared.node().come_back(Some("never kept")));
}

#[tokio::test]
#[ignore = "needs the Move VM: cargo xtask move test"]
async fn a_nonce_stands_for_a_sequence_number() {
    let artifacts = artifacts();
    let net = Net::start(&artifacts).await;
    let sent = net
        .client
        .sign_submit_and_wait_orderless(&net.sender, payment(7), Some(11), Some(Duration::from_secs(5)))
        .await;
    assert_eq!(sent.unwrap().data["success"], true);
    assert_eq!(net.received().await, "7");
    assert_eq!(net.client.get_sequence_number(net.sender.address()).await.unwrap(), 0);
}

impl Net {
    /// A transaction that lives as long after a jump of the clock.
    async fn signed_after(&self, amount: u64, seconds: u64) -> SignedTransaction {
        let mut raw = self.client.build_transaction(&self.sender, payment(amount)).await.unwrap();
        raw.expiration_timestamp_secs += seconds;
        sign_transaction(&raw, &self.sender).unwrap()
    }
}
