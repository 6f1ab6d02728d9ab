//! Money across processes: a chain that forgot what it paid, the contracts in a development chain, keys that serve one purpose.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use symphony_chain::ledger::query::{Answer, Query};
use symphony_chain::transaction::{ProposalKind, Release, Tier, VoteResult};
use symphony_protocol::evidence::EndorsedBundle;
use symphony_sdk::campaign::Submitter;
use symphony_sdk::shape::reconcile::Reconciliation;
use symphony_sdk::treasury;
use symphony_sdk::wallet::{Wallet as LocalWallet, WalletError};
use symphony_types::amount::{SYM_UNIT, Sym};
use symphony_types::catalogue::Code;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, RequestId, TaskId, VaultId};
use symphony_types::key::{Document as _, PrivateKey, Treasury, Wallet};
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

/// R164, R178, R179, R181: the chain's own money on the reference ledger.
#[tokio::test]
async fn inflation_pays_nodes_and_the_treasury_what_the_council_accepts() {
    let _turn = TURN.lock().await;
    let network = Network::start(&INFLATION);
    network.ready().await;
    follows_the_schedule(&network).await;
    releases(&network).await;
    network.stop();
}

/// Short epochs, and a pay for nodes that the epoch pool has.
const INFLATION: [&str; 4] = ["--inflation-epoch", "1000", "--policy", "challenge=200,epoch=3000,node_pay=5"];

/// Epochs are minted and every node is paid for each, though the payout service is killed.
async fn follows_the_schedule(network: &Network) {
    let client = network.client("luckin");
    let minting = async || treasury::minting(&client).await.ok();
    let first = eventually("an epoch is minted", async || minting().await.filter(|m| m.next > 0)).await;
    network.kill(network.pid("payout"));
    let then =
        eventually("more are minted", async || minting().await.filter(|m| m.next > first.next + 2)).await;
    let paid =
        async |epoch| matches!(client.query(Query::NodesPaid(epoch)).await, Ok(Answer::NodesPaid(true)));
    for epoch in 0..then.next {
        eventually("nodes are paid", async || paid(epoch).await.then_some(())).await;
    }
    let operator =
        fs::read_to_string(network.dir.join("enterprise-vault-a/keys/operator-wallet.seed")).unwrap();
    let seed = Digest::from_hex(operator.trim()).unwrap();
    let operator = PrivateKey::<Wallet>::from_seed(&seed.0).public().account();
    let Ok(Answer::Account(held)) = client.query(Query::Account(operator)).await else { panic!() };
    assert!(held.balance.0 >= 5 * then.next && held.balance.0.is_multiple_of(5), "{held:?}");
    let before = treasury::funds(&client).await.unwrap();
    let after = eventually("the treasury has its share", async || {
        treasury::funds(&client).await.ok().filter(|funds| funds.treasury > before.treasury)
    })
    .await;
    assert!(after.minted > before.minted);
}

/// Two signers release what the recorded result allows, once; before it, and for another amount, nothing.
async fn releases(network: &Network) {
    let luckin = network.submitter("luckin");
    let chain = luckin.client.query(Query::Terms).await.unwrap();
    let Answer::Terms(terms) = chain else { panic!("{chain:?}") };
    let release = |amount| Release {
        chain: terms.chain().clone(),
        to: AccountId(Digest([9; 32])),
        amount: Sym(amount),
        proposal: Digest::of_bytes(b"a proposal of the council"),
    };
    let approved = |amount| {
        let approve = |signer: u8| {
            let seed =
                fs::read_to_string(network.dir.join(format!("treasury/signer-{signer}.seed"))).unwrap();
            PrivateKey::<Treasury>::from_seed(&Digest::from_hex(seed.trim()).unwrap().0).sign(release(amount))
        };
        [1, 3].map(approve).to_vec()
    };
    let bring = async |amount| luckin.wallet.release(&luckin.client, release(amount), approved(amount)).await;
    assert_eq!(refused(bring(70).await), Code::Forbidden.as_str(), "nobody accepted it");
    let result = VoteResult {
        proposal: release(70).proposal,
        kind: ProposalKind::Release,
        payload: release(70).digest(),
        votes_for: 2,
        votes_against: 0,
        eligible: 3,
    };
    let stranger = luckin.wallet.record(&luckin.client, result.clone()).await;
    assert_eq!(refused(stranger), Code::Forbidden.as_str(), "no account of the council");
    let recorder = network.dir.join("council/recorder-wallet.seed");
    let recorder = LocalWallet::open(&recorder, terms.chain().clone()).unwrap();
    recorder.record(&luckin.client, result.clone()).await.unwrap();
    assert_eq!(refused(recorder.record(&luckin.client, result).await), Code::IdempotencyConflict.as_str());
    assert_eq!(refused(bring(71).await), Code::Forbidden.as_str(), "another amount");
    bring(70).await.unwrap();
    assert_eq!(refused(bring(70).await), Code::IdempotencyConflict.as_str(), "it serves once");
    let Ok(Answer::Account(held)) = luckin.client.query(Query::Account(release(70).to)).await else {
        panic!()
    };
    assert_eq!(held.balance, Sym(70));
}

/// R169, R171, R172, R175, R219: the campaign, the stake and the dividend with the money in the Move contracts, while the chain and
/// its relay are killed.
#[tokio::test]
#[ignore = "needs the Move VM: cargo xtask move network"]
async fn a_campaign_is_paid_by_the_contracts() {
    let _turn = TURN.lock().await;
    let network = Network::start(&[&["--chain", "move"], &INFLATION[..]].concat());
    network.ready().await;
    follows_the_schedule(&network).await;
    releases(&network).await;
    let people = crowd(55);
    network.upload("crowd", &people).await;
    give_wallets(&network, &people).await;
    let producer = network.submitter("producer-1");
    let stake = Sym(10 * SYM_UNIT);
    let little = producer.wallet.stake(&producer.client, Tier::Producer, Sym(1)).await;
    assert_eq!(refused(little), Code::StakeInsufficient.as_str());
    producer.wallet.stake(&producer.client, Tier::Producer, stake).await.unwrap();
    let luckin = network.submitter("luckin");
    takes_part_without_gas(&network, &luckin).await;
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

/// R176: who has SYM and none of the chain's coin stakes at the sponsor's cost, and pays nobody at it.
async fn takes_part_without_gas(network: &Network, luckin: &Submitter) {
    let Ok(Answer::Terms(terms)) = luckin.client.query(Query::Terms).await else { panic!() };
    let newcomer = || LocalWallet::open(&network.dir.join("newcomer.key"), terms.chain().clone()).unwrap();
    let stake = Sym(10 * SYM_UNIT);
    let account =
        LocalWallet::create(&network.dir.join("newcomer.key"), terms.chain().clone()).unwrap().account();
    luckin.wallet.transfer(&luckin.client, account, stake).await.unwrap();
    let own = newcomer().stake(&luckin.client, Tier::Producer, stake).await;
    assert_eq!(refused(own), Code::InsufficientFunds.as_str());
    let sponsored = newcomer().sponsored();
    let given = sponsored.transfer(&luckin.client, luckin.wallet.account(), stake).await;
    assert_eq!(refused(given), Code::Forbidden.as_str());
    sponsored.stake(&luckin.client, Tier::Producer, stake).await.unwrap();
    let held = sponsored.holding(&luckin.client).await.unwrap();
    assert_eq!((held.balance, held.stakes[&Tier::Producer].deposit), (Sym::ZERO, stake));
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
        "payout/keys/slasher-wallet.seed",
        "master-1/keys/aggregator-wallet.seed",
        "treasury/signer-1.seed",
        "council/recorder-wallet.seed",
        "gateway/keys/gateway.seed",
        "clients/council-1/council.key",
    ] {
        assert_eq!(named(role), 1, "{role}");
    }
}
