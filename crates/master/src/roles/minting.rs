//! The payout service mints each epoch of inflation that is over, and pays nodes for it while the schedule lasts (R164, R179).
//! Who repeats this changes nothing: an epoch is minted in order and paid once, by the contracts themselves.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use symphony_chain::port::Chain as _;
use symphony_chain::transaction::Call;
use symphony_protocol::settlement::bootstrap;
use symphony_types::id::EpochId;

use super::payout::Service;
use crate::node::now;

/// Follows the schedule without an end.
pub(super) async fn follow(service: Arc<Service>) {
    let mut paid = 0;
    loop {
        if let Err(error) = catch_up(&service, &mut paid).await {
            tracing::warn!("the schedule of inflation is not followed: {error:#}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Mints what is over; pays nodes for what is minted, from the epoch `paid` on.
async fn catch_up(service: &Service, paid: &mut u64) -> Result<()> {
    let mut minting = service.chain.minting().await?;
    while minting.next < minting.ends && minting.due <= now() {
        service
            .execute(&format!("mint-{}", minting.next), Call::MintEpoch)
            .await
            .context("minting an epoch")?;
        tracing::info!(epoch = minting.next, "epoch of inflation minted");
        minting = service.chain.minting().await?;
    }
    let pay = bootstrap::node_pay(service.governance.policy_in(EpochId(0)), &service.governance.registry);
    while !pay.is_empty() && *paid < minting.next {
        if !service.chain.nodes_paid(*paid).await? {
            let nodes = pay.iter().map(|(account, amount)| (*account, *amount)).collect();
            let call = Call::PayNodes { epoch: *paid, nodes };
            service.execute(&format!("nodes-{paid}"), call).await.context("paying nodes")?;
            tracing::info!(epoch = *paid, "nodes paid for an epoch of inflation");
        }
        *paid += 1;
    }
    Ok(())
}

const LOOK_AGAIN: Duration = Duration::from_secs(2);
