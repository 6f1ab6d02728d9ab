//! Two nodes over real sockets while their certificates change: what is taken up, what is refused, which connections end.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use symphony_types::id::NodeId;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::authority::{Authority, present};
use super::revocation::Fault;
use super::*;
use crate::v1::verifier_node_client::VerifierNodeClient;
use crate::v1::verifier_node_server::{VerifierNode, VerifierNodeServer};
use crate::v1::{GovernancePosition, GovernanceUpdate, SignedDocument};

fn peer(role: NodeRole, node: &str) -> Peer {
    Peer { role, node: NodeId::new(node).unwrap() }
}

fn master() -> Peer {
    peer(NodeRole::Master, "m1")
}

fn verifier() -> Peer {
    peer(NodeRole::Verifier, "v1")
}

/// A folder of an authority and two nodes.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let authority = place.authority();
        for node in [master(), verifier()] {
            authority.issue(&node, &["localhost"], &place.of(&node)).unwrap();
        }
        drop(authority);
        place
    }

    fn authority(&self) -> Authority {
        Authority::open(&self.folder.path().join("authority")).unwrap()
    }

    fn of(&self, peer: &Peer) -> PathBuf {
        self.folder.path().join(peer.node.as_str())
    }

    /// A copy of a node's folder, as a thief has it.
    fn copy(&self, peer: &Peer, name: &str) -> PathBuf {
        let (from, to) = (self.of(peer), self.folder.path().join(name));
        fs::create_dir(&to).unwrap();
        for file in fs::read_dir(from).unwrap().map(|file| file.unwrap().path()) {
            fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
        to
    }
}

fn serial(credentials: &Credentials) -> Vec<u8> {
    credentials.now().pair.cert[0].to_vec()
}

/// R206: a new pair that fits is taken up by whoever has the credentials, and nothing else of them changes.
#[test]
fn a_new_certificate_is_taken_up() {
    let place = Place::new();
    let credentials = Credentials::load(&place.of(&master())).unwrap();
    let (former, other) = (serial(&credentials), credentials.clone());
    credentials.look();
    assert_eq!((serial(&credentials), credentials.now().generation), (former.clone(), 0));
    place.authority().rotate(&master(), &[], &place.of(&master())).unwrap();
    credentials.look();
    assert_ne!(serial(&other), former);
    assert_eq!((other.now().generation, other.now().own.clone()), (1, Some(master())));
}

/// R206: a certificate and a key that do not fit, half a file, no file, a node's certificate that another authority
/// signed, or the same authority for another node: refused, and the former one goes on. What comes after counts again.
#[test]
fn a_broken_or_strange_pair_is_refused_and_the_former_stays() {
    let (place, strange) = (Place::new(), Place::new());
    let folder = place.of(&master());
    let credentials = Credentials::load(&folder).unwrap();
    let former = serial(&credentials);
    let (certificate, key) = (folder.join("node.pem"), folder.join("node.key"));
    let own = (fs::read(&certificate).unwrap(), fs::read(&key).unwrap());
    let pair_of = |folder: &Path| {
        (fs::read(folder.join("node.pem")).unwrap(), fs::read(folder.join("node.key")).unwrap())
    };
    let (other_authority, other_node) = (pair_of(&strange.of(&master())), pair_of(&place.of(&verifier())));
    let wrong = [
        (own.0.clone(), other_node.1.clone()),
        (other_node.0.clone(), own.1.clone()),
        (own.0[..own.0.len() / 2].to_vec(), own.1.clone()),
        (own.0.clone(), own.1[..own.1.len() / 2].to_vec()),
        (vec![], vec![]),
        (b"\0\xff".to_vec(), own.1.clone()),
        other_authority,
        other_node,
    ];
    for (number, (pem, secret)) in wrong.into_iter().enumerate() {
        fs::write(&certificate, pem).unwrap();
        fs::write(&key, secret).unwrap();
        credentials.look();
        assert_eq!((serial(&credentials), credentials.now().generation), (former.clone(), 0), "{number}");
    }
    fs::remove_file(&certificate).unwrap();
    credentials.look();
    assert_eq!(serial(&credentials), former);
    fs::write(&certificate, &own.0).unwrap();
    fs::write(&key, &own.1).unwrap();
    place.authority().rotate(&master(), &[], &folder).unwrap();
    credentials.look();
    assert_eq!(credentials.now().generation, 1);
}

/// R206: a rotation that was cut off at any of its steps leaves a folder that a node can start with.
#[test]
fn a_rotation_that_was_cut_off_leaves_a_pair_that_fits() {
    let place = Place::new();
    let folder = place.of(&master());
    let before = fs::read(folder.join("node.key")).unwrap();
    place.authority().rotate(&master(), &[], &folder).unwrap();
    let after = fs::read(folder.join("node.key")).unwrap();
    // The next key is there and the certificate is not.
    fs::write(folder.join("node.key.next"), &before).unwrap();
    Credentials::load(&folder).unwrap();
    // The certificate is there and its key has not been moved.
    fs::write(folder.join("node.key"), &before).unwrap();
    fs::write(folder.join("node.key.next"), &after).unwrap();
    Credentials::load(&folder).unwrap();
    fs::remove_file(folder.join("node.key.next")).unwrap();
    assert!(Credentials::load(&folder).is_err());
}

/// R206: a list of revoked certificates counts when the authority signed it and it is not older than the one in use.
#[test]
fn only_a_signed_and_newer_revocation_list_counts() {
    let (place, strange) = (Place::new(), Place::new());
    let folder = place.of(&verifier());
    let (thief, innocent) = (present(&place.of(&master())).unwrap(), Serial::parse("0badcafe").unwrap());
    let credentials = Credentials::load(&folder).unwrap();
    let file = folder.join("crl.pem");
    let listed = |place: &Place, serials: &[Serial]| {
        let authority = place.authority();
        authority.revoke(serials).unwrap();
        authority.publish(&folder).unwrap();
        fs::read(&file).unwrap()
    };
    let leaf = Credentials::load(&place.of(&master())).unwrap().now().pair.cert[0].clone();
    let first = listed(&place, &[innocent]);
    credentials.look();
    assert_eq!(credentials.now().judge(&leaf), Ok(()));
    let second = listed(&place, std::slice::from_ref(&thief.serial));
    credentials.look();
    assert!(credentials.now().judge(&leaf).is_err());
    let foreign = listed(&strange, &[]);
    let mut forged = second.clone();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    let half = second[..middle].to_vec();
    for wrong in [first.clone(), foreign.clone(), forged, half, vec![], b"no list".to_vec()] {
        fs::write(&file, &wrong).unwrap();
        credentials.look();
        assert!(credentials.now().judge(&leaf).is_err(), "{}", String::from_utf8_lossy(&wrong));
    }
    fs::remove_file(&file).unwrap();
    credentials.look();
    assert!(credentials.now().judge(&leaf).is_err());
    // A node that starts with a list that does not count does not start.
    fs::write(&file, foreign).unwrap();
    let refused = Credentials::load(&folder).err();
    assert!(matches!(refused, Some(TlsError::Revocation(Fault::Unsigned))), "{refused:?}");
    let issued = place.authority().issued().unwrap();
    assert_eq!(
        issued.iter().filter(|issued| issued.revoked).map(|issued| &issued.peer).collect::<Vec<_>>(),
        [&master()]
    );
}

/// R206: a revoked certificate is not put back into use by its own node.
#[test]
fn a_revoked_certificate_is_not_taken_up_again() {
    let place = Place::new();
    let folder = place.of(&master());
    let former = place.copy(&master(), "former");
    let serial = present(&folder).unwrap().serial;
    let credentials = Credentials::load(&folder).unwrap();
    let authority = place.authority();
    authority.rotate(&master(), &[], &folder).unwrap();
    authority.revoke(&[serial]).unwrap();
    authority.publish(&folder).unwrap();
    credentials.look();
    assert_eq!(credentials.now().generation, 1);
    for file in ["node.pem", "node.key"] {
        fs::copy(former.join(file), folder.join(file)).unwrap();
    }
    credentials.look();
    assert_eq!(credentials.now().generation, 1);
}

/// Answers with the node that asked; an empty document waits for ever.
struct Mirror;

#[tonic::async_trait]
impl VerifierNode for Mirror {
    async fn verify(&self, request: Request<SignedDocument>) -> Result<Response<SignedDocument>, Status> {
        if request.get_ref().document.is_empty() {
            std::future::pending::<()>().await;
        }
        let peer = request.extensions().get::<Peer>().unwrap().to_string();
        Ok(Response::new(SignedDocument { document: peer.into_bytes(), standing: vec![] }))
    }

    async fn verify_parse(
        &self,
        request: Request<SignedDocument>,
    ) -> Result<Response<SignedDocument>, Status> {
        self.verify(request).await
    }

    async fn follow_governance(
        &self,
        _: Request<GovernanceUpdate>,
    ) -> Result<Response<GovernancePosition>, Status> {
        Ok(Response::new(GovernancePosition::default()))
    }
}

struct Served {
    address: SocketAddr,
    credentials: Credentials,
    _stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), TlsError>>,
}

async fn served(folder: &Path) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, credentials) = (listener.local_addr().unwrap(), Credentials::load(folder).unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let approve: Approve = Arc::new(|peer| peer.role == NodeRole::Master);
    let routes = Routes::new(VerifierNodeServer::new(Mirror));
    let serving = tokio::spawn(serve(listener, credentials.clone(), approve, routes, async {
        let _ = stopped.await;
    }));
    Served { address, credentials, _stop: stop, serving }
}

async fn ask(client: &VerifierNodeClient<Channel>) -> Result<String, Status> {
    let answer = client.clone().verify(SignedDocument { document: vec![1], standing: vec![] }).await?;
    Ok(String::from_utf8(answer.into_inner().document).unwrap())
}

/// R206: while the certificates of both sides are replaced again and again, no call fails, and the call that was under
/// way at the first change is still under way at the end.
#[tokio::test]
async fn no_call_fails_while_certificates_are_replaced() {
    let place = Place::new();
    let server = served(&place.of(&verifier())).await;
    let own = Credentials::load(&place.of(&master())).unwrap();
    let client = VerifierNodeClient::new(connect(server.address, &own, verifier()).unwrap());
    assert_eq!(ask(&client).await.unwrap(), "master/m1");
    let mut long = client.clone();
    let waiting =
        tokio::spawn(async move { long.verify(SignedDocument { document: vec![], standing: vec![] }).await });
    for round in 0..4 {
        let (changed, credentials) =
            if round % 2 == 0 { (master(), &own) } else { (verifier(), &server.credentials) };
        place.authority().rotate(&changed, &[], &place.of(&changed)).unwrap();
        credentials.look();
        for _ in 0..50 {
            assert_eq!(ask(&client).await.unwrap(), "master/m1", "after change {round}");
        }
    }
    assert_eq!((own.now().generation, server.credentials.now().generation), (2, 2));
    assert!(!waiting.is_finished() && !server.serving.is_finished());
}

/// R206: a stolen copy is heard until it is revoked; then its open connection ends, its calls end with it, and it gets
/// no new one. The node itself, with its new certificate, is heard all the time.
#[tokio::test]
async fn a_revoked_certificate_is_cut_off_and_never_heard_again() {
    let place = Place::new();
    let server = served(&place.of(&verifier())).await;
    let stolen = Credentials::load(&place.copy(&master(), "stolen")).unwrap();
    let own = Credentials::load(&place.of(&master())).unwrap();
    let client =
        |credentials| VerifierNodeClient::new(connect(server.address, credentials, verifier()).unwrap());
    let (thief, node) = (client(&stolen), client(&own));
    ask(&thief).await.unwrap();
    ask(&node).await.unwrap();
    let former = present(&place.of(&master())).unwrap().serial;
    place.authority().rotate(&master(), &[], &place.of(&master())).unwrap();
    own.look();
    ask(&thief).await.expect("a former certificate that nobody revoked");
    let mut open = thief.clone();
    let waiting =
        tokio::spawn(async move { open.verify(SignedDocument { document: vec![], standing: vec![] }).await });
    let authority = place.authority();
    authority.revoke(&[former]).unwrap();
    authority.publish(&place.of(&verifier())).unwrap();
    server.credentials.look();
    waiting.await.unwrap().unwrap_err();
    ask(&thief).await.unwrap_err();
    ask(&client(&stolen)).await.unwrap_err();
    assert_eq!(ask(&node).await.unwrap(), "master/m1");
}

/// R206: who calls looks at the list of revoked certificates as well.
#[tokio::test]
async fn a_node_with_a_revoked_certificate_is_not_asked() {
    let place = Place::new();
    let server = served(&place.of(&verifier())).await;
    let own = Credentials::load(&place.of(&master())).unwrap();
    let client = VerifierNodeClient::new(connect(server.address, &own, verifier()).unwrap());
    ask(&client).await.unwrap();
    let authority = place.authority();
    authority.revoke(&[present(&place.of(&verifier())).unwrap().serial]).unwrap();
    authority.publish(&place.of(&master())).unwrap();
    own.look();
    ask(&client).await.unwrap_err();
    ask(&VerifierNodeClient::new(connect(server.address, &own, verifier()).unwrap())).await.unwrap_err();
}

/// R206: a connection of a retired certificate ends when the time of the calls under way is over, and not before the
/// certificate is retired.
#[tokio::test]
async fn a_connection_of_a_retired_certificate_ends_within_the_bound() {
    let place = Place::new();
    let own = Credentials::load(&place.of(&master())).unwrap();
    let other = Credentials::load(&place.of(&verifier())).unwrap().now().pair.cert[0].clone();
    let mut short = leash::hold(own.clone(), 0, other.clone(), Duration::ZERO);
    let mut long = leash::leash(own.clone(), 0, other.clone());
    let mut current = leash::hold(own.clone(), 1, other, Duration::ZERO);
    assert!(futures::poll!(&mut short).is_pending() && futures::poll!(&mut long).is_pending());
    place.authority().rotate(&master(), &[], &place.of(&master())).unwrap();
    own.look();
    assert_eq!(short.await.kind(), std::io::ErrorKind::TimedOut);
    assert!(futures::poll!(&mut long).is_pending() && futures::poll!(&mut current).is_pending());
}
