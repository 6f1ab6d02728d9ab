//! The baseline: three etcd nodes of this machine with mutual TLS between them and towards clients, and nothing else
//! set than where they are. All of them are killed on drop.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use symphony_types::id::NodeId;
use symphony_wire::tls::authority::Authority;
use symphony_wire::tls::{self, Channel, NodeRole, Peer};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;

use tonic_prost::ProstCodec;

use crate::cluster::{Ended, client};
use crate::cpu;
use crate::load::{self, Span};
use crate::report::Measured;

/// What to say where etcd is absent.
pub(crate) const ABSENT: &str = "etcd is left out, so there are no ratios; to have them: apt-get install etcd-server \
                                 (Debian 12 has 3.4), or put etcd 3.4 on the path";

/// Whether there is an etcd to compare with.
pub(crate) fn installed() -> bool {
    let version = Command::new("etcd").arg("--version").stdin(Stdio::null()).output();
    version.is_ok_and(|version| {
        let text = String::from_utf8_lossy(&version.stdout).into_owned();
        println!("baseline: {}", text.lines().next().unwrap_or("etcd"));
        version.status.success()
    })
}

/// A running baseline.
pub(crate) struct Etcd {
    nodes: Vec<Ended>,
    channels: Vec<Channel>,
    _folder: tempfile::TempDir,
}

impl Etcd {
    /// Starts three empty nodes and waits until they take values.
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(folder).context("the folder is not writable")?;
        let authority = Authority::open(&folder.path().join("authority"))?;
        // Held until all are known, so that no two get the same port.
        let held: Vec<TcpListener> =
            (0..2 * NODES).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
        let ports: Vec<_> = held.iter().map(TcpListener::local_addr).collect::<std::io::Result<_>>()?;
        drop(held);
        let (peers, clients) = ports.split_at(NODES);
        let name = |node: usize| format!("etcd-{}", node + 1);
        let places = peers.iter().enumerate().map(|(node, peer)| format!("{}=https://{peer}", name(node)));
        let cluster = places.collect::<Vec<_>>().join(",");
        let credentials = client(&authority, folder.path())?;
        let (mut nodes, mut channels) = (Vec::new(), Vec::new());
        for node in 0..NODES {
            let name = name(node);
            let identity = Peer { role: NodeRole::Master, node: NodeId::new(&name)? };
            let tls = folder.path().join(&name).join("tls");
            authority.issue(&identity, &["localhost", "127.0.0.1"], &tls)?;
            nodes.push(spawn(folder.path(), &name, peers[node], clients[node], &cluster)?);
            channels.push(tls::connect(clients[node], &credentials, identity)?);
        }
        let etcd = Self { nodes, channels, _folder: folder };
        etcd.ready().await?;
        Ok(etcd)
    }

    /// Measures clients in this process: one client at the leader, more of them spread over all nodes.
    pub(crate) async fn measure(&self, clients: usize, span: Span) -> Result<Measured> {
        let channels = if clients == 1 {
            vec![self.channels[self.leader().await?].clone()]
        } else {
            self.channels.clone()
        };
        let nodes: Vec<u32> = self.nodes.iter().map(|node| node.0.id()).collect();
        let (before, own, from) = (cpu::used(&nodes), cpu::own(), load::now());
        let ask =
            move |client: usize, count: u64| put(channels[client % channels.len()].clone(), client, count);
        let samples = load::run(clients, span.whole(), ask).await?;
        let used = cpu::used(&nodes) - before;
        Ok(Measured::new(samples, from, span, used, cpu::own() - own))
    }

    /// Waits until every node takes a value.
    async fn ready(&self) -> Result<()> {
        let until = Instant::now() + START_MAX;
        for (node, channel) in self.channels.iter().enumerate() {
            while let Err(error) = put(channel.clone(), READY_CLIENT + node, 0).await {
                if Instant::now() > until {
                    return Err(error).context("etcd does not come up");
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    async fn leader(&self) -> Result<usize> {
        for (node, channel) in self.channels.iter().enumerate() {
            let status: StatusResponse =
                call(channel.clone(), "/etcdserverpb.Maintenance/Status", StatusRequest {}).await?;
            if status.header.is_some_and(|header| header.member_id == status.leader) {
                return Ok(node);
            }
        }
        bail!("no node of etcd leads")
    }
}

fn spawn(
    folder: &Path,
    name: &str,
    peer: std::net::SocketAddr,
    client: std::net::SocketAddr,
    cluster: &str,
) -> Result<Ended> {
    let own = folder.join(name);
    let file = |file: &str| own.join("tls").join(file).display().to_string();
    let (peer, client) = (format!("https://{peer}"), format!("https://{client}"));
    let (ca, leaf, key, data) =
        (file("ca.pem"), file("node.pem"), file("node.key"), own.join("data").display().to_string());
    let etcd = Command::new("etcd")
        .args(["--name", name, "--data-dir", &data, "--logger", "zap", "--log-level", "error"])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", cluster, "--initial-cluster-state", "new"])
        .args(["--client-cert-auth", "--trusted-ca-file", &ca, "--cert-file", &leaf, "--key-file", &key])
        .args(["--peer-client-cert-auth", "--peer-trusted-ca-file", &ca])
        .args(["--peer-cert-file", &leaf, "--peer-key-file", &key])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.join(format!("{name}.log")))?)
        .spawn()
        .context("starting etcd")?;
    Ok(Ended(etcd))
}

/// Puts one value under a key that nobody else uses.
async fn put(channel: Channel, client: usize, count: u64) -> Result<()> {
    let request = PutRequest { key: format!("{client}-{count}").into_bytes(), value: vec![7; VALUE_BYTES] };
    let _: PutResponse = call(channel, "/etcdserverpb.KV/Put", request).await?;
    Ok(())
}

async fn call<Q, A>(channel: Channel, path: &'static str, request: Q) -> Result<A>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.context("connecting to etcd")?;
    let codec = ProstCodec::<Q, A>::default();
    let answer = grpc.unary(tonic::Request::new(request), PathAndQuery::from_static(path), codec).await?;
    Ok(answer.into_inner())
}

/// The fields of etcd's messages that are used here, by etcd's own numbers.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResponseHeader {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

const NODES: usize = 3;
/// Of each value.
pub(crate) const VALUE_BYTES: usize = 128;
/// Keys of the first values are told from those of clients by it.
const READY_CLIENT: usize = 1_000_000;
const START_MAX: Duration = Duration::from_secs(20);
