//! What three masters vouch for, checked from outside by the program itself: a closed epoch computed again, and entries of their journal
//! (R031, R149, R158, R162, R168, R173, R191, R192, R195).

use std::fs;
use std::path::Path;

use symphony_protocol::evidence::EndorsedBundle;
use symphony_types::id::{RequestId, TaskId};
use symphony_wire::documents::decode;

use crate::evidence::give_wallets;
use crate::network::{Network, TURN, VAULTS, crowd, spec};

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_and_the_entries_of_the_journal_are_proven_to_others() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--masters", "3", "--policy", "challenge=200,epoch=1500"]);
    network.ready().await;
    let people = crowd(55);
    network.upload("crowd", &people).await;
    give_wallets(&network, &people).await;
    let (task, epoch) = paid(&network, "coupon").await;
    the_epoch_is_computed_again(&network, epoch);
    let (_, later) = paid(&network, "again").await;
    entries_are_proven(&network, &task.to_string(), (epoch, later));
}

/// A task, and the epoch that it was paid in.
async fn paid(network: &Network, request: &str) -> (TaskId, u64) {
    let luckin = network.submitter("luckin");
    let done = luckin.run(&spec(), &RequestId::new(request).unwrap(), |_| {}).await.unwrap();
    let task = done.task.task_id;
    network.settled(&luckin.client, task).await;
    let bundle: EndorsedBundle = decode(&luckin.client.evidence(task).await.unwrap()).unwrap();
    (task, bundle.body.context.epoch.0)
}

fn file(network: &Network, name: &str) -> String {
    network.dir.join(name).to_str().unwrap().to_owned()
}

/// Changes one byte of a file, from its end.
fn flip(path: &str, from_end: usize) {
    let mut bytes = fs::read(Path::new(path)).unwrap();
    let place = bytes.len() - from_end;
    bytes[place] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// R149, R158, R162, R168, R173: whoever is registered computes the payout again, and a Vault's operator alone adds up its leaves.
fn the_epoch_is_computed_again(network: &Network, epoch: u64) {
    let (kept, tree, of) = (file(network, "epoch"), file(network, "leaves"), epoch.to_string());
    let (code, said) = network.symphony("brand-b", &["settle", "verify", &of, "--on-chain", "--out", &kept]);
    assert_eq!(code, 0, "{said}");
    for check in
        ["settlements-anchored", "payout-recomputed", "payout-confirmation", "chain-totals", "chain-trees"]
    {
        assert!(said.contains(check), "{said}");
    }
    let leaves = ["vault", "leaves", "--vault", VAULTS[0], "--epoch", &of, "--out", &tree];
    for stranger in ["brand-b", "producer-1", "luckin"] {
        let (code, said) = network.symphony(stranger, &leaves);
        assert!(code == 1 && said.contains("ADM-0003"), "{stranger}: {said}");
    }
    let (code, said) = network.symphony("operator-vault-a", &leaves);
    assert_eq!(code, 0, "{said}");
    let offline = ["settle", "verify", &of, "--file", &kept, "--leaves", &tree];
    let (code, said) = network.symphony("brand-b", &offline);
    assert!(code == 0 && said.contains("leaves      56 added up"), "{said}");
    flip(&tree, 1);
    let (code, said) = network.symphony("brand-b", &offline);
    assert!(code == 3 && said.contains("dividend-leaves") && said.contains("NOT VERIFIED"), "{said}");
    let other = (epoch + 1).to_string();
    let (code, said) = network.symphony("brand-b", &["settle", "verify", &other, "--file", &kept]);
    assert!(code == 3 && said.contains("it is of another network or epoch"), "{said}");
    let (code, said) = network.symphony("brand-b", &["settle", "verify", "1"]);
    assert!(code == 1 && said.contains("ADM-0004"), "{said}");
}

/// R031, R191, R192: an entry is proven to whom its task is, its digest to anybody registered, and that the journal only grew.
fn entries_are_proven(network: &Network, task: &str, (epoch, later): (u64, u64)) {
    let (kept, earlier) = (file(network, "proof"), file(network, "earlier"));
    let [before, of, later] = [epoch - 1, epoch, later].map(|epoch| epoch.to_string());
    let prove = ["audit", "prove", task, "--epoch", &of, "--out", &kept];
    let (code, said) = network.symphony("luckin", &prove);
    assert!(code == 0 && said.contains(&format!("about task    {task}")), "{said}");
    let (code, said) = network.symphony("brand-b", &["audit", "prove", task]);
    assert!(code == 1 && said.contains("ADM-0004"), "{said}");
    let (code, said) =
        network.symphony("brand-b", &["audit", "prove", "1", "--epoch", &of, "--out", &earlier]);
    assert!(code == 0 && !said.contains("about task"), "{said}");
    let (code, said) = network.symphony("brand-b", &["audit", "prove", "1"]);
    assert!(code == 0 && !said.contains("at the end of epoch"), "as it is now: {said}");
    for beyond in [vec!["audit", "prove", "99999999"], vec!["audit", "prove", "1", "--epoch", "99999999999"]]
    {
        let (code, said) = network.symphony("brand-b", &beyond);
        assert!(code == 1 && (said.contains("ADM-0004") || said.contains("GOV-0002")), "{said}");
    }
    let goes_on = ["audit", "consistent", &of, &later, "--known", &earlier];
    let (code, said) = network.symphony("brand-b", &goes_on);
    assert!(code == 0 && said.contains("goes on from"), "{said}");
    let (code, said) = network.symphony("brand-b", &["audit", "consistent", &of, &before]);
    assert!(code == 1 && said.contains("ADM-0004"), "the later one is no beginning: {said}");
    let (code, said) = network.symphony("brand-b", &["audit", "check", &kept]);
    assert!(code == 0 && said.contains("verified"), "{said}");
    // The last byte says that there is no earlier head; before it come the path and the entry.
    flip(&kept, 10);
    let (code, said) = network.symphony("brand-b", &["audit", "check", &kept]);
    assert!(code == 3 && said.contains("NOT VERIFIED"), "{said}");
}
