//! Closed loops: each client waits for its answer before it asks again. What they saw, and what is read from it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

/// How long a load runs. What is answered while it warms up counts for nothing but processor time.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) warm: Duration,
    pub(crate) measured: Duration,
}

impl Span {
    /// All of it, and a little more so that no loop ends before the last measured moment.
    pub(crate) fn whole(self) -> Duration {
        self.warm + self.measured + Duration::from_millis(200)
    }
}

/// One answer. **Units**: microseconds, of the machine's clock and of waiting.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) at: u64,
    pub(crate) took: u64,
}

/// The machine's clock, which all processes of a run share. **Units**: microseconds.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Runs `clients` loops for some time. `ask` gets the client's number and how often that client has asked.
/// **Errors**: any answer that is none.
pub(crate) async fn run<F>(
    clients: usize,
    length: Duration,
    ask: impl Fn(usize, u64) -> F + Send + Sync + 'static,
) -> Result<Vec<Sample>>
where
    F: Future<Output = Result<()>> + Send,
{
    let (until, ask) = (Instant::now() + length, Arc::new(ask));
    let one = |client: usize| {
        let ask = Arc::clone(&ask);
        tokio::spawn(async move {
            let mut samples = Vec::new();
            while Instant::now() < until {
                let start = Instant::now();
                ask(client, samples.len() as u64).await?;
                samples.push(Sample { at: now(), took: u64::try_from(start.elapsed().as_micros())? });
            }
            anyhow::Ok(samples)
        })
    };
    let loops: Vec<_> = (0..clients).map(one).collect();
    let mut all = Vec::new();
    for client in loops {
        // The last question of a client may wait for something that does not come.
        match tokio::time::timeout(ANSWER_MAX, client).await {
            Ok(samples) => all.extend(samples??),
            Err(_) => bail!("a client waits for an answer that does not come"),
        }
    }
    Ok(all)
}

/// What was answered between two moments, in order of time.
pub(crate) fn between(samples: &[Sample], from: u64, to: u64) -> Vec<Sample> {
    let mut some: Vec<_> = samples.iter().copied().filter(|sample| (from..to).contains(&sample.at)).collect();
    some.sort_unstable_by_key(|sample| sample.at);
    some
}

/// The longest time between two answers, the ends of the span included. `samples` are in order of time.
pub(crate) fn gap(samples: &[Sample], from: u64, to: u64) -> u64 {
    let mut last = from;
    let mut longest = 0;
    for at in samples.iter().map(|sample| sample.at).chain([to]) {
        longest = longest.max(at.saturating_sub(last));
        last = at;
    }
    longest
}

/// A percentile of the waiting times, in ascending order; 0 for none.
pub(crate) fn percentile(sorted: &[u64], percent: f64) -> u64 {
    let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).or(sorted.last()).copied().unwrap_or(0)
}

/// The waiting times in ascending order.
pub(crate) fn waits(samples: &[Sample]) -> Vec<u64> {
    let mut waits: Vec<u64> = samples.iter().map(|sample| sample.took).collect();
    waits.sort_unstable();
    waits
}

/// A client that waits longer has no answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
