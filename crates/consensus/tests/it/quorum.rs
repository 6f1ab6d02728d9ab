//! Three masters as three drivers of one process, with their own journals and guards: order, failover, rejoin.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use redb::{Database, ReadableTable};
use symphony_consensus::machine::Machine;
use symphony_consensus::orderer::{OrderError, Orderer};
use symphony_consensus::quorum::committee::{Ballot, Committee, Member, Seat, Step};
use symphony_consensus::quorum::conflict::Conflict;
use symphony_consensus::quorum::conflicts;
use symphony_consensus::quorum::core::Timing;
use symphony_consensus::quorum::guard::{LocalGuard, Memory, Rules, Strictness, VoteGuard};
use symphony_consensus::quorum::message::{Envelope, Message, VERSION, Vote};
use symphony_consensus::quorum::node::{Config, Net, Quorum, StartError};
use symphony_consensus::quorum::replica::Pace;
use symphony_consensus::replay::Verify;
use symphony_types::digest::Digest;
use symphony_types::id::NodeId;
use symphony_types::key::{Consensus, PrivateKey, SoftwarePlatform};
use symphony_types::time::OrderedMillis;

use super::counter::{Command, Counter, TooFew, add, genesis, transfer};

/// Blocks behind which a master takes a state.
pub(super) const STATE_LAG: u64 = 40;

type Place = Arc<Mutex<Weak<Quorum<Counter>>>>;

/// The wires between three seats; a seat that is not up receives nothing.
#[derive(Clone, Default)]
pub(super) struct Wires {
    places: [Place; 3],
}

struct Wire {
    from: Seat,
    wires: Wires,
}

impl Net for Wire {
    fn send(&self, to: Seat, message: Arc<[u8]>) {
        let place = self.wires.places[usize::from(to.0)].lock().unwrap().upgrade();
        if let Some(quorum) = place {
            quorum.deliver(self.from, &message).unwrap();
        }
    }
}

pub(super) fn members() -> Vec<Member> {
    (1..=3_u8)
        .map(|seat| Member {
            node: NodeId::new(&format!("master-{seat}")).unwrap(),
            key: PrivateKey::<Consensus>::from_seed(&[seat; 32]).public(),
            platform: PrivateKey::<SoftwarePlatform>::from_seed(&[seat + 10; 32]).public(),
            since: 1,
            boot: None,
        })
        .collect()
}

pub(super) struct Cluster {
    folder: tempfile::TempDir,
    wires: Wires,
}

impl Cluster {
    pub(super) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), wires: Wires::default() }
    }

    pub(super) fn path(&self, seat: u8) -> PathBuf {
        self.folder.path().join(format!("{seat}.redb"))
    }

    pub(super) fn try_start(&self, seat: u8, memory: Memory) -> Result<Arc<Quorum<Counter>>, StartError> {
        start(&self.path(seat), seat, memory, self.wires.clone())
    }

    pub(super) fn start(&self, seat: u8) -> Arc<Quorum<Counter>> {
        self.try_start(seat, Memory::default()).unwrap()
    }
}

fn start(path: &Path, seat: u8, memory: Memory, wires: Wires) -> Result<Arc<Quorum<Counter>>, StartError> {
    start_on(Database::create(path).unwrap(), seat, memory, wires)
}

/// Starts a seat on an open database.
pub(super) fn start_on(
    database: Database,
    seat: u8,
    memory: Memory,
    wires: Wires,
) -> Result<Arc<Quorum<Counter>>, StartError> {
    start_with(database, seat, Box::new(guard(seat, memory)), wires)
}

/// The guard of a seat with the key of the founding.
pub(super) fn guard(seat: u8, memory: Memory) -> LocalGuard {
    let founding = Committee::founding(genesis().root(), members());
    let rules = Rules::new(Seat(seat), founding, Strictness::Full, memory);
    LocalGuard::new(PrivateKey::from_seed(&[seat + 1; 32]), None, rules)
}

/// Starts a seat on an open database with a guard.
pub(super) fn start_with(
    database: Database,
    seat: u8,
    guard: Box<dyn VoteGuard>,
    wires: Wires,
) -> Result<Arc<Quorum<Counter>>, StartError> {
    let timing = Timing { propose_ms: 200, vote_ms: 100, repeat_ms: 100 };
    let pace = Pace { timing, tick_ms: 300, drift_ms: 5_000, state_lag: STATE_LAG };
    let clock = Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        OrderedMillis(u64::try_from(since.as_millis()).unwrap())
    });
    let place = Arc::clone(&wires.places[usize::from(seat)]);
    let net = Arc::new(Wire { from: Seat(seat), wires });
    let config = Config { seat: Seat(seat), members: members(), pace };
    let quorum = Quorum::start(config, Arc::new(database), &genesis(), Verify::Full, clock, guard, net)
        .map(Arc::new)?;
    *place.lock().unwrap() = Arc::downgrade(&quorum);
    Ok(quorum)
}

/// Waits until a node stands at a state; a limit instead of a hang.
pub(super) async fn reaches(quorum: &Quorum<Counter>, who: u16, count: u64) {
    let there = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while quorum.state().of.get(&who) != Some(&count) {
            ticks.tick().await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(20), there).await;
    assert!(reached.is_ok(), "{:?} at {:?}", quorum.state().of, quorum.gauges());
}

/// R011, R012, R217: whoever takes a command, all three order it alike.
#[tokio::test(flavor = "multi_thread")]
async fn three_masters_agree_on_one_order() {
    let cluster = Cluster::new();
    let nodes = [cluster.start(0), cluster.start(1), cluster.start(2)];
    for round in 0..5 {
        for node in &nodes {
            node.order(add(1, 1)).await.unwrap();
        }
        assert!(nodes.iter().any(|node| node.state().of[&1] >= 3 * round));
    }
    let refused = nodes[1].order(transfer(1, 2, 100)).await.unwrap_err();
    assert_eq!(refused, OrderError::Refused(TooFew(15)));
    for node in &nodes {
        reaches(node, 1, 15).await;
    }
    assert_eq!(nodes[0].head(), nodes[1].head());
    assert_eq!(nodes[0].head(), nodes[2].head());
}

/// R007: a hundred clients on all masters; every answer is one place in the one order.
#[tokio::test(flavor = "multi_thread")]
async fn many_clients_share_heights() {
    let cluster = Cluster::new();
    let nodes = [cluster.start(0), cluster.start(1), cluster.start(2)];
    let orders = (0..300_u64).map(|n| {
        let node = Arc::clone(&nodes[usize::try_from(n % 3).unwrap()]);
        tokio::spawn(async move { node.order(add(7, 1)).await.unwrap().height })
    });
    let mut heights = Vec::new();
    for order in orders.collect::<Vec<_>>() {
        heights.push(order.await.unwrap());
    }
    heights.sort_unstable();
    heights.dedup();
    assert_eq!(heights.len(), 300, "no two commands share a place");
    for node in &nodes {
        reaches(node, 7, 300).await;
    }
    assert_eq!(nodes[0].head(), nodes[2].head());
    assert!(nodes[0].gauges().height < 300, "commands share heights: {:?}", nodes[0].gauges());
}

/// R198, R213: the leader ends; the others go on, and it catches up when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn the_order_survives_its_leader() {
    let cluster = Cluster::new();
    let (first, second, third) = (cluster.start(0), cluster.start(1), cluster.start(2));
    first.order(add(1, 1)).await.unwrap();
    reaches(&third, 1, 1).await;
    first.stop().await.unwrap();
    drop(first);
    for _ in 0..20 {
        second.order(add(1, 1)).await.unwrap();
    }
    third.order(add(1, 1)).await.unwrap();
    let back = cluster.start(0);
    reaches(&back, 1, 22).await;
    back.order(add(1, 1)).await.unwrap();
    for node in [&second, &third, &back] {
        reaches(node, 1, 23).await;
    }
    assert_eq!(back.head(), third.head());
}

/// R213: a master with an empty disk takes everything from the others, proven by certificates.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_disk_is_filled_by_the_others() {
    let cluster = Cluster::new();
    let (first, second) = (cluster.start(0), cluster.start(1));
    for _ in 0..30 {
        first.order(add(1, 1)).await.unwrap();
    }
    let third = cluster.start(2);
    reaches(&third, 1, 30).await;
    assert_eq!(third.head(), first.head());
    assert!(third.gauges().caught_up > 0);
    drop(second);
}

/// R198: a seat that votes twice in one slot leaves a proof, which outlives a restart and anybody can check.
#[tokio::test(flavor = "multi_thread")]
async fn a_double_vote_is_kept_as_evidence() {
    let cluster = Cluster::new();
    let first = cluster.start(0);
    let liar = PrivateKey::<Consensus>::from_seed(&[2; 32]);
    let name = Committee::founding(genesis().root(), members()).cluster;
    for byte in [1, 2, 2, 3] {
        let (block, step) = (Some(Digest([byte; 32])), Step::Prevote);
        let ballot = Ballot { cluster: name, height: 1, round: 0, step, block };
        let signature = liar.sign(ballot).signature;
        let vote = Message::Vote(Vote { seat: Seat(1), height: 1, round: 0, step, block, signature });
        let envelope = Envelope { version: VERSION, cluster: name, message: vote };
        first.deliver(Seat(1), &envelope.to_bytes()).unwrap();
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let kept = async {
        while first.conflicts() < 2 {
            ticks.tick().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), kept).await.is_ok(), "{:?}", first.gauges());
    first.stop().await.unwrap();
    drop(first);

    let proofs = conflicts(&Database::open(cluster.path(0)).unwrap()).unwrap();
    let blocks = proofs.iter().map(|proof| (proof.seat, proof.first.0.block, proof.second.0.block));
    let block = |byte| Some(Digest([byte; 32]));
    assert_eq!(blocks.collect::<Vec<_>>(), [(Seat(1), block(1), block(2)), (Seat(1), block(1), block(3))]);
    assert!(proofs.iter().all(Conflict::holds));
    assert_eq!(cluster.start(0).conflicts(), 2);
}

/// R198: with two down nothing is decided and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn one_alone_decides_nothing() {
    let cluster = Cluster::new();
    let (first, second, third) = (cluster.start(0), cluster.start(1), cluster.start(2));
    first.order(add(1, 1)).await.unwrap();
    for node in [second, third] {
        reaches(&node, 1, 1).await;
        node.stop().await.unwrap();
    }
    let height = first.gauges().height;
    let waits = tokio::spawn({
        let first = Arc::clone(&first);
        async move { first.order(add(1, 1)).await }
    });
    let none = tokio::time::timeout(Duration::from_millis(1_500), async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while first.gauges().height == height {
            ticks.tick().await;
        }
    });
    assert!(none.await.is_err(), "a height was decided by one master");
    let _second = cluster.start(1);
    tokio::time::timeout(Duration::from_secs(20), waits).await.unwrap().unwrap().unwrap();
    assert_eq!(first.state().of[&1], 2);
}

/// R217: blocks without their proof are found at the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_block_is_found_at_the_next_start() {
    let cluster = Cluster::new();
    let nodes = [cluster.start(0), cluster.start(1), cluster.start(2)];
    for _ in 0..3 {
        nodes[0].order(add(1, 1)).await.unwrap();
    }
    for node in &nodes {
        node.stop().await.unwrap();
    }
    drop(nodes);
    let table = redb::TableDefinition::<u64, &'static [u8]>::new("quorum/blocks");
    let database = Database::open(cluster.path(2)).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut blocks = transaction.open_table(table).unwrap();
        let mut row = blocks.get(1).unwrap().unwrap().value().to_vec();
        let last = row.len() - 1;
        row[last] ^= 1;
        blocks.insert(1, row.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let refused = cluster.try_start(2, Memory::default()).err().unwrap();
    assert_eq!(refused.to_string(), "block 1 does not fit its proof or the journal");
}

/// R216: what the rules refuse, or what would change nothing, never reaches a journal.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_takes_no_place() {
    let cluster = Cluster::new();
    let nodes = [cluster.start(0), cluster.start(1), cluster.start(2)];
    nodes[2].order(add(1, 5)).await.unwrap();
    let before = nodes[2].head();
    for node in &nodes {
        let refused = tokio::time::timeout(Duration::from_secs(10), node.order(transfer(1, 2, 6))).await;
        assert_eq!(refused.unwrap().unwrap_err(), OrderError::Refused(TooFew(5)));
    }
    assert_eq!(nodes[2].head(), before);
    let oversize = nodes[0].order(Command::Note(vec![0; 2 << 20])).await.unwrap_err();
    assert_eq!(oversize, OrderError::TooLarge);
    assert!(Counter::decide(&nodes[0].state(), OrderedMillis(0), &transfer(1, 2, 5)).is_ok());
}
