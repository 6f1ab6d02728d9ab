//! Money across processes: a chain that forgot what it paid, the contracts in a development chain, keys that serve one purpose.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use symphony_chain::ledger::query::{Answer, Query};
use symphony_chain::transaction::Tier;
use symphony_protocol::evidence::EndorsedBundle;
use symphony_sdk::campaign::Submitter;
use symphony_sdk::shape::reconcile::Reconciliation;
use symphony_sdk::wallet::WalletError;
use symphony_types::amount::{SYM_UNIT, Sym};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{RequestId, TaskId, VaultId};
use symphony_types::key::Document as _;
use symphony_wire::documents::decode;

use crate::evidence::give_wallets;
use crate::network::{Network, TURN, VAULTS, code, crowd, eventually, spec};

fn request(text: &str) -> RequestId {
    RequestId::new(text).unwrap()
}

async fn anchored(submitter: &Submitter, task: TaskId) -> bool {
    matches!(submitter.client.query(Query::Anchor(task)).await, Ok(Answer::Anchor(Some(_))))
}

/// The digest of a task's evidence, whichever masters endorse it.
async fn evidence(submitter: &Submitter, task: TaskId) -> Digest {
    let bundle: EndorsedBundle = decode(&submitter.client.evidence(task).await.unwrap()).unwrap();
    bundle.body.digest()
}

/// How often a kind of drift was found, and whether one is open.
fn count(told: &Reconciliation, kind: &str) -> (u64, u64) {
    let of = told.drifts.iter().find(|drift| drift.kind == kind).unwrap();
    (of.found, of.open)
}

/// R006, R173, R219, R220: the ledger loses what it paid and finds its locks again, as a chain that was set back; the masters
/// record it, have it paid again, and record that it is over. What was settled stays as it was.
#[tokio::test]
async fn a_chain_that_forgot_a_payout_is_paid_again() {
    let _turn = TURN.lock().await;
    let policy = ["--policy", "challenge=200,epoch=8000"];
    let mut network = Network::start(&policy);
    network.ready().await;
    network.upload("crowd", &crowd(55)).await;
    let luckin = network.submitter("luckin");
    let delivered = luckin.run(&spec(), &request("coupon"), |_| {}).await.unwrap();
    let task = delivered.task.task_id;
    let folder = network.crash();
    let dir = network.dir.clone();
    let ledger = dir.join("ledger/data/ledger.redb");
    let before = fs::read(&ledger).unwrap();
    drop(network);
    let network = Network::start_in(&dir, &policy);
    network.ready().await;
    let luckin = network.submitter("luckin");
    network.settled(&luckin.client, task).await;
    assert!(anchored(&luckin, task).await);
    let bundle = evidence(&luckin, task).await;
    network.stop();
    fs::write(&ledger, before).unwrap();
    let network = Network::start_in(&dir, &policy);
    network.ready().await;
    let luckin = network.submitter("luckin");
    assert!(!anchored(&luckin, task).await, "the chain forgot");
    let told = eventually("the payout is repeated", async || {
        let told = luckin.client.reconciliation(true, 1, 0).await.ok()?;
        (count(&told, "lost_confirmation").0 > 0 && told.open.is_empty()).then_some(told)
    })
    .await;
    assert!(anchored(&luckin, task).await, "{told:?}");
    let steps: Vec<_> =
        told.records.iter().map(|record| (record.kind.as_str(), record.step.as_str())).collect();
    assert!(
        steps.contains(&("lost_confirmation", "found")) && steps.contains(&("lost_confirmation", "settled"))
    );
    assert_eq!(bundle, evidence(&luckin, task).await, "what was settled is what it was");
    drop((network, folder));
}

/// R169, R171, R172, R175, R219: the campaign, the stake and the dividend with the money in the Move contracts, while the chain and
/// its relay are killed.
#[tokio::test]
#[ignore = "needs the Move VM: cargo xtask move network"]
async fn a_campaign_is_paid_by_the_contracts() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--chain", "move", "--policy", "challenge=200,epoch=3000"]);
    network.ready().await;
    let people = crowd(55);
    network.upload("crowd", &people).await;
    give_wallets(&network, &people).await;
    let producer = network.submitter("producer-1");
    let stake = Sym(10 * SYM_UNIT);
    let little = producer.wallet.stake(&producer.client, Tier::Producer, Sym(1)).await;
    assert_eq!(refused(little), Code::StakeInsufficient.as_str());
    producer.wallet.stake(&producer.client, Tier::Producer, stake).await.unwrap();
    let luckin = network.submitter("luckin");
    let delivered = luckin.run(&spec(), &request("coupon"), |_| {}).await.unwrap();
    let task = delivered.task.task_id;
    for node in ["devchain", "ledger", "payout"] {
        network.kill(network.pid(node));
    }
    network.settled(&luckin.client, task).await;
    assert!(anchored(&luckin, task).await);
    let vault = VaultId::new(VAULTS[0]).unwrap();
    let dividends = eventually("the dividend is told", async || {
        let told = producer.client.dividends(VAULTS[0], "producer-1").await.ok()?;
        (!told.is_empty()).then_some(told)
    })
    .await;
    let before = producer.wallet.holding(&producer.client).await.unwrap();
    assert_eq!(before.stakes[&Tier::Producer].deposit, stake);
    assert!(producer.wallet.claim(&producer.client, &vault, &dividends[0]).await.unwrap().is_some());
    assert!(producer.wallet.claim(&producer.client, &vault, &dividends[0]).await.unwrap().is_none());
    let after = producer.wallet.holding(&producer.client).await.unwrap();
    assert_eq!(after.balance.0, before.balance.0 + dividends[0].amount.0);
    producer.wallet.unstake(&producer.client, Tier::Producer, stake).await.unwrap();
    let early = producer.wallet.withdraw(&producer.client, Tier::Producer).await;
    assert_eq!(refused(early), Code::Forbidden.as_str(), "the stake cools down");
    let told = luckin.client.reconciliation(true, 1, 0).await.unwrap();
    assert!(told.complete && told.records.is_empty(), "{told:?}");
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, WalletError>) -> String {
    match outcome {
        Err(WalletError::Client(error)) => code::<()>(Err(error)),
        other => panic!("no refusal: {other:?}"),
    }
}

/// R170, R178, R205: every key of a new network lies in a file of its own, readable by its owner alone, and no two hold the same
/// secret, so that no role can do another's work.
#[test]
fn no_two_keys_of_a_network_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    let made = Command::new(env!("CARGO_BIN_EXE_symphonyd"))
        .args(["dev", "--create-only", "--dir"])
        .arg(&dir)
        .status()
        .unwrap();
    assert!(made.success());
    let mut seeds: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut open = vec![dir.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let key = path.extension().is_some_and(|end| end == "seed" || end == "key");
            let text = fs::read_to_string(&path).unwrap_or_default();
            if !key || text.trim().len() != 64 {
                continue;
            }
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
            if let Some(other) = seeds.insert(text, path.clone()) {
                panic!("{} and {} are one key", other.display(), path.display());
            }
        }
    }
    let named = |end: &str| seeds.values().filter(|path| path.ends_with(end)).count();
    for role in [
        "payout/keys/payout.seed",
        "payout/keys/wallet.seed",
        "verifier/keys/verifier.seed",
        "master-1/keys/master.seed",
        "master-1/keys/slasher-wallet.seed",
        "master-1/keys/aggregator-wallet.seed",
        "treasury/signer-1.seed",
        "gateway/keys/gateway.seed",
        "clients/council-1/council.key",
    ] {
        assert_eq!(named(role), 1, "{role}");
    }
}
