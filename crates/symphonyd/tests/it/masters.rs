//! Networks of three masters: how they are made, which are not, and that one master of three is not missed (R007, R195,
//! R196, R205).

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Output};

use symphony_consensus::quorum::committee::Committee;
use symphony_sdk::campaign::Step;
use symphony_sdk::shape::Status;
use symphony_tee::keys::PlatformSeed;
use symphony_types::id::RequestId;
use symphony_types::key::{Consensus, PrivateKey};
use symphony_wire::documents::decode;

use crate::network::{Network, TURN, contact, crowd, eventually, spec};

fn dev(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_symphonyd"));
    command.args(["dev", "--create-only", "--dir"]).arg(dir).args(args).output().unwrap()
}

fn table(path: &Path) -> toml::Table {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

fn seed(path: &Path) -> [u8; 32] {
    assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600, "{}", path.display());
    hex::decode(fs::read_to_string(path).unwrap().trim()).unwrap().try_into().unwrap()
}

/// R007, R205: three masters have a folder, keys and a guard each; the committee names the guards' keys and platforms,
/// and all of them differ from each other and from every other key of their masters.
#[test]
fn three_masters_are_founded_with_a_guard_each() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    let made = dev(&dir, &["--masters", "3"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let committee: Committee = decode(&fs::read(dir.join("committee.bcs")).unwrap()).unwrap();
    assert_eq!((committee.members.len(), committee.quorum()), (3, 2));
    let mut seeds = Vec::new();
    for (seat, member) in committee.members.iter().enumerate() {
        let node = format!("master-{}", seat + 1);
        let (master, guard) = (dir.join(&node), dir.join(&node).join("guard"));
        assert_eq!(member.node.as_str(), node);
        assert!(member.boot.is_none() && member.since == 1);
        assert_eq!(fs::metadata(&guard).unwrap().mode() & 0o777, 0o700);
        let (founding, platform) = (seed(&guard.join("founding.seed")), seed(&guard.join("platform.seed")));
        assert_eq!(member.key, PrivateKey::<Consensus>::from_seed(&founding).public());
        assert_eq!(member.platform, PlatformSeed::new(platform).public());
        seeds.extend([founding, platform]);
        seeds.extend(["master.seed", "platform.seed"].map(|key| seed(&master.join("keys").join(key))));

        let config = table(&guard.join("guard.toml"));
        assert_eq!((config["node"].as_str(), config["seat"].as_integer()), (Some(&*node), Some(seat as i64)));
        assert_eq!(config["admission"].as_str(), Some("trusted"));
        for file in ["committee", "founding_seed", "platform_seed"] {
            assert!(guard.join(config[file].as_str().unwrap()).exists(), "{file}");
        }
        let own = table(&master.join("node.toml"));
        let resolved = |file: &str| master.join(own[file].as_str().unwrap());
        assert!(resolved("committee").exists());
        assert_eq!(resolved("guard"), guard.join(config["socket"].as_str().unwrap()));
        assert!(master.join("tls/node.pem").exists());
    }
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 12, "no key serves two ends");
    let other = table(&dir.join("gateway/node.toml"));
    assert!(!other.contains_key("committee") && !other.contains_key("guard"));
}

/// R007: a master alone orders by itself: no committee, no guard.
#[test]
fn one_master_has_no_guard() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    assert!(dev(&dir, &["--masters", "1"]).status.success());
    assert!(!dir.join("committee.bcs").exists() && !dir.join("master-1/guard").exists());
    assert!(!dir.join("master-2").exists());
    assert!(!table(&dir.join("master-1/node.toml")).contains_key("committee"));
}

/// R196: two masters cannot lose one, and a production policy refuses guards of class software; nothing is made, and
/// nothing that is there is removed.
#[test]
fn networks_that_cannot_hold_are_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    for (args, reason) in [
        (&["--masters", "2"][..], "cannot lose one"),
        (&["--masters", "4"], "1 master, or 3"),
        (&["--masters", "3", "--profile", "production"], "class software"),
    ] {
        let refused = dev(&dir, args);
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains(reason), "{said}");
        assert!(!dir.exists());
    }
    assert!(dev(&dir, &["--masters", "1"]).status.success());
    assert!(!dev(&dir, &["--masters", "3", "--profile", "production", "--fresh"]).status.success());
    assert!(dir.join("network.bcs").exists());
}

fn request(name: &str) -> RequestId {
    RequestId::new(name).unwrap()
}

async fn three() -> Network {
    let network = Network::start(&["--masters", "3", "--policy", "epoch=2000"]);
    network.ready().await;
    assert_eq!(network.masters(), ["master-1", "master-2", "master-3"]);
    network.upload("people", &crowd(60)).await;
    network
}

/// Waits until all masters show the same head.
async fn agreed(network: &Network) -> Status {
    let client = network.client("luckin");
    eventually("all masters show the same head", async || {
        let status = client.status().await.ok()?;
        status.master_nodes.iter().all(|master| master.head == "equal").then_some(status)
    })
    .await
}

fn expected() -> Vec<String> {
    let mut contacts: Vec<_> = crowd(60).iter().map(contact).collect();
    contacts.sort();
    contacts
}

/// R195, R196, R197: whichever master is frozen, a campaign ends as ever, and the status names who is away; once it goes
/// on it shows the others' head.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_one_of_three_masters_may_be_frozen() {
    let _turn = TURN.lock().await;
    let network = three().await;
    let luckin = network.submitter("luckin");
    for master in network.masters() {
        network.pause(network.pid(&master), true);
        let delivered = luckin.run(&spec(), &request(&master), |_| {}).await.unwrap();
        let mut handles = delivered.audience.unwrap().handles;
        handles.sort();
        assert_eq!(handles, expected(), "{master} is frozen");
        let status = luckin.client.status().await.unwrap();
        let away: Vec<_> = status.master_nodes.iter().filter(|shown| !shown.reachable).collect();
        assert_eq!(away.iter().map(|shown| shown.node.as_str()).collect::<Vec<_>>(), [master.as_str()]);
        network.pause(network.pid(&master), false);
        let status = agreed(&network).await;
        assert!(status.master_nodes.iter().all(|shown| shown.reachable && shown.height > 0));
    }
}

/// R196, R209: a task that is submitted while the leader dies is admitted once and charged once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_submitted_while_the_leader_dies_is_admitted_once() {
    let _turn = TURN.lock().await;
    let network = three().await;
    let luckin = network.submitter("luckin");
    let before = luckin.wallet.holding(&luckin.client).await.unwrap().balance;
    let leader = agreed(&network).await.master_nodes.into_iter().find(|master| master.leader).unwrap().node;
    let killed = network.pid(&leader);
    let step = |step| {
        if matches!(step, Step::Locked(_)) {
            network.kill(killed);
        }
    };
    let delivered = luckin.run(&spec(), &request("leader"), step).await.unwrap();
    assert!(!Network::alive(killed));
    let again = luckin.run(&spec(), &request("leader"), |_| {}).await.unwrap();
    assert_eq!(again.task.task_id, delivered.task.task_id);
    let settled = network.settled(&luckin.client, delivered.task.task_id).await;
    let after = luckin.wallet.holding(&luckin.client).await.unwrap().balance;
    assert_eq!(before.0 - after.0, settled.charged.unwrap().total.0, "one lock, one charge, one refund");
    agreed(&network).await;
}
