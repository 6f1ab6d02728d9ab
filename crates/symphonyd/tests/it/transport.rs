//! Who may connect to whom, and what counts once connected: certificates by role, signatures by key (R008, R201-R205).

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use symphony_protocol::artifact::Release;
use symphony_types::digest::Digest;
use symphony_types::id::{ActorId, NodeId, TaskId, VaultId};
use symphony_types::key::{Document as _, Endorsed, Gateway, Master, PrivateKey};
use symphony_types::time::OrderedMillis;
use symphony_wire::caller::{self, Caller};
use symphony_wire::documents::encode;
use symphony_wire::status::problem_of;
use symphony_wire::tls::authority::Authority;
use symphony_wire::tls::{Channel, Credentials, NodeRole, Peer, connect};
use symphony_wire::v1::chain_node_client::ChainNodeClient;
use symphony_wire::v1::platform_client::PlatformClient;
use symphony_wire::v1::vault_node_client::VaultNodeClient;
use symphony_wire::v1::{HealthRequest, SignedDocument, StatusRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::{Request, Status};

use crate::network::{Network, TURN, now_ms};

/// R008, R201-R205
#[tokio::test]
async fn only_the_right_node_with_the_right_key_is_heard() {
    let _turn = TURN.lock().await;
    let network = Network::start(&[]);
    network.ready().await;
    plaintext_is_not_spoken_between_nodes(&network).await;
    a_connection_without_a_certificate_is_refused(&network).await;
    a_certificate_of_another_authority_is_refused(&network).await;
    a_certificate_of_the_wrong_role_is_refused(&network).await;
    a_vault_obeys_only_what_a_majority_of_masters_endorses(&network).await;
    a_master_believes_no_caller_without_the_gateways_signature(&network).await;
}

/// R201
async fn plaintext_is_not_spoken_between_nodes(network: &Network) {
    for node in ["master-1", "enterprise-vault-a", "verifier", "payout", "ledger"] {
        let mut stream = TcpStream::connect(address(network, node)).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let answer = until_closed(&mut stream).await;
        // A TLS alert at most (record type 21), never a frame of HTTP/2.
        assert!(answer.is_empty() || answer[0] == 21, "{node} answered {answer:?}");
    }
}

/// R008, R201
async fn a_connection_without_a_certificate_is_refused(network: &Network) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&network.ca()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address(network, "enterprise-vault-a")).await.unwrap();
    let name = ServerName::try_from(vault("enterprise-vault-a").dns_name()).unwrap();
    // The client's side of the handshake is done before the server has judged it.
    if let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        let answer = until_closed(&mut stream).await;
        assert!(answer.is_empty(), "answered {answer:?}");
    }
}

/// R008
async fn a_certificate_of_another_authority_is_refused(network: &Network) {
    let folder = tempfile::tempdir().unwrap();
    let tls = folder.path().join("tls");
    let master = peer(NodeRole::Master, "master-1");
    Authority::open(&folder.path().join("authority")).unwrap().issue(&master, &[], &tls).unwrap();
    // Believes the network, and is not believed by it.
    fs::write(tls.join("ca.pem"), network.ca()).unwrap();
    let forged = Credentials::load(&tls).unwrap();
    unheard(health(channel(network, &forged, vault("enterprise-vault-a"))).await);
}

/// R008, R205
async fn a_certificate_of_the_wrong_role_is_refused(network: &Network) {
    let master = credentials(network, "master-1");
    health(channel(network, &master, vault("enterprise-vault-a"))).await.unwrap();
    for node in ["enterprise-vault-a", "verifier", "payout", "ledger", "gateway"] {
        let own = credentials(network, node);
        unheard(health(channel(network, &own, vault("enterprise-vault-b"))).await);
    }
    let ledger = || peer(NodeRole::Chain, "ledger");
    let question = || SignedDocument { document: vec![], standing: vec![] };
    ChainNodeClient::new(channel(network, &master, ledger())).query(question()).await.unwrap();
    for node in ["gateway", "enterprise-vault-a", "verifier"] {
        let own = credentials(network, node);
        unheard(ChainNodeClient::new(channel(network, &own, ledger())).query(question()).await);
    }
    // And the other way round: whoever answers must be whom the caller means.
    let other = peer(NodeRole::Enterprise, "enterprise-vault-b");
    let wrong = connect(address(network, "enterprise-vault-a"), &master, other).unwrap();
    unheard(health(wrong).await);
}

/// R195, R202
async fn a_vault_obeys_only_what_a_majority_of_masters_endorses(network: &Network) {
    let master = credentials(network, "master-1");
    let mut client = VaultNodeClient::new(channel(network, &master, vault("enterprise-vault-a")));
    let release =
        Release { task: TaskId(Digest::of_bytes(b"nothing")), vault: VaultId::new("vault-a").unwrap() };
    let masters = network.masters();
    let key = |master: &String| {
        PrivateKey::<Master>::from_seed(&seed(network, format!("{master}/keys/master.seed")))
    };
    let genuine: Vec<_> = masters[..masters.len() / 2 + 1].iter().map(key).collect();
    let strange = [PrivateKey::<Master>::from_seed(&[7; 32])];
    let document = |keys: &[PrivateKey<Master>], body: Release| {
        let endorsements = keys.iter().map(|key| key.endorse(&body.digest())).collect();
        SignedDocument { document: encode(&Endorsed { body, endorsements }), standing: vec![] }
    };
    for too_few in [&strange[..], &genuine[1..]] {
        let refused = client.release_budget(document(too_few, release.clone())).await.unwrap_err();
        assert_eq!(problem_of(&refused).0.as_str(), "ADM-0003");
    }
    let elsewhere = Release { vault: VaultId::new("vault-b").unwrap(), ..release.clone() };
    let refused = client.release_budget(document(&genuine, elsewhere)).await.unwrap_err();
    assert_eq!(problem_of(&refused).0.as_str(), "EXE-0006");
    // Signed and addressed as it must be, it is judged by what the vault holds: nothing is reserved, nothing to free.
    if let Err(status) = client.release_budget(document(&genuine, release)).await {
        assert_eq!(problem_of(&status).0.as_str(), "VLT-0003");
    }
}

/// R015, R202
async fn a_master_believes_no_caller_without_the_gateways_signature(network: &Network) {
    let gateway = credentials(network, "gateway");
    let mut client = PlatformClient::new(channel(network, &gateway, peer(NodeRole::Master, "master-1")));
    let key = PrivateKey::<Gateway>::from_seed(&seed(network, "gateway/keys/gateway.seed"));
    let claim = |key: &PrivateKey<Gateway>, method: &str, at: u64| {
        let mut request = Request::new(StatusRequest {});
        let caller = Caller { actor: ActorId::new("luckin").unwrap(), roles: vec!["submitter".to_owned()] };
        caller::attach(request.metadata_mut(), key, &caller, method, OrderedMillis(at));
        request
    };
    let now = now_ms();
    client.get_status(claim(&key, "GetStatus", now)).await.unwrap();
    let strange = PrivateKey::<Gateway>::from_seed(&[7; 32]);
    let wrong = [
        Request::new(StatusRequest {}),
        claim(&strange, "GetStatus", now),
        claim(&key, "SubmitTask", now),
        claim(&key, "GetStatus", now - 600_000),
    ];
    for request in wrong {
        let refused = client.get_status(request).await.unwrap_err();
        assert_eq!(problem_of(&refused).0.as_str(), "ADM-0002");
    }
}

/// No answer of the node came: its refusal is a closed connection and carries no code of the catalogue.
fn unheard<T: std::fmt::Debug>(answer: Result<T, Status>) {
    let status = answer.unwrap_err();
    assert!(status.metadata().get(symphony_wire::status::CODE_KEY).is_none(), "{status:?}");
}

pub async fn health(channel: Channel) -> Result<(), Status> {
    let request = HealthRequest { challenge: vec![1; 32] };
    VaultNodeClient::new(channel).get_health(request).await.map(drop)
}

async fn until_closed(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut answer = Vec::new();
    // A reset closes as well as an end.
    let closed = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "the connection stays open");
    answer
}

fn channel(network: &Network, credentials: &Credentials, to: Peer) -> Channel {
    connect(address(network, to.node.as_str()), credentials, to).unwrap()
}

fn credentials(network: &Network, node: &str) -> Credentials {
    Credentials::load(&network.dir.join(node).join("tls")).unwrap()
}

pub fn address(network: &Network, node: &str) -> SocketAddr {
    let text = fs::read_to_string(network.dir.join(node).join("node.toml")).unwrap();
    text.parse::<toml::Table>().unwrap()["listen"].as_str().unwrap().parse().unwrap()
}

fn seed(network: &Network, file: impl AsRef<Path>) -> [u8; 32] {
    hex::decode(fs::read_to_string(network.dir.join(file)).unwrap().trim()).unwrap().try_into().unwrap()
}

pub fn peer(role: NodeRole, node: &str) -> Peer {
    Peer { role, node: NodeId::new(node).unwrap() }
}

pub fn vault(node: &str) -> Peer {
    peer(NodeRole::Enterprise, node)
}
