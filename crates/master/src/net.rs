//! Messages of ordering between masters: one stream to each other master, opened again whenever it ends (R007,
//! R201, R213).
//!
//! Nothing here is reliable: a full queue or a broken stream loses messages, and the protocol says them again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use symphony_consensus::quorum::committee::Seat;
use symphony_consensus::quorum::message::MESSAGE_BYTES_MAX;
use symphony_consensus::quorum::node::{Net, Quorum};
use symphony_types::catalogue::Code;
use symphony_types::id::NodeId;
use symphony_wire::status::refusal;
use symphony_wire::tls::{self, Channel, Credentials, NodeRole, Peer, TlsError};
use symphony_wire::v1::consensus_node_client::ConsensusNodeClient;
use symphony_wire::v1::consensus_node_server::{ConsensusNode, ConsensusNodeServer};
use symphony_wire::v1::{Acknowledgement, ConsensusMessage};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::machine::Protocol;

/// Messages that wait for one master at most.
const QUEUE_LEN_MAX: usize = 1_024;
/// Pause before a stream that ended is opened again.
const RECONNECT: Duration = Duration::from_millis(100);
/// A message in protobuf is a little larger than the message.
const FRAME_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 1_024;

/// The streams to the other masters.
pub struct Streams {
    to: BTreeMap<Seat, mpsc::Sender<Arc<[u8]>>>,
}

impl Streams {
    /// Keeps a stream to every other master open for as long as this lives. **Errors**: credentials that do not fit.
    pub fn open(
        others: impl IntoIterator<Item = (Seat, NodeId, SocketAddr)>,
        credentials: &Credentials,
    ) -> Result<Self, TlsError> {
        let mut to = BTreeMap::new();
        for (seat, node, address) in others {
            let peer = Peer { role: NodeRole::Master, node };
            let channel = tls::connect(address, credentials, peer.clone())?;
            let (sender, messages) = mpsc::channel(QUEUE_LEN_MAX);
            tokio::spawn(talk(channel, peer, messages));
            to.insert(seat, sender);
        }
        Ok(Self { to })
    }
}

impl Net for Streams {
    fn send(&self, to: Seat, message: Arc<[u8]>) {
        if let Some(sender) = self.to.get(&to) {
            // Full: the other master is slow or gone.
            let _ = sender.try_send(message);
        }
    }
}

/// Says everything to one master until nobody says anything any more.
async fn talk(channel: Channel, peer: Peer, mut messages: mpsc::Receiver<Arc<[u8]>>) {
    loop {
        let mut client = ConsensusNodeClient::new(channel.clone()).max_encoding_message_size(FRAME_BYTES_MAX);
        let (sender, stream) = mpsc::channel(QUEUE_LEN_MAX);
        let say = client.say(ReceiverStream::new(stream));
        let retired = channel.retired();
        tokio::pin!(say, retired);
        let ended = loop {
            tokio::select! {
                ended = &mut say => break ended.map(drop),
                // A stream would keep the connection of the former certificate.
                () = &mut retired => break Ok(()),
                message = messages.recv() => {
                    let Some(message) = message else { return };
                    // Full: the stream is not open yet, or the other master does not read.
                    let _ = sender.try_send(ConsensusMessage { envelope: message.to_vec() });
                }
            }
        };
        if let Err(status) = ended {
            tracing::debug!(%peer, detail = status.message(), "the stream to a master ended");
        }
        sleep(RECONNECT).await;
        // What waited meanwhile is old.
        while messages.try_recv().is_ok() {}
    }
}

/// The listening side.
pub struct Listener {
    quorum: Arc<Quorum<Protocol>>,
    seats: BTreeMap<NodeId, Seat>,
    misunderstood: Arc<AtomicU64>,
}

/// The service of a master for the other masters' streams. `misunderstood` counts those that are ended because they are
/// of another cluster, of another version, or no messages.
pub fn service(
    quorum: Arc<Quorum<Protocol>>,
    seats: BTreeMap<NodeId, Seat>,
    misunderstood: Arc<AtomicU64>,
) -> ConsensusNodeServer<Listener> {
    ConsensusNodeServer::new(Listener { quorum, seats, misunderstood })
        .max_decoding_message_size(FRAME_BYTES_MAX)
}

#[tonic::async_trait]
impl ConsensusNode for Listener {
    async fn say(
        &self,
        request: Request<Streaming<ConsensusMessage>>,
    ) -> Result<Response<Acknowledgement>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.filter(|peer| peer.role == NodeRole::Master);
        let seat = peer.as_ref().and_then(|peer| self.seats.get(&peer.node));
        let (Some(peer), Some(seat)) = (&peer, seat) else {
            return Err(refusal(Code::Unauthenticated, "not a master of this cluster"));
        };
        let mut messages = request.into_inner();
        while let Some(message) = messages.message().await? {
            if let Err(error) = self.quorum.deliver(*seat, &message.envelope) {
                self.misunderstood.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%peer, %error, "a master is not understood");
                return Err(refusal(Code::Malformed, error));
            }
        }
        Ok(Response::new(Acknowledgement {}))
    }
}
