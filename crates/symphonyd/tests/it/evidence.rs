//! What a settled campaign leaves behind: a bundle that a stranger verifies, a journal that replays, an anchor and
//! payments on the chain that agree with both (R118, R134, R135, R150, R158, R161, R173, R208, R217, R235).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use symphony_chain::ledger::query::{Answer, Query};
use symphony_chain::transaction::{Anchor, Call, ChainId, Transaction};
use symphony_protocol::artifact::RecipientClass;
use symphony_protocol::evidence::EndorsedBundle;
use symphony_protocol::settlement::finalize;
use symphony_protocol::vault::ledger::MovementKind;
use symphony_sdk::budget::{self, BudgetError};
use symphony_sdk::client::{Client, Upload};
use symphony_sdk::secret;
use symphony_sdk::verify::{governance_digest, verify};
use symphony_sdk::wallet::Wallet;
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::{AccountId, EpochId, RequestId, TaskId, VaultId};
use symphony_types::key::{self, PrivateKey};
use symphony_types::time::OrderedMillis;
use symphony_wire::documents::decode;

use crate::network::{
    Network, Person, TURN, VAULTS, code, contact, crowd, eventually, now_ms, spec, subject,
};

/// R118, R134, R135, R150, R158, R161, R173, R208, R217
#[tokio::test]
async fn a_settled_campaign_can_be_checked_by_anybody() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", "challenge=200,epoch=1500"]);
    network.ready().await;
    let people = crowd(55);
    network.upload("crowd", &people).await;
    give_wallets(&network, &people).await;
    let luckin = network.submitter("luckin");
    let before = money(&luckin.client, &network).await;
    let delivered = luckin.run(&spec(), &request("coupon"), |_| {}).await.unwrap();
    assert_eq!((delivered.task.state.as_str(), delivered.task.returned), ("completed", 165));
    network.settled(&luckin.client, delivered.task.task_id).await;
    let bundle = luckin.client.evidence(delivered.task.task_id).await.unwrap();
    the_bundle_verifies_without_a_network(&bundle);
    every_changed_byte_is_seen(&bundle);
    the_chain_agrees_with_the_bundle(&luckin.client, &network, &bundle, &before).await;
    a_producer_gets_its_dividend_once(&network).await;
    a_producer_can_prove_what_spent_its_budget(&network, delivered.task.task_id).await;
    the_journal_replays_to_the_reported_state(network, &luckin.client).await;
}

/// R134, R208
fn the_bundle_verifies_without_a_network(bytes: &[u8]) {
    let bundle: EndorsedBundle = decode(bytes).unwrap();
    let report = verify(bytes, Some(governance_digest(&bundle.body.governance)));
    assert!(report.passed(), "{:?}", report.failed().collect::<Vec<_>>());
    assert!(report.paid && report.pinned && report.software);
    let other = verify(bytes, Some(Digest::ZERO));
    assert_eq!(other.failed().map(|check| check.name).collect::<Vec<_>>(), ["governance-pinned"]);
}

/// R134
fn every_changed_byte_is_seen(bytes: &[u8]) {
    let stride = bytes.len() / 200 + 1;
    for place in (0..64).chain((64..bytes.len()).step_by(stride)).chain([bytes.len() - 1]) {
        let mut changed = bytes.to_vec();
        changed[place] ^= 1 << (place % 8);
        let report = verify(&changed, None);
        assert!(!report.passed(), "the change of byte {place} of {} was not seen", bytes.len());
        let failed = report.failed().next().unwrap();
        assert!(!failed.name.is_empty() && failed.fault.is_some());
    }
    let report = verify(&bytes[..bytes.len() - 1], None);
    assert_eq!(report.failed().map(|check| check.name).collect::<Vec<_>>(), ["decode"]);
}

/// R150, R158, R173
async fn the_chain_agrees_with_the_bundle(
    client: &Client,
    network: &Network,
    bytes: &[u8],
    before: &BTreeMap<String, Sym>,
) {
    let bundle: EndorsedBundle = decode(bytes).unwrap();
    let context = &bundle.body.context;
    let root = finalize::settlement_root(context);
    assert_eq!(root, bundle.body.root, "recomputed from the context");
    let anchor = client.query(Query::Anchor(context.task)).await.unwrap();
    assert_eq!(anchor, Answer::Anchor(Some(Anchor { task: context.task, settlement_root: root })));
    assert_eq!(context.shares.iter().map(|share| share.amount.0).sum::<u64>(), context.fee.total.0);
    assert_eq!(context.fee.total.0 + context.refunded.0, context.locked.0);
    let mut expected = before.clone();
    for share in &context.shares {
        let name = match share.class {
            // Paid into a Vault's tree, claimed from there.
            RecipientClass::Contributors => continue,
            RecipientClass::Treasury => "treasury funds".to_owned(),
            RecipientClass::VaultOperator
            | RecipientClass::Executor
            | RecipientClass::Aggregator
            | RecipientClass::Verifier => share.recipient.to_string(),
        };
        expected.get_mut(&name).unwrap().0 += share.amount.0;
    }
    expected.get_mut("luckin").unwrap().0 -= context.fee.total.0;
    assert_eq!(money(client, network).await, expected);
    let Answer::Epoch(batches) = client.query(Query::Epoch(context.epoch)).await.unwrap() else { panic!() };
    assert_eq!(batches.iter().map(|batch| batch.totals.charged.0).sum::<u64>(), context.fee.total.0);
}

/// R161
async fn a_producer_gets_its_dividend_once(network: &Network) {
    let client = network.client("producer-1");
    let folder = network.dir.join("clients/producer-1");
    let chain = ChainId::new("symphony-dev-ledger").unwrap();
    let wallet = Wallet::open(&folder.join("wallet.key"), chain.clone()).unwrap();
    let dividends = client.dividends(VAULTS[0], "producer-1").await.unwrap();
    let [dividend] = dividends.as_slice() else { panic!("{dividends:?}") };
    assert!(dividend.amount > Sym::ZERO && dividend.payees >= 20);
    let vault = VaultId::new(VAULTS[0]).unwrap();
    let before = wallet.holding(&client).await.unwrap().balance;
    assert!(wallet.claim(&client, &vault, dividend).await.unwrap().is_some());
    let holding = wallet.holding(&client).await.unwrap();
    assert_eq!(holding.balance.0, before.0 + dividend.amount.0);
    assert!(
        wallet.claim(&client, &vault, dividend).await.unwrap().is_none(),
        "the wallet sees that it was taken"
    );
    let claim = |amount: Sym| Call::ClaimDividend {
        vault: vault.clone(),
        epoch: EpochId(dividend.epoch_id),
        index: dividend.index,
        amount,
        path: dividend.path.iter().map(|hash| Digest::from_hex(hash).unwrap()).collect(),
    };
    let seed = secret::read(&folder.join("wallet.key")).unwrap();
    let key = PrivateKey::<key::Wallet>::from_seed(&seed);
    let again = |call| {
        Transaction::sign(&key, chain.clone(), holding.sequence, OrderedMillis(now_ms() + 60_000), call)
    };
    assert_eq!(code(client.transact(&again(claim(dividend.amount)).into()).await), "SET-0007");
    assert_eq!(wallet.holding(&client).await.unwrap().balance, holding.balance);
}

/// R063, R069
async fn a_producer_can_prove_what_spent_its_budget(network: &Network, task: TaskId) {
    let client = network.client("producer-1");
    let governance = decode(&fs::read(network.dir.join("governance.bcs")).unwrap()).unwrap();
    let told = budget::statement(&client, &governance, VAULTS[0], "producer-1").await.unwrap();
    let kinds: Vec<_> =
        told.lines.iter().map(|(scope, line)| (scope.as_str(), line.task, line.kind)).collect();
    let of = |kind| ("marketing", task, kind);
    assert_eq!(kinds, [of(MovementKind::Reserve), of(MovementKind::Commit)]);
    let spent: u64 = client.budget(VAULTS[0], "producer-1").await.unwrap()[0].committed_micro_epsilon;
    assert_eq!(told.lines[1].1.epsilon.0, spent);
    let others = budget::statement(&client, &governance, VAULTS[0], &subject(&crowd(1)[0])).await;
    assert!(matches!(others, Err(BudgetError::Client(_))), "{others:?}");
}

/// R078
fn every_vault_is_whole(folder: &Path) {
    for vault in VAULTS {
        let config = folder.join(format!("enterprise-{vault}/node.toml"));
        let checked = Command::new(env!("CARGO_BIN_EXE_symphonyd"))
            .args(["check", "--json", "--config"])
            .arg(config)
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert!(report["records"].as_u64().unwrap() >= 55 && report["entries"] == 1, "{report}");
    }
}

/// R135, R217
async fn the_journal_replays_to_the_reported_state(network: Network, client: &Client) {
    let mut last = client.status().await.unwrap();
    let status = eventually("the master has nothing left to order", async || {
        let status = client.status().await.unwrap();
        let same = status.height == last.height && status.epoch_id > last.epoch_id;
        if status.height != last.height {
            last = status.clone();
        }
        same.then_some(status)
    })
    .await;
    let journal = network.dir.join("master-1/data/journal.redb");
    let dir = network.dir.clone();
    let _folder = network.stop();
    every_vault_is_whole(&dir);
    let replayed = replay(&journal);
    assert_eq!(replayed["state"], status.state_hash);
    assert_eq!(replayed["height"], status.height);
    assert_eq!(replayed["tasks"], 1);
}

fn replay(journal: &Path) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_symphonyd"))
        .args(["replay", "--json"])
        .arg(journal)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every person gets a wallet, the development producer is enrolled with its own and one record.
pub(crate) async fn give_wallets(network: &Network, people: &[Person]) {
    let own = network.dir.join("clients/producer-1/wallet.key");
    let key = PrivateKey::<key::Wallet>::from_seed(&secret::read(&own).unwrap());
    for (index, vault) in VAULTS.iter().enumerate() {
        let mut lines: Vec<_> = people
            .iter()
            .filter(|person| person.vault == index)
            .map(|person| {
                json!({
                    "subject": subject(person), "contact": contact(person),
                    "wallet": format!("{:064x}", person.number + 1),
                })
            })
            .collect();
        if index == 0 {
            // Takes the place of person 0 in all but name: same contact, so the audience counts it once (D18).
            lines.push(json!({
                "subject": "producer-1", "contact": contact(&people[0]),
                "wallet": key.public().account().to_string(),
            }));
        }
        let report = network.put(vault, Upload::Subjects, "wallets", &lines).await;
        assert_eq!((report.accepted, report.refused_total), (lines.len() as u64, 0), "{:?}", report.refused);
    }
    let consent = json!({"subject": "producer-1", "scope": "marketing", "state": "granted"});
    network.put(VAULTS[0], Upload::Consents, "own-consent", &[consent]).await;
    let record = json!({
        "request_id": "own-1", "subject": "producer-1", "commerce.merchant": "Luckin Coffee",
        "commerce.purchase_date": now_ms() - 86_400_000, "geography.city": "Singapore",
    });
    assert_eq!(network.put(VAULTS[0], Upload::Records, "own-record", &[record]).await.accepted, 1);
}

/// What everybody has on the chain, by actor; the treasury's own fund as `treasury funds`.
async fn money(client: &Client, network: &Network) -> BTreeMap<String, Sym> {
    let mut money = BTreeMap::new();
    for (actor, account) in accounts(network) {
        let Answer::Account(account) = client.query(Query::Account(account)).await.unwrap() else { panic!() };
        money.insert(actor, account.balance);
    }
    let Answer::Funds(funds) = client.query(Query::Funds).await.unwrap() else { panic!() };
    money.insert("treasury funds".to_owned(), funds.treasury);
    money
}

fn accounts(network: &Network) -> Vec<(String, AccountId)> {
    let account = |actor: &str, file: String| {
        let text = std::fs::read_to_string(network.dir.join(file)).unwrap();
        let seed: [u8; 32] = hex::decode(text.trim()).unwrap().try_into().unwrap();
        (actor.to_owned(), PrivateKey::<key::Wallet>::from_seed(&seed).public().account())
    };
    let mut accounts = vec![
        account("aggregator", "master-1/keys/aggregator-wallet.seed".to_owned()),
        account("verifier", "verifier/keys/wallet.seed".to_owned()),
        account("luckin", "clients/luckin/wallet.key".to_owned()),
    ];
    for vault in VAULTS {
        let key = |role: &str| format!("enterprise-{vault}/keys/{role}-wallet.seed");
        accounts.push(account(&format!("operator:{vault}"), key("operator")));
        accounts.push(account(&format!("executor:{vault}"), key("executor")));
    }
    accounts
}

fn request(name: &str) -> RequestId {
    RequestId::new(name).unwrap()
}
