//! A person's receipts over a whole network: custody is between the person and its Vault, from upload to erasure.

use std::fs;

use serde_json::json;
use symphony_sdk::client::{Client, ClientError, Format, Upload};
use symphony_sdk::receipts::committed;
use symphony_sdk::shape::ReceiptEntry;
use symphony_sdk::{erasure, receipts::Uploaded};
use symphony_types::digest::Digest;
use symphony_types::id::{RequestId, SubjectId};

use crate::network::{Network, TURN, code, eventually};
use crate::taint::{Needles, files, in_file};

/// In every document; it must not be found in any file.
const PRIVATE: &str = "zqreceipt60dfcustody";
const PEOPLE: [&str; 2] = ["receipt-person-1", "receipt-person-2"];

/// R074, R075, R076, R079, R200, R209, R234 (custody): no step of it is an order of the masters, and nothing of it is in
/// clear on any disk.
#[tokio::test]
async fn receipts_are_kept_and_erased_by_the_vault_alone() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    let network = Network::start_in(&dir, &["--policy", "challenge=200"]);
    network.ready().await;
    nothing_left_to_order(&network).await;
    let before = heights(&network).await;
    let [own, other] = PEOPLE.map(|name| network.client_as(name, "producer"));
    for (client, name) in [(&own, PEOPLE[0]), (&other, PEOPLE[1])] {
        enrol(client, name).await;
    }
    let uploaded = documents_come_back(&own).await;
    nobody_else_sees_them(&network, &other, &uploaded).await;
    let late = uploads_go_on_without_the_chain(&network, &own).await;
    let erased = an_erasure_is_proven(&network, &own, &uploaded[0], &dir).await;
    assert_eq!(heights(&network).await, before, "the masters ordered nothing");
    a_restarted_vault_knows_it_all(&network, &own, &erased, &late).await;
    assert_eq!(heights(&network).await, before, "the masters ordered nothing");
    network.stop();
    let needles = Needles::of(PRIVATE);
    let files = files(&dir);
    assert!(files.iter().any(|file| file.ends_with("documents.keys")), "the vaults' files are among them");
    for file in files {
        assert_eq!(in_file(&file, &needles), None, "{}", file.display());
    }
}

/// A new network's masters order what they speak, and in the next epoch what is in force.
async fn nothing_left_to_order(network: &Network) {
    let client = network.client("luckin");
    let mut last = client.status().await.unwrap();
    eventually("the masters have nothing left to order", async || {
        let status = client.status().await.unwrap();
        if status.height != last.height {
            last = status;
            return None;
        }
        (status.epoch_id > last.epoch_id + 1).then_some(())
    })
    .await;
}

/// Height and state of every master.
async fn heights(network: &Network) -> Vec<(String, u64, String)> {
    let status = network.client("luckin").status().await.unwrap();
    let masters = status.master_nodes.into_iter();
    masters.map(|master| (master.node, master.height, master.state_hash)).collect()
}

async fn enrol(client: &Client, name: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let line = json!({"subject": name, "contact": format!("{name}@example.org")});
    fs::write(file.path(), format!("{line}\n")).unwrap();
    let key = request("enrol");
    let sent =
        client.upload("assigned", Upload::Subjects, Format::JsonLines, &key, file.path()).await.unwrap();
    assert_eq!(sent.accepted, 1);
}

/// Megabytes of a receipt, as a camera makes them.
fn photo(number: u8) -> Vec<u8> {
    let mut photo = [b"\xff\xd8\xff\xe0".as_slice(), PRIVATE.as_bytes()].concat();
    photo.resize(3 << 20, number);
    photo
}

/// R074, R077, R080, R209
async fn documents_come_back(own: &Client) -> Vec<ReceiptEntry> {
    let documents = [photo(1), photo(2), format!("%PDF-1.7 {PRIVATE}").into_bytes()];
    let mut receipts = Vec::new();
    for (number, content) in documents.iter().enumerate() {
        let key = request(&format!("receipt-{number}"));
        let Uploaded { receipt, duplicate } = own.upload_receipt(content, &key).await.unwrap();
        assert!(!duplicate);
        assert_eq!(own.upload_receipt(content, &key).await.unwrap().receipt, receipt, "the same request");
        let again = own.upload_receipt(content, &request(&format!("again-{number}"))).await.unwrap();
        assert!(again.duplicate && again.receipt == receipt, "the same content");
        let id = Digest::from_hex(&receipt.receipt_id).unwrap();
        assert_eq!(own.receipt_content(id).await.unwrap(), *content);
        assert!(committed(&receipt, &SubjectId::new(PEOPLE[0]).unwrap(), content));
        receipts.push(receipt);
    }
    assert_eq!(code(own.upload_receipt(&photo(9), &request("receipt-0")).await), "ADM-0005");
    assert_eq!(code(own.upload_receipt(b"GIF89a", &request("gif")).await), "VLT-0009");
    assert_eq!(code(own.upload_receipt(b"", &request("empty")).await), "VLT-0010");
    let listed: Vec<_> =
        own.receipts().await.unwrap().into_iter().map(|receipt| receipt.receipt_id).collect();
    assert_eq!(listed, receipts.iter().map(|receipt| receipt.receipt_id.clone()).collect::<Vec<_>>());
    receipts
}

/// R079
async fn nobody_else_sees_them(network: &Network, other: &Client, receipts: &[ReceiptEntry]) {
    assert_eq!(other.receipts().await.unwrap(), []);
    let id = Digest::from_hex(&receipts[0].receipt_id).unwrap();
    // The other person may be assigned to another Vault, which does not know the receipt either.
    assert_eq!(code(other.receipt_content(id).await), "ADM-0004");
    assert_eq!(code(other.erase_receipt(id).await), "ADM-0004");
    for operator in ["operator-vault-a", "operator-vault-b", "operator-vault-c"] {
        let operator = network.client(operator);
        assert_eq!(code(operator.receipt_content(id).await), "ADM-0003");
        assert_eq!(code(operator.receipts().await), "ADM-0003");
    }
    // Not even as a producer of that name: the token says whose receipts they are.
    let pretender = network.client_as(PEOPLE[0], "submitter");
    assert_eq!(code(pretender.receipt_content(id).await), "ADM-0003");
}

/// R200: the chain is away, and receipts are kept all the same.
async fn uploads_go_on_without_the_chain(network: &Network, own: &Client) -> ReceiptEntry {
    let ledger = network.pid("ledger");
    network.pause(ledger, true);
    let uploaded = own.upload_receipt(&photo(3), &request("without-chain")).await;
    network.pause(ledger, false);
    uploaded.unwrap().receipt
}

/// R080, D12
async fn an_erasure_is_proven(
    network: &Network,
    own: &Client,
    receipt: &ReceiptEntry,
    dir: &std::path::Path,
) -> (Digest, Vec<u8>) {
    let id = Digest::from_hex(&receipt.receipt_id).unwrap();
    let erased = own.erase_receipt(id).await.unwrap();
    assert_eq!((erased.receipt.state.as_str(), &erased.receipt.receipt_id), ("erased", &receipt.receipt_id));
    let governance = erasure::governance(&fs::read(dir.join("governance.bcs")).unwrap()).unwrap();
    let proven = erasure::check(&erased.proof, &governance).unwrap();
    assert_eq!((proven.commitment.0, proven.at.0), (id, erased.receipt.erased_ms));
    assert_eq!(proven.vault.as_str(), own.assigned().await.unwrap().vault_id);
    let mut forged = erased.proof.clone();
    forged[12] ^= 1;
    assert!(erasure::check(&forged, &governance).is_err());
    assert_eq!(code(own.receipt_content(id).await), "VLT-0012");
    assert_eq!(code(network.client_as(PEOPLE[1], "producer").receipt(id).await), "ADM-0004");
    let listed = own.receipts().await.unwrap();
    let states: Vec<_> = listed.iter().map(|receipt| receipt.state.as_str()).collect();
    assert_eq!(states, ["erased", "stored", "stored", "stored"]);
    (id, erased.proof)
}

/// R209, R217: what was answered is there after a crash.
async fn a_restarted_vault_knows_it_all(
    network: &Network,
    own: &Client,
    (erased, proof): &(Digest, Vec<u8>),
    late: &ReceiptEntry,
) {
    let listed = own.receipts().await.unwrap();
    let node = format!("enterprise-{}", own.assigned().await.unwrap().vault_id);
    let killed = network.pid(&node);
    network.kill(killed);
    eventually("the vault is back", async || match own.receipts().await {
        Ok(receipts) => {
            assert_eq!(receipts, listed);
            Some(())
        }
        Err(ClientError::Refused(problem)) if problem.retryable => None,
        other => panic!("{other:?}"),
    })
    .await;
    assert_ne!(network.pid(&node), killed);
    assert_eq!(own.erase_receipt(*erased).await.unwrap().proof, *proof);
    let id = Digest::from_hex(&late.receipt_id).unwrap();
    assert_eq!(own.receipt_content(id).await.unwrap(), photo(3));
}

fn request(name: &str) -> RequestId {
    RequestId::new(name).unwrap()
}
