//! A master without room for its journal: it stops and says so, the others go on, and with room again it is as they are.

use std::fs;
use std::process::Command;

use symphony_types::id::RequestId;

use crate::network::{Network, TURN, crowd, eventually, spec};

/// What the journal may take beyond the log that the same limit is for. **Units**: bytes.
const ROOM: u64 = 192 << 10;
/// Campaigns after which the room is used up for certain.
const CAMPAIGNS_MAX: usize = 30;

/// R196, R211, R213: a file limit is what a full disk is to a process: a write that fails. The master ends by itself, with
/// the catalogue's code in its log; campaigns go on without it; started again without the limit it reaches the others' head.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_without_room_stops_and_comes_back() {
    let _turn = TURN.lock().await;
    let network =
        Network::start(&["--masters", "3", "--policy", "epoch=2000,marketing=60000000,subject_cap=60000000"]);
    network.ready().await;
    network.upload("people", &crowd(60)).await;
    let luckin = network.submitter("luckin");
    let log = network.dir.join("logs/master-2.log");
    let said = || fs::read_to_string(&log).unwrap();
    let limited = network.pid("master-2");
    let limit = said().len() as u64 + ROOM;
    let set = Command::new("prlimit").args([format!("--pid={limited}"), format!("--fsize={limit}")]).status();
    assert!(set.unwrap().success());
    let mut campaigns = 0;
    while Network::alive(limited) {
        assert!(campaigns < CAMPAIGNS_MAX, "{campaigns} campaigns fit into {limit} bytes");
        let request = RequestId::new(&format!("before-{campaigns}")).unwrap();
        let delivered = luckin.run(&spec(), &request, |_| {}).await.unwrap();
        assert_eq!(delivered.task.state, "completed");
        campaigns += 1;
    }
    let said = said();
    let stops = said.lines().find(|line| line.contains("ordering stops")).expect("it says why it stops");
    assert!(stops.contains("GOV-0007"), "{stops}");
    assert!(!said.contains("panicked"), "{said}");
    let request = RequestId::new("after").unwrap();
    luckin.run(&spec(), &request, |_| {}).await.unwrap();
    eventually("all masters show the same head", async || {
        let status = luckin.client.status().await.ok()?;
        let equal = |node: &symphony_sdk::shape::MasterHealth| node.reachable && node.head == "equal";
        status.master_nodes.iter().all(equal).then_some(())
    })
    .await;
    assert_ne!(network.pid("master-2"), limited, "the supervisor started it again");
}
