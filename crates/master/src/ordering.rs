//! How this master orders: alone, or as one of three that agree (R007, R011, R198).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use symphony_consensus::machine::Genesis;
use symphony_consensus::orderer::{Orderer, Solo};
use symphony_consensus::quorum::committee::Committee;
use symphony_consensus::quorum::guard::{Refusal, VoteGuard};
use symphony_consensus::quorum::node::{Config, Quorum};
use symphony_consensus::quorum::replica::Pace;
use symphony_consensus::quorum::socket::RemoteGuard;
use symphony_consensus::replay::Verify;
use symphony_protocol::machine::State;
use symphony_types::id::NodeId;
use symphony_wire::tls::Credentials;
use tokio::time::sleep;

use crate::config::Addresses;
use crate::machine::Protocol;
use crate::net::Streams;
use crate::node::now;

/// A guard that is being started may take this many attempts.
const GUARD_ATTEMPTS: u32 = 50;
/// Pause between them.
const GUARD_PAUSE: Duration = Duration::from_millis(200);

/// What a master that is not alone votes with.
#[derive(Clone, Debug)]
pub struct Voting {
    /// The committee that the cluster was founded with.
    pub committee: Committee,
    /// The socket of the guard.
    pub guard: PathBuf,
}

/// The orderer of this master.
pub struct Ordering {
    /// Behind the port.
    pub orderer: Arc<dyn Orderer<Protocol>>,
    /// The same, where masters agree.
    pub quorum: Option<(Arc<Quorum<Protocol>>, RemoteGuard)>,
}

/// Orders alone. **Errors**: the journal cannot be trusted or read.
pub fn alone(journal: &Path, genesis: &Genesis<State>) -> Result<Ordering> {
    let solo = Solo::<Protocol>::open(journal, genesis, Verify::Decisions, Arc::new(now))
        .context("opening the journal")?;
    Ok(Ordering { orderer: Arc::new(solo), quorum: None })
}

/// Orders with the other masters. Waits for a guard that is still starting. **Errors**: the journal cannot be
/// trusted or read, the committee is of another genesis, or the guard does not answer.
pub async fn agreed(
    node: &NodeId,
    journal: &Path,
    genesis: &Genesis<State>,
    voting: &Voting,
    addresses: &Addresses,
    credentials: &Credentials,
) -> Result<Ordering> {
    let founding = Committee::founding(genesis.root(), voting.committee.members.clone());
    ensure!(founding == voting.committee, "the committee was founded with another genesis");
    let seat = founding.seat_of(node).with_context(|| format!("{node} has no seat in the committee"))?;
    let others = addresses
        .masters
        .iter()
        .filter_map(|(node, address)| Some((founding.seat_of(node)?, node.clone(), *address)));
    let streams = Arc::new(Streams::open(others, credentials)?);
    let guard = RemoteGuard::new(&voting.guard, founding.cluster, seat);
    reach(&guard).await?;
    let config = Config { seat, members: founding.members, pace: Pace::default() };
    let (journal, genesis, voice) = (journal.to_owned(), genesis.clone(), Box::new(guard.clone()));
    let quorum = tokio::task::spawn_blocking(move || {
        Quorum::<Protocol>::open(&journal, config, &genesis, Verify::Decisions, Arc::new(now), voice, streams)
    });
    let quorum = Arc::new(quorum.await?.context("starting to order")?);
    let orderer: Arc<dyn Orderer<Protocol>> = Arc::clone(&quorum) as _;
    Ok(Ordering { orderer, quorum: Some((quorum, guard)) })
}

/// Waits until the guard answers. **Errors**: it does not.
async fn reach(guard: &RemoteGuard) -> Result<()> {
    for _ in 0..GUARD_ATTEMPTS {
        let mut guard = guard.clone();
        match tokio::task::spawn_blocking(move || guard.identity()).await? {
            Ok(identity) => {
                tracing::info!(seat = %identity.seat, key = ?identity.key, "the guard answers");
                return Ok(());
            }
            Err(Refusal::Unreachable) => sleep(GUARD_PAUSE).await,
            Err(refusal) => return Err(refusal).context("asking the guard who it is"),
        }
    }
    Err(Refusal::Unreachable).context("asking the guard who it is")
}
