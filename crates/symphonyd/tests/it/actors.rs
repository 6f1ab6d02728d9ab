//! The council freezes an enterprise and lets it take part again, with real processes, a Vault that dies in between, and people who consent
//! at another Vault meanwhile (R008, R061, R184, R187).

use std::io::Write as _;

use serde_json::{Value, json};
use symphony_protocol::governance::change::Change;
use symphony_sdk::client::{Client, Format, Upload};
use symphony_sdk::shape::UploadReport;
use symphony_sdk::verify::{governance_digest, verify};
use symphony_types::id::{RequestId, VaultId};

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

async fn consent_of(client: &Client, vault: &str, person: &str) -> Option<String> {
    Some(client.consents(vault, person).await.ok()?.first()?.state.clone())
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
    let record = |request: &str| {
        json!({"request_id": request, "subject": stays, "commerce.merchant": "Luckin Coffee",
            "commerce.category": "coffee", "commerce.purchase_date": now_ms() - 5 * 86_400_000,
            "commerce.amount": "5.80", "geography.city": "Singapore"})
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{}", record("late")).unwrap();
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
    assert_eq!(code(luckin.client.quote(&asked).await), "VLT-0022");
    asked.quorum = 2;
    let second = luckin.run(&asked, &name("second"), |_| {}).await.unwrap().task;
    assert_eq!((second.state.as_str(), second.returned), ("completed", 110));
    let profile = json!({"subject": stays, "contact": contact(here[0])});
    let anew = [(Upload::Subjects, profile), (Upload::Consents, granted), (Upload::Records, record("anew"))];
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
