//! The council moves everything of one Vault to another, with real processes, three masters, and a Vault that dies on the way (R014, R061,
//! R066, R077, R081).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use symphony_protocol::governance::change::Change;
use symphony_sdk::client::Upload;
use symphony_sdk::moved::{self, MoveProof};
use symphony_types::id::{RequestId, VaultId};
use symphony_wire::documents::{decode, encode};

use crate::council::{enact, founded};
use crate::network::{Network, TURN, code, crowd, eventually, spec, subject};
use crate::taint::{Needles, files, in_file};

/// In a record that moves; it must not be found in any file.
const PRIVATE: &str = "zqmoved81reencrypted";
const POLICY: &str = "challenge=200,epoch=1500,timelock=100,marketing=900000000,subject_cap=900000000";

fn vault(name: &str) -> VaultId {
    VaultId::new(name).unwrap()
}

fn check(dir: &Path, vault: &str) -> Value {
    let config = dir.join(format!("enterprise-{vault}/node.toml"));
    let output = Command::new(env!("CARGO_BIN_EXE_symphonyd"))
        .args(["check", "--json", "--config"])
        .arg(config)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the command line says of a proof, and whether it holds.
fn told(proof: &Path, governance: &Path) -> (bool, Value) {
    let program: PathBuf = Path::new(env!("CARGO_BIN_EXE_symphonyd")).with_file_name("symphony");
    let mut command = Command::new(program);
    command.args(["--json", "vault", "check-move"]).arg(proof).arg("--governance").arg(governance);
    let output = command.output().unwrap();
    (output.status.success(), serde_json::from_slice(&output.stdout).unwrap())
}

/// R014, R061, R066, R077, R081: people, records and what was spent arrive, consents do not; tasks and uploads go to the other Vault; both
/// say so in a statement that is checked without a network; no node but the two ever holds a word of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_moves_to_another_by_the_councils_decision() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    let network = Network::start_in(&dir, &["--policy", POLICY]);
    network.ready().await;
    let people = crowd(55);
    network.upload("people", &people).await;
    let moving = subject(&people[0]);
    let record = json!({"request_id": "private", "subject": moving, "commerce.merchant": PRIVATE,
        "commerce.amount": "5.80"});
    assert_eq!(
        network.put("vault-a", Upload::Records, "private", std::slice::from_ref(&record)).await.accepted,
        1
    );
    let luckin = network.submitter("luckin");
    let first = luckin.run(&spec(), &RequestId::new("first").unwrap(), |_| {}).await.unwrap().task;
    assert_eq!((first.state.as_str(), first.returned), ("completed", 165));
    let own = network.client_as(&moving, "producer");
    let before = own.records("vault-a", &moving).await.unwrap();
    let spent = own.budget("vault-a", &moving).await.unwrap();
    let committed = |budget: &[symphony_sdk::shape::BudgetEntry]| {
        budget.iter().map(|entry| entry.committed_micro_epsilon).collect::<Vec<_>>()
    };
    assert_eq!(before.len(), 2);
    assert!(committed(&spent)[0] > 0);

    enact(&network, Change::MoveVault { from: vault("vault-a"), to: vault("vault-b") }).await;
    network.kill(network.pid("enterprise-vault-a"));
    network.kill(network.pid("enterprise-vault-b"));
    let client = network.client("luckin");
    eventually("both vaults say that nothing is left", async || {
        let moves = client.governance().await.ok()?.moves;
        moves.iter().any(|one| one.from == "vault-a" && one.status == "closed").then_some(())
    })
    .await;

    let after = own.records("vault-b", &moving).await.unwrap();
    assert_eq!(after.len(), 2);
    for record in &before {
        assert!(after.contains(record), "the same commitment over the same bytes");
    }
    assert_eq!(committed(&own.budget("vault-b", &moving).await.unwrap()), committed(&spent));
    assert!(own.consents("vault-b", &moving).await.unwrap().is_empty(), "R061");
    assert_eq!(code(own.records("vault-a", &moving).await), "VLT-0002");
    let assigned = eventually("somebody whose first vault was the one that is left", async || {
        let trusted = founded(&network);
        let mut names = (0..100).map(|number| format!("newcomer-{number}"));
        let name = names.find(|name| {
            let actor = symphony_types::id::ActorId::new(name).unwrap();
            trusted.registry.assigned(&actor) == Some(&vault("vault-a"))
        })?;
        network.client_as(&name, "producer").assigned().await.ok()
    })
    .await;
    assert_eq!(assigned.vault_id, "vault-b");
    let operator = network.client("operator-vault-a");
    let lines = tempfile::NamedTempFile::new().unwrap();
    fs::write(lines.path(), format!("{record}\n")).unwrap();
    let key = RequestId::new("late").unwrap();
    let format = symphony_sdk::client::Format::JsonLines;
    let late = operator.upload("vault-a", Upload::Records, format, &key, lines.path()).await;
    assert_eq!(code(late), "VLT-0018");

    // Tasks name the other two; people of the first take part again once they say so.
    let consents: Vec<Value> = people
        .iter()
        .filter(|person| person.vault == 0)
        .map(|person| json!({"subject": subject(person), "scope": "marketing", "state": "granted"}))
        .collect();
    assert_eq!(network.put("vault-b", Upload::Consents, "anew", &consents).await.accepted, 55);
    let mut asked = spec();
    assert!(luckin.run(&asked, &RequestId::new("left").unwrap(), |_| {}).await.is_err());
    asked.vaults = ["vault-b", "vault-c"].map(str::to_owned).into();
    asked.quorum = 2;
    let second = luckin.run(&asked, &RequestId::new("second").unwrap(), |_| {}).await.unwrap().task;
    assert_eq!((second.state.as_str(), second.returned), ("completed", 165));

    let proof = client.move_proof(&vault("vault-a")).await.unwrap().unwrap();
    let standing = moved::check(&proof, &founded(&network)).unwrap();
    assert_eq!((standing.people.0, standing.closed), (32, true), "a bucket of 55");
    let mut bent: MoveProof = decode(&proof).unwrap();
    bent.closing.destination = bent.closing.source.clone();
    assert!(moved::check(&encode(&bent), &founded(&network)).is_err());
    bent = decode(&proof).unwrap();
    bent.log.entries.clear();
    assert!(moved::check(&encode(&bent), &founded(&network)).is_err());
    let (file, governance) = (folder.path().join("moved"), dir.join("governance.bcs"));
    fs::write(&file, &proof).unwrap();
    let (holds, said) = told(&file, &governance);
    assert!(holds && said["verified"] == json!(true), "{said}");
    fs::write(&file, encode(&bent)).unwrap();
    assert!(!told(&file, &governance).0);

    network.stop();
    let needles = Needles::of(PRIVATE);
    for file in files(&dir) {
        assert_eq!(in_file(&file, &needles), None, "{}", file.display());
    }
    let (left, taken) = (check(&dir, "vault-a"), check(&dir, "vault-b"));
    let count = |report: &Value, name: &str| report[name].as_u64().unwrap();
    assert_eq!((count(&left, "people"), count(&left, "erased_people")), (0, 55), "{left}");
    assert_eq!((count(&left, "records"), count(&left, "faults_total")), (0, 0), "{left}");
    assert_eq!((count(&taken, "people"), count(&taken, "faults_total")), (110, 0), "{taken}");
}
