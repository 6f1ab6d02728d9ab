//! A network whose machines play trusted hardware, with real processes: what is sealed, computed, judged, settled and verified
//! rests on evidence; a machine that the council strikes off computes nothing more (R121, R124, R126, R129, R130).

use std::fs;

use serde_json::json;
use symphony_attest::claims::Class;
use symphony_protocol::evidence::EndorsedBundle;
use symphony_protocol::governance::change::Change;
use symphony_sdk::campaign::CampaignSpec;
use symphony_sdk::client::Upload;
use symphony_sdk::verify::{governance_digest, verify};
use symphony_tee::report::{PlatformClass, SignedBoot};
use symphony_types::id::RequestId;
use symphony_wire::documents::decode;

use crate::council::{enact, founded};
use crate::network::{Network, Person, TURN, crowd, spec, subject};

const POLICY: &str =
    "challenge=200,epoch=1500,timelock=100,execute=6000,marketing=900000000,subject_cap=900000000";

/// R087, R116, R121, R122, R124, R126, R129, R130: with two executors in a Vault, which believe each other on evidence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_runs_on_machines_that_evidence_vouches_for() {
    let _turn = TURN.lock().await;
    let class = Class::ALL[1].as_str();
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--hardware", class, "--masters", "1", "--policy", POLICY];
    let executors = [("SYMPHONY_NODE_EXECUTORS", "2"), ("SYMPHONY_NODE_SEGMENT_ROWS", "20")];
    let network = Network::start_with(&folder.path().join("network"), &arguments, &executors);
    network.ready().await;
    let people = crowd(55);
    network.upload("crowd", &people).await;
    let line = |person: &Person| {
        json!({"request_id": format!("more-{}", person.number), "subject": subject(person),
        "commerce.category": "tea", "commerce.amount": "1.20"})
    };
    let more: Vec<_> = people.iter().filter(|person| person.vault == 0).map(line).collect();
    assert_eq!(network.put("vault-a", Upload::Records, "more", &more).await.refused_total, 0);
    let luckin = network.submitter("luckin");
    let request = |name: &str| RequestId::new(name).unwrap();
    let delivered = luckin.run(&spec(), &request("first"), |_| {}).await.unwrap();
    assert_eq!((delivered.task.state.as_str(), delivered.task.returned), ("completed", 165));
    network.settled(&luckin.client, delivered.task.task_id).await;
    let bytes = luckin.client.evidence(delivered.task.task_id).await.unwrap();
    let report = verify(&bytes, Some(governance_digest(&founded(&network))));
    assert!(report.passed(), "{:?}", report.failed().collect::<Vec<_>>());
    assert!(report.software, "R130: no hardware stands behind it, and the evidence says so");
    assert_eq!(report.enclaves.len(), 4, "three slices and the aggregation");
    for enclave in &report.enclaves {
        assert_eq!((enclave.class.as_str(), enclave.hardware), ("development", Some(class)));
        assert_eq!(enclave.tier, "affirming");
        assert!(enclave.evidence.is_some() && enclave.collateral.is_some());
    }
    let log = fs::read_to_string(network.dir.join("logs/enterprise-vault-a.log")).unwrap();
    assert!(log.contains("vault.deal"), "two executors have read, each believed on its own evidence: {log}");
    // The evidence itself lies in the bundle, marked in the signed bytes.
    let bundle: EndorsedBundle = decode(&bytes).unwrap();
    let (_, attestation) = &bundle.body.evidence.result.slices[2];
    let boot = SignedBoot::from_canonical(&attestation.boot).unwrap();
    assert!(matches!(boot.body.class, PlatformClass::Development(_)));
    assert!(boot.vendor_word().is_some());
    // No keys of an enclave lie in its node's folder: on hardware they end with the process.
    assert!(!fs::exists(network.dir.join("enterprise-vault-a/data/enclave.keys")).unwrap());

    enact(&network, Change::RevokePlatform { platform: boot.body.platform }).await;
    let (of_two, second) = (CampaignSpec { quorum: 2, ..spec() }, request("second"));
    let two = luckin.run(&of_two, &second, |_| {}).await.unwrap();
    let end = (two.task.state.as_str(), two.task.code.as_str(), two.task.returned);
    assert_eq!(end, ("completed", "", 110), "without the third vault");
    let bytes = luckin.client.evidence(two.task.task_id).await.unwrap();
    let report = verify(&bytes, Some(governance_digest(&founded(&network))));
    assert!(report.passed(), "{:?}", report.failed().collect::<Vec<_>>());
    assert_eq!(report.enclaves.len(), 3);
}
