//! A network of real processes in which one Vault's segments are in a store of objects, chosen by its configuration.

use std::fs;
use std::path::Path;
use std::process::Output;

use hyper::Method;
use serde_json::json;
use symphony_sdk::client::Upload;
use symphony_sdk::shape::statistic::Selection;

use crate::network::{Network, TURN};
use crate::people::{check, symphonyd, vault};
use crate::server::{Fault, SECRET, Server};
use crate::statistics::{PEOPLE, POLICY, answered, cells, count, recently};
use crate::taint::{Needles, files, in_file};
use crate::trainings::{evaluated, populate};

/// The node's configuration with its segments in this store, which three enclaves read.
fn configured(text: &str, server: &Server) -> String {
    let store = toml::to_string(&server.config()).unwrap();
    let text = text.replace("segment_rows = 4096", "segment_rows = 16");
    let text = text.replace("executors = 1", "executors = 3");
    format!("{text}\n[segments_store]\n{store}")
}

fn says(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn refused(config: &Path, what: &str) {
    let output = symphonyd(&["check", "--json", "--config"], config);
    let told = [says(&output), String::from_utf8_lossy(&output.stdout).into_owned()].concat();
    assert!(!output.status.success() && told.contains(what), "{told}");
    assert!(!told.contains(SECRET), "{told}");
}

/// R076, R078, R079, R087, R230: statistics over three Vaults, of which one has its segments in a store and three enclaves that read them:
/// it is read, everybody is counted; the check reads the objects and names one that is missing; no file of the network has the secret; and a configuration that
/// cannot be meant is refused before anything is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_vault_of_a_network_has_its_segments_in_a_store() {
    let _turn = TURN.lock().await;
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    let create = ["dev", "--create-only", "--masters", "1", "--policy", POLICY, "--dir"];
    assert!(symphonyd(&create, &dir).status.success());
    let config = dir.join("enterprise-vault-a/node.toml");
    let text = fs::read_to_string(&config).unwrap();
    let named = configured(&text, &server);
    fs::write(&config, named.replace("plain_http = true", "plain_http = false")).unwrap();
    let output = vault(&config);
    assert!(!output.status.success() && says(&output).contains("plain_http"), "{}", says(&output));
    for wrong in ["executors = 0", "executors = 17"] {
        fs::write(&config, named.replace("executors = 3", wrong)).unwrap();
        let output = vault(&config);
        assert!(
            !output.status.success() && says(&output).contains("a vault has 1 to 16"),
            "{}",
            says(&output)
        );
    }
    fs::write(&config, &named).unwrap();
    let network = Network::start_in(&dir, &["--masters", "1", "--policy", POLICY]);
    network.ready().await;
    populate(&network, "marketing").await;
    for upload in 0..2 {
        let line = |n: u32| {
            json!({
                "request_id": format!("more-{upload}-{n}"), "subject": format!("shopper-0-{n:04}"),
                "commerce.category": "tea", "commerce.purchase_date": evaluated() - 1_000, "commerce.amount": "1.20",
            })
        };
        let lines: Vec<_> = (0..20).map(line).collect();
        let report = network.put("vault-a", Upload::Records, &format!("more-{upload}"), &lines).await;
        assert_eq!(report.refused_total, 0, "{:?}", report.refused);
    }
    assert_eq!(server.objects().len(), 3);
    assert_eq!(fs::read_dir(dir.join("enterprise-vault-a/data/analysis/segments")).unwrap().count(), 0);
    server.seen();
    let everybody = Selection::Any(vec![recently(), Selection::Not(Box::new(recently()))]);
    let (_, result) = answered(&network, &count(everybody), "everybody").await;
    assert_eq!(result.vaults, 3);
    // One cell with a scale of three is off by forty about never.
    assert!((cells(&result)[0] - PEOPLE).abs() < 40, "{result:?}");
    assert!(server.seen().contains(&Method::GET));
    let log = fs::read_to_string(dir.join("logs/enterprise-vault-a.log")).unwrap();
    assert!(log.contains("vault.deal") && log.contains("\"portions\":3"), "{log}");
    let data = dir.join("enterprise-vault-a/data");
    let keys = [data.clone(), data.join("executor-2"), data.join("executor-3")];
    let keys = keys.map(|folder| fs::read(folder.join("enclave.keys")).unwrap());
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    network.stop();

    let report = check(&dir, "vault-a");
    assert_eq!(report["faults_total"], 0, "{report}");
    assert_eq!(report["segments"], server.objects().len(), "{report}");
    let object = server.objects().remove(0);
    let whole = fs::read(&object).unwrap();
    fs::remove_file(&object).unwrap();
    refused(&config, object.file_stem().unwrap().to_str().unwrap());
    fs::write(&object, whole).unwrap();
    server.fail(Fault::Status(403), None, usize::MAX);
    refused(&config, "VLT-0021");
    server.mend();
    assert_eq!(check(&dir, "vault-a"), report);
    let needles = Needles::of(SECRET);
    for file in files(&dir) {
        assert_eq!(in_file(&file, &needles), None, "{}", file.display());
    }
    fs::write(&config, text).unwrap();
    let elsewhere = vault(&config);
    assert!(
        !elsewhere.status.success() && says(&elsewhere).contains("the vault's segments are in"),
        "{}",
        says(&elsewhere)
    );
}
