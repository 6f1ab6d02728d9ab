//! Masters are upgraded one at a time while the network works, and all of them change their rules at one place (R221).

use std::fs;
use std::process::Command;

use symphony_sdk::shape::Status;

use crate::network::{Network, TURN, crowd, eventually};
use crate::trickle::{POLICY, Trickle};

/// Says in a master's configuration what it speaks at most: an older program, as far as the network can see.
fn hold_back(network: &std::path::Path, master: &str, version: Option<u32>) {
    let path = network.join(master).join("node.toml");
    let mut table: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    table.remove("protocol_max");
    table.extend(version.map(|version| ("protocol_max".to_owned(), i64::from(version).into())));
    fs::write(path, table.to_string()).unwrap();
}

/// Ends a master as an operator does; the supervisor starts it with its new configuration.
async fn restart(network: &Network, master: &str) {
    let former = network.pid(master);
    assert!(Command::new("kill").arg(former.to_string()).status().unwrap().success());
    eventually("the master is started again", async || (network.pid(master) != former).then_some(())).await;
}

/// Waits until every master answers, shows the same head, and speaks what is expected.
async fn speaking(network: &Network, expected: [u32; 3]) -> Status {
    let client = network.client("luckin");
    eventually(&format!("the masters speak {expected:?}"), async || {
        let status = client.status().await.ok()?;
        let masters = &status.master_nodes;
        let spoken: Vec<_> = masters.iter().map(|master| master.protocol_max).collect();
        (masters.iter().all(|master| master.reachable && master.head == "equal") && spoken == expected)
            .then_some(status)
    })
    .await
}

/// R221: three masters of the former version, restarted one at a time with the new one under work. Two versions run side by
/// side and the former rules hold; when the last one is upgraded and an epoch has ended, the new ones do, on all of
/// them with one state. No request fails. A master that is then set back says why it stops, and comes back unharmed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masters_are_upgraded_one_at_a_time_without_downtime() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    let mut made = Command::new(env!("CARGO_BIN_EXE_symphonyd"));
    made.args(["dev", "--create-only", "--masters", "3", "--policy", POLICY, "--dir"]).arg(&dir);
    assert!(made.status().unwrap().success());
    let masters = ["master-1", "master-2", "master-3"];
    masters.iter().for_each(|master| hold_back(&dir, master, Some(1)));
    let network = Network::start_in(&dir, &["--masters", "3"]);
    network.ready().await;
    network.upload("people", &crowd(60)).await;
    let trickle = Trickle::default();
    let change = async {
        trickle.goes_on().await;
        let mut spoken = [1; 3];
        for (seat, master) in masters.iter().enumerate() {
            let status = speaking(&network, spoken).await;
            assert_eq!((status.protocol_version, status.protocol_since), (1, 0), "before {master}");
            hold_back(&dir, master, None);
            restart(&network, master).await;
            spoken[seat] = 2;
            // Epochs end meanwhile, and the others do not follow.
            trickle.goes_on().await;
        }
        let active = eventually("the new version is in force everywhere", async || {
            let status = speaking(&network, spoken).await;
            (status.protocol_version == 2).then_some(status)
        })
        .await;
        assert!(active.protocol_since > 0 && active.protocol_since <= active.epoch_id);
        trickle.goes_on().await;
        set_back(&network, &trickle).await;
    };
    trickle.during(&network, change).await;
    let status = speaking(&network, [2; 3]).await;
    assert_eq!(status.protocol_version, 2);
    drop(network);
}

/// An older program under the new version: stops, says why, and loses nothing.
async fn set_back(network: &Network, trickle: &Trickle) {
    hold_back(&network.dir, "master-2", Some(1));
    restart(network, "master-2").await;
    eventually("the master says why it stops", async || {
        let log = fs::read_to_string(network.dir.join("logs/master-2.log")).ok()?;
        log.contains("GOV-0006").then_some(())
    })
    .await;
    trickle.goes_on().await;
    hold_back(&network.dir, "master-2", None);
    speaking(network, [2; 3]).await;
    trickle.goes_on().await;
}
