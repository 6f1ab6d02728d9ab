//! What clients see when a master is killed, and how fast it is back (R196, R198, R213).
//!
//! Clients sit in the two masters that live on. A gap is the longest time in which none of them got an answer.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use symphony_consensus::quorum::replica::Pace;

use crate::cluster::{Cluster, MASTERS, spread};
use crate::load::{self, Sample, Span, between, gap, percentile, waits};

/// How long a master may take to be back before it counts as lost.
const REJOIN_MAX: Duration = Duration::from_secs(60);
/// Between two questions to a master that is catching up.
const LOOK: Duration = Duration::from_millis(20);
/// Masters are asked where they stand until this long before their load ends.
const LAST_LOOK: Duration = Duration::from_millis(500);

/// Kills a follower, then a leader of another cluster, then starts the follower again, and prints what it cost.
pub(crate) fn print(clients: usize, span: Span, start: impl Fn() -> Result<Cluster>) -> Result<()> {
    println!(
        "| killed | clients | answers/s before | after | p99 before us | gap us | bound us | longest wait us |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    let mut cluster = start()?;
    let leader = cluster.leader()?;
    let follower = (leader + 1) % MASTERS;
    let lost = kill(&mut cluster, follower, clients, span)?;
    lost.print("follower", clients, 3 * lost.p99);
    let mut other = start()?;
    let leader = other.leader()?;
    let lost = kill(&mut other, leader, clients, span)?;
    lost.print("leader", clients, (Pace::default().timing.propose_ms + 100) * 1_000);
    drop(other);
    println!();
    rejoin(&mut cluster, follower, clients, span)
}

/// What the death of a master cost. **Units**: answers a second, microseconds.
struct Lost {
    before: f64,
    after: f64,
    p99: u64,
    gap: u64,
    longest: u64,
}

impl Lost {
    fn print(&self, who: &str, clients: usize, bound: u64) {
        let Self { before, after, p99, gap, longest } = self;
        println!("| {who} | {clients} | {before:.0} | {after:.0} | {p99} | {gap} | {bound} | {longest} |");
    }
}

fn kill(cluster: &mut Cluster, seat: usize, clients: usize, span: Span) -> Result<Lost> {
    let living: Vec<usize> = (0..MASTERS).filter(|other| *other != seat).collect();
    let length = span.whole() + span.measured;
    let from = load::now() + micros(span.warm);
    let started = cluster.begin(&spread(clients, &living), length)?;
    std::thread::sleep(span.warm + span.measured);
    let killed = load::now();
    cluster.kill(seat);
    let samples = cluster.end(started, length)?;
    let to = killed + micros(span.measured);
    let (before, after) = (between(&samples, from, killed), between(&samples, killed, to));
    let rate =
        |some: &[Sample], from, to: u64| some.len() as f64 * 1e6 / to.saturating_sub(from).max(1) as f64;
    Ok(Lost {
        before: rate(&before, from, killed),
        after: rate(&after, killed, to),
        p99: percentile(&waits(&before), 99.0),
        gap: gap(&after, killed, to),
        longest: waits(&after).last().copied().unwrap_or(0),
    })
}

/// Starts a killed master with an empty disk: first under load, then again without.
fn rejoin(cluster: &mut Cluster, seat: usize, clients: usize, span: Span) -> Result<()> {
    println!(
        "| rejoins with an empty disk | commands | seconds | commands/s | live commands/s | ratio | bound |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let living: Vec<usize> = (0..MASTERS).filter(|other| *other != seat).collect();
    let length = span.whole();
    let from = load::now() + micros(span.warm);
    let started = cluster.begin(&spread(clients, &living), length)?;
    let under = follow(cluster, seat, living[0], length - LAST_LOOK)?;
    let samples = cluster.end(started, length)?;
    let live =
        between(&samples, from, from + micros(span.measured)).len() as f64 / span.measured.as_secs_f64();
    under.print("under load", live);
    let target = cluster.place(living[0])?.height;
    let rest = catch_up(cluster, seat, target)?;
    if rest.commands > 0 {
        rest.print("the rest, load ended", live);
    }
    cluster.kill(seat);
    let target = cluster.place(living[0])?.height;
    cluster.restart_empty(seat)?;
    catch_up(cluster, seat, target)?.print("without load", live);
    println!();
    Ok(())
}

/// How far a master came in some time.
struct Progress {
    commands: u64,
    time: Duration,
}

impl Progress {
    fn print(&self, what: &str, live: f64) {
        let rate = self.commands as f64 / self.time.as_secs_f64().max(1e-6);
        let (commands, seconds) = (self.commands, self.time.as_secs_f64());
        println!("| {what} | {commands} | {seconds:.2} | {rate:.0} | {live:.0} | {:.1} | 20 |", rate / live);
    }
}

/// Restarts a master and follows it, while the others have clients, until it is where another one is or time is up.
fn follow(cluster: &mut Cluster, seat: usize, other: usize, length: Duration) -> Result<Progress> {
    let until = Instant::now() + length;
    cluster.restart_empty(seat)?;
    let start = Instant::now();
    loop {
        let target = cluster.place(other)?.height;
        let height = cluster.place(seat)?.height;
        if height >= target || Instant::now() >= until {
            return Ok(Progress { commands: height, time: start.elapsed() });
        }
        std::thread::sleep(LOOK);
    }
}

/// Follows a master until it has as many commands as another had.
fn catch_up(cluster: &mut Cluster, seat: usize, target: u64) -> Result<Progress> {
    let (start, first) = (Instant::now(), cluster.place(seat)?.height);
    loop {
        let height = cluster.place(seat)?.height;
        if height >= target {
            return Ok(Progress { commands: height - first, time: start.elapsed() });
        }
        ensure!(start.elapsed() < REJOIN_MAX, "a master stands at {height} and not at {target}");
        std::thread::sleep(LOOK);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
