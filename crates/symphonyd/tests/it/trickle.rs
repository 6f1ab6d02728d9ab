//! Work that goes on all the time while a test changes something, and what came of it: no request may fail.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use symphony_sdk::client::Upload;
use symphony_types::id::RequestId;

use crate::network::{Network, contact, crowd, eventually, spec};

/// Budgets that last for every campaign, and short windows.
pub const POLICY: &str = "marketing=900000000,subject_cap=900000000,challenge=800,epoch=1000";
/// Longer than this nothing was ordered: finality stood still.
const GAP_MAX: Duration = Duration::from_secs(10);

/// What goes on all the time, and what came of it.
#[derive(Default)]
pub struct Trickle {
    stop: AtomicBool,
    campaigns: AtomicU64,
    uploads: AtomicU64,
    reads: AtomicU64,
}

impl Trickle {
    /// Does all of it while `change` runs. Fails when a request did, or when nothing was ordered for long.
    pub async fn during(&self, network: &Network, change: impl Future<Output = ()>) {
        let change = async {
            change.await;
            self.stop.store(true, Ordering::Relaxed);
        };
        let (_, _, longest, ()) =
            tokio::join!(self.campaigns(network), self.uploads(network), self.reads(network), change);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        println!(
            "{} campaigns, {} uploads, {} reads; at most {longest:?} between two ordered commands",
            count(&self.campaigns),
            count(&self.uploads),
            count(&self.reads)
        );
        assert!(longest < GAP_MAX, "nothing was ordered for {longest:?}");
    }

    fn over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Campaigns one after the other, each with its whole audience.
    async fn campaigns(&self, network: &Network) {
        let luckin = network.submitter("luckin");
        let mut expected: Vec<_> = crowd(60).iter().map(contact).collect();
        expected.sort();
        while !self.over() {
            let number = self.campaigns.load(Ordering::Relaxed);
            let request = RequestId::new(&format!("campaign-{number}")).unwrap();
            let delivered = luckin.run(&spec(), &request, |_| {}).await.expect("a campaign failed");
            let mut handles = delivered.audience.unwrap().handles;
            handles.sort();
            assert_eq!(handles, expected);
            self.campaigns.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Uploads of one person, which the masters relay to a Vault.
    async fn uploads(&self, network: &Network) {
        while !self.over() {
            let number = self.uploads.load(Ordering::Relaxed);
            let line = json!({"subject": format!("late-{number}"), "contact": format!("+65 9{number:07}")});
            let report = network.put("vault-a", Upload::Subjects, &format!("late-{number}"), &[line]).await;
            assert_eq!(report.refused_total, 0);
            self.uploads.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reads the status; says the longest time for which nothing was ordered.
    async fn reads(&self, network: &Network) -> Duration {
        let client = network.client("luckin");
        let (mut height, mut grew, mut longest) = (0, Instant::now(), Duration::ZERO);
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while !self.over() {
            ticks.tick().await;
            let status = client.status().await.expect("a read failed");
            if status.height > height {
                longest = longest.max(grew.elapsed());
                (height, grew) = (status.height, Instant::now());
            }
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
        longest
    }

    /// Waits until another campaign has begun and ended.
    pub async fn goes_on(&self) {
        let before = self.campaigns.load(Ordering::Relaxed);
        eventually("campaigns go on", async || {
            (self.campaigns.load(Ordering::Relaxed) >= before + 2).then_some(())
        })
        .await;
    }
}
