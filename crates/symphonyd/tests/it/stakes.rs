//! Stakes with real processes: a network whose policy asks for them serves nobody before its founders staked, leaves an enterprise out that
//! took its own out, and goes on with it when the stake is back (R164, R184, R185, R186).

use symphony_chain::ledger::query::{Answer, Query};
use symphony_chain::transaction::{ChainId, Tier};
use symphony_sdk::client::Client;
use symphony_sdk::shape::governance::StakeEntry;
use symphony_sdk::verify::{governance_digest, verify};
use symphony_sdk::wallet::Wallet;
use symphony_types::amount::{SYM_UNIT, Sym};
use symphony_types::id::RequestId;

use crate::council::founded;
use crate::network::{Network, TURN, VAULTS, code, crowd, eventually, spec};

/// The policy asks for more than the chain does, so that who goes below it still has a stake there.
const ENTERPRISE: u64 = 15_000;
const MASTER: u64 = 100_000;
const PAY: u64 = 5;

fn name(text: &str) -> RequestId {
    RequestId::new(text).unwrap()
}

const fn sym(whole: u64) -> Sym {
    Sym(whole * SYM_UNIT)
}

fn policy() -> String {
    let (enterprise, master) = (sym(ENTERPRISE).0, sym(MASTER).0);
    format!(
        "challenge=200,epoch=1500,marketing=900000000,subject_cap=900000000,node_pay={PAY},\
         enterprise_stake={enterprise},master_stake={master}"
    )
}

async fn standing(client: &Client, actor: &str) -> Option<StakeEntry> {
    let stakes = client.governance().await.ok()?.stakes;
    stakes.into_iter().find(|one| one.actors.iter().any(|of| of == actor))
}

async fn comes_to(client: &Client, actor: &str, what: &str) -> StakeEntry {
    eventually(&format!("{actor} is {what}"), async || {
        standing(client, actor).await.filter(|one| one.standing == what)
    })
    .await
}

async fn paid(client: &Client, epoch: u64) -> bool {
    matches!(client.query(Query::NodesPaid(epoch)).await, Ok(Answer::NodesPaid(true)))
}

/// R164, R184, R185, R186: nothing is admitted and no node is paid before there are stakes; an enterprise below the minimum has no part in
/// new tasks, also after a master dies, and is one of them as soon as it has enough; near the minimum it is warned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enterprise_without_its_stake_gets_nothing_new() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--inflation-epoch", "1000", "--policy", &policy()]);
    network.ready().await;
    network.upload("people", &crowd(55)).await;
    let luckin = network.submitter("luckin");
    let client = &luckin.client;
    let chain = ChainId::new("symphony-dev-ledger").unwrap();
    let wallet = |key: &str| Wallet::open(&network.dir.join(key), chain.clone()).unwrap();
    let operators = VAULTS.map(|vault| network.submitter(&format!("operator-{vault}")).wallet);

    // Epochs pass, and nobody is paid for running a node.
    eventually("epochs are closed", async || paid(client, 1).await.then_some(())).await;
    let held = operators[0].holding(client).await.unwrap();
    assert_eq!(held.balance, sym(2 * ENTERPRISE), "what it was founded with");
    assert_eq!(code(client.quote(&spec().task()).await), "GOV-0024");
    for (key, nodes) in [("master-1/keys/aggregator-wallet.seed", 3), ("verifier/keys/wallet.seed", 1)] {
        wallet(key).stake(client, Tier::Master, sym(2 * MASTER * nodes)).await.unwrap();
    }
    for actor in ["aggregator", "verifier"] {
        comes_to(client, actor, "compliant").await;
    }
    assert_eq!(code(client.quote(&spec().task()).await), "VLT-0024");

    for (operator, whole) in operators.iter().zip([20_000, 15_000, 18_000]) {
        operator.stake(client, Tier::Enterprise, sym(whole)).await.unwrap();
    }
    for (actor, what) in [
        ("operator:vault-a", "compliant"),
        ("operator:vault-b", "near_minimum"),
        ("operator:vault-c", "compliant"),
    ] {
        comes_to(client, actor, what).await;
    }
    let nodes = client.status().await.unwrap().nodes;
    let told: Vec<_> = nodes.iter().filter(|node| !node.stake.is_empty()).collect();
    let told: Vec<_> = told.iter().map(|node| (node.node.as_str(), node.stake.as_str())).collect();
    assert_eq!(told, [("vault-a", "compliant"), ("vault-b", "near_minimum"), ("vault-c", "compliant")]);
    eventually("an operator is paid", async || {
        let held = operators[0].holding(client).await.ok()?;
        (held.balance > sym(2 * ENTERPRISE - 20_000)).then_some(())
    })
    .await;
    let first = luckin.run(&spec(), &name("first"), |_| {}).await.unwrap().task;
    assert_eq!((first.state.as_str(), first.returned), ("completed", 165));

    // Below the minimum, though not below the chain's.
    operators[1].unstake(client, Tier::Enterprise, sym(5_000)).await.unwrap();
    let short = comes_to(client, "operator:vault-b", "insufficient").await;
    assert_eq!((short.deposit, short.cooling, short.minimum), (sym(10_000), sym(5_000), sym(ENTERPRISE)));
    assert_eq!(code(client.quote(&spec().task()).await), "VLT-0024");
    network.kill(network.pid("master-2"));
    network.ready().await;
    let mut asked = spec();
    asked.quorum = 2;
    let second = luckin.run(&asked, &name("second"), |_| {}).await.unwrap().task;
    assert_eq!((second.state.as_str(), second.returned), ("completed", 110));
    let evidence = client.evidence(second.task_id).await.unwrap();
    let report = verify(&evidence, Some(governance_digest(&founded(&network))));
    assert!(report.passed() && report.pinned, "{:?}", report.failed().collect::<Vec<_>>());

    operators[1].stake(client, Tier::Enterprise, sym(5_000)).await.unwrap();
    comes_to(client, "operator:vault-b", "near_minimum").await;
    let last = luckin.run(&spec(), &name("last"), |_| {}).await.unwrap().task;
    assert_eq!((last.state.as_str(), last.returned), ("completed", 165));
    network.stop();
}
