//! The payout service mints each epoch of inflation that is over, while the schedule lasts (R179). Who repeats this changes nothing: an
//! epoch is minted in order, by the contracts themselves. Who is paid for it is said by the masters.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use symphony_chain::port::Chain as _;
use symphony_chain::transaction::Call;

use super::payout::Service;
use crate::node::now;

/// Follows the schedule without an end.
pub(super) async fn follow(service: Arc<Service>) {
    loop {
        if let Err(error) = catch_up(&service).await {
            tracing::warn!("the schedule of inflation is not followed: {error:#}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Mints what is over.
async fn catch_up(service: &Service) -> Result<()> {
    let mut minting = service.chain.minting().await?;
    while minting.next < minting.ends && minting.due <= now() {
        service
            .execute(&format!("mint-{}", minting.next), Call::MintEpoch)
            .await
            .context("minting an epoch")?;
        tracing::info!(epoch = minting.next, "epoch of inflation minted");
        minting = service.chain.minting().await?;
    }
    Ok(())
}

const LOOK_AGAIN: Duration = Duration::from_secs(2);
