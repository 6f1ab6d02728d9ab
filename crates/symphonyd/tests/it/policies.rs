//! The council of a running network adopts another policy: people look at it, propose it, see it come into force in every process, and are
//! told what it would have changed before (R155, R188, R189, R190, R191).

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use symphony_protocol::evidence::EndorsedBundle;
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::policy::Policy;
use symphony_sdk::council::checked;
use symphony_sdk::policy::{differences, read, written};
use symphony_sdk::verify::{governance_digest, verify};
use symphony_types::amount::Sym;
use symphony_types::id::{PolicyVersion, RequestId};
use symphony_wire::documents::decode;

use crate::council::{enact, founded};
use crate::network::{Network, TURN, crowd, eventually, spec};

const POLICY: &str = "challenge=200,epoch=1500,timelock=100,marketing=900000000,subject_cap=900000000";

fn cheaper(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.fees.base = Sym(policy.fees.base.0 / 2);
    policy.epoch_ms = 2_000;
    policy
}

/// R135, R155, R188, R189, R190, R192: every node follows the next version, a task is charged by that of its admission, the evidence of both says so,
/// a replay tells what the next would have changed, and an audit what governed at any epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_comes_into_force_everywhere() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", POLICY]);
    network.ready().await;
    network.upload("people", &crowd(55)).await;
    let luckin = network.submitter("luckin");
    let first = luckin.run(&spec(), &RequestId::new("first").unwrap(), |_| {}).await.unwrap().task;
    let before = founded(&network).policies[&PolicyVersion(1)].clone();
    let next = cheaper(&before);

    // What is written is what is read, and says what it changes.
    let file = network.dir.join("next.toml");
    fs::write(&file, written(&next)).unwrap();
    let next = read(&fs::read_to_string(&file).unwrap()).unwrap();
    let changed: Vec<_> = differences(&before, &next).into_iter().map(|one| one.field).collect();
    assert_eq!(changed, ["epoch_ms", "fees.base"]);

    enact(&network, Change::AdoptPolicy { version: PolicyVersion(2), policy: Box::new(next.clone()) }).await;
    eventually("the next version is in force", async || {
        (luckin.client.status().await.ok()?.policy_version == 2).then_some(())
    })
    .await;
    let second = luckin.run(&spec(), &RequestId::new("second").unwrap(), |_| {}).await.unwrap().task;
    let log = luckin.client.governance_log().await.unwrap();
    let known = checked(&founded(&network), &log).unwrap();
    assert_eq!(known.governance().policy_of(PolicyVersion(2)), Ok(&next));
    for (task, version, base) in [(&first, 1, before.fees.base), (&second, 2, next.fees.base)] {
        assert_eq!(task.state, "completed");
        let bytes = luckin.client.evidence(task.task_id).await.unwrap();
        let report = verify(&bytes, Some(governance_digest(&founded(&network))));
        assert!(report.passed() && report.pinned, "{:?}", report.failed().collect::<Vec<_>>());
        let context = decode::<EndorsedBundle>(&bytes).unwrap().body.context;
        assert_eq!((context.versions.policy, context.fee.base), (PolicyVersion(version), base));
    }

    let journal = network.dir.join("master-1/data/journal.redb");
    let _folder = network.stop();
    let told = simulate(&file, &journal);
    let base = |task: &str, which: &str| {
        let rewards = told[task][which]["rewards"].as_object().unwrap();
        rewards.values().map(|amount| amount.as_str().unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    let (one, two) = (first.task_id.to_string(), second.task_id.to_string());
    assert_eq!(base(&one, "actual") - base(&one, "supposed"), before.fees.base.0 - next.fees.base.0);
    assert_eq!(told[&two]["supposed"], told[&two]["actual"], "it was charged by that policy");

    // What governed then, at the end of each epoch.
    let whole = on_journal("audit", &[&journal], &[]).unwrap();
    let (last, from) = (whole["epoch"].as_u64().unwrap(), known.governance().calendar.last().0.0);
    let at = |epoch: u64| on_journal("audit", &[&journal], &[&format!("--epoch={epoch}")]).unwrap();
    let version = |told: &Value| told["governance"]["policy_version"].as_u64().unwrap();
    assert_eq!((version(&at(from - 1)), version(&at(last)), version(&whole)), (1, 2, 2));
    assert_eq!(at(last)["hash"], whole["hash"]);
    assert!(at(from - 1)["height"].as_u64() < whole["height"].as_u64());
    let middle = whole["height"].as_u64().unwrap() / 2;
    let part =
        on_journal("audit", &[&journal], &[&format!("--from={middle}"), &format!("--to={}", middle + 9)])
            .unwrap();
    assert_eq!((part["checked"].as_u64(), part["height"].as_u64()), (Some(10), Some(middle + 9)));
    assert_eq!(on_journal("audit", &[&journal], &["--from=1000000"]), None, "there is nothing there");
}

fn simulate(policy: &Path, journal: &Path) -> Value {
    on_journal("simulate", &[policy, journal], &[]).unwrap()
}

/// What the node's program says of a journal; `None` when it refuses.
fn on_journal(what: &str, files: &[&Path], args: &[&str]) -> Option<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_symphonyd"));
    let output = command.args([what, "--json"]).args(files).args(args).output().unwrap();
    if !output.status.success() {
        eprintln!("{what}: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(serde_json::from_slice(&output.stdout).unwrap())
}
