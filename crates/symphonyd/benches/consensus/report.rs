//! What was measured, and the two tables of it: both sides, and their ratios beside the bounds.

use std::time::Duration;

use crate::load::{Sample, Span, between, percentile, waits};

/// One measurement of one side. **Units**: times in microseconds.
pub(crate) struct Measured {
    pub(crate) rate: f64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    /// Answers a second in the first and in the last fifth of the measured time.
    pub(crate) ends: (f64, f64),
    /// Processor time of the servers by answers, those of the warm-up included.
    pub(crate) servers: f64,
    /// The same of the process that holds the clients, where that is another.
    pub(crate) clients: f64,
}

impl Measured {
    /// Reads it from the samples of a load that began at `from`.
    pub(crate) fn new(
        samples: Vec<Sample>,
        from: u64,
        span: Span,
        servers: Duration,
        clients: Duration,
    ) -> Self {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let from = from + micros(span.warm);
        let to = from + micros(span.measured);
        let fifth = (to - from) / 5;
        let rate = |from: u64, to: u64| {
            between(&samples, from, to).len() as f64 * 1e6 / to.saturating_sub(from).max(1) as f64
        };
        let waits = waits(&between(&samples, from, to));
        let each = |time: Duration| time.as_secs_f64() * 1e6 / samples.len().max(1) as f64;
        Self {
            rate: rate(from, to),
            p50: percentile(&waits, 50.0),
            p99: percentile(&waits, 99.0),
            ends: (rate(from, from + fifth), rate(to - fifth, to)),
            servers: each(servers),
            clients: each(clients),
        }
    }
}

/// All sides once, one after the other.
pub(crate) struct Round {
    pub(crate) etcd: Option<Measured>,
    /// Clients inside the masters.
    pub(crate) inside: Measured,
    /// Clients in another process, as those of etcd.
    pub(crate) called: Measured,
}

/// One number of clients.
pub(crate) struct Row {
    pub(crate) clients: usize,
    pub(crate) rounds: Vec<Round>,
}

impl Row {
    /// The median of a quotient over the rounds, with the least and the greatest; `None` without etcd.
    fn ratio(&self, of: impl Fn(&Round, &Measured) -> f64) -> Option<String> {
        let ratios = self.rounds.iter().map(|round| Some(of(round, round.etcd.as_ref()?)));
        let mut ratios = ratios.collect::<Option<Vec<f64>>>()?;
        ratios.sort_by(f64::total_cmp);
        let (least, greatest) = (ratios.first()?, ratios.last()?);
        Some(format!("{:.2} ({least:.2} to {greatest:.2})", ratios.get(ratios.len() / 2)?))
    }
}

/// Prints both tables.
pub(crate) fn print(rows: &[Row]) {
    println!(
        "| clients | side | answers/s | first fifth | last fifth | p50 us | p99 us | CPU us | of clients |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|---:|---:|");
    for row in rows {
        side(row, "etcd, called", |round| round.etcd.as_ref());
        side(row, "symphony, called", |round| Some(&round.called));
        side(row, "symphony, inside", |round| Some(&round.inside));
    }
    println!();
    println!("Each line is the round with the median rate.");
    println!("called: one gRPC call over mutual TLS for each command, from a process that has all clients.");
    println!("inside: in the masters, where a master's own services order; etcd has no such place.");
    println!(
        "first and last fifth: the rate at the beginning and at the end; our state grows by each command."
    );
    println!(
        "CPU us: processor time a command of all three servers, our guards included, user and system; inside,"
    );
    println!("the clients' own work is in it. of clients: that of the process that holds the clients.");
    println!();
    ratios(rows);
}

fn side(row: &Row, side: &str, of: impl Fn(&Round) -> Option<&Measured>) {
    let mut rounds: Vec<&Measured> = row.rounds.iter().filter_map(of).collect();
    rounds.sort_by(|one, other| one.rate.total_cmp(&other.rate));
    let Some(median) = rounds.get(rounds.len() / 2) else { return };
    let Measured { rate, p50, p99, ends: (first, last), servers, clients } = median;
    println!(
        "| {} | {side} | {rate:.0} | {first:.0} | {last:.0} | {p50} | {p99} | {servers:.1} | {clients:.1} |",
        row.clients
    );
}

fn ratios(rows: &[Row]) {
    if rows.iter().all(|row| row.rounds.iter().all(|round| round.etcd.is_none())) {
        return;
    }
    println!("Each quotient to etcd: the median of the rounds, with the least and the greatest.");
    println!();
    println!("| clients | rate called | rate inside | at least | p50 called | p50 inside | at most |");
    println!("|---:|---:|---:|---:|---:|---:|---:|");
    for row in rows {
        let wait = |ours: &Measured, etcd: &Measured| ours.p50 as f64 / etcd.p50.max(1) as f64;
        let quotients = [
            row.ratio(|round, etcd| round.called.rate / etcd.rate),
            row.ratio(|round, etcd| round.inside.rate / etcd.rate),
            row.ratio(|round, etcd| wait(&round.called, etcd)),
            row.ratio(|round, etcd| wait(&round.inside, etcd)),
        ];
        let [fast_called, fast_inside, wait_called, wait_inside] = quotients.map(Option::unwrap_or_default);
        let (fast, quick) = bounds(row.clients);
        println!(
            "| {} | {fast_called} | {fast_inside} | {fast} | {wait_called} | {wait_inside} | {quick} |",
            row.clients
        );
    }
    println!();
}

/// What the rate must reach and what the median wait may be, by etcd's, where there is such a bound.
fn bounds(clients: usize) -> (&'static str, &'static str) {
    match clients {
        1 => ("", "1.50"),
        256 => ("4.00", ""),
        1_024 => ("10.00", ""),
        _ => ("", ""),
    }
}
