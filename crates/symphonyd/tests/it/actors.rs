//! The council admits an enterprise, freezes one and lets it take part again, with real processes, Vaults that die in between, and people
//! who consent at another Vault meanwhile (R008, R061, R184, R187).

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use symphony_protocol::governance::change::Change;
use symphony_protocol::governance::membership::Enterprise;
use symphony_sdk::campaign::CampaignSpec;
use symphony_sdk::client::{Client, Format, Upload};
use symphony_sdk::shape::UploadReport;
use symphony_sdk::verify::{governance_digest, verify};
use symphony_types::id::{RequestId, VaultId};
use symphony_wire::documents::{decode, encode};

use crate::council::{enact, founded};
use crate::network::{Network, TURN, code, contact, crowd, eventually, now_ms, spec, subject};

const POLICY: &str = "challenge=200,epoch=1500,timelock=100,marketing=900000000,subject_cap=900000000";

fn name(text: &str) -> RequestId {
    RequestId::new(text).unwrap()
}

async fn put(client: &Client, vault: &str, upload: Upload, line: &Value) -> UploadReport {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{line}").unwrap();
    let key = name(&format!("{vault}-{}", now_ms()));
    client.upload(vault, upload, Format::JsonLines, &key, file.path()).await.unwrap()
}

/// A purchase that the campaign looks for.
fn record(person: &str, request: &str) -> Value {
    json!({"request_id": request, "subject": person, "commerce.merchant": "Luckin Coffee",
        "commerce.category": "coffee", "commerce.purchase_date": now_ms() - 5 * 86_400_000,
        "commerce.amount": "5.80", "geography.city": "Singapore"})
}

async fn consent_of(client: &Client, vault: &str, person: &str) -> Option<String> {
    Some(client.consents(vault, person).await.ok()?.first()?.state.clone())
}

/// The Vault of an enterprise that the supervisor does not know; it ends with this.
struct Joined(Child);

impl Joined {
    fn start(config: &Path) -> Self {
        let mut node = Command::new(env!("CARGO_BIN_EXE_symphonyd"));
        node.args(["vault", "--supervised", "--config"]).arg(config).stdin(Stdio::piped());
        Self(node.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// R008, R184, R194: before the council has admitted an enterprise its node does not start, no master connects to it and no task names it;
/// from the entry of the log on it takes people and takes part, with no node started again. It is killed and comes back by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enterprise_is_admitted_while_the_network_runs() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", POLICY]);
    network.ready().await;
    network.upload("people", &crowd(55)).await;
    let masters: Vec<_> = network.masters().iter().map(|master| network.pid(master)).collect();
    let made = Command::new(env!("CARGO_BIN_EXE_symphonyd"))
        .args(["enterprise", "--vault", "vault-d", "--dir"])
        .arg(&network.dir)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let folder = network.dir.join("enterprise-vault-d");
    let config = folder.join("node.toml");
    let early = Command::new(env!("CARGO_BIN_EXE_symphonyd"))
        .args(["vault", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&early.stderr);
    assert!(!early.status.success() && why.contains("governance does not know vault vault-d"), "{why}");
    let luckin = network.submitter("luckin");
    let asked =
        CampaignSpec { vaults: ["vault-a", "vault-d"].map(str::to_owned).into(), quorum: 2, ..spec() };
    assert_eq!(code(luckin.client.quote(&asked.task()).await), "ADM-0012");

    let enterprise: Enterprise = decode(&fs::read(folder.join("enterprise.bcs")).unwrap()).unwrap();
    enact(&network, Change::AdmitEnterprise { enterprise: Box::new(enterprise) }).await;
    let log = luckin.client.governance_log().await.unwrap();
    fs::write(folder.join("governance.log"), encode(&log)).unwrap();
    let mut joined = Joined::start(&config);
    let reached = async || {
        let nodes = luckin.client.status().await.ok()?.nodes;
        nodes.iter().any(|node| node.node == "vault-d" && node.reachable).then_some(())
    };
    eventually("the masters reach the new enterprise", reached).await;
    let operator = network.client_as("operator:vault-d", "operator");
    let people: Vec<u32> = (1_000..1_055).collect();
    let lines =
        |line: &dyn Fn(u32) -> Value| people.iter().map(|n| format!("{}\n", line(*n))).collect::<String>();
    for (upload, text) in [
        (
            Upload::Subjects,
            lines(&|n| json!({"subject": format!("new-{n}"), "contact": format!("+65 9{n:07}")})),
        ),
        (
            Upload::Consents,
            lines(&|n| json!({"subject": format!("new-{n}"), "scope": "marketing", "state": "granted"})),
        ),
        (Upload::Records, lines(&|n| record(&format!("new-{n}"), &format!("first-{n}")))),
    ] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let key = name(&format!("{upload:?}").to_lowercase());
        let done = operator.upload("vault-d", upload, Format::JsonLines, &key, file.path()).await.unwrap();
        assert_eq!((done.accepted, done.refused_total), (55, 0), "{:?}", done.refused);
    }
    let task = luckin.run(&asked, &name("first"), |_| {}).await.unwrap().task;
    assert_eq!((task.state.as_str(), task.returned), ("completed", 110));
    let evidence = luckin.client.evidence(task.task_id).await.unwrap();
    let report = verify(&evidence, Some(governance_digest(&founded(&network))));
    assert!(report.passed() && report.pinned, "{:?}", report.failed().collect::<Vec<_>>());

    // What the log said is kept: the file was for the first start.
    drop(joined);
    fs::remove_file(folder.join("governance.log")).unwrap();
    joined = Joined::start(&config);
    let own = network.client_as("new-1000", "producer");
    eventually("it is back", async || own.records("vault-d", "new-1000").await.ok()).await;
    let task = luckin.run(&asked, &name("second"), |_| {}).await.unwrap().task;
    assert_eq!((task.state.as_str(), task.returned), ("completed", 110));
    let now: Vec<_> = network.masters().iter().map(|master| network.pid(master)).collect();
    assert_eq!(now, masters, "no master was started again");

    enact(&network, Change::ReleaseEnterprise { vault: VaultId::new("vault-d").unwrap() }).await;
    assert_eq!(code(luckin.client.quote(&asked.task()).await), "VLT-0023");
    let status = async || {
        let known = own.governance().await.ok()?.enterprises;
        known.into_iter().find(|one| one.vault_id == "vault-d")
    };
    let leaving = status().await.unwrap();
    assert_eq!(leaving.status, "leaving");
    eventually("nothing holds it any more", async || (status().await?.status == "left").then_some(())).await;
    assert!(own.status().await.unwrap().epoch_id > leaving.until_epoch);
    drop(joined);
}

/// R061, R187: a suspended Vault gets no task, also after it dies, takes nothing, and says so to its people, who read, withdraw and register
/// elsewhere; reinstated it serves what was not withdrawn, and who is at two Vaults is in an audience once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enterprise_is_suspended_and_reinstated() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--policy", POLICY]);
    network.ready().await;
    let people = crowd(55);
    network.upload("people", &people).await;
    let luckin = network.submitter("luckin");
    let first = luckin.run(&spec(), &name("first"), |_| {}).await.unwrap().task;
    assert_eq!((first.state.as_str(), first.returned), ("completed", 165));
    let here: Vec<_> = people.iter().filter(|person| person.vault == 0).collect();
    let (stays, leaves) = (subject(here[0]), subject(here[1]));
    let own = network.client_as(&stays, "producer");

    let vault = VaultId::new("vault-a").unwrap();
    enact(&network, Change::SuspendNode { vault: vault.clone() }).await;
    let known = own.governance().await.unwrap().enterprises;
    let statuses: Vec<_> = known.iter().map(|one| (one.vault_id.as_str(), one.status.as_str())).collect();
    assert_eq!(statuses, [("vault-a", "suspended"), ("vault-b", "active"), ("vault-c", "active")]);
    let nodes = own.status().await.unwrap().nodes;
    assert_eq!(nodes.iter().find(|node| node.node == "vault-a").unwrap().status, "suspended");
    let mut newcomers = (0..100).map(|number| format!("newcomer-{number}"));
    let newcomer = newcomers.find(|name| {
        let actor = symphony_types::id::ActorId::new(name).unwrap();
        founded(&network).registry.assigned(&actor) == Some(&vault)
    });
    let assigned = network.client_as(&newcomer.unwrap(), "producer").assigned().await.unwrap();
    assert_eq!((assigned.vault_id.as_str(), assigned.status.as_str()), ("vault-a", "suspended"));
    assert!(["vault-b", "vault-c"].contains(&assigned.elsewhere.as_str()), "{assigned:?}");
    network.kill(network.pid("enterprise-vault-a"));
    eventually("the vault itself says so", async || {
        (consent_of(&own, "vault-a", &stays).await? == "suspended").then_some(())
    })
    .await;

    // Its people read and withdraw, and nothing comes in.
    assert_eq!(own.records("vault-a", &stays).await.unwrap().len(), 1);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{}", record(&stays, "late")).unwrap();
    let late = own.upload("vault-a", Upload::Records, Format::JsonLines, &name("late"), file.path()).await;
    assert_eq!(code(late), "VLT-0022");
    let granted = json!({"subject": stays, "scope": "marketing", "state": "granted"});
    let refused = put(&own, "vault-a", Upload::Consents, &granted).await;
    assert_eq!((refused.accepted, refused.refused[0].code.as_str()), (0, "VLT-0022"));
    let leaving = network.client_as(&leaves, "producer");
    let withdrawn = json!({"subject": leaves, "scope": "marketing", "state": "withdrawn"});
    assert_eq!(put(&leaving, "vault-a", Upload::Consents, &withdrawn).await.accepted, 1);

    // Whoever wants to take part meanwhile does so at another Vault.
    let mut asked = spec();
    assert_eq!(code(luckin.client.quote(&asked.task()).await), "VLT-0022");
    asked.quorum = 2;
    let second = luckin.run(&asked, &name("second"), |_| {}).await.unwrap().task;
    assert_eq!((second.state.as_str(), second.returned), ("completed", 110));
    let profile = json!({"subject": stays, "contact": contact(here[0])});
    let anew =
        [(Upload::Subjects, profile), (Upload::Consents, granted), (Upload::Records, record(&stays, "anew"))];
    for (upload, line) in anew {
        assert_eq!(put(&own, "vault-b", upload, &line).await.accepted, 1);
    }
    let third = luckin.run(&asked, &name("third"), |_| {}).await.unwrap().task;
    assert_eq!((third.state.as_str(), third.returned), ("completed", 111));
    let evidence = luckin.client.evidence(third.task_id).await.unwrap();
    let report = verify(&evidence, Some(governance_digest(&founded(&network))));
    assert!(report.passed() && report.pinned, "{:?}", report.failed().collect::<Vec<_>>());

    enact(&network, Change::ReinstateNode { vault }).await;
    eventually("the vault serves again", async || {
        (consent_of(&own, "vault-a", &stays).await? == "granted").then_some(())
    })
    .await;
    assert_eq!(consent_of(&leaving, "vault-a", &leaves).await.unwrap(), "withdrawn");
    let last = luckin.run(&spec(), &name("last"), |_| {}).await.unwrap().task;
    assert_eq!((last.state.as_str(), last.returned), ("completed", 164), "once, though at two vaults");
}
