//! One master of the measured cluster: what a master's program starts to order with, the door that clients of another
//! process call, and clients of its own. It ends with its standard input.
//!
//! | line in | line out |
//! |---|---|
//! | | `ready`, once |
//! | `load <run> <clients> <milliseconds> <file>` | `done`, when the samples are in the file |
//! | `where` | `at <height of the journal> <leads> <votes>` |

use std::fs;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use symphony_consensus::machine::Genesis;
use symphony_consensus::orderer::Orderer;
use symphony_master::config::Addresses;
use symphony_master::machine::Protocol;
use symphony_master::net;
use symphony_master::ordering::{self, Ordering, Voting};
use symphony_protocol::machine::{Order, State};
use symphony_types::catalogue::Code;
use symphony_types::id::NodeId;
use symphony_wire::documents::decode;
use symphony_wire::status::refusal;
use symphony_wire::tls::{self, Credentials, NodeRole, Peer};
use symphony_wire::v1::master_node_server::{MasterNode, MasterNodeServer};
use symphony_wire::v1::{
    Acknowledgement, AggregatorBoot, AggregatorRequest, Blob, BlobRef, EndorseRequest, EndorseResponse,
    HelpAnswer, HelpRequest,
};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::load::{self, Sample};
use crate::network::Network;
use crate::workload::Workload;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The network's folder
    #[arg(long)]
    dir: PathBuf,
    /// Which of its masters
    #[arg(long, value_parser = NodeId::new)]
    node: NodeId,
}

/// Lives as a master until standard input ends.
pub(crate) fn run(args: &Args) -> Result<()> {
    let network = Network::load(&args.dir.join("network.bcs"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let member = runtime.block_on(start(&args.dir, &args.node, network))?;
    say("ready")?;
    let mut line = String::new();
    while std::io::stdin().lock().read_line(&mut line)? > 0 {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["where"] => say(&member.place())?,
            ["load", run, clients, milliseconds, file] => {
                let length = Duration::from_millis(milliseconds.parse()?);
                let (clients, file) = (clients.parse()?, PathBuf::from(file));
                let workload = Workload::new(&args.dir, &member.network.governance, &args.node, run)?;
                let orderer = Arc::clone(&member.orderer);
                runtime.spawn(async move {
                    let said = match load(orderer, workload, clients, length, &file).await {
                        Ok(()) => "done".to_owned(),
                        Err(error) => format!("failed {error:#}").replace('\n', " "),
                    };
                    // The one who asked may be gone.
                    let _ = say(&said);
                });
            }
            _ => bail!("not understood: {line}"),
        }
        line.clear();
    }
    // A crash and an end are the same to a journal.
    std::process::exit(0)
}

struct Member {
    network: Network,
    orderer: Arc<dyn Orderer<Protocol>>,
}

impl Member {
    fn place(&self) -> String {
        let head = self.orderer.head();
        format!("at {} {}", head.height, self.orderer.leads())
    }
}

/// Orders with the others and listens to them, as `symphony_master::node::run` does.
async fn start(dir: &Path, node: &NodeId, network: Network) -> Result<Member> {
    let own = dir.join(node.as_str());
    let bytes = fs::read(dir.join("committee.bcs")).context("reading the committee")?;
    let voting = Voting { committee: decode(&bytes)?, guard: own.join("guard/guard.sock") };
    let credentials = Credentials::load(&own.join("tls"))?;
    let addresses = Addresses {
        masters: network.other_masters(node)?,
        vaults: [].into(),
        verifier: network.place(&network.verifier)?,
        payout: network.place(&network.payout)?,
        chain: network.place(&network.ledger)?,
    };
    let listener = tokio::net::TcpListener::bind(network.place(node)?.1).await.context("listening")?;
    let genesis = Genesis { name: network.name.clone(), state: State::genesis(network.governance.clone()) };
    fs::create_dir_all(own.join("data"))?;
    let journal = own.join("data/journal.redb");
    let Ordering { orderer, quorum } =
        ordering::agreed(node, &journal, &genesis, &voting, &addresses, &credentials).await?;
    let (quorum, _) = quorum.context("a master of three has the orderer of three")?;
    let committee = &voting.committee;
    let seats = committee.seats().zip(&committee.members).map(|(seat, member)| (member.node.clone(), seat));
    let routes = Routes::new(net::service(quorum, seats.collect(), Arc::default()))
        .add_service(MasterNodeServer::new(Door { orderer: Arc::clone(&orderer) }));
    let approve = Arc::new(|peer: &Peer| matches!(peer.role, NodeRole::Master | NodeRole::Gateway));
    tokio::spawn(async move {
        let served = tls::serve(listener, credentials, approve, routes, std::future::pending()).await;
        eprintln!("a master serves no more: {served:?}");
        std::process::exit(1);
    });
    Ok(Member { network, orderer })
}

/// The way in for clients of other processes: one command a call. It takes the shape of a call between masters that
/// carries bytes; a master itself has only services that do more than order.
struct Door {
    orderer: Arc<dyn Orderer<Protocol>>,
}

#[tonic::async_trait]
impl MasterNode for Door {
    async fn put_blob(&self, request: Request<Blob>) -> Result<Response<Acknowledgement>, Status> {
        let order: Order =
            decode(&request.into_inner().content).map_err(|error| refusal(Code::Malformed, error))?;
        let ordered = self.orderer.order(order).await.map_err(|error| refusal(Code::Unavailable, error))?;
        if ordered.events.is_empty() {
            return Err(refusal(Code::Malformed, "nothing was ordered"));
        }
        Ok(Response::new(Acknowledgement {}))
    }

    async fn get_blob(&self, _: Request<BlobRef>) -> Result<Response<Blob>, Status> {
        Err(refusal(Code::NotFound, "this master only orders"))
    }

    async fn get_aggregator(
        &self,
        _: Request<AggregatorRequest>,
    ) -> Result<Response<AggregatorBoot>, Status> {
        Err(refusal(Code::NotFound, "this master only orders"))
    }

    async fn help_round(&self, _: Request<HelpRequest>) -> Result<Response<HelpAnswer>, Status> {
        Err(refusal(Code::NotFound, "this master only orders"))
    }

    async fn endorse(&self, _: Request<EndorseRequest>) -> Result<Response<EndorseResponse>, Status> {
        Err(refusal(Code::NotFound, "this master only orders"))
    }
}

/// Clients inside this master.
async fn load(
    orderer: Arc<dyn Orderer<Protocol>>,
    workload: Workload,
    clients: usize,
    length: Duration,
    file: &Path,
) -> Result<()> {
    let ask = move |client, count| {
        let (orderer, order) = (Arc::clone(&orderer), workload.order(client, count));
        async move {
            let ordered = orderer.order(order?).await?;
            anyhow::ensure!(!ordered.events.is_empty(), "nothing was ordered");
            Ok(())
        }
    };
    let samples = load::run(clients, length, ask).await?;
    let mut bytes = Vec::with_capacity(samples.len() * 16);
    for Sample { at, took } in samples {
        bytes.extend_from_slice(&at.to_le_bytes());
        bytes.extend_from_slice(&took.to_le_bytes());
    }
    Ok(fs::write(file, bytes)?)
}

/// The samples of a file that [`load`] wrote.
pub(crate) fn samples(file: &Path) -> Result<Vec<Sample>> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes);
    bytes
        .chunks_exact(16)
        .map(|pair| Ok(Sample { at: number(&pair[..8])?, took: number(&pair[8..])? }))
        .collect()
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
