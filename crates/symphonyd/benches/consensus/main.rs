//! Three masters against three etcd nodes on one machine in one run, then what a killed master costs (R007, R196, R198,
//! R213).
//!
//! Both sides are three processes with durable writes and mutual TLS between them, and start empty for each number of
//! clients. Ours are the real parts of a master: ordering, streams, journal, a guard process each, and the rules of
//! the whole protocol. Clients are closed loops. They are measured twice on our side: inside the masters, where a
//! master's own services stand, and through one gRPC call over mutual TLS, which is what a client of etcd makes.

mod cluster;
mod cpu;
mod disk;
mod etcd;
mod faults;
mod load;
mod member;
mod report;
mod workload;

#[allow(dead_code, reason = "what the node program needs and the benchmark does not")]
#[path = "../../src/network.rs"]
mod network;

#[path = "../../src/keys.rs"]
mod keys;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::cluster::Cluster;
use crate::etcd::Etcd;
use crate::load::Span;
use crate::report::Measured;

#[derive(Parser)]
#[command(name = "consensus", about = "Three masters against etcd")]
struct Args {
    /// Closed loops, one measurement for each number
    #[arg(long, value_delimiter = ',', default_value = "1,256,1024")]
    clients: Vec<usize>,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How often each side is measured, in turn
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Closed loops while a master is killed or comes back
    #[arg(long, default_value_t = 256)]
    fault_clients: usize,
    /// Where a master's answers may wait for a disk: a folder on the drive that is measured
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    folder: PathBuf,
    /// What a guard is after a restart: `strict` or `trusted`
    #[arg(long, default_value = "strict")]
    admission: String,
    /// Leaves etcd and the ratios out
    #[arg(long)]
    no_etcd: bool,
    /// Leaves the killed masters out
    #[arg(long)]
    no_faults: bool,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// One master of the measured cluster, driven over standard input
    #[command(hide = true)]
    Member(member::Args),
}

fn main() -> Result<()> {
    // The first provider that is installed stays; this is the first line that could.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let args = Args::parse();
    match &args.role {
        Some(Role::Member(member)) => member::run(member),
        None => compare(&args),
    }
}

fn compare(args: &Args) -> Result<()> {
    let span = Span { warm: Duration::from_secs(1), measured: Duration::from_secs_f64(args.seconds) };
    disk::print(&args.folder)?;
    let baseline = !args.no_etcd && etcd::installed();
    if !baseline {
        println!("{}", etcd::ABSENT);
    }
    let mut rows = Vec::new();
    for clients in args.clients.iter().copied() {
        let mut rounds = Vec::new();
        for _ in 0..args.rounds {
            let etcd = baseline.then(|| against(&args.folder, clients, span)).transpose()?;
            let called = masters(args, clients, span, true)?;
            let inside = masters(args, clients, span, false)?;
            rounds.push(report::Round { etcd, inside, called });
        }
        rows.push(report::Row { clients, rounds });
    }
    let bytes = Cluster::create(&args.folder, &args.admission)?.command_bytes()?;
    println!("values of etcd: {} bytes; commands of symphony: {bytes} bytes", etcd::VALUE_BYTES);
    println!();
    report::print(&rows);
    if !args.no_faults {
        faults::print(args.fault_clients, span, || Cluster::start(&args.folder, &args.admission))?;
    }
    Ok(())
}

fn against(folder: &Path, clients: usize, span: Span) -> Result<Measured> {
    let runtime = tokio::runtime::Runtime::new()?;
    let etcd = runtime.block_on(Etcd::start(folder))?;
    runtime.block_on(etcd.measure(clients, span))
}

fn masters(args: &Args, clients: usize, span: Span, called: bool) -> Result<Measured> {
    let mut cluster = Cluster::start(&args.folder, &args.admission)?;
    if called {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(cluster.measure_called(clients, span))
    } else {
        cluster.measure_inside(clients, span)
    }
}
