//! People erased and keys rotated over a whole network, and the passphrase that a Vault's secrets are under.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use symphony_sdk::client::{Client, Format, Upload};
use symphony_sdk::erasure;
use symphony_types::id::RequestId;

use crate::network::{Network, TURN, code};
use crate::taint::{Needles, files, in_file};

/// In everything that the person brings; it must not be found in any file.
const PRIVATE: &str = "zqperson71deerasure";

async fn put(client: &Client, vault: &str, kind: Upload, name: &str, line: Value) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("{line}\n")).unwrap();
    let key = RequestId::new(name).unwrap();
    let sent = client.upload(vault, kind, Format::JsonLines, &key, file.path()).await.unwrap();
    assert_eq!((sent.accepted, sent.refused_total), (1, 0), "{sent:?}");
}

pub fn check(dir: &Path, vault: &str) -> Value {
    let config = dir.join(format!("enterprise-{vault}/node.toml"));
    let output = Command::new(env!("CARGO_BIN_EXE_symphonyd"))
        .args(["check", "--json", "--config"])
        .arg(config)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// R055, R076, R080, R207: a person erases itself, sealed to its Vault; the operator erases another and rotates the key; the proofs
/// are checked by the governance, and the Vault that is checked afterwards knows who is erased.
#[tokio::test]
async fn a_person_is_erased_and_the_key_rotated_over_the_network() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    let network = Network::start_in(&dir, &["--masters", "1"]);
    network.ready().await;
    let operator = network.client("operator-vault-a");
    for name in ["gone-1", "gone-2", "stays"] {
        let contact = format!("{PRIVATE}-{name}@example.org");
        put(&operator, "vault-a", Upload::Subjects, name, json!({"subject": name, "contact": contact})).await;
        let record = json!({"request_id": name, "subject": name, "commerce.merchant": PRIVATE,
            "commerce.amount": "5.80"});
        put(&operator, "vault-a", Upload::Records, &format!("record-{name}"), record).await;
    }
    let governance = erasure::governance(&fs::read(dir.join("governance.bcs")).unwrap()).unwrap();
    let own = network.client_as("gone-1", "producer");
    let refused = own.erase_person("vault-a", "stays").await;
    assert_eq!(code(refused), "ADM-0003");
    let first = own.erase_person("vault-a", "gone-1").await.unwrap().proof;
    let second = operator.erase_person("vault-a", "gone-2").await.unwrap().proof;
    let proofs = [&first, &second].map(|proof| erasure::check_person(proof, &governance).unwrap());
    assert_eq!(
        proofs.map(|proof| (proof.vault.to_string(), proof.subject.0)),
        [("vault-a".to_owned(), 0), ("vault-a".to_owned(), 1)]
    );
    assert_eq!(own.erase_person("vault-a", "gone-1").await.unwrap().proof, first, "the same proof");
    assert_eq!(code(own.budget("vault-a", "gone-1").await), "VLT-0002");
    assert_eq!(code(own.rotate_key("vault-a").await), "ADM-0003");
    let rotated = operator.rotate_key("vault-a").await.unwrap().keys;
    // Two days when midnight came between the uploads.
    assert!((3..=4).contains(&rotated), "who stays, the day, and the key of dividends: {rotated}");
    let stays = network.client_as("stays", "producer").records("vault-a", "stays").await.unwrap();
    assert_eq!(stays.len(), 1);
    network.stop();
    let needles = Needles::of(PRIVATE);
    for file in files(&dir) {
        assert_eq!(in_file(&file, &needles), None, "{}", file.display());
    }
    let report = check(&dir, "vault-a");
    let count = |name: &str| report[name].as_u64().unwrap();
    assert_eq!((count("people"), count("erased_people")), (1, 2), "{report}");
    assert_eq!((count("records"), count("erased_records"), count("faults_total")), (1, 2, 0), "{report}");
}

/// A Vault's node alone, which ends at once when it could start.
pub fn vault(config: &Path) -> Output {
    let mut node = Command::new(env!("CARGO_BIN_EXE_symphonyd"));
    node.args(["vault", "--supervised", "--config"]).arg(config).stdin(Stdio::null()).output().unwrap()
}

pub fn symphonyd(words: &[&str], last: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_symphonyd")).args(words).arg(last).output().unwrap()
}

/// R076: a production policy takes no bare secrets; with another passphrase than its own a Vault does not start and nothing is changed;
/// bare secrets are sealed by a command of their own.
#[test]
fn a_vaults_secrets_are_under_a_passphrase_where_it_matters() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    let create = ["dev", "--create-only", "--masters", "1", "--profile", "production", "--dir"];
    assert!(symphonyd(&create, &dir).status.success());
    let node = dir.join("enterprise-vault-a");
    let (config, data) = (node.join("node.toml"), node.join("data"));
    let says = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let sealed = symphonyd(&["check", "--json", "--config"], &config);
    assert!(sealed.status.success(), "{}", says(&sealed));
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("passphrase_file"), "{text}");
    let (passphrase, secrets) =
        (node.join("keys/vault.passphrase"), fs::read(data.join("signing.key")).unwrap());
    let right = fs::read(&passphrase).unwrap();
    fs::write(&passphrase, "another").unwrap();
    for output in [vault(&config), symphonyd(&["seal", "--config"], &config)] {
        assert!(!output.status.success());
        assert!(
            says(&output).contains("the passphrase does not open the vault's secrets"),
            "{}",
            says(&output)
        );
    }
    assert_eq!(fs::read(data.join("signing.key")).unwrap(), secrets);
    fs::write(&passphrase, right).unwrap();
    let bare: String =
        text.lines().filter(|line| !line.starts_with("passphrase")).map(|line| format!("{line}\n")).collect();
    fs::write(&config, &bare).unwrap();
    let nameless = vault(&config);
    assert!(says(&nameless).contains("sealed under a passphrase"), "{}", says(&nameless));
    // As if its secrets had been made bare.
    fs::remove_dir_all(&data).unwrap();
    let refused = vault(&config);
    assert!(!refused.status.success());
    assert!(says(&refused).contains("the vault's secrets are bare files"), "{}", says(&refused));
}

/// R059, R062, R076, R207: the operator has a backup taken over the network; the disk is lost, the node names the way back, and what comes
/// back is what was answered last.
#[tokio::test]
async fn a_vault_whose_disk_was_lost_is_restored() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    assert!(symphonyd(&["dev", "--create-only", "--masters", "1", "--dir"], &dir).status.success());
    let node = dir.join("enterprise-vault-a");
    let (config, data) = (node.join("node.toml"), node.join("data"));
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("standby = \"../standby\"\n{text}")).unwrap();
    let network = Network::start_in(&dir, &["--masters", "1"]);
    network.ready().await;
    let operator = network.client("operator-vault-a");
    let people = ["stays", "withdraws", "goes"];
    for name in people {
        let contact = format!("{name}@example.org");
        put(&operator, "vault-a", Upload::Subjects, name, json!({"subject": name, "contact": contact})).await;
        let consent = json!({"subject": name, "scope": "marketing", "state": "granted"});
        put(&operator, "vault-a", Upload::Consents, &format!("consent-{name}"), consent).await;
    }
    assert_eq!(code(network.client_as("stays", "producer").back_up("vault-a").await), "ADM-0003");
    assert_eq!(code(network.client("operator-vault-b").back_up("vault-b").await), "VLT-0016");
    assert_eq!(operator.back_up("vault-a").await.unwrap().number, 2);
    let marketing = symphony_types::id::UsageScope::new("marketing").unwrap();
    let key = RequestId::new("no").unwrap();
    operator.withdraw_at("vault-a", "withdraws", &marketing, &key).await.unwrap();
    operator.erase_person("vault-a", "goes").await.unwrap();
    let record = json!({"request_id": "late", "subject": "stays", "commerce.merchant": "Cafe Luna",
        "commerce.amount": "5.80"});
    put(&operator, "vault-a", Upload::Records, "late", record).await;
    network.stop();
    let before = check(&dir, "vault-a");
    fs::remove_dir_all(&data).unwrap();
    let says = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let refused = vault(&config);
    assert!(!refused.status.success() && says(&refused).contains("symphonyd restore"), "{}", says(&refused));
    let manifest = dir.join("standby/backups/2/manifest.bcs");
    let whole = fs::read(&manifest).unwrap();
    fs::write(&manifest, &whole[1..]).unwrap();
    let refused = symphonyd(&["restore", "--config"], &config);
    assert!(!refused.status.success() && says(&refused).contains("manifest.bcs"), "{}", says(&refused));
    assert!(!data.join("vault.redb").exists());
    fs::write(&manifest, whole).unwrap();
    let restored = symphonyd(&["restore", "--config"], &config);
    assert!(restored.status.success(), "{}", says(&restored));
    assert!(String::from_utf8_lossy(&restored.stdout).contains("backup 2"), "{restored:?}");
    assert_eq!(check(&dir, "vault-a"), before);
    let again = symphonyd(&["restore", "--config"], &config);
    assert!(!again.status.success() && says(&again).contains("is there already"), "{}", says(&again));
    let network = Network::start_in(&dir, &["--masters", "1"]);
    network.ready().await;
    let state = async |name: &str| {
        let told = network.client_as(name, "producer").consents("vault-a", name).await;
        told.map(|told| told.into_iter().map(|consent| consent.state).collect::<Vec<_>>())
    };
    assert_eq!(state("stays").await.unwrap(), ["granted"]);
    assert_eq!(state("withdraws").await.unwrap(), ["withdrawn"]);
    assert_eq!(code(state("goes").await), "VLT-0002");
    let records = network.client_as("stays", "producer").records("vault-a", "stays").await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(network.client("operator-vault-a").back_up("vault-a").await.unwrap().number, 3);
    network.stop();
}
