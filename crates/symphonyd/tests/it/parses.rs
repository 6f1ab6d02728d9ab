//! The receipt story over a whole network: a photo becomes a governed record inside its Vault, is verified and settled, and
//! its owner is found by the next campaign (R074, R080, R082-R086, R234).

use std::fs;

use serde_json::json;
use symphony_reader::render::{self, Day, page};
use symphony_sdk::campaign::Submitter;
use symphony_sdk::client::{Client, Format, Upload};
use symphony_sdk::shape::Task;
use symphony_types::amount::Sym;
use symphony_types::digest::Digest;
use symphony_types::id::{RequestId, TaskId, UsageScope};
use time::OffsetDateTime;

use crate::network::{Network, TURN, code, crowd, eventually, spec};
use crate::taint::{Needles, files, in_file};

const PERSON: &str = "receipt-reader-1";
const OTHER: &str = "receipt-reader-2";
/// The enclave of the person's Vault.
const ENCLAVE: &str = "enclave";
/// Printed on the receipts, and asked for by the campaigns.
const MERCHANT: &str = "Luckin Coffee";

/// R082, R083, R085, R086, R234, D11: free for its owner, read inside the Vault, verified, paid from a named subsidy; the next
/// campaign finds the person, and the former one did not. One receipt earns once, what is no receipt earns nothing.
#[tokio::test]
async fn a_photo_becomes_a_record_that_a_campaign_finds() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", "challenge=200,epoch=4000"]);
    network.ready().await;
    network.upload("crowd", &crowd(55)).await;
    // One seals its receipts to its Vault, the other leaves that to the gateway.
    let own = network.sealing_client(PERSON, "producer");
    let other = network.client_as(OTHER, "producer");
    for (client, name) in [(&own, PERSON), (&other, OTHER)] {
        enrol(client, name).await;
        client.grant(&UsageScope::new("marketing").unwrap(), None, &request("consent")).await.unwrap();
    }
    let luckin = network.submitter("luckin");
    let before = luckin.run(&spec(), &request("before"), |_| {}).await.unwrap();
    assert_eq!((before.task.state.as_str(), before.task.returned), ("completed", 165));

    let photo = photo(21);
    let parsing = own.upload_and_parse_receipt(&photo, &request("photo")).await.unwrap();
    let receipt = Digest::from_hex(&parsing.uploaded.receipt.receipt_id).unwrap();
    let task = ended(&own, parsing.task.unwrap()).await;
    assert_eq!(
        (task.state.as_str(), task.code.as_str(), task.task_class.as_str()),
        ("completed", "", "parse")
    );
    assert_eq!((task.locked, task.refunded), (Sym::ZERO, Sym::ZERO), "its owner pays nothing");
    let shares = |class: &str| -> u64 {
        task.shares.iter().filter(|share| share.recipient_class == class).map(|share| share.amount.0).sum()
    };
    assert!(shares("contributors") > 0, "its owner earns a reward: {:?}", task.shares);
    assert_eq!(task.shares.iter().map(|share| share.amount.0).sum::<u64>(), task.subsidy.0);
    assert_eq!(task.platform_class, "software");
    assert_eq!(code(other.task(task.task_id).await), "ADM-0004", "nobody else sees it");
    let again = own.upload_and_parse_receipt(&photo, &request("photo")).await.unwrap();
    assert_eq!(again.task.unwrap(), task.task_id, "the same request is the same task");

    let entry = own.receipt(receipt).await.unwrap();
    let reading = entry.reading.unwrap();
    assert_eq!(reading.value("merchant").map(str::to_uppercase), Some(MERCHANT.to_uppercase()));
    assert_eq!(reading.value("city"), Some("Singapore"));
    assert!(own.receipt_drawing(receipt, 0).await.unwrap().starts_with(b"\x89PNG"));

    let after = luckin.run(&spec(), &request("after"), |_| {}).await.unwrap();
    assert_eq!((after.task.state.as_str(), after.task.returned), ("completed", 166));
    a_correction_counts(&own, &luckin, receipt).await;
    one_receipt_earns_once(&own, &other, &photo, receipt).await;
    paid(&network, &own, task.task_id).await;
    own.erase_receipt(receipt).await.unwrap();
    let last = luckin.run(&spec(), &request("erased"), |_| {}).await.unwrap();
    assert_eq!(last.task.returned, 165, "with the receipt its record is gone");
    nothing_is_in_clear(network);
}

/// R084, R116, R196, R209, R234: whatever dies while a receipt is read or verified, the parse ends once, with one record, and is
/// paid once.
#[tokio::test]
async fn a_parse_survives_whatever_dies() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", "challenge=300,epoch=3000"]);
    network.ready().await;
    let own = network.client_as(PERSON, "producer");
    enrol(&own, PERSON).await;
    let vault = own.assigned().await.unwrap().vault_id;
    let node = format!("enterprise-{vault}");
    let mut victims = network.masters();
    victims.extend([node.clone(), "verifier".to_owned(), "gateway".to_owned(), ENCLAVE.to_owned()]);
    let mut tasks = Vec::new();
    for (held, state) in [(ENCLAVE, "dispatched"), ("verifier", "verifying")] {
        for victim in &victims {
            let pid = |name: &str| match name {
                ENCLAVE => network.enclave_pid(&node),
                name => Some(network.pid(name)),
            };
            let running = async |name: &str| {
                eventually("the process runs", async || pid(name).filter(|pid| Network::alive(*pid))).await
            };
            // Found while no document is read: the reading process is another child of the Vault.
            let enclave = running(ENCLAVE).await;
            let holder = if held == ENCLAVE { enclave } else { running(held).await };
            network.pause(holder, true);
            let seed = 100 + tasks.len() as u64;
            let key = request(&format!("photo-{seed}"));
            let parsing = own.upload_and_parse_receipt(&photo(seed), &key).await.unwrap();
            let task = parsing.task.unwrap();
            eventually("the parse is held", async || {
                own.task(task).await.ok().filter(|task| task.state == state)
            })
            .await;
            network.kill(if victim == ENCLAVE { enclave } else { running(victim).await });
            if victim != held {
                network.pause(holder, false);
            }
            let ended = ended(&own, task).await;
            assert_eq!((ended.state.as_str(), ended.code.as_str()), ("completed", ""), "{victim} at {state}");
            tasks.push(task);
        }
    }
    let records = eventually("the vault answers", async || own.records(&vault, PERSON).await.ok()).await;
    assert_eq!(records.len(), tasks.len(), "one record a receipt");
    for task in tasks {
        paid(&network, &own, task).await;
    }
}

/// R077, R083: campaigns see what the owner says of its receipt.
async fn a_correction_counts(own: &Client, luckin: &Submitter, receipt: Digest) {
    let correct = async |merchant: &str| {
        let corrections = [("merchant".to_owned(), merchant.to_owned())].into();
        own.correct_receipt(receipt, &corrections).await.unwrap().reading.unwrap()
    };
    assert_eq!(correct("FairPrice").await.value("merchant"), Some("FairPrice"));
    let without = luckin.run(&spec(), &request("corrected"), |_| {}).await.unwrap();
    assert_eq!(without.task.returned, 165);
    correct(MERCHANT).await;
    let wrong = [("total".to_owned(), "much".to_owned())].into();
    assert_eq!(code(own.correct_receipt(receipt, &wrong).await), "ADM-0001");
}

/// R080, R086
async fn one_receipt_earns_once(own: &Client, other: &Client, photo: &[u8], receipt: Digest) {
    // Each Vault recognises what was brought to it.
    assert_eq!(own.assigned().await.unwrap().vault_id, other.assigned().await.unwrap().vault_id);
    assert_eq!(code(own.parse_receipt(receipt, &request("twice")).await), "VLT-0015");
    let stolen = other.upload_and_parse_receipt(photo, &request("stolen")).await.unwrap();
    let task = ended(other, stolen.task.unwrap()).await;
    assert_eq!((task.state.as_str(), task.code.as_str()), ("rejected", "VLT-0015"));
    assert!(task.shares.is_empty() && task.subsidy == Sym::ZERO);
    let garbage = image(&letter());
    let parsing = other.upload_and_parse_receipt(&garbage, &request("letter")).await.unwrap();
    let task = ended(other, parsing.task.unwrap()).await;
    assert_eq!((task.state.as_str(), task.code.as_str()), ("rejected", "VLT-0013"));
    let id = Digest::from_hex(&parsing.uploaded.receipt.receipt_id).unwrap();
    assert_eq!(other.receipt(id).await.unwrap().reading.unwrap().code, "VLT-0013");
    other.erase_receipt(id).await.unwrap();
}

/// R085, R154, D11: the subsidy is in the epoch's batch, which the chain confirmed.
async fn paid(network: &Network, own: &Client, task: TaskId) {
    let paid = eventually("the epoch of the parse is paid", async || {
        let task = own.task(task).await.ok()?;
        (task.payout == "confirmed" && task.anchor == "confirmed").then_some(task)
    });
    assert!(paid.await.subsidy > Sym::ZERO);
    eventually("the masters agree", async || {
        let status = network.client("luckin").status().await.ok()?;
        status.master_nodes.iter().all(|master| master.head == "equal").then_some(())
    })
    .await;
}

/// R076, R082: neither a Vault nor any other node leaves the words of a receipt in a file.
fn nothing_is_in_clear(network: Network) {
    let folder = network.stop().unwrap();
    let number = render::invent_of(21, MERCHANT, "SG", yesterday()).truth.number;
    let needles = Needles::of(&number);
    for file in files(folder.path()) {
        assert_eq!(in_file(&file, &needles), None, "{}", file.display());
    }
}

async fn ended(client: &Client, task: TaskId) -> Task {
    eventually("the parse ends", async || client.task(task).await.ok().filter(Task::terminal)).await
}

async fn enrol(client: &Client, name: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let line = json!({"subject": name, "contact": format!("{name}@example.org")});
    fs::write(file.path(), format!("{line}\n")).unwrap();
    let key = request("enrol");
    let sent = client.upload("assigned", Upload::Subjects, Format::JsonLines, &key, file.path()).await;
    assert_eq!(sent.unwrap().accepted, 1);
}

fn yesterday() -> Day {
    let date = OffsetDateTime::now_utc().date().previous_day().unwrap();
    Day { year: date.year().try_into().unwrap(), month: date.month().into(), day: date.day() }
}

fn photo(seed: u64) -> Vec<u8> {
    image(&render::invent_of(seed, MERCHANT, "SG", yesterday()))
}

/// There is much to read on it, and nothing was sold.
fn letter() -> render::Receipt {
    let mut letter = render::invent_of(22, MERCHANT, "SG", yesterday());
    for (_, row) in &mut letter.rows {
        *row = "we meet on sunday in the hall".to_owned();
    }
    letter
}

fn image(receipt: &render::Receipt) -> Vec<u8> {
    page::jpeg(&page::picture(receipt)).unwrap()
}

fn request(name: &str) -> RequestId {
    RequestId::new(name).unwrap()
}
