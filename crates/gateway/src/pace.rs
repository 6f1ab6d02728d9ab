//! How often one caller may ask: a quota per proven identity, or per address without one (R204).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use symphony_types::id::ActorId;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

use crate::config::Limits;
use crate::gateway::Proof;

/// How often quotas that are full again are forgotten.
const SWEEP: Duration = Duration::from_secs(60);

/// Who a quota belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    Actor(ActorId),
    Address(IpAddr),
}

/// Reads the party of a request.
#[derive(Clone, Copy, Debug)]
struct ByParty;

impl KeyExtractor for ByParty {
    type Key = Party;

    fn extract<T>(&self, request: &http::Request<T>) -> Result<Party, GovernorError> {
        if let Some(Proof(Ok(caller))) = request.extensions().get::<Proof>() {
            return Ok(Party::Actor(caller.actor.clone()));
        }
        let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
        address
            .map(|address| Party::Address(network(address.0.ip())))
            .ok_or(GovernorError::UnableToExtractKey)
    }
}

/// Puts the quota before a router and keeps its memory bounded while the runtime lives.
pub(crate) fn limit(router: Router, limits: &Limits) -> Router {
    let per_second = limits.requests_per_second.max(1);
    let quota = GovernorConfigBuilder::default()
        .period(Duration::from_secs(1) / per_second)
        .burst_size(limits.burst.max(1))
        .key_extractor(ByParty)
        .finish();
    // `finish` gives nothing only for a zero period or burst, which the lines above exclude.
    let Some(quota) = quota else { return router };
    let sweeper = Arc::downgrade(quota.limiter());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            let Some(limiter) = sweeper.upgrade() else { return };
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    });
    router.layer(GovernorLayer::new(quota))
}

/// One household of IPv6 is one address.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => IpAddr::V4(address),
            None => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        },
    }
}
