//! Certificates of a running network are replaced and revoked, and nobody who asks for something notices (R206).

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use symphony_wire::status::CODE_KEY;
use symphony_wire::tls::authority::present;
use symphony_wire::tls::{Channel, Credentials, NodeRole, Peer, connect};
use symphony_wire::v1::consensus_node_client::ConsensusNodeClient;
use symphony_wire::v1::platform_client::PlatformClient;
use symphony_wire::v1::{ConsensusMessage, StatusRequest};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::network::{Network, TURN, crowd, eventually};
use crate::transport::{address, health, peer, vault};
use crate::trickle::{POLICY, Trickle};

fn certificates(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_symphonyd"));
    command.arg("certificates").args(args).arg("--dir").arg(dir).output().unwrap()
}

/// What the word says when it does what it is asked.
fn done(dir: &Path, args: &[&str]) -> String {
    let output = certificates(dir, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Lines of `list` as (serial, node, state).
fn listed(dir: &Path) -> Vec<(String, String, String)> {
    let lines = done(dir, &["list"]);
    let line = |line: &str| {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        (words[0].clone(), words[1].clone(), words[3..].join(" "))
    };
    lines.lines().skip(1).map(line).collect()
}

/// R206: the words on the folder alone: what is issued, replaced and revoked is listed, and a wrong name changes nothing.
#[test]
fn certificates_are_listed_replaced_and_revoked_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("network");
    let mut made = Command::new(env!("CARGO_BIN_EXE_symphonyd"));
    made.args(["dev", "--create-only", "--masters", "1", "--vaults", "1", "--dir"]).arg(&dir);
    assert!(made.status().unwrap().success());
    let nodes = ["ledger", "verifier", "payout", "gateway", "master-1", "enterprise-vault-a"];
    let first = listed(&dir);
    assert_eq!(first.len(), nodes.len());
    assert!(first.iter().all(|(_, _, state)| state == "in use"), "{first:?}");
    done(&dir, &["rotate", "--node", "master-1"]);
    done(&dir, &["rotate", "--node", "master-1"]);
    done(&dir, &["revoke", "--node", "master-1", "--former"]);
    let of_master: Vec<_> =
        listed(&dir).into_iter().filter(|(_, node, _)| node == "master/master-1").collect();
    let with = |state: &str| of_master.iter().filter(|(_, _, found)| found == state).count();
    assert_eq!((with("in use"), with("revoked"), with("former")), (1, 2, 0));
    let crl = |node: &str| fs::read(dir.join(node).join("tls/crl.pem")).unwrap();
    assert!(nodes.iter().all(|node| crl(node) == crl("master-1")));
    for node in nodes {
        Credentials::load(&dir.join(node).join("tls")).unwrap();
    }
    for (args, reason) in [
        (&["rotate", "--node", "master-9"][..], "does not know"),
        (&["revoke", "--serial", "abcdef"], "no such certificate"),
        (&["revoke", "--serial", "not hex"], "hexadecimal"),
        (&["revoke"], "--serial"),
    ] {
        let refused = certificates(&dir, args);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains(reason), "{said}");
    }
    let serial = &of_master.iter().find(|(_, _, state)| state == "in use").unwrap().0;
    done(&dir, &["revoke", "--serial", serial]);
    assert!(listed(&dir).iter().filter(|(_, _, state)| state == "revoked").count() == 3);
}

/// The certificate that a node shows to whoever connects.
async fn shown(network: &Network, node: &str) -> Option<Vec<u8>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&network.ca()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address(network, node)).await.ok()?;
    let name = ServerName::try_from("localhost").unwrap();
    // The client's side of the handshake is done before a node has missed the client's certificate.
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    Some(stream.get_ref().1.peer_certificates()?.first()?.to_vec())
}

/// A copy of a master's certificate and key, with connections that it opened.
struct Thief {
    vault: Channel,
    master: Channel,
}

impl Thief {
    fn new(network: &Network, tls: &Path) -> Self {
        let credentials = Credentials::load(tls).unwrap();
        let to = |peer| connect(address(network, peer_name(&peer)), &credentials, peer).unwrap();
        let (vault, master) = (to(vault("enterprise-vault-a")), to(peer(NodeRole::Master, "master-1")));
        Self { vault, master }
    }

    async fn heard_by_the_vault(&self) -> bool {
        heard(health(self.vault.clone()).await)
    }

    async fn heard_by_the_master(&self) -> bool {
        heard(PlatformClient::new(self.master.clone()).get_status(StatusRequest {}).await.map(drop))
    }
}

fn peer_name(peer: &Peer) -> &str {
    peer.node.as_str()
}

/// Whether a node answered, be it with a refusal of the catalogue.
fn heard(answer: Result<(), Status>) -> bool {
    answer.err().is_none_or(|status| status.metadata().get(CODE_KEY).is_some())
}

/// R206, R008: in a network under work every node's certificate is replaced, one after the other. A copy that was
/// stolen before works until it is revoked; from then on a master and a Vault refuse it, and what it had opened is
/// closed. No request fails meanwhile, and nothing stands still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_replaced_and_revoked_without_downtime() {
    let _turn = TURN.lock().await;
    let network = Network::start(&["--masters", "3", "--policy", POLICY]);
    network.ready().await;
    network.upload("people", &crowd(60)).await;
    let trickle = Trickle::default();
    let change = async {
        trickle.goes_on().await;
        let stolen = tempfile::tempdir().unwrap();
        for file in ["ca.pem", "node.pem", "node.key"] {
            fs::copy(network.dir.join("master-2/tls").join(file), stolen.path().join(file)).unwrap();
        }
        let thief = Thief::new(&network, stolen.path());
        assert!(thief.heard_by_the_vault().await && thief.heard_by_the_master().await);
        replace_all(&network, &trickle).await;
        assert!(thief.heard_by_the_vault().await && thief.heard_by_the_master().await);
        revoke(&network, &thief, stolen.path()).await;
        trickle.goes_on().await;
        // A node that starts with the new certificate and the list takes part as before.
        let killed = network.pid("master-3");
        network.kill(killed);
        eventually("the master is started again", async || {
            Some(()).filter(|()| network.pid("master-3") != killed)
        })
        .await;
        trickle.goes_on().await;
    };
    trickle.during(&network, change).await;
    network.ready().await;
}

async fn replace_all(network: &Network, trickle: &Trickle) {
    let mut nodes = network.masters();
    nodes.extend(
        ["enterprise-vault-a", "enterprise-vault-b", "ledger", "verifier", "payout", "gateway"]
            .map(str::to_owned),
    );
    for node in &nodes {
        let before = shown(network, node).await.unwrap();
        done(&network.dir, &["rotate", "--node", node]);
        let file = fs::read(network.dir.join(node).join("tls/node.pem")).unwrap();
        let new = CertificateDer::from_pem_slice(&file).unwrap();
        assert_ne!(new.as_ref(), before);
        eventually(&format!("{node} shows its new certificate"), async || {
            shown(network, node).await.filter(|shown| shown == new.as_ref())
        })
        .await;
        trickle.goes_on().await;
    }
}

/// Revokes the former certificates of master-2, of which the thief has one.
async fn revoke(network: &Network, thief: &Thief, stolen: &Path) {
    let (_open, stream) = mpsc::channel::<ConsensusMessage>(1);
    let mut consensus = ConsensusNodeClient::new(thief.master.clone());
    let mut said = tokio::spawn(async move { consensus.say(ReceiverStream::new(stream)).await });
    // The stream is open and stays so while nobody is told.
    tokio::time::timeout(Duration::from_secs(2), &mut said).await.expect_err("a stream without an end");
    let said_so = done(&network.dir, &["revoke", "--node", "master-2", "--former"]);
    let serial = present(stolen).unwrap().serial.to_string();
    assert!(said_so.contains(&serial), "{said_so}");
    let told = Instant::now();
    assert!(tokio::time::timeout(Duration::from_secs(20), said).await.unwrap().unwrap().is_err());
    eventually("the vault hears the stolen copy no more", async || {
        (!thief.heard_by_the_vault().await).then_some(())
    })
    .await;
    println!("a revoked certificate was cut off after {:?}", told.elapsed());
    assert!(!thief.heard_by_the_master().await);
    let again = Thief::new(network, stolen);
    assert!(!again.heard_by_the_vault().await && !again.heard_by_the_master().await);
    let own = Credentials::load(&network.dir.join("master-2/tls")).unwrap();
    let to = vault("enterprise-vault-a");
    let own = connect(address(network, peer_name(&to)), &own, to).unwrap();
    health(own).await.expect("the node itself is heard");
    let states = listed(&network.dir);
    assert!(states.iter().any(|(listed, _, state)| *listed == serial && state == "revoked"));
}
